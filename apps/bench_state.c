#include "apps/bench_state.h"

#include <runnel/runnel.h>
#include <stdatomic.h>

#include "core/clock.h"
#include "kernels/limit.h"

enum {
    LINE = 64,
    TRIPS = 200, /* of a sample: the host interrupts few that are so short */
    SAMPLES = 5, /* of which the fastest counts: what others take only makes it longer */
    FAR_NS = 250 /* between the two kinds above */
};

const char *const bench_nearness_names[BENCH_NEARNESS_COUNT] = {"near", "far", "changed"};

/* ---- Between the cores ---- */

/* A ball that two threads hit in turn: even numbers are part 0's. */
typedef struct rally {
    _Alignas(LINE) atomic_int ball;
    _Alignas(LINE) double fastest;
} rally;

static void play(void *context, int64_t begin, int64_t end, int thread_index) {
    rally *r = context;
    (void)end, (void)thread_index;
    for (int sample = 0; sample < SAMPLES; sample++) {
        const double start = clock_seconds();
        for (int i = 0; i < TRIPS; i++) {
            const int own = 2 * (sample * TRIPS + i) + (int)begin;
            while (atomic_load_explicit(&r->ball, memory_order_acquire) != own) continue;
            atomic_store_explicit(&r->ball, own + 1, memory_order_release);
        }
        const double seconds = clock_seconds() - start;
        if (begin == 0 && (sample == 0 || seconds < r->fastest)) r->fastest = seconds;
    }
}

double bench_round_trip(pool *p) {
    rally r = {.fastest = 0};
    if (pool_thread_count(p) < 2) return 0;
    /* Two parts: whoever has one plays until somebody else has the other. */
    pool_run(p, 2, 1, play, &r);
    return 1e9 * r.fastest / TRIPS;
}

bench_nearness bench_nearness_of(double before, double after) {
    const bench_nearness from = before < FAR_NS ? BENCH_NEAR : BENCH_FAR;
    const bench_nearness to = after < FAR_NS ? BENCH_NEAR : BENCH_FAR;
    return from == to ? from : BENCH_CHANGED;
}

/* ---- Memory ---- */

typedef struct reading {
    unsigned features;
    const unsigned char *data;
    kernels_fetch fetch;
    uint64_t sums[RNL_THREAD_CAP];
} reading;

static void read_part(void *context, int64_t begin, int64_t end, int thread_index) {
    reading *r = context;
    r->sums[thread_index] += limit_read(r->features, r->data + (size_t)begin * LINE,
                                        (size_t)(end - begin) * LINE, r->fetch);
}

double bench_bandwidth(pool *p, unsigned features, const unsigned char *data, size_t size,
                       kernels_fetch fetch, uint64_t *sink) {
    reading r = {.features = features, .data = data, .fetch = fetch};
    const double start = clock_seconds();
    pool_run(p, (int64_t)(size / LINE), 1, read_part, &r);
    const double seconds = clock_seconds() - start;
    for (int i = 0; i < RNL_THREAD_CAP; i++) *sink += r.sums[i];
    return (double)size / seconds;
}
