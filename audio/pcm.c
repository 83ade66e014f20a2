/* Samples in a row: after a RIFF, RF64 or BW64 header, or without one. Read in order, from files
 * and pipes alike. Lengths are claims: who writes into a pipe does not know them, a recorder that
 * died has not written them yet, 32 bits do not hold them. So what stands behind the claimed end
 * decides: chunks are passed over, another recording that was joined on goes on, anything else is
 * sound. */
#include "audio/pcm.h"

#include <stdlib.h>
#include <string.h>

#include "audio/codec.h"
#include "core/status.h"

typedef enum sample_kind {
    KIND_U8,
    KIND_S16,
    KIND_S24,
    KIND_S32,
    KIND_F32,
    KIND_F64,
    KIND_ALAW,
    KIND_ULAW
} sample_kind;

static const int kind_size[] = {1, 2, 3, 4, 4, 8, 1, 1};

enum { BLOCK_SIZE = 16384 };
static const uint64_t wrap = UINT64_C(1) << 32; /* what 32 bits of a size cannot tell */

typedef struct pcm_state {
    sound_source *source;
    bytes *b;
    sample_kind kind;
    int channels, rate; /* of the part that is read */
    int file_channels;  /* of the sound */
    size_t frame;       /* bytes of one frame */
    /* Bytes of samples before the claimed end; UINT64_MAX: until the end of the stream. */
    uint64_t left;
    bool claimed; /* left is what the header says: with less the recording is cut off */
    bool pad;     /* its last byte is filled up to an even size */
    bool riff;
    unsigned char block[BLOCK_SIZE];
    float values[BLOCK_SIZE];
} pcm_state;

static uint64_t little(const unsigned char *at, int size) {
    uint64_t value = 0;
    for (int i = 0; i < size; i++) value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* ITU-T G.711: sign, three bits of exponent, four of mantissa; to 16 bits. */
static float from_alaw(unsigned code) {
    code ^= 0x55;
    const int exponent = (int)(code >> 4 & 7), mantissa = (int)(code & 15);
    int value = (mantissa << 4) + 8;
    if (exponent > 0) value = (value + 0x100) << (exponent - 1);
    return (float)((code & 0x80) != 0 ? value : -value) / 32768.0f;
}

static float from_ulaw(unsigned code) {
    code = ~code;
    const int exponent = (int)(code >> 4 & 7), mantissa = (int)(code & 15);
    const int value = (((mantissa << 3) + 0x84) << exponent) - 0x84;
    return (float)((code & 0x80) != 0 ? -value : value) / 32768.0f;
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
        return (float)d; /* too large becomes infinite, which the reader finds */
    case KIND_ALAW:
        return from_alaw(word);
    case KIND_ULAW:
        return from_ulaw(word);
    }
    return 0.0f;
}

/* ---- Headers ---- */

/* The kind of samples that a "fmt " chunk [size >= 16] tells of; false: none of ours. */
static bool kind_of(const unsigned char *f, size_t size, sample_kind *kind) {
    enum { INTEGER = 1, REAL = 3, ALAW = 6, ULAW = 7, EXTENSIBLE = 0xfffe };
    static const struct {
        unsigned tag, bits;
        sample_kind kind;
    } table[] = {{INTEGER, 8, KIND_U8},   {INTEGER, 16, KIND_S16}, {INTEGER, 24, KIND_S24},
                 {INTEGER, 32, KIND_S32}, {REAL, 32, KIND_F32},    {REAL, 64, KIND_F64},
                 {ALAW, 8, KIND_ALAW},    {ULAW, 8, KIND_ULAW}};
    unsigned tag = (unsigned)little(f, 2);
    const unsigned bits = (unsigned)little(f + 14, 2);
    if (tag == EXTENSIBLE && size >= 26) tag = (unsigned)little(f + 24, 2);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].tag != tag || table[i].bits != bits) continue;
        *kind = table[i].kind;
        return little(f + 12, 2) == little(f + 2, 2) * (uint64_t)kind_size[*kind];
    }
    return false;
}

static bool is_wave(const unsigned char *head) {
    return memcmp(head + 8, "WAVE", 4) == 0 &&
           (memcmp(head, "RIFF", 4) == 0 || memcmp(head, "RF64", 4) == 0 ||
            memcmp(head, "BW64", 4) == 0);
}

