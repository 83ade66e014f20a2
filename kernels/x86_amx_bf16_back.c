/* AMX: the product by the transpose by tiles of BF16. Rows of w become pairs (x86_bf16_back.h), of
 * which sixteen lines are a tile; the numbers of 32 rows are one row of the other tile:
 *
 *     pairs, block b   | rows 32 b, 32 b + 1: c .. c + 15 | c + 16 .. c + 31 |   row 0 of w 0, w 1
 *     x                | input t: numbers of rows 32 b .. 32 b + 31 |            row t
 *
 * A sum takes the 32 products of a block as x86_amx.h does, block after block. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <string.h>

#include "kernels/x86_amx.h"
#include "kernels/x86_bf16_back.h"

enum { INPUTS = 128 }; /* that meet a piece at a time: 16 KiB */

typedef struct rounded {
    uint16_t x[INPUTS][PIECE_ROWS];
} rounded;

/* The numbers of `count` inputs; missing rows are 0. */
static void round_inputs(const float *x, size_t x_stride, size_t x_step, int64_t row_count,
                         int64_t count, rounded *out) {
    const int64_t rows = whole(row_count, BLOCK_ROWS);
    const __m512i order = pair_order();
    if (x_step == 1) {
        for (int64_t t = 0; t < count; t++)
            for (int64_t r = 0; r < rows; r += BLOCK_ROWS) {
                const float *from = x + (size_t)t * x_stride + r;
                const int64_t left = row_count - r;
                const __m512 low = _mm512_maskz_loadu_ps(mask_of(left), from);
                const __m512 high = _mm512_maskz_loadu_ps(mask_of(left - LANES), from + LANES);
                _mm512_storeu_si512(&out->x[t][r], (__m512i)_mm512_cvtne2ps_pbh(high, low));
            }
        return;
    }
    for (int64_t r = 0; r < rows; r += 2)
        for (int64_t t = 0; t < count; t += LANES) {
            const float *first = x + (size_t)r * x_step + t;
            const int64_t left = count - t < LANES ? count - t : LANES;
            uint32_t numbers[LANES] = {0};
            if (r < row_count)
                _mm512_storeu_si512(numbers,
                                    pair_of(first, r + 1 < row_count ? first + x_step : NULL,
                                            mask_of(left), order));
            for (int64_t i = 0; i < left; i++)
                memcpy(&out->x[t + i][r], &numbers[i], sizeof *numbers);
        }
}

static void multiply(float *y, size_t y_stride, const pairs *w, int64_t col, const rounded *x,
                     int64_t count, int64_t row_count) {
    const __m512i *line = &w->lines[0][col / LANES];
    const tile_product p = {.y = {y, y + LANES},
                            .y_line = y_stride,
                            .w = {line, line + 1},
                            .w_line = sizeof w->lines[0],
                            .w_step = TILE_ROWS * sizeof w->lines[0],
                            .x = x->x[0],
                            .x_line = PIECE_ROWS,
                            .x_count = count,
                            .step_count = (int)(whole(row_count, BLOCK_ROWS) / BLOCK_ROWS)};
    tiles_multiply(2, &p);
}

/* The last columns, fewer than a block: apart, with zeroes beside them. */
static void multiply_last(float *y, size_t y_stride, const pairs *w, int64_t col, int64_t cols,
                          const rounded *x, int64_t count, int64_t row_count) {
    float own[INPUTS * BLOCK_COLS] = {0};
    const size_t size = (size_t)cols * sizeof *y;
    for (int64_t t = 0; t < count; t++)
        memcpy(own + t * BLOCK_COLS, y + (size_t)t * y_stride, size);
    multiply(own, BLOCK_COLS, w, col, x, count, row_count);
    for (int64_t t = 0; t < count; t++)
        memcpy(y + (size_t)t * y_stride, own + t * BLOCK_COLS, size);
}

static void gemm_t_bf16(float *y, size_t y_stride, const float *w, size_t w_stride,
                        int64_t row_count, const float *x, size_t x_stride, size_t x_step,
                        int64_t x_count, int64_t col_count) {
    pairs own;
    rounded numbers;
    for (int64_t r = 0; r < row_count; r += PIECE_ROWS)
        for (int64_t c = 0; c < col_count; c += PIECE_COLS) {
            const int64_t rows = row_count - r < PIECE_ROWS ? row_count - r : PIECE_ROWS;
            const int64_t cols = col_count - c < PIECE_COLS ? col_count - c : PIECE_COLS;
            pair_rows(w + (size_t)r * w_stride + c, w_stride, rows, cols, &own);
            for (int64_t t = 0; t < x_count; t += INPUTS) {
                const int64_t count = x_count - t < INPUTS ? x_count - t : INPUTS;
                float *to = y + (size_t)t * y_stride + c;
                int64_t done = 0;
                round_inputs(x + (size_t)t * x_stride + (size_t)r * x_step, x_stride, x_step, rows,
                             count, &numbers);
                for (; done + BLOCK_COLS <= cols; done += BLOCK_COLS)
                    multiply(to + done, y_stride, &own, done, &numbers, count, rows);
                if (done < cols)
                    multiply_last(to + done, y_stride, &own, done, cols - done, &numbers, count,
                                  rows);
            }
        }
}

void kernels_fill_amx_bf16_back(kernels *k) {
    k->gemm_t_bf16 = gemm_t_bf16;
}

#endif
