/* One conversation of /v1/realtime: a state machine without sockets, threads and clock.
 *
 *     client's JSON ─ realtime_message ─► settings, items, sound ─ turns ─► realtime_ops: the model
 *     news of the model ─ realtime_news ─► responses ─► realtime_ops.send: events as JSON
 *     time ─ realtime_tick ─► what is due: cuts, idle timeouts, the session's end
 *
 * The machine owns the truth about the conversation: items in their order, settings, the sound of
 * the turn under way. What the model has of it is brought up to date when a response begins; only
 * the clip under way goes ahead, so that its end is answered at once. Commands to the model are
 * done in the order in which they are given, and never answered at once: so nothing here waits. A
 * response that was cancelled is over for the machine at that moment; news that still come of it
 * are passed over.
 *
 * Order of events: server.md A.5 in the words of tests/support/realtime_order.h, which checks it.
 * One thread at a time. */
#ifndef SERVE_REALTIME_H
#define SERVE_REALTIME_H

#include <runnel/runnel.h>

#include "kernels/kernels.h"
#include "serve/api_error.h"
#include "serve/metrics.h"

typedef struct realtime realtime;

enum {
    REALTIME_ID_CAP = 65 /* bytes of any identifier, its end included */
};

/* ---- What the machine asks of the model ---- */

typedef enum realtime_role {
    REALTIME_SYSTEM,
    REALTIME_USER,
    REALTIME_ASSISTANT,
    REALTIME_CALL,  /* of a tool by the assistant */
    REALTIME_RESULT /* of a call */
} realtime_role;

/* A piece of what somebody said or showed: text, sound, or a picture. */
typedef struct realtime_piece {
    const char *text; /* [size] UTF-8; with sound: what is known of its words, else NULL */
    size_t size;
    float *samples; /* [count] mono, RNL_RATE_IN, allocated and given away; NULL: no sound */
    size_t count;
    uint8_t *pixels; /* [height, width, 3] R G B, allocated and given away; NULL: no picture */
    int width, height;
    bool one_view; /* however large, it is not cut into tiles */
} realtime_piece;

/* What follows in the model's history. All texts are the machine's and last for the call. */
typedef struct realtime_entry {
    uint32_t key; /* unique in the conversation; also of the reply or clip that the model has had */
    realtime_role role;
    const realtime_piece *pieces;
    int piece_count;
    const char *name; /* REALTIME_CALL: of the function; its pieces are the arguments as JSON */
} realtime_entry;

typedef enum realtime_choice {
    REALTIME_CHOICE_AUTO,
    REALTIME_CHOICE_NONE,
    REALTIME_CHOICE_REQUIRED,
    REALTIME_CHOICE_FUNCTION
} realtime_choice;

/* What a full context does (settings: truncation). */
typedef struct realtime_retention {
    bool keeps_all;   /* the reply fails */
    double ratio;     /* else the oldest turns go, until so much of it is left, [0, 1] */
    int position_max; /* it is full with more than that behind the prompt; 0: when it is */
} realtime_retention;

/* How the conversation begins. */
typedef struct realtime_prompt {
    rnl_mode mode;            /* INTERLEAVED or TEXT */
    const char *instructions; /* NULL: the model's own for the mode */
    const char *tools;        /* JSON array of functions; NULL: none */
    realtime_retention retention;
} realtime_prompt;

/* How a reply is made. */
typedef struct realtime_wish {
    rnl_mode mode;
    int position_max;   /* 0: the default of the turn */
    double temperature; /* of the text; below 0: the model's own */
    realtime_choice choice;
    const char *function; /* REALTIME_CHOICE_FUNCTION */
} realtime_wish;

typedef struct realtime_ops {
    void *wire; /* context of the two that come first */
    /* An event; it lasts for the call. */
    void (*send)(void *context, const char *text, size_t size);
    /* No event follows; realtime_is_over from now on. code: of the WebSocket. */
    void (*close)(void *context, int code, const char *reason);

    void *model; /* context of all others */

    /* The history begins anew with this prompt; what was appended or said before under a key that
     * is appended again may be taken from what the model keeps of it. */
    void (*restart)(void *context, const realtime_prompt *prompt);
    void (*append)(void *context, const realtime_entry *entry);

    /* The user's clip under way, 16 kHz, behind the history: returns what was taken. */
    size_t (*clip_push)(void *context, const float *samples, size_t count);
    void (*clip_drop)(void *context);
    /* The clip may be complete: a reply under that key may be made ahead, and is kept until
     * `respond` with the same key and wish, or dropped by clip_withdraw: then the clip goes on. */
    void (*clip_guess)(void *context, uint32_t key, const realtime_wish *wish);
    void (*clip_withdraw)(void *context);
    void (*clip_end)(void *context, uint32_t key); /* it is an entry of the history */
    /* How finished does this sound? samples [count], allocated and given away. Answered by
     * REALTIME_FINISHED with the same key. NULL: cannot be asked. */
    void (*ask_finished)(void *context, uint32_t key, float *samples, size_t count);

    /* A reply behind the history, which gets the key, or, alone, behind these entries and no
     * other. */
    void (*respond)(void *context, uint32_t key, const realtime_wish *wish);
    void (*respond_alone)(void *context, uint32_t key, const realtime_prompt *prompt,
                          const realtime_entry *entries, int count, const realtime_wish *wish);
    void (*cancel)(void *context, uint32_t key);
    /* The last entry of the history is a reply, of which so many samples were played. */
    void (*truncate)(void *context, uint32_t key, size_t sample_count);
    /* What was said in it: samples [count] as in a piece. language may be NULL; logprobs: news of
     * it have tokens. */
    void (*transcribe)(void *context, uint32_t key, float *samples, size_t count,
                       const char *language, bool logprobs);
} realtime_ops;

