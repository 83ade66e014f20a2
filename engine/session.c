/* A session's life: one block of memory, cut once; reset; snapshots. */
#include "engine/session.h"

#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/range.h"
#include "core/status.h"
#include "stack/kind.h"

rnl_session_config rnl_session_config_default(void) {
    return (rnl_session_config){.context_cap = 4096,
                                .thread_count = rnl_thread_count_default(),
                                .clip_seconds_max = 60.0,
                                .snapshot_cap = 1,
                                .step_positions = 128,
                                .adapter_scale = 1,
                                .memory_size_max = SIZE_MAX};
}

rnl_session_config rnl_session_config_for(const rnl_model *model) {
    rnl_session_config c = rnl_session_config_default();
    if (stack_layers_of(&model->backbone.stack.config, &stack_experts) > 0) c.step_positions = 512;
    return c;
}

static rnl_status check_config(const rnl_session_config *c, rnl_error *error) {
    const range ranges[] = {
        {"context_cap", c->context_cap, 64, 1 << 20},
        {"thread_count", c->thread_count, 1, RNL_THREAD_CAP},
        {"clip_seconds_max", c->clip_seconds_max, 0.1, 600},
        {"snapshot_cap", c->snapshot_cap, 0, 64},
        {"step_positions", c->step_positions, 1, 512},
        {"image_views_max", c->image_views_max, 0, RNL_IMAGE_VIEWS_CAP},
        {"kept_places", c->kept_places, 0, SESSION_PLACE_CAP},
        {"alternatives_max", c->alternatives_max, 0, RNL_ALTERNATIVES_CAP},
        {"adapter_scale", (double)c->adapter_scale, -1000, 1000},
        {"kv_cache", c->kv_cache, RNL_KV_DEFAULT, RNL_KV_Q8_0},
    };
    return range_check(ranges, sizeof ranges / sizeof *ranges, error);
}

static kernels_cache cache_of(const rnl_session *s) {
    static const kernels_cache types[] = {[RNL_KV_F32] = KERNELS_CACHE_F32,
                                          [RNL_KV_F16] = KERNELS_CACHE_F16,
                                          [RNL_KV_Q8_0] = KERNELS_CACHE_Q8_0};
    const rnl_kv_cache wanted = s->config.kv_cache;
    return wanted == RNL_KV_DEFAULT ? s->model->backbone.stack.cache : types[wanted];
}

static rnl_status check_cache(const rnl_session *s, rnl_error *error) {
    const int head = stack_head_not_kept(&s->model->backbone.stack.config, cache_of(s));
    if (head == 0) return RNL_OK;
    return status_fail(error, RNL_ERR_UNSUPPORTED,
                       "kv_cache: a head of this model has %d values, and Q8_0 keeps multiples of "
                       "%d; choose F16",
                       head, KERNELS_CACHE_BLOCK);
}

/* Places the parts of the live state; live is NULL while measuring. */
static void layout_live(rnl_session *s, arena *regions) {
    const rnl_model *m = s->model;
    arena *kept = &regions[REGION_KEPT];
    session_live *live = arena_take(kept, 1, sizeof *live);
    session_live measured;
    s->live = live;
    if (live == NULL) live = &measured;
    memset(live, 0, sizeof *live);
    stack_state_layout(&live->backbone, &m->backbone.stack, cache_of(s), s->config.context_cap,
                       s->pass->config.row_cap, kept, &regions[REGION_KV]);
    s->fixed_size = live->backbone.fixed_size;
    if (m->codec.kind != CODEC_NONE) {
        arena scratch = {.base = s->pass->codec_scratch, .size_cap = s->pass->codec_scratch_size};
        codec_layout(&live->codec, &m->codec, s->pass->config.thread_count, kept, &scratch);
        live->sample_cap = SESSION_FRAME_CAP * (size_t)codec_frame_size(&m->codec);
    }
    live->text_cap = SESSION_TEXT_CAP + 3 * ((size_t)m->token_size_max + UTF8_PENDING_CAP);
    live->text = arena_take(kept, live->text_cap, 1);
    live->samples = arena_take(kept, live->sample_cap, sizeof(float));
}

