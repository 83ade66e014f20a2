/* AVX2: products with packed weights. A line of packed.h is two registers here, eight rows each; one
 * `vpmaddubsw` multiplies eight rows by four columns (codes unsigned, input signed) and adds pairs:
 *
 *     line     | r0: c0 c1 c2 c3 | r1: c0 c1 c2 c3 | ... | r7: c0 c1 c2 c3 |   bytes
 *     input    | x0 x1 x2 x3     | x0 x1 x2 x3     | ... | x0 x1 x2 x3     |   broadcast
 *     sums     | c0x0+c1x1  c2x2+c3x3 | ...                                |   16 bits
 *
 * Codes of up to six bits are summed in 16 bits over as many groups as cannot overflow (CHAIN), then
 * widened to 32 bits by `vpmaddwd`, which multiplies by the integer scale of the sub-block on the
 * way. Offsets are taken off with the sums of the inputs. Codes of eight bits would overflow at
 * once: alone they go through |w| * sign(x, w), in a batch through 16-bit products.
 *
 * One input reads the packed codes straight into registers (direct_*). Several inputs share the work
 * of unpacking: a piece of the slab goes through scratch, which stays in the first-level cache, and
 * tiles of four inputs are multiplied by it (tile_*). Both give the same bits: integers are exact,
 * and the float steps are those of scalar_packed.c. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/packed_inner.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

/* Groups of four columns whose products fit 16 bits: codes times 127, two per lane and group. */
INLINE int chain_of(const packed_info p) {
    const int bits = p.low_bits + p.high_bits;
    if (bits == 6) return 2;
    return bits == 4 && p.sub_len == 32 ? 8 : 4;
}
INLINE bool is_byte(const packed_info p) { /* signed bytes: Q8_0 and the tables */
    return p.low_bits == 8 || p.is_table;
}
INLINE int subs_of(const packed_info p) {
    return p.super_len / p.sub_len;
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

INLINE __m256i direct_bytes(const packed_info p, const unsigned char *block, int h,
                            const int8_t *x) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    UNROLL for (int j = 0; j < 4; j++) {
        __m256i v[2];
        read_pair(p, block, j, h, v);
        UNROLL for (int i = 0; i < 2; i++) {
            const __m256i signed_x = _mm256_sign_epi8(spread(x + 4 * j + 16 * i), v[i]);
            const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(v[i]), signed_x);
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
        }
    }
    return sum;
}

/* Codes of up to six bits; scales: of columns 0 .. 15 and 16 .. 31. */
INLINE __m256i direct_codes(const packed_info p, const unsigned char *block, int h, const int8_t *x,
                            const int16_t *sums, const __m256i scales[2]) {
    const bool late = chain_of(p) == 2; /* offset times scale by itself: it would overflow */
    const __m256i offset = _mm256_set1_epi16((short)-p.offset);
    __m256i off[2], acc[2], sum = _mm256_setzero_si256();
    UNROLL for (int i = 0; i < 2; i++) {
        off[i] = _mm256_setzero_si256();
        if (p.offset != 0) off[i] = _mm256_mullo_epi16(spread(sums + 2 * i), offset);
        acc[i] = late ? _mm256_setzero_si256() : off[i];
        if (late) sum = _mm256_add_epi32(sum, _mm256_madd_epi16(off[i], scales[i]));
    }
    UNROLL for (int j = 0; j < 4; j++) {
        __m256i v[2];
        read_pair(p, block, j, h, v);
        UNROLL for (int i = 0; i < 2; i++) acc[i] =
            _mm256_add_epi16(acc[i], _mm256_maddubs_epi16(v[i], spread(x + 4 * j + 16 * i)));
        if (j != 1 || !late) continue;
        UNROLL for (int i = 0; i < 2; i++) {
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(acc[i], scales[i]));
            acc[i] = _mm256_setzero_si256();
        }
    }
    if (chain_of(p) == 8) /* one scale for both */
        return _mm256_madd_epi16(_mm256_add_epi16(acc[0], acc[1]), scales[0]);
    UNROLL for (int i = 0; i < 2; i++) sum =
        _mm256_add_epi32(sum, _mm256_madd_epi16(acc[i], scales[i]));
    return sum;
}

