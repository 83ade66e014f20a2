/* FLAC, by libFLAC. Frames carry the number of their first sample, so what is lost between two of
 * them is known exactly. Files that were joined are read one after the other: the bytes of the next
 * one's head are kept from the decoder until it has finished with what stands before. */
#include <stdlib.h>
#include <string.h>

#include <FLAC/stream_decoder.h>

#include "audio/codec.h"
#include "core/status.h"

enum {
    HEAD_SIZE = 8, /* bytes by which the head of a file is known: its mark, its first block */
    GIVE_CAP = 32768
};

typedef struct flac_state {
    sound_source *source;
    bytes *b;
    FLAC__StreamDecoder *decoder;
    int channels, rate;
    bool head_passed; /* of the file that is read: its head was given to the decoder */
    bool next_stands; /* what the decoder was kept from is another file's head */
    bool begun;       /* a frame of this file was heard */
    bool damaged;     /* since the last frame that was heard */
    bool late;        /* the damage showed when all bytes were read: it may be the end of a part */
    int64_t expected; /* sample that comes next in this file */
    int64_t total;    /* what the file says it has; 0: nothing */
    rnl_status trouble; /* of the write callback */
    int other_rate;     /* with trouble RNL_ERR_DATA */
    float *out;         /* [out_cap, channels] */
    size_t out_cap;
    sound_made made; /* of out */
} flac_state;

static bool is_head(const unsigned char *at) {
    return memcmp(at, "fLaC", 4) == 0 && (at[4] & 0x7f) == 0 && memcmp(at + 5, "\0\0\x22", 3) == 0;
}

static FLAC__StreamDecoderReadStatus give(const FLAC__StreamDecoder *decoder, FLAC__byte *out,
                                          size_t *size, void *context) {
    flac_state *s = context;
    const unsigned char *data;
    const size_t most = *size < GIVE_CAP ? *size : GIVE_CAP;
    (void)decoder;
    const size_t there = bytes_peek(s->b, most + HEAD_SIZE, &data);
    size_t count = 0;
    if (!s->head_passed && there > 0) count = 1; /* this file's own mark is not another's */
    s->head_passed = true;
    while (count < there && count < most && !(there - count >= HEAD_SIZE && is_head(data + count)))
        count++;
    s->next_stands = count < most && count < there;
    *size = bytes_take(s->b, out, count);
    return *size > 0 ? FLAC__STREAM_DECODER_READ_STATUS_CONTINUE
                     : FLAC__STREAM_DECODER_READ_STATUS_END_OF_STREAM;
}

static void note_error(const FLAC__StreamDecoder *decoder, FLAC__StreamDecoderErrorStatus status,
                       void *context) {
    flac_state *s = context;
    const unsigned char *data;
    (void)decoder;
    (void)status;
    if (!s->damaged) s->late = bytes_peek(s->b, 1, &data) == 0;
    s->damaged = true;
}

static void take_metadata(const FLAC__StreamDecoder *decoder, const FLAC__StreamMetadata *m,
                          void *context) {
    flac_state *s = context;
    (void)decoder;
    if (m->type != FLAC__METADATA_TYPE_STREAMINFO) return;
    const FLAC__StreamMetadata_StreamInfo *i = &m->data.stream_info;
    s->total = i->total_samples > INT64_MAX ? 0 : (int64_t)i->total_samples;
    if (s->rate == 0) {
        s->rate = (int)i->sample_rate;
        s->channels = (int)i->channels;
    }
}

static bool make_room(flac_state *s, size_t count) {
    if (count <= s->out_cap) return true;
    float *grown = realloc(s->out, count * (size_t)s->channels * sizeof *grown);
    if (grown == NULL) return false;
    s->out = grown;
    s->out_cap = count;
    return true;
}

/* Where the frame stands: a number that goes back, or too far, begins a numbering of its own. */
static void take_place(flac_state *s, int64_t number) {
    const int64_t most = (int64_t)SOUND_GAP_SECONDS_MAX * s->rate, gap = number - s->expected;
    const bool is_known = s->begun || s->damaged; /* else the recording began in mid-stream */
    if (is_known && gap > 0 && gap <= most) s->made.gap += gap;
    if (s->damaged) s->made.flaw = FLAW_DAMAGED;
    s->damaged = false;
    s->begun = true;
}

static bool is_silence(const FLAC__FrameHeader *h, const FLAC__int32 *const buffer[]) {
    for (unsigned c = 0; c < h->channels; c++)
        for (unsigned i = 0; i < h->blocksize; i++)
            if (buffer[c][i] != 0) return false;
    return true;
}

static void take_samples(flac_state *s, const FLAC__FrameHeader *h,
                         const FLAC__int32 *const buffer[]) {
    const float scale = 1.0f / (float)(UINT32_C(1) << (h->bits_per_sample - 1));
    const int channels = (int)h->channels;
    for (size_t i = 0; i < h->blocksize; i++) {
        float frame[FLAC__MAX_CHANNELS];
        for (int c = 0; c < channels; c++) frame[c] = (float)buffer[c][i] * scale;
        sound_fit_channels(frame, channels, s->out + i * (size_t)s->channels, s->channels, 1);
    }
    s->made.at = 0;
    s->made.count = h->blocksize;
}

