/* The two telephone codes of ITU-T G.711: a byte for each sample of 8 kHz. */
#ifndef SERVE_G711_H
#define SERVE_G711_H

#include <stdint.h>

typedef enum g711_law { G711_MU, G711_A } g711_law;

/* The sample of a code. Values reach +-32124 (mu) and +-32256 (A). */
int16_t g711_decode(g711_law law, uint8_t code);
/* The code whose sample lies nearest below in size; louder ones are clipped. Every code but the
 * negative zero of mu comes back from its own sample. */
uint8_t g711_encode(g711_law law, int16_t sample);

#endif
