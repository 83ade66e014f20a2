/* Writing an adapter as PEFT does: the configuration says the commonest rank and alpha, and for
 * which modules they are others. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/json.h"
#include "core/staged_file.h"
#include "core/status.h"
#include "engine/lora.h"
#include "engine/source.h"

enum { PATH_CAP = 4096, MODULE_CAP = 192 };

static const char *const stack_names[] = {
    [LORA_TEXT] = "model.", [LORA_AUDIO] = "lfm.", [LORA_VISION] = "model.language_model."};

/* "model.layers.0.conv.in_proj" */
static bool module_of(const lora *l, const lora_tensor *t, char module[MODULE_CAP]) {
    if (!source_hf_name_of(t->name, stack_names[l->names], module, MODULE_CAP)) return false;
    const char *ending = ".weight";
    const size_t size = strlen(module), tail = strlen(ending);
    if (size <= tail || strcmp(module + size - tail, ending) != 0) return false;
    module[size - tail] = '\0';
    return true;
}

static rnl_status no_module(const lora_tensor *t, const char *folder, rnl_error *error) {
    return status_fail(error, RNL_ERR_UNSUPPORTED,
                       "%s: no module of PEFT's is called after '%s'; write a GGUF adapter", folder,
                       t->name);
}

/* ---- adapter_model.safetensors ---- */

/* What is not stored so becomes float32. */
static quant_type type_of(const tensor *t) {
    return t->type == QUANT_F16 || t->type == QUANT_BF16 ? t->type : QUANT_F32;
}

static const tensor *half_of(const lora *l, size_t i) {
    return i % 2 == 0 ? &l->tensors[i / 2].down : &l->tensors[i / 2].up;
}

static rnl_status declare(const lora *l, safetensors_writer *w, const char *folder,
                          rnl_error *error) {
    for (size_t i = 0; i < 2 * l->count; i++) {
        const tensor *half = half_of(l, i);
        char module[MODULE_CAP], name[MODULE_CAP + 64];
        if (!module_of(l, &l->tensors[i / 2], module))
            return no_module(&l->tensors[i / 2], folder, error);
        (void)snprintf(name, sizeof name, "base_model.model.%s.lora_%s.weight", module,
                       i % 2 == 0 ? "A" : "B");
        safetensors_put_tensor(w, name, type_of(half), 2, half->shape);
    }
    return safetensors_writer_begin_data(w, error);
}

static rnl_status write_half(safetensors_writer *w, const tensor *t, rnl_error *error) {
    if (type_of(t) == t->type) return safetensors_writer_data(w, t->data, t->size, error);
    float *row = malloc((size_t)t->shape[1] * sizeof *row);
    if (row == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "memory for a row of an adapter is exhausted");
    const size_t size = t->size / (size_t)t->shape[0];
    rnl_status status = RNL_OK;
    for (int64_t r = 0; r < t->shape[0] && status == RNL_OK; r++) {
        quant_dequantise(t->type, t->data + (size_t)r * size, row, t->shape[1]);
        status = safetensors_writer_data(w, row, (size_t)t->shape[1] * sizeof *row, error);
    }
    free(row);
    return status;
}

static rnl_status write_tensors(const lora *l, safetensors_writer *w, const char *folder,
                                rnl_error *error) {
    rnl_status status = declare(l, w, folder, error);
    for (size_t i = 0; i < 2 * l->count && status == RNL_OK; i++)
        status = write_half(w, half_of(l, i), error);
    return status == RNL_OK ? safetensors_writer_complete(w, error) : status;
}

/* ---- adapter_config.json ---- */

/* What PEFT would call the alpha. */
static double alpha_of(const lora_tensor *t) {
    return t->alpha == 0 ? (double)lora_rank(t) : t->alpha;
}

static double rank_of(const lora_tensor *t) {
    return (double)lora_rank(t);
}

/* The value that most matrices have; of several the first. */
static double commonest(const lora *l, double (*of)(const lora_tensor *t)) {
    double best = 0;
    size_t best_count = 0;
    for (size_t i = 0; i < l->count && best_count < l->count - i; i++) {
        const double value = of(&l->tensors[i]);
        size_t count = 0;
        for (size_t k = i; k < l->count; k++) count += of(&l->tensors[k]) == value;
        if (count > best_count) best = value, best_count = count;
    }
    return best;
}

static json_draft *number(double value) {
    return value == (double)(int64_t)value ? json_new_int((int64_t)value) : json_new_number(value);
}

