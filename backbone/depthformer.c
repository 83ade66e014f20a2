#include "backbone/depthformer.h"

#include <stdlib.h>
#include <string.h>

#include "core/status.h"

/* audio.md 6.3: class defaults of the reference, not in any file. */
static const float norm_eps = 1e-5f;
static const double rope_base = 1e6;

/* The stack's dimensions, found in the shapes of its first layer. */
static void find_dimensions(loader *l, int layer_count, lfm2_config *c) {
    *c = (lfm2_config){.layer_count = layer_count,
                       .conv_taps = 1,
                       .eps = norm_eps,
                       .rope_base = rope_base,
                       .rope_adjacent = true};
    const matrix qkv = load_matrix(l, 0, 0, "depthformer.layers.0.operator.qkv_proj.weight");
    const matrix norm =
        load_matrix(l, 0, 0, "depthformer.layers.0.operator.attention.q_layernorm.weight");
    if (l->status != RNL_OK) return;
    c->width = (int)qkv.col_count;
    c->head_width = (int)(norm.row_count * norm.col_count);
    c->head_count = c->width / c->head_width;
    const int64_t kv_rows = qkv.row_count - (int64_t)c->head_count * c->head_width;
    if (layer_count < 1 || layer_count > LFM2_LAYER_CAP || c->width % c->head_width != 0 ||
        kv_rows <= 0 || kv_rows % (2 * (int64_t)c->head_width) != 0) {
        l->status = status_fail(l->error, RNL_ERR_FORMAT,
                                "%s: depthformer of %d layers with a qkv_proj of %lld x %lld and "
                                "heads of %d does not fit together; the file is damaged",
                                l->file, layer_count, (long long)qkv.row_count,
                                (long long)qkv.col_count, c->head_width);
        return;
    }
    for (int i = 0; i < layer_count; i++) c->kv_head_count[i] = (int)(kv_rows / 2 / c->head_width);
    l->status = lfm2_check(c, l->file, l->error);
}

static void load_layer(loader *l, const lfm2_config *c, int i, lfm2_layer *layer) {
    const char *at = "depthformer.layers";
    const int64_t heads = (int64_t)c->head_count * c->head_width;
    layer->kv_head_count = c->kv_head_count[i];
    const int64_t kv = (int64_t)layer->kv_head_count * c->head_width;
    layer->operator_norm = load_vector(l, c->width, "%s.%d.operator_norm.weight", at, i);
    layer->ffn_norm = load_vector(l, c->width, "%s.%d.ffn_norm.weight", at, i);
    const matrix qkv =
        load_matrix(l, heads + 2 * kv, c->width, "%s.%d.operator.qkv_proj.weight", at, i);
    layer->q = matrix_rows(&qkv, 0, heads);
    layer->k = matrix_rows(&qkv, heads, kv);
    layer->v = matrix_rows(&qkv, heads + kv, kv);
    layer->attention_out = load_matrix(l, c->width, heads, "%s.%d.operator.out_proj.weight", at, i);
    layer->q_norm =
        load_vector(l, c->head_width, "%s.%d.operator.attention.q_layernorm.weight", at, i);
    layer->k_norm =
        load_vector(l, c->head_width, "%s.%d.operator.attention.k_layernorm.weight", at, i);
    layer->gate = load_matrix(l, 0, c->width, "%s.%d.feed_forward.w1.weight", at, i);
    const int64_t ff = layer->gate.row_count;
    layer->up = load_matrix(l, ff, c->width, "%s.%d.feed_forward.w3.weight", at, i);
    layer->down = load_matrix(l, c->width, ff, "%s.%d.feed_forward.w2.weight", at, i);
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
    lfm2_config c = {0};
    find_dimensions(l, layer_count, &c);
    if (l->status != RNL_OK) return;
    lfm2_weights_create(l, &c, &out->stack);
    for (int i = 0; i < layer_count && l->status == RNL_OK; i++) {
        load_layer(l, &c, i, &out->stack.layers[i]);
        if (out->stack.layers[i].gate.row_count > out->stack.ff_width_max)
            out->stack.ff_width_max = out->stack.layers[i].gate.row_count;
    }
    const int64_t rows = (int64_t)codebook_count * c.width;
    out->split = load_matrix(l, rows, backbone_width, "depth_linear.weight");
    out->split_bias = load_vector(l, rows, "depth_linear.bias");
    if (l->status == RNL_OK) load_codebooks(l, out, tied);
}

void depth_layout(depth_state *s, const depth_weights *w, int thread_count, arena *kept,
                  arena *scratch) {
    const size_t dim = (size_t)w->stack.config.width;
    const size_t count = (size_t)w->codebook_count, codes = (size_t)w->code_count;
    *s = (depth_state){.w = w};
    /* The KV cache is dead between frames, so it is scratch, not state. */
    lfm2_layout(&s->stack, &w->stack, w->stack.cache, w->codebook_count, 1, thread_count, kept,
                scratch, scratch);
    s->slices = arena_take(scratch, count * dim, sizeof(float));
    s->x = arena_take(scratch, dim, sizeof(float));
    s->previous = arena_take(scratch, dim, sizeof(float));
    s->logits = arena_take(scratch, count * codes, sizeof(float));
    s->outputs = arena_take(scratch, count * dim, sizeof(float));
    s->draw = arena_take(scratch, 2 * codes, sizeof(float));
}

void depth_frame(depth_state *s, const compute *c, const float *hidden, rnl_sampling how,
                 random_state *random, int32_t *codes) {
    const depth_weights *w = s->w;
    const size_t dim = (size_t)w->stack.config.width, codes_of_book = (size_t)w->code_count;
    lfm2_reset(&s->stack);
    linear(c, &w->split, w->split_bias, hidden, (size_t)w->split.col_count, s->slices,
           (size_t)w->split.row_count, 1);
    memset(s->previous, 0, dim * sizeof *s->previous);
    for (int k = 0; k < w->codebook_count; k++) {
        const float *slice = s->slices + (size_t)k * dim;
        for (size_t i = 0; i < dim; i++) s->x[i] = slice[i] + s->previous[i];
        lfm2_forward(&s->stack, c, s->x, 1);
        memcpy(s->outputs + (size_t)k * dim, s->x, dim * sizeof *s->x);
        c->k->rms_norm(s->x, s->x, w->norm[k], norm_eps, (int64_t)dim);
        float *logits = s->logits + (size_t)k * codes_of_book;
        linear(c, &w->head[k], NULL, s->x, dim, logits, codes_of_book, 1);
        codes[k] = sample_index(logits, w->code_count, how, random, s->draw);
        matrix_row(c, &w->embedding[k], codes[k], s->previous);
    }
}
