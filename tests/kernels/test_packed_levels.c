/* Products with packed weights: every level gives the bits of scalar_packed.c, for all counts of
 * rows, blocks and inputs from 1 to 67, with blocks of random bytes whose scales are any halves:
 * infinite, NaN, zero, subnormal. Two slabs at once give those of each alone. The tiles of amx stay
 * within the bound of kernels.h. What is read ends at an unreadable page; outputs stand between
 * canaries.
 *
 *     slab     | ... codes, scales | unreadable page
 *     inputs   | ... count x cols  | unreadable page        each array of kernels_input on its own
 *     y        | GUARD | count x 16 | GUARD
 *
 * Numbers that are no number are equal whatever their payload. */
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
    BLOCK_CAP = 67,
    COLS_CAP = 256 * 9, /* of types with super-blocks: 72 blocks */
    COUNT_CAP = 67
};

static bool is_short(void) {
    return getenv("RUNNEL_TEST_SHORT") != NULL;
}

/* Whatever has to be read: the ends of all arrays are ends of memory. */
typedef struct place_set {
    guarded rows, slab, codes, sums, offsets, wide, scales, wide_scales, bf16;
    float *x;
    float *want, *got; /* with canaries */
    unsigned char *scratch;
} place_set;

static place_set make_places(void) {
    const size_t cells = (size_t)COUNT_CAP * COLS_CAP;
    return (place_set){.rows = guarded_make((size_t)PACKED_ROWS * COLS_CAP * 2),
                       .slab = guarded_make((size_t)PACKED_ROWS * COLS_CAP * 2),
                       .codes = guarded_make(cells),
                       .sums = guarded_make(cells / 4),
                       .wide = guarded_make(cells * 2),
                       .offsets = guarded_make(cells / 8),
                       .scales = guarded_make(cells / 8),
                       .wide_scales = guarded_make(cells / 8),
                       .bf16 = guarded_make(cells * 2),
                       .x = take(cells * sizeof(float)),
                       .want = take(((size_t)COUNT_CAP * PACKED_ROWS + 2 * GUARD) * sizeof(float)),
                       .got = take(((size_t)COUNT_CAP * PACKED_ROWS + 2 * GUARD) * sizeof(float)),
                       .scratch = aligned_alloc(64, KERNELS_SCRATCH_SIZE)};
}

static void drop_places(place_set *p) {
    guarded *all[] = {&p->rows, &p->slab,   &p->codes,       &p->sums, &p->offsets,
                      &p->wide, &p->scales, &p->wide_scales, &p->bf16};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_drop(all[i]);
    free(p->x), free(p->want), free(p->got), free(p->scratch);
}

/* ---- weights ---- */

/* Where in a stored block its F16 d (and minimum) stand. */
static size_t halves_at(quant_type type, int *count) {
    *count = packed_describe(type)->has_min ? 2 : 1;
    if (type == QUANT_Q6_K) return 208;
    if (type == QUANT_Q3_K) return 108;
    return type == QUANT_Q2_K ? 80 : 0;
}

/* Random bytes; scales are small numbers, or one in three odd when wild. */
static void fill_stored(quant_type type, unsigned char *p, size_t size, bool wild, uint64_t *seed) {
    static const uint16_t odd[] = {0x7c00, 0xfc00, 0x7e01, 0x0000, 0x8000, 0x0001, 0x7bff, 0x83ff};
    const size_t block = quant_describe((uint32_t)type)->block_size;
    int halves;
    const size_t at = halves_at(type, &halves);
    for (size_t i = 0; i < size; i++) p[i] = (unsigned char)(next_random(seed) >> 9);
    for (size_t i = 0; i < size / block; i++)
        for (int h = 0; h < halves; h++) {
            uint16_t half = quant_f32_to_f16(0.01f * random_float(seed));
            if (wild && next_random(seed) % 24 == 0) half = odd[next_random(seed) % 8];
            memcpy(p + i * block + at + 2 * (size_t)h, &half, sizeof half);
        }
}

