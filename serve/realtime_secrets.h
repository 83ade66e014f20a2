/* Client secrets of /v1/realtime (server.md A.9): keys that a program with an API key makes for a
 * page, for some minutes and one purpose. In memory only, and only their sums; when there are too
 * many those go first that would expire first. */
#ifndef SERVE_REALTIME_SECRETS_H
#define SERVE_REALTIME_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct realtime_secrets realtime_secrets;

enum { SECRET_CAP = 40, SECRET_SECONDS_MIN = 10, SECRET_SECONDS_MAX = 7200, SECRET_SECONDS = 600 };

realtime_secrets *realtime_secrets_create(void);     /* NULL: no memory */
void realtime_secrets_destroy(realtime_secrets **s); /* NULL is fine; sets NULL */

/* Of a secret; valid until the next call that makes one. */
typedef struct realtime_secret {
    int64_t number;      /* its own, from 1; set by realtime_secrets_make */
    int owner;           /* of the key that made it */
    int64_t expires;     /* s since 1970 */
    bool transcribes;    /* type of the session */
    const char *model;   /* that it opens sessions of; borrowed for ever. NULL: who asks chooses */
    const char *session; /* [size] the session object it begins with; NULL: the defaults */
    size_t size;
} realtime_secret;

/* Makes one and keeps a copy of what it is for. value: "ek_..."; false: no memory. now: s since
 * 1970. */
bool realtime_secrets_make(realtime_secrets *s, const realtime_secret *what, int64_t now,
                           char value[SECRET_CAP]);
/* False: no such secret, or it has expired. In a time that does not depend on how much of it is
 * right. */
bool realtime_secrets_find(const realtime_secrets *s, const char *value, int64_t now,
                           realtime_secret *out);

#endif
