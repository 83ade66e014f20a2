/* Endpoints: probabilities of speech -> where a turn begins and ends, as events.
 *
 * Pure logic: no sound, no clock. Time is the number of blocks pushed since the reset, counted in
 * samples at 16 kHz. The machine:
 *
 *             p >= enter              minimum speech
 *   LISTENING ----------> SUSPECTED ------------------> SPEAKING ---> END: silence, length, release
 *       ^                     | silence too soon,           | ^
 *       +---------------------+ or doubtful for too long    v | GUESS, WITHDRAWN in every pause
 *
 * The last speech sample of a turn is found back: it is the one before the first block below the
 * exit threshold. Silence is counted from there, and a clip ends guess_ms behind it, whether the
 * end was only guessed or is confirmed: so an answer computed at the guess is the answer.
 * Whatever may silence a block (energy gate, echo) has done so before: its probability is 0.
 *
 * How much silence ends a turn may depend on how finished it sounds (config.asks). The caller then
 * asks a network at each GUESS, about the clip up to the event's clip_end, and gives the answer
 * with endpoint_answer at any time before the machine wants it (endpoint_waits). It wants it at a
 * fixed place, the earliest end of that pause: so where a turn ends depends on the sound alone, not
 * on how fast the network is. The wait is bounded whatever it says. */
#ifndef VAD_ENDPOINT_H
#define VAD_ENDPOINT_H

#include <runnel/runnel.h>

#include <stdint.h>

#include "vad/vad.h"

/* Times are rounded up to whole blocks of 32 ms. */
typedef struct endpoint_config {
    float enter; /* probability at which speech begins, (0, 1]; default 0.5 */
    float exit;  /* below it a block is silent, (0, enter]; default 0.35 */
    float
        mean_min; /* mean over the spoken blocks that confirms speech, [0, 1]; default 0.6: breath,
                       coughs and hum stay below it */

    int speech_ms_min;    /* speech that makes a turn, [32, 2000]; default 250 */
    float interrupt_odds; /* while we speak: log odds that make a turn, summed over blocks from the
                             suspicion on, [1, 50]; default 6.8: three blocks of sure speech */
    int gap_ms;           /* silence that refutes a suspicion, [32, 1000]; default 160 */
    int doubt_ms_max;     /* longest suspicion, [100, 10000]; default 1000 */
    int resume_ms;        /* speech that ends a pause: shorter is a click, [32, 500]; default 64 */
    int key_ms_min;       /* push-to-talk: speech that makes a turn, [32, 2000]; default 150 */

    int guess_ms;    /* silence at which the end is guessed; kept in the clip, [32, 1000]; 100 */
    int end_ms;      /* silence that ends a turn, [guess_ms, 5000]; default 500 */
    int end_ms_max;  /* the most that is ever asked: of turns that sound unfinished, or after some
                        that were cut early, [end_ms, 5000]; default 900 */
    int end_ms_step; /* what a turn that was cut early adds to every wait, [0, 2000]; default 150;
                        three good turns take it away again */
    bool asks;       /* endpoint_answer is called in every pause; default false. If so: */
    int end_ms_min;  /* silence that ends a turn that sounds finished, [guess_ms + 64, end_ms];
                        default 350. (A click may delay the guess by a block) */
    float sure;      /* probability of an end from which on end_ms_min holds, [0, 1]; */
    float border;    /* below it end_ms_max holds, [0, sure]; end_ms in between; defaults 0.8 and
                        0.6 (docs/LATENCY.md) */
    int early_ms;    /* speech this soon after an end: it was early, [0, 5000]; default 600 */

    int pre_roll_ms; /* sound kept before the first spoken block, [0, 2000]; default 300 */
    int turn_ms_max; /* longest clip, [2000, 600000]; default 30000 */

    bool barge_in;     /* speech may begin while we speak; default true */
    bool push_to_talk; /* the key decides where a turn begins and ends; default false */
} endpoint_config;

endpoint_config endpoint_config_default(void);
/* RNL_OK, or RNL_ERR_ARGUMENT with a sentence that names the field and its range. */
RNL_MUST_USE rnl_status endpoint_config_check(const endpoint_config *c, rnl_error *error);

typedef enum turn_kind {
    TURN_ONSET,     /* suspected: turn the volume down */
    TURN_REJECTED,  /* it was no speech (or push-to-talk without a word): turn it up again */
    TURN_CONFIRMED, /* somebody speaks: stop our own speech */
    TURN_GUESS,     /* the clip may be complete */
    TURN_WITHDRAWN, /* it was not: the speaker goes on */
    TURN_END        /* the clip is complete */
} turn_kind;

