/* Every format of a small transcript with everything that has to be escaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "text/formats.h"

static const char text[] = "It is \"a\" <b>, & c.\tYes.";
static const int32_t tokens[] = {7, 8, 9};
static const int32_t emitted[] = {7, 8, 9, 1};
static const float confidences[] = {-0.5f, -0.25f, -0.125f};
static const rnl_word words[] = {
    {0.5, 0.7, 0, 2, 0, 1, -0.5f},         {0.7, 0.9, 3, 2, 1, 1, -0.25f},
    {0.9, 1.0, 6, 3, 1, 0, -0.25f},        {1.0, 1.5, 10, 4, 1, 0, -0.25f},
    {1.5, 1.6, 15, 1, 1, 0, -0.25f},       {1.6, 2.25, 17, 2, 1, 1, -0.25f},
    {3661.5, 3663.0, 20, 4, 2, 1, -0.125f}};
static const rnl_segment segments[] = {{0.5, 2.25, 0, 19, 0, 2, 0, 6, -0.375f},
                                       {3661.5, 3663.0, 20, 4, 2, 1, 6, 1, -0.125f}};
static const rnl_piece piece = {.index = 3,
                                .begin = 0.5,
                                .end = 3663.0,
                                .finish = RNL_FINISH_END,
                                .confidence = -0.29167f,
                                .text = text,
                                .text_size = sizeof text - 1,
                                .emitted = emitted,
                                .emitted_count = 4,
                                .encode_seconds = 0.25,
                                .first_text_seconds = 0.5,
                                .total_seconds = 0.75,
                                .tokens = tokens,
                                .token_confidences = confidences,
                                .token_count = 3,
                                .words = words,
                                .word_count = 7,
                                .segments = segments,
                                .segment_count = 2};
static const format_head head = {
    .input = "a\"b.wav", .model = "minnow", .piece_max = 8, .top_k = 1};

static char *written_with(format_kind kind, int piece_count, const sound_faults *faults) {
    char *out = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&out, &size);
    format_writer *w = format_begin(kind, f, &head);
    assert_non_null(w);
    for (int i = 0; i < piece_count; i++) assert_true(format_piece(w, &piece));
    assert_true(format_end(&w, 3700.25, faults));
    assert_null(w);
    assert_true(format_end(&w, 0, faults));
    assert_int_equal(fclose(f), 0);
    return out;
}

static char *written(format_kind kind, int piece_count) {
    const sound_faults none = {0};
    return written_with(kind, piece_count, &none);
}

/* What is missing stands in JSON, in a line of its own of JSONL, in notes of VTT, nowhere else. */
static void damage_is_told(void **state) {
    (void)state;
    const sound_faults faults = {.place_count = 2,
                                 .places = {{7.0875, 7.4835, false}, {3690.5, 3700.25, true}}};
    static const char *const ends[FORMAT_COUNT] = {
        [FORMAT_VTT] = "NOTE damaged from 00:00:07.088 to 00:00:07.484\n\n"
                       "NOTE the recording is cut off at 01:01:30.500 of 01:01:40.250\n\n",
        [FORMAT_JSON] = "],\n\"damaged\": [[7.088,7.484],[3690.5,3700.25]],\n"
                        "\"duration\": 3700.250}\n",
        [FORMAT_JSONL] = "{\"input\":\"a\\\"b.wav\","
                         "\"damaged\":[[7.088,7.484],[3690.5,3700.25]]}\n"};
    for (int kind = 0; kind < FORMAT_COUNT; kind++) {
        char *whole = written((format_kind)kind, 1);
        char *out = written_with((format_kind)kind, 1, &faults);
        const char *end = ends[kind];
        if (end == NULL)
            assert_string_equal(out, whole);
        else if (strlen(out) < strlen(end) || strcmp(out + strlen(out) - strlen(end), end) != 0)
            fail_msg("%s ends in '%s'", format_name((format_kind)kind),
                     strlen(out) > 200 ? out + strlen(out) - 200 : out);
        free(whole);
        free(out);
    }
}

