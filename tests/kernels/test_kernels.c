/* Every level of the table: against double precision, against the scalar level, and against its own
 * law (gemv, gemm and any batch give the same bits). Inputs end at an unreadable page, so a kernel
 * that reads too far ends the test; outputs stand between canaries. */
#include <float.h>
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

enum { SIZE_COUNT = 71 };

/* Sizes 1 to 67 and some long ones, around the pieces of 256 and 512 columns. */
static int64_t size_at(int i) {
    static const int64_t longer[] = {511, 1024, 1033, 4099};
    return i < 67 ? i + 1 : longer[i - 67];
}

static int name_levels(void **state) {
    (void)find_levels(state);
    for (int i = 0; i < level_count; i++) printf("level %s\n", levels[i].name);
    return 0;
}

static void every_level_is_complete(void **state) {
    (void)state;
    static const quant_type direct[] = {QUANT_F32,  QUANT_F16,  QUANT_BF16,
                                        QUANT_Q8_0, QUANT_Q4_0, QUANT_Q6_K};
    assert_string_equal(levels[0].name, "scalar");
    FOR_LEVELS(k) {
        assert_true(k->dequantise && k->gemm && k->gemm_t && k->silu_mul_back && k->dot &&
                    k->axpy && k->scan && k->rms_norm && k->layer_norm && k->silu && k->silu_mul &&
                    k->gelu && k->softmax);
        for (size_t i = 0; i < sizeof direct / sizeof direct[0]; i++)
            assert_true(k->gemv[direct[i]] != NULL);
    }
    kernels all;
    for (int i = 0; kernels_level_names[i] != NULL; i++) {
        unsigned features;
        assert_true(kernels_level(kernels_level_names[i], ~0u, &features));
        kernels_select(&all, features);
#if defined(__x86_64__)
        if (strncmp(kernels_level_names[i], "neon", 4) == 0) continue;
        assert_string_equal(all.name, kernels_level_names[i]);
        assert_true((all.gemm == levels[0].gemm) == (i == 0));
        assert_int_equal(kernels_level(kernels_level_names[i], 0, &features), i == 0);
#endif
    }
}

/* ---- matrix products ---- */

/* Random blocks. Scales are any halves when wild, infinities and NaNs among them; otherwise small
 * numbers. */
static void fill_rows(quant_type type, unsigned char *p, size_t size, bool wild, uint64_t seed) {
    if (type == QUANT_F32 || type == QUANT_F16 || type == QUANT_BF16) {
        const size_t each = quant_describe((uint32_t)type)->block_size;
        for (size_t i = 0; i < size / each; i++) {
            const float v = random_float(&seed);
            assert_true(quant_quantise(type, &v, p + i * each, 1));
        }
        if (!wild) return;
    }
    if (wild || (type != QUANT_F32 && type != QUANT_F16 && type != QUANT_BF16))
        for (size_t i = 0; i < size; i++) p[i] = (unsigned char)next_random(&seed);
    if (wild) return;
    const size_t block = quant_describe((uint32_t)type)->block_size;
    const size_t at = type == QUANT_Q6_K ? 208 : 0;
    for (size_t i = 0; i < size / block; i++) {
        const uint16_t half = quant_f32_to_f16(0.01f * random_float(&seed));
        memcpy(p + i * block + at, &half, sizeof half);
        if (type == QUANT_Q4_K || type == QUANT_Q5_K) memcpy(p + i * block + 2, &half, sizeof half);
    }
}

