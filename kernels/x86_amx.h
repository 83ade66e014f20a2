/* Products by tiles of AMX: one or two register-wide columns of outputs times inputs, over the
 * blocks of a piece that was unpacked to BF16:
 *
 *                          w 0     w 1
 *                            B6      B7         two inputs tiles times two of weights: four tile
 *     inputs  0 .. 15   A4   C0      C1         loads for four products
 *     inputs 16 .. 31   A5   C2      C3
 *
 * Needs AMX with BF16. */
#ifndef KERNELS_X86_AMX_H
#define KERNELS_X86_AMX_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

enum { TILE_ROWS = 16, TILE_COLS = 32 };

/* Shapes of the eight tiles when the last inputs are `rows`. gcc 12 believes that loading the
 * shapes reads eight bytes; from constants nothing can go amiss. */
typedef struct tile_shapes {
    uint8_t palette, start_row, none[14];
    uint16_t row_size[16];
    uint8_t row_count[16];
} tile_shapes;
/* clang-format off: it would give each number a line */
#define SHAPES(n)                                                                                  \
    {                                                                                              \
        .palette = 1, .row_size = {64, 64, 64, 64, 64, 64, 64, 64}, .row_count = {                 \
            n,                                                                                     \
            n,                                                                                     \
            n,                                                                                     \
            n,                                                                                     \
            n,                                                                                     \
            n,                                                                                     \
            16,                                                                                    \
            16                                                                                     \
        }                                                                                          \
    }
/* clang-format on */
static const tile_shapes shapes[TILE_ROWS] = {
    SHAPES(16), SHAPES(1), SHAPES(2),  SHAPES(3),  SHAPES(4),  SHAPES(5),  SHAPES(6),  SHAPES(7),
    SHAPES(8),  SHAPES(9), SHAPES(10), SHAPES(11), SHAPES(12), SHAPES(13), SHAPES(14), SHAPES(15)};
#undef SHAPES

/* Nor do gcc's loads and stores of tiles say that they touch memory. */
INLINE void memory_is_touched(void) {
    __asm__ volatile("" ::: "memory");
}

typedef struct tile_product {
    float *y[2];      /* sixteen outputs of each input, y_line floats apart; added to */
    size_t y_line;    /* a multiple of 16 */
    const void *w[2]; /* tile b begins w_step * b bytes on, its rows are w_line bytes apart */
    size_t w_line, w_step;
    const uint16_t *x; /* bf16, x_line of them apart; block b begins 32 b on */
    size_t x_line;
    int64_t x_count;
    int step_count; /* blocks of 32 columns */
} tile_product;

/* One or two tiles of inputs from the t-th on. Tiles by number, as drawn above: the instructions
 * know no variables. */
INLINE void tiles_pass(int input_tiles, int w_count, const tile_product *p, int64_t t) {
    const size_t line = p->y_line * sizeof(float), stride = p->x_line * sizeof *p->x;
    const uint16_t *x = p->x + (size_t)t * p->x_line, *next = x + TILE_ROWS * p->x_line;
    const char *w[2] = {p->w[0], p->w[1]};
    float *const y[2] = {p->y[0] + (size_t)t * p->y_line, p->y[1] + (size_t)t * p->y_line};
    float *const z[2] = {y[0] + TILE_ROWS * p->y_line, y[1] + TILE_ROWS * p->y_line};
    _tile_loadd(0, y[0], line);
    if (w_count > 1) _tile_loadd(1, y[1], line);
    if (input_tiles > 1) _tile_loadd(2, z[0], line);
    if (input_tiles > 1 && w_count > 1) _tile_loadd(3, z[1], line);
    for (int b = 0; b < p->step_count; b++, x += TILE_COLS, next += TILE_COLS) {
        _tile_loadd(6, w[0] + (size_t)b * p->w_step, p->w_line);
        _tile_loadd(4, x, stride);
        _tile_dpbf16ps(0, 4, 6);
        if (w_count > 1) {
            _tile_loadd(7, w[1] + (size_t)b * p->w_step, p->w_line);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (input_tiles < 2) continue;
        _tile_loadd(5, next, stride);
        _tile_dpbf16ps(2, 5, 6);
        if (w_count > 1) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, y[0], line);
    if (w_count > 1) _tile_stored(1, y[1], line);
    if (input_tiles > 1) _tile_stored(2, z[0], line);
    if (input_tiles > 1 && w_count > 1) _tile_stored(3, z[1], line);
}

/* All inputs. */
INLINE void tiles_multiply(int w_count, const tile_product *p) {
    memory_is_touched();
    _tile_loadconfig(&shapes[0]);
    for (int64_t t = 0; t < p->x_count;) {
        const int64_t left = p->x_count - t;
        if (left >= 2 * TILE_ROWS) {
            tiles_pass(2, w_count, p, t);
            t += 2 * TILE_ROWS;
            continue;
        }
        if (left < TILE_ROWS) _tile_loadconfig(&shapes[left]);
        tiles_pass(1, w_count, p, t);
        t += TILE_ROWS;
    }
    _tile_release();
    memory_is_touched();
}

#endif
