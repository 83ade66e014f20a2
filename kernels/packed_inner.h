/* What each packed type is made of, as constants: the levels write their loops once for all types,
 * and the compiler turns each into straight code. Private to kernels/. */
#ifndef KERNELS_PACKED_INNER_H
#define KERNELS_PACKED_INNER_H

#include "kernels/kernels.h"

static const packed_info packed_infos[QUANT_TYPE_CAP] = {
    /*               low high offset sub super scale  min    table */
    [QUANT_Q4_0] = {4, 0, 8, 32, 32, false, false, false},
    [QUANT_Q4_1] = {4, 0, 0, 32, 32, false, true, false},
    [QUANT_Q5_0] = {4, 1, 16, 32, 32, false, false, false},
    [QUANT_Q5_1] = {4, 1, 0, 32, 32, false, true, false},
    [QUANT_Q8_0] = {8, 0, 0, 32, 32, false, false, false},
    [QUANT_Q2_K] = {2, 0, 0, 16, 256, true, true, false},
    [QUANT_Q3_K] = {2, 1, 4, 16, 256, true, false, false},
    [QUANT_Q4_K] = {4, 0, 0, 32, 256, true, true, false},
    [QUANT_Q5_K] = {4, 1, 0, 32, 256, true, true, false},
    [QUANT_Q6_K] = {4, 2, 32, 16, 256, true, false, false},
    [QUANT_IQ4_NL] = {4, 0, 0, 32, 32, false, false, true},
    [QUANT_IQ4_XS] = {4, 0, 0, 32, 256, true, false, true},
};

/* X(name, type) for each of them. */
#define PACKED_EACH(X)                                                                             \
    X(q4_0, QUANT_Q4_0)                                                                            \
    X(q4_1, QUANT_Q4_1)                                                                            \
    X(q5_0, QUANT_Q5_0)                                                                            \
    X(q5_1, QUANT_Q5_1)                                                                            \
    X(q8_0, QUANT_Q8_0)                                                                            \
    X(q2_k, QUANT_Q2_K)                                                                            \
    X(q3_k, QUANT_Q3_K)                                                                            \
    X(q4_k, QUANT_Q4_K)                                                                            \
    X(q5_k, QUANT_Q5_K)                                                                            \
    X(q6_k, QUANT_Q6_K)                                                                            \
    X(iq4_nl, QUANT_IQ4_NL)                                                                        \
    X(iq4_xs, QUANT_IQ4_XS)
/* k->multiply for each of them: multiply_q4_0() and so on of the file that says it. */
#define PACKED_FILL(name, type) k->multiply[type] = multiply_##name;

#define PACKED_INLINE static inline __attribute__((always_inline))

PACKED_INLINE bool is_wide(const packed_info p) { /* Q8_0 */
    return p.low_bits == 8;
}
/* Sub-blocks of a super-block. */
PACKED_INLINE int subs_of(const packed_info p) {
    return p.super_len / p.sub_len;
}
/* What lies behind the codes of a super-block: scales, minima, then the halves, which are here. */
PACKED_INLINE const unsigned char *halves_of(const packed_info p, const unsigned char *meta) {
    return meta + PACKED_ROWS * (p.has_scale ? subs_of(p) * (p.has_min ? 2 : 1) : 0);
}

/* What is fetched while a slab is multiplied: the slab x->ahead bytes behind it, as many lines for
 * each block as keep pace. A machine's own prefetching begins anew with every slab and stops at
 * every page; asked for, memory never rests (docs/SPEED.md). */
typedef struct packed_fetch {
    const unsigned char *next, *end;
    size_t block_size; /* bytes for each block of the slab at hand */
    kernels_fetch to;
} packed_fetch;
/* Pass `index` of `count` over a slab fetches its share of the next, so that memory is asked all
 * the time and not only while the first inputs meet the slab. */
PACKED_INLINE packed_fetch fetch_of(const packed_info p, const unsigned char *slab,
                                    const kernels_input *x, int64_t index, int64_t count) {
    const size_t blocks = (size_t)x->col_count / PACKED_BLOCK,
                 supers = blocks * PACKED_BLOCK / (size_t)p.super_len;
    const size_t size = blocks * packed_code_size(&p) + supers * packed_meta_size(&p);
    size_t begin = 0, end = size;
    if (count > 1) { /* one input is done too soon to divide for nothing */
        const size_t lines = (size + PACKED_LINE - 1) / PACKED_LINE;
        begin = lines * (size_t)index / (size_t)count * PACKED_LINE;
        end = lines * (size_t)(index + 1) / (size_t)count * PACKED_LINE;
    }
    const unsigned char *next = slab + x->ahead;
    return (packed_fetch){next + begin, next + end, (end - begin + blocks - 1) / blocks, x->fetch};
}
PACKED_INLINE void fetch_blocks(packed_fetch *f, int count) {
    const unsigned char *end = f->next + (size_t)count * f->block_size;
    if (end > f->end) end = f->end;
    f->next = kernels_fetch_lines(f->next, end, f->to);
}

#endif
