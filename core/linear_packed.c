/* Products with packed weights. Inputs are rounded to integers, a block of rows at a time that
 * stays in the second-level cache; then the slabs of all tasks are shared out over the threads, and
 * each slab meets every row of the block while its piece is in the first-level cache:
 *
 *     x [count, cols] -> codes, sums, scales (compute.codes ...) -> slabs -> sums [rows, 16] -> y
 *
 * A slab gives sixteen outputs whole, so the cut over threads shows in no bit. Batches take two
 * slabs at once where the level can, with the same bits: neighbours, or those of gate and up. With
 * compute.brains, and a level that has them, inputs are rounded to BF16 instead. */
#include <assert.h>

#include "core/checked.h"
#include "core/linear_inner.h"

enum {
    BLOCK_ROWS = 128,    /* most inputs of a block: bounds the sums on the stack */
    BLOCK_ROWS_MIN = 32, /* at least: makes unpacking a slab once per block cheap */
    PAIR_ROWS_MIN = 3,   /* fewer gain nothing by pairs of slabs */
    ROUND_GRAIN = 4      /* rows rounded per part */
};

static int64_t block_rows(const compute *c, int64_t col_count) {
    const int64_t rows = (int64_t)c->block_size / col_count;
    return rows > BLOCK_ROWS ? BLOCK_ROWS : rows < BLOCK_ROWS_MIN ? BLOCK_ROWS_MIN : rows;
}

void linear_packed_layout(compute *c, int thread_count, int64_t col_cap, arena *a) {
    /* The most codes a block can have: wide rows come at least BLOCK_ROWS_MIN at a time. */
    size_t size;
    if (!checked_mul((size_t)col_cap, BLOCK_ROWS_MIN, &size)) {
        a->overflowed = true;
        return;
    }
    if (size < c->block_size) size = c->block_size;
    c->pieces = arena_take(a, (size_t)thread_count, KERNELS_SCRATCH_SIZE);
    c->codes = arena_take(a, size, sizeof *c->codes);
    c->wide = arena_take(a, size, sizeof *c->wide);
    c->sums = arena_take(a, size / 8, sizeof *c->sums);
    c->offsets = arena_take(a, size / PACKED_BLOCK, sizeof *c->offsets);
    c->scales = arena_take(a, size / PACKED_BLOCK, sizeof *c->scales);
    c->wide_scales = arena_take(a, size / PACKED_BLOCK, sizeof *c->wide_scales);
}

typedef struct block_job {
    const product *p;
    int64_t first, count; /* rows of x */
    kernels_input input;
    bool rounds, rounds_wide; /* which of the two inputs the tasks' types read */
    bool tiles;               /* or brains */
    bool pairs;               /* two slabs at once: every packed type of the level can */
} block_job;

static void round_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const block_job *j = context;
    const compute *c = j->p->c;
    const int64_t cols = j->input.col_count;
    (void)thread_index;
    for (int64_t t = begin; t < end; t++) {
        const float *x = j->p->x + (size_t)(j->first + t) * j->p->x_stride;
        const int64_t at = t * cols;
        if (j->tiles) {
            c->k->quantise_brains(x, cols, (uint16_t *)c->wide + at);
            continue;
        }
        if (j->rounds) {
            c->k->quantise(x, cols, c->codes + at, c->sums + at / 8, c->scales + at / PACKED_BLOCK);
            kernels_offsets(c->sums + at / 8, cols / PACKED_BLOCK, c->offsets + at / PACKED_BLOCK);
        }
        if (j->rounds_wide)
            c->k->quantise_wide(x, cols, c->wide + at, c->wide_scales + at / PACKED_BLOCK);
    }
}

static const unsigned char *slab_at(const matrix *w, int64_t slab) {
    return w->packed->slabs + (size_t)(w->slab + slab) * w->packed->slab_size;
}

/* sums[s] of one slab or two of one type, as many as can be taken at once. */
static int multiply_slabs(const block_job *j, quant_type type, const unsigned char *const *slabs,
                          int count, int thread_index, float *const *sums) {
    const kernels *k = j->p->c->k;
    unsigned char *scratch = j->p->c->pieces + (size_t)thread_index * KERNELS_SCRATCH_SIZE;
    if (j->tiles) {
        k->multiply_tiles[type](sums, slabs, count, &j->input, j->count, scratch);
        return count;
    }
    if (count == 2 && j->pairs) {
        k->multiply_pair[type](sums, slabs, &j->input, j->count);
        return 2;
    }
    k->multiply[type](sums[0], slabs[0], &j->input, j->count, scratch);
    return 1;
}

