/* A fixed set of threads that share loops. The caller is one of them: a pool of 1 starts none. A
 * job is cut into contiguous parts, two per thread, which the threads claim as they come; which
 * thread takes which part never changes a bit, because every kernel computes each output alone.
 * Waiting threads spin briefly, then sleep. */
#ifndef CORE_POOL_H
#define CORE_POOL_H

#include <runnel/runnel.h>

typedef struct pool pool;

enum { POOL_THREAD_CAP = 64 };

/* thread_count in [1, POOL_THREAD_CAP]. RNL_ERR_MEMORY when threads cannot be started. */
RNL_MUST_USE rnl_status pool_create(int thread_count, pool **out);
void pool_destroy(pool **p); /* NULL and half-built are fine; sets NULL */
int pool_thread_count(const pool *p);

/* Runs fn(context, begin, end, thread_index) so that [0, item_count) is covered once. Parts
 * begin at multiples of grain. Blocks until all is done. One caller at a time; fn must not call
 * pool_run. */
typedef void (*pool_fn)(void *context, int64_t begin, int64_t end, int thread_index);
void pool_run(pool *p, int64_t item_count, int64_t grain, pool_fn fn, void *context);

#endif
