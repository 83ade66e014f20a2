/* Writing block formats: rows of float32 to stored rows, as the reference's file quantiser does it
 * without an importance matrix. This file walks rows and has the blocks of 32; super-blocks of 256
 * are in quant_write_k.c. Formulas: backbone.md 6.3 and 6.4.
 *
 *     one scale            Q4_0 Q5_0 Q8_0   from the element of largest magnitude
 *     scale and minimum    Q4_1 Q5_1        from the range
 *     scale by search      IQ4_NL           least squares against a table of values
 *
 * The bits are the contract: float32 in the order written there, nothing fused, nothing reordered.
 * Blocks with NaN or infinities have no reference; they give some codes and nothing undefined. */
#include "kernels/quant.h"

#include <assert.h>
#include <math.h>

#include "kernels/quant_inner.h"

/* A float to an integer, truncated. What does not fit (a block with NaN, infinities, or a scale so
 * small that its inverse overflows) gives 0: what x86 leaves in the low byte, without the undefined
 * behaviour of the cast. */
static int to_int(float v) {
    return v > -1e9f && v < 1e9f ? (int)v : 0;
}

static int at_most(int v, int top) {
    return v < top ? v : top;
}

static float inverse_of(float d) {
    return d != 0 ? 1.0f / d : 0.0f;
}

/* The low four bits of 32 codes to 16 bytes, element j beside j + 16; the fifth bits to *high. */
static void pack_codes(const int *codes, unsigned char *q, uint32_t *high) {
    *high = 0;
    for (int j = 0; j < 32; j++) *high |= (uint32_t)(codes[j] >> 4 & 1) << j;
    for (int j = 0; j < 16; j++)
        q[j] = (unsigned char)((codes[j] & 15) | (codes[j + 16] & 15) << 4);
}

static void write_q4_0(const float *x, unsigned char *p) {
    const float d = quant_extreme(x, 32) / -8; /* -0 for a block of zeros: the sign is stored */
    const float inverse = inverse_of(d);
    int codes[32];
    uint32_t high;
    quant_store_f16(p, d);
    for (int j = 0; j < 32; j++) codes[j] = at_most(to_int(x[j] * inverse + 8.5f), 15);
    pack_codes(codes, p + 2, &high);
}

static void write_q5_0(const float *x, unsigned char *p) {
    const float d = quant_extreme(x, 32) / -16;
    const float inverse = inverse_of(d);
    int codes[32];
    uint32_t high;
    quant_store_f16(p, d);
    for (int j = 0; j < 32; j++) codes[j] = at_most(to_int(x[j] * inverse + 16.5f), 31);
    pack_codes(codes, p + 6, &high);
    memcpy(p + 2, &high, sizeof high);
}

/* Scale and minimum of Q4_1 and Q5_1 to the head of the block; codes up to top. */
static void code_range(const float *x, int top, unsigned char *p, int *codes) {
    float min = x[0], max = x[0];
    for (int j = 1; j < 32; j++) {
        min = x[j] < min ? x[j] : min;
        max = x[j] > max ? x[j] : max;
    }
    const float d = (max - min) / (float)top, inverse = inverse_of(d);
    quant_store_f16(p, d);
    quant_store_f16(p + 2, min);
    for (int j = 0; j < 32; j++) codes[j] = to_int((x[j] - min) * inverse + 0.5f);
}

static void write_q4_1(const float *x, unsigned char *p) {
    int codes[32];
    uint32_t high;
    code_range(x, 15, p, codes);
    for (int j = 0; j < 32; j++) codes[j] = at_most(codes[j], 15);
    pack_codes(codes, p + 4, &high);
}

static void write_q5_1(const float *x, unsigned char *p) {
    int codes[32];
    uint32_t high;
    code_range(x, 31, p, codes);
    pack_codes(codes, p + 8, &high);
    memcpy(p + 4, &high, sizeof high);
}

static void write_q8_0(const float *x, unsigned char *p) {
    float largest = 0;
    for (int j = 0; j < 32; j++) largest = fabsf(x[j]) > largest ? fabsf(x[j]) : largest;
    const float d = largest / 127, inverse = inverse_of(d);
    quant_store_f16(p, d);
    for (int j = 0; j < 32; j++) p[2 + j] = (unsigned char)to_int(roundf(x[j] * inverse));
}

