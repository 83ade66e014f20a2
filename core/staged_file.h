/* A file that takes its name only when it is complete. What is written goes to a new file beside
 * the target; commit puts it on the disk and renames it, so that no reader, crash or power cut ever
 * meets half of it. A symbolic link is written through: what it points to is replaced, not the
 * link. The new file has the owner and the mode of the one that it replaces, as far as the system
 * allows; it is no hard link of it. */
#ifndef CORE_STAGED_FILE_H
#define CORE_STAGED_FILE_H

#include <stdio.h>

#include <runnel/runnel.h>

typedef struct staged_file staged_file;

/* The name of a file that belongs to `path` and stands beside it: path and the suffix, shortened
 * where the system would find it too long (then with a hash, so that two long names stay apart).
 * Allocated; NULL: no memory. */
char *staged_beside(const char *path, const char *suffix);

/* Makes the temporary file, which is always new: what killed runs left under such a name stays as
 * it is. RNL_ERR_IO, also while this process writes the same target, RNL_ERR_MEMORY; *out is then
 * NULL. */
RNL_MUST_USE rnl_status staged_open(const char *path, staged_file **out, rnl_error *error);

/* Where to write: by the descriptor or by the stream, not by both. Both stay ours and open until
 * commit or abort. The stream is NULL when memory is exhausted. */
int staged_descriptor(staged_file *s);
FILE *staged_stream(staged_file *s);
const char *staged_path(const staged_file *s); /* as it was given */
/* The temporary's name, for programs that remove it in a signal handler; valid until commit. */
const char *staged_temporary(const staged_file *s);

/* It is removed before the program ends: sync and commit do not wait for the disk. */
void staged_passes(staged_file *s);
/* Everything written so far is on the disk. RNL_ERR_IO. */
RNL_MUST_USE rnl_status staged_sync(staged_file *s, rnl_error *error);
/* Syncs and renames. Frees it in any case; on failure nothing is left. */
RNL_MUST_USE rnl_status staged_commit(staged_file **s, rnl_error *error);
/* Removes the temporary file and frees. NULL is fine; sets NULL. */
void staged_abort(staged_file **s);

/* The whole of it for a small file: text and a line end under the name `path`. RNL_ERR_IO,
 * RNL_ERR_MEMORY, also of a text that is NULL. */
RNL_MUST_USE rnl_status staged_write_line(const char *path, const char *text, rnl_error *error);

#endif
