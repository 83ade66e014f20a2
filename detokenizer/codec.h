/* The codec of a model, whichever it has: code frames in, samples at 24 kHz out. One seam, so that
 * the session need not know whether the LFM detokenizer or Mimi is behind it. */
#ifndef DETOKENIZER_CODEC_H
#define DETOKENIZER_CODEC_H

#include "detokenizer/lfm.h"
#include "detokenizer/mimi.h"

typedef enum codec_kind { CODEC_NONE, CODEC_LFM, CODEC_MIMI } codec_kind;

typedef struct codec_weights {
    codec_kind kind;
    lfm_weights lfm;   /* with CODEC_LFM */
    mimi_weights mimi; /* with CODEC_MIMI */
} codec_weights;

/* Sticky in l. */
void codec_load_lfm(loader *l, const lfm2_config *config, int codebook_count, codec_weights *out);
void codec_load_mimi(loader *l, int head_width, int window, int codebook_count, codec_weights *out);

int codec_frame_size(const codec_weights *w); /* samples per frame; 0 without a codec */
int codec_code_count(const codec_weights *w); /* codes below it have a sound */

typedef struct codec_state {
    const codec_weights *w;
    lfm_state lfm;
    mimi_decoder mimi;
} codec_state;

void codec_layout(codec_state *s, const codec_weights *w, int thread_count, arena *kept,
                  arena *scratch);
void codec_reset(codec_state *s);
/* One frame; out has room for codec_frame_size samples. RNL_ERR_DATA: code out of range. */
RNL_MUST_USE rnl_status codec_push(codec_state *s, const compute *c, const int32_t *codes,
                                   float *out, int *count);
/* The end of the reply: what is still held back, at most a frame. A second call gives none. */
void codec_finish(codec_state *s, float *out, int *count);

#endif
