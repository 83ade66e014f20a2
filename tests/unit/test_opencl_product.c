/* Products on a GPU have the bits of the scalar level, whatever the shape. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/opencl_product.h"
#include "tests/support/gpu.h"
#include "tests/support/guarded.h"
#include "tests/support/pooled.h"

enum { COLS_CAP = 1120, ROWS_CAP = 83, COUNT_CAP = 128 };

/* A matrix of random weights, packed unless they are floats. */
typedef struct some_matrix {
    packed_rows packed;
    matrix w;
    unsigned char *slabs, *stored;
} some_matrix;

static some_matrix make(quant_type type, int rows, int cols, uint64_t seed) {
    const quant_info *info = quant_describe((uint32_t)type);
    const size_t row = (size_t)cols / info->block_len * info->block_size;
    some_matrix m = {.packed = {.slab_size = packed_slab_size(type, cols)}};
    float *values = take(sizeof(float) * (size_t)(rows * cols));
    const int slabs = (rows + PACKED_ROWS - 1) / PACKED_ROWS;
    m.stored = take((size_t)rows * row);
    for (int i = 0; i < rows * cols; i++) values[i] = random_float(&seed);
    assert_true(quant_quantise(type, values, m.stored, (int64_t)rows * cols));
    free(values);
    m.w = (matrix){.type = type, .row_count = rows, .col_count = cols, .row_size = row};
    m.w.data = m.stored;
    if (type == QUANT_F32 || type == QUANT_F16 || type == QUANT_BF16) return m;
    m.slabs = take((size_t)slabs * m.packed.slab_size);
    for (int s = 0; s < slabs; s++) {
        const int left = rows - s * PACKED_ROWS;
        packed_write(type, m.stored + (size_t)(s * PACKED_ROWS) * row, row,
                     left < PACKED_ROWS ? left : PACKED_ROWS, cols,
                     m.slabs + (size_t)s * m.packed.slab_size);
    }
    m.packed.slabs = m.slabs;
    return m;
}

static void drop(some_matrix *m) {
    free(m->slabs), free(m->stored);
}

/* Blocks of all sizes: some are nothing, some too small to be anything. */
static void fill(float *x, int count, uint64_t seed) {
    static const float sizes[] = {1, 1, 1e-3f, 1e4f, 3e37f, 2e-30f, 1e-31f, 0};
    for (int i = 0; i < count; i++) {
        const size_t size = (size_t)(i / PACKED_BLOCK) * 7 % (sizeof sizes / sizeof *sizes);
        x[i] = random_float(&seed) * sizes[size];
    }
}

static gpu *open_gpu(void) {
    const rnl_device_config config = gpu_config();
    stack_device_facts facts;
    rnl_error error;
    gpu *g;
    if (gpu_open(&config, NULL, &g, &facts, &error) != RNL_OK) fail_msg("%s", error.text);
    return g;
}

static kernels scalar;

static pooled make_cpu(int threads) {
    kernels_select(&scalar, 0);
    return pooled_make(&scalar, threads, COLS_CAP, false);
}

static float x[COUNT_CAP * COLS_CAP], want[COUNT_CAP * 3 * ROWS_CAP], got[COUNT_CAP * 3 * ROWS_CAP];

static void check(gpu *g, const pooled *cpu, quant_type type, int rows, int cols, int count) {
    some_matrix m = make(type, rows, cols, (uint64_t)(rows + cols));
    rnl_error error;
    m.w.packed = m.slabs != NULL ? &m.packed : NULL;
    fill(x, count * cols, (uint64_t)count);
    linear(&cpu->c, &m.w, NULL, x, (size_t)cols, want, (size_t)rows, count);
    cover(got, (size_t)(count * rows + 1));
    if (gpu_multiply_once(g, &m.w, false, x, count, got, &error) != RNL_OK)
        fail_msg("%s", error.text);
    for (int i = 0; i < count * rows; i++)
        if (memcmp(&got[i], &want[i], sizeof *got) != 0)
            fail_msg("%s [%d x %d], %d inputs: row %d of input %d is %a, not %a",
                     quant_describe((uint32_t)type)->name, rows, cols, count, i % rows, i / rows,
                     (double)got[i], (double)want[i]);
    assert_covered(got + count * rows, 1);
    drop(&m);
}

/* All shapes of few inputs, and some of many; short, for Oclgrind: few. */
static bool is_chosen(size_t r, size_t c, size_t n, int count) {
    if (getenv("RUNNEL_TEST_SHORT") != NULL) return count < 10 && (r + 2 * c + 3 * n) % 7 == 0;
    return count < 10 || (r + c) % 3 == 0;
}

