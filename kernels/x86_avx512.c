/* AVX-512: the product of float32 panels. The law of kernels.h wants eight running sums for each
 * output, so a register of sixteen lanes holds two rows:
 *
 *     weights | row r,     columns c .. c + 7 | row r + 1, columns c .. c + 7 |
 *     input   | x,         columns c .. c + 7 | the same again                |   broadcast
 *     sums    | eight sums of row r           | eight sums of row r + 1       |
 *
 * and every output has the bits that it has at the level avx2: column c meets lane c % 8 by a fused
 * step, and the lanes are added in the same tree. A panel of four rows is two such registers, and
 * twelve inputs are 24 registers of sums. gemv, bound by memory, and everything else is avx2's. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 12")

enum {
    PAIRS = KERNELS_ROWS / 2,
    TILE_INPUTS = 12,
    /* The panel's piece of 4 x 512 columns is 8 KiB and stays in the first-level cache while 24
     * inputs pass; their sums wait in memory (3 KiB) between pieces. */
    PIECE_COLS = 512,
    PIECE_INPUTS = 24
};

/* `mask`: which of the eight columns there are; the others read as 0 and are not touched. */
INLINE __m512 load_pair(const float *row, const float *next, __mmask8 mask) {
    const __m512 low = _mm512_castps256_ps512(_mm256_maskz_loadu_ps(mask, row));
    return _mm512_insertf32x8(low, _mm256_maskz_loadu_ps(mask, next), 1);
}
INLINE __m512 load_twice(const float *x, __mmask8 mask) {
    return _mm512_broadcast_f32x8(_mm256_maskz_loadu_ps(mask, x));
}

/* One step of the law for eight columns of four rows and `inputs` inputs. */
INLINE void step(int inputs, __m512 s[TILE_INPUTS][PAIRS], const float *const w[KERNELS_ROWS],
                 const float *x, size_t x_stride, int64_t c, __mmask8 mask) {
    __m512 wc[PAIRS];
    UNROLL for (int p = 0; p < PAIRS; p++) wc[p] = load_pair(w[2 * p] + c, w[2 * p + 1] + c, mask);
    UNROLL for (int t = 0; t < inputs; t++) {
        const __m512 xc = load_twice(x + (size_t)t * x_stride + c, mask);
        UNROLL for (int p = 0; p < PAIRS; p++) s[t][p] = _mm512_fmadd_ps(wc[p], xc, s[t][p]);
    }
}

/* Adds col_count columns to the sums. */
INLINE void tile(int inputs, __m512 (*sums)[PAIRS], const float *const w[KERNELS_ROWS],
                 const float *x, size_t x_stride, int64_t col_count) {
    __m512 s[TILE_INPUTS][PAIRS];
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int p = 0; p < PAIRS; p++) s[t][p] =
        sums[t][p];
    int64_t c = 0;
    for (; c + 8 <= col_count; c += 8) step(inputs, s, w, x, x_stride, c, 0xff);
    if (c < col_count) step(inputs, s, w, x, x_stride, c, (__mmask8)((1u << (col_count - c)) - 1));
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int p = 0; p < PAIRS; p++) sums[t][p] =
        s[t][p];
}

/* The totals of four rows, each in the tree of lane_total (scalar.c). */
INLINE __m128 totals(const __m512 s[PAIRS]) {
    __m256 r[KERNELS_ROWS];
    UNROLL for (int p = 0; p < PAIRS; p++) {
        r[2 * p] = _mm512_castps512_ps256(s[p]);
        r[2 * p + 1] = _mm512_extractf32x8_ps(s[p], 1);
    }
    const __m256 h = _mm256_hadd_ps(_mm256_hadd_ps(r[0], r[1]), _mm256_hadd_ps(r[2], r[3]));
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}

/* All columns of up to PIECE_INPUTS inputs. */
static void gemm_inputs(float *y, size_t y_stride, const float *const rows[KERNELS_ROWS],
                        int64_t row_count, const float *x, size_t x_stride, int64_t x_count,
                        int64_t col_count) {
    __m512 sums[PIECE_INPUTS][PAIRS];
    for (int64_t t = 0; t < x_count; t++)
        for (int p = 0; p < PAIRS; p++) sums[t][p] = _mm512_setzero_ps();
    for (int64_t c = 0; c < col_count; c += PIECE_COLS) {
        const int64_t cols = col_count - c < PIECE_COLS ? col_count - c : PIECE_COLS;
        const float *const w[KERNELS_ROWS] = {rows[0] + c, rows[1] + c, rows[2] + c, rows[3] + c};
        int64_t t = 0;
        for (; t + 12 <= x_count; t += 12)
            tile(12, sums + t, w, x + (size_t)t * x_stride + c, x_stride, cols);
        for (; t + 4 <= x_count; t += 4)
            tile(4, sums + t, w, x + (size_t)t * x_stride + c, x_stride, cols);
        for (; t < x_count; t++) tile(1, sums + t, w, x + (size_t)t * x_stride + c, x_stride, cols);
    }
    for (int64_t t = 0; t < x_count; t++) {
        float all[KERNELS_ROWS];
        _mm_storeu_ps(all, totals(sums[t]));
        memcpy(y + (size_t)t * y_stride, all, (size_t)row_count * sizeof *y);
    }
}

static void gemm(float *y, size_t y_stride, const float *w, size_t w_stride, int64_t row_count,
                 const float *x, size_t x_stride, int64_t x_count, int64_t col_count) {
    const float *rows[KERNELS_ROWS]; /* missing rows are the first one again, results dropped */
    for (int64_t r = 0; r < KERNELS_ROWS; r++)
        rows[r] = w + (r < row_count ? (size_t)r * w_stride : 0);
    for (int64_t t = 0; t < x_count; t += PIECE_INPUTS) {
        const int64_t inputs = x_count - t < PIECE_INPUTS ? x_count - t : PIECE_INPUTS;
        gemm_inputs(y + (size_t)t * y_stride, y_stride, rows, row_count, x + (size_t)t * x_stride,
                    x_stride, inputs, col_count);
    }
}

void kernels_fill_avx512(kernels *k) {
    k->name = "avx512";
    k->gemm = gemm;
}

#endif
