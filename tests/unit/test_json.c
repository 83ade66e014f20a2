/* JSON from strangers: what is refused, what a value is taken for; and JSON that we write. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/json.h"

static json *parse(const char *text) {
    json *v = NULL;
    rnl_error error = {0};
    if (json_parse(text, strlen(text), "here", &v, &error) != RNL_OK) fail_msg("%s", error.text);
    return v;
}

static void damaged_text_is_refused_with_its_line(void **state) {
    (void)state;
    const char *const bad[] = {
        "",
        "{",
        "{\"a\":1,\"a\":2}", /* twice */
        "{\"a\":1} x",       /* something behind it */
        "[1,]",
        "{'a':1}",
        "[NaN]",
        "[01]",
        "[1e999]",
        "[\"\xff\"]",    /* not UTF-8 */
        "[\"\\ud800\"]", /* half a surrogate pair */
        "[123456789012345678901234567890]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json *v = NULL;
        rnl_error error = {0};
        if (json_parse(bad[i], strlen(bad[i]), "here", &v, &error) != RNL_ERR_FORMAT)
            fail_msg("%s was taken", bad[i]);
        assert_null(v);
        assert_non_null(strstr(error.text, "here: line"));
    }
    json *v = NULL;
    rnl_error error = {0};
    assert_int_equal(json_parse("{\n\n x", 6, "here", &v, &error), RNL_ERR_FORMAT);
    assert_non_null(strstr(error.text, "line 3"));
}

static void a_byte_order_mark_is_passed_over(void **state) {
    (void)state;
    int64_t value = 0;
    json *v = parse("\xef\xbb\xbf{\"a\":7}");
    assert_true(json_int(json_get(v, "a"), 0, 10, &value));
    assert_int_equal(value, 7);
    json_destroy(&v);
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    enum { DEPTH = 1000000 };
    char *text = malloc(DEPTH);
    assert_non_null(text);
    memset(text, '[', DEPTH);
    json *v = NULL;
    assert_int_equal(json_parse(text, DEPTH, "deep", &v, NULL), RNL_ERR_FORMAT);
    free(text);
}

static void a_value_is_taken_only_for_what_it_is(void **state) {
    (void)state;
    json *root = parse("{\"i\":5,\"n\":-7,\"r\":2.5,\"b\":true,\"z\":null,\"s\":\"a\\u0000b\","
                       "\"l\":[1,2],\"o\":{\"x\":1}}");
    int64_t i = 99;
    double r = 99;
    bool b = false;
    size_t size = 0;
    assert_true(json_int(json_get(root, "i"), 5, 5, &i));
    assert_int_equal(i, 5);
    assert_false(json_int(json_get(root, "i"), 6, 9, &i)); /* below */
    assert_false(json_int(json_get(root, "n"), 0, 9, &i)); /* negative where none may be */
    assert_false(json_int(json_get(root, "r"), 0, 9, &i));
    assert_false(json_int(json_get(root, "s"), 0, 9, &i));
    assert_false(json_int(json_get(root, "b"), 0, 9, &i));
    assert_int_equal(i, 5); /* a refused value changes nothing */
    assert_true(json_number(json_get(root, "i"), &r) && r == 5);
    assert_true(json_number(json_get(root, "r"), &r) && r == 2.5);
    assert_false(json_number(json_get(root, "s"), &r));
    assert_true(json_bool(json_get(root, "b"), &b) && b);
    assert_false(json_bool(json_get(root, "i"), &b));
    assert_memory_equal(json_chars(json_get(root, "s"), &size), "a\0b", 4);
    assert_int_equal(size, 3);
    assert_null(json_chars(json_get(root, "i"), &size));
    assert_true(json_is_null(json_get(root, "z")) && json_is_null(json_get(root, "none")));
    assert_int_equal(json_count(json_get(root, "l")), 2);
    assert_int_equal(json_count(json_get(root, "o")), 1);
    assert_int_equal(json_count(json_get(root, "s")), 0);
    assert_true(json_is_array(json_get(root, "l")) && json_is_object(json_get(root, "o")));
    assert_null(json_at(json_get(root, "l"), 2));
    json_destroy(&root);
    assert_null(root);
    json_destroy(&root);
}

