/* The automaton of a grammar: a byte goes to the frame on top of each thread, which stays, ends, or
 * puts a frame for a value on top of itself. A value that may end without saying so (a number) is
 * taken off when the byte does not go on with it. */
#include <assert.h>
#include <string.h>

#include "chat/step.h"

/* ---- Strings ---- */

/* 0: between characters; 1 to 3: so many bytes of 0x80 to 0xBF come; then first bytes after which
 * not all of these may follow; an escape. */
enum { AFTER_E0 = 4, AFTER_ED, AFTER_F0, AFTER_F4, ESCAPED };

static uint8_t plain_step(bool escapes, unsigned char quote, unsigned char byte) {
    if (byte == quote || byte < 0x20) return STRING_DEAD;
    if (byte == '\\') return escapes ? ESCAPED : STRING_DEAD;
    if (byte < 0x80) return STRING_PLAIN;
    if (byte < 0xC2 || byte > 0xF4) return STRING_DEAD;
    if (byte < 0xE0) return 1;
    if (byte == 0xE0) return AFTER_E0;
    if (byte == 0xED) return AFTER_ED;
    if (byte < 0xF0) return 2;
    if (byte == 0xF0) return AFTER_F0;
    return byte == 0xF4 ? AFTER_F4 : 3;
}

uint8_t grammar_string_step(bool python, bool escapes, unsigned char quote, uint8_t state,
                            unsigned char byte) {
    const bool more = byte >= 0x80 && byte <= 0xBF;
    switch (state) {
    case STRING_PLAIN:
        return plain_step(escapes, quote, byte);
    case 1:
    case 2:
    case 3:
        return more ? (uint8_t)(state - 1) : STRING_DEAD;
    case AFTER_E0:
        return more && byte >= 0xA0 ? 1 : STRING_DEAD;
    case AFTER_ED: /* surrogates are no characters */
        return more && byte <= 0x9F ? 1 : STRING_DEAD;
    case AFTER_F0:
        return more && byte >= 0x90 ? 2 : STRING_DEAD;
    case AFTER_F4:
        return more && byte <= 0x8F ? 2 : STRING_DEAD;
    case ESCAPED:
        return byte != '\0' && strchr(python ? "\"'\\nrt" : "\"\\/bfnrt", byte) != NULL
                   ? STRING_PLAIN
                   : STRING_DEAD;
    default:
        return STRING_DEAD;
    }
}

/* The shortest end of a string: what its character under way needs, then the quote. */
static grammar_way string_way(const grammar_frame *f) {
    static const uint8_t needs[] = {0, 1, 2, 3, 2, 2, 3, 3, 1};
    static const unsigned char bytes[] = {0, 0x80, 0x80, 0x80, 0xA0, 0x80, 0x90, 0x80, '"'};
    if (f->utf8 == STRING_PLAIN) return (grammar_way){1, f->quote};
    return (grammar_way){1u + needs[f->utf8], bytes[f->utf8]};
}

/* ---- Literals and keys ---- */

static const char *literal_bytes(const grammar *g, const grammar_literal *l) {
    return g->bytes + l->at;
}

/* The first literal from `from` on that has the first `count` bytes of that one and then the byte;
 * -1: none. They are sorted. */
static int find_literal(const grammar *g, const grammar_node *n, int from, uint32_t count,
                        unsigned char byte) {
    const grammar_literal *all = g->literals + n->begin;
    const char *prefix = literal_bytes(g, &all[from]);
    for (int i = from; i < n->end - n->begin; i++) {
        const char *bytes = literal_bytes(g, &all[i]);
        if (all[i].size < count || memcmp(bytes, prefix, count) != 0) return -1;
        if (all[i].size > count && (unsigned char)bytes[count] == byte) return i;
        if (all[i].size > count && (unsigned char)bytes[count] > byte) return -1;
    }
    return -1;
}

/* The shortest literal that goes on from the frame's; for calls with what follows the name. */
static grammar_way literal_way(const grammar *g, const grammar_node *n, const grammar_frame *f) {
    const grammar_literal *all = g->literals + n->begin;
    const char *prefix = literal_bytes(g, &all[f->index]);
    grammar_way best = {GRAMMAR_NEED_CAP, 0};
    for (int i = f->index; i < n->end - n->begin; i++) {
        const char *bytes = literal_bytes(g, &all[i]);
        if (all[i].size < f->count || memcmp(bytes, prefix, f->count) != 0) break;
        uint32_t need = all[i].size - f->count;
        if (n->kind == NODE_CALLS) need += g->nodes[all[i].node].need;
        if (need < best.need)
            best = (grammar_way){need, all[i].size > f->count ? (unsigned char)bytes[f->count] : 0};
    }
    return best;
}

