/* Matrices begin as N(0, 1 / sqrt inputs), those that write to the residual divided by sqrt(2
 * layers), the embedding as N(0, 1 / sqrt width), taps as N(0, 1 / sqrt taps); norms are 1. */
#include "learn/scratch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/random.h"
#include "core/status.h"
#include "engine/convert.h"
#include "stack/kind.h"
#include "tokenizer/bpe_file.h"

enum { PATH_CAP = 4096, NAME_CAP = 128, CONFIG_CAP = 4 << 20 };

typedef struct scratch {
    rnl_model model; /* as far as convert_model looks at it */
    random_state random;
    rnl_status status;
    rnl_error *error;
} scratch;

static double normal(random_state *r) {
    const double u = 1 - random_unit(r), angle = 6.283185307179586477 * random_unit(r);
    return sqrt(-2 * log(u)) * cos(angle);
}

/* A tensor of rows x cols; deviation 0: ones. */
static void add(scratch *s, const char *name, int64_t rows, int64_t cols, double deviation) {
    if (s->status != RNL_OK) return;
    const size_t count = (size_t)rows * (size_t)cols;
    float *values = malloc(count * sizeof *values);
    if (values == NULL || weights_own(s->model.source.w, values, free) != RNL_OK) {
        s->status = status_fail(s->error, RNL_ERR_MEMORY, "memory for the weights is exhausted");
        return;
    }
    for (size_t i = 0; i < count; i++)
        values[i] = deviation == 0 ? 1 : (float)(deviation * normal(&s->random));
    const tensor t = {.name = name,
                      .data = (const unsigned char *)values,
                      .type = QUANT_F32,
                      .rank = cols > 1 ? 2 : 1,
                      .shape = {rows, cols, 1, 1},
                      .size = count * sizeof *values};
    s->status = weights_add(s->model.source.w, &t, "random weights", s->error);
}

static bool ends(const char *name, const char *ending) {
    const size_t size = strlen(name), tail = strlen(ending);
    return size >= tail && strcmp(name + size - tail, ending) == 0;
}

static void add_layer_tensor(scratch *s, const stack_weights *w, int layer, const stack_tensor *t) {
    char name[NAME_CAP];
    if (t->form == STACK_MATRIX_IF || t->form == STACK_VECTOR_IF) return;
    (void)snprintf(name, sizeof name, "blk.%d.%s", layer, t->name);
    const int64_t rows = t->rows(w, layer), cols = t->cols(w, layer);
    const bool writes = ends(name, "attn_output.weight") || ends(name, "out_proj.weight") ||
                        ends(name, "ffn_down.weight");
    double deviation = ends(name, "norm.weight") ? 0 : 1 / sqrt((double)cols);
    if (writes) deviation /= sqrt(2.0 * w->config.layer_count);
    add(s, name, rows, cols, deviation);
}

static void add_tensors(scratch *s, bool tied) {
    const model_config *c = &s->model.source.config;
    const stack_weights *w = &s->model.backbone.stack;
    const int width = c->backbone.width;
    char name[NAME_CAP];
    add(s, "token_embd.weight", c->vocab_count, width, 1 / sqrt(width));
    if (!tied) add(s, "output.weight", c->vocab_count, width, 1 / sqrt(width));
    for (int i = 0; i < c->backbone.layer_count; i++) {
        (void)snprintf(name, sizeof name, "blk.%d.attn_norm.weight", i);
        add(s, name, width, 1, 0);
        (void)snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", i);
        add(s, name, width, 1, 0);
        for (int p = 0; p < STACK_PLACE_COUNT; p++) {
            const stack_kind *kind = c->backbone.layers[i].kinds[p];
            for (int t = 0; t < kind->tensor_count; t++)
                add_layer_tensor(s, w, i, &kind->tensors[t]);
        }
    }
    add(s, "token_embd_norm.weight", width, 1, 0);
}

/* What a reader of files takes from the tensors: the width of the feed-forward parts, by the
 * config's own rule, and whether the head is the embedding. */
