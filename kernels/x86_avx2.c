/* AVX2 + FMA + F16C. Matrix products keep the law of kernels.h with one register of 8 lanes per
 * output: column c lies in lane c % 8 by itself, every step is a fused multiply-add, and horizontal
 * additions make the tree. Weights are dequantised into the very floats of quant.c before they are
 * multiplied; that is why gemv and dequantise + gemm agree in every bit.
 *
 * Reading order of the file: lanes and tails, stored weights, gemv, gemm, vectors.
 * Norms and functions: x86_avx2_functions.c. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>

#include "kernels/quant_inner.h"

/* The bodies below are written once for all types and sizes; inlined with constant arguments they
 * become one straight loop each. */
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

/* ---- lanes and tails ---- */

INLINE float lane_total(__m256 s) {
    s = _mm256_hadd_ps(s, s);
    s = _mm256_hadd_ps(s, s);
    return _mm_cvtss_f32(_mm_add_ss(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
}

/* The totals of four outputs at once, each in the tree of lane_total. */
INLINE __m128 lane_totals(const __m256 s[4]) {
    const __m256 h = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}

/* The first count lanes, 0 < count < 8. Masked loads touch nothing behind them; the lanes left out
 * are 0 and add 0 to their sums. */
INLINE __m256i tail_mask(int64_t count) {
    static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(window + 8 - count));
}

INLINE __m128i load_16(const void *p) {
    return _mm_loadu_si128((const __m128i *)p);
}
INLINE __m256i load_32(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

/* ---- stored weights: types of single values ---- */

INLINE __m256 from_half(__m128i bits) {
    return _mm256_cvtph_ps(bits);
}
INLINE __m256 from_bf16(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

/* Columns c .. c + 7 of a row of F32, F16 or BF16. */
INLINE __m256 values8(quant_type type, const unsigned char *row, int64_t c) {
    if (type == QUANT_F32) return _mm256_castsi256_ps(load_32(row + 4 * c));
    const __m128i bits = load_16(row + 2 * c);
    return type == QUANT_F16 ? from_half(bits) : from_bf16(bits);
}

/* Columns c .. c + count - 1, count < 8; the rest is 0. */
INLINE __m256 values_tail(quant_type type, const unsigned char *row, int64_t c, int64_t count) {
    const size_t size = type == QUANT_F32 ? 4 : 2;
    unsigned char bytes[32] = {0};
    memcpy(bytes, row + size * (size_t)c, size * (size_t)count);
    return values8(type, bytes, 0);
}

/* ---- stored weights: types of blocks, 32 columns at a time ---- */

INLINE __m256 scale_at(const unsigned char *p) {
    return from_half(_mm_set1_epi16((short)quant_load_u16(p)));
}
INLINE __m256 from_bytes(__m128i codes) { /* the low eight */
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes));
}

/* v = codes times the scale of their half: columns 0 to 15 and 16 to 31. */
INLINE void scale_codes(__m256i codes, __m256 scale_a, __m256 scale_b, __m256 v[4]) {
    const __m128i a = _mm256_castsi256_si128(codes), b = _mm256_extracti128_si256(codes, 1);
    v[0] = _mm256_mul_ps(scale_a, from_bytes(a));
    v[1] = _mm256_mul_ps(scale_a, from_bytes(_mm_unpackhi_epi64(a, a)));
    v[2] = _mm256_mul_ps(scale_b, from_bytes(b));
    v[3] = _mm256_mul_ps(scale_b, from_bytes(_mm_unpackhi_epi64(b, b)));
}

INLINE void part_q8_0(const unsigned char *p, __m256 v[4]) {
    const __m256 d = scale_at(p);
    UNROLL for (int i = 0; i < 4; i++) v[i] =
        _mm256_mul_ps(d, from_bytes(_mm_loadl_epi64((const __m128i *)(p + 2 + 8 * i))));
}

INLINE __m256i bytes_to_ints(const unsigned char *p) { /* eight, unsigned */
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

INLINE void part_q4_0(const unsigned char *p, __m256 v[4]) {
    const __m256 d = scale_at(p);
    const __m256i low = _mm256_set1_epi32(15), eight = _mm256_set1_epi32(8);
    UNROLL for (int i = 0; i < 2; i++) { /* bytes 8i .. 8i + 7: two runs of eight columns */
        const __m256i q = bytes_to_ints(p + 2 + 8 * i);
        const __m256i a = _mm256_sub_epi32(_mm256_and_si256(q, low), eight);
        const __m256i b = _mm256_sub_epi32(_mm256_srli_epi32(q, 4), eight);
        v[i] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(a));
        v[i + 2] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(b));
    }
}

