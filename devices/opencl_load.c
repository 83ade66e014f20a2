/* Taking a stack's weights, and states: what can be computed, and what memory it needs. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/status.h"
#include "devices/opencl_inner.h"

size_t gpu_fresh_size(const stack_layer_config *l, kernels_cache cache, int rows) {
    if (l->kinds[STACK_OPERATOR] != &stack_attention) return 0;
    return 2 * (size_t)l->kv_head_count * (size_t)rows *
           kernels_cache_row_size(cache, l->head_width);
}

size_t gpu_attend_size(const stack_layer_config *l) {
    enum { OF_HEAD = 3 }; /* most, sum, old of attend_room */
    return (size_t)(l->head_count / l->kv_head_count) *
           (size_t)(2 * l->head_width + GPU_KEYS + OF_HEAD) * sizeof(float);
}

/* ---- What can be computed ---- */

/* Why the layer cannot be; NULL: it can. */
static const char *reason_of(const stack_weights *w, int layer) {
    const stack_layer_config *l = &w->config.layers[layer];
    const stack_kind *kind = l->kinds[STACK_OPERATOR];
    for (int p = 0; p < STACK_PLACE_COUNT; p++)
        if (w->layers[layer].parts[p].post_norm != NULL) return "has norms behind its parts";
    if (l->kinds[STACK_FEED_FORWARD] != &stack_dense) return "has another feed-forward part";
    if (kind == &stack_convolution) return NULL;
    if (kind != &stack_attention) return "has another operator";
    const stack_attention_weights *own = stack_part_at(w, layer, STACK_OPERATOR)->weights;
    if (own->gate.row_count > 0) return "has gated heads";
    if (l->kv_above > 0) return "shares its keys";
    if (l->mask != STACK_CAUSAL) return "looks ahead";
    return NULL;
}

static rnl_status check_matrix(const gpu *g, const matrix *w, const stack_device_room *room,
                               size_t *sum, rnl_error *error) {
    const gpu_form form = gpu_form_of(w, room->exact);
    if (form == GPU_NO_FORM)
        return status_fail(
            error, RNL_ERR_UNSUPPORTED,
            "it multiplies by weights of F32, F16 and BF16, and by packed Q4_0 and Q8_0, not by "
            "%s",
            quant_describe(w->type)->name);
    const size_t size = gpu_matrix_size(w, form);
    if (size > gpu_buffer_cap(g))
        return status_fail(error, RNL_ERR_MEMORY, "a matrix has %zu bytes, and it takes %zu", size,
                           gpu_buffer_cap(g));
    *sum += size;
    return RNL_OK;
}

/* All of a layer, NULL where it has none. */
static void matrices_of(const stack_weights *w, int layer, const matrix *out[GPU_MATRICES]) {
    const stack_part *part = stack_part_at(w, layer, STACK_OPERATOR);
    const stack_dense_weights *ff = stack_part_at(w, layer, STACK_FEED_FORWARD)->weights;
    memset(out, 0, GPU_MATRICES * sizeof *out);
    if (part->kind == &stack_convolution) {
        const stack_convolution_weights *own = part->weights;
        out[GPU_IN] = &own->in;
        out[GPU_OUT] = &own->out;
    } else {
        const stack_attention_weights *own = part->weights;
        out[GPU_IN] = &own->q;
        out[GPU_IN + 1] = &own->k;
        out[GPU_IN + 2] = &own->v;
        out[GPU_OUT] = &own->out;
    }
    out[GPU_GATE] = &ff->gate;
    out[GPU_UP] = &ff->up;
    out[GPU_DOWN] = &ff->down;
}

