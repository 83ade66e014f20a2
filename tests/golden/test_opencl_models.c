/* Whole models on a GPU: logits of the dense checkpoints within the tolerances of their manifests,
 * and a spoken turn of the tiny model near the CPU's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/golden.h"
#include "tests/support/gpu.h"
#include "tests/support/prompt.h"
#include "tests/support/rig.h"

static void on_log(void *context, rnl_log_level level, const char *text) {
    (void)context;
    if (level >= RNL_LOG_WARNING) print_message("%s\n", text);
}

/* NULL: the CPU. */
static rnl_model *open_model(const char *path, bool exact, const rnl_device_config *device) {
    char full[1024];
    rnl_model *model = NULL;
    rnl_error error = {0};
    rnl_model_config config = rnl_model_config_default();
    (void)snprintf(full, sizeof full, "%s/%s", TEST_DATA, path);
    config.exact = exact;
    config.device = device;
    config.log = on_log;
    if (rnl_model_open(full, &config, &model, &error) != RNL_OK) fail_msg("%s", error.text);
    return model;
}

static void dense_checkpoints_give_the_reference_logits(void **state) {
    static const char *const checkpoints[] = {"dense/tied", "dense/untied", "dense/taps5"};
    (void)state;
    gpu_begin();
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++) {
        const rnl_device_config device = gpu_config();
        rnl_model *model = open_model(checkpoints[i], true, &device);
        rnl_session *s = rig_session(model, 1);
        s->pass->backbone.on = model->placement.backbone;
        for (int prompt = 0; prompt < 2; prompt++) prompt_check(s, checkpoints[i], prompt);
        assert_true(stack_placed_count(model->placement.backbone) > 2);
        rnl_session_destroy(&s);
        rnl_model_close(&model);
    }
}

/* Inputs of eight bits, KV F16: what the two round differently is a code here and there. */
enum { ID_COUNT = 96 };
static const double allowed = 0.002;

static float *logits_of(rnl_model *model) {
    const size_t vocab = (size_t)backbone_vocab_count(&model->backbone);
    int32_t ids[ID_COUNT];
    float *logits = malloc(ID_COUNT * vocab * sizeof *logits);
    assert_non_null(logits);
    for (int i = 0; i < ID_COUNT; i++) ids[i] = (int32_t)((size_t)i * 37 % vocab);
    rnl_session *s = rig_session(model, 1);
    s->pass->backbone.on = model->placement.backbone;
    prompt_run(s, ids, ID_COUNT - 8, 40, logits);
    prompt_run(s, ids + ID_COUNT - 8, 8, 1, logits + (ID_COUNT - 8) * vocab);
    rnl_session_destroy(&s);
    return logits;
}

static void packed_logits_are_near_the_cpu(void **state) {
    const rnl_device_config device = gpu_config();
    (void)state;
    gpu_begin();
    rnl_model *cpu = open_model("gguf/tiny-Q4_0.gguf", false, NULL);
    rnl_model *gpu = open_model("gguf/tiny-Q4_0.gguf", false, &device);
    float *want = logits_of(cpu), *got = logits_of(gpu);
    assert_true(stack_placed_count(gpu->placement.backbone) == 3 + 8);
    const size_t count = ID_COUNT * (size_t)backbone_vocab_count(&cpu->backbone);
    const double found = golden_off(got, want, count);
    print_message("packed logits: off by %.2g of their rms\n", found);
    assert_true(found < allowed);
    free(want), free(got);
    rnl_model_close(&cpu);
    rnl_model_close(&gpu);
}

/* A spoken question answered, with the backbone and the depthformer on the device. */
static rig_result answer(rnl_model *model) {
    rnl_session *s = rig_session(model, 2);
    rig_clip_a(s);
    rig_begin(s, RNL_MODE_INTERLEAVED, 40);
    const rig_result r = rig_run(s);
    rnl_session_destroy(&s);
    return r;
}

static void a_spoken_turn_is_that_of_the_cpu(void **state) {
    const rnl_device_config device = gpu_config();
    (void)state;
    gpu_begin();
    rnl_model *cpu = open_model("gguf/tiny-Q4_0.gguf", false, NULL);
    rnl_model *gpu = open_model("gguf/tiny-Q4_0.gguf", false, &device);
    rig_result want = answer(cpu), got = answer(gpu);
    assert_true(stack_placed_count(gpu->placement.backbone) > 20);
    assert_true(stack_placed_count(gpu->placement.depth) > 20);
    assert_string_equal(got.text, want.text);
    assert_int_equal(got.sample_count, want.sample_count);
    assert_true(want.sample_count > 0);
    assert_true(golden_off(got.samples, want.samples, want.sample_count) < allowed);
    rig_free(&want);
    rig_free(&got);
    rnl_model_close(&cpu);
    rnl_model_close(&gpu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_checkpoints_give_the_reference_logits),
        cmocka_unit_test(packed_logits_are_near_the_cpu),
        cmocka_unit_test(a_spoken_turn_is_that_of_the_cpu),
    };
    return gpu_run("test_opencl_models", tests, sizeof tests / sizeof *tests);
}
