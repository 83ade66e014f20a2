/* The echo canceller in a small synthetic room: how much is removed, who is heard, what stays as it
 * was. The rooms of tests/support/room and many voices are the business of the campaigns. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audio/echo.h"

enum { RATE = ECHO_RATE, SECONDS = 12, COUNT = RATE * SECONDS, FRAMES = COUNT / ECHO_FRAME };
static const double pi = 3.14159265358979323846;

static double random_unit(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 33) * 0x1p-31;
}

/* Nearly Gaussian, variance 1. */
static double random_normal(uint64_t *seed) {
    double sum = -6.0;
    for (int i = 0; i < 12; i++) sum += random_unit(seed);
    return sum;
}

static float *line(size_t count) {
    float *x = calloc(count, sizeof *x);
    assert_non_null(x);
    return x;
}

/* Syllables: pulses or hiss through two wandering resonators, with pauses. */
static void speak(float *x, size_t begin, size_t end, double pitch, double level, uint64_t seed) {
    double y1[2] = {0}, y2[2] = {0}, phase = 0.0, f[2] = {500, 1500}, loud = 0.0, sum = 0.0;
    bool voiced = true, sounds = true;
    for (size_t i = begin; i < end; i++) {
        if ((i - begin) % 2400 == 0) { /* 150 ms */
            f[0] = 300 + 500 * random_unit(&seed);
            f[1] = 900 + 1800 * random_unit(&seed);
            voiced = random_unit(&seed) < 0.8;
            sounds = random_unit(&seed) < 0.85;
        }
        phase += pitch * (1.0 + 0.1 * sin(2.0 * pi * 3.0 * (double)i / RATE)) / RATE;
        double source = voiced ? 0.05 * random_normal(&seed) : 0.5 * random_normal(&seed);
        if (phase >= 1.0) {
            phase -= 1.0;
            if (voiced) source += 8.0;
        }
        loud += 0.002 * ((sounds ? 1.0 : 0.0) - loud);
        double out = 0.0;
        for (int k = 0; k < 2; k++) {
            const double r = 0.97,
                         y = source + 2.0 * r * cos(2.0 * pi * f[k] / RATE) * y1[k] - r * r * y2[k];
            y2[k] = y1[k];
            y1[k] = y;
            out += k == 0 ? y : 0.5 * y;
        }
        x[i] = (float)(out * loud);
        sum += (double)x[i] * (double)x[i];
    }
    const float scale = (float)(level / sqrt(sum / (double)(end - begin)));
    for (size_t i = begin; i < end; i++) x[i] *= scale;
}

static void hiss(float *x, size_t begin, size_t end, double level, uint64_t seed) {
    for (size_t i = begin; i < end; i++) x[i] = (float)(level * random_normal(&seed));
}

/* Adds x through a room: direct sound after delay, then a tail that dies by 60 dB in t60. ppm: the
 * microphone's clock is so much slower. */
static void add_room(float *mic, const float *x, double gain, int delay, double t60, double ppm,
                     uint64_t seed) {
    const int taps = (int)(t60 * RATE);
    float *h = line((size_t)taps), *wet = line(COUNT);
    double sum = 0.0;
    h[0] = 1.0f;
    for (int i = 32; i < taps; i++) {
        h[i] = (float)(random_normal(&seed) * pow(10.0, -3.0 * i / (double)taps));
        sum += (double)h[i] * (double)h[i];
    }
    for (int i = 32; i < taps; i++) h[i] *= (float)(0.7 / sqrt(sum));
    for (int i = 0; i < COUNT - delay; i++) {
        if (x[i] == 0.0f) continue;
        for (int k = 0; k < taps && i + delay + k < COUNT; k++) wet[i + delay + k] += x[i] * h[k];
    }
    for (int i = 0; i < COUNT; i++) { /* eight points of a windowed sinc, for the clock */
        const double at = i * (1.0 + ppm * 1e-6);
        const int base = (int)at;
        if (ppm == 0.0) mic[i] += (float)gain * wet[i];
        for (int k = -3; k <= 4 && ppm != 0.0; k++) {
            const double u = base + k - at, w = cos(pi * u / 10.0);
            if (base + k < 0 || base + k >= COUNT) continue;
            mic[i] += (float)(gain * (double)wet[base + k] *
                              (fabs(u) < 1e-9 ? 1.0 : sin(pi * u) / (pi * u) * w * w));
        }
    }
    free(h);
    free(wet);
}

