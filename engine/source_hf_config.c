/* config.json of a Hugging Face directory -> model_config. audio.md 2, backbone.md 1.6. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/json.h"
#include "core/status.h"
#include "engine/source.h"
#include "engine/vision_config.h"
#include "stack/kind.h"

enum { CONFIG_SIZE_CAP = 4 << 20, PATH_CAP = 4096 };

/* Sticky reader of one object: the first fault makes the sentence, later calls do nothing. */
typedef struct reader {
    const json *object;
    const char *path;    /* file, for the sentence */
    const char *section; /* "lfm.", for the sentence */
    rnl_status status;
    rnl_error *error;
} reader;

static void fail(reader *r, const char *key, const char *expected) {
    if (r->status == RNL_OK)
        r->status =
            status_fail(r->error, RNL_ERR_FORMAT, "%s: %s%s should be %s; the file is damaged",
                        r->path, r->section, key, expected);
}

/* The first key of the list that is there; later ones are older or newer spellings. */
static const json *find(const reader *r, const char *const *keys) {
    for (; *keys != NULL; keys++) {
        const json *v = json_get(r->object, *keys);
        if (v != NULL && !json_is_null(v)) return v;
    }
    return NULL;
}

#define KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A whole number, which some programs write as 6.0. */
static bool whole(const json *v, int64_t min, int64_t max, int64_t *out) {
    double real;
    if (json_int(v, min, max, out)) return true;
    if (!json_number(v, &real) || !(real >= (double)min && real <= (double)max)) return false;
    *out = (int64_t)real;
    return (double)*out == real;
}

static int read_int(reader *r, const char *const *keys, int64_t min, int64_t max, int fallback) {
    const json *v = find(r, keys);
    int64_t value = fallback;
    if (v == NULL && fallback >= min) return fallback;
    if (v == NULL || !whole(v, min, max, &value)) {
        char expected[96];
        (void)snprintf(expected, sizeof expected, "a whole number from %lld to %lld",
                       (long long)min, (long long)max);
        fail(r, keys[0], expected);
    }
    return (int)value;
}

static double read_number(reader *r, const char *const *keys, double min, double max,
                          double fallback) {
    const json *v = find(r, keys);
    double value = fallback;
    if (v == NULL) return fallback;
    if (!json_number(v, &value) || !(value >= min && value <= max)) {
        char expected[96];
        (void)snprintf(expected, sizeof expected, "a number from %g to %g", min, max);
        fail(r, keys[0], expected);
    }
    return value;
}

static bool read_bool(reader *r, const char *const *keys, bool fallback) {
    const json *v = find(r, keys);
    bool value = fallback;
    if (v != NULL && !json_bool(v, &value)) fail(r, keys[0], "true or false");
    return value;
}

static bool string_is(const json *v, const char *text) {
    size_t size;
    const char *s = json_chars(v, &size);
    return s != NULL && size == strlen(text) && memcmp(s, text, size) == 0;
}

static bool string_has(const json *v, const char *part) {
    const char *s = json_chars(v, NULL);
    return s != NULL && strstr(s, part) != NULL;
}

/* layer_types, or the older full_attn_idxs, or attention everywhere (backbone.md 1.6). */
static void read_pattern(reader *r, stack_config *c) {
    const json *types = find(r, KEYS("layer_types"));
    const json *indices = find(r, KEYS("full_attn_idxs"));
    const stack_kind *others =
        types == NULL && indices == NULL ? &stack_attention : &stack_convolution;
    for (int i = 0; i < c->layer_count; i++) c->layers[i].kinds[STACK_OPERATOR] = others;
    if (types != NULL) {
        if (json_count(types) != (size_t)c->layer_count)
            fail(r, "layer_types", "a list with one entry per layer");
        for (int i = 0; i < c->layer_count && r->status == RNL_OK; i++) {
            const json *type = json_at(types, (size_t)i);
            if (string_is(type, "full_attention") || string_is(type, "sliding_attention"))
                c->layers[i].kinds[STACK_OPERATOR] = &stack_attention;
            else if (!string_is(type, "conv"))
                fail(r, "layer_types", "a list of 'conv', 'full_attention', 'sliding_attention'");
        }
        return;
    }
    for (size_t i = 0; i < json_count(indices); i++) {
        int64_t index;
        if (!whole(json_at(indices, i), 0, c->layer_count - 1, &index)) {
            fail(r, "full_attn_idxs", "a list of layer numbers");
            return;
        }
        c->layers[index].kinds[STACK_OPERATOR] = &stack_attention;
    }
}

