/* The text tokenizer against golden text/: ids, decoded text, streaming, pieces, classes; and text
 * that wants to do harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/random.h"
#include "core/utf8.h"
#include "tokenizer/bpe_file.h"
#include "tokenizer/split.h"
#include "tokenizer/unicode.h"

enum { ID_CAP = 1 << 22, PIECE_CAP = 4096 };

static bpe *vocabulary;
static bpe_scratch scratch;
static void *memory;
static int32_t *ids;

static json_t *read_json(const char *name) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/text/%s", TEST_DATA, name);
    json_error_t e;
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &e);
    if (root == NULL) fail_msg("%s: %s", path, e.text);
    return root;
}

static int setup(void **state) {
    (void)state;
    rnl_error error;
    arena a = {0};
    bpe_scratch_layout(&scratch, PIECE_CAP, &a);
    memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    ids = malloc(ID_CAP * sizeof *ids);
    arena placed = {.base = memory, .size_cap = a.size_used};
    bpe_scratch_layout(&scratch, PIECE_CAP, &placed);
    return bpe_from_json(TEST_DATA "/tiny/tokenizer.json", 1216, &vocabulary, NULL, &error) !=
           RNL_OK;
}

static int teardown(void **state) {
    (void)state;
    bpe_destroy(&vocabulary);
    free(memory);
    free(ids);
    return 0;
}

static size_t encode(const bpe *b, const char *text, size_t size, bool special) {
    size_t count;
    assert_int_equal(bpe_encode(b, &scratch, text, size, special, ids, ID_CAP, &count, NULL),
                     RNL_OK);
    return count;
}

static void check_ids(const bpe *b, const json_t *text, const json_t *want, bool special) {
    const size_t count = encode(b, json_string_value(text), json_string_length(text), special);
    if (count != json_array_size(want))
        fail_msg("'%s': %zu ids, not %zu", json_string_value(text), count, json_array_size(want));
    for (size_t i = 0; i < count; i++)
        if (ids[i] != json_integer_value(json_array_get(want, i)))
            fail_msg("'%s': id %zu is %d", json_string_value(text), i, ids[i]);
}

/* The text of ids; special tokens left out on request. Returns its size. */
static size_t decode(const int32_t *tokens, size_t count, bool skip_special, char *out,
                     size_t cap) {
    utf8_decoder d;
    utf8_decoder_reset(&d);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const char *bytes;
        size_t size;
        bool special;
        assert_true(bpe_token_bytes(vocabulary, tokens[i], &bytes, &size, &special));
        if (special && skip_special) continue;
        used += utf8_decoder_push(&d, bytes, size, out + used, cap - used);
    }
    return used + utf8_decoder_flush(&d, out + used, cap - used);
}

static void check_text(const json_t *want, const char *got, size_t size) {
    if (json_string_length(want) != size || memcmp(json_string_value(want), got, size) != 0)
        fail_msg("'%.*s', not '%s'", (int)size, got, json_string_value(want));
}

static void all_strings_give_the_reference_ids(void **state) {
    (void)state;
    json_t *root = read_json("cases.json");
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(root, "cases"), i, c) {
        static char text[1 << 16];
        const json_t *whole = json_object_get(c, "ids"), *plain = json_object_get(c, "ids_plain");
        check_ids(vocabulary, json_object_get(c, "text"), plain != NULL ? plain : whole, false);
        check_ids(vocabulary, json_object_get(c, "text"), whole, true);
        const size_t count = json_array_size(whole);
        check_text(json_object_get(c, "decoded"), text,
                   decode(ids, count, false, text, sizeof text));
        const json_t *skipped = json_object_get(c, "decoded_skip_special");
        check_text(skipped != NULL ? skipped : json_object_get(c, "decoded"), text,
                   decode(ids, count, true, text, sizeof text));
    }
    printf("%zu strings\n", i);
    json_decref(root);
}

static void streaming_gives_text_when_it_is_certain(void **state) {
    (void)state;
    json_t *root = read_json("stream.json");
    size_t i, j;
    json_t *c, *id;
    json_array_foreach(json_object_get(root, "streams"), i, c) {
        utf8_decoder d;
        utf8_decoder_reset(&d);
        json_array_foreach(json_object_get(c, "ids"), j, id) {
            const char *bytes;
            size_t size;
            bool special;
            char out[4096];
            assert_true(bpe_token_bytes(vocabulary, (int32_t)json_integer_value(id), &bytes, &size,
                                        &special));
            check_text(json_array_get(json_object_get(c, "emitted"), j), out,
                       utf8_decoder_push(&d, bytes, size, out, sizeof out));
        }
        char out[64];
        check_text(json_object_get(c, "flushed"), out, utf8_decoder_flush(&d, out, sizeof out));
    }
    json_decref(root);
}

