#include "tokenizer/subsampling.h"

#include <assert.h>
#include <string.h>

enum {
    /* Rows of time that a block of the third stage needs from the second, and that from the first:
     * a kernel of 3 with stride 2 reads one row more than twice its outputs. */
    SECOND_ROWS = 2 * SUBSAMPLING_BLOCK + 1,
    FIRST_ROWS = 2 * SECOND_ROWS + 1
};

static int half(int n) {
    return (n + 1) / 2;
}

int subsampling_position_count(int frame_count) {
    return half(half(half(frame_count)));
}

void subsampling_load(loader *l, int band_count, subsampling_weights *w) {
    *w = (subsampling_weights){.band_count = band_count};
    const matrix first = load_matrix(l, 0, 0, "a.conv1d.3.weight"); /* pointwise: [C, C, 1, 1] */
    if (l->status != RNL_OK) return;
    const int64_t channels = first.row_count;
    w->channel_count = (int)channels;
    w->out_bands = subsampling_position_count(band_count);
    w->conv0 = load_vector(l, channels * 9, "a.conv1d.0.weight");
    w->bias0 = load_vector(l, channels, "a.conv1d.0.bias");
    for (int i = 0; i < 2; i++) {
        const int depth = 3 * i + 2, point = 3 * i + 3; /* indices of the checkpoint's Sequential */
        w->depth[i] = load_vector(l, channels * 9, "a.conv1d.%d.weight", depth);
        w->depth_bias[i] = load_vector(l, channels, "a.conv1d.%d.bias", depth);
        w->point[i] = load_matrix(l, channels, channels, "a.conv1d.%d.weight", point);
        w->point_bias[i] = load_vector(l, channels, "a.conv1d.%d.bias", point);
    }
    w->out = load_matrix(l, 0, channels * w->out_bands, "a.pre_encode.out.weight");
    w->width = (int)w->out.row_count;
    w->out_bias = load_vector(l, w->width, "a.pre_encode.out.bias");
}

void subsampling_layout(subsampling_state *s, const subsampling_weights *w, arena *a) {
    const size_t channels = (size_t)w->channel_count;
    const size_t bands1 = (size_t)half(w->band_count), bands2 = (size_t)half((int)bands1);
    const size_t bands3 = (size_t)w->out_bands;
    *s = (subsampling_state){.w = w};
    s->first = arena_take(a, FIRST_ROWS * bands1 * channels, sizeof(float));
    s->second = arena_take(a, SECOND_ROWS * bands2 * channels, sizeof(float));
    s->third = arena_take(a, SUBSAMPLING_BLOCK * bands3 * channels, sizeof(float));
    s->mixed = arena_take(a, SECOND_ROWS * bands2 * channels, sizeof(float));
    s->flat = arena_take(a, SUBSAMPLING_BLOCK * bands3 * channels, sizeof(float));
}

