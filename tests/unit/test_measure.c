/* Rounds beside a reference with a clock that is made up, weights that are made up, reports as JSON
 * and back, templates of commands; and all of it once on a stack that is small. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/pool.h"
#include "core/threads.h"
#include "kernels/tiny.h"
#include "measure/apart.h"
#include "measure/device.h"
#include "measure/measure.h"
#include "measure/pins.h"
#include "measure/report.h"
#include "stack/kind.h"

#define DATA TEST_DATA "/measure/"

/* ---- Rounds ---- */

/* Models whose true costs are 1 (the reference), 2, 3 ... on a machine that is slower by `drift`
 * with every run. */
typedef struct machine {
    double speed, drift;
    int jumps;     /* the next so many runs of the reference are each half as slow again */
    bool restless; /* all of them are */
    int run_count, stop_at;
    char order[4096]; /* of the runs of one metric: 'R', 'A', 'B' ... */
    measure_metric traced;
} machine;

static bool run(void *context, int model, measure_metric m, measure_sample *out) {
    machine *c = context;
    if (c->run_count++ == c->stop_at) return false;
    const size_t at = strlen(c->order);
    if (m == c->traced && at + 1 < sizeof c->order)
        c->order[at] = model == MEASURE_REFERENCE ? 'R' : (char)('A' + model);
    c->speed *= c->drift;
    if (model == MEASURE_REFERENCE && (c->jumps > 0 || c->restless)) {
        c->speed *= 1.5;
        c->jumps--;
    }
    out->ms = (model + 2) * c->speed;
    out->p95 = 1.25 * out->ms;
    return true;
}

static measure_times times[3 * MEASURE_METRIC_COUNT];

static bool measured(machine *c, int models, int rounds) {
    const measure_runner runner = {run, c};
    return measure_rounds(&runner, models, rounds, MEASURE_AGAIN, times);
}

static machine steady(void) {
    return (machine){.speed = 1, .drift = 1, .stop_at = -1};
}

static void references_stand_between_all_runs(void **state) {
    (void)state;
    machine c = steady();
    assert_true(measured(&c, 3, 2));
    assert_string_equal(c.order, "RARBRCRRARBRCR");
    c = steady();
    c.traced = MEASURE_PREFILL_4K;
    assert_true(measured(&c, 1, 5));
    assert_string_equal(c.order, "RARRAR"); /* two rounds of five */
    assert_int_equal(measure_rounds_of(MEASURE_PREFILL_4K, 5), 2);
    assert_int_equal(measure_rounds_of(MEASURE_DECODE_4K, 5), 5);
    assert_int_equal(times[MEASURE_PREFILL_4K].round_count, 2);
    assert_int_equal(times[MEASURE_PREFILL_1K].round_count, 5);
}

static void a_machine_that_slows_down_changes_no_ratio(void **state) {
    (void)state;
    machine c = steady();
    c.drift = 1.01;
    assert_true(measured(&c, 3, 5));
    for (int i = 0; i < 3 * MEASURE_METRIC_COUNT; i++) {
        const double truth = 2 + i / MEASURE_METRIC_COUNT;
        assert_true(fabs(times[i].ratio / truth - 1) < 1e-3);
        assert_true(times[i].ratio_min <= times[i].ratio && times[i].ratio <= times[i].ratio_max);
        assert_true(fabs(times[i].ratio_p95 / times[i].ratio - 1.25) < 1e-9);
        assert_int_equal(times[i].flagged_count + times[i].again_count, 0);
    }
    measure_settle(&times[0], 10);
    assert_true(fabs(times[0].ms - 20) < 0.02 && fabs(times[0].p95 - 25) < 0.025);
}

static void what_changed_on_the_way_is_measured_again(void **state) {
    (void)state;
    machine c = steady();
    c.run_count = 0;
    c.jumps = 4; /* the first reference, and three behind A */
    assert_true(measured(&c, 2, 1));
    assert_string_equal(c.order, "RARARARARBR");
    assert_int_equal(times[0].again_count, 3);
    assert_int_equal(times[0].flagged_count, 0);
    assert_true(times[0].ratio == 2 && times[MEASURE_METRIC_COUNT].ratio == 3);
    assert_int_equal(times[MEASURE_METRIC_COUNT].again_count, 0);
}

