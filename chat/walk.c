/* A state is the threads by which its text can be read; a byte takes each of them on. Where one of
 * several schemas may fit, a thread becomes several; those that end up alike become one. */
#include <string.h>

#include "chat/step.h"

static size_t thread_size(const grammar_thread *t) {
    return offsetof(grammar_thread, frames) + (size_t)t->depth * sizeof *t->frames;
}

void grammar_copy(grammar_state *to, const grammar_state *from) {
    to->thread_count = from->thread_count;
    to->used_count = from->used_count;
    for (int i = 0; i < from->thread_count; i++)
        memcpy(&to->threads[i], &from->threads[i], thread_size(&from->threads[i]));
}

/* Objects and arrays that may be opened above the frame at this height. */
static uint32_t room_at(const grammar *g, int height) {
    const int outer = g->python ? 2 : 0; /* the list of calls, the arguments */
    const int open = height + 1 - outer;
    return open >= GRAMMAR_NEST_CAP ? 0 : (uint32_t)(GRAMMAR_NEST_CAP - (open > 0 ? open : 0));
}

static void push(const walker *w, grammar_thread *t, int32_t node) {
    const grammar_node *n = &w->g->nodes[node];
    grammar_frame f = {.node = node};
    if (n->kind == NODE_OBJECT) {
        f.base = (uint16_t)w->used_count;
        f.phase = n->arguments ? OBJECT_OPEN : OBJECT_START;
    }
    if (t->depth > 0) {
        const grammar_frame *below = &t->frames[t->depth - 1];
        const grammar_way way = grammar_frame_way(w, below, room_at(w->g, t->depth - 1));
        f.need = grammar_cap((uint64_t)way.need + below->need);
    }
    t->frames[t->depth++] = f;
}

void grammar_begin(const grammar *g, grammar_state *s) {
    const walker w = {.g = g};
    s->thread_count = 1;
    s->used_count = 0;
    s->threads[0].depth = 0;
    push(&w, &s->threads[0], g->root);
}

static grammar_way thread_way(const walker *w, const grammar_thread *t) {
    for (int height = t->depth - 1; height >= 0; height--) {
        const grammar_frame *f = &t->frames[height];
        grammar_way way = grammar_frame_way(w, f, room_at(w->g, height));
        if (way.need == 0) continue; /* ends without a byte */
        way.need = grammar_cap((uint64_t)way.need + f->need);
        return way;
    }
    return (grammar_way){0, 0};
}

static void add_thread(const walker *w, grammar_state *s, const grammar_thread *t) {
    const size_t size = thread_size(t);
    for (int i = 0; i < s->thread_count; i++)
        if (memcmp(&s->threads[i], t, size) == 0) return;
    int at = s->thread_count;
    if (at == GRAMMAR_THREAD_CAP) {
        /* The one that has the longest way to its end goes: what stays is right all the same. */
        uint32_t longest = thread_way(w, t).need;
        for (int i = 0; i < s->thread_count; i++) {
            const uint32_t need = thread_way(w, &s->threads[i]).need;
            if (need > longest) longest = need, at = i;
        }
        if (at == GRAMMAR_THREAD_CAP) return;
    } else {
        s->thread_count++;
    }
    memcpy(&s->threads[at], t, size);
}

/* Takes a thread, which it changes, a byte on and adds what comes of it. */
static void feed(walker *w, grammar_thread *t, unsigned char byte, grammar_state *to) {
    while (t->depth > 0) {
        grammar_frame *f = &t->frames[t->depth - 1];
        const grammar_node *n = &w->g->nodes[f->node];
        const uint32_t room = room_at(w->g, t->depth - 1);
        int32_t value = -1;
        if (n->kind == NODE_ANY_OF) {
            const uint32_t below = room_at(w->g, t->depth - 2);
            for (int i = n->begin; i < n->end; i++) {
                const int32_t node = w->g->alternatives[i];
                if (w->g->nodes[node].nest > below) continue;
                grammar_thread other;
                memcpy(&other, t, thread_size(t));
                other.depth--;
                push(w, &other, node);
                feed(w, &other, byte, to);
            }
            return;
        }
        switch (grammar_frame_step(w, f, room, byte, &value)) {
        case STAYS:
            break;
        case ENDS:
            t->depth--;
            break;
        case ENDED:
            t->depth--;
            continue;
        case OPENS:
            push(w, t, value);
            continue;
        case OPENS_NEXT:
            push(w, t, value);
            break;
        case DIES:
            return;
        }
        add_thread(w, to, t);
        return;
    }
}

bool grammar_step(const grammar *g, const grammar_state *from, uint32_t *used, unsigned char byte,
                  grammar_state *to) {
    walker w = {.g = g, .used = used, .used_count = from->used_count};
    to->thread_count = 0;
    for (int i = 0; i < from->thread_count; i++) {
        grammar_thread t;
        memcpy(&t, &from->threads[i], thread_size(&from->threads[i]));
        feed(&w, &t, byte, to);
    }
    to->used_count = from->used_count + w.used_made;
    return to->thread_count > 0;
}

bool grammar_may_end(const grammar *g, const grammar_state *s) {
    const walker w = {.g = g, .used_count = s->used_count};
    for (int i = 0; i < s->thread_count; i++) {
        const grammar_thread *t = &s->threads[i];
        if (t->depth == 0) return true;
        const node_kind kind = g->nodes[t->frames[0].node].kind;
        const bool silent = kind == NODE_LITERALS || kind == NODE_INTEGER || kind == NODE_NUMBER;
        if (t->depth == 1 && silent && grammar_frame_way(&w, t->frames, 0).need == 0) return true;
    }
    return false;
}

uint32_t grammar_need(const grammar *g, const grammar_state *s, const uint32_t *used) {
    const walker w = {.g = g, .used = (uint32_t *)used, .used_count = s->used_count};
    uint32_t need = GRAMMAR_NEED_CAP;
    for (int i = 0; i < s->thread_count; i++) {
        const grammar_way way = thread_way(&w, &s->threads[i]);
        if (way.need < need) need = way.need;
    }
    return need;
}

unsigned char grammar_next(const grammar *g, const grammar_state *s, const uint32_t *used) {
    const walker w = {.g = g, .used = (uint32_t *)used, .used_count = s->used_count};
    grammar_way best = {GRAMMAR_NEED_CAP, 255};
    for (int i = 0; i < s->thread_count; i++) {
        const grammar_way way = thread_way(&w, &s->threads[i]);
        if (way.need < best.need || (way.need == best.need && way.byte < best.byte)) best = way;
    }
    return best.byte;
}

unsigned char grammar_in_string(const grammar *g, const grammar_state *s, bool *key) {
    for (int i = 0; i < s->thread_count; i++) {
        const grammar_thread *t = &s->threads[i];
        if (t->depth == 0) continue;
        const grammar_frame *f = &t->frames[t->depth - 1];
        const grammar_node *n = &g->nodes[f->node];
        *key = n->kind == NODE_OBJECT;
        if (f->utf8 != STRING_PLAIN) continue;
        if (n->kind == NODE_STRING && f->phase == 1) return f->quote;
        if (n->kind == NODE_OBJECT && f->phase == OBJECT_FREE_KEY && !n->arguments) return f->quote;
    }
    return 0;
}