/* A slab of `rows` stored rows an odd stride apart, ending at the page. */
static unsigned char *make_slab(place_set *p, quant_type type, int64_t rows, int64_t cols,
                                bool wild, uint64_t *seed) {
    const quant_info *info = quant_describe((uint32_t)type);
    const size_t size = (size_t)cols / info->block_len * info->block_size, stride = size + 7;
    unsigned char *stored = p->rows.end - ((size_t)rows * stride - 7);
    for (int64_t r = 0; r < rows; r++)
        fill_stored(type, stored + (size_t)r * stride, size, wild, seed);
    unsigned char *slab = p->slab.end - packed_slab_size(type, cols);
    packed_write(type, stored, stride, rows, cols, slab);
    return slab;
}

/* ---- inputs ---- */

static void fill_inputs(float *x, int64_t count, int64_t cols, bool wild, uint64_t *seed) {
    for (int64_t i = 0; i < count * cols; i++) x[i] = random_float(seed);
    for (int64_t b = 0; wild && b < count * cols / PACKED_BLOCK; b++) {
        float *at = x + b * PACKED_BLOCK;
        const uint64_t kind = next_random(seed) % 40;
        for (int c = 0; c < PACKED_BLOCK; c++) {
            if (kind == 0) at[c] = 0;
            if (kind == 1) at[c] = at[c] > 0 ? 1.0f : -1.0f; /* the largest sums there are */
            if (kind == 2) at[c] *= 1e-29f;
            if (kind == 3) at[c] *= 1e30f;
        }
        if (kind == 4) at[next_random(seed) % PACKED_BLOCK] = INFINITY;
        if (kind == 5) at[next_random(seed) % PACKED_BLOCK] = NAN;
    }
}

/* Every level rounds inputs to the same integers: writes them with k, returns where. */
static kernels_input round_inputs(const place_set *p, const kernels *k, int64_t count,
                                  int64_t cols) {
    const size_t cells = (size_t)(count * cols);
    int8_t *codes = (int8_t *)p->codes.end - cells;
    int16_t *sums = (int16_t *)(void *)p->sums.end - cells / 8;
    int16_t *wide = (int16_t *)(void *)p->wide.end - cells;
    int32_t *offsets = (int32_t *)(void *)p->offsets.end - cells / PACKED_BLOCK;
    float *scales = (float *)(void *)p->scales.end - cells / PACKED_BLOCK;
    float *wide_scales = (float *)(void *)p->wide_scales.end - cells / PACKED_BLOCK;
    uint16_t *bf16 = (uint16_t *)(void *)p->bf16.end - cells;
    for (int64_t t = 0; t < count; t++) {
        const int64_t at = t * cols;
        k->quantise(p->x + at, cols, codes + at, sums + at / 8, scales + at / PACKED_BLOCK);
        kernels_offsets(sums + at / 8, cols / PACKED_BLOCK, offsets + at / PACKED_BLOCK);
        k->quantise_wide(p->x + at, cols, wide + at, wide_scales + at / PACKED_BLOCK);
        if (k->quantise_bf16 != NULL) k->quantise_bf16(p->x + at, cols, bf16 + at);
    }
    return (kernels_input){.col_count = cols,
                           .codes = codes,
                           .sums = sums,
                           .offsets = offsets,
                           .scales = scales,
                           .wide = wide,
                           .wide_scales = wide_scales,
                           .bf16 = bf16};
}

/* ---- comparing ---- */

typedef struct product_case {
    quant_type type;
    int64_t rows, blocks, count;
    bool wild;
    uint64_t seed;
} product_case;

static void fail_at(const char *level, const product_case *c, int64_t t, int row, float got,
                    float want) {
    fail_msg("%s %s, %d rows, %d blocks, %d inputs, seed %d%s: input %d row %d is %a, not %a",
             level, quant_describe((uint32_t)c->type)->name, (int)c->rows, (int)c->blocks,
             (int)c->count, (int)c->seed, c->wild ? ", wild" : "", (int)t, row, (double)got,
             (double)want);
}

