/* From mel frames to a probability:
 *
 *     x = GELU(conv2(GELU(conv1(mel)))) + positions                              [400, 384]
 *     x += out(attention(q, k, v of LN(x)));  x += fc2(GELU(fc1(LN(x))))         four times
 *     pooled = sum_t softmax(pool2(tanh(pool0(LN(x)))))[t] LN(x)[t]              [384]
 *     p = sigmoid(cls6(GELU(cls4(GELU(LN(cls0(pooled)))))))
 *
 * Every position looks at every other. Products cut their outputs over the threads, everything else
 * its positions. */
#include <math.h>
#include <string.h>

#include "vad/turn_network_inner.h"

enum {
    QUERIES = 16, /* that attention takes at once */
    GRAIN = 16    /* columns: whole cache lines of keys and values */
};
static const float norm_eps = 1e-5f;

/* ---- by rows ---- */

typedef struct row_job {
    const kernels *k;
    const float *x;
    float *y;
    const float *gain, *bias;
    int64_t width;
} row_job;

static void norm_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const row_job *j = context;
    (void)thread_index;
    for (int64_t t = begin; t < end; t++)
        j->k->layer_norm(j->y + t * j->width, j->x + t * j->width, j->gain, j->bias, norm_eps,
                         j->width);
}

static void norm_rows(const compute *c, const float *x, const float *gain, const float *bias,
                      float *y) {
    row_job job = {c->k, x, y, gain, bias, TURN_WIDTH};
    pool_run(c->pool, TURN_POSITIONS, 1, norm_part, &job);
}

static void gelu_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const row_job *j = context;
    (void)thread_index;
    j->k->gelu(j->y + begin * j->width, j->y + begin * j->width, (end - begin) * j->width);
}

static void gelu_rows(const compute *c, float *y, int64_t rows, int64_t width) {
    row_job job = {.k = c->k, .y = y, .width = width};
    pool_run(c->pool, rows, 1, gelu_part, &job);
}

static void tanh_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const row_job *j = context;
    (void)thread_index;
    for (int64_t i = begin * j->width; i < end * j->width; i++) j->y[i] = tanhf(j->y[i]);
}

/* ---- convolutions ---- */

/* mel -> wide, whose row 0 is the padding of conv2. */
void turn_run_conv1(turn_look *s, const compute *c) {
    memset(s->wide, 0, TURN_WIDTH * sizeof *s->wide);
    float *y = s->wide + TURN_WIDTH;
    linear(c, &s->n->conv1, s->n->w->conv1_bias, s->mel, TURN_BANDS, y, TURN_WIDTH, TURN_FRAMES);
    gelu_rows(c, y, TURN_FRAMES, TURN_WIDTH);
}

void turn_run_conv2(turn_look *s, const compute *c) {
    linear(c, &s->n->conv2, s->n->w->conv2_bias, s->wide, 2 * TURN_WIDTH, s->x, TURN_WIDTH,
           TURN_POSITIONS);
    gelu_rows(c, s->x, TURN_POSITIONS, TURN_WIDTH);
    c->k->axpy(s->x, 1.0f, s->n->w->positions[0], TURN_POSITIONS * TURN_WIDTH);
    turn_tap(s, "conv", 0, s->x, TURN_POSITIONS, TURN_WIDTH);
}

/* ---- attention ---- */

/* Both products are sums of whole rows, which k->mix makes, for a head and a block of queries:
 *
 *     scores [QUERIES, 400] = q [QUERIES, 64] K^T [64, 400]      out [QUERIES, 64] = scores V
 *
 * so keys are turned, features as rows, and values put together head by head. */
typedef struct attend_job {
    const turn_look *s;
    const kernels *k;
    float *keys;   /* [384, 400], divided by the root of the head's width */
    float *values; /* [6, 400, 64] */
} attend_job;

size_t turn_attention_scratch(void) {
    return QUERIES * (TURN_POSITIONS + TURN_HEAD_WIDTH);
}

/* Columns [begin, end) of keys and values, no part of two heads. */
static void arrange_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const float scale = 1.0f / sqrtf(TURN_HEAD_WIDTH);
    (void)thread_index;
    for (size_t at = (size_t)begin; at < (size_t)end; at += GRAIN) {
        float *values = j->values + at / TURN_HEAD_WIDTH * TURN_POSITIONS * TURN_HEAD_WIDTH +
                        at % TURN_HEAD_WIDTH;
        for (size_t t = 0; t < TURN_POSITIONS; t++) {
            const float *key = j->s->k + t * TURN_WIDTH + at;
            for (size_t i = 0; i < GRAIN; i++)
                j->keys[(at + i) * TURN_POSITIONS + t] = key[i] * scale;
            memcpy(values + t * TURN_HEAD_WIDTH, j->s->v + t * TURN_WIDTH + at,
                   GRAIN * sizeof *values);
        }
    }
}

