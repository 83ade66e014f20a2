/* The gate of a feed-forward part, silu(a) b, over the pool. */
#ifndef LEARN_GATE_H
#define LEARN_GATE_H

#include "core/linear.h"

/* y[i] = silu(a[i]) b[i]. */
void learn_gate(const compute *c, float *y, const float *a, const float *b, size_t count);
/* Uses up a and b: they become the gradients by them, from d by y. */
void learn_gate_back(const compute *c, float *a, float *b, const float *d, size_t count);

#endif