/* What a super-block scales its parts with, ahead of them: memory broadcasts one for free. Q6_K:
 * sixteen scales; Q4_K and Q5_K: eight scales, then eight minima. */
INLINE void scales_q6_k(const unsigned char *p, float scales[16]) {
    const __m256 d = scale_at(p + 208);
    const __m128i codes = load_16(p + 192);
    _mm256_storeu_ps(scales, _mm256_mul_ps(d, from_bytes(codes)));
    _mm256_storeu_ps(scales + 8, _mm256_mul_ps(d, from_bytes(_mm_unpackhi_epi64(codes, codes))));
}

/* Twelve bytes of six-bit pairs (scale_and_min of quant_k.c), all eight at once. */
INLINE void scales_q45_k(const unsigned char *p, float scales[16]) {
    const uint32_t a = quant_load_u32(p + 4), b = quant_load_u32(p + 8), c = quant_load_u32(p + 12);
    const uint32_t low = 0x0f0f0f0f, six = 0x3f3f3f3f, top = 0x30303030;
    const uint32_t scale_high = (c & low) | (a >> 2 & top);
    const uint32_t min_high = (c >> 4 & low) | (b >> 2 & top);
    const __m128i codes =
        _mm_set_epi32((int)min_high, (int)(b & six), (int)scale_high, (int)(a & six));
    _mm256_storeu_ps(scales, _mm256_mul_ps(scale_at(p), from_bytes(codes)));
    _mm256_storeu_ps(scales + 8,
                     _mm256_mul_ps(scale_at(p + 2), from_bytes(_mm_unpackhi_epi64(codes, codes))));
}

/* Part 0 .. 7 of a super-block; see block_q45_k for the layout. The minimum is subtracted in a step
 * of its own: weights are rounded as quant.c rounds them. */
INLINE void part_q45_k(const unsigned char *p, bool has_high, int part, const float scales[16],
                       __m256 v[4]) {
    const __m256i q = load_32(p + (has_high ? 48 : 16) + 32 * (part / 2));
    const __m256i nibbles = part % 2 == 0 ? q : _mm256_srli_epi16(q, 4);
    __m256i codes = _mm256_and_si256(nibbles, _mm256_set1_epi8(15));
    if (has_high) { /* bit `part` of every byte becomes 16 */
        const __m256i high = load_32(p + 16);
        const __m256i moved =
            part <= 4 ? _mm256_slli_epi16(high, 4 - part) : _mm256_srli_epi16(high, part - 4);
        codes = _mm256_or_si256(codes, _mm256_and_si256(moved, _mm256_set1_epi8(16)));
    }
    const __m256 scale = _mm256_broadcast_ss(scales + part);
    const __m256 min = _mm256_broadcast_ss(scales + 8 + part);
    scale_codes(codes, scale, scale, v);
    UNROLL for (int i = 0; i < 4; i++) v[i] = _mm256_sub_ps(v[i], min);
}

/* Part 0 .. 7 of a super-block; see block_q6_k for the layout. */
INLINE void part_q6_k(const unsigned char *p, int part, const float scales[16], __m256 v[4]) {
    const int half = part / 4, t = part % 4;
    const __m256i low = load_32(p + 64 * half + 32 * (t % 2)), high = load_32(p + 128 + 32 * half);
    const __m256i nibbles = t < 2 ? low : _mm256_srli_epi16(low, 4);
    const __m256i pairs = t == 3   ? _mm256_srli_epi16(high, 2)
                          : t == 2 ? high
                          : t == 1 ? _mm256_slli_epi16(high, 2)
                                   : _mm256_slli_epi16(high, 4);
    const __m256i codes = _mm256_or_si256(_mm256_and_si256(nibbles, _mm256_set1_epi8(15)),
                                          _mm256_and_si256(pairs, _mm256_set1_epi8(0x30)));
    const __m256 scale_a = _mm256_broadcast_ss(scales + 2 * part);
    const __m256 scale_b = _mm256_broadcast_ss(scales + 2 * part + 1);
    scale_codes(_mm256_sub_epi8(codes, _mm256_set1_epi8(32)), scale_a, scale_b, v);
}

