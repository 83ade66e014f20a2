/* Cross-entropy of rows by a head: how surprised the model was, and the gradients of that.
 *
 *     rows [count, width] -> logits of LEARN_LOSS_ROWS rows at a time -> nll
 *                         -> weight (softmax - one) -> rows' gradients, the head's
 *
 * Normalisers are summed in double, as `perplexity` does: the same bits. */
#ifndef LEARN_LOSS_H
#define LEARN_LOSS_H

#include "learn/linear.h"

enum { LEARN_LOSS_ROWS = 128 };

typedef struct learn_loss_work {
    float *logits;     /* [LEARN_LOSS_ROWS, the largest head's rows] */
    double *nll;       /* [LEARN_LOSS_ROWS] */
    float *low, *dlow; /* [LEARN_LOSS_ROWS, rank] of the head's adapter */
} learn_loss_work;

/* rank: of the heads' adapters; 0: they have none. */
void learn_loss_layout(learn_loss_work *k, int64_t row_max, size_t rank, arena *a);

/* Adds -ln p(label) of each row, in their order, to *sum: not finite where a logit is not. With
 * drows [count, width], rows width apart: adds weight * gradients to drows and to the head's.
 * labels [count] in [0, head rows). NULL drows: forward alone. */
void learn_loss(const compute *c, learn_loss_work *k, const learn_linear *head, const float *rows,
                const int32_t *labels, int count, double weight, float *drows, double *sum);

#endif
