#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "tests/support/workers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

int workers_count(void) {
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 2 ? 1 : online > WORKERS_CAP ? WORKERS_CAP : (int)online;
}

void *workers_run(int count, size_t size, void (*work)(int worker, int count, void *result)) {
    pid_t workers[WORKERS_CAP];
    assert_true(count >= 1 && count <= WORKERS_CAP);
    char *results =
        mmap(NULL, (size_t)count * size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(results != MAP_FAILED);
    (void)fflush(NULL); /* or each would write it once more */
    for (int w = 0; w < count; w++) {
        workers[w] = fork();
        assert_true(workers[w] >= 0);
        if (workers[w] > 0) continue;
        work(w, count, results + (size_t)w * size);
        (void)fflush(NULL);
        _exit(0);
    }
    for (int w = 0; w < count; w++) {
        int status;
        assert_int_equal(waitpid(workers[w], &status, 0), workers[w]);
        assert_int_equal(status, 0);
    }
    return results;
}

void workers_free(void *results, int count, size_t size) {
    assert_int_equal(munmap(results, (size_t)count * size), 0);
}
