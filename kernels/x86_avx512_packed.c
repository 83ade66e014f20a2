/* AVX-512 with VNNI: products with packed weights, sixteen rows at a time; x86_vnni.h. A line of a
 * slab is one register.
 *
 * One slab, for few inputs: the lines of a block are unpacked into eight registers and meet up to
 * INPUTS inputs there; the codes are read again for the next inputs, from the first-level cache.
 * Two slabs at once, for batches: x86_vnni_pair.h. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#define VNNI_512
#include "kernels/x86_vnni_pair.h"

/* ---- one slab ---- */

enum { INPUTS = 4 }; /* at once */

/* One block in registers: columns 0 .. 15 are lines 0 .. 3, with scales[0] and mins[0]. */
typedef struct block_rows {
    ints lines[PACKED_GROUPS];
    ints odd[PACKED_GROUPS]; /* Q8_0: the lines' columns 1 and 3; lines: 0 and 2 */
    bool raised;             /* lines 4 .. 7 hold 16 times their codes */
    floats scales[2];
    ints mins[2]; /* 16 bits */
} block_rows;

/* Codes that are nibbles: for few inputs it is cheaper to leave the high ones where they are, and
 * to shift the sum of each input, which is exact, than to shift the four lines. */
INLINE bool raises(const packed_info p, int count) {
    return count <= 2 && p.low_bits == 4 && p.high_bits == 0 && !p.is_table && p.sub_len == 32;
}

INLINE void read_block(const packed_info p, int count, const unsigned char *block,
                       const unsigned char *meta, int index, block_rows *w) {
    w->raised = raises(p, count);
    UNROLL for (int g = 0; g < PACKED_GROUPS; g++) {
        w->lines[g] = w->raised && g >= 4 ? both(load(block + PACKED_LINE * (g - 4)), bytes(0xf0))
                                          : read_line(p, block, g);
        if (!is_wide(p)) continue;
        w->odd[g] = odd_bytes(w->lines[g]);
        w->lines[g] = even_bytes(w->lines[g]);
    }
    UNROLL for (int half = 0; half < 2; half++) {
        const int sub = (index * PACKED_BLOCK + 16 * half) / p.sub_len;
        if (p.has_scale) w->scales[half] = read_scale(meta, sub);
    }
    read_mins(p, meta, index, w->mins);
}

/* The sums of columns 0 .. 15 and 16 .. 31, added to a. */
INLINE void dot_halves(const block_rows *w, const int8_t *x, ints a[2]) {
    UNROLL for (int half = 0; half < 2; half++) UNROLL for (int g = 0; g < 4; g++) a[half] =
        dot_bytes(a[half], w->lines[4 * half + g], spread(x + 16 * half + 4 * g));
}

/* The scaled sum of a block and one input: an integer, as float32. */
INLINE floats block_sum(const packed_info p, const block_rows *w, const int8_t *x,
                        const int32_t *offset) {
    ints a[2] = {begin_block(p, offset), dwords(0)};
    dot_halves(w, x, a);
    const floats sum = to_floats(plus(a[0], w->raised ? down_dwords(a[1], 4) : a[1]));
    return p.has_scale ? times(sum, w->scales[0]) : sum;
}

/* The same with a scale for each half. */
INLINE floats block_halves(const packed_info p, const block_rows *w, const int8_t *x,
                           const int16_t *sums) {
    ints a[2];
    begin_halves(p, sums, dwords(0), a);
    dot_halves(w, x, a);
    return times_plus(to_floats(a[1]), w->scales[1], times(to_floats(a[0]), w->scales[0]));
}

INLINE floats block_wide(const block_rows *w, const int16_t *x) {
    ints a[2] = {dwords(0), dwords(0)};
    UNROLL for (int g = 0; g < PACKED_GROUPS; g++) {
        a[0] = dot_words(a[0], w->lines[g], spread(x + 4 * g));
        a[1] = dot_words(a[1], w->odd[g], spread(x + 4 * g + 2));
    }
    return to_floats(plus(a[0], a[1]));
}

