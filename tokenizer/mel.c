#include "tokenizer/mel.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"

static const double pi = 3.14159265358979323846;
static const float emphasis = 0.97f;     /* audio.md 3.2 */
static const double log_guard = 0x1p-24; /* audio.md 3.4 */
static const double deviation_guard = 1e-5;

static void close_plan(void *plan) {
    fft_plan *p = plan;
    fft_plan_destroy(&p);
}

static void *owned(loader *l, size_t size) {
    void *p = l->status == RNL_OK ? calloc(1, size) : NULL;
    if (p != NULL && weights_own(l->w, p, free) == RNL_OK) return p;
    if (l->status == RNL_OK)
        l->status =
            status_fail(l->error, RNL_ERR_MEMORY, "memory for the mel filters is exhausted");
    return NULL;
}

void mel_load(loader *l, int band_count, mel_weights *out) {
    *out = (mel_weights){.band_count = band_count};
    float *pool = owned(l, MEL_BANK_POOL(MEL_FFT) * sizeof *pool);
    float *window = owned(l, MEL_WINDOW * sizeof *window);
    out->bands = owned(l, (size_t)band_count * sizeof *out->bands);
    if (l->status != RNL_OK) return;
    mel_bank_make(MEL_FFT, MEL_RATE, band_count, out->bands, pool);
    for (int i = 0; i < MEL_WINDOW; i++)
        window[i] = (float)(0.5 - 0.5 * cos(2.0 * pi * i / (MEL_WINDOW - 1)));
    out->window = window;
    l->status = fft_plan_create(MEL_FFT, &out->plan);
    if (l->status == RNL_OK) l->status = weights_own(l->w, out->plan, close_plan);
    if (l->status != RNL_OK)
        (void)status_fail(l->error, l->status, "memory for a Fourier transform is exhausted");
}

static int frames_of(size_t samples) {
    return (int)(samples / MEL_HOP) + 1;
}

void mel_layout(mel_state *s, const mel_weights *w, size_t sample_cap, arena *a) {
    *s = (mel_state){.w = w, .sample_cap = sample_cap};
    const size_t values = (size_t)frames_of(sample_cap) * (size_t)w->band_count;
    s->tail = arena_take(a, MEL_WINDOW, sizeof(float));
    s->frames = arena_take(a, values, sizeof(float));
    s->normal = arena_take(a, values, sizeof(float));
    s->in = arena_take(a, MEL_FFT, sizeof(float));
    s->out = arena_take(a, MEL_FFT + 2, sizeof(float));
    s->power = arena_take(a, MEL_FFT / 2 + 1, sizeof(float));
}

void mel_reset(mel_state *s) {
    s->sample_count = 0;
    s->frame_count = 0;
    s->finished = false;
    s->previous = 0.0f;
    memset(s->tail, 0, MEL_WINDOW * sizeof *s->tail);
}

/* The log energies of the 400 samples in tail. */
static void make_frame(mel_state *s) {
    const mel_weights *w = s->w;
    memset(s->in, 0, MEL_FFT * sizeof *s->in);
    float *middle = s->in + (MEL_FFT - MEL_WINDOW) / 2;
    for (int i = 0; i < MEL_WINDOW; i++) middle[i] = s->tail[i] * w->window[i];
    fft_forward(w->plan, s->in, s->out);
    for (int k = 0; k <= MEL_FFT / 2; k++)
        s->power[k] = s->out[2 * k] * s->out[2 * k] + s->out[2 * k + 1] * s->out[2 * k + 1];
    float *row = s->frames + (size_t)s->frame_count * (size_t)w->band_count;
    for (int i = 0; i < w->band_count; i++)
        row[i] = (float)log(mel_band_energy(&w->bands[i], s->power) + log_guard);
    s->frame_count++;
}

/* One pre-emphasised sample at the end of tail. Frame t covers samples 160 t - 200 ... 160 t + 199
 * (audio.md 3.2), so it is complete when 160 t + 200 samples are there. */
