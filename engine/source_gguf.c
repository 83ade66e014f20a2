/* GGUF files: the official set (main, mmproj, vocoder, tokenizer; audio.md 10.3) or one bundle that
 * holds all of it. In a bundle the detokenizer's keys and tensors carry the prefix "detok.". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "engine/packed_file.h"
#include "engine/source.h"
#include "engine/vision_config.h"
#include "stack/kind.h"
#include "tokenizer/bpe_file.h"

enum { NAME_CAP = 512 };

static void close_file(void *file) {
    gguf *g = file;
    gguf_close(&g);
}

/* Opens one file and hands it to the weights set. */
static rnl_status open_part(source *s, const char *path, gguf **out, rnl_error *error) {
    rnl_status status = gguf_open(path, out, error);
    if (status != RNL_OK) return status;
    status = weights_own(s->w, *out, close_file);
    return status == RNL_OK ? RNL_OK : status_fail(error, status, "%s: memory is exhausted", path);
}

/* Tensors that no stage reads: left out, so that they neither count as weights nor get converted
 * (audio.md 6.1, 8.2, 10.3). The code table and window of a detokenizer have no prefix. */
static bool is_unused(const char *name) {
    const char *const unused[] = {
        "a.position_embd.weight",           "a.position_embd_norm.weight",
        "a.embd_to_logits.weight",          "audio_embedding.embedding_norm.weight",
        "audio_embedding.to_logits.weight", "detok.token_embd.weight"};
    for (size_t i = 0; i < sizeof unused / sizeof *unused; i++)
        if (strcmp(name, unused[i]) == 0) return true;
    return false;
}

static bool is_fused_experts(const char *name) {
    return strncmp(name, "blk.", 4) == 0 && strstr(name, ".ffn_gate_up_exps.weight") != NULL;
}

static rnl_status add_tensor(source *s, const gguf *g, size_t index, const char *name,
                             rnl_error *error) {
    tensor t = *gguf_tensor(g, index);
    if (is_unused(name)) return RNL_OK;
    /* A kernel of the tower over channels, rows and columns of a patch is a matrix. */
    if (strcmp(name, "v.patch_embd.weight") == 0 && t.rank == 4) {
        t.shape[1] *= t.shape[2] * t.shape[3]; /* their product fits, or the file was refused */
        t.shape[2] = t.shape[3] = 1;
        t.rank = 2;
    }
    const rnl_status status = packed_file_read(g, &t, error);
    if (status != RNL_OK) return status;
    t.name = name;
    if (is_fused_experts(name) && t.data != NULL)
        return source_split_experts(s, &t, gguf_path(g), error);
    return weights_add(s->w, &t, gguf_path(g), error);
}

/* The layer of "blk.N.attn_qkv.weight", or -1. */
static int fused_layer(const char *name) {
    int layer = -1, used = 0;
    if (sscanf(name, "blk.%5d.attn_qkv.weight%n", &layer, &used) != 1 || used == 0) return -1;
    return name[used] == '\0' ? layer : -1;
}

/* Queries, keys and values in one matrix (llama.cpp's --fuse-qkv): its rows as three. */
static rnl_status add_fused(source *s, const gguf *g, const tensor *fused, const char *prefix,
                            const stack_config *stack, rnl_error *error) {
    const char *const names[] = {"attn_q", "attn_k", "attn_v"};
    const int layer = fused_layer(fused->name);
    stack_layer_config l = {0};
    if (layer < stack->layer_count &&
        stack->layers[layer].kinds[STACK_OPERATOR] == &stack_attention)
        l = stack->layers[layer];
    const int64_t keys = (int64_t)l.kv_head_count * l.head_width;
    const int64_t rows[] = {(int64_t)l.head_count * l.head_width, keys, keys};
    if (fused->rank != 2 || keys == 0 || fused->shape[0] != rows[0] + 2 * keys)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: tensor '%s' has not the rows of %d query and %d key/value heads of "
                           "%d; the file is damaged or of another model",
                           gguf_path(g), fused->name, l.head_count, l.kv_head_count, l.head_width);
    const size_t row_size = fused->size / (size_t)fused->shape[0];
    tensor part = *fused;
    for (int i = 0; i < 3; i++) {
        char name[NAME_CAP];
        (void)snprintf(name, sizeof name, "%sblk.%d.%s.weight", prefix, layer, names[i]);
        part.name = name;
        part.shape[0] = rows[i];
        part.size = (size_t)rows[i] * row_size;
        const rnl_status status = weights_add(s->w, &part, gguf_path(g), error);
        if (status != RNL_OK) return status;
        part.data += part.size;
    }
    return RNL_OK;
}

