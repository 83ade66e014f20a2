/* The conversation: what the turn machine says becomes a clip, a guess, a reply, an interruption.
 *
 *     LISTEN ─ confirmed ─► CLIP ─ guess: snapshot, reply in silence ─ end ─► REPLY ─► LISTEN
 *                            ▲     withdrawn: restore, the clip goes on        │
 *                            └────────── CUTTING: rewind to what was heard ◄───┘ confirmed
 *
 * With backchannel_ms the reply is held first: live_hold.c.
 *
 * The clip is given to the session while the user speaks, but never beyond where it may end. */
#include "engine/live.h"

#include <string.h>

#include "core/status.h"

/* ---- The clip ---- */

static void open_clip(rnl_live *l, const turn_event *e) {
    l->phase = LIVE_CLIP;
    l->clip = (live_clip){.begin = e->clip_begin, .fed = e->clip_begin};
    l->answer = -1;
    l->turn.hold_count = l->turn.call_count = 0;
    l->calls = (live_calls){.told = false};
    for (int i = 0; i < RNL_LIVE_MARK_COUNT; i++) l->turn.mark_us[i] = -1;
    l->unstamped = 0;
    (void)live_tell(l, RNL_LIVE_HEARING);
}

/* Up to here the session may have the clip: in a pause it may end guess_ms behind the speech. */
static int64_t feed_limit(const rnl_live *l) {
    const live_clip *c = &l->clip;
    const endpoint *t = &l->turns;
    if (c->guessed || c->ended) return c->end;
    if (!t->spoken) return c->begin; /* push-to-talk before the first word: the clip still moves */
    if (!t->silent) return l->turns.position;
    const int64_t end = t->speech_end + (int64_t)t->config.guess_ms * (RNL_RATE_IN / 1000);
    return end < t->position ? end : t->position;
}

static rnl_status feed(rnl_live *l, int64_t limit, rnl_error *error) {
    live_clip *c = &l->clip;
    float piece[LIVE_FEED];
    size_t count = (size_t)(limit - c->fed);
    if (count > LIVE_FEED) count = LIVE_FEED;
    for (size_t i = 0; i < count; i++) piece[i] = l->heard[(c->fed + (int64_t)i) % l->heard_cap];
    const rnl_status status = rnl_session_push_audio(l->session, piece, count, RNL_RATE_IN, error);
    if (status != RNL_OK) return status;
    c->fed += (int64_t)count;
    return RNL_OK;
}

/* The clip moved (push-to-talk), or ends before what the session has of it (cut by length). */
static void feed_anew(rnl_live *l, int64_t begin) {
    rnl_session_cancel_audio(l->session);
    l->clip.begin = l->clip.fed = begin;
}

/* ---- The reply ---- */

/* Positions that a clip and the beginning of the reply take at most. */
static int positions_of(int64_t sample_count) {
    enum { HEADERS = 32 };
    return session_clip_positions(sample_count) + HEADERS;
}

/* A guess must not drop old turns: that cannot be taken back. */
static bool may_guess(const rnl_live *l) {
    return l->config.speculation && rnl_session_position_count(l->session) +
                                            positions_of(l->clip.end - l->clip.begin) +
                                            SESSION_CLOSE_CAP <=
                                        l->config.session.context_cap;
}

static rnl_status begin_reply(rnl_live *l, rnl_error *error) {
    rnl_status status = rnl_session_snapshot(l->session, LIVE_SLOT, error);
    if (status == RNL_OK) status = rnl_session_begin(l->session, &l->config.turn, error);
    if (status != RNL_OK) return status;
    live_output_reset(l);
    l->calls = (live_calls){.told = false};
    l->said_size = l->heard_size = 0;
    l->reply.begun = true;
    l->reply.speculated = l->clip.guessed && !l->clip.ended;
    return RNL_OK;
}

