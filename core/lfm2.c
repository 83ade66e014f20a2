/* The LFM2 layer stack: running it. Loading is in lfm2_load.c, attention in
 * lfm2_attention.c.
 *
 * x [count, width] -> norm -> convolution or attention -> + x -> norm -> gated FFN -> + x -> ...
 * Invariant: what is computed for a position depends only on earlier positions and never on the
 * batch it came in, because linear() and the kernels promise the same of their outputs. */
#include "core/lfm2.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/lfm2_inner.h"
#include "core/taps.h"

static int max_int(int a, int b) {
    return a > b ? a : b;
}

static void layout_layers(lfm2_state *s, arena *kept, arena *cache) {
    const lfm2_config *c = &s->w->config;
    const size_t layer_count = (size_t)c->layer_count;
    const size_t row_size = kernels_cache_row_size(s->cache, c->head_width);
    const size_t rows = (size_t)s->position_cap;
    arena *kv = c->window > 0 ? kept : cache;
    s->keys = arena_take(kept, layer_count, sizeof *s->keys);
    s->values = arena_take(kept, layer_count, sizeof *s->values);
    s->tails = arena_take(kept, layer_count, sizeof *s->tails);
    for (int i = 0; i < c->layer_count; i++) {
        const size_t kv_heads = (size_t)c->kv_head_count[i];
        const size_t tail = kv_heads > 0 ? 0 : (size_t)(c->conv_taps - 1) * (size_t)c->width;
        unsigned char *k = arena_take(kv, kv_heads * rows, row_size);
        unsigned char *v = arena_take(kv, kv_heads * rows, row_size);
        float *t = arena_take(kept, tail, sizeof *t);
        if (s->keys == NULL) continue; /* measuring */
        s->keys[i] = k;
        s->values[i] = v;
        s->tails[i] = t;
    }
}

bool lfm2_caches(const lfm2_config *c, kernels_cache type) {
    return type != KERNELS_CACHE_Q8_0 || c->head_width % KERNELS_CACHE_BLOCK == 0;
}

void lfm2_layout(lfm2_state *s, const lfm2_weights *w, kernels_cache type, int position_cap,
                 int batch_cap, int thread_count, arena *kept, arena *cache, arena *scratch) {
    const lfm2_config *c = &w->config;
    assert(lfm2_caches(c, type));
    *s = (lfm2_state){.w = w, .cache = type, .batch_cap = batch_cap};
    /* A query sees window - 1 keys before the batch's first position, and the batch itself. */
    s->position_cap = c->window > 0 ? c->window - 1 + batch_cap : position_cap;
    layout_layers(s, kept, cache);
    const size_t batch = (size_t)batch_cap;
    int kv_max = 0;
    for (int i = 0; i < c->layer_count; i++) kv_max = max_int(kv_max, c->kv_head_count[i]);
    const int heads = c->head_count * c->head_width;
    const int projected = max_int(3 * c->width, heads + 2 * kv_max * c->head_width);
    s->normed = arena_take(scratch, batch * (size_t)c->width, sizeof(float));
    s->projected = arena_take(scratch, batch * (size_t)projected, sizeof(float));
    s->mixed = arena_take(scratch, batch * (size_t)max_int(c->width, heads), sizeof(float));
    s->gated = arena_take(scratch, batch * (size_t)w->ff_width_max, sizeof(float));
    s->raised = arena_take(scratch, batch * (size_t)w->ff_width_max, sizeof(float));
    s->rotary = arena_take(scratch, batch * (size_t)c->head_width, sizeof(float));
    lfm2_attention_layout(s, thread_count, scratch);
}

void lfm2_reset(lfm2_state *s) {
    const lfm2_config *c = &s->w->config;
    s->position = 0;
    const size_t tail = (size_t)(c->conv_taps - 1) * (size_t)c->width;
    for (int i = 0; i < c->layer_count; i++)
        if (c->kv_head_count[i] == 0 && tail > 0) memset(s->tails[i], 0, tail * sizeof(float));
    /* Keys and values are written before they are read: nothing to clear. */
}

/* Angles in double: position * base^(-2i / head_width); float32 angles would drift with
 * position. */
static void prepare_rotary(lfm2_state *s, int count) {
    const lfm2_config *c = &s->w->config;
    const int half = c->head_width / 2;
    for (int i = 0; i < half; i++) {
        const double turn = pow(c->rope_base, -2.0 * i / c->head_width);
        for (int t = 0; t < count; t++) {
            const double angle = (double)(s->position + t) * turn;
            s->rotary[(size_t)t * (size_t)c->head_width + (size_t)i] = (float)cos(angle);
            s->rotary[(size_t)t * (size_t)c->head_width + (size_t)(half + i)] = (float)sin(angle);
        }
    }
}

/* Work on rows or columns that do not touch each other: by all threads where it is enough for them,
 * which one position (a decoding step) never is. */
