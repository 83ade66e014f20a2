/* Grouped-query attention (backbone.md 1.4). The keys that a position may see are taken in pieces
 * of ATTEND_KEYS, oldest first, so that their scores stay in the first-level cache; pieces are
 * joined by the logarithms of their sums of exponentials:
 *
 *     keys      | 0 .. 1023      | 1024 .. 2047    | ...  |     of one KV head
 *     piece     softmax, mix     softmax, mix
 *     joined    out, log sum --> out * exp(own - both) + piece * exp(its - both) -->
 *
 * Threads share out rows and KV heads of all states; when there are fewer of those than threads (a
 * decoding step on a large machine) the pieces too, and join them afterwards in the same order: the
 * same bits.
 *
 * Kept: keys [kv_head, rows], normed and turned, then values alike. Of a state with an end they are
 * appended, a window's too: a rewind goes back to any position. Of one without an end a window's
 * ring is fixed bytes. A layer that shares keeps nothing and reads what the layer above it keeps,
 * which has stored the rows of the pass by then. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/range.h"
#include "core/status.h"
#include "stack/kind.h"

enum { ATTEND_KEYS = 1024 };

static const stack_layer_config *config_of(const stack_weights *w, int layer) {
    return &w->config.layers[layer];
}

static int64_t heads(const stack_weights *w, int layer) {
    return (int64_t)config_of(w, layer)->head_count * config_of(w, layer)->head_width;
}
static int64_t kv_heads(const stack_weights *w, int layer) {
    return (int64_t)config_of(w, layer)->kv_head_count * config_of(w, layer)->head_width;
}
static int64_t head_width(const stack_weights *w, int layer) {
    return config_of(w, layer)->head_width;
}
static int64_t head_count(const stack_weights *w, int layer) {
    return config_of(w, layer)->head_count;
}

#define AT(field) offsetof(stack_attention_weights, field)
static const stack_tensor tensors[] = {
    {"attn_q.weight", STACK_MATRIX, STACK_PLAIN, AT(q), heads, stack_width},
    {"attn_k.weight", STACK_MATRIX, STACK_PLAIN, AT(k), kv_heads, stack_width},
    {"attn_v.weight", STACK_MATRIX, STACK_VALUE, AT(v), kv_heads, stack_width},
    {"attn_output.weight", STACK_MATRIX, STACK_OUTPUT, AT(out), stack_width, heads},
    {"attn_q_norm.weight", STACK_VECTOR, STACK_PLAIN, AT(q_norm), head_width, stack_one},
    {"attn_k_norm.weight", STACK_VECTOR, STACK_PLAIN, AT(k_norm), head_width, stack_one},
    {"attn_gate.weight", STACK_MATRIX_IF, STACK_PLAIN, AT(gate), head_count, stack_width},
    {"attn_q.bias", STACK_VECTOR_IF, STACK_PLAIN, AT(q_bias), heads, stack_one},
    {"attn_k.bias", STACK_VECTOR_IF, STACK_PLAIN, AT(k_bias), kv_heads, stack_one},
    {"attn_v.bias", STACK_VECTOR_IF, STACK_PLAIN, AT(v_bias), kv_heads, stack_one},
    {"attn_output.bias", STACK_VECTOR_IF, STACK_PLAIN, AT(out_bias), stack_width, stack_one},
};
#undef AT

static bool has(const stack_layer_config *l, const stack_tensor *t) {
    static const size_t of_keys[] = {
        offsetof(stack_attention_weights, k), offsetof(stack_attention_weights, v),
        offsetof(stack_attention_weights, k_norm), offsetof(stack_attention_weights, k_bias),
        offsetof(stack_attention_weights, v_bias)};
    if (l->kv_above == 0) return true;
    for (size_t i = 0; i < sizeof of_keys / sizeof *of_keys; i++)
        if (t->at == of_keys[i]) return false;
    return true;
}

static bool same_keys(const stack_layer_config *a, const stack_layer_config *b) {
    return a->kv_head_count == b->kv_head_count && a->head_width == b->head_width &&
           a->window == b->window && a->mask == b->mask && a->rotary.base == b->rotary.base &&
           a->rotary.pair_count == b->rotary.pair_count && a->rotary.adjacent == b->rotary.adjacent;
}

static rnl_status check_shared(const stack_config *c, int layer, const char *file,
                               rnl_error *error) {
    const stack_layer_config *l = &c->layers[layer];
    const int from = layer - l->kv_above;
    const stack_layer_config *o = from >= 0 && from < layer ? &c->layers[from] : NULL;
    if (o != NULL && o->kinds[STACK_OPERATOR] == &stack_attention && o->kv_above == 0 &&
        same_keys(l, o))
        return RNL_OK;
    return status_fail(
        error, RNL_ERR_FORMAT,
        "%s: layer %d shares the keys of layer %d, which is no attention layer above "
        "it with keys of its own, as many key/value heads and the same window; name "
        "one that is (share_kv)",
        file, layer, from);
}

static rnl_status check(const stack_config *c, int layer, const char *file, rnl_error *error) {
    const stack_layer_config *l = &c->layers[layer];
    const range ranges[] = {
        /* backbone.md 5.5, point 13 */
        {"the number of heads", l->head_count, 1, 4096},
        {"the head width", l->head_width, 2, 4096},
        {"the attention window", l->window, 0, l->mask == STACK_UNMASKED ? 0 : 1 << 20},
        {"the rotary base", l->rotary.base, 1, 1e12},
        {"the number of rotary pairs", l->rotary.pair_count, 0, l->head_width / 2},
    };
    const range *bad = range_outside(ranges, sizeof ranges / sizeof *ranges);
    if (bad != NULL)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: %s is %g, outside %g to %g; the file is damaged", file, bad->name,
                           bad->value, bad->min, bad->max);
    if (l->head_width % 2 != 0)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: the head width %d is odd; the file is damaged", file,
                           l->head_width);
    const int kv = l->kv_head_count;
    if (kv < 1 || kv > l->head_count || l->head_count % kv != 0)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: layer %d has %d key/value heads for %d query heads; the file is "
                           "damaged",
                           file, layer, kv, l->head_count);
    return l->kv_above == 0 ? RNL_OK : check_shared(c, layer, file, error);
}

