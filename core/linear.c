/* y = W x + bias. The rows of W are cut over the threads; each output is made whole by one kernel
 * call, and kernels give an output the same bits alone or in a batch (the law of kernels.h), so
 * neither the cut nor the batch shows in the result. Two ways to the same bits:
 *
 *   one input, a direct kernel:  stored rows -> gemv
 *   otherwise:                   stored rows -> panel of KERNELS_ROWS float32 rows -> gemm with a
 *                                block of inputs that stays in the cache, panel after panel
 *
 * Sums first land in a small scratch on the stack; bias and residual join them there, always in the
 * order y + (bias + sum). */
#include "core/linear.h"

#include <assert.h>

#include "core/checked.h"

enum {
    /* Rows per part: their outputs fill whole cache lines, so that threads seldom share one. */
    GRAIN = 16,
    DIRECT_ROWS = 64,        /* rows that gemv takes between two additions of the bias */
    INPUT_CAP = 96,          /* inputs per block: bounds the scratch */
    INPUT_MIN = 24,          /* and are enough to pay for reading the weights once more */
    INPUT_SIZE = 512 * 1024, /* bytes of inputs per block: half of a usual second-level cache */
    /* Panel rows are an odd number of cache lines apart: rows of a power-of-two length would all
     * fall into the same sets of the first-level cache. */
    PANEL_ALIGN = 16
};

void compute_layout(compute *c, int thread_count, int64_t col_cap, arena *a) {
    assert(thread_count >= 1 && col_cap >= 0);
    size_t cols, size;
    if (!checked_align((size_t)col_cap, PANEL_ALIGN, &cols) ||
        !checked_add(cols, cols / PANEL_ALIGN % 2 == 0 ? PANEL_ALIGN : 0, &cols) ||
        !checked_mul(cols, sizeof *c->panel, &size)) {
        a->overflowed = true;
        return;
    }
    c->panel_cols = cols;
    c->panel = arena_take(a, (size_t)thread_count * KERNELS_ROWS, size);
}

typedef struct job {
    const compute *c;
    const matrix *w;
    const float *bias;
    const float *x;
    float *y;
    size_t x_stride, y_stride;
    int64_t count, block_len; /* inputs; inputs per block */
    bool adds;                /* y += instead of y = */
} job;

/* y[r] for count rows from row on; sums are theirs. y points at the outputs of one input. */
static void store(const job *j, float *y, const float *sums, int64_t row, int64_t count) {
    const float *bias = j->bias != NULL ? j->bias + row : NULL;
    y += row;
    for (int64_t i = 0; i < count; i++) {
        const float v = bias != NULL ? bias[i] + sums[i] : sums[i];
        y[i] = j->adds ? y[i] + v : v;
    }
}

static void direct_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const job *j = context;
    const matrix *w = j->w;
    (void)thread_index;
    float sums[DIRECT_ROWS];
    for (int64_t r = begin; r < end; r += DIRECT_ROWS) {
        const int64_t count = end - r < DIRECT_ROWS ? end - r : DIRECT_ROWS;
        j->c->k->gemv[w->type](sums, w->data + (size_t)r * w->row_size, w->row_size, count, j->x,
                               w->col_count);
        store(j, j->y, sums, r, count);
    }
}

/* Float32 rows can be used where they lie, unless the file put them at odd addresses. */
static bool is_plain(const matrix *w) {
    return w->type == QUANT_F32 && (uintptr_t)w->data % sizeof(float) == 0 &&
           w->row_size % sizeof(float) == 0;
}

static void panel_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const job *j = context;
    const compute *c = j->c;
    const matrix *w = j->w;
    float *own = c->panel + (size_t)thread_index * KERNELS_ROWS * c->panel_cols;
    float sums[INPUT_CAP * KERNELS_ROWS];
    for (int64_t t = 0; t < j->count; t += j->block_len) {
        const int64_t inputs = j->count - t < j->block_len ? j->count - t : j->block_len;
        for (int64_t r = begin; r < end; r += KERNELS_ROWS) {
            const int64_t rows = end - r < KERNELS_ROWS ? end - r : KERNELS_ROWS;
            const unsigned char *stored = w->data + (size_t)r * w->row_size;
            const float *panel = own;
            size_t panel_stride = c->panel_cols;
            if (is_plain(w)) {
                panel = (const float *)(const void *)stored;
                panel_stride = w->row_size / sizeof *panel;
            } else {
                for (int64_t i = 0; i < rows; i++)
                    c->k->dequantise(w->type, stored + (size_t)i * w->row_size,
                                     own + (size_t)i * c->panel_cols, w->col_count);
            }
            c->k->gemm(sums, KERNELS_ROWS, panel, panel_stride, rows,
                       j->x + (size_t)t * j->x_stride, j->x_stride, inputs, w->col_count);
            for (int64_t i = 0; i < inputs; i++)
                store(j, j->y + (size_t)(t + i) * j->y_stride, sums + i * KERNELS_ROWS, r, rows);
        }
    }
}

static void multiply(const compute *c, const matrix *w, const float *bias, const float *x,
                     size_t x_stride, float *y, size_t y_stride, int64_t count, bool adds) {
    assert((size_t)w->col_count <= c->panel_cols);
    if (count == 0) return;
    job j = {.c = c, .w = w, .bias = bias, .x = x, .y = y, .count = count, .adds = adds};
    j.x_stride = x_stride;
    j.y_stride = y_stride;
    if (count == 1 && c->k->gemv[w->type] != NULL) {
        pool_run(c->pool, w->row_count, GRAIN, direct_part, &j);
        return;
    }
    const int64_t input_size = (w->col_count + 1) * (int64_t)sizeof *x;
    j.block_len = INPUT_SIZE / input_size;
    if (j.block_len > INPUT_CAP) j.block_len = INPUT_CAP;
    if (j.block_len < INPUT_MIN) j.block_len = INPUT_MIN;
    pool_run(c->pool, w->row_count, GRAIN, panel_part, &j);
}

void linear(const compute *c, const matrix *w, const float *bias, const float *x, size_t x_stride,
            float *y, size_t y_stride, int64_t count) {
    multiply(c, w, bias, x, x_stride, y, y_stride, count, false);
}

void linear_add(const compute *c, const matrix *w, const float *bias, const float *x,
                size_t x_stride, float *y, size_t y_stride, int64_t count) {
    multiply(c, w, bias, x, x_stride, y, y_stride, count, true);
}

void matrix_row(const compute *c, const matrix *w, int64_t row, float *out) {
    assert(row >= 0 && row < w->row_count);
    c->k->dequantise(w->type, w->data + (size_t)row * w->row_size, out, w->col_count);
}
