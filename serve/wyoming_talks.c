#include "serve/wyoming_talks.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static void *release(wyoming_talk *talk) {
    void *what = talk->what;
    talk->what = NULL;
    talk->used = false;
    talk->id[0] = talk->address[0] = '\0';
    return what;
}

/* A free place, else the one whose talk rested longest. NULL: all are in use. */
static wyoming_talk *place(wyoming_talks *t) {
    wyoming_talk *best = NULL;
    for (int i = 0; i < LIMIT_WYOMING_CONVERSATIONS; i++) {
        wyoming_talk *at = &t->all[i];
        if (at->used) continue;
        if (at->what == NULL) return at;
        if (best == NULL || at->used_us < best->used_us) best = at;
    }
    return best;
}

wyoming_talk *wyoming_talks_take(wyoming_talks *t, const char *address, const char *id,
                                 int64_t now_us, void **old) {
    *old = NULL;
    wyoming_talk *talk = NULL;
    for (int i = 0; i < LIMIT_WYOMING_CONVERSATIONS && id[0] != '\0' && talk == NULL; i++)
        if (strcmp(t->all[i].id, id) == 0 && strcmp(t->all[i].address, address) == 0)
            talk = &t->all[i];
    if (talk != NULL && talk->used) return NULL;
    if (talk == NULL) {
        talk = place(t);
        if (talk == NULL) return NULL;
        *old = release(talk);
        (void)snprintf(talk->id, sizeof talk->id, "%s", id);
        (void)snprintf(talk->address, sizeof talk->address, "%s", address);
    }
    talk->used = true;
    talk->used_us = now_us;
    return talk;
}

void *wyoming_talks_give(wyoming_talk *talk, bool keep, int64_t now_us) {
    talk->used = false;
    talk->used_us = now_us;
    return keep && talk->id[0] != '\0' ? NULL : release(talk);
}

void *wyoming_talks_expire(wyoming_talks *t, int64_t now_us) {
    for (int i = 0; i < LIMIT_WYOMING_CONVERSATIONS; i++) {
        wyoming_talk *at = &t->all[i];
        if (at->what == NULL || at->used) continue;
        if (now_us - at->used_us >= LIMIT_WYOMING_KEPT_SECONDS * INT64_C(1000000))
            return release(at);
    }
    return NULL;
}