/* sum: bytes of all matrices. */
static rnl_status check(const gpu *g, const stack_weights *w, const stack_device_room *room,
                        size_t *sum, rnl_error *error) {
    const matrix *matrices[GPU_MATRICES];
    rnl_status status = RNL_OK;
    *sum = 0;
    if (room->position_cap == 0)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "it takes conversations with an end, and no streams");
    for (int i = 0; i < w->config.layer_count && status == RNL_OK; i++) {
        const stack_layer_config *l = &w->config.layers[i];
        const char *reason = reason_of(w, i);
        if (reason != NULL)
            return status_fail(error, RNL_ERR_UNSUPPORTED, "layer %d %s, which it does not compute",
                               i, reason);
        if (l->kinds[STACK_OPERATOR] == &stack_attention && gpu_attend_size(l) > gpu_local_size(g))
            return status_fail(error, RNL_ERR_UNSUPPORTED,
                               "attention of layer %d takes %zu bytes of local memory, of which it "
                               "has %zu",
                               i, gpu_attend_size(l), gpu_local_size(g));
        matrices_of(w, i, matrices);
        for (int m = 0; m < GPU_MATRICES && status == RNL_OK; m++)
            if (matrices[m] != NULL) status = check_matrix(g, matrices[m], room, sum, error);
    }
    return status;
}

/* ---- Vectors ---- */

/* Measures first, with base NULL; then copies. */
typedef struct vectors {
    float *base;
    size_t used;
} vectors;

/* Where they begin; -1: from is NULL. */
static int put(vectors *v, const float *from, int64_t count) {
    const size_t at = v->used;
    if (from == NULL) return -1;
    if (v->base != NULL) memcpy(v->base + at, from, (size_t)count * sizeof *from);
    v->used += (size_t)count;
    return (int)at;
}

static void put_layer(vectors *v, const stack_weights *w, int layer, gpu_layer *out) {
    const stack_layer_config *l = &w->config.layers[layer];
    const int64_t width = w->config.width, heads = (int64_t)l->head_count * l->head_width;
    const int64_t kv_heads = (int64_t)l->kv_head_count * l->head_width;
    const stack_part *part = stack_part_at(w, layer, STACK_OPERATOR);
    for (int p = 0; p < STACK_PLACE_COUNT; p++)
        out->norms[p] = put(v, w->layers[layer].parts[p].norm, width);
    out->attends = part->kind == &stack_attention;
    if (out->attends) {
        const stack_attention_weights *own = part->weights;
        out->in_bias[0] = put(v, own->q_bias, heads);
        out->in_bias[1] = put(v, own->k_bias, kv_heads);
        out->in_bias[2] = put(v, own->v_bias, kv_heads);
        out->out_bias = put(v, own->out_bias, width);
        out->q_norm = put(v, own->q_norm, l->head_width);
        out->k_norm = put(v, own->k_norm, l->head_width);
    } else {
        const stack_convolution_weights *own = part->weights;
        out->in_bias[0] = put(v, own->in_bias, 3 * width);
        out->out_bias = put(v, own->out_bias, width);
        out->bias = put(v, own->bias, width);
        out->taps = put(v, own->taps, width * l->taps);
    }
}

static void put_all(vectors *v, gpu_stack *s) {
    for (int i = 0; i < s->w->config.layer_count; i++) put_layer(v, s->w, i, &s->layers[i]);
    s->final_norm = put(v, s->w->final_norm, s->w->config.width);
}

/* RNL_ERR_MEMORY without a sentence. */
static rnl_status place_vectors(gpu_stack *s, size_t *size) {
    vectors v = {.base = NULL};
    put_all(&v, s);
    const size_t count = v.used;
    if (count > INT_MAX) return RNL_ERR_MEMORY;
    v = (vectors){.base = malloc(count * sizeof *v.base)};
    if (v.base == NULL) return RNL_ERR_MEMORY;
    put_all(&v, s);
    *size = count * sizeof *v.base;
    s->vectors = gpu_copy(s->g, v.base, *size);
    free(v.base);
    return RNL_OK;
}

/* ---- Loading ---- */

