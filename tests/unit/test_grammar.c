/* Grammars of schemas: every text that one lets through is a value that fits, for random schemas,
 * random bytes and random limits. The value is read by Jansson and judged by validate.c, which
 * knows nothing of grammars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chat/calls.h"
#include "chat/grammar.h"
#include "core/json.h"
#include "tests/support/schemas.h"

enum { TEXT_CAP = 40000 };

typedef struct walk {
    const grammar *g;
    grammar_state state, next;
    uint32_t used[GRAMMAR_USED_CAP];
    char text[TEXT_CAP];
    size_t size;
} walk;

static void begin(walk *w, const grammar *g) {
    w->g = g;
    w->size = 0;
    grammar_begin(g, &w->state);
}

static bool step(walk *w, unsigned char byte) {
    if (!grammar_step(w->g, &w->state, w->used, byte, &w->next)) return false;
    grammar_copy(&w->state, &w->next);
    w->text[w->size++] = (char)byte;
    return true;
}

/* A byte that may come and leaves an end within `left` bytes; -1: the text is to end. Letters and
 * quotes are tried more often than they would be by chance. */
static int choose(walk *w, random_state *r, size_t left) {
    static const char favoured[] = "\"\"\"'}])]},:[{=eE.0123456789aciefs _t\xC3\xB6";
    unsigned char allowed[256 + sizeof favoured];
    int count = 0;
    for (int i = 0; i < 256 + (int)sizeof favoured - 1; i++) {
        const unsigned char byte = i < 256 ? (unsigned char)i : (unsigned char)favoured[i - 256];
        if (i < 256 && byte >= 'b' && random_u64(r) % 4 != 0) continue;
        if (!grammar_step(w->g, &w->state, w->used, byte, &w->next)) continue;
        if (grammar_need(w->g, &w->next, w->used) + 1 <= left) allowed[count++] = byte;
    }
    if (grammar_may_end(w->g, &w->state) && (count == 0 || random_u64(r) % 4 == 0)) return -1;
    if (count == 0) return grammar_next(w->g, &w->state, w->used);
    return allowed[random_u64(r) % (uint64_t)count];
}

/* A text of at most `cap` bytes; false: it did not end. */
static bool make_text(walk *w, random_state *r, size_t cap) {
    for (;;) {
        const uint32_t need = grammar_need(w->g, &w->state, w->used);
        if (need > cap - w->size) return false;
        const int byte = choose(w, r, cap - w->size);
        if (byte < 0) return true;
        if (w->size == cap || !step(w, (unsigned char)byte)) return false;
    }
}

/* The shortest end from here, byte by byte: each brings it nearer by one at least. */
static bool shortest_end(walk *w) {
    uint32_t need;
    while ((need = grammar_need(w->g, &w->state, w->used)) > 0) {
        if (!step(w, grammar_next(w->g, &w->state, w->used))) return false;
        if (grammar_need(w->g, &w->state, w->used) >= need) return false;
    }
    return grammar_may_end(w->g, &w->state);
}

static void check_schema(random_state *r, walk *w, const json *schema, const char *source,
                         const grammar *g) {
    begin(w, g);
    const size_t need = grammar_need(g, &w->state, w->used);
    if (!shortest_end(w) || w->size > need || !schema_accepts_text(schema, w->text, w->size))
        fail_msg("%s\nhas no shortest value of %zu bytes: %.*s", source, need, (int)w->size,
                 w->text);
    for (int i = 0; i < 6; i++) {
        begin(w, g);
        const size_t cap = need + random_u64(r) % 60;
        if (!make_text(w, r, cap) || !schema_accepts_text(schema, w->text, w->size))
            fail_msg("%s\nlet through within %zu bytes: %.*s", source, cap, (int)w->size, w->text);
        /* From anywhere within it there is an end. */
        const size_t cut = w->size > 0 ? random_u64(r) % w->size : 0;
        char text[TEXT_CAP];
        memcpy(text, w->text, cut);
        begin(w, g);
        for (size_t k = 0; k < cut; k++) assert_true(step(w, (unsigned char)text[k]));
        if (!shortest_end(w) || !schema_accepts_text(schema, w->text, w->size))
            fail_msg("%s\nhas no end after %.*s: %.*s", source, (int)cut, text, (int)w->size,
                     w->text);
    }
}

static int rounds(int count) {
    return getenv("RUNNEL_TEST_SHORT") != NULL ? count / 10 : count;
}

