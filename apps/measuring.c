#include "apps/measuring.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/ending.h"
#include "apps/machine.h"
#include "apps/messages.h"
#include "measure/report.h"
#include "measure/table.h"

enum { PATH_CAP = MEASURING_PATH_CAP, TIMEOUT = 600 /* seconds */ };

static const option_row rows[] = {
    {.name = "type",
     .value = "TYPE",
     .help = "weights that are made for a config.json (default q4_0)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(type),
     .changes_result = true},
    {.name = "rounds",
     .value = "N",
     .help = "times that everything is measured (default 5)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(measure.rounds),
     .min = 1,
     .max = MEASURE_ROUND_CAP,
     .changes_result = true},
    {.name = "again",
     .value = "N",
     .help = "times to repeat what stood between unlike references (default 10)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(measure.again),
     .min = 0,
     .max = MEASURE_AGAIN,
     .changes_result = true},
    {.name = "reference",
     .value = "CONFIG",
     .help = "config.json to measure beside (default: 8 blocks of LFM2-350M)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(measure.reference),
     .changes_result = true},
    {.name = "table",
     .help = "each block of one config.json alone as well, and what their sum foretells",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(measure.table),
     .changes_result = true},
    {.name = "no-times",
     .help = "memory alone, which takes no measuring",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(measure.no_times),
     .changes_result = true},
    {.name = "device",
     .value = "COMMAND",
     .help = "measure where this leads: \"ssh HOST {cmd}\", \"adb shell {cmd}\"",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(measure.device),
     .changes_result = true},
};
const option_list options_measure = OPTION_LIST(rows);

static const option_row remote_rows[] = {
    {.name = "push",
     .value = "COMMAND",
     .help = "copies files there first: \"scp {file} HOST:{path}\"",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(measure.push)},
    {.name = "program",
     .value = "FILE",
     .help = "runnel-measure for the device's processor (default: beside runnel)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(measure.program),
     .changes_result = true},
    {.name = "folder",
     .value = "PATH",
     .help = "where --push puts files on the device (default /tmp)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(measure.folder)},
    {.name = "timeout",
     .value = "SECONDS",
     .help = "for each command on the device (default 600)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(measure.timeout),
     .min = 1,
     .max = 86400},
};
const option_list options_remote = OPTION_LIST(remote_rows);

/* ---- Files ---- */

static bool has_file(const char *folder, const char *name, char path[PATH_CAP]) {
    const int size = snprintf(path, PATH_CAP, "%s/%s", folder, name);
    return size >= 0 && size < PATH_CAP && access(path, F_OK) == 0;
}

/* A config.json, or a folder that has one and no weights; path: of the file. */
static bool is_config(const char *name, char path[PATH_CAP]) {
    struct stat info;
    if (stat(name, &info) != 0 || strlen(name) >= PATH_CAP) return false;
    if (S_ISDIR(info.st_mode))
        return !has_file(name, "model.safetensors", path) &&
               !has_file(name, "model.safetensors.index.json", path) &&
               has_file(name, "config.json", path);
    (void)strcpy(path, name);
    FILE *f = S_ISREG(info.st_mode) ? fopen(name, "re") : NULL;
    if (f == NULL) return false;
    char first = '\0';
    (void)fscanf(f, " %c", &first);
    (void)fclose(f);
    return first == '{';
}

static int failed(const rnl_error *error) {
    if (error->status == RNL_ERR_STATE && interrupted()) return EXIT_STOPPED;
    return complain(exit_code(error), "%s", error->text);
}

/* What a device says about a file is no verdict on it here. */
static int failed_there(const rnl_error *error) {
    const int code = failed(error);
    return code == EXIT_STOPPED || code == EXIT_USAGE ? code : EXIT_FAILED;
}

/* ---- What was found ---- */

static void print_head(const measure_report *r) {
    put_name(stdout, r->cpu);
    printf(", kernels %s, %d thread%s%s, weights %s%s", r->level, r->thread_count,
           r->thread_count == 1 ? "" : "s", r->pinned ? " pinned" : "", r->type,
           r->exact ? ", exact" : "");
    if (r->load >= 0) printf(", load %.2f", r->load);
    printf("\n\n%9s %9s %9s %11s", "params", "weights", "cache 4K", "activations");
    if (r->reference[0] != '\0')
        printf("  %11s %11s %15s %15s", "prefill 1K", "4K tok/s", "decode 1K (p95)", "4K ms (p95)");
    printf("\n");
}

static void print_ms(double ms, double p95) {
    char text[32];
    (void)snprintf(text, sizeof text, "%.2f (%.2f)", ms, p95);
    printf(" %15s", text);
}

/* In the order of the metrics. */
static void print_times(const double ms[MEASURE_METRIC_COUNT],
                        const double p95[MEASURE_METRIC_COUNT]) {
    printf(" ");
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++) {
        if (measure_metric_is_prefill(m))
            printf(" %11.1f", 1e3 * measure_metric_positions(m) / ms[m]);
        else
            print_ms(ms[m], p95[m]);
    }
}

