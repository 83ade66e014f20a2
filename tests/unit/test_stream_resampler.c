/* The resampler of streams: tones stay tones in their place, counts are what the rates say,
 * steering stretches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/resample.h"

static const double pi = 3.14159265358979323846;

/* count samples of a tone in pieces; returns how many came out. */
static size_t run(stream_resampler *r, double hz, int rate, size_t count, float *out, size_t cap) {
    float piece[441];
    size_t total = 0;
    for (size_t at = 0; at < count;) {
        const size_t n = count - at < 441 ? count - at : 441;
        size_t taken, made, used = 0;
        for (size_t i = 0; i < n; i++)
            piece[i] = (float)(0.5 * sin(2.0 * pi * hz * (double)(at + i) / rate));
        do {
            stream_resampler_push(r, piece + used, n - used, &taken, out + total,
                                  cap - total < 97 ? cap - total : 97, &made);
            used += taken;
            total += made;
        } while (made > 0 || used < n);
        at += n;
    }
    return total;
}

static void test_rates(void **state) {
    (void)state;
    const int pairs[][2] = {{8000, 16000},  {11025, 16000},  {16000, 16000}, {44100, 16000},
                            {48000, 16000}, {192000, 16000}, {24000, 8000},  {24000, 44100},
                            {24000, 48000}, {24000, 192000}};
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        const int in = pairs[k][0], out = pairs[k][1];
        const size_t cap = (size_t)out + 10;
        float *y = malloc(cap * sizeof *y);
        stream_resampler *r = NULL;
        assert_non_null(y);
        assert_int_equal(stream_resampler_create(in, out, &r), RNL_OK);
        const size_t made = run(r, 440.0, in, (size_t)in, y, cap);
        /* A second, less what the filter still wants to see: 46 samples of the lower rate. */
        const double held = (double)out - (double)made, lower = in < out ? in : out;
        if (held < 0.0 || held > 48.0 * out / lower)
            fail_msg("%d -> %d: %zu made, %g held", in, out, made, held);
        /* In its place: no delay, right from the beginning but for the edge of the filter. */
        for (size_t i = (size_t)out / 50; i < made; i++) {
            const double wanted = 0.5 * sin(2.0 * pi * 440.0 * (double)i / out);
            if (fabs((double)y[i] - wanted) > 1e-3)
                fail_msg("%d -> %d: sample %zu is %g, not %g", in, out, i, (double)y[i], wanted);
        }
        /* Reset equals fresh. */
        float first[100];
        memcpy(first, y, sizeof first);
        stream_resampler_reset(r);
        assert_int_equal(run(r, 440.0, in, (size_t)in, y, cap), made);
        assert_memory_equal(first, y, sizeof first);
        stream_resampler_destroy(&r);
        assert_null(r);
        free(y);
    }
}

static void test_steering(void **state) {
    (void)state;
    enum { SECONDS = 20, RATE = 16000, CAP = RATE * SECONDS + 1000 };
    float *y = malloc(CAP * sizeof *y);
    assert_non_null(y);
    const double ppms[] = {-900.0, -500.0, 200.0, 500.0};
    for (int k = 0; k < 4; k++) {
        stream_resampler *r = NULL;
        assert_int_equal(stream_resampler_create(RATE, RATE, &r), RNL_OK);
        stream_resampler_steer(r, ppms[k]);
        const size_t made = run(r, 440.0, RATE, RATE * SECONDS, y, CAP);
        const double ppm = ppms[k] < -500.0 ? -500.0 : ppms[k]; /* the cap */
        const double wanted = RATE * SECONDS * (1.0 + ppm * 1e-6);
        assert_true(fabs((double)made - wanted) < 60.0);
        stream_resampler_destroy(&r);
    }
    free(y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_steering),
    };
    return cmocka_run_group_tests_name("stream_resampler", tests, NULL, NULL);
}