static void layout_history(rnl_session *s, arena *a) {
    const size_t cap = (size_t)s->config.context_cap;
    const size_t books = (size_t)s->model->backbone.codebook_count;
    const bool calls = rnl_model_can_call(s->model);
    const size_t held = calls ? CALLS_SIZE_CAP + (size_t)s->model->token_size_max : 0;
    s->embeddings = arena_take(a, cap * (size_t)backbone_width(&s->model->backbone), sizeof(float));
    s->held = arena_take(a, held, 1);
    s->ids = arena_take(a, cap, sizeof *s->ids);
    s->sums = arena_take(a, cap, sizeof *s->sums);
    s->decided = arena_take(a, cap, 1);
    s->exchanges = arena_take(a, cap, sizeof *s->exchanges);
    s->modality = arena_take(a, cap + 2, 1);
    s->text_ids = arena_take(a, cap + 2, sizeof *s->text_ids);
    s->text_confidences = arena_take(a, cap + 2, sizeof *s->text_confidences);
    const size_t others = (cap + 2) * (size_t)s->config.alternatives_max;
    s->alternatives = arena_take(a, others, sizeof *s->alternatives);
    s->alternative_confidences = arena_take(a, others, sizeof *s->alternative_confidences);
    s->frames = arena_take(a, (cap + 2) * books, sizeof *s->frames);
    session_layout_marks(s, a);
}

static void layout_tokenizer(rnl_session *s, arena *a) {
    const rnl_model *m = s->model;
    if (!m->source.config.has_encoder) return;
    /* One sample more than the limit: the resampled length is rounded up. */
    const size_t samples = (size_t)(s->config.clip_seconds_max * RNL_RATE_IN) + 1;
    mel_layout(&s->mel, &m->mel, samples, a);
}

/* What the layers append begins and ends with a page, as devices that share memory want it. */
static void layout(rnl_session *s, arena *regions) {
    layout_live(s, regions);
    arena_pad(&regions[REGION_KEPT], STACK_DEVICE_ALIGN);
    arena_pad(&regions[REGION_KV], STACK_DEVICE_ALIGN);
    layout_history(s, &regions[REGION_HISTORY]);
    layout_tokenizer(s, &regions[REGION_TOKENIZER]);
    session_layout_picture(s, &regions[REGION_VISION]);
}

/* Adds the regions up; the slots follow them. */
static rnl_status plan_regions(const arena *regions, const rnl_session_config *c,
                               rnl_memory_plan *plan, rnl_error *error) {
    *plan = (rnl_memory_plan){.kv_cache = regions[REGION_KV].size_used,
                              .history = regions[REGION_HISTORY].size_used,
                              .tokenizer = regions[REGION_TOKENIZER].size_used,
                              .vision = regions[REGION_VISION].size_used,
                              .scratch = regions[REGION_KEPT].size_used};
    bool fits =
        checked_mul(regions[REGION_KEPT].size_used, (size_t)c->snapshot_cap, &plan->snapshots);
    const size_t parts[] = {plan->kv_cache, plan->history, plan->tokenizer,
                            plan->vision,   plan->scratch, plan->snapshots};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        fits = fits && checked_add(plan->total, parts[i], &plan->total);
    for (int i = 0; i < REGION_COUNT; i++) fits = fits && !regions[i].overflowed;
    if (!fits)
        return status_fail(error, RNL_ERR_BUDGET,
                           "the session needs more memory than can be addressed; choose a smaller "
                           "context_cap");
    return RNL_OK;
}

/* What the session itself takes, with a pass that is there or only measured. */
static rnl_status measure(rnl_session *s, arena *regions, rnl_memory_plan *plan, rnl_error *error) {
    for (int i = 0; i < REGION_COUNT; i++) regions[i] = (arena){0};
    layout(s, regions);
    return plan_regions(regions, &s->config, plan, error);
}

/* What is added to the session's rows by the set that its config names. */
static rnl_status find_adapter(const rnl_session *s, linear_span *span, rnl_error *error) {
    const rnl_session_config *c = &s->config;
    *span = (linear_span){.scale = c->adapter_scale, .count = INT64_MAX};
    if (c->adapter == NULL) return RNL_OK;
    const adapter_set *set = adapters_find(s->model, c->adapter);
    if (set == NULL)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "adapter '%s' is none of the %d that the model was opened with",
                           c->adapter, rnl_model_adapter_count(s->model));
    span->adapter = &set->adds;
    return RNL_OK;
}