static void ten_times_again_and_then_it_is_flagged(void **state) {
    (void)state;
    machine c = steady();
    c.restless = true;
    assert_true(measured(&c, 1, 2));
    assert_int_equal(times[MEASURE_DECODE_1K].again_count, 20);
    assert_int_equal(times[MEASURE_DECODE_1K].flagged_count, 2);
    assert_true(times[MEASURE_DECODE_1K].ratio > 0);
}

static void a_runner_ends_it(void **state) {
    (void)state;
    for (int at = 0; at < 12; at++) {
        machine c = steady();
        c.stop_at = at;
        assert_false(measured(&c, 1, 1));
        assert_int_equal(c.run_count, at + 1);
    }
}

/* ---- Made up ---- */

static measure_shape *plain_shape(void) {
    measure_shape *s = calloc(1, sizeof *s);
    assert_non_null(s);
    measure_reference_shape(s, 8);
    return s;
}

static void the_reference_has_blocks_of_lfm2_350m(void **state) {
    (void)state;
    measure_shape *s = plain_shape();
    char pattern[9] = "";
    for (int i = 0; i < 8; i++)
        pattern[i] = s->stack.layers[i].kinds[STACK_OPERATOR] == &stack_attention ? 'a' : 'c';
    assert_string_equal(pattern, "ccaccacc");
    assert_int_equal(stack_check(&s->stack, "reference", NULL), RNL_OK);
    free(s);
}

/* A stack of which every number is known. */
static void small_shape(measure_shape *s) {
    measure_reference_shape(s, 3);
    s->vocab_count = 256;
    s->stack.width = 64;
    for (int i = 0; i < 3; i++) {
        stack_layer_config *l = &s->stack.layers[i];
        l->head_count = 2, l->kv_head_count = 1, l->head_width = 32, l->ff_width = 128;
        l->rotary.pair_count = 16;
        l->kinds[STACK_OPERATOR] = i == 1 ? &stack_attention : &stack_convolution;
    }
}

enum {
    SMALL_PARAMETERS = 256 * 64 + 64 + /* embedding, last norm */
                       2 * (4 * 64 * 64 + 3 * 64) +
                       (2 * 64 * 64 + 2 * 64 * 32 + 2 * 32) + /* operators */
                       3 * (2 * 64 + 3 * 64 * 128),           /* norms, feed-forward parts */
    SMALL_CACHE = 2 * 4096 * 32 * 2 + 2 * 2 * 64 * 4          /* keys and values, tails */
};

static void made_weights_compute(void **state) {
    (void)state;
    static const quant_type types[] = {QUANT_Q4_0, QUANT_Q8_0, QUANT_F16, QUANT_F32};
    measure_shape *s = plain_shape();
    pool *p;
    kernels k;
    small_shape(s);
    assert_int_equal(pool_create(2, &p), RNL_OK);
    kernels_select(&k, kernels_cpu_features() & ~(unsigned)KERNELS_CPU_ROUNDS);
    for (size_t i = 0; i < 2 * sizeof types / sizeof *types; i++) {
        const bool exact = i % 2 != 0;
        measure_made made;
        measure_runs r;
        measure_sizes sizes;
        measure_sample sample;
        rnl_error error = {0};
        assert_int_equal(measure_make(s, "small", types[i / 2], exact, p, &made, &error), RNL_OK);
        assert_int_equal(made.parameter_count, SMALL_PARAMETERS);
        assert_int_equal(measure_sizes_of(&made.backbone, &k, 2, exact, &sizes, &error), RNL_OK);
        assert_int_equal(sizes.cache, exact ? SMALL_CACHE + 2 * 4096 * 32 * 2 : SMALL_CACHE);
        assert_int_equal(measure_runs_create(&r, &made.backbone, &k, 2, exact, &error), RNL_OK);
        assert_true(measure_run(&r, p, MEASURE_DECODE_4K, NULL, &sample));
        assert_true(sample.ms > 0 && sample.p95 >= sample.ms);
        assert_int_equal(r.state.position, 4096 + MEASURE_STEPS);
        bool any = false;
        for (int v = 0; v < 256; v++) {
            assert_true(isfinite(r.logits[v]));
            any = any || r.logits[v] > 0.01f;
        }
        assert_true(any);
        measure_runs_destroy(&r);
        measure_made_free(&made);
    }
    pool_destroy(&p);
    free(s);
}

