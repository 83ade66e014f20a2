/* An adapter added to the weights themselves: W' = W + sum of scale * B A, in float32, before it is
 * rounded to the type that is written. learn.md 5.3. */
#ifndef ENGINE_CONVERT_MERGE_H
#define ENGINE_CONVERT_MERGE_H

#include "core/linear.h"

/* What is added to one tensor, and what rounding takes of it. */
typedef struct merge {
    float *delta;  /* [rows, cols]; NULL: nothing is added */
    double *taken; /* [rows] squares of what rounding changed */
    int64_t rows, cols;
    double taken_sum, delta_sum; /* squares, of all tensors so far */
} merge;

/* The sum of the pairs, which are those of a tensor of that shape (NULL: none). The same bits for
 * any number of threads. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status merge_begin(merge *m, const linear_pair *pairs, int64_t rows, int64_t cols,
                                    pool *threads);
/* Row `row` of the tensor, as float32: what is added to it. */
void merge_row(const merge *m, int64_t row, float *values);
/* The same row as it was written, read back into `back`, and as it should be. Rows may come in any
 * order, from any thread. */
void merge_note(merge *m, int64_t row, const float *values, const float *back);
/* The tensor is written: its sums are added up, row by row. */
void merge_end(merge *m);

/* The norm of what rounding changed in the merged tensors, by that of what was added to them. */
double merge_taken(const merge *m);

#endif
