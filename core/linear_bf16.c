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
    BLOCK_LEN = 128,           /* inputs of a block, */
    MANY_LEN = 512,            /* and with room for many at most: weights are unpacked once for
                                    * all of them, and sums of a few rows wait on the stack; */
    MANY_NUMBERS = 512 * 1024, /* but they should stay in the second-level cache */
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
    if (col_cap < (int64_t)c->panel_cols) col_cap = (int64_t)c->panel_cols;
    if (!checked_align((size_t)col_cap, BLOCK, &cols) || !checked_add(cols, BLOCK, &cols) ||
        !checked_mul(cols, c->many ? LINEAR_MANY : BLOCK_LEN, &size)) {
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
    size_t stride;           /* and how many numbers apart they are, rounded */
} block_job;

typedef struct round_job {
    const compute *c;
    const float *x;
    size_t x_stride, stride;
    int64_t cols;
} round_job;

static void round_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const round_job *j = context;
    const kernels *k = j->c->k;
    const int64_t whole = j->cols / BLOCK * BLOCK, rest = j->cols - whole;
    (void)thread_index;
    for (int64_t t = begin; t < end; t++) {
        const float *x = j->x + (size_t)t * j->x_stride;
        uint16_t *to = j->c->rounded + (size_t)t * j->stride;
        k->quantise_bf16(x, whole, to);
        if (rest == 0) continue;
        float last[BLOCK] = {0};
        memcpy(last, x + whole, (size_t)rest * sizeof *x);
        k->quantise_bf16(last, BLOCK, to + whole);
    }
}

size_t linear_round_bf16(const compute *c, const float *x, size_t x_stride, int64_t count,
                         int64_t col_count) {
    const int64_t cols = (col_count + BLOCK - 1) / BLOCK * BLOCK;
    round_job j = {c, x, x_stride, stride_of((size_t)cols), col_count};
    pool_run(c->pool, count, ROUND_GRAIN, round_part, &j);
    return j.stride;
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
    float sums[MANY_LEN * ROWS];
    for (int64_t r = begin; r < end; r += ROWS) {
        const int64_t rows = end - r < ROWS ? end - r : ROWS;
        quant_type type;
        size_t row_size;
        const unsigned char *from = rows_of(c, w, r, rows, thread_index, &type, &row_size);
        c->k->multiply_bf16[type](sums, from, row_size, rows, c->rounded, j->stride, j->count,
                                  w->col_count, c->fetch, scratch);
        for (int64_t t = 0; t < j->count; t++)
            for (int64_t i = 0; i < rows; i += PACKED_ROWS)
                product_store(task->y + (size_t)(j->first + t) * task->y_stride + r + i,
                              sums + t * ROWS + i, task->bias != NULL ? task->bias + r + i : NULL,
                              rows - i < PACKED_ROWS ? rows - i : PACKED_ROWS, j->p->adds);
    }
}

static int64_t block_len(const compute *c, int64_t cols) {
    const int64_t most = MANY_NUMBERS / cols;
    if (!c->many || most < BLOCK_LEN) return BLOCK_LEN;
    return most < MANY_LEN ? most : MANY_LEN;
}

void linear_bf16(const product *p) {
    const int64_t cols = p->tasks[0].w->col_count, len = block_len(p->c, cols);
    block_job j = {.p = p};
    for (; j.first < p->count; j.first += len) {
        j.count = p->count - j.first < len ? p->count - j.first : len;
        j.stride = linear_round_bf16(p->c, p->x + (size_t)j.first * p->x_stride, p->x_stride,
                                     j.count, cols);
        for (int i = 0; i < p->task_count; i++) {
            j.task = &p->tasks[i];
            pool_run(p->c->pool, j.task->w->row_count, ROWS, rows_part, &j);
        }
    }
}
