/* Fourier transforms: against the defining sum in double precision, there and back, and the same
 * bits from every buffer and in every thread. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/fft.h"

enum { LENGTH_CAP = 1280, THREADS = 4, ROUNDS = 50 };
static const double pi = 3.14159265358979323846;
/* 512: mel (audio.md 3.2); 1280: detokenizer (8.4); the others: odd factors, and the smallest. */
static const int lengths[] = {2, 6, 30, 512, 1280};
enum { LENGTH_COUNT = sizeof lengths / sizeof lengths[0] };

static float *take(size_t count) {
    float *p = aligned_alloc(64, (count * sizeof *p + 63) / 64 * 64);
    assert_non_null(p);
    return p;
}

/* A generator of our own: the same numbers on every machine. In [-1, 1). */
static void fill(float *x, int count, uint64_t seed) {
    for (int i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)((int64_t)(seed >> 40) - (1 << 23)) / (float)(1 << 23);
    }
}

static fft_plan *plan_of(int length) {
    fft_plan *p = NULL;
    assert_int_equal(fft_plan_create(length, &p), RNL_OK);
    assert_non_null(p);
    return p;
}

static void forward_is_the_defining_sum(void **state) {
    (void)state;
    float *in = take(LENGTH_CAP), *out = take(LENGTH_CAP + 2), x[LENGTH_CAP];
    for (int n = 0; n < LENGTH_COUNT; n++) {
        const int length = lengths[n];
        fft_plan *p = plan_of(length);
        fill(x, length, 1);
        memcpy(in, x, (size_t)length * sizeof *x);
        fft_forward(p, in, out);
        for (int k = 0; k <= length / 2; k++) {
            double re = 0, im = 0;
            for (int i = 0; i < length; i++) {
                const double turn = 2 * pi * (double)((int64_t)k * i % length) / length;
                re += (double)x[i] * cos(turn);
                im -= (double)x[i] * sin(turn);
            }
            assert_true(fabs(re - (double)out[2 * k]) < 1e-5 * sqrt(length));
            assert_true(fabs(im - (double)out[2 * k + 1]) < 1e-5 * sqrt(length));
        }
        fft_plan_destroy(&p);
        assert_null(p);
    }
    free(in);
    free(out);
}

static void there_and_back_is_length_times_the_signal(void **state) {
    (void)state;
    float *in = take(LENGTH_CAP), *out = take(LENGTH_CAP + 2), x[LENGTH_CAP];
    for (int n = 0; n < LENGTH_COUNT; n++) {
        const int length = lengths[n];
        fft_plan *p = plan_of(length);
        fill(x, length, 2);
        memcpy(in, x, (size_t)length * sizeof *x);
        fft_forward(p, in, out);
        fft_inverse(p, out, in);
        for (int i = 0; i < length; i++) assert_true(fabsf(in[i] / (float)length - x[i]) < 1e-6f);
        fft_plan_destroy(&p);
    }
    free(in);
    free(out);
}

/* A plan of its own, other buffers, another moment: the bits stay. */
static void two_plans_give_the_same_bits(void **state) {
    (void)state;
    float *in[2] = {take(512), take(512)}, *out[2] = {take(514), take(514)};
    for (int i = 0; i < 2; i++) {
        fft_plan *p = plan_of(512);
        fill(in[i], 512, 3);
        fft_forward(p, in[i], out[i]);
        fft_plan_destroy(&p);
    }
    assert_memory_equal(out[0], out[1], 514 * sizeof(float));
    for (int i = 0; i < 2; i++) {
        free(in[i]);
        free(out[i]);
    }
}

typedef struct job {
    const fft_plan *shared;
    const float *wanted; /* [514] */
    bool good;
} job;

/* No cmocka calls here: they belong to the main thread. */
static void *transform_and_plan(void *context) {
    job *j = context;
    float *in = aligned_alloc(64, 512 * sizeof *in), *out = aligned_alloc(64, 576 * sizeof *out);
    j->good = in != NULL && out != NULL;
    for (int i = 0; i < ROUNDS && j->good; i++) {
        fft_plan *own = NULL;
        fill(in, 512, 4);
        fft_forward(j->shared, in, out);
        j->good = memcmp(out, j->wanted, 514 * sizeof *out) == 0 &&
                  fft_plan_create(2 * i + 2, &own) == RNL_OK;
        fft_plan_destroy(&own);
    }
    free(in);
    free(out);
    return NULL;
}

static void threads_share_a_plan_and_make_their_own(void **state) {
    (void)state;
    float *in = take(512), *wanted = take(514);
    fft_plan *p = plan_of(512);
    fill(in, 512, 4);
    fft_forward(p, in, wanted);
    pthread_t threads[THREADS];
    job jobs[THREADS];
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (job){.shared = p, .wanted = wanted};
        assert_int_equal(pthread_create(&threads[i], NULL, transform_and_plan, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) assert_true(jobs[i].good);
    fft_plan_destroy(&p);
    fft_plan_destroy(&p); /* twice is fine */
    free(in);
    free(wanted);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_is_the_defining_sum),
        cmocka_unit_test(there_and_back_is_length_times_the_signal),
        cmocka_unit_test(two_plans_give_the_same_bits),
        cmocka_unit_test(threads_share_a_plan_and_make_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
