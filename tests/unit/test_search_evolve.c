/* A whole search on the made-up device against the reference's log, and that one which was stopped
 * anywhere goes on to the same log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "search/evolve.h"
#include "tests/support/rig.h"

enum { LINES = 90, EVALUATIONS = 84 };
static const char golden[] = TEST_DATA "/search/log.jsonl";
static char path[] = "/tmp/runnel-search-XXXXXX";

static const char settings[] =
    "{\"device\": \"made-up\", \"d\": 96, \"heads\": 4, \"blocks\": 8, \"params\": 1000000,"
    "\"vocab\": 512, \"ff_multiple\": 16, \"length\": 256, \"need_far\": true,"
    "\"population\": 12, \"generations\": 6, \"evaluations\": 1000, \"seed\": 44,"
    "\"objectives\": [\"loss\", \"decode\", \"prefill\", \"cache\"]}";

static search_plan plan_of(const char *text) {
    search_plan p;
    rnl_error error = {0};
    if (search_plan_parse(&p, "space", text, strlen(text), &error) != RNL_OK)
        fail_msg("%s", error.text);
    return p;
}

/* What a search that ends after `left` evaluations says. */
static bool goes_on(void *context, const search_history *h) {
    int *left = context;
    (void)h;
    return (*left)-- > 0;
}

static rnl_status run_to(const search_plan *p, int left, bool at_random, search_history *h) {
    search_log log;
    rnl_error error = {0};
    const search_run run = {
        .plan = p, .device = &search_made_up, .log = &log, .goes_on = goes_on, .context = &left};
    search_history_begin(h, p);
    assert_int_equal(search_log_open(&log, path, &error), RNL_OK);
    const rnl_status status =
        at_random ? search_at_random(&run, h, &error) : search_evolve(&run, h, &error);
    search_log_close(&log);
    return status;
}

static char *text_of(const char *name, size_t *size) {
    FILE *f = fopen(name, "rb");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    *size = fread(text, 1, (1 << 20) - 1, f);
    (void)fclose(f);
    return text;
}

