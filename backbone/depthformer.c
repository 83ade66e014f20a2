#include "backbone/depthformer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "stack/device.h"
#include "stack/kind.h"

/* audio.md 6.3: class defaults of the reference, not in any file. */
static const float norm_eps = 1e-5f;
static const double rope_base = 1e6;

/* The stack's dimensions, found in the shapes of its first layer. */
static void find_dimensions(loader *l, int layer_count, stack_config *c) {
    const matrix qkv = load_matrix(l, 0, 0, "depthformer.layers.0.operator.qkv_proj.weight");
    const matrix norm =
        load_matrix(l, 0, 0, "depthformer.layers.0.operator.attention.q_layernorm.weight");
    if (l->status != RNL_OK) return;
    stack_layer_config all = {.kinds = {&stack_attention, &stack_dense},
                              .head_width = (int)(norm.row_count * norm.col_count),
                              .rotary = {.base = rope_base, .adjacent = true}};
    all.head_count = (int)qkv.col_count / all.head_width;
    all.rotary.pair_count = all.head_width / 2;
    const int64_t heads = (int64_t)all.head_count * all.head_width;
    const int64_t kv_rows = qkv.row_count - heads;
    if (layer_count < 1 || layer_count > STACK_LAYER_CAP || heads != qkv.col_count ||
        kv_rows <= 0 || kv_rows % (2 * (int64_t)all.head_width) != 0) {
        l->status = status_fail(l->error, RNL_ERR_FORMAT,
                                "%s: depthformer of %d layers with a qkv_proj of %lld x %lld and "
                                "heads of %d does not fit together; the file is damaged",
                                l->file, layer_count, (long long)qkv.row_count,
                                (long long)qkv.col_count, all.head_width);
        return;
    }
    all.kv_head_count = (int)(kv_rows / 2 / all.head_width);
    c->width = (int)qkv.col_count;
    c->layer_count = layer_count;
    c->eps = norm_eps;
    stack_config_fill(c, &all);
    l->status = stack_check(c, l->file, l->error);
}

static void load_attention(loader *l, const stack_config *c, int i, stack_part *part) {
    const char *at = "depthformer.layers";
    const stack_layer_config *layer = &c->layers[i];
    stack_attention_weights *own = part->weights;
    const int64_t heads = (int64_t)layer->head_count * layer->head_width;
    const int64_t kv = (int64_t)layer->kv_head_count * layer->head_width;
    part->norm = load_vector(l, c->width, "%s.%d.operator_norm.weight", at, i);
    const matrix qkv =
        load_matrix(l, heads + 2 * kv, c->width, "%s.%d.operator.qkv_proj.weight", at, i);
    own->q = matrix_rows(&qkv, 0, heads);
    own->k = matrix_rows(&qkv, heads, kv);
    own->v = matrix_rows(&qkv, heads + kv, kv);
    own->out = load_matrix(l, c->width, heads, "%s.%d.operator.out_proj.weight", at, i);
    own->q_norm =
        load_vector(l, layer->head_width, "%s.%d.operator.attention.q_layernorm.weight", at, i);
    own->k_norm =
        load_vector(l, layer->head_width, "%s.%d.operator.attention.k_layernorm.weight", at, i);
}

static void load_dense(loader *l, stack_config *c, int i, stack_part *part) {
    const char *at = "depthformer.layers";
    stack_dense_weights *own = part->weights;
    part->norm = load_vector(l, c->width, "%s.%d.ffn_norm.weight", at, i);
    own->gate = load_matrix(l, 0, c->width, "%s.%d.feed_forward.w1.weight", at, i);
    const int64_t ff = own->gate.row_count;
    own->up = load_matrix(l, ff, c->width, "%s.%d.feed_forward.w3.weight", at, i);
    own->down = load_matrix(l, c->width, ff, "%s.%d.feed_forward.w2.weight", at, i);
    c->layers[i].ff_width = ff;
}

static void load_codebooks(loader *l, depth_weights *w, bool tied) {
    const size_t count = (size_t)w->codebook_count;
    w->embedding = calloc(count, sizeof *w->embedding);
    w->head = calloc(count, sizeof *w->head);
    w->norm = calloc(count, sizeof *w->norm);
    if (weights_own(l->w, w->embedding, free) != RNL_OK ||
        weights_own(l->w, w->head, free) != RNL_OK || weights_own(l->w, w->norm, free) != RNL_OK ||
        w->embedding == NULL || w->head == NULL || w->norm == NULL) {
        l->status =
            status_fail(l->error, RNL_ERR_MEMORY, "memory for %zu codebooks is exhausted", count);
        return;
    }
    const int64_t dim = w->stack.config.width;
    for (int k = 0; k < w->codebook_count; k++) {
        w->embedding[k] =
            load_table(l, w->code_count, dim, "depth_embeddings.%d.embedding.weight", k);
        if (k == 0) w->code_count = (int)w->embedding[0].row_count;
        const char *head = tied ? "embedding" : "to_logits";
        w->head[k] = load_matrix(l, w->code_count, dim, "depth_embeddings.%d.%s.weight", k, head);
        w->norm[k] = load_vector(l, dim, "depth_embeddings.%d.embedding_norm.weight", k);
    }
}