/* QUERIES queries of one head against all keys. */
static void attend_block(const attend_job *j, size_t head, size_t query, float *scratch) {
    const size_t at = query * TURN_WIDTH + head * TURN_HEAD_WIDTH;
    const float *keys = j->keys + head * TURN_HEAD_WIDTH * TURN_POSITIONS;
    const float *values = j->values + head * TURN_POSITIONS * TURN_HEAD_WIDTH;
    float *scores = scratch, *out = scratch + QUERIES * TURN_POSITIONS;
    memset(scratch, 0, turn_attention_scratch() * sizeof *scratch);
    j->k->mix[KERNELS_CACHE_F32](scores, j->s->q + at, TURN_WIDTH, QUERIES, keys, TURN_HEAD_WIDTH,
                                 TURN_POSITIONS);
    for (size_t t = 0; t < QUERIES; t++)
        j->k->softmax(scores + t * TURN_POSITIONS, TURN_POSITIONS, NULL);
    j->k->mix[KERNELS_CACHE_F32](out, scores, TURN_POSITIONS, QUERIES, values, TURN_POSITIONS,
                                 TURN_HEAD_WIDTH);
    for (size_t t = 0; t < QUERIES; t++)
        memcpy(j->s->mixed + at + t * TURN_WIDTH, out + t * TURN_HEAD_WIDTH,
               TURN_HEAD_WIDTH * sizeof *out);
}

static void attend_part(void *context, int64_t begin, int64_t end, int thread_index) {
    enum { BLOCKS = TURN_POSITIONS / QUERIES };
    _Static_assert(BLOCKS * QUERIES == TURN_POSITIONS, "blocks are whole");
    const attend_job *j = context;
    float *scratch = j->s->scores + (size_t)thread_index * turn_attention_scratch();
    for (int64_t item = begin; item < end; item++)
        attend_block(j, (size_t)(item / BLOCKS), (size_t)(item % BLOCKS) * QUERIES, scratch);
}

void turn_run_attention(turn_look *s, const compute *c, const turn_layer *y) {
    const turn_layer_weights *w = y->w;
    const linear_task tasks[] = {{&y->q, w->q_bias, s->q, TURN_WIDTH},
                                 {&y->k, NULL, s->k, TURN_WIDTH},
                                 {&y->v, w->v_bias, s->v, TURN_WIDTH}};
    norm_rows(c, s->x, w->norm1_gain, w->norm1_bias, s->normed);
    linear_all(c, tasks, 3, s->normed, TURN_WIDTH, TURN_POSITIONS);
    attend_job job = {s, c->k, s->wide, s->wide + TURN_WIDTH * TURN_POSITIONS};
    pool_run(c->pool, TURN_WIDTH, GRAIN, arrange_part, &job);
    pool_run(c->pool, TURN_HEADS * TURN_POSITIONS / QUERIES, 1, attend_part, &job);
    linear_add(c, &y->out, w->out_bias, s->mixed, TURN_WIDTH, s->x, TURN_WIDTH, TURN_POSITIONS);
}

void turn_run_ff(turn_look *s, const compute *c, const turn_layer *y) {
    const turn_layer_weights *w = y->w;
    norm_rows(c, s->x, w->norm2_gain, w->norm2_bias, s->normed);
    linear(c, &y->fc1, w->fc1_bias, s->normed, TURN_WIDTH, s->wide, TURN_FF, TURN_POSITIONS);
    gelu_rows(c, s->wide, TURN_POSITIONS, TURN_FF);
    linear_add(c, &y->fc2, w->fc2_bias, s->wide, TURN_FF, s->x, TURN_WIDTH, TURN_POSITIONS);
}

/* ---- the head ---- */

void turn_run_head(turn_look *s, const compute *c) {
    const turn_network *n = s->n;
    const turn_network_weights *w = n->w;
    float *pooled = s->mixed, *weights = s->scores, *half = s->k, *quarter = s->v, logit;
    norm_rows(c, s->x, w->norm_gain, w->norm_bias, s->normed);
    linear(c, &n->pool0, w->pool0_bias, s->normed, TURN_WIDTH, s->q, TURN_HALF, TURN_POSITIONS);
    row_job job = {.y = s->q, .width = TURN_HALF};
    pool_run(c->pool, TURN_POSITIONS, 1, tanh_part, &job);
    linear(c, &n->pool2, w->pool2_bias, s->q, TURN_HALF, weights, 1, TURN_POSITIONS);
    c->k->softmax(weights, TURN_POSITIONS, NULL);
    memset(pooled, 0, TURN_WIDTH * sizeof *pooled);
    for (size_t t = 0; t < TURN_POSITIONS; t++)
        c->k->axpy(pooled, weights[t], s->normed + t * TURN_WIDTH, TURN_WIDTH);
    turn_tap(s, "pooled", 0, pooled, 1, TURN_WIDTH);

    linear(c, &n->cls0, w->cls0_bias, pooled, TURN_WIDTH, half, TURN_HALF, 1);
    c->k->layer_norm(half, half, w->cls1_gain, w->cls1_bias, norm_eps, TURN_HALF);
    c->k->gelu(half, half, TURN_HALF);
    linear(c, &n->cls4, w->cls4_bias, half, TURN_HALF, quarter, TURN_QUARTER, 1);
    c->k->gelu(quarter, quarter, TURN_QUARTER);
    linear(c, &n->cls6, w->cls6_bias, quarter, TURN_QUARTER, &logit, 1, 1);
    turn_tap(s, "logit", 0, &logit, 1, 1);
    s->probability = 1.0f / (1.0f + expf(-logit));
}
