/* Matrix products over the pool: against double precision, and bit for bit the same whatever the
 * batch, the place in it, the number of threads, or the alignment of the file. Stored rows are
 * those of tests/data/quant, so every readable type is tried. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/linear.h"
#include "tests/support/npy.h"

enum {
    DATA_ROWS = 16,
    DATA_COLS = 256,
    ROWS = 37, /* not a multiple of anything */
    COLS = 512,
    COUNT = 205, /* more than two blocks of inputs, and a rest */
    GAP = 3      /* floats between the outputs of two inputs */
};
static const float canary = -7777.25f;

/* Sanitizers see the same code after a few inputs, steps and types. */
static bool is_short(void) {
    return getenv("RUNNEL_TEST_SHORT") != NULL;
}

/* A generator of our own: the same numbers on every machine. In [-1, 1). */
static float random_float(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((int64_t)(*seed >> 40) - (1 << 23)) / (float)(1 << 23);
}

static void fill(float *x, size_t count, uint64_t seed) {
    for (size_t i = 0; i < count; i++) x[i] = random_float(&seed);
}

static void *take(size_t size) {
    void *p = malloc(size);
    assert_non_null(p);
    return p;
}

typedef struct fixture {
    compute c;
    kernels k;
    void *memory;
} fixture;

static fixture make_many(int thread_count, bool best, int64_t col_cap, bool many) {
    fixture f = {.c = {.many = many}};
    kernels_select(&f.k, best ? kernels_cpu_features() : 0);
    f.c.k = &f.k;
    arena a = {0};
    compute_layout(&f.c, thread_count, col_cap, &a);
    assert_false(a.overflowed);
    assert_null(f.c.panel);
    f.memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    assert_non_null(f.memory);
    arena b = {.base = f.memory, .size_cap = a.size_used};
    compute_layout(&f.c, thread_count, col_cap, &b);
    assert_non_null(f.c.panel);
    assert_int_equal(f.c.panel_cols % 16, 0);
    assert_true(f.c.panel_cols >= (size_t)col_cap);
    assert_int_equal(pool_create(thread_count, &f.c.pool), RNL_OK);
    return f;
}

static fixture make(int thread_count, bool best, int64_t col_cap) {
    return make_many(thread_count, best, col_cap, false);
}

static void compute_of(fixture *f) {
    f->c.k = &f->k; /* after the fixture has its final address */
}

static void drop(fixture *f) {
    pool_destroy(&f->c.pool);
    free(f->memory);
}

/* ROWS x COLS made of the reference rows; every row two of them side by side. The caller frees
 * data. Rows begin at an odd address when asked. */
static matrix stored_matrix(quant_type type, bool odd, unsigned char **memory) {
    const quant_info *info = quant_describe((uint32_t)type);
    const size_t data_row = (size_t)DATA_COLS / info->block_len * info->block_size;
    unsigned char *data = take(DATA_ROWS * data_row);
    if (type == QUANT_F32) {
        npy x = npy_read("quant/Q8_0.npy");
        memcpy(data, x.f, DATA_ROWS * data_row);
        npy_free(&x);
    } else {
        char path[1024];
        (void)snprintf(path, sizeof path, "%s/quant/%s.bin", TEST_DATA, info->name);
        FILE *f = fopen(path, "rb");
        if (f == NULL) fail_msg("%s: missing", path);
        assert_int_equal(fread(data, data_row, DATA_ROWS, f), DATA_ROWS);
        fclose(f);
    }
    *memory = take(ROWS * 2 * data_row + odd);
    for (size_t i = 0; i < (size_t)ROWS * 2; i++)
        memcpy(*memory + odd + i * data_row, data + (i * 7 + i / 16) % DATA_ROWS * data_row,
               data_row);
    free(data);
    return (matrix){.data = *memory + odd,
                    .type = type,
                    .row_count = ROWS,
                    .col_count = COLS,
                    .row_size = 2 * data_row};
}

