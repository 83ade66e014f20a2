/* Vocabularies from tokenizer.json and from GGUF: both of tiny/ are the same, writing and reading
 * changes nothing, and damaged files are refused with a sentence that names them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/utf8.h"
#include "tokenizer/bpe_file.h"

enum { TINY_ROWS = 1216, TINY_TOKENS = 1200, ROWS = 300 };

static void temporary(char *path, size_t cap) {
    (void)snprintf(path, cap, "/tmp/runnel-vocabulary-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

static bpe *read_json(const char *path, int rows) {
    bpe *b = NULL;
    rnl_error error;
    if (bpe_from_json(path, rows, &b, NULL, &error) != RNL_OK) fail_msg("%s", error.text);
    return b;
}

static bpe *read_gguf(const char *path, int rows) {
    bpe *b = NULL;
    gguf *g = NULL;
    rnl_error error;
    if (gguf_open(path, &g, &error) != RNL_OK) fail_msg("%s", error.text);
    if (bpe_from_gguf(g, rows, &b, &error) != RNL_OK) fail_msg("%s", error.text);
    gguf_close(&g);
    return b;
}

static void check_equal(const bpe *a, const bpe *b) {
    assert_int_equal(bpe_token_count(a), bpe_token_count(b));
    for (int32_t id = 0; id < bpe_token_count(a); id++) {
        size_t size, other_size;
        bpe_kind kind, other_kind;
        const char *text = bpe_token_text(a, id, &size, &kind);
        const char *other = bpe_token_text(b, id, &other_size, &other_kind);
        assert_int_equal(text == NULL, other == NULL);
        if (text == NULL) continue;
        if (size != other_size || memcmp(text, other, size) != 0 || kind != other_kind)
            fail_msg("id %d: \"%s\" of kind %d, \"%s\" of kind %d", id, text, (int)kind, other,
                     (int)other_kind);
    }
    assert_int_equal(bpe_merge_count(a), bpe_merge_count(b));
    for (size_t rank = 0; rank < bpe_merge_count(a); rank++)
        assert_string_equal(bpe_merge_text(a, rank, &(size_t){0}),
                            bpe_merge_text(b, rank, &(size_t){0}));
}

static void write_gguf(const bpe *b, const char *path) {
    gguf_writer *w = NULL;
    assert_int_equal(gguf_writer_create(path, &w, NULL), RNL_OK);
    assert_int_equal(bpe_to_gguf(b, w), RNL_OK);
    assert_int_equal(gguf_writer_begin_data(w, NULL), RNL_OK);
    assert_int_equal(gguf_writer_finish(&w, NULL), RNL_OK);
}

static void json_and_gguf_of_the_reference_are_the_same(void **state) {
    (void)state;
    static const char *const files[] = {"tiny-F16", "tiny-Q4_0"};
    bpe *a = read_json(TEST_DATA "/tiny/tokenizer.json", TINY_ROWS);
    assert_int_equal(bpe_token_count(a), TINY_TOKENS);
    assert_int_equal(bpe_merge_count(a), 431);
    for (size_t i = 0; i < 2; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/gguf/%s.gguf", TEST_DATA, files[i]);
        bpe *b = read_gguf(path, TINY_ROWS);
        check_equal(a, b);
        bpe_destroy(&b);
    }
    bpe_destroy(&a);
}

static void written_and_read_it_is_the_same(void **state) {
    (void)state;
    char path[64];
    temporary(path, sizeof path);
    bpe *a = read_json(TEST_DATA "/tiny/tokenizer.json", TINY_ROWS);
    write_gguf(a, path);
    bpe *b = read_gguf(path, TINY_ROWS);
    check_equal(a, b);
    bpe_destroy(&a);
    bpe_destroy(&b);
    unlink(path);
}

static void check_string_key(const gguf *g, const char *key, const char *want) {
    const char *text;
    size_t size;
    assert_true(gguf_string(g, key, &text, &size));
    assert_int_equal(size, strlen(want));
    assert_memory_equal(text, want, size);
}

static void check_int_key(const gguf *g, const char *key, int64_t want) {
    int64_t value;
    assert_true(gguf_int(g, key, 0, UINT32_MAX, &value));
    assert_int_equal(value, want);
}

static void check_bool_key(const gguf *g, const char *key, bool want) {
    bool value;
    assert_true(gguf_bool(g, key, &value));
    assert_int_equal(value, want);
}

static bool placeholder_or_token(void *context, size_t index, const char *text, size_t size) {
    char want[32];
    (void)context;
    (void)snprintf(want, sizeof want, "<|unused_%zu|>", index);
    const bool placeholder = size == strlen(want) && memcmp(text, want, size) == 0;
    return placeholder == (index >= TINY_TOKENS);
}

/* Other programs size the text embedding by the list of tokens: it has one entry for each row
 * (backbone.md 4.4). */
