#include "tests/support/room.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/fft.h"
#include "core/random.h"

enum {
    WINDOW = 2 * ROOM_BLOCK,
    SPECTRUM = 336, /* WINDOW + 2, rounded up to 64 bytes */
    LINE = 1 << 15, /* samples of the loudspeaker's past */
    TAPS = 32,      /* of the interpolator */
    PINK_COUNT = 5  /* low-passes: 30, 120, 480, 1920, 7680 Hz */
};
static const double pi = 3.14159265358979323846, sound_m_s = 343.0;
static const double high_t60 = 0.7;         /* of T60, above 2 kHz */
static const double talker_directivity = 2; /* a mouth that faces the microphone */

/* Convolution with a long response, block by block and without delay: the response in parts of a
 * block, each multiplied with the spectrum of the input as many blocks ago. */
typedef struct response {
    int part_count, newest;
    float *parts;   /* [part_count, SPECTRUM] */
    float *spectra; /* [part_count, SPECTRUM] of the input, a ring */
    float *work;    /* [2 * SPECTRUM] */
    float last[ROOM_BLOCK];
} response;

struct room {
    room_config c;
    fft_plan *plan;
    response talker, speaker;
    float *line;          /* [LINE] samples handed to the loudspeaker, a ring */
    int64_t sample_index; /* of the next block */
    random_state noise;
    double pink[PINK_COUNT], pink_rms;
};

static double between(random_state *s, double low, double high) {
    return low + (high - low) * random_unit(s);
}

static double gaussian(random_state *s) {
    const double u = 1.0 - random_unit(s), v = random_unit(s);
    return sqrt(-2.0 * log(u)) * cos(2.0 * pi * v);
}

room_config room_draw(uint64_t seed) {
    random_state s;
    random_seed(&s, seed ^ 0x726f6f6dull);
    room_config c = {.seed = seed, .noise_db = -200};
    c.t60_s = between(&s, 0.2, 0.8);
    c.volume_m3 = between(&s, 30, 90);
    c.talker_m = between(&s, 0.5, 1.5);
    c.speaker_m = between(&s, 0.3, 1.0);
    c.speaker_db = between(&s, -12, -6);
    c.clip = random_unit(&s) < 0.5 ? 0 : between(&s, 0.3, 0.8);
    c.delay_ms = between(&s, 20, 300);
    c.drift_ppm = between(&s, -200, 200);
    return c;
}

/* Pink noise of no particular level: the same white noise through low-passes two octaves apart,
 * each half as strong as the one below it: 3 dB less an octave from 30 Hz to 8 kHz, within 1 dB. */
static double pink(random_state *s, double *low) {
    const double white = gaussian(s);
    double sum = 0;
    for (int p = 0; p < PINK_COUNT; p++) {
        const double share = 1 - exp(-2 * pi * 30 * pow(4, p) / ROOM_RATE);
        low[p] += share * (white - low[p]);
        sum += low[p] * pow(2, PINK_COUNT - p);
    }
    return sum;
}

static void *take(size_t count, size_t size) {
    const size_t bytes = (count * size + 63) / 64 * 64;
    void *p = aligned_alloc(64, bytes);
    assert_non_null(p);
    memset(p, 0, bytes);
    return p;
}

static void response_free(response *r) {
    free(r->parts);
    free(r->spectra);
    free(r->work);
}

/* Energy of the diffuse field where the direct sound at 1 m is 1; the sum of a squared envelope
 * 10^(-3 t / T60) is T60 / (6 ln 10) seconds. Above 2 kHz rooms absorb more. */
static void add_tail(const room_config *c, float *h, int count, double gain, random_state *s) {
    const double diffuse = c->t60_s / (0.057 * 0.057 * c->volume_m3);
    const double scale = gain * sqrt(diffuse * 6.0 * log(10.0) / (c->t60_s * ROOM_RATE));
    const double share = 1 - exp(-2 * pi * 2000 / ROOM_RATE);
    double low = 0;
    for (int i = 0; i < count; i++) {
        const double white = gaussian(s), t = -3.0 * (i + 1) / count;
        low += share * (white - low);
        h[i] = (float)(scale * (low * pow(10, t) + (white - low) * pow(10, t / high_t60)));
    }
}

static response response_make(const fft_plan *plan, const room_config *c, double distance_m,
                              double directivity, double gain, random_state *s) {
    const int direct = (int)lrint(distance_m / sound_m_s * ROOM_RATE);
    const int tail = (int)(c->t60_s * ROOM_RATE), length = direct + 1 + tail;
    response r = {.part_count = (length + ROOM_BLOCK - 1) / ROOM_BLOCK};
    float *h = take((size_t)(r.part_count * ROOM_BLOCK), sizeof *h);
    h[direct] = (float)(gain / distance_m);
    if (tail > 0) add_tail(c, h + direct + 1, tail, gain / sqrt(directivity), s);
    r.parts = take((size_t)r.part_count * SPECTRUM, sizeof *r.parts);
    r.spectra = take((size_t)r.part_count * SPECTRUM, sizeof *r.spectra);
    r.work = take(2 * SPECTRUM, sizeof *r.work);
    for (int p = 0; p < r.part_count; p++) {
        memset(r.work, 0, WINDOW * sizeof *r.work);
        memcpy(r.work, h + (ptrdiff_t)p * ROOM_BLOCK, ROOM_BLOCK * sizeof *h);
        fft_forward(plan, r.work, r.parts + (size_t)p * SPECTRUM);
    }
    free(h);
    return r;
}

