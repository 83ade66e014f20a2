/* Responses: begun, made from the model's news, ended. Always one response.created first and one
 * response.done last, every item added before it is done, every part closed before its item. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/realtime_inner.h"

/* ---- The response object ---- */

static int input_of(const realtime_usage *u) {
    return u->input_text + u->input_audio + u->input_image;
}

static int cached_of(const realtime_usage *u) {
    return u->cached_text + u->cached_audio + u->cached_image;
}

static void write_usage(const realtime_usage *u, json_out *o) {
    const int input = input_of(u), output = u->output_text + u->output_audio;
    json_out_object(o, "usage");
    json_out_int(o, "total_tokens", input + output);
    json_out_int(o, "input_tokens", input);
    json_out_int(o, "output_tokens", output);
    json_out_object(o, "input_token_details");
    json_out_int(o, "text_tokens", u->input_text);
    json_out_int(o, "audio_tokens", u->input_audio);
    json_out_int(o, "image_tokens", u->input_image);
    json_out_int(o, "cached_tokens", cached_of(u));
    json_out_object(o, "cached_tokens_details");
    json_out_int(o, "text_tokens", u->cached_text);
    json_out_int(o, "audio_tokens", u->cached_audio);
    json_out_int(o, "image_tokens", u->cached_image);
    json_out_end(o);
    json_out_end(o);
    json_out_object(o, "output_token_details");
    json_out_int(o, "text_tokens", u->output_text);
    json_out_int(o, "audio_tokens", u->output_audio);
    json_out_end(o);
    json_out_end(o);
}

/* How it ended; status NULL: it is being made. */
typedef struct ending {
    const char *status, *reason, *message;
    api_code code;
} ending;

static void write_details(const ending *end, json_out *o) {
    if (end->status == NULL || strcmp(end->status, "completed") == 0) {
        json_out_null(o, "status_details");
        return;
    }
    json_out_object(o, "status_details");
    json_out_word(o, "type", end->status);
    if (end->code == API_OK) {
        json_out_word(o, "reason", end->reason);
    } else {
        json_out_object(o, "error");
        json_out_word(o, "type", api_code_type(end->code));
        json_out_word(o, "code", api_code_text(end->code));
        json_out_word(o, "message", end->message);
        json_out_end(o);
    }
    json_out_end(o);
}

static void tell_response(realtime *rt, const realtime_response *r, const char *type,
                          const ending *end) {
    const realtime_view view = {.beta = rt->beta};
    json_out *o = realtime_event(rt, type);
    json_out_object(o, "response");
    json_out_word(o, "object", "realtime.response");
    json_out_word(o, "id", r->id);
    json_out_word(o, "status", end->status != NULL ? end->status : "in_progress");
    write_details(end, o);
    json_out_array(o, "output");
    for (int i = 0; i < r->item_count; i++) realtime_item_write(r->items[i], &view, NULL, o);
    json_out_end(o);
    json_out_word(o, "conversation_id", r->in_conversation ? rt->conversation_id : NULL);
    realtime_settings_write_response(&r->settings, rt->beta, o);
    if (end->status != NULL)
        write_usage(&r->usage, o);
    else
        json_out_null(o, "usage");
    json_out_end(o);
    realtime_send(rt);
}

/* ---- Places ---- */

realtime_response *realtime_active(realtime *rt) {
    return rt->responses[0].key != 0 ? &rt->responses[0] : NULL;
}

realtime_response *realtime_response_place(realtime *rt, bool in_conversation) {
    const int first = in_conversation ? 0 : 1;
    const int end = in_conversation ? 1 : REALTIME_RESPONSE_CAP;
    for (int i = first; i < end; i++)
        if (rt->responses[i].key == 0) return &rt->responses[i];
    return NULL;
}

static realtime_response *response_of(realtime *rt, uint32_t key) {
    for (int i = 0; i < REALTIME_RESPONSE_CAP; i++)
        if (key != 0 && rt->responses[i].key == key) return &rt->responses[i];
    return NULL;
}

void realtime_response_free(realtime_response *r) {
    for (int i = 0; i < r->item_count; i++) realtime_item_drop(&r->items[i]);
    realtime_settings_free(&r->settings);
    resampler_destroy(&r->resampler);
    memset(r, 0, sizeof *r);
}

void realtime_response_begin(realtime *rt, realtime_response *r, realtime_settings *settings,
                             uint32_t key) {
    assert(r->key == 0);
    const bool in_conversation = r == &rt->responses[0];
    *r = (realtime_response){.key = key != 0 ? key : realtime_new_key(rt),
                             .in_conversation = in_conversation,
                             .behind_history = in_conversation,
                             .settings = *settings,
                             .asked_us = rt->now_us};
    memset(settings, 0, sizeof *settings);
    id_make(r->id, "resp_");
    const ending none = {0};
    rt->idle_us = INT64_MAX;
    tell_response(rt, r, "response.created", &none);
}

