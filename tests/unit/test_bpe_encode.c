/* Encoding: merges against a naive merger, special tokens, the piece cap, invalid bytes, large and
 * hostile input. The goldens are in test_bpe.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/utf8.h"
#include "tests/support/coder.h"
#include "tokenizer/bpe_file.h"
#include "tokenizer/split.h"

enum { TINY_ROWS = 1216, ID_CAP = 2048, PIECE_CAP = 4096, MILLION = 1 << 20 };

static coder coder_tiny(size_t piece_cap) {
    coder c = {0};
    rnl_error error;
    if (bpe_from_json(TEST_DATA "/tiny/tokenizer.json", TINY_ROWS, &c.b, NULL, &error) != RNL_OK)
        fail_msg("%s", error.text);
    coder_place(&c, piece_cap);
    return c;
}

/* Tokens -> text, as a reply is shown. */
static size_t decode(const bpe *b, const int32_t *ids, size_t count, char *out, size_t cap) {
    utf8_decoder d;
    utf8_decoder_reset(&d);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const char *bytes;
        size_t size;
        bool special;
        assert_true(bpe_token_bytes(b, ids[i], &bytes, &size, &special));
        assert_true(size <= (size_t)bpe_token_size_max(b));
        used += utf8_decoder_push(&d, bytes, size, out + used, cap - used);
    }
    return used + utf8_decoder_flush(&d, out + used, cap - used);
}

static void every_byte_has_its_token(void **state) {
    (void)state;
    bpe *b = bytes_only(256);
    coder c = finished(b, 16);
    for (int i = 0; i < 256; i++) {
        const char *bytes;
        size_t size;
        bool special;
        assert_true(bpe_token_bytes(c.b, i, &bytes, &size, &special));
        assert_int_equal(size, 1);
        assert_int_equal((unsigned char)bytes[0], i);
        assert_false(special);
    }
    CHECK_TEXT(&c, "a \xC3\xA4", false, 'a', ' ', 0xC3, 0xA4);
    coder_free(&c);
}

static void the_lowest_rank_goes_first_and_the_leftmost_among_equals(void **state) {
    (void)state;
    bpe *b = bytes_only(300);
    add(b, 256, "aa", BPE_NORMAL);
    add(b, 257, "ab", BPE_NORMAL);
    add(b, 258, "bc", BPE_NORMAL);
    add(b, 259, "aab", BPE_NORMAL);
    add(b, 260, "zzz", BPE_NORMAL); /* no merge reaches it */
    merge(b, "b", "c");
    merge(b, "a", "a");
    merge(b, "a", "b");
    merge(b, "aa", "b");
    coder c = finished(b, 64);
    CHECK_TEXT(&c, "abc", false, 'a', 258);
    CHECK_TEXT(&c, "aaa", false, 256, 'a');
    CHECK_TEXT(&c, "aaaa", false, 256, 256);
    CHECK_TEXT(&c, "aaab", false, 256, 257);
    CHECK_TEXT(&c, "zzz", false, 260); /* a whole piece needs no merges */
    CHECK_TEXT(&c, "zzzz", false, 'z', 'z', 'z', 'z');
    coder_free(&c);
}

static void whole_pieces_are_merged_when_the_file_says_so(void **state) {
    (void)state;
    for (int ignore = 0; ignore < 2; ignore++) {
        bpe *b = bytes_only(300);
        add(b, 256, "ab", BPE_NORMAL);
        add(b, 257, "abc", BPE_NORMAL); /* no merge reaches it */
        merge(b, "a", "b");
        assert_true(bpe_ignores_merges(b));
        bpe_set_ignore_merges(b, ignore == 1);
        coder c = finished(b, 64);
        if (ignore == 1)
            CHECK_TEXT(&c, "abc", false, 257);
        else
            CHECK_TEXT(&c, "abc", false, 256, 'c');
        coder_free(&c);
    }
}

/* ---- A merger without heap, hash or list, over the same rules ---- */

typedef struct naive {
    char texts[64][24]; /* of ids 256 + k */
    int token_count;
    int left[128], right[128], result[128]; /* by rank */
    int merge_count;
} naive;

static size_t naive_merge(const naive *n, int32_t *ids, size_t count) {
    for (;;) {
        int best = n->merge_count;
        size_t where = 0;
        for (size_t i = 0; i + 1 < count; i++)
            for (int r = 0; r < best; r++)
                if (ids[i] == n->left[r] && ids[i + 1] == n->right[r]) {
                    best = r;
                    where = i;
                }
        if (best == n->merge_count) return count;
        ids[where] = n->result[best];
        memmove(ids + where + 1, ids + where + 2, (count - where - 2) * sizeof *ids);
        count--;
    }
}