static const quant_type readable[] = {QUANT_F32,  QUANT_F16,    QUANT_BF16,   QUANT_Q8_0,
                                      QUANT_Q4_0, QUANT_Q4_1,   QUANT_Q5_0,   QUANT_Q5_1,
                                      QUANT_Q2_K, QUANT_Q3_K,   QUANT_Q4_K,   QUANT_Q5_K,
                                      QUANT_Q6_K, QUANT_IQ4_NL, QUANT_IQ4_XS, QUANT_MXFP4};
enum { READABLE_COUNT = sizeof readable / sizeof readable[0] };

static void check_against_double(const char *name, const matrix *w, const float *bias,
                                 const float *x, size_t x_stride, const float *y, size_t y_stride,
                                 int64_t count) {
    float *row = take((size_t)w->col_count * sizeof *row);
    const int64_t step = count == COUNT && is_short() ? 9 : 1;
    for (int64_t r = 0; r < w->row_count; r++) {
        quant_dequantise(w->type, w->data + (size_t)r * w->row_size, row, w->col_count);
        for (int64_t t = 0; t < count; t += step) {
            double sum = bias != NULL ? bias[r] : 0, size = fabs(sum);
            for (int64_t c = 0; c < w->col_count; c++) {
                const double p = (double)row[c] * (double)x[t * (int64_t)x_stride + c];
                sum += p;
                size += fabs(p);
            }
            /* A lane adds at most 8 + cols / 8 numbers, each rounding by 2^-24 of the sizes. */
            const double bound = ((double)w->col_count / 8 + 8) * 0x1p-23 * size + 0x1p-149;
            const double got = (double)y[t * (int64_t)y_stride + r];
            if (!(fabs(got - sum) <= bound))
                fail_msg("%s: row %lld input %lld is %.9g instead of %.9g", name, (long long)r,
                         (long long)t, got, sum);
        }
    }
    free(row);
}

static void assert_canaries(const float *y, size_t count) {
    for (size_t t = 0; t <= count; t++) {
        const float *gap = y + t * (ROWS + GAP);
        for (size_t i = 0; i < GAP; i++) assert_true(gap[i] == canary);
    }
}

/* One product with every cut of the batch in blocks of `step`; outputs lie GAP floats apart with
 * canaries between them (and before the first). */
static void product(const compute *c, const matrix *w, const float *bias, const float *x, float *y,
                    int64_t step, const float *residual) {
    for (size_t i = 0; i < (size_t)COUNT * (ROWS + GAP) + GAP; i++) y[i] = canary;
    for (int64_t t = 0; t < COUNT; t += step) {
        const int64_t count = COUNT - t < step ? COUNT - t : step;
        float *out = y + GAP + t * (ROWS + GAP);
        if (residual == NULL) {
            linear(c, w, bias, x + t * (COLS + 1), COLS + 1, out, ROWS + GAP, count);
        } else {
            for (int64_t i = 0; i < count; i++)
                memcpy(out + i * (ROWS + GAP), residual + (t + i) * ROWS, ROWS * sizeof *out);
            linear_add(c, w, bias, x + t * (COLS + 1), COLS + 1, out, ROWS + GAP, count);
        }
    }
    assert_canaries(y, COUNT);
}

enum { OUT_COUNT = COUNT * (ROWS + GAP) + GAP };

