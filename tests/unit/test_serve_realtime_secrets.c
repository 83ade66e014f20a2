/* Client secrets: found as long as they live, with what they are for; never by half of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/limits.h"
#include "serve/realtime_secrets.h"

static void secrets_live_and_die(void **state) {
    (void)state;
    realtime_secrets *s = realtime_secrets_create();
    assert_non_null(s);
    char value[SECRET_CAP], other[SECRET_CAP];
    char session[] = "{\"instructions\":\"x\"}";
    const realtime_secret what = {.owner = 7,
                                  .expires = 1600,
                                  .transcribes = true,
                                  .session = session,
                                  .size = sizeof session - 1};
    realtime_secret got;
    assert_true(realtime_secrets_make(s, &what, 1000, value));
    assert_int_equal(strlen(value), 35);
    memset(session, 0, sizeof session); /* it has its own copy */
    assert_true(realtime_secrets_find(s, value, 1599, &got));
    assert_int_equal(got.owner, 7);
    assert_true(got.transcribes);
    assert_int_equal(got.size, what.size);
    assert_string_equal(got.session, "{\"instructions\":\"x\"}");
    assert_true(realtime_secrets_find(s, value, 1599, &got)); /* any number of times */
    assert_false(realtime_secrets_find(s, value, 1600, &got));
    (void)strcpy(other, value);
    other[34] = other[34] == 'A' ? 'B' : 'A';
    assert_false(realtime_secrets_find(s, other, 1000, &got));
    other[34] = '\0';
    assert_false(realtime_secrets_find(s, other, 1000, &got));
    assert_false(realtime_secrets_find(s, "", 1000, &got));
    realtime_secrets_destroy(&s);
    assert_null(s);
    realtime_secrets_destroy(&s);
}

/* One more than there is room for: the one that would expire first goes. */
static void there_are_only_so_many(void **state) {
    (void)state;
    static char values[LIMIT_CLIENT_SECRETS + 1][SECRET_CAP];
    realtime_secrets *s = realtime_secrets_create();
    realtime_secret got;
    assert_non_null(s);
    for (int i = 0; i <= LIMIT_CLIENT_SECRETS; i++) {
        const realtime_secret what = {.expires = i == 500 ? 2000 : 3000 + i};
        assert_true(realtime_secrets_make(s, &what, 1000, values[i]));
    }
    for (int i = 0; i <= LIMIT_CLIENT_SECRETS; i++)
        assert_int_equal(realtime_secrets_find(s, values[i], 1000, &got), i != 500);
    /* Those that have expired make room first. */
    const realtime_secret what = {.expires = 9000};
    assert_true(realtime_secrets_make(s, &what, 3002, values[500]));
    assert_false(realtime_secrets_find(s, values[2], 1000, &got));
    assert_true(realtime_secrets_find(s, values[3], 1000, &got));
    assert_true(realtime_secrets_find(s, values[500], 1000, &got));
    realtime_secrets_destroy(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_live_and_die),
        cmocka_unit_test(there_are_only_so_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
