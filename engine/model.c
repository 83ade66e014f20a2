/* Opening a model: files -> canonical tensors -> the stages' weights. Which layout the files
 * have is settled in source_*.c; from here on only names and shapes count. */
#include "engine/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/range.h"
#include "core/status.h"

rnl_model_config rnl_model_config_default(void) {
    return (rnl_model_config){.thread_count = rnl_thread_count_default()};
}

static void load_stages(rnl_model *m, loader *l) {
    const model_config *c = &m->source.config;
    backbone_load(l, &c->backbone, c->codebook_count, &m->backbone);
    const int width = c->backbone.width;
    if (c->has_encoder) {
        mel_load(l, c->feature_count, &m->mel);
        encoder_load(l, c->feature_count, c->encoder_layer_count, c->encoder_head_count,
                     &m->encoder);
        adapter_load(l, encoder_width(&m->encoder), width, &m->adapter);
    }
    if (c->has_tower) {
        tower_load(l, &c->views, c->tower_layer_count, c->tower_head_count, c->tower_eps,
                   &m->tower);
        projector_load(l, m->tower.width, width, &m->projector);
    }
    if (c->codebook_count > 0)
        depth_load(l, c->depth_layer_count, c->codebook_count, width, c->depth_tied, &m->depth);
    if (c->codec == CODEC_LFM) codec_load_lfm(l, &c->detokenizer, c->codebook_count, &m->codec);
    if (c->codec == CODEC_MIMI)
        codec_load_mimi(l, c->mimi_head_width, c->mimi_window, c->codebook_count, &m->codec);
}

static rnl_status find_image_ids(rnl_model *m, rnl_error *error) {
    const bpe *text = m->source.text;
    image_ids *ids = &m->image_ids;
    if (!m->source.config.has_tower || text == NULL) return RNL_OK;
    ids->image = bpe_find_special(text, "<image>");
    ids->begin = bpe_find_special(text, "<|image_start|>");
    ids->end = bpe_find_special(text, "<|image_end|>");
    ids->thumbnail = bpe_find_special(text, "<|img_thumbnail|>");
    bool whole = ids->begin >= 0 && ids->end >= 0 && ids->thumbnail >= 0;
    for (int row = 0; row < VIEWS_GRID_MAX; row++)
        for (int col = 0; col < VIEWS_GRID_MAX; col++) {
            char name[48];
            (void)snprintf(name, sizeof name, "<|img_row_%d_col_%d|>", row + 1, col + 1);
            ids->tiles[row][col] = bpe_find_special(text, name);
            whole = whole && ids->tiles[row][col] >= 0;
        }
    if (whole) return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: the vocabulary lacks <|image_start|>, <|image_end|>, "
                       "<|img_thumbnail|> or a <|img_row_R_col_C|> as special tokens; it is not "
                       "that of a vision model",
                       m->path);
}

static rnl_status check_fit(const rnl_model *m, rnl_error *error) {
    const model_config *c = &m->source.config;
    if (backbone_vocab_count(&m->backbone) != c->vocab_count)
        return status_fail(
            error, RNL_ERR_FORMAT,
            "%s: the text embedding has %d rows, the configuration says %d; the file "
            "is damaged",
            m->path, backbone_vocab_count(&m->backbone), c->vocab_count);
    if (c->codebook_count > 0 && m->depth.code_count != m->backbone.code_count)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: the depthformer has %d codes, the audio embedding %d; the files do "
                           "not belong together",
                           m->path, m->depth.code_count, m->backbone.code_count);
    return RNL_OK;
}

static void measure(rnl_model *m) {
    m->col_max = 1;
    for (size_t i = 0; i < weights_count(m->source.w); i++) {
        const tensor *t = weights_at(m->source.w, i);
        if (!weights_is_used(m->source.w, i)) continue;
        m->weight_size += t->size;
        /* A matrix of [rows, cols, 1...]: everything after the first dimension. */
        int64_t cols = 1;
        for (int d = weights_is_stack(m->source.w, i) ? 2 : 1; d < t->rank; d++)
            cols *= t->shape[d];
        if (cols > m->col_max) m->col_max = cols;
    }
    if (m->source.text != NULL) m->token_size_max = bpe_token_size_max(m->source.text);
}