/* ---- What is kept ---- */

/* Rows of a KV head; without an end a query sees window - 1 keys before the pass's first row, and
 * the rows of the pass. */
static int row_count_of(const stack_state *s, int layer) {
    return s->position_cap > 0 ? s->position_cap : config_of(s->w, layer)->window - 1 + s->step_cap;
}

/* Bytes of the keys, or of the values. */
static size_t half_size(const stack_state *s, int layer) {
    const stack_layer_config *l = config_of(s->w, layer);
    size_t size;
    if (!checked_mul((size_t)l->kv_head_count * (size_t)row_count_of(s, layer),
                     kernels_cache_row_size(s->cache, l->head_width), &size) ||
        !checked_align(size, ARENA_ALIGN, &size) || size > SIZE_MAX / 2)
        return SIZE_MAX / 2; /* overflows whatever it is added to */
    return size;
}

static size_t fixed_size(const stack_state *s, int layer) {
    if (s->position_cap > 0 || config_of(s->w, layer)->kv_above > 0) return 0;
    assert(config_of(s->w, layer)->window > 0);
    return 2 * half_size(s, layer);
}

static size_t appended_size(const stack_state *s, int layer) {
    if (config_of(s->w, layer)->kv_above > 0) return 0;
    return s->position_cap > 0 ? 2 * half_size(s, layer) : 0;
}

static unsigned char *keys_of(const stack_state *s, int layer) {
    const int owner = layer - config_of(s->w, layer)->kv_above;
    return s->position_cap > 0 ? stack_appended(s, owner, STACK_OPERATOR)
                               : stack_fixed(s, owner, STACK_OPERATOR);
}

stack_attention_kept stack_attention_keeps(const stack_state *s, int layer) {
    assert(s->position_cap > 0);
    unsigned char *keys = keys_of(s, layer);
    return (stack_attention_kept){
        .keys = keys,
        .values = keys + half_size(s, layer),
        .row_count = row_count_of(s, layer),
        .row_size = kernels_cache_row_size(s->cache, config_of(s->w, layer)->head_width)};
}

/* ---- Scratch ---- */

/* Of `count` keys. */
static int64_t piece_count(int64_t count) {
    return (count + ATTEND_KEYS - 1) / ATTEND_KEYS;
}