void depth_load(loader *l, int layer_count, int codebook_count, int backbone_width, bool tied,
                depth_weights *out) {
    *out = (depth_weights){.codebook_count = codebook_count};
    stack_config *c = calloc(1, sizeof *c);
    if (c == NULL) {
        l->status = status_fail(l->error, RNL_ERR_MEMORY, "memory for a depthformer is exhausted");
        return;
    }
    find_dimensions(l, layer_count, c);
    stack_weights_create(l, c, &out->stack);
    free(c);
    c = &out->stack.config;
    for (int i = 0; i < layer_count && l->status == RNL_OK; i++) {
        load_attention(l, c, i, &out->stack.layers[i].parts[STACK_OPERATOR]);
        load_dense(l, c, i, &out->stack.layers[i].parts[STACK_FEED_FORWARD]);
    }
    if (l->status != RNL_OK) return;
    const int64_t rows = (int64_t)codebook_count * c->width;
    out->split = load_matrix(l, rows, backbone_width, "depth_linear.weight");
    out->split_bias = load_vector(l, rows, "depth_linear.bias");
    if (l->status == RNL_OK) load_codebooks(l, out, tied);
}

void depth_layout(depth_work *k, const depth_weights *w, int row_cap, int thread_count,
                  arena *scratch) {
    const size_t dim = (size_t)w->stack.config.width, rows = (size_t)row_cap;
    const size_t count = (size_t)w->codebook_count, codes = (size_t)w->code_count;
    *k = (depth_work){.w = w, .row_cap = row_cap};
    stack_work_layout(&k->stack, &w->stack, row_cap, w->codebook_count, thread_count, scratch);
    k->states = arena_take(scratch, rows, sizeof *k->states);
    k->pieces = arena_take(scratch, rows, sizeof *k->pieces);
    for (int i = 0; i < row_cap; i++) {
        stack_state measured;
        stack_state *s = k->states != NULL ? &k->states[i] : &measured;
        stack_state_layout(s, &w->stack, w->stack.cache, w->codebook_count, 1, scratch, scratch);
        if (k->pieces != NULL) k->pieces[i] = (stack_piece){.state = s, .count = 1};
    }
    k->slices = arena_take(scratch, rows * count * dim, sizeof(float));
    k->x = arena_take(scratch, rows * dim, sizeof(float));
    k->previous = arena_take(scratch, rows * dim, sizeof(float));
    k->logits = arena_take(scratch, count * rows * codes, sizeof(float));
    k->outputs = arena_take(scratch, count * rows * dim, sizeof(float));
    k->draw = arena_take(scratch, (size_t)thread_count * 2 * codes, sizeof(float));
}

rnl_status depth_on(depth_work *k, stack_placed *on, rnl_error *error) {
    rnl_status status = RNL_OK;
    for (int i = 0; i < k->row_cap && status == RNL_OK; i++)
        status = stack_placed_attach(on, &k->states[i], error);
    if (status == RNL_OK)
        k->stack.on = on;
    else
        depth_off(k);
    return status;
}

void depth_off(depth_work *k) {
    for (int i = 0; i < k->row_cap; i++) stack_placed_detach(&k->states[i]);
    k->stack.on = NULL;
}

/* Codebook `book` of all rows. */
typedef struct depth_job {
    depth_work *k;
    const compute *c;
    depth_row *rows;
    int book;
    const float *logits; /* [row_cap, code_count] */
} depth_job;

/* Rows are drawn by all threads: alone it takes as long as a layer of the stack. */
static void draw_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const depth_job *job = context;
    const depth_weights *w = job->k->w;
    const size_t dim = (size_t)w->stack.config.width, codes = (size_t)w->code_count;
    float *draw = job->k->draw + (size_t)thread_index * 2 * codes;
    for (size_t r = (size_t)begin; r < (size_t)end; r++) {
        depth_row *row = &job->rows[r];
        const int code = row->given != NULL ? row->given[job->book]
                                            : sample_index(job->logits + r * codes, w->code_count,
                                                           row->how, row->random, draw);
        if (code < 0) row->failed = true;
        row->codes[job->book] = code < 0 ? 0 : code;
        matrix_row(job->c, &w->embedding[job->book], row->codes[job->book],
                   job->k->previous + r * dim);
    }
}

static void step(depth_work *k, const compute *c, depth_row *rows, int count, int b) {
    const depth_weights *w = k->w;
    const size_t dim = (size_t)w->stack.config.width, codes = (size_t)w->code_count;
    const size_t books = (size_t)w->codebook_count, at = (size_t)b * (size_t)k->row_cap;
    for (size_t r = 0; r < (size_t)count; r++) {
        const float *slice = k->slices + (r * books + (size_t)b) * dim;
        for (size_t i = 0; i < dim; i++) k->x[r * dim + i] = slice[i] + k->previous[r * dim + i];
    }
    stack_forward(&k->stack, c, k->pieces, count, k->x);
    memcpy(k->outputs + at * dim, k->x, (size_t)count * dim * sizeof *k->x);
    for (size_t r = 0; r < (size_t)count; r++)
        c->k->rms_norm(k->x + r * dim, k->x + r * dim, w->norm[b], norm_eps, (int64_t)dim);
    float *logits = k->logits + at * codes;
    linear(c, &w->head[b], NULL, k->x, dim, logits, codes, count);
    depth_job job = {.k = k, .c = c, .rows = rows, .book = b, .logits = logits};
    pool_run(c->pool, count, 1, draw_part, &job);
}

void depth_frames(depth_work *k, const compute *c, const float *hidden, depth_row *rows,
                  int count) {
    const depth_weights *w = k->w;
    const size_t dim = (size_t)w->stack.config.width;
    assert(count > 0 && count <= k->row_cap);
    for (int r = 0; r < count; r++) {
        stack_reset(&k->states[r]);
        rows[r].failed = false;
    }
    linear(c, &w->split, w->split_bias, hidden, (size_t)w->split.col_count, k->slices,
           (size_t)w->split.row_count, count);
    memset(k->previous, 0, (size_t)count * dim * sizeof *k->previous);
    for (int b = 0; b < w->codebook_count; b++) step(k, c, rows, count, b);
}
