/* What the parts of lfm2.h share: lfm2.c and lfm2_attention.c. */
#ifndef CORE_LFM2_INNER_H
#define CORE_LFM2_INNER_H

#include "core/lfm2.h"

/* Scratch of attention; s has its shapes. */
void lfm2_attention_layout(lfm2_state *s, int thread_count, arena *scratch);
/* x += attention of s->normed, `count` positions from s->position on. */
void lfm2_attention(lfm2_state *s, const compute *c, const lfm2_layer *l, int layer, float *x,
                    int count);

#endif
