/* AVX2: attention over a cache of rows of float32, half or Q8_0. Up to four query heads share each
 * key and value that is loaded:
 *
 *     keys [j, width] x q [4, width]        -> one register of sums per head, added up in the tree
 *                                              of lane_total (x86_avx2.c)
 *     weights [4, j] x values [j, 16 cols]  -> two registers per head, j ascending */
#include "kernels/attention_inner.h"
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")

enum { HEADS = 4 };

/* The scale of value i of a cached row of `width`; of use for Q8_0 only. */
INLINE __m256 scale_of(kernels_cache type, const unsigned char *row, int64_t width, int64_t i) {
    if (type != KERNELS_CACHE_Q8_0) return _mm256_setzero_ps();
    return _mm256_cvtph_ps(_mm_set1_epi16((short)attention_scale(row, width, i)));
}
/* Eight values of a cached row. */
INLINE __m256 load8(kernels_cache type, const unsigned char *row, int64_t i, __m256 scale) {
    if (type == KERNELS_CACHE_F32) return _mm256_loadu_ps((const float *)(const void *)row + i);
    if (type == KERNELS_CACHE_F16)
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(row + 2 * i)));
    const __m256i codes =
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(row + i)));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(codes), scale);
}
/* The last values of a row, with the rest 0; rows of Q8_0 end with a block. */
INLINE __m256 load_tail(kernels_cache type, const unsigned char *row, int64_t i, int64_t count) {
    const size_t size = type == KERNELS_CACHE_F32 ? 4 : 2;
    unsigned char bytes[32] = {0};
    if (type == KERNELS_CACHE_Q8_0) return _mm256_setzero_ps();
    memcpy(bytes, row + size * (size_t)i, size * (size_t)count);
    return load8(type, bytes, 0, _mm256_setzero_ps());
}

INLINE __m128 totals(const __m256 s[HEADS]) {
    const __m256 h = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}

/* `heads` queries against all keys. */
INLINE void score(kernels_cache type, int heads, float *scores, size_t stride, const float *q,
                  const unsigned char *keys, int64_t key_count, int64_t width) {
    const size_t row_size = kernels_cache_row_size(type, width);
    for (int64_t j = 0; j < key_count; j++, keys += row_size) {
        __m256 sums[HEADS];
        UNROLL for (int g = 0; g < HEADS; g++) sums[g] = _mm256_setzero_ps();
        __m256 scale = _mm256_setzero_ps();
        int64_t i = 0;
        for (; i + 8 <= width; i += 8) {
            if (i % KERNELS_CACHE_BLOCK == 0) scale = scale_of(type, keys, width, i);
            const __m256 key = load8(type, keys, i, scale);
            UNROLL for (int g = 0; g < heads; g++) sums[g] =
                _mm256_fmadd_ps(_mm256_loadu_ps(q + g * width + i), key, sums[g]);
        }
        if (i < width) {
            const __m256 key = load_tail(type, keys, i, width - i);
            UNROLL for (int g = 0; g < heads; g++) {
                const unsigned char *row = (const unsigned char *)(q + g * width);
                sums[g] =
                    _mm256_fmadd_ps(load_tail(KERNELS_CACHE_F32, row, i, width - i), key, sums[g]);
            }
        }
        float all[4];
        _mm_storeu_ps(all, totals(sums));
        UNROLL for (int g = 0; g < heads; g++) scores[(size_t)g * stride + (size_t)j] = all[g];
    }
}

/* Columns i .. i + 8 * parts - 1 of `heads` outputs. */
INLINE void mix_columns(kernels_cache type, int heads, int parts, float *out, const float *weights,
                        size_t stride, const unsigned char *values, int64_t value_count,
                        int64_t width, int64_t i) {
    const size_t row_size = kernels_cache_row_size(type, width);
    __m256 sums[HEADS][2];
    UNROLL for (int g = 0; g < heads; g++) UNROLL for (int p = 0; p < parts; p++) sums[g][p] =
        _mm256_loadu_ps(out + g * width + i + 8 * p);
    for (int64_t j = 0; j < value_count; j++, values += row_size) {
        const __m256 scale = scale_of(type, values, width, i); /* i is a multiple of 16 */
        __m256 v[2];
        UNROLL for (int p = 0; p < parts; p++) v[p] = load8(type, values, i + 8 * p, scale);
        UNROLL for (int g = 0; g < heads; g++) {
            const __m256 weight = _mm256_broadcast_ss(weights + (size_t)g * stride + j);
            UNROLL for (int p = 0; p < parts; p++) sums[g][p] =
                _mm256_fmadd_ps(weight, v[p], sums[g][p]);
        }
    }
    UNROLL for (int g = 0; g < heads; g++) UNROLL for (int p = 0; p < parts; p++)
        _mm256_storeu_ps(out + g * width + i + 8 * p, sums[g][p]);
}

