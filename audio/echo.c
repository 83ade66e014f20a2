/* The canceller of speexdsp behind a bulk delay that we find, and a suppressor behind it; a way
 * around both while nothing is played. */
#include "audio/echo.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <speex/speex_echo.h>

#include "audio/echo_inner.h"

enum {
    LEAD = 64,        /* samples by which the filter begins before the direct sound: 4 ms */
    RING_FRAMES = 40, /* frames a room goes on ringing beyond the filter */
    SHIFT_MIN = 128,  /* samples: smaller moves of the delay are the filter's business */
    TAPS = 16,
    REPLAY_FRAMES = 48 /* learned again when the delay moves */
};
static const double pi = 3.14159265358979323846;
/* Power of a reference frame that can be heard: -80 dB. */
static const float audible_power = 1e-8f;

struct echo {
    echo_config config;
    SpeexEchoState *filter;
    delay_finder *finder; /* NULL when the delay is given */
    echo_gate *gate;
    float *history; /* [history_count] of the reference, by sample index modulo history_count */
    int history_count;
    int64_t sample_index; /* of the next reference sample */
    double delay;         /* bulk delay in samples, -1 while unknown (then 0 is used) */
    double ppm;           /* by which it grows; 0: the delay is a whole number and stays */
    int quiet_frames;     /* since the reference was audible */
    bool running;         /* the canceller has seen the last frame */
    float mic_last[ECHO_FRAME];
    float out_power;
    echo_measure last; /* of the last frame: what out is about */
};

echo_config echo_config_default(void) {
    return (echo_config){.tail_ms = 256, .delay_max_ms = 500, .delay_ms = -1};
}

static bool config_fits(const echo_config *c) {
    return c->tail_ms >= 64 && c->tail_ms <= 512 && c->delay_max_ms >= 50 &&
           c->delay_max_ms <= 1000 && c->delay_ms >= -1 && c->delay_ms <= c->delay_max_ms;
}

static int samples_of_ms(int ms) {
    return ms * ECHO_RATE / 1000;
}

rnl_status echo_create(const echo_config *config, echo **out) {
    *out = NULL;
    const echo_config c = config != NULL ? *config : echo_config_default();
    if (!config_fits(&c)) return RNL_ERR_ARGUMENT;
    echo *e = calloc(1, sizeof *e);
    if (e == NULL) return RNL_ERR_MEMORY;
    e->config = c;
    e->history_count = samples_of_ms(c.delay_max_ms) + (REPLAY_FRAMES + 4) * ECHO_FRAME;
    e->history = calloc((size_t)e->history_count, sizeof *e->history);
    e->filter = speex_echo_state_init(ECHO_FRAME, samples_of_ms(c.tail_ms));
    *out = e;
    if (e->history == NULL || e->filter == NULL || echo_gate_create(&e->gate) != RNL_OK ||
        (c.delay_ms < 0 &&
         delay_finder_create(samples_of_ms(c.delay_max_ms), &e->finder) != RNL_OK)) {
        echo_destroy(out);
        return RNL_ERR_MEMORY;
    }
    e->delay = c.delay_ms < 0 ? -1.0 : samples_of_ms(c.delay_ms);
    e->quiet_frames = INT32_MAX / 2;
    e->last = (echo_measure){.mic_db = -100.0f,
                             .out_db = -100.0f,
                             .reference_db = -100.0f,
                             .expected_db = -100.0f,
                             .delay_ms = -1.0f};
    return RNL_OK;
}

void echo_destroy(echo **out) {
    echo *e = *out;
    if (e == NULL) return;
    if (e->filter != NULL) speex_echo_state_destroy(e->filter);
    delay_finder_destroy(&e->finder);
    echo_gate_destroy(&e->gate);
    free(e->history);
    free(e);
    *out = NULL;
}

/* Forgets what the filter and the gate have learned. */
static void start_anew(echo *e) {
    int rate = ECHO_RATE;
    speex_echo_state_reset(e->filter);
    speex_echo_ctl(e->filter, SPEEX_ECHO_SET_SAMPLING_RATE, &rate);
    echo_gate_relearn(e->gate);
}

static int16_t to_s16(float x) {
    if (!(x > -1.0f)) return -32767;
    return (int16_t)lrintf(32767.0f * fminf(x, 1.0f));
}

/* Sample index of the reference; before the first there was silence, which reset has put there. */
static float *history_at(const echo *e, int64_t index) {
    return &e->history[(index + e->history_count) % e->history_count];
}

static void keep_reference(echo *e, const float *reference) {
    float power = 0.0f;
    for (int i = 0; i < ECHO_FRAME; i++) {
        *history_at(e, e->sample_index + i) = reference[i];
        power += reference[i] * reference[i];
    }
    e->sample_index += ECHO_FRAME;
    if (power > audible_power * ECHO_FRAME)
        e->quiet_frames = 0;
    else if (e->quiet_frames < INT32_MAX / 2)
        e->quiet_frames++;
}

