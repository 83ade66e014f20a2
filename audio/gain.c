#include "audio/gain.h"

#include <assert.h>

void gain_init(gain *g, int rate) {
    assert(rate > 0);
    *g = (gain){.now = 1.0f, .target = 1.0f, .rate = rate};
}

void gain_to(gain *g, float target, double ms) {
    assert(target >= 0.0f && ms >= 0.0);
    if (target == g->target) return;
    g->target = target;
    const double count = ms * g->rate / 1000.0;
    if (count < 1.0)
        g->now = target;
    else
        g->step = (float)((target - g->now) / count);
}

void gain_apply(gain *g, float *samples, size_t count) {
    size_t i = 0;
    for (; i < count && g->now != g->target; i++) {
        g->now += g->step;
        if ((g->step >= 0.0f) == (g->now >= g->target)) g->now = g->target;
        samples[i] *= g->now;
    }
    if (g->now == 1.0f) return;
    for (; i < count; i++) samples[i] *= g->now;
}
