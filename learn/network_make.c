/* Making a network: what learns, and its memory in one piece. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "learn/network.h"

static rnl_status check(const rnl_model *m, rnl_error *error) {
    if (!m->exact)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: to be trained a model is opened exact, and this one is not",
                           m->path);
    for (size_t i = 0; i < weights_count(m->source.w); i++)
        if (weights_is_used(m->source.w, i) && weights_at(m->source.w, i)->slabs != NULL)
            return status_fail(error, RNL_ERR_UNSUPPORTED,
                               "%s: the file is packed (convert --pack), from which nothing can be "
                               "trained; take the one it was made of",
                               m->path);
    const rnl_status status = learn_stack_check(&m->backbone.stack, m->path, error);
    if (status != RNL_OK || m->source.config.codebook_count == 0) return status;
    return learn_depth_check(&m->depth, m->path, error);
}

bool learn_bf16_kernels(const char *level, kernels *out) {
    unsigned features = kernels_cpu_features();
    if (level != NULL && !kernels_level(level, features, &features)) return false;
    if ((features & KERNELS_CPU_ROUNDS) == 0) return false;
    kernels_select(out, kernels_allowed(features));
    return out->gemm_t_bf16 != NULL;
}

static void layout_adapter(learn_network *n, learn_binder *b) {
    const adapter_weights *w = &n->model->adapter;
    const size_t rows = (size_t)n->config.row_cap, width = (size_t)w->up.col_count;
    const size_t hidden = (size_t)w->up.row_count, out = (size_t)w->out.row_count;
    const size_t rank = n->config.choice.full ? 0 : (size_t)n->config.choice.rank;
    learn_bind_vector(b, &n->adapter_gain, w->gain, (int64_t)width, "mm.a.mlp.0.weight");
    learn_bind_vector(b, &n->adapter_bias, w->bias, (int64_t)width, "mm.a.mlp.0.bias");
    learn_bind_linear(b, &n->adapter_up, &w->up, w->up_bias, LEARN_AUDIO, LEARN_ADAPTER_1,
                      "mm.a.mlp.1");
    learn_bind_linear(b, &n->adapter_out, &w->out, w->out_bias, LEARN_AUDIO, LEARN_ADAPTER_3,
                      "mm.a.mlp.3");
    n->heard_normed = arena_take(b->a, rows * width, sizeof(float));
    n->dheard = arena_take(b->a, rows * width, sizeof(float));
    n->heard_hidden = arena_take(b->a, rows * hidden, sizeof(float));
    n->heard_active = arena_take(b->a, rows * hidden, sizeof(float));
    n->dheard_hidden = arena_take(b->a, rows * hidden, sizeof(float));
    n->heard_out = arena_take(b->a, rows * out, sizeof(float));
    n->heard_low[0] = arena_take(b->a, rows * rank, sizeof(float));
    n->heard_low[1] = arena_take(b->a, rows * rank, sizeof(float));
    n->heard_dlow = arena_take(b->a, rows * rank, sizeof(float));
}

static void layout_audio(learn_network *n, learn_binder *b) {
    const backbone_weights *w = &n->model->backbone;
    const size_t books = (size_t)w->codebook_count;
    learn_bind_table(b, &n->audio_embedding, &w->audio_embedding,
                     "audio_embedding.embedding.weight");
    learn_depth_bind(&n->depth, b, &n->model->depth, n->config.thread_count);
    n->share = arena_take(b->a, books, sizeof *n->share);
    n->codes = arena_take(b->a, (size_t)n->config.row_cap * books, sizeof *n->codes);
}

static void layout_dropout(learn_network *n, arena *a) {
    const int books = n->model->backbone.codebook_count, frames = LEARN_DEPTH_FRAMES * books;
    const int rows = n->config.row_cap > frames ? n->config.row_cap : frames;
    n->dropout.share = n->config.choice.full ? 0 : n->config.choice.dropout;
    n->dropout.inputs = NULL;
    if (n->dropout.share > 0)
        n->dropout.inputs = arena_take(a, (size_t)rows * (size_t)n->model->col_max, sizeof(float));
}

static void layout(learn_network *n, arena *a) {
    const backbone_weights *w = &n->model->backbone;
    const size_t rows = (size_t)n->config.row_cap, width = (size_t)backbone_width(w);
    learn_binder b = {.t = &n->tensors, .w = n->model->source.w, .dropout = &n->dropout, .a = a};
    learn_bind_begin(&b);
    layout_dropout(n, a);
    learn_bind_table(&b, &n->embedding, &w->text_embedding, "token_embd.weight");
    n->tied = w->head.data == w->text_embedding.data;
    n->head = n->embedding;
    if (!n->tied) learn_bind_table(&b, &n->head, &w->head, "output.weight");
    if (n->has_adapter) layout_adapter(n, &b);
    learn_stack_bind(&n->stack, &b, &w->stack, LEARN_NAMES_BACKBONE, n->config.row_cap,
                     n->config.row_cap, n->config.keeps_all, n->config.thread_count);
    const char *norm = weights_find(b.w, "output_norm.weight") != NULL ? "output_norm.weight"
                                                                       : "token_embd_norm.weight";
    learn_bind_vector(&b, &n->final_norm, w->stack.final_norm, (int64_t)width, norm);
    if (n->has_audio) layout_audio(n, &b);
    learn_bind_adapter(&b, &n->head, LEARN_BACKBONE, LEARN_LM_HEAD, "output");
    learn_loss_layout(&n->loss, w->head.row_count,
                      n->config.choice.full ? 0 : (size_t)n->config.choice.rank, a);
    compute_layout(&n->compute, n->config.thread_count, n->model->col_max, a);
    n->dx = arena_take(a, rows * width, sizeof(float));
    n->hidden = arena_take(a, rows * width, sizeof(float));
    n->dhidden = arena_take(a, rows * width, sizeof(float));
    n->picked = arena_take(a, LEARN_LOSS_ROWS * width, sizeof(float));
    n->dpicked = arena_take(a, LEARN_LOSS_ROWS * width, sizeof(float));
    n->row = arena_take(a, width, sizeof(float));
    n->ratios = arena_take(a, 2 * rows, sizeof(float));
}

/* How much each codebook counts: as the file says, else as the official files do, the first a
 * hundred times the last and the others evenly between by their logarithms. learn.md 3.6. */
