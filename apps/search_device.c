#include "apps/search_device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/ending.h"
#include "apps/folders.h"
#include "apps/machine.h"
#include "apps/messages.h"
#include "core/status.h"
#include "core/threads.h"
#include "measure/apart.h"
#include "measure/report.h"

/* ---- The meter ---- */

_Static_assert((int)SEARCH_TIME_COUNT == (int)MEASURE_METRIC_COUNT, "both have the same times");

static void take_cost(const measure_report *r, int index, search_cost *out) {
    const measure_result *own = &r->results[index];
    for (int t = 0; t < SEARCH_TIME_COUNT; t++) {
        const measure_times *times = &own->times[t];
        out->ms[t] = times->ms;
        out->yardstick[t] = r->reference_ms[t];
        out->spread[t] = (times->ratio_max - times->ratio_min) / 2 * r->reference_ms[t];
    }
    out->cache = own->sizes.cache;
    out->activation = own->sizes.activation;
}

static rnl_status check(const measure_report *r, rnl_error *error) {
    for (int i = 0; i < r->count; i++)
        for (int t = 0; t < SEARCH_TIME_COUNT; t++)
            if (r->results[i].times[t].round_count == 0)
                return status_fail(error, RNL_ERR_FORMAT,
                                   "the device's report lacks %s; have both sides from the same "
                                   "version of Runnel",
                                   measure_metric_names[t]);
    return RNL_OK;
}

static rnl_status run_meter(searching_device *d, const char *const *paths, int count,
                            measure_report *out, rnl_error *error) {
    const char *reference = d->plan->reference[0] != '\0' ? d->plan->reference : NULL;
    if (!d->plan->is_remote) {
        machine here;
        machine_read("", &here); /* before we are the load */
        const rnl_status status = measure_apart(&d->config, reference, paths, count, out, error);
        out->load = here.load;
        return status;
    }
    measure_device device = d->remote;
    device.seconds_max *= count;
    return measure_remote(&device, &d->config, reference, paths, count, out, error);
}

static rnl_status meter(void *context, const char *const *paths, int count, search_cost *out,
                        json_draft **raw, rnl_error *error) {
    measure_report report = {0};
    rnl_status status = run_meter(context, paths, count, &report, error);
    if (status == RNL_OK) status = check(&report, error);
    for (int i = 0; i < count && status == RNL_OK; i++) {
        take_cost(&report, i, &out[i]);
        raw[i] = measure_result_json(&report.results[i]);
        json_set(raw[i], "load", json_new_number(report.load));
    }
    measure_report_free(&report);
    return status;
}

static int open_meter(const options *o, const search_plan *p, searching_device *d) {
    d->config = measure_config_default();
    d->config.cpu = o->cpu;
    d->config.round_count = p->rounds;
    d->config.again_max = p->again;
    d->config.resident = false; /* a check of what measures, not of what is measured */
    d->config.stop = interrupted;
    if (o->threads > 0) d->config.thread_count = o->threads;
    d->real.meter = (search_meter){.measure = meter, .context = d};
    if (!p->is_remote) return EXIT_OK;
    if (o->threads <= 0) d->config.thread_count = 0; /* as suits it */
    return measuring_device(o, p->device, d->program, &d->remote);
}

/* ---- The school ---- */

static bool goes_on(void *context) {
    (void)context;
    return !interrupted();
}

static int open_school(const options *o, const search_plan *p, searching_device *d) {
    size_t size;
    rnl_error error = {0};
    search_school *s = &d->real.school;
    if (text_of_file(p->corpus, &d->corpus, &size, &error) != RNL_OK)
        return complain(exit_code(&error), "%s", error.text);
    d->real.corpus = (search_corpus){(const unsigned char *)d->corpus, size};
    if ((size_t)snprintf(d->folder, sizeof d->folder, "%s/proxy", o->output) >= sizeof d->folder)
        return complain(EXIT_USAGE, "%.60s...: the name is too long", o->output);
    if (!folders_make(d->folder, 0777))
        return complain(EXIT_FAILED, "%s: cannot be made: %s", d->folder, strerror(errno));
    *s = search_school_default();
    s->folder = d->folder;
    s->thread_count = o->threads > 0 ? o->threads : threads_default("");
    s->recall.steps = p->recall_steps;
    s->text.steps = p->text_steps;
    s->goes_on = goes_on;
    return EXIT_OK;
}

int searching_device_open(const options *o, const search_plan *p, searching_device *out) {
    *out = (searching_device){.device = search_made_up, .plan = p};
    if (!p->is_real) return EXIT_OK;
    int code = open_school(o, p, out);
    if (code == EXIT_OK) code = open_meter(o, p, out);
    out->device = search_real_device(&out->real);
    return code;
}

void searching_device_close(searching_device *d) {
    if (d->folder[0] != '\0') (void)rmdir(d->folder); /* empty but for what others put there */
    search_real_free(&d->real);
    free(d->corpus);
    d->corpus = NULL;
}
