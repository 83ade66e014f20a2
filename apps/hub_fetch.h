/* Fetches files, several at once, so that each takes its name only when its size and its sum are
 * what they should be. What has come of one that is not complete stays beside it and is gone on
 * from the next time. */
#ifndef APPS_HUB_FETCH_H
#define APPS_HUB_FETCH_H

#include "apps/hub.h"
#include "apps/options.h"

typedef struct fetch_file {
    char *url;                      /* owned by the caller, as all below */
    const char *token;              /* NULL: none */
    const char *name;               /* in sentences */
    const char *repo;               /* in remedies; NULL: of no model of the hub */
    int folder;                     /* where it goes, open */
    const char *partial, *complete; /* names in it, while it comes and then */
    int64_t size;                   /* -1: not known */
    const char *sum;                /* in hex; NULL: not known */
    digest_kind kind;
    char found[DIGEST_HEX_CAP]; /* out: its sum */
    int64_t have;               /* out: bytes that are here */
} fetch_file;

/* Fetches all. EXIT_OK: all are complete and have their names; else the code after one complaint:
 * those that were complete by then have theirs. The hub takes no further requests. */
int fetch_files(hub *h, fetch_file *files, size_t count, const options *o);

#endif
