/* Words, sentences, loops and times of words, by tables. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/transcript_text.h"

/* Tokens written with '|' between them -> text and their ends. */
static size_t tokens_of(const char *marked, char *text, uint32_t *ends) {
    size_t count = 0, size = 0;
    for (; *marked != '\0'; marked++) {
        if (*marked == '|')
            ends[count++] = (uint32_t)size;
        else
            text[size++] = *marked;
    }
    ends[count++] = (uint32_t)size;
    text[size] = '\0';
    return count;
}

static void words(void **state) {
    (void)state;
    const struct {
        const char *tokens, *words; /* "text:first token+tokens" */
    } rows[] = {
        {"", ""},
        {"Open| the| window|.", "Open:0+1 the:1+1 window.:2+2 "},
        {"un|believ|able| thing", "unbelievable:0+3 thing:3+1 "},
        {" two words| more ", "two:0+1 words:0+1 more:1+1 "},
        {"\xE6\x97\xA5|\xE6\x9C\xAC\xE8\xAA\x9E|\xE3\x80\x82",
         "\xE6\x97\xA5:0+1 \xE6\x9C\xAC\xE8\xAA\x9E\xE3\x80\x82:1+2 "},
        {"a|\n\n|b", "a:0+1 b:2+1 "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[128], got[256] = "";
        uint32_t ends[32];
        float confidences[32];
        rnl_word found[64];
        for (int k = 0; k < 32; k++) confidences[k] = (float)-k;
        const size_t tokens = tokens_of(rows[i].tokens, text, ends);
        const size_t count =
            text_words(text, strlen(text), ends, confidences, strlen(text) > 0 ? tokens : 0, found);
        for (size_t k = 0; k < count; k++)
            (void)snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s:%zu+%zu ",
                           (int)found[k].text_size, text + found[k].text_at, found[k].token_at,
                           found[k].token_count);
        assert_string_equal(got, rows[i].words);
        for (size_t k = 0; k < count; k++) {
            const float mean = -(float)found[k].token_at - (float)(found[k].token_count - 1) / 2.0f;
            assert_true(fabsf(found[k].confidence - mean) < 1e-5f);
        }
    }
}

static void sentences(void **state) {
    (void)state;
    const struct {
        const char *text, *parts; /* parted by '|' */
    } rows[] = {
        {"", ""},
        {"No end", "No end"},
        {"One. Two! Three?", "One.|Two!|Three?"},
        {"Mr. Smith met Dr. J. Doe. He left.", "Mr. Smith met Dr. J. Doe.|He left."},
        {"He said \"stop.\" Then he went.", "He said \"stop.\"|Then he went."},
        {"It is 3.5 degrees. Cold", "It is 3.5 degrees.|Cold"},
        {"Wait... what?", "Wait...|what?"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *text = rows[i].text;
        uint32_t ends[1] = {(uint32_t)strlen(text)};
        const float confidences[1] = {-1};
        rnl_word found[32];
        rnl_segment segments[32];
        char got[128] = "";
        const size_t tokens = strlen(text) > 0;
        const size_t count = text_words(text, strlen(text), ends, confidences, tokens, found);
        const size_t parts = text_segments(text, found, count, confidences, tokens, segments);
        size_t next = 0;
        for (size_t k = 0; k < parts; k++) {
            (void)snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.*s", k > 0 ? "|" : "",
                           (int)segments[k].text_size, text + segments[k].text_at);
            assert_int_equal(segments[k].word_at, next);
            next += segments[k].word_count;
        }
        assert_int_equal(next, count);
        assert_string_equal(got, rows[i].parts);
    }
}

