/* AVX2: inputs rounded to integers, a block of 32 columns at a time in four registers of eight:
 *
 *     x        | 0 .. 7 | 8 .. 15 | 16 .. 23 | 24 .. 31 |   float32
 *     largest  magnitude of all 32 -> factor, scale
 *     codes    | 0 .. 31 |                                  bytes, and their sums by halves, or
 *     wide     | 0 2 1 3 | 4 6 5 7 | ...                    16 bits, for Q8_0 (packed.h)
 *
 * The rule is that of scalar_packed.c. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/packed.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

/* The largest magnitude as bits: as integers NaN > infinity > any number. */
INLINE uint32_t largest_bits(const __m256 v[4]) {
    const __m256i mask = _mm256_set1_epi32(0x7fffffff);
    __m256i m = _mm256_setzero_si256();
    UNROLL for (int i = 0; i < 4; i++) m =
        _mm256_max_epi32(m, _mm256_and_si256(_mm256_castps_si256(v[i]), mask));
    __m128i s = _mm_max_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(s);
}

/* A block as integers up to `most`, eight to a register. */
INLINE void round_block(const float *x, float most, __m256i q[4], float *scale) {
    __m256 v[4];
    UNROLL for (int i = 0; i < 4; i++) v[i] = _mm256_loadu_ps(x + 8 * i);
    const uint32_t bits = largest_bits(v);
    float largest;
    memcpy(&largest, &bits, sizeof largest);
    const bool finite = bits < 0x7f800000, none = !finite || largest < KERNELS_TINY;
    *scale = !finite ? NAN : none ? 0.0f : largest / most;
    const __m256 factor = _mm256_set1_ps(none ? 0.0f : most / largest);
    UNROLL for (int i = 0; i < 4; i++) {
        q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], factor));
        if (none) q[i] = _mm256_setzero_si256(); /* infinity times 0 is no number */
    }
}

static void quantise(const float *x, int64_t col_count, int8_t *codes, int16_t *sums,
                     float *scales) {
    const __m256i in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const __m256i ones = _mm256_set1_epi8(1);
    for (int64_t b = 0; b < col_count / PACKED_BLOCK; b++) {
        __m256i q[4];
        round_block(x + b * PACKED_BLOCK, 127.0f, q, scales + b);
        const __m256i low = _mm256_packs_epi32(q[0], q[1]), high = _mm256_packs_epi32(q[2], q[3]);
        const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), in_order);
        _mm256_storeu_si256((__m256i *)(void *)(codes + b * PACKED_BLOCK), bytes);
        /* Pairs of neighbours, then groups 0 .. 3 and 4 .. 7 each added up: lanes of 128 bits. */
        __m256i s = _mm256_maddubs_epi16(ones, bytes);
        s = _mm256_add_epi16(s, _mm256_shuffle_epi32(s, 0x4e));
        s = _mm256_add_epi16(s, _mm256_shuffle_epi32(s, 0xb1));
        const __m128i first = _mm256_castsi256_si128(s);
        const __m128i both = _mm_add_epi16(first, _mm256_extracti128_si256(s, 1));
        _mm_storel_epi64((__m128i *)(void *)(sums + 4 * b), _mm_unpacklo_epi32(first, both));
    }
}

static void quantise_wide(const float *x, int64_t col_count, int16_t *wide, float *scales) {
    const __m256i even_odd = _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15,
                                              0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    for (int64_t b = 0; b < col_count / PACKED_BLOCK; b++) {
        __m256i q[4];
        round_block(x + b * PACKED_BLOCK, 32767.0f, q, scales + b);
        UNROLL for (int i = 0; i < 2; i++) {
            __m256i v = _mm256_packs_epi32(q[2 * i], q[2 * i + 1]); /* fours 0 2 1 3 */
            v = _mm256_permute4x64_epi64(v, 0xd8);
            v = _mm256_shuffle_epi8(v, even_odd);
            _mm256_storeu_si256((__m256i *)(void *)(wide + b * PACKED_BLOCK + 16 * i), v);
        }
    }
}

void kernels_fill_avx2_round(kernels *k) {
    k->quantise = quantise;
    k->quantise_wide = quantise_wide;
}

#endif
