/* One pass over the weights for any number of conversations: threads, scratch, and the way from
 * what waits in their histories to what they decide.
 *
 *     items {session, what it wants} -> rows of all -> backbone, once
 *        -> text: head over the rows that decide a token -> each session's sampler
 *        -> sound: depthformer over the rows that decide a frame -> codec over their frames
 *
 * A session owns what lasts; a pass what is dead between passes, so that conversations can share
 * it. A session of its own is the case of one item. No bit of a session depends on the others. */
#ifndef ENGINE_PASS_H
#define ENGINE_PASS_H

#include <runnel/runnel_batch.h>

#include "engine/model.h"

typedef struct pass_config {
    int thread_count;
    int row_cap;      /* most positions of a pass */
    int decision_cap; /* most decisions of a pass, of tokens and of frames */
    int context_cap;  /* of the longest of its sessions */
    double clip_seconds_max;
    int image_views_max; /* 0: no pictures */
    bool rounds; /* what is prefilled may be rounded to BF16 (compute.bf16): for a session of its
                  * own. Clips are encoded one by one and may always be */
    bool looks;  /* room for looks at clips (engine/live_look.c), */
    const turn_network *turn; /* by this one; not looked at while measuring */
} pass_config;

/* What becomes of an item's session in a pass. */
typedef struct pass_entry {
    rnl_batch_item *item;
    const float *hidden; /* of its last row */
    int count;           /* rows */
    const float *logits; /* of the token that it decides; else NULL */
    bool decides, frame;
    bool stop; /* the token ended the reply */
} pass_entry;

typedef struct pass {
    const rnl_model *model;
    pass_config config;
    void *memory;
    bool elsewhere;        /* a device was shown it: it stays while that hangs */
    rnl_session *sessions; /* that share it: a list */
    int session_count;
    int session_cap;
    pool *pool;
    compute compute;

    encoder_state encoder; /* with an encoder: of one clip at a time */
    adapter_state adapter;
    resize_state resize; /* with a tower, and image_views_max above 0, as the next two */
    tower_state tower;   /* of one view at a time */
    projector_state projector;
    const rnl_session *encoding; /* whose clip or view it is, or NULL */
    float *resampled;            /* [PASS_BLOCK] */

    turn_look look;      /* with config.looks: one at a time */
    const void *looking; /* who takes it, or NULL */

    stack_work backbone;
    depth_work depth;             /* with a depthformer */
    codec_work codec;             /* with a codec */
    unsigned char *codec_scratch; /* [codec_scratch_size] of codec states that want some */
    size_t codec_scratch_size;

    int entry_count;           /* of the pass under way; 0: none is */
    bool bf16;                 /* it rounds (compute.bf16) */
    pass_entry *entries;       /* [row_cap] */
    linear_span *spans;        /* [row_cap] what is added to whose rows; NULL without adapters */
    int span_count;            /* of the rows that go through the weights now */
    stack_piece *pieces;       /* [row_cap] */
    depth_row *depth_rows;     /* [decision_cap] */
    codec_frame *frames;       /* [decision_cap] */
    pass_entry **frame_owners; /* [decision_cap] */
    float *x;                  /* [row_cap, width] */
    float *hidden;             /* [decision_cap, width] rows that decide, side by side */
    float *logits;             /* [decision_cap, vocab] */
    int decider_count;         /* threads that decide tokens beside each other */
    float *draw;               /* [decider_count, 3 * vocab] logits that were changed; of the
                                * sampler */
    unsigned char *seen;       /* [decider_count, seen_size] ids of a conversation */
    size_t seen_size;          /* (vocab + 7) / 8 */
    float *row;                /* [width] */
    bpe_scratch bpe;
    int32_t *ids; /* [context_cap] tokens of a piece before it is accepted */
} pass;

enum {
    PASS_BLOCK = 4096,    /* samples resampled at a time */
    PASS_TEXT_CAP = 4096, /* bytes of text that the scratch of the tokenizer takes at a time */
    PASS_ROW_CAP = 1024,
    PASS_DECISION_CAP = 256
};

/* What it takes, added to the fields of the plan and to its total; the caller checks the config.
 * RNL_ERR_BUDGET: more than can be addressed. */
RNL_MUST_USE rnl_status pass_plan(const rnl_model *m, const pass_config *config,
                                  rnl_memory_plan *plan, rnl_error *error);
/* RNL_ERR_MEMORY. The model outlives it. */
RNL_MUST_USE rnl_status pass_create(const rnl_model *m, const pass_config *config, pass **out,
                                    rnl_error *error);
void pass_destroy(pass **p); /* NULL is fine; sets NULL */

/* pass_run.c: one bounded piece of work for each item (runnel_batch.h). */
void pass_run(pass *p, rnl_batch_item *items, size_t count);
/* The same in parts: begin, then step until RNL_DONE (RNL_OK: more remains): a layer of the
 * backbone, or all decisions. Until then the items stay where they are, and nothing else is done
 * with their sessions or the pass (a look may be taken). */
void pass_begin(pass *p, rnl_batch_item *items, size_t count);
rnl_status pass_step(pass *p);

/* Rows of one state through the backbone, where such passes are computed; for who works without
 * items. decides: they are decisions. x [count, width] in place. */
void pass_forward(pass *p, const compute *c, stack_state *state, int count, bool decides, float *x);

#endif
