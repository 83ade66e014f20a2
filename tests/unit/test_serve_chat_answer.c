/* Answers of chats: one object and streams of chunks, texts that end them, sound, calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/random.h"
#include "serve/base64.h"
#include "serve/chat_answer.h"

static void identify(void *context, char id[CHAT_ID_CAP]) {
    (void)snprintf(id, CHAT_ID_CAP, "call_%d", ++*(int *)context);
}

static const work_usage usage = {.input_text = 10,
                                 .input_audio = 20,
                                 .input_image = 12,
                                 .cached_text = 4,
                                 .cached_audio = 3,
                                 .cached_image = 2,
                                 .output_text = 6,
                                 .output_audio = 5};
#define USAGE                                                                                      \
    "\"usage\":{\"prompt_tokens\":42,\"completion_tokens\":11,\"total_tokens\":53,"                \
    "\"prompt_tokens_details\":{\"audio_tokens\":20,\"image_tokens\":12,\"cached_tokens\":9},"     \
    "\"completion_tokens_details\":{\"audio_tokens\":5,\"reasoning_tokens\":0}}"

static chat_answer *begin(const chat_request *r, int *calls) {
    chat_answer_config config = {.request = r,
                                 .model = "minnow",
                                 .id = "chatcmpl-1",
                                 .audio_id = "audio_1",
                                 .created = 100,
                                 .expires = 3700,
                                 .identify = identify,
                                 .context = calls};
    chat_answer *a;
    api_error e = {0};
    if (!chat_answer_create(&config, &a, &e)) fail_msg("%s", e.message);
    return a;
}

static void assert_out(chat_answer *a, const char *wanted) {
    json_out *o = chat_answer_out(a);
    assert_true(json_out_whole(o));
    if (o->size != strlen(wanted) || memcmp(o->text, wanted, o->size) != 0)
        fail_msg("%.*s\nwanted %s", (int)o->size, o->text, wanted);
    json_out_clear(o);
}

static void say(chat_answer *a, const char *text) {
    bool stopped;
    assert_true(chat_answer_text(a, text, strlen(text), &stopped));
    assert_false(stopped);
}

#define OBJECT                                                                                     \
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":100,"                       \
    "\"model\":\"minnow\",\"choices\":[{\"index\":0,\"message\":{\"role\":"                        \
    "\"assistant\","
#define CHUNK(delta, finish)                                                                       \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":100,"           \
    "\"model\":\"minnow\",\"choices\":[{\"index\":0,\"delta\":{" delta "},\"logprobs\":null,"      \
    "\"finish_reason\":" finish "}]}\n\n"
#define DONE "data: [DONE]\n\n"

static void one_object_holds_the_answer(void **state) {
    (void)state;
    const chat_request r = {0};
    int calls = 0;
    static const struct {
        rnl_finish finish;
        const char *name;
    } ends[] = {{RNL_FINISH_END, "stop"},
                {RNL_FINISH_LIMIT, "length"},
                {RNL_FINISH_CONTEXT, "length"},
                {RNL_FINISH_STOPPED, "stop"}};
    for (int i = 0; i < 4; i++) {
        char wanted[1024];
        chat_answer *a = begin(&r, &calls);
        assert_string_equal(chat_answer_type(a), "application/json");
        say(a, "It is ");
        say(a, "\"on\".");
        assert_true(chat_answer_end(a, ends[i].finish, &usage));
        (void)snprintf(wanted, sizeof wanted,
                       OBJECT "\"content\":\"It is \\\"on\\\".\",\"refusal\":null},"
                              "\"finish_reason\":\"%s\",\"logprobs\":null}]," USAGE "}",
                       ends[i].name);
        assert_out(a, wanted);
        chat_answer_destroy(&a);
    }
}

static void a_stream_is_chunks(void **state) {
    (void)state;
    const chat_request r = {.stream = true, .include_usage = true};
    int calls = 0;
    chat_answer *a = begin(&r, &calls);
    assert_string_equal(chat_answer_type(a), "text/event-stream");
    say(a, "It");
    assert_out(a, CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null")
                      CHUNK("\"content\":\"It\"", "null"));
    say(a, " is.");
    assert_out(a, CHUNK("\"content\":\" is.\"", "null"));
    assert_true(chat_answer_end(a, RNL_FINISH_END, &usage));
    assert_out(a, CHUNK("", "\"stop\"") "data: "
                                        "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion."
                                        "chunk\",\"created\":100,"
                                        "\"model\":\"minnow\",\"choices\":[]," USAGE "}\n\n" DONE);
    chat_answer_destroy(&a);

    a = begin(&r, &calls); /* an answer without a word has its first chunk as well */
    assert_true(chat_answer_end(a, RNL_FINISH_LIMIT, &usage));
    const json_out *o = chat_answer_out(a);
    assert_memory_equal(
        o->text, CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null") CHUNK("", "\"length\""),
        strlen(CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null") CHUNK("", "\"length\"")));
    chat_answer_destroy(&a);

    a = begin(&r, &calls);
    say(a, "It");
    json_out_clear(chat_answer_out(a));
    api_error e;
    (void)api_fail(&e, API_ENGINE_FAILURE, NULL, "lost");
    chat_answer_fail(a, &e);
    assert_out(a, "data: {\"error\":{\"message\":\"lost\",\"type\":\"server_error\",\"param\":null,"
                  "\"code\":\"engine_failure\"}}\n\n");
    chat_answer_destroy(&a);
}

