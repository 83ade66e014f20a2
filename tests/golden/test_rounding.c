/* What rounded inputs cost: hidden states and logits of prompt A with packed Q4_0 weights, against
 * the reference in float32 on the same weights. Blocks of 32 with one scale each cost 0.065 and
 * 0.037 of the root mean square in the reference (golden README); at most 1.1 times that is ours.
 * */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/session.h"
#include "tests/support/levels.h"
#include "tests/support/npy.h"
#include "tests/support/rig.h"

enum { WIDTH = 64, POSITIONS = 60 };

/* Root mean square of the difference, over that of what was wanted. */
static double relative(const char *path, const float *got, size_t count) {
    npy want = npy_read(path);
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += pow((double)got[i] - want.f[i], 2);
        size += pow(want.f[i], 2);
    }
    npy_free(&want);
    return sqrt(difference / size);
}

/* Prompt A, its clip encoded, nothing of it prefilled. */
static rnl_session *prompt(rnl_model *model) {
    rnl_session *s = rig_session(model, 2);
    rig_text(s, RNL_ROLE_SYSTEM, "Respond with interleaved text and audio.");
    rig_clip_a(s);
    while (s->encoding) assert_true(rnl_session_step(s, NULL) >= 0);
    rig_begin(s, RNL_MODE_INTERLEAVED, 8);
    assert_int_equal(s->live->position_count, POSITIONS);
    return s;
}

/* How far hidden states and logits are from the reference, beside what rounding to 8 bits costs. */
static void expect_near(rnl_session *s, const float *hidden, double factor) {
    const backbone_weights *w = &s->model->backbone;
    backbone_logits(w, &s->pass->compute, hidden + (POSITIONS - 1) * WIDTH, s->pass->logits, 1);
    const double of_hidden =
        relative("gguf/expect-Q4_0/promptA/hidden.npy", hidden, POSITIONS * WIDTH);
    const double of_logits = relative("gguf/expect-Q4_0/promptA/text_logits.npy", s->pass->logits,
                                      (size_t)backbone_vocab_count(w));
    printf("hidden %.4f, logits %.4f\n", of_hidden, of_logits);
    assert_true(of_hidden > 0 && of_hidden <= factor * 0.065);
    assert_true(of_logits > 0 && of_logits <= factor * 0.037);
}

/* The prompt by rnl_session_step with these kernels, so many positions a step; stays within factor.
 * The clip is encoded with the model's own, which may not be those. */
static void prefill(rnl_model *model, const kernels *k, int step_positions, double factor,
                    float *hidden) {
    rnl_session *s = prompt(model);
    s->pass->compute.k = k;
    s->config.step_positions = step_positions;
    const session_live *live = s->live;
    for (int64_t at = 0; at < POSITIONS; at = live->backbone.position) {
        assert_true(rnl_session_step(s, NULL) >= 0);
        memcpy(hidden + at * WIDTH, s->pass->x,
               (size_t)(live->backbone.position - at) * WIDTH * sizeof *hidden);
    }
    assert_int_equal(live->backbone.position, POSITIONS);
    expect_near(s, hidden, factor);
    rnl_session_destroy(&s);
}

static void rounded_inputs_stay_near_the_reference(void **state) {
    (void)state;
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    static float hidden[POSITIONS * WIDTH];
    prefill(model, &model->kernels, rnl_session_config_default().step_positions, 1.1, hidden);
    rnl_model_close(&model);
}

/* Tiles take a prefill, in steps of any length with the same bits. */
static void tiles_prefill_within_their_error(void **state) {
    (void)state;
    const kernels *tiles = NULL;
    (void)find_levels(NULL);
    FOR_LEVELS(k) if (k->multiply_tiles[QUANT_Q4_0] != NULL) tiles = k;
    if (tiles == NULL) {
        printf("skipped: no tiles and no AVX2 to emulate them\n");
        skip();
    }
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    static float plain[POSITIONS * WIDTH], few[POSITIONS * WIDTH], many[2][POSITIONS * WIDTH];
    prefill(model, &model->kernels, 128, 1.1, plain);
    prefill(model, tiles, 7, 1.5, few);
    for (int i = 0; i < 2; i++) prefill(model, tiles, 128, 1.5, many[i]);
    assert_memory_equal(few, many[0], sizeof few);
    assert_memory_equal(many[0], many[1], sizeof plain);
    assert_memory_not_equal(many[0], plain, sizeof plain);
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounded_inputs_stay_near_the_reference),
        cmocka_unit_test(tiles_prefill_within_their_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
