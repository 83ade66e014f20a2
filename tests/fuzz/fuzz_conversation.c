/* Any bytes as a conversation in JSON, and as a chat template: every kind lays it out, or refuses
 * it with a sentence; a message by itself likewise. */
#include <stdlib.h>
#include <string.h>

#include "chat/template.h"
#include "core/json.h"
#include "core/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool collect(void *context, const chat_piece *piece) {
    if (piece->size == 0 || (piece->kind == CHAT_IMAGE && piece->part == NULL)) abort();
    chat_put(context, piece->text, piece->size);
    return true;
}

static void check(const chat_template *t, const json *conversation) {
    static const char begin[] = "<|startoftext|>";
    chat_text text = {0};
    rnl_error error = {0};
    const rnl_status status = chat_render(t, conversation, "it", collect, &text, &error);
    if (status == RNL_OK) {
        if (text.size < sizeof begin - 1 || memcmp(text.data, begin, sizeof begin - 1) != 0)
            abort();
        if (!utf8_is_valid(text.data, text.size)) abort();
    } else if (error.text[0] == '\0' || status == RNL_ERR_STATE) {
        abort();
    }
    chat_text_free(&text);
    (void)chat_render_content(t, conversation, false, "it", collect, &text, NULL);
    chat_text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json *conversation = NULL;
    const char *rest;
    bool known;
    size_t left;
    (void)chat_recognise((const char *)data, size, &known);
    chat_after_thinking((const char *)data, size, &rest, &left);
    if (rest < (const char *)data || left > size) abort();
    if (json_parse((const char *)data, size, "it", &conversation, NULL) != RNL_OK) return 0;
    for (int kind = 0; kind < CHAT_KIND_COUNT; kind++) {
        chat_template t = chat_template_of(kind);
        t.keep_thinking = size % 2 == 0;
        t.date = "2026-11-30";
        check(&t, conversation);
    }
    json_destroy(&conversation);
    return 0;
}