static FLAC__StreamDecoderWriteStatus take_frame(const FLAC__StreamDecoder *decoder,
                                                 const FLAC__Frame *frame,
                                                 const FLAC__int32 *const buffer[], void *context) {
    flac_state *s = context;
    const FLAC__FrameHeader *h = &frame->header;
    const int64_t number = (int64_t)(h->number.sample_number & INT64_MAX);
    (void)decoder;
    /* In place of what it cannot decode libFLAC gives silence: as if it were not there. */
    if (s->damaged && is_silence(h, buffer)) return FLAC__STREAM_DECODER_WRITE_STATUS_CONTINUE;
    if ((int)h->sample_rate != s->rate) {
        s->trouble = RNL_ERR_DATA;
        s->other_rate = (int)h->sample_rate;
        return FLAC__STREAM_DECODER_WRITE_STATUS_ABORT;
    }
    if (!make_room(s, h->blocksize)) {
        s->trouble = RNL_ERR_MEMORY;
        return FLAC__STREAM_DECODER_WRITE_STATUS_ABORT;
    }
    /* Two in one call: the first is made up for a lost one. */
    s->made.gap += (int64_t)s->made.count;
    s->made.count = 0;
    take_place(s, number);
    take_samples(s, h, buffer);
    s->expected = number < INT64_MAX - h->blocksize ? number + h->blocksize : 0;
    return FLAC__STREAM_DECODER_WRITE_STATUS_CONTINUE;
}

/* ---- One file after the other ---- */

static bool begin_file(flac_state *s) {
    s->head_passed = s->next_stands = s->begun = s->damaged = false;
    s->expected = s->total = 0;
    return FLAC__stream_decoder_init_stream(s->decoder, give, NULL, NULL, NULL, NULL, take_frame,
                                            take_metadata, note_error,
                                            s) == FLAC__STREAM_DECODER_INIT_STATUS_OK;
}

/* Samples that the file speaks of and that did not come. */
static int64_t missing_count(const flac_state *s) {
    const int64_t most = (int64_t)SOUND_GAP_SECONDS_MAX * s->rate;
    const int64_t missing = s->total > s->expected ? s->total - s->expected : 0;
    return missing < most ? missing : most;
}

static rnl_status end(const flac_state *s, sound_part *p) {
    const int64_t missing = missing_count(s);
    p->gap = s->made.gap + missing;
    p->flaw = s->made.flaw;
    if (s->damaged && !s->late && (missing > 0 || s->total == 0))
        p->flaw = FLAW_DAMAGED;
    else if (missing > 0) /* notes behind the last frame are no damage */
        p->flaw = FLAW_CUT_OFF;
    return RNL_DONE;
}

static rnl_status fail(const flac_state *s, rnl_error *error) {
    if (s->trouble == RNL_ERR_DATA)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: a part that was joined on has %d Hz instead of %d; decode the "
                           "parts one by one",
                           s->source->name, s->other_rate, s->rate);
    if (s->trouble == RNL_ERR_MEMORY ||
        FLAC__stream_decoder_get_state(s->decoder) == FLAC__STREAM_DECODER_MEMORY_ALLOCATION_ERROR)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", s->source->name);
    return status_fail(error, RNL_ERR_DATA, "%s: this FLAC file cannot be decoded (%s)",
                       s->source->name, FLAC__stream_decoder_get_resolved_state_string(s->decoder));
}

static rnl_status read_frames(void *state, sound_part *p, rnl_error *error) {
    flac_state *s = state;
    while (s->made.count == 0) {
        const bool done = FLAC__stream_decoder_process_single(s->decoder) != 0;
        if (s->made.count > 0) break;
        const bool ended =
            FLAC__stream_decoder_get_state(s->decoder) == FLAC__STREAM_DECODER_END_OF_STREAM;
        if (!done && !ended) return fail(s, error);
        if (!ended) continue;
        if (!s->next_stands) return end(s, p);
        /* A part that was cut off before another was joined on. */
        if (missing_count(s) > 0) s->made.flaw = FLAW_DAMAGED;
        s->made.gap += missing_count(s);
        (void)FLAC__stream_decoder_finish(s->decoder);
        if (!begin_file(s)) return fail(s, error);
    }
    sound_give(&s->made, s->out, s->channels, s->channels, p);
    return RNL_OK;
}

static void close_flac(void *state) {
    flac_state *s = state;
    if (s->decoder != NULL) FLAC__stream_decoder_delete(s->decoder);
    free(s->out);
    free(s);
}

rnl_status flac_open(sound_source *source, sound_decoder *d, sound_info *info, rnl_error *error) {
    flac_state *s = calloc(1, sizeof *s);
    if (s == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", source->name);
    s->source = source;
    s->b = &source->b;
    s->decoder = FLAC__stream_decoder_new();
    rnl_status status = RNL_OK;
    if (s->decoder == NULL)
        status = status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", source->name);
    else if (!begin_file(s) || !FLAC__stream_decoder_process_until_end_of_metadata(s->decoder))
        status = fail(s, error);
    else if (s->rate == 0)
        status = status_fail(error, RNL_ERR_DATA,
                             "%s: the FLAC file has no description of its sound", source->name);
    if (status != RNL_OK) {
        close_flac(s);
        return status;
    }
    *info = (sound_info){.rate = s->rate,
                         .file_channels = s->channels,
                         .frame_count = s->total > 0 ? s->total : -1,
                         .format_name = "FLAC"};
    *d = (sound_decoder){.read = read_frames, .close = close_flac, .state = s};
    return RNL_OK;
}
