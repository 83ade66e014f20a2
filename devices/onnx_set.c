#include "devices/onnx_set.h"

#include <stdio.h>
#include <string.h>

#include "core/hash_table.h"
#include "core/status.h"
#include "stack/kind.h"

/* ---- Hashes ---- */

static uint64_t hash_number(uint64_t hash, int64_t number) {
    return hash_bytes(hash, &number, sizeof number);
}

static uint64_t hash_vector(uint64_t hash, const float *v, int64_t count) {
    return v != NULL ? hash_bytes(hash, v, (size_t)count * sizeof *v) : hash_number(hash, 0);
}

static uint64_t hash_matrix(uint64_t hash, const matrix *m) {
    hash = hash_number(hash_number(hash, m->row_count), m->type);
    return m->data != NULL ? hash_bytes(hash, m->data, (size_t)m->row_count * m->row_size) : hash;
}

static uint64_t hash_part(uint64_t hash, const stack_weights *w, int layer, stack_place place) {
    const stack_part *part = stack_part_at(w, layer, place);
    hash = hash_vector(hash, part->norm, w->config.width);
    hash = hash_vector(hash, part->post_norm, w->config.width);
    hash = hash_bytes(hash, part->kind->name, strlen(part->kind->name));
    for (int i = 0; i < part->kind->tensor_count; i++) {
        const stack_tensor *t = &part->kind->tensors[i];
        const void *at = (const unsigned char *)part->weights + t->at;
        if (t->form == STACK_MATRIX || t->form == STACK_MATRIX_IF)
            hash = hash_matrix(hash, at);
        else if (stack_has_tensor(&w->config.layers[layer], place, t))
            hash =
                hash_vector(hash, *(const float *const *)at, t->rows(w, layer) * t->cols(w, layer));
    }
    return hash;
}

static uint64_t hash_stack(const onnx_set *set) {
    const stack_weights *w = set->weights;
    uint64_t hash = hash_number(hash_number(HASH_START, set->past_count), set->half);
    hash = hash_bytes(hash, &w->config.eps, sizeof w->config.eps);
    hash = hash_number(hash, w->config.width);
    for (int i = 0; i < w->config.layer_count; i++) {
        const stack_layer_config *l = &w->config.layers[i];
        const int64_t fields[] = {
            l->head_count, l->kv_head_count, l->head_width,        l->kv_above,       l->window,
            l->taps,       l->ff_above,      l->rotary.pair_count, l->rotary.adjacent};
        hash = hash_bytes(hash, fields, sizeof fields);
        for (int place = 0; place < STACK_PLACE_COUNT; place++)
            hash = hash_part(hash, w, i, (stack_place)place);
    }
    return hash_vector(hash, w->final_norm, w->config.width);
}

static uint64_t hash_norm(uint64_t hash, const encoder_norm *n, int width) {
    return hash_vector(hash_vector(hash, n->gain, width), n->bias, width);
}

static uint64_t hash_ff(uint64_t hash, const encoder_ff *ff, int width) {
    hash = hash_norm(hash, &ff->norm, width);
    hash = hash_vector(hash_matrix(hash, &ff->up), ff->up_bias, ff->up.row_count);
    return hash_vector(hash_matrix(hash, &ff->down), ff->down_bias, width);
}

static uint64_t hash_layer(uint64_t hash, const encoder_weights *w, const encoder_layer *y) {
    const int width = w->width;
    const matrix *const matrices[] = {&y->q,        &y->k,      &y->v,     &y->out,
                                      &y->position, &y->point1, &y->point2};
    const encoder_norm *const norms[] = {&y->attention_norm, &y->conv_norm, &y->out_norm};
    const float *const vectors[] = {y->q_bias, y->k_bias, y->v_bias,      y->out_bias,
                                    y->bias_u, y->bias_v, y->point2_bias, y->depth_bias,
                                    y->scale,  y->shift};
    hash = hash_ff(hash_ff(hash, &y->ff1, width), &y->ff2, width);
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++)
        hash = hash_matrix(hash, matrices[i]);
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++)
        hash = hash_norm(hash, norms[i], width);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        hash = hash_vector(hash, vectors[i], width);
    hash = hash_vector(hash, y->point1_bias, 2 * (int64_t)width);
    return hash_vector(hash, y->depth, (int64_t)w->taps * width);
}

