/* A file mapped read-only, and large memory. */
#ifndef CORE_MAPPED_H
#define CORE_MAPPED_H

#include <runnel/runnel.h>

typedef struct mapped {
    const unsigned char *data;
    size_t size;
} mapped;

/* RNL_ERR_FORMAT when the bytes of a file are what Git leaves in its place without LFS. */
RNL_MUST_USE rnl_status mapped_refuse_pointer(const char *path, const void *data, size_t size,
                                              rnl_error *error);

/* Maps a regular file. RNL_ERR_IO: missing, no regular file, not readable; RNL_ERR_FORMAT: empty,
 * or a Git LFS pointer.
 * The file must not shrink while mapped: touching what is gone raises SIGBUS (the program installs
 * a handler that says so; an embedding program should do the same). */
RNL_MUST_USE rnl_status mapped_open(const char *path, mapped *out, rnl_error *error);
void mapped_close(mapped *m); /* twice is fine */

/* Memory of our own for large arrays, zero; huge_pages: in such where the system offers them. To be
 * closed like a file. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status mapped_memory(size_t size, bool huge_pages, mapped *out);
/* The same in small pages that mapped_forget takes from this process and not from the memory: what
 * was written is there again when they are touched, as it is in a file. */
RNL_MUST_USE rnl_status mapped_lasting(size_t size, mapped *out);
/* Gives the whole pages of a part of a mapped file back to the system; they are read again when
 * touched. */
void mapped_forget(const void *data, size_t size);

#endif
