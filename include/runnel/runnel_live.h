/* Runnel live: a spoken conversation that can be interrupted, for people who own their audio.
 *
 *     microphone ─► rnl_live_push ─► echo canceller ─► VAD ─► turns ─► clip ─┐
 *     loudspeaker ◄─ rnl_live_pull ◄─ play-out buffer ◄─ reply of the model ◄─┘
 *
 * The loop opens no device, starts no thread of its own and reads no clock: sound comes in and goes
 * out by calls, time comes in as microseconds of one clock of the caller, what happens comes out as
 * events. Between two steps the caller may do what it likes; a step is a bounded piece of work.
 *
 *     for (;;) {
 *         push what the microphone gave;
 *         status = rnl_live_step(live, now, &error);
 *         while (rnl_live_next_event(live, &event) == RNL_OK) look at it;
 *         pull what the loudspeaker takes, play it;
 *         if (status == RNL_AGAIN) wait for the microphone;
 *     }
 *
 * Nothing is allocated after create. One thread at a time per loop. The same pushes, pulls and
 * times give the same events and bits, every time. */
#ifndef RUNNEL_RUNNEL_LIVE_H
#define RUNNEL_RUNNEL_LIVE_H

#include <runnel/runnel_chat.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rnl_live rnl_live;

typedef struct rnl_live_config {
    rnl_session_config session; /* as rnl_session_config_default, but drop_oldest_turns is true; the
                                 * loop sets clip_seconds_max and snapshot_cap itself, and no more
                                 * than 32 step_positions, to look at the microphone in between */
    rnl_turn_config turn;       /* of every reply; default: the model's, RNL_MODE_INTERLEAVED;
                                 * tools: rnl_live_pull_call gives their calls, of all replies */
    const char *system;         /* system prompt, UTF-8; NULL (default): the model's own */

    int rate_in;  /* Hz of microphone and reference, [4000, 768000], default RNL_RATE_IN */
    int rate_out; /* Hz of what is pulled, [4000, 768000], default RNL_RATE_OUT */

    bool speculation;  /* answer silently at the first guess of the end; default true. The answer is
                         * the same, bit for bit; it is there sooner and costs computing */
    bool barge_in;     /* the user may interrupt a reply; default true */
    bool push_to_talk; /* rnl_live_hold says when a turn begins and ends; less than
                        * RNL_SPEECH_MS_MIN of speech is none (FALSE_ALARM); default false */
    bool echo_cancel;  /* remove what is played from the microphone; default true. Costs 10 ms */
    int echo_delay_ms; /* loudspeaker to microphone, [0, 500]; -1 (default): estimated */
    bool volume_inside; /* duck, fade and cut are done to what is pulled; default true. false: the
                         * caller holds a queue and does them as the events say */
    bool lead_in_trim;  /* the silence that a reply begins with, below -50 dBFS, is not played,
                         * but for 10 ms; it counts as heard; default true */

    int history_turns; /* turns that the model sees, the one under way included: those before are
                        * forgotten as soon as a reply is over; [0, 100000], 0: all that fit;
                        * default: the model's (runnel.default.history_turns), else 0 */

    int backchannel_ms; /* speech into a reply, up to so long and with 300 ms of silence behind it,
                         * is heard by the model itself: "mhm" or "okay" (words of a list) and what
                         * is no word let the reply go on (HOLD, RESUME), anything else cuts it.
                         * Less speech is enough to be heard so than to cut: "no" is short. 0:
                         * every interruption cuts; [0, 1000]; default: the model's
                         * (runnel.default.backchannel_ms), else 0. end_ms and end_ms_min are then
                         * 332 at least. Costs a second session's memory (of session's
                         * memory_size_max). Not with push_to_talk, nor in a batch */

    int guess_ms;            /* silence at which the end is guessed, [32, 1000], default 100; the
                              * clip of a turn ends so long after its last speech */
    int end_ms;              /* silence that ends a turn, [guess_ms, 5000], default 500 */
    int end_ms_max;          /* the most that is ever asked, [end_ms, 5000], default 900: after
                              * turns that were cut early, or that do not sound finished */
    bool turn_network;       /* a network hears in each pause whether the turn sounds finished: if
                              * so, end_ms_min is silence enough, if not, it takes end_ms_max, and
                              * end_ms in between; default true where the library has it. Costs one
                              * look a pause. Not asked with push_to_talk */
    int end_ms_min;          /* [guess_ms + 64, end_ms], default 350; only with turn_network */
    double turn_seconds_max; /* longest turn of the user, [2, 600], default 30 */
} rnl_live_config;

