/* AVX2: products with packed weights. A line of packed.h is two registers here, eight rows each;
 * one `vpmaddubsw` multiplies eight rows by four columns (codes unsigned, input signed) and adds
 * pairs:
 *
 *     line     | r0: c0 c1 c2 c3 | r1: c0 c1 c2 c3 | ... | r7: c0 c1 c2 c3 |   bytes
 *     input    | x0 x1 x2 x3     | x0 x1 x2 x3     | ... | x0 x1 x2 x3     |   broadcast
 *     sums     | c0x0+c1x1  c2x2+c3x3 | ...                                |   16 bits
 *
 * Codes of up to six bits are summed in 16 bits over as many groups as cannot overflow (chain_of),
 * then widened to 32 bits by `vpmaddwd`, which multiplies by the integer scale of the sub-block on
 * the way. Offsets are taken off with the sums of the inputs. The signed codes of tables would
 * overflow at once and go through |w| * sign(x, w). Q8_0 meets inputs of 16 bits: its codes are
 * widened too, columns 0 and 2 of a group, then 1 and 3, and `vpmaddwd` does the rest.
 *
 * One input reads the packed codes straight into registers (direct_*). Several inputs share the
 * work of unpacking: a piece of the slab goes through scratch, which stays in the first-level
 * cache, and tiles of four inputs are multiplied by it (tile_*). Both give the same bits: integers
 * are exact, and the float steps are those of scalar_packed.c. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "kernels/packed_inner.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

/* Groups of four columns whose products fit 16 bits, two columns per lane and group: a sub-block,
 * except with codes up to 31 and no offset. A sum begins with minus the offset's share, so that in
 * the midst of it, too, each column counts |code - offset| or offset times at most 127: with six
 * bits and 16 columns, or five and 32, 32,512. */
INLINE int chain_of(const packed_info p) {
    const int bits = p.low_bits + p.high_bits;
    return p.sub_len == 16 || (bits == 5 && p.offset == 0) ? 4 : 8;
}

