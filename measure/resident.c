#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/pool.h"
#include "measure/runs.h"

/* Bytes of this process that lie in memory. 0: the system does not say. */
static size_t resident_now(void) {
    unsigned long long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL) return 0;
    const bool read = fscanf(f, "%llu %llu", &size, &pages) == 2;
    (void)fclose(f);
    return read ? (size_t)pages * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* The weights lie in memory already, those of a parent that made them; 0: it cannot be told. */
static size_t in_child(const backbone_weights *w, const kernels *k, int thread_count, bool exact) {
    measure_runs r;
    measure_sample sample;
    measure_sizes sizes;
    struct rusage usage;
    pool *p = NULL;
    size_t bytes = 0;
    const size_t before = resident_now();
    if (before == 0 || measure_sizes_of(w, k, thread_count, exact, &sizes, NULL) != RNL_OK ||
        measure_runs_create(&r, w, k, thread_count, exact, NULL) != RNL_OK)
        return 0;
    if (pool_create(thread_count, &p) == RNL_OK && /* both ways through the scratch */
        measure_run(&r, p, MEASURE_PREFILL_1K, NULL, &sample) &&
        measure_run(&r, p, MEASURE_DECODE_4K, NULL, &sample) && getrusage(RUSAGE_SELF, &usage) == 0)
        bytes = (size_t)usage.ru_maxrss * 1024;
    pool_destroy(&p);
    measure_runs_destroy(&r);
    return bytes > before + sizes.cache ? bytes - before - sizes.cache : 0;
}

bool measure_resident(const backbone_weights *w, const kernels *k, int thread_count, bool exact,
                      size_t *bytes) {
    int ends[2];
    *bytes = 0;
    if (pipe(ends) != 0) return false;
    const pid_t child = fork();
    if (child == 0) {
        const size_t found = in_child(w, k, thread_count, exact);
        const ssize_t sent = write(ends[1], &found, sizeof found);
        _exit(sent == (ssize_t)sizeof found ? 0 : 1);
    }
    (void)close(ends[1]);
    const bool read_whole = child > 0 && read(ends[0], bytes, sizeof *bytes) == sizeof *bytes;
    (void)close(ends[0]);
    int how;
    while (child > 0 && waitpid(child, &how, 0) < 0 && errno == EINTR) continue;
    return read_whole && *bytes > 0;
}
