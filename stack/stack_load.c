/* The stack of layers: checking its dimensions, fetching its weights by the tensors of its kinds,
 * and what can be said of it from them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/range.h"
#include "core/status.h"
#include "stack/kind.h"

static const char *const norm_names[STACK_PLACE_COUNT] = {"attn_norm.weight", "ffn_norm.weight"};
static const char *const post_norm_names[STACK_PLACE_COUNT] = {"post_attention_norm.weight",
                                                               "post_ffw_norm.weight"};

void stack_config_fill(stack_config *c, const stack_layer_config *layer) {
    for (int i = 0; i < c->layer_count; i++) c->layers[i] = *layer;
}

int64_t stack_ff_width_max(const stack_config *c, const stack_kind *kind) {
    int64_t widest = 0;
    for (int i = 0; i < c->layer_count; i++)
        if (c->layers[i].kinds[STACK_FEED_FORWARD] == kind && c->layers[i].ff_width > widest)
            widest = c->layers[i].ff_width;
    return widest;
}

int stack_layers_of(const stack_config *c, const stack_kind *kind) {
    int count = 0;
    for (int i = 0; i < c->layer_count; i++) count += c->layers[i].kinds[kind->place] == kind;
    return count;
}

rnl_status stack_check(const stack_config *c, const char *file, rnl_error *error) {
    const range ranges[] = {
        /* backbone.md 5.5, point 13 */
        {"the number of layers", c->layer_count, 1, STACK_LAYER_CAP},
        {"the width", c->width, 1, 1 << 20},
        {"the norm epsilon", c->eps, 1e-12, 1},
    };
    const range *bad = range_outside(ranges, sizeof ranges / sizeof *ranges);
    if (bad != NULL)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: %s is %g, outside %g to %g; the file is damaged", file, bad->name,
                           bad->value, bad->min, bad->max);
    for (int i = 0; i < c->layer_count; i++)
        for (int place = 0; place < STACK_PLACE_COUNT; place++) {
            const stack_kind *kind = c->layers[i].kinds[place];
            const rnl_status status = kind->check != NULL ? kind->check(c, i, file, error) : RNL_OK;
            if (status != RNL_OK) return status;
        }
    return RNL_OK;
}

/* ---- Loading ---- */

static void exhausted(loader *l, int layer_count) {
    l->status =
        status_fail(l->error, RNL_ERR_MEMORY, "memory for %d layers is exhausted", layer_count);
}

static bool same_rotary(const stack_layer_config *a, const stack_layer_config *b) {
    return a->rotary.base == b->rotary.base && a->head_width == b->head_width;
}

/* Layers that turn positions alike share a table. */
static void find_rotaries(loader *l, stack_weights *w) {
    for (int i = 0; i < w->config.layer_count && l->status == RNL_OK; i++) {
        const stack_layer_config *own = &w->config.layers[i];
        if (own->kinds[STACK_OPERATOR] != &stack_attention) continue;
        int r = 0;
        while (r < w->rotary_count && !same_rotary(&w->config.layers[w->rotary_layers[r]], own))
            r++;
        if (r == STACK_ROTARY_CAP) {
            l->status = status_fail(l->error, RNL_ERR_UNSUPPORTED,
                                    "%s: its layers turn positions in more than %d ways", l->file,
                                    STACK_ROTARY_CAP);
            return;
        }
        if (r == w->rotary_count) w->rotary_layers[w->rotary_count++] = i;
        w->layers[i].rotary = r;
    }
}

/* One block for all layers' weights, cut by their kinds. */
static void *take_weights(loader *l, stack_weights *w) {
    arena a = {0};
    void *block = NULL;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < w->config.layer_count; i++)
            for (int place = 0; place < STACK_PLACE_COUNT; place++) {
                stack_part *part = &w->layers[i].parts[place];
                part->kind = w->config.layers[i].kinds[place];
                part->weights = arena_take(&a, 1, part->kind->weights_size);
            }
        if (round == 1) break;
        block = a.size_used > 0 ? aligned_alloc(ARENA_ALIGN, a.size_used) : NULL;
        if (block == NULL || weights_own(l->w, block, free) != RNL_OK) return NULL;
        memset(block, 0, a.size_used);
        a = (arena){.base = block, .size_cap = a.size_used};
    }
    return block;
}

void stack_weights_create(loader *l, const stack_config *c, stack_weights *out) {
    memset(out, 0, sizeof *out);
    if (l->status != RNL_OK) return;
    out->config = *c;
    out->layers = calloc((size_t)c->layer_count, sizeof *out->layers);
    if (out->layers == NULL || weights_own(l->w, out->layers, free) != RNL_OK) {
        out->layers = NULL;
        exhausted(l, c->layer_count);
    } else if (take_weights(l, out) == NULL) {
        exhausted(l, c->layer_count);
    } else {
        find_rotaries(l, out);
    }
}

