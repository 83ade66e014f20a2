/* AMX: the product by the transpose by tiles of BF16. Rows of w become pairs (x86_bf16_back.h), of
 * which sixteen lines are a tile; an input's numbers of 32 rows are one row of the other tile:
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

/* Inputs that meet a piece at a time: 32 KiB of its rows, which stay in the first-level cache. */
enum { INPUTS = 64 };

/* Some inputs, x_stride apart. */
typedef struct numbers {
    const uint16_t *x;
    size_t stride;
    int64_t count;
} numbers;

static void multiply(float *y, size_t y_stride, const pairs *w, int64_t col, numbers of,
                     int64_t row_count) {
    const pair_line *line = w->lines[col / BLOCK_COLS];
    const tile_product p = {.y = {y, y + LANES},
                            .y_line = y_stride,
                            .w = {&(*line)[0], &(*line)[1]},
                            .w_line = sizeof *line,
                            .w_step = TILE_ROWS * sizeof *line,
                            .x = of.x,
                            .x_line = of.stride,
                            .x_count = of.count,
                            .step_count = (int)(whole(row_count, BLOCK_ROWS) / BLOCK_ROWS)};
    tiles_multiply(2, &p);
}

/* The last columns, fewer than a block: apart, with zeroes beside them. */
static void multiply_last(float *y, size_t y_stride, const pairs *w, int64_t col, int64_t cols,
                          numbers of, int64_t row_count) {
    float own[INPUTS * BLOCK_COLS] = {0};
    const size_t size = (size_t)cols * sizeof *y;
    for (int64_t t = 0; t < of.count; t++)
        memcpy(own + t * BLOCK_COLS, y + (size_t)t * y_stride, size);
    multiply(own, BLOCK_COLS, w, col, of, row_count);
    for (int64_t t = 0; t < of.count; t++)
        memcpy(y + (size_t)t * y_stride, own + t * BLOCK_COLS, size);
}

static void gemm_t_bf16(float *y, size_t y_stride, const float *w, size_t w_stride,
                        int64_t row_count, const uint16_t *x, size_t x_stride, int64_t x_count,
                        int64_t col_count) {
    pairs own;
    for (int64_t r = 0; r < row_count; r += PIECE_ROWS)
        for (int64_t c = 0; c < col_count; c += PIECE_COLS) {
            const int64_t rows = row_count - r < PIECE_ROWS ? row_count - r : PIECE_ROWS;
            const int64_t cols = col_count - c < PIECE_COLS ? col_count - c : PIECE_COLS;
            pair_rows(w + (size_t)r * w_stride + c, w_stride, rows, cols, &own);
            for (int64_t t = 0; t < x_count; t += INPUTS) {
                const numbers of = {x + (size_t)t * x_stride + r, x_stride,
                                    x_count - t < INPUTS ? x_count - t : INPUTS};
                float *to = y + (size_t)t * y_stride + c;
                int64_t done = 0;
                for (; done + BLOCK_COLS <= cols; done += BLOCK_COLS)
                    multiply(to + done, y_stride, &own, done, of, rows);
                if (done < cols)
                    multiply_last(to + done, y_stride, &own, done, cols - done, of, rows);
            }
        }
}

void kernels_fill_amx_bf16_back(kernels *k) {
    k->gemm_t_bf16 = gemm_t_bf16;
}

#endif
