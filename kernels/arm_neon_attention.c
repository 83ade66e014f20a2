/* NEON: attention over a cache of rows of float32, half or Q8_0. Up to four query heads share each
 * key and value that is loaded, as in x86_avx2_attention.c:
 *
 *     keys [j, width] x q [4, width]        -> a pair of registers of sums per head, added up in
 *                                              the tree of lanes_totals
 *     weights [4, j] x values [j, 8 cols]   -> a pair per head, j ascending */
#include "kernels/levels.h"

#if defined(__aarch64__)

#include "kernels/arm_inner.h"
#include "kernels/attention_inner.h"

enum { HEADS = 4 };

/* The scale of value i of a cached row of `width`; of use for Q8_0 only. */
INLINE float scale_of(kernels_cache type, const unsigned char *row, int64_t width, int64_t i) {
    return type == KERNELS_CACHE_Q8_0 ? quant_f16_to_f32(attention_scale(row, width, i)) : 0.0f;
}
/* Eight values of a cached row. */
INLINE lanes load8(kernels_cache type, const unsigned char *row, int64_t i, float scale) {
    if (type == KERNELS_CACHE_F32) return lanes_bytes(row + 4 * i);
    if (type == KERNELS_CACHE_F16) return lanes_half(vreinterpretq_u16_u8(vld1q_u8(row + 2 * i)));
    const int16x8_t codes = vmovl_s8(vreinterpret_s8_u8(vld1_u8(row + i)));
    return (lanes){vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(codes))), scale),
                   vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(codes))), scale)};
}
/* The last values of a row, with the rest 0; rows of Q8_0 end with a block. */
INLINE lanes load_tail(kernels_cache type, const unsigned char *row, int64_t i, int64_t count) {
    const size_t size = type == KERNELS_CACHE_F32 ? 4 : 2;
    unsigned char bytes[32] = {0};
    if (type == KERNELS_CACHE_Q8_0) return lanes_zero();
    memcpy(bytes, row + size * (size_t)i, size * (size_t)count);
    return load8(type, bytes, 0, 0.0f);
}

/* `heads` queries against all keys. */
INLINE void score(kernels_cache type, int heads, float *scores, size_t stride, const float *q,
                  const unsigned char *keys, int64_t key_count, int64_t width) {
    const size_t row_size = kernels_cache_row_size(type, width);
    for (int64_t j = 0; j < key_count; j++, keys += row_size) {
        lanes sums[HEADS];
        UNROLL for (int g = 0; g < HEADS; g++) sums[g] = lanes_zero();
        float scale = 0.0f;
        int64_t i = 0;
        for (; i + 8 <= width; i += 8) {
            if (i % KERNELS_CACHE_BLOCK == 0) scale = scale_of(type, keys, width, i);
            const lanes key = load8(type, keys, i, scale);
            UNROLL for (int g = 0; g < heads; g++) sums[g] =
                lanes_fma(sums[g], lanes_load(q + g * width + i), key);
        }
        if (i < width) {
            const lanes key = load_tail(type, keys, i, width - i);
            UNROLL for (int g = 0; g < heads; g++) sums[g] =
                lanes_fma(sums[g], lanes_load_tail(q + g * width + i, width - i), key);
        }
        float all[HEADS];
        vst1q_f32(all, lanes_totals(sums));
        UNROLL for (int g = 0; g < heads; g++) scores[(size_t)g * stride + (size_t)j] = all[g];
    }
}

/* Columns i .. i + count - 1 (count is 8 but at the end of a row) of `heads` outputs. */
INLINE void mix_columns(kernels_cache type, int heads, float *out, const float *weights,
                        size_t stride, const unsigned char *values, int64_t value_count,
                        int64_t width, int64_t i, int64_t count) {
    const size_t row_size = kernels_cache_row_size(type, width);
    lanes sums[HEADS];
    UNROLL for (int g = 0; g < heads; g++) sums[g] =
        count == 8 ? lanes_load(out + g * width + i) : lanes_load_tail(out + g * width + i, count);
    for (int64_t j = 0; j < value_count; j++, values += row_size) {
        const lanes v = count == 8 ? load8(type, values, i, scale_of(type, values, width, i))
                                   : load_tail(type, values, i, count);
        UNROLL for (int g = 0; g < heads; g++) {
            const float weight = weights[(size_t)g * stride + (size_t)j];
            sums[g].low = vfmaq_n_f32(sums[g].low, v.low, weight);
            sums[g].high = vfmaq_n_f32(sums[g].high, v.high, weight);
        }
    }
    UNROLL for (int g = 0; g < heads; g++) {
        if (count == 8)
            lanes_store(out + g * width + i, sums[g]);
        else
            lanes_store_tail(out + g * width + i, sums[g], count);
    }
}

INLINE void mix(kernels_cache type, int heads, float *out, const float *weights, size_t stride,
                const unsigned char *values, int64_t value_count, int64_t width) {
    int64_t i = 0;
    for (; i + 8 <= width; i += 8)
        mix_columns(type, heads, out, weights, stride, values, value_count, width, i, 8);
    if (i < width)
        mix_columns(type, heads, out, weights, stride, values, value_count, width, i, width - i);
}

ATTENTION_CACHE(f32, KERNELS_CACHE_F32)
ATTENTION_CACHE(f16, KERNELS_CACHE_F16)
ATTENTION_CACHE(q8_0, KERNELS_CACHE_Q8_0)

static void scan(float *state, float decay, const float *q, const float *k, const float *v,
                 float *y, int64_t n, int64_t width) {
    for (int64_t i = 0; i < n; i++, state += width) {
        int64_t j = 0;
        for (; j + 4 <= width; j += 4) {
            const float32x4_t kept = vmulq_n_f32(vld1q_f32(state + j), decay);
            const float32x4_t now = vfmaq_n_f32(kept, vld1q_f32(v + j), k[i]);
            vst1q_f32(state + j, now);
            vst1q_f32(y + j, vfmaq_n_f32(vld1q_f32(y + j), now, q[i]));
        }
        for (; j < width; j++) {
            state[j] = fmaf(k[i], v[j], decay * state[j]);
            y[j] = fmaf(q[i], state[j], y[j]);
        }
    }
}

static void store_f16(void *out, const float *x, int64_t count) {
    uint16_t *halves = out;
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
        vst1_u16(halves + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    for (; i < count; i++) halves[i] = quant_f32_to_f16(x[i]);
}

void kernels_fill_neon_attention(kernels *k) {
    ATTENTION_FILL(k);
    k->store[KERNELS_CACHE_F16] = store_f16;
    k->scan = scan;
}

#endif