static void begin_shares(learn_network *n) {
    const int books = n->model->backbone.codebook_count;
    const tensor *stored = weights_find(n->model->source.w, "raw.audio_loss_weights");
    double sum = 0;
    for (int k = 0; k < books; k++) {
        float own;
        n->share[k] = exp((1 - (double)k / (books > 1 ? books - 1 : 1)) * log(100));
        if (stored != NULL && stored->foreign == NULL && stored->rank == 1 &&
            stored->shape[0] == books && quant_describe((uint32_t)stored->type)->is_weight) {
            const quant_info *info = quant_describe((uint32_t)stored->type);
            quant_dequantise(stored->type, stored->data + (size_t)k * info->block_size, &own, 1);
            n->share[k] = (double)own;
        }
        sum += n->share[k];
    }
    for (int k = 0; k < books; k++) n->share[k] /= sum;
}

static learn_network *begin(const rnl_model *m, const learn_config *config) {
    learn_network *n = calloc(1, sizeof *n);
    if (n == NULL) return NULL;
    n->model = m;
    n->config = *config;
    n->tensors.choice = config->choice;
    n->has_audio = m->source.config.codebook_count > 0;
    n->has_adapter = m->source.config.has_encoder;
    n->compute = (compute){.k = config->bf16 != NULL ? config->bf16 : &m->kernels,
                           .exact = config->bf16 == NULL,
                           .many = true,
                           .bf16 = config->bf16 != NULL,
                           .bf16_any = config->bf16 != NULL,
                           .fetch = (kernels_fetch)m->tuning.prefetch,
                           .block_size = (size_t)m->tuning.block_kib * 1024};
    return n;
}

static rnl_status no_memory(const rnl_model *m, rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "%s: memory for training is exhausted", m->path);
}

/* Made as far as its size is known. */
static rnl_status measure(const rnl_model *m, const learn_config *config, learn_network **out,
                          rnl_error *error) {
    *out = NULL;
    const rnl_status status = check(m, error);
    if (status != RNL_OK) return status;
    learn_network *n = begin(m, config);
    if (n == NULL) return no_memory(m, error);
    arena a = {0};
    layout(n, &a);
    n->size = a.size_used;
    if (a.overflowed || n->tensors.failed) {
        learn_network_destroy(&n);
        return no_memory(m, error);
    }
    *out = n;
    return RNL_OK;
}

rnl_status learn_network_size(const rnl_model *m, const learn_config *config, size_t *size,
                              rnl_error *error) {
    learn_network *n;
    const rnl_status status = measure(m, config, &n, error);
    if (status != RNL_OK) return status;
    *size = n->size;
    learn_network_destroy(&n);
    return RNL_OK;
}

rnl_status learn_network_create(const rnl_model *m, const learn_config *config, learn_network **out,
                                rnl_error *error) {
    learn_network *n;
    rnl_status status = measure(m, config, &n, error);
    if (status != RNL_OK) return status;
    n->memory = aligned_alloc(ARENA_ALIGN, (n->size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN);
    if (n->memory == NULL || pool_create(config->thread_count, &n->compute.pool) != RNL_OK) {
        learn_network_destroy(&n);
        return no_memory(m, error);
    }
    arena a = {.base = n->memory, .size_cap = n->size};
    layout(n, &a);
    learn_stack_begin(&n->stack);
    if (n->has_audio) {
        learn_depth_begin(&n->depth);
        begin_shares(n);
    }
    learn_tensors_begin(&n->tensors, &n->compute, config->seed);
    *out = n;
    return RNL_OK;
}

void learn_network_destroy(learn_network **n) {
    if (*n == NULL) return;
    pool_destroy(&(*n)->compute.pool);
    learn_tensors_free(&(*n)->tensors);
    free((*n)->memory);
    free(*n);
    *n = NULL;
}
