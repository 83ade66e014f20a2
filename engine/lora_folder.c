/* The folder that PEFT writes: what its configuration says of ranks and scales, and its tensors
 *
 *     base_model.model.MODULE.lora_A.weight [r, in], .lora_B.weight [out, r]
 *
 * whose modules have the names of Hugging Face checkpoints (engine/source_hf_names.c). What more
 * than LoRA the configuration asks for is refused: left out, the model would say something else. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "core/status.h"
#include "engine/lora.h"
#include "engine/source.h"

enum { CONFIG_CAP = 4 << 20, MODULE_CAP = 512 };

/* What must be absent, null, false or empty, and what it would be. */
static const struct {
    const char *key, *what;
} strangers[] = {
    {"use_dora", "DoRA"},
    {"use_qalora", "QA-LoRA"},
    {"use_bdlora", "BD-LoRA"},
    {"lora_bias", "biases of its own"},
    {"fan_in_fan_out", "matrices that lie the other way round"},
    {"modules_to_save", "whole modules that were taught besides"},
    {"layer_replication", "layers that stand there twice"},
    {"trainable_token_indices", "tokens that were taught besides"},
    {"target_parameters", "parameters that are no modules"},
    {"alora_invocation_tokens", "an activation by tokens (aLoRA)"},
    {"arrow_config", "a choice among adapters (Arrow)"},
    {"kasa_config", "KaSA"},
    {"velora_config", "VeLoRA"},
    {"monteclora_config", "MonteCLoRA"},
};

/* Starts that change the base as well, unless PEFT has turned them into a plain adapter, which then
 * says so by `true`. */
static const char *const plain_starts[] = {"gaussian", "orthogonal", "eva", "loftq"};

static bool is_nothing(const json *v) {
    bool yes;
    if (json_is_null(v)) return true;
    if (json_bool(v, &yes)) return !yes;
    return (json_is_array(v) || json_is_object(v)) && json_count(v) == 0;
}

static bool text_is(const json *v, const char *text) {
    size_t size;
    const char *chars = json_chars(v, &size);
    return chars != NULL && size == strlen(text) && memcmp(chars, text, size) == 0;
}

static rnl_status bad_field(const char *config, const char *key, const char *what,
                            rnl_error *error) {
    return status_fail(error, RNL_ERR_FORMAT, "%s: %s is %s; the file is damaged", config, key,
                       what);
}

static rnl_status check_start(const char *config, const json *start, rnl_error *error) {
    bool yes;
    if (json_is_null(start) || json_bool(start, &yes)) return RNL_OK;
    for (size_t i = 0; i < sizeof plain_starts / sizeof *plain_starts; i++)
        if (text_is(start, plain_starts[i])) return RNL_OK;
    return status_fail(error, RNL_ERR_UNSUPPORTED,
                       "%s: init_lora_weights says that the base was changed as well; save it as "
                       "plain LoRA (PEFT's path_initial_model_for_weight_conversion)",
                       config);
}

static rnl_status check_kind(const char *config, const json *c, rnl_error *error) {
    if (!json_is_object(c) || !text_is(json_get(c, "peft_type"), "LORA"))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: peft_type is not LORA, the one kind of adapter that Runnel reads",
                           config);
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        if (!is_nothing(json_get(c, strangers[i].key)))
            return status_fail(error, RNL_ERR_UNSUPPORTED,
                               "%s: %s asks for %s, which Runnel does not know; teach without it, "
                               "or merge it into the model with PEFT",
                               config, strangers[i].key, strangers[i].what);
    const json *bias = json_get(c, "bias");
    if (!json_is_null(bias) && !text_is(bias, "none"))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: bias is not \"none\": biases that were taught cannot be added; "
                           "teach without, or merge it into the model with PEFT",
                           config);
    return check_start(config, json_get(c, "init_lora_weights"), error);
}

/* ---- What is said of a module ---- */

typedef struct folder_config {
    char path[4096]; /* of the configuration */
    json *root;
    int64_t rank;
    double alpha;
} folder_config;

