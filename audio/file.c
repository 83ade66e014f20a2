/* Which decoder a sound needs, by its content, and what all of them owe: rate and channels are
 * checked here, time without sound is filled with silence, damage is noted, channels are chosen.
 *
 *   source -> decoder -> frames of all channels -> (mix.c: blocks of 1 s -> mean) -> the caller */
#include "audio/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/codec.h"
#include "audio/content.h"
#include "audio/faults.h"
#include "audio/frames.h"
#include "audio/mix.h"
#include "core/status.h"

enum { BLOCK = 4096, TAG_CAP = 8 };

struct sound_reader {
    sound_source *source;
    sound_decoder decoder;
    sound_info info;
    sound_faults faults;
    int channel;      /* 0: the mean, or all */
    mixer *mixer;     /* NULL: no channels to mix */
    int64_t position; /* frames given out */
    int64_t time;     /* frames of time that were decoded, silence counted */
    int64_t silence;  /* frames of it that go before the block */
    float *block;     /* [BLOCK, file_channels] */
    size_t block_at, block_count;
    float *chosen; /* [BLOCK, file_channels] before one is chosen; NULL: none is */
    bool heard;    /* a sample that is a number */
    bool ended;    /* the decoder has nothing more */
};

sound_config sound_config_default(void) {
    return (sound_config){
        .track = 1, .raw_rate = 16000, .raw_channels = 1, .raw_format = SOUND_RAW_S16LE};
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

/* ---- Opening ---- */

static rnl_status refuse_head(const sound_source *s, rnl_error *error) {
    return status_fail(error, RNL_ERR_DATA,
                       "%s: it begins like no sound; if these are samples without a header, give "
                       "--raw-rate, --raw-channels or --raw-format",
                       s->name);
}

/* MPEG frames behind something else, as a recorder of streams leaves it. */
static bool frames_stand_later(sound_source *s) {
    const unsigned char *data;
    const size_t size = bytes_peek(&s->b, BYTES_CAP, &data);
    for (size_t at = 1; at + (size_t)3 * FRAME_SIZE_CAP <= size; at++) {
        if (!frames_begin_at(data + at, size - at)) continue;
        (void)bytes_skip(&s->b, at);
        return true;
    }
    return false;
}

/* libsndfile, frames of MPEG further on, ffmpeg. kind: what the head said. */
static rnl_status ask_others(sound_reader *r, content kind, const sound_config *config,
                             rnl_error *error) {
    const int track = config->track;
    rnl_error first = {0};
    rnl_status status = source_keep(r->source, error);
    if (status != RNL_OK) return status;
    if (kind != CONTENT_FFMPEG && track == 1) {
        status = sndfile_open(r->source, &r->decoder, &r->info, &first);
        if (status == RNL_OK) return RNL_OK;
        if (status != RNL_ERR_DATA) return status_fail(error, status, "%s", first.text);
        if (kind == CONTENT_OTHER && frames_stand_later(r->source))
            return mpeg_open(r->source, &r->decoder, &r->info, error);
    }
    if (config->no_ffmpeg && first.status == RNL_OK)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: sound of this kind is not taken here; convert it to WAV, FLAC, Ogg "
                           "or MP3",
                           r->source->name);
    if (config->no_ffmpeg) return status_fail(error, RNL_ERR_DATA, "%s", first.text);
    status = ffmpeg_open(r->source, track, &r->decoder, &r->info, error);
    if (status != RNL_ERR_UNSUPPORTED && status != RNL_ERR_DATA) return status;
    const bool says_why = error != NULL && strstr(error->text, "no sound track") != NULL;
    if (kind == CONTENT_FFMPEG || track > 1 || says_why) {
        if (error != NULL) error->status = RNL_ERR_DATA;
        return RNL_ERR_DATA;
    }
    if (kind == CONTENT_OTHER && r->source->path == NULL) return refuse_head(r->source, error);
    return status_fail(error, RNL_ERR_DATA, "%s%s", first.text,
                       status == RNL_ERR_UNSUPPORTED ? "; with ffmpeg installed more kinds can be"
                                                     : "");
}

typedef rnl_status (*opener)(sound_source *s, sound_decoder *d, sound_info *info, rnl_error *error);

static opener opener_of(content kind) {
    switch (kind) {
    case CONTENT_RIFF:
        return pcm_open_riff;
    case CONTENT_OPUS:
        return opus_open;
    case CONTENT_VORBIS:
        return vorbis_open;
    case CONTENT_FLAC:
        return flac_open;
    case CONTENT_MPEG:
        return mpeg_open;
    default:
        return NULL;
    }
}

