/* Measuring in a process of its own: the memory of what was measured is the system's again when it
 * ends, the threads of whoever measures are not there, and what goes wrong ends nothing else. */
#ifndef MEASURE_APART_H
#define MEASURE_APART_H

#include "measure/measure.h"

/* As measure_all of these files [path_count], each a config.json, beside one of c->round_count > 0:
 * by its path, or NULL for the usual one. To be called while this process has one thread. c->stop
 * is asked there and here; the other process ends with this one.
 * Errors as measure_all and measure_add_config have them, and RNL_ERR_IO: the process could not be
 * started, or ended before its time. *out is to be freed whatever came of it. */
RNL_MUST_USE rnl_status measure_apart(const measure_config *c, const char *reference,
                                      const char *const *paths, int path_count, measure_report *out,
                                      rnl_error *error);

#endif
