/* The energy gate: is a block loud enough, against the noise of the place, to hold speech?
 *
 * The noise floor is the least power of a block in the last 3 to 3.5 s (minimum statistics: speech
 * pauses more often than that), so it falls at once and rises late. The gate can only veto: a
 * network that takes steady noise for speech is overruled, the network itself still hears every
 * block. Used as: probability = energy_push(e, samples) ? vad_block(...) : 0, with vad_block called
 * in both cases. */
#ifndef VAD_ENERGY_H
#define VAD_ENERGY_H

#include <stdbool.h>

#include "vad/vad.h"

enum { ENERGY_PARTS = 7 };

typedef struct energy_gate {
    float part_min[ENERGY_PARTS]; /* least power of the last parts, a ring */
    int part_index;               /* the part being filled, */
    int block_count;              /* and its blocks so far */
    int hang;                     /* blocks for which the gate stays open */
    float power;                  /* variance of the latest block: for level meters */
    float floor;                  /* least power of all parts */
} energy_gate;

void energy_reset(energy_gate *e);
/* samples [VAD_BLOCK]. False: too quiet to be speech. Open while the power is 3 dB above the floor
 * and above -65 dBFS, and 192 ms longer, so that the ends of words stay. Until the place has been
 * heard for 3 s the floor is taken for silence. No allocation; one thread at a time. */
bool energy_push(energy_gate *e, const float *samples);

#endif