static void every_level_dequantises_to_the_same_bits(void **state) {
    (void)state;
    enum { COUNT = 2048 };
    float *want = take(COUNT * 4), *got = take((COUNT + GUARD) * 4);
    FOR_LEVELS(k) for (uint32_t type = 0; type < QUANT_TYPE_CAP; type++) {
        const quant_info *info = quant_describe(type);
        if (!info->is_weight) continue;
        const size_t size = (size_t)COUNT / info->block_len * info->block_size;
        guarded g = guarded_make(size);
        for (uint64_t seed = 0; seed < 100; seed++) {
            const int64_t count = info->block_len > 1 ? COUNT : COUNT - (int64_t)seed;
            unsigned char *row = g.end - (size_t)count / info->block_len * info->block_size;
            fill_rows((quant_type)type, row, (size_t)(g.end - row), true, seed);
            cover(got, COUNT + GUARD);
            quant_dequantise((quant_type)type, row, want, count);
            k->dequantise((quant_type)type, row, got, count);
            for (int64_t i = 0; i < count; i++)
                if (memcmp(&got[i], &want[i], sizeof *got) != 0)
                    fail_msg("%s %s seed %d: column %d is %a instead of %a", k->name, info->name,
                             (int)seed, (int)i, (double)got[i], (double)want[i]);
            assert_covered(got + count, (size_t)(COUNT + GUARD - count));
        }
        guarded_drop(&g);
    }
    free(want), free(got);
}

/* A lane adds cols / 8 products, the tree three more; each rounds by up to 2^-24 of the sizes. */
static void assert_product(const char *what, const float *w, const float *x, int64_t cols,
                           float got) {
    double sum = 0, size = 0;
    for (int64_t c = 0; c < cols; c++) {
        sum += (double)w[c] * (double)x[c];
        size += fabs((double)w[c] * (double)x[c]);
    }
    const double bound = ((double)cols / 8 + 5) * 0x1p-23 * size + 0x1p-149;
    if (!(fabs((double)got - sum) <= bound))
        fail_msg("%s, %d columns: %.9g instead of %.9g", what, (int)cols, (double)got, sum);
}

static void check_gemv(const kernels *k, quant_type type, int64_t rows, int64_t cols,
                       const guarded *gw, const guarded *gx, float *panel) {
    const quant_info *info = quant_describe((uint32_t)type);
    const size_t size = (size_t)cols / info->block_len * info->block_size, row_size = size + 6;
    /* Six bytes between rows, none after the last: rows are at any address. */
    unsigned char *w = gw->end - ((size_t)rows * row_size - 6);
    for (int64_t r = 0; r < rows; r++)
        fill_rows(type, w + (size_t)r * row_size, size, false, (uint64_t)(r * 977 + cols));
    const float *x = place(gx, (size_t)cols, (uint64_t)cols);
    float y[GUARD + 19 + GUARD], want;
    cover(y, GUARD + 19 + GUARD);
    k->gemv[type](y + GUARD, w, row_size, rows, x, cols,
                  (kernels_fetch)(rows % KERNELS_FETCH_COUNT));
    assert_covered(y, GUARD);
    assert_covered(y + GUARD + rows, (size_t)(19 - rows) + GUARD);
    for (int64_t r = 0; r < rows; r++) {
        k->dequantise(type, w + (size_t)r * row_size, panel, cols);
        assert_product(info->name, panel, x, cols, y[GUARD + r]);
        k->gemm(&want, 1, panel, (size_t)cols, 1, x, (size_t)cols, 1, cols);
        if (memcmp(&want, &y[GUARD + r], sizeof want) != 0)
            fail_msg("%s %s: row %d of %d, %d columns: gemv %a, gemm %a", k->name, info->name,
                     (int)r, (int)rows, (int)cols, (double)y[GUARD + r], (double)want);
    }
}

