/* Arithmetic on sizes that come from files: every product and sum goes through here. */
#ifndef CORE_CHECKED_H
#define CORE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a op b; false when it does not fit, *out then undefined. */
static inline bool checked_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}
static inline bool checked_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
/* *out = value rounded up to a multiple of align (a power of two). */
static inline bool checked_align(size_t value, size_t align, size_t *out) {
    if (!checked_add(value, align - 1, out)) return false;
    *out &= ~(align - 1);
    return true;
}

#endif