RNL_API rnl_live_config rnl_live_config_default(const rnl_model *model);

/* A conversation on a model, which must outlive it. config may be NULL (defaults).
 * RNL_ERR_UNSUPPORTED: the model does not take or does not give audio; RNL_ERR_ARGUMENT names the
 * field; RNL_ERR_DATA: the system prompt is not UTF-8; RNL_ERR_CONTEXT_FULL: it is too long;
 * RNL_ERR_MEMORY; RNL_ERR_BUDGET. *live is then NULL. */
RNL_API RNL_MUST_USE rnl_status rnl_live_create(rnl_model *model, const rnl_live_config *config,
                                                rnl_live **live, rnl_error *error);
RNL_API void rnl_live_destroy(rnl_live **live); /* NULL is fine; sets NULL */

/* ---- Sound in ---- */

typedef struct rnl_live_sound {
    const float *mic;       /* [count] mono, [-1, 1], at rate_in */
    const float *reference; /* [count] what the loudspeaker was given while mic was taken, after
                             * volume; NULL: nothing that the microphone could hear */
    size_t count;
    int64_t adc_us; /* when mic[0] was at the converter */
} rnl_live_sound;

/* Queues sound (copied), up to 4 s. *taken samples were accepted; fewer than count: step first.
 * Any cut gives the same bits. now_us: the caller's clock.
 * RNL_ERR_DATA: a sample is not a number; nothing was taken. */
RNL_API RNL_MUST_USE rnl_status rnl_live_push(rnl_live *live, const rnl_live_sound *sound,
                                              int64_t now_us, size_t *taken, rnl_error *error);

/* No more sound will come: a turn under way ends here. */
RNL_API void rnl_live_finish(rnl_live *live);

/* Push-to-talk: the key is down or up. */
RNL_API void rnl_live_hold(rnl_live *live, bool down);

/* ---- Work ---- */

/* Listens to everything that was pushed, then does a part of a step of the model: a layer or so of
 * the encoder, of up to 32 prefill positions, or of one position, whose frame is a part of its own.
 * Push and pull between the calls: somebody listens while the model works. now_us also stamps what
 * the call before has done, so call again right away after RNL_OK.
 * RNL_OK: more work waits. RNL_AGAIN: it waits for sound, for room to play, or for events to be
 * taken: while any wait it does nothing. Negative: the conversation is lost, only destroy.
 * RNL_ERR_STATE, and nothing lost: the loop is in a batch (runnel_batch.h). */
RNL_API RNL_MUST_USE rnl_status rnl_live_step(rnl_live *live, int64_t now_us, rnl_error *error);

/* ---- Sound out ---- */

/* Takes up to cap samples of the reply, to be played right behind those of the call before.
 * now_us: the caller's clock; dac_us: when the first of them will be at the converter, or -1 when
 * that is not known yet (marks T10 and T11 of the turn are then left to the caller). While nothing
 * plays, now_us also stamps what the step before has done, and the first sound is given out by the
 * first pull behind the step that made it: so pull after every step, also after RNL_OK.
 * RNL_OK: *count > 0. RNL_AGAIN: nothing to play now, or it is held: silence. RNL_DONE, once for
 * each reply that was not cut, and before the sound of the next: its last sample has been taken. */
RNL_API RNL_MUST_USE rnl_status rnl_live_pull(rnl_live *live, float *samples, size_t cap,
                                              int64_t now_us, int64_t dac_us, size_t *count);

/* How many of the samples pulled wait in a queue of the caller and have not been played yet. Never
 * called: what is pulled is played. Tell it before each step. */
RNL_API void rnl_live_queued(rnl_live *live, size_t sample_count);

/* After RNL_LIVE_CUT, without volume_inside: the queue is empty now, also of what RNL_LIVE_HOLD had
 * kept there; so many of the samples pulled were dropped and never played. The loop goes on with
 * the conversation when it knows. */
RNL_API void rnl_live_cut_done(rnl_live *live, size_t dropped_count);

/* ---- Events ---- */

