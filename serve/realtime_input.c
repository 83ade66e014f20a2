/* The sound that comes in: base64 -> samples -> ring as it came, ring at 16 kHz -> every 32 ms a
 * look of the voice activity network -> turn events. Without turn detection it is only kept. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/status.h"
#include "serve/realtime_inner.h"

enum {
    SLACK_SECONDS =
        4, /* behind the longest clip: pre-roll, what the machine may have to wait for */
    RATE_MAX = 48000,
    PIECE = 1024, /* samples that go through at once */
    BLOCKS = 200  /* that a second is converted in */
};

/* ---- Memory ---- */

static void layout(realtime_input *in, arena *a) {
    in->heard = arena_take(a, in->heard_cap, sizeof *in->heard);
    in->raw = arena_take(a, in->raw_cap, sizeof *in->raw);
    vad_layout(&in->vad, a);
}

rnl_status realtime_input_create(realtime *rt, rnl_error *error) {
    realtime_input *in = &rt->in;
    const size_t seconds = (size_t)ceil(rt->config.clip_seconds_max) + SLACK_SECONDS;
    in->heard_cap = seconds * RNL_RATE_IN;
    in->raw_cap = seconds * RATE_MAX;
    arena a = {0};
    layout(in, &a);
    void *memory;
    if (posix_memalign(&memory, ARENA_ALIGN, a.size_used) != 0)
        return status_fail(error, RNL_ERR_MEMORY, "memory for a conversation is exhausted");
    memset(memory, 0, a.size_used);
    in->vad_memory = memory;
    a = (arena){.base = memory, .size_cap = a.size_used};
    layout(in, &a);
    vad_reset(&in->vad);
    energy_reset(&in->energy);
    if (realtime_input_set_format(rt)) return RNL_OK;
    return status_fail(error, RNL_ERR_MEMORY, "memory for a conversation is exhausted");
}

void realtime_input_destroy(realtime *rt) {
    free(rt->in.vad_memory);
    free(rt->in.pending);
    stream_resampler_destroy(&rt->in.resampler);
}

/* ---- Rules ---- */

bool realtime_input_set_format(realtime *rt) {
    realtime_input *in = &rt->in;
    const int rate = rt->settings.in.rate;
    stream_resampler_destroy(&in->resampler);
    if (rate != RNL_RATE_IN && stream_resampler_create(rate, RNL_RATE_IN, &in->resampler) != RNL_OK)
        return false;
    in->format = rt->settings.in;
    in->base += in->heard_in;
    in->raw_in = in->raw_out = in->heard_in = in->position = in->buffer_begin = 0;
    in->has_odd = false;
    realtime_input_set_detection(rt);
    return true;
}

/* With the network for ends of turns what counts is how finished it sounds; without it the waits
 * grow when turns were cut early. */
static void be_semantic(endpoint_config *c, realtime_eagerness eagerness, bool asks) {
    static const int asked[][3] = {
        [REALTIME_EAGER_AUTO] = {320, 600, 1500},
        [REALTIME_EAGER_LOW] = {500, 900, 3000},
        [REALTIME_EAGER_MEDIUM] = {320, 600, 1500},
        [REALTIME_EAGER_HIGH] = {224, 400, 900},
    };
    c->asks = asks;
    c->end_ms_min = asked[eagerness][0];
    c->end_ms = asked[eagerness][1];
    c->end_ms_max = asked[eagerness][2];
}

static endpoint_config turn_rules(const realtime *rt) {
    const realtime_detection *d = &rt->settings.detection;
    endpoint_config c = endpoint_config_default();
    c.barge_in = !rt->config.half_duplex;
    c.turn_ms_max = (int)(rt->config.clip_seconds_max * 1000);
    if (d->detector == REALTIME_SEMANTIC_VAD) {
        be_semantic(&c, d->eagerness, rt->ops.ask_finished != NULL);
        return c;
    }
    c.enter = fminf(fmaxf((float)d->threshold, 0.05f), 0.95f);
    c.exit = fmaxf(c.enter - 0.15f, 0.03f);
    c.mean_min = fminf(c.enter + 0.1f, 0.95f);
    c.pre_roll_ms = d->prefix_ms;
    c.end_ms = c.end_ms_max = d->silence_ms;
    c.end_ms_step = 0;
    if (c.guess_ms > c.end_ms) c.guess_ms = c.end_ms;
    return c;
}

