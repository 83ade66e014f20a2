/* Ogg Opus, in by opusfile and out by libopusenc. Opus always decodes at 48 kHz. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>

#include <opusenc.h>
#include <opusfile.h>

#include "audio/codec.h"
#include "core/status.h"

enum {
    DECODED_RATE = 48000,
    SPEECH_BITRATE = 40000 /* bits/s: full-band mono speech without audible loss (RFC 7587, 3.1.1:
                              28 to 40 kbit/s) */
};

typedef struct opus_state {
    OggOpusFile *file;
    const char *name;
    int channels;
    int64_t position; /* frames at 48 kHz */
} opus_state;

static const char *fault_name(int fault) {
    switch (fault) {
    case OP_EREAD:
        return "a read failed";
    case OP_EFAULT:
        return "memory is exhausted, or a fault inside opusfile";
    case OP_EIMPL:
        return "a feature that opusfile does not support";
    case OP_ENOTFORMAT:
        return "it is not Opus";
    case OP_EVERSION:
        return "an unknown version of Opus";
    case OP_EBADHEADER:
        return "a damaged header";
    case OP_EBADPACKET:
        return "a damaged packet";
    case OP_EBADLINK:
        return "a damaged link";
    case OP_EBADTIMESTAMP:
        return "a damaged time stamp";
    default:
        return "a damaged stream";
    }
}

static rnl_status read_frames(void *state, float *frames, size_t cap, size_t *got,
                              rnl_error *error) {
    opus_state *s = state;
    const size_t room = cap * (size_t)s->channels;
    int count, link = 0;
    *got = 0;
    do /* A hole is a lost page or packet: opusfile goes on behind it. */
        count = op_read_float(s->file, frames, room < 1 << 20 ? (int)room : 1 << 20, &link);
    while (count == OP_HOLE);
    if (count < 0)
        return status_fail(error, RNL_ERR_DATA, "%s: the sound is damaged after %.2f s (%s)",
                           s->name, (double)s->position / DECODED_RATE, fault_name(count));
    if (count == 0) return RNL_DONE;
    const int channels = op_channel_count(s->file, link);
    if (channels != s->channels)
        return status_fail(
            error, RNL_ERR_DATA,
            "%s: it changes from %d to %d channels after %.2f s; decode its parts to "
            "WAV one by one",
            s->name, s->channels, channels, (double)s->position / DECODED_RATE);
    *got = (size_t)count;
    s->position += count;
    return RNL_OK;
}

static void close_file(void *state) {
    opus_state *s = state;
    op_free(s->file);
    free(s);
}

/* file may be NULL with a fault. */
static rnl_status take_file(const char *name, OggOpusFile *file, int fault, sound_decoder *d,
                            sound_info *info, rnl_error *error) {
    if (file == NULL)
        return status_fail(error, RNL_ERR_DATA, "%s: this Opus file cannot be read: %s", name,
                           fault_name(fault));
    opus_state *s = calloc(1, sizeof *s);
    if (s == NULL) {
        op_free(file);
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    }
    const ogg_int64_t total = op_seekable(file) ? op_pcm_total(file, -1) : -1;
    *s = (opus_state){.file = file, .name = name, .channels = op_channel_count(file, 0)};
    *info = (sound_info){.rate = DECODED_RATE,
                         .file_channels = s->channels,
                         .frame_count = total > 0 ? total : -1,
                         .format_name = "Ogg Opus"};
    *d = (sound_decoder){.read = read_frames, .close = close_file, .state = s};
    return RNL_OK;
}

rnl_status opus_open(const char *name, sound_decoder *d, sound_info *info, rnl_error *error) {
    int fault = 0;
    OggOpusFile *file = op_open_file(name, &fault);
    return take_file(name, file, fault, d, info, error);
}

static int read_stream(void *stream, unsigned char *out, int size) {
    bytes *b = stream;
    const size_t got = bytes_take(b, out, (size_t)size);
    return got == 0 && b->fault != 0 ? -1 : (int)got;
}

rnl_status opus_open_stream(const char *name, bytes *b, sound_decoder *d, sound_info *info,
                            rnl_error *error) {
    const OpusFileCallbacks calls = {.read = read_stream};
    int fault = 0;
    OggOpusFile *file = op_open_callbacks(b, &calls, NULL, 0, &fault);
    return take_file(name, file, fault, d, info, error);
}

