/* The parts of a model and the files they go to:
 *
 *     main       backbone, vocabulary        NAME.gguf
 *     mmproj     encoder and adapter, or     mmproj-NAME.gguf
 *                tower and projector
 *     vocoder    depthformer, code tables    vocoder-NAME.gguf
 *     tokenizer  the detokenizer's LFM2      tokenizer-NAME.gguf
 *
 * In a bundle all of it is one file and the detokenizer's names carry "detok.". audio.md 10.3. */
#include "engine/convert.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"
#include "core/status.h"
#include "engine/convert_merge.h"
#include "engine/model_part.h"
#include "engine/packed_file.h"
#include "engine/vision_config.h"
#include "stack/kind.h"
#include "tokenizer/bpe_file.h"

enum {
    PATH_CAP = 4096,
    BATCH = 1 << 18 /* elements converted between two calls of progress: some 10 ms */
};

typedef enum set_file {
    FILE_MAIN,
    FILE_ENCODER,
    FILE_VOCODER,
    FILE_DETOKENIZER,
    FILE_COUNT
} set_file;

static const char *const file_prefixes[FILE_COUNT] = {"", "mmproj-", "vocoder-", "tokenizer-"};

typedef struct writing {
    const rnl_model *m;
    const convert_config *config;
    gguf_writer *files[FILE_COUNT]; /* of a bundle only the first */
    pool *pool;
    float *values;       /* [thread_count, row_cap] one row for each thread */
    size_t row_cap;      /* elements of the longest row */
    unsigned char *rows; /* a batch of rows, or of slabs, as they are written */
    unsigned char *own;  /* packing: [thread_count, PACKED_ROWS, row_cap * 2 bytes] of one slab */
    merge merge;         /* of the tensor at hand */
    float *back;         /* as values: rows read again; NULL without an adapter */
    size_t done, total;  /* bytes read */
} writing;

static bool starts(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *name, const char *ending) {
    const size_t size = strlen(name), tail = strlen(ending);
    return size >= tail && strcmp(name + size - tail, ending) == 0;
}

/* The file of the official set that a tensor lies in. */
static set_file file_of(const char *name) {
    switch (part_of(name)) {
    case PART_ENCODER:
    case PART_TOWER:
        return FILE_ENCODER;
    case PART_DEPTH:
        return FILE_VOCODER;
    case PART_CODEC: /* its tables lie beside the depthformer */
        return starts(name, "detok.") ? FILE_DETOKENIZER : FILE_VOCODER;
    default:
        return FILE_MAIN;
    }
}

static bool is_written(const rnl_model *m, const tensor *t) {
    /* Tied heads are copies of the embeddings; raw batch norms were folded by source_hf.c. */
    if (m->source.config.depth_tied && starts(t->name, "depth_embeddings.") &&
        ends(t->name, ".to_logits.weight"))
        return false;
    /* What could not be read, no stage has asked for. */
    return !starts(t->name, "raw.") && t->foreign == NULL &&
           quant_describe((uint32_t)t->type)->is_weight;
}

/* What the kinds of layers know of a tensor; NULL: it is of no layer. */
static const stack_tensor *layer_tensor(const rnl_model *m, const tensor *t) {
    const model_config *c = &m->source.config;
    const bool inner = starts(t->name, "detok.");
    int layer;
    return stack_find_tensor(inner ? &c->detokenizer : &c->backbone,
                             inner ? t->name + strlen("detok.") : t->name, &layer);
}

/* Matrices of one shape, [count, rows, cols]. */
static bool is_stack(const rnl_model *m, const tensor *t) {
    const stack_tensor *known = t->rank == 3 ? layer_tensor(m, t) : NULL;
    return known != NULL && known->form == STACK_MATRICES;
}

/* The shape in GGUF: dimensions of one element vanish, but for stacks of matrices, the 2-D
 * convolutions and their biases, which the official converter keeps (audio.md 10.3). Mimi stays as
 * it is. */
