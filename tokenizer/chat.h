/* The special tokens of a conversation (audio.md 7.1): found in the vocabulary by their text. */
#ifndef TOKENIZER_CHAT_H
#define TOKENIZER_CHAT_H

#include "tokenizer/bpe.h"

typedef struct chat_ids {
    int32_t begin;         /* <|startoftext|> */
    int32_t message_start; /* <|im_start|> */
    int32_t message_end;   /* <|im_end|>: ends a turn and a reply */
    int32_t audio_start;   /* <|audio_start|>, -1 in text models */
    int32_t text_end;      /* <|text_end|>, -1 in text models */
    int32_t call_begin;    /* <|tool_call_start|>, -1 where there is none, as the next two */
    int32_t call_end;      /* <|tool_call_end|> */
    int32_t text_stop;     /* <|endoftext|>: ends an answer too */
} chat_ids;

/* text NULL: all -1. RNL_ERR_FORMAT when one of the first three is missing. */
RNL_MUST_USE rnl_status chat_find_ids(chat_ids *ids, const bpe *text, const char *file,
                                      rnl_error *error);

#endif
