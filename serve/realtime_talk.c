/* What a client says about items: created, retrieved, deleted. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/limits.h"
#include "serve/realtime_inner.h"

/* ---- The list ---- */

int realtime_find(const realtime *rt, const char *id) {
    for (int i = 0; i < rt->item_count; i++)
        if (strcmp(rt->items[i]->id, id) == 0) return i;
    return -1;
}

static void take_out(realtime *rt, int index) {
    realtime_item *item = rt->items[index];
    /* The conversation counts what it keeps, whoever else still holds the item. */
    rt->sound_size -= realtime_item_sound_size(item);
    int64_t pixel_count;
    rt->picture_size -= realtime_item_picture_size(item, &pixel_count);
    rt->pixel_count -= pixel_count;
    realtime_item_drop_sound(item);
    for (int i = 0; i < item->part_count; i++) realtime_part_drop_heard(rt, &item->parts[i]);
    realtime_item_drop(&rt->items[index]);
    rt->item_count--;
    memmove(rt->items + index, rt->items + index + 1,
            (size_t)(rt->item_count - index) * sizeof *rt->items);
}

void realtime_insert(realtime *rt, realtime_item *item, int index) {
    if (rt->item_count == REALTIME_ITEM_CAP) {
        realtime_forget_had(rt, rt->items[0]->key);
        take_out(rt, 0);
        index -= index > 0;
    }
    memmove(rt->items + index + 1, rt->items + index,
            (size_t)(rt->item_count - index) * sizeof *rt->items);
    rt->items[index] = realtime_item_hold(item);
    rt->item_count++;
}

/* The id of the one before, NULL: it is the first. */
static const char *previous(const realtime *rt, const realtime_item *item) {
    const int index = realtime_find(rt, item->id);
    return index > 0 ? rt->items[index - 1]->id : NULL;
}

static void tell_item(realtime *rt, const char *type, const realtime_item *item) {
    const realtime_view view = {.beta = rt->beta};
    json_out *o = realtime_event(rt, type);
    json_out_word(o, "previous_item_id", previous(rt, item));
    realtime_item_write(item, &view, "item", o);
    realtime_send(rt);
}

void realtime_tell_added(realtime *rt, const realtime_item *item) {
    tell_item(rt, "conversation.item.added", item);
}

void realtime_tell_done(realtime *rt, const realtime_item *item) {
    tell_item(rt, "conversation.item.done", item);
}

/* ---- Sound that is kept ---- */

/* Room for so many bytes more, the oldest sound going first, but not the part's own. */
static bool make_room(realtime *rt, const realtime_part *part, size_t size) {
    for (int i = 0; i < rt->item_count; i++) {
        if (rt->sound_size + size <= rt->config.sound_size_max) return true;
        realtime_item *item = rt->items[i];
        if (part >= item->parts && part < item->parts + item->part_count) continue;
        rt->sound_size -= realtime_item_sound_size(item);
        realtime_item_drop_sound(item);
    }
    return rt->sound_size + size <= rt->config.sound_size_max;
}

void realtime_keep_sound(realtime *rt, realtime_part *part, const int16_t *samples, size_t count) {
    const size_t needed = part->count + count;
    const bool lost = part->samples == NULL && part->count > 0;
    if (lost || count == 0 || !make_room(rt, part, count * sizeof *samples)) return;
    if (needed > part->sample_cap) {
        const size_t cap = 2 * part->sample_cap > needed ? 2 * part->sample_cap : needed;
        int16_t *grown = realloc(part->samples, cap * sizeof *grown);
        if (grown == NULL) return;
        part->samples = grown;
        part->sample_cap = cap;
    }
    memcpy(part->samples + part->count, samples, count * sizeof *samples);
    part->count = needed;
    rt->sound_size += count * sizeof *samples;
}

/* ---- Reading ---- */

static bool missing(api_error *f, const char *path, const char *key) {
    char param[API_PARAM_CAP];
    (void)snprintf(param, sizeof param, "%s.%s", path, key);
    return realtime_refuse(f, API_MISSING_PARAMETER, param, "Missing required parameter: '%s'",
                           param);
}

static bool is_id(const char *text) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    return text != NULL && text[0] != 0 && strspn(text, letters) == strlen(text);
}

