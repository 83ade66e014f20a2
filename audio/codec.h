/* Inside audio/: what stands behind the readers and writers of file.h. One decoder or encoder a
 * kind, each in a .c of its own with the library it needs; file.c and writer.c choose. */
#ifndef AUDIO_CODEC_H
#define AUDIO_CODEC_H

#include "audio/bytes.h"
#include "audio/file.h"

/* A decoder that is open. name (in its open call) is what error sentences call the file; it lives
 * as long as the decoder. */
typedef struct sound_decoder {
    /* Up to cap frames into frames [cap, info.file_channels]. RNL_OK: *got >= 1; RNL_DONE; errors
     * as sound_reader_read. */
    rnl_status (*read)(void *state, float *frames, size_t cap, size_t *got, rnl_error *error);
    void (*close)(void *state); /* NULL: not open */
    void *state;
} sound_decoder;

/* Each fills rate, file_channels, frame_count and format_name of info; file.c checks these. An
 * error leaves nothing open. */
rnl_status sndfile_open(const char *name, sound_decoder *d, sound_info *info, rnl_error *error);
rnl_status opus_open(const char *name, sound_decoder *d, sound_info *info, rnl_error *error);
/* The rest of a stream, read as it comes; b is borrowed. */
rnl_status opus_open_stream(const char *name, bytes *b, sound_decoder *d, sound_info *info,
                            rnl_error *error);
/* A RIFF or RF64 header and its samples. */
rnl_status pcm_open_riff(const char *name, bytes *b, sound_decoder *d, sound_info *info,
                         rnl_error *error);
/* Samples as config says. */
rnl_status pcm_open_raw(const char *name, bytes *b, const sound_config *config, sound_decoder *d,
                        sound_info *info, rnl_error *error);
/* The first audio track of a file, decoded by ffmpeg. RNL_ERR_UNSUPPORTED: ffmpeg is not on PATH
 * (the sentence says so). */
rnl_status ffmpeg_open(const char *name, sound_decoder *d, sound_info *info, rnl_error *error);

/* An encoder that is open; it writes to a descriptor that it does not close. name is as above. */
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
