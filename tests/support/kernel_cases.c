#include "tests/support/kernel_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/guarded.h"
#include "tests/support/levels.h"

const char *const kernel_fill_names[KERNEL_FILL_COUNT] = {"random", "zeros", "ends"};

/* ---- data ---- */

void fill_slab(quant_type type, unsigned char *slab, int64_t cols, bool wild, uint64_t seed) {
    const packed_info *p = packed_describe(type);
    const size_t size = packed_slab_size(type, cols);
    for (size_t i = 0; i < size; i++) slab[i] = (unsigned char)next_random(&seed);
    const size_t meta_size = packed_meta_size(p), halves = PACKED_ROWS * (p->has_min ? 4u : 2u);
    const size_t ints = meta_size - halves, mins = p->has_min ? ints / 2 : 0;
    unsigned char *meta = slab + (size_t)(cols / PACKED_BLOCK) * packed_code_size(p);
    for (int64_t s = 0; s < cols / p->super_len; s++, meta += meta_size) {
        for (size_t i = ints - mins; i < ints; i++) meta[i] &= 63;
        for (size_t i = 0; i < halves && !wild; i += 2) {
            const uint16_t half = quant_f32_to_f16(0.01f * random_float(&seed));
            memcpy(meta + ints + i, &half, sizeof half);
        }
    }
}

static float value_of(kernel_fill fill, uint64_t *seed) {
    return fill == KERNEL_FILL_RANDOM ? random_float(seed) : fill == KERNEL_FILL_ZEROS ? 0 : 1;
}

static void fill_floats(kernel_fill fill, float *x, int64_t count, uint64_t seed) {
    for (int64_t i = 0; i < count; i++) x[i] = value_of(fill, &seed);
}

static void fill_slabs(const kernel_case *c, kernel_fill fill, kernel_room *r) {
    const quant_type type = (quant_type)c->type_id;
    const size_t size = packed_slab_size(type, c->cols);
    const size_t codes = (size_t)(c->cols / PACKED_BLOCK) * packed_code_size(packed_describe(type));
    for (size_t s = 0; s < 2; s++) {
        fill_slab(type, r->weights + s * size, c->cols, false, 11 + s);
        if (fill == KERNEL_FILL_ZEROS) memset(r->weights + s * size, 0, size);
        if (fill == KERNEL_FILL_ENDS) memset(r->weights + s * size, 0xff, codes);
    }
}

static size_t row_size(const kernel_case *c) {
    if (c->weights == KERNEL_WEIGHTS_CACHE)
        return kernels_cache_row_size((kernels_cache)c->type_id, c->cols);
    const quant_info *info = quant_describe((uint32_t)c->type_id);
    return (size_t)c->cols / info->block_len * info->block_size;
}

static void fill_rows(const kernel_case *c, kernel_fill fill, kernel_room *r) {
    const size_t size = row_size(c);
    for (int64_t i = 0; i < c->rows; i++) {
        unsigned char *row = r->weights + (size_t)i * size;
        fill_floats(fill, r->panel, c->cols, (uint64_t)i + 100);
        if (c->weights == KERNEL_WEIGHTS_CACHE) {
            levels[0].store[c->type_id](row, r->panel, c->cols);
        } else if (!quant_quantise((quant_type)c->type_id, r->panel, row, c->cols)) {
            /* IQ4_XS and MXFP4 are only read. Any bytes are a row. */
            uint64_t seed = (uint64_t)i;
            for (size_t b = 0; b < size; b++)
                row[b] = fill == KERNEL_FILL_ZEROS ? 0 : (unsigned char)next_random(&seed);
        }
    }
}

static void round_inputs(const kernel_case *c, kernel_room *r) {
    for (int64_t t = 0; t < c->count; t++) {
        const int64_t at = t * c->cols, block = at / PACKED_BLOCK;
        levels[0].quantise(r->x + at, c->cols, r->codes + at, r->sums + at / 8, r->scales + block);
        levels[0].quantise_wide(r->x + at, c->cols, r->wide + at, r->wide_scales + block);
        for (int64_t i = at; i < at + c->cols; i++)
            assert_true(quant_quantise(QUANT_BF16, &r->x[i], &r->bf16[i], 1));
    }
    kernels_offsets(r->sums, c->count * c->cols / PACKED_BLOCK, r->offsets);
    r->input = (kernels_input){.col_count = c->cols,
                               .codes = r->codes,
                               .sums = r->sums,
                               .offsets = r->offsets,
                               .scales = r->scales,
                               .wide = r->wide,
                               .wide_scales = r->wide_scales,
                               .bf16 = r->bf16};
}

