/* What `runnel measure` and runnel-measure have in common: a command line, and what becomes of it.
 * */
#ifndef APPS_MEASURING_H
#define APPS_MEASURING_H

#include "apps/options.h"
#include "measure/device.h"

extern const option_list options_measure, options_remote;

enum { MEASURING_PATH_CAP = 4096 };

/* Adds a model that is no config.json; EXIT_OK, or the code of a complaint. */
typedef int (*measuring_add)(void *context, measure *m, const char *name);

/* Measures the files of the arguments, at least one, here or on the device of the options, and
 * prints what was found. add NULL: there are no other models than config.json. */
int measuring_run(const options *o, measuring_add add, void *context);

/* The device that this command leads to, as the options of options_remote say, with runnel-measure
 * on it; program: room for a name that *out points to. EXIT_OK, or the code of a complaint. */
int measuring_device(const options *o, const char *way, char program[MEASURING_PATH_CAP],
                     measure_device *out);

#endif
