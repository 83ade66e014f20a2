/* Files that are written beside their place and get their name when they are complete: no reader
 * ever meets half of one, and an older file stays as it was until then. */
#ifndef APPS_REPLACE_H
#define APPS_REPLACE_H

#include <stdbool.h>
#include <stdio.h>

typedef struct replacement {
    FILE *file; /* to write to; NULL: none is open, as in a zeroed one */
    char *path, *temporary;
} replacement;

/* EXIT_OK when a file may be put under this name: it is free or a regular file; else the code of a
 * complaint. */
int check_target(const char *path);

/* Opens a file beside path, to be read and written; should the program end at once, it is removed.
 * False, with errno: nothing is left. */
bool replacement_open(replacement *r, const char *path);
/* Everything written is on the disk; the file is closed and not yet renamed. False, with errno. */
bool replacement_close(replacement *r);
/* Closes the file unless that was done and gives it its name. False, with errno. */
bool replacement_commit(replacement *r);
/* Ends every replacement: removes the file unless it has its name, and frees path. errno is kept. A
 * zeroed one is fine. */
void replacement_drop(replacement *r);

/* All of it in one: `write` says whether it could. False, with errno. */
bool replace_file(const char *path, bool (*write)(FILE *f, const void *context),
                  const void *context);

#endif
