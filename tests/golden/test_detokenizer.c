/* The LFM detokenizer against golden tiny/ and gguf/, the inverse STFT against audio.md 8.4, and
 * the laws of streaming. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "engine/session.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/rig.h"

enum { FRAME = 1920, FRAME_CAP = 40, BINS = 641, SPECTRUM = 2 * BINS };

typedef struct decoded {
    float wave[FRAME_CAP * FRAME];
    float log_abs[6 * FRAME_CAP * BINS], angle[6 * FRAME_CAP * BINS];
    size_t count;
} decoded;

static int push(rnl_session *s, const int32_t *codes, float *out, rnl_status expected) {
    codec_frame frame = {.state = &s->live->codec, .codes = codes, .out = out};
    codec_push(&s->pass->codec, &s->pass->compute, &frame, 1);
    assert_int_equal(frame.status, expected);
    return frame.count;
}

/* codes [8, frames] as the file has them. */
static void decode(rnl_session *s, const npy *codes, decoded *out) {
    lfm_state *d = &s->live->codec.lfm;
    const size_t frames = (size_t)codes->shape[1];
    int count;
    lfm_reset(d);
    out->count = 0;
    for (size_t t = 0; t < frames; t++) {
        int32_t frame[8];
        for (size_t k = 0; k < 8; k++) frame[k] = codes->i[k * frames + t];
        count = push(s, frame, out->wave + out->count, RNL_OK);
        assert_int_equal(count, t == 0 ? 1440 : FRAME); /* audio.md 8.5 */
        out->count += (size_t)count;
        for (size_t r = 0; r < 6; r++) {
            const float *row = s->pass->codec.lfm.spectrum + r * SPECTRUM;
            memcpy(out->log_abs + (6 * t + r) * BINS, row, BINS * sizeof *row);
            memcpy(out->angle + (6 * t + r) * BINS, row + BINS, BINS * sizeof *row);
        }
    }
    lfm_finish(d, out->wave + out->count, &count);
    out->count += (size_t)count;
    assert_int_equal(out->count, frames * FRAME);
    lfm_finish(d, out->wave, &count); /* a second finish gives nothing */
    assert_int_equal(count, 0);
}

static void the_wave_equals_the_reference(void **state) {
    (void)state;
    static decoded got;
    const int lengths[] = {1, 2, 7, 40};
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 2);
    for (size_t i = 0; i < 4; i++) {
        char file[64];
        (void)snprintf(file, sizeof file, "tiny/expect/detok%d/codes.npy", lengths[i]);
        npy codes = npy_read(file);
        decode(s, &codes, &got);
        const size_t rows = 6 * (size_t)lengths[i];
        (void)snprintf(file, sizeof file, "detok%d/log_abs.npy", lengths[i]);
        golden_check("tiny/expect", file, got.log_abs, rows * BINS);
        (void)snprintf(file, sizeof file, "detok%d/angle.npy", lengths[i]);
        golden_check("tiny/expect", file, got.angle, rows * BINS);
        (void)snprintf(file, sizeof file, "detok%d/wave.npy", lengths[i]);
        golden_check("tiny/expect", file, got.wave, got.count);
        npy_free(&codes);
    }
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

static void the_gguf_sets_sound_as_they_should(void **state) {
    (void)state;
    static decoded got;
    const char *const sets[][2] = {{"gguf/tiny-F16.gguf", "gguf/expect-F16"},
                                   {"gguf/tiny-Q4_0.gguf", "gguf/expect-Q4_0"}};
    for (size_t i = 0; i < 2; i++) {
        char file[64];
        rnl_model *model = rig_model(sets[i][0]);
        rnl_session *s = rig_session(model, 1);
        (void)snprintf(file, sizeof file, "%s/detok7/codes.npy", sets[i][1]);
        npy codes = npy_read(file);
        decode(s, &codes, &got);
        golden_check(sets[i][1], "detok7/wave.npy", got.wave, got.count);
        npy_free(&codes);
        rnl_session_destroy(&s);
        rnl_model_close(&model);
    }
}

static void threads_and_reset_change_no_bit(void **state) {
    (void)state;
    static decoded first, again;
    rnl_model *model = rig_model("tiny");
    npy codes = npy_read("tiny/expect/detok7/codes.npy");
    for (int threads = 1; threads <= 4; threads++) {
        rnl_session *s = rig_session(model, threads);
        for (int round = 0; round < 2; round++) {
            decode(s, &codes, &again);
            if (threads == 1 && round == 0) memcpy(&first, &again, sizeof first);
            assert_memory_equal(first.wave, again.wave, first.count * sizeof *first.wave);
        }
        rnl_session_destroy(&s);
    }
    npy_free(&codes);
    rnl_model_close(&model);
}

static void a_code_out_of_range_changes_nothing(void **state) {
    (void)state;
    static float want[2 * FRAME], got[2 * FRAME];
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 1);
    lfm_state *d = &s->live->codec.lfm;
    const int32_t good[8] = {1, 2, 3, 4, 5, 6, 7, 8}, bad[8] = {1, 2, 3, 4, 5, 6, 7, 2048};
    lfm_reset(d);
    const int count = push(s, good, want, RNL_OK);
    lfm_reset(d);
    assert_int_equal(push(s, bad, got, RNL_ERR_DATA), 0);
    assert_int_equal(push(s, good, got, RNL_OK), count);
    assert_memory_equal(want, got, (size_t)count * sizeof *want);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

/* audio.md 8.4: six frames of a formula. */
static void the_inverse_transform_of_the_specification(void **state) {
    (void)state;
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 1);
    istft_state *t = &s->live->codec.lfm.istft;
    float y[FRAME + 480], magnitude[BINS], phase[BINS];
    int count = 0;
    istft_reset(t);
    for (int f = 0; f < 6; f++) {
        for (int k = 0; k < BINS; k++) {
            magnitude[k] = (float)(3 - 0.02 * k + 0.1 * f);
            phase[k] = (float)(0.3 * k + 0.5 * f);
        }
        count += istft_push(t, s->pass->codec.lfm.istft, magnitude, phase, y + count);
    }
    count += istft_finish(t, y + count);
    assert_int_equal(count, FRAME);
    const struct {
        int at;
        double value;
    } want[] = {{0, -0.00238994},   {1, -0.00239518},  {159, -0.00223481}, {160, -0.00222969},
                {500, -0.00265774}, {959, 0.00267638}, {1219, 0.00669636}, {1500, 0.00996202},
                {1919, 0.02659980}, {1695, 0.03027849}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (fabs(fabs((double)y[want[i].at]) - fabs(want[i].value)) > 2e-6)
            fail_msg("sample %d: %.8f", want[i].at, (double)y[want[i].at]);
    double sum = 0;
    for (int i = 0; i < FRAME; i++) sum += (double)y[i];
    assert_true(fabs(sum - 8.84728722) < 1e-3);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wave_equals_the_reference),
        cmocka_unit_test(the_gguf_sets_sound_as_they_should),
        cmocka_unit_test(threads_and_reset_change_no_bit),
        cmocka_unit_test(a_code_out_of_range_changes_nothing),
        cmocka_unit_test(the_inverse_transform_of_the_specification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
