/* What linear attention and state spaces (learn.md 6.4, 6.5) do to the rows of one head, one after
 * the other: the forward of a conversation and that of learning are these lines.
 *
 *     S <- e^l S + k v^T;   y = S^T q                        a state, here [n, width], and a row
 *
 * The plain recurrence, in the order of positions, for prefill and decoding alike: so any cut of
 * the rows gives the same bits, and a step keeps its state and nothing else. */
#ifndef STACK_SCAN_H
#define STACK_SCAN_H

#include "kernels/kernels.h"
#include "stack/stack.h"

/* ---- Linear attention ---- */

/* Floats of a head's state: [h, h], and for sums [h] of keys behind it. */
static inline size_t scan_linear_size(stack_linear kind, int head_width) {
    const size_t h = (size_t)head_width;
    return h * h + (kind == STACK_LINEAR_SUM ? h : 0);
}

/* What a head keeps of its state from one position to the next; log: l itself. */
float scan_linear_decay(stack_linear kind, int head, int head_count);
double scan_linear_log_decay(stack_linear kind, int head, int head_count);

/* Rows of queries and keys as the scan takes them, in place. */
void scan_linear_features(stack_linear kind, int head_width, float *q, float *k, int64_t count);

/* A head over count rows, stride apart: q, k (their features), v and y point to its columns. y is
 * what the head gives before its norm. */
typedef struct scan_linear_head {
    const kernels *k;
    stack_linear kind;
    int head_width;
    float decay;
    size_t stride; /* floats */
} scan_linear_head;
void scan_linear(const scan_linear_head *head, float *state, const float *q, const float *k,
                 const float *v, float *y, size_t y_stride, int count);

/* ---- State space ---- */

/* softplus(x), and the logarithm of what is kept, -softplus(delta + bias) e^a_log. */
float scan_softplus(float x);

typedef struct scan_space_head {
    const kernels *k;
    int state_width, head_width;
    float dt_bias, a_log, d;
    size_t delta_stride, mixed_stride, y_stride; /* floats from row to row */
} scan_space_head;
/* A head over count rows: delta [count] of it, x and y its columns, b and c those of all heads.
 * x becomes x times its step. */
void scan_space(const scan_space_head *head, float *state, const float *delta, float *x,
                const float *b, const float *c, float *y, int count);

#endif
