/* Asking for memory before it is used. A hint: no bit depends on it, and what lies there need not
 * exist. The cache that is named must be a constant of the instruction (x86 `prefetcht0` and
 * `prefetcht1`, ARM `prfm pldl1keep` and `pldl2keep`), so each has a loop of its own. */
#ifndef KERNELS_FETCH_H
#define KERNELS_FETCH_H

typedef enum kernels_fetch {
    KERNELS_FETCH_NONE, /* nothing is asked for: that is left to the machine */
    KERNELS_FETCH_L1,   /* into the first-level cache, and what lies between it and memory */
    KERNELS_FETCH_L2,   /* no further than the second-level cache */
    KERNELS_FETCH_COUNT
} kernels_fetch;

#define KERNELS_FETCH_INLINE static inline __attribute__((always_inline))

/* Asks for one cache line. */
KERNELS_FETCH_INLINE void kernels_fetch_line(const unsigned char *p, kernels_fetch to) {
    if (to == KERNELS_FETCH_L1)
        __builtin_prefetch(p, 0, 3);
    else if (to == KERNELS_FETCH_L2)
        __builtin_prefetch(p, 0, 2);
}

/* Asks for the lines at p, p + 64 and so on that begin before end. Returns the next line, or p
 * where nothing is asked for. */
KERNELS_FETCH_INLINE const unsigned char *
kernels_fetch_lines(const unsigned char *p, const unsigned char *end, kernels_fetch to) {
    enum { LINE = 64 };
    if (to == KERNELS_FETCH_L1)
        for (; p < end; p += LINE) __builtin_prefetch(p, 0, 3);
    else if (to == KERNELS_FETCH_L2)
        for (; p < end; p += LINE) __builtin_prefetch(p, 0, 2);
    return p;
}

#endif