static void gemv_is_right_and_equals_gemm_bit_for_bit(void **state) {
    (void)state;
    enum { COLS_CAP = 4099 };
    guarded gw = guarded_make(19 * (COLS_CAP * 4 + 6)), gx = guarded_make(COLS_CAP * 4);
    float *panel = take(COLS_CAP * 4);
    FOR_LEVELS(k) for (uint32_t type = 0; type < QUANT_TYPE_CAP; type++) {
        if (k->gemv[type] == NULL) continue;
        const int64_t block = quant_describe(type)->block_len;
        for (int i = 0; i < SIZE_COUNT; i++) {
            int64_t cols = size_at(i) * (block > 32 && i < 12 ? block : 1);
            if (i >= 12 || block == 32) cols = cols / block * block;
            if (cols == 0 || cols > COLS_CAP) continue;
            const int64_t rows = 1 + i % 19;
            check_gemv(k, (quant_type)type, rows, cols, &gw, &gx, panel);
            check_gemv(k, (quant_type)type, 8 + i % 8, cols, &gw, &gx, panel);
        }
    }
    guarded_drop(&gw);
    guarded_drop(&gx);
    free(panel);
}

/* The batch in steps, each output where the whole batch would put it. */
static void gemm_in_steps(const kernels *k, float *y, size_t y_stride, const float *w,
                          size_t w_stride, int64_t rows, const float *x, size_t x_stride,
                          int64_t inputs, int64_t cols, int64_t step) {
    for (int64_t t = 0; t < inputs; t += step)
        k->gemm(y + (size_t)t * y_stride, y_stride, w, w_stride, rows, x + (size_t)t * x_stride,
                x_stride, inputs - t < step ? inputs - t : step, cols);
}

static void check_gemm(const kernels *k, int64_t rows, int64_t inputs, int64_t cols,
                       const guarded *gw, const guarded *gx, float *y, float *cut) {
    const size_t stride = (size_t)cols + 3, y_stride = (size_t)rows + GUARD;
    const size_t w_count = (size_t)rows * stride - 3, x_count = (size_t)inputs * stride - 3;
    float *w = place(gw, w_count, (uint64_t)cols), *x = place(gx, x_count, (uint64_t)cols + 1);
    for (int64_t r = 0; r + 1 < rows; r++) /* what must not be used */
        for (int i = 0; i < 3; i++) w[(size_t)r * stride + (size_t)(cols + i)] = NAN;
    for (int64_t t = 0; t + 1 < inputs; t++)
        for (int i = 0; i < 3; i++) x[(size_t)t * stride + (size_t)(cols + i)] = NAN;
    const size_t out = (size_t)inputs * y_stride + GUARD;
    cover(y, out);
    k->gemm(y + GUARD, y_stride, w, stride, rows, x, stride, inputs, cols);
    for (int64_t t = 0; t < inputs; t++) {
        assert_covered(y + (size_t)t * y_stride, GUARD);
        for (int64_t r = 0; r < rows; r++) {
            const float got = y[GUARD + (size_t)t * y_stride + (size_t)r];
            const float *wr = w + (size_t)r * stride, *xt = x + (size_t)t * stride;
            assert_product(k->name, wr, xt, cols, got);
            const float one = k->dot(wr, xt, cols); /* the same law, so the same bits */
            assert_memory_equal(&one, &got, sizeof got);
        }
    }
    assert_covered(y + (size_t)inputs * y_stride, GUARD);
    for (int64_t step = 1; step < inputs; step += 1 + step) {
        cover(cut, out);
        gemm_in_steps(k, cut + GUARD, y_stride, w, stride, rows, x, stride, inputs, cols, step);
        assert_memory_equal(cut, y, out * sizeof *y);
    }
}

