#include "learn/result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
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
