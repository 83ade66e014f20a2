/* Ogg Opus, in by libopus, page by page, and out by libopusenc. Opus always decodes at 48 kHz. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>

#include <opus_multistream.h>
#include <opusenc.h>

#include "audio/codec.h"
#include "audio/ogg.h"
#include "core/status.h"

enum {
    DECODED_RATE = 48000,
    CHANNEL_CAP = 8,
    PACKET_CAP = 5760, /* samples: 120 ms, the longest packet */
    OUT_CAP = PACKET_CAP * CHANNEL_CAP,
    SPEECH_BITRATE = 40000 /* bits/s: full-band mono speech without audible loss (RFC 7587, 3.1.1:
                              28 to 40 kbit/s) */
};

typedef struct opus_state {
    sound_source *source;
    ogg_pages *pages;
    ogg_part part;
    int packet_at;          /* packets of the part before it went through the decoder */
    OpusMSDecoder *decoder; /* of the link; NULL: none yet */
    int channels;           /* of the sound */
    int out_channels;       /* of the link */
    bool titled;            /* the link's second header went by */
    int64_t skip;     /* samples at the beginning of the link that are not part of the sound */
    int64_t pre_skip; /* what skip was at its beginning */
    ogg_clock clock;
    int64_t limit; /* samples of this part that are sound; more is filling of the last packet */
    bool heard;
    float out[OUT_CAP]; /* decoded and not given out yet */
    sound_made made;    /* of out */
} opus_state;

/* RFC 7845, 5.1: the head of a stream. NULL, or what is wrong. */
static const char *begin_link(opus_state *s, const unsigned char *head, long size) {
    enum { HEAD_SIZE = 19, TABLE_AT = 21 };
    static const unsigned char plain[] = {0, 1};
    if (size < HEAD_SIZE || (head[8] & 0xf0) != 0) return "an unknown kind of Opus";
    const int channels = head[9], family = head[18];
    int streams = 1, coupled = channels - 1;
    const unsigned char *table = plain;
    if (family != 0) {
        if (size < TABLE_AT + channels) return "a damaged header";
        streams = head[19];
        coupled = head[20];
        table = head + TABLE_AT;
    }
    if (channels < 1 || channels > (family == 0 ? 2 : CHANNEL_CAP))
        return "its number of channels is out of range";
    if (s->decoder != NULL) opus_multistream_decoder_destroy(s->decoder);
    int fault = OPUS_OK;
    s->decoder =
        opus_multistream_decoder_create(DECODED_RATE, channels, streams, coupled, table, &fault);
    if (s->decoder == NULL)
        return fault == OPUS_ALLOC_FAIL ? "memory is exhausted" : "a damaged header";
    const int gain = head[16] | head[17] << 8;
    (void)opus_multistream_decoder_ctl(s->decoder,
                                       OPUS_SET_GAIN(gain > 32767 ? gain - 65536 : gain));
    s->out_channels = channels;
    if (s->channels == 0) s->channels = channels;
    s->skip = s->pre_skip = head[10] | head[11] << 8;
    s->titled = false;
    s->clock = (ogg_clock){0};
    return NULL;
}

static int packet_length(const ogg_data *packet) {
    const int length =
        packet->size > 0
            ? opus_packet_get_nb_samples(packet->data, (opus_int32)packet->size, DECODED_RATE)
            : 0;
    return length > 0 && length <= PACKET_CAP ? length : 0;
}

