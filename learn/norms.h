/* Norms with gradients. Rows are shared out over the threads; gradients of gains, sums over rows,
 * by columns. */
#ifndef LEARN_NORMS_H
#define LEARN_NORMS_H

#include "learn/linear.h"

/* y [count, width], stride apart, = x r gain, r = 1 / sqrt(mean x^2 + eps): the engine's bits. */
void learn_rms(const compute *c, learn_x x, const learn_vector *gain, float eps, int width,
               float *y, size_t y_stride, int count);
/* dx += what dy gives, and the gain's gradient. ratios [count] is scratch. */
void learn_rms_back(const compute *c, learn_x x, const learn_vector *gain, float eps, int width,
                    learn_x dy, float *dx, size_t dx_stride, float *ratios, int count);

/* One row, for heads: dx = what dy gives (dy may be dx), returns r. */
float learn_rms_row_back(const float *x, const float *gain, float eps, int width, const float *dy,
                         float *dx);

/* Gradients of a layer norm's gain and bias alone: nothing before it learns. ratios [2, count]. */
void learn_layer_norm_back(const compute *c, learn_x x, const learn_vector *gain,
                           const learn_vector *bias, float eps, int width, learn_x dy,
                           float *ratios, int count);

#endif