void realtime_input_set_detection(realtime *rt) {
    realtime_input *in = &rt->in;
    const endpoint_config c = turn_rules(rt);
    endpoint_reset(&in->turns, &c);
    in->turn_base = in->position;
}

int64_t realtime_ms(const realtime *rt, int64_t position) {
    return (rt->in.base + position) / REALTIME_MS;
}

/* ---- The rings ---- */

float *realtime_heard(const realtime *rt, int64_t begin, int64_t end) {
    const realtime_input *in = &rt->in;
    assert(begin >= 0 && begin <= end && end <= in->heard_in);
    assert(in->heard_in - begin <= (int64_t)in->heard_cap);
    float *out = malloc((size_t)(end - begin + 1) * sizeof *out);
    for (int64_t i = begin; i < end && out != NULL; i++)
        out[i - begin] = in->heard[i % (int64_t)in->heard_cap];
    return out;
}

int16_t *realtime_raw(const realtime *rt, int64_t begin, int64_t end, size_t *count) {
    const realtime_input *in = &rt->in;
    int64_t from = begin * in->format.rate / RNL_RATE_IN;
    int64_t to = end * in->format.rate / RNL_RATE_IN;
    /* Up to the end means with what the resampler still holds. */
    if (to > in->raw_in || end == in->heard_in) to = in->raw_in;
    if (in->raw_in - from > (int64_t)in->raw_cap) from = in->raw_in - (int64_t)in->raw_cap;
    *count = to > from ? (size_t)(to - from) : 0;
    int16_t *out = malloc((*count + 1) * sizeof *out);
    for (size_t i = 0; i < *count && out != NULL; i++)
        out[i] = in->raw[(size_t)(from + (int64_t)i) % in->raw_cap];
    return out;
}

static void put_heard(realtime_input *in, const float *samples, size_t count) {
    for (size_t i = 0; i < count; i++)
        in->heard[(size_t)in->heard_in++ % in->heard_cap] = samples[i];
}

/* 5 ms of what came go on to 16 kHz: always so many at a time, so that the same sound has the same
 * bits however it was cut. */
static void convert_block(realtime_input *in, int64_t count) {
    float samples[RATE_MAX / BLOCKS], made[RATE_MAX / BLOCKS + 64];
    size_t taken, got;
    for (int64_t i = 0; i < count; i++)
        samples[i] = (float)in->raw[(size_t)(in->raw_out + i) % in->raw_cap] / 32768.0f;
    in->raw_out += count;
    if (in->resampler == NULL) {
        put_heard(in, samples, (size_t)count);
        return;
    }
    stream_resampler_push(in->resampler, samples, (size_t)count, &taken, made,
                          sizeof made / sizeof *made, &got);
    assert(taken == (size_t)count);
    put_heard(in, made, got);
}

/* A piece of what waits goes into both rings. */
static void take_piece(realtime_input *in) {
    const size_t left = in->pending_count - in->pending_at;
    const size_t count = left < PIECE ? left : PIECE;
    const int64_t block = in->format.rate / BLOCKS;
    for (size_t i = 0; i < count; i++)
        in->raw[(size_t)in->raw_in++ % in->raw_cap] = in->pending[in->pending_at++];
    while (in->raw_in - in->raw_out >= block) convert_block(in, block);
}

/* ---- Hearing ---- */

static void look(realtime *rt) {
    realtime_input *in = &rt->in;
    float block[VAD_BLOCK];
    turn_events events;
    for (int i = 0; i < VAD_BLOCK; i++)
        block[i] = in->heard[(size_t)(in->position + i) % in->heard_cap];
    const bool loud = energy_push(&in->energy, block);
    const float speech = vad_block(&in->vad, rt->config.kernels, block);
    in->position += VAD_BLOCK;
    endpoint_push(&in->turns, loud ? speech : 0.0f, realtime_is_playing(rt), false, &events);
    for (int i = 0; i < events.count && !rt->over; i++) {
        turn_event e = events.list[i];
        e.position += in->turn_base;
        e.clip_begin += in->turn_base;
        e.speech_begin += in->turn_base;
        e.speech_end += in->turn_base;
        e.clip_end += in->turn_base;
        realtime_turn_event(rt, &e, i + 1 < events.count);
    }
}

static bool is_manual(const realtime *rt) {
    return rt->settings.detection.detector == REALTIME_MANUAL;
}

