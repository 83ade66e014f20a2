/* Chats: the bodies of the official client and others to commands for the engine, or a refusal that
 * names the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/chat_request.h"
#include "serve/json_out.h"
#include "tests/support/folder.h"
#include "tests/support/recorded.h"
#include "tests/support/rig.h"

static rnl_model *tiny, *seeing; /* an audio model that can call; one with a vision tower */

static int open_models(void **state) {
    rnl_error error = {0};
    (void)state;
    tiny = rig_model_fast("tiny");
    if (rnl_model_open(TEST_DATA "/vl/tiny", NULL, &seeing, &error) != RNL_OK)
        fail_msg("%s", error.text);
    return 0;
}

static int close_models(void **state) {
    (void)state;
    rnl_model_close(&tiny);
    rnl_model_close(&seeing);
    return 0;
}

static bool recall(void *context, const char *id, const char **text, size_t *size) {
    (void)context;
    *text = "Spoken before.";
    *size = 14;
    return strcmp(id, "audio_1") == 0;
}

static bool read_on(rnl_model *model, const char *body, size_t size, chat_request *r,
                    api_error *e) {
    const chat_config config = {
        .model = model, .clip_seconds_max = 2, .pixel_max = 1 << 20, .recall = recall};
    memset(e, 0, sizeof *e);
    return chat_request_read(body, size, &config, r, e);
}

/* Commands as text: "S:text|U:...|clip 4000@16000|image 4x4|M:json|tools(text):json|begin". */
static void tell(const chat_request *r, char *text, size_t cap) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < r->command_count; i++) {
        const command *c = &r->commands[i];
        const int size = (int)c->text_size, json_size = (int)c->json_size;
        if (i > 0) used += (size_t)snprintf(text + used, cap - used, "|");
        if (c->kind == COMMAND_TEXT)
            used += (size_t)snprintf(text + used, cap - used, "%c:%.*s", "SUAT"[c->role], size,
                                     c -> text);
        else if (c->kind == COMMAND_CLIP)
            used += (size_t)snprintf(text + used, cap - used, "clip %zu@%d", c->count, c->rate);
        else if (c->kind == COMMAND_IMAGE)
            used += (size_t)snprintf(text + used, cap - used, "image %dx%d%s", c->width, c->height,
                                     c->one_view ? " low" : "");
        else if (c->kind == COMMAND_MESSAGE)
            used += (size_t)snprintf(text + used, cap - used, "%s:%.*s", c->past ? "m" : "M", size,
                                     c->text);
        else if (c->kind == COMMAND_TOOLS)
            used += (size_t)snprintf(text + used, cap - used, "tools(%.*s):%.*s", size, c->text,
                                     json_size, c->json);
        else
            used += (size_t)snprintf(text + used, cap - used, "begin%s%.*s%s%s%.*s",
                                     c->use_tools ? " tools" : "", size, c->text,
                                     c->turn.call_required ? " required" : "",
                                     json_size > 0 ? " " : "", json_size, c->json);
        assert_true(used < cap);
    }
}

static const command *begin_of(const chat_request *r) {
    return &r->commands[r->command_count - 1];
}

static void the_official_client_is_understood(void **state) {
    (void)state;
    static const struct {
        const char *name, *wanted;
    } cases[] = {
        {"16-post-v1-chat-completions.txt", "S:Be brief.|U:Turn on the light.|begin"},
        {"17-post-v1-chat-completions.txt", "U:Hello|begin"},
        {"20-post-v1-chat-completions.txt",
         "tools():[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"description\":"
         "\"Weather of a city\",\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{"
         "\"type\":\"string\"}},\"required\":[\"city\"]}}}]|U:Weather in Vienna?|begin tools"},
    };
    for (int i = 0; i < 3; i++) {
        recorded body;
        chat_request r;
        api_error e;
        char text[1024];
        recorded_read(cases[i].name, &body);
        assert_int_equal(body.size, body.content_length);
        if (!read_on(tiny, body.body, body.size, &r, &e)) fail_msg("%s", e.message);
        tell(&r, text, sizeof text);
        assert_string_equal(text, cases[i].wanted);
        assert_string_equal(r.model, "minnow");
        const rnl_turn_config *turn = &begin_of(&r)->turn;
        assert_int_equal(turn->mode, RNL_MODE_TEXT);
        assert_true(!r.audio && r.stream == (i == 1) && r.include_usage == (i == 1));
        if (i == 0) {
            assert_int_equal(turn->step_max, 64);
            assert_true(turn->text.temperature == 0.5f);
        }
        chat_request_free(&r);
        recorded_free(&body);
    }
}