static void load_tensor(loader *l, stack_weights *w, int layer, stack_part *part,
                        const stack_tensor *t) {
    unsigned char *at = (unsigned char *)part->weights + t->at;
    const int64_t rows = t->rows(w, layer), cols = t->cols(w, layer);
    char name[128];
    (void)snprintf(name, sizeof name, "blk.%d.%s", layer, t->name);
    switch (t->form) {
    case STACK_MATRIX_IF:
        if (!load_has(l, "%s", name)) return;
        /* fall through */
    case STACK_MATRIX:
        *(matrix *)(void *)at = load_matrix(l, rows, cols, "%s", name);
        return;
    case STACK_MATRICES:
        *(const matrix **)(void *)at =
            load_matrices(l, w->config.layers[layer].expert_count, rows, cols, "%s", name);
        return;
    case STACK_VECTOR:
        *(const float **)(void *)at = load_vector(l, rows * cols, "%s", name);
        return;
    case STACK_VECTOR_IF:
        *(const float **)(void *)at = load_vector_if(l, rows * cols, "%s", name);
        return;
    }
}

static void load_part(loader *l, stack_weights *w, int layer, stack_place place) {
    stack_part *part = &w->layers[layer].parts[place];
    for (int i = 0; i < part->kind->tensor_count && l->status == RNL_OK; i++)
        if (stack_has_tensor(&w->config.layers[layer], place, &part->kind->tensors[i]))
            load_tensor(l, w, layer, part, &part->kind->tensors[i]);
    if (l->status == RNL_OK && part->kind->prepare != NULL) part->kind->prepare(l, w, layer);
}

/* A window is short: its keys cost no bandwidth, and float32 needs no rounding. */
static kernels_cache default_cache(const loader *l, const stack_config *c) {
    bool grows = false;
    for (int i = 0; i < c->layer_count; i++) grows = grows || c->layers[i].window == 0;
    return l->pack && grows ? KERNELS_CACHE_F16 : KERNELS_CACHE_F32;
}

void stack_load(loader *l, const stack_config *c, stack_weights *out) {
    stack_weights_create(l, c, out);
    out->cache = default_cache(l, c);
    for (int i = 0; i < c->layer_count && l->status == RNL_OK; i++) {
        stack_part *parts = out->layers[i].parts;
        for (int p = 0; p < STACK_PLACE_COUNT; p++) {
            parts[p].norm = load_vector(l, c->width, "blk.%d.%s", i, norm_names[p]);
            parts[p].post_norm = load_vector_if(l, c->width, "blk.%d.%s", i, post_norm_names[p]);
            out->has_post_norms = out->has_post_norms || parts[p].post_norm != NULL;
        }
        /* The order in which weights lie packed is the order of reading. */
        load_part(l, out, i, STACK_OPERATOR);
        load_part(l, out, i, STACK_FEED_FORWARD);
    }
    /* The last norm; older files spell it output_norm (backbone.md 5.3). */
    const char *norm =
        load_has(l, "output_norm.weight") ? "output_norm.weight" : "token_embd_norm.weight";
    out->final_norm = load_vector(l, c->width, "%s", norm);
}

/* ---- What kinds and others ask ---- */

int64_t stack_width(const stack_weights *w, int layer) {
    (void)layer;
    return w->config.width;
}

int64_t stack_one(const stack_weights *w, int layer) {
    (void)w;
    (void)layer;
    return 1;
}

const stack_tensor *stack_find_tensor(const stack_config *c, const char *name, int *layer) {
    int at = 0;
    if (sscanf(name, "blk.%d.%n", layer, &at) != 1 || at == 0) return NULL;
    if (*layer < 0 || *layer >= c->layer_count) return NULL;
    for (int place = 0; place < STACK_PLACE_COUNT; place++) {
        const stack_kind *kind = c->layers[*layer].kinds[place];
        for (int i = 0; i < kind->tensor_count; i++)
            if (strcmp(kind->tensors[i].name, name + at) == 0 &&
                stack_has_tensor(&c->layers[*layer], (stack_place)place, &kind->tensors[i]))
                return &kind->tensors[i];
    }
    return NULL;
}

/* The matrix, or the first of several. */
static const matrix *matrix_at(const stack_part *part, const stack_tensor *t) {
    const void *at = (const unsigned char *)part->weights + t->at;
    return t->form == STACK_MATRICES ? *(const matrix *const *)at : at;
}

const matrix *stack_first_matrix(const stack_weights *w) {
    const stack_part *part = stack_part_at(w, w->config.layer_count - 1, STACK_FEED_FORWARD);
    return matrix_at(part, &part->kind->tensors[0]);
}

void stack_cost_matrices(const stack_weights *w, int layer, stack_place place, stack_cost *sum) {
    const stack_part *part = stack_part_at(w, layer, place);
    for (int i = 0; i < part->kind->tensor_count; i++) {
        const stack_tensor *t = &part->kind->tensors[i];
        if (t->form != STACK_MATRIX && t->form != STACK_MATRIX_IF) continue;
        const matrix *m = matrix_at(part, t);
        sum->byte_count += (double)m->row_size * (double)m->row_count;
        sum->op_count += 2 * (double)m->col_count * (double)m->row_count;
    }
}

stack_cost stack_cost_of(const stack_weights *w, kernels_cache cache, int64_t depth,
                         int row_count) {
    stack_cost sum = {0};
    for (int i = 0; i < w->config.layer_count; i++)
        for (int p = 0; p < STACK_PLACE_COUNT; p++) {
            const stack_kind *kind = w->layers[i].parts[p].kind;
            if (kind->cost != NULL)
                kind->cost(w, i, cache, depth, row_count, &sum);
            else
                stack_cost_matrices(w, i, p, &sum);
        }
    return sum;
}
