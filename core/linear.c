/* y = W x + bias: which way a product goes, and the exact way. The rows of W are cut over the
 * threads; each output is made whole by one kernel call, and kernels give an output the same bits
 * alone or in a batch (the law of kernels.h), so neither the cut nor the batch shows in the result.
 *
 *   packed:                      linear_packed.c, of several matrices linear_groups.c
 *   float, with bf16:          linear_bf16.c
 *   what adapters add to it:     linear_lora.c
 *   one input, a direct kernel:  stored rows -> gemv
 *   several, with a kernel:      stored rows, KERNELS_STORED_ROWS at a time -> gemm_stored
 *   few of 16 bits, without:     gemv, one by one
 *   otherwise:                   rows -> panel of KERNELS_ROWS float32 rows -> gemm with a block of
 *                                inputs, panel after panel
 *   many inputs, with room:      panels -> KERNELS_MANY_ROWS turned rows -> tiles of all inputs
 *
 * Sums first land in a small scratch on the stack; bias and residual join them there. */
#include "core/linear.h"

#include <assert.h>

#include "core/checked.h"
#include "core/linear_inner.h"

enum {
    /* Rows per part: their outputs fill whole cache lines, so that threads seldom share one. */
    GRAIN = 16,
    DIRECT_ROWS = 64,  /* rows that gemv takes between two additions of the bias */
    DIRECT_INPUTS = 5, /* more are faster by panels (docs/notebook) */
    /* Rows of float32 are panels where they lie: fewer inputs gain nothing (docs/notebook). */
    STORED_F32_INPUTS = 24,
    /* Inputs per block: bounds the scratch, and is enough to pay for reading the weights and making
     * panels of them once more. Wide inputs may leave the second-level cache: that costs less. */
    BLOCK_LEN = 128,
    MANY_INPUTS = 64, /* pay for turning rows */
    MANY_LEN = 120,   /* inputs whose sums wait on the stack: whole tiles of the kernels */
    /* Panel rows are an odd number of cache lines apart: rows of a power-of-two length would all
     * fall into the same sets of the first-level cache. */
    PANEL_ALIGN = 16
};

void compute_layout(compute *c, int thread_count, int64_t col_cap, arena *a) {
    assert(thread_count >= 1 && col_cap >= 0);
    size_t cols, size;
    if (col_cap < c->rank_cap) col_cap = c->rank_cap; /* what adapters multiply last */
    if (c->many && col_cap < KERNELS_BF16_COLS) col_cap = KERNELS_BF16_COLS; /* rows cut by these */
    if (!checked_align((size_t)col_cap, PANEL_ALIGN, &cols) ||
        !checked_add(cols, cols / PANEL_ALIGN % 2 == 0 ? PANEL_ALIGN : 0, &cols) ||
        !checked_mul(cols, sizeof *c->panel, &size)) {
        a->overflowed = true;
        return;
    }
    if (c->block_size == 0) c->block_size = LINEAR_BLOCK_SIZE;
    c->panel_cols = cols;
    c->panel = arena_take(a, (size_t)thread_count * KERNELS_ROWS, size);
    c->turned = NULL;
    if (c->many && c->k->multiply_turned != NULL)
        c->turned = arena_take(a, (size_t)thread_count * KERNELS_MANY_ROWS, size);
    c->tiled = c->many ? arena_take(a, LINEAR_MANY, size) : NULL;
    linear_lora_layout(c, a);
    if (c->exact) return;
    linear_packed_layout(c, thread_count, col_cap, a);
    linear_bf16_layout(c, thread_count, col_cap, a);
}

bool compute_rounds(const compute *c) {
    return !c->exact && c->k->quantise_bf16 != NULL;
}

/* One matrix of a product, the exact way. */
typedef struct job {
    const product *p;
    const linear_task *task;
    int64_t first, count; /* inputs in tiles, of many */
} job;

static void store(const job *j, int64_t t, const float *sums, int64_t row, int64_t count) {
    const float *bias = j->task->bias != NULL ? j->task->bias + row : NULL;
    float *y = j->task->y + (size_t)t * j->task->y_stride + row;
    product_store(y, sums, bias, count, j->p->adds);
}

static void direct_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const job *j = context;
    const matrix *w = j->task->w;
    (void)thread_index;
    const product *p = j->p;
    float sums[DIRECT_ROWS];
    /* Several inputs meet a few rows one after the other, while these lie in the caches. */
    const int64_t most = p->count == 1 ? DIRECT_ROWS : KERNELS_ROWS;
    for (int64_t r = begin; r < end; r += most) {
        const int64_t count = end - r < most ? end - r : most;
        for (int64_t t = 0; t < p->count; t++) {
            p->c->k->gemv[w->type](sums, w->data + (size_t)r * w->row_size, w->row_size, count,
                                   p->x + (size_t)t * p->x_stride, w->col_count,
                                   t == 0 ? p->c->fetch : KERNELS_FETCH_NONE);
            store(j, t, sums, r, count);
        }
    }
}

