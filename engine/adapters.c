#include "engine/adapters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "engine/model.h"
#include "stack/kind.h"

enum { SCALE_MAX = 1000 };

/* ---- Fitting ---- */

/* What of the audio parts learns (learn.md 5.1): adapter and depthformer; '#' stands for a
 * number. */
static const char *const audio_matrices[] = {
    "mm.a.mlp.1.weight",
    "mm.a.mlp.3.weight",
    "depth_linear.weight",
    "depthformer.layers.#.operator.qkv_proj.weight",
    "depthformer.layers.#.operator.out_proj.weight",
    "depthformer.layers.#.feed_forward.w1.weight",
    "depthformer.layers.#.feed_forward.w2.weight",
    "depthformer.layers.#.feed_forward.w3.weight",
};

static bool matches(const char *pattern, const char *name) {
    for (; *pattern != '\0'; pattern++) {
        if (*pattern != '#') {
            if (*pattern != *name++) return false;
            continue;
        }
        const size_t digits = strspn(name, "0123456789");
        if (digits == 0) return false;
        name += digits;
    }
    return *name == '\0';
}

static bool is_head(const char *name) {
    return strcmp(name, "output.weight") == 0;
}

/* Of a matrix among the weights. What multiplies as head may be the table of embeddings, by which
 * nothing else is multiplied. */
static size_t index_of(const rnl_model *m, const char *name) {
    const weights *w = m->source.w;
    const size_t index = weights_index(w, name);
    return index == weights_count(w) && is_head(name) ? weights_index(w, "token_embd.weight")
                                                      : index;
}

bool adapters_may_change(const rnl_model *m, const char *name) {
    const size_t index = index_of(m, name);
    if (index == weights_count(m->source.w) || !weights_is_used(m->source.w, index)) return false;
    if (is_head(name)) return true;
    int layer;
    const stack_tensor *t = stack_find_tensor(&m->source.config.backbone, name, &layer);
    if (t != NULL) return t->form == STACK_MATRIX || t->form == STACK_MATRIX_IF;
    for (size_t i = 0; i < sizeof audio_matrices / sizeof *audio_matrices; i++)
        if (matches(audio_matrices[i], name)) return true;
    return false;
}

static rnl_status check_matrix(const rnl_model *m, const lora *l, const lora_tensor *t,
                               rnl_error *error) {
    const size_t index = index_of(m, t->name);
    if (!adapters_may_change(m, t->name))
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: '%s' changes %s, which is no matrix of this model that an adapter "
                           "can change; it is an adapter of another model",
                           l->path, t->down.name, t->name);
    const tensor *base = weights_at(m->source.w, index);
    int64_t cols = 1;
    for (int d = 1; d < base->rank; d++) cols *= base->shape[d];
    if (t->up.shape[0] == base->shape[0] && t->down.shape[1] == cols) return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: '%s' is for a matrix of %lld x %lld, but %s is %lld x %lld in this "
                       "model; it is an adapter of another model",
                       l->path, t->down.name, (long long)t->up.shape[0],
                       (long long)t->down.shape[1], t->name, (long long)base->shape[0],
                       (long long)cols);
}

rnl_status adapters_check_fit(const rnl_model *m, const lora *l, rnl_error *error) {
    const char *own = config_architecture(&m->source.config.backbone);
    if (l->architecture[0] != '\0' && strcmp(l->architecture, own) != 0)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: it is an adapter of architecture '%s', but this model is '%s'",
                           l->path, l->architecture, own);
    rnl_status status = RNL_OK;
    for (size_t i = 0; i < l->count && status == RNL_OK; i++)
        status = check_matrix(m, l, &l->tensors[i], error);
    return status;
}

/* ---- Sets ---- */

static adapter_set *find(adapters *a, const char *name) {
    for (int i = 0; i < a->set_count; i++)
        if (strcmp(a->sets[i].name, name) == 0) return &a->sets[i];
    return NULL;
}

const adapter_set *adapters_find(const rnl_model *m, const char *name) {
    return m->adapters != NULL ? find(m->adapters, name) : NULL;
}

static adapter_set *find_or_add(rnl_model *m, const char *name) {
    adapters *a = m->adapters;
    adapter_set *set = find(a, name);
    if (set != NULL) return set;
    set = &a->sets[a->set_count];
    set->adds.pairs = calloc(weights_count(m->source.w), sizeof *set->adds.pairs);
    if (set->adds.pairs == NULL) return NULL;
    (void)snprintf(set->name, sizeof set->name, "%s", name);
    a->set_count++;
    return set;
}

