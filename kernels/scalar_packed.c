/* The specification of products with packed weights: integers within a block, fused float steps
 * between blocks (the law of kernels.h). Plain and slow; every level must give these bits. */
#include <math.h>
#include <string.h>

#include "kernels/levels.h"
#include "kernels/packed_inner.h"
#include "kernels/quant_inner.h"

/* The factor that takes a block to integers up to `most`, and the scale that takes them back. */
static float find_scale(const float *x, float most, float *scale) {
    float largest = 0;
    bool finite = true;
    for (int c = 0; c < PACKED_BLOCK; c++) {
        if (!isfinite(x[c])) finite = false;
        largest = fabsf(x[c]) > largest ? fabsf(x[c]) : largest;
    }
    const bool none = !finite || largest < KERNELS_TINY;
    *scale = !finite ? NAN : none ? 0.0f : largest / most;
    return none ? 0.0f : most / largest;
}

static void sum_block(const int8_t *codes, int16_t sums[4]) {
    int of[4] = {0, 0, 0, 0};
    for (int c = 0; c < PACKED_BLOCK; c++) of[c / 16 * 2 + c % 4 / 2] += codes[c];
    sums[0] = (int16_t)of[0];
    sums[1] = (int16_t)of[1];
    sums[2] = (int16_t)(of[0] + of[2]);
    sums[3] = (int16_t)(of[1] + of[3]);
}

/* One block as bytes and their scale. */
static void round_block(const float *x, int8_t *codes, float *scale) {
    const float factor = find_scale(x, 127.0f, scale);
    for (int c = 0; c < PACKED_BLOCK; c++)
        codes[c] = factor == 0 ? 0 : (int8_t)lrintf(x[c] * factor);
}

static void quantise(const float *x, int64_t col_count, int8_t *codes, int16_t *sums,
                     float *scales) {
    for (int64_t b = 0; b < col_count / PACKED_BLOCK; b++, x += PACKED_BLOCK, sums += 4) {
        round_block(x, codes, scales + b);
        sum_block(codes, sums);
        codes += PACKED_BLOCK;
    }
}

static void quantise_wide(const float *x, int64_t col_count, int16_t *wide, float *scales) {
    static const int order[4] = {0, 2, 1, 3};
    for (int64_t b = 0; b < col_count / PACKED_BLOCK; b++, x += PACKED_BLOCK) {
        const float factor = find_scale(x, 32767.0f, scales + b);
        for (int c = 0; c < PACKED_BLOCK; c++)
            *wide++ = factor == 0 ? 0 : (int16_t)lrintf(x[c / 4 * 4 + order[c % 4]] * factor);
    }
}

/* A row of the cache: all codes, then the scales. */
static void store_q8_0(void *out, const float *x, int64_t count) {
    unsigned char *scales = (unsigned char *)out + count;
    for (int64_t c = 0; c < count; c += KERNELS_CACHE_BLOCK, scales += 2) {
        float scale;
        round_block(x + c, (int8_t *)out + c, &scale);
        quant_store_f16(scales, scale);
    }
}

/* The scaled sum of one block, and that of its minima: exact integers. */
static void dot_block(const packed_block *w, const int8_t *x, const int16_t *sums, int32_t *sum,
                      int32_t *min_sum) {
    int32_t halves[2] = {0, 0};
    for (int c = 0; c < PACKED_BLOCK; c++) halves[c / 16] += w->codes[c] * x[c];
    *sum = halves[0] * w->scales[0] + halves[1] * w->scales[1];
    const int first = sums[0] + sums[1], second = sums[2] + sums[3] - first;
    *min_sum = first * w->mins[0] + second * w->mins[1];
}

static int32_t dot_wide(const packed_block *w, const int16_t *x) {
    static const int order[4] = {0, 2, 1, 3};
    int32_t sum = 0;
    for (int c = 0; c < PACKED_BLOCK; c++) sum += w->codes[c / 4 * 4 + order[c % 4]] * x[c];
    return sum;
}

static float dot_row(quant_type type, const unsigned char *slab, const kernels_input *x, int64_t t,
                     int row) {
    const packed_info *info = packed_describe(type);
    const bool wide = kernels_is_wide(type);
    const int64_t blocks = x->col_count / PACKED_BLOCK, of_super = info->super_len / PACKED_BLOCK;
    const float *scales = (wide ? x->wide_scales : x->scales) + t * blocks;
    float y = 0;
    for (int64_t b = 0; b < blocks; b += of_super) {
        packed_block w;
        float p = 0, m = 0;
        for (int64_t i = b; i < b + of_super; i++) {
            const int64_t at = t * blocks + i;
            int32_t sum, min_sum = 0;
            packed_read(type, slab, x->col_count, row, i, &w);
            if (wide)
                sum = dot_wide(&w, x->wide + at * PACKED_BLOCK);
            else
                dot_block(&w, x->codes + at * PACKED_BLOCK, x->sums + at * 4, &sum, &min_sum);
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
    static void multiply_##name(float *y, const unsigned char *slab, const kernels_input *x,       \
                                int64_t x_count, unsigned char *scratch) {                         \
        (void)scratch;                                                                             \
        multiply_any(type, y, slab, x, x_count);                                                   \
    }
PACKED_EACH(MULTIPLY)
#undef MULTIPLY

void kernels_fill_scalar_packed(kernels *k) {
    k->quantise = quantise;
    k->quantise_wide = quantise_wide;
    k->store[KERNELS_CACHE_Q8_0] = store_q8_0;
    PACKED_EACH(PACKED_FILL)
}
