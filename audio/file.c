/* Which decoder a file needs, by its content, and what all of them owe: the rate, the channels and
 * every sample are checked here, channels are mixed or chosen here. */
#include "audio/file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/codec.h"
#include "core/status.h"

enum { BLOCK = 4096, MAGIC_SIZE = 64 };

struct sound_reader {
    sound_decoder decoder;
    sound_info info;
    char *name;
    int channel;      /* 0: the mean, or all */
    int64_t position; /* frames given out */
    bytes *stream;    /* of standard input; NULL: the decoder reads the file itself */
    float block[BLOCK * SOUND_CHANNEL_CAP];
};

sound_config sound_config_default(void) {
    return (sound_config){.raw_rate = 16000, .raw_channels = 1, .raw_format = SOUND_RAW_S16LE};
}

bool sound_raw_format_named(const char *name, sound_raw_format *out) {
    static const char *const names[] = {"s16le", "s32le", "f32le"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *out = (sound_raw_format)i;
        return true;
    }
    return false;
}

/* Suffixes that a folder is searched for; ffmpeg is asked for the last ones when libsndfile does
 * not know the content. */
static const char *const suffixes[] = {"wav",  "wave", "rf64", "w64",  "aif",  "aiff", "aifc",
                                       "flac", "ogg",  "oga",  "opus", "mp3",  "au",   "caf",
                                       "m4a",  "mp4",  "m4b",  "mov",  "webm", "mkv",  "mka",
                                       "aac",  "ac3",  "wma",  "asf",  "amr",  "3gp",  "avi"};
enum { SUFFIX_COUNT = sizeof suffixes / sizeof *suffixes, SUFFIX_OF_FFMPEG = 14 };

static bool has_suffix(const char *path, int first) {
    const char *dot = strrchr(path, '.');
    if (dot == NULL || strchr(dot, '/') != NULL) return false;
    for (int i = first; i < SUFFIX_COUNT; i++)
        if (strcasecmp(dot + 1, suffixes[i]) == 0) return true;
    return false;
}

bool sound_name_is_known(const char *path) {
    return has_suffix(path, 0);
}

typedef enum content {
    CONTENT_OTHER,
    CONTENT_RIFF,
    CONTENT_OPUS,
    CONTENT_KNOWN,
    CONTENT_FFMPEG
} content;

/* What the first bytes say. CONTENT_KNOWN: a file of libsndfile that a pipe does not carry. Marks
 * shorter than length_min do not count: two bytes may as well be a sample without a header. */
static content content_of(const unsigned char *magic, size_t size, size_t length_min) {
    static const struct {
        int at;
        const char *text;
        content kind;
    } table[] = {
        {28, "OpusHead", CONTENT_OPUS},
        {0, "OggS", CONTENT_KNOWN},
        {0, "fLaC", CONTENT_KNOWN},
        {0, "ID3", CONTENT_KNOWN},
        {0, "riff", CONTENT_KNOWN},
        {0, "caff", CONTENT_KNOWN},
        {0, "\xff\xfb", CONTENT_KNOWN},
        {4, "ftyp", CONTENT_FFMPEG},
        {0, "\x1a\x45\xdf\xa3", CONTENT_FFMPEG},
        {0, "\x30\x26\xb2\x75", CONTENT_FFMPEG},
        {0, "#!AMR", CONTENT_FFMPEG},
        {0, "\xff\xf1", CONTENT_FFMPEG},
        {0, "\xff\xf9", CONTENT_FFMPEG},
        {0, "\x0b\x77", CONTENT_FFMPEG},
        {0, "FLV\x01", CONTENT_FFMPEG},
        {0, "wvpk", CONTENT_FFMPEG},
        {0, "MAC ", CONTENT_FFMPEG},
        {8, "AVI ", CONTENT_FFMPEG},
    };
    if (size >= 12 && memcmp(magic + 8, "WAVE", 4) == 0 &&
        (memcmp(magic, "RIFF", 4) == 0 || memcmp(magic, "RF64", 4) == 0))
        return CONTENT_RIFF;
    if (size >= 12 && memcmp(magic, "FORM", 4) == 0 && memcmp(magic + 8, "AIF", 3) == 0)
        return CONTENT_KNOWN;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const size_t length = strlen(table[i].text), at = (size_t)table[i].at;
        if (length >= length_min && at + length <= size &&
            memcmp(magic + at, table[i].text, length) == 0)
            return table[i].kind;
    }
    return CONTENT_OTHER;
}

