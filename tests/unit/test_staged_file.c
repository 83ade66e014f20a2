/* core/staged_file.c: a name stands for a whole file, the old or the new one, at every moment. */
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

#include "core/staged_file.h"
#include "core/utf8.h"
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

/* As in a container, where each run has the process id of the one before. */
static void what_a_killed_run_left_is_in_nobodys_way(void **state) {
    char path[PATH_CAP], left[2][PATH_CAP];
    rnl_error error = {0};
    staged_file *s, *other;
    name_in(*state, "out", path);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(staged_open(path, &s, &error), RNL_OK);
        (void)snprintf(left[i], sizeof left[i], "%s", staged_temporary(s));
        staged_abort(&s);
        write_file(left[i], "half", 4);
        assert_int_equal(staged_open(path, &s, &error), RNL_OK);
        assert_string_not_equal(staged_temporary(s), left[i]);
        /* Who writes now is still told from what is left. */
        assert_int_equal(staged_open(path, &other, &error), RNL_ERR_IO);
        assert_non_null(strstr(error.text, staged_temporary(s)));
        assert_int_equal(write(staged_descriptor(s), "new", 3), 3);
        assert_int_equal(staged_commit(&s, &error), RNL_OK);
        assert_holds(path, "new");
        assert_holds(left[i], "half");
    }
    assert_string_not_equal(left[0], left[1]);
    assert_int_equal(entry_count(*state), 3);
    assert_int_equal(unlink(left[0]) + unlink(left[1]), 0);
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

static void write_new(const char *path) {
    staged_file *s;
    rnl_error error = {0};
    if (staged_open(path, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_string_equal(staged_path(s), path);
    assert_int_equal(write(staged_descriptor(s), "new", 3), 3);
    assert_int_equal(staged_commit(&s, &error), RNL_OK);
}

static bool is_link(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

static void a_link_is_written_through(void **state) {
    char file[PATH_CAP], other[PATH_CAP], first[PATH_CAP], second[PATH_CAP], folder_path[PATH_CAP];
    name_in(*state, "sub", folder_path);
    name_in(*state, "sub/file", file);
    name_in(*state, "sub/other", other);
    name_in(*state, "first", first);
    name_in(*state, "sub/second", second);
    assert_int_equal(mkdir(folder_path, 0777), 0);
    write_file(file, "old", 3);
    /* A chain: from the folder of each link, and absolute. */
    assert_int_equal(symlink("sub/second", first), 0);
    assert_int_equal(symlink(file, second), 0);
    write_new(first);
    assert_holds(file, "new");
    assert_true(is_link(first) && is_link(second) && !is_link(file));
    /* To a file that is not there yet. */
    assert_int_equal(unlink(second), 0);
    assert_int_equal(symlink("other", second), 0);
    write_new(first);
    assert_holds(other, "new");
    assert_true(is_link(first) && is_link(second));
    /* The temporary file lies beside the target, and goes with an abort. */
    staged_file *s;
    assert_int_equal(staged_open(first, &s, NULL), RNL_OK);
    assert_int_equal(strncmp(staged_temporary(s), other, strlen(other)), 0);
    staged_abort(&s);
    assert_int_equal(unlink(file) + unlink(other) + unlink(second), 0);
    assert_int_equal(rmdir(folder_path), 0);
    /* In a circle. */
    rnl_error error = {0};
    assert_int_equal(unlink(first), 0);
    assert_int_equal(symlink("first", first), 0);
    assert_int_equal(staged_open(first, &s, &error), RNL_ERR_IO);
    assert_null(s);
    assert_non_null(strstr(error.text, first));
    assert_int_equal(unlink(first), 0);
}

static void owner_and_mode_stay(void **state) {
    char path[PATH_CAP];
    struct stat st;
    static const mode_t modes[] = {0600, 0640, 0666, 0755, 0444};
    name_in(*state, "out", path);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        write_file(path, "old", 3);
        assert_int_equal(chmod(path, modes[i]), 0);
        const bool root = geteuid() == 0;
        if (root) assert_int_equal(chown(path, 12345, 54321), 0);
        write_new(path);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, modes[i]);
        if (root) assert_int_equal(st.st_uid, 12345);
        if (root) assert_int_equal(st.st_gid, 54321);
        assert_int_equal(unlink(path), 0);
    }
    const mode_t mask = umask(027);
    write_new(path);
    (void)umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

/* Names as long as the system allows them, which leave no room for more. */
static void long_names_have_temporary_names(void **state) {
    char path[2][4096];
    staged_file *s[2];
    const char *const ends[] = {"a.wav", "b.wav"};
    for (int i = 0; i < 2; i++) {
        const int used = sprintf(path[i], "%s/", ((folder *)*state)->path);
        memset(path[i] + used, 'x', 250);
        (void)strcpy(path[i] + used + 250, ends[i]);
    }
    for (int i = 0; i < 2; i++) assert_int_equal(staged_open(path[i], &s[i], NULL), RNL_OK);
    assert_non_null(strstr(staged_temporary(s[0]), ".tmp-"));
    for (int i = 0; i < 2; i++) assert_int_equal(staged_commit(&s[i], NULL), RNL_OK);
    assert_int_equal(access(path[0], F_OK) + access(path[1], F_OK), 0);
    assert_int_equal(entry_count(*state), 2);
    assert_int_equal(unlink(path[0]) + unlink(path[1]), 0);
}

static void beside_is_no_longer_than_the_system_allows(void **state) {
    (void)state;
    char path[600] = "folder/";
    char *short_one = staged_beside("a/b.wav", ".parts");
    assert_string_equal(short_one, "a/b.wav.parts");
    free(short_one);
    for (size_t size = 1; size <= 255; size++) {
        for (int wide = 0; wide < 2; wide++) { /* of one byte, of three */
            size_t used = 7;
            while (used < 7 + size)
                used += (size_t)sprintf(path + used, "%s", wide != 0 ? "\u20ac" : "x");
            char *out = staged_beside(path, ".parts");
            assert_non_null(out);
            assert_true(strlen(out) <= 7 + 255);
            assert_true(utf8_is_valid(out, strlen(out)));
            assert_string_equal(out + strlen(out) - 6, ".parts");
            free(out);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_old_file_stays_until_commit),
        IN_FOLDER(giving_up_leaves_the_old_file),
        IN_FOLDER(a_second_writer_of_one_name_is_refused),
        IN_FOLDER(what_a_killed_run_left_is_in_nobodys_way),
        IN_FOLDER(what_cannot_be_written_is_told),
        IN_FOLDER(a_link_is_written_through),
        IN_FOLDER(owner_and_mode_stay),
        IN_FOLDER(long_names_have_temporary_names),
        cmocka_unit_test(beside_is_no_longer_than_the_system_allows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