/* Floats of a row: the widest that products make, and that `out` takes. */
static void widths_of(const stack_weights *w, size_t *wide, size_t *mixed) {
    *wide = *mixed = (size_t)w->config.width;
    for (int i = 0; i < w->config.layer_count; i++) {
        const matrix *m[GPU_MATRICES];
        size_t made = 0;
        matrices_of(w, i, m);
        for (int k = GPU_IN; k < GPU_OUT; k++) made += m[k] != NULL ? (size_t)m[k]->row_count : 0;
        if (made > *wide) *wide = made;
        if ((size_t)m[GPU_GATE]->row_count > *wide) *wide = (size_t)m[GPU_GATE]->row_count;
        if ((size_t)m[GPU_OUT]->col_count > *mixed) *mixed = (size_t)m[GPU_OUT]->col_count;
    }
}

/* Takes a buffer of `rows` rows and adds it to *sum; sticky as a driver's failure. */
static gpu_buffer take_rows(gpu_stack *s, size_t rows, size_t count, size_t size, size_t *sum) {
    size_t all;
    if (!checked_mul(rows, count, &all) || !checked_mul(all, size, &all)) all = SIZE_MAX;
    if (!checked_add(*sum, all, sum)) *sum = SIZE_MAX;
    return all > 0 ? gpu_take(s->g, all) : NULL;
}

/* Buffers of a pass. *sum: their bytes, and those of what is kept for take. */
static rnl_status place_buffers(gpu_stack *s, size_t *sum) {
    const size_t rows = (size_t)s->room.row_cap, width = (size_t)s->w->config.width;
    size_t wide, mixed, turns = 0;
    widths_of(s->w, &wide, &mixed);
    for (int r = 0; r < s->w->rotary_count; r++) {
        const size_t own = (size_t)s->w->config.layers[s->w->rotary_layers[r]].head_width;
        if (own > turns) turns = own;
    }
    for (int i = 0; i < s->w->config.layer_count; i++)
        s->fresh_size += gpu_fresh_size(&s->w->config.layers[i], s->room.cache, s->room.row_cap);
    s->x = take_rows(s, rows, width, sizeof(float), sum);
    s->normed = take_rows(s, rows, width, sizeof(float), sum);
    s->mixed = take_rows(s, rows, mixed, sizeof(float), sum);
    s->wide = take_rows(s, rows, wide, sizeof(float), sum);
    s->turns = take_rows(s, rows * (size_t)s->w->rotary_count, turns, sizeof(float), sum);
    s->fresh = take_rows(s, 1, s->fresh_size, 1, sum);
    s->made = calloc(rows * width, sizeof *s->made);
    s->made_fresh = calloc(1, s->fresh_size + 1);
    *sum += rows * width * sizeof *s->made + s->fresh_size;
    return s->made != NULL && s->made_fresh != NULL ? RNL_OK : RNL_ERR_MEMORY;
}

static void place_matrices(gpu_stack *s) {
    const matrix *m[GPU_MATRICES];
    for (int i = 0; i < s->w->config.layer_count; i++) {
        matrices_of(s->w, i, m);
        for (int k = 0; k < GPU_MATRICES; k++)
            if (m[k] != NULL)
                gpu_matrix_place(s->g, m[k], gpu_form_of(m[k], s->room.exact),
                                 &s->layers[i].matrices[k]);
    }
}

