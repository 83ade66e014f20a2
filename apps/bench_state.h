/* The state of a machine whose cores and memory change while it is measured: a virtual machine that
 * the host moves about. Two cores of one complex hand a cache line over in 60 to 120 ns, cores of
 * two take 490 to 560, and may then read nearly twice as much from memory (Zen 4, docs/SPEED.md): a
 * ratio of times taken in different states means nothing. */
#ifndef APPS_BENCH_STATE_H
#define APPS_BENCH_STATE_H

#include <stddef.h>

#include "core/pool.h"
#include "kernels/kernels.h"

typedef enum bench_nearness {
    BENCH_NEAR,
    BENCH_FAR,
    BENCH_CHANGED, /* not the same before and after */
    BENCH_NEARNESS_COUNT
} bench_nearness;
extern const char *const bench_nearness_names[BENCH_NEARNESS_COUNT];

/* ns from one thread of the pool to another and back, the fastest of some; 0: there is one. */
double bench_round_trip(pool *p);

/* Of two round trips; BENCH_CHANGED where they are of two states. */
bench_nearness bench_nearness_of(double before, double after);

/* Bytes a second that all threads read. data and size are multiples of 64. *sink takes what the
 * compiler must not leave out. */
double bench_bandwidth(pool *p, unsigned features, const unsigned char *data, size_t size,
                       kernels_fetch fetch, uint64_t *sink);

#endif
