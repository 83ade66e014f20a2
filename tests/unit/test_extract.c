/* apps/extract.c against Python's own re (tests/data/quality/tasks/extraction.jsonl). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/extract.h"
#include "core/json.h"

static void assert_extracts(const json *line, const char *name, extract_kind kind) {
    char normal_name[32];
    size_t size;
    const char *text = json_chars(json_get(line, "text"), NULL);
    const char *answer = extract_answer(kind, NULL, text, &size);
    const char *want = json_chars(json_get(line, name), NULL);
    assert_non_null(want);
    if (size != strlen(want) || memcmp(answer, want, size) != 0)
        fail_msg("%s of '%s': '%.*s', not '%s'", name, text, (int)size, answer, want);
    char *normal = extract_normal(kind, answer, size);
    (void)snprintf(normal_name, sizeof normal_name, "%s_normal", name);
    assert_string_equal(normal, json_chars(json_get(line, normal_name), NULL));
    free(normal);
}

static void numbers_are_those_of_python(void **state) {
    (void)state;
    char *line = NULL;
    size_t cap = 0;
    int count = 0;
    FILE *f = fopen(TEST_DATA "/quality/tasks/extraction.jsonl", "rb");
    assert_non_null(f);
    for (ssize_t size; (size = getline(&line, &cap, f)) > 0; count++) {
        json *root = NULL;
        assert_int_equal(json_parse(line, (size_t)size, "line", &root, NULL), RNL_OK);
        assert_extracts(root, "strict", EXTRACT_STRICT);
        assert_extracts(root, "flexible", EXTRACT_FLEXIBLE);
        json_destroy(&root);
    }
    assert_int_equal(count, 20);
    free(line);
    (void)fclose(f);
}

static void words_are_trimmed_and_small(void **state) {
    (void)state;
    static const struct {
        extract_kind kind;
        const char *marker, *text, *want;
    } rows[] = {{EXTRACT_WHOLE, NULL, " The \xc3\x84nd, $5.. \n", "the \xc3\xa4nd, $5."},
                {EXTRACT_WHOLE, NULL, "", ""},
                {EXTRACT_AFTER_LAST, " is ", "One is two is Three.", "three"},
                {EXTRACT_AFTER_LAST, " is ", "Nothing", "nothing"},
                {EXTRACT_AFTER_LAST, "", "Nothing", "nothing"},
                {EXTRACT_STRICT, NULL, "#### x #### -1,2", "-12"},
                {EXTRACT_FLEXIBLE, NULL, "-$3 or 4-", "4"},
                /* As Python's re.search has it. */
                {EXTRACT_CHAIN, NULL, "The answer is 42.", "42"},
                {EXTRACT_CHAIN, NULL, "The answer is 42", "4"},
                {EXTRACT_CHAIN, NULL, "The answer is 4", "[invalid]"},
                {EXTRACT_CHAIN, NULL, "The answer is -1,250.50. So.", "-1250.50"},
                {EXTRACT_CHAIN, NULL, "The answer is 42.\nx", "42"},
                {EXTRACT_CHAIN, NULL, "The answer is 7\nThe answer is 8.", "8"},
                {EXTRACT_CHAIN, NULL, "The answer is x. The answer is 9!", "9"},
                {EXTRACT_CHAIN, NULL, "the answer is 5.", "[invalid]"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size;
        const char *answer = extract_answer(rows[i].kind, rows[i].marker, rows[i].text, &size);
        char *normal = extract_normal(rows[i].kind, answer, size);
        assert_string_equal(normal, rows[i].want);
        free(normal);
    }
    extract_kind kind;
    assert_true(extract_find("after_last", &kind) && kind == EXTRACT_AFTER_LAST);
    assert_false(extract_find("best", &kind));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_python),
        cmocka_unit_test(words_are_trimmed_and_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
