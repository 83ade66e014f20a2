/* See g711.h. A code is a sign, three bits of segment (each twice as coarse as the one below) and
 * four bits within it; mu inverts all bits, A every second one. */
#include "serve/g711.h"

enum {
    MU_BIAS = 0x84, /* makes segment 0 begin at a power of two */
    MU_CLIP = 32635,
    SIGN = 0x80
};

static int16_t decode_mu(uint8_t code) {
    const int bits = ~code & 0xff, segment = bits >> 4 & 7;
    const int size = (((bits & 15) << 3) + MU_BIAS) << segment;
    return (int16_t)(bits & SIGN ? MU_BIAS - size : size - MU_BIAS);
}

static int16_t decode_a(uint8_t code) {
    const int bits = code ^ 0x55, segment = bits >> 4 & 7;
    int size = ((bits & 15) << 4) + 8;
    if (segment > 0) size = (size + 0x100) << (segment - 1);
    return (int16_t)(bits & SIGN ? size : -size);
}

int16_t g711_decode(g711_law law, uint8_t code) {
    return law == G711_MU ? decode_mu(code) : decode_a(code);
}

/* The segment whose top bit stands at bit 7 + segment of size. */
static int segment_of(int size) {
    int segment = 0;
    while (segment < 7 && size >= 0x100 << segment) segment++;
    return segment;
}

static uint8_t encode_mu(int16_t sample) {
    const int sign = sample < 0 ? SIGN : 0;
    int size = sample < 0 ? -(int)sample : sample;
    if (size > MU_CLIP) size = MU_CLIP;
    size += MU_BIAS;
    const int segment = segment_of(size);
    return (uint8_t)(~(sign | segment << 4 | (size >> (segment + 3) & 15)) & 0xff);
}

static uint8_t encode_a(int16_t sample) {
    /* The negative half begins at -1, as in the standard's table. */
    const int sign = sample < 0 ? 0 : SIGN;
    const int size = sample < 0 ? -(int)sample - 1 : sample;
    const int segment = segment_of(size);
    const int shift = segment > 0 ? segment + 3 : 4;
    return (uint8_t)((sign | segment << 4 | (size >> shift & 15)) ^ 0x55);
}

uint8_t g711_encode(g711_law law, int16_t sample) {
    return law == G711_MU ? encode_mu(sample) : encode_a(sample);
}
