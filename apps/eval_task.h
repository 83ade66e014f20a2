/* runnel eval --task: a benchmark, document by document. */
#ifndef APPS_EVAL_TASK_H
#define APPS_EVAL_TASK_H

#include "apps/options.h"

/* options.task, data, shots, shots_file, shots_seed, against. The exit code. */
int eval_task(const command *c, const options *o);

#endif
