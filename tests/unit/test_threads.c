/* How many threads a machine deserves: physical cores, and the quota of the control group, read
 * from a folder that looks like one. */
#define _GNU_SOURCE /* sched_setaffinity */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/threads.h"
#include "tests/support/folder.h"

static char root[] = "/tmp/test_threads_XXXXXX";
static cpu_set_t whole;
static int processor_count;

static int make_root(void **state) {
    (void)state;
    assert_non_null(mkdtemp(root));
    assert_int_equal(sched_getaffinity(0, sizeof whole, &whole), 0);
    processor_count = CPU_COUNT(&whole);
    return 0;
}

static int drop_root(void **state) {
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void nothing_readable_means_every_processor(void **state) {
    (void)state;
    assert_int_equal(threads_default(root), processor_count);
}

static void a_core_counts_once(void **state) {
    (void)state;
    char list[64], path[128];
    if (processor_count < 2) skip();
    int first = 0, second;
    while (!CPU_ISSET((size_t)first, &whole)) first++;
    for (second = first + 1; !CPU_ISSET((size_t)second, &whole);) second++;
    (void)snprintf(list, sizeof list, "%d,%d\n", first, second);
    const int both[] = {first, second};
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path,
                       "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", both[i]);
        put_below(root, path, list);
    }
    assert_int_equal(threads_default(root), processor_count - 1);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)second, &one); /* the lower sibling is not ours: this one counts */
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(threads_default(root), 1);
    assert_int_equal(sched_setaffinity(0, sizeof whole, &whole), 0);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path,
                       "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", both[i]);
        (void)snprintf(list, sizeof list, "%d\n", both[i]);
        put_below(root, path, list);
    }
}

static void the_quota_of_any_group_above_counts(void **state) {
    (void)state;
    put_below(root, "/proc/self/cgroup", "0::/a/b\n");
    put_below(root, "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(threads_default(root), processor_count);
    put_below(root, "/sys/fs/cgroup/a/cpu.max",
              "50000 100000\n"); /* half a processor: one thread */
    assert_int_equal(threads_default(root), 1);
    put_below(root, "/sys/fs/cgroup/a/cpu.max", "150000 100000\n"); /* one and a half: two */
    assert_int_equal(threads_default(root), processor_count < 2 ? processor_count : 2);
}

static void version_1_is_read_too(void **state) {
    (void)state;
    put_below(root, "/proc/self/cgroup", "4:memory:/x\n3:cpu,cpuacct:/x\n");
    put_below(root, "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n");
    put_below(root, "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
    assert_int_equal(threads_default(root), processor_count);
    put_below(root, "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "100000\n");
    assert_int_equal(threads_default(root), 1);
    put_below(root, "/proc/self/cgroup", "nonsense\n:::\n");
    assert_int_equal(threads_default(root), processor_count);
}

static void a_thread_is_bound_and_freed(void **state) {
    (void)state;
    int all[CPU_SETSIZE], cores[CPU_SETSIZE], now[2];
    assert_int_equal(threads_processors(all, CPU_SETSIZE), processor_count);
    assert_int_equal(threads_processors(now, 1), 1);
    assert_int_equal(now[0], all[0]);
    assert_int_equal(threads_cores("/nowhere", cores, CPU_SETSIZE), processor_count);
    assert_memory_equal(cores, all, (size_t)processor_count * sizeof *all);
    assert_true(threads_bind(&all[processor_count - 1], 1));
    assert_int_equal(threads_processors(now, 2), 1);
    assert_int_equal(now[0], all[processor_count - 1]);
    assert_true(threads_bind(all, processor_count));
    assert_int_equal(threads_processors(cores, CPU_SETSIZE), processor_count);
    assert_false(threads_bind(all, 0)); /* nowhere to run */
    assert_int_equal(threads_processors(cores, CPU_SETSIZE), processor_count);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_readable_means_every_processor),
        cmocka_unit_test(a_core_counts_once),
        cmocka_unit_test(the_quota_of_any_group_above_counts),
        cmocka_unit_test(version_1_is_read_too),
        cmocka_unit_test(a_thread_is_bound_and_freed),
    };
    return cmocka_run_group_tests(tests, make_root, drop_root);
}
