#include "learn/linear_attention.h"

#include <math.h>
#include <string.h>

#include "learn/norms.h"
#include "learn/scan.h"
#include "stack/scan.h"

enum { GRAIN = 4 };

/* Columns of what the scan is over: sums carry one of ones. */
static int value_cols(const stack_layer_config *l) {
    return l->head_width + (l->linear == STACK_LINEAR_SUM ? 1 : 0);
}

/* Floats of a thread: rows of a head and their gradients, and the scan's own. */
static size_t own_size(const stack_layer_config *l, int position_cap) {
    const size_t n = (size_t)l->head_width, cols = n + 1, rows = (size_t)position_cap;
    const size_t all = rows * (4 * n + 3 * cols) + n +
                       learn_scan_scratch(l->head_width, l->head_width + 1, position_cap);
    return (all + 15) / 16 * 16;
}

void learn_linear_layout(learn_linear_work *k, const stack_layer_config *l, int width, int row_cap,
                         int position_cap, int thread_count, arena *a) {
    const size_t rows = (size_t)row_cap;
    *k = (learn_linear_work){.own_size = own_size(l, position_cap)};
    k->dy = arena_take(a, rows * (size_t)width, sizeof(float));
    k->ratios = arena_take(a, rows * (size_t)l->head_count, sizeof(float));
    k->own = arena_take(a, (size_t)thread_count * k->own_size, sizeof(float));
}

typedef struct attend_job {
    const compute *c;
    const learn_linear_attention *v;
    const stack_layer_config *l;
    learn_linear_work *k;
    const learn_rows *rows;
    const float *kept, *dmixed; /* kept: y */
    float *wide, *y, *mixed, *dwide;
    size_t h, width;
} attend_job;

static attend_job job_of(const compute *c, const learn_linear_attention *v, learn_linear_work *k,
                         const learn_rows *rows) {
    const stack_layer_config *l = v->config;
    attend_job j = {.c = c, .v = v, .l = l, .k = k, .rows = rows};
    j.h = (size_t)l->head_width;
    j.width = (size_t)l->head_count * j.h;
    return j;
}

/* One head of one run. */
typedef struct head_run {
    size_t head, first;
    int count;
} head_run;

static head_run item_at(const attend_job *j, int64_t item) {
    const int run = (int)(item / j->l->head_count);
    return (head_run){.head = (size_t)(item % j->l->head_count),
                      .first = (size_t)j->rows->begin[run],
                      .count = j->rows->begin[run + 1] - j->rows->begin[run]};
}

/* ---- Forward ---- */

static void features_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    (void)thread_index;
    for (size_t t = (size_t)begin; t < (size_t)end; t++) {
        float *q = j->wide + t * 3 * j->width;
        scan_linear_features(j->l->linear, j->l->head_width, q, q + j->width, (int64_t)j->width);
    }
}

static void scan_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    float *state = j->k->own + (size_t)thread_index * j->k->own_size;
    for (int64_t i = begin; i < end; i++) {
        const head_run r = item_at(j, i);
        const scan_linear_head head = {
            .k = j->c->k,
            .kind = j->l->linear,
            .head_width = j->l->head_width,
            .decay = scan_linear_decay(j->l->linear, (int)r.head, j->l->head_count),
            .stride = 3 * j->width};
        const float *q = j->wide + r.first * 3 * j->width + r.head * j->h;
        memset(state, 0, scan_linear_size(j->l->linear, j->l->head_width) * sizeof *state);
        scan_linear(&head, state, q, q + j->width, q + 2 * j->width,
                    j->y + r.first * j->width + r.head * j->h, j->width, r.count);
    }
}

static void norm_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    (void)thread_index;
    for (size_t t = (size_t)begin; t < (size_t)end; t++)
        for (size_t at = t * j->width; at < (t + 1) * j->width; at += j->h)
            j->c->k->rms_norm(j->mixed + at, j->kept + at, j->v->norm.v, j->v->eps, (int64_t)j->h);
}

void learn_linear_norm(const compute *c, const learn_linear_attention *v, const learn_rows *rows,
                       const float *y, float *mixed) {
    attend_job j = job_of(c, v, NULL, rows);
    j.kept = y;
    j.mixed = mixed;
    pool_run(c->pool, rows->count, GRAIN, norm_part, &j);
}

void learn_linear_attend(const compute *c, const learn_linear_attention *v, learn_linear_work *k,
                         const learn_rows *rows, float *wide, float *y, float *mixed) {
    attend_job j = job_of(c, v, k, rows);
    j.wide = wide;
    j.y = y;
    pool_run(c->pool, rows->count, GRAIN, features_part, &j);
    pool_run(c->pool, (int64_t)rows->run_count * j.l->head_count, 1, scan_part, &j);
    learn_linear_norm(c, v, rows, y, mixed);
}

/* ---- Backward ---- */

