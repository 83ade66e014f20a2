/* See mix.h. */
#include "audio/mix.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "audio/file.h"

struct mixer {
    int channels;
    size_t cap;   /* frames of 1 s */
    size_t count; /* frames put, or samples mixed */
    size_t at;    /* samples taken */
    bool mixed;
    float frames[]; /* [cap, channels]; when mixed, [count] samples at the front */
};

mixer *mixer_create(int rate, int channels) {
    mixer *m = malloc(sizeof *m + (size_t)rate * (size_t)channels * sizeof *m->frames);
    if (m != NULL) *m = (mixer){.channels = channels, .cap = (size_t)rate};
    return m;
}

void mixer_destroy(mixer **m) {
    free(*m);
    *m = NULL;
}

float *mixer_room(mixer *m, size_t *cap) {
    *cap = m->mixed ? 0 : m->cap - m->count;
    return m->frames + m->count * (size_t)m->channels;
}

void mixer_put(mixer *m, size_t count) {
    assert(!m->mixed && count <= m->cap - m->count);
    m->count += count;
}

static float mean_of(const float *frame, int channels) {
    float sum = 0.0f;
    for (int c = 0; c < channels; c++) sum += frame[c];
    return sum / (float)channels;
}

/* The loudest channel when the mean has less than 1 % of the energy of all of them, else -1. */
static int channel_alone(const mixer *m) {
    double energy[SOUND_MIX_CAP] = {0}, mixed = 0.0, all = 0.0;
    int loudest = 0;
    for (size_t i = 0; i < m->count; i++) {
        const float *frame = m->frames + i * (size_t)m->channels;
        const double mean = (double)mean_of(frame, m->channels);
        mixed += mean * mean;
        for (int c = 0; c < m->channels; c++) energy[c] += (double)frame[c] * (double)frame[c];
    }
    for (int c = 0; c < m->channels; c++) {
        all += energy[c];
        if (energy[c] > energy[loudest]) loudest = c;
    }
    return mixed < 0.01 * all ? loudest : -1;
}

bool mixer_mix(mixer *m) {
    const int channels = m->channels, alone = channel_alone(m);
    for (size_t i = 0; i < m->count; i++) { /* in place: a sample never lies behind its frame */
        const float *frame = m->frames + i * (size_t)channels;
        m->frames[i] = alone >= 0 ? frame[alone] : mean_of(frame, channels);
    }
    m->mixed = true;
    m->at = 0;
    return alone >= 0;
}

size_t mixer_take(mixer *m, float *samples, size_t cap) {
    if (!m->mixed) return 0;
    const size_t left = m->count - m->at, part = left < cap ? left : cap;
    memcpy(samples, m->frames + m->at, part * sizeof *samples);
    m->at += part;
    if (m->at == m->count) {
        m->count = 0;
        m->mixed = false;
    }
    return part;
}
