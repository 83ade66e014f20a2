/* What a run has finished, so that the next one can go on after a crash or a power cut: one line of
 * JSON for each finished input, on the disk before the next begins. Also the share of one machine
 * among several. */
#ifndef APPS_MANIFEST_H
#define APPS_MANIFEST_H

#include <runnel/runnel.h>

/* A file as it was when it was worked on: a changed one is worked on again. */
typedef struct manifest_input {
    const char *path;
    int64_t size, changed; /* bytes; modification time, ns since 1970 */
    int channels;          /* that were written by themselves; 0: the input as one */
    bool damaged;          /* something of its sound is missing; no part of what it is */
} manifest_input;

/* The input's size and time; false: it is not there. */
bool manifest_look(const char *path, manifest_input *out);

typedef struct manifest manifest;

/* The manifest of a folder: reads every FOLDER/runnel-manifest*.jsonl when resume is true, and
 * opens the one of this shard (shard_count 1: runnel-manifest.jsonl) to add to it, anew when resume
 * is false. settings: what the results depend on; finished inputs of other settings do not count.
 * Lines that are damaged (the last one, after a power cut) are passed over.
 * EXIT_OK or the code of a complaint; *out is then NULL. */
int manifest_open(const char *folder, const char *settings, int shard, int shard_count, bool resume,
                  manifest **out);
void manifest_close(manifest **m); /* NULL is fine; sets NULL */
/* Whether the input is in it: the same path, byte for byte, size, time and settings. */
bool manifest_is_done(const manifest *m, const manifest_input *input);
/* The channels of an input that is done. */
int manifest_channels(const manifest *m, const manifest_input *input);
/* Whether it is done, and was damaged when that was written last. */
bool manifest_is_damaged(const manifest *m, const manifest_input *input);
/* Adds a line and waits until it is on the disk. Any thread, one at a time (the caller locks).
 * False with a sentence in error. */
bool manifest_add(manifest *m, const manifest_input *input, double seconds, rnl_error *error);

/* Takes the lines of a manifest's text, as manifest_open does for each file; for the tests.
 * Returns the lines passed over as damaged. */
manifest *manifest_from_text(const char *text, size_t size, const char *settings,
                             size_t *damaged_count);

/* "i/n" with 0 <= i < n <= 1000000; false for anything else. */
bool shard_parse(const char *text, int *shard, int *shard_count);
/* The share that a path belongs to: FNV-1a of its bytes, so that it stays the same when other files
 * come or go, on every machine that knows the file under this name. */
int shard_of(const char *path, int shard_count);

#endif
