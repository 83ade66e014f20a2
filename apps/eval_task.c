/* A benchmark: documents -> shots and context -> likelihoods, and what would be chosen; or a text,
 * and the answer in it -> shares that are right, with their errors, by subject where there are
 * some. learn.md 2. */
#include "apps/eval_task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/choice.h"
#include "apps/generation.h"
#include "apps/messages.h"
#include "apps/moments.h"
#include "apps/open.h"
#include "apps/progress.h"
#include "apps/sources.h"
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
    task_list data, apart; /* apart: of --shots-file */
    scorer scorer;
    rnl_model *model;
    rnl_session *session;       /* with --chat */
    const char *const *metrics; /* [metric_count] their names */
    int metric_count;
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
                        b->o->data, index + 1, count);
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

static json_draft *metric_json(double mean, double error) {
    json_draft *o = json_new_object();
    json_set(o, "mean", json_new_number(mean));
    json_set(o, "error", json_new_number(error));
    return o;
}

static int json_document(size_t index, const task_item *item, const choice_result *r) {
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
    return print_json(o);
}

static int json_total(const benchmark *b) {
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
    json_set(all, "total", o);
    return print_json(all);
}

static int report(benchmark *b) {
    progress_clear(&b->shown);
    if (b->o->json) return json_total(b);
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
    char *context = task_context(item, b->shots, b->shot_count);
    const int most = b->o->max_tokens > 0 ? b->o->max_tokens : GENERATION_TOKENS_DEFAULT;
    if (context == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    const int code =
        b->session != NULL
            ? generation_answer(b->o, b->session, b->model, context, &item->stops, most, text)
            : generation_go_on(&b->scorer, b->o->data, context, &item->stops, most, text);
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
        const extract_kind both[] = {EXTRACT_STRICT, EXTRACT_FLEXIBLE};
        code = judge(item, item->both ? both[k] : item->extract, text.data, extracted,
                     b->metrics[k], &right[k]);
        json_set(metrics, b->metrics[k], json_new_int(right[k]));
    }
    json_set(o, "index", json_new_int((int64_t)index));
    json_set(o, "gold", json_new_string(item->answers.at[0], strlen(item->answers.at[0])));
    json_set(o, "text", json_new_string(text.data != NULL ? text.data : "", text.size));
    json_set(o, "extracted", extracted);
    json_set(o, "metrics", metrics);
    if (b->o->json && code == EXIT_OK)
        code = print_json(o);
    else
        json_drop(&o);
    chat_text_free(&text);
    return code;
}

/* ---- The run ---- */

static int ask_for_choice(benchmark *b, size_t index, bool *right) {
    const task_item *item = &b->data.items[index];
    choice_result result;
    int code =
        choice_score(&b->scorer, b->o->data, index + 1, item, b->shots, b->shot_count, &result);
    if (code != EXIT_OK) return code;
    for (int k = 0; k < b->metric_count; k++) right[k] = result.predictions[k] == item->gold;
    return b->o->json ? json_document(index, item, &result) : EXIT_OK;
}

static int ask_all(benchmark *b) {
    int code = EXIT_OK;
    for (size_t i = 0; i < b->data.count && code == EXIT_OK; i++) {
        const task_item *item = &b->data.items[i];
        bool right[METRIC_CAP] = {false};
        if (b->shot_count > 0) code = choose_shots(b, i);
        if (code == EXIT_OK)
            code = item->choice_count > 0 ? ask_for_choice(b, i, right) : ask_for_text(b, i, right);
        if (code != EXIT_OK) break;
        subject *of = subject_of(b, item->subject);
        for (int k = 0; k < b->metric_count; k++) moments_add(&of->right[k], right[k]);
        progress_work(&b->shown, "asking", (double)(i + 1) / (double)b->data.count, "");
    }
    return code == EXIT_OK ? report(b) : code;
}

static int check_shots(const benchmark *b) {
    for (size_t i = 0; i < b->data.count && b->shot_count > 0; i++)
        if (b->data.items[i].question.text == NULL)
            return complain(EXIT_INPUT, "%s: document %zu has ids, which take no --shots",
                            b->o->data, i + 1);
    return EXIT_OK;
}

static int read_list(const task_kind *kind, const char *path, task_list *out) {
    rnl_error error = {0};
    source_note(path);
    if (tasks_read(kind, path, out, &error) == RNL_OK) return EXIT_OK;
    return complain(error.status == RNL_ERR_MEMORY ? EXIT_FAILED : EXIT_INPUT, "%s", error.text);
}

static int prepare(benchmark *b, const task_kind *kind) {
    int code = read_list(kind, b->o->data, &b->data);
    if (code == EXIT_OK && b->o->shots_file != NULL)
        code = read_list(kind, b->o->shots_file, &b->apart);
    if (code == EXIT_OK) code = check_shots(b);
    if (code != EXIT_OK) return code;
    const size_t most = b->apart.count > 0 ? b->apart.count : b->data.count;
    b->subjects = calloc(b->data.count, sizeof *b->subjects);
    b->shots = calloc((size_t)b->shot_count + 1, sizeof *b->shots);
    b->candidates = calloc(most, sizeof *b->candidates);
    return b->subjects != NULL && b->shots != NULL && b->candidates != NULL
               ? EXIT_OK
               : complain(EXIT_FAILED, "memory is exhausted");
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
    if (o->as_chat)
        b->session = open_session(o, b->model, &code);
    else
        code = scorer_open(&b->scorer, o, b->model, o->context > 0 ? o->context : CONTEXT_DEFAULT);
    progress_begin(&b->shown, o);
    if (code == EXIT_OK) code = ask_all(b);
    rnl_session_destroy(&b->session);
    if (!o->as_chat) scorer_close(&b->scorer);
    return code;
}

int eval_task(const options *o) {
    benchmark b = {.o = o, .shot_count = o->shots > 0 ? o->shots : 0};
    const task_kind *kind = task_find(o->task);
    if (kind == NULL)
        return complain(EXIT_USAGE, "eval: '%.60s' is no task; tasks are %s", o->task, task_names);
    if (o->data == NULL)
        return complain(EXIT_USAGE, "eval: give the documents of the task with --data FILE");
    if (o->as_chat && !task_generates(kind))
        return complain(EXIT_USAGE, "eval: --chat wants a task whose answers are generated: gsm8k "
                                    "or generate");
    int code = prepare(&b, kind);
    if (code == EXIT_OK) {
        name_metrics(&b, kind);
        b.model = open_model(o, &code);
        if (b.model != NULL) code = ask(&b);
    }
    rnl_model_close(&b.model);
    free(b.subjects);
    free(b.shots);
    free(b.candidates);
    tasks_free(&b.data);
    tasks_free(&b.apart);
    return code;
}