static void write_text(const char *text, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* The fields of a line of the reference are those of ours, in their order, floats as doubles; ours
 * may have others between and behind them. */
typedef struct comparison {
    const json *own;
    const char *names[64];
    int count, at;
} comparison;

static bool note_name(void *context, const char *key, size_t key_size, const json *value) {
    comparison *c = context;
    (void)key_size;
    (void)value;
    c->names[c->count++] = key;
    return c->count < 64;
}

static bool same_value(const json *a, const json *b) {
    double x, y;
    if (json_number(a, &x)) return json_number(b, &y) && x == y;
    if (json_chars(a, NULL) != NULL)
        return json_chars(b, NULL) != NULL && strcmp(json_chars(a, NULL), json_chars(b, NULL)) == 0;
    if (!json_is_array(a) || !json_is_array(b) || json_count(a) != json_count(b)) return false;
    for (size_t i = 0; i < json_count(a); i++)
        if (!same_value(json_at(a, i), json_at(b, i))) return false;
    return true;
}

static bool has_in_order(void *context, const char *key, size_t key_size, const json *value) {
    comparison *c = context;
    (void)key_size;
    while (c->at < c->count && strcmp(c->names[c->at], key) != 0) c->at++;
    return c->at++ < c->count && same_value(value, json_get(c->own, key));
}

static void the_log_is_that_of_the_reference(void **state) {
    (void)state;
    const search_plan p = plan_of(settings);
    search_history h;
    char *want_line = NULL, *own_line = NULL;
    size_t want_cap = 0, own_cap = 0;
    int lines = 0;
    write_text("", 0);
    assert_int_equal(run_to(&p, 1000, false, &h), RNL_OK);
    assert_int_equal(h.count, EVALUATIONS);
    assert_int_equal(h.generation_count, 6);
    search_history_free(&h);
    FILE *want = fopen(golden, "rb"), *own = fopen(path, "rb");
    assert_true(want != NULL && own != NULL);
    for (ssize_t size; (size = getline(&want_line, &want_cap, want)) > 0; lines++) {
        json *a = NULL, *b = NULL;
        const ssize_t own_size = getline(&own_line, &own_cap, own);
        assert_true(own_size > 0);
        assert_int_equal(json_parse(want_line, (size_t)size, "golden", &a, NULL), RNL_OK);
        assert_int_equal(json_parse(own_line, (size_t)own_size, "own", &b, NULL), RNL_OK);
        comparison c = {.own = b};
        assert_true(json_each(b, note_name, &c));
        if (!json_each(a, has_in_order, &c)) fail_msg("line %d: %s%s", lines, own_line, want_line);
        json_destroy(&a);
        json_destroy(&b);
    }
    assert_int_equal(lines, LINES);
    assert_int_equal(getline(&own_line, &own_cap, own), -1);
    free(want_line);
    free(own_line);
    (void)fclose(want);
    (void)fclose(own);
}

/* Everything but how long it took. */
static void cut_times(char *text) {
    static const char mark[] = "\"seconds\":";
    for (char *at = text; (at = strstr(at, mark)) != NULL;) {
        at += sizeof mark - 1;
        const size_t size = strcspn(at, "}");
        memset(at, '0', size);
        memmove(at + 1, at + size, strlen(at + size) + 1);
    }
}

static void assert_same_log(const char *whole) {
    size_t size;
    char *got = text_of(path, &size), *want = strdup(whole);
    assert_non_null(want);
    cut_times(got);
    cut_times(want);
    assert_string_equal(got, want);
    free(got);
    free(want);
}

/* Killed behind any line, or within one. */
static void a_killed_search_goes_on(const char *text, bool at_random) {
    const search_plan p = plan_of(text);
    search_history h;
    size_t size;
    write_text("", 0);
    assert_int_equal(run_to(&p, 1000, at_random, &h), RNL_OK);
    const double volume = h.all[h.count - 1].volume;
    const int count = h.count;
    const size_t step = rig_rounds(2) > 1 ? 1 : 10; /* under sanitizers not every line */
    search_history_free(&h);
    char *whole = text_of(path, &size);
    for (size_t cut = 0, line = 0; cut <= size; cut++) {
        if (cut > 0 && whole[cut - 1] != '\n') continue;
        if (line % step != 0 && cut < size) {
            line++;
            continue;
        }
        write_text(whole, cut + (line++ % 3 == 2 && cut + 9 < size ? 9 : 0));
        assert_int_equal(run_to(&p, 1000, at_random, &h), RNL_OK);
        assert_same_log(whole);
        assert_true(h.all[h.count - 1].volume == volume && h.count == count);
        search_history_free(&h);
    }
    /* Asked to end: every time a few more. */
    write_text("", 0);
    int rounds = 1;
    for (; run_to(&p, 5, at_random, &h) == RNL_ERR_STATE; rounds++) search_history_free(&h);
    assert_int_equal(rounds, (count + 4) / 5);
    search_history_free(&h);
    assert_same_log(whole);
    free(whole);
}

static void a_killed_search_goes_on_to_the_same_log(void **state) {
    (void)state;
    a_killed_search_goes_on(settings, false);
}

static void so_does_a_control(void **state) {
    (void)state;
    a_killed_search_goes_on("{\"d\": 96, \"heads\": 4, \"params\": 1000000, \"vocab\": 512,"
                            "\"ff_multiple\": 16, \"evaluations\": 23, \"device\": \"made-up\"}",
                            true);
}

static void refuse_log(const search_plan *p, const char *text, const char *what) {
    search_log log;
    search_history h;
    rnl_error error = {0};
    const search_run run = {.plan = p, .device = &search_made_up, .log = &log};
    write_text(text, strlen(text));
    search_history_begin(&h, p);
    assert_int_equal(search_log_open(&log, path, &error), RNL_OK);
    assert_int_equal(search_evolve(&run, &h, &error), RNL_ERR_FORMAT);
    if (strstr(error.text, what) == NULL) fail_msg("'%s' lacks '%s'", error.text, what);
    search_log_close(&log);
    search_history_free(&h);
}

/* The text with one piece put in another's place. */
static char *with(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    char *out = calloc(1, strlen(text) + strlen(to) + 1);
    assert_true(at != NULL && out != NULL);
    memcpy(out, text, (size_t)(at - text));
    strcat(strcat(out, to), at + strlen(from));
    return out;
}

static void logs_of_others_are_refused(void **state) {
    (void)state;
    static const char *const changes[][3] = {
        {"\"n\":3", "\"n\":4", "line 4 is not the evaluation"},
        {"\"genome\":\"1", "\"genome\":\"2", "line 1 is not the evaluation"},
        {"\"ff_scale\":1.5416666666647132", "\"ff_scale\":1.5416666666647135", "line 1 is not"},
        {"\"loss\":4.0,", "\"loss\":\"4\",", "line 2 lacks a number"},
        {"\"loss\":4.0,", "", "line 2 lacks a number"},
        {"\"generation_end\":1", "\"generation_end\":2", "is not the generation"},
        {"\"evaluated\":24", "\"evaluated\":25", "is not the generation"},
        {"{\"n\":5", "n\":5", "line 6 is no JSON"},
    };
    search_plan p = plan_of(settings);
    search_history h;
    size_t size;
    write_text("", 0);
    assert_int_equal(run_to(&p, 1000, false, &h), RNL_OK);
    search_history_free(&h);
    char *whole = text_of(path, &size);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char *text = with(whole, changes[i][0], changes[i][1]);
        refuse_log(&p, text, changes[i][2]);
        free(text);
    }
    p.seed++;
    refuse_log(&p, whole, "line 4 is not the evaluation");
    p.seed--;
    p.generations = 5;
    refuse_log(&p, whole, "stands behind the end");
    free(whole);
}

