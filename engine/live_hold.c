/* A reply that is held: somebody speaks into it, and may only mean that he listens.
 *
 *     REPLY ─ confirmed ─► HELD ─ longer than backchannel_ms ───────────────► cut
 *       ▲                   └─ shorter, and HOLD_SILENCE_MS of silence: hear ─┤
 *       └──────────────────────────────────────────── words of the list ◄─────┘
 *
 * Holding loses nothing, so less speech confirms than where it cuts (hold_odds, live.c).
 *
 * When it is decided is a function of the samples alone: at that place listening waits until what
 * was said has been heard (live_is_urgent). Until then the session is not asked for anything. What
 * the turn machine says meanwhile about the interruption is kept: where the reply is cut, it counts
 * for the new clip. */
#include "engine/live.h"

#include <string.h>

#include "core/status.h"
#include "engine/backchannel.h"

static int64_t samples_of(int ms) {
    return (int64_t)ms * (RNL_RATE_IN / 1000);
}

/* What was spoken so far, pauses within it included. */
static int64_t spoken(const rnl_live *l) {
    const endpoint *t = &l->turns;
    const int64_t end = l->hold.ended ? l->hold.end.speech_end
                        : t->silent   ? t->speech_end
                                      : t->position;
    return end - l->hold.begin.speech_begin;
}

static bool is_short(const rnl_live *l) {
    return spoken(l) <= samples_of(l->backchannel_ms);
}

void live_hold_reset(rnl_live *l) {
    l->hold = (live_hold){.silent_us = -1};
}

bool live_hold_may_begin(const rnl_live *l, const turn_event *e) {
    if (l->backchannel_ms == 0 || l->config.push_to_talk) return false;
    if (!l->reply.started || e->continues) return false;
    return e->position - e->speech_begin <= samples_of(l->backchannel_ms);
}

void live_hold_begin(rnl_live *l, const turn_event *e) {
    l->phase = LIVE_HELD;
    live_hold_reset(l);
    l->hold.begin = *e;
    l->reply.ducked = false; /* a hold ends that, too */
    live_output_hold(l);
    (void)live_tell(l, RNL_LIVE_HOLD);
}

void live_hold_event(rnl_live *l, const turn_event *e) {
    live_hold *h = &l->hold;
    if (e->kind == TURN_GUESS) h->guess = *e;
    if (e->kind == TURN_GUESS || e->kind == TURN_WITHDRAWN) h->guessed = e->kind == TURN_GUESS;
    if (e->kind != TURN_END) return;
    h->end = *e;
    h->ended = true;
}

bool live_hold_is_due(const rnl_live *l) {
    const endpoint *t = &l->turns;
    if (l->phase != LIVE_HELD || l->waiting_at < l->waiting.count) return false;
    if (l->hold.ended || !is_short(l)) return true;
    return t->silent && t->position - t->speech_end >= samples_of(LIVE_HOLD_SILENCE_MS);
}

/* It was none: the reply goes on, and the conversation has not heard of it. */
static void resume(rnl_live *l) {
    live_hold_reset(l);
    l->phase = LIVE_REPLY;
    endpoint_dismiss(&l->turns);
    live_output_resume(l);
    l->turn.hold_count++;
    (void)live_tell(l, RNL_LIVE_RESUME);
}

rnl_status live_hold_work(rnl_live *l) {
    char text[LIVE_HOLD_TEXT_CAP];
    size_t size = 0;
    if (!live_hold_is_due(l)) return RNL_AGAIN;
    if (is_short(l)) {
        const rnl_status status = l->hear(l, text, sizeof text, &size);
        if (status == RNL_OK) return RNL_OK;
        if (status == RNL_DONE && backchannel_is(text, size)) {
            resume(l);
            return RNL_OK;
        }
    }
    live_cut_held(l);
    return RNL_OK;
}

void live_hold_replay(rnl_live *l) {
    const live_hold h = l->hold;
    live_hold_reset(l);
    if (l->turns.silent || h.ended) l->turn.mark_us[RNL_LIVE_T2] = h.silent_us;
    if (h.guessed) live_turn_event(l, &h.guess);
    if (h.ended) live_turn_event(l, &h.end);
}