INLINE __m256i load_32(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
/* Four columns of the input, or two sums, to all rows. */
INLINE __m256i spread(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* Sums in the order and in the registers in which they are written. The compiler would rather have
 * all products of a block first and add them afterwards, which takes more registers than there are,
 * and says so with moves and spills. */
INLINE void add_16(__m256i *sum, __m256i v) {
    __asm__ volatile("vpaddw %1, %0, %0" : "+x"(*sum) : "x"(v));
}
INLINE void add_32(__m256i *sum, __m256i v) {
    __asm__ volatile("vpaddd %1, %0, %0" : "+x"(*sum) : "x"(v));
}

/* The rows of a tile's inputs as pointers of their own. The compiler would rather keep one pointer
 * and a sum for each of its uses, and fetch these from the stack. */
INLINE void rows_of(int count, const void *x, int64_t row_size, const unsigned char *rows[]) {
    UNROLL for (int t = 0; t < count; t++) {
        rows[t] = (const unsigned char *)x + t * row_size;
        __asm__("" : "+r"(rows[t]));
    }
}

/* ---- reading a slab ---- */

INLINE __m256i moved(__m256i v, int left, int mask) {
    const __m256i m = left >= 0 ? _mm256_slli_epi16(v, left) : _mm256_srli_epi16(v, -left);
    return _mm256_and_si256(m, _mm256_set1_epi8((char)mask));
}

/* Groups j and j + 4 of a block, rows 8h .. 8h + 7, a byte per code. */
INLINE void read_pair(const packed_info p, const unsigned char *block, int j, int h, __m256i v[2]) {
    const unsigned char *at = block + 32 * h;
    if (p.low_bits == 8) {
        v[0] = load_32(at + PACKED_LINE * j);
        v[1] = load_32(at + PACKED_LINE * (j + 4));
    } else if (p.low_bits == 4) {
        const __m256i b = load_32(at + PACKED_LINE * j);
        v[0] = moved(b, 0, 15);
        v[1] = moved(b, -4, 15);
    } else {
        const __m256i b = load_32(at + PACKED_LINE * (j % 2));
        v[0] = moved(b, -(j / 2 * 2), 3);
        v[1] = moved(b, -(j / 2 * 2) - 4, 3);
    }
    const unsigned char *high = at + PACKED_LINE * p.low_bits;
    if (p.high_bits == 2) {
        const __m256i b = load_32(high + PACKED_LINE * (j % 2));
        v[0] = _mm256_or_si256(v[0], moved(b, p.low_bits - j / 2 * 2, 3 << p.low_bits));
        v[1] = _mm256_or_si256(v[1], moved(b, p.low_bits - j / 2 * 2 - 4, 3 << p.low_bits));
    } else if (p.high_bits == 1) {
        const __m256i b = load_32(high);
        v[0] = _mm256_or_si256(v[0], moved(b, p.low_bits - j, 1 << p.low_bits));
        v[1] = _mm256_or_si256(v[1], moved(b, p.low_bits - j - 4, 1 << p.low_bits));
    }
    if (p.is_table) {
        const __m256i table = _mm256_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25,
                                               38, 53, 69, 89, 113, -127, -104, -83, -65, -49, -35,
                                               -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
        v[0] = _mm256_shuffle_epi8(table, v[0]);
        v[1] = _mm256_shuffle_epi8(table, v[1]);
    }
}

/* Eight bytes, one per row, as 16 bits in both halves of the row's lane. */
INLINE __m256i read_scales(const unsigned char *bytes) {
    int64_t v;
    memcpy(&v, bytes, sizeof v);
    const __m256i to_high =
        _mm256_setr_epi8(-1, 0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1, 4, -1, 4, -1,
                         5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7);
    return _mm256_srai_epi16(_mm256_shuffle_epi8(_mm256_set1_epi64x(v), to_high), 8);
}
INLINE __m256 read_halves(const unsigned char *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* ---- one input: straight from the slab ---- */

/* Products of a signed byte each with eight bits of input, added up in fours. */
INLINE __m256i signed_products(__m256i w, __m256i x) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
/* A line as 16 bits: columns 0 and 2 of the group, and columns 1 and 3. */
INLINE __m256i even_columns(__m256i w) {
    return _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
}
INLINE __m256i odd_columns(__m256i w) {
    return _mm256_srai_epi16(w, 8);
}

INLINE __m256i direct_table(const packed_info p, const unsigned char *block, int h,
                            const int8_t *x) {
    __m256i sum = _mm256_setzero_si256();
    UNROLL for (int j = 0; j < 4; j++) {
        __m256i v[2];
        read_pair(p, block, j, h, v);
        UNROLL for (int i = 0; i < 2; i++) sum =
            _mm256_add_epi32(sum, signed_products(v[i], spread(x + 4 * j + 16 * i)));
    }
    return sum;
}

INLINE __m256i direct_wide(const unsigned char *block, int h, const int16_t *x) {
    __m256i sum = _mm256_setzero_si256();
    UNROLL for (int g = 0; g < PACKED_GROUPS; g++) {
        const __m256i w = load_32(block + PACKED_LINE * g + 32 * h);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even_columns(w), spread(x + 4 * g)));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(odd_columns(w), spread(x + 4 * g + 2)));
    }
    return sum;
}

/* Sums of the input over columns 0 .. 15 (half 0), 16 .. 31 (half 1) or all of them (half 2). */
INLINE __m256i input_sums(const int16_t *sums, int half) {
    if (half == 0) return spread(sums);
    return half == 2 ? spread(sums + 2) : _mm256_sub_epi16(spread(sums + 2), spread(sums));
}

