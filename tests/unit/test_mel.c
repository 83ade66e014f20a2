/* The mel front end: filter bank and vector of audio.md 3.3 and 3.5, lengths, silence, and the laws
 * (any cut, reset equals fresh, a second finish does nothing, too long changes nothing). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/rig.h"
#include "tokenizer/mel.h"

enum { BANDS = 128, SAMPLE_CAP = 64000 };
static const double pi = 3.14159265358979323846;

typedef struct fixture {
    weights *set;
    mel_weights w;
    mel_state s;
    void *memory;
} fixture;

static void make(fixture *f, int band_count, size_t sample_cap) {
    *f = (fixture){0};
    assert_int_equal(weights_create(&f->set), RNL_OK);
    rnl_error error = {0};
    loader l = {.w = f->set, .prefix = "", .file = "test", .error = &error};
    mel_load(&l, band_count, &f->w);
    assert_int_equal(l.status, RNL_OK);
    arena a = {0};
    mel_layout(&f->s, &f->w, sample_cap, &a);
    assert_false(a.overflowed);
    f->memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    assert_non_null(f->memory);
    memset(f->memory, 0xff, a.size_used); /* NaN: nothing counts on fresh memory being zero */
    arena b = {.base = f->memory, .size_cap = a.size_used};
    mel_layout(&f->s, &f->w, sample_cap, &b);
    assert_int_equal(a.size_used, b.size_used);
    mel_reset(&f->s);
}

static void drop(fixture *f) {
    weights_destroy(&f->set);
    free(f->memory);
}

static int open_mel(void **state) {
    fixture *f = malloc(sizeof *f);
    if (f == NULL) return -1;
    make(f, BANDS, SAMPLE_CAP);
    *state = f;
    return 0;
}

static int close_mel(void **state) {
    drop(*state);
    free(*state);
    return 0;
}