INLINE void block_scales(quant_type type, const unsigned char *block, float scales[16]) {
    if (type == QUANT_Q6_K) scales_q6_k(block, scales);
    if (type == QUANT_Q4_K || type == QUANT_Q5_K) scales_q45_k(block, scales);
}
INLINE void part32(quant_type type, const unsigned char *block, int part, const float *scales,
                   __m256 v[4]) {
    if (type == QUANT_Q8_0) part_q8_0(block, v);
    if (type == QUANT_Q4_0) part_q4_0(block, v);
    if (type == QUANT_Q6_K) part_q6_k(block, part, scales, v);
    if (type == QUANT_Q4_K || type == QUANT_Q5_K)
        part_q45_k(block, type == QUANT_Q5_K, part, scales, v);
}

/* Constants where type is: the table of quant.c is in another file. */
INLINE size_t block_size_of(quant_type type) {
    return type == QUANT_Q8_0   ? 34
           : type == QUANT_Q4_0 ? 18
           : type == QUANT_Q4_K ? 144
           : type == QUANT_Q5_K ? 176
                                : 210;
}
INLINE int part_count_of(quant_type type) {
    return type == QUANT_Q8_0 || type == QUANT_Q4_0 ? 1 : 8;
}

INLINE void dequantise_blocks(quant_type type, const unsigned char *p, float *out, int64_t count) {
    for (const float *end = out + count; out != end; p += block_size_of(type)) {
        float scales[16];
        block_scales(type, p, scales);
        UNROLL for (int part = 0; part < part_count_of(type); part++) {
            __m256 v[4];
            part32(type, p, part, scales, v);
            UNROLL for (int i = 0; i < 4; i++) _mm256_storeu_ps(out + 8 * i, v[i]);
            out += 32;
        }
    }
}

INLINE void dequantise_values(quant_type type, const unsigned char *p, float *out, int64_t count) {
    int64_t c = 0;
    for (; c + 8 <= count; c += 8) _mm256_storeu_ps(out + c, values8(type, p, c));
    if (c == count) return;
    _mm256_maskstore_ps(out + c, tail_mask(count - c), values_tail(type, p, c, count - c));
}

static void dequantise(quant_type type, const void *row, float *out, int64_t count) {
    const unsigned char *p = row;
    if (type == QUANT_F16)
        dequantise_values(QUANT_F16, p, out, count);
    else if (type == QUANT_BF16)
        dequantise_values(QUANT_BF16, p, out, count);
    else if (type == QUANT_Q8_0)
        dequantise_blocks(QUANT_Q8_0, p, out, count);
    else if (type == QUANT_Q4_0)
        dequantise_blocks(QUANT_Q4_0, p, out, count);
    else if (type == QUANT_Q4_K)
        dequantise_blocks(QUANT_Q4_K, p, out, count);
    else if (type == QUANT_Q5_K)
        dequantise_blocks(QUANT_Q5_K, p, out, count);
    else if (type == QUANT_Q6_K)
        dequantise_blocks(QUANT_Q6_K, p, out, count);
    else
        quant_dequantise(type, row, out, count);
}

/* ---- gemv: several rows side by side, so that their chains of additions overlap ---- */

enum { ROWS_CAP = 8 };

/* Asks for the next `size` bytes. */
INLINE void fetch_bytes(const unsigned char **next, size_t size, kernels_fetch to) {
    (void)kernels_fetch_lines(*next, *next + size, to);
    *next += size;
}

INLINE void gemv_values(quant_type type, int rows, float *y, const unsigned char *w,
                        size_t row_size, const float *x, int64_t col_count, kernels_fetch fetch) {
    const size_t step = (size_t)rows * 8 * (type == QUANT_F32 ? 4 : 2); /* bytes of 8 columns */
    const unsigned char *next = w + (size_t)rows * row_size;
    __m256 sum[ROWS_CAP];
    UNROLL for (int r = 0; r < rows; r++) sum[r] = _mm256_setzero_ps();
    int64_t c = 0;
    for (; c + 8 <= col_count; c += 8) {
        const __m256 xc = _mm256_loadu_ps(x + c);
        fetch_bytes(&next, step, fetch);
        UNROLL for (int r = 0; r < rows; r++) sum[r] =
            _mm256_fmadd_ps(values8(type, w + (size_t)r * row_size, c), xc, sum[r]);
    }
    if (c < col_count) {
        const __m256 xc = _mm256_maskload_ps(x + c, tail_mask(col_count - c));
        UNROLL for (int r = 0; r < rows; r++) {
            const __m256 v = values_tail(type, w + (size_t)r * row_size, c, col_count - c);
            sum[r] = _mm256_fmadd_ps(v, xc, sum[r]);
        }
    }
    if (rows == 8) _mm_storeu_ps(y + 4, lane_totals(sum + 4));
    if (rows >= 4) _mm_storeu_ps(y, lane_totals(sum));
    if (rows == 1) y[0] = lane_total(sum[0]);
}

