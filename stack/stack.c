/* The stack of layers: what it keeps, what it needs, running it. Checking and loading are in
 * stack_load.c, each kind of part in a file of its own.
 *
 *     pieces -> rows {state, position} -> rotary tables -> layer by layer: norm, part, + x
 *
 * Invariant: what is computed for a row depends neither on the rows beside it nor on how the rows
 * of its state were cut, because linear() and the kernels promise the same of their outputs. */
#include "stack/stack.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "stack/device.h"
#include "stack/kind.h"

int stack_head_not_kept(const stack_config *c, kernels_cache cache) {
    if (cache != KERNELS_CACHE_Q8_0) return 0;
    for (int i = 0; i < c->layer_count; i++)
        if (c->layers[i].kinds[STACK_OPERATOR] == &stack_attention &&
            c->layers[i].head_width % KERNELS_CACHE_BLOCK != 0)
            return c->layers[i].head_width;
    return 0;
}

/* ---- State ---- */

/* Bytes of one part, rounded up so that every part begins at a cache line. */
static size_t part_size(const stack_state *s, int layer, stack_place place, bool fixed, arena *a) {
    const stack_kind *kind = stack_part_at(s->w, layer, place)->kind;
    size_t (*of)(const stack_state *, int) = fixed ? kind->fixed_size : kind->appended_size;
    size_t size = of != NULL ? of(s, layer) : 0;
    if (!checked_align(size, ARENA_ALIGN, &size)) a->overflowed = true;
    return size;
}

void stack_state_layout(stack_state *s, const stack_weights *w, kernels_cache cache,
                        int position_cap, int step_cap, arena *kept, arena *appended) {
    const size_t parts = (size_t)w->config.layer_count * STACK_PLACE_COUNT;
    assert(stack_head_not_kept(&w->config, cache) == 0);
    *s = (stack_state){.w = w, .cache = cache, .position_cap = position_cap, .step_cap = step_cap};
    for (size_t i = 0; i < parts; i++) {
        const size_t size =
            part_size(s, (int)(i / STACK_PLACE_COUNT), i % STACK_PLACE_COUNT, true, kept);
        if (!checked_add(s->fixed_size, size, &s->fixed_size)) kept->overflowed = true;
    }
    s->fixed = arena_take(kept, s->fixed_size, 1);
    s->fixed_at = arena_take(kept, parts, sizeof *s->fixed_at);
    s->appended = arena_take(kept, parts, sizeof *s->appended);
    unsigned char *fixed = s->fixed;
    const size_t appended_at = appended->size_used;
    for (size_t i = 0; i < parts; i++) {
        const int layer = (int)(i / STACK_PLACE_COUNT);
        const stack_place place = i % STACK_PLACE_COUNT;
        unsigned char *own = arena_take(appended, part_size(s, layer, place, false, appended), 1);
        if (s->appended == NULL) continue; /* measuring */
        s->appended[i] = own;
        s->fixed_at[i] = fixed;
        if (fixed != NULL) fixed += part_size(s, layer, place, true, kept);
    }
    s->appended_size = appended->size_used - appended_at;
    if (appended->base != NULL) s->appended_base = appended->base + appended_at;
}

void stack_reset(stack_state *s) {
    s->position = 0;
    if (s->fixed_size > 0) memset(s->fixed, 0, s->fixed_size);
    /* What is appended is written before it is read: nothing to clear. */
}

/* ---- Work ---- */

static int rotary_width(const stack_weights *w) {
    int widest = 0;
    for (int r = 0; r < w->rotary_count; r++) {
        const int width = w->config.layers[w->rotary_layers[r]].head_width;
        if (width > widest) widest = width;
    }
    return widest;
}

void stack_work_layout(stack_work *k, const stack_weights *w, int row_cap, int position_cap,
                       int thread_count, arena *scratch) {
    const size_t rows = (size_t)row_cap, width = (size_t)w->config.width;
    *k = (stack_work){.w = w,
                      .row_cap = row_cap,
                      .position_cap = position_cap,
                      .thread_count = thread_count,
                      .rotary_width = rotary_width(w)};
    k->rows = arena_take(scratch, rows, sizeof *k->rows);
    k->normed = arena_take(scratch, rows * width, sizeof *k->normed);
    if (w->has_post_norms) k->added = arena_take(scratch, rows * width, sizeof *k->added);
    k->rotary = arena_take(scratch, (size_t)w->rotary_count * rows,
                           (size_t)k->rotary_width * sizeof *k->rotary);
    for (int i = 0; i < w->config.layer_count; i++)
        for (int p = 0; p < STACK_PLACE_COUNT; p++) {
            arena part = {0};
            const stack_kind *kind = w->layers[i].parts[p].kind;
            if (kind->layout != NULL) kind->layout(k, i, &part);
            if (part.overflowed) scratch->overflowed = true;
            if (part.size_used > k->scratch_size) k->scratch_size = part.size_used;
        }
    k->scratch = arena_take(scratch, k->scratch_size, 1);
}

/* ---- A pass ---- */

/* Says of each row where it belongs; returns their number. */
static int place_rows(stack_work *k, const stack_piece *pieces, int piece_count) {
    int count = 0;
    for (int i = 0; i < piece_count; i++) {
        const stack_state *s = pieces[i].state;
        assert(s->w == k->w && pieces[i].count > 0 && pieces[i].count <= s->step_cap);
        assert(count + pieces[i].count <= k->row_cap && s->position_cap <= k->position_cap);
        assert(s->position_cap == 0 || s->position + pieces[i].count <= s->position_cap);
        for (int t = 0; t < pieces[i].count; t++)
            k->rows[count++] = (stack_row){
                .state = s, .position = s->position + t, .end = s->position + pieces[i].count};
    }
    return count;
}

