#include "serve/telephone.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/stream.h"
#include "core/json.h"
#include "core/resample.h"
#include "core/status.h"
#include "serve/audiosocket.h"
#include "serve/base64.h"
#include "serve/json_out.h"

enum {
    HEARD_FULL = RNL_RATE_IN,    /* samples that wait for the machine: nothing more is read then, */
    HEARD_CAP = 4 * RNL_RATE_IN, /* but what was is 2 s at most */
    PIECE = 1024,
    APPENDED = 8000,            /* samples of an event at most */
    BLOCK = RNL_RATE_OUT / 200, /* of the resampler: 5 ms */
    EVENT_SIZE_MAX = 1 << 20
};

/* Bytes s16le of the call's rate that are to be played. */
typedef struct queue {
    unsigned char *bytes; /* [cap], of which [at, end) wait */
    size_t at, end, cap;
} queue;

struct telephone {
    telephone_config config;
    audiosocket *line;
    realtime *rt;
    int64_t now_us;
    bool over; /* it is to be closed */

    stream_resampler *in; /* to 16 kHz; NULL: nothing was said yet */
    float heard[HEARD_CAP];
    size_t heard_count;
    bool speaking;   /* the caller is, as far as it was told */
    bool turn_ended; /* by '#' */

    resampler *out;
    queue queue;
    char item[REALTIME_ID_CAP]; /* that plays; "": none did */
    int64_t item_at;            /* samples given before it */
    int64_t given;              /* samples taken from the queue, */
    bool making;                /* more of the item comes */
    bool cut;                   /* the machine is to be told how far it came: */
    int64_t cut_ms;
};

/* Memory is exhausted, or what came cannot be. */
static void fail(telephone *t) {
    t->over = true;
}

/* ---- What is played ---- */

static bool queue_add(queue *q, const unsigned char *bytes, size_t size) {
    if (q->at > 0 && q->end + size > q->cap) {
        memmove(q->bytes, q->bytes + q->at, q->end - q->at);
        q->end -= q->at;
        q->at = 0;
    }
    if (q->end + size > q->cap) {
        const size_t cap = 2 * (q->end + size);
        unsigned char *grown = realloc(q->bytes, cap);
        if (grown == NULL) return false;
        q->bytes = grown;
        q->cap = cap;
    }
    memcpy(q->bytes + q->end, bytes, size);
    q->end += size;
    return true;
}

static size_t on_wanted(void *context, int16_t *samples, size_t count) {
    telephone *t = context;
    queue *q = &t->queue;
    const size_t waiting = (q->end - q->at) / 2, given = count < waiting ? count : waiting;
    for (size_t i = 0; i < given; i++, q->at += 2)
        samples[i] = (int16_t)(uint16_t)(q->bytes[q->at] | q->bytes[q->at + 1] << 8);
    if (q->at == q->end) q->at = q->end = 0;
    t->given += (int64_t)given;
    return given;
}

static void play(telephone *t, const float *samples, size_t count) {
    unsigned char bytes[2 * PIECE];
    if (count == 0) return;
    sound_to_s16le(samples, count, bytes);
    if (!queue_add(&t->queue, bytes, 2 * count)) fail(t);
}

/* s16le at 24 kHz to the queue; size 0: the rest of an item. */
static void convert(telephone *t, const unsigned char *bytes, size_t size) {
    float in[PIECE], out[PIECE];
    size_t made = 0, taken;
    for (size_t at = 0; at < size / 2;) {
        const size_t left = size / 2 - at, count = left < PIECE ? left : PIECE;
        for (size_t i = 0; i < count; i++) {
            const unsigned char *b = bytes + 2 * (at + i);
            in[i] = (float)(int16_t)(uint16_t)(b[0] | b[1] << 8) / 32768.0f;
        }
        resampler_push(t->out, in, count, &taken, out, PIECE, &made);
        play(t, out, made);
        at += taken;
    }
    if (size > 0) return;
    do {
        resampler_finish(t->out, out, PIECE, &made);
        play(t, out, made);
    } while (made > 0);
}

static void begin_item(telephone *t, const char *id) {
    (void)snprintf(t->item, sizeof t->item, "%s", id);
    t->item_at = t->given + (int64_t)(t->queue.end - t->queue.at) / 2;
    t->making = true;
    resampler_begin(t->out, RNL_RATE_OUT, audiosocket_rate(t->line));
}

