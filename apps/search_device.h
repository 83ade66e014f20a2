/* The device of `runnel search`: the one that is made up, or a machine on which targets are
 * measured (measure/); proxies are taught here. */
#ifndef APPS_SEARCH_DEVICE_H
#define APPS_SEARCH_DEVICE_H

#include "apps/measuring.h"
#include "search/real.h"

typedef struct searching_device {
    search_device device;
    search_real real;
    const search_plan *plan;
    measure_config config;
    measure_device remote; /* of a plan that is remote */
    char program[MEASURING_PATH_CAP];
    char *corpus;
    char folder[4096]; /* of files that stand a moment */
} searching_device;

/* In the folder of the search, of the plan that is there and outlives it. Stays where it is: the
 * device points into it. EXIT_OK, or the code of a complaint; close it in any case. */
int searching_device_open(const options *o, const search_plan *p, searching_device *out);
void searching_device_close(searching_device *d);

#endif
