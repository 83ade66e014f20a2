/* A mapped file: what is mapped, and what is refused without waiting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mapped.h"

static char path[64];

static int setup(void **state) {
    (void)state;
    (void)strcpy(path, "/tmp/runnel-mapped-XXXXXX");
    const int fd = mkstemp(path);
    return fd < 0 ? 1 : close(fd);
}

static int teardown(void **state) {
    (void)state;
    return unlink(path);
}

static void the_bytes_of_the_file_are_seen(void **state) {
    (void)state;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 5000; i++) (void)fputc(i & 255, f);
    assert_int_equal(fclose(f), 0);
    mapped m;
    rnl_error error = {0};
    assert_int_equal(mapped_open(path, &m, &error), RNL_OK);
    assert_int_equal(m.size, 5000);
    for (int i = 0; i < 5000; i++) assert_int_equal(m.data[i], i & 255);
    mapped_close(&m);
    assert_null(m.data);
    assert_int_equal(m.size, 0);
    mapped_close(&m);
}

static void refuse(const char *name, rnl_status status, const char *part) {
    mapped m = {.size = 1};
    rnl_error error = {0};
    assert_int_equal(mapped_open(name, &m, &error), status);
    if (strstr(error.text, name) == NULL || strstr(error.text, part) == NULL)
        fail_msg("'%s' lacks '%s' or '%s'", error.text, name, part);
    assert_null(m.data);
    assert_int_equal(m.size, 0);
    assert_int_equal(mapped_open(name, &m, NULL), status);
}

static void what_is_no_file_is_refused(void **state) {
    (void)state;
    refuse(path, RNL_ERR_FORMAT, "empty");
    refuse("/nowhere/at/all", RNL_ERR_IO, "opened");
    refuse("/tmp", RNL_ERR_IO, "no regular file");
    refuse("/dev/zero", RNL_ERR_IO, "no regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes to it: not waited for */
    refuse(path, RNL_ERR_IO, "no regular file");
    if (geteuid() == 0) return;
    assert_int_equal(unlink(path), 0);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0), 0);
    refuse(path, RNL_ERR_IO, "opened");
}

static void lasting_memory_survives_being_forgotten(void **state) {
    (void)state;
    const size_t size = (1 << 16) + 100;
    mapped m;
    assert_int_equal(mapped_lasting(size, &m), RNL_OK);
    unsigned char *data = (unsigned char *)m.data;
    for (size_t i = 0; i < size; i++) assert_int_equal(data[i], 0);
    memset(data, 7, size);
    mapped_forget(data, size);
    for (size_t i = 0; i < size; i++) assert_int_equal(data[i], 7);
    mapped_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_bytes_of_the_file_are_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_refused, setup, teardown),
        cmocka_unit_test(lasting_memory_survives_being_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
