#include "measure/pins.h"

#include <sched.h>
#include <stdatomic.h>

#include "core/threads.h"

typedef struct binding {
    int cores[MEASURE_CPU_CAP];
    int thread_count;
    atomic_int arrived_count, refused_count;
} binding;

/* As many parts as threads, and nobody leaves one before all are taken: each thread has one. */
static void bind_part(void *context, int64_t begin, int64_t end, int thread_index) {
    binding *b = context;
    (void)begin, (void)end;
    if (!threads_bind(&b->cores[thread_index], 1)) atomic_fetch_add(&b->refused_count, 1);
    atomic_fetch_add(&b->arrived_count, 1);
    while (atomic_load(&b->arrived_count) < b->thread_count) (void)sched_yield();
}

bool measure_pin(pool *p, measure_pins *was) {
    binding b = {.thread_count = pool_thread_count(p)};
    *was = (measure_pins){0};
    const int core_count = threads_cores("", b.cores, MEASURE_CPU_CAP);
    if (core_count < b.thread_count) return false;
    was->count = threads_processors(was->cpus, MEASURE_CPU_CAP);
    pool_run(p, b.thread_count, 1, bind_part, &b);
    return atomic_load(&b.refused_count) == 0;
}

void measure_unpin(const measure_pins *was) {
    if (was->count > 0) (void)threads_bind(was->cpus, was->count);
}
