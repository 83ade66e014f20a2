/* Dropout of what adapters see: while it is learnt, A gets each of its inputs with probability
 * 1 - share, scaled by 1 / (1 - share), and else 0.
 *
 * What is left out follows from the key of the micro batch, the matrix and the place of the input;
 * so neither threads nor layers that run again nor a run that was stopped change it. */
#ifndef LEARN_DROPOUT_H
#define LEARN_DROPOUT_H

#include <stdint.h>

#include "core/linear.h"

typedef struct learn_dropout {
    double share;  /* that is left out, [0, 1); 0: nothing */
    bool active;   /* set for runs that learn */
    uint64_t key;  /* of the micro batch */
    float *inputs; /* scratch, rows times columns of the largest input; NULL with share 0 */
} learn_dropout;

/* y [count, cols] = x without what is left out; which: of the matrix. */
void learn_drop(const learn_dropout *d, const compute *c, uint64_t which, const float *x,
                size_t x_stride, float *y, int64_t cols, int count);
/* y += x [count, cols] without it: the way back. */
void learn_drop_back(const learn_dropout *d, const compute *c, uint64_t which, const float *x,
                     int64_t cols, float *y, size_t y_stride, int count);

#endif
