#include "tokenizer/encoder.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const float norm_eps = 1e-5f; /* audio.md 4.3 */

int encoder_width(const encoder_weights *w) {
    return w->width;
}

int encoder_position_count(int frame_count) {
    return subsampling_position_count(frame_count);
}

void encoder_layout(encoder_state *s, const encoder_weights *w, int frame_cap, int thread_count,
                    arena *a) {
    *s = (encoder_state){.w = w, .position_cap = encoder_position_count(frame_cap)};
    subsampling_layout(&s->subsampling, &w->subsampling, a);
    const size_t cap = (size_t)s->position_cap, width = (size_t)w->width;
    const size_t wide = (size_t)w->ff_max > 2 * width ? (size_t)w->ff_max : 2 * width;
    s->x = arena_take(a, cap * width, sizeof(float));
    s->normed = arena_take(a, cap * width, sizeof(float));
    s->q = arena_take(a, cap * width, sizeof(float));
    s->k = arena_take(a, cap * width, sizeof(float));
    s->v = arena_take(a, cap * width, sizeof(float));
    s->mixed = arena_take(a, cap * width, sizeof(float));
    s->wide = arena_take(a, cap * wide, sizeof(float));
    s->table = arena_take(a, 2 * cap * width, sizeof(float));
    s->positions = arena_take(a, 2 * cap * width, sizeof(float));
    s->scores_size = 2 * cap + 2 * (size_t)w->head_width;
    s->scores = arena_take(a, (size_t)thread_count * s->scores_size, sizeof(float));
}

/* Row r stands for the distance (count - 1) - r, query index minus key index (audio.md 4.2). */
static void make_table(encoder_state *s) {
    const int width = s->w->width, last = s->position_count - 1;
    for (int q = 0; q < width / 2; q++) {
        const double turn = exp(-log(10000.0) * 2.0 * q / width);
        for (int r = 0; r <= 2 * last; r++) {
            float *row = s->table + (size_t)r * (size_t)width;
            row[2 * q] = (float)sin((last - r) * turn);
            row[2 * q + 1] = (float)cos((last - r) * turn);
        }
    }
}

void encoder_begin(encoder_state *s, const float *mel, int frame_count) {
    s->mel = mel;
    s->frame_count = frame_count;
    s->position_count = encoder_position_count(frame_count);
    assert(s->position_count <= s->position_cap);
    s->done_count = 0;
    s->layer = 0;
    make_table(s);
}

static void norm_rows(const encoder_state *s, const compute *c, const encoder_norm *n,
                      const float *x, float *out) {
    const size_t width = (size_t)s->w->width;
    for (size_t t = 0; t < (size_t)s->position_count; t++)
        c->k->layer_norm(out + t * width, x + t * width, n->gain, n->bias, norm_eps, s->w->width);
}

/* x += 1/2 FF(LN(x)) */
static void feed_forward(encoder_state *s, const compute *c, const encoder_ff *ff) {
    const size_t width = (size_t)s->w->width, wide = (size_t)ff->up.row_count;
    const int count = s->position_count;
    norm_rows(s, c, &ff->norm, s->x, s->normed);
    linear(c, &ff->up, ff->up_bias, s->normed, width, s->wide, wide, count);
    c->k->silu(s->wide, s->wide, (int64_t)((size_t)count * wide));
    linear(c, &ff->down, ff->down_bias, s->wide, wide, s->mixed, width, count);
    c->k->axpy(s->x, 0.5f, s->mixed, (int64_t)((size_t)count * width));
}

typedef struct attend_job {
    const encoder_state *s;
    const encoder_layer *y;
    const kernels *k;
} attend_job;

/* One head of one query over all keys: content and position scores, softmax, mix (audio.md 4.3).
 * Keys and positions of a head are columns of a wider matrix: gemv takes rows of any stride. */
static void attend_one(const attend_job *j, int query, int head, float *scratch) {
    const encoder_state *s = j->s;
    const int width = s->w->width, head_width = s->w->head_width, count = s->position_count;
    const size_t at = (size_t)head * (size_t)head_width, row_size = (size_t)width * sizeof(float);
    float *scores = scratch, *moved = scratch + s->position_cap;
    float *with_u = moved + s->position_cap, *with_v = with_u + head_width;
    const float *q = s->q + (size_t)query * (size_t)width + at;
    for (int i = 0; i < head_width; i++) {
        with_u[i] = q[i] + j->y->bias_u[at + (size_t)i];
        with_v[i] = q[i] + j->y->bias_v[at + (size_t)i];
    }
    const float *first = s->positions + (size_t)(count - 1 - query) * (size_t)width + at;
    j->k->gemv[QUANT_F32](scores, s->k + at, row_size, count, with_u, head_width);
    j->k->gemv[QUANT_F32](moved, first, row_size, count, with_v, head_width);
    const float scale = 1.0f / sqrtf((float)head_width);
    for (int i = 0; i < count; i++) scores[i] = (scores[i] + moved[i]) * scale;
    j->k->softmax(scores, count);
    float *out = s->mixed + (size_t)query * (size_t)width + at;
    memset(out, 0, (size_t)head_width * sizeof *out);
    for (int i = 0; i < count; i++)
        j->k->axpy(out, scores[i], s->v + (size_t)i * (size_t)width + at, head_width);
}

