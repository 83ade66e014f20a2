/* The threads of a pool, each on a physical core of its own while times are taken. */
#ifndef MEASURE_PINS_H
#define MEASURE_PINS_H

#include "core/pool.h"

enum { MEASURE_CPU_CAP = 1024 };

typedef struct measure_pins {
    int cpus[MEASURE_CPU_CAP]; /* where the calling thread, one of the pool's, might run before */
    int count;                 /* 0: nothing was bound */
} measure_pins;

/* False: there are fewer cores than threads, or the system refuses; nothing is bound then. The pool
 * is idle, and its other threads end with it. */
bool measure_pin(pool *p, measure_pins *was);
void measure_unpin(const measure_pins *was);

#endif
