/* Masks over the tokens of tiny/: against each token tried alone, and as a model would meet them:
 * random choices among what is allowed, under random limits, always end in a value that fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chat/calls.h"
#include "chat/mask.h"
#include "core/json.h"
#include "tests/support/schemas.h"
#include "tokenizer/bpe_file.h"

enum { TINY_ROWS = 1216, TEXT_CAP = 65536 };

typedef struct fixture {
    bpe *text;
    vocabulary *v;
} fixture;

static bool token_text(const void *context, int32_t id, const char **bytes, size_t *size) {
    bool special;
    return bpe_token_bytes(context, id, bytes, size, &special) && !special;
}

static int setup(void **state) {
    static fixture f;
    *state = &f;
    if (bpe_from_json(TEST_DATA "/tiny/tokenizer.json", TINY_ROWS, &f.text, NULL, NULL) != RNL_OK)
        return 1;
    return vocabulary_create(token_text, f.text, TINY_ROWS, &f.v) != RNL_OK;
}

static int teardown(void **state) {
    fixture *f = *state;
    vocabulary_destroy(&f->v);
    bpe_destroy(&f->text);
    return 0;
}

static bool has_bit(const unsigned char *bits, int32_t id) {
    return (bits[id / 8] >> (id % 8) & 1) != 0;
}

static int rounds(int count) {
    return getenv("RUNNEL_TEST_SHORT") != NULL ? count / 10 : count;
}

/* What the mask says of every token, found by trying it. */
static void check_mask(const fixture *f, mask *m, mask_text *t, int left,
                       const unsigned char *bits) {
    static mask_text after;
    unsigned char kept[(TINY_ROWS + 7) / 8];
    memcpy(kept, bits, sizeof kept); /* costs may overwrite it */
    for (int32_t id = 0; id < TINY_ROWS; id++) {
        const char *bytes;
        size_t size;
        const bool text =
            token_text(f->text, id, &bytes, &size) && size > 0 && size <= VOCABULARY_BYTES_CAP;
        after = *t;
        const bool fits =
            text && mask_advance(m, &after, bytes, size) && mask_cost(m, &after) <= left - 1;
        /* Near the limit those that break off within a character or an escape may be left out. */
        const bool breaks =
            text && ((unsigned char)bytes[size - 1] >= 0x80 || bytes[size - 1] == '\\');
        if (fits != has_bit(kept, id) && !(fits && breaks))
            fail_msg("token %d (%.*s) with %d left: %d", (int)id, text ? (int)size : 0,
                     text ? bytes : "", left, has_bit(kept, id));
    }
}

typedef struct answer {
    char text[TEXT_CAP];
    size_t size;
    int count;
} answer;

/* An answer of at most `cap` tokens by random choice; false: stuck, or over the limit. */
static bool make_answer(const fixture *f, mask *m, random_state *r, int cap, bool checked,
                        answer *a) {
    static mask_text t;
    mask_begin(m, &t);
    for (a->size = 0, a->count = 0;;) {
        const bool may_end = mask_may_end(m, &t);
        if (may_end && (a->count == cap || random_u64(r) % 4 == 0)) return true;
        if (a->count == cap) return false;
        const int left = cap - a->count;
        const unsigned char *bits = mask_tokens(m, &t, left);
        if (checked && random_u64(r) % 8 == 0) check_mask(f, m, &t, left, bits);
        if (checked) bits = mask_tokens(m, &t, left);
        int32_t ids[TINY_ROWS];
        int count = 0;
        for (int32_t id = 0; id < TINY_ROWS; id++)
            if (has_bit(bits, id)) ids[count++] = id;
        if (count == 0) return may_end;
        /* Long answers end at last: now and then the lowest id, which is a quote or a bracket. */
        const int32_t id =
            ids[random_u64(r) % (uint64_t)(random_u64(r) % 3 == 0 && count > 4 ? 4 : count)];
        const char *bytes;
        size_t size;
        assert_true(token_text(f->text, id, &bytes, &size));
        if (a->size + size > TEXT_CAP || !mask_advance(m, &t, bytes, size)) return false;
        memcpy(a->text + a->size, bytes, size);
        a->size += size;
        a->count++;
    }
}

