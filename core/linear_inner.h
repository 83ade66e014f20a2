/* What the parts of linear.h share: linear.c (dispatch, exact), linear_packed.c and
 * linear_brains.c. */
#ifndef CORE_LINEAR_INNER_H
#define CORE_LINEAR_INNER_H

#include <string.h>

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
        memcpy(y, sums, (size_t)count * sizeof *y);
}

/* y[0 .. count) from sums and bias (or NULL), in the order y + (bias + sum); none overlap. Usual
 * counts are spelled out: of a count that the compiler knows it makes vectors, of others loops and
 * calls. */
static inline void product_store(float *y, const float *sums, const float *bias, int64_t count,
                                 bool adds) {
    if (count == PACKED_ROWS)
        product_store_some(y, sums, bias, PACKED_ROWS, adds);
    else if (count == KERNELS_ROWS)
        product_store_some(y, sums, bias, KERNELS_ROWS, adds);
    else
        product_store_some(y, sums, bias, count, adds);
}

/* Scratch of the packed half. */
void linear_packed_layout(compute *c, int thread_count, int64_t col_cap, arena *a);
/* Every task's matrix is packed and has the same col_count. */
void linear_packed(const product *p);

/* Scratch for float weights in BF16. */
void linear_brains_layout(compute *c, int64_t col_cap, arena *a);
/* Whether this matrix is multiplied by linear_brains. */
bool linear_takes_brains(const compute *c, const matrix *w);
/* Every task's matrix is one of those, and has the same col_count. Gates are left raw. */
void linear_brains(const product *p);

#endif