/* Float32 rows can be used where they lie, unless the file put them at odd addresses. */
static bool is_plain(const matrix *w) {
    return w->type == QUANT_F32 && (uintptr_t)w->data % sizeof(float) == 0 &&
           w->row_size % sizeof(float) == 0;
}

/* Asks for the rows [begin, end) of which the next panel is made. */
static void fetch_rows(const matrix *w, int64_t begin, int64_t end, kernels_fetch to) {
    (void)kernels_fetch_lines(w->data + (size_t)begin * w->row_size,
                              w->data + (size_t)end * w->row_size, to);
}

/* Rows [row, row + count) as floats, up to KERNELS_ROWS: where they lie, or in own. */
static const float *panel_of(const compute *c, const matrix *w, int64_t row, int64_t count,
                             float *own, size_t *stride) {
    if (is_plain(w)) {
        *stride = w->row_size / sizeof *own;
        return (const float *)(const void *)(w->data + (size_t)row * w->row_size);
    }
    *stride = c->panel_cols;
    for (int64_t i = 0; i < count; i++) matrix_row(c, w, row + i, own + (size_t)i * c->panel_cols);
    return own;
}

static void turn_rows(const compute *c, const matrix *w, int64_t row, int64_t count, float *own,
                      float *turned) {
    for (int64_t i = 0; i < count; i += KERNELS_ROWS) {
        const int64_t some = count - i < KERNELS_ROWS ? count - i : KERNELS_ROWS;
        size_t stride;
        const float *panel = panel_of(c, w, row + i, some, own, &stride);
        c->k->turn(turned, i, panel, stride, some, w->col_count);
    }
}

typedef struct tile_job {
    float *tiled;
    const float *x;
    size_t x_stride;
    int64_t count, cols, lanes;
} tile_job;

static void tile_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const tile_job *j = context;
    const int64_t steps = (j->cols + j->lanes - 1) / j->lanes;
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        const float *x = j->x + (size_t)(i * KERNELS_TILE) * j->x_stride;
        const int64_t left = j->count - i * KERNELS_TILE;
        const int64_t inputs = left < KERNELS_TILE ? left : KERNELS_TILE;
        float *tile = j->tiled + (size_t)(i * steps * j->lanes) * KERNELS_TILE;
        for (int64_t s = 0; s < steps; s++)
            for (int64_t l = 0; l < j->lanes; l++) {
                float *to = tile + (l * steps + s) * KERNELS_TILE;
                const int64_t c = s * j->lanes + l;
                for (int64_t t = 0; t < inputs; t++)
                    to[t] = c < j->cols ? x[(size_t)t * j->x_stride + (size_t)c] : 0;
            }
    }
}

void linear_tile(const compute *c, const float *x, size_t x_stride, int64_t count,
                 int64_t col_count, int64_t lanes) {
    tile_job j = {c->tiled, x, x_stride, count, col_count, lanes};
    assert(count <= LINEAR_MANY);
    pool_run(c->pool, (count + KERNELS_TILE - 1) / KERNELS_TILE, 1, tile_part, &j);
}

static void many_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const job *j = context;
    const compute *c = j->p->c;
    const matrix *w = j->task->w;
    const size_t tile_cols = (size_t)((w->col_count + KERNELS_LANES - 1) / KERNELS_LANES) *
                             KERNELS_LANES; /* of an input */
    float *own = c->panel + (size_t)thread_index * KERNELS_ROWS * c->panel_cols;
    float *turned = c->turned + (size_t)thread_index * KERNELS_MANY_ROWS * c->panel_cols;
    float sums[MANY_LEN * KERNELS_MANY_ROWS];
    for (int64_t r = begin; r < end; r += KERNELS_MANY_ROWS) {
        const int64_t rows = end - r < KERNELS_MANY_ROWS ? end - r : KERNELS_MANY_ROWS;
        turn_rows(c, w, r, rows, own, turned);
        for (int64_t t = 0; t < j->count; t += MANY_LEN) {
            const int64_t inputs = j->count - t < MANY_LEN ? j->count - t : MANY_LEN;
            c->k->multiply_turned(sums, turned, c->tiled + (size_t)t * tile_cols, inputs,
                                  w->col_count);
            for (int64_t i = 0; i < inputs; i++)
                for (int64_t n = 0; n < rows; n += KERNELS_ROWS)
                    store(j, j->first + t + i, sums + i * KERNELS_MANY_ROWS + n, r + n,
                          rows - n < KERNELS_ROWS ? rows - n : KERNELS_ROWS);
        }
    }
}