static void every_type_is_right_and_any_cut_gives_the_same_bits(void **state) {
    (void)state;
    float *x = take(COUNT * (COLS + 1) * sizeof *x), bias[ROWS], *whole = take(OUT_COUNT * 4);
    float *cut = take(OUT_COUNT * 4), *residual = take((size_t)COUNT * ROWS * 4);
    fill(x, (size_t)COUNT * (COLS + 1), 1);
    fill(bias, ROWS, 2);
    fill(residual, (size_t)COUNT * ROWS, 3);
    fixture f = make(1, true, COLS);
    compute_of(&f);
    for (size_t i = 0; i < READABLE_COUNT; i++) {
        unsigned char *memory;
        const matrix w = stored_matrix(readable[i], false, &memory);
        const char *name = quant_describe((uint32_t)readable[i])->name;
        product(&f.c, &w, bias, x, whole, COUNT, NULL);
        check_against_double(name, &w, bias, x, COLS + 1, whole + GAP, ROWS + GAP, COUNT);
        static const int64_t steps[7] = {64, 1, 2, 3, 5, 7, 97};
        for (int s = 0; s < (is_short() ? 1 : 7); s++) {
            product(&f.c, &w, bias, x, cut, steps[s], NULL);
            if (memcmp(cut, whole, OUT_COUNT * 4) != 0)
                fail_msg("%s: steps of %lld give other bits", name, (long long)steps[s]);
        }
        for (int64_t step = 1; step <= COUNT; step += COUNT - 1) { /* the residual's order */
            product(&f.c, &w, bias, x, cut, step, residual);
            for (size_t t = 0; t < COUNT; t++)
                for (size_t r = 0; r < ROWS; r++) {
                    const size_t at = GAP + t * (ROWS + GAP) + r;
                    assert_true(cut[at] == residual[t * ROWS + r] + whole[at]);
                }
        }
        product(&f.c, &w, NULL, x, cut, 4, NULL);
        check_against_double(name, &w, NULL, x, COLS + 1, cut + GAP, ROWS + GAP, COUNT);
        free(memory);
    }
    drop(&f);
    free(x), free(whole), free(cut), free(residual);
}

static void thread_count_and_alignment_change_no_bit(void **state) {
    (void)state;
    float *x = take(COUNT * (COLS + 1) * sizeof *x), bias[ROWS], *want = take(OUT_COUNT * 4);
    float *got = take(OUT_COUNT * 4);
    fill(x, (size_t)COUNT * (COLS + 1), 4);
    fill(bias, ROWS, 5);
    for (int best = 0; best < 2; best++)
        for (size_t i = 0; i < READABLE_COUNT; i += is_short() ? 3 : 1)
            for (int threads = 1; threads <= 4; threads++) {
                /* Nor does room for many inputs, where the level has use for it. */
                fixture f = make_many(threads, best != 0, COLS, threads > 2);
                compute_of(&f);
                assert_true(threads > 2 || f.c.turned == NULL);
                unsigned char *memory;
                const matrix w = stored_matrix(readable[i], threads % 2 == 0, &memory);
                product(&f.c, &w, bias, x, threads == 1 ? want : got, COUNT, NULL);
                if (threads > 1 && memcmp(got, want, OUT_COUNT * 4) != 0)
                    fail_msg("%s %s: %d threads give other bits", f.k.name,
                             quant_describe((uint32_t)w.type)->name, threads);
                product(&f.c, &w, bias, x, got, 1, NULL);
                if (memcmp(got, want, OUT_COUNT * 4) != 0)
                    fail_msg("%s %s: %d threads, one by one, give other bits", f.k.name,
                             quant_describe((uint32_t)w.type)->name, threads);
                free(memory);
                drop(&f);
            }
    free(x), free(want), free(got);
}

/* A type without a gemv takes the panel even for one input, and for the few that others take one by
 * one. */
static void a_missing_direct_kernel_changes_no_bit(void **state) {
    (void)state;
    enum { FEW = 6 };
    float x[FEW * COLS], want[FEW * ROWS], got[FEW * ROWS];
    fill(x, FEW * COLS, 6);
    fixture f = make(2, true, COLS);
    compute_of(&f);
    for (size_t i = 0; i < READABLE_COUNT; i++)
        for (int64_t count = 1; count <= FEW; count++) {
            unsigned char *memory;
            const matrix w = stored_matrix(readable[i], false, &memory);
            linear(&f.c, &w, NULL, x, COLS, want, ROWS, count);
            kernels without = f.k;
            without.gemv[w.type] = NULL;
            f.c.k = &without;
            linear(&f.c, &w, NULL, x, COLS, got, ROWS, count);
            f.c.k = &f.k;
            assert_memory_equal(got, want, (size_t)count * ROWS * sizeof *want);
            free(memory);
        }
    drop(&f);
}

