/* Samples as they come through a pipe: after a RIFF or RF64 header, or without one. libsndfile
 * wants to seek in most files and believes the 4 GiB of a header that was written before the
 * length was known, so the few kinds of samples that pipes carry are read here. */
#include <stdlib.h>
#include <string.h>

#include "audio/codec.h"
#include "core/status.h"

typedef enum sample_kind { KIND_U8, KIND_S16, KIND_S24, KIND_S32, KIND_F32, KIND_F64 } sample_kind;

static const int kind_size[] = {1, 2, 3, 4, 4, 8};

typedef struct pcm_state {
    bytes *b;
    const char *name;
    sample_kind kind;
    int channels;
    uint64_t left; /* bytes of samples still to come; UINT64_MAX: until the end */
    unsigned char block[16384];
} pcm_state;

static uint64_t little(const unsigned char *at, int size) {
    uint64_t value = 0;
    for (int i = 0; i < size; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static float to_float(sample_kind kind, const unsigned char *at) {
    const uint64_t bits = little(at, kind_size[kind]);
    const uint32_t word = (uint32_t)bits;
    float f;
    double d;
    switch (kind) {
    case KIND_U8:
        return ((float)word - 128.0f) / 128.0f;
    case KIND_S16:
        return (float)(int16_t)word / 32768.0f;
    case KIND_S24:
        return (float)((int32_t)(word << 8) / 256) / 8388608.0f;
    case KIND_S32:
        return (float)(int32_t)word / 2147483648.0f;
    case KIND_F32:
        memcpy(&f, &word, sizeof f);
        return f;
    case KIND_F64:
        memcpy(&d, &bits, sizeof d);
        return (float)d; /* too large becomes infinite, which the reader refuses */
    }
    return 0.0f;
}

static rnl_status read_fault(const pcm_state *s, rnl_error *error) {
    return status_fail(error, RNL_ERR_IO, "%s: cannot be read: %s", s->name, strerror(s->b->fault));
}

static rnl_status read_frames(void *state, float *frames, size_t cap, size_t *got,
                              rnl_error *error) {
    pcm_state *s = state;
    const size_t size = (size_t)kind_size[s->kind], frame = size * (size_t)s->channels;
    size_t wanted = sizeof s->block / frame;
    if (wanted > cap) wanted = cap;
    if (wanted > s->left / frame) wanted = (size_t)(s->left / frame);
    const size_t taken = bytes_take(s->b, s->block, wanted * frame);
    if (s->left != UINT64_MAX) s->left -= taken;
    *got = taken / frame; /* half a frame at the end of a stream is dropped */
    if (*got == 0) return s->b->fault != 0 ? read_fault(s, error) : RNL_DONE;
    for (size_t i = 0; i < *got * (size_t)s->channels; i++)
        frames[i] = to_float(s->kind, s->block + i * size);
    return RNL_OK;
}

static void close_pcm(void *state) {
    free(state);
}

static rnl_status open_state(const char *name, bytes *b, sound_decoder *d, pcm_state **out,
                             rnl_error *error) {
    pcm_state *s = calloc(1, sizeof *s);
    *out = s;
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    s->b = b;
    s->name = name;
    s->left = UINT64_MAX;
    *d = (sound_decoder){.read = read_frames, .close = close_pcm, .state = s};
    return RNL_OK;
}

rnl_status pcm_open_raw(const char *name, bytes *b, const sound_config *config, sound_decoder *d,
                        sound_info *info, rnl_error *error) {
    static const sample_kind kinds[] = {
        [SOUND_RAW_S16LE] = KIND_S16, [SOUND_RAW_S32LE] = KIND_S32, [SOUND_RAW_F32LE] = KIND_F32};
    pcm_state *s;
    const rnl_status status = open_state(name, b, d, &s, error);
    if (status != RNL_OK) return status;
    s->kind = kinds[config->raw_format];
    s->channels = config->raw_channels;
    *info = (sound_info){.rate = config->raw_rate,
                         .file_channels = config->raw_channels,
                         .frame_count = -1,
                         .format_name = "samples without a header"};
    return RNL_OK;
}

/* What a "fmt " chunk says; false when it is of a kind that pipes do not carry. */
static bool parse_format(const unsigned char *f, size_t size, pcm_state *s, sound_info *info) {
    enum { INTEGER = 1, REAL = 3, EXTENSIBLE = 0xfffe };
    unsigned tag = (unsigned)little(f, 2);
    const uint64_t channels = little(f + 2, 2), rate = little(f + 4, 4);
    const unsigned bits = (unsigned)little(f + 14, 2);
    if (tag == EXTENSIBLE && size >= 26) tag = (unsigned)little(f + 24, 2);
    if (tag == INTEGER && bits == 8)
        s->kind = KIND_U8;
    else if (tag == INTEGER && bits == 16)
        s->kind = KIND_S16;
    else if (tag == INTEGER && bits == 24)
        s->kind = KIND_S24;
    else if (tag == INTEGER && bits == 32)
        s->kind = KIND_S32;
    else if (tag == REAL && bits == 32)
        s->kind = KIND_F32;
    else if (tag == REAL && bits == 64)
        s->kind = KIND_F64;
    else
        return false;
    info->file_channels = (int)channels;
    info->rate = rate > INT32_MAX ? 0 : (int)rate;
    s->channels = info->file_channels;
    return little(f + 12, 2) == channels * (uint64_t)kind_size[s->kind];
}

/* Reads chunks up to the samples. NULL, or what is wrong. */
static const char *parse_riff(pcm_state *s, sound_info *info) {
    enum { OPEN_END = 0x7ffff000 }; /* sox and ffmpeg write about this, or all ones, into a pipe */
    unsigned char head[12], chunk[40];
    bool formatted = false;
    uint64_t long_size = 0;
    static const char *const too_short = "the WAV header ends before the samples begin";
    if (bytes_take(s->b, head, 12) != 12) return too_short;
    if (memcmp(head + 8, "WAVE", 4) != 0) return "the header is not that of a WAV file";
    while (bytes_take(s->b, head, 8) == 8) {
        const uint64_t size = little(head + 4, 4);
        if (memcmp(head, "data", 4) == 0) {
            if (!formatted) return "the samples come before their format";
            if (long_size > 0)
                s->left = long_size;
            else if (size > 0 && size < OPEN_END)
                s->left = size;
            if (s->left != UINT64_MAX)
                info->frame_count =
                    (int64_t)(s->left / ((uint64_t)kind_size[s->kind] * (uint64_t)s->channels));
            return NULL;
        }
        const size_t kept = size < sizeof chunk ? (size_t)size : sizeof chunk;
        if (bytes_take(s->b, chunk, kept) != kept) break;
        if (memcmp(head, "fmt ", 4) == 0) {
            if (size < 16 || !parse_format(chunk, kept, s, info))
                return "its samples are not 8 to 32-bit integers or 32 or 64-bit floats";
            if (s->channels < 1 || s->channels > SOUND_CHANNEL_CAP)
                return NULL; /* refused by all */
            formatted = true;
        }
        if (memcmp(head, "ds64", 4) == 0 && size >= 16) long_size = little(chunk + 8, 8);
        if (!bytes_skip(s->b, size - kept + (size & 1))) break;
    }
    return too_short;
}

rnl_status pcm_open_riff(const char *name, bytes *b, sound_decoder *d, sound_info *info,
                         rnl_error *error) {
    pcm_state *s;
    rnl_status status = open_state(name, b, d, &s, error);
    if (status != RNL_OK) return status;
    *info = (sound_info){.frame_count = -1, .format_name = "WAV (stream)"};
    const char *fault = parse_riff(s, info);
    if (fault == NULL) return RNL_OK;
    if (b->fault != 0)
        status = read_fault(s, error);
    else
        status = status_fail(error, RNL_ERR_DATA, "%s: %s", name, fault);
    close_pcm(s);
    *d = (sound_decoder){0};
    return status;
}
