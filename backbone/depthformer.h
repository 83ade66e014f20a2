/* The depthformer: one hidden state of the backbone -> the codes of one audio frame, one codebook
 * after the other. audio.md 6.2 to 6.6. */
#ifndef BACKBONE_DEPTHFORMER_H
#define BACKBONE_DEPTHFORMER_H

#include "backbone/sample.h"
#include "core/lfm2.h"

typedef struct depth_weights {
    lfm2_weights stack; /* attention only, adjacent rotary pairs, no final norm */
    matrix split;       /* depth_linear [codebook_count * dim, backbone width] */
    const float *split_bias;
    int codebook_count;
    int code_count;     /* 2049 */
    matrix *embedding;  /* [codebook_count] of [code_count, dim]: input of the next step */
    matrix *head;       /* [codebook_count]: the embedding itself when tied */
    const float **norm; /* [codebook_count] of [dim] */
} depth_weights;

/* Head count, head width and feed-forward width follow from the tensors. tied: the heads are the
 * embeddings, whatever copies the file holds. Sticky in l. */
void depth_load(loader *l, int layer_count, int codebook_count, int backbone_width, bool tied,
                depth_weights *out);

typedef struct depth_state {
    const depth_weights *w;
    lfm2_state stack; /* its KV cache lives for one frame */
    float *slices;    /* [codebook_count, dim] scratch */
    float *x;         /* [dim] scratch */
    float *previous;  /* [dim] scratch: embedding of the code just drawn */
    float *logits;    /* [codebook_count, code_count] of the last frame, for tests and dump */
    float *outputs;   /* [codebook_count, dim] likewise */
    float *draw;      /* [2 * code_count] scratch of the sampler */
} depth_state;

void depth_layout(depth_state *s, const depth_weights *w, int thread_count, arena *kept,
                  arena *scratch);

/* codes [codebook_count] from hidden [backbone width]. All steps are run, also after an end code in
 * codebook 0. */
void depth_frame(depth_state *s, const compute *c, const float *hidden, rnl_sampling how,
                 random_state *random, int32_t *codes);

#endif