static void all_strings_split_as_the_reference(void **state) {
    (void)state;
    json_t *root = read_json("splits.json");
    size_t i, j;
    json_t *c, *piece;
    json_array_foreach(json_object_get(root, "cases"), i, c) {
        const char *text = json_string_value(json_object_get(c, "text"));
        size_t left = json_string_length(json_object_get(c, "text"));
        json_array_foreach(json_object_get(c, "pieces"), j, piece) {
            const size_t size = split_next(text, left);
            check_text(piece, text, size);
            text += size;
            left -= size;
        }
        assert_int_equal(left, 0);
    }
    json_decref(root);
}

static bool in_ranges(const json_t *ranges, uint32_t c) {
    size_t i;
    json_t *r;
    json_array_foreach(ranges, i, r) {
        if (c >= (uint32_t)json_integer_value(json_array_get(r, 0)) &&
            c <= (uint32_t)json_integer_value(json_array_get(r, 1)))
            return true;
    }
    return false;
}

static void classes_are_those_of_unicode_16(void **state) {
    (void)state;
    bool (*const tests[])(uint32_t) = {unicode_is_letter, unicode_is_number, unicode_is_space};
    json_t *root = read_json("classes.json");
    for (size_t k = 0; k < 3; k++) {
        const json_t *ranges =
            json_object_get(json_array_get(json_object_get(root, "classes"), k), "ranges");
        for (uint32_t c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 7)
            if (tests[k](c) != in_ranges(ranges, c)) fail_msg("class %zu, U+%04X", k, c);
    }
    json_decref(root);
}

static void conversations_are_laid_out_piece_by_piece(void **state) {
    (void)state;
    json_t *root = read_json("chat.json");
    size_t i, j, at;
    json_t *c, *piece;
    json_array_foreach(json_object_get(root, "layouts"), i, c) {
        const json_t *want = json_object_get(c, "ids");
        at = 0;
        json_array_foreach(json_object_get(c, "pieces"), j, piece) {
            const size_t count =
                encode(vocabulary, json_string_value(piece), json_string_length(piece), true);
            for (size_t k = 0; k < count; k++, at++)
                assert_int_equal(ids[k], json_integer_value(json_array_get(want, at)));
        }
        assert_int_equal(at, json_array_size(want));
    }
    json_decref(root);
}

/* A vocabulary written to GGUF and read again. */
static bpe *through_gguf(const bpe *b) {
    char path[] = "/tmp/runnel-bpe-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    gguf_writer *w;
    gguf *g;
    bpe *again;
    assert_int_equal(gguf_writer_create(path, &w, NULL), RNL_OK);
    assert_int_equal(bpe_to_gguf(b, w), RNL_OK);
    assert_int_equal(gguf_writer_begin_data(w, NULL), RNL_OK);
    assert_int_equal(gguf_writer_finish(&w, NULL), RNL_OK);
    assert_int_equal(gguf_open(path, &g, NULL), RNL_OK);
    assert_int_equal(bpe_from_gguf(g, 1216, &again, NULL), RNL_OK);
    gguf_close(&g);
    unlink(path);
    return again;
}

static void a_vocabulary_survives_gguf(void **state) {
    (void)state;
    bpe *again = through_gguf(vocabulary);
    json_t *root = read_json("cases.json");
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(root, "cases"), i, c)
        check_ids(again, json_object_get(c, "text"), json_object_get(c, "ids"), true);
    json_decref(root);
    bpe_destroy(&again);
}

/* As the official files are said to be: ignore_merges is false, so that a piece is merged even when
 * it is a token, and added tokens that are not special are found in any text. By Hugging Face's
 * tokenizers (text/make_merged.py); in GGUF nothing of it is lost. */
