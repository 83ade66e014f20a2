#include "measure/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"

rnl_status measure_report_settle(measure_report *r, rnl_error *error) {
    double *values = malloc(sizeof *values * 2 * MEASURE_ROUND_CAP * (size_t)r->count);
    if (values == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++) {
        int count = 0;
        for (int i = 0; i < r->count; i++)
            count += measure_reference_of(&r->results[i].times[m], values + count);
        r->reference_ms[m] = count > 0 ? measure_median(values, count) : 0;
        for (int i = 0; i < r->count; i++) {
            measure_ratios(&r->results[i].times[m]);
            measure_settle(&r->results[i].times[m], r->reference_ms[m]);
        }
    }
    free(values);
    return RNL_OK;
}

void measure_report_free(measure_report *r) {
    free(r->results);
    *r = (measure_report){0};
}

/* ---- Writing ---- */

static void set_text(json_draft *o, const char *key, const char *text) {
    json_set(o, key, json_new_string(text, strlen(text)));
}

static void set_size(json_draft *o, const char *key, size_t size) {
    json_set(o, key, json_new_int((int64_t)size));
}

static json_draft *rounds_json(const measure_times *t, bool is_prefill) {
    json_draft *rounds = json_new_array();
    for (int i = 0; i < t->round_count; i++) {
        const measure_round *r = &t->rounds[i];
        json_draft *one = json_new_array();
        json_append(one, json_new_number(r->before));
        json_append(one, json_new_number(r->own.ms));
        json_append(one, json_new_number(r->after));
        if (!is_prefill) json_append(one, json_new_number(r->own.p95));
        json_append(rounds, one);
    }
    return rounds;
}

static json_draft *times_json(const measure_times *t, measure_metric m) {
    const bool is_prefill = measure_metric_is_prefill(m);
    json_draft *o = json_new_object();
    json_set(o, "ms", json_new_number(t->ms));
    if (!is_prefill) json_set(o, "p95_ms", json_new_number(t->p95));
    json_set(o, "tokens_per_second",
             json_new_number(1e3 * (is_prefill ? measure_metric_positions(m) : 1) / t->ms));
    json_set(o, "ratio", json_new_number(t->ratio));
    json_set(o, "ratio_min", json_new_number(t->ratio_min));
    json_set(o, "ratio_max", json_new_number(t->ratio_max));
    json_set(o, "again", json_new_int(t->again_count));
    json_set(o, "flagged", json_new_int(t->flagged_count));
    json_set(o, "rounds", rounds_json(t, is_prefill));
    return o;
}

json_draft *measure_result_json(const measure_result *r) {
    json_draft *o = json_new_object();
    set_text(o, "file", r->name);
    json_set(o, "parameters", json_new_int(r->parameter_count));
    set_size(o, "weight_bytes", r->weight_size);
    set_size(o, "cache_bytes", r->sizes.cache);
    set_size(o, "activation_bytes", r->sizes.activation);
    json_set(o, "activation_resident",
             json_new_number(r->resident > 0 ? (double)r->resident : NAN));
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++)
        if (r->times[m].round_count > 0)
            json_set(o, measure_metric_names[m], times_json(&r->times[m], m));
    return o;
}

json_draft *measure_report_json(const measure_report *r) {
    json_draft *o = json_new_object(), *models = json_new_array();
    set_text(o, "cpu", r->cpu);
    json_set(o, "load", json_new_number(r->load >= 0 ? r->load : NAN));
    set_text(o, "level", r->level);
    json_set(o, "threads", json_new_int(r->thread_count));
    json_set(o, "pinned", json_new_bool(r->pinned));
    json_set(o, "exact", json_new_bool(r->exact));
    set_text(o, "type", r->type);
    if (r->reference[0] != '\0') {
        json_draft *reference = json_new_object();
        set_text(reference, "file", r->reference);
        for (int m = 0; m < MEASURE_METRIC_COUNT; m++)
            json_set(reference, measure_metric_names[m], json_new_number(r->reference_ms[m]));
        json_set(o, "reference", reference);
    }
    for (int i = 0; i < r->count; i++) json_append(models, measure_result_json(&r->results[i]));
    json_set(o, "models", models);
    return o;
}

/* ---- Reading ---- */

/* Sticky: the first fault makes the sentence. */
typedef struct reader {
    const char *name;
    rnl_status status;
    rnl_error *error;
} reader;

static void fail(reader *r, const char *key) {
    if (r->status == RNL_OK)
        r->status =
            status_fail(r->error, RNL_ERR_FORMAT,
                        "%s: \"%s\" is missing or not what runnel-measure writes; have both "
                        "sides from the same version of Runnel",
                        r->name, key);
}

