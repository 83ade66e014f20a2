/* Volume: straight lines, exact ends, any cut. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audio/gain.h"

enum { RATE = 24000, COUNT = 2400 };

static void ones(float *x) {
    for (int i = 0; i < COUNT; i++) x[i] = 1.0f;
}

static void test_duck(void **state) {
    (void)state;
    gain g;
    float x[COUNT];
    ones(x);
    gain_init(&g, RATE);
    gain_apply(&g, x, 100);
    for (int i = 0; i < 100; i++) assert_true(x[i] == 1.0f);
    gain_to(&g, GAIN_DUCKED, GAIN_DUCK_MS);
    gain_apply(&g, x, COUNT);
    const int line = GAIN_DUCK_MS * RATE / 1000;
    for (int i = 1; i < line; i++) assert_true(x[i] < x[i - 1]);
    assert_true(fabsf(x[line / 2] - 0.5f * (1.0f + GAIN_DUCKED)) < 0.01f);
    for (int i = line + 1; i < COUNT; i++) assert_true(x[i] == GAIN_DUCKED);
    assert_true(fabs(20.0 * log10((double)GAIN_DUCKED) + 12.0) < 1e-5);
}

static void test_fade_and_restore(void **state) {
    (void)state;
    gain g;
    float x[COUNT];
    gain_init(&g, RATE);
    gain_to(&g, 0.0f, GAIN_FADE_MS);
    ones(x);
    gain_apply(&g, x, COUNT);
    for (int i = GAIN_FADE_MS * RATE / 1000 + 1; i < COUNT; i++) assert_true(x[i] == 0.0f);
    gain_to(&g, 1.0f, 0.0);
    ones(x);
    gain_apply(&g, x, COUNT);
    for (int i = 0; i < COUNT; i++) assert_true(x[i] == 1.0f);
    /* Turned round on the way: no jump. */
    gain_to(&g, 0.0f, 100.0);
    ones(x);
    gain_apply(&g, x, 1000);
    gain_to(&g, 1.0f, 50.0);
    gain_apply(&g, x + 1000, COUNT - 1000);
    for (int i = 1; i < COUNT; i++) assert_true(fabsf(x[i] - x[i - 1]) < 0.001f);
    assert_true(x[COUNT - 1] == 1.0f);
}

static void test_any_cut(void **state) {
    (void)state;
    float whole[COUNT], cut[COUNT];
    for (uint64_t seed = 1; seed < 30; seed++) {
        gain a, b;
        uint64_t walk = seed;
        gain_init(&a, RATE);
        gain_init(&b, RATE);
        gain_to(&a, 0.1f * (float)seed, 30.0);
        gain_to(&b, 0.1f * (float)seed, 30.0);
        for (int i = 0; i < COUNT; i++) whole[i] = cut[i] = (float)sin(i * 0.1);
        gain_apply(&a, whole, COUNT);
        for (size_t at = 0; at < COUNT;) {
            walk = walk * 6364136223846793005u + 1442695040888963407u;
            size_t n = (size_t)(walk >> 40) % 200;
            if (n > COUNT - at) n = COUNT - at;
            gain_to(&b, 0.1f * (float)seed, 30.0); /* asked again: nothing new */
            gain_apply(&b, cut + at, n);
            at += n;
        }
        assert_memory_equal(whole, cut, sizeof whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duck),
        cmocka_unit_test(test_fade_and_restore),
        cmocka_unit_test(test_any_cut),
    };
    return cmocka_run_group_tests_name("gain", tests, NULL, NULL);
}
