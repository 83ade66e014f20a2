/* The depthformer: one hidden state of the backbone -> the codes of one audio frame, one codebook
 * after the other. audio.md 6.2 to 6.6. */
#ifndef BACKBONE_DEPTHFORMER_H
#define BACKBONE_DEPTHFORMER_H

#include "backbone/sample.h"
#include "stack/stack.h"

typedef struct depth_weights {
    stack_weights stack; /* attention only, adjacent rotary pairs, no final norm */
    matrix split;        /* depth_linear [codebook_count * dim, backbone width] */
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

/* What a pass needs, for frames of up to row_cap conversations at once. Nothing is kept between
 * frames, so a conversation has no state of its own here. */
typedef struct depth_work {
    const depth_weights *w;
    int row_cap;
    stack_work stack;
    stack_state *states; /* [row_cap]: each lives for one frame */
    stack_piece *pieces; /* [row_cap] */
    float *slices;       /* [row_cap, codebook_count, dim] */
    float *x;            /* [row_cap, dim] */
    float *previous;     /* [row_cap, dim] embeddings of the codes just drawn */
    float *logits;       /* [codebook_count, row_cap, code_count] of the last pass, for who asks */
    float *outputs;      /* [codebook_count, row_cap, dim] likewise */
    float *draw;         /* [thread_count, 2 * code_count] of the sampler */
} depth_work;

void depth_layout(depth_work *k, const depth_weights *w, int row_cap, int thread_count,
                  arena *scratch);

/* From here on frames are computed by that device, until depth_off; a sentence why it does not, if
 * it does not. */
RNL_MUST_USE rnl_status depth_on(depth_work *k, stack_placed *on, rnl_error *error);
/* Before the memory of k goes. */
void depth_off(depth_work *k);

/* A frame to be decided. */
typedef struct depth_row {
    rnl_sampling how;
    random_state *random; /* of the conversation */
    int32_t *codes;       /* [codebook_count] what was decided */
    const int32_t *given; /* [codebook_count] each in [0, code_count): decided so, whatever their
                           * logits, which are what is wanted then; NULL: drawn */
    bool failed;          /* logits of a book are no numbers: the codes are of no use */
} depth_row;

/* hidden [count, backbone width], count <= row_cap: a row a frame, whose codes depend on no other
 * row. All steps are run, also after an end code in codebook 0. */
void depth_frames(depth_work *k, const compute *c, const float *hidden, depth_row *rows, int count);

#endif
