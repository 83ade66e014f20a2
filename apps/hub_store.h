/* Writing into the cache of the model hub (hub_cache.h has its layout). Below the cache's folder no
 * link is followed: a link that lies there would lead what a stranger sends to somewhere else. */
#ifndef APPS_HUB_STORE_H
#define APPS_HUB_STORE_H

#include "apps/hub_cache.h"

typedef struct hub_store {
    int model, blobs, locks; /* folders */
    char root[HUB_CACHE_PATH_CAP];
    int *held; /* [held_count] locks */
    size_t held_count;
} hub_store;

/* Whether nothing of this model was ever fetched to the cache. */
bool hub_store_is_new(const char *repo);
/* Makes the folders. EXIT_OK, or the code of a complaint; close it in any case. */
int hub_store_open(hub_store *s, const char *repo);
void hub_store_close(hub_store *s); /* gives the locks up */
/* Waits until nobody else writes the blob (Python takes the same lock), and keeps others waiting.
 * With several: in the order of their names, or two pulls wait for each other. name is put into a
 * sentence. EXIT_OK, EXIT_STOPPED, or the code of a complaint. */
int hub_store_lock(hub_store *s, const char *sum, const char *name);
/* Whether the bytes are here: a file of this name and size. EXIT_OK, or the code of a complaint:
 * what lies there is a link or no file. */
int hub_store_has(const hub_store *s, const char *sum, int64_t size, const char *name, bool *has);
/* Makes snapshots/COMMIT/PATH point to the blob. EXIT_OK, or the code of a complaint. */
int hub_store_link(const hub_store *s, const char *commit, const char *path, const char *sum);
/* Notes that the revision stands for the commit. EXIT_OK, or the code of a complaint. */
int hub_store_ref(const hub_store *s, const char *revision, const char *commit);

/* Removes all of a model. EXIT_OK, or the code of a complaint: it is not there, or being pulled. */
int hub_store_remove(const char *repo);

#endif