static uint32_t draw(uint64_t *random, uint32_t below) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33) % below;
}

static const char *naive_text(const naive *n, int id, char *one) {
    if (id >= 256) return n->texts[id - 256];
    one[0] = (char)id;
    one[1] = '\0';
    return one;
}

/* Merges of two earlier tokens over the letters a, b, c; both get the same. */
static void grow(naive *n, bpe *b, uint64_t *random) {
    for (int tries = 0; tries < 40; tries++) {
        int ids[2];
        for (int k = 0; k < 2; k++) {
            const uint32_t pick = draw(random, (uint32_t)n->token_count + 3);
            ids[k] = pick < 3 ? 'a' + (int)pick : 256 + (int)pick - 3;
        }
        char a[2], c[2], joined[48];
        const char *left = naive_text(n, ids[0], a), *right = naive_text(n, ids[1], c);
        (void)snprintf(joined, sizeof joined, "%s%s", left, right);
        if (strlen(joined) >= sizeof n->texts[0]) continue;
        int id = 0;
        for (int i = 0; i < n->token_count; i++)
            if (strcmp(n->texts[i], joined) == 0) id = 256 + i;
        if (id == 0) {
            id = 256 + n->token_count;
            memcpy(n->texts[n->token_count++], joined, strlen(joined) + 1);
            add(b, id, joined, BPE_NORMAL);
        }
        merge(b, left, right); /* a pair may come twice: the first rank counts */
        n->left[n->merge_count] = ids[0];
        n->right[n->merge_count] = ids[1];
        n->result[n->merge_count++] = id;
    }
}

static void law_the_heap_merges_as_the_naive_loop(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t random = seed;
        naive n = {0};
        bpe *b = bytes_only(400);
        grow(&n, b, &random);
        coder c = finished(b, 256);
        for (int round = 0; round < 20; round++) {
            char text[200];
            int32_t want[200], ids[200];
            /* Longer than any token, so that no piece is a token as a whole. */
            const size_t size = 24 + draw(&random, 170);
            for (size_t i = 0; i < size; i++) {
                text[i] = (char)('a' + draw(&random, round < 3 ? 1 : 3));
                want[i] = text[i];
            }
            const size_t want_count = naive_merge(&n, want, size);
            const size_t count = encode(&c, text, size, false, ids, 200);
            if (count != want_count || memcmp(ids, want, count * sizeof *ids) != 0)
                fail_msg("seed %d round %d differs", (int)seed, round);
        }
        coder_free(&c);
    }
}

/* ---- Hostile and large ---- */

static void duplicates_keep_the_first_and_bad_strings_stay_readable(void **state) {
    (void)state;
    bpe *b = bytes_only(300);
    add(b, 256, "ab", BPE_NORMAL);
    add(b, 257, "ab", BPE_NORMAL);
    add(b, 258, "a b", BPE_NORMAL);      /* a raw space is not in the alphabet */
    add(b, 259, "\xE6\x97", BPE_NORMAL); /* no UTF-8 at all */
    add(b, 260, "\xE6\x97\xA5", BPE_NORMAL);
    assert_int_equal(bpe_add_token(b, 256, "x", 1, BPE_NORMAL), RNL_ERR_FORMAT);
    assert_int_equal(bpe_add_token(b, -1, "x", 1, BPE_NORMAL), RNL_ERR_FORMAT);
    assert_int_equal(bpe_add_token(b, 300, "x", 1, BPE_NORMAL), RNL_ERR_FORMAT);
    assert_int_equal(bpe_add_token(b, INT32_MAX, "x", 1, BPE_NORMAL), RNL_ERR_FORMAT);
    coder c = finished(b, 64);
    CHECK_TEXT(&c, "ab", false, 256);
    CHECK_TEXT(&c, "\xE6\x97\xA5", false, 0xE6, 0x97, 0xA5);
    const char *bytes;
    size_t size;
    bool special;
    assert_true(bpe_token_bytes(c.b, 257, &bytes, &size, &special));
    assert_int_equal(size, 2);
    assert_true(bpe_token_bytes(c.b, 258, &bytes, &size, &special));
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "a b", 3);
    assert_true(bpe_token_bytes(c.b, 259, &bytes, &size, &special));
    assert_memory_equal(bytes, "\xE6\x97", 2);
    assert_false(bpe_token_bytes(c.b, 261, &bytes, &size, &special));
    assert_false(bpe_token_bytes(c.b, -1, &bytes, &size, &special));
    assert_false(bpe_token_bytes(c.b, INT32_MAX, &bytes, &size, &special));
    assert_int_equal(bpe_token_count(c.b), 261);
    coder_free(&c);
}

