/* AVX-512: attention over a cache of rows of float32, half or Q8_0; the bits are those of avx2. Up
 * to four query heads share each key and value that is loaded:
 *
 *     keys     | key j, columns i .. i + 7 | key j + 1, columns i .. i + 7 |
 *     query    | head g, columns i .. i + 7 | the same again               |   broadcast
 *     sums     | eight sums for key j       | eight sums for key j + 1     |   one register a head
 *
 *     values   | value j, columns i .. i + 15 |   times the weight of head g, j ascending
 */
#include "kernels/attention_inner.h"
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")

enum { HEADS = 4 };

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

/* The tree of lane_total (scalar.c) in both halves. */
INLINE void totals(__m512 s, float out[2]) {
    const __m256 a = _mm512_castps512_ps256(s), b = _mm512_extractf32x8_ps(s, 1);
    __m256 h = _mm256_hadd_ps(a, b); /* pairs: of a in lanes 0, 1, 4, 5; of b in 2, 3, 6, 7 */
    h = _mm256_hadd_ps(h, h);
    const __m128 t = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    float all[4];
    _mm_storeu_ps(all, t);
    out[0] = all[0], out[1] = all[1];
}

/* `heads` queries against two keys; with one key left, against it twice. */
INLINE void score_pair(kernels_cache type, int heads, float *scores, size_t stride, const float *q,
                       const unsigned char *key, const unsigned char *next, int64_t width) {
    __m512 sums[HEADS];
    UNROLL for (int g = 0; g < heads; g++) sums[g] = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += 8) {
        const __mmask8 mask = (__mmask8)lanes(width - i, 8);
        const __m512 keys = load_pair(type, key, next, width, i, mask);
        UNROLL for (int g = 0; g < heads; g++) {
            const __m256 x = _mm256_maskz_loadu_ps(mask, q + g * width + i);
            sums[g] = _mm512_fmadd_ps(_mm512_broadcast_f32x8(x), keys, sums[g]);
        }
    }
    UNROLL for (int g = 0; g < heads; g++) {
        float pair[2];
        totals(sums[g], pair);
        scores[(size_t)g * stride] = pair[0];
        if (next != key) scores[(size_t)g * stride + 1] = pair[1];
    }
}

INLINE void score(kernels_cache type, int heads, float *scores, size_t stride, const float *q,
                  const unsigned char *keys, int64_t key_count, int64_t width) {
    const size_t row_size = kernels_cache_row_size(type, width);
    int64_t j = 0;
    for (; j + 2 <= key_count; j += 2, keys += 2 * row_size)
        score_pair(type, heads, scores + j, stride, q, keys, keys + row_size, width);
    if (j < key_count) score_pair(type, heads, scores + j, stride, q, keys, keys, width);
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

INLINE void mix(kernels_cache type, int heads, float *out, const float *weights, size_t stride,
                const unsigned char *values, int64_t value_count, int64_t width) {
    const size_t row_size = kernels_cache_row_size(type, width);
    for (int64_t i = 0; i < width; i += 16) {
        const __mmask16 mask = (__mmask16)lanes(width - i, 16);
        __m512 sums[HEADS];
        UNROLL for (int g = 0; g < heads; g++) sums[g] =
            _mm512_maskz_loadu_ps(mask, out + g * width + i);
        for (int64_t j = 0; j < value_count; j++) {
            const __m512 v = load_values(type, values + (size_t)j * row_size, width, i, mask);
            UNROLL for (int g = 0; g < heads; g++) {
                const float weight = weights[(size_t)g * stride + (size_t)j];
                sums[g] = _mm512_fmadd_ps(_mm512_set1_ps(weight), v, sums[g]);
            }
        }
        UNROLL for (int g = 0; g < heads; g++)
            _mm512_mask_storeu_ps(out + g * width + i, mask, sums[g]);
    }
}

ATTENTION_CACHE(f32, KERNELS_CACHE_F32)
ATTENTION_CACHE(f16, KERNELS_CACHE_F16)
ATTENTION_CACHE(q8_0, KERNELS_CACHE_Q8_0)

void kernels_fill_avx512_attention(kernels *k) {
    ATTENTION_FILL(k);
}

#endif