static void the_file_has_the_keys_of_the_official_ones(void **state) {
    (void)state;
    char path[64];
    temporary(path, sizeof path);
    bpe *b = read_json(TEST_DATA "/tiny/tokenizer.json", TINY_ROWS);
    write_gguf(b, path);
    bpe_destroy(&b);
    gguf *g = NULL;
    assert_int_equal(gguf_open(path, &g, NULL), RNL_OK);
    check_string_key(g, "tokenizer.ggml.model", "gpt2");
    check_string_key(g, "tokenizer.ggml.pre", "lfm2");
    check_int_key(g, "tokenizer.ggml.bos_token_id", 1);
    check_int_key(g, "tokenizer.ggml.eos_token_id", 7);
    check_int_key(g, "tokenizer.ggml.padding_token_id", 0);
    check_bool_key(g, "tokenizer.ggml.add_bos_token", true);
    check_bool_key(g, "tokenizer.ggml.add_sep_token", false);
    check_bool_key(g, "tokenizer.ggml.add_eos_token", false);
    check_bool_key(g, "runnel.tokenizer.ignore_merges", true);
    size_t count;
    assert_true(gguf_array_count(g, "tokenizer.ggml.tokens", &count));
    assert_int_equal(count, TINY_ROWS);
    assert_true(gguf_array_count(g, "tokenizer.ggml.token_type", &count));
    assert_int_equal(count, TINY_ROWS);
    for (size_t i = 0; i < count; i++) {
        int64_t type;
        assert_true(gguf_array_int(g, "tokenizer.ggml.token_type", i, &type));
        const bool special = i <= 13 || (i >= 128 && i <= 132); /* golden README, tiny/ */
        assert_int_equal(type, i >= TINY_TOKENS ? 5 : special ? 3 : 1);
    }
    assert_true(gguf_each_string(g, "tokenizer.ggml.tokens", placeholder_or_token, NULL));
    gguf_close(&g);
    unlink(path);
}

/* ---- tokenizer.json by hand: the 256 bytes, then what a case adds ---- */