/* Codes of up to six bits; scales: of columns 0 .. 15 and 16 .. 31. */
INLINE __m256i direct_codes(const packed_info p, const unsigned char *block, int h, const int8_t *x,
                            const int16_t *sums, const __m256i scales[2]) {
    const __m256i offset = _mm256_set1_epi16((short)-p.offset);
    __m256i acc[2];
    UNROLL for (int i = 0; i < 2; i++) {
        acc[i] = _mm256_setzero_si256();
        if (p.offset != 0) acc[i] = _mm256_mullo_epi16(input_sums(sums, i), offset);
    }
    UNROLL for (int j = 0; j < 4; j++) {
        __m256i v[2];
        read_pair(p, block, j, h, v);
        UNROLL for (int i = 0; i < 2; i++) acc[i] =
            _mm256_add_epi16(acc[i], _mm256_maddubs_epi16(v[i], spread(x + 4 * j + 16 * i)));
    }
    if (chain_of(p) == 8) /* one scale for both */
        return _mm256_madd_epi16(_mm256_add_epi16(acc[0], acc[1]), scales[0]);
    return _mm256_add_epi32(_mm256_madd_epi16(acc[0], scales[0]),
                            _mm256_madd_epi16(acc[1], scales[1]));
}

/* sum of minima times sums of inputs, of one block, as integers. */
INLINE __m256i min_sum(const packed_info p, const __m256i mins[2], const int16_t *sums) {
    if (p.sub_len == 32) return _mm256_madd_epi16(mins[0], input_sums(sums, 2));
    return _mm256_add_epi32(_mm256_madd_epi16(mins[0], input_sums(sums, 0)),
                            _mm256_madd_epi16(mins[1], input_sums(sums, 1)));
}

/* The scales or minima of one block: of columns 0 .. 15 and 16 .. 31, rows 8h .. 8h + 7. */
INLINE void read_subs(const packed_info p, const unsigned char *bytes, int block, int h,
                      __m256i v[2]) {
    v[0] = v[1] = _mm256_set1_epi16(1);
    if (!p.has_scale) return;
    const unsigned char *at = bytes + PACKED_ROWS * (block * PACKED_BLOCK / p.sub_len) + 8 * h;
    v[0] = read_scales(at);
    v[1] = p.sub_len == 16 ? read_scales(at + PACKED_ROWS) : v[0];
}

/* Block i of a super-block: products and minima as float, to be scaled by d. */
INLINE void direct_block(const packed_info p, const unsigned char *codes, const unsigned char *meta,
                         int i, const kernels_input *x, int64_t block, __m256 products[2],
                         __m256 minima[2]) {
    const int8_t *xc = x->codes + block * PACKED_BLOCK;
    const int16_t *sums = x->sums + 4 * block;
    const __m256 xs = _mm256_broadcast_ss((is_wide(p) ? x->wide_scales : x->scales) + block);
    UNROLL for (int h = 0; h < 2; h++) {
        __m256i scales[2], sum;
        read_subs(p, meta, i, h, scales);
        if (is_wide(p))
            sum = direct_wide(codes, h, x->wide + block * PACKED_BLOCK);
        else if (p.is_table)
            sum = direct_table(p, codes, h, xc);
        else
            sum = direct_codes(p, codes, h, xc, sums, scales);
        if (p.is_table && p.has_scale)
            sum = _mm256_mullo_epi32(sum, _mm256_srai_epi32(scales[0], 16));
        products[h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), xs, products[h]);
        if (!p.has_min) continue;
        __m256i mins[2];
        read_subs(p, meta + PACKED_ROWS * subs_of(p), i, h, mins);
        minima[h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(min_sum(p, mins, sums)), xs, minima[h]);
    }
}

