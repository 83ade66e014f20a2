/* NEON, which every 64-bit ARM has. Matrix products keep the law of kernels.h with two registers of
 * four lanes per output: column c lies in lane c % 8 of the pair, every step is a fused
 * multiply-add, and pairwise additions make the tree:
 *
 *     low  | s0 s1 s2 s3 |  -> addp | s0+s1 s2+s3 s4+s5 s6+s7 | -> addp -> add
 *     high | s4 s5 s6 s7 |
 *
 * Weights are dequantised into the very floats of quant.c before they are multiplied; that is why
 * gemv and dequantise + gemm agree in every bit. Packed products are in arm_products.h, attention
 * is in arm_neon_attention.c. Reading order: stored weights, gemv, gemm, vectors. */
#include "kernels/gelu_inner.h"
#include "kernels/levels.h"

#if defined(__aarch64__)

#include <math.h>

#include "kernels/arm_inner.h"
#include "kernels/quant_inner.h"

/* ---- stored weights ---- */

/* Columns c .. c + 7 of a row of F32, F16 or BF16, which may lie at any address. */
INLINE lanes values8(quant_type type, const unsigned char *row, int64_t c) {
    if (type == QUANT_F32) return lanes_bytes(row + 4 * c);
    const uint16x8_t bits = vreinterpretq_u16_u8(vld1q_u8(row + 2 * c));
    if (type == QUANT_F16) return lanes_half(bits);
    return (lanes){vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(bits), 16)),
                   vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(bits), 16))};
}

/* Columns c .. c + count - 1, count < 8; the rest is 0. */
INLINE lanes values_tail(quant_type type, const unsigned char *row, int64_t c, int64_t count) {
    const size_t size = type == QUANT_F32 ? 4 : 2;
    unsigned char bytes[32] = {0};
    memcpy(bytes, row + size * (size_t)c, size * (size_t)count);
    return values8(type, bytes, 0);
}

/* Eight codes times their scale. */
INLINE lanes scaled(int8x8_t codes, float d) {
    const int16x8_t wide = vmovl_s8(codes);
    return (lanes){vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), d),
                   vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide))), d)};
}

/* One block of 32 columns of Q8_0 or Q4_0. */
INLINE void block32(quant_type type, const unsigned char *p, lanes v[4]) {
    const float d = quant_load_f16(p);
    if (type == QUANT_Q8_0) {
        UNROLL for (int i = 0; i < 4; i++) v[i] =
            scaled(vreinterpret_s8_u8(vld1_u8(p + 2 + 8 * i)), d);
        return;
    }
    const uint8x16_t q = vld1q_u8(p + 2); /* low nibbles: columns 0 .. 15 */
    const int8x16_t eight = vdupq_n_s8(8);
    const int8x16_t a = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(q, vdupq_n_u8(15))), eight);
    const int8x16_t b = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(q, 4)), eight);
    v[0] = scaled(vget_low_s8(a), d);
    v[1] = scaled(vget_high_s8(a), d);
    v[2] = scaled(vget_low_s8(b), d);
    v[3] = scaled(vget_high_s8(b), d);
}
INLINE size_t block_size_of(quant_type type) {
    return type == QUANT_Q8_0 ? 34 : 18;
}

INLINE void dequantise_blocks(quant_type type, const unsigned char *p, float *out, int64_t count) {
    for (int64_t c = 0; c < count; c += 32, p += block_size_of(type)) {
        lanes v[4];
        block32(type, p, v);
        UNROLL for (int i = 0; i < 4; i++) lanes_store(out + c + 8 * i, v[i]);
    }
}

INLINE void dequantise_values(quant_type type, const unsigned char *p, float *out, int64_t count) {
    int64_t c = 0;
    for (; c + 8 <= count; c += 8) lanes_store(out + c, values8(type, p, c));
    if (c < count) lanes_store_tail(out + c, values_tail(type, p, c, count - c), count - c);
}

