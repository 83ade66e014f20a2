/* Many conversations on one model: one pass over the weights for all of them.
 *
 * Decoding reads all weights for every token; a batch reads them once for the tokens of all its
 * sessions. It owns threads and working memory, so that a session of a batch has only what lasts:
 * keys and values, history, open clip, queues. What a session says depends on no other session,
 * bit for bit: it is what a session of its own says (at the levels "amx" and "avx512_bf16", which
 * round what is prefilled, a session of a batch does not round, and "of its own" means a batch of
 * one).
 *
 * Either the caller says who does what:
 *
 *     for (;;) {
 *         for each session: item.session = s, item.stage = rnl_session_stage(s), as far as wanted
 *         rnl_batch_pass(batch, items, count);
 *         for each item: look at its status, pull text and samples
 *     }
 *
 * or the batch does, so that no conversation runs out of sound that is being played:
 *
 *     for (;;) {
 *         for each loop: push; rnl_live_listen(live, now, &error); take events; pull
 *         for each session: rnl_batch_want(session, ...) where that changed; pull
 *         if (rnl_batch_step(batch, now) == RNL_AGAIN) wait for sound
 *     }
 *
 * Threads: one caller at a time for the batch and all its sessions and loops together. */
#ifndef RUNNEL_RUNNEL_BATCH_H
#define RUNNEL_RUNNEL_BATCH_H

#include <runnel/runnel_live.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rnl_batch rnl_batch;

typedef struct rnl_batch_config {
    int row_cap;             /* positions of one pass, of all sessions: [1, 1024], default 128 */
    int decision_cap;        /* decisions of one pass: [1, 256], default 16. Each takes memory for
                              * the logits of the vocabulary and for a frame */
    int thread_count;        /* [1, RNL_THREAD_CAP], the caller included; default as for sessions */
    int lane_count;          /* passes that its transcripts may make at the same time, each with
                              * thread_count / lane_count threads and memory of its own, which pays
                              * where the weights stay in the caches: [1, thread_count], default 1.
                              * Each has an equal share of session_cap; sessions and loops that are
                              * no transcript's are all on the first */
    int context_cap;         /* positions of the longest session: [64, 1048576], default 4096 */
    double clip_seconds_max; /* s, longest clip of a session: [0.1, 600], default 60. One clip is
                              * encoded at a time: this memory exists once */
    int session_cap;         /* sessions and live loops of it: [1, 1024], default 64 */
    double oversubscribe;    /* conversations that rnl_batch_admits lets in for each that can speak
                              * at once, since not all do: [1, 100], default 2 */
    int image_views_max;     /* views of a picture of a session: as there, default 0. One view is
                              * encoded at a time: this memory exists once */
    bool turn_network; /* room for the looks of its loops (rnl_live_config), about 8 MiB and once;
                              * false: they have the fixed rule; default true where it is built */
    size_t memory_size_max; /* bytes of working memory allowed, default SIZE_MAX (no limit) */
} rnl_batch_config;

RNL_API rnl_batch_config rnl_batch_config_default(void);

/* Bytes of working memory, without creating anything: where they go, total included (kv_cache,
 * history and snapshots are the sessions'). RNL_ERR_ARGUMENT names the field out of range. */
RNL_API RNL_MUST_USE rnl_status rnl_batch_plan(const rnl_model *model,
                                               const rnl_batch_config *config,
                                               rnl_memory_plan *plan, rnl_error *error);
/* The model must outlive it. config may be NULL (defaults). RNL_ERR_ARGUMENT, RNL_ERR_MEMORY,
 * RNL_ERR_BUDGET. */
RNL_API RNL_MUST_USE rnl_status rnl_batch_create(rnl_model *model, const rnl_batch_config *config,
                                                 rnl_batch **batch, rnl_error *error);
/* After its sessions. NULL is fine; sets NULL. */
RNL_API void rnl_batch_destroy(rnl_batch **batch);

/* A session that computes with the batch; destroyed as any other, before the batch. Of config,
 * thread_count and step_positions are the batch's. RNL_ERR_ARGUMENT also when context_cap,
 * clip_seconds_max or image_views_max are over the batch's; RNL_ERR_BUDGET also when session_cap
 * are there. Nothing is allocated by it or the batch afterwards. rnl_session_step is a pass over
 * this session alone. */
RNL_API RNL_MUST_USE rnl_status rnl_session_create_in(rnl_batch *batch,
                                                      const rnl_session_config *config,
                                                      rnl_session **session, rnl_error *error);
/* What such a session takes. */
RNL_API RNL_MUST_USE rnl_status rnl_session_plan_in(const rnl_batch *batch,
                                                    const rnl_session_config *config,
                                                    rnl_memory_plan *plan, rnl_error *error);

