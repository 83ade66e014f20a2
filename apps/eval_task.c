/* A benchmark: documents -> shots and context -> likelihoods, and what would be chosen; or a text,
 * and the answer in it -> shares that are right, with their errors, by subject where there are
 * some. learn.md 2. */
#include "apps/eval_task.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/choice.h"
#include "apps/fingerprint.h"
#include "apps/generation.h"
#include "apps/messages.h"
#include "apps/moments.h"
#include "apps/open.h"
#include "apps/progress.h"
#include "apps/task_record.h"
#include "apps/sources.h"
#include "core/hash_table.h"
#include "core/random.h"

enum { CONTEXT_DEFAULT = 4096, METRIC_CAP = CHOICE_METRIC_COUNT };

/* Of gsm8k, by each way to read the answer; of other texts. */
static const char *const number_metrics[] = {"strict", "flexible"};
static const char *const text_metrics[] = {"exact"};

typedef struct subject {
    const char *name; /* borrowed; NULL: documents without one */
    moments right[METRIC_CAP];
} subject;

typedef struct benchmark {
    const options *o;
    const task_kind *kind;
    task_list data, apart; /* apart: of --shots-file */
    scorer scorer;
    rnl_model *model;
    rnl_session *session;       /* with --chat */
    const char *const *metrics; /* [metric_count] their names */
    int metric_count;
    task_record own, other; /* what is known of each document; other: of --against */
    FILE *lines;            /* where it is kept; NULL: nowhere */
    progress shown;
    subject *subjects; /* [subject_count] */
    size_t subject_count;
    const task_item **shots; /* [shot_count] of the document at work */
    int shot_count;
    const task_item **candidates; /* scratch */
} benchmark;

/* ---- Shots ---- */

