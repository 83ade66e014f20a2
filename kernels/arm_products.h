/* ARM: products with packed weights, written once for three levels. A line of packed.h is four
 * registers here, four rows each; one step multiplies four rows by four columns and adds them up:
 *
 *     weights  | r0: c0 c1 c2 c3 | r1: c0 c1 c2 c3 | r2: ... | r3: ... |   signed bytes
 *     input    | x0 x1 x2 x3     | x0 x1 x2 x3     | ...     | ...     |   one lane, broadcast
 *     sums     | r0              | r1              | r2      | r3      |   32 bits
 *
 * ARM_STEP, set by the file that includes this one, says how a step is made:
 *
 *     0  products of 16 bits, added in pairs     arm_neon_packed.c, any 64-bit ARM
 *     1  sdot                                    arm_dotprod_packed.c
 *     2  sdot, usdot; for several inputs smmla   arm_i8mm_packed.c
 *
 * smmla multiplies two inputs by two rows over eight columns at once; for it the lines of groups g
 * and g + 1 are zipped when they are unpacked, so that a register holds two rows of eight columns:
 *
 *     line g   | r0: c0..c3 | r1: c0..c3 | r2 | r3 |      | r0: c0 .. c7  | r1: c0 .. c7  |
 *     line g+1 | r0: c4..c7 | r1: c4..c7 | r2 | r3 |  ->  | r2: c0 .. c7  | r3: c0 .. c7  |
 *
 * Codes are unsigned in the slab; their offset is taken off with the sums of the input (one input)
 * or while unpacking (several). Q8_0 meets inputs of 16 bits, which are split into bytes,
 * x = 256 high + low: where low must be signed it is low - 128, and 128 times the sum of the
 * weights comes back by a third step.
 *
 * One input reads the slab straight into registers (direct_*). Several share the unpacking: a piece
 * of the slab goes through scratch, and tiles of 8 rows and up to four inputs are multiplied by it
 * (tile_*). All give the bits of scalar_packed.c: integers are exact, float steps are its own. */
#ifndef KERNELS_ARM_PRODUCTS_H
#define KERNELS_ARM_PRODUCTS_H

#include "kernels/arm_inner.h"
#include "kernels/levels.h"
#include "kernels/packed_inner.h"

enum { QUADS = 4, QUAD = 4, PIECE_BLOCKS = 16, TILE_INPUTS = 4 }; /* registers of a line, rows */

/* ---- the step ---- */

/* sum[r] += four columns of row r times lane `lane` of the input. The 16 bits of ARM_STEP 0 hold
 * two products: of all codes but -128 times -128, which only Q8_0 has. */
INLINE int32x4_t step(int32x4_t sum, int8x16_t w, int8x16_t x, int lane, bool wide) {
#if ARM_STEP > 0
    (void)wide;
    switch (lane) { /* an immediate of the instruction */
    case 0:
        return vdotq_laneq_s32(sum, w, x, 0);
    case 1:
        return vdotq_laneq_s32(sum, w, x, 1);
    case 2:
        return vdotq_laneq_s32(sum, w, x, 2);
    default:
        return vdotq_laneq_s32(sum, w, x, 3);
    }
#else
    const int8x16_t all = vreinterpretq_s8_s32(vdupq_n_s32(vreinterpretq_s32_s8(x)[lane]));
    const int16x8_t a = vmull_s8(vget_low_s8(w), vget_low_s8(all)), b = vmull_high_s8(w, all);
    if (wide) return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(a), vpaddlq_s16(b)));
    return vpadalq_s16(sum, vpaddq_s16(a, b));
#endif
}

/* Sixteen columns of 16 bits, as bytes in the order of the weights (wide has 0 2 1 3). */
typedef struct split {
    int8x16_t high, low; /* low: less 128 unless ARM_STEP is 2 */
} split;
INLINE split split_input(const int16_t *wide) {
    static const uint8_t order[16] = {0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15};
    const uint8x16_t at = vld1q_u8(order);
    const int8x16_t a = vreinterpretq_s8_s16(vld1q_s16(wide));
    const int8x16_t b = vreinterpretq_s8_s16(vld1q_s16(wide + 8));
    const int8x16_t low = vqtbl1q_s8(vuzp1q_s8(a, b), at);
    return (split){vqtbl1q_s8(vuzp2q_s8(a, b), at),
                   ARM_STEP == 2 ? low : veorq_s8(low, vdupq_n_s8(-128))};
}

