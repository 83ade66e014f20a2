/* The streaming inverse STFT against the whole-signal formula of audio.md 8.4, written out as
 * defining sums in double precision, its test vector, and the laws of streaming. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "detokenizer/istft.h"

enum { FRAME_CAP = 16 };
static const double pi = 3.14159265358979323846;

typedef struct fixture {
    istft_weights w;
    istft_state s;
    istft_work k;
    float *window;
    void *memory;
} fixture;

static void make(fixture *f, int size, int hop) {
    *f = (fixture){.w = {.size = size, .hop = hop}};
    assert_int_equal(fft_plan_create(size, &f->w.plan), RNL_OK);
    f->window = malloc((size_t)size * sizeof *f->window);
    assert_non_null(f->window);
    for (int n = 0; n < size; n++) f->window[n] = (float)(0.5 - 0.5 * cos(2 * pi * n / size));
    f->w.window = f->window;
    arena kept = {0}, scratch = {0};
    istft_layout(&f->s, &f->w, &kept);
    istft_work_layout(&f->k, &f->w, &scratch);
    unsigned char *memory = aligned_alloc(ARENA_ALIGN, kept.size_used + scratch.size_used);
    assert_non_null(memory);
    memset(memory, 0xff, kept.size_used + scratch.size_used); /* NaN: nothing is zero by luck */
    arena a = {.base = memory, .size_cap = kept.size_used};
    arena b = {.base = memory + kept.size_used, .size_cap = scratch.size_used};
    istft_layout(&f->s, &f->w, &a);
    istft_work_layout(&f->k, &f->w, &b);
    f->memory = memory;
    istft_reset(&f->s);
}

static void drop(fixture *f) {
    fft_plan_destroy(&f->w.plan);
    free(f->window);
    free(f->memory);
}

/* Spectra of frames: [frames, bins] each. */
typedef struct spectra {
    float *log_magnitude, *phase;
    int frames, bins;
} spectra;

static spectra random_spectra(int frames, int size, uint64_t seed) {
    const int bins = size / 2 + 1;
    const size_t count = (size_t)(frames * bins);
    spectra x = {malloc(count * sizeof(float) + 1), malloc(count * sizeof(float) + 1), frames,
                 bins};
    assert_true(x.log_magnitude != NULL && x.phase != NULL);
    random_state r;
    random_seed(&r, seed);
    for (size_t i = 0; i < count; i++) {
        x.log_magnitude[i] = (float)(random_unit(&r) * 8 - 6);
        x.phase[i] = (float)(random_unit(&r) * 130 - 65); /* the range seen: audio.md 8.3 */
    }
    return x;
}

static void free_spectra(spectra *x) {
    free(x->log_magnitude);
    free(x->phase);
}

/* audio.md 8.4 as it stands: O and D over the whole signal, no state. y [hop * frames]. */
static void whole(const fixture *f, const spectra *x, double *y) {
    const int size = f->w.size, hop = f->w.hop, last = size / 2;
    const size_t length = (size_t)(hop * (x->frames - 1) + size);
    double *sum = calloc(length, sizeof *sum), *weight = calloc(length, sizeof *weight);
    assert_true(sum != NULL && weight != NULL);
    for (int t = 0; t < x->frames; t++) {
        const float *a = x->log_magnitude + t * x->bins, *p = x->phase + t * x->bins;
        for (int n = 0; n < size; n++) {
            double v = exp(a[0]) * cos(p[0]) + (n % 2 ? -1 : 1) * exp(a[last]) * cos(p[last]);
            for (int k = 1; k < last; k++)
                v += 2 * exp(a[k]) * cos(2 * pi * ((double)k * n / size) + p[k]);
            const double window = f->window[n];
            sum[hop * t + n] += window * v / size;
            weight[hop * t + n] += window * window;
        }
    }
    for (int i = 0; i < hop * x->frames; i++)
        y[i] = sum[i + (size - hop) / 2] / weight[i + (size - hop) / 2];
    free(sum);
    free(weight);
}

