/* Two things make masks cheap. A state that comes again has its mask still. Within a string nearly
 * all tokens go on with it, whatever stands around it: those are known beforehand, and only tokens
 * with the quote in them are walked. */
#include "chat/mask.h"

#include <stdlib.h>
#include <string.h>

enum {
    ENTRY_CAP = 64,
    COST_CAP = 32, /* near the limit tokens lead to as many places in turn; all are compared */
    COST_NONE = 1 << 24
};

typedef struct mask_entry {
    bool filled;
    grammar_state state;
    uint32_t used_hash; /* of the keys that a text has used, where the grammar has free ones */
    uint32_t bound;     /* the most bytes that any allowed token leaves to the end */
    unsigned char *bits;
} mask_entry;

typedef struct cost_entry {
    bool filled;
    mask_text text;
    int cost;
} cost_entry;

struct mask {
    const vocabulary *v;
    const grammar *g;
    mask_entry entries[ENTRY_CAP];
    int next; /* to be filled or replaced */
    cost_entry costs[COST_CAP];
    int next_cost;
    unsigned char *bits; /* a mask that is not kept */
    grammar_state path[VOCABULARY_BYTES_CAP + 1];
    grammar_state end[2];
    char shortest[GRAMMAR_NEED_MAX];
    int32_t counts[GRAMMAR_NEED_MAX + 1];
    /* The shortest end of the text whose mask is made, and the fewest tokens from each byte of it
     * on: most tokens lead to a place within it. */
    char base[GRAMMAR_NEED_MAX];
    int32_t base_counts[GRAMMAR_NEED_MAX + 1];
    size_t base_size; /* 0: none */
};

rnl_status mask_create(const vocabulary *v, const grammar *g, mask **out) {
    mask *m = *out = calloc(1, sizeof *m);
    if (m == NULL) return RNL_ERR_MEMORY;
    m->v = v;
    m->g = g;
    /* One block for all masks. */
    m->bits = malloc((ENTRY_CAP + 1) * v->mask_size + 1);
    for (int i = 0; i < ENTRY_CAP && m->bits != NULL; i++)
        m->entries[i].bits = m->bits + (size_t)(i + 1) * v->mask_size;
    if (m->bits == NULL) mask_destroy(out);
    return *out != NULL ? RNL_OK : RNL_ERR_MEMORY;
}

void mask_destroy(mask **m) {
    if (*m == NULL) return;
    free((*m)->bits);
    free(*m);
    *m = NULL;
}

void mask_begin(const mask *m, mask_text *t) {
    memset(t, 0, sizeof *t);
    grammar_begin(m->g, &t->state);
}

bool mask_advance(mask *m, mask_text *t, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (!grammar_step(m->g, &t->state, t->used, (unsigned char)bytes[i], &m->end[0]))
            return false;
        grammar_copy(&t->state, &m->end[0]);
    }
    return true;
}

bool mask_may_end(const mask *m, const mask_text *t) {
    return grammar_may_end(m->g, &t->state);
}

static bool same_state(const grammar_state *a, const grammar_state *b) {
    if (a->thread_count != b->thread_count || a->used_count != b->used_count) return false;
    for (int i = 0; i < a->thread_count; i++) {
        const grammar_thread *x = &a->threads[i], *y = &b->threads[i];
        if (x->depth != y->depth ||
            memcmp(x->frames, y->frames, (size_t)x->depth * sizeof *x->frames) != 0)
            return false;
    }
    return true;
}

/* ---- Costs ---- */

/* The shortest end as bytes; SIZE_MAX: it is too long. */
static size_t shortest_end(mask *m, const grammar_state *from, uint32_t *used) {
    grammar_state *s = &m->end[0], *next = &m->end[1];
    size_t size = 0;
    grammar_copy(s, from);
    for (uint32_t need; (need = grammar_need(m->g, s, used)) > 0;) {
        if (size + need > GRAMMAR_NEED_MAX) return SIZE_MAX;
        const unsigned char byte = grammar_next(m->g, s, used);
        if (!grammar_step(m->g, s, used, byte, next)) return SIZE_MAX;
        m->shortest[size++] = (char)byte;
        grammar_state *other = s;
        s = next;
        next = other;
    }
    return size;
}

static const cost_entry *cost_of(mask *m, const grammar_state *s, uint32_t *used) {
    const size_t used_size = (size_t)s->used_count * sizeof *used;
    for (int i = 0; i < COST_CAP; i++) {
        const cost_entry *c = &m->costs[i];
        if (c->filled && same_state(&c->text.state, s) &&
            memcmp(c->text.used, used, used_size) == 0)
            return c;
    }
    cost_entry *c = &m->costs[m->next_cost];
    m->next_cost = (m->next_cost + 1) % COST_CAP;
    c->filled = true;
    grammar_copy(&c->text.state, s);
    memcpy(c->text.used, used, sizeof c->text.used);
    const size_t size = shortest_end(m, &c->text.state, used);
    int32_t first;
    if (size == SIZE_MAX)
        c->cost = COST_NONE;
    else if (size < m->base_size && memcmp(m->base + m->base_size - size, m->shortest, size) == 0)
        c->cost = m->base_counts[m->base_size - size];
    else
        c->cost = vocabulary_cover(m->v, m->shortest, size, m->counts, &first);
    return c;
}

