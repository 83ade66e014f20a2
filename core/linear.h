/* Matrix products over the pool: kernels + stored weights + threads. */
#ifndef CORE_LINEAR_H
#define CORE_LINEAR_H

#include "core/arena.h"
#include "core/pool.h"
#include "core/tensor.h"
#include "kernels/kernels.h"

/* What a stage needs to compute: lent to every call, owned by the session. */
typedef struct compute {
    pool *pool;
    const kernels *k;
    float *panel;      /* [thread_count, KERNELS_ROWS, panel_cols] dequantised weights, scratch */
    size_t panel_cols; /* widest matrix of the model, rounded up to 16 */
} compute;

/* Places the scratch. col_cap: the largest col_count that linear() will meet. */
void compute_layout(compute *c, int thread_count, int64_t col_cap, arena *a);

/* y[t * y_stride + r] = bias[r] + sum_c w[r, c] x[t * x_stride + c], t < count.
 * bias [row_count] or NULL. x and y do not overlap. The bits of an output do not depend on count,
 * on its place in the batch, or on the number of threads. */
void linear(const compute *c, const matrix *w, const float *bias, const float *x, size_t x_stride,
            float *y, size_t y_stride, int64_t count);

/* The same, added to y (a residual): y += bias + W x. */
void linear_add(const compute *c, const matrix *w, const float *bias, const float *x,
                size_t x_stride, float *y, size_t y_stride, int64_t count);

/* out[0 .. col_count) = row r of the matrix as float32 (an embedding). */
void matrix_row(const compute *c, const matrix *w, int64_t row, float *out);

#endif