static void shift_in(mel_state *s, const float *emphasised, size_t count) {
    memmove(s->tail, s->tail + count, (MEL_WINDOW - count) * sizeof *s->tail);
    memcpy(s->tail + MEL_WINDOW - count, emphasised, count * sizeof *s->tail);
}

/* Samples until the next frame is complete. */
static size_t until_frame(const mel_state *s, size_t position) {
    return (size_t)s->frame_count * MEL_HOP + MEL_WINDOW / 2 - position;
}

rnl_status mel_push(mel_state *s, const float *samples, size_t count) {
    assert(!s->finished);
    if (count > s->sample_cap - s->sample_count) return RNL_ERR_TOO_LONG;
    float block[MEL_WINDOW];
    for (size_t at = 0; at < count;) {
        const size_t wanted = until_frame(s, s->sample_count);
        const size_t n = count - at < wanted ? count - at : wanted;
        for (size_t i = 0; i < n; i++) {
            const float x = samples[at + i];
            /* The first sample stands as it is: there is none before it. */
            block[i] = x - emphasis * s->previous;
            s->previous = x;
        }
        shift_in(s, block, n);
        s->sample_count += n;
        at += n;
        if (n == wanted) make_frame(s);
    }
    return RNL_OK;
}

/* Per band: mean and deviation over the valid frames, in double (audio.md 3.4). The last frame is
 * not valid, and zero. */
static void normalise(mel_state *s, int valid) {
    const size_t bands = (size_t)s->w->band_count;
    for (size_t i = 0; i < bands; i++) {
        double mean = 0.0, square = 0.0;
        for (int t = 0; t < valid; t++) mean += (double)s->frames[(size_t)t * bands + i];
        mean /= valid;
        for (int t = 0; t < valid; t++) {
            const double d = (double)s->frames[(size_t)t * bands + i] - mean;
            square += d * d;
        }
        const double deviation = valid > 1 ? sqrt(square / (valid - 1)) : 0.0;
        for (int t = 0; t < valid; t++) {
            const size_t at = (size_t)t * bands + i;
            const double d = (double)s->frames[at] - mean;
            s->normal[at] = (float)(d / (deviation + deviation_guard));
        }
    }
}

void mel_finish(mel_state *s) {
    if (s->finished) return;
    assert(s->sample_count > 0);
    s->finished = true;
    const int frame_count = frames_of(s->sample_count);
    const float zeros[MEL_WINDOW] = {0};
    for (size_t position = s->sample_count; s->frame_count < frame_count;) {
        const size_t wanted = until_frame(s, position);
        shift_in(s, zeros, wanted);
        position += wanted;
        make_frame(s);
    }
    const int valid = frame_count - 1;
    if (valid > 0) normalise(s, valid);
    const size_t bands = (size_t)s->w->band_count;
    memset(s->normal + (size_t)valid * bands, 0, bands * sizeof *s->normal);
}

size_t mel_sample_count(const mel_state *s) {
    return s->sample_count;
}

int mel_frame_cap(const mel_state *s) {
    return frames_of(s->sample_cap);
}

int mel_frame_count(const mel_state *s) {
    return s->frame_count;
}

const float *mel_frames(const mel_state *s) {
    return s->normal;
}

void mel_keep(const mel_state *s, mel_mark *mark) {
    assert(!s->finished);
    mark->sample_count = s->sample_count;
    mark->frame_count = s->frame_count;
    mark->previous = s->previous;
    memcpy(mark->tail, s->tail, sizeof mark->tail);
}

void mel_return(mel_state *s, const mel_mark *mark) {
    s->sample_count = mark->sample_count;
    s->frame_count = mark->frame_count;
    s->previous = mark->previous;
    memcpy(s->tail, mark->tail, sizeof mark->tail);
    s->finished = false;
}
