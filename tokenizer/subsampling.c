#include "tokenizer/subsampling.h"

#include <assert.h>
#include <string.h>

#include "core/taps.h"

enum {
    /* Rows of time that a piece of the third stage needs from the second, and that from the first:
     * a kernel of 3 with stride 2 reads one row more than twice its outputs. */
    SECOND_ROWS = 2 * SUBSAMPLING_PIECE + 1,
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
    const float *conv0 = load_vector(l, channels * 9, "a.conv1d.0.weight");
    w->conv0 = taps_turn(l, conv0, channels, 9);
    w->bias0 = load_vector(l, channels, "a.conv1d.0.bias");
    for (int i = 0; i < 2; i++) {
        const int depth = 3 * i + 2, point = 3 * i + 3; /* indices of the checkpoint's Sequential */
        const float *stored = load_vector(l, channels * 9, "a.conv1d.%d.weight", depth);
        w->depth[i] = taps_turn(l, stored, channels, 9);
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
    s->third = arena_take(a, SUBSAMPLING_PIECE * bands3 * channels, sizeof(float));
    s->mixed = arena_take(a, SECOND_ROWS * bands2 * channels, sizeof(float));
    s->flat = arena_take(a, SUBSAMPLING_BLOCK * bands3 * channels, sizeof(float));
}

/* In units of fixed length, which the compiler turns into vectors: the signs of activations are
 * random, and a branch per value costs more than the convolution before it. */
static void relu(float *x, size_t count) {
    enum { UNIT = 8 };
    size_t i = 0;
    for (; i + UNIT <= count; i += UNIT)
        for (size_t k = i; k < i + UNIT; k++) x[k] = x[k] > 0.0f ? x[k] : 0.0f;
    for (; i < count; i++) x[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

/* A run of rows of one stage: rows [begin, begin + count) of a picture with row_count rows. Rows
 * outside the picture are the zero padding. */
typedef struct rows {
    const float *data; /* [count, bands, channels] */
    int begin, count, row_count, bands;
} rows;

static const float *row_of(const rows *r, int row, int channels) {
    if (row < 0 || row >= r->row_count) return NULL;
    return r->data + (size_t)(row - r->begin) * (size_t)(r->bands * channels);
}

typedef struct conv_job {
    const float *weight, *bias; /* [9, channels], [channels] */
    const kernels *k;
    const rows *in; /* of the first convolution: the mel frames, one channel */
    const rows *out;
    float *data; /* [out->count, out->bands, channels] written */
    int channels;
} conv_job;

/* 3 x 3, stride 2, padding 1, from one channel to all, then ReLU: cells [begin, end) of the output,
 * a cell being one band of one row. */
static void first_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const conv_job *j = context;
    const size_t channels = (size_t)j->channels;
    for (int64_t cell = begin; cell < end; cell++) {
        const int i = (int)(cell / j->out->bands), f = (int)(cell % j->out->bands);
        float *y = j->data + (size_t)cell * channels;
        memcpy(y, j->bias, channels * sizeof *y);
        for (int tap = 0; tap < 9; tap++) {
            const float *row = row_of(j->in, 2 * (j->out->begin + i) + tap / 3 - 1, 1);
            const int band = 2 * f + tap % 3 - 1;
            if (row == NULL || band < 0 || band >= j->in->bands) continue;
            j->k->axpy(y, row[band], j->weight + (size_t)tap * channels, j->channels);
        }
        relu(y, channels);
    }
}

/* The same depthwise, without ReLU. */
static void depth_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const conv_job *j = context;
    const size_t channels = (size_t)j->channels;
    for (int64_t cell = begin; cell < end; cell++) {
        const int i = (int)(cell / j->out->bands), f = (int)(cell % j->out->bands);
        float *y = j->data + (size_t)cell * channels;
        memcpy(y, j->bias, channels * sizeof *y);
        for (int tap = 0; tap < 9; tap++) {
            const float *row = row_of(j->in, 2 * (j->out->begin + i) + tap / 3 - 1, j->channels);
            const int band = 2 * f + tap % 3 - 1;
            if (row == NULL || band < 0 || band >= j->in->bands) continue;
            taps_add(y, j->weight + (size_t)tap * channels, row + (size_t)band * channels,
                     channels);
        }
    }
}

/* ReLU over cells, channels together. */
static void relu_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const conv_job *j = context;
    const size_t channels = (size_t)j->channels;
    relu(j->data + (size_t)begin * channels, (size_t)(end - begin) * channels);
}

