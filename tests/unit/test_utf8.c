/* UTF-8: the characters, the policy for invalid bytes, and the stream decoder at every cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/utf8.h"

#define FFFD "\xEF\xBF\xBD"
enum { TEXT_CAP = 64, ROOM = 3 * (TEXT_CAP + UTF8_PENDING_CAP) };

/* Whether a code point may stand in UTF-8 at all. */
static bool is_scalar(uint32_t c) {
    return c < 0xD800 || (c > 0xDFFF && c < 0x110000);
}

static void every_code_point_comes_back(void **state) {
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (!is_scalar(c)) continue;
        char text[4];
        const size_t size = utf8_put(c, text);
        assert_int_equal(size, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
        uint32_t back = 0;
        if (utf8_next(text, size, &back) != size || back != c || !utf8_is_valid(text, size))
            fail_msg("U+%04X came back as U+%04X", c, back);
        for (size_t cut = 1; cut < size; cut++) { /* and no beginning of it is valid */
            assert_int_equal(utf8_next(text, cut, &back), cut);
            assert_int_equal(back, UTF8_REPLACEMENT);
            assert_false(utf8_is_valid(text, cut));
        }
    }
}

/* The value of a sequence by the bit layout alone, checked afterwards for range: another way to
 * say what is valid than the table of lead bytes. 0x110000: invalid. */
static uint32_t value_of(const unsigned char *p, size_t size) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    static const unsigned char mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    static const unsigned char mark[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    if ((p[0] & (unsigned char)~mask[size]) != mark[size]) return 0x110000;
    uint32_t c = p[0] & mask[size];
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0x110000;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    return c >= least[size] && is_scalar(c) ? c : 0x110000;
}

static void every_short_sequence_is_judged_rightly(void **state) {
    (void)state;
    for (uint32_t n = 0; n < 0x1000000; n++) {
        const unsigned char p[3] = {(unsigned char)(n >> 16), (unsigned char)(n >> 8),
                                    (unsigned char)n};
        uint32_t c, want = 0x110000;
        const size_t used = utf8_next((const char *)p, 3, &c);
        for (size_t size = 1; size <= 3 && want == 0x110000; size++) want = value_of(p, size);
        if (want == 0x110000 ? c != UTF8_REPLACEMENT : c != want)
            fail_msg("%02X %02X %02X read as U+%04X", p[0], p[1], p[2], c);
        if (used < 1 || used > 3) fail_msg("%02X %02X %02X used %zu bytes", p[0], p[1], p[2], used);
    }
}

typedef struct policy_case {
    const char *name, *bytes, *text;
} policy_case;

