/* Looks of the network for ends of turns: asked by the loop thread, done by the engine thread. A
 * look has two holders, one in each thread; the last one frees it. */
#include <assert.h>
#include <stdlib.h>

#include "core/clock.h"
#include "engine/batch.h"
#include "serve/work_inner.h"

enum {
    RESERVE_US = 60000, /* of who is playing: below it passes go first, */
    DELAY_MAX = 4       /* but no more of them than this for each piece */
};

struct work_look {
    work *work;
    float *samples; /* [count] */
    size_t count;
    void (*ready)(void *context);
    void *context;
    float probability;
    atomic_bool answered; /* the probability is there */
    atomic_bool closed;   /* by the loop thread */
    atomic_int holders;

    /* Loop thread. */
    bool told;
    work_look *open_next, *open_before;

    /* Engine thread. */
    bool begun;
    work_look *next;
};

static void leave(work_look *l) {
    if (atomic_fetch_sub(&l->holders, 1) > 1) return;
    free(l->samples);
    free(l);
}

/* ---- Loop thread ---- */

bool work_takes_looks(const work *w) {
    return batch_takes_looks(w->batch);
}

work_look *work_look_open(work *w, float *samples, size_t count, void (*ready)(void *context),
                          void *context) {
    assert(work_takes_looks(w));
    work_look *l = calloc(1, sizeof *l);
    if (l == NULL) {
        free(samples);
        return NULL;
    }
    *l = (work_look){
        .work = w, .samples = samples, .count = count, .ready = ready, .context = context};
    atomic_init(&l->holders, 2);
    if (ring_write(w->looks_asked, &l, 1) != 1) {
        free(samples);
        free(l);
        return NULL;
    }
    l->open_next = w->looks_open;
    if (l->open_next != NULL) l->open_next->open_before = l;
    w->looks_open = l;
    work_note_asked(w);
    return l;
}

bool work_look_answer(const work_look *l, float *probability) {
    if (!atomic_load(&l->answered)) return false;
    *probability = l->probability;
    return true;
}

void work_look_close(work_look **out) {
    work_look *l = *out;
    if (l == NULL) return;
    *out = NULL;
    if (l->open_before != NULL)
        l->open_before->open_next = l->open_next;
    else
        l->work->looks_open = l->open_next;
    if (l->open_next != NULL) l->open_next->open_before = l->open_before;
    atomic_store(&l->closed, true);
    leave(l);
}

void looks_dispatch(work *w) {
    /* ready() may close this one and others, and open new ones: begin again behind each. */
    for (work_look *l = w->looks_open; l != NULL;) {
        if (l->told || !atomic_load(&l->answered)) {
            l = l->open_next;
            continue;
        }
        l->told = true;
        l->ready(l->context);
        l = w->looks_open;
    }
}

/* ---- Engine thread ---- */

static void take_asked(work *w) {
    work_look *l;
    while (ring_read(w->looks_asked, &l, 1) == 1) {
        if (w->looks_first == NULL)
            w->looks_first = l;
        else
            w->looks_last->next = l;
        w->looks_last = l;
    }
}

static void leave_first(work *w) {
    work_look *l = w->looks_first;
    batch_look_drop(w->batch, l);
    w->looks_first = l->next;
    w->look_delay = 0;
    leave(l);
}

static bool piece(work *w, work_look *l) {
    if (!l->begun && batch_look_begin(w->batch, l, l->samples, l->count) != RNL_OK) return false;
    l->begun = true;
    if (batch_look_step(w->batch, l, &l->probability) == RNL_OK) return true;
    atomic_store(&l->answered, true);
    w->spoke = true;
    leave_first(w);
    return false;
}

bool looks_step(work *w, bool passed, bool spare, int64_t reserve_us) {
    take_asked(w);
    while (w->looks_first != NULL && atomic_load(&w->looks_first->closed)) leave_first(w);
    if (w->looks_first == NULL) return false;
    const bool waits = passed && reserve_us < RESERVE_US && w->look_delay < DELAY_MAX;
    w->look_delay = waits ? w->look_delay + 1 : 0;
    if (waits) return true;
    batch_stamp(w->batch, clock_us()); /* this is not the time of that pass */
    /* Never more than one between two passes. */
    while (piece(w, w->looks_first) && spare) continue;
    return true;
}

/* ---- Life ---- */

bool looks_create(work *w) {
    return ring_create(OPEN_CAP, sizeof(work_look *), &w->looks_asked) == RNL_OK;
}

void looks_destroy(work *w) {
    if (w->looks_asked != NULL) take_asked(w);
    while (w->looks_first != NULL) leave_first(w);
    ring_destroy(&w->looks_asked);
}
