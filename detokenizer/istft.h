/* Streaming inverse short-time Fourier transform with "same" padding: log-magnitude and phase per
 * frame in, samples out, equal to the whole-signal formula at any cut. audio.md 8.4, 8.5. */
#ifndef DETOKENIZER_ISTFT_H
#define DETOKENIZER_ISTFT_H

#include "core/arena.h"
#include "core/fft.h"

typedef struct istft_weights {
    fft_plan *plan;      /* borrowed; length = size */
    const float *window; /* [size] */
    int size;            /* points of a frame, 1280; a multiple of 4 */
    int hop;             /* 320 */
} istft_weights;

typedef struct istft_state {
    const istft_weights *w;
    float *sum;          /* [size] overlap-added windowed frames not yet emitted */
    float *weight;       /* [size] the same of the squared window */
    int64_t frame_count; /* frames since reset; the clock of this stage */
} istft_state;

void istft_layout(istft_state *s, const istft_weights *w, arena *kept);
void istft_reset(istft_state *s);

/* What one frame needs, whichever state's it is; dead between calls. */
typedef struct istft_work {
    float *spectrum; /* [size / 2 + 1, 2] aligned */
    float *frame;    /* [size] aligned */
} istft_work;

void istft_work_layout(istft_work *k, const istft_weights *w, arena *scratch);

/* One frame: log_magnitude and phase [size / 2 + 1] each (phase in radians, not wrapped). Writes
 * the samples that became final, at most hop, to out; returns how many. Any float value is fine. */
int istft_push(istft_state *s, istft_work *k, const float *log_magnitude, const float *phase,
               float *out);

/* The end of the signal: the last (size - hop) / 2 samples. Returns how many (0 without frames). */
int istft_finish(istft_state *s, float *out);

#endif
