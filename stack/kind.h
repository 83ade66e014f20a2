/* The kinds of parts that layers are made of: a kind is a row of functions and tensors, and the
 * stack knows nothing else of it. Who adds one writes a file like convolution.c and points a
 * layer's `kinds` at its row (docs/ARCHITECTURE.md, "To add a layer kind").
 *
 * What a kind keeps of a conversation is of two sorts:
 *
 *     fixed     bytes that change with every position, such as the last inputs of a convolution:
 *               0 in a fresh state; marks, snapshots and rewinds copy them unseen
 *     appended  written once for each position and not touched again, such as keys and values */
#ifndef STACK_KIND_H
#define STACK_KIND_H

#include "stack/stack.h"

typedef enum stack_form {
    STACK_MATRIX,    /* a `matrix` in the kind's weights */
    STACK_MATRIX_IF, /* the same; data NULL where the file has none */
    STACK_MATRICES,  /* a `const matrix *`, one for each expert of the layer */
    STACK_VECTOR,    /* a `const float *`; `convert` keeps float32 */
    STACK_VECTOR_IF  /* the same; NULL where the file has none */
} stack_form;

/* What the mixtures of `convert` treat in their own ways (backbone.md 6.6). */
typedef enum stack_use { STACK_PLAIN, STACK_VALUE, STACK_OUTPUT, STACK_DOWN } stack_use;

typedef struct stack_tensor {
    const char *name; /* behind "blk.N." */
    stack_form form;
    stack_use use;
    size_t at; /* offset in the kind's weights */
    /* A vector has rows * cols elements. 0 rows: as many as the file has. */
    int64_t (*rows)(const stack_weights *w, int layer);
    int64_t (*cols)(const stack_weights *w, int layer);
} stack_tensor;

/* A pass through the stack, as a part sees it. */
typedef struct stack_pass {
    stack_work *work;
    const compute *c;
    const stack_piece *pieces;
    int piece_count;
    int row_count; /* of all pieces; work->normed [row_count, width] is the part's input */
} stack_pass;

struct stack_kind {
    const char *name; /* as `info` tells it */
    stack_place place;
    size_t weights_size;
    const stack_tensor *tensors;
    int tensor_count;
    /* Whether the layer has the tensor itself, and not through a layer above. NULL: all of them. */
    bool (*has)(const stack_layer_config *l, const stack_tensor *t);
    /* RNL_ERR_FORMAT with a sentence when a field of the layer is out of range. NULL: none is. */
    rnl_status (*check)(const stack_config *c, int layer, const char *file, rnl_error *error);
    /* When all tensors are there. NULL: nothing to do. Sticky in l. */
    void (*prepare)(loader *l, stack_weights *w, int layer);
    /* Bytes of a state of that shape, see above. NULL: none. */
    size_t (*fixed_size)(const stack_state *s, int layer);
    size_t (*appended_size)(const stack_state *s, int layer);
    /* Takes the scratch of a pass of work->row_cap rows. NULL: none. The part lays it out again,
     * over stack_scratch(). */
    void (*layout)(const stack_work *k, int layer, arena *scratch);
    /* x [row_count, width] += what the part makes of work->normed. A row must get the bits that it
     * gets alone. The position of a state is still that before the pass. */
    void (*forward)(const stack_pass *p, int layer, float *x);
    /* Adds what a row at a depth costs in a pass of row_count rows. NULL: its matrices, and nothing
     * of what is kept. */
    void (*cost)(const stack_weights *w, int layer, kernels_cache cache, int64_t depth,
                 int row_count, stack_cost *sum);
};

/* ---- For kinds ---- */

static inline const stack_part *stack_part_at(const stack_weights *w, int layer,
                                              stack_place place) {
    return &w->layers[layer].parts[place];
}

/* The part's own bytes of a state. */
static inline unsigned char *stack_fixed(const stack_state *s, int layer, stack_place place) {
    return s->fixed_at[layer * STACK_PLACE_COUNT + place];
}
static inline unsigned char *stack_appended(const stack_state *s, int layer, stack_place place) {
    return s->appended[layer * STACK_PLACE_COUNT + place];
}

/* The scratch, to be laid out as when it was measured. */
static inline arena stack_scratch(const stack_work *k) {
    return (arena){.base = k->scratch, .size_cap = k->scratch_size};
}

/* Whether a layer's part has a tensor of its kind itself. */
static inline bool stack_has_tensor(const stack_layer_config *l, stack_place place,
                                    const stack_tensor *t) {
    return l->kinds[place]->has == NULL || l->kinds[place]->has(l, t);
}

int64_t stack_width(const stack_weights *w,
                    int layer); /* a dimension of tensors, as is stack_one */
int64_t stack_one(const stack_weights *w, int layer);

/* The next layer of a pass by the CPU, in place; behind the last one the final norm, and positions
 * move. RNL_OK: layers remain; RNL_DONE. */
rnl_status stack_pass_layer(const stack_pass *p, float *x);

