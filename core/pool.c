/* A job is cut into parts that threads claim one by one, so a thread that the system has put
 * aside holds up nothing but the part it is in: the others do the rest. One atomic word says
 * which job runs, how many of its parts are done and which is next:
 *
 *     generation : 32 | done : 10 of 12 | part_count : 10 | next part : 10
 *
 * Whoever moves `next` on by compare-and-swap owns that part; only then may it read the job's
 * other fields, which stay until every part is done. One exchange hands in a part and claims
 * another, and the first part is the caller's from the start. The fields lie beside the word: a
 * cache line that goes from core to core takes as long as some thousand multiply-adds where the
 * cores are far from each other, so a job costs as few as can be.
 *
 * Workers without a part to claim watch the generation, first spinning, then asleep on `wake`; the
 * last part to be done wakes the caller if that sleeps. Whoever goes to sleep says so
 * (sleeper_count, caller_sleeps) before looking a last time, and whoever changes the watched word
 * looks at the sleepers afterwards. All of it is sequentially consistent, so one of the two always
 * sees the other: no wake is lost. Both changes are read-modify-writes: x86 makes one of a plain
 * store anyway, and qemu 7.2 lets a load that follows ARM's store-release overtake it, which lost
 * wakes there. */
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
    /* One line, which goes from core to core. All but the word is written by the caller while no
     * part is claimed. */
    alignas(CACHE_LINE) atomic_uint_least64_t word;
    pool_fn fn;
    void *context;
    int64_t item_count, grain, unit_count;

    /* Another, which is seldom written. */
    alignas(CACHE_LINE) atomic_int sleeper_count;
    atomic_bool caller_sleeps, stop;
    int thread_count;
    int started_count; /* workers that really run, for a half-built pool */

    alignas(CACHE_LINE) pthread_mutex_t mutex;
    pthread_cond_t wake;     /* workers wait for a generation */
    pthread_cond_t finished; /* the caller waits for all parts to be done */
    worker workers[POOL_THREAD_CAP];
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- The word ---- */

enum { FIELD_BITS = 10, FIELD_MASK = (1 << FIELD_BITS) - 1 };
_Static_assert(POOL_THREAD_CAP *PARTS_PER_THREAD <= FIELD_MASK, "the word has no room");
static const uint64_t one_next = 1, one_done = (uint64_t)1 << 2 * FIELD_BITS;

static uint32_t generation_of(uint64_t word) {
    return (uint32_t)(word >> 32);
}
static int next_of(uint64_t word) {
    return (int)(word & FIELD_MASK);
}
static int part_count_of(uint64_t word) {
    return (int)(word >> FIELD_BITS & FIELD_MASK);
}
static bool is_finished(uint64_t word) {
    return (int)(word >> 2 * FIELD_BITS & FIELD_MASK) == part_count_of(word);
}

/* ---- Working ---- */

/* Parts are as equal as whole grains allow; the last grain may be short. */
static void run_part(const pool *p, int part, int part_count, int thread_index) {
    const int64_t begin = p->unit_count * part / part_count * p->grain;
    int64_t end = p->unit_count * (part + 1) / part_count * p->grain;
    if (end > p->item_count) end = p->item_count;
    p->fn(p->context, begin, end, thread_index);
}

static void wake_caller(pool *p) {
    if (!atomic_load(&p->caller_sleeps)) return;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_signal(&p->finished);
    pthread_mutex_unlock(&p->mutex);
}

/* Runs parts until none is left to claim; returns the word as it was then. word: as it was last
 * seen; holds: its part before `next` is this thread's already. */
static uint64_t run_parts(pool *p, uint64_t word, bool holds, int thread_index) {
    for (;;) {
        if (holds) run_part(p, next_of(word) - 1, part_count_of(word), thread_index);
        /* Tried with the word of before: where that has changed, the line comes only once. */
        bool claims;
        uint64_t then;
        do {
            claims = next_of(word) < part_count_of(word);
            if (!holds && !claims) return word;
            then = word + (holds ? one_done : 0) + (claims ? one_next : 0);
        } while (!atomic_compare_exchange_weak(&p->word, &word, then));
        word = then;
        if (holds && is_finished(word)) wake_caller(p);
        if (!claims) return word;
        holds = true;
    }
}

/* ---- Waiting ---- */

static void wait_for_generation(pool *p, uint32_t seen) {
    for (int i = 0; i < SPIN_CAP; i++) {
        if (generation_of(atomic_load(&p->word)) != seen) return;
        relax();
    }
    pthread_mutex_lock(&p->mutex);
    atomic_fetch_add(&p->sleeper_count, 1);
    while (generation_of(atomic_load(&p->word)) == seen) pthread_cond_wait(&p->wake, &p->mutex);
    atomic_fetch_sub(&p->sleeper_count, 1);
    pthread_mutex_unlock(&p->mutex);
}

static void wait_for_parts(pool *p) {
    for (int i = 0; i < SPIN_CAP; i++) {
        if (is_finished(atomic_load(&p->word))) return;
        relax();
    }
    pthread_mutex_lock(&p->mutex);
    (void)atomic_exchange(&p->caller_sleeps, true);
    while (!is_finished(atomic_load(&p->word))) pthread_cond_wait(&p->finished, &p->mutex);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->mutex);
}

/* The next generation, of so many parts, the first `claimed` of which are the caller's; wakes those
 * who sleep. Returns the word. */
static uint64_t publish(pool *p, int part_count, int claimed) {
    const uint32_t generation = generation_of(atomic_load(&p->word)) + 1;
    const uint64_t word =
        (uint64_t)generation << 32 | (uint64_t)part_count << FIELD_BITS | (uint64_t)claimed;
    (void)atomic_exchange(&p->word, word);
    if (atomic_load(&p->sleeper_count) == 0) return word;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->mutex);
    return word;
}

static void *worker_main(void *argument) {
    const worker *w = argument;
    pool *p = w->pool;
    const int thread_index = w->thread_index;
    for (;;) {
        const uint64_t seen = run_parts(p, atomic_load(&p->word), false, thread_index);
        /* After reading the generation: stop is set before the last one is published, so whoever
         * has seen that one must not wait for another. */
        if (atomic_load(&p->stop)) return NULL;
        wait_for_generation(p, generation_of(seen));
    }
}

void pool_run(pool *p, int64_t item_count, int64_t grain, pool_fn fn, void *context) {
    assert(grain >= 1 && item_count >= 0);
    if (item_count == 0) return;
    const int64_t units = item_count / grain + (item_count % grain != 0);
    if (p->thread_count == 1 || units == 1) {
        fn(context, 0, item_count, 0);
        return;
    }
    const int wanted = p->thread_count * PARTS_PER_THREAD;
    p->fn = fn;
    p->context = context;
    p->item_count = item_count;
    p->grain = grain;
    p->unit_count = units;
    const uint64_t word = publish(p, units < wanted ? (int)units : wanted, 1);
    if (!is_finished(run_parts(p, word, true, 0))) wait_for_parts(p);
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
    (void)publish(q, 0, 0);
    for (int i = 1; i <= q->started_count; i++) pthread_join(q->workers[i].thread, NULL);
    pthread_cond_destroy(&q->finished);
    pthread_cond_destroy(&q->wake);
    pthread_mutex_destroy(&q->mutex);
    free(q);
}

int pool_thread_count(const pool *p) {
    return p->thread_count;
}
