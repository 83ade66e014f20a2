/* Bands of 250 Hz (500 Hz above 4 kHz) over windows of 20 ms, a new one every 10 ms:
 *
 *     expected[b] = leak[b] * reference[b] smeared by the room
 *     excess      = how far the cancelled signal is above expected and noise, in the bands of a
 *                   voice where it is most
 *     out[b]      = what is left of the cancelled signal when expected is taken away, not below
 *                   the noise
 *
 * leak is what the canceller lets through. It follows a high quantile of cancelled / reference: up
 * fast while all is explained, hardly while it is not, so that somebody who talks over us is not
 * learned as our echo. It starts at the full coupling and so is strict until the canceller works.
 *
 * speexdsp has a suppressor of its own; it takes 1 to 2 dB where this takes 10 and more, has no
 * reset, and cannot say what it expects. */
#include "audio/echo_inner.h"

#include <math.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = 2 * ECHO_FRAME,
    BINS = WINDOW / 2 + 1, /* of 50 Hz */
    BAND_COUNT = 24,
    VOICE_FIRST = 1, /* bands of the gate: 250 Hz to 4 kHz */
    VOICE_END = 16,
    VOICE_BEST = 5, /* of these count */
    LOW_END = 3,    /* bands below 750 Hz, of a voice's pitch and first formant */
    SETTLE_FRAMES = 300,
    BEGIN_FRAMES = 70,
    SLOT_COUNT = 5,
    SLOT_FRAMES = 30,
    WARM_FRAMES = 12,
    ALIGN = 64
};

static const double pi = 3.14159265358979323846;
/* Starting value: a loudspeaker heard twice as loud as it was sent, which few rooms reach. */
static const float leak_first_db = 6.0f;
/* A room of T60 0.75 s lets sound die by 0.8 dB a frame. */
static const float smear = 0.83f;
static const float db_floor = -100.0f;
/* The least of 1.5 s of steady noise, smoothed over 30 ms, is so much below its mean. */
static const float noise_bias = 2.5f;
/* Echo alone reaches an excess of 1 dB in a hundredth of its time, of 4 dB in its first 3 s; speech
 * over it, 10 dB above the noise, 8 dB within 150 ms (docs/LATENCY.md). */
static const float margin_settled_db = 3.5f, margin_first_db = 6.5f;
/* The floor under which no band is suppressed: -40 dB. */
static const float gain_min = 0.01f;

struct echo_gate {
    fft_plan *plan;
    alignas(ALIGN) float window[WINDOW];
    alignas(ALIGN) float time[WINDOW];
    alignas(ALIGN) float spectrum[2 * BINS + 14];
    float cancelled_last[ECHO_FRAME], reference_last[ECHO_FRAME];
    float overlap[ECHO_FRAME];   /* half-done output */
    float cancelled[BAND_COUNT]; /* power, smoothed over 30 ms */
    float smeared[BAND_COUNT];   /* reference power, released like a room */
    float leak_db[BAND_COUNT];
    float expected[BAND_COUNT];          /* residual power of the last frame */
    float least[SLOT_COUNT][BAND_COUNT]; /* least of cancelled in the last pieces of 0.3 s */
    int telling[SLOT_COUNT][BAND_COUNT]; /* frames of these that tell of noise */
    float noise[BAND_COUNT];             /* power */
    int64_t frame_index;                 /* since reset */
    float excess_db;                     /* smoothed */
    float mic_power, reference_power;    /* smoothed over 50 ms */
    float mm, my, yy;                    /* products of microphone and echo estimate, over 100 ms */
    int64_t active_frames;               /* since nothing of us was to be heard */
    int64_t played_frames;               /* with sound, since create or relearn */
};

rnl_status echo_gate_create(echo_gate **out) {
    echo_gate *g = aligned_alloc(ALIGN, (sizeof *g + ALIGN - 1) / ALIGN * ALIGN);
    *out = g;
    if (g == NULL) return RNL_ERR_MEMORY;
    memset(g, 0, sizeof *g);
    if (fft_plan_create(WINDOW, &g->plan) != RNL_OK) {
        echo_gate_destroy(out);
        return RNL_ERR_MEMORY;
    }
    for (int i = 0; i < WINDOW; i++) /* its squares add up to 1 over two hops */
        g->window[i] = (float)sin(pi * (i + 0.5) / WINDOW);
    echo_gate_reset(g);
    return RNL_OK;
}

void echo_gate_destroy(echo_gate **g) {
    if (*g == NULL) return;
    fft_plan_destroy(&(*g)->plan);
    free(*g);
    *g = NULL;
}

