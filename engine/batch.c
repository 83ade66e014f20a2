/* A batch: a pass that sessions share. */
#include <runnel/runnel_batch.h>

#include <assert.h>
#include <stdlib.h>

#include "core/range.h"
#include "core/status.h"
#include "engine/session.h"

struct rnl_batch {
    rnl_model *model;
    pass *pass;
};

rnl_batch_config rnl_batch_config_default(void) {
    return (rnl_batch_config){.row_cap = 128,
                              .decision_cap = 16,
                              .thread_count = rnl_thread_count_default(),
                              .context_cap = 4096,
                              .clip_seconds_max = 60.0,
                              .memory_size_max = SIZE_MAX};
}

static rnl_status check_config(const rnl_batch_config *c, rnl_error *error) {
    const range ranges[] = {
        {"row_cap", c->row_cap, 1, PASS_ROW_CAP},
        {"decision_cap", c->decision_cap, 1, PASS_DECISION_CAP},
        {"thread_count", c->thread_count, 1, RNL_THREAD_CAP},
        {"context_cap", c->context_cap, 64, 1 << 20},
        {"clip_seconds_max", c->clip_seconds_max, 0.1, 600},
    };
    return range_check(ranges, sizeof ranges / sizeof *ranges, error);
}

static pass_config pass_of(const rnl_batch_config *c) {
    return (pass_config){.thread_count = c->thread_count,
                         .row_cap = c->row_cap,
                         .decision_cap = c->decision_cap,
                         .context_cap = c->context_cap,
                         .clip_seconds_max = c->clip_seconds_max};
}

rnl_status rnl_batch_plan(const rnl_model *model, const rnl_batch_config *config,
                          rnl_memory_plan *plan, rnl_error *error) {
    const rnl_batch_config c = config != NULL ? *config : rnl_batch_config_default();
    const pass_config own = pass_of(&c);
    *plan = (rnl_memory_plan){0};
    const rnl_status status = check_config(&c, error);
    return status == RNL_OK ? pass_plan(model, &own, plan, error) : status;
}

static rnl_status create(rnl_batch *b, const rnl_batch_config *c, rnl_error *error) {
    const pass_config own = pass_of(c);
    rnl_memory_plan plan;
    const rnl_status status = rnl_batch_plan(b->model, c, &plan, error);
    if (status != RNL_OK) return status;
    if (plan.total > c->memory_size_max)
        return status_fail(error, RNL_ERR_BUDGET,
                           "the batch needs %zu MiB, more than the %zu MiB allowed; choose a "
                           "shorter longest clip, or fewer decisions of a pass",
                           (plan.total >> 20) + 1, c->memory_size_max >> 20);
    return pass_create(b->model, &own, &b->pass, error);
}

rnl_status rnl_batch_create(rnl_model *model, const rnl_batch_config *config, rnl_batch **batch,
                            rnl_error *error) {
    if (model == NULL || batch == NULL)
        return status_fail(error, RNL_ERR_ARGUMENT, "rnl_batch_create: model or batch is NULL");
    const rnl_batch_config c = config != NULL ? *config : rnl_batch_config_default();
    rnl_batch *b = calloc(1, sizeof *b);
    *batch = b;
    if (b == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory for the batch is exhausted");
    b->model = model;
    const rnl_status status = create(b, &c, error);
    if (status != RNL_OK) rnl_batch_destroy(batch);
    return status;
}

void rnl_batch_destroy(rnl_batch **batch) {
    if (batch == NULL || *batch == NULL) return;
    assert((*batch)->pass == NULL || (*batch)->pass->session_count == 0);
    pass_destroy(&(*batch)->pass);
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
