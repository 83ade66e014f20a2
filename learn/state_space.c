#include "learn/state_space.h"

#include <math.h>
#include <string.h>

#include "core/taps.h"
#include "learn/norms.h"
#include "learn/scan.h"
#include "stack/scan.h"

enum { GRAIN = 16, ROWS = 4 };

int learn_space_inner(const stack_layer_config *l) {
    return l->head_count * l->head_width;
}
int learn_space_mixed(const stack_layer_config *l) {
    return learn_space_inner(l) + 2 * l->state_width;
}
int learn_space_wide(const stack_layer_config *l) {
    return learn_space_inner(l) + learn_space_mixed(l) + l->head_count;
}

/* ---- Memory ---- */

static void widen(int *most, int value) {
    if (value > *most) *most = value;
}

void learn_space_widen(learn_space_most *m, const stack_layer_config *l) {
    widen(&m->inner, learn_space_inner(l));
    widen(&m->mixed, learn_space_mixed(l));
    widen(&m->taps, l->taps);
    widen(&m->head_count, l->head_count);
    widen(&m->head_width, l->head_width);
    widen(&m->state_width, l->state_width);
}

void learn_space_layout(learn_space_work *k, const learn_space_most *m, int row_cap,
                        int position_cap, int thread_count, arena *a) {
    const size_t rows = (size_t)row_cap, inner = (size_t)m->inner, mixed = (size_t)m->mixed;
    const size_t n = (size_t)m->state_width, width = (size_t)m->head_width;
    /* Of a run: B, C and their gradients, v and dy and its gradient, l (double), dl, the scan's. */
    const size_t own = (size_t)position_cap * (4 * n + 3 * width + 3) +
                       learn_scan_scratch(m->state_width, m->head_width, position_cap);
    *k = (learn_space_work){.own_size = (own + 15) / 16 * 16};
    k->raw = arena_take(a, rows * mixed, sizeof(float));
    k->mixed = arena_take(a, rows * mixed, sizeof(float));
    k->turned = arena_take(a, (size_t)m->taps * mixed, sizeof(float));
    k->gated = arena_take(a, rows * inner, sizeof(float));
    k->dgated = arena_take(a, rows * inner, sizeof(float));
    k->dy = arena_take(a, rows * inner, sizeof(float));
    k->by_head = arena_take(a, rows * 2 * (size_t)m->head_count, sizeof(float));
    k->ratios = arena_take(a, rows, sizeof(float));
    k->own = arena_take(a, (size_t)thread_count * k->own_size, sizeof(float));
}

typedef struct space_job {
    const compute *c;
    const learn_state_space *v;
    const stack_layer_config *l;
    learn_space_work *k;
    const learn_rows *rows;
    const float *wide, *kept; /* kept: y */
    float *y, *out, *dwide;
    size_t inner, mixed, cols, taps; /* cols: of wide */
} space_job;

static space_job job_of(const compute *c, const learn_state_space *v, learn_space_work *k,
                        const learn_rows *rows, const float *wide) {
    const stack_layer_config *l = v->config;
    space_job j = {.c = c, .v = v, .l = l, .k = k, .rows = rows, .wide = wide};
    j.inner = (size_t)learn_space_inner(l);
    j.mixed = (size_t)learn_space_mixed(l);
    j.cols = (size_t)learn_space_wide(l);
    j.taps = (size_t)l->taps;
    return j;
}

/* ---- Forward ---- */

/* Columns of a run: taps over r, oldest first, then silu. */
static void convolve_run(const space_job *j, size_t begin, size_t end, size_t first, size_t count) {
    for (size_t t = begin; t < end; t++) {
        float *raw = j->k->raw + t * j->mixed + first;
        memset(raw, 0, count * sizeof *raw);
        for (size_t n = 0; n < j->taps; n++) {
            const size_t lag = j->taps - 1 - n;
            if (t - begin < lag) continue;
            taps_add(raw, j->k->turned + n * j->mixed + first,
                     j->wide + (t - lag) * j->cols + j->inner + first, count);
        }
        j->c->k->silu(j->k->mixed + t * j->mixed + first, raw, (int64_t)count);
    }
}

