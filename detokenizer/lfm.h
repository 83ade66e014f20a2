/* The LFM2.5 audio detokenizer: code frames -> samples at 24 kHz, streaming. Each frame becomes six
 * positions of a small stack of layers, six spectra, six overlapped inverse transforms: 1920
 * samples.
 *
 *     codes [8] -> mean embedding, repeated 6 times -> stack -> Linear -> spectrum -> inverse STFT
 *
 * audio.md 8. The network is causal, so streaming equals the whole run. */
#ifndef DETOKENIZER_LFM_H
#define DETOKENIZER_LFM_H

#include "detokenizer/istft.h"
#include "stack/stack.h"

enum { LFM_POSITIONS = 6 /* per code frame: a literal of the reference, audio.md 8.1 */ };

typedef struct lfm_weights {
    stack_weights stack;
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
void lfm_load(loader *l, const stack_config *config, int codebook_count, lfm_weights *out);

/* Samples per code frame: LFM_POSITIONS * hop. */
int lfm_frame_size(const lfm_weights *w);

/* What a conversation keeps. */
typedef struct lfm_state {
    const lfm_weights *w;
    stack_state stack;
    istft_state istft;
    int64_t frame_count; /* code frames since reset */
    bool finished;
} lfm_state;

void lfm_layout(lfm_state *s, const lfm_weights *w, arena *kept);
void lfm_reset(lfm_state *s);

/* What a pass needs, for a frame each of up to frame_cap conversations. */
typedef struct lfm_work {
    const lfm_weights *w;
    int frame_cap;
    stack_work stack;
    istft_work *istft;   /* [thread_count] */
    stack_piece *pieces; /* [frame_cap] */
    float *x;            /* [frame_cap, LFM_POSITIONS, width] */
    float *row;          /* [width] */
    float *spectrum; /* [frame_cap, LFM_POSITIONS, 2 * bins] of the last pass, for tests and dump */
} lfm_work;

void lfm_work_layout(lfm_work *k, const lfm_weights *w, int frame_cap, int thread_count,
                     arena *scratch);

/* A frame of one conversation. */
typedef struct lfm_frame {
    lfm_state *state;     /* in one frame of a pass only */
    const int32_t *codes; /* [codebook_count], each in [0, code_count) */
    float *out;           /* room for lfm_frame_size: what became final (the first frame gives
                           * fewer: the transform looks ahead 20 ms) */
    int count;            /* samples of it */
} lfm_frame;

/* Whether all codes of a frame are in range. */
bool lfm_has_sound(const lfm_weights *w, const int32_t *codes);
/* Frames of several conversations, count <= frame_cap; each gives the samples it gives alone. */
void lfm_push(lfm_work *k, const compute *c, lfm_frame *frames, int count);
/* The end of the reply: the samples still held back. A second finish gives none. */
void lfm_finish(lfm_state *s, float *out, int *count);

#endif
