/* What this machine can do at most: probes of its arithmetic and of its memory, for `runnel bench`.
 * Nothing else calls them. */
#ifndef KERNELS_LIMIT_H
#define KERNELS_LIMIT_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* One kind of arithmetic, operands in registers. A new instruction is a new row of the table in
 * limit.c. I8 and I16 are packed weights (I16: Q8_0), BF16 what rounds floats to
 * it, F32 everything else. */
typedef struct limit_probe {
    const char *level;                 /* the level of kernels it belongs to: "scalar", "avx2" */
    const char *type;                  /* of the operands: "F32", "I8" */
    unsigned needs;                    /* KERNELS_CPU_* bits; without them run must not be called */
    double op_count;                   /* operations of one round; a multiply-add is two */
    float (*run)(int64_t round_count); /* the result only keeps the work from being left out */
} limit_probe;

/* The rows of the table in order; NULL past the last. */
const limit_probe *limit_probe_at(size_t index);

/* Reads size bytes, a multiple of 64, from an address that is a multiple of 64, with the widest
 * loads that the features allow. Each line is fetched LIMIT_AHEAD bytes before, to the cache that
 * is named. The result only keeps the work from being left out. */
enum { LIMIT_AHEAD = 1024 };
uint64_t limit_read(unsigned features, const void *data, size_t size, kernels_fetch fetch);

#endif