/* x += in W^T + bias, through the post norm where the part has one: how every part ends. bias or
 * NULL; in [row_count, in_stride]. */
void stack_put(const stack_pass *p, const stack_part *part, const matrix *w, const float *bias,
               const float *in, size_t in_stride, float *x);

/* x += added, through the post norm where the part has one. added [row_count, width]; dead behind
 * it. */
void stack_add(const stack_pass *p, const stack_part *part, float *added, float *x);

/* Items that do not touch each other, by all threads where the rows are enough for them, which one
 * row (a decoding step) never is. */
void stack_share(const stack_pass *p, int64_t item_count, pool_fn fn, void *job);

/* The rows of the pass, likewise; fn sees [0, row_count). */
void stack_share_rows(const stack_pass *p, pool_fn fn, void *job);

/* Heads of all states of the pass, one after the other, which do not touch each other: fn sees
 * [0, piece_count * head_count). By all threads where the rows are enough for them. */
void stack_share_heads(const stack_pass *p, int head_count, pool_fn fn, void *job);

/* The cost of all matrices of the part, read once and multiplied by once. */
void stack_cost_matrices(const stack_weights *w, int layer, stack_place place, stack_cost *sum);

/* ---- The rows ---- */

extern const stack_kind stack_convolution;      /* convolution.c */
extern const stack_kind stack_attention;        /* attention.c */
extern const stack_kind stack_linear_attention; /* linear_attention.c */
extern const stack_kind stack_state_space;      /* state_space.c */
extern const stack_kind stack_dense;            /* dense.c */
extern const stack_kind stack_experts;          /* experts.c */

/* Which tensor of which layer "blk.N.NAME" is; NULL: none that its kinds have. */
const stack_tensor *stack_find_tensor(const stack_config *c, const char *name, int *layer);

typedef struct stack_convolution_weights {
    matrix in;             /* [3 * width, width]: B, C, X */
    matrix out;            /* [width, width] */
    const float *stored;   /* [width, taps] as in the file */
    const float *taps;     /* [taps, width], oldest tap first */
    const float *in_bias;  /* [3 * width] or NULL, as the next two */
    const float *bias;     /* [width] */
    const float *out_bias; /* [width] */
} stack_convolution_weights;

typedef struct stack_attention_weights {
    matrix q;            /* [head_count * head_width, width] */
    matrix k, v;         /* [kv_head_count * head_width, width] */
    matrix out;          /* [width, head_count * head_width] */
    matrix gate;         /* [head_count, width] or none: each head times the sigmoid of its row */
    const float *q_norm; /* [head_width] */
    const float *k_norm; /* [head_width] */
    const float *q_bias; /* [head_count * head_width] or NULL, as the next three */
    const float *k_bias, *v_bias; /* [kv_head_count * head_width] */
    const float *out_bias;        /* [width] */
} stack_attention_weights;

/* Where a state with an end keeps the keys and values of an attention layer, or the layer above it
 * whose they are: of each [kv_head_count, row_count] rows of the state's cache, one for a position.
 */
typedef struct stack_attention_kept {
    unsigned char *keys, *values;
    int row_count;   /* position_cap */
    size_t row_size; /* bytes */
} stack_attention_kept;
stack_attention_kept stack_attention_keeps(const stack_state *s, int layer);

typedef struct stack_linear_attention_weights {
    matrix q, k, v;    /* [width, width] */
    matrix out;        /* [width, width] */
    const float *norm; /* [head_width] of what each head gives */
} stack_linear_attention_weights;

/* inner = head_count * head_width, state = state_width. */
typedef struct stack_state_space_weights {
    matrix in;            /* [2 * inner + 2 * state + head_count, width]: z, x B C, delta */
    matrix out;           /* [width, inner] */
    const float *stored;  /* [inner + 2 * state, taps] as in the file */
    const float *taps;    /* [taps, inner + 2 * state], oldest tap first */
    const float *dt_bias; /* [head_count], as the next two */
    const float *a_log;   /* logarithms of the paces at which heads forget */
    const float *d;       /* what of x passes by */
    const float *norm;    /* [inner] */
} stack_state_space_weights;

typedef struct stack_dense_weights {
    matrix gate, up; /* [ff, width] */
    matrix down;     /* [width, ff] */
} stack_dense_weights;

typedef struct stack_expert_weights {
    const float *router;     /* [expert_count, width] */
    const float *bias;       /* [expert_count] added for the choice alone; or NULL */
    const matrix *gate, *up; /* [expert_count] of [ff, width] */
    const matrix *down;      /* [expert_count] of [width, ff] */
    matrix scores;           /* router as a matrix */
} stack_expert_weights;

/* The choice of experts for one row: used of count experts by their logits, written best first, of
 * equal scores the lowest number; gains are what their outputs are multiplied by, in that order.
 * bias or NULL. family.md 1.3. */
void stack_choose_experts(const stack_layer_config *c, const float *logits, const float *bias,
                          int32_t *experts, float *gains);

#endif
