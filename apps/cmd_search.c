/* runnel search: stacks of layers that are good at something and cheap on a device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/commands.h"
#include "apps/ending.h"
#include "apps/folders.h"
#include "apps/messages.h"
#include "apps/progress.h"
#include "apps/replace.h"
#include "apps/search_device.h"
#include "apps/search_setup.h"
#include "core/clock.h"
#include "search/config.h"
#include "search/report.h"

typedef struct searching {
    const options *o;
    const char *folder;
    search_plan plan;
    searching_device device;
    progress shown;
    search_history found, control, given;
    int recorded; /* evaluations that the log had */
    double begun; /* when the first one was measured; 0: not yet */
    bool late;    /* the time that it was given is over */
} searching;

static int failed(const rnl_error *error) {
    return complain(error->status == RNL_ERR_FORMAT ? EXIT_INPUT : exit_code(error), "%s",
                    error->text);
}

/* ---- Searching ---- */

static bool goes_on(void *context, const search_history *h) {
    searching *x = context;
    if (x->begun == 0) {
        x->begun = clock_seconds();
        x->recorded = h->count;
    }
    x->late = x->o->search.minutes > 0 && clock_seconds() - x->begun >= 60 * x->o->search.minutes;
    return !interrupted() && !x->late;
}

static void tell(void *context, const search_history *h) {
    searching *x = context;
    const int done = h->count - x->recorded, most = h->plan->evaluations;
    char label[48], detail[96], left[24] = "";
    if (x->begun == 0) return; /* they are read back */
    if (done > 0)
        (void)snprintf(left, sizeof left, ", left %.0f min",
                       (clock_seconds() - x->begun) / done * (most - h->count) / 60);
    (void)snprintf(label, sizeof label, "%d/%d", h->count, most);
    (void)snprintf(detail, sizeof detail, "front %d, generation %d%s", h->front_count,
                   h->generation_count, left);
    progress_work(&x->shown, label, (double)h->count / most, detail);
}

typedef rnl_status (*way)(const search_run *run, search_history *h, rnl_error *error);

/* One of the logs. */
static int search_into(searching *x, const char *name, way how, search_history *h) {
    char path[SEARCH_PATH_CAP];
    search_log log = {0};
    rnl_error error = {0};
    const search_run run = {.plan = &x->plan,
                            .device = &x->device.device,
                            .log = &log,
                            .keys = x->o->search.keys.at,
                            .key_count = x->o->search.keys.count,
                            .goes_on = goes_on,
                            .evaluated = tell,
                            .context = x};
    int code = search_path(path, x->folder, name);
    if (code != EXIT_OK) return code;
    code = searching_device_open(x->o, &x->plan, &x->device);
    if (code != EXIT_OK) return code;
    rnl_status status = search_log_open(&log, path, &error);
    if (status == RNL_OK && how == search_given && x->plan.is_real)
        status = search_real_take_yardstick(&x->device.real, x->found.all[0].line, &error);
    if (status == RNL_OK) status = how(&run, h, &error);
    progress_clear(&x->shown);
    search_log_close(&log);
    if (status == RNL_OK) return EXIT_OK;
    if (status != RNL_ERR_STATE) return failed(&error);
    if (!interrupted() && x->late) {
        (void)fprintf(stderr, "the time is over behind %d evaluations; --resume goes on\n",
                      h->count);
        return EXIT_OK;
    }
    return complain(EXIT_STOPPED, "%s; the same command with --resume goes on", error.text);
}

/* ---- Reading back ---- */

static bool never(void *context, const search_history *h) {
    (void)context;
    (void)h;
    return false;
}

/* What a log has, as far as it goes; a log that is not there is an empty one. */
static int read_back(searching *x, const char *name, way how, search_history *h) {
    char path[SEARCH_PATH_CAP];
    search_log log = {0};
    rnl_error error = {0};
    const search_run run = {.plan = &x->plan,
                            .device = &search_made_up,
                            .log = &log,
                            .goes_on = never}; /* none is asked */
    const int code = search_path(path, x->folder, name);
    if (code != EXIT_OK || access(path, F_OK) != 0) return code;
    search_history_free(h);
    search_history_begin(h, &x->plan);
    rnl_status status = search_log_open_read(&log, path, &error);
    if (status == RNL_OK) status = how(&run, h, &error);
    search_log_close(&log);
    return status == RNL_OK || status == RNL_ERR_STATE ? EXIT_OK : failed(&error);
}