/* What lies behind the codes of a super-block. */
INLINE const unsigned char *halves_of(const packed_info p, const unsigned char *meta) {
    const int subs = p.has_scale ? subs_of(p) * (p.has_min ? 2 : 1) : 0;
    return meta + PACKED_ROWS * subs;
}

/* sum of minima times sums of inputs, of one block, as integers. */
INLINE __m256i min_sum(const packed_info p, const __m256i mins[2], const int16_t *sums) {
    const __m256i a = spread(sums), b = spread(sums + 2);
    if (p.sub_len == 32) return _mm256_madd_epi16(mins[0], _mm256_add_epi16(a, b));
    return _mm256_add_epi32(_mm256_madd_epi16(mins[0], a), _mm256_madd_epi16(mins[1], b));
}

INLINE void direct(const packed_info p, float *y, const unsigned char *slab,
                   const kernels_input *x) {
    const int64_t blocks = x->col_count / PACKED_BLOCK;
    const int of_super = p.super_len / PACKED_BLOCK;
    const size_t code_size = packed_code_size(&p), meta_size = packed_meta_size(&p);
    const unsigned char *codes = slab, *meta = slab + (size_t)blocks * code_size;
    const int8_t *xc = x->codes;
    const int16_t *sums = x->sums;
    __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t b = 0; b < blocks; b += of_super, meta += meta_size) {
        __m256 products[2], minima[2];
        UNROLL for (int h = 0; h < 2; h++) products[h] = minima[h] = _mm256_setzero_ps();
        for (int i = 0; i < of_super; i++) {
            const __m256 xs = _mm256_broadcast_ss(x->scales + b + i);
            UNROLL for (int h = 0; h < 2; h++) {
                const unsigned char *sub = meta + PACKED_ROWS * (i * 32 / p.sub_len) + 8 * h;
                const int second = p.sub_len == 16 ? PACKED_ROWS : 0;
                __m256i scales[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)}, sum;
                if (p.has_scale) {
                    scales[0] = read_scales(sub);
                    scales[1] = second > 0 ? read_scales(sub + second) : scales[0];
                }
                if (is_byte(p)) {
                    sum = direct_bytes(p, codes, h, xc);
                    if (p.has_scale)
                        sum = _mm256_mullo_epi32(sum, _mm256_srai_epi32(scales[0], 16));
                } else {
                    sum = direct_codes(p, codes, h, xc, sums, scales);
                }
                products[h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), xs, products[h]);
                if (!p.has_min) continue;
                const unsigned char *min = sub + PACKED_ROWS * subs_of(p);
                __m256i mins[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
                if (p.has_scale) {
                    mins[0] = read_scales(min);
                    mins[1] = second > 0 ? read_scales(min + second) : mins[0];
                }
                minima[h] =
                    _mm256_fmadd_ps(_mm256_cvtepi32_ps(min_sum(p, mins, sums)), xs, minima[h]);
            }
            codes += code_size, xc += PACKED_BLOCK, sums += 4;
        }
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
    /* Codes: a line per group. Signed bytes as 16 bits: two lines per group, columns 0 and 2 of it,
     * then 1 and 3. */
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
            if (!is_byte(p)) {
                _mm256_store_si256((__m256i *)(void *)(lines[g] + 32 * h), v[i]);
                continue;
            }
            const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(v[i], 8), 8);
            const __m256i odd = _mm256_srai_epi16(v[i], 8);
            _mm256_store_si256((__m256i *)(void *)(lines[2 * g] + 32 * h), even);
            _mm256_store_si256((__m256i *)(void *)(lines[2 * g + 1] + 32 * h), odd);
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

