/* Inside audio/: what stands behind the readers and writers of file.h. One decoder or encoder a
 * kind, each in a .c of its own with the library it needs; file.c and writer.c choose. */
#ifndef AUDIO_CODEC_H
#define AUDIO_CODEC_H

#include "audio/file.h"
#include "audio/source.h"

/* Longest time without sound that the numbers in a file are believed for, in s: a number that was
 * damaged, or made up, must not become days of silence. */
enum { SOUND_GAP_SECONDS_MAX = 3600 };

/* What stood in the way of a part. */
typedef enum sound_flaw {
    FLAW_NONE,    /* nothing: a gap is a pause of the recording */
    FLAW_DAMAGED, /* what was there could not be decoded */
    FLAW_CUT_OFF  /* with RNL_DONE: the end is missing */
} sound_flaw;

/* What one read of a decoder gives. */
typedef struct sound_part {
    float *frames;   /* [cap, info.file_channels]; to be filled */
    size_t cap;      /* frames; at least 1 */
    size_t count;    /* frames that are there now */
    int64_t gap;     /* frames of time before them that hold no sound; 0: they follow the last */
    sound_flaw flaw; /* of that gap; a gap of 0 frames may be damaged too */
} sound_part;

/* A decoder that is open. The source (in its open call) lives as long as the decoder. */
typedef struct sound_decoder {
    /* RNL_OK: count >= 1; RNL_DONE: gap frames are missing behind the last ones, if any. flaw and
     * gap are cleared by the caller. Errors as sound_reader_read; an RNL_ERR_DATA is the end of
     * what can be decoded. A fault of the source may come as an end: the caller looks there. */
    rnl_status (*read)(void *state, sound_part *part, rnl_error *error);
    /* After RNL_DONE: the next place of damage, in frames from the beginning, that only the end has
     * shown; false: there is none. NULL: never. */
    bool (*late_place)(void *state, int64_t *from, int64_t *to);
    void (*close)(void *state); /* NULL: not open */
    void *state;
} sound_decoder;

/* Each fills rate, file_channels, frame_count and format_name of info; file.c checks these. An
 * error leaves nothing open. Those in the first group read the source in order; sndfile and ffmpeg
 * want a regular one, which they open anew. */
rnl_status pcm_open_riff(sound_source *s, sound_decoder *d, sound_info *info, rnl_error *error);
/* Samples as config says. */
rnl_status pcm_open_raw(sound_source *s, const sound_config *config, sound_decoder *d,
                        sound_info *info, rnl_error *error);
rnl_status opus_open(sound_source *s, sound_decoder *d, sound_info *info, rnl_error *error);
rnl_status vorbis_open(sound_source *s, sound_decoder *d, sound_info *info, rnl_error *error);
rnl_status flac_open(sound_source *s, sound_decoder *d, sound_info *info, rnl_error *error);
rnl_status mpeg_open(sound_source *s, sound_decoder *d, sound_info *info, rnl_error *error);

rnl_status sndfile_open(sound_source *s, sound_decoder *d, sound_info *info, rnl_error *error);
/* The sound track of that number, from 1. RNL_ERR_UNSUPPORTED: ffmpeg is not installed. */
rnl_status ffmpeg_open(sound_source *s, int track, sound_decoder *d, sound_info *info,
                       rnl_error *error);

/* Frames [count, from] as [count, to] in place of them, when a part of a sound has other channels
 * than its beginning: one channel goes to all, many to one by their mean, else what both have. out
 * and in do not overlap. */
void sound_fit_channels(const float *in, int from, float *out, int to, size_t count);

/* What a decoder has made and not given out yet, where its library gives a packet at a time. */
typedef struct sound_made {
    size_t at, count; /* frames of the decoder's buffer that wait, from `at` on */
    int64_t gap;      /* before them, as in sound_part */
    sound_flaw flaw;  /* of that gap */
} sound_made;

/* Gives out what fits of the frames [from channels] in `out` that wait (at least one), as
 * [to channels], with the gap before them, which then is told. */
void sound_give(sound_made *m, const float *out, int from, int to, sound_part *part);

/* An encoder that is open; it writes to a descriptor that it does not close. name is what error
 * sentences call the file; it lives as long as the encoder. */
typedef struct sound_encoder {
    rnl_status (*write)(void *state, const float *samples, size_t count, rnl_error *error);
    /* What is still inside, and the header. */
    rnl_status (*finish)(void *state, rnl_error *error);
    void (*close)(void *state); /* with or without finish before */
    void *state;
} sound_encoder;

typedef enum sndfile_kind { SNDFILE_WAV, SNDFILE_FLAC, SNDFILE_MP3 } sndfile_kind;
/* Whether this machine's libsndfile writes MP3: since 1.1, and when it was built with LAME. */
bool sndfile_writes_mp3(void);
rnl_status sndfile_encoder_open(const char *name, int fd, int rate, sndfile_kind kind,
                                sound_encoder *e, rnl_error *error);
rnl_status opus_encoder_open(const char *name, int fd, int rate, sound_encoder *e,
                             rnl_error *error);

#endif
