#include "chat/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "chat/grammar.h"

typedef struct entry {
    const char *bytes;
    size_t size;
    int32_t id;
} entry;

static int by_bytes(const void *a, const void *b) {
    const entry *x = a, *y = b;
    const size_t least = x->size < y->size ? x->size : y->size;
    const int order = memcmp(x->bytes, y->bytes, least);
    if (order != 0) return order;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static size_t common(const entry *a, const entry *b) {
    size_t n = 0;
    while (n < a->size && n < b->size && a->bytes[n] == b->bytes[n]) n++;
    return n;
}

/* A tree of sorted entries. Of equal texts the lowest id counts. */
static bool build(trie *t, const entry *entries, size_t count) {
    size_t total = 0, path[VOCABULARY_BYTES_CAP + 1], depth = 0;
    for (size_t i = 0; i < count; i++) total += entries[i].size;
    *t = (trie){.nodes = malloc((total + 1) * sizeof *t->nodes)};
    if (t->nodes == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        const size_t shared = i > 0 ? common(&entries[i - 1], &entries[i]) : 0;
        if (i > 0 && shared == entries[i].size) continue;
        while (depth > shared) t->nodes[path[depth--]].next = (uint32_t)t->count;
        while (depth < entries[i].size) {
            path[depth + 1] = t->count;
            t->nodes[t->count++] = (trie_node){.token = -1,
                                               .depth = (uint16_t)(depth + 1),
                                               .byte = (unsigned char)entries[i].bytes[depth]};
            depth++;
        }
        t->nodes[t->count - 1].token = entries[i].id;
    }
    while (depth > 0) t->nodes[path[depth--]].next = (uint32_t)t->count;
    return true;
}

static void find_roots(vocabulary *v) {
    uint32_t at = 0;
    for (int byte = 0; byte < 256; byte++) {
        v->roots[byte] = at;
        if (at < v->all.count && v->all.nodes[at].byte == byte) at = v->all.nodes[at].next;
    }
    v->roots[256] = at;
}

static void set_bit(unsigned char *bits, int32_t id) {
    bits[id / 8] |= (unsigned char)(1 << (id % 8));
}

/* The state of a string behind the text, or STRING_DEAD. */
static uint8_t goes_on(const entry *e, bool python, bool escapes, unsigned char quote) {
    uint8_t state = STRING_PLAIN;
    for (size_t i = 0; i < e->size && state != STRING_DEAD; i++)
        state = grammar_string_step(python, escapes, quote, state, (unsigned char)e->bytes[i]);
    return state;
}

static void mark_inside(vocabulary *v, const entry *e) {
    for (int kind = 0; kind < INSIDE_COUNT; kind++) {
        const unsigned char quote = kind == INSIDE_SINGLE ? '\'' : '"';
        for (int escapes = 0; escapes < 2; escapes++) {
            const uint8_t state = goes_on(e, kind != INSIDE_JSON, escapes != 0, quote);
            if (state != STRING_DEAD) set_bit(v->inside[escapes][kind], e->id);
            if (state == STRING_PLAIN && escapes != 0) set_bit(v->whole[kind], e->id);
        }
    }
}

static bool build_quoted(vocabulary *v, const entry *entries, size_t count, entry *picked) {
    static const char quotes[] = "\"'";
    for (int q = 0; q < 2; q++) {
        size_t found = 0;
        for (size_t i = 0; i < count; i++)
            if (memchr(entries[i].bytes, quotes[q], entries[i].size) != NULL)
                picked[found++] = entries[i];
        if (!build(&v->quoted[q], picked, found)) return false;
    }
    return true;
}

static bool fill(vocabulary *v, vocabulary_text_fn text, const void *context, entry *entries,
                 entry *picked) {
    size_t count = 0;
    for (int32_t id = 0; id < v->token_count; id++) {
        entry *e = &entries[count];
        e->id = id;
        if (text(context, id, &e->bytes, &e->size) && e->size > 0 &&
            e->size <= VOCABULARY_BYTES_CAP)
            count++;
    }
    qsort(entries, count, sizeof *entries, by_bytes);
    if (!build(&v->all, entries, count) || !build_quoted(v, entries, count, picked)) return false;
    find_roots(v);
    for (size_t i = 0; i < count; i++) mark_inside(v, &entries[i]);
    return true;
}

rnl_status vocabulary_create(vocabulary_text_fn text, const void *context, int token_count,
                             vocabulary **out) {
    vocabulary *v = *out = calloc(1, sizeof *v);
    if (v == NULL) return RNL_ERR_MEMORY;
    v->token_count = token_count;
    v->mask_size = ((size_t)token_count + 7) / 8;
    bool good = true;
    for (int i = 0; i < 3 * INSIDE_COUNT; i++) {
        unsigned char **bits = i % 3 < 2 ? &v->inside[i % 3][i / 3] : &v->whole[i / 3];
        *bits = calloc(v->mask_size + 1, 1);
        good = good && *bits != NULL;
    }
    entry *entries = calloc((size_t)token_count + 1, sizeof *entries);
    entry *picked = calloc((size_t)token_count + 1, sizeof *picked);
    good = good && entries != NULL && picked != NULL && fill(v, text, context, entries, picked);
    free(entries);
    free(picked);
    if (good) return RNL_OK;
    vocabulary_destroy(out);
    return RNL_ERR_MEMORY;
}

void vocabulary_destroy(vocabulary **out) {
    vocabulary *v = *out;
    *out = NULL;
    if (v == NULL) return;
    free(v->all.nodes);
    free(v->quoted[0].nodes);
    free(v->quoted[1].nodes);
    for (int i = 0; i < 2 * INSIDE_COUNT; i++) free(v->inside[i % 2][i / 2]);
    for (int i = 0; i < INSIDE_COUNT; i++) free(v->whole[i]);
    free(v);
}

/* The node of the byte among those from `at` to `end` that lie side by side; end: none. */
static uint32_t find_child(const trie *t, uint32_t at, uint32_t end, unsigned char byte) {
    while (at < end && t->nodes[at].byte < byte) at = t->nodes[at].next;
    return at < end && t->nodes[at].byte == byte ? at : end;
}

/* The fewest tokens from each byte on, from the last to the first. */
int vocabulary_cover(const vocabulary *v, const char *bytes, size_t size, int32_t *counts,
                     int32_t *first) {
    const trie *t = &v->all;
    *first = -1;
    counts[size] = 0;
    for (size_t i = size; i-- > 0;) {
        uint32_t at = v->roots[(unsigned char)bytes[i]];
        uint32_t end = v->roots[(unsigned char)bytes[i] + 1];
        counts[i] = INT32_MAX / 2;
        for (size_t k = i; k < size && at < end; k++) {
            const uint32_t node = find_child(t, at, end, (unsigned char)bytes[k]);
            if (node == end) break;
            if (t->nodes[node].token >= 0 && counts[k + 1] + 1 < counts[i]) {
                counts[i] = counts[k + 1] + 1;
                if (i == 0) *first = t->nodes[node].token;
            }
            at = node + 1;
            end = t->nodes[node].next;
        }
    }
    return counts[0];
}
