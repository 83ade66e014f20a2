/* A Hugging Face directory: config.json, model.safetensors or shards, tokenizer.json,
 * audio_detokenizer/, the Mimi file (audio.md 2.3). Tensors keep their bytes; only the encoder's
 * batch norms are computed into the two vectors that the stages know. */
#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/safetensors.h"
#include "core/status.h"
#include "engine/source.h"
#include "tokenizer/bpe_file.h"

enum { PATH_CAP = 4096, NAME_CAP = 512 };

void source_log(const source *s, rnl_log_level level, const char *format, ...) {
    if (s->log == NULL) return;
    char text[RNL_ERROR_TEXT_CAP];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    status_clean(text);
    s->log(s->log_context, level, text);
}

static void close_file(void *file) {
    safetensors *f = file;
    safetensors_close(&f);
}

/* What is gathered while the main files are read. */
typedef struct gathered {
    size_t stranger_count;      /* tensors that have no canonical name, */
    char longest_stranger[128]; /* and the most telling of their names */
    source_experts *experts;
} gathered;

static void note_stranger(gathered *all, const char *name) {
    all->stranger_count++;
    if (strlen(name) > strlen(all->longest_stranger))
        (void)snprintf(all->longest_stranger, sizeof all->longest_stranger, "%s", name);
}

static bool is_expert(const char *name) {
    return strncmp(name, "experts.", 8) == 0;
}

/* A head of its own counts only where the checkpoint does not say that there is none
 * (family.md 1.4). */
static bool is_ignored(const source *s, const char *name) {
    return s->config.tied && strcmp(name, "output.weight") == 0;
}

/* Adds every tensor of one file that has a canonical name. all: of a main file; else NULL. */
static rnl_status add_file(source *s, const char *path, hf_part part, gathered *all,
                           rnl_error *error) {
    safetensors *file = NULL;
    rnl_status status = safetensors_open(path, &file, error);
    if (status != RNL_OK) return status;
    status = weights_own(s->w, file, close_file);
    if (status != RNL_OK) return status_fail(error, status, "%s: memory is exhausted", path);
    for (size_t i = 0; i < safetensors_tensor_count(file); i++) {
        tensor t = *safetensors_tensor(file, i);
        char name[NAME_CAP];
        if (!source_hf_name(part, t.name, name, sizeof name)) {
            if (all != NULL) note_stranger(all, t.name);
            continue;
        }
        if (is_ignored(s, name)) continue;
        if (all != NULL && is_expert(name)) {
            status = source_experts_take(all->experts, name, &t, path, error);
        } else {
            t.name = name;
            status = weights_add(s->w, &t, path, error);
        }
        if (status != RNL_OK) return status;
    }
    return RNL_OK;
}

typedef struct shard_job {
    source *s;
    const char *directory;
    gathered *all;
} shard_job;

static rnl_status add_shard(void *context, const char *name, rnl_error *error) {
    const shard_job *job = context;
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/%s", job->directory, name);
    return add_file(job->s, path, HF_MAIN, job->all, error);
}

/* Shards that lie there without an index: how many there should be, told by any of their names, 0
 * for none; of two sets the larger one, which then is incomplete. */
static int count_loose_shards(const char *directory) {
    DIR *d = opendir(directory);
    if (d == NULL) return 0;
    int total = 0;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        int number, count, used = 0;
        if (sscanf(e->d_name, "model-%5d-of-%5d.safetensors%n", &number, &count, &used) == 2 &&
            used > 0 && e->d_name[used] == '\0' && count > total)
            total = count;
    }
    closedir(d);
    return total;
}

static rnl_status add_loose_shards(shard_job *job, int count, rnl_error *error) {
    for (int i = 1; i <= count; i++) {
        char name[64], path[PATH_CAP];
        (void)snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", i, count);
        (void)snprintf(path, sizeof path, "%s/%s", job->directory, name);
        if (access(path, F_OK) != 0)
            return status_fail(error, RNL_ERR_IO,
                               "%s: this shard of the weights is missing; complete the download",
                               path);
        const rnl_status status = add_shard(job, name, error);
        if (status != RNL_OK) return status;
    }
    return RNL_OK;
}

static rnl_status add_shards(source *s, const char *directory, gathered *all, rnl_error *error) {
    shard_job job = {.s = s, .directory = directory, .all = all};
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/model.safetensors.index.json", directory);
    if (access(path, F_OK) == 0) return safetensors_each_shard(path, add_shard, &job, error);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", directory);
    const int loose = access(path, F_OK) != 0 ? count_loose_shards(directory) : 0;
    if (loose > 0) return add_loose_shards(&job, loose, error);
    return add_file(s, path, HF_MAIN, all, error);
}

