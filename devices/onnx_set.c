#include "devices/onnx_set.h"

#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "stack/kind.h"

/* ---- Sums ---- */

static void sum_vector(checksum *sum, const float *v, int64_t count) {
    checksum_add(sum, v, v != NULL ? (size_t)count * sizeof *v : 0);
}

static void sum_matrix(checksum *sum, const matrix *m) {
    checksum_add_number(sum, m->row_count);
    checksum_add_number(sum, m->col_count);
    checksum_add_number(sum, m->type);
    checksum_add(sum, m->data, m->data != NULL ? (size_t)m->row_count * m->row_size : 0);
}

static void sum_part(checksum *sum, const stack_weights *w, int layer, stack_place place) {
    const stack_part *part = stack_part_at(w, layer, place);
    sum_vector(sum, part->norm, w->config.width);
    sum_vector(sum, part->post_norm, w->config.width);
    checksum_add_text(sum, part->kind->name);
    for (int i = 0; i < part->kind->tensor_count; i++) {
        const stack_tensor *t = &part->kind->tensors[i];
        const void *at = (const unsigned char *)part->weights + t->at;
        if (t->form == STACK_MATRIX || t->form == STACK_MATRIX_IF)
            sum_matrix(sum, at);
        else if (stack_has_tensor(&w->config.layers[layer], place, t))
            sum_vector(sum, *(const float *const *)at, t->rows(w, layer) * t->cols(w, layer));
    }
}

static void sum_stack(const onnx_set *set, checksum *sum) {
    const stack_weights *w = set->weights;
    checksum_add_number(sum, set->past_count);
    checksum_add_number(sum, set->half);
    checksum_add(sum, &w->config.eps, sizeof w->config.eps);
    checksum_add_number(sum, w->config.width);
    for (int i = 0; i < w->config.layer_count; i++) {
        const stack_layer_config *l = &w->config.layers[i];
        const int64_t fields[] = {
            l->head_count, l->kv_head_count, l->head_width,        l->kv_above,       l->window,
            l->taps,       l->ff_above,      l->rotary.pair_count, l->rotary.adjacent};
        checksum_add(sum, fields, sizeof fields);
        checksum_add(sum, &l->rotary.base, sizeof l->rotary.base); /* layers share angles by it */
        for (int place = 0; place < STACK_PLACE_COUNT; place++)
            sum_part(sum, w, i, (stack_place)place);
    }
    sum_vector(sum, w->final_norm, w->config.width);
}

static void sum_norm(checksum *sum, const encoder_norm *n, int width) {
    sum_vector(sum, n->gain, width);
    sum_vector(sum, n->bias, width);
}

static void sum_ff(checksum *sum, const encoder_ff *ff, int width) {
    sum_norm(sum, &ff->norm, width);
    sum_matrix(sum, &ff->up);
    sum_vector(sum, ff->up_bias, ff->up.row_count);
    sum_matrix(sum, &ff->down);
    sum_vector(sum, ff->down_bias, width);
}

static void sum_layer(checksum *sum, const encoder_weights *w, const encoder_layer *y) {
    const int width = w->width;
    const matrix *const matrices[] = {&y->q,        &y->k,      &y->v,     &y->out,
                                      &y->position, &y->point1, &y->point2};
    const encoder_norm *const norms[] = {&y->attention_norm, &y->conv_norm, &y->out_norm};
    const float *const vectors[] = {y->q_bias, y->k_bias, y->v_bias,      y->out_bias,
                                    y->bias_u, y->bias_v, y->point2_bias, y->depth_bias,
                                    y->scale,  y->shift};
    sum_ff(sum, &y->ff1, width);
    sum_ff(sum, &y->ff2, width);
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) sum_matrix(sum, matrices[i]);
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) sum_norm(sum, norms[i], width);
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        sum_vector(sum, vectors[i], width);
    sum_vector(sum, y->point1_bias, 2 * (int64_t)width);
    sum_vector(sum, y->depth, (int64_t)w->taps * width);
}

static void sum_encoder(const onnx_set *set, checksum *sum) {
    const encoder_weights *w = set->weights;
    const subsampling_weights *s = &w->subsampling;
    checksum_add_number(sum, w->head_count);
    checksum_add_number(sum, w->taps);
    checksum_add_number(sum, s->band_count);
    sum_vector(sum, s->conv0, 9 * (int64_t)s->channel_count);
    sum_vector(sum, s->bias0, s->channel_count);
    for (int i = 0; i < 2; i++) {
        sum_vector(sum, s->depth[i], 9 * (int64_t)s->channel_count);
        sum_vector(sum, s->depth_bias[i], s->channel_count);
        sum_matrix(sum, &s->point[i]);
        sum_vector(sum, s->point_bias[i], s->channel_count);
    }
    sum_matrix(sum, &s->out);
    sum_vector(sum, s->out_bias, s->width);
    for (int i = 0; i < w->layer_count; i++) sum_layer(sum, w, &w->layers[i]);
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
    onnx_set set = {
        .weights = w, .past_count = past_count, .half = half, .make = make_stack, .sum = sum_stack};
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
                      .sum = sum_encoder};
}

/* ---- Files ---- */

rnl_status onnx_set_path(const char *folder, const char *name, int size, const char *ending,
                         char path[ONNX_PATH_CAP], rnl_error *error) {
    const int used = size > 0
                         ? snprintf(path, ONNX_PATH_CAP, "%s/%s-%d%s", folder, name, size, ending)
                         : snprintf(path, ONNX_PATH_CAP, "%s/%s%s", folder, name, ending);
    if (used < ONNX_PATH_CAP) return RNL_OK;
    return status_fail(error, RNL_ERR_ARGUMENT, "%s: the path is too long", folder);
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

rnl_status onnx_set_stage(const onnx_set *set, const char *folder, const char *name, bool lasts,
                          onnx_opened_fn opened, void *context, onnx_set_files *out,
                          rnl_error *error) {
    char path[ONNX_PATH_CAP];
    *out = (onnx_set_files){0};
    rnl_status status = onnx_set_path(folder, name, 0, ".weights", path, error);
    if (status == RNL_OK) status = onnx_data_create(path, lasts, &out->data, error);
    if (status == RNL_OK && opened != NULL) opened(context, onnx_data_temporary(out->data));
    for (int i = 0; i < set->count && status == RNL_OK; i++) {
        status = onnx_set_path(folder, name, set->sizes[i], ".onnx", path, error);
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
