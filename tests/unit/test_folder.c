/* core/folder.c: the sum of a folder is that of its files, their names and their bytes, or when
 * they were changed; of a part of the names when asked. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/folder.h"
#include "tests/support/folder.h"

typedef struct text {
    char of[CHECKSUM_TEXT_CAP];
} text;

static text sum_of(const char *path, const char *part, bool bytes) {
    checksum s;
    text t;
    checksum_begin(&s);
    assert_true(folder_sum(path, part, bytes, &s));
    checksum_text(&s, t.of);
    return t;
}

static void put(const folder *f, const char *name, const char *bytes) {
    char path[PATH_CAP];
    name_in(f, name, path);
    write_file(path, bytes, strlen(bytes));
}

static void files_names_and_bytes_count(void **state) {
    const folder *f = *state;
    const text none = sum_of(f->path, "", true);
    put(f, "a", "one");
    put(f, "b", "");
    const text first = sum_of(f->path, "", true);
    assert_string_not_equal(none.of, first.of);
    put(f, "a", "one"); /* written again: the same bytes */
    assert_string_equal(sum_of(f->path, "", true).of, first.of);
    put(f, "a", "onf");
    assert_string_not_equal(sum_of(f->path, "", true).of, first.of);
    put(f, "a", "one");
    put(f, "c", "");
    assert_string_not_equal(sum_of(f->path, "", true).of, first.of);
    assert_string_equal(sum_of(f->path, "a", true).of, sum_of(f->path, "a", true).of);
    assert_string_not_equal(sum_of(f->path, "a", true).of, sum_of(f->path, "b", true).of);
    assert_string_equal(sum_of(f->path, "none", true).of, none.of);
}

static void a_new_time_counts_without_bytes(void **state) {
    const folder *f = *state;
    char path[PATH_CAP];
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    name_in(f, "lib.so.1", path);
    put(f, "lib.so.1", "one");
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    const text first = sum_of(f->path, ".so", false);
    put(f, "readme", "passed over");
    put(f, "lib.so.1", "two");
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_string_equal(sum_of(f->path, ".so", false).of, first.of);
    times[1].tv_nsec = 1;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_string_not_equal(sum_of(f->path, ".so", false).of, first.of);
}

static void what_is_not_there_has_none(void **state) {
    checksum s;
    char path[PATH_CAP];
    name_in(*state, "none", path);
    checksum_begin(&s);
    assert_false(folder_sum(path, "", true, &s));
    assert_true(folder_remove(AT_FDCWD, path)); /* it is gone */
}

/* Not what a link in it leads to. */
static void it_goes_with_all_that_is_in_it(void **state) {
    const folder *f = *state;
    char inner[PATH_CAP], link[PATH_CAP], kept[PATH_CAP];
    put_below(f->path, "/inner/a", "one");
    put_below(f->path, "/inner/more/b", "two");
    put(f, "kept", "three");
    name_in(f, "inner", inner);
    name_in(f, "inner/more/link", link);
    name_in(f, "kept", kept);
    assert_int_equal(symlink(kept, link), 0);
    assert_true(folder_remove(AT_FDCWD, inner));
    assert_int_equal(access(inner, F_OK), -1);
    assert_int_equal(access(kept, F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(files_names_and_bytes_count),
        IN_FOLDER(a_new_time_counts_without_bytes),
        IN_FOLDER(what_is_not_there_has_none),
        IN_FOLDER(it_goes_with_all_that_is_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