/* ---- What it leaves ---- */

static bool put_text(FILE *f, const void *text) {
    return fprintf(f, "%s\n", (const char *)text) > 0;
}

/* best/KEY/config.json. */
static int write_config(const searching *x, const search_candidate *c) {
    char folder[SEARCH_PATH_CAP], path[SEARCH_PATH_CAP], below[SEARCH_KEY_CAP + 8];
    rnl_error error = {0};
    (void)snprintf(below, sizeof below, "best/%s", c->key);
    int code = search_path(folder, x->folder, below);
    if (code == EXIT_OK) code = search_path(path, folder, "config.json");
    if (code != EXIT_OK) return code;
    if (!folders_make(folder, 0777)) return complain(EXIT_FAILED, "%s: cannot be made", folder);
    char *text = search_config_text(&x->plan.space, c);
    if (text == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    if (!replace_file(path, put_text, text, &error)) code = failed(&error);
    free(text);
    return code;
}

/* What was on an earlier front and is no more; a folder that has more in it stays. */
static void forget(const searching *x, const search_candidate *c) {
    char path[SEARCH_PATH_CAP], below[SEARCH_KEY_CAP + 32];
    (void)snprintf(below, sizeof below, "best/%s/config.json", c->key);
    if (search_path(path, x->folder, below) != EXIT_OK || unlink(path) != 0) return;
    path[strlen(path) - strlen("/config.json")] = '\0';
    (void)rmdir(path);
}

static int write_best(const searching *x) {
    int code = EXIT_OK;
    for (int i = 0; i < x->found.count && code == EXIT_OK; i++) {
        if (search_history_is_on_front(&x->found, i))
            code = write_config(x, &x->found.all[i].candidate);
        else
            forget(x, &x->found.all[i].candidate);
    }
    return code;
}

static int write_report(const searching *x) {
    char path[SEARCH_PATH_CAP];
    rnl_error error = {0};
    const search_report report = {&x->found, &x->control, &x->given};
    const int code = search_path(path, x->folder, "report.html");
    if (code != EXIT_OK) return code;
    return replace_file(path, search_report_write, &report, &error) ? EXIT_OK : failed(&error);
}

/* ---- What it says ---- */

static int print_json_row(const searching *x, const search_history *h, int index) {
    const search_evaluation *e = &h->all[index];
    const search_metrics *m = x->plan.metrics;
    char words[SEARCH_WORDS_CAP];
    json_draft *row = json_new_object();
    search_words(&x->plan.space, &e->candidate.genome, words);
    json_set(row, "n", json_new_int(index));
    json_set(row, "genome", json_new_string(e->candidate.key, strlen(e->candidate.key)));
    json_set(row, "stack", json_new_string(words, strlen(words)));
    json_set(row, "params", json_new_int(e->candidate.params));
    for (int k = 0; k < m->count; k++) json_set(row, m->row[k].name, json_new_number(e->values[k]));
    return print_json(row);
}

static void print_row(const searching *x, const search_history *h, int index) {
    const search_evaluation *e = &h->all[index];
    char words[SEARCH_WORDS_CAP];
    search_words(&x->plan.space, &e->candidate.genome, words);
    printf("%5d", index);
    for (int m = 0; m < x->plan.objective_count; m++)
        printf("  %12.5g", e->values[x->plan.objectives[m]]);
    printf("  %s\n", words);
}

/* Those of the list [count], or all. */
static int print_rows(const searching *x, const search_history *h, const int *list, int count) {
    int code = EXIT_OK;
    if (!x->o->json) {
        printf("    n");
        for (int m = 0; m < x->plan.objective_count; m++)
            printf("  %12s", x->plan.metrics->row[x->plan.objectives[m]].name);
        printf("  stack\n");
    }
    for (int i = 0; i < count && code == EXIT_OK; i++) {
        const int index = list != NULL ? list[i] : i;
        if (x->o->json)
            code = print_json_row(x, h, index);
        else
            print_row(x, h, index);
    }
    return code == EXIT_OK ? flush_output() : code;
}

static int print_front(const searching *x) {
    const search_history *h = &x->found;
    if (h->front_count > 0) return print_rows(x, h, h->front, h->front_count);
    return complain(EXIT_FAILED, "none of %d candidates keeps the limits", h->count);
}

/* The logs as they stand on the disk become report, folders and lines. */
static int leave(searching *x) {
    int code = read_back(x, "log.jsonl", search_evolve, &x->found);
    if (code == EXIT_OK) code = read_back(x, "random.jsonl", search_at_random, &x->control);
    if (code == EXIT_OK) code = read_back(x, "given.jsonl", search_given, &x->given);
    if (code != EXIT_OK) return code;
    if (x->found.count == 0) {
        if (x->o->search.random) return EXIT_OK; /* the control came first */
        return complain(EXIT_INPUT, "%s: nothing was evaluated there yet", x->folder);
    }
    code = write_best(x);
    if (code == EXIT_OK) code = write_report(x);
    if (code == EXIT_OK && !x->o->quiet)
        (void)fprintf(stderr, "report: %s/report.html\n", x->folder);
    return code == EXIT_OK ? print_front(x) : code;
}

/* ---- The command ---- */

static int report_alone(searching *x) {
    char path[SEARCH_PATH_CAP];
    int code = search_path(path, x->folder, "space.json");
    if (code == EXIT_OK) code = search_setup_read(path, &x->plan);
    return code == EXIT_OK ? leave(x) : code;
}

static int search(searching *x) {
    char path[SEARCH_PATH_CAP];
    const bool at_random = x->o->search.random;
    const char *name = at_random ? "random.jsonl" : "log.jsonl";
    search_history *h = at_random ? &x->control : &x->found;
    int code = search_path(path, x->folder, name);
    if (code != EXIT_OK) return code;
    if (!x->o->resume && access(path, F_OK) == 0)
        return complain(EXIT_USAGE,
                        "%s: a search stands there; go on with --resume, or name another folder",
                        path);
    search_history_begin(h, &x->plan);
    code = search_into(x, name, at_random ? search_at_random : search_evolve, h);
    return code == EXIT_OK ? leave(x) : code;
}

/* Candidates that somebody names, beside those that were found. */
static int measure_given(searching *x) {
    int code = read_back(x, "log.jsonl", search_evolve, &x->found);
    if (code != EXIT_OK) return code;
    if (x->found.count == 0)
        return complain(EXIT_USAGE,
                        "%s: --key compares with what a search has found, and none was begun there",
                        x->folder);
    search_history_begin(&x->given, &x->plan);
    code = search_into(x, "given.jsonl", search_given, &x->given);
    if (code == EXIT_OK) code = read_back(x, "random.jsonl", search_at_random, &x->control);
    if (code == EXIT_OK) code = write_report(x);
    return code == EXIT_OK ? print_rows(x, &x->given, NULL, x->given.count) : code;
}

static int begin(searching *x) {
    const int code = search_setup(x->o, &x->plan);
    if (code != EXIT_OK) return code;
    progress_begin(&x->shown, x->o);
    return x->o->search.keys.count > 0 ? measure_given(x) : search(x);
}

static int run(const options *o) {
    searching x = {.o = o};
    const char *of = o->search.report;
    if (o->argument_count > 0 || (of == NULL) == (o->output == NULL))
        return complain(EXIT_USAGE,
                        "search: give -o FOLDER, or --report FOLDER of one that was begun, and no "
                        "other names");
    x.folder = of != NULL ? of : o->output;
    interrupt_install();
    const int code = of != NULL ? report_alone(&x) : begin(&x);
    searching_device_close(&x.device);
    search_history_free(&x.found);
    search_history_free(&x.control);
    search_history_free(&x.given);
    return code;
}

static const option_row rows[] = {
    {.name = "space",
     .value = "FILE",
     .help = "what is searched, as JSON, see above",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(search.space),
     .changes_result = true},
    {.name = "device",
     .value = "NAME",
     .help = "here (default), made-up, or a command: \"ssh HOST {cmd}\"",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(search.device),
     .changes_result = true},
    {.name = "corpus",
     .value = "FILE",
     .help = "a text that stacks learn from; a megabyte will do",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(search.corpus),
     .changes_result = true},
    {.name = "reference",
     .value = "CONFIG",
     .help = "config.json to measure beside (default: 8 blocks of LFM2-350M)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(search.reference),
     .changes_result = true},
    {.name = "objectives",
     .value = "LIST",
     .help = "what is to be small, with commas between; three at most are best",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(search.objectives),
     .changes_result = true},
    {.name = "evaluations",
     .value = "N",
     .help = "candidates that are measured (default 60)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(search.evaluations),
     .min = 1,
     .max = SEARCH_EVALUATION_MAX,
     .changes_result = true},
    {.name = "generations",
     .value = "N",
     .help = "no more generations than that (default 1000)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(search.generations),
     .min = 0,
     .max = 10000,
     .changes_result = true},
    {.name = "population",
     .value = "N",
     .help = "candidates of a generation (default 8; 16 for 200 evaluations)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(search.population),
     .min = 2,
     .max = SEARCH_POPULATION_MAX,
     .changes_result = true},
    {.name = "tournament",
     .value = "N",
     .help = "candidates that compete to be a parent (default 2; 3 for 200 evaluations)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(search.tournament),
     .min = 1,
     .max = 16,
     .changes_result = true},
    {.name = "mutation",
     .value = "RATE",
     .help = "share of the genes of a child that are new (default 0.1)",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(search.mutation),
     .min = 0,
     .max = 1,
     .changes_result = true},
    {.name = "max-decode-ms",
     .value = "MS",
     .help = "a hard limit: a token takes no longer",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(search.decode_ms_max),
     .min = 1e-3,
     .max = 1e6,
     .changes_result = true},
    {.name = "max-memory",
     .value = "SIZE",
     .help = "a hard limit: cache and scratch are no larger (K, M, G)",
     .kind = OPTION_SIZE,
     .offset = OPTION_AT(search.memory_max),
     .changes_result = true},
    {.name = "min-recall",
     .value = "SHARE",
     .help = "a hard limit: it finds again what it has read",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(search.recall_min),
     .min = 1e-3,
     .max = 1,
     .changes_result = true},
    {.name = "seed",
     .value = "N",
     .help = "of all that is drawn (default 1)",
     .kind = OPTION_SEED,
     .offset = OPTION_AT(search.seed),
     .changes_result = true},
    {.name = "random",
     .help = "the control: as many candidates, drawn at random, beside the search",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(search.random),
     .changes_result = true},
    {.name = "minutes",
     .value = "N",
     .help = "begin no candidate when they are over; --resume goes on",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(search.minutes),
     .min = 0.01,
     .max = 1e6},
    {.name = "key",
     .value = "KEY",
     .help = "no search: measure this candidate beside what was found; several",
     .kind = OPTION_TEXTS,
     .offset = OPTION_AT(search.keys),
     .changes_result = true},
    {.name = "report",
     .value = "FOLDER",
     .help = "only write the report of what a search has found so far",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(search.report)},
};
static const option_list own = OPTION_LIST(rows);

const command command_search = {
    .name = "search",
    .summary = "search for stacks of layers that suit a device",
    .synopsis = "-o FOLDER [options]",
    .about =
        "Candidates are lists of blocks: convolutions, attention, sliding windows, linear\n"
        "attention, state spaces, each with a feed-forward part, under one budget of parameters.\n"
        "They are measured, the best of them changed and crossed (NSGA-II), and measured again.\n"
        "Here means this machine (see `runnel measure`) and two short trainings of a narrow\n"
        "stack; a command leads to another machine, the trainings stay here (options as those\n"
        "of measure); made-up is arithmetic alone: to see how a search goes, in a second.\n"
        "FOLDER gets space.json (all that defines the search), log.jsonl, random.jsonl (the\n"
        "control), given.jsonl (--key), report.html and best/KEY/config.json, of which `runnel "
        "train --from-scratch`\n"
        "makes a model. Fields of --space are those of space.json, all of which may be left out.",
    .options = {&own, &options_remote, &options_output, &options_json, &options_resume},
    .run = run};
