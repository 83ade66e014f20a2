/* An encoder with its memory, and vocabularies made by hand. Faults end the test. */
#ifndef TESTS_SUPPORT_CODER_H
#define TESTS_SUPPORT_CODER_H

#include "tokenizer/bpe.h"

typedef struct coder {
    bpe *b;
    bpe_scratch scratch;
    void *memory;
} coder;

void coder_place(coder *c, size_t piece_cap);
void coder_free(coder *c);
size_t encode(coder *c, const char *text, size_t size, bool parse_special, int32_t *ids,
              size_t cap);

/* A byte in the mapped alphabet (backbone.md 4.3), written from the specification; its size. */
size_t mapped(int byte, char *out);
/* Ids 0..255 are the bytes; then what a test adds, then finished. */
bpe *bytes_only(int token_cap);
void add(bpe *b, int32_t id, const char *text, bpe_kind kind);
void merge(bpe *b, const char *left, const char *right);
coder finished(bpe *b, size_t piece_cap);

void check_text(coder *c, const char *text, bool parse_special, int count, const int32_t *want);
#define CHECK_TEXT(c, text, parse_special, ...)                                                    \
    check_text(c, text, parse_special, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t),         \
               (int32_t[]){__VA_ARGS__})

#endif