/* Packed matrices come from one memory, and each must have found it whole. */
static void every_matrix_has_its_weights(void **state) {
    (void)state;
    measure_shape *s = plain_shape();
    measure_made made;
    pool *p;
    kernels k;
    float row[256];
    small_shape(s);
    s->stack.layers[0].ff_width = s->stack.layers[1].ff_width = 1 << 13; /* whole pages */
    assert_int_equal(pool_create(1, &p), RNL_OK);
    kernels_select(&k, 0);
    assert_int_equal(measure_make(s, "small", QUANT_Q4_0, false, p, &made, NULL), RNL_OK);
    const compute c = {.k = &k};
    for (int i = 0; i < 3; i++) {
        const stack_dense_weights *own = stack_part_at(&made.backbone.stack, i, 1)->weights;
        const matrix *const all[] = {&own->gate, &own->up};
        for (size_t j = 0; j < 2; j++) {
            double sum = 0;
            assert_non_null(all[j]->packed);
            packed_dequantise(QUANT_Q4_0, all[j]->packed->slabs, 64, 5, row);
            for (int col = 0; col < 64; col++) sum += fabs((double)row[col]);
            assert_true(sum > 1);
        }
    }
    matrix_row(&c, &made.backbone.text_embedding, 3, row);
    assert_true(row[0] != 0 || row[1] != 0);
    measure_made_free(&made);
    pool_destroy(&p);
    free(s);
}

static void shapes_that_do_not_fit_a_type_are_refused(void **state) {
    (void)state;
    measure_shape *s = plain_shape();
    measure_made made;
    pool *p;
    rnl_error error = {0};
    small_shape(s);
    assert_int_equal(pool_create(1, &p), RNL_OK);
    assert_int_equal(measure_make(s, "small", QUANT_Q4_K, false, p, &made, &error),
                     RNL_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "no whole number of blocks of Q4_K"));
    measure_made_free(&made);
    assert_int_equal(measure_make(s, "small", QUANT_IQ4_XS, false, p, &made, &error),
                     RNL_ERR_ARGUMENT);
    measure_made_free(&made);
    pool_destroy(&p);
    free(s);
}

/* ---- All of it ---- */

static void take_small(measure_report *r, int round_count) {
    rnl_error error = {0};
    measure_config c = measure_config_default();
    measure *m;
    c.thread_count = 2;
    c.round_count = round_count;
    c.again_max = 0;
    assert_int_equal(measure_create(&c, &m, &error), RNL_OK);
    if (measure_add_config(m, DATA "plain.json", &error) != RNL_OK) fail_msg("%s", error.text);
    assert_int_equal(measure_set_reference(m, DATA "plain.json", &error), RNL_OK);
    if (measure_all(m, r, &error) != RNL_OK) fail_msg("%s", error.text);
    measure_destroy(&m);
    (void)snprintf(r->cpu, sizeof r->cpu, "made up");
}

static void a_stack_beside_itself_takes_as_long(void **state) {
    (void)state;
    int before[MEASURE_CPU_CAP], after[MEASURE_CPU_CAP];
    measure_report r;
    const int count = threads_processors(before, MEASURE_CPU_CAP);
    take_small(&r, 1);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.results[0].parameter_count, SMALL_PARAMETERS);
    assert_int_equal(r.results[0].sizes.cache, SMALL_CACHE);
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++) {
        const measure_times *t = &r.results[0].times[m];
        assert_int_equal(t->round_count, 1);
        assert_true(t->ms > 0 && r.reference_ms[m] > 0 && t->p95 >= t->ms);
        assert_true(t->ratio > 0.1 && t->ratio < 10); /* others use the machine */
    }
    measure_report_free(&r);
    /* The process is as it was: its thread may run anywhere, and small numbers are numbers. */
    assert_int_equal(threads_processors(after, MEASURE_CPU_CAP), count);
    assert_memory_equal(before, after, (size_t)count * sizeof *before);
    assert_false(kernels_flush_tiny(false));
}

