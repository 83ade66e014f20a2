/* The class tables against golden text/classes.json, code point by code point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "tokenizer/unicode.h"

enum { CODE_POINT_CAP = 0x110000 };

typedef struct class_case {
    const char *name; /* as in classes.json */
    bool (*contains)(uint32_t);
    const unicode_range *table;
    const size_t *count;
} class_case;

static const class_case cases[] = {
    {"\\p{L}", unicode_is_letter, unicode_letters, &unicode_letters_count},
    {"\\p{N}", unicode_is_number, unicode_numbers, &unicode_numbers_count},
    {"\\s", unicode_is_space, unicode_spaces, &unicode_spaces_count},
};
enum { CASE_COUNT = sizeof cases / sizeof cases[0] };

/* The ranges that classes.json lists under name. */
static const json *ranges_of(const json *root, const char *name) {
    const json *classes = json_get(root, "classes");
    for (size_t i = 0; i < json_count(classes); i++) {
        size_t size;
        const char *text = json_chars(json_get(json_at(classes, i), "class"), &size);
        assert_non_null(text);
        if (strcmp(text, name) == 0) return json_get(json_at(classes, i), "ranges");
    }
    fail_msg("classes.json has no class %s", name);
    return NULL;
}

static void check_class(const class_case *c, const json *ranges) {
    uint32_t next = 0; /* first code point not looked at yet */
    for (size_t i = 0; i < json_count(ranges); i++) {
        int64_t first, last;
        assert_true(json_int(json_at(json_at(ranges, i), 0), next, CODE_POINT_CAP - 1, &first));
        assert_true(json_int(json_at(json_at(ranges, i), 1), first, CODE_POINT_CAP - 1, &last));
        for (; next < (uint32_t)first; next++)
            if (c->contains(next)) fail_msg("U+%04X is not in %s", next, c->name);
        for (; next <= (uint32_t)last; next++)
            if (!c->contains(next)) fail_msg("U+%04X is in %s", next, c->name);
    }
    assert_true(next > 0);
    for (; next < CODE_POINT_CAP; next++)
        if (c->contains(next)) fail_msg("U+%04X is not in %s", next, c->name);
}

static void every_code_point_is_in_the_class_of_the_reference(void **state) {
    (void)state;
    json *root = NULL;
    assert_int_equal(json_read(TEST_DATA "/text/classes.json", 1 << 20, &root, NULL), RNL_OK);
    for (int i = 0; i < CASE_COUNT; i++) check_class(&cases[i], ranges_of(root, cases[i].name));
    json_destroy(&root);
}

/* Figures that backbone.md 4.2 states about the engine: they do not come from classes.json. */
static void counts_are_those_of_unicode_16(void **state) {
    (void)state;
    int letters = 0, numbers = 0;
    for (uint32_t c = 0; c < CODE_POINT_CAP; c++) {
        letters += unicode_is_letter(c);
        numbers += unicode_is_number(c);
        if (unicode_is_letter(c) + unicode_is_number(c) + unicode_is_space(c) > 1)
            fail_msg("U+%04X is in two classes", c);
    }
    assert_int_equal(letters, 141028);
    assert_int_equal(numbers, 1911);
}

static void tables_ascend_and_do_not_touch(void **state) {
    (void)state;
    for (int i = 0; i < CASE_COUNT; i++) {
        for (size_t r = 0; r < *cases[i].count; r++) {
            assert_true(cases[i].table[r].first <= cases[i].table[r].last);
            if (r > 0) assert_true(cases[i].table[r - 1].last + 1 < cases[i].table[r].first);
        }
    }
}

static void what_is_no_code_point_is_in_no_class(void **state) {
    (void)state;
    const uint32_t outside[] = {CODE_POINT_CAP, 0x7FFFFFFF, 0x80000041, UINT32_MAX};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        for (int k = 0; k < CASE_COUNT; k++) assert_false(cases[k].contains(outside[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_in_the_class_of_the_reference),
        cmocka_unit_test(counts_are_those_of_unicode_16),
        cmocka_unit_test(tables_ascend_and_do_not_touch),
        cmocka_unit_test(what_is_no_code_point_is_in_no_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