/* ---- IQ4_NL ---- */

/* Halfway between neighbours of the table: from there on the upper one is nearer. */
static const float iq4_middles[15] = {-115.5f, -93.5f, -74,   -57,   -42, -28.5f, -16, -4.5f,
                                      7,       19,     31.5f, 45.5f, 61,  79,     101};

/* Index of the table's value nearest to v; of two equally near ones the upper. Without branches,
 * because no processor can guess them. */
static int nearest_iq4(float v) {
    int index = 0;
    for (int k = 0; k < 15; k++) index += v >= iq4_middles[k];
    return index;
}

/* With codes for x * inverse: sum of w q x and of w q q, w = x^2. */
static void fit_iq4(const float *x, float inverse, float *sum_qx, float *sum_qq) {
    *sum_qx = *sum_qq = 0;
    for (int j = 0; j < 32; j++) {
        const float w = x[j] * x[j], q = (float)quant_iq4_values[nearest_iq4(inverse * x[j])];
        *sum_qx += w * q * x[j];
        *sum_qq += w * q * q;
    }
}

static float search_iq4(const float *x, float extreme) {
    const float first = (float)quant_iq4_values[0];
    float sum_qx, sum_qq;
    fit_iq4(x, 1.0f / (-extreme / first), &sum_qx, &sum_qq);
    float d = sum_qx / sum_qq, best = d * sum_qx;
    for (int t = -7; t <= 7; t++) {
        fit_iq4(x, ((float)t + first) / extreme, &sum_qx, &sum_qq);
        if (!(sum_qq > 0) || !(sum_qx * sum_qx > best * sum_qq)) continue;
        d = sum_qx / sum_qq;
        best = d * sum_qx;
    }
    return d;
}

static void write_iq4_nl(const float *x, unsigned char *p) {
    const float extreme = quant_extreme(x, 32);
    const float d = fabsf(extreme) < QUANT_TINY ? 0.0f : search_iq4(x, extreme);
    const float inverse = inverse_of(d);
    int codes[32];
    uint32_t high;
    quant_store_f16(p, d);
    for (int j = 0; j < 32; j++) codes[j] = nearest_iq4(inverse * x[j]);
    pack_codes(codes, p + 2, &high);
}

/* ---- Rows ---- */

static void write_block(quant_type type, const float *x, unsigned char *p) {
    switch (type) {
    case QUANT_Q4_0:
        write_q4_0(x, p);
        break;
    case QUANT_Q4_1:
        write_q4_1(x, p);
        break;
    case QUANT_Q5_0:
        write_q5_0(x, p);
        break;
    case QUANT_Q5_1:
        write_q5_1(x, p);
        break;
    case QUANT_Q8_0:
        write_q8_0(x, p);
        break;
    case QUANT_IQ4_NL:
        write_iq4_nl(x, p);
        break;
    default:
        quant_write_super_block(type, x, p);
        break;
    }
}

bool quant_is_written(quant_type type) {
    return quant_describe((uint32_t)type)->is_weight && type != QUANT_IQ4_XS && type != QUANT_MXFP4;
}

bool quant_quantise(quant_type type, const float *in, void *row, int64_t count) {
    unsigned char *p = row;
    if (!quant_is_written(type)) return false;
    if (type == QUANT_F32) {
        memcpy(p, in, (size_t)count * sizeof *in);
        return true;
    }
    if (type == QUANT_F16 || type == QUANT_BF16) {
        for (int64_t i = 0; i < count; i++) {
            const uint16_t v =
                type == QUANT_F16 ? quant_f32_to_f16(in[i]) : quant_f32_to_bf16(in[i]);
            memcpy(p + 2 * i, &v, sizeof v);
        }
        return true;
    }
    const quant_info *info = quant_describe((uint32_t)type);
    assert(count % info->block_len == 0);
    for (int64_t i = 0; i < count; i += info->block_len, p += info->block_size)
        write_block(type, in + i, p);
    return true;
}