/* stack: of the LFM2 layers in the file; NULL when it has none. */
static rnl_status add_tensors(source *s, const gguf *g, const char *prefix,
                              const stack_config *stack, rnl_error *error) {
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        char name[NAME_CAP];
        const tensor *t = gguf_tensor(g, i);
        if ((size_t)snprintf(name, sizeof name, "%s%s", prefix, t->name) >= sizeof name) continue;
        const rnl_status status = stack != NULL && fused_layer(t->name) >= 0
                                      ? add_fused(s, g, t, prefix, stack, error)
                                      : add_tensor(s, g, i, name, error);
        if (status != RNL_OK) return status;
    }
    return RNL_OK;
}

/* The vocoder's tensors. Those that the older converter put in of the detokenizer are taken when no
 * tokenizer file has them (source_merged.c). */
static rnl_status add_vocoder(source *s, const gguf *g, bool with_detokenizer, rnl_error *error) {
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        char name[NAME_CAP];
        const char *own = gguf_tensor(g, i)->name;
        const bool merged = strncmp(own, "lfm.", 4) == 0 || strncmp(own, "lin.", 4) == 0;
        if (merged && !with_detokenizer) continue;
        if (merged && !source_hf_name(HF_DETOKENIZER, own, name, sizeof name)) continue;
        const rnl_status status = add_tensor(s, g, i, merged ? name : own, error);
        if (status != RNL_OK) return status;
    }
    return RNL_OK;
}

static bool key_is(const gguf *g, const char *key, const char *text) {
    const char *value;
    size_t size;
    return gguf_string(g, key, &value, &size) && size == strlen(text) &&
           memcmp(value, text, size) == 0;
}

static rnl_status need_key(const gguf *g, const char *key, int64_t min, int64_t max, int *out,
                           rnl_error *error) {
    int64_t value;
    if (!gguf_int(g, key, min, max, &value))
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: key %s is missing or not a number from %lld to %lld; the file is "
                           "damaged",
                           gguf_path(g), key, (long long)min, (long long)max);
    *out = (int)value;
    return RNL_OK;
}

static rnl_status read_encoder(source *s, const gguf *g, rnl_error *error) {
    model_config *c = &s->config;
    if (vision_is_in_gguf(g)) return vision_read_gguf(c, g, error);
    if (!key_is(g, "clip.projector_type", "lfm2a"))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: this is not the encoder of an LFM2-Audio or LFM2-VL model "
                           "(clip.projector_type is neither lfm2a nor lfm2)",
                           gguf_path(g));
    rnl_status status =
        need_key(g, "clip.audio.block_count", 1, 1024, &c->encoder_layer_count, error);
    if (status == RNL_OK)
        status =
            need_key(g, "clip.audio.attention.head_count", 1, 4096, &c->encoder_head_count, error);
    if (status == RNL_OK)
        status = need_key(g, "clip.audio.num_mel_bins", 1, 1024, &c->feature_count, error);
    c->has_encoder = status == RNL_OK;
    return status;
}

/* The number of codebooks is that of depth_embeddings.K tensors. */
static int count_codebooks(const weights *w) {
    int count = 0;
    char name[64];
    do {
        (void)snprintf(name, sizeof name, "depth_embeddings.%d.embedding.weight", count);
    } while (weights_find(w, name) != NULL && ++count < RNL_CODEBOOK_CAP);
    return count;
}

static rnl_status read_depthformer(source *s, const gguf *g, rnl_error *error) {
    model_config *c = &s->config;
    const rnl_status status =
        need_key(g, "depthformer_n_layer", 1, 1024, &c->depth_layer_count, error);
    if (status != RNL_OK) return status;
    c->codebook_count = count_codebooks(s->w);
    if (c->codebook_count == 0)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: tensor depth_embeddings.0.embedding.weight is missing; the file is "
                           "damaged or no vocoder",
                           gguf_path(g));
    c->depth_tied = true;
    bool tied;
    if (gguf_bool(g, "runnel.depthformer.tied", &tied)) c->depth_tied = tied;
    return RNL_OK;
}

/* The Japanese checkpoint says so in one of its names; which, depends on who converted it. */
static bool is_japanese(const gguf *g) {
    const char *const keys[] = {"general.name", "general.finetune"};
    const char *text;
    size_t size;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (gguf_string(g, keys[i], &text, &size) && config_says_japanese(text, size)) return true;
    const char *slash = strrchr(gguf_path(g), '/');
    text = slash != NULL ? slash + 1 : gguf_path(g);
    return config_says_japanese(text, strlen(text));
}

