/* Products of float weights in BF16, for long batches: inputs are rounded, a block of rows at a
 * time; then the stored rows of the matrix are shared out over the threads, 32 at once:
 *
 *     x [count, cols] -> bf16 [count, stride] -> sums [count, 32] -> y
 *
 * An output is made whole by one kernel call, alone or in a batch with the same bits. Rows of a
 * type without such a kernel are made floats first, where that is wanted. */
#include "core/checked.h"
#include "core/linear_inner.h"

enum {
    BLOCK_LEN = 128,           /* most inputs of a block: bounds the sums on the stack */
    ROUND_GRAIN = 4,           /* inputs rounded per part */
    BLOCK = KERNELS_BF16_COLS, /* 64 bytes of bf16 */
    ROWS = KERNELS_BF16_ROWS
};

/* Rows of bf16 are an odd number of cache lines apart: of those of a power of two, twelve at once
 * would all fall into the same set of the first-level cache. */
static size_t stride_of(size_t cols) {
    return cols / BLOCK % 2 == 0 ? cols + BLOCK : cols;
}

void linear_bf16_layout(compute *c, int thread_count, int64_t col_cap, arena *a) {
    size_t cols, size;
    if (c->k == NULL || c->k->multiply_bf16[QUANT_F32] == NULL) return;
    if (!checked_align((size_t)col_cap, BLOCK, &cols) || !checked_add(cols, BLOCK, &cols) ||
        !checked_mul(cols, BLOCK_LEN, &size)) {
        a->overflowed = true;
        return;
    }
    c->rounded = arena_take(a, size, sizeof *c->rounded);
    c->bf16_panel = NULL;
    if (c->bf16_any)
        c->bf16_panel = arena_take(a, (size_t)thread_count * ROWS * c->panel_cols, sizeof(float));
}

bool linear_takes_bf16(const compute *c, const matrix *w) {
    return c->bf16 && c->rounded != NULL && w->data != NULL && w->col_count % BLOCK == 0 &&
           (c->k->multiply_bf16[w->type] != NULL || c->bf16_any);
}

typedef struct block_job {
    const product *p;
    const linear_task *task; /* the one at hand */
    int64_t first, count;    /* rows of x */
} block_job;

static void round_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const block_job *j = context;
    const compute *c = j->p->c;
    const int64_t cols = j->p->tasks[0].w->col_count;
    (void)thread_index;
    for (int64_t t = begin; t < end; t++)
        c->k->quantise_bf16(j->p->x + (size_t)(j->first + t) * j->p->x_stride, cols,
                            c->rounded + (size_t)t * stride_of((size_t)cols));
}

/* Rows [row, row + count) as a kernel takes them: as they are stored, or as floats. */
static const unsigned char *rows_of(const compute *c, const matrix *w, int64_t row, int64_t count,
                                    int thread_index, quant_type *type, size_t *row_size) {
    *type = w->type;
    *row_size = w->row_size;
    if (c->k->multiply_bf16[w->type] != NULL) return w->data + (size_t)row * w->row_size;
    float *panel = c->bf16_panel + (size_t)thread_index * ROWS * c->panel_cols;
    for (int64_t i = 0; i < count; i++)
        matrix_row(c, w, row + i, panel + (size_t)i * c->panel_cols);
    *type = QUANT_F32;
    *row_size = c->panel_cols * sizeof *panel;
    return (const unsigned char *)panel;
}

static void rows_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const block_job *j = context;
    const compute *c = j->p->c;
    const linear_task *task = j->task;
    const matrix *w = task->w;
    unsigned char *scratch = c->pieces + (size_t)thread_index * KERNELS_SCRATCH_SIZE;
    float sums[BLOCK_LEN * ROWS];
    for (int64_t r = begin; r < end; r += ROWS) {
        const int64_t rows = end - r < ROWS ? end - r : ROWS;
        quant_type type;
        size_t row_size;
        const unsigned char *from = rows_of(c, w, r, rows, thread_index, &type, &row_size);
        c->k->multiply_bf16[type](sums, from, row_size, rows, c->rounded,
                                  stride_of((size_t)w->col_count), j->count, w->col_count, c->fetch,
                                  scratch);
        for (int64_t t = 0; t < j->count; t++)
            for (int64_t i = 0; i < rows; i += PACKED_ROWS)
                product_store(task->y + (size_t)(j->first + t) * task->y_stride + r + i,
                              sums + t * ROWS + i, task->bias != NULL ? task->bias + r + i : NULL,
                              rows - i < PACKED_ROWS ? rows - i : PACKED_ROWS, j->p->adds);
    }
}

void linear_bf16(const product *p) {
    block_job j = {.p = p};
    for (; j.first < p->count; j.first += BLOCK_LEN) {
        j.count = p->count - j.first < BLOCK_LEN ? p->count - j.first : BLOCK_LEN;
        pool_run(p->c->pool, j.count, ROUND_GRAIN, round_part, &j);
        for (int i = 0; i < p->task_count; i++) {
            j.task = &p->tasks[i];
            pool_run(p->c->pool, j.task->w->row_count, ROWS, rows_part, &j);
        }
    }
}