static void limits_are_kept(void **state) {
    (void)state;
    const search_plan p = plan_of(
        "{\"device\": \"made-up\", \"d\": 96, \"heads\": 4, \"params\": 1000000, \"vocab\": 512,"
        "\"ff_multiple\": 16, \"evaluations\": 60, \"seed\": 9,"
        "\"limits\": {\"cache\": 10, \"prefill\": {\"times_first\": 1}}}");
    search_history h;
    write_text("", 0);
    assert_int_equal(run_to(&p, 1000, false, &h), RNL_OK);
    const int decode = search_metric_find(p.metrics, "decode"),
              cache = search_metric_find(p.metrics, "cache"),
              prefill = search_metric_find(p.metrics, "prefill");
    assert_int_equal(h.count, 60);
    assert_true(h.front_count > 0 && decode >= 0);
    int outside = 0;
    for (int i = 0; i < h.count; i++) {
        const double *v = h.all[i].values;
        const search_point point = search_history_point(&h, i);
        const double want = (v[cache] > 10 ? (v[cache] - 10) / 10 : 0) +
                            (v[prefill] > 18 ? (v[prefill] - 18) / 18 : 0);
        assert_true(point.excess == want);
        outside += want > 0;
    }
    assert_in_range(outside, 3, 57);
    for (int i = 0; i < h.front_count; i++)
        assert_true(search_history_point(&h, h.front[i]).excess == 0);
    search_history_free(&h);
}

static void what_cannot_be_is_told(void **state) {
    (void)state;
    search_plan p = plan_of(
        "{\"device\": \"made-up\", \"d\": 96, \"heads\": 4, \"params\": 1, \"vocab\": 512}");
    search_history h;
    rnl_error error = {0};
    const search_run run = {.plan = &p, .device = &search_made_up};
    search_history_begin(&h, &p);
    assert_int_equal(search_evolve(&run, &h, &error), RNL_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "no candidate of 8 blocks has 1 parameters"));
    search_history_free(&h);
}

/* ---- What is told beforehand, and what is given ---- */

/* A device that was told what it will be asked for. */
typedef struct foretold {
    char keys[SEARCH_POPULATION_MAX][SEARCH_KEY_CAP];
    int count, calls; /* keys that are still to come; groups of them */
} foretold;

static rnl_status measure_foretold(void *context, const search_history *h,
                                   const search_candidate *c, int coming, double *values,
                                   json_draft **measured, rnl_error *error) {
    foretold *f = context;
    if (f->count > 0) {
        assert_int_equal(coming, f->count);
    } else {
        f->calls++;
        f->count = coming;
        for (int i = 0; i < coming; i++) strcpy(f->keys[coming - 1 - i], c[i].key);
    }
    assert_string_equal(c->key, f->keys[--f->count]);
    return search_made_up.measure(NULL, h, c, coming, values, measured, error);
}

static void a_device_is_told_of_a_generation(void **state) {
    (void)state;
    const search_plan p = plan_of(settings);
    static foretold f;
    search_history h;
    const search_device device = {.measure = measure_foretold, .context = &f};
    const search_run run = {.plan = &p, .device = &device};
    search_history_begin(&h, &p);
    assert_int_equal(search_evolve(&run, &h, NULL), RNL_OK);
    assert_int_equal(f.count, 0);
    assert_int_equal(f.calls, 7); /* those that it begins with, and 6 generations */
    search_history_free(&h);
}