static rnl_status read_main(source *s, const gguf *g, rnl_error *error) {
    model_config *c = &s->config;
    rnl_status status = config_read_lfm2(&c->backbone, g, "", error);
    if (status == RNL_OK) status = add_tensors(s, g, "", &c->backbone, error);
    if (status != RNL_OK) return status;
    const tensor *embedding = weights_find(s->w, "token_embd.weight");
    if (embedding == NULL || embedding->rank != 2 || embedding->shape[0] > 1 << 24)
        return status_fail(
            error, RNL_ERR_FORMAT,
            "%s: tensor token_embd.weight is missing or no matrix; the file is damaged",
            gguf_path(g));
    c->vocab_count = (int)embedding->shape[0];
    int64_t number;
    c->context_trained = config_read_context(g);
    const char *name;
    size_t size;
    if (gguf_string(g, "general.name", &name, &size) && size < sizeof c->name) {
        memcpy(c->name, name, size);
        c->name[size] = '\0';
        status_clean(c->name);
    }
    c->text_run = 6; /* audio.md 10.3 */
    c->japanese = is_japanese(g);
    c->audio_run = c->japanese ? 9 : 12;
    if (gguf_int(g, "runnel.interleave.text", 1, 64, &number)) c->text_run = (int)number;
    if (gguf_int(g, "runnel.interleave.audio", 1, 256, &number)) c->audio_run = (int)number;
    if (!gguf_has(g, "tokenizer.ggml.tokens")) {
        source_log(s, RNL_LOG_WARNING, "%s: no vocabulary: text cannot be read or written",
                   gguf_path(g));
        return RNL_OK;
    }
    status = bpe_from_gguf(g, c->vocab_count, &s->text, error);
    return status == RNL_OK ? source_chat_of_gguf(s, g, error) : status;
}

/* A file of a set besides the main one. */
typedef struct role {
    const char *what, *option; /* for sentences */
    const char *const *names;
    char *remark; /* [SOURCE_REMARK_CAP] */
} role;

#define ROLE_NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Opens the file that was named, or found beside the main file; *out NULL when neither. */
static rnl_status open_sibling(source *s, const char *main_path, const char *named, const role *r,
                               gguf **out, rnl_error *error) {
    *out = NULL;
    if (named != NULL) return open_part(s, named, out, error);
    source_part part;
    source_find_part(main_path, r->names, &part);
    if (part.rivals[0] != '\0' && r->remark[0] == '\0') {
        (void)snprintf(r->remark, SOURCE_REMARK_CAP,
                       "%s: %s lie beside it; name one of them (--%s)", r->what, part.rivals,
                       r->option);
        source_log(s, RNL_LOG_WARNING, "%s: %s", main_path, r->remark);
    }
    if (part.path[0] == '\0') return RNL_OK;
    if (!part.same_name)
        source_log(s, RNL_LOG_INFO, "%s: %s is taken from %s", main_path, r->what, part.path);
    return open_part(s, part.path, out, error);
}

/* The detokenizer: a file of its own, or what an older vocoder holds of it. */
static rnl_status read_detokenizer(source *s, const char *path, const gguf *tokenizer,
                                   const gguf *vocoder, rnl_error *error) {
    stack_config *c = &s->config.detokenizer;
    const bool merged = tokenizer == NULL && weights_find(s->w, "detok.dense_2.weight") != NULL;
    if (tokenizer != NULL || merged) s->config.codec = CODEC_LFM;
    if (merged) return source_merged_config(c, s->w, gguf_path(vocoder), error);
    if (tokenizer == NULL) {
        if (vocoder != NULL && s->sound_remark[0] == '\0')
            source_log(s, RNL_LOG_WARNING,
                       "%s: no tokenizer-*.gguf beside it: codes are made, but no sound", path);
        return RNL_OK;
    }
    const rnl_status status = config_read_lfm2(c, tokenizer, "", error);
    return status == RNL_OK ? add_tensors(s, tokenizer, "detok.", c, error) : status;
}

/* Without a vocoder: that of the first LFM2-Audio, which is no use, may lie there. */
static void look_for_v1(source *s, const char *path) {
    source_part part;
    source_find_part(path, ROLE_NAMES("audiodecoder"), &part);
    if (part.path[0] == '\0' && part.rivals[0] == '\0') return;
    (void)snprintf(
        s->sound_remark, sizeof s->sound_remark,
        "the sound: what lies beside it (audiodecoder-) is of LFM2-Audio v1, whose sound "
        "is read from its Hugging Face directory only");
    source_log(s, RNL_LOG_WARNING, "%s: %s", path, s->sound_remark);
}

