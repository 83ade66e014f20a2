/* Several readers side by side: lines are read as many at a time as there are threads, each by one
 * thread alone, so that sound is resampled and encoded on all of them, however short the clips are.
 * Samples do not depend on it. */
#ifndef LEARN_READERS_H
#define LEARN_READERS_H

#include "learn/sample.h"

typedef struct learn_readers learn_readers;

typedef struct learn_line {
    const char *text; /* [size] */
    size_t size;
    long number; /* in its file, from 1 */
    /* What came of it; nothing is to be freed where status is none of RNL_OK. */
    learn_sample sample;
    bool is_cut;
    rnl_status status;
    rnl_error error;
} learn_line;

/* how->thread_count of them, at most 8; how->media is asked by all at a time. Errors of
 * learn_reader_create. */
RNL_MUST_USE rnl_status learn_readers_create(const rnl_model *m, const learn_reading *how,
                                             learn_readers **out, rnl_error *error);
void learn_readers_destroy(learn_readers **r); /* NULL is fine; sets NULL */

const learn_reading *learn_readers_how(const learn_readers *r);

/* Lines [count] of the file at path; its folder is what paths in them are relative to. */
void learn_readers_take(learn_readers *r, const char *path, learn_line *lines, int count);

#endif
