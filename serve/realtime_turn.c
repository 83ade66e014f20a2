/* The user's turn: what the turn machine says becomes events, a clip of the model, an item, and a
 * response.
 *
 * The clip goes to the model while the user speaks, but never beyond where it may end, and only
 * while the model has all that stands before it: else the whole sound waits in the item. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/realtime_inner.h"

enum { FEED = 4096 /* samples given at once */ };

/* ---- The clip of the model ---- */

/* Up to here the model may have the clip: in a pause it may end guess_ms behind the speech. */
static int64_t feed_limit(const realtime *rt) {
    const endpoint *t = &rt->in.turns;
    if (rt->clip.guessed) return rt->clip.end;
    if (!t->silent) return rt->in.position;
    const int64_t end =
        rt->in.turn_base + t->speech_end + (int64_t)t->config.guess_ms * REALTIME_MS;
    return end < rt->in.position ? end : rt->in.position;
}

static bool may_feed(realtime *rt) {
    return rt->clip.open && rt->cut.item == NULL && realtime_active(rt) == NULL &&
           !rt->config.transcribes_only;
}

static void feed_to(realtime *rt, int64_t limit) {
    realtime_clip *c = &rt->clip;
    float piece[FEED];
    while (c->fed < limit) {
        size_t count = limit - c->fed < FEED ? (size_t)(limit - c->fed) : FEED;
        for (size_t i = 0; i < count; i++)
            piece[i] = rt->in.heard[(size_t)(c->fed + (int64_t)i) % rt->in.heard_cap];
        const size_t taken = rt->ops.clip_push(rt->ops.model, piece, count);
        c->fed += (int64_t)taken;
        if (taken < count) return;
    }
}

static void guess(realtime *rt) {
    realtime_clip *c = &rt->clip;
    const bool wanted = rt->config.speculates && rt->settings.detection.create_response &&
                        !rt->config.transcribes_only;
    if (!wanted || !c->guessed || c->guess_key != 0 || c->fed != c->end) return;
    const realtime_wish wish = realtime_settings_wish(&rt->settings);
    c->guess_key = realtime_new_key(rt);
    rt->ops.clip_guess(rt->ops.model, c->guess_key, &wish);
}

void realtime_feed(realtime *rt) {
    if (rt->over || !may_feed(rt)) return;
    if (!realtime_is_current(rt, &rt->settings)) realtime_bring_up(rt, &rt->settings);
    feed_to(rt, feed_limit(rt));
    guess(rt);
}

void realtime_unguess(realtime *rt) {
    if (rt->clip.guess_key == 0) return;
    rt->clip.guess_key = 0;
    rt->ops.clip_withdraw(rt->ops.model);
}

void realtime_unfeed(realtime *rt) {
    realtime_unguess(rt);
    if (rt->clip.open && rt->clip.fed > rt->clip.begin) {
        rt->ops.clip_drop(rt->ops.model);
        rt->clip.fed = rt->clip.begin;
    }
}

/* ---- Items of the user ---- */

/* All of the clip is behind the history, and belongs there. */
static bool is_fed(realtime *rt, int64_t begin, int64_t end) {
    const realtime_clip *c = &rt->clip;
    if (!may_feed(rt) || c->begin != begin || !realtime_is_current(rt, &rt->settings)) return false;
    if (c->fed > end) return false;
    feed_to(rt, end);
    return c->fed == end;
}

static realtime_item *user_item(realtime *rt, const char *id, bool sound) {
    realtime_item *item = realtime_item_new(REALTIME_USER, 1);
    if (item == NULL) return NULL;
    (void)snprintf(item->id, sizeof item->id, "%s", id);
    item->parts[0].kind = REALTIME_PART_SOUND;
    item->parts[0].format = rt->in.format;
    item->key = sound ? realtime_new_key(rt) : 0;
    return item;
}

static void transcribe(realtime *rt, const realtime_item *item, int64_t begin, int64_t end) {
    if (!rt->settings.transcribes && !rt->config.transcribes_only) return;
    float *samples = realtime_heard(rt, begin, end);
    if (samples == NULL) return;
    rt->ops.transcribe(rt->ops.model, item->key, samples, (size_t)(end - begin),
                       rt->settings.words[REALTIME_HEAR_LANGUAGE], rt->settings.logprobs);
}

