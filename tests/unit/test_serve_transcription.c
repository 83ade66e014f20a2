/* Transcriptions: forms of the official client and hostile ones; answers of every kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "engine/model.h"
#include "serve/transcription.h"
#include "tests/support/recorded.h"

static int open_model(void **state) {
    rnl_model *model;
    rnl_error error = {0};
    if (rnl_model_open(SOURCE_DIR "/samples/minnow/minnow.gguf", NULL, &model, &error) != RNL_OK)
        fail_msg("%s", error.text);
    *state = model;
    return 0;
}

static int close_model(void **state) {
    rnl_model *model = *state;
    rnl_model_close(&model);
    return 0;
}

/* ---- Forms ---- */

/* Reads a body in pieces of `step` bytes. */
static bool read_form(const rnl_model *model, const char *type, const char *body, size_t size,
                      size_t step, size_t upload_max, transcription_request *r, api_error *e) {
    transcription_form f;
    memset(r, 0, sizeof *r);
    bool done = transcription_form_begin(&f, type, model, upload_max, e);
    for (size_t at = 0; done && at < size; at += step)
        done = transcription_form_push(&f, body + at, size - at < step ? size - at : step, e);
    done = done && transcription_form_finish(&f, r, e);
    transcription_form_free(&f);
    return done;
}