static void text_of(reader *r, const json *o, const char *key, char *out, size_t cap) {
    const char *text = json_chars(json_get(o, key), NULL);
    if (text == NULL || (size_t)snprintf(out, cap, "%s", text) >= cap) fail(r, key);
    status_clean(out);
}

static int64_t whole_of(reader *r, const json *o, const char *key, int64_t max) {
    int64_t value = 0;
    if (!json_int(json_get(o, key), 0, max, &value)) fail(r, key);
    return value;
}

static bool flag_of(reader *r, const json *o, const char *key) {
    bool value = false;
    if (!json_bool(json_get(o, key), &value)) fail(r, key);
    return value;
}

/* ms of one run: over 0. */
static double ms_of(reader *r, const json *v, const char *key) {
    double ms = 1;
    if (!json_number(v, &ms) || !(ms > 0 && ms < 1e12)) fail(r, key);
    return ms;
}

static void read_times(reader *r, const json *o, measure_metric m, measure_times *t) {
    const char *const key = measure_metric_names[m];
    const json *times = json_get(o, key), *rounds = json_get(times, "rounds");
    if (json_is_null(times)) return;
    const bool is_prefill = measure_metric_is_prefill(m);
    const size_t count = json_count(rounds), parts = is_prefill ? 3 : 4;
    t->again_count = (int)whole_of(r, times, "again", MEASURE_AGAIN * MEASURE_ROUND_CAP);
    if (count < 1 || count > MEASURE_ROUND_CAP) fail(r, key);
    for (size_t i = 0; i < count && r->status == RNL_OK; i++) {
        const json *one = json_at(rounds, i);
        measure_round *round = &t->rounds[t->round_count++];
        if (json_count(one) != parts) fail(r, key);
        round->before = ms_of(r, json_at(one, 0), key);
        round->own.ms = ms_of(r, json_at(one, 1), key);
        round->after = ms_of(r, json_at(one, 2), key);
        round->own.p95 = is_prefill ? round->own.ms : ms_of(r, json_at(one, 3), key);
    }
}

static void read_result(reader *r, const json *o, measure_result *out) {
    double resident = 0;
    text_of(r, o, "file", out->name, sizeof out->name);
    out->parameter_count = whole_of(r, o, "parameters", INT64_MAX);
    out->weight_size = (size_t)whole_of(r, o, "weight_bytes", INT64_MAX);
    out->sizes.cache = (size_t)whole_of(r, o, "cache_bytes", INT64_MAX);
    out->sizes.activation = (size_t)whole_of(r, o, "activation_bytes", INT64_MAX);
    if (json_number(json_get(o, "activation_resident"), &resident) && resident > 0 &&
        resident < 1e18)
        out->resident = (size_t)resident;
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++) read_times(r, o, m, &out->times[m]);
}

static void read_report(reader *r, const json *root, measure_report *out) {
    text_of(r, root, "cpu", out->cpu, sizeof out->cpu);
    text_of(r, root, "level", out->level, sizeof out->level);
    text_of(r, root, "type", out->type, sizeof out->type);
    out->thread_count = (int)whole_of(r, root, "threads", RNL_THREAD_CAP);
    out->pinned = flag_of(r, root, "pinned");
    out->exact = flag_of(r, root, "exact");
    if (!json_number(json_get(root, "load"), &out->load)) out->load = -1;
    const json *reference = json_get(root, "reference"), *models = json_get(root, "models");
    if (!json_is_null(reference))
        text_of(r, reference, "file", out->reference, sizeof out->reference);
    const size_t count = json_count(models);
    if (count < 1 || count > MEASURE_MODEL_CAP || !json_is_array(models)) fail(r, "models");
    if (r->status != RNL_OK) return;
    out->results = calloc(count, sizeof *out->results);
    if (out->results == NULL) {
        r->status = status_fail(r->error, RNL_ERR_MEMORY, "%s: memory is exhausted", r->name);
        return;
    }
    out->count = (int)count;
    for (size_t i = 0; i < count && r->status == RNL_OK; i++)
        read_result(r, json_at(models, i), &out->results[i]);
}

rnl_status measure_report_read(const char *text, size_t size, const char *name, measure_report *out,
                               rnl_error *error) {
    json *root = NULL;
    *out = (measure_report){0};
    rnl_status status = json_parse(text, size, name, &root, error);
    if (status != RNL_OK) return status;
    reader r = {.name = name, .error = error};
    read_report(&r, root, out);
    json_destroy(&root);
    return r.status == RNL_OK ? measure_report_settle(out, error) : r.status;
}
