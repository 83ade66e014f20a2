/* Conversations laid out as the original templates do: golden family/text/chat.json, 58 renderings
 * of 13 conversations by columns A, B, C3 (family.md 3.2) and ours, and chat-newer.json, 44 of 18
 * by C1 (of LFM2.5-VL-450M) and D (of LFM2.5-2.6B). What is left, C2, is by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "chat/template.h"
#include "core/json.h"

static bool collect(void *context, const chat_piece *piece) {
    chat_put(context, piece->text, piece->size);
    return true;
}

static bool flag(const json *row, const char *name) {
    bool yes = false;
    return json_bool(json_get(json_get(row, "flags"), name), &yes) && yes;
}

static chat_kind kind_of(const char *column) {
    static const char *const columns[] = {"A", "B", "C1", "C3", "D", "VL"};
    static const chat_kind kinds[] = {CHAT_A, CHAT_B, CHAT_C1, CHAT_C3, CHAT_D, CHAT_PLAIN};
    int k = 0;
    while (strcmp(columns[k], column) != 0) k++;
    return kinds[k];
}

static void check_row(const json *row, const json *cases) {
    size_t size;
    const char *column = json_chars(json_get(row, "template"), NULL);
    const char *name = json_chars(json_get(row, "case"), NULL);
    const char *want = json_chars(json_get(row, "text"), &size);
    chat_template t = chat_template_of(kind_of(column));
    t.date = "2026-11-30";
    t.keep_thinking = flag(row, "keep_past_thinking") || flag(row, "preserve_thinking");
    chat_text got = {0};
    rnl_error error = {0};
    if (chat_render(&t, json_get(cases, name), name, collect, &got, &error) != RNL_OK)
        fail_msg("%s of %s: %s", name, column, error.text);
    if (got.size != size || memcmp(got.data, want, size) != 0)
        fail_msg("%s of %s:\n%s\n%s", name, column, got.data, want);
    chat_text_free(&got);
}

static void renderings_equal_the_reference(void **state) {
    (void)state;
    static const struct {
        const char *file;
        size_t count;
    } sets[] = {{"chat.json", 58}, {"chat-newer.json", 44}};
    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++) {
        char path[256];
        json *root = NULL;
        (void)snprintf(path, sizeof path, TEST_DATA "/family/text/%s", sets[k].file);
        assert_int_equal(json_read(path, 1 << 20, &root, NULL), RNL_OK);
        const json *rendered = json_get(root, "rendered");
        assert_int_equal(json_count(rendered), sets[k].count);
        for (size_t i = 0; i < json_count(rendered); i++)
            check_row(json_at(rendered, i), json_get(root, "cases"));
        json_destroy(&root);
    }
}

static void check(chat_kind kind, const char *conversation, const char *want) {
    json *root = NULL;
    rnl_error error = {0};
    chat_text got = {0};
    chat_template t = chat_template_of(kind);
    t.date = "2026-11-30";
    if (json_parse(conversation, strlen(conversation), "case", &root, &error) != RNL_OK ||
        chat_render(&t, root, "case", collect, &got, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_string_equal(got.data, want);
    chat_text_free(&got);
    json_destroy(&root);
}

#define CALL                                                                                       \
    "\"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"q\": \"it's\\n\", "       \
    "\"l\": "                                                                                      \
    "[1, \"a\"], \"x\": 1e-5}}}]"

static void columns_without_a_reference_do_as_told(void **state) {
    (void)state;
    check(CHAT_C1,
          "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", "
          "\"content\": \"U\"}], \"tools\": [{\"name\": \"f\"}]}",
          "<|startoftext|><|im_start|>system\nS\n\nToday's date: 2026-11-30\n\nList of tools: "
          "[{\"name\": \"f\"}]<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n");
    /* C1: calls before the content, in double quotes; no end mark without a content. */
    check(CHAT_C1,
          "{\"messages\": [{\"role\": \"assistant\", \"content\": \"T\", " CALL
          "}, {\"role\": \"assistant\", " CALL "}], \"add_generation_prompt\": false}",
          "<|startoftext|><|im_start|>assistant\n<|tool_call_start|>[f(q=\"it's\n\", l=[1, 'a'], "
          "x=1e-05)]<|tool_call_end|>T<|im_end|>\n<|im_start|>assistant\n<|tool_call_start|>"
          "[f(q=\"it's\n\", l=[1, 'a'], x=1e-05)]<|tool_call_end|>");
    /* C2: behind the content, in single quotes. */
    check(CHAT_C2,
          "{\"messages\": [{\"role\": \"assistant\", \"content\": \"T\", " CALL
          "}], \"add_generation_prompt\": false}",
          "<|startoftext|><|im_start|>assistant\nT<|tool_call_start|>[f(q='it's\n', l=[1, 'a'], "
          "x=1e-05)]<|tool_call_end|><|im_end|>\n");
    /* D: escaped, lists as JSON; an answer begins with thinking, which goes by three names. */
    check(CHAT_D,
          "{\"messages\": [{\"role\": \"user\", \"content\": \"U\"}, {\"role\": \"assistant\", "
          "\"reasoning\": \"R\", \"content\": \"T\", " CALL "}]}",
          "<|startoftext|><|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n<think>R</think>"
          "T<|tool_call_start|>[f(q='it\\'s\\n', l=[1, \"a\"], x=1e-05)]<|tool_call_end|>"
          "<|im_end|>\n<|im_start|>assistant\n<think>");
    /* Arguments as JSON in a string, as servers have them. */
    check(CHAT_C3,
          "{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{\"name\": \"g\", "
          "\"arguments\": \"{\\\"n\\\": true}\"}]}], \"add_generation_prompt\": false}",
          "<|startoftext|><|im_start|>assistant\n<|tool_call_start|>[g(n=True)]<|tool_call_end|>"
          "<|im_end|>\n");
}

