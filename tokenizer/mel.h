/* The front end: samples at 16 kHz -> log-mel frames, normalised over the clip. audio.md 3.
 * Frames are computed while samples arrive; the normalisation waits for the end of the clip and
 * leaves the frames as they are, so that a guessed end can be taken back (mel_mark). */
#ifndef TOKENIZER_MEL_H
#define TOKENIZER_MEL_H

#include "core/arena.h"
#include "core/fft.h"
#include "core/mel_bank.h"
#include "core/weights.h"

enum { MEL_RATE = 16000, MEL_FFT = 512, MEL_WINDOW = 400, MEL_HOP = 160 }; /* audio.md 2.1 */

typedef struct mel_weights {
    fft_plan *plan;      /* MEL_FFT points */
    const float *window; /* [MEL_WINDOW] symmetric Hann */
    mel_band *bands;     /* [band_count] */
    int band_count;      /* features of the model, 128 */
} mel_weights;

/* Computes the filter bank and the window; owned by l->w. Sticky in l. */
void mel_load(loader *l, int band_count, mel_weights *out);

typedef struct mel_state {
    const mel_weights *w;
    size_t sample_cap;
    size_t sample_count; /* since reset */
    float previous;      /* last sample, for the pre-emphasis */
    float *tail;         /* [MEL_WINDOW] last pre-emphasised samples, zeros at the start */
    float *frames;       /* [frame_cap, band_count] log energies, append-only */
    float *normal;       /* [frame_cap, band_count] the same normalised, after finish */
    int frame_count;     /* frames that stand in frames */
    bool finished;       /* only reset and mel_return lead on */
    float *in;           /* [MEL_FFT] scratch, aligned */
    float *out;          /* [MEL_FFT + 2] scratch, aligned */
    float *power;        /* [MEL_FFT / 2 + 1] scratch */
} mel_state;

/* sample_cap: longest clip in samples. */
void mel_layout(mel_state *s, const mel_weights *w, size_t sample_cap, arena *a);
void mel_reset(mel_state *s);

/* Not after finish. RNL_ERR_TOO_LONG: beyond the cap, nothing changed. Any cut gives the same
 * bits. */
RNL_MUST_USE rnl_status mel_push(mel_state *s, const float *samples, size_t count);
/* The end of a clip of at least one sample: adds the frames at its border and normalises. Then
 * mel_frames is valid until reset. A second finish does nothing. */
void mel_finish(mel_state *s);

size_t mel_sample_count(const mel_state *s);
int mel_frame_cap(const mel_state *s);
int mel_frame_count(const mel_state *s);     /* after finish: samples / hop + 1 */
const float *mel_frames(const mel_state *s); /* [frame_count, band_count] */

/* A place in a clip that one can return to, as long as no other clip began: what comes after it,
 * finish included, is then forgotten. Not after finish. */
typedef struct mel_mark {
    size_t sample_count;
    int frame_count;
    float previous;
    float tail[MEL_WINDOW];
} mel_mark;

void mel_keep(const mel_state *s, mel_mark *mark);
void mel_return(mel_state *s, const mel_mark *mark);

#endif