static void read_stack(reader *r, stack_config *c, bool with_window) {
    stack_layer_config all = {.kinds = {NULL, &stack_dense}};
    memset(c, 0, sizeof *c);
    c->width = read_int(r, KEYS("hidden_size"), 1, 1 << 20, -1);
    c->layer_count = read_int(r, KEYS("num_hidden_layers"), 1, STACK_LAYER_CAP, -1);
    all.head_count = read_int(r, KEYS("num_attention_heads"), 1, 4096, -1);
    if (r->status != RNL_OK) return;
    all.kv_head_count = read_int(r, KEYS("num_key_value_heads"), 1, 4096, -1);
    all.head_width = read_int(r, KEYS("head_dim"), 2, 4096, c->width / all.head_count);
    all.taps = read_int(r, KEYS("conv_L_cache"), 1, 64, 3);
    c->eps = (float)read_number(r, KEYS("norm_eps"), 1e-12, 1, 1e-5);
    const json *rope = json_get(r->object, "rope_parameters");
    double base = 1e6;
    if (!json_number(json_get(rope, "rope_theta"), &base)) base = 1e6;
    all.rotary.base = read_number(r, KEYS("theta", "rope_theta"), 1, 1e12, base);
    all.rotary.pair_count = all.head_width / 2;
    if (with_window) all.window = read_int(r, KEYS("sliding_window"), 1, 1 << 20, -1);
    const int conv_dim = read_int(r, KEYS("conv_dim"), 1, 1 << 20, c->width);
    if (conv_dim != c->width) fail(r, "conv_dim", "equal to hidden_size");
    if (r->status != RNL_OK) return;
    stack_config_fill(c, &all);
    read_pattern(r, c);
    if (r->status == RNL_OK) r->status = stack_check(c, r->path, r->error);
}

/* Layers of experts behind the dense ones (family.md 1.2). */
static void read_experts(reader *r, stack_config *c) {
    stack_layer_config all = {0};
    if (r->status == RNL_OK && find(r, KEYS("layer_types")) == NULL)
        fail(r, "layer_types", "a list with one entry per layer");
    all.expert_count = read_int(r, KEYS("num_experts", "num_local_experts"), 1, 4096, -1);
    all.expert_used = read_int(r, KEYS("num_experts_per_tok"), 1, 64, -1);
    all.ff_width = read_int(r, KEYS("moe_intermediate_size"), 1, 1 << 20, -1);
    all.expert_norm = read_bool(r, KEYS("norm_topk_prob"), true);
    all.expert_scale = (float)read_number(r, KEYS("routed_scaling_factor"), -1e6, 1e6, 1);
    const int dense = read_int(r, KEYS("num_dense_layers"), 0, c->layer_count, 2);
    for (int i = dense; i < c->layer_count && r->status == RNL_OK; i++)
        config_set_experts(&c->layers[i], &all);
    if (r->status == RNL_OK) r->status = stack_check(c, r->path, r->error);
}

static bool is_vision(const json *root) {
    return json_get(root, "vision_config") != NULL;
}