static void convolve_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const space_job *j = context;
    const size_t first = (size_t)begin, count = (size_t)(end - begin);
    (void)thread_index;
    for (size_t n = 0; n < j->taps; n++)
        for (size_t i = first; i < first + count; i++)
            j->k->turned[n * j->mixed + i] = j->v->taps.v[i * j->taps + n];
    for (int r = 0; r < j->rows->run_count; r++)
        convolve_run(j, (size_t)j->rows->begin[r], (size_t)j->rows->begin[r + 1], first, count);
}

static void scan_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const space_job *j = context;
    const size_t width = (size_t)j->l->head_width, n = (size_t)j->l->state_width;
    float *state = j->k->own + (size_t)thread_index * j->k->own_size;
    for (int64_t i = begin; i < end; i++) {
        const size_t number = (size_t)(i % j->l->head_count), run = (size_t)(i / j->l->head_count);
        const size_t row = (size_t)j->rows->begin[run];
        const scan_space_head head = {.k = j->c->k,
                                      .state_width = j->l->state_width,
                                      .head_width = j->l->head_width,
                                      .dt_bias = j->v->dt_bias.v[number],
                                      .a_log = j->v->a_log.v[number],
                                      .d = j->v->d.v[number],
                                      .delta_stride = j->cols,
                                      .mixed_stride = j->mixed,
                                      .y_stride = j->inner};
        float *x = j->k->mixed + row * j->mixed, *b = x + j->inner;
        memset(state, 0, n * width * sizeof *state);
        scan_space(&head, state, j->wide + row * j->cols + j->inner + j->mixed + number,
                   x + number * width, b, b + n, j->y + row * j->inner + number * width,
                   j->rows->begin[run + 1] - j->rows->begin[run]);
    }
}

static void gate_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const space_job *j = context;
    const kernels *k = j->c->k;
    const int64_t inner = (int64_t)j->inner;
    (void)thread_index;
    for (size_t t = (size_t)begin; t < (size_t)end; t++) {
        float *gated = j->k->gated + t * j->inner;
        k->silu_mul(gated, j->wide + t * j->cols, j->kept + t * j->inner, inner);
        k->rms_norm(j->out + t * j->inner, gated, j->v->norm.v, j->v->eps, inner);
    }
}

void learn_space_gate(const compute *c, const learn_state_space *v, learn_space_work *k,
                      const learn_rows *rows, const float *wide, const float *y, float *mixed) {
    space_job j = job_of(c, v, k, rows, wide);
    j.kept = y;
    j.out = mixed;
    pool_run(c->pool, rows->count, ROWS, gate_part, &j);
}

void learn_space_run(const compute *c, const learn_state_space *v, learn_space_work *k,
                     const learn_rows *rows, const float *wide, float *y, float *mixed) {
    space_job j = job_of(c, v, k, rows, wide);
    j.y = y;
    pool_run(c->pool, (int64_t)j.mixed, GRAIN, convolve_part, &j);
    pool_run(c->pool, (int64_t)rows->run_count * j.l->head_count, 1, scan_part, &j);
    learn_space_gate(c, v, k, rows, wide, y, mixed);
}

/* ---- Backward ---- */

/* From the gradient by y silu(z) to those by z and y. */
static void ungate_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const space_job *j = context;
    (void)thread_index;
    for (size_t t = (size_t)begin; t < (size_t)end; t++) {
        float *dz = j->dwide + t * j->cols, *dy = j->k->dy + t * j->inner;
        memcpy(dz, j->wide + t * j->cols, j->inner * sizeof *dz);
        memcpy(dy, j->kept + t * j->inner, j->inner * sizeof *dy);
        j->c->k->silu_mul_back(dz, dy, j->k->dgated + t * j->inner, (int64_t)j->inner);
    }
}

/* A head of a run: rows of one thread. */
typedef struct head_back {
    learn_scan s;
    float *q, *k, *v, *dy, *dq, *dk, *dv, *dl; /* those of s, to be written */
    double *l;
    size_t number, first;
    int count;
} head_back;

