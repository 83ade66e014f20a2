/* AVX-512: attention over a cache of rows of float32, half or Q8_0; the bits are those of avx2. Up
 * to four query heads share each key and value that is loaded:
 *
 *     keys     | key j, columns i .. i + 7 | key j + 1, columns i .. i + 7 |
 *     query    | head g, columns i .. i + 7 | the same again               |   broadcast
 *     sums     | eight sums for key j       | eight sums for key j + 1     |   two such registers
 *
 *     values   | value j, columns i .. i + 15 |   times the weight of head g, j ascending
 */
#include "kernels/attention_inner.h"
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")

enum {
    HEADS = 4,
    KEYS = 4, /* at once: two registers */
    PARTS = 4 /* registers of values at once, so that no sum waits for the one before */
};

/* The first `count` of n lanes. */
INLINE unsigned lanes(int64_t count, int n) {
    return count >= n ? (1u << n) - 1 : (1u << count) - 1;
}

/* The scale of value i of a row of Q8_0, eight times. */
INLINE __m128i scale_of(const unsigned char *row, int64_t width, int64_t i) {
    return _mm_set1_epi16((short)attention_scale(row, width, i));
}

/* Up to eight values of two rows of the cache side by side; what is masked reads as 0. */
INLINE __m512 load_pair(kernels_cache type, const unsigned char *row, const unsigned char *next,
                        int64_t width, int64_t i, __mmask8 mask) {
    if (type == KERNELS_CACHE_Q8_0) { /* whole blocks: nothing is masked */
        const __m128i codes =
            _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(const void *)(row + i)),
                               _mm_loadl_epi64((const __m128i *)(const void *)(next + i)));
        const __m256i scales = _mm256_inserti128_si256(
            _mm256_castsi128_si256(scale_of(row, width, i)), scale_of(next, width, i), 1);
        return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)),
                             _mm512_cvtph_ps(scales));
    }
    if (type == KERNELS_CACHE_F16) {
        const __m128i a = _mm_maskz_loadu_epi16(mask, row + 2 * i);
        return _mm512_cvtph_ps(_mm256_inserti128_si256(
            _mm256_castsi128_si256(a), _mm_maskz_loadu_epi16(mask, next + 2 * i), 1));
    }
    const __m256 a = _mm256_maskz_loadu_ps(mask, row + 4 * i);
    return _mm512_insertf32x8(_mm512_castps256_ps512(a), _mm256_maskz_loadu_ps(mask, next + 4 * i),
                              1);
}

/* Four sums, each added up in the tree of lane_total (scalar.c). */
INLINE __m128 totals(const __m512 s[2]) {
    const __m256 a = _mm256_hadd_ps(_mm512_castps512_ps256(s[0]), _mm512_extractf32x8_ps(s[0], 1));
    const __m256 b = _mm256_hadd_ps(_mm512_castps512_ps256(s[1]), _mm512_extractf32x8_ps(s[1], 1));
    const __m256 h = _mm256_hadd_ps(a, b);
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}

/* Columns i .. i + 7, those of the mask. */
INLINE void score_step(kernels_cache type, int heads, __m512 sums[HEADS][2], const float *q,
                       const unsigned char *const key[KEYS], int64_t width, int64_t i,
                       __mmask8 mask) {
    const __m512 a = load_pair(type, key[0], key[1], width, i, mask);
    const __m512 b = load_pair(type, key[2], key[3], width, i, mask);
    UNROLL for (int g = 0; g < heads; g++) {
        const float *from = q + g * width + i;
        const __m512 x = _mm512_broadcast_f32x8(_mm256_maskz_loadu_ps(mask, from));
        sums[g][0] = _mm512_fmadd_ps(x, a, sums[g][0]);
        sums[g][1] = _mm512_fmadd_ps(x, b, sums[g][1]);
    }
}

/* `heads` queries against KEYS keys: of fewer, the last stands in for those that are missing. */
INLINE void score_keys(kernels_cache type, int heads, float *scores, size_t stride, const float *q,
                       const unsigned char *keys, int count, int64_t width) {
    const size_t row_size = kernels_cache_row_size(type, width);
    const unsigned char *key[KEYS];
    UNROLL for (int j = 0; j < KEYS; j++) key[j] =
        keys + (size_t)(j < count ? j : count - 1) * row_size;
    __m512 sums[HEADS][2];
    UNROLL for (int g = 0; g < heads; g++) sums[g][0] = sums[g][1] = _mm512_setzero_ps();
    int64_t i = 0;
    for (; i + 8 <= width; i += 8) score_step(type, heads, sums, q, key, width, i, 0xff);
    if (i < width) score_step(type, heads, sums, q, key, width, i, (__mmask8)lanes(width - i, 8));
    UNROLL for (int g = 0; g < heads; g++) {
        float all[KEYS];
        _mm_storeu_ps(all, totals(sums[g]));
        memcpy(scores + (size_t)g * stride, all, (size_t)count * sizeof *all);
    }
}