static void texts_of_random_schemas_fit_them(void **state) {
    (void)state;
    walk *w = malloc(sizeof *w);
    assert_non_null(w);
    int possible = 0;
    const int count = rounds(500);
    for (int seed = 0; seed < count; seed++) {
        random_state r;
        random_seed(&r, (uint64_t)seed);
        chat_text source = {0};
        json *schema = NULL;
        grammar g;
        rnl_error error = {0};
        schema_random(&r, &source);
        if (json_parse(source.data, source.size, "schema", &schema, &error) != RNL_OK)
            fail_msg("%s: %s", source.data, error.text);
        if (grammar_of_schema(schema, "schema", NULL, NULL, &g, &error) == RNL_OK) {
            check_schema(&r, w, schema, source.data, &g);
            possible++;
            grammar_free(&g);
        } else if (error.status != RNL_ERR_DATA) {
            fail_msg("%s: %s", source.data, error.text);
        }
        json_destroy(&schema);
        chat_text_free(&source);
    }
    assert_true(possible > count * 8 / 10);
    free(w);
}

static bool is_known(const void *context, const char *name, size_t size) {
    return grammar_has_call(context, name, size);
}

static void check_calls(const walk *w, const json *tools, const char *source) {
    char out[TEXT_CAP];
    const int count = calls_count(w->text, w->size, is_known, w->g);
    if (count < 1) fail_msg("%s\nlet through no calls: %.*s", source, (int)w->size, w->text);
    for (int i = 0; i < count; i++) {
        json *call = NULL;
        const size_t size = calls_write(w->text, w->size, i, out, sizeof out);
        assert_in_range(size, 1, sizeof out);
        if (json_parse(out, size, "call", &call, NULL) != RNL_OK || !tools_accept(tools, call))
            fail_msg("%s\nlet through: %.*s\n%.*s", source, (int)w->size, w->text, (int)size, out);
        json_destroy(&call);
    }
}

static void calls_of_random_tools_fit_them(void **state) {
    (void)state;
    walk *w = malloc(sizeof *w);
    assert_non_null(w);
    int possible = 0;
    const int count = rounds(300);
    for (int seed = 0; seed < count; seed++) {
        random_state r;
        random_seed(&r, 7000 + (uint64_t)seed);
        chat_text source = {0};
        json *tools = NULL;
        grammar g;
        rnl_error error = {0};
        tools_random(&r, &source);
        if (json_parse(source.data, source.size, "tools", &tools, &error) != RNL_OK)
            fail_msg("%s: %s", source.data, error.text);
        const rnl_status status = grammar_of_tools(tools, "tools", NULL, NULL, &g, &error);
        for (int i = 0; i < 4 && status == RNL_OK; i++) {
            begin(w, &g);
            const size_t need = grammar_need(&g, &w->state, w->used);
            if (!make_text(w, &r, need + random_u64(&r) % 100))
                fail_msg("%s\ndid not end: %.*s", source.data, (int)w->size, w->text);
            check_calls(w, tools, source.data);
        }
        if (status == RNL_OK) grammar_free(&g);
        possible += status == RNL_OK;
        json_destroy(&tools);
        chat_text_free(&source);
    }
    assert_true(possible > count * 7 / 10);
    free(w);
}

/* ---- By hand ---- */

static bool takes(const grammar *g, const char *text) {
    walk *w = calloc(1, sizeof *w);
    assert_non_null(w);
    begin(w, g);
    bool good = true;
    for (; *text != '\0' && good; text++) good = step(w, (unsigned char)*text);
    good = good && grammar_may_end(g, &w->state);
    free(w);
    return good;
}

