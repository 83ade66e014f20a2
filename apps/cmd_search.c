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
#include "apps/search_setup.h"
#include "core/clock.h"
#include "search/config.h"
#include "search/report.h"

typedef struct searching {
    const options *o;
    const char *folder;
    search_plan plan;
    progress shown;
    search_history found, control;
    int recorded; /* evaluations that the log had */
    double begun; /* when the first one was measured; 0: not yet */
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
    return !interrupted();
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

/* One of the two logs. */
static int search_into(searching *x, const char *name, bool at_random, search_history *h) {
    char path[SEARCH_PATH_CAP];
    search_log log = {0};
    rnl_error error = {0};
    const search_run run = {.plan = &x->plan,
                            .device = &search_made_up,
                            .log = &log,
                            .goes_on = goes_on,
                            .evaluated = tell,
                            .context = x};
    int code = search_path(path, x->folder, name);
    if (code != EXIT_OK) return code;
    if (!x->o->resume && access(path, F_OK) == 0)
        return complain(EXIT_USAGE,
                        "%s: a search stands there; go on with --resume, or name another folder",
                        path);
    rnl_status status = search_log_open(&log, path, &error);
    if (status == RNL_OK)
        status = at_random ? search_at_random(&run, h, &error) : search_evolve(&run, h, &error);
    progress_clear(&x->shown);
    search_log_close(&log);
    if (status == RNL_OK) return EXIT_OK;
    if (status != RNL_ERR_STATE) return failed(&error);
    return complain(EXIT_STOPPED, "%s; the same command with --resume goes on", error.text);
}

/* ---- Reading back ---- */

static bool never(void *context, const search_history *h) {
    (void)context;
    (void)h;
    return false;
}

/* What a log has, as far as it goes; a log that is not there is an empty one. */
static int read_back(searching *x, const char *name, bool at_random, search_history *h) {
    char path[SEARCH_PATH_CAP];
    search_log log = {0};
    rnl_error error = {0};
    const search_run run = {
        .plan = &x->plan, .device = &search_made_up, .log = &log, .goes_on = never};
    const int code = search_path(path, x->folder, name);
    if (code != EXIT_OK || access(path, F_OK) != 0) return code;
    search_history_free(h);
    search_history_begin(h, &x->plan);
    rnl_status status = search_log_open_read(&log, path, &error);
    if (status == RNL_OK)
        status = at_random ? search_at_random(&run, h, &error) : search_evolve(&run, h, &error);
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
    const search_report report = {&x->found, &x->control};
    const int code = search_path(path, x->folder, "report.html");
    if (code != EXIT_OK) return code;
    return replace_file(path, search_report_write, &report, &error) ? EXIT_OK : failed(&error);
}

/* ---- What it says ---- */

static int print_json_row(const searching *x, int index) {
    const search_evaluation *e = &x->found.all[index];
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

static void print_row(const searching *x, int index) {
    const search_evaluation *e = &x->found.all[index];
    char words[SEARCH_WORDS_CAP];
    search_words(&x->plan.space, &e->candidate.genome, words);
    printf("%5d", index);
    for (int m = 0; m < x->plan.objective_count; m++)
        printf("  %12.5g", e->values[x->plan.objectives[m]]);
    printf("  %s\n", words);
}

static int print_front(const searching *x) {
    const search_history *h = &x->found;
    if (h->front_count == 0)
        return complain(EXIT_FAILED, "none of %d candidates keeps the limits", h->count);
    if (!x->o->json) {
        printf("    n");
        for (int m = 0; m < x->plan.objective_count; m++)
            printf("  %12s", x->plan.metrics->row[x->plan.objectives[m]].name);
        printf("  stack\n");
    }
    int code = EXIT_OK;
    for (int i = 0; i < h->front_count && code == EXIT_OK; i++) {
        if (x->o->json)
            code = print_json_row(x, h->front[i]);
        else
            print_row(x, h->front[i]);
    }
    return code == EXIT_OK ? flush_output() : code;
}

/* The logs as they stand on the disk become report, folders and lines. */
static int leave(searching *x) {
    int code = read_back(x, "log.jsonl", false, &x->found);
    if (code == EXIT_OK) code = read_back(x, "random.jsonl", true, &x->control);
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
    const bool at_random = x->o->search.random;
    int code = search_setup(x->o, &x->plan);
    if (code != EXIT_OK) return code;
    progress_begin(&x->shown, x->o);
    search_history *h = at_random ? &x->control : &x->found;
    search_history_begin(h, &x->plan);
    code = search_into(x, at_random ? "random.jsonl" : "log.jsonl", at_random, h);
    return code == EXIT_OK ? leave(x) : code;
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
    const int code = of != NULL ? report_alone(&x) : search(&x);
    search_history_free(&x.found);
    search_history_free(&x.control);
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
     .help = "what candidates are measured by: made-up",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(search.device),
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
        "The device made-up is arithmetic alone: to see how a search goes, in a second.\n"
        "FOLDER gets space.json (all that defines the search), log.jsonl, random.jsonl (the\n"
        "control), report.html and best/KEY/config.json, of which `runnel train --from-scratch`\n"
        "makes a model. Fields of --space are those of space.json, all of which may be left out.",
    .options = {&own, &options_output, &options_json, &options_resume},
    .run = run};