static void tables_and_text(void **state) {
    (void)state;
    const struct {
        format_kind kind;
        const char *full, *empty;
    } rows[] = {
        {FORMAT_TXT, "It is \"a\" <b>, & c.\nYes.\n", ""},
        {FORMAT_CSV,
         "start,end,text\n500,2250,\"It is \"\"a\"\" <b>, & c.\"\n3661500,3663000,\"Yes.\"\n",
         "start,end,text\n"},
        {FORMAT_TSV, "start\tend\ttext\n500\t2250\tIt is \"a\" <b>, & c.\n3661500\t3663000\tYes.\n",
         "start\tend\ttext\n"},
        {FORMAT_SRT,
         "1\n00:00:00,500 --> 00:00:02,250\nIt is \"a\" <b>, & c.\n\n"
         "2\n01:01:01,500 --> 01:01:03,000\nYes.\n\n",
         ""},
        {FORMAT_VTT,
         "WEBVTT\n\n00:00:00.500 --> 00:00:02.250\nIt is \"a\" &lt;b&gt;, &amp; c.\n\n"
         "01:01:01.500 --> 01:01:03.000\nYes.\n\n",
         "WEBVTT\n\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *full = written(rows[i].kind, 1), *empty = written(rows[i].kind, 0);
        assert_string_equal(full, rows[i].full);
        assert_string_equal(empty, rows[i].empty);
        free(full);
        free(empty);
    }
}

static double number(const json *o, const char *key) {
    double value = -1;
    assert_true(json_number(json_get(o, key), &value));
    return value;
}

static void check_segment(const json *s) {
    assert_true(number(s, "start") == 0.5 && number(s, "end") == 2.25);
    assert_true(number(s, "confidence") == -0.375);
    assert_int_equal(json_count(json_get(s, "tokens")), 2);
    assert_int_equal(json_count(json_get(s, "words")), 6);
    const json *word = json_at(json_get(s, "words"), 5);
    assert_true(number(word, "start") == 1.6 && number(word, "end") == 2.25);
    assert_string_equal(json_chars(json_get(word, "word"), NULL), "c.");
}

static void json_object(void **state) {
    (void)state;
    for (int count = 0; count <= 2; count++) {
        char *out = written(FORMAT_JSON, count);
        json *o = NULL;
        rnl_error error = {0};
        if (json_parse(out, strlen(out), "json", &o, &error) != RNL_OK) fail_msg("%s", error.text);
        assert_string_equal(json_chars(json_get(o, "input"), NULL), "a\"b.wav");
        assert_string_equal(json_chars(json_get(o, "model"), NULL), "minnow");
        assert_true(number(o, "duration") == 3700.25);
        assert_true(number(json_get(o, "settings"), "piece_max") == 8);
        assert_int_equal(json_count(json_get(o, "segments")), 2 * count);
        if (count > 0) check_segment(json_at(json_get(o, "segments"), 0));
        json_destroy(&o);
        free(out);
    }
}

static void json_lines(void **state) {
    (void)state;
    char *out = written(FORMAT_JSONL, 1), *line = out;
    for (int i = 0; i < 2; i++) {
        char *end = strchr(line, '\n');
        json *o = NULL;
        assert_int_equal(json_parse(line, (size_t)(end - line), "jsonl", &o, NULL), RNL_OK);
        if (i == 0) check_segment(o);
        assert_string_equal(json_chars(json_get(o, "input"), NULL), "a\"b.wav");
        json_destroy(&o);
        line = end + 1;
    }
    assert_string_equal(line, "");
    free(out);
}

static void a_piece_is_one_line(void **state) {
    (void)state;
    char *line = format_piece_json(&head, &piece);
    assert_null(strchr(line, '\n'));
    json *o = NULL;
    assert_int_equal(json_parse(line, strlen(line), "piece", &o, NULL), RNL_OK);
    assert_string_equal(json_chars(json_get(o, "text"), NULL), text);
    assert_string_equal(json_chars(json_get(o, "finish"), NULL), "end");
    assert_int_equal(json_count(json_get(o, "tokens")), 3);
    assert_int_equal(json_count(json_get(o, "text_tokens")), 4);
    assert_string_equal(json_chars(json_get(o, "modality"), NULL), "tttt");
    assert_int_equal(json_count(json_get(o, "frames")), 0);
    const json *times = json_get(o, "times");
    assert_true(number(times, "encode_ms") == 250 && number(times, "first_text_ms") == 500 &&
                number(times, "total_ms") == 750);
    assert_true(number(o, "piece") == 3);
    check_segment(json_at(json_get(o, "segments"), 0));
    json_destroy(&o);
    free(line);
}

static void names(void **state) {
    (void)state;
    const struct {
        const char *list;
        bool valid;
        unsigned mask;
    } rows[] = {{"srt", true, 1u << FORMAT_SRT},
                {"txt,json", true, 1u << FORMAT_TXT | 1u << FORMAT_JSON},
                {"vtt,vtt", true, 1u << FORMAT_VTT},
                {"all", true, 127},
                {"", false, 0},
                {"srt,", false, 0},
                {",srt", false, 0},
                {"SRT", false, 0},
                {"srt vtt", false, 0},
                {"doc", false, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned mask;
        assert_int_equal(formats_parse(rows[i].list, &mask), rows[i].valid);
        if (rows[i].valid) assert_int_equal(mask, rows[i].mask);
    }
    format_kind kind;
    assert_true(format_of_path("a.b/talk.srt", &kind));
    assert_int_equal(kind, FORMAT_SRT);
    assert_false(format_of_path("a.srt/talk", &kind));
    assert_false(format_of_path("talk.wav", &kind));
    assert_false(format_of_path("srt", &kind));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage_is_told),      cmocka_unit_test(tables_and_text),
        cmocka_unit_test(json_object),         cmocka_unit_test(json_lines),
        cmocka_unit_test(a_piece_is_one_line), cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