static void print_ratios(const measure_result *r) {
    static const int widths[MEASURE_METRIC_COUNT] = {12, 12, 16, 16};
    int flagged = 0;
    printf("%9s %9s %9s %11s ", "", "", "", "to reference");
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++) {
        char text[32];
        (void)snprintf(text, sizeof text, "%.2f±%.2f", r->times[m].ratio,
                       (r->times[m].ratio_max - r->times[m].ratio_min) / 2);
        printf("%*s", widths[m] + (m > 0 ? 1 : 0), text); /* ± has two bytes */
        flagged += r->times[m].flagged_count;
    }
    printf("\n");
    if (flagged > 0)
        printf("the reference changed by over 5 %% in %d rounds, whatever was tried: repeat this "
               "on a quieter machine\n",
               flagged);
}

static void print_result(const measure_report *report, const measure_result *r) {
    char stored[SIZE_TEXT_CAP], cache[SIZE_TEXT_CAP], activation[SIZE_TEXT_CAP];
    double ms[MEASURE_METRIC_COUNT], p95[MEASURE_METRIC_COUNT];
    size_text((int64_t)r->weight_size, stored);
    size_text((int64_t)r->sizes.cache, cache);
    size_text((int64_t)r->sizes.activation, activation);
    printf("%7.1f M %9s %9s %11s", 1e-6 * (double)r->parameter_count, stored, cache, activation);
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++) ms[m] = r->times[m].ms, p95[m] = r->times[m].p95;
    if (report->reference[0] != '\0') print_times(ms, p95);
    printf("  ");
    put_name(stdout, r->name);
    printf("\n");
    if (report->reference[0] != '\0') print_ratios(r);
}

static void print_table(const measure_table *t, const measure_result *whole) {
    static const char *const words[] = {"head", "their sum"};
    const double *const sums[] = {t->head, t->predicted};
    printf("\nms of a block%28s", "");
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++) printf(" %11s", measure_metric_names[m]);
    for (int b = 0; b < t->block_count; b++) {
        int count = 0;
        for (int i = 0; i < t->layer_count; i++) count += t->block_of[i] == b;
        printf("\n%4d as layer %-4d%24s", count, t->layer_of[b], "");
        for (int m = 0; m < MEASURE_METRIC_COUNT; m++) printf(" %11.3f", t->blocks[b][m]);
    }
    for (int i = 0; i < 2; i++) {
        printf("\n     %-36s", words[i]);
        for (int m = 0; m < MEASURE_METRIC_COUNT; m++) printf(" %11.3f", sums[i][m]);
    }
    printf("\n     %-36s", "of what was measured, %");
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++)
        printf(" %11.1f", 100 * t->predicted[m] / whole->times[m].ms);
    printf("\n");
}

/* table: NULL without one. */
static int print_report(const options *o, const measure_report *r, const measure_table *table) {
    if (o->json) {
        json_draft *object = measure_report_json(r);
        if (table != NULL) json_set(object, "table", measure_table_json(table, &r->results[0]));
        return print_json(object);
    }
    print_head(r);
    if (r->reference[0] != '\0') {
        printf("%9s %9s %9s %11s", "", "", "", "");
        print_times(r->reference_ms, r->reference_ms);
        printf("  reference: ");
        put_name(stdout, r->reference);
        printf("\n");
    }
    for (int i = 0; i < r->count; i++) print_result(r, &r->results[i]);
    if (table != NULL) print_table(table, &r->results[0]);
    return flush_output();
}

/* ---- Here ---- */

static int add_all(const options *o, measure *m, measuring_add add, void *context,
                   measure_table *table) {
    rnl_error error = {0};
    char path[PATH_CAP];
    int code = EXIT_OK;
    for (int i = 0; i < o->argument_count && code == EXIT_OK; i++) {
        const char *name = o->arguments[i];
        const bool config = is_config(name, path);
        rnl_status status = RNL_OK;
        if (table != NULL)
            status = measure_table_add(m, config ? path : name, table, &error);
        else if (config || add == NULL)
            status = measure_add_config(m, config ? path : name, &error);
        else
            code = add(context, m, name);
        if (status != RNL_OK) code = failed(&error);
    }
    return code;
}

