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
void codec_load_lfm(loader *l, const stack_config *config, int codebook_count, codec_weights *out);
void codec_load_mimi(loader *l, int head_width, int window, int codebook_count, codec_weights *out);

int codec_frame_size(const codec_weights *w); /* samples per frame; 0 without a codec */
int codec_code_count(const codec_weights *w); /* codes below it have a sound */

/* What a conversation keeps. */
typedef struct codec_state {
    const codec_weights *w;
    lfm_state lfm;
    mimi_decoder mimi;
} codec_state;

/* scratch: Mimi's, dead between calls. */
void codec_layout(codec_state *s, const codec_weights *w, int thread_count, arena *kept,
                  arena *scratch);
void codec_reset(codec_state *s);

/* What a pass needs, for a frame each of up to frame_cap conversations. */
typedef struct codec_work {
    int frame_cap;
    lfm_work lfm;
    lfm_frame *frames; /* [frame_cap] */
} codec_work;

void codec_work_layout(codec_work *k, const codec_weights *w, int frame_cap, int thread_count,
                       arena *scratch);

/* A frame of one conversation. */
typedef struct codec_frame {
    codec_state *state;   /* of one model; in one frame of a pass only */
    const int32_t *codes; /* [codebook_count] */
    float *out;           /* room for codec_frame_size samples */
    int count;            /* samples that were made */
    rnl_status status;    /* RNL_ERR_DATA: a code out of range, its state is unchanged */
} codec_frame;

/* Frames of several conversations, 1 <= count <= frame_cap; each gives the samples it gives
 * alone. */
void codec_push(codec_work *k, const compute *c, codec_frame *frames, int count);
/* The end of the reply: what is still held back, at most a frame. A second call gives none. */
void codec_finish(codec_state *s, float *out, int *count);

#endif