static void gemm_is_right_and_any_batch_gives_the_same_bits(void **state) {
    (void)state;
    enum { COLS_CAP = 4099, INPUT_CAP = 101, KINDS = 13 };
    static const int64_t inputs[KINDS] = {1, 2, 3, 4, 5, 23, 24, 25, 26, 53, 96, 97, 101};
    guarded gw = guarded_make(KERNELS_ROWS * (COLS_CAP + 3) * 4);
    guarded gx = guarded_make((size_t)INPUT_CAP * (COLS_CAP + 3) * 4);
    float *y = take((INPUT_CAP + 1) * (KERNELS_ROWS + GUARD) * 4);
    float *cut = take((INPUT_CAP + 1) * (KERNELS_ROWS + GUARD) * 4);
    FOR_LEVELS(k)
    for (int i = 0; i < SIZE_COUNT; i++)
        for (int64_t rows = 1; rows <= KERNELS_ROWS; rows++)
            for (size_t j = 0; j < KINDS; j++) {
                if (i >= 67 && rows != 3 && rows != KERNELS_ROWS) continue;
                if (i < 67 && j > 4 && (i + (int)j) % 8 != 0) continue; /* enough of each */
                check_gemm(k, rows, inputs[j], size_at(i), &gw, &gx, y, cut);
            }
    guarded_drop(&gw);
    guarded_drop(&gx);
    free(y), free(cut);
}

/* ---- vectors ---- */

static void assert_near(const char *level, const char *what, int64_t count, int64_t i, double got,
                        double want, double bound) {
    if (!(fabs(got - want) <= bound))
        fail_msg("%s %s, %d elements: [%d] is %.9g instead of %.9g", level, what, (int)count,
                 (int)i, got, want);
}

static double norm_reference(const float *x, int64_t count, bool centred, double eps,
                             double *mean) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)x[i];
    *mean = centred ? sum / (double)count : 0;
    for (int64_t i = 0; i < count; i++) squares += ((double)x[i] - *mean) * ((double)x[i] - *mean);
    return 1 / sqrt(squares / (double)count + eps);
}

/* One function at one size; y stands between canaries and is x itself the second time. */
static void check_norms(const kernels *k, int64_t n, const guarded g[3], float *y) {
    const size_t count = (size_t)n;
    float *x = place(&g[0], count, count);
    const float *w = place(&g[1], count, count + 1), *b = place(&g[2], count, count + 2);
    double mean, scale = norm_reference(x, n, false, 1e-5, &mean);
    cover(y, count + 2 * GUARD);
    k->rms_norm(y + GUARD, x, w, 1e-5f, n);
    for (int64_t i = 0; i < n; i++) {
        const double want = (double)x[i] * scale * (double)w[i];
        assert_near(k->name, "rms_norm", n, i, (double)y[GUARD + i], want, fabs(want) * 0x1p-21);
    }
    assert_covered(y, GUARD);
    assert_covered(y + GUARD + n, GUARD);
    k->rms_norm(x, x, w, 1e-5f, n);
    assert_memory_equal(x, y + GUARD, count * sizeof *x);

    for (int64_t i = 0; i < n; i++) x[i] = 100 + x[i]; /* a mean that floats would lose */
    scale = norm_reference(x, n, true, 1e-5, &mean);
    k->layer_norm(y + GUARD, x, w, b, 1e-5f, n);
    for (int64_t i = 0; i < n; i++) {
        const double part = ((double)x[i] - mean) * scale * (double)w[i];
        assert_near(k->name, "layer_norm", n, i, (double)y[GUARD + i], part + (double)b[i],
                    (fabs(part) + fabs((double)b[i])) * 0x1p-21 + 1e-12);
    }
    assert_covered(y, GUARD);
    assert_covered(y + GUARD + n, GUARD);
    k->layer_norm(x, x, w, b, 1e-5f, n);
    assert_memory_equal(x, y + GUARD, count * sizeof *x);
}

