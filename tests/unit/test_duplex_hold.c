/* The duplex while a reply is held, over a device that the test drives. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audio/duplex.h"
#include "audio/gain.h"
#include "tests/support/driver.h"

/* Held: down within 5 ms, silence that is not late, then on from there, up within 20 ms. */
static void test_hold(void **state) {
    (void)state;
    const int rates[] = {16000, 24000, 44100, 48000};
    for (int r = 0; r < 4; r++) {
        duplex *d = NULL;
        driver *v = open_driver(rates[r], rates[r], true, &d);
        float rising[12000];
        size_t taken;
        duplex_counts c;
        for (int i = 0; i < 12000; i++) rising[i] = 0.1f + 0.00005f * (float)i;
        duplex_set_lead_ms(d, 900.0);
        duplex_push(d, rising, 12000, &taken);
        for (int k = 0; k < 20; k++) period(v, 0.0, 0.0);
        const size_t before = v->said_count, ms = (size_t)rates[r] / 1000;
        duplex_duck(d, true);
        duplex_hold(d, true);
        for (int k = 0; k < 30; k++) period(v, 0.0, 0.0);
        const size_t queued = duplex_queued(d);
        assert_in_range(queued, 12000 - 4800 - 200, 12000 - 4800 - 110);
        const size_t after = v->said_count, line = ms * GAIN_RESUME_MS;
        duplex_hold(d, false);
        for (int k = 0; k < 5; k++) period(v, 0.0, 0.0);
        for (size_t i = before; i < v->said_count; i++) {
            const float step = fabsf(v->said[i] - v->said[i - 1]);
            assert_true(step < 0.4f / (float)(ms * GAIN_FADE_MS) + 0.001f);
            if (i > before + ms * GAIN_FADE_MS + 1 && i < after) assert_true(v->said[i] == 0.0f);
        }
        /* No sample is lost or said twice: 5 ms after 200 ms come what was there at 205 ms. */
        const float at = v->said[after + 2 * line];
        const float wanted = 0.1f + 0.00005f * (4800 + 120 + 40 * 24);
        assert_true(fabsf(at - wanted) < 0.002f);
        duplex_get_counts(d, &c);
        assert_int_equal(c.late_count, 0);
        assert_in_range(c.cut_count, 0, 80); /* what the filter holds back */
        close_it(d);
    }
}

/* A cut drops what a hold kept, at once and without a sample more, and the next reply is whole. */
static void test_cut_of_what_is_held(void **state) {
    (void)state;
    for (int empty = 0; empty < 2; empty++) {
        duplex *d = NULL;
        driver *v = open_driver(24000, 24000, true, &d);
        float level[7200];
        size_t taken;
        int64_t dropped;
        for (int i = 0; i < 7200; i++) level[i] = 0.5f;
        duplex_set_lead_ms(d, 900.0);
        duplex_push(d, level, empty ? 4800 : 7200, &taken);
        for (int k = 0; k < 20; k++) period(v, 0.0, 0.0);
        duplex_hold(d, true);
        for (int k = 0; k < 10; k++) period(v, 0.0, 0.0);
        const size_t at = v->said_count, queued = duplex_queued(d);
        assert_int_equal(queued, empty ? 0 : 7200 - 4800 - 120);
        duplex_cut(d);
        assert_int_equal(duplex_queued(d), 0);
        for (int k = 0; k < 3; k++) period(v, 0.0, 0.0);
        assert_int_equal(duplex_cut_done(d, &dropped), RNL_OK);
        assert_int_equal(dropped, queued);
        for (size_t i = at; i < v->said_count; i++) assert_true(v->said[i] == 0.0f);
        duplex_push(d, level, 2400, &taken);
        period(v, 0.0, 0.0);
        assert_true(v->said[v->said_count - 240] == 0.5f && v->said[v->said_count - 1] == 0.5f);
        close_it(d);
    }
}

/* Held and let go, or cut, between two callbacks. */
static void test_hold_in_passing(void **state) {
    (void)state;
    duplex *d = NULL;
    driver *v = open_driver(24000, 24000, true, &d);
    float level[12000];
    size_t taken;
    int64_t dropped;
    for (int i = 0; i < 12000; i++) level[i] = 0.5f;
    duplex_set_lead_ms(d, 900.0);
    duplex_push(d, level, 12000, &taken);
    for (int k = 0; k < 20; k++) period(v, 0.0, 0.0);
    duplex_hold(d, true);
    duplex_hold(d, false);
    period(v, 0.0, 0.0);
    for (size_t i = 4800; i < v->said_count; i++) assert_true(v->said[i] == 0.5f);
    duplex_hold(d, true);
    duplex_cut(d);
    for (int k = 0; k < 3; k++) period(v, 0.0, 0.0);
    assert_int_equal(duplex_cut_done(d, &dropped), RNL_OK);
    assert_int_equal(dropped, 12000 - 4800 - 240 - 120);
    for (size_t i = 5041; i < v->said_count; i++)
        assert_true(v->said[i] <= v->said[i - 1] && v->said[i - 1] - v->said[i] < 0.005f);
    close_it(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_cut_of_what_is_held),
        cmocka_unit_test(test_hold_in_passing),
    };
    return cmocka_run_group_tests_name("duplex_hold", tests, NULL, NULL);
}
