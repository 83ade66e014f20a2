/* AVX-512: the product of float32 panels. The law of kernels.h wants eight running sums for each
 * output, so a register of sixteen lanes holds two rows:
 *
 *     weights | row r,     columns c .. c + 7 | row r + 1, columns c .. c + 7 |
 *     input   | x,         columns c .. c + 7 | the same again                |   broadcast
 *     sums    | eight sums of row r           | eight sums of row r + 1       |
 *
 * and every output has the bits that it has at the level avx2: column c meets lane c % 8 by a fused
 * step, and the lanes are added in the same tree. A panel of eight rows is four such registers, and
 * six inputs are 24 registers of sums. A core broadcasts once a cycle and multiplies twice, so what
 * counts is few broadcasts: six for 24 steps. The pairs of rows are put side by side first, a piece
 * of the panel at a time, so that one load gives a register:
 *
 *     piece   | rows 0, 1: c .. c + 7 | rows 2, 3 | rows 4, 5 | rows 6, 7 | rows 0, 1: c + 8 ...
 *
 * gemv, bound by memory, and everything else is avx2's. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 12")

enum {
    PAIRS = KERNELS_ROWS / 2,
    TILE_INPUTS = 6,
    FEW_INPUTS = 3,
    /* The piece of 8 x 512 columns is 16 KiB and stays in the first-level cache while 96 inputs
     * pass; their sums wait in memory (24 KiB) between pieces. */
    PIECE_COLS = 512,
    PIECE_INPUTS = 96
};

/* Which of eight columns there are, `left` of them or more; the others read as 0, untouched. */
INLINE __mmask8 mask_of(int64_t left) {
    return (__mmask8)(left >= 8 ? 0xffu : (1u << left) - 1);
}
INLINE __m512 load_pair(const float *row, const float *next, __mmask8 mask) {
    const __m512 low = _mm512_castps256_ps512(_mm256_maskz_loadu_ps(mask, row));
    return _mm512_insertf32x8(low, _mm256_maskz_loadu_ps(mask, next), 1);
}
INLINE __m512 load_twice(const float *x, __mmask8 mask) {
    return _mm512_broadcast_f32x8(_mm256_maskz_loadu_ps(mask, x));
}

/* Columns [0, col_count) of the rows, pairs side by side. */
static void pack_piece(const float *const w[KERNELS_ROWS], int64_t col_count, __m512 *piece) {
    for (int64_t c = 0; c < col_count; c += 8, piece += PAIRS) {
        const __mmask8 mask = mask_of(col_count - c);
        UNROLL for (int p = 0; p < PAIRS; p++) piece[p] =
            load_pair(w[2 * p] + c, w[2 * p + 1] + c, mask);
    }
}

/* Adds `steps` times eight columns of a piece to the sums; of the inputs only those in the mask. */
INLINE void tile(int inputs, __m512 (*sums)[PAIRS], const __m512 *piece, const float *x,
                 size_t x_stride, int64_t steps, __mmask8 mask) {
    __m512 s[TILE_INPUTS][PAIRS];
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int p = 0; p < PAIRS; p++) s[t][p] =
        sums[t][p];
    for (int64_t i = 0; i < steps; i++, x += 8, piece += PAIRS) {
        __m512 w[PAIRS];
        UNROLL for (int p = 0; p < PAIRS; p++) w[p] = piece[p];
        UNROLL for (int t = 0; t < inputs; t++) {
            const __m512 xc = load_twice(x + (size_t)t * x_stride, mask);
            UNROLL for (int p = 0; p < PAIRS; p++) s[t][p] = _mm512_fmadd_ps(w[p], xc, s[t][p]);
        }
    }
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int p = 0; p < PAIRS; p++) sums[t][p] =
        s[t][p];
}

/* All inputs, in as few tiles as will do, of as equal sizes as there are: a small one costs nearly
 * what a large one does. */
INLINE void tiles(__m512 (*sums)[PAIRS], const __m512 *piece, const float *x, size_t x_stride,
                  int64_t x_count, int64_t steps, __mmask8 mask) {
    const int64_t count = (x_count + TILE_INPUTS - 1) / TILE_INPUTS;
    for (int64_t i = 0; i < count; i++) {
        const int64_t t = x_count * i / count;
        const float *from = x + (size_t)t * x_stride;
        switch (x_count * (i + 1) / count - t) {
#define TILE(inputs)                                                                               \
    case inputs:                                                                                   \
        tile(inputs, sums + t, piece, from, x_stride, steps, mask);                                \
        break
            TILE(1);
            TILE(2);
            TILE(3);
            TILE(4);
            TILE(5);
            TILE(6);
#undef TILE
        }
    }
}

