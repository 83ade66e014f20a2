/* The inside of work.h.
 *
 *     conversation.c   what the loop thread calls: rings, opening, closing
 *     engine_thread.c  the thread: who works when, admission
 *     talker.c         commands done on a session, and what it says
 *     kept.c           sessions of conversations that are over, for those that begin alike
 *     recording.c      a sound file through a transcript
 *     looks.c          looks at clips for their ends, both sides of them
 *
 * Rings have one end in each thread. Of a conversation's other fields each belongs to one thread,
 * as said; what both use is atomic. */
#ifndef SERVE_WORK_INNER_H
#define SERVE_WORK_INNER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "audio/file.h"
#include "core/ring.h"
#include "serve/limits.h"
#include "serve/work.h"

enum {
    EVENT_CAP = 1024,
    TEXT_CAP = 64 << 10,                 /* bytes of text that wait */
    SOUND_CAP = 20 * RNL_RATE_OUT,       /* samples of a reply that wait */
    AUDIO_CAP = 4 * RNL_RATE_IN,         /* samples of a clip that wait */
    EVENTS_KEPT = 8,                     /* room that a command or an end may need */
    PIECE_TEXT = 4096,                   /* of an event */
    PIECE_SOUND = 3 * RNL_RATE_OUT / 12, /* three frames of 80 ms */
    OPEN_CAP = 2048,                     /* conversations on their way to the engine, and looks, */
    LEFT_CAP = 2048                      /* and callers that are no more */
};

/* A command, and how many samples had been pushed before it. */
typedef struct queued_command {
    command what;
    int64_t audio_at;
} queued_command;

/* An event on its way; what it points to lies in the rings or is `owned`. */
typedef struct queued_event {
    event_kind kind;
    int64_t tag;
    size_t size, count;
    void *owned; /* from malloc: CALL, CUT: text; TOKENS; PIECE: the piece and all it points to;
                  * faults; errors */
    int alternatives; /* TOKENS */
    double seconds;
    rnl_finish finish;
    work_usage usage;
    sound_faults *faults; /* is `owned`, as is */
    api_error *error;     /* this; NULL: none */
} queued_event;

/* The reply under way. */
typedef struct talk_reply {
    int64_t tag;
    bool going, spoken, guess;
    bool tokens;  /* are told: */
    size_t told;  /* of its text, special ones included */
    bool in_call; /* those that come are of a call */
    int64_t due_us;
    int64_t begun_us;       /* when it was asked for */
    int64_t first_sound_us; /* when its first sound was handed over; 0: not yet */
    int64_t sample_count;   /* handed over */
    int64_t slack_us;       /* least sound in reserve when more of it came; INT64_MAX: none did */
    int64_t late_us;        /* how much later than planned it is played, by its gaps */
    work_usage usage;
} talk_reply;

/* Of a MARK. */
typedef struct talk_mark {
    int done;
    int64_t clip_us;
    bool lacks;
} talk_mark;

typedef struct talker {
    rnl_session *session;
    rnl_constraint *tools;
    rnl_constraint *some, *answer; /* of the reply under way: tools that it may call, its schema */
    talk_reply reply;
    int done;          /* positions that had gone through the model when the last reply ended */
    int64_t again_tag; /* of the last AGAIN since RESET; 0: none */
    bool is_again;     /* it added something */
    int64_t clip_us;   /* of sound in the open clip */
    int64_t asked_us;  /* when content was given that waits for no reply yet; 0: none */
    bool lacks;        /* content did not fit: no reply is made without it, */
    api_error lacking; /* this is why */
    talk_mark marks[CONVERSATION_SLOTS];
    bool held;  /* it is far enough ahead of being played */
    bool works; /* the next pass is for it, too */
} talker;

typedef struct recording {
    rnl_transcript *transcript;
    sound_kept *kept;
    sound_reader *reader;
    float *block; /* read and not pushed yet */
    size_t block_at, block_count;
    int rate;
    bool begun, finished, ended;
    rnl_transcript_stats stats;
    int64_t tag;
    work_usage usage;
} recording;

struct conversation {
    work *work;
    conversation_config config;
    bool is_recording;
    rnl_transcript_config transcript; /* system is our copy */
    uint64_t *steps; /* [step_count] of the config: our copy; those of a kept session go with it */
    int step_count;
    int generation; /* of the work when it was opened */
    ring *commands, *audio, *events, *text, *sound;
    atomic_int audio_rate;
    _Atomic int64_t cancelled; /* tags up to it are */
    atomic_bool closed;        /* by the loop thread, which does not touch it any more */
    atomic_bool full;          /* a command was refused for want of room */
    atomic_bool told;          /* events wait that ready() was not called for */
    _Atomic int64_t worked_us; /* conversation_worked_us */

    /* Loop thread. */
    conversation *loop_next, *loop_before;
    char *text_piece;   /* [PIECE_TEXT] */
    float *sound_piece; /* [PIECE_SOUND] */
    void *owned;        /* of the last event */

