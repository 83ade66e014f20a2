/* engine/speech.c: speech is found at any level and rate, and in nothing else. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <runnel/runnel.h>

#include "core/random.h"
#include "tests/support/rig.h"

enum { RATE = 16000, COUNT = 3 * RATE };
static const float pi = 3.14159265f;

static rnl_model *model;

static int open_all(void **state) {
    (void)state;
    rnl_model_config config = rnl_model_config_default();
    return rnl_model_open(SOURCE_DIR "/tests/data/gguf/tiny-F16.gguf", &config, &model, NULL);
}

static int close_all(void **state) {
    (void)state;
    rnl_model_close(&model);
    return 0;
}

static double heard(const float *samples, size_t count, int rate) {
    double ms = -1;
    rnl_error error = {0};
    if (rnl_model_speech_ms(model, samples, count, rate, &ms, &error) != RNL_OK)
        fail_msg("%s", error.text);
    return ms;
}

static float noise(random_state *r) {
    float sum = 0; /* nearly a normal distribution */
    for (int i = 0; i < 12; i++) sum += (float)random_unit(r);
    return sum - 6;
}

/* Sound of some kind that nobody said. */
static float made(int kind, int i, random_state *r) {
    const float t = (float)i / RATE;
    switch (kind) {
    case 0:
        return 0;
    case 1:
        return noise(r);
    case 2:
        return sinf(2 * pi * 50 * t) + 0.3f * sinf(2 * pi * 150 * t); /* hum */
    case 3:
        return sinf(2 * pi * 440 * t);
    case 4:
        return sinf(2 * pi * (100 + 400 * t) * t); /* a sweep */
    case 5:
        return i % 8000 == 0 ? 1 : 0; /* clicks */
    case 6:
        return noise(r) * expf(-(float)(i % 8000) / 80); /* knocks */
    case 7:
        return noise(r) * powf(fabsf(sinf(2 * pi * 0.7f * t)), 3); /* gusts */
    case 8:
        return sinf(2 * pi * 120 * t) > 0 ? 1 : -1; /* a buzzer */
    default:
        return sinf(2 * pi * 262 * t) + sinf(2 * pi * 330 * t) + sinf(2 * pi * 392 * t);
    }
}

static void noises_are_no_speech_at_any_level(void **state) {
    (void)state;
    static float samples[COUNT];
    for (int kind = 0; kind < 10; kind++) {
        for (int level = 0; level < 3; level++) {
            const float gain = 0.25f * powf(0.01f, (float)level);
            random_state r;
            random_seed(&r, 5);
            for (int i = 0; i < COUNT; i++) samples[i] = gain * made(kind, i, &r);
            const double ms = heard(samples, COUNT, RATE);
            if (ms >= RNL_SPEECH_MS_MIN) fail_msg("kind %d, level %d: %.0f ms", kind, level, ms);
        }
    }
}

static void speech_is_heard_at_any_level_and_rate(void **state) {
    (void)state;
    static const char *const names[] = {"who", "light", "window"};
    for (int n = 0; n < 3; n++) {
        char path[64];
        (void)snprintf(path, sizeof path, "../../samples/questions/%s.wav", names[n]);
        const size_t count = rig_wav_count(path);
        float *clip = rig_wav(path, 0, count);
        const double whole = heard(clip, count, RATE);
        assert_true(whole > 500 && whole <= 1000.0 * (double)count / RATE + 32);
        for (int level = 1; level < 4; level++) { /* down to -60 dB */
            for (size_t i = 0; i < count; i++) clip[i] *= 0.1f;
            assert_true(fabs(heard(clip, count, RATE) - whole) <= 96);
        }
        /* Every sample three times: at three times the rate it is the same speech. */
        float *slow = malloc(3 * count * sizeof *slow);
        assert_non_null(slow);
        for (size_t i = 0; i < 3 * count; i++) slow[i] = clip[i / 3];
        assert_true(heard(slow, 3 * count, 3 * RATE) >= RNL_SPEECH_MS_MIN);
        /* Nothing but a corner of it is no question. */
        assert_true(heard(clip, RATE / 10, RATE) < RNL_SPEECH_MS_MIN);
        free(slow);
        free(clip);
    }
}

static void what_is_no_clip_is_refused(void **state) {
    (void)state;
    float samples[4] = {0};
    double ms;
    rnl_error error = {0};
    assert_true(heard(samples, 0, RATE) == 0);
    assert_true(heard(NULL, 0, RATE) == 0);
    assert_true(heard(samples, 1, RATE) == 0);
    assert_int_equal(rnl_model_speech_ms(NULL, samples, 4, RATE, &ms, &error), RNL_ERR_ARGUMENT);
    assert_int_equal(rnl_model_speech_ms(model, NULL, 4, RATE, &ms, &error), RNL_ERR_ARGUMENT);
    assert_int_equal(rnl_model_speech_ms(model, samples, 4, 3999, &ms, &error), RNL_ERR_ARGUMENT);
    assert_int_equal(rnl_model_speech_ms(model, samples, 4, 768001, &ms, &error), RNL_ERR_ARGUMENT);
    for (int i = 0; i < 2; i++) {
        samples[2] = i == 0 ? NAN : INFINITY;
        assert_int_equal(rnl_model_speech_ms(model, samples, 4, RATE, &ms, &error), RNL_ERR_DATA);
        assert_true(ms == 0);
        assert_non_null(strstr(error.text, "sample 2"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noises_are_no_speech_at_any_level),
        cmocka_unit_test(speech_is_heard_at_any_level_and_rate),
        cmocka_unit_test(what_is_no_clip_is_refused),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