static void dequantise(quant_type type, const void *row, float *out, int64_t count) {
    if (type == QUANT_F16)
        dequantise_values(QUANT_F16, row, out, count);
    else if (type == QUANT_BF16)
        dequantise_values(QUANT_BF16, row, out, count);
    else if (type == QUANT_Q8_0)
        dequantise_blocks(QUANT_Q8_0, row, out, count);
    else if (type == QUANT_Q4_0)
        dequantise_blocks(QUANT_Q4_0, row, out, count);
    else
        quant_dequantise(type, row, out, count);
}

/* ---- gemv: four rows side by side, so that their chains of additions overlap ---- */

INLINE void gemv_values(quant_type type, int rows, float *y, const unsigned char *w,
                        size_t row_size, const float *x, int64_t col_count) {
    lanes sum[4];
    UNROLL for (int r = 0; r < 4; r++) sum[r] = lanes_zero();
    int64_t c = 0;
    for (; c + 8 <= col_count; c += 8) {
        const lanes xc = lanes_load(x + c);
        UNROLL for (int r = 0; r < rows; r++) sum[r] =
            lanes_fma(sum[r], values8(type, w + (size_t)r * row_size, c), xc);
    }
    if (c < col_count) {
        const lanes xc = lanes_load_tail(x + c, col_count - c);
        UNROLL for (int r = 0; r < rows; r++) sum[r] =
            lanes_fma(sum[r], values_tail(type, w + (size_t)r * row_size, c, col_count - c), xc);
    }
    if (rows == 4)
        vst1q_f32(y, lanes_totals(sum));
    else
        y[0] = lanes_total(sum[0]);
}

INLINE void gemv_blocks(quant_type type, int rows, float *y, const unsigned char *w,
                        size_t row_size, const float *x, int64_t col_count) {
    lanes sum[4];
    UNROLL for (int r = 0; r < 4; r++) sum[r] = lanes_zero();
    for (int64_t c = 0; c < col_count; c += 32, w += block_size_of(type))
        UNROLL for (int r = 0; r < rows; r++) {
            lanes v[4];
            block32(type, w + (size_t)r * row_size, v);
            UNROLL for (int i = 0; i < 4; i++) sum[r] =
                lanes_fma(sum[r], v[i], lanes_load(x + c + 8 * i));
        }
    if (rows == 4)
        vst1q_f32(y, lanes_totals(sum));
    else
        y[0] = lanes_total(sum[0]);
}

#define GEMV(name, body, type)                                                                     \
    static void name(float *y, const void *w, size_t row_size, int64_t row_count, const float *x,  \
                     int64_t col_count, kernels_fetch fetch) {                                     \
        const unsigned char *p = w;                                                                \
        (void)fetch;                                                                               \
        int64_t r = 0;                                                                             \
        for (; r + 4 <= row_count; r += 4, p += 4 * row_size)                                      \
            body(type, 4, y + r, p, row_size, x, col_count);                                       \
        for (; r < row_count; r++, p += row_size) body(type, 1, y + r, p, row_size, x, col_count); \
    }
GEMV(gemv_f32, gemv_values, QUANT_F32)
GEMV(gemv_f16, gemv_values, QUANT_F16)
GEMV(gemv_bf16, gemv_values, QUANT_BF16)
GEMV(gemv_q8_0, gemv_blocks, QUANT_Q8_0)
GEMV(gemv_q4_0, gemv_blocks, QUANT_Q4_0)
#undef GEMV

/* Super-blocks are dequantised by quant.c, one at a time. */
static void gemv_q6_k(float *y, const void *w, size_t row_size, int64_t row_count, const float *x,
                      int64_t col_count, kernels_fetch fetch) {
    (void)fetch;
    enum { SUPER_LEN = 256, SUPER_SIZE = 210 };
    const unsigned char *row = w;
    for (int64_t r = 0; r < row_count; r++, row += row_size) {
        const unsigned char *p = row;
        lanes sum = lanes_zero();
        for (int64_t c = 0; c < col_count; c += SUPER_LEN, p += SUPER_SIZE) {
            float v[SUPER_LEN];
            quant_dequantise(QUANT_Q6_K, p, v, SUPER_LEN);
            for (int i = 0; i < SUPER_LEN; i += 8)
                sum = lanes_fma(sum, lanes_load(v + i), lanes_load(x + c + i));
        }
        y[r] = lanes_total(sum);
    }
}