static uint32_t random_u32(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* seed 0: one push; else pieces of random size, also zero. */
static void push_cut(mel_state *s, const float *x, size_t count, uint64_t seed) {
    for (size_t at = 0; at < count;) {
        size_t piece = count - at;
        if (seed != 0) {
            const size_t wanted = random_u32(&seed) % (seed % 5 == 0 ? 2000 : 170);
            if (wanted < piece) piece = wanted;
        }
        assert_int_equal(mel_push(s, x + at, piece), RNL_OK);
        at += piece;
    }
}

static void check_band(const mel_weights *w, int band, int begin, int count, const float *values,
                       int value_count, int first_value) {
    assert_int_equal(w->bands[band].begin, begin);
    assert_int_equal(w->bands[band].count, count);
    for (int i = 0; i < value_count; i++) {
        const float got = w->bands[band].weights[first_value - begin + i];
        assert_true(fabsf(got - values[i]) <= 0.6e-8f); /* given to eight places */
    }
}

static void filter_bank_has_the_check_values(void **state) {
    const fixture *f = *state;
    check_band(&f->w, 0, 1, 1, (const float[]){0.02837754f}, 1, 1);
    check_band(&f->w, 1, 1, 2, (const float[]){0.01438901f, 0.01398853f}, 2, 1);
    check_band(&f->w, 2, 2, 1, (const float[]){0.02877802f}, 1, 2);
    check_band(&f->w, 10, 8, 1, (const float[]){0.02957896f}, 1, 8);
    check_band(&f->w, 64, 54, 3, (const float[]){0.01121671f, 0.01881828f, 0.00064914f}, 3, 54);
    check_band(&f->w, 127, 244, 12, (const float[]){0.00004764f, 0.00093942f}, 2, 244);
    check_band(&f->w, 127, 244, 12, (const float[]){0.00450653f, 0.00522319f, 0.00435266f}, 3, 249);
    check_band(&f->w, 127, 244, 12, (const float[]){0.00087053f}, 1, 255);
    for (int i = 0; i < BANDS; i++) assert_true(f->w.bands[i].count > 0); /* no row is empty */
}

static void window_is_symmetric_and_ends_at_zero(void **state) {
    const float *window = ((const fixture *)*state)->w.window;
    for (int i = 0; i < MEL_WINDOW; i++)
        assert_true(fabsf(window[i] - window[MEL_WINDOW - 1 - i]) < 1e-7f);
    assert_true(window[0] == 0.0f);
    assert_true(fabsf(window[100] - 0.50196841f) < 1e-7f); /* 1/2 - cos(2 pi 100 / 399) / 2 */
}

/* The rising tone of audio.md 3.5. Log energies are seen before finish, where it overwrites them:
 * frames 0 to 98 are complete by then, they need 160 t + 200 samples. */
static void vector_of_the_specification(void **state) {
    fixture *f = *state;
    float x[16000];
    for (int n = 0; n < 16000; n++) {
        const double t = n / 16000.0;
        x[n] = (float)(0.5 * sin(2 * pi * (200 * t + 1500 * t * t)));
    }
    mel_reset(&f->s);
    push_cut(&f->s, x, 16000, 0);
    assert_int_equal(f->s.frame_count, 99);
    static const struct {
        int bin, frame;
        double log_energy, normalised, log_error;
    } wanted[] = {
        /* Bin 127 hears only rounding and the guard there. */
        {0, 0, -6.672713, 6.921443, 1e-4},   {0, 1, -11.738341, 3.243477, 1e-3},
        {10, 1, -0.750116, 3.983434, 1e-5},  {40, 30, -6.109128, 1.651903, 1e-4},
        {64, 50, 3.180445, 3.231887, 1e-5},  {127, 50, -16.635530, -0.155418, 1e-5},
        {20, 99, -9.733255, 1.070722, 1e-3}, {20, 100, -5.017368, 0, 0},
    };
    const size_t count = sizeof wanted / sizeof wanted[0];
    for (size_t i = 0; i < count; i++) {
        if (wanted[i].frame >= 99) continue;
        const float got = f->s.frames[wanted[i].frame * BANDS + wanted[i].bin];
        assert_true(fabs((double)got - wanted[i].log_energy) < wanted[i].log_error);
    }
    mel_finish(&f->s);
    assert_int_equal(mel_frame_count(&f->s), 101);
    for (size_t i = 0; i < count; i++) {
        const float got = mel_frames(&f->s)[wanted[i].frame * BANDS + wanted[i].bin];
        assert_true(fabs((double)got - wanted[i].normalised) <= wanted[i].log_error);
    }
}

static void frames_of_every_length(void **state) {
    fixture *f = *state;
    float *x = rig_wav("audio/question.wav", 20000, 22000);
    for (size_t n = 1; n < 2000; n += n < 330 ? 1 : 97) {
        mel_reset(&f->s);
        push_cut(&f->s, x, n, 0);
        mel_finish(&f->s);
        assert_int_equal(mel_sample_count(&f->s), n);
        assert_int_equal(mel_frame_count(&f->s), n / 160 + 1);
        const float *frames = mel_frames(&f->s);
        const size_t last = n / 160 * BANDS;
        bool sounds = false;
        for (size_t i = 0; i < last; i++) {
            assert_true(isfinite(frames[i]));
            sounds = sounds || frames[i] != 0.0f;
        }
        assert_true(sounds == (n >= 320)); /* one valid frame has no deviation: audio.md 3.4 */
        for (size_t i = 0; i < BANDS; i++) assert_true(frames[last + i] == 0.0f);
    }
    free(x);
}

static void silence_is_exactly_zero(void **state) {
    fixture *f = *state;
    float *x = calloc(SAMPLE_CAP, sizeof *x);
    assert_non_null(x);
    mel_reset(&f->s);
    push_cut(&f->s, x, SAMPLE_CAP, 0);
    mel_finish(&f->s);
    for (int i = 0; i < mel_frame_count(&f->s) * BANDS; i++) assert_true(mel_frames(&f->s)[i] == 0);
    free(x);
}

/* Frames after normalisation, in a copy of their own: free() it. */
static float *whole(mel_state *s, const float *x, size_t count, uint64_t seed) {
    mel_reset(s);
    push_cut(s, x, count, seed);
    mel_finish(s);
    const size_t size = (size_t)mel_frame_count(s) * BANDS * sizeof(float);
    float *out = malloc(size);
    assert_non_null(out);
    memcpy(out, mel_frames(s), size);
    return out;
}

static void law_any_cut_gives_the_same_frames(void **state) {
    fixture *f = *state;
    const size_t counts[] = {199, 200, 201, 359, 360, 361, 23477};
    float *x = rig_wav("audio/question.wav", 16000, 39477);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        const size_t n = counts[i];
        float *want = whole(&f->s, x, n, 0);
        for (uint64_t seed = 1; seed <= 20; seed++) {
            float *got = whole(&f->s, x, n, seed);
            if (memcmp(want, got, (n / 160 + 1) * BANDS * sizeof *got) != 0)
                fail_msg("%zu samples: seed %d differs", n, (int)seed);
            free(got);
        }
        free(want);
    }
    free(x);
}