static double level_db(const float *x, int begin, int end) {
    double sum = 1e-20;
    for (int i = begin; i < end; i++) sum += (double)x[i] * (double)x[i];
    return 10.0 * log10(sum / (end - begin));
}

static void run(echo *e, const float *mic, const float *reference, float *out, echo_measure *m) {
    for (int f = 0; f < FRAMES; f++)
        echo_cancel(e, mic + f * ECHO_FRAME, reference + f * ECHO_FRAME, out + f * ECHO_FRAME,
                    m != NULL ? &m[f] : NULL);
}

typedef struct scene {
    float *reference, *mic, *out;
    echo_measure m[FRAMES];
    echo *e;
} scene;

static scene *open_scene(void) {
    scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->reference = line(COUNT);
    s->mic = line(COUNT);
    s->out = line(COUNT);
    assert_int_equal(echo_create(NULL, &s->e), RNL_OK);
    return s;
}

static void close_scene(scene *s) {
    echo_destroy(&s->e);
    assert_null(s->e);
    free(s->reference);
    free(s->mic);
    free(s->out);
    free(s);
}

static const struct {
    const char *name;
    bool noise;
    int delay_ms;
    double t60, ppm, gain;
} rooms[] = {
    {"near", false, 20, 0.2, 0.0, 0.5},       {"usual", false, 90, 0.3, 0.0, 0.5},
    {"far", false, 300, 0.3, 0.0, 1.0},       {"noise", true, 90, 0.3, 0.0, 0.5},
    {"fast clock", false, 90, 0.2, 200, 0.5}, {"slow clock", false, 150, 0.2, -200, 0.5},
};
enum { ROOM_COUNT = sizeof rooms / sizeof *rooms };

static int room_count(void) {
    return getenv("RUNNEL_TEST_SHORT") != NULL ? 2 : ROOM_COUNT;
}

/* We speak from the first second on, alone: 25 dB less from 3 s on, and all of it explained. */
static void test_reduction(void **state) {
    (void)state;
    for (int r = 0; r < room_count(); r++) {
        scene *s = open_scene();
        if (rooms[r].noise)
            hiss(s->reference, RATE, COUNT, 0.05, 11);
        else
            speak(s->reference, RATE, COUNT, 120.0, 0.08, 12);
        add_room(s->mic, s->reference, rooms[r].gain, rooms[r].delay_ms * RATE / 1000, rooms[r].t60,
                 rooms[r].ppm, 13);
        run(s->e, s->mic, s->reference, s->out, s->m);
        const int begin = 4 * RATE;
        const double before = level_db(s->mic, begin, COUNT - ECHO_DELAY),
                     after = level_db(s->out, begin + ECHO_DELAY, COUNT);
        print_message("%s: %.1f dB\n", rooms[r].name, before - after);
        if (before - after < 25.0) fail_msg("%s: only %.1f dB", rooms[r].name, before - after);
        int unexplained = 0;
        for (int f = 130; f < FRAMES; f++) {
            assert_true(s->m[f].active);
            unexplained += !s->m[f].explained;
        }
        if (unexplained > FRAMES / 100)
            fail_msg("%s: %d frames of our own sound are unexplained", rooms[r].name, unexplained);
        const echo_measure *last = &s->m[FRAMES - 1];
        assert_true(last->settled && fabsf(last->delay_ms - (float)rooms[r].delay_ms) < 4.0f);
        assert_true(s->m[FRAMES / 2].coherence > 0.7f);
        assert_true(last->expected_db < last->mic_db - 5.0f);
        close_scene(s);
    }
}

