/* AVX-512 with BF16: the product by the transpose, which gradients need. Rows of w become pairs
 * (x86_bf16_back.h), and so do the numbers they have as factors:
 *
 *     w    | rows r, r + 1: c .. c + 15 | c + 16 .. c + 31 |
 *     x    | x0 x1 | x0 x1 | ...                           |   of each of twelve inputs
 *     sums | twelve inputs of 32 columns: 24 registers
 *
 * The numbers of a tile are put side by side first, so that every step finds them at constant
 * places. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <string.h>

#include "kernels/x86_bf16_back.h"

enum { TILE_INPUTS = 12, X_PAIRS = PIECE_ROWS / 2 };

typedef struct factors { /* of a piece: a pair for two rows */
    int32_t x[TILE_INPUTS][X_PAIRS];
} factors;

INLINE void tile(int inputs, const int32_t (*x)[X_PAIRS], float *y, size_t y_stride,
                 const pair_line *w, int64_t pair_count, int64_t left) {
    const __mmask16 low = mask_of(left), high = mask_of(left - LANES);
    __m512 s[TILE_INPUTS][2];
    UNROLL for (int t = 0; t < inputs; t++) {
        s[t][0] = _mm512_maskz_loadu_ps(low, y + (size_t)t * y_stride);
        s[t][1] = _mm512_maskz_loadu_ps(high, y + (size_t)t * y_stride + LANES);
    }
    for (int64_t i = 0; i < pair_count; i++, w++) {
        const __m512bh first = (__m512bh)(*w)[0], second = (__m512bh)(*w)[1];
        UNROLL for (int t = 0; t < inputs; t++) {
            const __m512bh spread = (__m512bh)_mm512_set1_epi32(x[t][i]);
            s[t][0] = _mm512_dpbf16_ps(s[t][0], first, spread);
            s[t][1] = _mm512_dpbf16_ps(s[t][1], second, spread);
        }
    }
    UNROLL for (int t = 0; t < inputs; t++) {
        _mm512_mask_storeu_ps(y + (size_t)t * y_stride, low, s[t][0]);
        _mm512_mask_storeu_ps(y + (size_t)t * y_stride + LANES, high, s[t][1]);
    }
}

/* All columns of some inputs. */
INLINE void columns(int inputs, const int32_t (*x)[X_PAIRS], float *y, size_t y_stride,
                    const pairs *w, int64_t pair_count, int64_t col_count) {
    for (int64_t c = 0; c < col_count; c += BLOCK_COLS)
        tile(inputs, x, y + c, y_stride, w->lines[c / BLOCK_COLS], pair_count, col_count - c);
}

static void inputs_of_piece(const factors *f, int64_t inputs, float *y, size_t y_stride,
                            const pairs *w, int64_t pair_count, int64_t col_count) {
    if (inputs == TILE_INPUTS) {
        columns(TILE_INPUTS, f->x, y, y_stride, w, pair_count, col_count);
        return;
    }
    int64_t t = 0;
    for (; t + 4 <= inputs; t += 4)
        columns(4, f->x + t, y + (size_t)t * y_stride, y_stride, w, pair_count, col_count);
    for (; t < inputs; t++)
        columns(1, f->x + t, y + (size_t)t * y_stride, y_stride, w, pair_count, col_count);
}

static void gemm_t_bf16(float *y, size_t y_stride, const float *w, size_t w_stride,
                        int64_t row_count, const uint16_t *x, size_t x_stride, int64_t x_count,
                        int64_t col_count) {
    pairs own;
    factors numbers;
    for (int64_t r = 0; r < row_count; r += PIECE_ROWS)
        for (int64_t c = 0; c < col_count; c += PIECE_COLS) {
            const int64_t rows = row_count - r < PIECE_ROWS ? row_count - r : PIECE_ROWS;
            const int64_t cols = col_count - c < PIECE_COLS ? col_count - c : PIECE_COLS;
            const size_t size = (size_t)whole(rows, BLOCK_ROWS) * sizeof *x;
            pair_rows(w + (size_t)r * w_stride + c, w_stride, rows, cols, &own);
            for (int64_t t = 0; t < x_count; t += TILE_INPUTS) {
                const int64_t inputs = x_count - t < TILE_INPUTS ? x_count - t : TILE_INPUTS;
                for (int64_t i = 0; i < inputs; i++)
                    memcpy(numbers.x[i], x + (size_t)(t + i) * x_stride + r, size);
                inputs_of_piece(&numbers, inputs, y + (size_t)t * y_stride + c, y_stride, &own,
                                (rows + 1) / 2, cols);
            }
        }
}

void kernels_fill_avx512_bf16_back(kernels *k) {
    k->gemm_t_bf16 = gemm_t_bf16;
}

#endif