static void merges_to_nowhere_are_kept_but_never_applied(void **state) {
    (void)state;
    bpe *b = bytes_only(300);
    add(b, 256, "ab", BPE_NORMAL);
    add(b, 257, "<|s|>", BPE_CONTROL);
    merge(b, "a", "q");    /* the result is no token */
    merge(b, "xyz", "a");  /* a half is no token */
    merge(b, "", "a");     /* an empty half */
    merge(b, "\xFF", "b"); /* no UTF-8 */
    merge(b, "<|s", "|>"); /* never a special token */
    merge(b, "a", "b");
    merge(b, "a", "b"); /* again */
    coder c = finished(b, 64);
    CHECK_TEXT(&c, "aqab", false, 'a', 'q', 256);
    CHECK_TEXT(&c, "xyza", false, 'x', 'y', 'z', 'a');
    CHECK_TEXT(&c, "<|s|>", false, '<', '|', 's', '|', '>');
    assert_int_equal(bpe_merge_count(c.b), 7);
    coder_free(&c);
}

static void a_vocabulary_without_a_byte_is_refused(void **state) {
    (void)state;
    bpe *b = NULL;
    rnl_error error;
    assert_int_equal(bpe_create(256, &b), RNL_OK);
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        const size_t size = mapped(byte, text);
        if (byte != 0xAD) assert_int_equal(bpe_add_token(b, byte, text, size, BPE_NORMAL), RNL_OK);
    }
    assert_int_equal(bpe_finish(b, "by hand", &error), RNL_ERR_FORMAT);
    assert_non_null(strstr(error.text, "byte 173"));
    bpe_destroy(&b);
    bpe_destroy(&b);
}

static void too_many_ids_are_refused_and_just_enough_are_not(void **state) {
    (void)state;
    coder c = coder_tiny(PIECE_CAP);
    const char *text = "<|im_start|>user\nThe river runs past the old mill.<|im_end|>\n";
    int32_t all[ID_CAP], ids[ID_CAP];
    const size_t full = encode(&c, text, strlen(text), true, all, ID_CAP);
    for (size_t cap = 0; cap <= full + 1; cap++) {
        size_t count = 12345;
        rnl_error error;
        for (size_t i = 0; i < ID_CAP; i++) ids[i] = -7;
        const rnl_status status =
            bpe_encode(c.b, &c.scratch, text, strlen(text), true, ids, cap, &count, &error);
        assert_int_equal(status, cap < full ? RNL_ERR_CONTEXT_FULL : RNL_OK);
        assert_int_equal(count, cap < full ? 0 : full);
        assert_int_equal(ids[cap], -7);
        if (cap >= full) assert_memory_equal(ids, all, full * sizeof *ids);
    }
    assert_int_equal(encode(&c, "", 0, true, ids, 0), 0);
    coder_free(&c);
}

/* Text of words that are all shorter than the smallest piece_cap below, with bytes that are no
 * UTF-8 here and there. */
static size_t broken_words(char *out, size_t size, uint64_t seed) {
    static const char *const parts[] = {"river",        " mill",    "\xFF",         " \xE6\x97",
                                        "\xE6\x97\xA5", "  ",       "\n",           "12",
                                        "'s",           "!?",       "\xF0\x9F\x98", " ",
                                        "\xE3\x80\x80", "\xC2\xA0", "\xED\xA0\x80"};
    size_t used = 0;
    while (used + 8 <= size) {
        const char *part = parts[draw(&seed, sizeof parts / sizeof parts[0])];
        memcpy(out + used, part, strlen(part));
        used += strlen(part);
    }
    return used;
}

/* U+FFFD for what is invalid; returns the size. */
static size_t repair(const char *text, size_t size, char *out) {
    size_t used = 0;
    for (size_t at = 0; at < size;) {
        uint32_t c;
        at += utf8_next(text + at, size - at, &c);
        used += utf8_put(c, out + used);
    }
    return used;
}

