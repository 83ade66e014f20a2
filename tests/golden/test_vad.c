/* The voice activity network against the Silero package's own probabilities (golden vad/), with
 * every level of kernels; the time of a block is printed. Then recordings through gate, network and
 * turn logic. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/random.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/rig.h"
#include "tests/support/vad_rig.h"
#include "vad/energy.h"
#include "vad/endpoint.h"

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

/* A clip and a second of silence, as the live loop hears it; one letter and the time in ms of each
 * event: O onset, R rejected, C confirmed, G guess, W withdrawn, E end. */
static void hear(const char *path, char *text, size_t text_cap) {
    const size_t count = rig_wav_count(path), block_count = (count + VAD_RATE) / VAD_BLOCK;
    float *samples = rig_wav(path, 0, count);
    kernels k;
    kernels_select(&k, kernels_cpu_features());
    vad_rig rig = vad_rig_open();
    energy_gate gate;
    energy_reset(&gate);
    endpoint t;
    const endpoint_config config = endpoint_config_default();
    endpoint_reset(&t, &config);
    text[0] = 0;
    for (size_t b = 0; b < block_count; b++) {
        float block[VAD_BLOCK];
        for (size_t i = 0; i < VAD_BLOCK; i++)
            block[i] = b * VAD_BLOCK + i < count ? samples[b * VAD_BLOCK + i] : 0;
        const bool open = energy_push(&gate, block);
        const float probability = vad_block(&rig.s, &k, block);
        turn_events events;
        endpoint_push(&t, open ? probability : 0, false, false, &events);
        for (int e = 0; e < events.count; e++) {
            const size_t used = strlen(text);
            (void)snprintf(text + used, text_cap - used, "%s%c%d", used > 0 ? " " : "",
                           "ORCGWE"[events.list[e].kind],
                           (int)(events.list[e].position * 1000 / VAD_RATE));
        }
    }
    vad_rig_close(&rig);
    free(samples);
}

static void recordings_become_turns(void **state) {
    (void)state;
    static const struct {
        const char *path, *want;
    } rows[] = {
        {"audio/question.wav", "O576 C800 G4416 E4800"},
        {"audio/test_speech.wav", "O96 C320 G672 W800 G3808 E4192"}, /* Hello. This is a test ... */
        /* An orator: 850 ms pass between his first words and the next, so patience grows. */
        {"audio/jfk.wav", "O384 C608 G2368 E2752 O3328 C3552 G3968 W4032 G4544 E5088 O5440 C5664 "
                          "G7776 W8256 G10656 W10976 G11136 E11808"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char got[1024];
        hear(rows[i].path, got, sizeof got);
        assert_string_equal(got, rows[i].want);
    }
}

/* Noise that dies away in length samples: hiss, a thump, claps, a cough-like buzz. */
static float noise_at(int kind, int i, int length, random_state *s, float *low) {
    const float white = (float)(2 * random_unit(s) - 1), at = (float)i;
    *low += 0.1f * (white - *low);
    const float shapes[] = {white, 4 * *low, sinf(at * 0.0314f) + 0.2f * white,
                            i % 1600 < 160 ? white : 0,
                            (0.5f * white + 2 * *low) * (1 + sinf(at * 0.0471f)) / 2};
    return 0.3f * expf(-4 * at / (float)length) * shapes[kind];
}

/* The turn logic and the barge-in gate count on it: no two blocks in a row reach 0.2. */
static void noises_are_no_speech(void **state) {
    (void)state;
    enum { KINDS = 5, BLOCKS = 30, BEGIN = 8000 };
    kernels k;
    kernels_select(&k, kernels_cpu_features());
    random_state s;
    random_seed(&s, 1);
    for (int length = 800; length <= 6400; length *= 2)
        for (int kind = 0; kind < KINDS; kind++) {
            vad_rig rig = vad_rig_open();
            float low = 0, last = 0;
            for (int b = 0; b < BLOCKS; b++) {
                float block[VAD_BLOCK];
                for (int i = 0; i < VAD_BLOCK; i++) {
                    const int at = b * VAD_BLOCK + i - BEGIN - 37 * kind;
                    block[i] = 0.001f * (float)(2 * random_unit(&s) - 1);
                    if (at >= 0 && at < length) block[i] += noise_at(kind, at, length, &s, &low);
                }
                const float probability = vad_block(&rig.s, &k, block);
                assert_true(probability < 0.2f || last < 0.2f);
                last = probability;
            }
            vad_rig_close(&rig);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_are_the_packages),
        cmocka_unit_test(recordings_become_turns),
        cmocka_unit_test(noises_are_no_speech),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
