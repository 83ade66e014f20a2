/* Sound files, in and out, in blocks: memory does not grow with their length.
 *
 * In: WAV, RF64, FLAC, MP3, Ogg Opus and Vorbis, from a file or a pipe; AIFF, W64, CAF, AU and what
 * else libsndfile knows; and whatever the program ffmpeg can decode (m4a, mp4, mkv, ...) when it is
 * on PATH. Samples without a header come through a pipe, when the caller says so. The content
 * decides, not the name.
 * Out: WAV and FLAC of 16 bits, Ogg Opus, MP3 where libsndfile can; the suffix decides.
 * A reader or writer belongs to one thread at a time; different ones know nothing of each other. */
#ifndef AUDIO_FILE_H
#define AUDIO_FILE_H

#include <runnel/runnel.h>

enum {
    SOUND_CHANNEL_CAP = 64, /* more are refused */
    SOUND_MIX_CAP = 8,      /* more are not mixed: one must be chosen, or each be had */
    SOUND_TRACK_CAP = 100,
    SOUND_RATE_MIN = 4000, /* Hz; outside is refused */
    SOUND_RATE_MAX = 768000,
    SOUND_PLACE_CAP = 64, /* places of damage that are told apart; the last takes in the rest */
    SOUND_REASON_CAP = 160
};

/* ---- Reading ---- */

/* Samples without a header, as they may come through a pipe. */
typedef enum sound_raw_format {
    SOUND_RAW_S16LE,
    SOUND_RAW_S32LE,
    SOUND_RAW_F32LE
} sound_raw_format;

typedef struct sound_config {
    int channel;      /* [0, 64]: 0 (default) the mean of all channels, N channel N alone */
    bool per_channel; /* blocks keep all channels, interleaved; then channel is 0; default false */
    int track;        /* [1, 100] of a file with several sound tracks; default 1 */
    bool raw;         /* a pipe without a known head holds samples as below; default false: it is
                       * refused */
    bool no_ffmpeg;   /* no program is started for what nothing else can decode; default false */
    int raw_rate;     /* Hz of samples without a header, [4000, 768000], default 16000 */
    int raw_channels; /* [1, 64], default 1 */
    sound_raw_format raw_format; /* default SOUND_RAW_S16LE */
} sound_config;

sound_config sound_config_default(void);
/* "s16le", "s32le" or "f32le"; false for anything else. */
bool sound_raw_format_named(const char *name, sound_raw_format *out);

typedef struct sound_info {
    int rate;                /* Hz */
    int file_channels;       /* channels of the file */
    int channels;            /* channels of a block: 1, or file_channels with per_channel */
    int64_t frame_count;     /* what the header claims, for progress only; -1: not known */
    const char *format_name; /* "FLAC", "Ogg Opus", ...; static */
} sound_info;

/* Sound that is not there, in s from the beginning of what is read. A damaged place is silence of
 * its length, as far as that is known (else to equals from). Of a recording that is cut off, the
 * last place begins where the sound ends; to is the end that the file speaks of, or from. */
typedef struct sound_place {
    double from, to;
    bool cut_off;
} sound_place;

/* What a listener should be told of a sound. */
typedef struct sound_faults {
    int place_count;
    sound_place places[SOUND_PLACE_CAP]; /* in order */
    char reason[SOUND_REASON_CAP];       /* what the decoder said last, or "" */
    bool out_of_phase; /* channels that take each other out: the louder was heard alone there */
    double out_of_phase_at; /* s, the first time */
} sound_faults;

typedef struct sound_reader sound_reader;

/* Opens a file or a named pipe, or standard input for "-" (a file of that name is "./-"). config
 * may be NULL (defaults). Refused with one sentence: missing, empty, no sound, too many channels, a
 * rate outside 4000 to 768000 Hz, a channel or track that is not there.
 * RNL_ERR_IO, RNL_ERR_DATA, RNL_ERR_ARGUMENT (config), RNL_ERR_MEMORY; *out is then NULL. */
RNL_MUST_USE rnl_status sound_reader_open(const char *path, const sound_config *config,
                                          sound_reader **out, rnl_error *error);
/* A sound that is read more than once, also from a pipe or standard input: what these give is kept
 * in a temporary file without a name, whole before keep returns. Errors as of sound_reader_open,
 * and RNL_ERR_IO when there is no room for it. */
