/* Mimi's transformer, the same on both sides (audio.md 9.3): layer norms, causal attention over a
 * window, layer scales, exact GELU. Streaming: two positions a frame. */
#ifndef DETOKENIZER_MIMI_TRANSFORMER_H
#define DETOKENIZER_MIMI_TRANSFORMER_H

#include "core/arena.h"
#include "core/linear.h"
#include "core/weights.h"

enum { MIMI_LAYER_CAP = 64, MIMI_STEPS = 2 /* positions of one frame */ };

typedef struct mimi_layer {
    const float *norm1, *bias1, *norm2, *bias2; /* [width] */
    const float *scale1, *scale2;               /* [width] */
    matrix qkv;                                 /* [3 * width, width] */
    matrix out;                                 /* [width, width] */
    matrix up, down;                            /* [ff, width], [width, ff] */
} mimi_layer;

typedef struct mimi_transformer {
    mimi_layer layers[MIMI_LAYER_CAP];
    int layer_count, width, head_width, head_count, window;
    int64_t ff_max;
} mimi_transformer;

/* half: "decoder_transformer" or "encoder_transformer". Sticky in l. */
void mimi_transformer_load(loader *l, const char *half, int width, int head_width, int window,
                           mimi_transformer *out);

typedef struct mimi_transformer_state {
    const mimi_transformer *w;
    int64_t position;            /* positions since reset */
    int ring;                    /* rows of each cache: the window before a frame, and the frame */
    float *keys[MIMI_LAYER_CAP]; /* [ring, width] rotated */
    float *values[MIMI_LAYER_CAP]; /* [ring, width] */
    float *normed, *qkv, *mixed;   /* scratch */
    float *wide;                   /* [MIMI_STEPS, ff_max] */
    float *scores;                 /* [thread_count, ring] */
} mimi_transformer_state;

void mimi_transformer_layout(mimi_transformer_state *s, const mimi_transformer *w, int thread_count,
                             arena *kept, arena *scratch);
void mimi_transformer_reset(mimi_transformer_state *s);
/* x [MIMI_STEPS, width] in place. */
void mimi_transformer_run(mimi_transformer_state *s, const compute *c, float *x);

#endif
