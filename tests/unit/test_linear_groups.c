/* Products of several matrices with rows of their own: at every level, packed and as stored, each
 * row has the bits that linear() gives it alone, for any threads and any sizes of groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/guarded.h"
#include "tests/support/levels.h"
#include "tests/support/pooled.h"

enum { MEMBERS = 5, ROWS = 35, COLS = 256, X_ROWS = 40 };
enum { SLABS = (ROWS + PACKED_ROWS - 1) / PACKED_ROWS };

/* Matrices of random weights in one block of slabs. */
typedef struct stack_case {
    packed_rows packed;
    matrix w[MEMBERS];
    unsigned char *slabs, *stored;
} stack_case;

static void make_stack(stack_case *s, quant_type type, uint64_t seed, bool packs) {
    const quant_info *info = quant_describe((uint32_t)type);
    const size_t row = (size_t)COLS / info->block_len * info->block_size;
    float *values = take(sizeof(float) * ROWS * COLS);
    s->stored = take(MEMBERS * ROWS * row);
    s->packed.slab_size = packs ? packed_slab_size(type, COLS) : PACKED_ALIGN;
    s->slabs = take(MEMBERS * SLABS * s->packed.slab_size);
    s->packed.slabs = s->slabs;
    for (int m = 0; m < MEMBERS; m++) {
        unsigned char *own = s->stored + (size_t)(m * ROWS) * row;
        for (int i = 0; i < ROWS * COLS; i++) values[i] = random_float(&seed);
        assert_true(quant_quantise(type, values, own, (int64_t)ROWS * COLS));
        for (int64_t n = 0; n < SLABS && packs; n++) {
            const int64_t left = ROWS - n * PACKED_ROWS;
            packed_write(type, own + (size_t)(n * PACKED_ROWS) * row, row,
                         left < PACKED_ROWS ? left : PACKED_ROWS, COLS,
                         s->slabs + (size_t)(m * SLABS + n) * s->packed.slab_size);
        }
        s->w[m] = (matrix){.data = own,
                           .type = type,
                           .row_count = ROWS,
                           .col_count = COLS,
                           .row_size = row,
                           .packed = packs ? &s->packed : NULL,
                           .slab = m * SLABS};
    }
    free(values);
}

static void drop_stack(stack_case *s) {
    free(s->slabs), free(s->stored);
}

static float x[X_ROWS * COLS], want[LINEAR_GROUP_ROWS * ROWS], got[LINEAR_GROUP_ROWS * ROWS];
static float raised[LINEAR_GROUP_ROWS * ROWS], gathered[LINEAR_GROUP_ROWS * COLS];
static int32_t rows_of_x[LINEAR_GROUP_ROWS];

/* Groups of these sizes, from some member on. */
static int make_groups(const stack_case *gate, const stack_case *up, const int *counts,
                       linear_group *groups) {
    int count = 0;
    for (int i = 0; i < MEMBERS; i++)
        if (counts[i] > 0)
            groups[count++] = (linear_group){
                .w = &gate->w[i], .up = up != NULL ? &up->w[i] : NULL, .count = counts[i]};
    return count;
}

/* Row after row, alone. */
static int expect(const compute *c, const linear_group *groups, int group_count, bool by_index) {
    int t = 0;
    for (int g = 0; g < group_count; g++)
        for (int64_t n = 0; n < groups[g].count; n++, t++) {
            const float *row = x + (by_index ? rows_of_x[t] : t % X_ROWS) * COLS;
            if (groups[g].up != NULL)
                linear_gated(c, groups[g].w, groups[g].up, row, COLS, want + t * ROWS, raised, 1);
            else
                linear(c, groups[g].w, NULL, row, COLS, want + t * ROWS, ROWS, 1);
        }
    return t;
}

static void check(const kernels *k, const stack_case *gate, const stack_case *up, int threads) {
    static const int sizes[][MEMBERS] = {{1, 0, 1, 1, 1}, {0, 0, 0, 20, 0}, {3, 1, 7, 2, 4}};
    pooled f = pooled_make(k, threads, COLS, false);
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++)
        for (int by_index = 0; by_index < 2; by_index++) {
            linear_group groups[MEMBERS];
            const int count = make_groups(gate, up, sizes[n], groups);
            const int rows = expect(&f.c, groups, count, by_index == 1);
            const linear_rows in = {.x = x,
                                    .x_stride = COLS,
                                    .index = by_index == 1 ? rows_of_x : NULL,
                                    .gathered = gathered};
            cover(got, LINEAR_GROUP_ROWS * ROWS);
            if (up != NULL)
                linear_gated_groups(&f.c, groups, count, &in, got, raised);
            else
                linear_groups(&f.c, groups, count, &in, got);
            if (memcmp(got, want, sizeof *got * (size_t)(rows * ROWS)) != 0)
                fail_msg("%s, %d threads, sizes %zu: other bits", k->name, threads, n);
            assert_covered(got + rows * ROWS, (size_t)((LINEAR_GROUP_ROWS - rows) * ROWS));
        }
    pooled_drop(&f);
}

static void rows_have_the_bits_that_they_have_alone(void **state) {
    (void)state;
    static const struct {
        quant_type gate, up;
        bool packs;
    } rows[] = {{QUANT_Q4_0, QUANT_Q4_0, true},
                {QUANT_Q4_K, QUANT_Q6_K, true},
                {QUANT_Q8_0, QUANT_Q4_0, true},
                {QUANT_BF16, QUANT_BF16, false}};
    uint64_t seed = 1;
    for (int i = 0; i < X_ROWS * COLS; i++) x[i] = random_float(&seed);
    for (int i = 0; i < LINEAR_GROUP_ROWS; i++)
        rows_of_x[i] = (int32_t)(next_random(&seed) % X_ROWS);
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        stack_case gate, up;
        make_stack(&gate, rows[n].gate, 2, rows[n].packs);
        make_stack(&up, rows[n].up, 3, rows[n].packs);
        FOR_LEVELS(k)
        for (int threads = 1; threads <= 3; threads += 2) {
            check(k, &gate, NULL, threads);
            check(k, &gate, &up, threads);
        }
        drop_stack(&gate);
        drop_stack(&up);
    }
}

/* A block holds at least one row of any width, and no more than were promised. */
static void blocks_of_wide_rows_are_shorter(void **state) {
    (void)state;
    pooled f = pooled_make(&levels[0], 1, COLS, false);
    assert_int_equal(linear_group_rows(&f.c, COLS), LINEAR_GROUP_ROWS);
    assert_in_range(linear_group_rows(&f.c, 1 << 20), 1, LINEAR_GROUP_ROWS - 1);
    pooled_drop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_have_the_bits_that_they_have_alone),
        cmocka_unit_test(blocks_of_wide_rows_are_shorter),
    };
    return cmocka_run_group_tests(tests, find_levels, NULL);
}
