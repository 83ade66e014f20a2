/* Long recordings: sound of any length in, timed text out, in order, in bounded memory.
 *
 *     push -> cut at silences (VAD) -> pieces -> encode | decode -> text with times -> pull
 *
 * A transcript cuts what is pushed into pieces of speech, runs each as a conversation of its own
 * with the model's ASR prompt, and gives back their text. Pieces that are decoded share passes over
 * the weights (runnel_batch.h), also with those of other transcripts. The text, its tokens and its
 * times do not depend on how the sound was cut into pushes, on thread_count or on the others, bit
 * for bit.
 *
 *     while (...) {
 *         rnl_transcript_push(t, samples, count, &taken, &error);
 *         while ((st = rnl_transcript_pull(t, &piece)) == RNL_OK) use(&piece);
 *         if (taken < count) rnl_transcript_step(t, &error);
 *     }
 *     rnl_transcript_finish(t, &error);
 *     while ((st = rnl_transcript_pull(t, &piece)) != RNL_DONE)
 *         if (st == RNL_OK) use(&piece); else rnl_transcript_step(t, &error);
 *
 * Threads: one caller at a time for each transcript; transcripts of a batch may have one each, at
 * the same time, while nothing else uses the batch. They are created one by one. The caller works
 * in rnl_transcript_step only, where it makes a pass for all, unless another does. */
#ifndef RUNNEL_RUNNEL_TRANSCRIPT_H
#define RUNNEL_RUNNEL_TRANSCRIPT_H

#include <runnel/runnel_batch.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rnl_transcript rnl_transcript;

typedef struct rnl_transcript_config {
    int rate;         /* Hz of the samples pushed, [4000, 768000], default RNL_RATE_IN */
    int thread_count; /* [1, RNL_THREAD_CAP] that work at a pass, default as for sessions. With two
                       * and more, one of them makes passes while the caller pushes. In a batch: the
                       * batch's count */
    double piece_min; /* s of sound that a piece should reach before a pause of 300 ms ends it:
                       * [0, piece_max]; default: the model's (runnel.asr.piece_min), else 15 */
    double piece_max; /* s, longest piece: [1, 30]; default: the model's (runnel.asr.piece_max),
                       * else 25 */
    int piece_cap; /* pieces in hand at once, [1, 64], default 8: as many rows share the weights of
                       * a pass, and each has the memory of a session; with `whole` 1 */
    bool word_times; /* align text to sound: times of words, and of sentences within a piece;
                       * default true. Off, all words of a piece carry the piece's times */
    bool whole;      /* no cutting, no silence skipped, no second try: all that is pushed, at most
                       * 60 s, is one turn as the model answers it; default false */
    int step_max;    /* tokens of a piece, [1, 1 << 20]; 0 (default): what its length can have been
                       * spoken in, at most the model's own; with `whole` the model's own */
    const char *system;     /* system prompt, copied; NULL (default): the model's own for ASR */
    rnl_sampling text;      /* default: the model's own for RNL_MODE_TRANSCRIBE */
    uint64_t seed;          /* of the sampler, for every piece anew; default 0 */
    const char *adapter;    /* the model's set of that name writes; copied. NULL (default): none */
    float adapter_scale;    /* of its effect, [-1000, 1000], default 1 */
    size_t memory_size_max; /* bytes of session memory allowed, default SIZE_MAX */
} rnl_transcript_config;

RNL_API rnl_transcript_config rnl_transcript_config_default(const rnl_model *model);

/* Creates one; the model must outlive it. Everything is allocated here.
 * RNL_ERR_UNSUPPORTED: the model cannot transcribe; RNL_ERR_ARGUMENT names the field out of range;
 * RNL_ERR_BUDGET: the sessions need more than memory_size_max; RNL_ERR_MEMORY. */
RNL_API RNL_MUST_USE rnl_status rnl_transcript_create(rnl_model *model,
                                                      const rnl_transcript_config *config,
                                                      rnl_transcript **transcript,
                                                      rnl_error *error);
/* One that shares a batch, which is made for so many of them by rnl_transcript_batch_config and
 * outlives them. Of config, thread_count is the batch's. RNL_ERR_ARGUMENT, RNL_ERR_BUDGET also
 * where the batch is too small. */
RNL_API rnl_batch_config rnl_transcript_batch_config(const rnl_model *model,
                                                     const rnl_transcript_config *config,
                                                     int transcript_count);
RNL_API RNL_MUST_USE rnl_status rnl_transcript_create_in(rnl_batch *batch,
                                                         const rnl_transcript_config *config,
                                                         rnl_transcript **transcript,
                                                         rnl_error *error);