static void small_float_matrices_of_any_size_are_right(void **state) {
    (void)state;
    static const quant_type types[] = {QUANT_F32, QUANT_F16, QUANT_BF16};
    fixture f = make(2, true, 67);
    compute_of(&f);
    float source[67 * 5], x[67 * 5], y[5 * 5], bias[5];
    unsigned char data[67 * 5 * 4];
    fill(source, 67 * 5, 7);
    fill(x, 67 * 5, 8);
    fill(bias, 5, 9);
    for (size_t i = 0; i < 3; i++)
        for (int64_t cols = 1; cols <= 67; cols++)
            for (int64_t rows = 1; rows <= 5; rows++)
                for (int64_t count = 1; count <= 5; count++) {
                    assert_true(quant_quantise(types[i], source, data, rows * cols));
                    const size_t size = quant_describe((uint32_t)types[i])->block_size;
                    const matrix w = {.data = data,
                                      .type = types[i],
                                      .row_count = rows,
                                      .col_count = cols,
                                      .row_size = size * (size_t)cols};
                    linear(&f.c, &w, bias, x, (size_t)cols, y, (size_t)rows, count);
                    check_against_double("small", &w, bias, x, (size_t)cols, y, (size_t)rows,
                                         count);
                }
    linear(&f.c, &(matrix){.col_count = 1}, NULL, x, 1, y, 1, 0); /* no input: nothing happens */
    drop(&f);
}

/* More columns than a block of inputs has room for at the smallest block. */
static void long_rows_are_right(void **state) {
    (void)state;
    enum { LONG = 11008, FEW = 6, INPUTS = 50 };
    fixture f = make(2, true, LONG);
    compute_of(&f);
    float *source = take((size_t)FEW * LONG * 4), *x = take((size_t)INPUTS * LONG * 4);
    float y[INPUTS * FEW], one[FEW];
    unsigned char *data = take((size_t)FEW * LONG * 2);
    fill(source, (size_t)FEW * LONG, 10);
    fill(x, (size_t)INPUTS * LONG, 11);
    assert_true(quant_quantise(QUANT_Q8_0, source, data, (int64_t)FEW * LONG));
    const matrix w = {.data = data,
                      .type = QUANT_Q8_0,
                      .row_count = FEW,
                      .col_count = LONG,
                      .row_size = LONG / 32 * 34};
    linear(&f.c, &w, NULL, x, LONG, y, FEW, INPUTS);
    check_against_double("long", &w, NULL, x, LONG, y, FEW, INPUTS);
    for (size_t t = 0; t < INPUTS; t++) {
        linear(&f.c, &w, NULL, x + t * LONG, LONG, one, FEW, 1);
        assert_memory_equal(one, y + t * FEW, sizeof one);
    }
    float *row = take(LONG * 4), *want = take(LONG * 4);
    const matrix part = matrix_rows(&w, 2, 3); /* an embedding row, of a part */
    matrix_row(&f.c, &part, 1, row);
    quant_dequantise(QUANT_Q8_0, data + 3 * w.row_size, want, LONG);
    assert_memory_equal(row, want, LONG * 4);
    drop(&f);
    free(source), free(x), free(data), free(row), free(want);
}

