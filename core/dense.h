/* Products of float rows that are no weights: attention of stages whose positions all look at each
 * other. An output's bits do not depend on what stands beside it (kernels.h). */
#ifndef CORE_DENSE_H
#define CORE_DENSE_H

#include "core/pool.h"
#include "kernels/kernels.h"

/* y[t * y_stride + r] = row r of w . x[t], r < row_count, t < x_count. w: rows w_stride apart; x
 * [x_count, col_count], dense. */
void dense_multiply(const kernels *k, float *y, size_t y_stride, const float *w, size_t w_stride,
                    int row_count, const float *x, int x_count, int col_count);
/* x [rows, width] turned: out [width, rows], by all threads. */
void dense_turn(pool *p, const float *x, int rows, int width, float *out);

#endif
