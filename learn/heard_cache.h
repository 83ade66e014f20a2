/* Rows of the encoder, kept in files from run to run: the encoder does not learn. FOLDER/HASH.rows,
 * the hash being of the samples, their rate and the encoder's tensors; values as halves, so that
 * what is read is what was written. */
#ifndef LEARN_HEARD_CACHE_H
#define LEARN_HEARD_CACHE_H

#include "engine/model.h"

/* Of the encoder's tensors. */
uint64_t learn_encoder_hash(const rnl_model *m);
uint64_t learn_clip_hash(uint64_t encoder, const float *samples, size_t count, int rate);

/* Rows [*row_count, width]: free() them. NULL: they are not there, or not whole. */
float *learn_heard_find(const char *folder, uint64_t clip, int width, int *row_count);
/* Rounds rows to what will be read, and keeps them. False: they cannot be written; they are rounded
 * all the same. */
bool learn_heard_keep(const char *folder, uint64_t clip, int width, float *rows, int row_count);

#endif
