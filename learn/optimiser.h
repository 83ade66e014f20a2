/* AdamW, clipping and the schedule. learn.md 4.4. */
#ifndef LEARN_OPTIMISER_H
#define LEARN_OPTIMISER_H

#include "learn/tensors.h"

typedef struct learn_hyper {
    double rate;           /* the peak, > 0 */
    double beta1, beta2;   /* in [0, 1) */
    double eps;            /* > 0 */
    double decay;          /* of tensors of two dimensions and more, >= 0 */
    double clip;           /* largest norm of all gradients together; 0: none */
    int64_t warmup, steps; /* of the schedule */
    double floor;          /* share of the peak at the end, [0, 1] */
} learn_hyper;

/* Factor of the peak for a step counted from 0: rising through the warm-up, then a cosine down to
 * the floor. */
double learn_schedule(const learn_hyper *h, int64_t step);

/* The norm of all gradients, before clipping. */
double learn_gradient_norm(const learn_tensors *t);

/* One step of every tensor, from its gradient, which is used up (not cleared). taken: steps taken
 * before. norm: learn_gradient_norm, finite. */
void learn_step(const learn_tensors *t, const compute *c, const learn_hyper *h, int64_t taken,
                double factor, double norm);

#endif
