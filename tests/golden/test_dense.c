/* Text checkpoints of other shapes (golden dense/): logits of every position, greedy tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/golden.h"
#include "tests/support/prompt.h"
#include "tests/support/rig.h"

static const char *const checkpoints[] = {"dense/tied", "dense/untied", "dense/taps5"};

static void dense_checkpoints_give_the_reference_logits(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++) {
        rnl_model *model = rig_model(checkpoints[i]);
        rnl_session *s = rig_session(model, 2);
        for (int prompt = 0; prompt < 2; prompt++) prompt_check(s, checkpoints[i], prompt);
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
    prompt_check(s, "dense/taps5", 0);
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
