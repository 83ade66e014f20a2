#include "core/dense.h"

void dense_multiply(const kernels *k, float *y, size_t y_stride, const float *w, size_t w_stride,
                    int row_count, const float *x, int x_count, int col_count) {
    for (int r = 0; r < row_count; r += KERNELS_ROWS) {
        const int rows = row_count - r < KERNELS_ROWS ? row_count - r : KERNELS_ROWS;
        k->gemm(y + r, y_stride, w + (size_t)r * w_stride, w_stride, rows, x, (size_t)col_count,
                x_count, col_count);
    }
}

typedef struct turn_job {
    const float *x;
    float *out;
    size_t rows, width;
} turn_job;

/* Columns [begin, end). */
static void turn_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const turn_job *j = context;
    for (size_t t = 0; t < j->rows; t++)
        for (size_t i = (size_t)begin; i < (size_t)end; i++)
            j->out[i * j->rows + t] = j->x[t * j->width + i];
}

void dense_turn(pool *p, const float *x, int rows, int width, float *out) {
    turn_job j = {.x = x, .out = out, .rows = (size_t)rows, .width = (size_t)width};
    pool_run(p, width, 16, turn_part, &j); /* 16: whole cache lines of x */
}
