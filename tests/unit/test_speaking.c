/* How many can speak at once, from tables of pass times: 12 frames and 6 tokens in 768 ms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apps/speaking.h"

static void at_measured_rows(void **state) {
    (void)state;
    const speaking_times fits = {1, 32, 48}, late = {1, 32.1, 48}, text = {1, 128, 0};
    assert_int_equal(speaking_count(&fits, 1), 1); /* 12 * 48 + 6 * 32 = 768 */
    assert_int_equal(speaking_count(&late, 1), 0);
    assert_int_equal(speaking_count(&text, 1), 1);
    const speaking_times all[] = {{1, 10, 10}, {16, 20, 40}};
    assert_int_equal(speaking_count(all, 2), 16); /* no more than was measured */
}

static void between_them(void **state) {
    (void)state;
    /* 180, 360 and 1,800 ms: 768 lies 0.28 of the way from 4 to 14 rows. */
    const speaking_times times[] = {{14, 100, 100}, {1, 10, 10}, {4, 20, 20}};
    assert_int_equal(speaking_count(times, 3), 6);
    const speaking_times twice[] = {{4, 20, 20}, {14, 100, 100}, {4, 20, 20}, {1, 10, 10}};
    assert_int_equal(speaking_count(twice, 4), 6);
}

static void below_the_least(void **state) {
    (void)state;
    const speaking_times fits = {3, 20, 20}, late = {3, 60, 60};
    assert_int_equal(speaking_count(&fits, 1), 3);
    assert_int_equal(speaking_count(&late, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_measured_rows),
        cmocka_unit_test(between_them),
        cmocka_unit_test(below_the_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
