/* Sound that a model is to speak, as code frames: by the encoder of its own codec, where it has one
 * (Mimi). */
#ifndef LEARN_SPOKEN_H
#define LEARN_SPOKEN_H

#include "engine/model.h"

typedef struct learn_spoken learn_spoken;

/* Whether the model's codec can be asked. */
bool learn_spoken_can(const rnl_model *m);
/* For the threads of c, which outlives it, as the model does. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status learn_spoken_create(const rnl_model *m, const compute *c,
                                            learn_spoken **out);
void learn_spoken_destroy(learn_spoken **s); /* NULL is fine; sets NULL */
/* Frames [*frame_count, codebooks] of samples [count] at rate: free() them. The last one is filled
 * up with silence. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status learn_spoken_codes(learn_spoken *s, const float *samples, size_t count,
                                           int rate, int32_t **codes, int *frame_count);

#endif
