/* The specification of products with packed weights: integers within a block, fused float steps
 * between blocks (the law of kernels.h). Plain and slow; every level must give these bits. */
#include <math.h>
#include <string.h>

#include "kernels/levels.h"

static void quantise_block(const float *x, int8_t *codes, float *scale) {
    float largest = 0;
    bool finite = true;
    for (int c = 0; c < PACKED_BLOCK; c++) {
        if (!isfinite(x[c])) finite = false;
        largest = fabsf(x[c]) > largest ? fabsf(x[c]) : largest;
    }
    const bool none = !finite || largest < KERNELS_TINY;
    *scale = !finite ? NAN : none ? 0.0f : largest / 127.0f;
    const float inverse = none ? 0.0f : 127.0f / largest;
    for (int c = 0; c < PACKED_BLOCK; c++) codes[c] = none ? 0 : (int8_t)lrintf(x[c] * inverse);
}

static void sum_half(const int8_t *codes, int16_t sums[2]) {
    sums[0] = sums[1] = 0;
    for (int c = 0; c < PACKED_BLOCK / 2; c++)
        sums[c % 4 / 2] = (int16_t)(sums[c % 4 / 2] + codes[c]);
}

static void quantise(const float *x, int64_t col_count, int8_t *codes, int16_t *wide, int16_t *sums,
                     float *scales) {
    static const int order[4] = {0, 2, 1, 3};
    for (int64_t b = 0; b < col_count / PACKED_BLOCK; b++, codes += PACKED_BLOCK, sums += 4) {
        quantise_block(x + b * PACKED_BLOCK, codes, scales + b);
        sum_half(codes, sums);
        sum_half(codes + PACKED_BLOCK / 2, sums + 2);
        if (wide == NULL) continue;
        for (int c = 0; c < PACKED_BLOCK; c++)
            wide[b * PACKED_BLOCK + c] = codes[c / 4 * 4 + order[c % 4]];
    }
}

/* The scaled sum of one block, and that of its minima: exact integers. */
static void dot_block(const packed_block *w, const int8_t *x, const int16_t *sums, int32_t *sum,
                      int32_t *min_sum) {
    int32_t halves[2] = {0, 0};
    for (int c = 0; c < PACKED_BLOCK; c++) halves[c / 16] += w->codes[c] * x[c];
    *sum = halves[0] * w->scales[0] + halves[1] * w->scales[1];
    *min_sum = (sums[0] + sums[1]) * w->mins[0] + (sums[2] + sums[3]) * w->mins[1];
}

static float dot_row(quant_type type, const unsigned char *slab, const kernels_input *x, int64_t t,
                     int row) {
    const packed_info *info = packed_describe(type);
    const int64_t blocks = x->col_count / PACKED_BLOCK, of_super = info->super_len / PACKED_BLOCK;
    const int8_t *codes = x->codes + t * x->col_count;
    const float *scales = x->scales + t * blocks;
    float y = 0;
    for (int64_t b = 0; b < blocks; b += of_super) {
        packed_block w;
        float p = 0, m = 0;
        for (int64_t i = b; i < b + of_super; i++) {
            int32_t sum, min_sum;
            packed_read(type, slab, x->col_count, row, i, &w);
            dot_block(&w, codes + i * PACKED_BLOCK, x->sums + (t * blocks + i) * 4, &sum, &min_sum);
            p = fmaf((float)sum, scales[i], p);
            m = fmaf((float)min_sum, scales[i], m);
        }
        y = fmaf(w.d, p, y);
        if (info->has_min) y = fmaf(w.min, m, y);
    }
    return y;
}

static void multiply_any(quant_type type, float *y, const unsigned char *slab,
                         const kernels_input *x, int64_t x_count) {
    for (int64_t t = 0; t < x_count; t++)
        for (int row = 0; row < PACKED_ROWS; row++)
            y[t * PACKED_ROWS + row] = dot_row(type, slab, x, t, row);
}

#define MULTIPLY(name, type)                                                                       \
    static void name(float *y, const unsigned char *slab, const kernels_input *x, int64_t x_count, \
                     unsigned char *scratch) {                                                     \
        (void)scratch;                                                                             \
        multiply_any(type, y, slab, x, x_count);                                                   \
    }
MULTIPLY(multiply_q4_0, QUANT_Q4_0)
MULTIPLY(multiply_q4_1, QUANT_Q4_1)
MULTIPLY(multiply_q5_0, QUANT_Q5_0)
MULTIPLY(multiply_q5_1, QUANT_Q5_1)
MULTIPLY(multiply_q8_0, QUANT_Q8_0)
MULTIPLY(multiply_q2_k, QUANT_Q2_K)
MULTIPLY(multiply_q3_k, QUANT_Q3_K)
MULTIPLY(multiply_q4_k, QUANT_Q4_K)
MULTIPLY(multiply_q5_k, QUANT_Q5_K)
MULTIPLY(multiply_q6_k, QUANT_Q6_K)
MULTIPLY(multiply_iq4_nl, QUANT_IQ4_NL)
MULTIPLY(multiply_iq4_xs, QUANT_IQ4_XS)
#undef MULTIPLY

void kernels_fill_scalar_packed(kernels *k) {
    k->quantise = quantise;
    k->multiply[QUANT_Q4_0] = multiply_q4_0;
    k->multiply[QUANT_Q4_1] = multiply_q4_1;
    k->multiply[QUANT_Q5_0] = multiply_q5_0;
    k->multiply[QUANT_Q5_1] = multiply_q5_1;
    k->multiply[QUANT_Q8_0] = multiply_q8_0;
    k->multiply[QUANT_Q2_K] = multiply_q2_k;
    k->multiply[QUANT_Q3_K] = multiply_q3_k;
    k->multiply[QUANT_Q4_K] = multiply_q4_k;
    k->multiply[QUANT_Q5_K] = multiply_q5_k;
    k->multiply[QUANT_Q6_K] = multiply_q6_k;
    k->multiply[QUANT_IQ4_NL] = multiply_iq4_nl;
    k->multiply[QUANT_IQ4_XS] = multiply_iq4_xs;
}
