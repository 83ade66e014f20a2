/* A backbone at work, as a text session has it: what it takes, and one run of a metric. */
#ifndef MEASURE_RUNS_H
#define MEASURE_RUNS_H

#include "backbone/backbone.h"
#include "measure/rounds.h"

enum {
    MEASURE_POSITIONS = 4096, /* what sizes are told for */
    MEASURE_PIECE = 128       /* positions of a step of prefilling, a session's default */
};

typedef struct measure_sizes {
    size_t cache;      /* bytes of a conversation at 4,096 positions: keys, values, tails, states */
    size_t activation; /* bytes that computing needs besides, dead between steps */
} measure_sizes;

typedef struct measure_runs {
    const backbone_weights *w; /* borrowed */
    void *memory;
    compute compute;
    stack_work work;
    stack_state state;
    float *x;      /* [MEASURE_PIECE, width] */
    float *logits; /* [vocab] */
} measure_runs;

/* k, thread_count, exact: how it is computed; the bits of activation depend on thread_count and
 * exact. RNL_ERR_STATE: the layout of the cache and its arithmetic differ, which is our bug. */
RNL_MUST_USE rnl_status measure_sizes_of(const backbone_weights *w, const kernels *k,
                                         int thread_count, bool exact, measure_sizes *out,
                                         rnl_error *error);
/* k outlives it. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status measure_runs_create(measure_runs *r, const backbone_weights *w,
                                            const kernels *k, int thread_count, bool exact,
                                            rnl_error *error);
void measure_runs_destroy(measure_runs *r); /* also of one that is all zero */
/* p has thread_count threads. stop, or NULL, is asked between steps; false: it wanted to end. */
bool measure_run(measure_runs *r, pool *p, measure_metric m, bool (*stop)(void),
                 measure_sample *out);

/* Bytes that become resident while a process of its own makes the runs and uses all of their
 * memory, less those of the cache: beside the arena's activation bytes a check that nothing else is
 * taken, a thread's stack and the like apart. To be called while this process has one thread.
 * False: it cannot be told. */
bool measure_resident(const backbone_weights *w, const kernels *k, int thread_count, bool exact,
                      size_t *bytes);

#endif
