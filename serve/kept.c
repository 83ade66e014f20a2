/* Sessions of conversations that are over, kept for the next one of the same caller that begins as
 * one of them did. Engine thread.
 *
 *     one ends ──► kept_put ──► [oldest ... newest] ──► kept_take ──► one that begins alike
 *                                    └ goes where room is needed
 *
 * Which one goes on best is told by sums of the content that each began with; what of it is the
 * same after all the session itself finds out, position by position (rnl_session_renew), so no bit
 * of an answer depends on anything here. A kept session stands where an open one could stand, and
 * makes room for it. */
#include <stdlib.h>
#include <string.h>

#include "serve/work_inner.h"

/* What it was to be: of another caller or another kind of conversation it is of no use. */
static bool is_of_kind(const kept_session *k, const conversation *c) {
    const char *a = k->adapter, *b = c->config.adapter;
    const bool same_voice = a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
    return same_voice && k->caller == c->config.caller && k->generation == c->generation &&
           k->drop_oldest_turns == c->config.drop_oldest_turns;
}

static void forget_at(work *w, int index) {
    kept_session *k = &w->kept[index];
    rnl_session_destroy(&k->session);
    free(k->steps);
    w->kept_count--;
    memmove(k, k + 1, (size_t)(w->kept_count - index) * sizeof *k);
}

/* ---- Room ---- */

void kept_make_room(work *w, int wanted) {
    const int most = work_session_room(w);
    while (w->kept_count > 0 && w->session_count + w->kept_count + wanted > most) forget_at(w, 0);
}

bool kept_drop_oldest(work *w) {
    if (w->kept_count == 0) return false;
    forget_at(w, 0);
    return true;
}

void kept_forget_caller(work *w, uint64_t caller) {
    for (int i = w->kept_count - 1; i >= 0; i--)
        if (w->kept[i].caller == caller) forget_at(w, i);
}

void kept_look(work *w, int64_t now_us) {
    const int generation = atomic_load(&w->generation);
    for (int i = w->kept_count - 1; i >= 0; i--)
        if (w->kept[i].generation != generation ||
            now_us - w->kept[i].since_us > LIMIT_PREFIX_SECONDS * INT64_C(1000000))
            forget_at(w, i);
    kept_make_room(w, 0);
}

/* ---- Which one ---- */

static int alike(const kept_session *k, const conversation *c) {
    int count = 0;
    while (count < k->step_count && count < c->step_count && k->steps[count] == c->steps[count])
        count++;
    return count;
}

/* Whether more is won than lost: one that others go on from (with more behind what is the same than
 * a question) is left to them, as long as it need not go anyway. */
static bool may_go(const work *w, int index, int count) {
    const bool last_place = index == 0 && w->kept_count == LIMIT_PREFIXES_KEPT;
    return w->kept[index].step_count - count <= 1 || last_place;
}

rnl_session *kept_take(work *w, const conversation *c) {
    int best = -1, most = 0;
    for (int i = 0; i < w->kept_count; i++) {
        if (!is_of_kind(&w->kept[i], c)) continue;
        const int count = alike(&w->kept[i], c);
        if (count <= most || !may_go(w, i, count)) continue;
        most = count;
        best = i;
    }
    if (best < 0) return NULL;
    rnl_session *session = w->kept[best].session;
    w->kept[best].session = NULL; /* nothing to destroy */
    forget_at(w, best);
    return session;
}

/* ---- One more ---- */

/* The caller has no more than his share. */
static void make_share(work *w, const conversation *c) {
    int count = 0, oldest = -1;
    for (int i = w->kept_count - 1; i >= 0; i--) {
        if (w->kept[i].caller != c->config.caller) continue;
        count++;
        oldest = i;
    }
    if (count >= LIMIT_PREFIXES_OF_CALLER) forget_at(w, oldest);
}

bool kept_put(work *w, conversation *c, int64_t now_us) {
    if (c->config.caller == 0 || c->step_count == 0 || c->lost ||
        c->generation != atomic_load(&w->generation))
        return false;
    make_share(w, c);
    if (w->kept_count == LIMIT_PREFIXES_KEPT) forget_at(w, 0);
    /* Nothing of it is under way any more, and no pass looks at it. */
    rnl_session_renew(c->talker.session, 0);
    rnl_batch_want(c->talker.session, RNL_WANT_NOTHING, 0);
    w->kept[w->kept_count++] = (kept_session){.session = c->talker.session,
                                              .caller = c->config.caller,
                                              .generation = c->generation,
                                              .drop_oldest_turns = c->config.drop_oldest_turns,
                                              .adapter = c->config.adapter,
                                              .steps = c->steps,
                                              .step_count = c->step_count,
                                              .since_us = now_us};
    c->talker.session = NULL;
    c->steps = NULL;
    return true;
}

void kept_end(work *w) {
    while (kept_drop_oldest(w)) continue;
}