INLINE void gemv_blocks(quant_type type, int rows, float *y, const unsigned char *w,
                        size_t row_size, const float *x, int64_t col_count, kernels_fetch fetch) {
    const unsigned char *next = w + (size_t)rows * row_size;
    __m256 sum[ROWS_CAP];
    UNROLL for (int r = 0; r < rows; r++) sum[r] = _mm256_setzero_ps();
    for (const float *end = x + col_count; x != end; w += block_size_of(type)) {
        float scales[ROWS_CAP][16];
        fetch_bytes(&next, (size_t)rows * block_size_of(type), fetch);
        UNROLL for (int r = 0; r < rows; r++)
            block_scales(type, w + (size_t)r * row_size, scales[r]);
        UNROLL for (int part = 0; part < part_count_of(type); part++) {
            UNROLL for (int r = 0; r < rows; r++) {
                __m256 v[4];
                part32(type, w + (size_t)r * row_size, part, scales[r], v);
                UNROLL for (int i = 0; i < 4; i++) sum[r] =
                    _mm256_fmadd_ps(v[i], _mm256_loadu_ps(x + 8 * i), sum[r]);
            }
            x += 32;
        }
    }
    if (rows == 8) _mm_storeu_ps(y + 4, lane_totals(sum + 4));
    if (rows >= 4) _mm_storeu_ps(y, lane_totals(sum));
    if (rows == 1) y[0] = lane_total(sum[0]);
}

/* width: rows at a time, 4 or 8. Eight streams of memory are read faster than four (Q8_0 15.2
 * against 13.4 GB/s), but decoding a super-block needs the registers. */
#define GEMV(name, body, type, width)                                                              \
    static void name(float *y, const void *w, size_t row_size, int64_t row_count, const float *x,  \
                     int64_t col_count, kernels_fetch fetch) {                                     \
        const unsigned char *p = w;                                                                \
        int64_t r = 0;                                                                             \
        for (; r + width <= row_count; r += width, p += width * row_size)                          \
            body(type, width, y + r, p, row_size, x, col_count, fetch);                            \
        for (; r < row_count; r++, p += row_size)                                                  \
            body(type, 1, y + r, p, row_size, x, col_count, fetch);                                \
    }
GEMV(gemv_f32, gemv_values, QUANT_F32, 8)
GEMV(gemv_f16, gemv_values, QUANT_F16, 8)
GEMV(gemv_bf16, gemv_values, QUANT_BF16, 8)
GEMV(gemv_q8_0, gemv_blocks, QUANT_Q8_0, 8)
GEMV(gemv_q4_0, gemv_blocks, QUANT_Q4_0, 8)
GEMV(gemv_q4_k, gemv_blocks, QUANT_Q4_K, 4)
GEMV(gemv_q5_k, gemv_blocks, QUANT_Q5_K, 4)
GEMV(gemv_q6_k, gemv_blocks, QUANT_Q6_K, 4)
#undef GEMV

/* ---- gemm: tiles of 4 rows x 3 inputs in registers (12 sums, 3 inputs, 1 weight: all 16) ---- */

enum {
    TILE_INPUTS = 3,
    /* The panel's piece of 4 x 512 columns is 8 KiB and stays in the first-level cache while 24
     * inputs pass; their sums wait in memory (3 KiB) between pieces. */
    PIECE_COLS = 512,
    PIECE_INPUTS = 24
};

/* Adds col_count columns to the sums [inputs][4 rows]. */
INLINE void tile(int inputs, __m256 (*sums)[4], const float *const w[4], const float *x,
                 size_t x_stride, int64_t col_count) {
    __m256 s[TILE_INPUTS][4];
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int r = 0; r < 4; r++) s[t][r] = sums[t][r];
    int64_t c = 0;
    for (; c + 8 <= col_count; c += 8) {
        __m256 xc[TILE_INPUTS];
        UNROLL for (int t = 0; t < inputs; t++) xc[t] =
            _mm256_loadu_ps(x + (size_t)t * x_stride + c);
        UNROLL for (int r = 0; r < 4; r++) {
            const __m256 wc = _mm256_loadu_ps(w[r] + c);
            UNROLL for (int t = 0; t < inputs; t++) s[t][r] = _mm256_fmadd_ps(wc, xc[t], s[t][r]);
        }
    }
    if (c < col_count) {
        const __m256i mask = tail_mask(col_count - c);
        UNROLL for (int t = 0; t < inputs; t++) {
            const __m256 xc = _mm256_maskload_ps(x + (size_t)t * x_stride + c, mask);
            UNROLL for (int r = 0; r < 4; r++) s[t][r] =
                _mm256_fmadd_ps(_mm256_maskload_ps(w[r] + c, mask), xc, s[t][r]);
        }
    }
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int r = 0; r < 4; r++) sums[t][r] = s[t][r];
}