/* The sums of a block of Q8_0 before they are put together; all: of the weights alone. */
typedef struct wide_sums {
    int32x4_t high, low, all;
} wide_sums;
INLINE wide_sums wide_zero(void) {
    return (wide_sums){vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
}
INLINE wide_sums wide_step(wide_sums s, int8x16_t w, split x, int lane) {
    s.high = step(s.high, w, x.high, lane, true);
#if ARM_STEP == 2
    const uint8x16_t low = vreinterpretq_u8_s8(x.low);
    switch (lane) {
    case 0:
        s.low = vsudotq_laneq_s32(s.low, w, low, 0);
        break;
    case 1:
        s.low = vsudotq_laneq_s32(s.low, w, low, 1);
        break;
    case 2:
        s.low = vsudotq_laneq_s32(s.low, w, low, 2);
        break;
    default:
        s.low = vsudotq_laneq_s32(s.low, w, low, 3);
    }
#else
    s.low = step(s.low, w, x.low, lane, true);
    s.all = step(s.all, w, vdupq_n_s8(1), lane, true);
#endif
    return s;
}
INLINE int32x4_t wide_total(wide_sums s) {
    const int32x4_t sum = vaddq_s32(vshlq_n_s32(s.high, 8), s.low);
    return ARM_STEP == 2 ? sum : vaddq_s32(sum, vshlq_n_s32(s.all, 7));
}

/* ---- reading a slab ---- */

INLINE uint8x16_t moved(uint8x16_t v, int left, int mask) {
    if (left != 0) v = vshlq_u8(v, vdupq_n_s8((int8_t)left)); /* negative: to the right */
    return vandq_u8(v, vdupq_n_u8((uint8_t)mask));
}

/* Groups j and j + 4 of a block, rows 4q .. 4q + 3, a byte per code. */
INLINE void read_pair(const packed_info p, const unsigned char *block, int j, int q,
                      int8x16_t out[2]) {
    const unsigned char *at = block + 16 * q;
    uint8x16_t v[2];
    if (p.low_bits == 8) {
        v[0] = vld1q_u8(at + PACKED_LINE * j);
        v[1] = vld1q_u8(at + PACKED_LINE * (j + 4));
    } else if (p.low_bits == 4) {
        const uint8x16_t b = vld1q_u8(at + PACKED_LINE * j);
        v[0] = vandq_u8(b, vdupq_n_u8(15));
        v[1] = vshrq_n_u8(b, 4);
    } else {
        const uint8x16_t b = vld1q_u8(at + PACKED_LINE * (j % 2));
        v[0] = moved(b, -(j / 2 * 2), 3);
        v[1] = moved(b, -(j / 2 * 2) - 4, 3);
    }
    const unsigned char *high = at + PACKED_LINE * p.low_bits;
    if (p.high_bits == 2) {
        const uint8x16_t b = vld1q_u8(high + PACKED_LINE * (j % 2));
        v[0] = vorrq_u8(v[0], moved(b, p.low_bits - j / 2 * 2, 3 << p.low_bits));
        v[1] = vorrq_u8(v[1], moved(b, p.low_bits - j / 2 * 2 - 4, 3 << p.low_bits));
    } else if (p.high_bits == 1) {
        const uint8x16_t b = vld1q_u8(high);
        v[0] = vorrq_u8(v[0], moved(b, p.low_bits - j, 1 << p.low_bits));
        v[1] = vorrq_u8(v[1], moved(b, p.low_bits - j - 4, 1 << p.low_bits));
    }
    UNROLL for (int i = 0; i < 2; i++) {
        static const int8_t table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};
        out[i] = p.is_table ? vqtbl1q_s8(vld1q_s8(table), v[i]) : vreinterpretq_s8_u8(v[i]);
    }
}

/* Four bytes, one per row, as 32 bits: scales are signed, minima are not. */
INLINE int32x4_t read_ints(const unsigned char *bytes, bool is_signed) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    const uint8x8_t v = vcreate_u8(word);
    if (is_signed) return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(v))));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(v))));
}
/* Those of the halves of block i of a super-block, rows 4q .. 4q + 3. */
INLINE void read_subs(const packed_info p, const unsigned char *bytes, int i, int q, bool is_signed,
                      int32x4_t v[2]) {
    const unsigned char *at = bytes + PACKED_ROWS * (i * PACKED_BLOCK / p.sub_len) + QUAD * q;
    v[0] = read_ints(at, is_signed);
    v[1] = p.sub_len == 16 ? read_ints(at + PACKED_ROWS, is_signed) : v[0];
}
INLINE float32x4_t read_halves(const unsigned char *p) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

