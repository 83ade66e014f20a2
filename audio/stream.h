/* Sound encoded into memory, as it is made: what is sent to somebody rather than kept.
 *
 *     samples ──► write ──► encoder ──► a file in memory ──► take ──► bytes, in their order
 *
 * Taken while it is made, a WAV says that its length is not known (0xffffffff), and FLAC and MP3
 * leave out what only the end can tell; taken after finish, the bytes are those of a file that
 * sound_writer writes under the name "speech" with the format's suffix. A stream belongs to one
 * thread at a time. */
#ifndef AUDIO_STREAM_H
#define AUDIO_STREAM_H

#include <runnel/runnel.h>

/* Name, content type. */
#define SOUND_FORMAT_LIST(X)                                                                       \
    X(WAV, "wav", "audio/wav")   /* 16 bits */                                                     \
    X(PCM, "pcm", "audio/pcm")   /* the same without its header */                                 \
    X(OPUS, "opus", "audio/ogg") /* in Ogg */                                                      \
    X(FLAC, "flac", "audio/flac")                                                                  \
    X(MP3, "mp3", "audio/mpeg") /* where libsndfile can */

typedef enum sound_format {
#define SOUND_FORMAT_ENUM(name, text, type) SOUND_FORMAT_##name,
    SOUND_FORMAT_LIST(SOUND_FORMAT_ENUM)
#undef SOUND_FORMAT_ENUM
        SOUND_FORMAT_COUNT
} sound_format;

const char *sound_format_name(sound_format format); /* "wav" */
const char *sound_format_type(sound_format format); /* "audio/wav" */
bool sound_format_named(const char *name, size_t size, sound_format *format);
/* Whether this machine can make it. */
bool sound_format_is_there(sound_format format);

/* 16 bits, low byte first, of samples in [-1, 1], clipped beyond; as a WAV file has them. out [2 *
 * count]. */
void sound_to_s16le(const float *samples, size_t count, uint8_t *out);

typedef struct sound_stream sound_stream;

/* rate: Hz, mono. RNL_ERR_UNSUPPORTED: not here; RNL_ERR_IO, RNL_ERR_MEMORY: no memory. *out is
 * NULL after an error. */
RNL_MUST_USE rnl_status sound_stream_create(sound_format format, int rate, sound_stream **out,
                                            rnl_error *error);
/* Only destroy after an error. The same samples give the same bytes, however they are cut. */
RNL_MUST_USE rnl_status sound_stream_write(sound_stream *s, const float *samples, size_t count,
                                           rnl_error *error);
/* No more samples come. */
RNL_MUST_USE rnl_status sound_stream_finish(sound_stream *s, rnl_error *error);
/* Bytes that were made and not taken yet. */
size_t sound_stream_size(const sound_stream *s);
/* Takes up to cap of them; 0: none are there. */
size_t sound_stream_take(sound_stream *s, void *data, size_t cap);
void sound_stream_destroy(sound_stream **s); /* NULL is fine; sets NULL */

#endif
