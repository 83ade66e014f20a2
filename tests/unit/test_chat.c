/* The special tokens of a conversation: of tiny/, of a text model, and of no model at all. The
 * layouts of golden text/chat.json are in test_bpe.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/utf8.h"
#include "tokenizer/bpe_file.h"
#include "tokenizer/chat.h"

enum { TINY_ROWS = 1216 };

static void an_audio_model_has_all_five(void **state) {
    (void)state;
    bpe *b = NULL;
    chat_ids ids;
    assert_int_equal(bpe_from_json(TEST_DATA "/tiny/tokenizer.json", TINY_ROWS, &b, NULL, NULL),
                     RNL_OK);
    assert_int_equal(chat_find_ids(&ids, b, "tiny", NULL), RNL_OK);
    assert_int_equal(ids.begin, 1); /* audio.md 7.1 */
    assert_int_equal(ids.message_start, 6);
    assert_int_equal(ids.message_end, 7);
    assert_int_equal(ids.audio_start, 128);
    assert_int_equal(ids.text_end, 130);
    assert_int_equal(ids.call_begin, 10);
    assert_int_equal(ids.call_end, 11);
    assert_int_equal(ids.text_stop, 2);
    bpe_destroy(&b);
}

/* The 256 bytes, then names from id 256 on; names[without] is a plain entry. */
static bpe *vocabulary(const char *const *names, int count, int without) {
    bpe *b = NULL;
    uint32_t next = 0x100;
    assert_int_equal(bpe_create(300, &b), RNL_OK);
    for (int i = 0; i < 256; i++) {
        const bool itself =
            (i >= 0x21 && i <= 0x7E) || (i >= 0xA1 && i <= 0xAC) || (i >= 0xAE && i <= 0xFF);
        char text[4];
        const size_t size = utf8_put(itself ? (uint32_t)i : next++, text);
        assert_int_equal(bpe_add_token(b, i, text, size, BPE_NORMAL), RNL_OK);
    }
    for (int i = 0; i < count; i++)
        assert_int_equal(bpe_add_token(b, 256 + i, names[i], strlen(names[i]),
                                       i == without ? BPE_NORMAL : BPE_CONTROL),
                         RNL_OK);
    assert_int_equal(bpe_finish(b, "by hand", NULL), RNL_OK);
    return b;
}

static const char *const names[] = {"<|im_end|>", "<|im_start|>", "<|startoftext|>",
                                    "<|reserved_118|>", "<|reserved_120|>"};

static void a_text_model_has_no_audio_tokens(void **state) {
    (void)state;
    bpe *b = vocabulary(names, 5, -1);
    chat_ids ids;
    assert_int_equal(chat_find_ids(&ids, b, "text", NULL), RNL_OK);
    assert_int_equal(ids.begin, 258); /* by their text, wherever they stand */
    assert_int_equal(ids.message_start, 257);
    assert_int_equal(ids.message_end, 256);
    assert_int_equal(ids.audio_start, -1);
    assert_int_equal(ids.text_end, -1);
    bpe_destroy(&b);
}

/* A conversation cannot be laid out with a marker that is missing or plain text. */
static void a_missing_marker_is_refused(void **state) {
    (void)state;
    for (int without = 0; without < 3; without++) {
        bpe *b = vocabulary(names, 3, without);
        chat_ids ids;
        rnl_error error = {0};
        assert_int_equal(chat_find_ids(&ids, b, "some-file", &error), RNL_ERR_FORMAT);
        assert_non_null(strstr(error.text, "some-file"));
        bpe_destroy(&b);
    }
}

static void without_a_vocabulary_all_are_absent(void **state) {
    (void)state;
    chat_ids ids;
    assert_int_equal(chat_find_ids(&ids, NULL, "none", NULL), RNL_OK);
    const int32_t all[] = {ids.begin,    ids.message_start, ids.message_end, ids.audio_start,
                           ids.text_end, ids.call_begin,    ids.call_end,    ids.text_stop};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) assert_int_equal(all[i], -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_audio_model_has_all_five),
        cmocka_unit_test(a_text_model_has_no_audio_tokens),
        cmocka_unit_test(a_missing_marker_is_refused),
        cmocka_unit_test(without_a_vocabulary_all_are_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