/* LINEAR_MANY inputs at a time. */
static void multiply_many(job *j) {
    const product *p = j->p;
    const matrix *w = j->task->w;
    for (j->first = 0; j->first < p->count; j->first += LINEAR_MANY) {
        const int64_t left = p->count - j->first;
        j->count = left < LINEAR_MANY ? left : LINEAR_MANY;
        linear_tile(p->c, p->x + (size_t)j->first * p->x_stride, p->x_stride, j->count,
                    w->col_count, KERNELS_LANES);
        pool_run(p->c->pool, w->row_count, KERNELS_MANY_ROWS, many_part, j);
    }
}

static void panel_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const job *j = context;
    const product *p = j->p;
    const compute *c = p->c;
    const matrix *w = j->task->w;
    float *own = c->panel + (size_t)thread_index * KERNELS_ROWS * c->panel_cols;
    float sums[BLOCK_LEN * KERNELS_ROWS];
    for (int64_t t = 0; t < p->count; t += BLOCK_LEN) {
        const int64_t inputs = p->count - t < BLOCK_LEN ? p->count - t : BLOCK_LEN;
        for (int64_t r = begin; r < end; r += KERNELS_ROWS) {
            const int64_t rows = end - r < KERNELS_ROWS ? end - r : KERNELS_ROWS;
            size_t panel_stride;
            const float *panel = panel_of(c, w, r, rows, own, &panel_stride);
            if (w->data != NULL && r + rows < end)
                fetch_rows(w, r + rows, r + 2 * rows < end ? r + 2 * rows : end, c->fetch);
            c->k->gemm(sums, KERNELS_ROWS, panel, panel_stride, rows,
                       p->x + (size_t)t * p->x_stride, p->x_stride, inputs, w->col_count);
            for (int64_t i = 0; i < inputs; i++) store(j, t + i, sums + i * KERNELS_ROWS, r, rows);
        }
    }
}

static void stored_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const job *j = context;
    const product *p = j->p;
    const matrix *w = j->task->w;
    (void)thread_index;
    float sums[BLOCK_LEN * KERNELS_STORED_ROWS];
    for (int64_t t = 0; t < p->count; t += BLOCK_LEN) {
        const int64_t inputs = p->count - t < BLOCK_LEN ? p->count - t : BLOCK_LEN;
        for (int64_t r = begin; r < end; r += KERNELS_STORED_ROWS) {
            const int64_t rows = end - r < KERNELS_STORED_ROWS ? end - r : KERNELS_STORED_ROWS;
            p->c->k->gemm_stored[w->type](
                sums, KERNELS_STORED_ROWS, w->data + (size_t)r * w->row_size, w->row_size, rows,
                p->x + (size_t)t * p->x_stride, p->x_stride, inputs, w->col_count, p->c->fetch);
            for (int64_t i = 0; i < inputs; i++)
                for (int64_t part = 0; part < rows; part += GRAIN)
                    store(j, t + i, sums + i * KERNELS_STORED_ROWS + part, r + part,
                          rows - part < GRAIN ? rows - part : GRAIN);
        }
    }
}

static bool is_stored(const product *p, const matrix *w) {
    return w->data != NULL && p->c->k->gemm_stored[w->type] != NULL &&
           (w->type != QUANT_F32 || p->count >= STORED_F32_INPUTS);
}

/* Whether inputs are multiplied one by one. Rows of float32 make panels for nothing, those of
 * blocks cost more to turn into floats than to read. */
static bool is_direct(const product *p, const matrix *w) {
    const bool is_half = w->type == QUANT_F16 || w->type == QUANT_BF16;
    return w->data != NULL && p->c->k->gemv[w->type] != NULL &&
           p->count <= (is_half && !is_stored(p, w) ? DIRECT_INPUTS : 1);
}

static void multiply_exact(const product *p, const linear_task *task) {
    const compute *c = p->c;
    const matrix *w = task->w;
    assert((size_t)w->col_count <= c->panel_cols);
    job j = {.p = p, .task = task};
    if (is_direct(p, w)) {
        pool_run(c->pool, w->row_count, GRAIN, direct_part, &j);
        return;
    }
    if (c->turned != NULL && p->count >= MANY_INPUTS)
        multiply_many(&j);
    else if (is_stored(p, w))
        pool_run(c->pool, w->row_count, KERNELS_STORED_ROWS, stored_part, &j);
    else
        pool_run(c->pool, w->row_count, GRAIN, panel_part, &j);
}

