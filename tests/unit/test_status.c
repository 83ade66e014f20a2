/* Statuses and sentences. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/status.h"

static void every_status_has_a_name_and_a_sentence(void **state) {
    (void)state;
#define CHECK(name, value, sentence)                                                               \
    assert_string_equal(rnl_status_name((rnl_status)(value)), #name);                              \
    assert_string_equal(rnl_status_text((rnl_status)(value)), sentence);
    RNL_STATUS_LIST(CHECK)
#undef CHECK
    assert_string_equal(rnl_status_name((rnl_status)99), "RNL_?");
    assert_string_equal(rnl_status_text((rnl_status)INT_MIN), "unknown status");
}

static void a_sentence_is_cut_not_spilled(void **state) {
    (void)state;
    struct {
        rnl_error error;
        char canary[16];
    } r;
    memset(&r, 0x55, sizeof r);
    char text[2 * RNL_ERROR_TEXT_CAP];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(status_fail(&r.error, RNL_ERR_IO, "%s: %d", text, 5), RNL_ERR_IO);
    assert_int_equal(strlen(r.error.text), RNL_ERROR_TEXT_CAP - 1);
    for (size_t i = 0; i < sizeof r.canary; i++) assert_int_equal(r.canary[i], 0x55);
    assert_int_equal(r.error.status, RNL_ERR_IO);
    assert_int_equal(status_fail(&r.error, RNL_ERR_DATA, "file %s, line %d", "a", 3), RNL_ERR_DATA);
    assert_string_equal(r.error.text, "file a, line 3");
    assert_int_equal(status_fail(NULL, RNL_ERR_DATA, "%s", "nobody listens"), RNL_ERR_DATA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_and_a_sentence),
        cmocka_unit_test(a_sentence_is_cut_not_spilled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