void realtime_respond(realtime *rt, uint32_t key) {
    realtime_settings settings;
    if (!realtime_settings_copy(&rt->settings, &settings)) {
        realtime_end(rt, API_ENGINE_FAILURE, "Memory is exhausted", 1011);
        return;
    }
    realtime_bring_up(rt, &settings);
    realtime_response *r = &rt->responses[0];
    realtime_response_begin(rt, r, &settings, key);
    const realtime_wish wish = realtime_settings_wish(&r->settings);
    rt->ops.respond(rt->ops.model, r->key, &wish);
}

/* ---- Items of a response ---- */

static realtime_item *current(realtime_response *r) {
    return r->items[r->item_count - 1];
}

/* An event about the part of the current item. */
static json_out *part_event(realtime *rt, realtime_response *r, const char *type) {
    json_out *o = realtime_event(rt, type);
    json_out_word(o, "response_id", r->id);
    json_out_word(o, "item_id", current(r)->id);
    json_out_int(o, "output_index", r->item_count - 1);
    if (current(r)->role == REALTIME_ASSISTANT) json_out_int(o, "content_index", 0);
    return o;
}

static void tell_output_item(realtime *rt, realtime_response *r, const char *type) {
    const realtime_view view = {.beta = rt->beta};
    json_out *o = realtime_event(rt, type);
    json_out_word(o, "response_id", r->id);
    json_out_int(o, "output_index", r->item_count - 1);
    realtime_item_write(current(r), &view, "item", o);
    realtime_send(rt);
}

static void tell_part(realtime *rt, realtime_response *r, const char *type) {
    const realtime_part *part = &current(r)->parts[0];
    const bool text = part->kind == REALTIME_PART_TEXT;
    json_out *o = part_event(rt, r, type);
    json_out_object(o, "part");
    json_out_word(o, "type", text ? "text" : "audio");
    json_out_text(o, text ? "text" : "transcript", part->text != NULL ? part->text : "",
                  part->size);
    json_out_end(o);
    realtime_send(rt);
}

/* A new item, in progress; NULL: there are too many, or memory is exhausted. */
static realtime_item *open_item(realtime_response *r, realtime_role role) {
    realtime_item *item = NULL;
    if (r->item_count < REALTIME_OUTPUT_CAP) item = realtime_item_new(role, 1);
    if (item == NULL) return NULL;
    id_make(item->id, "item_");
    item->key = r->key;
    item->status = REALTIME_IN_PROGRESS;
    for (int i = 0; i < r->item_count; i++) item->made_before += r->items[i]->made;
    r->items[r->item_count++] = item;
    return item;
}

static void tell_opened(realtime *rt, realtime_response *r) {
    tell_output_item(rt, r, "response.output_item.added");
    if (!r->in_conversation) return;
    realtime_insert(rt, current(r), rt->item_count);
    realtime_tell_added(rt, current(r));
}

static bool open_message(realtime *rt, realtime_response *r) {
    if (r->open) return true;
    realtime_item *item = open_item(r, REALTIME_ASSISTANT);
    if (item == NULL) return false;
    item->parts[0].kind = r->settings.text_only ? REALTIME_PART_TEXT : REALTIME_PART_SOUND;
    item->parts[0].format = r->settings.out;
    r->open = true;
    tell_opened(rt, r);
    tell_part(rt, r, "response.content_part.added");
    return true;
}

/* The events that end the current item, whatever it is. */
static void tell_closed(realtime *rt, realtime_response *r, bool whole) {
    realtime_item *item = current(r);
    item->status = whole ? REALTIME_COMPLETED : REALTIME_INCOMPLETE;
    if (r->in_conversation) realtime_tell_done(rt, item);
    tell_output_item(rt, r, "response.output_item.done");
}

static void close_message(realtime *rt, realtime_response *r, bool whole) {
    if (!r->open) return;
    const realtime_part *part = &current(r)->parts[0];
    const bool text = part->kind == REALTIME_PART_TEXT;
    if (!text) {
        (void)part_event(rt, r, "response.output_audio.done");
        realtime_send(rt);
    }
    json_out *o = part_event(
        rt, r, text ? "response.output_text.done" : "response.output_audio_transcript.done");
    json_out_text(o, text ? "text" : "transcript", part->text != NULL ? part->text : "",
                  part->size);
    realtime_send(rt);
    tell_part(rt, r, "response.content_part.done");
    r->open = false;
    tell_closed(rt, r, whole);
}

/* ---- What the model makes ---- */

