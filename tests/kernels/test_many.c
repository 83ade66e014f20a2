/* Products with many inputs, at every level that has them, emulated ones too: the bits of gemm,
 * whatever the sizes; nothing read or written beside. */
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
    ROWS = KERNELS_MANY_ROWS,
    COLS_MAX = 1100, /* more than two pieces of any level */
    INPUTS_MAX = 67,
    SUMS = INPUTS_MAX * ROWS
};

typedef struct places {
    guarded weights, inputs;
    float *turned, *y, *want;
} places;

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
    k->multiply_turned(p->y + GUARD, p->turned, x, stride, inputs, cols);
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
    free(p.turned), free(p.y), free(p.want);
    if (seen == 0) skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_inputs_have_the_bits_of_gemm)};
    return cmocka_run_group_tests(tests, find_levels, NULL);
}
