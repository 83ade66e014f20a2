/* The vision tower: a view of a picture -> one row for each patch of 16 x 16 pixels. family.md 2.5,
 * 2.6.
 *
 *     RGB bytes [16 rows, 16 cols, 3] -> patches -> x = W patch + b + positions
 *        -> for each layer: x += ATT(LN(x));  x += FF(LN(x))
 *        -> x = LN(x) [rows * cols, width]
 *
 * Every patch looks at every other of its view, so work begins when the view is there; a step is
 * the embedding, or one layer. It is no stack of stack/: its norms have means and biases, its heads
 * neither norms nor rotary positions, its feed-forward part no gate, and no row outlives a view. */
#ifndef VISION_TOWER_H
#define VISION_TOWER_H

#include "core/linear.h"
#include "core/weights.h"
#include "vision/views.h"

typedef struct tower_norm {
    const float *gain, *bias; /* [width] */
} tower_norm;

typedef struct tower_layer {
    tower_norm attention_norm, ff_norm;
    matrix q, k, v, out; /* [width, width] */
    const float *q_bias, *k_bias, *v_bias, *out_bias;
    matrix up, down; /* [ff, width], [width, ff] */
    const float *up_bias, *down_bias;
} tower_layer;

typedef struct tower_weights {
    matrix patch; /* [width, 3 * 16 * 16]: of each channel the rows of a patch */
    const float *patch_bias;
    const float *positions; /* [position_side, position_side, width] */
    int position_side;
    tower_layer *layers;
    tower_norm out_norm;
    int layer_count, width, head_count, head_width;
    int64_t ff_max;
    float eps;
    float mean[3], deviation[3]; /* of the pixels */
} tower_weights;

/* Canonical names v.patch_embd, v.position_embd, v.blk.N.*, v.post_ln (family.md 2.9); the patch
 * kernel as a matrix. Sticky in l. */
void tower_load(loader *l, const views_config *c, int layer_count, int head_count, float eps,
                tower_weights *out);

typedef struct tower_state {
    const tower_weights *w;
    int patch_cap;
    int rows, cols;     /* patches of this view */
    int layer;          /* next layer; -1: the embedding */
    const uint8_t *rgb; /* borrowed from tower_begin until the embedding is done */
    float *levels;      /* [3, 256] what a byte of a channel stands for */
    float *x;           /* [patch_cap, width] */
    float *q, *k, *v;   /* [patch_cap, width] scratch, as all below; v holds what was mixed later */
    float *turned;      /* [width, patch_cap] values, a feature is a row */
    float *normed;      /* [TOWER_BLOCK, max(width, a patch)] */
    float *wide;        /* [TOWER_BLOCK, ff_max] */
    float *scores;      /* [thread_count, scores_size] */
    size_t scores_size;
    /* Of attention with rounded inputs. */
    unsigned char *rounded; /* [thread_count, rounded_size] */
    size_t rounded_size;
    unsigned char *key_slabs, *value_slabs;
    void (*tap)(void *context, const char *stage, int layer, const float *x, int rows, int cols);
    void *tap_context; /* tap may be NULL: it sees "patches" in blocks, "embedded", every "layer",
                        * "post_norm" */
} tower_state;

enum { TOWER_BLOCK = 256 /* patches that go through the wide half of a layer at once */ };

void tower_layout(tower_state *s, const tower_weights *w, int patch_cap, int thread_count,
                  arena *a);

/* rgb [16 * rows, 16 * cols, 3], borrowed until the first step is done. rows and cols even,
 * rows * cols <= patch_cap (asserted). */
void tower_begin(tower_state *s, const uint8_t *rgb, int rows, int cols);
/* RNL_OK: more remains; RNL_DONE: tower_output is valid. */
rnl_status tower_step(tower_state *s, const compute *c);
/* [rows * cols, width], valid until the next begin. */
const float *tower_output(const tower_state *s);

/* What is added to patch (row, col) of a view of so many for its place: the table resized. out
 * [width]; row_scratch [width]. */
void tower_position(const tower_weights *w, const kernels *k, int rows, int cols, int row, int col,
                    float *row_scratch, float *out);

#endif