bool pcm_knows_riff(const unsigned char *head, size_t size) {
    sample_kind kind;
    if (size < 12 || !is_wave(head)) return false;
    for (uint64_t at = 12; at + 8 + 16 <= size;) {
        const uint64_t length = little(head + at + 4, 4);
        if (memcmp(head + at, "fmt ", 4) == 0)
            return length >= 16 && kind_of(head + at + 8, size - (size_t)at - 8, &kind);
        at += 8 + length + (length & 1);
    }
    return true;
}

/* A size that is written before the length is known: all ones, or about half of it (sox, ffmpeg,
 * arecord; each with its header added or taken off). */
static bool is_open_end(uint64_t size) {
    return size == UINT64_MAX || (size >= 0xffff0000 && size <= 0xffffffff) ||
           (size >= 0x7ffff000 && size <= 0x80001000);
}

static void claim(pcm_state *s, uint64_t size) {
    s->claimed = size > 0 && !is_open_end(size);
    s->left = is_open_end(size) ? UINT64_MAX : size;
    s->pad = s->claimed && size % 2 != 0;
}

/* Takes a format; false: not one that goes on here. The first one is the sound's. */
static bool take_format(pcm_state *s, const unsigned char *f, size_t size, sound_info *info) {
    sample_kind kind;
    if (size < 16 || !kind_of(f, size, &kind)) return false;
    const uint64_t rate = little(f + 4, 4);
    s->kind = kind;
    s->channels = (int)little(f + 2, 2);
    s->rate = rate > INT32_MAX ? 0 : (int)rate;
    s->frame = (size_t)kind_size[kind] * (size_t)s->channels;
    if (info == NULL) return s->channels >= 1 && s->channels <= SOUND_CHANNEL_CAP;
    info->file_channels = s->channels;
    info->rate = s->rate;
    return true;
}

static const char too_short[] = "the WAV header ends before the samples begin";

/* Reads chunks up to the samples; info: NULL when it is not the first time. NULL, or what is wrong;
 * too_short: the stream ends. */
static const char *parse_chunks(pcm_state *s, bool formatted, sound_info *info) {
    unsigned char head[8], chunk[40];
    uint64_t long_size = UINT64_MAX;
    bool is_long = false;
    while (bytes_take(s->b, head, 8) == 8) {
        const uint64_t size = little(head + 4, 4);
        if (memcmp(head, "data", 4) == 0) {
            if (!formatted) return "the samples come before their format";
            claim(s, is_long ? long_size : size);
            return NULL;
        }
        const size_t kept = size < sizeof chunk ? (size_t)size : sizeof chunk;
        if (bytes_take(s->b, chunk, kept) != kept) break;
        if (memcmp(head, "fmt ", 4) == 0) {
            if (!take_format(s, chunk, kept, info))
                return "its samples are not 8 to 32-bit integers, 32 or 64-bit floats, A-law or "
                       "mu-law";
            if (s->channels < 1 || s->channels > SOUND_CHANNEL_CAP)
                return NULL; /* refused by all */
            formatted = true;
        }
        if (memcmp(head, "ds64", 4) == 0 && kept >= 16) {
            long_size = little(chunk + 8, 8); /* 0: not finished */
            if (long_size == 0 || long_size > INT64_MAX) long_size = UINT64_MAX;
            is_long = true;
        }
        if (!bytes_skip(s->b, size - kept + (size & 1))) break;
    }
    return too_short;
}

static const char *parse_riff(pcm_state *s, bool formatted, sound_info *info) {
    unsigned char head[12];
    if (bytes_take(s->b, head, 12) != 12) return too_short;
    if (!is_wave(head)) return "the header is not that of a WAV file";
    return parse_chunks(s, formatted, info);
}

/* ---- Behind the claimed end ---- */

/* Whether these bytes begin a chunk and not samples: a name that can be read and a size that fits a
 * note, or a name that is known. */
static bool is_chunk(const unsigned char *at, size_t size) {
    static const char *const known[] = {"data", "LIST", "JUNK", "bext", "id3 ", "elm1", "regn"};
    if (size < 8) return true; /* too little to be anything */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (memcmp(at, known[i], 4) == 0) return true;
    if (memcmp(at, "ID3", 3) == 0 && at[3] < 16) return true;
    if (memcmp(at, "TAG", 3) == 0 && size == 128) return true;
    for (int i = 0; i < 4; i++)
        if (at[i] < 0x20 || at[i] > 0x7e) return false;
    return at[7] == 0;
}

