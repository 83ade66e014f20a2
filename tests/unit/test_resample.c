/* The resampler: tones come out as tones, lengths are exact, and neither the cut of the input nor
 * the room for the output nor an earlier clip shows in a single bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/resample.h"

enum { RATE = 16000, OUT_CAP = 1 << 18, EDGE = 80 };
static const double pi = 3.14159265358979323846;

typedef struct fixture {
    resampler *r;
    float *out, *other; /* [OUT_CAP] */
} fixture;

static int open_resampler(void **state) {
    fixture *f = calloc(1, sizeof *f);
    if (f == NULL) return -1;
    f->out = malloc(OUT_CAP * sizeof *f->out);
    f->other = malloc(OUT_CAP * sizeof *f->other);
    *state = f;
    return resampler_create(&f->r) == RNL_OK && f->out != NULL && f->other != NULL ? 0 : -1;
}

static int close_resampler(void **state) {
    fixture *f = *state;
    resampler_destroy(&f->r);
    assert_null(f->r);
    resampler_destroy(&f->r);
    free(f->out);
    free(f->other);
    free(f);
    return 0;
}

static uint32_t random_u32(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static float *noise(size_t count, uint64_t seed) {
    float *x = malloc((count + 1) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++) x[i] = (float)random_u32(&seed) * 0x1p-31f - 0.5f;
    return x;
}

static float *tone(double hz, int rate, size_t count) {
    float *x = malloc((count + 1) * sizeof *x);
    assert_non_null(x);
    for (size_t k = 0; k < count; k++)
        x[k] = (float)(0.5 * sin(2 * pi * hz * (double)k / (double)rate));
    return x;
}

/* A whole clip. seed 0: in one piece; else pieces and room of random size, also zero. */
static size_t run(resampler *r, int rate_in, int rate_out, const float *x, size_t count,
                  uint64_t seed, float *out) {
    size_t total = 0, made, taken;
    resampler_begin(r, rate_in, rate_out);
    for (size_t at = 0; at < count; at += taken) {
        size_t piece = count - at, room = OUT_CAP - total;
        if (seed != 0) {
            const size_t wanted = random_u32(&seed) % 3000, space = random_u32(&seed) % 2000;
            if (wanted < piece) piece = wanted;
            if (space < room) room = space;
        }
        resampler_push(r, x + at, piece, &taken, out + total, room, &made);
        assert_true(taken <= piece && made <= room);
        total += made;
    }
    do {
        const size_t room = seed != 0 ? 1 + random_u32(&seed) % 500 : OUT_CAP - total;
        resampler_finish(r, out + total, room, &made);
        assert_true(made <= room);
        total += made;
    } while (made > 0);
    return total;
}

/* The signals of audio.md 3.1: 20 ms of a 1 kHz tone, 320 samples out of each. At the edges the
 * filter sees the silence around; a filter of another design differs there. */
static void tones_of_the_specification(void **state) {
    fixture *f = *state;
    const int rates[] = {8000, 24000, 44100, 48000};
    const float middle[] = {0.5000853f, 0.4998152f, 0.4998006f, 0.4998007f}; /* y[100] there */
    for (size_t i = 0; i < 4; i++) {
        float *x = tone(1000, rates[i], (size_t)rates[i] / 50);
        assert_int_equal(run(f->r, rates[i], RATE, x, (size_t)rates[i] / 50, 0, f->out), 320);
        assert_true(fabsf(f->out[100] - middle[i]) < 2e-3f);
        for (int k = 0; k < 320; k++) {
            const double d = fabs((double)f->out[k] - 0.5 * sin(2 * pi * k / 16));
            assert_true(d < (k < EDGE || k >= 320 - EDGE ? 0.05 : 2e-3));
        }
        free(x);
    }
}

/* A second of a tone: in the pass band it keeps level and phase, above it is gone. */
static void pass_band_and_stop_band(void **state) {
    fixture *f = *state;
    const struct {
        int rate_in, rate_out;
        double hz;
        bool passes;
    } cases[] = {
        {8000, 16000, 3500, true},    {24000, 16000, 7000, true},  {24000, 16000, 9000, false},
        {44100, 16000, 7000, true},   {44100, 16000, 9000, false}, {48000, 16000, 100, true},
        {48000, 16000, 12000, false}, {16000, 48000, 7000, true},  {24000, 44100, 10000, true},
        {192000, 16000, 5000, true},  {4000, 16000, 1500, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t count = (size_t)cases[i].rate_in, out_count = (size_t)cases[i].rate_out;
        float *x = tone(cases[i].hz, cases[i].rate_in, count);
        assert_int_equal(run(f->r, cases[i].rate_in, cases[i].rate_out, x, count, 0, f->out),
                         out_count);
        double worst = 0;
        for (size_t k = out_count / 4; k < out_count * 3 / 4; k++) {
            const double t = (double)k / cases[i].rate_out;
            const double want = cases[i].passes ? 0.5 * sin(2 * pi * cases[i].hz * t) : 0;
            const double d = fabs((double)f->out[k] - want);
            if (!(d <= worst)) worst = d;
        }
        printf("%d -> %d, %g Hz: %.2g\n", cases[i].rate_in, cases[i].rate_out, cases[i].hz, worst);
        assert_true(worst < 1e-4);
        free(x);
    }
}

static const int pairs[][2] = {{8000, 16000},  {11025, 16000}, {44100, 16000},
                               {48000, 16000}, {16000, 24000}, {768000, 16000},
                               {4000, 16000},  {24000, 48000}, {16000, 16000}};
enum { PAIR_COUNT = sizeof pairs / sizeof pairs[0] };

/* ceil(count * out / in), from nothing at all to several inner blocks. */
static void lengths_are_exact(void **state) {
    fixture *f = *state;
    const size_t counts[] = {0, 1, 2, 3, 479, 480, 1023, 1024, 1025, 2048, 5000};
    for (size_t p = 0; p < PAIR_COUNT; p++) {
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            float *x = noise(counts[i], 5);
            const size_t in = (size_t)pairs[p][0], out = (size_t)pairs[p][1];
            assert_int_equal(run(f->r, pairs[p][0], pairs[p][1], x, counts[i], 0, f->out),
                             (counts[i] * out + in - 1) / in);
            free(x);
        }
    }
}

static void law_any_cut_gives_the_same_samples(void **state) {
    fixture *f = *state;
    for (size_t p = 0; p < PAIR_COUNT; p++) {
        const size_t count = 9001;
        float *x = noise(count, 6);
        const size_t whole = run(f->r, pairs[p][0], pairs[p][1], x, count, 0, f->out);
        for (uint64_t seed = 1; seed <= 6; seed++) {
            const size_t cut = run(f->r, pairs[p][0], pairs[p][1], x, count, seed, f->other);
            if (cut != whole || memcmp(f->out, f->other, whole * sizeof *f->out) != 0)
                fail_msg("%d -> %d: seed %d differs", pairs[p][0], pairs[p][1], (int)seed);
        }
        free(x);
    }
}

/* An abandoned clip of another rate, full of noise, leaves nothing behind. */
static void law_begin_equals_fresh(void **state) {
    fixture *f = *state;
    float *x = noise(20000, 7), *y = noise(5000, 8);
    resampler *fresh = NULL;
    assert_int_equal(resampler_create(&fresh), RNL_OK);
    const size_t want = run(fresh, 44100, RATE, y, 5000, 0, f->out);
    resampler_destroy(&fresh);
    /* Given up with output waiting, and with a part of an inner block waiting. */
    const size_t counts[] = {20000, 1500}, rooms[] = {7001, OUT_CAP};
    for (size_t i = 0; i < 2; i++) {
        size_t taken, made;
        resampler_begin(f->r, 8000, 48000);
        resampler_push(f->r, x, counts[i], &taken, f->other, rooms[i], &made);
        assert_int_equal(run(f->r, 44100, RATE, y, 5000, 0, f->other), want);
        assert_memory_equal(f->out, f->other, want * sizeof *f->out);
    }
    free(x);
    free(y);
}

static void equal_rates_pass_untouched(void **state) {
    fixture *f = *state;
    float *x = noise(5000, 9);
    assert_int_equal(run(f->r, 24000, 24000, x, 5000, 3, f->out), 5000);
    assert_memory_equal(f->out, x, 5000 * sizeof *x);
    free(x);
}

static void finish_without_input_gives_nothing(void **state) {
    fixture *f = *state;
    size_t made = 1;
    resampler_begin(f->r, 48000, RATE);
    resampler_finish(f->r, f->out, OUT_CAP, &made);
    assert_int_equal(made, 0);
    resampler_finish(f->r, f->out, OUT_CAP, &made); /* a second finish does nothing */
    assert_int_equal(made, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tones_of_the_specification),
        cmocka_unit_test(pass_band_and_stop_band),
        cmocka_unit_test(lengths_are_exact),
        cmocka_unit_test(law_any_cut_gives_the_same_samples),
        cmocka_unit_test(law_begin_equals_fresh),
        cmocka_unit_test(equal_rates_pass_untouched),
        cmocka_unit_test(finish_without_input_gives_nothing),
    };
    return cmocka_run_group_tests(tests, open_resampler, close_resampler);
}
