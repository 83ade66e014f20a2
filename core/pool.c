/* A job travels like this: the caller writes it, sets unfinished_count, then steps the generation.
 * Workers watch the generation, first spinning, then asleep on `wake`; the last one to finish wakes
 * the caller if that sleeps. Whoever goes to sleep says so (sleeper_count, caller_sleeps) before
 * looking a last time, and whoever changes the watched value looks at the sleepers afterwards. All
 * of it is sequentially consistent, so one of the two always sees the other: no wake is lost. */
#include "core/pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    CACHE_LINE = 64,
    /* About 50 us on a Zen 4 (a pause is 40 to 65 cycles there): longer than the gap between two
     * products of a decoding step, short against a time slice when cores are shared. */
    SPIN_CAP = 4000
};

typedef struct worker {
    pool *pool;
    int thread_index;
    pthread_t thread;
} worker;

struct pool {
    int thread_count;
    int started_count; /* workers that really run, for a half-built pool */
    pthread_mutex_t mutex;
    pthread_cond_t wake;     /* workers wait for a generation */
    pthread_cond_t finished; /* the caller waits for unfinished_count to be 0 */

    /* The job: written by the caller while no worker runs. */
    pool_fn fn;
    void *context;
    int64_t item_count, grain, unit_count;
    int part_count;
    bool stop;

    /* Apart from each other: one is polled while the other is written. */
    alignas(CACHE_LINE) atomic_uint generation;
    atomic_int sleeper_count;
    alignas(CACHE_LINE) atomic_int unfinished_count;
    atomic_bool caller_sleeps;

    worker workers[POOL_THREAD_CAP];
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Parts are as equal as whole grains allow; the last grain may be short. */
static void run_part(const pool *p, int part) {
    if (part >= p->part_count) return;
    const int64_t begin = p->unit_count * part / p->part_count * p->grain;
    int64_t end = p->unit_count * (part + 1) / p->part_count * p->grain;
    if (end > p->item_count) end = p->item_count;
    p->fn(p->context, begin, end, part);
}

static void wait_for_generation(pool *p, unsigned seen) {
    for (int i = 0; i < SPIN_CAP; i++) {
        if (atomic_load(&p->generation) != seen) return;
        relax();
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleeper_count, 1);
    while (atomic_load(&p->generation) == seen) pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->sleeper_count, 1);
    pthread_mutex_unlock(&p->mutex);
}

static void wait_for_workers(pool *p) {
    for (int i = 0; i < SPIN_CAP; i++) {
        if (atomic_load(&p->unfinished_count) == 0) return;
        relax();
    }
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->caller_sleeps, true);
    while (atomic_load(&p->unfinished_count) != 0) pthread_cond_wait(&p->finished, &p->mutex);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->mutex);
}

static void step_generation(pool *p) {
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->sleeper_count) == 0) return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->mutex);
}

static void *worker_main(void *argument) {
    const worker *w = argument;
    pool *p = w->pool;
    for (unsigned seen = 0;; seen++) { /* the caller never runs a generation ahead of a worker */
        wait_for_generation(p, seen);
        if (p->stop) return NULL;
        run_part(p, w->thread_index);
        if (atomic_fetch_sub(&p->unfinished_count, 1) != 1) continue;
        if (!atomic_load(&p->caller_sleeps)) continue;
        pthread_mutex_lock(&p->mutex);
        pthread_cond_signal(&p->finished);
        pthread_mutex_unlock(&p->mutex);
    }
}

void pool_run(pool *p, int64_t item_count, int64_t grain, pool_fn fn, void *context) {
    assert(grain >= 1 && item_count >= 0);
    if (item_count == 0) return;
    p->unit_count = item_count / grain + (item_count % grain != 0);
    if (p->thread_count == 1 || p->unit_count == 1) {
        fn(context, 0, item_count, 0);
        return;
    }
    p->fn = fn;
    p->context = context;
    p->item_count = item_count;
    p->grain = grain;
    p->part_count = p->unit_count < p->thread_count ? (int)p->unit_count : p->thread_count;
    atomic_store(&p->unfinished_count, p->thread_count - 1);
    step_generation(p);
    run_part(p, 0);
    wait_for_workers(p);
}

rnl_status pool_create(int thread_count, pool **out) {
    assert(thread_count >= 1 && thread_count <= POOL_THREAD_CAP);
    *out = NULL;
    pool *p = aligned_alloc(alignof(pool), sizeof *p);
    if (p == NULL) return RNL_ERR_MEMORY;
    *p = (pool){.thread_count = thread_count};
    if (pthread_mutex_init(&p->mutex, NULL) != 0) goto fail_mutex;
    if (pthread_cond_init(&p->wake, NULL) != 0) goto fail_wake;
    if (pthread_cond_init(&p->finished, NULL) != 0) goto fail_finished;
    for (int i = 1; i < thread_count; i++) {
        p->workers[i] = (worker){.pool = p, .thread_index = i};
        if (pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]) != 0) {
            pool_destroy(&p);
            return RNL_ERR_MEMORY;
        }
        p->started_count++;
    }
    *out = p;
    return RNL_OK;
fail_finished:
    pthread_cond_destroy(&p->wake);
fail_wake:
    pthread_mutex_destroy(&p->mutex);
fail_mutex:
    free(p);
    return RNL_ERR_MEMORY;
}

void pool_destroy(pool **p) {
    pool *q = *p;
    if (q == NULL) return;
    *p = NULL;
    q->stop = true; /* no worker runs now: the next generation shows it to them */
    step_generation(q);
    for (int i = 1; i <= q->started_count; i++) pthread_join(q->workers[i].thread, NULL);
    pthread_cond_destroy(&q->finished);
    pthread_cond_destroy(&q->wake);
    pthread_mutex_destroy(&q->mutex);
    free(q);
}

int pool_thread_count(const pool *p) {
    return p->thread_count;
}
