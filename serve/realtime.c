/* See realtime.h: create, destroy, what the model tells, what is due, the session's end. */
#include "serve/realtime.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/range.h"
#include "core/status.h"
#include "serve/realtime_inner.h"

realtime_config realtime_config_default(void) {
    return (realtime_config){
        .model = "",
        .session_seconds = LIMIT_SESSION_SECONDS,
        .truncate_wait_ms = 300,
        .clip_seconds_max = 30,
        .sound_size_max = LIMIT_KEPT_SOUND_SIZE,
        .tokens_per_minute = 60000,
        .error_max = LIMIT_EVENT_ERRORS,
        .event_rate = LIMIT_EVENTS_RATE,
        .event_cap = LIMIT_EVENTS_BURST,
    };
}

static rnl_status check(const realtime_config *c, rnl_error *error) {
    const range rows[] = {
        {"session_seconds", c->session_seconds, 1, 86400},
        {"truncate_wait_ms", c->truncate_wait_ms, 0, 5000},
        {"clip_seconds_max", c->clip_seconds_max, 2, 30},
        {"error_max", c->error_max, 1, REALTIME_ERROR_CAP},
        {"event_rate", c->event_rate, 1, 1e6},
        {"event_cap", c->event_cap, 1, 1e6},
        {"tokens_per_minute", c->tokens_per_minute, 0, 1e12},
    };
    return range_check(rows, sizeof rows / sizeof *rows, error);
}

/* The session object that it begins with, as an update of the defaults. */
static rnl_status start_with(realtime *rt, const char *start, size_t size, rnl_error *error) {
    json *object = NULL;
    api_error f = {0};
    if (start == NULL) return RNL_OK;
    const rnl_status status = json_parse(start, size, "session", &object, error);
    if (status != RNL_OK) return status;
    const realtime_update u = {.config = &rt->config, .beta = rt->beta, .path = "session"};
    const bool taken = realtime_settings_update(&rt->settings, object, &u, &f);
    json_destroy(&object);
    return taken ? RNL_OK : status_fail(error, RNL_ERR_DATA, "%s", f.message);
}

static rnl_status fill(realtime *rt, const char *start, size_t size, rnl_error *error) {
    realtime_settings_default(&rt->settings);
    rt->settings.text_only = !rt->config.gives_audio;
    const rnl_status status = start_with(rt, start, size, error);
    if (status != RNL_OK) return status;
    id_make(rt->id, "sess_");
    id_make(rt->conversation_id, "conv_");
    json_out_begin_growing(&rt->out, REALTIME_EVENT_SIZE_MAX);
    rt->idle_us = INT64_MAX;
    rt->event_level = rt->config.event_cap;
    rt->token_level = rt->config.tokens_per_minute;
    return realtime_input_create(rt, error);
}

rnl_status realtime_create(const realtime_config *config, const realtime_ops *ops,
                           const char *start, size_t size, realtime **out, rnl_error *error) {
    *out = NULL;
    rnl_status status = check(config, error);
    if (status != RNL_OK) return status;
    realtime *rt = calloc(1, sizeof *rt);
    if (rt == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "memory for a conversation is exhausted");
    rt->config = *config;
    rt->ops = *ops;
    rt->beta = config->beta;
    status = fill(rt, start, size, error);
    if (status == RNL_OK)
        *out = rt;
    else
        realtime_destroy(&rt);
    return status;
}

void realtime_destroy(realtime **rt) {
    realtime *r = *rt;
    *rt = NULL;
    if (r == NULL) return;
    for (int i = 0; i < REALTIME_RESPONSE_CAP; i++) realtime_response_free(&r->responses[i]);
    for (int i = 0; i < r->item_count; i++) realtime_item_drop(&r->items[i]);
    realtime_item_drop(&r->speaking);
    realtime_item_drop(&r->cut.item);
    realtime_input_destroy(r);
    realtime_settings_free(&r->settings);
    realtime_settings_free(&r->prompt);
    json_out_free(&r->out);
    free(r);
}

/* The first events of a connection. */
static void tell_first(realtime *rt) {
    realtime_tell_session(rt, "session.created");
    if (!rt->beta || rt->config.transcribes_only) return;
    json_out *o = realtime_event(rt, "conversation.created");
    json_out_object(o, "conversation");
    json_out_word(o, "id", rt->conversation_id);
    json_out_word(o, "object", "realtime.conversation");
    json_out_end(o);
    realtime_send(rt);
}

void realtime_open(realtime *rt, int64_t now_us) {
    assert(!rt->opened);
    rt->opened = true;
    rt->now_us = rt->begin_us = rt->event_us = rt->token_us = now_us;
    tell_first(rt);
}

void realtime_leave(realtime *rt, int64_t now_us) {
    assert(rt->opened && !rt->away);
    rt->now_us = now_us;
    rt->away = true;
    if (rt->over) return;
    realtime_input_stop(rt);
    realtime_interrupt(rt, "client_cancelled");
    realtime_settle(rt);
    for (int i = 1; i < REALTIME_RESPONSE_CAP; i++) {
        realtime_response *r = &rt->responses[i];
        if (r->key == 0) continue;
        rt->ops.cancel(rt->ops.model, r->key);
        realtime_response_end(rt, r, "cancelled", "client_cancelled", NULL);
    }
    rt->idle_us = INT64_MAX;
}

