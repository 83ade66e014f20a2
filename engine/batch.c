/* A batch: a pass that sessions share. */
#include <runnel/runnel_batch.h>

#include <assert.h>
#include <stdlib.h>

#include "core/checked.h"
#include "core/range.h"
#include "core/status.h"
#include "engine/batch.h"

rnl_batch_config rnl_batch_config_default(void) {
    return (rnl_batch_config){.row_cap = 128,
                              .decision_cap = 16,
                              .thread_count = rnl_thread_count_default(),
                              .lane_count = 1,
                              .context_cap = 4096,
                              .clip_seconds_max = 60.0,
                              .session_cap = 64,
                              .oversubscribe = 2,
                              .turn_network = turn_network_is_built(),
                              .memory_size_max = SIZE_MAX};
}

static rnl_status check_config(const rnl_batch_config *c, rnl_error *error) {
    const range ranges[] = {
        {"row_cap", c->row_cap, 1, PASS_ROW_CAP},
        {"decision_cap", c->decision_cap, 1, PASS_DECISION_CAP},
        {"thread_count", c->thread_count, 1, RNL_THREAD_CAP},
        {"lane_count", c->lane_count, 1, c->thread_count},
        {"context_cap", c->context_cap, 64, 1 << 20},
        {"clip_seconds_max", c->clip_seconds_max, 0.1, 600},
        {"session_cap", c->session_cap, 1, 1024},
        {"oversubscribe", c->oversubscribe, 1, 100},
        {"image_views_max", c->image_views_max, 0, RNL_IMAGE_VIEWS_CAP},
    };
    return range_check(ranges, sizeof ranges / sizeof *ranges, error);
}

static bool takes_looks(const rnl_model *m, const rnl_batch_config *c) {
    return c->turn_network && m->source.config.has_encoder &&
           rnl_model_can(m, RNL_MODE_INTERLEAVED);
}

static pass_config pass_of(const rnl_model *m, const rnl_batch_config *c) {
    return (pass_config){.thread_count = c->thread_count / c->lane_count,
                         .row_cap = c->row_cap,
                         .decision_cap = c->decision_cap,
                         .context_cap = c->context_cap,
                         .clip_seconds_max = c->clip_seconds_max,
                         .image_views_max = c->image_views_max,
                         .looks = takes_looks(m, c)};
}

static void layout(rnl_batch *b, arena *a) {
    const size_t cap = (size_t)b->config.session_cap;
    b->clients = arena_take(a, cap, sizeof *b->clients);
    b->members = arena_take(a, cap, sizeof *b->members);
    b->order = arena_take(a, cap, sizeof *b->order);
    b->items = arena_take(a, cap, sizeof *b->items);
    b->before = arena_take(a, cap, sizeof *b->before);
    b->working = arena_take(a, cap, sizeof(struct slot *));
    b->item_slots = arena_take(a, cap, sizeof(struct slot *));
}

/* Bytes of what a step needs besides the pass. */
static size_t step_size(const rnl_batch_config *c) {
    rnl_batch measured = {.config = *c};
    arena a = {0};
    layout(&measured, &a);
    return a.size_used;
}

rnl_status rnl_batch_plan(const rnl_model *model, const rnl_batch_config *config,
                          rnl_memory_plan *plan, rnl_error *error) {
    const rnl_batch_config c = config != NULL ? *config : rnl_batch_config_default();
    *plan = (rnl_memory_plan){0};
    rnl_status status = check_config(&c, error);
    if (status != RNL_OK) return status;
    const pass_config own = pass_of(model, &c);
    for (int i = 0; i < c.lane_count && status == RNL_OK; i++) {
        plan->scratch += step_size(&c);
        plan->total += step_size(&c);
        status = pass_plan(model, &own, plan, error);
    }
    return status;
}

static rnl_status no_memory(rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "memory for the batch is exhausted");
}

/* Speech as the model makes it when it is asked for nothing else. */
static schedule_config speech_of(const rnl_model *m, const rnl_batch_config *c) {
    schedule_config s = {.row_cap = c->row_cap, .decision_cap = c->decision_cap};
    if (s.decision_cap > s.row_cap) s.decision_cap = s.row_cap;
    if (!rnl_model_can(m, RNL_MODE_INTERLEAVED)) return s;
    const rnl_turn_config turn = rnl_turn_config_default(m, RNL_MODE_INTERLEAVED);
    s.frame_us = 1e6 * codec_frame_size(&m->codec) / RNL_RATE_OUT;
    s.text_run = turn.text_run;
    s.audio_run = turn.audio_run;
    return s;
}

static rnl_status make_lock(rnl_batch *b, rnl_error *error) {
    if (pthread_mutex_init(&b->lock, NULL) != 0)
        return status_fail(error, RNL_ERR_MEMORY, "a lock cannot be made");
    if (pthread_cond_init(&b->moved, NULL) != 0) {
        (void)pthread_mutex_destroy(&b->lock);
        return status_fail(error, RNL_ERR_MEMORY, "a condition cannot be made");
    }
    b->lock_made = true;
    return RNL_OK;
}

static int sessions_of_lane(const rnl_batch_config *c) {
    return (c->session_cap + c->lane_count - 1) / c->lane_count;
}

/* The lanes behind the first. */
static rnl_status create_lanes(rnl_batch *b, rnl_error *error) {
    rnl_batch_config c = b->config;
    rnl_status status = RNL_OK;
    b->lanes[0] = b;
    c.session_cap = sessions_of_lane(&b->config);
    c.thread_count /= c.lane_count;
    c.lane_count = 1;
    c.turn_network = false;
    for (int i = 1; i < b->config.lane_count && status == RNL_OK; i++)
        status = rnl_batch_create(b->model, &c, &b->lanes[i], error);
    return status;
}

