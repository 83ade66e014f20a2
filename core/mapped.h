/* A file mapped read-only. */
#ifndef CORE_MAPPED_H
#define CORE_MAPPED_H

#include <runnel/runnel.h>

typedef struct mapped {
    const unsigned char *data;
    size_t size;
} mapped;

/* Maps a regular file. RNL_ERR_IO: missing, no regular file, not readable; RNL_ERR_FORMAT: empty.
 * The file must not shrink while mapped: touching what is gone raises SIGBUS (the program installs
 * a handler that says so; an embedding program should do the same). */
RNL_MUST_USE rnl_status mapped_open(const char *path, mapped *out, rnl_error *error);
void mapped_close(mapped *m); /* twice is fine */

#endif