/* The next part: its headers are taken, what is left are packets of sound. */
static rnl_status more(opus_state *s, sound_part *p, rnl_error *error) {
    bool cut;
    const rnl_status status = ogg_pages_next(s->pages, &s->part, &cut, error);
    s->packet_at = 0;
    if (status == RNL_DONE) {
        p->gap = s->made.gap;
        p->flaw = cut ? FLAW_CUT_OFF : s->part.lost ? FLAW_DAMAGED : s->made.flaw;
    }
    if (status != RNL_OK) return status;
    if (s->part.first) {
        const char *fault = begin_link(s, s->part.packets[0].data, s->part.packets[0].size);
        if (fault != NULL)
            return status_fail(error, RNL_ERR_DATA, "%s: this Opus file cannot be read: %s",
                               s->source->name, fault);
        s->packet_at = 1;
    }
    if (s->part.headless) { /* taken to be as the link before */
        (void)opus_multistream_decoder_ctl(s->decoder, OPUS_RESET_STATE);
        s->clock = (ogg_clock){0};
        s->skip = s->pre_skip;
        s->titled = false;
    }
    if (!s->titled && s->packet_at < s->part.count) {
        const ogg_data *tags = &s->part.packets[s->packet_at];
        if (tags->size >= 8 && memcmp(tags->data, "OpusTags", 8) == 0) s->packet_at++;
        s->titled = true;
    }
    if (s->part.lost && s->heard) s->made.flaw = FLAW_DAMAGED;
    if (s->packet_at == s->part.count) return RNL_OK;
    int64_t length = 0;
    for (int i = s->packet_at; i < s->part.count; i++) length += packet_length(&s->part.packets[i]);
    const int64_t before = s->clock.position;
    const int64_t gap = ogg_clock_gap(&s->clock, &s->part, length, DECODED_RATE);
    const int64_t begin = before + gap;
    s->made.gap += gap;
    /* RFC 7845, 4.4: the last page's time cuts what fills its last packet. */
    const bool cuts = s->part.last && s->part.end >= begin && s->part.end < begin + length;
    s->limit = cuts ? s->part.end - begin : length;
    return RNL_OK;
}

/* Decodes the next packet into out; it may give nothing. */
static void next_packet(opus_state *s) {
    const ogg_data *packet = &s->part.packets[s->packet_at++];
    const int length = packet_length(packet);
    int count = length > 0
                    ? opus_multistream_decode_float(s->decoder, packet->data,
                                                    (opus_int32)packet->size, s->out, PACKET_CAP, 0)
                    : 0;
    if (count < 0 || length == 0) {
        s->made.flaw = FLAW_DAMAGED;
        s->made.gap += length;
        s->limit -= length;
        return;
    }
    if (count > s->limit) count = (int)s->limit;
    s->limit -= count;
    const int64_t skipped = s->skip < count ? s->skip : count;
    s->skip -= skipped;
    s->made.at = (size_t)skipped;
    s->made.count = (size_t)(count - skipped);
}

static rnl_status read_frames(void *state, sound_part *p, rnl_error *error) {
    opus_state *s = state;
    while (s->made.count == 0) {
        if (s->packet_at < s->part.count) {
            next_packet(s);
            continue;
        }
        const rnl_status status = more(s, p, error);
        if (status != RNL_OK) return status;
    }
    sound_give(&s->made, s->out, s->out_channels, s->channels, p);
    s->heard = true;
    return RNL_OK;
}

static void close_opus(void *state) {
    opus_state *s = state;
    if (s->decoder != NULL) opus_multistream_decoder_destroy(s->decoder);
    ogg_pages_destroy(&s->pages);
    free(s);
}

rnl_status opus_open(sound_source *source, sound_decoder *d, sound_info *info, rnl_error *error) {
    opus_state *s = calloc(1, sizeof *s);
    if (s == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", source->name);
    s->source = source;
    s->pages = ogg_pages_create(source, "OpusHead");
    sound_part none = {0};
    rnl_status status = RNL_OK;
    if (s->pages == NULL)
        status = status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", source->name);
    while (status == RNL_OK && s->decoder == NULL) status = more(s, &none, error);
    if (status == RNL_DONE)
        status = status_fail(error, RNL_ERR_DATA, "%s: its Opus header is damaged", source->name);
    if (status != RNL_OK) {
        close_opus(s);
        return status;
    }
    *info = (sound_info){.rate = DECODED_RATE,
                         .file_channels = s->channels,
                         .frame_count = ogg_last_time(source),
                         .format_name = "Ogg Opus"};
    *d = (sound_decoder){.read = read_frames, .close = close_opus, .state = s};
    return RNL_OK;
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