static void answers_under_random_schemas_fit_them(void **state) {
    const fixture *f = *state;
    answer *a = malloc(sizeof *a);
    assert_non_null(a);
    const int count = rounds(500);
    for (int seed = 0; seed < count; seed++) {
        random_state r;
        random_seed(&r, 100000 + (uint64_t)seed);
        chat_text source = {0};
        json *schema = NULL;
        grammar g;
        mask *m = NULL;
        mask_text t;
        schema_random(&r, &source);
        assert_int_equal(json_parse(source.data, source.size, "schema", &schema, NULL), RNL_OK);
        if (grammar_of_schema(schema, "schema", NULL, NULL, &g, NULL) == RNL_OK) {
            assert_int_equal(mask_create(f->v, &g, &m), RNL_OK);
            mask_begin(m, &t);
            const int least = mask_cost(m, &t);
            for (int i = 0; i < 3; i++) {
                /* At the limit itself, near it, far from it. */
                const int cap = least + (int)(random_u64(&r) % (i == 0 ? 1 : i == 1 ? 6 : 80));
                if (!make_answer(f, m, &r, cap, seed % 10 == 0, a) ||
                    !schema_accepts_text(schema, a->text, a->size))
                    fail_msg("%s\nwithin %d of %d tokens: %.*s", source.data, a->count, cap,
                             (int)a->size, a->text);
            }
            mask_destroy(&m);
            grammar_free(&g);
        }
        json_destroy(&schema);
        chat_text_free(&source);
    }
    free(a);
}

static bool is_known(const void *context, const char *name, size_t size) {
    return grammar_has_call(context, name, size);
}

static void calls_under_random_tools_fit_them(void **state) {
    const fixture *f = *state;
    answer *a = malloc(sizeof *a);
    assert_non_null(a);
    const int count = rounds(200);
    for (int seed = 0; seed < count; seed++) {
        random_state r;
        random_seed(&r, 200000 + (uint64_t)seed);
        chat_text source = {0};
        json *tools = NULL;
        grammar g;
        mask *m = NULL;
        mask_text t;
        tools_random(&r, &source);
        assert_int_equal(json_parse(source.data, source.size, "tools", &tools, NULL), RNL_OK);
        if (grammar_of_tools(tools, "tools", NULL, NULL, &g, NULL) == RNL_OK) {
            assert_int_equal(mask_create(f->v, &g, &m), RNL_OK);
            mask_begin(m, &t);
            const int cap = mask_cost(m, &t) + (int)(random_u64(&r) % 60);
            char out[TEXT_CAP];
            json *call = NULL;
            const bool ended = make_answer(f, m, &r, cap, seed % 10 == 0, a);
            const int calls = ended ? calls_count(a->text, a->size, is_known, &g) : -1;
            if (calls < 1)
                fail_msg("%s\nwithin %d tokens: %.*s", source.data, cap, (int)a->size, a->text);
            for (int i = 0; i < calls; i++) {
                const size_t size = calls_write(a->text, a->size, i, out, sizeof out);
                if (json_parse(out, size, "call", &call, NULL) != RNL_OK ||
                    !tools_accept(tools, call))
                    fail_msg("%s\nwithin %d tokens: %.*s", source.data, cap, (int)a->size, a->text);
                json_destroy(&call);
            }
            mask_destroy(&m);
            grammar_free(&g);
        }
        json_destroy(&tools);
        chat_text_free(&source);
    }
    free(a);
}

static void the_fewest_tokens_are_found(void **state) {
    const fixture *f = *state;
    const char *text = "{\"the\": \"assistant\"}";
    int32_t counts[64], first;
    const size_t size = strlen(text);
    const int least = vocabulary_cover(f->v, text, size, counts, &first);
    /* No way of the tokenizer is shorter, and it is one of tokens that are there. */
    assert_in_range(least, 2, (int)size);
    const char *bytes;
    size_t length;
    assert_true(token_text(f->text, first, &bytes, &length));
    assert_memory_equal(text, bytes, length);
    assert_int_equal(counts[length], least - 1);
    assert_int_equal(vocabulary_cover(f->v, "a", 1, counts, &first), 1);
    assert_int_equal(vocabulary_cover(f->v, "", 0, counts, &first), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fewest_tokens_are_found),
        cmocka_unit_test(answers_under_random_schemas_fit_them),
        cmocka_unit_test(calls_under_random_tools_fit_them),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
