#include "vad/energy.h"

enum {
    PART_BLOCKS = 16, /* 0.5 s */
    HANG_BLOCKS = 6
};

static const float power_min = 3.2e-7f; /* -65 dBFS: below, even a near voice is not to be had */
static const float over_floor = 2.0f;   /* 3 dB: white noise varies by 0.3 dB from block to block */

void energy_reset(energy_gate *e) {
    *e = (energy_gate){0};
}

static float variance(const float *samples) {
    double sum = 0, squares = 0; /* without the mean: cheap converters have an offset */
    for (int i = 0; i < VAD_BLOCK; i++) {
        sum += (double)samples[i];
        squares += (double)samples[i] * (double)samples[i];
    }
    const double mean = sum / VAD_BLOCK, power = squares / VAD_BLOCK - mean * mean;
    return power > 0 ? (float)power : 0;
}

bool energy_push(energy_gate *e, const float *samples) {
    e->power = variance(samples);
    float *part = &e->part_min[e->part_index];
    if (e->block_count == 0 || e->power < *part) *part = e->power;
    e->floor = *part;
    for (int i = 0; i < ENERGY_PARTS; i++)
        if (e->part_min[i] < e->floor) e->floor = e->part_min[i];
    if (++e->block_count == PART_BLOCKS) {
        e->block_count = 0;
        e->part_index = (e->part_index + 1) % ENERGY_PARTS;
    }
    if (e->power > power_min && e->power > e->floor * over_floor)
        e->hang = HANG_BLOCKS + 1;
    else if (e->hang > 0)
        e->hang--;
    return e->hang > 0;
}