static bool read_text(realtime_part *part, const json *v, const char *path, api_error *f) {
    const char *text = realtime_text_of(v, LIMIT_ITEM_TEXT_SIZE);
    if (text == NULL)
        return realtime_refuse(f, API_INVALID_VALUE, path,
                               "Invalid '%s': a text of at most 65536 bytes without NUL is "
                               "expected",
                               path);
    if (!realtime_part_say(part, text, strlen(text)))
        return realtime_refuse(f, API_SERVER_OVERLOADED, path, "Memory is exhausted");
    return true;
}

/* Sound of a client in its item: kept. */
static bool read_sound(realtime *rt, realtime_part *part, const json *object, const char *path,
                       api_error *f) {
    size_t size, count;
    int16_t *samples;
    const char *text = json_chars(json_get(object, "audio"), &size);
    const realtime_decoding d = {.format = rt->settings.in};
    part->kind = REALTIME_PART_SOUND;
    part->format = d.format;
    if (text == NULL || !realtime_sound_decode(&d, text, size, &samples, &count))
        return realtime_refuse(f, API_INVALID_VALUE, path, "Invalid '%s': audio is no base64",
                               path);
    const double seconds = (double)count / d.format.rate;
    if (seconds < 0.1 || seconds > rt->config.clip_seconds_max) {
        free(samples);
        return realtime_refuse(f, API_INVALID_VALUE, path,
                               "Invalid '%s': sound of 0.1 to %g s is taken, this has %.2f s", path,
                               rt->config.clip_seconds_max, seconds);
    }
    /* The conversation counts it when the item comes in. */
    part->samples = samples;
    part->count = part->sample_cap = count;
    const json *transcript = json_get(object, "transcript");
    return json_is_null(transcript) || read_text(part, transcript, path, f);
}

static bool read_part(realtime *rt, realtime_item *item, int index, const json *object,
                      api_error *f) {
    char path[64];
    (void)snprintf(path, sizeof path, "item.content[%d]", index);
    const char *type = json_chars(json_get(object, "type"), NULL);
    realtime_part *part = &item->parts[index];
    if (type == NULL) return missing(f, path, "type");
    const bool user = item->role == REALTIME_USER, ours = item->role == REALTIME_ASSISTANT;
    if (strcmp(type, "input_audio") == 0 && user) return read_sound(rt, part, object, path, f);
    if (strcmp(type, "input_image") == 0 && user)
        return realtime_picture_read(rt, part, object, path, f);
    if (strcmp(type, ours ? "output_text" : "input_text") == 0 || strcmp(type, "text") == 0)
        return read_text(part, json_get(object, "text"), path, f);
    /* Nobody can make the assistant's voice: its words stand for it. */
    if (ours && (strcmp(type, "output_audio") == 0 || strcmp(type, "audio") == 0))
        return read_text(part, json_get(object, "transcript"), path, f);
    return realtime_refuse(f, API_INVALID_VALUE, path,
                           "Invalid '%s': a part of type '%.40s' is not taken here", path, type);
}

static realtime_item *read_message(realtime *rt, const json *object, api_error *f) {
    static const char *const roles[] = {"system", "user", "assistant"};
    const char *role = json_chars(json_get(object, "role"), NULL);
    const json *content = json_get(object, "content");
    int which = 0;
    while (which < 3 && (role == NULL || strcmp(role, roles[which]) != 0)) which++;
    if (which == 3) {
        (void)realtime_refuse(f, API_INVALID_VALUE, "item.role",
                              "Invalid 'item.role': system, user or assistant is expected");
        return NULL;
    }
    if (!json_is_array(content) || json_count(content) > REALTIME_PART_CAP) {
        (void)realtime_refuse(f, API_INVALID_VALUE, "item.content",
                              "Invalid 'item.content': a list of at most 64 parts is expected");
        return NULL;
    }
    const int count = (int)json_count(content);
    realtime_item *item = realtime_item_new((realtime_role)which, count);
    for (int i = 0; item != NULL && i < count; i++)
        if (!read_part(rt, item, i, json_at(content, (size_t)i), f)) realtime_item_drop(&item);
    return item;
}

