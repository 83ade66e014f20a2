/* Files of the program that get their name when they are complete (core/staged_file.h), and that
 * are removed when the program ends before that (apps/ending.h). */
#ifndef APPS_REPLACE_H
#define APPS_REPLACE_H

#include <stdbool.h>
#include <stdio.h>

#include "core/staged_file.h"

typedef struct replacement {
    staged_file *staged;
    FILE *file; /* to write to; NULL: none is open */
    char *doomed;
} replacement;

/* Whether a file may be put under this name: it is free, or a regular file that the command does
 * not read (apps/sources.h). False with a sentence in error: RNL_ERR_IO, RNL_ERR_ARGUMENT. */
bool target_is_free(const char *path, rnl_error *error);
/* The same: EXIT_OK, or the code of a complaint. */
int check_target(const char *path);

/* Opens a file beside path, when it may be put there. False with a sentence in error; nothing is
 * left then. */
bool replacement_open(replacement *r, const char *path, rnl_error *error);
/* What was written is on the disk. False with a sentence in error: drop it. */
bool replacement_sync(replacement *r, rnl_error *error);
/* Syncs and gives the file its name. False with a sentence in error. Nothing is left to do. */
bool replacement_commit(replacement *r, rnl_error *error);
/* Removes the file. A zeroed, committed or dropped one is fine. */
void replacement_drop(replacement *r);

/* All of it in one: `write` says whether it could; errno is the reason when not. False with a
 * sentence in error: an older file is as it was. */
bool replace_file(const char *path, bool (*write)(FILE *f, const void *context),
                  const void *context, rnl_error *error);

#endif
