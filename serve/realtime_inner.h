/* The inside of the state machine of /v1/realtime.
 *
 *     realtime.c           create, destroy, time, the session's end
 *     realtime_events.c    client's JSON -> what it asks for
 *     realtime_settings.c, realtime_update.c   the session object
 *     realtime_items.c     items: made, kept, shown
 *     realtime_talk.c      client events about items
 *     realtime_input.c     bytes -> 16 kHz -> VAD -> turn events
 *     realtime_turn.c      turn events -> clip, commit, guess, idle timeout
 *     realtime_cut.c       interruption, what was heard, truncation
 *     realtime_history.c   what the model has of the items
 *     realtime_response.c  responses: begun, made, ended
 *     realtime_create.c    response.create
 *     realtime_sound.c     codings of sound
 *     realtime_picture.c   pictures of a client
 *     realtime_out.c       events out, errors, names of both dialects */
#ifndef SERVE_REALTIME_INNER_H
#define SERVE_REALTIME_INNER_H

#include "core/resample.h"
#include "serve/ids.h"
#include "serve/limits.h"
#include "serve/realtime.h"
#include "serve/realtime_items.h"
#include "serve/realtime_settings.h"
#include "vad/endpoint.h"
#include "vad/energy.h"

enum {
    REALTIME_ITEM_CAP = LIMIT_ITEMS,
    REALTIME_ALONE_CAP = LIMIT_RESPONSES_QUEUED, /* responses out of band at once */
    REALTIME_RESPONSE_CAP = 1 + REALTIME_ALONE_CAP,
    REALTIME_OUTPUT_CAP = 33, /* items of a response: a message, calls */
    REALTIME_ERROR_CAP = 1000,
    REALTIME_EVENT_ID_CAP = LIMIT_EVENT_ID_SIZE + 1,
    REALTIME_EVENT_SIZE_MAX = 48 << 20, /* of one of ours: a retrieved item */
    REALTIME_MS = RNL_RATE_IN / 1000,
    REALTIME_COMMIT_MS_MIN = 100
};

typedef struct realtime_response {
    char id[REALTIME_ID_CAP];
    uint32_t key;         /* 0: the place is free */
    bool in_conversation; /* its items belong to the conversation */
    bool behind_history;  /* the model makes it behind the history, which then ends with it */
    realtime_settings settings;
    realtime_item *items[REALTIME_OUTPUT_CAP]; /* held; the last one may be open */
    int item_count;
    bool open;            /* the last item is a message, its part is open */
    int64_t asked_us;     /* when it began: at the end of a turn, or when the client wanted it */
    bool sounded;         /* its first sound went out */
    resampler *resampler; /* NULL at 24 kHz */
    realtime_usage usage; /* as far as known */
} realtime_response;

/* The sound that comes in. Positions are samples at 16 kHz since the input's format was set. */
typedef struct realtime_input {
    realtime_format format;
    unsigned char odd; /* the first half of a sample, */
    bool has_odd;      /* if there is one */
    int16_t *pending;  /* [pending_count] of the last message, from pending_at on to be heard */
    size_t pending_at, pending_count;
    int16_t *raw;    /* [raw_cap] ring of what came, at its own rate */
    int64_t raw_in;  /* samples ever put in, */
    int64_t raw_out; /* and taken on to 16 kHz */
    size_t raw_cap;
    float *heard; /* [heard_cap] ring at 16 kHz */
    int64_t heard_in;
    size_t heard_cap;
    stream_resampler *resampler; /* NULL at 16 kHz */
    int64_t position;            /* looked at by the turn machine */
    int64_t buffer_begin;        /* what a commit takes begins here */
    int64_t base;                /* of the session's sound, before this format */
    void *vad_memory;
    vad_state vad;
    energy_gate energy;
    endpoint turns;
    int64_t turn_base; /* position of its reset */
} realtime_input;

/* The user's clip under way. */
typedef struct realtime_clip {
    bool open; /* somebody speaks: speech_started is out */
    char item_id[REALTIME_ID_CAP];
    int64_t begin, end; /* end: when guessed */
    int64_t fed;        /* up to here the model has it */
    bool guessed;       /* by the turn machine, */
    uint32_t guess_key; /* and the model was told: of the reply; 0: it was not */
    uint32_t asked_key; /* how finished it sounds was asked under this; 0: no answer is wanted */
} realtime_clip;

/* A reply that was interrupted, until it is known what was heard of it. */
typedef struct realtime_cut {
    realtime_item *item; /* held; NULL: none */
    int64_t at_us;       /* of the interruption */
} realtime_cut;

/* How fast the assistant speaks: bytes of text and samples of whole replies. */
typedef struct realtime_pace {
    double size, samples;
} realtime_pace;

struct realtime {
    realtime_config config;
    realtime_ops ops;
    int64_t now_us, begin_us;
    bool opened, over;
    bool away; /* nobody is there to be told anything */
    bool beta;
    char id[REALTIME_ID_CAP], conversation_id[REALTIME_ID_CAP];
    realtime_settings settings;
    bool has_spoken; /* sound went out: the voice stays */

