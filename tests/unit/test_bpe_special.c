/* Special tokens in text: which are found, in which order, and how fast. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/support/coder.h"

enum { MILLION = 1 << 20 };

static void specials_are_found_longest_first_and_only_when_asked(void **state) {
    (void)state;
    bpe *b = bytes_only(300);
    add(b, 256, "<|x|>", BPE_CONTROL);
    add(b, 257, "<|x|>y", BPE_CONTROL);
    add(b, 258, "<u>", BPE_USER);
    add(b, 259, "<|n|>", BPE_NORMAL); /* a reserved name is plain text */
    add(b, 260, "", BPE_CONTROL);     /* must never match, nor hang */
    coder c = finished(b, 64);
    CHECK_TEXT(&c, "<|x|>", true, 256);
    CHECK_TEXT(&c, "<|x|>yy<|x|>", true, 257, 'y', 256);
    CHECK_TEXT(&c, "<<|x|><u>", true, '<', 256, 258);
    CHECK_TEXT(&c, "<|x", true, '<', '|', 'x');
    CHECK_TEXT(&c, "<|x|>", false, '<', '|', 'x', '|', '>');
    CHECK_TEXT(&c, "<|n|>", true, '<', '|', 'n', '|', '>');
    CHECK_TEXT(&c, "<u><|x|>", false, 258, '<', '|', 'x', '|', '>');
    assert_int_equal(bpe_find_special(c.b, "<|x|>"), 256);
    assert_int_equal(bpe_find_special(c.b, "<|x|"), -1);
    assert_int_equal(bpe_find_special(c.b, "<|n|>"), -1);
    const char *bytes;
    size_t size;
    bool special;
    assert_true(bpe_token_bytes(c.b, 256, &bytes, &size, &special) && special);
    assert_true(bpe_token_bytes(c.b, 258, &bytes, &size, &special) && !special);
    coder_free(&c);
}

/* Control tokens are cut out first, then user tokens between them; each time the longest. */
static void control_tokens_go_before_user_tokens(void **state) {
    (void)state;
    bpe *b = bytes_only(300);
    add(b, 256, "a<", BPE_USER); /* begins before a control token and reaches into it */
    add(b, 257, "<s>", BPE_CONTROL);
    add(b, 258, "<", BPE_USER);
    add(b, 259, "<<", BPE_USER);
    add(b, 260, "<s>t", BPE_USER);
    add(b, 261, "\xFF", BPE_USER); /* found by its byte, though no text holds it */
    coder c = finished(b, 64);
    CHECK_TEXT(&c, "a<s>", true, 'a', 257);
    CHECK_TEXT(&c, "a<s>", false, 256, 's', '>');
    CHECK_TEXT(&c, "<s>t", true, 257, 't');
    CHECK_TEXT(&c, "<s>t", false, 260);
    CHECK_TEXT(&c, "<<<", true, 259, 258);
    CHECK_TEXT(&c, "x<s><s>a<", true, 'x', 257, 257, 256);
    coder_free(&c);
}

/* Hundreds of special tokens, as official files have: those of each first byte are found, and a
 * text of a megabyte takes no longer for them. */
static void many_specials_are_found_fast(void **state) {
    (void)state;
    bpe *b = bytes_only(2000);
    for (int i = 0; i < 1500; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "%c|%d|", "<[{"[i % 3], i);
        add(b, 256 + i, text, i % 2 == 0 ? BPE_CONTROL : BPE_USER);
    }
    coder c = finished(b, 64);
    for (int i = 0; i < 1500; i++) {
        char text[40];
        (void)snprintf(text, sizeof text, "x%c|%d|", "<[{"[i % 3], i);
        CHECK_TEXT(&c, text, true, 'x', 256 + i);
    }
    enum { SIZE = MILLION };
    char *text = malloc(SIZE);
    int32_t *ids = malloc(SIZE * sizeof *ids);
    assert_true(text != NULL && ids != NULL);
    for (size_t i = 0; i < SIZE; i++) text[i] = "the mill "[i % 9];
    const clock_t begin = clock();
    assert_true(encode(&c, text, SIZE, true, ids, SIZE) > 0);
    const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    if (seconds > (getenv("RUNNEL_TEST_SHORT") != NULL ? 30.0 : 1.0)) fail_msg("%.1f s", seconds);
    free(text);
    free(ids);
    coder_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specials_are_found_longest_first_and_only_when_asked),
        cmocka_unit_test(control_tokens_go_before_user_tokens),
        cmocka_unit_test(many_specials_are_found_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