static float logistic(float x) {
    return 1 / (1 + expf(-x));
}

static const float *delta_of(const space_job *j, const head_back *h, size_t t) {
    return j->wide + (h->first + t) * j->cols + j->inner + j->mixed + h->number;
}

static void gather_head(const space_job *j, const head_back *h) {
    const size_t width = (size_t)h->s.width;
    const float pace = expf(j->v->a_log.v[h->number]);
    for (size_t t = 0; t < (size_t)h->count; t++) {
        const float step = scan_softplus(*delta_of(j, h, t) + j->v->dt_bias.v[h->number]);
        const size_t at = h->number * width;
        const float *x = j->k->mixed + (h->first + t) * j->mixed + at;
        for (size_t i = 0; i < width; i++) h->v[t * width + i] = step * x[i];
        memcpy(h->dy + t * width, j->k->dy + (h->first + t) * j->inner + at, width * sizeof *x);
        h->l[t] = -(double)step * (double)pace;
    }
}

/* x becomes its gradient; those of B and C add up over the heads. */
static void scatter_head(const space_job *j, const head_back *h) {
    const size_t width = (size_t)h->s.width, n = (size_t)h->s.n;
    const size_t heads = (size_t)j->l->head_count;
    const float pace = expf(j->v->a_log.v[h->number]), d = j->v->d.v[h->number];
    for (size_t t = 0; t < (size_t)h->count; t++) {
        const size_t row = h->first + t;
        const float before = *delta_of(j, h, t) + j->v->dt_bias.v[h->number];
        const float step = scan_softplus(before);
        float *x = j->k->mixed + row * j->mixed, *b = x + j->inner, *c = b + n;
        const float *dv = h->dv + t * width, *dy = h->dy + t * width;
        double by_step = -(double)pace * (double)h->dl[t], passed = 0;
        x += h->number * width;
        for (size_t i = 0; i < width; i++) {
            by_step += (double)dv[i] * (double)x[i];
            passed += (double)dy[i] * (double)x[i];
            x[i] = step * dv[i] + d * dy[i];
        }
        for (size_t i = 0; i < n; i++) {
            b[i] += h->dk[t * n + i];
            c[i] += h->dq[t * n + i];
        }
        float *by_head = j->k->by_head + row * 2 * heads + h->number;
        by_head[0] = -h->dl[t] * step * pace;
        by_head[heads] = (float)passed;
        j->dwide[row * j->cols + j->inner + j->mixed + h->number] =
            (float)by_step * logistic(before);
    }
}

/* The rows of B and C are the same for all heads of a run: taken out, their places become sums. */
static void take_shared(const space_job *j, const head_back *h) {
    const size_t n = (size_t)h->s.n;
    for (size_t t = 0; t < (size_t)h->count; t++) {
        float *b = j->k->mixed + (h->first + t) * j->mixed + j->inner, *c = b + n;
        memcpy(h->k + t * n, b, n * sizeof *b);
        memcpy(h->q + t * n, c, n * sizeof *c);
        memset(b, 0, 2 * n * sizeof *b);
    }
}

static void runs_back_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const space_job *j = context;
    const size_t n = (size_t)j->l->state_width, width = (size_t)j->l->head_width;
    for (int64_t run = begin; run < end; run++) {
        head_back h = {.first = (size_t)j->rows->begin[run]};
        h.count = j->rows->begin[run + 1] - j->rows->begin[run];
        const size_t rows = (size_t)h.count;
        float *at = j->k->own + (size_t)thread_index * j->k->own_size;
        h.l = (double *)(void *)at, at += 2 * rows; /* own is aligned for it */
        h.q = at, at += rows * n;
        h.k = at, at += rows * n;
        h.dq = at, at += rows * n;
        h.dk = at, at += rows * n;
        h.v = at, at += rows * width;
        h.dy = at, at += rows * width;
        h.dv = at, at += rows * width;
        h.dl = at, at += rows;
        h.s = (learn_scan){.n = (int)n, .width = (int)width, .q = h.q, .k = h.k, .v = h.v};
        h.s.dy = h.dy, h.s.l = h.l;
        h.s.dq = h.dq, h.s.dk = h.dk, h.s.dv = h.dv, h.s.dl = h.dl;
        take_shared(j, &h);
        for (h.number = 0; h.number < (size_t)j->l->head_count; h.number++) {
            gather_head(j, &h);
            learn_scan_back(j->c->k, &h.s, h.count, at);
            scatter_head(j, &h);
        }
    }
}