/* Signed bytes with a scale for each row are the very floats code * scale, whole or in part. */
static void scaled_rows_are_their_floats(void **state) {
    (void)state;
    enum { FEW = 21, WIDE = 83, INPUTS = 9, FROM = 5 };
    int8_t codes[FEW * WIDE];
    float scales[FEW], floats[FEW * WIDE], x[INPUTS * WIDE], want[INPUTS * FEW], got[INPUTS * FEW];
    fill(scales, FEW, 15);
    fill(x, INPUTS * WIDE, 16);
    for (size_t i = 0; i < FEW * WIDE; i++) {
        codes[i] = (int8_t)(i * 89 % 255 - 127);
        floats[i] = (float)codes[i] * scales[i / WIDE];
    }
    fixture f = make(2, true, WIDE);
    compute_of(&f);
    const matrix stored = {.data = (const unsigned char *)codes,
                           .type = QUANT_I8,
                           .row_count = FEW,
                           .col_count = WIDE,
                           .row_size = WIDE,
                           .row_scales = scales};
    const matrix plain = {.data = (const unsigned char *)floats,
                          .type = QUANT_F32,
                          .row_count = FEW,
                          .col_count = WIDE,
                          .row_size = WIDE * sizeof *floats};
    for (int64_t count = 1; count <= INPUTS; count += 4)
        for (int part = 0; part < 2; part++) {
            const matrix a = part ? matrix_rows(&plain, FROM, FEW - FROM) : plain;
            const matrix b = part ? matrix_rows(&stored, FROM, FEW - FROM) : stored;
            linear(&f.c, &a, NULL, x, WIDE, want, FEW, count);
            linear(&f.c, &b, NULL, x, WIDE, got, FEW, count);
            for (int64_t t = 0; t < count; t++)
                assert_memory_equal(got + t * FEW, want + t * FEW,
                                    (size_t)a.row_count * sizeof *got);
        }
    drop(&f);
}

/* More rows than the direct way takes at once, in one part and in several. */
static void many_rows_are_right(void **state) {
    (void)state;
    enum { MANY = 333, FEW_COLS = 64 };
    float *source = take((size_t)MANY * FEW_COLS * 4), x[2 * FEW_COLS], y[2 * MANY], one[MANY];
    float bias[MANY];
    unsigned char *data = take((size_t)MANY * FEW_COLS * 2);
    fill(source, (size_t)MANY * FEW_COLS, 12);
    fill(x, 2 * FEW_COLS, 13);
    fill(bias, MANY, 14);
    assert_true(quant_quantise(QUANT_Q4_0, source, data, (int64_t)MANY * FEW_COLS));
    const matrix w = {.data = data,
                      .type = QUANT_Q4_0,
                      .row_count = MANY,
                      .col_count = FEW_COLS,
                      .row_size = FEW_COLS / 32 * 18};
    for (int threads = 1; threads <= 3; threads++) {
        fixture f = make(threads, true, FEW_COLS);
        compute_of(&f);
        linear(&f.c, &w, bias, x, FEW_COLS, y, MANY, 2);
        check_against_double("many", &w, bias, x, FEW_COLS, y, MANY, 2);
        for (size_t t = 0; t < 2; t++) {
            linear(&f.c, &w, bias, x + t * FEW_COLS, FEW_COLS, one, MANY, 1);
            assert_memory_equal(one, y + t * MANY, sizeof one);
        }
        drop(&f);
    }
    free(source), free(data);
}

static void a_layout_too_large_is_seen(void **state) {
    (void)state;
    compute c = {0};
    arena a = {0};
    compute_layout(&c, 64, INT64_MAX, &a);
    assert_true(a.overflowed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_right_and_any_cut_gives_the_same_bits),
        cmocka_unit_test(thread_count_and_alignment_change_no_bit),
        cmocka_unit_test(a_missing_direct_kernel_changes_no_bit),
        cmocka_unit_test(small_float_matrices_of_any_size_are_right),
        cmocka_unit_test(long_rows_are_right),
        cmocka_unit_test(scaled_rows_are_their_floats),
        cmocka_unit_test(many_rows_are_right),
        cmocka_unit_test(a_layout_too_large_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