static int shape_of(const rnl_model *m, const tensor *t, int64_t *shape) {
    if (starts(t->name, "a.conv1d.") && t->rank == 1) {
        shape[0] = t->shape[0];
        shape[1] = shape[2] = 1;
        return 3;
    }
    if (strcmp(t->name, "v.patch_embd.weight") == 0) { /* a kernel again, as others have it */
        shape[0] = t->shape[0];
        shape[1] = 3;
        shape[2] = shape[3] = VIEWS_PATCH;
        return 4;
    }
    const bool keep = starts(t->name, "a.conv1d.") || starts(t->name, "mimi.") || is_stack(m, t);
    int rank = 0;
    for (int i = 0; i < t->rank; i++)
        if (keep || t->shape[i] != 1) shape[rank++] = t->shape[i];
    if (rank == 0) shape[rank++] = 1;
    return rank;
}

/* What kinds of layers take as vectors, whatever its shape (taps of a convolution, routers). */
static bool is_layer_vector(const rnl_model *m, const tensor *t) {
    const stack_tensor *known = layer_tensor(m, t);
    return known != NULL && (known->form == STACK_VECTOR || known->form == STACK_VECTOR_IF);
}

/* The type a tensor is written in. */
static quant_type type_of(const writing *job, const tensor *t) {
    const rnl_model *m = job->m;
    int64_t shape[TENSOR_RANK_CAP];
    const int rank = shape_of(m, t, shape);
    /* Vectors, norms, positions and convolutions stay float32 (backbone.md 6.6, audio.md 10.3). */
    if ((rank != 2 && !is_stack(m, t)) || ends(t->name, ".bias") || ends(t->name, "norm.weight") ||
        ends(t->name, "conv_dw.weight") || ends(t->name, "pos_bias_u") ||
        ends(t->name, "pos_bias_v") || starts(t->name, "mimi.") ||
        strcmp(t->name, "v.position_embd.weight") == 0 || is_layer_vector(m, t))
        return QUANT_F32;
    const recipe *r = job->config->recipe;
    if (file_of(t->name) == FILE_ENCODER && job->config->encoder_recipe != NULL)
        r = job->config->encoder_recipe;
    if (r == NULL) return t->type;
    return recipe_type(r, &m->source.config.backbone,
                       weights_find(m->source.w, "output.weight") != NULL, t->name,
                       shape[rank - 1]);
}

/* Matrices that are multiplied by; tables are only read by rows. */
static bool is_packed(const writing *job, const tensor *t) {
    const rnl_model *m = job->m;
    int64_t shape[TENSOR_RANK_CAP];
    if (!job->config->packs || (shape_of(m, t, shape) != 2 && !is_stack(m, t))) return false;
    if (packed_describe(type_of(job, t))->low_bits == 0) return false;
    if (strcmp(t->name, "token_embd.weight") == 0)
        return weights_find(m->source.w, "output.weight") == NULL;
    if (starts(t->name, "depth_embeddings.") && ends(t->name, ".embedding.weight"))
        return m->source.config.depth_tied;
    return !starts(t->name, "audio_embedding.") && !starts(t->name, "emb.emb.");
}

static int64_t elements_of(const tensor *t) {
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++) count *= t->shape[i];
    return count;
}

/* Elements converted at a time: matrices go row by row, anything else as a whole. */
static int64_t row_of(const rnl_model *m, const tensor *t) {
    int64_t shape[TENSOR_RANK_CAP];
    const int rank = shape_of(m, t, shape);
    if (rank == 2 || is_stack(m, t)) return shape[rank - 1];
    int64_t count = 1;
    for (int i = 0; i < rank; i++) count *= shape[i];
    return count;
}

static size_t longest_row(const rnl_model *m) {
    int64_t longest = 1;
    for (size_t i = 0; i < weights_count(m->source.w); i++) {
        const int64_t row = row_of(m, weights_at(m->source.w, i));
        if (row > longest) longest = row;
    }
    return (size_t)longest;
}

/* ---- Keys ---- */

