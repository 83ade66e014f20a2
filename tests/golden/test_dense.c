/* Text checkpoints of other shapes (golden dense/): logits of every position, greedy tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/session.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/rig.h"

static const char *const checkpoints[] = {"dense/tied", "dense/untied", "dense/taps5"};

/* Feeds ids and collects the logits of every position; the last hidden state stays in out. */
static void run(rnl_session *s, const int32_t *ids, int count, float *logits) {
    session_live *live = s->live;
    const backbone_weights *w = &s->model->backbone;
    const size_t width = (size_t)backbone_width(w), vocab = (size_t)backbone_vocab_count(w);
    for (int at = 0; at < count; at += s->config.step_positions) {
        const int batch =
            count - at < s->config.step_positions ? count - at : s->config.step_positions;
        for (int t = 0; t < batch; t++)
            backbone_embed_text(w, &s->pass->compute, ids[at + t], s->pass->x + (size_t)t * width);
        const stack_piece piece = {.state = &live->backbone, .count = batch};
        stack_forward(&s->pass->backbone, &s->pass->compute, &piece, 1, s->pass->x);
        for (int t = 0; t < batch; t++)
            backbone_logits(w, &s->pass->compute, s->pass->x + (size_t)t * width,
                            logits + (size_t)(at + t) * vocab, 1);
    }
}

static int best(const float *x, int count) {
    int at = 0;
    for (int i = 1; i < count; i++)
        if (x[i] > x[at]) at = i;
    return at;
}

static void check_prompt(rnl_session *s, const char *dir, int prompt) {
    char path[256], file[64];
    const int vocab = backbone_vocab_count(&s->model->backbone);
    (void)snprintf(path, sizeof path, "%s/expect/prompt%d/ids.npy", dir, prompt);
    npy ids = npy_read(path);
    float *logits = malloc(ids.count * (size_t)vocab * sizeof *logits);
    assert_non_null(logits);
    rnl_session_reset(s);
    run(s, ids.i, (int)ids.count, logits);
    (void)snprintf(path, sizeof path, "%s/expect", dir);
    (void)snprintf(file, sizeof file, "prompt%d/logits.npy", prompt);
    golden_check(path, file, logits, ids.count * (size_t)vocab);
    (void)snprintf(path, sizeof path, "%s/expect/prompt%d/greedy.npy", dir, prompt);
    npy greedy = npy_read(path);
    int32_t id = best(logits + (ids.count - 1) * (size_t)vocab, vocab);
    for (size_t i = 0; i < greedy.count; i++) {
        assert_int_equal(id, greedy.i[i]);
        run(s, &id, 1, logits);
        id = best(logits, vocab);
    }
    npy_free(&ids);
    npy_free(&greedy);
    free(logits);
}

static void dense_checkpoints_give_the_reference_logits(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++) {
        rnl_model *model = rig_model(checkpoints[i]);
        rnl_session *s = rig_session(model, 2);
        for (int prompt = 0; prompt < 2; prompt++) check_prompt(s, checkpoints[i], prompt);
        rnl_session_destroy(&s);
        rnl_model_close(&model);
    }
}

/* The portable level is the specification: it must meet the goldens too. */
static void the_scalar_level_gives_the_reference_logits(void **state) {
    (void)state;
    rnl_model *model = rig_model("dense/taps5");
    model_use_features(model, 0);
    rnl_session *s = rig_session(model, 1);
    check_prompt(s, "dense/taps5", 0);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

static void mixture_of_experts_is_recognised_and_refused(void **state) {
    (void)state;
    rnl_model *model = NULL;
    rnl_error error = {0};
    assert_int_equal(rnl_model_open(TEST_DATA "/moe/plain", NULL, &model, &error),
                     RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "mixture-of-experts"));
    assert_null(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_checkpoints_give_the_reference_logits),
        cmocka_unit_test(the_scalar_level_gives_the_reference_logits),
        cmocka_unit_test(mixture_of_experts_is_recognised_and_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
