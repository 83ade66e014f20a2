#include "search/real.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/pool.h"
#include "core/staged_file.h"
#include "core/status.h"
#include "search/config.h"

enum { PATH_CAP = 4096, SEED = 0, SEEDS_OF_FIRST = 3 };
/* A recall that a second seed may change (learn.md 6.8). */
static const double unsure_from = 0.15, unsure_to = 0.9;

/* ---- Targets ---- */

static const char *const time_names[SEARCH_TIME_COUNT] = {"prefill_1k", "prefill_4k", "decode_1k",
                                                          "decode_4k"};

void search_real_free(search_real *r) {
    for (int i = 0; i < r->ahead_count; i++) json_drop(&r->ahead[i].raw);
    r->ahead_count = 0;
}

static search_priced *find_priced(search_real *r, const char *key) {
    for (int i = 0; i < r->ahead_count; i++)
        if (strcmp(r->ahead[i].key, key) == 0) return &r->ahead[i];
    return NULL;
}

static rnl_status write_target(const search_plan *p, const search_candidate *c, const char *path,
                               rnl_error *error) {
    char *text = search_config_text(&p->space, c);
    const rnl_status status = staged_write_line(path, text, error);
    free(text);
    return status;
}

/* Has as many of those that come measured as are measured together. */
static rnl_status price(search_real *r, const search_plan *p, const search_candidate *c, int coming,
                        rnl_error *error) {
    char paths[SEARCH_AHEAD][PATH_CAP];
    const char *names[SEARCH_AHEAD];
    search_cost costs[SEARCH_AHEAD] = {0};
    json_draft *raw[SEARCH_AHEAD] = {NULL};
    const int count = coming < SEARCH_AHEAD ? coming : SEARCH_AHEAD;
    const double begun = clock_seconds();
    rnl_status status = RNL_OK;
    int written = 0;
    search_real_free(r);
    while (written < count && status == RNL_OK) {
        char *path = paths[written];
        if (snprintf(path, PATH_CAP, "%s/target-%d.json", r->school.folder, written) >= PATH_CAP)
            return status_fail(error, RNL_ERR_ARGUMENT, "%.60s...: the name is too long", path);
        names[written] = path;
        status = write_target(p, &c[written++], path, error);
    }
    if (status == RNL_OK)
        status = r->meter.measure(r->meter.context, names, count, costs, raw, error);
    for (int i = 0; i < written; i++) (void)unlink(paths[i]);
    for (int i = 0; i < count; i++) {
        search_priced *one = &r->ahead[i];
        *one = (search_priced){.cost = costs[i], .raw = raw[i]};
        memcpy(one->key, c[i].key, sizeof one->key);
        one->seconds = (clock_seconds() - begun) / count;
    }
    r->ahead_count = count;
    if (status != RNL_OK) search_real_free(r);
    return status;
}

rnl_status search_real_take_yardstick(search_real *r, const json *line, rnl_error *error) {
    const json *told = json_get(json_get(line, "measured"), "yardstick_ms");
    double found[SEARCH_TIME_COUNT];
    for (int t = 0; t < SEARCH_TIME_COUNT; t++)
        if (!json_number(json_get(told, time_names[t]), &found[t]) || !(found[t] > 0))
            return status_fail(error, RNL_ERR_FORMAT,
                               "the log's first line lacks yardstick_ms; begin anew in another "
                               "folder");
    memcpy(r->yardstick, found, sizeof found);
    return RNL_OK;
}

/* As it was measured with the first candidate: just now, or as the log has it. */
static rnl_status find_yardstick(search_real *r, const search_history *h, const search_cost *cost,
                                 rnl_error *error) {
    if (r->yardstick[0] > 0) return RNL_OK;
    if (h->count > 0) return search_real_take_yardstick(r, h->all[0].line, error);
    memcpy(r->yardstick, cost->yardstick, sizeof r->yardstick);
    return RNL_OK;
}

/* ---- Proxies ---- */

/* One training. */
typedef struct lesson {
    uint64_t seed;
    bool is_recall;
    search_marks marks;
    double seconds;
    rnl_status status;
    rnl_error error;
} lesson;

/* Those of a candidate: recall and text by SEED, then by the seeds behind it. */
enum { LESSON_CAP = 2 * SEEDS_OF_FIRST };
typedef struct lessons {
    const search_real *r;
    const search_candidate *c;
    search_school school; /* of each */
    lesson all[LESSON_CAP];
    int count, begin; /* all, and the first that is not taught yet */
} lessons;

static void teach_some(void *context, int64_t begin, int64_t end, int thread_index) {
    lessons *l = context;
    (void)thread_index;
    for (int64_t i = begin; i < end; i++) {
        lesson *one = &l->all[l->begin + i];
        const double begun = clock_seconds();
        one->status = one->is_recall ? search_teach_recall(&l->school, l->c, one->seed, &one->marks,
                                                           &one->error)
                                     : search_teach_text(&l->school, &l->r->corpus, l->c, one->seed,
                                                         &one->marks, &one->error);
        one->seconds = clock_seconds() - begun;
    }
}

/* Two beside each other, each with half the threads, which suits matrices so small. No bit depends
 * on that. */