/* What the first bytes behind tags say. */
static rnl_status look(sound_source *s, bool strict, content *kind, rnl_error *error) {
    *kind = CONTENT_TAG;
    for (int i = 0; i < TAG_CAP && *kind == CONTENT_TAG; i++) {
        const unsigned char *head;
        const size_t size = bytes_peek(&s->b, CONTENT_LOOK, &head);
        if (s->b.fault != 0) return source_fault(s, error);
        if (size == 0)
            return status_fail(error, RNL_ERR_DATA, "%s: there is no sound in it", s->name);
        *kind = content_of(head, size, strict);
        if (*kind == CONTENT_TAG && (size < 10 || !bytes_skip(&s->b, content_tag_size(head))))
            return status_fail(error, RNL_ERR_DATA, "%s: there is no sound in it", s->name);
    }
    return RNL_OK;
}

static rnl_status open_decoder(sound_reader *r, const sound_config *config, rnl_error *error) {
    sound_source *s = r->source;
    const bool named = s->regular && s->path != NULL, raw = config->raw && !named;
    content kind;
    rnl_status status = look(s, raw, &kind, error);
    if (status != RNL_OK) return status;
    if (kind == CONTENT_OTHER && raw) return pcm_open_raw(s, config, &r->decoder, &r->info, error);
    if (kind == CONTENT_OTHER && !s->regular) return refuse_head(s, error);
    const opener open_kind = config->track == 1 ? opener_of(kind) : NULL;
    if (open_kind != NULL) {
        status = open_kind(s, &r->decoder, &r->info, error);
        if (status != RNL_ERR_DATA || !s->regular) return status;
    }
    return ask_others(r, kind, config, error);
}

static rnl_status check_config(const char *path, const sound_config *c, rnl_error *error) {
    const char *fault = NULL;
    if (c->channel < 0 || c->channel > SOUND_CHANNEL_CAP)
        fault = "channel is not 0 to 64";
    else if (c->per_channel && c->channel != 0)
        fault = "channel and per_channel exclude each other";
    else if (c->track < 1 || c->track > SOUND_TRACK_CAP)
        fault = "track is not 1 to 100";
    else if (c->raw_rate < SOUND_RATE_MIN || c->raw_rate > SOUND_RATE_MAX)
        fault = "raw_rate is not 4000 to 768000 Hz";
    else if (c->raw_channels < 1 || c->raw_channels > SOUND_CHANNEL_CAP)
        fault = "raw_channels is not 1 to 64";
    else if ((unsigned)c->raw_format > SOUND_RAW_F32LE)
        fault = "raw_format is unknown";
    if (fault == NULL) return RNL_OK;
    return status_fail(error, RNL_ERR_ARGUMENT, "%s: %s", path, fault);
}

static rnl_status check_info(const sound_reader *r, bool mixes, rnl_error *error) {
    const sound_info *i = &r->info;
    const char *name = r->source->name;
    if (i->file_channels < 1 || i->file_channels > SOUND_CHANNEL_CAP)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: %d channels are not 1 to 64; mix the sound down", name,
                           i->file_channels);
    if (mixes && i->file_channels > SOUND_MIX_CAP)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: %d channels are more than the 8 that are mixed; choose one with "
                           "--channel N, or take each with --per-channel",
                           name, i->file_channels);
    if (i->rate < SOUND_RATE_MIN || i->rate > SOUND_RATE_MAX)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: a sampling rate of %d Hz is outside 4000 to 768000 Hz; resample it",
                           name, i->rate);
    if (r->channel > i->file_channels)
        return status_fail(error, RNL_ERR_DATA, "%s: there is no channel %d, it has %d", name,
                           r->channel, i->file_channels);
    return RNL_OK;
}

static rnl_status make_room(sound_reader *r, bool mixes, rnl_error *error) {
    const int channels = r->info.file_channels;
    r->block = malloc((size_t)BLOCK * (size_t)channels * sizeof *r->block);
    bool done = r->block != NULL;
    if (done && mixes && channels > 1)
        done = (r->mixer = mixer_create(r->info.rate, channels)) != NULL;
    if (done && r->channel > 0)
        done = (r->chosen = malloc((size_t)BLOCK * (size_t)channels * sizeof *r->chosen)) != NULL;
    if (done) return RNL_OK;
    return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", r->source->name);
}

/* The reader of a source, which it takes over, also when it fails. */
static rnl_status open_on(sound_source *source, const sound_config *config, sound_reader **out,
                          rnl_error *error) {
    const bool mixes = config->channel == 0 && !config->per_channel;
    sound_reader *r = calloc(1, sizeof *r);
    if (r == NULL) {
        const rnl_status status =
            status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", source->name);
        source_close(&source);
        return status;
    }
    r->channel = config->channel;
    r->source = source;
    rnl_status status = open_decoder(r, config, error);
    r->info.channels = config->per_channel ? r->info.file_channels : 1;
    if (status == RNL_OK) status = check_info(r, mixes, error);
    if (status == RNL_OK) status = make_room(r, mixes, error);
    if (status == RNL_OK)
        *out = r;
    else
        sound_reader_close(&r);
    return status;
}

