/* The tensors that learn: values in float32, their gradients and, for AdamW, two moments each.
 *
 * Whoever lays out a network *binds* its matrices and vectors, once while measuring and once while
 * placing (core/arena.h). Bound, a matrix is multiplied as it is stored and stands still, or it is
 * the value of a tensor in this table, or it is accompanied by the two halves of an adapter, which
 * are tensors of this table:
 *
 *     full      y = V x + bias                 V, bias learn
 *     adapter   y = W x + bias + s B (A x)     A, B learn; W stays as it is stored
 *
 * Names are canonical (engine/source.h); halves of adapters have ".lora_a" and ".lora_b" behind the
 * name of their matrix, as in GGUF files. */
#ifndef LEARN_TENSORS_H
#define LEARN_TENSORS_H

#include "core/arena.h"
#include "core/linear.h"
#include "core/weights.h"
#include "learn/dropout.h"

enum { LEARN_NAME_CAP = 128 };

/* Matrices that adapters go to, by the last part of their names in Hugging Face files. */
typedef enum learn_module {
    LEARN_Q_PROJ,
    LEARN_K_PROJ,
    LEARN_V_PROJ,
    LEARN_OUT_PROJ, /* of attention and of convolutions */
    LEARN_IN_PROJ,
    LEARN_W1,
    LEARN_W2,
    LEARN_W3,
    LEARN_QKV_PROJ,     /* depthformer, as is the next */
    LEARN_DEPTH_LINEAR, /* from the backbone to the depthformer */
    LEARN_ADAPTER_1,    /* "model.1": the audio adapter's first matrix */
    LEARN_ADAPTER_3,
    LEARN_LM_HEAD, /* from the backbone to tokens of text */
    LEARN_MODULE_COUNT
} learn_module;
extern const char *const learn_module_names[LEARN_MODULE_COUNT];

typedef enum learn_area { LEARN_BACKBONE, LEARN_AUDIO, LEARN_AREA_COUNT } learn_area;

/* What of a model learns. */
typedef struct learn_choice {
    bool full;                          /* everything but the encoder; else adapters alone */
    int rank;                           /* of adapters, >= 1 */
    float scale;                        /* what B A is multiplied by */
    double dropout;                     /* share of A's inputs that is left out, [0, 1) */
    unsigned modules[LEARN_AREA_COUNT]; /* bits 1 << learn_module that get an adapter */
    bool moments;                       /* room for AdamW */
} learn_choice;

typedef enum learn_start { LEARN_START_STORED, LEARN_START_UNIFORM, LEARN_START_ZERO } learn_start;

typedef struct learn_tensor {
    char name[LEARN_NAME_CAP];
    int rank; /* dimensions, outermost first; two or more: AdamW's decay takes it */
    int64_t shape[TENSOR_RANK_CAP];
    size_t count;
    float *value, *grad;  /* [count] */
    float *mean, *square; /* [count] moments, or NULL */
    learn_start start;
    matrix from;              /* LEARN_START_STORED: where the value begins, */
    const float *from_vector; /* or here, when from has no rows */
} learn_tensor;

typedef struct learn_tensors {
    learn_choice choice;
    learn_tensor *all; /* [count] in the order of binding, which is that of the forward pass */
    int count, cap;
    bool failed; /* memory for the table was exhausted */
} learn_tensors;

/* A matrix of the network. */
typedef struct learn_linear {
    matrix w;           /* as it is stored, or the value of a tensor */
    float *dw;          /* [rows, cols], or NULL: it stands still */
    const float *bias;  /* [rows] or NULL */
    float *dbias;       /* [rows] or NULL */
    matrix down, up;    /* adapter: [rank, cols] and [rows, rank]; without rows: none */
    float *ddown, *dup; /* their gradients */
    float scale;
    const learn_dropout *dropout; /* of an adapter's inputs */
    uint64_t number;              /* for dropout */
} learn_linear;

typedef struct learn_vector {
    const float *v;
    float *dv; /* or NULL: it stands still */
} learn_vector;

/* One run of binding: measuring when a->base is NULL. Sticky errors in t->failed, a->overflowed. */
typedef struct learn_binder {
    learn_tensors *t;
    const weights *w;             /* where shapes of tensors are found by name */
    const learn_dropout *dropout; /* for adapters */
    arena *a;
} learn_binder;

void learn_bind_begin(learn_binder *b); /* forgets what was bound before */
/* name: without ".weight" and ".bias" at its end. bias or NULL. */
void learn_bind_linear(learn_binder *b, learn_linear *l, const matrix *w, const float *bias,
                       learn_area area, learn_module module, const char *name);
/* An adapter for what is bound already, where it is chosen. */
void learn_bind_adapter(learn_binder *b, learn_linear *l, learn_area area, learn_module module,
                        const char *name);
/* A table that is read by rows, and multiplied by when it is a head: learns as a whole or not at
 * all. name with its ending. */
void learn_bind_table(learn_binder *b, learn_linear *l, const matrix *w, const char *name);
/* v NULL: nothing there, nothing bound. */
void learn_bind_vector(learn_binder *b, learn_vector *l, const float *v, int64_t count,
                       const char *name);

/* When everything is placed: values as they are stored, the adapters' A random, B zero; gradients
 * and moments zero. */
void learn_tensors_begin(learn_tensors *t, const compute *c, uint64_t seed);
void learn_tensors_clear(learn_tensors *t); /* gradients to zero */
void learn_tensors_free(learn_tensors *t);
/* NULL: none of that name learns. */
learn_tensor *learn_tensors_find(const learn_tensors *t, const char *name);

#endif