/* Whether a module is called so: a whole name, or what is behind some dot of it. */
static bool is_called(const char *module, const char *key, size_t size) {
    const size_t length = strlen(module);
    return size > 0 && size <= length && memcmp(module + length - size, key, size) == 0 &&
           (size == length || module[length - size - 1] == '.');
}

typedef struct pattern_search {
    const char *module;
    const json *found; /* of the first key that calls it */
} pattern_search;

static bool try_pattern(void *context, const char *key, size_t size, const json *value) {
    pattern_search *s = context;
    if (is_called(s->module, key, size)) s->found = value;
    return s->found == NULL;
}

/* NULL: the pattern says nothing of it. */
static const json *pattern_of(const json *pattern, const char *module) {
    pattern_search s = {.module = module};
    if (json_is_object(pattern)) (void)json_each(pattern, try_pattern, &s);
    return s.found;
}

static bool is_alpha(const json *v, double *out) {
    return json_number(v, out) && *out > 0 && *out <= 1e6;
}

static rnl_status rank_of(const folder_config *c, const char *module, int64_t *rank,
                          rnl_error *error) {
    const json *own = pattern_of(json_get(c->root, "rank_pattern"), module);
    *rank = c->rank;
    if (own == NULL || json_int(own, 1, LORA_RANK_CAP, rank)) return RNL_OK;
    return bad_field(c->path, "rank_pattern", "no list of ranks from 1 to 1024", error);
}

static rnl_status alpha_of(const folder_config *c, const char *module, double *alpha,
                           rnl_error *error) {
    const json *own = pattern_of(json_get(c->root, "alpha_pattern"), module);
    *alpha = c->alpha;
    if (own == NULL || is_alpha(own, alpha)) return RNL_OK;
    return bad_field(c->path, "alpha_pattern", "no list of numbers above 0", error);
}

/* A list of targets must call every module there is; a single text may be a regular expression, so
 * that the tensors decide. */
static rnl_status check_target(const folder_config *c, const char *module, rnl_error *error) {
    const json *targets = json_get(c->root, "target_modules");
    if (!json_is_array(targets)) return RNL_OK;
    for (size_t i = 0; i < json_count(targets); i++) {
        size_t size;
        const char *key = json_chars(json_at(targets, i), &size);
        if (key != NULL && is_called(module, key, size)) return RNL_OK;
    }
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: target_modules does not name '%s', which adapter_model.safetensors "
                       "holds; the two files do not belong together",
                       c->path, module);
}

static rnl_status read_config(folder_config *c, lora *l, rnl_error *error) {
    rnl_status status = json_read(c->path, CONFIG_CAP, &c->root, error);
    if (status == RNL_OK) status = check_kind(c->path, c->root, error);
    if (status != RNL_OK) return status;
    if (!json_int(json_get(c->root, "r"), 1, LORA_RANK_CAP, &c->rank))
        return bad_field(c->path, "r", "no whole number from 1 to 1024", error);
    if (!is_alpha(json_get(c->root, "lora_alpha"), &c->alpha))
        return bad_field(c->path, "lora_alpha", "no number above 0", error);
    const json *rslora = json_get(c->root, "use_rslora");
    if (!json_is_null(rslora) && !json_bool(rslora, &l->rslora))
        return bad_field(c->path, "use_rslora", "neither true nor false", error);
    size_t size;
    const char *base = json_chars(json_get(c->root, "base_model_name_or_path"), &size);
    if (base != NULL) (void)snprintf(l->base, sizeof l->base, "%s", base);
    status_clean(l->base);
    return RNL_OK;
}

/* ---- Tensors ---- */