rnl_status sound_reader_open(const char *path, const sound_config *config, sound_reader **out,
                             rnl_error *error) {
    const sound_config defaults = sound_config_default();
    sound_source *source;
    if (config == NULL) config = &defaults;
    *out = NULL;
    rnl_status status = check_config(path, config, error);
    if (status == RNL_OK) status = source_open(path, &source, error);
    return status == RNL_OK ? open_on(source, config, out, error) : status;
}

rnl_status sound_keep(const char *path, sound_kept **out, rnl_error *error) {
    rnl_status status = source_open(path, out, error);
    if (status != RNL_OK) return status;
    status = source_keep(*out, error);
    if (status != RNL_OK) source_close(out);
    return status;
}

rnl_status sound_keep_bytes(const char *name, const void *data, size_t size, sound_kept **out,
                            rnl_error *error) {
    return source_of_bytes(name, data, size, out, error);
}

void sound_kept_close(sound_kept **kept) {
    source_close(kept);
}

rnl_status sound_reader_open_kept(const sound_kept *kept, const sound_config *config,
                                  sound_reader **out, rnl_error *error) {
    const sound_config defaults = sound_config_default();
    sound_source *source;
    if (config == NULL) config = &defaults;
    *out = NULL;
    rnl_status status = check_config(kept->name, config, error);
    if (status == RNL_OK) status = source_again(kept, &source, error);
    return status == RNL_OK ? open_on(source, config, out, error) : status;
}

const sound_info *sound_reader_info(const sound_reader *r) {
    return &r->info;
}

const sound_faults *sound_reader_faults(const sound_reader *r) {
    return &r->faults;
}

bool sound_reader_is_regular(const sound_reader *r) {
    return r->source->regular;
}

/* ---- From the decoder ---- */

static void note(sound_reader *r, int64_t from, int64_t to, bool cut_off) {
    faults_add(&r->faults, (double)from / r->info.rate, (double)to / r->info.rate, cut_off);
}

/* Frames whose heard channels hold what is no number become silence. */
static void clear_faulty(sound_reader *r) {
    const int channels = r->info.file_channels;
    for (size_t i = 0; i < r->block_count; i++) {
        float *frame = r->block + i * (size_t)channels, sum = 0.0f;
        for (int c = 0; c < channels; c++) sum += frame[c];
        const bool is_good = isfinite(r->channel > 0 ? frame[r->channel - 1] : sum);
        r->heard = r->heard || is_good;
        if (is_good) continue;
        const int64_t at = r->time + (int64_t)i;
        memset(frame, 0, (size_t)channels * sizeof *frame);
        note(r, at, at + 1, false);
    }
}

static rnl_status no_sound(const sound_reader *r, rnl_error *error) {
    if (r->time > 0)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: sample 0 is not a number, nor is another one; the sound is damaged",
                           r->source->name);
    return status_fail(error, RNL_ERR_DATA, "%s: there is no sound in it", r->source->name);
}

static rnl_status end(sound_reader *r, const sound_part *p, rnl_error *error) {
    int64_t from, to;
    const int64_t slack = r->info.rate / 10; /* headers are off by some bytes */
    r->ended = true;
    if (!r->heard) return no_sound(r, error);
    while (r->decoder.late_place != NULL && r->decoder.late_place(r->decoder.state, &from, &to))
        note(r, from, to, false);
    if (p->flaw == FLAW_DAMAGED || (p->flaw == FLAW_CUT_OFF && (p->gap == 0 || p->gap >= slack)))
        note(r, r->time, r->time + p->gap, p->flaw == FLAW_CUT_OFF);
    return RNL_DONE;
}

/* Nothing more can be decoded: what was heard before stands. */
static rnl_status give_up(sound_reader *r, const rnl_error *why) {
    const int64_t claim = r->info.frame_count;
    r->ended = true;
    note(r, r->time, claim > r->time ? claim : r->time, false);
    faults_set_reason(&r->faults, r->source->name, why->text);
    return RNL_DONE;
}

