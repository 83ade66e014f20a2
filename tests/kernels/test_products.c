/* Packed products and attention of every level, emulated ones too, against the scalar one.
 * Products, rounding of inputs and half stores must give its very bits; attention sums in another
 * order of roundings, so it is held to an error, and to itself: the bits of a head do not depend on
 * its neighbours. Inputs end at an unreadable page, outputs stand between canaries. All other
 * entries of the table are met once more with special fills; `--bench [NAME]` times them. */
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
#include "tests/support/kernel_bench.h"
#include "tests/support/kernel_cases.h"
#include "tests/support/levels.h"

enum { INPUT_CAP = 67, COL_CAP = 67 * PACKED_BLOCK, WIDTH_CAP = 67, KEY_CAP = 67, HEAD_CAP = 9 };

static bool same(float a, float b) { /* which NaN it is says nothing */
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

/* ---- rounding of inputs ---- */

/* A row with blocks of every kind: ordinary, zero, tiny, huge; when wild, infinite and NaN ones. */
static void fill_input(float *x, int64_t cols, bool wild, uint64_t seed) {
    static const float sizes[] = {1, 0, 1e-31f, 1e30f, 3e-5f, 1, 1000, 1};
    for (int64_t c = 0; c < cols; c++)
        x[c] = random_float(&seed) * sizes[(uint64_t)(c / PACKED_BLOCK) % 8];
    for (int64_t b = 0; wild && b < cols / PACKED_BLOCK; b++) {
        const int64_t at = b * PACKED_BLOCK + (int64_t)(next_random(&seed) % PACKED_BLOCK);
        if (b % 5 == 1) x[at] = b % 2 == 0 ? INFINITY : -INFINITY;
        if (b % 5 == 3) x[at] = NAN;
    }
}

/* Rounded inputs in memory that ends at unreadable pages. */
typedef struct inputs {
    guarded codes, sums, offsets, scales, wide, wide_scales;
    kernels_input x;
} inputs;
static inputs inputs_make(size_t values) {
    return (inputs){.codes = guarded_make(values),
                    .sums = guarded_make(values / 4),
                    .offsets = guarded_make(values / 8),
                    .scales = guarded_make(values / 8),
                    .wide = guarded_make(values * 2),
                    .wide_scales = guarded_make(values / 8)};
}
static void inputs_drop(inputs *in) {
    guarded_drop(&in->codes), guarded_drop(&in->sums), guarded_drop(&in->scales);
    guarded_drop(&in->offsets);
    guarded_drop(&in->wide), guarded_drop(&in->wide_scales);
}
/* Rounds count rows by the kernels given; rows is scratch of cols floats. */
static void inputs_fill(inputs *in, const kernels *k, float *row, int64_t count, int64_t cols,
                        bool wild, uint64_t seed) {
    const size_t values = (size_t)(count * cols);
    int8_t *codes = (int8_t *)(in->codes.end - values);
    int16_t *sums = (int16_t *)(void *)(in->sums.end - values / 4);
    int32_t *offsets = (int32_t *)(void *)(in->offsets.end - values / 8);
    float *scales = (float *)(void *)(in->scales.end - values / 8);
    int16_t *wide = (int16_t *)(void *)(in->wide.end - values * 2);
    float *wide_scales = (float *)(void *)(in->wide_scales.end - values / 8);
    for (int64_t t = 0; t < count; t++) {
        const int64_t at = t * cols;
        fill_input(row, cols, wild, seed + (uint64_t)t);
        k->quantise(row, cols, codes + at, sums + at / 8, scales + at / PACKED_BLOCK);
        kernels_offsets(sums + at / 8, cols / PACKED_BLOCK, offsets + at / PACKED_BLOCK);
        k->quantise_wide(row, cols, wide + at, wide_scales + at / PACKED_BLOCK);
    }
    in->x = (kernels_input){.col_count = cols,
                            .codes = codes,
                            .sums = sums,
                            .offsets = offsets,
                            .scales = scales,
                            .wide = wide,
                            .wide_scales = wide_scales};
}

static void inputs_are_rounded_to_the_same_bits(void **state) {
    (void)state;
    guarded row = guarded_make(COL_CAP * 4);
    inputs want = inputs_make(COL_CAP), got = inputs_make(COL_CAP);
    FOR_LEVELS(k)
    for (int64_t blocks = 1; blocks <= 67; blocks++)
        for (int wild = 0; wild < 2; wild++) {
            const int64_t cols = blocks * PACKED_BLOCK;
            const size_t values = (size_t)cols;
            float *x = (float *)(void *)(row.end - values * sizeof *x);
            inputs_fill(&want, &levels[0], x, 1, cols, wild == 1, (uint64_t)blocks);
            inputs_fill(&got, k, x, 1, cols, wild == 1, (uint64_t)blocks);
            assert_memory_equal(got.x.codes, want.x.codes, values);
            assert_memory_equal(got.x.sums, want.x.sums, values / 4);
            assert_memory_equal(got.x.wide, want.x.wide, values * 2);
            for (int64_t b = 0; b < blocks; b++)
                assert_true(same(got.x.scales[b], want.x.scales[b]) &&
                            same(got.x.wide_scales[b], want.x.wide_scales[b]));
        }
    inputs_drop(&want);
    inputs_drop(&got);
    guarded_drop(&row);
}

/* ---- products ---- */

typedef struct bench {
    guarded slab;
    inputs in;
    float *row, *want, *got;
    unsigned char *scratch;
} bench;

/* One type and shape by all levels. */
static void check_product(bench *b, quant_type type, int64_t cols, int64_t count, bool wild) {
    const uint64_t seed = (uint64_t)(cols * 1000 + count) + type;
    const size_t outputs = (size_t)count * PACKED_ROWS;
    unsigned char *slab = b->slab.end - packed_slab_size(type, cols); /* a multiple of 64 */
    fill_slab(type, slab, cols, wild, seed);
    inputs_fill(&b->in, &levels[0], b->row, count, cols, wild, seed);
    levels[0].multiply[type](b->want, slab, &b->in.x, count, b->scratch);
    FOR_LEVELS(k) {
        memset(b->scratch, 0xff, KERNELS_SCRATCH_SIZE); /* dead between calls: NaNs */
        cover(b->got, outputs + 2 * GUARD);
        k->multiply[type](b->got + GUARD, slab, &b->in.x, count, b->scratch);
        assert_covered(b->got, GUARD);
        assert_covered(b->got + GUARD + outputs, GUARD);
        for (size_t i = 0; i < outputs; i++)
            if (!same(b->got[GUARD + i], b->want[i]))
                fail_msg("%s %s, %d columns, %d inputs%s: input %d row %d is %a instead of %a",
                         k->name, quant_describe((uint32_t)type)->name, (int)cols, (int)count,
                         wild ? ", wild" : "", (int)i / PACKED_ROWS, (int)i % PACKED_ROWS,
                         (double)b->got[GUARD + i], (double)b->want[i]);
    }
}

static void products_of_every_type_give_the_scalar_bits(void **state) {
    (void)state;
    const size_t outputs = INPUT_CAP * PACKED_ROWS + 2 * GUARD;
    bench b = {.slab = guarded_make(packed_slab_size(QUANT_Q8_0, COL_CAP) + PACKED_ALIGN),
               .in = inputs_make((size_t)INPUT_CAP * COL_CAP),
               .row = take(COL_CAP * sizeof(float)),
               .want = take(outputs * sizeof(float)),
               .got = take(outputs * sizeof(float)),
               .scratch = take(KERNELS_SCRATCH_SIZE)};
    for (uint32_t t = 0; t < QUANT_TYPE_CAP; t++) {
        const quant_type type = (quant_type)t;
        const packed_info *p = packed_describe(type);
        if (p->low_bits == 0) continue;
        /* Every number of blocks with few inputs, every number of inputs with few blocks. */
        for (int64_t n = 1; n <= 67; n++) {
            const int64_t of_super = p->super_len / PACKED_BLOCK;
            const int64_t blocks = (n + of_super - 1) / of_super * of_super;
            if (blocks <= 67 && (n % of_super == 1 || of_super == 1)) {
                check_product(&b, type, blocks * PACKED_BLOCK, 1, n % 3 == 0);
                check_product(&b, type, blocks * PACKED_BLOCK, 1 + n % 7, n % 4 == 0);
            }
            check_product(&b, type, p->super_len * (1 + n % 3), n, n % 5 == 0);
        }
    }
    guarded_drop(&b.slab);
    inputs_drop(&b.in);
    free(b.row), free(b.want), free(b.got), free(b.scratch);
}

/* The largest sums that the formats can make: every code, scale and input at its end. */
static void extreme_codes_do_not_overflow(void **state) {
    (void)state;
    enum { COLS = 512, COUNT = 5 };
    float *row = take(COLS * sizeof *row), want[COUNT * PACKED_ROWS], got[COUNT * PACKED_ROWS];
    unsigned char *scratch = take(KERNELS_SCRATCH_SIZE);
    guarded slab = guarded_make(packed_slab_size(QUANT_Q8_0, COLS));
    inputs in = inputs_make(COUNT * COLS);
    for (uint32_t t = 0; t < QUANT_TYPE_CAP; t++) {
        if (packed_describe((quant_type)t)->low_bits == 0) continue;
        static const unsigned char fills[] = {0x00, 0xff, 0x80, 0x7f, 0x81};
        for (size_t f = 0; f < sizeof fills; f++)
            for (int sign = 0; sign < 3; sign++) {
                const size_t size = packed_slab_size((quant_type)t, COLS);
                unsigned char *at = slab.end - size;
                fill_slab((quant_type)t, at, COLS, false, f);
                memset(at, fills[f],
                       (size_t)(COLS / PACKED_BLOCK) *
                           packed_code_size(packed_describe((quant_type)t)));
                inputs_fill(&in, &levels[0], row, COUNT, COLS, false, 1);
                int8_t *codes = (int8_t *)(in.codes.end - COUNT * COLS);
                int16_t *wide = (int16_t *)(void *)(in.wide.end - 2 * COUNT * COLS);
                int16_t *sums = (int16_t *)(void *)(in.sums.end - COUNT * COLS / 4);
                float *scales = (float *)(void *)(in.scales.end - COUNT * COLS / 8);
                float *wide_scales = (float *)(void *)(in.wide_scales.end - COUNT * COLS / 8);
                for (int i = 0; i < COUNT; i++) { /* signs: all, none, every other */
                    for (int c = 0; c < COLS; c++)
                        row[c] = sign == 0 || (sign == 2 && c % 2 == 0) ? -1.0f : 1.0f;
                    levels[0].quantise(row, COLS, codes + i * COLS, sums + i * COLS / 8,
                                       scales + i * COLS / PACKED_BLOCK);
                    levels[0].quantise_wide(row, COLS, wide + i * COLS,
                                            wide_scales + i * COLS / PACKED_BLOCK);
                }
                kernels_offsets(sums, COUNT * COLS / PACKED_BLOCK,
                                (int32_t *)(void *)(in.offsets.end - COUNT * COLS / 8));
                for (int64_t count = 1; count <= COUNT; count += 2) {
                    levels[0].multiply[t](want, at, &in.x, count, scratch);
                    FOR_LEVELS(k) {
                        k->multiply[t](got, at, &in.x, count, scratch);
                        for (int i = 0; i < count * PACKED_ROWS; i++)
                            if (!same(got[i], want[i]))
                                fail_msg("%s %s, bytes %02x, signs %d: [%d] is %a instead of %a",
                                         k->name, quant_describe(t)->name, fills[f], sign, i,
                                         (double)got[i], (double)want[i]);
                    }
                }
            }
    }
    inputs_drop(&in);
    guarded_drop(&slab);
    free(row), free(scratch);
}

/* ---- attention ---- */

typedef struct cache {
    guarded q, rows, weights;
    float *out, *alone;
} cache;

/* `keys` rows, stored by the level and by the scalar one; NULL is never returned. */
static void *store_rows(const cache *c, const kernels *k, kernels_cache type, int64_t keys,
                        int64_t width, const float *x) {
    const size_t row_size = kernels_cache_row_size(type, width), size = (size_t)keys * row_size;
    unsigned char *rows = c->rows.end - size, *other = take(size);
    for (int64_t j = 0; j < keys; j++) {
        k->store[type](rows + (size_t)j * row_size, x + j * width, width);
        levels[0].store[type](other + (size_t)j * row_size, x + j * width, width);
    }
    assert_memory_equal(rows, other, size);
    free(other);
    return rows;
}

static void check_scores(const cache *c, const kernels *k, kernels_cache type, int64_t heads,
                         int64_t keys, int64_t width) {
    const size_t stride = (size_t)keys + 3, all = (size_t)heads * stride - 3;
    const float *q = place(&c->q, (size_t)(heads * width), 1);
    float *x = take((size_t)(keys * width) * sizeof *x);
    uint64_t seed = (uint64_t)(keys * width);
    for (int64_t i = 0; i < keys * width; i++) x[i] = random_float(&seed);
    const void *rows = store_rows(c, k, type, keys, width, x);
    cover(c->out, all + 2 * GUARD);
    k->scores[type](c->out + GUARD, stride, q, heads, rows, keys, width);
    levels[0].scores[type](c->alone, stride, q, heads, rows, keys, width);
    assert_covered(c->out, GUARD);
    assert_covered(c->out + GUARD + all, GUARD);
    for (int64_t g = 0; g < heads; g++) {
        const float *got = c->out + GUARD + (size_t)g * stride;
        float one[KEY_CAP];
        k->scores[type](one, stride, q + g * width, 1, rows, keys, width);
        assert_memory_equal(one, got, (size_t)keys * sizeof *one);
        for (int64_t j = 0; j < keys; j++)
            assert_true(fabsf(got[j] - c->alone[(size_t)g * stride + (size_t)j]) <= 1e-5f);
        if (g + 1 < heads) assert_covered(got + keys, 3);
    }
    free(x);
}

static void check_mix(const cache *c, const kernels *k, kernels_cache type, int64_t heads,
                      int64_t keys, int64_t width) {
    const size_t stride = (size_t)keys + 3, all = (size_t)(heads * width);
    const float *weights = place(&c->weights, (size_t)heads * stride - 3, 2);
    float *x = take((size_t)(keys * width) * sizeof *x);
    uint64_t seed = (uint64_t)(keys * width) + 7;
    for (int64_t i = 0; i < keys * width; i++) x[i] = random_float(&seed);
    const void *rows = store_rows(c, k, type, keys, width, x);
    cover(c->out, all + 2 * GUARD);
    for (size_t i = 0; i < all; i++) c->out[GUARD + i] = c->alone[i] = (float)i / 64;
    k->mix[type](c->out + GUARD, weights, stride, heads, rows, keys, width);
    levels[0].mix[type](c->alone, weights, stride, heads, rows, keys, width);
    assert_covered(c->out, GUARD);
    assert_covered(c->out + GUARD + all, GUARD);
    for (size_t i = 0; i < all; i++)
        assert_true(fabsf(c->out[GUARD + i] - c->alone[i]) <= 2e-5f + 1e-6f * (float)i / 64);
    for (int64_t g = 0; g < heads; g++) {
        float one[WIDTH_CAP];
        for (int64_t i = 0; i < width; i++) one[i] = (float)(g * width + i) / 64;
        k->mix[type](one, weights + (size_t)g * stride, stride, 1, rows, keys, width);
        assert_memory_equal(one, c->out + GUARD + g * width, (size_t)width * sizeof *one);
    }
    free(x);
}

static void attention_of_any_size_is_right(void **state) {
    (void)state;
    const size_t outputs = HEAD_CAP * (KEY_CAP + 3) + HEAD_CAP * WIDTH_CAP + 2 * GUARD;
    cache c = {.q = guarded_make(HEAD_CAP * WIDTH_CAP * 4),
               .rows = guarded_make(KEY_CAP * WIDTH_CAP * 4),
               .weights = guarded_make(HEAD_CAP * (KEY_CAP + 3) * 4),
               .out = take(outputs * sizeof(float)),
               .alone = take(outputs * sizeof(float))};
    FOR_LEVELS(k)
    for (int type = 0; type < KERNELS_CACHE_COUNT; type++)
        for (int64_t n = 1; n <= 67; n++) {
            const int64_t heads = 1 + n % HEAD_CAP;
            /* Rows of Q8_0 are whole blocks. */
            const int64_t width =
                type == KERNELS_CACHE_Q8_0 ? KERNELS_CACHE_BLOCK * (1 + n % 2) : n;
            check_scores(&c, k, (kernels_cache)type, heads, 1 + n % 5, width);
            check_scores(&c, k, (kernels_cache)type, heads, n, 64);
            check_mix(&c, k, (kernels_cache)type, heads, 1 + n % 5, width);
            check_mix(&c, k, (kernels_cache)type, heads, n, 64);
        }
    guarded_drop(&c.q);
    guarded_drop(&c.rows);
    guarded_drop(&c.weights);
    free(c.out), free(c.alone);
}

static void codes_of_the_cache_are_near_and_show_damage(void **state) {
    (void)state;
    enum { WIDTH = 64 };
    float x[WIDTH], one[WIDTH] = {0}, weight = 1.0f;
    unsigned char row[WIDTH + 4];
    uint64_t seed = 3;
    for (int i = 0; i < WIDTH; i++) x[i] = random_float(&seed) * (i < 32 ? 1.0f : 100.0f);
    levels[0].store[KERNELS_CACHE_Q8_0](row, x, WIDTH);
    levels[0].mix[KERNELS_CACHE_Q8_0](one, &weight, 1, 1, row, 1, WIDTH);
    for (int i = 0; i < WIDTH; i++) /* half a code, and the scale's rounding to a half */
        assert_true(fabsf(one[i] - x[i]) <= (i < 32 ? 1.0f : 100.0f) * (0.5f / 127 + 0.0005f));
    x[40] = NAN;
    memset(one, 0, sizeof one);
    levels[0].store[KERNELS_CACHE_Q8_0](row, x, WIDTH);
    levels[0].mix[KERNELS_CACHE_Q8_0](one, &weight, 1, 1, row, 1, WIDTH);
    for (int i = 0; i < WIDTH; i++) assert_true(i < 32 ? isfinite(one[i]) : isnan(one[i]));
}

int main(int argc, char **argv) {
    int code;
    if (kernel_bench_main(argc, argv, &code)) return code;
    kernel_bench proven = {.only = ""};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_are_rounded_to_the_same_bits),
        cmocka_unit_test(products_of_every_type_give_the_scalar_bits),
        cmocka_unit_test(extreme_codes_do_not_overflow),
        cmocka_unit_test(attention_of_any_size_is_right),
        cmocka_unit_test(codes_of_the_cache_are_near_and_show_damage),
        cmocka_unit_test_prestate(every_kernel_of_every_level_agrees, &proven),
    };
    return cmocka_run_group_tests(tests, find_levels, NULL);
}