/* ---- Texts that end an answer ---- */

/* What comes of a text that arrives in random pieces. */
static void feed(const chat_request *r, const char *text, uint64_t seed, char *words, size_t cap) {
    random_state random;
    int calls = 0;
    random_seed(&random, seed);
    chat_answer *a = begin(r, &calls);
    bool stopped = false;
    for (size_t at = 0, size = strlen(text); at < size;) {
        size_t part = 1 + (size_t)(random_u64(&random) % 4);
        if (seed == 0 || part > size - at) part = size - at;
        assert_true(chat_answer_text(a, text + at, part, &stopped));
        at += part;
    }
    assert_true(chat_answer_end(a, stopped ? RNL_FINISH_STOPPED : RNL_FINISH_END, &usage));
    size_t size;
    const char *said = chat_answer_words(a, &size);
    assert_true(size + 1 < cap);
    (void)snprintf(words, cap, "%s%.*s", stopped ? "!" : "", (int)size, size > 0 ? said : "");
    chat_answer_destroy(&a);
}

static void a_stop_text_ends_it_whatever_the_cut(void **state) {
    (void)state;
    static const struct {
        const char *stops[3], *text, *wanted;
    } cases[] = {
        {{"END"}, "one END two", "!one "},
        {{"END"}, "one EN", "one EN"},
        {{"END"}, "EENDX", "!E"},
        {{"aab"}, "aaab", "!a"},
        {{"xyz", "\n"}, "a\nxyz", "!a"},
        {{"b", "abc"}, "xabc", "!xa"}, /* what is complete first */
        {{"b", "ab"}, "xab", "!x"},    /* of two the longer */
        {{"\xc3\xa4"}, "o\xc3\xa4", "!o"},
        {{"none"}, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        chat_request r = {0};
        for (int k = 0; cases[i].stops[k] != NULL; k++) {
            r.stops[k] = (char *)cases[i].stops[k];
            r.stop_sizes[k] = strlen(cases[i].stops[k]);
            r.stop_count = k + 1;
        }
        for (uint64_t seed = 0; seed < 50; seed++) {
            char words[64];
            r.stream = seed % 2 != 0;
            feed(&r, cases[i].text, seed, words, sizeof words);
            if (strcmp(words, cases[i].wanted) != 0)
                fail_msg("case %zu, seed %d: %s", i, (int)seed, words);
        }
    }
}

/* ---- Sound ---- */

static void spoken_answers_hold_their_sound(void **state) {
    (void)state;
    enum { COUNT = 5000 };
    static float samples[COUNT];
    static uint8_t pcm[2 * COUNT], got[4 * COUNT];
    int calls = 0;
    size_t made = 0;
    for (int i = 0; i < COUNT; i++) samples[i] = (float)(i % 100) / 100 - 0.5f;
    sound_to_s16le(samples, COUNT, pcm);
    chat_request r = {.audio = true, .format = SOUND_FORMAT_WAV};
    chat_answer *a = begin(&r, &calls);
    say(a, "Yes.");
    assert_true(chat_answer_sound(a, samples, 3000) && chat_answer_sound(a, samples + 3000, 2000));
    assert_true(chat_answer_end(a, RNL_FINISH_END, &usage));
    const json_out *o = chat_answer_out(a);
    json *root;
    rnl_error error;
    size_t size;
    assert_int_equal(json_parse(o->text, o->size, "answer", &root, &error), RNL_OK);
    const json *message = json_get(json_at(json_get(root, "choices"), 0), "message");
    const json *audio = json_get(message, "audio");
    assert_true(json_is_null(json_get(message, "content")));
    assert_string_equal(json_chars(json_get(audio, "transcript"), NULL), "Yes.");
    assert_string_equal(json_chars(json_get(audio, "id"), NULL), "audio_1");
    const char *data = json_chars(json_get(audio, "data"), &size);
    assert_true(base64_decode(data, size, got, &made));
    assert_int_equal(made, 44 + sizeof pcm);
    assert_memory_equal(got + 44, pcm, sizeof pcm);
    assert_int_equal(got[40] | got[41] << 8, sizeof pcm); /* the head knows the length */
    json_destroy(&root);
    chat_answer_destroy(&a);

    r = (chat_request){.audio = true, .stream = true, .format = SOUND_FORMAT_PCM};
    a = begin(&r, &calls);
    say(a, "Yes.");
    assert_out(a, CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null")
                      CHUNK("\"audio\":{\"id\":\"audio_1\",\"transcript\":\"Yes.\"}", "null"));
    assert_true(chat_answer_sound(a, samples, COUNT));
    o = chat_answer_out(a);
    made = 0;
    for (size_t at = 0; at < o->size;) { /* events of at most one frame */
        const char *line = o->text + at, *end = strstr(line, "\n\n");
        assert_int_equal(json_parse(line + 6, (size_t)(end - line - 6), "chunk", &root, &error),
                         RNL_OK);
        const json *delta = json_get(json_at(json_get(root, "choices"), 0), "delta");
        data = json_chars(json_get(json_get(delta, "audio"), "data"), &size);
        size_t part;
        assert_true(base64_decode(data, size, got + made, &part));
        assert_true(part <= 3840);
        made += part;
        at += (size_t)(end - line) + 2;
        json_destroy(&root);
    }
    assert_int_equal(made, sizeof pcm);
    assert_memory_equal(got, pcm, sizeof pcm);
    json_out_clear(chat_answer_out(a));
    assert_true(chat_answer_end(a, RNL_FINISH_END, &usage));
    assert_out(a, CHUNK("\"audio\":{\"expires_at\":3700}", "null") CHUNK("", "\"stop\"") DONE);
    size_t words;
    assert_memory_equal(chat_answer_words(a, &words), "Yes.", 4);
    assert_int_equal(words, 4);
    chat_answer_destroy(&a);
}

/* ---- Calls ---- */

static void calls_are_told(void **state) {
    (void)state;
    static const char call[] = "{\"tool\":\"f\",\"arguments\":{\"a\":\"x\"}}";
#define FUNCTION                                                                                   \
    "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"                            \
    "\"{\\\"a\\\":\\\"x\\\"}\"}}"
    chat_request r = {0};
    int calls = 0;
    chat_answer *a = begin(&r, &calls);
    assert_true(chat_answer_call(a, call, sizeof call - 1));
    assert_true(chat_answer_call(a, call, sizeof call - 1));
    assert_true(chat_answer_end(a, RNL_FINISH_END, &usage));
    assert_out(a, OBJECT
               "\"content\":null,\"refusal\":null,\"tool_calls\":[{\"id\":\"call_1\"," FUNCTION
               ",{\"id\":\"call_2\"," FUNCTION "]},\"finish_reason\":"
               "\"tool_calls\",\"logprobs\":null}]," USAGE "}");
    chat_answer_destroy(&a);

    r.stream = true;
    calls = 0;
    a = begin(&r, &calls);
    assert_true(chat_answer_call(a, call, sizeof call - 1));
    assert_out(a, CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null") CHUNK(
                      "\"tool_calls\":[{\"index\":0,\"id\":\"call_1\"," FUNCTION "]", "null"));
    assert_true(chat_answer_end(a, RNL_FINISH_END, &usage));
    assert_out(a, CHUNK("", "\"tool_calls\"") DONE);
    chat_answer_destroy(&a);
}

