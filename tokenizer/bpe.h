/* Byte-level BPE: text <-> token ids. backbone.md 4.1, 4.3. A bpe is built by one thread from
 * strings (bpe_file.h does it from files), then finished, then read-only and shared. */
#ifndef TOKENIZER_BPE_H
#define TOKENIZER_BPE_H

#include <runnel/runnel.h>

#include "core/arena.h"

typedef struct bpe bpe;

typedef enum bpe_kind {
    BPE_NORMAL = 1, /* numbers of GGUF's token_type, backbone.md 4.4 */
    BPE_UNKNOWN = 2,
    BPE_CONTROL = 3, /* special: found in raw text, left out of decoded text */
    BPE_USER = 4,    /* found in raw text, part of decoded text */
    BPE_UNUSED = 5
} bpe_kind;

/* ---- Building. token_cap: ids are below it ---- */

RNL_MUST_USE rnl_status bpe_create(int token_cap, bpe **out);
void bpe_destroy(bpe **b); /* NULL is fine; sets NULL */
/* text: in the mapped alphabet for normal tokens, plain UTF-8 for the others. Copied. A string that
 * exists already keeps its first id for encoding. RNL_ERR_FORMAT: id out of range or taken. */
RNL_MUST_USE rnl_status bpe_add_token(bpe *b, int32_t id, const char *text, size_t size,
                                      bpe_kind kind);
/* Whether a piece that is a token as a whole is that token, even if no merges lead to it (Hugging
 * Face's ignore_merges; GGUF knows nothing else). At first it is. */
void bpe_set_ignore_merges(bpe *b, bool ignore_merges);
bool bpe_ignores_merges(const bpe *b);
/* In the order of rank. Merges whose halves or result are no tokens are kept but never applied. */
RNL_MUST_USE rnl_status bpe_add_merge(bpe *b, const char *left, size_t left_size, const char *right,
                                      size_t right_size);
/* RNL_ERR_FORMAT when a byte has no token of its own; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status bpe_finish(bpe *b, const char *file, rnl_error *error);

/* ---- Using ---- */

int bpe_token_count(const bpe *b);    /* ids are below it */
int bpe_token_cap(const bpe *b);      /* as given to bpe_create: rows of the text embedding */
int bpe_token_size_max(const bpe *b); /* bytes of the longest decoded token */
/* The id of a control or user token by its exact text, or -1. */
int32_t bpe_find_special(const bpe *b, const char *text);
/* Raw bytes of a token; false for an id that is no token. Valid as long as b. */
bool bpe_token_bytes(const bpe *b, int32_t id, const char **bytes, size_t *size, bool *special);

/* Working memory of one encoder, lent to each call. A piece longer than piece_cap bytes is cut
 * there (deterministically: at the last whole character), which bounds time and memory for
 * hostile text. */
typedef struct bpe_scratch {
    size_t piece_cap;
    int32_t *symbols;      /* [piece_cap] token of each part */
    int32_t *next;         /* [piece_cap] index of the next part, or -1 */
    int32_t *previous;     /* [piece_cap] */
    uint32_t *length;      /* [piece_cap] bytes of each part, 0 when merged away */
    struct bpe_pair *heap; /* [3 * piece_cap] candidate merges */
    char *clean;           /* [4 * piece_cap] a window of text with invalid bytes replaced */
} bpe_scratch;
/* A piece holds at least one whole character. */
enum { BPE_PIECE_CAP_MIN = 4 };
void bpe_scratch_layout(bpe_scratch *s, size_t piece_cap, arena *a);

/* Tokens of text. parse_special: control tokens written in the text become themselves, else they
 * are plain text; user tokens always become themselves. Invalid UTF-8 becomes U+FFFD.
 * RNL_ERR_CONTEXT_FULL: more than id_cap ids. */
RNL_MUST_USE rnl_status bpe_encode(const bpe *b, bpe_scratch *s, const char *text, size_t size,
                                   bool parse_special, int32_t *ids, size_t id_cap,
                                   size_t *id_count, rnl_error *error);

/* ---- For writing files: what was added, in order ---- */

/* The token's text as added, NULL for an id that is no token. */
const char *bpe_token_text(const bpe *b, int32_t id, size_t *size, bpe_kind *kind);
size_t bpe_merge_count(const bpe *b);
/* "left right", terminated. */
const char *bpe_merge_text(const bpe *b, size_t rank, size_t *size);

#endif