/* y[t][row] for `count` inputs t. */
INLINE void multiply_rows(const packed_info p, int count, float *y, const unsigned char *slab,
                          const kernels_input *x, input_tile at) {
    const int64_t blocks = x->col_count / PACKED_BLOCK;
    packed_fetch fetch = fetch_of(p, slab, x, at.index, at.count);
    const int of_super = p.super_len / PACKED_BLOCK;
    const unsigned char *codes = slab;
    const unsigned char *meta = slab + (size_t)blocks * packed_code_size(&p);
    floats acc[INPUTS];
    UNROLL for (int i = 0; i < count; i++) acc[i] = single(0);
    for (int64_t b = 0; b < blocks; b += of_super, meta += packed_meta_size(&p)) {
        floats products[INPUTS], minima[INPUTS];
        UNROLL for (int i = 0; i < count; i++) products[i] = minima[i] = single(0);
        for (int j = 0; j < of_super; j++, codes += packed_code_size(&p)) {
            block_rows w;
            fetch_blocks(&fetch, 1);
            read_block(p, count, codes, meta, j, &w);
            UNROLL for (int i = 0; i < count; i++) {
                const int64_t n = (at.t + i) * blocks + b + j;
                const int16_t *sums = x->sums + 4 * n;
                const floats scale = single(is_wide(p) ? x->wide_scales[n] : x->scales[n]);
                const int8_t *xc = x->codes + PACKED_BLOCK * n;
                const floats sum = is_wide(p)        ? block_wide(&w, x->wide + PACKED_BLOCK * n)
                                   : p.sub_len == 32 ? block_sum(p, &w, xc, x->offsets + n)
                                                     : block_halves(p, &w, xc, sums);
                products[i] = times_plus(sum, scale, products[i]);
                if (p.has_min) minima[i] = times_plus(block_min(p, w.mins, sums), scale, minima[i]);
            }
        }
        const unsigned char *d = halves_of(p, meta);
        UNROLL for (int i = 0; i < count; i++) {
            acc[i] = times_plus(halves(d), products[i], acc[i]);
            if (p.has_min) acc[i] = times_plus(min_of(p, d), minima[i], acc[i]);
        }
    }
    UNROLL for (int i = 0; i < count; i++) store(y + (at.t + i) * PACKED_ROWS, acc[i]);
}

INLINE void multiply_slab(const packed_info p, float *y, const unsigned char *slab,
                          const kernels_input *x, int64_t x_count) {
    const int64_t tiles = (x_count + INPUTS - 1) / INPUTS;
    for (int64_t i = 0; i < tiles; i++) {
        const input_tile at = {tile_begin(x_count, tiles, i), i, tiles};
        const int64_t count = tile_begin(x_count, tiles, i + 1) - at.t;
        if (count == 4)
            multiply_rows(p, 4, y, slab, x, at);
        else if (count == 3)
            multiply_rows(p, 3, y, slab, x, at);
        else if (count == 2)
            multiply_rows(p, 2, y, slab, x, at);
        else
            multiply_rows(p, 1, y, slab, x, at);
    }
}

#define MULTIPLY(name, type)                                                                       \
    static void multiply_##name(float *y, const unsigned char *slab, const kernels_input *x,       \
                                int64_t x_count, unsigned char *scratch) {                         \
        (void)scratch;                                                                             \
        multiply_slab(packed_infos[type], y, slab, x, x_count);                                    \
    }
PACKED_EACH(MULTIPLY)

/* ---- two ---- */

#define MULTIPLY_PAIR(name, type)                                                                  \
    static void multiply_pair_##name(float *const *y, const unsigned char *const *slabs,           \
                                     const kernels_input *x, int64_t x_count) {                    \
        const pair rows = {{slabs[0], slabs[1]}, {0, 0}, false};                                   \
        multiply_two(packed_infos[type], y, &rows, x, x_count);                                    \
    }
PACKED_EACH(MULTIPLY_PAIR)

void kernels_fill_avx512_packed(kernels *k) {
    PACKED_EACH(PACKED_FILL)
#define FILL(name, type) k->multiply_pair[type] = multiply_pair_##name;
    PACKED_EACH(FILL)
#undef FILL
}

#endif