static const grammar_property *property_of(const grammar *g, const grammar_node *n, int index) {
    return &g->properties[n->begin + index];
}

static int property_count(const grammar_node *n) {
    return n->end - n->begin;
}

/* Bytes of the required properties from this one on, a comma before each. */
static uint32_t rest_of(const grammar *g, const grammar_node *n, int index) {
    return index < property_count(n) ? property_of(g, n, index)->need_rest : 0;
}

static uint32_t hash_byte(uint32_t hash, unsigned char byte) {
    return (hash ^ byte) * UINT32_C(16777619);
}

uint32_t grammar_hash(const char *bytes, size_t size) {
    uint32_t hash = GRAMMAR_HASH_START;
    for (size_t i = 0; i < size; i++) hash = hash_byte(hash, (unsigned char)bytes[i]);
    return hash;
}

static bool is_taken(const walker *w, const grammar_node *n, const grammar_frame *f,
                     uint32_t hash) {
    for (int i = 0; i < property_count(n); i++)
        if (property_of(w->g, n, i)->hash == hash) return true;
    for (int i = f->base; i < w->used_count; i++)
        if (w->used[i] == hash) return true;
    return false;
}

/* A letter that makes a key that nobody has of the one under way; 0: there is none. */
static unsigned char free_letter(const walker *w, const grammar_node *n, const grammar_frame *f,
                                 uint32_t hash) {
    for (unsigned char c = 'a'; c <= 'z'; c++)
        if (!is_taken(w, n, f, hash_byte(hash, c))) return c;
    return 0;
}

static bool takes_free_key(const walker *w, const grammar_node *n, const grammar_frame *f,
                           uint32_t room) {
    return n->item >= 0 && w->g->nodes[n->item].nest <= room && w->used_count < GRAMMAR_USED_CAP &&
           rest_of(w->g, n, f->index) == 0 && free_letter(w, n, f, GRAMMAR_HASH_START) != 0;
}

/* Of a key under way: its end, or a letter first. */
static grammar_way free_key_way(const walker *w, const grammar_node *n, const grammar_frame *f) {
    const uint32_t behind = w->g->nodes[n->item].need + (n->arguments ? 1 : 2) + 1;
    if (f->utf8 != STRING_PLAIN) {
        const grammar_way way = string_way(f);
        return (grammar_way){way.need + behind, way.byte}; /* one more: it may be taken then */
    }
    if (f->count > 0 && !is_taken(w, n, f, f->hash))
        return (grammar_way){behind, n->arguments ? '=' : f->quote};
    const unsigned char letter = free_letter(w, n, f, f->hash);
    return (grammar_way){letter != 0 ? 1 + behind : GRAMMAR_NEED_CAP, letter};
}

/* Whether the property has the bytes of the key under way. */
static bool is_candidate(const grammar *g, const grammar_node *n, const grammar_frame *f,
                         int index) {
    const grammar_property *p = property_of(g, n, index), *first = property_of(g, n, f->index);
    return p->size >= f->count && memcmp(g->bytes + p->at, g->bytes + first->at, f->count) == 0;
}

/* One behind the last property whose key may come now: the first required one. */
static int candidate_end(const grammar *g, const grammar_node *n, int index) {
    while (index < property_count(n) && !property_of(g, n, index)->required) index++;
    return index < property_count(n) ? index + 1 : index;
}

static void take_better(grammar_way *best, uint32_t need, unsigned char byte) {
    if (need < best->need || (need == best->need && byte < best->byte))
        *best = (grammar_way){need, byte};
}

/* Of a key that may be one of the schema's. */
static grammar_way key_way(const walker *w, const grammar_node *n, const grammar_frame *f,
                           uint32_t room) {
    const grammar *g = w->g;
    const uint32_t quote = n->arguments ? 1 : 2;
    grammar_way best = {GRAMMAR_NEED_CAP, 255};
    for (int i = f->index; i < candidate_end(g, n, f->index); i++) {
        const grammar_property *p = property_of(g, n, i);
        if (!is_candidate(g, n, f, i) || g->nodes[p->node].nest > room) continue;
        const uint32_t need =
            p->size - f->count + quote + g->nodes[p->node].need + rest_of(g, n, i + 1) + 1;
        const unsigned char end = n->arguments ? '=' : f->quote;
        take_better(&best, need,
                    p->size > f->count ? (unsigned char)g->bytes[p->at + f->count] : end);
    }
    if (n->item >= 0 && rest_of(g, n, f->index) == 0 && g->nodes[n->item].nest <= room) {
        const grammar_way way = free_key_way(w, n, f);
        take_better(&best, way.need, way.byte);
    }
    return best;
}

