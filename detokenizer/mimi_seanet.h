/* SEANet: the convolutional halves of Mimi (audio.md 9.2). A list of layers, each a convolution
 * with or without ELU before it, or a residual block; run over the blocks of one frame. */
#ifndef DETOKENIZER_MIMI_SEANET_H
#define DETOKENIZER_MIMI_SEANET_H

#include "detokenizer/mimi_conv.h"

enum { SEANET_LAYER_CAP = 32 };

typedef struct seanet_layer {
    bool residual; /* x + second(elu(first(elu(x)))), else first(elu? (x)) */
    bool elu;      /* plain layers: before the convolution */
    mimi_conv first, second;
} seanet_layer;

typedef struct seanet_weights {
    seanet_layer layers[SEANET_LAYER_CAP];
    int layer_count;
    int in, out; /* channels */
    int ratio;   /* product of the strides */
} seanet_weights;

/* half: "decoder" (latent to samples) or "encoder" (samples to latent). Sticky in l. */
void seanet_load(loader *l, const char *half, seanet_weights *out);

typedef struct seanet_state {
    const seanet_weights *w;
    int count;                           /* rows of a block at the input */
    float *first_tail[SEANET_LAYER_CAP]; /* kept */
    float *second_tail[SEANET_LAYER_CAP];
    float *x, *y; /* ping-pong of signals, scratch */
    float *scratch;
} seanet_state;

/* Blocks of count rows. */
void seanet_layout(seanet_state *s, const seanet_weights *w, int count, arena *kept,
                   arena *scratch);
void seanet_reset(seanet_state *s);
/* in [count, w->in] -> [out_count, w->out], valid until the next run. */
const float *seanet_run(seanet_state *s, const compute *c, const float *in);

#endif
