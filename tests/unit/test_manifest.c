/* The manifest of a batch and the shares of a cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/manifest.h"

static const char settings[] = "minnow srt";
static const manifest_input a = {"a.wav", 100, 5, 0, false}, b = {"b \"2\".wav", 200, -6, 2, false};

static void make_folder(char *folder) {
    strcpy(folder, "/tmp/runnel-manifest-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static void remove_folder(const char *folder) {
    char command[256];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void what_is_added_is_done_in_the_next_run(void **state) {
    (void)state;
    char folder[64];
    make_folder(folder);
    manifest *m;
    assert_int_equal(manifest_open(folder, settings, 0, 1, false, &m), 0);
    assert_false(manifest_is_done(m, &a));
    assert_true(manifest_add(m, &a, 1.5, NULL));
    assert_true(manifest_is_done(m, &a));
    manifest_close(&m);
    assert_null(m);
    assert_int_equal(manifest_open(folder, settings, 0, 1, true, &m), 0);
    assert_true(manifest_is_done(m, &a));
    assert_false(manifest_is_done(m, &b));
    assert_true(manifest_add(m, &b, 2, NULL));
    manifest_close(&m);
    assert_int_equal(manifest_open(folder, settings, 0, 1, true, &m), 0);
    assert_true(manifest_is_done(m, &a) && manifest_is_done(m, &b));
    assert_int_equal(manifest_channels(m, &a), 0);
    assert_int_equal(manifest_channels(m, &b), 2);
    manifest_close(&m);
    /* Without resume it begins anew. */
    assert_int_equal(manifest_open(folder, settings, 0, 1, false, &m), 0);
    assert_false(manifest_is_done(m, &a));
    manifest_close(&m);
    remove_folder(folder);
}

/* A damaged one is done, and marked; when it is done again and was whole, the mark is gone. */
static void damaged_recordings_are_marked(void **state) {
    (void)state;
    char folder[64];
    manifest_input damaged = a;
    manifest *m;
    damaged.damaged = true;
    make_folder(folder);
    assert_int_equal(manifest_open(folder, settings, 0, 1, false, &m), 0);
    assert_false(manifest_is_damaged(m, &a));
    assert_true(manifest_add(m, &damaged, 1.5, NULL));
    assert_true(manifest_add(m, &b, 1.5, NULL));
    for (int i = 0; i < 2; i++) { /* in this run, and in the next */
        assert_true(manifest_is_done(m, &a) && manifest_is_damaged(m, &a));
        assert_true(manifest_is_done(m, &b) && !manifest_is_damaged(m, &b));
        manifest_close(&m);
        assert_int_equal(manifest_open(folder, settings, 0, 1, true, &m), 0);
    }
    assert_true(manifest_add(m, &a, 1.5, NULL));
    for (int i = 0; i < 2; i++) {
        assert_true(manifest_is_done(m, &a) && !manifest_is_damaged(m, &a));
        manifest_close(&m);
        assert_int_equal(manifest_open(folder, settings, 0, 1, true, &m), 0);
    }
    manifest_close(&m);
    remove_folder(folder);
}

static void changed_files_and_settings_are_not_done(void **state) {
    (void)state;
    size_t damaged;
    const char text[] =
        "{\"input\": \"a.wav\", \"size\": 100, \"changed\": 5, \"settings\": \"minnow srt\"}\n";
    manifest *m = manifest_from_text(text, sizeof text - 1, settings, &damaged);
    assert_int_equal(damaged, 0);
    assert_true(manifest_is_done(m, &a));
    const manifest_input others[] = {
        {"a.wav", 101, 5, 0, false}, {"a.wav", 100, 6, 0, false}, {"A.wav", 100, 5, 0, false}};
    for (int i = 0; i < 3; i++) assert_false(manifest_is_done(m, &others[i]));
    manifest_close(&m);
    m = manifest_from_text(text, sizeof text - 1, "minnow vtt", &damaged);
    assert_false(manifest_is_done(m, &a));
    manifest_close(&m);
}

/* Names are bytes: what is no UTF-8 is told apart, and found again. */
static void names_that_are_no_text_are_compared_as_bytes(void **state) {
    (void)state;
    char folder[64];
    make_folder(folder);
    static const manifest_input names[] = {{"\xff.wav", 1, 1, 0, false},
                                           {"\xfe.wav", 1, 1, 0, false},
                                           {"caf\xe9/\xc3", 1, 1, 0, false},
                                           {"\xef\xbf\xbd.wav", 1, 1, 0, false}};
    for (int done = 0; done < 4; done++) {
        manifest *m;
        assert_int_equal(manifest_open(folder, settings, 0, 1, done > 0, &m), 0);
        for (int i = 0; i < 4; i++) assert_int_equal(manifest_is_done(m, &names[i]), i < done);
        assert_true(manifest_add(m, &names[done], 1, NULL));
        manifest_close(&m);
    }
    remove_folder(folder);
}

