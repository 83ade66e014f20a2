/* `runnel train`: what its options ask for, and the run. */
#ifndef APPS_TRAIN_H
#define APPS_TRAIN_H

#include "apps/options.h"
#include "learn/trainer.h"

/* What the options come to; defaults of learn.md 4.4. */
typedef struct train_setup {
    learn_config network; /* without row_cap's memory decided: keeps_all as --recompute says */
    learn_plan plan;
    learn_reading reading;
    int keep;    /* checkpoints that stay */
    double hold; /* share of the data that is held out; 0: none */
    bool rslora;
    kernels bf16; /* network.bf16 points here, or nowhere */
} train_setup;

/* EXIT_OK, or the code of a complaint. */
int train_setup_of(const options *o, const rnl_model *m, train_setup *out);
/* Writes FOLDER/start.gguf (its path to start), a model that knows nothing, unless a run that goes
 * on has. EXIT_OK, or the code of a complaint. */
int train_begin_from_scratch(const options *o, char *start, size_t cap);

#endif
