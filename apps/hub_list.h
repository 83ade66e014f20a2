/* What the hub says about a model, parsed and checked: its commit and licence, and the listing of
 * its files. All of it comes from strangers. Pure functions. */
#ifndef APPS_HUB_LIST_H
#define APPS_HUB_LIST_H

#include <runnel/runnel.h>

#include "core/digest.h"

typedef struct hub_file {
    char *path;                /* safe to be a file's (hub_path_is_safe); owned */
    char blob[DIGEST_HEX_CAP]; /* its name in the cache, which is its sum */
    digest_kind kind;          /* of that sum */
    int64_t size;
} hub_file;

typedef struct hub_list {
    hub_file *files;
    size_t count, cap;
} hub_list;

/* Adds a page of the tree API: an array of objects with type, path, size, oid and, for large files,
 * lfs.oid. name is put into sentences. False with a sentence; the list is then only to be freed. */
bool hub_list_add(hub_list *l, const char *text, size_t size, const char *name, rnl_error *error);
void hub_list_free(hub_list *l); /* leaves an empty one */

typedef struct hub_info {
    char commit[DIGEST_HEX_CAP];
    char licence[128];      /* as the hub names it; "": it does not */
    char licence_link[512]; /* likewise; may be the name of a file of the model */
    bool licence_is_lfm;    /* Liquid's, with its limit */
} hub_info;

/* Parses the answer about a model at a revision. False with a sentence. */
bool hub_info_parse(hub_info *out, const char *text, size_t size, const char *repo,
                    rnl_error *error);

#endif
