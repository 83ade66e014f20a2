/* Whole models on a GPU: logits of the dense checkpoints within the tolerances of their manifests,
 * and a spoken turn of the tiny model near the CPU's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/golden.h"
#include "tests/support/gpu.h"
#include "tests/support/npy.h"
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

static void check_prompt(rnl_session *s, const char *dir, int prompt) {
    char path[256], file[64];
    const int vocab = backbone_vocab_count(&s->model->backbone);
    (void)snprintf(path, sizeof path, "%s/expect/prompt%d/ids.npy", dir, prompt);
    npy ids = npy_read(path);
    float *logits = malloc(ids.count * (size_t)vocab * sizeof *logits);
    assert_non_null(logits);
    rnl_session_reset(s);
    prompt_run(s, ids.i, (int)ids.count, s->config.step_positions, logits);
    (void)snprintf(path, sizeof path, "%s/expect", dir);
    (void)snprintf(file, sizeof file, "prompt%d/logits.npy", prompt);
    golden_check(path, file, logits, ids.count * (size_t)vocab);
    (void)snprintf(path, sizeof path, "%s/expect/prompt%d/greedy.npy", dir, prompt);
    prompt_check_greedy(s, path, logits + (ids.count - 1) * (size_t)vocab);
    npy_free(&ids);
    free(logits);
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
        for (int prompt = 0; prompt < 2; prompt++) check_prompt(s, checkpoints[i], prompt);
        assert_true(stack_placed_count(model->placement.backbone) > 2);
        rnl_session_destroy(&s);
        rnl_model_close(&model);
    }
}

/* rms of the difference / rms. */
static double off(const float *a, const float *b, size_t count) {
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return sqrt(difference / size);
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
    const double found = off(got, want, count);
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
    assert_true(off(got.samples, want.samples, want.sample_count) < allowed);
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
