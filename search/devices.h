/* What candidates are measured by. A device says what it measures, and which objectives and limits
 * a search has when nobody says others. */
#ifndef SEARCH_DEVICES_H
#define SEARCH_DEVICES_H

#include "search/plan.h"

/* One that is evaluated. */
typedef struct search_candidate {
    search_genome genome; /* canonical */
    char key[SEARCH_KEY_CAP];
    double factor; /* of the widths of feed-forward parts */
    int64_t params;
} search_candidate;

typedef struct search_history search_history; /* evolve.h */

typedef struct search_device {
    /* Measures c[0], which is not in the history yet: values [metrics of the plan]; *measured, NULL
     * or an object, is what else the log keeps. c [coming]: what it will be asked for next unless
     * the search ends, in this order. RNL_ERR_STATE: it was to end. */
    rnl_status (*measure)(void *context, const search_history *h, const search_candidate *c,
                          int coming, double *values, json_draft **measured, rnl_error *error);
    void *context;
} search_device;

const char *search_device_default(void);
const char *search_device_names(void); /* for sentences */
/* Sets device, metrics, objectives and limits. A name with {cmd} in it is a command that leads to a
 * machine (measure/device.h), where things are measured as here. False: no device is called so. */
bool search_device_plan(search_plan *p, const char *name);

/* What is measured of a candidate where stacks are taught and timed (search/real.h). */
typedef enum search_real_metric {
    SEARCH_REAL_QUALITY, /* bits of a byte + 1 - recall */
    SEARCH_REAL_LOSS,
    SEARCH_REAL_RECALL,
    SEARCH_REAL_PREFILL_1K, /* in the order of search_time, as the next three */
    SEARCH_REAL_PREFILL_4K,
    SEARCH_REAL_DECODE_1K,
    SEARCH_REAL_DECODE_4K,
    SEARCH_REAL_MEMORY, /* cache and activation, bytes at 4,096 positions */
    SEARCH_REAL_CACHE,
    SEARCH_REAL_ACTIVATION
} search_real_metric;

/* Measures nothing but what numbers of the genome say, exactly and at once: "made-up", for trying a
 * search out and for tests. */
extern const search_device search_made_up;

#endif
