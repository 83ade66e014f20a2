/* A Wyoming connection without sockets: what is asked of the model and what the client is written,
 * whatever the cut of the bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "serve/limits.h"
#include "serve/wyoming.h"
#include "serve/wyoming_frame.h"
#include "serve/wyoming_info.h"

enum { LOG_CAP = 256 * 1024 };

/* Notes all that is asked and written, in order: events as [type data payload-bytes], the host's
 * calls as <hear 16000 en>, <speak text>, <answer text>, <over>; sounds as their number. */
typedef struct room {
    wyoming *w;
    wyoming_reader *reader; /* reads what is written */
    char log[LOG_CAP];
    size_t log_size;
    size_t heard;       /* samples of the clip */
    double sum;         /* of them */
    size_t room;        /* samples that are taken from now on */
    const char *refuse; /* what start says */
    size_t unread;      /* bytes of a payload that are still to come */
} room;

static void note(room *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(room *r, const char *format, ...) {
    va_list list;
    va_start(list, format);
    const int size = vsnprintf(r->log + r->log_size, LOG_CAP - r->log_size, format, list);
    va_end(list);
    assert_in_range(size, 0, LOG_CAP - 1 - (int)r->log_size);
    r->log_size += (size_t)size;
}

static const char *text_of(const wyoming_reader *reader) {
    const char *text = json_chars(wyoming_field(reader, "text"), NULL);
    return text == NULL ? "-" : text;
}

static void host_write(void *context, const char *bytes, size_t size) {
    room *r = context;
    for (size_t at = 0, taken; at < size; at += taken) {
        const wyoming_got got = wyoming_read(r->reader, bytes + at, size - at, &taken);
        if (got == WYOMING_BROKEN) fail_msg("it wrote what is no Wyoming");
        if (got != WYOMING_EVENT) continue;
        note(r, "[%s %s", wyoming_type(r->reader), text_of(r->reader));
        const json *told = json_get(wyoming_field(r->reader, "context"), "conversation_id");
        if (told != NULL) note(r, " of %s", json_chars(told, NULL));
        if (wyoming_payload_size(r->reader) > 0) note(r, " %zu", wyoming_payload_size(r->reader));
        note(r, "]");
    }
}

static const char *host_start(void *context, const wyoming_job *job) {
    room *r = context;
    if (r->refuse != NULL) return r->refuse;
    if (job->ask == WYOMING_HEAR)
        note(r, "<hear %d %s>", job->rate, job->language);
    else
        note(r, "<%s %.*s %s>", job->ask == WYOMING_SPEAK ? "speak" : "answer", (int)job->text_size,
             job->text, job->ask == WYOMING_SPEAK ? job->voice : job->conversation);
    return NULL;
}

static size_t host_sound(void *context, const float *samples, size_t count) {
    room *r = context;
    const size_t taken = count < r->room ? count : r->room;
    for (size_t i = 0; i < taken; i++) r->sum += samples[i];
    r->heard += taken;
    r->room -= taken;
    return taken;
}

static void host_sound_end(void *context) {
    note(context, "<over>");
}

static const wyoming_host host = {
    .write = host_write, .start = host_start, .sound = host_sound, .sound_end = host_sound_end};

static room *room_open(void) {
    room *r = calloc(1, sizeof *r);
    assert_non_null(r);
    wyoming_host h = host;
    h.context = r;
    r->room = SIZE_MAX;
    assert_int_equal(wyoming_reader_create(&r->reader), RNL_OK);
    assert_int_equal(wyoming_create(&h, "{\"asr\": []}", 0, &r->w), RNL_OK);
    return r;
}

static void room_close(room *r) {
    wyoming_destroy(&r->w);
    wyoming_reader_destroy(&r->reader);
    free(r);
}

/* An event as the package writes it. */
static size_t put_event(char *out, const char *type, const char *data, size_t payload_size) {
    size_t size = wyoming_write_head(out, type, strlen(data), payload_size);
    memcpy(out + size, data, strlen(data));
    size += strlen(data);
    for (size_t i = 0; i < payload_size; i++) out[size++] = (char)(i % 2 == 0 ? 0x00 : 0x40);
    return size;
}

static rnl_status tell(room *r, const char *type, const char *data, size_t payload_size) {
    static char bytes[64 * 1024];
    const size_t size = put_event(bytes, type, data, payload_size);
    size_t taken;
    const rnl_status status = wyoming_push(r->w, bytes, size, &taken, 0);
    if (status == RNL_OK) assert_int_equal(taken, size);
    return status;
}

static rnl_status go_on(room *r) {
    size_t taken;
    return wyoming_push(r->w, NULL, 0, &taken, 0);
}

static void said(room *r, const char *expected) {
    r->log[r->log_size] = '\0';
    assert_string_equal(r->log, expected);
    r->log_size = 0;
}

static void text(room *r, const char *piece) {
    wyoming_text(r->w, piece, strlen(piece));
}

static void speech(room *r, size_t count) {
    static const int16_t samples[WYOMING_SPEECH_CAP];
    wyoming_speech(r->w, samples, count);
}

#define PAUSE "[audio-chunk - 8192][audio-chunk - 6208]" /* 0.3 s */
#define FORMAT "{\"rate\": 16000, \"width\": 2, \"channels\": 1}"

static void describing_and_pinging(void **state) {
    (void)state;
    room *r = room_open();
    assert_int_equal(tell(r, "describe", "", 0), RNL_OK);
    assert_int_equal(tell(r, "ping", "{\"text\": \"Gr\xc3\xbc\xc3\x9f\\n\"}", 0), RNL_OK);
    assert_int_equal(tell(r, "ping", "", 0), RNL_OK);
    assert_int_equal(tell(r, "select-program", "{\"name\": \"runnel\"}", 0), RNL_OK);
    assert_int_equal(tell(r, "detect", "{}", 4), RNL_OK); /* of a protocol that is not ours */
    said(r, "[info -][pong Gr\xc3\xbc\xc3\x9f\n][pong -]");
    room_close(r);
}

static void sound_to_text(void **state) {
    (void)state;
    room *r = room_open();
    assert_int_equal(tell(r, "transcribe", "{\"language\": \"en\"}", 0), RNL_OK);
    assert_int_equal(tell(r, "audio-start", FORMAT, 0), RNL_OK);
    said(r, "");
    for (int i = 0; i < 3; i++) assert_int_equal(tell(r, "audio-chunk", FORMAT, 4096), RNL_OK);
    said(r, "<hear 16000 en>");
    assert_int_equal(r->heard, 3 * 2048);
    assert_true(r->sum == 3 * 2048 * 0.5); /* 0x4000 */
    wyoming_voice(r->w, true, 120);
    assert_int_equal(tell(r, "audio-stop", "{\"timestamp\": null}", 0), RNL_OK);
    text(r, "Turn");
    text(r, " on.");
    wyoming_finished(r->w, 0);
    said(r, "[voice-started -]<over>[transcript-start -][transcript-chunk Turn]"
            "[transcript-chunk  on.][transcript-stop -][transcript Turn on.]");
    /* Nothing was said, and there was no sound at all. */
    assert_int_equal(tell(r, "transcribe", "", 0), RNL_OK);
    assert_int_equal(tell(r, "audio-start", FORMAT, 0), RNL_OK);
    assert_int_equal(tell(r, "audio-chunk", FORMAT, 64), RNL_OK);
    assert_int_equal(tell(r, "audio-stop", "", 0), RNL_OK);
    wyoming_finished(r->w, 0);
    said(r, "<hear 16000 ><over>[transcript ]");
    assert_int_equal(tell(r, "audio-start", FORMAT, 0), RNL_OK);
    assert_int_equal(tell(r, "audio-stop", "", 0), RNL_OK);
    said(r, "[transcript ]");
    room_close(r);
}

/* The host takes sound as it can; nothing is lost, and nothing read ahead. */
static void sound_waits_for_room(void **state) {
    (void)state;
    room *r = room_open();
    r->room = 100;
    assert_int_equal(tell(r, "transcribe", "", 0), RNL_OK);
    static char bytes[8192];
    size_t size = put_event(bytes, "audio-chunk", FORMAT, 5000), at = 0;
    size += put_event(bytes + size, "audio-stop", "", 0);
    for (int calls = 0; at < size; calls++) {
        assert_in_range(calls, 0, 100);
        size_t taken;
        const rnl_status status = wyoming_push(r->w, bytes + at, size - at, &taken, 0);
        at += taken;
        if (at == size && status == RNL_OK) break;
        assert_int_equal(status, RNL_AGAIN);
        assert_null(strstr(r->log, "<over>"));
        r->room += 100;
    }
    assert_int_equal(r->heard, 2500);
    said(r, "<hear 16000 ><over>");
    room_close(r);
}

static void text_to_sound(void **state) {
    (void)state;
    room *r = room_open();
    assert_int_equal(
        tell(r, "synthesize", "{\"text\": \"Hi. There.\", \"voice\": {\"name\": \"v\"}}", 0),
        RNL_OK);
    speech(r, 4096);
    speech(r, 7);
    wyoming_finished(r->w, 0);
    said(r, "<speak Hi. There. v>[audio-start -][audio-chunk - 8192][audio-chunk - 14]"
            "[audio-stop -]");
    assert_int_equal(tell(r, "synthesize", "{\"text\": \" \\n\"}", 0), RNL_OK);
    said(r, "[audio-start -][audio-stop -]"); /* nothing to say: a sound of no length */
    assert_int_equal(tell(r, "synthesize", "{\"text\": \"...\"}", 0), RNL_OK);
    said(r, "[audio-start -][audio-stop -]");
    room_close(r);
}

/* As Home Assistant does: the pieces, then the whole once more, then the end. */
static void streamed_text_to_sound(void **state) {
    (void)state;
    room *r = room_open();
    assert_int_equal(tell(r, "synthesize-start", "{\"voice\": {\"name\": \"v\"}}", 0), RNL_OK);
    assert_int_equal(tell(r, "synthesize-chunk", "{\"text\": \"The light is\"}", 0), RNL_OK);
    said(r, "");
    assert_int_equal(tell(r, "synthesize-chunk", "{\"text\": \" on. The door is shut.\"}", 0),
                     RNL_OK);
    said(r, "<speak The light is on.  v>");
    assert_int_equal(tell(r, "synthesize-chunk", "{\"text\": \" Two. Th\"}", 0), RNL_OK);
    speech(r, 10);
    wyoming_finished(r->w, 0);
    said(r, "[audio-start -][audio-chunk - 20]" PAUSE "<speak The door is shut. Two.  v>");
    assert_int_equal(tell(r, "synthesize", "{\"text\": \"All of it.\"}", 0), RNL_OK);
    assert_int_equal(tell(r, "synthesize-stop", "", 0), RNL_OK);
    said(r, "");
    speech(r, 20);
    wyoming_finished(r->w, 0);
    said(r, "[audio-chunk - 40]" PAUSE "<speak Th v>");
    wyoming_finished(r->w, 0);
    said(r, "[audio-stop -][synthesize-stopped -]");
    assert_int_equal(tell(r, "synthesize-start", "", 0), RNL_OK);
    assert_int_equal(tell(r, "synthesize-stop", "", 0), RNL_OK);
    said(r, "[audio-start -][audio-stop -][synthesize-stopped -]");
    room_close(r);
}

static void text_to_text(void **state) {
    (void)state;
    room *r = room_open();
    assert_int_equal(tell(r, "transcript",
                          "{\"text\": \"Turn it on.\", \"context\": {\"conversation_id\": \"c1\", "
                          "\"device_id\": null}}",
                          0),
                     RNL_OK);
    text(r, "It is");
    text(r, " on.");
    wyoming_finished(r->w, 0);
    said(r, "<answer Turn it on. c1>[handled-start -][handled-chunk It is][handled-chunk  on.]"
            "[handled-stop -][handled It is on. of c1]");
    assert_int_equal(tell(r, "transcript", "{\"text\": \"\"}", 0), RNL_OK);
    said(r, "[not-handled ]");
    room_close(r);
}

/* What begins while an answer is made waits for its end; what asks for nothing is told at once. */
static void one_request_after_the_other(void **state) {
    (void)state;
    room *r = room_open();
    assert_int_equal(tell(r, "synthesize", "{\"text\": \"One.\"}", 0), RNL_OK);
    assert_int_equal(tell(r, "ping", "", 0), RNL_OK);
    assert_int_equal(tell(r, "synthesize", "{\"text\": \"Two.\"}", 0), RNL_AGAIN);
    assert_int_equal(go_on(r), RNL_AGAIN);
    said(r, "<speak One. >[pong -]");
    wyoming_finished(r->w, 0);
    assert_int_equal(go_on(r), RNL_OK);
    said(r, "[audio-start -][audio-stop -]<speak Two. >");
    room_close(r);
}

/* What only the client can end must not be waited for. */
static void nothing_begins_within_a_request(void **state) {
    (void)state;
    room *r = room_open();
    assert_int_equal(tell(r, "transcribe", "", 0), RNL_OK);
    assert_int_equal(tell(r, "audio-start", FORMAT, 0), RNL_OK);
    assert_int_equal(tell(r, "transcribe", "{\"language\": \"de\"}", 0), RNL_OK); /* anew */
    assert_int_equal(tell(r, "audio-start", "{\"rate\": 8000, \"width\": 2, \"channels\": 1}", 0),
                     RNL_OK);
    assert_int_equal(tell(r, "synthesize", "{\"text\": \"a\"}", 0), RNL_OK); /* given up */
    wyoming_finished(r->w, 0);
    said(r, "<speak a >[audio-start -][audio-stop -]");
    assert_int_equal(tell(r, "transcribe", "", 0), RNL_OK);
    assert_int_equal(tell(r, "audio-chunk", FORMAT, 20), RNL_OK);
    assert_int_equal(tell(r, "synthesize", "{\"text\": \"a\"}", 0), RNL_DONE);
    said(r, "<hear 16000 >[error synthesize: end what was begun before, by audio-stop]");
    room_close(r);
    r = room_open();
    assert_int_equal(tell(r, "synthesize-start", "", 0), RNL_OK);
    assert_int_equal(tell(r, "transcribe", "", 0), RNL_DONE);
    said(r, "[error transcribe: end what was begun before, by synthesize-stop]");
    room_close(r);
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *type, *data, *told;
    } bad[] = {
        {"synthesize", "{}", "synthesize has no text; give it a field \"text\""},
        {"synthesize", "{\"text\": 5}", "synthesize has no text; give it a field \"text\""},
        {"synthesize", "{\"text\": \"a\", \"text_format\": \"ssml\"}",
         "synthesize: this text_format is not known here; send plain text"},
        {"transcript", "{}", "transcript has no text; give it a field \"text\""},
        {"audio-start", "{\"rate\": 3999, \"width\": 2, \"channels\": 1}",
         "audio-start: the rate is not within 4000 to 192000"},
        {"audio-start", "{\"rate\": 16000, \"width\": 3, \"channels\": 1}",
         "audio-start: the width is not 1, 2 or 4 bytes"},
        {"audio-start", "{\"rate\": 16000, \"width\": 2, \"channels\": 9}",
         "audio-start: the channels are not 1 to 8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        room *r = room_open();
        char expected[200];
        (void)snprintf(expected, sizeof expected, "[error %s]", bad[i].told);
        assert_int_equal(tell(r, bad[i].type, bad[i].data, 0), RNL_DONE);
        said(r, expected);
        assert_int_equal(tell(r, "ping", "", 0), RNL_DONE); /* nothing more */
        said(r, "");
        room_close(r);
    }
    room *r = room_open();
    r->refuse = "no room is left";
    assert_int_equal(tell(r, "synthesize", "{\"text\": \"a\"}", 0), RNL_DONE);
    said(r, "[error no room is left]");
    room_close(r);
    r = room_open();
    assert_int_equal(tell(r, "transcribe", "", 0), RNL_OK);
    assert_int_equal(tell(r, "audio-chunk", FORMAT, 20), RNL_OK);
    assert_int_equal(tell(r, "audio-chunk", "{\"rate\": 8000, \"width\": 2, \"channels\": 1}", 20),
                     RNL_DONE);
    said(r, "<hear 16000 >[error audio-chunk: the rate changed within a clip; send one rate]");
    room_close(r);
    r = room_open();
    assert_int_equal(tell(r, "synthesize", "{\"text\": \"a\"}", 0), RNL_OK);
    wyoming_failed(r->w, "the model failed");
    assert_int_equal(go_on(r), RNL_DONE);
    said(r, "<speak a >[error the model failed]");
    room_close(r);
}

/* A minute of silence ends a connection, but not while the client waits for us. */
static void idle_connections_end(void **state) {
    (void)state;
    const int64_t minute = (int64_t)LIMIT_WYOMING_IDLE_SECONDS * 1000000;
    room *r = room_open();
    assert_int_equal(wyoming_tick(r->w, minute - 1), RNL_OK);
    assert_int_equal(tell(r, "synthesize", "{\"text\": \"a\"}", 0), RNL_OK);
    assert_int_equal(wyoming_tick(r->w, 9 * minute), RNL_OK);
    wyoming_finished(r->w, 9 * minute);
    assert_int_equal(wyoming_tick(r->w, 10 * minute - 1), RNL_OK);
    assert_int_equal(wyoming_tick(r->w, 10 * minute), RNL_DONE);
    room_close(r);
    r = room_open();
    assert_int_equal(tell(r, "transcribe", "", 0), RNL_OK);
    assert_int_equal(tell(r, "audio-chunk", FORMAT, 20), RNL_OK);
    assert_int_equal(wyoming_tick(r->w, minute), RNL_DONE); /* a clip without an end */
    room_close(r);
}

/* Channels are mixed, widths are scaled, frames may be cut anywhere. */
static void forms_of_sound(void **state) {
    (void)state;
    static const struct {
        const char *format;
        size_t size, count;
        double sum;
    } forms[] = {
        /* the bytes are 00 40 00 40 ... */
        {"{\"rate\": 8000, \"width\": 1, \"channels\": 1}", 1000, 1000, 500 * 0.5},
        {"{\"rate\": 8000, \"width\": 1, \"channels\": 2}", 1000, 500, 500 * 0.25},
        {"{\"rate\": 8000, \"width\": 2, \"channels\": 5}", 1000, 100, 100 * 0.5},
        {"{\"rate\": 8000, \"width\": 4, \"channels\": 1}", 4000, 1000,
         1000 * (0x40004000 / 2147483648.0)},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        room *r = room_open();
        assert_int_equal(tell(r, "transcribe", "", 0), RNL_OK);
        assert_int_equal(tell(r, "audio-chunk", forms[i].format, forms[i].size), RNL_OK);
        assert_int_equal(r->heard, forms[i].count);
        assert_true(r->sum == forms[i].sum);
        room_close(r);
    }
}

/* One long talk, in one piece and in any others: asked and told is the same. */
static void any_cut_is_the_same(void **state) {
    (void)state;
    static char bytes[64 * 1024], whole[4096];
    size_t size = 0;
    size += put_event(bytes + size, "describe", "", 0);
    size += put_event(bytes + size, "transcribe", "{\"language\": \"en\"}", 0);
    for (int i = 0; i < 5; i++) size += put_event(bytes + size, "audio-chunk", FORMAT, 3001);
    size += put_event(bytes + size, "audio-stop", "", 0);
    size += put_event(bytes + size, "unknown", "{\"a\": 1}", 100);
    size += put_event(bytes + size, "synthesize", "{\"text\": \"One. Two.\"}", 0);
    size += put_event(bytes + size, "transcript", "{\"text\": \"Hello\"}", 0);
    size += put_event(bytes + size, "ping", "{\"text\": \"a\"}", 0);
    for (uint64_t seed = 0; seed < 100; seed++) {
        random_state random;
        random_seed(&random, seed);
        room *r = room_open();
        rnl_status status = RNL_OK;
        for (size_t at = 0, taken; at < size || status == RNL_AGAIN; at += taken) {
            size_t most = size - at;
            if (seed > 0 && most > 0) most = 1 + (size_t)(random_unit(&random) * (double)most / 8);
            status = wyoming_push(r->w, bytes + at, most, &taken, 0);
            if (status == RNL_AGAIN) {
                if (strstr(r->log, "<over>") != NULL && strstr(r->log, "<speak") == NULL)
                    text(r, "Heard.");
                wyoming_finished(r->w, 0);
            }
        }
        r->log[r->log_size] = '\0';
        assert_in_range(r->log_size, 1, sizeof whole - 1);
        if (seed == 0) memcpy(whole, r->log, r->log_size + 1);
        assert_string_equal(r->log, whole);
        assert_int_equal(r->heard, 5 * 3001 / 2);
        room_close(r);
    }
    assert_non_null(strstr(whole, "[transcript Heard.]"));
    assert_non_null(strstr(whole, "<speak One. Two. >"));
    assert_non_null(strstr(whole, "<answer Hello >[pong a]"));
}

static void info_names_all_programs(void **state) {
    (void)state;
    static const char *const languages[] = {"en"}, *const voices[] = {"default", "us-female"};
    const wyoming_about about = {.model = "minnow \"1\"",
                                 .hears = true,
                                 .speaks = true,
                                 .languages = languages,
                                 .language_count = 1,
                                 .voices = voices,
                                 .voice_count = 2};
    char *text = wyoming_info(&about);
    json *info;
    assert_non_null(text);
    assert_int_equal(json_parse(text, strlen(text), "info", &info, NULL), RNL_OK);
    static const char *const lists[] = {"asr", "tts", "handle", "intent", "wake", "mic", "snd"};
    for (size_t i = 0; i < 7; i++) {
        assert_true(json_is_array(json_get(info, lists[i])));
        assert_int_equal(json_count(json_get(info, lists[i])), i < 3 ? 1 : 0);
    }
    const json *model = json_at(json_get(json_at(json_get(info, "asr"), 0), "models"), 0);
    assert_string_equal(json_chars(json_get(model, "name"), NULL), "minnow \"1\"");
    assert_string_equal(json_chars(json_at(json_get(model, "languages"), 0), NULL), "en");
    const json *list = json_get(json_at(json_get(info, "tts"), 0), "voices");
    assert_int_equal(json_count(list), 2);
    assert_string_equal(json_chars(json_get(json_at(list, 1), "name"), NULL), "us-female");
    json_destroy(&info);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describing_and_pinging),
        cmocka_unit_test(sound_to_text),
        cmocka_unit_test(sound_waits_for_room),
        cmocka_unit_test(text_to_sound),
        cmocka_unit_test(streamed_text_to_sound),
        cmocka_unit_test(text_to_text),
        cmocka_unit_test(one_request_after_the_other),
        cmocka_unit_test(nothing_begins_within_a_request),
        cmocka_unit_test(refusals),
        cmocka_unit_test(idle_connections_end),
        cmocka_unit_test(forms_of_sound),
        cmocka_unit_test(any_cut_is_the_same),
        cmocka_unit_test(info_names_all_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
