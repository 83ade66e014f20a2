/* A stack of layers with gradients: the forward of stack/stack.h for whole runs, with what backward
 * needs, and backward.
 *
 *     kept for each layer     x | wide (B C X, q k v, or z r delta) | mixed (z, o, or y) | x'
 *                             | gate, up
 *
 * "Keep all" holds that for every layer. Otherwise every layer keeps x alone, and the rest, in one
 * place for all, is made again before a layer's backward: the same code, the same bits.
 *
 * What does not learn is refused by learn_stack_check: experts, gates of heads, norms behind parts,
 * layers without mask. */
#ifndef LEARN_STACK_H
#define LEARN_STACK_H

#include "learn/attention.h"
#include "learn/convolution.h"
#include "learn/linear_attention.h"
#include "learn/state_space.h"

/* How the tensors of a stack are called. */
typedef enum learn_names { LEARN_NAMES_BACKBONE, LEARN_NAMES_DEPTH } learn_names;

typedef enum learn_operator {
    LEARN_CONVOLUTION,
    LEARN_ATTENTION,
    LEARN_LINEAR_ATTENTION,
    LEARN_STATE_SPACE
} learn_operator;

typedef struct learn_layer {
    const stack_layer_config *config;
    learn_operator operator;
    bool lends_keys; /* to a layer below */
    learn_vector norm, ffn_norm;
    learn_linear in[3]; /* [in_count] one behind the other in wide: in; q, k, v; qkv */
    int in_count;
    learn_linear out, gate, up, down;
    learn_convolution convolution;
    learn_attention attention;
    learn_linear_attention linear;
    learn_state_space space;
    int wide_cols, mixed_cols, ff_cols;
} learn_layer;

typedef struct learn_kept {
    float *x;            /* [row_cap, width] what the layer gets */
    float *wide, *mixed; /* [row_cap, wide_cols], [row_cap, mixed_cols] */
    float *middle;       /* [row_cap, width] x' */
    float *gate, *up;    /* [row_cap, ff_cols] */
    float *low[7];       /* [row_cap, rank] of in, out, gate, up, down */
    float *lent, *dlent; /* [row_cap, 2, kv heads] keys and values for the layers below that share
                          * them, and [2, kv, row_cap, h] what these give; NULL: none shares */
} learn_kept;

typedef struct learn_stack {
    const stack_weights *w;
    learn_layer *layers; /* [layer_count] */
    learn_kept *kept;    /* [layer_count + 1]: the last has x alone, the stack's output */
    int row_cap, position_cap;
    bool keeps_all;
    int rank;
    float *rotary; /* [rotary_count, position_cap, widest head] */
    int rotary_width;

    /* Scratch, dead between layers. */
    float *normed, *mixed, *products, *turned;
    float *hidden, *dhidden;
    float *dnormed, *dmixed, *dwide, *ratios, *dlow;
    learn_attention_work attention;
    learn_linear_work linear;
    learn_space_work space;

    /* Or NULL: sees the gradient by what enters a layer, last layer first; layer_count: by what
     * leaves the last. */
    void (*tap)(void *context, int layer, const float *dx, int count);
    void *tap_context;
} learn_stack;

/* RNL_ERR_UNSUPPORTED with a sentence when a part of it does not learn. */
RNL_MUST_USE rnl_status learn_stack_check(const stack_weights *w, const char *file,
                                          rnl_error *error);
/* Binds and lays out, on the arena of b. position_cap: of the longest run. */
void learn_stack_bind(learn_stack *s, learn_binder *b, const stack_weights *w, learn_names names,
                      int row_cap, int position_cap, bool keeps_all, int thread_count);
void learn_stack_begin(learn_stack *s); /* when placed: fills the tables */

/* s->kept[0].x [rows, width] is the input; the output, before a final norm, is
 * s->kept[layer_count].x. */
void learn_stack_forward(learn_stack *s, const compute *c, const learn_rows *rows);
/* After forward of the same rows: dx [rows, width] from the gradient by the output to that by the
 * input, in place. */
void learn_stack_back(learn_stack *s, const compute *c, const learn_rows *rows, float *dx);

#endif
