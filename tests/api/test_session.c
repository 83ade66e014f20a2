/* A session from outside: what it refuses and why, a full context, plans and budgets. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/rig.h"

static rnl_model *model;
static rnl_error error;

static int setup(void **state) {
    (void)state;
    model = rig_model("tiny");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rnl_model_close(&model);
    return 0;
}

static void says(const char *part) {
    if (strstr(error.text, part) == NULL) fail_msg("'%s' lacks '%s'", error.text, part);
}

static void configurations_out_of_range_are_refused(void **state) {
    (void)state;
    rnl_memory_plan plan;
    rnl_session *s = NULL;
    rnl_session_config c = rnl_session_config_default();
    c.context_cap = 63;
    assert_int_equal(rnl_session_plan(model, &c, &plan, &error), RNL_ERR_ARGUMENT);
    says("context_cap");
    c = rnl_session_config_default();
    c.thread_count = 0;
    assert_int_equal(rnl_session_create(model, &c, &s, &error), RNL_ERR_ARGUMENT);
    says("thread_count");
    assert_null(s);
    c = rnl_session_config_default();
    c.clip_seconds_max = NAN;
    assert_int_equal(rnl_session_create(model, &c, &s, &error), RNL_ERR_ARGUMENT);
    says("clip_seconds_max");
    c = rnl_session_config_default();
    c.step_positions = 0;
    assert_int_equal(rnl_session_create(model, &c, &s, &error), RNL_ERR_ARGUMENT);
    says("step_positions");
    assert_int_equal(rnl_session_create(NULL, NULL, &s, &error), RNL_ERR_ARGUMENT);
    assert_int_equal(rnl_model_open(NULL, NULL, &model, &error), RNL_ERR_ARGUMENT);
}

static void a_tuning_out_of_range_is_refused(void **state) {
    (void)state;
    rnl_tuning t = rnl_tuning_default();
    assert_true(t.prefetch == RNL_PREFETCH_L1 || t.prefetch == RNL_PREFETCH_L2);
    rnl_model_config c = rnl_model_config_default();
    rnl_model *other = NULL;
    c.tuning = &t;
    t.prefetch = (rnl_prefetch)RNL_PREFETCH_COUNT;
    assert_int_equal(rnl_model_open(TEST_DATA "/tiny", &c, &other, &error), RNL_ERR_ARGUMENT);
    says("tuning.prefetch");
    t = rnl_tuning_default();
    t.block_kib = 63;
    assert_int_equal(rnl_model_open(TEST_DATA "/tiny", &c, &other, &error), RNL_ERR_ARGUMENT);
    says("tuning.block_kib");
    assert_null(other);
}

static void the_plan_is_what_is_allowed(void **state) {
    (void)state;
    rnl_memory_plan plan;
    rnl_session *s = NULL;
    rnl_session_config c = rnl_session_config_default();
    assert_int_equal(rnl_session_plan(model, &c, &plan, NULL), RNL_OK);
    assert_int_equal(plan.total, plan.kv_cache + plan.history + plan.tokenizer + plan.backbone +
                                     plan.detokenizer + plan.snapshots + plan.scratch);
    /* 2 attention layers, keys and values of 2 heads of 16 floats, 4096 positions. */
    assert_int_equal(plan.kv_cache, 2 * 2 * 2 * 16 * 4 * 4096);
    c.memory_size_max = plan.total - 1;
    assert_int_equal(rnl_session_create(model, &c, &s, &error), RNL_ERR_BUDGET);
    says("MiB");
    c.memory_size_max = plan.total;
    assert_int_equal(rnl_session_create(model, &c, &s, &error), RNL_OK);
    rnl_session_destroy(&s);
}

