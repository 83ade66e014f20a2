/* Sampling with ties at the threshold (golden tiny/expect/sampling), and the draws themselves. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backbone/sample.h"
#include "tests/support/npy.h"

static const struct {
    const char *file;
    rnl_sampling how;
} cases[] = {
    {"probs_t1.0_k4", {1.0f, 4, 1, 0, 1}},   {"probs_t0.8_k64", {0.8f, 64, 1, 0, 1}},
    {"probs_t0.8_k5", {0.8f, 5, 1, 0, 1}},   {"probs_t1.7_kall", {1.7f, INT32_MAX, 1, 0, 1}},
    {"probs_t0.3_k20", {0.3f, 20, 1, 0, 1}}, {"probs_t1.0_k2", {1.0f, 2, 1, 0, 1}},
};

static void probabilities_equal_the_reference(void **state) {
    (void)state;
    npy logits = npy_read("tiny/expect/sampling/logits.npy");
    float got[200], scratch[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "tiny/expect/sampling/%s.npy", cases[i].file);
        npy want = npy_read(path);
        sample_probabilities(logits.f, 200, cases[i].how, got, scratch);
        for (size_t j = 0; j < 200; j++) {
            assert_true(fabs((double)got[j] - (double)want.f[j]) <= 1e-6);
            assert_int_equal(got[j] > 0, want.f[j] > 0); /* the same survivors */
        }
        npy_free(&want);
    }
    npy_free(&logits);
}

/* family.md 3.4: the recipes of the vendor's cards, and some that mix. */
static const struct {
    const char *file;
    rnl_sampling how;
} recipes[] = {
    {"lfm2", {0.3f, INT32_MAX, 1, 0.15f, 1.05f}},
    {"lfm25", {0.1f, 50, 1, 0, 1.05f}},
    {"thinking", {0.05f, 50, 1, 0, 1.05f}},
    {"vl", {0.1f, INT32_MAX, 1, 0.15f, 1.05f}},
    {"vl-flat", {1.7f, INT32_MAX, 1, 0.05f, 1.3f}},
    {"topp", {1.0f, 40, 0.9f, 0.02f, 1}},
    {"ties", {1.0f, 2, 1, 0, 1}},
};

static void recipes_equal_the_reference(void **state) {
    (void)state;
    enum { COUNT = 300 };
    npy logits = npy_read("family/text/sampling/logits.npy");
    npy seen = npy_read("family/text/sampling/seen.npy");
    float x[COUNT], got[COUNT], scratch[COUNT];
    unsigned char bits[(COUNT + 7) / 8];
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "family/text/sampling/probs-%s.npy", recipes[i].file);
        npy want = npy_read(path);
        memcpy(x, logits.f, sizeof x);
        sample_penalise(x, COUNT, seen.i, seen.count, recipes[i].how.repeat_penalty, bits);
        sample_probabilities(x, COUNT, recipes[i].how, got, scratch);
        for (size_t j = 0; j < COUNT; j++) {
            assert_true(fabs((double)got[j] - (double)want.f[j]) <= 2e-6);
            assert_int_equal(got[j] > 0, want.f[j] > 0);
        }
        npy_free(&want);
    }
    npy_free(&seen);
    npy_free(&logits);
}

