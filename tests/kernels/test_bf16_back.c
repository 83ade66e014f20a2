/* The product by the transpose in BF16, at every level that has it, emulated ones too: the bound of
 * kernels.h on all sizes, nothing read or written beside, what is not finite stays so, and an
 * output has its bits whatever stands beside it and wherever the rows are cut. */
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

enum {
    BLOCK = KERNELS_BF16_COLS,
    ROWS_MAX = 9 * BLOCK + 3, /* more than a piece */
    X_CAP = (ROWS_MAX / BLOCK + 2) * BLOCK,
    COLS_MAX = 270,
    INPUTS_MAX = 131,
    STRIDE = COLS_MAX + GUARD,
    SIZE = INPUTS_MAX * STRIDE + GUARD
};

typedef struct product {
    int64_t rows, cols, inputs;
    size_t x_stride;
    bool wild;
} product;

typedef struct places {
    guarded weights, inputs;
    float *y, *before, *again;
} places;

/* An infinity, a NaN or a subnormal number now and then. */
static void make_wild(float *x, size_t count, uint64_t seed) {
    static const float strange[] = {INFINITY, -INFINITY, NAN, 1e-40f};
    for (size_t i = 0; i < count; i++)
        if (next_random(&seed) % 700 == 0) x[i] = strange[next_random(&seed) % 4];
}

static void check_bound(const kernels *k, const product *p, const places *own, const float *w,
                        const uint16_t *x) {
    const double part = 0x1p-7 + 0x1p-16 + ((double)p->rows / 2 + 2) * 0x1p-23;
    for (int64_t t = 0; t < p->inputs; t++)
        for (int64_t c = 0; c < p->cols; c++) {
            const size_t at = (size_t)t * STRIDE + GUARD + (size_t)c;
            const float got = own->y[at];
            double sum = (double)own->before[at], size = fabs(sum), tiny = (double)p->rows;
            for (int64_t r = 0; r < p->rows; r++) {
                const double a = (double)w[r * p->cols + c];
                const double b = (double)quant_bf16_to_f32(x[(size_t)t * p->x_stride + (size_t)r]);
                sum += a * b, size += fabs(a * b), tiny += fabs(a) + fabs(b);
            }
            if (isfinite(sum) ? fabs((double)got - sum) > part * size + 0x1p-126 * tiny
                              : isfinite(got))
                fail_msg("%s: %d rows, %d columns, input %d of %d, column %d: %g instead of %g",
                         k->name, (int)p->rows, (int)p->cols, (int)t, (int)p->inputs, (int)c,
                         (double)got, sum);
        }
}

static bool same(float a, float b) { /* which NaN it is says nothing */
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

/* The last input alone, its rows cut in two where there is a block. */
static void check_alone(const kernels *k, const product *p, const places *own, const float *w,
                        const uint16_t *x) {
    const int64_t last = p->inputs - 1, first = p->rows > BLOCK ? BLOCK : p->rows;
    const uint16_t *from = x + (size_t)last * p->x_stride;
    const size_t cols = (size_t)p->cols;
    memcpy(own->again, own->before, SIZE * sizeof(float));
    float *y = own->again + (size_t)last * STRIDE + GUARD;
    /* What stands beyond the first block is not read with it. */
    k->gemm_t_bf16(y, STRIDE, w, cols, first, from, p->x_stride, 1, p->cols);
    if (p->rows > first)
        k->gemm_t_bf16(y, STRIDE, w + (size_t)first * cols, cols, p->rows - first, from + first,
                       p->x_stride, 1, p->cols);
    for (size_t c = 0; c < cols; c++)
        assert_true(same(y[c], own->y[(size_t)last * STRIDE + GUARD + c]));
}

static void check_product(const kernels *k, const product *p, places *own) {
    const int64_t whole = (p->rows + BLOCK - 1) / BLOCK * BLOCK;
    const size_t x_count = (size_t)(p->inputs - 1) * p->x_stride + (size_t)whole;
    const size_t w_count = (size_t)(p->rows * p->cols);
    float *w = place(&own->weights, w_count, (uint64_t)(p->rows + p->cols));
    uint16_t *x = (uint16_t *)(void *)own->inputs.end - x_count;
    uint64_t seed = 3, x_seed = (uint64_t)p->inputs;
    memset(x, 0xff, x_count * sizeof *x); /* NaN */
    for (int64_t t = 0; t < p->inputs; t++) {
        float row[X_CAP] = {0};
        for (int64_t r = 0; r < p->rows; r++) row[r] = random_float(&x_seed);
        if (p->wild) make_wild(row, (size_t)p->rows, 6 + (uint64_t)t);
        k->quantise_bf16(row, whole, x + (size_t)t * p->x_stride);
    }
    if (p->wild) make_wild(w, w_count, 5);
    cover(own->y, SIZE);
    for (int64_t t = 0; t < p->inputs; t++)
        for (int64_t c = 0; c < p->cols; c++)
            own->y[(size_t)t * STRIDE + GUARD + (size_t)c] = random_float(&seed);
    memcpy(own->before, own->y, SIZE * sizeof(float));
    k->gemm_t_bf16(own->y + GUARD, STRIDE, w, (size_t)p->cols, p->rows, x, p->x_stride, p->inputs,
                   p->cols);
    for (int64_t t = 0; t < p->inputs; t++) {
        assert_covered(own->y + (size_t)t * STRIDE, GUARD);
        assert_covered(own->y + (size_t)t * STRIDE + GUARD + p->cols, (size_t)(COLS_MAX - p->cols));
    }
    check_bound(k, p, own, w, x);
    check_alone(k, p, own, w, x);
}

static void any_size_stays_within_the_bound(void **state) {
    (void)state;
    places own = {.weights = guarded_make((size_t)ROWS_MAX * COLS_MAX * 4),
                  .inputs = guarded_make((size_t)X_CAP * INPUTS_MAX * 2),
                  .y = take(SIZE * 4),
                  .before = take(SIZE * 4),
                  .again = take(SIZE * 4)};
    static const int64_t rows[] = {1, 2, 31, BLOCK, BLOCK + 1, 2 * BLOCK, ROWS_MAX};
    static const int64_t cols[] = {1, 16, 17, 32, 33, 67, 256, COLS_MAX};
    const int step = getenv("RUNNEL_TEST_SHORT") != NULL ? 5 : 1;
    FOR_LEVELS(k)
    for (int i = 0; i < 56; i += step) {
        const int64_t inputs = i % 11 == 10 ? INPUTS_MAX : 1 + i % 27, own_rows = rows[i % 7];
        const bool wild = i % 3 == 0;
        const size_t whole = (size_t)((own_rows + BLOCK - 1) / BLOCK * BLOCK);
        const product p = {own_rows, cols[i % 8], inputs, whole + (i % 2 == 0 ? BLOCK : 0), wild};
        check_product(k, &p, &own);
    }
    guarded_drop(&own.weights), guarded_drop(&own.inputs);
    free(own.y), free(own.before), free(own.again);
    if (level_count == 0) skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_size_stays_within_the_bound)};
    return cmocka_run_group_tests(tests, find_bf16_levels, NULL);
}
