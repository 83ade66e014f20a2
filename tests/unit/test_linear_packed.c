/* Products with packed weights over the pool, at every level that can run here or be emulated: the
 * bits depend neither on the threads nor on the cut of the batch nor on the tasks beside, and those
 * of tiles are only used when asked for. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/guarded.h"
#include "tests/support/levels.h"
#include "tests/support/pooled.h"

enum { ROWS = 75, COLS = 512, COUNT = 45, SLABS = (ROWS + PACKED_ROWS - 1) / PACKED_ROWS };

/* A packed matrix of random weights; values, ROWS x COLS, are what it stands for. */
typedef struct packed_case {
    packed_rows packed;
    matrix w;
    unsigned char *slabs;
    float *values;
} packed_case;

static packed_case make_matrix(quant_type type, uint64_t seed) {
    const quant_info *info = quant_describe((uint32_t)type);
    const size_t row = (size_t)COLS / info->block_len * info->block_size;
    packed_case p = {.packed = {.slab_size = packed_slab_size(type, COLS)},
                     .values = take(sizeof(float) * ROWS * COLS)};
    p.slabs = aligned_alloc(PACKED_ALIGN, SLABS * p.packed.slab_size);
    unsigned char *stored = take(ROWS * row);
    assert_non_null(p.slabs);
    for (int i = 0; i < ROWS * COLS; i++) p.values[i] = random_float(&seed);
    assert_true(quant_quantise(type, p.values, stored, (int64_t)ROWS * COLS));
    for (int64_t s = 0; s < SLABS; s++) {
        const int64_t left = ROWS - s * PACKED_ROWS;
        packed_write(type, stored + (size_t)(s * PACKED_ROWS) * row, row,
                     left < PACKED_ROWS ? left : PACKED_ROWS, COLS,
                     p.slabs + (size_t)s * p.packed.slab_size);
    }
    quant_dequantise(type, stored, p.values, (int64_t)ROWS * COLS);
    p.packed.slabs = p.slabs;
    p.w = (matrix){.type = type, .row_count = ROWS, .col_count = COLS, .row_size = row};
    free(stored);
    return p;
}

static void drop_matrix(packed_case *p) {
    free(p->slabs), free(p->values);
}

/* Rounded inputs are off by at most part of the largest of their block, tiles by kernels.h. */
static void check_values(const packed_case *p, const float *x, const float *y, const char *level) {
    const int step = getenv("RUNNEL_TEST_SHORT") != NULL ? 11 : 1; /* of inputs */
    for (int t = 0; t < COUNT; t += step)
        for (int r = 0; r < ROWS; r++) {
            double sum = 0, size = 0;
            for (int c = 0; c < COLS; c++) {
                sum += (double)p->values[r * COLS + c] * (double)x[t * COLS + c];
                size += fabs((double)p->values[r * COLS + c]);
            }
            if (!(fabs((double)y[t * ROWS + r] - sum) <= 0.01 * size))
                fail_msg("%s: input %d row %d is %g instead of %g", level, t, r,
                         (double)y[t * ROWS + r], sum);
        }
}

static void any_threads_and_any_cut_give_the_same_bits(void **state) {
    (void)state;
    static const quant_type types[] = {QUANT_Q4_0, QUANT_Q8_0, QUANT_Q6_K};
    float *x = take(sizeof(float) * COUNT * COLS), *want = take(sizeof(float) * COUNT * ROWS);
    float *got = take(sizeof(float) * COUNT * ROWS), *beside = take(sizeof(float) * COUNT * ROWS);
    float *plain = take(sizeof(float) * COUNT * ROWS);
    uint64_t seed = 1;
    for (int i = 0; i < COUNT * COLS; i++) x[i] = random_float(&seed);
    for (size_t n = 0; n < sizeof types / sizeof *types; n++) {
        packed_case p = make_matrix(types[n], n);
        p.w.packed = &p.packed;
        for (int i = 0; i < 2 * level_count; i++) {
            const kernels *k = &levels[i / 2];
            const bool tiles = i % 2 != 0;
            for (int threads = 1; threads <= 3; threads++) {
                pooled f = pooled_make(k, threads, COLS, tiles);
                linear(&f.c, &p.w, NULL, x, COLS, threads == 1 ? want : got, ROWS, COUNT);
                if (threads > 1) assert_memory_equal(got, want, sizeof(float) * COUNT * ROWS);
                for (int64_t t = 0; t < COUNT; t += 17) /* uneven pieces, two tasks at once */
                    linear_all(&f.c,
                               (linear_task[2]){{&p.w, NULL, beside + t * ROWS, ROWS},
                                                {&p.w, NULL, got + t * ROWS, ROWS}},
                               2, x + t * COLS, COLS, COUNT - t < 17 ? COUNT - t : 17);
                assert_memory_equal(got, want, sizeof(float) * COUNT * ROWS);
                assert_memory_equal(beside, want, sizeof(float) * COUNT * ROWS);
                pooled_drop(&f);
            }
            check_values(&p, x, want, k->name);
            if (!tiles) memcpy(plain, want, sizeof(float) * COUNT * ROWS);
            const bool differs = memcmp(plain, want, sizeof(float) * COUNT * ROWS) != 0;
            assert_true(differs == (tiles && k->multiply_tiles[types[n]] != NULL));
        }
        drop_matrix(&p);
    }
    free(x), free(want), free(got), free(beside), free(plain);
}

/* Gate and up are multiplied side by side when of one type, one after the other when not. */
static void gates_are_two_products(void **state) {
    (void)state;
    static const quant_type ups[] = {QUANT_Q4_0, QUANT_Q8_0};
    enum { SIZE = COUNT * ROWS };
    float *x = take(sizeof(float) * COUNT * COLS), *raised = take(sizeof(float) * SIZE);
    float *want = take(sizeof(float) * SIZE), *got = take(sizeof(float) * SIZE);
    uint64_t seed = 1;
    for (int i = 0; i < COUNT * COLS; i++) x[i] = random_float(&seed);
    packed_case gate = make_matrix(QUANT_Q4_0, 1);
    gate.w.packed = &gate.packed;
    for (size_t n = 0; n < sizeof ups / sizeof *ups; n++) {
        packed_case up = make_matrix(ups[n], 2);
        up.w.packed = &up.packed;
        for (int i = 0; i < 2 * level_count; i++) {
            pooled f = pooled_make(&levels[i / 2], 2, COLS, i % 2 != 0);
            for (int count = 1; count <= COUNT; count += count < 8 ? 1 : COUNT - 8) {
                linear(&f.c, &gate.w, NULL, x, COLS, want, ROWS, count);
                linear(&f.c, &up.w, NULL, x, COLS, raised, ROWS, count);
                f.c.k->silu_mul(want, want, raised, (int64_t)count * ROWS);
                linear_gated(&f.c, &gate.w, &up.w, x, COLS, got, raised, count);
                for (int at = 0; at < count * ROWS; at++)
                    if (memcmp(got + at, want + at, sizeof *got) != 0)
                        fail_msg("%s: %d inputs: value %d is %a, not %a", f.c.k->name, count, at,
                                 (double)got[at], (double)want[at]);
            }
            pooled_drop(&f);
        }
        drop_matrix(&up);
    }
    drop_matrix(&gate);
    free(x), free(raised), free(want), free(got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_threads_and_any_cut_give_the_same_bits),
        cmocka_unit_test(gates_are_two_products),
    };
    return cmocka_run_group_tests(tests, find_levels, NULL);
}