static int64_t slab_count(const matrix *w) {
    return (w->row_count + PACKED_ROWS - 1) / PACKED_ROWS;
}

static void store_slab(const block_job *j, const linear_task *task, int64_t slab,
                       const float *sums) {
    const int64_t row = slab * PACKED_ROWS, left = task->w->row_count - row;
    const int64_t rows = left < PACKED_ROWS ? left : PACKED_ROWS;
    const float *bias = task->bias != NULL ? task->bias + row : NULL;
    float *y = task->y + (size_t)j->first * task->y_stride + row;
    for (int64_t t = 0; t < j->count; t++, y += task->y_stride, sums += PACKED_ROWS)
        product_store(y, sums, bias, rows, j->p->adds);
}

/* Slabs are numbered through all tasks. */
static void slab_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const block_job *j = context;
    float first[BLOCK_ROWS * PACKED_ROWS], second[BLOCK_ROWS * PACKED_ROWS];
    float *const sums[2] = {first, second};
    int64_t base = 0;
    for (int i = 0; i < j->p->task_count; i++) {
        const linear_task *task = &j->p->tasks[i];
        const int64_t count = slab_count(task->w);
        const int64_t to = end - base < count ? end - base : count;
        int done = 0;
        for (int64_t slab = begin > base ? begin - base : 0; slab < to; slab += done) {
            const bool two = to - slab > 1;
            const unsigned char *const slabs[2] = {slab_at(task->w, slab),
                                                   two ? slab_at(task->w, slab + 1) : NULL};
            done = multiply_slabs(j, task->w->type, slabs, two ? 2 : 1, thread_index, sums);
            for (int n = 0; n < done; n++) store_slab(j, task, slab + n, sums[n]);
        }
        base += count;
    }
}

static void gated_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const block_job *j = context;
    const linear_task *gate = &j->p->tasks[0];
    const matrix *w[2] = {gate->w, j->p->tasks[1].w};
    float first[BLOCK_ROWS * PACKED_ROWS], second[BLOCK_ROWS * PACKED_ROWS];
    float *const sums[2] = {first, second};
    for (int64_t slab = begin; slab < end; slab++) {
        const unsigned char *const slabs[2] = {slab_at(w[0], slab), slab_at(w[1], slab)};
        const int count = w[0]->type == w[1]->type ? 2 : 1;
        if (multiply_slabs(j, w[0]->type, slabs, count, thread_index, sums) == 1)
            (void)multiply_slabs(j, w[1]->type, slabs + 1, 1, thread_index, sums + 1);
        j->p->c->k->silu_mul(first, first, second, j->count * PACKED_ROWS);
        store_slab(j, gate, slab, first);
    }
}

void linear_packed(const product *p) {
    const compute *c = p->c;
    const matrix *first = p->tasks[0].w;
    block_job j = {.p = p, .tiles = c->brains && c->k->multiply_tiles[first->type] != NULL};
    j.input = (kernels_input){.col_count = first->col_count,
                              .codes = c->codes,
                              .sums = c->sums,
                              .offsets = c->offsets,
                              .scales = c->scales,
                              .wide = c->wide,
                              .wide_scales = c->wide_scales,
                              .brains = (const uint16_t *)c->wide,
                              .fetch = c->fetch};
    int64_t slabs = 0;
    for (int i = 0; i < p->task_count; i++) {
        const matrix *w = p->tasks[i].w;
        if (i == 0 || !p->gates) slabs += slab_count(w);
        if (kernels_is_wide(w->type))
            j.rounds_wide = true;
        else
            j.rounds = true;
    }
    const int64_t rows = block_rows(c, j.input.col_count);
    for (; j.first < p->count; j.first += rows) {
        j.count = p->count - j.first < rows ? p->count - j.first : rows;
        pool_run(c->pool, j.count, ROUND_GRAIN, round_part, &j);
        j.pairs = j.count >= PAIR_ROWS_MIN && c->k->multiply_pair[first->type] != NULL;
        const int step = (j.pairs || j.tiles) && !p->gates ? 2 : 1; /* neighbours at once */
        j.input.ahead = (size_t)step * first->packed->slab_size;
        pool_run(c->pool, slabs, step, p->gates ? gated_part : slab_part, &j);
    }
}