static rnl_status check(const rnl_session *s, rnl_error *error) {
    linear_span span;
    rnl_status status = check_config(&s->config, error);
    if (status == RNL_OK) status = check_cache(s, error);
    return status == RNL_OK ? find_adapter(s, &span, error) : status;
}

/* A pass for one session. */
static pass_config own_pass(const rnl_session_config *c, const turn_network *turn) {
    return (pass_config){.thread_count = c->thread_count,
                         .row_cap = c->step_positions,
                         .decision_cap = 1,
                         .context_cap = c->context_cap,
                         .clip_seconds_max = c->clip_seconds_max,
                         .image_views_max = c->image_views_max,
                         .rounds = true,
                         .looks = turn != NULL,
                         .turn = turn};
}

static rnl_status plan_alone(const rnl_model *model, const turn_network *turn,
                             const rnl_session_config *config, rnl_memory_plan *plan,
                             rnl_error *error) {
    rnl_session s = {.model = (rnl_model *)model, .config = *config};
    const pass_config own = own_pass(&s.config, turn);
    pass measured = {.model = model, .config = own};
    arena regions[REGION_COUNT];
    s.pass = &measured;
    rnl_status status = check(&s, error);
    if (status == RNL_OK) status = measure(&s, regions, plan, error);
    return status == RNL_OK ? pass_plan(model, &own, plan, error) : status;
}

rnl_status rnl_session_plan(const rnl_model *model, const rnl_session_config *config,
                            rnl_memory_plan *plan, rnl_error *error) {
    const rnl_session_config c = config != NULL ? *config : rnl_session_config_for(model);
    return plan_alone(model, NULL, &c, plan, error);
}

static rnl_status place(rnl_session *s, arena *regions, const rnl_memory_plan *plan,
                        rnl_error *error) {
    size_t size;
    if (checked_align(plan->total, STACK_DEVICE_ALIGN, &size)) /* as aligned_alloc wants it */
        s->memory = aligned_alloc(STACK_DEVICE_ALIGN, size);
    s->slots = calloc((size_t)s->config.snapshot_cap + 1, sizeof *s->slots);
    if (s->memory == NULL || s->slots == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "memory for the session is exhausted");
    s->kept_size = regions[REGION_KEPT].size_used;
    unsigned char *at = s->memory;
    for (int i = 0; i < REGION_COUNT; i++) {
        regions[i] = (arena){.base = at, .size_cap = regions[i].size_used};
        at += regions[i].size_cap;
    }
    for (int i = 0; i < s->config.snapshot_cap; i++, at += s->kept_size) s->slots[i].data = at;
    layout(s, regions);
    return RNL_OK;
}

static rnl_status check_budget(const rnl_session *s, const rnl_memory_plan *plan,
                               rnl_error *error) {
    if (plan->total <= s->config.memory_size_max) return RNL_OK;
    return status_fail(error, RNL_ERR_BUDGET,
                       "the session needs %zu MiB, more than the %zu MiB allowed; choose a smaller "
                       "context or a shorter longest clip",
                       (plan->total >> 20) + 1, s->config.memory_size_max >> 20);
}

/* With the pass that is set. */
static rnl_status create(rnl_session *s, rnl_error *error) {
    arena regions[REGION_COUNT];
    rnl_memory_plan plan;
    rnl_status status = measure(s, regions, &plan, error);
    if (status == RNL_OK) status = find_adapter(s, &s->span, error);
    if (status == RNL_OK && s->config.adapter != NULL) /* the caller's text need not last */
        s->config.adapter = adapters_find(s->model, s->config.adapter)->name;
    if (status == RNL_OK) status = place(s, regions, &plan, error);
    if (status != RNL_OK) return status;
    if (s->model->source.config.has_encoder && resampler_create(&s->resampler) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "memory for the resampler is exhausted");
    rnl_session_reset(s);
    s->elsewhere = placement_attach(s->model, &s->live->backbone);
    return RNL_OK;
}

static rnl_status create_alone(rnl_session *s, const turn_network *turn, rnl_error *error) {
    rnl_memory_plan plan;
    const pass_config own = own_pass(&s->config, turn);
    rnl_status status = plan_alone(s->model, turn, &s->config, &plan, error);
    if (status == RNL_OK) status = check_budget(s, &plan, error);
    if (status == RNL_OK) status = pass_create(s->model, &own, &s->pass, error);
    s->owns_pass = true;
    s->planned_size = plan.total;
    return status == RNL_OK ? create(s, error) : status;
}

