/* What a provider has compiled is kept whole or not at all: it is found for its key and no other,
 * and neither damage nor what a killed run left is taken for it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/folder.h"
#include "devices/onnx_kept.h"
#include "tests/support/folder.h"

static void put(const char *at, const char *name, const char *text) {
    char path[PATH_CAP + 64];
    assert_true((size_t)snprintf(path, sizeof path, "%s/%s", at, name) < sizeof path);
    write_file(path, text, strlen(text));
}

/* As a provider makes it: a graph, and what that names. */
static void make(const char *kept, const char *key) {
    char *fresh = onnx_kept_begin(kept);
    assert_non_null(fresh);
    put(fresh, "graph.onnx", "names graph_qnn.bin");
    put(fresh, "graph_qnn.bin", "compiled");
    onnx_kept_commit(&fresh, kept, key);
    assert_null(fresh);
}

static void leave(const folder *f, const char *kept) {
    (void)folder_remove(AT_FDCWD, kept);
    assert_true(entry_count(f) <= 1); /* nothing but what says that it was made */
}

static void what_was_made_is_found_by_its_key(void **state) {
    const folder *f = *state;
    char kept[PATH_CAP];
    name_in(f, "compiled-1", kept);
    assert_false(onnx_kept_whole(kept, "one"));
    make(kept, "one");
    assert_true(onnx_kept_whole(kept, "one"));
    assert_false(onnx_kept_whole(kept, "two"));
    char *graph = onnx_kept_graph(kept);
    assert_int_equal(access(graph, R_OK), 0);
    free(graph);
    make(kept, "two"); /* in its place */
    assert_true(onnx_kept_whole(kept, "two"));
    assert_false(onnx_kept_whole(kept, "one"));
    assert_int_equal(entry_count(f), 2);
    leave(f, kept);
}

static void damage_is_seen(void **state) {
    static const char *const damages[][2] = {{"graph.onnx", "names graph_qnn.bim"},
                                             {"graph_qnn.bin", "compile"},
                                             {"graph_qnn.bin", ""},
                                             {"more", ""}};
    const folder *f = *state;
    char kept[PATH_CAP], path[PATH_CAP + 32];
    name_in(f, "compiled-1", kept);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        make(kept, "one");
        put(kept, damages[i][0], damages[i][1]);
        assert_false(onnx_kept_whole(kept, "one"));
    }
    make(kept, "one");
    (void)snprintf(path, sizeof path, "%s/graph_qnn.bin", kept);
    assert_int_equal(unlink(path), 0);
    assert_false(onnx_kept_whole(kept, "one"));
    make(kept, "one"); /* what says so is damaged */
    put(f->path, "compiled-1.made", "0123");
    assert_false(onnx_kept_whole(kept, "one"));
    put(f->path, "compiled-1.made", "");
    assert_false(onnx_kept_whole(kept, "one"));
    make(kept, "one");
    assert_true(onnx_kept_whole(kept, "one"));
    leave(f, kept);
}

static void who_makes_nothing_changes_nothing(void **state) {
    const folder *f = *state;
    char kept[PATH_CAP];
    name_in(f, "compiled-1", kept);
    make(kept, "one");
    char *fresh = onnx_kept_begin(kept);
    put(fresh, "other", "no graph");
    onnx_kept_commit(&fresh, kept, "two");
    fresh = onnx_kept_begin(kept);
    put(fresh, "graph.onnx", "half of");
    onnx_kept_abort(&fresh);
    assert_null(fresh);
    onnx_kept_abort(&fresh);
    assert_true(onnx_kept_whole(kept, "one"));
    assert_int_equal(entry_count(f), 2);
    assert_null(onnx_kept_begin("/none/compiled-1"));
    leave(f, kept);
}

/* A run that was killed leaves its folder; a later one removes it when it is old enough to be no
 * one's, and never takes it. */
static void what_was_abandoned_goes(void **state) {
    const folder *f = *state;
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    char kept[PATH_CAP];
    name_in(f, "compiled-1", kept);
    char *killed = onnx_kept_begin(kept);
    put(killed, "graph.onnx", "half of");
    assert_false(onnx_kept_whole(kept, "one"));
    make(kept, "one");
    assert_int_equal(access(killed, F_OK), 0); /* it may be another's who is at work */
    assert_int_equal(utimensat(AT_FDCWD, killed, old, 0), 0);
    make(kept, "one");
    assert_int_equal(access(killed, F_OK), -1);
    assert_true(onnx_kept_whole(kept, "one"));
    free(killed);
    leave(f, kept);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_was_made_is_found_by_its_key),
        IN_FOLDER(damage_is_seen),
        IN_FOLDER(who_makes_nothing_changes_nothing),
        IN_FOLDER(what_was_abandoned_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
