/* Which names and which pages may be used to talk to the server: what keeps a page of a stranger
 * that runs in a browser here from it (cross-site requests, DNS rebinding). */
#ifndef SERVE_ORIGIN_H
#define SERVE_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

enum { ORIGIN_NAME_CAP = 64 };

typedef struct origin_rules {
    bool loopback;            /* it listens to this machine only: its usual names are allowed */
    const char *const *names; /* [name_count] of --name, without ports */
    int name_count;
    const char *const *origins; /* [origin_count] of --origin, as browsers write them */
    int origin_count;
} origin_rules;

/* Whether --host means this machine only: 127.x, ::1, localhost, unix:... */
bool origin_is_loopback(const char *host);

/* host: the header, with or without a port; NULL: there is none. */
bool origin_host_allowed(const origin_rules *r, const char *host);

typedef enum origin_verdict {
    ORIGIN_NONE,   /* no browser, or our own page: fine */
    ORIGIN_LISTED, /* of --origin: fine, and told so in the answer */
    ORIGIN_REFUSED
} origin_verdict;

/* host: the header, which was allowed; https: as the client sees it. */
origin_verdict origin_check(const origin_rules *r, const char *origin, const char *host,
                            bool https);

#endif
