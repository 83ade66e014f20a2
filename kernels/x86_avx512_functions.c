/* AVX-512: silu and its backward, gelu and softmax, sixteen values at a time. Each lane takes the
 * steps that a lane of x86_avx2_functions.c takes, so the bits are the same; softmax adds up in the
 * same eight running sums:
 *
 *     values | 0 .. 7 | 8 .. 15 |            sums | value 0, 8, 16 ... | 1, 9, 17 ... | ... */
#include "kernels/gelu_inner.h"
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>

#define INLINE static inline __attribute__((always_inline))

/* The first `left` of sixteen values; the others read as 0, untouched. */
INLINE __mmask16 mask_of(int64_t left) {
    return (__mmask16)((1u << left) - 1);
}

/* 2^n for n in [-126, 127]. */
INLINE __m512 power_of_two(__m512i n) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
}

/* exp8 of x86_avx2_functions.c, which says why, twice as wide. */
INLINE __m512 exp16(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-104.0f), _mm512_min_ps(_mm512_set1_ps(89.0f), x));
    const __m512 n =
        _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p+0f)), /* 1/ln 2 */
                             _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e43p-1f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-0x1.05c610p-29f), r);
    __m512 p = _mm512_set1_ps(1.0f / 5040);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r);
    p = _mm512_add_ps(p, _mm512_set1_ps(1.0f));
    const __m512i k = _mm512_cvtps_epi32(n), half = _mm512_srai_epi32(k, 1);
    p = _mm512_mul_ps(p, power_of_two(half));
    return _mm512_mul_ps(p, power_of_two(_mm512_sub_epi32(k, half)));
}

INLINE __m512 silu16(__m512 x) {
    const __m512 e = exp16(_mm512_sub_ps(_mm512_setzero_ps(), x));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
}

/* Those of the mask; a mask of all that the compiler knows costs nothing. */
INLINE void silu_step(float *y, const float *x, __mmask16 mask) {
    _mm512_mask_storeu_ps(y, mask, silu16(_mm512_maskz_loadu_ps(mask, x)));
}

static void silu(float *y, const float *x, int64_t count) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) silu_step(y + i, x + i, 0xffff);
    if (i < count) silu_step(y + i, x + i, mask_of(count - i));
}

INLINE void silu_mul_step(float *y, const float *a, const float *b, __mmask16 mask) {
    const __m512 v = silu16(_mm512_maskz_loadu_ps(mask, a));
    _mm512_mask_storeu_ps(y, mask, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, b)));
}

static void silu_mul(float *y, const float *a, const float *b, int64_t count) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) silu_mul_step(y + i, a + i, b + i, 0xffff);
    if (i < count) silu_mul_step(y + i, a + i, b + i, mask_of(count - i));
}

INLINE void silu_mul_back_step(float *a, float *b, const float *d, __mmask16 mask) {
    const __m512 one = _mm512_set1_ps(1.0f), from = _mm512_maskz_loadu_ps(mask, a);
    const __m512 e = exp16(_mm512_sub_ps(_mm512_setzero_ps(), from));
    const __m512 s = _mm512_div_ps(one, _mm512_add_ps(one, e));
    const __m512 up = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, d), s);
    const __m512 bend = _mm512_fmadd_ps(from, _mm512_sub_ps(one, s), one);
    const __m512 da = _mm512_mul_ps(_mm512_mul_ps(up, _mm512_maskz_loadu_ps(mask, b)), bend);
    _mm512_mask_storeu_ps(a, mask, da);
    _mm512_mask_storeu_ps(b, mask, _mm512_mul_ps(up, from));
}

static void silu_mul_back(float *a, float *b, const float *d, int64_t count) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) silu_mul_back_step(a + i, b + i, d + i, 0xffff);
    if (i < count) silu_mul_back_step(a + i, b + i, d + i, mask_of(count - i));
}