/* A call, or its result: the text is in its one part. */
static realtime_item *read_call(const json *object, realtime_role role, api_error *f) {
    const bool call = role == REALTIME_CALL;
    const char *key = call ? "arguments" : "output";
    const json *text = json_get(object, key);
    const char *name = realtime_text_of(json_get(object, "name"), REALTIME_NAME_CAP - 1);
    const char *id = realtime_text_of(json_get(object, "call_id"), REALTIME_ID_CAP - 1);
    if (id == NULL && (!call || !json_is_null(json_get(object, "call_id")))) {
        (void)missing(f, "item", "call_id");
        return NULL;
    }
    if (call && name == NULL) {
        (void)missing(f, "item", "name");
        return NULL;
    }
    realtime_item *item = realtime_item_new(role, 1);
    if (item == NULL) return NULL;
    (void)snprintf(item->name, sizeof item->name, "%s", call ? name : "");
    (void)snprintf(item->call_id, sizeof item->call_id, "%s", id != NULL ? id : "");
    char path[32];
    (void)snprintf(path, sizeof path, "item.%s", key);
    if (!read_text(&item->parts[0], text, path, f)) realtime_item_drop(&item);
    return item;
}

static realtime_item *read_body(realtime *rt, const json *object, api_error *f) {
    const char *type = json_chars(json_get(object, "type"), NULL);
    if (type == NULL) {
        (void)missing(f, "item", "type");
        return NULL;
    }
    if (strcmp(type, "message") == 0) return read_message(rt, object, f);
    if (strcmp(type, "function_call") == 0) return read_call(object, REALTIME_CALL, f);
    if (strcmp(type, "function_call_output") == 0) return read_call(object, REALTIME_RESULT, f);
    (void)realtime_refuse(f, API_INVALID_VALUE, "item.type",
                          "Invalid 'item.type': message, function_call or function_call_output is "
                          "expected");
    return NULL;
}

static void read_status(realtime_item *item, const json *object) {
    const char *status = json_chars(json_get(object, "status"), NULL);
    if (status != NULL && strcmp(status, "incomplete") == 0) item->status = REALTIME_INCOMPLETE;
}

realtime_item *realtime_item_read(realtime *rt, const json *object, const char *path,
                                  api_error *f) {
    const json *id = json_get(object, "id");
    const char *name = realtime_text_of(id, REALTIME_ID_CAP - 1);
    if (!json_is_object(object)) {
        (void)realtime_refuse(f, API_INVALID_VALUE, path, "Invalid '%s': an object is expected",
                              path);
        return NULL;
    }
    if (!json_is_null(id) && !is_id(name)) {
        (void)realtime_refuse(f, API_INVALID_VALUE, "item.id",
                              "Invalid 'item.id': 1 to 64 letters, digits, '_', '.' or '-'");
        return NULL;
    }
    realtime_item *item = read_body(rt, object, f);
    if (item == NULL) {
        (void)realtime_refuse(f, API_SERVER_OVERLOADED, "", "Memory is exhausted");
        return NULL;
    }
    if (name != NULL)
        (void)snprintf(item->id, sizeof item->id, "%s", name);
    else
        id_make(item->id, "item_");
    if (item->role == REALTIME_CALL && item->call_id[0] == 0) id_make(item->call_id, "call_");
    item->key = realtime_new_key(rt);
    read_status(item, object);
    return item;
}

/* ---- Client events ---- */

/* Where a new item stands; -1: refused. */
static int place_of(const realtime *rt, const json *event, api_error *f) {
    const json *v = json_get(event, "previous_item_id");
    if (json_is_null(v)) return rt->item_count;
    const char *id = realtime_text_of(v, REALTIME_ID_CAP - 1);
    if (id != NULL && strcmp(id, "root") == 0) return 0;
    const int index = id != NULL ? realtime_find(rt, id) : -1;
    if (index >= 0) return index + 1;
    (void)realtime_refuse(f, API_ITEM_NOT_FOUND, "previous_item_id",
                          "There is no item '%.64s' in the conversation", id != NULL ? id : "");
    return -1;
}

/* Counts the pictures of an item that comes in. False: too many bytes of them are there. Pixels for
 * which there is no room are decoded again when the model is told. */
