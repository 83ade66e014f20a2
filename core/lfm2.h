/* The LFM2 layer stack: short convolutions and grouped-query attention, each followed by a gated
 * feed-forward part. Backbone, depthformer and the LFM detokenizer are all made of it, with other
 * widths, masks and rotary pairings; so it stands in core, and knows nothing of text or sound.
 *
 *     x [count, width] -> for each layer: x += operator(norm(x)); x += ffn(norm(x)) -> final norm
 *
 * Formulas: backbone.md 1.2 to 1.5; the depthformer's blocks: audio.md 6.3; windows: audio.md 8.2.
 * Any batch of positions gives the bits that one position at a time gives. */
#ifndef CORE_LFM2_H
#define CORE_LFM2_H

#include "core/arena.h"
#include "core/linear.h"
#include "core/weights.h"

enum { LFM2_LAYER_CAP = 1024 };

typedef struct lfm2_config {
    int width;
    int layer_count;
    int head_count;
    int head_width;                    /* even */
    int kv_head_count[LFM2_LAYER_CAP]; /* per layer; 0 marks a short convolution */
    int conv_taps;                     /* >= 1 */
    int window; /* keys a query may see, itself included; 0 = all before it */
    float eps;  /* of every RMS norm */
    double rope_base;
    bool rope_adjacent; /* rotary pairs (2i, 2i+1); else (i, i + head_width / 2) */
} lfm2_config;

typedef struct lfm2_layer {
    const float *operator_norm; /* [width] */
    const float *ffn_norm;      /* [width] */
    matrix gate, up;            /* [ff, width] */
    matrix down;                /* [width, ff] */
    int kv_head_count;          /* 0: the convolution below, else the attention */
    matrix q;                   /* [head_count * head_width, width] */
    matrix k, v;                /* [kv_head_count * head_width, width] */
    matrix attention_out;       /* [width, head_count * head_width] */
    const float *q_norm;        /* [head_width] */
    const float *k_norm;        /* [head_width] */
    matrix conv_in;             /* [3 * width, width]: B, C, X */
    matrix conv_out;            /* [width, width] */
    const float *conv;          /* [conv_taps, width], oldest tap first */
    const float *conv_in_bias;  /* [3 * width] or NULL, as the next two */
    const float *conv_bias;     /* [width] */
    const float *conv_out_bias; /* [width] */
} lfm2_layer;

typedef struct lfm2_weights {
    lfm2_config config;
    lfm2_layer *layers;      /* [layer_count] */
    const float *final_norm; /* [width] or NULL: none */
    int64_t ff_width_max;
    kernels_cache cache; /* how a state keeps keys and values by default */
} lfm2_weights;

/* RNL_ERR_FORMAT with a sentence when a field is out of its range (hostile.md). */
RNL_MUST_USE rnl_status lfm2_check(const lfm2_config *c, const char *file, rnl_error *error);

/* Memory for the layers, owned by l->w; the caller or lfm2_load fills them. Sticky in l. */
void lfm2_weights_create(loader *l, const lfm2_config *c, lfm2_weights *out);
/* Fills everything from the canonical names of backbone.md 5.3. Sticky in l. */
void lfm2_load(loader *l, const lfm2_config *c, lfm2_weights *out);

typedef struct lfm2_state {
    const lfm2_weights *w;
    kernels_cache cache;    /* how keys and values are kept */
    int64_t position;       /* positions since reset; the clock of this stack */
    int position_cap;       /* rows of each KV cache; a ring when the stack has a window */
    int batch_cap;          /* most positions of one forward call */
    unsigned char **keys;   /* [layer] -> [kv_head, position_cap] rows, normed, rotated */
    unsigned char **values; /* [layer] -> [kv_head, position_cap] rows */
    float **tails;          /* [layer] -> [conv_taps - 1, width] last B * X, oldest first */
    float *normed;          /* [batch_cap, width] scratch, as all below */
    float *projected;       /* [batch_cap, max(3 * width, all heads)] */
    float *mixed; /* [batch_cap, max(width, heads)] operator output before its projection */
    float *gated, *raised; /* [batch_cap, ff_width_max] */
    float *rotary;         /* [batch_cap, head_width]: cosines, then sines */
    /* Scratch of attention, see lfm2_attention.c. */
    float *scores;    /* [thread_count, score_cap] */
    size_t score_cap; /* heads per KV head times keys of a piece */
    float *pieces;    /* [slots, group_max, head_width]: two slots a thread, then from split_at on
                       * one for each piece of a step that is shared out in pieces */
    double *log_sums; /* [slots, group_max] */
    size_t split_at;
    int group_max; /* most query heads per KV head */
    void (*tap)(void *context, int layer, const float *x, int count); /* or NULL: sees each layer */
    void *tap_context;
} lfm2_state;

/* Places a stack. kept: what a snapshot must copy (conv tails, and the KV ring of a stack with a
 * window); cache: the KV cache of a stack without one, append-only, needing no snapshot; scratch:
 * dead between calls. position_cap is ignored with a window. type: of keys and values, w->cache or
 * another one that lfm2_caches() allows. */
void lfm2_layout(lfm2_state *s, const lfm2_weights *w, kernels_cache type, int position_cap,
                 int batch_cap, int thread_count, arena *kept, arena *cache, arena *scratch);
/* Whether heads of this width can be kept so. */
bool lfm2_caches(const lfm2_config *c, kernels_cache type);

/* Fresh: position 0, tails zero. */
void lfm2_reset(lfm2_state *s);

/* x [count, width], count <= batch_cap, position + count <= position_cap (asserted): in place. */
void lfm2_forward(lfm2_state *s, const compute *c, float *x, int count);

#endif