static void bad_content_changes_nothing(void **state) {
    (void)state;
    rnl_session *s = rig_session(model, 1);
    float x[400] = {0};
    assert_int_equal(rnl_session_add_text(s, RNL_ROLE_USER, "\xff", 1, &error), RNL_ERR_DATA);
    says("UTF-8");
    assert_int_equal(rnl_session_add_text(s, (rnl_role)9, "x", 1, &error), RNL_ERR_ARGUMENT);
    assert_int_equal(rnl_session_add_audio(s, x, 319, 16000, &error), RNL_ERR_DATA);
    says("20 ms");
    assert_int_equal(rnl_session_add_audio(s, x, 400, 3999, &error), RNL_ERR_DATA);
    says("768000");
    assert_int_equal(rnl_session_add_audio(s, x, 400, 0, &error), RNL_ERR_DATA);
    x[3] = INFINITY;
    assert_int_equal(rnl_session_add_audio(s, x, 400, 16000, &error), RNL_ERR_DATA);
    says("sample 3");
    float *minutes = calloc(13 * 16000, sizeof *minutes);
    assert_non_null(minutes);
    assert_int_equal(rnl_session_add_audio(s, minutes, 13 * 16000, 16000, &error),
                     RNL_ERR_TOO_LONG);
    says("transcribe");
    free(minutes);
    assert_int_equal(rnl_session_position_count(s), 0);
    assert_int_equal(rnl_session_step(s, NULL), RNL_DONE);
    rnl_session_destroy(&s);
}

/* A push that is refused leaves things as they were: no clip, or the clip before it. */
static void a_refused_push_opens_no_clip(void **state) {
    (void)state;
    rnl_session *s = rig_session(model, 1);
    float *minutes = calloc(13 * 16000, sizeof *minutes);
    assert_non_null(minutes);
    assert_int_equal(rnl_session_push_audio(s, minutes, 13 * 16000, 16000, &error),
                     RNL_ERR_TOO_LONG);
    assert_int_equal(rnl_session_end_audio(s, &error), RNL_OK); /* there is none */
    minutes[5] = NAN;
    assert_int_equal(rnl_session_push_audio(s, minutes, 400, 16000, &error), RNL_ERR_DATA);
    assert_int_equal(rnl_session_snapshot(s, 0, &error), RNL_OK);
    minutes[5] = 0;
    assert_int_equal(rnl_session_push_audio(s, minutes, 400, 8000, &error), RNL_OK);
    assert_int_equal(rnl_session_push_audio(s, minutes, 13 * 16000, 8000, &error),
                     RNL_ERR_TOO_LONG);
    assert_int_equal(rnl_session_push_audio(s, minutes, 12 * 8000 - 400, 8000, &error), RNL_OK);
    assert_int_equal(rnl_session_push_audio(s, minutes, 1, 8000, &error), RNL_ERR_TOO_LONG);
    assert_int_equal(rnl_session_end_audio(s, &error), RNL_OK);
    assert_true(rnl_session_position_count(s) > 12 * 12);
    free(minutes);
    rnl_session_destroy(&s);
}

static void calls_out_of_order_are_refused(void **state) {
    (void)state;
    rnl_session *s = rig_session(model, 1);
    float x[400] = {0};
    rig_text(s, RNL_ROLE_USER, "hello");
    assert_int_equal(rnl_session_add_text(s, RNL_ROLE_SYSTEM, "late", 4, &error), RNL_ERR_STATE);
    says("first");
    rig_begin(s, RNL_MODE_TEXT, 5);
    assert_int_equal(rnl_session_add_text(s, RNL_ROLE_USER, "now", 3, &error), RNL_ERR_STATE);
    assert_int_equal(rnl_session_add_audio(s, x, 400, 16000, &error), RNL_ERR_STATE);
    rnl_turn_config turn = rnl_turn_config_default(model, RNL_MODE_TEXT);
    assert_int_equal(rnl_session_begin(s, &turn, &error), RNL_ERR_STATE);
    rnl_session_stop(s);
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    assert_int_equal(reply.finish, RNL_FINISH_STOPPED);
    turn.step_max = 0;
    assert_int_equal(rnl_session_begin(s, &turn, &error), RNL_ERR_ARGUMENT);
    says("step_max");
    turn.step_max = 5;
    turn.text.temperature = 3;
    assert_int_equal(rnl_session_begin(s, &turn, &error), RNL_ERR_ARGUMENT);
    says("text temperature");
    assert_int_equal(rnl_session_push_audio(s, x, 100, 16000, &error), RNL_OK);
    assert_int_equal(rnl_session_push_audio(s, x, 100, 8000, &error), RNL_ERR_ARGUMENT);
    assert_int_equal(rnl_session_add_audio(s, x, 400, 16000, &error), RNL_ERR_STATE);
    assert_int_equal(rnl_session_end_audio(s, &error), RNL_ERR_DATA); /* dropped: too short */
    assert_int_equal(rnl_session_add_audio(s, x, 400, 16000, &error), RNL_OK);
    rnl_session_destroy(&s);
}