static void products_have_the_bits_of_the_scalar_level(void **state) {
    static const quant_type types[] = {QUANT_Q4_0, QUANT_Q8_0, QUANT_F32, QUANT_F16, QUANT_BF16};
    static const int rows[] = {1, 16, 31, ROWS_CAP}, cols[] = {32, 64, 512, 544, COLS_CAP};
    static const int counts[] = {1, 2, 8, 9, 33, COUNT_CAP};
    (void)state;
    gpu_begin();
    gpu *g = open_gpu();
    pooled cpu = make_cpu(2);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (size_t c = 0; c < sizeof cols / sizeof *cols; c++)
                for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
                    if (is_chosen(r, c, n, counts[n]))
                        check(g, &cpu, types[t], rows[r], cols[c], counts[n]);
    check(g, &cpu, QUANT_F32, 5, 33, 3); /* columns that no block divides */
    pooled_drop(&cpu);
    gpu_close(&g);
}

/* Of any forms, one behind the other, with biases, on top of what is there. */
static void several_matrices_are_multiplied_at_once(void **state) {
    enum { COLS = 96, COUNT = 11, ALL = 17 + ROWS_CAP + 16 };
    static const int rows[GPU_TASK_CAP] = {17, ROWS_CAP, 16};
    static const quant_type types[GPU_TASK_CAP] = {QUANT_Q8_0, QUANT_F32, QUANT_Q4_0};
    (void)state;
    gpu_begin();
    gpu *g = open_gpu();
    pooled cpu = make_cpu(1);
    some_matrix m[GPU_TASK_CAP];
    gpu_matrix placed[GPU_TASK_CAP];
    float biases[ALL];
    uint64_t seed = 3;
    rnl_error error;
    for (int i = 0; i < ALL; i++) biases[i] = random_float(&seed);
    for (int i = 0; i < COUNT * ALL; i++) want[i] = got[i] = random_float(&seed);
    fill(x, COUNT * COLS, 5);
    gpu_buffer from = gpu_copy(g, x, sizeof *x * COUNT * COLS), vectors;
    gpu_buffer to = gpu_copy(g, got, sizeof *got * COUNT * ALL);
    vectors = gpu_copy(g, biases, sizeof biases);
    gpu_product p = {.x = from, .y = to, .vectors = vectors, .count = COUNT, .adds = true};
    for (int i = 0, at = 0; i < GPU_TASK_CAP; at += rows[i++]) {
        m[i] = make(types[i], rows[i], COLS, (uint64_t)i);
        m[i].w.packed = m[i].slabs != NULL ? &m[i].packed : NULL;
        gpu_matrix_place(g, &m[i].w, gpu_form_of(&m[i].w, false), &placed[i]);
        p.w[i] = &placed[i];
        p.bias[i] = i == 1 ? -1 : at;
        linear_add(&cpu.c, &m[i].w, i == 1 ? NULL : biases + at, x, COLS, want + at, ALL, COUNT);
    }
    gpu_multiply(g, &p);
    gpu_read(g, to, 0, got, sizeof *got * COUNT * ALL);
    if (gpu_wait(g, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_memory_equal(got, want, sizeof *got * COUNT * ALL);
    for (int i = 0; i < GPU_TASK_CAP; i++) {
        gpu_matrix_drop(g, &placed[i]);
        drop(&m[i]);
    }
    gpu_release(g, &from), gpu_release(g, &to), gpu_release(g, &vectors);
    pooled_drop(&cpu);
    gpu_close(&g);
}

/* The exponential of a driver may be off in its last bits. */
static void gates_are_near_the_scalar_level(void **state) {
    enum { COLS = 64, ROWS = 35, COUNT = 9 };
    (void)state;
    gpu_begin();
    gpu *g = open_gpu();
    pooled cpu = make_cpu(1);
    some_matrix gate = make(QUANT_Q4_0, ROWS, COLS, 1), up = make(QUANT_Q8_0, ROWS, COLS, 2);
    gpu_matrix placed[2];
    uint64_t seed = 1;
    rnl_error error;
    gate.w.packed = &gate.packed;
    up.w.packed = &up.packed;
    for (int i = 0; i < COUNT * COLS; i++) x[i] = random_float(&seed);
    linear_gated(&cpu.c, &gate.w, &up.w, x, COLS, want, got, COUNT);
    gpu_matrix_place(g, &gate.w, GPU_Q4_0, &placed[0]);
    gpu_matrix_place(g, &up.w, GPU_Q8_0, &placed[1]);
    gpu_buffer from = gpu_copy(g, x, sizeof *x * COUNT * COLS);
    gpu_buffer to = gpu_take(g, sizeof *got * COUNT * ROWS);
    gpu_multiply_gated(g, &placed[0], &placed[1], from, to, COUNT);
    gpu_read(g, to, 0, got, sizeof *got * COUNT * ROWS);
    if (gpu_wait(g, &error) != RNL_OK) fail_msg("%s", error.text);
    for (int i = 0; i < COUNT * ROWS; i++)
        assert_true(fabsf(got[i] - want[i]) <= 2e-6f * fabsf(want[i]) + 1e-30f);
    gpu_matrix_drop(g, &placed[0]), gpu_matrix_drop(g, &placed[1]);
    gpu_release(g, &from), gpu_release(g, &to);
    drop(&gate), drop(&up);
    pooled_drop(&cpu);
    gpu_close(&g);
}

/* What is not a number shows in every output of its input, and in no other. */
static void what_is_not_finite_shows(void **state) {
    enum { COLS = 64, ROWS = 18, COUNT = 3 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    (void)state;
    gpu_begin();
    gpu *g = open_gpu();
    for (int i = 0; i < 6; i++) {
        some_matrix m = make(i % 2 == 0 ? QUANT_Q4_0 : QUANT_Q8_0, ROWS, COLS, 1);
        m.w.packed = &m.packed;
        fill(x, COUNT * COLS, 5);
        x[COLS + 37] = bad[i / 2];
        assert_int_equal(gpu_multiply_once(g, &m.w, false, x, COUNT, got, NULL), RNL_OK);
        for (int r = 0; r < COUNT * ROWS; r++) assert_true(isnan(got[r]) == (r / ROWS == 1));
        drop(&m);
    }
    gpu_close(&g);
}

static void other_types_are_refused(void **state) {
    (void)state;
    gpu_begin();
    gpu *g = open_gpu();
    some_matrix m = make(QUANT_Q6_K, 4, 256, 1);
    rnl_error error;
    m.w.packed = &m.packed;
    assert_int_equal(gpu_multiply_once(g, &m.w, false, x, 1, got, &error), RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "Q6_K"));
    m.w.packed = NULL;
    assert_int_equal(gpu_multiply_once(g, &m.w, true, x, 1, got, &error), RNL_ERR_UNSUPPORTED);
    drop(&m);
    gpu_close(&g);
}

/* Bytes of this process that are in memory. */
static size_t resident(void) {
    long long all = 0, here = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lld %lld", &all, &here), 2);
    (void)fclose(f);
    return (size_t)here * (size_t)sysconf(_SC_PAGESIZE);
}

/* A device that computes in the host's memory has no second copy of them. Short: nothing that could
 * be seen. */
static void weights_are_in_memory_once(void **state) {
    enum { COLS = 1024, SLABS = 3500 };
    (void)state;
    gpu_begin();
    if (getenv("RUNNEL_TEST_SHORT") != NULL) return;
    gpu *g = open_gpu();
    packed_rows packed = {.slab_size = packed_slab_size(QUANT_Q8_0, COLS)};
    const size_t size = SLABS * packed.slab_size;
    unsigned char *slabs = take(size);
    float *y = take(sizeof *y * SLABS * PACKED_ROWS);
    memset(slabs, 0x11, size);
    memset(y, 0, sizeof *y * SLABS * PACKED_ROWS);
    packed.slabs = slabs;
    const matrix w = {
        .type = QUANT_Q8_0, .row_count = SLABS * PACKED_ROWS, .col_count = COLS, .packed = &packed};
    fill(x, COLS, 1);
    assert_int_equal(gpu_multiply_once(g, &w, false, x, 1, y, NULL), RNL_OK); /* compiles */
    const size_t before = resident();
    gpu_matrix placed;
    gpu_matrix_place(g, &w, gpu_form_of(&w, false), &placed);
    assert_int_equal(gpu_multiply_once(g, &w, false, x, 1, y, NULL), RNL_OK);
    const size_t after = resident();
    if (gpu_is_shared(g) && after > before + size / 20)
        fail_msg("%zu bytes of weights took %zu more", size, after - before);
    gpu_matrix_drop(g, &placed);
    free(slabs), free(y);
    gpu_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_have_the_bits_of_the_scalar_level),
        cmocka_unit_test(several_matrices_are_multiplied_at_once),
        cmocka_unit_test(gates_are_near_the_scalar_level),
        cmocka_unit_test(what_is_not_finite_shows),
        cmocka_unit_test(other_types_are_refused),
        cmocka_unit_test(weights_are_in_memory_once),
    };
    return gpu_run("test_opencl_product", tests, sizeof tests / sizeof *tests);
}
