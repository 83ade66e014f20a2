/* What the parts that speak protocols ask of the engine thread, and what comes back.
 *
 *     loop thread                          engine thread (engine_thread.c)
 *     conversation_open ──────────────────► a session of the batch, or a transcript
 *     conversation_ask, _push ═════ rings ═► one after the other, between passes
 *     conversation_cancel ──────── at once ► the reply ends
 *     conversation_next ◄══════════ ring ══ text, sound, calls, ends
 *                  ready() ◄────── wake ───
 *
 * A conversation is one session: content, then a reply, then content, and so on. The loop thread
 * calls everything here and never waits: what does not fit into a ring is said to be so. The engine
 * thread owns the batch and every session.
 *
 *     a chat by REST      TOOLS or TEXT, MESSAGE ..., CLIP, BEGIN; then events until ENDED; close
 *     a text to speak     (RESET,) TEXT, BEGIN for each sentence, all asked at once
 *     a realtime turn     push ... END_CLIP, BEGIN; cancel and CUT when it is interrupted
 *     a guessed end       MARK, END_CLIP, BEGIN with guess; then CONFIRM, or cancel and RETURN
 *     a recording         conversation_open_transcript, FILE (or push ... END_CLIP); PIECE, ENDED
 *     an end of a turn    work_look_open, work_look_answer: no conversation is needed
 *
 * Commands are done in their order. What cannot be done yet (content while a reply is made, a clip
 * while another is encoded) waits, and all behind it; cancel does not. */
#ifndef SERVE_WORK_H
#define SERVE_WORK_H

#include <runnel/runnel_transcript.h>

#include "serve/api_error.h"
#include "serve/work_config.h"

typedef struct work work;                 /* the engine thread */
typedef struct conversation conversation; /* what the loop thread holds of one */

/* ---- The engine ---- */

work_config work_config_default(void);

/* Makes the batch and starts the thread, which measures passes first (work_facts.starting). The
 * model must outlive it. Errors as rnl_batch_create; RNL_ERR_MEMORY also without a thread. */
RNL_MUST_USE rnl_status work_create(rnl_model *model, const work_config *config, work **out,
                                    rnl_error *error);
/* Ends the thread: from now on nothing happens in what is open, and wake is not called. */
void work_stop(work *w);
/* Stops it, too. Every conversation and look must be closed. NULL is fine; sets NULL. */
void work_destroy(work **w);

/* Read only, and the same for ever: for rnl_turn_config_default and the like. */
const rnl_model *work_model(const work *w);

/* Calls ready() of each conversation that has events and each look that is answered. Loop thread.
 */
void work_dispatch(work *w);

/* Nothing new is opened from now on. */
void work_drain(work *w);

/* What is kept of a caller's conversations (conversation_config.caller) goes, as he is no more; or
 * of all callers, also of conversations that are open now. Loop thread. */
void work_forget(work *w, uint64_t caller);
void work_forget_all(work *w);

void work_get_facts(const work *w, work_facts *facts);

/* ---- Opening and closing ---- */

typedef enum work_class {
    WORK_TALK,    /* replies are played while they are made: they have deadlines */
    WORK_REQUEST, /* a result is waited for */
    WORK_IDLE     /* when nothing else is to do: transcripts of the user, out of band */
} work_class;

typedef struct conversation_config {
    work_class class;
    uint64_t seed;          /* of the sampler */
    bool drop_oldest_turns; /* a full context drops the oldest turns instead of refusing */
    const char *adapter;    /* the model's set of that name speaks; borrowed. NULL: none */
    uint64_t kin;           /* other than 0: a CLIP that the WORK_TALK of this number and adapter
                             * has had is not encoded again. No bit depends on it */
    bool beside;            /* it serves a conversation that is open, and counts as none: there is
                             * room for one beside four conversations */
    int owner;              /* who asks (api_keys.h: the number of a key; 0: nobody); fairness */
    /* Whose it is: what it leaves when it is over is kept for the next one of the same caller that
     * begins alike. 0 (default): nobody's, nothing is kept and nothing gone on from. */
    uint64_t caller;
    /* [step_count] command_sum of the content that will be asked, each command behind those before
     * it. Copied. */
    const uint64_t *steps;
    int step_count;
    void (*ready)(void *context); /* events wait; called by work_dispatch. It may close this
                                   * conversation and open or close others */
    void *context;
} conversation_config;

/* A number for conversation_config.kin that nobody has had. */
uint64_t work_new_kin(work *w);
/* NULL with an error: SERVER_OVERLOADED, DRAINING, STARTING, RATE_LIMIT_EXCEEDED (the owner's). The
 * session itself is made by the engine thread; if that fails LOST comes. */
