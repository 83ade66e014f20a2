/* GCC-PHAT over a window of microphone and the older part of the reference, so that no lag wraps:
 *
 *     reference  |<------ window - lag_max ------>| zeros (lag_max) |
 *     microphone |<------------------ window ----------------------->|
 *
 * Every quarter of a second with sound in the window, the whitened cross spectrum is added to a
 * running mean; a delay is the peak of its inverse transform, when it stands out and stays. A line
 * through the delays of the last quarter of a minute tells how the two clocks drift: 200 ppm move
 * the peak by 3 samples a second, and it is found to a fraction of one. */
#include "audio/echo_inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    HOP_FRAMES = 25, /* frames between two looks */
    ALIGN = 64,
    PEAK_FACTOR = 9, /* times the root mean square of all lags; noise alone stays below 5 */
    STABLE = 32,     /* samples within which two looks agree: 2 ms */
    TRACK_CAP = 64,
    TRACK_MIN = 8 /* delays before a drift is believed: 2 s */
};
/* Share of a new look in the mean. */
static const float look_share = 0.3f;
/* Samples per second of drift that are worth a correction: 12 ppm. */
static const double drift_min = 0.2;
/* Power of a reference frame that counts as sound: -60 dB. */
static const float sound_power = 1e-6f;

struct delay_finder {
    fft_plan *plan;
    int lag_max, window;
    float *mic, *reference; /* [window] the newest last */
    float *time;            /* [window] scratch, aligned */
    float *spectrum[2];     /* [window / 2 + 1, 2] scratch, aligned */
    float *mean;            /* [window / 2 + 1, 2] whitened cross spectrum */
    int frame_count;        /* since the last look */
    int sound_count;        /* frames with sound in the window, at most */
    double last;            /* peak of the last look, -1 for none */
    int64_t frame_index;    /* since reset */
    double track_time[TRACK_CAP], track_delay[TRACK_CAP]; /* seconds, samples */
    int track_count;                                      /* ever added */
};

