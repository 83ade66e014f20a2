/* core/staged_file.c: a name stands for a whole file, the old or the new one, at every moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/staged_file.h"
#include "tests/support/folder.h"

static void assert_holds(const char *path, const char *text) {
    size_t size;
    unsigned char *bytes = read_whole(path, &size);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size);
    free(bytes);
}

static void the_old_file_stays_until_commit(void **state) {
    char path[PATH_CAP];
    rnl_error error = {0};
    staged_file *s;
    name_in(*state, "out", path);
    write_file(path, "old", 3);
    assert_int_equal(staged_open(path, &s, &error), RNL_OK);
    assert_string_equal(staged_path(s), path);
    assert_true(fputs("new", staged_stream(s)) >= 0);
    assert_int_equal(staged_sync(s, &error), RNL_OK);
    assert_holds(staged_temporary(s), "new");
    assert_holds(path, "old");
    assert_true(fputs("er", staged_stream(s)) >= 0);
    assert_int_equal(staged_commit(&s, &error), RNL_OK);
    assert_null(s);
    assert_holds(path, "newer");
    assert_int_equal(entry_count(*state), 1);
    /* By the descriptor, too. */
    assert_int_equal(staged_open(path, &s, &error), RNL_OK);
    assert_int_equal(write(staged_descriptor(s), "x", 1), 1);
    assert_int_equal(staged_commit(&s, &error), RNL_OK);
    assert_holds(path, "x");
}

static void giving_up_leaves_the_old_file(void **state) {
    char path[PATH_CAP];
    staged_file *s;
    name_in(*state, "out", path);
    write_file(path, "old", 3);
    assert_int_equal(staged_open(path, &s, NULL), RNL_OK);
    assert_true(fputs("new", staged_stream(s)) >= 0);
    staged_abort(&s);
    assert_null(s);
    staged_abort(&s);
    assert_holds(path, "old");
    assert_int_equal(entry_count(*state), 1);
}

static void a_second_writer_of_one_name_is_refused(void **state) {
    char path[PATH_CAP];
    rnl_error error = {0};
    staged_file *s, *other;
    name_in(*state, "out", path);
    assert_int_equal(staged_open(path, &s, NULL), RNL_OK);
    assert_int_equal(staged_open(path, &other, &error), RNL_ERR_IO);
    assert_null(other);
    assert_non_null(strstr(error.text, staged_temporary(s)));
    assert_int_equal(entry_count(*state), 1); /* not removed with the refused one */
    assert_int_equal(staged_commit(&s, NULL), RNL_OK);
}

static void what_cannot_be_written_is_told(void **state) {
    char path[PATH_CAP];
    rnl_error error = {0};
    staged_file *s;
    name_in(*state, "no/out", path);
    assert_int_equal(staged_open(path, &s, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, path));
    /* A target that cannot be replaced: nothing of ours is left. */
    assert_int_equal(staged_open(((folder *)*state)->path, &s, &error), RNL_OK);
    char temporary[PATH_CAP];
    (void)snprintf(temporary, sizeof temporary, "%s", staged_temporary(s));
    assert_int_equal(staged_commit(&s, &error), RNL_ERR_IO);
    assert_null(s);
    assert_int_equal(access(temporary, F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_old_file_stays_until_commit),
        IN_FOLDER(giving_up_leaves_the_old_file),
        IN_FOLDER(a_second_writer_of_one_name_is_refused),
        IN_FOLDER(what_cannot_be_written_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
