/* Text -> ids: special tokens first, then pieces, then merges inside a piece. Merges are taken
 * from a heap ordered by rank and place, so a long run of letters costs n log n, not n^2. */
#include <assert.h>
#include <string.h>

#include "core/status.h"
#include "core/utf8.h"
#include "tokenizer/bpe_inner.h"
#include "tokenizer/split.h"

void bpe_scratch_layout(bpe_scratch *s, size_t piece_cap, arena *a) {
    assert(piece_cap >= BPE_PIECE_CAP_MIN);
    s->piece_cap = piece_cap;
    s->symbols = arena_take(a, piece_cap, sizeof *s->symbols);
    s->next = arena_take(a, piece_cap, sizeof *s->next);
    s->previous = arena_take(a, piece_cap, sizeof *s->previous);
    s->length = arena_take(a, piece_cap, sizeof *s->length);
    /* Every merge adds at most two candidates to the n - 1 at the start. */
    s->heap = arena_take(a, 3 * piece_cap, sizeof *s->heap);
    s->clean = arena_take(a, 4 * piece_cap, 1);
}

typedef struct output {
    int32_t *ids;
    size_t count, cap;
    bool full;
} output;

static void put(output *o, int32_t id) {
    if (o->count == o->cap)
        o->full = true;
    else
        o->ids[o->count++] = id;
}

/* ---- Heap of candidates, lowest rank first, leftmost among equals ---- */

