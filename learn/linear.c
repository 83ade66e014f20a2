#include "learn/linear.h"

#include <assert.h>
#include <string.h>

enum {
    PANEL_ROWS = 32,
    TILE_COLS = 256,      /* a multiple of every block that weights are stored in */
    TILE_POSITIONS = 512, /* they share a panel; fewer when there would be too few items */
    TILE_POSITIONS_MIN = 16,
    OUTER_ROWS = 64,
    OUTER_POSITIONS = 64
};

static int64_t cut(int64_t count, int64_t tile) {
    return (count + tile - 1) / tile;
}
static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* compute.bf16: in BF16, where the level has that. */
static void multiply_t(const compute *c, float *y, size_t y_stride, const float *w, size_t w_stride,
                       int64_t row_count, const float *x, size_t x_stride, size_t x_step,
                       int64_t x_count, int64_t col_count) {
    const kernels *k = c->k;
    if (c->bf16 && k->gemm_t_bf16 != NULL)
        k->gemm_t_bf16(y, y_stride, w, w_stride, row_count, x, x_stride, x_step, x_count,
                       col_count);
    else
        k->gemm_t(y, y_stride, w, w_stride, row_count, x, x_stride, x_step, x_count, col_count);
}

/* ---- dx += W^T dy ---- */

typedef struct transposed {
    const compute *c;
    const matrix *w;
    learn_x dy;
    float *dx;
    size_t dx_stride;
    int64_t count, tile, col_tiles;
} transposed;

/* Rows [row, row + rows), columns [col, col + cols) as floats: where they lie, or in panel. */
static const float *panel_of(const transposed *j, int64_t row, int64_t rows, int64_t col,
                             int64_t cols, float *panel, size_t *stride) {
    const matrix *w = j->w;
    const quant_info *info = quant_describe((uint32_t)w->type);
    const unsigned char *from =
        w->data + (size_t)row * w->row_size + (size_t)(col / info->block_len) * info->block_size;
    if (w->type == QUANT_F32 && (uintptr_t)from % sizeof(float) == 0 &&
        w->row_size % sizeof(float) == 0) {
        *stride = w->row_size / sizeof(float);
        return (const float *)(const void *)from;
    }
    *stride = TILE_COLS;
    for (int64_t r = 0; r < rows; r++, from += w->row_size)
        j->c->k->dequantise(w->type, from, panel + r * TILE_COLS, cols);
    return panel;
}

static void transposed_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const transposed *j = context;
    const matrix *w = j->w;
    _Alignas(64) float panel[PANEL_ROWS * TILE_COLS];
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        const int64_t t = i / j->col_tiles * j->tile, col = i % j->col_tiles * TILE_COLS;
        const int64_t positions = least(j->tile, j->count - t);
        const int64_t cols = least(TILE_COLS, w->col_count - col);
        float *dx = j->dx + (size_t)t * j->dx_stride + col;
        const float *dy = j->dy.x + (size_t)t * j->dy.stride;
        for (int64_t row = 0; row < w->row_count; row += PANEL_ROWS) {
            const int64_t rows = least(PANEL_ROWS, w->row_count - row);
            size_t stride;
            const float *from = panel_of(j, row, rows, col, cols, panel, &stride);
            multiply_t(j->c, dx, j->dx_stride, from, stride, rows, dy + row, j->dy.stride, 1,
                       positions, cols);
        }
    }
}

void learn_product_t(const compute *c, const matrix *w, learn_x dy, float *dx, size_t dx_stride,
                     int count) {
    assert(w->data != NULL && w->row_scales == NULL);
    transposed j = {.c = c,
                    .w = w,
                    .dy = dy,
                    .dx = dx,
                    .dx_stride = dx_stride,
                    .count = count,
                    .tile = TILE_POSITIONS,
                    .col_tiles = cut(w->col_count, TILE_COLS)};
    const int threads = pool_thread_count(c->pool);
    while (j.tile > TILE_POSITIONS_MIN && cut(count, j.tile) * j.col_tiles < 2 * threads)
        j.tile /= 2;
    pool_run(c->pool, cut(count, j.tile) * j.col_tiles, 1, transposed_part, &j);
}

/* ---- dW += dy x^T ---- */

typedef struct outer {
    const compute *c;
    float *dw;
    learn_x dy, x;
    int64_t rows, cols, count, col_tiles;
} outer;

static void outer_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const outer *j = context;
    _Alignas(64) float factors[OUTER_POSITIONS * OUTER_ROWS];
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i / j->col_tiles * OUTER_ROWS, col = i % j->col_tiles * TILE_COLS;
        const int64_t rows = least(OUTER_ROWS, j->rows - row);
        const int64_t cols = least(TILE_COLS, j->cols - col);
        for (int64_t t = 0; t < j->count; t += OUTER_POSITIONS) {
            const int64_t positions = least(OUTER_POSITIONS, j->count - t);
            /* Side by side: rows of dy may be a power of two apart, in one set of the cache. */
            for (int64_t p = 0; p < positions; p++)
                memcpy(factors + p * OUTER_ROWS, j->dy.x + (size_t)(t + p) * j->dy.stride + row,
                       (size_t)rows * sizeof *factors);
            multiply_t(j->c, j->dw + row * j->cols + col, (size_t)j->cols,
                       j->x.x + (size_t)t * j->x.stride + col, j->x.stride, positions, factors, 1,
                       OUTER_ROWS, rows, cols);
        }
    }
}

