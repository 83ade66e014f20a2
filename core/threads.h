/* How many threads this process should compute with. */
#ifndef CORE_THREADS_H
#define CORE_THREADS_H

#include <stdbool.h>

/* Physical cores among the processors this process may run on, but no more than the processor time
 * its control group (v1 or v2) grants, rounded up; in [1, RNL_THREAD_CAP]. Two hardware threads of
 * a core share the units that matter here, so a core counts once. root: "" for this machine; tests
 * name a folder that holds /proc/self/cgroup and /sys instead. What cannot be read sets no limit.
 * */
int threads_default(const char *root);

/* Of the processors the calling thread may run on: all of them; one of each physical core, the
 * lowest. Rising, at most cpu_cap; returns their number. 0: the system does not say. */
int threads_processors(int *cpus, int cpu_cap);
int threads_cores(const char *root, int *cpus, int cpu_cap);
/* The calling thread runs on none but these from here on. False: refused, nothing changed. */
bool threads_bind(const int *cpus, int cpu_count);

#endif
