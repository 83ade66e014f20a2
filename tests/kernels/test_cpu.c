/* Which levels follow from what CPUID and XCR0 say: words of known machines, and each yes that is
 * missing takes away its level and what stands on it. And which caches, and what follows from
 * those. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/levels.h"
#include "tests/support/folder.h"

enum { KIB = 1024 };

static void sizes_of_caches_say_where_to_fetch(void **state) {
    (void)state;
    const struct {
        size_t l1, l2; /* KiB */
        kernels_fetch want;
    } rows[] = {
        {48, 1024, KERNELS_FETCH_L1}, /* Zen 5 */
        {32, 1024, KERNELS_FETCH_L2}, /* Zen 4 */
        {48, 2048, KERNELS_FETCH_L2}, /* Emerald Rapids */
        {64, 512, KERNELS_FETCH_L1},  {32, 256, KERNELS_FETCH_L2}, {0, 0, KERNELS_FETCH_L2},
        {48, 0, KERNELS_FETCH_L2},    {0, 1024, KERNELS_FETCH_L2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const kernels_caches caches = {rows[i].l1 * KIB, rows[i].l2 * KIB};
        assert_int_equal(kernels_fetch_for(caches), rows[i].want);
    }
}

static const char *const entries[] = {"level", "type", "size"};

static void put(const char *at, int index, const char *name, const char *text) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/index%d", at, index);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof path, "%s/index%d/%s", at, index, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static void caches_are_read_as_linux_tells_them(void **state) {
    const char *at = ((const struct folder *)*state)->path;
    kernels_caches c = kernels_caches_read(at);
    assert_true(c.l1 == 0 && c.l2 == 0); /* it tells nothing */
    const char *const caches[][3] = {{"1\n", "Data\n", "64K\n"},
                                     {"1\n", "Instruction\n", "128K\n"},
                                     {"2\n", "Unified\n", "1024K\n"},
                                     {"3\n", "Unified\n", "32768K\n"}};
    for (int i = 0; i < 4; i++)
        for (int e = 0; e < 3; e++) put(at, i, entries[e], caches[i][e]);
    c = kernels_caches_read(at);
    assert_int_equal(c.l1, 64 * KIB);
    assert_int_equal(c.l2, 1024 * KIB);
    put(at, 0, "size", "");
    put(at, 2, "size", "many");
    c = kernels_caches_read(at);
    assert_true(c.l1 == 0 && c.l2 == 0);
    for (int i = 0; i < 4; i++) {
        char path[256];
        for (int e = 0; e < 3; e++) {
            (void)snprintf(path, sizeof path, "%s/index%d/%s", at, i, entries[e]);
            assert_int_equal(unlink(path), 0);
        }
        (void)snprintf(path, sizeof path, "%s/index%d", at, i);
        assert_int_equal(rmdir(path), 0);
    }
}

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
    assert_true(k.quantise_bf16 == NULL);
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
    assert_true(k.quantise_bf16 == NULL);
}

/* One sub-leaf: kind 1 data, 2 instructions, 3 both. */
static bool take(kernels_caches *c, unsigned kind, unsigned level, unsigned ways, unsigned sets) {
    return kernels_caches_decode(c, kind | level << 5 | 1u << 8, (ways - 1) << 22 | 63, sets - 1);
}

static void known_machines_get_their_caches(void **state) {
    (void)state;
    kernels_caches c = {0};
    assert_true(take(&c, 1, 1, 12, 64) && take(&c, 2, 1, 8, 64)); /* Zen 5 */
    assert_true(take(&c, 3, 2, 16, 1024) && take(&c, 3, 3, 16, 32768));
    assert_false(take(&c, 0, 1, 1, 1)); /* the end */
    assert_int_equal(c.l1, 48 * KIB);
    assert_int_equal(c.l2, 1024 * KIB);
    assert_true(take(&c, 1, 1, 8, 64) && take(&c, 3, 2, 8, 2048)); /* Zen 4 */
    assert_int_equal(c.l1, 32 * KIB);
    assert_int_equal(c.l2, 1024 * KIB);
    assert_true(kernels_caches_decode(&c, 0x121, 0x02c0003f, 0x3f)); /* Emerald Rapids */
    assert_true(kernels_caches_decode(&c, 0x143, 0x03c0003f, 0x7ff));
    assert_int_equal(c.l1, 48 * KIB);
    assert_int_equal(c.l2, 2048 * KIB);
}

static void asking_twice_gives_the_same(void **state) {
    (void)state;
    assert_int_equal(kernels_cpu_features(), kernels_cpu_features());
    const kernels_caches a = kernels_cpu_caches(), b = kernels_cpu_caches();
    assert_true(a.l1 == b.l1 && a.l2 == b.l2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_machines_get_their_levels),
        cmocka_unit_test(a_missing_yes_takes_its_level_away),
        cmocka_unit_test(a_level_needs_all_below_it),
        cmocka_unit_test(known_machines_get_their_caches),
        cmocka_unit_test(asking_twice_gives_the_same),
        cmocka_unit_test(sizes_of_caches_say_where_to_fetch),
        IN_FOLDER(caches_are_read_as_linux_tells_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_of_caches_say_where_to_fetch),
        IN_FOLDER(caches_are_read_as_linux_tells_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