/* A regular file that is not empty, and its first bytes. */
static rnl_status look_at(const char *path, unsigned char magic[MAGIC_SIZE], size_t *size,
                          rnl_error *error) {
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block */
    rnl_status status = RNL_OK;
    if (fd < 0 || fstat(fd, &st) != 0)
        status = status_fail(error, RNL_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        status =
            status_fail(error, RNL_ERR_IO, "%s: this is no regular file; name a sound file", path);
    else if (st.st_size == 0)
        status = status_fail(error, RNL_ERR_DATA, "%s: the file is empty; record it again", path);
    if (status == RNL_OK) {
        const ssize_t got = read(fd, magic, MAGIC_SIZE);
        if (got < 0)
            status =
                status_fail(error, RNL_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
        *size = got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0) (void)close(fd);
    return status;
}

static rnl_status open_file(sound_reader *r, rnl_error *error) {
    unsigned char magic[MAGIC_SIZE];
    size_t size = 0;
    rnl_status status = look_at(r->name, magic, &size, error);
    if (status != RNL_OK) return status;
    const content kind = content_of(magic, size, 1);
    if (kind == CONTENT_OPUS) return opus_open(r->name, &r->decoder, &r->info, error);
    status = sndfile_open(r->name, &r->decoder, &r->info, error);
    if (status != RNL_ERR_DATA || kind == CONTENT_RIFF || kind == CONTENT_KNOWN) return status;
    if (kind != CONTENT_FFMPEG && !has_suffix(r->name, SUFFIX_OF_FFMPEG)) return status;
    return ffmpeg_open(r->name, &r->decoder, &r->info, error);
}

/* A pipe, or what the shell put in its place. */
static rnl_status open_input(sound_reader *r, const sound_config *config, rnl_error *error) {
    struct stat st;
    /* `< talk.flac` is a file like any other; a raw one is found out below. */
    const bool regular = fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode);
    r->stream = malloc(sizeof *r->stream);
    if (r->stream == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", r->name);
    bytes_begin(r->stream, STDIN_FILENO);
    const unsigned char *magic;
    const size_t size = bytes_peek(r->stream, MAGIC_SIZE, &magic);
    if (r->stream->fault != 0)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be read: %s", r->name,
                           strerror(r->stream->fault));
    if (size == 0) return status_fail(error, RNL_ERR_DATA, "%s: there is no sound in it", r->name);
    switch (content_of(magic, size, 3)) {
    case CONTENT_RIFF:
        return pcm_open_riff(r->name, r->stream, &r->decoder, &r->info, error);
    case CONTENT_OPUS:
        return opus_open_stream(r->name, r->stream, &r->decoder, &r->info, error);
    case CONTENT_KNOWN:
    case CONTENT_FFMPEG:
        if (regular) { /* the name opens it from its beginning */
            strcpy(r->name, "/dev/stdin");
            return open_file(r, error);
        }
        return status_fail(
            error, RNL_ERR_DATA,
            "%s: a pipe carries WAV, Ogg Opus or samples without a header; name this "
            "file instead",
            r->name);
    case CONTENT_OTHER:
        break;
    }
    return pcm_open_raw(r->name, r->stream, config, &r->decoder, &r->info, error);
}

static rnl_status check_config(const char *path, const sound_config *c, rnl_error *error) {
    const char *fault = NULL;
    if (c->channel < 0 || c->channel > SOUND_CHANNEL_CAP)
        fault = "channel is not 0 to 8";
    else if (c->per_channel && c->channel != 0)
        fault = "channel and per_channel exclude each other";
    else if (c->raw_rate < SOUND_RATE_MIN || c->raw_rate > SOUND_RATE_MAX)
        fault = "raw_rate is not 4000 to 768000 Hz";
    else if (c->raw_channels < 1 || c->raw_channels > SOUND_CHANNEL_CAP)
        fault = "raw_channels is not 1 to 8";
    else if ((unsigned)c->raw_format > SOUND_RAW_F32LE)
        fault = "raw_format is unknown";
    if (fault == NULL) return RNL_OK;
    return status_fail(error, RNL_ERR_ARGUMENT, "%s: %s", path, fault);
}

static rnl_status check_info(const sound_reader *r, rnl_error *error) {
    const sound_info *i = &r->info;
    if (i->file_channels < 1 || i->file_channels > SOUND_CHANNEL_CAP)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: %d channels are not 1 to 8; mix the sound down", r->name,
                           i->file_channels);
    if (i->rate < SOUND_RATE_MIN || i->rate > SOUND_RATE_MAX)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: a sampling rate of %d Hz is outside 4000 to 768000 Hz; resample it",
                           r->name, i->rate);
    if (r->channel > i->file_channels)
        return status_fail(error, RNL_ERR_DATA, "%s: there is no channel %d, it has %d", r->name,
                           r->channel, i->file_channels);
    return RNL_OK;
}