static float *aligned_floats(size_t count) {
    const size_t size = (count * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
    float *p = aligned_alloc(ALIGN, size);
    if (p != NULL) memset(p, 0, size);
    return p;
}

rnl_status delay_finder_create(int lag_max, delay_finder **out) {
    delay_finder *f = calloc(1, sizeof *f);
    *out = f;
    if (f == NULL) return RNL_ERR_MEMORY;
    f->lag_max = lag_max;
    f->window = 8192;
    while (f->window < 2 * lag_max) f->window *= 2;
    const size_t n = (size_t)f->window, bins = n + 2;
    f->mic = aligned_floats(n);
    f->reference = aligned_floats(n);
    f->time = aligned_floats(n);
    f->spectrum[0] = aligned_floats(bins);
    f->spectrum[1] = aligned_floats(bins);
    f->mean = aligned_floats(bins);
    if (f->mic == NULL || f->reference == NULL || f->time == NULL || f->spectrum[0] == NULL ||
        f->spectrum[1] == NULL || f->mean == NULL ||
        fft_plan_create(f->window, &f->plan) != RNL_OK) {
        delay_finder_destroy(out);
        return RNL_ERR_MEMORY;
    }
    delay_finder_reset(f);
    return RNL_OK;
}

void delay_finder_destroy(delay_finder **out) {
    delay_finder *f = *out;
    if (f == NULL) return;
    fft_plan_destroy(&f->plan);
    free(f->mic);
    free(f->reference);
    free(f->time);
    free(f->spectrum[0]);
    free(f->spectrum[1]);
    free(f->mean);
    free(f);
    *out = NULL;
}

void delay_finder_reset(delay_finder *f) {
    const size_t size = (size_t)f->window * sizeof(float);
    memset(f->mic, 0, size);
    memset(f->reference, 0, size);
    memset(f->mean, 0, size + 2 * sizeof(float));
    f->frame_count = f->sound_count = 0;
    f->last = -1.0;
    f->frame_index = 0;
    f->track_count = 0;
}

static void append(float *line, int window, const float *frame) {
    memmove(line, line + ECHO_FRAME, (size_t)(window - ECHO_FRAME) * sizeof *line);
    memcpy(line + window - ECHO_FRAME, frame, ECHO_FRAME * sizeof *line);
}

/* Adds the whitened cross spectrum of what is in the window to the mean. */
static void look(delay_finder *f) {
    const int bins = f->window / 2 + 1, kept = f->window - f->lag_max;
    memcpy(f->time, f->reference, (size_t)kept * sizeof *f->time);
    memset(f->time + kept, 0, (size_t)f->lag_max * sizeof *f->time);
    fft_forward(f->plan, f->time, f->spectrum[0]);
    memcpy(f->time, f->mic, (size_t)f->window * sizeof *f->time);
    fft_forward(f->plan, f->time, f->spectrum[1]);
    /* 150 Hz to 6 kHz: below there is hum, above there is little of a voice. */
    const int low = (int)(150.0 * f->window / ECHO_RATE), high = f->window * 6 / 16;
    for (int k = 0; k < bins; k++) {
        const float *r = f->spectrum[0] + 2 * k, *m = f->spectrum[1] + 2 * k;
        const float re = m[0] * r[0] + m[1] * r[1], im = m[1] * r[0] - m[0] * r[1];
        const float size = sqrtf(re * re + im * im);
        const bool used = k >= low && k < high && size > 1e-12f;
        f->mean[2 * k] += look_share * ((used ? re / size : 0.0f) - f->mean[2 * k]);
        f->mean[2 * k + 1] += look_share * ((used ? im / size : 0.0f) - f->mean[2 * k + 1]);
    }
}

/* The peak of the mean's inverse transform, between samples; -1 when it does not stand out. */
static double peak(delay_finder *f) {
    memcpy(f->spectrum[0], f->mean, ((size_t)f->window + 2) * sizeof(float));
    fft_inverse(f->plan, f->spectrum[0], f->time);
    int best = 0;
    double sum = 0.0;
    for (int lag = 0; lag <= f->lag_max; lag++) {
        sum += (double)f->time[lag] * (double)f->time[lag];
        if (f->time[lag] > f->time[best]) best = lag;
    }
    const double rms = sqrt(sum / (f->lag_max + 1));
    if ((double)f->time[best] < PEAK_FACTOR * rms || rms == 0.0) return -1.0;
    if (best == 0 || best == f->lag_max) return best;
    const double a = (double)f->time[best - 1], b = (double)f->time[best],
                 c = (double)f->time[best + 1], bend = a - 2.0 * b + c;
    return bend < 0.0 ? best + 0.5 * (a - c) / bend : best;
}

/* Adds a delay to the track and draws the line through it. */
static void follow(delay_finder *f, double delay, delay_estimate *estimate) {
    if (f->track_count > 0 &&
        fabs(f->track_delay[(f->track_count - 1) % TRACK_CAP] - delay) > STABLE)
        f->track_count = 0; /* somebody has moved something */
    const double now = (double)f->frame_index * ECHO_FRAME / ECHO_RATE;
    f->track_time[f->track_count % TRACK_CAP] = now;
    f->track_delay[f->track_count % TRACK_CAP] = delay;
    f->track_count++;
    const int n = f->track_count < TRACK_CAP ? f->track_count : TRACK_CAP;
    double t = 0.0, d = 0.0, tt = 0.0, td = 0.0, dd = 0.0;
    for (int i = 0; i < n; i++) {
        t += f->track_time[i] / n;
        d += f->track_delay[i] / n;
    }
    for (int i = 0; i < n; i++) {
        const double x = f->track_time[i] - t, y = f->track_delay[i] - d;
        tt += x * x;
        td += x * y;
        dd += y * y;
    }
    *estimate = (delay_estimate){.delay = delay};
    if (n < TRACK_MIN || tt == 0.0) return;
    const double slope = td / tt; /* samples per second */
    const double spread = sqrt(fmax(dd - slope * td, 0.0) / (n - 2) / tt);
    estimate->delay = d + slope * (now - t);
    if (fabs(slope) > 4.0 * spread && fabs(slope) > drift_min)
        estimate->ppm = slope * 1e6 / ECHO_RATE;
}

bool delay_finder_push(delay_finder *f, const float *mic, const float *reference,
                       delay_estimate *estimate) {
    append(f->mic, f->window, mic);
    append(f->reference, f->window, reference);
    float power = 0.0f;
    for (int i = 0; i < ECHO_FRAME; i++) power += reference[i] * reference[i];
    if (power > sound_power * ECHO_FRAME) f->sound_count++;
    f->frame_count++;
    f->frame_index++;
    if (f->frame_count < HOP_FRAMES) return false;
    const bool heard = f->sound_count >= HOP_FRAMES / 2;
    f->frame_count = f->sound_count = 0;
    if (!heard) return false;
    look(f);
    const double found = peak(f), before = f->last;
    f->last = found;
    if (found < 0.0 || before < 0.0 || fabs(found - before) > STABLE) return false;
    follow(f, found, estimate);
    return true;
}

const float *delay_finder_mic(const delay_finder *f, int back) {
    return f->mic + f->window - (back + 1) * ECHO_FRAME;
}
