#include "learn/attention.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "learn/norms.h"

enum {
    PIECE_KEYS = 1024, /* those of stack/attention.c: the same sums in the same order */
    QUERY_ROWS = 8     /* rows of queries whose probabilities exist at a time, backward */
};

static size_t group_of(const stack_layer_config *l) {
    return (size_t)(l->head_count / l->kv_head_count);
}

/* Floats of a thread: scores of a piece and what it gives, or probabilities and their gradients
 * beside queries, their outputs' gradients and their own. */
static size_t own_size(const stack_layer_config *l, size_t group, int position_cap) {
    const size_t h = (size_t)l->head_width, keys = (size_t)position_cap;
    const size_t piece = keys < PIECE_KEYS ? keys : PIECE_KEYS;
    const size_t forward = group * piece + group * h;
    const size_t back = 2 * QUERY_ROWS * group * keys + 3 * QUERY_ROWS * group * h;
    return ((forward > back ? forward : back) + 15) / 16 * 16;
}

void learn_attention_layout(learn_attention_work *k, const stack_layer_config *l, int group,
                            int row_cap, int position_cap, int thread_count, arena *a) {
    const size_t rows = (size_t)row_cap, h = (size_t)l->head_width;
    const size_t all = (size_t)l->head_count * h, kv = (size_t)l->kv_head_count * h;
    *k = (learn_attention_work){.row_cap = row_cap, .position_cap = position_cap};
    k->q = arena_take(a, rows * all, sizeof(float));
    k->dq = arena_take(a, rows * all, sizeof(float));
    k->keys = arena_take(a, rows * kv, sizeof(float));
    k->values = arena_take(a, rows * kv, sizeof(float));
    k->dkeys = arena_take(a, rows * kv, sizeof(float));
    k->dvalues = arena_take(a, rows * kv, sizeof(float));
    k->ratios = arena_take(a, rows, (size_t)(l->head_count + l->kv_head_count) * sizeof(float));
    k->own_size = own_size(l, (size_t)group, position_cap);
    k->own = arena_take(a, (size_t)thread_count * k->own_size, sizeof(float));
}

typedef struct attend_job {
    const compute *c;
    const learn_attention *v;
    const stack_layer_config *l;
    learn_attention_work *k;
    const learn_rows *rows;
    const float *wide, *dmixed;
    const float *raw_keys; /* k, then v, of row 0; key_cols to the next */
    float *mixed, *dwide;
    size_t h, group, all, kv, wide_cols, key_cols;
    size_t own_kv; /* KV heads that wide has */
} attend_job;

static attend_job job_of(const compute *c, const learn_attention *v, learn_attention_work *k,
                         const learn_rows *rows, const float *wide) {
    const stack_layer_config *l = v->config;
    attend_job j = {.c = c, .v = v, .l = l, .k = k, .rows = rows, .wide = wide};
    assert(rows->count <= k->row_cap);
    j.h = (size_t)l->head_width;
    j.group = group_of(l);
    j.all = (size_t)l->head_count * j.h;
    j.kv = (size_t)l->kv_head_count * j.h;
    j.own_kv = v->keys == NULL ? (size_t)l->kv_head_count : 0;
    j.wide_cols = j.all + (v->keys == NULL ? 2 * j.kv : 0);
    j.key_cols = v->keys == NULL ? j.wide_cols : 2 * j.kv;
    j.raw_keys = v->keys == NULL ? wide + j.all : v->keys;
    return j;
}