    json_out out; /* the event being written */
    bool unsent;  /* it has no name in this dialect */

    /* The client's event under way, */
    char event_id[REALTIME_EVENT_ID_CAP]; /* "": none */
    /* and how they come. */
    double event_level; /* of a bucket that fills at event_rate */
    int64_t event_us;
    int64_t error_us[REALTIME_ERROR_CAP]; /* ring: when the last errors were */
    int error_count;
    double token_level; /* of tokens_per_minute */
    int64_t token_us;

    /* The conversation. */
    realtime_item *items[REALTIME_ITEM_CAP]; /* held, in order */
    int item_count;
    uint32_t key_last;
    size_t sound_size;   /* bytes of sound kept for the client, */
    size_t waiting_size; /* and, with pixels, for the model */
    size_t picture_size; /* bytes of pictures, as they came, */
    int64_t pixel_count; /* and pixels */
    int64_t pixels_left; /* that the client's event under way may bring */
    realtime_response responses[REALTIME_RESPONSE_CAP]; /* [0]: in the conversation */
    realtime_item *speaking; /* held: the last one that made sound; NULL: none */
    realtime_cut cut;
    realtime_pace pace;
    int64_t idle_us; /* when the idle timeout strikes; INT64_MAX: never */

    /* What the model has. */
    uint32_t had[REALTIME_ITEM_CAP]; /* keys */
    int had_count;
    bool has_prompt;
    bool astray;              /* what it has is not that; once in a turn it begins anew */
    realtime_settings prompt; /* of its prompt */

    realtime_input in;
    realtime_clip clip;
};

/* ---- realtime_out.c ---- */

/* Begins an event, in the words of GA. */
json_out *realtime_event(realtime *rt, const char *type);
void realtime_send(realtime *rt);
/* An error event; counts it, and closes when there were too many. */
void realtime_tell_fault(realtime *rt, const api_error *f);
void realtime_tell_error(realtime *rt, api_code code, const char *param, const char *message);
void realtime_close(realtime *rt, int code, const char *reason);
uint32_t realtime_new_key(realtime *rt);
void realtime_tell_session(realtime *rt, const char *type);
/* Into a histogram of the metrics, if there are any. */
void realtime_observe(realtime *rt, metric which, int64_t us);
/* rate_limits.updated, so many positions later. */
void realtime_tell_limits(realtime *rt, int position_count);

/* ---- realtime_events.c ---- */

/* The text of a value, terminated, without NUL, at most cap bytes; NULL: it is none. */
const char *realtime_text_of(const json *v, size_t cap);

/* ---- realtime_talk.c ---- */

/* An item of a client's object; NULL: refused, or memory is exhausted. path: "item". */
realtime_item *realtime_item_read(realtime *rt, const json *object, const char *path, api_error *f);
/* Puts it in, index in [0, item_count], and holds it; the oldest go when there are too many. */
void realtime_insert(realtime *rt, realtime_item *item, int index);
int realtime_find(const realtime *rt, const char *id); /* -1: no such item */
/* The events; the item is in the conversation. */
void realtime_tell_added(realtime *rt, const realtime_item *item);
void realtime_tell_done(realtime *rt, const realtime_item *item);
bool realtime_do_item_create(realtime *rt, const json *event, api_error *f);
bool realtime_do_item_retrieve(realtime *rt, const json *event, api_error *f);
bool realtime_do_item_delete(realtime *rt, const json *event, api_error *f);
/* Sound of an item is kept, as long as there is room for it. */
void realtime_keep_sound(realtime *rt, realtime_part *part, const int16_t *samples, size_t count);

/* ---- realtime_input.c ---- */

RNL_MUST_USE rnl_status realtime_input_create(realtime *rt, rnl_error *error);
void realtime_input_destroy(realtime *rt);
/* The format of the settings holds from here on; what was heard is gone. False: memory is
 * exhausted, and the conversation is of no use. */
RNL_MUST_USE bool realtime_input_set_format(realtime *rt);
/* So does their turn detection; no turn is under way. */
void realtime_input_set_detection(realtime *rt);
/* What came last and was not looked at is dropped, and a turn under way forgotten. */
void realtime_input_stop(realtime *rt);
bool realtime_do_append(realtime *rt, const json *event, api_error *f);
bool realtime_do_commit(realtime *rt, const json *event, api_error *f);
bool realtime_do_clear(realtime *rt, const json *event, api_error *f);
/* Looks at what came, as far as it may. */
void realtime_hear(realtime *rt);
/* ms of all sound ever appended, at a position. */
int64_t realtime_ms(const realtime *rt, int64_t position);
/* heard[begin, end), allocated; NULL: memory is exhausted. Both within the ring. */
float *realtime_heard(const realtime *rt, int64_t begin, int64_t end);
/* The same at the input's rate. *count samples. */
int16_t *realtime_raw(const realtime *rt, int64_t begin, int64_t end, size_t *count);

/* ---- realtime_turn.c ---- */