static void the_official_client_is_understood(void **state) {
    static const struct {
        const char *name;
        transcription_request wanted;
    } cases[] = {
        {"04-post-v1-audio-transcriptions.txt", {.format = TRANSCRIPTION_JSON, .segments = true}},
        {"05-post-v1-audio-transcriptions.txt", {.format = TRANSCRIPTION_TEXT, .segments = true}},
        {"06-post-v1-audio-transcriptions.txt", {.format = TRANSCRIPTION_SRT, .segments = true}},
        {"07-post-v1-audio-transcriptions.txt", {.format = TRANSCRIPTION_VTT, .segments = true}},
        {"08-post-v1-audio-transcriptions.txt",
         {.format = TRANSCRIPTION_VERBOSE_JSON, .words = true, .segments = true}},
        {"09-post-v1-audio-transcriptions.txt",
         {.format = TRANSCRIPTION_JSON, .stream = true, .logprobs = true, .segments = true}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        recorded body;
        transcription_request r;
        api_error e = {0};
        recorded_read(cases[i].name, &body);
        if (!read_form(*state, body.content_type, body.body, body.size, 1000, 1 << 20, &r, &e))
            fail_msg("%s: %s", cases[i].name, e.message);
        const transcription_request *w = &cases[i].wanted;
        assert_true(r.format == w->format && r.stream == w->stream && r.words == w->words &&
                    r.segments == w->segments && r.logprobs == w->logprobs && r.temperature == 0);
        assert_string_equal(r.model, "minnow");
        assert_int_equal(r.size, 120632);
        transcription_request_free(&r);
        assert_false(
            read_form(*state, body.content_type, body.body, body.size, 1000, 120631, &r, &e));
        assert_int_equal(e.code, API_PAYLOAD_TOO_LARGE);
        recorded_free(&body);
    }
}

#define FILE_PART "file\"; filename=\"../../etc/passwd=RIFF"

/* Fields "name=value" -> the body; the boundary is "b". */
static size_t make_body(const char *const *parts, char *body, size_t cap) {
    size_t size = 0;
    for (; *parts != NULL; parts++) {
        const char *value = strrchr(*parts, '=') + 1;
        size +=
            (size_t)snprintf(body + size, cap - size,
                             "--b\r\nContent-Disposition: form-data; name=\"%.*s\"\r\n\r\n%s\r\n",
                             (int)(value - 1 - *parts), *parts, value);
    }
    return size + (size_t)snprintf(body + size, cap - size, "--b--\r\n");
}

static void forms_are_taken_or_refused(void **state) {
#define WELL FILE_PART, "model=m"
    static const struct {
        const char *parts[8];
        api_code code;
        const char *param;
    } cases[] = {
        {{WELL}, API_OK, ""},
        {{"model=m", "prompt=x", "unknown=1", "keywords[]=a", "languages[]=de",
          "chunking_strategy=auto", FILE_PART},
         API_OK,
         ""},
        {{WELL, "language=EN"}, API_OK, ""},
        {{WELL, "language="}, API_OK, ""},
        {{WELL, "stream=True", "include=logprobs"}, API_OK, ""},
        {{WELL, "temperature=1e0"}, API_OK, ""},
        {{WELL, "response_format=verbose_json", "timestamp_granularities=word"}, API_OK, ""},
        {{"model=m"}, API_MISSING_PARAMETER, "file"},
        {{FILE_PART}, API_MISSING_PARAMETER, "model"},
        {{FILE_PART, "model="}, API_MISSING_PARAMETER, "model"},
        {{"model=m", "file=RIFF"}, API_INVALID_VALUE, "file"},
        {{"model=m", "file\"; filename=\"a="}, API_INVALID_AUDIO, "file"},
        {{WELL, FILE_PART}, API_INVALID_VALUE, "file"},
        {{WELL, "model=n"}, API_INVALID_VALUE, "model"},
        {{WELL, "language=de"}, API_INVALID_VALUE, "language"},
        {{WELL, "response_format=xml"}, API_INVALID_VALUE, "response_format"},
        {{WELL, "response_format=diarized_json"}, API_UNSUPPORTED_FORMAT, "response_format"},
        {{WELL, "temperature=1.5"}, API_INVALID_VALUE, "temperature"},
        {{WELL, "temperature=nan"}, API_INVALID_VALUE, "temperature"},
        {{WELL, "temperature= 0"}, API_INVALID_VALUE, "temperature"},
        {{WELL, "temperature=0x1"}, API_INVALID_VALUE, "temperature"},
        {{WELL, "temperature="}, API_INVALID_VALUE, "temperature"},
        {{WELL, "timestamp_granularities[]=word"}, API_INVALID_VALUE, "timestamp_granularities"},
        {{WELL, "timestamp_granularities[]=line"}, API_INVALID_VALUE, "timestamp_granularities"},
        {{WELL, "include[]=all"}, API_INVALID_VALUE, "include"},
        {{WELL, "include[]=logprobs", "response_format=text"}, API_INVALID_VALUE, "include"},
        {{WELL, "stream=yes"}, API_INVALID_VALUE, "stream"},
        {{WELL, "stream=1", "response_format=srt"}, API_INVALID_VALUE, "stream"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 2000; step += 700) {
            char body[2048];
            transcription_request r;
            api_error e = {0};
            const size_t size = make_body(cases[i].parts, body, sizeof body);
            const bool done =
                read_form(*state, "multipart/form-data; boundary=b", body, size, step, 100, &r, &e);
            if (done != (cases[i].code == API_OK) || e.code != cases[i].code ||
                strcmp(e.param, cases[i].param) != 0)
                fail_msg("case %zu: %s (%s)", i, e.message, e.param);
            if (done) assert_memory_equal(r.file, "RIFF", 4);
            transcription_request_free(&r);
        }
    transcription_request r;
    api_error e = {0};
    assert_false(read_form(*state, "application/json", "{}", 2, 2, 100, &r, &e));
    assert_int_equal(e.code, API_UNSUPPORTED_MEDIA_TYPE);
    assert_false(read_form(*state, NULL, "", 0, 1, 100, &r, &e));
    assert_false(
        read_form(*state, "multipart/form-data; boundary=b", "--b\r\n", 5, 1, 100, &r, &e));
    assert_int_equal(e.code, API_INVALID_VALUE);
    char long_model[400] = "model=";
    memset(long_model + 6, 'm', 300);
    char body[2048];
    const char *const parts[] = {FILE_PART, long_model, NULL};
    assert_false(read_form(*state, "multipart/form-data; boundary=b", body,
                           make_body(parts, body, sizeof body), 9, 100, &r, &e));
    assert_string_equal(e.param, "model");
}

static void a_temperature_draws(void **state) {
    const rnl_model *model = *state;
    transcription_request r = {.temperature = 0.5};
    rnl_transcript_config config = transcription_config(&r, model);
    assert_true(config.text.temperature == 0.5f && config.text.top_k == INT32_MAX);
    assert_false(config.word_times);
    r = (transcription_request){.format = TRANSCRIPTION_VERBOSE_JSON};
    config = transcription_config(&r, model);
    assert_true(config.text.top_k == rnl_transcript_config_default(model).text.top_k);
    assert_true(config.word_times);
}

/* ---- Answers ---- */

/* Two pieces: "Turn on it." and "Now." */
static const rnl_word words[] = {
    {.begin = 0.32, .end = 0.6, .text_at = 0, .text_size = 4, .token_at = 0, .token_count = 1},
    {.begin = 0.6, .end = 0.8, .text_at = 5, .text_size = 2, .token_at = 1, .token_count = 1},
    {.begin = 0.8, .end = 1.9, .text_at = 8, .text_size = 3, .token_at = 2, .token_count = 1},
};
static const rnl_segment segments[] = {{.begin = 0.32,
                                        .end = 1.9,
                                        .text_size = 11,
                                        .token_count = 3,
                                        .word_count = 3,
                                        .confidence = -0.125f},
                                       {.begin = 1.9,
                                        .end = 2.5,
                                        .text_size = 4,
                                        .token_count = 1,
                                        .word_count = 1,
                                        .confidence = -0.5f}};
static const rnl_word now = {.begin = 1.9, .end = 2.5, .text_size = 4, .token_count = 1};
static const int32_t tokens[] = {300, 301, 302};
static const float confidences[] = {-0.25f, -0.125f, 0};

static rnl_piece piece_at(int index, const char *text) {
    rnl_piece p = {.index = index,
                   .speech = 0.75f,
                   .text = text,
                   .text_size = strlen(text),
                   .emitted_count = 4,
                   .tokens = tokens,
                   .token_confidences = confidences,
                   .token_count = index == 0 ? 3 : 1,
                   .words = index == 0 ? words : &now,
                   .word_count = index == 0 ? 3 : 1,
                   .segments = &segments[index],
                   .segment_count = 1};
    return p;
}

/* All bytes of an answer, as they come; free() it. */
static char *answer_of_sound(const rnl_model *model, const transcription_request *r, int count,
                             const char *first, const char *second, const sound_faults *faults) {
    transcription_answer *a = transcription_answer_create(r, model);
    assert_non_null(a);
    json_out *out = transcription_answer_out(a);
    char *all = calloc(1, 8192);
    assert_non_null(all);
    size_t size = 0;
    const event end = {.kind = EVENT_ENDED,
                       .seconds = 2.1,
                       .faults = faults,
                       .usage = {.input_text = 5, .input_audio = 25}};
    for (int i = 0; i <= count; i++) {
        const rnl_piece p = piece_at(i == 1, i == 1 ? second : first);
        assert_true(i == count ? transcription_answer_end(a, &end)
                               : transcription_answer_piece(a, &p));
        if (r->stream || i == count) {
            assert_true(json_out_whole(out));
            memcpy(all + size, out->text, out->size);
            size += out->size;
            json_out_clear(out);
        }
    }
    transcription_answer_destroy(&a);
    return all;
}

static char *answer_of(const rnl_model *model, const transcription_request *r, int count,
                       const char *first, const char *second) {
    return answer_of_sound(model, r, count, first, second, NULL);
}

static void assert_answer(void **state, const transcription_request *r, int count,
                          const char *wanted) {
    char *answer = answer_of(*state, r, count, "Turn on it.", "Now.");
    assert_string_equal(answer, wanted);
    free(answer);
}

static void answers_have_their_forms(void **state) {
    transcription_request r = {.format = TRANSCRIPTION_JSON};
    assert_answer(
        state, &r, 2,
        "{\"text\":\"Turn on it. Now.\",\"usage\":{\"type\":\"duration\",\"seconds\":3}}");
    assert_answer(state, &r, 0, "{\"text\":\"\",\"usage\":{\"type\":\"duration\",\"seconds\":3}}");
    r.format = TRANSCRIPTION_TEXT;
    assert_answer(state, &r, 2, "Turn on it. Now.\n");
    assert_answer(state, &r, 0, "\n");
    r.format = TRANSCRIPTION_SRT;
    assert_answer(state, &r, 2, "1\n00:00:00,320 --> 00:00:02,500\nTurn on it. Now.\n\n");
    r.format = TRANSCRIPTION_VTT;
    assert_answer(state, &r, 0, "WEBVTT\n\n");
    r = (transcription_request){
        .format = TRANSCRIPTION_VERBOSE_JSON, .segments = true, .words = true, .temperature = 0.5};
    assert_answer(
        state, &r, 1,
        "{\"task\":\"transcribe\",\"language\":\"english\",\"duration\":2.1,\"text\":\"Turn on "
        "it.\",\"segments\":[{\"id\":0,\"seek\":32,\"start\":0.32,\"end\":1.9,\"text\":\"Turn on "
        "it.\",\"tokens\":[300,301,302],\"temperature\":0.5,\"avg_logprob\":-0.125,"
        "\"compression_ratio\":0.5789,\"no_speech_prob\":0.25}],\"words\":[{\"word\":\"Turn\","
        "\"start\":0.32,\"end\":0.6},{\"word\":\"on\",\"start\":0.6,\"end\":0.8},{\"word\":\"it.\","
        "\"start\":0.8,\"end\":1.9}],\"usage\":{\"type\":\"duration\",\"seconds\":3}}");
    r = (transcription_request){.format = TRANSCRIPTION_JSON, .stream = true};
    assert_answer(state, &r, 2,
                  "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Turn on it.\"}\n\n"
                  "data: {\"type\":\"transcript.text.delta\",\"delta\":\" Now.\"}\n\n"
                  "data: {\"type\":\"transcript.text.done\",\"text\":\"Turn on it. Now.\","
                  "\"usage\":{\"type\":\"tokens\",\"input_tokens\":30,\"output_tokens\":8,"
                  "\"total_tokens\":38,\"input_token_details\":{\"text_tokens\":5,"
                  "\"audio_tokens\":25}}}\n\n");
}

/* Nothing of a sound is lost in silence: objects, the end of a stream and notes of WebVTT tell of
 * it, headers of everything else. */
static void what_is_missing_is_told(void **state) {
    const sound_faults faults = {
        .place_count = 2,
        .places = {{0.5, 0.75, false}, {2.1, 2.1, true}},
        .out_of_phase = true,
        .out_of_phase_at = 1.25,
    };
    static const struct {
        transcription_request request;
        const char *told;
    } rows[] = {
        {{.format = TRANSCRIPTION_JSON},
         "\"damaged\":[[0.5,0.75],[2.1,2.1]],\"out_of_phase\":1.25,\"usage\""},
        {{.format = TRANSCRIPTION_VERBOSE_JSON, .segments = true},
         "\"damaged\":[[0.5,0.75],[2.1,2.1]],\"out_of_phase\":1.25,\"usage\""},
        {{.format = TRANSCRIPTION_TEXT, .stream = true},
         "\"damaged\":[[0.5,0.75],[2.1,2.1]],\"out_of_phase\":1.25,\"usage\""},
        {{.format = TRANSCRIPTION_VTT},
         "NOTE damaged from 00:00:00.500 to 00:00:00.750\n\n"
         "NOTE the recording is cut off at 00:00:02.100\n"},
        {{.format = TRANSCRIPTION_TEXT}, "Turn on it.\n"},
        {{.format = TRANSCRIPTION_SRT}, "Turn on it.\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *answer = answer_of_sound(*state, &rows[i].request, 1, "Turn on it.", "Now.", &faults);
        if (strstr(answer, rows[i].told) == NULL) fail_msg("'%s'", answer);
        free(answer);
    }
    char text[TRANSCRIPTION_HEADER_CAP];
    assert_true(transcription_damage(&faults, text));
    assert_string_equal(text, "0.500-0.750, 2.100-");
    assert_true(transcription_phase(&faults, text));
    assert_string_equal(text, "1.250");
    const sound_faults none = {0};
    assert_false(transcription_damage(&none, text) || transcription_damage(NULL, text));
    assert_false(transcription_phase(&none, text) || transcription_phase(NULL, text));
    /* All places that can be told apart, late in a long sound, fit. */
    sound_faults many = {.place_count = SOUND_PLACE_CAP};
    for (int i = 0; i < SOUND_PLACE_CAP; i++)
        many.places[i] = (sound_place){7100 + i, 7100.5 + i, false};
    assert_true(transcription_damage(&many, text));
    assert_non_null(strstr(text, ", 7163.000-7163.500"));
}

/* Wide characters need no space between two pieces. */
static void pieces_are_joined(void **state) {
    const transcription_request r = {.format = TRANSCRIPTION_TEXT};
    static const char *const pairs[][3] = {
        {"はい", "うん", "はいうん\n"}, {"はい", "ok", "はい ok\n"}, {"é.", "b", "é. b\n"}};
    for (int i = 0; i < 3; i++) {
        char *answer = answer_of(*state, &r, 2, pairs[i][0], pairs[i][1]);
        assert_string_equal(answer, pairs[i][2]);
        free(answer);
    }
}

static void tokens_are_told_with_their_bytes(void **state) {
    const rnl_model *model = *state;
    const transcription_request r = {.format = TRANSCRIPTION_JSON, .logprobs = true};
    char *answer = answer_of(model, &r, 2, "Turn on it.", "Now.");
    json *root;
    rnl_error error;
    assert_int_equal(json_parse(answer, strlen(answer), "answer", &root, &error), RNL_OK);
    const json *list = json_get(root, "logprobs");
    assert_int_equal(json_count(list), 4);
    for (size_t i = 0; i < 4; i++) {
        const json *entry = json_at(list, i), *bytes = json_get(entry, "bytes");
        const char *text;
        size_t size;
        double value;
        assert_true(model_token_bytes(model, tokens[i % 3], &text, &size));
        assert_true(size > 0);
        assert_int_equal(json_count(bytes), size);
        for (size_t k = 0; k < size; k++) {
            int64_t byte;
            assert_true(json_int(json_at(bytes, k), 0, 255, &byte));
            assert_int_equal(byte, (unsigned char)text[k]);
        }
        assert_true(json_is_string(json_get(entry, "token")));
        assert_true(json_number(json_get(entry, "logprob"), &value));
        assert_true(value == (double)confidences[i % 3]);
    }
    json_destroy(&root);
    free(answer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_official_client_is_understood),
        cmocka_unit_test(forms_are_taken_or_refused),
        cmocka_unit_test(a_temperature_draws),
        cmocka_unit_test(answers_have_their_forms),
        cmocka_unit_test(what_is_missing_is_told),
        cmocka_unit_test(pieces_are_joined),
        cmocka_unit_test(tokens_are_told_with_their_bytes),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