/* Decodes the next block. */
static rnl_status fill(sound_reader *r, rnl_error *error) {
    rnl_error why = {0};
    sound_part p = {.frames = r->block, .cap = BLOCK};
    r->block_at = r->block_count = 0;
    const rnl_status status = r->decoder.read(r->decoder.state, &p, &why);
    if (status != RNL_OK && r->source->b.fault != 0) return source_fault(r->source, error);
    if (status == RNL_DONE) return end(r, &p, error);
    if (status == RNL_ERR_DATA && r->heard) return give_up(r, &why);
    if (status != RNL_OK) return status_fail(error, status, "%s", why.text);
    if (p.flaw == FLAW_DAMAGED) note(r, r->time, r->time + p.gap, false);
    r->silence += p.gap;
    r->time += p.gap;
    r->block_count = p.count;
    clear_faulty(r);
    r->time += (int64_t)p.count;
    return RNL_OK;
}

/* Up to cap frames of all channels. */
static rnl_status take(sound_reader *r, float *frames, size_t cap, size_t *count,
                       rnl_error *error) {
    const size_t channels = (size_t)r->info.file_channels;
    while (r->silence == 0 && r->block_count == 0) {
        const rnl_status status = r->ended ? RNL_DONE : fill(r, error);
        if (status != RNL_OK) return status;
    }
    if (r->silence > 0) {
        *count = r->silence < (int64_t)cap ? (size_t)r->silence : cap;
        memset(frames, 0, *count * channels * sizeof *frames);
        r->silence -= (int64_t)*count;
        return RNL_OK;
    }
    *count = r->block_count < cap ? r->block_count : cap;
    memcpy(frames, r->block + r->block_at * channels, *count * channels * sizeof *frames);
    r->block_at += *count;
    r->block_count -= *count;
    return RNL_OK;
}

/* ---- To the caller ---- */

static rnl_status read_mixed(sound_reader *r, float *samples, size_t cap, size_t *count,
                             rnl_error *error) {
    while ((*count = mixer_take(r->mixer, samples, cap)) == 0) {
        const double begin = (double)r->position / r->info.rate;
        rnl_status status = RNL_OK;
        bool filled = false;
        size_t room, got;
        for (float *to; status == RNL_OK && (to = mixer_room(r->mixer, &room), room > 0);) {
            status = take(r, to, room, &got, error);
            if (status == RNL_OK) mixer_put(r->mixer, got);
            filled = filled || status == RNL_OK;
        }
        if (status < 0 || !filled) return status;
        if (mixer_mix(r->mixer) && !r->faults.out_of_phase) {
            r->faults.out_of_phase = true;
            r->faults.out_of_phase_at = begin;
        }
    }
    return RNL_OK;
}

static rnl_status read_chosen(sound_reader *r, float *samples, size_t cap, size_t *count,
                              rnl_error *error) {
    const rnl_status status = take(r, r->chosen, cap < BLOCK ? cap : BLOCK, count, error);
    const size_t channels = (size_t)r->info.file_channels, first = (size_t)r->channel - 1;
    for (size_t i = 0; status == RNL_OK && i < *count; i++)
        samples[i] = r->chosen[i * channels + first];
    return status;
}

rnl_status sound_reader_read(sound_reader *r, float *frames, size_t frame_cap, size_t *frame_count,
                             rnl_error *error) {
    size_t count = 0;
    rnl_status status;
    if (r->mixer != NULL)
        status = read_mixed(r, frames, frame_cap, &count, error);
    else if (r->chosen != NULL)
        status = read_chosen(r, frames, frame_cap, &count, error);
    else
        status = take(r, frames, frame_cap, &count, error);
    *frame_count = status == RNL_OK ? count : 0;
    r->position += (int64_t)*frame_count;
    return status;
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
    mixer_destroy(&r->mixer);
    source_close(&r->source);
    free(r->chosen);
    free(r->block);
    free(r);
}

void sound_fit_channels(const float *in, int from, float *out, int to, size_t count) {
    if (from == to) {
        memcpy(out, in, count * (size_t)to * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; i++, in += from, out += to) {
        float sum = 0.0f;
        for (int c = 0; c < from; c++) sum += in[c];
        for (int c = 0; c < to; c++)
            out[c] = to == 1 ? sum / (float)from : from == 1 ? in[0] : c < from ? in[c] : 0.0f;
    }
}

void sound_give(sound_made *m, const float *out, int from, int to, sound_part *part) {
    part->count = m->count < part->cap ? m->count : part->cap;
    sound_fit_channels(out + m->at * (size_t)from, from, part->frames, to, part->count);
    m->at += part->count;
    m->count -= part->count;
    part->gap = m->gap;
    part->flaw = m->flaw;
    m->gap = 0;
    m->flaw = FLAW_NONE;
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
                return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted",
                                   r->source->name);
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
                               r->source->name, seconds_max);
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
    out->faults = r->faults;
    sound_reader_close(&r);
    if (status != RNL_OK) sound_free(out);
    return status;
}

void sound_free(sound *s) {
    free(s->samples);
    *s = (sound){0};
}
