#include "tests/support/quantile.h"

#include <stdlib.h>

void keep(list *l, double value) {
    if (l->count < LIST_CAP) l->values[l->count++] = value;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double quantile(list *l, double share) {
    if (l->count == 0) return 0;
    qsort(l->values, (size_t)l->count, sizeof *l->values, ascending);
    return l->values[(int)(share * (l->count - 1) + 0.5)];
}