static rnl_status teach(lessons *l, rnl_error *error) {
    const int count = l->count - l->begin, threads = l->r->school.thread_count;
    const int side = count > 1 && threads > 1 ? 2 : 1;
    pool *p = NULL;
    if (pool_create(side, &p) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    l->school = l->r->school;
    l->school.thread_count = threads / side;
    pool_run(p, count, 1, teach_some, l);
    pool_destroy(&p);
    for (; l->begin < l->count; l->begin++) {
        const lesson *one = &l->all[l->begin];
        if (one->status != RNL_OK) return status_fail(error, one->status, "%s", one->error.text);
    }
    return RNL_OK;
}

static void add_lesson(lessons *l, bool is_recall, uint64_t seed) {
    l->all[l->count++] = (lesson){.is_recall = is_recall, .seed = seed};
}

static void add_both(lessons *l, uint64_t seed) {
    add_lesson(l, true, seed);
    add_lesson(l, false, seed);
}

static bool is_unsure(double recall) {
    return recall >= unsure_from && recall < unsure_to;
}

/* Of two seeds the better one where the first was unsure. */
static double best_recall(const lessons *l) {
    double best = l->all[0].marks.recall;
    const bool again = is_unsure(best);
    for (int i = 1; i < l->count && again; i++)
        if (l->all[i].is_recall && l->all[i].seed == SEED + 1)
            best = fmax(best, l->all[i].marks.recall);
    return best;
}

/* ---- Values, and what the log keeps besides ---- */

static void set_values(double *values, const search_real *r, const search_cost *cost,
                       const lessons *l) {
    const double recall = best_recall(l), bits = l->all[1].marks.bits;
    values[SEARCH_REAL_QUALITY] = bits + 1 - recall;
    values[SEARCH_REAL_LOSS] = bits;
    values[SEARCH_REAL_RECALL] = recall;
    for (int t = 0; t < SEARCH_TIME_COUNT; t++)
        values[SEARCH_REAL_PREFILL_1K + t] = cost->ms[t] / cost->yardstick[t] * r->yardstick[t];
    values[SEARCH_REAL_MEMORY] = (double)cost->cache + (double)cost->activation;
    values[SEARCH_REAL_CACHE] = (double)cost->cache;
    values[SEARCH_REAL_ACTIVATION] = (double)cost->activation;
}

static json_draft *times_of(const double ms[SEARCH_TIME_COUNT]) {
    json_draft *o = json_new_object();
    for (int t = 0; t < SEARCH_TIME_COUNT; t++) json_set(o, time_names[t], json_new_number(ms[t]));
    return o;
}

static json_draft *draft_lesson(const lesson *l) {
    json_draft *o = json_new_object(), *curve = json_new_array();
    const search_marks *m = &l->marks;
    for (int i = 0; i < SEARCH_RECALLS && l->is_recall; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "at_%d", search_recall_pairs[i]);
        json_set(o, name, json_new_number(m->recall_at[i]));
    }
    json_set(o, l->is_recall ? "recall" : "bits",
             json_new_number(l->is_recall ? m->recall : m->bits));
    json_set(o, "steps", json_new_int(m->steps));
    if (m->diverged) json_set(o, "diverged", json_new_bool(true));
    for (int i = 0; i < m->curve_count; i++)
        json_append(curve, json_new_number((double)m->curve[i]));
    json_set(o, "curve", curve);
    json_set(o, "seconds", json_new_number(l->seconds));
    return o;
}

/* Takes over what else there is of the target. */
static json_draft *draft_of(const search_real *r, search_priced *target, const lessons *l) {
    const search_cost *cost = &target->cost;
    double spread[SEARCH_TIME_COUNT];
    json_draft *o = json_new_object(), *recall = json_new_array(), *text = json_new_array();
    for (int t = 0; t < SEARCH_TIME_COUNT; t++)
        spread[t] = cost->spread[t] / cost->yardstick[t] * r->yardstick[t];
    json_set(o, "spread", times_of(spread));
    json_set(o, "yardstick_ms", times_of(cost->yardstick));
    for (int i = 0; i < l->count; i++)
        json_append(l->all[i].is_recall ? recall : text, draft_lesson(&l->all[i]));
    json_set(o, "recall", recall);
    json_set(o, "text", text);
    json_set(o, "target_seconds", json_new_number(target->seconds));
    if (target->raw != NULL) json_set(o, "raw", target->raw);
    target->raw = NULL;
    return o;
}

/* ---- The device ---- */

/* Luck: a second training where it may change what is on the front. */
static rnl_status try_again(lessons *l, const search_history *h, const double *values,
                            rnl_error *error) {
    if (l->count > 2 || !is_unsure(l->all[0].marks.recall) || !search_history_would_join(h, values))
        return RNL_OK;
    add_lesson(l, true, SEED + 1);
    return teach(l, error);
}

static rnl_status measure_real(void *context, const search_history *h, const search_candidate *c,
                               int coming, double *values, json_draft **measured,
                               rnl_error *error) {
    search_real *r = context;
    const bool is_first = h->count == 0 && !(r->yardstick[0] > 0);
    rnl_status status = RNL_OK;
    if (find_priced(r, c->key) == NULL) status = price(r, h->plan, c, coming, error);
    if (status != RNL_OK) return status;
    search_priced *target = find_priced(r, c->key);
    lessons *l = calloc(1, sizeof *l);
    if (l == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    l->r = r;
    l->c = c;
    for (int i = 0; i < (is_first ? SEEDS_OF_FIRST : 1); i++) add_both(l, SEED + (uint64_t)i);
    status = find_yardstick(r, h, &target->cost, error);
    if (status == RNL_OK) status = teach(l, error);
    if (status == RNL_OK) set_values(values, r, &target->cost, l);
    if (status == RNL_OK) status = try_again(l, h, values, error);
    if (status == RNL_OK) {
        set_values(values, r, &target->cost, l);
        *measured = draft_of(r, target, l);
    }
    free(l);
    return status;
}

search_device search_real_device(search_real *r) {
    return (search_device){.measure = measure_real, .context = r};
}