/* "base_model.model.MODULE.lora_A.weight", also with ".default" before ".weight". */
static bool parse(const char *name, char module[MODULE_CAP], lora_half *half) {
    static const struct {
        const char *ending;
        lora_half half;
    } endings[] = {{".lora_A.weight", LORA_DOWN},
                   {".lora_B.weight", LORA_UP},
                   {".lora_A.default.weight", LORA_DOWN},
                   {".lora_B.default.weight", LORA_UP}};
    const char *wrapper = "base_model.model.";
    const size_t length = strlen(wrapper);
    if (strncmp(name, wrapper, length) == 0) name += length;
    const size_t size = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t tail = strlen(endings[i].ending);
        if (size <= tail || strcmp(name + size - tail, endings[i].ending) != 0) continue;
        *half = endings[i].half;
        return (size_t)snprintf(module, MODULE_CAP, "%.*s", (int)(size - tail), name) < MODULE_CAP;
    }
    return false;
}

/* By the modules above the backbone's layers. */
static void note_class(lora *l, const char *module) {
    const char *const parts[] = {"lfm.", "audio_adapter.", "depth"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strncmp(module, parts[i], strlen(parts[i])) == 0) l->names = LORA_AUDIO;
    if (strncmp(module, "model.language_model.", 21) == 0 ||
        strncmp(module, "language_model.", 15) == 0)
        l->names = LORA_VISION;
}

static rnl_status put_tensor(const folder_config *c, lora *l, const tensor *t, rnl_error *error) {
    char module[MODULE_CAP], weight[MODULE_CAP + 8], name[LORA_NAME_CAP];
    lora_half half;
    if (!parse(t->name, module, &half))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: tensor '%s' is neither lora_A nor lora_B of a module; Runnel reads "
                           "plain LoRA only",
                           safetensors_path(l->folder), t->name);
    (void)snprintf(weight, sizeof weight, "%s.weight", module);
    if (!source_hf_name(HF_MAIN, weight, name, sizeof name))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: '%s' is no module of an LFM2 model; this adapter is of another "
                           "kind of model",
                           safetensors_path(l->folder), module);
    note_class(l, module);
    int64_t rank;
    lora_tensor *pair;
    rnl_status status = check_target(c, module, error);
    if (status == RNL_OK) status = rank_of(c, module, &rank, error);
    if (status == RNL_OK) status = lora_put(l, name, half, t, &pair, error);
    if (status != RNL_OK) return status;
    const int side = half == LORA_DOWN ? 0 : 1;
    if (t->foreign == NULL && t->rank == 2 && t->shape[side] != rank)
        return status_fail(
            error, RNL_ERR_FORMAT,
            "%s: tensor '%s' has rank %lld, but the configuration says %lld; the two "
            "files do not belong together",
            safetensors_path(l->folder), t->name, (long long)t->shape[side], (long long)rank);
    return alpha_of(c, module, &pair->alpha, error);
}

static rnl_status open_tensors(lora *l, rnl_error *error) {
    char path[4096], pickle[4096];
    if ((size_t)snprintf(path, sizeof path, "%s/adapter_model.safetensors", l->path) >= sizeof path)
        return status_fail(error, RNL_ERR_ARGUMENT, "%s: the path is too long", l->path);
    (void)snprintf(pickle, sizeof pickle, "%s/adapter_model.bin", l->path);
    if (access(path, F_OK) != 0 && access(pickle, F_OK) == 0)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: it is a pickle, which can run what it likes when it is read; save "
                           "the adapter as safetensors",
                           pickle);
    return safetensors_open(path, &l->folder, error);
}

rnl_status lora_read_folder(lora *l, rnl_error *error) {
    folder_config *c = calloc(1, sizeof *c);
    if (c == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", l->path);
    rnl_status status = RNL_OK;
    if ((size_t)snprintf(c->path, sizeof c->path, "%s/adapter_config.json", l->path) >=
        sizeof c->path)
        status = status_fail(error, RNL_ERR_ARGUMENT, "%s: the path is too long", l->path);
    if (status == RNL_OK) status = read_config(c, l, error);
    if (status == RNL_OK) status = open_tensors(l, error);
    for (size_t i = 0; status == RNL_OK && i < safetensors_tensor_count(l->folder); i++)
        status = put_tensor(c, l, safetensors_tensor(l->folder, i), error);
    json_destroy(&c->root);
    free(c);
    return status;
}