INLINE void direct(const packed_info p, float *y, const unsigned char *slab,
                   const kernels_input *x) {
    const int64_t blocks = x->col_count / PACKED_BLOCK;
    const int of_super = p.super_len / PACKED_BLOCK;
    const size_t code_size = packed_code_size(&p), meta_size = packed_meta_size(&p);
    const unsigned char *codes = slab, *meta = slab + (size_t)blocks * code_size;
    packed_fetch fetch = fetch_of(p, slab, x, 0, 1);
    __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t b = 0; b < blocks; b += of_super, meta += meta_size) {
        __m256 products[2], minima[2];
        fetch_blocks(&fetch, of_super);
        UNROLL for (int h = 0; h < 2; h++) products[h] = minima[h] = _mm256_setzero_ps();
        for (int i = 0; i < of_super; i++, codes += code_size)
            direct_block(p, codes, meta, i, x, b + i, products, minima);
        const unsigned char *d = halves_of(p, meta);
        UNROLL for (int h = 0; h < 2; h++) {
            acc[h] = _mm256_fmadd_ps(read_halves(d + 16 * h), products[h], acc[h]);
            if (!p.has_min) continue;
            const __m256 min = read_halves(d + 2 * PACKED_ROWS + 16 * h);
            acc[h] = p.has_scale ? _mm256_fnmadd_ps(min, minima[h], acc[h])
                                 : _mm256_fmadd_ps(min, minima[h], acc[h]);
        }
    }
    UNROLL for (int h = 0; h < 2; h++) _mm256_storeu_ps(y + 8 * h, acc[h]);
}

/* ---- several inputs: a piece of the slab through scratch ---- */

enum { PIECE_BLOCKS = 16, TILE_INPUTS = 4 };

/* One piece, unpacked: as many blocks as fit the first-level cache beside the inputs. */
typedef struct piece {
    /* Codes: a line per group; of Q8_0 two, even and odd columns as 16 bits. */
    _Alignas(32) unsigned char lines[PIECE_BLOCKS][PACKED_GROUPS * 2][PACKED_LINE];
    _Alignas(32) unsigned char scales[PIECE_BLOCKS * 2][PACKED_LINE]; /* 16 bits, both halves */
    _Alignas(32) unsigned char mins[PIECE_BLOCKS * 2][PACKED_LINE];
    _Alignas(32) float d[PIECE_BLOCKS][PACKED_ROWS]; /* per super-block */
    _Alignas(32) float min[PIECE_BLOCKS][PACKED_ROWS];
} piece;
_Static_assert(sizeof(piece) <= KERNELS_SCRATCH_SIZE, "the scratch is too small");

INLINE void unpack_block(const packed_info p, const unsigned char *block,
                         unsigned char (*lines)[PACKED_LINE]) {
    UNROLL for (int j = 0; j < 4; j++) UNROLL for (int h = 0; h < 2; h++) {
        __m256i v[2];
        read_pair(p, block, j, h, v);
        UNROLL for (int i = 0; i < 2; i++) {
            const int g = j + 4 * i;
            if (!is_wide(p)) {
                _mm256_store_si256((__m256i *)(void *)(lines[g] + 32 * h), v[i]);
                continue;
            }
            __m256i *even = (__m256i *)(void *)(lines[2 * g] + 32 * h);
            __m256i *odd = (__m256i *)(void *)(lines[2 * g + 1] + 32 * h);
            _mm256_store_si256(even, even_columns(v[i]));
            _mm256_store_si256(odd, odd_columns(v[i]));
        }
    }
}

INLINE void unpack_scales(const unsigned char *bytes, int count,
                          unsigned char (*out)[PACKED_LINE]) {
    for (int i = 0; i < count; i++)
        UNROLL for (int h = 0; h < 2; h++) _mm256_store_si256(
            (__m256i *)(void *)(out[i] + 32 * h), read_scales(bytes + PACKED_ROWS * i + 8 * h));
}

/* Blocks [0, block_count) whose codes and meta begin where they are given. */
INLINE void unpack(const packed_info p, piece *out, const unsigned char *codes,
                   const unsigned char *meta, int block_count) {
    const int of_super = p.super_len / PACKED_BLOCK, subs = subs_of(p);
    for (int b = 0; b < block_count; b++, codes += packed_code_size(&p))
        unpack_block(p, codes, out->lines[b]);
    for (int s = 0; s < block_count / of_super; s++, meta += packed_meta_size(&p)) {
        if (p.has_scale) unpack_scales(meta, subs, out->scales + s * subs);
        if (p.has_scale && p.has_min)
            unpack_scales(meta + PACKED_ROWS * subs, subs, out->mins + s * subs);
        const unsigned char *d = halves_of(p, meta);
        UNROLL for (int h = 0; h < 2; h++) {
            _mm256_store_ps(out->d[s] + 8 * h, read_halves(d + 16 * h));
            if (!p.has_min) continue;
            const __m256 min = read_halves(d + 2 * PACKED_ROWS + 16 * h);
            _mm256_store_ps(out->min[s] + 8 * h,
                            p.has_scale ? _mm256_sub_ps(_mm256_setzero_ps(), min) : min);
        }
    }
}

