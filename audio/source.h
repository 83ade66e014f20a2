/* Where the bytes of a sound come from: a file, a pipe under a name, or standard input. All of them
 * are read in order and once; what must be read again from its beginning (libsndfile and ffmpeg
 * seek) is a regular file already, or is kept in a temporary one first. */
#ifndef AUDIO_SOURCE_H
#define AUDIO_SOURCE_H

#include "audio/bytes.h"

typedef struct sound_source {
    char *name;       /* what sentences call it */
    const char *path; /* what opens it anew; NULL: nothing does but fd, which can seek then */
    int fd;
    bool owned;   /* fd is closed with it */
    bool regular; /* a file: it can be read again from its beginning */
    int64_t size; /* bytes of a regular file; -1: not known */
    bytes b;      /* read in order, from where fd stood */
} sound_source;

/* Opens a path, or standard input for "-". May block on a pipe without a writer. Refused with one
 * sentence: missing, empty, a folder. RNL_ERR_IO, RNL_ERR_DATA, RNL_ERR_MEMORY; *out is NULL. */
rnl_status source_open(const char *path, sound_source **out, rnl_error *error);
/* Of bytes that the caller has, which are copied. RNL_ERR_DATA: none; RNL_ERR_IO, RNL_ERR_MEMORY.
 */
rnl_status source_of_bytes(const char *name, const void *data, size_t size, sound_source **out,
                           rnl_error *error);
/* Keeps what a pipe still has to give, from the bytes that are only peeked at, in a temporary file
 * without a name; then the source is regular. Nothing to do for a regular one.
 * RNL_ERR_IO: no room for it, or the pipe's trouble. */
rnl_status source_keep(sound_source *s, rnl_error *error);
/* Another source of the same bytes, from their beginning, of a regular one. Both may be closed in
 * any order, but only one at a time may be read. Errors as of open. */
rnl_status source_again(const sound_source *s, sound_source **out, rnl_error *error);
/* A descriptor at the beginning of a regular source, or -1 with errno; the caller closes it. */
int source_reopen(const sound_source *s);
/* RNL_ERR_IO with the sentence of a read that failed. */
rnl_status source_fault(const sound_source *s, rnl_error *error);
void source_close(sound_source **s); /* NULL is fine; sets NULL */

#endif
