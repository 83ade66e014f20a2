/* Products with packed weights by dot products (VNNI), written once for two widths:
 * x86_avx512_packed.c (VNNI_512: a register is a line of packed.h, sixteen rows) and
 * x86_avxvnni_packed.c (eight rows, two registers are a line).
 *
 *     line    | r0: c0 c1 c2 c3 | r1: c0 c1 c2 c3 | ... |   bytes, unsigned
 *     input   | x0 x1 x2 x3     | x0 x1 x2 x3     | ... |   bytes, signed, broadcast
 *     sums    | r0: c0x0+c1x1+c2x2+c3x3 | r1: ... | ... |   32 bits, added to what was there
 *
 * One `vpdpbusd` is the whole step, and nothing can overflow. The weights must be the unsigned
 * side: values of tables get 128 added, and what was added, like the offset that a type has anyway,
 * comes off again through the sums of the inputs: the sums above begin with offsets of kernels.h.
 * Where 16 columns share a scale, `vpdpwssd` multiplies their own sums by -offset:
 *
 *     sums    | s(c % 4 < 2), s(others) | ...           |   16 bits, broadcast
 *     offset  | -128, -128              | ...           |   or minima, for types that have them
 *
 * Q8_0 meets inputs of 16 bits by `vpdpwssd` alone: a line becomes two, columns 0 and 2, then 1
 * and 3 of each group, sign-extended.
 *
 * The integer scale of a sub-block is multiplied in float32, which is exact: no product of a
 * block's sum and its scale reaches 2^24 (the largest, of Q6_K, is 2 * 16 * 32 * 127 * 128 =
 * 0.99 * 2^24). So the bits are those of scalar_packed.c. */
#ifndef KERNELS_X86_VNNI_H
#define KERNELS_X86_VNNI_H

#include <immintrin.h>
#include <string.h>

#include "kernels/levels.h"
#include "kernels/packed_inner.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 12")

/* ---- the two widths ---- */