static int measure_here(const options *o, const measure_config *c, measuring_add add, void *context,
                        measure_report *out, measure_table *table) {
    rnl_error error = {0};
    measure *m;
    machine here;
    machine_read("", &here); /* before we are the load */
    if (measure_create(c, &m, &error) != RNL_OK) return failed(&error);
    int code = EXIT_OK;
    if (o->measure.reference != NULL && c->round_count > 0 &&
        measure_set_reference(m, o->measure.reference, &error) != RNL_OK)
        code = failed(&error);
    if (code == EXIT_OK) code = add_all(o, m, add, context, table);
    if (code == EXIT_OK && measure_all(m, out, &error) != RNL_OK) code = failed(&error);
    if (code == EXIT_OK && table != NULL) measure_table_settle(table, out);
    (void)snprintf(out->cpu, sizeof out->cpu, "%s", here.cpu);
    out->load = here.load;
    measure_destroy(&m);
    return code;
}

/* ---- There ---- */

/* runnel-measure as it lies beside this program. */
static bool own_program(char path[PATH_CAP]) {
    const ssize_t size = readlink("/proc/self/exe", path, PATH_CAP - 1);
    if (size <= 0) return false;
    path[size] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL || slash + sizeof "/runnel-measure" > path + PATH_CAP) return false;
    (void)strcpy(slash, "/runnel-measure");
    return true;
}

static int check_configs(const options *o, char (*paths)[PATH_CAP], const char **names) {
    for (int i = 0; i < o->argument_count; i++) {
        if (!is_config(o->arguments[i], paths[i]))
            return complain(EXIT_USAGE,
                            "measure: %s is no config.json, and nothing else goes to a --device",
                            o->arguments[i]);
        names[i] = paths[i];
    }
    return EXIT_OK;
}

int measuring_device(const options *o, const char *way, char program[MEASURING_PATH_CAP],
                     measure_device *out) {
    const measure_options *own = &o->measure;
    rnl_error error = {0};
    *out = (measure_device){.command = way,
                            .push = own->push,
                            .program = own->program,
                            .folder = own->folder != NULL ? own->folder : "/tmp",
                            .seconds_max = own->timeout > 0 ? own->timeout : TIMEOUT,
                            .stop = interrupted};
    if (out->program == NULL) {
        if (!own_program(program))
            return complain(EXIT_USAGE, "name the device's runnel-measure (--program)");
        out->program = program;
    }
    if (measure_device_check(out, &error) != RNL_OK ||
        measure_device_prepare(out, &error) != RNL_OK)
        return failed_there(&error);
    return EXIT_OK;
}

static int measure_there(const options *o, const measure_config *c, measure_report *out) {
    char program[PATH_CAP];
    const char *names[MEASURE_MODEL_CAP];
    rnl_error error = {0};
    measure_device device;
    char(*paths)[PATH_CAP] = malloc(sizeof *paths * MEASURE_MODEL_CAP);
    if (paths == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    int code = check_configs(o, paths, names);
    if (code == EXIT_OK) code = measuring_device(o, o->measure.device, program, &device);
    if (code == EXIT_OK && measure_remote(&device, c, o->measure.reference, names,
                                          o->argument_count, out, &error) != RNL_OK)
        code = failed_there(&error);
    free(paths);
    return code;
}

int measuring_run(const options *o, measuring_add add, void *context) {
    measure_config c = measure_config_default();
    if (o->type != NULL && (!quant_parse(o->type, &c.type) || !quant_is_written(c.type)))
        return complain(EXIT_USAGE, "--type: '%s' is no type that weights are made in; q4_0 is",
                        o->type);
    if (o->argument_count < 1 || o->argument_count > MEASURE_MODEL_CAP)
        return complain(EXIT_USAGE, "measure: name 1 to %d files", MEASURE_MODEL_CAP);
    c.cpu = o->cpu;
    c.exact = o->exact;
    c.stop = interrupted;
    if (o->measure.rounds > 0) c.round_count = o->measure.rounds;
    if (o->measure.again >= 0) c.again_max = o->measure.again;
    if (o->measure.no_times) c.round_count = 0;
    if (o->threads > 0) c.thread_count = o->threads;
    if (o->measure.device != NULL && o->threads <= 0) c.thread_count = 0; /* as suits it */
    if (o->measure.device == NULL && o->measure.push != NULL)
        return complain(EXIT_USAGE, "--push copies to the device of --device, which is not given");
    const bool wants_table = o->measure.table;
    if (wants_table && (o->measure.device != NULL || o->measure.no_times || o->argument_count > 1))
        return complain(EXIT_USAGE, "--table takes the times of one config.json, on this machine");
    measure_report report = {0};
    measure_table table, *tabled = wants_table ? &table : NULL;
    int code = o->measure.device != NULL ? measure_there(o, &c, &report)
                                         : measure_here(o, &c, add, context, &report, tabled);
    if (code == EXIT_OK) code = print_report(o, &report, tabled);
    measure_report_free(&report);
    return code;
}
