/* JSON of clients: what is refused before the parser, and members that are what they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/json_in.h"

static api_code code_of(const char *text, size_t size) {
    json *v;
    api_error error = {0};
    if (json_in_parse(text, size, &v, &error)) {
        json_destroy(&v);
        return API_OK;
    }
    assert_null(v);
    assert_true(error.message[0] != '\0');
    return error.code;
}

/* '[' or '{"a":' so many times, then the closing ones. */
static api_code code_of_nest(int depth, bool close) {
    char *text = malloc((size_t)depth * 8 + 16);
    assert_non_null(text);
    size_t size = 0;
    for (int i = 0; i < depth; i++, size += 5) memcpy(text + size, "{\"a\":", 5);
    text[size++] = '1';
    for (int i = 0; close && i < depth; i++) text[size++] = '}';
    const api_code code = code_of(text, size);
    free(text);
    return code;
}

static api_code code_of_keys(int count) {
    char *text = malloc((size_t)count * 16 + 16);
    assert_non_null(text);
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += (size_t)sprintf(text + size, "%c\"k%d\":{}", i == 0 ? '{' : ',', i);
    text[size++] = '}';
    const api_code code = code_of(text, size);
    free(text);
    return code;
}

static void what_is_hostile_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        api_code code;
    } cases[] = {
        {"{}", API_OK},
        {"{\"a\":\"{[{[{[{[{[{[{[{[{[{[{[\\\"{[{[:::\"}", API_OK}, /* within a text */
        {"", API_INVALID_JSON},
        {"[]", API_INVALID_JSON},
        {"\"a\"", API_INVALID_JSON},
        {"{\"a\":1,\"a\":2}", API_INVALID_JSON},
        {"{\"a\":1e999}", API_INVALID_JSON},
        {"{\"a\":\"\\ud800\"}", API_INVALID_JSON},
        {"{\"a\":\"\xff\"}", API_INVALID_JSON},
        {"{\"a\":\"x\\u0000\"}", API_INVALID_VALUE},
        {"{\"a\":\"x\\\\u0000\"}", API_OK}, /* a backslash, then letters */
        {"{} x", API_INVALID_JSON},
        {"{\"a\":NaN}", API_INVALID_JSON},
        {"{\"a", API_INVALID_JSON},
        {"{\"a\":\"\\", API_INVALID_JSON},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        /* a copy without an end, so that a sanitizer sees a step beyond it */
        const size_t size = strlen(cases[i].text);
        char *copy = malloc(size + 1);
        assert_non_null(copy);
        char *end = memcpy(copy + 1, cases[i].text, size);
        if (code_of(end, size) != cases[i].code) fail_msg("case %zu: %s", i, cases[i].text);
        free(copy);
    }
    assert_int_equal(code_of(NULL, 0), API_INVALID_JSON);
    assert_int_equal(code_of_nest(16, true), API_OK);
    assert_int_equal(code_of_nest(17, true), API_INVALID_JSON);
    assert_int_equal(code_of_nest(100000, false), API_INVALID_JSON);
    assert_int_equal(code_of_keys(256), API_OK);
    assert_int_equal(code_of_keys(257), API_INVALID_JSON);
}

static void members_are_checked(void **state) {
    (void)state;
    static const char text[] =
        "{\"t\":true,\"i\":7,\"n\":0.5,\"s\":\"abc\",\"null\":null,\"big\":9223372036854775807}";
    json *o;
    api_error e = {0};
    bool flag = false;
    int64_t i = -1;
    double n = -1;
    const char *s = NULL;
    size_t size = 0;
    assert_true(json_in_parse(text, sizeof text - 1, &o, &e));
    assert_true(json_in_bool(o, "t", NULL, &flag, &e) && flag);
    assert_true(json_in_bool(o, "null", NULL, &flag, &e) && flag);
    assert_true(json_in_bool(o, "none", NULL, &flag, &e) && flag);
    assert_false(json_in_bool(o, "i", "a.i", &flag, &e));
    assert_int_equal(e.code, API_INVALID_VALUE);
    assert_string_equal(e.param, "a.i");
    assert_true(json_in_int(o, "i", NULL, 0, 7, &i, &e) && i == 7);
    assert_false(json_in_int(o, "i", NULL, 0, 6, &i, &e));
    assert_false(json_in_int(o, "n", NULL, 0, 6, &i, &e));
    assert_true(json_in_int(o, "big", NULL, 0, INT64_MAX, &i, &e) && i == INT64_MAX);
    assert_true(json_in_number(o, "n", NULL, 0, 1, &n, &e) && n == 0.5);
    assert_true(json_in_number(o, "i", NULL, 0, 7, &n, &e) && n == 7);
    assert_false(json_in_number(o, "i", NULL, 0, 1, &n, &e));
    assert_false(json_in_number(o, "s", NULL, 0, 1, &n, &e));
    assert_true(json_in_text(o, "s", NULL, 3, &s, &size, &e) && size == 3);
    assert_string_equal(s, "abc");
    assert_false(json_in_text(o, "s", NULL, 2, &s, &size, &e));
    assert_false(json_in_text(o, "i", NULL, 2, &s, &size, &e));
    assert_string_equal(e.param, "i");
    assert_true(json_in_is(json_get(o, "s"), "abc"));
    assert_false(json_in_is(json_get(o, "s"), "ab") || json_in_is(json_get(o, "i"), "7"));
    json_destroy(&o);
}

static void a_copy_is_the_same_value(void **state) {
    (void)state;
    static const char text[] =
        "{\"a\\\"b\":[1,-2.5,1e+300,0.1,0.30000000000000004,3.0,true,null,{},[]],\"t\":"
        "\"\xc3\xa4\\n\"}";
    json *o;
    json_out out;
    api_error e = {0};
    size_t size;
    assert_true(json_in_parse(text, sizeof text - 1, &o, &e));
    json_out_begin_growing(&out, 1000);
    json_in_copy(o, &out, NULL);
    char *copy = json_out_take(&out, &size);
    assert_non_null(copy);
    assert_int_equal(size, sizeof text - 1);
    assert_memory_equal(copy, text, size);
    free(copy);
    json_out_begin_growing(&out, 20); /* not room enough */
    json_in_copy(o, &out, NULL);
    assert_null(json_out_take(&out, &size));
    json_out_free(&out);
    json_destroy(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_hostile_is_refused),
        cmocka_unit_test(members_are_checked),
        cmocka_unit_test(a_copy_is_the_same_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
