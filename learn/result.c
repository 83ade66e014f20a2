#include "learn/result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "engine/convert.h"
#include "engine/lora.h"

static tensor half_of(const learn_tensor *t) {
    tensor out = {.name = t->name,
                  .data = (const unsigned char *)t->value,
                  .type = QUANT_F32,
                  .rank = t->rank,
                  .size = t->count * sizeof *t->value};
    memcpy(out.shape, t->shape, sizeof out.shape);
    return out;
}

/* The halves stand side by side in the table (learn_bind_linear). */
static void fill(const learn_network *n, lora *l, bool rslora) {
    const learn_choice *c = &n->config.choice;
    const double root = sqrt((double)c->rank);
    for (int i = 0; i + 1 < n->tensors.count; i += 2) {
        lora_tensor *t = &l->tensors[l->count++];
        const learn_tensor *down = &n->tensors.all[i];
        const size_t length = strlen(down->name) - strlen(".lora_a");
        (void)snprintf(t->name, sizeof t->name, "%.*s", (int)length, down->name);
        t->down = half_of(down);
        t->up = half_of(&n->tensors.all[i + 1]);
        t->alpha = (double)c->scale * (rslora ? root : (double)c->rank);
    }
}

rnl_status learn_adapter_write(const learn_network *n, const char *folder, const char *base,
                               bool rslora, rnl_error *error) {
    const model_config *c = &n->model->source.config;
    char path[4096];
    lora l = {.rslora = rslora,
              .dropout = n->config.choice.dropout,
              .names = c->codebook_count > 0 ? LORA_AUDIO
                       : c->has_tower        ? LORA_VISION
                                             : LORA_TEXT};
    if ((size_t)snprintf(path, sizeof path, "%s/adapter.gguf", folder) >= sizeof path)
        return status_fail(error, RNL_ERR_IO, "%s: the name is too long", folder);
    l.tensors = calloc((size_t)n->tensors.count / 2 + 1, sizeof *l.tensors);
    if (l.tensors == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", folder);
    (void)snprintf(l.base, sizeof l.base, "%s", base);
    fill(n, &l, rslora);
    rnl_status status = lora_write_gguf(&l, path, config_architecture(&c->backbone), error);
    if (status == RNL_OK) status = lora_write_folder(&l, folder, error);
    free(l.tensors);
    return status;
}

/* All tensors of the model, those that learn with their values now. */
static rnl_status gather(const learn_network *n, weights *all, rnl_error *error) {
    const weights *from = n->model->source.w;
    rnl_status status = RNL_OK;
    for (size_t i = 0; i < weights_count(from) && status == RNL_OK; i++) {
        tensor t = *weights_at(from, i);
        const learn_tensor *own = learn_tensors_find(&n->tensors, t.name);
        if (own != NULL) {
            t.data = (const unsigned char *)own->value;
            t.type = QUANT_F32;
            t.size = own->count * sizeof *own->value;
        }
        status = weights_add(all, &t, n->model->path, error);
    }
    return status;
}

rnl_status learn_model_write(const learn_network *n, const char *path, rnl_error *error) {
    rnl_model *taught = malloc(sizeof *taught);
    weights *all = NULL;
    if (taught == NULL || weights_create(&all) != RNL_OK) {
        free(taught);
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    }
    rnl_status status = gather(n, all, error);
    /* The same model over other tensors, for as long as it is being written: nobody else sees it,
     * and its mutex is not touched. */
    *taught = *n->model;
    taught->source.w = all;
    const convert_config config = {.path = path, .thread_count = n->config.thread_count};
    if (status == RNL_OK) status = convert_model(taught, &config, error);
    weights_destroy(&all);
    free(taught);
    return status;
}
