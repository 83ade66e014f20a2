/* How far the distribution of one model is from that of another: Kullback-Leibler divergence,
 * place by place (learn.md 1.5). */
#ifndef APPS_DIVERGENCE_H
#define APPS_DIVERGENCE_H

#include <stdbool.h>

#include "apps/moments.h"

typedef struct divergence {
    paired_moments nll; /* a: of the model, b: of the base */
    moments kl;
    moments label;    /* probability of the label less that of the base */
    moments same_top; /* 1 where the best token is the same */
    double *each;     /* [kl.count] */
    size_t each_cap;
} divergence;

/* A row of log-probabilities: values[i] - shift. */
typedef struct logp_row {
    const float *values;
    double shift;
} logp_row;

/* One place with its label, the token that stands there. False: no memory. */
bool divergence_add(divergence *d, logp_row model, logp_row base, int vocab_count, int32_t label);
/* Sorts `each` for quantile_of. */
void divergence_sort(divergence *d);
void divergence_free(divergence *d); /* a zeroed one is fine */

#endif