static rnl_status open_files(rnl_model *m, const char *name, const rnl_model_config *config,
                             rnl_error *error) {
    char path[SOURCE_PATH_CAP];
    bool folder;
    const rnl_status status = source_resolve(name, path, &folder, error);
    if (status != RNL_OK) return status;
    m->path = strdup(path);
    if (m->path == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    if (folder) return source_open_hf(&m->source, path, error);
    return source_open_gguf(&m->source, path, config, error);
}

static rnl_status refuse_level(const char *name, unsigned available, rnl_error *error) {
    char here[64] = "";
    unsigned features;
    for (int i = 0; kernels_level_names[i] != NULL; i++) {
        if (!kernels_level(kernels_level_names[i], available, &features)) continue;
        (void)strncat(here, here[0] != '\0' ? ", " : "", sizeof here - strlen(here) - 1);
        (void)strncat(here, kernels_level_names[i], sizeof here - strlen(here) - 1);
    }
    return status_fail(error, RNL_ERR_ARGUMENT,
                       "kernel level \"%s\" is unknown or needs what this machine lacks; the "
                       "levels here are %s",
                       name, here);
}

static rnl_status select_level(rnl_model *m, const rnl_model_config *config, rnl_error *error) {
    const unsigned available = kernels_cpu_features();
    /* What rounds floats is only taken by name, and never by a model that is to be exact. */
    unsigned features = available & ~(unsigned)KERNELS_CPU_ROUNDS;
    if (config->cpu != NULL && !kernels_level(config->cpu, available, &features))
        return refuse_level(config->cpu, available, error);
    if (config->exact) features &= ~(unsigned)KERNELS_CPU_ROUNDS;
    if (kernels_allowed(features) != features)
        return status_fail(
            error, RNL_ERR_ARGUMENT,
            "kernel level \"%s\" needs the tiles of AMX, which the system refuses to "
            "this process; take avx512",
            config->cpu);
    kernels_select(&m->kernels, features);
    return RNL_OK;
}

/* One is the other: a cast makes either. */
_Static_assert((int)RNL_PREFETCH_NONE == (int)KERNELS_FETCH_NONE &&
                   (int)RNL_PREFETCH_L1 == (int)KERNELS_FETCH_L1 &&
                   (int)RNL_PREFETCH_L2 == (int)KERNELS_FETCH_L2 &&
                   (int)RNL_PREFETCH_COUNT == (int)KERNELS_FETCH_COUNT,
               "rnl_prefetch and kernels_fetch differ");

rnl_tuning rnl_tuning_default(void) {
    return (rnl_tuning){.prefetch = (rnl_prefetch)kernels_fetch_for(kernels_cpu_caches()),
                        .huge_pages = true,
                        .block_kib = LINEAR_BLOCK_SIZE / 1024};
}

static rnl_status take_tuning(rnl_model *m, const rnl_model_config *config, rnl_error *error) {
    m->tuning = config->tuning != NULL ? *config->tuning : rnl_tuning_default();
    if ((unsigned)m->tuning.prefetch >= RNL_PREFETCH_COUNT)
        return status_fail(error, RNL_ERR_ARGUMENT, "tuning.prefetch is %d, none of rnl_prefetch",
                           (int)m->tuning.prefetch);
    if (m->tuning.block_kib >= 64 && m->tuning.block_kib <= 4096) return RNL_OK;
    return status_fail(error, RNL_ERR_ARGUMENT, "tuning.block_kib is %d, outside 64 to 4096",
                       m->tuning.block_kib);
}

static rnl_status pack(rnl_model *m, const rnl_model_config *config, rnl_error *error) {
    pool *p;
    rnl_status status = pool_create(config->thread_count, &p);
    if (status == RNL_OK)
        status = weights_pack(m->source.w, p, m->tuning.huge_pages, config->progress,
                              config->progress_context);
    pool_destroy(&p);
    if (status == RNL_OK) return RNL_OK;
    return status_fail(error, status, "%s: memory for the packed weights is exhausted", m->path);
}

/* The template by its text; without one that of the first models, which have tokens for lists of
 * tools, or of those that came next. */
static void choose_template(rnl_model *m) {
    const source *s = &m->source;
    bool known = true;
    chat_kind kind = CHAT_B;
    if (s->text != NULL && bpe_find_special(s->text, "<|tool_list_start|>") >= 0) kind = CHAT_A;
    if (s->chat_template != NULL)
        kind = chat_recognise(s->chat_template, s->chat_template_size, &known);
    if (!known)
        source_log(s, RNL_LOG_WARNING,
                   "%s: its chat template is none that is known; conversations are laid out as by "
                   "template %s, the nearest",
                   m->path, chat_kind_name(kind));
    m->chat = chat_template_of(kind);
    m->chat.parts = m->chat.parts || s->config.has_tower;
    if (s->config.codebook_count > 0) return; /* an audio model ends with <|im_end|> alone */
    for (int i = -1; i < s->stop_count; i++) {
        const int32_t id = i < 0 ? m->ids.text_stop : s->stop_ids[i];
        bool there = id < 0 || id == m->ids.message_end || m->stop_count == SOURCE_STOP_CAP;
        for (int k = 0; k < m->stop_count; k++) there = there || m->stop_ids[k] == id;
        if (!there) m->stop_ids[m->stop_count++] = id;
    }
}

static bool text_of_token(const void *context, int32_t id, const char **bytes, size_t *size) {
    bool special;
    return bpe_token_bytes(context, id, bytes, size, &special) && !special;
}

rnl_status model_spelling(rnl_model *m, const vocabulary **out) {
    rnl_status status = RNL_OK;
    pthread_mutex_lock(&m->mutex);
    if (m->spelling == NULL)
        status = vocabulary_create(text_of_token, m->source.text, m->source.config.vocab_count,
                                   &m->spelling);
    *out = m->spelling;
    pthread_mutex_unlock(&m->mutex);
    return status;
}

bool model_token_bytes(const rnl_model *m, int32_t id, const char **bytes, size_t *size) {
    return m->source.text != NULL && text_of_token(m->source.text, id, bytes, size);
}

static rnl_status check_config(const rnl_model_config *c, rnl_error *error) {
    const range ranges[] = {{"thread_count", c->thread_count, 1, RNL_THREAD_CAP}};
    const rnl_status status = range_check(ranges, sizeof ranges / sizeof *ranges, error);
    return status == RNL_OK ? placement_check(c->device, error) : status;
}

static rnl_status open_model(rnl_model *m, const char *name, const rnl_model_config *config,
                             rnl_error *error) {
    if (weights_create(&m->source.w) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    m->source.log = config->log;
    m->source.log_context = config->log_context;
    rnl_status status = check_config(config, error);
    if (status == RNL_OK) status = open_files(m, name, config, error);
    if (status != RNL_OK) return status;
    status = select_level(m, config, error);
    if (status == RNL_OK) status = take_tuning(m, config, error);
    if (status != RNL_OK) return status;
    m->exact = config->exact;
    loader l = {.w = m->source.w, .prefix = "", .file = m->path, .error = error, .pack = !m->exact};
    load_stages(m, &l);
    if (l.status != RNL_OK) return l.status;
    status = check_fit(m, error);
    if (status == RNL_OK) status = adapters_open(m, config, error);
    if (status == RNL_OK && !m->exact) status = pack(m, config, error);
    if (status == RNL_OK) status = chat_find_ids(&m->ids, m->source.text, m->path, error);
    if (status == RNL_OK) status = find_image_ids(m, error);
    if (status == RNL_OK) measure(m);
    if (status == RNL_OK) choose_template(m);
    if (status == RNL_OK) placement_open(m, config->device);
    return status;
}

rnl_status rnl_model_open(const char *path, const rnl_model_config *config, rnl_model **model,
                          rnl_error *error) {
    if (path == NULL || model == NULL)
        return status_fail(error, RNL_ERR_ARGUMENT, "rnl_model_open: path or model is NULL");
    *model = NULL;
    rnl_model *m = calloc(1, sizeof *m);
    if (m == NULL || pthread_mutex_init(&m->mutex, NULL) != 0) {
        free(m);
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    }
    const rnl_model_config defaults = rnl_model_config_default();
    const rnl_status status = open_model(m, path, config != NULL ? config : &defaults, error);
    if (status != RNL_OK) rnl_model_close(&m);
    *model = m;
    return status;
}

void rnl_model_close(rnl_model **model) {
    if (model == NULL || *model == NULL) return;
    placement_close(*model);
    if (placement_hangs(*model)) { /* a device may be reading any of it */
        *model = NULL;
        return;
    }
    adapters_close(&(*model)->adapters);
    bpe_destroy(&(*model)->source.text);
    weights_destroy(&(*model)->source.w);
    vocabulary_destroy(&(*model)->spelling);
    pthread_mutex_destroy(&(*model)->mutex);
    free((*model)->source.chat_template);
    turn_network_destroy(&(*model)->turn);
    free((*model)->path);
    free(*model);
    *model = NULL;
}

void model_use_features(rnl_model *m, unsigned features) {
    kernels_select(&m->kernels, features);
}

rnl_status model_turn_network(rnl_model *m, const turn_network **out, rnl_error *error) {
    rnl_status status = RNL_OK;
    pool *p = NULL;
    (void)pthread_mutex_lock(&m->mutex);
    if (m->turn == NULL) {
        status = pool_create(1, &p);
        if (status == RNL_OK)
            status = turn_network_create(m->exact, p, &m->turn, error);
        else
            (void)status_fail(error, status, "%s: memory is exhausted", m->path);
        pool_destroy(&p);
    }
    *out = m->turn;
    (void)pthread_mutex_unlock(&m->mutex);
    return status;
}

static const char *codec_name(codec_kind kind) {
    switch (kind) {
    case CODEC_LFM:
        return "lfm";
    case CODEC_MIMI:
        return "mimi";
    case CODEC_NONE:
        break;
    }
    return "none";
}

void rnl_model_get_info(const rnl_model *model, rnl_model_info *info) {
    const model_config *c = &model->source.config;
    *info = (rnl_model_info){.name = c->name,
                             .codec = codec_name(c->codec),
                             .takes_audio = c->has_encoder,
                             .gives_audio = c->codec != CODEC_NONE,
                             .takes_images = c->has_tower,
                             .layer_count = c->backbone.layer_count,
                             .width = c->backbone.width,
                             .vocab_count = c->vocab_count,
                             .codebook_count = c->codebook_count,
                             .context_trained = c->context_trained,
                             .weight_size = model->weight_size};
}

bool rnl_model_can(const rnl_model *model, rnl_mode mode) {
    const model_config *c = &model->source.config;
    if (model->source.text == NULL) return false;
    switch (mode) {
    case RNL_MODE_INTERLEAVED:
    case RNL_MODE_SPEAK:
        return c->codec != CODEC_NONE;
    case RNL_MODE_TRANSCRIBE:
        return c->has_encoder;
    case RNL_MODE_TEXT:
        return true;
    }
    return false;
}

const char *rnl_model_system_prompt(const rnl_model *model, rnl_mode mode) {
    if ((int)mode < 0 || (int)mode >= RNL_MODE_COUNT) return NULL;
    const mode_config *m = &model->source.config.modes[mode];
    return m->has_prompt ? m->prompt : NULL;
}

rnl_turn_config rnl_turn_config_default(const rnl_model *model, rnl_mode mode) {
    const int at = (int)mode >= 0 && (int)mode < RNL_MODE_COUNT ? (int)mode : RNL_MODE_TEXT;
    const mode_config *m = &model->source.config.modes[at];
    return (rnl_turn_config){.mode = mode,
                             .text = m->text,
                             .audio = m->audio,
                             .step_max = m->step_max,
                             .text_run = model->source.config.text_run,
                             .audio_run = model->source.config.audio_run};
}