/* The weights of every stage are there under names of the original layout, or all of another are:
 * said here, because a stage could only miss its first tensor. */
static rnl_status add_main(source *s, const char *directory, rnl_error *error) {
    gathered all = {.experts = source_experts_create(&s->config.backbone)};
    if (all.experts == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", directory);
    rnl_status status = add_shards(s, directory, &all, error);
    if (status == RNL_OK) status = source_experts_add(all.experts, s, directory, error);
    source_experts_destroy(&all.experts);
    if (status != RNL_OK || all.stranger_count == 0) return status;
    const bool audio = s->config.codebook_count > 0;
    if (weights_find(s->w, "token_embd.weight") != NULL &&
        (!audio || (weights_find(s->w, "a.conv1d.0.weight") != NULL &&
                    weights_find(s->w, "depth_linear.weight") != NULL)))
        return RNL_OK;
    return status_fail(
        error, RNL_ERR_UNSUPPORTED,
        "%s: %zu tensors (such as '%s') have other names than in the original layout, "
        "as when transformers' own class saved them; take the original checkpoint",
        directory, all.stranger_count, all.longest_stranger);
}

/* A checkpoint that says that it is quantised, and holds what no weights are read from: better said
 * at once than of the first such tensor. */
static rnl_status refuse_quantised(const source *s, const char *path, rnl_error *error) {
    if (s->config.quantised_by[0] == '\0') return RNL_OK;
    for (size_t i = 0; i < weights_count(s->w); i++) {
        const tensor *t = weights_at(s->w, i);
        if (t->foreign == NULL && t->type != QUANT_I8) continue;
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: this checkpoint is quantised (%s), which Runnel does not read "
                           "(tensor '%s' is %s); take the original model",
                           path, s->config.quantised_by, t->name,
                           t->foreign != NULL ? t->foreign : "I8");
    }
    return RNL_OK;
}

/* The name of the Mimi file: tokenizer-*.safetensors (audio.md 2.3). False when there is none. */
static bool find_mimi(const char *directory, char *path, size_t cap) {
    DIR *d = opendir(directory);
    if (d == NULL) return false;
    bool found = false;
    for (const struct dirent *e = readdir(d); e != NULL && !found; e = readdir(d)) {
        const char *ending = ".safetensors";
        const size_t length = strlen(e->d_name), tail = strlen(ending);
        found = strncmp(e->d_name, "tokenizer-", 10) == 0 && length > tail &&
                strcmp(e->d_name + length - tail, ending) == 0 &&
                (size_t)snprintf(path, cap, "%s/%s", directory, e->d_name) < cap;
    }
    closedir(d);
    return found;
}

static rnl_status add_codec(source *s, const char *directory, rnl_error *error) {
    char path[PATH_CAP];
    if (s->config.codec == CODEC_LFM) {
        (void)snprintf(path, sizeof path, "%s/audio_detokenizer/model.safetensors", directory);
        return add_file(s, path, HF_DETOKENIZER, NULL, error);
    }
    if (!find_mimi(directory, path, sizeof path))
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: there is neither audio_detokenizer/ nor a tokenizer-*.safetensors "
                           "(Mimi) in it, so no sound can be made; complete the download",
                           directory);
    s->config.codec = CODEC_MIMI;
    const rnl_status status = source_mimi_config(&s->config, directory, error);
    return status == RNL_OK ? add_file(s, path, HF_MIMI, NULL, error) : status;
}