static uint64_t hash_encoder(const onnx_set *set) {
    const encoder_weights *w = set->weights;
    const subsampling_weights *s = &w->subsampling;
    uint64_t hash = hash_vector(HASH_START, s->conv0, 9 * (int64_t)s->channel_count);
    hash = hash_number(hash_number(hash, w->head_count), w->taps);
    hash = hash_number(hash, s->band_count);
    hash = hash_vector(hash, s->bias0, s->channel_count);
    for (int i = 0; i < 2; i++) {
        hash = hash_vector(hash, s->depth[i], 9 * (int64_t)s->channel_count);
        hash = hash_vector(hash, s->depth_bias[i], s->channel_count);
        hash = hash_vector(hash_matrix(hash, &s->point[i]), s->point_bias[i], s->channel_count);
    }
    hash = hash_vector(hash_matrix(hash, &s->out), s->out_bias, s->width);
    for (int i = 0; i < w->layer_count; i++) hash = hash_layer(hash, w, &w->layers[i]);
    return hash;
}

/* ---- Sets ---- */

onnx_stack_config onnx_set_config(const onnx_set *set, int row_count) {
    return (onnx_stack_config){
        .row_count = row_count, .past_count = set->past_count, .half = set->half};
}

static onnx_graph *make_stack(const onnx_set *set, int size, onnx_data *data) {
    const onnx_stack_config c = onnx_set_config(set, size);
    return onnx_stack_graph(set->weights, &c, data);
}

static onnx_graph *make_encoder(const onnx_set *set, int size, onnx_data *data) {
    return onnx_encoder_graph(set->weights, size, data);
}

onnx_set onnx_set_of_stack(const stack_weights *w, int row_cap, int past_count, bool half) {
    static const int rows[] = {1, 32, 128};
    onnx_set set = {.weights = w,
                    .past_count = past_count,
                    .half = half,
                    .make = make_stack,
                    .hash = hash_stack};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        set.sizes[set.count++] = rows[i];
        if (rows[i] >= row_cap) break;
    }
    return set;
}

onnx_set onnx_set_of_encoder(const encoder_weights *w) {
    return (onnx_set){.weights = w,
                      .count = 4,
                      .sizes = {104, 208, 408, 808}, /* 100 frames a second, whole positions */
                      .make = make_encoder,
                      .hash = hash_encoder};
}

/* ---- Files ---- */

bool onnx_set_path(const char *folder, const char *name, int size, const char *ending,
                   char path[ONNX_PATH_CAP]) {
    const int used = size > 0
                         ? snprintf(path, ONNX_PATH_CAP, "%s/%s-%d%s", folder, name, size, ending)
                         : snprintf(path, ONNX_PATH_CAP, "%s/%s%s", folder, name, ending);
    return used < ONNX_PATH_CAP;
}

static rnl_status stage_graph(const onnx_set *set, int size, onnx_data *data, const char *path,
                              staged_file **out, rnl_error *error) {
    onnx_graph *g = set->make(set, size, data);
    if (g == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory for the graph is exhausted", path);
    const rnl_status status = onnx_graph_stage(g, path, out, error);
    onnx_graph_destroy(&g);
    return status;
}

static rnl_status find_path(const char *folder, const char *name, int size, const char *ending,
                            char path[ONNX_PATH_CAP], rnl_error *error) {
    if (onnx_set_path(folder, name, size, ending, path)) return RNL_OK;
    return status_fail(error, RNL_ERR_ARGUMENT, "%s: the path is too long", folder);
}

rnl_status onnx_set_stage(const onnx_set *set, const char *folder, const char *name, bool lasts,
                          onnx_opened_fn opened, void *context, onnx_set_files *out,
                          rnl_error *error) {
    char path[ONNX_PATH_CAP];
    *out = (onnx_set_files){0};
    rnl_status status = find_path(folder, name, 0, ".weights", path, error);
    if (status == RNL_OK) status = onnx_data_create(path, lasts, &out->data, error);
    if (status == RNL_OK && opened != NULL) opened(context, onnx_data_temporary(out->data));
    for (int i = 0; i < set->count && status == RNL_OK; i++) {
        status = find_path(folder, name, set->sizes[i], ".onnx", path, error);
        if (status == RNL_OK)
            status = stage_graph(set, set->sizes[i], out->data, path, &out->graphs[i], error);
        if (status == RNL_OK && opened != NULL) opened(context, staged_temporary(out->graphs[i]));
    }
    if (status == RNL_OK) status = onnx_data_complete(out->data, error);
    if (status != RNL_OK) onnx_set_abort(out);
    return status;
}

rnl_status onnx_set_commit(onnx_set_files *f, rnl_error *error) {
    rnl_status status = onnx_data_commit(&f->data, error);
    for (int i = 0; i < ONNX_SIZE_CAP && status == RNL_OK; i++)
        if (f->graphs[i] != NULL) status = staged_commit(&f->graphs[i], error);
    onnx_set_abort(f);
    return status;
}

void onnx_set_abort(onnx_set_files *f) {
    onnx_data_abort(&f->data);
    for (int i = 0; i < ONNX_SIZE_CAP; i++) staged_abort(&f->graphs[i]);
}
