/* Two registers of rows at once, for batches: the pair is two slabs with registers of sixteen rows
 * (x86_avx512_packed.c), the two halves of one slab with registers of eight
 * (x86_avxvnni_packed.c). Each `vpdpbusd` of a single register of rows wants a load of its own, and
 * a core has two loads and two dot products a cycle, with the loads of scales on top; so the four
 * columns of an input that are spread over a register serve both:
 *
 *     line 0, line 1    the lines at hand of either       input, spread
 *     sums              of the block    [inputs][2]
 *
 * and what the outputs have come to lies in memory meanwhile: it is met once a block, the lines are
 * unpacked for all inputs of the tile at once. Of 32 registers eight inputs leave enough, of 16
 * four; of Q8_0, whose lines cost most beside its products, twelve and three. Where two halves of a
 * block have scales of their own, sums of the first wait for the second, and there are fewer
 * inputs. Minima have a loop of their own behind a super-block's products. All bits are those of
 * one input and one slab after the other. */
#ifndef KERNELS_X86_VNNI_PAIR_H
#define KERNELS_X86_VNNI_PAIR_H

#include "kernels/x86_vnni.h"

enum { PAIR = 2, PAIR_INPUTS = LANES == 16 ? 12 : 4 };

/* Where a block stands in the first of the inputs; the others follow a row of columns apart. */
typedef struct block_input {
    const int8_t *codes;
    const int16_t *wide, *sums;
    const int32_t *offsets;
    const float *scales;
    int64_t cols, blocks; /* of a row */
} block_input;

INLINE block_input input_at(const packed_info p, const kernels_input *x, int64_t t, int64_t b) {
    const int64_t blocks = x->col_count / PACKED_BLOCK, at = t * blocks + b;
    block_input in = {.cols = x->col_count, .blocks = blocks};
    if (is_wide(p)) {
        in.wide = x->wide + PACKED_BLOCK * at;
        in.scales = x->wide_scales + at;
    } else {
        in.codes = x->codes + PACKED_BLOCK * at;
        in.sums = x->sums + 4 * at;
        in.offsets = x->offsets + at;
        in.scales = x->scales + at;
    }
    return in;
}

/* What is fetched while a block is multiplied, up to ends: a line at a time between its groups. All
 * at once the lines would take every buffer that loads of the block itself need, and memory would
 * rest in between. */
typedef struct pair_fetch {
    packed_fetch of[PAIR];
    const unsigned char *ends[PAIR];
} pair_fetch;

INLINE void fetch_begin(pair_fetch *f, bool is_one) {
    UNROLL for (int s = 0; s < PAIR; s++) {
        const packed_fetch *of = &f->of[s];
        const size_t left = (size_t)(of->end - of->next);
        f->ends[s] = of->next + (left < of->block_size ? left : of->block_size);
        if (s == 1 && is_one) f->ends[s] = of->next;
    }
}
/* Behind group n. */
INLINE void fetch_one(pair_fetch *f, int n) {
    packed_fetch *of = &f->of[n % PAIR];
    if (of->next >= f->ends[n % PAIR]) return;
    kernels_fetch_line(of->next, of->to);
    of->next += PACKED_LINE;
}
INLINE void fetch_rest(pair_fetch *f) {
    UNROLL for (int s = 0; s < PAIR; s++) f->of[s].next =
        kernels_fetch_lines(f->of[s].next, f->ends[s], f->of[s].to);
}

/* Group g of a block, added to a. */
INLINE void pair_group(const packed_info p, int count, const unsigned char *const block[PAIR],
                       const block_input *x, int g, ints a[PAIR_INPUTS][PAIR]) {
    ints line[PAIR];
    UNROLL for (int s = 0; s < PAIR; s++) line[s] = read_line(p, block[s], g);
    UNROLL for (int i = 0; i < count; i++) {
        const ints xs = spread(x->codes + i * x->cols + 4 * g);
        UNROLL for (int s = 0; s < PAIR; s++) a[i][s] = dot_bytes(a[i][s], line[s], xs);
    }
}

/* Likewise with inputs of 16 bits. */
INLINE void pair_wide(const packed_info p, int count, const unsigned char *const block[PAIR],
                      const block_input *x, pair_fetch *fetch, ints a[PAIR_INPUTS][PAIR]) {
    UNROLL for (int g = 0; g < PACKED_GROUPS; g++) UNROLL for (int odd = 0; odd < 2; odd++) {
        ints line[PAIR];
        UNROLL for (int s = 0; s < PAIR; s++) {
            line[s] = read_line(p, block[s], g);
            line[s] = odd ? odd_bytes(line[s]) : even_bytes(line[s]);
        }
        UNROLL for (int i = 0; i < count; i++) {
            const ints xs = spread(x->wide + i * x->cols + 4 * g + 2 * odd);
            UNROLL for (int s = 0; s < PAIR; s++) a[i][s] = dot_words(a[i][s], line[s], xs);
        }
        fetch_one(fetch, odd);
    }
}