static void check_silu(const kernels *k, int64_t n, const guarded g[3], float *y) {
    const size_t count = (size_t)n;
    float *x = place(&g[0], count, count + 5);
    const float *b = place(&g[1], count, count + 6);
    for (int64_t i = 0; i < n; i++) x[i] *= 20;
    cover(y, count + 2 * GUARD);
    k->silu(y + GUARD, x, n);
    for (int64_t i = 0; i < n; i++) {
        const double want = (double)x[i] / (1 + exp(-(double)x[i]));
        assert_near(k->name, "silu", n, i, (double)y[GUARD + i], want, fabs(want) * 0x1p-21);
        float one;
        k->silu(&one, &x[i], 1); /* an element's bits do not depend on its place */
        assert_memory_equal(&one, &y[GUARD + i], sizeof one);
    }
    k->silu_mul(y + GUARD, x, b, n);
    for (int64_t i = 0; i < n; i++) {
        const double want = (double)x[i] / (1 + exp(-(double)x[i])) * (double)b[i];
        assert_near(k->name, "silu_mul", n, i, (double)y[GUARD + i], want, fabs(want) * 0x1p-20);
    }
    assert_covered(y, GUARD);
    assert_covered(y + GUARD + n, GUARD);
    float *in_place = place(&g[2], count, 0);
    memcpy(in_place, b, count * sizeof *b); /* y may be b */
    k->silu_mul(in_place, x, in_place, n);
    assert_memory_equal(in_place, y + GUARD, count * sizeof *x);
    k->silu(y + GUARD, x, n);
    float *a = place(&g[2], count, 0);
    memcpy(a, x, count * sizeof *x);
    k->silu(a, a, n);
    assert_memory_equal(a, y + GUARD, count * sizeof *x);
    k->silu_mul(x, x, b, n); /* y may be a */
    for (int64_t i = 0; i < n; i++) {
        const float want = a[i] * b[i];
        assert_memory_equal(&x[i], &want, sizeof want);
    }
}

static double gelu_of(double x) {
    return x < 0 ? x * erfc(-x * sqrt(0.5)) / 2 : x * (1 - erfc(x * sqrt(0.5)) / 2);
}

static void check_gelu(const kernels *k, int64_t n, const guarded g[3], float *y) {
    const size_t count = (size_t)n;
    float *x = place(&g[0], count, count + 7);
    for (int64_t i = 0; i < n; i++) x[i] *= 5;
    cover(y, count + 2 * GUARD);
    k->gelu(y + GUARD, x, n);
    for (int64_t i = 0; i < n; i++) {
        const double value = (double)x[i];
        assert_near(k->name, "gelu", n, i, (double)y[GUARD + i], gelu_of(value),
                    fabs(value) * 0x1p-22);
        float one;
        k->gelu(&one, &x[i], 1); /* an element's bits do not depend on its place */
        assert_memory_equal(&one, &y[GUARD + i], sizeof one);
    }
    assert_covered(y, GUARD);
    assert_covered(y + GUARD + n, GUARD);
    k->gelu(x, x, n); /* y may be x */
    assert_memory_equal(x, y + GUARD, count * sizeof *x);
}

static void check_softmax_and_axpy(const kernels *k, int64_t n, const guarded g[3], float *y) {
    const size_t count = (size_t)n;
    float *x = place(&g[0], count, count + 9);
    for (int64_t i = 0; i < n; i++) x[i] = 10 * x[i] + 300; /* exp alone would overflow */
    if (n > 3) x[n - 2] = -INFINITY;                        /* a masked position */
    double max = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) max = fmax(max, (double)x[i]);
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - max);
    cover(y, count + 2 * GUARD);
    memcpy(y + GUARD, x, count * sizeof *x);
    double log_sum;
    k->softmax(y + GUARD, n, &log_sum);
    assert_true(fabs(log_sum - (max + log(sum))) <= 1e-6);
    for (int64_t i = 0; i < n; i++) {
        const double want = exp((double)x[i] - max) / sum;
        assert_near(k->name, "softmax", n, i, (double)y[GUARD + i], want, want * 0x1p-21);
    }
    assert_covered(y, GUARD);
    assert_covered(y + GUARD + n, GUARD);
    k->softmax(x, n, NULL); /* at the page's end */
    assert_memory_equal(x, y + GUARD, count * sizeof *x);

    x = place(&g[0], count, count);
    const float *start = place(&g[1], count, count + 1);
    memcpy(y + GUARD, start, count * sizeof *y);
    k->axpy(y + GUARD, -1.7f, x, n);
    for (int64_t i = 0; i < n; i++) {
        const double part = (double)-1.7f * (double)x[i];
        assert_near(k->name, "axpy", n, i, (double)y[GUARD + i], (double)start[i] + part,
                    (fabs(part) + fabs((double)start[i])) * 0x1p-23);
    }
    assert_covered(y, GUARD);
    assert_covered(y + GUARD + n, GUARD);
    assert_product("dot", x, start, n, k->dot(x, start, n));
}

