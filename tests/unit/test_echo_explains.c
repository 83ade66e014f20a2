/* The barge-in gate's decision by a table: what must stick out of our own sound, for a voice of
 * this probability, in this state of the canceller. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audio/echo.h"

static void speech_is_explained_or_not(void **state) {
    (void)state;
    static const struct {
        bool active, settled;
        float delay_ms, excess_db, probability;
        bool want;
    } rows[] = {
        {false, true, 80, -10, 0.5f, false}, /* nothing is played: nothing to explain with */
        {false, false, -1, -10, 0.5f, false},
        {true, true, 80, 5.9f, 0.5f, true}, /* learned: 6 dB for a doubtful voice, */
        {true, true, 80, 6.1f, 0.5f, false},
        {true, true, 80, 6.1f, 0.1f, false},
        {true, true, 80, 1.9f, 0.725f, true}, /* less the surer the network is, */
        {true, true, 80, 2.1f, 0.725f, false},
        {true, true, 80, -2.1f, 1, true}, /* -2 dB for a certain one */
        {true, true, 80, -1.9f, 1, false},
        {true, false, 80, 3.9f, 1, true}, /* 6 dB more while it learns */
        {true, false, 80, 4.1f, 1, false},
        {true, false, -1, 13.9f, 1, true}, /* and 14 dB before the delay is known */
        {true, false, -1, 14.1f, 0.5f, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const echo_measure m = {.active = rows[i].active,
                                .settled = rows[i].settled,
                                .delay_ms = rows[i].delay_ms,
                                .excess_db = rows[i].excess_db};
        if (echo_explains(&m, rows[i].probability) != rows[i].want) fail_msg("row %zu", i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(speech_is_explained_or_not)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