/* 1.5 * 2^23: to its bits as an integer a sum of less than 2^22 can be added, and they are those of
 * the float that is so much larger. So the fused step that takes it off multiplies by an integer
 * scale as well and needs no conversion before; every product is exact. */
enum { RAISED_BITS = 0x4b400000 };
#define RAISED 12582912.0f

/* sum * scale of a sum that began with RAISED_BITS; less: -RAISED * scale. */
INLINE floats scale_raised(ints sum, floats scale, floats less) {
    return times_plus(as_floats(sum), scale, less);
}

/* The scaled sums of block `index` of a super-block: integers, as float32. */
INLINE void pair_sums(const packed_info p, int count, const unsigned char *const block[PAIR],
                      const unsigned char *const meta[PAIR], int index, const block_input *x,
                      pair_fetch *fetch, floats out[PAIR_INPUTS][PAIR]) {
    const int sub = index * PACKED_BLOCK / p.sub_len;
    ints a[PAIR_INPUTS][PAIR];
    UNROLL for (int i = 0; i < count; i++) {
        a[i][0] = is_wide(p) ? dwords(0) : begin_block(p, x->offsets + i * x->blocks);
        if (p.has_scale) a[i][0] = plus(a[i][0], dwords(RAISED_BITS));
        a[i][1] = a[i][0];
    }
    if (is_wide(p)) {
        pair_wide(p, count, block, x, fetch, a);
    } else { /* groups g and g + 4 share a line: one after the other, so that it need not be kept */
        UNROLL for (int n = 0; n < PACKED_GROUPS; n++) {
            pair_group(p, count, block, x, n % 2 * (PACKED_GROUPS / 2) + n / 2, a);
            fetch_one(fetch, n);
        }
    }
    UNROLL for (int s = 0; s < PAIR; s++) {
        const floats scale = p.has_scale ? read_scale(meta[s], sub) : single(1);
        const floats less = times(scale, single(-RAISED));
        UNROLL for (int i = 0; i < count; i++) out[i][s] =
            p.has_scale ? scale_raised(a[i][s], scale, less) : to_floats(a[i][s]);
    }
}

/* The same with a scale for each half. */
INLINE void pair_half_sums(const packed_info p, int count, const unsigned char *const block[PAIR],
                           const unsigned char *const meta[PAIR], int index, const block_input *x,
                           pair_fetch *fetch, floats out[PAIR_INPUTS][PAIR]) {
    const int sub = index * PACKED_BLOCK / p.sub_len;
    UNROLL for (int half = 0; half < 2; half++) {
        ints a[PAIR_INPUTS][PAIR];
        UNROLL for (int i = 0; i < count; i++) {
            ints begin[2];
            begin_halves(p, x->sums + 4 * i * x->blocks, dwords(RAISED_BITS), begin);
            a[i][0] = a[i][1] = begin[half];
        }
        UNROLL for (int g = 4 * half; g < 4 * half + 4; g++) {
            pair_group(p, count, block, x, g, a);
            fetch_one(fetch, g);
        }
        UNROLL for (int s = 0; s < PAIR; s++) {
            const floats scale = read_scale(meta[s], sub + half);
            const floats less = times(scale, single(-RAISED));
            UNROLL for (int i = 0; i < count; i++) out[i][s] =
                half == 0 ? scale_raised(a[i][s], scale, less)
                          : times_plus(to_floats(a[i][s]), scale, out[i][s]);
        }
    }
}

/* Adds block `index` of a super-block to the sums of its minima: minimum times sum of the codes is
 * an integer that a float holds, made of -1/8 of the one and the offset, -8 times the other. */
INLINE void pair_block_minima(const packed_info p, int count, const unsigned char *const meta[PAIR],
                              int index, const block_input *x, floats minima[PAIR_INPUTS][PAIR]) {
    const size_t at = PACKED_ROWS * (size_t)(index + subs_of(p));
    floats part[PAIR];
    UNROLL for (int s = 0; s < PAIR; s++) part[s] =
        p.has_scale ? times(to_floats(unsigned_bytes(meta[s] + at)), single(-0.125f))
                    : single(-0.125f);
    UNROLL for (int i = 0; i < count; i++) {
        const floats codes = to_floats(spread(x->offsets + i * x->blocks + index));
        const floats scale = single(x->scales[i * x->blocks + index]);
        UNROLL for (int s = 0; s < PAIR; s++) minima[i][s] =
            times_plus(times(part[s], codes), scale, minima[i][s]);
    }
}

/* The same with a minimum for each half. */
INLINE void pair_half_minima(const packed_info p, int count, const unsigned char *const meta[PAIR],
                             int index, const block_input *x, floats minima[PAIR_INPUTS][PAIR]) {
    UNROLL for (int s = 0; s < PAIR; s++) {
        ints mins[2];
        read_mins(p, meta[s], index, mins);
        UNROLL for (int i = 0; i < count; i++) {
            const int64_t at = i * x->blocks + index;
            minima[i][s] = times_plus(block_min(p, mins, x->sums + 4 * at), single(x->scales[at]),
                                      minima[i][s]);
        }
    }
}

