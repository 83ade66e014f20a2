/* The conventions of perplexity: which places of a text are scored, and behind how much of it.
 * docs/MODEL.md, part learn.md 1. */
#ifndef APPS_PERPLEXITY_H
#define APPS_PERPLEXITY_H

#include <stdio.h>

#include "apps/divergence.h"
#include "apps/documents.h"
#include "apps/logits_file.h"
#include "apps/scoring.h"

typedef struct perplexity {
    scorer *model;
    int window;           /* ids of a run */
    moments nll;          /* -ln p of each place that is scored */
    int64_t byte_count;   /* of the text that they stand for; 0: not known */
    double window_sum;    /* strided: means of the windows, weighted, */
    int64_t window_count; /* and the sum of the weights */
    int64_t run_count;    /* chunks or windows so far */

    /* Chunks only; each may be there or not. */
    divergence *kl;        /* with one of the next two */
    scorer *base_model;    /* runs the same ids, */
    logits_file *base;     /* or was run before */
    float *base_row;       /* [vocab_count] with base */
    FILE *save;            /* rows of logits (logits_file.h) */
    unsigned char *packed; /* [logits_row_size] with save */
    const char *save_path;

    /* After each run: of how many. */
    void (*tell)(void *context, const struct perplexity *p, int64_t run_total);
    void *tell_context;
} perplexity;

/* e^mean, and how far it may be off by. */
double perplexity_of(const moments *nll);
double perplexity_error(const moments *nll);

/* Each adds to p what it scores. EXIT_OK, EXIT_STOPPED, or the code of a complaint. */

/* ids cut into `count` runs of window; of each the first id is replaced by `first`, and the second
 * half is scored. */
int perplexity_chunks(perplexity *p, const int32_t *ids, int count, int32_t first);
/* Windows that begin every `stride` ids, 1 to window; each scores what none before has scored. */
int perplexity_strided(perplexity *p, const document *d, int stride);
/* Every id behind the first is scored, each by a window that ends with it or behind it.
 * score_begin: the first too, behind another one of it. */
int perplexity_rolling(perplexity *p, const document *d, bool score_begin);

#endif