#define RNL_LIVE_KIND_LIST(X)                                                                      \
    X(LISTENING, "listening")             /* nobody speaks */                                      \
    X(SUSPECTED, "suspected")             /* this may be speech */                                 \
    X(FALSE_ALARM, "false-alarm")         /* it was none */                                        \
    X(HEARING, "hearing")                 /* the user speaks */                                    \
    X(END_GUESSED, "end-guessed")         /* the turn may be over; with speculation work begins */ \
    X(GUESS_WITHDRAWN, "guess-withdrawn") /* it was not over */                                    \
    X(THINKING, "thinking")               /* the turn is over */                                   \
    X(TEXT, "text")                       /* a piece of the reply's text */                        \
    X(SPEAKING, "speaking")               /* the first sample of the reply was pulled */           \
    X(DUCK, "duck")                       /* turn the volume down by 12 dB within 20 ms */         \
    X(UNDUCK, "unduck")                   /* and up again */                                       \
    X(HOLD, "hold")                       /* perhaps cut: fade within 5 ms, keep what is queued */ \
    X(RESUME, "resume")                   /* not cut: go on with it, up from 0 within 20 ms */     \
    X(CUT, "cut")                         /* interrupted: fade within 5 ms, drop what is queued */ \
    X(TURN, "turn")                       /* the reply was played to its end, or cut */            \
    X(CALL, "call")   /* calls of tools wait: rnl_live_pull_call until RNL_AGAIN */                \
    X(BUSY, "busy")   /* in a batch: the answer waits until others have spoken; once a turn */     \
    X(SLOW, "slow")   /* the machine is too slow to speak without waiting; told once */            \
    X(MUTED, "muted") /* the microphone has given only zeros for 5 s */                            \
    X(UNMUTED, "unmuted")

typedef enum rnl_live_kind {
#define RNL_LIVE_KIND_ENUM(name, text) RNL_LIVE_##name,
    RNL_LIVE_KIND_LIST(RNL_LIVE_KIND_ENUM)
#undef RNL_LIVE_KIND_ENUM
} rnl_live_kind;

RNL_API const char *rnl_live_kind_name(rnl_live_kind kind); /* "listening", ... */

/* Marks of a turn, microseconds of the caller's clock, -1 where not reached (docs/LATENCY.md). */
enum {
    RNL_LIVE_T0,  /* last speech sample at the converter */
    RNL_LIVE_T1,  /* that sample pushed */
    RNL_LIVE_T2,  /* speech probability below the exit threshold */
    RNL_LIVE_T3,  /* end of the turn confirmed */
    RNL_LIVE_T4,  /* encoder through */
    RNL_LIVE_T5,  /* prefill done */
    RNL_LIVE_T6,  /* first text token */
    RNL_LIVE_T7,  /* first audio frame */
    RNL_LIVE_T8,  /* first samples of it */
    RNL_LIVE_T9,  /* pulled by the caller */
    RNL_LIVE_T10, /* first sample at the converter */
    RNL_LIVE_T11, /* first audible one (above -50 dBFS) at the converter */
    RNL_LIVE_MARK_COUNT
};

/* What ended a turn of the user. */
#define RNL_LIVE_END_RULE_LIST(X)                                                                  \
    X(SURE, "sure")       /* silence of end_ms_min: it sounded finished */                         \
    X(MIDDLE, "middle")   /* of end_ms: it may have, or nobody was asked */                        \
    X(LONG, "long")       /* of end_ms_max: it did not */                                          \
    X(LEARNED, "learned") /* of more than these, because of turns that were cut early */           \
    X(LENGTH, "length")   /* turn_seconds_max was near */                                          \
    X(RELEASE, "release") /* of the key of push-to-talk */                                         \
    X(FINISH, "finish")   /* rnl_live_finish */

typedef enum rnl_live_end_rule {
#define RNL_LIVE_END_ENUM(name, text) RNL_LIVE_END_##name,
    RNL_LIVE_END_RULE_LIST(RNL_LIVE_END_ENUM)
#undef RNL_LIVE_END_ENUM
} rnl_live_end_rule;

RNL_API const char *rnl_live_end_rule_name(rnl_live_end_rule rule); /* "sure", ... */

typedef struct rnl_live_turn {
    int index; /* 1 for the first reply */
    int64_t mark_us[RNL_LIVE_MARK_COUNT];
    int64_t clip_begin, clip_end; /* the user's clip, samples of the microphone at RNL_RATE_IN */
    int64_t sound_begin;          /* index of the reply's first sample among all pulled; -1: none */
    int64_t sound_audible;        /* of its first audible one; -1: none */
    int64_t sound_count;          /* samples of the reply pulled */
    int64_t played_count;         /* of these, played; fewer after an interruption */
    int64_t trimmed_count; /* samples at RNL_RATE_OUT that were left out before (lead_in_trim) */
    int text_count, frame_count; /* of the reply as it stands in the history */
    rnl_finish finish;
    rnl_live_end_rule end_rule; /* what ended the user's turn, */
    double end_probability;     /* and how finished it sounded, [0, 1]; -1: nobody was asked */
    bool barged_in;             /* the user cut it off */
    bool speculated;            /* it was begun at a guess */
    int hold_count;             /* times it was held and went on */
    int call_count;             /* calls of tools in it */
    int underrun_count;         /* times the sound ran out in mid-reply */
    int64_t slack_us;           /* least reserve of sound while it played */
    int64_t text_us_max;        /* longest step without sound, */
    int64_t frame_us_max;       /* and with */
} rnl_live_turn;

