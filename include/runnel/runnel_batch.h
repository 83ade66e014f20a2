/* Many conversations on one model: one pass over the weights for all of them.
 *
 * Decoding reads all weights for every token; a batch reads them once for the tokens of all its
 * sessions. It owns threads and working memory, so that a session of a batch has only what lasts:
 * keys and values, history, open clip, queues. What a session says depends on no other session,
 * bit for bit: it is what a session of its own says (at the levels "amx" and "avx512_bf16", which
 * round what is prefilled, a session of a batch does not round, and "of its own" means a batch of
 * one).
 *
 *     for (;;) {
 *         for each session: item.session = s, item.stage = rnl_session_stage(s), as far as wanted
 *         rnl_batch_pass(batch, items, count);
 *         for each item: look at its status, pull text and samples
 *     }
 *
 * Threads: one caller at a time for the batch and all its sessions together. */
#ifndef RUNNEL_RUNNEL_BATCH_H
#define RUNNEL_RUNNEL_BATCH_H

#include <runnel/runnel.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rnl_batch rnl_batch;

typedef struct rnl_batch_config {
    int row_cap;             /* positions of one pass, of all sessions: [1, 1024], default 128 */
    int decision_cap;        /* decisions of one pass: [1, 256], default 16. Each takes memory for
                              * the logits of the vocabulary and for a frame */
    int thread_count;        /* [1, RNL_THREAD_CAP], the caller included; default as for sessions */
    int context_cap;         /* positions of the longest session: [64, 1048576], default 4096 */
    double clip_seconds_max; /* s, longest clip of a session: [0.1, 600], default 60. One clip is
                              * encoded at a time: this memory exists once */
    size_t memory_size_max;  /* bytes of working memory allowed, default SIZE_MAX (no limit) */
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
 * thread_count and step_positions are the batch's. RNL_ERR_ARGUMENT also when context_cap or
 * clip_seconds_max are over the batch's. Nothing is allocated by it or the batch afterwards.
 * rnl_session_step is a pass over this session alone. */
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
    rnl_stage stage;      /* as rnl_session_stage says it: a block of its clip's encoder, a prefill,
                           * or a decision of its reply */
    int position_count;   /* of a prefill at most, >= 1; a prefill that ends what waits makes the
                           * first decision of a begun reply, too. Others do not look at it */
    rnl_status status;    /* out: as rnl_session_step, for this session. RNL_AGAIN also where the
                           * pass has no room left, or the encoder has another clip: nothing was
                           * done, try the next pass */
    rnl_error error;      /* out: the sentence of a negative status */
} rnl_batch_item;

/* One bounded piece of work for each item, in their order while there is room. A session that fails
 * fails alone. An item that cannot be (a session twice, of another batch, another stage, a
 * position_count below 1) has RNL_ERR_ARGUMENT or RNL_ERR_STATE and changes nothing. No
 * allocation. */
RNL_API void rnl_batch_pass(rnl_batch *batch, rnl_batch_item *items, size_t count);

#ifdef __cplusplus
}
#endif

#endif
