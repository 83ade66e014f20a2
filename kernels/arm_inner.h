/* Eight lanes of float32 in two NEON registers: what the law of kernels.h asks for. Shared by the
 * ARM files, private to kernels/. */
#ifndef KERNELS_ARM_INNER_H
#define KERNELS_ARM_INNER_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

/* Bodies are written once for all types and sizes; inlined with constant arguments they become one
 * straight loop each. */
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

typedef struct lanes {
    float32x4_t low, high; /* columns c % 8 in 0 .. 3 and 4 .. 7 */
} lanes;

INLINE lanes lanes_zero(void) {
    return (lanes){vdupq_n_f32(0), vdupq_n_f32(0)};
}
INLINE lanes lanes_load(const float *p) {
    return (lanes){vld1q_f32(p), vld1q_f32(p + 4)};
}
/* The same from any address. */
INLINE lanes lanes_bytes(const unsigned char *p) {
    return (lanes){vreinterpretq_f32_u8(vld1q_u8(p)), vreinterpretq_f32_u8(vld1q_u8(p + 16))};
}
INLINE lanes lanes_half(uint16x8_t bits) {
    const float16x8_t h = vreinterpretq_f16_u16(bits);
    return (lanes){vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h)};
}
INLINE void lanes_store(float *p, lanes v) {
    vst1q_f32(p, v.low);
    vst1q_f32(p + 4, v.high);
}
/* The first count lanes, 0 < count < 8; the others are 0 and add 0 to their sums. */
INLINE lanes lanes_load_tail(const float *p, int64_t count) {
    float v[8] = {0};
    memcpy(v, p, (size_t)count * sizeof *v);
    return lanes_load(v);
}
INLINE void lanes_store_tail(float *p, lanes v, int64_t count) {
    float all[8];
    lanes_store(all, v);
    memcpy(p, all, (size_t)count * sizeof *p);
}
INLINE lanes lanes_fma(lanes sum, lanes a, lanes b) {
    return (lanes){vfmaq_f32(sum.low, a.low, b.low), vfmaq_f32(sum.high, a.high, b.high)};
}

/* Neighbours first, as lane_total of scalar.c. */
INLINE float lanes_total(lanes s) {
    const float32x4_t pairs = vpaddq_f32(s.low, s.high);
    const float32x4_t fours = vpaddq_f32(pairs, pairs);
    return vgetq_lane_f32(fours, 0) + vgetq_lane_f32(fours, 1);
}
/* The totals of four outputs at once, each in that tree. */
INLINE float32x4_t lanes_totals(const lanes s[4]) {
    const float32x4_t a = vpaddq_f32(s[0].low, s[0].high), b = vpaddq_f32(s[1].low, s[1].high);
    const float32x4_t c = vpaddq_f32(s[2].low, s[2].high), d = vpaddq_f32(s[3].low, s[3].high);
    return vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
}

/* Up to three elements, the rest 0. */
INLINE float32x4_t tail4(const float *p, int64_t count) {
    float v[4] = {0};
    memcpy(v, p, (size_t)count * sizeof *v);
    return vld1q_f32(v);
}
INLINE void tail4_store(float *p, float32x4_t v, int64_t count) {
    float all[4];
    vst1q_f32(all, v);
    memcpy(p, all, (size_t)count * sizeof *p);
}

#endif
