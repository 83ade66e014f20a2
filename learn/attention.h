/* Grouped-query attention with gradients (backbone.md 1.4), between its matrices:
 *
 *     wide [rows, (heads + 2 kv) h]: q, k, v, or q alone -> norm of each head of q and k, rotation
 *          -> softmax(q k / sqrt h) over what a position may see -> mixed [rows, heads h]
 *
 * No square of positions is kept: backward makes the probabilities of a few queries at a time
 * again. Forward, threads share out rows and KV heads; backward, runs and KV heads. */
#ifndef LEARN_ATTENTION_H
#define LEARN_ATTENTION_H

#include "learn/linear.h"
#include "learn/rows.h"
#include "stack/stack.h"

typedef struct learn_attention {
    const stack_layer_config *config;
    learn_vector q_norm, k_norm; /* [h] each; v NULL: neither norm nor rotation (tests) */
    float eps;
    const float *rotary; /* [position, h] cosines, then sines, of each position */
    /* Of a layer above, whose k and v these are; NULL: those of wide, which else has q alone. */
    const float *keys; /* [rows, 2, kv h] */
    float *dlent;      /* [2, kv, row_cap, h] gradients by keys as they are scored, and by values:
                         * where it shares it adds to them, where it lends they are added to it */
} learn_attention;

/* Scratch, for all layers of a stack. */
typedef struct learn_attention_work {
    float *q, *dq;        /* [row_cap, heads h] */
    float *keys, *values; /* [kv, row_cap, h], as the next two */
    float *dkeys, *dvalues;
    float *ratios; /* [row_cap, heads + kv] */
    float *own;    /* [thread_count, own_size] */
    size_t own_size;
    int row_cap, position_cap;
} learn_attention_work;

/* l: the most heads, KV heads and the widest head of all layers; group: the most heads that share a
 * KV head. position_cap: of the longest run. */
void learn_attention_layout(learn_attention_work *k, const stack_layer_config *l, int group,
                            int row_cap, int position_cap, int thread_count, arena *a);

/* The engine's bits with a float32 cache. */
void learn_attend(const compute *c, const learn_attention *v, learn_attention_work *k,
                  const learn_rows *rows, const float *wide, float *mixed);
/* dwide from dmixed; adds to the gradients of the norms. */
void learn_attend_back(const compute *c, const learn_attention *v, learn_attention_work *k,
                       const learn_rows *rows, const float *wide, const float *dmixed,
                       float *dwide);

#endif
