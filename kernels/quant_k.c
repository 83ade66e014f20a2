/* Super-blocks of 256 elements: Q2_K to Q6_K and IQ4_XS. Layouts: backbone.md 6.1, order of the
 * float operations: end of 6.2 (scale times sub-scale first, then times the code, then the
 * minimum). Everything here reads one block; rows are walked in quant.c. */
#include "kernels/quant_inner.h"

#include <assert.h>

/* Q2_K: scales[16] (low nibble scale, high nibble minimum), q[64], d, dmin. */
static void block_q2_k(const unsigned char *p, float *out) {
    const unsigned char *scales = p;
    const float d = quant_load_f16(p + 80), dmin = quant_load_f16(p + 82);
    for (int part = 0; part < 8; part++) { /* 32 elements: half part / 4, shift 2 * (part % 4) */
        const unsigned char *q = p + 16 + 32 * (part / 4);
        for (int l = 0; l < 32; l++) {
            const unsigned char s = scales[2 * part + l / 16];
            const float scale = d * (float)(s & 15), min = dmin * (float)(s >> 4);
            out[32 * part + l] = scale * (float)(q[l] >> 2 * (part % 4) & 3) - min;
        }
    }
}

void quant_scales_q3_k(const unsigned char *s, int scales[16]) {
    for (int b = 0; b < 16; b++) {
        const int low = b < 8 ? s[b] & 15 : s[b - 8] >> 4;
        scales[b] = (low | (s[8 + b % 4] >> 2 * (b / 4) & 3) << 4) - 32;
    }
}

/* Q3_K: hmask[32], q[64], scales[12] (16 of six bits), d. A code is two low bits minus 4 unless its
 * bit of hmask is set. */
static void block_q3_k(const unsigned char *p, float *out) {
    const unsigned char *high = p, *s = p + 96;
    const float d = quant_load_f16(p + 108);
    int scales[16];
    float scale[16];
    quant_scales_q3_k(s, scales);
    for (int b = 0; b < 16; b++) scale[b] = d * (float)scales[b];
    for (int part = 0; part < 8; part++) {
        const unsigned char *q = p + 32 + 32 * (part / 4);
        for (int l = 0; l < 32; l++) {
            const int code = (q[l] >> 2 * (part % 4) & 3) - ((high[l] >> part & 1) != 0 ? 0 : 4);
            out[32 * part + l] = scale[2 * part + l / 16] * (float)code;
        }
    }
}

void quant_scale_and_min(const unsigned char *s, int j, int *scale, int *min) {
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        *min = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

/* Q4_K: d, dmin, scales[12], q[128]; Q5_K: d, dmin, scales[12], qh[32], q[128]. Sub-block j of 32
 * has the low (even j) or high nibbles of the 32 bytes at 32 * (j / 2) and bit j of qh. */
static void block_q45_k(const unsigned char *p, bool has_high, float *out) {
    const float d = quant_load_f16(p), dmin = quant_load_f16(p + 2);
    const unsigned char *high = p + 16, *q = p + (has_high ? 48 : 16);
    for (int j = 0; j < 8; j++) {
        int sub_scale, sub_min;
        quant_scale_and_min(p + 4, j, &sub_scale, &sub_min);
        const float scale = d * (float)sub_scale, min = dmin * (float)sub_min;
        for (int l = 0; l < 32; l++) {
            int code = q[32 * (j / 2) + l] >> 4 * (j % 2) & 15;
            if (has_high) code |= (high[l] >> j & 1) << 4;
            out[32 * j + l] = scale * (float)code - min;
        }
    }
}

/* Q6_K: ql[128], qh[64], int8 scales[16], d. Part t = 0..3 of a half has the nibbles of ql at
 * 32 * (t % 2), low for t < 2, and two bits of qh. */
static void block_q6_k(const unsigned char *p, float *out) {
    const float d = quant_load_f16(p + 208);
    for (int part = 0; part < 8; part++) {
        const int half = part / 4, t = part % 4;
        const unsigned char *low = p + 64 * half + 32 * (t % 2), *high = p + 128 + 32 * half;
        const unsigned char *scales = p + 192 + 2 * part;
        for (int l = 0; l < 32; l++) {
            const int code = (low[l] >> 4 * (t / 2) & 15) | (high[l] >> 2 * t & 3) << 4;
            const float scale = d * (float)(int8_t)scales[l / 16];
            out[32 * part + l] = scale * (float)(code - 32);
        }
    }
}

/* IQ4_XS: d, scales_h u16, scales_l[4], q[128]. */
static void block_iq4_xs(const unsigned char *p, float *out) {
    const float d = quant_load_f16(p);
    const int scales_high = quant_load_u16(p + 2);
    for (int b = 0; b < 8; b++) {
        const int s = (p[4 + b / 2] >> 4 * (b % 2) & 15) | (scales_high >> 2 * b & 3) << 4;
        const float scale = d * (float)(s - 32);
        for (int j = 0; j < 16; j++) {
            out[32 * b + j] = scale * (float)quant_iq4_values[p[8 + 16 * b + j] & 15];
            out[32 * b + 16 + j] = scale * (float)quant_iq4_values[p[8 + 16 * b + j] >> 4];
        }
    }
}

void quant_super_block(quant_type type, const unsigned char *block, float *out) {
    switch (type) {
    case QUANT_Q2_K:
        block_q2_k(block, out);
        break;
    case QUANT_Q3_K:
        block_q3_k(block, out);
        break;
    case QUANT_Q4_K:
        block_q45_k(block, false, out);
        break;
    case QUANT_Q5_K:
        block_q45_k(block, true, out);
        break;
    case QUANT_Q6_K:
        block_q6_k(block, out);
        break;
    default:
        assert(type == QUANT_IQ4_XS);
        block_iq4_xs(block, out);
        break;
    }
}
