/* Times on a machine that others use, too: each run of a model stands between two of a reference,
 * and only their ratio counts.
 *
 *     one metric, one round    R  A  R  B  R  C  R       a run of the reference serves both sides
 *     of A                     ratio = A / mean of both; of all rounds the median
 *     in the end               time = ratio * median of all runs of the reference
 *
 * A ratio whose two references differ by more than a twentieth is taken again, ten times at the
 * most, and then flagged. learn.md 6.9. Pure but for the callback; one thread. */
#ifndef MEASURE_ROUNDS_H
#define MEASURE_ROUNDS_H

#include <stdbool.h>

/* The cost of a pass over many positions goes by the square of their number where there is
 * attention: it is done in two rounds of five. */
typedef enum measure_metric {
    MEASURE_PREFILL_1K, /* positions behind each other, and the logits of the last */
    MEASURE_PREFILL_4K,
    MEASURE_DECODE_1K, /* a position with its logits, behind so many */
    MEASURE_DECODE_4K,
    MEASURE_METRIC_COUNT
} measure_metric;
extern const char *const measure_metric_names[MEASURE_METRIC_COUNT]; /* "prefill_1k", ... */
/* Positions that are prefilled, or stand before the one that is decoded. */
int measure_metric_positions(measure_metric m);
bool measure_metric_is_prefill(measure_metric m);

enum {
    MEASURE_MODEL_CAP = 64,
    MEASURE_ROUND_CAP = 25,
    MEASURE_ROUNDS = 5,     /* by default */
    MEASURE_AGAIN = 10,     /* times that a ratio is taken again, by default */
    MEASURE_REFERENCE = -1, /* in place of a model's number */
    MEASURE_STEPS = 32      /* decoded in a run */
};

/* ms: of all positions of a prefill; of a step, the median of the run. p95: of its steps; of a
 * prefill the same as ms. */
typedef struct measure_sample {
    double ms, p95;
} measure_sample;

typedef struct measure_round {
    measure_sample own;
    double before, after; /* ms of the reference */
} measure_round;

typedef struct measure_times {
    int round_count;
    measure_round rounds[MEASURE_ROUND_CAP];
    int again_count;                    /* runs that did not count, of all rounds */
    int flagged_count;                  /* rounds whose two references differ by over a twentieth */
    double ratio, ratio_min, ratio_max; /* to the reference; the median, and its range */
    double ratio_p95;                   /* of the run's 95th per cent to the reference's ms */
    double ms, p95;                     /* measure_settle sets these, as the reference goes */
} measure_times;

typedef struct measure_runner {
    /* Runs a model, or MEASURE_REFERENCE, once. False: to end. */
    bool (*run)(void *context, int model, measure_metric m, measure_sample *out);
    void *context;
} measure_runner;

/* How many of so many rounds have that metric. */
int measure_rounds_of(measure_metric m, int round_count);
/* times [model_count, MEASURE_METRIC_COUNT] row by row, filled but for ms and p95.
 * model_count in [1, MEASURE_MODEL_CAP], round_count in [1, MEASURE_ROUND_CAP], again_max in [0,
 * MEASURE_AGAIN]: times that a ratio is taken again. False: the runner wanted to end. */
bool measure_rounds(const measure_runner *r, int model_count, int round_count, int again_max,
                    measure_times *times);
/* What follows from the rounds: flagged_count and the ratios; nothing without a round. */
void measure_ratios(measure_times *t);
/* ms of the reference in these rounds, before and behind each: appended to values, which has room
 * for twice t->round_count; returns how many. */
int measure_reference_of(const measure_times *t, double *values);
/* Sets ms and p95 for a reference that takes so long. */
void measure_settle(measure_times *t, double reference_ms);
/* Of values that it sorts; count >= 1. */
double measure_median(double *values, int count);

#endif
