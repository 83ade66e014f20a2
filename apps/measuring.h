/* What `runnel measure` and runnel-measure have in common: a command line, and what becomes of it.
 * */
#ifndef APPS_MEASURING_H
#define APPS_MEASURING_H

#include "apps/options.h"
#include "measure/measure.h"

extern const option_list options_measure;

/* Adds a model that is no config.json; EXIT_OK, or the code of a complaint. */
typedef int (*measuring_add)(void *context, measure *m, const char *name);

/* Measures the files of the arguments, at least one, here or on the device of the options, and
 * prints what was found. add NULL: there are no other models than config.json. */
int measuring_run(const options *o, measuring_add add, void *context);

#endif
