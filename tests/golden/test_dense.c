/* Text checkpoints of other shapes (golden dense/): logits of every position, greedy tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/prompt.h"
#include "tests/support/rig.h"

static const char *const checkpoints[] = {"dense/tied", "dense/untied", "dense/taps5"};

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_checkpoints_give_the_reference_logits),
        cmocka_unit_test(the_scalar_level_gives_the_reference_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
