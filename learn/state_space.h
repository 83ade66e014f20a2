/* The state space with gradients (learn.md 6.5), between its matrices:
 *
 *     wide [rows, inner | inner + 2 state | heads]: z, r, delta;   x B C = silu(taps over r)
 *     -> scan, + D x -> y [rows, inner] -> y silu(z) -> norm -> mixed [rows, inner]
 *
 * y is kept; mixed, and x B C for the way back, are made again. Threads share out columns, runs and
 * heads; backward a run is one thread's, because B and C are those of all its heads. */
#ifndef LEARN_STATE_SPACE_H
#define LEARN_STATE_SPACE_H

#include "learn/linear.h"
#include "learn/rows.h"
#include "stack/stack.h"

typedef struct learn_state_space {
    const stack_layer_config *config;
    learn_vector taps;              /* [inner + 2 state, taps] as stored */
    learn_vector dt_bias, a_log, d; /* [head_count] */
    learn_vector norm;              /* [inner] */
    float eps;
} learn_state_space;

/* Columns of its rows. */
int learn_space_inner(const stack_layer_config *l);
int learn_space_mixed(const stack_layer_config *l); /* x, B, C */
int learn_space_wide(const stack_layer_config *l);

/* Scratch, for all such layers of a stack. */
typedef struct learn_space_work {
    float *raw, *mixed;         /* [row_cap, inner + 2 state]: before and behind silu */
    float *turned;              /* [taps, inner + 2 state] */
    float *gated, *dgated, *dy; /* [row_cap, inner] */
    float *by_head;             /* [row_cap, 2, head_count] gradients of a_log and d, row by row */
    float *ratios;              /* [row_cap] */
    float *own;                 /* [thread_count, own_size] */
    size_t own_size;
} learn_space_work;

/* The largest of all layers: columns, taps, heads, states and heads' widths. */
typedef struct learn_space_most {
    int inner, mixed, taps, head_count, head_width, state_width;
} learn_space_most;
void learn_space_widen(learn_space_most *m, const stack_layer_config *l);
void learn_space_layout(learn_space_work *k, const learn_space_most *m, int row_cap,
                        int position_cap, int thread_count, arena *a);

/* The engine's bits. */
void learn_space_run(const compute *c, const learn_state_space *v, learn_space_work *k,
                     const learn_rows *rows, const float *wide, float *y, float *mixed);
/* mixed again, of what is kept. */
void learn_space_gate(const compute *c, const learn_state_space *v, learn_space_work *k,
                      const learn_rows *rows, const float *wide, const float *y, float *mixed);
/* dwide from dmixed; adds to the gradients of the vectors. Directly behind learn_space_run or
 * learn_space_gate of the same rows. */
void learn_space_back(const compute *c, const learn_state_space *v, learn_space_work *k,
                      const learn_rows *rows, const float *wide, const float *y,
                      const float *dmixed, float *dwide);

#endif