static int by_falling(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Few and many, with ties, and values that a mask has switched off. */
static void top_k_keeps_what_a_sort_keeps(void **state) {
    (void)state;
    enum { COUNT = 150 };
    random_state r;
    random_seed(&r, 5);
    for (int round = 0; round < 2000; round++) {
        const int count = 2 + (int)(random_u64(&r) % (COUNT - 1));
        const int k = 2 + (int)(random_u64(&r) % 80);
        const uint64_t steps = round % 2 == 0 ? 9 : 1 << 20;
        float x[COUNT], sorted[COUNT], got[COUNT], scratch[COUNT];
        for (int i = 0; i < count; i++) {
            x[i] = (float)(random_u64(&r) % steps) * (8.0f / (float)steps);
            if (i > 0 && random_u64(&r) % 8 == 0) x[i] = -INFINITY;
        }
        memcpy(sorted, x, sizeof sorted);
        qsort(sorted, (size_t)count, sizeof *sorted, by_falling);
        const float least = sorted[k < count ? k - 1 : count - 1];
        sample_probabilities(x, count, rnl_sampling_plain(1, k), got, scratch);
        for (int i = 0; i < count; i++)
            assert_int_equal(got[i] > 0, x[i] >= least && x[i] > -INFINITY);
    }
}

/* What the reference does in words: sort ascending, equals in the order of their indices, and drop
 * while the running sum is within 1 - p. */
static void slow_top_p(const double *p, int count, double top_p, bool *kept) {
    int order[64];
    for (int i = 0; i < count; i++) order[i] = i;
    for (int i = 1; i < count; i++)
        for (int j = i; j > 0 && p[order[j]] < p[order[j - 1]]; j--) {
            const int other = order[j];
            order[j] = order[j - 1];
            order[j - 1] = other;
        }
    double sum = 0;
    for (int i = 0; i < count; i++) {
        sum += p[order[i]];
        kept[order[i]] = sum > 1 - top_p || i == count - 1;
    }
}

static void top_p_keeps_what_a_sort_keeps(void **state) {
    (void)state;
    random_state r;
    random_seed(&r, 11);
    for (int round = 0; round < 2000; round++) {
        const int count = 1 + (int)(random_u64(&r) % 40);
        float x[40], got[40], scratch[40];
        double p[40], sum = 0;
        bool kept[40];
        for (int i = 0; i < count; i++) x[i] = (float)(random_u64(&r) % 8) * 0.5f; /* with ties */
        for (int i = 0; i < count; i++) sum += exp((double)x[i]);
        for (int i = 0; i < count; i++) p[i] = exp((double)x[i]) / sum;
        /* An odd number: no sum of the few weights meets it exactly. */
        const float top_p = (float)(0.01 + 0.98 * random_unit(&r) + 1e-5);
        slow_top_p(p, count, (double)top_p, kept);
        const rnl_sampling how = {1, INT32_MAX, top_p, 0, 1};
        sample_probabilities(x, count, how, got, scratch);
        for (int i = 0; i < count; i++) assert_int_equal(got[i] > 0, kept[i]);
    }
}

static void greedy_takes_the_lowest_index_among_equals(void **state) {
    (void)state;
    const float x[] = {1, 3, 2, 3, 3};
    float scratch[10];
    random_state r;
    random_seed(&r, 1);
    const random_state before = r;
    assert_int_equal(sample_index(x, 5, rnl_sampling_plain(0, 50), &r, scratch), 1);
    assert_int_equal(sample_index(x, 5, rnl_sampling_plain(1, 1), &r, scratch), 1);
    assert_memory_equal(&before, &r, sizeof r); /* greedy draws nothing */
}

/* Wherever the largest stands, and whatever count: vectors, what is left behind them, and one that
 * is no number anywhere, for which there is no decision. */
static void greedy_sees_every_place(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY};
    const rnl_sampling greedy = {.temperature = 0, .top_k = 1, .top_p = 1, .repeat_penalty = 1};
    float x[67];
    for (int count = 1; count <= 67; count++)
        for (int at = 0; at < count; at++) {
            for (int i = 0; i < count; i++) x[i] = i % 3 == 0 ? -INFINITY : (float)(i % 5) - 9;
            x[at] = -0.5f;
            for (int i = at + 1; i < count; i += 7) x[i] = -0.5f; /* equals behind it */
            assert_int_equal(sample_index(x, count, greedy, NULL, NULL), at);
            for (int b = 0; b < 2; b++) {
                x[at] = bad[b];
                assert_int_equal(sample_index(x, count, greedy, NULL, NULL), -1);
            }
        }
    for (int i = 0; i < 67; i++) x[i] = -INFINITY;
    assert_int_equal(sample_index(x, 67, greedy, NULL, NULL), -1);
}

