#include "core/taps.h"

#include <stdlib.h>

#include "core/status.h"

const float *taps_turn(loader *l, const float *stored, int64_t channel_count, int tap_count) {
    if (l->status != RNL_OK) return NULL;
    const size_t channels = (size_t)channel_count, taps = (size_t)tap_count;
    float *out = calloc(channels * taps, sizeof *out); /* no more than stored has */
    if (out == NULL || weights_own(l->w, out, free) != RNL_OK) {
        l->status =
            status_fail(l->error, RNL_ERR_MEMORY, "memory for convolution weights is exhausted");
        return NULL;
    }
    for (size_t t = 0; t < taps; t++)
        for (size_t c = 0; c < channels; c++) out[t * channels + c] = stored[c * taps + t];
    return out;
}

enum { UNIT = 8 }; /* a fixed number of channels: the compiler makes vectors of it */

void taps_add(float *restrict y, const float *restrict w, const float *restrict x, size_t count) {
    size_t i = 0;
    for (; i + UNIT <= count; i += UNIT)
        for (size_t k = i; k < i + UNIT; k++) y[k] += w[k] * x[k];
    for (; i < count; i++) y[i] += w[i] * x[i];
}

void taps_scale(float *restrict y, const float *restrict x, size_t count) {
    size_t i = 0;
    for (; i + UNIT <= count; i += UNIT)
        for (size_t k = i; k < i + UNIT; k++) y[k] *= x[k];
    for (; i < count; i++) y[i] *= x[i];
}
