/* Attention of the LFM2 stack. The keys that a position may see are taken in pieces of ATTEND_KEYS,
 * oldest first, so that their scores stay in the first-level cache; pieces are joined by the
 * logarithms of their sums of exponentials:
 *
 *     keys      | 0 .. 1023      | 1024 .. 2047    | ...  |     of one KV head
 *     piece     softmax, mix     softmax, mix
 *     joined    out, log sum --> out * exp(own - both) + piece * exp(its - both) -->
 *
 * Threads share out positions and KV heads; when there are fewer of those than threads (a decoding
 * step on a large machine) the pieces too, and join them afterwards in the same order: the same
 * bits. */
#include <math.h>
#include <string.h>

#include "core/lfm2_inner.h"

enum { ATTEND_KEYS = 1024 };

/* Of `count` keys. */
static int64_t piece_count(int64_t count) {
    return (count + ATTEND_KEYS - 1) / ATTEND_KEYS;
}

void lfm2_attention_layout(lfm2_state *s, int thread_count, arena *scratch) {
    const lfm2_config *c = &s->w->config;
    const size_t threads = (size_t)thread_count, cap = (size_t)s->position_cap;
    size_t split = 0; /* items of a step that may be shared out in pieces */
    s->group_max = 0;
    for (int i = 0; i < c->layer_count; i++) {
        const int kv_heads = c->kv_head_count[i];
        if (kv_heads == 0) continue;
        if (c->head_count / kv_heads > s->group_max) s->group_max = c->head_count / kv_heads;
        if (kv_heads < thread_count && cap > ATTEND_KEYS) split = threads - 1;
    }
    const size_t group = (size_t)s->group_max;
    s->score_cap = group * (cap < ATTEND_KEYS ? cap : ATTEND_KEYS);
    s->scores = arena_take(scratch, threads * s->score_cap, sizeof *s->scores);
    s->split_at = 2 * threads;
    const size_t slots = s->split_at + split * (size_t)piece_count((int64_t)cap);
    s->pieces = arena_take(scratch, slots, group * (size_t)c->head_width * sizeof *s->pieces);
    s->log_sums = arena_take(scratch, slots, group * sizeof *s->log_sums);
}

/* Norm over the head, then rotation: backbone.md 1.4. */
static void turn_head(const lfm2_config *c, const kernels *k, float *head, const float *norm,
                      const float *rotary) {
    k->rms_norm(head, head, norm, c->eps, c->head_width);
    const int half = c->head_width / 2;
    const int step = c->rope_adjacent ? 2 : 1;
    const int other = c->rope_adjacent ? 1 : half;
    for (int i = 0; i < half; i++) {
        float *a = head + step * i;
        float *b = a + other;
        const float x = *a, y = *b;
        *a = x * rotary[i] - y * rotary[half + i];
        *b = x * rotary[half + i] + y * rotary[i];
    }
}

typedef struct attend_job {
    const lfm2_state *s;
    const kernels *k;
    const unsigned char *keys, *values; /* of the layer */
    const float *q;                     /* [count, head_count * head_width] */
    float *out;                         /* likewise */
    int group;                          /* query heads per KV head */
    int kv_head_count;
    int64_t piece_cap; /* pieces of the last position, when they are shared out */
} attend_job;

/* One KV head at one position. */
typedef struct attend_item {
    int kv_head;
    int64_t first, key_count; /* the keys it may see */
    const float *q;           /* [group, head_width] */
    float *out;               /* likewise */
} attend_item;

static attend_item item_at(const attend_job *job, int64_t item) {
    const lfm2_config *c = &job->s->w->config;
    const int64_t position = job->s->position + item / job->kv_head_count;
    const int64_t first = c->window > 0 && position >= c->window ? position - c->window + 1 : 0;
    const size_t at = (size_t)item * (size_t)(job->group * c->head_width);
    return (attend_item){.kv_head = (int)(item % job->kv_head_count),
                         .first = first,
                         .key_count = position - first + 1,
                         .q = job->q + at,
                         .out = job->out + at};
}

static float *piece_at(const attend_job *job, size_t slot) {
    return job->s->pieces + slot * (size_t)(job->s->group_max * job->s->w->config.head_width);
}
static double *log_sums_at(const attend_job *job, size_t slot) {
    return job->s->log_sums + slot * (size_t)job->s->group_max;
}

/* Piece n of the keys: scores, softmax, mix. A ring wraps at most once, so the keys are two runs of
 * rows. log_sums [group] or NULL. */
static void attend_keys(const attend_job *job, const attend_item *item, int64_t n, int thread_index,
                        float *out, double *log_sums) {
    const kernels *k = job->k;
    const kernels_cache cache = job->s->cache;
    const int64_t cap = job->s->position_cap, width = job->s->w->config.head_width;
    const int64_t group = job->group, from = (item->first + n * ATTEND_KEYS) % cap;
    const int64_t left = item->key_count - n * ATTEND_KEYS;
    const int64_t key_count = left < ATTEND_KEYS ? left : ATTEND_KEYS;
    const int64_t run_count = from + key_count > cap ? cap - from : key_count;
    const size_t row_size = kernels_cache_row_size(cache, width);
    const size_t base = (size_t)item->kv_head * (size_t)cap * row_size;
    const size_t run = base + (size_t)from * row_size;
    const size_t stride = (size_t)key_count;
    float *scores = job->s->scores + (size_t)thread_index * job->s->score_cap;
    k->scores[cache](scores, stride, item->q, group, job->keys + run, run_count, width);
    k->scores[cache](scores + run_count, stride, item->q, group, job->keys + base,
                     key_count - run_count, width);
    const float scale = 1.0f / sqrtf((float)width);
    for (int64_t j = 0; j < group * key_count; j++) scores[j] *= scale;
    for (int64_t g = 0; g < group; g++)
        k->softmax(scores + g * key_count, key_count, log_sums != NULL ? log_sums + g : NULL);
    memset(out, 0, (size_t)(group * width) * sizeof(float));
    k->mix[cache](out, scores, stride, group, job->values + run, run_count, width);
    k->mix[cache](out, scores + run_count, stride, group, job->values + base, key_count - run_count,
                  width);
}

