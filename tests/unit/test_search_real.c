/* Candidates that are taught, on a machine that is made up: what becomes of its times, who is
 * taught how often, and that a search of them goes on where it was killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "search/real.h"
#include "search/report.h"

enum { EVALUATIONS = 3 }; /* those that every search begins with */
static char folder[] = "/tmp/runnel-search-XXXXXX";
static unsigned char corpus[CORPUS_SIZE_MIN];

/* A machine whose speed is another one each time, all of it alike. */
typedef struct machine {
    int call_count, target_count;
    double pace; /* of the next call; a power of two, so that ratios are exact */
} machine;

static rnl_status take_target(const machine *m, const char *path, search_cost *out,
                              rnl_error *error) {
    json *config = NULL;
    const rnl_status status = json_read(path, 1 << 16, &config, error);
    if (status != RNL_OK) return status;
    double attends = 0;
    const json *types = json_get(config, "layer_types");
    for (size_t i = 0; i < json_count(types); i++)
        attends += strcmp(json_chars(json_at(types, i), NULL), "conv") != 0;
    for (int t = 0; t < SEARCH_TIME_COUNT; t++) {
        out->ms[t] = (t + 1 + attends) * m->pace;
        out->spread[t] = 0.25 * m->pace;
        out->yardstick[t] = 8 * m->pace;
    }
    out->cache = (size_t)attends * 1000;
    out->activation = 77;
    json_destroy(&config);
    return RNL_OK;
}

static rnl_status measure(void *context, const char *const *paths, int count, search_cost *out,
                          json_draft **raw, rnl_error *error) {
    machine *m = context;
    rnl_status status = RNL_OK;
    for (int i = 0; i < count && status == RNL_OK; i++) {
        status = take_target(m, paths[i], &out[i], error);
        raw[i] = json_new_object();
        json_set(raw[i], "load", json_new_number(0.5));
    }
    m->call_count++;
    m->target_count += count;
    m->pace *= m->call_count % 2 != 0 ? 0.5 : 4;
    return status;
}

static search_plan plan_of(void) {
    static const char text[] =
        "{\"device\": \"here\", \"d\": 64, \"heads\": 4, \"blocks\": 4, \"params\": 200000,"
        "\"vocab\": 512, \"ff_multiple\": 16, \"tolerance\": 0.5, \"population\": 3,"
        "\"evaluations\": 3, \"limits\": {}}";
    search_plan p;
    rnl_error error = {0};
    if (search_plan_parse(&p, "space", text, sizeof text - 1, &error) != RNL_OK)
        fail_msg("%s", error.text);
    return p;
}

static bool some_left(void *context, const search_history *h) {
    int *left = context;
    (void)h;
    return (*left)-- > 0;
}

static int thread_count = 2; /* both trainings beside each other */

static search_real real_of(machine *m) {
    search_real r = {.meter = {measure, m}, .corpus = {corpus, sizeof corpus}};
    r.school = search_school_default();
    r.school.thread_count = thread_count;
    r.school.folder = folder;
    r.school.recall = (search_lesson){.d = 32, .length = 40, .rows = 8, .steps = 12, .rate = 1e-2};
    r.school.text = (search_lesson){.d = 32, .length = 64, .rows = 4, .steps = 6, .rate = 1e-2};
    return r;
}

static rnl_status run_to(const search_plan *p, machine *m, int left, search_history *h) {
    char path[64];
    search_log log;
    rnl_error error = {0};
    search_real real = real_of(m);
    const search_device device = search_real_device(&real);
    const search_run run = {
        .plan = p, .device = &device, .log = &log, .goes_on = some_left, .context = &left};
    (void)snprintf(path, sizeof path, "%s/log.jsonl", folder);
    search_history_begin(h, p);
    assert_int_equal(search_log_open(&log, path, &error), RNL_OK);
    const rnl_status status = search_evolve(&run, h, &error);
    search_log_close(&log);
    search_real_free(&real);
    if (status != RNL_OK && status != RNL_ERR_STATE) fail_msg("%s", error.text);
    return status;
}