static bool take_text(realtime *rt, realtime_response *r, const realtime_news_item *news) {
    if (news->size == 0) return true;
    if (!open_message(rt, r)) return false;
    realtime_part *part = &current(r)->parts[0];
    if (!realtime_part_say(part, news->text, news->size)) return false;
    json_out *o =
        part_event(rt, r,
                   part->kind == REALTIME_PART_TEXT ? "response.output_text.delta"
                                                    : "response.output_audio_transcript.delta");
    json_out_text(o, "delta", news->text, news->size);
    realtime_send(rt);
    return true;
}

/* Samples at the rate of the response's format go out. */
static void tell_sound(realtime *rt, realtime_response *r, const float *samples, size_t count,
                       unsigned char *bytes) {
    int16_t *rounded = (int16_t *)(void *)bytes;
    realtime_item *item = current(r);
    realtime_sound_round(samples, count, rounded);
    if (r->in_conversation && realtime_find(rt, item->id) >= 0)
        realtime_keep_sound(rt, &item->parts[0], rounded, count);
    /* In place: a sample is written where it was read, or before. */
    const size_t size = realtime_sound_encode(r->settings.out, rounded, count, bytes);
    json_out *o = part_event(rt, r, "response.output_audio.delta");
    json_out_base64(o, "delta", bytes, size);
    realtime_send(rt);
    rt->has_spoken = true;
}

/* Everything that samples become at the format's rate; at the end with count 0 the rest. At most
 * cap values; NULL: memory is exhausted. */
static float *to_rate(realtime_response *r, const float *samples, size_t count, size_t *made) {
    enum { REST = 4096 }; /* of a resampler, beyond what goes in */
    const size_t cap = 2 * count + REST;
    float *out = malloc(cap * sizeof *out);
    size_t got, taken;
    *made = 0;
    for (size_t at = 0; at < count && out != NULL;) {
        resampler_push(r->resampler, samples + at, count - at, &taken, out + *made, cap - *made,
                       &got);
        at += taken;
        *made += got;
    }
    while (count == 0 && out != NULL) {
        resampler_finish(r->resampler, out + *made, cap - *made, &got);
        *made += got;
        if (got == 0) break;
    }
    return out;
}

static bool ready_resampler(realtime_response *r) {
    if (r->settings.out.rate == RNL_RATE_OUT || r->resampler != NULL) return true;
    if (resampler_create(&r->resampler) != RNL_OK) return false;
    resampler_set_block(r->resampler, RNL_RATE_OUT / 200); /* 5 ms */
    resampler_begin(r->resampler, RNL_RATE_OUT, r->settings.out.rate);
    return true;
}

/* count 0: the rest that the resampler has. */
static bool send_sound(realtime *rt, realtime_response *r, const float *samples, size_t count) {
    float *changed = NULL;
    if (!ready_resampler(r)) return false;
    if (r->resampler != NULL) {
        size_t made;
        changed = to_rate(r, samples, count, &made);
        if (changed == NULL) return false;
        samples = changed;
        count = made;
    }
    unsigned char *bytes = count > 0 ? malloc(2 * count) : NULL;
    const bool whole = count == 0 || bytes != NULL;
    if (bytes != NULL) tell_sound(rt, r, samples, count, bytes);
    free(bytes);
    free(changed);
    return whole;
}

static bool take_sound(realtime *rt, realtime_response *r, const realtime_news_item *news) {
    if (news->count == 0 || r->settings.text_only) return true;
    if (!open_message(rt, r)) return false;
    realtime_item *item = current(r);
    if (!send_sound(rt, r, news->samples, news->count)) return false;
    if (item->made == 0) item->first_us = rt->now_us;
    if (r->in_conversation && !r->sounded)
        realtime_observe(rt, METRIC_FIRST_AUDIO, rt->now_us - r->asked_us);
    r->sounded = true;
    item->made += news->count;
    item->said_made = item->made;
    if (!r->in_conversation || rt->speaking == item) return true;
    realtime_item_drop(&rt->speaking);
    rt->speaking = realtime_item_hold(item);
    return true;
}

static bool take_call(realtime *rt, realtime_response *r, const realtime_news_item *news) {
    close_message(rt, r, true);
    realtime_item *item = open_item(r, REALTIME_CALL);
    if (item == NULL) return false;
    if (!realtime_part_say(&item->parts[0], news->text, news->size)) {
        realtime_item_drop(&r->items[--r->item_count]); /* nobody was told of it */
        return false;
    }
    (void)snprintf(item->name, sizeof item->name, "%s", news->name);
    id_make(item->call_id, "call_");
    tell_opened(rt, r);
    json_out *o = part_event(rt, r, "response.function_call_arguments.delta");
    json_out_word(o, "call_id", item->call_id);
    json_out_text(o, "delta", news->text, news->size);
    realtime_send(rt);
    o = part_event(rt, r, "response.function_call_arguments.done");
    json_out_word(o, "call_id", item->call_id);
    json_out_word(o, "name", item->name);
    json_out_text(o, "arguments", news->text, news->size);
    realtime_send(rt);
    tell_closed(rt, r, true);
    return true;
}

