/* Two clocks: the drift is found through the jitter, jumps are seen, steering stays in its cap. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "audio/drift.h"

static double jitter(uint64_t *seed, double width) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return ((double)(*seed >> 33) * 0x1p-31 - 0.5) * width;
}

static void test_drift_is_found(void **state) {
    (void)state;
    const double truths[] = {0.0, 60.0, -200.0, 480.0};
    for (int k = 0; k < 4; k++) {
        drift d;
        uint64_t seed = (uint64_t)k + 1;
        drift_reset(&d);
        assert_true(drift_ppm(&d) == 0.0 && drift_steer(&d, 0.0) == 0.0);
        for (int t = 0; t <= 300; t++) {
            const double offset = 0.04 + truths[k] * 1e-6 * t;
            assert_false(drift_add(&d, 1000.0 + t, offset + jitter(&seed, 0.008)));
            if (t < 19) assert_true(drift_ppm(&d) == 0.0);
            if (t >= 60) assert_true(fabs(drift_ppm(&d) - truths[k]) < 30.0);
            if (t >= 60) assert_true(fabs(drift_offset(&d, 1000.0 + t) - offset) < 0.002);
        }
        assert_true(fabs(drift_ppm(&d) - truths[k]) < 10.0);
        assert_true(fabs(drift_steer(&d, 0.0) + truths[k]) < 10.0);
    }
}

static void test_jumps(void **state) {
    (void)state;
    drift d;
    drift_reset(&d);
    for (int t = 0; t < 50; t++) assert_false(drift_add(&d, t, 0.0));
    assert_false(drift_add(&d, 50, 0.2)); /* one late callback */
    assert_false(drift_add(&d, 51, 0.0));
    assert_false(drift_add(&d, 52, 0.2));
    assert_false(drift_add(&d, 53, 0.2));
    assert_true(drift_add(&d, 54, 0.2));
    assert_true(fabs(drift_offset(&d, 54) - 0.2) < 1e-9);
    assert_false(drift_add(&d, 55, 0.2));
}

static void test_steering(void **state) {
    (void)state;
    drift d;
    drift_reset(&d);
    (void)drift_add(&d, 0.0, 0.0);
    assert_true(fabs(drift_steer(&d, 0.001) + 100.0) < 1e-6); /* 1 ms within 10 s */
    assert_true(drift_steer(&d, 1.0) == -DRIFT_PPM_MAX);
    assert_true(drift_steer(&d, -1.0) == DRIFT_PPM_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drift_is_found),
        cmocka_unit_test(test_jumps),
        cmocka_unit_test(test_steering),
    };
    return cmocka_run_group_tests_name("drift", tests, NULL, NULL);
}