void kernel_case_fill(const kernel_case *c, kernel_fill fill, kernel_room *r) {
    if (c->weights == KERNEL_WEIGHTS_SLABS)
        fill_slabs(c, fill, r);
    else if (c->weights != KERNEL_WEIGHTS_NONE)
        fill_rows(c, fill, r);
    const int64_t widest = c->rows > c->cols ? c->rows : c->cols; /* mix reads rows of weights */
    fill_floats(fill, r->x, (c->count > 1 ? c->count : 2) * widest, 1);
    fill_floats(fill, r->gains, c->cols, 2);
    if (c->weights == KERNEL_WEIGHTS_SLABS || c->weights == KERNEL_WEIGHTS_ROWS) round_inputs(c, r);
}

/* ---- calls ---- */

#define CALL(name)                                                                                 \
    static void call_##name(const kernel_case *c, const kernels *k, kernel_room *r, void *out)

CALL(dequantise) {
    k->dequantise((quant_type)c->type_id, r->weights, out, c->cols);
}

CALL(gemv) {
    k->gemv[c->type_id](out, r->weights, row_size(c), c->rows, r->x, c->cols, KERNELS_FETCH_NONE);
}

/* By panels, as they are when a type has no direct kernel; y is one row of c->rows an input. */
CALL(gemm) {
    float *y = out;
    for (int64_t row = 0; row < c->rows; row += KERNELS_ROWS) {
        const unsigned char *w = r->weights + (size_t)row * row_size(c);
        const float *panel = (const float *)(const void *)w;
        if (c->type_id != QUANT_F32) {
            for (int64_t i = 0; i < KERNELS_ROWS; i++)
                k->dequantise((quant_type)c->type_id, w + (size_t)i * row_size(c),
                              r->panel + i * c->cols, c->cols);
            panel = r->panel;
        }
        k->gemm(y + row, (size_t)c->rows, panel, (size_t)c->cols, KERNELS_ROWS, r->x,
                (size_t)c->cols, c->count, c->cols);
    }
}

CALL(gemm_stored) {
    if (k->gemm_stored[c->type_id] != NULL)
        k->gemm_stored[c->type_id](out, (size_t)c->rows, r->weights, row_size(c), c->rows, r->x,
                                   (size_t)c->cols, c->count, c->cols, KERNELS_FETCH_NONE);
    else
        call_gemm(c, k, r, out);
}

/* Rows of weights are what x has a factor for; y begins as those of the inputs. */
CALL(gemm_t) {
    float *y = out;
    memcpy(y, r->x + c->cols, (size_t)(c->count * c->cols) * sizeof *y);
    k->gemm_t(y, (size_t)c->cols, (const float *)(const void *)r->weights, (size_t)c->cols, c->rows,
              r->x, (size_t)c->rows, 1, c->count, c->cols);
}

CALL(gemm_t_bf16) {
    if (k->gemm_t_bf16 == NULL) {
        call_gemm_t(c, k, r, out);
        return;
    }
    float *y = out;
    memcpy(y, r->x + c->cols, (size_t)(c->count * c->cols) * sizeof *y);
    k->gemm_t_bf16(y, (size_t)c->cols, (const float *)(const void *)r->weights, (size_t)c->cols,
                   c->rows, r->bf16, (size_t)c->rows, c->count, c->cols);
}

CALL(multiply) {
    k->multiply[c->type_id](out, r->weights, &r->input, c->count, r->scratch);
}

CALL(multiply_pair) {
    const unsigned char *slabs[] = {r->weights,
                                    r->weights + packed_slab_size((quant_type)c->type_id, c->cols)};
    float *y[] = {out, (float *)out + c->count * PACKED_ROWS};
    if (k->multiply_pair[c->type_id] != NULL) {
        k->multiply_pair[c->type_id](y, slabs, &r->input, c->count);
        return;
    }
    for (int s = 0; s < 2; s++)
        k->multiply[c->type_id](y[s], slabs[s], &r->input, c->count, r->scratch);
}

CALL(multiply_tiles) {
    const unsigned char *slabs[] = {r->weights,
                                    r->weights + packed_slab_size((quant_type)c->type_id, c->cols)};
    float *y[] = {out, (float *)out + c->count * PACKED_ROWS};
    if (k->multiply_tiles[c->type_id] != NULL)
        k->multiply_tiles[c->type_id](y, slabs, 2, &r->input, c->count, r->scratch);
    else
        call_multiply_pair(c, k, r, out);
}