void learn_outer(const compute *c, float *dw, int64_t rows, int64_t cols, learn_x dy, learn_x x,
                 int count) {
    outer j = {.c = c,
               .dw = dw,
               .dy = dy,
               .x = x,
               .rows = rows,
               .cols = cols,
               .count = count,
               .col_tiles = cut(cols, TILE_COLS)};
    pool_run(c->pool, cut(rows, OUTER_ROWS) * j.col_tiles, 1, outer_part, &j);
}

typedef struct summed {
    float *sums;
    learn_x x;
    int count;
} summed;

static void sum_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const summed *j = context;
    (void)thread_index;
    for (int t = 0; t < j->count; t++)
        for (int64_t i = begin; i < end; i++)
            j->sums[i] += j->x.x[(size_t)t * j->x.stride + (size_t)i];
}

void learn_column_sums(const compute *c, float *sums, int64_t cols, learn_x x, int count) {
    summed j = {.sums = sums, .x = x, .count = count};
    pool_run(c->pool, cols, 16, sum_part, &j);
}

/* ---- A matrix with what goes with it ---- */

/* What A gets: x, or in runs that learn with dropout what is left of it. */
static learn_x seen(const compute *c, const learn_linear *l, learn_x x, int count) {
    const learn_dropout *d = l->dropout;
    if (!d->active) return x;
    const int64_t cols = l->down.col_count;
    learn_drop(d, c, l->number, x.x, x.stride, d->inputs, cols, count);
    return (learn_x){d->inputs, (size_t)cols};
}

void learn_forward_low(const compute *c, const learn_linear *l, learn_x x, float *low, int count) {
    const size_t rank = (size_t)l->down.row_count;
    if (rank == 0) return;
    x = seen(c, l, x, count);
    linear(c, &l->down, NULL, x.x, x.stride, low, rank, count);
    for (size_t i = 0; i < (size_t)count * rank; i++) low[i] *= l->scale;
}

static void forward(const compute *c, const learn_linear *l, learn_x x, float *y, size_t y_stride,
                    float *low, int count, bool adds) {
    if (adds)
        linear_add(c, &l->w, l->bias, x.x, x.stride, y, y_stride, count);
    else
        linear(c, &l->w, l->bias, x.x, x.stride, y, y_stride, count);
    const size_t rank = (size_t)l->down.row_count;
    if (rank == 0) return;
    learn_forward_low(c, l, x, low, count);
    linear_add(c, &l->up, NULL, low, rank, y, y_stride, count);
}

void learn_forward(const compute *c, const learn_linear *l, learn_x x, float *y, size_t y_stride,
                   float *low, int count) {
    forward(c, l, x, y, y_stride, low, count, false);
}

void learn_forward_add(const compute *c, const learn_linear *l, learn_x x, float *y,
                       size_t y_stride, float *low, int count) {
    forward(c, l, x, y, y_stride, low, count, true);
}

static void adapter_back(const compute *c, const learn_linear *l, learn_x x, const float *low,
                         learn_x dy, float *dx, size_t dx_stride, float *dlow, int count) {
    const size_t rank = (size_t)l->down.row_count;
    learn_outer(c, l->dup, l->up.row_count, (int64_t)rank, dy, (learn_x){low, rank}, count);
    memset(dlow, 0, (size_t)count * rank * sizeof *dlow);
    learn_product_t(c, &l->up, dy, dlow, rank, count);
    for (size_t i = 0; i < (size_t)count * rank; i++) dlow[i] *= l->scale;
    const learn_x d = {dlow, rank};
    const int64_t cols = l->down.col_count;
    learn_outer(c, l->ddown, (int64_t)rank, cols, d, seen(c, l, x, count), count);
    if (dx == NULL) return;
    if (!l->dropout->active) {
        learn_product_t(c, &l->down, d, dx, dx_stride, count);
        return;
    }
    float *own = l->dropout->inputs;
    memset(own, 0, (size_t)count * (size_t)cols * sizeof *own);
    learn_product_t(c, &l->down, d, own, (size_t)cols, count);
    learn_drop_back(l->dropout, c, l->number, own, cols, dx, dx_stride, count);
}

void learn_back(const compute *c, const learn_linear *l, learn_x x, const float *low, learn_x dy,
                float *dx, size_t dx_stride, float *dlow, int count) {
    if (l->dw != NULL) learn_outer(c, l->dw, l->w.row_count, l->w.col_count, dy, x, count);
    if (l->dbias != NULL) learn_column_sums(c, l->dbias, l->w.row_count, dy, count);
    if (dx != NULL) learn_product_t(c, &l->w, dy, dx, dx_stride, count);
    if (l->down.row_count > 0) adapter_back(c, l, x, low, dy, dx, dx_stride, dlow, count);
}
