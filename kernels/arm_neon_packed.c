/* NEON: rounding of inputs, and packed products without dot-product instructions (Cortex-A53, A57,
 * A72). Text of the products: arm_products.h. */
#include "kernels/levels.h"

#if defined(__aarch64__)

#include <math.h>

#define ARM_STEP 0
#include "kernels/arm_products.h"

/* A block as integers up to `most`, four to a register. As bits, NaN > infinity > any number. */
INLINE void round_block(const float *x, float most, int32x4_t q[8], float *scale) {
    float32x4_t v[8];
    uint32x4_t largest_of = vdupq_n_u32(0);
    UNROLL for (int i = 0; i < 8; i++) {
        v[i] = vld1q_f32(x + 4 * i);
        largest_of = vmaxq_u32(largest_of, vreinterpretq_u32_f32(vabsq_f32(v[i])));
    }
    const uint32_t bits = vmaxvq_u32(largest_of);
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    const bool finite = bits < 0x7f800000, none = !finite || largest < KERNELS_TINY;
    *scale = !finite ? NAN : none ? 0.0f : largest / most;
    const float factor = none ? 0.0f : most / largest;
    UNROLL for (int i = 0; i < 8; i++) /* infinity times 0 is no number */
        q[i] = none ? vdupq_n_s32(0) : vcvtnq_s32_f32(vmulq_n_f32(v[i], factor));
}

INLINE int16x8_t narrow(int32x4_t a, int32x4_t b) {
    return vmovn_high_s32(vmovn_s32(a), b);
}

static void quantise(const float *x, int64_t col_count, int8_t *codes, int16_t *sums,
                     float *scales) {
    for (int64_t b = 0; b < col_count / PACKED_BLOCK; b++, x += PACKED_BLOCK, sums += 4) {
        int32x4_t q[8];
        round_block(x, 127.0f, q, scales + b);
        UNROLL for (int i = 0; i < 2; i++) {
            const int16x8_t low = narrow(q[4 * i], q[4 * i + 1]);
            const int16x8_t high = narrow(q[4 * i + 2], q[4 * i + 3]);
            vst1q_s8(codes + b * PACKED_BLOCK + 16 * i, vmovn_high_s16(vmovn_s16(low), high));
            /* Pairs of neighbours, two of each group of four; then groups on groups. */
            const int16x8_t pairs = vpaddq_s16(low, high);
            const int32x4_t both = vreinterpretq_s32_s16(pairs); /* a lane is a group */
            const int16x8_t last = vreinterpretq_s16_s32(vextq_s32(both, both, 2));
            const int16x4_t twice = vget_low_s16(vaddq_s16(pairs, last));
            const int16_t first = (int16_t)(twice[0] + twice[2]);
            const int16_t other = (int16_t)(twice[1] + twice[3]);
            sums[2 * i] = (int16_t)(first + (i == 1 ? sums[0] : 0));
            sums[2 * i + 1] = (int16_t)(other + (i == 1 ? sums[1] : 0));
        }
    }
}

static void quantise_wide(const float *x, int64_t col_count, int16_t *wide, float *scales) {
    for (int64_t b = 0; b < col_count / PACKED_BLOCK; b++, x += PACKED_BLOCK) {
        int32x4_t q[8];
        round_block(x, 32767.0f, q, scales + b);
        UNROLL for (int i = 0; i < 8; i++, wide += 4) { /* of four columns in order 0 2 1 3 */
            const int16x4_t v = vmovn_s32(q[i]);
            const int32x2_t even = vreinterpret_s32_s16(vuzp1_s16(v, v));
            const int32x2_t odd = vreinterpret_s32_s16(vuzp2_s16(v, v));
            vst1_s16(wide, vreinterpret_s16_s32(vzip1_s32(even, odd)));
        }
    }
}

void kernels_fill_neon_packed(kernels *k) {
    k->quantise = quantise;
    k->quantise_wide = quantise_wide;
    fill_products(k);
}

#endif