/* ---- How sure the model was ---- */

#define LISTED(word, bytes, value) "{\"token\":\"" word "\",\"bytes\":" bytes ",\"logprob\":" value
#define NEVER LISTED("<|x|>", "null", "-9999.0") "}"
#define TOLD(content) "\"logprobs\":{\"content\":[" content "],\"refusal\":null}"
#define YES LISTED("Yes", "[89,101,115]", "-0.25") ",\"top_logprobs\":[" NEVER "]}"
#define HALF LISTED("\xef\xbf\xbd", "[195]", "-1.0") ",\"top_logprobs\":[" NEVER "]}"
#define OTHER LISTED("\xef\xbf\xbd!", "[164,33]", "-2.0") ",\"top_logprobs\":[" NEVER "]}"

/* "Yes", then a character in two tokens; beside each one that is no text and cannot be. */
static void tell_tokens(chat_answer *a, int from, int count) {
    static const work_token none = {"<|x|>", 5, true, -INFINITY},
                            words[] = {{"Yes", 3, false, -0.25F},
                                       {"\xc3", 1, false, -1},
                                       {"\xa4!", 2, false, -2}};
    for (int i = from; i < from + count; i++) {
        const work_token tokens[] = {words[i], none};
        assert_true(chat_answer_tokens(a, tokens, 1, 1));
    }
}