CALL(multiply_bf16) {
    if (k->multiply_bf16[c->type_id] != NULL)
        k->multiply_bf16[c->type_id](out, r->weights, row_size(c), c->rows, r->bf16,
                                     (size_t)c->cols, c->count, c->cols, KERNELS_FETCH_NONE,
                                     r->scratch);
    else
        call_gemm(c, k, r, out);
}

CALL(quantise) {
    int16_t *sums = (int16_t *)(void *)((int8_t *)out + c->cols);
    k->quantise(r->x, c->cols, out, sums, (float *)(void *)(sums + c->cols / 8));
}

CALL(quantise_wide) {
    k->quantise_wide(r->x, c->cols, out, (float *)(void *)((int16_t *)out + c->cols));
}

CALL(quantise_bf16) {
    k->quantise_bf16(r->x, c->cols, out);
}

CALL(scores) {
    k->scores[c->type_id](out, (size_t)c->rows, r->x, c->count, r->weights, c->rows, c->cols);
}

CALL(mix) {
    k->mix[c->type_id](out, r->x, (size_t)c->rows, c->count, r->weights, c->rows, c->cols);
}

CALL(store) {
    k->store[c->type_id](out, r->x, c->cols);
}

CALL(dot) {
    *(float *)out = k->dot(r->x, r->x + c->cols, c->cols);
}

CALL(axpy) {
    k->axpy(out, 0.5f, r->x, c->cols);
}

/* The state is written where y stands behind it: the copy is timed too. */
CALL(scan) {
    const size_t cells = (size_t)(c->rows * c->cols);
    float *state = out, *y = state + cells;
    memcpy(state, r->x, cells * sizeof *state);
    memset(y, 0, (size_t)c->cols * sizeof *y);
    k->scan(state, 0.875f, r->x + cells, r->x + cells + c->rows, r->gains, y, c->rows, c->cols);
}

CALL(rms_norm) {
    k->rms_norm(out, r->x, r->gains, 1e-5f, c->cols);
}

CALL(layer_norm) {
    k->layer_norm(out, r->x, r->gains, r->x + c->cols, 1e-5f, c->cols);
}

CALL(silu) {
    k->silu(out, r->x, c->cols);
}

CALL(silu_mul) {
    k->silu_mul(out, r->x, r->x + c->cols, c->cols);
}

CALL(silu_mul_back) { /* in place: the copies are timed too */
    float *a = out, *b = a + c->cols;
    memcpy(a, r->x, 2 * (size_t)c->cols * sizeof *a);
    k->silu_mul_back(a, b, r->gains, c->cols);
}

CALL(gelu) {
    k->gelu(out, r->x, c->cols);
}

CALL(softmax) { /* in place: the copy is timed too */
    memcpy(out, r->x, (size_t)c->cols * sizeof(float));
    k->softmax(out, c->cols, NULL);
}

/* ---- the list ---- */

typedef struct list {
    kernel_case *cases;
    int count;
    int64_t cols;
} list;

static void add(list *l, kernel_case c) {
    assert_true(l->count < KERNEL_CASES_CAP);
    if (c.cols == 0) c.cols = l->cols;
    if (c.rows == 0) c.rows = 1;
    if (c.count == 0) c.count = 1;
    if (c.work == 0) c.work = (double)c.cols;
    if (c.rows > 1)
        (void)snprintf(c.shape, sizeof c.shape, "%dx%d x %d", (int)c.rows, (int)c.cols,
                       (int)c.count);
    else
        (void)snprintf(c.shape, sizeof c.shape, "%d", (int)c.cols);
    l->cases[l->count++] = c;
}

#define ENTRY(field, type)                                                                         \
    (offsetof(kernels, field) + (size_t)(type) * sizeof(((kernels *)NULL)->field[0]))
#define NAMED(name) .kernel = #name, .call = call_##name

static void add_packed(list *l, quant_type type) {
    static const int counts[] = {1, 2, 8, 32};
    kernel_case c = {.type = quant_describe((uint32_t)type)->name,
                     .type_id = (int)type,
                     .weights = KERNEL_WEIGHTS_SLABS,
                     .rows = PACKED_ROWS};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        c.count = counts[i];
        c.work = 2.0 * PACKED_ROWS * (double)l->cols * counts[i];
        c.out_size = (size_t)counts[i] * PACKED_ROWS * sizeof(float);
        c.kernel = "multiply", c.call = call_multiply, c.entry = ENTRY(multiply, type);
        add(l, c);
    }
    c.rows = 2 * PACKED_ROWS, c.work *= 2, c.out_size *= 2;
    c.kernel = "multiply_pair", c.call = call_multiply_pair;
    c.entry = ENTRY(multiply_pair, type), c.instead = ENTRY(multiply, type);
    add(l, c);
    c.kernel = "multiply_tiles", c.call = call_multiply_tiles;
    c.entry = ENTRY(multiply_tiles, type);
    c.tolerance = 0x1p-6; /* weights and inputs in BF16 */
    add(l, c);
}