/* The integer sums of one chain of groups, part 0 or 1 of a block, for `count` inputs. */
INLINE void tile_part(const packed_info p, int count, int part,
                      const unsigned char (*lines)[PACKED_LINE],
                      const unsigned char (*scales)[PACKED_LINE], const unsigned char *const *rows,
                      int64_t stride, const int16_t *sums, __m256i out[TILE_INPUTS][2]) {
    const int chain = chain_of(p);
    const __m256i offset = _mm256_set1_epi16((short)-p.offset);
    __m256i acc[TILE_INPUTS][2];
    UNROLL for (int t = 0; t < count; t++) {
        acc[t][0] = _mm256_setzero_si256();
        if (p.offset != 0)
            acc[t][0] = _mm256_mullo_epi16(
                input_sums(sums + t * (stride / 8), chain == 8 ? 2 : part), offset);
        acc[t][1] = acc[t][0];
    }
    UNROLL for (int i = 0; i < chain; i++) {
        const int g = part * chain + i;
        const __m256i w[2] = {load_32(lines[g]), load_32(lines[g] + 32)};
        UNROLL for (int t = 0; t < count; t++) {
            const __m256i xs = spread(rows[t] + 4 * g);
            UNROLL for (int h = 0; h < 2; h++) add_16(&acc[t][h], _mm256_maddubs_epi16(w[h], xs));
        }
    }
    UNROLL for (int h = 0; h < 2; h++) {
        const __m256i scale = p.has_scale ? load_32(scales[p.sub_len == 16 ? part : 0] + 32 * h)
                                          : _mm256_set1_epi16(1);
        UNROLL for (int t = 0; t < count; t++) {
            const __m256i sum = _mm256_madd_epi16(acc[t][h], scale);
            out[t][h] = part == 0 ? sum : _mm256_add_epi32(out[t][h], sum);
        }
    }
}

/* The integer sums of one block for `count` inputs, whose rows are `stride` columns apart. */
INLINE void tile_codes(const packed_info p, int count, const unsigned char (*lines)[PACKED_LINE],
                       const unsigned char (*scales)[PACKED_LINE], const int8_t *x, int64_t stride,
                       const int16_t *sums, __m256i out[TILE_INPUTS][2]) {
    const unsigned char *rows[TILE_INPUTS];
    rows_of(count, x, stride, rows);
    tile_part(p, count, 0, lines, scales, rows, stride, sums, out);
    if (chain_of(p) < PACKED_GROUPS) tile_part(p, count, 1, lines, scales, rows, stride, sums, out);
}

INLINE void tile_wide(int count, const unsigned char (*lines)[PACKED_LINE], const int16_t *x,
                      int64_t stride, __m256i out[TILE_INPUTS][2]) {
    UNROLL for (int t = 0; t < count; t++) out[t][0] = out[t][1] = _mm256_setzero_si256();
    UNROLL for (int l = 0; l < 2 * PACKED_GROUPS; l++) {
        const __m256i w[2] = {load_32(lines[l]), load_32(lines[l] + 32)};
        UNROLL for (int t = 0; t < count; t++) {
            const __m256i xs = spread(x + t * stride + 2 * l);
            UNROLL for (int h = 0; h < 2; h++) add_32(&out[t][h], _mm256_madd_epi16(w[h], xs));
        }
    }
}

