/* The inside of rnl_transcript.
 *
 *     transcript.c        create, push, cut, pull: the caller's thread
 *     transcript_work.c   encode and decode: any thread; which of both comes next
 *     transcript_cut.c    where pieces begin and end
 *     transcript_text.c   tokens -> words and sentences; transcript_times.c their times
 *
 * Pieces live in a ring of slots, in order: [head, tail) are in use. The caller fills the slot at
 * tail and takes from the one at head; in between any thread moves a slot along
 * CLIP -> ENCODING -> ENCODED -> DECODING -> DONE. The lock guards states, counters and the
 * failure; what is in a slot belongs to whoever put it into its state. */
#ifndef ENGINE_TRANSCRIPT_H
#define ENGINE_TRANSCRIPT_H

#include <pthread.h>
#include <runnel/runnel_transcript.h>

#include "core/resample.h"
#include "core/utf8.h"
#include "engine/session.h"
#include "engine/transcript_cut.h"
#include "engine/transcript_text.h"
#include "vad/vad.h"

enum {
    TRANSCRIPT_STAGING = 4096,     /* resampled samples that wait for a slot */
    TRANSCRIPT_TAIL_CAP = 16,      /* words of a piece that the next may repeat */
    TRANSCRIPT_TOKENS_SECOND = 12, /* of a reply, at most; speech has about 4 */
    TRANSCRIPT_TOKENS_MORE = 24    /* and so many besides */
};

typedef enum slot_state {
    SLOT_FREE,
    SLOT_CLIP,
    SLOT_ENCODING,
    SLOT_ENCODED,
    SLOT_DECODING,
    SLOT_DONE
} slot_state;

typedef struct slot {
    slot_state state;
    rnl_session *session;
    bool prepared; /* the system prompt is in its snapshot 0 */
    cut_piece piece;
    float *clip; /* [clip_cap] */
    int64_t clip_count;
    double settled; /* s of the stream */

    utf8_decoder decoder;
    char *text; /* [text_cap + 1] */
    size_t text_size;
    int32_t *tokens;      /* [token_cap], as the next three */
    float *confidences;   /* log-probabilities */
    uint32_t *token_ends; /* where in the text each ends */
    uint32_t *token_seen; /* and how many ids were emitted until then */
    int32_t *emitted;     /* [emitted_cap] all ids, special ones included */
    size_t emitted_count;
    double begun, encoded, first_text, decoded; /* moments; first_text 0: none yet */
    size_t token_count;
    rnl_word *words; /* [word_cap] */
    size_t word_count;
    rnl_segment *segments; /* [word_cap] */
    size_t segment_count;
    rnl_finish finish;
    bool again;
    text_times times;
} slot;

struct rnl_transcript {
    rnl_model *model;
    rnl_transcript_config config;
    char *system; /* copy of config.system, or NULL */
    rnl_turn_config turn;
    unsigned char *memory;
    size_t memory_size;
    int64_t clip_cap;
    size_t text_cap, token_cap, emitted_cap, word_cap;

    /* The caller's. */
    resampler *resampler;
    vad_state vad;
    cutter cutter;
    float *staging; /* [TRANSCRIPT_STAGING] at 16 kHz; [staging_at, staging_count) wait */
    size_t staging_at, staging_count;
    float *block; /* [CUT_BLOCK] being filled */
    int block_count;
    bool finishing, resampled_all, cut_all; /* after finish: how far it is */
    int64_t pushed;                         /* samples, at config.rate */
    bool given;                             /* the slot at head is in the caller's hands */
    int64_t given_count;
    rnl_word tail[TRANSCRIPT_TAIL_CAP]; /* last words given, for joined pieces */
    char *tail_text;                    /* [text_cap + 1] */
    size_t tail_count;

    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t moved; /* a slot changed its state */
    bool lock_made, stopping;
    bool resetting; /* no work is begun */
    slot *slots;
    int slot_count;
    int64_t head, tail_index; /* pieces since reset */
    int encoding_count, decoding_count;
    double counted; /* when the times in stats were brought up to date */
    rnl_transcript_stats stats;
    rnl_status failure; /* RNL_OK: none */
    rnl_error failure_error;

    pthread_t *threads; /* [thread_count - 1] */
    int thread_count;   /* started */
};

/* Takes the next piece of work; false: there is none. Called with the lock held, which is given
 * up while working. */
bool transcript_work(rnl_transcript *t);
/* Body of a helper thread. */
void *transcript_help(void *context);
/* Brings the times in stats up to date; with the lock held. */
void transcript_count(rnl_transcript *t);

#endif
