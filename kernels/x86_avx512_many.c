/* AVX-512: the product of float32 rows with many inputs, with the bits of gemm. Its law wants eight
 * running sums for each output, one for every eighth column. They are made one after the other:
 * rows are turned, so that a register holds one column of sixteen rows, and columns l, l + 8,
 * l + 16 ... lie behind each other; and so do the inputs', a tile of twelve side by side:
 *
 *     turned | column l: rows 0 .. 15 | rows 16 .. 31 | column l + 8: rows 0 .. 15 | ...
 *     x      | one number, in every lane             |   of each of twelve inputs
 *     sums   | twelve inputs of 32 rows: 24 registers, stored when the columns of l are through
 *
 * Against gemm, where eight columns lie in the lanes, a number that was loaded meets four times as
 * many rows: what comes from the second-level cache is a quarter. Turning 32 rows costs about as
 * much as ten inputs. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 12")

enum { LANES = KERNELS_LANES, HALVES = KERNELS_MANY_ROWS / 16, TILE_INPUTS = KERNELS_TILE };

/* ---- Turning ---- */

/* Columns c .. c + 3 of eight rows: the rows of each side by side, columns `step` floats apart. */
INLINE void turn_four(const float *const w[KERNELS_ROWS], int64_t c, float *out, size_t step) {
    __m256 m[4], t[4];
    UNROLL for (int i = 0; i < 4; i++) m[i] = _mm256_insertf128_ps(
        _mm256_castps128_ps256(_mm_loadu_ps(w[i] + c)), _mm_loadu_ps(w[i + 4] + c), 1);
    UNROLL for (int i = 0; i < 2; i++) {
        t[2 * i] = _mm256_unpacklo_ps(m[2 * i], m[2 * i + 1]);
        t[2 * i + 1] = _mm256_unpackhi_ps(m[2 * i], m[2 * i + 1]);
    }
    UNROLL for (int i = 0; i < 2; i++) {
        _mm256_storeu_ps(out + (size_t)(2 * i) * step, _mm256_shuffle_ps(t[i], t[i + 2], 0x44));
        _mm256_storeu_ps(out + (size_t)(2 * i + 1) * step, _mm256_shuffle_ps(t[i], t[i + 2], 0xee));
    }
}

static void turn(float *turned, int64_t row, const float *w, size_t w_stride, int64_t row_count,
                 int64_t col_count) {
    const float *rows[KERNELS_ROWS]; /* missing rows are the first one again */
    for (int64_t r = 0; r < KERNELS_ROWS; r++)
        rows[r] = w + (r < row_count ? (size_t)r * w_stride : 0);
    const int64_t steps = (col_count + LANES - 1) / LANES;
    const size_t step = (size_t)steps * KERNELS_MANY_ROWS; /* from column l to l + 1 */
    float *out = turned + row;
    int64_t c = 0;
    for (; c + LANES <= col_count; c += LANES, out += KERNELS_MANY_ROWS) {
        turn_four(rows, c, out, step);
        turn_four(rows, c + 4, out + 4 * step, step);
    }
    if (c == col_count) return;
    float last[KERNELS_ROWS][LANES] = {{0}}; /* columns that are missing are 0, as in gemm */
    for (int r = 0; r < KERNELS_ROWS; r++) {
        memcpy(last[r], rows[r] + c, (size_t)(col_count - c) * sizeof(float));
        rows[r] = last[r];
    }
    turn_four(rows, 0, out, step);
    turn_four(rows, 4, out + 4 * step, step);
}

/* ---- Multiplying ---- */

typedef __m512 halves[HALVES];

/* The sums of `steps` columns, eight apart. */
INLINE void tile(int inputs, halves *sums, const halves *w, const float *x, int64_t steps) {
    halves s[TILE_INPUTS];
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int h = 0; h < HALVES; h++) s[t][h] =
        _mm512_setzero_ps();
    for (int64_t i = 0; i < steps; i++, x += TILE_INPUTS, w++) {
        const __m512 first = (*w)[0], second = (*w)[1];
        UNROLL for (int t = 0; t < inputs; t++) {
            const __m512 number = _mm512_set1_ps(x[t]);
            s[t][0] = _mm512_fmadd_ps(first, number, s[t][0]);
            s[t][1] = _mm512_fmadd_ps(second, number, s[t][1]);
        }
    }
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int h = 0; h < HALVES; h++) sums[t][h] =
        s[t][h];
}

static void some_inputs(int64_t inputs, halves *sums, const halves *w, const float *x,
                        int64_t steps) {
    switch (inputs) {
#define INPUTS(count)                                                                              \
    case count:                                                                                    \
        tile(count, sums, w, x, steps);                                                            \
        break
        INPUTS(1);
        INPUTS(2);
        INPUTS(3);
        INPUTS(4);
        INPUTS(5);
        INPUTS(6);
        INPUTS(7);
        INPUTS(8);
        INPUTS(9);
        INPUTS(10);
        INPUTS(11);
        INPUTS(12);
#undef INPUTS
    default:
        break;
    }
}

/* In the tree of lane_total (scalar.c). */
INLINE __m512 total(halves (*sums)[TILE_INPUTS], int t, int h) {
    const __m512 a = _mm512_add_ps(sums[0][t][h], sums[1][t][h]);
    const __m512 b = _mm512_add_ps(sums[2][t][h], sums[3][t][h]);
    const __m512 c = _mm512_add_ps(sums[4][t][h], sums[5][t][h]);
    const __m512 d = _mm512_add_ps(sums[6][t][h], sums[7][t][h]);
    return _mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d));
}

static void multiply_turned(float *y, const float *turned, const float *tiled, int64_t x_count,
                            int64_t col_count) {
    const halves *w = (const halves *)(const void *)turned;
    const int64_t steps = (col_count + LANES - 1) / LANES;
    halves sums[LANES][TILE_INPUTS];
    for (int64_t t = 0; t < x_count; t += TILE_INPUTS) {
        const int64_t inputs = x_count - t < TILE_INPUTS ? x_count - t : TILE_INPUTS;
        for (int l = 0; l < LANES; l++, tiled += steps * TILE_INPUTS)
            some_inputs(inputs, sums[l], w + l * steps, tiled, steps);
        for (int i = 0; i < (int)inputs; i++)
            for (int h = 0; h < HALVES; h++)
                _mm512_storeu_ps(y + (t + i) * KERNELS_MANY_ROWS + 16 * h, total(sums, i, h));
    }
}

void kernels_fill_avx512_many(kernels *k) {
    k->turn = turn;
    k->multiply_turned = multiply_turned;
}

#endif