static void templates_are_known_by_their_words(void **state) {
    (void)state;
    static const struct {
        const char *text;
        chat_kind kind;
        bool known;
    } rows[] = {
        {"{{ bos }}<|tool_list_start|>", CHAT_A, true},
        {"keep_past_thinking tools", CHAT_B, true},
        {"keep_past_thinking \"Today's date: \"", CHAT_C1, true},
        {"preserve_thinking 'Today\\'s date: '", CHAT_C2, true},
        {"preserve_thinking <think> {% if add_generation_prompt %}<|im_start|>assistant\\n",
         CHAT_C3, true},
        {"preserve_thinking {% if add_generation_prompt %}<|im_start|>assistant\\n<think>", CHAT_D,
         true},
        {"<|im_start|>{{ m.role }}<|im_end|>", CHAT_PLAIN, true},
        {"<|im_start|>{{ tools }}<|im_end|>", CHAT_B, false},
        {"[INST]", CHAT_B, false},
        {"", CHAT_B, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool known;
        if (chat_recognise(rows[i].text, strlen(rows[i].text), &known) != rows[i].kind ||
            known != rows[i].known)
            fail_msg("'%s' was taken otherwise", rows[i].text);
    }
}

static void what_is_no_conversation_is_named(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"{}", "messages"},
        {"{\"messages\": []}", "messages"},
        {"{\"messages\": [{\"content\": \"x\"}]}", "messages[0] has no role"},
        {"{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{}]}]}", "tool call"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json *root = NULL;
        rnl_error error = {0};
        chat_text got = {0};
        const chat_template t = chat_template_of(CHAT_C3);
        assert_int_equal(json_parse(rows[i][0], strlen(rows[i][0]), "x", &root, NULL), RNL_OK);
        assert_int_equal(chat_render(&t, root, "some.json", collect, &got, &error), RNL_ERR_DATA);
        assert_non_null(strstr(error.text, rows[i][1]));
        assert_non_null(strstr(error.text, "some.json"));
        chat_text_free(&got);
        json_destroy(&root);
    }
}

static void numbers_are_written_as_python_does(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        {21.5, "21.5"},
        {1e-5, "1e-05"},
        {1, "1.0"},
        {0, "0.0"},
        {-0.0, "-0.0"},
        {0.0001, "0.0001"},
        {1e16, "1e+16"},
        {1e15, "1000000000000000.0"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {-1.5e300, "-1.5e+300"},
        {5e-324, "5e-324"},
        {123456.789, "123456.789"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        chat_text t = {0};
        chat_put_real(&t, rows[i].value);
        assert_string_equal(t.data, rows[i].text);
        chat_text_free(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renderings_equal_the_reference),
        cmocka_unit_test(columns_without_a_reference_do_as_told),
        cmocka_unit_test(templates_are_known_by_their_words),
        cmocka_unit_test(what_is_no_conversation_is_named),
        cmocka_unit_test(numbers_are_written_as_python_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
