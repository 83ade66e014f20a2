/* A report as a line of JSON, written and read: what comes back from another machine is the same as
 * what was measured here. */
#ifndef MEASURE_REPORT_H
#define MEASURE_REPORT_H

#include "core/json.h"
#include "measure/measure.h"

/* NULL stands for memory that was exhausted, as in json.h. */
json_draft *measure_report_json(const measure_report *r);
/* One result of it, as it stands in the list. */
json_draft *measure_result_json(const measure_result *r);

/* What follows from rounds is not read but found again. name: for sentences. RNL_ERR_FORMAT,
 * RNL_ERR_MEMORY. *out is to be freed whatever came of it. */
RNL_MUST_USE rnl_status measure_report_read(const char *text, size_t size, const char *name,
                                            measure_report *out, rnl_error *error);

#endif
