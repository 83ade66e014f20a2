/* Lets a machine without AVX-512, AVX-VNNI and AMX run the kernels written for them: included ahead
 * of a second compilation of kernels/x86_avx512*.c, x86_avxvnni*.c and x86_amx*.c (see
 * tests/CMakeLists.txt). SIMDe has most of the instructions in portable form; what it lacks is
 * written here on halves of 256 bits or in plain C (emulate_x86.c: the tiles), after Intel's
 * instruction set reference. The fill functions get names of their own: emulated.h. */
#ifndef TESTS_SUPPORT_EMULATE_X86_H
#define TESTS_SUPPORT_EMULATE_X86_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include "tests/support/emulated.h"

#define kernels_fill_avxvnni_packed emulated_fill_avxvnni_packed
#define kernels_fill_avx512 emulated_fill_avx512
#define kernels_fill_avx512_packed emulated_fill_avx512_packed
#define kernels_fill_avx512_attention emulated_fill_avx512_attention
#define kernels_fill_amx_packed emulated_fill_amx_packed

/* ---- AVX-VNNI: the 256-bit forms under their other names ---- */

#define _mm256_dpbusd_avx_epi32(sums, a, b) simde_mm256_dpbusd_epi32(sums, a, b)
#define _mm256_dpwssd_avx_epi32(sums, a, b) simde_mm256_dpwssd_epi32(sums, a, b)

/* ---- AVX-512: conversions ---- */

#define EMULATED static inline __attribute__((unused))

EMULATED __m512i emulated_join(__m256i low, __m256i high) {
    return simde_mm512_inserti64x4(simde_mm512_castsi256_si512(low), high, 1);
}
EMULATED __m512 emulated_join_ps(__m256 low, __m256 high) {
    return simde_mm512_castsi512_ps(
        emulated_join(_mm256_castps_si256(low), _mm256_castps_si256(high)));
}
EMULATED __m512i emulated_cvtepi8_epi32(__m128i v) {
    return emulated_join(_mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)));
}
EMULATED __m512i emulated_cvtepu8_epi32(__m128i v) {
    return emulated_join(_mm256_cvtepu8_epi32(v), _mm256_cvtepu8_epi32(_mm_srli_si128(v, 8)));
}
EMULATED __m512 emulated_cvtepi32_ps(__m512i v) {
    return emulated_join_ps(_mm256_cvtepi32_ps(simde_mm512_extracti64x4_epi64(v, 0)),
                            _mm256_cvtepi32_ps(simde_mm512_extracti64x4_epi64(v, 1)));
}
EMULATED __m512 emulated_cvtph_ps(__m256i v) {
    return emulated_join_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(v)),
                            _mm256_cvtph_ps(_mm256_extracti128_si256(v, 1)));
}
#define _mm512_cvtepi8_epi32(v) emulated_cvtepi8_epi32(v)
#define _mm512_cvtepu8_epi32(v) emulated_cvtepu8_epi32(v)
#define _mm512_cvtepi32_ps(v) emulated_cvtepi32_ps(v)
#define _mm512_cvtph_ps(v) emulated_cvtph_ps(v)

#endif
