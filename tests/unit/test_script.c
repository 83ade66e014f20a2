/* text/script.c: whole texts, as pieces and the pauses before them. */
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
#include "text/script.h"

/* "gap:piece|gap:piece", gap one of . (none) s p h. */
static char *pieces_of(const char *text, size_t size, bool plain, int char_max, rnl_status *status,
                       rnl_error *error) {
    FILE *f = fmemopen((void *)text, size, "rb");
    assert_non_null(f);
    script *s = script_create(f, "book.txt", plain, char_max);
    assert_non_null(s);
    char *out = calloc(1, 4 * size + 4096);
    assert_non_null(out);
    script_piece piece;
    uint64_t last = 0;
    size_t used = 0;
    while ((*status = script_next(s, &piece, error)) == RNL_OK) {
        assert_int_equal(piece.size, strlen(piece.text));
        assert_true(utf8_is_valid(piece.text, piece.size));
        used += (size_t)sprintf(out + used, "%s%c:%s", used > 0 ? "|" : "", ".sph"[piece.gap],
                                piece.text);
        assert_true(script_position(s) >= last);
        assert_true(script_position(s) <= size);
        last = script_position(s);
    }
    script_destroy(&s);
    script_destroy(&s);
    (void)fclose(f);
    return out;
}

static void gives_at(const char *text, bool plain, int char_max, const char *want) {
    rnl_status status;
    rnl_error error = {0};
    char *got = pieces_of(text, strlen(text), plain, char_max, &status, &error);
    assert_int_equal(status, RNL_DONE);
    assert_string_equal(got, want);
    free(got);
}

static void gives(const char *text, const char *want) {
    gives_at(text, false, 300, want);
}

static void paragraphs_and_headings_have_their_pauses(void **state) {
    (void)state;
    gives("One. Two.\nThree.\n\nFour.", ".:One.|s:Two.|s:Three.|p:Four.");
    gives("# Title\nText.\n## Next\n\nMore.", ".:Title|h:Text.|h:Next|h:More.");
    gives("Title\n=====\nText.\n\nOther\n---\nMore.", ".:Title|h:Text.|h:Other|h:More.");
    gives("One.\n\n* * *\n\nTwo.", ".:One.|h:Two.");
    gives("A.\n\n- b\n- c\n  goes on\n\nD.", ".:A.|p:b|s:c goes on|p:D.");
    gives("x | y\n--|--\n1 | 2\n\nEnd.", ".:x, y|s:1, 2|p:End.");
    gives("One.\n```\ncode. more.\n```\nTwo.", ".:One.|p:Two.");
    gives("Line one\r\nline two.\r\n\r\nNext.\r\n", ".:Line one line two.|p:Next.");
    gives("A page.\fNext page.", ".:A page.|s:Next page.");
    gives("well-\nknown - \nand so", ".:well-known - and so");
    gives("\xef\xbb\xbf# Title", ".:Title");
    gives("CHAPTER IV\n\nText.\n\nChapter 5\n\nMore.\n\nPart of it\n\nEnd.",
          ".:CHAPTER IV|h:Text.|h:Chapter 5|h:More.|p:Part of it|p:End.");
    gives("One.\n<script>\na;\n\nb;\n</script>\nTwo.", ".:One.|p:Two.");
    gives("One <style>a</style> two.\n\n<!-- x.\n\ny. --> Three.", ".:One two.|p:Three.");
    gives("...\n\n!!!\n\nReal.", ".:Real.");
    gives("One. ... Two.", ".:One.|s:Two.");
    gives("\n\n \n", "");
}

#define MARK "\xef\xbb\xbf"

static void byte_order_marks_are_passed_over(void **state) {
    (void)state;
    gives(MARK "# Title\n" MARK "# Next\n\nA" MARK "B. C" MARK, ".:Title|h:Next|h:AB.|s:C");
    gives(MARK MARK "---\nkey: x\n---\nText.", ".:Text.");
    gives(MARK, "");
    gives_at(MARK "One.\n\n" MARK "Two.", true, 300, ".:One.|p:Two.");
}

/* What is never closed takes the rest with it; the line is told. */
static void what_is_never_closed_is_told(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t line;
    } table[] = {{"One.\n```\ncode\n```\nTwo.", 0},
                 {"One.\n\n```\ncode\n\nTwo.", 3},
                 {"<!-- a\n-->\n<script>\nx", 3},
                 {"One.\n<!-- a", 2},
                 {"```\n<!--\n```\n$$\n", 4}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        rnl_error error = {0};
        script_piece piece;
        FILE *f = fmemopen((void *)table[i].text, strlen(table[i].text), "rb");
        script *s = script_create(f, "book.txt", false, 300);
        assert_non_null(s);
        rnl_status status;
        while ((status = script_next(s, &piece, &error)) == RNL_OK) continue;
        assert_int_equal(status, RNL_DONE);
        assert_int_equal(script_open_line(s), table[i].line);
        script_destroy(&s);
        (void)fclose(f);
    }
}