void echo_gate_reset(echo_gate *g) {
    memset(g->cancelled_last, 0, sizeof g->cancelled_last);
    memset(g->reference_last, 0, sizeof g->reference_last);
    memset(g->overlap, 0, sizeof g->overlap);
    memset(g->cancelled, 0, sizeof g->cancelled);
    memset(g->smeared, 0, sizeof g->smeared);
    memset(g->expected, 0, sizeof g->expected);
    for (int b = 0; b < BAND_COUNT; b++) g->noise[b] = 1e-10f;
    g->frame_index = g->active_frames = 0;
    g->mic_power = g->reference_power = 0.0f;
    g->mm = g->my = g->yy = 0.0f;
    echo_gate_relearn(g);
}

void echo_gate_relearn(echo_gate *g) {
    for (int b = 0; b < BAND_COUNT; b++) g->leak_db[b] = leak_first_db;
    g->excess_db = 0.0f;
    g->played_frames = 0;
}

static float to_db(float power) {
    return power > 1e-10f ? 10.0f * log10f(power) : db_floor;
}

static float from_db(float db) {
    return powf(10.0f, 0.1f * db);
}

/* The bins of band b: [*first, *end). Bin 0 is in the first, the last bin in the last. */
static void band_bins(int b, int *first, int *end) {
    *first = b < 16 ? 5 * b : 80 + 10 * (b - 16);
    *end = b < 16 ? *first + 5 : *first + 10;
    if (b == BAND_COUNT - 1) *end = BINS;
}

/* The spectrum of last|frame, and its mean square in each band; last becomes frame. */
static void analyse(echo_gate *g, float *last, const float *frame, float *power) {
    for (int i = 0; i < ECHO_FRAME; i++) {
        g->time[i] = last[i] * g->window[i];
        g->time[i + ECHO_FRAME] = frame[i] * g->window[i + ECHO_FRAME];
    }
    memcpy(last, frame, ECHO_FRAME * sizeof *last);
    fft_forward(g->plan, g->time, g->spectrum);
    for (int b = 0; b < BAND_COUNT; b++) {
        int first, end;
        band_bins(b, &first, &end);
        float sum = 0.0f;
        for (int k = 2 * first; k < 2 * end; k++) sum += g->spectrum[k] * g->spectrum[k];
        power[b] = 4.0f * sum / (float)(WINDOW * WINDOW);
    }
}

/* Levels, and the correlation of the microphone with what the canceller takes from it. */
static void levels(echo_gate *g, const float *mic, const float *cancelled, const float *reference,
                   echo_measure *m) {
    float p = 0.0f, r = 0.0f, my = 0.0f, yy = 0.0f;
    for (int i = 0; i < ECHO_FRAME; i++) {
        const float taken = mic[i] - cancelled[i];
        p += mic[i] * mic[i];
        r += reference[i] * reference[i];
        my += mic[i] * taken;
        yy += taken * taken;
    }
    g->mic_power += 0.2f * (p / ECHO_FRAME - g->mic_power);
    g->reference_power += 0.2f * (r / ECHO_FRAME - g->reference_power);
    g->mm += 0.1f * (p - g->mm);
    g->my += 0.1f * (my - g->my);
    g->yy += 0.1f * (yy - g->yy);
    const float both = g->mm * g->yy;
    m->coherence = both > 1e-12f && g->my > 0.0f ? fminf(1.0f, g->my * g->my / both) : 0.0f;
    m->mic_db = to_db(g->mic_power);
    m->reference_db = to_db(g->reference_power);
}

/* Moves a leak towards what a frame shows. */
static float follow(const echo_gate *g, float leak_db, float ratio_db, bool explained) {
    const float haste = g->played_frames < 100 ? 6.0f : g->played_frames < 300 ? 2.0f : 1.0f;
    const float up = explained ? 0.4f * haste : 0.02f, down = 0.06f * haste;
    return ratio_db > leak_db ? fminf(leak_db + up, ratio_db) : fmaxf(leak_db - down, ratio_db);
}

/* Minimum statistics (Martin 2001): the noise of a band is the least power of the last 1.5 s,
 * corrected for being the least. It rises only on the word of pieces in which our own sound
 * explains less than half of it for a quarter of the time: else what the canceller leaves of a
 * steady sound would pass for noise. */
static void follow_noise(echo_gate *g) {
    if (g->frame_index++ < WARM_FRAMES) return; /* the smoothing begins at 0 */
    const int64_t since = g->frame_index - WARM_FRAMES - 1, slot = since / SLOT_FRAMES;
    float *least = g->least[slot % SLOT_COUNT];
    int *telling = g->telling[slot % SLOT_COUNT];
    for (int b = 0; b < BAND_COUNT; b++) {
        if (since % SLOT_FRAMES == 0) {
            least[b] = INFINITY;
            telling[b] = 0;
        }
        least[b] = fminf(least[b], g->cancelled[b]);
        telling[b] += g->expected[b] < 0.5f * g->cancelled[b];
        float all = INFINITY;
        bool tells = false;
        for (int i = 0; i < SLOT_COUNT && i <= slot; i++) {
            all = fminf(all, g->least[i][b]);
            tells |= g->telling[i][b] >= SLOT_FRAMES / 4;
        }
        const float noise = fmaxf(1e-10f, noise_bias * all);
        if (noise < g->noise[b] || tells) g->noise[b] = noise;
    }
}