static void law_reset_equals_fresh(void **state) {
    fixture *used = *state, fresh;
    make(&fresh, BANDS, SAMPLE_CAP);
    float *x = rig_wav("audio/jfk.wav", 0, 60000);
    float *want = whole(&fresh.s, x, 30000, 0);
    for (int finished = 0; finished < 2; finished++) {
        mel_reset(&used->s);
        push_cut(&used->s, x + 7, 59993, 0);
        if (finished) mel_finish(&used->s);
        float *got = whole(&used->s, x, 30000, 0);
        assert_memory_equal(want, got, (30000 / 160 + 1) * BANDS * sizeof *got);
        free(got);
    }
    free(want);
    free(x);
    drop(&fresh);
}

static void a_second_finish_does_nothing(void **state) {
    fixture *f = *state;
    float *x = rig_wav("audio/jfk.wav", 0, 20000);
    float *want = whole(&f->s, x, 20000, 0);
    mel_finish(&f->s);
    assert_int_equal(mel_frame_count(&f->s), 126);
    assert_memory_equal(want, mel_frames(&f->s), 126 * BANDS * sizeof *want);
    free(want);
    free(x);
}

static void too_long_changes_nothing(void **state) {
    (void)state;
    fixture f;
    make(&f, BANDS, 1000);
    float *x = rig_wav("audio/jfk.wav", 0, 1001);
    float *want = whole(&f.s, x, 1000, 0);
    mel_reset(&f.s);
    assert_int_equal(mel_push(&f.s, x, 1001), RNL_ERR_TOO_LONG);
    assert_int_equal(mel_sample_count(&f.s), 0);
    assert_int_equal(mel_push(&f.s, x, 600), RNL_OK);
    assert_int_equal(mel_push(&f.s, x + 600, 401), RNL_ERR_TOO_LONG);
    assert_int_equal(mel_push(&f.s, x + 600, SIZE_MAX), RNL_ERR_TOO_LONG);
    assert_int_equal(mel_push(&f.s, x + 600, 400), RNL_OK);
    assert_int_equal(mel_push(&f.s, x, 0), RNL_OK);
    mel_finish(&f.s);
    assert_int_equal(mel_frame_count(&f.s), mel_frame_cap(&f.s));
    assert_memory_equal(want, mel_frames(&f.s), 7 * BANDS * sizeof *want);
    free(want);
    free(x);
    drop(&f);
}

/* Other numbers of bands: weights stay inside the spectrum and the pool they lie in. */
static void any_number_of_bands(void **state) {
    (void)state;
    float *x = rig_wav("audio/jfk.wav", 0, 2000);
    for (int bands = 1; bands <= 512; bands = bands * 2 + 1) {
        fixture f;
        make(&f, bands, 2000);
        for (int i = 0; i < bands; i++)
            assert_true(f.w.bands[i].begin + f.w.bands[i].count <= MEL_FFT / 2 + 1);
        push_cut(&f.s, x, 2000, 0);
        mel_finish(&f.s);
        for (int i = 0; i < 13 * bands; i++) assert_true(isfinite(mel_frames(&f.s)[i]));
        drop(&f);
    }
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filter_bank_has_the_check_values),
        cmocka_unit_test(window_is_symmetric_and_ends_at_zero),
        cmocka_unit_test(vector_of_the_specification),
        cmocka_unit_test(frames_of_every_length),
        cmocka_unit_test(silence_is_exactly_zero),
        cmocka_unit_test(law_any_cut_gives_the_same_frames),
        cmocka_unit_test(law_reset_equals_fresh),
        cmocka_unit_test(a_second_finish_does_nothing),
        cmocka_unit_test(too_long_changes_nothing),
        cmocka_unit_test(any_number_of_bands),
    };
    return cmocka_run_group_tests(tests, open_mel, close_mel);
}
