/* See realtime_items.h. */
#include "serve/realtime_items.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "serve/realtime_inner.h"

realtime_item *realtime_item_new(realtime_role role, int part_count) {
    realtime_item *item = calloc(1, sizeof *item);
    if (item == NULL) return NULL;
    item->holders = 1;
    item->role = role;
    item->status = REALTIME_COMPLETED;
    item->part_count = part_count;
    item->parts = calloc(part_count > 0 ? (size_t)part_count : 1, sizeof *item->parts);
    if (item->parts != NULL) return item;
    free(item);
    return NULL;
}

realtime_item *realtime_item_hold(realtime_item *item) {
    item->holders++;
    return item;
}

void realtime_item_drop(realtime_item **item) {
    realtime_item *i = *item;
    *item = NULL;
    if (i == NULL || --i->holders > 0) return;
    for (int p = 0; p < i->part_count; p++) {
        free(i->parts[p].text);
        free(i->parts[p].samples);
        free(i->parts[p].heard);
        free(i->parts[p].pixels);
    }
    free(i->parts);
    free(i);
}

bool realtime_part_say(realtime_part *part, const char *text, size_t size) {
    if (size > REALTIME_SAID_MAX - part->size) return false;
    const size_t needed = part->size + size + 1;
    if (needed > part->text_cap) {
        const size_t cap = 2 * part->text_cap > needed ? 2 * part->text_cap : needed + 63;
        char *grown = realloc(part->text, cap);
        if (grown == NULL) return false;
        part->text = grown;
        part->text_cap = cap;
    }
    if (size > 0) memcpy(part->text + part->size, text, size);
    part->size += size;
    part->said_size = part->size;
    part->text[part->size] = 0;
    return true;
}

size_t realtime_item_sound_size(const realtime_item *item) {
    size_t size = 0;
    for (int i = 0; i < item->part_count; i++)
        if (item->parts[i].samples != NULL) size += item->parts[i].count * sizeof(int16_t);
    return size;
}

void realtime_item_drop_sound(realtime_item *item) {
    for (int i = 0; i < item->part_count; i++) {
        free(item->parts[i].samples);
        item->parts[i].samples = NULL;
        item->parts[i].count = item->parts[i].sample_cap = 0;
    }
}

size_t realtime_item_picture_size(const realtime_item *item, int64_t *pixel_count) {
    size_t size = 0;
    *pixel_count = 0;
    for (int i = 0; i < item->part_count; i++) {
        const realtime_part *part = &item->parts[i];
        if (part->kind != REALTIME_PART_PICTURE) continue;
        size += part->size;
        *pixel_count += (int64_t)part->width * part->height;
    }
    return size;
}

size_t realtime_part_pixel_size(const realtime_part *part) {
    return part->pixels != NULL ? (size_t)part->width * (size_t)part->height * 3 : 0;
}

bool realtime_item_has_speech(const realtime_item *item) {
    return item->role == REALTIME_ASSISTANT && item->part_count > 0 &&
           item->parts[0].kind == REALTIME_PART_SOUND;
}

/* ---- Writing ---- */

static void write_sound(const realtime_part *part, json_out *o) {
    if (part->samples == NULL) return;
    unsigned char *bytes = malloc(2 * part->count + 1);
    if (bytes == NULL) return;
    const size_t size = realtime_sound_encode(part->format, part->samples, part->count, bytes);
    json_out_base64(o, "audio", bytes, size);
    free(bytes);
}

static void write_picture(const realtime_part *part, const realtime_view *view, json_out *o) {
    static const char *const details[] = {"auto", "low", "high"};
    json_out_word(o, "detail", details[part->detail]);
    if (view->sound) json_out_text(o, "image_url", part->text, part->size);
}

static void write_part(const realtime_item *item, const realtime_part *part,
                       const realtime_view *view, json_out *o) {
    static const char *const types[2][3] = {{"input_text", "input_audio", "input_image"},
                                            {"output_text", "output_audio", ""}};
    static const char *const beta_types[] = {"text", "audio", ""};
    const bool ours = item->role == REALTIME_ASSISTANT;
    json_out_object(o, NULL);
    json_out_word(o, "type", ours && view->beta ? beta_types[part->kind] : types[ours][part->kind]);
    const char *key = part->kind == REALTIME_PART_TEXT ? "text" : "transcript";
    if (part->kind == REALTIME_PART_PICTURE)
        write_picture(part, view, o);
    else if (part->text != NULL)
        json_out_text(o, key, part->text, part->size);
    else if (part->kind == REALTIME_PART_SOUND && !ours)
        json_out_null(o, key);
    else
        json_out_word(o, key, "");
    if (part->kind == REALTIME_PART_SOUND && view->sound) write_sound(part, o);
    json_out_end(o);
}

static void write_message(const realtime_item *item, const realtime_view *view, json_out *o) {
    static const char *const roles[] = {"system", "user", "assistant"};
    json_out_word(o, "role", roles[item->role]);
    json_out_array(o, "content");
    /* What is being made is not told before it is whole. */
    const bool told = item->status != REALTIME_IN_PROGRESS || view->sound;
    for (int i = 0; i < item->part_count && told; i++) write_part(item, &item->parts[i], view, o);
    json_out_end(o);
}

static void write_payload(const realtime_item *item, const char *key, json_out *o) {
    const realtime_part *part = &item->parts[0];
    const bool told = item->status != REALTIME_IN_PROGRESS && part->text != NULL;
    json_out_text(o, key, told ? part->text : "", told ? part->size : 0);
}

void realtime_item_write(const realtime_item *item, const realtime_view *view, const char *key,
                         json_out *o) {
    static const char *const types[] = {"message", "message", "message", "function_call",
                                        "function_call_output"};
    static const char *const statuses[] = {"in_progress", "completed", "incomplete"};
    json_out_object(o, key);
    json_out_word(o, "id", item->id);
    if (view->beta) json_out_word(o, "object", "realtime.item");
    json_out_word(o, "type", types[item->role]);
    json_out_word(o, "status", statuses[item->status]);
    if (item->role <= REALTIME_ASSISTANT) {
        write_message(item, view, o);
    } else {
        if (item->role == REALTIME_CALL) json_out_word(o, "name", item->name);
        json_out_word(o, "call_id", item->call_id);
        write_payload(item, item->role == REALTIME_CALL ? "arguments" : "output", o);
    }
    json_out_end(o);
}
