/* Kept talks are found by who asks, end by themselves, and make room for new ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "serve/wyoming_talks.h"

static const int64_t second = 1000000;

/* Takes, expects what was there and what had to go, and puts `what` there when it is new. */
static wyoming_talk *take(wyoming_talks *t, const char *address, const char *id, int64_t now_us,
                          void *there, void *gone, void *what) {
    void *old = t;
    wyoming_talk *talk = wyoming_talks_take(t, address, id, now_us, &old);
    assert_non_null(talk);
    assert_ptr_equal(talk->what, there);
    assert_ptr_equal(old, gone);
    if (talk->what == NULL) talk->what = what;
    return talk;
}

static void found_by_address_and_id(void **state) {
    (void)state;
    wyoming_talks t = {0};
    int a, b, c;
    wyoming_talk *talk = take(&t, "10.0.0.1", "one", 0, NULL, NULL, &a);
    void *old;
    assert_null(wyoming_talks_take(&t, "10.0.0.1", "one", 0, &old)); /* just being answered */
    assert_null(wyoming_talks_give(talk, true, 0));
    assert_null(wyoming_talks_give(take(&t, "10.0.0.1", "one", 0, &a, NULL, NULL), true, 0));
    assert_null(wyoming_talks_give(take(&t, "10.0.0.2", "one", 0, NULL, NULL, &b), true, 0));
    assert_null(wyoming_talks_give(take(&t, "10.0.0.1", "two", 0, NULL, NULL, &c), true, 0));
    assert_ptr_equal(wyoming_talks_give(take(&t, "10.0.0.1", "one", 0, &a, NULL, NULL), false, 0),
                     &a); /* it failed */
    assert_ptr_equal(wyoming_talks_give(take(&t, "10.0.0.1", "one", 0, NULL, NULL, &b), false, 0),
                     &b);
    /* Without an id nothing is kept. */
    assert_ptr_equal(wyoming_talks_give(take(&t, "10.0.0.1", "", 0, NULL, NULL, &a), true, 0), &a);
    assert_ptr_equal(wyoming_talks_give(take(&t, "10.0.0.1", "", 0, NULL, NULL, &a), true, 0), &a);
}

static void ended_by_time(void **state) {
    (void)state;
    wyoming_talks t = {0};
    int a, b;
    const int64_t end = LIMIT_WYOMING_KEPT_SECONDS * second;
    assert_null(wyoming_talks_give(take(&t, "x", "a", 0, NULL, NULL, &a), true, 0));
    wyoming_talk *used = take(&t, "x", "b", 0, NULL, NULL, &b);
    assert_null(wyoming_talks_expire(&t, end - 1));
    assert_ptr_equal(wyoming_talks_expire(&t, end), &a);
    assert_null(wyoming_talks_expire(&t, 9 * end)); /* the other is just being answered */
    assert_null(wyoming_talks_give(used, true, 9 * end));
    assert_null(wyoming_talks_expire(&t, 10 * end - 1));
    assert_ptr_equal(wyoming_talks_expire(&t, 10 * end), &b);
    assert_null(wyoming_talks_expire(&t, 99 * end));
    assert_null(wyoming_talks_give(take(&t, "x", "a", 0, NULL, NULL, &a), true, 0));
}

static void the_oldest_makes_room(void **state) {
    (void)state;
    enum { COUNT = LIMIT_WYOMING_CONVERSATIONS };
    wyoming_talks t = {0};
    int what[COUNT], one;
    char id[16];
    void *old;
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        wyoming_talk *talk = take(&t, "x", id, 0, NULL, NULL, &what[i]);
        assert_null(wyoming_talks_give(talk, true, (i + 3) % COUNT * second));
    }
    /* The one of place COUNT - 3 was used at 0. */
    wyoming_talk *talk = take(&t, "x", "new", 99 * second, NULL, &what[COUNT - 3], &one);
    assert_null(wyoming_talks_give(talk, true, 99 * second));
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        if (i != COUNT - 3) (void)take(&t, "x", id, 99 * second, &what[i], NULL, NULL);
    }
    (void)take(&t, "x", "new", 99 * second, &one, NULL, NULL);
    assert_null(wyoming_talks_take(&t, "x", "more", 99 * second, &old)); /* all are in use */
    assert_null(old);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_by_address_and_id),
        cmocka_unit_test(ended_by_time),
        cmocka_unit_test(the_oldest_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
