/* The adapter of golden learn/lora on its base (tests/data/quality/base): what PEFT computes with
 * it, the same from both layouts of its file, and merged into the weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/safetensors.h"
#include "engine/convert.h"
#include "tests/support/folder.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/prompt.h"
#include "tests/support/rig.h"

#define BASE TEST_DATA "/quality/base"
#define FOLDER TEST_DATA "/lora/adapter"
#define FILE_OF_GGUF TEST_DATA "/lora/adapter.gguf"

enum { POSITIONS = 24, VOCAB = 96 };
typedef float logits_of[POSITIONS * VOCAB];

static rnl_model *open_with(const char *path, const char *adapter, float scale) {
    rnl_model *model = NULL;
    rnl_error error = {0};
    rnl_model_config config = rnl_model_config_default();
    const rnl_adapter_config one = {.name = "golden", .path = adapter, .scale = scale};
    config.exact = true;
    config.adapters = &one;
    config.adapter_count = adapter != NULL;
    if (rnl_model_open(path, &config, &model, &error) != RNL_OK) fail_msg("%s", error.text);
    return model;
}

static void run(rnl_model *model, const char *adapter, float scale, int threads, int step,
                logits_of out) {
    rnl_session_config c = rnl_session_config_default();
    rnl_session *s = NULL;
    rnl_error error = {0};
    npy ids = npy_read("lora/ids.npy");
    c.context_cap = 64;
    c.thread_count = threads;
    c.adapter = adapter;
    c.adapter_scale = scale;
    if (rnl_session_create(model, &c, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    prompt_run(s, ids.i, POSITIONS, step, out);
    rnl_session_destroy(&s);
    npy_free(&ids);
}

/* The golden is float64; sums in float32 are off by 6e-6 at the most, here and at other levels. */
static const double tolerance = 2e-5, tolerance_rms = 5e-6;

static void compare(const char *what, const logits_of got) {
    npy want = npy_read("lora/logits.npy");
    assert_int_equal(want.count, POSITIONS * VOCAB);
    golden_compare(what, want.f, got, want.count, tolerance, tolerance_rms);
    npy_free(&want);
}

static void it_says_what_peft_says(void **state) {
    (void)state;
    logits_of peft, file, other;
    rnl_model *model = open_with(BASE, FOLDER, 1);
    run(model, "golden", 1, 1, 64, peft);
    compare("adapter", peft);
    run(model, "golden", 1, 3, 5, other); /* any cut, any number of threads */
    assert_memory_equal(peft, other, sizeof peft);
    rnl_model_close(&model);
    model = open_with(BASE, FILE_OF_GGUF, 1);
    run(model, "golden", 1, 2, 1, file);
    assert_memory_equal(peft, file, sizeof peft);
    rnl_model_close(&model);
}

static void without_effect_it_is_the_base(void **state) {
    (void)state;
    logits_of base, none, off, half;
    rnl_model *model = open_with(BASE, NULL, 1);
    run(model, NULL, 1, 1, 64, base);
    rnl_model_close(&model);
    model = open_with(BASE, FOLDER, 1);
    run(model, NULL, 1, 1, 64, none);
    run(model, "golden", 0, 1, 64, off);
    run(model, "golden", 0.5f, 1, 64, half);
    rnl_model_close(&model);
    assert_memory_equal(base, none, sizeof base);
    assert_memory_equal(base, off, sizeof base);
    assert_memory_not_equal(base, half, sizeof base);
    model = open_with(BASE, FOLDER, 0.5f); /* a scale is a scale, whoever says it */
    run(model, "golden", 1, 1, 64, none);
    assert_memory_equal(half, none, sizeof half);
    rnl_model_close(&model);
}

static void effects_of_a_set_add_up(void **state) {
    (void)state;
    logits_of got;
    rnl_model *model = NULL;
    rnl_error error = {0};
    rnl_model_config config = rnl_model_config_default();
    const rnl_adapter_config rows[] = {
        {"sum", FOLDER, 0.25f}, {"other", FOLDER, 1}, {"sum", FILE_OF_GGUF, 0.75f}};
    config.exact = true;
    config.adapters = rows;
    config.adapter_count = 3;
    if (rnl_model_open(BASE, &config, &model, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_int_equal(rnl_model_adapter_count(model), 2);
    assert_string_equal(rnl_model_adapter_name(model, 0), "sum");
    assert_string_equal(rnl_model_adapter_name(model, 1), "other");
    assert_null(rnl_model_adapter_name(model, 2));
    run(model, "sum", 1, 2, 64, got);
    compare("sum of two", got);
    rnl_model_close(&model);
}

/* Every tensor of the merged file, as PEFT merges. */
static void compare_tensors(const rnl_model *merged) {
    safetensors *want = NULL;
    rnl_error error = {0};
    if (safetensors_open(TEST_DATA "/lora/merged.safetensors", &want, &error) != RNL_OK)
        fail_msg("%s", error.text);
    size_t count = 0;
    for (size_t i = 0; i < safetensors_tensor_count(want); i++) {
        char name[256];
        const tensor *t = safetensors_tensor(want, i);
        if (!source_hf_name(HF_MAIN, t->name, name, sizeof name)) continue;
        const tensor *got = weights_find(merged->source.w, name);
        if (got == NULL) continue; /* a tied head */
        assert_int_equal(got->type, QUANT_F32);
        assert_int_equal(got->size, t->size);
        golden_compare(name, (const float *)(const void *)t->data,
                       (const float *)(const void *)got->data, t->size / sizeof(float), 2e-6, 5e-7);
        count++;
    }
    assert_true(count > 20);
    safetensors_close(&want);
}

static void merged_it_is_in_the_weights(void **state) {
    char path[PATH_CAP];
    logits_of got;
    rnl_error error = {0};
    double taken = -1;
    name_in(*state, "merged.gguf", path);
    rnl_model *model = open_with(BASE, FOLDER, 1);
    convert_config config = {.path = path,
                             .recipe = recipe_find("f32"),
                             .adapter = adapters_find(model, "golden"),
                             .taken = &taken,
                             .thread_count = 2};
    if (convert_model(model, &config, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_true(taken == 0);
    rnl_model *merged = open_with(path, NULL, 1);
    compare_tensors(merged);
    run(merged, NULL, 1, 2, 64, got);
    compare("merged", got);
    rnl_model_close(&merged);
    /* Rounding takes of it what it takes of numbers of their size. */
    config.recipe = recipe_find("q8_0");
    if (convert_model(model, &config, &error) != RNL_OK) fail_msg("%s", error.text);
    const double eight = taken;
    config.recipe = recipe_find("q4_0");
    if (convert_model(model, &config, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_true(eight > 1e-4 && eight < 0.1 && taken > 4 * eight && taken < 1);
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_peft_says),
        cmocka_unit_test(without_effect_it_is_the_base),
        cmocka_unit_test(effects_of_a_set_add_up),
        IN_FOLDER(merged_it_is_in_the_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