/* The guess was wrong: everything is as it was inside the clip. */
static rnl_status take_back(rnl_live *l, rnl_error *error) {
    l->reply.begun = false;
    live_output_reset(l);
    for (int i = RNL_LIVE_T4; i < RNL_LIVE_MARK_COUNT; i++) l->turn.mark_us[i] = -1;
    l->unstamped &= (1u << RNL_LIVE_T4) - 1;
    return rnl_session_restore(l->session, LIVE_SLOT, error);
}

static void commit_reply(rnl_live *l) {
    rnl_live_turn *t = &l->turn;
    l->phase = LIVE_REPLY;
    t->clip_begin = l->clip.begin - l->input_delay;
    t->clip_end = l->clip.end - l->input_delay;
    t->mark_us[RNL_LIVE_T0] = live_adc_us(l, l->clip.speech_end - 1);
    t->mark_us[RNL_LIVE_T1] = live_push_us(l, l->clip.speech_end - 1);
    live_tell_text(l);
    live_calls_tell(l);
}

/* ---- The end of a reply ---- */

/* What the model is not to see of the conversation any more. */
static void forget(rnl_live *l) {
    if (l->config.history_turns > 0)
        session_keep_exchanges(l->session, l->config.history_turns - 1);
}

/* Old turns go now, while nobody waits, and many at once: what stays has to be read again. */
static void make_room(rnl_live *l) {
    const int cap = l->config.session.context_cap;
    const int clip = positions_of((int64_t)(l->config.turn_seconds_max * RNL_RATE_IN));
    int wanted = clip + l->config.turn.step_max;
    if (wanted > cap / 2) wanted = cap / 2;
    if (rnl_session_position_count(l->session) + wanted + SESSION_CLOSE_CAP <= cap) return;
    if (!l->config.session.drop_oldest_turns) return;
    rnl_status status = rnl_session_reserve(l->session, cap / 2, NULL);
    if (status != RNL_OK) status = rnl_session_reserve(l->session, wanted, NULL);
    (void)status; /* no room even so: the turn that does not fit says it */
}

void live_count_reply(rnl_live *l) {
    rnl_reply reply;
    rnl_session_get_reply(l->session, &reply);
    for (size_t i = 0; i < reply.frame_count; i++) {
        bool audible = true;
        for (int k = 0; k < reply.codebook_count; k++)
            audible = audible && reply.frames[i * (size_t)reply.codebook_count + (size_t)k] <
                                     codec_code_count(&l->model->codec);
        l->frame_count += audible;
    }
    l->sample_count += l->reply.made - l->reply.made_before;
}

/* The turn is over, its event tells all; then somebody may speak. */
static void tell_turn(rnl_live *l, bool barged_in) {
    rnl_live_turn *t = &l->turn;
    rnl_reply reply;
    rnl_session_get_reply(l->session, &reply);
    t->index = ++l->turn_count;
    t->barged_in = barged_in;
    t->speculated = l->reply.speculated;
    t->finish = reply.finish;
    t->text_count = l->reply.text_before + (int)reply.text_count;
    t->frame_count = l->reply.frame_before + (int)reply.frame_count;
    t->sound_begin = l->reply.started ? l->reply.pulled_begin : -1;
    t->sound_audible = l->reply.audible;
    t->sound_count = l->reply.pulled;
    t->played_count = l->reply.pulled - l->reply.dropped;
    t->trimmed_count = l->reply.trimmed;
    t->underrun_count = l->reply.underruns;
    t->slack_us = l->reply.slack_us < INT64_MAX ? l->reply.slack_us : live_made_us(l);
    t->text_us_max = l->reply.text_us_max;
    t->frame_us_max = l->reply.frame_us_max;
    if (!barged_in) live_count_reply(l);
    if (l->reply.ducked) (void)live_tell(l, RNL_LIVE_UNDUCK);
    l->reply.begun = l->reply.ducked = false;
    live_tell(l, RNL_LIVE_TURN)->turn = *t;
}

static void end_reply(rnl_live *l) {
    l->done_owed += !l->reply.told_done;
    live_tell_text(l);
    live_output_note_heard(l);
    tell_turn(l, false);
    l->phase = LIVE_LISTEN;
    (void)live_tell(l, RNL_LIVE_LISTENING);
    forget(l);
    make_room(l);
}

