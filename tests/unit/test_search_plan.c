/* space.json: what it may say, what it says when it is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "search/plan.h"

static void nothing_said_is_the_default(void **state) {
    (void)state;
    search_plan p, q;
    assert_int_equal(search_plan_parse(&p, "space", "{}", 2, NULL), RNL_OK);
    assert_int_equal(search_plan_default(&q, p.device, NULL), RNL_OK);
    assert_memory_equal(&p, &q, sizeof p);
    assert_int_equal(p.space.d, 1024);
    assert_true(p.space.params == 212000000);
    assert_int_equal(p.population, 8);
    assert_true(p.objective_count == 3 && p.is_real && p.limit_count == 1);
    assert_string_equal(p.metrics->row[p.limits[0].metric].name, "prefill_4k");
    assert_true(p.recall_steps == 300 && p.text_steps == 171 && p.rounds == 5);
}

static void a_plan_is_read_as_it_was_written(void **state) {
    (void)state;
    static const char text[] =
        "{\"device\": \"made-up\", \"d\": 128, \"heads\": 8, \"blocks\": 64, \"params\": "
        "9000000000,"
        "\"tolerance\": 0.1, \"vocab\": 300, \"ff_multiple\": 1, \"length\": 512,"
        "\"need_far\": true, \"population\": 16, \"tournament\": 3, \"evaluations\": 200,"
        "\"generations\": 0, \"mutation\": 0.30000000000000004, \"seed\": 9007199254740993,"
        "\"objectives\": [\"cache\", \"loss\"],"
        "\"limits\": {\"prefill\": {\"times_first\": 1.5}, \"decode\": 7}}";
    search_plan p, q;
    assert_int_equal(search_plan_parse(&p, "space", text, sizeof text - 1, NULL), RNL_OK);
    assert_true(p.seed == 9007199254740993u && p.space.params == 9000000000 && p.space.need_far);
    assert_true(p.mutation == 0.1 + 0.2 && p.tournament == 3 && p.generations == 0);
    assert_int_equal(p.objectives[0], search_metric_find(p.metrics, "cache"));
    assert_true(p.limit_count == 2 && p.limits[0].times_first && !p.limits[1].times_first);
    char *again = search_plan_text(&p);
    assert_non_null(again);
    assert_int_equal(search_plan_parse(&q, "space", again, strlen(again), NULL), RNL_OK);
    assert_memory_equal(&p, &q, sizeof p);
    free(again);
}

static void what_makes_no_sense_is_refused(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"[]", "is no object"},
        {"{\"d\": 96", "not valid JSON"},
        {"{\"d\": 96, \"d\": 96}", "not valid JSON"},
        {"{\"device\": \"toaster\"}", "'toaster' is no device"},
        {"{\"device\": 7}", "'device'"},
        {"{\"width\": 96}", "'width' is no field"},
        {"{\"d\": 96.0}", "'d' is no whole number from 8 to 65536"},
        {"{\"d\": 4}", "'d' is no whole number"},
        {"{\"d\": \"96\"}", "'d' is no whole number"},
        {"{\"d\": 98}", "d is 98, no multiple of twice 16 heads"},
        {"{\"heads\": 6}", "no multiple of 4"},
        {"{\"blocks\": 65}", "'blocks'"},
        {"{\"params\": 0}", "'params'"},
        {"{\"tolerance\": 1}", "'tolerance' is no number from"},
        {"{\"mutation\": true}", "'mutation'"},
        {"{\"need_far\": 1}", "'need_far' is neither true nor false"},
        {"{\"seed\": -1}", "'seed'"},
        {"{\"seed\": 9223372036854775807}", "'seed'"},
        {"{\"objectives\": []}", "'objectives' is no list"},
        {"{\"objectives\": [\"loss\", \"loss\"]}", "twice"},
        {"{\"objectives\": [\"charm\"]}", "does not measure"},
        {"{\"objectives\": [3]}", "does not measure"},
        {"{\"limits\": []}", "'limits' is no object"},
        {"{\"limits\": {\"charm\": 3}}", "does not measure"},
        {"{\"limits\": {\"decode_4k\": 0}}", "'decode_4k' is neither a limit"},
        {"{\"limits\": {\"decode_4k\": {\"times\": 3}}}", "'decode_4k' is neither a limit"},
        {"{\"limits\": {\"decode_4k\": {\"times_first\": 3, \"x\": 1}}}", "'decode_4k' is neither"},
        {"{\"limits\": {\"decode\": 3}}", "does not measure"},
        {"{\"corpus\": 3}", "'corpus' is no text"},
        {"{\"corpus_hash\": \"012345678901234567890\"}", "'corpus_hash' is no text, or too long"},
        {"{\"rounds\": 26}", "'rounds'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        search_plan p;
        rnl_error error = {0};
        if (search_plan_parse(&p, "my.json", bad[i][0], strlen(bad[i][0]), &error) == RNL_OK)
            fail_msg("%s was taken", bad[i][0]);
        if (strstr(error.text, bad[i][1]) == NULL || strstr(error.text, "my.json") != error.text)
            fail_msg("%s: '%s' lacks '%s'", bad[i][0], error.text, bad[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_is_the_default),
        cmocka_unit_test(a_plan_is_read_as_it_was_written),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
