/* One loop that proves and times the kernels of the table: each level against the lowest one, with
 * all three fills of kernel_cases.h; and when asked, how long each takes beside the one below.
 * Levels and repetitions take turns, so that a machine whose speed changes changes all of them. */
#ifndef TESTS_SUPPORT_KERNEL_BENCH_H
#define TESTS_SUPPORT_KERNEL_BENCH_H

#include <stdbool.h>

typedef struct kernel_bench {
    bool is_timed;    /* prints a table; emulated levels are proven, not timed */
    const char *only; /* kernels whose "name type" has this in it; "": all */
} kernel_bench;

/* A cmocka test, after find_levels; *state is a kernel_bench. Fails where a level is wrong; one
 * that is slow is marked and does not fail. */
void every_kernel_of_every_level_agrees(void **state);

/* What a test program does: its own tests, or with `--bench [NAME]` the loop alone, timed. Returns
 * the exit code in *code and true when that is all. */
bool kernel_bench_main(int argc, char **argv, int *code);

#endif