static rnl_status read_set(source *s, const char *path, const rnl_model_config *files,
                           rnl_error *error) {
    const role encoder = {"the encoder", "mmproj", ROLE_NAMES("mmproj", "mmproj-audioencoder"),
                          s->encoder_remark};
    const role depth = {"the depthformer", "vocoder", ROLE_NAMES("vocoder"), s->sound_remark};
    const role sound = {"the detokenizer", "tokenizer", ROLE_NAMES("tokenizer"), s->sound_remark};
    gguf *mmproj, *vocoder, *tokenizer;
    rnl_status status = open_sibling(s, path, files->mmproj_path, &encoder, &mmproj, error);
    if (status == RNL_OK && mmproj != NULL) status = add_tensors(s, mmproj, "", NULL, error);
    if (status == RNL_OK && mmproj != NULL) status = read_encoder(s, mmproj, error);
    if (status == RNL_OK)
        status = open_sibling(s, path, files->vocoder_path, &depth, &vocoder, error);
    if (status == RNL_OK && vocoder == NULL) look_for_v1(s, path);
    if (status == RNL_OK)
        status = open_sibling(s, path, files->tokenizer_path, &sound, &tokenizer, error);
    if (status == RNL_OK && vocoder != NULL)
        status = add_vocoder(s, vocoder, tokenizer == NULL, error);
    if (status == RNL_OK && vocoder != NULL) status = read_depthformer(s, vocoder, error);
    return status == RNL_OK ? read_detokenizer(s, path, tokenizer, vocoder, error) : status;
}

static rnl_status read_bundle(source *s, const gguf *g, rnl_error *error) {
    model_config *c = &s->config;
    rnl_status status = RNL_OK;
    if (gguf_has(g, "clip.projector_type") || vision_is_in_gguf(g))
        status = read_encoder(s, g, error);
    if (status == RNL_OK && gguf_has(g, "depthformer_n_layer"))
        status = read_depthformer(s, g, error);
    if (status == RNL_OK && gguf_has(g, "detok.lfm2.block_count")) {
        c->codec = CODEC_LFM;
        status = config_read_lfm2(&c->detokenizer, g, "detok.", error);
    } else if (status == RNL_OK && gguf_has(g, "runnel.mimi.window")) {
        c->codec = CODEC_MIMI;
        status = need_key(g, "runnel.mimi.window", 1, 1 << 16, &c->mimi_window, error);
        if (status == RNL_OK)
            status = need_key(g, "runnel.mimi.head_width", 2, 4096, &c->mimi_head_width, error);
    }
    return status;
}

/* The tokenizer file has the keys of a text model, too: with outputs that are no tokens. */
static bool is_detokenizer(const gguf *g) {
    if (gguf_has(g, "lfm2.embedding_length_out")) return true;
    if (!key_is(g, "tokenizer.ggml.model", "none")) return false;
    for (size_t i = 0; i < gguf_tensor_count(g); i++)
        if (strcmp(gguf_tensor(g, i)->name, "dense_2.weight") == 0) return true;
    return false;
}

/* Files that are known but are not a main file: say which one is. */
static rnl_status refuse_others(const gguf *g, const char *path, rnl_error *error) {
    const char *slash = strrchr(path, '/');
    if (strncmp(slash != NULL ? slash + 1 : path, "audiodecoder-", 13) == 0)
        return status_fail(
            error, RNL_ERR_UNSUPPORTED,
            "%s: the GGUF set of LFM2-Audio v1 is not supported; convert its Hugging "
            "Face directory with `runnel convert`",
            path);
    if (gguf_has(g, "clip.projector_type") || vision_is_in_gguf(g) ||
        gguf_has(g, "depthformer_n_layer") || is_detokenizer(g))
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: this file holds one part of a model; name the main file (the one "
                           "without mmproj-, vocoder- or tokenizer- before its name)",
                           path);
    const char *name = "?";
    size_t size = 1;
    (void)gguf_string(g, "general.architecture", &name, &size);
    return status_fail(error, RNL_ERR_UNSUPPORTED,
                       "%s: architecture '%.*s' is not lfm2; Runnel runs LFM2, LFM2-Audio and "
                       "LFM2.5-Audio",
                       path, (int)(size < 64 ? size : 64), name);
}

rnl_status source_open_gguf(source *s, const char *path, const rnl_model_config *files,
                            rnl_error *error) {
    gguf *g = NULL;
    rnl_status status = open_part(s, path, &g, error);
    if (status != RNL_OK) return status;
    const bool bundle = gguf_has(g, "runnel.bundle");
    static const char *const known[] = {"lfm2", "lfm2moe", "runnel"};
    bool runs = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        runs = runs || key_is(g, "general.architecture", known[i]);
    if (!bundle && (!runs || is_detokenizer(g))) return refuse_others(g, path, error);
    s->kind = bundle ? "bundle" : "GGUF set";
    status = read_main(s, g, error);
    if (status == RNL_OK)
        status = bundle ? read_bundle(s, g, error) : read_set(s, path, files, error);
    if (status != RNL_OK) return status;
    config_defaults(&s->config);
    config_read_defaults(&s->config, g);
    return RNL_OK;
}
