/* See stream.h. The encoders write to a descriptor (codec.h), so there is one, of memory; WAV and
 * PCM are so little that they are written here. */
#include "audio/stream.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/codec.h"
#include "audio/memory_file.h"
#include "core/status.h"

enum { WAV_HEAD_SIZE = 44, BLOCK = 2048 };

struct sound_stream {
    sound_format format;
    sound_encoder encoder; /* of OPUS, FLAC, MP3 */
    int rate, fd;
    int64_t count; /* samples, of WAV and PCM */
    off_t taken;
};

static const struct {
    const char *name, *type, *file;
} formats[] = {
#define SOUND_FORMAT_ROW(name, text, type) {text, type, "speech." text},
    SOUND_FORMAT_LIST(SOUND_FORMAT_ROW)
#undef SOUND_FORMAT_ROW
};

const char *sound_format_name(sound_format format) {
    return formats[format].name;
}

const char *sound_format_type(sound_format format) {
    return formats[format].type;
}

bool sound_format_named(const char *name, size_t size, sound_format *format) {
    for (int i = 0; i < SOUND_FORMAT_COUNT; i++) {
        if (strlen(formats[i].name) != size || memcmp(formats[i].name, name, size) != 0) continue;
        *format = (sound_format)i;
        return true;
    }
    return false;
}

bool sound_format_is_there(sound_format format) {
    return format != SOUND_FORMAT_MP3 || sndfile_writes_mp3();
}

/* ---- 16 bits ---- */

static void put_number(uint8_t *out, uint32_t value, int size) {
    for (int i = 0; i < size; i++) out[i] = (uint8_t)(value >> 8 * i);
}

void sound_to_s16le(const float *samples, size_t count, uint8_t *out) {
    for (size_t i = 0; i < count; i++) {
        /* As libsndfile has it: to 32 bits, of which the upper ones stay. */
        const float scaled = samples[i] * 2147483648.0f;
        const int64_t value = scaled >= 2147483648.0f    ? INT32_MAX
                              : scaled <= -2147483648.0f ? INT32_MIN
                                                         : llrintf(scaled);
        put_number(out + 2 * i, (uint32_t)value >> 16, 2);
    }
}

/* data_size: 0xffffffff while nobody knows. */
static void make_wav_head(uint8_t head[WAV_HEAD_SIZE], int rate, uint32_t data_size) {
    const bool known = data_size != UINT32_MAX;
    memcpy(head, "RIFF....WAVEfmt ", 16);
    put_number(head + 4, known ? data_size + WAV_HEAD_SIZE - 8 : UINT32_MAX, 4);
    put_number(head + 16, 16, 4); /* bytes of this part */
    put_number(head + 20, 1, 2);  /* PCM */
    put_number(head + 22, 1, 2);  /* channels */
    put_number(head + 24, (uint32_t)rate, 4);
    put_number(head + 28, 2 * (uint32_t)rate, 4);
    put_number(head + 32, 2, 2);
    put_number(head + 34, 16, 2);
    memcpy(head + 36, "data", 4);
    put_number(head + 40, data_size, 4);
}

static rnl_status no_room(rnl_error *error) {
    return status_fail(error, RNL_ERR_IO, "speech: cannot be kept in memory: %s", strerror(errno));
}

static rnl_status write_s16(sound_stream *s, const float *samples, size_t count, rnl_error *error) {
    uint8_t block[2 * BLOCK];
    for (size_t at = 0; at < count;) {
        const size_t part = count - at < BLOCK ? count - at : BLOCK;
        sound_to_s16le(samples + at, part, block);
        if (!memory_file_write(s->fd, block, 2 * part)) return no_room(error);
        at += part;
        s->count += (int64_t)part;
    }
    return RNL_OK;
}

static rnl_status finish_wav(const sound_stream *s, rnl_error *error) {
    uint8_t head[WAV_HEAD_SIZE];
    const int64_t size = 2 * s->count;
    if (size > UINT32_MAX - WAV_HEAD_SIZE) return RNL_OK; /* its head says already: not known */
    make_wav_head(head, s->rate, (uint32_t)size);
    return pwrite(s->fd, head, sizeof head, 0) == (ssize_t)sizeof head ? RNL_OK : no_room(error);
}

/* ---- All of them ---- */

static rnl_status open_encoder(sound_stream *s, rnl_error *error) {
    const char *name = formats[s->format].file;
    uint8_t head[WAV_HEAD_SIZE];
    switch (s->format) {
    case SOUND_FORMAT_WAV:
        make_wav_head(head, s->rate, UINT32_MAX);
        return memory_file_write(s->fd, head, sizeof head) ? RNL_OK : no_room(error);
    case SOUND_FORMAT_OPUS:
        return opus_encoder_open(name, s->fd, s->rate, &s->encoder, error);
    case SOUND_FORMAT_FLAC:
        return sndfile_encoder_open(name, s->fd, s->rate, SNDFILE_FLAC, &s->encoder, error);
    case SOUND_FORMAT_MP3:
        return sndfile_encoder_open(name, s->fd, s->rate, SNDFILE_MP3, &s->encoder, error);
    default:
        return RNL_OK;
    }
}

rnl_status sound_stream_create(sound_format format, int rate, sound_stream **out,
                               rnl_error *error) {
    *out = NULL;
    if (!sound_format_is_there(format))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "the libsndfile of this machine writes no MP3 (version 1.1 does)");
    sound_stream *s = calloc(1, sizeof *s);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    s->format = format;
    s->rate = rate;
    s->fd = memory_file_open();
    const rnl_status status = s->fd < 0 ? no_room(error) : open_encoder(s, error);
    if (status == RNL_OK)
        *out = s;
    else
        sound_stream_destroy(&s);
    return status;
}

rnl_status sound_stream_write(sound_stream *s, const float *samples, size_t count,
                              rnl_error *error) {
    if (s->encoder.write == NULL) return write_s16(s, samples, count, error);
    return s->encoder.write(s->encoder.state, samples, count, error);
}

rnl_status sound_stream_finish(sound_stream *s, rnl_error *error) {
    if (s->format == SOUND_FORMAT_WAV) return finish_wav(s, error);
    return s->encoder.finish != NULL ? s->encoder.finish(s->encoder.state, error) : RNL_OK;
}

size_t sound_stream_size(const sound_stream *s) {
    struct stat info;
    return fstat(s->fd, &info) == 0 && info.st_size > s->taken ? (size_t)(info.st_size - s->taken)
                                                               : 0;
}

size_t sound_stream_take(sound_stream *s, void *data, size_t cap) {
    const ssize_t got = cap > 0 ? pread(s->fd, data, cap, s->taken) : 0;
    if (got <= 0) return 0;
    s->taken += got;
    return (size_t)got;
}

void sound_stream_destroy(sound_stream **out) {
    sound_stream *s = *out;
    if (s == NULL) return;
    *out = NULL;
    if (s->encoder.close != NULL) s->encoder.close(s->encoder.state);
    if (s->fd >= 0) (void)close(s->fd);
    free(s);
}
