#include "tests/support/adapter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/random.h"
#include "engine/model.h"
#include "tests/support/rig.h"

/* The matrix's name for an adapter; NULL: it gets none. */
static const char *name_of(const rnl_model *m, const tensor *t, bool head) {
    const bool serves = strcmp(t->name, "token_embd.weight") == 0 &&
                        weights_find(m->source.w, "output.weight") == NULL;
    const char *name = serves ? "output.weight" : t->name;
    if (!head && strcmp(name, "output.weight") == 0) return NULL;
    return adapters_may_change(m, name) ? name : NULL;
}

static tensor half(float *values, int64_t rows, int64_t cols, float size, random_state *r) {
    for (int64_t i = 0; i < rows * cols; i++) values[i] = size * 2 * ((float)random_unit(r) - 0.5f);
    return (tensor){.name = "made up",
                    .data = (const unsigned char *)values,
                    .type = QUANT_F32,
                    .rank = 2,
                    .shape = {rows, cols, 1, 1},
                    .size = (size_t)(rows * cols) * sizeof *values};
}

void adapter_make(const rnl_model *m, bool head, int rank, uint64_t seed, made_adapter *out) {
    const weights *w = m->source.w;
    size_t total = 0;
    random_state r;
    random_seed(&r, seed);
    *out = (made_adapter){.lora = {.path = NULL}};
    for (size_t i = 0; i < weights_count(w); i++) {
        const tensor *t = weights_at(w, i);
        if (name_of(m, t, head) != NULL) total += (size_t)(rank * (t->shape[0] + t->shape[1]));
    }
    out->values = malloc(total * sizeof *out->values);
    out->lora.tensors = calloc(weights_count(w), sizeof *out->lora.tensors);
    assert_non_null(out->values);
    assert_non_null(out->lora.tensors);
    float *at = out->values;
    for (size_t i = 0; i < weights_count(w); i++) {
        const tensor *t = weights_at(w, i);
        const char *name = name_of(m, t, head);
        if (name == NULL) continue;
        lora_tensor *own = &out->lora.tensors[out->lora.count++];
        (void)snprintf(own->name, sizeof own->name, "%s", name);
        own->alpha = 2 * rank;
        own->down = half(at, rank, t->shape[1], 0.2f, &r);
        own->up = half(at + rank * t->shape[1], t->shape[0], rank, 0.2f, &r);
        at += rank * (t->shape[0] + t->shape[1]);
    }
    out->lora.names = m->source.config.codebook_count > 0 ? LORA_AUDIO : LORA_TEXT;
}

void adapter_free(made_adapter *a) {
    free(a->values);
    free(a->lora.tensors);
    *a = (made_adapter){.values = NULL};
}

rnl_model *adapter_model(const char *path, bool exact, const char *level) {
    char files[2][64], full[512];
    rnl_error error = {0};
    rnl_adapter_config rows[2];
    rnl_model *model = rig_model(path);
    for (int i = 0; i < 2; i++) {
        made_adapter a;
        (void)snprintf(files[i], sizeof files[i], "/tmp/runnel-lora-%d-%d.gguf", (int)getpid(), i);
        adapter_make(model, i == 0, i == 0 ? 3 : 5, 7 + (uint64_t)i, &a);
        if (lora_write_gguf(&a.lora, files[i], "lfm2", &error) != RNL_OK)
            fail_msg("%s", error.text);
        adapter_free(&a);
        rows[i] =
            (rnl_adapter_config){.name = i == 0 ? "one" : "two", .path = files[i], .scale = 1};
    }
    rnl_model_close(&model);
    rnl_model_config config = rnl_model_config_default();
    config.exact = exact;
    config.cpu = level;
    config.adapters = rows;
    config.adapter_count = 2;
    (void)snprintf(full, sizeof full, "%s/%s", TEST_DATA, path);
    const rnl_status status = rnl_model_open(full, &config, &model, &error);
    if (status != RNL_OK && (level == NULL || status != RNL_ERR_ARGUMENT))
        fail_msg("%s", error.text);
    for (int i = 0; i < 2; i++) (void)unlink(files[i]); /* they are mapped */
    return model;
}