/* ---- Shortest ends, frame by frame ---- */

static grammar_way number_way(const grammar_frame *f) {
    const bool ends = f->phase == NUMBER_ZERO || f->phase == NUMBER_DIGITS ||
                      f->phase == NUMBER_FRACTION || f->phase == NUMBER_EXPONENT;
    return ends ? (grammar_way){0, 0} : (grammar_way){1, '0'};
}

static grammar_way array_way(const grammar *g, const grammar_node *n, const grammar_frame *f) {
    if (f->phase == ARRAY_START) return (grammar_way){n->need, '['};
    if (n->item < 0) return (grammar_way){1, ']'};
    const grammar_node *item = &g->nodes[n->item];
    uint32_t left = f->count < n->min ? n->min - f->count : 0;
    if (f->phase == ARRAY_COMMA && left == 0) left = 1;
    if (left == 0) return (grammar_way){1, ']'};
    const uint64_t need = (uint64_t)left * (item->need + 1) + (f->phase == ARRAY_ITEM);
    return (grammar_way){grammar_cap(need), f->phase == ARRAY_ITEM ? ',' : item->first};
}

/* After a comma, or after the beginning: the cheapest key. */
static grammar_way first_key_way(const walker *w, const grammar_node *n, const grammar_frame *f,
                                 uint32_t room) {
    const grammar *g = w->g;
    const int end = candidate_end(g, n, f->index);
    grammar_way best = {GRAMMAR_NEED_CAP, 255};
    for (int i = f->index; i < end; i++) {
        const grammar_property *p = property_of(g, n, i);
        if (g->nodes[p->node].nest > room) continue;
        const uint32_t need =
            p->size + (n->arguments ? 1 : 3) + g->nodes[p->node].need + rest_of(g, n, i + 1) + 1;
        take_better(&best, need, n->arguments ? (unsigned char)g->bytes[p->at] : '"');
    }
    if (takes_free_key(w, n, f, room))
        take_better(&best, (n->arguments ? 2 : 4) + g->nodes[n->item].need + 1,
                    n->arguments ? free_letter(w, n, f, GRAMMAR_HASH_START) : '"');
    return best;
}

static grammar_way object_way(const walker *w, const grammar_node *n, const grammar_frame *f,
                              uint32_t room) {
    const grammar *g = w->g;
    const unsigned char close = n->arguments ? ')' : '}';
    const bool free_key = f->count != 0; /* phases COLON and VALUE */
    const int index = f->index, next = free_key ? index : index + 1;
    uint32_t value = 0;
    unsigned char first = 0;
    if (f->phase == OBJECT_COLON || f->phase == OBJECT_VALUE) {
        const grammar_node *node = &g->nodes[free_key ? n->item : property_of(g, n, index)->node];
        value = node->need + rest_of(g, n, next) + 1;
        first = node->first;
    }
    switch (f->phase) {
    case OBJECT_START:
        return (grammar_way){n->need, '{'};
    case OBJECT_OPEN:
        if (rest_of(g, n, 0) == 0) return (grammar_way){1, close};
        return first_key_way(w, n, f, room);
    case OBJECT_KEY:
        return key_way(w, n, f, room);
    case OBJECT_FREE_KEY:
        return free_key_way(w, n, f);
    case OBJECT_COLON:
        return (grammar_way){value + 1, ':'};
    case OBJECT_VALUE:
        return (grammar_way){value, first};
    case OBJECT_COMMA:
        return first_key_way(w, n, f, room);
    default: /* OBJECT_DONE */
        if (rest_of(g, n, index) == 0) return (grammar_way){1, close};
        return (grammar_way){rest_of(g, n, index) + 1, ','};
    }
}

static grammar_way calls_way(const grammar *g, const grammar_node *n, const grammar_frame *f) {
    const grammar_frame start = {.node = f->node};
    grammar_way way;
    switch (f->phase) {
    case CALLS_START:
        return (grammar_way){n->need, '['};
    case CALLS_NAME:
    case CALLS_COMMA:
    case CALLS_BEGUN:
        way = literal_way(g, n, f->phase == CALLS_NAME ? f : &start);
        return (grammar_way){way.need + 1, way.byte};
    default: /* CALLS_DONE */
        return (grammar_way){1, ']'};
    }
}