/* The events of an item of the user at the end of the conversation. */
static void tell_committed(realtime *rt, realtime_item *item) {
    json_out *o = realtime_event(rt, "input_audio_buffer.committed");
    json_out_word(o, "previous_item_id",
                  rt->item_count > 0 ? rt->items[rt->item_count - 1]->id : NULL);
    json_out_word(o, "item_id", item->id);
    realtime_send(rt);
    realtime_insert(rt, item, rt->item_count);
    realtime_tell_added(rt, item);
    realtime_tell_done(rt, item);
}

/* The model has the clip, or gets it with the item. */
static void hand_over(realtime *rt, realtime_item *item, int64_t begin, int64_t end) {
    if (is_fed(rt, begin, end)) {
        rt->ops.clip_end(rt->ops.model, item->key);
        realtime_note_had(rt, item->key);
        return;
    }
    realtime_unfeed(rt);
    rt->clip.guess_key = 0;
    const size_t size = (size_t)(end - begin) * sizeof(float);
    /* Beyond that it is made from what is kept for the client. */
    if (rt->waiting_size + size > rt->config.sound_size_max || rt->config.transcribes_only) return;
    item->parts[0].heard = realtime_heard(rt, begin, end);
    item->parts[0].heard_count = (size_t)(end - begin);
    rt->waiting_size += item->parts[0].heard != NULL ? size : 0;
}

void realtime_commit(realtime *rt, const char *item_id, int64_t begin, int64_t end) {
    if (rt->cut.item != NULL) realtime_settle(rt);
    realtime_item *item = user_item(rt, item_id, true);
    size_t count = 0;
    int16_t *raw = realtime_raw(rt, begin, end, &count);
    if (item == NULL || raw == NULL) {
        free(raw);
        realtime_item_drop(&item);
        realtime_end(rt, API_ENGINE_FAILURE, "Memory is exhausted", 1011);
        return;
    }
    hand_over(rt, item, begin, end);
    tell_committed(rt, item);
    realtime_keep_sound(rt, &item->parts[0], raw, count);
    free(raw);
    rt->in.buffer_begin = end;
    realtime_go_ahead(rt);
    if (!rt->over) transcribe(rt, item, begin, end); /* which takes up what the model was given */
    realtime_item_drop(&item);
}

/* ---- Turn events ---- */

static void tell_turn(realtime *rt, const char *type, const char *key, int64_t position) {
    json_out *o = realtime_event(rt, type);
    json_out_int(o, key, realtime_ms(rt, position));
    json_out_word(o, "item_id", rt->clip.item_id);
    realtime_send(rt);
}

/* Somebody speaks into a reply. How long it took to stop is counted in his sound: all that came
 * since he began. */
static void barge_in(realtime *rt, const turn_event *e) {
    const realtime_input *in = &rt->in;
    if (realtime_active(rt) != NULL || realtime_is_playing(rt)) {
        const int64_t pending = (int64_t)(in->pending_count - in->pending_at);
        realtime_observe(rt, METRIC_BARGE_IN,
                         (in->heard_in - e->speech_begin) * 1000 / REALTIME_MS +
                             pending * 1000000 / in->format.rate);
    }
    realtime_interrupt(rt, "turn_detected");
}

static void on_confirmed(realtime *rt, const turn_event *e) {
    realtime_clip *c = &rt->clip;
    rt->idle_us = INT64_MAX;
    *c = (realtime_clip){.open = true, .begin = e->clip_begin};
    if (c->begin < rt->in.buffer_begin) c->begin = rt->in.buffer_begin;
    c->fed = c->begin;
    id_make(c->item_id, "item_");
    tell_turn(rt, "input_audio_buffer.speech_started", "audio_start_ms", c->begin);
    if (rt->settings.detection.interrupt_response) barge_in(rt, e);
}

/* How finished does it sound? Asked about the clip up to where it would end. */
static void ask(realtime *rt) {
    realtime_clip *c = &rt->clip;
    if (!rt->in.turns.config.asks) return;
    float *samples = realtime_heard(rt, c->begin, c->end);
    c->asked_key = realtime_new_key(rt);
    if (samples != NULL)
        rt->ops.ask_finished(rt->ops.model, c->asked_key, samples, (size_t)(c->end - c->begin));
    else
        endpoint_answer(&rt->in.turns, 0.5f);
}

static void on_guess(realtime *rt, const turn_event *e) {
    rt->clip.guessed = true;
    rt->clip.end = e->clip_end;
    ask(rt);
    realtime_feed(rt);
}

static void on_withdrawn(realtime *rt) {
    realtime_unguess(rt);
    rt->clip.guessed = false;
    rt->clip.asked_key = 0;
}

