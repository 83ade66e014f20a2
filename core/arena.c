#include "core/arena.h"

#include <assert.h>

#include "core/checked.h"

void *arena_take(arena *a, size_t count, size_t size) {
    size_t bytes, end;
    if (!checked_mul(count, size, &bytes) || !checked_align(bytes, ARENA_ALIGN, &bytes) ||
        !checked_add(a->size_used, bytes, &end)) {
        a->overflowed = true;
        return NULL;
    }
    const size_t begin = a->size_used;
    a->size_used = end;
    if (a->base == NULL || bytes == 0) return NULL;
    assert(end <= a->size_cap);
    return a->base + begin;
}

void arena_pad(arena *a, size_t align) {
    if (!checked_align(a->size_used, align, &a->size_used)) a->overflowed = true;
    assert(a->base == NULL || a->size_used <= a->size_cap);
}
