/* LFM2-Audio v1: the tiny checkpoint with Mimi instead of the LFM detokenizer, as a folder and as a
 * bundle made from it. Same tokens as with the other codec, and Mimi's sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/convert.h"
#include "engine/session.h"
#include "tests/support/rig.h"

static const char *const mimi_file = "tokenizer-e351c8d8-checkpoint125.safetensors";
static char folder[] = "/tmp/runnel-v1-XXXXXX";

static void link_in(const char *from, const char *name) {
    char old[1024], new[1024];
    (void)snprintf(old, sizeof old, "%s/%s", TEST_DATA, from);
    (void)snprintf(new, sizeof new, "%s/%s", folder, name);
    assert_int_equal(symlink(old, new), 0);
}

static int setup(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL) return 1;
    link_in("tiny/config.json", "config.json");
    link_in("tiny/model.safetensors", "model.safetensors");
    link_in("tiny/tokenizer.json", "tokenizer.json");
    link_in("mimi/config.json", "mimi_config.json");
    char from[256];
    (void)snprintf(from, sizeof from, "mimi/%s", mimi_file);
    link_in(from, mimi_file);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    const char *const names[] = {"config.json",      "model.safetensors", "tokenizer.json",
                                 "mimi_config.json", mimi_file,           "bundle.gguf"};
    char path[1024];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

typedef struct answer {
    rig_result r;
    int32_t frames[80 * 8];
    size_t frame_count;
} answer;

static answer ask(const char *path) {
    rnl_model *model = rig_model(path);
    rnl_model_info info;
    rnl_model_get_info(model, &info);
    rnl_session *s = rig_session(model, 2);
    rig_text(s, RNL_ROLE_SYSTEM, "Respond with interleaved text and audio.");
    rig_clip_a(s);
    rig_begin(s, RNL_MODE_INTERLEAVED, 60);
    answer a = {.r = rig_run(s)};
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    a.frame_count = reply.frame_count;
    memcpy(a.frames, reply.frames, reply.frame_count * 8 * sizeof *a.frames);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
    return a;
}

static void folder_and_bundle_give_the_same_answer(void **state) {
    (void)state;
    char bundle[1024];
    (void)snprintf(bundle, sizeof bundle, "%s/bundle.gguf", folder);
    rnl_model *model = rig_model(folder);
    rnl_model_info info;
    rnl_model_get_info(model, &info);
    assert_string_equal(info.codec, "mimi");
    const convert_config config = {.path = bundle, .thread_count = 2};
    assert_int_equal(convert_model(model, &config, NULL), RNL_OK);
    const convert_config as_set = {.path = bundle, .as_set = true, .thread_count = 1};
    rnl_error error;
    assert_int_equal(convert_model(model, &as_set, &error), RNL_ERR_UNSUPPORTED);
    rnl_model_close(&model);

    answer lfm = ask("tiny"), v1 = ask(folder), bundled = ask(bundle);
    assert_int_equal(v1.frame_count, lfm.frame_count);
    assert_memory_equal(v1.frames, lfm.frames, v1.frame_count * 8 * sizeof *v1.frames);
    assert_string_equal(v1.r.text, lfm.r.text);
    assert_int_equal(v1.r.sample_count, v1.frame_count * 1920);
    assert_memory_not_equal(v1.r.samples, lfm.r.samples, v1.r.sample_count * sizeof(float));
    assert_int_equal(bundled.r.sample_count, v1.r.sample_count);
    assert_memory_equal(v1.r.samples, bundled.r.samples, v1.r.sample_count * sizeof(float));
    assert_string_equal(v1.r.text, bundled.r.text);
    rig_free(&lfm.r);
    rig_free(&v1.r);
    rig_free(&bundled.r);
}

/* A v1 model asks for speech without naming a voice (audio.md 7.2). */
static void the_prompts_are_those_of_v1(void **state) {
    (void)state;
    rnl_model *model = rig_model(folder);
    assert_string_equal(rnl_model_system_prompt(model, RNL_MODE_SPEAK), "Perform TTS.");
    assert_string_equal(rnl_model_system_prompt(model, RNL_MODE_TRANSCRIBE), "Perform ASR.");
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder_and_bundle_give_the_same_answer),
        cmocka_unit_test(the_prompts_are_those_of_v1),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