static rnl_session *begin(rnl_model *model, const rnl_session_config *config) {
    rnl_session *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->model = model;
    s->config = config != NULL ? *config : rnl_session_config_for(model);
    s->dropping = (session_dropping){.drops = s->config.drop_oldest_turns, .retention = 1};
    return s;
}

rnl_status session_create_looking(rnl_model *model, const turn_network *turn,
                                  const rnl_session_config *config, rnl_session **session,
                                  rnl_error *error) {
    rnl_session *s = *session = begin(model, config);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory for the session is exhausted");
    const rnl_status status = create_alone(s, turn, error);
    if (status != RNL_OK) rnl_session_destroy(session);
    return status;
}

rnl_status rnl_session_create(rnl_model *model, const rnl_session_config *config,
                              rnl_session **session, rnl_error *error) {
    if (model == NULL || session == NULL)
        return status_fail(error, RNL_ERR_ARGUMENT, "rnl_session_create: model or session is NULL");
    return session_create_looking(model, NULL, config, session, error);
}

rnl_status session_plan_in(const rnl_model *model, const pass *p, const rnl_session_config *config,
                           rnl_memory_plan *plan, rnl_error *error) {
    rnl_session s = {.model = (rnl_model *)model,
                     .config = config != NULL ? *config : rnl_session_config_for(model)};
    pass measured = {.model = model, .config = p->config};
    arena regions[REGION_COUNT];
    s.pass = &measured;
    rnl_status status = check(&s, error);
    if (status == RNL_OK && (s.config.context_cap > p->config.context_cap ||
                             s.config.clip_seconds_max > p->config.clip_seconds_max))
        status = status_fail(error, RNL_ERR_ARGUMENT,
                             "context_cap %d or clip_seconds_max %g is over the batch's, %d and %g",
                             s.config.context_cap, s.config.clip_seconds_max, p->config.context_cap,
                             p->config.clip_seconds_max);
    if (status == RNL_OK && s.config.image_views_max > p->config.image_views_max)
        status = status_fail(error, RNL_ERR_ARGUMENT, "image_views_max %d is over the batch's, %d",
                             s.config.image_views_max, p->config.image_views_max);
    return status == RNL_OK ? measure(&s, regions, plan, error) : status;
}

/* Behind those who are there. */
static void join(rnl_session *s, pass *p) {
    rnl_session **at = &p->sessions;
    while (*at != NULL) at = &(*at)->next;
    *at = s;
    p->session_count++;
}

static void leave(rnl_session *s, pass *p) {
    rnl_session **at = &p->sessions;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    p->session_count--;
}

rnl_status session_create_in(rnl_model *model, pass *p, const rnl_session_config *config,
                             rnl_session **session, rnl_error *error) {
    rnl_memory_plan plan;
    rnl_session *s = *session = begin(model, config);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory for the session is exhausted");
    rnl_status status = session_plan_in(model, p, &s->config, &plan, error);
    if (status == RNL_OK) status = check_budget(s, &plan, error);
    if (status == RNL_OK && p->session_count >= p->session_cap)
        status = status_fail(error, RNL_ERR_BUDGET,
                             "the batch has its %d sessions; destroy one, or raise session_cap",
                             p->session_cap);
    s->pass = p;
    join(s, p);
    s->config.thread_count = p->config.thread_count;
    s->config.step_positions = p->config.row_cap;
    if (status == RNL_OK) status = create(s, error);
    if (status != RNL_OK) rnl_session_destroy(session);
    return status;
}

void rnl_session_destroy(rnl_session **session) {
    if (session == NULL || *session == NULL) return;
    rnl_session *s = *session;
    resampler_destroy(&s->resampler);
    if (s->pass != NULL && s->pass->encoding == s) s->pass->encoding = NULL;
    if (s->owns_pass)
        pass_destroy(&s->pass);
    else
        leave(s, s->pass);
    if (s->live != NULL) stack_placed_detach(&s->live->backbone);
    if (!s->elsewhere || !placement_hangs(s->model)) free(s->memory);
    free(s->slots);
    free(s);
    *session = NULL;
}

void rnl_session_reset(rnl_session *s) {
    session_begin_anew(s);
    session_forget_marks(s, -1);
}

