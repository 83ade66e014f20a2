/* Products of float weights in BF16, at every level that has them, emulated ones too: the bound of
 * kernels.h on all sizes and odd strides, nothing read or written beside, what is not finite stays
 * so, and an output has its bits whatever stands beside it. */
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

enum { BLOCK = KERNELS_BF16_COLS, COLS_CAP = 40 * BLOCK, COUNT_CAP = 67, ROWS = KERNELS_BF16_ROWS };

static const quant_type types[] = {QUANT_F32, QUANT_F16, QUANT_BF16};
enum { TYPE_COUNT = sizeof types / sizeof *types };

static size_t size_of(quant_type type) {
    return type == QUANT_F32 ? 4 : 2;
}

static float from_bf16(uint16_t bf16) {
    const uint32_t bits = (uint32_t)bf16 << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Numbers of many sizes; when wild, an infinity, a NaN or a subnormal number now and then. */
static float draw(bool wild, uint64_t *seed) {
    static const float sizes[] = {1, 1e-3f, 30, 1e-20f};
    const float v = random_float(seed) * sizes[next_random(seed) % 4];
    if (!wild || next_random(seed) % 400 != 0) return v;
    static const float strange[] = {INFINITY, -INFINITY, NAN, 1e-40f};
    return strange[next_random(seed) % 4];
}

typedef struct bf16_case {
    quant_type type;
    int64_t row_count, cols, x_count;
    size_t row_size, x_stride;
    bool wild;
    uint64_t seed;
} bf16_case;

typedef struct places {
    guarded weights, inputs;
    float *x;      /* [count, cols] before rounding */
    float *values; /* [row_count, cols] the weights as float32 */
    float *y, *alone;
    unsigned char *scratch;
} places;

static void fill(places *p, const kernels *k, const bf16_case *c, unsigned char **w, uint16_t **x) {
    uint64_t seed = c->seed;
    const size_t row = (size_t)c->cols * size_of(c->type);
    *w = p->weights.end - (size_t)(c->row_count - 1) * c->row_size - row;
    *x = (uint16_t *)(void *)p->inputs.end - (size_t)(c->x_count - 1) * c->x_stride - c->cols;
    float values[COLS_CAP];
    for (int64_t r = 0; r < c->row_count; r++) {
        for (int64_t i = 0; i < c->cols; i++) values[i] = draw(c->wild, &seed);
        assert_true(quant_quantise(c->type, values, *w + (size_t)r * c->row_size, c->cols));
        quant_dequantise(c->type, *w + (size_t)r * c->row_size, p->values + r * c->cols, c->cols);
    }
    for (int64_t t = 0; t < c->x_count; t++) {
        for (int64_t i = 0; i < c->cols; i++) p->x[t * c->cols + i] = draw(c->wild, &seed);
        k->quantise_bf16(p->x + t * c->cols, c->cols, *x + (size_t)t * c->x_stride);
    }
}

static void check_bound(const places *p, const kernels *k, const bf16_case *c) {
    const double part = 0x1p-7 + 0x1p-16 + ((double)c->cols / 2 + 2) * 0x1p-23;
    for (int64_t t = 0; t < c->x_count; t++)
        for (int64_t r = 0; r < c->row_count; r++) {
            double sum = 0, size = 0, tiny = (double)c->cols;
            for (int64_t i = 0; i < c->cols; i++) {
                const double a = (double)p->values[r * c->cols + i];
                const double b = (double)p->x[t * c->cols + i];
                sum += a * b, size += fabs(a * b), tiny += fabs(a) + fabs(b);
            }
            const float got = p->y[GUARD + t * ROWS + r];
            if (isfinite(sum) ? fabs((double)got - sum) > part * size + 0x1p-126 * tiny
                              : isfinite(got))
                fail_msg("%s type %d: input %d row %d of %d x %d is %g instead of %g", k->name,
                         (int)c->type, (int)t, (int)r, (int)c->row_count, (int)c->cols, (double)got,
                         sum);
        }
}

static bool same(float a, float b) { /* which NaN it is says nothing */
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static void check(places *p, const kernels *k, const bf16_case *c) {
    unsigned char *w;
    uint16_t *x;
    fill(p, k, c, &w, &x);
    const size_t size = (size_t)c->x_count * ROWS;
    cover(p->y, size + 2 * GUARD);
    memset(p->scratch, 0xa5, KERNELS_SCRATCH_SIZE);
    k->multiply_bf16[c->type](p->y + GUARD, w, c->row_size, c->row_count, x, c->x_stride,
                              c->x_count, c->cols, KERNELS_FETCH_L1, p->scratch);
    assert_covered(p->y, GUARD);
    assert_covered(p->y + GUARD + size, GUARD);
    check_bound(p, k, c);
    /* The last input alone, one row of it alone, nothing fetched. */
    const int64_t t = c->x_count - 1, r = c->row_count / 2;
    k->multiply_bf16[c->type](p->alone, w + (size_t)r * c->row_size, c->row_size, 1,
                              x + (size_t)t * c->x_stride, c->x_stride, 1, c->cols,
                              KERNELS_FETCH_NONE, p->scratch);
    assert_true(same(p->alone[0], p->y[GUARD + t * ROWS + r]));
}

static void any_size_stays_within_the_bound(void **state) {
    (void)state;
    const size_t outputs = COUNT_CAP * ROWS + 2 * GUARD;
    places p = {.weights = guarded_make((size_t)ROWS * (COLS_CAP * 4 + 8)),
                .inputs = guarded_make((size_t)COUNT_CAP * (COLS_CAP + BLOCK) * 2),
                .x = take(sizeof(float) * COUNT_CAP * COLS_CAP),
                .values = take(sizeof(float) * ROWS * COLS_CAP),
                .y = take(sizeof(float) * outputs),
                .alone = take(sizeof(float) * outputs),
                .scratch = take(KERNELS_SCRATCH_SIZE)};
    const bool is_short = getenv("RUNNEL_TEST_SHORT") != NULL;
    int seen = 0;
    FOR_LEVELS(k)
    for (int i = 0; i < TYPE_COUNT; i++)
        for (int n = 1; n <= COUNT_CAP; n += is_short ? 6 : 1) {
            bf16_case c = {.type = types[i],
                           .row_count = 1 + (n * 7 + i) % ROWS,
                           .cols = BLOCK * (1 + (n * 11) % (COLS_CAP / BLOCK)),
                           .x_count = n,
                           .wild = n % 3 == 0,
                           .seed = (uint64_t)n};
            c.row_size = (size_t)c.cols * size_of(c.type) + (size_t)(n % 5); /* odd addresses too */
            c.x_stride = (size_t)c.cols + (size_t)(n % 3) * BLOCK / 2;
            check(&p, k, &c);
            seen++;
        }
    if (seen == 0) printf("skipped: no level with BF16, and no AVX2 to emulate it\n");
    guarded_drop(&p.weights), guarded_drop(&p.inputs);
    free(p.x), free(p.values), free(p.y), free(p.alone), free(p.scratch);
    if (seen == 0) skip();
}

/* To nearest even, at every level with the same bits; subnormal numbers are 0. */
static void inputs_are_rounded_to_nearest_even(void **state) {
    (void)state;
    static const uint32_t bits[] = {0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0xbf80ffff,
                                    0x7f7fffff, 0x00000001, 0x807fffff, 0x00800000, 0x80000000};
    static const uint16_t want[] = {0x3f80, 0x3f80, 0x3f82, 0x3f81, 0xbf81,
                                    0x7f80, 0x0000, 0x8000, 0x0080, 0x8000};
    float x[BLOCK] = {0};
    memcpy(x, bits, sizeof bits);
    x[30] = INFINITY, x[31] = NAN;
    FOR_LEVELS(k) {
        uint16_t bf16[BLOCK];
        k->quantise_bf16(x, BLOCK, bf16);
        assert_memory_equal(bf16, want, sizeof want);
        assert_int_equal(bf16[30], 0x7f80);
        assert_true(isnan(from_bf16(bf16[31])));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size_stays_within_the_bound),
        cmocka_unit_test(inputs_are_rounded_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, find_bf16_levels, NULL);
}