/* The sums of a block's input: of columns 0 .. 15, of 16 .. 31, of all. */
INLINE void input_sums(const int16_t *sums, int32_t out[3]) {
    out[0] = sums[0] + sums[1];
    out[2] = sums[2] + sums[3];
    out[1] = out[2] - out[0];
}

/* Minima (1 each where the type has no integers for them) times the sums of the input. */
INLINE int32x4_t min_sum(const packed_info p, const int32x4_t mins[2], const int32_t sums[3]) {
    if (!p.has_scale) return vdupq_n_s32(sums[2]);
    if (p.sub_len == 32) return vmulq_n_s32(mins[0], sums[2]);
    return vmlaq_n_s32(vmulq_n_s32(mins[0], sums[0]), mins[1], sums[1]);
}

/* The sums of both halves as one, with their scales. */
INLINE int32x4_t scale_sums(const packed_info p, const int32x4_t halves[2],
                            const int32x4_t scales[2]) {
    if (p.sub_len == 16) return vmlaq_s32(vmulq_s32(halves[0], scales[0]), halves[1], scales[1]);
    const int32x4_t sum = vaddq_s32(halves[0], halves[1]);
    return p.has_scale ? vmulq_s32(sum, scales[0]) : sum;
}

/* ---- one input: straight from the slab ---- */

INLINE int32x4_t direct_wide(const unsigned char *block, int q, const split x[2]) {
    wide_sums s = wide_zero();
    UNROLL for (int g = 0; g < PACKED_GROUPS; g++) s = wide_step(
        s, vreinterpretq_s8_u8(vld1q_u8(block + PACKED_LINE * g + 16 * q)), x[g / 4], g % 4);
    return wide_total(s);
}

/* halves: columns 0 .. 15 and 16 .. 31. */
INLINE void direct_codes(const packed_info p, const unsigned char *block, int q,
                         const int8x16_t x[2], const int32_t sums[3], int32x4_t halves[2]) {
    UNROLL for (int i = 0; i < 2; i++) halves[i] = vdupq_n_s32(-p.offset * sums[i]);
    UNROLL for (int j = 0; j < 4; j++) {
        int8x16_t v[2];
        read_pair(p, block, j, q, v);
        UNROLL for (int i = 0; i < 2; i++) halves[i] = step(halves[i], v[i], x[i], j, false);
    }
}

/* Block i of a super-block, block `at` of the row: products and minima, to be scaled by d. */
INLINE void direct_block(const packed_info p, const unsigned char *codes, const unsigned char *meta,
                         int i, const kernels_input *x, int64_t at, float32x4_t products[QUADS],
                         float32x4_t minima[QUADS]) {
    const float scale = (is_wide(p) ? x->wide_scales : x->scales)[at];
    int32_t sums[3] = {0, 0, 0};
    int8x16_t xc[2];
    split xw[2];
    UNROLL for (int h = 0; h < 2; h++) {
        const int64_t first = at * PACKED_BLOCK + 16 * h;
        if (is_wide(p))
            xw[h] = split_input(x->wide + first);
        else
            xc[h] = vld1q_s8(x->codes + first);
    }
    if (!is_wide(p)) input_sums(x->sums + 4 * at, sums);
    UNROLL for (int q = 0; q < QUADS; q++) {
        int32x4_t sum, halves[2], scales[2], mins[2];
        if (is_wide(p)) {
            sum = direct_wide(codes, q, xw);
        } else {
            direct_codes(p, codes, q, xc, sums, halves);
            if (p.has_scale) read_subs(p, meta, i, q, true, scales);
            sum = scale_sums(p, halves, scales);
        }
        products[q] = vfmaq_n_f32(products[q], vcvtq_f32_s32(sum), scale);
        if (!p.has_min) continue;
        if (p.has_scale) read_subs(p, meta + PACKED_ROWS * subs_of(p), i, q, false, mins);
        minima[q] = vfmaq_n_f32(minima[q], vcvtq_f32_s32(min_sum(p, mins, sums)), scale);
    }
}