static void gate(const product *p) {
    const size_t size = (size_t)p->count * p->tasks[0].y_stride;
    p->c->k->silu_mul(p->tasks[0].y, p->tasks[0].y, p->tasks[1].y, (int64_t)size);
}

/* The weights' own part. */
static void multiply_weights(const product *p) {
    bool packed = true, bf16 = true;
    for (int i = 0; i < p->task_count; i++) {
        packed = packed && linear_is_packed(p->c, p->tasks[i].w);
        bf16 = bf16 && linear_takes_bf16(p->c, p->tasks[i].w);
    }
    if (packed) {
        linear_packed(p);
        return;
    }
    if (bf16) linear_bf16(p);
    for (int i = 0; i < p->task_count && !bf16; i++) {
        product one = *p;
        one.tasks[0] = p->tasks[i];
        one.task_count = 1;
        one.gates = false;
        if (linear_is_packed(p->c, p->tasks[i].w))
            linear_packed(&one);
        else if (linear_takes_bf16(p->c, p->tasks[i].w))
            linear_bf16(&one);
        else
            multiply_exact(&one, &one.tasks[0]);
    }
    if (p->gates) gate(p);
}

/* Gates are multiplied last: the same bits as within linear_packed, for rows that nothing is added
 * to beside others. */
static void multiply(const product *p) {
    if (p->count == 0) return;
    if (!linear_is_adapted(p)) {
        multiply_weights(p);
        return;
    }
    product raw = *p;
    raw.gates = false;
    multiply_weights(&raw);
    linear_lora(p);
    if (p->gates) gate(p);
}

void linear(const compute *c, const matrix *w, const float *bias, const float *x, size_t x_stride,
            float *y, size_t y_stride, int64_t count) {
    const product p = {.c = c,
                       .tasks = {{w, bias, y, y_stride}},
                       .task_count = 1,
                       .x = x,
                       .x_stride = x_stride,
                       .count = count};
    multiply(&p);
}

void linear_add(const compute *c, const matrix *w, const float *bias, const float *x,
                size_t x_stride, float *y, size_t y_stride, int64_t count) {
    const product p = {.c = c,
                       .tasks = {{w, bias, y, y_stride}},
                       .task_count = 1,
                       .x = x,
                       .x_stride = x_stride,
                       .count = count,
                       .adds = true};
    multiply(&p);
}

void linear_all(const compute *c, const linear_task *tasks, int task_count, const float *x,
                size_t x_stride, int64_t count) {
    assert(task_count >= 1 && task_count <= LINEAR_TASK_CAP);
    product p = {.c = c, .task_count = task_count, .x = x, .x_stride = x_stride, .count = count};
    for (int i = 0; i < task_count; i++) p.tasks[i] = tasks[i];
    multiply(&p);
}

void linear_gated(const compute *c, const matrix *gate, const matrix *up, const float *x,
                  size_t x_stride, float *y, float *raised, int64_t count) {
    const size_t rows = (size_t)gate->row_count;
    assert(gate->row_count == up->row_count);
    const product p = {.c = c,
                       .tasks = {{gate, NULL, y, rows}, {up, NULL, raised, rows}},
                       .task_count = 2,
                       .x = x,
                       .x_stride = x_stride,
                       .count = count,
                       .gates = true};
    multiply(&p);
}

/* In units of fixed length, which the compiler turns into vectors. */
static void scaled_row(const int8_t *codes, float scale, float *out, int64_t count) {
    enum { UNIT = 16 };
    int64_t c = 0;
    for (; c + UNIT <= count; c += UNIT)
        for (int64_t i = c; i < c + UNIT; i++) out[i] = (float)codes[i] * scale;
    for (; c < count; c++) out[c] = (float)codes[c] * scale;
}

void matrix_row(const compute *c, const matrix *w, int64_t row, float *out) {
    assert(row >= 0 && row < w->row_count);
    if (w->row_scales != NULL) {
        scaled_row((const int8_t *)w->data + (size_t)row * w->row_size, w->row_scales[row], out,
                   w->col_count);
        return;
    }
    if (w->data != NULL) {
        c->k->dequantise(w->type, w->data + (size_t)row * w->row_size, out, w->col_count);
        return;
    }
    const size_t slab = (size_t)(w->slab + row / PACKED_ROWS) * w->packed->slab_size;
    packed_dequantise(w->type, w->packed->slabs + slab, w->col_count, (int)(row % PACKED_ROWS),
                      out);
}