/* ---- What is taken, and to what commands ---- */

#define CALLS                                                                                      \
    "\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\","       \
    "\"arguments\":\"{\\\"a\\\":1}\"}}]"
#define TOOL "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"
#define OTHER "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}"
#define USER "{\"role\":\"user\",\"content\":\"Q\"}"

static void conversations_become_commands(void **state) {
    (void)state;
    static const struct {
        const char *rest, *wanted;
    } cases[] = {
        {"\"messages\":[{\"role\":\"system\",\"content\":\"A\"},{\"role\":\"developer\","
         "\"content\":[{\"type\":\"text\",\"text\":\"B\"},{\"type\":\"text\",\"text\":\"C\"}]}"
         "," USER "]",
         "S:A\n\nBC|U:Q|begin"},
        {"\"messages\":[{\"role\":\"system\",\"content\":\"\"}," USER "]", "U:Q|begin"},
        {"\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"A\"}," USER
         ",{\"role\":\"assistant\",\"content\":null," CALLS
         "},{\"role\":\"tool\",\"tool_call_id\":\"call_1\",\"content\":\"R\"},{\"role\":\"tool\","
         "\"content\":[{\"type\":\"text\",\"text\":\"2\"}]}]",
         "U:Q|m:{\"role\":\"assistant\",\"content\":\"A\"}|U:Q|M:{\"role\":\"assistant\","
         "\"content\":\"\"," CALLS "}|T:R|T:2|begin"},
        {"\"messages\":[" USER "," USER "]", "U:Q|m:{\"role\":\"user\",\"content\":\"Q\"}|begin"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"A\"},"
         "{\"type\":\"text\",\"text\":\"B\"}]}]",
         "U:A|U:B|begin"},
        {"\"messages\":[" USER
         ",{\"role\":\"assistant\",\"audio\":{\"id\":\"audio_1\"},\"content\":null}," USER "]",
         "U:Q|m:{\"role\":\"assistant\",\"content\":\"Spoken before.\"}|U:Q|begin"},
        {"\"messages\":[" USER "],\"tools\":[" TOOL "," OTHER "],\"tool_choice\":\"required\"",
         "tools():[" TOOL "," OTHER "]|U:Q|begin tools required"},
        {"\"messages\":[{\"role\":\"system\",\"content\":\"A\"}," USER "],\"tools\":[" TOOL
         "," OTHER "],\"tool_choice\":" OTHER,
         "tools(A):[" TOOL "," OTHER "]|U:Q|begin tools[" OTHER "] required"},
        {"\"messages\":[" USER "],\"tools\":[" TOOL "],\"tool_choice\":\"none\"", "U:Q|begin"},
        {"\"messages\":[" USER "],\"tools\":[]", "U:Q|begin"},
        {"\"messages\":[" USER "],\"response_format\":{\"type\":\"text\"}", "U:Q|begin"},
        {"\"messages\":[" USER "],\"response_format\":{\"type\":\"json_object\"}",
         "U:Q|begin {\"type\":\"object\"}"},
        {"\"messages\":[" USER
         "],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
         "\"schema\":{\"enum\":[1.5,\"a\"]}}}",
         "U:Q|begin {\"enum\":[1.5,\"a\"]}"},
        {"\"modalities\":[\"text\",\"audio\"],\"audio\":{\"voice\":\"alloy\",\"format\":\"flac\"},"
         "\"messages\":[" USER "]",
         "S:Respond with interleaved text and audio.|U:Q|begin"},
        {"\"n\":1,\"user\":\"x\",\"metadata\":{},\"store\":true,\"logprobs\":false,"
         "\"frequency_penalty\":0,\"stop\":null,\"unknown\":[1],\"messages\":[" USER "]",
         "U:Q|begin"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[2048], text[2048];
        chat_request r;
        api_error e;
        const int size = snprintf(body, sizeof body, "{\"model\":\"m\",%s}", cases[i].rest);
        if (!read_on(tiny, body, (size_t)size, &r, &e)) fail_msg("case %zu: %s", i, e.message);
        tell(&r, text, sizeof text);
        assert_string_equal(text, cases[i].wanted);
        chat_request_free(&r);
    }
}

static void settings_are_read(void **state) {
    (void)state;
    static const char body[] =
        "{\"model\":\"m\",\"messages\":[" USER "],\"temperature\":1.25,\"top_k\":7,\"top_p\":0.5,"
        "\"min_p\":0.25,\"repeat_penalty\":1.5,\"seed\":-1,\"stop\":[\"a\",\"\xc3\xa4\"],"
        "\"logprobs\":true,\"top_logprobs\":20,\"max_tokens\":9,\"stream\":true,\"stream_options\":"
        "{\"include_usage\":false}}";
    chat_request r;
    api_error e;
    if (!read_on(tiny, body, sizeof body - 1, &r, &e)) fail_msg("%s", e.message);
    const rnl_sampling *s = &begin_of(&r)->turn.text;
    assert_true(s->temperature == 1.25f && s->top_k == 7 && s->top_p == 0.5f && s->min_p == 0.25f &&
                s->repeat_penalty == 1.5f);
    assert_true(r.seed == UINT64_MAX && r.stream && !r.include_usage);
    assert_int_equal(begin_of(&r)->turn.step_max, 9);
    assert_true(r.logprobs && begin_of(&r)->tokens);
    assert_int_equal(r.top_logprobs, 20);
    assert_int_equal(begin_of(&r)->turn.alternatives, 20);
    assert_int_equal(r.stop_count, 2);
    assert_int_equal(r.stop_sizes[1], 2);
    assert_memory_equal(r.stops[1], "\xc3\xa4", 2);
    chat_request_free(&r);

    /* A model whose own choice is greedy draws among all when it is asked to. */
    static const char warm[] = "{\"model\":\"m\",\"messages\":[" USER "],\"temperature\":1}";
    static const char own[] = "{\"model\":\"m\",\"messages\":[" USER "]}";
    const rnl_turn_config wanted = rnl_turn_config_default(tiny, RNL_MODE_TEXT);
    assert_true(read_on(tiny, warm, sizeof warm - 1, &r, &e));
    assert_int_equal(begin_of(&r)->turn.text.top_k, INT32_MAX);
    chat_request_free(&r);
    assert_true(read_on(tiny, own, sizeof own - 1, &r, &e));
    s = &begin_of(&r)->turn.text;
    assert_true(s->temperature == wanted.text.temperature && s->top_k == wanted.text.top_k &&
                s->top_p == wanted.text.top_p && s->min_p == wanted.text.min_p &&
                s->repeat_penalty == wanted.text.repeat_penalty);
    assert_int_equal(begin_of(&r)->turn.step_max, wanted.step_max);
    assert_true(!begin_of(&r)->tokens && begin_of(&r)->turn.alternatives == 0);
    chat_request_free(&r);
}

/* ---- What is refused ---- */

#define Q "\"messages\":[" USER "]"
#define WITH(part) "\"messages\":[{\"role\":\"user\",\"content\":[" part "]}]"
static const struct {
    const char *rest;
    api_code code;
    const char *param;
} refusals[] = {
    {"\"x\":1", API_MISSING_PARAMETER, "messages"},
    {"\"messages\":[]", API_INVALID_VALUE, "messages"},
    {"\"messages\":{}", API_INVALID_VALUE, "messages"},
    {"\"messages\":[{}]", API_INVALID_VALUE, "messages[0].role"},
    {"\"messages\":[7]", API_INVALID_VALUE, "messages[0].role"},
    {"\"messages\":[{\"role\":\"user\"}]", API_INVALID_VALUE, "messages[0].content"},
    {"\"messages\":[{\"role\":\"user\",\"content\":[]}]", API_INVALID_VALUE, "messages[0].content"},
    {"\"messages\":[" USER ",{\"role\":\"system\",\"content\":\"A\"}]", API_INVALID_VALUE,
     "messages[1].role"},
    {"\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"image_url\"}]}]",
     API_INVALID_VALUE, "messages[0].content[0]"},
    {"\"messages\":[" USER ",{\"role\":\"assistant\",\"audio\":{\"id\":\"audio_2\"}}]",
     API_AUDIO_NOT_FOUND, "messages[1].audio.id"},
    {"\"messages\":[" USER ",{\"role\":\"assistant\",\"tool_calls\":[{}]}]", API_INVALID_VALUE,
     "messages[1].tool_calls"},
    {WITH("{\"type\":\"file\"}"), API_INVALID_VALUE, "messages[0].content[0]"},
    {WITH("{\"type\":\"text\"}"), API_INVALID_VALUE, "messages[0].content[0]"},
    {WITH("{\"type\":\"input_audio\"}"), API_INVALID_VALUE,
     "messages[0].content[0].input_audio.data"},
    {WITH("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"a b\"}}"), API_INVALID_VALUE,
     "messages[0].content[0].input_audio.data"},
    {WITH("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"\"}}"), API_INVALID_AUDIO,
     "messages[0].content[0].input_audio.data"},
    {WITH("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"UklGRg==\"}}"), API_INVALID_AUDIO,
     "messages[0].content[0].input_audio.data"},
    {WITH("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,\"}}"),
     API_UNSUPPORTED_PARAMETER, "messages[0].content[0]"},
    {Q ",\"modalities\":\"text\"", API_INVALID_VALUE, "modalities"},
    {Q ",\"modalities\":[\"video\"]", API_INVALID_VALUE, "modalities"},
    {Q ",\"modalities\":[\"audio\"]", API_INVALID_VALUE, "modalities"},
    {Q ",\"modalities\":[\"text\",\"audio\"]", API_MISSING_PARAMETER, "audio"},
    {Q ",\"modalities\":[\"text\",\"audio\"],\"audio\":{\"format\":\"aac\"}",
     API_UNSUPPORTED_FORMAT, "audio.format"},
    {Q ",\"modalities\":[\"text\",\"audio\"],\"audio\":{\"format\":\"wav\"},\"stream\":true",
     API_UNSUPPORTED_FORMAT, "audio.format"},
    {Q ",\"modalities\":[\"text\",\"audio\"],\"audio\":{\"voice\":\"nobody\"}", API_INVALID_VALUE,
     "audio.voice"},
    {Q ",\"modalities\":[\"text\",\"audio\"],\"audio\":{},\"stop\":\"a\"",
     API_UNSUPPORTED_PARAMETER, "stop"},
    {Q ",\"modalities\":[\"text\",\"audio\"],\"audio\":{},\"response_format\":{\"type\":"
       "\"json_object\"}",
     API_UNSUPPORTED_PARAMETER, "response_format"},
    {Q ",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]", API_INVALID_VALUE, "stop"},
    {Q ",\"stop\":[\"\"]", API_INVALID_VALUE, "stop"},
    {Q ",\"n\":2", API_UNSUPPORTED_PARAMETER, "n"},
    {Q ",\"modalities\":[\"text\",\"audio\"],\"audio\":{},\"logprobs\":true",
     API_UNSUPPORTED_PARAMETER, "logprobs"},
    {Q ",\"logprobs\":1", API_INVALID_VALUE, "logprobs"},
    {Q ",\"top_logprobs\":2", API_INVALID_VALUE, "top_logprobs"},
    {Q ",\"top_logprobs\":21", API_INVALID_VALUE, "top_logprobs"},
    {Q ",\"temperature\":2.1", API_INVALID_VALUE, "temperature"},
    {Q ",\"temperature\":\"1\"", API_INVALID_VALUE, "temperature"},
    {Q ",\"presence_penalty\":0.5", API_UNSUPPORTED_PARAMETER, "presence_penalty"},
    {Q ",\"max_completion_tokens\":0", API_INVALID_VALUE, "max_completion_tokens"},
    {Q ",\"seed\":0.5", API_INVALID_VALUE, "seed"},
    {Q ",\"stream_options\":{\"include_usage\":1}", API_INVALID_VALUE,
     "stream_options.include_usage"},
    {Q ",\"response_format\":{\"type\":\"xml\"}", API_INVALID_VALUE, "response_format"},
    {Q ",\"response_format\":{\"type\":\"json_schema\"}", API_MISSING_PARAMETER, "response_format"},
    {Q ",\"tools\":{}", API_INVALID_VALUE, "tools"},
    {Q ",\"tools\":[{\"type\":\"mcp\"}]", API_INVALID_VALUE, "tools"},
    {Q ",\"tool_choice\":\"required\"", API_INVALID_VALUE, "tool_choice"},
    {Q ",\"tools\":[" TOOL "],\"tool_choice\":\"any\"", API_INVALID_VALUE, "tool_choice"},
    {Q ",\"tools\":[" TOOL "],\"tool_choice\":" OTHER, API_INVALID_VALUE, "tool_choice"},
};

static void refusals_name_the_field(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        char body[1024];
        chat_request r;
        api_error e;
        const int size = snprintf(body, sizeof body, "{\"model\":\"m\",%s}", refusals[i].rest);
        const bool done = read_on(tiny, body, (size_t)size, &r, &e);
        if (done || e.code != refusals[i].code || strcmp(e.param, refusals[i].param) != 0)
            fail_msg("case %zu: %s (%s, %s)", i, e.message, api_code_text(e.code), e.param);
        assert_int_equal(r.command_count, 0);
    }
    chat_request r;
    api_error e;
    assert_false(read_on(tiny, "{" Q "}", strlen("{" Q "}"), &r, &e));
    assert_string_equal(e.param, "model");
}

