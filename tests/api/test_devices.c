/* Models with a device beside the CPU, which may be refused, lost or hang: the conversation has the
 * CPU's text and sound, and the log one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <runnel/runnel_batch.h>

#include "engine/model.h"
#include "tests/support/device_count.h"
#include "tests/support/fake_device.h"
#include "tests/support/rig.h"

enum { STEPS = 24, TURNS = 2 };

static char logged[4096];
static int warning_count;
static rig_result cpus[TURNS];

static void note(void *context, rnl_log_level level, const char *text) {
    (void)context;
    const size_t size = strlen(logged);
    warning_count += level == RNL_LOG_WARNING;
    (void)snprintf(logged + size, sizeof logged - size, "%s\n", text);
}

static rnl_status open_with(const rnl_device_config *device, rnl_model **m, rnl_error *error) {
    rnl_model_config config = rnl_model_config_default();
    logged[0] = '\0';
    warning_count = 0;
    config.log = note;
    config.device = device;
    return rnl_model_open(TEST_DATA "/tiny", &config, m, error);
}

static void speak(rnl_session *s, rig_result *results) {
    for (int t = 0; t < TURNS; t++) {
        rig_clip_a(s);
        rig_begin(s, RNL_MODE_INTERLEAVED, STEPS);
        results[t] = rig_run(s);
    }
}

static int setup(void **state) {
    rnl_model *m;
    rnl_error error;
    (void)state;
    if (open_with(NULL, &m, &error) != RNL_OK) return -1;
    rnl_session *s = rig_session(m, 2);
    speak(s, cpus);
    rnl_session_destroy(&s);
    rnl_model_close(&m);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int t = 0; t < TURNS; t++) rig_free(&cpus[t]);
    return 0;
}

static void check_same(rnl_session *s) {
    rig_result results[TURNS];
    speak(s, results);
    for (int t = 0; t < TURNS; t++) {
        assert_string_equal(results[t].text, cpus[t].text);
        assert_int_equal(results[t].sample_count, cpus[t].sample_count);
        assert_true(results[t].sample_count > 0);
        assert_memory_equal(results[t].samples, cpus[t].samples,
                            cpus[t].sample_count * sizeof(float));
        rig_free(&results[t]);
    }
}

/* A model, and on it the device if it is not refused. */
static rnl_model *open_placed(const fake_plan *plan, unsigned stages, int deadline_ms,
                              rnl_status expected, rnl_error *error) {
    rnl_device_config config = rnl_device_config_default();
    rnl_model *m;
    config.deadline_ms = deadline_ms;
    fake_begin(plan);
    if (open_with(NULL, &m, error) != RNL_OK) fail_msg("%s", error->text);
    const rnl_status status = placement_take(m, &fake_row, NULL, stages, &config, error);
    if (status != expected) fail_msg("%d: %s", status, error->text);
    return m;
}

static void close_placed(rnl_model *m, rnl_session *s) {
    rnl_session_destroy(&s);
    rnl_model_close(&m);
    assert_null(m);
}

static void a_turn_on_a_device_is_that_of_the_cpu(void **state) {
    rnl_error error;
    unsigned stages;
    (void)state;
    rnl_model *m = open_placed(&(fake_plan){0}, RNL_DEVICE_STAGES, 10000, RNL_OK, &error);
    assert_string_equal(rnl_model_device(m, &stages), "npu Fake NPU");
    assert_int_equal(stages, RNL_DEVICE_STAGES);
    assert_true(placement_size(m) > encoder_placed_size(m->placement.encoder));
    rnl_session *s = rig_session(m, 2);
    check_same(s);
    assert_int_equal(fake_clips(), TURNS);
    assert_true(stack_placed_count(m->placement.backbone) > 10);
    assert_true(stack_placed_count(m->placement.depth) >= 8);
    assert_int_equal(warning_count, 0);
    close_placed(m, s);
    assert_int_equal(fake_open(), 0);
}

/* Each by itself: the others are the CPU's, on the same states. */
static void stages_are_placed_one_by_one(void **state) {
    rnl_error error;
    (void)state;
    for (unsigned stage = RNL_DEVICE_ENCODER; stage <= RNL_DEVICE_DEPTH; stage <<= 1) {
        rnl_model *m = open_placed(&(fake_plan){0}, stage, 10000, RNL_OK, &error);
        rnl_session *s = rig_session(m, 1);
        check_same(s);
        assert_int_equal(fake_clips(), stage == RNL_DEVICE_ENCODER ? TURNS : 0);
        assert_true((fake_passes() > 0) == (stage != RNL_DEVICE_ENCODER));
        close_placed(m, s);
    }
    assert_int_equal(fake_open(), 0);
}

