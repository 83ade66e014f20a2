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

static void what_steers_a_terminal_is_replaced(void **state) {
    (void)state;
    const struct {
        const char *from, *to;
    } rows[] = {
        {"", ""},
        {"plain, \xC3\xBC\xE6\x97\xA5\xF0\x9F\x98\x80",
         "plain, \xC3\xBC\xE6\x97\xA5\xF0\x9F\x98\x80"},
        {"\x1B]0;title\x07", "?]0;title?"},
        {"\x1B[2J\r\n\t\x01\x1F\x7F", "?[2J??????"},
        {"\xC2\x9B"
         "2J\xC2\x80\xC2\x9F\xC2\xA0",
         "?2J??\xC2\xA0"}, /* C1, and no break space */
        {"\x9B"
         "2J",
         "?2J"}, /* C1 as a single byte */
        {"\xE6\x97"
         "a\xFF\xE4",
         "\xE6\x97"
         "a\xFF\xE4"}, /* no UTF-8, and harmless */
        {"\xE6\x97\x1B[m", "\xE6\x97?[m"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[64];
        (void)strcpy(text, rows[i].from);
        status_clean(text);
        assert_string_equal(text, rows[i].to);
        rnl_error error;
        (void)status_fail(&error, RNL_ERR_FORMAT, "%s", rows[i].from);
        assert_string_equal(error.text, rows[i].to);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_and_a_sentence),
        cmocka_unit_test(a_sentence_is_cut_not_spilled),
        cmocka_unit_test(what_steers_a_terminal_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