INLINE void direct(const packed_info p, float *y, const unsigned char *slab,
                   const kernels_input *x) {
    const int64_t blocks = x->col_count / PACKED_BLOCK;
    const int of_super = p.super_len / PACKED_BLOCK;
    const size_t code_size = packed_code_size(&p), meta_size = packed_meta_size(&p);
    const unsigned char *codes = slab, *meta = slab + (size_t)blocks * code_size;
    float32x4_t acc[QUADS];
    UNROLL for (int q = 0; q < QUADS; q++) acc[q] = vdupq_n_f32(0);
    for (int64_t b = 0; b < blocks; b += of_super, meta += meta_size) {
        float32x4_t products[QUADS], minima[QUADS];
        UNROLL for (int q = 0; q < QUADS; q++) products[q] = minima[q] = vdupq_n_f32(0);
        for (int i = 0; i < of_super; i++, codes += code_size)
            direct_block(p, codes, meta, i, x, b + i, products, minima);
        const unsigned char *d = halves_of(p, meta);
        UNROLL for (int q = 0; q < QUADS; q++) {
            acc[q] = vfmaq_f32(acc[q], read_halves(d + 8 * q), products[q]);
            if (!p.has_min) continue;
            const float32x4_t min = read_halves(d + 2 * PACKED_ROWS + 8 * q);
            acc[q] =
                p.has_scale ? vfmsq_f32(acc[q], min, minima[q]) : vfmaq_f32(acc[q], min, minima[q]);
        }
    }
    UNROLL for (int q = 0; q < QUADS; q++) vst1q_f32(y + QUAD * q, acc[q]);
}

/* ---- several inputs: a piece of the slab through scratch ---- */

/* One piece, unpacked: as many blocks as fit the first-level cache beside the inputs. */
typedef struct piece {
    _Alignas(16) int8_t lines[PIECE_BLOCKS][PACKED_GROUPS][PACKED_LINE]; /* zipped for smmla */
    _Alignas(16) int32_t scales[PIECE_BLOCKS * 2][PACKED_ROWS];
    _Alignas(16) int32_t mins[PIECE_BLOCKS * 2][PACKED_ROWS];
    _Alignas(16) float d[PIECE_BLOCKS][PACKED_ROWS]; /* per super-block */
    _Alignas(16) float min[PIECE_BLOCKS][PACKED_ROWS];
} piece;
_Static_assert(sizeof(piece) <= KERNELS_SCRATCH_SIZE, "the scratch is too small");

INLINE void unpack_block(const packed_info p, const unsigned char *block,
                         int8_t (*lines)[PACKED_LINE]) {
    const int8x16_t offset = vdupq_n_s8((int8_t)p.offset);
    UNROLL for (int q = 0; q < QUADS; q++) {
        int8x16_t v[PACKED_GROUPS];
        UNROLL for (int j = 0; j < 4; j++) {
            int8x16_t pair[2];
            read_pair(p, block, j, q, pair);
            UNROLL for (int i = 0; i < 2; i++) v[j + 4 * i] = vsubq_s8(pair[i], offset);
        }
#if ARM_STEP == 2
        UNROLL for (int g = 0; g < PACKED_GROUPS; g += 2) {
            const int32x4_t a = vreinterpretq_s32_s8(v[g]), b = vreinterpretq_s32_s8(v[g + 1]);
            v[g] = vreinterpretq_s8_s32(vzip1q_s32(a, b));
            v[g + 1] = vreinterpretq_s8_s32(vzip2q_s32(a, b));
        }
#endif
        UNROLL for (int g = 0; g < PACKED_GROUPS; g++) vst1q_s8(lines[g] + 16 * q, v[g]);
    }
}

INLINE void unpack_ints(const unsigned char *bytes, int count, bool is_signed,
                        int32_t (*out)[PACKED_ROWS]) {
    for (int i = 0; i < count; i++)
        UNROLL for (int q = 0; q < QUADS; q++)
            vst1q_s32(out[i] + QUAD * q, read_ints(bytes + PACKED_ROWS * i + QUAD * q, is_signed));
}

