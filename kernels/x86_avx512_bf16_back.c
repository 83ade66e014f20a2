/* AVX-512 with BF16: the product by the transpose, which gradients need. Rows of w become pairs
 * (x86_bf16_back.h), and so do the numbers they have as factors:
 *
 *     w    | rows r, r + 1: c .. c + 15 | c + 16 .. c + 31 |
 *     x    | x0 x1 | x0 x1 | ...                           |   of each of twelve inputs
 *     sums | twelve inputs of 32 columns: 24 registers
 *
 * Numbers that lie side by side for a row, or side by side for an input, are rounded sixteen at a
 * time all the same: their pairs then lie the one way or the other. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <string.h>

#include "kernels/x86_bf16_back.h"

enum { TILE_INPUTS = 12, X_PAIRS = PIECE_ROWS / 2 };

/* Factors of a piece: pair i of input t is x[t * input_step + i * pair_step]. */
typedef struct factors {
    const int32_t *x;
    size_t input_step, pair_step;
} factors;

INLINE void tile(int inputs, size_t input_step, size_t pair_step, const int32_t *x, float *y,
                 size_t y_stride, const __m512i (*w)[PIECE_COLS / LANES], int64_t pair_count,
                 int64_t left) {
    const __mmask16 low = mask_of(left), high = mask_of(left - LANES);
    __m512 s[TILE_INPUTS][2];
    UNROLL for (int t = 0; t < inputs; t++) {
        s[t][0] = _mm512_maskz_loadu_ps(low, y + (size_t)t * y_stride);
        s[t][1] = _mm512_maskz_loadu_ps(high, y + (size_t)t * y_stride + LANES);
    }
    for (int64_t i = 0; i < pair_count; i++, w++, x += pair_step) {
        const __m512bh first = (__m512bh)(*w)[0], second = (__m512bh)(*w)[1];
        UNROLL for (int t = 0; t < inputs; t++) {
            const __m512bh spread = (__m512bh)_mm512_set1_epi32(x[(size_t)t * input_step]);
            s[t][0] = _mm512_dpbf16_ps(s[t][0], first, spread);
            s[t][1] = _mm512_dpbf16_ps(s[t][1], second, spread);
        }
    }
    UNROLL for (int t = 0; t < inputs; t++) {
        _mm512_mask_storeu_ps(y + (size_t)t * y_stride, low, s[t][0]);
        _mm512_mask_storeu_ps(y + (size_t)t * y_stride + LANES, high, s[t][1]);
    }
}

/* All columns of some inputs; the two ways of lying are known to the compiler. */
INLINE void columns(int inputs, const factors *f, float *y, size_t y_stride, const pairs *w,
                    int64_t pair_count, int64_t col_count) {
    for (int64_t c = 0; c < col_count; c += BLOCK_COLS) {
        const __m512i(*lines)[PIECE_COLS / LANES] =
            (const __m512i(*)[PIECE_COLS / LANES])(const void *)&w->lines[0][c / LANES];
        if (f->pair_step == 1)
            tile(inputs, X_PAIRS, 1, f->x, y + c, y_stride, lines, pair_count, col_count - c);
        else
            tile(inputs, 1, TILE_INPUTS + 4, f->x, y + c, y_stride, lines, pair_count,
                 col_count - c);
    }
}

/* The factors of a tile, as pairs; own has room for them. */
static factors round_factors(const float *x, size_t x_stride, size_t x_step, int64_t row_count,
                             int64_t inputs, int32_t *own) {
    const int64_t rows = whole(row_count, BLOCK_ROWS);
    if (x_step == 1) { /* an input's numbers lie side by side */
        for (int64_t t = 0; t < inputs; t++)
            for (int64_t r = 0; r < rows; r += BLOCK_COLS) {
                const float *from = x + (size_t)t * x_stride + r;
                const int64_t left = row_count - r;
                const __m512 low = _mm512_maskz_loadu_ps(mask_of(left), from);
                const __m512 high = _mm512_maskz_loadu_ps(mask_of(left - LANES), from + LANES);
                _mm512_storeu_si512(own + t * X_PAIRS + r / 2,
                                    (__m512i)_mm512_cvtne2ps_pbh(high, low));
            }
        return (factors){own, X_PAIRS, 1};
    }
    const __m512i order = pair_order();
    for (int64_t r = 0; r < rows; r += 2) {
        const float *first = x + (size_t)r * x_step;
        __m512i pair = _mm512_setzero_si512();
        if (r < row_count)
            pair =
                pair_of(first, r + 1 < row_count ? first + x_step : NULL, mask_of(inputs), order);
        _mm512_storeu_si512(own + r / 2 * (TILE_INPUTS + 4), pair);
    }
    return (factors){own, 1, TILE_INPUTS + 4};
}

static void inputs_of_piece(const factors *f, int64_t inputs, float *y, size_t y_stride,
                            const pairs *w, int64_t pair_count, int64_t col_count) {
    if (inputs == TILE_INPUTS) {
        columns(TILE_INPUTS, f, y, y_stride, w, pair_count, col_count);
        return;
    }
    factors left = *f;
    int64_t t = 0;
    for (; t + 4 <= inputs; t += 4, left.x += 4 * f->input_step)
        columns(4, &left, y + (size_t)t * y_stride, y_stride, w, pair_count, col_count);
    for (; t < inputs; t++, left.x += f->input_step)
        columns(1, &left, y + (size_t)t * y_stride, y_stride, w, pair_count, col_count);
}

static void gemm_t_bf16(float *y, size_t y_stride, const float *w, size_t w_stride,
                        int64_t row_count, const float *x, size_t x_stride, size_t x_step,
                        int64_t x_count, int64_t col_count) {
    pairs own;
    int32_t numbers[X_PAIRS * (TILE_INPUTS + 4)];
    for (int64_t r = 0; r < row_count; r += PIECE_ROWS)
        for (int64_t c = 0; c < col_count; c += PIECE_COLS) {
            const int64_t rows = row_count - r < PIECE_ROWS ? row_count - r : PIECE_ROWS;
            const int64_t cols = col_count - c < PIECE_COLS ? col_count - c : PIECE_COLS;
            (void)pair_rows(w + (size_t)r * w_stride + c, w_stride, rows, cols, &own);
            for (int64_t t = 0; t < x_count; t += TILE_INPUTS) {
                const int64_t inputs = x_count - t < TILE_INPUTS ? x_count - t : TILE_INPUTS;
                const factors f = round_factors(x + (size_t)t * x_stride + (size_t)r * x_step,
                                                x_stride, x_step, rows, inputs, numbers);
                inputs_of_piece(&f, inputs, y + (size_t)t * y_stride + c, y_stride, &own,
                                (rows + 1) / 2, cols);
            }
        }
}

void kernels_fill_avx512_bf16_back(kernels *k) {
    k->gemm_t_bf16 = gemm_t_bf16;
}

#endif
