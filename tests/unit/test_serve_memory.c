/* How much memory conversations may take: what the machine has, what control groups allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/memory_budget.h"
#include "tests/support/folder.h"

static char root[] = "/tmp/test_serve_memory_XXXXXX";
static const size_t mib = 1 << 20;

static void the_machine_says_what_it_has(void **state) {
    (void)state;
    assert_true(memory_available(root) > 0); /* nothing can be read: by its own count */
    put_below(root, "/proc/meminfo",
              "MemTotal:  9999999 kB\nMemFree:  1 kB\nMemAvailable:   2048000 kB\n");
    assert_int_equal(memory_available(root), 2000 * mib);
    assert_true(memory_available("") > 0);
}

static void the_least_limit_above_counts(void **state) {
    (void)state;
    put_below(root, "/proc/self/cgroup", "0::/service/worker\n");
    put_below(root, "/sys/fs/cgroup/service/worker/memory.max", "max\n");
    assert_int_equal(memory_available(root), 2000 * mib);
    put_below(root, "/sys/fs/cgroup/service/memory.max", "104857600\n");
    assert_int_equal(memory_available(root), 100 * mib);
    put_below(root, "/sys/fs/cgroup/service/worker/memory.max", "52428800\n");
    assert_int_equal(memory_available(root), 50 * mib);
    put_below(root, "/proc/self/cgroup", "9:cpu:/service\n5:memory:/old\n1:name=systemd:/x\n");
    assert_int_equal(memory_available(root), 2000 * mib);
    put_below(root, "/sys/fs/cgroup/memory/old/memory.limit_in_bytes", "20971520\n");
    assert_int_equal(memory_available(root), 20 * mib);
    put_below(root, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(memory_available(root), 20 * mib);
}

static void the_model_is_taken_off(void **state) {
    (void)state;
    assert_int_equal(memory_budget(1000, 500), 300);
    assert_int_equal(memory_budget(500, 500), 0);
    assert_int_equal(memory_budget(100, 500), 0);
    assert_true(memory_budget(SIZE_MAX, 500) == SIZE_MAX);
}

static int make_root(void **state) {
    (void)state;
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int drop_root(void **state) {
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machine_says_what_it_has),
        cmocka_unit_test(the_least_limit_above_counts),
        cmocka_unit_test(the_model_is_taken_off),
    };
    return cmocka_run_group_tests(tests, make_root, drop_root);
}
