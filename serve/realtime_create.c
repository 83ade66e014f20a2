/* response.create: an answer to the conversation, to another context, or beside it. */
#include <stdlib.h>
#include <string.h>

#include "serve/realtime_inner.h"

/* What a response is asked on, when it is not the conversation. */
typedef struct context_items {
    realtime_item *items[REALTIME_ITEM_CAP]; /* held */
    int count;
} context_items;

static void drop_items(context_items *c) {
    for (int i = 0; i < c->count; i++) realtime_item_drop(&c->items[i]);
    c->count = 0;
}

static bool take_reference(realtime *rt, const json *object, context_items *c, api_error *f) {
    const char *id = realtime_text_of(json_get(object, "id"), REALTIME_ID_CAP - 1);
    const int index = id != NULL ? realtime_find(rt, id) : -1;
    if (index < 0)
        return realtime_refuse(f, API_ITEM_NOT_FOUND, "response.input",
                               "There is no item '%.64s' in the conversation",
                               id != NULL ? id : "");
    c->items[c->count++] = realtime_item_hold(rt->items[index]);
    return true;
}

static bool read_input(realtime *rt, const json *input, context_items *c, api_error *f) {
    if (!json_is_array(input) || json_count(input) > REALTIME_ITEM_CAP)
        return realtime_refuse(f, API_INVALID_VALUE, "response.input",
                               "Invalid 'response.input': a list of at most 256 items is expected");
    for (size_t i = 0; i < json_count(input); i++) {
        const json *object = json_at(input, i);
        const char *type = json_chars(json_get(object, "type"), NULL);
        if (type != NULL && strcmp(type, "item_reference") == 0) {
            if (!take_reference(rt, object, c, f)) return false;
            continue;
        }
        realtime_item *item = realtime_item_read(rt, object, "response.input", f);
        if (item == NULL) return false;
        c->items[c->count++] = item;
    }
    return true;
}

/* All that stands in the conversation, but what is being made. */
static void take_conversation(const realtime *rt, context_items *c) {
    for (int i = 0; i < rt->item_count; i++)
        if (rt->items[i]->key != 0 && rt->items[i]->status != REALTIME_IN_PROGRESS)
            c->items[c->count++] = realtime_item_hold(rt->items[i]);
}

/* ---- Beside the history ---- */

static bool ask_alone(realtime *rt, const realtime_response *r, const context_items *c) {
    int piece_count = 0;
    for (int i = 0; i < c->count; i++) piece_count += c->items[i]->part_count;
    realtime_entry *entries = malloc(((size_t)c->count + 1) * sizeof *entries);
    realtime_piece *pieces = malloc(((size_t)piece_count + 1) * sizeof *pieces);
    const bool whole = entries != NULL && pieces != NULL;
    for (int i = 0, at = 0; i < c->count && whole; i++) {
        entries[i] = realtime_entry_of(rt, c->items[i], pieces + at);
        at += c->items[i]->part_count;
    }
    if (whole) {
        const realtime_prompt prompt = realtime_settings_prompt(&r->settings, &rt->config);
        const realtime_wish wish = realtime_settings_wish(&r->settings);
        rt->ops.respond_alone(rt->ops.model, r->key, &prompt, entries, c->count, &wish);
    }
    free(entries);
    free(pieces);
    return whole;
}

static void begin_alone(realtime *rt, realtime_response *r, realtime_settings *settings,
                        const context_items *c) {
    realtime_response_begin(rt, r, settings, 0);
    r->behind_history = false;
    if (!ask_alone(rt, r, c)) realtime_end(rt, API_ENGINE_FAILURE, "Memory is exhausted", 1011);
}

static void begin_behind(realtime *rt, realtime_response *r, realtime_settings *settings) {
    realtime_bring_up(rt, settings);
    realtime_response_begin(rt, r, settings, 0);
    const realtime_wish wish = realtime_settings_wish(&r->settings);
    rt->ops.respond(rt->ops.model, r->key, &wish);
}

/* ---- The event ---- */

/* Whether it belongs to the conversation. */
static bool read_conversation(const json *object, bool *in_conversation, api_error *f) {
    const json *v = json_get(object, "conversation");
    const char *word = json_chars(v, NULL);
    *in_conversation = true;
    if (json_is_null(v) || (word != NULL && strcmp(word, "auto") == 0)) return true;
    *in_conversation = false;
    if (word != NULL && strcmp(word, "none") == 0) return true;
    return realtime_refuse(f, API_INVALID_VALUE, "response.conversation",
                           "Invalid 'response.conversation': auto or none is expected");
}

static realtime_response *find_place(realtime *rt, bool in_conversation, api_error *f) {
    realtime_response *r = realtime_response_place(rt, in_conversation);
    if (r == NULL && in_conversation)
        (void)realtime_refuse(f, API_ACTIVE_RESPONSE, "",
                              "Conversation already has an active response in progress: %s. Wait "
                              "until the response is finished before creating a new one.",
                              rt->responses[0].id);
    else if (r == NULL)
        (void)realtime_refuse(f, API_RATE_LIMIT_EXCEEDED, "",
                              "4 responses out of band are under way; wait until one is done");
    return r;
}

static bool begin(realtime *rt, const json *object, realtime_settings *settings, api_error *f) {
    bool in_conversation;
    if (!read_conversation(object, &in_conversation, f)) return false;
    realtime_response *r = find_place(rt, in_conversation, f);
    if (r == NULL) return false;
    const json *input = json_get(object, "input");
    const bool given = !json_is_null(input);
    context_items c = {.count = 0};
    if (given && !read_input(rt, input, &c, f)) {
        drop_items(&c);
        return false;
    }
    if (in_conversation) realtime_unguess(rt);
    if (!given && !in_conversation) take_conversation(rt, &c);
    if (in_conversation && !given)
        begin_behind(rt, r, settings);
    else
        begin_alone(rt, r, settings, &c);
    drop_items(&c);
    return true;
}

bool realtime_do_create(realtime *rt, const json *event, api_error *f) {
    const json *object = json_get(event, "response");
    if (rt->config.transcribes_only)
        return realtime_refuse(f, API_INVALID_VALUE, "type",
                               "A session of type transcription makes no responses");
    realtime_settings settings;
    if (!realtime_settings_copy(&rt->settings, &settings))
        return realtime_refuse(f, API_SERVER_OVERLOADED, "", "Memory is exhausted");
    const realtime_update u = {.config = &rt->config,
                               .beta = rt->beta,
                               .has_spoken = rt->has_spoken,
                               .response = true,
                               .path = "response"};
    const bool taken =
        (json_is_null(object) || realtime_settings_update(&settings, object, &u, f)) &&
        begin(rt, object, &settings, f);
    realtime_settings_free(&settings);
    return taken;
}
