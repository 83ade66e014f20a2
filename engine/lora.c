/* What both layouts of an adapter's file have in common: pairs of halves, and what must be true of
 * them. */
#include "engine/lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/status.h"
#include "engine/source.h"

enum { SIDE_CAP = 1 << 24 /* of a matrix, as core/weights.c has it */ };

int64_t lora_rank(const lora_tensor *t) {
    return t->down.shape[0];
}

float lora_alpha(const lora *l, const lora_tensor *t) {
    return (float)(l->rslora ? t->alpha * sqrt((double)lora_rank(t)) : t->alpha);
}

double lora_scale(const lora *l, const lora_tensor *t) {
    const double rank = (double)lora_rank(t);
    if (t->alpha == 0) return 1;
    return (double)lora_alpha(l, t) / rank;
}

bool lora_is_one(const char *path) {
    char config[4096];
    struct stat s;
    if (source_is_folder(path))
        return (size_t)snprintf(config, sizeof config, "%s/adapter_config.json", path) <
                   sizeof config &&
               stat(config, &s) == 0;
    gguf *g = NULL;
    const char *text;
    size_t size;
    if (gguf_open(path, &g, NULL) != RNL_OK) return false;
    const bool is = gguf_string(g, "general.type", &text, &size) && size == 7 &&
                    memcmp(text, "adapter", 7) == 0;
    gguf_close(&g);
    return is;
}

/* ---- Pairs ---- */

static lora_tensor *find(const lora *l, const char *name) {
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->tensors[i].name, name) == 0) return &l->tensors[i];
    return NULL;
}

static rnl_status add(lora *l, const char *name, lora_tensor **out, rnl_error *error) {
    if (l->count == LORA_TENSOR_CAP || strlen(name) >= LORA_NAME_CAP)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: it has more than %d matrices or a name of more than %d bytes; the "
                           "file is damaged",
                           l->path, LORA_TENSOR_CAP, LORA_NAME_CAP - 1);
    if (l->count % 64 == 0) {
        lora_tensor *grown = realloc(l->tensors, (l->count + 64) * sizeof *grown);
        if (grown == NULL)
            return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", l->path);
        l->tensors = grown;
    }
    lora_tensor *t = *out = &l->tensors[l->count++];
    memset(t, 0, sizeof *t);
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    return RNL_OK;
}

rnl_status lora_put(lora *l, const char *name, lora_half half, const tensor *t, lora_tensor **pair,
                    rnl_error *error) {
    *pair = find(l, name);
    if (*pair == NULL) {
        const rnl_status status = add(l, name, pair, error);
        if (status != RNL_OK) return status;
    }
    tensor *to = half == LORA_DOWN ? &(*pair)->down : &(*pair)->up;
    if (to->name != NULL)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: tensors '%s' and '%s' are the same half of one matrix; the file is "
                           "damaged",
                           l->path, to->name, t->name);
    *to = *t;
    return RNL_OK;
}

/* ---- Checks ---- */

static bool is_readable(const tensor *t) {
    return t->foreign == NULL && t->data != NULL &&
           (t->type == QUANT_F32 || t->type == QUANT_F16 || t->type == QUANT_BF16 ||
            t->type == QUANT_Q8_0);
}

static rnl_status check_half(const lora *l, const tensor *t, rnl_error *error) {
    if (!is_readable(t))
        return status_fail(
            error, RNL_ERR_UNSUPPORTED,
            "%s: tensor '%s' is %s, but adapters are read in F32, F16, BF16 or Q8_0; save it so",
            l->path, t->name,
            t->foreign != NULL ? t->foreign : quant_describe((uint32_t)t->type)->name);
    if (t->rank == 2 && t->shape[0] >= 1 && t->shape[1] >= 1 && t->shape[0] <= SIDE_CAP &&
        t->shape[1] <= SIDE_CAP && t->shape[1] % quant_describe((uint32_t)t->type)->block_len == 0)
        return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT, "%s: tensor '%s' is no matrix; the file is damaged",
                       l->path, t->name);
}

static rnl_status check_numbers(const lora *l, const tensor *t, float *row, rnl_error *error) {
    const size_t size = t->size / (size_t)t->shape[0];
    for (int64_t r = 0; r < t->shape[0]; r++) {
        quant_dequantise(t->type, t->data + (size_t)r * size, row, t->shape[1]);
        float sum = 0; /* 0 times what is no number is none */
        for (int64_t i = 0; i < t->shape[1]; i++) sum += row[i] * 0.0f;
        if (sum != 0)
            return status_fail(error, RNL_ERR_FORMAT,
                               "%s: tensor '%s' holds values that are not numbers; take the "
                               "adapter of an earlier step",
                               l->path, t->name);
    }
    return RNL_OK;
}

static rnl_status check_pair(const lora *l, const lora_tensor *t, int64_t *widest,
                             rnl_error *error) {
    const tensor *a = &t->down, *b = &t->up;
    if (a->name == NULL || b->name == NULL)
        return status_fail(
            error, RNL_ERR_FORMAT, "%s: tensor '%s' has no other half (%s); the file is incomplete",
            l->path, a->name != NULL ? a->name : b->name, a->name != NULL ? "lora_B" : "lora_A");
    rnl_status status = check_half(l, a, error);
    if (status == RNL_OK) status = check_half(l, b, error);
    if (status != RNL_OK) return status;
    if (a->shape[0] > LORA_RANK_CAP || a->shape[0] != b->shape[1])
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: tensors '%s' and '%s' have ranks %lld and %lld, which must be one "
                           "from 1 to %d; the file is damaged",
                           l->path, a->name, b->name, (long long)a->shape[0],
                           (long long)b->shape[1], LORA_RANK_CAP);
    if (a->shape[1] > *widest) *widest = a->shape[1];
    return RNL_OK;
}

rnl_status lora_check(lora *l, rnl_error *error) {
    int64_t widest = LORA_RANK_CAP;
    if (l->count == 0)
        return status_fail(error, RNL_ERR_FORMAT, "%s: it changes no matrix; the file is damaged",
                           l->path);
    rnl_status status = RNL_OK;
    for (size_t i = 0; i < l->count && status == RNL_OK; i++)
        status = check_pair(l, &l->tensors[i], &widest, error);
    if (status != RNL_OK) return status;
    float *row = malloc((size_t)widest * sizeof *row);
    if (row == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", l->path);
    for (size_t i = 0; i < l->count && status == RNL_OK; i++) {
        status = check_numbers(l, &l->tensors[i].down, row, error);
        if (status == RNL_OK) status = check_numbers(l, &l->tensors[i].up, row, error);
    }
    free(row);
    return status;
}

rnl_status lora_read(const char *path, lora *out, rnl_error *error) {
    *out = (lora){.path = strdup(path)};
    if (out->path == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    rnl_status status =
        source_is_folder(path) ? lora_read_folder(out, error) : lora_read_gguf(out, error);
    if (status == RNL_OK) status = lora_check(out, error);
    if (status != RNL_OK) lora_free(out);
    return status;
}

void lora_free(lora *l) {
    free(l->tensors);
    free(l->path);
    safetensors_close(&l->folder);
    gguf_close(&l->file);
    *l = (lora){0};
}
