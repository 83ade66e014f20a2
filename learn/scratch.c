/* Matrices begin as N(0, 1 / sqrt inputs), those that write to the residual divided by sqrt(2
 * layers), the embedding as N(0, 1 / sqrt width), taps as N(0, 1 / sqrt taps); norms are 1. State
 * spaces: learn.md 6.5. */
#include "learn/scratch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"
#include "core/status.h"
#include "engine/convert.h"
#include "stack/kind.h"
#include "stack/stack_json.h"
#include "tokenizer/bpe_file.h"

enum { PATH_CAP = 4096, NAME_CAP = 128 };

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

/* A tensor of rows x cols; deviation 0: ones. The values, owned by the set; NULL on failure. */
static float *add(scratch *s, const char *name, int64_t rows, int64_t cols, double deviation) {
    if (s->status != RNL_OK) return NULL;
    const size_t count = (size_t)rows * (size_t)cols;
    float *values = malloc(count * sizeof *values);
    if (values == NULL || weights_own(s->model.source.w, values, free) != RNL_OK) {
        s->status = status_fail(s->error, RNL_ERR_MEMORY, "memory for the weights is exhausted");
        return NULL;
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
    return values;
}

static bool ends(const char *name, const char *ending) {
    const size_t size = strlen(name), tail = strlen(ending);
    return size >= tail && strcmp(name + size - tail, ending) == 0;
}

/* Paces from 1 to 16, evenly over the heads, as logarithms. */
static void fill_paces(float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)log(count > 1 ? 1 + 15.0 * (double)i / (double)(count - 1) : 1);
}

/* What softplus makes steps of between 0.001 and 0.1, evenly in their logarithms. */
static void fill_steps(scratch *s, float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        const double step = 1e-3 * pow(100, random_unit(&s->random));
        values[i] = (float)(step + log(-expm1(-step)));
    }
}

static void add_layer_tensor(scratch *s, const stack_weights *w, int layer, stack_place place,
                             const stack_tensor *t) {
    char name[NAME_CAP];
    if (t->form == STACK_MATRIX_IF || t->form == STACK_VECTOR_IF) return;
    if (!stack_has_tensor(&w->config.layers[layer], place, t)) return;
    (void)snprintf(name, sizeof name, "blk.%d.%s", layer, t->name);
    const int64_t rows = t->rows(w, layer), cols = t->cols(w, layer);
    const bool writes = ends(name, "attn_output.weight") || ends(name, "out_proj.weight") ||
                        ends(name, "ssm_out.weight") || ends(name, "ffn_down.weight");
    const bool paces = ends(name, "ssm_a_log"), steps = ends(name, "ssm_dt.bias");
    const bool ones = ends(name, "norm.weight") || ends(name, "ssm_d") || paces || steps;
    double deviation = ones ? 0 : 1 / sqrt((double)cols);
    if (writes) deviation /= sqrt(2.0 * w->config.layer_count);
    float *values = add(s, name, rows, cols, deviation);
    if (values != NULL && paces) fill_paces(values, rows);
    if (values != NULL && steps) fill_steps(s, values, rows);
}

static void add_tensors(scratch *s, bool tied) {
    const model_config *c = &s->model.source.config;
    const stack_weights *w = &s->model.backbone.stack;
    const int width = c->backbone.width;
    char name[NAME_CAP];
    (void)add(s, "token_embd.weight", c->vocab_count, width, 1 / sqrt(width));
    if (!tied) (void)add(s, "output.weight", c->vocab_count, width, 1 / sqrt(width));
    for (int i = 0; i < c->backbone.layer_count; i++) {
        (void)snprintf(name, sizeof name, "blk.%d.attn_norm.weight", i);
        (void)add(s, name, width, 1, 0);
        (void)snprintf(name, sizeof name, "blk.%d.ffn_norm.weight", i);
        (void)add(s, name, width, 1, 0);
        for (int p = 0; p < STACK_PLACE_COUNT; p++) {
            const stack_kind *kind = c->backbone.layers[i].kinds[p];
            for (int t = 0; t < kind->tensor_count; t++)
                add_layer_tensor(s, w, i, (stack_place)p, &kind->tensors[t]);
        }
    }
    (void)add(s, "token_embd_norm.weight", width, 1, 0);
}

/* What a reader of files takes from the tensors: the width of the feed-forward parts, and whether
 * the head is the embedding. */
static rnl_status read_shape(scratch *s, const char *directory, bool *tied) {
    char path[PATH_CAP];
    stack_json_model model = {0};
    (void)snprintf(path, sizeof path, "%s/config.json", directory);
    const rnl_status status =
        stack_json_load(path, &s->model.source.config.backbone, &model, s->error);
    *tied = model.tied;
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
    if (status == RNL_OK && tokens != NULL)
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
