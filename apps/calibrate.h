/* Which of the choices that change no bit are the fastest on this machine. */
#ifndef APPS_CALIBRATE_H
#define APPS_CALIBRATE_H

#include "apps/options.h"

/* Measures the choices on this machine and keeps the best: `runnel bench --calibrate`. Returns the
 * exit code. */
int calibrate(const options *o);

#endif
