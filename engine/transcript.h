/* The inside of rnl_transcript.
 *
 *     transcript.c        create, push, cut, pull: the caller's thread
 *     transcript_config.c its settings and their ranges
 *     transcript_crew.c   whose turn it is, passes over pieces of all transcripts of the batch
 *     transcript_work.c   a piece, from its clip to its words
 *     transcript_cut.c    where pieces begin and end
 *     transcript_text.c   tokens -> words and sentences; transcript_times.c their times
 *
 * Pieces live in a ring of slots, in order: [head, tail) are in use. The caller fills the slot at
 * tail and takes from the one at head; in between whoever leads their lane moves slots along
 * CLIP -> ENCODING -> ENCODED -> DECODING -> DONE. The batch's lock guards states, counters and the
 * failure; what is in a slot belongs to whoever put it into its state. */
#ifndef ENGINE_TRANSCRIPT_H
#define ENGINE_TRANSCRIPT_H

#include <runnel/runnel_transcript.h>

#include "core/resample.h"
#include "core/utf8.h"
#include "engine/batch.h"
#include "engine/transcript_cut.h"
#include "engine/transcript_text.h"
#include "vad/vad.h"

enum {
    TRANSCRIPT_STAGING = 4096,     /* resampled samples that wait for a slot */
    TRANSCRIPT_TAIL_CAP = 16,      /* words of a piece that the next may repeat */
    TRANSCRIPT_TOKENS_SECOND = 12, /* of a reply, at most; speech has about 4 */
    TRANSCRIPT_TOKENS_MORE = 24,   /* and so many besides */
    TRANSCRIPT_ROW_CAP = 256,      /* positions of a pass */
    TRANSCRIPT_DEPTH_CAP = 2       /* how often a piece is halved */
};

typedef enum slot_state {
    SLOT_FREE,
    SLOT_CLIP,
    SLOT_ENCODING,
    SLOT_ENCODED,
    SLOT_DECODING,
    SLOT_DONE
} slot_state;

/* What an ENCODING or DECODING slot does; of whoever leads. */
typedef enum slot_phase {
    PHASE_NEW,
    PHASE_PROMPT, /* the system prompt, once for each session */
    PHASE_ENCODE,
    PHASE_WAIT, /* encoded */
    PHASE_REPLY,
    PHASE_ENDED
} slot_phase;

/* A part of the clip that is written down by itself. */
typedef struct slot_part {
    int64_t begin, end;
    int depth;
} slot_part;

typedef struct slot_said {
    size_t token_count, text_size, emitted_count;
} slot_said;

typedef struct slot {
    slot_state state;
    slot_phase phase;
    rnl_transcript *owner;
    rnl_batch *lane; /* whose passes the session takes part in */
    rnl_session *session;
    slot_part parts[TRANSCRIPT_DEPTH_CAP + 2]; /* to be done; the last one first */
    int part_count;
    slot_said before;                      /* the part under way was begun */
    size_t seen;                           /* tokens of its reply that were taken over */
    double encode_seconds, decode_seconds; /* of the latest turn */
    rnl_error error;                       /* of it; status RNL_OK: none */
    bool prepared;                         /* the system prompt is in its snapshot 0 */
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
    rnl_batch *batch; /* its own, or that of several */
    bool owns_batch;
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

    /* Under the lock of the batch. */
    rnl_transcript *next; /* of the batch */
    bool listed, stopping;
    slot *slots;
    int slot_count;
    int64_t head, tail_index; /* pieces since reset */
    rnl_transcript_stats stats;
    rnl_status failure; /* RNL_OK: none */
    rnl_error failure_error;

    pthread_t helpers[RNL_THREAD_CAP];
    int helper_count; /* that run */
};

/* transcript_config.c */
RNL_MUST_USE rnl_status transcript_check_config(const rnl_model *m, const rnl_transcript_config *c,
                                                rnl_error *error);

/* transcript_crew.c */
/* From here to crew_go_on nobody works, and the lock is held. */
void crew_pause(rnl_batch *b);
void crew_go_on(rnl_batch *b);
/* Leads one pass over what the batch's transcripts have on a lane that nobody leads; false: there
 * is none that has something. Called with the lock held, which is given up while working. */
bool transcript_work(rnl_batch *b);
/* Body of a thread that leads whenever nobody does. */
void *transcript_help(void *context);

/* transcript_work.c */
/* The clip of a slot begins its way. */
RNL_MUST_USE rnl_status transcript_begin(slot *s, rnl_error *error);
/* What is encoded is to be written down. */
RNL_MUST_USE rnl_status transcript_begin_reply(slot *s, rnl_error *error);
/* A pass, which gave `stepped`, has brought the session on. */
RNL_MUST_USE rnl_status transcript_go_on(slot *s, rnl_status stepped, rnl_error *error);

#endif
