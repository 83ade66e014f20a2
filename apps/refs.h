/* References to measure against: lines of JSON with a path and a text, as NeMo's manifests have
 * them (audio_filepath and text); other keys are passed over. */
#ifndef APPS_REFS_H
#define APPS_REFS_H

#include <runnel/runnel.h>

typedef struct refs {
    char **paths, **texts; /* [count] */
    size_t count, cap;
} refs;

enum { REFS_COUNT_CAP = 1 << 20, REFS_LINE_CAP = 1 << 24 };

/* Reads the lines in text; key: of the path. name is put into sentences, which name the line. Paths
 * that are not absolute are relative to folder (NULL or "": the current one), as in NeMo to the
 * manifest's.
 * RNL_ERR_FORMAT, RNL_ERR_MEMORY; *out is then empty. */
RNL_MUST_USE rnl_status refs_parse(const char *name, const char *text, size_t size,
                                   const char *folder, const char *key, refs *out,
                                   rnl_error *error);
/* The same from a file, RNL_ERR_IO besides; paths are relative to its folder. */
RNL_MUST_USE rnl_status refs_read(const char *path, const char *key, refs *out, rnl_error *error);
void refs_free(refs *r); /* an empty one is fine */

#endif