static void response_run(response *r, const fft_plan *plan, const float *in, float *out) {
    float *sum = r->work + SPECTRUM;
    memcpy(r->work, r->last, sizeof r->last);
    memcpy(r->work + ROOM_BLOCK, in, sizeof r->last);
    memcpy(r->last, in, sizeof r->last);
    r->newest = (r->newest + 1) % r->part_count;
    fft_forward(plan, r->work, r->spectra + (size_t)r->newest * SPECTRUM);
    memset(sum, 0, SPECTRUM * sizeof *sum);
    for (int p = 0; p < r->part_count; p++) {
        const int at = (r->newest - p + r->part_count) % r->part_count;
        const float *h = r->parts + (size_t)p * SPECTRUM, *x = r->spectra + (size_t)at * SPECTRUM;
        for (int i = 0; i < WINDOW + 2; i += 2) {
            sum[i] += h[i] * x[i] - h[i + 1] * x[i + 1];
            sum[i + 1] += h[i] * x[i + 1] + h[i + 1] * x[i];
        }
    }
    fft_inverse(plan, sum, r->work);
    for (int i = 0; i < ROOM_BLOCK; i++) out[i] = r->work[ROOM_BLOCK + i] / WINDOW;
}

room *room_create(const room_config *c) {
    assert_true(c->delay_ms >= 5 && c->delay_ms <= 500 && c->talker_m >= 0.1 &&
                c->speaker_m >= 0.1 && c->t60_s <= 2);
    room *r = take(1, sizeof *r);
    random_state s;
    r->c = *c;
    assert_int_equal(fft_plan_create(WINDOW, &r->plan), RNL_OK);
    random_seed(&s, c->seed);
    r->talker = response_make(r->plan, c, c->talker_m, talker_directivity, 1, &s);
    r->speaker = response_make(r->plan, c, c->speaker_m, 1, pow(10, c->speaker_db / 20), &s);
    r->line = take(LINE, sizeof *r->line);
    random_seed(&r->noise, c->seed + 1);
    double power = 0;
    for (int i = 0; i < 4 * ROOM_RATE; i++) {
        const double x = pink(&r->noise, r->pink);
        power += x * x / (4 * ROOM_RATE);
    }
    r->pink_rms = sqrt(power);
    return r;
}

void room_destroy(room *r) {
    if (r == NULL) return;
    response_free(&r->talker);
    response_free(&r->speaker);
    free(r->line);
    fft_plan_destroy(&r->plan);
    free(r);
}

/* The loudspeaker's signal at a position between its samples: a windowed sinc. */
static double interpolate(const room *r, double position) {
    const double whole = floor(position), part = position - whole;
    const int64_t first = (int64_t)whole - TAPS / 2 + 1;
    /* Not yet handed over: the drift has used up the delay. */
    assert_true(first + TAPS <= r->sample_index + ROOM_BLOCK);
    if (whole < 0) return 0;
    if (part < 1e-9) return (double)r->line[(int64_t)whole % LINE];
    double sum = 0, sign = sin(pi * part);
    for (int t = first < 0 ? (int)-first : 0; t < TAPS; t++) {
        const double x = part + TAPS / 2 - 1 - t; /* distance to the tap */
        const double sinc = (t % 2 == 0 ? -1 : 1) * sign / (pi * x);
        const double window = 0.5 + 0.5 * cos(2 * pi * x / TAPS);
        sum += sinc * window * (double)r->line[(first + t) % LINE];
    }
    return sum;
}

static void play(room *r, const float *speaker, float *out) {
    for (int i = 0; i < ROOM_BLOCK; i++) r->line[(r->sample_index + i) % LINE] = speaker[i];
    const double delay = r->c.delay_ms * ROOM_RATE / 1000;
    for (int i = 0; i < ROOM_BLOCK; i++) {
        const double now = (double)(r->sample_index + i);
        const double x = interpolate(r, now * (1 + r->c.drift_ppm * 1e-6) - delay);
        out[i] = (float)(r->c.clip > 0 ? r->c.clip * tanh(x / r->c.clip) : x);
    }
    r->sample_index += ROOM_BLOCK;
}

static void make_noise(room *r, float *out) {
    const double scale = pow(10, r->c.noise_db / 20) / r->pink_rms;
    for (int i = 0; i < ROOM_BLOCK; i++) out[i] = (float)(scale * pink(&r->noise, r->pink));
}

void room_step(room *r, const float *speaker, const float *near, float *mic, room_parts *parts) {
    room_parts own;
    float played[ROOM_BLOCK];
    if (parts == NULL) parts = &own;
    play(r, speaker, played);
    response_run(&r->speaker, r->plan, played, parts->echo);
    response_run(&r->talker, r->plan, near, parts->near);
    make_noise(r, parts->noise);
    for (int i = 0; i < ROOM_BLOCK; i++) {
        const float sum = parts->near[i] + parts->echo[i] + parts->noise[i];
        mic[i] = fmaxf(-1, fminf(1, sum));
    }
}

void room_turn(room *r, const room_loop *loop, const float *near, room_parts *parts) {
    float speaker[ROOM_BLOCK], mic[ROOM_BLOCK];
    loop->pull(loop->context, speaker);
    room_step(r, speaker, near, mic, parts);
    loop->push(loop->context, mic);
}