static void put_text(gguf_writer *w, const char *key, const char *text) {
    gguf_put_string(w, key, text, strlen(text));
}

/* Informational; files of mixed types that are kept go by their feed-forward matrices. */
static uint32_t file_type(const writing *job) {
    const recipe *r = job->config->recipe;
    const weights *all = job->m->source.w;
    const tensor *t = weights_find(all, "blk.0.ffn_gate.weight");
    if (t == NULL) t = weights_find(all, "blk.0.ffn_gate_exps.weight");
    if (r == NULL && t != NULL) r = recipe_of_type(t->type);
    return r != NULL ? r->file_type : 1; /* a type that is only read: F16, as good as any */
}

static void put_general(const writing *job, gguf_writer *w, const char *architecture) {
    put_text(w, "general.architecture", architecture);
    put_text(w, "general.type", strcmp(architecture, "clip") == 0 ? "mmproj" : "model");
    put_text(w, "general.name", job->m->source.config.name);
    gguf_put_u32(w, "general.file_type", file_type(job));
    gguf_put_u32(w, "general.quantization_version", 2);
}

/* Of the dense layers; where there is none, the key has to say something all the same. */
static int64_t ff_width_of(const stack_config *c) {
    const int64_t dense = stack_ff_width_max(c, &stack_dense);
    return dense > 0 ? dense : stack_ff_width_max(c, &stack_experts);
}

static rnl_status put_main(const writing *job, gguf_writer *w) {
    const model_config *c = &job->m->source.config;
    const int64_t ff_width = ff_width_of(&job->m->backbone.stack.config);
    config_write_lfm2(&c->backbone, w, "", ff_width, c->vocab_count, c->context_trained);
    if (c->codebook_count > 0) {
        gguf_put_u32(w, "runnel.interleave.text", (uint32_t)c->text_run);
        gguf_put_u32(w, "runnel.interleave.audio", (uint32_t)c->audio_run);
        config_write_defaults(c, w);
    }
    if (job->m->source.text == NULL) {
        put_text(w, "tokenizer.ggml.model", "none"); /* llama.cpp wants to be told */
        return RNL_OK;
    }
    source_write_chat(&job->m->source, w);
    return bpe_to_gguf(job->m->source.text, w);
}

static void put_encoder(const writing *job, gguf_writer *w) {
    const model_config *c = &job->m->source.config;
    if (c->has_tower) {
        vision_write_gguf(c, w, job->m->tower.width, job->m->tower.ff_max);
        return;
    }
    gguf_put_bool(w, "clip.has_audio_encoder", true);
    put_text(w, "clip.projector_type", "lfm2a");
    gguf_put_u32(w, "clip.audio.projection_dim", (uint32_t)c->backbone.width);
    const uint32_t width = (uint32_t)encoder_width(&job->m->encoder);
    gguf_put_u32(w, "clip.audio.embedding_length", width);
    /* The official converter writes the width here, too; readers take the tensor's. */
    gguf_put_u32(w, "clip.audio.feed_forward_length", width);
    gguf_put_u32(w, "clip.audio.block_count", (uint32_t)c->encoder_layer_count);
    gguf_put_u32(w, "clip.audio.attention.head_count", (uint32_t)c->encoder_head_count);
    gguf_put_f32(w, "clip.audio.attention.layer_norm_epsilon", 1e-5f);
    gguf_put_u32(w, "clip.audio.num_mel_bins", (uint32_t)c->feature_count);
}

static void put_vocoder(const writing *job, gguf_writer *w) {
    const model_config *c = &job->m->source.config;
    gguf_put_u32(w, "depthformer_n_layer", (uint32_t)c->depth_layer_count);
    gguf_put_u32(w, "depthformer_n_embd", (uint32_t)job->m->depth.stack.config.width);
    gguf_put_bool(w, "runnel.depthformer.tied", c->depth_tied);
    if (c->codec != CODEC_MIMI) return;
    gguf_put_u32(w, "runnel.mimi.head_width", (uint32_t)c->mimi_head_width);
    gguf_put_u32(w, "runnel.mimi.window", (uint32_t)c->mimi_window);
}