/* A state of n columns and three rows, in two steps. */
static void check_scan(const kernels *k, int64_t n, const guarded g[3], float *y) {
    enum { ROWS = 3 };
    const float q[ROWS] = {0.7f, -1.3f, 0.4f}, keys[ROWS] = {-0.2f, 0.9f, 1.1f};
    const size_t count = (size_t)n;
    const float *v = place(&g[1], count, count + 3);
    float *state = place(&g[0], ROWS * count, count + 4);
    double *exact = malloc(ROWS * count * sizeof *exact);
    for (size_t i = 0; i < ROWS * count; i++) exact[i] = (double)state[i];
    for (int step = 0; step < 2; step++) {
        cover(y, count + 2 * GUARD);
        memset(y + GUARD, 0, count * sizeof *y);
        k->scan(state, 0.9f, q, keys, v, y + GUARD, ROWS, n);
        for (int64_t j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (int i = 0; i < ROWS; i++) {
                double *at = exact + i * n + j;
                size += fabs((double)q[i]) * (fabs(*at) + fabs((double)(keys[i] * v[j])));
                *at = (double)0.9f * *at + (double)keys[i] * (double)v[j];
                sum += (double)q[i] * *at;
                assert_near(k->name, "state", n, j, (double)state[i * n + j], *at, size * 0x1p-20);
            }
            assert_near(k->name, "scan", n, j, (double)y[GUARD + j], sum, size * 0x1p-20);
        }
        assert_covered(y, GUARD);
        assert_covered(y + GUARD + n, GUARD);
    }
    /* A column alone has the bits that it has beside the others. */
    float alone[ROWS], one = 0, *again = place(&g[0], ROWS * count, count + 4);
    for (int i = 0; i < ROWS; i++) alone[i] = again[(i + 1) * n - 1];
    memset(y + GUARD, 0, count * sizeof *y);
    k->scan(again, 0.9f, q, keys, v, y + GUARD, ROWS, n);
    k->scan(alone, 0.9f, q, keys, v + n - 1, &one, ROWS, 1);
    assert_memory_equal(&one, &y[GUARD + n - 1], sizeof one);
    free(exact);
}

static void vectors_of_any_size_are_right(void **state) {
    (void)state;
    guarded g[3] = {guarded_make(4099 * 4), guarded_make(4099 * 4), guarded_make(4099 * 4)};
    float *y = take((4099 + 2 * GUARD) * 4);
    FOR_LEVELS(k) for (int i = 0; i < SIZE_COUNT; i++) {
        check_norms(k, size_at(i), g, y);
        check_silu(k, size_at(i), g, y);
        check_gelu(k, size_at(i), g, y);
        check_softmax_and_axpy(k, size_at(i), g, y);
        if (3 * size_at(i) <= 4099) check_scan(k, size_at(i), g, y);
    }
    FOR_LEVELS(k) { /* no element: nothing is touched */
        assert_true(k->dot(NULL, NULL, 0) == 0);
        k->axpy(NULL, 1, NULL, 0);
        k->silu(NULL, NULL, 0);
        k->silu_mul(NULL, NULL, NULL, 0);
        k->gelu(NULL, NULL, 0);
    }
    for (int i = 0; i < 3; i++) guarded_drop(&g[i]);
    free(y);
}