/* All frames, then the end; a fence behind what each call may write. */
static int stream(fixture *f, const spectra *x, float *y) {
    const int size = f->w.size, hop = f->w.hop, padding = (size - hop) / 2;
    const int room = hop > padding ? hop : padding;
    float *out = malloc(((size_t)room + 1) * sizeof *out);
    assert_non_null(out);
    int total = 0;
    for (int t = 0; t <= x->frames; t++) {
        for (int i = 0; i <= room; i++) out[i] = 12345.0f;
        const int count = t < x->frames ? istft_push(&f->s, &f->k, x->log_magnitude + t * x->bins,
                                                     x->phase + t * x->bins, out)
                                        : istft_finish(&f->s, out);
        assert_true(count >= 0 && count <= (t < x->frames ? hop : padding));
        assert_true(out[count] == 12345.0f);
        memcpy(y + total, out, (size_t)count * sizeof *out);
        total += count;
        const int final = hop * (t + 1) - padding; /* emitted so far: audio.md 8.5 */
        if (t < x->frames) assert_int_equal(total, final > 0 ? final : 0);
    }
    free(out);
    return total;
}

static void streaming_equals_the_whole_formula(void **state) {
    (void)state;
    const struct {
        int size, hop;
    } shapes[] = {{1280, 320}, {64, 16}, {64, 32}, {40, 10}, {96, 24}};
    const int frames[] = {1, 2, 3, 4, 5, FRAME_CAP};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        fixture f;
        make(&f, shapes[i].size, shapes[i].hop);
        for (size_t k = 0; k < sizeof frames / sizeof *frames; k++) {
            if (shapes[i].size > 1000 && frames[k] > 5) continue; /* the sums take time */
            spectra x = random_spectra(frames[k], f.w.size, 100 * i + k);
            const size_t count = (size_t)(f.w.hop * frames[k]);
            double *want = malloc(count * sizeof *want);
            float *got = malloc(count * sizeof *got);
            assert_true(want != NULL && got != NULL);
            whole(&f, &x, want);
            istft_reset(&f.s);
            assert_int_equal(stream(&f, &x, got), count);
            for (size_t n = 0; n < count; n++)
                if (!(fabs(want[n] - (double)got[n]) < 4e-6))
                    fail_msg("size %d, %d frames: sample %zu is %.8f, not %.8f", f.w.size,
                             frames[k], n, (double)got[n], want[n]);
            free(want);
            free(got);
            free_spectra(&x);
        }
        drop(&f);
    }
}