typedef struct sound_source sound_kept;
RNL_MUST_USE rnl_status sound_keep(const char *path, sound_kept **out, rnl_error *error);
/* The same of bytes in memory, which are copied; name is what sentences call them.
 * RNL_ERR_DATA: there are none; RNL_ERR_IO: no room for them; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status sound_keep_bytes(const char *name, const void *data, size_t size,
                                         sound_kept **out, rnl_error *error);
void sound_kept_close(sound_kept **kept); /* NULL is fine; sets NULL */
/* As sound_reader_open, from its beginning, one reader at a time. */
RNL_MUST_USE rnl_status sound_reader_open_kept(const sound_kept *kept, const sound_config *config,
                                               sound_reader **out, rnl_error *error);
/* Valid until close. */
const sound_info *sound_reader_info(const sound_reader *r);
/* Reads up to frame_cap frames (>= 1) into frames [frame_cap, info.channels]. Length and content
 * are what is really there, whatever the header says: sounds that were joined are read to the last,
 * pauses that a file tells of by its times are silence, a damaged place is silence and stands in
 * sound_reader_faults. A sample that is not a number is such a place.
 * Channels are mixed in blocks of 1 s from the first sample on: where the mean has less than 1 % of
 * the channels' energy they take each other out, and the louder one is given alone.
 * RNL_OK: *frame_count >= 1. RNL_DONE: the end. RNL_ERR_DATA: nothing in it can be decoded, or no
 * sound at all; RNL_ERR_IO. After an error only close. May block on a pipe, until a signal with a
 * handler comes (RNL_ERR_IO). */
RNL_MUST_USE rnl_status sound_reader_read(sound_reader *r, float *frames, size_t frame_cap,
                                          size_t *frame_count, rnl_error *error);
/* What was found so far; complete after RNL_DONE. Valid until close. */
const sound_faults *sound_reader_faults(const sound_reader *r);
/* One sentence without a line end for place `index` of faults, or with index == place_count the one
 * about channels out of phase. False: there is none. */
bool sound_faults_text(const sound_faults *faults, const char *name, int index, char *text,
                       size_t cap);
/* Frames read so far, and seconds of them. */
int64_t sound_reader_position(const sound_reader *r);
double sound_reader_seconds(const sound_reader *r);
/* Whether it can be opened again from its beginning: no pipe. */
bool sound_reader_is_regular(const sound_reader *r);
void sound_reader_close(sound_reader **r); /* NULL is fine; sets NULL */

typedef struct sound {
    float *samples; /* [count] mono; sound_free() */
    size_t count;
    int rate; /* Hz */
    sound_faults faults;
} sound;

/* Reads a whole file as one signal, for a clip; memory grows with it. config may be NULL and must
 * not be per_channel. As sound_reader_open and _read; also RNL_ERR_TOO_LONG: over seconds_max.
 * *out is empty after an error. */
RNL_MUST_USE rnl_status sound_read(const char *path, double seconds_max, const sound_config *config,
                                   sound *out, rnl_error *error);
void sound_free(sound *s);

/* Whether the name ends like that of a sound file that can be read (".wav", ".opus", ".m4a", any
 * case): what a folder is searched for. */
bool sound_name_is_known(const char *path);

/* ---- Writing ---- */

/* Whether a sound can be written under this name, without doing it: its suffix is .wav, .flac,
 * .opus or, where libsndfile can, .mp3 (RNL_ERR_ARGUMENT names these), its folder is there, and
 * what stands there, if anything, is a regular file (RNL_ERR_IO). For a complaint before the work,
 * not after it. */
RNL_MUST_USE rnl_status sound_writer_check(const char *path, rnl_error *error);

/* Writes beside the target and renames at the end; abort (or an error of finish) leaves nothing and
 * an older file of that name as it was. rate: Hz, one that the format knows (Opus: 8000 to 48000).
 * Errors of create as of check, and RNL_ERR_IO when another writer is at work on this name.
 * *out is NULL after an error of create. */
typedef struct sound_writer sound_writer;
RNL_MUST_USE rnl_status sound_writer_create(const char *path, int rate, sound_writer **out,
                                            rnl_error *error);
/* The file beside the target: what to remove when the program must end at once. Lives until finish
 * or abort. */
const char *sound_writer_temporary(const sound_writer *w);
/* Mono samples, clipped to [-1, 1]; the same samples give the same bytes, however they are cut.
 * RNL_ERR_IO: disk full, or a WAV file of more than 4 GiB. */
RNL_MUST_USE rnl_status sound_write(sound_writer *w, const float *samples, size_t count,
                                    rnl_error *error);
RNL_MUST_USE rnl_status sound_writer_finish(sound_writer **w, rnl_error *error);
void sound_writer_abort(sound_writer **w); /* NULL is fine */

#endif
