#include "learn/scan.h"

#include <math.h>
#include <string.h>

enum { CHUNK = LEARN_SCAN_CHUNK };

/* What a run needs besides its rows. */
typedef struct scratch {
    float *states;       /* [chunks, n, width] before each */
    float *after;        /* [n, width] G */
    float *a, *r, *w;    /* [CHUNK, CHUNK] (q k) D, (dy v) D and dy v */
    float *along, *back; /* [CHUNK, n] dy S^T, v G^T */
    float *keys, *sums;  /* [CHUNK, n] scaled rows; [CHUNK, width] */
} scratch;

static size_t chunk_count(int count) {
    return ((size_t)count + CHUNK - 1) / CHUNK;
}

size_t learn_scan_scratch(int n, int width, int count) {
    const size_t state = (size_t)n * (size_t)width;
    return (chunk_count(count) + 1) * state + 3 * CHUNK * CHUNK + 3 * CHUNK * (size_t)n +
           CHUNK * (size_t)width;
}

static scratch take(const learn_scan *s, int count, float *at) {
    const size_t n = (size_t)s->n, width = (size_t)s->width, state = n * width;
    scratch x = {.states = at, .after = at + chunk_count(count) * state};
    x.a = x.after + state;
    x.r = x.a + CHUNK * CHUNK;
    x.w = x.r + CHUNK * CHUNK;
    x.along = x.w + CHUNK * CHUNK;
    x.back = x.along + CHUNK * n;
    x.keys = x.back + CHUNK * n;
    x.sums = x.keys + CHUNK * n;
    return x;
}

/* Rows [first, first + count) of the run, and the logarithm of what is kept over the rows of the
 * chunk up to each, c[count - 1] over all. */
typedef struct chunk {
    size_t first;
    int count;
    double c[CHUNK];
} chunk;

static chunk chunk_at(const learn_scan *s, int row_count, size_t index) {
    chunk h = {.first = index * CHUNK};
    const size_t left = (size_t)row_count - h.first;
    h.count = left < CHUNK ? (int)left : CHUNK;
    double sum = 0;
    for (int i = 0; i < h.count; i++)
        h.c[i] = sum += s->l != NULL ? s->l[h.first + (size_t)i] : s->log;
    return h;
}

/* out[i] = e^(power of row i) rows[i]; `late`: over the rows behind i, else up to it. */
static void scale_rows(const chunk *h, const float *rows, int n, bool late, float *out) {
    for (int i = 0; i < h->count; i++) {
        const float scale = (float)exp(late ? h->c[h->count - 1] - h->c[i] : h->c[i]);
        for (int j = 0; j < n; j++) out[i * n + j] = scale * rows[i * n + j];
    }
}

/* state <- e^C state + (rows, scaled)^T values. */
static void advance(const kernels *k, const learn_scan *s, const chunk *h, const float *rows,
                    bool late, const float *values, float *keys, float *state) {
    const int64_t n = s->n, width = s->width;
    const float keep = (float)exp(h->c[h->count - 1]);
    scale_rows(h, rows, s->n, late, keys);
    for (int64_t i = 0; i < n * width; i++) state[i] *= keep;
    k->gemm_t(state, (size_t)width, values, (size_t)width, h->count, keys, 1, (size_t)n, n, width);
}

/* a = (q k) D, w = dy v, r = w D, where D keeps what lies before: e^(c[i] - c[j]), j <= i. */
static void square(const kernels *k, const learn_scan *s, const chunk *h, const scratch *x) {
    const size_t first = h->first, n = (size_t)s->n, width = (size_t)s->width;
    k->scores[KERNELS_CACHE_F32](x->a, CHUNK, s->q + first * n, h->count, s->k + first * n,
                                 h->count, s->n);
    k->scores[KERNELS_CACHE_F32](x->w, CHUNK, s->dy + first * width, h->count, s->v + first * width,
                                 h->count, s->width);
    for (int i = 0; i < h->count; i++)
        for (int j = 0; j < h->count; j++) {
            const float keep = j <= i ? (float)exp(h->c[i] - h->c[j]) : 0;
            x->a[i * CHUNK + j] *= keep;
            x->r[i * CHUNK + j] = x->w[i * CHUNK + j] * keep;
        }
}

