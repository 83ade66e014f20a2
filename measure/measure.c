#include "measure/measure.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/pool.h"
#include "core/range.h"
#include "core/status.h"
#include "kernels/tiny.h"
#include "measure/pins.h"
#include "stack/stack_json.h"

typedef struct subject {
    measure_made made;         /* all zero of a model that is open */
    const backbone_weights *w; /* NULL: there is none */
    measure_runs runs;
    measure_result result;
} subject;

struct measure {
    measure_config config;
    kernels kernels;
    pool *pool; /* while it packs or measures */
    subject *subjects[MEASURE_MODEL_CAP];
    int subject_count;
    subject *reference;
};

measure_config measure_config_default(void) {
    return (measure_config){.thread_count = rnl_thread_count_default(),
                            .type = QUANT_Q4_0,
                            .round_count = MEASURE_ROUNDS,
                            .again_max = MEASURE_AGAIN,
                            .resident = true};
}

/* ---- Creation ---- */

static rnl_status select_level(measure *m, rnl_error *error) {
    const unsigned here = kernels_cpu_features();
    unsigned features = here & ~(unsigned)KERNELS_CPU_ROUNDS;
    const char *cpu = m->config.cpu;
    if ((cpu != NULL && !kernels_level(cpu, here, &features)) ||
        kernels_allowed(features) != features)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "kernel level \"%s\" is unknown, or needs what this machine lacks", cpu);
    kernels_select(&m->kernels, features);
    return RNL_OK;
}

