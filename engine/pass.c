/* A pass's life: one block of memory, cut once, and its threads. */
#include "engine/pass.h"

#include <stdlib.h>

#include "core/checked.h"
#include "core/status.h"

typedef enum pass_region {
    PASS_TOKENIZER,
    PASS_VISION,
    PASS_BACKBONE,
    PASS_CODEC,
    PASS_SCRATCH
} pass_region;
enum { PASS_REGION_COUNT = PASS_SCRATCH + 1 };

static void layout_tokenizer(pass *p, arena *a) {
    const rnl_model *m = p->model;
    if (!m->source.config.has_encoder) return;
    /* As many frames as a session's mel has room for. */
    arena none = {0};
    mel_state mel;
    mel_layout(&mel, &m->mel, (size_t)(p->config.clip_seconds_max * RNL_RATE_IN) + 1, &none);
    if (none.overflowed) a->overflowed = true;
    encoder_layout(&p->encoder, &m->encoder, mel_frame_cap(&mel), p->config.thread_count, a);
    adapter_layout(&p->adapter, &m->adapter, a);
    p->resampled = arena_take(a, PASS_BLOCK, sizeof(float));
}

static void layout_vision(pass *p, arena *a) {
    const rnl_model *m = p->model;
    if (!m->source.config.has_tower || p->config.image_views_max == 0) return;
    const int rows = views_rows_max(&m->source.config.views);
    const int area = rows * VIEWS_CELL * VIEWS_CELL; /* config.token_max keeps it in an int */
    resize_layout(&p->resize, area / VIEWS_CELL, area, a);
    tower_layout(&p->tower, &m->tower, 4 * rows, p->config.thread_count, a);
    projector_layout(&p->projector, &m->projector, a);
}

static void layout_codec(pass *p, arena *a) {
    const rnl_model *m = p->model;
    if (m->codec.kind == CODEC_NONE) return;
    const size_t frames = (size_t)p->config.decision_cap;
    codec_work_layout(&p->codec, &m->codec, p->config.decision_cap, p->config.thread_count, a);
    p->frames = arena_take(a, frames, sizeof *p->frames);
    p->frame_owners = arena_take(a, frames, sizeof *p->frame_owners);
    codec_state state;
    arena kept = {0}, scratch = {0};
    codec_layout(&state, &m->codec, p->config.thread_count, &kept, &scratch);
    if (scratch.overflowed) a->overflowed = true;
    p->codec_scratch_size = scratch.size_used;
    p->codec_scratch = arena_take(a, p->codec_scratch_size, 1);
}

static void layout_backbone(pass *p, arena *a) {
    const rnl_model *m = p->model;
    const pass_config *c = &p->config;
    const size_t decisions = (size_t)c->decision_cap;
    stack_work_layout(&p->backbone, &m->backbone.stack, c->row_cap, c->context_cap, c->thread_count,
                      a);
    if (m->source.config.codebook_count == 0) return;
    depth_layout(&p->depth, &m->depth, c->decision_cap, c->thread_count, a);
    p->depth_rows = arena_take(a, decisions, sizeof *p->depth_rows);
}

static void layout_look(pass *p, arena *a) {
    if (!p->config.looks) return;
    turn_look_layout(&p->look, p->config.turn, p->config.thread_count, a);
    if (a->base != NULL) turn_look_reset(&p->look);
}

static int64_t col_max(const pass *p) {
    const int64_t of_model = p->model->col_max;
    return p->config.looks && of_model < TURN_NETWORK_COL_CAP ? TURN_NETWORK_COL_CAP : of_model;
}

static void layout_scratch(pass *p, arena *a) {
    const rnl_model *m = p->model;
    const size_t width = (size_t)backbone_width(&m->backbone);
    const size_t vocab = (size_t)backbone_vocab_count(&m->backbone);
    const size_t rows = (size_t)p->config.row_cap, decisions = (size_t)p->config.decision_cap;
    p->compute = (compute){.k = &m->kernels,
                           .exact = m->exact,
                           .fetch = (kernels_fetch)m->tuning.prefetch,
                           .rank_cap = m->adapters != NULL ? m->adapters->rank_max : 0,
                           .block_size = (size_t)m->tuning.block_kib * 1024};
    compute_layout(&p->compute, p->config.thread_count, col_max(p), a);
    if (m->source.text != NULL) bpe_scratch_layout(&p->bpe, PASS_TEXT_CAP, a);
    p->ids = arena_take(a, (size_t)p->config.context_cap, sizeof *p->ids);
    p->entries = arena_take(a, rows, sizeof *p->entries);
    if (m->adapters != NULL) p->spans = arena_take(a, rows, sizeof *p->spans);
    p->pieces = arena_take(a, rows, sizeof *p->pieces);
    p->x = arena_take(a, rows * width, sizeof(float));
    p->hidden = arena_take(a, decisions * width, sizeof(float));
    p->logits = arena_take(a, decisions * vocab, sizeof(float));
    p->decider_count = decisions > 1 ? p->config.thread_count : 1;
    p->draw = arena_take(a, (size_t)p->decider_count * 3, vocab * sizeof(float));
    p->seen_size = (vocab + 7) / 8;
    p->seen = arena_take(a, (size_t)p->decider_count, p->seen_size);
    p->row = arena_take(a, width, sizeof(float));
}