/* All columns of up to PIECE_INPUTS inputs. */
static void gemm_inputs(float *y, size_t y_stride, const float *const rows[4], int64_t row_count,
                        const float *x, size_t x_stride, int64_t x_count, int64_t col_count) {
    __m256 sums[PIECE_INPUTS][4];
    for (int64_t t = 0; t < x_count; t++)
        for (int r = 0; r < 4; r++) sums[t][r] = _mm256_setzero_ps();
    for (int64_t c = 0; c < col_count; c += PIECE_COLS) {
        const int64_t cols = col_count - c < PIECE_COLS ? col_count - c : PIECE_COLS;
        const float *const w[4] = {rows[0] + c, rows[1] + c, rows[2] + c, rows[3] + c};
        int64_t t = 0;
        for (; t + 3 <= x_count; t += 3)
            tile(3, sums + t, w, x + (size_t)t * x_stride + c, x_stride, cols);
        if (x_count - t == 2) tile(2, sums + t, w, x + (size_t)t * x_stride + c, x_stride, cols);
        if (x_count - t == 1) tile(1, sums + t, w, x + (size_t)t * x_stride + c, x_stride, cols);
    }
    for (int64_t t = 0; t < x_count; t++) {
        float *out = y + (size_t)t * y_stride;
        const __m128 totals = lane_totals(sums[t]);
        if (row_count == 4) {
            _mm_storeu_ps(out, totals);
        } else {
            float all[4];
            _mm_storeu_ps(all, totals);
            memcpy(out, all, (size_t)row_count * sizeof *out);
        }
    }
}

static void gemm(float *y, size_t y_stride, const float *w, size_t w_stride, int64_t row_count,
                 const float *x, size_t x_stride, int64_t x_count, int64_t col_count) {
    for (int64_t r = 0; r < row_count; r += 4) {
        const float *rows[4]; /* missing rows are the first one again, their results dropped */
        const int64_t left = row_count - r < 4 ? row_count - r : 4;
        for (int64_t i = 0; i < 4; i++) rows[i] = w + (size_t)(i < left ? r + i : r) * w_stride;
        for (int64_t t = 0; t < x_count; t += PIECE_INPUTS)
            gemm_inputs(y + (size_t)t * y_stride + r, y_stride, rows, left,
                        x + (size_t)t * x_stride, x_stride,
                        x_count - t < PIECE_INPUTS ? x_count - t : PIECE_INPUTS, col_count);
    }
}

/* ---- vectors ---- */

static float dot(const float *a, const float *b, int64_t count) {
    __m256 sum = _mm256_setzero_ps();
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        sum = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), sum);
    if (i < count) {
        const __m256i mask = tail_mask(count - i);
        sum =
            _mm256_fmadd_ps(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask), sum);
    }
    return lane_total(sum);
}

static void axpy(float *y, float s, const float *x, int64_t count) {
    const __m256 s8 = _mm256_set1_ps(s);
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const __m256 v = _mm256_fmadd_ps(s8, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i));
        _mm256_storeu_ps(y + i, v);
    }
    for (; i < count; i++) y[i] = fmaf(s, x[i], y[i]);
}

void kernels_fill_avx2(kernels *k) {
    k->name = "avx2";
    k->dequantise = dequantise;
    k->gemv[QUANT_F32] = gemv_f32;
    k->gemv[QUANT_F16] = gemv_f16;
    k->gemv[QUANT_BF16] = gemv_bf16;
    k->gemv[QUANT_Q8_0] = gemv_q8_0;
    k->gemv[QUANT_Q4_0] = gemv_q4_0;
    k->gemv[QUANT_Q4_K] = gemv_q4_k;
    k->gemv[QUANT_Q5_K] = gemv_q5_k;
    k->gemv[QUANT_Q6_K] = gemv_q6_k;
    k->gemm = gemm;
    k->dot = dot;
    k->axpy = axpy;
}

#endif
