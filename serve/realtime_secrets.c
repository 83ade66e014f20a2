/* See realtime_secrets.h. */
#include "serve/realtime_secrets.h"

#include <stdlib.h>
#include <string.h>

#include "core/digest.h"
#include "serve/api_keys.h"
#include "serve/ids.h"
#include "serve/limits.h"

typedef struct kept {
    char sum[DIGEST_HEX_CAP];
    realtime_secret what; /* session is our copy */
} kept;

struct realtime_secrets {
    kept list[LIMIT_CLIENT_SECRETS];
    int count;
    int64_t number_last;
};

realtime_secrets *realtime_secrets_create(void) {
    return calloc(1, sizeof(realtime_secrets));
}

static void forget(realtime_secrets *s, int index) {
    free((char *)s->list[index].what.session);
    s->list[index] = s->list[--s->count];
}

void realtime_secrets_destroy(realtime_secrets **out) {
    realtime_secrets *s = *out;
    *out = NULL;
    while (s != NULL && s->count > 0) forget(s, s->count - 1);
    free(s);
}

static bool sum_of(const char *value, char sum[DIGEST_HEX_CAP]) {
    const size_t size = strlen(value);
    digest *d = digest_open(DIGEST_SHA256, (int64_t)size);
    if (d == NULL) return false;
    digest_add(d, value, size);
    return digest_end(&d, sum);
}

/* Those that have expired, and, for room, the one that would be next. */
static void make_room(realtime_secrets *s, int64_t now) {
    int first = 0;
    for (int i = s->count - 1; i >= 0; i--)
        if (s->list[i].what.expires <= now) forget(s, i);
    if (s->count < LIMIT_CLIENT_SECRETS) return;
    for (int i = 1; i < s->count; i++)
        if (s->list[i].what.expires < s->list[first].what.expires) first = i;
    forget(s, first);
}

bool realtime_secrets_make(realtime_secrets *s, const realtime_secret *what, int64_t now,
                           char value[SECRET_CAP]) {
    char more[ID_CAP];
    kept made = {.what = *what};
    id_make(value, "ek_");
    id_make(more, "");
    /* 32 random characters: 190 bits. */
    memcpy(value + 3 + ID_RANDOM, more, 32 - ID_RANDOM);
    value[3 + 32] = '\0';
    made.what.session = NULL;
    if (what->session != NULL) {
        char *copy = malloc(what->size + 1);
        if (copy == NULL) return false;
        memcpy(copy, what->session, what->size);
        copy[what->size] = '\0';
        made.what.session = copy;
    }
    if (!sum_of(value, made.sum)) {
        free((char *)made.what.session);
        return false;
    }
    make_room(s, now);
    made.what.number = ++s->number_last;
    s->list[s->count++] = made;
    return true;
}

bool realtime_secrets_find(const realtime_secrets *s, const char *value, int64_t now,
                           realtime_secret *out) {
    char sum[DIGEST_HEX_CAP];
    const kept *found = NULL;
    if (strncmp(value, "ek_", 3) != 0 || !sum_of(value, sum)) return false;
    for (int i = 0; i < s->count; i++)
        if (api_keys_equal(s->list[i].sum, sum)) found = &s->list[i];
    if (found == NULL || found->what.expires <= now) return false;
    *out = found->what;
    return true;
}