void realtime_resume(realtime *rt, int64_t now_us) {
    assert(rt->away);
    rt->now_us = rt->event_us = now_us;
    rt->away = false;
    tell_first(rt);
    for (int i = 0; i < rt->item_count; i++) {
        realtime_tell_added(rt, rt->items[i]);
        realtime_tell_done(rt, rt->items[i]);
    }
}

bool realtime_is_over(const realtime *rt) {
    return rt->over;
}

metric_state realtime_state(const realtime *rt, int64_t now_us) {
    const realtime_response *r = &rt->responses[0];
    if (rt->clip.open) return METRIC_HEARING;
    if (r->key != 0 && !r->sounded && !r->settings.text_only) return METRIC_THINKING;
    if (realtime_is_talking(rt, now_us)) return METRIC_SPEAKING;
    return rt->settings.detection.detector == REALTIME_MANUAL ? METRIC_IDLE : METRIC_LISTENING;
}

const char *realtime_id(const realtime *rt) {
    return rt->id;
}

void realtime_end(realtime *rt, api_code code, const char *message, int closing) {
    if (rt->over) return;
    realtime_tell_error(rt, code, "", message);
    realtime_close(rt, closing, message);
}

/* ---- What the model tells ---- */

/* The item of the user with that key; NULL: it is gone. */
static realtime_item *heard_item(realtime *rt, uint32_t key) {
    for (int i = 0; i < rt->item_count; i++)
        if (key != 0 && rt->items[i]->key == key && rt->items[i]->role == REALTIME_USER)
            return rt->items[i];
    return NULL;
}

static json_out *transcription_event(realtime *rt, const realtime_item *item, const char *type) {
    json_out *o = realtime_event(rt, type);
    json_out_word(o, "item_id", item->id);
    json_out_int(o, "content_index", 0);
    return o;
}

static void put_logprobs(const realtime_news_item *news, json_out *o) {
    if (news->tokens == NULL) return;
    json_out_array(o, "logprobs");
    for (size_t i = 0; i < news->token_count; i++) {
        const realtime_token *t = &news->tokens[i];
        json_out_object(o, NULL);
        json_out_logprob(o, t->bytes, t->size, true, (double)t->logprob);
        json_out_end(o);
    }
    json_out_end(o);
}

static void take_transcript(realtime *rt, const realtime_news_item *news) {
    realtime_item *item = heard_item(rt, news->key);
    if (item == NULL) return;
    realtime_part *part = &item->parts[0];
    if (news->kind == REALTIME_HEARD) {
        json_out *o =
            transcription_event(rt, item, "conversation.item.input_audio_transcription.delta");
        json_out_text(o, "delta", news->text, news->size);
        put_logprobs(news, o);
        realtime_send(rt);
    } else if (news->kind == REALTIME_HEARD_ALL) {
        part->size = 0;
        (void)realtime_part_say(part, news->text, news->size);
        json_out *o =
            transcription_event(rt, item, "conversation.item.input_audio_transcription.completed");
        json_out_text(o, "transcript", news->text, news->size);
        json_out_object(o, "usage");
        json_out_word(o, "type", "duration");
        json_out_number(o, "seconds", news->seconds);
        json_out_end(o);
        put_logprobs(news, o);
        realtime_send(rt);
    } else {
        json_out *o =
            transcription_event(rt, item, "conversation.item.input_audio_transcription.failed");
        json_out_object(o, "error");
        json_out_word(o, "type", api_code_type(news->code));
        json_out_word(o, "code", api_code_text(news->code));
        json_out_text(o, "message", news->text, news->size);
        json_out_null(o, "param");
        json_out_end(o);
        realtime_send(rt);
    }
}

void realtime_news(realtime *rt, const realtime_news_item *news, int64_t now_us) {
    assert(rt->opened);
    if (rt->over) return;
    rt->now_us = now_us;
    switch (news->kind) {
    case REALTIME_BEGUN:
    case REALTIME_TEXT:
    case REALTIME_SOUND:
    case REALTIME_CALLED:
    case REALTIME_ENDED:
        realtime_response_news(rt, news);
        break;
    case REALTIME_HEARD:
    case REALTIME_HEARD_ALL:
    case REALTIME_UNHEARD:
        take_transcript(rt, news);
        break;
    case REALTIME_FINISHED:
        realtime_finished(rt, news);
        break;
    case REALTIME_ASTRAY:
        realtime_go_astray(rt);
        break;
    }
    realtime_feed(rt);
}

/* ---- Time ---- */

static int64_t cut_due_us(const realtime *rt) {
    if (rt->cut.item == NULL) return INT64_MAX;
    return rt->cut.at_us + (int64_t)rt->config.truncate_wait_ms * 1000;
}

static int64_t expires_us(const realtime *rt) {
    return rt->begin_us + (int64_t)rt->config.session_seconds * 1000000;
}

int64_t realtime_due_us(const realtime *rt) {
    int64_t due = expires_us(rt);
    if (rt->over || !rt->opened) return INT64_MAX;
    if (cut_due_us(rt) < due) due = cut_due_us(rt);
    return rt->idle_us < due ? rt->idle_us : due;
}

void realtime_tick(realtime *rt, int64_t now_us) {
    if (rt->over || !rt->opened) return;
    rt->now_us = now_us;
    if (now_us >= expires_us(rt)) {
        realtime_end(rt, API_SESSION_EXPIRED, "Your session hit the maximum duration", 1008);
        return;
    }
    if (now_us >= cut_due_us(rt)) realtime_settle(rt);
    if (now_us >= rt->idle_us) realtime_idle(rt);
    realtime_feed(rt);
}