/* ---- gemm: tiles of 4 rows x 2 inputs: 16 registers of sums, 4 of inputs, 2 of weights ---- */

INLINE void tile(int inputs, float *y, size_t y_stride, const float *const rows[4],
                 int64_t row_count, const float *x, size_t x_stride, int64_t col_count) {
    lanes sums[2][4];
    UNROLL for (int t = 0; t < inputs; t++) UNROLL for (int r = 0; r < 4; r++) sums[t][r] =
        lanes_zero();
    int64_t c = 0;
    for (; c + 8 <= col_count; c += 8) {
        lanes xc[2];
        UNROLL for (int t = 0; t < inputs; t++) xc[t] = lanes_load(x + (size_t)t * x_stride + c);
        UNROLL for (int r = 0; r < 4; r++) {
            const lanes wc = lanes_load(rows[r] + c);
            UNROLL for (int t = 0; t < inputs; t++) sums[t][r] = lanes_fma(sums[t][r], wc, xc[t]);
        }
    }
    UNROLL for (int t = 0; t < inputs && c < col_count; t++) {
        const lanes xc = lanes_load_tail(x + (size_t)t * x_stride + c, col_count - c);
        UNROLL for (int r = 0; r < 4; r++) sums[t][r] =
            lanes_fma(sums[t][r], lanes_load_tail(rows[r] + c, col_count - c), xc);
    }
    UNROLL for (int t = 0; t < inputs; t++) {
        float all[4];
        vst1q_f32(all, lanes_totals(sums[t]));
        memcpy(y + (size_t)t * y_stride, all, (size_t)row_count * sizeof *y);
    }
}

static void gemm(float *y, size_t y_stride, const float *w, size_t w_stride, int64_t row_count,
                 const float *x, size_t x_stride, int64_t x_count, int64_t col_count) {
    for (int64_t r = 0; r < row_count; r += 4) {
        const float *rows[4]; /* missing rows are the first one again, their results dropped */
        const int64_t left = row_count - r < 4 ? row_count - r : 4;
        for (int64_t i = 0; i < 4; i++) rows[i] = w + (size_t)(i < left ? r + i : r) * w_stride;
        float *out = y + r;
        const float *xt = x;
        int64_t t = 0;
        for (; t + 2 <= x_count; t += 2, out += 2 * y_stride, xt += 2 * x_stride)
            tile(2, out, y_stride, rows, left, xt, x_stride, col_count);
        if (t < x_count) tile(1, out, y_stride, rows, left, xt, x_stride, col_count);
    }
}

/* ---- vectors ---- */

static float dot(const float *a, const float *b, int64_t count) {
    lanes sum = lanes_zero();
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) sum = lanes_fma(sum, lanes_load(a + i), lanes_load(b + i));
    if (i < count)
        sum = lanes_fma(sum, lanes_load_tail(a + i, count - i), lanes_load_tail(b + i, count - i));
    return lanes_total(sum);
}

static void axpy(float *y, float s, const float *x, int64_t count) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
        vst1q_f32(y + i, vfmaq_n_f32(vld1q_f32(y + i), vld1q_f32(x + i), s));
    for (; i < count; i++) y[i] = fmaf(s, x[i], y[i]);
}

INLINE float64x2_t low_doubles(float32x4_t v) {
    return vcvt_f64_f32(vget_low_f32(v));
}
INLINE float64x2_t high_doubles(float32x4_t v) {
    return vcvt_high_f64_f32(v);
}

static void rms_norm(float *y, const float *x, const float *g, float eps, int64_t count) {
    float64x2_t a = vdupq_n_f64(0), b = a;
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const float32x4_t v = vld1q_f32(x + i);
        const float64x2_t low = low_doubles(v), high = high_doubles(v);
        a = vfmaq_f64(a, low, low);
        b = vfmaq_f64(b, high, high);
    }
    double sum = vaddvq_f64(vaddq_f64(a, b));
    for (; i < count; i++) sum += (double)x[i] * x[i];
    const float scale = (float)(1.0 / sqrt(sum / (double)count + eps));
    for (i = 0; i + 4 <= count; i += 4)
        vst1q_f32(y + i, vmulq_f32(vmulq_n_f32(vld1q_f32(x + i), scale), vld1q_f32(g + i)));
    for (; i < count; i++) y[i] = x[i] * scale * g[i];
}

