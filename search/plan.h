/* Everything that defines a search: the file space.json. learn.md 6.1, 6.7, 6.10.
 *
 *     {"device": "here", "corpus": "docs.txt", "d": 1024, "heads": 16, ..., "seed": 1,
 *      "objectives": ["quality", "decode_4k", "memory"],
 *      "limits": {"recall": 0.5, "prefill_4k": {"times_first": 1.5}}}
 *
 * What a file leaves out has its default, but for the corpus of a device that is real; what it has
 * besides is refused by name. */
#ifndef SEARCH_PLAN_H
#define SEARCH_PLAN_H

#include <runnel/runnel.h>

#include "core/json.h"
#include "search/genome.h"
#include "search/pareto.h"

enum { SEARCH_TEXT_CAP = 1024 };
enum { SEARCH_METRIC_CAP = 12, SEARCH_EVALUATION_MAX = 10000, SEARCH_POPULATION_MAX = 256 };

/* Something that is measured of each candidate. */
typedef struct search_metric {
    const char *name; /* in files and reports */
    const char *unit; /* may be "" */
    bool rises;       /* a share, [0, 1], of which more is better; as an objective 1 less it */
} search_metric;

typedef struct search_metrics {
    const search_metric *row;
    int count;
} search_metrics;

/* Index of a metric by its name, or -1. */
int search_metric_find(const search_metrics *m, const char *name);

/* A hard limit: at most, or of a metric that rises at least. */
typedef struct search_limit {
    int metric;
    double bound;     /* > 0 */
    bool times_first; /* the bound is so many times the value of the first candidate */
} search_limit;

typedef struct search_plan {
    search_space space;
    char device[SEARCH_TEXT_CAP]; /* "here", "made-up", or a command that leads to a machine */
    bool is_real;                 /* stacks are taught and measured */
    bool is_remote;               /* by that command */
    const search_metrics *metrics;
    int objectives[SEARCH_OBJECTIVE_CAP]; /* [objective_count] metrics, all different */
    int objective_count;                  /* >= 1 */
    search_limit limits[SEARCH_METRIC_CAP];
    int limit_count;
    int population;  /* [2, SEARCH_POPULATION_MAX]; default 8 */
    int tournament;  /* drawn for one parent, [1, 16]; default 2 */
    int evaluations; /* most of them, [1, SEARCH_EVALUATION_MAX]; default 60 */
    int generations; /* most of them, [0, 10000]; default 1000 */
    double mutation; /* rate, [0, 1]; default 0.1 */
    uint64_t seed;   /* [0, INT64_MAX]; default 1 */

    /* Of real devices. */
    char corpus[SEARCH_TEXT_CAP];    /* the text that is learnt; "": none yet */
    char corpus_hash[20];            /* of its bytes */
    char reference[SEARCH_TEXT_CAP]; /* config.json that is timed beside; "": measure's own */
    int recall_steps, text_steps;    /* of the trainings, [1, 100000]; default 300, 171 */
    int rounds;                      /* of measuring, [1, 25]; default 5 */
    int again;                       /* most repeats of what was disturbed, [0, 10]; default 10 */
} search_plan;

/* Of a device with its own objectives and limits. RNL_ERR_ARGUMENT: no device is called so. */
RNL_MUST_USE rnl_status search_plan_default(search_plan *p, const char *device, rnl_error *error);
/* Whether numbers fit together: RNL_ERR_ARGUMENT with a sentence that begins with `name`. */
RNL_MUST_USE rnl_status search_plan_check(const search_plan *p, const char *name, rnl_error *error);
/* Text of a file, checked. name is put into sentences. RNL_ERR_FORMAT, RNL_ERR_ARGUMENT. */
RNL_MUST_USE rnl_status search_plan_parse(search_plan *p, const char *name, const char *text,
                                          size_t size, rnl_error *error);
/* The whole plan as text, with a line end; free() it. NULL: memory is exhausted. */
char *search_plan_text(const search_plan *p);

#endif