/* y[i] += e^(power of row i) x[i] */
static void add_scaled(const chunk *h, const float *x, int n, bool late, float *y) {
    for (int i = 0; i < h->count; i++) {
        const float scale = (float)exp(late ? h->c[h->count - 1] - h->c[i] : h->c[i]);
        for (int j = 0; j < n; j++) y[i * n + j] += scale * x[i * n + j];
    }
}

static double dot(const float *a, const float *b, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* dl of a row is the sum of dC over it and those behind it. */
static void logs_back(const learn_scan *s, const chunk *h, const scratch *x, const float *state) {
    const double last = h->c[h->count - 1];
    double dc[CHUNK], all = exp(last) * dot(x->after, state, (int64_t)s->n * s->width), sum = 0;
    for (int i = 0; i < h->count; i++) {
        const size_t row = (h->first + (size_t)i) * (size_t)s->n;
        const double u = exp(h->c[i]) * dot(s->q + row, x->along + i * s->n, s->n);
        const double w = exp(last - h->c[i]) * dot(s->k + row, x->back + i * s->n, s->n);
        dc[i] = u - w;
        all += w;
        for (int j = 0; j < h->count; j++)
            dc[i] += (double)x->a[i * CHUNK + j] * (double)x->w[i * CHUNK + j] -
                     (double)x->a[j * CHUNK + i] * (double)x->w[j * CHUNK + i];
    }
    dc[h->count - 1] += all;
    for (int i = h->count - 1; i >= 0; i--) s->dl[h->first + (size_t)i] = (float)(sum += dc[i]);
}

static void chunk_back(const kernels *k, const learn_scan *s, const chunk *h, const scratch *x,
                       const float *state) {
    const int64_t n = s->n, width = s->width, rows = h->count;
    const size_t at = h->first * (size_t)n, at_v = h->first * (size_t)width;
    const size_t cells = (size_t)(rows * n), cells_v = (size_t)(rows * width);
    square(k, s, h, x);
    k->scores[KERNELS_CACHE_F32](x->along, (size_t)n, s->dy + at_v, rows, state, n, width);
    k->scores[KERNELS_CACHE_F32](x->back, (size_t)n, s->v + at_v, rows, x->after, n, width);
    memset(s->dq + at, 0, cells * sizeof(float));
    k->gemm_t(s->dq + at, (size_t)n, s->k + at, (size_t)n, rows, x->r, CHUNK, 1, rows, n);
    add_scaled(h, x->along, s->n, false, s->dq + at);
    memset(s->dk + at, 0, cells * sizeof(float));
    k->gemm_t(s->dk + at, (size_t)n, s->q + at, (size_t)n, rows, x->r, 1, CHUNK, rows, n);
    add_scaled(h, x->back, s->n, true, s->dk + at);
    memset(s->dv + at_v, 0, cells_v * sizeof(float));
    k->gemm_t(s->dv + at_v, (size_t)width, s->dy + at_v, (size_t)width, rows, x->a, 1, CHUNK, rows,
              width);
    memset(x->sums, 0, cells_v * sizeof(float));
    k->gemm_t(x->sums, (size_t)width, x->after, (size_t)width, n, s->k + at, (size_t)n, 1, rows,
              width);
    add_scaled(h, x->sums, s->width, true, s->dv + at_v);
    if (s->dl != NULL) logs_back(s, h, x, state);
    advance(k, s, h, s->q + at, false, s->dy + at_v, x->keys, x->after);
}

void learn_scan_back(const kernels *k, const learn_scan *s, int count, float *at) {
    const scratch x = take(s, count, at);
    const size_t state = (size_t)s->n * (size_t)s->width, size = state * sizeof(float);
    const size_t chunks = chunk_count(count);
    if (s->start != NULL)
        memcpy(x.states, s->start, size);
    else
        memset(x.states, 0, size);
    for (size_t i = 0; i + 1 < chunks; i++) {
        const chunk h = chunk_at(s, count, i);
        float *next = x.states + (i + 1) * state;
        memcpy(next, x.states + i * state, size);
        advance(k, s, &h, s->k + h.first * (size_t)s->n, true, s->v + h.first * (size_t)s->width,
                x.keys, next);
    }
    if (s->dend != NULL)
        memcpy(x.after, s->dend, size);
    else
        memset(x.after, 0, size);
    for (size_t i = chunks; i-- > 0;) {
        const chunk h = chunk_at(s, count, i);
        chunk_back(k, s, &h, &x, x.states + i * state);
    }
    if (s->dstart != NULL) memcpy(s->dstart, x.after, size);
}
