/* A reply that was interrupted: when it stopped, what was heard of it, what the model keeps. The
 * server sends faster than sound plays and has no loudspeaker: it goes by the client's word, and by
 * an estimate where none comes (server.md A.5). */
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"
#include "serve/realtime_inner.h"

enum {
    LATE_US = 80000,  /* from a delta written to its sound, at least */
    LENIENT_MS = 100, /* that a client may be behind the end of a reply */
    SAMPLES_PER_MS = RNL_RATE_OUT / 1000
};

/* Samples that a byte of text takes, before a reply was measured (as rnl_session_heard_text). */
static const double pace_start = 1500.0;

/* ---- What plays ---- */

size_t realtime_played(const realtime_item *item, int64_t at_us) {
    const int64_t us = at_us - item->first_us - LATE_US;
    if (item->made == 0 || us <= 0) return 0;
    const double samples = (double)us * RNL_RATE_OUT / 1e6;
    return samples < (double)item->made ? (size_t)samples : item->made;
}

int64_t realtime_playing_until(const realtime *rt) {
    const realtime_item *item = rt->speaking;
    if (item == NULL) return INT64_MIN;
    return item->first_us + (int64_t)item->made * 1000 / SAMPLES_PER_MS + LATE_US;
}

bool realtime_is_playing(const realtime *rt) {
    return realtime_playing_until(rt) > rt->now_us;
}

bool realtime_is_talking(const realtime *rt, int64_t now_us) {
    return rt->clip.open || rt->responses[0].key != 0 || realtime_playing_until(rt) > now_us;
}

/* ---- What was heard ---- */

void realtime_learn_pace(realtime *rt, const realtime_item *item) {
    if (!realtime_item_has_speech(item) || item->said_made == 0) return;
    rt->pace.size += (double)item->parts[0].said_size;
    rt->pace.samples += (double)item->said_made;
}

/* Of the words those remain that so many samples speak. */
static void cut_words(const realtime *rt, realtime_item *item, size_t samples) {
    realtime_part *part = &item->parts[0];
    double pace = rt->pace.size > 0 ? rt->pace.samples / rt->pace.size : pace_start;
    if (item->whole && part->said_size > 0 && item->said_made > 0)
        pace = (double)item->said_made / (double)part->said_size;
    part->size = part->said_size;
    if (samples < item->said_made || !item->whole)
        part->size = utf8_words_before(part->text, part->said_size, (double)samples / pace);
}

/* ---- The cut ---- */

/* So much of the reply was heard: the model keeps no more. It can be cut where it stands last, and
 * is read again where something stands behind it. */
static void cut_history(realtime *rt, realtime_item *item, size_t samples) {
    const bool last = rt->had_count > 0 && rt->had[rt->had_count - 1] == item->key;
    if (item->settled || (item->whole && samples == item->said_made)) return;
    realtime_unfeed(rt);
    if (last)
        rt->ops.truncate(rt->ops.model, item->key, item->made_before + samples);
    else
        realtime_part_from(rt, item->key);
    item->settled = true;
}

static void stop_playing(realtime *rt, const realtime_item *item) {
    if (rt->speaking == item) realtime_item_drop(&rt->speaking);
}

void realtime_settle(realtime *rt) {
    realtime_item *item = rt->cut.item;
    if (item == NULL) return;
    const size_t samples = realtime_played(item, rt->cut.at_us);
    cut_words(rt, item, samples);
    cut_history(rt, item, samples);
    realtime_item_drop(&rt->cut.item);
}

