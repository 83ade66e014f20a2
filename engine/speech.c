/* How much of a clip is speech: resampled to 16 kHz, block by block through the voice activity
 * network, the sure blocks counted. A quiet clip is made louder first: the network, which is made
 * for microphones, does not hear speech at -60 dBFS, and takes noise for none at any level
 * (test_speech.c). Memory does not grow with the clip. */
#include <math.h>
#include <stdlib.h>

#include "core/resample.h"
#include "core/status.h"
#include "engine/model.h"
#include "vad/vad.h"

static const float peak_goal = 0.5f, gain_max = 1000.0f; /* 60 dB */

typedef struct hearing {
    const kernels *kernels;
    resampler *resampler;
    vad_state vad;
    void *memory; /* of the vad */
    float block[VAD_BLOCK];
    size_t block_count; /* samples in the block */
    float gain;
    int64_t spoken; /* blocks of speech */
} hearing;

static void close_hearing(hearing *h) {
    resampler_destroy(&h->resampler);
    free(h->memory);
}

static rnl_status open_hearing(hearing *h, const rnl_model *model) {
    arena a = {0};
    *h = (hearing){.kernels = &model->kernels};
    vad_layout(&h->vad, &a);
    h->memory =
        aligned_alloc(ARENA_ALIGN, (a.size_used + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN);
    if (h->memory == NULL || resampler_create(&h->resampler) != RNL_OK) {
        close_hearing(h);
        return RNL_ERR_MEMORY;
    }
    a = (arena){.base = h->memory, .size_cap = a.size_used};
    vad_layout(&h->vad, &a);
    vad_reset(&h->vad);
    return RNL_OK;
}

static void hear_block(hearing *h) {
    for (int i = 0; i < VAD_BLOCK; i++) h->block[i] *= h->gain;
    h->spoken += vad_block(&h->vad, h->kernels, h->block) >= VAD_SPEECH_PROBABILITY;
    h->block_count = 0;
}

static void hear(hearing *h, const float *samples, size_t count) {
    while (count > 0) {
        size_t taken, made;
        resampler_push(h->resampler, samples, count, &taken, h->block + h->block_count,
                       VAD_BLOCK - h->block_count, &made);
        samples += taken;
        count -= taken;
        h->block_count += made;
        if (h->block_count == VAD_BLOCK) hear_block(h);
    }
}

static void finish_hearing(hearing *h) {
    for (size_t made = 1; made > 0;) {
        resampler_finish(h->resampler, h->block + h->block_count, VAD_BLOCK - h->block_count,
                         &made);
        h->block_count += made;
        if (h->block_count == VAD_BLOCK) hear_block(h);
    }
    if (h->block_count == 0) return;
    for (size_t i = h->block_count; i < VAD_BLOCK; i++) h->block[i] = 0.0f;
    hear_block(h);
}

rnl_status rnl_model_speech_ms(const rnl_model *model, const float *samples, size_t count, int rate,
                               double *ms, rnl_error *error) {
    hearing h;
    *ms = 0;
    if (model == NULL || (samples == NULL && count > 0))
        return status_fail(error, RNL_ERR_ARGUMENT, "speech: a model and samples are needed");
    if (rate < 4000 || rate > 768000)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "speech: the rate is %d Hz, not within 4000 to 768000", rate);
    float peak = 0.0f;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(samples[i]))
            return status_fail(error, RNL_ERR_DATA, "speech: sample %zu is not a number", i);
        peak = fmaxf(peak, fabsf(samples[i]));
    }
    if (open_hearing(&h, model) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "speech: memory is exhausted");
    resampler_begin(h.resampler, rate, VAD_RATE);
    h.gain = peak > 0.0f ? fminf(gain_max, fmaxf(1.0f, peak_goal / peak)) : 1.0f;
    hear(&h, samples, count);
    finish_hearing(&h);
    close_hearing(&h);
    *ms = (double)h.spoken * VAD_BLOCK * 1000 / VAD_RATE;
    return RNL_OK;
}
