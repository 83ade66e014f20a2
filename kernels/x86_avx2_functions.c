/* AVX2: norms, silu, gelu and softmax, eight values at a time. Sums are taken in double, in two
 * registers of four. */
#include "kernels/gelu_inner.h"
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>

#define INLINE static inline __attribute__((always_inline))

/* The first count lanes, 0 < count < 8; masked loads touch nothing behind them. */
INLINE __m256i tail_mask(int64_t count) {
    static const int32_t window[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(window + 8 - count));
}

INLINE __m256d low_doubles(__m256 v) {
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}
INLINE __m256d high_doubles(__m256 v) {
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}
INLINE double double_total(__m256d a, __m256d b) {
    const __m256d s = _mm256_add_pd(a, b);
    const __m128d h = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
    return _mm_cvtsd_f64(_mm_add_sd(h, _mm_unpackhi_pd(h, h)));
}

static void rms_norm(float *y, const float *x, const float *g, float eps, int64_t count) {
    __m256d a = _mm256_setzero_pd(), b = a;
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const __m256 v = _mm256_loadu_ps(x + i);
        const __m256d low = low_doubles(v), high = high_doubles(v);
        a = _mm256_fmadd_pd(low, low, a);
        b = _mm256_fmadd_pd(high, high, b);
    }
    double sum = double_total(a, b);
    for (; i < count; i++) sum += (double)x[i] * x[i];
    const float scale = (float)(1.0 / sqrt(sum / (double)count + eps));
    const __m256 scale8 = _mm256_set1_ps(scale);
    for (i = 0; i + 8 <= count; i += 8) {
        const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), scale8);
        _mm256_storeu_ps(y + i, _mm256_mul_ps(v, _mm256_loadu_ps(g + i)));
    }
    for (; i < count; i++) y[i] = x[i] * scale * g[i];
}

INLINE __m128 normalise4(__m256d v, __m256d mean, __m256d scale) {
    return _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_sub_pd(v, mean), scale));
}

static void layer_norm(float *y, const float *x, const float *g, const float *b, float eps,
                       int64_t count) {
    __m256d s = _mm256_setzero_pd(), t = s, q = s, r = s;
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const __m256 v = _mm256_loadu_ps(x + i);
        s = _mm256_add_pd(s, low_doubles(v));
        t = _mm256_add_pd(t, high_doubles(v));
    }
    double sum = double_total(s, t);
    for (; i < count; i++) sum += x[i];
    const double mean = sum / (double)count;
    const __m256d mean4 = _mm256_set1_pd(mean);
    for (i = 0; i + 8 <= count; i += 8) {
        const __m256 v = _mm256_loadu_ps(x + i);
        const __m256d low = _mm256_sub_pd(low_doubles(v), mean4);
        const __m256d high = _mm256_sub_pd(high_doubles(v), mean4);
        q = _mm256_fmadd_pd(low, low, q);
        r = _mm256_fmadd_pd(high, high, r);
    }
    double square_sum = double_total(q, r);
    for (; i < count; i++) square_sum += (x[i] - mean) * (x[i] - mean);
    const double scale = 1.0 / sqrt(square_sum / (double)count + eps);
    const __m256d scale4 = _mm256_set1_pd(scale);
    for (i = 0; i + 8 <= count; i += 8) {
        const __m256 v = _mm256_loadu_ps(x + i);
        const __m256 n = _mm256_set_m128(normalise4(high_doubles(v), mean4, scale4),
                                         normalise4(low_doubles(v), mean4, scale4));
        _mm256_storeu_ps(
            y + i, _mm256_add_ps(_mm256_mul_ps(n, _mm256_loadu_ps(g + i)), _mm256_loadu_ps(b + i)));
    }
    for (; i < count; i++) y[i] = (float)((x[i] - mean) * scale) * g[i] + b[i];
}

/* 2^n for n in [-126, 127]. */
INLINE __m256 power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2. The series to r^7 / 7! leaves
 * 0.347^8 / 8! = 5e-9, a tenth of half an ulp; measured 1.0 ulp in all (test_kernels.c). 2^n is
 * multiplied in two steps, so that infinity and subnormal results come by themselves. Arguments are
 * first cut to where exp is 0 or infinite anyway; a NaN passes (it is the second operand). */
INLINE __m256 exp8(__m256 x) {
    x = _mm256_max_ps(_mm256_set1_ps(-104.0f), _mm256_min_ps(_mm256_set1_ps(89.0f), x));
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)), /* 1/ln 2 */
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    /* ln 2 as a float and what that leaves out: with fused steps r is good to its last bit. */
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e43p-1f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-0x1.05c610p-29f), r);
    __m256 p = _mm256_set1_ps(1.0f / 5040);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 720));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
    p = _mm256_add_ps(p, _mm256_set1_ps(1.0f));
    const __m256i k = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(k, 1);
    p = _mm256_mul_ps(p, power_of_two(half));
    return _mm256_mul_ps(p, power_of_two(_mm256_sub_epi32(k, half)));
}

INLINE __m256 silu8(__m256 x) {
    const __m256 e = exp8(_mm256_sub_ps(_mm256_setzero_ps(), x));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

static void silu(float *y, const float *x, int64_t count) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) _mm256_storeu_ps(y + i, silu8(_mm256_loadu_ps(x + i)));
    if (i == count) return;
    const __m256i mask = tail_mask(count - i);
    _mm256_maskstore_ps(y + i, mask, silu8(_mm256_maskload_ps(x + i, mask)));
}

