/* Products of float weights in BF16 over the pool, at every level that has them: near those in
 * float32, with the same bits for any threads and any cut of the batch, only when asked for, and
 * only for rows that the kernels can take. */
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
#include "tests/support/pooled.h"

enum {
    ROWS = 75,
    COLS = 256,
    COUNT = 150,
    SIZE = COUNT * ROWS
}; /* more than one block of inputs */

typedef struct values {
    uint16_t *halves; /* [ROWS, COLS], of either kind */
    float *x, *bias, *plain, *want, *got, *raised;
    matrix w;
} values;

static values draw(quant_type type, int64_t col_count) {
    values v = {.halves = take(sizeof(uint16_t) * ROWS * COLS),
                .x = take(sizeof(float) * COUNT * COLS),
                .bias = take(sizeof(float) * ROWS),
                .plain = take(sizeof(float) * SIZE),
                .want = take(sizeof(float) * SIZE),
                .got = take(sizeof(float) * SIZE),
                .raised = take(sizeof(float) * SIZE)};
    uint64_t seed = 1;
    for (int i = 0; i < ROWS * COLS; i++) {
        const float value = random_float(&seed);
        assert_true(quant_quantise(type, &value, v.halves + i, 1));
    }
    for (int i = 0; i < COUNT * COLS; i++) v.x[i] = random_float(&seed);
    for (int i = 0; i < ROWS; i++) v.bias[i] = random_float(&seed);
    v.w = (matrix){.data = (const unsigned char *)v.halves,
                   .type = type,
                   .row_count = ROWS,
                   .col_count = col_count,
                   .row_size = sizeof(uint16_t) * COLS};
    return v;
}

static void drop_values(values *v) {
    free(v->halves), free(v->x), free(v->bias), free(v->plain), free(v->want), free(v->got);
    free(v->raised);
}

/* By float32, with a bias and added to what stands there. */
static void multiply(const values *v, const kernels *k, int threads, bool bf16, int cut, float *y) {
    pooled f = pooled_make(k, threads, COLS, bf16);
    for (int i = 0; i < SIZE; i++) y[i] = (float)(i % 5);
    for (int t = 0; t < COUNT; t += cut)
        linear_add(&f.c, &v->w, v->bias, v->x + t * COLS, COLS, y + t * ROWS, ROWS,
                   COUNT - t < cut ? COUNT - t : cut);
    pooled_drop(&f);
}

static void any_threads_and_any_cut_give_the_same_bits(void **state) {
    (void)state;
    values v = draw(QUANT_F16, COLS);
    FOR_LEVELS(k) {
        multiply(&v, k, 1, false, COUNT, v.plain);
        multiply(&v, k, 1, true, COUNT, v.want);
        for (int threads = 1; threads <= 3; threads++) {
            multiply(&v, k, threads, true, threads == 1 ? 17 : COUNT, v.got);
            assert_memory_equal(v.got, v.want, sizeof(float) * SIZE);
        }
        assert_memory_not_equal(v.plain, v.want, sizeof(float) * SIZE);
        for (int i = 0; i < SIZE; i++)
            assert_true(fabsf(v.plain[i] - v.want[i]) <= 0x1.1p-7f * COLS / 2);
    }
    drop_values(&v);
}

static void rows_that_are_no_blocks_stay_float32(void **state) {
    (void)state;
    values v = draw(QUANT_F16, COLS - 1);
    FOR_LEVELS(k) {
        multiply(&v, k, 2, false, COUNT, v.plain);
        multiply(&v, k, 2, true, COUNT, v.want);
        assert_memory_equal(v.plain, v.want, sizeof(float) * SIZE);
    }
    drop_values(&v);
}

static void gates_are_two_products(void **state) {
    (void)state;
    values v = draw(QUANT_F16, COLS);
    matrix up = v.w;
    up.row_size = 0; /* the first row again and again: another matrix */
    FOR_LEVELS(k) {
        pooled f = pooled_make(k, 2, COLS, true);
        linear(&f.c, &v.w, NULL, v.x, COLS, v.want, ROWS, COUNT);
        linear(&f.c, &up, NULL, v.x, COLS, v.raised, ROWS, COUNT);
        k->silu_mul(v.want, v.want, v.raised, SIZE);
        linear_gated(&f.c, &v.w, &up, v.x, COLS, v.got, v.raised, COUNT);
        assert_memory_equal(v.got, v.want, sizeof(float) * SIZE);
        pooled_drop(&f);
    }
    drop_values(&v);
}