/* softmax of (0, x) is (1, exp(x)) / (1 + exp(x)). Below -17.4 the sum is 1 as a float, so what
 * comes back is the level's exp itself; from there to 0 it is compared after two more roundings. */
static void exp_is_good_to_two_ulp(void **state) {
    (void)state;
    FOR_LEVELS(k) {
        double worst = 0, worst_near = 0;
        for (int i = 1; i <= 1050000; i++) {
            const float x = -1e-4f * (float)i - 1e-6f * (float)(i % 97);
            float pair[2] = {0, x};
            k->softmax(pair, 2, NULL);
            const double e = exp((double)x);
            const double want = x < -17.4f ? e : e / (1 + e);
            int exponent;
            (void)frexp(want, &exponent);
            const double ulp = ldexp(1, exponent - 24 > -149 ? exponent - 24 : -149);
            const double off = fabs((double)pair[1] - want) / ulp;
            if (x < -17.4f)
                worst = fmax(worst, off);
            else
                worst_near = fmax(worst_near, off);
        }
        printf("%s: exp within %.3f ulp, softmax of two within %.3f\n", k->name, worst, worst_near);
        assert_true(worst <= 2 && worst_near <= 3);
    }
}

static void extremes_do_what_the_formulas_say(void **state) {
    (void)state;
    FOR_LEVELS(k) {
        const float in[] = {0.0f,   -0.0f,   INFINITY, 1e30f,  -1e30f,  88.5f,    -88.5f, 104.0f,
                            -88.0f, -104.5f, NAN,      1e-40f, FLT_MAX, -FLT_MAX, 1e-8f};
        enum { N = sizeof in / sizeof in[0] };
        float y[N];
        k->silu(y, in, N);
        for (int i = 0; i < N; i++) {
            const double x = (double)in[i], want = x / (1 + exp(-x));
            if (isnan(x)) {
                assert_true(isnan(y[i]));
            } else if (isinf(x)) {
                assert_true(isinf(y[i]) && y[i] > 0);
            } else {
                /* exp(-x) overflows before the result is too small for a float. */
                assert_near(k->name, "silu", N, i, (double)y[i], want,
                            fabs(want) * 0x1p-21 + 3e-37);
            }
        }
        k->gelu(y, in, N);
        for (int i = 0; i < N; i++) {
            const double x = (double)in[i];
            if (x <= -6) /* the tail is cut: no subnormal number comes out */
                assert_true(y[i] == 0);
            else if (isfinite(x))
                assert_near(k->name, "gelu", N, i, (double)y[i], gelu_of(x),
                            fabs(x) * 0x1p-22 + 0x1p-149);
            else
                assert_true(isnan(x) ? isnan(y[i]) : y[i] == in[i]);
        }
        float one[] = {-1e30f};
        k->softmax(one, 1, NULL);
        assert_true(one[0] == 1);
        float far[] = {1e30f, -1e30f, -INFINITY, 1e30f, 0, 0, 0, 0, 0, 0};
        k->softmax(far, 10, NULL);
        for (int i = 0; i < 10; i++) assert_true(far[i] == (i == 0 || i == 3 ? 0.5f : 0.0f));
        float same[67];
        for (int i = 0; i < 67; i++) same[i] = -3.25f;
        k->softmax(same, 67, NULL);
        for (int i = 0; i < 67; i++) assert_true(same[i] == 1.0f / 67);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_is_complete),
        cmocka_unit_test(every_level_dequantises_to_the_same_bits),
        cmocka_unit_test(gemv_is_right_and_equals_gemm_bit_for_bit),
        cmocka_unit_test(gemm_is_right_and_any_batch_gives_the_same_bits),
        cmocka_unit_test(vectors_of_any_size_are_right),
        cmocka_unit_test(exp_is_good_to_two_ulp),
        cmocka_unit_test(extremes_do_what_the_formulas_say),
    };
    return cmocka_run_group_tests(tests, name_levels, NULL);
}