static void merges_and_added_tokens_are_those_of_the_file(void **state) {
    (void)state;
    bpe *b;
    rnl_error error;
    if (bpe_from_json(TEST_DATA "/text/merged-tokenizer.json", 1216, &b, NULL, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_false(bpe_ignores_merges(b));
    assert_true(bpe_ignores_merges(vocabulary));
    bpe *again = through_gguf(b);
    json_t *root = read_json("merged.json");
    size_t i;
    json_t *c;
    json_array_foreach(root, i, c) {
        const json_t *text = json_object_get(c, "text"), *whole = json_object_get(c, "ids");
        const json_t *plain = json_object_get(c, "ids_plain");
        for (int k = 0; k < 2; k++) {
            check_ids(k == 0 ? b : again, text, whole, true);
            check_ids(k == 0 ? b : again, text, plain != NULL ? plain : whole, false);
        }
    }
    json_decref(root);
    bpe_destroy(&again);
    bpe_destroy(&b);
}

static void long_runs_take_no_long_time(void **state) {
    (void)state;
    const size_t size = 1 << 20;
    char *text = malloc(size);
    assert_non_null(text);
    const char *fillings[] = {"a", " ", "\n", "\xF0\x9F\x98\x80", "\xFF", "the "};
    for (size_t i = 0; i < 6; i++) {
        const size_t length = strlen(fillings[i]);
        for (size_t at = 0; at < size; at++) text[at] = fillings[i][at % length];
        const clock_t begin = clock();
        const size_t count = encode(vocabulary, text, size, true);
        const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
        assert_true(count > 0);
        if (seconds > (getenv("RUNNEL_TEST_SHORT") != NULL ? 60.0 : 4.0))
            fail_msg("filling %zu took %.1f s", i, seconds);
    }
    free(text);
}

static void too_many_ids_are_refused(void **state) {
    (void)state;
    size_t count = 7;
    rnl_error error;
    assert_int_equal(
        bpe_encode(vocabulary, &scratch, "one two three", 13, false, ids, 2, &count, &error),
        RNL_ERR_CONTEXT_FULL);
    assert_int_equal(count, 0);
}

/* Random bytes: never a crash, and what comes back is the text with U+FFFD for what was invalid. */
static void random_bytes_come_back(void **state) {
    (void)state;
    random_state r;
    random_seed(&r, 5);
    for (int round = 0; round < 500; round++) {
        char text[200], clean[700], back[700];
        const size_t size = (size_t)(random_unit(&r) * 60);
        for (size_t i = 0; i < size; i++)
            text[i] = (char)(round % 2 == 0 ? random_u64(&r) & 0xFF : 32 + random_u64(&r) % 90);
        utf8_decoder d;
        utf8_decoder_reset(&d);
        size_t used = utf8_decoder_push(&d, text, size, clean, sizeof clean);
        used += utf8_decoder_flush(&d, clean + used, sizeof clean - used);
        const size_t count = encode(vocabulary, text, size, false);
        assert_int_equal(decode(ids, count, false, back, sizeof back), used);
        assert_memory_equal(clean, back, used);
    }
}

static void damaged_vocabularies_are_refused(void **state) {
    (void)state;
    bpe *b;
    assert_int_equal(bpe_create(4, &b), RNL_OK);
    assert_int_equal(bpe_add_token(b, 4, "a", 1, BPE_NORMAL), RNL_ERR_FORMAT);
    assert_int_equal(bpe_add_token(b, -1, "a", 1, BPE_NORMAL), RNL_ERR_FORMAT);
    assert_int_equal(bpe_add_token(b, 0, "a", 1, BPE_NORMAL), RNL_OK);
    assert_int_equal(bpe_add_token(b, 0, "b", 1, BPE_NORMAL), RNL_ERR_FORMAT);
    assert_int_equal(bpe_add_merge(b, "no", 2, "where", 5), RNL_OK);
    rnl_error error;
    assert_int_equal(bpe_finish(b, "file", &error), RNL_ERR_FORMAT); /* bytes are missing */
    bpe_destroy(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_strings_give_the_reference_ids),
        cmocka_unit_test(streaming_gives_text_when_it_is_certain),
        cmocka_unit_test(all_strings_split_as_the_reference),
        cmocka_unit_test(classes_are_those_of_unicode_16),
        cmocka_unit_test(conversations_are_laid_out_piece_by_piece),
        cmocka_unit_test(a_vocabulary_survives_gguf),
        cmocka_unit_test(merges_and_added_tokens_are_those_of_the_file),
        cmocka_unit_test(long_runs_take_no_long_time),
        cmocka_unit_test(too_many_ids_are_refused),
        cmocka_unit_test(random_bytes_come_back),
        cmocka_unit_test(damaged_vocabularies_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
