/* Training: epochs of rows -> steps. learn.md 4.
 *
 *     epoch (seed + number) -> rows, `batch` of them a step, one micro batch each
 *        -> gradients of all -> norm, clipping -> AdamW by the schedule
 *
 * What happens depends on the network's start, the data, the plan and nothing else: not on threads,
 * not on where a run was cut (learn/checkpoint.h). */
#ifndef LEARN_TRAINER_H
#define LEARN_TRAINER_H

#include "learn/dataset.h"
#include "learn/optimiser.h"

typedef struct learn_plan {
    learn_hyper hyper; /* steps 0: as many as the epochs have; warm-up -1: 3 % of them */
    int epochs;        /* >= 1; of no matter with steps */
    int length;        /* positions of a row: the network's row_cap */
    int batch;         /* rows of a step, >= 1; the last step of an epoch may have fewer */
    uint64_t seed;     /* of the orders */
} learn_plan;

enum { LEARN_SKIPPED_MAX = 5 };

typedef struct learn_trainer {
    learn_network *n;
    const learn_dataset *data;
    const learn_dataset *held; /* held out; NULL or empty: none */
    learn_plan plan;           /* with its steps */
    learn_gathered gathered;
    learn_epoch epoch;
    int epoch_index, row_at;        /* where the next step begins */
    int64_t step;                   /* steps done, skipped ones too: the schedule's clock */
    int64_t taken;                  /* steps that changed something: AdamW's clock */
    int64_t position_count;         /* learnt from so far */
    int skipped_count, skipped_run; /* gradients that were no numbers: in all, and lately */

    /* Held-out losses: the first, the last, the best and at which step; NAN: not yet. */
    double held_first, held_last, held_best;
    int64_t held_best_step;
    int held_worse_run; /* times in a row that it rose */
} learn_trainer;

typedef struct learn_report {
    double loss;                  /* mean of the labels, before the step */
    double text_loss, frame_loss; /* the same of each kind alone; NAN where there is none */
    double norm;                  /* of the gradients, before clipping */
    double rate;
    int label_count, position_count; /* of the step */
    bool skipped;
} learn_report;

/* All is borrowed. RNL_ERR_ARGUMENT: a number of the plan out of its range; RNL_ERR_DATA: no
 * samples; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status learn_trainer_create(learn_network *n, const learn_dataset *data,
                                             const learn_dataset *held, const learn_plan *plan,
                                             learn_trainer **out, rnl_error *error);
void learn_trainer_destroy(learn_trainer **t); /* NULL is fine; sets NULL */

/* One step. RNL_DONE: there are no more. RNL_ERR_DATA: no numbers, LEARN_SKIPPED_MAX times in a
 * row; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status learn_trainer_step(learn_trainer *t, learn_report *report,
                                           rnl_error *error);
/* The mean loss of what is held out, kept in the trainer. *is_best: none was lower. RNL_ERR_STATE:
 * nothing is held out; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status learn_trainer_evaluate(learn_trainer *t, bool *is_best, rnl_error *error);
/* The order of an epoch, and where in it the next step begins: for who resumes. */
RNL_MUST_USE rnl_status learn_trainer_seek(learn_trainer *t, int epoch, int row, rnl_error *error);

#endif