/* Mean of the VOICE_BEST largest of excess[VOICE_FIRST .. VOICE_END); sorts them. */
static float best_mean(float *excess) {
    float sum = 0.0f;
    for (int i = VOICE_FIRST; i < VOICE_FIRST + VOICE_BEST; i++) {
        int best = i;
        for (int b = i + 1; b < VOICE_END; b++)
            if (excess[b] > excess[best]) best = b;
        const float swap = excess[best];
        excess[best] = excess[i];
        excess[i] = swap;
        sum += swap;
    }
    return sum / VOICE_BEST;
}

/* The spectrum times a gain per band, back to samples: out is the frame before. */
static void synthesise(echo_gate *g, const float *gains, float *out) {
    for (int b = 0; b < BAND_COUNT; b++) {
        int first, end;
        band_bins(b, &first, &end);
        for (int k = 2 * first; k < 2 * end; k++) g->spectrum[k] *= gains[b];
    }
    fft_inverse(g->plan, g->spectrum, g->time);
    for (int i = 0; i < ECHO_FRAME; i++) {
        out[i] = g->overlap[i] + g->time[i] * g->window[i] / WINDOW;
        g->overlap[i] = g->time[i + ECHO_FRAME] * g->window[i + ECHO_FRAME] / WINDOW;
    }
}

/* The frame's spectrum without what is expected of our own sound in it; out is the frame before.
 * Expected is taken away once: with four times as much while nothing sticks out, echo is 4 dB less
 * and the network misses one interruption in forty more (docs/LATENCY.md). */
static void suppress(echo_gate *g, const float *now, float *out) {
    float gains[BAND_COUNT];
    for (int b = 0; b < BAND_COUNT; b++) {
        const float power = fmaxf(now[b], 1e-12f);
        const float left = 1.0f - g->expected[b] / power, hush = sqrtf(g->noise[b] / power);
        gains[b] = fminf(1.0f, fmaxf(fmaxf(left, hush), gain_min));
    }
    synthesise(g, gains, out);
}

void echo_gate_push(echo_gate *g, const float *mic, const float *cancelled, const float *reference,
                    bool active, float *out, echo_measure *m) {
    float now[BAND_COUNT], played[BAND_COUNT], excess[BAND_COUNT];
    float expected_sum = 0.0f, low_sum = 0.0f;
    levels(g, mic, cancelled, reference, m);
    m->settled = g->played_frames >= SETTLE_FRAMES;
    m->margin_db = m->settled ? margin_settled_db : margin_first_db;
    analyse(g, g->reference_last, reference, played);
    analyse(g, g->cancelled_last, cancelled, now);
    if (g->reference_power > 1e-6f) g->played_frames++;
    const bool explained = g->excess_db < m->margin_db;
    for (int b = 0; b < BAND_COUNT; b++) g->cancelled[b] += 0.33f * (now[b] - g->cancelled[b]);
    follow_noise(g);
    for (int b = 0; b < BAND_COUNT; b++) {
        g->smeared[b] = fmaxf(played[b], g->smeared[b] * smear);
        const float floor = 2.0f * g->noise[b];
        if (active && g->smeared[b] > 1e-8f) {
            const float ratio_db =
                to_db(fmaxf(g->cancelled[b] - g->noise[b], 1e-10f)) - to_db(g->smeared[b]);
            if (g->cancelled[b] > floor || ratio_db < g->leak_db[b])
                g->leak_db[b] = follow(g, g->leak_db[b], ratio_db, explained);
        }
        g->expected[b] = active ? from_db(g->leak_db[b]) * g->smeared[b] : 0.0f;
        expected_sum += g->expected[b];
        excess[b] = to_db(g->cancelled[b]) - to_db(g->expected[b] + floor);
        excess[b] = fminf(20.0f, fmaxf(-10.0f, excess[b]));
        if (b < LOW_END) low_sum += excess[b];
    }
    g->excess_db += 0.3f * (best_mean(excess) - g->excess_db);
    g->active_frames = active ? g->active_frames + 1 : 0;
    m->active = active;
    m->begins = active && g->active_frames < BEGIN_FRAMES;
    m->expected_db = to_db(expected_sum);
    m->excess_db = g->excess_db;
    m->low_db = low_sum / LOW_END;
    m->explained = active && m->excess_db < m->margin_db;
    suppress(g, now, out);
}