rnl_status gpu_stack_load(void *device, const stack_weights *w, const stack_device_room *room,
                          void **stack, rnl_error *error) {
    gpu *g = device;
    size_t borrowed, own = 0, vectors_size = 0;
    *stack = NULL;
    rnl_status status = check(g, w, room, &borrowed, error);
    if (status != RNL_OK) return status;
    gpu_stack *s = calloc(1, sizeof *s);
    if (s == NULL) return stack_device_no_memory(error);
    *s = (gpu_stack){.g = g, .w = w, .room = *room};
    s->layers = calloc((size_t)w->config.layer_count, sizeof *s->layers);
    if (s->layers == NULL || place_vectors(s, &vectors_size) != RNL_OK ||
        place_buffers(s, &own) != RNL_OK) {
        (void)gpu_check(g, NULL);
        status = stack_device_no_memory(error);
    } else {
        place_matrices(s);
        status = gpu_check(g, error);
    }
    own += vectors_size + (gpu_is_shared(g) ? 0 : borrowed);
    if (status == RNL_OK && gpu_memory(g) > 0 && own > gpu_memory(g))
        status = status_fail(error, RNL_ERR_MEMORY, "the model takes %zu bytes, and it has %zu",
                             own, gpu_memory(g));
    atomic_store(&s->size, own);
    *stack = s;
    if (status == RNL_OK) return RNL_OK;
    gpu_stack_unload(s);
    *stack = NULL;
    return status;
}

void gpu_stack_unload(void *stack) {
    gpu_stack *s = stack;
    if (s == NULL) return;
    gpu_buffer *const buffers[] = {&s->vectors, &s->x,     &s->normed, &s->mixed,
                                   &s->wide,    &s->turns, &s->fresh};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) gpu_release(s->g, buffers[i]);
    for (int i = 0; s->layers != NULL && i < s->w->config.layer_count; i++)
        for (int k = 0; k < GPU_MATRICES; k++) gpu_matrix_drop(s->g, &s->layers[i].matrices[k]);
    free(s->layers);
    free(s->made);
    free(s->made_fresh);
    free(s);
}

size_t gpu_stack_memory(const void *stack) {
    return atomic_load(&((const gpu_stack *)stack)->size);
}

/* ---- States ---- */

static size_t mirror_size(const gpu_stack *s, const gpu_mirror *m) {
    return sizeof *m + 3 * m->fixed_size + (gpu_is_shared(s->g) ? 0 : m->kept_size);
}

rnl_status gpu_stack_attach(void *stack, const stack_state *state, void **mirror,
                            rnl_error *error) {
    gpu_stack *s = stack;
    *mirror = NULL;
    if (state->position_cap == 0)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "it takes conversations with an end, and no streams");
    if (state->appended_size > gpu_buffer_cap(s->g))
        return status_fail(error, RNL_ERR_MEMORY,
                           "keys and values have %zu bytes, and it takes %zu", state->appended_size,
                           gpu_buffer_cap(s->g));
    gpu_mirror *m = calloc(1, sizeof *m);
    if (m == NULL) return stack_device_no_memory(error);
    *m = (gpu_mirror){.host = state->appended_base,
                      .kept_size = state->appended_size,
                      .fixed_size = state->fixed_size};
    if (m->kept_size > 0) {
        m->kept = gpu_borrow(s->g, m->host, m->kept_size);
        gpu_regain(s->g, m->kept, m->kept_size);
    }
    if (m->fixed_size > 0) {
        m->tails = gpu_take(s->g, m->fixed_size);
        m->next = gpu_copy(s->g, NULL, m->fixed_size); /* what lies between its parts stays 0 */
        m->made = calloc(1, m->fixed_size);
    }
    (void)atomic_fetch_add(&s->size, mirror_size(s, m));
    rnl_status status = gpu_wait(s->g, error);
    if (status == RNL_OK && m->fixed_size > 0 && m->made == NULL)
        status = stack_device_no_memory(error);
    if (status == RNL_OK)
        *mirror = m;
    else
        gpu_stack_detach(s, m);
    return status;
}

void gpu_stack_detach(void *stack, void *mirror) {
    gpu_stack *s = stack;
    gpu_mirror *m = mirror;
    if (m == NULL) return;
    if (m->kept != NULL) gpu_lend(s->g, m->kept, m->host);
    (void)gpu_wait(s->g, NULL);
    gpu_release(s->g, &m->kept);
    gpu_release(s->g, &m->tails);
    gpu_release(s->g, &m->next);
    (void)atomic_fetch_sub(&s->size, mirror_size(s, m));
    free(m->made);
    free(m);
}