/* Taps of a windowed sinc that takes the sample `fraction` after tap TAPS / 2 - 1. */
static void sinc_taps(double fraction, double *taps) {
    for (int k = 0; k < TAPS; k++) {
        const double x = k - (TAPS / 2 - 1) - fraction, w = cos(pi * x / (TAPS + 2));
        taps[k] = fabs(x) < 1e-9 ? 1.0 : sin(pi * x) / (pi * x) * w * w;
    }
}

/* The reference frame that ends `back` samples before the newest sample; back moves by ppm. */
static void reference_at(const echo *e, double back, double ppm, float *frame) {
    const double first = (double)(e->sample_index - ECHO_FRAME) - back;
    const int64_t base = (int64_t)floor(first);
    if (ppm == 0.0 && first == (double)base) {
        for (int i = 0; i < ECHO_FRAME; i++) frame[i] = *history_at(e, base + i);
        return;
    }
    double begin[TAPS], end[TAPS];
    sinc_taps(first - (double)base, begin);
    sinc_taps(first - (double)base - ppm * 1e-6 * ECHO_FRAME, end);
    for (int i = 0; i < ECHO_FRAME; i++) {
        double sum = 0.0;
        for (int k = 0; k < TAPS; k++) {
            const double tap = begin[k] + (end[k] - begin[k]) * i / ECHO_FRAME;
            sum += tap * (double)*history_at(e, base + i + k - (TAPS / 2 - 1));
        }
        frame[i] = (float)sum;
    }
}

/* By how much the filter's reference is behind the newest. */
static double reference_back(const echo *e) {
    if (e->finder == NULL) return e->delay;
    return e->delay > LEAD + TAPS ? e->delay - LEAD : TAPS;
}

static bool still_audible(const echo *e) {
    const int delay_ms =
        e->delay >= 0.0 ? (int)(e->delay * 1000.0 / ECHO_RATE) : e->config.delay_max_ms;
    return e->quiet_frames <= (delay_ms + e->config.tail_ms) / 10 + RING_FRAMES;
}

static void run_filter(echo *e, const float *mic, const float *reference, float *cancelled) {
    spx_int16_t rec[ECHO_FRAME], play[ECHO_FRAME], left[ECHO_FRAME];
    for (int i = 0; i < ECHO_FRAME; i++) {
        rec[i] = to_s16(mic[i]);
        play[i] = to_s16(reference[i]);
    }
    speex_echo_cancellation(e->filter, rec, play, left);
    for (int i = 0; i < ECHO_FRAME; i++) cancelled[i] = (float)left[i] / 32767.0f;
}

/* A new estimate of the delay: the filter moves when it would lose the direct sound. */
static void follow_delay(echo *e, const delay_estimate *found) {
    e->ppm = found->ppm;
    if (e->delay >= 0.0 && fabs(found->delay - e->delay) < SHIFT_MIN) return;
    e->delay = rint(found->delay);
    start_anew(e);
    /* Learn the last moment again, with the delay right. */
    float reference[ECHO_FRAME], cancelled[ECHO_FRAME];
    for (int back = REPLAY_FRAMES; back >= 1; back--) {
        reference_at(e, reference_back(e) + back * ECHO_FRAME, 0.0, reference);
        run_filter(e, delay_finder_mic(e->finder, back), reference, cancelled);
    }
}

void echo_cancel(echo *e, const float *mic, const float *reference, float *out,
                 echo_measure *measure) {
    float aligned[ECHO_FRAME], cancelled[ECHO_FRAME], result[ECHO_FRAME];
    echo_measure now = e->last;
    delay_estimate found;
    keep_reference(e, reference);
    if (e->finder != NULL && delay_finder_push(e->finder, mic, reference, &found))
        follow_delay(e, &found);
    reference_at(e, reference_back(e), e->ppm, aligned);
    e->delay += e->delay >= 0.0 ? e->ppm * 1e-6 * ECHO_FRAME : 0.0;
    const bool active = still_audible(e);
    const bool run = active || e->running; /* one frame longer, to fade from one to the other */
    if (run)
        run_filter(e, mic, aligned, cancelled);
    else
        memcpy(cancelled, mic, sizeof cancelled);
    echo_gate_push(e->gate, mic, cancelled, aligned, active, result, &now);
    now.delay_ms = e->delay >= 0.0 ? (float)(e->delay * 1000.0 / ECHO_RATE) : -1.0f;

    float power = 0.0f;
    for (int i = 0; i < ECHO_FRAME; i++) {
        const float way = (float)(i + 1) / ECHO_FRAME, plain = e->mic_last[i];
        const float share = active == e->running ? 1.0f : active ? way : 1.0f - way;
        e->mic_last[i] = mic[i];
        out[i] = run ? plain + share * (result[i] - plain) : plain;
        power += out[i] * out[i];
    }
    e->running = active;
    e->out_power += 0.2f * (power / ECHO_FRAME - e->out_power);
    if (measure != NULL) {
        *measure = e->last;
        measure->out_db = e->out_power > 1e-10f ? 10.0f * log10f(e->out_power) : -100.0f;
    }
    e->last = now;
}
