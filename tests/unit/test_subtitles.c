/* Subtitles: the limits hold for any words; cuts are where a reader expects them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/subtitles.h"

enum { SHOWN_CAP = 400, WORD_CAP = 600 };

typedef struct shown {
    subtitle all[SHOWN_CAP];
    int count;
} shown;

static bool keep(void *context, const subtitle *s) {
    shown *k = context;
    assert_in_range(k->count, 0, SHOWN_CAP - 1);
    k->all[k->count++] = *s;
    return true;
}

/* Words of text, each a number of seconds long, without pauses. */
static size_t words_of(const char *text, double begin, double seconds, rnl_word *words) {
    size_t count = 0;
    for (size_t at = 0; text[at] != '\0';) {
        const size_t size = strcspn(text + at, " ");
        assert_in_range(count, 0, WORD_CAP - 1);
        words[count] =
            (rnl_word){.begin = begin, .end = begin + seconds, .text_at = at, .text_size = size};
        if (size > 0) count++, begin += seconds;
        at += size + (text[at + size] == ' ');
    }
    return count;
}

static void wrapping(void **state) {
    (void)state;
    const struct {
        const char *in, *out;
    } rows[] = {
        {"", ""},
        {"  two \n words ", "two words"},
        {"exactly forty-two columns are in this lines",
         "exactly forty-two\ncolumns are in this lines"},
        {"a first part of a sentence, then the second part of it",
         "a first part of a sentence,\nthen the second part of it"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[SUBTITLE_TEXT_CAP];
        assert_true(subtitle_wrap(rows[i].in, strlen(rows[i].in), out));
        assert_string_equal(out, rows[i].out);
    }
    char long_text[200], out[SUBTITLE_TEXT_CAP];
    memset(long_text, 'a', sizeof long_text);
    assert_true(subtitle_wrap(long_text, 84, out));
    assert_false(subtitle_wrap(long_text, 85, out));
    /* 22 wide characters take 44 columns: two lines of 11. */
    char wide[3 * 22 + 1] = "";
    for (int i = 0; i < 22; i++) strcat(wide, "\xE3\x81\x82");
    assert_int_equal(subtitle_columns(wide, strlen(wide)), 44);
    assert_true(subtitle_wrap(wide, strlen(wide), out));
    assert_int_equal(strcspn(out, "\n"), 33);
}

static void short_sentence_is_one_and_lasts_a_second(void **state) {
    (void)state;
    shown k = {0};
    subtitles s;
    rnl_word words[WORD_CAP];
    const char *text = "Open the window.";
    subtitles_begin(&s, keep, &k);
    assert_true(subtitles_add(&s, text, words, words_of(text, 1.0, 0.2, words)));
    assert_int_equal(k.count, 0);
    assert_true(subtitles_end(&s));
    assert_true(subtitles_end(&s));
    assert_int_equal(k.count, 1);
    assert_string_equal(k.all[0].text, text);
    assert_true(k.all[0].begin == 1.0 && k.all[0].end == 2.0);
}

static void brief_neighbours_are_joined(void **state) {
    (void)state;
    shown k = {0};
    subtitles s;
    rnl_word words[WORD_CAP];
    subtitles_begin(&s, keep, &k);
    assert_true(subtitles_add(&s, "Yes.", words, words_of("Yes.", 0.0, 0.4, words)));
    assert_true(subtitles_add(&s, "I do.", words, words_of("I do.", 0.6, 0.4, words)));
    assert_true(subtitles_add(&s, "Far away.", words, words_of("Far away.", 9.0, 0.6, words)));
    assert_true(subtitles_end(&s));
    assert_int_equal(k.count, 2);
    assert_string_equal(k.all[0].text, "Yes. I do.");
    assert_true(k.all[0].end == 1.4 && k.all[1].begin == 9.0);
}

static void long_sentence_is_cut_at_its_comma(void **state) {
    (void)state;
    shown k = {0};
    subtitles s;
    rnl_word words[WORD_CAP];
    const char *text = "When the first of the two trains had left the station of the old town, "
                       "the people on the other side of the bridge began to walk home again.";
    subtitles_begin(&s, keep, &k);
    assert_true(subtitles_add(&s, text, words, words_of(text, 0.0, 0.3, words)));
    assert_true(subtitles_end(&s));
    assert_int_equal(k.count, 2);
    assert_string_equal(k.all[0].text,
                        "When the first of the two trains had\nleft the station of the old town,");
}

/* Any words: at most two lines of 42 columns, never over 7 s, no overlap, every letter once. */
static void limits_hold_for_any_words(void **state) {
    (void)state;
    static rnl_word words[WORD_CAP];
    for (unsigned seed = 1; seed <= 300; seed++) {
        unsigned r = seed * 2654435761u;
        shown k = {0};
        subtitles s;
        subtitles_begin(&s, keep, &k);
        double at = 0;
        size_t letters = 0, found = 0;
        for (int segment = 0; segment < 4; segment++) {
            char text[4096] = "";
            size_t used = 0;
            const unsigned count = 1 + (r = r * 1664525u + 1013904223u) % 40;
            for (unsigned i = 0; i < count; i++) {
                r = r * 1664525u + 1013904223u;
                const unsigned length = (r >> 16) % 50 == 0 ? 100 : 1 + (r >> 8) % 12;
                for (unsigned c = 0; c < length && used < 4000; c++)
                    text[used++] = (char)('a' + c % 26), letters++;
                text[used++] = ' ';
            }
            text[used] = '\0';
            const double pace = 0.05 + (double)((r >> 20) % 60) / 100.0;
            const size_t n = words_of(text, at, pace, words);
            at += (double)n * pace + (double)((r >> 4) % 3);
            assert_true(subtitles_add(&s, text, words, n));
        }
        assert_true(subtitles_end(&s));
        for (int i = 0; i < k.count; i++) {
            const subtitle *one = &k.all[i];
            const char *line = one->text;
            int lines = 0;
            for (;; line++) {
                const size_t size = strcspn(line, "\n");
                if (subtitle_columns(line, size) > SUBTITLE_COLUMNS)
                    fail_msg("seed %u: '%s'", seed, one->text);
                for (size_t c = 0; c < size; c++) found += line[c] != ' ';
                lines++;
                line += size;
                if (*line == '\0') break;
            }
            assert_in_range(lines, 1, SUBTITLE_LINES);
            assert_true(one->end > one->begin);
            if (one->end - one->begin > SUBTITLE_SECONDS_MAX + 1e-9) fail_msg("seed %u", seed);
            if (i > 0 && one->begin < k.all[i - 1].end) fail_msg("seed %u: %d overlaps", seed, i);
        }
        if (found != letters) fail_msg("seed %u: %zu of %zu letters", seed, found, letters);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrapping),
        cmocka_unit_test(short_sentence_is_one_and_lasts_a_second),
        cmocka_unit_test(brief_neighbours_are_joined),
        cmocka_unit_test(long_sentence_is_cut_at_its_comma),
        cmocka_unit_test(limits_hold_for_any_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
