/* Which levels follow from what CPUID and XCR0 say: words of known machines, and each yes that is
 * missing takes away its level and what stands on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/levels.h"

#if defined(__x86_64__)

enum {
    AVX2 = KERNELS_CPU_AVX2,
    VNNI = KERNELS_CPU_AVXVNNI,
    AVX512 = KERNELS_CPU_AVX512,
    BF16 = KERNELS_CPU_BF16,
    AMX = KERNELS_CPU_AMX
};

/* A server with everything (Sapphire Rapids). */
static const kernels_cpu_words everything = {.leaf1_c = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29,
                                             .leaf7_b = 1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 |
                                                        1u << 31,
                                             .leaf7_c = 1u << 11,
                                             .leaf7_d = 1u << 22 | 1u << 24,
                                             .leaf7_1_a = 1u << 4 | 1u << 5,
                                             .xcr0 = 0x602e7};

static void known_machines_get_their_levels(void **state) {
    (void)state;
    kernels_cpu_words w = everything;
    assert_int_equal(kernels_cpu_decode(&w), AVX2 | VNNI | AVX512 | BF16 | AMX);
    w.leaf7_d = 0, w.leaf7_1_a = 1u << 5, w.xcr0 = 0xe7; /* Zen 4 */
    assert_int_equal(kernels_cpu_decode(&w), AVX2 | AVX512 | BF16);
    w = everything;
    w.leaf7_b = 1u << 5, w.leaf7_c = 0, w.leaf7_d = 0, w.xcr0 = 7; /* Alder Lake */
    assert_int_equal(kernels_cpu_decode(&w), AVX2 | VNNI);
    w.leaf7_1_a = 0; /* Zen 3 */
    assert_int_equal(kernels_cpu_decode(&w), AVX2);
    assert_int_equal(kernels_cpu_decode(&(kernels_cpu_words){0}), 0);
}

/* Without one bit of a word, what is left. */
static void expect_without(size_t word, unsigned bit, unsigned left) {
    kernels_cpu_words w = everything;
    uint32_t v;
    memcpy(&v, (char *)&w + word, sizeof v);
    assert_true((v >> bit & 1) == 1);
    v &= ~(1u << bit);
    memcpy((char *)&w + word, &v, sizeof v);
    assert_int_equal(kernels_cpu_decode(&w), left);
}
#define WORD(name) offsetof(kernels_cpu_words, name)

static void a_missing_yes_takes_its_level_away(void **state) {
    (void)state;
    const unsigned leaf1[] = {12, 27, 28, 29}, avx512[] = {16, 17, 30, 31};
    for (int i = 0; i < 4; i++) expect_without(WORD(leaf1_c), leaf1[i], 0);
    expect_without(WORD(leaf7_b), 5, 0);
    for (int i = 0; i < 4; i++) expect_without(WORD(leaf7_b), avx512[i], AVX2 | VNNI);
    expect_without(WORD(leaf7_c), 11, AVX2 | VNNI);
    expect_without(WORD(leaf7_d), 22, AVX2 | VNNI | AVX512 | BF16);
    expect_without(WORD(leaf7_d), 24, AVX2 | VNNI | AVX512 | BF16);
    expect_without(WORD(leaf7_1_a), 4, AVX2 | AVX512 | BF16 | AMX);
    expect_without(WORD(leaf7_1_a), 5, AVX2 | VNNI | AVX512);
    expect_without(WORD(xcr0), 1, 0); /* the system does not save the registers */
    expect_without(WORD(xcr0), 2, 0);
    for (unsigned bit = 5; bit <= 7; bit++) expect_without(WORD(xcr0), bit, AVX2 | VNNI);
    expect_without(WORD(xcr0), 17, AVX2 | VNNI | AVX512 | BF16);
    expect_without(WORD(xcr0), 18, AVX2 | VNNI | AVX512 | BF16);
}

static void a_level_needs_all_below_it(void **state) {
    (void)state;
    unsigned features;
    kernels k;
    assert_true(kernels_level("avx512", AVX2 | AVX512, &features));
    kernels_select(&k, features);
    assert_string_equal(k.name, "avx512");
    assert_false(kernels_level("avxvnni", AVX2 | AVX512, &features));
    assert_true(k.quantise_brains == NULL);
    assert_false(kernels_level("avx512_bf16", AVX2 | AVX512, &features));
    assert_true(kernels_level("avx512_bf16", AVX2 | AVX512 | BF16, &features));
    kernels_select(&k, features);
    assert_string_equal(k.name, "avx512_bf16");
    assert_false(kernels_level("amx", AVX2 | AVX512, &features));
    assert_false(kernels_level("avx512", AVX512, &features));
    assert_false(kernels_level("sse", ~0u, &features));
    assert_false(kernels_level("", ~0u, &features));
    assert_true(kernels_level("avx2", ~0u, &features)); /* forced down */
    kernels_select(&k, features);
    assert_string_equal(k.name, "avx2");
    assert_true(k.quantise_brains == NULL);
}

static void asking_twice_gives_the_same(void **state) {
    (void)state;
    assert_int_equal(kernels_cpu_features(), kernels_cpu_features());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_machines_get_their_levels),
        cmocka_unit_test(a_missing_yes_takes_its_level_away),
        cmocka_unit_test(a_level_needs_all_below_it),
        cmocka_unit_test(asking_twice_gives_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void) {
    return 0;
}
#endif
