/* Samples of files, and how an epoch fills rows with them. learn.md 4.3.
 *
 * The order of an epoch follows from its seed alone: samples are shuffled, then put into rows of so
 * many positions, whole, each into the first of eight open rows that has room. What stays free in a
 * row is never computed. */
#ifndef LEARN_DATASET_H
#define LEARN_DATASET_H

#include "learn/readers.h"

typedef struct learn_dataset {
    learn_sample *samples; /* [count] */
    int count, cap;
    int line_count, cut_count, empty_count; /* lines; cut; with nothing to learn, left out */
    int64_t position_count, label_count;
    uint64_t hash; /* of all lines in their order, whatever files they stand in */
} learn_dataset;

/* Adds the samples of a file of lines, empty ones passed over. {0} is an empty
 * set. Sentences name file and line. RNL_ERR_STATE: it was
 * to end there. */
RNL_MUST_USE rnl_status learn_dataset_read(learn_dataset *d, learn_readers *r, const char *path,
                                           rnl_error *error);
/* Moves the samples whose hashes fall into the share [0, 1] to `held`, which is empty: always the
 * same ones, whatever else is in the set. False: memory is exhausted, nothing has moved. */
bool learn_dataset_hold(learn_dataset *d, double share, learn_dataset *held);
void learn_dataset_free(learn_dataset *d);

/* Rows: samples of row i are order[begin[i]] ... order[begin[i + 1] - 1]. */
typedef struct learn_epoch {
    int *order; /* [sample count] */
    int *begin; /* [row_count + 1] */
    int row_count;
} learn_epoch;

/* Samples of at most `length` positions each (asserted). shuffled: by seed; else in their order.
 * False: memory is exhausted. */
bool learn_epoch_make(const learn_dataset *d, int length, bool shuffled, uint64_t seed,
                      learn_epoch *out);
void learn_epoch_free(learn_epoch *e);

/* A micro batch of the samples of a row, with the memory that it points into: room for rows of
 * `length` positions. */
typedef struct learn_gathered {
    learn_batch b;
    int *begin, *text_at, *frame_at, *frame_of;
    int32_t *ids, *text_ids, *frames;
    float *heard;
    size_t heard_cap, frame_cap; /* numbers */
    int length;
} learn_gathered;

bool learn_gathered_make(learn_gathered *g, int length);
void learn_gathered_free(learn_gathered *g);
/* g->b without its weights. width: of the encoder; books: codebooks; 0 without. False: memory is
 * exhausted. */
bool learn_gather(learn_gathered *g, const learn_dataset *d, const learn_epoch *e, int row,
                  int width, int books);

#endif