static void attend_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const encoder_state *s = j->s;
    float *scratch = s->scores + (size_t)thread_index * s->scores_size;
    for (int64_t item = begin; item < end; item++)
        attend_one(j, (int)(item % s->position_count), (int)(item / s->position_count), scratch);
}

/* x += ATT(LN(x)) */
static void attention(encoder_state *s, const compute *c, const encoder_layer *y) {
    const size_t width = (size_t)s->w->width;
    const int count = s->position_count;
    norm_rows(s, c, &y->attention_norm, s->x, s->normed);
    linear(c, &y->q, y->q_bias, s->normed, width, s->q, width, count);
    linear(c, &y->k, y->k_bias, s->normed, width, s->k, width, count);
    linear(c, &y->v, y->v_bias, s->normed, width, s->v, width, count);
    linear(c, &y->position, NULL, s->table, width, s->positions, width, 2 * (int64_t)count - 1);
    attend_job job = {.s = s, .y = y, .k = c->k};
    pool_run(c->pool, (int64_t)count * s->w->head_count, 1, attend_part, &job);
    linear_add(c, &y->out, y->out_bias, s->mixed, width, s->x, width, count);
}

/* z = value * sigmoid(gate): [count, 2 * width] -> [count, width] in q. */
static void gate(encoder_state *s) {
    const size_t width = (size_t)s->w->width;
    for (size_t t = 0; t < (size_t)s->position_count; t++) {
        const float *value = s->wide + t * 2 * width, *by = value + width;
        for (size_t i = 0; i < width; i++) s->q[t * width + i] = value[i] / (1.0f + expf(-by[i]));
    }
}

typedef struct depth_job {
    const encoder_state *s;
    const encoder_layer *y;
} depth_job;

/* Depthwise over time with zero padding on both sides, then the folded batch norm. */
static void depth_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const depth_job *j = context;
    const size_t width = (size_t)j->s->w->width;
    const int taps = j->s->w->taps, count = j->s->position_count;
    for (int64_t t = begin; t < end; t++) {
        float *out = j->s->k + (size_t)t * width;
        memcpy(out, j->y->depth_bias, width * sizeof *out);
        for (int tap = 0; tap < taps; tap++) {
            const int64_t from = t - taps / 2 + tap;
            if (from < 0 || from >= count) continue;
            const float *x = j->s->q + (size_t)from * width;
            for (size_t i = 0; i < width; i++)
                out[i] += j->y->depth[i * (size_t)taps + (size_t)tap] * x[i];
        }
        for (size_t i = 0; i < width; i++) out[i] = out[i] * j->y->scale[i] + j->y->shift[i];
    }
}

/* x += CNV(LN(x)) */
static void convolution(encoder_state *s, const compute *c, const encoder_layer *y) {
    const size_t width = (size_t)s->w->width;
    const int count = s->position_count;
    norm_rows(s, c, &y->conv_norm, s->x, s->normed);
    linear(c, &y->point1, y->point1_bias, s->normed, width, s->wide, 2 * width, count);
    gate(s);
    depth_job job = {.s = s, .y = y};
    pool_run(c->pool, count, 1, depth_part, &job);
    c->k->silu(s->k, s->k, (int64_t)((size_t)count * width));
    linear_add(c, &y->point2, y->point2_bias, s->k, width, s->x, width, count);
}

static void run_layer(encoder_state *s, const compute *c, const encoder_layer *y) {
    feed_forward(s, c, &y->ff1);
    attention(s, c, y);
    convolution(s, c, y);
    feed_forward(s, c, &y->ff2);
    norm_rows(s, c, &y->out_norm, s->x, s->x);
}

static void tap(const encoder_state *s, const char *stage, int layer) {
    if (s->tap != NULL) s->tap(s->tap_context, stage, layer, s->x, s->position_count, s->w->width);
}

rnl_status encoder_step(encoder_state *s, const compute *c) {
    if (s->done_count < s->position_count) {
        const int left = s->position_count - s->done_count;
        const int count = left < SUBSAMPLING_BLOCK ? left : SUBSAMPLING_BLOCK;
        subsampling_block(&s->subsampling, c, s->mel, s->frame_count, s->done_count, count,
                          s->x + (size_t)s->done_count * (size_t)s->w->width);
        s->done_count += count;
        if (s->done_count == s->position_count) tap(s, "subsampling", 0);
        return RNL_OK;
    }
    if (s->layer == s->w->layer_count) return RNL_DONE;
    run_layer(s, c, &s->w->layers[s->layer]);
    tap(s, "encoder", s->layer);
    s->layer++;
    return s->layer == s->w->layer_count ? RNL_DONE : RNL_OK;
}

const float *encoder_output(const encoder_state *s) {
    return s->x;
}
