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
 * numbers. RNL_ERR_IO, RNL_ERR_DATA, RNL_ERR_TOO_LONG, RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status sound_read(const char *path, double seconds_max, sound *out,
                                   rnl_error *error);
void sound_free(sound *s);

/* Writes beside the target and renames at the end; abort (or an error) leaves nothing. */
typedef struct sound_writer sound_writer;
RNL_MUST_USE rnl_status sound_writer_create(const char *path, int rate, sound_writer **out,
                                            rnl_error *error);
/* Samples are clipped to [-1, 1] and rounded to 16 bits. RNL_ERR_IO: disk full. */
RNL_MUST_USE rnl_status sound_write(sound_writer *w, const float *samples, size_t count,
                                    rnl_error *error);
RNL_MUST_USE rnl_status sound_writer_finish(sound_writer **w, rnl_error *error);
void sound_writer_abort(sound_writer **w); /* NULL is fine */

#endif