/* Blocks [0, block_count) whose codes and meta begin where they are given. */
INLINE void unpack(const packed_info p, piece *out, const unsigned char *codes,
                   const unsigned char *meta, int block_count) {
    const int of_super = p.super_len / PACKED_BLOCK, subs = subs_of(p);
    for (int b = 0; b < block_count; b++, codes += packed_code_size(&p))
        unpack_block(p, codes, out->lines[b]);
    for (int s = 0; s < block_count / of_super; s++, meta += packed_meta_size(&p)) {
        if (p.has_scale) unpack_ints(meta, subs, true, out->scales + s * subs);
        if (p.has_scale && p.has_min)
            unpack_ints(meta + PACKED_ROWS * subs, subs, false, out->mins + s * subs);
        const unsigned char *d = halves_of(p, meta);
        UNROLL for (int q = 0; q < QUADS; q++) {
            vst1q_f32(out->d[s] + QUAD * q, read_halves(d + 8 * q));
            if (!p.has_min) continue;
            const float32x4_t min = read_halves(d + 2 * PACKED_ROWS + 8 * q);
            vst1q_f32(out->min[s] + QUAD * q, p.has_scale ? vnegq_f32(min) : min);
        }
    }
}

/* Where the inputs of a tile stand: row t at t times the stride. A tile of one input by smmla,
 * which takes two, has the same one twice. */
typedef struct tile_input {
    const int8_t *codes;
    const int16_t *wide, *sums;
    const float *scales;
    int64_t stride; /* columns of a row */
} tile_input;

#if ARM_STEP == 2
/* Two inputs by four rows, from [x0 r0, x0 r1, x1 r0, x1 r1] and the same of rows 2 and 3. */
INLINE void sort_pairs(int32x4_t a, int32x4_t b, int32x4_t out[2]) {
    const int64x2_t v = vreinterpretq_s64_s32(a), w = vreinterpretq_s64_s32(b);
    out[0] = vreinterpretq_s32_s64(vzip1q_s64(v, w));
    out[1] = vreinterpretq_s32_s64(vzip2q_s64(v, w));
}
/* Eight columns each of two inputs, from sixteen. */
INLINE int8x16_t pair_inputs(int8x16_t a, int8x16_t b, int k) {
    const int64x2_t v = vreinterpretq_s64_s8(a), w = vreinterpretq_s64_s8(b);
    return vreinterpretq_s8_s64(k == 0 ? vzip1q_s64(v, w) : vzip2q_s64(v, w));
}

/* Columns 16 half .. 16 half + 15 of a block: sums of rows 8h .. 8h + 7, a register per quad. */
INLINE void tile_half(int count, const int8_t (*lines)[PACKED_LINE], int h, int half,
                      const int8_t *x, int64_t stride, int32x4_t out[TILE_INPUTS][2]) {
    UNROLL for (int t = 0; t < count; t += 2) {
        const int8x16_t x0 = vld1q_s8(x + t * stride + 16 * half);
        const int8x16_t x1 = t + 1 < count ? vld1q_s8(x + (t + 1) * stride + 16 * half) : x0;
        int32x4_t sums[4];
        UNROLL for (int i = 0; i < 4; i++) sums[i] = vdupq_n_s32(0);
        UNROLL for (int k = 0; k < 2; k++) {
            const int8x16_t xs = pair_inputs(x0, x1, k);
            UNROLL for (int i = 0; i < 4; i++) {
                const int8_t *line = lines[4 * half + 2 * k + i % 2];
                sums[i] = vmmlaq_s32(sums[i], xs, vld1q_s8(line + 16 * (2 * h + i / 2)));
            }
        }
        UNROLL for (int q = 0; q < 2; q++) {
            int32x4_t both[2];
            sort_pairs(sums[2 * q], sums[2 * q + 1], both);
            out[t][q] = both[0];
            if (t + 1 < count) out[t + 1][q] = both[1];
        }
    }
}

