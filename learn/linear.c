#include "learn/linear.h"

#include <assert.h>
#include <string.h>

enum {
    PANEL_ROWS = 256,
    TILE_COLS = 256, /* a multiple of every block that weights are stored in */
    POSITIONS_MIN = 2 * KERNELS_TILE,
    ROWS_UNIT = KERNELS_BF16_COLS, /* where sums in BF16 may be cut */
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
static bool takes_bf16(const compute *c) {
    return c->bf16 && c->rounded != NULL && c->k->gemm_t_bf16 != NULL;
}

/* ---- dx += W^T dy ---- */

/* A block of positions and rows of W: dy [count, rows] lies in tiles of KERNELS_TILE positions,
 * the numbers of a row side by side; or in BF16, position after position. */
typedef struct transposed {
    const compute *c;
    const matrix *w;
    float *dx; /* of the block's first position */
    size_t dx_stride;
    int64_t row, rows;
    size_t rounded_stride;          /* 0: in tiles */
    int64_t count, tile, col_tiles; /* an item has `tile` positions, whole tiles */
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

/* Rows [row, row + rows) of the block, which `from` has as floats, at positions [first, behind). */
static void meet(const transposed *j, const float *from, size_t stride, int64_t row, int64_t rows,
                 int64_t first, int64_t behind, int64_t col, int64_t cols) {
    const compute *c = j->c;
    float *dx = j->dx + col;
    if (j->rounded_stride > 0) {
        c->k->gemm_t_bf16(dx + (size_t)first * j->dx_stride, j->dx_stride, from, stride, rows,
                          c->rounded + (size_t)first * j->rounded_stride + row, j->rounded_stride,
                          behind - first, cols);
        return;
    }
    for (int64_t t = first; t < behind; t += KERNELS_TILE)
        c->k->gemm_t(dx + (size_t)t * j->dx_stride, j->dx_stride, from, stride, rows,
                     c->tiled + t * j->rows + row * KERNELS_TILE, 1, KERNELS_TILE,
                     least(KERNELS_TILE, behind - t), cols);
}

static void transposed_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const transposed *j = context;
    _Alignas(64) float panel[PANEL_ROWS * TILE_COLS];
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = i / j->col_tiles * j->tile, col = i % j->col_tiles * TILE_COLS;
        const int64_t behind = first + least(j->tile, j->count - first);
        const int64_t cols = least(TILE_COLS, j->w->col_count - col);
        for (int64_t row = 0; row < j->rows; row += PANEL_ROWS) {
            const int64_t rows = least(PANEL_ROWS, j->rows - row);
            size_t stride;
            const float *from = panel_of(j, j->row + row, rows, col, cols, panel, &stride);
            meet(j, from, stride, row, rows, first, behind, col, cols);
        }
    }
}

void learn_product_t(const compute *c, const matrix *w, learn_x dy, float *dx, size_t dx_stride,
                     int count) {
    assert(w->data != NULL && w->row_scales == NULL && c->tiled != NULL);
    const int64_t row_most = (int64_t)c->panel_cols / ROWS_UNIT * ROWS_UNIT;
    const int threads = pool_thread_count(c->pool);
    transposed j = {
        .c = c, .w = w, .dx_stride = dx_stride, .col_tiles = cut(w->col_count, TILE_COLS)};
    for (int64_t t = 0; t < count; t += LINEAR_MANY) {
        j.dx = dx + (size_t)t * dx_stride;
        j.count = least(LINEAR_MANY, count - t);
        j.tile = LINEAR_MANY;
        while (j.tile > POSITIONS_MIN && cut(j.count, j.tile) * j.col_tiles < 2 * threads)
            j.tile = cut(j.tile / 2, KERNELS_TILE) * KERNELS_TILE;
        for (j.row = 0; j.row < w->row_count; j.row += row_most) {
            const float *from = dy.x + (size_t)t * dy.stride + j.row;
            j.rows = least(row_most, w->row_count - j.row);
            if (takes_bf16(c))
                j.rounded_stride = linear_round_bf16(c, from, dy.stride, j.count, j.rows);
            else
                linear_tile(c, from, dy.stride, j.count, j.rows, 1);
            pool_run(c->pool, cut(j.count, j.tile) * j.col_tiles, 1, transposed_part, &j);
        }
    }
}

/* ---- dW += dy x^T ---- */

typedef struct outer {
    const compute *c;
    float *dw;
    learn_x dy, x;
    int64_t rows, cols, count, col_tiles;
} outer;

/* Rows [row, row + rows) of dW at positions [t, t + positions). Side by side: rows of dy may be a
 * power of two apart, in one set of the cache. */
static void outer_piece(const outer *j, int64_t row, int64_t rows, int64_t col, int64_t cols,
                        int64_t t, int64_t positions) {
    const compute *c = j->c;
    const float *dy = j->dy.x + (size_t)t * j->dy.stride + row;
    const float *x = j->x.x + (size_t)t * j->x.stride + col;
    float *dw = j->dw + row * j->cols + col;
    _Alignas(64) float factors[OUTER_POSITIONS * OUTER_ROWS];
    if (!takes_bf16(c)) {
        for (int64_t p = 0; p < positions; p++)
            memcpy(factors + p * OUTER_ROWS, dy + (size_t)p * j->dy.stride,
                   (size_t)rows * sizeof *factors);
        c->k->gemm_t(dw, (size_t)j->cols, x, j->x.stride, positions, factors, 1, OUTER_ROWS, rows,
                     cols);
        return;
    }
    uint16_t rounded[OUTER_ROWS * OUTER_POSITIONS];
    for (int64_t p = 0; p < OUTER_POSITIONS; p++)
        for (int64_t r = 0; r < rows; r++)
            factors[r * OUTER_POSITIONS + p] =
                p < positions ? dy[(size_t)p * j->dy.stride + (size_t)r] : 0;
    c->k->quantise_bf16(factors, rows * OUTER_POSITIONS, rounded);
    c->k->gemm_t_bf16(dw, (size_t)j->cols, x, j->x.stride, positions, rounded, OUTER_POSITIONS,
                      rows, cols);
}

static void outer_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const outer *j = context;
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i / j->col_tiles * OUTER_ROWS, col = i % j->col_tiles * TILE_COLS;
        for (int64_t t = 0; t < j->count; t += OUTER_POSITIONS)
            outer_piece(j, row, least(OUTER_ROWS, j->rows - row), col,
                        least(TILE_COLS, j->cols - col), t, least(OUTER_POSITIONS, j->count - t));
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
