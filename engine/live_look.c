/* What the network for ends of turns says about a pause: asked at the guess, piece by piece, before
 * any other work on the clip; wanted by the turn machine at the earliest end (endpoint_waits). */
#include "engine/live.h"

#include "core/status.h"

static pass *pass_of(const rnl_live *l) {
    return l->session->pass;
}

void live_look_want(rnl_live *l) {
    l->look_wanted = l->turns.config.asks;
    live_look_drop(l); /* of the pause before */
}

void live_look_drop(rnl_live *l) {
    if (l->session != NULL && pass_of(l)->looking == l) pass_of(l)->looking = NULL;
}

/* The clip up to its guessed end, as far as the network hears. */
static void begin(rnl_live *l, pass *p) {
    const live_clip *c = &l->clip;
    const int64_t longest = c->end - TURN_WINDOW;
    p->looking = l;
    turn_look_reset(&p->look);
    for (int64_t at = c->begin > longest ? c->begin : longest; at < c->end;) {
        const int64_t begin = at % l->heard_cap, room = l->heard_cap - begin;
        const int64_t count = c->end - at < room ? c->end - at : room;
        turn_look_push(&p->look, l->heard + begin, (size_t)count);
        at += count;
    }
    turn_look_begin(&p->look);
}

rnl_status live_look_work(rnl_live *l) {
    pass *p = pass_of(l);
    if (!l->look_wanted) return RNL_AGAIN;
    if (p->looking != l && p->looking != NULL) return RNL_AGAIN; /* another's of the same batch */
    l->part_count++;
    if (p->looking != l) {
        begin(l, p);
        return RNL_OK;
    }
    if (turn_look_step(&p->look, &p->compute) == RNL_OK) return RNL_OK;
    l->look_wanted = false;
    l->work_count++;
    p->looking = NULL;
    l->answer = turn_look_probability(&p->look);
    endpoint_answer(&l->turns, l->answer);
    return RNL_OK;
}