/* Six frames of a formula, audio.md 8.4. */
static void vector_of_the_specification(void **state) {
    (void)state;
    enum { FRAMES = 6, BINS = 641, COUNT = 320 * FRAMES };
    static float a[FRAMES * BINS], p[FRAMES * BINS], y[COUNT];
    for (int f = 0; f < FRAMES; f++)
        for (int k = 0; k < BINS; k++) {
            a[f * BINS + k] = (float)(3 - 0.02 * k + 0.1 * f);
            p[f * BINS + k] = (float)(0.3 * k + 0.5 * f);
        }
    const spectra x = {a, p, FRAMES, BINS};
    fixture f;
    make(&f, 1280, 320);
    assert_int_equal(stream(&f, &x, y), COUNT);
    const struct {
        int at;
        double value;
    } want[] = {{0, -0.00238994},   {1, -0.00239518},   {159, -0.00223481},
                {160, -0.00222969}, {500, -0.00265774}, {959, 0.00267638},
                {1219, 0.00669636}, {1500, 0.00996202}, {1919, 0.02659980}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (!(fabs((double)y[want[i].at] - want[i].value) < 1e-6))
            fail_msg("y[%d] = %.8f, not %.8f", want[i].at, (double)y[want[i].at], want[i].value);
    double sum = 0;
    int loudest = 0;
    for (int i = 0; i < COUNT; i++) {
        sum += (double)y[i];
        if (fabsf(y[i]) > fabsf(y[loudest])) loudest = i;
    }
    assert_int_equal(loudest, 1695);
    assert_true(fabs(fabs((double)y[loudest]) - 0.03027849) < 1e-6);
    assert_true(fabs(sum - 8.84728722) < 1e-4);
    drop(&f);
}

/* The imaginary parts of the first and the last bin are no part of a real signal: a phase of a
 * quarter turn there is silence. */
static void ends_of_the_spectrum_are_real(void **state) {
    (void)state;
    fixture f;
    make(&f, 64, 16);
    spectra x = random_spectra(4, 64, 1);
    for (int i = 0; i < 4 * 33; i++) {
        const bool end = i % 33 == 0 || i % 33 == 32;
        x.log_magnitude[i] = end ? 3.0f : -200.0f;
        x.phase[i] = 1.57079632679f;
    }
    float y[64];
    assert_int_equal(stream(&f, &x, y), 64);
    for (int i = 0; i < 64; i++) assert_true(fabsf(y[i]) < 1e-5f);
    drop(&f);
    free_spectra(&x);
}

static void law_reset_equals_fresh(void **state) {
    (void)state;
    enum { COUNT = 320 * 7 };
    static float first[COUNT], again[COUNT];
    spectra x = random_spectra(7, 1280, 5), other = random_spectra(3, 1280, 6);
    fixture f;
    make(&f, 1280, 320);
    assert_int_equal(stream(&f, &x, first), COUNT);
    for (int round = 0; round < 3; round++) {
        istft_reset(&f.s);
        if (round > 0)
            for (int t = 0; t < 3; t++)
                (void)istft_push(&f.s, &f.k, other.log_magnitude + 641 * t, other.phase + 641 * t,
                                 again);
        if (round == 2) (void)istft_finish(&f.s, again);
        istft_reset(&f.s);
        assert_int_equal(stream(&f, &x, again), COUNT);
        assert_memory_equal(first, again, sizeof first);
    }
    drop(&f);
    free_spectra(&x);
    free_spectra(&other);
}

static void law_two_streams_share_a_plan(void **state) {
    (void)state;
    enum { FRAMES = 5, COUNT = 320 * FRAMES };
    static float alone[2][COUNT], together[2][COUNT];
    spectra x[2] = {random_spectra(FRAMES, 1280, 8), random_spectra(FRAMES, 1280, 9)};
    fixture f[2];
    for (int i = 0; i < 2; i++) {
        make(&f[i], 1280, 320);
        assert_int_equal(stream(&f[i], &x[i], alone[i]), COUNT);
        istft_reset(&f[i].s);
    }
    const istft_weights *own = f[1].s.w;
    f[1].s.w = f[0].s.w;
    int at[2] = {0, 0};
    for (int t = 0; t < FRAMES; t++)
        for (int i = 0; i < 2; i++)
            at[i] += istft_push(&f[i].s, &f[i].k, x[i].log_magnitude + 641 * t,
                                x[i].phase + 641 * t, together[i] + at[i]);
    for (int i = 0; i < 2; i++) {
        at[i] += istft_finish(&f[i].s, together[i] + at[i]);
        assert_int_equal(at[i], COUNT);
        assert_memory_equal(alone[i], together[i], sizeof alone[i]);
        free_spectra(&x[i]);
    }
    f[1].s.w = own;
    drop(&f[0]);
    drop(&f[1]);
}

static void finish_without_frames_gives_nothing(void **state) {
    (void)state;
    fixture f;
    float y[480];
    make(&f, 1280, 320);
    assert_int_equal(istft_finish(&f.s, y), 0);
    drop(&f);
}

/* A broken frame (NaN, infinite) is heard for as long as its window reaches, then it is over. */
static void a_broken_frame_does_not_last(void **state) {
    (void)state;
    enum { FRAMES = 12, COUNT = 320 * FRAMES };
    static float clean[COUNT], broken[COUNT];
    spectra x = random_spectra(FRAMES, 1280, 11);
    fixture f;
    make(&f, 1280, 320);
    assert_int_equal(stream(&f, &x, clean), COUNT);
    x.log_magnitude[3 * 641 + 5] = 1000.0f;
    x.phase[3 * 641 + 7] = NAN;
    istft_reset(&f.s);
    assert_int_equal(stream(&f, &x, broken), COUNT);
    const int begin = 3 * 320 - 480, end = begin + 1280; /* of frame 3 in the output */
    assert_memory_equal(clean, broken, (size_t)begin * sizeof *clean);
    assert_memory_equal(clean + end, broken + end, (size_t)(COUNT - end) * sizeof *clean);
    assert_false(isfinite(broken[begin + 640]));
    drop(&f);
    free_spectra(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streaming_equals_the_whole_formula),
        cmocka_unit_test(vector_of_the_specification),
        cmocka_unit_test(ends_of_the_spectrum_are_real),
        cmocka_unit_test(law_reset_equals_fresh),
        cmocka_unit_test(law_two_streams_share_a_plan),
        cmocka_unit_test(finish_without_frames_gives_nothing),
        cmocka_unit_test(a_broken_frame_does_not_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