static bool at_once(void) {
    return true;
}

static void measuring_can_be_stopped(void **state) {
    (void)state;
    rnl_error error = {0};
    measure_config c = measure_config_default();
    measure_report r;
    measure *m;
    c.thread_count = 1;
    c.stop = at_once;
    assert_int_equal(measure_create(&c, &m, &error), RNL_OK);
    assert_int_equal(measure_add_config(m, DATA "plain.json", &error), RNL_OK);
    assert_int_equal(measure_set_reference(m, DATA "plain.json", &error), RNL_OK);
    assert_int_equal(measure_all(m, &r, &error), RNL_ERR_STATE);
    measure_report_free(&r);
    measure_clear(m);
    measure_destroy(&m);
}

/* ---- In a process of its own ---- */

static bool later(void) {
    static int asked;
    return asked++ > 0; /* here; the other process has a counter of its own */
}

static void what_is_measured_apart_is_the_same(void **state) {
    (void)state;
    static const char *const paths[] = {DATA "plain.json", DATA "stack.json"};
    rnl_error error = {0};
    measure_config c = measure_config_default();
    measure_report here, apart;
    c.thread_count = 2;
    c.round_count = 1;
    c.again_max = 0;
    c.resident = false;
    take_small(&here, 1);
    if (measure_apart(&c, paths[0], paths, 2, &apart, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_int_equal(apart.count, 2);
    assert_int_equal(apart.results[0].sizes.cache, SMALL_CACHE);
    assert_int_equal(apart.results[0].sizes.activation, here.results[0].sizes.activation);
    assert_int_equal(apart.results[0].resident, 0);
    assert_string_equal(apart.results[1].name, paths[1]);
    assert_string_equal(apart.level, here.level);
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++)
        assert_true(apart.results[1].times[m].ms > 0 && apart.reference_ms[m] > 0);
    measure_report_free(&here);
    measure_report_free(&apart);
}

static void what_fails_apart_is_told_here(void **state) {
    (void)state;
    static const char *const paths[] = {DATA "nowhere.json"};
    rnl_error error = {0}, own = {0};
    measure_config c = measure_config_default();
    measure_report r;
    measure *m;
    c.thread_count = 1;
    c.round_count = 0;
    assert_int_equal(measure_create(&c, &m, &own), RNL_OK);
    const rnl_status status = measure_add_config(m, paths[0], &own);
    measure_destroy(&m);
    assert_true(status < 0);
    assert_int_equal(measure_apart(&c, NULL, paths, 1, &r, &error), status);
    assert_string_equal(error.text, own.text);
    measure_report_free(&r);
    const char *const plain[] = {DATA "plain.json"};
    c.round_count = MEASURE_ROUND_CAP;
    c.stop = later;
    assert_int_equal(measure_apart(&c, NULL, plain, 1, &r, &error), RNL_ERR_STATE);
    assert_string_equal(error.text, "stopped");
    measure_report_free(&r);
}

static void tiny_numbers_are_flushed_when_asked(void **state) {
    (void)state;
    volatile float tiny = 1e-39f, one = 1;
    const bool was = kernels_flush_tiny(true);
    assert_false(was);
    assert_true(tiny * one == 0);
    assert_true(kernels_flush_tiny(was));
    assert_true(tiny * one != 0);
}

/* ---- Reports ---- */

static void a_report_comes_back(void **state) {
    (void)state;
    measure_report r, back;
    rnl_error error = {0};
    take_small(&r, 2);
    r.load = 0.5;
    json_draft *o = measure_report_json(&r);
    char *text = json_text(o);
    json_drop(&o);
    assert_non_null(text);
    assert_null(strchr(text, '\n'));
    if (measure_report_read(text, strlen(text), "text", &back, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_string_equal(back.cpu, r.cpu);
    assert_string_equal(back.level, r.level);
    assert_int_equal(back.results[0].sizes.activation, r.results[0].sizes.activation);
    assert_int_equal(back.results[0].resident, r.results[0].resident);
    for (int m = 0; m < MEASURE_METRIC_COUNT; m++) {
        const measure_times *own = &r.results[0].times[m], *its = &back.results[0].times[m];
        assert_int_equal(its->round_count, own->round_count);
        assert_true(fabs(its->ms / own->ms - 1) < 1e-9 && fabs(its->p95 / own->p95 - 1) < 1e-9);
        assert_true(fabs(back.reference_ms[m] / r.reference_ms[m] - 1) < 1e-9);
    }
    /* Cut or changed at any place it is refused, or is a report: never half of one. */
    for (size_t at = 0; at < strlen(text); at += 7) {
        measure_report damaged;
        if (measure_report_read(text, at, "text", &damaged, &error) == RNL_OK)
            fail_msg("cut at %zu", at);
        measure_report_free(&damaged);
        const char kept = text[at];
        text[at] = '9';
        if (measure_report_read(text, strlen(text), "text", &damaged, &error) == RNL_OK)
            assert_int_equal(damaged.count, 1);
        measure_report_free(&damaged);
        text[at] = kept;
    }
    free(text);
    measure_report_free(&back);
    measure_report_free(&r);
}

/* ---- Templates ---- */

static void check_words(const char *text, const char *joined) {
    const measure_placeholder two[] = {{"{cmd}", "a b 'c'"}, {"{path}", "/x y"}};
    char **words, got[256] = "";
    rnl_error error = {0};
    if (measure_words(text, two, 2, &words, &error) != RNL_OK) fail_msg("%s", error.text);
    for (int i = 0; words[i] != NULL; i++) {
        (void)strncat(got, words[i], sizeof got - strlen(got) - 1);
        (void)strncat(got, "|", sizeof got - strlen(got) - 1);
    }
    assert_string_equal(got, joined);
    free(words);
}

static void placeholders_stay_within_their_words(void **state) {
    (void)state;
    check_words("ssh host {cmd}", "ssh|host|a b 'c'|");
    check_words("  adb\tshell \"{cmd}\" ", "adb|shell|a b 'c'|");
    check_words("scp {file} host:{path}", "scp|{file}|host:/x y|");
    check_words("sh -c 'eval \"$1\"' x {cmd}", "sh|-c|eval \"$1\"|x|a b 'c'|");
    check_words("a '' \"b c\"d'e f' {", "a||b cde f|{|");
    char **words;
    assert_int_equal(measure_words("ssh 'host {cmd}", NULL, 0, &words, NULL), RNL_ERR_ARGUMENT);
    assert_int_equal(measure_words(" ", NULL, 0, &words, NULL), RNL_ERR_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_stand_between_all_runs),
        cmocka_unit_test(a_machine_that_slows_down_changes_no_ratio),
        cmocka_unit_test(what_changed_on_the_way_is_measured_again),
        cmocka_unit_test(ten_times_again_and_then_it_is_flagged),
        cmocka_unit_test(a_runner_ends_it),
        cmocka_unit_test(the_reference_has_blocks_of_lfm2_350m),
        cmocka_unit_test(made_weights_compute),
        cmocka_unit_test(every_matrix_has_its_weights),
        cmocka_unit_test(shapes_that_do_not_fit_a_type_are_refused),
        cmocka_unit_test(a_stack_beside_itself_takes_as_long),
        cmocka_unit_test(measuring_can_be_stopped),
        cmocka_unit_test(what_is_measured_apart_is_the_same),
        cmocka_unit_test(what_fails_apart_is_told_here),
        cmocka_unit_test(tiny_numbers_are_flushed_when_asked),
        cmocka_unit_test(a_report_comes_back),
        cmocka_unit_test(placeholders_stay_within_their_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
