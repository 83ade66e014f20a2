#include "core/ring.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64 };

struct ring {
    unsigned char *data; /* [mask + 1] items */
    size_t mask, item_size;
    /* Apart from each other: each is written by one end and polled by the other. */
    alignas(CACHE_LINE) atomic_int_least64_t written;
    alignas(CACHE_LINE) atomic_int_least64_t taken;
};

rnl_status ring_create(size_t cap, size_t item_size, ring **out) {
    *out = NULL;
    size_t room = 1;
    while (room < cap && room <= SIZE_MAX / 4) room *= 2;
    if (room < cap || item_size == 0 || room > SIZE_MAX / 4 / item_size) return RNL_ERR_MEMORY;
    const size_t size = (sizeof(ring) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    ring *r = aligned_alloc(CACHE_LINE, size);
    if (r == NULL) return RNL_ERR_MEMORY;
    memset(r, 0, size);
    r->data = calloc(room, item_size);
    r->mask = room - 1;
    r->item_size = item_size;
    atomic_init(&r->written, 0);
    atomic_init(&r->taken, 0);
    *out = r;
    if (r->data == NULL) ring_destroy(out);
    return *out != NULL ? RNL_OK : RNL_ERR_MEMORY;
}

void ring_destroy(ring **r) {
    if (*r == NULL) return;
    free((*r)->data);
    free(*r);
    *r = NULL;
}

/* The contiguous part that begins at index, at most count items. */
static size_t stretch(const ring *r, int64_t index, size_t count) {
    const size_t to_end = r->mask + 1 - ((size_t)index & r->mask);
    return count < to_end ? count : to_end;
}

static unsigned char *place(const ring *r, int64_t index) {
    return r->data + ((size_t)index & r->mask) * r->item_size;
}

size_t ring_write(ring *r, const void *items, size_t count) {
    const int64_t at = atomic_load_explicit(&r->written, memory_order_relaxed);
    const int64_t taken = atomic_load_explicit(&r->taken, memory_order_acquire);
    const size_t room = r->mask + 1 - (size_t)(at - taken);
    if (count > room) count = room;
    if (count == 0) return 0;
    const size_t first = stretch(r, at, count);
    memcpy(place(r, at), items, first * r->item_size);
    memcpy(r->data, (const unsigned char *)items + first * r->item_size,
           (count - first) * r->item_size);
    atomic_store_explicit(&r->written, at + (int64_t)count, memory_order_release);
    return count;
}

size_t ring_peek(const ring *r, void *items, size_t count) {
    const int64_t at = atomic_load_explicit(&r->taken, memory_order_relaxed);
    const int64_t written = atomic_load_explicit(&r->written, memory_order_acquire);
    if (count > (size_t)(written - at)) count = (size_t)(written - at);
    if (count == 0) return 0;
    const size_t first = stretch(r, at, count);
    memcpy(items, place(r, at), first * r->item_size);
    memcpy((unsigned char *)items + first * r->item_size, r->data, (count - first) * r->item_size);
    return count;
}

size_t ring_read(ring *r, void *items, size_t count) {
    return ring_drop(r, ring_peek(r, items, count));
}

size_t ring_drop(ring *r, size_t count) {
    const int64_t at = atomic_load_explicit(&r->taken, memory_order_relaxed);
    const int64_t written = atomic_load_explicit(&r->written, memory_order_acquire);
    if (count > (size_t)(written - at)) count = (size_t)(written - at);
    atomic_store_explicit(&r->taken, at + (int64_t)count, memory_order_release);
    return count;
}

size_t ring_count(const ring *r) {
    /* taken first: it only grows, and never beyond written. */
    const int64_t taken = atomic_load_explicit(&r->taken, memory_order_acquire);
    return (size_t)(atomic_load_explicit(&r->written, memory_order_acquire) - taken);
}

size_t ring_room(const ring *r) {
    const int64_t taken = atomic_load_explicit(&r->taken, memory_order_acquire);
    const int64_t written = atomic_load_explicit(&r->written, memory_order_acquire);
    return r->mask + 1 - (size_t)(written - taken);
}

int64_t ring_written(const ring *r) {
    return atomic_load_explicit(&r->written, memory_order_acquire);
}

int64_t ring_taken(const ring *r) {
    return atomic_load_explicit(&r->taken, memory_order_acquire);
}
