/* Attention of the tower with rounded inputs, for towers whose weights are packed: keys and values
 * of a head become packed weights of eight bits, queries and probabilities inputs of sixteen
 * (kernels/packed.h), so that both products are whole numbers within blocks of 32.
 *
 *     keys    [patches, head width]  -> slabs of sixteen patches
 *     values  [head width, patches]  -> slabs of sixteen features
 *     scores = keys q;  p = softmax(scores);  out = values p
 *
 * Rows and columns are filled up with zeros, which add nothing. An output's bits depend neither on
 * the block of queries it is made in, nor on threads. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "vision/tower_inner.h"

enum {
    QUERIES = 32, /* taken at once */
    /* Floats between rows of scratch that are written side by side: rows of a power of two would
     * all fall into the same sets of the first-level cache. */
    GAP = 16
};

static size_t padded(size_t count, size_t unit) {
    return (count + unit - 1) / unit * unit;
}

static size_t slabs_of(size_t rows) {
    return (rows + PACKED_ROWS - 1) / PACKED_ROWS;
}

/* What a view's slabs look like. */
typedef struct shape {
    size_t heads, head_width, patches;
    size_t head_cols, patch_cols; /* both filled up to whole blocks */
    size_t stride;                /* of rows of patch_cols floats */
    size_t key_size, value_size;  /* bytes of a slab */
} shape;

static shape shape_of(const tower_weights *w, int patches) {
    shape s = {.heads = (size_t)w->head_count,
               .head_width = (size_t)w->head_width,
               .patches = (size_t)patches};
    s.head_cols = padded(s.head_width, PACKED_BLOCK);
    s.patch_cols = padded(s.patches, PACKED_BLOCK);
    s.stride = s.patch_cols + GAP;
    s.key_size = packed_slab_size(QUANT_Q8_0, (int64_t)s.head_cols);
    s.value_size = packed_slab_size(QUANT_Q8_0, (int64_t)s.patch_cols);
    return s;
}

/* A thread's scratch, cut the same way each time. */
typedef struct own {
    float *scores;         /* [QUERIES, stride] */
    float *rows;           /* [PACKED_ROWS, max(stride, head_cols)] */
    float *sums[2];        /* [QUERIES, PACKED_ROWS] each */
    int16_t *wide;         /* [QUERIES, max(patch_cols, head_cols)] */
    float *scales;         /* likewise, for each block of 32 */
    unsigned char *stored; /* a row of keys or values, rounded */
} own;

static own layout_own(const shape *s, arena *a) {
    const size_t cols = s->patch_cols > s->head_cols ? s->patch_cols : s->head_cols;
    own o = {.scores = arena_take(a, QUERIES * s->stride, sizeof *o.scores)};
    o.rows = arena_take(a, PACKED_ROWS * (cols + GAP), sizeof *o.rows);
    for (int i = 0; i < 2; i++) o.sums[i] = arena_take(a, QUERIES * PACKED_ROWS, sizeof *o.sums[i]);
    o.wide = arena_take(a, QUERIES * cols, sizeof *o.wide);
    o.scales = arena_take(a, QUERIES * cols / PACKED_BLOCK, sizeof *o.scales);
    o.stored = arena_take(a, kernels_cache_row_size(KERNELS_CACHE_Q8_0, (int64_t)cols), 1);
    return o;
}

void tower_rounded_layout(tower_state *s, int thread_count, arena *a) {
    const shape all = shape_of(s->w, s->patch_cap);
    arena one = {0};
    (void)layout_own(&all, &one);
    if (one.overflowed) a->overflowed = true;
    s->rounded_size = one.size_used;
    s->rounded = arena_take(a, (size_t)thread_count, s->rounded_size);
    s->key_slabs = arena_take(a, all.heads * slabs_of(all.patches), all.key_size);
    s->value_slabs = arena_take(a, all.heads * slabs_of(all.head_width), all.value_size);
}

typedef struct attend_job {
    tower_state *s;
    const compute *c;
    shape shape;
    size_t block_count; /* blocks of queries of a head */
} attend_job;

static own own_of(const attend_job *j, int thread_index) {
    arena a = {.base = j->s->rounded + (size_t)thread_index * j->s->rounded_size,
               .size_cap = j->s->rounded_size};
    return layout_own(&j->shape, &a);
}

/* ---- Keys and values as weights ---- */

/* A row of a slab from values that are filled up to its columns. */
static void put_row(const attend_job *j, const own *o, const float *x, size_t cols,
                    unsigned char *slab, int row) {
    j->c->k->store[KERNELS_CACHE_Q8_0](o->stored, x, (int64_t)cols);
    packed_put_row(slab, (int64_t)cols, row, o->stored);
}

/* Slabs of keys, numbered through all heads. */
static void keys_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const shape *h = &j->shape;
    const own o = own_of(j, thread_index);
    const size_t width = (size_t)j->s->w->width, per_head = slabs_of(h->patches);
    memset(o.rows, 0, h->head_cols * sizeof *o.rows);
    for (size_t item = (size_t)begin; item < (size_t)end; item++) {
        unsigned char *slab = j->s->key_slabs + item * h->key_size;
        const size_t first = item % per_head * PACKED_ROWS;
        const float *at = j->s->k + item / per_head * h->head_width;
        memset(slab, 0, h->key_size);
        for (size_t r = 0; r < PACKED_ROWS && first + r < h->patches; r++) {
            memcpy(o.rows, at + (first + r) * width, h->head_width * sizeof *o.rows);
            put_row(j, &o, o.rows, h->head_cols, slab, (int)r);
        }
    }
}