/* ---- Sounds and pictures ---- */

/* A body whose last message has this part. */
static char *body_with(const char *before, const void *bytes, size_t count, const char *after,
                       size_t *size) {
    json_out o;
    char *base64;
    size_t base64_size;
    json_out_begin_growing(&o, 1 << 22);
    json_out_base64(&o, NULL, bytes, count);
    base64 = json_out_take(&o, &base64_size);
    assert_non_null(base64);
    json_out_begin_growing(&o, 1 << 22);
    json_out_raw(&o, NULL, before, strlen(before));
    json_out_raw(&o, NULL, base64 + 1, base64_size - 2);
    json_out_raw(&o, NULL, after, strlen(after));
    free(base64);
    char *body = json_out_take(&o, size);
    assert_non_null(body);
    return body;
}

static bool hear(const void *bytes, size_t count, chat_request *r, api_error *e) {
    size_t size;
    char *body =
        body_with("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                  "\"text\",\"text\":\"A\"},{\"type\":\"input_audio\",\"input_audio\":{"
                  "\"format\":\"mp3\",\"data\":\"",
                  bytes, count, "\"}},{\"type\":\"text\",\"text\":\"B\"}]}]}", &size);
    const bool done = read_on(tiny, body, size, r, e);
    free(body);
    return done;
}