static rnl_status read_shape(scratch *s, const char *directory, bool *tied) {
    char path[PATH_CAP];
    json *root = NULL;
    stack_config *c = &s->model.source.config.backbone;
    (void)snprintf(path, sizeof path, "%s/config.json", directory);
    rnl_status status = json_read(path, CONFIG_CAP, &root, s->error);
    if (status != RNL_OK) return status;
    int64_t ff = 0, multiple = 256;
    double factor = 1;
    bool adjusts = true;
    *tied = true;
    if (!json_int(json_get(root, "intermediate_size"), 1, 1 << 20, &ff) &&
        !json_int(json_get(root, "block_ff_dim"), 1, 1 << 20, &ff))
        status = status_fail(s->error, RNL_ERR_FORMAT,
                             "%s: intermediate_size is missing, or no whole number from 1 to 2^20",
                             path);
    (void)json_bool(json_get(root, "block_auto_adjust_ff_dim"), &adjusts);
    (void)json_int(json_get(root, "block_multiple_of"), 1, 1 << 16, &multiple);
    (void)json_number(json_get(root, "block_ffn_dim_multiplier"), &factor);
    if (!json_bool(json_get(root, "tie_word_embeddings"), tied))
        (void)json_bool(json_get(root, "tie_embedding"), tied);
    json_destroy(&root);
    if (adjusts) { /* backbone.md 1.5 */
        ff = (int64_t)(factor * (double)(2 * ff / 3));
        ff = (ff + multiple - 1) / multiple * multiple;
    }
    if (status == RNL_OK && (ff < 1 || ff > 1 << 20))
        status = status_fail(s->error, RNL_ERR_FORMAT,
                             "%s: intermediate_size comes to %lld, outside 1 to 2^20", path,
                             (long long)ff);
    for (int i = 0; i < c->layer_count; i++) c->layers[i].ff_width = ff;
    return status;
}

static rnl_status check(const scratch *s, const char *directory) {
    const model_config *c = &s->model.source.config;
    bool plain = c->codebook_count == 0 && !c->has_encoder && !c->has_tower;
    for (int i = 0; i < c->backbone.layer_count; i++)
        plain = plain && c->backbone.layers[i].kinds[STACK_FEED_FORWARD] == &stack_dense;
    if (plain) return RNL_OK;
    return status_fail(s->error, RNL_ERR_UNSUPPORTED,
                       "%s: only dense text models begin from nothing; take a config.json with "
                       "model_type lfm2",
                       directory);
}

static rnl_status fill(scratch *s, const char *directory, const char *tokens) {
    source *from = &s->model.source;
    bool tied;
    rnl_status status = source_hf_config(&from->config, directory, s->error);
    if (status == RNL_OK) status = check(s, directory);
    if (status == RNL_OK) status = read_shape(s, directory, &tied);
    if (status == RNL_OK) status = stack_check(&from->config.backbone, directory, s->error);
    if (status == RNL_OK)
        status = bpe_from_json(tokens, from->config.vocab_count, &from->text, NULL, s->error);
    if (status == RNL_OK) status = source_chat_of_hf(from, directory, s->error);
    if (status != RNL_OK) return status;
    source_folder_name(directory, from->config.name, sizeof from->config.name);
    status_clean(from->config.name);
    s->model.backbone.stack.config = from->config.backbone;
    add_tensors(s, tied);
    return s->status;
}

rnl_status learn_scratch_write(const char *directory, const char *tokens, uint64_t seed,
                               int thread_count, const char *path, rnl_error *error) {
    scratch *s = calloc(1, sizeof *s);
    if (s == NULL || weights_create(&s->model.source.w) != RNL_OK) {
        free(s);
        return status_fail(error, RNL_ERR_MEMORY, "memory for the weights is exhausted");
    }
    s->error = error;
    s->model.path = (char *)directory;
    random_seed(&s->random, seed);
    rnl_status status = fill(s, directory, tokens);
    const convert_config config = {.path = path, .thread_count = thread_count};
    if (status == RNL_OK) status = convert_model(&s->model, &config, error);
    bpe_destroy(&s->model.source.text);
    free(s->model.source.chat_template);
    weights_destroy(&s->model.source.w);
    free(s);
    return status;
}
