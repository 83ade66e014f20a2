/* Multiple choice by likelihood: how likely each answer is behind a context, and which would be
 * chosen by what measure. learn.md 2.1. */
#ifndef APPS_CHOICE_H
#define APPS_CHOICE_H

#include "apps/scoring.h"
#include "apps/tasks.h"

/* What the likelihoods are divided by, or less. */
typedef enum choice_metric {
    CHOICE_ACC,         /* nothing */
    CHOICE_ACC_NORM,    /* characters of the answer */
    CHOICE_ACC_BYTES,   /* its bytes */
    CHOICE_MUTUAL_INFO, /* less its likelihood behind <|startoftext|> alone */
    CHOICE_METRIC_COUNT
} choice_metric;
extern const char *const choice_metric_names[CHOICE_METRIC_COUNT];

typedef struct choice_result {
    double lls[TASK_CHOICE_CAP];   /* [choice_count] ln p, as all below */
    double alone[TASK_CHOICE_CAP]; /* behind <|startoftext|> alone */
    bool greedy[TASK_CHOICE_CAP];  /* each token is the best one in its place */
    int predictions[CHOICE_METRIC_COUNT];
} choice_result;

/* The item behind its shots, with --chat as a conversation (asking.h), in which the answer stands
 * without the space before it. The scorer's row_cap bounds what is read: of a longer context the
 * end; a conversation that does not fit is refused. index (from 1) is put into complaints. EXIT_OK,
 * EXIT_STOPPED, or the code of one. */
int choice_score(scorer *s, const options *o, size_t index, const task_item *item,
                 const task_item *const *shots, int shot_count, choice_result *out);

#endif