static void damaged_lines_are_passed_over(void **state) {
    (void)state;
    const char *const good =
        "{\"input\": \"a.wav\", \"size\": 100, \"changed\": 5, \"settings\": \"minnow srt\"}";
    const struct {
        const char *before, *after;
        size_t damaged;
        bool done;
    } rows[] = {
        {"", "\n", 0, true},
        {"", "", 1, false}, /* cut off just before its end */
        {"{\"input\": \"x\", \"si\n", "\n", 1, true},
        {"\n\n[1, 2]\n7\n", "\n", 2, true},
        {"{\"input\": 3, \"size\": 1, \"changed\": 1, \"settings\": \"\"}\n", "\n", 1, true},
        {"{\"input\": \"q\", \"size\": -1, \"changed\": 1, \"settings\": \"\"}\n", "\n", 1, true},
        {"", "\n{\"input\": \"b", 1, true},
        {"{\"input_hex\": \"6x\", \"size\": 1, \"changed\": 1, \"settings\": \"\"}\n", "\n", 1,
         true},
        {"{\"input\": \"q\", \"size\": 1, \"changed\": 1, \"settings\": \"\", \"channels\": -1}\n",
         "\n", 1, true},
        {"\xFF\xFE\n", "\n", 1, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        size_t damaged;
        (void)snprintf(text, sizeof text, "%s%s%s", rows[i].before, good, rows[i].after);
        manifest *m = manifest_from_text(text, strlen(text), settings, &damaged);
        if (damaged != rows[i].damaged || manifest_is_done(m, &a) != rows[i].done)
            fail_msg("row %zu: %zu damaged", i, damaged);
        manifest_close(&m);
    }
}

static void a_cut_line_does_not_swallow_the_next(void **state) {
    (void)state;
    char folder[64], path[128];
    make_folder(folder);
    (void)snprintf(path, sizeof path, "%s/runnel-manifest.jsonl", folder);
    FILE *f = fopen(path, "wb");
    assert_true(fputs("{\"input\": \"x", f) >= 0);
    assert_int_equal(fclose(f), 0);
    manifest *m;
    assert_int_equal(manifest_open(folder, settings, 0, 1, true, &m), 0);
    assert_true(manifest_add(m, &a, 1, NULL));
    manifest_close(&m);
    assert_int_equal(manifest_open(folder, settings, 0, 1, true, &m), 0);
    assert_true(manifest_is_done(m, &a));
    manifest_close(&m);
    remove_folder(folder);
}

static void shards_keep_their_own_and_read_all(void **state) {
    (void)state;
    char folder[64];
    make_folder(folder);
    manifest *one, *two;
    assert_int_equal(manifest_open(folder, settings, 0, 2, false, &one), 0);
    assert_int_equal(manifest_open(folder, settings, 1, 2, false, &two), 0);
    assert_true(manifest_add(one, &a, 1, NULL));
    assert_true(manifest_add(two, &b, 1, NULL));
    manifest_close(&one);
    manifest_close(&two);
    /* On another number of machines, too. */
    assert_int_equal(manifest_open(folder, settings, 2, 3, true, &one), 0);
    assert_true(manifest_is_done(one, &a) && manifest_is_done(one, &b));
    manifest_close(&one);
    remove_folder(folder);
}

static void thousands_of_rows(void **state) {
    (void)state;
    char *text = NULL;
    size_t size = 0, damaged;
    FILE *f = open_memstream(&text, &size);
    for (int i = 0; i < 5000; i++)
        (void)fprintf(
            f, "{\"input\": \"%d.wav\", \"size\": %d, \"changed\": 0, \"settings\": \"\"}\n", i, i);
    assert_int_equal(fclose(f), 0);
    manifest *m = manifest_from_text(text, size, "", &damaged);
    char name[32];
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(name, sizeof name, "%d.wav", i);
        assert_int_equal(manifest_is_done(m, &(manifest_input){name, i, 0, 0, false}), i < 5000);
    }
    manifest_close(&m);
    free(text);
}

static void shard_syntax(void **state) {
    (void)state;
    const struct {
        const char *text;
        bool valid;
        int shard, count;
    } rows[] = {
        {"0/1", true, 0, 1},       {"3/16", true, 3, 16}, {"999999/1000000", true, 999999, 1000000},
        {"1/1", false, 0, 0},      {"-1/2", false, 0, 0}, {"0/0", false, 0, 0},
        {"1", false, 0, 0},        {"1/", false, 0, 0},   {"/2", false, 0, 0},
        {"0/2x", false, 0, 0},     {" 0/2", false, 0, 0}, {"0/99999999", false, 0, 0},
        {"0/1000001", false, 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int shard = -1, count = -1;
        assert_int_equal(shard_parse(rows[i].text, &shard, &count), rows[i].valid);
        if (!rows[i].valid) continue;
        assert_int_equal(shard, rows[i].shard);
        assert_int_equal(count, rows[i].count);
    }
}

/* Fixed values: a share must stay the same from version to version; and shares are even. */
static void shares_are_stable_and_even(void **state) {
    (void)state;
    assert_int_equal(shard_of("talk.wav", 1), 0);
    const int now[] = {shard_of("talk.wav", 16), shard_of("calls/2024/a.flac", 16),
                       shard_of("", 16)};
    const int then[] = {9, 5, 4};
    for (int i = 0; i < 3; i++) assert_int_equal(now[i], then[i]);
    int counts[7] = {0};
    for (int i = 0; i < 7000; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "corpus/speaker%d/%04d.wav", i % 40, i);
        counts[shard_of(path, 7)]++;
    }
    for (int i = 0; i < 7; i++) assert_in_range(counts[i], 850, 1150);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_recordings_are_marked),
        cmocka_unit_test(what_is_added_is_done_in_the_next_run),
        cmocka_unit_test(changed_files_and_settings_are_not_done),
        cmocka_unit_test(names_that_are_no_text_are_compared_as_bytes),
        cmocka_unit_test(damaged_lines_are_passed_over),
        cmocka_unit_test(a_cut_line_does_not_swallow_the_next),
        cmocka_unit_test(shards_keep_their_own_and_read_all),
        cmocka_unit_test(thousands_of_rows),
        cmocka_unit_test(shard_syntax),
        cmocka_unit_test(shares_are_stable_and_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