    /* Engine thread. */
    conversation *next;
    bool made, lost;
    bool has_head;
    queued_command head; /* the command that is next */
    talker talker;
    recording recording;
};

/* What is left of a conversation that is over. */
typedef struct kept_session {
    rnl_session *session;
    uint64_t caller;
    int generation;
    bool drop_oldest_turns;
    const char *adapter; /* of the model, as the config had it */
    uint64_t *steps;     /* [step_count] */
    int step_count;
    int64_t since_us;
} kept_session;

struct work {
    rnl_model *model;
    work_config config;
    rnl_batch *batch;
    pthread_t thread;
    bool thread_made, lock_made, sem_made;
    bool times_known;      /* of passes, from before */
    sem_t asked;           /* commands wait, or the end */
    ring *opened;          /* conversation * */
    ring *left;            /* uint64_t: callers */
    atomic_int generation; /* counts work_forget_all */
    atomic_bool stopping, draining, starting, idle;
    _Atomic int64_t step_us; /* of the last step */
    pthread_mutex_t lock;    /* of facts */
    work_facts facts;        /* what the engine thread knows of them */

    ring *looks_asked; /* work_look * */

    /* Loop thread. */
    conversation *open;
    int open_count, beside_count, recording_count; /* of all that were not closed */
    uint64_t last_kin;
    work_look *looks_open;

    /* Engine thread. */
    conversation *first;
    int session_count; /* of these that have a session */
    kept_session kept[LIMIT_PREFIXES_KEPT];
    int kept_count;
    work_look *looks_first, *looks_last; /* that wait, in their order */
    int look_delay;                      /* passes since a piece of the first was done */
    bool spoke;                          /* events were made that wake() was not called for */
};

/* conversation.c; engine thread */
void conversation_free(conversation *c);
/* Room for so many more events, and for their text and sound. */
bool conversation_takes(const conversation *c, size_t events);
void conversation_tell(conversation *c, const queued_event *e);
void conversation_tell_error(conversation *c, event_kind kind, int64_t tag, const api_error *error);
/* Loads the command that is next into c->head; false: none waits. */
bool conversation_look(conversation *c);

/* talker.c; engine thread */
rnl_session_config talker_session_config(const work *w);
bool talker_open(conversation *c, api_error *error);
/* Its session is kept, or destroyed. */
void talker_close(conversation *c);
/* Commands as far as they can be done, and what was made handed over. */
void talker_attend(conversation *c, int64_t now_us);
/* What the batch is to do for it. spare: nobody who is playing is near his end. */
void talker_want(conversation *c, int64_t now_us, double load, bool spare);

/* talker_tokens.c; engine thread */
/* What was not told yet of the tokens of the reply. False: there is no room for all. */
bool talker_tell_tokens(conversation *c);

/* kept.c; engine thread */
/* The session that goes on best, the caller's now; NULL: there is none. */
rnl_session *kept_take(work *w, const conversation *c);
/* Keeps the session of one that is over. False: it is not to be kept. */
bool kept_put(work *w, conversation *c, int64_t now_us);
/* So many sessions more find room: the oldest go. */
void kept_make_room(work *w, int wanted);
bool kept_drop_oldest(work *w); /* false: there was none */
void kept_forget_caller(work *w, uint64_t caller);
/* Those that are too old go, and those for which there is no room any more. */
void kept_look(work *w, int64_t now_us);
void kept_end(work *w);

/* recording.c; engine thread */
void recording_close(conversation *c);
/* Takes its commands. */
void recording_attend(conversation *c);
/* One bounded piece of work; false: there was none to do. */
bool recording_step(conversation *c);

/* looks.c */
RNL_MUST_USE bool looks_create(work *w); /* false: memory is exhausted */
void looks_destroy(work *w);             /* no thread any more */
void looks_dispatch(work *w);            /* loop thread: ready() of those that are answered */
/* Engine thread, behind a pass or where there was none (passed): a piece of the look that is next,
 * or, spare, all of it. reserve_us: least sound in reserve of all who are playing. False: there was
 * none to do. */
bool looks_step(work *w, bool passed, bool spare, int64_t reserve_us);

/* work_counts.c: for the metrics of the work's config */
void work_count_opened(work *w, api_code refused);             /* loop thread; API_OK: admitted */
void work_count_pass(work *w, int64_t us);                     /* engine thread: before publish */
void work_count_heard(work *w, int64_t us);                    /* engine thread: so much sound */
void work_count_sound(work *w, talk_reply *r, int64_t now_us); /* before more is handed over */
void work_count_reply(work *w, const talk_reply *r);           /* engine thread: it ended */

/* engine_thread.c */
int work_session_room(const work *w); /* sessions that memory and config allow, at least one */
void work_note_asked(work *w);        /* loop thread: the engine has something to look at */

#endif
