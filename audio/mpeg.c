/* MP1 to MP3: frames are found here, libmpg123 decodes them one by one. So any number of files that
 * were joined is one sound, no header's length is believed, and a damaged stretch costs its frames:
 * its length is that of its bytes at the mean size of a frame. */
#include <stdlib.h>
#include <string.h>

#include <mpg123.h>

#include "audio/codec.h"
#include "audio/frames.h"
#include "core/status.h"

enum {
    OUT_CAP = 1152 * 2,
    JUNK_SIZE = 2048 /* bytes behind the last frame that no one tells of: tags of other kinds */
};

typedef struct mpeg_state {
    sound_source *source;
    bytes *b;
    mpg123_handle *handle;
    int channels;                     /* of the sound */
    int out_channels;                 /* of what is in out */
    frame_head head;                  /* of the latest frame */
    int64_t frame_count, frame_bytes; /* so far: the mean size */
    int64_t part_count, part_claim; /* frames since the latest notes; what these say, 0: nothing */
    bool fresh;                     /* the decoder knows no frame before */
    bool done;    /* it has given out all that the notes speak of, and takes no more */
    bool counts;  /* behind a hole: a frame gives its samples, no more and no less */
    int64_t owed; /* samples of frames that went in since then and did not come out */
    float out[OUT_CAP];
    sound_made made; /* of out */
} mpeg_state;

/* A decoder that has heard nothing: after a hole it would take bits of before for those that are
 * missing. */
static bool begin(mpeg_state *s) {
    s->fresh = true;
    s->done = false;
    s->owed = 0;
    return mpg123_open_feed(s->handle) == MPG123_OK;
}

static bool configure(mpeg_state *s) {
    int fault = MPG123_OK;
    s->handle = mpg123_new(NULL, &fault);
    if (s->handle == NULL) return false;
    const long flags = MPG123_QUIET | MPG123_FORCE_FLOAT | MPG123_GAPLESS | MPG123_NO_READAHEAD |
                       MPG123_NO_FRANKENSTEIN;
    const long *rates = NULL;
    size_t rate_count = 0;
    if (mpg123_param(s->handle, MPG123_ADD_FLAGS, flags, 0) != MPG123_OK) return false;
    if (mpg123_format_none(s->handle) != MPG123_OK) return false;
    mpg123_rates(&rates, &rate_count);
    for (size_t i = 0; i < rate_count; i++)
        if (mpg123_format(s->handle, rates[i], MPG123_MONO | MPG123_STEREO, MPG123_ENC_FLOAT_32) !=
            MPG123_OK)
            return false;
    return begin(s);
}

/* ---- The next frame ---- */

/* Whether a frame of this stream stands at `at` of what is buffered: its successor does too, or a
 * tag, or the stream ends with it. */
static bool frame_stands(mpeg_state *s, size_t at, frame_head *head) {
    const unsigned char *data;
    size_t size = bytes_peek(s->b, at + FRAME_SIZE_CAP + 16, &data);
    frame_head next;
    if (at + FRAME_HEAD_SIZE > size || !frame_parse(data + at, head)) return false;
    if (s->frame_count > 0 && !frames_agree(head, &s->head)) return false;
    const size_t end = at + (size_t)head->size;
    if (end + FRAME_HEAD_SIZE > size) return end <= size;
    return (frame_parse(data + end, &next) && frames_agree(head, &next)) ||
           frame_tag_size(data + end, size - end) > 0;
}

/* A part with another rate that was joined on: two frames that agree with each other alone. */
static bool another_stands(mpeg_state *s, frame_head *head) {
    const unsigned char *data;
    const size_t size = bytes_peek(s->b, FRAME_SIZE_CAP + 16, &data);
    return frames_begin_at(data, size) && frame_parse(data, head) && !frames_agree(head, &s->head);
}

typedef enum found { FOUND_FRAME, FOUND_END, FOUND_CUT, FOUND_OTHER } found;

/* Goes to the next frame; *skipped: bytes before it that are neither frames nor tags. */
static found seek_frame(mpeg_state *s, frame_head *head, int64_t *skipped) {
    const unsigned char *data;
    *skipped = 0;
    for (;;) {
        const size_t size = bytes_peek(s->b, FRAME_SIZE_CAP, &data);
        if (size < FRAME_HEAD_SIZE) return FOUND_END;
        const uint64_t tag = frame_tag_size(data, size);
        if (tag > 0) {
            if (!bytes_skip(s->b, tag)) return FOUND_END;
        } else if (frame_stands(s, 0, head)) {
            return FOUND_FRAME;
        } else if (another_stands(s, head)) {
            return FOUND_OTHER;
        } else if (*skipped == 0 && frame_parse(data, head) && frames_agree(head, &s->head) &&
                   size < (size_t)head->size) {
            return FOUND_CUT; /* the last frame is not whole */
        } else {
            (void)bytes_skip(s->b, 1);
            ++*skipped;
        }
    }
}

static rnl_status another(const mpeg_state *s, const frame_head *head, rnl_error *error) {
    return status_fail(error, RNL_ERR_DATA,
                       "%s: a part that was joined on has %d Hz instead of %d; decode the parts "
                       "one by one",
                       s->source->name, head->rate, s->head.rate);
}

/* ---- Decoding ---- */

