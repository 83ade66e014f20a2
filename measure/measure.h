/* What stacks of layers cost on this machine: memory, and times beside those of a reference.
 *
 *     config.json -> weights in memory (made.h) -+
 *     a model that is open -----------------------+-> sizes, and runs (runs.h) in rounds beside the
 *                                                     reference (rounds.h) -> report (report.h)
 *
 * For `runnel measure`, runnel-measure and `runnel search`: the first two are this and a command
 * line. learn.md 6.9. One thread at a time; a process measures one thing at a time. */
#ifndef MEASURE_MEASURE_H
#define MEASURE_MEASURE_H

#include "measure/made.h"
#include "measure/runs.h"

typedef struct measure_config {
    int thread_count;   /* [1, RNL_THREAD_CAP] */
    const char *cpu;    /* level of the kernels; NULL: the best that rounds no floats */
    bool exact;         /* as rnl_model_config.exact */
    quant_type type;    /* of weights that are made */
    int round_count;    /* [1, MEASURE_ROUND_CAP]; 0: nothing is timed, and there is no reference */
    int again_max;      /* [0, MEASURE_AGAIN]: measure_rounds */
    bool resident;      /* of what is timed and made: measure_resident, too; default true */
    bool (*stop)(void); /* asked between steps; NULL: nobody is */
} measure_config;
measure_config measure_config_default(void);

enum { MEASURE_NAME_CAP = 4096, MEASURE_TEXT_CAP = 256, MEASURE_REFERENCE_LAYERS = 8 };

typedef struct measure_result {
    char name[MEASURE_NAME_CAP]; /* the file */
    int64_t parameter_count;
    size_t weight_size; /* bytes */
    measure_sizes sizes;
    size_t resident; /* measure_resident; 0: not known, not asked, or nothing timed */
    measure_times times[MEASURE_METRIC_COUNT]; /* round_count 0: not timed */
} measure_result;

typedef struct measure_report {
    char cpu[MEASURE_TEXT_CAP]; /* of the machine; whoever prints it fills this in, and load */
    double load;                /* programs that wanted to run, mean of a minute; -1: not known */
    char level[32], type[16];
    int thread_count;
    bool exact, pinned;
    char reference[MEASURE_NAME_CAP];
    double reference_ms[MEASURE_METRIC_COUNT]; /* its median in all rounds; 0: not timed */
    measure_result *results;                   /* [count], owned */
    int count;
} measure_report;
/* What follows from the rounds of all results: ratios, reference_ms, ms. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status measure_report_settle(measure_report *r, rnl_error *error);
void measure_report_free(measure_report *r);

typedef struct measure measure;

/* RNL_ERR_ARGUMENT: the level is not here, or a field is out of range; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status measure_create(const measure_config *c, measure **out, rnl_error *error);
void measure_destroy(measure **m); /* NULL is fine; sets NULL */

/* Of a config.json (stack/stack_json.h, with its errors). */
RNL_MUST_USE rnl_status measure_shape_read(measure_shape *out, const char *path, rnl_error *error);

/* What is measured next, in this order: at most MEASURE_MODEL_CAP, RNL_ERR_ARGUMENT beyond. By its
 * config.json (stack/stack_json.h), by its shape, or the
 * backbone of a model that is open, which outlives it. The process should have one thread here. */
RNL_MUST_USE rnl_status measure_add_config(measure *m, const char *path, rnl_error *error);
RNL_MUST_USE rnl_status measure_add_shape(measure *m, const measure_shape *shape, const char *name,
                                          rnl_error *error);
RNL_MUST_USE rnl_status measure_add_backbone(measure *m, const backbone_weights *w,
                                             const char *name, int64_t parameter_count,
                                             size_t weight_size, rnl_error *error);
void measure_clear(measure *m); /* they leave; the reference stays */

/* The stack whose times all others are seen beside, by its config.json; NULL: blocks of LFM2-350M.
 * Without a call before measure_all the latter. Stays until another one is set. */
RNL_MUST_USE rnl_status measure_set_reference(measure *m, const char *path, rnl_error *error);

/* Measures all that was added, at least one. out is filled but for cpu and load, and to be freed
 * whatever came of it. RNL_ERR_STATE with "stopped" when stop said so; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status measure_all(measure *m, measure_report *out, rnl_error *error);

#endif
