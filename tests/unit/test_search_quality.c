/* Pages that proxies learn from, and what they learn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "search/quality.h"

static char folder[] = "/tmp/runnel-search-XXXXXX";
static unsigned char corpus_bytes[CORPUS_SIZE_MIN + 777];

/* ---- Pages ---- */

/* The value that stands behind the first place of a key in its row. */
static int32_t first_value(const int32_t *row, int32_t key) {
    int at = 0;
    while (row[at] != key) at += 2;
    return row[at + 1];
}

static void rows_of_recall_can_be_answered(void **state) {
    (void)state;
    enum { ROWS = 50, LENGTH = 64 };
    search_page p;
    random_state r;
    random_seed(&r, 5);
    assert_true(search_page_make(&p, ROWS, LENGTH));
    int fours = 0, label = 0;
    search_page_recall(&p, &r, 0);
    for (int row = 0; row < ROWS; row++) {
        const int32_t *ids = p.ids + row * LENGTH;
        int pairs = 0;
        while (pairs < 8 && (pairs == 0 || pairs * 2 != p.text_at[label] - row * LENGTH)) pairs++;
        fours += pairs == 4;
        assert_true(pairs == 4 || pairs == 8);
        for (int i = 0; i < pairs; i++) {
            assert_in_range(ids[2 * i], 256, 287);
            assert_in_range(ids[2 * i + 1], 384, 415);
            for (int k = 0; k < i; k++) assert_true(ids[2 * i] != ids[2 * k]);
        }
        for (int at = 2 * pairs; at < LENGTH; at += 2, label++) {
            assert_int_equal(p.text_at[label], row * LENGTH + at);
            assert_int_equal(p.text_ids[label], ids[at + 1]);
            assert_int_equal(p.text_ids[label], first_value(ids, ids[at]));
        }
    }
    assert_int_equal(label, p.b.text_count);
    assert_true(p.b.text_weight == 1.0 / label);
    assert_in_range(fours, 10, 40);
    search_page_free(&p);
}

static void what_is_held_out_is_never_learnt(void **state) {
    (void)state;
    enum { ROWS = 64, LENGTH = 256 };
    const search_corpus corpus = {corpus_bytes, sizeof corpus_bytes};
    search_page p;
    random_state r;
    int seen[20] = {0};
    random_seed(&r, 6);
    assert_true(search_page_make(&p, ROWS, LENGTH));
    /* Every byte of a block is the block's number. */
    for (size_t i = 0; i < sizeof corpus_bytes; i++)
        corpus_bytes[i] = (unsigned char)(i / CORPUS_BLOCK);
    for (int page = 0; page < 20; page++) {
        search_page_text(&p, &r, &corpus);
        assert_int_equal(p.b.text_count, ROWS * (LENGTH - 1));
        for (int i = 0; i < ROWS * LENGTH; i++) {
            assert_in_range(p.ids[i], 256, 256 + 19);
            assert_true(p.ids[i] == p.ids[i / LENGTH * LENGTH]);
            seen[p.ids[i] - 256] = 1;
        }
    }
    for (int block = 0; block < 20; block++) assert_int_equal(seen[block], block % 10 != 9);
    int held[20] = {0};
    search_page_held(&p, &corpus, 0, ROWS);
    for (int i = 0; i < ROWS; i++) held[p.ids[i * LENGTH] - 256]++;
    assert_true(held[9] == ROWS / 2 && held[19] == ROWS / 2);
    search_page_free(&p);
}

/* ---- Lessons ---- */

static search_candidate candidate_of(const char *key) {
    search_candidate c = {.factor = 1};
    assert_true(search_key_read(key, &c.genome));
    (void)snprintf(c.key, sizeof c.key, "%s", key);
    return c;
}

static search_school small_school(void) {
    search_school s = search_school_default();
    s.folder = folder;
    s.recall = (search_lesson){.d = 32, .length = 40, .rows = 4, .steps = 26, .rate = 1e-2};
    s.text = (search_lesson){.d = 32, .length = 64, .rows = 4, .steps = 26, .rate = 1e-2};
    s.hopeless_step = 10;
    s.hopeless_below = 0;
    return s;
}

static search_marks recall_of(const search_school *s, const char *key, uint64_t seed) {
    const search_candidate c = candidate_of(key);
    search_marks m;
    rnl_error error = {0};
    if (search_teach_recall(s, &c, seed, &m, &error) != RNL_OK) fail_msg("%s", error.text);
    return m;
}