static void relu(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

/* A run of rows of one stage: rows [begin, begin + count) of a picture with row_count rows. Rows
 * outside the picture are the zero padding. */
typedef struct rows {
    float *data; /* [count, bands, channels] */
    int begin, count, row_count, bands;
} rows;

static const float *row_of(const rows *r, int row, int channels) {
    if (row < 0 || row >= r->row_count) return NULL;
    return r->data + (size_t)(row - r->begin) * (size_t)(r->bands * channels);
}

/* 3 x 3, stride 2, padding 1, from one channel to all; then ReLU. */
static void first_conv(const subsampling_weights *w, const float *mel, int frame_count, rows *out) {
    const int channels = w->channel_count;
    for (int i = 0; i < out->count; i++) {
        for (int f = 0; f < out->bands; f++) {
            float *y = out->data + ((size_t)i * (size_t)out->bands + (size_t)f) * (size_t)channels;
            memcpy(y, w->bias0, (size_t)channels * sizeof *y);
            for (int tap = 0; tap < 9; tap++) {
                const int t = 2 * (out->begin + i) + tap / 3 - 1, band = 2 * f + tap % 3 - 1;
                if (t < 0 || t >= frame_count || band < 0 || band >= w->band_count) continue;
                const float x = mel[(size_t)t * (size_t)w->band_count + (size_t)band];
                for (int c = 0; c < channels; c++) y[c] += w->conv0[c * 9 + tap] * x;
            }
        }
    }
    relu(out->data, (size_t)out->count * (size_t)(out->bands * channels));
}

typedef struct depth_job {
    const float *weight, *bias;
    const rows *in;
    rows *out;
    float *data; /* [out->count, out->bands, channels] */
    int channels;
} depth_job;

/* Depthwise 3 x 3, stride 2, padding 1: rows [begin, end) of the output. */
static void depth_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const depth_job *j = context;
    const int channels = j->channels;
    for (int64_t item = begin; item < end; item++) {
        const int i = (int)(item / j->out->bands), f = (int)(item % j->out->bands);
        float *y = j->data + (size_t)item * (size_t)channels;
        memcpy(y, j->bias, (size_t)channels * sizeof *y);
        for (int tap = 0; tap < 9; tap++) {
            const float *row = row_of(j->in, 2 * (j->out->begin + i) + tap / 3 - 1, channels);
            const int band = 2 * f + tap % 3 - 1;
            if (row == NULL || band < 0 || band >= j->in->bands) continue;
            const float *x = row + (size_t)(band * channels);
            for (int c = 0; c < channels; c++) y[c] += j->weight[c * 9 + tap] * x[c];
        }
    }
}

static void depth_and_point(subsampling_state *s, const compute *c, int stage, const rows *in,
                            rows *out) {
    const subsampling_weights *w = s->w;
    const size_t channels = (size_t)w->channel_count;
    depth_job job = {.weight = w->depth[stage],
                     .bias = w->depth_bias[stage],
                     .in = in,
                     .out = out,
                     .data = s->mixed,
                     .channels = w->channel_count};
    const int64_t cells = (int64_t)out->count * out->bands;
    pool_run(c->pool, cells, 1, depth_part, &job);
    linear(c, &w->point[stage], w->point_bias[stage], s->mixed, channels, out->data, channels,
           cells);
    relu(out->data, (size_t)cells * channels);
}

/* The rows of the stage below that outputs [begin, begin + count) read, cut to the picture. */
static rows below(float *data, int begin, int count, int row_count, int bands) {
    int first = 2 * begin - 1, end = 2 * (begin + count - 1) + 2;
    if (first < 0) first = 0;
    if (end > row_count) end = row_count;
    return (rows){
        .data = data, .begin = first, .count = end - first, .row_count = row_count, .bands = bands};
}

void subsampling_block(subsampling_state *s, const compute *c, const float *mel, int frame_count,
                       int begin, int count, float *out) {
    const subsampling_weights *w = s->w;
    const int rows1 = half(frame_count), rows2 = half(rows1), rows3 = half(rows2);
    const int bands1 = half(w->band_count), bands2 = half(bands1), bands3 = w->out_bands;
    rows third = {
        .data = s->third, .begin = begin, .count = count, .row_count = rows3, .bands = bands3};
    rows second = below(s->second, begin, count, rows2, bands2);
    rows first = below(s->first, second.begin, second.count, rows1, bands1);
    assert(count <= SUBSAMPLING_BLOCK && second.count <= SECOND_ROWS && first.count <= FIRST_ROWS);
    first_conv(w, mel, frame_count, &first);
    depth_and_point(s, c, 0, &first, &second);
    depth_and_point(s, c, 1, &second, &third);
    /* [position, band, channel] -> feature index channel * bands + band (audio.md 4.1). */
    const size_t channels = (size_t)w->channel_count, bands = (size_t)bands3;
    for (size_t p = 0; p < (size_t)count; p++)
        for (size_t f = 0; f < bands; f++)
            for (size_t k = 0; k < channels; k++)
                s->flat[(p * channels + k) * bands + f] = s->third[(p * bands + f) * channels + k];
    linear(c, &w->out, w->out_bias, s->flat, channels * bands, out, (size_t)w->width, count);
}
