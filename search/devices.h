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
    /* Measures what is not in the history yet: values [metrics of the plan]; *measured, NULL or an
     * object, is what else the log keeps. RNL_ERR_STATE: it was to end. */
    rnl_status (*measure)(void *context, const search_history *h, const search_candidate *c,
                          double *values, json_draft **measured, rnl_error *error);
    void *context;
} search_device;

const char *search_device_default(void);
const char *search_device_names(void); /* for sentences */
/* Sets device, metrics, objectives and limits. False: no device is called so. */
bool search_device_plan(search_plan *p, const char *name);

/* Measures nothing but what numbers of the genome say, exactly and at once: "made-up", for trying a
 * search out and for tests. */
extern const search_device search_made_up;

#endif