conversation *conversation_open(work *w, const conversation_config *config, api_error *error);
/* A recording, of which class is not looked at. config: rate is not looked at with FILE, nor its
 * adapter, which is the conversation's. transcript->system is copied. SERVER_OVERLOADED also when
 * too many wait. */
conversation *conversation_open_transcript(work *w, const conversation_config *config,
                                           const rnl_transcript_config *transcript,
                                           api_error *error);
/* How long the model has worked for it: in passes over the weights it shares the time of all. */
int64_t conversation_worked_us(const conversation *c);
/* Cancels what is under way and forgets it; no ready() comes any more. NULL is fine; sets NULL. */
void conversation_close(conversation **c);

/* ---- Commands ---- */

typedef enum command_kind {
    COMMAND_RESET,       /* as new: no history, the sampler at its seed */
    COMMAND_RETAIN,      /* retention: what a full context does from now on */
    COMMAND_AGAIN,       /* tag of a spoken reply of before RESET: adds it as it was, where it is
                          * still there. Of a WORK_TALK */
    COMMAND_TEXT,        /* role, text */
    COMMAND_MESSAGE,     /* text: a message in JSON (rnl_session_add_message); past */
    COMMAND_TOOLS,       /* text: the system prompt, json: the list of tools; the beginning of a
                          * conversation. They stay until the next TOOLS or RESET */
    COMMAND_CLIP,        /* samples, count, rate: one clip of the user */
    COMMAND_IMAGE,       /* pixels [height, width, 3], width, height */
    COMMAND_END_CLIP,    /* the clip that was pushed ends here; of a transcript: no more comes */
    COMMAND_CANCEL_CLIP, /* it is dropped */
    COMMAND_MARK,        /* slot: keeps the state (rnl_session_snapshot) */
    COMMAND_RETURN,      /* slot: brings it back */
    COMMAND_BEGIN,       /* turn, spoken, guess, due_us, use_tools, text: NULL or a list of tools,
                          * json: NULL or a schema of the answer */
    COMMAND_CONFIRM,     /* tag of a BEGIN with guess: it is none any more; due_us */
    COMMAND_CUT,         /* tag of a reply, sample_count: what was heard of it (rnl_session_rewind).
                          * CUT comes back, or REFUSED when something was added behind it */
    COMMAND_FILE         /* bytes, size: a whole sound file; of a transcript only, once */
} command_kind;

enum { CONVERSATION_SLOTS = 2 }; /* for MARK */

/* A context is full when something does not fit, or when more than position_max positions (0: no
 * limit) would stand behind the system prompt. */
typedef struct work_retention {
    bool keeps_all; /* what does not fit is refused, and so is every reply until RESET */
    double ratio;   /* else the oldest turns go, until so much of it is left, [0, 1] */
    int position_max;
} work_retention;

typedef struct command {
    command_kind kind;
    int64_t tag;    /* the caller's name for it, which events carry. Of BEGIN: above that of every
                     * reply before, and above 0 */
    rnl_role role;  /* TEXT */
    bool past;      /* MESSAGE: a question follows later */
    bool spare;     /* TEXT, MESSAGE: only where the AGAIN before them added nothing */
    bool spoken;    /* BEGIN: its sound is played as it comes; of a WORK_TALK */
    bool guess;     /* BEGIN: the turn may go on, nobody waits for it yet */
    bool use_tools; /* BEGIN: those of TOOLS may be called, or, with a text, those of this list in
                     * JSON, which are some of them */
    bool tokens;    /* BEGIN: TOKENS tell of its text, with as many alternatives as the turn has */
    int slot;       /* MARK, RETURN: [0, CONVERSATION_SLOTS) */
    int width, height;   /* IMAGE */
    bool one_view;       /* IMAGE: however large, it is not cut into tiles */
    int rate;            /* CLIP: Hz */
    size_t sample_count; /* CUT: samples at RNL_RATE_OUT */
    int64_t due_us;      /* BEGIN, CONFIRM: clock_us by which its first sound, or the result, is
                           * wanted */
    work_retention retention; /* RETAIN */
    rnl_turn_config turn;     /* BEGIN; tools and answer are not looked at */
    /* From malloc, the command's own once it was taken: the engine thread frees them. Texts are
     * UTF-8, not terminated. */
    char *text, *json;
    size_t text_size, json_size;
    float *samples; /* CLIP: [count] mono in [-1, 1] */
    size_t count;
    uint8_t *bytes; /* IMAGE: pixels; FILE */
    size_t size;
} command;

/* The text of a command, from malloc; NULL: memory is exhausted. */
char *command_text(const char *text, size_t size);
/* A number for content that begins with what `before` is the number of (0: nothing), and goes on
 * with this command. */
uint64_t command_sum(uint64_t before, const command *what);
/* What a command that was not taken holds; zeroes it. */
void command_free(command *what);

