/* Products of many rows at once, turned or as they are stored, at every level that has them,
 * emulated ones too: the bits of gemm, whatever the sizes; nothing read or written beside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/guarded.h"
#include "tests/support/levels.h"

enum {
    ROWS = KERNELS_MANY_ROWS, /* KERNELS_STORED_ROWS as well */
    COLS_MAX = 1100,          /* more than two pieces of any level */
    INPUTS_MAX = 67,
    SUMS = INPUTS_MAX * ROWS
};

typedef struct places {
    guarded weights, inputs;
    float *turned, *tiled, *y, *want;
} places;

/* As kernels.h draws it; what is missing of the last tile stays what it was. */
static void tile(float *tiled, const float *x, size_t stride, int64_t cols, int64_t inputs) {
    const int64_t steps = (cols + KERNELS_LANES - 1) / KERNELS_LANES;
    for (int64_t t = 0; t < inputs; t++)
        for (int64_t c = 0; c < steps * KERNELS_LANES; c++) {
            const int64_t lane = c % KERNELS_LANES, step = c / KERNELS_LANES;
            const int64_t at = (t / KERNELS_TILE * KERNELS_LANES + lane) * steps + step;
            tiled[at * KERNELS_TILE + t % KERNELS_TILE] =
                c < cols ? x[(size_t)t * stride + (size_t)c] : 0;
        }
}

static void check(const kernels *k, places *p, int64_t rows, int64_t cols, int64_t inputs) {
    const float *w = place(&p->weights, (size_t)(rows * cols), (uint64_t)(rows + cols));
    const size_t stride = (size_t)cols + 3;
    const float *x =
        place(&p->inputs, (size_t)(inputs - 1) * stride + (size_t)cols, (uint64_t)inputs);
    const size_t turned =
        ROWS * (size_t)((cols + KERNELS_LANES - 1) / KERNELS_LANES) * KERNELS_LANES;
    cover(p->turned + turned, GUARD);
    cover(p->y, SUMS + 2 * GUARD);
    for (int64_t r = 0; r < rows; r += KERNELS_ROWS)
        k->turn(p->turned, r, w + r * cols, (size_t)cols,
                rows - r < KERNELS_ROWS ? rows - r : KERNELS_ROWS, cols);
    assert_covered(p->turned + turned, GUARD);
    tile(p->tiled, x, stride, cols, inputs);
    k->multiply_turned(p->y + GUARD, p->turned, p->tiled, inputs, cols);
    assert_covered(p->y, GUARD);
    assert_covered(p->y + GUARD + inputs * ROWS, (size_t)((INPUTS_MAX - inputs) * ROWS) + GUARD);
    for (int64_t r = 0; r < rows; r += KERNELS_ROWS)
        k->gemm(p->want + r, ROWS, w + r * cols, (size_t)cols,
                rows - r < KERNELS_ROWS ? rows - r : KERNELS_ROWS, x, stride, inputs, cols);
    for (int64_t t = 0; t < inputs; t++)
        for (int64_t r = 0; r < rows; r++)
            if (memcmp(&p->y[GUARD + t * ROWS + r], &p->want[t * ROWS + r], sizeof(float)) != 0)
                fail_msg("%s: row %d of %d x %d, input %d of %d: %a, not %a", k->name, (int)r,
                         (int)rows, (int)cols, (int)t, (int)inputs,
                         (double)p->y[GUARD + t * ROWS + r], (double)p->want[t * ROWS + r]);
}

static void many_inputs_have_the_bits_of_gemm(void **state) {
    (void)state;
    places p = {.weights = guarded_make((size_t)ROWS * COLS_MAX * 4),
                .inputs = guarded_make((size_t)INPUTS_MAX * (COLS_MAX + 3) * 4),
                .turned = take((ROWS * (COLS_MAX + KERNELS_LANES) + GUARD) * 4),
                .tiled = take((INPUTS_MAX + KERNELS_TILE) * (COLS_MAX + KERNELS_LANES) * 4),
                .y = take((SUMS + 2 * GUARD) * 4),
                .want = take(SUMS * 4)};
    static const int64_t wide[] = {511, 512, 513, 1024, COLS_MAX};
    int seen = 0;
    FOR_LEVELS(k) {
        if (k->multiply_turned == NULL) continue;
        seen++;
        for (int64_t cols = 1; cols <= 67; cols++)
            check(k, &p, 1 + cols * 7 % ROWS, cols, 1 + cols * 5 % INPUTS_MAX);
        for (int i = 0; i < 5; i++) check(k, &p, ROWS - i, wide[i], INPUTS_MAX - 9 * i);
    }
    guarded_drop(&p.weights), guarded_drop(&p.inputs);
    free(p.turned), free(p.tiled), free(p.y), free(p.want);
    if (seen == 0) skip();
}

