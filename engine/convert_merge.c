#include "engine/convert_merge.h"

#include <math.h>
#include <stdlib.h>

#include "core/checked.h"

/* One pair, with its A in float32. */
typedef struct adding {
    merge *m;
    const linear_pair *pair;
    const float *down; /* [rank, cols] */
} adding;

static void add_rows(void *context, int64_t begin, int64_t end, int thread_index) {
    const adding *j = context;
    const matrix *up = &j->pair->up;
    const int64_t rank = up->col_count, cols = j->m->cols;
    float row[LINEAR_RANK_MAX];
    (void)thread_index;
    for (int64_t r = begin; r < end; r++) {
        float *delta = j->m->delta + (size_t)(r * cols);
        quant_dequantise(up->type, up->data + (size_t)r * up->row_size, row, rank);
        for (int64_t k = 0; k < rank; k++) {
            const float by = j->pair->scale * row[k];
            const float *down = j->down + (size_t)(k * cols);
            for (int64_t c = 0; c < cols; c++) delta[c] += by * down[c];
        }
    }
}

static rnl_status add_pair(merge *m, const linear_pair *pair, pool *threads) {
    const matrix *a = &pair->down;
    float *down = malloc((size_t)(a->row_count * a->col_count) * sizeof *down);
    if (down == NULL) return RNL_ERR_MEMORY;
    for (int64_t k = 0; k < a->row_count; k++)
        quant_dequantise(a->type, a->data + (size_t)k * a->row_size,
                         down + (size_t)(k * a->col_count), a->col_count);
    adding j = {.m = m, .pair = pair, .down = down};
    pool_run(threads, m->rows, 1, add_rows, &j);
    free(down);
    return RNL_OK;
}

rnl_status merge_begin(merge *m, const linear_pair *pairs, int64_t rows, int64_t cols,
                       pool *threads) {
    m->rows = rows;
    m->cols = cols;
    if (pairs == NULL) return RNL_OK;
    size_t cells;
    if (!checked_mul((size_t)rows, (size_t)cols, &cells)) return RNL_ERR_MEMORY;
    m->delta = calloc(cells, sizeof *m->delta);
    m->taken = calloc((size_t)rows, sizeof *m->taken);
    rnl_status status = m->delta != NULL && m->taken != NULL ? RNL_OK : RNL_ERR_MEMORY;
    for (; pairs != NULL && status == RNL_OK; pairs = pairs->next)
        status = add_pair(m, pairs, threads);
    if (status != RNL_OK) merge_end(m);
    return status;
}

void merge_row(const merge *m, int64_t row, float *values) {
    const float *delta = m->delta + (size_t)(row * m->cols);
    for (int64_t c = 0; c < m->cols; c++) values[c] += delta[c];
}

void merge_note(merge *m, int64_t row, const float *values, const float *back) {
    double sum = 0;
    for (int64_t c = 0; c < m->cols; c++) {
        const double by = (double)back[c] - (double)values[c];
        sum += by * by;
    }
    m->taken[row] = sum;
}

void merge_end(merge *m) {
    for (int64_t r = 0; m->delta != NULL && m->taken != NULL && r < m->rows; r++) {
        double sum = 0;
        for (int64_t c = 0; c < m->cols; c++) {
            const double by = (double)m->delta[r * m->cols + c];
            sum += by * by;
        }
        m->delta_sum += sum;
        m->taken_sum += m->taken[r];
    }
    free(m->delta);
    free(m->taken);
    m->delta = NULL;
    m->taken = NULL;
}

double merge_taken(const merge *m) {
    return m->delta_sum > 0 ? sqrt(m->taken_sum / m->delta_sum) : 0;
}