/* Kinds of model that are known, and refused for now (the program's exit code 3). */
static rnl_status refuse_others(const json *root, const char *path, rnl_error *error) {
    const json *architecture = json_at(json_get(root, "architectures"), 0);
    if (is_vision(root) &&
        string_is(json_get(json_get(root, "text_config"), "model_type"), "lfm2_moe"))
        return status_fail(
            error, RNL_ERR_UNSUPPORTED,
            "%s: this is a vision model on a mixture of experts, which was never released and "
            "which Runnel does not run",
            path);
    if (architecture != NULL && !string_has(architecture, "Lfm2"))
        return status_fail(
            error, RNL_ERR_UNSUPPORTED,
            "%s: architecture '%s' is not an LFM2 model; Runnel runs LFM2, LFM2-Audio "
            "and LFM2.5-Audio",
            path, json_chars(architecture, NULL));
    return RNL_OK;
}

static bool has_experts(const json *root, const json *text) {
    return string_has(json_at(json_get(root, "architectures"), 0), "Moe") ||
           string_is(json_get(text, "model_type"), "lfm2_moe");
}

static void read_audio(reader *top, model_config *c) {
    c->codebook_count = read_int(top, KEYS("codebooks"), 1, RNL_CODEBOOK_CAP, 8);
    c->text_run = read_int(top, KEYS("interleaved_n_text"), 1, 64, 6);
    c->audio_run = read_int(top, KEYS("interleaved_n_audio"), 1, 256, 12);
    reader mel = *top, encoder = *top, depth = *top;
    mel.object = json_get(top->object, "preprocessor");
    mel.section = "preprocessor.";
    encoder.object = json_get(top->object, "encoder");
    encoder.section = "encoder.";
    /* Beside the original spellings those of transformers' own class, which has no preprocessor. */
    const int bins = read_int(&encoder, KEYS("num_mel_bins"), 1, 1024, 128);
    mel.status = encoder.status;
    c->feature_count = read_int(&mel, KEYS("features"), 1, 1024, bins);
    /* The front end is fixed in every released file; another one would be silently wrong. */
    if (read_int(&mel, KEYS("sample_rate"), 1, 1 << 20, 16000) != RNL_RATE_IN)
        fail(&mel, "sample_rate", "16000");
    if (read_int(&mel, KEYS("n_fft"), 1, 1 << 20, 512) != 512) fail(&mel, "n_fft", "512");
    encoder.status = mel.status;
    c->encoder_layer_count = read_int(&encoder, KEYS("n_layers", "num_hidden_layers"), 1, 1024, -1);
    c->encoder_head_count = read_int(&encoder, KEYS("n_heads", "num_attention_heads"), 1, 4096, -1);
    if (read_bool(&encoder, KEYS("xscaling", "scale_input"), false))
        fail(&encoder, "xscaling", "false");
    if (read_int(&encoder, KEYS("subsampling_factor"), 1, 64, 8) != 8)
        fail(&encoder, "subsampling_factor", "8");
    depth.object = json_get(top->object, "depthformer");
    depth.section = "depthformer.";
    depth.status = encoder.status;
    c->depth_layer_count = read_int(&depth, KEYS("layers"), 1, 1024, -1);
    c->depth_tied = read_bool(&depth, KEYS("tie"), true);
    c->has_encoder = true;
    top->status = depth.status;
}

/* What re-uploads say of themselves: MLX has a section "quantization", others one with a method. */
static void read_quantisation(model_config *c, const json *object) {
    const char *method =
        json_chars(json_get(json_get(object, "quantization_config"), "quant_method"), NULL);
    const json *mlx = json_get(object, "quantization");
    int64_t bits = 0;
    if (method != NULL)
        (void)snprintf(c->quantised_by, sizeof c->quantised_by, "%s", method);
    else if (json_is_object(mlx) && json_int(json_get(mlx, "bits"), 1, 64, &bits))
        (void)snprintf(c->quantised_by, sizeof c->quantised_by, "MLX, %d bits", (int)bits);
    else if (json_is_object(mlx))
        (void)snprintf(c->quantised_by, sizeof c->quantised_by, "MLX");
}

