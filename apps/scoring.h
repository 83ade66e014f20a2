/* Ids through a backbone from a fresh state, and how likely each was by the row before it: what
 * `perplexity` and the tasks of `eval` measure with. docs/MODEL.md, part learn.md 1.
 *
 *     ids [count] -> hidden [count, width] -> logits, 32 rows at a time, of the rows asked for
 *
 * Computed as decisions are, never rounded as a prefill may be: no bit depends on how the ids are
 * cut. Nothing is masked out of the vocabulary. One thread at a time per scorer. */
#ifndef APPS_SCORING_H
#define APPS_SCORING_H

#include "apps/options.h"
#include "backbone/backbone.h"

typedef struct scorer {
    rnl_model *model; /* borrowed */
    rnl_session *session;
    int row_cap; /* most ids of a run */
    int vocab_count;
    int32_t begin_id;    /* <|startoftext|>; -1: the model has no vocabulary */
    int run_count;       /* ids of the last run */
    int mark_count;      /* ids of it that scorer_mark found, */
    unsigned char *mark; /* and what the backbone kept of them */
    float *hidden;       /* [row_cap, width] */
    float *logits;       /* [32, vocab_count] of the rows from block_begin on */
    int block_begin, block_end;
} scorer;

/* With threads, memory and KV cache of the options. EXIT_OK, or the code of a complaint; close it
 * in any case. The model outlives it. */
int scorer_open(scorer *s, const options *o, rnl_model *model, int row_cap);
void scorer_close(scorer *s); /* a zeroed one is fine */

/* Runs ids [count], each in [0, vocab_count) (scoring_check), count in [1, row_cap], from a fresh
 * state. EXIT_OK, or EXIT_STOPPED after Ctrl-C. */
int scorer_run(scorer *s, const int32_t *ids, int count);
/* Runs count >= 1 more ids behind those of the last run; together row_cap at most. */
int scorer_go_on(scorer *s, const int32_t *ids, int count);
/* scorer_rewind comes back to here: what was run since is forgotten. Until the next scorer_run. */
void scorer_mark(scorer *s);
void scorer_rewind(scorer *s);
/* Logits [vocab_count] of row `row` of the last run, valid until the next call. Asking in rising
 * order reads the head once for 32 rows. */
const float *scorer_logits(scorer *s, int row);

/* EXIT_OK where all ids are of the model, else the code of a complaint that names `name`. */
int scoring_check(const scorer *s, const char *name, const int32_t *ids, size_t count);

/* m + ln of the sum of e^(x - m), m the maximum of x [count], summed in double; not finite where a
 * logit is not. */
double scoring_normaliser(const float *logits, int count); /* Of equal ones the lowest. */
int32_t scoring_best(const float *logits, int count);

#endif
