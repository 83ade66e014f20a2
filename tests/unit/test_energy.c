/* The energy gate on noise, tones and speech in noise. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/random.h"
#include "tests/support/rig.h"
#include "vad/energy.h"

static random_state source;

/* White noise of a level plus an offset; returns whether the gate is open behind the last block. */
static bool hear(energy_gate *e, int block_count, double dbfs, float offset) {
    const double scale = pow(10, dbfs / 20) * sqrt(3.0); /* uniform in [-scale, scale) */
    bool open = false;
    for (int b = 0; b < block_count; b++) {
        float x[VAD_BLOCK];
        for (int i = 0; i < VAD_BLOCK; i++)
            x[i] = (float)(scale * (2 * random_unit(&source) - 1)) + offset;
        open = energy_push(e, x);
    }
    return open;
}

static int count_open(energy_gate *e, int block_count, double dbfs) {
    int count = 0;
    for (int b = 0; b < block_count; b++) count += hear(e, 1, dbfs, 0);
    return count;
}

static void steady_noise_is_vetoed_once_it_is_known(void **state) {
    (void)state;
    const double levels[] = {-70, -50, -30, -10};
    for (int i = 0; i < 4; i++) {
        energy_gate e;
        energy_reset(&e);
        random_seed(&source, (uint64_t)i);
        (void)hear(&e, 125, levels[i], 0);
        assert_int_equal(count_open(&e, 1000, levels[i]), 0);
        assert_true(fabs(10 * log10((double)e.power) - levels[i]) < 1);
    }
}

static void what_stands_out_opens_at_once_and_a_little_longer(void **state) {
    (void)state;
    energy_gate e;
    energy_reset(&e);
    random_seed(&source, 1);
    assert_false(hear(&e, 125, -40, 0));
    assert_true(hear(&e, 1, -34, 0));
    assert_true(hear(&e, 6, -40, 0));
    assert_false(hear(&e, 1, -40, 0));
    assert_false(hear(&e, 1, -38.5, 0)); /* 1.5 dB do not stand out */
}

static void before_the_place_is_known_only_silence_is_vetoed(void **state) {
    (void)state;
    energy_gate e;
    energy_reset(&e);
    random_seed(&source, 2);
    assert_int_equal(count_open(&e, 90, -40), 90);
    energy_reset(&e);
    assert_int_equal(count_open(&e, 90, -66), 0);
}

static void noise_that_rises_is_learnt_in_four_seconds(void **state) {
    (void)state;
    energy_gate e;
    energy_reset(&e);
    random_seed(&source, 3);
    (void)hear(&e, 200, -60, 0);
    assert_int_equal(count_open(&e, 90, -40), 90);
    (void)hear(&e, 35, -40, 0);
    assert_int_equal(count_open(&e, 100, -40), 0);
    /* It stops: what was too quiet a moment ago is heard at once. */
    (void)hear(&e, 1, -60, 0);
    assert_true(hear(&e, 1, -45, 0));
}

static void an_offset_is_not_sound(void **state) {
    (void)state;
    energy_gate e;
    energy_reset(&e);
    random_seed(&source, 4);
    assert_false(hear(&e, 10, -80, 0.5f));
    assert_true(e.power < 3e-8f);
}

/* Every block that the network takes for speech passes, in silence and 5 dB above noise. */
static void speech_passes(void **state) {
    (void)state;
    const size_t count = rig_wav_count("audio/jfk.wav") / VAD_BLOCK * VAD_BLOCK;
    float *x = rig_wav("audio/jfk.wav", 0, count);
    double power = 0;
    for (size_t i = 0; i < count; i++) power += (double)(x[i] * x[i]) / (double)count;
    const double noise[] = {0, sqrt(power * pow(10, -0.5))};
    for (int n = 0; n < 2; n++) {
        energy_gate e;
        energy_reset(&e);
        random_seed(&source, 5);
        (void)hear(&e, 125, n == 0 ? -90 : 20 * log10(noise[1]), 0);
        int loud = 0, passed = 0;
        for (size_t b = 0; b < count; b += VAD_BLOCK) {
            float mixed[VAD_BLOCK];
            double block = 0;
            for (size_t i = 0; i < VAD_BLOCK; i++) {
                block += (double)(x[b + i] * x[b + i]);
                mixed[i] =
                    x[b + i] + (float)(noise[n] * sqrt(3.0) * (2 * random_unit(&source) - 1));
            }
            const bool open = energy_push(&e, mixed);
            if (block / VAD_BLOCK < power) continue; /* not the loud part of a word */
            loud++;
            passed += open;
        }
        assert_true(loud > 50);
        assert_int_equal(passed, loud);
    }
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steady_noise_is_vetoed_once_it_is_known),
        cmocka_unit_test(what_stands_out_opens_at_once_and_a_little_longer),
        cmocka_unit_test(before_the_place_is_known_only_silence_is_vetoed),
        cmocka_unit_test(noise_that_rises_is_learnt_in_four_seconds),
        cmocka_unit_test(an_offset_is_not_sound),
        cmocka_unit_test(speech_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
