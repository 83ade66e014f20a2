#include "search/page.h"

#include <assert.h>
#include <stdlib.h>

#include "search/genome.h"

enum { KEY_FIRST = 256, VALUE_FIRST = 384, BYTE_FIRST = 256 };

bool search_page_make(search_page *p, int row_count, int length) {
    const size_t cells = (size_t)row_count * (size_t)length;
    *p = (search_page){.row_count = row_count, .length = length};
    p->begin = malloc(((size_t)row_count + 1) * sizeof *p->begin);
    p->text_at = malloc(cells * sizeof *p->text_at);
    p->ids = malloc(cells * sizeof *p->ids);
    p->text_ids = malloc(cells * sizeof *p->text_ids);
    if (p->begin == NULL || p->text_at == NULL || p->ids == NULL || p->text_ids == NULL)
        return false;
    for (int i = 0; i <= row_count; i++) p->begin[i] = i * length;
    p->b = (learn_batch){
        .rows = {.count = row_count * length, .run_count = row_count, .begin = p->begin},
        .ids = p->ids,
        .text_at = p->text_at,
        .text_ids = p->text_ids};
    return true;
}

void search_page_free(search_page *p) {
    free(p->begin);
    free(p->text_at);
    free(p->ids);
    free(p->text_ids);
    *p = (search_page){0};
}

/* The id at a place is to be foreseen by the one before it. */
static void learn_at(search_page *p, int place) {
    p->text_at[p->b.text_count] = place - 1;
    p->text_ids[p->b.text_count++] = p->ids[place];
}

static void end(search_page *p) {
    p->b.text_weight = 1.0 / (p->b.text_count > 0 ? p->b.text_count : 1);
}

/* ---- Recall ---- */

static void recall_row(search_page *p, random_state *r, int row, int pairs) {
    int32_t keys[PAGE_KEYS], values[PAGE_PAIRS_MAX];
    const int first = row * p->length, last = first + p->length;
    int at = first;
    for (int i = 0; i < PAGE_KEYS; i++) keys[i] = KEY_FIRST + i;
    for (int i = 0; i < pairs; i++) {
        const int other = i + search_below(r, PAGE_KEYS - i);
        const int32_t key = keys[other];
        keys[other] = keys[i];
        keys[i] = key;
        values[i] = VALUE_FIRST + search_below(r, PAGE_KEYS);
        p->ids[at++] = key;
        p->ids[at++] = values[i];
    }
    while (at + 1 < last) {
        const int j = search_below(r, pairs);
        p->ids[at++] = keys[j];
        p->ids[at] = values[j];
        learn_at(p, at++);
    }
    if (at < last) p->ids[at] = keys[0]; /* an odd length */
}

void search_page_recall(search_page *p, random_state *r, int pairs) {
    assert(pairs <= PAGE_PAIRS_MAX && 2 * pairs < p->length);
    p->b.text_count = 0;
    for (int row = 0; row < p->row_count; row++)
        recall_row(p, r, row, pairs > 0 ? pairs : 4 + 4 * search_below(r, 2));
    end(p);
}

/* ---- Text ---- */

static void text_row(search_page *p, const search_corpus *c, int row, size_t from) {
    const int first = row * p->length;
    assert(from + (size_t)p->length <= c->size);
    for (int i = 0; i < p->length; i++) {
        p->ids[first + i] = BYTE_FIRST + c->bytes[from + (size_t)i];
        if (i > 0) learn_at(p, first + i);
    }
}

static int blocks_of(const search_corpus *c) {
    const size_t count = c->size / CORPUS_BLOCK;
    return count < 1 << 24 ? (int)count : 1 << 24;
}

void search_page_text(search_page *p, random_state *r, const search_corpus *c) {
    const int blocks = blocks_of(c), held = blocks / CORPUS_HELD_EVERY;
    assert(c->size >= CORPUS_SIZE_MIN && p->length <= CORPUS_BLOCK);
    p->b.text_count = 0;
    for (int row = 0; row < p->row_count; row++) {
        const int drawn = search_below(r, blocks - held);
        /* Every tenth is passed over: nine, then the next nine. */
        const int block = drawn + drawn / (CORPUS_HELD_EVERY - 1);
        const int offset = search_below(r, CORPUS_BLOCK - p->length + 1);
        text_row(p, c, row, (size_t)block * CORPUS_BLOCK + (size_t)offset);
    }
    end(p);
}

void search_page_held(search_page *p, const search_corpus *c, int first, int count) {
    const int held = blocks_of(c) / CORPUS_HELD_EVERY, each = CORPUS_BLOCK / p->length;
    p->b.text_count = 0;
    for (int row = 0; row < p->row_count; row++) {
        const int64_t piece = (int64_t)(first + row) * held * each / count;
        const int64_t block = piece / each * CORPUS_HELD_EVERY + CORPUS_HELD_EVERY - 1;
        text_row(p, c, row, (size_t)(block * CORPUS_BLOCK + piece % each * p->length));
    }
    end(p);
}