typedef struct scratch {
    float *q, *k, *v; /* [row_cap, all heads], [row_cap, all KV heads] */
    float *mixed;     /* [row_cap, all heads] before the last projection */
    float *gates;     /* [row_cap, head_count]; NULL without a gate */
    float *scores;    /* [thread_count, score_cap] */
    size_t score_cap; /* heads per KV head times keys of a piece */
    float *pieces;    /* [slots, group, head_width]: two slots a thread, then from split_at on one
                       * for each piece of a step that is shared out in pieces */
    double *log_sums; /* [slots, group] */
    size_t split_at;
} scratch;

static scratch take_scratch(const stack_work *k, int layer, arena *a) {
    const stack_layer_config *l = config_of(k->w, layer);
    const stack_attention_weights *own = stack_part_at(k->w, layer, STACK_OPERATOR)->weights;
    const size_t rows = (size_t)k->row_cap, threads = (size_t)k->thread_count;
    const size_t group = (size_t)(l->head_count / l->kv_head_count);
    const size_t width = (size_t)l->head_width;
    const bool ends = k->position_cap > 0 && (l->window == 0 || l->window > k->position_cap);
    const size_t cap = (size_t)(ends ? k->position_cap : l->window);
    const size_t split = l->kv_head_count < k->thread_count && cap > ATTEND_KEYS ? threads - 1 : 0;
    scratch s = {.split_at = 2 * threads};
    s.q = arena_take(a, rows * (size_t)l->head_count, width * sizeof(float));
    s.k = arena_take(a, rows * (size_t)l->kv_head_count, width * sizeof(float));
    s.v = arena_take(a, rows * (size_t)l->kv_head_count, width * sizeof(float));
    s.mixed = arena_take(a, rows * (size_t)l->head_count, width * sizeof(float));
    if (own->gate.row_count > 0)
        s.gates = arena_take(a, rows * (size_t)l->head_count, sizeof(float));
    s.score_cap = group * (cap < ATTEND_KEYS ? cap : ATTEND_KEYS);
    s.scores = arena_take(a, threads * s.score_cap, sizeof *s.scores);
    const size_t slots = s.split_at + split * (size_t)piece_count((int64_t)cap);
    s.pieces = arena_take(a, slots, group * width * sizeof *s.pieces);
    s.log_sums = arena_take(a, slots, group * sizeof *s.log_sums);
    return s;
}

static void layout(const stack_work *k, int layer, arena *a) {
    (void)take_scratch(k, layer, a);
}

/* ---- A pass ---- */

/* Norm over the head, then rotation: backbone.md 1.4. rotary: cosines, then sines. */
static void turn_head(const stack_weights *w, const stack_layer_config *l, const kernels *k,
                      float *head, const float *norm, const float *rotary) {
    k->rms_norm(head, head, norm, w->config.eps, l->head_width);
    const int half = l->head_width / 2;
    const int step = l->rotary.adjacent ? 2 : 1;
    const int other = l->rotary.adjacent ? 1 : half;
    for (int i = 0; i < l->rotary.pair_count; i++) {
        float *a = head + step * i;
        float *b = a + other;
        const float x = *a, y = *b;
        *a = x * rotary[i] - y * rotary[half + i];
        *b = x * rotary[half + i] + y * rotary[i];
    }
}

typedef struct attend_job {
    const stack_pass *p;
    const stack_layer_config *l;
    const stack_attention_weights *own;
    const kernels *k;
    int layer;
    int group; /* query heads per KV head */
    scratch s;
    int64_t piece_cap; /* of the row that sees most keys, when they are shared out */
} attend_job;

/* One KV head of one row. */
typedef struct attend_item {
    const stack_state *state;
    int kv_head;
    int64_t first, key_count; /* the keys it may see */
    const float *q;           /* [group, head_width] */
    float *out;               /* likewise */
} attend_item;

static attend_item item_at(const attend_job *job, int64_t item) {
    const stack_layer_config *l = job->l;
    const stack_row *row = &job->p->work->rows[item / l->kv_head_count];
    const int64_t last = l->mask == STACK_UNMASKED ? row->end - 1 : row->position;
    const int64_t first = l->window > 0 && last >= l->window ? last - l->window + 1 : 0;
    const size_t at = (size_t)item * (size_t)(job->group * l->head_width);
    return (attend_item){.state = row->state,
                         .kv_head = (int)(item % l->kv_head_count),
                         .first = first,
                         .key_count = last - first + 1,
                         .q = job->s.q + at,
                         .out = job->s.mixed + at};
}