/* Looking into what is not there is no fault: callers chain look-ups. */
static void nothing_in_nothing_is_nothing(void **state) {
    (void)state;
    int64_t i;
    double r;
    bool b;
    assert_null(json_get(NULL, "a"));
    assert_null(json_at(NULL, 0));
    assert_int_equal(json_count(NULL), 0);
    assert_false(json_is_object(NULL) || json_is_array(NULL) || json_is_string(NULL));
    assert_null(json_chars(NULL, NULL));
    assert_false(json_int(NULL, 0, 1, &i) || json_number(NULL, &r) || json_bool(NULL, &b));
    json *list = parse("[1]");
    assert_null(json_get(list, "a"));
    assert_null(json_at(json_get(list, "a"), 0));
    json_destroy(&list);
}

typedef struct walk {
    char seen[64];
    int left;
} walk;

static bool visit(void *context, const char *key, size_t key_size, const json *value) {
    walk *w = context;
    int64_t i;
    assert_true(json_int(value, 0, 9, &i));
    assert_int_equal(key_size, strlen(key));
    strcat(w->seen, key);
    return --w->left > 0;
}

static void members_come_in_the_order_of_the_file(void **state) {
    (void)state;
    json *root = parse("{\"z\":1,\"a\":2,\"m\":3}");
    walk w = {.left = 9};
    assert_true(json_each(root, visit, &w));
    assert_string_equal(w.seen, "zam");
    w = (walk){.left = 2};
    assert_false(json_each(root, visit, &w));
    assert_string_equal(w.seen, "za");
    json_destroy(&root);
}

static void files_are_bounded(void **state) {
    (void)state;
    char path[] = "/tmp/runnel-json-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "[1,2,3]", 7), 7);
    close(fd);
    json *v = NULL;
    rnl_error error = {0};
    assert_int_equal(json_read(path, 7, &v, &error), RNL_OK);
    json_destroy(&v);
    assert_int_equal(json_read(path, 6, &v, &error), RNL_ERR_FORMAT);
    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, "7 bytes"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(json_read(path, 7, &v, &error), RNL_ERR_IO);
    assert_int_equal(json_read("/tmp", 7, &v, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "no regular file"));
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes to it: not waited for */
    assert_int_equal(json_read(path, 7, &v, &error), RNL_ERR_IO);
    assert_int_equal(unlink(path), 0);
    assert_null(v);
}

static void what_is_built_reads_back(void **state) {
    (void)state;
    json_draft *o = json_new_object(), *list = json_new_array();
    json_append(list, json_new_int(INT64_MIN));
    json_append(list, json_new_number(0.1));
    json_append(list, json_new_number(NAN));
    json_append(list, json_new_number(-INFINITY));
    json_append(list, json_new_bool(true));
    json_set(o, "list", list);
    json_set(o, "bad", json_new_string("a\xff\xc3", 3)); /* text of a model may end midway */
    json_set(o, "nul", json_new_string("x\0\"\n", 4));
    char *text = json_text(o);
    assert_string_equal(text, "{\"list\":[-9223372036854775808,0.1,null,null,true],"
                              "\"bad\":\"a\xef\xbf\xbd\xef\xbf\xbd\",\"nul\":\"x\\u0000\\\"\\n\"}");
    json_drop(&o);
    assert_null(o);
    json *read = parse(text);
    free(text);
    double r;
    assert_true(json_number(json_at(json_get(read, "list"), 1), &r) && r == 0.1);
    json_destroy(&read);
}

/* An allocation that failed while building must not become a line that looks whole. */
static void a_failed_child_shows_in_the_text(void **state) {
    (void)state;
    json_draft *o = json_new_object();
    json_set(o, "a", json_new_int(1));
    json_set(o, "b", NULL);
    assert_null(json_text(o));
    json_drop(&o);
    /* However deep, in lists too, and whatever comes after it. */
    json_draft *words = json_new_array(), *word = json_new_object();
    json_set(word, "word", NULL);
    json_append(words, word);
    json_append(words, json_new_int(1));
    o = json_new_object();
    json_set(o, "words", words);
    json_set(o, "text", json_new_string("x", 1));
    assert_null(json_text(o));
    json_drop(&o);
    json_set(NULL, "a", json_new_int(1)); /* a container that failed takes its children with it */
    json_append(NULL, json_new_object());
    assert_null(json_text(NULL));
    json_drop(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_text_is_refused_with_its_line),
        cmocka_unit_test(a_byte_order_mark_is_passed_over),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(a_value_is_taken_only_for_what_it_is),
        cmocka_unit_test(nothing_in_nothing_is_nothing),
        cmocka_unit_test(members_come_in_the_order_of_the_file),
        cmocka_unit_test(files_are_bounded),
        cmocka_unit_test(what_is_built_reads_back),
        cmocka_unit_test(a_failed_child_shows_in_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
