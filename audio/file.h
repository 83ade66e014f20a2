/* Sound files: reading any format of libsndfile as one mono signal, writing 16-bit WAV. */
#ifndef AUDIO_FILE_H
#define AUDIO_FILE_H

#include <runnel/runnel.h>

typedef struct sound {
    float *samples; /* [count] mono, mixed down; sound_free() */
    size_t count;
    int rate; /* Hz */
} sound;

/* Reads the whole file. Refused with one sentence: missing, no sound, empty, more than 8
 * channels, a rate outside 4000 to 768000 Hz, longer than seconds_max, samples that are not
 * numbers. The length is counted, never taken from the header, and memory grows with it.
 * RNL_ERR_IO, RNL_ERR_DATA, RNL_ERR_TOO_LONG, RNL_ERR_MEMORY; *out is then empty. */
RNL_MUST_USE rnl_status sound_read(const char *path, double seconds_max, sound *out,
                                   rnl_error *error);
void sound_free(sound *s);

/* Writes beside the target and renames at the end; abort (or an error of finish) leaves nothing and
 * an older file of that name as it was. A target that exists and is no regular file (a folder, a
 * device) is refused with RNL_ERR_IO. *out is NULL after an error of create. */
typedef struct sound_writer sound_writer;
RNL_MUST_USE rnl_status sound_writer_create(const char *path, int rate, sound_writer **out,
                                            rnl_error *error);
/* The file beside the target: what to remove when the program must end at once. Lives until finish
 * or abort. */
const char *sound_writer_temporary(const sound_writer *w);
/* Samples are clipped to [-1, 1] and rounded to 16 bits. RNL_ERR_IO: disk full. */
RNL_MUST_USE rnl_status sound_write(sound_writer *w, const float *samples, size_t count,
                                    rnl_error *error);
RNL_MUST_USE rnl_status sound_writer_finish(sound_writer **w, rnl_error *error);
void sound_writer_abort(sound_writer **w); /* NULL is fine */

#endif