/* ---- What the model tells ---- */

typedef enum realtime_news_kind {
    REALTIME_BEGUN,     /* usage.input_*, usage.cached_* are known */
    REALTIME_TEXT,      /* text [size], whole characters; position_count tokens */
    REALTIME_SOUND,     /* samples [count] at RNL_RATE_OUT; position_count frames */
    REALTIME_CALLED,    /* name, and text: the arguments as JSON */
    REALTIME_ENDED,     /* finish; with code it failed: text says why. usage as a whole */
    REALTIME_HEARD,     /* a transcript goes on by text */
    REALTIME_HEARD_ALL, /* it is complete: text, seconds of sound */
    REALTIME_UNHEARD,   /* it failed: code, text is a sentence */
    REALTIME_FINISHED,  /* the answer to ask_finished */
    REALTIME_ASTRAY     /* its history is not what it was told: it has to begin anew */
} realtime_news_kind;

/* A token of a transcript, and how probable the model held it. */
typedef struct realtime_token {
    const char *bytes; /* [size] perhaps half a character */
    size_t size;
    float logprob;
} realtime_token;

/* Positions of the backbone. */
typedef struct realtime_usage {
    int input_text, input_audio, input_image;
    int cached_text, cached_audio, cached_image; /* of these, in the cache before */
    int output_text, output_audio;
} realtime_usage;

typedef struct realtime_news_item {
    realtime_news_kind kind;
    uint32_t key;
    const char *text;
    size_t size;
    const char *name;
    const float *samples;
    size_t count;
    int position_count;
    double seconds;
    const realtime_token
        *tokens;        /* [token_count] of the text of HEARD, HEARD_ALL; NULL: they were */
    size_t token_count; /* not asked for */
    float probability;
    rnl_finish finish;
    api_code code; /* of ENDED and UNHEARD; API_OK: it did not fail */
    realtime_usage usage;
} realtime_news_item;

/* ---- The machine ---- */

typedef struct realtime_config {
    const char *model;            /* name shown */
    const char *instructions[2];  /* the model's own prompt; [1]: for text */
    const char *const *voices;    /* that are taken, "default" apart; ends with NULL. In a
                                   * conversation they all are the model's one */
    const kernels *kernels;       /* of the voice activity network */
    metrics *metrics;             /* counts events, and times turns; NULL: nobody does */
    bool calls;                   /* the model knows tools */
    bool gives_audio;             /* and speaks */
    bool sees;                    /* and takes pictures */
    bool beta;                    /* the older dialect */
    bool transcribes_only;        /* a session of type transcription */
    bool speculates;              /* clip_guess is used */
    bool half_duplex;             /* deaf while a reply may be playing */
    int64_t unix_seconds;         /* the time of realtime_open */
    int session_seconds;          /* [1, 86400], default 3600 */
    int truncate_wait_ms;         /* [0, 5000], default 300 */
    double clip_seconds_max;      /* [2, 30], default 30 */
    size_t sound_size_max;        /* bytes kept for retrieve, default 16 MiB */
    double tokens_per_minute;     /* of the machine, for rate_limits.updated */
    int error_max;                /* in 10 s, [1, 1000], default 20; one more closes */
    double event_rate, event_cap; /* per second, and in a burst: 200 and 1000 */
} realtime_config;

realtime_config realtime_config_default(void);

/* ops is copied, all else that config points to borrowed. start: a session object (A.3) that it
 * begins with, NULL, size 0: none; RNL_ERR_DATA: it is refused, error says why. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status realtime_create(const realtime_config *config, const realtime_ops *ops,
                                        const char *start, size_t size, realtime **out,
                                        rnl_error *error);
void realtime_destroy(realtime **rt); /* NULL is fine; sets NULL. No command is given any more */

/* Sends session.created. Once, before all else. */
void realtime_open(realtime *rt, int64_t now_us);
/* A text message, whole. Not while realtime_is_busy or over (asserted). */
void realtime_message(realtime *rt, const char *text, size_t size, int64_t now_us);
/* Sound of an earlier message has not been looked at yet: no message before it has. It goes on with
 * news and ticks. */
bool realtime_is_busy(const realtime *rt);
void realtime_news(realtime *rt, const realtime_news_item *news, int64_t now_us);
void realtime_tick(realtime *rt, int64_t now_us);
/* The client is gone without a word and may come back: what is under way ends, a turn that was not
 * committed is forgotten, and nothing is sent. Until realtime_resume only news may come. */
void realtime_leave(realtime *rt, int64_t now_us);
/* He is back: session.created again, then all items. */
void realtime_resume(realtime *rt, int64_t now_us);
/* When the next tick is wanted; INT64_MAX: not before something else happens. */
int64_t realtime_due_us(const realtime *rt);
bool realtime_is_over(const realtime *rt);

/* Somebody speaks, a response is being made, or what was made may still be playing: what a drain
 * waits for. */
bool realtime_is_talking(const realtime *rt, int64_t now_us);
/* What it does, for who counts. */
metric_state realtime_state(const realtime *rt, int64_t now_us);
const char *realtime_id(const realtime *rt); /* "sess_..." */
/* Says why, and ends. code: of A.10; closing: of the WebSocket. */
void realtime_end(realtime *rt, api_code code, const char *message, int closing);

#endif