/* ---- The end ---- */

/* What the model has of it now stands in its history, or was made elsewhere. */
static void note_reply(realtime *rt, realtime_response *r, const ending *end) {
    if (end->code != API_OK && end->code != API_SERVER_OVERLOADED) {
        rt->has_prompt = false; /* nobody knows what the model still has */
        return;
    }
    if (!r->behind_history)
        realtime_part_from(rt, r->key);
    else if (r->item_count > 0)
        realtime_note_had(rt, r->key);
}

static void end_response(realtime *rt, realtime_response *r, const ending *end) {
    const bool whole = strcmp(end->status, "completed") == 0;
    close_message(rt, r, whole);
    tell_response(rt, r, "response.done", end);
    const realtime_usage *u = &r->usage;
    realtime_tell_limits(rt, input_of(u) - cached_of(u) + u->output_text + u->output_audio);
    if (r->in_conversation) note_reply(rt, r, end);
    if (r->in_conversation) rt->astray = false;
    const bool arms = r->in_conversation && strcmp(end->status, "cancelled") != 0;
    realtime_response_free(r);
    if (arms) realtime_arm_idle(rt);
}

void realtime_response_end(realtime *rt, realtime_response *r, const char *status,
                           const char *reason, const char *message) {
    const ending end = {.status = status, .reason = reason, .message = message};
    end_response(rt, r, &end);
}

static void take_end(realtime *rt, realtime_response *r, const realtime_news_item *news) {
    const bool limit = news->finish == RNL_FINISH_LIMIT || news->finish == RNL_FINISH_CONTEXT;
    const bool stopped = news->finish == RNL_FINISH_STOPPED;
    char message[API_MESSAGE_CAP];
    (void)snprintf(message, sizeof message, "%.*s", (int)(news->size < 500 ? news->size : 500),
                   news->text != NULL ? news->text : "");
    ending end = {.status = "completed", .code = news->code, .message = message};
    if (news->code != API_OK)
        end.status = "failed";
    else if (limit || stopped)
        end.status = limit ? "incomplete" : "cancelled";
    end.reason = limit ? "max_output_tokens" : stopped ? "client_cancelled" : NULL;
    if (r->open && current(r)->made > 0 && r->resampler != NULL) (void)send_sound(rt, r, NULL, 0);
    r->usage = news->usage;
    if (r->item_count > 0 && news->code == API_OK) {
        realtime_item *item = current(r);
        item->whole = !limit && !stopped;
        if (item->whole) realtime_learn_pace(rt, item);
    }
    end_response(rt, r, &end);
}

static void fail(realtime *rt, realtime_response *r) {
    const ending end = {.status = "failed",
                        .code = API_ENGINE_FAILURE,
                        .message = "Memory is exhausted, or the reply is too long"};
    rt->ops.cancel(rt->ops.model, r->key);
    end_response(rt, r, &end);
}

void realtime_response_news(realtime *rt, const realtime_news_item *news) {
    realtime_response *r = response_of(rt, news->key);
    bool taken = true;
    if (r == NULL) return; /* it was cancelled */
    switch (news->kind) {
    case REALTIME_BEGUN:
        r->usage = news->usage;
        break;
    case REALTIME_TEXT:
        r->usage.output_text += news->position_count;
        taken = take_text(rt, r, news);
        break;
    case REALTIME_SOUND:
        r->usage.output_audio += news->position_count;
        taken = take_sound(rt, r, news);
        break;
    case REALTIME_CALLED:
        taken = take_call(rt, r, news);
        break;
    default:
        take_end(rt, r, news);
        return;
    }
    if (!taken) fail(rt, r);
}

bool realtime_do_cancel(realtime *rt, const json *event, api_error *f) {
    const json *v = json_get(event, "response_id");
    const char *id = realtime_text_of(v, REALTIME_ID_CAP - 1);
    realtime_response *r = json_is_null(v) ? realtime_active(rt) : NULL;
    for (int i = 0; i < REALTIME_RESPONSE_CAP && id != NULL; i++)
        if (rt->responses[i].key != 0 && strcmp(rt->responses[i].id, id) == 0)
            r = &rt->responses[i];
    if (r == NULL)
        return realtime_refuse(f, API_CANCEL_NOT_ACTIVE, "",
                               "Cancellation failed: no active response found");
    if (r->in_conversation) {
        realtime_interrupt(rt, "client_cancelled");
        return true;
    }
    rt->ops.cancel(rt->ops.model, r->key);
    realtime_response_end(rt, r, "cancelled", "client_cancelled", NULL);
    return true;
}
