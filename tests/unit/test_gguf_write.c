/* Writing GGUF: what is written reads back, and what goes wrong leaves no file. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/gguf.h"

static char folder[64], path[96];

static int setup(void **state) {
    (void)state;
    (void)strcpy(folder, "/tmp/runnel-write-XXXXXX");
    if (mkdtemp(folder) == NULL) return 1;
    (void)snprintf(path, sizeof path, "%s/a.gguf", folder);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    (void)unlink(path);
    return rmdir(folder); /* fails when anything else was left */
}

static int file_count(void) {
    int count = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static gguf_writer *begin(void) {
    gguf_writer *w = NULL;
    rnl_error error = {0};
    if (gguf_writer_create(path, &w, &error) != RNL_OK) fail_msg("%s", error.text);
    return w;
}

static bool collect(void *context, size_t index, const char *text, size_t size) {
    char *all = context;
    (void)index;
    strncat(all, text, size);
    strcat(all, "|");
    return true;
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    gguf_writer *w = begin();
    const int32_t numbers[] = {3, -4, INT32_MIN};
    const char *const texts[] = {"a", "", "\xc3\xbc"};
    const size_t sizes[] = {1, 0, 2};
    gguf_put_u32(w, "u32", UINT32_MAX);
    gguf_put_f32(w, "f32", -0.25f);
    gguf_put_bool(w, "bool", true);
    gguf_put_string(w, "string", "x\0y", 3);
    gguf_put_i32_array(w, "numbers", numbers, 3);
    gguf_put_string_array(w, "texts", texts, sizes, 3);
    const int64_t odd[] = {3, 5}, blocks[] = {2, 1, 32}, one[] = {1};
    gguf_put_tensor(w, "odd", QUANT_F16, 2, odd); /* 30 bytes: needs padding */
    gguf_put_tensor(w, "blocks", QUANT_Q8_0, 3, blocks);
    gguf_put_tensor(w, "one", QUANT_F32, 1, one);
    rnl_error error = {0};
    assert_int_equal(gguf_writer_begin_data(w, &error), RNL_OK);
    unsigned char data[68];
    for (int i = 0; i < 68; i++) data[i] = (unsigned char)(i + 1);
    assert_int_equal(gguf_writer_data(w, data, 7, &error), RNL_OK); /* in pieces */
    assert_int_equal(gguf_writer_data(w, data + 7, 23, &error), RNL_OK);
    assert_int_equal(gguf_writer_data(w, data, 68, &error), RNL_OK);
    assert_int_equal(gguf_writer_data(w, data, 4, &error), RNL_OK);
    assert_int_equal(access(path, F_OK), -1); /* not before the end */
    assert_int_equal(access(gguf_writer_temporary(w), F_OK), 0);
    assert_int_equal(gguf_writer_complete(w, &error), RNL_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(gguf_writer_finish(&w, &error), RNL_OK);
    assert_null(w);
    assert_int_equal(file_count(), 1);

    gguf *g = NULL;
    if (gguf_open(path, &g, &error) != RNL_OK) fail_msg("%s", error.text);
    int64_t i;
    double d;
    bool b;
    const char *text;
    size_t size;
    char all[32] = "";
    assert_true(gguf_int(g, "u32", 0, UINT32_MAX, &i) && i == UINT32_MAX);
    assert_true(gguf_float(g, "f32", &d) && d == -0.25);
    assert_true(gguf_bool(g, "bool", &b) && b);
    assert_true(gguf_string(g, "string", &text, &size) && size == 3);
    assert_memory_equal(text, "x\0y", 3);
    assert_true(gguf_array_int(g, "numbers", 2, &i) && i == INT32_MIN);
    assert_true(gguf_each_string(g, "texts", collect, all));
    assert_string_equal(all, "a||\xc3\xbc|");
    assert_int_equal(gguf_tensor_count(g), 3);
    const tensor *t = gguf_tensor(g, 1);
    assert_int_equal(t->rank, 3);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[2], 32);
    assert_int_equal(t->size, 68);
    assert_int_equal((uintptr_t)t->data % 32, 0);
    assert_memory_equal(t->data, data, 68);
    assert_memory_equal(gguf_tensor(g, 0)->data, data, 30);
    assert_memory_equal(gguf_tensor(g, 2)->data, data, 4);
    gguf_close(&g);
}

static void too_much_and_too_little_data_are_refused(void **state) {
    (void)state;
    gguf_writer *w = begin();
    const int64_t shape[] = {4};
    const unsigned char data[32] = {0};
    rnl_error error = {0};
    gguf_put_tensor(w, "a", QUANT_F32, 1, shape);
    assert_int_equal(gguf_writer_begin_data(w, &error), RNL_OK);
    assert_int_equal(gguf_writer_data(w, data, 17, &error), RNL_ERR_STATE);
    assert_int_equal(gguf_writer_data(w, data, 12, &error), RNL_OK);
    assert_int_equal(gguf_writer_complete(w, &error), RNL_ERR_STATE);
    assert_int_equal(gguf_writer_finish(&w, &error), RNL_ERR_STATE);
    assert_non_null(strstr(error.text, "missing"));
    assert_null(w);
    assert_int_equal(file_count(), 0);
}

static void giving_up_leaves_nothing(void **state) {
    (void)state;
    gguf_writer *w = begin();
    assert_int_equal(file_count(), 1);
    gguf_writer_abort(&w);
    assert_null(w);
    gguf_writer_abort(&w);
    assert_int_equal(file_count(), 0);
}

/* An older file of the name stays whole until the new one is. */
static void an_old_file_is_replaced_at_the_end(void **state) {
    (void)state;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite("old", 1, 3, f), 3);
    assert_int_equal(fclose(f), 0);
    struct stat before, after;
    gguf_writer *w = begin();
    rnl_error error = {0};
    assert_int_equal(gguf_writer_begin_data(w, &error), RNL_OK);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(before.st_size, 3);
    assert_int_equal(gguf_writer_finish(&w, &error), RNL_OK);
    assert_int_equal(stat(path, &after), 0);
    assert_true(after.st_size >= 24);
    assert_int_equal(file_count(), 1);
}

static void no_folder_and_a_taken_name_are_told(void **state) {
    (void)state;
    gguf_writer *w = NULL;
    rnl_error error = {0};
    assert_int_equal(gguf_writer_create("/nowhere/at/all.gguf", &w, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "/nowhere/at/all.gguf"));
    assert_null(w);
    /* Somebody else has put a link under the temporary name. */
    char temporary[128];
    w = begin();
    (void)snprintf(temporary, sizeof temporary, "%s", gguf_writer_temporary(w));
    gguf_writer_abort(&w);
    assert_int_equal(symlink("/dev/full", temporary), 0);
    /* It is neither written through nor removed. */
    w = begin();
    assert_string_not_equal(gguf_writer_temporary(w), temporary);
    gguf_writer_abort(&w);
    assert_int_equal(unlink(temporary), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_reads_back, setup, teardown),
        cmocka_unit_test_setup_teardown(too_much_and_too_little_data_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(giving_up_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(an_old_file_is_replaced_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(no_folder_and_a_taken_name_are_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
