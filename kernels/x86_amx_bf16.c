/* AMX: float weights as they are stored by tiles of BF16, for long batches. A piece is laid out as
 * x86_bf16.h draws it; sixteen of its registers, every other one, are the tile of a block of 32
 * columns, and both halves of the rows meet the inputs at once (x86_amx.h):
 *
 *     piece, block b   | pair 0: rows 0 .. 15 | rows 16 .. 31 | pair 1: rows 0 .. 15 | ...
 *                        tile of w 0, row 0     of w 1, row 0   of w 0, row 1
 *
 * The arithmetic is that of x86_amx_packed.c. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include "kernels/x86_amx.h"
#include "kernels/x86_bf16.h"

INLINE void multiply(quant_type type, float *y, const unsigned char *w, size_t row_size,
                     int64_t row_count, const uint16_t *x, size_t x_stride, int64_t x_count,
                     int64_t col_count, kernels_fetch fetch, unsigned char *scratch) {
    const size_t size = size_of(type);
    piece *own = (piece *)(void *)scratch;
    (void)fetch; /* whether that is worth it, only the machine can tell */
    memset(y, 0, (size_t)x_count * KERNELS_BF16_ROWS * sizeof *y);
    for (int64_t c = 0; c < col_count; c += PIECE_COLS) {
        const int64_t cols = col_count - c < PIECE_COLS ? col_count - c : PIECE_COLS;
        unpack(type, w + (size_t)c * size, row_size, row_count, cols, own);
        const tile_product p = {.y = {y, y + LANES},
                                .y_line = KERNELS_BF16_ROWS,
                                .w = {own->lines[0], own->lines[0] + 1},
                                .w_line = sizeof own->lines[0],
                                .w_step = TILE_ROWS * sizeof own->lines[0],
                                .x = x + c,
                                .x_line = x_stride,
                                .x_count = x_count,
                                .step_count = (int)(cols / BLOCK)};
        tiles_multiply(2, &p);
    }
}

BF16_EACH(BF16_MULTIPLY)

void kernels_fill_amx_bf16(kernels *k) {
    k->quantise_bf16 = quantise_bf16;
    BF16_EACH(BF16_FILL)
}

#endif
