/* Texts to speak: requests of the official client and others, sentences in their order, bytes and
 * events of the answer. The engine is a tone here. */
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
#include "serve/base64.h"
#include "serve/speech.h"
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

/* ---- Requests ---- */

static void the_official_client_is_understood(void **state) {
    static const struct {
        const char *name;
        sound_format format;
        bool events;
        const char *input;
    } cases[] = {
        {"10-post-v1-audio-speech.txt", SOUND_FORMAT_WAV, false, "The light is on."},
        {"11-post-v1-audio-speech.txt", SOUND_FORMAT_PCM, false, "The light is on."},
        {"12-post-v1-audio-speech.txt", SOUND_FORMAT_OPUS, false, "The light is on."},
        {"13-post-v1-audio-speech.txt", SOUND_FORMAT_FLAC, false, "The light is on."},
        {"14-post-v1-audio-speech.txt", SOUND_FORMAT_PCM, false, "Yes."},
        {"15-post-v1-audio-speech.txt", SOUND_FORMAT_PCM, true, "Yes."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        recorded body;
        speech_request r;
        api_error e = {0};
        recorded_read(cases[i].name, &body);
        assert_int_equal(body.size, body.content_length);
        if (!speech_request_read(body.body, body.size, *state, &r, &e))
            fail_msg("%s: %s", cases[i].name, e.message);
        assert_true(r.format == cases[i].format && r.events == cases[i].events);
        assert_int_equal(r.size, strlen(cases[i].input));
        assert_memory_equal(r.input, cases[i].input, r.size);
        assert_string_equal(r.model, "minnow");
        assert_string_equal(r.prompt, rnl_model_system_prompt(*state, RNL_MODE_SPEAK));
        speech_request_free(&r);
        recorded_free(&body);
    }
}

static void requests_are_taken_or_refused(void **state) {
#define WELL "\"model\":\"m\",\"input\":\"Yes.\""
    static const struct {
        const char *body;
        api_code code;
        const char *param;
    } cases[] = {
        {"{" WELL "}", API_OK, ""},
        {"{" WELL ",\"voice\":\"alloy\",\"speed\":1,\"unknown\":[]}", API_OK, ""},
        {"{" WELL ",\"voice\":{\"id\":\"uk-male\"},\"stream_format\":\"audio\"}", API_OK, ""},
        {"{" WELL ",\"voice\":null,\"instructions\":null,\"response_format\":null}", API_OK, ""},
        {"{\"input\":\"Yes.\"}", API_MISSING_PARAMETER, "model"},
        {"{\"model\":\"\",\"input\":\"Yes.\"}", API_MISSING_PARAMETER, "model"},
        {"{\"model\":\"m\"}", API_MISSING_PARAMETER, "input"},
        {"{\"model\":\"m\",\"input\":\"\"}", API_INVALID_VALUE, "input"},
        {"{\"model\":\"m\",\"input\":7}", API_INVALID_VALUE, "input"},
        {"{" WELL ",\"voice\":\"nobody\"}", API_INVALID_VALUE, "voice"},
        {"{" WELL ",\"voice\":7}", API_INVALID_VALUE, "voice"},
        {"{" WELL ",\"response_format\":\"aac\"}", API_UNSUPPORTED_FORMAT, "response_format"},
        {"{" WELL ",\"response_format\":7}", API_INVALID_VALUE, "response_format"},
        {"{" WELL ",\"speed\":1.5}", API_UNSUPPORTED_PARAMETER, "speed"},
        {"{" WELL ",\"speed\":0.1}", API_INVALID_VALUE, "speed"},
        {"{" WELL ",\"stream_format\":\"x\"}", API_INVALID_VALUE, "stream_format"},
        {"{" WELL ",\"instructions\":7}", API_INVALID_VALUE, "instructions"},
        {"[]", API_INVALID_JSON, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        speech_request r;
        api_error e = {0};
        const bool done = speech_request_read(cases[i].body, strlen(cases[i].body), *state, &r, &e);
        if (done != (cases[i].code == API_OK) || e.code != cases[i].code ||
            strcmp(e.param, cases[i].param) != 0)
            fail_msg("case %zu: %s (%s)", i, e.message, e.param);
        if (done && !sound_format_is_there(SOUND_FORMAT_MP3)) assert_int_equal(r.format, 0);
        speech_request_free(&r);
    }
}

/* 4096 characters are counted, not bytes. */
static void an_input_has_its_length(void **state) {
    char body[3 * 4100];
    for (int count = 4096; count <= 4097; count++) {
        speech_request r;
        api_error e = {0};
        size_t size = (size_t)sprintf(body, "{\"model\":\"m\",\"input\":\"");
        for (int i = 0; i < count; i++, size += 2) memcpy(body + size, "\xc3\xa4", 2);
        size += (size_t)sprintf(body + size, "\"}");
        assert_int_equal(speech_request_read(body, size, *state, &r, &e), count == 4096);
        assert_int_equal(e.code, count == 4096 ? API_OK : API_INVALID_VALUE);
        speech_request_free(&r);
    }
}

/* ---- Speaking ---- */

enum { PER_BYTE = 100 /* samples that the tone has for each byte of a sentence */ };

static speech *begin(void **state, const char *input, const char *rest) {
    char body[512];
    speech_request r;
    speech *s;
    api_error e = {0};
    const int size =
        snprintf(body, sizeof body, "{\"model\":\"m\",\"input\":\"%s\"%s}", input, rest);
    if (!speech_request_read(body, (size_t)size, *state, &r, &e)) fail_msg("%s", e.message);
    if (!speech_create(&r, &s, &e)) fail_msg("%s", e.message);
    speech_request_free(&r); /* it was taken over */
    return s;
}

/* Speaks all, in pieces; sentences and sound are kept, and the answer in takes of at most `cap`. */
typedef struct spoken {
    char sentences[512];
    float samples[200000];
    size_t count;
    char bytes[1 << 20];
    size_t size;
} spoken;

static void take(speech *s, spoken *all, size_t cap) {
    for (size_t got; (got = speech_take(s, all->bytes + all->size, cap)) > 0;) {
        assert_true(got <= cap);
        all->size += got;
    }
}

static void speak(speech *s, spoken *all, size_t cut, size_t cap) {
    const char *text;
    size_t size;
    api_error e = {0};
    memset(all, 0, sizeof *all);
    while (speech_sentence(s, &text, &size)) {
        (void)snprintf(all->sentences + strlen(all->sentences),
                       sizeof all->sentences - strlen(all->sentences), "%.*s|", (int)size, text);
        float tone[10000];
        const size_t count = PER_BYTE * size;
        for (size_t i = 0; i < count; i++) tone[i] = 0.5f * sinf(0.1f * (float)(i + size));
        for (size_t at = 0; at < count; at += cut) {
            assert_true(speech_sound(s, tone + at, count - at < cut ? count - at : cut, &e));
            take(s, all, cap);
            assert_false(speech_is_over(s));
        }
        memcpy(all->samples + all->count, tone, count * sizeof *tone);
        all->count += count;
        assert_true(speech_end_sentence(s, &(work_usage){.input_text = 3, .output_audio = 4}, &e));
        if (speech_sentence(s, &text, &size)) all->count += 7200; /* 0.3 s */
    }
    take(s, all, cap);
    assert_true(speech_is_over(s));
    assert_int_equal(speech_waiting(s), 0);
}

static void sentences_are_spoken_with_pauses(void **state) {
    static spoken all;
    static uint8_t wanted[400000];
    speech *s = begin(state, "The light is **on**. It was off.", ",\"response_format\":\"pcm\"");
    assert_string_equal(speech_type(s), "audio/pcm");
    speak(s, &all, 333, 1000);
    assert_string_equal(all.sentences, "The light is on.|It was off.|");
    assert_int_equal(all.size, 2 * all.count);
    sound_to_s16le(all.samples, all.count, wanted);
    assert_memory_equal(all.bytes, wanted, all.size);
    speech_destroy(&s);

    s = begin(state, "Yes.", ",\"response_format\":\"wav\"");
    speak(s, &all, 10000, 100000);
    assert_int_equal(all.size, 44 + 2 * all.count);
    assert_memory_equal(all.bytes + 40, "\xff\xff\xff\xff", 4); /* taken before its end */
    speech_destroy(&s);
}

/* Events hold the same bytes, whatever room there is for each. */
static void events_hold_the_same_sound(void **state) {
    static spoken plain, events;
    speech *s = begin(state, "Yes. No.", ",\"response_format\":\"flac\"");
    speak(s, &plain, 480, 4096);
    speech_destroy(&s);
    for (size_t cap = 512; cap < 100000; cap = 3 * cap + 1) {
        char sound[1 << 16];
        size_t count = 0, made, done = 0;
        s = begin(state, "Yes. No.", ",\"response_format\":\"flac\",\"stream_format\":\"sse\"");
        assert_string_equal(speech_type(s), "text/event-stream");
        speak(s, &events, 480, cap);
        speech_destroy(&s);
        for (char *line = events.bytes, *end; (end = strstr(line, "\n\n")) != NULL;
             line = end + 2) {
            json *one;
            rnl_error error;
            assert_memory_equal(line, "data: ", 6);
            assert_int_equal(json_parse(line + 6, (size_t)(end - line - 6), "event", &one, &error),
                             RNL_OK);
            size_t size;
            const char *audio = json_chars(json_get(one, "audio"), &size);
            int64_t total;
            if (audio != NULL) {
                assert_true(base64_decode(audio, size, (unsigned char *)sound + count, &made));
                count += made;
            } else {
                done++;
                assert_true(
                    json_int(json_get(json_get(one, "usage"), "total_tokens"), 14, 14, &total));
            }
            json_destroy(&one);
        }
        assert_int_equal(done, 1);
        assert_int_equal(count, plain.size);
        assert_memory_equal(sound, plain.bytes, count);
    }
}

static void what_cannot_be_spoken_is_refused(void **state) {
    speech_request r;
    speech *s;
    api_error e = {0};
    static const char body[] = "{\"model\":\"m\",\"input\":\"... --- !\"}";
    assert_true(speech_request_read(body, sizeof body - 1, *state, &r, &e));
    assert_false(speech_create(&r, &s, &e));
    assert_int_equal(e.code, API_INVALID_VALUE);
    assert_string_equal(e.param, "input");
    assert_null(s);
    speech_destroy(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_official_client_is_understood),
        cmocka_unit_test(requests_are_taken_or_refused),
        cmocka_unit_test(an_input_has_its_length),
        cmocka_unit_test(sentences_are_spoken_with_pauses),
        cmocka_unit_test(events_hold_the_same_sound),
        cmocka_unit_test(what_cannot_be_spoken_is_refused),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
