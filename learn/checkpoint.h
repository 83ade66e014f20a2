/* Where a training stands, on disk. learn.md 4.7.
 *
 *     FOLDER/step-00000120/weights.safetensors   values of what learns
 *                          moments.safetensors   those of AdamW: NAME.m, NAME.v
 *                          state.json            all else; written last: without it there is none
 *     FOLDER/best.safetensors                    values when what is held out was foreseen best
 *
 * A run that goes on from here is, byte for byte, the run that was never stopped. */
#ifndef LEARN_CHECKPOINT_H
#define LEARN_CHECKPOINT_H

#include "learn/trainer.h"

/* Writes where t stands and removes all but the newest `keep` (>= 1). The folder exists. RNL_ERR_IO
 * (a full disk): the older ones are as they were; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status learn_checkpoint_write(const learn_trainer *t, const char *folder, int keep,
                                               rnl_error *error);
/* Brings t to where the newest one stood. *found false: there is none, t is as it was.
 * RNL_ERR_STATE: it is of another model, data or plan (any: is taken all the same, as far as its
 * tensors fit); RNL_ERR_FORMAT, RNL_ERR_IO, RNL_ERR_MEMORY; t is of no use then. */
RNL_MUST_USE rnl_status learn_checkpoint_read(learn_trainer *t, const char *folder, bool any,
                                              bool *found, rnl_error *error);

/* Whether there is a complete one. */
bool learn_checkpoint_exists(const char *folder);

/* Values alone. RNL_ERR_IO, RNL_ERR_FORMAT, RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status learn_values_write(const learn_network *n, const char *path,
                                           rnl_error *error);
RNL_MUST_USE rnl_status learn_values_read(const learn_network *n, const char *path,
                                          rnl_error *error);

/* Of names, shapes, types and first bytes of the model's tensors. */
uint64_t learn_model_hash(const rnl_model *m);

#endif