/* ---- Writing ---- */

typedef struct encoder_state {
    OggOpusEnc *encoder;
    OggOpusComments *comments;
    const char *name;
    int fd;
    int fault;  /* errno of the first write that failed */
    bool begun; /* a sample was written */
} encoder_state;

static int write_page(void *context, const unsigned char *data, opus_int32 size) {
    encoder_state *s = context;
    for (opus_int32 at = 0; at < size;) {
        const ssize_t put = write(s->fd, data + at, (size_t)(size - at));
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) {
            if (s->fault == 0) s->fault = put < 0 ? errno : ENOSPC;
            return 1;
        }
        at += (opus_int32)put;
    }
    return 0;
}

static int leave_open(void *context) {
    (void)context; /* the descriptor is the writer's */
    return 0;
}

static rnl_status write_fault(const encoder_state *s, int code, rnl_error *error) {
    return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s; free some space", s->name,
                       s->fault != 0 ? strerror(s->fault) : ope_strerror(code));
}

/* libopusenc takes -1 to 1 and clips softly beyond; clipped here, so that Opus holds what WAV
 * does. */
static rnl_status write_samples(void *state, const float *samples, size_t count, rnl_error *error) {
    encoder_state *s = state;
    float block[1024];
    for (size_t at = 0; at < count;) {
        const size_t part = count - at < 1024 ? count - at : 1024;
        for (size_t i = 0; i < part; i++) {
            const float x = samples[at + i];
            block[i] = x > 1.0f ? 1.0f : x < -1.0f ? -1.0f : x;
        }
        const int code = ope_encoder_write_float(s->encoder, block, (int)part);
        if (code != OPE_OK || s->fault != 0) return write_fault(s, code, error);
        s->begun = true;
        at += part;
    }
    return RNL_OK;
}

static rnl_status finish_encoder(void *state, rnl_error *error) {
    encoder_state *s = state;
    const float none = 0;
    int code = OPE_OK;
    /* libopusenc ends the program when a stream is drained that was never written to. */
    if (!s->begun) code = ope_encoder_write_float(s->encoder, &none, 0);
    if (code == OPE_OK) code = ope_encoder_drain(s->encoder);
    return code == OPE_OK && s->fault == 0 ? RNL_OK : write_fault(s, code, error);
}

static void close_encoder(void *state) {
    encoder_state *s = state;
    if (s->encoder != NULL) ope_encoder_destroy(s->encoder);
    if (s->comments != NULL) ope_comments_destroy(s->comments);
    free(s);
}

/* The serial number of the stream: of the name, not of chance, so that the same sound gives the
 * same file (FNV-1a). */
static opus_int32 serial_of(const char *name) {
    uint32_t hash = 2166136261u;
    for (; *name != '\0'; name++) hash = (hash ^ (unsigned char)*name) * 16777619u;
    return (opus_int32)(hash & 0x7fffffff);
}

rnl_status opus_encoder_open(const char *name, int fd, int rate, sound_encoder *e,
                             rnl_error *error) {
    const OpusEncCallbacks calls = {.write = write_page, .close = leave_open};
    encoder_state *s = calloc(1, sizeof *s);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    s->name = name;
    s->fd = fd;
    int code = OPE_ALLOC_FAIL;
    s->comments = ope_comments_create();
    if (s->comments != NULL)
        s->encoder = ope_encoder_create_callbacks(&calls, s, s->comments, rate, 1, 0, &code);
    const char *base = strrchr(name, '/') != NULL ? strrchr(name, '/') + 1 : name;
    if (s->encoder != NULL) {
        code = ope_encoder_ctl(s->encoder, OPE_SET_SERIALNO(serial_of(base)));
        if (code == OPE_OK) code = ope_encoder_ctl(s->encoder, OPUS_SET_BITRATE(SPEECH_BITRATE));
    }
    if (code != OPE_OK) {
        close_encoder(s);
        return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s", name,
                           ope_strerror(code));
    }
    *e = (sound_encoder){
        .write = write_samples, .finish = finish_encoder, .close = close_encoder, .state = s};
    return RNL_OK;
}