static void on_sound_made(telephone *t, const json *event) {
    size_t size, made;
    const char *id = json_chars(json_get(event, "item_id"), NULL);
    const char *text = json_chars(json_get(event, "delta"), &size);
    if (id == NULL || text == NULL || audiosocket_rate(t->line) == 0) return;
    unsigned char *bytes = malloc(base64_size_max(size));
    if (bytes == NULL || !base64_decode(text, size, bytes, &made)) {
        fail(t);
    } else {
        if (strcmp(id, t->item) != 0) begin_item(t, id);
        if (made > 0) convert(t, bytes, made);
    }
    free(bytes);
}

static void on_sound_done(telephone *t) {
    if (!t->making) return;
    t->making = false;
    convert(t, NULL, 0);
}

/* What plays is over. How far it came the machine is told when it takes messages again. */
static void stop_playing(telephone *t) {
    queue *q = &t->queue;
    if (!t->making && q->at == q->end) return;
    const int64_t heard = audiosocket_heard(t->line) - t->item_at;
    t->cut = true;
    t->cut_ms = heard > 0 ? heard * 1000 / audiosocket_rate(t->line) : 0;
    t->making = false;
    q->at = q->end = 0;
}

/* ---- What the machine tells ---- */

static void on_event(void *context, const char *text, size_t size) {
    telephone *t = context;
    json *event = NULL;
    if (json_parse(text, size, "event", &event, NULL) != RNL_OK) {
        fail(t);
        return;
    }
    const char *type = json_chars(json_get(event, "type"), NULL);
    if (type == NULL) type = "";
    if (strcmp(type, "response.output_audio.delta") == 0) {
        on_sound_made(t, event);
    } else if (strcmp(type, "response.output_audio.done") == 0) {
        on_sound_done(t);
    } else if (strcmp(type, "input_audio_buffer.speech_started") == 0) {
        t->speaking = true;
        stop_playing(t);
    } else if (strcmp(type, "input_audio_buffer.speech_stopped") == 0) {
        t->speaking = false;
    }
    json_destroy(&event);
}

static void on_close(void *context, int code, const char *reason) {
    telephone *t = context;
    (void)code;
    (void)reason;
    t->over = true;
}

/* ---- What it is told ---- */

static void send(telephone *t, json_out *o) {
    json_out_end(o);
    if (json_out_whole(o))
        realtime_message(t->rt, o->text, o->size, t->now_us);
    else
        fail(t);
    json_out_free(o);
}

static void open_event(json_out *o, const char *type) {
    json_out_begin_growing(o, EVENT_SIZE_MAX);
    json_out_object(o, NULL);
    json_out_word(o, "type", type);
}

static void send_word(telephone *t, const char *type) {
    json_out o;
    open_event(&o, type);
    send(t, &o);
}

static void send_cut(telephone *t) {
    json_out o;
    open_event(&o, "conversation.item.truncate");
    json_out_word(&o, "item_id", t->item);
    json_out_int(&o, "content_index", 0);
    json_out_int(&o, "audio_end_ms", t->cut_ms);
    t->cut = false;
    send(t, &o);
}

static void send_heard(telephone *t) {
    unsigned char bytes[2 * APPENDED];
    json_out o;
    const size_t count = t->heard_count < APPENDED ? t->heard_count : APPENDED;
    sound_to_s16le(t->heard, count, bytes);
    open_event(&o, "input_audio_buffer.append");
    json_out_base64(&o, "audio", bytes, 2 * count);
    t->heard_count -= count;
    memmove(t->heard, t->heard + count, t->heard_count * sizeof *t->heard);
    send(t, &o);
}

/* The turn is over because the caller says so. */
static void send_end(telephone *t) {
    t->turn_ended = false;
    if (!t->speaking) return;
    send_word(t, "input_audio_buffer.commit");
    if (!realtime_is_over(t->rt) && !realtime_is_busy(t->rt)) send_word(t, "response.create");
}

/* All that can be told now. */
static void tell(telephone *t) {
    while (!t->over && !realtime_is_over(t->rt) && !realtime_is_busy(t->rt)) {
        if (t->cut)
            send_cut(t);
        else if (t->heard_count > 0)
            send_heard(t);
        else if (t->turn_ended)
            send_end(t);
        else
            return;
    }
}

/* ---- What Asterisk sends ---- */

static void on_write(void *context, const char *bytes, size_t size) {
    const telephone *t = context;
    t->config.write(t->config.context, bytes, size);
}

