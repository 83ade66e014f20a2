#include "apps/moments.h"

#include <math.h>

void moments_add(moments *m, double value) {
    m->count++;
    m->sum += value;
    m->squares += value * value;
}

double moments_mean(const moments *m) {
    return m->count > 0 ? m->sum / (double)m->count : 0;
}

static double root(double variance, int64_t count) {
    return count > 1 && variance > 0 ? sqrt(variance / (double)(count - 1)) : 0;
}

double moments_error(const moments *m) {
    if (m->count < 2) return 0;
    const double mean = moments_mean(m);
    return root(m->squares / (double)m->count - mean * mean, m->count);
}

void paired_add(paired_moments *p, double a, double b) {
    moments_add(&p->a, a);
    moments_add(&p->b, b);
    p->products += a * b;
}

double paired_error(const paired_moments *p) {
    const double count = (double)p->a.count;
    if (p->a.count < 2) return 0;
    const double mean_a = moments_mean(&p->a), mean_b = moments_mean(&p->b);
    const double variance_a = p->a.squares / count - mean_a * mean_a;
    const double variance_b = p->b.squares / count - mean_b * mean_b;
    const double covariance = p->products / count - mean_a * mean_b;
    return root(variance_a + variance_b - 2 * covariance, p->a.count);
}

double quantile_of(const double *sorted, size_t count, double q) {
    const double place = q * (double)(count - 1);
    const size_t below = (size_t)place;
    const size_t above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}