/* The longest invalid prefix becomes one U+FFFD (golden text/stream.json, and beyond). */
static const policy_case policies[] = {
    {"nothing", "", ""},
    {"plain", "abc", "abc"},
    {"lone continuation", "a\x80z", "a" FFFD "z"},
    {"two continuations", "\x80\xBF", FFFD FFFD},
    {"lead, then ascii",
     "\xE6"
     "a",
     FFFD "a"},
    {"two of three, then ascii",
     "\xE6\x97"
     "b",
     FFFD "b"},
    {"three of four, then a character", "\xF0\x9F\x98\xE6\x97\xA5", FFFD "\xE6\x97\xA5"},
    {"cut at the end", "a\xF0\x9F\x98", "a" FFFD},
    {"lead after lead", "\xE6\xE6\x97\xA5", FFFD "\xE6\x97\xA5"},
    {"overlong slash", "\xC0\xAF", FFFD FFFD},
    {"overlong in three", "\xE0\x80\xAF", FFFD FFFD FFFD},
    {"overlong in four", "\xF0\x80\x80\xAF", FFFD FFFD FFFD FFFD},
    {"surrogate", "\xED\xA0\x80", FFFD FFFD FFFD},
    {"last before the surrogates", "\xED\x9F\xBF", "\xED\x9F\xBF"},
    {"above U+10FFFF", "\xF4\x90\x80\x80", FFFD FFFD FFFD FFFD},
    {"U+10FFFF", "\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
    {"no lead byte", "\xF5\x80\xFF", FFFD FFFD FFFD},
    {"a replacement as such", FFFD "\xFE", FFFD FFFD},
};
enum { POLICY_COUNT = sizeof policies / sizeof policies[0] };

static void invalid_prefixes_become_one_replacement_each(void **state) {
    (void)state;
    for (int i = 0; i < POLICY_COUNT; i++) {
        const policy_case *c = &policies[i];
        const size_t size = strlen(c->bytes);
        char out[ROOM] = {0};
        size_t used = 0;
        for (size_t at = 0; at < size;) {
            uint32_t code_point;
            at += utf8_next(c->bytes + at, size - at, &code_point);
            assert_true(at <= size);
            used += utf8_put(code_point, out + used);
        }
        if (strcmp(out, c->text) != 0) fail_msg("%s: wrong", c->name);
        assert_int_equal(utf8_is_valid(c->bytes, size), strcmp(c->bytes, c->text) == 0);
    }
}

/* Pushes bytes in parts: bit k of cuts ends a part after byte k. */
static size_t decode_cut(const char *bytes, size_t size, unsigned cuts, char *out) {
    utf8_decoder d;
    utf8_decoder_reset(&d);
    size_t used = 0, begin = 0;
    for (size_t at = 0; at < size; at++) {
        if (at + 1 < size && (cuts >> at & 1u) == 0) continue;
        const size_t part = at + 1 - begin, room = 3 * (part + UTF8_PENDING_CAP);
        const size_t got = utf8_decoder_push(&d, bytes + begin, part, out + used, room);
        assert_true(utf8_is_valid(out + used, got)); /* what comes out is always whole */
        used += got;
        begin = at + 1;
        assert_int_equal(utf8_decoder_push(&d, bytes, 0, out + used, room), 0);
    }
    used += utf8_decoder_flush(&d, out + used, 3 * UTF8_PENDING_CAP);
    assert_int_equal(utf8_decoder_flush(&d, out + used, 3 * UTF8_PENDING_CAP), 0);
    return used;
}

static void law_any_cut_gives_the_same_text(void **state) {
    (void)state;
    for (int i = 0; i < POLICY_COUNT; i++) {
        const policy_case *c = &policies[i];
        const size_t size = strlen(c->bytes);
        for (unsigned cuts = 0; cuts < 1u << size; cuts++) {
            char out[ROOM] = {0};
            (void)decode_cut(c->bytes, size, cuts, out);
            if (strcmp(out, c->text) != 0) fail_msg("%s: wrong when cut %x", c->name, cuts);
        }
    }
}

static void law_random_bytes_decode_as_read_one_by_one(void **state) {
    (void)state;
    /* Bytes that meet each other in interesting ways. */
    static const unsigned char pool[] = {'a',  0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                         0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF,
                                         0xF0, 0xF1, 0xF4, 0xF5, 0xFF, 0x00};
    uint64_t random = 20261124; /* the seed */
    for (int round = 0; round < 200000; round++) {
        char bytes[16], want[ROOM], got[ROOM];
        for (size_t i = 0; i < sizeof bytes; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (char)pool[(random >> 40) % sizeof pool];
        }
        size_t want_size = 0;
        for (size_t at = 0; at < sizeof bytes;) {
            uint32_t c;
            at += utf8_next(bytes + at, sizeof bytes - at, &c);
            want_size += utf8_put(c, want + want_size);
        }
        const size_t size = decode_cut(bytes, sizeof bytes, (unsigned)(random >> 20), got);
        if (size != want_size || memcmp(got, want, size) != 0) fail_msg("round %d differs", round);
    }
}

/* What each byte makes certain. Golden text/stream.json has the first two; the others are what
 * CPython's incremental decoder gives. */
static void half_a_surrogate_waits_for_its_third_byte(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *emitted[4], *flushed;
    } cases[] = {
        {"\xED\xA0\x80", {"", "", FFFD FFFD FFFD}, ""},
        {"\xF4\x90\x80\x80", {"", FFFD FFFD, FFFD, FFFD}, ""},
        {"\xED\xBF"
         "a",
         {"", "", FFFD FFFD "a"},
         ""},
        {"\xED\xA0\xED\xA0", {"", "", FFFD FFFD, ""}, FFFD FFFD},
        {"\xED\x9F\xBF", {"", "", "\xED\x9F\xBF"}, ""},
        {"\xE0\x80", {"", FFFD FFFD}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        utf8_decoder d;
        utf8_decoder_reset(&d);
        char out[ROOM];
        for (size_t at = 0; cases[i].bytes[at] != '\0'; at++) {
            const size_t size = utf8_decoder_push(&d, cases[i].bytes + at, 1, out, sizeof out);
            const char *want = cases[i].emitted[at];
            if (size != strlen(want) || memcmp(out, want, size) != 0)
                fail_msg("case %zu: byte %zu gave %zu bytes", i, at, size);
        }
        const size_t size = utf8_decoder_flush(&d, out, sizeof out);
        assert_int_equal(size, strlen(cases[i].flushed));
        assert_memory_equal(out, cases[i].flushed, size);
    }
}

static void reset_forgets_what_was_pending(void **state) {
    (void)state;
    utf8_decoder d;
    char out[ROOM];
    utf8_decoder_reset(&d);
    assert_int_equal(utf8_decoder_push(&d, "\xF0\x9F\x98", 3, out, sizeof out), 0);
    utf8_decoder_reset(&d);
    assert_int_equal(utf8_decoder_push(&d, "a", 1, out, sizeof out), 1);
    assert_memory_equal(out, "a", 1);
    assert_int_equal(utf8_decoder_flush(&d, out, sizeof out), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_comes_back),
        cmocka_unit_test(every_short_sequence_is_judged_rightly),
        cmocka_unit_test(invalid_prefixes_become_one_replacement_each),
        cmocka_unit_test(law_any_cut_gives_the_same_text),
        cmocka_unit_test(law_random_bytes_decode_as_read_one_by_one),
        cmocka_unit_test(half_a_surrogate_waits_for_its_third_byte),
        cmocka_unit_test(reset_forgets_what_was_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
