/* The pre-tokeniser: cuts text into the pieces inside which BPE merges. backbone.md 4.2. */
#ifndef TOKENIZER_SPLIT_H
#define TOKENIZER_SPLIT_H

#include <stddef.h>

/* Bytes of the first piece of text, at least 1 when size > 0. Invalid bytes count as U+FFFD. */
size_t split_next(const char *text, size_t size);

#endif