/* The content tells what a sound is; the format that a client names does not. */
static void sounds_are_decoded(void **state) {
    static int16_t tone[48000];
    char path[PATH_CAP], text[256];
    chat_request r;
    api_error e;
    size_t size;
    for (int i = 0; i < 48000; i++) tone[i] = (int16_t)(8000 * sin(0.1 * i));
    name_in(*state, "a.wav", path);
    write_wav(path, 16000, 1, 16, tone, 2 * 16000, 2 * 16000);
    unsigned char *wav = read_whole(path, &size);
    if (!hear(wav, size, &r, &e)) fail_msg("%s", e.message);
    tell(&r, text, sizeof text);
    assert_string_equal(text, "U:A|clip 16000@16000|U:B|begin");
    assert_true(r.commands[1].samples[1] == (float)tone[1] / 32768);
    chat_request_free(&r);
    /* Cut off: what is missing is not passed over in silence. */
    assert_false(hear(wav, size - 8000, &r, &e));
    assert_int_equal(e.code, API_INVALID_AUDIO);
    assert_non_null(strstr(e.message, "cut off"));
    free(wav);
    /* Longer than the two seconds that the configuration allows. */
    write_wav(path, 16000, 1, 16, tone, 2 * 32001, 2 * 32001);
    wav = read_whole(path, &size);
    assert_false(hear(wav, size, &r, &e));
    assert_int_equal(e.code, API_INVALID_AUDIO);
    free(wav);
}

