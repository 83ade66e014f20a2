/* The inside of rnl_live: a state machine without threads on top of one session.
 *
 *     live.c         create, destroy, looking around
 *     live_step.c    whose turn it is: the loop's own work, the model's
 *     live_events.c  what is told, and when it happened
 *     live_input.c   microphone -> 16 kHz -> canceller -> VAD -> turn events
 *     live_look.c    the network for ends of turns, asked at each guess
 *     live_turn.c    turn events -> clip, guess, reply, interruption
 *     live_hold.c    an interruption that may be none: the reply waits
 *     live_hear.c    what was said in it, by a second session
 *     live_tools.c   calls of tools in the reply, and how it goes on with their results
 *     live_output.c  samples of the reply -> play-out buffer -> caller; the burst law; marks
 *
 * Positions are samples at 16 kHz behind the canceller, which is input_delay samples later than the
 * microphone. Invariant: a turn event is looked at only when what the one before asked of the
 * session has been done (live_is_urgent), so that the order of events does not depend on how sound
 * was cut into pushes. */
#ifndef ENGINE_LIVE_H
#define ENGINE_LIVE_H

#include <runnel/runnel_live.h>

#include "audio/echo.h"
#include "audio/gain.h"
#include "engine/schedule.h"
#include "engine/session.h"
#include "vad/energy.h"
#include "vad/endpoint.h"

enum {
    LIVE_FRAME = ECHO_FRAME,           /* samples of a step of the input */
    LIVE_INPUT_CAP = 4 * RNL_RATE_IN,  /* samples waiting at 16 kHz */
    LIVE_RAW_CAP = 1024,               /* samples: of a block and a frame */
    LIVE_PLAY_CAP = 20 * RNL_RATE_OUT, /* samples of the reply waiting to be pulled */
    LIVE_STEP_POSITIONS = 32,          /* of a prefill between two looks at the microphone */
    LIVE_FEED = 4096,                  /* samples of the clip given to the session at once */
    LIVE_EVENT_CAP = 64,               /* events waiting, */
    LIVE_EVENT_ROOM = 24,              /* and room needed to go on listening */
    LIVE_SAID_CAP = 32768,             /* bytes of a reply's text */
    LIVE_MUTE_COUNT = 5 * RNL_RATE_IN, /* zeros that make a muted microphone */
    LIVE_HOLD_SILENCE_MS = 300,        /* behind what may be a backchannel */
    LIVE_HOLD_TEXT_CAP = 1024,         /* bytes of what it is heard as */
    LIVE_SLOT = 0                      /* snapshot: inside the clip, at its guessed end */
};

/* Where the conversation stands. */
typedef enum live_phase {
    LIVE_LISTEN, /* no clip and no reply */
    LIVE_CLIP,   /* the user speaks, or may have ended */
    LIVE_REPLY,  /* the end is confirmed: the reply is made and played */
    LIVE_HELD,   /* somebody speaks into it: neither made nor played until it is known what for */
    LIVE_CUTTING /* the reply was interrupted; the caller's queue is being emptied */
} live_phase;

/* The user's clip under way, or the last one. */
typedef struct live_clip {
    int64_t begin, end;  /* end: valid when guessed or ended */
    int64_t speech_end;  /* likewise */
    int64_t fed;         /* up to here the session has it */
    bool guessed, ended; /* what the turn machine says; withdrawn: neither */
} live_clip;

