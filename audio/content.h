/* What the first bytes of a sound say about its kind. */
#ifndef AUDIO_CONTENT_H
#define AUDIO_CONTENT_H

#include <runnel/runnel.h>

typedef enum content {
    CONTENT_OTHER,  /* none of the marks below */
    CONTENT_TAG,    /* an ID3v2 tag: what it belongs to stands behind it */
    CONTENT_RIFF,   /* WAV, RF64, BW64 of samples that pcm.c knows */
    CONTENT_OPUS,   /* Ogg Opus */
    CONTENT_VORBIS, /* Ogg Vorbis */
    CONTENT_FLAC,
    CONTENT_MPEG,    /* MP1 to MP3 */
    CONTENT_SNDFILE, /* libsndfile's, and ffmpeg's when it refuses */
    CONTENT_FFMPEG   /* ffmpeg's alone */
} content;

enum { CONTENT_LOOK = 8192 }; /* bytes that are worth looking at; fewer are fine */

/* strict: marks of two bytes do not count, which may as well be samples without a header. */
content content_of(const unsigned char *head, size_t size, bool strict);
/* Bytes of the ID3v2 tag that stands there. */
uint64_t content_tag_size(const unsigned char *head);

#endif