/* Back from a snapshot, and cut to what was heard, as a conversation on the CPU. */
static void states_come_back_on_a_device(void **state) {
    rnl_error error;
    rig_result said[2];
    (void)state;
    for (int on = 0; on < 2; on++) {
        rnl_model *m = open_placed(&(fake_plan){0}, RNL_DEVICE_PREFILL | RNL_DEVICE_DECODE, 10000,
                                   RNL_OK, &error);
        if (on == 0) placement_close(m);
        rnl_session *s = rig_session(m, 2);
        rig_text(s, RNL_ROLE_SYSTEM, "Respond with interleaved text and audio.");
        rig_clip_a(s);
        while (rnl_session_step(s, &error) == RNL_OK) continue;
        assert_int_equal(rnl_session_snapshot(s, 0, &error), RNL_OK);
        rig_begin(s, RNL_MODE_INTERLEAVED, STEPS / 2);
        rig_result thrown = rig_run(s);
        assert_int_equal(rnl_session_restore(s, 0, &error), RNL_OK);
        rig_free(&thrown);
        rig_begin(s, RNL_MODE_INTERLEAVED, STEPS);
        thrown = rig_run(s);
        assert_int_equal(rnl_session_rewind(s, thrown.sample_count / 3, &error), RNL_OK);
        rig_free(&thrown);
        rig_clip_a(s);
        rig_begin(s, RNL_MODE_INTERLEAVED, STEPS);
        said[on] = rig_run(s);
        assert_true((fake_passes() > 0) == (on == 1));
        close_placed(m, s);
    }
    assert_string_equal(said[0].text, said[1].text);
    assert_int_equal(said[0].sample_count, said[1].sample_count);
    assert_memory_equal(said[0].samples, said[1].samples, said[0].sample_count * sizeof(float));
    rig_free(&said[0]);
    rig_free(&said[1]);
}

static void a_device_lost_in_an_answer_is_followed_by_the_cpu(void **state) {
    rnl_error error;
    unsigned stages;
    (void)state;
    rnl_model *m =
        open_placed(&(fake_plan){.lost_at = 100}, RNL_DEVICE_STAGES, 10000, RNL_OK, &error);
    rnl_session *s = rig_session(m, 2);
    check_same(s);
    assert_int_equal(fake_passes(), 100);
    assert_int_equal(warning_count, 1);
    assert_non_null(strstr(logged, "npu Fake NPU: the fake is lost; the CPU goes on\n"));
    assert_string_equal(rnl_model_device(m, &stages), "cpu");
    assert_int_equal(stages, 0);
    rnl_session *other = rig_session(m, 1); /* one that comes later never meets it */
    check_same(other);
    assert_int_equal(fake_passes(), 100);
    assert_int_equal(warning_count, 1);
    rnl_session_destroy(&other);
    close_placed(m, s);
    assert_int_equal(fake_open(), 0);
}

static void check_refused(const fake_plan *plan, rnl_status expected, const char *why) {
    rnl_error error = {0};
    rnl_model *m = open_placed(plan, RNL_DEVICE_STAGES, 10000, expected, &error);
    if (strstr(error.text, why) == NULL) fail_msg("'%s' lacks '%s'", error.text, why);
    assert_string_equal(rnl_model_device(m, NULL), "cpu");
    rnl_session *s = rig_session(m, 1);
    check_same(s);
    assert_int_equal(fake_passes(), 0);
    close_placed(m, s);
    assert_int_equal(fake_open(), 0);
}

static void a_device_that_cannot_be_used_is_refused(void **state) {
    (void)state;
    check_refused(&(fake_plan){.no_library = "libfake.so is not here"}, RNL_ERR_IO,
                  "npu is not used: libfake.so is not here");
    check_refused(&(fake_plan){.no_memory = "it has 1 MiB and needs 2"}, RNL_ERR_MEMORY,
                  "npu Fake NPU is not used: it has 1 MiB and needs 2");
    check_refused(&(fake_plan){.wrong_row = 3}, RNL_ERR_DATA,
                  "npu Fake NPU is not used: it multiplies wrongly: row 2 of blk.");
}

static void what_a_device_does_not_take_stays_on_the_cpu(void **state) {
    rnl_error error;
    unsigned stages;
    (void)state;
    rnl_model *m =
        open_placed(&(fake_plan){.lacks_depth = true}, RNL_DEVICE_STAGES, 10000, RNL_OK, &error);
    (void)rnl_model_device(m, &stages);
    assert_int_equal(stages, RNL_DEVICE_STAGES & ~RNL_DEVICE_DEPTH);
    assert_non_null(strstr(logged, "npu Fake NPU: the depthformer stays on the CPU: it has no"));
    rnl_session *s = rig_session(m, 1);
    check_same(s);
    close_placed(m, s);
    m = open_placed(&(fake_plan){.no_states = true}, RNL_DEVICE_DECODE, 10000, RNL_OK, &error);
    s = rig_session(m, 1);
    check_same(s);
    assert_int_equal(fake_passes(), 0);
    assert_non_null(strstr(logged, "a session stays on the CPU: it has no room for it"));
    close_placed(m, s);
    assert_int_equal(fake_open(), 0);
}