static void layer_norm(float *y, const float *x, const float *g, const float *b, float eps,
                       int64_t count) {
    float64x2_t s = vdupq_n_f64(0), q = s;
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const float32x4_t v = vld1q_f32(x + i);
        s = vaddq_f64(s, vaddq_f64(low_doubles(v), high_doubles(v)));
    }
    double sum = vaddvq_f64(s);
    for (; i < count; i++) sum += x[i];
    const double mean = sum / (double)count;
    const float64x2_t mean2 = vdupq_n_f64(mean);
    for (i = 0; i + 4 <= count; i += 4) {
        const float32x4_t v = vld1q_f32(x + i);
        const float64x2_t low = vsubq_f64(low_doubles(v), mean2);
        const float64x2_t high = vsubq_f64(high_doubles(v), mean2);
        q = vfmaq_f64(vfmaq_f64(q, low, low), high, high);
    }
    double square_sum = vaddvq_f64(q);
    for (; i < count; i++) square_sum += (x[i] - mean) * (x[i] - mean);
    const double scale = 1.0 / sqrt(square_sum / (double)count + eps);
    for (i = 0; i + 4 <= count; i += 4) {
        const float32x4_t v = vld1q_f32(x + i);
        const float64x2_t low = vmulq_n_f64(vsubq_f64(low_doubles(v), mean2), scale);
        const float64x2_t high = vmulq_n_f64(vsubq_f64(high_doubles(v), mean2), scale);
        const float32x4_t n = vcvt_high_f32_f64(vcvt_f32_f64(low), high);
        vst1q_f32(y + i, vaddq_f32(vmulq_f32(n, vld1q_f32(g + i)), vld1q_f32(b + i)));
    }
    for (; i < count; i++) y[i] = (float)((x[i] - mean) * scale) * g[i] + b[i];
}

/* 2^n for n in [-126, 127]. */
INLINE float32x4_t power_of_two(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

/* exp(x) = 2^n exp(r): the series, its bound and the cuts are those of exp8 in
 * x86_avx2_functions.c. */
INLINE float32x4_t exp4(float32x4_t x) {
    x = vmaxq_f32(vdupq_n_f32(-104.0f), vminq_f32(vdupq_n_f32(89.0f), x));
    const float32x4_t n = vrndnq_f32(vmulq_n_f32(x, 0x1.715476p+0f)); /* 1/ln 2 */
    float32x4_t r = vfmsq_n_f32(x, n, 0x1.62e43p-1f);
    r = vfmsq_n_f32(r, n, -0x1.05c610p-29f);
    float32x4_t p = vdupq_n_f32(1.0f / 5040);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 720), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 120), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 24), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 6), p, r);
    p = vfmaq_f32(vdupq_n_f32(0.5f), p, r);
    p = vfmaq_f32(r, p, vmulq_f32(r, r));
    p = vaddq_f32(p, vdupq_n_f32(1.0f));
    const int32x4_t k = vcvtq_s32_f32(n), half = vshrq_n_s32(k, 1);
    p = vmulq_f32(p, power_of_two(half));
    return vmulq_f32(p, power_of_two(vsubq_s32(k, half)));
}

INLINE float32x4_t silu4(float32x4_t x) {
    return vdivq_f32(x, vaddq_f32(vdupq_n_f32(1.0f), exp4(vnegq_f32(x))));
}

static void silu(float *y, const float *x, int64_t count) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) vst1q_f32(y + i, silu4(vld1q_f32(x + i)));
    if (i < count) tail4_store(y + i, silu4(tail4(x + i, count - i)), count - i);
}