enum { RNL_LIVE_TEXT_CAP = 64 };

typedef struct rnl_live_event {
    rnl_live_kind kind;
    int64_t mic_sample; /* where the microphone stood, samples at RNL_RATE_IN since create */
    int64_t speech_us;  /* SUSPECTED, HEARING, DUCK, HOLD, CUT: when the speech began */
    size_t text_size;   /* TEXT: whole UTF-8 characters */
    char text[RNL_LIVE_TEXT_CAP];
    rnl_live_turn turn; /* TURN */
} rnl_live_event;

/* The next event. RNL_AGAIN: none. All must be taken before the next step works. */
RNL_API RNL_MUST_USE rnl_status rnl_live_next_event(rnl_live *live, rnl_live_event *event);

/* ---- Calls of tools ---- */

/* Takes a call as rnl_session_pull_call gives it, behind RNL_LIVE_CALL; the reply does not go on
 * before all are taken. A call is given once the user's turn is sure to be over, not at a guess.
 * RNL_OK; RNL_AGAIN: none waits; RNL_ERR_ARGUMENT: cap is too small, *size says what it takes. */
RNL_API RNL_MUST_USE rnl_status rnl_live_pull_call(rnl_live *live, char *json, size_t cap,
                                                   size_t *size);

/* The result of the first call that has none yet, UTF-8, copied. With those of all calls the reply
 * goes on, in the same turn: what was said before plays meanwhile, and what comes is played behind
 * it. RNL_AGAIN: the reply has not come to its end yet, or is held; call again behind a later step.
 * RNL_ERR_STATE: no call waits for a result; the user may have interrupted, which ends that, and
 * the conversation goes on with what he said. RNL_ERR_DATA: no UTF-8; RNL_ERR_CONTEXT_FULL: give a
 * shorter one. An error changes nothing. */
RNL_API RNL_MUST_USE rnl_status rnl_live_add_result(rnl_live *live, const char *text, size_t size,
                                                    rnl_error *error);

/* ---- Looking around ---- */

/* Text of the reply under way, after RNL_LIVE_TURN of the one that ended; valid until the next
 * step. said: all that was generated; heard: what was played of it, an estimate in whole words. */
RNL_API void rnl_live_said(const rnl_live *live, const char **text, size_t *size);
RNL_API void rnl_live_heard(rnl_live *live, const char **text, size_t *size);

/* Copies the user's last clip as the model gets it (RNL_RATE_IN, without echo): *count samples, at
 * most cap. When RNL_LIVE_THINKING is told, before the next step. */
RNL_API void rnl_live_clip(const rnl_live *live, float *samples, size_t cap, size_t *count);

typedef struct rnl_live_facts {
    rnl_live_kind state;                /* LISTENING, HEARING, THINKING or SPEAKING */
    bool idle;                          /* nothing is under way and all that was pushed is heard */
    double turn_seconds;                /* of the user's turn under way, 0 outside */
    double buffered_seconds;            /* sound of the reply that was not pulled yet */
    float mic_db, clean_db, speaker_db; /* levels: microphone, after cancelling, reference */
    float speech;                       /* probability of the last block */
    int64_t mic_count;                  /* samples heard, at RNL_RATE_IN */
    int64_t pulled_count;               /* samples pulled, at rate_out */
    int64_t frame_count;                /* audible frames of the replies that came to their end */
    int64_t sample_count;               /* their samples at RNL_RATE_OUT: frames x frame size */
    int64_t work_count;                 /* steps of the model that are through */
    int64_t part_count;                 /* calls of rnl_live_step that worked at one */
    int64_t turn_count;                 /* RNL_LIVE_TURN events so far */
    int position_count;                 /* of the conversation */
} rnl_live_facts;

RNL_API void rnl_live_get_facts(const rnl_live *live, rnl_live_facts *facts);

#ifdef __cplusplus
}
#endif
#endif