static rnl_session *small(bool drop) {
    rnl_session_config c = rnl_session_config_default();
    c.context_cap = 128;
    c.thread_count = 1;
    c.clip_seconds_max = 2;
    c.drop_oldest_turns = drop;
    rnl_session *s = NULL;
    assert_int_equal(rnl_session_create(model, &c, &s, &error), RNL_OK);
    return s;
}

static const char *const sentence = "Can you give me something related to that?";

static void a_full_context_refuses_and_keeps_what_it_has(void **state) {
    (void)state;
    rnl_session *s = small(false);
    rig_text(s, RNL_ROLE_SYSTEM, "You are a helpful assistant named Runnel.");
    rnl_status status = RNL_OK;
    int before = 0, turns = 0;
    for (; status == RNL_OK && turns < 50; turns++) {
        before = rnl_session_position_count(s);
        status = rnl_session_add_text(s, RNL_ROLE_USER, sentence, strlen(sentence), &error);
    }
    assert_int_equal(status, RNL_ERR_CONTEXT_FULL);
    says("context");
    assert_int_equal(rnl_session_position_count(s), before);
    /* The reply ends where the context does. */
    rig_begin(s, RNL_MODE_TEXT, 500);
    rig_result r = rig_run(s);
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    assert_true(reply.finish == RNL_FINISH_CONTEXT || reply.finish == RNL_FINISH_END);
    assert_true(rnl_session_position_count(s) <= 128);
    rig_free(&r);
    rnl_session_destroy(&s);
}

static void a_full_context_drops_the_oldest_turns_on_request(void **state) {
    (void)state;
    rnl_session *s = small(true);
    rig_text(s, RNL_ROLE_SYSTEM, "You are a helpful assistant named Runnel.");
    const int system_end = rnl_session_position_count(s);
    int dropped = 0;
    for (int turn = 0; turn < 20; turn++) {
        const int before = rnl_session_position_count(s);
        if (turn % 5 == 4)
            rig_clip_a(s);
        else
            rig_text(s, RNL_ROLE_USER, sentence);
        rig_begin(s, RNL_MODE_INTERLEAVED, 15);
        dropped += rnl_session_position_count(s) < before;
        rig_result r = rig_run(s);
        rnl_reply reply;
        rnl_session_get_reply(s, &reply);
        assert_true(reply.position_count > 0);
        assert_true(rnl_session_position_count(s) <= 128);
        assert_true(rnl_session_position_count(s) > system_end);
        rig_free(&r);
    }
    assert_true(dropped > 3);
    /* A text beyond the whole context cannot be helped by dropping. */
    char *huge = malloc(4000);
    assert_non_null(huge);
    memset(huge, 'x', 4000);
    assert_int_equal(rnl_session_add_text(s, RNL_ROLE_USER, huge, 4000, &error),
                     RNL_ERR_CONTEXT_FULL);
    free(huge);
    rnl_session_destroy(&s);
}

/* The beginning of an answer may be given; whether it was read before begin changes nothing. */
static void a_begun_answer_goes_on(void **state) {
    (void)state;
    rig_result results[2];
    for (int early = 0; early < 2; early++) {
        rnl_session *s = rig_session(model, 1);
        rig_text(s, RNL_ROLE_USER, sentence);
        rig_text(s, RNL_ROLE_ASSISTANT, "Of course, ");
        while (early == 1 && rnl_session_step(s, NULL) != RNL_DONE) continue;
        assert_int_equal(rnl_session_stage(s), early ? RNL_STAGE_IDLE : RNL_STAGE_PREFILL);
        rig_begin(s, RNL_MODE_TEXT, 12);
        results[early] = rig_run(s);
        rnl_reply reply;
        rnl_session_get_reply(s, &reply);
        assert_true(reply.text_count > 0);
        assert_int_not_equal(reply.finish, RNL_FINISH_NONE);
        rnl_session_destroy(&s);
    }
    assert_string_equal(results[0].text, results[1].text);
    rig_free(&results[0]);
    rig_free(&results[1]);
}