/* Joins a piece to what older keys gave. */
static void join(const attend_job *job, float *out, double *log_sums, const float *piece,
                 const double *piece_log_sums) {
    const int width = job->s->w->config.head_width;
    for (int g = 0; g < job->group; g++, out += width, piece += width) {
        const double own = log_sums[g], its = piece_log_sums[g];
        const double max = own > its ? own : its;
        const double both = max + log(exp(own - max) + exp(its - max));
        const float keep = (float)exp(own - both), add = (float)exp(its - both);
        for (int i = 0; i < width; i++) out[i] = out[i] * keep + piece[i] * add;
        log_sums[g] = both;
    }
}

static void attend_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *job = context;
    const size_t slot = 2 * (size_t)thread_index;
    double *sums = log_sums_at(job, slot), *piece_sums = log_sums_at(job, slot + 1);
    float *piece = piece_at(job, slot + 1);
    for (int64_t i = begin; i < end; i++) {
        const attend_item item = item_at(job, i);
        const int64_t pieces = piece_count(item.key_count);
        attend_keys(job, &item, 0, thread_index, item.out, pieces > 1 ? sums : NULL);
        for (int64_t n = 1; n < pieces; n++) {
            attend_keys(job, &item, n, thread_index, piece, piece_sums);
            join(job, item.out, sums, piece, piece_sums);
        }
    }
}

/* Pieces are numbered through all items, piece_cap for each; the first goes to its place. */
static void split_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *job = context;
    for (int64_t i = begin; i < end; i++) {
        const attend_item item = item_at(job, i / job->piece_cap);
        const int64_t n = i % job->piece_cap;
        const size_t slot = job->s->split_at + (size_t)i;
        if (n < piece_count(item.key_count))
            attend_keys(job, &item, n, thread_index, n == 0 ? item.out : piece_at(job, slot),
                        log_sums_at(job, slot));
    }
}

static void attend(attend_job *job, pool *threads, int count) {
    const int64_t items = (int64_t)count * job->kv_head_count;
    job->piece_cap = piece_count(item_at(job, items - 1).key_count);
    if (items >= pool_thread_count(threads) || job->piece_cap == 1) {
        pool_run(threads, items, 1, attend_part, job);
        return;
    }
    pool_run(threads, items * job->piece_cap, 1, split_part, job);
    for (int64_t i = 0; i < items; i++) {
        const attend_item item = item_at(job, i);
        const size_t slot = job->s->split_at + (size_t)(i * job->piece_cap);
        for (size_t n = 1; n < (size_t)piece_count(item.key_count); n++)
            join(job, item.out, log_sums_at(job, slot), piece_at(job, slot + n),
                 log_sums_at(job, slot + n));
    }
}

/* Puts the normed, rotated keys and the values of the batch into the cache. */
static void store_keys(lfm2_state *s, const compute *c, const lfm2_layer *l, int layer, float *k,
                       const float *v, int count) {
    const lfm2_config *config = &s->w->config;
    const size_t width = (size_t)config->head_width;
    const size_t row_size = kernels_cache_row_size(s->cache, config->head_width);
    for (int t = 0; t < count; t++) {
        const size_t slot = (size_t)((s->position + t) % s->position_cap);
        for (int head = 0; head < l->kv_head_count; head++) {
            const size_t from = ((size_t)t * (size_t)l->kv_head_count + (size_t)head) * width;
            const size_t to = ((size_t)head * (size_t)s->position_cap + slot) * row_size;
            turn_head(config, c->k, k + from, l->k_norm, s->rotary + (size_t)t * width);
            c->k->store[s->cache](s->keys[layer] + to, k + from, (int64_t)width);
            c->k->store[s->cache](s->values[layer] + to, v + from, (int64_t)width);
        }
    }
}

void lfm2_attention(lfm2_state *s, const compute *c, const lfm2_layer *l, int layer, float *x,
                    int count) {
    const lfm2_config *config = &s->w->config;
    const size_t width = (size_t)config->width, head_width = (size_t)config->head_width;
    const size_t heads = (size_t)config->head_count * head_width;
    const size_t kv = (size_t)l->kv_head_count * head_width;
    float *q = s->projected;
    float *k = q + (size_t)count * heads;
    float *v = k + (size_t)count * kv;
    const linear_task tasks[] = {
        {&l->q, NULL, q, heads}, {&l->k, NULL, k, kv}, {&l->v, NULL, v, kv}};
    linear_all(c, tasks, 3, s->normed, width, count);
    for (int t = 0; t < count; t++)
        for (int head = 0; head < config->head_count; head++)
            turn_head(config, c->k, q + (size_t)t * heads + (size_t)head * head_width, l->q_norm,
                      s->rotary + (size_t)t * head_width);
    store_keys(s, c, l, layer, k, v, count);
    attend_job job = {.s = s,
                      .k = c->k,
                      .keys = s->keys[layer],
                      .values = s->values[layer],
                      .q = q,
                      .out = s->mixed,
                      .group = config->head_count / l->kv_head_count,
                      .kv_head_count = l->kv_head_count};
    attend(&job, c->pool, count);
    linear_add(c, &l->attention_out, NULL, s->mixed, heads, x, width, count);
}
