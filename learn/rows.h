/* The positions of a micro batch: rows of several sequences ("runs", segments of a packed row)
 * behind each other. Whatever is done for a position alone is done for all rows at once; attention
 * and convolutions stay within a run, in which positions count from 0. Padding is not there. */
#ifndef LEARN_ROWS_H
#define LEARN_ROWS_H

typedef struct learn_rows {
    int count;
    int run_count;
    const int *begin; /* [run_count + 1] first row of each run, rising; count behind the last */
} learn_rows;

#endif
