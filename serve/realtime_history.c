/* What the model has of the conversation, and what it lacks. The machine remembers the keys that it
 * gave, in order; when the items are no longer a continuation of them the history begins anew. */
#include <stdlib.h>
#include <string.h>

#include "serve/realtime_inner.h"

static bool same_text(const char *a, const char *b) {
    return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static bool same_retention(const realtime_retention *a, const realtime_retention *b) {
    return a->keeps_all == b->keeps_all && a->ratio == b->ratio &&
           a->position_max == b->position_max;
}

static bool same_prompt(const realtime *rt, const realtime_settings *s) {
    if (!rt->has_prompt) return false;
    const realtime_prompt a = realtime_settings_prompt(&rt->prompt, &rt->config);
    const realtime_prompt b = realtime_settings_prompt(s, &rt->config);
    return a.mode == b.mode && same_text(a.instructions, b.instructions) &&
           same_text(a.tools, b.tools) && same_retention(&a.retention, &b.retention);
}

/* Whether an item is something for the model. What is being made it knows better. */
static bool counts(const realtime_item *item) {
    return item->key != 0 && item->status != REALTIME_IN_PROGRESS;
}

/* The items up to the first that the model lacks: their number, where had is a beginning of them;
 * -1 where it is not. Items of one reply have one key. */
static int known_count(const realtime *rt) {
    int had = 0, known = 0;
    for (int i = 0; i < rt->item_count; i++) {
        const realtime_item *item = rt->items[i];
        const bool again = had > 0 && item->key == rt->had[had - 1];
        if (counts(item) && !again) {
            if (had == rt->had_count) break;
            if (item->key != rt->had[had]) return -1;
            had++;
        }
        known = i + 1;
    }
    return had == rt->had_count ? known : -1;
}

bool realtime_is_current(const realtime *rt, const realtime_settings *s) {
    return same_prompt(rt, s) && rt->cut.item == NULL && known_count(rt) == rt->item_count;
}

void realtime_note_had(realtime *rt, uint32_t key) {
    if (rt->had_count > 0 && rt->had[rt->had_count - 1] == key) return;
    if (rt->had_count == REALTIME_ITEM_CAP) { /* more replies than items: it begins anew */
        rt->has_prompt = false;
        return;
    }
    rt->had[rt->had_count++] = key;
}

void realtime_forget_had(realtime *rt, uint32_t key) {
    if (rt->had_count == 0 || rt->had[0] != key) return;
    if (rt->item_count > 1 && rt->items[1]->key == key) return; /* its other half stays */
    rt->had_count--;
    memmove(rt->had, rt->had + 1, (size_t)rt->had_count * sizeof *rt->had);
}

static float *sound_of(const realtime_part *part, size_t *count) {
    if (part->heard == NULL) {
        if (part->samples == NULL || part->count == 0) return NULL;
        return realtime_sound_at_16k(part->samples, part->count, part->format.rate, count);
    }
    float *copy = malloc(part->heard_count * sizeof *copy + 1);
    if (copy != NULL) memcpy(copy, part->heard, part->heard_count * sizeof *copy);
    *count = part->heard_count;
    return copy;
}

realtime_entry realtime_entry_of(realtime *rt, const realtime_item *item, realtime_piece *pieces) {
    for (int i = 0; i < item->part_count; i++) {
        const realtime_part *part = &item->parts[i];
        if (part->kind == REALTIME_PART_PICTURE) {
            if (!realtime_picture_give(part, &pieces[i]))
                realtime_end(rt, API_ENGINE_FAILURE, "Memory is exhausted", 1011);
            continue;
        }
        pieces[i] = (realtime_piece){.text = part->text, .size = part->size};
        if (part->kind == REALTIME_PART_SOUND && item->role == REALTIME_USER)
            pieces[i].samples = sound_of(part, &pieces[i].count);
    }
    return (realtime_entry){
        .key = item->key,
        .role = item->role,
        .pieces = pieces,
        .piece_count = item->part_count,
        .name = item->name,
    };
}

static void append(realtime *rt, realtime_item *item) {
    realtime_piece pieces[REALTIME_PART_CAP];
    const realtime_entry entry = realtime_entry_of(rt, item, pieces);
    rt->ops.append(rt->ops.model, &entry);
    for (int i = 0; i < item->part_count; i++) realtime_part_drop_heard(rt, &item->parts[i]);
    realtime_note_had(rt, item->key);
}

void realtime_part_drop_heard(realtime *rt, realtime_part *part) {
    if (part->heard != NULL) rt->waiting_size -= part->heard_count * sizeof *part->heard;
    rt->waiting_size -= realtime_part_pixel_size(part);
    free(part->heard);
    free(part->pixels);
    part->heard = NULL;
    part->pixels = NULL;
}

static void restart(realtime *rt, const realtime_settings *s) {
    realtime_settings copy;
    if (!realtime_settings_copy(s, &copy)) {
        realtime_end(rt, API_ENGINE_FAILURE, "Memory is exhausted", 1011);
        return;
    }
    realtime_settings_free(&rt->prompt);
    rt->prompt = copy;
    rt->has_prompt = true;
    rt->had_count = 0;
    const realtime_prompt prompt = realtime_settings_prompt(&rt->prompt, &rt->config);
    rt->ops.restart(rt->ops.model, &prompt);
}

void realtime_bring_up(realtime *rt, const realtime_settings *s) {
    realtime_settle(rt);
    realtime_unfeed(rt);
    int known = known_count(rt);
    if (known < 0 || !same_prompt(rt, s)) {
        restart(rt, s);
        known = 0;
    }
    for (int i = known; i < rt->item_count && !rt->over; i++)
        if (counts(rt->items[i])) append(rt, rt->items[i]);
}

void realtime_go_ahead(realtime *rt) {
    if (rt->over || rt->clip.open || rt->cut.item != NULL || realtime_active(rt) != NULL ||
        rt->config.transcribes_only)
        return;
    const int known = known_count(rt);
    const bool goes_on = !rt->has_prompt || (same_prompt(rt, &rt->settings) && known >= 0);
    if (goes_on && known < rt->item_count) realtime_bring_up(rt, &rt->settings);
}

/* A model that cannot do what it is told would begin anew for ever. */
void realtime_go_astray(realtime *rt) {
    if (rt->astray) return;
    rt->astray = true;
    rt->has_prompt = false;
    rt->had_count = 0;
    if (realtime_active(rt) == NULL) realtime_unfeed(rt);
}
