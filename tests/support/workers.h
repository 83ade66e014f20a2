/* A campaign's work shared out over processes, one a processor: each works by itself and leaves a
 * result. */
#ifndef TESTS_SUPPORT_WORKERS_H
#define TESTS_SUPPORT_WORKERS_H

#include <stddef.h>

enum { WORKERS_CAP = 8 };

/* As many as there are processors, at most WORKERS_CAP. */
int workers_count(void);
/* Runs work(worker, count, result) in `count` processes, for worker 0 to count - 1; result: a block
 * of `size` zeroed bytes of its own. Returns all blocks in order, [count]; unmap them with
 * workers_free. Fails the running test when a worker fails. */
void *workers_run(int count, size_t size, void (*work)(int worker, int count, void *result));
void workers_free(void *results, int count, size_t size);

#endif
