/* Encoder positions -> rows of the backbone's embedding space. audio.md 5. */
#ifndef TOKENIZER_ADAPTER_H
#define TOKENIZER_ADAPTER_H

#include "core/linear.h"
#include "core/weights.h"

enum { ADAPTER_BLOCK = 32 /* positions computed at a time */ };

typedef struct adapter_weights {
    const float *gain, *bias; /* [encoder width] */
    matrix up, out;           /* [hidden, encoder width], [backbone width, hidden] */
    const float *up_bias, *out_bias;
} adapter_weights;

/* Names mm.a.mlp.0, .1, .3. Sticky in l. */
void adapter_load(loader *l, int encoder_width, int backbone_width, adapter_weights *out);

typedef struct adapter_state {
    const adapter_weights *w;
    float *normed; /* [ADAPTER_BLOCK, encoder width] scratch */
    float *hidden; /* [ADAPTER_BLOCK, hidden] scratch */
} adapter_state;

void adapter_layout(adapter_state *s, const adapter_weights *w, arena *a);

/* x [count, encoder width] -> out [count, backbone width]. */
void adapter_forward(adapter_state *s, const compute *c, const float *x, int count, float *out);

#endif
