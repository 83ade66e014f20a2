/* Who takes part in the next pass of a batch, and with how much of his work, so that nobody whose
 * sound is being played runs out of it: bounded pieces, the earliest deadline first.
 *
 *     clients {what each wants, when} + times of passes + now -> how much each is granted
 *     time that the pass took -> times of passes
 *
 * Pure: no session, no thread, no clock. A pass is foreseen by what passes took before; with nobody
 * playing it may be long, else it has to end before the first of them runs out, the steps that he
 * needs behind it and a margin taken off. Decisions come first, then positions of prefills, then
 * the encoder. A reply that is to be spoken needs a place; there are as many as can speak at once,
 * and who comes later waits, so that running speech is never slowed.
 *
 * A pass that decides tokens reads the head, one that decides frames the depthformer, and one that
 * decides both reads both. So replies are brought into step: one that has come to its next run of
 * tokens, and has sound enough, sits out passes until those who come to theirs soon are there. */
#ifndef ENGINE_SCHEDULE_H
#define ENGINE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SCHEDULE_ROW_CAP = 256,   /* decisions of a pass whose time is known */
    SCHEDULE_CHUNK_MIN = 8,   /* positions of prefills in a pass, if any, */
    SCHEDULE_CHUNK_MAX = 128, /* and at most */
    SCHEDULE_BLOCK_MAX = 8,   /* blocks of the encoder in a pass */
    SCHEDULE_OVERDUE_US = 2000000
};

typedef enum schedule_want {
    SCHEDULE_NOTHING,
    SCHEDULE_ENCODE,  /* blocks of the encoder */
    SCHEDULE_PREFILL, /* positions */
    SCHEDULE_TEXT,    /* a decision of a token */
    SCHEDULE_FRAME    /* a decision of a frame */
} schedule_want;

typedef struct schedule_client {
    schedule_want want;
    int size;          /* PREFILL: positions that wait; ENCODE: mel frames of the clip */
    int texts_before;  /* decisions of tokens before its next frame, */
    int frames_before; /* or of frames before its next token; INT_MAX: none comes */
    bool in_encoder;   /* ENCODE: its clip is the one under way; it goes on whatever else holds */
    bool reply;        /* belongs to a reply that is to be spoken */
    bool guess;        /* of a turn that may go on: nobody waits for it yet */
    bool playing;      /* its sound is being played */
    int64_t due_us;    /* playing: when what is made has been played; else: when the first sound or
                       * the result is wanted */
    bool placed;       /* in, out: its reply has a place; whoever owns it takes it away when the
                       * reply is made */
    int granted;       /* out: PREFILL: positions; ENCODE: blocks; decisions: 0 or 1 */
    bool overdue;      /* out: waits for a place for SCHEDULE_OVERDUE_US and more */
    int64_t deadline_us; /* scratch, */
    bool held;           /* likewise: it waits for others to come into step with it */
} schedule_client;

typedef struct schedule_config {
    int row_cap, decision_cap; /* of a pass; decision_cap <= SCHEDULE_ROW_CAP */
    double frame_us;           /* sound of a frame; 0: nobody speaks here */
    int text_run, audio_run;   /* of a reply that is spoken */
} schedule_config;

/* What is done in a pass. */
typedef struct schedule_pass {
    int texts, frames, positions;
    int encode_size; /* mel frames of its clip, for each block */
    double us;       /* foreseen */
} schedule_pass;

/* Times are averages. What a pass is foreseen to take is more by a factor for all, which rises at
 * once and falls slowly. */
typedef struct schedule {
    schedule_config config;
    /* By rows, index 0 unused; 0: not known. */
    double text_us[SCHEDULE_ROW_CAP + 1];  /* a pass of so many rows, as if all decided tokens */
    double frame_us[SCHEDULE_ROW_CAP + 1]; /* and so much more for so many that decide frames */
    double both_us;                        /* and so much more when there are both */
    double position_us;                    /* a position of a prefill */
    double encode_us;                      /* a block of the encoder, by mel frame of its clip */
    bool position_known, encode_known;     /* these two were measured */
    double caution;                        /* that factor, >= 1 */
    double load;                           /* places taken of those there are, over 10 s */
    int64_t load_at_us;                    /* INT64_MIN: never */
    int placed_count;
    schedule_pass planned;
} schedule;

/* Nothing measured yet: sane guesses. */
void schedule_init(schedule *s, const schedule_config *config);
/* A pass of `rows` decisions takes so long when all are tokens, when all are frames. rows in
 * [1, decision_cap]. */
void schedule_know(schedule *s, int rows, double text_us, double frame_us);
/* Averages at a number of rows: between known ones a straight line, above them by what more rows
 * compute. */
double schedule_text_us(const schedule *s, int rows);
double schedule_frame_us(const schedule *s, int rows);
/* Of a pass, its `us` not looked at, with caution. */
double schedule_foresee(const schedule *s, const schedule_pass *pass);

/* What a step takes with those who speak now, with caution: one that makes a token, beside others
 * that make frames, and one that makes a frame. */
typedef struct schedule_pace {
    double text_us, frame_us;
} schedule_pace;
schedule_pace schedule_pace_of(const schedule *s);

/* How many can speak at once in 80 % of the time; 0: not even one. */
int schedule_speaking_max(const schedule *s);
/* How much of a reply's sound may be made ahead of being played. */
int64_t schedule_ahead_us(const schedule *s);
/* Whether one more conversation may come, where so many are: `oversubscribe` times as many as can
 * speak at once, since not all do. */
bool schedule_admits(const schedule *s, int count, double oversubscribe);

/* Grants a pass; what was granted is s->planned. order [count]: scratch. Returns the number of
 * clients that take part. */
int schedule_plan(schedule *s, schedule_client *clients, int *order, int count, int64_t now_us);
/* The pass that was planned took so long. */
void schedule_learn(schedule *s, double us);

#endif
