/* Rows of floats as pairs of BF16, for the product by the transpose: a piece of up to 256
 * rows by 256 columns, so that a register holds two rows of sixteen columns, which is also what a
 * tile of AMX wants its rows to be:
 *
 *     rows     | w0: c0 | c1 | ... | c15 |     | w1: c0 | c1 | ... | c15 |     rounded
 *     pairs    | c0: w0 w1 | c1: w0 w1 | ... | c15: w0 w1 |                    128 KiB
 *
 * Rows and columns that are missing are 0. Needs AVX-512 with BF16. */
#ifndef KERNELS_X86_BF16_BACK_H
#define KERNELS_X86_BF16_BACK_H

#include <immintrin.h>

#include "kernels/levels.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum {
    LANES = 16,
    PIECE_ROWS = 256,
    PIECE_COLS = 256,
    BLOCK_ROWS = KERNELS_BF16_COLS, /* a piece has whole blocks of rows */
    BLOCK_COLS = 2 * LANES          /* and of columns */
};

typedef __m512i pair_line[BLOCK_COLS / LANES]; /* two rows of a block of columns */

typedef struct pairs {
    pair_line lines[PIECE_COLS / BLOCK_COLS][PIECE_ROWS / 2];
} pairs;

/* The first `left` of sixteen values; the others read as 0, untouched. */
INLINE __mmask16 mask_of(int64_t left) {
    return (__mmask16)(left >= LANES ? 0xffffu : left > 0 ? (1u << left) - 1 : 0);
}

INLINE int64_t whole(int64_t count, int64_t block) {
    return (count + block - 1) / block * block;
}

/* Sixteen columns of two rows; second NULL: 0. */
INLINE __m512i pair_of(const float *first, const float *second, __mmask16 mask, __m512i order) {
    const __m512 low = _mm512_maskz_loadu_ps(mask, first);
    const __m512 high = second != NULL ? _mm512_maskz_loadu_ps(mask, second) : _mm512_setzero_ps();
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* The first of sixteen values beside the first of sixteen others, and so on. */
INLINE __m512i pair_order(void) {
    int16_t order[2 * LANES];
    for (int i = 0; i < LANES; i++) {
        order[2 * i] = (int16_t)i;
        order[2 * i + 1] = (int16_t)(LANES + i);
    }
    return _mm512_loadu_si512(order);
}

INLINE void pair_rows(const float *w, size_t w_stride, int64_t row_count, int64_t col_count,
                      pairs *out) {
    const __m512i order = pair_order();
    const int64_t rows = whole(row_count, BLOCK_ROWS), cols = whole(col_count, BLOCK_COLS);
    for (int64_t r = 0; r < rows; r += 2)
        for (int64_t c = 0; c < cols; c += LANES) {
            const float *first = w + (size_t)r * w_stride + c;
            __m512i pair = _mm512_setzero_si512();
            if (r < row_count)
                pair = pair_of(first, r + 1 < row_count ? first + w_stride : NULL,
                               mask_of(col_count - c), order);
            out->lines[c / BLOCK_COLS][r / 2][c % BLOCK_COLS / LANES] = pair;
        }
}

#endif