#if defined(VNNI_512)
enum { LANES = 16 }; /* rows of a register */
typedef __m512i ints;
typedef __m512 floats;
INLINE ints load(const void *p) {
    return _mm512_loadu_si512(p);
}
INLINE ints bytes(int v) {
    return _mm512_set1_epi8((char)v);
}
INLINE ints words(int v) {
    return _mm512_set1_epi16((short)v);
}
INLINE ints dwords(int32_t v) {
    return _mm512_set1_epi32(v);
}
INLINE ints both(ints a, ints b) {
    return _mm512_and_si512(a, b);
}
INLINE ints either(ints a, ints b) {
    return _mm512_or_si512(a, b);
}
INLINE ints up(ints v, int bits) {
    return _mm512_slli_epi16(v, (unsigned)bits);
}
INLINE ints down(ints v, int bits) {
    return _mm512_srli_epi16(v, (unsigned)bits);
}
INLINE ints up_dwords(ints v, int bits) {
    return _mm512_slli_epi32(v, (unsigned)bits);
}
INLINE ints down_dwords(ints v, int bits) { /* signed */
    return _mm512_srai_epi32(v, (unsigned)bits);
}
INLINE ints plus(ints a, ints b) {
    return _mm512_add_epi32(a, b);
}
INLINE ints even_bytes(ints v) { /* sign-extended to 16 bits */
    return _mm512_srai_epi16(_mm512_slli_epi16(v, 8), 8);
}
INLINE ints odd_bytes(ints v) {
    return _mm512_srai_epi16(v, 8);
}
INLINE ints less_words(ints a, ints b) {
    return _mm512_sub_epi16(a, b);
}
INLINE ints look_up(const int8_t table[16], ints v) {
    return _mm512_shuffle_epi8(
        _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table)), v);
}
INLINE ints dot_bytes(ints sums, ints w, ints x) {
    return _mm512_dpbusd_epi32(sums, w, x);
}
INLINE ints dot_words(ints sums, ints w, ints x) {
    return _mm512_dpwssd_epi32(sums, w, x);
}
/* One byte per row. */
INLINE ints signed_bytes(const unsigned char *p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
INLINE ints unsigned_bytes(const unsigned char *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
INLINE ints unsigned_words(const unsigned char *p) { /* twice in each lane */
    const ints v = unsigned_bytes(p);
    return either(v, _mm512_slli_epi32(v, 16));
}
INLINE floats halves(const unsigned char *p) { /* one F16 per row */
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
INLINE floats to_floats(ints v) {
    return _mm512_cvtepi32_ps(v);
}
INLINE floats single(float v) {
    return _mm512_set1_ps(v);
}
INLINE floats times(floats a, floats b) {
    return _mm512_mul_ps(a, b);
}
INLINE floats minus(floats a, floats b) {
    return _mm512_sub_ps(a, b);
}
INLINE floats times_plus(floats a, floats b, floats c) {
    return _mm512_fmadd_ps(a, b, c);
}
INLINE floats as_floats(ints v) { /* the same bits */
    return _mm512_castsi512_ps(v);
}
INLINE void store(float *p, floats v) {
    _mm512_storeu_ps(p, v);
}
#else
enum { LANES = 8 };
typedef __m256i ints;
typedef __m256 floats;
INLINE ints load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
INLINE ints bytes(int v) {
    return _mm256_set1_epi8((char)v);
}
INLINE ints words(int v) {
    return _mm256_set1_epi16((short)v);
}
INLINE ints dwords(int32_t v) {
    return _mm256_set1_epi32(v);
}
INLINE ints both(ints a, ints b) {
    return _mm256_and_si256(a, b);
}
INLINE ints either(ints a, ints b) {
    return _mm256_or_si256(a, b);
}
INLINE ints up(ints v, int bits) {
    return _mm256_slli_epi16(v, bits);
}
INLINE ints down(ints v, int bits) {
    return _mm256_srli_epi16(v, bits);
}
INLINE ints up_dwords(ints v, int bits) {
    return _mm256_slli_epi32(v, bits);
}
INLINE ints down_dwords(ints v, int bits) {
    return _mm256_srai_epi32(v, bits);
}
INLINE ints plus(ints a, ints b) {
    return _mm256_add_epi32(a, b);
}
INLINE ints even_bytes(ints v) {
    return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8);
}
INLINE ints odd_bytes(ints v) {
    return _mm256_srai_epi16(v, 8);
}
INLINE ints less_words(ints a, ints b) {
    return _mm256_sub_epi16(a, b);
}
INLINE ints look_up(const int8_t table[16], ints v) {
    return _mm256_shuffle_epi8(
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table)), v);
}
INLINE ints dot_bytes(ints sums, ints w, ints x) {
    return _mm256_dpbusd_avx_epi32(sums, w, x);
}
INLINE ints dot_words(ints sums, ints w, ints x) {
    return _mm256_dpwssd_avx_epi32(sums, w, x);
}
INLINE ints signed_bytes(const unsigned char *p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
INLINE ints unsigned_bytes(const unsigned char *p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
INLINE ints unsigned_words(const unsigned char *p) {
    const ints v = unsigned_bytes(p);
    return either(v, _mm256_slli_epi32(v, 16));
}
INLINE floats halves(const unsigned char *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
INLINE floats to_floats(ints v) {
    return _mm256_cvtepi32_ps(v);
}
INLINE floats single(float v) {
    return _mm256_set1_ps(v);
}
INLINE floats times(floats a, floats b) {
    return _mm256_mul_ps(a, b);
}
INLINE floats minus(floats a, floats b) {
    return _mm256_sub_ps(a, b);
}
INLINE floats times_plus(floats a, floats b, floats c) {
    return _mm256_fmadd_ps(a, b, c);
}
INLINE floats as_floats(ints v) {
    return _mm256_castsi256_ps(v);
}
INLINE void store(float *p, floats v) {
    _mm256_storeu_ps(p, v);
}
#endif

/* Four columns of the input, or two sums, to all rows. */
INLINE ints spread(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return dwords(v);
}

/* ---- reading a slab; every pointer is that of the first row of the register ---- */

/* The codes of group g in a plane, moved up by `bits_below`. */
INLINE ints plane_line(int bits, const unsigned char *plane, int g, int bits_below) {
    const int line = bits == 8 ? g : bits == 4 ? g % 4 : bits == 2 ? g % 2 : 0;
    const int shift = (bits == 8   ? 0
                       : bits == 4 ? g / 4 * 4
                       : bits == 2 ? g / 2 * 2
                                   : g) -
                      bits_below;
    const ints v = load(plane + PACKED_LINE * line);
    if (bits == 8) return v;
    return both(shift >= 0 ? down(v, shift) : up(v, -shift),
                bytes(((1 << bits) - 1) << bits_below));
}

/* What the codes of read_line are above the signed ones. */
INLINE int offset_of(const packed_info p) {
    return p.is_table ? 128 : p.offset;
}

/* Group g of a block: unsigned bytes, of Q8_0 signed ones. */
INLINE ints read_line(const packed_info p, const unsigned char *block, int g) {
    static const int8_t table[16] = {/* values of IQ4 (backbone.md 6.2), plus 128 */
                                     1,    24,   45,   63,  79,  93,  106, 118,
                                     -127, -115, -103, -90, -75, -59, -39, -15};
    const unsigned char *high = block + PACKED_LINE * p.low_bits;
    ints line = plane_line(p.low_bits, block, g, 0);
    if (p.high_bits > 0) line = either(line, plane_line(p.high_bits, high, g, p.low_bits));
    return p.is_table ? look_up(table, line) : line;
}

/* The factor of the minima, to be added: K types subtract theirs. */
INLINE floats min_of(const packed_info p, const unsigned char *d) {
    const floats v = halves(d + 2 * PACKED_ROWS);
    return p.has_scale ? minus(single(0), v) : v;
}

/* ---- multiplying ---- */

INLINE floats read_scale(const unsigned char *meta, int sub) {
    return to_floats(signed_bytes(meta + PACKED_ROWS * sub));
}
/* The minima of columns 0 .. 15 and 16 .. 31 of block `index`. */
INLINE void read_mins(const packed_info p, const unsigned char *meta, int index, ints mins[2]) {
    UNROLL for (int half = 0; half < 2; half++) {
        const int sub = (index * PACKED_BLOCK + 16 * half) / p.sub_len;
        mins[half] = words(1);
        if (p.has_scale && p.has_min)
            mins[half] = unsigned_words(meta + PACKED_ROWS * (sub + subs_of(p)));
    }
}

/* What the sums of a block begin with: what the offset of its codes takes off. */
INLINE ints begin_block(const packed_info p, const int32_t *offset) {
    const int moved = offset_of(p);
    if (moved == 0) return dwords(0);
    return up_dwords(spread(offset), moved == 8 ? 0 : moved == 16 ? 1 : 4);
}
/* The same for each half of a block, the first added to `first`. What is taken off the second half
 * is that of all less that of the first. */
INLINE void begin_halves(const packed_info p, const int16_t *sums, ints first, ints a[2]) {
    const int offset = offset_of(p);
    a[0] = first;
    a[1] = dwords(0);
    if (offset == 0) return;
    a[0] = dot_words(a[0], words(-offset), spread(sums));
    a[1] =
        dot_words(dot_words(a[1], words(-offset), spread(sums + 2)), words(offset), spread(sums));
}

/* The minima of a block times the sums of one input, likewise. With two sub-blocks of 16 columns
 * min0 * first + min1 * (all - first) is taken as (min0 - min1) * first + min1 * all. */
INLINE floats block_min(const packed_info p, const ints mins[2], const int16_t *sums) {
    const ints a = dot_words(dwords(0), mins[1], spread(sums + 2));
    if (p.sub_len == 32) return to_floats(a);
    return to_floats(dot_words(a, less_words(mins[0], mins[1]), spread(sums)));
}

/* Inputs from t on, the tile of them that makes pass `index` of `count` over a slab. */
typedef struct input_tile {
    int64_t t, index, count;
} input_tile;

/* As few tiles as will do, of as equal sizes as there are: one of an input or two costs nearly what
 * one of four does. */
INLINE int64_t tile_begin(int64_t x_count, int64_t tile_count, int64_t i) {
    return tile_count == 1 ? x_count * i : x_count * i / tile_count; /* one input is short */
}

#endif