static int run_of(const learn_rows *rows, int row) {
    int low = 0, high = rows->run_count - 1;
    while (low < high) { /* the last run that begins at row or before */
        const int mid = (low + high + 1) / 2;
        if (rows->begin[mid] <= row)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

/* Where a row of a KV head lies. */
static size_t kv_at(const attend_job *j, size_t head, size_t row) {
    return (head * (size_t)j->rows->count + row) * j->h;
}

/* ---- Norm and rotation ---- */

static void rotate(const attend_job *j, float *head, const float *rotary, float direction) {
    const int half = j->l->head_width / 2;
    const int step = j->l->rotary.adjacent ? 2 : 1, other = j->l->rotary.adjacent ? 1 : half;
    for (int i = 0; i < j->l->rotary.pair_count; i++) {
        float *a = head + step * i, *b = a + other;
        const float x = *a, y = *b, cosine = rotary[i], sine = direction * rotary[half + i];
        *a = x * cosine - y * sine;
        *b = x * sine + y * cosine;
    }
}

static void turn_head(const attend_job *j, const float *raw, const learn_vector *norm,
                      const float *rotary, float *out) {
    if (norm->v == NULL) {
        memcpy(out, raw, j->h * sizeof *out);
        return;
    }
    j->c->k->rms_norm(out, raw, norm->v, j->v->eps, (int64_t)j->h);
    rotate(j, out, rotary, 1);
}

static void turn_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    (void)thread_index;
    for (size_t t = (size_t)begin; t < (size_t)end; t++) {
        const int run = run_of(j->rows, (int)t);
        const float *rotary = j->v->rotary + (t - (size_t)j->rows->begin[run]) * j->h;
        const float *q = j->wide + t * j->wide_cols, *k = j->raw_keys + t * j->key_cols;
        const float *v = k + j->kv;
        for (size_t at = 0; at < j->all; at += j->h)
            turn_head(j, q + at, &j->v->q_norm, rotary, j->k->q + t * j->all + at);
        for (size_t head = 0; head < (size_t)j->l->kv_head_count; head++) {
            turn_head(j, k + head * j->h, &j->v->k_norm, rotary, j->k->keys + kv_at(j, head, t));
            memcpy(j->k->values + kv_at(j, head, t), v + head * j->h, j->h * sizeof *v);
        }
    }
}

/* ---- Forward ---- */

static void attend_piece(const attend_job *j, const float *q, size_t at, int64_t key_count,
                         float *scores, float *out, double *log_sums) {
    const kernels *k = j->c->k;
    const int64_t group = (int64_t)j->group, h = (int64_t)j->h;
    const float scale = 1.0f / sqrtf((float)h);
    k->scores[KERNELS_CACHE_F32](scores, (size_t)key_count, q, group, j->k->keys + at, key_count,
                                 h);
    for (int64_t i = 0; i < group * key_count; i++) scores[i] *= scale;
    for (int64_t g = 0; g < group; g++)
        k->softmax(scores + g * key_count, key_count, log_sums != NULL ? log_sums + g : NULL);
    memset(out, 0, (size_t)(group * h) * sizeof *out);
    k->mix[KERNELS_CACHE_F32](out, scores, (size_t)key_count, group, j->k->values + at, key_count,
                              h);
}

static void join_piece(const attend_job *j, float *out, double *log_sum, const float *piece,
                       double its) {
    const double own = *log_sum, max = own > its ? own : its;
    const double both = max + log(exp(own - max) + exp(its - max));
    const float keep = (float)exp(own - both), add = (float)exp(its - both);
    for (size_t i = 0; i < j->h; i++) out[i] = out[i] * keep + piece[i] * add;
    *log_sum = both;
}

static void attend_long(const attend_job *j, const float *q, size_t at, int64_t key_count,
                        float *own, float *out) {
    float *piece = own + j->group * PIECE_KEYS;
    for (size_t g = 0; g < j->group;
         g++) { /* a head at a time: its two sums are all that is kept */
        attend_job one = *j;
        double log_sum = 0, its;
        one.group = 1;
        attend_piece(&one, q + g * j->h, at, PIECE_KEYS, own, out + g * j->h, &log_sum);
        for (int64_t from = PIECE_KEYS; from < key_count; from += PIECE_KEYS) {
            const int64_t left = key_count - from, count = left < PIECE_KEYS ? left : PIECE_KEYS;
            attend_piece(&one, q + g * j->h, at + (size_t)from * j->h, count, own, piece, &its);
            join_piece(j, out + g * j->h, &log_sum, piece, its);
        }
    }
}

static void attend_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const int64_t heads = j->l->kv_head_count;
    float *own = j->k->own + (size_t)thread_index * j->k->own_size;
    for (int64_t i = begin; i < end; i++) {
        const size_t t = (size_t)(i / heads), head = (size_t)(i % heads);
        const int64_t first_row = j->rows->begin[run_of(j->rows, (int)t)];
        const int64_t position = (int64_t)t - first_row, window = j->l->window;
        const int64_t first = window > 0 && position >= window ? position - window + 1 : 0;
        const size_t at = kv_at(j, head, (size_t)(first_row + first));
        const size_t from = t * j->all + head * j->group * j->h;
        const int64_t key_count = position - first + 1;
        if (key_count <= PIECE_KEYS)
            attend_piece(j, j->k->q + from, at, key_count, own, j->mixed + from, NULL);
        else
            attend_long(j, j->k->q + from, at, key_count, own, j->mixed + from);
    }
}

