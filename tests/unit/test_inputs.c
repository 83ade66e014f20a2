/* apps/inputs.c: what a person may name, as one list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/inputs.h"
#include "apps/messages.h"

/* Every test runs in a folder of its own:
 *   calls/b.WAV calls/a.flac calls/notes.txt calls/.hidden.wav calls/deep/c.m4a  empty/
 *   one.wav two.wav two.opus "odd [1].wav" */
static int enter_folder(void **state) {
    char *path = strdup("/tmp/test_inputs.XXXXXX");
    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    assert_int_equal(chdir(path), 0);
    const char *const folders[] = {"calls", "calls/deep", "empty"};
    const char *const files[] = {"calls/b.WAV",       "calls/a.flac",     "calls/notes.txt",
                                 "calls/.hidden.wav", "calls/deep/c.m4a", "one.wav",
                                 "two.wav",           "two.opus",         "odd [1].wav"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        assert_int_equal(mkdir(folders[i], 0777), 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        FILE *f = fopen(files[i], "wb");
        assert_non_null(f);
        assert_int_equal(fclose(f), 0);
    }
    assert_int_equal(symlink(".", "calls/loop"), 0);
    *state = path;
    return 0;
}

static int leave_folder(void **state) {
    char removal[128];
    (void)snprintf(removal, sizeof removal, "rm -rf '%s'", (char *)*state);
    const int code = chdir("/") != 0 || system(removal) != 0;
    free(*state);
    return code;
}

static void write_list(const char *path, const char *text, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* arguments and expected end with NULL. */
static void gives(const char *const *arguments, const char *list_file,
                  const char *const *expected) {
    input_list list;
    int count = 0;
    while (arguments[count] != NULL) count++;
    assert_int_equal(inputs_gather(&list, (char *const *)arguments, count, list_file), EXIT_OK);
    size_t i = 0;
    for (; expected[i] != NULL; i++) {
        assert_true(i < list.count);
        assert_string_equal(list.paths[i], expected[i]);
    }
    assert_int_equal(list.count, i);
    inputs_free(&list);
    inputs_free(&list); /* twice is fine */
}

static void refuses(const char *argument, const char *list_file, int code) {
    input_list list;
    char *const arguments[] = {(char *)argument, NULL};
    assert_int_equal(inputs_gather(&list, arguments, argument != NULL, list_file), code);
    assert_null(list.paths);
    assert_int_equal(list.count, 0);
}

#define LIST(...)                                                                                  \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

static void names_stay_in_their_order(void **state) {
    (void)state;
    gives(LIST("two.wav", "one.wav", "-", "missing.wav"), NULL,
          LIST("two.wav", "one.wav", "-", "missing.wav"));
}

static void a_name_counts_once(void **state) {
    (void)state;
    gives(LIST("one.wav", "./one.wav", "-", "*.wav", "-", "one.wav"), NULL,
          LIST("one.wav", "-", "odd [1].wav", "two.wav"));
    gives(LIST("./-"), NULL, LIST("./-")); /* a file, not standard input */
}

static void a_folder_gives_its_sounds(void **state) {
    (void)state;
    const char *const sounds[] = {"calls/a.flac", "calls/b.WAV", "calls/deep/c.m4a", NULL};
    gives(LIST("calls"), NULL, sounds);
    gives(LIST("./calls/"), NULL, sounds);
    gives(LIST("cal*"), NULL, sounds);
}

static void a_pattern_is_followed_unless_it_is_a_name(void **state) {
    (void)state;
    gives(LIST("two.*"), NULL, LIST("two.opus", "two.wav"));
    gives(LIST("[ot]*e.wav"), NULL, LIST("one.wav"));
    gives(LIST("odd [1].wav"), NULL, LIST("odd [1].wav"));
    refuses("nothing*.wav", NULL, EXIT_INPUT);
}

#define MARK "\xef\xbb\xbf"

static void a_list_file_names_one_a_line(void **state) {
    (void)state;
    static const char text[] =
        "# my calls\r\n\none.wav\r\ncalls\n  spaced name.wav\none.wav\n*.wav";
    write_list("list.txt", text, sizeof text - 1);
    const char *const want[] = {
        "one.wav",           "calls/a.flac", "calls/b.WAV", "calls/deep/c.m4a",
        "  spaced name.wav", "*.wav",        NULL};
    gives(LIST("@list.txt"), NULL, want);
    const char *const none[] = {NULL};
    gives(none, "list.txt", want);
    /* byte order marks: at the beginning, and where lists were joined */
    static const char marked[] = MARK MARK "one.wav\n" MARK "# a note\n" MARK "\r\n" MARK "calls";
    write_list("list.txt", marked, sizeof marked - 1);
    const char *const fewer[] = {"one.wav", "calls/a.flac", "calls/b.WAV", "calls/deep/c.m4a",
                                 NULL};
    gives(LIST("@list.txt"), NULL, fewer);
    write_list("list.txt", MARK, 3);
    gives(none, "list.txt", none);
    write_list("list.txt", "", 0);
    gives(none, "list.txt", none);
}

static void what_cannot_be_listed_is_refused(void **state) {
    (void)state;
    refuses("", NULL, EXIT_INPUT);
    refuses("empty", NULL, EXIT_INPUT);
    refuses("@nowhere.txt", NULL, EXIT_INPUT);
    refuses(NULL, "nowhere.txt", EXIT_INPUT);
    refuses("@empty", NULL, EXIT_INPUT); /* a folder is no list */
    write_list("nul.txt", "one.wav\na\0b\n", 12);
    refuses("@nul.txt", NULL, EXIT_INPUT);
    char line[INPUT_PATH_CAP + 2];
    memset(line, 'x', sizeof line);
    write_list("long.txt", line, INPUT_PATH_CAP);
    refuses("@long.txt", NULL, EXIT_INPUT);
    write_list("long.txt", line, INPUT_PATH_CAP - 1); /* just fits */
    line[INPUT_PATH_CAP - 1] = '\0';
    gives(LIST("@long.txt"), NULL, LIST(line));
}

static void many_names_stay_apart(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    char *text = malloc(COUNT * 16);
    assert_non_null(text);
    size_t size = 0;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < COUNT / 2; i++) size += (size_t)sprintf(text + size, "n%d.wav\n", i);
    input_list list = {0};
    assert_int_equal(inputs_add_list(&list, "list", text, size), EXIT_OK);
    assert_int_equal(list.count, COUNT / 2);
    assert_string_equal(list.paths[COUNT / 2 - 1], "n9999.wav");
    size_t *first = malloc(list.count * sizeof *first);
    assert_non_null(first);
    assert_true(inputs_first_of_name(&list, NULL, first));
    for (size_t i = 0; i < list.count; i++) assert_int_equal(first[i], i);
    free(first);
    inputs_free(&list);
    free(text);
}

static void one_output_name_for_two_is_found(void **state) {
    (void)state;
    static const char text[] =
        "x/one.wav\ntwo.wav\na.b.wav\n-\ny/two.flac\none.opus\nstdin.wav\n.wav";
    input_list list = {0};
    assert_int_equal(inputs_add_list(&list, "list", text, sizeof text - 1), EXIT_OK);
    /* In one folder: "two" is there again, then "one", and standard input is "stdin". */
    static const size_t in_one[] = {0, 1, 2, 3, 1, 0, 3, 7}, beside[] = {0, 1, 2, 3, 4, 5, 3, 7};
    size_t first[8];
    assert_int_equal(list.count, 8);
    assert_true(inputs_first_of_name(&list, "out", first));
    assert_memory_equal(first, in_one, sizeof first);
    assert_true(inputs_first_of_name(&list, NULL, first));
    assert_memory_equal(first, beside, sizeof first);
    static const struct {
        const char *path, *stem;
    } table[] = {{"a/talk.one.wav", "talk.one"},
                 {"talk", "talk"},
                 {".wav", ".wav"},
                 {"-", "stdin"},
                 {"a.b/c", "c"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t size;
        const char *stem = input_stem(table[i].path, &size);
        assert_int_equal(size, strlen(table[i].stem));
        assert_memory_equal(stem, table[i].stem, size);
    }
    inputs_free(&list);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(names_stay_in_their_order),
        IN_FOLDER(a_name_counts_once),
        IN_FOLDER(a_folder_gives_its_sounds),
        IN_FOLDER(a_pattern_is_followed_unless_it_is_a_name),
        IN_FOLDER(a_list_file_names_one_a_line),
        IN_FOLDER(what_cannot_be_listed_is_refused),
        cmocka_unit_test(many_names_stay_apart),
        cmocka_unit_test(one_output_name_for_two_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
