#include "apps/divergence.h"

#include <math.h>
#include <stdlib.h>

/* What the base finds less likely than this does not count: the file of log-probabilities keeps
 * nothing below it. */
static const double least = -16;

static bool grow(divergence *d) {
    if ((size_t)d->kl.count < d->each_cap) return true;
    const size_t cap = 2 * d->each_cap + 1024;
    double *grown = realloc(d->each, cap * sizeof *grown);
    if (grown == NULL) return false;
    d->each = grown;
    d->each_cap = cap;
    return true;
}

bool divergence_add(divergence *d, logp_row model, logp_row base, int vocab_count, int32_t label) {
    if (!grow(d)) return false;
    double kl = 0;
    int model_top = 0, base_top = 0;
    for (int i = 0; i < vocab_count; i++) {
        const double logp = base.values[i] - base.shift;
        if (logp > least) kl += exp(logp) * (logp - (model.values[i] - model.shift));
        if (model.values[i] > model.values[model_top]) model_top = i;
        if (base.values[i] > base.values[base_top]) base_top = i;
    }
    const double a = model.values[label] - model.shift, b = base.values[label] - base.shift;
    d->each[d->kl.count] = kl;
    moments_add(&d->kl, kl);
    moments_add(&d->label, exp(a) - exp(b));
    moments_add(&d->same_top, model_top == base_top);
    paired_add(&d->nll, -a, -b);
    return true;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void divergence_sort(divergence *d) {
    if (d->kl.count > 0) qsort(d->each, (size_t)d->kl.count, sizeof *d->each, by_value);
}

void divergence_free(divergence *d) {
    free(d->each);
    *d = (divergence){0};
}