rnl_status sound_reader_open(const char *path, const sound_config *config, sound_reader **out,
                             rnl_error *error) {
    const sound_config defaults = sound_config_default();
    if (config == NULL) config = &defaults;
    *out = NULL;
    rnl_status status = check_config(path, config, error);
    if (status != RNL_OK) return status;
    const bool from_input = strcmp(path, "-") == 0;
    sound_reader *r = calloc(1, sizeof *r);
    if (r != NULL) r->name = strdup(from_input ? "standard input" : path);
    if (r == NULL || r->name == NULL) {
        sound_reader_close(&r);
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    }
    r->channel = config->channel;
    status = from_input ? open_input(r, config, error) : open_file(r, error);
    r->info.channels = config->per_channel ? r->info.file_channels : 1;
    if (status == RNL_OK) status = check_info(r, error);
    if (status == RNL_OK)
        *out = r;
    else
        sound_reader_close(&r);
    return status;
}

const sound_info *sound_reader_info(const sound_reader *r) {
    return &r->info;
}

/* One frame of the decoder into out; false at a value that is no number. */
static bool take_frame(const sound_reader *r, const float *frame, float *out) {
    const int channels = r->info.file_channels;
    if (r->channel > 0) {
        *out = frame[r->channel - 1];
        return isfinite(*out);
    }
    float sum = 0.0f;
    for (int c = 0; c < channels; c++) sum += frame[c];
    if (r->info.channels == channels && channels > 1)
        memcpy(out, frame, (size_t)channels * sizeof *out);
    else
        *out = sum / (float)channels;
    return isfinite(sum);
}

rnl_status sound_reader_read(sound_reader *r, float *frames, size_t frame_cap, size_t *frame_count,
                             rnl_error *error) {
    size_t got = 0;
    const size_t cap = frame_cap < BLOCK ? frame_cap : BLOCK;
    const rnl_status status = r->decoder.read(r->decoder.state, r->block, cap, &got, error);
    *frame_count = 0;
    if (status == RNL_DONE && r->position == 0)
        return status_fail(error, RNL_ERR_DATA, "%s: there is no sound in it", r->name);
    if (status != RNL_OK) return status;
    for (size_t i = 0; i < got; i++)
        if (!take_frame(r, r->block + i * (size_t)r->info.file_channels,
                        frames + i * (size_t)r->info.channels))
            return status_fail(error, RNL_ERR_DATA,
                               "%s: sample %lld is not a number; the sound is damaged", r->name,
                               (long long)r->position + (long long)i);
    r->position += (int64_t)got;
    *frame_count = got;
    return RNL_OK;
}

int64_t sound_reader_position(const sound_reader *r) {
    return r->position;
}

double sound_reader_seconds(const sound_reader *r) {
    return (double)r->position / r->info.rate;
}

void sound_reader_close(sound_reader **out) {
    sound_reader *r = *out;
    if (r == NULL) return;
    *out = NULL;
    if (r->decoder.close != NULL) r->decoder.close(r->decoder.state);
    free(r->stream);
    free(r->name);
    free(r);
}

/* ---- A whole clip ---- */

static rnl_status gather(sound_reader *r, double seconds_max, sound *out, rnl_error *error) {
    const size_t count_max = (size_t)(seconds_max * r->info.rate);
    size_t cap = 0;
    for (;;) {
        if (out->count + BLOCK > cap) {
            cap = cap == 0 ? 16 * (size_t)BLOCK : 2 * cap;
            float *grown = realloc(out->samples, cap * sizeof *grown);
            if (grown == NULL)
                return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", r->name);
            out->samples = grown;
        }
        size_t got;
        const rnl_status status =
            sound_reader_read(r, out->samples + out->count, BLOCK, &got, error);
        if (status != RNL_OK) return status == RNL_DONE ? RNL_OK : status;
        out->count += got;
        if (out->count > count_max)
            return status_fail(error, RNL_ERR_TOO_LONG,
                               "%s: the sound is longer than the %g s of one turn; cut it, or use "
                               "`runnel transcribe --max-seconds N` with N up to 600",
                               r->name, seconds_max);
    }
}

rnl_status sound_read(const char *path, double seconds_max, const sound_config *config, sound *out,
                      rnl_error *error) {
    sound_reader *r;
    *out = (sound){0};
    rnl_status status = sound_reader_open(path, config, &r, error);
    if (status != RNL_OK) return status;
    out->rate = r->info.rate;
    status = gather(r, seconds_max, out, error);
    sound_reader_close(&r);
    if (status != RNL_OK) sound_free(out);
    return status;
}

void sound_free(sound *s) {
    free(s->samples);
    *s = (sound){0};
}