static void forget_log(void) {
    char path[64];
    (void)snprintf(path, sizeof path, "%s/log.jsonl", folder);
    (void)unlink(path);
}

static const json *measured(const search_history *h, int index) {
    return json_get(h->all[index].line, "measured");
}

static double number(const json *v) {
    double out = -1;
    assert_true(json_number(v, &out));
    return out;
}

static void values_are_those_of_one_yardstick(void **state) {
    (void)state;
    const search_plan p = plan_of();
    machine m = {.pace = 1};
    search_history h, again;
    forget_log();
    assert_int_equal(run_to(&p, &m, 100, &h), RNL_OK);
    assert_int_equal(h.count, EVALUATIONS);
    assert_int_equal(m.call_count, 1); /* they take turns */
    assert_int_equal(m.target_count, EVALUATIONS);
    static const double attends[EVALUATIONS] = {1, 4, 0};
    for (int i = 0; i < EVALUATIONS; i++) {
        const double *v = h.all[i].values;
        for (int t = 0; t < SEARCH_TIME_COUNT; t++)
            assert_true(v[SEARCH_REAL_PREFILL_1K + t] == t + 1 + attends[i]);
        assert_true(v[SEARCH_REAL_CACHE] == 1000 * attends[i]);
        assert_true(v[SEARCH_REAL_MEMORY] == 1000 * attends[i] + 77);
        assert_true(v[SEARCH_REAL_ACTIVATION] == 77);
        assert_true(v[SEARCH_REAL_RECALL] >= 0 && v[SEARCH_REAL_RECALL] <= 1);
        assert_true(v[SEARCH_REAL_LOSS] > 0 && v[SEARCH_REAL_LOSS] <= 9);
        assert_true(v[SEARCH_REAL_QUALITY] == v[SEARCH_REAL_LOSS] + 1 - v[SEARCH_REAL_RECALL]);
    }
    search_history_free(&h);
    /* Read back, with what the log keeps besides. */
    assert_int_equal(run_to(&p, &m, 0, &again), RNL_OK);
    assert_int_equal(m.call_count, 1);
    for (int i = 0; i < EVALUATIONS; i++) {
        const json *o = measured(&again, i), *recall = json_get(o, "recall");
        assert_int_equal(json_count(json_get(o, "text")), i == 0 ? 3 : 1);
        assert_true(json_count(recall) == (i == 0 ? 3 : 1) || (i > 0 && json_count(recall) == 2));
        assert_true(number(json_get(json_get(o, "spread"), "decode_4k")) == 0.25);
        assert_true(number(json_get(json_get(o, "raw"), "load")) == 0.5);
        assert_int_equal(json_count(json_get(json_at(recall, 0), "curve")), 1);
    }
    search_history_free(&again);
}

/* One training behind the other by one thread, beside each other by two: the same marks. */
static void threads_change_no_value(void **state) {
    (void)state;
    const search_plan p = plan_of();
    machine m = {.pace = 1};
    search_history two, one;
    assert_int_equal(run_to(&p, &m, 0, &two), RNL_OK); /* the log of the test before */
    forget_log();
    thread_count = 1;
    assert_int_equal(run_to(&p, &m, 1, &one), RNL_ERR_STATE);
    thread_count = 2;
    assert_int_equal(one.count, 1);
    for (int i = SEARCH_REAL_QUALITY; i <= SEARCH_REAL_RECALL; i++)
        assert_true(one.all[0].values[i] == two.all[0].values[i]);
    search_history_free(&one);
    assert_int_equal(run_to(&p, &m, 100, &one), RNL_OK);
    search_history_free(&one);
    search_history_free(&two);
}