bool realtime_is_busy(const realtime *rt) {
    return rt->in.pending != NULL;
}

void realtime_hear(realtime *rt) {
    realtime_input *in = &rt->in;
    while (!rt->over) {
        if (is_manual(rt)) in->position = in->heard_in;
        if (!is_manual(rt) && in->heard_in - in->position >= VAD_BLOCK) {
            if (endpoint_waits(&in->turns)) return; /* for realtime_finished */
            look(rt);
            continue;
        }
        if (in->pending == NULL) break;
        take_piece(in);
        if (in->pending_at < in->pending_count) continue;
        free(in->pending);
        in->pending = NULL;
    }
    realtime_feed(rt);
}

void realtime_input_stop(realtime *rt) {
    free(rt->in.pending);
    rt->in.pending = NULL;
    rt->in.pending_at = rt->in.pending_count = 0;
    rt->in.has_odd = false;
    realtime_forget_turn(rt);
}

/* ---- Client events ---- */

/* Without turn detection nothing goes that was not committed: what is too much is refused. */
static bool check_room(const realtime *rt, size_t count, api_error *f) {
    const realtime_input *in = &rt->in;
    const double kept = (double)(in->heard_in - in->buffer_begin) / RNL_RATE_IN;
    const double seconds = kept + (double)count / in->format.rate;
    if (!is_manual(rt) || seconds <= rt->config.clip_seconds_max) return true;
    return realtime_refuse(f, API_BUFFER_FULL, "audio",
                           "The input audio buffer would hold %.1f s, it takes %.1f s; commit or "
                           "clear it",
                           seconds, rt->config.clip_seconds_max);
}

bool realtime_do_append(realtime *rt, const json *event, api_error *f) {
    realtime_input *in = &rt->in;
    size_t size;
    const json *v = json_get(event, "audio");
    const char *text = json_chars(v, &size);
    if (v == NULL)
        return realtime_refuse(f, API_MISSING_PARAMETER, "audio",
                               "Missing required parameter: 'audio'");
    unsigned char odd = in->odd;
    bool has_odd = in->has_odd;
    const realtime_decoding d = {in->format, &odd, &has_odd};
    int16_t *samples;
    size_t count;
    if (text == NULL || !realtime_sound_decode(&d, text, size, &samples, &count))
        return realtime_refuse(f, API_INVALID_VALUE, "audio", "Invalid 'audio': it is no base64");
    if (!check_room(rt, count, f)) {
        free(samples);
        return false;
    }
    in->odd = odd;
    in->has_odd = has_odd;
    if (count == 0) {
        free(samples);
        return true;
    }
    in->pending = samples;
    in->pending_at = 0;
    in->pending_count = count;
    realtime_hear(rt);
    return true;
}

bool realtime_do_commit(realtime *rt, const json *event, api_error *f) {
    (void)event;
    realtime_input *in = &rt->in;
    const int64_t end = in->heard_in,
                  longest = (int64_t)(rt->config.clip_seconds_max * RNL_RATE_IN);
    int64_t begin = rt->clip.open ? rt->clip.begin : in->buffer_begin;
    if (end - begin > longest) begin = end - longest;
    /* Counted in what came: the resampler still holds some ms of it. */
    const double came = (double)in->raw_in / in->format.rate - (double)begin / RNL_RATE_IN;
    const double ms = came * 1000;
    if (ms < REALTIME_COMMIT_MS_MIN)
        return realtime_refuse(f, API_COMMIT_EMPTY, "",
                               "Error committing input audio buffer: buffer too small. Expected "
                               "at least 100ms of audio, but buffer only has %.2fms of audio.",
                               ms);
    if (rt->clip.open) {
        realtime_end_turn(rt, end);
        return true;
    }
    char id[REALTIME_ID_CAP];
    id_make(id, "item_");
    realtime_input_set_detection(rt); /* what may have begun in it is no turn of its own */
    realtime_commit(rt, id, begin, end);
    return true;
}

bool realtime_do_clear(realtime *rt, const json *event, api_error *f) {
    (void)event;
    (void)f;
    realtime_forget_turn(rt);
    rt->in.buffer_begin = rt->in.heard_in;
    rt->in.has_odd = false;
    (void)realtime_event(rt, "input_audio_buffer.cleared");
    realtime_send(rt);
    return true;
}
