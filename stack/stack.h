/* The stack of layers that backbone, depthformer and LFM detokenizer are made of: each layer is an
 * operator and a feed-forward part, each of a kind (kind.h):
 *
 *     x [rows, width] -> for each layer: x += operator(norm(x)); x += feed_forward(norm(x))
 *                     -> final norm
 *
 * What differs between layers is a field of the layer. What a conversation keeps is a stack_state;
 * what a pass needs while it lasts is a stack_work. A pass takes rows of several states through the
 * weights at once:
 *
 *     pieces  | state a, 3 rows | state b, 1 row | state c, 7 rows |   x [11, width]
 *
 * and every row gets the bits that it gets alone: what is computed for a position depends on the
 * earlier positions of its state only, never on the rows beside it (but for a layer without mask).
 *
 * Formulas: backbone.md 1.2 to 1.5; the depthformer's blocks: audio.md 6.3; windows: audio.md 8.2.
 * It knows nothing of text, codes or sound. */
#ifndef STACK_STACK_H
#define STACK_STACK_H

#include "core/arena.h"
#include "core/linear.h"
#include "core/weights.h"

enum { STACK_LAYER_CAP = 1024, STACK_ROTARY_CAP = 8 /* ways to turn positions in one stack */ };

typedef struct stack_kind stack_kind;     /* kind.h */
typedef struct stack_placed stack_placed; /* device.h */

typedef enum stack_place { STACK_OPERATOR, STACK_FEED_FORWARD, STACK_PLACE_COUNT } stack_place;

typedef enum stack_mask {
    STACK_CAUSAL,  /* a position sees itself and what is before it */
    STACK_UNMASKED /* it sees all positions of its state, those of the pass behind it, too: such a
                    * state is reset before each pass */
} stack_mask;

typedef struct stack_rotary {
    double base;
    int pair_count; /* pairs that turn, the first ones; head_width / 2: all */
    bool adjacent;  /* pairs (2i, 2i + 1); else (i, i + head_width / 2) */
} stack_rotary;

/* What a linear attention makes of queries and keys (learn.md 6.4). */
typedef enum stack_linear {
    STACK_LINEAR_SUM,  /* both through 1 + elu; outputs divided by the sum of the weights */
    STACK_LINEAR_DECAY /* as they are; each head forgets at a pace of its own */
} stack_linear;

/* Kinds take what concerns them and leave the rest alone. */
typedef struct stack_layer_config {
    const stack_kind *kinds[STACK_PLACE_COUNT];
    /* Attention, as all down to rotary; linear attention and state spaces have heads, too, the
     * former as many as fill the width. */
    int head_count;
    int kv_head_count; /* divides head_count */
    int head_width;    /* of attention even */
    /* Keys and values are those of the layer that lies so many above, which is of the same heads,
     * window and rotary and has its own; 0: its own. */
    int kv_above;
    int window; /* keys a query may see, itself included; 0 = all before it */
    stack_mask mask;
    stack_rotary rotary;
    int taps;            /* convolution and state space, >= 1 */
    stack_linear linear; /* linear attention */
    int state_width;     /* state space: numbers that B and C have for each position */
    int64_t ff_width;    /* dense; 0: as wide as the file has it. Experts: of each, >= 1 */
    int ff_above;        /* dense: as kv_above, for its three matrices */
    int expert_count;    /* experts, as all below */
    int expert_used;     /* of them for each position */
    bool expert_norm;    /* their gains are divided by their sum */
    float expert_scale;
} stack_layer_config;

typedef struct stack_config {
    int width;
    int layer_count;
    float eps; /* of every RMS norm */
    stack_layer_config layers[STACK_LAYER_CAP];
} stack_config;

typedef struct stack_part {
    const stack_kind *kind;
    const float *norm;      /* [width] before it */
    const float *post_norm; /* [width] of what it adds; NULL: none */
    void *weights;          /* as the kind has them */
} stack_part;

typedef struct stack_layer {
    stack_part parts[STACK_PLACE_COUNT];
    int rotary; /* index of its rotary table */
} stack_layer;

typedef struct stack_weights {
    stack_config config;
    stack_layer *layers;     /* [layer_count] */
    const float *final_norm; /* [width] or NULL: none */
    kernels_cache cache;     /* how a state keeps keys and values by default */
    bool has_post_norms;
    int rotary_count;
    int rotary_layers[STACK_ROTARY_CAP]; /* a layer that has it */
} stack_weights;

/* RNL_ERR_FORMAT with a sentence when a field is out of its range (hostile.md). */
RNL_MUST_USE rnl_status stack_check(const stack_config *c, const char *file, rnl_error *error);
/* All layers alike; for a reader that knows the fields of a stack before its pattern. */
void stack_config_fill(stack_config *c, const stack_layer_config *layer);
/* Of the widest feed-forward part of that kind that is known; 0: there is none. */
int64_t stack_ff_width_max(const stack_config *c, const stack_kind *kind);
/* Layers that have a part of that kind. */
int stack_layers_of(const stack_config *c, const stack_kind *kind);