static void silu_mul(float *y, const float *a, const float *b, int64_t count) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
        vst1q_f32(y + i, vmulq_f32(silu4(vld1q_f32(a + i)), vld1q_f32(b + i)));
    if (i == count) return;
    const float32x4_t v = silu4(tail4(a + i, count - i));
    tail4_store(y + i, vmulq_f32(v, tail4(b + i, count - i)), count - i);
}

/* gelu_inner.h says how. */
INLINE float32x4_t gelu4(float32x4_t x) {
    const float32x4_t three = vdupq_n_f32(3.0f);
    const float32x4_t u = vminq_f32(vdupq_n_f32(GELU_FAR), vabsq_f32(x));
    const float32x4_t e = exp4(vmulq_n_f32(vmulq_f32(u, u), -0.5f));
    const float32x4_t r = vdivq_f32(vdupq_n_f32(1.0f), vaddq_f32(u, three));
    const float32x4_t t = vmulq_f32(vsubq_f32(u, three), r);
    float32x4_t q = vdupq_n_f32(gelu_q[GELU_TERMS - 1]);
    _Pragma("GCC unroll 16") for (int i = GELU_TERMS - 2; i >= 0; i--) q =
        vfmaq_f32(vdupq_n_f32(gelu_q[i]), q, t);
    const uint32x4_t near = vcltq_f32(u, vdupq_n_f32(GELU_FAR));
    const float32x4_t tail = vreinterpretq_f32_u32(
        vandq_u32(near, vreinterpretq_u32_f32(vmulq_f32(vmulq_f32(q, r), e))));
    const uint32x4_t negative = vcltzq_s32(vreinterpretq_s32_f32(x));
    return vmulq_f32(x, vbslq_f32(negative, tail, vsubq_f32(vdupq_n_f32(1.0f), tail)));
}

static void gelu(float *y, const float *x, int64_t count) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) vst1q_f32(y + i, gelu4(vld1q_f32(x + i)));
    if (i < count) tail4_store(y + i, gelu4(tail4(x + i, count - i)), count - i);
}

static void softmax(float *x, int64_t count, double *log_sum) {
    const int64_t whole = count / 4 * 4;
    float max = x[0];
    for (int64_t i = 0; i < count; i++) max = x[i] > max ? x[i] : max;
    float64x2_t a = vdupq_n_f64(0), b = a;
    for (int64_t i = 0; i < whole; i += 4) {
        const float32x4_t e = exp4(vsubq_f32(vld1q_f32(x + i), vdupq_n_f32(max)));
        vst1q_f32(x + i, e);
        a = vaddq_f64(a, low_doubles(e));
        b = vaddq_f64(b, high_doubles(e));
    }
    double sum = vaddvq_f64(vaddq_f64(a, b));
    if (whole < count) {
        const float32x4_t v = tail4(x + whole, count - whole);
        tail4_store(x + whole, exp4(vsubq_f32(v, vdupq_n_f32(max))), count - whole);
    }
    for (int64_t i = whole; i < count; i++) sum += x[i];
    if (log_sum != NULL) *log_sum = (double)max + log(sum);
    const float scale = (float)(1.0 / sum);
    for (int64_t i = 0; i < whole; i += 4) vst1q_f32(x + i, vmulq_n_f32(vld1q_f32(x + i), scale));
    for (int64_t i = whole; i < count; i++) x[i] *= scale;
}

void kernels_fill_neon(kernels *k) {
    k->name = "neon";
    k->dequantise = dequantise;
    k->gemv[QUANT_F32] = gemv_f32;
    k->gemv[QUANT_F16] = gemv_f16;
    k->gemv[QUANT_BF16] = gemv_bf16;
    k->gemv[QUANT_Q8_0] = gemv_q8_0;
    k->gemv[QUANT_Q4_0] = gemv_q4_0;
    k->gemv[QUANT_Q6_K] = gemv_q6_k;
    k->gemm = gemm;
    k->dot = dot;
    k->axpy = axpy;
    k->rms_norm = rms_norm;
    k->layer_norm = layer_norm;
    k->silu = silu;
    k->silu_mul = silu_mul;
    k->gelu = gelu;
    k->softmax = softmax;
}

#endif
