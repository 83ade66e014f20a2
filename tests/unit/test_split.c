/* The pre-tokeniser against golden text/splits.json, and what must hold for any bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "core/utf8.h"
#include "tokenizer/split.h"

static void check_case(size_t number, const json *item) {
    size_t size;
    const char *text = json_chars(json_get(item, "text"), &size);
    const json *pieces = json_get(item, "pieces");
    assert_non_null(text);
    assert_true(json_is_array(pieces));
    size_t at = 0;
    for (size_t i = 0; i < json_count(pieces); i++) {
        size_t want_size;
        const char *want = json_chars(json_at(pieces, i), &want_size);
        if (at == size) fail_msg("case %zu \"%s\": ends before piece %zu", number, text, i);
        const size_t got = split_next(text + at, size - at);
        if (got != want_size || memcmp(text + at, want, got) != 0)
            fail_msg("case %zu \"%s\": piece %zu is \"%.*s\", not \"%s\"", number, text, i,
                     (int)got, text + at, want);
        at += got;
    }
    assert_int_equal(at, size);
}

static void every_case_of_the_reference(void **state) {
    (void)state;
    json *root = NULL;
    assert_int_equal(json_read(TEST_DATA "/text/splits.json", 1 << 20, &root, NULL), RNL_OK);
    const json *cases = json_get(root, "cases");
    assert_int_equal(json_count(cases), 678); /* golden README */
    for (size_t i = 0; i < json_count(cases); i++) check_case(i, json_at(cases, i));
    json_destroy(&root);
}

typedef struct hand_case {
    const char *why, *cut; /* "|" stands between the pieces */
} hand_case;

/* What backbone.md 4.2 says about each alternative, in words of this file. */
static const hand_case by_hand[] = {
    {"contraction", "it|'s"},
    {"contraction in capitals goes on", "IT|'LL|ok"},
    {"contraction with a long s, before letters", "'\xC5\xBF|x"},
    {"all contractions", "'re|'Ve|'m|'D|'t|'lL"},
    {"apostrophe before other letters", "'x"},
    {"half a contraction", "'lx"},
    {"a space belongs to the word", "a| word| next"},
    {"so does any other single character", "a|(b"},
    {"a line break does not", "\n|b"},
    {"numbers by three", "123|456|7"},
    {"a number takes no space", "a| |1|b"},
    {"an Arabic digit is a number", "\xD9\xA0\xD9\xA1"},
    {"symbols take one space and all breaks", " ...\n\r\n|x"},
    {"white space leaves the last one", "a|   | x"},
    {"white space up to its last break", "a|  \n \n|  | x"},
    {"white space at the end is one", "a|   "},
    {"a no-break space is space", "a|\xC2\xA0|\xC2\xA0z"},
    {"a mark is no letter", "e|\xCC\x81"},
    {"a mark before letters goes with them", "e|\xCC\x81z"},
};

static void alternatives_by_hand(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof by_hand / sizeof by_hand[0]; i++) {
        char text[64];
        size_t size = 0;
        for (const char *p = by_hand[i].cut; *p != '\0'; p++)
            if (*p != '|') text[size++] = *p;
        const char *piece = by_hand[i].cut;
        for (size_t at = 0; at < size;) {
            const size_t want = strcspn(piece, "|"), got = split_next(text + at, size - at);
            if (got != want) fail_msg("%s: %zu bytes, not %zu", by_hand[i].why, got, want);
            at += got;
            piece += want + (piece[want] == '|');
        }
    }
}

/* Invalid bytes count as U+FFFD, which is neither space, letter nor number. */
static void invalid_bytes_split_as_replacements(void **state) {
    (void)state;
    static const char alphabet[] = {'a', '1',    ' ',    '\n',   '\'',  's',
                                    '.', '\xC3', '\xA4', '\xF0', '\xFF'};
    uint64_t random = 7; /* the seed */
    for (int round = 0; round < 50000; round++) {
        char bytes[12], clean[3 * sizeof bytes];
        size_t ends[sizeof bytes + 1] = {0}; /* in clean, after each byte of bytes */
        for (size_t i = 0; i < sizeof bytes; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = alphabet[(random >> 40) % sizeof alphabet];
        }
        size_t clean_size = 0;
        for (size_t at = 0; at < sizeof bytes;) {
            uint32_t c;
            at += utf8_next(bytes + at, sizeof bytes - at, &c);
            clean_size += utf8_put(c, clean + clean_size);
            ends[at] = clean_size;
        }
        size_t at = 0, clean_at = 0;
        while (at < sizeof bytes) {
            const size_t got = split_next(bytes + at, sizeof bytes - at);
            assert_true(got > 0 && got <= sizeof bytes - at);
            at += got;
            clean_at += split_next(clean + clean_at, clean_size - clean_at);
            if (ends[at] != clean_at) fail_msg("round %d: pieces differ at byte %zu", round, at);
        }
        assert_int_equal(clean_at, clean_size);
    }
}

/* Reading beyond the end would be seen by the address sanitizer: every beginning of every case
 * lies in memory of exactly its size. */
static void nothing_is_read_beyond_the_end(void **state) {
    (void)state;
    static const char text[] = "It'll \xE6\x97\xA5 12345 \xF0\x9F\x98\x80!?\r\n\r\n  \t x'\xC5\xBF";
    for (size_t size = 1; size < sizeof text; size++) {
        char *exact = malloc(size);
        assert_non_null(exact);
        memcpy(exact, text, size);
        for (size_t at = 0; at < size;) {
            const size_t got = split_next(exact + at, size - at);
            assert_true(got > 0 && got <= size - at);
            at += got;
        }
        free(exact);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_of_the_reference),
        cmocka_unit_test(alternatives_by_hand),
        cmocka_unit_test(invalid_bytes_split_as_replacements),
        cmocka_unit_test(nothing_is_read_beyond_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
