/* text/sentences.c: a table of texts, | where a sentence ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "core/utf8.h"
#include "text/sentence_ends.h"
#include "text/sentences.h"

enum { TEXT_CAP = 1024 };

static const char *const texts[] = {
    "One.|Two!|Three?|Four",
    "No end at all",
    "Really?!|Yes...|No…|Maybe!!!",
    /* quotes and brackets */
    "\"Stop!\" he said.|She left.",
    "He said \"Stop.\"|She left.",
    "“What?” she asked.|“Nothing.”|Then silence.",
    "«Halt!» rief er.|Dann ging er.",
    "„Halt!“ rief er.|Dann ging er.",
    "(It was late.)|They went home.",
    "It was late (very late!) and dark.|They went.",
    "'Tis so.|'Tis not.",
    /* titles and abbreviations */
    "Mr. Smith met Mrs. Jones and Dr. Brown.|They spoke.",
    "Use tools, e.g. a hammer, i.e. force.|It works.",
    "See St. Petersburg vs. Moscow.|Both are old.",
    "It opens at 5 p.m. on Mondays.|Come then.",
    "We sell apples, pears, etc.|They are good.",
    "We sell apples, etc. and pears.",
    "J. R. R. Tolkien wrote it.|C. S. Lewis did not.",
    "He lives in the U.S. Army base.|He lives in the U.S.|He likes it.",
    "This is plan B.|We need plan C.",
    "Washington D.C.|The capital.",
    /* numbers */
    "It costs 3.50 dollars.|Not 4.|Perhaps 1,000.5 or so.",
    "See No. 5 and Fig. 3.|No.|He did not.",
    "Chapter 1.|The sea.",
    "1. Open the door.|2 men came.",
    "Am 3. Mai kam er.|Am 3. 4. 2020 ging er.|Es war 1999.|Dann nicht.",
    "On Jan. 5 it snowed.|In Jan.|He left.",
    "Read vol. IV of it.|Then stop.",
    "Version 2.0.1 is out at example.com today.|Good.",
    /* languages without spaces, other scripts */
    "東京です。|次の文！|そう？|はい",
    "「はい。」|と言った。",
    "Это первое.|Это второе, г. Москва.",
    "¿Qué?|¡Nada!|Eso es todo.",
    "Er ist groß.|Über ihm ist z. B. nichts. état.",
    /* dashes and dots */
    "Wait... what?|No...|Yes.",
    "He went on.|— Why?|— Because.",
    "Hello.World is a name.",
    "Trailing space.  |  Leading too. ",
    "...",
};

/* Text and expected cuts of one row. */
static size_t split_row(const char *row, char text[TEXT_CAP], size_t cuts[64]) {
    size_t size = 0, count = 0;
    for (; *row != '\0'; row++) {
        if (*row != '|') {
            text[size++] = *row;
            continue;
        }
        const unsigned char lead = size >= 3 ? (unsigned char)text[size - 3] : 0;
        const bool wide = lead == 0xe3 || lead == 0xef; /* no space after a wide full stop */
        if (row[1] != ' ' && text[size - 1] != ' ' && !wide) text[size++] = ' ';
        cuts[count++] = size;
    }
    text[size] = '\0';
    return count;
}

