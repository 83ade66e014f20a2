#include "serve/answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/limits.h"

typedef struct answer_kept {
    char id[64];
    int owner;
    int64_t until;
    char *words; /* NULL: an empty place */
    size_t size;
} answer_kept;

struct answers {
    answer_kept kept[LIMIT_ANSWERS_KEPT];
    int next; /* the place of the oldest */
};

answers *answers_create(void) {
    return calloc(1, sizeof(answers));
}

void answers_destroy(answers **a) {
    if (a == NULL || *a == NULL) return;
    for (int i = 0; i < LIMIT_ANSWERS_KEPT; i++) free((*a)->kept[i].words);
    free(*a);
    *a = NULL;
}

void answers_keep(answers *a, const char *id, int owner, const char *words, size_t size,
                  int64_t now) {
    char *copy = malloc(size + 1);
    if (copy == NULL) return;
    if (size > 0) memcpy(copy, words, size);
    answer_kept *k = &a->kept[a->next];
    a->next = (a->next + 1) % LIMIT_ANSWERS_KEPT;
    free(k->words);
    *k = (answer_kept){
        .owner = owner, .until = now + LIMIT_ANSWERS_SECONDS, .words = copy, .size = size};
    (void)snprintf(k->id, sizeof k->id, "%s", id);
}

bool answers_find(const answers *a, const char *id, int owner, int64_t now, const char **words,
                  size_t *size) {
    for (int i = 0; i < LIMIT_ANSWERS_KEPT; i++) {
        const answer_kept *k = &a->kept[i];
        if (k->words == NULL || k->owner != owner || k->until < now || strcmp(k->id, id) != 0)
            continue;
        *words = k->words;
        *size = k->size;
        return true;
    }
    return false;
}
