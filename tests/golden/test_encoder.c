/* The audio tokenizer against golden tiny/: mel, subsampling, every layer, adapter, for all
 * clips. */
#include <math.h>
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

typedef struct clip {
    const char *name, *file;
    size_t begin, end;
} clip;

/* Golden README, "tiny/": samples of two recordings; D is a second of silence. */
static const clip clips[] = {
    {"clipA", "audio/question.wav", 0, 32000},
    {"clipB", "audio/question.wav", 16000, 39477},
    {"clipC1", "audio/question.wav", 20000, 20001},
    {"clipC160", "audio/question.wav", 20000, 20160},
    {"clipC320", "audio/question.wav", 20000, 20320},
    {"clipD-f64", NULL, 0, 16000},
    {"clipE", "audio/jfk.wav", 0, 166400},
};

typedef struct seen {
    const char *clip;
} seen;

static void check_stage(void *context, const char *stage, int layer, const float *x, int rows,
                        int cols) {
    const seen *s = context;
    char file[64];
    if (strcmp(stage, "subsampling") == 0)
        (void)snprintf(file, sizeof file, "%s/subsampling.npy", s->clip);
    else
        (void)snprintf(file, sizeof file, "%s/layer%d.npy", s->clip, layer);
    golden_check("tiny/expect", file, x, (size_t)rows * (size_t)cols);
}

static void push_clip(rnl_session *s, const clip *c) {
    float *samples = c->file != NULL ? rig_wav(c->file, c->begin, c->end)
                                     : calloc(c->end - c->begin, sizeof *samples);
    assert_non_null(samples);
    mel_reset(&s->mel);
    assert_int_equal(mel_push(&s->mel, samples, c->end - c->begin), RNL_OK);
    mel_finish(&s->mel);
    free(samples);
}

/* Encoder and adapter over what stands in s->mel; out [positions, width]. */
static int run(rnl_session *s, float *out) {
    encoder_begin(&s->encoder, mel_frames(&s->mel), mel_frame_count(&s->mel));
    while (encoder_step(&s->encoder, &s->compute) == RNL_OK) continue;
    const int count = encoder_position_count(mel_frame_count(&s->mel));
    adapter_forward(&s->adapter, &s->compute, encoder_output(&s->encoder), count, out);
    return count;
}

static void every_stage_equals_the_reference(void **state) {
    (void)state;
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 2);
    for (size_t i = 0; i < sizeof clips / sizeof *clips; i++) {
        char file[64];
        seen what = {clips[i].name};
        push_clip(s, &clips[i]);
        (void)snprintf(file, sizeof file, "%s/mel.npy", clips[i].name);
        golden_check_transposed("tiny/expect", file, mel_frames(&s->mel),
                                (size_t)mel_frame_count(&s->mel) * 128);
        s->encoder.tap = check_stage;
        s->encoder.tap_context = &what;
        const int count = run(s, s->embeddings);
        (void)snprintf(file, sizeof file, "%s/adapter.npy", clips[i].name);
        golden_check("tiny/expect", file, s->embeddings, (size_t)count * 64);
    }
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

/* Clip D is a trap: the package's float32 mel of silence is rounding noise. Its encoder rows come
 * from that mel, fed as it is. */
static void the_encoder_follows_the_mel_it_is_given(void **state) {
    (void)state;
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 1);
    npy mel = npy_read("tiny/expect/clipD/mel.npy"); /* [bands, frames] */
    const size_t bands = (size_t)mel.shape[0], frames = (size_t)mel.shape[1];
    float *turned = malloc(mel.count * sizeof *turned);
    assert_non_null(turned);
    for (size_t b = 0; b < bands; b++)
        for (size_t t = 0; t < frames; t++) turned[t * bands + b] = mel.f[b * frames + t];
    seen what = {"clipD"};
    s->encoder.tap = check_stage;
    s->encoder.tap_context = &what;
    encoder_begin(&s->encoder, turned, (int)frames);
    while (encoder_step(&s->encoder, &s->compute) == RNL_OK) continue;
    free(turned);
    npy_free(&mel);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

static void threads_change_no_bit(void **state) {
    (void)state;
    rnl_model *model = rig_model("tiny");
    static float first[64 * 64], again[64 * 64];
    for (int threads = 1; threads <= 4; threads++) {
        rnl_session *s = rig_session(model, threads);
        push_clip(s, &clips[0]);
        const int count = run(s, again);
        assert_true(count <= 64);
        if (threads == 1) memcpy(first, again, sizeof first);
        assert_memory_equal(first, again, (size_t)count * 64 * sizeof *first);
        rnl_session_destroy(&s);
    }
    rnl_model_close(&model);
}

/* audio.md 3.5: a chirp, to 1e-3 in the quiet bins. */
static void the_mel_vector_of_the_specification(void **state) {
    (void)state;
    static const struct {
        int bin, frame;
        float value;
    } want[] = {{0, 0, 6.921443f},   {0, 1, 3.243477f},     {40, 30, 1.651903f},
                {64, 50, 3.231887f}, {127, 50, -0.155418f}, {20, 99, 1.070722f},
                {20, 100, 0.0f}};
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 1);
    static float x[16000];
    for (int n = 0; n < 16000; n++) {
        const double t = n / 16000.0;
        x[n] = (float)(0.5 * sin(2 * 3.14159265358979323846 * (200 * n / 16000.0 + 1500 * t * t)));
    }
    mel_reset(&s->mel);
    assert_int_equal(mel_push(&s->mel, x, 16000), RNL_OK);
    mel_finish(&s->mel);
    assert_int_equal(mel_frame_count(&s->mel), 101);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {

        const float got = mel_frames(&s->mel)[want[i].frame * 128 + want[i].bin];
        if (fabsf(got - want[i].value) > 1e-3f)
            fail_msg("bin %d, frame %d: %g, not %g", want[i].bin, want[i].frame, (double)got,
                     (double)want[i].value);
    }
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

static void any_cut_of_the_samples_gives_the_same_mel(void **state) {
    (void)state;
    rnl_model *model = rig_model("tiny");
    rnl_session *s = rig_session(model, 1);
    push_clip(s, &clips[1]);
    const size_t size = (size_t)mel_frame_count(&s->mel) * 128 * sizeof(float);
    float *whole = malloc(size);
    assert_non_null(whole);
    memcpy(whole, mel_frames(&s->mel), size);
    float *samples = rig_wav(clips[1].file, clips[1].begin, clips[1].end);
    const size_t count = clips[1].end - clips[1].begin;
    for (uint64_t seed = 0; seed < (uint64_t)rig_rounds(20); seed++) {
        random_state r;
        random_seed(&r, seed);
        mel_reset(&s->mel);
        for (size_t at = 0; at < count;) {
            size_t piece = (size_t)(random_unit(&r) * 700); /* sometimes nothing */
            if (piece > count - at) piece = count - at;
            assert_int_equal(mel_push(&s->mel, samples + at, piece), RNL_OK);
            at += piece;
        }
        mel_finish(&s->mel);
        assert_memory_equal(whole, mel_frames(&s->mel), size);
    }
    free(samples);
    free(whole);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stage_equals_the_reference),
        cmocka_unit_test(the_encoder_follows_the_mel_it_is_given),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(the_mel_vector_of_the_specification),
        cmocka_unit_test(any_cut_of_the_samples_gives_the_same_mel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
