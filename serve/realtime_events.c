/* Client's JSON -> what it asks for. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "serve/json_in.h"
#include "serve/limits.h"
#include "serve/realtime_inner.h"
#include "serve/sound_in.h"

const char *realtime_text_of(const json *v, size_t cap) {
    size_t size;
    const char *text = json_chars(v, &size);
    return text != NULL && size <= cap && strlen(text) == size ? text : NULL;
}

/* ---- Settings ---- */

static bool same_detection(const realtime_detection *a, const realtime_detection *b) {
    return a->detector == b->detector && a->threshold == b->threshold &&
           a->prefix_ms == b->prefix_ms && a->silence_ms == b->silence_ms &&
           a->idle_ms == b->idle_ms && a->create_response == b->create_response &&
           a->interrupt_response == b->interrupt_response && a->eagerness == b->eagerness;
}

/* A turn under way ends with the rule it was heard by; what was heard and was none is gone. */
static void change_detection(realtime *rt, realtime_detector before) {
    realtime_end_turn(rt, rt->in.position);
    if (before != REALTIME_MANUAL) rt->in.buffer_begin = rt->in.position;
    realtime_input_set_detection(rt);
    if (rt->settings.detection.idle_ms == 0) rt->idle_us = INT64_MAX;
}

static bool do_session_update(realtime *rt, const json *event, api_error *f) {
    const json *object = json_get(event, "session");
    if (object == NULL)
        return realtime_refuse(f, API_MISSING_PARAMETER, "session",
                               "Missing required parameter: 'session'");
    const realtime_input *in = &rt->in;
    const bool manual = rt->settings.detection.detector == REALTIME_MANUAL;
    const realtime_update u = {
        .config = &rt->config,
        .beta = rt->beta,
        .in_turn = rt->clip.open || (manual && in->heard_in > in->buffer_begin),
        .has_spoken = rt->has_spoken,
        .path = "session",
    };
    realtime_settings changed;
    if (!realtime_settings_copy(&rt->settings, &changed))
        return realtime_refuse(f, API_SERVER_OVERLOADED, "", "Memory is exhausted");
    if (!realtime_settings_update(&changed, object, &u, f)) {
        realtime_settings_free(&changed);
        return false;
    }
    realtime_unguess(rt);
    const realtime_format old = rt->settings.in;
    const bool detects_else = !same_detection(&rt->settings.detection, &changed.detection);
    const realtime_detector before = rt->settings.detection.detector;
    realtime_settings_free(&rt->settings);
    rt->settings = changed;
    if (detects_else) change_detection(rt, before);
    const bool hears_else = old.coding != changed.in.coding || old.rate != changed.in.rate;
    if (hears_else && !realtime_input_set_format(rt)) {
        realtime_end(rt, API_ENGINE_FAILURE, "Memory is exhausted", 1011);
        return true;
    }
    realtime_tell_session(rt, rt->beta && rt->config.transcribes_only
                                  ? "transcription_session.updated"
                                  : "session.updated");
    return true;
}

static bool do_output_clear(realtime *rt, const json *event, api_error *f) {
    (void)rt;
    (void)event;
    return realtime_refuse(f, API_INVALID_VALUE, "type",
                           "output_audio_buffer.clear is for WebRTC; cancel the response and "
                           "truncate its item instead");
}

/* ---- All events ---- */

typedef bool handler(realtime *rt, const json *event, api_error *f);

static handler *handler_of(const realtime *rt, const char *type) {
    static const struct {
        const char *type;
        handler *fn;
    } rows[] = {
        {"input_audio_buffer.append", realtime_do_append},
        {"session.update", do_session_update},
        {"input_audio_buffer.commit", realtime_do_commit},
        {"input_audio_buffer.clear", realtime_do_clear},
        {"conversation.item.create", realtime_do_item_create},
        {"conversation.item.retrieve", realtime_do_item_retrieve},
        {"conversation.item.delete", realtime_do_item_delete},
        {"conversation.item.truncate", realtime_do_truncate},
        {"response.create", realtime_do_create},
        {"response.cancel", realtime_do_cancel},
        {"output_audio_buffer.clear", do_output_clear},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(type, rows[i].type) == 0) return rows[i].fn;
    const bool older = rt->beta && rt->config.transcribes_only;
    return older && strcmp(type, "transcription_session.update") == 0 ? do_session_update : NULL;
}

static bool take_event_id(realtime *rt, const json *event, api_error *f) {
    const json *v = json_get(event, "event_id");
    const char *text = realtime_text_of(v, REALTIME_EVENT_ID_CAP - 1);
    if (json_is_null(v)) return true;
    if (text == NULL)
        return realtime_refuse(f, API_INVALID_EVENT_ID, "event_id",
                               "event_id is a text of at most 512 bytes");
    (void)snprintf(rt->event_id, sizeof rt->event_id, "%s", text);
    return true;
}

static bool do_event(realtime *rt, const json *event, api_error *f) {
    if (!take_event_id(rt, event, f)) return false;
    const json *type = json_get(event, "type");
    const char *name = realtime_text_of(type, 100);
    if (type == NULL)
        return realtime_refuse(f, API_MISSING_PARAMETER, "type",
                               "Missing required parameter: 'type'");
    handler *fn = name != NULL ? handler_of(rt, name) : NULL;
    if (fn == NULL)
        return realtime_refuse(f, API_INVALID_VALUE, "type", "Unknown event type '%.100s'",
                               name != NULL ? name : "");
    return fn(rt, event, f);
}

/* More events than anyone needs: the bucket is empty. */
static bool is_flooded(realtime *rt) {
    const realtime_config *c = &rt->config;
    rt->event_level += (double)(rt->now_us - rt->event_us) / 1e6 * c->event_rate;
    if (rt->event_level > c->event_cap) rt->event_level = c->event_cap;
    rt->event_us = rt->now_us;
    rt->event_level -= 1;
    return rt->event_level < 0;
}

void realtime_message(realtime *rt, const char *text, size_t size, int64_t now_us) {
    assert(rt->opened && !rt->over && !realtime_is_busy(rt));
    rt->now_us = now_us;
    rt->event_id[0] = 0;
    rt->pixels_left = BITMAP_PIXELS_MAX - rt->pixel_count;
    if (rt->config.metrics != NULL) metrics_count(rt->config.metrics, METRIC_EVENTS_IN, 0, 1);
    if (is_flooded(rt)) {
        realtime_tell_error(rt, API_RATE_LIMIT_EXCEEDED, "", "More events came than are taken");
        realtime_close(rt, 1008, "too many events");
        return;
    }
    api_error f = {0};
    json *event = NULL;
    if (json_in_parse(text, size, &event, &f)) (void)do_event(rt, event, &f);
    json_destroy(&event);
    if (f.code != API_OK) realtime_tell_fault(rt, &f);
    rt->event_id[0] = 0;
    realtime_feed(rt);
}