static void unnorm_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const size_t heads = (size_t)j->l->head_count;
    (void)thread_index;
    for (size_t t = (size_t)begin; t < (size_t)end; t++)
        for (size_t i = 0; i < heads; i++) {
            const size_t at = t * j->width + i * j->h;
            j->k->ratios[t * heads + i] =
                learn_rms_row_back(j->kept + at, j->v->norm.v, j->v->eps, j->l->head_width,
                                   j->dmixed + at, j->k->dy + at);
        }
}

/* The gradient of the norm's gain: columns [begin, end) of every head of every row. */
static void gain_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const size_t heads = (size_t)j->l->head_count;
    (void)thread_index;
    for (size_t t = 0; t < (size_t)j->rows->count; t++)
        for (size_t i = 0; i < heads; i++) {
            const size_t at = t * j->width + i * j->h;
            for (size_t n = (size_t)begin; n < (size_t)end; n++)
                j->v->norm.dv[n] +=
                    j->dmixed[at + n] * (j->kept[at + n] * j->k->ratios[t * heads + i]);
        }
}

/* The rows of one head behind each other; of sums with the column of ones, and its gradient. keys
 * [h] is scratch. */
static void gather(const attend_job *j, const head_run *r, const learn_scan *s, float *q, float *k,
                   float *v, float *dy, float *keys) {
    const bool sums = j->l->linear == STACK_LINEAR_SUM;
    const size_t h = j->h, cols = (size_t)s->width;
    memset(keys, 0, h * sizeof *keys);
    for (size_t t = 0; t < (size_t)r->count; t++) {
        const float *from = j->wide + (r->first + t) * 3 * j->width + r->head * h;
        const size_t at = (r->first + t) * j->width + r->head * h;
        memcpy(q + t * h, from, h * sizeof *q);
        memcpy(k + t * h, from + j->width, h * sizeof *k);
        memcpy(v + t * cols, from + 2 * j->width, h * sizeof *v);
        memcpy(dy + t * cols, j->k->dy + at, h * sizeof *dy);
        if (!sums) continue;
        j->c->k->axpy(keys, 1, k + t * h, (int64_t)h);
        const float sum = j->c->k->dot(q + t * h, keys, (int64_t)h) + 1e-6f;
        double along = 0;
        for (size_t i = 0; i < h; i++) {
            along += (double)dy[t * cols + i] * (double)j->kept[at + i];
            dy[t * cols + i] /= sum;
        }
        v[t * cols + h] = 1;
        dy[t * cols + h] = -(float)along / sum;
    }
}

/* Through the features: x + 1 above 0, where they are above 1, else e^x, which is its own slope. */
static void scatter(const attend_job *j, const head_run *r, const learn_scan *s) {
    const bool sums = j->l->linear == STACK_LINEAR_SUM;
    const float scale = sums ? 1 : 1.0f / sqrtf((float)j->l->head_width);
    for (size_t t = 0; t < (size_t)r->count; t++) {
        float *to = j->dwide + (r->first + t) * 3 * j->width + r->head * j->h;
        for (size_t i = 0; i < j->h; i++) {
            const size_t at = t * j->h + i;
            const float q = sums && s->q[at] < 1 ? s->q[at] : scale;
            const float k = sums && s->k[at] < 1 ? s->k[at] : 1;
            to[i] = s->dq[at] * q;
            to[j->width + i] = s->dk[at] * k;
            to[2 * j->width + i] = s->dv[t * (size_t)s->width + i];
        }
    }
}

static void scan_back_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    for (int64_t i = begin; i < end; i++) {
        const head_run r = item_at(j, i);
        const size_t cells = (size_t)r.count * j->h;
        const size_t cells_v = (size_t)r.count * (size_t)value_cols(j->l);
        float *q = j->k->own + (size_t)thread_index * j->k->own_size;
        float *k = q + cells, *dq = k + cells, *dk = dq + cells;
        float *v = dk + cells, *dy = v + cells_v, *dv = dy + cells_v, *keys = dv + cells_v;
        const learn_scan s = {
            .n = j->l->head_width,
            .width = value_cols(j->l),
            .q = q,
            .k = k,
            .v = v,
            .dy = dy,
            .log = scan_linear_log_decay(j->l->linear, (int)r.head, j->l->head_count),
            .dq = dq,
            .dk = dk,
            .dv = dv};
        gather(j, &r, &s, q, k, v, dy, keys);
        learn_scan_back(j->c->k, &s, r.count, keys + j->h);
        scatter(j, &r, &s);
    }
}

void learn_linear_attend_back(const compute *c, const learn_linear_attention *v,
                              learn_linear_work *k, const learn_rows *rows, const float *wide,
                              const float *y, const float *dmixed, float *dwide) {
    attend_job j = job_of(c, v, k, rows);
    j.wide = (float *)wide;
    j.kept = y;
    j.dmixed = dmixed;
    j.dwide = dwide;
    pool_run(c->pool, rows->count, GRAIN, unnorm_part, &j);
    if (v->norm.dv != NULL) pool_run(c->pool, (int64_t)j.h, 8, gain_part, &j);
    pool_run(c->pool, (int64_t)rows->run_count * j.l->head_count, 1, scan_back_part, &j);
}