static void add_gemm(list *l) {
    static const int counts[] = {1, 2, 8, 32};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        add(l, (kernel_case){.type = "F32",
                             .type_id = QUANT_F32,
                             .weights = KERNEL_WEIGHTS_ROWS,
                             .rows = KERNELS_ROWS,
                             .count = counts[i],
                             .work = 2.0 * KERNELS_ROWS * (double)l->cols * counts[i],
                             .out_size = (size_t)counts[i] * KERNELS_ROWS * sizeof(float),
                             .entry = offsetof(kernels, gemm),
                             .tolerance = 1e-5,
                             NAMED(gemm)});
}

static void add_gemm_t(list *l) {
    static const int counts[] = {1, 6, 31};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        kernel_case c = {.type = "F32",
                         .type_id = QUANT_F32,
                         .weights = KERNEL_WEIGHTS_ROWS,
                         .rows = KERNELS_BF16_ROWS,
                         .cols = 256,
                         .count = counts[i],
                         .work = 2.0 * KERNELS_BF16_ROWS * 256 * counts[i],
                         .out_size = (size_t)counts[i] * 256 * sizeof(float),
                         .entry = offsetof(kernels, gemm_t),
                         .tolerance = 1e-5,
                         NAMED(gemm_t)};
        add(l, c);
        c.kernel = "gemm_t_bf16", c.call = call_gemm_t_bf16;
        c.entry = offsetof(kernels, gemm_t_bf16), c.instead = offsetof(kernels, gemm_t);
        c.tolerance = 0x1p-6;
        add(l, c);
    }
}

/* Levels without BF16 dequantise and take gemm: what the callers do there. */
static void add_bf16(list *l, quant_type type) {
    static const int counts[] = {8, 32, KERNEL_INPUTS_CAP};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        add(l, (kernel_case){.type = quant_describe((uint32_t)type)->name,
                             .type_id = (int)type,
                             .weights = KERNEL_WEIGHTS_ROWS,
                             .rows = KERNELS_BF16_ROWS,
                             .count = counts[i],
                             .work = 2.0 * KERNELS_BF16_ROWS * (double)l->cols * counts[i],
                             .out_size = (size_t)counts[i] * KERNELS_BF16_ROWS * sizeof(float),
                             .entry = ENTRY(multiply_bf16, type),
                             .instead = offsetof(kernels, gemm),
                             .tolerance = 0x1p-6,
                             NAMED(multiply_bf16)});
}

/* Levels without it make panels of the rows and take gemm. */
static void add_stored(list *l, quant_type type) {
    static const int counts[] = {6, 32, KERNEL_INPUTS_CAP};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        add(l, (kernel_case){.type = quant_describe((uint32_t)type)->name,
                             .type_id = (int)type,
                             .weights = KERNEL_WEIGHTS_ROWS,
                             .rows = KERNELS_STORED_ROWS,
                             .count = counts[i],
                             .work = 2.0 * KERNELS_STORED_ROWS * (double)l->cols * counts[i],
                             .out_size = (size_t)counts[i] * KERNELS_STORED_ROWS * sizeof(float),
                             .entry = ENTRY(gemm_stored, type),
                             .instead = offsetof(kernels, gemm),
                             .tolerance = 1e-5,
                             NAMED(gemm_stored)});
}

static void add_attention(list *l, int type) {
    static const char *const names[KERNELS_CACHE_COUNT] = {"F32", "F16", "Q8_0"};
    for (int heads = 1; heads <= KERNEL_HEADS_CAP; heads *= 4) {
        kernel_case c = {.type = names[type],
                         .type_id = type,
                         .weights = KERNEL_WEIGHTS_CACHE,
                         .rows = KERNEL_KEYS,
                         .cols = KERNEL_WIDTH,
                         .count = heads,
                         .work = 2.0 * KERNEL_KEYS * KERNEL_WIDTH * heads,
                         .tolerance = 1e-5,
                         .entry = ENTRY(scores, type),
                         .out_size = (size_t)heads * KERNEL_KEYS * sizeof(float),
                         NAMED(scores)};
        add(l, c);
        c.kernel = "mix", c.call = call_mix, c.entry = ENTRY(mix, type);
        c.out_size = (size_t)heads * KERNEL_WIDTH * sizeof(float);
        add(l, c);
    }
    add(l, (kernel_case){.type = names[type],
                         .type_id = type,
                         .entry = ENTRY(store, type),
                         .out_size = kernels_cache_row_size((kernels_cache)type, l->cols),
                         NAMED(store)});
}

