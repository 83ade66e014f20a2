/* Attention of the tower: every patch looks at every other of its view (family.md 2.6),
 *
 *     out[i] = sum_j softmax_j(q[i] . k[j] / sqrt(head width)) v[j]
 *
 * in blocks of queries, both products by gemm, with the values turned so that a feature is a row.
 * An output's bits do not depend on what stands beside it (kernels.h), so neither blocks nor
 * threads show. Keys of a head are columns of wider rows. A tower with packed weights has its
 * attention from tower_rounded.c. */
#include <math.h>

#include "core/dense.h"
#include "vision/tower_inner.h"

typedef struct attend_job {
    const tower_state *s;
    const kernels *k;
    int block_count; /* blocks of queries per head */
} attend_job;

size_t tower_scores_size(const tower_weights *w, int patch_cap) {
    const size_t attention = TOWER_QUERIES * ((size_t)patch_cap + (size_t)w->head_width);
    const size_t positions = 2 * (size_t)w->width;
    return attention > positions ? attention : positions;
}

/* Queries [query, query + count) of one head. What comes out takes the place of the values, which
 * were turned before. */
static void attend_block(const attend_job *j, int head, int query, int count, float *scratch) {
    const tower_state *s = j->s;
    const int head_width = s->w->head_width, keys = tower_patches(s);
    const size_t width = (size_t)s->w->width, at = (size_t)head * (size_t)head_width;
    const float scale = 1.0f / sqrtf((float)head_width);
    float *scaled = scratch, *scores = scaled + TOWER_QUERIES * head_width;
    float *own = s->q + (size_t)query * width + at;
    for (int t = 0; t < count; t++)
        for (int i = 0; i < head_width; i++)
            scaled[t * head_width + i] = own[(size_t)t * width + (size_t)i] * scale;
    dense_multiply(j->k, scores, (size_t)keys, s->k + at, width, keys, scaled, count, head_width);
    for (int t = 0; t < count; t++) j->k->softmax(scores + (size_t)t * (size_t)keys, keys, NULL);
    dense_multiply(j->k, s->v + (size_t)query * width + at, width, s->turned + at * (size_t)keys,
                   (size_t)keys, head_width, scores, count, keys);
}

static void attend_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    float *scratch = j->s->scores + (size_t)thread_index * j->s->scores_size;
    for (int64_t item = begin; item < end; item++) {
        const int query = (int)(item % j->block_count) * TOWER_QUERIES;
        const int left = tower_patches(j->s) - query;
        attend_block(j, (int)(item / j->block_count), query,
                     left < TOWER_QUERIES ? left : TOWER_QUERIES, scratch);
    }
}

void tower_attend(tower_state *s, const compute *c) {
    attend_job job = {.s = s, .k = c->k};
    job.block_count = (tower_patches(s) + TOWER_QUERIES - 1) / TOWER_QUERIES;
    if (!c->exact && s->w->layers[0].q.packed != NULL && c->k->multiply[QUANT_Q8_0] != NULL) {
        tower_attend_rounded(s, c);
        return;
    }
    dense_turn(c->pool, s->v, tower_patches(s), s->w->width, s->turned);
    pool_run(c->pool, (int64_t)s->w->head_count * job.block_count, 1, attend_part, &job);
}