static void layout(pass *p, arena *regions) {
    layout_tokenizer(p, &regions[PASS_TOKENIZER]);
    layout_vision(p, &regions[PASS_VISION]);
    layout_backbone(p, &regions[PASS_BACKBONE]);
    layout_look(p, &regions[PASS_SCRATCH]);
    layout_codec(p, &regions[PASS_CODEC]);
    layout_scratch(p, &regions[PASS_SCRATCH]);
}

static rnl_status measure(const rnl_model *m, const pass_config *config, arena *regions,
                          size_t *total, rnl_error *error) {
    pass measured = {.model = m, .config = *config};
    for (int i = 0; i < PASS_REGION_COUNT; i++) regions[i] = (arena){0};
    layout(&measured, regions);
    bool fits = true;
    *total = 0;
    for (int i = 0; i < PASS_REGION_COUNT; i++)
        fits = fits && !regions[i].overflowed && checked_add(*total, regions[i].size_used, total);
    if (fits) return RNL_OK;
    return status_fail(error, RNL_ERR_BUDGET,
                       "the working memory is more than can be addressed; choose fewer positions "
                       "or shorter clips");
}

rnl_status pass_plan(const rnl_model *m, const pass_config *config, rnl_memory_plan *plan,
                     rnl_error *error) {
    arena regions[PASS_REGION_COUNT];
    size_t total;
    const rnl_status status = measure(m, config, regions, &total, error);
    if (status != RNL_OK) return status;
    const struct {
        size_t *field, size;
    } parts[] = {{&plan->tokenizer, regions[PASS_TOKENIZER].size_used},
                 {&plan->vision, regions[PASS_VISION].size_used},
                 {&plan->backbone, regions[PASS_BACKBONE].size_used},
                 {&plan->detokenizer, regions[PASS_CODEC].size_used},
                 {&plan->scratch, regions[PASS_SCRATCH].size_used},
                 {&plan->total, total}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!checked_add(*parts[i].field, parts[i].size, parts[i].field))
            return status_fail(error, RNL_ERR_BUDGET,
                               "the session needs more memory than can be addressed; choose a "
                               "smaller context_cap");
    return RNL_OK;
}

/* On the model's device, if that has the depthformer. */
static void place_depth(pass *p) {
    rnl_error why;
    const rnl_model *m = p->model;
    if (m->placement.depth == NULL || !stack_device_usable(m->placement.device)) return;
    p->elsewhere = true;
    if (depth_on(&p->depth, m->placement.depth, &why) == RNL_OK) return;
    source_log(&m->source, RNL_LOG_WARNING, "%s: the depthformer stays on the CPU: %s",
               m->placement.name, why.text);
}

static rnl_status create(pass *p, rnl_error *error) {
    arena regions[PASS_REGION_COUNT];
    size_t total;
    const rnl_status status = measure(p->model, &p->config, regions, &total, error);
    if (status != RNL_OK) return status;
    p->memory = aligned_alloc(ARENA_ALIGN, total);
    if (p->memory == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "memory for the session is exhausted");
    unsigned char *at = p->memory;
    for (int i = 0; i < PASS_REGION_COUNT; i++) {
        regions[i] = (arena){.base = at, .size_cap = regions[i].size_used};
        at += regions[i].size_cap;
    }
    layout(p, regions);
    if (pool_create(p->config.thread_count, &p->pool) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "%d threads cannot be started",
                           p->config.thread_count);
    p->compute.pool = p->pool;
    place_depth(p);
    return RNL_OK;
}

rnl_status pass_create(const rnl_model *m, const pass_config *config, pass **out,
                       rnl_error *error) {
    pass *p = calloc(1, sizeof *p);
    *out = p;
    if (p == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory for the session is exhausted");
    p->model = m;
    p->config = *config;
    const rnl_status status = create(p, error);
    if (status != RNL_OK) pass_destroy(out);
    return status;
}

void pass_destroy(pass **out) {
    pass *p = *out;
    if (p == NULL) return;
    *out = NULL;
    pool_destroy(&p->pool);
    if (p->elsewhere) depth_off(&p->depth);
    if (p->elsewhere && placement_hangs(p->model)) return; /* a device may be reading it */
    free(p->memory);
    free(p);
}