void realtime_interrupt(realtime *rt, const char *reason) {
    realtime_response *r = realtime_active(rt);
    const bool made = r != NULL && rt->speaking != NULL && rt->speaking->key == r->key;
    realtime_item *item = made || realtime_is_playing(rt) ? realtime_item_hold(rt->speaking) : NULL;
    rt->idle_us = INT64_MAX;
    if (r != NULL) {
        const uint32_t key = r->behind_history ? r->key : 0;
        const bool silent = r->item_count == 0;
        rt->ops.cancel(rt->ops.model, r->key);
        realtime_response_end(rt, r, "cancelled", reason, NULL);
        /* Nothing was told of it: for the model, too, nothing was said. */
        if (silent && key != 0) rt->ops.truncate(rt->ops.model, key, 0);
    }
    if (item == NULL) return;
    stop_playing(rt, item);
    realtime_settle(rt); /* of an earlier one */
    rt->cut = (realtime_cut){item, rt->now_us};
}

/* ---- The client's word ---- */

static realtime_item *speech_of(realtime *rt, const json *event, api_error *f) {
    const char *id = realtime_text_of(json_get(event, "item_id"), REALTIME_ID_CAP - 1);
    const int index = id != NULL ? realtime_find(rt, id) : -1;
    if (json_get(event, "item_id") == NULL)
        (void)realtime_refuse(f, API_MISSING_PARAMETER, "item_id",
                              "Missing required parameter: 'item_id'");
    else if (index < 0)
        (void)realtime_refuse(f, API_ITEM_NOT_FOUND, "item_id",
                              "There is no item '%.64s' in the conversation", id != NULL ? id : "");
    else if (!realtime_item_has_speech(rt->items[index]))
        (void)realtime_refuse(f, API_INVALID_VALUE, "item_id",
                              "Only an assistant message with audio can be truncated");
    return f->code == API_OK ? rt->items[index] : NULL;
}

static bool read_end(const json *event, const realtime_item *item, int64_t *ms, api_error *f) {
    int64_t part;
    const int64_t made_ms = (int64_t)(item->made / SAMPLES_PER_MS);
    if (!json_int(json_get(event, "content_index"), 0, 0, &part))
        return realtime_refuse(f, API_INVALID_VALUE, "content_index",
                               "Invalid 'content_index': the sound is part 0");
    if (!json_int(json_get(event, "audio_end_ms"), 0, INT32_MAX, ms))
        return realtime_refuse(f, API_INVALID_VALUE, "audio_end_ms",
                               "Invalid 'audio_end_ms': whole milliseconds from 0 on are expected");
    if (*ms > made_ms + LENIENT_MS)
        return realtime_refuse(f, API_INVALID_VALUE, "audio_end_ms",
                               "Audio content of %lldms is already shorter than %lldms",
                               (long long)made_ms, (long long)*ms);
    return true;
}

static void cut_sound(realtime *rt, realtime_item *item, int64_t ms) {
    realtime_part *part = &item->parts[0];
    const size_t count = (size_t)(ms * part->format.rate / 1000);
    if (part->samples == NULL || count >= part->count) return;
    rt->sound_size -= (part->count - count) * sizeof *part->samples;
    part->count = count;
}

bool realtime_do_truncate(realtime *rt, const json *event, api_error *f) {
    int64_t ms;
    realtime_item *item = speech_of(rt, event, f);
    if (item == NULL || !read_end(event, item, &ms, f)) return false;
    (void)realtime_item_hold(item);
    /* Who truncates what is still being made wants no more of it. */
    if (item->status == REALTIME_IN_PROGRESS) realtime_interrupt(rt, "client_cancelled");
    if (rt->cut.item == item) realtime_item_drop(&rt->cut.item);
    const size_t asked = (size_t)ms * SAMPLES_PER_MS;
    const size_t samples = asked < item->made ? asked : item->made;
    realtime_unguess(rt);
    cut_words(rt, item, samples);
    cut_history(rt, item, samples);
    cut_sound(rt, item, ms);
    item->made = samples;
    stop_playing(rt, item);
    json_out *o = realtime_event(rt, "conversation.item.truncated");
    json_out_word(o, "item_id", item->id);
    json_out_int(o, "content_index", 0);
    json_out_int(o, "audio_end_ms", ms);
    realtime_send(rt);
    realtime_item_drop(&item);
    return true;
}