static double distance(const float *a, const float *b) {
    double sum = 0;
    for (int i = 0; i < SIZE; i++) sum += pow((double)a[i] - (double)b[i], 2);
    return sqrt(sum / SIZE);
}

/* Weights in BF16 are exact, so that all of the error is that of inputs in BF16; weights in halves
 * lose three bits and add as much again, at right angles. */
static void errors_are_those_of_rounded_inputs(void **state) {
    (void)state;
    float *rounded = take(sizeof(float) * COUNT * COLS);
    for (int i = 0; i < 2 * level_count; i++) {
        const kernels *k = &levels[i / 2];
        const quant_type type = i % 2 != 0 ? QUANT_BF16 : QUANT_F16;
        values v = draw(type, COLS), other = v;
        other.x = rounded;
        for (int t = 0; t < COUNT; t++) {
            uint16_t bf16[COLS];
            k->quantise_bf16(v.x + t * COLS, COLS, bf16);
            quant_dequantise(QUANT_BF16, bf16, rounded + t * COLS, COLS);
        }
        multiply(&v, k, 2, false, COUNT, v.plain);
        multiply(&v, k, 2, true, COUNT, v.got);
        multiply(&other, k, 2, false, COUNT, v.want);
        const double part = distance(v.got, v.plain) / distance(v.want, v.plain);
        printf("%s, weights in %s: %.3f of the error of inputs in BF16\n", k->name,
               type == QUANT_BF16 ? "BF16" : "F16", part);
        assert_true(part <= (type == QUANT_BF16 ? 1.01 : 1.5));
        drop_values(&v);
    }
    free(rounded);
}

/* Stored types without a kernel in BF16 are multiplied as floats of the same values, where that is
 * wanted; and as before where it is not. */
static void any_stored_type_is_taken_where_that_is_wanted(void **state) {
    (void)state;
    values v = draw(QUANT_F16, COLS);
    const quant_info *info = quant_describe(QUANT_Q4_0);
    const size_t row_size = COLS / info->block_len * info->block_size;
    unsigned char *rows = take(row_size * ROWS);
    float *floats = take(sizeof(float) * ROWS * COLS);
    uint64_t seed = 4;
    for (int i = 0; i < ROWS * COLS; i++) floats[i] = random_float(&seed);
    for (int r = 0; r < ROWS; r++) {
        assert_true(quant_quantise(QUANT_Q4_0, floats + r * COLS, rows + r * row_size, COLS));
        quant_dequantise(QUANT_Q4_0, rows + r * row_size, floats + r * COLS, COLS);
    }
    matrix w = v.w, plain = v.w;
    w.data = rows, w.type = QUANT_Q4_0, w.row_size = row_size;
    plain.data = (const unsigned char *)floats, plain.type = QUANT_F32;
    plain.row_size = COLS * sizeof *floats;
    FOR_LEVELS(k)
    for (int threads = 1; threads <= 3; threads++) {
        pooled f = pooled_make_any(k, threads, COLS), without = pooled_make(k, 1, COLS, true);
        linear(&f.c, &plain, v.bias, v.x, COLS, v.want, ROWS, COUNT);
        linear(&f.c, &w, v.bias, v.x, COLS, v.got, ROWS, COUNT);
        assert_memory_equal(v.got, v.want, sizeof(float) * SIZE);
        linear(&without.c, &w, v.bias, v.x, COLS, v.got, ROWS, COUNT);
        without.c.bf16 = false;
        linear(&without.c, &w, v.bias, v.x, COLS, v.plain, ROWS, COUNT);
        assert_memory_equal(v.got, v.plain, sizeof(float) * SIZE);
        assert_memory_not_equal(v.got, v.want, sizeof(float) * SIZE);
        pooled_drop(&f), pooled_drop(&without);
    }
    free(rows), free(floats);
    drop_values(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_threads_and_any_cut_give_the_same_bits),
        cmocka_unit_test(rows_that_are_no_blocks_stay_float32),
        cmocka_unit_test(gates_are_two_products),
        cmocka_unit_test(errors_are_those_of_rounded_inputs),
        cmocka_unit_test(any_stored_type_is_taken_where_that_is_wanted),
    };
    return cmocka_run_group_tests(tests, find_bf16_levels, NULL);
}
