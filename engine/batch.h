/* The inside of rnl_batch: a pass that sessions share, and who takes part in it.
 *
 *     batch.c       create, facts
 *     batch_step.c  sessions and loops -> clients of the schedule -> items of a pass
 *     transcript_crew.c  pieces of transcripts -> items of passes, one for each lane
 *
 * What a step needs is allocated by create; sessions stand in the list of the pass. */
#ifndef ENGINE_BATCH_H
#define ENGINE_BATCH_H

#include <pthread.h>
#include <runnel/runnel_transcript.h>

#include "engine/live.h"
#include "engine/schedule.h"

struct rnl_batch {
    rnl_model *model;
    rnl_batch_config config;
    pass *pass;
    schedule schedule;

    /* Of a step, [session_cap] each. */
    schedule_client *clients;
    rnl_session **members; /* whose they are */
    int *order;
    rnl_batch_item *items;
    live_before *before; /* of the items that are loops' */
    /* Of the crew of its transcripts (transcript_crew.c), likewise. */
    struct slot **working, **item_slots;
    void *memory; /* behind them all */

    bool running; /* a pass was made and nobody has said since what time it is */
    int64_t begun_us, now_us;
    int64_t pass_count, rows, decision_count;

    /* Transcripts have callers of their own. */
    pthread_mutex_t lock; /* of all lanes */
    pthread_cond_t moved; /* a piece changed its state */
    bool lock_made;
    int pause_count; /* nobody begins to work */
    rnl_transcript *transcripts;
    /* Of passes at the same time: this batch, and others that only it knows. [lane_count] */
    rnl_batch *lanes[RNL_THREAD_CAP];
    bool leading; /* somebody works on this lane, without the lock */
};

/* The clock has come to now_us: the pass that was made is over. */
void batch_stamp(rnl_batch *b, int64_t now_us);

/* ---- Looks of the network for ends of turns, at clips that are no loop's ---- */

/* Whether it has room for them (config.turn_network, and a model that speaks). */
bool batch_takes_looks(const rnl_batch *b);
/* Begins one at samples [count] of 16 kHz, the clip up to where it may end; copied. RNL_AGAIN:
 * another's is under way. */
RNL_MUST_USE rnl_status batch_look_begin(rnl_batch *b, const void *owner, const float *samples,
                                         size_t count);
/* A piece of it, at most an eighth. RNL_OK: more remains; RNL_DONE: *probability, and the next may
 * begin. What the batch does besides changes no bit of it. */
RNL_MUST_USE rnl_status batch_look_step(rnl_batch *b, const void *owner, float *probability);
/* It is of no use any more; nothing happens when it is another's. */
void batch_look_drop(rnl_batch *b, const void *owner);

#endif