rnl_status measure_create(const measure_config *c, measure **out, rnl_error *error) {
    const range ranges[] = {{"thread_count", c->thread_count, 1, RNL_THREAD_CAP},
                            {"round_count", c->round_count, 0, MEASURE_ROUND_CAP},
                            {"again_max", c->again_max, 0, MEASURE_AGAIN}};
    *out = NULL;
    rnl_status status = range_check(ranges, sizeof ranges / sizeof *ranges, error);
    if (status != RNL_OK) return status;
    measure *m = calloc(1, sizeof *m);
    if (m == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    m->config = *c;
    status = select_level(m, error);
    if (status != RNL_OK) measure_destroy(&m);
    *out = m;
    return status;
}

static void free_subject(subject **s) {
    if (*s == NULL) return;
    measure_runs_destroy(&(*s)->runs);
    measure_made_free(&(*s)->made);
    free(*s);
    *s = NULL;
}

void measure_clear(measure *m) {
    for (int i = 0; i < m->subject_count; i++) free_subject(&m->subjects[i]);
    m->subject_count = 0;
}

void measure_destroy(measure **m) {
    if (*m == NULL) return;
    measure_clear(*m);
    free_subject(&(*m)->reference);
    pool_destroy(&(*m)->pool);
    free(*m);
    *m = NULL;
}

static rnl_status start_threads(measure *m, rnl_error *error) {
    if (pool_create(m->config.thread_count, &m->pool) == RNL_OK) return RNL_OK;
    return status_fail(error, RNL_ERR_MEMORY, "%d threads cannot be started",
                       m->config.thread_count);
}

/* ---- What is measured ---- */

static rnl_status memory_of(const measure *m, subject *s, rnl_error *error) {
    const measure_config *c = &m->config;
    rnl_status status =
        measure_sizes_of(s->w, &m->kernels, c->thread_count, c->exact, &s->result.sizes, error);
    if (status == RNL_OK && s->made.set != NULL && c->round_count > 0 && c->resident)
        (void)measure_resident(s->w, &m->kernels, c->thread_count, c->exact, &s->result.resident);
    if (status == RNL_OK && c->round_count > 0)
        status = measure_runs_create(&s->runs, s->w, &m->kernels, c->thread_count, c->exact, error);
    return status;
}

static rnl_status new_subject(const char *name, subject **out, rnl_error *error) {
    *out = calloc(1, sizeof **out);
    if (*out == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    (void)snprintf((*out)->result.name, sizeof(*out)->result.name, "%s", name);
    return RNL_OK;
}

static rnl_status make_subject(measure *m, const measure_shape *shape, const char *name,
                               subject **out, rnl_error *error) {
    rnl_status status = new_subject(name, out, error);
    if (status != RNL_OK) return status;
    subject *s = *out;
    status = start_threads(m, error);
    if (status == RNL_OK)
        status =
            measure_make(shape, name, m->config.type, m->config.exact, m->pool, &s->made, error);
    pool_destroy(&m->pool); /* a process with one thread can fork */
    s->w = &s->made.backbone;
    s->result.parameter_count = s->made.parameter_count;
    s->result.weight_size = s->made.weight_size;
    if (status == RNL_OK) status = memory_of(m, s, error);
    if (status != RNL_OK) free_subject(out);
    return status;
}

static rnl_status new_shape(measure_shape **out, rnl_error *error) {
    *out = calloc(1, sizeof **out); /* too large for a stack */
    if (*out != NULL) return RNL_OK;
    return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
}

rnl_status measure_shape_read(measure_shape *out, const char *path, rnl_error *error) {
    stack_json_model model = {0};
    memset(out, 0, sizeof *out);
    const rnl_status status = stack_json_load(path, &out->stack, &model, error);
    out->vocab_count = model.vocab_count;
    out->tied = model.tied;
    return status;
}

static rnl_status config_subject(measure *m, const char *path, subject **out, rnl_error *error) {
    measure_shape *shape;
    *out = NULL;
    rnl_status status = new_shape(&shape, error);
    if (status == RNL_OK) status = measure_shape_read(shape, path, error);
    if (status == RNL_OK) status = make_subject(m, shape, path, out, error);
    free(shape);
    return status;
}

static rnl_status check_room(const measure *m, rnl_error *error) {
    if (m->subject_count < MEASURE_MODEL_CAP) return RNL_OK;
    return status_fail(error, RNL_ERR_ARGUMENT, "at most %d models are measured beside each other",
                       MEASURE_MODEL_CAP);
}

rnl_status measure_add_config(measure *m, const char *path, rnl_error *error) {
    rnl_status status = check_room(m, error);
    if (status == RNL_OK) status = config_subject(m, path, &m->subjects[m->subject_count], error);
    m->subject_count += status == RNL_OK;
    return status;
}

rnl_status measure_add_shape(measure *m, const measure_shape *shape, const char *name,
                             rnl_error *error) {
    rnl_status status = check_room(m, error);
    if (status == RNL_OK)
        status = make_subject(m, shape, name, &m->subjects[m->subject_count], error);
    m->subject_count += status == RNL_OK;
    return status;
}

rnl_status measure_add_backbone(measure *m, const backbone_weights *w, const char *name,
                                int64_t parameter_count, size_t weight_size, rnl_error *error) {
    subject **place = &m->subjects[m->subject_count];
    rnl_status status = check_room(m, error);
    if (status == RNL_OK) status = new_subject(name, place, error);
    if (status != RNL_OK) return status;
    (*place)->w = w;
    (*place)->result.parameter_count = parameter_count;
    (*place)->result.weight_size = weight_size;
    status = memory_of(m, *place, error);
    if (status != RNL_OK)
        free_subject(place);
    else
        m->subject_count++;
    return status;
}

rnl_status measure_set_reference(measure *m, const char *path, rnl_error *error) {
    free_subject(&m->reference);
    if (path != NULL) return config_subject(m, path, &m->reference, error);
    measure_shape *shape;
    rnl_status status = new_shape(&shape, error);
    if (status != RNL_OK) return status;
    measure_reference_shape(shape, MEASURE_REFERENCE_LAYERS);
    status = make_subject(m, shape, "8 blocks of LFM2-350M", &m->reference, error);
    free(shape);
    return status;
}

/* ---- Measuring ---- */

static bool run(void *context, int model, measure_metric metric, measure_sample *out) {
    measure *m = context;
    subject *s = model == MEASURE_REFERENCE ? m->reference : m->subjects[model];
    return measure_run(&s->runs, m->pool, metric, m->config.stop, out);
}

/* Threads, caches and clocks come to speed; weights are touched for the first time. */
static bool warm_up(measure *m) {
    measure_sample none;
    bool goes_on = run(m, MEASURE_REFERENCE, MEASURE_PREFILL_1K, &none);
    for (int i = 0; i < m->subject_count && goes_on; i++)
        goes_on = run(m, i, MEASURE_PREFILL_1K, &none) && run(m, i, MEASURE_DECODE_1K, &none);
    return goes_on;
}

static rnl_status take_times(measure *m, measure_report *out, rnl_error *error) {
    const size_t cells = (size_t)m->subject_count * MEASURE_METRIC_COUNT;
    measure_times *times = calloc(cells, sizeof *times);
    if (times == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    const bool flushed = kernels_flush_tiny(true); /* the threads to come inherit it */
    rnl_status status = start_threads(m, error);
    if (status == RNL_OK) {
        measure_pins before;
        out->pinned = measure_pin(m->pool, &before);
        const measure_runner runner = {.run = run, .context = m};
        if (!warm_up(m) || !measure_rounds(&runner, m->subject_count, m->config.round_count,
                                           m->config.again_max, times))
            status = status_fail(error, RNL_ERR_STATE, "stopped");
        pool_destroy(&m->pool);
        measure_unpin(&before);
    }
    (void)kernels_flush_tiny(flushed);
    for (size_t i = 0; i < cells; i++)
        out->results[i / MEASURE_METRIC_COUNT].times[i % MEASURE_METRIC_COUNT] = times[i];
    free(times);
    return status == RNL_OK ? measure_report_settle(out, error) : status;
}

rnl_status measure_all(measure *m, measure_report *out, rnl_error *error) {
    assert(m->subject_count > 0);
    *out = (measure_report){.load = -1,
                            .thread_count = m->config.thread_count,
                            .exact = m->config.exact,
                            .count = m->subject_count};
    (void)snprintf(out->level, sizeof out->level, "%s", m->kernels.name);
    (void)snprintf(out->type, sizeof out->type, "%s",
                   quant_describe((uint32_t)m->config.type)->name);
    out->results = calloc((size_t)out->count, sizeof *out->results);
    if (out->results == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    for (int i = 0; i < out->count; i++) out->results[i] = m->subjects[i]->result;
    if (m->config.round_count == 0) return RNL_OK;
    if (m->reference == NULL) {
        const rnl_status status = measure_set_reference(m, NULL, error);
        if (status != RNL_OK) return status;
    }
    (void)snprintf(out->reference, sizeof out->reference, "%s", m->reference->result.name);
    return take_times(m, out, error);
}