/* The integer sums of one block for `count` inputs, whose rows are `stride` columns apart. */
INLINE void tile_codes(const packed_info p, int count, const unsigned char (*lines)[PACKED_LINE],
                       const unsigned char (*scales)[PACKED_LINE], const int8_t *x, int64_t stride,
                       const int16_t *sums, __m256i out[TILE_INPUTS][2]) {
    const int chain = chain_of(p);
    const __m256i offset = _mm256_set1_epi16((short)-p.offset);
    UNROLL for (int part = 0; part < PACKED_GROUPS / chain; part++) {
        const int sub = part * chain / 4; /* which 16 columns */
        __m256i acc[TILE_INPUTS][2], scale[2];
        UNROLL for (int h = 0; h < 2; h++) scale[h] =
            p.has_scale ? load_32(scales[p.sub_len == 16 ? sub : 0] + 32 * h)
                        : _mm256_set1_epi16(1);
        UNROLL for (int t = 0; t < count; t++) {
            const int16_t *s = sums + t * (stride / 8) + 2 * sub;
            __m256i off = _mm256_setzero_si256();
            if (p.offset != 0 && chain == 8)
                off = _mm256_mullo_epi16(_mm256_add_epi16(spread(s), spread(s + 2)), offset);
            else if (p.offset != 0 && (chain == 4 || part % 2 == 0))
                off = _mm256_mullo_epi16(spread(s), offset);
            UNROLL for (int h = 0; h < 2; h++) {
                acc[t][h] = chain == 2 ? _mm256_setzero_si256() : off;
                if (part == 0) out[t][h] = _mm256_setzero_si256();
                if (chain == 2 && part % 2 == 0)
                    out[t][h] = _mm256_add_epi32(out[t][h], _mm256_madd_epi16(off, scale[h]));
            }
        }
        UNROLL for (int i = 0; i < chain; i++) {
            const int g = part * chain + i;
            const __m256i w[2] = {load_32(lines[g]), load_32(lines[g] + 32)};
            UNROLL for (int t = 0; t < count; t++) {
                const __m256i xs = spread(x + t * stride + 4 * g);
                UNROLL for (int h = 0; h < 2; h++) acc[t][h] =
                    _mm256_add_epi16(acc[t][h], _mm256_maddubs_epi16(w[h], xs));
            }
        }
        UNROLL for (int t = 0; t < count; t++) UNROLL for (int h = 0; h < 2; h++) out[t][h] =
            _mm256_add_epi32(out[t][h], _mm256_madd_epi16(acc[t][h], scale[h]));
    }
}

INLINE void tile_bytes(int count, const unsigned char (*lines)[PACKED_LINE], const int16_t *x,
                       int64_t stride, __m256i out[TILE_INPUTS][2]) {
    UNROLL for (int t = 0; t < count; t++) out[t][0] = out[t][1] = _mm256_setzero_si256();
    UNROLL for (int l = 0; l < 2 * PACKED_GROUPS; l++) {
        const __m256i w[2] = {load_32(lines[l]), load_32(lines[l] + 32)};
        UNROLL for (int t = 0; t < count; t++) {
            const __m256i xs = spread(x + t * stride + 2 * l);
            UNROLL for (int h = 0; h < 2; h++) out[t][h] =
                _mm256_add_epi32(out[t][h], _mm256_madd_epi16(w[h], xs));
        }
    }
}