static void sentences_end_where_the_table_says(void **state) {
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[TEXT_CAP];
        size_t cuts[64], at = 0, k = 0;
        const size_t count = split_row(texts[i], text, cuts), size = strlen(text);
        bool good = true;
        while (at < size) {
            const size_t step = sentence_next(text + at, size - at);
            assert_in_range(step, 1, size - at);
            at += step;
            if (at == size) break;
            /* A cut is behind the spaces. */
            while (k < count && text[cuts[k]] == ' ') cuts[k]++;
            good = good && k < count && cuts[k] == at;
            k++;
        }
        if (!good || k != count) {
            print_message("wrong: %s\n  gives:", texts[i]);
            for (at = 0; at < size;) {
                const size_t step = sentence_next(text + at, size - at);
                print_message(" [%.*s]", (int)step, text + at);
                at += step;
            }
            print_message("\n");
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

/* Marks of other scripts: | where a sentence ends, nothing added. */
static void sentences_of_other_scripts_end(void **state) {
    (void)state;
    static const char *const table[] = {
        "नमस्ते। |आप कैसे हैं। |धन्यवाद।",            /* Hindi */
        "यह घर है।|वह पेड़ है।|पद॥ |अगला",         /* without spaces; the double danda */
        "مرحبا؟ |كيف حالك؟ |شكرا۔ |نعم۔",      /* Arabic, Urdu */
        "ماذا؟! |لا.\u200f |نعم؟\u200f |حسنا", /* with marks of direction */
        "Բարեւ։ |Ինչպե՞ս ես։ |Լավ։",           /* Armenian */
        "ሰላም። |እንዴት ነህ፧ |ደህና።",                /* Amharic */
        "ကောင်းပါတယ်။ |သွားမယ်။ |ပြီ။",             /* Burmese */
        "សួស្តី។ |លាហើយ។",                        /* Khmer */
        "ܫܠܡܐ܀ |ܬܘܕܝ܀",                        /* Syriac */
        "版本2．5です。|次．|はい！|え？",     /* a wide full stop, and a wide point */
        "τι είναι\u037e |Αυτό.",               /* Greek */
        "He saw it․ |Then he left․",           /* one dot leader: as the full stop is */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[TEXT_CAP];
        size_t cuts[64], count = 0, size = 0, k = 0;
        for (const char *c = table[i]; *c != '\0'; c++) {
            if (*c == '|')
                cuts[count++] = size;
            else
                text[size++] = *c;
        }
        for (size_t at = 0; at < size;) {
            at += sentence_next(text + at, size - at);
            if (at == size) break;
            if (k >= count || cuts[k] != at)
                fail_msg("'%s': a cut before '%.*s'", table[i], (int)(size - at), text + at);
            k++;
        }
        if (k != count) fail_msg("'%s': %zu cuts, not %zu", table[i], k, count);
    }
}

/* Every mark of the table ends a sentence between two words with a space, in any script. */
static void every_mark_of_unicode_ends_a_sentence(void **state) {
    (void)state;
    int marks = 0;
    for (size_t i = 0; i < unicode_sentence_ends_count; i++) {
        const unicode_range r = unicode_sentence_ends[i];
        if (i > 0) assert_true(unicode_sentence_ends[i - 1].last + 1 < r.first);
        for (uint32_t c = r.first; c <= r.last; c++, marks++) {
            char text[32] = "Worte";
            size_t size = 5;
            size += utf8_put(c, text + size);
            text[size++] = ' ';
            const size_t want = size;
            memcpy(text + size, "Und", 4);
            if (sentence_next(text, size + 3) != want) fail_msg("U+%04X ends nothing", c);
            if (sentence_is_speakable(text + 5, size - 6)) fail_msg("U+%04X is spoken", c);
        }
    }
    assert_int_equal(marks, 170);
}

static void long_sentences_are_cut_at_good_places(void **state) {
    (void)state;
    static const struct {
        size_t max;
        const char *text; /* | where it is cut */
    } table[] = {
        {40, "short enough to stay in one piece"},
        {30, "first part is here; |second part is there"},
        {30, "the first part, |the second part it is"},
        {20, "a word or two and |some more of them"},
        {12, "at 3:45 |sharp |it began"},
        {5, "abcde|fghij|k"},
        {3, "äöü|äöü|ä"},
        {1, "a|b|c"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[TEXT_CAP];
        size_t cuts[64], count = 0, size = 0, k = 0;
        for (const char *c = table[i].text; *c != '\0'; c++) {
            if (*c == '|')
                cuts[count++] = size;
            else
                text[size++] = *c;
        }
        for (size_t at = 0; at < size;) {
            at += sentence_cut(text + at, size - at, table[i].max);
            if (at == size) break;
            if (k >= count || cuts[k] != at) fail_msg("'%s': a cut at %zu", table[i].text, at);
            k++;
        }
        assert_int_equal(k, count);
    }
}

/* Any text, any limit: pieces cover it, are whole characters, and within the limit. */
static void any_text_is_covered(void **state) {
    (void)state;
    static const char *const bits[] = {"a",  "B",  ".",  "!",      "?", " ",   "\n",
                                       "\"", "é",  "。", "—",      "1", "Mr.", "U.S.",
                                       ", ", "; ", ")",  "\u201d", "…"};
    random_state r;
    random_seed(&r, 3);
    for (int round = 0; round < 2000; round++) {
        char text[512];
        size_t size = 0;
        for (int i = (int)(random_u64(&r) % 80); i >= 0; i--) {
            const char *bit = bits[random_u64(&r) % (sizeof bits / sizeof *bits)];
            memcpy(text + size, bit, strlen(bit));
            size += strlen(bit);
        }
        const size_t max = 1 + (size_t)(random_u64(&r) % 30);
        for (size_t at = 0; at < size;) {
            const size_t sentence = sentence_next(text + at, size - at);
            assert_in_range(sentence, 1, size - at);
            for (size_t done = 0; done < sentence;) {
                const char *piece = text + at + done;
                const size_t length = sentence_cut(piece, sentence - done, max);
                assert_in_range(length, 1, sentence - done);
                assert_true(utf8_is_valid(piece, length));
                size_t characters = 0;
                uint32_t c;
                for (size_t k = 0; k < length; characters++)
                    k += utf8_next(piece + k, length - k, &c);
                assert_true(characters <= max);
                done += length;
            }
            at += sentence;
        }
    }
}

static void only_letters_and_digits_are_spoken(void **state) {
    (void)state;
    const char *const yes[] = {"a", "...7", "é", "東", "— я"};
    const char *const no[] = {"", "...", " \n", "* * *", "—“”…", "!?"};
    for (int i = 0; i < 5; i++) assert_true(sentence_is_speakable(yes[i], strlen(yes[i])));
    for (int i = 0; i < 6; i++) assert_false(sentence_is_speakable(no[i], strlen(no[i])));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_end_where_the_table_says),
        cmocka_unit_test(sentences_of_other_scripts_end),
        cmocka_unit_test(every_mark_of_unicode_ends_a_sentence),
        cmocka_unit_test(long_sentences_are_cut_at_good_places),
        cmocka_unit_test(any_text_is_covered),
        cmocka_unit_test(only_letters_and_digits_are_spoken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