static void put_bytes(FILE *f) {
    int next = 0x100;
    for (int b = 0; b < 256; b++) {
        const bool itself =
            (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
        fprintf(f, "%s\"\\u%04x\": %d", b > 0 ? ", " : "", itself ? b : next++, b);
    }
}

static int moved; /* of the last case */

static rnl_status read_case(const char *added, const char *vocab, const char *merges, bpe **out,
                            rnl_error *error) {
    char path[64];
    temporary(path, sizeof path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "{\"added_tokens\": %s, \"model\": {\"vocab\": {", added);
    put_bytes(f);
    fprintf(f, "%s}, \"merges\": %s}}", vocab, merges);
    assert_int_equal(fclose(f), 0);
    const rnl_status status = bpe_from_json(path, ROWS, out, &moved, error);
    if (status != RNL_OK && strstr(error->text, path) == NULL)
        fail_msg("\"%s\" does not name the file", error->text);
    unlink(path);
    return status;
}

static void both_forms_of_merges_are_read(void **state) {
    (void)state;
    rnl_error error = {0};
    bpe *a = NULL, *b = NULL;
    const char *vocab = ", \"ab\": 256, \"abc\": 257";
    assert_int_equal(read_case("[]", vocab, "[\"a b\", \"ab c\"]", &a, &error), RNL_OK);
    assert_int_equal(read_case("[]", vocab, "[[\"a\", \"b\"], [\"ab\", \"c\"]]", &b, &error),
                     RNL_OK);
    check_equal(a, b);
    assert_string_equal(bpe_merge_text(a, 1, &(size_t){0}), "ab c");
    bpe_destroy(&a);
    bpe_destroy(&b);
}

static void the_flag_of_whole_pieces_is_read(void **state) {
    (void)state;
    const struct {
        const char *merges;
        bool ignore;
    } rows[] = {{"[]", false},
                {"[], \"ignore_merges\": null", false},
                {"[], \"ignore_merges\": false", false},
                {"[], \"ignore_merges\": true", true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bpe *b = NULL;
        assert_int_equal(read_case("[]", "", rows[i].merges, &b, &(rnl_error){0}), RNL_OK);
        assert_int_equal(bpe_ignores_merges(b), rows[i].ignore);
        bpe_destroy(&b);
    }
}

static void added_tokens_have_their_kind(void **state) {
    (void)state;
    rnl_error error = {0};
    bpe *b = NULL;
    const char *added = "[{\"id\": 256, \"content\": \"<s>\", \"special\": true},"
                        " {\"id\": 257, \"content\": \"<u>\", \"special\": false},"
                        " {\"id\": 299, \"content\": \"<alone>\", \"special\": true}]";
    assert_int_equal(
        read_case(added, ", \"<s>\": 256, \"<u>\": 257, \"<n>\": 258", "[]", &b, &error), RNL_OK);
    assert_int_equal(bpe_find_special(b, "<s>"), 256);
    assert_int_equal(bpe_find_special(b, "<u>"), 257);
    assert_int_equal(bpe_find_special(b, "<n>"), -1);
    assert_int_equal(bpe_find_special(b, "<alone>"), 299);
    assert_int_equal(bpe_token_count(b), ROWS);
    size_t size;
    bpe_kind kind;
    assert_non_null(bpe_token_text(b, 257, &size, &kind));
    assert_int_equal(kind, BPE_USER);
    assert_null(bpe_token_text(b, 270, &size, &kind));
    bpe_destroy(&b);
}

/* What the file says of an added token's id is a wish: the vocabulary knows better, and beyond the
 * rows there is nothing. Ids as Hugging Face's tokenizers 0.23.3 gives them. */
static void added_tokens_in_the_wrong_place_are_moved(void **state) {
    (void)state;
    const struct {
        const char *added, *vocab;
        int32_t s, t; /* where "<s>" and "<t>" are found as special tokens; -1: not at all */
        int moved;
    } rows[] = {
        {"{\"id\": 256, \"content\": \"<s>\"}", ", \"<s>\": 256", 256, -1, 0},
        /* The id is that of other text. */
        {"{\"id\": 256, \"content\": \"<s>\"}", ", \"<u>\": 256", 257, -1, 1},
        /* The text has another id. */
        {"{\"id\": 256, \"content\": \"<s>\"}", ", \"<u>\": 256, \"<s>\": 257", 257, -1, 1},
        /* Two want one id. */
        {"{\"id\": 256, \"content\": \"<s>\"}, {\"id\": 256, \"content\": \"<t>\"}", "", 256, 257,
         1},
        {"{\"id\": 256, \"content\": \"<t>\"}, {\"id\": 256, \"content\": \"<s>\"}",
         ", \"<s>\": 256", 256, 257, 1},
        /* They stand in each other's place. */
        {"{\"id\": 257, \"content\": \"<s>\"}, {\"id\": 256, \"content\": \"<t>\"}",
         ", \"<s>\": 256, \"<t>\": 257", 256, 257, 2},
        /* Beyond the rows. */
        {"{\"id\": 300, \"content\": \"<s>\"}", "", 256, -1, 1},
        {"{\"id\": 9223372036854775807, \"content\": \"<s>\"}", ", \"last\": 299", 257, -1, 1},
        /* Once more. */
        {"{\"id\": 256, \"content\": \"<s>\"}, {\"id\": 256, \"content\": \"<s>\"}",
         ", \"<s>\": 256", 256, -1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rnl_error error = {0};
        bpe *b = NULL;
        char added[512];
        (void)snprintf(added, sizeof added, "[%s]", rows[i].added);
        if (read_case(added, rows[i].vocab, "[]", &b, &error) != RNL_OK) fail_msg("%s", error.text);
        if (bpe_find_special(b, "<s>") != rows[i].s || bpe_find_special(b, "<t>") != rows[i].t ||
            moved != rows[i].moved)
            fail_msg("%s%s: %d %d, %d moved", rows[i].added, rows[i].vocab,
                     bpe_find_special(b, "<s>"), bpe_find_special(b, "<t>"), moved);
        size_t size;
        bpe_kind kind;
        if (strstr(rows[i].vocab, "<u>") != NULL) {
            assert_string_equal(bpe_token_text(b, 256, &size, &kind), "<u>");
            assert_int_equal(kind, BPE_NORMAL);
        }
        bpe_destroy(&b);
    }
}

typedef struct bad_case {
    const char *why, *added, *vocab, *merges;
} bad_case;

static void damaged_json_is_refused(void **state) {
    (void)state;
    static const bad_case cases[] = {
        {"id beyond the rows", "[]", ", \"ab\": 300", "[]"},
        {"negative id", "[]", ", \"ab\": -1", "[]"},
        {"huge id", "[]", ", \"ab\": 9223372036854775807", "[]"},
        {"id that is no integer", "[]", ", \"ab\": 256.0", "[]"},
        {"id that is a string", "[]", ", \"ab\": \"256\"", "[]"},
        {"one id twice", "[]", ", \"ab\": 256, \"ac\": 256", "[]"},
        {"one string twice", "[]", ", \"ab\": 256, \"ab\": 257", "[]"},
        {"added id that is no number", "[{\"id\": \"a\", \"content\": \"<s>\"}]", "", "[]"},
        {"added id negative", "[{\"id\": -1, \"content\": \"<s>\"}]", "", "[]"},
        {"added without content", "[{\"id\": 256}]", "", "[]"},
        {"added that is no object", "[17]", "", "[]"},
        {"merges missing", "[]", "", "null"},
        {"merges no list", "[]", "", "{}"},
        {"merge of one", "[]", "", "[\"ab\"]"},
        {"merge that is empty", "[]", "", "[\"\"]"},
        {"merge of three", "[]", "", "[[\"a\", \"b\", \"c\"]]"},
        {"merge of numbers", "[]", "", "[[1, 2]]"},
        {"flag that is a number", "[]", "", "[], \"ignore_merges\": 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rnl_error error = {0};
        bpe *b = NULL;
        const rnl_status status =
            read_case(cases[i].added, cases[i].vocab, cases[i].merges, &b, &error);
        if (status != RNL_ERR_FORMAT || b != NULL)
            fail_msg("%s: %s", cases[i].why, rnl_status_name(status));
        assert_int_equal(error.status, RNL_ERR_FORMAT);
    }
}

static void a_vocabulary_larger_than_the_model_is_refused(void **state) {
    (void)state;
    rnl_error error;
    bpe *b = NULL;
    const char *path = TEST_DATA "/tiny/tokenizer.json";
    assert_int_equal(bpe_from_json(path, TINY_TOKENS - 1, &b, NULL, &error), RNL_ERR_FORMAT);
    assert_null(b);
    assert_int_equal(bpe_from_json("/nowhere/tokenizer.json", 10, &b, NULL, &error), RNL_ERR_IO);
    assert_null(b);
    gguf *g = NULL;
    assert_int_equal(gguf_open(TEST_DATA "/gguf/tiny-F16.gguf", &g, NULL), RNL_OK);
    assert_int_equal(bpe_from_gguf(g, TINY_ROWS - 1, &b, &error), RNL_ERR_FORMAT);
    assert_null(b);
    gguf_close(&g);
}

/* ---- GGUF by hand ---- */

typedef struct gguf_case {
    const char *why;
    const char *model; /* NULL: the key is missing */
    int type_count;    /* -1: the key is missing */
    int32_t last_type;
    const char *merge; /* NULL: the key is missing */
    bool accepted;
} gguf_case;

static const gguf_case gguf_cases[] = {
    {"as it should be", "gpt2", 257, 3, "a b", true},
    {"no types", "gpt2", -1, 1, "a b", true},
    {"byte type", "gpt2", 257, 6, "a b", true},
    {"no model", NULL, 257, 3, "a b", false},
    {"other model", "llama", 257, 3, "a b", false},
    {"types too few", "gpt2", 256, 3, "a b", false},
    {"types too many", "gpt2", 258, 3, "a b", false},
    {"type 0", "gpt2", 257, 0, "a b", false},
    {"type 7", "gpt2", 257, 7, "a b", false},
    {"type negative", "gpt2", 257, -1, "a b", false},
    {"no merges", "gpt2", 257, 3, NULL, false},
    {"merge without a space", "gpt2", 257, 3, "ab", false},
    {"merge that begins with its only space", "gpt2", 257, 3, " b", false},
};

static void write_case(const char *path, const gguf_case *c) {
    enum { COUNT = 257 };
    static char bytes[256][4];
    const char *texts[COUNT];
    size_t sizes[COUNT];
    int32_t types[COUNT + 1];
    uint32_t next = 0x100;
    for (int b = 0; b < 256; b++) {
        const bool itself =
            (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
        sizes[b] = utf8_put(itself ? (uint32_t)b : next++, bytes[b]);
        texts[b] = bytes[b];
        types[b] = 1;
    }
    texts[256] = "<s>";
    sizes[256] = 3;
    types[256] = types[COUNT] = c->last_type;
    gguf_writer *w = NULL;
    assert_int_equal(gguf_writer_create(path, &w, NULL), RNL_OK);
    if (c->model != NULL) gguf_put_string(w, "tokenizer.ggml.model", c->model, strlen(c->model));
    gguf_put_string_array(w, "tokenizer.ggml.tokens", texts, sizes, COUNT);
    if (c->type_count >= 0)
        gguf_put_i32_array(w, "tokenizer.ggml.token_type", types, (size_t)c->type_count);
    if (c->merge != NULL)
        gguf_put_string_array(w, "tokenizer.ggml.merges", &c->merge, &(size_t){strlen(c->merge)},
                              1);
    assert_int_equal(gguf_writer_begin_data(w, NULL), RNL_OK);
    assert_int_equal(gguf_writer_finish(&w, NULL), RNL_OK);
}

static void keys_of_gguf_are_checked(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof gguf_cases / sizeof gguf_cases[0]; i++) {
        const gguf_case *c = &gguf_cases[i];
        char path[64];
        temporary(path, sizeof path);
        write_case(path, c);
        gguf *g = NULL;
        bpe *b = NULL;
        rnl_error error = {0};
        assert_int_equal(gguf_open(path, &g, NULL), RNL_OK);
        const rnl_status status = bpe_from_gguf(g, ROWS, &b, &error);
        if (status != (c->accepted ? RNL_OK : RNL_ERR_FORMAT) || c->accepted != (b != NULL))
            fail_msg("%s: %s %s", c->why, rnl_status_name(status), error.text);
        if (!c->accepted) assert_non_null(strstr(error.text, path));
        if (c->accepted) assert_int_equal(bpe_find_special(b, "<s>"), c->last_type == 3 ? 256 : -1);
        bpe_destroy(&b);
        gguf_close(&g);
        unlink(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_and_gguf_of_the_reference_are_the_same),
        cmocka_unit_test(written_and_read_it_is_the_same),
        cmocka_unit_test(the_file_has_the_keys_of_the_official_ones),
        cmocka_unit_test(both_forms_of_merges_are_read),
        cmocka_unit_test(the_flag_of_whole_pieces_is_read),
        cmocka_unit_test(added_tokens_have_their_kind),
        cmocka_unit_test(added_tokens_in_the_wrong_place_are_moved),
        cmocka_unit_test(damaged_json_is_refused),
        cmocka_unit_test(a_vocabulary_larger_than_the_model_is_refused),
        cmocka_unit_test(keys_of_gguf_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
