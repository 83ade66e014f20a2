/* Libraries that need not be there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/library.h"

static void a_library_is_opened_by_any_of_its_names(void **state) {
    static const char *const names[] = {"libnowhere.so.1", "libm.so.6", NULL};
    library *l;
    rnl_error error;
    library_fn found;
    (void)state;
    assert_int_equal(library_open(NULL, names, &l, &error), RNL_OK);
    assert_string_equal(library_path(l), "libm.so.6");
    assert_int_equal(library_find(l, "floor", &found, &error), RNL_OK);
    assert_true(((double (*)(double))found)(1.5) == 1.0);
    assert_int_equal(library_find(l, "clGetPlatformIDs", &found, &error), RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "libm.so.6 has no function clGetPlatformIDs"));
    assert_null(found);
    library_close(&l);
    assert_null(l);
    library_close(&l);
}

static void one_that_is_missing_is_named(void **state) {
    static const char *const names[] = {"libnowhere.so.1", "libnowhere.so", NULL};
    library *l;
    rnl_error error;
    (void)state;
    assert_int_equal(library_open(NULL, names, &l, &error), RNL_ERR_IO);
    assert_null(l);
    assert_non_null(strstr(error.text, "libnowhere.so"));
    assert_int_equal(library_open("/nowhere/libm.so.6", names, &l, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "/nowhere/libm.so.6"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_library_is_opened_by_any_of_its_names),
        cmocka_unit_test(one_that_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
