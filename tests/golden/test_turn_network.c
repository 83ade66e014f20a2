/* The network for ends of turns against its description computed in float64 (tests/data/turn): each
 * step for one clip with --exact, and the probabilities of 22 clips, exact and fast. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/support/golden.h"
#include "tests/support/rig.h"
#include "tests/support/turn_rig.h"

static const double exact_tolerance = 1e-3, fast_tolerance = 0.03;

static void check_step(void *context, const char *stage, int layer, const float *x, int rows,
                       int cols) {
    char file[64];
    const bool of_layer = strcmp(stage, "layer") == 0;
    const size_t count = (size_t)rows * (size_t)cols;
    (void)snprintf(file, sizeof file, of_layer ? "question_%s%d.npy" : "question_%s.npy", stage,
                   layer);
    if (strcmp(stage, "mel") == 0)
        golden_check_transposed("turn", file, x, count);
    else
        golden_check("turn", file, x, count);
    ++*(int *)context;
}

static void every_step_is_as_described(void **state) {
    (void)state;
    enum { STEPS = 8 }; /* mel, conv, four layers, pooled, logit */
    const kernels *const levels[] = {&kernels_scalar, NULL};
    const size_t count = rig_wav_count("audio/question.wav");
    float *samples = rig_wav("audio/question.wav", 0, count);
    for (int l = rig_rounds(2) == 1; l < 2; l++) { /* the scalar level takes seconds */
        turn_rig r;
        int seen = 0;
        turn_rig_open(&r, levels[l], true, 2);
        printf("level %s\n", r.k.name);
        r.s.tap = check_step;
        r.s.tap_context = &seen;
        (void)turn_rig_hear(&r, samples, count);
        assert_int_equal(seen, STEPS);
        turn_rig_close(&r);
    }
    free(samples);
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void check_probabilities(bool exact, double tolerance) {
    turn_rig r;
    turn_rig_open(&r, NULL, exact, 2);
    json_error_t e;
    json_t *root = json_load_file(TEST_DATA "/turn/manifest.json", 0, &e);
    if (root == NULL) fail_msg("turn/manifest.json: %s", e.text);
    const json_t *list = json_object_get(root, "probabilities");
    double worst = 0, took = 1e9;
    const size_t clips = json_array_size(list), rounds = (size_t)rig_rounds((int)clips);
    assert_int_equal(clips, 22);
    for (size_t i = 0; i < rounds; i++) {
        const json_t *row = json_array_get(list, i);
        const char *clip = json_string_value(json_object_get(row, "clip"));
        const double want = json_number_value(json_object_get(row, "p"));
        const size_t count = (size_t)json_integer_value(json_object_get(row, "samples"));
        float *samples = rig_wav(clip, 0, count);
        const double begin = now_ms();
        const double off = fabs((double)turn_rig_hear(&r, samples, count) - want);
        took = fmin(took, now_ms() - begin);
        if (!(off <= tolerance)) fail_msg("%s, %zu samples: off by %.4f", clip, count, off);
        worst = fmax(worst, off);
        free(samples);
    }
    printf("%s, %s: off by %.2g at most; the fastest of %zu looks took %.1f ms\n", r.k.name,
           exact ? "exact" : "fast", worst, rounds, took);
    turn_rig_close(&r);
    json_decref(root);
}

static void exact_probabilities_are_those_of_float64(void **state) {
    (void)state;
    check_probabilities(true, exact_tolerance);
}

static void fast_probabilities_are_near(void **state) {
    (void)state;
    check_probabilities(false, fast_tolerance);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_is_as_described),
        cmocka_unit_test(exact_probabilities_are_those_of_float64),
        cmocka_unit_test(fast_probabilities_are_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