static json_draft *pattern(const lora *l, double (*of)(const lora_tensor *t), double common) {
    json_draft *all = json_new_object();
    for (size_t i = 0; i < l->count; i++) {
        char module[MODULE_CAP];
        if (of(&l->tensors[i]) != common && module_of(l, &l->tensors[i], module))
            json_set(all, module, number(of(&l->tensors[i])));
    }
    return all;
}

/* By their last name ("q_proj"), as PEFT's users write them; in the classes of several parts, where
 * that would call more modules than are meant, by their whole one. */
static json_draft *targets(const lora *l) {
    json_draft *all = json_new_array();
    char last[32][MODULE_CAP];
    int count = 0;
    for (size_t i = 0; i < l->count; i++) {
        char module[MODULE_CAP];
        if (!module_of(l, &l->tensors[i], module)) continue;
        const char *dot = strrchr(module, '.');
        const char *name = l->names == LORA_TEXT && dot != NULL ? dot + 1 : module;
        bool known = false;
        for (int k = 0; k < count && l->names == LORA_TEXT; k++)
            known = known || strcmp(last[k], name) == 0;
        if (known) continue;
        json_append(all, json_new_string(name, strlen(name)));
        if (count < 32) (void)snprintf(last[count++], MODULE_CAP, "%s", name);
    }
    return all;
}

static char *config_text(const lora *l) {
    const double rank = commonest(l, rank_of), alpha = commonest(l, alpha_of);
    json_draft *c = json_new_object();
    json_set(c, "alpha_pattern", pattern(l, alpha_of, alpha));
    json_set(c, "base_model_name_or_path", json_new_string(l->base, strlen(l->base)));
    json_set(c, "bias", json_new_string("none", 4));
    json_set(c, "fan_in_fan_out", json_new_bool(false));
    json_set(c, "inference_mode", json_new_bool(true));
    json_set(c, "init_lora_weights", json_new_bool(true));
    json_set(c, "lora_alpha", number(alpha));
    json_set(c, "lora_dropout", json_new_number(l->dropout));
    json_set(c, "peft_type", json_new_string("LORA", 4));
    json_set(c, "peft_version", json_new_string("0.21.2", 6));
    json_set(c, "r", number(rank));
    json_set(c, "rank_pattern", pattern(l, rank_of, rank));
    json_set(c, "target_modules", targets(l));
    json_set(c, "task_type", json_new_string("CAUSAL_LM", 9));
    json_set(c, "use_dora", json_new_bool(false));
    json_set(c, "use_rslora", json_new_bool(l->rslora));
    char *text = json_text(c);
    json_drop(&c);
    return text;
}

static rnl_status write_config(const lora *l, staged_file *file, rnl_error *error) {
    char *text = config_text(l);
    FILE *stream = staged_stream(file);
    if (text == NULL || stream == NULL) {
        free(text);
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", staged_path(file));
    }
    const bool written = fprintf(stream, "%s\n", text) > 0;
    const int reason = errno;
    free(text);
    if (!written)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s; free some space",
                           staged_path(file), strerror(reason));
    return staged_sync(file, error);
}

/* ---- Both ---- */

static bool path_in(const char *folder, const char *name, char path[PATH_CAP]) {
    return (size_t)snprintf(path, PATH_CAP, "%s/%s", folder, name) < PATH_CAP;
}

rnl_status lora_write_folder(const lora *l, const char *folder, rnl_error *error) {
    char tensors[PATH_CAP], config[PATH_CAP];
    if (!path_in(folder, "adapter_model.safetensors", tensors) ||
        !path_in(folder, "adapter_config.json", config))
        return status_fail(error, RNL_ERR_ARGUMENT, "%s: the path is too long", folder);
    const bool made = mkdir(folder, 0777) == 0;
    if (!made && errno != EEXIST)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be made: %s", folder, strerror(errno));
    safetensors_writer *w = NULL;
    staged_file *file = NULL;
    rnl_status status = safetensors_writer_create(tensors, &w, error);
    if (status == RNL_OK) status = write_tensors(l, w, folder, error);
    if (status == RNL_OK) status = staged_open(config, &file, error);
    if (status == RNL_OK) status = write_config(l, file, error);
    /* A disk that is full shows above, before either has its name. */
    if (status == RNL_OK) status = safetensors_writer_finish(&w, error);
    if (status == RNL_OK) status = staged_commit(&file, error);
    safetensors_writer_abort(&w);
    staged_abort(&file);
    if (status != RNL_OK && made) (void)rmdir(folder);
    return status;
}
