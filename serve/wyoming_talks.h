/* The conversations that Wyoming's agent remembers, by who asks: the client's address and its
 * conversation_id. Without a clock; what a conversation is, is the caller's. */
#ifndef SERVE_WYOMING_TALKS_H
#define SERVE_WYOMING_TALKS_H

#include <stdbool.h>
#include <stdint.h>

#include "serve/limits.h"

enum { WYOMING_ADDRESS_CAP = 48, WYOMING_ID_CAP = 128 };

typedef struct wyoming_talk {
    void *what; /* NULL: this place is free */
    bool used;  /* an answer is being made in it */
    int64_t used_us;
    char address[WYOMING_ADDRESS_CAP], id[WYOMING_ID_CAP];
} wyoming_talk;

typedef struct wyoming_talks {
    wyoming_talk all[LIMIT_WYOMING_CONVERSATIONS];
} wyoming_talks; /* zeroed: none */

/* The talk of this client, `used` from now on; with `what` NULL it is a new one. It may be a place
 * whose talk nobody used for longest: then *old is what was there, to be closed, else NULL. NULL:
 * it is in use already, or all are. An id of "" is never found again. */
wyoming_talk *wyoming_talks_take(wyoming_talks *t, const char *address, const char *id,
                                 int64_t now_us, void **old);
/* The answer is made. Keep false, or an id of "": the place is free again, and what was there is
 * returned, to be closed; else NULL. */
void *wyoming_talks_give(wyoming_talk *talk, bool keep, int64_t now_us);
/* What was not used for LIMIT_WYOMING_KEPT_SECONDS, one at each call, to be closed; NULL:
 * nothing. */
void *wyoming_talks_expire(wyoming_talks *t, int64_t now_us);

#endif