/* room: objects and arrays that may still be opened. */
grammar_way grammar_frame_way(const walker *w, const grammar_frame *f, uint32_t room) {
    const grammar_node *n = &w->g->nodes[f->node];
    switch (n->kind) {
    case NODE_LITERALS:
        return literal_way(w->g, n, f);
    case NODE_STRING:
        return f->phase == 0 ? (grammar_way){2, '"'} : string_way(f);
    case NODE_INTEGER:
    case NODE_NUMBER:
        return number_way(f);
    case NODE_ARRAY:
        return array_way(w->g, n, f);
    case NODE_OBJECT:
        return object_way(w, n, f, room);
    case NODE_CALLS:
        return calls_way(w->g, n, f);
    case NODE_ANY_OF:
        return (grammar_way){n->need, n->first};
    case NODE_IMPOSSIBLE:
        break;
    }
    return (grammar_way){GRAMMAR_NEED_CAP, 0};
}

/* ---- A byte ---- */

typedef grammar_effect effect;

static effect literal_step(const grammar *g, const grammar_node *n, grammar_frame *f,
                           unsigned char byte) {
    const int found = find_literal(g, n, f->index, f->count, byte);
    const grammar_literal *l = &g->literals[n->begin + f->index];
    if (found < 0) return f->count > 0 && l->size == f->count ? ENDED : DIES;
    f->index = (uint16_t)found;
    f->count++;
    return STAYS;
}

static effect string_step(const grammar *g, grammar_frame *f, unsigned char byte) {
    if (f->phase == 0) {
        if (byte != '"' && !(g->python && byte == '\'')) return DIES;
        f->phase = 1;
        f->quote = byte;
        return STAYS;
    }
    if (f->utf8 == STRING_PLAIN && byte == f->quote) return ENDS;
    f->utf8 = grammar_string_step(g->python, true, f->quote, f->utf8, byte);
    return f->utf8 == STRING_DEAD ? DIES : STAYS;
}

static effect digit(grammar_frame *f, uint8_t phase, int cap) {
    if (f->phase != phase) f->index = 0;
    f->phase = phase;
    return f->index++ < cap ? STAYS : DIES;
}

/* 15 digits are exact in a double; two of an exponent cannot overflow one. */
static effect number_step(bool whole, grammar_frame *f, unsigned char byte) {
    const bool is_digit = byte >= '0' && byte <= '9';
    const uint8_t phase = f->phase;
    switch (phase) {
    case NUMBER_START:
    case NUMBER_MINUS:
        if (phase == NUMBER_START && byte == '-') {
            f->phase = NUMBER_MINUS;
            return STAYS;
        }
        if (!is_digit) return DIES;
        if (byte != '0') return digit(f, NUMBER_DIGITS, 15);
        f->phase = NUMBER_ZERO;
        return STAYS;
    case NUMBER_ZERO:
    case NUMBER_DIGITS:
        if (is_digit) return phase == NUMBER_DIGITS ? digit(f, NUMBER_DIGITS, 15) : DIES;
        break;
    case NUMBER_POINT:
        return is_digit ? digit(f, NUMBER_FRACTION, 15) : DIES;
    case NUMBER_FRACTION:
        if (is_digit) return digit(f, NUMBER_FRACTION, 15);
        break;
    case NUMBER_E:
    case NUMBER_SIGN:
        if (phase == NUMBER_E && (byte == '-' || byte == '+')) {
            f->phase = NUMBER_SIGN;
            return STAYS;
        }
        return is_digit ? digit(f, NUMBER_EXPONENT, 2) : DIES;
    default: /* NUMBER_EXPONENT */
        return is_digit ? digit(f, NUMBER_EXPONENT, 2) : ENDED;
    }
    if (!whole && byte == '.' && phase != NUMBER_FRACTION) {
        f->phase = NUMBER_POINT;
        return STAYS;
    }
    if (!whole && (byte == 'e' || byte == 'E')) {
        f->phase = NUMBER_E;
        return STAYS;
    }
    return ENDED;
}

/* White space: in JSON a line end, then spaces and tabs up to a limit; in Python one space, and
 * only where `here`. */
