/* What a campaign measured, for medians and the like. */
#ifndef TESTS_SUPPORT_QUANTILE_H
#define TESTS_SUPPORT_QUANTILE_H

enum { LIST_CAP = 4096 };

typedef struct list {
    double values[LIST_CAP];
    int count;
} list;

/* Beyond LIST_CAP nothing is kept. */
void keep(list *l, double value);
/* share in [0, 1], 0.5: the median; sorts the values. 0 of an empty list. */
double quantile(list *l, double share);

#endif
