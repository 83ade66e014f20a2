/* Checkpoints with experts (golden moe/): both ways of packing in a Hugging Face folder, quantised
 * stacks in GGUF; what the router chooses and gives, outputs of layers, logits, greedy tokens. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stack/kind.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/prompt.h"
#include "tests/support/rig.h"

/* ---- The router alone ---- */

static void the_choice_and_the_gains_are_the_reference_ones(void **state) {
    (void)state;
    npy logits = npy_read("moe/router/logits.npy"), bias = npy_read("moe/router/bias.npy");
    npy experts = npy_read("moe/router/experts.npy");
    const int rows = (int)logits.shape[0], count = (int)logits.shape[1];
    const int used = (int)experts.shape[1];
    static int32_t chosen[64];
    static float gains[2][24 * 4];
    assert_int_equal(rows * used, 24 * 4);
    for (int norm = 0; norm < 2; norm++) {
        const stack_layer_config c = {.expert_count = count,
                                      .expert_used = used,
                                      .expert_norm = norm == 1,
                                      .expert_scale = 1};
        for (int t = 0; t < rows; t++) {
            stack_choose_experts(&c, logits.f + t * count, bias.f, chosen, gains[norm] + t * used);
            assert_memory_equal(chosen, experts.i + t * used, (size_t)used * sizeof *chosen);
        }
    }
    golden_check("moe/router", "weights_raw.npy", gains[0], (size_t)(rows * used));
    golden_check("moe/router", "weights_hf.npy", gains[1], (size_t)(rows * used));
    npy_free(&logits);
    npy_free(&bias);
    npy_free(&experts);
}

static void what_is_no_number_is_chosen_last(void **state) {
    (void)state;
    const stack_layer_config c = {.expert_count = 5, .expert_used = 4, .expert_scale = 1};
    const float logits[] = {NAN, 1, NAN, -3, 1};
    const int32_t expected[] = {1, 4, 3, 0};
    int32_t chosen[4];
    float gains[4];
    stack_choose_experts(&c, logits, NULL, chosen, gains);
    assert_memory_equal(chosen, expected, sizeof chosen);
}

/* ---- Whole checkpoints ---- */

enum { LAYERS = 8, POSITIONS = 67 };

typedef struct seen {
    int layer_count, used;
    int32_t experts[LAYERS][POSITIONS * 4];
    float gains[LAYERS][POSITIONS * 4];
    float x[LAYERS][POSITIONS * 256];
    int rows[LAYERS], chosen_rows[LAYERS];
    size_t width;
} seen;

static void on_layer(void *context, int layer, const float *x, int count) {
    seen *s = context;
    memcpy(s->x[layer] + (size_t)s->rows[layer] * s->width, x,
           (size_t)count * s->width * sizeof *x);
    s->rows[layer] += count;
}

static void on_experts(void *context, int layer, const int32_t *experts, const float *gains,
                       int count, int used) {
    seen *s = context;
    const size_t at = (size_t)(s->chosen_rows[layer] * used), cells = (size_t)(count * used);
    memcpy(s->experts[layer] + at, experts, cells * sizeof *experts);
    memcpy(s->gains[layer] + at, gains, cells * sizeof *gains);
    s->chosen_rows[layer] += count;
    s->used = used;
}

static void check_layers(const seen *s, const char *expect, size_t count) {
    char path[256], file[64];
    for (int layer = 1; layer <= 2; layer++) {
        (void)snprintf(path, sizeof path, "%s/layer%d_experts.npy", expect, layer);
        npy experts = npy_read(path);
        assert_int_equal(experts.count, count * (size_t)s->used);
        assert_memory_equal(s->experts[layer], experts.i, experts.count * sizeof *experts.i);
        npy_free(&experts);
        (void)snprintf(file, sizeof file, "layer%d_weights.npy", layer);
        golden_check(expect, file, s->gains[layer], count * (size_t)s->used);
        (void)snprintf(file, sizeof file, "layer%d.npy", layer);
        golden_check(expect, file, s->x[layer], count * s->width);
    }
}

/* A prompt, and what follows it. prompt: in front of the arrays' names; layers: there are some of
 * layers, too. */
static void check_prompt(rnl_session *s, const char *expect, const char *prompt, int step,
                         bool layers) {
    static seen all;
    all = (seen){.width = (size_t)backbone_width(&s->model->backbone)};
    char path[256], file[64];
    const size_t vocab = (size_t)backbone_vocab_count(&s->model->backbone);
    (void)snprintf(path, sizeof path, "%s/%sids.npy", expect, prompt);
    npy ids = npy_read(path);
    float *logits = malloc(ids.count * vocab * sizeof *logits);
    assert_non_null(logits);
    rnl_session_reset(s);
    s->pass->backbone.tap = on_layer;
    s->pass->backbone.tap_experts = on_experts;
    s->pass->backbone.tap_context = &all;
    prompt_run(s, ids.i, (int)ids.count, step, logits);
    s->pass->backbone.tap = NULL;
    s->pass->backbone.tap_experts = NULL;
    if (layers) check_layers(&all, expect, ids.count);
    (void)snprintf(file, sizeof file, "%slogits.npy", prompt);
    golden_check(expect, file, logits, ids.count * vocab);
    (void)snprintf(path, sizeof path, "%s/%sgreedy.npy", expect, prompt);
    prompt_check_greedy(s, path, logits + (ids.count - 1) * vocab);
    npy_free(&ids);
    free(logits);
}

static const struct {
    const char *model, *expect;
} checkpoints[] = {{"moe/fused", "moe/fused/expect"},
                   {"moe/ties", "moe/ties/expect"},
                   {"moe/moe-Q4_0.gguf", "moe/expect-Q4_0"},
                   {"moe/moe-Q4_K.gguf", "moe/expect-Q4_K"}};

/* Whole, in pieces, and one by one. */
static void checkpoints_give_the_reference_layers_and_tokens(void **state) {
    (void)state;
    const int steps[] = {128, 7, 1};
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++) {
        rnl_model *model = rig_model(checkpoints[i].model);
        rnl_session *s = rig_session(model, 2);
        for (int n = 0; n < 3; n++) check_prompt(s, checkpoints[i].expect, "", steps[n], true);
        rnl_session_destroy(&s);
        rnl_model_close(&model);
    }
}

static void older_checkpoints_give_the_reference_logits(void **state) {
    (void)state;
    const char *const models[] = {"moe/plain", "moe/scaled"};
    for (int i = 0; i < 2; i++) {
        char expect[64];
        (void)snprintf(expect, sizeof expect, "%s/expect", models[i]);
        rnl_model *model = rig_model(models[i]);
        rnl_session *s = rig_session(model, 2);
        check_prompt(s, expect, "prompt0/", 128, false);
        check_prompt(s, expect, "prompt1/", 128, false);
        rnl_session_destroy(&s);
        rnl_model_close(&model);
    }
}

/* The portable level is the specification: it must meet the goldens too. */
static void the_scalar_level_gives_the_reference_layers(void **state) {
    (void)state;
    rnl_model *model = rig_model("moe/fused");
    model_use_features(model, 0);
    rnl_session *s = rig_session(model, 1);
    check_prompt(s, "moe/fused/expect", "", 128, true);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_choice_and_the_gains_are_the_reference_ones),
        cmocka_unit_test(what_is_no_number_is_chosen_last),
        cmocka_unit_test(checkpoints_give_the_reference_layers_and_tokens),
        cmocka_unit_test(older_checkpoints_give_the_reference_logits),
        cmocka_unit_test(the_scalar_level_gives_the_reference_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