static rnl_status give(const char *const *keys, int count, search_history *h, rnl_error *error) {
    static search_plan p;
    search_log log;
    p = plan_of(settings);
    p.evaluations = 1; /* is not asked */
    const search_run run = {
        .plan = &p, .device = &search_made_up, .log = &log, .keys = keys, .key_count = count};
    search_history_begin(h, &p);
    assert_int_equal(search_log_open(&log, path, error), RNL_OK);
    const rnl_status status = search_given(&run, h, error);
    search_log_close(&log);
    return status;
}

static void those_that_are_given_are_measured_once(void **state) {
    (void)state;
    static const char *const keys[] = {
        "10020-10020-21020-10020-10020-21020-10020-10020",
        "13020-13020-21020-13020-31020-13020-21020-13020",
        "10020-10020-21020-10020-10020-21020-10020-10020",
        "21020-21020-21020-21020-21020-21020-21020-21020",
    };
    search_history h;
    rnl_error error = {0};
    size_t size;
    write_text("", 0);
    assert_int_equal(give(keys, 3, &h, &error), RNL_OK);
    assert_int_equal(h.count, 2);
    assert_string_equal(h.all[1].candidate.key, keys[1]);
    search_history_free(&h);
    char *text = text_of(path, &size);
    assert_int_equal(give(keys + 2, 2, &h, &error), RNL_OK); /* the log's own come first */
    assert_int_equal(h.count, 3);
    assert_string_equal(h.all[2].candidate.key, keys[3]);
    search_history_free(&h);
    char *more = text_of(path, &size);
    assert_memory_equal(more, text, strlen(text));
    free(more);
    write_text(text, strlen(text));
    free(text);
    static const char *const wrong[] = {"10020-", "90020",
                                        "10020-10020-10020-10020-10020-10020-"
                                        "10020-10020-10020"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(give(&wrong[i], 1, &h, &error), RNL_ERR_ARGUMENT);
        assert_non_null(strstr(error.text, "is no candidate of this search"));
        search_history_free(&h);
    }
}

/* Seeds that nobody has tuned anything with; as many evaluations of both. learn.md 6.7. */
enum { SEED = 100, SEEDS = 10, WANTED = 9 };
static const char larger[] =
    "{\"device\": \"made-up\", \"d\": 96, \"heads\": 4, \"blocks\": 8, \"params\": 1000000,"
    "\"vocab\": 512, \"ff_multiple\": 16, \"length\": 256, \"need_far\": true, \"population\": 16,"
    "\"tournament\": 3, \"evaluations\": 200, \"objectives\": [\"loss\", \"decode\", \"cache\"]}";

/* As a share of the box. */
static double volume_of(const search_plan *p, bool at_random) {
    search_history h;
    double reference[SEARCH_OBJECTIVE_CAP], box = 1;
    const search_run run = {.plan = p, .device = &search_made_up};
    search_history_begin(&h, p);
    assert_int_equal(at_random ? search_at_random(&run, &h, NULL) : search_evolve(&run, &h, NULL),
                     RNL_OK);
    assert_int_equal(h.count, p->evaluations);
    search_history_reference(&h, reference);
    for (int m = 0; m < p->objective_count; m++) box *= reference[m];
    const double volume = h.all[h.count - 1].volume / box;
    search_history_free(&h);
    return volume;
}

static void more_is_dominated_than_at_random(void **state) {
    (void)state;
    search_plan p;
    int better = 0;
    assert_int_equal(search_plan_parse(&p, "space", larger, sizeof larger - 1, NULL), RNL_OK);
    for (int i = 0; i < SEEDS; i++) {
        p.seed = SEED + (uint64_t)i;
        const double found = volume_of(&p, false), control = volume_of(&p, true);
        printf("seed %d: %.4f, at random %.4f\n", SEED + i, found, control);
        better += found > control;
    }
    printf("larger with %d of %d seeds\n", better, SEEDS);
    assert_true(better >= WANTED);
}

static int make_file(void **state) {
    (void)state;
    const int fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_file(void **state) {
    (void)state;
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_is_that_of_the_reference),
        cmocka_unit_test(a_killed_search_goes_on_to_the_same_log),
        cmocka_unit_test(so_does_a_control),
        cmocka_unit_test(logs_of_others_are_refused),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(what_cannot_be_is_told),
        cmocka_unit_test(a_device_is_told_of_a_generation),
        cmocka_unit_test(those_that_are_given_are_measured_once),
        cmocka_unit_test(more_is_dominated_than_at_random),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