/* The reply under way, or the last one. */
typedef struct live_reply {
    bool begun;      /* the session generates, or has generated */
    bool speculated; /* begun at a guess */
    bool complete;   /* the session is through with it, or, where calls wait for their results,
                      * with a part of it */
    bool told_done;  /* rnl_live_pull has said RNL_DONE */
    bool holding;    /* the buffer has not enough to begin, or to go on */
    bool started;    /* a sample has been pulled, */
    bool told_start; /* and the event is out */
    bool told_busy;
    bool finished; /* the resampler has given its last sample */
    bool ducked;
    int64_t pulled_begin;          /* rnl_live.pulled when it began */
    int64_t pulled;                /* samples taken, at rate_out, */
    int64_t dropped;               /* and of these never played */
    int64_t audible;               /* index of its first audible sample, or -1 */
    int64_t made_before;           /* samples of its parts before the last call, at 24 kHz; */
    size_t said_before;            /* bytes of their text; */
    int text_before, frame_before; /* and tokens and frames of them */
    int64_t made;                  /* samples made, at 24 kHz, */
    int64_t trimmed;               /* and of these left out: the silence it begins with */
    bool lead_over;                /* its first sound is there, or nothing is to be left out */
    int64_t clock_us;              /* when sample 0 would have been played, had nothing been held */
    int64_t consumed_us;           /* played when the sound ran out */
    int text_told;                 /* bytes of said that went out as events */
    int64_t slack_us;              /* least reserve */
    int underruns;
    int64_t text_us_max, frame_us_max;
} live_reply;

/* Calls of the part of the reply under way. */
typedef struct live_calls {
    bool told;    /* that some wait to be taken */
    int taken;    /* that the caller has, */
    int answered; /* and whose results came */
} live_calls;

/* The interruption that a held reply waits for. */
typedef struct live_hold {
    turn_event begin;      /* CONFIRMED */
    turn_event guess, end; /* what else the turn machine has said of it, */
    bool guessed, ended;   /* and whether it holds */
    int64_t silent_us;     /* T2 of the turn that it may become, -1: none */
} live_hold;

/* What was said between hold.begin and the silence behind it, as text [*size] of at most cap bytes.
 * One piece of the work. RNL_OK: there is more; RNL_DONE: text is there; negative: it could not be
 * heard, or not to its end. The same samples give the same. */
typedef rnl_status live_hear(rnl_live *l, char *text, size_t cap, size_t *size);

/* How long the machine takes: a step that makes a text token, one that makes a frame. Rises at
 * once, falls slowly: what counts is that a burst is survived. */
typedef struct live_pace {
    double text_us, frame_us;           /* with caution; 0: not measured yet */
    double text_mean_us, frame_mean_us; /* averages: is it fast enough at all? */
    int frame_count;                    /* measured */
    double caution;                     /* factor on the reserve; doubles when the sound ran out */
    bool told_slow;
} live_pace;

typedef enum live_work { WORK_NONE, WORK_OTHER, WORK_TEXT, WORK_FRAME } live_work;

/* The session before a step of it. */
typedef struct live_before {
    rnl_stage stage;
    size_t position_count, frame_count; /* of the reply */
} live_before;

struct rnl_live {
    rnl_model *model;
    rnl_live_config config;
    rnl_session *session;
    rnl_batch *batch; /* that steps it, or NULL */
    bool failed;

    /* Input. */
    resampler *in_mic, *in_reference; /* NULL at 16 kHz */
    resampler *out;                   /* NULL at 24 kHz */
    echo *echo;                       /* NULL without echo_cancel */
    float *mic, *reference;           /* [LIVE_INPUT_CAP] rings of what waits */
    int64_t in_count;                 /* samples ever pushed, at rate_in */
    int64_t pushed, taken;            /* samples ever put in and taken out of them */
    int64_t *adc_us, *push_us;        /* [stamp_cap] per frame: its first sample at the converter,
                                       * its last one pushed; as far back as heard goes */
    int64_t stamp_cap;
    float *heard; /* [heard_cap] ring behind the canceller */
    int64_t heard_cap;
    int64_t position;   /* samples ever written to heard */
    int input_delay;    /* samples by which heard is later than mic */
    int64_t zero_count; /* the microphone's zeros in a row */
    bool muted, finished, held;
    echo_measure measure;
    float speech;
    float raw[LIVE_RAW_CAP]; /* ring: the microphone where heard has not been looked at */
    vad_state vad, raw_vad;  /* of heard, of raw */
    bool was_speaking;       /* at the block before: our own speech could be heard */
    energy_gate energy;
    endpoint turns;
    turn_events waiting; /* of the last block, those from waiting_at on not looked at yet */
    int waiting_at;
    bool look_wanted; /* about the pause under way, and not answered yet */
    float answer;     /* of the last one; -1: nobody was asked about this turn */