/* The turn ends there: its item is committed. */
static void end_at(realtime *rt, int64_t end) {
    realtime_clip *c = &rt->clip;
    if (c->guessed && c->end != end) realtime_unguess(rt);
    tell_turn(rt, "input_audio_buffer.speech_stopped", "audio_end_ms", end);
    char id[REALTIME_ID_CAP];
    memcpy(id, c->item_id, sizeof id);
    realtime_commit(rt, id, c->begin, end);
    c->open = c->guessed = false;
    c->asked_key = 0;
    realtime_go_ahead(rt);
}

/* goes_on: it was cut by length in the midst of a word, so nobody waits for an answer. */
static void on_end(realtime *rt, const turn_event *e, bool goes_on) {
    if (goes_on) realtime_unguess(rt);
    end_at(rt, e->clip_end);
    const uint32_t key = rt->clip.guess_key;
    rt->clip.guess_key = 0;
    const bool wanted = rt->settings.detection.create_response && !rt->config.transcribes_only;
    if (wanted && !goes_on && !rt->over && realtime_active(rt) == NULL) realtime_respond(rt, key);
}

void realtime_turn_event(realtime *rt, const turn_event *e, bool goes_on) {
    switch (e->kind) {
    case TURN_ONSET:
    case TURN_REJECTED:
        break;
    case TURN_CONFIRMED:
        on_confirmed(rt, e);
        break;
    case TURN_GUESS:
        if (rt->clip.open) on_guess(rt, e);
        break;
    case TURN_WITHDRAWN:
        if (rt->clip.open) on_withdrawn(rt);
        break;
    case TURN_END:
        if (rt->clip.open) on_end(rt, e, goes_on);
        break;
    }
}

void realtime_end_turn(realtime *rt, int64_t end) {
    if (!rt->clip.open) return;
    realtime_unguess(rt);
    end_at(rt, end);
    realtime_input_set_detection(rt);
}

void realtime_forget_turn(realtime *rt) {
    realtime_unfeed(rt);
    rt->clip = (realtime_clip){0};
    realtime_input_set_detection(rt);
}

void realtime_finished(realtime *rt, const realtime_news_item *news) {
    if (rt->clip.asked_key == 0 || news->key != rt->clip.asked_key) return;
    rt->clip.asked_key = 0;
    endpoint_answer(&rt->in.turns, news->probability);
    realtime_hear(rt);
}

/* ---- Nobody says anything ---- */

void realtime_arm_idle(realtime *rt) {
    const int ms = rt->settings.detection.idle_ms;
    if (ms == 0 || rt->clip.open) return;
    const int64_t until = realtime_playing_until(rt);
    rt->idle_us = (until > rt->now_us ? until : rt->now_us) + (int64_t)ms * 1000;
}

static realtime_item *follow_up(realtime *rt) {
    static const char words[] = "The user has said nothing for a while. Follow up briefly.";
    realtime_item *item = realtime_item_new(REALTIME_SYSTEM, 1);
    if (item == NULL) return NULL;
    id_make(item->id, "item_");
    item->key = realtime_new_key(rt);
    if (!realtime_part_say(&item->parts[0], words, strlen(words))) realtime_item_drop(&item);
    return item;
}

void realtime_idle(realtime *rt) {
    rt->idle_us = INT64_MAX;
    if (rt->clip.open || realtime_active(rt) != NULL || rt->config.transcribes_only) return;
    char id[REALTIME_ID_CAP];
    id_make(id, "item_");
    realtime_item *asks = follow_up(rt), *silence = user_item(rt, id, false);
    if (asks == NULL || silence == NULL || !realtime_part_say(&silence->parts[0], "", 0)) {
        realtime_item_drop(&asks);
        realtime_item_drop(&silence);
        return;
    }
    json_out *o = realtime_event(rt, "input_audio_buffer.timeout_triggered");
    json_out_int(o, "audio_start_ms", realtime_ms(rt, rt->in.buffer_begin));
    json_out_int(o, "audio_end_ms", realtime_ms(rt, rt->in.position));
    json_out_word(o, "item_id", id);
    realtime_send(rt);
    realtime_insert(rt, asks, rt->item_count);
    realtime_tell_added(rt, asks);
    realtime_tell_done(rt, asks);
    tell_committed(rt, silence);
    rt->in.buffer_begin = rt->in.position;
    realtime_item_drop(&asks);
    realtime_item_drop(&silence);
    realtime_respond(rt, 0);
}