int mask_cost(mask *m, mask_text *t) {
    return cost_of(m, &t->state, t->used)->cost;
}

/* ---- Walks ---- */

static void allow(unsigned char *bits, int32_t id) {
    bits[id / 8] |= (unsigned char)(1 << (id % 8));
}

/* Whether the text can end within so many tokens. Every byte has a token, so bytes are a quick
 * answer. */
static bool ends_within(mask *m, const grammar_state *s, uint32_t *used, uint32_t need, int left) {
    if (left < 0) return false;
    return need <= (uint32_t)left || cost_of(m, s, used)->cost <= left;
}

/* Allows the tokens of a tree that the state takes and that leave an end within `left` more tokens;
 * INT_MAX: any end. Returns the most bytes that one of them leaves to it. */
static uint32_t walk(mask *m, const trie *t, mask_text *text, int left, unsigned char *bits) {
    uint32_t bound = 0;
    grammar_copy(&m->path[0], &text->state);
    for (size_t i = 0; i < t->count;) {
        const trie_node *n = &t->nodes[i];
        grammar_state *s = &m->path[n->depth];
        if (!grammar_step(m->g, &m->path[n->depth - 1], text->used, n->byte, s)) {
            i = n->next;
            continue;
        }
        i++;
        if (n->token < 0) continue;
        const uint32_t need = grammar_need(m->g, s, text->used);
        if (need > GRAMMAR_NEED_MAX) continue;
        if (left != INT32_MAX && !ends_within(m, s, text->used, need, left)) continue;
        allow(bits, n->token);
        if (need > bound) bound = need;
    }
    return bound;
}

/* Tokens that only go on with the string that the state is in, and what one of them leaves at most:
 * a character to be completed, an escape, a letter more of a key. */
enum { INSIDE_SLACK = 4 };

static int inside_kind(const mask *m, unsigned char quote) {
    return !m->g->python ? INSIDE_JSON : quote == '"' ? INSIDE_DOUBLE : INSIDE_SINGLE;
}

/* The tokens that go on with the string; left: that may come behind one. NULL: they are to be
 * looked at one by one. Near the limit a token that breaks off within a character is left out. */
static const unsigned char *inside_of(mask *m, mask_text *t, unsigned char quote, bool key,
                                      int left, bool *none) {
    const int kind = inside_kind(m, quote);
    const int cost = left == INT32_MAX ? 0 : cost_of(m, &t->state, t->used)->cost;
    *none = left < cost;
    if (left - INSIDE_SLACK >= cost) return m->v->inside[!key][kind];
    return key ? NULL : m->v->whole[kind];
}

static uint32_t fill(mask *m, mask_text *t, int left, unsigned char *bits) {
    bool key = false, none = false;
    const unsigned char quote = grammar_in_string(m->g, &t->state, &key);
    const unsigned char *inside = quote != 0 ? inside_of(m, t, quote, key, left, &none) : NULL;
    memset(bits, 0, m->v->mask_size);
    if (inside == NULL) return walk(m, &m->v->all, t, left, bits);
    const uint32_t bound = walk(m, &m->v->quoted[quote == '\''], t, left, bits);
    for (size_t i = 0; i < m->v->mask_size && !none; i++) bits[i] |= inside[i];
    const uint32_t own = grammar_need(m->g, &t->state, t->used) + INSIDE_SLACK;
    return own > bound ? own : bound;
}

static uint32_t hash_used(const mask *m, const mask_text *t) {
    uint32_t hash = 0;
    for (int i = 0; m->g->has_free_keys && i < t->state.used_count; i++)
        hash = (hash ^ t->used[i]) * UINT32_C(16777619);
    return hash;
}

static const mask_entry *entry_of(mask *m, mask_text *t) {
    const uint32_t used_hash = hash_used(m, t);
    for (int i = 0; i < ENTRY_CAP; i++) {
        const mask_entry *e = &m->entries[i];
        if (e->filled && e->used_hash == used_hash && same_state(&e->state, &t->state)) return e;
    }
    mask_entry *e = &m->entries[m->next];
    m->next = (m->next + 1) % ENTRY_CAP;
    e->filled = true;
    e->used_hash = used_hash;
    grammar_copy(&e->state, &t->state);
    e->bound = fill(m, t, INT32_MAX, e->bits);
    return e;
}

/* Keeps the shortest end from here; returns the first token of it, -1: there is none. */
static int32_t keep_base(mask *m, mask_text *t) {
    int32_t first = -1;
    const size_t size = shortest_end(m, &t->state, t->used);
    m->base_size = 0;
    if (size == SIZE_MAX) return -1;
    memcpy(m->base, m->shortest, size);
    (void)vocabulary_cover(m->v, m->base, size, m->base_counts, &first);
    m->base_size = size;
    return first;
}

static bool is_empty(const unsigned char *bits, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bits[i] != 0) return false;
    return true;
}

const unsigned char *mask_tokens(mask *m, mask_text *t, int left) {
    const mask_entry *e = entry_of(m, t);
    if (left - 1 >= 0 && (uint32_t)(left - 1) >= e->bound) return e->bits;
    const int32_t first = keep_base(m, t);
    (void)fill(m, t, left - 1, m->bits);
    if (is_empty(m->bits, m->v->mask_size) && first >= 0) allow(m->bits, first);
    m->base_size = 0;
    return m->bits;
}