INLINE void tile_table(const packed_info p, int count, const unsigned char (*lines)[PACKED_LINE],
                       const unsigned char *scales, const int8_t *x, int64_t stride,
                       __m256i out[TILE_INPUTS][2]) {
    const unsigned char *rows[TILE_INPUTS];
    rows_of(count, x, stride, rows);
    UNROLL for (int t = 0; t < count; t++) out[t][0] = out[t][1] = _mm256_setzero_si256();
    UNROLL for (int g = 0; g < PACKED_GROUPS; g++) {
        const __m256i w[2] = {load_32(lines[g]), load_32(lines[g] + 32)};
        UNROLL for (int t = 0; t < count; t++) {
            const __m256i xs = spread(rows[t] + 4 * g);
            UNROLL for (int h = 0; h < 2; h++) add_32(&out[t][h], signed_products(w[h], xs));
        }
    }
    if (!p.has_scale) return;
    UNROLL for (int h = 0; h < 2; h++) {
        const __m256i scale = _mm256_srai_epi32(load_32(scales + 32 * h), 16);
        UNROLL for (int t = 0; t < count; t++) out[t][h] = _mm256_mullo_epi32(out[t][h], scale);
    }
}

/* acc[t] += d * products[t] + min * minima[t] for the super-block s of the piece. */
INLINE void tile_add(const packed_info p, int count, __m256 acc[TILE_INPUTS][2], const piece *w,
                     int s, const __m256 products[TILE_INPUTS][2],
                     const __m256 minima[TILE_INPUTS][2]) {
    UNROLL for (int t = 0; t < count; t++) UNROLL for (int h = 0; h < 2; h++) {
        acc[t][h] = _mm256_fmadd_ps(_mm256_load_ps(w->d[s] + 8 * h), products[t][h], acc[t][h]);
        if (p.has_min)
            acc[t][h] = _mm256_fmadd_ps(_mm256_load_ps(w->min[s] + 8 * h), minima[t][h], acc[t][h]);
    }
}

/* Where the inputs of a tile stand: row t at t times the stride. */
typedef struct tile_input {
    const int8_t *codes;
    const int16_t *wide, *sums;
    const float *scales;
    int64_t stride; /* columns of a row */
} tile_input;

/* Block b of the piece: products as float, added to what is there unless first. A sum times a scale
 * is rounded like the fused step from 0 that the law asks for. */
INLINE void tile_products(const packed_info p, int count, const piece *w, int b,
                          const tile_input *x, bool first, __m256 products[TILE_INPUTS][2]) {
    const int sub = b * PACKED_BLOCK / p.sub_len;
    const int64_t blocks = x->stride / PACKED_BLOCK;
    __m256i out[TILE_INPUTS][2];
    if (is_wide(p))
        tile_wide(count, w->lines[b], x->wide + b * PACKED_BLOCK, x->stride, out);
    else if (p.is_table)
        tile_table(p, count, w->lines[b], w->scales[sub], x->codes + b * PACKED_BLOCK, x->stride,
                   out);
    else
        tile_codes(p, count, w->lines[b], w->scales + sub, x->codes + b * PACKED_BLOCK, x->stride,
                   x->sums + 4 * b, out);
    UNROLL for (int t = 0; t < count; t++) {
        const __m256 xs = _mm256_broadcast_ss(x->scales + t * blocks + b);
        UNROLL for (int h = 0; h < 2; h++) {
            const __m256 sum = _mm256_cvtepi32_ps(out[t][h]);
            products[t][h] =
                first ? _mm256_mul_ps(sum, xs) : _mm256_fmadd_ps(sum, xs, products[t][h]);
        }
    }
}

