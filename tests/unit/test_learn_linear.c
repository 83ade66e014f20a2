/* Products of gradients at every level: more positions and more rows than one layout of the inputs
 * holds, matrices narrower than a block, against sums in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "learn/linear.h"
#include "tests/support/guarded.h"
#include "tests/support/levels.h"
#include "tests/support/pooled.h"

typedef struct shape {
    int64_t rows, cols;
    int count;
} shape;

static float *random_floats(size_t count, uint64_t seed) {
    float *x = take(count * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = random_float(&seed);
    return x;
}

/* Sums of terms of at most 1 in magnitude. */
static void check(const kernels *k, const char *what, bool bf16, double got, double want,
                  int64_t terms) {
    const double most = bf16 ? 0x1p-7 * sqrt((double)terms) + 0x1p-7 : 1e-6 * (double)terms;
    if (!(fabs(got - want) <= most))
        fail_msg("%s: %s of %d terms: %g instead of %g", k->name, what, (int)terms, got, want);
}

static void check_shape(const kernels *k, const shape *s, int threads, bool bf16) {
    const size_t rows = (size_t)s->rows, cols = (size_t)s->cols, count = (size_t)s->count;
    pooled p = pooled_make(k, threads, s->cols, bf16);
    float *w = random_floats(rows * cols, 1), *dy = random_floats(count * rows, 2);
    float *x = random_floats(count * cols, 3);
    float *dx = random_floats(count * cols, 4), *dw = random_floats(rows * cols, 5);
    const matrix m = {.data = (const unsigned char *)w,
                      .type = QUANT_F32,
                      .row_count = s->rows,
                      .col_count = s->cols,
                      .row_size = cols * sizeof *w};
    learn_product_t(&p.c, &m, (learn_x){dy, rows}, dx, cols, s->count);
    learn_outer(&p.c, dw, s->rows, s->cols, (learn_x){dy, rows}, (learn_x){x, cols}, s->count);
    uint64_t seed = 4;
    for (size_t t = 0; t < count; t++)
        for (size_t c = 0; c < cols; c++) {
            double sum = (double)random_float(&seed);
            for (size_t r = 0; r < rows; r++) sum += (double)dy[t * rows + r] * w[r * cols + c];
            check(k, "dx", bf16, (double)dx[t * cols + c], sum, s->rows);
        }
    seed = 5;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) {
            double sum = (double)random_float(&seed);
            for (size_t t = 0; t < count; t++) sum += (double)dy[t * rows + r] * x[t * cols + c];
            check(k, "dw", bf16, (double)dw[r * cols + c], sum, s->count);
        }
    free(w), free(dy), free(x), free(dx), free(dw);
    pooled_drop(&p);
}

static const shape shapes[] = {
    {1, 1, 1}, {16, 16, 5}, {100, 16, 13}, {33, 40, 70}, {7, 5, LINEAR_MANY + 14}, {300, 270, 25}};

static void every_shape_in_float32(void **state) {
    (void)state;
    FOR_LEVELS(k)
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_shape(k, &shapes[i], 1 + (int)i % 3, false);
}

static void every_shape_in_bf16(void **state) {
    (void)state;
    FOR_LEVELS(k)
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_shape(k, &shapes[i], 1 + (int)i % 3, true);
    if (level_count == 0) skip();
}

int main(void) {
    const struct CMUnitTest floats[] = {cmocka_unit_test(every_shape_in_float32)};
    const struct CMUnitTest rounded[] = {cmocka_unit_test(every_shape_in_bf16)};
    return cmocka_run_group_tests(floats, find_levels, NULL) +
           cmocka_run_group_tests(rounded, find_bf16_levels, NULL);
}
