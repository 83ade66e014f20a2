/* A GGUF adapter: base name + ".lora_a" and ".lora_b", one alpha for all (learn.md 5.2). Written,
 * and read. Keys of our own say what a PEFT folder made of it is to say. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "engine/lora.h"

#define CLASS_KEY "runnel.lora.class"
#define BASE_KEY "general.base_model.0.name"

static const char *const class_names[] = {
    [LORA_TEXT] = "text", [LORA_AUDIO] = "audio", [LORA_VISION] = "vision"};

static bool key_is(const gguf *g, const char *key, const char *text) {
    const char *value;
    size_t size;
    return gguf_string(g, key, &value, &size) && size == strlen(text) &&
           memcmp(value, text, size) == 0;
}

static void copy_key(const gguf *g, const char *key, char *out, size_t cap) {
    const char *value;
    size_t size;
    if (gguf_string(g, key, &value, &size) && size < cap)
        (void)snprintf(out, cap, "%.*s", (int)size, value);
    status_clean(out);
}

static bool ends(const char *name, const char *ending) {
    const size_t size = strlen(name), tail = strlen(ending);
    return size > tail && strcmp(name + size - tail, ending) == 0;
}

static rnl_status put_tensor(lora *l, const tensor *t, rnl_error *error) {
    char name[LORA_NAME_CAP];
    const bool down = ends(t->name, ".lora_a");
    if (ends(t->name, "_norm.weight")) { /* as the reference does */
        if (l->passed_over_count++ == 0)
            (void)snprintf(l->passed_over, sizeof l->passed_over, "%s", t->name);
        return RNL_OK;
    }
    if ((!down && !ends(t->name, ".lora_b")) ||
        (size_t)snprintf(name, sizeof name, "%.*s", (int)strlen(t->name) - 7, t->name) >=
            sizeof name)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: tensor '%s' is neither lora_a nor lora_b of a matrix; Runnel reads "
                           "plain LoRA only",
                           l->path, t->name);
    lora_tensor *pair;
    return lora_put(l, name, down ? LORA_DOWN : LORA_UP, t, &pair, error);
}

static rnl_status check_keys(const lora *l, double *alpha, rnl_error *error) {
    const gguf *g = l->file;
    if (!key_is(g, "general.type", "adapter"))
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: it is no adapter (general.type is not \"adapter\"); name a PEFT "
                           "folder or a GGUF adapter",
                           l->path);
    if (!key_is(g, "adapter.type", "lora") || gguf_has(g, "adapter.alora.invocation_tokens"))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: it is an adapter, but not plain LoRA (adapter.type, "
                           "adapter.alora.invocation_tokens), the one kind that Runnel reads",
                           l->path);
    const char *text;
    size_t size;
    if (!gguf_string(g, "general.architecture", &text, &size) || size == 0)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: key general.architecture is missing; the file is damaged", l->path);
    if (gguf_float(g, "adapter.lora.alpha", alpha) && *alpha >= 0 && *alpha <= 1e9) return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: key adapter.lora.alpha is missing or no number from 0 on; the file is "
                       "damaged",
                       l->path);
}

rnl_status lora_read_gguf(lora *l, rnl_error *error) {
    double alpha;
    rnl_status status = gguf_open(l->path, &l->file, error);
    if (status == RNL_OK) status = check_keys(l, &alpha, error);
    if (status != RNL_OK) return status;
    copy_key(l->file, "general.architecture", l->architecture, sizeof l->architecture);
    copy_key(l->file, BASE_KEY, l->base, sizeof l->base);
    for (lora_class c = LORA_TEXT; c <= LORA_VISION; c++)
        if (key_is(l->file, CLASS_KEY, class_names[c])) l->names = c;
    for (size_t i = 0; status == RNL_OK && i < gguf_tensor_count(l->file); i++)
        status = put_tensor(l, gguf_tensor(l->file, i), error);
    for (size_t i = 0; i < l->count; i++) {
        l->tensors[i].alpha = alpha;
        if (strncmp(l->tensors[i].name, "blk.", 4) != 0 &&
            strcmp(l->tensors[i].name, "output.weight") != 0)
            l->names = LORA_AUDIO;
    }
    return status;
}

/* ---- Writing ---- */

/* The alpha that gives every matrix its scale by its rank; false: there is none. */
static bool single_alpha(const lora *l, float *alpha) {
    for (size_t i = 0; i < l->count; i++) {
        const lora_tensor *t = &l->tensors[i];
        if (i > 0 && lora_alpha(l, t) != *alpha) return false;
        *alpha = lora_alpha(l, t);
    }
    return l->count > 0;
}

static void put_text(gguf_writer *w, const char *key, const char *text) {
    gguf_put_string(w, key, text, strlen(text));
}

static void put_header(const lora *l, gguf_writer *w, const char *architecture, float alpha) {
    put_text(w, "general.architecture", architecture);
    put_text(w, "general.type", "adapter");
    put_text(w, "adapter.type", "lora");
    gguf_put_f32(w, "adapter.lora.alpha", alpha);
    if (l->base[0] != '\0') {
        gguf_put_u32(w, "general.base_model.count", 1);
        put_text(w, BASE_KEY, l->base);
    }
    put_text(w, CLASS_KEY, class_names[l->names]);
}

static void declare(const lora *l, gguf_writer *w) {
    for (size_t i = 0; i < 2 * l->count; i++) {
        const lora_tensor *t = &l->tensors[i / 2];
        const tensor *half = i % 2 == 0 ? &t->down : &t->up;
        char name[LORA_NAME_CAP + 8];
        (void)snprintf(name, sizeof name, "%s.%s", t->name, i % 2 == 0 ? "lora_a" : "lora_b");
        gguf_put_tensor(w, name, half->type, 2, half->shape);
    }
}

rnl_status lora_write_gguf(const lora *l, const char *path, const char *architecture,
                           rnl_error *error) {
    float alpha = 0;
    if (!single_alpha(l, &alpha))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: its matrices have several values of alpha, and a GGUF adapter can "
                           "say only one; write a folder",
                           path);
    gguf_writer *w = NULL;
    rnl_status status = gguf_writer_create(path, &w, error);
    if (status != RNL_OK) return status;
    put_header(l, w, architecture, alpha);
    declare(l, w);
    status = gguf_writer_begin_data(w, error);
    for (size_t i = 0; status == RNL_OK && i < 2 * l->count; i++) {
        const lora_tensor *t = &l->tensors[i / 2];
        const tensor *half = i % 2 == 0 ? &t->down : &t->up;
        status = gguf_writer_data(w, half->data, half->size, error);
    }
    if (status == RNL_OK) return gguf_writer_finish(&w, error);
    gguf_writer_abort(&w);
    return status;
}