static bool same(float a, float b) {
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

static void multiply_covered(const place_set *p, const kernels *k, const product_case *c,
                             const unsigned char *slab, const kernels_input *x, float *y) {
    const size_t size = (size_t)c->count * PACKED_ROWS;
    cover(y, size + 2 * GUARD);
    memset(p->scratch, 0xa5, KERNELS_SCRATCH_SIZE);
    k->multiply[c->type](y + GUARD, slab, x, c->count, p->scratch);
    assert_covered(y, GUARD);
    assert_covered(y + GUARD + size, GUARD);
}

static void check_multiply(place_set *p, const product_case *c) {
    const int64_t cols = c->blocks * PACKED_BLOCK;
    uint64_t seed = c->seed;
    const unsigned char *slab = make_slab(p, c->type, c->rows, cols, c->wild, &seed);
    fill_inputs(p->x, c->count, cols, c->wild, &seed);
    kernels_input x = round_inputs(p, &levels[0], c->count, cols);
    multiply_covered(p, &levels[0], c, slab, &x, p->want);
    for (int i = 1; i < level_count; i++) {
        x = round_inputs(p, &levels[i], c->count, cols);
        multiply_covered(p, &levels[i], c, slab, &x, p->got);
        for (int64_t t = 0; t < c->count; t++)
            for (int row = 0; row < PACKED_ROWS; row++) {
                const int64_t at = GUARD + t * PACKED_ROWS + row;
                if (!same(p->got[at], p->want[at]))
                    fail_at(levels[i].name, c, t, row, p->got[at], p->want[at]);
            }
    }
}

/* ---- tests ---- */

/* The n-th case: each count runs through 1 .. 67, every other number standing elsewhere by then. */
static product_case case_at(quant_type type, int n, bool wild) {
    const int64_t of_super = packed_describe(type)->super_len / PACKED_BLOCK;
    product_case c = {.type = type,
                      .rows = 1 + n % PACKED_ROWS,
                      .blocks = 1 + (n * 29 + 3) % BLOCK_CAP,
                      .count = 1 + n % COUNT_CAP,
                      .wild = wild,
                      .seed = (uint64_t)(n * 100 + (int)type)};
    if (of_super > 1) c.blocks = of_super * (1 + n % 9);
    if (c.blocks > 24 && c.count > 12) /* the scalar level is slow */
        c.count = 1 + c.count % 12;
    return c;
}

static void every_level_gives_the_same_bits(void **state) {
    (void)state;
    place_set p = make_places();
    const int step = is_short() ? 5 : 1;
    for (uint32_t type = 0; type < QUANT_TYPE_CAP; type++) {
        if (packed_describe((quant_type)type)->low_bits == 0) continue;
        for (int n = 0; n < 2 * 67; n += step) {
            const product_case c = case_at((quant_type)type, n, n >= 67);
            check_multiply(&p, &c);
        }
        /* Every count of inputs, where each level has its own way of sharing them out. */
        for (int64_t count = 1; count <= COUNT_CAP; count += step) {
            const int64_t blocks = packed_describe((quant_type)type)->super_len / PACKED_BLOCK;
            const product_case c = {(quant_type)type, 16, blocks, count, count % 2 != 0,
                                    (uint64_t)count};
            check_multiply(&p, &c);
        }
    }
    drop_places(&p);
}

static void every_level_rounds_inputs_alike(void **state) {
    (void)state;
    place_set p = make_places();
    enum { COLS = 64 * PACKED_BLOCK };
    int8_t *codes = take(COLS);
    int16_t *sums = take(COLS / 4), *wide = take(COLS * 2);
    float *scales = take(COLS / 8), *wide_scales = take(COLS / 8);
    for (uint64_t seed = 0; seed < (is_short() ? 20 : 200); seed++) {
        uint64_t s = seed;
        fill_inputs(p.x, 1, COLS, true, &s);
        const kernels_input x = round_inputs(&p, &levels[0], 1, COLS);
        for (int i = 1; i < level_count; i++) {
            levels[i].quantise(p.x, COLS, codes, sums, scales);
            levels[i].quantise_wide(p.x, COLS, wide, wide_scales);
            assert_memory_equal(codes, x.codes, COLS);
            assert_memory_equal(sums, x.sums, COLS / 4);
            assert_memory_equal(wide, x.wide, COLS * 2);
            for (int b = 0; b < COLS / PACKED_BLOCK; b++) {
                assert_true(same(scales[b], x.scales[b]));
                assert_true(same(wide_scales[b], x.wide_scales[b]));
            }
        }
    }
    free(codes), free(sums), free(wide), free(scales), free(wide_scales);
    drop_places(&p);
}

/* Two slabs at once have the bits of one after the other. */
static void check_pair(place_set *p, const kernels *k, const product_case *c) {
    const int64_t cols = c->blocks * PACKED_BLOCK;
    const size_t size = (size_t)c->count * PACKED_ROWS, slab_size = packed_slab_size(c->type, cols);
    uint64_t seed = c->seed;
    unsigned char *first = take(slab_size);
    float *want = take(size * sizeof *want);
    memcpy(first, make_slab(p, c->type, c->rows, cols, c->wild, &seed), slab_size);
    const unsigned char *const slabs[2] = {
        first, make_slab(p, c->type, PACKED_ROWS, cols, c->wild, &seed)};
    fill_inputs(p->x, c->count, cols, c->wild, &seed);
    kernels_input x = round_inputs(p, k, c->count, cols);
    x.ahead = slab_size, x.fetch = (kernels_fetch)(c->count % KERNELS_FETCH_COUNT);
    float *const y[2] = {p->want + GUARD, p->got + GUARD};
    cover(p->want, size + 2 * GUARD), cover(p->got, size + 2 * GUARD);
    k->multiply_pair[c->type](y, slabs, &x, c->count);
    for (int s = 0; s < 2; s++) {
        assert_covered(y[s] - GUARD, GUARD);
        assert_covered(y[s] + size, GUARD);
        k->multiply[c->type](want, slabs[s], &x, c->count, p->scratch);
        for (int64_t i = 0; i < (int64_t)size; i++)
            if (!same(y[s][i], want[i]))
                fail_at(k->name, c, i / PACKED_ROWS, (int)(i % PACKED_ROWS), y[s][i], want[i]);
    }
    free(first), free(want);
}

static void pairs_give_the_bits_of_single_slabs(void **state) {
    (void)state;
    place_set p = make_places();
    const int step = is_short() ? 5 : 1;
    FOR_LEVELS(k)
    for (uint32_t type = 0; type < QUANT_TYPE_CAP; type++)
        for (int n = 0; n < 2 * 67 && k->multiply_pair[type] != NULL; n += step) {
            const product_case c = case_at((quant_type)type, n, n >= 67);
            check_pair(&p, k, &c);
        }
    drop_places(&p);
}

/* The bound of multiply_tiles, and that what is not finite stays so. */
static void check_tile_outputs(const kernels *k, const product_case *c, const unsigned char *slab,
                               const float *x, const float *y) {
    const int64_t cols = c->blocks * PACKED_BLOCK;
    float w[COLS_CAP];
    const double part = 0x1p-7 + 0x1p-16 + ((double)cols / 2 + 2) * 0x1p-23;
    for (int row = 0; row < PACKED_ROWS; row++) {
        packed_dequantise(c->type, slab, cols, row, w);
        for (int64_t t = 0; t < c->count; t++) {
            double sum = 0, size = 0, tiny = (double)cols;
            for (int64_t i = 0; i < cols; i++) {
                const double a = (double)w[i], b = (double)x[t * cols + i];
                sum += a * b, size += fabs(a * b), tiny += fabs(a) + fabs(b);
            }
            const float got = y[t * PACKED_ROWS + row];
            const bool ok = isfinite(sum) ? fabs((double)got - sum) <= part * size + 0x1p-126 * tiny
                                          : !isfinite(got);
            if (!ok) fail_at(k->name, c, t, row, got, (float)sum);
        }
    }
}

/* Two slabs at once, their outputs with canaries; then one slab and parts of the batch alone. */
static void check_tiles(place_set *p, const kernels *k, const product_case *c) {
    const int64_t cols = c->blocks * PACKED_BLOCK;
    const size_t size = (size_t)c->count * PACKED_ROWS, slab_size = packed_slab_size(c->type, cols);
    uint64_t seed = c->seed;
    unsigned char *first = take(slab_size);
    memcpy(first, make_slab(p, c->type, c->rows, cols, c->wild, &seed), slab_size);
    const unsigned char *second = make_slab(p, c->type, 16, cols, c->wild, &seed);
    const unsigned char *const slabs[2] = {first, second};
    fill_inputs(p->x, c->count, cols, false, &seed);
    const kernels_input x = round_inputs(p, k, c->count, cols);
    float *const y[2] = {p->want + GUARD, p->got + GUARD};
    cover(p->want, size + 2 * GUARD), cover(p->got, size + 2 * GUARD);
    memset(p->scratch, 0xa5, KERNELS_SCRATCH_SIZE);
    k->multiply_tiles[c->type](y, slabs, 2, &x, c->count, p->scratch);
    for (int s = 0; s < 2; s++) {
        assert_covered(y[s] - GUARD, GUARD);
        assert_covered(y[s] + size, GUARD);
        check_tile_outputs(k, c, slabs[s], p->x, y[s]);
    }
    const int64_t at = c->count / 2;
    kernels_input rest = x;
    rest.bf16 += at * cols;
    float *const alone[1] = {p->got + GUARD};
    k->multiply_tiles[c->type](alone, slabs, 1, &rest, c->count - at, p->scratch);
    for (size_t i = 0; i < (size_t)(c->count - at) * PACKED_ROWS; i++)
        assert_true(same(alone[0][i], y[0][(size_t)at * PACKED_ROWS + i]));
    free(first);
}

static void tiles_stay_within_their_bound(void **state) {
    (void)state;
    place_set p = make_places();
    FOR_LEVELS(k)
    for (uint32_t type = 0; type < QUANT_TYPE_CAP; type++) {
        if (k->multiply_tiles[type] == NULL) continue;
        for (int n = 0; n < 67; n += is_short() ? 8 : 2) {
            const product_case c = case_at((quant_type)type, n, n % 3 == 0);
            check_tiles(&p, k, &c);
        }
    }
    drop_places(&p);
}

static void levels_have_what_they_should(void **state) {
    (void)state;
    int with_tiles = 0;
    FOR_LEVELS(k) {
        const bool tiles = strncmp(k->name, "amx", 3) == 0;
        const bool pairs = tiles || strncmp(k->name, "avx512", 6) == 0;
        with_tiles += tiles;
        const bool bf16 = tiles || strncmp(k->name, "avx512_bf16", 11) == 0;
        assert_true((k->quantise_bf16 != NULL) == bf16);
        for (uint32_t type = 0; type < QUANT_TYPE_CAP; type++) {
            const bool packed = packed_describe((quant_type)type)->low_bits > 0;
            assert_true((k->multiply[type] != NULL) == packed);
            assert_true((k->multiply_pair[type] != NULL) == (packed && pairs));
            assert_true((k->multiply_tiles[type] != NULL) == (packed && tiles));
            const bool is_float = type == QUANT_F32 || type == QUANT_F16 || type == QUANT_BF16;
            assert_true((k->multiply_bf16[type] != NULL) == (is_float && bf16));
        }
    }
#if defined(__x86_64__)
    if ((kernels_cpu_features() & KERNELS_CPU_AVX2) != 0) assert_true(with_tiles > 0);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_have_what_they_should),
        cmocka_unit_test(every_level_rounds_inputs_alike),
        cmocka_unit_test(every_level_gives_the_same_bits),
        cmocka_unit_test(pairs_give_the_bits_of_single_slabs),
        cmocka_unit_test(tiles_stay_within_their_bound),
    };
    return cmocka_run_group_tests(tests, find_levels, NULL);
}