static bool takes_space(const grammar *g, grammar_frame *f, bool here, unsigned char byte) {
    if (byte != ' ' && (g->python || (byte != '\n' && byte != '\t'))) return false;
    if (byte == '\n' && f->spaces > 0) return false;
    if (f->spaces >= (g->python ? 1 : GRAMMAR_SPACE_CAP) || (g->python && !here)) return false;
    f->spaces++;
    return true;
}

static effect go(grammar_frame *f, uint8_t phase, effect e) {
    f->phase = phase;
    f->spaces = 0;
    return e;
}

static effect array_step(const grammar *g, const grammar_node *n, grammar_frame *f, uint32_t room,
                         unsigned char byte, int32_t *value) {
    if (f->phase == ARRAY_START) return byte == '[' ? go(f, ARRAY_OPEN, STAYS) : DIES;
    if (takes_space(g, f, f->phase == ARRAY_COMMA, byte)) return STAYS;
    const bool more = f->count < n->max && n->item >= 0 && g->nodes[n->item].nest <= room;
    if (byte == ']' && f->phase != ARRAY_COMMA) return f->count >= n->min ? ENDS : DIES;
    if (!more) return DIES;
    if (f->phase == ARRAY_ITEM) return byte == ',' ? go(f, ARRAY_COMMA, STAYS) : DIES;
    /* Items that nobody counts any more leave the frame as it is. */
    if (n->max != UINT32_MAX || f->count < n->min) f->count++;
    *value = n->item;
    return go(f, ARRAY_ITEM, OPENS);
}

/* The key is complete; free: it is none of the schema's. */
static effect end_key(const grammar_node *n, grammar_frame *f, bool free_key) {
    f->count = free_key;
    f->hash = 0;
    f->quote = 0;
    if (free_key) f->index = (uint16_t)property_count(n);
    return go(f, n->arguments ? OBJECT_VALUE : OBJECT_COLON, STAYS);
}

static effect end_free_key(walker *w, const grammar_node *n, grammar_frame *f) {
    if (f->count == 0 || f->utf8 != STRING_PLAIN || is_taken(w, n, f, f->hash)) return DIES;
    w->used[w->used_count] = f->hash;
    w->used_made = true;
    return end_key(n, f, true);
}

static bool is_name_byte(unsigned char byte, bool first) {
    return byte == '_' || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (!first && byte >= '0' && byte <= '9');
}

static effect free_key_step(walker *w, const grammar_node *n, grammar_frame *f,
                            unsigned char byte) {
    if (byte == (n->arguments ? '=' : f->quote) && f->utf8 == STRING_PLAIN)
        return end_free_key(w, n, f);
    if (n->arguments && !is_name_byte(byte, f->count == 0)) return DIES;
    f->utf8 = grammar_string_step(w->g->python, false, f->quote, f->utf8, byte);
    if (f->utf8 == STRING_DEAD) return DIES;
    f->hash = hash_byte(f->hash, byte);
    f->count++;
    return STAYS;
}

/* A key that may be one of the schema's, or, where others are allowed, become another. */
static effect key_step(walker *w, const grammar_node *n, grammar_frame *f, uint32_t room,
                       unsigned char byte) {
    const grammar *g = w->g;
    const bool may_be_free = n->item >= 0 && rest_of(g, n, f->index) == 0 &&
                             g->nodes[n->item].nest <= room && w->used_count < GRAMMAR_USED_CAP;
    const bool ends = byte == (n->arguments ? '=' : f->quote);
    for (int i = f->index; i < candidate_end(g, n, f->index); i++) {
        const grammar_property *p = property_of(g, n, i);
        if (!is_candidate(g, n, f, i) || g->nodes[p->node].nest > room) continue;
        if (p->size == f->count && ends) {
            f->index = (uint16_t)i;
            return end_key(n, f, false);
        }
        if (p->size == f->count || (unsigned char)g->bytes[p->at + f->count] != byte) continue;
        f->index = (uint16_t)i;
        f->hash = hash_byte(f->hash, byte);
        f->count++;
        return STAYS;
    }
    if (!may_be_free) return DIES;
    f->phase = OBJECT_FREE_KEY;
    return free_key_step(w, n, f, byte);
}

