/* What the two halves of linear.h share: linear.c (dispatch, exact) and linear_packed.c. */
#ifndef CORE_LINEAR_INNER_H
#define CORE_LINEAR_INNER_H

#include "core/linear.h"

/* One call of linear(), linear_add(), linear_all() or linear_gated(). */
typedef struct product {
    const compute *c;
    linear_task tasks[LINEAR_TASK_CAP];
    int task_count;
    const float *x;
    size_t x_stride;
    int64_t count;
    bool adds;  /* y += instead of y = */
    bool gates; /* two tasks of one shape; the first's y = silu(first) * second */
} product;

static inline void product_store_some(float *restrict y, const float *restrict sums,
                                      const float *restrict bias, int64_t count, bool adds) {
    if (bias != NULL && adds)
        for (int64_t i = 0; i < count; i++) y[i] += bias[i] + sums[i];
    else if (bias != NULL)
        for (int64_t i = 0; i < count; i++) y[i] = bias[i] + sums[i];
    else if (adds)
        for (int64_t i = 0; i < count; i++) y[i] += sums[i];
    else
        for (int64_t i = 0; i < count; i++) y[i] = sums[i];
}
/* y[0 .. count) from sums and bias (or NULL), in the order y + (bias + sum); none overlap. In units
 * of a number that the compiler knows, of which it makes vectors. */
static inline void product_store(float *y, const float *sums, const float *bias, int64_t count,
                                 bool adds) {
    enum { UNIT = 8 };
    int64_t i = 0;
    for (; i + UNIT <= count; i += UNIT)
        product_store_some(y + i, sums + i, bias != NULL ? bias + i : NULL, UNIT, adds);
    if (i < count)
        product_store_some(y + i, sums + i, bias != NULL ? bias + i : NULL, count - i, adds);
}

/* Scratch of the packed half. */
void linear_packed_layout(compute *c, int thread_count, int64_t col_cap, arena *a);
/* Every task's matrix is packed and has the same col_count. */
void linear_packed(const product *p);

#endif