static void assert_same(const search_marks *a, const search_marks *b) {
    assert_true(a->recall == b->recall && a->bits == b->bits && a->steps == b->steps);
    assert_int_equal(a->curve_count, b->curve_count);
    assert_memory_equal(a->curve, b->curve, (size_t)a->curve_count * sizeof *a->curve);
}

static void recall_is_learnt_and_follows_from_its_seed(void **state) {
    (void)state;
    static const char key[] = "10020-21020";
    search_school s = small_school();
    const search_marks one = recall_of(&s, key, 3), other = recall_of(&s, key, 4);
    s.thread_count = 2;
    const search_marks two = recall_of(&s, key, 3);
    assert_same(&one, &two);
    assert_true(one.curve[0] != other.curve[0]);
    assert_int_equal(one.steps, 26);
    assert_int_equal(one.curve_count, 2);
    /* At first all of 512 ids are alike; soon it is known that values follow keys. */
    assert_true(one.curve[0] > 5.5 && one.curve[1] < one.curve[0] - 1);
    for (int i = 0; i < SEARCH_RECALLS; i++)
        assert_true(one.recall_at[i] >= 0 && one.recall_at[i] <= 1);
    assert_false(one.diverged);
    assert_true(one.recall == (one.recall_at[1] + one.recall_at[2]) / 2);
}

static void what_is_hopeless_ends(void **state) {
    (void)state;
    search_school s = small_school();
    s.hopeless_below = 1.1;
    assert_int_equal(recall_of(&s, "10020", 3).steps, 10);
}

static void text_is_learnt(void **state) {
    (void)state;
    static const char line[] = "the quick brown fox jumps over the lazy dog; ";
    const search_candidate c = candidate_of("10020-21020");
    const search_corpus corpus = {corpus_bytes, sizeof corpus_bytes};
    search_school s = small_school();
    search_marks m, again;
    rnl_error error = {0};
    for (size_t i = 0; i < sizeof corpus_bytes; i++)
        corpus_bytes[i] = (unsigned char)line[i % (sizeof line - 1)];
    if (search_teach_text(&s, &corpus, &c, 1, &m, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_true(m.bits > 0 && m.bits < 6);
    assert_true(m.curve[0] > 5.5);
    assert_int_equal(search_teach_text(&s, &corpus, &c, 1, &again, &error), RNL_OK);
    assert_same(&m, &again);
}

static bool three_more(void *context) {
    int *left = context;
    return (*left)-- > 0;
}

static void it_ends_when_it_is_to(void **state) {
    (void)state;
    const search_candidate c = candidate_of("10020");
    search_school s = small_school();
    search_marks m;
    rnl_error error = {0};
    int left = 3;
    s.goes_on = three_more;
    s.context = &left;
    assert_int_equal(search_teach_recall(&s, &c, 1, &m, &error), RNL_ERR_STATE);
    assert_int_equal(m.steps, 3);
    s.folder = "/nowhere/at/all";
    assert_int_equal(search_teach_recall(&s, &c, 1, &m, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "/nowhere/at/all"));
}

/* A rate at which nothing can be learnt. */
static void a_stack_that_diverges_has_the_worst_marks(void **state) {
    (void)state;
    const search_candidate c = candidate_of("10020-21020");
    const search_corpus corpus = {corpus_bytes, sizeof corpus_bytes};
    search_school s = small_school();
    search_marks m;
    s.text.rate = 1e30;
    assert_int_equal(search_teach_text(&s, &corpus, &c, 1, &m, NULL), RNL_OK);
    assert_true(m.diverged && m.bits == 9);
    s.recall.rate = 1e30;
    m = recall_of(&s, "10020-21020", 1);
    assert_true(m.diverged && m.recall == 0);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

/* Empty again: the files of proxies are gone. */
static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_recall_can_be_answered),
        cmocka_unit_test(what_is_held_out_is_never_learnt),
        cmocka_unit_test(recall_is_learnt_and_follows_from_its_seed),
        cmocka_unit_test(what_is_hopeless_ends),
        cmocka_unit_test(text_is_learnt),
        cmocka_unit_test(it_ends_when_it_is_to),
        cmocka_unit_test(a_stack_that_diverges_has_the_worst_marks),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
