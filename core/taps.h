/* Weights of depthwise convolutions with the channels side by side, so that each tap is one pass
 * over whole rows of channels. Files have them the other way: [channel_count, tap_count]. */
#ifndef CORE_TAPS_H
#define CORE_TAPS_H

#include "core/weights.h"

/* A copy [tap_count, channel_count] of stored [channel_count, tap_count], owned by l->w. Sticky in
 * l; NULL on failure. */
const float *taps_turn(loader *l, const float *stored, int64_t channel_count, int tap_count);

/* y[c] += w[c] * x[c]; the arrays do not overlap. */
void taps_add(float *restrict y, const float *restrict w, const float *restrict x, size_t count);
/* y[c] *= x[c], likewise; a gate. */
void taps_scale(float *restrict y, const float *restrict x, size_t count);

#endif