static void confidence_is_the_log_probability(void **state) {
    (void)state;
    const float x[] = {0.0f, 1.0f, 2.0f, -1.0f, 90.0f, -90.0f};
    float p[4], scratch[4];
    sample_probabilities(x, 4, rnl_sampling_plain(1, INT32_MAX), p, scratch);
    for (int i = 0; i < 4; i++)
        assert_true(fabs((double)sample_confidence(x, 4, i) - log((double)p[i])) < 1e-5);
    assert_true(sample_confidence(x, 6, 4) == 0.0f); /* no overflow, never above 0 */
    assert_true(sample_confidence(x, 6, 5) == -180.0f);
}

static void alternatives_are_the_likeliest(void **state) {
    (void)state;
    enum { COUNT = 50 };
    float x[COUNT], confidences[COUNT + 1];
    int32_t ids[COUNT + 1];
    random_state r;
    random_seed(&r, 3);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < COUNT; i++) x[i] = (float)(random_u64(&r) % 20);
        for (int k = 1; k <= COUNT; k += 7) {
            sample_alternatives(x, COUNT, k, ids, confidences);
            for (int i = 0; i < k; i++) {
                int better = 0; /* the place of an id: how many come before it */
                for (int j = 0; j < COUNT; j++)
                    better += x[j] > x[ids[i]] || (!(x[j] < x[ids[i]]) && j < ids[i]);
                assert_int_equal(better, i);
                assert_true(confidences[i] == sample_confidence(x, COUNT, ids[i]));
            }
        }
    }
    sample_alternatives(x, 2, 3, ids, confidences); /* there are no more */
    assert_true(ids[2] == -1 && isinf(confidences[2]) && ids[0] >= 0 && ids[1] >= 0);
}

static void draws_follow_the_probabilities(void **state) {
    (void)state;
    const float x[] = {0.0f, 1.0f, 2.0f, -1.0f};
    float p[4], scratch[8];
    int counts[4] = {0};
    random_state r;
    random_seed(&r, 7);
    const rnl_sampling how = rnl_sampling_plain(1, 3);
    sample_probabilities(x, 4, how, p, scratch);
    const int draws = 20000;
    for (int i = 0; i < draws; i++) counts[sample_index(x, 4, how, &r, scratch)]++;
    assert_int_equal(counts[3], 0);
    for (int i = 0; i < 3; i++) {
        const double expected = (double)p[i] * draws;
        assert_true(fabs(counts[i] - expected) < 5 * sqrt(expected));
    }
}

static void a_tiny_temperature_is_nearly_greedy(void **state) {
    (void)state;
    const float x[] = {-3.0f, 40.0f, 39.0f, 40.0f};
    float p[4], scratch[8];
    sample_probabilities(x, 4, rnl_sampling_plain(1e-38f, 4), p, scratch);
    assert_true(p[0] == 0 && p[1] == 0.5f && p[2] == 0 && p[3] == 0.5f);
}

static void the_same_seed_gives_the_same_draws(void **state) {
    (void)state;
    random_state a, b, c;
    random_seed(&a, 42);
    random_seed(&b, 42);
    random_seed(&c, 43);
    int different = 0;
    for (int i = 0; i < 100; i++) {
        const uint64_t x = random_u64(&a);
        assert_true(x == random_u64(&b));
        different += x != random_u64(&c);
    }
    assert_int_equal(different, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities_equal_the_reference),
        cmocka_unit_test(recipes_equal_the_reference),
        cmocka_unit_test(top_k_keeps_what_a_sort_keeps),
        cmocka_unit_test(top_p_keeps_what_a_sort_keeps),
        cmocka_unit_test(greedy_takes_the_lowest_index_among_equals),
        cmocka_unit_test(greedy_sees_every_place),
        cmocka_unit_test(confidence_is_the_log_probability),
        cmocka_unit_test(alternatives_are_the_likeliest),
        cmocka_unit_test(draws_follow_the_probabilities),
        cmocka_unit_test(a_tiny_temperature_is_nearly_greedy),
        cmocka_unit_test(the_same_seed_gives_the_same_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
