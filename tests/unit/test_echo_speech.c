/* The barge-in gate's decision by a table: what counts of a probability of speech, when so much
 * sticks out of our own sound, in this state of the canceller. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audio/echo.h"

static void what_counts_of_speech(void **state) {
    (void)state;
    static const struct {
        bool active, settled;
        float delay_ms, excess_db, probability, want;
    } rows[] = {
        {false, true, 80, -10, 0.5f, 0.5f}, /* nothing is played: nothing to explain with */
        {false, false, -1, -10, 0.5f, 0.5f},
        {true, true, 80, 5.9f, 0.5f, 0}, /* learned: 6 dB for a doubtful voice, */
        {true, true, 80, 6.1f, 0.5f, 0.5f},
        {true, true, 80, 6.1f, 0.1f, 0.1f},
        {true, true, 80, 1.9f, 0.725f, 0}, /* less the surer the network is, */
        {true, true, 80, 2.1f, 0.725f, 0.725f},
        {true, true, 80, -2.1f, 1, 0}, /* -2 dB for a certain one */
        {true, true, 80, -1.9f, 1, 1},
        {true, false, 80, 3.9f, 1, 0}, /* 6 dB more while it learns */
        {true, false, 80, 4.1f, 1, 1},
        {true, false, -1, 13.9f, 1, 0}, /* and 14 dB before the delay is known */
        {true, false, -1, 14.1f, 0.5f, 0.5f},
        {true, true, 80, 12.1f, 0.21f, 0.65f}, /* much sticks out: a hint is enough, */
        {true, true, 80, 12.1f, 0.9f, 0.9f},
        {true, true, 80, 12.1f, 0.19f, 0.19f},
        {true, true, 80, 11.9f, 0.21f, 0.21f},
        {true, false, 80, 12.1f, 0.21f, 0.21f}, /* but not while it learns */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const echo_measure m = {.active = rows[i].active,
                                .settled = rows[i].settled,
                                .delay_ms = rows[i].delay_ms,
                                .excess_db = rows[i].excess_db};
        if (echo_speech(&m, rows[i].probability) != rows[i].want) fail_msg("row %zu", i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_counts_of_speech)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