static void law_invalid_text_encodes_as_its_repaired_self(void **state) {
    (void)state;
    enum { SIZE = 700 };
    static const size_t caps[] = {64, 65, 66, 67, 100, 4 * SIZE};
    for (size_t k = 0; k < sizeof caps / sizeof caps[0]; k++) {
        coder c = coder_tiny(caps[k]);
        for (uint64_t seed = 0; seed < 50; seed++) {
            char text[SIZE], clean[3 * SIZE];
            int32_t ids[3 * SIZE], want[3 * SIZE];
            const size_t size = broken_words(text, SIZE, seed);
            const size_t clean_size = repair(text, size, clean);
            const size_t want_count = encode(&c, clean, clean_size, true, want, 3 * SIZE);
            const size_t count = encode(&c, text, size, true, ids, 3 * SIZE);
            if (count != want_count || memcmp(ids, want, count * sizeof *ids) != 0)
                fail_msg("piece cap %zu seed %d differs", caps[k], (int)seed);
        }
        coder_free(&c);
    }
}

/* Where all pieces fit, room beyond them changes nothing. */
static void law_more_room_gives_the_same_ids(void **state) {
    (void)state;
    enum { SIZE = 700 };
    coder small = coder_tiny(64), large = coder_tiny(4 * SIZE);
    for (uint64_t seed = 0; seed < 200; seed++) {
        char text[SIZE], clean[3 * SIZE];
        int32_t ids[3 * SIZE], want[3 * SIZE];
        const size_t size = repair(text, broken_words(text, SIZE, seed), clean);
        const size_t want_count = encode(&large, clean, size, true, want, 3 * SIZE);
        const size_t count = encode(&small, clean, size, true, ids, 3 * SIZE);
        if (count != want_count || memcmp(ids, want, count * sizeof *ids) != 0)
            fail_msg("seed %d differs", (int)seed);
    }
    coder_free(&small);
    coder_free(&large);
}

/* The smallest room there is: slow and cut to pieces, but whole. */
static void the_smallest_cap_still_ends(void **state) {
    (void)state;
    enum { SIZE = 200 };
    for (size_t cap = BPE_PIECE_CAP_MIN; cap < 12; cap++) {
        coder c = coder_tiny(cap);
        for (uint64_t seed = 0; seed < 20; seed++) {
            char text[SIZE], clean[3 * SIZE], back[9 * SIZE];
            int32_t ids[3 * SIZE];
            const size_t size = broken_words(text, SIZE, seed);
            const size_t clean_size = repair(text, size, clean);
            const size_t count = encode(&c, text, size, false, ids, 3 * SIZE);
            assert_int_equal(decode(c.b, ids, count, back, sizeof back), clean_size);
            assert_memory_equal(back, clean, clean_size);
        }
        coder_free(&c);
    }
}

/* Pieces that end at the cap or just before it: what follows them decides where they end. */
static void what_follows_a_full_piece_is_seen(void **state) {
    (void)state;
    static const char *const spaces[] = {" ", "\xC2\xA0", "\xE3\x80\x80"};
    static const char *const after[] = {"the", "\xE3\x80\x80the", "\n", "\xF0\x9F\x98\x80", ""};
    enum { CAP = 64 };
    coder small = coder_tiny(CAP), large = coder_tiny(PIECE_CAP);
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 5; k++)
            for (size_t run = 1;; run++) {
                char text[4 * CAP] = "";
                for (size_t n = 0; n < run; n++) strcat(text, spaces[i]);
                strcat(text, after[k]);
                if (split_next(text, strlen(text)) > CAP) break;
                int32_t ids[4 * CAP], want[4 * CAP];
                const size_t count = encode(&large, text, strlen(text), false, want, 4 * CAP);
                assert_int_equal(encode(&small, text, strlen(text), false, ids, 4 * CAP), count);
                if (memcmp(ids, want, count * sizeof *ids) != 0)
                    fail_msg("%zu of space %zu before \"%s\" differ", run, i, after[k]);
            }
    coder_free(&small);
    coder_free(&large);
}

/* A long piece is cut at the last character that fits, and the parts are encoded apart. The
 * character has a token of its own, so that a cut inside it shows. */
