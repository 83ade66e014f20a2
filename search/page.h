/* What proxies learn from: rows of ids, and which of them are to be foreseen. learn.md 6.8.
 *
 *     recall    k1 v1 ... kD vD, then pairs of these again, until the row is full; the values of
 *               the later pairs are learnt
 *     text      bytes of a corpus, each learnt behind those before it
 *
 * Ids below 512: keys 256 to 287, values 384 to 415; bytes from 256. What is drawn depends on the
 * generator alone. */
#ifndef SEARCH_PAGE_H
#define SEARCH_PAGE_H

#include "core/random.h"
#include "learn/network.h"

enum { PAGE_VOCAB = 512, PAGE_KEYS = 32, PAGE_PAIRS_MAX = 16 };

typedef struct search_page {
    learn_batch b; /* text_weight: of a mean over all labels */
    int row_count, length;
    int *begin, *text_at;    /* [row_count + 1], [row_count * length] */
    int32_t *ids, *text_ids; /* [row_count * length] */
} search_page;

/* Room for rows of `length` positions. False: memory is exhausted; free it in any case. */
bool search_page_make(search_page *p, int row_count, int length);
void search_page_free(search_page *p);

/* pairs D in [1, PAGE_PAIRS_MAX], 2 D < length; 0: 4 or 8, drawn for each row. */
void search_page_recall(search_page *p, random_state *r, int pairs);

enum { CORPUS_BLOCK = 4096, CORPUS_HELD_EVERY = 10, CORPUS_SIZE_MIN = 20 * CORPUS_BLOCK };

/* A text in blocks, every tenth of which is held out. */
typedef struct search_corpus {
    const unsigned char *bytes; /* borrowed */
    size_t size;                /* >= CORPUS_SIZE_MIN */
} search_corpus;

/* Rows from anywhere in blocks that are learnt from; length <= CORPUS_BLOCK. */
void search_page_text(search_page *p, random_state *r, const search_corpus *c);
/* Rows [first, first + row_count) of `count` that lie evenly in what is held out. */
void search_page_held(search_page *p, const search_corpus *c, int first, int count);

#endif