/* The first byte of a key, or its quote. */
static effect begin_key(walker *w, const grammar_node *n, grammar_frame *f, uint32_t room,
                        unsigned char byte) {
    const grammar *g = w->g;
    const bool free_key = takes_free_key(w, n, f, room);
    if (f->index >= property_count(n) && !free_key) return DIES;
    f->count = 0;
    f->hash = GRAMMAR_HASH_START;
    f->utf8 = STRING_PLAIN;
    go(f, f->index < property_count(n) ? OBJECT_KEY : OBJECT_FREE_KEY, STAYS);
    if (n->arguments)
        return f->phase == OBJECT_KEY ? key_step(w, n, f, room, byte)
                                      : free_key_step(w, n, f, byte);
    if (byte != '"' && !(g->python && byte == '\'')) return DIES;
    f->quote = byte;
    return STAYS;
}

static bool has_more_keys(const walker *w, const grammar_node *n, const grammar_frame *f,
                          uint32_t room) {
    for (int i = f->index; i < candidate_end(w->g, n, f->index); i++)
        if (w->g->nodes[property_of(w->g, n, i)->node].nest <= room) return true;
    return takes_free_key(w, n, f, room);
}

static effect object_step(walker *w, const grammar_node *n, grammar_frame *f, uint32_t room,
                          unsigned char byte, int32_t *value) {
    const grammar *g = w->g;
    const bool closes = byte == (n->arguments ? ')' : '}');
    switch (f->phase) {
    case OBJECT_START:
        return byte == '{' ? go(f, OBJECT_OPEN, STAYS) : DIES;
    case OBJECT_KEY:
        return key_step(w, n, f, room, byte);
    case OBJECT_FREE_KEY:
        return free_key_step(w, n, f, byte);
    case OBJECT_COLON:
        if (takes_space(g, f, false, byte)) return STAYS;
        return byte == ':' ? go(f, OBJECT_VALUE, STAYS) : DIES;
    case OBJECT_VALUE:
        if (!n->arguments && takes_space(g, f, true, byte)) return STAYS;
        *value = f->count != 0 ? n->item : property_of(g, n, f->index)->node;
        if (f->count == 0) f->index++;
        f->count = 0;
        return go(f, OBJECT_DONE, OPENS);
    default: /* OPEN, DONE, COMMA */
        break;
    }
    if (takes_space(g, f, f->phase == OBJECT_COMMA, byte)) return STAYS;
    if (closes && f->phase != OBJECT_COMMA) return rest_of(g, n, f->index) == 0 ? ENDS : DIES;
    if (f->phase != OBJECT_DONE) return begin_key(w, n, f, room, byte);
    return byte == ',' && has_more_keys(w, n, f, room) ? go(f, OBJECT_COMMA, STAYS) : DIES;
}

static effect calls_step(const grammar *g, const grammar_node *n, grammar_frame *f,
                         unsigned char byte, int32_t *value) {
    if (f->phase == CALLS_START) return byte == '[' ? go(f, CALLS_BEGUN, STAYS) : DIES;
    if (f->phase == CALLS_DONE) {
        if (byte == ']') return ENDS;
        return byte == ',' && f->base < GRAMMAR_CALL_CAP ? go(f, CALLS_COMMA, STAYS) : DIES;
    }
    if (takes_space(g, f, f->phase == CALLS_COMMA, byte)) return STAYS;
    if (f->phase != CALLS_NAME) {
        f->index = 0;
        f->count = 0;
        go(f, CALLS_NAME, STAYS);
    }
    if (literal_step(g, n, f, byte) != STAYS) return DIES;
    const grammar_literal *l = &g->literals[n->begin + f->index];
    if (l->size > f->count) return STAYS;
    *value = l->node; /* with the bracket behind the name, no name begins another */
    f->index = 0;
    f->count = 0;
    f->base++;
    return go(f, CALLS_DONE, OPENS_NEXT);
}

grammar_effect grammar_frame_step(walker *w, grammar_frame *f, uint32_t room, unsigned char byte,
                                  int32_t *value) {
    const grammar_node *n = &w->g->nodes[f->node];
    switch (n->kind) {
    case NODE_LITERALS:
        return literal_step(w->g, n, f, byte);
    case NODE_STRING:
        return string_step(w->g, f, byte);
    case NODE_INTEGER:
    case NODE_NUMBER:
        return number_step(n->kind == NODE_INTEGER, f, byte);
    case NODE_ARRAY:
        return array_step(w->g, n, f, room, byte, value);
    case NODE_OBJECT:
        return object_step(w, n, f, room, byte, value);
    case NODE_CALLS:
        return calls_step(w->g, n, f, byte, value);
    case NODE_ANY_OF:
    case NODE_IMPOSSIBLE:
        break;
    }
    return DIES;
}
