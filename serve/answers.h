/* The words of spoken answers by their id, for the next request that names one: the last
 * LIMIT_ANSWERS_KEPT, for LIMIT_ANSWERS_SECONDS. They belong to the key that was answered; without
 * keys to whoever names the id, which nobody guesses. */
#ifndef SERVE_ANSWERS_H
#define SERVE_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct answers answers;

answers *answers_create(void);     /* NULL: no memory */
void answers_destroy(answers **a); /* NULL is fine; sets NULL */
/* Copies; the oldest makes room. Without memory it is not kept. now: s since 1970. */
void answers_keep(answers *a, const char *id, int owner, const char *words, size_t size,
                  int64_t now);
/* Valid until the next call. */
bool answers_find(const answers *a, const char *id, int owner, int64_t now, const char **words,
                  size_t *size);

#endif
