/* Depthwise weights: turned as written, and one tap added channel by channel at every length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/taps.h"

enum { COUNT_CAP = 67 };
static const float canary = -7777.25f;

static void turning_puts_channels_side_by_side(void **state) {
    (void)state;
    const float stored[] = {1, 2, 3, 10, 20, 30}, turned[] = {1, 10, 2, 20, 3, 30};
    weights *set = NULL;
    assert_int_equal(weights_create(&set), RNL_OK);
    rnl_error error = {0};
    loader l = {.w = set, .prefix = "", .file = "test", .error = &error};
    const float *got = taps_turn(&l, stored, 2, 3);
    assert_int_equal(l.status, RNL_OK);
    assert_memory_equal(got, turned, sizeof turned);
    weights_destroy(&set);
}

/* What was not loaded is not touched: the first failure stays. */
static void turning_after_a_failure_does_nothing(void **state) {
    (void)state;
    loader l = {.status = RNL_ERR_FORMAT};
    assert_null(taps_turn(&l, NULL, 2, 3));
    assert_int_equal(l.status, RNL_ERR_FORMAT);
}

static void every_length_is_done_whole_and_no_more(void **state) {
    (void)state;
    for (size_t count = 0; count <= COUNT_CAP; count++) {
        float y[COUNT_CAP + 1], w[COUNT_CAP + 1], x[COUNT_CAP + 1];
        for (size_t i = 0; i <= COUNT_CAP; i++) {
            y[i] = i < count ? 0.5f : canary;
            w[i] = (float)i + 1.0f;
            x[i] = (float)(2 * i) - 9.0f;
        }
        taps_add(y, w, x, count);
        for (size_t i = 0; i < count; i++) assert_true(y[i] == 0.5f + w[i] * x[i]);
        for (size_t i = count; i <= COUNT_CAP; i++) assert_true(y[i] == canary);
        for (size_t i = 0; i < count; i++) y[i] = 0.5f;
        taps_scale(y, x, count);
        for (size_t i = 0; i < count; i++) assert_true(y[i] == 0.5f * x[i]);
        for (size_t i = count; i <= COUNT_CAP; i++) assert_true(y[i] == canary);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turning_puts_channels_side_by_side),
        cmocka_unit_test(turning_after_a_failure_does_nothing),
        cmocka_unit_test(every_length_is_done_whole_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
