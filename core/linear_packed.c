/* Products with packed weights. Inputs are rounded to integers, a block of rows at a time that
 * stays in the second-level cache; then the slabs of all tasks are shared out over the threads, and
 * each slab meets every row of the block while its piece is in the first-level cache:
 *
 *     x [count, cols] -> codes, sums, scales (compute.codes ...) -> slabs -> sums [rows, 16] -> y
 *
 * A slab gives sixteen outputs whole, so the cut over threads shows in no bit. Batches take two
 * slabs at once where the level can, with the same bits: neighbours, or those of gate and up. With
 * compute.bf16, and a level that has them, inputs are rounded to BF16 instead. */
#include <assert.h>

#include "core/checked.h"
#include "core/linear_inner.h"

enum {
    BLOCK_ROWS = 128,    /* most inputs of a block: bounds the sums on the stack */
    BLOCK_ROWS_MIN = 32, /* at least: makes unpacking a slab once per block cheap */
    ROUND_GRAIN = 4      /* rows rounded per part */
};

int64_t linear_block_rows(const compute *c, int64_t col_count) {
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

kernels_input linear_input(const compute *c, int64_t col_count) {
    return (kernels_input){.col_count = col_count,
                           .codes = c->codes,
                           .sums = c->sums,
                           .offsets = c->offsets,
                           .scales = c->scales,
                           .wide = c->wide,
                           .wide_scales = c->wide_scales,
                           .bf16 = (const uint16_t *)c->wide,
                           .fetch = c->fetch};
}

void linear_round(const slab_inputs *in, const float *x, int64_t t) {
    const compute *c = in->c;
    const int64_t cols = in->input.col_count, at = t * cols;
    if (in->tiles) {
        c->k->quantise_bf16(x, cols, (uint16_t *)c->wide + at);
        return;
    }
    if (in->rounds) {
        c->k->quantise(x, cols, c->codes + at, c->sums + at / 8, c->scales + at / PACKED_BLOCK);
        kernels_offsets(c->sums + at / 8, cols / PACKED_BLOCK, c->offsets + at / PACKED_BLOCK);
    }
    if (in->rounds_wide)
        c->k->quantise_wide(x, cols, c->wide + at, c->wide_scales + at / PACKED_BLOCK);
}

int linear_slabs(const slab_inputs *in, quant_type type, const unsigned char *const *slabs,
                 int count, int thread_index, float *const *sums) {
    const kernels *k = in->c->k;
    unsigned char *scratch = in->c->pieces + (size_t)thread_index * KERNELS_SCRATCH_SIZE;
    if (in->tiles) {
        k->multiply_tiles[type](sums, slabs, count, &in->input, in->count, scratch);
        return count;
    }
    if (count == 2 && in->pairs) {
        k->multiply_pair[type](sums, slabs, &in->input, in->count);
        return 2;
    }
    k->multiply[type](sums[0], slabs[0], &in->input, in->count, scratch);
    return 1;
}

void linear_gated_slab(const slab_inputs *in, const matrix *gate, const matrix *up, int64_t slab,
                       int thread_index, float *first, float *second) {
    float *const sums[2] = {first, second};
    const unsigned char *const slabs[2] = {linear_slab_at(gate, slab), linear_slab_at(up, slab)};
    const int count = gate->type == up->type ? 2 : 1;
    if (linear_slabs(in, gate->type, slabs, count, thread_index, sums) == 1)
        (void)linear_slabs(in, up->type, slabs + 1, 1, thread_index, sums + 1);
    in->c->k->silu_mul(first, first, second, in->count * PACKED_ROWS);
}

typedef struct block_job {
    const product *p;
    int64_t first; /* of the rows of x */
    slab_inputs in;
} block_job;

static void round_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const block_job *j = context;
    (void)thread_index;
    for (int64_t t = begin; t < end; t++)
        linear_round(&j->in, j->p->x + (size_t)(j->first + t) * j->p->x_stride, t);
}

static void store_slab(const block_job *j, const linear_task *task, int64_t slab,
                       const float *sums) {
    const int64_t row = slab * PACKED_ROWS, left = task->w->row_count - row;
    const int64_t rows = left < PACKED_ROWS ? left : PACKED_ROWS;
    const float *bias = task->bias != NULL ? task->bias + row : NULL;
    float *y = task->y + (size_t)j->first * task->y_stride + row;
    for (int64_t t = 0; t < j->in.count; t++, y += task->y_stride, sums += PACKED_ROWS)
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
        const int64_t count = linear_slab_count(task->w);
        const int64_t to = end - base < count ? end - base : count;
        int done = 0;
        for (int64_t slab = begin > base ? begin - base : 0; slab < to; slab += done) {
            const bool two = to - slab > 1;
            const unsigned char *const slabs[2] = {linear_slab_at(task->w, slab),
                                                   two ? linear_slab_at(task->w, slab + 1) : NULL};
            done = linear_slabs(&j->in, task->w->type, slabs, two ? 2 : 1, thread_index, sums);
            for (int n = 0; n < done; n++) store_slab(j, task, slab + n, sums[n]);
        }
        base += count;
    }
}

static void gated_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const block_job *j = context;
    const linear_task *gate = &j->p->tasks[0];
    float first[BLOCK_ROWS * PACKED_ROWS], second[BLOCK_ROWS * PACKED_ROWS];
    for (int64_t slab = begin; slab < end; slab++) {
        linear_gated_slab(&j->in, gate->w, j->p->tasks[1].w, slab, thread_index, first, second);
        store_slab(j, gate, slab, first);
    }
}

void linear_packed(const product *p) {
    const compute *c = p->c;
    const matrix *first = p->tasks[0].w;
    const int64_t cols = first->col_count;
    block_job j = {.p = p};
    slab_inputs *in = &j.in;
    *in = (slab_inputs){.c = c,
                        .input = linear_input(c, cols),
                        .tiles = c->bf16 && c->k->multiply_tiles[first->type] != NULL};
    int64_t slabs = 0;
    for (int i = 0; i < p->task_count; i++) {
        const matrix *w = p->tasks[i].w;
        if (i == 0 || !p->gates) slabs += linear_slab_count(w);
        linear_note_type(in, w->type);
    }
    const int64_t rows = linear_block_rows(c, cols);
    for (; j.first < p->count; j.first += rows) {
        in->count = p->count - j.first < rows ? p->count - j.first : rows;
        pool_run(c->pool, in->count, ROUND_GRAIN, round_part, &j);
        in->pairs = in->count >= LINEAR_PAIR_ROWS_MIN && c->k->multiply_pair[first->type] != NULL;
        const int step = (in->pairs || in->tiles) && !p->gates ? 2 : 1; /* neighbours at once */
        in->input.ahead = (size_t)step * first->packed->slab_size;
        pool_run(c->pool, slabs, step, p->gates ? gated_part : slab_part, &j);
    }
}