/* The second or third stage: in -> out, whose data are written. */
static void depth_and_point(subsampling_state *s, const compute *c, int stage, const rows *in,
                            const rows *out, float *data) {
    const subsampling_weights *w = s->w;
    const size_t channels = (size_t)w->channel_count;
    conv_job job = {.weight = w->depth[stage],
                    .bias = w->depth_bias[stage],
                    .in = in,
                    .out = out,
                    .data = s->mixed,
                    .channels = w->channel_count};
    const int64_t cells = (int64_t)out->count * out->bands;
    pool_run(c->pool, cells, 1, depth_part, &job);
    linear(c, &w->point[stage], w->point_bias[stage], s->mixed, channels, data, channels, cells);
    job.data = data;
    pool_run(c->pool, cells, 1, relu_part, &job);
}

/* The rows of the stage below that outputs [begin, begin + count) read, cut to the picture. */
static rows below(const float *data, int begin, int count, int row_count, int bands) {
    int first = 2 * begin - 1, end = 2 * (begin + count - 1) + 2;
    if (first < 0) first = 0;
    if (end > row_count) end = row_count;
    return (rows){
        .data = data, .begin = first, .count = end - first, .row_count = row_count, .bands = bands};
}

typedef struct flat_job {
    const float *in; /* [count, bands, channels] */
    float *out;      /* [count, channels * bands] */
    size_t bands, channels;
} flat_job;

/* [position, band, channel] -> feature index channel * bands + band (audio.md 4.1). */
static void flat_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const flat_job *j = context;
    for (size_t p = (size_t)begin; p < (size_t)end; p++) {
        const float *in = j->in + p * j->bands * j->channels;
        float *out = j->out + p * j->bands * j->channels;
        for (size_t k = 0; k < j->channels; k++)
            for (size_t f = 0; f < j->bands; f++) out[k * j->bands + f] = in[f * j->channels + k];
    }
}

/* The three convolutions for positions [begin, begin + count) into flat. */
static void convolve_piece(subsampling_state *s, const compute *c, const rows *mel, int begin,
                           int count, float *flat) {
    const subsampling_weights *w = s->w;
    const int rows1 = half(mel->row_count), rows2 = half(rows1), rows3 = half(rows2);
    const int bands1 = half(w->band_count), bands2 = half(bands1), bands3 = w->out_bands;
    const rows third = {
        .data = s->third, .begin = begin, .count = count, .row_count = rows3, .bands = bands3};
    const rows second = below(s->second, begin, count, rows2, bands2);
    const rows first = below(s->first, second.begin, second.count, rows1, bands1);
    assert(second.count <= SECOND_ROWS && first.count <= FIRST_ROWS);
    conv_job job = {.weight = w->conv0,
                    .bias = w->bias0,
                    .k = c->k,
                    .in = mel,
                    .out = &first,
                    .data = s->first,
                    .channels = w->channel_count};
    pool_run(c->pool, (int64_t)first.count * first.bands, 1, first_part, &job);
    depth_and_point(s, c, 0, &first, &second, s->second);
    depth_and_point(s, c, 1, &second, &third, s->third);
    flat_job turn = {
        .in = s->third, .out = flat, .bands = (size_t)bands3, .channels = (size_t)w->channel_count};
    pool_run(c->pool, count, 1, flat_part, &turn);
}

void subsampling_block(subsampling_state *s, const compute *c, const float *mel, int frame_count,
                       int begin, int count, float *out) {
    assert(count <= SUBSAMPLING_BLOCK);
    const subsampling_weights *w = s->w;
    const size_t features = (size_t)w->channel_count * (size_t)w->out_bands;
    const rows frames = {
        .data = mel, .count = frame_count, .row_count = frame_count, .bands = w->band_count};
    for (int at = 0; at < count; at += SUBSAMPLING_PIECE) {
        const int left = count - at;
        convolve_piece(s, c, &frames, begin + at,
                       left < SUBSAMPLING_PIECE ? left : SUBSAMPLING_PIECE,
                       s->flat + (size_t)at * features);
    }
    linear(c, &w->out, w->out_bias, s->flat, features, out, (size_t)w->width, count);
}