static void share(const compute *c, int count, int64_t item_count, pool_fn fn, void *job) {
    enum { SHARED_COUNT = 8, GRAIN = 16 };
    if (count >= SHARED_COUNT)
        pool_run(c->pool, item_count, GRAIN, fn, job);
    else
        fn(job, 0, item_count, 0);
}

typedef struct convolve_job {
    const lfm2_config *config;
    const lfm2_layer *l;
    float *tail;      /* [taps - 1, width] */
    float *projected; /* [count, 3 * width] */
    float *out;       /* [count, width] */
    int count;
} convolve_job;

/* The gated input of tap j at position t: of this call, or of an earlier one from the tail. */
static const float *convolve_input(const convolve_job *job, int t, int j) {
    const size_t width = (size_t)job->config->width;
    const int at = t + j - (job->config->conv_taps - 1);
    return at >= 0 ? job->projected + (size_t)at * 3 * width : job->tail + (size_t)(t + j) * width;
}

/* Columns [begin, end): gate the input, where it stands; taps, oldest first; gate the sum. */
static void convolve_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const convolve_job *job = context;
    const lfm2_layer *l = job->l;
    const int taps = job->config->conv_taps;
    const size_t width = (size_t)job->config->width, first = (size_t)begin;
    const size_t count = (size_t)(end - begin);
    (void)thread_index;
    for (int t = 0; t < job->count; t++) {
        float *now = job->projected + (size_t)t * 3 * width + first;
        const float *gate = now + width, *x = gate + width;
        float *out = job->out + (size_t)t * width + first;
        memset(out, 0, count * sizeof *out);
        taps_scale(now, x, count);
        for (int j = 0; j < taps; j++)
            taps_add(out, l->conv + (size_t)j * width + first, convolve_input(job, t, j) + first,
                     count);
        if (l->conv_bias != NULL)
            for (size_t i = 0; i < count; i++) out[i] += l->conv_bias[first + i];
        taps_scale(out, gate, count);
    }
    for (int j = 0; j < taps - 1; j++) /* the next call's tail: each row from a later one */
        memcpy(job->tail + (size_t)j * width + first, convolve_input(job, job->count, j) + first,
               count * sizeof *job->tail);
}

static void convolution(lfm2_state *s, const compute *c, const lfm2_layer *l, int layer, float *x,
                        int count) {
    const size_t width = (size_t)s->w->config.width;
    linear(c, &l->conv_in, l->conv_in_bias, s->normed, width, s->projected, 3 * width, count);
    convolve_job job = {.config = &s->w->config,
                        .l = l,
                        .tail = s->tails[layer],
                        .projected = s->projected,
                        .out = s->mixed,
                        .count = count};
    share(c, count, s->w->config.width, convolve_part, &job);
    linear_add(c, &l->conv_out, l->conv_out_bias, s->mixed, width, x, width, count);
}

typedef struct norm_job {
    const kernels *k;
    const lfm2_config *config;
    const float *x, *gain;
    float *out;
} norm_job;

static void norm_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const norm_job *job = context;
    const int64_t width = job->config->width;
    (void)thread_index;
    for (int64_t t = begin; t < end; t++)
        job->k->rms_norm(job->out + t * width, job->x + t * width, job->gain, job->config->eps,
                         width);
}

static void norm_rows(const lfm2_state *s, const compute *c, const float *x, const float *gain,
                      float *out, int count) {
    norm_job job = {.k = c->k, .config = &s->w->config, .x = x, .gain = gain, .out = out};
    share(c, count, count, norm_part, &job);
}

static void feed_forward(lfm2_state *s, const compute *c, const lfm2_layer *l, float *x,
                         int count) {
    const size_t width = (size_t)s->w->config.width;
    const size_t ff = (size_t)l->gate.row_count;
    linear_gated(c, &l->gate, &l->up, s->normed, width, s->gated, s->raised, count);
    linear_add(c, &l->down, NULL, s->gated, ff, x, width, count);
}

void lfm2_forward(lfm2_state *s, const compute *c, float *x, int count) {
    assert(count > 0 && count <= s->batch_cap);
    assert(s->w->config.window > 0 || s->position + count <= s->position_cap);
    prepare_rotary(s, count);
    for (int i = 0; i < s->w->config.layer_count; i++) {
        const lfm2_layer *l = &s->w->layers[i];
        norm_rows(s, c, x, l->operator_norm, s->normed, count);
        if (l->kv_head_count > 0)
            lfm2_attention(s, c, l, i, x, count);
        else
            convolution(s, c, l, i, x, count);
        norm_rows(s, c, x, l->ffn_norm, s->normed, count);
        feed_forward(s, c, l, x, count);
        if (s->tap != NULL) s->tap(s->tap_context, i, x, count);
    }
    if (s->w->final_norm != NULL) norm_rows(s, c, x, s->w->final_norm, x, count);
    s->position += count;
}