/* A piece times `count` inputs, added to y [count][16]; first: the column it begins at. */
INLINE void tile(const packed_info p, int count, float *y, const piece *w, int block_count,
                 const kernels_input *x, int64_t t, int64_t first) {
    const int64_t stride = x->col_count, blocks = stride / PACKED_BLOCK;
    const int of_super = p.super_len / PACKED_BLOCK;
    const int8_t *codes = x->codes + t * stride + first;
    const int16_t *wide = x->wide + t * stride + first, *sums = x->sums + (t * stride + first) / 8;
    const float *scales = x->scales + t * blocks + first / PACKED_BLOCK;
    for (int b = 0; b < block_count; b += of_super) {
        __m256 products[TILE_INPUTS][2], minima[TILE_INPUTS][2];
        UNROLL for (int t4 = 0; t4 < count; t4++) UNROLL for (int h = 0; h < 2; h++)
            products[t4][h] = minima[t4][h] = _mm256_setzero_ps();
        for (int i = b; i < b + of_super; i++) {
            const int sub = i * PACKED_BLOCK / p.sub_len;
            __m256i out[TILE_INPUTS][2];
            if (is_byte(p))
                tile_bytes(count, w->lines[i], wide + i * PACKED_BLOCK, stride, out);
            else
                tile_codes(p, count, w->lines[i], w->scales + sub, codes + i * PACKED_BLOCK, stride,
                           sums + 4 * i, out);
            UNROLL for (int t4 = 0; t4 < count; t4++) UNROLL for (int h = 0; h < 2; h++) {
                const __m256 xs = _mm256_broadcast_ss(scales + t4 * blocks + i);
                if (is_byte(p) && p.has_scale)
                    out[t4][h] = _mm256_mullo_epi32(
                        out[t4][h], _mm256_srai_epi32(load_32(w->scales[sub] + 32 * h), 16));
                products[t4][h] =
                    _mm256_fmadd_ps(_mm256_cvtepi32_ps(out[t4][h]), xs, products[t4][h]);
                if (!p.has_min) continue;
                __m256i mins[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
                if (p.has_scale) {
                    mins[0] = load_32(w->mins[sub] + 32 * h);
                    mins[1] = load_32(w->mins[sub + (p.sub_len == 16)] + 32 * h);
                }
                const __m256i m = min_sum(p, mins, sums + t4 * (stride / 8) + 4 * i);
                minima[t4][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(m), xs, minima[t4][h]);
            }
        }
        UNROLL for (int t4 = 0; t4 < count; t4++) UNROLL for (int h = 0; h < 2; h++) {
            float *at = y + t4 * PACKED_ROWS + 8 * h;
            const int s = b / of_super;
            __m256 acc = _mm256_loadu_ps(at);
            acc = _mm256_fmadd_ps(_mm256_load_ps(w->d[s] + 8 * h), products[t4][h], acc);
            if (p.has_min)
                acc = _mm256_fmadd_ps(_mm256_load_ps(w->min[s] + 8 * h), minima[t4][h], acc);
            _mm256_storeu_ps(at, acc);
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
        int64_t t = 0;
        for (; t + 4 <= x_count; t += 4) tile(p, 4, y + t * PACKED_ROWS, w, count, x, t, first);
        for (; t + 2 <= x_count; t += 2) tile(p, 2, y + t * PACKED_ROWS, w, count, x, t, first);
        for (; t < x_count; t++) tile(p, 1, y + t * PACKED_ROWS, w, count, x, t, first);
    }
}

#define MULTIPLY(name, type)                                                                       \
    static void name(float *y, const unsigned char *slab, const kernels_input *x, int64_t x_count, \
                     unsigned char *scratch) {                                                     \
        if (x_count == 1)                                                                          \
            direct(packed_infos[type], y, slab, x);                                                \
        else                                                                                       \
            batch(packed_infos[type], y, slab, x, x_count, scratch);                               \
    }
MULTIPLY(multiply_q4_0, QUANT_Q4_0)
MULTIPLY(multiply_q4_1, QUANT_Q4_1)
MULTIPLY(multiply_q5_0, QUANT_Q5_0)
MULTIPLY(multiply_q5_1, QUANT_Q5_1)
MULTIPLY(multiply_q8_0, QUANT_Q8_0)
MULTIPLY(multiply_q2_k, QUANT_Q2_K)
MULTIPLY(multiply_q3_k, QUANT_Q3_K)
MULTIPLY(multiply_q4_k, QUANT_Q4_K)
MULTIPLY(multiply_q5_k, QUANT_Q5_K)
MULTIPLY(multiply_q6_k, QUANT_Q6_K)
MULTIPLY(multiply_iq4_nl, QUANT_IQ4_NL)
MULTIPLY(multiply_iq4_xs, QUANT_IQ4_XS)
#undef MULTIPLY

/* ---- rounding inputs ---- */

/* The largest magnitude as bits: as integers NaN > infinity > any number. */
INLINE uint32_t largest_bits(const __m256 v[4]) {
    const __m256i mask = _mm256_set1_epi32(0x7fffffff);
    __m256i m = _mm256_setzero_si256();
    UNROLL for (int i = 0; i < 4; i++) m =
        _mm256_max_epi32(m, _mm256_and_si256(_mm256_castps_si256(v[i]), mask));
    __m128i s = _mm_max_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(s);
}

static void quantise(const float *x, int64_t col_count, int8_t *codes, int16_t *wide, int16_t *sums,
                     float *scales) {
    const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i ones8 = _mm256_set1_epi8(1);
    const __m256i even_odd = _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15,
                                              0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    for (int64_t b = 0; b < col_count / PACKED_BLOCK; b++, x += PACKED_BLOCK) {
        __m256 v[4];
        UNROLL for (int i = 0; i < 4; i++) v[i] = _mm256_loadu_ps(x + 8 * i);
        const uint32_t bits = largest_bits(v);
        float largest;
        memcpy(&largest, &bits, sizeof largest);
        const bool finite = bits < 0x7f800000, none = !finite || largest < KERNELS_TINY;
        scales[b] = !finite ? NAN : none ? 0.0f : largest / 127.0f;
        const __m256 inverse = _mm256_set1_ps(none ? 0.0f : 127.0f / largest);
        __m256i q[4];
        UNROLL for (int i = 0; i < 4; i++) {
            q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
            if (none) q[i] = _mm256_setzero_si256(); /* infinity times 0 is no number */
        }
        const __m256i low = _mm256_packs_epi32(q[0], q[1]), high = _mm256_packs_epi32(q[2], q[3]);
        const __m256i packed = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), in_order);
        _mm256_storeu_si256((__m256i *)(void *)(codes + b * PACKED_BLOCK), packed);
        /* Pairs of neighbours, then groups 0 .. 3 and 4 .. 7 each added up: lanes of 128 bits. */
        __m256i s = _mm256_maddubs_epi16(ones8, packed);
        s = _mm256_add_epi16(s, _mm256_shuffle_epi32(s, 0x4e));
        s = _mm256_add_epi16(s, _mm256_shuffle_epi32(s, 0xb1));
        const int32_t a = _mm256_extract_epi32(s, 0), c = _mm256_extract_epi32(s, 4);
        memcpy(sums + 4 * b, &a, sizeof a);
        memcpy(sums + 4 * b + 2, &c, sizeof c);
        if (wide == NULL) continue;
        UNROLL for (int i = 0; i < 2; i++) {
            const __m128i part =
                i == 0 ? _mm256_castsi256_si128(packed) : _mm256_extracti128_si256(packed, 1);
            const __m256i w = _mm256_shuffle_epi8(_mm256_cvtepi8_epi16(part), even_odd);
            _mm256_storeu_si256((__m256i *)(void *)(wide + b * PACKED_BLOCK + 16 * i), w);
        }
    }
}

void kernels_fill_avx2_packed(kernels *k) {
    k->quantise = quantise;
    k->multiply[QUANT_Q4_0] = multiply_q4_0;
    k->multiply[QUANT_Q4_1] = multiply_q4_1;
    k->multiply[QUANT_Q5_0] = multiply_q5_0;
    k->multiply[QUANT_Q5_1] = multiply_q5_1;
    k->multiply[QUANT_Q8_0] = multiply_q8_0;
    k->multiply[QUANT_Q2_K] = multiply_q2_k;
    k->multiply[QUANT_Q3_K] = multiply_q3_k;
    k->multiply[QUANT_Q4_K] = multiply_q4_k;
    k->multiply[QUANT_Q5_K] = multiply_q5_k;
    k->multiply[QUANT_Q6_K] = multiply_q6_k;
    k->multiply[QUANT_IQ4_NL] = multiply_iq4_nl;
    k->multiply[QUANT_IQ4_XS] = multiply_iq4_xs;
}

#endif