static void put_detokenizer(const writing *job, gguf_writer *w, const char *prefix) {
    const lfm_weights *lfm = &job->m->codec.lfm;
    config_write_lfm2(&job->m->source.config.detokenizer, w, prefix,
                      ff_width_of(&lfm->stack.config), 0, 128000);
    char key[64];
    (void)snprintf(key, sizeof key, "%slfm2.embedding_length_out", prefix);
    gguf_put_u32(w, key, (uint32_t)lfm->out.row_count);
}

static rnl_status put_bundle_keys(const writing *job) {
    const model_config *c = &job->m->source.config;
    gguf_writer *w = job->files[FILE_MAIN];
    put_general(job, w, "runnel");
    gguf_put_u32(w, "runnel.bundle", 1);
    if (job->config->packs) put_text(w, PACKED_LAYOUT_KEY, PACKED_LAYOUT);
    if (c->has_encoder || c->has_tower) put_encoder(job, w);
    if (c->codebook_count > 0) put_vocoder(job, w);
    if (c->codec == CODEC_LFM) put_detokenizer(job, w, "detok.");
    return put_main(job, w);
}

static rnl_status put_set_keys(const writing *job) {
    put_general(job, job->files[FILE_MAIN], config_architecture(&job->m->source.config.backbone));
    if (job->files[FILE_ENCODER] != NULL) {
        put_general(job, job->files[FILE_ENCODER], "clip");
        put_encoder(job, job->files[FILE_ENCODER]);
    }
    if (job->files[FILE_VOCODER] != NULL) {
        /* Not an id but a sentence, as the official files have it (audio.md 10.3). */
        put_general(job, job->files[FILE_VOCODER],
                    "this model cannot be used as LLM, use it via --model-vocoder in TTS examples");
        put_vocoder(job, job->files[FILE_VOCODER]);
    }
    if (job->files[FILE_DETOKENIZER] != NULL) {
        put_general(job, job->files[FILE_DETOKENIZER], "lfm2");
        put_detokenizer(job, job->files[FILE_DETOKENIZER], "");
    }
    return put_main(job, job->files[FILE_MAIN]);
}

/* ---- Tensors ---- */

/* File and name of a tensor in what is written. */
static gguf_writer *target(const writing *job, const tensor *t, const char **name) {
    *name = t->name;
    if (!job->config->as_set) return job->files[FILE_MAIN];
    const set_file p = file_of(t->name);
    if (p == FILE_DETOKENIZER) *name = t->name + strlen("detok.");
    return job->files[p];
}

static void declare_tensors(writing *job) {
    const weights *all = job->m->source.w;
    for (size_t i = 0; i < weights_count(all); i++) {
        const tensor *t = weights_at(all, i);
        if (!is_written(job->m, t)) continue;
        int64_t shape[TENSOR_RANK_CAP];
        const char *name;
        const int rank = shape_of(job->m, t, shape);
        gguf_writer *w = target(job, t, &name);
        if (is_packed(job, t))
            packed_file_put(w, name, type_of(job, t), rank, shape);
        else
            gguf_put_tensor(w, name, type_of(job, t), rank, shape);
        job->total += t->size;
    }
    /* llama.cpp counts the rows of this table and crashes without it (audio.md 10.3). */
    if (!job->config->as_set || job->files[FILE_ENCODER] == NULL) return;
    const matrix *table = &job->m->backbone.audio_embedding;
    if (table->data == NULL) return;
    const int64_t shape[] = {table->row_count, table->col_count};
    gguf_put_tensor(job->files[FILE_ENCODER], "a.position_embd.weight", QUANT_F32, 2, shape);
    job->total += (size_t)table->row_count * table->row_size;
}

/* A batch of rows through float32, cut over the threads. */
typedef struct batch {
    writing *job;
    const unsigned char *data;
    quant_type from, to;
    size_t from_size, to_size; /* bytes of a row */
    int64_t cols;
    int64_t rows;  /* packing: how many there are */
    int64_t first; /* of them, in its tensor */
} batch;