void learn_attend(const compute *c, const learn_attention *v, learn_attention_work *k,
                  const learn_rows *rows, const float *wide, float *mixed) {
    attend_job j = job_of(c, v, k, rows, wide);
    j.mixed = mixed;
    pool_run(c->pool, rows->count, 4, turn_part, &j);
    pool_run(c->pool, (int64_t)rows->count * v->config->kv_head_count, 1, attend_part, &j);
}

/* ---- Backward ---- */

/* Some queries of a run that share a KV head, and the keys that any of them sees. */
typedef struct query_block {
    size_t first_row, head; /* of the run; KV head */
    int64_t begin, count;   /* positions of the queries */
    int64_t low, key_count; /* positions of the keys */
    float *p, *ds;          /* [count * group, key_count] */
    float *q, *d, *dq;      /* [count * group, h] */
} query_block;

static size_t query_at(const attend_job *j, const query_block *b, int64_t i) {
    return (b->first_row + (size_t)(b->begin + i)) * j->all + b->head * j->group * j->h;
}

/* Row r of the probabilities, and of the gradients by what the softmax took: dS = P (dP - D) /
 * sqrt h. Outside of what the query sees both are 0. */
static void row_back(const attend_job *j, const query_block *b, size_t r) {
    const int64_t position = b->begin + (int64_t)(r / j->group), window = j->l->window;
    const int64_t first = window > 0 && position >= window ? position - window + 1 : 0;
    const size_t from = (size_t)(first - b->low), to = (size_t)(position - b->low) + 1;
    const size_t keys = (size_t)b->key_count;
    const float scale = 1.0f / sqrtf((float)j->h);
    float *p = b->p + r * keys, *ds = b->ds + r * keys;
    for (size_t i = from; i < to; i++) p[i] *= scale;
    j->c->k->softmax(p + from, (int64_t)(to - from), NULL);
    double along = 0;
    for (size_t i = from; i < to; i++) along += (double)p[i] * (double)ds[i];
    for (size_t i = from; i < to; i++) ds[i] = p[i] * (ds[i] - (float)along) * scale;
    memset(p, 0, from * sizeof *p);
    memset(ds, 0, from * sizeof *ds);
    memset(p + to, 0, (keys - to) * sizeof *p);
    memset(ds + to, 0, (keys - to) * sizeof *ds);
}

static void block_back(const attend_job *j, const query_block *b) {
    const kernels *k = j->c->k;
    const size_t wide = j->group * j->h, keys = (size_t)b->key_count;
    const int64_t queries = b->count * (int64_t)j->group, h = (int64_t)j->h;
    const size_t at = kv_at(j, b->head, b->first_row + (size_t)b->low);
    for (int64_t i = 0; i < b->count; i++) {
        const size_t to = (size_t)i * wide, from = query_at(j, b, i);
        memcpy(b->q + to, j->k->q + from, wide * sizeof *b->q);
        memcpy(b->d + to, j->dmixed + from, wide * sizeof *b->d);
    }
    k->scores[KERNELS_CACHE_F32](b->p, keys, b->q, queries, j->k->keys + at, b->key_count, h);
    k->scores[KERNELS_CACHE_F32](b->ds, keys, b->d, queries, j->k->values + at, b->key_count, h);
    for (size_t r = 0; r < (size_t)queries; r++) row_back(j, b, r);
    memset(b->dq, 0, (size_t)queries * j->h * sizeof *b->dq);
    k->gemm_t(b->dq, j->h, j->k->keys + at, j->h, b->key_count, b->ds, keys, 1, queries, h);
    k->gemm_t(j->k->dkeys + at, j->h, b->q, j->h, queries, b->ds, 1, keys, b->key_count, h);
    k->gemm_t(j->k->dvalues + at, j->h, b->d, j->h, queries, b->p, 1, keys, b->key_count, h);
    for (int64_t i = 0; i < b->count; i++)
        memcpy(j->k->dq + query_at(j, b, i), b->dq + (size_t)i * wide, wide * sizeof *b->dq);
}

static void heads_back_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const size_t cells = QUERY_ROWS * j->group * j->h;
    const size_t square = QUERY_ROWS * j->group * (size_t)j->k->position_cap;
    float *own = j->k->own + (size_t)thread_index * j->k->own_size;
    query_block b = {.p = own, .ds = own + square, .q = own + 2 * square};
    b.d = b.q + cells;
    b.dq = b.d + cells;
    for (int64_t i = begin; i < end; i++) {
        const int run = (int)(i / j->l->kv_head_count);
        b.head = (size_t)(i % j->l->kv_head_count);
        b.first_row = (size_t)j->rows->begin[run];
        const int64_t length = j->rows->begin[run + 1] - j->rows->begin[run];
        const int64_t window = j->l->window;
        assert(length <= j->k->position_cap);
        const size_t at = kv_at(j, b.head, b.first_row), size = (size_t)length * j->h;
        memset(j->k->dkeys + at, 0, size * sizeof(float));
        memset(j->k->dvalues + at, 0, size * sizeof(float));
        for (b.begin = 0; b.begin < length; b.begin += QUERY_ROWS) {
            b.count = length - b.begin < QUERY_ROWS ? length - b.begin : QUERY_ROWS;
            b.low = window > 0 && b.begin >= window ? b.begin - window + 1 : 0;
            b.key_count = b.begin + b.count - b.low;
            block_back(j, &b);
        }
    }
}