/* Another log beside the first one's: its first candidate is no measure of anything. */
static void one_that_is_given_has_the_yardstick_of_the_search(void **state) {
    (void)state;
    static const char *const keys[] = {"21020-10020-10020-21020"};
    const search_plan p = plan_of();
    machine m = {.pace = 1}, slow = {.pace = 4};
    search_history h, given;
    rnl_error error = {0};
    assert_int_equal(run_to(&p, &m, 0, &h), RNL_OK); /* the log of the test before */
    search_real real = real_of(&slow);
    const search_device device = search_real_device(&real);
    const search_run run = {.plan = &p, .device = &device, .keys = keys, .key_count = 1};
    assert_int_equal(search_real_take_yardstick(&real, h.all[0].line, &error), RNL_OK);
    search_history_begin(&given, &p);
    if (search_given(&run, &given, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_int_equal(given.count, 1);
    assert_true(given.all[0].values[SEARCH_REAL_DECODE_4K] == 4 + 2);
    search_history_free(&given);
    search_real_free(&real);
    assert_int_equal(search_real_take_yardstick(&real, NULL, &error), RNL_ERR_FORMAT);
    assert_non_null(strstr(error.text, "yardstick_ms"));
    search_history_free(&h);
}

static void a_killed_search_keeps_its_yardstick(void **state) {
    (void)state;
    const search_plan p = plan_of();
    machine m = {.pace = 1};
    search_history h, whole;
    assert_int_equal(run_to(&p, &m, 0, &whole), RNL_OK); /* the log of the test before */
    const int end = getenv("RUNNEL_TEST_SHORT") != NULL ? 2 : EVALUATIONS; /* each is a search */
    for (int cut = 1; cut < end; cut++) {
        machine before = {.pace = 1}, behind = {.pace = 0.25};
        forget_log();
        assert_int_equal(run_to(&p, &before, cut, &h), RNL_ERR_STATE);
        search_history_free(&h);
        assert_int_equal(run_to(&p, &behind, 100, &h), RNL_OK);
        for (int i = 0; i < EVALUATIONS; i++)
            assert_memory_equal(h.all[i].values, whole.all[i].values,
                                (size_t)p.metrics->count * sizeof *h.all->values);
        search_history_free(&h);
    }
    search_history_free(&whole);
}

static void chance_is_shown(void **state) {
    (void)state;
    const search_plan p = plan_of();
    machine m = {.pace = 1};
    search_history h;
    const search_history none = {.plan = &p};
    char *page = NULL;
    size_t size = 0;
    assert_int_equal(run_to(&p, &m, 0, &h), RNL_OK);
    const search_report report = {&h, &none, &none};
    FILE *f = open_memstream(&page, &size);
    assert_non_null(f);
    assert_true(search_report_write(f, &report));
    (void)fclose(f);
    assert_non_null(strstr(page, "<h2>Chance</h2>"));
    assert_non_null(strstr(page, "4 ± 0.25")); /* decode_4k of convolutions */
    free(page);
    search_history_free(&h);
}

static void failures_are_passed_on(void **state) {
    (void)state;
    const search_plan p = plan_of();
    machine m = {.pace = 1};
    search_history h;
    rnl_error error = {0};
    search_real real = real_of(&m);
    real.school.folder = "/nowhere/at/all";
    const search_device device = search_real_device(&real);
    const search_run run = {.plan = &p, .device = &device};
    search_history_begin(&h, &p);
    assert_int_equal(search_evolve(&run, &h, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "/nowhere/at/all/target-0.json"));
    assert_int_equal(h.count, 0);
    search_history_free(&h);
}

static int make_folder(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof corpus; i++) corpus[i] = (unsigned char)("abcde fgh"[i % 9]);
    return mkdtemp(folder) != NULL ? 0 : -1;
}

/* Empty but for the log: the files of proxies and targets are gone. */
static int remove_folder(void **state) {
    (void)state;
    forget_log();
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_one_yardstick),
        cmocka_unit_test(threads_change_no_value),
        cmocka_unit_test(one_that_is_given_has_the_yardstick_of_the_search),
        cmocka_unit_test(a_killed_search_keeps_its_yardstick),
        cmocka_unit_test(chance_is_shown),
        cmocka_unit_test(failures_are_passed_on),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
