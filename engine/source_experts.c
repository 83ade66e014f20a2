/* Experts as Hugging Face checkpoints have them -> stacks [experts, rows, cols] (family.md 1.4): a
 * tensor for each, or all of a layer in one, gate above up. Nothing is copied: a stack keeps where
 * each of its members begins. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "engine/source.h"
#include "stack/kind.h"

enum { PART_GATE, PART_UP, PART_DOWN, EXPERT_PART_COUNT };
enum { NAME_CAP = 128 };

static const char *const single_names[EXPERT_PART_COUNT] = {"w1", "w3", "w2"};
static const char *const stack_names[EXPERT_PART_COUNT] = {"gate", "up", "down"};

typedef struct layer_experts {
    const unsigned char **members[EXPERT_PART_COUNT]; /* [expert_count] NULL: not seen */
    quant_type types[EXPERT_PART_COUNT];
    bool any, single; /* some were seen; a tensor for each */
} layer_experts;

struct source_experts {
    const stack_config *config;
    layer_experts layers[STACK_LAYER_CAP];
};

source_experts *source_experts_create(const stack_config *config) {
    source_experts *x = calloc(1, sizeof *x);
    if (x != NULL) x->config = config;
    return x;
}

void source_experts_destroy(source_experts **x) {
    if (*x == NULL) return;
    for (int i = 0; i < STACK_LAYER_CAP; i++)
        for (int p = 0; p < EXPERT_PART_COUNT; p++) free((*x)->layers[i].members[p]);
    free(*x);
    *x = NULL;
}

static rnl_status bad(const tensor *t, const char *file, const char *what, rnl_error *error) {
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: tensor '%s' %s; the file is damaged or of another model", file, t->name,
                       what);
}

static bool has_shape(const tensor *t, int rank, int64_t a, int64_t b, int64_t c) {
    const int64_t shape[] = {a, b, c};
    bool same = t->rank == rank;
    for (int i = 0; same && i < rank; i++) same = t->shape[i] == shape[i];
    return same;
}

/* One member of a stack. */
static rnl_status put(layer_experts *l, int part, int expert, int expert_count, const tensor *t,
                      const unsigned char *data, const char *file, rnl_error *error) {
    if (l->members[part] == NULL)
        l->members[part] = calloc((size_t)expert_count, sizeof *l->members[part]);
    if (l->members[part] == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", file);
    if (l->members[part][expert] != NULL)
        return bad(t, file, "holds an expert that another tensor holds, too", error);
    if (expert > 0 && l->members[part][0] != NULL && l->types[part] != t->type)
        return bad(t, file, "is of another type than the first expert's", error);
    l->members[part][expert] = data;
    if (expert == 0 || l->members[part][0] == NULL) l->types[part] = t->type;
    return RNL_OK;
}

static rnl_status take_single(const source_experts *x, layer_experts *l,
                              const stack_layer_config *c, int part, int expert, const tensor *t,
                              const char *file, rnl_error *error) {
    const int64_t width = x->config->width, ff = c->ff_width;
    const bool down = part == PART_DOWN;
    if (expert >= c->expert_count)
        return bad(t, file, "is of an expert that the configuration has not", error);
    if (!has_shape(t, 2, down ? width : ff, down ? ff : width, 0))
        return bad(t, file, "has not the shape of an expert", error);
    return put(l, part, expert, c->expert_count, t, t->data, file, error);
}

/* All experts of a layer: gate above up, or down. */
static rnl_status take_fused(const source_experts *x, layer_experts *l, const stack_layer_config *c,
                             bool down, const tensor *t, const char *file, rnl_error *error) {
    const int64_t width = x->config->width, ff = c->ff_width, count = c->expert_count;
    if (!has_shape(t, 3, count, down ? width : 2 * ff, down ? ff : width))
        return bad(t, file, "has not the shape of all experts", error);
    const size_t size = t->size / (size_t)count;
    rnl_status status = RNL_OK;
    for (int e = 0; e < count && status == RNL_OK; e++) {
        const unsigned char *data = t->data + (size_t)e * size;
        status = put(l, down ? PART_DOWN : PART_GATE, e, c->expert_count, t, data, file, error);
        if (!down && status == RNL_OK)
            status = put(l, PART_UP, e, c->expert_count, t, data + size / 2, file, error);
    }
    return status;
}

/* "7.w1.weight" -> expert and part. */
static bool parse_single(const char *name, int *expert, int *part) {
    char kind[3];
    int used = 0;
    if (sscanf(name, "%6d.%2[w123].weight%n", expert, kind, &used) != 2 || used == 0) return false;
    if (name[used] != '\0' || *expert < 0) return false;
    for (*part = 0; *part < EXPERT_PART_COUNT; (*part)++)
        if (strcmp(kind, single_names[*part]) == 0) return true;
    return false;
}

rnl_status source_experts_take(source_experts *x, const char *name, const tensor *t,
                               const char *file, rnl_error *error) {
    int layer, at = 0, expert, part;
    if (sscanf(name, "experts.%5d.%n", &layer, &at) != 1 || at == 0 || layer < 0 ||
        layer >= x->config->layer_count ||
        x->config->layers[layer].kinds[STACK_FEED_FORWARD] != &stack_experts)
        return bad(t, file, "is of a layer without experts", error);
    if (t->foreign != NULL || !quant_describe((uint32_t)t->type)->is_weight)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: tensor '%s' is %s, which Runnel reads no weights from; take the "
                           "model in BF16, F16 or F32",
                           file, t->name,
                           t->foreign != NULL ? t->foreign
                                              : quant_describe((uint32_t)t->type)->name);
    layer_experts *l = &x->layers[layer];
    const stack_layer_config *c = &x->config->layers[layer];
    const bool single = parse_single(name + at, &expert, &part);
    const bool down = strcmp(name + at, "down_proj") == 0;
    if (!single && !down && strcmp(name + at, "gate_up_proj") != 0)
        return bad(t, file, "is no part of an expert that is known", error);
    if (l->any && l->single != single)
        return bad(t, file, "packs experts in another way than the rest of its layer", error);
    l->any = true;
    l->single = single;
    if (single) return take_single(x, l, c, part, expert, t, file, error);
    return take_fused(x, l, c, down, t, file, error);
}

