/* The barge-in gate's decision: cases whose answer is plain, and what must not decrease it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audio/echo.h"

/* Our own sound, plainly: nothing sticks out, the microphone follows from it. */
static const echo_measure own = {.active = true,
                                 .settled = true,
                                 .delay_ms = 80,
                                 .excess_db = -2.5f,
                                 .low_db = -4,
                                 .coherence = 0.97f};
/* Somebody talks over it. */
static const echo_measure both = {.active = true,
                                  .settled = true,
                                  .delay_ms = 80,
                                  .excess_db = 9,
                                  .low_db = 5,
                                  .coherence = 0.6f};
/* As loud a thing over it as there is. */
static const echo_measure bang = {
    .active = true, .settled = true, .delay_ms = 80, .excess_db = 30, .low_db = 20, .coherence = 0};

static void nothing_is_changed_when_nothing_is_played(void **state) {
    (void)state;
    echo_measure m = own;
    m.active = false;
    for (float p = 0; p <= 1; p += 0.125f) assert_true(echo_speech(&m, p, 1) == p);
}

static void plain_cases(void **state) {
    (void)state;
    const struct {
        const char *what;
        const echo_measure *m;
        float heard, raw, min, max;
    } rows[] = {
        {"our own voice, though the network hears one", &own, 0.9f, 0.99f, 0, 0.5f},
        {"our own voice", &own, 0.1f, 0.99f, 0, 0.02f},
        {"a voice over ours", &both, 0.9f, 0.99f, 0.95f, 1},
        {"a voice over ours, half covered", &both, 0.3f, 0.99f, 0.9f, 1},
        {"something loud that is no voice: a door", &bang, 0.04f, 0.99f, 0, 0.5f},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const float got = echo_speech(rows[i].m, rows[i].heard, rows[i].raw);
        if (got < rows[i].min || got > rows[i].max) fail_msg("%s: %g", rows[i].what, (double)got);
    }
}

static void evidence_counts_in_its_direction(void **state) {
    (void)state;
    const echo_measure *from[] = {&own, &both};
    for (int i = 0; i < 2; i++) {
        const float p = echo_speech(from[i], 0.4f, 0.6f);
        echo_measure m = *from[i];
        assert_true(echo_speech(&m, 0.5f, 0.6f) > p);
        m.excess_db += 5;
        assert_true(echo_speech(&m, 0.4f, 0.6f) > p);
        m = *from[i];
        m.coherence -= 0.2f;
        assert_true(echo_speech(&m, 0.4f, 0.6f) > p);
        m = *from[i];
        m.low_db += 2;
        assert_true(echo_speech(&m, 0.4f, 0.6f) > p);
        m = *from[i];
        assert_true(echo_speech(&m, 0.4f, 0.7f) > p);
        m = *from[i];
        m.settled = false;
        const float learning = echo_speech(&m, 0.4f, 0.6f);
        assert_true(learning < p);
        m.delay_ms = -1;
        assert_true(echo_speech(&m, 0.4f, 0.6f) < learning);
        m = *from[i];
        m.begins = true;
        assert_true(echo_speech(&m, 0.4f, 0.6f) < p);
    }
}

static void it_is_a_probability(void **state) {
    (void)state;
    echo_measure m = both;
    for (int i = 0; i < 4; i++) {
        m.excess_db = i < 2 ? -10 : 20;
        m.low_db = i < 2 ? -10 : 20;
        m.coherence = i < 2 ? 1 : 0;
        const float p = echo_speech(&m, (float)(i % 2), (float)(i % 2));
        assert_true(p >= 0 && p <= 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_changed_when_nothing_is_played),
        cmocka_unit_test(plain_cases),
        cmocka_unit_test(evidence_counts_in_its_direction),
        cmocka_unit_test(it_is_a_probability),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