INLINE void score(kernels_cache type, int heads, float *scores, size_t stride, const float *q,
                  const unsigned char *keys, int64_t key_count, int64_t width) {
    const size_t row_size = kernels_cache_row_size(type, width);
    int64_t j = 0;
    for (; j + KEYS <= key_count; j += KEYS, keys += KEYS * row_size)
        score_keys(type, heads, scores + j, stride, q, keys, KEYS, width);
    if (j < key_count)
        score_keys(type, heads, scores + j, stride, q, keys, (int)(key_count - j), width);
}

/* Up to sixteen values of a row. */
INLINE __m512 load_values(kernels_cache type, const unsigned char *row, int64_t width, int64_t i,
                          __mmask16 mask) {
    if (type == KERNELS_CACHE_F32) return _mm512_maskz_loadu_ps(mask, row + 4 * i);
    if (type == KERNELS_CACHE_Q8_0) {
        const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(row + i));
        return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)),
                             _mm512_cvtph_ps(_mm256_broadcastsi128_si256(scale_of(row, width, i))));
    }
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, row + 2 * i));
}

/* Columns i .. i + 16 * parts - 1; only the last part of a row may be short. */
INLINE void mix_parts(kernels_cache type, int heads, int parts, float *out, const float *weights,
                      size_t stride, const unsigned char *values, int64_t value_count,
                      int64_t width, int64_t i) {
    const size_t row_size = kernels_cache_row_size(type, width);
    const __mmask16 mask = (__mmask16)(parts == PARTS ? 0xffff : lanes(width - i, 16));
    __m512 sums[HEADS][PARTS];
    UNROLL for (int g = 0; g < heads; g++) UNROLL for (int p = 0; p < parts; p++) sums[g][p] =
        _mm512_maskz_loadu_ps(mask, out + g * width + i + 16 * p);
    for (int64_t j = 0; j < value_count; j++, values += row_size) {
        __m512 v[PARTS];
        UNROLL for (int p = 0; p < parts; p++) v[p] =
            load_values(type, values, width, i + 16 * p, mask);
        UNROLL for (int g = 0; g < heads; g++) {
            const __m512 weight = _mm512_set1_ps(weights[(size_t)g * stride + (size_t)j]);
            UNROLL for (int p = 0; p < parts; p++) sums[g][p] =
                _mm512_fmadd_ps(weight, v[p], sums[g][p]);
        }
    }
    UNROLL for (int g = 0; g < heads; g++) UNROLL for (int p = 0; p < parts; p++)
        _mm512_mask_storeu_ps(out + g * width + i + 16 * p, mask, sums[g][p]);
}

INLINE void mix(kernels_cache type, int heads, float *out, const float *weights, size_t stride,
                const unsigned char *values, int64_t value_count, int64_t width) {
    int64_t i = 0;
    for (; i + 16 * PARTS <= width; i += 16 * PARTS)
        mix_parts(type, heads, PARTS, out, weights, stride, values, value_count, width, i);
    for (; i < width; i += 16)
        mix_parts(type, heads, 1, out, weights, stride, values, value_count, width, i);
}

ATTENTION_CACHE(f32, KERNELS_CACHE_F32)
ATTENTION_CACHE(f16, KERNELS_CACHE_F16)
ATTENTION_CACHE(q8_0, KERNELS_CACHE_Q8_0)

/* Columns j .. j + 16 * parts - 1 of a state, as in x86_avx2_attention.c; mask: of a register. */
INLINE void scan_columns(int parts, float *state, float decay, const float *q, const float *k,
                         const float *v, float *y, int64_t n, int64_t width, __mmask16 mask) {
    const __m512 keep = _mm512_set1_ps(decay);
    __m512 sums[PARTS], values[PARTS];
    UNROLL for (int p = 0; p < parts; p++) {
        sums[p] = _mm512_maskz_loadu_ps(mask, y + 16 * p);
        values[p] = _mm512_maskz_loadu_ps(mask, v + 16 * p);
    }
    for (int64_t i = 0; i < n; i++, state += width) {
        const __m512 key = _mm512_set1_ps(k[i]), query = _mm512_set1_ps(q[i]);
        UNROLL for (int p = 0; p < parts; p++) {
            const __m512 kept = _mm512_mul_ps(keep, _mm512_maskz_loadu_ps(mask, state + 16 * p));
            const __m512 now = _mm512_fmadd_ps(key, values[p], kept);
            _mm512_mask_storeu_ps(state + 16 * p, mask, now);
            sums[p] = _mm512_fmadd_ps(query, now, sums[p]);
        }
    }
    UNROLL for (int p = 0; p < parts; p++) _mm512_mask_storeu_ps(y + 16 * p, mask, sums[p]);
}

static void scan(float *state, float decay, const float *q, const float *k, const float *v,
                 float *y, int64_t n, int64_t width) {
    int64_t j = 0;
    for (; j + 16 * PARTS <= width; j += 16 * PARTS)
        scan_columns(PARTS, state + j, decay, q, k, v + j, y + j, n, width, 0xffff);
    for (; j < width; j += 16)
        scan_columns(1, state + j, decay, q, k, v + j, y + j, n, width,
                     (__mmask16)lanes(width - j, 16));
}

void kernels_fill_avx512_attention(kernels *k) {
    ATTENTION_FILL(k);
    k->scan = scan;
}

#endif
