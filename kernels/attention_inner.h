/* What the levels of attention share: how the query heads of one key and value head are taken. Up
 * to four share each row that is loaded. A level writes
 *
 *     score(cache, heads, scores, stride, q, keys, key_count, width)
 *     mix(cache, heads, out, weights, stride, values, value_count, width)
 *
 * inline, for rows of a kernels_cache, and these make the entries of kernels.h of it. Private to
 * kernels/. */
#ifndef KERNELS_ATTENTION_INNER_H
#define KERNELS_ATTENTION_INNER_H

#include "kernels/kernels.h"
#include "kernels/quant_inner.h"

/* The scale of value i of a row of Q8_0, a half. */
static inline uint16_t attention_scale(const unsigned char *row, int64_t width, int64_t i) {
    return quant_load_u16(row + width + i / KERNELS_CACHE_BLOCK * 2);
}

/* `fn(cache, n, ...)` for the query heads in groups of n = 4, then 2, then 1; g begins a group. */
#define ATTENTION_GROUPS(fn, cache, q_count, ...)                                                  \
    do {                                                                                           \
        int64_t g = 0;                                                                             \
        for (; g + 4 <= (q_count); g += 4) fn(cache, 4, __VA_ARGS__);                              \
        for (; g + 2 <= (q_count); g += 2) fn(cache, 2, __VA_ARGS__);                              \
        if (g < (q_count)) fn(cache, 1, __VA_ARGS__);                                              \
    } while (0)

#define ATTENTION_CACHE(name, cache)                                                               \
    static void scores_##name(float *scores, size_t stride, const float *q, int64_t q_count,       \
                              const void *keys, int64_t key_count, int64_t width) {                \
        ATTENTION_GROUPS(score, cache, q_count, scores + (size_t)g * stride, stride,               \
                         q + g * width, keys, key_count, width);                                   \
    }                                                                                              \
    static void mix_##name(float *out, const float *weights, size_t stride, int64_t q_count,       \
                           const void *values, int64_t value_count, int64_t width) {               \
        ATTENTION_GROUPS(mix, cache, q_count, out + g * width, weights + (size_t)g * stride,       \
                         stride, values, value_count, width);                                      \
    }

#define ATTENTION_FILL(k)                                                                          \
    do {                                                                                           \
        (k)->scores[KERNELS_CACHE_F32] = scores_f32;                                               \
        (k)->scores[KERNELS_CACHE_F16] = scores_f16;                                               \
        (k)->scores[KERNELS_CACHE_Q8_0] = scores_q8_0;                                             \
        (k)->mix[KERNELS_CACHE_F32] = mix_f32;                                                     \
        (k)->mix[KERNELS_CACHE_F16] = mix_f16;                                                     \
        (k)->mix[KERNELS_CACHE_Q8_0] = mix_q8_0;                                                   \
    } while (0)

#endif