    /* Conversation. */
    live_phase phase;
    bool suspected;
    int64_t speech_us; /* when the speech that was suspected last began */
    live_clip clip;
    live_reply reply;
    live_calls calls;
    rnl_live_turn turn;
    bool continues;  /* the interruption goes on with the turn before */
    turn_event next; /* the clip that follows an interruption */
    size_t cut_dropped;
    int backchannel_ms;   /* speech that may be one, at most; 0: a reply is cut and never held */
    live_hear *hear;      /* live_hear_by_model, or a test's */
    rnl_session *scratch; /* of live_hear_by_model; NULL without backchannel_ms */
    bool hearing;         /* it works at the clip of this hold */
    live_hold hold;
    bool cut_done;
    int turn_count;
    int64_t frame_count, sample_count, work_count, part_count;

    /* Output. */
    float *play;               /* [LIVE_PLAY_CAP] ring */
    int64_t play_in, play_out; /* samples ever put in and taken out */
    gain volume;
    float *fade; /* [fade_cap] the last samples of a reply that was cut */
    size_t fade_cap, fade_begin, fade_end;
    int64_t pulled; /* samples ever pulled, at rate_out */
    int64_t queued; /* of these in the caller's queue */
    int done_owed;  /* replies that are over, of which rnl_live_pull has not said so yet */
    live_pace pace;
    char *said; /* [LIVE_SAID_CAP] */
    size_t said_size;
    char *heard_text; /* [LIVE_SAID_CAP] */
    size_t heard_size;

    /* Time: what the last step did is stamped when the next call brings a time: a step, or a pull
     * that waits for sound. */
    int64_t now_us;
    live_work work; /* that is through */
    int64_t work_begin_us;
    bool worked;        /* since then something was done of it, */
    int64_t work_us;    /* and its parts before took so long */
    live_before before; /* when the session's step under way began */
    unsigned unstamped; /* bits of marks */

    rnl_live_event events[LIVE_EVENT_CAP];
    int event_begin, event_count;
    void *memory; /* one block behind all arrays */
};

/* live_events.c */
/* A new event, to be filled. There is room: LIVE_EVENT_ROOM before each step. */
rnl_live_event *live_tell(rnl_live *l, rnl_live_kind kind);
/* The piece of work being done reaches this mark; the first time counts. */
void live_mark(rnl_live *l, int mark);

/* live_input.c */
/* Takes what was pushed until an event asks something of the session, or all is heard. */
void live_listen(rnl_live *l);
bool live_hears(const rnl_live *l); /* something pushed waits */
/* When a sample of heard was at the converter, and when it had been pushed. */
int64_t live_adc_us(const rnl_live *l, int64_t position);
int64_t live_push_us(const rnl_live *l, int64_t position);

/* live_look.c */
void live_look_want(rnl_live *l); /* a guess: the network is to be asked about the clip */
void live_look_drop(rnl_live *l); /* what was asked is of no use any more */
/* One piece of the look. RNL_OK: done one; RNL_AGAIN: none to do. */
rnl_status live_look_work(rnl_live *l);

/* live_turn.c */
/* One turn event. */
void live_turn_event(rnl_live *l, const turn_event *e);
/* Something asked of the session has to be done before the next turn event counts. */
bool live_is_urgent(const rnl_live *l);
/* One piece of the loop's own work, none of the model. RNL_OK: done one; RNL_AGAIN: none to do. */
rnl_status live_work_once(rnl_live *l, rnl_error *error);
bool live_is_speaking(const rnl_live *l); /* our own speech can be heard */
void live_count_reply(rnl_live *l);       /* frames and samples of what the session has made */

/* The interruption that held the reply is one after all. */
void live_cut_held(rnl_live *l);