/* Angles in double: position * base^(-2i / head_width); float32 angles would drift with
 * position. */
static void prepare_rotary(stack_work *k, int count) {
    for (int r = 0; r < k->w->rotary_count; r++) {
        const stack_layer_config *l = &k->w->config.layers[k->w->rotary_layers[r]];
        const int half = l->head_width / 2;
        float *table = k->rotary + (size_t)r * (size_t)k->row_cap * (size_t)k->rotary_width;
        for (int i = 0; i < half; i++) {
            const double turn = pow(l->rotary.base, -2.0 * i / l->head_width);
            for (int t = 0; t < count; t++) {
                const double angle = (double)k->rows[t].position * turn;
                float *row = table + (size_t)t * (size_t)k->rotary_width;
                row[i] = (float)cos(angle);
                row[half + i] = (float)sin(angle);
            }
        }
    }
}

void stack_share(const stack_pass *p, int64_t item_count, pool_fn fn, void *job) {
    enum { SHARED_COUNT = 8, GRAIN = 16 };
    if (p->row_count >= SHARED_COUNT)
        pool_run(p->c->pool, item_count, GRAIN, fn, job);
    else
        fn(job, 0, item_count, 0);
}

void stack_share_rows(const stack_pass *p, pool_fn fn, void *job) {
    enum { SHARED_COUNT = 8, GRAIN = 2 };
    if (p->row_count >= SHARED_COUNT)
        pool_run(p->c->pool, p->row_count, GRAIN, fn, job);
    else
        fn(job, 0, p->row_count, 0);
}

void stack_share_heads(const stack_pass *p, int head_count, pool_fn fn, void *job) {
    enum { SHARED_COUNT = 8 };
    const int64_t heads = (int64_t)p->piece_count * head_count;
    if (p->row_count >= SHARED_COUNT)
        pool_run(p->c->pool, heads, 1, fn, job);
    else
        fn(job, 0, heads, 0);
}

typedef struct norm_job {
    const kernels *k;
    int64_t width;
    float eps;
    const float *x, *gain;
    float *out;
} norm_job;

static void norm_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const norm_job *job = context;
    const int64_t width = job->width;
    (void)thread_index;
    for (int64_t t = begin; t < end; t++)
        job->k->rms_norm(job->out + t * width, job->x + t * width, job->gain, job->eps, width);
}

static void norm_rows(const stack_pass *p, const float *x, const float *gain, float *out) {
    const stack_config *c = &p->work->w->config;
    norm_job job = {
        .k = p->c->k, .width = c->width, .eps = c->eps, .x = x, .gain = gain, .out = out};
    stack_share_rows(p, norm_part, &job);
}

void stack_add(const stack_pass *p, const stack_part *part, float *added, float *x) {
    const size_t cells = (size_t)p->row_count * (size_t)p->work->w->config.width;
    if (part->post_norm != NULL) norm_rows(p, added, part->post_norm, added);
    for (size_t i = 0; i < cells; i++) x[i] += added[i];
}

void stack_put(const stack_pass *p, const stack_part *part, const matrix *w, const float *bias,
               const float *in, size_t in_stride, float *x) {
    const size_t width = (size_t)p->work->w->config.width;
    if (part->post_norm == NULL) {
        linear_add(p->c, w, bias, in, in_stride, x, width, p->row_count);
        return;
    }
    float *added = p->work->added;
    linear(p->c, w, bias, in, in_stride, added, width, p->row_count);
    stack_add(p, part, added, x);
}

void stack_forward_begin(stack_work *k, const stack_piece *pieces, int piece_count) {
    k->row_count = place_rows(k, pieces, piece_count);
    assert(k->row_count > 0);
    prepare_rotary(k, k->row_count);
    k->layer = 0;
}

rnl_status stack_pass_layer(const stack_pass *p, float *x) {
    stack_work *k = p->work;
    assert(k->layer < k->w->config.layer_count);
    const int layer = k->layer++;
    for (int place = 0; place < STACK_PLACE_COUNT; place++) {
        const stack_part *part = &k->w->layers[layer].parts[place];
        norm_rows(p, x, part->norm, k->normed);
        part->kind->forward(p, layer, x);
    }
    if (k->tap != NULL) k->tap(k->tap_context, layer, x, p->row_count);
    if (k->layer < k->w->config.layer_count) return RNL_OK;
    if (k->w->final_norm != NULL) norm_rows(p, x, k->w->final_norm, x);
    for (int i = 0; i < p->piece_count; i++) {
        stack_state *s = p->pieces[i].state;
        if (s->unseen > s->position) s->unseen = s->position;
        s->position += p->pieces[i].count;
    }
    return RNL_DONE;
}

rnl_status stack_forward_step(stack_work *k, const compute *c, const stack_piece *pieces,
                              int piece_count, float *x) {
    const stack_pass p = {
        .work = k, .c = c, .pieces = pieces, .piece_count = piece_count, .row_count = k->row_count};
    return stack_device_step(&p, x);
}

void stack_forward(stack_work *k, const compute *c, const stack_piece *pieces, int piece_count,
                   float *x) {
    stack_forward_begin(k, pieces, piece_count);
    while (stack_forward_step(k, c, pieces, piece_count, x) == RNL_OK) continue;
}
