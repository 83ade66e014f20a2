/* The cache of the model hub on this disk, in the layout that Python's huggingface_hub writes:
 * where it lies, and what is in it. Nothing here speaks to the hub or writes.
 *
 *     ROOT/models--ORG--NAME/refs/main               the commit that a revision stood for
 *     ROOT/models--ORG--NAME/snapshots/COMMIT/FILE   a link to ../../blobs/SUM
 *     ROOT/models--ORG--NAME/blobs/SUM               the bytes */
#ifndef APPS_HUB_CACHE_H
#define APPS_HUB_CACHE_H

#include <stdint.h>

#include "core/digest.h"
#include "apps/hub_choose.h"
#include "apps/hub_name.h"

enum { HUB_CACHE_PATH_CAP = 4096 };

/* ROOT: HF_HUB_CACHE, else hub below HF_HOME, else huggingface/hub below XDG_CACHE_HOME or
 * ~/.cache. False: there is no home, or the path is too long. */
bool hub_cache_root(char root[HUB_CACHE_PATH_CAP]);
/* The folder of HF_HOME or its default, for the token's file. False likewise. */
bool hub_cache_home(char home[HUB_CACHE_PATH_CAP]);
/* HF_HUB_OFFLINE is set: nothing may be fetched. */
bool hub_is_offline(void);
/* models--ORG--NAME. */
void hub_cache_folder_name(const char *repo, char name[HUB_REPO_CAP + 16]);

/* The files of a snapshot whose bytes are here, sorted by name. */
typedef struct hub_snapshot {
    char folder[HUB_CACHE_PATH_CAP]; /* its path */
    char commit[DIGEST_HEX_CAP];
    char **paths; /* [count] below folder */
    size_t count, cap;
} hub_snapshot;

/* Reads the snapshot of the name's revision. False: there is none, and it is left empty. */
bool hub_snapshot_read(hub_snapshot *s, const hub_name *n);
void hub_snapshot_free(hub_snapshot *s); /* an empty or zeroed one is fine */

/* Where the parts of a model lie; "": none. */
typedef struct hub_model {
    char path[HUB_ROLE_COUNT][HUB_CACHE_PATH_CAP]; /* HUB_MAIN: of the main file or of the folder */
} hub_model;

/* Looks for a model in the cache. The kind says what was found there: HUB_SET and HUB_FOLDER fill
 * *out; HUB_NO_MODEL, too, when there is no snapshot. With HUB_NO_QUANT quants names those that are
 * there. */
hub_choice_kind hub_cache_find(const hub_name *n, hub_model *out, char *quants, size_t quants_cap);

#endif