static rnl_status create(rnl_batch *b, const rnl_batch_config *c, rnl_error *error) {
    rnl_memory_plan plan;
    rnl_status status = rnl_batch_plan(b->model, c, &plan, error);
    if (status != RNL_OK) return status;
    pass_config own = pass_of(b->model, c);
    if (own.looks) status = model_turn_network(b->model, &own.turn, error);
    if (status != RNL_OK) return status;
    if (plan.total > c->memory_size_max)
        return status_fail(error, RNL_ERR_BUDGET,
                           "the batch needs %zu MiB, more than the %zu MiB allowed; choose a "
                           "shorter longest clip, or fewer decisions of a pass",
                           (plan.total >> 20) + 1, c->memory_size_max >> 20);
    arena a = {.size_cap = step_size(c)};
    a.base = b->memory = aligned_alloc(ARENA_ALIGN, a.size_cap);
    if (b->memory == NULL) return no_memory(error);
    layout(b, &a);
    const rnl_status locked = make_lock(b, error);
    if (locked != RNL_OK) return locked;
    const schedule_config speech = speech_of(b->model, c);
    schedule_init(&b->schedule, &speech);
    const rnl_status made = pass_create(b->model, &own, &b->pass, error);
    if (made != RNL_OK) return made;
    b->pass->session_cap = sessions_of_lane(c);
    return create_lanes(b, error);
}

rnl_status rnl_batch_create(rnl_model *model, const rnl_batch_config *config, rnl_batch **batch,
                            rnl_error *error) {
    if (model == NULL || batch == NULL)
        return status_fail(error, RNL_ERR_ARGUMENT, "rnl_batch_create: model or batch is NULL");
    const rnl_batch_config c = config != NULL ? *config : rnl_batch_config_default();
    rnl_batch *b = calloc(1, sizeof *b);
    *batch = b;
    if (b == NULL) return no_memory(error);
    b->model = model;
    b->config = c;
    const rnl_status status = create(b, &c, error);
    if (status != RNL_OK) rnl_batch_destroy(batch);
    return status;
}

void rnl_batch_destroy(rnl_batch **batch) {
    if (batch == NULL || *batch == NULL) return;
    assert((*batch)->pass == NULL || (*batch)->pass->session_count == 0);
    for (int i = 1; i < RNL_THREAD_CAP; i++) rnl_batch_destroy(&(*batch)->lanes[i]);
    pass_destroy(&(*batch)->pass);
    if ((*batch)->lock_made) {
        (void)pthread_cond_destroy(&(*batch)->moved);
        (void)pthread_mutex_destroy(&(*batch)->lock);
    }
    free((*batch)->memory);
    free(*batch);
    *batch = NULL;
}

rnl_status rnl_session_create_in(rnl_batch *batch, const rnl_session_config *config,
                                 rnl_session **session, rnl_error *error) {
    if (batch == NULL || session == NULL)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "rnl_session_create_in: batch or session is NULL");
    return session_create_in(batch->model, batch->pass, config, session, error);
}

rnl_status rnl_session_plan_in(const rnl_batch *batch, const rnl_session_config *config,
                               rnl_memory_plan *plan, rnl_error *error) {
    return session_plan_in(batch->model, batch->pass, config, plan, error);
}

void rnl_batch_pass(rnl_batch *batch, rnl_batch_item *items, size_t count) {
    pass_run(batch->pass, items, count);
}

/* ---- The batch chooses ---- */

void rnl_batch_get_facts(const rnl_batch *b, rnl_batch_facts *facts) {
    const schedule_pace pace = schedule_pace_of(&b->schedule);
    *facts = (rnl_batch_facts){.session_count = b->pass->session_count,
                               .speaking_count = b->schedule.placed_count,
                               .speaking_max = schedule_speaking_max(&b->schedule),
                               .load = b->schedule.load,
                               .text_us = pace.text_us,
                               .frame_us = pace.frame_us,
                               .pass_count = b->pass_count,
                               .rows = b->rows,
                               .decision_count = b->decision_count};
}

bool rnl_batch_admits(const rnl_batch *b) {
    return b->pass->session_count < b->config.session_cap &&
           schedule_admits(&b->schedule, b->pass->session_count, b->config.oversubscribe);
}

void rnl_batch_set_times(rnl_batch *b, int rows, double text_us, double frame_us) {
    if (rows < 1 || rows > b->schedule.config.decision_cap || !(text_us > 0) || !(frame_us > 0))
        return;
    schedule_know(&b->schedule, rows, text_us, frame_us);
}

/* ---- Looks ---- */

bool batch_takes_looks(const rnl_batch *b) {
    return b->pass->config.looks;
}

rnl_status batch_look_begin(rnl_batch *b, const void *owner, const float *samples, size_t count) {
    pass *p = b->pass;
    assert(p->config.looks && p->looking != owner);
    if (p->looking != NULL) return RNL_AGAIN;
    p->looking = owner;
    turn_look_reset(&p->look);
    turn_look_push(&p->look, samples, count);
    turn_look_begin(&p->look);
    return RNL_OK;
}

rnl_status batch_look_step(rnl_batch *b, const void *owner, float *probability) {
    pass *p = b->pass;
    assert(p->looking == owner);
    if (turn_look_step(&p->look, &p->compute) == RNL_OK) return RNL_OK;
    *probability = turn_look_probability(&p->look);
    p->looking = NULL;
    return RNL_DONE;
}

void batch_look_drop(rnl_batch *b, const void *owner) {
    if (b->pass->looking == owner) b->pass->looking = NULL;
}