static bool changes(const batch *b) {
    return b->from != b->to || b->job->merge.delta != NULL;
}

/* Row r of the batch in its new type. */
static void convert_row(const batch *b, int64_t r, unsigned char *out, int thread_index) {
    writing *job = b->job;
    float *values = job->values + (size_t)thread_index * job->row_cap;
    quant_dequantise(b->from, b->data + (size_t)r * b->from_size, values, b->cols);
    if (job->merge.delta != NULL) merge_row(&job->merge, b->first + r, values);
    const bool written = quant_quantise(b->to, values, out, b->cols);
    assert(written); /* recipes name no other types */
    (void)written;
    if (job->merge.delta == NULL) return;
    float *back = job->back + (size_t)thread_index * job->row_cap;
    quant_dequantise(b->to, out, back, b->cols);
    merge_note(&job->merge, b->first + r, values, back);
}

static void convert_rows(void *context, int64_t begin, int64_t end, int thread_index) {
    const batch *b = context;
    for (int64_t r = begin; r < end; r++)
        convert_row(b, r, b->job->rows + (size_t)r * b->to_size, thread_index);
}

static size_t row_size(quant_type type, int64_t cols) {
    const quant_info *info = quant_describe((uint32_t)type);
    return (size_t)cols / info->block_len * info->block_size;
}

/* Some rows of a batch's tensor, of cols elements each, in their stored type or another. */
static rnl_status write_batch(gguf_writer *w, batch *b, int64_t rows, rnl_error *error) {
    if (!changes(b)) return gguf_writer_data(w, b->data, (size_t)rows * b->from_size, error);
    pool_run(b->job->pool, rows, 1, convert_rows, b);
    return gguf_writer_data(w, b->job->rows, (size_t)rows * b->to_size, error);
}

/* Rows that fit into the buffer; at least one, as it was made for the longest. */
static int64_t batch_of(const writing *job, int64_t cols) {
    return (int64_t)(job->row_cap > BATCH ? job->row_cap : BATCH) / cols;
}

/* Slabs of a batch: each row in its new type, then the sixteen together. */
static void pack_slabs(void *context, int64_t begin, int64_t end, int thread_index) {
    const batch *b = context;
    const writing *job = b->job;
    const size_t slab_size = packed_slab_size(b->to, b->cols);
    unsigned char *own = job->own + (size_t)thread_index * PACKED_ROWS * 2 * job->row_cap;
    for (int64_t s = begin; s < end; s++) {
        const int64_t row = s * PACKED_ROWS, left = b->rows - row;
        const int64_t count = left < PACKED_ROWS ? left : PACKED_ROWS;
        const unsigned char *stored = b->data + (size_t)row * b->from_size;
        for (int64_t r = 0; r < count && changes(b); r++)
            convert_row(b, row + r, own + (size_t)r * b->to_size, thread_index);
        packed_write(b->to, changes(b) ? own : stored, b->to_size, count, b->cols,
                     job->rows + (size_t)s * slab_size);
    }
}

static rnl_status write_slabs(gguf_writer *w, batch *b, int64_t rows, rnl_error *error) {
    const int64_t slabs = (rows + PACKED_ROWS - 1) / PACKED_ROWS;
    b->rows = rows;
    pool_run(b->job->pool, slabs, 1, pack_slabs, b);
    return gguf_writer_data(w, b->job->rows, (size_t)slabs * packed_slab_size(b->to, b->cols),
                            error);
}