INLINE void tile_wide(int count, const int8_t (*lines)[PACKED_LINE], int h, const int16_t *x,
                      int64_t stride, int32x4_t out[TILE_INPUTS][2]) {
    UNROLL for (int t = 0; t < count; t += 2) {
        wide_sums s[4]; /* rows 2i and 2i + 1 */
        UNROLL for (int i = 0; i < 4; i++) s[i] = wide_zero();
        UNROLL for (int half = 0; half < 2; half++) {
            const split a = split_input(x + t * stride + 16 * half);
            const split b = t + 1 < count ? split_input(x + (t + 1) * stride + 16 * half) : a;
            UNROLL for (int k = 0; k < 2; k++) {
                const int8x16_t xh = pair_inputs(a.high, b.high, k);
                const uint8x16_t xl = vreinterpretq_u8_s8(pair_inputs(a.low, b.low, k));
                UNROLL for (int i = 0; i < 4; i++) {
                    const int8_t *line = lines[4 * half + 2 * k + i % 2];
                    const int8x16_t w = vld1q_s8(line + 16 * (2 * h + i / 2));
                    s[i].high = vmmlaq_s32(s[i].high, xh, w);
                    s[i].low = vusmmlaq_s32(s[i].low, xl, w);
                }
            }
        }
        UNROLL for (int q = 0; q < 2; q++) {
            int32x4_t both[2];
            sort_pairs(wide_total(s[2 * q]), wide_total(s[2 * q + 1]), both);
            out[t][q] = both[0];
            if (t + 1 < count) out[t + 1][q] = both[1];
        }
    }
}
#else
/* Columns 16 half .. 16 half + 15 of a block: sums of rows 8h .. 8h + 7, a register per quad. */
INLINE void tile_half(int count, const int8_t (*lines)[PACKED_LINE], int h, int half,
                      const int8_t *x, int64_t stride, int32x4_t out[TILE_INPUTS][2]) {
    int8x16_t xs[TILE_INPUTS];
    UNROLL for (int t = 0; t < count; t++) {
        xs[t] = vld1q_s8(x + t * stride + 16 * half);
        out[t][0] = out[t][1] = vdupq_n_s32(0);
    }
    UNROLL for (int g = 0; g < 4; g++) UNROLL for (int q = 0; q < 2; q++) {
        const int8x16_t w = vld1q_s8(lines[4 * half + g] + 16 * (2 * h + q));
        UNROLL for (int t = 0; t < count; t++) out[t][q] = step(out[t][q], w, xs[t], g, false);
    }
}

INLINE void tile_wide(int count, const int8_t (*lines)[PACKED_LINE], int h, const int16_t *x,
                      int64_t stride, int32x4_t out[TILE_INPUTS][2]) {
    UNROLL for (int t = 0; t < count; t++) {
        wide_sums s[2];
        UNROLL for (int q = 0; q < 2; q++) s[q] = wide_zero();
        UNROLL for (int half = 0; half < 2; half++) {
            const split xs = split_input(x + t * stride + 16 * half);
            UNROLL for (int g = 0; g < 4; g++) UNROLL for (int q = 0; q < 2; q++) s[q] =
                wide_step(s[q], vld1q_s8(lines[4 * half + g] + 16 * (2 * h + q)), xs, g);
        }
        UNROLL for (int q = 0; q < 2; q++) out[t][q] = wide_total(s[q]);
    }
}
#endif

/* Block b of the piece, rows 8h .. 8h + 7: products and minima, added to what is there. */
INLINE void tile_block(const packed_info p, int count, const piece *w, int b, int h,
                       const tile_input *x, float32x4_t products[TILE_INPUTS][2],
                       float32x4_t minima[TILE_INPUTS][2]) {
    const int sub = b * PACKED_BLOCK / p.sub_len, second = sub + (p.sub_len == 16);
    const int64_t blocks = x->stride / PACKED_BLOCK;
    int32x4_t sums[2][TILE_INPUTS][2];
    if (is_wide(p)) {
        tile_wide(count, w->lines[b], h, x->wide + b * PACKED_BLOCK, x->stride, sums[0]);
    } else {
        UNROLL for (int half = 0; half < 2; half++) tile_half(
            count, w->lines[b], h, half, x->codes + b * PACKED_BLOCK, x->stride, sums[half]);
    }
    UNROLL for (int q = 0; q < 2; q++) {
        const int row = QUAD * (2 * h + q);
        int32x4_t scales[2], mins[2];
        if (p.has_scale) {
            scales[0] = vld1q_s32(w->scales[sub] + row);
            scales[1] = vld1q_s32(w->scales[second] + row);
        }
        if (p.has_scale && p.has_min) {
            mins[0] = vld1q_s32(w->mins[sub] + row);
            mins[1] = vld1q_s32(w->mins[second] + row);
        }
        UNROLL for (int t = 0; t < count; t++) {
            const float scale = x->scales[t * blocks + b];
            const int32x4_t halves[2] = {sums[0][t][q], is_wide(p) ? sums[0][t][q] : sums[1][t][q]};
            const int32x4_t sum = is_wide(p) ? halves[0] : scale_sums(p, halves, scales);
            products[t][q] = vfmaq_n_f32(products[t][q], vcvtq_f32_s32(sum), scale);
            if (!p.has_min) continue;
            int32_t of_input[3];
            input_sums(x->sums + t * (x->stride / 8) + 4 * b, of_input);
            const int32x4_t min = min_sum(p, mins, of_input);
            minima[t][q] = vfmaq_n_f32(minima[t][q], vcvtq_f32_s32(min), scale);
        }
    }
}