/* A script in one line that is longer than any room, as tools make them. */
static void a_very_long_script_is_passed_over(void **state) {
    (void)state;
    enum { SIZE = 200000 };
    char *text = malloc(SIZE + 64);
    assert_non_null(text);
    memcpy(text, "One.\n<script>", 13);
    for (size_t i = 13; i < SIZE; i++) text[i] = i % 9 == 0 ? ' ' : 'x';
    (void)strcpy(text + SIZE, "</script> Two.\nThree.");
    gives(text, ".:One.|p:Two.|s:Three.");
    free(text);
}

static void plain_text_is_left_alone(void **state) {
    (void)state;
    gives_at("# a *b* [c](d)\n\n- e", true, 300, ".:# a *b* [c](d)|p:- e");
}

static void long_sentences_come_in_pieces(void **state) {
    (void)state;
    gives_at("This is the first part, and this is the second. End.", false, 30,
             ".:This is the first part,|.:and this is the second.|s:End.");
}

static void what_is_no_text_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        const char *word;
    } table[] = {{"Good.\n\nBad \xff.", 12, "line 3 is not UTF-8"},
                 {"caf\xe9", 4, "line 1 is not UTF-8"},
                 {"a\n\0b", 4, "line 2 holds a NUL byte"}};
    for (int i = 0; i < 3; i++) {
        rnl_status status;
        rnl_error error = {0};
        free(pieces_of(table[i].text, table[i].size, i == 1, 300, &status, &error));
        assert_int_equal(status, RNL_ERR_DATA);
        assert_non_null(strstr(error.text, "book.txt"));
        assert_non_null(strstr(error.text, table[i].word));
    }
}

/* The letters of a text without Markdown, in their order. */
static size_t letters(const char *text, size_t size, char *out) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        if ((text[i] >= 'a' && text[i] <= 'z') || (text[i] & 0x80)) out[count++] = text[i];
    return count;
}

/* Lines and paragraphs beyond any room: nothing is lost, nothing twice, sentences stay whole. */
static void nothing_is_lost_of_very_long_lines(void **state) {
    (void)state;
    enum { SIZE = 400000 };
    char *text = malloc(SIZE + 64), *want = malloc(SIZE + 64), *got = malloc(2 * SIZE);
    assert_true(text != NULL && want != NULL && got != NULL);
    for (int kind = 0; kind < 5; kind++) {
        random_state r;
        random_seed(&r, (uint64_t)kind);
        size_t size = 0;
        while (size < SIZE) {
            const uint64_t dice = random_u64(&r) % 100;
            if (dice < 15 && kind != 4)
                text[size++] = ' ';
            else if (dice < 17 && kind != 4)
                size += (size_t)sprintf(text + size, ". X");
            else if (dice < 18 && kind == 1)
                text[size++] = '\n';
            else if (dice < 60 && kind == 2)
                size += utf8_put(0x4e2d, text + size);
            else if (dice < 18 && kind == 3)
                text[size++] = ',';
            else
                text[size++] = (char)('a' + random_u64(&r) % 26);
        }
        rnl_status status;
        rnl_error error = {0};
        char *pieces = pieces_of(text, size, kind % 2 == 0, 200, &status, &error);
        assert_int_equal(status, RNL_DONE);
        /* without the marks of the gaps: ".:" "s:" "p:" */
        size_t length = 0;
        for (const char *p = pieces; *p != '\0';) {
            const char *end = strchr(p, '|');
            const size_t piece = end != NULL ? (size_t)(end - p) : strlen(p);
            memcpy(got + length, p + 2, piece - 2);
            length += piece - 2;
            p += piece + (end != NULL);
        }
        const size_t wanted = letters(text, size, want);
        assert_int_equal(letters(got, length, got), wanted);
        assert_memory_equal(got, want, wanted);
        free(pieces);
    }
    free(got);
    free(want);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paragraphs_and_headings_have_their_pauses),
        cmocka_unit_test(byte_order_marks_are_passed_over),
        cmocka_unit_test(what_is_never_closed_is_told),
        cmocka_unit_test(a_very_long_script_is_passed_over),
        cmocka_unit_test(plain_text_is_left_alone),
        cmocka_unit_test(long_sentences_come_in_pieces),
        cmocka_unit_test(what_is_no_text_is_refused),
        cmocka_unit_test(nothing_is_lost_of_very_long_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