static void add_scan(list *l) {
    enum { STATE = 64 };
    add(l, (kernel_case){.type = "F32",
                         .rows = STATE,
                         .cols = KERNEL_WIDTH,
                         .count = STATE + 2, /* rows of inputs: the state, queries, keys */
                         .work = 4.0 * STATE * KERNEL_WIDTH,
                         .out_size = (STATE + 1) * KERNEL_WIDTH * sizeof(float),
                         .entry = offsetof(kernels, scan),
                         .tolerance = 1e-5,
                         NAMED(scan)});
}

static void add_vectors(list *l) {
    const size_t n = (size_t)l->cols, floats = n * sizeof(float);
    const size_t scales = n / PACKED_BLOCK * sizeof(float);
#define VECTOR(name, size, off)                                                                    \
    add(l, (kernel_case){.type = "",                                                               \
                         .entry = offsetof(kernels, name),                                         \
                         .out_size = (size),                                                       \
                         .tolerance = (off),                                                       \
                         NAMED(name)})
    VECTOR(quantise, n + n / 8 * sizeof(int16_t) + scales, 0);
    VECTOR(quantise_wide, n * sizeof(int16_t) + scales, 0);
    VECTOR(quantise_bf16, n * sizeof(uint16_t), 0);
    VECTOR(dot, sizeof(float), 1e-4); /* one sum, which may be near 0 */
    VECTOR(axpy, floats, 0x1p-22);
    VECTOR(rms_norm, floats, 0x1p-20);
    VECTOR(layer_norm, floats, 0x1p-20);
    VECTOR(silu, floats, 0x1p-20);
    VECTOR(silu_mul, floats, 0x1p-20);
    VECTOR(silu_mul_back, 2 * floats, 0x1p-20);
    VECTOR(gelu, floats, 0x1p-20);
    VECTOR(softmax, floats, 0x1p-20);
#undef VECTOR
}

int kernel_cases(kernel_case out[KERNEL_CASES_CAP], int64_t cols) {
    list l = {.cases = out, .cols = cols};
    for (int t = 0; t < QUANT_TYPE_CAP; t++) {
        const quant_type type = (quant_type)t;
        const quant_info *info = quant_describe((uint32_t)t);
        if (packed_describe(type)->low_bits != 0) add_packed(&l, type);
        if (!info->is_weight) continue;
        kernel_case c = {.type = info->name, .type_id = t, .weights = KERNEL_WEIGHTS_ROWS};
        if (levels[0].gemv[t] != NULL) {
            kernel_case v = c;
            v.kernel = "gemv", v.call = call_gemv, v.entry = ENTRY(gemv, t);
            v.rows = 2 * KERNELS_ROWS, v.work = 2.0 * (double)(v.rows * cols);
            v.out_size = (size_t)v.rows * sizeof(float), v.tolerance = 1e-5;
            add(&l, v);
        }
        c.kernel = "dequantise", c.call = call_dequantise;
        c.entry = offsetof(kernels, dequantise), c.out_size = (size_t)cols * sizeof(float);
        add(&l, c);
        if (t != QUANT_F32 && t != QUANT_F16 && t != QUANT_BF16) continue;
        add_stored(&l, type);
        add_bf16(&l, type);
    }
    add_gemm(&l);
    add_gemm_t(&l);
    for (int t = 0; t < KERNELS_CACHE_COUNT; t++) add_attention(&l, t);
    add_scan(&l);
    add_vectors(&l);
    return l.count;
}

/* ---- levels ---- */

static bool is_null(const kernels *k, size_t at) {
    static const unsigned char null[sizeof(void (*)(void))];
    return memcmp((const unsigned char *)k + at, null, sizeof null) == 0;
}

bool kernel_case_has(const kernel_case *c, const kernels *k) {
    return !is_null(k, c->entry);
}

bool kernel_case_runs(const kernel_case *c, const kernels *k) {
    return c->instead != 0 || kernel_case_has(c, k);
}

bool kernel_case_same(const kernel_case *c, const kernels *a, const kernels *b) {
    const size_t size = sizeof(void (*)(void));
    const unsigned char *p = (const unsigned char *)a, *q = (const unsigned char *)b;
    if (memcmp(p + c->entry, q + c->entry, size) != 0) return false;
    return c->instead == 0 || !is_null(a, c->entry) ||
           memcmp(p + c->instead, q + c->instead, size) == 0;
}
