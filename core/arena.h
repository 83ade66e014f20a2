/* Measure once, place once: the same layout lines first add up sizes (base == NULL), then hand out
 * pointers. Nothing is freed one by one. A layout that overflows size_t is sticky and seen at the
 * end with arena_overflowed. */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

enum { ARENA_ALIGN = 64 };

typedef struct arena {
    unsigned char *base; /* NULL while measuring; else aligned to ARENA_ALIGN */
    size_t size_used;
    size_t size_cap; /* room behind base */
    bool overflowed;
} arena;

/* count * size bytes aligned to ARENA_ALIGN; NULL while measuring (and for a zero product).
 * Placing more than was measured is our bug: asserted. */
void *arena_take(arena *a, size_t count, size_t size);

/* What is taken next begins at a multiple of align, a power of two above ARENA_ALIGN, if the arena
 * itself does. */
void arena_pad(arena *a, size_t align);

#endif