static void silu_mul(float *y, const float *a, const float *b, int64_t count) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const __m256 v = silu8(_mm256_loadu_ps(a + i));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(v, _mm256_loadu_ps(b + i)));
    }
    if (i == count) return;
    const __m256i mask = tail_mask(count - i);
    const __m256 v = silu8(_mm256_maskload_ps(a + i, mask));
    _mm256_maskstore_ps(y + i, mask, _mm256_mul_ps(v, _mm256_maskload_ps(b + i, mask)));
}

typedef struct gated {
    __m256 a, b;
} gated;

INLINE gated silu_mul_back8(__m256 a, __m256 b, __m256 d) {
    const __m256 one = _mm256_set1_ps(1.0f);
    const __m256 e = exp8(_mm256_sub_ps(_mm256_setzero_ps(), a));
    const __m256 s = _mm256_div_ps(one, _mm256_add_ps(one, e)), up = _mm256_mul_ps(d, s);
    const __m256 bend = _mm256_fmadd_ps(a, _mm256_sub_ps(one, s), one);
    return (gated){.a = _mm256_mul_ps(_mm256_mul_ps(up, b), bend), .b = _mm256_mul_ps(up, a)};
}

static void silu_mul_back(float *a, float *b, const float *d, int64_t count) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const gated g =
            silu_mul_back8(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), _mm256_loadu_ps(d + i));
        _mm256_storeu_ps(a + i, g.a);
        _mm256_storeu_ps(b + i, g.b);
    }
    if (i == count) return;
    const __m256i mask = tail_mask(count - i);
    const gated g = silu_mul_back8(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask),
                                   _mm256_maskload_ps(d + i, mask));
    _mm256_maskstore_ps(a + i, mask, g.a);
    _mm256_maskstore_ps(b + i, mask, g.b);
}

/* gelu_inner.h says how. */
INLINE __m256 gelu8(__m256 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f), three = _mm256_set1_ps(3.0f);
    const __m256 u = _mm256_min_ps(_mm256_set1_ps(GELU_FAR), _mm256_andnot_ps(sign, x));
    const __m256 e = exp8(_mm256_mul_ps(_mm256_mul_ps(u, u), _mm256_set1_ps(-0.5f)));
    const __m256 r = _mm256_div_ps(_mm256_set1_ps(1.0f), _mm256_add_ps(u, three));
    const __m256 t = _mm256_mul_ps(_mm256_sub_ps(u, three), r);
    __m256 q = _mm256_set1_ps(gelu_q[GELU_TERMS - 1]);
    _Pragma("GCC unroll 16") for (int i = GELU_TERMS - 2; i >= 0; i--) q =
        _mm256_fmadd_ps(q, t, _mm256_set1_ps(gelu_q[i]));
    const __m256 near = _mm256_cmp_ps(u, _mm256_set1_ps(GELU_FAR), _CMP_LT_OQ);
    const __m256 tail = _mm256_and_ps(near, _mm256_mul_ps(_mm256_mul_ps(q, r), e));
    const __m256 rest = _mm256_sub_ps(_mm256_set1_ps(1.0f), tail);
    return _mm256_mul_ps(x, _mm256_blendv_ps(rest, tail, x)); /* by the sign of x */
}

static void gelu(float *y, const float *x, int64_t count) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) _mm256_storeu_ps(y + i, gelu8(_mm256_loadu_ps(x + i)));
    if (i == count) return;
    const __m256i mask = tail_mask(count - i);
    _mm256_maskstore_ps(y + i, mask, gelu8(_mm256_maskload_ps(x + i, mask)));
}

static void softmax(float *x, int64_t count, double *log_sum) {
    const int64_t whole = count / 8 * 8;
    float max = x[0];
    if (whole > 0) {
        __m256 m = _mm256_loadu_ps(x);
        for (int64_t i = 8; i < whole; i += 8) m = _mm256_max_ps(m, _mm256_loadu_ps(x + i));
        float lanes[8];
        _mm256_storeu_ps(lanes, m);
        for (int l = 0; l < 8; l++) max = lanes[l] > max ? lanes[l] : max;
    }
    for (int64_t i = whole; i < count; i++) max = x[i] > max ? x[i] : max;
    const __m256 max8 = _mm256_set1_ps(max);
    __m256d a = _mm256_setzero_pd(), b = a;
    for (int64_t i = 0; i < whole; i += 8) {
        const __m256 e = exp8(_mm256_sub_ps(_mm256_loadu_ps(x + i), max8));
        _mm256_storeu_ps(x + i, e);
        a = _mm256_add_pd(a, low_doubles(e));
        b = _mm256_add_pd(b, high_doubles(e));
    }
    if (whole < count) {
        const __m256i mask = tail_mask(count - whole);
        __m256 e = exp8(_mm256_sub_ps(_mm256_maskload_ps(x + whole, mask), max8));
        e = _mm256_and_ps(e, _mm256_castsi256_ps(mask)); /* lanes left out add nothing */
        _mm256_maskstore_ps(x + whole, mask, e);
        a = _mm256_add_pd(a, low_doubles(e));
        b = _mm256_add_pd(b, high_doubles(e));
    }
    const double sum = double_total(a, b);
    if (log_sum != NULL) *log_sum = (double)max + log(sum);
    const float scale = (float)(1.0 / sum);
    const __m256 scale8 = _mm256_set1_ps(scale);
    for (int64_t i = 0; i < whole; i += 8)
        _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), scale8));
    for (int64_t i = whole; i < count; i++) x[i] *= scale;
}

void kernels_fill_avx2_functions(kernels *k) {
    k->rms_norm = rms_norm;
    k->layer_norm = layer_norm;
    k->silu = silu;
    k->silu_mul = silu_mul;
    k->silu_mul_back = silu_mul_back;
    k->gelu = gelu;
    k->softmax = softmax;
}

#endif