/* ---- Stacks ---- */

static rnl_status missing(const layer_experts *l, int layer, int part, int expert,
                          const char *directory, rnl_error *error) {
    char name[NAME_CAP];
    if (l->any && !l->single)
        (void)snprintf(name, sizeof name, "%s", part == PART_DOWN ? "down_proj" : "gate_up_proj");
    else
        (void)snprintf(name, sizeof name, "%d.%s.weight", expert, single_names[part]);
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: tensor 'model.layers.%d.feed_forward.experts.%s' is missing; the "
                       "download is incomplete, or of another model",
                       directory, layer, name);
}

static rnl_status add_stack(source *s, const char *name, const unsigned char **members,
                            quant_type type, int64_t count, int64_t rows, int64_t cols,
                            const char *file, rnl_error *error) {
    const quant_info *info = quant_describe((uint32_t)type);
    const size_t size = (size_t)(rows * cols) / info->block_len * info->block_size;
    const tensor t = {.name = name,
                      .data = members[0],
                      .type = type,
                      .rank = 3,
                      .shape = {count, rows, cols, 1},
                      .size = (size_t)count * size,
                      .members = members};
    if (weights_own(s->w, (void *)members, free) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", file);
    return weights_add(s->w, &t, file, error);
}

rnl_status source_experts_add(source_experts *x, source *s, const char *directory,
                              rnl_error *error) {
    for (int i = 0; i < x->config->layer_count; i++) {
        const stack_layer_config *c = &x->config->layers[i];
        layer_experts *l = &x->layers[i];
        if (c->kinds[STACK_FEED_FORWARD] != &stack_experts) continue;
        for (int p = 0; p < EXPERT_PART_COUNT; p++) {
            for (int e = 0; e < c->expert_count; e++)
                if (l->members[p] == NULL || l->members[p][e] == NULL)
                    return missing(l, i, p, e, directory, error);
            char name[NAME_CAP];
            (void)snprintf(name, sizeof name, "blk.%d.ffn_%s_exps.weight", i, stack_names[p]);
            const unsigned char **members = l->members[p];
            l->members[p] = NULL; /* the set's from here on */
            const bool down = p == PART_DOWN;
            const rnl_status status =
                add_stack(s, name, members, l->types[p], c->expert_count,
                          down ? x->config->width : c->ff_width,
                          down ? c->ff_width : x->config->width, directory, error);
            if (status != RNL_OK) return status;
        }
    }
    return RNL_OK;
}

rnl_status source_split_experts(source *s, const tensor *t, const char *file, rnl_error *error) {
    int layer, used = 0;
    if (sscanf(t->name, "blk.%5d.ffn_gate_up_exps.weight%n", &layer, &used) != 1 || used == 0 ||
        t->name[used] != '\0' || t->rank != 3 || t->shape[1] % 2 != 0)
        return bad(t, file, "is no stack of gates above their ups", error);
    const size_t size = t->size / (size_t)t->shape[0];
    for (int p = PART_GATE; p <= PART_UP; p++) {
        const unsigned char **members = calloc((size_t)t->shape[0], sizeof *members);
        if (members == NULL)
            return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", file);
        for (int64_t e = 0; e < t->shape[0]; e++)
            members[e] = t->data + (size_t)e * size + (p == PART_UP ? size / 2 : 0);
        char name[NAME_CAP];
        (void)snprintf(name, sizeof name, "blk.%d.ffn_%s_exps.weight", layer, stack_names[p]);
        const rnl_status status = add_stack(s, name, members, t->type, t->shape[0], t->shape[1] / 2,
                                            t->shape[2], file, error);
        if (status != RNL_OK) return status;
    }
    return RNL_OK;
}
