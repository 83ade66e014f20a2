/* The FastConformer encoder: mel frames of one clip -> positions, 12.5 a second. audio.md 4.
 * It looks both ways over the whole clip, so it starts when the clip is complete; its work is cut
 * into steps: a block of the subsampling, or one layer. */
#ifndef TOKENIZER_ENCODER_H
#define TOKENIZER_ENCODER_H

#include "core/linear.h"
#include "core/weights.h"
#include "tokenizer/subsampling.h"

typedef struct encoder_norm {
    const float *gain, *bias; /* [width] */
} encoder_norm;

typedef struct encoder_ff {
    encoder_norm norm;
    matrix up, down; /* [ff, width], [width, ff] */
    const float *up_bias, *down_bias;
} encoder_ff;

typedef struct encoder_layer {
    encoder_ff ff1, ff2;
    encoder_norm attention_norm, conv_norm, out_norm;
    matrix q, k, v, out; /* [width, width] */
    const float *q_bias, *k_bias, *v_bias, *out_bias;
    matrix position;              /* [width, width], no bias */
    const float *bias_u, *bias_v; /* [head_count, head_width] */
    matrix point1, point2;        /* [2 * width, width], [width, width] */
    const float *point1_bias, *point2_bias;
    const float *depth, *depth_bias; /* [taps, width], [width] */
    const float *scale, *shift;      /* [width] batch norm at rest, folded */
} encoder_layer;

typedef struct encoder_weights {
    subsampling_weights subsampling;
    encoder_layer *layers;
    int layer_count, width, head_count, head_width;
    int taps; /* of the depthwise convolution; odd */
    int64_t ff_max;
} encoder_weights;

/* Canonical names a.conv1d.*, a.pre_encode.out, a.blk.N.* (audio.md 10.3). Sticky in l. */
void encoder_load(loader *l, int band_count, int layer_count, int head_count, encoder_weights *out);

int encoder_width(const encoder_weights *w);
/* Positions of a clip of frame_count mel frames. */
int encoder_position_count(int frame_count);

typedef struct encoder_state {
    const encoder_weights *w;
    subsampling_state subsampling;
    int position_cap;
    int position_count; /* of this clip */
    int done_count;     /* positions through the subsampling */
    int layer;          /* next layer */
    const float *mel;   /* borrowed from encoder_begin until the subsampling is done */
    int frame_count;
    float *x;           /* [position_cap, width] */
    float *normed;      /* [position_cap, width] scratch, as all below */
    float *q, *k, *v;   /* [position_cap, width] */
    float *mixed;       /* [position_cap, width] */
    float *wide;        /* [position_cap, max(ff, 2 * width)] */
    float *table;       /* [2 * position_cap - 1, width] sines of relative positions, kept */
    int distance_count; /* distances that stand in the table */
    float *positions;   /* [2 * position_count - 1, width] projected by the layer */
    float *scores;      /* [thread_count, scores_size] of a block of queries */
    size_t scores_size;
    void (*tap)(void *context, const char *stage, int layer, const float *x, int rows, int cols);
    void *tap_context; /* tap may be NULL: it sees "subsampling" and every "layer" */
} encoder_state;

void encoder_layout(encoder_state *s, const encoder_weights *w, int frame_cap, int thread_count,
                    arena *a);

/* mel [frame_count, bands], borrowed until encoder_step has said RNL_DONE. */
void encoder_begin(encoder_state *s, const float *mel, int frame_count);
/* RNL_OK: more remains; RNL_DONE: encoder_output is valid. */
rnl_status encoder_step(encoder_state *s, const compute *c);
/* A clip that somebody else encodes, who writes its rows where this points: they are
 * encoder_output then. */
float *encoder_give(encoder_state *s, int frame_count);
/* [position_count, width], valid until the next begin. */
const float *encoder_output(const encoder_state *s);

#endif
