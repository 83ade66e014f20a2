/* What `runnel bench` has measured, as rows of a table or lines of JSON. */
#ifndef APPS_BENCH_REPORT_H
#define APPS_BENCH_REPORT_H

#include "apps/bench.h"

struct bench_row {
    const char *work, *unit;
    const char *type, *level; /* NULL: the model's */
    const char *kind;         /* of a pass of a batch, or NULL */
    int tokens, depth;        /* tokens: of a batch, its rows */
};

/* Prints the row of b->count repetitions, or gives it to b->take, or both, and forgets them. */
void bench_report(bench *b, const bench_row *row);
/* Sorts the values. */
double bench_median(double *values, int count);
/* Leaves their order, by which a repetition's value and limits belong together. */
double bench_median_kept(const double *values, int count);
/* The type of the backbone's feed-forward matrices, for a file of mixed types. */
const char *bench_type(const rnl_model *m);
/* Bytes resident at the most so far, without the buffer of the limits, which is always there. */
int64_t bench_high_water(const bench *b);

#endif
