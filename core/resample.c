#include "core/resample.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <samplerate.h>

enum { BLOCK = 1024 /* input samples of one inner call */ };

struct resampler {
    SRC_STATE *src;
    int rate_in, rate_out;
    int64_t in_count, out_count; /* of this clip */
    float block[BLOCK];          /* input waiting for a whole block */
    size_t block_count;          /* samples that make it whole */
    size_t filled;               /* samples in it */
    size_t used;                 /* samples of a whole block that src has taken */
    bool flowing;                /* src is being fed the block */
};

rnl_status resampler_create(resampler **out) {
    int error = 0;
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return RNL_ERR_MEMORY;
    (*out)->block_count = BLOCK;
    (*out)->src = src_new(SRC_SINC_BEST_QUALITY, 1, &error);
    if ((*out)->src != NULL) return RNL_OK;
    free(*out);
    *out = NULL;
    return RNL_ERR_MEMORY;
}

void resampler_destroy(resampler **r) {
    if (*r == NULL) return;
    src_delete((*r)->src);
    free(*r);
    *r = NULL;
}

void resampler_set_block(resampler *r, size_t count) {
    assert(count >= 1 && count <= BLOCK);
    r->block_count = count;
}

void resampler_begin(resampler *r, int rate_in, int rate_out) {
    assert(rate_in >= 4000 && rate_in <= 768000 && rate_out >= 4000 && rate_out <= 768000);
    (void)src_reset(r->src);
    (void)src_set_ratio(r->src, (double)rate_out / rate_in);
    r->rate_in = rate_in;
    r->rate_out = rate_out;
    r->in_count = r->out_count = 0;
    r->filled = r->used = 0;
    r->flowing = false;
}

/* Runs src over what is left of the block; false when out is full. */
static bool run(resampler *r, bool last, float *out, size_t cap, size_t *made) {
    for (;;) {
        SRC_DATA data = {.data_in = r->block + r->used,
                         .input_frames = (long)(r->filled - r->used),
                         .data_out = out + *made,
                         .output_frames = (long)(cap - *made),
                         .end_of_input = last,
                         .src_ratio = (double)r->rate_out / r->rate_in};
        if (src_process(r->src, &data) != 0) return true; /* arguments are ours: cannot fail */
        r->used += (size_t)data.input_frames_used;
        *made += (size_t)data.output_frames_gen;
        if (*made == cap) return false;
        if (data.output_frames_gen == 0 && data.input_frames_used == 0) return true;
    }
}

static void copy_through(resampler *r, const float *samples, size_t count, size_t *taken,
                         float *out, size_t cap, size_t *made) {
    const size_t n = count < cap ? count : cap;
    memcpy(out, samples, n * sizeof *out);
    r->in_count += (int64_t)n;
    r->out_count += (int64_t)n;
    *taken = *made = n;
}

void resampler_push(resampler *r, const float *samples, size_t count, size_t *taken, float *out,
                    size_t cap, size_t *made) {
    *taken = *made = 0;
    if (r->rate_in == r->rate_out) {
        copy_through(r, samples, count, taken, out, cap, made);
        return;
    }
    while (*made < cap) {
        if (r->flowing) {
            if (!run(r, false, out, cap, made)) break;
            r->filled = r->used = 0;
            r->flowing = false;
        }
        const size_t room = r->block_count - r->filled, left = count - *taken;
        const size_t n = left < room ? left : room;
        memcpy(r->block + r->filled, samples + *taken, n * sizeof *samples);
        r->filled += n;
        *taken += n;
        r->flowing = r->filled == r->block_count;
        if (!r->flowing) break;
    }
    r->in_count += (int64_t)*taken;
    r->out_count += (int64_t)*made;
}

void resampler_finish(resampler *r, float *out, size_t cap, size_t *made) {
    *made = 0;
    const int64_t wanted = (r->in_count * r->rate_out + r->rate_in - 1) / r->rate_in;
    const int64_t left = wanted - r->out_count;
    if (left <= 0) return;
    const size_t n = (int64_t)cap < left ? cap : (size_t)left;
    (void)run(r, true, out, n, made);
    /* The filter may come out short by a sample: silence completes the clip. */
    memset(out + *made, 0, (n - *made) * sizeof *out);
    *made = n;
    r->out_count += (int64_t)n;
}

struct stream_resampler {
    SRC_STATE *src;
    double ratio, ppm;
    bool same; /* equal rates, never steered */
};

rnl_status stream_resampler_create(int rate_in, int rate_out, stream_resampler **out) {
    assert(rate_in >= 4000 && rate_in <= 768000 && rate_out >= 4000 && rate_out <= 768000);
    int error = 0;
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return RNL_ERR_MEMORY;
    (*out)->src = src_new(SRC_SINC_MEDIUM_QUALITY, 1, &error);
    if ((*out)->src == NULL) {
        free(*out);
        *out = NULL;
        return RNL_ERR_MEMORY;
    }
    (*out)->ratio = (double)rate_out / rate_in;
    stream_resampler_reset(*out);
    return RNL_OK;
}

void stream_resampler_destroy(stream_resampler **r) {
    if (*r == NULL) return;
    src_delete((*r)->src);
    free(*r);
    *r = NULL;
}

void stream_resampler_reset(stream_resampler *r) {
    (void)src_reset(r->src);
    (void)src_set_ratio(r->src, r->ratio);
    r->ppm = 0.0;
    r->same = r->ratio == 1.0;
}

void stream_resampler_steer(stream_resampler *r, double ppm) {
    if (ppm > STREAM_STEER_PPM_MAX) ppm = STREAM_STEER_PPM_MAX;
    if (ppm < -STREAM_STEER_PPM_MAX) ppm = -STREAM_STEER_PPM_MAX;
    r->ppm = ppm;
    if (ppm != 0.0) r->same = false;
}

void stream_resampler_push(stream_resampler *r, const float *samples, size_t count, size_t *taken,
                           float *out, size_t cap, size_t *made) {
    *taken = *made = 0;
    if (r->same) {
        *taken = *made = count < cap ? count : cap;
        memcpy(out, samples, *made * sizeof *out);
        return;
    }
    while (*made < cap) {
        SRC_DATA data = {.data_in = samples + *taken,
                         .input_frames = (long)(count - *taken),
                         .data_out = out + *made,
                         .output_frames = (long)(cap - *made),
                         .src_ratio = r->ratio * (1.0 + r->ppm * 1e-6)};
        if (src_process(r->src, &data) != 0) return; /* arguments are ours: cannot fail */
        *taken += (size_t)data.input_frames_used;
        *made += (size_t)data.output_frames_gen;
        if (data.input_frames_used == 0 && data.output_frames_gen == 0) return;
    }
}
