/* One conformer layer (audio.md 4.3), x [position_count, width] in place:
 *
 *     x += 1/2 FF1(LN(x));  x += ATT(LN(x));  x += CNV(LN(x));  x += 1/2 FF2(LN(x));  x = LN(x)
 *
 * Products cut their outputs over the threads, everything else its positions. */
#include <math.h>
#include <string.h>

#include "core/taps.h"
#include "tokenizer/encoder_inner.h"

static const float norm_eps = 1e-5f; /* audio.md 4.3 */

typedef struct row_job {
    const encoder_state *s;
    const encoder_layer *y;
    const encoder_norm *norm;
    const kernels *k;
    float *out;
    size_t wide; /* columns of s->wide */
} row_job;

static size_t width_of(const row_job *j) {
    return (size_t)j->s->w->width;
}

static void run_rows(const compute *c, row_job *j, pool_fn fn) {
    j->k = c->k;
    pool_run(c->pool, j->s->position_count, 1, fn, j);
}

static void norm_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const row_job *j = context;
    for (int64_t t = begin; t < end; t++) {
        const size_t at = (size_t)t * width_of(j);
        j->k->layer_norm(j->out + at, j->s->x + at, j->norm->gain, j->norm->bias, norm_eps,
                         j->s->w->width);
    }
}

/* out = LN(x) */
static void norm_rows(const encoder_state *s, const compute *c, const encoder_norm *norm,
                      float *out) {
    row_job job = {.s = s, .norm = norm, .out = out};
    run_rows(c, &job, norm_part);
}

static void silu_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const row_job *j = context;
    for (int64_t t = begin; t < end; t++) {
        float *row = j->s->wide + (size_t)t * j->wide;
        j->k->silu(row, row, (int64_t)j->wide);
    }
}

static void add_half_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const row_job *j = context;
    for (int64_t t = begin; t < end; t++) {
        const size_t at = (size_t)t * width_of(j);
        j->k->axpy(j->s->x + at, 0.5f, j->s->mixed + at, j->s->w->width);
    }
    norm_part(context, begin, end, thread_index);
}

/* x += 1/2 FF(LN(x)); out = LN(x) by the norm behind it, while the rows are at hand */
static void feed_forward(encoder_state *s, const compute *c, const encoder_ff *ff,
                         const encoder_norm *behind, float *out) {
    const size_t width = (size_t)s->w->width, wide = (size_t)ff->up.row_count;
    const int count = s->position_count;
    row_job job = {.s = s, .wide = wide, .norm = behind, .out = out};
    norm_rows(s, c, &ff->norm, s->normed);
    linear(c, &ff->up, ff->up_bias, s->normed, width, s->wide, wide, count);
    run_rows(c, &job, silu_part);
    linear(c, &ff->down, ff->down_bias, s->wide, wide, s->mixed, width, count);
    run_rows(c, &job, add_half_part);
}

/* x += ATT(LN(x)), of which the norm is there. */
static void attention(encoder_state *s, const compute *c, const encoder_layer *y) {
    const size_t width = (size_t)s->w->width;
    const int count = s->position_count;
    const linear_task tasks[] = {{&y->q, y->q_bias, s->q, width},
                                 {&y->k, y->k_bias, s->k, width},
                                 {&y->v, y->v_bias, s->v, width}};
    linear_all(c, tasks, 3, s->normed, width, count);
    /* The table stands for the longest clip: this one's distances are its middle. */
    const float *table = s->table + (size_t)(s->position_cap - count) * width;
    linear(c, &y->position, NULL, table, width, s->positions, width, 2 * (int64_t)count - 1);
    encoder_attend(s, c, y);
    linear_add(c, &y->out, y->out_bias, s->mixed, width, s->x, width, count);
}

/* value * sigmoid(gate): s->wide [count, 2 * width] -> s->q [count, width]. */
static void gate_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const row_job *j = context;
    const size_t width = width_of(j);
    for (size_t t = (size_t)begin; t < (size_t)end; t++) {
        const float *value = j->s->wide + t * 2 * width, *gate = value + width;
        float *out = j->s->q + t * width;
        for (size_t i = 0; i < width; i++) out[i] = value[i] / (1.0f + expf(-gate[i]));
    }
}

/* Depthwise over time with zero padding on both sides, then the folded batch norm and silu:
 * s->q -> s->k. */
static void depth_part(void *context, int64_t begin, int64_t end, int thread_index) {
    (void)thread_index;
    const row_job *j = context;
    const encoder_layer *y = j->y;
    const size_t width = width_of(j);
    const int taps = j->s->w->taps, count = j->s->position_count;
    for (int64_t t = begin; t < end; t++) {
        float *out = j->s->k + (size_t)t * width;
        memcpy(out, y->depth_bias, width * sizeof *out);
        for (int tap = 0; tap < taps; tap++) {
            const int64_t from = t - taps / 2 + tap;
            if (from < 0 || from >= count) continue;
            taps_add(out, y->depth + (size_t)tap * width, j->s->q + (size_t)from * width, width);
        }
        for (size_t i = 0; i < width; i++) out[i] = out[i] * y->scale[i] + y->shift[i];
        j->k->silu(out, out, (int64_t)width);
    }
}

/* x += CNV(LN(x)) */
static void convolution(encoder_state *s, const compute *c, const encoder_layer *y) {
    const size_t width = (size_t)s->w->width;
    const int count = s->position_count;
    row_job job = {.s = s, .y = y};
    norm_rows(s, c, &y->conv_norm, s->normed);
    linear(c, &y->point1, y->point1_bias, s->normed, width, s->wide, 2 * width, count);
    run_rows(c, &job, gate_part);
    run_rows(c, &job, depth_part);
    linear_add(c, &y->point2, y->point2_bias, s->k, width, s->x, width, count);
}

void encoder_run_layer(encoder_state *s, const compute *c, const encoder_layer *y) {
    feed_forward(s, c, &y->ff1, &y->attention_norm, s->normed);
    attention(s, c, y);
    convolution(s, c, y);
    feed_forward(s, c, &y->ff2, &y->out_norm, s->x);
}