void session_begin_anew(rnl_session *s) {
    session_live *live = s->live;
    s->failed = false;
    s->failure.status = RNL_OK;
    s->want = RNL_WANT_RESULT;
    s->due_us = INT64_MIN;
    s->due_said = s->placed = s->overdue = false;
    s->clip_open = false;
    session_drop_encoding(s);
    stack_reset(&live->backbone);
    if (s->model->codec.kind != CODEC_NONE) codec_reset(&live->codec);
    random_seed(&live->random, s->config.seed);
    session_output_reset(live);
    live->position_count = 0;
    live->begun = false;
    live->open_role = -1;
    live->exchange_count = 0;
    live->answered_at = 0;
    live->answer_at = -1;
    live->generating = false;
    live->flushed = false;
    live->finish = RNL_FINISH_NONE;
    live->step_count = 0;
    live->replay_end = 0;
    live->reply_begin = 0;
    live->reply_end = -1;
    live->said_size = live->said_samples = 0;
    live->reply_emitted = live->reply_text = live->reply_frame = 0;
    live->emitted_count = live->text_count = live->frame_count = 0;
    s->remembered_count = s->familiar_count = 0;
    s->old_at = s->config.context_cap;
    s->reused_count = s->reused_audio = 0;
    for (int i = 0; i < s->config.snapshot_cap; i++) s->slots[i].valid = false;
}

compute session_compute(const rnl_session *s) {
    compute c = s->pass->compute;
    c.spans = &s->span;
    c.span_count = 1;
    return c;
}

int rnl_session_position_count(const rnl_session *s) {
    return s->live->position_count;
}

static rnl_status check_slot(const rnl_session *s, int slot, rnl_error *error) {
    if (slot < 0 || slot >= s->config.snapshot_cap)
        return status_fail(error, RNL_ERR_ARGUMENT, "snapshot slot %d is outside 0 to %d", slot,
                           s->config.snapshot_cap - 1);
    if (s->failed || s->encoding)
        return status_fail(
            error, RNL_ERR_STATE,
            "no snapshot while a clip or picture is being encoded; step until it is done");
    if (s->clip_open && s->clip_rate != RNL_RATE_IN)
        return status_fail(error, RNL_ERR_STATE,
                           "no snapshot inside a clip at %d Hz; push it at %d Hz", s->clip_rate,
                           RNL_RATE_IN);
    return RNL_OK;
}

rnl_status rnl_session_snapshot(rnl_session *s, int slot, rnl_error *error) {
    const rnl_status status = check_slot(s, slot, error);
    if (status != RNL_OK) return status;
    session_slot *to = &s->slots[slot];
    memcpy(to->data, s->live, s->kept_size);
    to->position_count = s->live->position_count;
    to->clip_open = s->clip_open;
    to->clip_count = s->clip_count;
    if (s->clip_open) mel_keep(&s->mel, &to->clip);
    to->valid = true;
    return RNL_OK;
}

/* Whether what lies in the slot comes after what lies in the other one: later positions, or more
 * of the open clip. */
static bool comes_after(const session_slot *slot, const session_slot *other) {
    if (slot->position_count != other->position_count)
        return slot->position_count > other->position_count;
    return slot->clip_open && other->clip_open && slot->clip_count > other->clip_count;
}

/* The clip of the slot, open as it was; at 16 kHz the resampler holds nothing. */
static void restore_clip(rnl_session *s, const session_slot *from) {
    session_drop_encoding(s);
    s->clip_open = from->clip_open;
    if (!from->clip_open) return;
    s->clip_rate = RNL_RATE_IN;
    s->clip_count = from->clip_count;
    mel_return(&s->mel, &from->clip);
}

rnl_status rnl_session_restore(rnl_session *s, int slot, rnl_error *error) {
    if (slot < 0 || slot >= s->config.snapshot_cap || !s->slots[slot].valid)
        return status_fail(error, RNL_ERR_STATE,
                           "snapshot slot %d holds no valid state; take the snapshot again", slot);
    const session_slot *from = &s->slots[slot];
    restore_clip(s, from);
    memcpy(s->live, from->data, s->kept_size);
    /* What comes now overwrites the caches behind this position. */
    for (int i = 0; i < s->config.snapshot_cap; i++)
        if (comes_after(&s->slots[i], from)) s->slots[i].valid = false;
    session_forget_marks(s, from->position_count);
    return RNL_OK;
}
