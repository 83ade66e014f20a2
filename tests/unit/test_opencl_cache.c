/* Compiled kernels are kept, and what is damaged is compiled again. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/opencl_cache.h"
#include "devices/opencl_driver.h"
#include "tests/support/folder.h"
#include "tests/support/gpu.h"

static void what_was_written_is_read(void **state) {
    const folder *f = *state;
    static const char *const texts[] = {"a", "bc"}, *const others[] = {"ab", "c"};
    static const unsigned char bytes[] = {1, 2, 0, 3};
    const uint64_t key = gpu_cache_key(texts, 2);
    size_t size;
    gpu_begin();
    assert_true(key != gpu_cache_key(others, 2));
    assert_null(gpu_cache_read(f->path, key, &size));
    gpu_cache_write(f->path, key, bytes, sizeof bytes);
    unsigned char *got = gpu_cache_read(f->path, key, &size);
    assert_non_null(got);
    assert_int_equal(size, sizeof bytes);
    assert_memory_equal(got, bytes, size);
    free(got);
    assert_null(gpu_cache_read(f->path, key + 1, &size));
    gpu_cache_write("/nowhere", key, bytes, sizeof bytes); /* is passed over */
}

static bool open_kept(const char *path) {
    rnl_device_config config = gpu_config();
    stack_device_facts facts;
    rnl_error error;
    gpu *g;
    config.cache_path = path;
    if (gpu_open(&config, NULL, &g, &facts, &error) != RNL_OK) fail_msg("%s", error.text);
    const bool kept = gpu_was_kept(g);
    gpu_close(&g);
    return kept;
}

static void kernels_are_compiled_once(void **state) {
    const folder *f = *state;
    char pattern[PATH_CAP];
    glob_t found;
    size_t size;
    gpu_begin();
    assert_false(open_kept(f->path));
    assert_true(open_kept(f->path));
    name_in(f, "opencl-*.bin", pattern);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    unsigned char *bytes = read_whole(found.gl_pathv[0], &size);
    for (int damage = 0; damage < 3; damage++) {
        if (damage == 2) bytes[size / 2] ^= 1;
        write_file(found.gl_pathv[0], bytes, damage == 0 ? 5 : damage == 1 ? size / 2 : size);
        assert_false(open_kept(f->path));
        assert_true(open_kept(f->path));
    }
    free(bytes);
    globfree(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_was_written_is_read),
        IN_FOLDER(kernels_are_compiled_once),
    };
    return gpu_run("test_opencl_cache", tests, sizeof tests / sizeof *tests);
}