/* Batch norm at rest is y = A x + B with A = g / sqrt(v + 1e-5), B = b - m A (audio.md 4.3). */
static rnl_status fold_batch_norm(source *s, const char *path, int layer, rnl_error *error) {
    loader l = {.w = s->w, .prefix = "", .file = path, .error = error, .aside = true};
    char name[64];
    (void)snprintf(name, sizeof name, "raw.blk.%d.batch_norm.weight", layer);
    const tensor *gain_tensor = weights_find(s->w, name);
    const int64_t width = gain_tensor != NULL && gain_tensor->rank == 1 ? gain_tensor->shape[0] : 0;
    const float *gain = load_vector(&l, width, "raw.blk.%d.batch_norm.weight", layer);
    const float *bias = load_vector(&l, width, "raw.blk.%d.batch_norm.bias", layer);
    const float *mean = load_vector(&l, width, "raw.blk.%d.batch_norm.running_mean", layer);
    const float *variance = load_vector(&l, width, "raw.blk.%d.batch_norm.running_var", layer);
    if (l.status != RNL_OK) return l.status;
    float *folded = malloc((size_t)width * 2 * sizeof *folded);
    if (folded == NULL || weights_own(s->w, folded, free) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    for (int64_t i = 0; i < width; i++) {
        folded[i] = (float)((double)gain[i] / sqrt((double)variance[i] + 1e-5));
        folded[width + i] = bias[i] - mean[i] * folded[i];
    }
    const char *const endings[] = {"weight", "bias"};
    for (int part = 0; part < 2; part++) {
        (void)snprintf(name, sizeof name, "a.blk.%d.conv_norm.%s", layer, endings[part]);
        const tensor t = {.name = name,
                          .data = (const unsigned char *)(folded + part * width),
                          .type = QUANT_F32,
                          .rank = 1,
                          .shape = {width, 1, 1, 1},
                          .size = (size_t)width * sizeof *folded};
        const rnl_status status = weights_add(s->w, &t, path, error);
        if (status != RNL_OK) return status;
    }
    return RNL_OK;
}

/* The kernel of the patches [width, 768], whose columns are (row, column, channel), as the files of
 * every other layout have it: (channel, row, column). */
static rnl_status turn_patches(source *s, const char *path, rnl_error *error) {
    const tensor *raw = weights_find(s->w, "raw.v.patch_embd.weight");
    enum { AREA = VIEWS_PATCH * VIEWS_PATCH, COLS = 3 * AREA };
    const size_t element = raw != NULL ? quant_describe((uint32_t)raw->type)->block_size : 0;
    if (raw == NULL || raw->foreign != NULL || raw->rank != 2 || raw->shape[1] != COLS ||
        quant_describe((uint32_t)raw->type)->block_len != 1)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: tensor 'vision_tower...patch_embedding.weight' is missing or not "
                           "[width, %d]; the file is damaged",
                           path, COLS);
    unsigned char *turned = malloc(raw->size);
    if (turned == NULL || weights_own(s->w, turned, free) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    for (size_t row = 0; row < (size_t)raw->shape[0]; row++)
        for (size_t at = 0; at < AREA; at++)
            for (size_t channel = 0; channel < 3; channel++)
                memcpy(turned + (row * COLS + channel * AREA + at) * element,
                       raw->data + (row * COLS + at * 3 + channel) * element, element);
    tensor t = *raw;
    t.name = "v.patch_embd.weight";
    t.data = turned;
    return weights_add(s->w, &t, path, error);
}

static rnl_status add_vocabulary(source *s, const char *directory, rnl_error *error) {
    char path[PATH_CAP];
    (void)snprintf(path, sizeof path, "%s/tokenizer.json", directory);
    if (access(path, F_OK) == 0) {
        int moved;
        const rnl_status status =
            bpe_from_json(path, s->config.vocab_count, &s->text, &moved, error);
        if (status == RNL_OK && moved > 0)
            source_log(s, RNL_LOG_WARNING,
                       "%s: %d added tokens have ids that model.vocab gives to other text, or that "
                       "the model has not: they got other ids, or were left out",
                       path, moved);
        return status;
    }
    source_log(s, RNL_LOG_WARNING, "%s: no tokenizer.json: text cannot be read or written",
               directory);
    return RNL_OK;
}

rnl_status source_open_hf(source *s, const char *path, rnl_error *error) {
    s->kind = "Hugging Face directory";
    rnl_status status = source_hf_config(&s->config, path, error);
    if (status == RNL_OK) status = add_main(s, path, error);
    if (status == RNL_OK) status = refuse_quantised(s, path, error);
    if (status == RNL_OK && s->config.codebook_count > 0) status = add_codec(s, path, error);
    for (int i = 0; i < s->config.encoder_layer_count && status == RNL_OK; i++)
        status = fold_batch_norm(s, path, i, error);
    if (status == RNL_OK && s->config.has_tower) status = turn_patches(s, path, error);
    if (status == RNL_OK) status = add_vocabulary(s, path, error);
    if (status == RNL_OK) status = source_chat_of_hf(s, path, error);
    if (status != RNL_OK) return status;
    source_folder_name(path, s->config.name, sizeof s->config.name);
    status_clean(s->config.name);
    s->config.japanese = config_says_japanese(s->config.name, strlen(s->config.name));
    config_defaults(&s->config);
    return RNL_OK;
}
