/* The search: populations that change and compete (NSGA-II), and drawing at random as the control.
 * learn.md 6.7.
 *
 *     plan, seed ─► genomes ─► repaired ─► known? else the log, else the device ─► history
 *                     ▲                                                             │
 *                     └── tournaments, crossing, mutation ◄── fronts, crowding ◄────┘
 *
 * What is measured of a key is measured once. All else follows from the plan and from what was
 * measured, so that a search goes on where its log ends as if it had not been stopped. */
#ifndef SEARCH_EVOLVE_H
#define SEARCH_EVOLVE_H

#include "core/hash_table.h"
#include "search/devices.h"
#include "search/log.h"

typedef struct search_evaluation {
    search_candidate candidate;
    int generation;
    double values[SEARCH_METRIC_CAP];
    double volume; /* hypervolume of all up to this one */
    json *line;    /* as it was recorded; NULL: measured just now */
} search_evaluation;

/* All that was measured. */
struct search_history {
    const search_plan *plan;
    search_evaluation *all; /* [count] */
    int count, cap;
    hash_table keys;
    int *front; /* [front_count] those that keep all limits and are not dominated, rising */
    int front_count;
    int generation_count; /* whole ones */
};

void search_history_begin(search_history *h, const search_plan *plan);
void search_history_free(search_history *h); /* leaves an empty one */
/* Its objectives, as they are minimised, and how far it misses limits. */
search_point search_history_point(const search_history *h, int index);
/* Whether it is one of the front. */
bool search_history_is_on_front(const search_history *h, int index);
/* Whether what has these values would be on the front. */
bool search_history_would_join(const search_history *h, const double *values);
/* What volumes are measured to: twice the first candidate's objectives (1 where that is 0). */
void search_history_reference(const search_history *h, double reference[SEARCH_OBJECTIVE_CAP]);

typedef struct search_run {
    const search_plan *plan;
    const search_device *device;
    search_log *log;         /* NULL: nothing is recorded */
    const char *const *keys; /* [key_count] of search_given */
    int key_count;
    /* Asked before each measuring; false: the search ends there. NULL: not asked. */
    bool (*goes_on)(void *context, const search_history *h);
    /* Told of each evaluation and of each generation's end; or NULL. */
    void (*evaluated)(void *context, const search_history *h);
    void *context;
} search_run;

/* Until there are as many evaluations or generations as the plan says. h: begun and empty.
 * RNL_ERR_STATE: it was to end before; what the log, the device say; RNL_ERR_MEMORY. What was
 * measured until then stands in h. */
RNL_MUST_USE rnl_status search_evolve(const search_run *run, search_history *h, rnl_error *error);
/* The control: genomes drawn at random, as many evaluations. Its first candidate is the same, so
 * that volumes compare. */
RNL_MUST_USE rnl_status search_at_random(const search_run *run, search_history *h,
                                         rnl_error *error);
/* No search: those that the log has, and behind them those of the keys that it lacks. Draws
 * nothing. RNL_ERR_ARGUMENT: a key is none of this plan. */
RNL_MUST_USE rnl_status search_given(const search_run *run, search_history *h, rnl_error *error);

#endif
