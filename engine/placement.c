#include "engine/placement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/range.h"
#include "core/status.h"
#include "engine/model.h"

rnl_device_config rnl_device_config_default(void) {
    return (rnl_device_config){.device = "cpu", .context_cap = 4096, .deadline_ms = 10000};
}

/* ---- One device ---- */

static void lost(void *context, const rnl_error *why) {
    const rnl_model *m = context;
    source_log(&m->source, RNL_LOG_WARNING, "%s: %s; the CPU goes on", m->placement.name,
               why->text);
}

/* What the CPU multiplies by for the self-check, with memory for this call. */
typedef struct checking {
    compute c;
    pool *pool;
    void *memory;
} checking;

static rnl_status checking_begin(checking *k, const rnl_model *m, rnl_error *error) {
    arena a = {0};
    *k = (checking){.c = {.k = &m->kernels,
                          .exact = m->exact,
                          .fetch = (kernels_fetch)m->tuning.prefetch,
                          .block_size = (size_t)m->tuning.block_kib * 1024}};
    compute_layout(&k->c, 1, m->col_max, &a);
    k->memory = a.overflowed ? NULL : aligned_alloc(ARENA_ALIGN, a.size_used);
    if (k->memory == NULL || pool_create(1, &k->pool) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "memory for its check is exhausted");
    a = (arena){.base = k->memory, .size_cap = a.size_used};
    compute_layout(&k->c, 1, m->col_max, &a);
    k->c.pool = k->pool;
    return RNL_OK;
}

static void checking_end(checking *k) {
    pool_destroy(&k->pool);
    free(k->memory);
}

static rnl_status check(const rnl_model *m, stack_device *d, rnl_error *error) {
    checking k;
    rnl_status status = checking_begin(&k, m, error);
    if (status == RNL_OK) status = stack_device_check(d, &k.c, &m->backbone.stack, error);
    checking_end(&k);
    return status;
}

/* ---- What it takes ---- */

static rnl_status load_backbone(rnl_model *m, const rnl_device_config *config, rnl_error *error) {
    const stack_device_room room = {.row_cap = PLACEMENT_ROW_CAP,
                                    .position_cap = config->context_cap,
                                    .cache = m->backbone.stack.cache,
                                    .exact = m->exact};
    return stack_device_load(m->placement.device, &m->backbone.stack, &room, &m->placement.backbone,
                             error);
}

static rnl_status load_depth(rnl_model *m, const rnl_device_config *config, rnl_error *error) {
    const stack_device_room room = {.row_cap = PLACEMENT_DEPTH_ROWS,
                                    .position_cap = m->depth.codebook_count,
                                    .cache = m->depth.stack.cache,
                                    .exact = m->exact};
    (void)config;
    return stack_device_load(m->placement.device, &m->depth.stack, &room, &m->placement.depth,
                             error);
}

static rnl_status load_encoder(rnl_model *m, const rnl_device_config *config, rnl_error *error) {
    placement *p = &m->placement;
    (void)config;
    if (p->row->encoder == NULL)
        return status_fail(error, RNL_ERR_UNSUPPORTED, "it computes no encoders");
    return encoder_device_load(p->device, p->row->encoder, &m->encoder, m->exact, &p->encoder,
                               error);
}

typedef struct part {
    unsigned stages;
    const char *what;
    rnl_status (*load)(rnl_model *m, const rnl_device_config *config, rnl_error *error);
} part;
static const part parts[] = {
    {RNL_DEVICE_PREFILL | RNL_DEVICE_DECODE, "backbone", load_backbone},
    {RNL_DEVICE_DEPTH, "depthformer", load_depth},
    {RNL_DEVICE_ENCODER, "encoder", load_encoder},
};
enum { PART_OF_DEVICE_COUNT = sizeof parts / sizeof *parts };

