/* The vocabulary as bpe.c builds it and bpe_encode.c reads it. */
#ifndef TOKENIZER_BPE_INNER_H
#define TOKENIZER_BPE_INNER_H

#include "tokenizer/bpe.h"

typedef struct bpe_token {
    char *text; /* as added; NULL: no token */
    size_t size;
    char *bytes; /* what it decodes to */
    size_t byte_size;
    bpe_kind kind;
    bool matches; /* text can encode to it */
} bpe_token;

typedef struct bpe_merge {
    char *text; /* "left right", mapped */
    size_t size, left_size;
    int32_t left, right, result; /* -1: no token */
    uint32_t rank;
} bpe_merge;

/* A control or user token, for finding it in text. */
typedef struct bpe_special {
    const char *text; /* of the token */
    size_t size;
    bpe_kind kind;
    int32_t id;
} bpe_special;

struct bpe {
    bpe_token *tokens; /* [token_cap] */
    int token_cap, token_count;
    size_t token_size_max;
    bpe_merge *merges;
    size_t merge_count, merge_cap;
    uint32_t *by_bytes; /* hash of raw bytes -> id + 1 */
    size_t by_bytes_slots;
    uint32_t *by_pair; /* hash of (left, right) -> rank + 1 */
    size_t by_pair_slots;
    bpe_special *specials; /* by first byte, the longest first */
    size_t special_count;
    size_t special_begin[257]; /* by first byte: where they begin in specials */
    size_t user_count;         /* user tokens among them */
    bool merges_whole;         /* a piece that is a token is merged all the same */
    int32_t byte_ids[256];
};

typedef struct bpe_pair {
    uint32_t rank;
    int32_t at;          /* index of the left part */
    int32_t left, right; /* tokens when it was found: a stale candidate shows by them */
    int32_t result;
} bpe_pair;

int32_t bpe_find_bytes(const bpe *b, const char *bytes, size_t size);
const bpe_merge *bpe_find_merge(const bpe *b, int32_t left, int32_t right);

#endif
