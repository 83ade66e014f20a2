/* The types of the KV cache: what they take, and that the laws hold with eight bits too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/rig.h"

static rnl_model *minnow;

static int open_minnow(void **state) {
    (void)state;
    minnow = rig_model_fast(SOURCE_DIR "/samples/minnow/minnow.gguf");
    return 0;
}

static int close_minnow(void **state) {
    (void)state;
    rnl_model_close(&minnow);
    return 0;
}

static rnl_session_config config_of(rnl_kv_cache kv) {
    rnl_session_config c = rnl_session_config_default();
    c.context_cap = 512;
    c.clip_seconds_max = 12;
    c.kv_cache = kv;
    return c;
}

static void a_value_takes_as_many_bytes_as_it_says(void **state) {
    (void)state;
    rnl_memory_plan plans[RNL_KV_Q8_0 + 1];
    for (int kv = RNL_KV_DEFAULT; kv <= RNL_KV_Q8_0; kv++) {
        const rnl_session_config c = config_of((rnl_kv_cache)kv);
        assert_int_equal(rnl_session_plan(minnow, &c, &plans[kv], NULL), RNL_OK);
    }
    assert_int_equal(plans[RNL_KV_DEFAULT].kv_cache, plans[RNL_KV_F16].kv_cache);
    assert_int_equal(plans[RNL_KV_F32].kv_cache, 2 * plans[RNL_KV_F16].kv_cache);
    assert_int_equal(64 * plans[RNL_KV_Q8_0].kv_cache, 34 * plans[RNL_KV_F16].kv_cache);
}

static void what_cannot_be_kept_is_refused(void **state) {
    (void)state;
    rnl_model *tiny = rig_model_fast("gguf/tiny-F16.gguf"); /* heads of 16 */
    rnl_session *s = NULL;
    rnl_error error = {0};
    rnl_session_config c = config_of(RNL_KV_Q8_0);
    assert_int_equal(rnl_session_create(tiny, &c, &s, &error), RNL_ERR_UNSUPPORTED);
    assert_null(s);
    assert_non_null(strstr(error.text, "16"));
    c.kv_cache = (rnl_kv_cache)4;
    assert_int_equal(rnl_session_create(tiny, &c, &s, &error), RNL_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "kv_cache"));
    rnl_model_close(&tiny);
}

/* A spoken question answered; restored: with a snapshot taken and brought back after ten steps. */
static rig_result answer(int threads, bool restored) {
    rnl_session_config c = config_of(RNL_KV_Q8_0);
    c.thread_count = threads;
    rnl_session *s = NULL;
    const char *path = SOURCE_DIR "/samples/questions/light.wav";
    const size_t count = rig_wav_count(path);
    float *clip = rig_wav(path, 0, count);
    assert_int_equal(rnl_session_create(minnow, &c, &s, NULL), RNL_OK);
    const char *system = rnl_model_system_prompt(minnow, RNL_MODE_INTERLEAVED);
    if (system != NULL) rig_text(s, RNL_ROLE_SYSTEM, system);
    assert_int_equal(rnl_session_add_audio(s, clip, count, 16000, NULL), RNL_OK);
    rig_begin(s, RNL_MODE_INTERLEAVED, 256);
    while (rnl_session_stage(s) != RNL_STAGE_GENERATE)
        assert_int_equal(rnl_session_step(s, NULL), RNL_OK);
    if (restored) {
        assert_int_equal(rnl_session_snapshot(s, 0, NULL), RNL_OK);
        for (int i = 0; i < 10; i++) assert_true(rnl_session_step(s, NULL) >= 0);
        assert_int_equal(rnl_session_restore(s, 0, NULL), RNL_OK);
    }
    const rig_result r = rig_run(s);
    rnl_session_destroy(&s);
    free(clip);
    return r;
}

static void eight_bits_answer_and_keep_the_laws(void **state) {
    (void)state;
    rig_result first = answer(1, false);
    assert_string_equal(first.text, "The kitchen light is on.");
    for (int threads = 1; threads <= 3; threads++) {
        rig_result r = answer(threads, threads != 1);
        assert_string_equal(r.text, first.text);
        assert_int_equal(r.sample_count, first.sample_count);
        assert_memory_equal(r.samples, first.samples, r.sample_count * sizeof *r.samples);
        rig_free(&r);
    }
    rig_free(&first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_takes_as_many_bytes_as_it_says),
        cmocka_unit_test(what_cannot_be_kept_is_refused),
        cmocka_unit_test(eight_bits_answer_and_keep_the_laws),
    };
    return cmocka_run_group_tests(tests, open_minnow, close_minnow);
}
