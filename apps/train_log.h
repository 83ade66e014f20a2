/* FOLDER/log.jsonl: a line for each step and each look at what is held out. It holds nothing that
 * differs from run to run, such as times. */
#ifndef APPS_TRAIN_LOG_H
#define APPS_TRAIN_LOG_H

#include <stdio.h>

#include "learn/trainer.h"

typedef struct train_log {
    FILE *file; /* NULL: not open */
    char path[4096];
} train_log;

/* Lines of steps behind `step` are taken off: they are done again. All of these: EXIT_OK, or the
 * code of a complaint. */
int train_log_open(train_log *l, const char *folder, int64_t step);
int train_log_step(train_log *l, const learn_trainer *t, const learn_report *r);
int train_log_held(train_log *l, const learn_trainer *t);
int train_log_flush(train_log *l);
int train_log_close(train_log *l);
void train_log_drop(train_log *l); /* closes; a zeroed one is fine */

#endif
