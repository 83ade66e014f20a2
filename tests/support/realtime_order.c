/* See realtime_order.h. */
#include "tests/support/realtime_order.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

static void wrong(realtime_order *o, const char *type, const char *what) {
    if (o->wrong[0] != 0) return;
    (void)snprintf(o->wrong, sizeof o->wrong, "event %d, %s: %s", o->count, type, what);
}

static void demand(realtime_order *o, bool holds, const char *type, const char *what) {
    if (!holds) wrong(o, type, what);
}

/* ---- Names ---- */

static int find(const order_names *n, const char *text) {
    for (int i = 0; i < n->count; i++)
        if (strcmp(n->list[i].text, text) == 0) return i;
    return -1;
}

static void insert(order_names *n, const char *text, int index) {
    if (n->count == n->cap) {
        n->cap = n->cap > 0 ? 2 * n->cap : 64;
        n->list = realloc(n->list, (size_t)n->cap * sizeof *n->list);
        if (n->list == NULL) abort();
    }
    memmove(n->list + index + 1, n->list + index, (size_t)(n->count - index) * sizeof *n->list);
    n->count++;
    (void)snprintf(n->list[index].text, ORDER_NAME_CAP, "%s", text);
}

static void remove_at(order_names *n, int index) {
    n->count--;
    memmove(n->list + index, n->list + index + 1, (size_t)(n->count - index) * sizeof *n->list);
}

/* The text of a member; "" where there is none. */
static const char *text_at(const json *v, const char *key) {
    const char *text = json_chars(json_get(v, key), NULL);
    return text != NULL ? text : "";
}

