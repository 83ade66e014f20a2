/* Means and their errors, quantiles: how what was measured is summed up. Sums in double, in the
 * order of what comes. */
#ifndef APPS_MOMENTS_H
#define APPS_MOMENTS_H

#include <stddef.h>
#include <stdint.h>

typedef struct moments {
    int64_t count;
    double sum, squares;
} moments;

void moments_add(moments *m, double value);
/* 0 of none. */
double moments_mean(const moments *m);
/* Of the mean: sqrt((mean of squares - mean^2) / (count - 1)); 0 of fewer than two. */
double moments_error(const moments *m);

/* Pairs of what is measured in the same place. */
typedef struct paired_moments {
    moments a, b;
    double products;
} paired_moments;

void paired_add(paired_moments *p, double a, double b);
/* Of mean(a) - mean(b): smaller than their errors say where they rise and fall together. */
double paired_error(const paired_moments *p);

/* sorted [count >= 1] rising; linear between q * (count - 1) rounded down and up, q in [0, 1]. */
double quantile_of(const double *sorted, size_t count, double q);

#endif