/* Gradient of a head before its norm from that behind its rotation, which is left in d as that
 * behind the norm. */
static float unturn_head(const attend_job *j, const float *raw, const learn_vector *norm,
                         const float *rotary, float *d, float *out) {
    if (norm->v == NULL) {
        memcpy(out, d, j->h * sizeof *out);
        return 0;
    }
    rotate(j, d, rotary, -1);
    return learn_rms_row_back(raw, norm->v, j->v->eps, (int)j->h, d, out);
}

/* What layers that share the keys gave, or give. */
static void lend(const attend_job *j) {
    const size_t cells = j->kv * (size_t)j->rows->count;
    float *dkeys = j->v->dlent, *dvalues = dkeys + j->kv * (size_t)j->k->row_cap;
    const bool shares = j->v->keys != NULL;
    j->c->k->axpy(shares ? dkeys : j->k->dkeys, 1, shares ? j->k->dkeys : dkeys, (int64_t)cells);
    j->c->k->axpy(shares ? dvalues : j->k->dvalues, 1, shares ? j->k->dvalues : dvalues,
                  (int64_t)cells);
}

static void unturn_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const size_t heads = (size_t)j->l->head_count, kv = j->own_kv;
    (void)thread_index;
    for (size_t t = (size_t)begin; t < (size_t)end; t++) {
        const int run = run_of(j->rows, (int)t);
        const float *rotary = j->v->rotary + (t - (size_t)j->rows->begin[run]) * j->h;
        const float *raw = j->wide + t * j->wide_cols;
        float *out = j->dwide + t * j->wide_cols, *ratios = j->k->ratios + t * (heads + kv);
        for (size_t i = 0; i < heads; i++)
            ratios[i] = unturn_head(j, raw + i * j->h, &j->v->q_norm, rotary,
                                    j->k->dq + t * j->all + i * j->h, out + i * j->h);
        for (size_t i = 0; i < kv; i++) {
            ratios[heads + i] = unturn_head(j, raw + j->all + i * j->h, &j->v->k_norm, rotary,
                                            j->k->dkeys + kv_at(j, i, t), out + j->all + i * j->h);
            memcpy(out + j->all + j->kv + i * j->h, j->k->dvalues + kv_at(j, i, t),
                   j->h * sizeof *out);
        }
    }
}

/* Gradients of the norms' gains: columns [begin, end) of every head of every row. */
static void gains_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *j = context;
    const size_t heads = (size_t)j->l->head_count, kv = j->own_kv;
    (void)thread_index;
    for (size_t t = 0; t < (size_t)j->rows->count; t++) {
        const float *raw = j->wide + t * j->wide_cols, *ratios = j->k->ratios + t * (heads + kv);
        for (size_t i = 0; i < heads + kv; i++) {
            const bool is_key = i >= heads;
            const float *d =
                is_key ? j->k->dkeys + kv_at(j, i - heads, t) : j->k->dq + t * j->all + i * j->h;
            float *gains = is_key ? j->v->k_norm.dv : j->v->q_norm.dv;
            for (int64_t n = begin; n < end; n++)
                gains[n] += d[n] * (raw[i * j->h + (size_t)n] * ratios[i]);
        }
    }
}

void learn_attend_back(const compute *c, const learn_attention *v, learn_attention_work *k,
                       const learn_rows *rows, const float *wide, const float *dmixed,
                       float *dwide) {
    attend_job j = job_of(c, v, k, rows, wide);
    j.dmixed = dmixed;
    j.dwide = dwide;
    pool_run(c->pool, rows->count, 4, turn_part, &j);
    pool_run(c->pool, (int64_t)rows->run_count * v->config->kv_head_count, 1, heads_back_part, &j);
    if (v->dlent != NULL) lend(&j);
    pool_run(c->pool, rows->count, 4, unturn_part, &j);
    if (v->q_norm.dv != NULL) pool_run(c->pool, (int64_t)j.h, 8, gains_part, &j);
}