static bool take_pictures(realtime *rt, realtime_item *item, api_error *f) {
    int64_t pixel_count;
    const size_t size = realtime_item_picture_size(item, &pixel_count);
    if (rt->picture_size + size > LIMIT_KEPT_PICTURES_SIZE)
        return realtime_refuse(f, API_INVALID_VALUE, "item.content",
                               "Invalid 'item.content': a conversation holds at most %d bytes of "
                               "pictures; delete items with pictures first",
                               LIMIT_KEPT_PICTURES_SIZE);
    rt->picture_size += size;
    rt->pixel_count += pixel_count;
    for (int i = 0; i < item->part_count; i++) {
        realtime_part *part = &item->parts[i];
        rt->waiting_size += realtime_part_pixel_size(part);
        if (rt->waiting_size > rt->config.sound_size_max) realtime_part_drop_heard(rt, part);
    }
    return true;
}

bool realtime_do_item_create(realtime *rt, const json *event, api_error *f) {
    const json *object = json_get(event, "item");
    if (object == NULL)
        return realtime_refuse(f, API_MISSING_PARAMETER, "item",
                               "Missing required parameter: 'item'");
    const int place = place_of(rt, event, f);
    realtime_item *item = place >= 0 ? realtime_item_read(rt, object, "item", f) : NULL;
    if (item == NULL) return false;
    const bool taken = realtime_find(rt, item->id) >= 0 ||
                       (rt->clip.open && strcmp(rt->clip.item_id, item->id) == 0);
    if (taken) {
        (void)realtime_refuse(f, API_ITEM_EXISTS, "item.id", "There is an item '%s' already",
                              item->id);
        realtime_item_drop(&item);
        return false;
    }
    if (!take_pictures(rt, item, f)) {
        realtime_item_drop(&item);
        return false;
    }
    realtime_unguess(rt);
    realtime_insert(rt, item, place);
    rt->sound_size += realtime_item_sound_size(item);
    (void)make_room(rt, NULL, 0);
    realtime_tell_added(rt, item);
    realtime_tell_done(rt, item);
    realtime_item_drop(&item);
    realtime_go_ahead(rt);
    return true;
}

/* The item that an event names; -1: refused. */
static int named_item(const realtime *rt, const json *event, api_error *f) {
    const json *v = json_get(event, "item_id");
    const char *id = realtime_text_of(v, REALTIME_ID_CAP - 1);
    const int index = id != NULL ? realtime_find(rt, id) : -1;
    if (v == NULL)
        (void)realtime_refuse(f, API_MISSING_PARAMETER, "item_id",
                              "Missing required parameter: 'item_id'");
    else if (index < 0)
        (void)realtime_refuse(f, API_ITEM_NOT_FOUND, "item_id",
                              "There is no item '%.64s' in the conversation", id != NULL ? id : "");
    return index;
}

bool realtime_do_item_retrieve(realtime *rt, const json *event, api_error *f) {
    const int index = named_item(rt, event, f);
    if (index < 0) return false;
    const realtime_view view = {.beta = rt->beta, .sound = true};
    json_out *o = realtime_event(rt, "conversation.item.retrieved");
    realtime_item_write(rt->items[index], &view, "item", o);
    realtime_send(rt);
    return true;
}

void realtime_part_from(realtime *rt, uint32_t key) {
    for (int i = 0; i < rt->item_count; i++)
        if (key != 0 && rt->items[i]->key == key) rt->items[i]->key = realtime_new_key(rt);
}

bool realtime_do_item_delete(realtime *rt, const json *event, api_error *f) {
    const int index = named_item(rt, event, f);
    if (index < 0) return false;
    realtime_item *item = realtime_item_hold(rt->items[index]);
    if (item->status == REALTIME_IN_PROGRESS) {
        realtime_item_drop(&item);
        return realtime_refuse(f, API_INVALID_VALUE, "item_id",
                               "This item is being made; cancel its response first");
    }
    realtime_unguess(rt);
    if (rt->cut.item == item) realtime_settle(rt);
    take_out(rt, index);
    /* What else was said in that response stays, as text: the model keeps no half of an entry. */
    realtime_part_from(rt, item->key);
    json_out *o = realtime_event(rt, "conversation.item.deleted");
    json_out_word(o, "item_id", item->id);
    realtime_send(rt);
    realtime_item_drop(&item);
    return true;
}