/* live_hold.c */
void live_hold_reset(rnl_live *l); /* nothing is held */
/* Whether the reply is held, and not cut, where this interruption is confirmed. */
bool live_hold_may_begin(const rnl_live *l, const turn_event *e);
void live_hold_begin(rnl_live *l, const turn_event *e);
/* While it is held: another event of the turn machine. */
void live_hold_event(rnl_live *l, const turn_event *e);
/* All is there that decides. */
bool live_hold_is_due(const rnl_live *l);
/* One piece of the decision. RNL_OK: done one; RNL_AGAIN: none to do. */
rnl_status live_hold_work(rnl_live *l);
/* The new clip is open: what was said of it while the reply was held counts now. */
void live_hold_replay(rnl_live *l);

/* live_hear.c */
/* The session beside the conversation's; statuses of rnl_session_create. */
RNL_MUST_USE rnl_status live_hear_create(rnl_live *l, rnl_error *error);
live_hear live_hear_by_model;

/* live_tools.c */
/* Calls stand in the session: it does not go on before they are taken. */
bool live_calls_wait(const rnl_live *l);
/* The reply is not over when its part is: calls wait, or their results do. */
bool live_calls_are_open(const rnl_live *l);
/* Of a reply that somebody is to hear: says that calls wait. */
void live_calls_tell(rnl_live *l);
/* Goes on when all results are there. RNL_OK: done; RNL_AGAIN: nothing to do. */
rnl_status live_calls_work(rnl_live *l, rnl_error *error);

/* live_step.c */
/* The clock has come to now_us: what the call before did is done. */
void live_stamp(rnl_live *l, int64_t now_us);
/* Something waits for the session to be stepped. */
bool live_wants_step(const rnl_live *l);
/* Around a step of the session, which gave `status` >= 0: what it has made is collected. */
live_before live_step_begin(const rnl_live *l);
void live_step_end(rnl_live *l, const live_before *before, rnl_status status);
/* Of a loop in a batch: what of its session belongs to a reply, and until when it is wanted. */
void live_deadline(const rnl_live *l, int64_t now_us, schedule_client *client);

/* live_output.c */
void live_output_reset(rnl_live *l);          /* no reply; the texts of the last one stay */
bool live_output_has_room(const rnl_live *l); /* for what a step makes */
void live_output_collect(rnl_live *l);        /* the session's samples and text */
void live_tell_text(rnl_live *l);             /* as events, as many as there is room for */
/* The clock has come to l->now_us: reserve, running out, end of holding. */
void live_output_tick(rnl_live *l);
/* The last step of that kind took so long. */
void live_output_learn(rnl_live *l, live_work work, int64_t us);
/* In a batch the batch knows better how long steps take. */
void live_output_pace(rnl_live *l, const schedule_pace *pace, double mean);
/* When what was made of the reply has been played; it is being played. */
int64_t live_output_end_us(const rnl_live *l);
bool live_output_is_playing(const rnl_live *l);
void live_output_duck(rnl_live *l, bool ducked);
/* Silence after a fade; what is not played yet stays. Then it goes on there. */
void live_output_hold(rnl_live *l);
void live_output_resume(rnl_live *l);
/* Stops the reply's sound; true when nothing of it is left in a queue of the caller. */
bool live_output_cut(rnl_live *l);
void live_output_note_heard(rnl_live *l); /* heard_text, from what was played */
/* The reply goes on behind the results of its calls. */
void live_output_go_on(rnl_live *l);
/* All of the reply that is made has been pulled and played, and the session is through with it; */
bool live_output_is_silent(const rnl_live *l);
/* and nothing more comes. */
bool live_output_is_over(const rnl_live *l);
int64_t live_made_us(const rnl_live *l); /* sound of the reply so far, to be played */
/* Samples of the reply that were played, at 24 kHz, those begun and those left out included. */
size_t live_played(const rnl_live *l);
/* The same, of what the session calls its reply: the part under way. */
size_t live_played_of_part(const rnl_live *l);

#endif