/* The claimed end is here, with less than a frame before it. True: there are more samples. */
static bool go_on(pcm_state *s, const char **fault) {
    const unsigned char *data;
    *fault = NULL;
    if (!s->riff) return false;
    const size_t end = (size_t)s->left + (s->pad ? 1 : 0);
    const size_t size = bytes_peek(s->b, end + 256, &data);
    if (size <= end) return false;
    const bool joined = size >= end + 12 && is_wave(data + end);
    if (joined || is_chunk(data + end, size - end)) {
        const int rate = s->rate;
        (void)bytes_skip(s->b, end);
        s->left = 0;
        *fault = joined ? parse_riff(s, false, NULL) : parse_chunks(s, true, NULL);
        if (*fault == NULL && s->rate != rate)
            *fault = "a part that was joined on has another rate";
        if (*fault != too_short) return *fault == NULL;
        *fault = NULL; /* notes, and the end */
        return false;
    }
    s->left = s->claimed ? s->left + wrap : UINT64_MAX;
    s->claimed = false;
    return true;
}

/* ---- Reading ---- */

static size_t take_frames(pcm_state *s, sound_part *p) {
    const size_t size = (size_t)kind_size[s->kind];
    size_t wanted = sizeof s->block / s->frame;
    if (wanted > p->cap) wanted = p->cap;
    if (wanted > s->left / s->frame) wanted = (size_t)(s->left / s->frame);
    const size_t taken = bytes_take(s->b, s->block, wanted * s->frame);
    if (s->left != UINT64_MAX) s->left -= taken;
    const size_t count = taken / s->frame; /* half a frame at the end of a stream is dropped */
    for (size_t i = 0; i < count * (size_t)s->channels; i++)
        s->values[i] = to_float(s->kind, s->block + i * size);
    sound_fit_channels(s->values, s->channels, p->frames, s->file_channels, count);
    return count;
}

static rnl_status read_frames(void *state, sound_part *p, rnl_error *error) {
    pcm_state *s = state;
    const char *fault = NULL;
    while (s->left < s->frame && go_on(s, &fault)) continue;
    if (fault != NULL) return status_fail(error, RNL_ERR_DATA, "%s: %s", s->source->name, fault);
    p->count = s->left >= s->frame ? take_frames(s, p) : 0;
    if (p->count > 0) return RNL_OK;
    if (s->claimed && s->left >= s->frame) {
        p->flaw = FLAW_CUT_OFF;
        p->gap = (int64_t)(s->left / s->frame);
    }
    return RNL_DONE;
}

static void close_pcm(void *state) {
    free(state);
}

static rnl_status open_state(sound_source *source, sound_decoder *d, pcm_state **out,
                             rnl_error *error) {
    pcm_state *s = calloc(1, sizeof *s);
    *out = s;
    if (s == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", source->name);
    s->source = source;
    s->b = &source->b;
    s->left = UINT64_MAX;
    *d = (sound_decoder){.read = read_frames, .close = close_pcm, .state = s};
    return RNL_OK;
}

rnl_status pcm_open_raw(sound_source *source, const sound_config *config, sound_decoder *d,
                        sound_info *info, rnl_error *error) {
    static const sample_kind kinds[] = {
        [SOUND_RAW_S16LE] = KIND_S16, [SOUND_RAW_S32LE] = KIND_S32, [SOUND_RAW_F32LE] = KIND_F32};
    pcm_state *s;
    const rnl_status status = open_state(source, d, &s, error);
    if (status != RNL_OK) return status;
    s->kind = kinds[config->raw_format];
    s->channels = s->file_channels = config->raw_channels;
    s->rate = config->raw_rate;
    s->frame = (size_t)kind_size[s->kind] * (size_t)s->channels;
    *info = (sound_info){.rate = s->rate,
                         .file_channels = s->channels,
                         .frame_count = -1,
                         .format_name = "samples without a header"};
    return RNL_OK;
}

rnl_status pcm_open_riff(sound_source *source, sound_decoder *d, sound_info *info,
                         rnl_error *error) {
    pcm_state *s;
    const rnl_status status = open_state(source, d, &s, error);
    if (status != RNL_OK) return status;
    const unsigned char *magic;
    const bool is_riff = bytes_peek(s->b, 4, &magic) >= 4 && magic[1] == 'I';
    *info = (sound_info){.frame_count = -1, .format_name = is_riff ? "WAV" : "RF64"};
    const char *fault = parse_riff(s, false, info);
    s->riff = true;
    s->file_channels = s->channels;
    if (fault == NULL) {
        if (s->claimed && s->channels > 0) info->frame_count = (int64_t)(s->left / s->frame);
        return RNL_OK;
    }
    close_pcm(s);
    *d = (sound_decoder){0};
    return status_fail(error, RNL_ERR_DATA, "%s: %s", source->name, fault);
}