static bool on_began(void *context, const char *uuid) {
    (void)context;
    (void)uuid; /* whoever may call at all may call by any name */
    return true;
}

static void on_sound(void *context, const float *samples, size_t count, int rate) {
    telephone *t = context;
    if (t->in == NULL && stream_resampler_create(rate, RNL_RATE_IN, &t->in) != RNL_OK) fail(t);
    while (count > 0 && !t->over) {
        size_t taken = 0, made = 0;
        stream_resampler_push(t->in, samples, count, &taken, t->heard + t->heard_count,
                              HEARD_CAP - t->heard_count, &made);
        t->heard_count += made;
        samples += taken;
        count -= taken;
        if (count == 0) return;
        tell(t); /* it is full */
        if (t->heard_count == HEARD_CAP) fail(t);
    }
}

static void on_digit(void *context, char digit) {
    telephone *t = context;
    if (digit == '#') t->turn_ended = true;
}

/* ---- Life ---- */

static rnl_status make(telephone *t, int64_t now_us, rnl_error *error) {
    /* Its sound at 16 kHz, which is what is heard of it in the end. */
    static const char start[] =
        "{\"type\":\"realtime\",\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcm\","
        "\"rate\":16000}}}}";
    const audiosocket_host host = {.context = t,
                                   .write = on_write,
                                   .began = on_began,
                                   .sound = on_sound,
                                   .digit = on_digit,
                                   .wanted = on_wanted};
    realtime_ops ops = *t->config.model;
    ops.wire = t;
    ops.send = on_event;
    ops.close = on_close;
    t->config.model = NULL;
    if (audiosocket_create(&host, &t->line) != RNL_OK || resampler_create(&t->out) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    resampler_set_block(t->out, BLOCK);
    const rnl_status status =
        realtime_create(t->config.realtime, &ops, start, sizeof start - 1, &t->rt, error);
    t->config.realtime = NULL;
    if (status == RNL_OK) realtime_open(t->rt, now_us);
    return status;
}

rnl_status telephone_create(const telephone_config *config, int64_t now_us, telephone **out,
                            rnl_error *error) {
    telephone *t = *out = calloc(1, sizeof *t);
    if (t == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    t->config = *config;
    t->now_us = now_us;
    const rnl_status status = make(t, now_us, error);
    if (status != RNL_OK) telephone_destroy(out);
    return status;
}

void telephone_destroy(telephone **out) {
    telephone *t = *out;
    if (t == NULL) return;
    *out = NULL;
    realtime_destroy(&t->rt);
    audiosocket_destroy(&t->line);
    stream_resampler_destroy(&t->in);
    resampler_destroy(&t->out);
    free(t->queue.bytes);
    free(t);
}

void telephone_push(telephone *t, const char *bytes, size_t size, int64_t now_us) {
    t->now_us = now_us;
    if (t->over) return;
    if (audiosocket_push(t->line, bytes, size, now_us) == RNL_DONE) t->over = true;
    tell(t);
}

void telephone_news(telephone *t, const realtime_news_item *news, int64_t now_us) {
    t->now_us = now_us;
    if (t->over || realtime_is_over(t->rt)) return;
    realtime_news(t->rt, news, now_us);
    tell(t);
}

int64_t telephone_tick(telephone *t, int64_t now_us) {
    int64_t next_us;
    t->now_us = now_us;
    if (t->over || realtime_is_over(t->rt)) return INT64_MAX;
    realtime_tick(t->rt, now_us);
    tell(t);
    audiosocket_tick(t->line, now_us, &next_us);
    const int64_t due_us = realtime_due_us(t->rt);
    return due_us < next_us ? due_us : next_us;
}

bool telephone_is_over(const telephone *t) {
    return t->over || realtime_is_over(t->rt);
}

bool telephone_is_full(const telephone *t) {
    return t->heard_count >= HEARD_FULL;
}

bool telephone_is_talking(const telephone *t, int64_t now_us) {
    return t->queue.at < t->queue.end || realtime_is_talking(t->rt, now_us);
}

void telephone_hang_up(telephone *t) {
    audiosocket_hang_up(t->line);
    t->over = true;
}

void telephone_fail(telephone *t, const char *why) {
    if (!realtime_is_over(t->rt)) realtime_end(t->rt, API_ENGINE_FAILURE, why, 1011);
    telephone_hang_up(t);
}

const char *telephone_id(const telephone *t) {
    return realtime_id(t->rt);
}
