/* The voice activity network with memory of its own. */
#ifndef TESTS_SUPPORT_VAD_RIG_H
#define TESTS_SUPPORT_VAD_RIG_H

#include "vad/vad.h"

typedef struct vad_rig {
    vad_state s;
    void *memory;
} vad_rig;

vad_rig vad_rig_open(void); /* fresh */
void vad_rig_close(vad_rig *r);
/* samples [block_count * VAD_BLOCK] -> probabilities [block_count]; goes on where it stood. */
void vad_rig_run(vad_rig *r, const kernels *k, const float *samples, size_t block_count,
                 float *probabilities);

#endif
