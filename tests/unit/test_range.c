/* core/range.c: borders belong to a range, NaN to none; the sentence names the field. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/range.h"

static void borders_are_inside(void **state) {
    (void)state;
    const range inside[] = {{"low", 1, 1, 2}, {"high", 2, 1, 2}, {"point", 3, 3, 3}};
    assert_null(range_outside(inside, 3));
    assert_null(range_outside(inside, 0));
    assert_int_equal(range_check(inside, 3, NULL), RNL_OK);
}

static void the_first_outside_is_named(void **state) {
    (void)state;
    const double wrong[] = {0.999, 2.001, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const range rows[] = {{"good", 1, 1, 2}, {"bad", wrong[i], 1, 2}, {"worse", 9, 1, 2}};
        rnl_error error = {0};
        assert_ptr_equal(range_outside(rows, 3), &rows[1]);
        assert_int_equal(range_check(rows, 3, &error), RNL_ERR_ARGUMENT);
        assert_int_equal(error.status, RNL_ERR_ARGUMENT);
        assert_int_equal(strncmp(error.text, "bad is ", 7), 0);
        assert_non_null(strstr(error.text, "outside 1 to 2"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(borders_are_inside),
        cmocka_unit_test(the_first_outside_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