static matrix as_matrix(const tensor *t) {
    return (matrix){.data = t->data,
                    .type = t->type,
                    .row_count = t->shape[0],
                    .col_count = t->shape[1],
                    .row_size = t->size / (size_t)t->shape[0]};
}

/* Behind what earlier files of the set add to the same matrix. */
static void join(const linear_adapter *set, size_t index, linear_pair *pair) {
    linear_pair **at = &set->pairs[index];
    while (*at != NULL) at = &(*at)->next;
    *at = pair;
}

static void take_pairs(rnl_model *m, adapter_file *f, const linear_adapter *set, float scale) {
    adapters *a = m->adapters;
    for (size_t i = 0; i < f->lora.count; i++) {
        const lora_tensor *t = &f->lora.tensors[i];
        f->pairs[i] = (linear_pair){.down = as_matrix(&t->down),
                                    .up = as_matrix(&t->up),
                                    .scale = (float)lora_scale(&f->lora, t) * scale};
        if (lora_rank(t) > a->rank_max) a->rank_max = (int)lora_rank(t);
        join(set, index_of(m, t->name), &f->pairs[i]);
    }
}

static rnl_status open_file(rnl_model *m, const rnl_adapter_config *c, rnl_error *error) {
    adapters *a = m->adapters;
    adapter_file *f = &a->files[a->file_count];
    rnl_status status = lora_read(c->path, &f->lora, error);
    if (status != RNL_OK) return status;
    a->file_count++;
    status = adapters_check_fit(m, &f->lora, error);
    if (status != RNL_OK) return status;
    if (f->lora.passed_over_count > 0)
        source_log(&m->source, RNL_LOG_WARNING,
                   "%s: '%s' and others of its kind, %zu in all, are norms that were taught, which "
                   "adapters cannot change: left out",
                   c->path, f->lora.passed_over, f->lora.passed_over_count);
    f->pairs = calloc(f->lora.count, sizeof *f->pairs);
    const adapter_set *set = find_or_add(m, c->name);
    if (f->pairs == NULL || set == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", c->path);
    if (c->scale != 0) take_pairs(m, f, &set->adds, c->scale);
    return RNL_OK;
}

static rnl_status check(const rnl_model_config *config, rnl_error *error) {
    if (config->adapter_count > RNL_ADAPTER_CAP ||
        (config->adapter_count > 0 && config->adapters == NULL))
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "adapter_count is %zu, outside 0 to %d, or adapters is NULL",
                           config->adapter_count, RNL_ADAPTER_CAP);
    for (size_t i = 0; i < config->adapter_count; i++) {
        const rnl_adapter_config *c = &config->adapters[i];
        if (c->name == NULL || c->path == NULL || c->name[0] == '\0' ||
            strlen(c->name) >= ADAPTER_NAME_CAP)
            return status_fail(error, RNL_ERR_ARGUMENT,
                               "adapters[%zu]: its path is NULL, or its name is not of 1 to %d "
                               "bytes",
                               i, ADAPTER_NAME_CAP - 1);
        if (!(fabsf(c->scale) <= SCALE_MAX))
            return status_fail(error, RNL_ERR_ARGUMENT,
                               "adapters[%zu].scale is %g, outside -%d to %d", i, (double)c->scale,
                               SCALE_MAX, SCALE_MAX);
    }
    return RNL_OK;
}

rnl_status adapters_open(rnl_model *m, const rnl_model_config *config, rnl_error *error) {
    rnl_status status = check(config, error);
    if (status != RNL_OK || config->adapter_count == 0) return status;
    m->adapters = calloc(1, sizeof *m->adapters);
    if (m->adapters == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", m->path);
    for (size_t i = 0; i < config->adapter_count && status == RNL_OK; i++)
        status = open_file(m, &config->adapters[i], error);
    return status;
}

void adapters_close(adapters **a) {
    if (*a == NULL) return;
    for (int i = 0; i < (*a)->file_count; i++) {
        lora_free(&(*a)->files[i].lora);
        free((*a)->files[i].pairs);
    }
    for (int i = 0; i < (*a)->set_count; i++) free((*a)->sets[i].adds.pairs);
    free(*a);
    *a = NULL;
}

int rnl_model_adapter_count(const rnl_model *model) {
    return model->adapters != NULL ? model->adapters->set_count : 0;
}

const char *rnl_model_adapter_name(const rnl_model *model, int index) {
    if (index < 0 || index >= rnl_model_adapter_count(model)) return NULL;
    return model->adapters->sets[index].name;
}
