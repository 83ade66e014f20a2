/* The front end of the network for ends of turns:
 *
 *     [128000] samples -> mean 0, variance 1 -> frames of 400 every 160, the edges mirrored
 *     -> power [800, 201] -> bands [800, 80] -> log10, at most 8 below the loudest -> (v + 4) / 4
 *
 * The variance is that of the whole window, zeros in front included. */
#include <math.h>
#include <string.h>

#include "vad/turn_network_inner.h"

enum {
    HOP = 160,
    EDGE = TURN_FFT / 2, /* samples mirrored at both ends */
    BINS = TURN_FFT / 2 + 1,
    /* Scratch of a thread: in, out, power; each begins at a multiple of 64 bytes. */
    OUT_AT = TURN_FFT,
    POWER_AT = OUT_AT + 416,
    SCRATCH = POWER_AT + 208
};
static const double pi = 3.14159265358979323846;
static const double variance_guard = 1e-7, power_guard = 1e-10;
static const float range = 8; /* powers of ten below the loudest value */

size_t turn_mel_scratch(void) {
    return SCRATCH;
}

void turn_mel_prepare(turn_network *n) {
    for (int i = 0; i < TURN_FFT; i++)
        n->window[i] = (float)(0.5 - 0.5 * cos(2.0 * pi * i / TURN_FFT));
    mel_bank_make(TURN_FFT, TURN_RATE, TURN_BANDS, n->bands, n->band_pool);
}

void turn_mel_normalise(turn_look *s) {
    float *x = s->wide;
    double sum = 0, square = 0;
    for (int i = 0; i < TURN_WINDOW; i++) sum += (double)x[i];
    const double mean = sum / TURN_WINDOW;
    for (int i = 0; i < TURN_WINDOW; i++) {
        const double d = (double)x[i] - mean;
        square += d * d;
    }
    const double scale = 1.0 / sqrt(square / TURN_WINDOW + variance_guard);
    for (int i = 0; i < TURN_WINDOW; i++) x[i] = (float)(((double)x[i] - mean) * scale);
}

/* Sample i of the window, mirrored where it lies outside. */
static float sample_at(const float *x, int i) {
    const int last = TURN_WINDOW - 1;
    return x[i < 0 ? -i : i > last ? 2 * last - i : i];
}

typedef struct frame_job {
    const turn_look *s;
    int first;
} frame_job;

static void frame_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const frame_job *j = context;
    const turn_network *n = j->s->n;
    float *in = j->s->spectra + (size_t)thread_index * SCRATCH;
    float *out = in + OUT_AT, *power = in + POWER_AT;
    for (int64_t t = begin + j->first; t < end + j->first; t++) {
        for (int i = 0; i < TURN_FFT; i++)
            in[i] = sample_at(j->s->wide, (int)t * HOP - EDGE + i) * n->window[i];
        fft_forward(n->plan, in, out);
        for (int k = 0; k < BINS; k++)
            power[k] = out[2 * k] * out[2 * k] + out[2 * k + 1] * out[2 * k + 1];
        float *row = j->s->mel + (size_t)(t + 1) * TURN_BANDS;
        for (int i = 0; i < TURN_BANDS; i++) {
            const double energy = mel_band_energy(&n->bands[i], power);
            row[i] = (float)log10(energy > power_guard ? energy : power_guard);
        }
    }
}

void turn_mel_frames(turn_look *s, const compute *c, int begin, int count) {
    frame_job job = {s, begin};
    pool_run(c->pool, count, 1, frame_part, &job);
}

void turn_mel_finish(turn_look *s) {
    enum { COUNT = TURN_FRAMES * TURN_BANDS };
    float *v = s->mel + TURN_BANDS, most = v[0];
    for (int i = 0; i < COUNT; i++) most = v[i] > most ? v[i] : most;
    const float least = most - range;
    for (int i = 0; i < COUNT; i++) v[i] = ((v[i] > least ? v[i] : least) + 4) / 4;
    memset(s->mel, 0, TURN_BANDS * sizeof *v);
    memset(v + COUNT, 0, (TURN_BANDS + PACKED_BLOCK) * sizeof *v);
    turn_tap(s, "mel", 0, v, TURN_FRAMES, TURN_BANDS);
}