static float *piece_at(const attend_job *job, size_t slot) {
    return job->s.pieces + slot * (size_t)(job->group * job->l->head_width);
}
static double *log_sums_at(const attend_job *job, size_t slot) {
    return job->s.log_sums + slot * (size_t)job->group;
}

/* Piece n of the keys: scores, softmax, mix. A ring wraps at most once, so the keys are two runs of
 * rows. log_sums [group] or NULL. */
static void attend_keys(const attend_job *job, const attend_item *item, int64_t n, int thread_index,
                        float *out, double *log_sums) {
    const kernels *k = job->k;
    const kernels_cache cache = item->state->cache;
    const int64_t cap = row_count_of(item->state, job->layer), width = job->l->head_width;
    const int64_t group = job->group, from = (item->first + n * ATTEND_KEYS) % cap;
    const int64_t left = item->key_count - n * ATTEND_KEYS;
    const int64_t key_count = left < ATTEND_KEYS ? left : ATTEND_KEYS;
    const int64_t run_count = from + key_count > cap ? cap - from : key_count;
    const size_t row_size = kernels_cache_row_size(cache, width);
    const size_t base = (size_t)item->kv_head * (size_t)cap * row_size;
    const size_t run = base + (size_t)from * row_size;
    const size_t stride = (size_t)key_count;
    const unsigned char *keys = keys_of(item->state, job->layer);
    const unsigned char *values = keys + half_size(item->state, job->layer);
    float *scores = job->s.scores + (size_t)thread_index * job->s.score_cap;
    k->scores[cache](scores, stride, item->q, group, keys + run, run_count, width);
    k->scores[cache](scores + run_count, stride, item->q, group, keys + base, key_count - run_count,
                     width);
    const float scale = 1.0f / sqrtf((float)width);
    for (int64_t j = 0; j < group * key_count; j++) scores[j] *= scale;
    for (int64_t g = 0; g < group; g++)
        k->softmax(scores + g * key_count, key_count, log_sums != NULL ? log_sums + g : NULL);
    memset(out, 0, (size_t)(group * width) * sizeof(float));
    k->mix[cache](out, scores, stride, group, values + run, run_count, width);
    k->mix[cache](out, scores + run_count, stride, group, values + base, key_count - run_count,
                  width);
}

/* Joins a piece to what older keys gave. */
static void join(const attend_job *job, float *out, double *log_sums, const float *piece,
                 const double *piece_log_sums) {
    const int width = job->l->head_width;
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
        const size_t slot = job->s.split_at + (size_t)i;
        if (n < piece_count(item.key_count))
            attend_keys(job, &item, n, thread_index, n == 0 ? item.out : piece_at(job, slot),
                        log_sums_at(job, slot));
    }
}

static void attend(attend_job *job) {
    pool *threads = job->p->c->pool;
    const int kv_head_count = job->l->kv_head_count;
    const int64_t items = (int64_t)job->p->row_count * kv_head_count;
    job->piece_cap = 1;
    for (int64_t i = 0; i < items; i += kv_head_count) {
        const int64_t pieces = piece_count(item_at(job, i).key_count);
        if (pieces > job->piece_cap) job->piece_cap = pieces;
    }
    if (items >= pool_thread_count(threads) || job->piece_cap == 1) {
        pool_run(threads, items, 1, attend_part, job);
        return;
    }
    pool_run(threads, items * job->piece_cap, 1, split_part, job);
    for (int64_t i = 0; i < items; i++) {
        const attend_item item = item_at(job, i);
        const size_t slot = job->s.split_at + (size_t)(i * job->piece_cap);
        for (size_t n = 1; n < (size_t)piece_count(item.key_count); n++)
            join(job, item.out, log_sums_at(job, slot), piece_at(job, slot + n),
                 log_sums_at(job, slot + n));
    }
}

static const float *rotary_of(const stack_pass *p, int layer, int row) {
    const stack_work *k = p->work;
    const size_t table = (size_t)k->w->layers[layer].rotary * (size_t)k->row_cap;
    return k->rotary + (table + (size_t)row) * (size_t)k->rotary_width;
}

