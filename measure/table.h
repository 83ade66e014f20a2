/* What the blocks of a stack cost one by one, and whether their sum foretells the stack: each
 * distinct block is measured as a stack of itself alone, as deep as the whole and with next to no
 * vocabulary, and the head as what one block with it takes more. learn.md 6.9. */
#ifndef MEASURE_TABLE_H
#define MEASURE_TABLE_H

#include "core/json.h"
#include "measure/measure.h"

enum { MEASURE_BLOCK_CAP = MEASURE_MODEL_CAP - 2 /* beside the whole and the head */ };

typedef struct measure_table {
    int layer_count;
    int block_of[STACK_LAYER_CAP];   /* [layer_count] which block a layer is */
    int layer_of[MEASURE_BLOCK_CAP]; /* [block_count] the first layer that is it */
    int block_count;
    double blocks[MEASURE_BLOCK_CAP][MEASURE_METRIC_COUNT]; /* ms of one */
    double head[MEASURE_METRIC_COUNT];                      /* ms */
    double predicted[MEASURE_METRIC_COUNT];                 /* ms of the whole stack */
} measure_table;

/* Adds the stack of a config.json and what its table wants to what is measured next, of which there
 * is nothing else. Layers that share weights count as blocks with their own. RNL_ERR_UNSUPPORTED:
 * more distinct blocks than MEASURE_BLOCK_CAP; the errors of measure_add_config. */
RNL_MUST_USE rnl_status measure_table_add(measure *m, const char *path, measure_table *t,
                                          rnl_error *error);
/* Fills the times from a report of these, and leaves only the stack itself in it. */
void measure_table_settle(measure_table *t, measure_report *r);
/* The whole is the measured stack. NULL: memory is exhausted, as in json.h. */
json_draft *measure_table_json(const measure_table *t, const measure_result *whole);

#endif