/* The totals of four rows, each in the tree of lane_total (scalar.c). */
INLINE __m128 totals(__m512 low, __m512 high) {
    const __m256 a = _mm256_hadd_ps(_mm512_castps512_ps256(low), _mm512_extractf32x8_ps(low, 1));
    const __m256 b = _mm256_hadd_ps(_mm512_castps512_ps256(high), _mm512_extractf32x8_ps(high, 1));
    const __m256 h = _mm256_hadd_ps(a, b);
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}

INLINE void store(float *y, const __m512 sums[PAIRS], int64_t row_count) {
    const __m256 all =
        _mm256_set_m128(totals(sums[2], sums[3]), totals(sums[0], sums[1])); /* high, low */
    if (row_count == KERNELS_ROWS)
        _mm256_storeu_ps(y, all);
    else
        memcpy(y, &all, (size_t)row_count * sizeof *y);
}

/* All columns of up to PIECE_INPUTS inputs. */
static void gemm_inputs(float *y, size_t y_stride, const float *const rows[KERNELS_ROWS],
                        int64_t row_count, const float *x, size_t x_stride, int64_t x_count,
                        int64_t col_count) {
    __m512 sums[PIECE_INPUTS][PAIRS], piece[PIECE_COLS / 8 * PAIRS];
    for (int64_t t = 0; t < x_count; t++)
        for (int p = 0; p < PAIRS; p++) sums[t][p] = _mm512_setzero_ps();
    for (int64_t c = 0; c < col_count; c += PIECE_COLS) {
        const int64_t cols = col_count - c < PIECE_COLS ? col_count - c : PIECE_COLS;
        const float *w[KERNELS_ROWS];
        for (int r = 0; r < KERNELS_ROWS; r++) w[r] = rows[r] + c;
        pack_piece(w, cols, piece);
        const int64_t steps = cols / 8;
        tiles(sums, piece, x + c, x_stride, x_count, steps, 0xff);
        if (cols % 8 != 0)
            tiles(sums, piece + steps * PAIRS, x + c + 8 * steps, x_stride, x_count, 1,
                  mask_of(cols % 8));
    }
    for (int64_t t = 0; t < x_count; t++, y += y_stride) store(y, sums[t], row_count);
}

/* Eight columns, or those of the mask, of one row, and of up to FEW_INPUTS inputs. */
INLINE void few_step(int inputs, __m256 s[FEW_INPUTS][KERNELS_ROWS],
                     const float *const rows[KERNELS_ROWS], const float *x, size_t x_stride,
                     int64_t c, __mmask8 mask) {
    __m256 xc[FEW_INPUTS];
    UNROLL for (int t = 0; t < inputs; t++) xc[t] =
        _mm256_maskz_loadu_ps(mask, x + (size_t)t * x_stride + c);
    UNROLL for (int r = 0; r < KERNELS_ROWS; r++) {
        const __m256 w = _mm256_maskz_loadu_ps(mask, rows[r] + c);
        UNROLL for (int t = 0; t < inputs; t++) s[t][r] = _mm256_fmadd_ps(w, xc[t], s[t][r]);
    }
}

/* All columns of so few inputs that putting rows side by side costs more than it gains. */
INLINE void gemm_few(int inputs, float *y, size_t y_stride, const float *const rows[KERNELS_ROWS],
                     int64_t row_count, const float *x, size_t x_stride, int64_t col_count) {
    __m256 s[FEW_INPUTS][KERNELS_ROWS];
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int r = 0; r < KERNELS_ROWS; r++) s[t][r] =
        _mm256_setzero_ps();
    int64_t c = 0;
    for (; c + 8 <= col_count; c += 8) few_step(inputs, s, rows, x, x_stride, c, 0xff);
    if (c < col_count) few_step(inputs, s, rows, x, x_stride, c, mask_of(col_count - c));
    UNROLL for (int t = 0; t < inputs; t++) {
        __m512 pairs[PAIRS];
        UNROLL for (int p = 0; p < PAIRS; p++) pairs[p] =
            _mm512_insertf32x8(_mm512_castps256_ps512(s[t][2 * p]), s[t][2 * p + 1], 1);
        store(y + (size_t)t * y_stride, pairs, row_count);
    }
}

static void gemm(float *y, size_t y_stride, const float *w, size_t w_stride, int64_t row_count,
                 const float *x, size_t x_stride, int64_t x_count, int64_t col_count) {
    const float *rows[KERNELS_ROWS]; /* missing rows are the first one again, results dropped */
    for (int64_t r = 0; r < KERNELS_ROWS; r++)
        rows[r] = w + (r < row_count ? (size_t)r * w_stride : 0);
    switch (x_count) {
    case 1:
        gemm_few(1, y, y_stride, rows, row_count, x, x_stride, col_count);
        return;
    case 2:
        gemm_few(2, y, y_stride, rows, row_count, x, x_stride, col_count);
        return;
    case 3:
        gemm_few(3, y, y_stride, rows, row_count, x, x_stride, col_count);
        return;
    default:
        break;
    }
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