/* False: COMMAND_CAP commands wait already; nothing was taken, and ready() comes when some of them
 * are done. `what` is copied. */
enum { COMMAND_CAP = 512 };
RNL_MUST_USE bool conversation_ask(conversation *c, const command *what);
/* How many more would be taken now. */
size_t conversation_room(const conversation *c);

/* Samples of the open clip, mono, of one rate within a clip ([4000, 768000] Hz). Returns how many
 * were taken: at most 4 s of 16 kHz wait; those behind them are the caller's, who stops reading his
 * client meanwhile. They come before commands asked later and behind those asked before. */
size_t conversation_push(conversation *c, const float *samples, size_t count, int rate);

/* The reply `tag`, and every one asked before it, is to end: before the next pass, whatever waits.
 * ENDED with RNL_FINISH_STOPPED comes for each, also for one that was not begun yet; sound and text
 * that were made before may still come ahead of it. */
void conversation_cancel(conversation *c, int64_t tag);

/* ---- Events ---- */

typedef enum event_kind {
    EVENT_BEGUN,  /* tag; usage.input_*: the question is complete and the reply begins */
    EVENT_TOKENS, /* tag, tokens, count: of text that comes with the next TEXT, or later */
    EVENT_TEXT,   /* tag, text: whole UTF-8 characters */
    EVENT_SOUND,  /* tag, samples, count: at RNL_RATE_OUT, not clipped */
    EVENT_CALL,   /* tag, text: {"tool":"f","arguments":{...}} */
    EVENT_ENDED, /* tag, finish, usage: the last of a reply, exactly one for each BEGIN. error.code:
                  * API_OK, or why it failed (SERVER_OVERLOADED: no place to speak within 2 s) */
    EVENT_CUT,   /* tag, text: which words were heard */
    EVENT_PIECE, /* piece: of a transcript, in order */
    EVENT_REFUSED, /* tag, error: this command (not BEGIN) could not be done; nothing changed. Where
                    * the context was full, replies fail with that error until RESET or RETURN */
    EVENT_LOST     /* error: the conversation is of no use any more: close it. Of a reply under way
                    * ENDED came before */
} event_kind;

/* A token of a reply's text, and how probable the model held it. */
typedef struct work_token {
    const char *bytes; /* [size] perhaps half a character; lives as long as the model */
    size_t size;
    bool special; /* the name of one that is no text */
    float logprob;
} work_token;

/* In positions of the backbone. */
typedef struct work_usage {
    int input_text, input_audio, input_image; /* of the context where the reply begins */
    int cached_text, cached_audio,
        cached_image;              /* of these: those that had gone through the model before, in
                       * this conversation or in one of the same caller */
    int output_text, output_audio; /* tokens and frames of the reply */
} work_usage;

/* Of all kinds. */
static inline int work_usage_input(const work_usage *u) {
    return u->input_text + u->input_audio + u->input_image;
}
static inline int work_usage_cached(const work_usage *u) {
    return u->cached_text + u->cached_audio + u->cached_image;
}

typedef struct event {
    event_kind kind;
    int64_t tag;
    const char *text; /* not terminated */
    size_t size;
    const float *samples;
    size_t count;
    const work_token *tokens; /* [count, 1 + alternatives] each, and the likeliest beside it */
    int alternatives;
    const rnl_piece *piece;
    double seconds;                    /* ENDED of a transcript: of its sound, */
    const struct sound_faults *faults; /* and what is missing in it (audio/file.h); NULL: nothing */
    rnl_finish finish;
    work_usage usage;
    api_error error;
} event;

/* The next event; what it points to is valid until the next call with this conversation. False:
 * none waits. A reader that takes none stops only its own conversation: 64 KiB of text and 20 s of
 * sound wait, then nothing more is made. */
RNL_MUST_USE bool conversation_next(conversation *c, event *e);

/* ---- How finished a clip sounds ---- */

/* A look of the network for ends of turns at a clip, between the passes of the engine thread: one
 * at a time, in the order in which they were asked, so long as nobody who is playing waits. */
typedef struct work_look work_look;

/* Whether they can be had: the network is built in and the model speaks. */
bool work_takes_looks(const work *w);
/* samples [count] at 16 kHz, the clip up to where it may end, from malloc: taken, also when it
 * fails. ready() is called by work_dispatch, once, when the answer is there; it may close this look
 * and open others. NULL: memory is exhausted, or thousands wait. Not without work_takes_looks. */
work_look *work_look_open(work *w, float *samples, size_t count, void (*ready)(void *context),
                          void *context);
/* True: how likely the turn is over, in [0, 1]. It depends on the samples alone. */
RNL_MUST_USE bool work_look_answer(const work_look *l, float *probability);
void work_look_close(work_look **l); /* NULL is fine; sets NULL */

#endif
