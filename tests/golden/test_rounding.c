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

static void rounded_inputs_stay_near_the_reference(void **state) {
    (void)state;
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    rnl_session *s = rig_session(model, 2);
    rig_text(s, RNL_ROLE_SYSTEM, "Respond with interleaved text and audio.");
    rig_clip_a(s);
    while (s->encoding) assert_true(rnl_session_step(s, NULL) >= 0);
    rig_begin(s, RNL_MODE_INTERLEAVED, 8);
    session_live *live = s->live;
    assert_int_equal(live->position_count, POSITIONS);
    float hidden[POSITIONS * WIDTH];
    memcpy(hidden, s->embeddings, sizeof hidden);
    const int most = s->config.step_positions;
    for (int at = 0; at < POSITIONS; at += most)
        lfm2_forward(&live->backbone, &s->compute, hidden + at * WIDTH,
                     POSITIONS - at < most ? POSITIONS - at : most);
    const backbone_weights *w = &model->backbone;
    backbone_logits(w, &s->compute, hidden + (POSITIONS - 1) * WIDTH, s->logits);
    const double of_hidden =
        relative("gguf/expect-Q4_0/promptA/hidden.npy", hidden, POSITIONS * WIDTH);
    const double of_logits = relative("gguf/expect-Q4_0/promptA/text_logits.npy", s->logits,
                                      (size_t)backbone_vocab_count(w));
    printf("hidden %.4f, logits %.4f\n", of_hidden, of_logits);
    assert_true(of_hidden > 0 && of_hidden <= 1.1 * 0.065);
    assert_true(of_logits > 0 && of_logits <= 1.1 * 0.037);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounded_inputs_stay_near_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