/* Through silu, in place: the gradient by what the taps gave. */
static void unsilu_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const space_job *j = context;
    (void)thread_index;
    for (size_t i = (size_t)begin * j->mixed; i < (size_t)end * j->mixed; i++) {
        const float s = logistic(j->k->raw[i]);
        j->k->mixed[i] *= s * (1 + j->k->raw[i] * (1 - s));
    }
}

/* r of a row gathers the taps of the later rows of its run. */
static void untap_run(const space_job *j, size_t begin, size_t end, size_t first, size_t count) {
    for (size_t s = begin; s < end; s++) {
        float *dr = j->dwide + s * j->cols + j->inner + first;
        memset(dr, 0, count * sizeof *dr);
        for (size_t n = 0; n < j->taps; n++) {
            const size_t t = s + j->taps - 1 - n;
            if (t < end)
                taps_add(dr, j->k->turned + n * j->mixed + first,
                         j->k->mixed + t * j->mixed + first, count);
        }
    }
}

static void taps_run(const space_job *j, size_t begin, size_t end, size_t first, size_t count) {
    for (size_t t = begin; t < end; t++)
        for (size_t n = 0; n < j->taps; n++) {
            const size_t lag = j->taps - 1 - n;
            if (t - begin < lag) continue;
            const float *r = j->wide + (t - lag) * j->cols + j->inner;
            const float *d = j->k->mixed + t * j->mixed;
            for (size_t i = first; i < first + count; i++)
                j->v->taps.dv[i * j->taps + n] += d[i] * r[i];
        }
}

static void untap_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const space_job *j = context;
    const size_t first = (size_t)begin, count = (size_t)(end - begin);
    (void)thread_index;
    for (int r = 0; r < j->rows->run_count; r++) {
        const size_t from = (size_t)j->rows->begin[r], to = (size_t)j->rows->begin[r + 1];
        untap_run(j, from, to, first, count);
        if (j->v->taps.dv != NULL) taps_run(j, from, to, first, count);
    }
}

void learn_space_back(const compute *c, const learn_state_space *v, learn_space_work *k,
                      const learn_rows *rows, const float *wide, const float *y,
                      const float *dmixed, float *dwide) {
    space_job j = job_of(c, v, k, rows, wide);
    const int count = rows->count, heads = v->config->head_count;
    j.kept = y;
    j.dwide = dwide;
    memset(k->dgated, 0, (size_t)count * j.inner * sizeof *k->dgated);
    learn_rms_back(c, (learn_x){k->gated, j.inner}, &v->norm, v->eps, (int)j.inner,
                   (learn_x){dmixed, j.inner}, k->dgated, j.inner, k->ratios, count);
    pool_run(c->pool, count, ROWS, ungate_part, &j);
    pool_run(c->pool, (int64_t)j.mixed, GRAIN, convolve_part, &j); /* x B C, not times the step */
    pool_run(c->pool, rows->run_count, 1, runs_back_part, &j);
    pool_run(c->pool, count, ROWS, unsilu_part, &j);
    pool_run(c->pool, (int64_t)j.mixed, GRAIN, untap_part, &j);
    const size_t stride = 2 * (size_t)heads;
    if (v->a_log.dv != NULL)
        learn_column_sums(c, v->a_log.dv, heads, (learn_x){k->by_head, stride}, count);
    if (v->d.dv != NULL)
        learn_column_sums(c, v->d.dv, heads, (learn_x){k->by_head + heads, stride}, count);
    if (v->dt_bias.dv != NULL)
        learn_column_sums(c, v->dt_bias.dv, heads, (learn_x){dwide + j.inner + j.mixed, j.cols},
                          count);
}