static void conversations_of_a_batch_share_a_device(void **state) {
    enum { COUNT = 3 };
    rnl_error error;
    rnl_session *s[COUNT];
    (void)state;
    rnl_model *m =
        open_placed(&(fake_plan){.lost_at = 50}, RNL_DEVICE_STAGES, 10000, RNL_OK, &error);
    rnl_batch_config config = rnl_batch_config_default();
    config.context_cap = 512;
    config.clip_seconds_max = 12;
    config.thread_count = 2;
    config.turn_network = false;
    rnl_batch *batch;
    if (rnl_batch_create(m, &config, &batch, &error) != RNL_OK) fail_msg("%s", error.text);
    for (int i = 0; i < COUNT; i++) {
        rnl_session_config own = rnl_session_config_default();
        own.context_cap = 512;
        own.clip_seconds_max = 12;
        if (rnl_session_create_in(batch, &own, &s[i], &error) != RNL_OK) fail_msg("%s", error.text);
    }
    for (int i = 0; i < COUNT; i++) check_same(s[i]);
    assert_int_equal(warning_count, 1);
    for (int i = 0; i < COUNT; i++) rnl_session_destroy(&s[i]);
    rnl_batch_destroy(&batch);
    rnl_model_close(&m);
    assert_int_equal(fake_open(), 0);
}

static void check_choice(const char *choice, unsigned measured, const char *line) {
    rnl_device_config config = rnl_device_config_default();
    rnl_model *m;
    rnl_error error = {0};
    config.device = choice;
    config.measured = measured;
    config.opencl_path = config.onnx_path = "/nowhere/libnone.so";
    if (open_with(&config, &m, &error) != RNL_OK) fail_msg("%s: %s", choice, error.text);
    assert_string_equal(rnl_model_device(m, NULL), "cpu");
    if (line == NULL) assert_int_equal(warning_count, 0);
    if (line != NULL && strstr(logged, line) == NULL) fail_msg("'%s' lacks '%s'", logged, line);
    rnl_model_close(&m);
}

static void the_choice_is_one_of_few(void **state) {
    static const char *const wrong[] = {"tpu", "cpu:x", "auto:x", "gpu:", "", "GPU", "gpux"};
    rnl_device_config config = rnl_device_config_default();
    rnl_model *m;
    rnl_error error;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        config.device = wrong[i];
        assert_int_equal(open_with(&config, &m, &error), RNL_ERR_ARGUMENT);
        assert_non_null(strstr(error.text, "none of cpu, auto, gpu, npu, gpu:NAME and npu:NAME"));
    }
    config = rnl_device_config_default();
    config.deadline_ms = 9;
    assert_int_equal(open_with(&config, &m, &error), RNL_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "deadline_ms"));
    check_choice("cpu", 0, NULL);
    check_choice("auto", 0, NULL); /* nothing was measured: nobody is asked */
    check_choice("gpu", 0, "gpu is not used: ");
    check_choice("npu:Hexagon", 0, "npu is not used: ");
    check_choice("auto", RNL_DEVICE_DECODE, " is not used: ");
}

static void a_device_that_hangs_in_an_answer_is_given_up(void **state) {
    rnl_error error;
    (void)state;
    rnl_model *m =
        open_placed(&(fake_plan){.hangs_at = 40}, RNL_DEVICE_STAGES, 2000, RNL_OK, &error);
    rnl_session *s = rig_session(m, 2);
    check_same(s);
    assert_int_equal(fake_passes(), 40);
    assert_int_equal(warning_count, 1);
    assert_non_null(
        strstr(logged, "npu Fake NPU: it did not answer within 2 s; the CPU goes on\n"));
    close_placed(m, s);
    m = open_placed(&(fake_plan){.hangs_opening = true}, RNL_DEVICE_STAGES, 10, RNL_ERR_IO, &error);
    assert_non_null(strstr(error.text, "npu is not used: it did not answer within 0.06 s"));
    s = rig_session(m, 1);
    check_same(s);
    close_placed(m, s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_on_a_device_is_that_of_the_cpu),
        cmocka_unit_test(stages_are_placed_one_by_one),
        cmocka_unit_test(states_come_back_on_a_device),
        cmocka_unit_test(a_device_lost_in_an_answer_is_followed_by_the_cpu),
        cmocka_unit_test(a_device_that_cannot_be_used_is_refused),
        cmocka_unit_test(what_a_device_does_not_take_stays_on_the_cpu),
        cmocka_unit_test(conversations_of_a_batch_share_a_device),
        cmocka_unit_test(the_choice_is_one_of_few),
        cmocka_unit_test(a_device_that_hangs_in_an_answer_is_given_up), /* last: it stays */
    };
    const int failed = cmocka_run_group_tests(tests, setup, teardown);
    if (failed == 0) device_count_ran("fake", "test_devices", (int)(sizeof tests / sizeof *tests));
    return failed;
}