/* Somebody speaks over us: found within 300 ms, and heard. */
static void test_near_speech(void **state) {
    (void)state;
    for (int r = 0; r < room_count(); r++) {
        scene *s = open_scene();
        float *near = line(COUNT);
        const int begin = 6 * RATE, end = 9 * RATE;
        speak(s->reference, RATE, COUNT, 120.0, 0.08, 12);
        speak(near, (size_t)begin, (size_t)end, 210.0, 0.05, 14);
        add_room(s->mic, s->reference, rooms[r].gain, rooms[r].delay_ms * RATE / 1000, rooms[r].t60,
                 rooms[r].ppm, 13);
        add_room(s->mic, near, 1.0, 0, 0.2, 0.0, 15);
        run(s->e, s->mic, s->reference, s->out, s->m);
        int found = 0, first = -1;
        for (int f = begin / ECHO_FRAME; f < end / ECHO_FRAME; f++) {
            found += !s->m[f].explained;
            if (first < 0 && found >= 10) first = f - begin / ECHO_FRAME;
        }
        print_message("%s: found after %d ms\n", rooms[r].name, 10 * first);
        if (first < 0 || first > 30) fail_msg("%s: found after %d ms", rooms[r].name, 10 * first);
        /* What is left in the output is the speaker, not silence. */
        const double wanted = level_db(near, begin, end),
                     heard = level_db(s->out, begin + ECHO_DELAY, end + ECHO_DELAY);
        if (fabs(wanted - heard) > 6.0)
            fail_msg("%s: heard at %.1f dB, not %.1f", rooms[r].name, heard, wanted);
        /* And afterwards we are ourselves again. */
        int again = 0;
        for (int f = 1050; f < FRAMES; f++) again += !s->m[f].explained;
        assert_true(again < 5);
        free(near);
        close_scene(s);
    }
}

/* While nothing is played the microphone passes bit for bit, a frame late; also after a reply. */
static void test_quiet_is_untouched(void **state) {
    (void)state;
    scene *s = open_scene();
    speak(s->mic, 0, COUNT, 180.0, 0.1, 21);
    speak(s->reference, 4 * RATE, 5 * RATE, 120.0, 0.1, 22);
    run(s->e, s->mic, s->reference, s->out, s->m);
    const size_t size = sizeof(float);
    assert_memory_equal(s->out + ECHO_DELAY, s->mic, (4 * RATE - 2 * ECHO_DELAY) * size);
    for (int f = 0; f < 400; f++) assert_false(s->m[f].active || s->m[f].explained);
    assert_true(s->m[450].active);
    /* Delay unknown: 500 ms, then the tail and the room, 1.2 s in all. */
    const int from = 6 * RATE + RATE / 2;
    assert_memory_equal(s->out + from + ECHO_DELAY, s->mic + from,
                        (size_t)(COUNT - from - ECHO_DELAY) * size);
    assert_false(s->m[FRAMES - 1].active);
    assert_true(fabs((double)s->m[FRAMES / 4].mic_db - (double)s->m[FRAMES / 4].out_db) < 3.0);
    close_scene(s);
}

static void test_same_bits(void **state) {
    (void)state;
    scene *a = open_scene(), *b = open_scene();
    speak(a->reference, RATE, COUNT, 120.0, 0.08, 12);
    add_room(a->mic, a->reference, 0.5, 1440, 0.1, 0.0, 13);
    run(a->e, a->mic, a->reference, a->out, a->m);
    run(b->e, a->mic, a->reference, b->out, b->m);
    assert_memory_equal(a->out, b->out, COUNT * sizeof(float));
    assert_memory_equal(a->m, b->m, sizeof a->m);
    /* In place equals apart. */
    echo_destroy(&b->e);
    assert_int_equal(echo_create(NULL, &b->e), RNL_OK);
    memcpy(b->out, a->mic, COUNT * sizeof(float));
    run(b->e, b->out, a->reference, b->out, b->m);
    assert_memory_equal(a->out, b->out, COUNT * sizeof(float));
    assert_memory_equal(a->m, b->m, sizeof a->m);
    close_scene(a);
    close_scene(b);
}

static void test_config(void **state) {
    (void)state;
    echo *e = NULL;
    echo_config c = echo_config_default();
    const echo_config bad[] = {{63, 500, -1},   {513, 500, -1},  {256, 49, -1},
                               {256, 1001, -1}, {256, 500, 501}, {256, 500, -2}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(echo_create(&bad[i], &e), RNL_ERR_ARGUMENT);
        assert_null(e);
    }
    /* A delay that is given is used at once. */
    c.delay_ms = 90;
    assert_int_equal(echo_create(&c, &e), RNL_OK);
    float frame[ECHO_FRAME] = {0};
    echo_measure m;
    for (int i = 0; i < 2; i++) echo_cancel(e, frame, frame, frame, &m);
    assert_true(m.delay_ms == 90.0f);
    echo_destroy(&e);
    echo_destroy(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reduction),
        cmocka_unit_test(test_near_speech),
        cmocka_unit_test(test_quiet_is_untouched),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_config),
    };
    return cmocka_run_group_tests_name("echo", tests, NULL, NULL);
}