/* Rows of a float type, which begin at odd addresses and end at an unreadable page. */
typedef struct stored {
    guarded rows, inputs;
    float *panel, *y, *want;
} stored;

static void check_stored(const kernels *k, stored *p, quant_type type, int64_t rows, int64_t cols,
                         int64_t inputs) {
    const size_t size = quant_describe((uint32_t)type)->block_size * (size_t)cols;
    const size_t row_size = size + 5, x_stride = (size_t)cols + 3, y_stride = ROWS + 1;
    const float *x =
        place(&p->inputs, (size_t)(inputs - 1) * x_stride + (size_t)cols, (uint64_t)inputs);
    unsigned char *w = p->rows.end - ((size_t)(rows - 1) * row_size + size);
    uint64_t seed = (uint64_t)(rows * cols) + type;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++) p->panel[c] = random_float(&seed);
        assert_true(quant_quantise(type, p->panel, w + (size_t)r * row_size, cols));
    }
    const size_t outputs = (size_t)inputs * y_stride;
    cover(p->y, outputs + 2 * GUARD);
    memcpy(p->want, p->y, (outputs + 2 * GUARD) * sizeof(float));
    k->gemm_stored[type](p->y + GUARD, y_stride, w, row_size, rows, x, x_stride, inputs, cols,
                         inputs % 2 == 0 ? KERNELS_FETCH_L2 : KERNELS_FETCH_NONE);
    for (int64_t r = 0; r < rows; r += KERNELS_ROWS) {
        const int64_t some = rows - r < KERNELS_ROWS ? rows - r : KERNELS_ROWS;
        for (int64_t i = 0; i < some; i++)
            k->dequantise(type, w + (size_t)(r + i) * row_size, p->panel + i * cols, cols);
        k->gemm(p->want + GUARD + r, y_stride, p->panel, (size_t)cols, some, x, x_stride, inputs,
                cols);
    }
    if (memcmp(p->y, p->want, (outputs + 2 * GUARD) * sizeof(float)) != 0)
        fail_msg("%s %s: %d x %d, %d inputs: other bits than gemm's", k->name,
                 quant_describe((uint32_t)type)->name, (int)rows, (int)cols, (int)inputs);
}

static void stored_rows_have_the_bits_of_gemm(void **state) {
    (void)state;
    enum { MORE = 133 }; /* than one part of the inputs */
    static const quant_type types[] = {QUANT_F32, QUANT_F16, QUANT_BF16};
    static const int64_t wide[] = {511, 512, 513, 1024, COLS_MAX};
    stored p = {.rows = guarded_make((size_t)ROWS * (COLS_MAX * 4 + 5)),
                .inputs = guarded_make((size_t)MORE * (COLS_MAX + 3) * 4),
                .panel = take((size_t)KERNELS_ROWS * COLS_MAX * 4),
                .y = take((MORE * (ROWS + 1) + 2 * GUARD) * 4),
                .want = take((MORE * (ROWS + 1) + 2 * GUARD) * 4)};
    int seen = 0;
    FOR_LEVELS(k)
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (k->gemm_stored[types[i]] == NULL) continue;
        seen++;
        for (int64_t cols = 1; cols <= 67; cols++)
            check_stored(k, &p, types[i], 1 + cols * 7 % ROWS, cols, 1 + cols * 5 % INPUTS_MAX);
        for (int n = 0; n < 5; n++)
            check_stored(k, &p, types[i], ROWS - 5 * n, wide[n], MORE - 23 * n);
    }
    guarded_drop(&p.rows), guarded_drop(&p.inputs);
    free(p.panel), free(p.y), free(p.want);
    if (seen == 0) skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_inputs_have_the_bits_of_gemm),
                                       cmocka_unit_test(stored_rows_have_the_bits_of_gemm)};
    return cmocka_run_group_tests(tests, find_levels, NULL);
}
