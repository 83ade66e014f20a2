/* The LFM2.5 audio detokenizer: code frames -> samples at 24 kHz, streaming. Each frame becomes six
 * positions of a small LFM2 stack, six spectra, six overlapped inverse transforms: 1920 samples.
 *
 *     codes [8] -> mean embedding, repeated 6 times -> stack -> Linear -> spectrum -> inverse STFT
 *
 * audio.md 8. The network is causal, so streaming equals the whole run. */
#ifndef DETOKENIZER_LFM_H
#define DETOKENIZER_LFM_H

#include "core/lfm2.h"
#include "detokenizer/istft.h"

enum { LFM_POSITIONS = 6 /* per code frame: a literal of the reference, audio.md 8.1 */ };

typedef struct lfm_weights {
    lfm2_weights stack;
    matrix embedding;      /* [codebook_count * code_count, width] */
    matrix out;            /* [2 * bins, width] */
    const float *out_bias; /* [2 * bins] */
    int codebook_count;
    int code_count; /* 2048: no row for the end code */
    int bins;       /* 641 */
    istft_weights istft;
} lfm_weights;

/* Loads emb.emb, istft.window (computed when absent), and under "detok." the stack and dense_2.
 * Sticky in l. The FFT plan is owned by l->w. */
void lfm_load(loader *l, const lfm2_config *config, int codebook_count, lfm_weights *out);

/* Samples per code frame: LFM_POSITIONS * hop. */
int lfm_frame_size(const lfm_weights *w);

typedef struct lfm_state {
    const lfm_weights *w;
    lfm2_state stack;
    istft_state istft;
    int64_t frame_count; /* code frames since reset */
    bool finished;
    float *x;        /* [LFM_POSITIONS, width] scratch */
    float *row;      /* [width] scratch */
    float *spectrum; /* [LFM_POSITIONS, 2 * bins]: the last frame's, for tests and dump */
} lfm_state;

void lfm_layout(lfm_state *s, const lfm_weights *w, int thread_count, arena *kept, arena *scratch);
void lfm_reset(lfm_state *s);

/* One frame of codes, each in [0, code_count). Writes the samples that became final (the first
 * frame gives fewer: the transform looks ahead 20 ms) to out, room for lfm_frame_size.
 * RNL_ERR_DATA: a code out of range; nothing changed. */
RNL_MUST_USE rnl_status lfm_push(lfm_state *s, const compute *c, const int32_t *codes, float *out,
                                 int *count);
/* The end of the reply: the samples still held back. A second finish gives none. */
void lfm_finish(lfm_state *s, float *out, int *count);

#endif