static void check_texts(const char *schema, const char *const *good, const char *const *bad) {
    json *root = NULL;
    grammar g;
    rnl_error error = {0};
    if (json_parse(schema, strlen(schema), "schema", &root, &error) != RNL_OK ||
        grammar_of_schema(root, "schema", NULL, NULL, &g, &error) != RNL_OK)
        fail_msg("%s: %s", schema, error.text);
    for (; *good != NULL; good++)
        if (!takes(&g, *good)) fail_msg("%s does not take %s", schema, *good);
    for (; *bad != NULL; bad++)
        if (takes(&g, *bad)) fail_msg("%s takes %s", schema, *bad);
    grammar_free(&g);
    json_destroy(&root);
}

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void keywords_are_held(void **state) {
    (void)state;
    check_texts("{\"type\": \"integer\"}", TEXTS("0", "-5", "17"),
                TEXTS("", "1.5", "01", "-", "1e3", "\"1\"", "1234567890123456"));
    check_texts("{\"type\": \"number\"}", TEXTS("0", "-5.25", "1e-7", "1.5E+10"),
                TEXTS("1.", ".5", "1e", "1e100", "NaN"));
    check_texts("{\"type\": \"string\"}",
                TEXTS("\"\"", "\"K\xC3\xB6ln\"", "\"a\\n\\\"\"", "\"\xF0\x9F\x98\x80\""),
                TEXTS("\"", "\"a", "'a'", "\"\n\"", "\"\xC3\"", "\"\xED\xA0\x80\"", "\"\\x\"",
                      "\"\xC0\x80\""));
    check_texts("{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}, \"ab\": "
                "{\"type\": \"null\"}}, \"required\": [\"ab\"]}",
                TEXTS("{\"ab\": null}", "{\"a\":1,\"ab\":null}", "{ \"a\" : 1 ,\n \"ab\":null}"),
                TEXTS("{}", "{\"a\": 1}", "{\"ab\": null, \"a\": 1}", "{\"ab\": null, \"c\": 1}",
                      "{\"ab\": null, \"ab\": null}", "{\"ab\": null,}", "{\n\n\"ab\": null}"));
    check_texts(
        "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}}, "
        "\"additionalProperties\": {\"type\": \"boolean\"}}",
        TEXTS("{}", "{\"a\": 1, \"b\": true}", "{\"b\": true, \"c\": false}", "{\"ab\": true}"),
        TEXTS("{\"a\": true}", "{\"b\": 1}", "{\"b\": true, \"b\": true}",
              "{\"b\": true, \"a\": 1}", "{\"\\u0061\": true}", "{\"\": true}"));
    check_texts("{\"type\": \"array\", \"items\": {\"enum\": [1, 12, \"x\"]}, \"minItems\": 1, "
                "\"maxItems\": 2}",
                TEXTS("[1]", "[12]", "[12,1]", "[ \"x\" , 1 ]"),
                TEXTS("[]", "[2]", "[1,1,1]", "[1,]", "[121]"));
    check_texts(
        "{\"anyOf\": [{\"type\": \"object\", \"properties\": {\"k\": {\"const\": 1}}, "
        "\"required\": [\"k\"]}, {\"type\": \"object\", \"properties\": {\"k\": {\"const\": "
        "2}, \"l\": {}}, \"required\": [\"k\", \"l\"]}]}",
        TEXTS("{\"k\": 1}", "{\"k\": 2, \"l\": [{\"a\": null}]}"),
        TEXTS("{\"k\": 2}", "{\"k\": 1, \"l\": 1}", "{\"k\": 3}"));
    check_texts("{\"type\": \"integer\", \"enum\": [1, \"a\", 2.5, 3.0]}", TEXTS("1", "3.0"),
                TEXTS("\"a\"", "2.5"));
    check_texts(
        "{\"$ref\": \"#/$defs/a~1b\", \"type\": [\"null\", \"string\"], \"$defs\": {\"a/b\": "
        "{\"type\": [\"string\", \"integer\"]}}}",
        TEXTS("\"x\""), TEXTS("1", "null"));
    check_texts("{\"allOf\": [{\"minItems\": 1}, {\"maxItems\": 1}], \"type\": \"array\", "
                "\"items\": {\"type\": \"null\"}}",
                TEXTS("[null]"), TEXTS("[]", "[null,null]"));
    check_texts("{\"type\": \"array\", \"items\": false}", TEXTS("[]"), TEXTS("[1]"));
}

/* Objects within each other: sixteen and no more, whatever the schema would allow. */
static void nesting_has_an_end(void **state) {
    (void)state;
    char text[64] = "";
    for (int i = 0; i < 16; i++) text[i] = '[', text[31 - i] = ']';
    check_texts("{}", TEXTS(text, "{\"a\": [1, {}]}"),
                TEXTS("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]"));
}

static bool walk_on(walk *w, const char *text) {
    for (; *text != '\0'; text++)
        if (!step(w, (unsigned char)*text)) return false;
    return true;
}

/* Keys beyond the schema's are kept for the whole text, and there is room for so many. What could
 * still become one of the schema's is none of them then, either. */
