/* Attention of the encoder: every position looks at every other (audio.md 4.3). For a head, with
 * query i and key j of E positions,
 *
 *     s[i][j] = ((q[i] + u) . k[j] + (q[i] + w) . P[E - 1 - i + j]) / sqrt(head width)
 *     out[i]  = sum_j softmax(s[i])[j] v[j]
 *
 * All three products go through gemm in blocks of queries: keys, a window of P, and the values
 * turned so that a feature is a row. An output's bits do not depend on what stands beside it
 * (kernels.h), so blocks and threads do not show. Keys and positions of a head are columns of wider
 * rows.
 */
#include <math.h>

#include "core/dense.h"
#include "tokenizer/encoder_inner.h"

typedef struct attend_job {
    const encoder_state *s;
    const encoder_layer *y;
    const kernels *k;
    int block_count; /* blocks of queries per head */
} attend_job;

size_t encoder_scores_size(int position_cap, int head_width) {
    const size_t row = 2 * ((size_t)position_cap + (size_t)head_width) + ENCODER_QUERIES;
    return ENCODER_QUERIES * row;
}

/* The queries of a block with u and w added, both scaled: [count, head_width] each. */
static void prepare(const attend_job *j, size_t at, int query, int count, float *with_u,
                    float *with_w) {
    const size_t width = (size_t)j->s->w->width, head_width = (size_t)j->s->w->head_width;
    const float scale = 1.0f / sqrtf((float)head_width);
    for (size_t t = 0; t < (size_t)count; t++) {
        const float *q = j->s->q + ((size_t)query + t) * width + at;
        for (size_t i = 0; i < head_width; i++) {
            with_u[t * head_width + i] = (q[i] + j->y->bias_u[at + i]) * scale;
            with_w[t * head_width + i] = (q[i] + j->y->bias_v[at + i]) * scale;
        }
    }
}

/* Queries [query, query + count) of one head. */
static void attend_block(const attend_job *j, int head, int query, int count, float *scratch) {
    const encoder_state *s = j->s;
    const int head_width = s->w->head_width, keys = s->position_count;
    const size_t width = (size_t)s->w->width, at = (size_t)head * (size_t)head_width;
    const int window = keys + count - 1; /* rows of P that any of the queries needs */
    float *with_u = scratch, *with_w = with_u + ENCODER_QUERIES * head_width;
    float *scores = with_w + ENCODER_QUERIES * head_width;
    float *moved = scores + ENCODER_QUERIES * (size_t)keys;
    prepare(j, at, query, count, with_u, with_w);
    dense_multiply(j->k, scores, (size_t)keys, s->k + at, width, keys, with_u, count, head_width);
    const float *first = s->positions + (size_t)(keys - query - count) * width + at;
    dense_multiply(j->k, moved, (size_t)window, first, width, window, with_w, count, head_width);
    for (int t = 0; t < count; t++) {
        float *row = scores + (size_t)t * (size_t)keys;
        j->k->axpy(row, 1.0f, moved + (size_t)t * (size_t)window + (count - 1 - t), keys);
        j->k->softmax(row, keys, NULL);
    }
    dense_multiply(j->k, s->mixed + (size_t)query * width + at, width, s->wide + at * (size_t)keys,
                   (size_t)keys, head_width, scores, count, keys);
}

static void attend_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    float *scratch = j->s->scores + (size_t)thread_index * j->s->scores_size;
    for (int64_t item = begin; item < end; item++) {
        const int query = (int)(item % j->block_count) * ENCODER_QUERIES;
        const int left = j->s->position_count - query;
        attend_block(j, (int)(item / j->block_count), query,
                     left < ENCODER_QUERIES ? left : ENCODER_QUERIES, scratch);
    }
}

void encoder_attend(encoder_state *s, const compute *c, const encoder_layer *y) {
    attend_job job = {.s = s, .y = y, .k = c->k};
    job.block_count = (s->position_count + ENCODER_QUERIES - 1) / ENCODER_QUERIES;
    dense_turn(c->pool, s->v, s->position_count, s->w->width, s->wide);
    pool_run(c->pool, (int64_t)s->w->head_count * job.block_count, 1, attend_part, &job);
}