/* Feeds one whole frame and takes what comes of it: nothing, or the samples of one frame. */
static bool decode(mpeg_state *s, const unsigned char *data, const frame_head *head) {
    size_t done = 0;
    int result = mpg123_decode(s->handle, data, (size_t)head->size, (unsigned char *)s->out,
                               sizeof s->out, &done);
    if (result == MPG123_NEW_FORMAT) {
        long rate = 0;
        int encoding = 0, channels = 0;
        (void)mpg123_getformat(s->handle, &rate, &channels, &encoding);
        s->out_channels = channels == 1 ? 1 : 2;
        result = mpg123_decode(s->handle, NULL, 0, (unsigned char *)s->out, sizeof s->out, &done);
    }
    s->made.at = 0;
    s->made.count = done / sizeof(float) / (size_t)s->out_channels;
    s->done = result == MPG123_DONE;
    return result == MPG123_OK || result == MPG123_NEED_MORE || s->done;
}

static void lose(mpeg_state *s, int64_t samples) {
    s->made.gap += samples;
    s->made.flaw = FLAW_DAMAGED;
}

/* How many samples these bytes were: whole frames, at least one. */
static int64_t samples_of(const mpeg_state *s, int64_t size) {
    const int64_t mean = s->frame_count > 0 ? s->frame_bytes / s->frame_count : s->head.size;
    const int64_t count = (2 * size + mean) / (2 * mean);
    const int64_t most = (int64_t)SOUND_GAP_SECONDS_MAX * s->head.rate;
    const int64_t samples = (count > 0 ? count : 1) * s->head.samples;
    return samples < most ? samples : most;
}

static rnl_status take_frame(mpeg_state *s, const frame_head *head, int64_t skipped,
                             rnl_error *error) {
    const unsigned char *data;
    (void)bytes_peek(s->b, (size_t)head->size, &data);
    if (skipped > 0 && s->frame_count > 0) {
        const int64_t lost = samples_of(s, skipped);
        lose(s, lost);
        s->part_count += lost / head->samples;
        s->counts = true;
        if (!begin(s)) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    }
    const int64_t notes = frame_notes(data, head);
    if (notes >= 0) {
        if (s->part_claim > s->part_count + 1) lose(s, 0); /* the part before is cut off */
        s->counts = false;
        s->part_claim = notes;
        s->part_count = 0;
        s->done = !s->fresh;
    } else {
        s->part_count++;
    }
    if (s->done && !begin(s)) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    s->head = *head;
    s->fresh = false;
    s->frame_count++;
    s->frame_bytes += head->size;
    const bool good = decode(s, data, head);
    (void)bytes_skip(s->b, (uint64_t)head->size);
    if (!good) {
        s->made.count = 0;
        lose(s, s->owed + head->samples);
        s->counts = true;
        return begin(s) ? RNL_OK : status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    }
    if (s->counts) { /* behind a hole the decoder wants a frame before it gives something */
        s->owed += head->samples - (int64_t)s->made.count;
        if (s->made.count > 0 && s->owed > 0) {
            lose(s, s->owed);
            s->owed = 0;
        }
    }
    return RNL_OK;
}

/* The stream is over. */
static rnl_status end(const mpeg_state *s, found how, int64_t skipped, sound_part *p) {
    const int64_t missing = s->part_claim - s->part_count;
    p->flaw = s->made.flaw;
    p->gap = s->made.gap;
    if (skipped >= JUNK_SIZE) {
        p->flaw = FLAW_DAMAGED;
        p->gap += samples_of(s, skipped);
    } else if (missing > 1 || how == FOUND_CUT) {
        const int64_t most = (int64_t)SOUND_GAP_SECONDS_MAX * s->head.rate;
        const int64_t samples = missing > 1 ? missing * s->head.samples : 0;
        p->flaw = FLAW_CUT_OFF;
        p->gap += samples < most ? samples : most;
    }
    return RNL_DONE;
}

static rnl_status read_frames(void *state, sound_part *p, rnl_error *error) {
    mpeg_state *s = state;
    while (s->made.count == 0) {
        frame_head head;
        int64_t skipped;
        const found how = seek_frame(s, &head, &skipped);
        if (how == FOUND_OTHER) return another(s, &head, error);
        if (how != FOUND_FRAME) return end(s, how, skipped, p);
        const rnl_status status = take_frame(s, &head, skipped, error);
        if (status != RNL_OK) return status;
    }
    sound_give(&s->made, s->out, s->out_channels, s->channels, p);
    return RNL_OK;
}

static void close_mpeg(void *state) {
    mpeg_state *s = state;
    if (s->handle != NULL) mpg123_delete(s->handle);
    free(s);
}

/* ---- Opening ---- */

/* What the first frames say of the length, for progress. */
static int64_t claimed_count(const mpeg_state *s, const frame_head *head) {
    const unsigned char *data;
    (void)bytes_peek(s->b, (size_t)head->size, &data);
    const int64_t notes = frame_notes(data, head);
    if (notes > 0) return notes * head->samples;
    return s->source->size > 0 ? s->source->size / head->size * head->samples : -1;
}

rnl_status mpeg_open(sound_source *source, sound_decoder *d, sound_info *info, rnl_error *error) {
    mpeg_state *s = calloc(1, sizeof *s);
    if (s == NULL || !(*s = (mpeg_state){.source = source, .b = &source->b}, configure(s))) {
        if (s != NULL) close_mpeg(s);
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", source->name);
    }
    int64_t skipped;
    frame_head head = {0};
    if (seek_frame(s, &head, &skipped) != FOUND_FRAME) {
        close_mpeg(s);
        return status_fail(error, RNL_ERR_DATA, "%s: there is no whole frame of MPEG audio in it",
                           source->name);
    }
    s->head = head;
    s->channels = s->out_channels = head.channels;
    *info = (sound_info){.rate = head.rate,
                         .file_channels = head.channels,
                         .frame_count = claimed_count(s, &head),
                         .format_name = "MPEG audio"};
    *d = (sound_decoder){.read = read_frames, .close = close_mpeg, .state = s};
    return RNL_OK;
}
