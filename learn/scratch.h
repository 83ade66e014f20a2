/* A model that has learnt nothing yet: the shape of a config.json (`lfm2` or `runnel_stack`), a
 * vocabulary, random weights. learn.md 4.4. */
#ifndef LEARN_SCRATCH_H
#define LEARN_SCRATCH_H

#include <runnel/runnel.h>

/* Writes a bundle. directory: has config.json; tokens: a tokenizer.json; NULL: the model knows ids
 * alone. The same seed gives the same bytes. RNL_ERR_UNSUPPORTED: a shape that does not learn;
 * RNL_ERR_FORMAT, RNL_ERR_IO, RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status learn_scratch_write(const char *directory, const char *tokens,
                                            uint64_t seed, int thread_count, const char *path,
                                            rnl_error *error);

#endif
