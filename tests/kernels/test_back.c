/* The kernels of gradients, every level: the product by the transpose is a chain of multiply-adds
 * for each output, fused in all levels but the scalar one, and that in every bit, whatever the
 * sizes; the backward of silu(a) b is that of double precision. Inputs end at an unreadable page,
 * outputs stand between canaries. */
#include <math.h>
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

enum { ROWS_MAX = 67, COLS_MAX = 67, INPUTS_MAX = 26, STRIDE = COLS_MAX + GUARD };

typedef struct product {
    int64_t rows, cols, inputs;
    size_t x_stride, x_step;
} product;

/* One output, as the law has it. */
static float chain(const kernels *k, float y, const product *p, const float *w, const float *x) {
    for (int64_t r = 0; r < p->rows; r++) {
        const float a = x[(size_t)r * p->x_step], b = w[(size_t)r * (size_t)p->cols];
        y = k == levels ? y + a * b : fmaf(a, b, y);
    }
    return y;
}

static void check_product(const kernels *k, const product *p, const guarded *gw, const guarded *gx,
                          float *y, float *before) {
    const size_t x_count =
        (size_t)(p->inputs - 1) * p->x_stride + (size_t)(p->rows - 1) * p->x_step + 1;
    const float *w = place(gw, (size_t)(p->rows * p->cols), (uint64_t)(p->rows + p->cols));
    const float *x = place(gx, x_count, (uint64_t)p->inputs);
    uint64_t seed = 3;
    cover(y, INPUTS_MAX * STRIDE + GUARD);
    for (int64_t t = 0; t < p->inputs; t++)
        for (int64_t c = 0; c < p->cols; c++)
            y[(size_t)t * STRIDE + GUARD + (size_t)c] = random_float(&seed);
    memcpy(before, y, (INPUTS_MAX * STRIDE + GUARD) * sizeof *y);
    const int64_t half = p->rows / 2; /* cut anywhere, the bits are the same */
    k->gemm_t(y + GUARD, STRIDE, w, (size_t)p->cols, half, x, p->x_stride, p->x_step, p->inputs,
              p->cols);
    k->gemm_t(y + GUARD, STRIDE, w + half * p->cols, (size_t)p->cols, p->rows - half,
              x + (size_t)half * p->x_step, p->x_stride, p->x_step, p->inputs, p->cols);
    for (int64_t t = 0; t < p->inputs; t++) {
        const float *row = y + (size_t)t * STRIDE;
        assert_covered(row, GUARD);
        assert_covered(row + GUARD + p->cols, (size_t)(COLS_MAX - p->cols));
        for (int64_t c = 0; c < p->cols; c++) {
            const float want = chain(k, before[(size_t)t * STRIDE + GUARD + (size_t)c], p, w + c,
                                     x + (size_t)t * p->x_stride);
            if (memcmp(&want, &row[GUARD + c], sizeof want) != 0)
                fail_msg("%s: %d rows, %d columns, input %d of %d, column %d: %a, not %a", k->name,
                         (int)p->rows, (int)p->cols, (int)t, (int)p->inputs, (int)c,
                         (double)row[GUARD + c], (double)want);
        }
    }
}

static void the_transposed_product_is_a_chain_in_every_bit(void **state) {
    (void)state;
    guarded gw = guarded_make((size_t)ROWS_MAX * COLS_MAX * 4);
    guarded gx = guarded_make((size_t)ROWS_MAX * INPUTS_MAX * 2 * 4);
    float *y = take((INPUTS_MAX * STRIDE + GUARD) * 4);
    float *before = take((INPUTS_MAX * STRIDE + GUARD) * 4);
    static const int64_t rows[] = {1, 2, 63, ROWS_MAX};
    FOR_LEVELS(k)
    for (int64_t cols = 1; cols <= COLS_MAX; cols++)
        for (int64_t some = 0; some < 2; some++) {
            const int64_t inputs = 1 + cols % 13 + some * 13, own = rows[(cols + some) % 4];
            const product dense = {own, cols, inputs, (size_t)own + 1, 1};
            const product turned = {own, cols, inputs, 1, (size_t)inputs};
            check_product(k, &dense, &gw, &gx, y, before);
            check_product(k, &turned, &gw, &gx, y, before);
        }
    free(y), free(before);
    guarded_drop(&gw);
    guarded_drop(&gx);
}

static void check_gate(const kernels *k, const float *a, const float *b, const float *d,
                       int count) {
    float da[COLS_MAX + GUARD], db[COLS_MAX + GUARD];
    cover(da, COLS_MAX + GUARD);
    cover(db, COLS_MAX + GUARD);
    memcpy(da, a, (size_t)count * sizeof *a);
    memcpy(db, b, (size_t)count * sizeof *b);
    k->silu_mul_back(da, db, d, count);
    assert_covered(da + count, GUARD);
    assert_covered(db + count, GUARD);
    for (int i = 0; i < count; i++) {
        const double x = (double)a[i], s = 1 / (1 + exp(-x)), g = (double)d[i];
        const double want_a = g * (double)b[i] * s * (1 + x * (1 - s)), want_b = g * x * s;
        if (fabs((double)da[i] - want_a) > 2e-6 * fabs(g) * (fabs((double)b[i]) + 0.1) ||
            fabs((double)db[i] - want_b) > 1e-6 * fabs(g) * (fabs(x) + 0.1))
            fail_msg("%s: at a = %g: %g and %g instead of %g and %g", k->name, x, (double)da[i],
                     (double)db[i], want_a, want_b);
    }
}

static void the_gate_goes_back_right(void **state) {
    (void)state;
    guarded ga = guarded_make(COLS_MAX * 4), gb = guarded_make(COLS_MAX * 4);
    guarded gd = guarded_make(COLS_MAX * 4);
    FOR_LEVELS(k)
    for (int count = 1; count <= COLS_MAX; count++) {
        float *a = place(&ga, (size_t)count, (uint64_t)count);
        const float *b = place(&gb, (size_t)count, 5), *d = place(&gd, (size_t)count, 6);
        for (int i = 0; i < count; i++) a[i] *= i % 3 == 0 ? 1 : i % 3 == 1 ? 20 : 120;
        check_gate(k, a, b, d, count);
    }
    guarded_drop(&ga), guarded_drop(&gb), guarded_drop(&gd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_transposed_product_is_a_chain_in_every_bit),
        cmocka_unit_test(the_gate_goes_back_right),
    };
    return cmocka_run_group_tests(tests, find_levels, NULL);
}