/* ---- Interruption ---- */

static void cut_reply(rnl_live *l, const turn_event *e) {
    l->phase = LIVE_CUTTING;
    l->next = *e;
    l->continues = e->continues;
    l->cut_dropped = 0;
    l->reply.ducked = false; /* a cut ends that, too */
    l->cut_done = live_output_cut(l);
    if (l->reply.started) (void)live_tell(l, RNL_LIVE_CUT);
}

void live_cut_held(rnl_live *l) {
    cut_reply(l, &l->hold.begin);
}

/* The queue is empty: the history becomes what was heard, and the user's new clip begins. A turn
 * that only paused before anything was heard of the reply goes on: its clips make one turn. */
static rnl_status finish_cut(rnl_live *l, rnl_error *error) {
    rnl_status status;
    l->reply.dropped = (int64_t)l->cut_dropped;
    l->queued = 0;
    const size_t played = live_played(l);
    live_output_note_heard(l);
    if (l->continues && played == 0 && rnl_session_restore(l->session, LIVE_SLOT, NULL) == RNL_OK) {
        status = rnl_session_end_audio(l->session, error);
        l->reply.begun = false;
    } else {
        /* Behind results of its calls nothing can be taken off a reply. */
        if (l->calls.answered > 0)
            status = RNL_OK;
        else
            status = rnl_session_rewind(l->session, live_played_of_part(l), error);
        if (status == RNL_OK) {
            tell_turn(l, true);
            forget(l);
        }
    }
    if (status != RNL_OK) return status;
    live_output_reset(l);
    open_clip(l, &l->next);
    live_hold_replay(l);
    return RNL_OK;
}

/* ---- Events of the turn machine ---- */

static void on_onset(rnl_live *l, const turn_event *e) {
    l->suspected = true;
    l->speech_us = live_adc_us(l, e->speech_begin);
    (void)live_tell(l, RNL_LIVE_SUSPECTED);
    if (!live_is_speaking(l)) return;
    l->reply.ducked = true;
    live_output_duck(l, true);
    (void)live_tell(l, RNL_LIVE_DUCK);
}

static void on_rejected(rnl_live *l) {
    l->suspected = false;
    (void)live_tell(l, RNL_LIVE_FALSE_ALARM);
    if (l->reply.ducked) {
        l->reply.ducked = false;
        live_output_duck(l, false);
        (void)live_tell(l, RNL_LIVE_UNDUCK);
    }
    if (l->phase != LIVE_CLIP) return;
    feed_anew(l, l->position); /* push-to-talk: the key was released without a word */
    l->phase = LIVE_LISTEN;
    (void)live_tell(l, RNL_LIVE_LISTENING);
}

static void on_confirmed(rnl_live *l, const turn_event *e) {
    l->suspected = false;
    if (l->phase == LIVE_REPLY && live_output_is_over(l)) end_reply(l);
    if (l->phase != LIVE_REPLY)
        open_clip(l, e);
    else if (live_hold_may_begin(l, e))
        live_hold_begin(l, e);
    else
        cut_reply(l, e);
}

static rnl_live_end_rule rule_of(const turn_event *e) {
    static const rnl_live_end_rule by_zone[] = {[TURN_MIDDLE] = RNL_LIVE_END_MIDDLE,
                                                [TURN_SURE] = RNL_LIVE_END_SURE,
                                                [TURN_LONG] = RNL_LIVE_END_LONG,
                                                [TURN_LEARNED] = RNL_LIVE_END_LEARNED};
    switch (e->reason) {
    case TURN_BY_SILENCE:
        break;
    case TURN_BY_LENGTH:
        return RNL_LIVE_END_LENGTH;
    case TURN_BY_RELEASE:
        return RNL_LIVE_END_RELEASE;
    case TURN_BY_FINISH:
        return RNL_LIVE_END_FINISH;
    }
    return by_zone[e->zone];
}