static rnl_status write_rows(writing *job, gguf_writer *w, const unsigned char *data,
                             quant_type from, quant_type to, int64_t rows, int64_t cols,
                             bool packed, rnl_error *error) {
    batch b = {.job = job, .data = data, .from = from, .to = to, .cols = cols};
    b.from_size = row_size(from, cols);
    b.to_size = row_size(to, cols);
    const convert_config *c = job->config;
    int64_t most = batch_of(job, cols);
    if (packed) most = most < PACKED_ROWS ? PACKED_ROWS : most / PACKED_ROWS * PACKED_ROWS;
    for (int64_t at = 0; at < rows; at += most) {
        const int64_t count = rows - at < most ? rows - at : most;
        b.data = data + (size_t)at * b.from_size;
        b.first = at;
        const rnl_status status =
            packed ? write_slabs(w, &b, count, error) : write_batch(w, &b, count, error);
        if (status != RNL_OK) return status;
        job->done += (size_t)count * b.from_size;
        if (c->progress != NULL && !c->progress(c->progress_context, job->done, job->total))
            return status_fail(error, RNL_ERR_STATE, "%s: stopped, nothing was written", c->path);
    }
    return RNL_OK;
}

/* What the adapter adds to the tensor: matrices only, never stacks of them. */
static rnl_status begin_merge(writing *job, const tensor *t, int64_t rows, int64_t cols,
                              rnl_error *error) {
    const convert_config *c = job->config;
    const linear_pair *pairs = NULL;
    if (c->adapter != NULL)
        pairs = c->adapter->adds.pairs[weights_index(job->m->source.w, t->name)];
    if (pairs != NULL && strcmp(t->name, "token_embd.weight") == 0)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: the adapter changes the head (lm_head), which in this model is the "
                           "table of embeddings as well, so it cannot be merged; use it by --lora",
                           c->path);
    if (pairs != NULL && !quant_is_written(type_of(job, t)))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: tensor '%s' is changed by the adapter, but is kept in %s, which is "
                           "only read; name another --type",
                           c->path, t->name, quant_describe((uint32_t)type_of(job, t))->name);
    if (merge_begin(&job->merge, pairs, rows, cols, job->pool) == RNL_OK) return RNL_OK;
    return status_fail(error, RNL_ERR_MEMORY, "%s: memory to merge '%s' is exhausted", c->path,
                       t->name);
}

/* Of a stack one matrix after the other: each begins with a slab of its own. */
static rnl_status write_tensor(writing *job, const tensor *t, rnl_error *error) {
    const char *name;
    gguf_writer *w = target(job, t, &name);
    const int64_t cols = row_of(job->m, t), members = is_stack(job->m, t) ? t->shape[0] : 1;
    const int64_t rows = elements_of(t) / cols / members;
    rnl_status status = begin_merge(job, t, rows, cols, error);
    for (int64_t i = 0; i < members && status == RNL_OK; i++)
        status = write_rows(job, w, members > 1 ? tensor_member(t, i) : t->data, t->type,
                            type_of(job, t), rows, cols, is_packed(job, t), error);
    merge_end(&job->merge);
    return status;
}

static rnl_status write_tensors(writing *job, rnl_error *error) {
    const weights *all = job->m->source.w;
    for (size_t i = 0; i < weights_count(all); i++) {
        if (!is_written(job->m, weights_at(all, i))) continue;
        const rnl_status status = write_tensor(job, weights_at(all, i), error);
        if (status != RNL_OK) return status;
    }
    const matrix *table = &job->m->backbone.audio_embedding;
    if (!job->config->as_set || job->files[FILE_ENCODER] == NULL || table->data == NULL)
        return RNL_OK;
    return write_rows(job, job->files[FILE_ENCODER], table->data, table->type, QUANT_F32,
                      table->row_count, table->col_count, false, error);
}

/* ---- Files ---- */

static bool has_file(const model_config *c, set_file p) {
    return p == FILE_MAIN || (p == FILE_ENCODER && (c->has_encoder || c->has_tower)) ||
           (p == FILE_VOCODER && c->codebook_count > 0) ||
           (p == FILE_DETOKENIZER && c->codec == CODEC_LFM);
}

