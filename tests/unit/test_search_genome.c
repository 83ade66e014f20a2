/* search/genome.c against the reference (tests/data/search), and what it says itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"
#include "search/genome.h"

static json *read_golden(const char *name) {
    char path[256];
    json *root = NULL;
    (void)snprintf(path, sizeof path, TEST_DATA "/search/%s", name);
    assert_int_equal(json_read(path, 1 << 20, &root, NULL), RNL_OK);
    return root;
}

static int64_t whole(const json *object, const char *name) {
    int64_t out;
    assert_true(json_int(json_get(object, name), INT64_MIN, INT64_MAX, &out));
    return out;
}

static double number(const json *v) {
    double out;
    assert_true(json_number(v, &out));
    return out;
}

static search_space space_of(const json *o) {
    return (search_space){.d = (int)whole(o, "d"),
                          .heads = (int)whole(o, "heads"),
                          .blocks = (int)whole(o, "blocks"),
                          .params = whole(o, "params"),
                          .tolerance = number(json_get(o, "tolerance")),
                          .vocab = (int)whole(o, "vocab"),
                          .ff_multiple = (int)whole(o, "ff_multiple"),
                          .length = 256,
                          .need_far = whole(o, "need_far") == 1};
}

static void draws_are_those_of_the_reference(void **state) {
    (void)state;
    json *root = read_golden("random.json");
    const json *u64 = json_get(root, "u64"), *units = json_get(root, "unit"),
               *below = json_get(root, "below7");
    random_state r;
    random_seed(&r, (uint64_t)whole(root, "seed"));
    assert_true(json_count(u64) == 8 && json_count(units) == 4 && json_count(below) == 12);
    for (size_t i = 0; i < 8; i++)
        assert_true(random_u64(&r) == strtoull(json_chars(json_at(u64, i), NULL), NULL, 10));
    for (size_t i = 0; i < 4; i++) assert_true(random_unit(&r) == number(json_at(units, i)));
    for (size_t i = 0; i < 12; i++)
        assert_true(search_below(&r, 7) == (int)number(json_at(below, i)));
    json_destroy(&root);
}

static search_genome genome_of(const json *list) {
    search_genome g = {.count = (int)json_count(list)};
    for (int i = 0; i < g.count; i++)
        for (size_t p = 0; p < SEARCH_PLACE_COUNT; p++)
            g.genes[i].at[p] = (int)number(json_at(json_at(list, (size_t)i), p));
    return g;
}

static void repairs_are_those_of_the_reference(void **state) {
    (void)state;
    json *root = read_golden("repair.json");
    const json *rows = json_get(root, "rows");
    const search_space s = space_of(json_get(root, "space"));
    int refused = 0;
    assert_int_equal(json_count(rows), 60);
    for (size_t i = 0; i < 60; i++) {
        const json *row = json_at(rows, i), *repaired = json_get(row, "repaired");
        search_genome g = genome_of(json_get(row, "genome")), clean, again;
        char key[SEARCH_KEY_CAP];
        double factor;
        const bool good = search_repair(&s, &g, &factor);
        assert_true(good == !json_is_null(repaired));
        refused += !good;
        if (!good) continue;
        const search_genome want = genome_of(repaired);
        assert_int_equal(g.count, want.count);
        assert_memory_equal(g.genes, want.genes, (size_t)g.count * sizeof *g.genes);
        assert_true(factor == number(json_get(row, "ff_scale")));
        assert_true(search_params(&s, &g, factor) == whole(row, "params"));
        search_canonical(&g, &clean);
        search_key(&clean, key);
        assert_string_equal(key, json_chars(json_get(row, "key"), NULL));
        /* The key says all that the candidate is. */
        assert_true(search_key_read(key, &again));
        assert_int_equal(again.count, clean.count);
        assert_memory_equal(again.genes, clean.genes, (size_t)clean.count * sizeof *clean.genes);
        assert_true(search_params(&s, &again, factor) == whole(row, "params"));
    }
    assert_in_range(refused, 1, 59);
    json_destroy(&root);
}

static void keys_that_are_none_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",      "1002",  "100200", "10020-",      "-10020", "00000",   "60000", "14020",
        "10120", "10070", "10023",  "10020 10020", "1002x",  "10020--", "23020", "10020-\n"};
    search_genome g;
    char long_key[SEARCH_KEY_CAP + 8];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (search_key_read(bad[i], &g)) fail_msg("'%s' was taken", bad[i]);
    for (int i = 0; i <= SEARCH_BLOCK_CAP; i++) memcpy(long_key + 6 * i, "10020-", 6);
    long_key[6 * SEARCH_BLOCK_CAP - 1] = '\0';
    assert_true(search_key_read(long_key, &g));
    assert_int_equal(g.count, SEARCH_BLOCK_CAP);
    long_key[6 * SEARCH_BLOCK_CAP - 1] = '-';
    long_key[6 * SEARCH_BLOCK_CAP + 5] = '\0';
    assert_false(search_key_read(long_key, &g));
}

/* At the target the reference stack is LFM2-350M's: 8 of 16 heads have keys, widths of 4,608. */
static void the_first_candidate_has_blocks_of_lfm2(void **state) {
    (void)state;
    const search_space s = {.d = 1024,
                            .heads = 16,
                            .blocks = 8,
                            .params = 212000000,
                            .tolerance = 0.03,
                            .vocab = 65536,
                            .ff_multiple = 256,
                            .length = 4096};
    search_genome g;
    double factor;
    char key[SEARCH_KEY_CAP];
    search_seed_genome(&s, 0, &g);
    search_key(&g, key);
    assert_string_equal(key, "10020-10020-21020-10020-10020-21020-10020-10020");
    assert_true(search_repair(&s, &g, &factor));
    assert_int_equal(search_ff_width(&s, 8, factor), 4608);
    /* 6 convolutions of 4 d^2 + 3 d, 2 attentions of 3 d^2 + 128, 24 d^2... as HF counts them. */
    const int64_t d = 1024;
    assert_true(search_params(&s, &g, factor) == 65536 * d + d + 6 * (4 * d * d + 3 * d) +
                                                     2 * (3 * d * d + 128) +
                                                     8 * (2 * d + 3 * d * 4608));
}

static void without_need_nothing_is_put_in(void **state) {
    (void)state;
    search_space s = {.d = 96,
                      .heads = 4,
                      .blocks = 3,
                      .params = 400000,
                      .tolerance = 0.9,
                      .vocab = 512,
                      .ff_multiple = 16,
                      .length = 256};
    search_genome g;
    double factor;
    search_seed_genome(&s, 2, &g);
    assert_true(search_repair(&s, &g, &factor));
    for (int i = 0; i < 3; i++) assert_int_equal(g.genes[i].at[SEARCH_OP], SEARCH_CONVOLUTION);
    s.need_far = true;
    assert_true(search_repair(&s, &g, &factor));
    assert_int_equal(g.genes[1].at[SEARCH_OP], SEARCH_FULL);
    for (int i = 0; i < 3; i++) g.genes[i].at[SEARCH_OP] = SEARCH_SKIP;
    assert_false(search_repair(&s, &g, &factor));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_are_those_of_the_reference),
        cmocka_unit_test(repairs_are_those_of_the_reference),
        cmocka_unit_test(keys_that_are_none_are_refused),
        cmocka_unit_test(the_first_candidate_has_blocks_of_lfm2),
        cmocka_unit_test(without_need_nothing_is_put_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