static bool see(const char *before, const void *bytes, size_t count, chat_request *r,
                api_error *e) {
    char head[256];
    size_t size;
    (void)snprintf(head, sizeof head,
                   "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                   "\"image_url\",\"image_url\":{\"detail\":\"low\",\"url\":\"%s",
                   before);
    char *body = body_with(head, bytes, count, "\"}}]}]}", &size);
    const bool done = read_on(seeing, body, size, r, e);
    free(body);
    return done;
}

static void pictures_are_decoded_and_not_fetched(void **state) {
    (void)state;
    static const struct {
        const char *before;
        bool done;
    } cases[] = {
        {"data:image/png;base64,", true},
        {"data:image/jpeg;charset=x;base64,", true}, /* what it says does not count */
        {"", true},
        {"data:text/plain;base64,", false},
        {"data:image/png,", false},
        {"http://127.0.0.1/", false},
        {"https://example.org/a.png?", false},
        {"file:///etc/passwd", false},
    };
    size_t size;
    unsigned char *png = read_whole(TEST_DATA "/vl/images/grey-64x40.png", &size);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        chat_request r;
        api_error e;
        char text[64];
        if (see(cases[i].before, png, size, &r, &e) != cases[i].done)
            fail_msg("case %zu: %s", i, e.message);
        if (cases[i].done) {
            tell(&r, text, sizeof text);
            assert_string_equal(text, "image 64x40 low|begin");
            assert_int_equal(r.commands[0].size,
                             (size_t)r.commands[0].width * (size_t)r.commands[0].height * 3);
            chat_request_free(&r);
        } else {
            assert_int_equal(e.code, API_INVALID_VALUE);
            assert_string_equal(e.param, "messages[0].content[0].image_url.url");
        }
    }
    chat_request r;
    api_error e;
    assert_false(see("", "GIF89a..........", 16, &r, &e)); /* a program's work */
    assert_int_equal(e.code, API_INVALID_VALUE);
    assert_false(see("", png, size / 2, &r, &e));
    assert_false(see("", png, 0, &r, &e));
    free(png);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_official_client_is_understood),
        cmocka_unit_test(conversations_become_commands),
        cmocka_unit_test(settings_are_read),
        cmocka_unit_test(refusals_name_the_field),
        IN_FOLDER(sounds_are_decoded),
        cmocka_unit_test(pictures_are_decoded_and_not_fetched),
    };
    return cmocka_run_group_tests(tests, open_models, close_models);
}