/* goes_on: more happened at the same moment. */
void realtime_turn_event(realtime *rt, const turn_event *e, bool goes_on);
/* Gives the model of the clip what it may have. */
void realtime_feed(realtime *rt);
/* The model has nothing of the clip any more. */
void realtime_unfeed(realtime *rt);
/* A guess that was told is taken back: something changes of what it was made on. */
void realtime_unguess(realtime *rt);
/* The sound from begin to end is an item of the user. */
void realtime_commit(realtime *rt, const char *item_id, int64_t begin, int64_t end);
/* The turn under way: ends as an item, or is forgotten. */
void realtime_end_turn(realtime *rt, int64_t end);
void realtime_forget_turn(realtime *rt);
void realtime_arm_idle(realtime *rt);
void realtime_idle(realtime *rt);
void realtime_finished(realtime *rt, const realtime_news_item *news);

/* ---- realtime_cut.c ---- */

/* Samples of the item's speech that were played at a time, by estimate. */
size_t realtime_played(const realtime_item *item, int64_t at_us);
/* When what was sent has been played; INT64_MIN: nothing plays. */
int64_t realtime_playing_until(const realtime *rt);
bool realtime_is_playing(const realtime *rt);
/* Somebody speaks, or a client cancels: the reply under way ends, what it said is cut. */
void realtime_interrupt(realtime *rt, const char *reason);
/* A cut that waits is made now, by estimate. */
void realtime_settle(realtime *rt);
/* Items of that entry get one of their own each: the model's no longer stands for them. */
void realtime_part_from(realtime *rt, uint32_t key);
bool realtime_do_truncate(realtime *rt, const json *event, api_error *f);
/* A reply was made whole: so fast does it speak. */
void realtime_learn_pace(realtime *rt, const realtime_item *item);

/* ---- realtime_history.c ---- */

/* The model has all items and this prompt. */
bool realtime_is_current(const realtime *rt, const realtime_settings *s);
/* Makes it so. No response is being made in the conversation. */
void realtime_bring_up(realtime *rt, const realtime_settings *s);
/* The same ahead of a response, when only the end is lacking and nobody is heard or answered. */
void realtime_go_ahead(realtime *rt);
/* What it has is not what it was told. */
void realtime_go_astray(realtime *rt);
/* What waited for the model has reached it, or is gone. */
void realtime_part_drop_heard(realtime *rt, realtime_part *part);
/* It was told of this entry, as the last one. */
void realtime_note_had(realtime *rt, uint32_t key);
/* What is forgotten stays in the model's history, where the oldest turns go by themselves. */
void realtime_forget_had(realtime *rt, uint32_t key);
/* The entry of an item; pieces [part_count]. Their sound and pixels are allocated, for who gets
 * them. The conversation ends where memory for a picture is exhausted. */
realtime_entry realtime_entry_of(realtime *rt, const realtime_item *item, realtime_piece *pieces);

/* ---- realtime_response.c ---- */

/* The response that is being made in the conversation, NULL: none. */
realtime_response *realtime_active(realtime *rt);
/* Free place of the right kind; NULL: none. */
realtime_response *realtime_response_place(realtime *rt, bool in_conversation);
/* Takes settings over. The model has been or will be told. key 0: a new one. */
void realtime_response_begin(realtime *rt, realtime_response *r, realtime_settings *settings,
                             uint32_t key);
/* Answers the conversation as it stands. */
void realtime_respond(realtime *rt, uint32_t key);
void realtime_response_news(realtime *rt, const realtime_news_item *news);
/* status: "cancelled" with a reason, "failed" with a code and a message. */
void realtime_response_end(realtime *rt, realtime_response *r, const char *status,
                           const char *reason, const char *message);
void realtime_response_free(realtime_response *r);
bool realtime_do_cancel(realtime *rt, const json *event, api_error *f);

/* ---- realtime_create.c ---- */

bool realtime_do_create(realtime *rt, const json *event, api_error *f);

/* ---- realtime_sound.c ---- */

/* Base64 of the input's format -> samples, allocated; a half sample waits in *odd, where odd is not
 * NULL. False: no base64, or memory is exhausted. */
typedef struct realtime_decoding {
    realtime_format format;
    unsigned char *odd;
    bool *has_odd;
} realtime_decoding;
bool realtime_sound_decode(const realtime_decoding *d, const char *text, size_t size,
                           int16_t **samples, size_t *count);
/* Samples as the bytes of a format; out has room for 2 * count, and may be where samples are.
 * Returns bytes. */
size_t realtime_sound_encode(realtime_format format, const int16_t *samples, size_t count,
                             unsigned char *out);
/* Rounded to 16 bits. */
void realtime_sound_round(const float *samples, size_t count, int16_t *out);
/* A whole clip at 16 kHz, allocated; NULL: memory is exhausted. */
float *realtime_sound_at_16k(const int16_t *samples, size_t count, int rate, size_t *made);

/* ---- realtime_picture.c ---- */

/* {"type": "input_image"} of a client. path: of the part. */
bool realtime_picture_read(realtime *rt, realtime_part *part, const json *object, const char *path,
                           api_error *f);
/* The picture of a part for the model; false: memory is exhausted. */
bool realtime_picture_give(const realtime_part *part, realtime_piece *piece);

#endif