/* A second clip is taken in while the first is encoded; only its end has to wait for the steps. */
static void a_second_clip_waits_for_the_encoder(void **state) {
    (void)state;
    float *samples = rig_wav("audio/question.wav", 0, 32000);
    rnl_session *s = rig_session(model, 1), *slow = rig_session(model, 1);
    for (rnl_session *at = s; at != NULL; at = at == s ? slow : NULL) {
        rnl_status status;
        assert_int_equal(rnl_session_add_audio(at, samples, 20000, 16000, NULL), RNL_OK);
        while (at == slow && rnl_session_step(at, NULL) != RNL_DONE) continue;
        if (at == s) { /* nothing of it is encoded by the calls that take sound */
            const int before = rnl_session_position_count(s);
            assert_int_equal(rnl_session_add_audio(s, samples, 9000, 16000, &error), RNL_AGAIN);
            assert_int_equal(rnl_session_push_audio(s, samples, 9000, 16000, &error), RNL_OK);
            assert_int_equal(rnl_session_push_audio(s, samples + 9000, 6000, 16000, NULL), RNL_OK);
            rnl_turn_config turn = rnl_turn_config_default(model, RNL_MODE_TEXT);
            assert_int_equal(rnl_session_end_audio(s, &error), RNL_AGAIN);
            assert_int_equal(rnl_session_begin(s, &turn, &error), RNL_AGAIN);
            assert_int_equal(rnl_session_add_text(s, RNL_ROLE_USER, "x", 1, &error), RNL_AGAIN);
            assert_int_equal(rnl_session_position_count(s), before);
            assert_int_equal(rnl_session_stage(s), RNL_STAGE_ENCODE);
            while ((status = rnl_session_end_audio(s, NULL)) == RNL_AGAIN)
                assert_int_equal(rnl_session_step(s, NULL), RNL_OK);
            assert_int_equal(status, RNL_OK);
        } else {
            assert_int_equal(rnl_session_add_audio(slow, samples, 15000, 16000, NULL), RNL_OK);
        }
        rig_begin(at, RNL_MODE_TRANSCRIBE, 12);
    }
    rig_result a = rig_run(s), b = rig_run(slow);
    assert_int_equal(rnl_session_position_count(s), rnl_session_position_count(slow));
    assert_string_equal(a.text, b.text);
    rig_free(&a);
    rig_free(&b);
    rnl_session_destroy(&s);
    rnl_session_destroy(&slow);
    free(samples);
}

static void names_and_sentences(void **state) {
    (void)state;
    assert_string_equal(rnl_status_name(RNL_ERR_FORMAT), "RNL_ERR_FORMAT");
    assert_true(strlen(rnl_status_text(RNL_ERR_FORMAT)) > 10);
    assert_string_equal(rnl_status_name((rnl_status)99), "RNL_?");
    assert_string_equal(rnl_finish_name(RNL_FINISH_LIMIT), "limit");
    assert_true(strlen(rnl_version()) >= 5);
    rnl_model *none = NULL;
    rnl_session *nobody = NULL;
    rnl_model_close(&none);
    rnl_session_destroy(&nobody);
    assert_null(rnl_model_system_prompt(model, (rnl_mode)77));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations_out_of_range_are_refused),
        cmocka_unit_test(a_tuning_out_of_range_is_refused),
        cmocka_unit_test(the_plan_is_what_is_allowed),
        cmocka_unit_test(bad_content_changes_nothing),
        cmocka_unit_test(a_refused_push_opens_no_clip),
        cmocka_unit_test(calls_out_of_order_are_refused),
        cmocka_unit_test(a_full_context_refuses_and_keeps_what_it_has),
        cmocka_unit_test(a_full_context_drops_the_oldest_turns_on_request),
        cmocka_unit_test(a_begun_answer_goes_on),
        cmocka_unit_test(a_second_clip_waits_for_the_encoder),
        cmocka_unit_test(names_and_sentences),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
