/* What the files of this folder share about block formats: loads from unaligned bytes and the rows
 * that quant_k.c reads. Private to kernels/. */
#ifndef KERNELS_QUANT_INNER_H
#define KERNELS_QUANT_INNER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "kernels/quant.h"

/* Stored values are little-endian, and so are the machines we build for. */
static inline uint16_t quant_load_u16(const unsigned char *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t quant_load_u32(const unsigned char *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline float quant_load_f16(const unsigned char *p) {
    return quant_f16_to_f32(quant_load_u16(p));
}

/* The codes of IQ4_NL and IQ4_XS stand for these values (backbone.md 6.2). */
extern const int8_t quant_iq4_values[16];

/* The sixteen scales of a Q3_K, in [-32, 31], from its twelve bytes. */
void quant_scales_q3_k(const unsigned char *s, int scales[16]);
/* Scale and minimum of sub-block j, six bits each, from the twelve bytes of Q4_K and Q5_K. */
void quant_scale_and_min(const unsigned char *s, int j, int *scale, int *min);

/* One super-block of 256 elements (Q2_K to Q6_K, IQ4_XS) to out[0 .. 256). type is one of these. */
void quant_super_block(quant_type type, const unsigned char *block, float *out);

#endif
