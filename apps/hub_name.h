/* Names of the model hub: what a person calls a model, and which names of strangers may become
 * files here. Pure functions. */
#ifndef APPS_HUB_NAME_H
#define APPS_HUB_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum { HUB_REPO_CAP = 200, HUB_QUANT_CAP = 33, HUB_REVISION_CAP = 129, HUB_FILE_PATH_MAX = 255 };

typedef struct hub_name {
    char repo[HUB_REPO_CAP];         /* ORG/NAME */
    char quant[HUB_QUANT_CAP];       /* in capitals; "": none was named */
    char revision[HUB_REVISION_CAP]; /* branch, tag or commit; "main" when none was named */
} hub_name;

/* ORG/NAME[:QUANT][@REVISION] by the hub's own rules. False: this is no such name. */
bool hub_name_parse(const char *text, hub_name *out);
/* As it is typed: without what was not named. */
void hub_name_text(const hub_name *n, char *text, size_t cap);

/* Whether a name of a listing may be a file below a folder of ours: relative, without "." and ".."
 * and empty parts, without control characters, at most 255 bytes. */
bool hub_path_is_safe(const char *path, size_t size);
/* Exactly so many hex digits, in lower case. */
bool hub_is_hex(const char *text, size_t size, size_t digits);
/* The name of a commit: 40 digits, or the 64 of a repository with SHA-256. */
bool hub_is_commit(const char *text);

#endif