static void tokens_come_with_their_text(void **state) {
    (void)state;
    chat_request r = {.logprobs = true, .top_logprobs = 1};
    int calls = 0;
    chat_answer *a = begin(&r, &calls);
    tell_tokens(a, 0, 3);
    say(a, "Yes\xc3\xa4!");
    assert_true(chat_answer_end(a, RNL_FINISH_END, &usage));
    assert_out(a, OBJECT "\"content\":\"Yes\xc3\xa4!\",\"refusal\":null},\"finish_reason\":"
                         "\"stop\"," TOLD(YES "," HALF "," OTHER) "}]," USAGE "}");
    chat_answer_destroy(&a);

    r.stream = true;
    a = begin(&r, &calls);
    tell_tokens(a, 0, 1);
    say(a, "Yes");
    tell_tokens(a, 1, 1);
    assert_true(memcmp(chat_answer_out(a)->text, "data: ", 6) == 0);
    tell_tokens(a, 2, 1);
    say(a, "\xc3\xa4!");
    assert_true(chat_answer_end(a, RNL_FINISH_END, &usage));
#define TOLD_CHUNK(text, content)                                                                  \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":100,"           \
    "\"model\":\"minnow\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text                \
    "\"}," TOLD(content) ",\"finish_reason\":null}]}\n\n"
    assert_out(a, CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null") TOLD_CHUNK("Yes", YES)
                      TOLD_CHUNK("\xc3\xa4!", HALF "," OTHER) CHUNK("", "\"stop\"") DONE);
    chat_answer_destroy(&a);
}

static void tokens_behind_a_stop_are_not_told(void **state) {
    (void)state;
    char stop[] = "\xc3\xa4";
    chat_request r = {
        .logprobs = true, .stops = {stop}, .stop_sizes = {2}, .stop_count = 1, .top_logprobs = 1};
    int calls = 0;
    bool stopped;
    chat_answer *a = begin(&r, &calls);
    tell_tokens(a, 0, 3);
    assert_true(chat_answer_text(a, "Yes\xc3\xa4!", 6, &stopped));
    assert_true(stopped);
    assert_true(chat_answer_end(a, RNL_FINISH_END, &usage));
    assert_out(a, OBJECT "\"content\":\"Yes\",\"refusal\":null},\"finish_reason\":"
                         "\"stop\"," TOLD(YES) "}]," USAGE "}");
    chat_answer_destroy(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_object_holds_the_answer),
        cmocka_unit_test(a_stream_is_chunks),
        cmocka_unit_test(a_stop_text_ends_it_whatever_the_cut),
        cmocka_unit_test(spoken_answers_hold_their_sound),
        cmocka_unit_test(calls_are_told),
        cmocka_unit_test(tokens_come_with_their_text),
        cmocka_unit_test(tokens_behind_a_stop_are_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
