/* Events out: their names in both dialects, their identifiers, errors, rate limits. */
#include <stdio.h>
#include <string.h>

#include "serve/realtime_inner.h"

enum { ERROR_WINDOW_US = 10000000 };

/* The older dialect's name of an event; NULL: it has none, and the event is not sent. */
static const char *beta_name(const char *type) {
    static const char *const pairs[][2] = {
        {"conversation.item.added", "conversation.item.created"},
        {"conversation.item.done", NULL},
        {"response.output_audio.delta", "response.audio.delta"},
        {"response.output_audio.done", "response.audio.done"},
        {"response.output_audio_transcript.delta", "response.audio_transcript.delta"},
        {"response.output_audio_transcript.done", "response.audio_transcript.done"},
        {"response.output_text.delta", "response.text.delta"},
        {"response.output_text.done", "response.text.done"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (strcmp(type, pairs[i][0]) == 0) return pairs[i][1];
    return type;
}

uint32_t realtime_new_key(realtime *rt) {
    return ++rt->key_last;
}

json_out *realtime_event(realtime *rt, const char *type) {
    const char *name = rt->beta ? beta_name(type) : type;
    char id[REALTIME_ID_CAP];
    rt->unsent = name == NULL;
    id_make(id, "event_");
    json_out_clear(&rt->out);
    json_out_object(&rt->out, NULL);
    json_out_word(&rt->out, "type", name);
    json_out_word(&rt->out, "event_id", id);
    return &rt->out;
}

void realtime_send(realtime *rt) {
    json_out_end(&rt->out);
    if (rt->over || rt->unsent || rt->away) return;
    if (!json_out_whole(&rt->out)) {
        realtime_close(rt, 1011, "memory is exhausted");
        return;
    }
    if (rt->config.metrics != NULL) metrics_count(rt->config.metrics, METRIC_EVENTS_OUT, 0, 1);
    rt->ops.send(rt->ops.wire, rt->out.text, rt->out.size);
}

void realtime_observe(realtime *rt, metric which, int64_t us) {
    if (rt->config.metrics != NULL) metrics_observe(rt->config.metrics, which, us);
}

void realtime_close(realtime *rt, int code, const char *reason) {
    if (rt->over) return;
    rt->over = true;
    rt->ops.close(rt->ops.wire, code, reason);
}

static void write_error(realtime *rt, const api_error *f) {
    json_out *o = realtime_event(rt, "error");
    json_out_object(o, "error");
    json_out_word(o, "type", api_code_type(f->code));
    json_out_word(o, "code", api_code_text(f->code));
    json_out_word(o, "message", f->message);
    json_out_word(o, "param", f->param[0] != 0 ? f->param : NULL);
    json_out_word(o, "event_id", rt->event_id[0] != 0 ? rt->event_id : NULL);
    json_out_end(o);
    realtime_send(rt);
}

/* The error that was error_max errors ago lies within the window. */
static bool too_many(realtime *rt) {
    const int cap = rt->config.error_max;
    const int64_t oldest = rt->error_us[rt->error_count % cap];
    const bool full = rt->error_count >= cap && rt->now_us - oldest <= ERROR_WINDOW_US;
    rt->error_us[rt->error_count % cap] = rt->now_us;
    /* The count goes on from cap to 2 * cap - 1 and round, so that it never overflows. */
    rt->error_count = rt->error_count + 1 < 2 * cap ? rt->error_count + 1 : cap;
    return full;
}

void realtime_tell_fault(realtime *rt, const api_error *f) {
    write_error(rt, f);
    if (rt->config.metrics != NULL)
        metrics_count(rt->config.metrics, METRIC_EVENT_ERRORS, (int)f->code, 1);
    if (too_many(rt)) realtime_close(rt, 1008, "too many events in error");
}

void realtime_tell_error(realtime *rt, api_code code, const char *param, const char *message) {
    api_error f = {0};
    (void)realtime_refuse(&f, code, param, "%s", message);
    realtime_tell_fault(rt, &f);
}

void realtime_tell_session(realtime *rt, const char *type) {
    const realtime_facts facts = {
        .id = rt->id, .expires_unix = rt->config.unix_seconds + rt->config.session_seconds};
    json_out *o = realtime_event(rt, type);
    realtime_settings_write(&rt->settings, &rt->config, rt->beta, &facts, "session", o);
    realtime_send(rt);
}

void realtime_tell_limits(realtime *rt, int position_count) {
    const double limit = rt->config.tokens_per_minute, rate = limit / 60e6;
    rt->token_level += (double)(rt->now_us - rt->token_us) * rate;
    if (rt->token_level > limit) rt->token_level = limit;
    rt->token_us = rt->now_us;
    rt->token_level -= position_count;
    if (rt->token_level < 0) rt->token_level = 0;
    json_out *o = realtime_event(rt, "rate_limits.updated");
    json_out_array(o, "rate_limits");
    json_out_object(o, NULL);
    json_out_word(o, "name", "tokens");
    json_out_int(o, "limit", (int64_t)limit);
    json_out_int(o, "remaining", (int64_t)rt->token_level);
    json_out_number(o, "reset_seconds", limit > 0 ? (limit - rt->token_level) / rate / 1e6 : 0);
    json_out_end(o);
    json_out_end(o);
    realtime_send(rt);
}