static void keys_that_are_none_of_the_schema_have_an_end(void **state) {
    (void)state;
    const char *source =
        "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"ab\":"
        "{\"type\":\"null\"}},\"additionalProperties\":{\"type\":\"null\"}}}";
    json *schema;
    grammar g;
    rnl_error error;
    walk *w = malloc(sizeof *w);
    assert_non_null(w);
    assert_int_equal(json_parse(source, strlen(source), "schema", &schema, &error), RNL_OK);
    assert_int_equal(grammar_of_schema(schema, "schema", NULL, NULL, &g, &error), RNL_OK);
    begin(w, &g);
    assert_true(walk_on(w, "[{"));
    for (int i = 0; i < GRAMMAR_USED_CAP; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%s\"k%d\":null", i > 0 ? "," : "", i);
        assert_true(walk_on(w, key));
    }
    assert_false(walk_on(w, ","));
    assert_true(walk_on(w, "},{\"a"));
    assert_false(step(w, 'c'));
    assert_true(walk_on(w, "b\":null}]"));
    assert_true(grammar_may_end(&g, &w->state));
    grammar_free(&g);
    json_destroy(&schema);
    free(w);
}

static void bad_schemas_are_named(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"{\"type\": \"text\"}", "none of JSON's: text"},
        {"{\"$ref\": \"#/none\"}", "#/none"},
        {"{\"$ref\": \"other.json\"}", "other.json"},
        {"{\"enum\": []}", "enum"},
        {"{\"anyOf\": []}", "anyOf"},
        {"{\"type\": \"integer\", \"const\": \"a\"}", "no value fits"},
        {"{\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"#\"}}, \"required\": "
         "[\"a\"]}",
         "no value fits"},
        {"{\"minItems\": -1, \"type\": \"array\"}", "minItems"},
        {"{\"properties\": {\"a\": 3}}", "neither an object"},
        {"{\"type\": \"array\", \"minItems\": 40000}", "16384"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json *root = NULL;
        grammar g;
        rnl_error error = {0};
        assert_int_equal(json_parse(rows[i][0], strlen(rows[i][0]), "x", &root, NULL), RNL_OK);
        if (grammar_of_schema(root, "some.json", NULL, NULL, &g, &error) != RNL_ERR_DATA ||
            strstr(error.text, rows[i][1]) == NULL || strstr(error.text, "some.json") == NULL)
            fail_msg("%s: '%s'", rows[i][0], error.text);
        json_destroy(&root);
    }
}

static void note_warning(void *context, const char *text) {
    chat_puts(context, text);
    chat_puts(context, "\n");
}

static void keywords_that_are_not_held_are_told(void **state) {
    (void)state;
    const char *schema =
        "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"string\", \"pattern\": "
        "\"x\"}, "
        "\"b\": {\"type\": \"string\", \"pattern\": \"y\", \"description\": \"d\"}}}";
    json *root = NULL;
    grammar g;
    chat_text told = {0};
    assert_int_equal(json_parse(schema, strlen(schema), "x", &root, NULL), RNL_OK);
    assert_int_equal(grammar_of_schema(root, "some.json", note_warning, &told, &g, NULL), RNL_OK);
    assert_string_equal(told.data, "some.json: \"pattern\" is not held: values may break it\n");
    chat_text_free(&told);
    grammar_free(&g);
    json_destroy(&root);
}

static void bad_tools_are_named(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"{}", "array"},
        {"[]", "array"},
        {"[\"plain text\"]", "none of the tools"},
        {"[{\"name\": \"f\"}, {\"name\": \"f\"}]", "same name"},
        {"[{\"name\": \"f g\"}]", "name of a tool"},
        {"[{\"name\": \"f\", \"parameters\": 3}]", "parameters"},
        {"[{\"name\": \"f\", \"parameters\": {\"properties\": {\"a b\": {}}}}]", "argument"},
        {"[{\"name\": \"f\", \"parameters\": {\"type\": \"string\"}}]", "no arguments"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json *root = NULL;
        grammar g;
        rnl_error error = {0};
        assert_int_equal(json_parse(rows[i][0], strlen(rows[i][0]), "x", &root, NULL), RNL_OK);
        if (grammar_of_tools(root, "some.json", NULL, NULL, &g, &error) != RNL_ERR_DATA ||
            strstr(error.text, rows[i][1]) == NULL || strstr(error.text, "some.json") == NULL)
            fail_msg("%s: '%s'", rows[i][0], error.text);
        json_destroy(&root);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keywords_are_held),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(keys_that_are_none_of_the_schema_have_an_end),
        cmocka_unit_test(bad_schemas_are_named),
        cmocka_unit_test(keywords_that_are_not_held_are_told),
        cmocka_unit_test(bad_tools_are_named),
        cmocka_unit_test(texts_of_random_schemas_fit_them),
        cmocka_unit_test(calls_of_random_tools_fit_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
