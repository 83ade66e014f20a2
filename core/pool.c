/* A job is cut into parts that threads claim one by one, so a thread that the system has put
 * aside holds up nothing but the part it is in: the others do the rest. One atomic word says
 * which job runs and which part is next:
 *
 *     generation : 32 | part_count : 16 | next part : 16
 *
 * Whoever moves `next` on by compare-and-swap owns that part; only then may it read the job's
 * other fields, which stay until every part is finished. Workers without a part to claim watch
 * the generation, first spinning, then asleep on `wake`; the last part to finish wakes the
 * caller if that sleeps. Whoever goes to sleep says so (sleeper_count, caller_sleeps) before
 * looking a last time, and whoever changes the watched value looks at the sleepers afterwards.
 * All of it is sequentially consistent, so one of the two always sees the other: no wake is
 * lost. Both changes are read-modify-writes: x86 makes one of a plain store anyway, and qemu 7.2
 * lets a load that follows ARM's store-release overtake it, which lost wakes there. */
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
    SPIN_CAP = 4000,
    PARTS_PER_THREAD = 2
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

    /* The job: written by the caller while no part is claimed. */
    pool_fn fn;
    void *context;
    int64_t item_count, grain, unit_count;
    int part_count;
    atomic_bool stop;

    /* Apart from each other: one is polled while the other is written. */
    alignas(CACHE_LINE) atomic_uint_least64_t claim;
    atomic_int sleeper_count;
    alignas(CACHE_LINE) atomic_int unfinished_count; /* parts */
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

static uint32_t generation_of(uint64_t claim) {
    return (uint32_t)(claim >> 32);
}

/* Parts are as equal as whole grains allow; the last grain may be short. */
static void run_part(pool *p, int part, int thread_index) {
    const int64_t begin = p->unit_count * part / p->part_count * p->grain;
    int64_t end = p->unit_count * (part + 1) / p->part_count * p->grain;
    if (end > p->item_count) end = p->item_count;
    p->fn(p->context, begin, end, thread_index);
    if (atomic_fetch_sub(&p->unfinished_count, 1) != 1) return;
    if (!atomic_load(&p->caller_sleeps)) return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_signal(&p->finished);
    pthread_mutex_unlock(&p->mutex);
}

/* Claims and runs parts until none is left; returns the generation it saw end. */
static uint32_t run_parts(pool *p, int thread_index) {
    uint64_t claim = atomic_load(&p->claim);
    while ((claim & 0xFFFF) < (claim >> 16 & 0xFFFF)) {
        if (!atomic_compare_exchange_weak(&p->claim, &claim, claim + 1)) continue;
        run_part(p, (int)(claim & 0xFFFF), thread_index);
        claim = atomic_load(&p->claim);
    }
    return generation_of(claim);
}

static void wait_for_generation(pool *p, uint32_t seen) {
    for (int i = 0; i < SPIN_CAP; i++) {
        if (generation_of(atomic_load(&p->claim)) != seen) return;
        relax();
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleeper_count, 1);
    while (generation_of(atomic_load(&p->claim)) == seen) pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->sleeper_count, 1);
    pthread_mutex_unlock(&p->mutex);
}

static void wait_for_parts(pool *p) {
    for (int i = 0; i < SPIN_CAP; i++) {
        if (atomic_load(&p->unfinished_count) == 0) return;
        relax();
    }
    pthread_mutex_lock(&p->mutex);
    (void)atomic_exchange(&p->caller_sleeps, true);
    while (atomic_load(&p->unfinished_count) != 0) pthread_cond_wait(&p->finished, &p->mutex);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->mutex);
}

/* The next generation, with part_count parts to claim; wakes those who sleep. */
static void publish(pool *p, int part_count) {
    const uint32_t next = generation_of(atomic_load(&p->claim)) + 1;
    (void)atomic_exchange(&p->claim, (uint64_t)next << 32 | (uint64_t)part_count << 16);
    if (atomic_load(&p->sleeper_count) == 0) return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->mutex);
}

static void *worker_main(void *argument) {
    const worker *w = argument;
    pool *p = w->pool;
    for (;;) {
        const uint32_t seen = run_parts(p, w->thread_index);
        /* After reading the generation: stop is set before the last one is published, so whoever
         * has seen that one must not wait for another. */
        if (atomic_load(&p->stop)) return NULL;
        wait_for_generation(p, seen);
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
    const int wanted = p->thread_count * PARTS_PER_THREAD;
    p->fn = fn;
    p->context = context;
    p->item_count = item_count;
    p->grain = grain;
    p->part_count = p->unit_count < wanted ? (int)p->unit_count : wanted;
    atomic_store(&p->unfinished_count, p->part_count);
    publish(p, p->part_count);
    (void)run_parts(p, 0);
    wait_for_parts(p);
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
    atomic_store(&q->stop, true); /* seen with the next generation, which has no parts */
    publish(q, 0);
    for (int i = 1; i <= q->started_count; i++) pthread_join(q->workers[i].thread, NULL);
    pthread_cond_destroy(&q->finished);
    pthread_cond_destroy(&q->wake);
    pthread_mutex_destroy(&q->mutex);
    free(q);
}

int pool_thread_count(const pool *p) {
    return p->thread_count;
}
