/* Mimi's streaming convolutions against the sums written out (audio.md 9.2): a block after another,
 * of any length, equals the whole signal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "core/random.h"
#include "detokenizer/mimi_conv.h"
#include "tests/support/stage.h"

enum { TIME = 24, SIDE_CAP = 40, KERNEL_CAP = 16, SIZE_CAP = SIDE_CAP * SIDE_CAP * KERNEL_CAP };

typedef struct shape {
    bool transposed;
    int in, out, kernel, stride;
    bool bias, elu;
} shape;

/* Every kind that a SEANet has, the down-sampling without bias, and widths no kernel likes. */
static const shape shapes[] = {
    {false, 1, 4, 7, 1, true, false},  {false, 5, 3, 3, 1, true, true},
    {false, 33, 17, 1, 1, true, true}, {false, 4, 8, 8, 4, true, true},
    {false, 3, 37, 12, 6, true, true}, {false, 32, 32, 4, 2, false, false},
    {false, 40, 1, 3, 1, true, true},  {true, 8, 4, 16, 8, true, true},
    {true, 37, 19, 12, 6, true, true}, {true, 4, 3, 8, 4, false, true},
    {true, 2, 1, 4, 2, true, false},   {true, 5, 33, 10, 5, true, true},
};

static float weight[SIZE_CAP], bias[SIDE_CAP], signal[TIME * SIDE_CAP];
static float whole[TIME * KERNEL_CAP * SIDE_CAP], cut[TIME * KERNEL_CAP * SIDE_CAP];
static stage rig;

static void fill(random_state *r, float *to, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] = (float)(2.0 * random_unit(r) - 1.0);
}

static void add(const char *name, const float *data, int rank, int64_t a, int64_t b, int64_t c) {
    const tensor t = {.name = name,
                      .data = (const unsigned char *)(const void *)data,
                      .type = QUANT_F32,
                      .rank = rank,
                      .shape = {a, b, c, 1},
                      .size = (size_t)(a * b * c) * sizeof *data};
    assert_int_equal(weights_add(rig.w, &t, "test", &rig.error), RNL_OK);
}

static mimi_conv open_conv(const shape *s, int thread_count) {
    stage_open(&rig, thread_count, SIDE_CAP * KERNEL_CAP);
    add("mimi.c.weight", weight, 3, s->transposed ? s->in : s->out, s->transposed ? s->out : s->in,
        s->kernel);
    if (s->bias) add("mimi.c.bias", bias, 1, s->out, 1, 1);
    rig.l.prefix = "mimi.";
    const bool twice = s->kernel == 2 * s->stride; /* then the stride follows from the kernel */
    const mimi_conv c = mimi_conv_load(&rig.l, s->transposed, twice ? 0 : s->stride, "c");
    stage_check(&rig);
    return c;
}

static double input(const shape *s, int time, int channel) {
    if (time < 0) return 0.0; /* zeros before the start */
    const double x = (double)signal[time * s->in + channel];
    return s->elu && x < 0.0 ? expm1(x) : x;
}

/* Output o at time t of the whole signal, by the definition. */
static double expected(const shape *s, int t, int o) {
    double sum = s->bias ? (double)bias[o] : 0.0;
    for (int i = 0; i < s->in; i++)
        for (int k = 0; k < s->kernel; k++) {
            if (!s->transposed) /* the window ends with the last input of the stride */
                sum += (double)weight[(o * s->in + i) * s->kernel + k] *
                       input(s, t * s->stride + s->stride - s->kernel + k, i);
            else if ((t - k) % s->stride == 0 && t >= k)
                sum += (double)weight[(i * s->out + o) * s->kernel + k] *
                       input(s, (t - k) / s->stride, i);
        }
    return sum;
}

/* All of the signal in blocks of random length, 0 seed: at once. */
static void run(const mimi_conv *c, const shape *s, uint64_t seed, float *y) {
    const int stride = s->transposed ? 1 : s->stride;
    random_state r;
    random_seed(&r, seed);
    stage_clear(&rig);
    float *tail = arena_take(&rig.kept, mimi_conv_tail_size(c), sizeof *tail);
    float *scratch = arena_take(&rig.scratch, mimi_conv_scratch_size(c, TIME), sizeof *scratch);
    if (tail != NULL) memset(tail, 0, mimi_conv_tail_size(c) * sizeof *tail);
    for (int at = 0; at < TIME / stride * stride;) {
        int count = TIME / stride * stride - at;
        if (seed > 0) count = stride * (1 + (int)(random_unit(&r) * (count / stride)));
        mimi_conv_run(c, &rig.c, tail, signal + at * s->in, count, s->elu, scratch, y);
        y += mimi_conv_out_count(c, count) * s->out;
        at += count;
    }
}

static void every_kind_equals_its_definition(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape *s = &shapes[i];
        const mimi_conv c = open_conv(s, 1);
        assert_int_equal(c.stride, s->stride);
        run(&c, s, 0, whole);
        const int count = mimi_conv_out_count(&c, TIME / s->stride * s->stride);
        for (int t = 0; t < count; t++)
            for (int o = 0; o < s->out; o++) {
                const double want = expected(s, t, o), got = (double)whole[t * s->out + o];
                if (!(fabs(want - got) <= 2e-5)) /* sums of up to 450 products below 1 */
                    fail_msg("shape %zu, time %d, channel %d: %g, not %g", i, t, o, got, want);
            }
        stage_close(&rig);
    }
}

static void cuts_and_threads_change_no_bit(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape *s = &shapes[i];
        for (int threads = 1; threads <= 4; threads++) {
            const mimi_conv c = open_conv(s, threads);
            const int count = mimi_conv_out_count(&c, TIME / s->stride * s->stride);
            const size_t size = (size_t)(count * s->out) * sizeof *whole;
            if (threads == 1) run(&c, s, 0, whole);
            for (uint64_t seed = 0; seed < 6; seed++) {
                memset(cut, 0xff, size);
                run(&c, s, seed, cut);
                if (memcmp(cut, whole, size) != 0)
                    fail_msg("shape %zu, %d threads, seed %d", i, threads, (int)seed);
            }
            stage_close(&rig);
        }
    }
}

static int setup(void **state) {
    (void)state;
    random_state r;
    random_seed(&r, 7);
    fill(&r, weight, SIZE_CAP);
    fill(&r, bias, SIDE_CAP);
    fill(&r, signal, TIME * SIDE_CAP);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_equals_its_definition),
        cmocka_unit_test(cuts_and_threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