static bool before(const bpe_pair *a, const bpe_pair *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(bpe_pair *heap, size_t *count, bpe_pair pair) {
    size_t i = (*count)++;
    for (; i > 0 && before(&pair, &heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = pair;
}

static bpe_pair heap_pop(bpe_pair *heap, size_t *count) {
    const bpe_pair top = heap[0], last = heap[--*count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < *count; i = child) {
        if (child + 1 < *count && before(&heap[child + 1], &heap[child])) child++;
        if (!before(&heap[child], &last)) break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

static void consider(const bpe *b, bpe_scratch *s, size_t *count, int32_t at) {
    const int32_t right = at >= 0 ? s->next[at] : -1;
    if (right < 0) return;
    const bpe_merge *m = bpe_find_merge(b, s->symbols[at], s->symbols[right]);
    if (m == NULL) return;
    heap_push(s->heap, count,
              (bpe_pair){.rank = m->rank,
                         .at = at,
                         .left = s->symbols[at],
                         .right = s->symbols[right],
                         .result = m->result});
}

/* One piece of at most piece_cap bytes. */
static void encode_piece(const bpe *b, bpe_scratch *s, const char *bytes, size_t size, output *o) {
    const int32_t whole = b->merges_whole ? -1 : bpe_find_bytes(b, bytes, size);
    if (whole >= 0) { /* backbone.md 4.3 */
        put(o, whole);
        return;
    }
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        s->symbols[i] = b->byte_ids[(unsigned char)bytes[i]];
        s->next[i] = i + 1 < size ? (int32_t)i + 1 : -1;
        s->previous[i] = (int32_t)i - 1;
        s->length[i] = 1;
    }
    for (size_t i = 0; i + 1 < size; i++) consider(b, s, &count, (int32_t)i);
    while (count > 0) {
        const bpe_pair p = heap_pop(s->heap, &count);
        const int32_t right = s->length[p.at] > 0 ? s->next[p.at] : -1;
        if (right < 0 || s->symbols[p.at] != p.left || s->symbols[right] != p.right) continue;
        s->symbols[p.at] = p.result;
        s->length[p.at] += s->length[right];
        s->length[right] = 0;
        s->next[p.at] = s->next[right];
        if (s->next[right] >= 0) s->previous[s->next[right]] = p.at;
        consider(b, s, &count, s->previous[p.at]);
        consider(b, s, &count, p.at);
    }
    for (int32_t i = 0; i >= 0; i = s->next[i]) put(o, s->symbols[i]);
}

/* The last character boundary at or before cap. */
static size_t cut_at(const char *text, size_t cap) {
    size_t cut = cap;
    while (cut > 1 && ((unsigned char)text[cut] & 0xC0) == 0x80) cut--;
    return cut;
}

/* Pieces from the beginning of text as long as at least keep bytes stand there; returns the bytes
 * used. To find its end a piece needs at most piece_cap + 4 bytes: itself and a whole character
 * after it. */
static size_t encode_clean(const bpe *b, bpe_scratch *s, const char *text, size_t size, size_t keep,
                           output *o) {
    size_t at = 0;
    while (at < size && size - at >= keep && !o->full) {
        const size_t left = size - at, sight = s->piece_cap + 4;
        size_t piece = split_next(text + at, left < sight ? left : sight);
        if (piece > s->piece_cap) piece = cut_at(text + at, s->piece_cap);
        encode_piece(b, s, text + at, piece, o);
        at += piece;
    }
    return at;
}

/* Text without special tokens. Invalid bytes are replaced in a window that always holds enough for
 * the next piece, so that the window's size never shows in the ids. */
static void encode_plain(const bpe *b, bpe_scratch *s, const char *text, size_t size, output *o) {
    if (utf8_is_valid(text, size)) {
        (void)encode_clean(b, s, text, size, 0, o);
        return;
    }
    size_t held = 0; /* bytes in the window */
    for (size_t at = 0; (at < size || held > 0) && !o->full;) {
        while (at < size && held + 4 <= 4 * s->piece_cap) {
            uint32_t c;
            at += utf8_next(text + at, size - at, &c);
            held += utf8_put(c, s->clean + held);
        }
        const size_t keep = at < size ? s->piece_cap + 4 : 0;
        const size_t used = encode_clean(b, s, s->clean, held, keep, o);
        held -= used;
        memmove(s->clean, s->clean + used, held);
    }
}

/* The token of this kind that text begins with, the longest; -1 for none. */
static int32_t special_at(const bpe *b, bpe_kind kind, const char *text, size_t size) {
    const size_t first = (unsigned char)text[0];
    for (size_t i = b->special_begin[first]; i < b->special_begin[first + 1]; i++) {
        const bpe_special *t = &b->specials[i];
        if (t->kind == kind && t->size <= size && memcmp(t->text, text, t->size) == 0) return t->id;
    }
    return -1;
}

/* Finds the next special token of this kind: *at becomes its place, or size when there is none. */
static int32_t next_special(const bpe *b, bpe_kind kind, const char *text, size_t size,
                            size_t *at) {
    int32_t id = -1;
    while (*at < size && (id = special_at(b, kind, text + *at, size - *at)) < 0) (*at)++;
    return id;
}

/* Text without control tokens; user tokens are found in any text. */
static void encode_user(const bpe *b, bpe_scratch *s, const char *text, size_t size, output *o) {
    size_t plain = 0;
    for (size_t at = 0; b->user_count > 0 && !o->full; at = plain) {
        const int32_t id = next_special(b, BPE_USER, text, size, &at);
        if (id < 0) break;
        encode_plain(b, s, text + plain, at - plain, o);
        put(o, id);
        plain = at + b->tokens[id].size;
    }
    encode_plain(b, s, text + plain, size - plain, o);
}

rnl_status bpe_encode(const bpe *b, bpe_scratch *s, const char *text, size_t size,
                      bool parse_special, int32_t *ids, size_t id_cap, size_t *id_count,
                      rnl_error *error) {
    output o = {.ids = ids, .cap = id_cap};
    size_t plain = 0;
    for (size_t at = 0; parse_special && !o.full; at = plain) {
        const int32_t id = next_special(b, BPE_CONTROL, text, size, &at);
        if (id < 0) break;
        encode_user(b, s, text + plain, at - plain, &o);
        put(&o, id);
        plain = at + b->tokens[id].size;
    }
    encode_user(b, s, text + plain, size - plain, &o);
    *id_count = o.full ? 0 : o.count;
    if (!o.full) return RNL_OK;
    return status_fail(error, RNL_ERR_CONTEXT_FULL, "the text has more than %zu tokens", id_cap);
}