/* Slabs of values, likewise: rows are features, so each slab turns sixteen columns. */
static void values_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const shape *h = &j->shape;
    const own o = own_of(j, thread_index);
    const size_t width = (size_t)j->s->w->width, per_head = slabs_of(h->head_width);
    for (size_t item = (size_t)begin; item < (size_t)end; item++) {
        unsigned char *slab = j->s->value_slabs + item * h->value_size;
        const size_t first = item % per_head * PACKED_ROWS, left = h->head_width - first;
        const size_t rows = left < PACKED_ROWS ? left : PACKED_ROWS;
        const float *at = j->s->v + item / per_head * h->head_width + first;
        for (size_t t = 0; t < h->patches; t++)
            for (size_t r = 0; r < rows; r++) o.rows[r * h->stride + t] = at[t * width + r];
        memset(slab, 0, h->value_size);
        for (size_t r = 0; r < rows; r++) {
            float *row = o.rows + r * h->stride;
            memset(row + h->patches, 0, (h->patch_cols - h->patches) * sizeof *row);
            put_row(j, &o, row, h->patch_cols, slab, (int)r);
        }
    }
}

/* ---- Products ---- */

/* y[t * stride + r] = row r of the slabs times input t, r < row_count. */
static void multiply(const attend_job *j, const own *o, const unsigned char *slabs, size_t size,
                     size_t row_count, size_t cols, size_t count, float *y, size_t stride,
                     unsigned char *scratch) {
    const kernels *k = j->c->k;
    const kernels_input input = {.col_count = (int64_t)cols,
                                 .wide = o->wide,
                                 .wide_scales = o->scales,
                                 .ahead = size,
                                 .fetch = KERNELS_FETCH_NONE};
    for (size_t row = 0; row < row_count;) {
        const bool two = row_count - row > PACKED_ROWS && k->multiply_pair[QUANT_Q8_0] != NULL;
        const unsigned char *const pair[2] = {slabs, two ? slabs + size : NULL};
        if (two)
            k->multiply_pair[QUANT_Q8_0](o->sums, pair, &input, (int64_t)count);
        else
            k->multiply[QUANT_Q8_0](o->sums[0], slabs, &input, (int64_t)count, scratch);
        for (int i = 0; i <= two; i++, row += PACKED_ROWS, slabs += size) {
            const size_t left = row_count - row, rows = left < PACKED_ROWS ? left : PACKED_ROWS;
            for (size_t t = 0; t < count; t++)
                memcpy(y + t * stride + row, o->sums[i] + t * PACKED_ROWS, rows * sizeof *y);
        }
    }
}

static void round_inputs(const attend_job *j, const own *o, const float *x, size_t stride,
                         size_t cols, size_t count) {
    for (size_t t = 0; t < count; t++)
        j->c->k->quantise_wide(x + t * stride, (int64_t)cols, o->wide + t * cols,
                               o->scales + t * cols / PACKED_BLOCK);
}

/* Queries [query, query + count) of one head. */
static void attend_block(const attend_job *j, const own *o, size_t head, size_t query, size_t count,
                         unsigned char *scratch) {
    const shape *h = &j->shape;
    const tower_state *s = j->s;
    const size_t width = (size_t)s->w->width, at = head * h->head_width;
    const float scale = 1.0f / sqrtf((float)h->head_width);
    for (size_t t = 0; t < count; t++) {
        const float *q = s->q + (query + t) * width + at;
        float *row = o->scores + t * h->head_cols; /* free until the scores are there */
        for (size_t i = 0; i < h->head_width; i++) row[i] = q[i] * scale;
        memset(row + h->head_width, 0, (h->head_cols - h->head_width) * sizeof *row);
    }
    round_inputs(j, o, o->scores, h->head_cols, h->head_cols, count);
    multiply(j, o, s->key_slabs + head * slabs_of(h->patches) * h->key_size, h->key_size,
             h->patches, h->head_cols, count, o->scores, h->stride, scratch);
    for (size_t t = 0; t < count; t++) {
        float *row = o->scores + t * h->stride;
        j->c->k->softmax(row, (int64_t)h->patches, NULL);
        memset(row + h->patches, 0, (h->patch_cols - h->patches) * sizeof *row);
    }
    round_inputs(j, o, o->scores, h->stride, h->patch_cols, count);
    multiply(j, o, s->value_slabs + head * slabs_of(h->head_width) * h->value_size, h->value_size,
             h->head_width, h->patch_cols, count, s->v + query * width + at, width, scratch);
}

static void attend_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const own o = own_of(j, thread_index);
    unsigned char *scratch = j->c->pieces + (size_t)thread_index * KERNELS_SCRATCH_SIZE;
    for (size_t item = (size_t)begin; item < (size_t)end; item++) {
        const size_t query = item % j->block_count * QUERIES;
        const size_t left = j->shape.patches - query;
        attend_block(j, &o, item / j->block_count, query, left < QUERIES ? left : QUERIES, scratch);
    }
}

void tower_attend_rounded(tower_state *s, const compute *c) {
    attend_job job = {.s = s, .c = c, .shape = shape_of(s->w, tower_patches(s))};
    const shape *h = &job.shape;
    job.block_count = (h->patches + QUERIES - 1) / QUERIES;
    assert(c->pieces != NULL);
    pool_run(c->pool, (int64_t)(h->heads * slabs_of(h->patches)), 1, keys_part, &job);
    pool_run(c->pool, (int64_t)(h->heads * slabs_of(h->head_width)), 1, values_part, &job);
    pool_run(c->pool, (int64_t)(h->heads * job.block_count), 1, attend_part, &job);
}