/* Rows 8h .. 8h + 7 of a piece times `count` inputs from input t on, added to y [count][16];
 * column: where the piece begins. */
INLINE void tile(const packed_info p, int count, float *y, const piece *w, int block_count, int h,
                 const kernels_input *x, int64_t t, int64_t column) {
    const int64_t at = t * x->col_count + column;
    const int of_super = p.super_len / PACKED_BLOCK;
    const float *scales = is_wide(p) ? x->wide_scales : x->scales;
    const tile_input input = {.codes = is_wide(p) ? NULL : x->codes + at,
                              .wide = is_wide(p) ? x->wide + at : NULL,
                              .sums = is_wide(p) ? NULL : x->sums + at / 8,
                              .scales = scales + at / PACKED_BLOCK,
                              .stride = x->col_count};
    for (int b = 0; b < block_count; b += of_super) {
        float32x4_t products[TILE_INPUTS][2], minima[TILE_INPUTS][2];
        UNROLL for (int i = 0; i < count; i++) UNROLL for (int q = 0; q < 2; q++) products[i][q] =
            minima[i][q] = vdupq_n_f32(0);
        for (int i = b; i < b + of_super; i++)
            tile_block(p, count, w, i, h, &input, products, minima);
        const int s = b / of_super;
        UNROLL for (int q = 0; q < 2; q++) UNROLL for (int i = 0; i < count; i++) {
            const int row = QUAD * (2 * h + q);
            float *to = y + i * PACKED_ROWS + row;
            float32x4_t acc = vfmaq_f32(vld1q_f32(to), vld1q_f32(w->d[s] + row), products[i][q]);
            if (p.has_min) acc = vfmaq_f32(acc, vld1q_f32(w->min[s] + row), minima[i][q]);
            vst1q_f32(to, acc);
        }
    }
}

INLINE void batch(const packed_info p, float *y, const unsigned char *slab, const kernels_input *x,
                  int64_t x_count, unsigned char *scratch) {
    piece *w = (piece *)(void *)scratch;
    const int64_t blocks = x->col_count / PACKED_BLOCK;
    const size_t code_size = packed_code_size(&p);
    const unsigned char *meta = slab + (size_t)blocks * code_size;
    memset(y, 0, (size_t)x_count * PACKED_ROWS * sizeof *y);
    for (int64_t b = 0; b < blocks; b += PIECE_BLOCKS) {
        const int count = blocks - b < PIECE_BLOCKS ? (int)(blocks - b) : PIECE_BLOCKS;
        const int64_t super = b * PACKED_BLOCK / p.super_len, first = b * PACKED_BLOCK;
        unpack(p, w, slab + (size_t)b * code_size, meta + (size_t)super * packed_meta_size(&p),
               count);
        for (int h = 0; h < 2; h++) {
            int64_t t = 0;
            for (; t + 4 <= x_count; t += 4)
                tile(p, 4, y + t * PACKED_ROWS, w, count, h, x, t, first);
            for (; t + 2 <= x_count; t += 2)
                tile(p, 2, y + t * PACKED_ROWS, w, count, h, x, t, first);
            if (t < x_count) tile(p, 1, y + t * PACKED_ROWS, w, count, h, x, t, first);
        }
    }
}

#define MULTIPLY(name, type)                                                                       \
    static void multiply_##name(float *y, const unsigned char *slab, const kernels_input *x,       \
                                int64_t x_count, unsigned char *scratch) {                         \
        if (x_count == 1)                                                                          \
            direct(packed_infos[type], y, slab, x);                                                \
        else                                                                                       \
            batch(packed_infos[type], y, slab, x, x_count, scratch);                               \
    }
PACKED_EACH(MULTIPLY)
#undef MULTIPLY

static void fill_products(kernels *k) {
    PACKED_EACH(PACKED_FILL)
}

#endif
