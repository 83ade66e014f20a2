/* The LFM2 backbone with its two vocabularies: positions in (text ids, code frames, rows of the
 * audio encoder), hidden states and text logits out. audio.md 1.3, 6.1, 7.4; backbone.md 1. */
#ifndef BACKBONE_BACKBONE_H
#define BACKBONE_BACKBONE_H

#include "stack/stack.h"

typedef struct backbone_weights {
    stack_weights stack;
    matrix text_embedding;  /* [vocab, width] */
    matrix head;            /* [vocab, width]: the embedding itself unless the file has its own */
    matrix audio_embedding; /* [codebook_count * code_count, width]; data NULL without audio */
    int codebook_count;     /* 0 without audio */
    int code_count;         /* codes of one codebook and the end code: 2049 */
} backbone_weights;

/* codebook_count 0: a text model. Sticky in l. */
void backbone_load(loader *l, const stack_config *config, int codebook_count,
                   backbone_weights *out);

int backbone_width(const backbone_weights *w);
int backbone_vocab_count(const backbone_weights *w);

/* out [width]. id in [0, vocab_count) (asserted). */
void backbone_embed_text(const backbone_weights *w, const compute *c, int32_t id, float *out);
/* Sum over the codebooks of the frame's rows; the end code is a legal row. codes [codebook_count],
 * each in [0, code_count) (asserted). out, scratch [width]. */
void backbone_embed_frame(const backbone_weights *w, const compute *c, const int32_t *codes,
                          float *out, float *scratch);
/* logits [count, vocab] of hidden states [count, width] that passed the final norm, as
 * stack_forward gives them. */
void backbone_logits(const backbone_weights *w, const compute *c, const float *hidden,
                     float *logits, int count);

#endif
