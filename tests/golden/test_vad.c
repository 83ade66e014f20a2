/* The voice activity network against the Silero package's own probabilities (golden vad/), with
 * every level of kernels. The time of a block is printed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/rig.h"
#include "tests/support/vad_rig.h"

static const double tolerance = 1e-4; /* issue 6 */

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* samples [sample_count] against the golden NAME.prob.npy. */
static void check(const char *name, const kernels *k, const float *samples, size_t sample_count) {
    char path[256], what[256];
    (void)snprintf(path, sizeof path, "vad/%s.prob.npy", name);
    (void)snprintf(what, sizeof what, "vad %s %s", name, k->name);
    npy want = npy_read(path);
    assert_true(want.count == sample_count / VAD_BLOCK);
    float *got = calloc(want.count, sizeof *got);
    assert_non_null(got);
    vad_rig rig = vad_rig_open();
    const double begin = now_us();
    vad_rig_run(&rig, k, samples, want.count, got);
    const double took = now_us() - begin;
    golden_compare(what, want.f, got, want.count, tolerance, tolerance);
    printf("    %.0f us a block\n", took / (double)want.count);
    vad_rig_close(&rig);
    free(got);
    npy_free(&want);
}

static void probabilities_are_the_packages(void **state) {
    (void)state;
    kernels fast;
    kernels_select(&fast, kernels_cpu_features());
    const kernels *levels[] = {&kernels_scalar, &fast};
    const char *clips[] = {"question", "jfk", "test_speech"};
    npy noise = npy_read("vad/noise.npy");
    for (int l = 0; l < 2; l++) {
        for (int c = 0; c < 3; c++) {
            char path[256];
            (void)snprintf(path, sizeof path, "audio/%s.wav", clips[c]);
            const size_t count = rig_wav_count(path);
            float *samples = rig_wav(path, 0, count);
            check(clips[c], levels[l], samples, count);
            free(samples);
        }
        check("noise", levels[l], noise.f, noise.count);
    }
    npy_free(&noise);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(probabilities_are_the_packages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
