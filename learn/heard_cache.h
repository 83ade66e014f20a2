/* Rows of the encoder, kept in files from run to run: the encoder does not learn. FOLDER/HASH.rows,
 * the hash being of the samples, their rate and the encoder's tensors; values as halves, so that
 * what is read is what was written. */
#ifndef LEARN_HEARD_CACHE_H
#define LEARN_HEARD_CACHE_H

#include "engine/model.h"

typedef struct learn_heard_cache learn_heard_cache;

/* folder and model outlive it. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status learn_heard_open(const rnl_model *m, const char *folder,
                                         learn_heard_cache **out);
void learn_heard_close(learn_heard_cache **c); /* NULL is fine; sets NULL */

const char *learn_heard_folder(const learn_heard_cache *c);
uint64_t learn_heard_hash(const learn_heard_cache *c, const float *samples, size_t count, int rate);

/* From any thread. Rows [*row_count, width of the encoder]: free() them. NULL: they are not there,
 * or not whole. */
float *learn_heard_find(const learn_heard_cache *c, uint64_t hash, int *row_count);
/* From any thread. Rounds rows to what will be read, and keeps them. False: they cannot be written;
 * they are rounded all the same. */
bool learn_heard_keep(learn_heard_cache *c, uint64_t hash, float *rows, int row_count);

#endif