/* The same for minima. */
INLINE void tile_minima(const packed_info p, int count, const piece *w, int b, const tile_input *x,
                        bool first, __m256 minima[TILE_INPUTS][2]) {
    const int sub = b * PACKED_BLOCK / p.sub_len;
    const int64_t blocks = x->stride / PACKED_BLOCK;
    UNROLL for (int h = 0; h < 2; h++) {
        __m256i mins[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
        if (p.has_scale) {
            mins[0] = load_32(w->mins[sub] + 32 * h);
            mins[1] = load_32(w->mins[sub + (p.sub_len == 16)] + 32 * h);
        }
        UNROLL for (int t = 0; t < count; t++) {
            const __m256i sum = min_sum(p, mins, x->sums + 4 * b + t * (x->stride / 8));
            const __m256 xs = _mm256_broadcast_ss(x->scales + t * blocks + b);
            const __m256 min = _mm256_cvtepi32_ps(sum);
            minima[t][h] = first ? _mm256_mul_ps(min, xs) : _mm256_fmadd_ps(min, xs, minima[t][h]);
        }
    }
}

/* A piece times `count` inputs from input `from` on, added to y [count][16]; column: where the
 * piece begins. */
INLINE void tile(const packed_info p, int count, float *y, const piece *w, int block_count,
                 const kernels_input *x, int64_t from, int64_t column) {
    const int64_t at = from * x->col_count + column;
    const int of_super = p.super_len / PACKED_BLOCK;
    const tile_input input = {.codes = x->codes + at,
                              .wide = x->wide + at,
                              .sums = x->sums + at / 8,
                              .scales =
                                  (is_wide(p) ? x->wide_scales : x->scales) + at / PACKED_BLOCK,
                              .stride = x->col_count};
    __m256 products[TILE_INPUTS][2], minima[TILE_INPUTS][2], acc[TILE_INPUTS][2];
    UNROLL for (int t = 0; t < count; t++) UNROLL for (int h = 0; h < 2; h++) acc[t][h] =
        _mm256_loadu_ps(y + t * PACKED_ROWS + 8 * h);
    for (int b = 0; b < block_count; b += of_super) {
        tile_products(p, count, w, b, &input, true, products);
        for (int i = b + 1; i < b + of_super; i++)
            tile_products(p, count, w, i, &input, false, products);
        if (p.has_min) tile_minima(p, count, w, b, &input, true, minima);
        for (int i = b + 1; i < b + of_super && p.has_min; i++)
            tile_minima(p, count, w, i, &input, false, minima);
        tile_add(p, count, acc, w, b / of_super, products, minima);
    }
    UNROLL for (int t = 0; t < count; t++) UNROLL for (int h = 0; h < 2; h++)
        _mm256_storeu_ps(y + t * PACKED_ROWS + 8 * h, acc[t][h]);
}

INLINE void batch(const packed_info p, float *y, const unsigned char *slab, const kernels_input *x,
                  int64_t x_count, unsigned char *scratch) {
    piece *w = (piece *)(void *)scratch;
    const int64_t blocks = x->col_count / PACKED_BLOCK;
    const size_t code_size = packed_code_size(&p);
    const unsigned char *meta = slab + (size_t)blocks * code_size;
    packed_fetch fetch = fetch_of(p, slab, x, 0, 1);
    memset(y, 0, (size_t)x_count * PACKED_ROWS * sizeof *y);
    for (int64_t b = 0; b < blocks; b += PIECE_BLOCKS) {
        const int count = blocks - b < PIECE_BLOCKS ? (int)(blocks - b) : PIECE_BLOCKS;
        const int64_t super = b * PACKED_BLOCK / p.super_len, first = b * PACKED_BLOCK;
        unpack(p, w, slab + (size_t)b * code_size, meta + (size_t)super * packed_meta_size(&p),
               count);
        fetch_blocks(&fetch, count);
        int64_t t = 0;
        for (; t + 4 <= x_count; t += 4) tile(p, 4, y + t * PACKED_ROWS, w, count, x, t, first);
        for (; t + 2 <= x_count; t += 2) tile(p, 2, y + t * PACKED_ROWS, w, count, x, t, first);
        for (; t < x_count; t++) tile(p, 1, y + t * PACKED_ROWS, w, count, x, t, first);
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

void kernels_fill_avx2_packed(kernels *k) {
    PACKED_EACH(PACKED_FILL)
}

#endif