static void a_piece_beyond_the_cap_is_cut_at_a_character(void **state) {
    (void)state;
    static const char *const letters[] = {"\xE6\x97\xA5", "\xC3\xA4"};
    coder small = coder_tiny(64), large = coder_tiny(PIECE_CAP);
    for (int k = 0; k < 2; k++) {
        char text[400];
        int32_t ids[400], want[400];
        const size_t width = strlen(letters[k]);
        assert_int_equal(encode(&large, letters[k], width, false, ids, 400), 1);
        for (int begin = 0; begin < 4; begin++) { /* the cut meets every place of a character */
            memset(text, 'q', (size_t)begin);
            size_t size = (size_t)begin;
            for (int i = 0; i < 90; i++, size += width) memcpy(text + size, letters[k], width);
            size_t want_count = 0;
            for (size_t at = 0; at < size;) {
                size_t part = size - at < 64 ? size - at : 64;
                while (at + part < size && ((unsigned char)text[at + part] & 0xC0) == 0x80) part--;
                want_count +=
                    encode(&large, text + at, part, false, want + want_count, 400 - want_count);
                at += part;
            }
            assert_int_equal(encode(&small, text, size, false, ids, 400), want_count);
            assert_memory_equal(ids, want, want_count * sizeof *ids);
        }
    }
    coder_free(&small);
    coder_free(&large);
}

static double seconds(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

/* Quadratic work on a megabyte would take hours; the bound leaves room for sanitizers and a busy
 * machine. */
static void check_million(coder *c, const char *what, const char *unit, bool parse_special) {
    char *text = malloc(MILLION), *out = malloc(4 * (size_t)MILLION);
    int32_t *ids = malloc(3 * (size_t)MILLION * sizeof *ids);
    assert_true(text != NULL && out != NULL && ids != NULL);
    const size_t unit_size = strlen(unit);
    for (size_t i = 0; i < MILLION; i++) text[i] = unit[i % unit_size];
    const double begin = seconds();
    const size_t count = encode(c, text, MILLION, parse_special, ids, 3 * (size_t)MILLION);
    const double taken = seconds() - begin;
    print_message("%s, piece cap %zu: %zu ids, %.3f s\n", what, c->scratch.piece_cap, count, taken);
    assert_true(taken < 20);
    const size_t clean_size = repair(text, MILLION, out);
    char *back = malloc(clean_size + 64);
    assert_non_null(back);
    assert_int_equal(decode(c->b, ids, count, back, clean_size + 64), clean_size);
    assert_memory_equal(back, out, clean_size);
    free(text);
    free(out);
    free(back);
    free(ids);
}

static void a_megabyte_of_anything_is_quick_and_comes_back(void **state) {
    (void)state;
    static const size_t caps[] = {64, MILLION};
    for (size_t k = 0; k < sizeof caps / sizeof caps[0]; k++) {
        coder c = coder_tiny(caps[k]);
        check_million(&c, "one letter", "e", false);
        check_million(&c, "letters that merge", "theriver", false);
        check_million(&c, "spaces", " ", false);
        check_million(&c, "line breaks", "\n", false);
        check_million(&c, "breaks and spaces", "\n      ", false);
        check_million(&c, "symbols", "!", false);
        check_million(&c, "apostrophes", "'", false);
        check_million(&c, "invalid bytes", "\xFF", false);
        check_million(&c, "lead bytes", "\xF0", false);
        check_million(&c, "special tokens", "<|im_end|>", true);
        check_million(&c, "almost special tokens", "<|im_end|", true);
        coder_free(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_has_its_token),
        cmocka_unit_test(the_lowest_rank_goes_first_and_the_leftmost_among_equals),
        cmocka_unit_test(whole_pieces_are_merged_when_the_file_says_so),
        cmocka_unit_test(law_the_heap_merges_as_the_naive_loop),
        cmocka_unit_test(duplicates_keep_the_first_and_bad_strings_stay_readable),
        cmocka_unit_test(merges_to_nowhere_are_kept_but_never_applied),
        cmocka_unit_test(a_vocabulary_without_a_byte_is_refused),
        cmocka_unit_test(too_many_ids_are_refused_and_just_enough_are_not),
        cmocka_unit_test(law_invalid_text_encodes_as_its_repaired_self),
        cmocka_unit_test(law_more_room_gives_the_same_ids),
        cmocka_unit_test(the_smallest_cap_still_ends),
        cmocka_unit_test(what_follows_a_full_piece_is_seen),
        cmocka_unit_test(a_piece_beyond_the_cap_is_cut_at_a_character),
        cmocka_unit_test(a_megabyte_of_anything_is_quick_and_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
