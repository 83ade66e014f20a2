/* config.json of a Hugging Face directory -> model_config. audio.md 2, backbone.md 1.6. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/json_fields.h"
#include "core/status.h"
#include "engine/source.h"
#include "engine/vision_config.h"
#include "stack/kind.h"
#include "stack/stack_json.h"

enum { CONFIG_SIZE_CAP = 4 << 20, PATH_CAP = 4096 };

static bool string_has(const json *v, const char *part) {
    const char *s = json_chars(v, NULL);
    return s != NULL && strstr(s, part) != NULL;
}

/* Layers of experts behind the dense ones (family.md 1.2). */
static void read_experts(json_fields *r, stack_config *c) {
    stack_layer_config all = {0};
    if (r->status == RNL_OK && json_fields_find(r, JSON_KEYS("layer_types")) == NULL)
        json_fields_fail(r, "layer_types", "a list with one entry per layer");
    all.expert_count =
        json_fields_int(r, JSON_KEYS("num_experts", "num_local_experts"), 1, 4096, -1);
    all.expert_used = json_fields_int(r, JSON_KEYS("num_experts_per_tok"), 1, 64, -1);
    all.ff_width = json_fields_int(r, JSON_KEYS("moe_intermediate_size"), 1, 1 << 20, -1);
    all.expert_norm = json_fields_bool(r, JSON_KEYS("norm_topk_prob"), true);
    all.expert_scale =
        (float)json_fields_number(r, JSON_KEYS("routed_scaling_factor"), -1e6, 1e6, 1);
    const int dense = json_fields_int(r, JSON_KEYS("num_dense_layers"), 0, c->layer_count, 2);
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
        json_is_text(json_get(json_get(root, "text_config"), "model_type"), "lfm2_moe"))
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
           json_is_text(json_get(text, "model_type"), "lfm2_moe");
}

static void read_audio(json_fields *top, model_config *c) {
    c->codebook_count = json_fields_int(top, JSON_KEYS("codebooks"), 1, RNL_CODEBOOK_CAP, 8);
    c->text_run = json_fields_int(top, JSON_KEYS("interleaved_n_text"), 1, 64, 6);
    c->audio_run = json_fields_int(top, JSON_KEYS("interleaved_n_audio"), 1, 256, 12);
    json_fields mel = *top, encoder = *top, depth = *top;
    mel.object = json_get(top->object, "preprocessor");
    mel.section = "preprocessor.";
    encoder.object = json_get(top->object, "encoder");
    encoder.section = "encoder.";
    /* Beside the original spellings those of transformers' own class, which has no preprocessor. */
    const int bins = json_fields_int(&encoder, JSON_KEYS("num_mel_bins"), 1, 1024, 128);
    mel.status = encoder.status;
    c->feature_count = json_fields_int(&mel, JSON_KEYS("features"), 1, 1024, bins);
    /* The front end is fixed in every released file; another one would be silently wrong. */
    if (json_fields_int(&mel, JSON_KEYS("sample_rate"), 1, 1 << 20, 16000) != RNL_RATE_IN)
        json_fields_fail(&mel, "sample_rate", "16000");
    if (json_fields_int(&mel, JSON_KEYS("n_fft"), 1, 1 << 20, 512) != 512)
        json_fields_fail(&mel, "n_fft", "512");
    encoder.status = mel.status;
    c->encoder_layer_count =
        json_fields_int(&encoder, JSON_KEYS("n_layers", "num_hidden_layers"), 1, 1024, -1);
    c->encoder_head_count =
        json_fields_int(&encoder, JSON_KEYS("n_heads", "num_attention_heads"), 1, 4096, -1);
    if (json_fields_bool(&encoder, JSON_KEYS("xscaling", "scale_input"), false))
        json_fields_fail(&encoder, "xscaling", "false");
    if (json_fields_int(&encoder, JSON_KEYS("subsampling_factor"), 1, 64, 8) != 8)
        json_fields_fail(&encoder, "subsampling_factor", "8");
    depth.object = json_get(top->object, "depthformer");
    depth.section = "depthformer.";
    depth.status = encoder.status;
    c->depth_layer_count = json_fields_int(&depth, JSON_KEYS("layers"), 1, 1024, -1);
    c->depth_tied = json_fields_bool(&depth, JSON_KEYS("tie"), true);
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
    json_fields top = {.object = root, .path = path, .section = "", .error = error};
    if (!json_is_object(root)) {
        json_fields_fail(&top, "the file", "a JSON object");
        return top.status;
    }
    const json *inner = json_get(root, "lfm");
    json_fields text = top;
    if (inner != NULL) text.object = inner, text.section = "lfm.";
    if (is_vision(root)) text.object = json_get(root, "text_config"), text.section = "text_config.";
    c->text_run = 6; /* of audio models: read_audio */
    c->audio_run = 12;
    read_quantisation(c, text.object);
    if (c->quantised_by[0] == '\0') read_quantisation(c, root);
    stack_json_read(&text, &c->backbone, false);
    const bool experts = has_experts(root, text.object);
    if (experts && text.status == RNL_OK) read_experts(&text, &c->backbone);
    c->tied = json_fields_bool(&text, JSON_KEYS("tie_embedding", "tie_word_embeddings"), experts);
    c->vocab_count = json_fields_int(&text, JSON_KEYS("vocab_size"), 1, 1 << 24, -1);
    c->context_trained =
        json_fields_int(&text, JSON_KEYS("max_position_embeddings"), 1, INT32_MAX, 128000);
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
    json_fields r = {.object = root, .path = path, .section = "", .error = error};
    stack_json_read(&r, &c->detokenizer, true);
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
        json_fields r = {
            .object = transformer, .path = path, .section = "transformer.", .error = error};
        const int width = json_fields_int(&r, JSON_KEYS("d_model"), 1, 1 << 16, 512);
        const int heads = json_fields_int(&r, JSON_KEYS("num_heads"), 1, 4096, 8);
        c->mimi_head_width = width / heads;
        c->mimi_window = json_fields_int(&r, JSON_KEYS("context"), 1, 1 << 16, 250);
        json_destroy(&root);
        return r.status;
    }
    json_destroy(&root);
    return RNL_OK;
}