/* What one session is to do in a pass. */
typedef struct rnl_batch_item {
    rnl_session *session; /* of this batch; in one item of a pass only */
    rnl_stage stage;    /* as rnl_session_stage says it: a block of its clip or picture, a prefill,
                           * or a decision of its reply */
    int position_count; /* of a prefill at most, >= 1; a prefill that ends what waits makes the
                           * first decision of a begun reply, too. Others do not look at it */
    rnl_status status;  /* out: as rnl_session_step, for this session. RNL_AGAIN also where the
                           * pass has no room left, or the encoder has another clip: nothing was
                           * done, try the next pass */
    rnl_error error;    /* out: the sentence of a negative status */
} rnl_batch_item;

/* One bounded piece of work for each item, in their order while there is room. A session that fails
 * fails alone. An item that cannot be (a session twice, of another batch, another stage, a
 * position_count below 1) has RNL_ERR_ARGUMENT or RNL_ERR_STATE and changes nothing. No
 * allocation. */
RNL_API void rnl_batch_pass(rnl_batch *batch, rnl_batch_item *items, size_t count);

/* ---- The batch chooses ---- */

/* One pass over what its sessions and loops want: decisions, the earliest deadline first, positions
 * of prefills, blocks of the encoder, as much as is over in time for the first whose sound is being
 * played. What passes take is learned from now_us, the caller's clock in microseconds: the time
 * until the next call that brings one (this, rnl_live_listen, rnl_live_pull of a loop in it). So
 * call again right away after RNL_OK. RNL_AGAIN: nobody wants anything now. A session that fails
 * fails alone: rnl_batch_status. No allocation. */
RNL_API RNL_MUST_USE rnl_status rnl_batch_step(rnl_batch *batch, int64_t now_us);

typedef enum rnl_want {
    RNL_WANT_NOTHING, /* rnl_batch_step leaves it alone */
    RNL_WANT_RESULT,  /* text, a transcript, a file: by due_us */
    RNL_WANT_SPEECH,  /* the reply will be played as it is made, its first sound by due_us. It waits
                       * until there is a place among those that speak */
    RNL_WANT_PLAYING  /* it is being played: what was made until now lasts until due_us */
} rnl_want;

/* What rnl_batch_step is to do for a session, and by when. As long as it was never said:
 * RNL_WANT_RESULT, 5 s behind the step that first finds work. Not for the session of a loop. */
RNL_API void rnl_batch_want(rnl_session *session, rnl_want want, int64_t due_us);

/* RNL_OK, or why a pass of rnl_batch_step lost the session, with its sentence. RNL_AGAIN: its reply
 * has waited for a place until 2 s behind due_us; it goes on waiting, and rnl_session_stop ends
 * that. */
RNL_API RNL_MUST_USE rnl_status rnl_batch_status(const rnl_session *session, rnl_error *error);

typedef struct rnl_batch_facts {
    int session_count;      /* sessions and loops in it */
    int speaking_count;     /* replies that have a place */
    int speaking_max;       /* that can speak at once, in 80 % of the time; 0: not even one */
    double load;            /* speaking_count / speaking_max, averaged over 10 s */
    double text_us;         /* a pass of tokens for those who speak now, */
    double frame_us;        /* a pass of frames */
    int64_t pass_count;     /* passes of rnl_batch_step */
    int64_t rows;           /* positions that went through in them, */
    int64_t decision_count; /* and decisions of these */
} rnl_batch_facts;

RNL_API void rnl_batch_get_facts(const rnl_batch *batch, rnl_batch_facts *facts);

/* Whether one more conversation may begin: fewer than oversubscribe x speaking_max are there, and
 * the load is below 0.9. To be asked before one is created; create does not. */
RNL_API bool rnl_batch_admits(const rnl_batch *batch);

/* Times of passes as measured before, say by `runnel bench --calibrate -m MODEL`, which the program
 * keeps for its server, or by `runnel bench --work batch`: of so many rows, all of
 * them tokens, all of them frames. Without any the batch begins with cautious guesses and learns.
 * rows in [1, decision_cap], times above 0, others are not looked at. */
RNL_API void rnl_batch_set_times(rnl_batch *batch, int rows, double text_us, double frame_us);

/* ---- Live loops in a batch ---- */

/* As rnl_live_create, with a session of the batch; destroyed before the batch. The batch's
 * clip_seconds_max has to be turn_seconds_max + 0.5 at least. What the batch makes of it:
 * rnl_live_listen and rnl_batch_step are called instead of rnl_live_step, which is RNL_ERR_STATE.
 * The same pushes, pulls and times need not give the same events, since times of passes count, but
 * each reply has the bits that it has alone. */
RNL_API RNL_MUST_USE rnl_status rnl_live_create_in(rnl_batch *batch, const rnl_live_config *config,
                                                   rnl_live **live, rnl_error *error);

/* Listens to everything that was pushed and does the loop's own work: all of rnl_live_step but the
 * model's part, which rnl_batch_step does. RNL_OK: something was done, or the model has work.
 * RNL_AGAIN: it waits for sound, for room to play, or for events to be taken. Negative: the
 * conversation is lost, only destroy; RNL_ERR_STATE also for a loop of its own. */
RNL_API RNL_MUST_USE rnl_status rnl_live_listen(rnl_live *live, int64_t now_us, rnl_error *error);

#ifdef __cplusplus
}
#endif

#endif