/* Of the stages those that this model has. */
static unsigned stages_of(const rnl_model *m, unsigned stages) {
    if (m->source.config.codebook_count == 0) stages &= ~(unsigned)RNL_DEVICE_DEPTH;
    if (!m->source.config.has_encoder) stages &= ~(unsigned)RNL_DEVICE_ENCODER;
    return stages;
}

/* RNL_OK: some of it; what it leaves to the CPU is said. */
static rnl_status load(rnl_model *m, const rnl_device_config *config, unsigned stages,
                       rnl_error *error) {
    placement *p = &m->placement;
    rnl_error left[PART_OF_DEVICE_COUNT] = {0};
    for (int i = 0; i < PART_OF_DEVICE_COUNT; i++) {
        const unsigned wanted = stages & parts[i].stages;
        if (wanted != 0 && parts[i].load(m, config, &left[i]) == RNL_OK) p->stages |= wanted;
        if (!stack_device_usable(p->device)) p->stages = 0;
    }
    for (int i = PART_OF_DEVICE_COUNT - 1; i >= 0 && p->stages == 0; i--)
        if (left[i].status != RNL_OK) *error = left[i];
    if (p->stages == 0) return error->status != RNL_OK ? error->status : RNL_ERR_UNSUPPORTED;
    for (int i = 0; i < PART_OF_DEVICE_COUNT; i++)
        if (left[i].status != RNL_OK)
            source_log(&m->source, RNL_LOG_WARNING, "%s: the %s stays on the CPU: %s", p->name,
                       parts[i].what, left[i].text);
    return RNL_OK;
}

rnl_status placement_take(rnl_model *m, const device_kind *row, const char *name, unsigned stages,
                          const rnl_device_config *config, rnl_error *error) {
    placement *p = &m->placement;
    rnl_error why = {0};
    *p = (placement){.row = row, .hung = p->hung};
    stages = stages_of(m, stages);
    rnl_status status = stack_device_open(row->ops, config, name, lost, m, &p->device, &why);
    if (status == RNL_OK) {
        (void)snprintf(p->name, sizeof p->name, "%s %s", row->ops->kind,
                       stack_device_facts_of(p->device)->name);
        status = check(m, p->device, &why);
    }
    if (status == RNL_OK) status = load(m, config, stages, &why);
    if (status == RNL_OK) {
        source_log(&m->source, RNL_LOG_INFO, "%s computes", p->name);
        return RNL_OK;
    }
    const char *who = p->name[0] != '\0' ? p->name : row->ops->kind;
    status = status_fail(error, status, "%s is not used: %s", who, why.text);
    placement_close(m);
    return status;
}

/* ---- The choice ---- */

typedef struct choice {
    char kind[8];     /* "cpu", "auto", or that of rows */
    const char *name; /* of the device; NULL: any */
} choice;

static rnl_status parse(const char *text, choice *out, rnl_error *error) {
    static const char *const kinds[] = {"cpu", "auto", "gpu", "npu"};
    const char *colon = strchr(text, ':');
    const size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);
    *out = (choice){.name = colon != NULL ? colon + 1 : NULL};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i]) != length || memcmp(kinds[i], text, length) != 0) continue;
        if (colon != NULL && (i < 2 || colon[1] == '\0')) continue; /* cpu and auto have no name */
        memcpy(out->kind, kinds[i], length);
        return RNL_OK;
    }
    return status_fail(error, RNL_ERR_ARGUMENT,
                       "device: '%s' is none of cpu, auto, gpu, npu, gpu:NAME and npu:NAME", text);
}

rnl_status placement_check(const rnl_device_config *c, rnl_error *error) {
    choice any;
    if (c == NULL || c->device == NULL) return RNL_OK;
    const range ranges[] = {{"device context_cap", c->context_cap, 64, 1 << 20},
                            {"device deadline_ms", c->deadline_ms, 10, 600000},
                            {"device measured", c->measured, 0, RNL_DEVICE_STAGES}};
    const rnl_status status = parse(c->device, &any, error);
    return status == RNL_OK ? range_check(ranges, sizeof ranges / sizeof *ranges, error) : status;
}

