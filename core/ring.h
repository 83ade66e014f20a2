/* A queue between two threads without a lock: one producer, one consumer, items of one size (a
 * float, a stamp). Indices count items since create and never wrap (2^63 samples outlast the
 * machine), so "how far" and "when" can be told apart by whoever keeps an index. Nothing here
 * allocates, waits or calls the system after create; every call is done after a bounded copy, so
 * either end may be a sound card's callback.
 *
 * Memory order: the producer releases its index after the items are written, the consumer releases
 * its own after they are read; each acquires the other's. */
#ifndef CORE_RING_H
#define CORE_RING_H

#include <runnel/runnel.h>

typedef struct ring ring;

/* Room for at least cap items (rounded up to a power of two), cap >= 1, of item_size bytes.
 * RNL_ERR_MEMORY, also when the product overflows; *out is then NULL. */
RNL_MUST_USE rnl_status ring_create(size_t cap, size_t item_size, ring **out);
void ring_destroy(ring **r); /* both ends must be done; NULL is fine; sets NULL */

/* Producer: puts what fits, returns how many of count that is. */
size_t ring_write(ring *r, const void *items, size_t count);
/* Consumer: takes what is there, returns how many of count that is. */
size_t ring_read(ring *r, void *items, size_t count);
/* Consumer: copies without taking. */
size_t ring_peek(const ring *r, void *items, size_t count);
/* Consumer: forgets up to count items; returns how many. */
size_t ring_drop(ring *r, size_t count);

/* Items waiting, room left. Exact for the end that asks, as far as its own index goes: for the
 * consumer at least this many wait, for the producer at least this much room is left. */
size_t ring_count(const ring *r);
size_t ring_room(const ring *r);
/* Items ever written (exact for the producer) and ever taken (exact for the consumer). */
int64_t ring_written(const ring *r);
int64_t ring_taken(const ring *r);

#endif