static void loops(void **state) {
    (void)state;
    const struct {
        int lead, length, rounds, tail; /* tokens before; of a round; rounds; of one begun */
        size_t kept;
    } rows[] = {
        {0, 1, 23, 0, 0},  {0, 1, 24, 0, 1}, {5, 1, 30, 0, 6},  {5, 6, 4, 0, 11},
        {5, 6, 3, 5, 0},   {5, 6, 4, 3, 11}, {10, 8, 3, 7, 0},  {10, 8, 4, 0, 18},
        {0, 32, 4, 0, 32}, {0, 33, 9, 0, 0}, {100, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t tokens[512];
        size_t count = 0;
        for (int k = 0; k < rows[i].lead; k++) tokens[count++] = 1000 + k;
        for (int k = 0; k < rows[i].length * rows[i].rounds + rows[i].tail; k++)
            tokens[count++] = 10 + k % (rows[i].length > 0 ? rows[i].length : 1);
        const size_t kept = text_loop(tokens, count);
        if (kept != rows[i].kept) fail_msg("row %zu: %zu", i, kept);
    }
}

static void same_words(void **state) {
    (void)state;
    const struct {
        const char *a, *b;
        bool same;
    } rows[] = {{"the", "The", true},    {"end.", "end", true}, {"it's", "its", true},
                {"a", "b", false},       {"a", "ab", false},    {"...", "", true},
                {"\xC3\xA9", "e", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(text_same_word(rows[i].a, strlen(rows[i].a), rows[i].b, strlen(rows[i].b)),
                         rows[i].same);
}

static text_times times_of(int frame_cap, int word_cap, unsigned char **memory) {
    text_times t;
    arena a = {0};
    text_times_layout(&t, frame_cap, word_cap, &a);
    *memory = aligned_alloc(ARENA_ALIGN, (a.size_used + 63) / 64 * 64);
    a = (arena){.base = *memory, .size_cap = (a.size_used + 63) / 64 * 64};
    text_times_layout(&t, frame_cap, word_cap, &a);
    return t;
}

/* Words with pauses between them are found where they are. */
static void pauses_are_borders(void **state) {
    (void)state;
    const char text[] = "some words here. and more";
    rnl_word w[5];
    uint32_t ends[1] = {sizeof text - 1};
    const float confidence[1] = {0};
    unsigned char *memory;
    text_times t = times_of(400, 10, &memory);
    /* 8 ms frames; a dip between the words, a pause after the third. */
    const int begins[] = {0, 40, 90, 180, 215}, stops[] = {38, 88, 130, 213, 260};
    for (int i = 0; i < 260; i++) t.levels[i] = -70;
    for (int k = 0; k < 5; k++)
        for (int i = begins[k]; i < stops[k]; i++) t.levels[i] = -20;
    assert_int_equal(text_words(text, sizeof text - 1, ends, confidence, 1, w), 5);
    text_times_fill(&t, text, w, 5, 260, 10.0, 0.008);
    for (int k = 0; k < 5; k++) {
        if (fabs(w[k].begin - 10.0 - begins[k] * 0.008) > 0.021)
            fail_msg("word %d begins at %.3f", k, w[k].begin);
        assert_true(w[k].end > w[k].begin);
    }
    assert_true(fabs(w[2].end - 10.0 - 130 * 0.008) < 0.021); /* not in the pause */
    free(memory);
}

/* Anything: in order, inside, and the edges are the piece's. */
static void times_are_in_order(void **state) {
    (void)state;
    unsigned char *memory;
    text_times t = times_of(300, 40, &memory);
    for (unsigned seed = 1; seed <= 400; seed++) {
        unsigned x = seed * 2654435761u;
        char text[1024] = "";
        rnl_word w[600];
        const int count = 1 + (int)(seed % 60), frames = 1 + (int)((x >> 8) % 320);
        for (int k = 0; k < count; k++)
            strcat(text, k % 7 == 3 ? "12, " : k % 5 == 0 ? "... " : "word ");
        uint32_t ends[1] = {(uint32_t)strlen(text)};
        const float confidence[1] = {0};
        const size_t found = text_words(text, strlen(text), ends, confidence, 1, w);
        for (int i = 0; i < frames && i < 300; i++)
            t.levels[i] = seed % 4 == 0 ? -50.0f : -(float)((x = x * 1664525u + 1u) >> 26);
        text_times_fill(&t, text, w, found, frames, 1.0, 0.008);
        assert_true(w[0].begin == 1.0);
        assert_true(fabs(w[found - 1].end - 1.0 - frames * 0.008) < 1e-9);
        for (size_t k = 0; k < found; k++) {
            if (w[k].end < w[k].begin || (k > 0 && w[k].begin < w[k - 1].end - 1e-9))
                fail_msg("seed %u: word %zu of %zu", seed, k, found);
        }
    }
    free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(sentences),
        cmocka_unit_test(loops),
        cmocka_unit_test(same_words),
        cmocka_unit_test(pauses_are_borders),
        cmocka_unit_test(times_are_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