RNL_API void rnl_transcript_destroy(rnl_transcript **transcript); /* NULL is fine; sets NULL */
/* Bytes that the sessions and buffers take, as allocated by create. */
RNL_API size_t rnl_transcript_memory_size(const rnl_transcript *transcript);

/* Forgets everything pushed: ready for the next recording, at another rate if need be ([4000,
 * 768000] is asserted). Waits for pieces under way. */
RNL_API void rnl_transcript_reset(rnl_transcript *transcript, int rate);

/* Takes mono samples in [-1, 1]; *taken < count when all pieces in flight are occupied: pull and
 * step, then push the rest. RNL_ERR_DATA: NaN or infinite sample (nothing of this push is taken);
 * RNL_ERR_TOO_LONG: over 60 s with `whole`; RNL_ERR_STATE: after finish. */
RNL_API RNL_MUST_USE rnl_status rnl_transcript_push(rnl_transcript *transcript,
                                                    const float *samples, size_t count,
                                                    size_t *taken, rnl_error *error);
/* No more sound comes. A second finish does nothing. */
RNL_API void rnl_transcript_finish(rnl_transcript *transcript);

/* A bounded piece of work of the caller's thread: a pass over all pieces of the batch that are
 * being decoded, and a clip encoded; or waits until another thread has done so. RNL_OK: something
 * moved; RNL_AGAIN: nothing to do before more is pushed or pulled; RNL_DONE: after finish, all is
 * pulled. Negative: a session failed; only reset or destroy. */
RNL_API RNL_MUST_USE rnl_status rnl_transcript_step(rnl_transcript *transcript, rnl_error *error);

/* Times are seconds from the first sample pushed. */
typedef struct rnl_word {
    double begin, end;
    size_t text_at, text_size;    /* bytes in the piece's text, without spaces around it */
    size_t token_at, token_count; /* in the piece's tokens */
    float confidence;             /* mean log-probability of its tokens, <= 0 */
} rnl_word;

/* A sentence, or what stands before the end of the piece. */
typedef struct rnl_segment {
    double begin, end;
    size_t text_at, text_size;
    size_t token_at, token_count;
    size_t word_at, word_count;
    float confidence;
} rnl_segment;

typedef struct rnl_piece {
    int64_t index;     /* 0, 1, ...; pieces without speech are not counted */
    double begin, end; /* of the speech heard in it */
    double done;       /* s of sound up to here are settled: for progress */
    bool joined;       /* no pause stood before it: it overlaps the piece before by a second, and
                        * the words said twice were left out here */
    bool again;        /* the model fell into a loop, so it was decoded in smaller parts */
    /* RNL_FINISH_END, or why the text stops early; RNL_FINISH_STOPPED: a loop, or the model
     * began to speak instead of writing. */
    rnl_finish finish;
    float confidence; /* mean log-probability of all its tokens */
    float speech;     /* mean probability, [0, 1], that its sound is speech; 1 with `whole` */
    const char *text; /* UTF-8, terminated */
    size_t text_size;
    const int32_t *emitted; /* [emitted_count] all token ids as the model gave them, special ones
                             * and words left out of a joined piece included */
    size_t emitted_count;
    double encode_seconds;     /* from the first work on this piece until its sound was encoded, */
    double first_text_seconds; /* until its first token of text, */
    double total_seconds;      /* and until it was decoded; waiting in between included */
    const int32_t *tokens;     /* of the text; special ones left out */
    const float *token_confidences;
    size_t token_count;
    const rnl_word *words;
    size_t word_count;
    const rnl_segment *segments;
    size_t segment_count;
} rnl_piece;

/* The next piece, in order; what it points to is valid until the next call with this transcript.
 * Pieces whose text is empty are not given. RNL_OK; RNL_AGAIN: none is ready; RNL_DONE: after
 * finish, none is left. */
RNL_API RNL_MUST_USE rnl_status rnl_transcript_pull(rnl_transcript *transcript, rnl_piece *piece);

/* What the work so far took, for measuring. */
typedef struct rnl_transcript_stats {
    double sound;                       /* s pushed */
    double speech;                      /* s in pieces that were decoded */
    double encode, decode;              /* s of work; of passes that are shared, its share */
    int64_t piece_count, skipped_count; /* skipped: too little speech in it */
    int64_t again_count, joined_count;
} rnl_transcript_stats;
RNL_API void rnl_transcript_get_stats(const rnl_transcript *transcript,
                                      rnl_transcript_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
