#include "tokenizer/chat.h"

#include "core/status.h"

rnl_status chat_find_ids(chat_ids *ids, const bpe *text, const char *file, rnl_error *error) {
    *ids = (chat_ids){-1, -1, -1, -1, -1, -1, -1, -1};
    if (text == NULL) return RNL_OK;
    ids->begin = bpe_find_special(text, "<|startoftext|>");
    ids->message_start = bpe_find_special(text, "<|im_start|>");
    ids->message_end = bpe_find_special(text, "<|im_end|>");
    ids->audio_start = bpe_find_special(text, "<|audio_start|>");
    ids->text_end = bpe_find_special(text, "<|text_end|>");
    ids->call_begin = bpe_find_special(text, "<|tool_call_start|>");
    ids->call_end = bpe_find_special(text, "<|tool_call_end|>");
    ids->text_stop = bpe_find_special(text, "<|endoftext|>");
    if (ids->begin >= 0 && ids->message_start >= 0 && ids->message_end >= 0) return RNL_OK;
    return status_fail(
        error, RNL_ERR_FORMAT,
        "%s: the vocabulary lacks <|startoftext|>, <|im_start|> or <|im_end|> as special "
        "tokens; the file is damaged or no LFM2 model",
        file);
}