INLINE void mix(kernels_cache type, int heads, float *out, const float *weights, size_t stride,
                const unsigned char *values, int64_t value_count, int64_t width) {
    const size_t row_size = kernels_cache_row_size(type, width);
    int64_t i = 0;
    for (; i + 16 <= width; i += 16)
        mix_columns(type, heads, 2, out, weights, stride, values, value_count, width, i);
    for (; i + 8 <= width; i += 8)
        mix_columns(type, heads, 1, out, weights, stride, values, value_count, width, i);
    for (int64_t j = 0; i < width && j < value_count; j++) {
        float tail[8];
        _mm256_storeu_ps(tail, load_tail(type, values + (size_t)j * row_size, i, width - i));
        for (int g = 0; g < heads; g++)
            for (int64_t c = i; c < width; c++)
                out[g * width + c] =
                    fmaf(weights[(size_t)g * stride + (size_t)j], tail[c - i], out[g * width + c]);
    }
}

ATTENTION_CACHE(f32, KERNELS_CACHE_F32)
ATTENTION_CACHE(f16, KERNELS_CACHE_F16)
ATTENTION_CACHE(q8_0, KERNELS_CACHE_Q8_0)

/* Columns j .. j + 8 * parts - 1 of a state, whose sums stay in registers. */
INLINE void scan_columns(int parts, float *state, float decay, const float *q, const float *k,
                         const float *v, float *y, int64_t n, int64_t width) {
    const __m256 keep = _mm256_set1_ps(decay);
    __m256 sums[4], values[4];
    UNROLL for (int p = 0; p < parts; p++) {
        sums[p] = _mm256_loadu_ps(y + 8 * p);
        values[p] = _mm256_loadu_ps(v + 8 * p);
    }
    for (int64_t i = 0; i < n; i++, state += width) {
        const __m256 key = _mm256_broadcast_ss(k + i), query = _mm256_broadcast_ss(q + i);
        UNROLL for (int p = 0; p < parts; p++) {
            const __m256 kept = _mm256_mul_ps(keep, _mm256_loadu_ps(state + 8 * p));
            const __m256 now = _mm256_fmadd_ps(key, values[p], kept);
            _mm256_storeu_ps(state + 8 * p, now);
            sums[p] = _mm256_fmadd_ps(query, now, sums[p]);
        }
    }
    UNROLL for (int p = 0; p < parts; p++) _mm256_storeu_ps(y + 8 * p, sums[p]);
}

static void scan(float *state, float decay, const float *q, const float *k, const float *v,
                 float *y, int64_t n, int64_t width) {
    int64_t j = 0;
    for (; j + 32 <= width; j += 32)
        scan_columns(4, state + j, decay, q, k, v + j, y + j, n, width);
    for (; j + 8 <= width; j += 8) scan_columns(1, state + j, decay, q, k, v + j, y + j, n, width);
    for (int64_t i = 0; i < n && j < width; i++)
        for (int64_t c = j; c < width; c++) {
            float *at = state + i * width + c;
            *at = fmaf(k[i], v[c], decay * *at);
            y[c] = fmaf(q[i], *at, y[c]);
        }
}

static void store_f16(void *out, const float *x, int64_t count) {
    uint16_t *halves = out;
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(halves + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < count; i++) halves[i] = quant_f32_to_f16(x[i]);
}

void kernels_fill_avx2_attention(kernels *k) {
    ATTENTION_FILL(k);
    k->store[KERNELS_CACHE_F16] = store_f16;
    k->scan = scan;
}

#endif