typedef enum turn_reason {
    TURN_BY_SILENCE,
    TURN_BY_LENGTH,  /* turn_ms_max was near: at the first pause of its last quarter, or, when there
                        is none, in the middle of the least probable block of that quarter */
    TURN_BY_RELEASE, /* of the push-to-talk key */
    TURN_BY_FINISH   /* endpoint_finish: the input is over */
} turn_reason;

/* What set the silence that ended a turn. */
typedef enum turn_zone {
    TURN_MIDDLE, /* end_ms: the network was in doubt, or not asked */
    TURN_SURE,   /* end_ms_min: it sounded finished */
    TURN_LONG,   /* end_ms_max: it did not */
    TURN_LEARNED /* longer than these, because of turns that were cut early */
} turn_zone;

/* Positions are samples since the reset. */
typedef struct turn_event {
    turn_kind kind;
    turn_reason reason; /* END */
    turn_zone zone;     /* END by silence */
    int64_t position;   /* one past the block that told */
    int64_t clip_begin; /* first sample of the clip, pre-roll included; never before the end of the
                             previous clip. With push-to-talk it moves on until something is said */
    int64_t speech_begin; /* first sample of the first spoken block */
    int64_t speech_end;   /* GUESS, END: one past the last spoken block */
    int64_t clip_end;     /* GUESS, END: one past the last sample of the clip, at most position */
    bool continues;       /* ONSET after a cut by length, CONFIRMED after that or after a turn that
                             was cut early: the previous turn and this one are one */
} turn_event;

enum { TURN_EVENT_CAP = 4 }; /* WITHDRAWN, and a cut: END, ONSET, CONFIRMED */
typedef struct turn_events {
    turn_event list[TURN_EVENT_CAP]; /* in the order in which they happened */
    int count;
} turn_events;

typedef enum turn_phase { TURN_LISTENING, TURN_SUSPECTED, TURN_DOUBTED, TURN_SPEAKING } turn_phase;

typedef struct endpoint {
    endpoint_config config;
    turn_phase phase;
    int64_t position; /* samples pushed since the reset */

    /* The turn under way. */
    int64_t clip_begin, speech_begin;
    int64_t speech_end;    /* valid while silent */
    bool silent;           /* the last spoken block lies behind */
    bool spoken;           /* the turn holds speech; with push-to-talk it may not yet, */
    bool begun;            /* although something was heard: the clip begins there */
    bool guessed;          /* GUESS is out and not withdrawn, */
    bool answered;         /* and the network has answered */
    float answer;          /* its probability of an end */
    bool continues;        /* the clip begins where the previous one was cut by length */
    int spoken_count;      /* blocks at or above exit; with push-to-talk at or above enter */
    int resume_count;      /* blocks of a sound within a pause */
    double probabilities;  /* sum over the spoken blocks */
    float odds;            /* sum of log odds, never below 0 */
    float cut_probability; /* least in the last quarter of the longest clip, */
    int64_t cut_sample;    /* and the middle of that block */

    /* What the turn before left. */
    int64_t previous_clip_end;
    int64_t previous_end;                     /* position of its END by silence, or -1 */
    int end_extra_ms;                         /* silence asked beyond what the zone asks */
    int end_extra_off_ms;                     /* what a good turn takes off it */
    int extra_before_ms, extra_off_before_ms; /* the two before the turn under way was confirmed */
} endpoint;

/* config must have passed the check. Fresh: nobody has spoken yet. */
void endpoint_reset(endpoint *t, const endpoint_config *config);
/* The next block, not while endpoint_waits. speaking: our own speech can be heard. held: the
 * push-to-talk key is down (not looked at without push_to_talk). No allocation; one thread at a
 * time. */
void endpoint_push(endpoint *t, float probability, bool speaking, bool held, turn_events *out);
/* The input is over: ends or rejects what is under way. The machine then listens as before. */
void endpoint_finish(endpoint *t, turn_events *out);
/* The turn under way, if any, was none: nothing is learned from it, and the machine listens. */
void endpoint_dismiss(endpoint *t);
/* Silence that ends a turn of that zone at present, up to end_ms_max. */
int endpoint_end_ms(const endpoint *t, turn_zone zone);
/* The next block may end the turn: first the answer about this pause. Never without asks. */
bool endpoint_waits(const endpoint *t);
/* How likely the turn is over, in [0, 1], as it stood at the latest GUESS. Without such a guess, or
 * when it was withdrawn, nothing happens. */
void endpoint_answer(endpoint *t, float probability);

#endif