/* Rows of that kind ("auto": of any), one after the other, until one computes. */
static rnl_status choose(rnl_model *m, const choice *want, const rnl_device_config *config,
                         unsigned stages, rnl_error *error) {
    const bool any = strcmp(want->kind, "auto") == 0;
    rnl_status status = RNL_ERR_UNSUPPORTED;
    (void)status_fail(error, status,
                      devices_built ? "%s is not used: there are no such devices in this build"
                                    : "%s is not used: this library was built without devices "
                                      "(RUNNEL_DEVICES=OFF)",
                      want->kind);
    for (int i = 0; devices_all[i] != NULL && status != RNL_OK; i++)
        if (any || strcmp(devices_all[i]->ops->kind, want->kind) == 0)
            status = placement_take(m, devices_all[i], want->name, stages, config, error);
    return status;
}

rnl_status placement_choose(rnl_model *m, const rnl_device_config *config, unsigned stages,
                            rnl_error *error) {
    choice want;
    rnl_status status = placement_check(config, error);
    if (status == RNL_OK) status = parse(config->device, &want, error);
    return status == RNL_OK ? choose(m, &want, config, stages, error) : status;
}

void placement_open(rnl_model *m, const rnl_device_config *c) {
    choice want;
    rnl_error why = {0};
    if (c == NULL || c->device == NULL || parse(c->device, &want, &why) != RNL_OK) return;
    const bool cpu = strcmp(want.kind, "cpu") == 0, any = strcmp(want.kind, "auto") == 0;
    const unsigned stages = cpu ? 0 : any ? c->measured : RNL_DEVICE_STAGES;
    if (stages != 0 && choose(m, &want, c, stages, &why) != RNL_OK)
        source_log(&m->source, RNL_LOG_WARNING, "%s; the CPU computes", why.text);
}

void placement_close(rnl_model *m) {
    placement *p = &m->placement;
    if (p->device == NULL) return;
    void *const left[] = {p->backbone, p->depth, p->encoder};
    encoder_device_unload(&p->encoder);
    stack_device_unload(&p->depth);
    stack_device_unload(&p->backbone);
    const bool hangs = stack_device_hangs(p->device);
    stack_device_close(&p->device);
    *p = (placement){.hung = hangs || p->hung};
    if (hangs) memcpy(p->left, left, sizeof left);
}

/* ---- Passes ---- */

stack_placed *placement_of(const rnl_model *m, bool decides) {
    const placement *p = &m->placement;
    const unsigned stage = decides ? RNL_DEVICE_DECODE : RNL_DEVICE_PREFILL;
    return (p->stages & stage) != 0 && stack_device_usable(p->device) ? p->backbone : NULL;
}

bool placement_attach(const rnl_model *m, stack_state *s) {
    const placement *p = &m->placement;
    rnl_error why;
    if (p->backbone == NULL || !stack_device_usable(p->device)) return false;
    if (stack_placed_attach(p->backbone, s, &why) == RNL_OK) return true;
    source_log(&m->source, RNL_LOG_WARNING, "%s: a session stays on the CPU: %s", p->name,
               why.text);
    return false;
}

size_t placement_size(const rnl_model *m) {
    const placement *p = &m->placement;
    const stack_placed *const stacks[] = {p->backbone, p->depth};
    size_t size = p->encoder != NULL ? encoder_placed_size(p->encoder) : 0;
    for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++)
        if (stacks[i] != NULL) size += stack_placed_size(stacks[i]);
    return size;
}

bool placement_hangs(const rnl_model *m) {
    return m->placement.hung || stack_device_hangs(m->placement.device);
}

const char *rnl_model_device(const rnl_model *model, unsigned *stages) {
    const placement *p = &model->placement;
    const bool computes = p->device != NULL && stack_device_usable(p->device);
    if (stages != NULL) *stages = computes ? p->stages : 0;
    return computes ? p->name : "cpu";
}
