/* Linear attention with gradients (learn.md 6.4), between its matrices:
 *
 *     wide [rows, 3 width]: q, k, v -> features of q and k, in place -> scan -> y
 *          -> norm of each head -> mixed [rows, width]
 *
 * y is kept; mixed is made of it again. Threads share out runs and heads. */
#ifndef LEARN_LINEAR_ATTENTION_H
#define LEARN_LINEAR_ATTENTION_H

#include "learn/linear.h"
#include "learn/rows.h"
#include "stack/stack.h"

typedef struct learn_linear_attention {
    const stack_layer_config *config;
    learn_vector norm; /* [head_width] */
    float eps;
} learn_linear_attention;

/* Scratch, for all such layers of a stack. */
typedef struct learn_linear_work {
    float *dy;     /* [row_cap, width] gradient by y */
    float *ratios; /* [row_cap, head_count] */
    float *own;    /* [thread_count, own_size] */
    size_t own_size;
} learn_linear_work;

/* l: the most heads and the widest head of all layers, a sum where one is. */
void learn_linear_layout(learn_linear_work *k, const stack_layer_config *l, int width, int row_cap,
                         int position_cap, int thread_count, arena *a);

/* The engine's bits. */
void learn_linear_attend(const compute *c, const learn_linear_attention *v, learn_linear_work *k,
                         const learn_rows *rows, float *wide, float *y, float *mixed);
/* mixed again, of what is kept. */
void learn_linear_norm(const compute *c, const learn_linear_attention *v, const learn_rows *rows,
                       const float *y, float *mixed);
/* dwide from dmixed; wide and y as the forward left them. Adds to the norm's gradient. */
void learn_linear_attend_back(const compute *c, const learn_linear_attention *v,
                              learn_linear_work *k, const learn_rows *rows, const float *wide,
                              const float *y, const float *dmixed, float *dwide);

#endif