static void on_end(rnl_live *l, const turn_event *e) {
    l->look_wanted = false; /* the input was over before the answer came */
    live_look_drop(l);
    l->turn.end_rule = rule_of(e);
    l->turn.end_probability = (double)l->answer;
    l->clip.ended = true;
    l->clip.end = e->clip_end;
    l->clip.speech_end = e->speech_end;
    l->turn.mark_us[RNL_LIVE_T3] = l->now_us;
    (void)live_tell(l, RNL_LIVE_THINKING);
}

void live_turn_event(rnl_live *l, const turn_event *e) {
    if (l->phase == LIVE_HELD) {
        live_hold_event(l, e);
        return;
    }
    switch (e->kind) {
    case TURN_ONSET:
        on_onset(l, e);
        break;
    case TURN_REJECTED:
        on_rejected(l);
        break;
    case TURN_CONFIRMED:
        on_confirmed(l, e);
        break;
    case TURN_GUESS:
        l->clip.guessed = true;
        l->clip.end = e->clip_end;
        l->clip.speech_end = e->speech_end;
        live_look_want(l);
        (void)live_tell(l, RNL_LIVE_END_GUESSED);
        break;
    case TURN_WITHDRAWN:
        l->clip.guessed = l->look_wanted = false;
        live_look_drop(l);
        (void)live_tell(l, RNL_LIVE_GUESS_WITHDRAWN);
        break;
    case TURN_END:
        on_end(l, e);
        break;
    }
}

bool live_is_urgent(const rnl_live *l) {
    if (l->phase == LIVE_CUTTING || live_hold_is_due(l)) return true;
    return l->phase == LIVE_CLIP && l->clip.ended;
}

bool live_is_speaking(const rnl_live *l) {
    return l->phase == LIVE_REPLY && l->reply.started && !live_output_is_silent(l);
}

/* ---- Work ---- */

/* The clip: give it to the session, begin the reply, take a guess back. RNL_AGAIN: nothing to do
 * here. */
static rnl_status work_on_clip(rnl_live *l, rnl_error *error) {
    live_clip *c = &l->clip;
    if (l->reply.begun) {
        const bool same = c->guessed || c->ended;
        if (!same || c->fed != c->end) return take_back(l, error);
        if (!c->ended) return RNL_AGAIN;
        commit_reply(l);
        return RNL_OK;
    }
    if (rnl_session_stage(l->session) == RNL_STAGE_ENCODE)
        return RNL_AGAIN; /* of this turn's part */
    if (l->turns.config.push_to_talk && !c->ended && !c->guessed && c->begin != l->turns.clip_begin)
        feed_anew(l, l->turns.clip_begin);
    const int64_t limit = feed_limit(l);
    if (c->fed > limit && (c->guessed || c->ended)) feed_anew(l, c->begin);
    if (c->fed < limit) return feed(l, limit, error);
    if (!c->ended && !(c->guessed && may_guess(l))) return RNL_AGAIN;
    return begin_reply(l, error);
}

/* The end of the turn is sure and what was answered at the guess is the answer. */
static bool may_commit(const rnl_live *l) {
    return l->phase == LIVE_CLIP && l->reply.begun && l->clip.ended && l->clip.fed == l->clip.end;
}

rnl_status live_work_once(rnl_live *l, rnl_error *error) {
    /* A step that was begun goes on first, but for what asks nothing of the session. */
    if (l->session->stepping && !may_commit(l))
        return l->phase == LIVE_CLIP ? live_look_work(l) : RNL_AGAIN;
    if (l->phase == LIVE_HELD) return live_hold_work(l);
    if (l->phase == LIVE_CUTTING) return l->cut_done ? finish_cut(l, error) : RNL_AGAIN;
    if (l->phase == LIVE_CLIP) {
        const rnl_status status = live_look_work(l);
        return status == RNL_AGAIN ? work_on_clip(l, error) : status;
    }
    if (l->phase != LIVE_REPLY) return RNL_AGAIN;
    live_tell_text(l);
    const rnl_status status = live_calls_work(l, error);
    if (status != RNL_AGAIN) return status;
    if (!live_output_is_over(l)) return RNL_AGAIN;
    end_reply(l);
    return RNL_OK;
}
