/* Backward of the scan of stack/scan.h for one head of one run (learn.md 6.3), in chunks of
 * positions from the last to the first:
 *
 *     S at the borders <- forward;  chunk by chunk, with G the gradient by the state behind it:
 *     dq dk dv dl <- products of its rows, S and G;   G <- e^C G + (e^C q)^T dy
 *
 * Exponents are never above 0, so that nothing overflows. */
#ifndef LEARN_SCAN_H
#define LEARN_SCAN_H

#include "kernels/kernels.h"

enum { LEARN_SCAN_CHUNK = 32 };

typedef struct learn_scan {
    int n, width;        /* of the state [n, width] */
    const float *q, *k;  /* [count, n] */
    const float *v, *dy; /* [count, width] */
    const double *l;     /* [count] logarithms of what is kept, <= 0; NULL: all are `log` */
    double log;
    const float *start;  /* [n, width] state before the first row; NULL: 0 */
    const float *dend;   /* [n, width] gradient by the state behind the last; NULL: 0 */
    float *dq, *dk, *dv; /* [count, n], [count, n], [count, width], written */
    float *dl;           /* [count] written; NULL: not wanted */
    float *dstart;       /* [n, width] likewise */
} learn_scan;

/* Floats of scratch for runs of at most count rows. */
size_t learn_scan_scratch(int n, int width, int count);
void learn_scan_back(const kernels *k, const learn_scan *s, int count, float *scratch);

#endif
