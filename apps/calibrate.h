/* What `runnel bench --calibrate` finds out and keeps: which of the choices that change no bit are
 * the fastest on this machine, and what passes of a batch take of a model. */
#ifndef APPS_CALIBRATE_H
#define APPS_CALIBRATE_H

#include "apps/bench_report.h"
#include "apps/options.h"
#include "apps/tuning.h"

typedef struct calibration {
    char path[TUNING_PATH_CAP]; /* of the file */
    tuning kept;                /* what is in it */
    tuning_passes passes;       /* being measured */
} calibration;

/* Measures the choices and keeps the best, beside the times that were kept before. EXIT_OK, or a
 * code after a complaint. */
int calibrate_choices(const options *o, calibration *c);
/* A row of `--work batch`, for bench.take; context: calibration *. */
void calibrate_take(void *context, const bench_row *row, double median);
/* Keeps the times that were taken, as those of this model with so many threads. */
int calibrate_keep_passes(calibration *c, const rnl_model *model, int thread_count);
/* Keeps in which stages of this model a device is faster than the CPU, by the bits of RNL_DEVICE_*.
 * EXIT_OK, or a code after a complaint. */
int calibrate_keep_device(calibration *c, const rnl_model *model, int thread_count,
                          const char *device, unsigned stages);
/* Says what is kept, and where. */
int calibrate_report(const options *o, const calibration *c);

#endif