/* Puts the normed, turned keys and the values of a row where they are kept. */
static void store_keys(const attend_job *job, int t) {
    const stack_layer_config *l = job->l;
    const size_t width = (size_t)l->head_width;
    const stack_row *row = &job->p->work->rows[t];
    const size_t row_size = kernels_cache_row_size(row->state->cache, l->head_width);
    const size_t rows = (size_t)row_count_of(row->state, job->layer);
    const size_t slot = (size_t)row->position % rows;
    unsigned char *keys = keys_of(row->state, job->layer);
    unsigned char *values = keys + half_size(row->state, job->layer);
    for (int head = 0; head < l->kv_head_count; head++) {
        const size_t from = ((size_t)t * (size_t)l->kv_head_count + (size_t)head) * width;
        const size_t to = ((size_t)head * rows + slot) * row_size;
        turn_head(job->p->work->w, l, job->k, job->s.k + from, job->own->k_norm,
                  rotary_of(job->p, job->layer, t));
        job->k->store[row->state->cache](keys + to, job->s.k + from, (int64_t)width);
        job->k->store[row->state->cache](values + to, job->s.v + from, (int64_t)width);
    }
}

/* Queries, keys and values of rows [begin, end). */
static void turn_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const attend_job *job = context;
    const stack_layer_config *l = job->l;
    (void)thread_index;
    for (int t = (int)begin; t < (int)end; t++) {
        float *q = job->s.q + (size_t)t * (size_t)l->head_count * (size_t)l->head_width;
        for (int head = 0; head < l->head_count; head++, q += l->head_width)
            turn_head(job->p->work->w, l, job->k, q, job->own->q_norm,
                      rotary_of(job->p, job->layer, t));
        if (l->kv_above == 0) store_keys(job, t);
    }
}

/* Each head times the sigmoid of its own number, a row of the gate times the part's input. */
static void gate_heads(const attend_job *job) {
    const stack_attention_weights *own = job->own;
    const size_t heads = (size_t)job->l->head_count, width = (size_t)job->l->head_width;
    const size_t cells = (size_t)job->p->row_count * heads;
    linear(job->p->c, &own->gate, NULL, job->p->work->normed, (size_t)job->p->work->w->config.width,
           job->s.gates, heads, job->p->row_count);
    for (size_t h = 0; h < cells; h++) {
        const float share = 1.0f / (1.0f + expf(-job->s.gates[h]));
        for (size_t i = 0; i < width; i++) job->s.mixed[h * width + i] *= share;
    }
}

static void forward(const stack_pass *p, int layer, float *x) {
    const stack_weights *w = p->work->w;
    const stack_layer_config *l = config_of(w, layer);
    const stack_part *part = stack_part_at(w, layer, STACK_OPERATOR);
    const stack_attention_weights *own = part->weights;
    const size_t all = (size_t)heads(w, layer), kv = (size_t)kv_heads(w, layer);
    arena a = stack_scratch(p->work);
    attend_job job = {.p = p,
                      .l = l,
                      .own = own,
                      .k = p->c->k,
                      .layer = layer,
                      .group = l->head_count / l->kv_head_count,
                      .s = take_scratch(p->work, layer, &a)};
    const linear_task tasks[] = {{&own->q, own->q_bias, job.s.q, all},
                                 {&own->k, own->k_bias, job.s.k, kv},
                                 {&own->v, own->v_bias, job.s.v, kv}};
    linear_all(p->c, tasks, l->kv_above > 0 ? 1 : 3, p->work->normed, (size_t)w->config.width,
               p->row_count);
    stack_share_rows(p, turn_part, &job);
    attend(&job);
    if (own->gate.row_count > 0) gate_heads(&job);
    stack_put(p, part, &own->out, own->out_bias, job.s.mixed, all, x);
}

static void cost(const stack_weights *w, int layer, kernels_cache cache, int64_t depth,
                 int row_count, stack_cost *sum) {
    (void)row_count;
    const stack_layer_config *l = config_of(w, layer);
    const int64_t seen = l->window > 0 && l->window < depth ? l->window : depth;
    stack_cost_matrices(w, layer, STACK_OPERATOR, sum);
    sum->kept_size += 2.0 * (double)seen * l->kv_head_count *
                      (double)kernels_cache_row_size(cache, l->head_width);
}

const stack_kind stack_attention = {.name = "attention",
                                    .place = STACK_OPERATOR,
                                    .weights_size = sizeof(stack_attention_weights),
                                    .tensors = tensors,
                                    .tensor_count = sizeof tensors / sizeof *tensors,
                                    .has = has,
                                    .check = check,
                                    .fixed_size = fixed_size,
                                    .appended_size = appended_size,
                                    .layout = layout,
                                    .forward = forward,
                                    .cost = cost};
