/* Error rates: the normalisation, and counts of edits against tables and against the plain
 * quadratic table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/wer.h"

static void normalisation(void **state) {
    (void)state;
    const struct {
        const char *in, *out;
    } rows[] = {
        {"", ""},
        {"  Hello,   World!  ", "hello world"},
        {"It's 7:30 -- don't 'quote' me", "it's 7 30 don't quote me"},
        {"Rock \xE2\x80\x99n\xE2\x80\x99 roll, it\xE2\x80\x99s", "rock n roll it's"},
        {"twenty-one", "twenty one"},
        {"\xC3\x84"
         "RGER \xC3\x9C"
         "ber Stra\xC3\x9F"
         "e",
         "\xC3\xA4"
         "rger \xC3\xBC"
         "ber stra\xC3\x9F"
         "e"},
        {"\xD0\x9C\xD0\x9E\xD0\xA1", "\xD0\xBC\xD0\xBE\xD1\x81"},
        {"\xCE\x91\xCE\xA9", "\xCE\xB1\xCF\x89"},
        {"a\xFF"
         "b",
         "a b"},
        {"x' y 'z", "x y z"},
        {"\xE6\x97\xA5\xE6\x9C\xAC\xE3\x80\x82", "\xE6\x97\xA5\xE6\x9C\xAC"},
        {"...", ""},
        {"cafe\xCC\x81", "cafe\xCC\x81"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = 99;
        char *got = wer_normalise(rows[i].in, strlen(rows[i].in), &size);
        assert_string_equal(got, rows[i].out);
        assert_int_equal(size, strlen(rows[i].out));
        free(got);
    }
}

static void counts(void **state) {
    (void)state;
    const struct {
        const char *reference, *hypothesis;
        int64_t words, correct, substituted, deleted, inserted;
    } rows[] = {
        {"", "", 0, 0, 0, 0, 0},
        {"a b c", "a b c", 3, 3, 0, 0, 0},
        {"a b c", "a c", 3, 2, 0, 1, 0},
        {"a c", "a b c", 2, 2, 0, 0, 1},
        {"a b c", "a x c", 3, 2, 1, 0, 0},
        {"a b c", "", 3, 0, 0, 3, 0},
        {"", "a b", 0, 0, 0, 0, 2},
        {"Turn on the light.", "turn the light, on", 4, 3, 0, 1, 1},
        {"one two three four", "two three four five", 4, 3, 0, 1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        wer_counts c;
        assert_true(wer_count(rows[i].reference, strlen(rows[i].reference), rows[i].hypothesis,
                              strlen(rows[i].hypothesis), &c));
        assert_int_equal(c.words.reference, rows[i].words);
        assert_int_equal(c.words.correct, rows[i].correct);
        assert_int_equal(c.words.substituted, rows[i].substituted);
        assert_int_equal(c.words.deleted, rows[i].deleted);
        assert_int_equal(c.words.inserted, rows[i].inserted);
    }
}

static void characters_count_single_spaces(void **state) {
    (void)state;
    wer_counts c;
    assert_true(wer_count("a  b, c", 7, "abc", 3, &c));
    assert_int_equal(c.characters.reference, 5);
    assert_int_equal(c.characters.deleted, 2);
    assert_true(wer_rate(&c.characters) == 0.4);
}

static void rates(void **state) {
    (void)state;
    assert_true(wer_rate(&(edit_counts){0}) == 0.0);
    assert_true(wer_rate(&(edit_counts){.inserted = 3}) == 1.0);
    wer_counts total = {0};
    const wer_counts one = {.words = {.reference = 4, .correct = 3, .substituted = 1}};
    wer_add(&total, &one);
    wer_add(&total, &one);
    assert_int_equal(total.words.reference, 8);
    assert_true(wer_rate(&total.words) == 0.25);
}

/* The plain table, cost only. */
static int64_t distance(const uint32_t *a, size_t n, const uint32_t *b, size_t m) {
    int64_t *row = malloc((m + 1) * sizeof *row);
    for (size_t j = 0; j <= m; j++) row[j] = (int64_t)j;
    for (size_t i = 1; i <= n; i++) {
        int64_t corner = row[0];
        row[0] = (int64_t)i;
        for (size_t j = 1; j <= m; j++) {
            int64_t best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    const int64_t result = row[m];
    free(row);
    return result;
}

static void bands_give_the_true_distance(void **state) {
    (void)state;
    uint32_t a[200], b[200];
    for (unsigned seed = 1; seed <= 400; seed++) {
        unsigned r = seed * 2654435761u;
        const size_t n = (r >> 8) % 200, m = (r >> 20) % 200;
        const unsigned letters = 2 + seed % 9;
        for (size_t i = 0; i < n; i++)
            a[i] = (r = r * 1664525u + 1013904223u) >> 16, a[i] %= letters;
        for (size_t i = 0; i < m; i++)
            b[i] = (r = r * 1664525u + 1013904223u) >> 16, b[i] %= letters;
        if (seed % 2 == 0) memcpy(b, a, sizeof b < sizeof a ? sizeof b : sizeof a);
        edit_counts c;
        assert_true(wer_edits(a, n, b, m, &c));
        const int64_t edits = c.substituted + c.deleted + c.inserted;
        if (edits != distance(a, n, b, m)) fail_msg("seed %u: %d edits", seed, (int)edits);
        assert_int_equal(c.correct + c.substituted + c.deleted, n);
        assert_int_equal(c.correct + c.substituted + c.inserted, m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalisation),
        cmocka_unit_test(counts),
        cmocka_unit_test(characters_count_single_spaces),
        cmocka_unit_test(rates),
        cmocka_unit_test(bands_give_the_true_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