static bool same(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The first that are of its subject and not the document itself; with --shots-seed drawn. */
static int choose_shots(benchmark *b, size_t index) {
    const task_list *from = b->apart.count > 0 ? &b->apart : &b->data;
    const task_item *item = &b->data.items[index];
    size_t count = 0;
    random_state random;
    for (size_t i = 0; i < from->count; i++) {
        const task_item *other = &from->items[i];
        if (same(other->subject, item->subject) &&
            strcmp(other->question.text, item->question.text) != 0)
            b->candidates[count++] = other;
    }
    if (count < (size_t)b->shot_count)
        return complain(EXIT_INPUT,
                        "%s: document %zu: there are %zu others of its subject, fewer than --shots",
                        b->o->data.at[0], index + 1, count);
    random_seed(&random, b->o->shots_seed + index);
    for (int i = 0; i < b->shot_count; i++) {
        const size_t left = count - (size_t)i;
        const size_t at = b->o->shots_seed == 0 ? 0 : (size_t)(random_unit(&random) * (double)left);
        const task_item *drawn = b->candidates[(size_t)i + at];
        b->candidates[(size_t)i + at] = b->candidates[i];
        b->candidates[i] = b->shots[i] = drawn;
    }
    return EXIT_OK;
}

/* ---- Reports ---- */

static subject *subject_of(benchmark *b, const char *name) {
    for (size_t i = 0; i < b->subject_count; i++)
        if (same(b->subjects[i].name, name)) return &b->subjects[i];
    b->subjects[b->subject_count] = (subject){.name = name};
    return &b->subjects[b->subject_count++];
}

/* Means weigh by size; so do the squares of the errors, of what varies within the subjects. */
static void total_of(const benchmark *b, int k, double *mean, double *error) {
    double sum = 0, varies = 0, count = 0;
    for (size_t i = 0; i < b->subject_count; i++) {
        const moments *m = &b->subjects[i].right[k];
        const double e = moments_error(m), n = (double)m->count;
        sum += m->sum;
        count += n;
        varies += (n - 1) * e * e * n;
    }
    const double freedom = count - (double)b->subject_count;
    *mean = sum / count;
    *error = freedom > 0 ? sqrt(varies / freedom / count) : 0;
}

/* A document's line: to the file, or, asked for, to standard output. */
static int put_line(const benchmark *b, json_draft *o) {
    if (b->lines == NULL && b->o->json) return print_json(o);
    char *text = b->lines != NULL ? json_text(o) : NULL;
    json_drop(&o);
    if (b->lines == NULL) return EXIT_OK;
    const bool memory = text != NULL;
    const bool good = memory && fprintf(b->lines, "%s\n", text) > 0 && fflush(b->lines) == 0;
    free(text);
    if (good) return EXIT_OK;
    if (!memory) return complain(EXIT_FAILED, "memory is exhausted");
    return complain(EXIT_FAILED, "%s: cannot be written: %s", b->o->output, strerror(errno));
}

static json_draft *metric_json(double mean, double error) {
    json_draft *o = json_new_object();
    json_set(o, "mean", json_new_number(mean));
    json_set(o, "error", json_new_number(error));
    return o;
}

static int json_document(const benchmark *b, size_t index, const task_item *item,
                         const choice_result *r) {
    json_draft *o = json_new_object(), *lls = json_new_array(), *greedy = json_new_array();
    json_draft *characters = json_new_array(), *bytes = json_new_array();
    json_draft *predictions = json_new_object(), *metrics = json_new_object();
    for (int i = 0; i < item->choice_count; i++) {
        json_append(lls, json_new_number(r->lls[i]));
        json_append(greedy, json_new_bool(r->greedy[i]));
        json_append(characters, json_new_number(item->choices[i].characters));
        json_append(bytes, json_new_number(item->choices[i].bytes));
    }
    for (int k = 0; k < CHOICE_METRIC_COUNT; k++) {
        json_set(predictions, choice_metric_names[k], json_new_int(r->predictions[k]));
        json_set(metrics, choice_metric_names[k], json_new_int(r->predictions[k] == item->gold));
    }
    json_set(o, "index", json_new_int((int64_t)index));
    if (item->subject != NULL)
        json_set(o, "subject", json_new_string(item->subject, strlen(item->subject)));
    json_set(o, "gold", json_new_int(item->gold));
    json_set(o, "ll", lls);
    json_set(o, "greedy", greedy);
    json_set(o, "characters", characters);
    json_set(o, "bytes", bytes);
    json_set(o, "predictions", predictions);
    json_set(o, "metrics", metrics);
    return put_line(b, o);
}

static json_draft *against_json(const benchmark *b) {
    json_draft *all = json_new_object();
    for (int k = 0; k < b->metric_count; k++) {
        const rivalry r = task_record_compare(&b->own, &b->other, k);
        json_draft *o = metric_json(r.mean, r.error);
        json_set(o, "documents", json_new_int(r.count));
        json_set(o, "only_here", json_new_int(r.only_here));
        json_set(o, "only_there", json_new_int(r.only_there));
        json_set(o, "p", json_new_number(r.p));
        json_set(all, b->metrics[k], o);
    }
    return all;
}

static json_draft *json_total(const benchmark *b) {
    json_draft *all = json_new_object(), *o = json_new_object(), *metrics = json_new_object();
    json_draft *subjects = json_new_object();
    for (int k = 0; k < b->metric_count; k++) {
        double mean, error;
        total_of(b, k, &mean, &error);
        json_set(metrics, b->metrics[k], metric_json(mean, error));
    }
    for (size_t i = 0; i < b->subject_count; i++) {
        const moments *m = &b->subjects[i].right[0];
        if (b->subjects[i].name != NULL)
            json_set(subjects, b->subjects[i].name, metric_json(moments_mean(m), moments_error(m)));
    }
    json_set(o, "task", json_new_string(b->o->task, strlen(b->o->task)));
    json_set(o, "documents", json_new_int((int64_t)b->data.count));
    json_set(o, "shots", json_new_int(b->shot_count));
    json_set(o, "metrics", metrics);
    json_set(o, "subjects", subjects);
    if (b->o->against != NULL) json_set(o, "against", against_json(b));
    json_set(all, "total", o);
    return all;
}

/* Smaller than two errors: unpaired ones would hide even more. */
static void print_against(const benchmark *b) {
    printf("\nless %s:\n", b->o->against);
    for (int k = 0; k < b->metric_count; k++) {
        const rivalry r = task_record_compare(&b->own, &b->other, k);
        printf("%+6.2f ± %5.2f %%  of %5lld  %s: right only here %lld, only there %lld, p %.3g%s\n",
               100 * r.mean, 100 * r.error, (long long)r.count, b->metrics[k],
               (long long)r.only_here, (long long)r.only_there, r.p,
               fabs(r.mean) < 2 * r.error || r.mean == 0 ? ": no difference can be claimed" : "");
    }
}

static int report(benchmark *b) {
    progress_clear(&b->shown);
    if (b->lines != NULL) {
        const int code = put_line(b, json_total(b));
        if (code != EXIT_OK) return code;
    }
    if (b->o->json) return print_json(json_total(b));
    for (size_t i = 0; i < b->subject_count && b->subjects[0].name != NULL; i++) {
        const moments *m = &b->subjects[i].right[0];
        printf("%6.2f ± %5.2f %%  of %5lld  ", 100 * moments_mean(m), 100 * moments_error(m),
               (long long)m->count);
        put_name(stdout, b->subjects[i].name != NULL ? b->subjects[i].name : "no subject");
        (void)putchar('\n');
    }
    for (int k = 0; k < b->metric_count; k++) {
        double mean, error;
        total_of(b, k, &mean, &error);
        printf("%6.2f ± %5.2f %%  of %5zu  %s\n", 100 * mean, 100 * error, b->data.count,
               b->metrics[k]);
    }
    if (b->o->against != NULL) print_against(b);
    return flush_output();
}

/* ---- Answers that are generated ---- */

/* What is read as the answer, and whether that is right. */
static int judge(const task_item *item, extract_kind kind, const char *text, json_draft *extracted,
                 const char *metric, bool *right) {
    size_t size;
    const char *answer = extract_answer(kind, item->marker, text, &size);
    char *normal = extract_normal(kind, answer, size);
    bool good = normal != NULL;
    *right = false;
    for (int i = 0; i < item->answers.count && good && !*right; i++) {
        char *wanted = extract_normal(kind, item->answers.at[i], strlen(item->answers.at[i]));
        good = wanted != NULL;
        *right = good && strcmp(normal, wanted) == 0;
        free(wanted);
    }
    json_set(extracted, metric, json_new_string(answer, size));
    free(normal);
    return good ? EXIT_OK : complain(EXIT_FAILED, "memory is exhausted");
}

static int generate(benchmark *b, const task_item *item, chat_text *text) {
    const int most = b->o->max_tokens > 0 ? b->o->max_tokens : GENERATION_TOKENS_DEFAULT;
    if (b->session != NULL) {
        const int code =
            generation_answer(b->o, b->session, item, b->shots, b->shot_count, most, text);
        chat_puts(text, "");
        return code;
    }
    char *context = task_context(item, b->shots, b->shot_count);
    if (context == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    const int code =
        generation_go_on(&b->scorer, b->o->data.at[0], context, &item->stops, most, text);
    free(context);
    chat_puts(text, "");
    return code;
}

static int ask_for_text(benchmark *b, size_t index, bool *right) {
    const task_item *item = &b->data.items[index];
    chat_text text = {0};
    int code = generate(b, item, &text);
    json_draft *o = json_new_object(), *extracted = json_new_object(), *metrics = json_new_object();
    for (int k = 0; k < b->metric_count && code == EXIT_OK; k++) {
        const extract_kind both[] = {
            item->extract == EXTRACT_CHAIN ? EXTRACT_CHAIN : EXTRACT_STRICT, EXTRACT_FLEXIBLE};
        code = judge(item, item->both ? both[k] : item->extract, text.data, extracted,
                     b->metrics[k], &right[k]);
        json_set(metrics, b->metrics[k], json_new_int(right[k]));
    }
    json_set(o, "index", json_new_int((int64_t)index));
    json_set(o, "gold", json_new_string(item->answers.at[0], strlen(item->answers.at[0])));
    json_set(o, "text", json_new_string(text.data != NULL ? text.data : "", text.size));
    json_set(o, "extracted", extracted);
    json_set(o, "metrics", metrics);
    if (code == EXIT_OK)
        code = put_line(b, o);
    else
        json_drop(&o);
    chat_text_free(&text);
    return code;
}

/* ---- The run ---- */

static int ask_for_choice(benchmark *b, size_t index, bool *right) {
    const task_item *item = &b->data.items[index];
    choice_result result;
    int code = choice_score(&b->scorer, b->o, index + 1, item, b->shots, b->shot_count, &result);
    if (code != EXIT_OK) return code;
    for (int k = 0; k < b->metric_count; k++) right[k] = result.predictions[k] == item->gold;
    return json_document(b, index, item, &result);
}

static int ask_one(benchmark *b, size_t index, bool *right) {
    const int code = b->shot_count > 0 ? choose_shots(b, index) : EXIT_OK;
    if (code != EXIT_OK) return code;
    return b->data.items[index].choice_count > 0 ? ask_for_choice(b, index, right)
                                                 : ask_for_text(b, index, right);
}

static int ask_all(benchmark *b) {
    int code = EXIT_OK;
    for (size_t i = 0; i < b->data.count && code == EXIT_OK; i++) {
        const task_item *item = &b->data.items[i];
        task_record_line *line = &b->own.lines[i];
        if (!line->there) code = ask_one(b, i, line->right);
        if (code != EXIT_OK) break;
        line->there = true;
        subject *of = subject_of(b, item->subject);
        for (int k = 0; k < b->metric_count; k++) moments_add(&of->right[k], line->right[k]);
        progress_work(&b->shown, "asking", (double)(i + 1) / (double)b->data.count, "");
    }
    return code == EXIT_OK ? report(b) : code;
}

/* Shots are typed, and what is spoken is heard in a conversation. */
static int check_list(const benchmark *b, const char *path, const task_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        const task_item *item = &list->items[i];
        if (b->shot_count > 0 && item->question.text == NULL)
            return complain(EXIT_INPUT,
                            "%s: document %zu has ids or a sound, which take no --shots", path,
                            i + 1);
        if (item->sound != NULL && !b->o->as_chat)
            return complain(EXIT_USAGE, "%s: document %zu is spoken, which is asked with --chat",
                            path, i + 1);
    }
    return EXIT_OK;
}

static int read_list(const task_kind *kind, const char *path, task_list *out) {
    rnl_error error = {0};
    source_note(path);
    if (tasks_read(kind, path, out, &error) == RNL_OK) return EXIT_OK;
    return complain(error.status == RNL_ERR_MEMORY ? EXIT_FAILED : EXIT_INPUT, "%s", error.text);
}

static int prepare(benchmark *b, const task_kind *kind) {
    int code = read_list(kind, b->o->data.at[0], &b->data);
    if (code == EXIT_OK && b->o->shots_file != NULL)
        code = read_list(kind, b->o->shots_file, &b->apart);
    if (code == EXIT_OK) code = check_list(b, b->o->data.at[0], &b->data);
    if (code == EXIT_OK) code = check_list(b, b->o->shots_file, &b->apart);
    if (code != EXIT_OK) return code;
    const size_t most = b->apart.count > 0 ? b->apart.count : b->data.count;
    b->subjects = calloc(b->data.count, sizeof *b->subjects);
    b->shots = calloc((size_t)b->shot_count + 1, sizeof *b->shots);
    b->candidates = calloc(most, sizeof *b->candidates);
    return b->subjects != NULL && b->shots != NULL && b->candidates != NULL
               ? EXIT_OK
               : complain(EXIT_FAILED, "memory is exhausted");
}

/* ---- What is kept ---- */

/* Of the model, the options and the documents. False: they cannot be read again. */
static bool settings_of(const benchmark *b, const command *c, char out[RECORD_SETTINGS_CAP]) {
    const char *const files[] = {b->o->data.at[0], b->o->shots_file};
    char print[FINGERPRINT_SIZE];
    uint64_t hash = HASH_START;
    for (int i = 0; i < 2 && (i == 0 || files[i] != NULL); i++) {
        char *text;
        size_t size;
        if (text_of_file(files[i], &text, &size, NULL) != RNL_OK) return false;
        hash = hash_bytes(hash, text, size);
        free(text);
    }
    fingerprint_of(c, b->o, b->model, RNL_MODE_TEXT, print);
    (void)snprintf(out, RECORD_SETTINGS_CAP, "%s%016" PRIx64, print, hash);
    return true;
}

static int read_record(const benchmark *b, const char *path, task_record *out) {
    rnl_error error = {0};
    if (task_record_read(path, b->metrics, b->metric_count, b->data.count, out, &error) == RNL_OK)
        return EXIT_OK;
    return complain(error.status == RNL_ERR_MEMORY ? EXIT_FAILED : EXIT_INPUT, "%s", error.text);
}

/* The file of -o, with --resume behind what is there. */
static int open_lines(benchmark *b, const command *c) {
    const options *o = b->o;
    char settings[RECORD_SETTINGS_CAP];
    rnl_error error = {0};
    const bool resumes = o->resume && access(o->output, F_OK) == 0;
    if (!settings_of(b, c, settings))
        return complain(EXIT_INPUT, "%s: cannot be read again", o->data.at[0]);
    if (resumes) {
        task_record_free(&b->own);
        const int code = read_record(b, o->output, &b->own);
        if (code != EXIT_OK) return code;
        if (b->own.end > 0 && strcmp(b->own.settings, settings) != 0)
            return complain(EXIT_USAGE,
                            "--resume: %s was written by another model, with other options or of "
                            "other documents; take another name, or leave --resume out",
                            o->output);
        if (!o->quiet)
            (void)fprintf(stderr, "%zu of %zu documents are done already\n", b->own.there_count,
                          b->data.count);
    }
    const task_record *from = resumes && b->own.end > 0 ? &b->own : NULL;
    if (task_record_open(o->output, from, settings, &b->lines, &error) == RNL_OK) return EXIT_OK;
    return complain(exit_code(&error), "%s", error.text);
}

static int prepare_records(benchmark *b, const command *c) {
    int code = task_record_begin(&b->own, b->data.count)
                   ? EXIT_OK
                   : complain(EXIT_FAILED, "memory is exhausted");
    if (code == EXIT_OK && b->o->against != NULL) {
        source_note(b->o->against);
        code = read_record(b, b->o->against, &b->other);
    }
    if (code == EXIT_OK && b->o->against != NULL && b->other.there_count != b->data.count)
        code = complain(EXIT_INPUT,
                        "%s: has %zu of the %zu documents; it is of a run that did not "
                        "end, or of other documents",
                        b->o->against, b->other.there_count, b->data.count);
    if (code == EXIT_OK && b->o->output != NULL) code = open_lines(b, c);
    return code;
}

static int close_lines(benchmark *b, int code) {
    if (b->lines == NULL || fclose(b->lines) == 0 || code != EXIT_OK) return code;
    return complain(EXIT_FAILED, "%s: cannot be written: %s", b->o->output, strerror(errno));
}

static void name_metrics(benchmark *b, const task_kind *kind) {
    b->metrics = choice_metric_names;
    b->metric_count = CHOICE_METRIC_COUNT;
    if (!task_generates(kind)) return;
    const bool both = b->data.items[0].both;
    b->metrics = both ? number_metrics : text_metrics;
    b->metric_count = both ? 2 : 1;
}

static int ask(benchmark *b) {
    const options *o = b->o;
    int code = EXIT_OK;
    const bool converses = o->as_chat && task_generates(b->kind);
    if (converses)
        b->session = open_session(o, b->model, &code);
    else
        code = scorer_open(&b->scorer, o, b->model, o->context > 0 ? o->context : CONTEXT_DEFAULT);
    progress_begin(&b->shown, o);
    if (code == EXIT_OK) code = ask_all(b);
    rnl_session_destroy(&b->session);
    if (!converses) scorer_close(&b->scorer);
    return code;
}

int eval_task(const command *c, const options *o) {
    const task_kind *kind = task_find(o->task);
    benchmark b = {.o = o, .kind = kind, .shot_count = o->shots > 0 ? o->shots : 0};
    if (kind == NULL)
        return complain(EXIT_USAGE, "eval: '%.60s' is no task; tasks are %s", o->task, task_names);
    if (o->data.count != 1)
        return complain(EXIT_USAGE, "eval: give the documents of the task with --data FILE");
    if (o->shots_as_turns && !o->as_chat)
        return complain(EXIT_USAGE, "--shots-as-turns: turns are those of a conversation: --chat");
    if (o->resume && o->output == NULL)
        return complain(EXIT_USAGE, "--resume: name the file of the earlier run with -o");
    int code = prepare(&b, kind);
    if (code == EXIT_OK) {
        name_metrics(&b, kind);
        b.model = open_model(o, &code);
        if (b.model != NULL) code = prepare_records(&b, c);
        if (b.model != NULL && code == EXIT_OK) code = ask(&b);
        code = close_lines(&b, code);
    }
    task_record_free(&b.own);
    task_record_free(&b.other);
    rnl_model_close(&b.model);
    free(b.subjects);
    free(b.shots);
    free(b.candidates);
    tasks_free(&b.data);
    tasks_free(&b.apart);
    return code;
}