/* gelu8 of x86_avx2_functions.c, twice as wide. */
INLINE __m512 gelu16(__m512 x) {
    const __m512 three = _mm512_set1_ps(3.0f);
    const __m512 u = _mm512_min_ps(_mm512_set1_ps(GELU_FAR), _mm512_abs_ps(x));
    const __m512 e = exp16(_mm512_mul_ps(_mm512_mul_ps(u, u), _mm512_set1_ps(-0.5f)));
    const __m512 r = _mm512_div_ps(_mm512_set1_ps(1.0f), _mm512_add_ps(u, three));
    const __m512 t = _mm512_mul_ps(_mm512_sub_ps(u, three), r);
    __m512 q = _mm512_set1_ps(gelu_q[GELU_TERMS - 1]);
    _Pragma("GCC unroll 16") for (int i = GELU_TERMS - 2; i >= 0; i--) q =
        _mm512_fmadd_ps(q, t, _mm512_set1_ps(gelu_q[i]));
    const __mmask16 near = _mm512_cmp_ps_mask(u, _mm512_set1_ps(GELU_FAR), _CMP_LT_OQ);
    const __m512 tail = _mm512_maskz_mov_ps(near, _mm512_mul_ps(_mm512_mul_ps(q, r), e));
    const __mmask16 negative = _mm512_movepi32_mask(_mm512_castps_si512(x));
    return _mm512_mul_ps(
        x, _mm512_mask_sub_ps(tail, (__mmask16)~negative, _mm512_set1_ps(1.0f), tail));
}

INLINE void gelu_step(float *y, const float *x, __mmask16 mask) {
    _mm512_mask_storeu_ps(y, mask, gelu16(_mm512_maskz_loadu_ps(mask, x)));
}

static void gelu(float *y, const float *x, int64_t count) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) gelu_step(y + i, x + i, 0xffff);
    if (i < count) gelu_step(y + i, x + i, mask_of(count - i));
}

INLINE void exp_step(float *x, __m512 max, __m512d *sums, __mmask16 mask) {
    __m512 e = exp16(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x), max));
    e = _mm512_maskz_mov_ps(mask, e); /* lanes left out add nothing */
    _mm512_mask_storeu_ps(x, mask, e);
    *sums = _mm512_add_pd(*sums, _mm512_cvtps_pd(_mm512_castps512_ps256(e)));
    *sums = _mm512_add_pd(*sums, _mm512_cvtps_pd(_mm512_extractf32x8_ps(e, 1)));
}

/* The eight sums in the tree of x86_avx2_functions.c. */
INLINE double total(__m512d sums) {
    const __m256d four =
        _mm256_add_pd(_mm512_castpd512_pd256(sums), _mm512_extractf64x4_pd(sums, 1));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

INLINE float largest(__m512 v) {
    float lanes[16], max;
    _mm512_storeu_ps(lanes, v);
    max = lanes[0];
    for (int l = 1; l < 16; l++) max = lanes[l] > max ? lanes[l] : max;
    return max;
}

static void softmax(float *x, int64_t count, double *log_sum) {
    const int64_t whole = count / 16 * 16;
    const __mmask16 tail = mask_of(count - whole);
    __m512 m = _mm512_set1_ps(x[0]);
    m = _mm512_mask_mov_ps(m, tail, _mm512_maskz_loadu_ps(tail, x + whole));
    for (int64_t i = 0; i < whole; i += 16) m = _mm512_max_ps(m, _mm512_loadu_ps(x + i));
    const float most = largest(m);
    const __m512 max = _mm512_set1_ps(most);
    __m512d sums = _mm512_setzero_pd();
    for (int64_t i = 0; i < whole; i += 16) exp_step(x + i, max, &sums, 0xffff);
    if (whole < count) exp_step(x + whole, max, &sums, tail);
    const double sum = total(sums);
    if (log_sum != NULL) *log_sum = (double)most + log(sum);
    const __m512 scale = _mm512_set1_ps((float)(1.0 / sum));
    for (int64_t i = 0; i < whole; i += 16)
        _mm512_storeu_ps(x + i, _mm512_mul_ps(_mm512_loadu_ps(x + i), scale));
    const __m512 rest = _mm512_maskz_loadu_ps(tail, x + whole);
    _mm512_mask_storeu_ps(x + whole, tail, _mm512_mul_ps(rest, scale));
}

void kernels_fill_avx512_functions(kernels *k) {
    k->silu = silu;
    k->silu_mul = silu_mul;
    k->silu_mul_back = silu_mul_back;
    k->gelu = gelu;
    k->softmax = softmax;
}

#endif
