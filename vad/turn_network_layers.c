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
    QUERIES = 25, /* that attention takes at once */
    GRAIN = 16    /* whole cache lines of v */
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

typedef struct attend_job {
    const turn_look *s;
    const kernels *k;
} attend_job;

size_t turn_attention_scratch(void) {
    return QUERIES * (TURN_POSITIONS + TURN_HEAD_WIDTH);
}

/* y[t * y_stride + r] = row r of w . x[t], r < row_count. x is dense. */
static void multiply(const kernels *k, float *y, size_t y_stride, const float *w, size_t w_stride,
                     int row_count, const float *x, int x_count, int col_count) {
    for (int r = 0; r < row_count; r += KERNELS_ROWS) {
        const int rows = row_count - r < KERNELS_ROWS ? row_count - r : KERNELS_ROWS;
        k->gemm(y + r, y_stride, w + (size_t)r * w_stride, w_stride, rows, x, (size_t)col_count,
                x_count, col_count);
    }
}

/* QUERIES queries of one head against all keys; values come as rows of features (s->wide). */
static void attend_block(const attend_job *j, int head, int query, float *scratch) {
    const turn_look *s = j->s;
    const size_t at = (size_t)head * TURN_HEAD_WIDTH;
    const float scale = 1.0f / sqrtf(TURN_HEAD_WIDTH);
    float *scaled = scratch, *scores = scratch + QUERIES * TURN_HEAD_WIDTH;
    for (size_t t = 0; t < QUERIES; t++)
        for (size_t i = 0; i < TURN_HEAD_WIDTH; i++)
            scaled[t * TURN_HEAD_WIDTH + i] =
                s->q[((size_t)query + t) * TURN_WIDTH + at + i] * scale;
    multiply(j->k, scores, TURN_POSITIONS, s->k + at, TURN_WIDTH, TURN_POSITIONS, scaled, QUERIES,
             TURN_HEAD_WIDTH);
    for (int t = 0; t < QUERIES; t++)
        j->k->softmax(scores + t * TURN_POSITIONS, TURN_POSITIONS, NULL);
    multiply(j->k, s->mixed + (size_t)query * TURN_WIDTH + at, TURN_WIDTH,
             s->wide + at * TURN_POSITIONS, TURN_POSITIONS, TURN_HEAD_WIDTH, scores, QUERIES,
             TURN_POSITIONS);
}

static void attend_part(void *context, int64_t begin, int64_t end, int thread_index) {
    enum { BLOCKS = TURN_POSITIONS / QUERIES };
    _Static_assert(BLOCKS * QUERIES == TURN_POSITIONS, "blocks are whole");
    const attend_job *j = context;
    float *scratch = j->s->scores + (size_t)thread_index * turn_attention_scratch();
    for (int64_t item = begin; item < end; item++)
        attend_block(j, (int)(item / BLOCKS), (int)(item % BLOCKS) * QUERIES, scratch);
}

/* Features [begin, end) of the values as rows: [384, 400]. */
static void turn_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const turn_look *s = ((const attend_job *)context)->s;
    (void)thread_index;
    for (size_t t = 0; t < TURN_POSITIONS; t++)
        for (size_t i = (size_t)begin; i < (size_t)end; i++)
            s->wide[i * TURN_POSITIONS + t] = s->v[t * TURN_WIDTH + i];
}

void turn_run_attention(turn_look *s, const compute *c, const turn_layer *y) {
    const turn_layer_weights *w = y->w;
    const linear_task tasks[] = {{&y->q, w->q_bias, s->q, TURN_WIDTH},
                                 {&y->k, NULL, s->k, TURN_WIDTH},
                                 {&y->v, w->v_bias, s->v, TURN_WIDTH}};
    norm_rows(c, s->x, w->norm1_gain, w->norm1_bias, s->normed);
    linear_all(c, tasks, 3, s->normed, TURN_WIDTH, TURN_POSITIONS);
    attend_job job = {s, c->k};
    pool_run(c->pool, TURN_WIDTH, GRAIN, turn_part, &job);
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
