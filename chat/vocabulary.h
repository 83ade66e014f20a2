/* The texts of all tokens, ordered for walks of a grammar: beginnings that several share are walked
 * once, and a beginning that cannot be ends the walk of all of them. Made once, then read-only and
 * shared. */
#ifndef CHAT_VOCABULARY_H
#define CHAT_VOCABULARY_H

#include <runnel/runnel.h>

/* Longer tokens are never allowed: rows of spaces, mostly. */
enum { VOCABULARY_BYTES_CAP = 64 };

/* The nodes of a tree in the order of a walk: the children of a node follow it. */
typedef struct trie_node {
    uint32_t next;  /* index behind the node and all below it */
    int32_t token;  /* whose text ends here; -1: none */
    uint16_t depth; /* bytes up to here, >= 1 */
    unsigned char byte;
} trie_node;

typedef struct trie {
    trie_node *nodes;
    size_t count;
} trie;

enum { INSIDE_JSON, INSIDE_DOUBLE, INSIDE_SINGLE, INSIDE_COUNT };

typedef struct vocabulary {
    int token_count;
    size_t mask_size; /* bytes of a bit for every token */
    trie all;
    uint32_t roots[257]; /* where in all the texts with this first byte begin; [256]: the end */
    trie quoted[2];      /* texts with a " in them, with a ' in them */
    /* Tokens that go on with a string, whatever stands around it: with escapes, and without. */
    unsigned char *inside[2][INSIDE_COUNT];
    unsigned char *whole[INSIDE_COUNT]; /* with escapes, those that end with a character */
} vocabulary;

/* The text of a token; false: it has none of its own (special, unused). */
typedef bool (*vocabulary_text_fn)(const void *context, int32_t id, const char **bytes,
                                   size_t *size);

/* RNL_ERR_MEMORY. The texts are not used afterwards. */
RNL_MUST_USE rnl_status vocabulary_create(vocabulary_text_fn text, const void *context,
                                          int token_count, vocabulary **out);
void vocabulary_destroy(vocabulary **v); /* NULL is fine; sets NULL */

/* The fewest tokens whose texts together are these bytes, and the first of them. counts [size + 1]
 * is scratch. Every byte has a token. */
int vocabulary_cover(const vocabulary *v, const char *bytes, size_t size, int32_t *counts,
                     int32_t *first);

#endif