static rnl_status read_main(model_config *c, const json *root, const char *directory,
                            const char *path, rnl_error *error) {
    rnl_status status = refuse_others(root, path, error);
    if (status != RNL_OK) return status;
    reader top = {.object = root, .path = path, .section = "", .error = error};
    if (!json_is_object(root)) {
        fail(&top, "the file", "a JSON object");
        return top.status;
    }
    const json *inner = json_get(root, "lfm");
    reader text = top;
    if (inner != NULL) text.object = inner, text.section = "lfm.";
    if (is_vision(root)) text.object = json_get(root, "text_config"), text.section = "text_config.";
    c->text_run = 6; /* of audio models: read_audio */
    c->audio_run = 12;
    read_quantisation(c, text.object);
    if (c->quantised_by[0] == '\0') read_quantisation(c, root);
    read_stack(&text, &c->backbone, false);
    const bool experts = has_experts(root, text.object);
    if (experts && text.status == RNL_OK) read_experts(&text, &c->backbone);
    c->tied = read_bool(&text, KEYS("tie_embedding", "tie_word_embeddings"), experts);
    c->vocab_count = read_int(&text, KEYS("vocab_size"), 1, 1 << 24, -1);
    c->context_trained = read_int(&text, KEYS("max_position_embeddings"), 1, INT32_MAX, 128000);
    if (text.status == RNL_OK && is_vision(root)) return vision_read_hf(c, root, directory, error);
    if (text.status != RNL_OK || inner == NULL) return text.status;
    read_audio(&top, c);
    return top.status;
}

static rnl_status read_detokenizer(model_config *c, const char *directory, rnl_error *error) {
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/audio_detokenizer/config.json", directory);
    if (access(path, F_OK) != 0) return RNL_OK;
    json *root = NULL;
    const rnl_status status = json_read(path, CONFIG_SIZE_CAP, &root, error);
    if (status != RNL_OK) return status;
    reader r = {.object = root, .path = path, .section = "", .error = error};
    read_stack(&r, &c->detokenizer, true);
    c->codec = CODEC_LFM;
    json_destroy(&root);
    return r.status;
}

rnl_status source_hf_config(model_config *c, const char *directory, rnl_error *error) {
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/config.json", directory);
    if (access(path, F_OK) != 0)
        return status_fail(
            error, RNL_ERR_IO,
            "%s: there is no config.json in it; name a GGUF file or a complete Hugging "
            "Face model directory",
            directory);
    json *root = NULL;
    rnl_status status = json_read(path, CONFIG_SIZE_CAP, &root, error);
    if (status == RNL_OK) status = read_main(c, root, directory, path, error);
    json_destroy(&root);
    if (status != RNL_OK || c->codebook_count == 0) return status;
    return read_detokenizer(c, directory, error);
}

rnl_status source_mimi_config(model_config *c, const char *directory, rnl_error *error) {
    c->mimi_head_width = 64; /* audio.md 9.3, 9.5 */
    c->mimi_window = 250;
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/mimi_config.json", directory);
    if (access(path, F_OK) != 0) (void)snprintf(path, sizeof path, "%s/config.json", directory);
    json *root = NULL;
    const rnl_status status = json_read(path, CONFIG_SIZE_CAP, &root, error);
    if (status != RNL_OK) return status;
    const json *transformer = json_get(root, "transformer");
    if (transformer != NULL) {
        reader r = {.object = transformer, .path = path, .section = "transformer.", .error = error};
        const int width = read_int(&r, KEYS("d_model"), 1, 1 << 16, 512);
        const int heads = read_int(&r, KEYS("num_heads"), 1, 4096, 8);
        c->mimi_head_width = width / heads;
        c->mimi_window = read_int(&r, KEYS("context"), 1, 1 << 16, 250);
        json_destroy(&root);
        return r.status;
    }
    json_destroy(&root);
    return RNL_OK;
}