/* Memory for the layers, owned by l->w; the caller or stack_load fills them. Sticky in l. */
void stack_weights_create(loader *l, const stack_config *c, stack_weights *out);
/* Fills everything from the canonical names of backbone.md 5.3. Sticky in l. */
void stack_load(loader *l, const stack_config *c, stack_weights *out);

/* What a conversation keeps. */
typedef struct stack_state {
    const stack_weights *w;
    kernels_cache cache;  /* how keys and values are kept */
    int64_t position;     /* positions since reset; the clock of this stack */
    int position_cap;     /* most of them; 0: no end, and what is kept by position in rings */
    int step_cap;         /* most rows of this state in a pass */
    unsigned char *fixed; /* [fixed_size] bytes that change from pass to pass: whoever wants to
                              * return to a position copies them, and sets position */
    size_t fixed_size;
    unsigned char **fixed_at; /* [layer_count, STACK_PLACE_COUNT] into fixed */
    unsigned char **appended; /* likewise, written once for each position: good for every position
                               * up to this one */
    unsigned char *appended_base; /* [appended_size] all of these, one behind the other */
    size_t appended_size;
    int64_t unseen;   /* appended bytes from this position on were written here since a device saw
                     * them */
    stack_placed *on; /* the device that can take passes with it; NULL: the CPU alone */
    void *mirror;     /* what that has for this state */
} stack_state;

/* Places a state. kept: what a snapshot must copy; appended: append-only, needing no snapshot.
 * cache: w->cache, or another one that all heads can be kept in (stack_head_not_kept). */
void stack_state_layout(stack_state *s, const stack_weights *w, kernels_cache cache,
                        int position_cap, int step_cap, arena *kept, arena *appended);
/* The width of a head whose keys and values cannot be kept so; 0: all can. */
int stack_head_not_kept(const stack_config *c, kernels_cache cache);
/* Fresh: position 0, all fixed bytes 0. */
void stack_reset(stack_state *s);

/* Rows of one state in a pass. */
typedef struct stack_row {
    const stack_state *state;
    int64_t position;
    int64_t end; /* positions of its state after the pass */
} stack_row;

/* What a pass needs: dead between passes, and good for any states of the same weights. */
typedef struct stack_work {
    const stack_weights *w;
    stack_placed *on; /* the device that computes; NULL: the CPU. Whoever owns k sets it between
                       * passes */
    int row_cap;      /* most rows of a pass, all states together */
    int position_cap; /* the largest of its states */
    int thread_count;
    stack_row *rows;        /* [row_cap] */
    float *normed;          /* [row_cap, width] */
    float *added;           /* [row_cap, width] before a post norm; NULL without any */
    float *rotary;          /* [rotary_count, row_cap, rotary_width] cosines, then sines */
    int rotary_width;       /* the widest head */
    unsigned char *scratch; /* [scratch_size] of the part at work */
    size_t scratch_size;
    int row_count; /* of the pass under way, */
    int layer;     /* and the next layer it goes through */
    void (*tap)(void *context, int layer, const float *x, int count); /* or NULL: sees each layer */
    /* Or NULL: sees what each layer of experts chose, [count, used] best first, and their gains. */
    void (*tap_experts)(void *context, int layer, const int32_t *experts, const float *gains,
                        int count, int used);
    void *tap_context; /* of both */
} stack_work;

void stack_work_layout(stack_work *k, const stack_weights *w, int row_cap, int position_cap,
                       int thread_count, arena *scratch);

typedef struct stack_piece {
    stack_state *state; /* of k->w; in one piece of a pass only */
    int count;          /* rows, oldest first, >= 1 */
} stack_piece;

/* x [sum of the counts, width] in place, one piece after the other. Each count <= step_cap of its
 * state, position + count <= its position_cap, the sum <= row_cap (asserted). */
void stack_forward(stack_work *k, const compute *c, const stack_piece *pieces, int piece_count,
                   float *x);
/* The same layer by layer: begin, then step with the same arguments until it says RNL_DONE
 * (RNL_OK: layers remain). Until then nothing else may use k or the states. */
void stack_forward_begin(stack_work *k, const stack_piece *pieces, int piece_count);
rnl_status stack_forward_step(stack_work *k, const compute *c, const stack_piece *pieces,
                              int piece_count, float *x);

/* The first matrix of the last feed-forward part: most of a model is of its type. */
const matrix *stack_first_matrix(const stack_weights *w);

/* What a row costs in a pass of so many: for `bench`. */
typedef struct stack_cost {
    double byte_count; /* of weights that the pass reads; of experts as many as rows choose that
                        * choose by chance */
    double op_count;   /* of a row in matrix products */
    double kept_size;  /* bytes of its state that a row at a depth reads */
} stack_cost;
stack_cost stack_cost_of(const stack_weights *w, kernels_cache cache, int64_t depth, int row_count);

#endif