/* acc += minimum * (minima of a super-block times the sums of the inputs). */
INLINE void pair_minima(const packed_info p, int count, const unsigned char *const meta[PAIR],
                        const int row[PAIR], const block_input *x, floats acc[PAIR_INPUTS][PAIR]) {
    floats minima[PAIR_INPUTS][PAIR];
    UNROLL for (int i = 0; i < count; i++) minima[i][0] = minima[i][1] = single(0);
    for (int j = 0; j < p.super_len / PACKED_BLOCK; j++) {
        if (p.sub_len == 32)
            pair_block_minima(p, count, meta, j, x, minima);
        else
            pair_half_minima(p, count, meta, j, x, minima);
    }
    UNROLL for (int s = 0; s < PAIR; s++) {
        const floats min = min_of(p, halves_of(p, meta[s]) + row[s]);
        UNROLL for (int i = 0; i < count; i++) acc[i][s] = times_plus(min, minima[i][s], acc[i][s]);
    }
}

/* Which rows: LANES of each slab from row[s] on. */
typedef struct pair {
    const unsigned char *slabs[PAIR];
    int row[PAIR];
    bool is_one; /* the slabs are one, fetched once */
} pair;

/* y[s][t ...][row[s] ...] for `count` inputs. */
INLINE void pair_rows(const packed_info p, int count, float *const *y, const pair *rows,
                      const kernels_input *x, input_tile at) {
    const int64_t blocks = x->col_count / PACKED_BLOCK;
    const int of_super = p.super_len / PACKED_BLOCK;
    const unsigned char *code[PAIR], *meta[PAIR];
    pair_fetch fetch;
    floats acc[PAIR_INPUTS][PAIR];
    for (int s = 0; s < PAIR; s++) {
        code[s] = rows->slabs[s] + 4 * rows->row[s];
        meta[s] = rows->slabs[s] + (size_t)blocks * packed_code_size(&p) + rows->row[s];
        fetch.of[s] = fetch_of(p, rows->slabs[s], x, at.index, at.count);
    }
    UNROLL for (int i = 0; i < count; i++) acc[i][0] = acc[i][1] = single(0);
    for (int64_t b = 0; b < blocks; b += of_super) {
        floats products[PAIR_INPUTS][PAIR];
        UNROLL for (int i = 0; i < count; i++) products[i][0] = products[i][1] = single(0);
        for (int j = 0; j < of_super; j++) {
            const block_input in = input_at(p, x, at.t, b + j);
            floats sums[PAIR_INPUTS][PAIR];
            fetch_begin(&fetch, rows->is_one);
            if (p.sub_len == 32)
                pair_sums(p, count, code, meta, j, &in, &fetch, sums);
            else
                pair_half_sums(p, count, code, meta, j, &in, &fetch, sums);
            fetch_rest(&fetch);
            UNROLL for (int i = 0; i < count; i++) {
                const floats scale = single(in.scales[i * blocks]);
                UNROLL for (int s = 0; s < PAIR; s++) products[i][s] =
                    of_super == 1 ? times(sums[i][s], scale)
                                  : times_plus(sums[i][s], scale, products[i][s]);
            }
            for (int s = 0; s < PAIR; s++) code[s] += packed_code_size(&p);
        }
        UNROLL for (int s = 0; s < PAIR; s++) {
            const floats d = halves(halves_of(p, meta[s]) + rows->row[s]);
            UNROLL for (int i = 0; i < count; i++) acc[i][s] =
                times_plus(d, products[i][s], acc[i][s]);
        }
        const block_input in = input_at(p, x, at.t, b);
        if (p.has_min) pair_minima(p, count, meta, rows->row, &in, acc);
        for (int s = 0; s < PAIR; s++) meta[s] += packed_meta_size(&p);
    }
    UNROLL for (int i = 0; i < count; i++) UNROLL for (int s = 0; s < PAIR; s++)
        store(y[s] + (at.t + i) * PACKED_ROWS + rows->row[s], acc[i][s]);
}

/* Inputs at once, of a type. */
INLINE int pair_cap(const packed_info p) {
    if (LANES < 16) return is_wide(p) ? 3 : PAIR_INPUTS;
    return is_wide(p) ? PAIR_INPUTS : p.sub_len == PACKED_BLOCK ? 8 : 6;
}

INLINE void multiply_two(const packed_info p, float *const *y, const pair *rows,
                         const kernels_input *x, int64_t x_count) {
    const int64_t tiles = (x_count + pair_cap(p) - 1) / pair_cap(p);
    for (int64_t i = 0; i < tiles; i++) {
        const input_tile at = {tile_begin(x_count, tiles, i), i, tiles};
        switch (tile_begin(x_count, tiles, i + 1) - at.t) {
#define TILE(count)                                                                                \
    case count:                                                                                    \
        if (count <= pair_cap(p)) pair_rows(p, count, y, rows, x, at);                             \
        break
            TILE(1);
            TILE(2);
            TILE(3);
            TILE(4);
            TILE(5);
            TILE(6);
            TILE(7);
            TILE(8);
            TILE(9);
            TILE(10);
            TILE(11);
            TILE(12);
#undef TILE
        }
    }
}

#endif
