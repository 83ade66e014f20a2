/* Products with gradients, over the pool. Forward they are core/linear's, with the bits of the
 * engine's exact way (compute.exact), or in BF16 (compute.bf16); backward:
 *
 *     dx += W^T dy                       W as it is stored: panels of 256 rows x 256 columns, as
 *                                        floats, meet all positions of an item
 *     dW += dy x^T                       64 positions at a time
 *
 * Threads own outputs (positions and columns, or rows and columns), and every output is one running
 * sum in a fixed order (kernels.h: gemm_t), so no thread count changes a bit. */
#ifndef LEARN_LINEAR_H
#define LEARN_LINEAR_H

#include "learn/tensors.h"

/* Rows of floats that lie `stride` apart. */
typedef struct learn_x {
    const float *x;
    size_t stride;
} learn_x;

/* y [count, rows] = W x + bias + scale B (A x), or added to y. low [count, rank]: what the adapter
 * keeps for its backward, scale A x; unused without one. */
void learn_forward(const compute *c, const learn_linear *l, learn_x x, float *y, size_t y_stride,
                   float *low, int count);
void learn_forward_add(const compute *c, const learn_linear *l, learn_x x, float *y,
                       size_t y_stride, float *low, int count);

/* low again, of what is multiplied. Without an adapter nothing. */
void learn_forward_low(const compute *c, const learn_linear *l, learn_x x, float *low, int count);

/* Adds to the gradients of what learns, and to dx [count, cols] (NULL: not wanted). x and low are
 * those of the forward; dlow [count, rank] is scratch. */
void learn_back(const compute *c, const learn_linear *l, learn_x x, const float *low, learn_x dy,
                float *dx, size_t dx_stride, float *dlow, int count);

/* dx[t] += W^T dy[t]; W is not packed (asserted). */
void learn_product_t(const compute *c, const matrix *w, learn_x dy, float *dx, size_t dx_stride,
                     int count);
/* dw [rows, cols] += the sum over t of dy[t] x[t]^T. */
void learn_outer(const compute *c, float *dw, int64_t rows, int64_t cols, learn_x dy, learn_x x,
                 int count);
/* sums [cols] += the sum over t of x[t]. */
void learn_column_sums(const compute *c, float *sums, int64_t cols, learn_x x, int count);

#endif
