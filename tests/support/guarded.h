/* What tests of kernels share: arrays that end at an unreadable page, so that a kernel that reads
 * too far ends the test; canaries around outputs; numbers that are the same on every machine. */
#ifndef TESTS_SUPPORT_GUARDED_H
#define TESTS_SUPPORT_GUARDED_H

#include <stddef.h>
#include <stdint.h>

enum { GUARD = 8 }; /* canaries on either side of an output */

/* 31 bits of a generator; seed moves on. */
uint64_t next_random(uint64_t *seed);
float random_float(uint64_t *seed); /* in [-1, 1) */

/* The last page of `map` is unreadable; arrays are placed to end at it. */
typedef struct guarded {
    unsigned char *map, *end;
    size_t size;
} guarded;
guarded guarded_make(size_t size);
void guarded_drop(guarded *g);

/* count random floats that end where reading must end. */
float *place(const guarded *g, size_t count, uint64_t seed);

/* Fills with the canary; fails when one is gone. */
void cover(float *y, size_t count);
void assert_covered(const float *y, size_t count);

/* Allocated at a multiple of 64, free() it, or the test fails. */
void *take(size_t size);

#endif