static rnl_status open_files(writing *job, rnl_error *error) {
    const char *path = job->config->path;
    const char *slash = strrchr(path, '/');
    const int folder = slash != NULL ? (int)(slash + 1 - path) : 0;
    for (int p = 0; p < (job->config->as_set ? FILE_COUNT : 1); p++) {
        char full[PATH_CAP];
        if (!has_file(&job->m->source.config, (set_file)p)) continue;
        if ((size_t)snprintf(full, sizeof full, "%.*s%s%s", folder, path, file_prefixes[p],
                             path + folder) >= sizeof full)
            return status_fail(error, RNL_ERR_ARGUMENT, "%s: the path is too long", path);
        rnl_status status = RNL_OK;
        if (job->config->target != NULL)
            status = job->config->target(job->config->progress_context, full, error);
        if (status == RNL_OK) status = gguf_writer_create(full, &job->files[p], error);
        if (status != RNL_OK) return status;
        if (job->config->opened != NULL)
            job->config->opened(job->config->progress_context,
                                gguf_writer_temporary(job->files[p]));
    }
    return RNL_OK;
}

static rnl_status write_all(writing *job, rnl_error *error) {
    rnl_status status = open_files(job, error);
    if (status != RNL_OK) return status;
    status = job->config->as_set ? put_set_keys(job) : put_bundle_keys(job);
    if (status != RNL_OK)
        return status_fail(error, status, "%s: memory for the header is exhausted",
                           job->config->path);
    declare_tensors(job);
    for (int p = 0; p < FILE_COUNT && status == RNL_OK; p++)
        if (job->files[p] != NULL) status = gguf_writer_begin_data(job->files[p], error);
    if (status == RNL_OK) status = write_tensors(job, error);
    for (int p = 0; p < FILE_COUNT && status == RNL_OK; p++)
        if (job->files[p] != NULL) status = gguf_writer_complete(job->files[p], error);
    /* A disk that is full shows above, before any file has its name. */
    for (int p = 0; p < FILE_COUNT && status == RNL_OK; p++)
        if (job->files[p] != NULL) status = gguf_writer_finish(&job->files[p], error);
    return status;
}

rnl_status convert_model(const rnl_model *m, const convert_config *config, rnl_error *error) {
    if (config->as_set && m->source.config.codec == CODEC_MIMI)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: a model with the Mimi codec fits only into a bundle", m->path);
    if (config->as_set && config->packs)
        return status_fail(error, RNL_ERR_UNSUPPORTED, "only a bundle can hold packed matrices");
    for (size_t i = 0; i < weights_count(m->source.w); i++)
        if (weights_at(m->source.w, i)->data == NULL)
            return status_fail(error, RNL_ERR_UNSUPPORTED,
                               "%s: this bundle is packed; convert the model it was made from",
                               m->path);
    writing job = {.m = m, .config = config, .row_cap = longest_row(m)};
    /* A slab takes less than 2 bytes for each of its elements. */
    size_t rows = job.row_cap > BATCH ? job.row_cap : BATCH;
    if (config->packs && rows < PACKED_ROWS * job.row_cap) rows = PACKED_ROWS * job.row_cap;
    if (config->packs)
        job.own = malloc((size_t)config->thread_count * PACKED_ROWS * 2 * job.row_cap);
    job.values = calloc((size_t)config->thread_count * job.row_cap, sizeof *job.values);
    job.rows = malloc(rows * sizeof(float)); /* no type takes more bytes than float32 */
    if (config->adapter != NULL)
        job.back = calloc((size_t)config->thread_count * job.row_cap, sizeof *job.back);
    rnl_status status = RNL_ERR_MEMORY;
    if (job.values != NULL && job.rows != NULL && (job.own != NULL || !config->packs) &&
        (job.back != NULL || config->adapter == NULL))
        status = pool_create(config->thread_count, &job.pool);
    status = status == RNL_OK ? write_all(&job, error)
                              : status_fail(error, status, "memory for rows is exhausted");
    for (int p = 0; p < FILE_COUNT; p++) gguf_writer_abort(&job.files[p]);
    pool_destroy(&job.pool);
    free(job.values);
    free(job.rows);
    free(job.own);
    free(job.back);
    if (config->taken != NULL) *config->taken = merge_taken(&job.merge);
    return status;
}