static bool starts(const char *text, const char *beginning) {
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

/* ---- Responses ---- */

static order_response *response_of(realtime_order *o, const char *id) {
    for (int i = 0; i < o->response_count; i++)
        if (strcmp(o->responses[i].id.text, id) == 0) return &o->responses[i];
    return NULL;
}

static void created(realtime_order *o, const char *type, const json *r) {
    const bool alone = json_is_null(json_get(r, "conversation_id"));
    demand(o, strcmp(text_at(r, "status"), "in_progress") == 0, type, "status is not in_progress");
    demand(o, response_of(o, text_at(r, "id")) == NULL, type, "created twice");
    for (int i = 0; i < o->response_count; i++)
        demand(o, alone || o->responses[i].alone, type,
               "two responses at once in the conversation");
    demand(o, o->response_count < 8, type, "too many responses at once");
    if (o->wrong[0] != 0) return;
    order_response *made = &o->responses[o->response_count++];
    *made = (order_response){.alone = alone};
    (void)snprintf(made->id.text, ORDER_NAME_CAP, "%s", text_at(r, "id"));
}

static void done(realtime_order *o, const char *type, const json *r) {
    order_response *response = response_of(o, text_at(r, "id"));
    const json *details = json_get(r, "status_details");
    demand(o, response != NULL, type, "done, but never created, or twice");
    demand(o, strcmp(text_at(r, "status"), "in_progress") != 0, type, "the status is not final");
    demand(o, json_is_object(json_get(r, "usage")), type, "usage is missing");
    if (o->wrong[0] != 0) return;
    const bool interrupted = strcmp(text_at(details, "reason"), "turn_detected") == 0;
    demand(o, !interrupted || response->sound_at < o->heard_at, type,
           "sound after the speech_started that interrupted it");
    int kept = 0;
    for (int i = 0; i < o->part_count; i++) {
        const bool ours = strcmp(o->parts[i].response.text, response->id.text) == 0;
        demand(o, !ours || o->parts[i].closed, type, "done before response.output_item.done");
        if (!ours) o->parts[kept++] = o->parts[i];
    }
    o->part_count = kept;
    *response = o->responses[--o->response_count];
    o->limits_owed++;
}

/* ---- Items of responses ---- */

static order_part *part_of(realtime_order *o, const char *item) {
    for (int i = 0; i < o->part_count; i++)
        if (strcmp(o->parts[i].item.text, item) == 0) return &o->parts[i];
    return NULL;
}

static void output_added(realtime_order *o, const char *type, const json *e) {
    const char *id = text_at(json_get(e, "item"), "id");
    const order_response *response = response_of(o, text_at(e, "response_id"));
    demand(o, part_of(o, id) == NULL && find(&o->ever, id) < 0, type, "this item was there before");
    demand(o, o->part_count < 64, type, "too many items");
    if (o->wrong[0] != 0) return;
    order_part *part = &o->parts[o->part_count++];
    *part = (order_part){.alone = response->alone};
    (void)snprintf(part->item.text, ORDER_NAME_CAP, "%s", id);
    (void)snprintf(part->response.text, ORDER_NAME_CAP, "%s", response->id.text);
}

static void output_done(realtime_order *o, const char *type, const json *e) {
    order_part *part = part_of(o, text_at(json_get(e, "item"), "id"));
    demand(o, part != NULL && !part->closed, type, "done, but not opened");
    demand(o, part == NULL || (!part->part_open && !part->words_done), type,
           "its content part is still open");
    if (part != NULL) part->closed = true;
}

static void part_event(realtime_order *o, const char *type, const json *e) {
    order_part *part = part_of(o, text_at(e, "item_id"));
    demand(o, part != NULL && !part->closed, type, "outside of its item");
    if (o->wrong[0] != 0) return;
    if (strcmp(type, "response.content_part.added") == 0) {
        demand(o, !part->part_open, type, "twice");
        part->part_open = true;
    } else if (strcmp(type, "response.content_part.done") == 0) {
        demand(o, part->words_done, type, "before the done event of its text");
        part->words_done = false;
    } else if (strcmp(type, "response.output_audio_transcript.done") == 0 ||
               strcmp(type, "response.output_text.done") == 0) {
        demand(o, part->part_open, type, "outside of its content part");
        part->part_open = false;
        part->words_done = true;
    } else if (starts(type, "response.output_")) {
        demand(o, part->part_open, type, "outside of its content part");
    }
    order_response *response = response_of(o, part->response.text);
    if (strcmp(type, "response.output_audio.delta") == 0 && response != NULL)
        response->sound_at = o->count;
}

static void response_event(realtime_order *o, const char *type, const json *e) {
    if (strcmp(type, "response.created") == 0) {
        created(o, type, json_get(e, "response"));
    } else if (strcmp(type, "response.done") == 0) {
        done(o, type, json_get(e, "response"));
    } else if (response_of(o, text_at(e, "response_id")) == NULL) {
        wrong(o, type, "outside of response.created ... response.done");
    } else if (strcmp(type, "response.output_item.added") == 0) {
        output_added(o, type, e);
    } else if (strcmp(type, "response.output_item.done") == 0) {
        output_done(o, type, e);
    } else {
        part_event(o, type, e);
    }
}

/* ---- Items of the conversation ---- */

static void check_previous(realtime_order *o, const char *type, const json *e, int index) {
    const json *previous = json_get(e, "previous_item_id");
    /* The oldest of so many are forgotten without an event. */
    if (o->items.count > ORDER_ITEM_MAX || index < 0) return;
    const char *text = json_chars(previous, NULL);
    const bool right = index == 0
                           ? json_is_null(previous)
                           : text != NULL && strcmp(o->items.list[index - 1].text, text) == 0;
    demand(o, right, type, "previous_item_id is not the one before");
}

static void item_added(realtime_order *o, const char *type, const json *e) {
    const char *id = text_at(json_get(e, "item"), "id");
    const char *previous = json_chars(json_get(e, "previous_item_id"), NULL);
    const int index = previous != NULL ? find(&o->items, previous) : -1;
    const order_part *part = part_of(o, id);
    demand(o, find(&o->items, id) < 0, type, "added twice");
    demand(o, part == NULL || !part->alone, type, "an item out of band in the conversation");
    demand(o, previous == NULL || index >= 0, type, "previous_item_id is not known");
    if (o->wrong[0] != 0) return;
    insert(&o->items, id, index + 1);
    insert(&o->ever, id, o->ever.count);
}

static void conversation_event(realtime_order *o, const char *type, const json *e) {
    const char *id = text_at(json_get(e, "item"), "id");
    if (strcmp(type, "conversation.item.added") == 0) {
        item_added(o, type, e);
    } else if (strcmp(type, "conversation.item.done") == 0) {
        const int index = find(&o->items, id);
        demand(o, index >= 0, type, "done before added");
        check_previous(o, type, e, index);
    } else if (strcmp(type, "conversation.item.deleted") == 0) {
        const int index = find(&o->items, text_at(e, "item_id"));
        demand(o, index >= 0, type, "no such item");
        if (index >= 0) remove_at(&o->items, index);
    } else if (strcmp(type, "conversation.item.truncated") == 0) {
        demand(o, find(&o->items, text_at(e, "item_id")) >= 0, type, "no such item");
    }
}

/* ---- The user's turn ---- */

static void buffer_event(realtime_order *o, const char *type, const json *e) {
    const char *id = text_at(e, "item_id");
    if (strcmp(type, "input_audio_buffer.speech_started") == 0) {
        demand(o, o->speaker.text[0] == 0, type, "twice");
        (void)snprintf(o->speaker.text, ORDER_NAME_CAP, "%s", id);
        o->heard_at = o->count;
    } else if (strcmp(type, "input_audio_buffer.speech_stopped") == 0) {
        demand(o, strcmp(o->speaker.text, id) == 0, type, "another item_id than speech_started");
        o->stopped = o->speaker;
        o->speaker.text[0] = 0;
    } else if (strcmp(type, "input_audio_buffer.committed") == 0) {
        demand(o, o->stopped.text[0] == 0 || strcmp(o->stopped.text, id) == 0, type,
               "another item_id than speech_stopped");
        o->stopped.text[0] = 0;
    } else if (strcmp(type, "input_audio_buffer.cleared") == 0) {
        o->speaker.text[0] = 0;
    }
}

/* ---- All ---- */

bool realtime_order_event(realtime_order *o, const char *text, size_t size) {
    json *e = NULL;
    o->count++;
    if (json_parse(text, size, "event", &e, NULL) != RNL_OK) {
        wrong(o, "?", "no JSON");
        return false;
    }
    const char *type = text_at(e, "type"), *id = text_at(e, "event_id");
    demand(o, id[0] != 0 && find(&o->event_ids, id) < 0, type, "event_id missing or used twice");
    insert(&o->event_ids, id, o->event_ids.count);
    demand(o, (o->count == 1) == (strcmp(type, "session.created") == 0), type,
           "session.created comes first, and once");
    if (strcmp(type, "rate_limits.updated") == 0)
        o->limits_owed--;
    else if (starts(type, "response."))
        demand(o, o->limits_owed == 0, type, "rate_limits.updated was to come");
    if (starts(type, "response.")) response_event(o, type, e);
    if (starts(type, "conversation.")) conversation_event(o, type, e);
    if (starts(type, "input_audio_buffer.")) buffer_event(o, type, e);
    json_destroy(&e);
    return o->wrong[0] == 0;
}

bool realtime_order_end(realtime_order *o) {
    demand(o, o->response_count == 0, "the end", "a response has no response.done");
    demand(o, o->limits_owed == 0, "the end", "rate_limits.updated was to come");
    return o->wrong[0] == 0;
}

void realtime_order_free(realtime_order *o) {
    free(o->event_ids.list);
    free(o->ever.list);
    free(o->items.list);
    memset(o, 0, sizeof *o);
}
