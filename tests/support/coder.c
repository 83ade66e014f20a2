#include "tests/support/coder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/utf8.h"

void coder_place(coder *c, size_t piece_cap) {
    arena measure = {0};
    bpe_scratch_layout(&c->scratch, piece_cap, &measure);
    assert_int_equal(posix_memalign(&c->memory, ARENA_ALIGN, measure.size_used), 0);
    arena place = {.base = c->memory, .size_cap = measure.size_used};
    bpe_scratch_layout(&c->scratch, piece_cap, &place);
}

void coder_free(coder *c) {
    bpe_destroy(&c->b);
    assert_null(c->b);
    free(c->memory);
}

size_t encode(coder *c, const char *text, size_t size, bool parse_special, int32_t *ids,
              size_t cap) {
    size_t count = 0;
    assert_int_equal(
        bpe_encode(c->b, &c->scratch, text, size, parse_special, ids, cap, &count, NULL), RNL_OK);
    return count;
}

size_t mapped(int byte, char *out) {
    int next = 0x100;
    for (int b = 0; b < 256; b++) {
        const bool itself =
            (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
        if (b == byte) return utf8_put(itself ? (uint32_t)b : (uint32_t)next, out);
        next += !itself;
    }
    return 0;
}

bpe *bytes_only(int token_cap) {
    bpe *b = NULL;
    assert_int_equal(bpe_create(token_cap, &b), RNL_OK);
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        const size_t size = mapped(byte, text);
        assert_int_equal(bpe_add_token(b, byte, text, size, BPE_NORMAL), RNL_OK);
    }
    return b;
}

void add(bpe *b, int32_t id, const char *text, bpe_kind kind) {
    assert_int_equal(bpe_add_token(b, id, text, strlen(text), kind), RNL_OK);
}

void merge(bpe *b, const char *left, const char *right) {
    assert_int_equal(bpe_add_merge(b, left, strlen(left), right, strlen(right)), RNL_OK);
}

coder finished(bpe *b, size_t piece_cap) {
    coder c = {.b = b};
    rnl_error error;
    if (bpe_finish(b, "by hand", &error) != RNL_OK) fail_msg("%s", error.text);
    coder_place(&c, piece_cap);
    return c;
}

void check_text(coder *c, const char *text, bool parse_special, int count, const int32_t *want) {
    int32_t ids[64];
    const size_t got = encode(c, text, strlen(text), parse_special, ids, 64);
    for (size_t i = 0; i < got && i < (size_t)count; i++)
        if (ids[i] != want[i]) fail_msg("\"%s\": id %zu is %d, not %d", text, i, ids[i], want[i]);
    assert_int_equal(got, count);
}
