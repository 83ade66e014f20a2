/* Lets a machine without AVX-512, AVX-VNNI and AMX run the kernels written for them: included ahead
 * of a second compilation of kernels/x86_avx512*.c, x86_avxvnni*.c and x86_amx*.c (see
 * tests/CMakeLists.txt). SIMDe has most of the instructions in portable form; what it lacks is
 * written here on halves of 256 bits or in plain C, after Intel's instruction set reference. The
 * fill functions get names of their own: levels.h. */
#ifndef TESTS_SUPPORT_EMULATE_X86_H
#define TESTS_SUPPORT_EMULATE_X86_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include "tests/support/levels.h"

/* The kernels inline one body for every type and size; emulated, that would be megabytes. Here each
 * body is compiled once and finds its type at run time. */
#define always_inline unused

#define kernels_fill_avxvnni_packed emulated_fill_avxvnni_packed
#define kernels_fill_avx512 emulated_fill_avx512
#define kernels_fill_avx512_packed emulated_fill_avx512_packed
#define kernels_fill_avx512_attention emulated_fill_avx512_attention
#define kernels_fill_avx512_functions emulated_fill_avx512_functions
#define kernels_fill_avx512_back emulated_fill_avx512_back
#define kernels_fill_avx512_many emulated_fill_avx512_many
#define kernels_fill_avx512_bf16 emulated_fill_avx512_bf16
#define kernels_fill_avx512_bf16_back emulated_fill_avx512_bf16_back
#define kernels_fill_amx_packed emulated_fill_amx_packed
#define kernels_fill_amx_bf16 emulated_fill_amx_bf16
#define kernels_fill_amx_bf16_back emulated_fill_amx_bf16_back

/* ---- AVX-VNNI: the 256-bit forms under their other names ---- */

#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpbusd_avx_epi32(sums, a, b) simde_mm256_dpbusd_epi32(sums, a, b)
#undef _mm256_dpwssd_avx_epi32
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
EMULATED __m512i emulated_cvtepu16_epi32(__m256i v) {
    return emulated_join(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(v)),
                         _mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1)));
}
EMULATED __m512 emulated_cvtepi32_ps(__m512i v) {
    return emulated_join_ps(_mm256_cvtepi32_ps(simde_mm512_extracti64x4_epi64(v, 0)),
                            _mm256_cvtepi32_ps(simde_mm512_extracti64x4_epi64(v, 1)));
}
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps(v, half)                                                            \
    _mm256_castsi256_ps(simde_mm512_extracti64x4_epi64(simde_mm512_castps_si512(v), half))
EMULATED __m512i emulated_cvtps_epi32(__m512 v) {
    return emulated_join(_mm256_cvtps_epi32(_mm512_extractf32x8_ps(v, 0)),
                         _mm256_cvtps_epi32(_mm512_extractf32x8_ps(v, 1)));
}
EMULATED __m512d emulated_cvtps_pd(__m256 v) {
    return simde_mm512_insertf64x4(
        simde_mm512_castpd256_pd512(_mm256_cvtps_pd(_mm256_castps256_ps128(v))),
        _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)), 1);
}
EMULATED __m512 emulated_cvtph_ps(__m256i v) {
    return emulated_join_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(v)),
                            _mm256_cvtph_ps(_mm256_extracti128_si256(v, 1)));
}
/* Shifts by a number that SIMDe cannot see is constant. */
#define EMULATED_SHIFT(name)                                                                       \
    EMULATED __m512i emulated_##name(__m512i v, unsigned n) {                                      \
        return emulated_join(_mm256_##name(simde_mm512_extracti64x4_epi64(v, 0), (int)n),          \
                             _mm256_##name(simde_mm512_extracti64x4_epi64(v, 1), (int)n));         \
    }
EMULATED_SHIFT(slli_epi16)
EMULATED_SHIFT(srli_epi16)
EMULATED_SHIFT(srai_epi16)
EMULATED_SHIFT(slli_epi32)
EMULATED_SHIFT(srli_epi32)
EMULATED_SHIFT(srai_epi32)
#undef EMULATED_SHIFT
#undef _mm512_slli_epi16
#define _mm512_slli_epi16(v, n) emulated_slli_epi16(v, n)
#undef _mm512_srli_epi16
#define _mm512_srli_epi16(v, n) emulated_srli_epi16(v, n)
#undef _mm512_srai_epi16
#define _mm512_srai_epi16(v, n) emulated_srai_epi16(v, n)
#undef _mm512_slli_epi32
#define _mm512_slli_epi32(v, n) emulated_slli_epi32(v, n)
#undef _mm512_srli_epi32
#define _mm512_srli_epi32(v, n) emulated_srli_epi32(v, n)
#undef _mm512_srai_epi32
#define _mm512_srai_epi32(v, n) emulated_srai_epi32(v, n)

#undef _mm512_cvtepi8_epi32
#define _mm512_cvtepi8_epi32(v) emulated_cvtepi8_epi32(v)
#undef _mm512_cvtepu8_epi32
#define _mm512_cvtepu8_epi32(v) emulated_cvtepu8_epi32(v)
#undef _mm512_cvtepu16_epi32
#define _mm512_cvtepu16_epi32(v) emulated_cvtepu16_epi32(v)
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps(v) emulated_cvtepi32_ps(v)
#undef _mm512_cvtps_epi32
#define _mm512_cvtps_epi32(v) emulated_cvtps_epi32(v)
#undef _mm512_cvtps_pd
#define _mm512_cvtps_pd(v) emulated_cvtps_pd(v)
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps(v) emulated_cvtph_ps(v)

/* Two registers to BF16, the second to the low half: nearest even, subnormal numbers to 0, NaNs
 * quiet. */
EMULATED uint16_t emulated_bf16(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    if ((bits & 0x7f800000) == 0) return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
EMULATED __m512i emulated_cvtne2ps(__m512 high, __m512 low) {
    float from[32];
    uint16_t to[32];
    memcpy(from, &low, sizeof low);
    memcpy(from + 16, &high, sizeof high);
    for (int i = 0; i < 32; i++) to[i] = emulated_bf16(from[i]);
    return simde_mm512_loadu_si512(to);
}
#undef _mm512_cvtne2ps_pbh
#define _mm512_cvtne2ps_pbh(high, low) emulated_cvtne2ps(high, low)

/* ---- AVX-512: masked loads and stores, which touch nothing that is masked ---- */

EMULATED void emulated_copy(void *to, const void *from, size_t size, int count, uint32_t mask) {
    for (int i = 0; i < count; i++)
        if (mask >> i & 1)
            memcpy((char *)to + size * (size_t)i, (const char *)from + size * (size_t)i, size);
}
EMULATED __m512 emulated_load_ps(uint32_t mask, const void *p) {
    float v[16] = {0};
    emulated_copy(v, p, sizeof *v, 16, mask);
    return simde_mm512_loadu_ps(v);
}
EMULATED __m256i emulated_load_epi16(uint32_t mask, const void *p) {
    uint16_t v[16] = {0};
    emulated_copy(v, p, sizeof *v, 16, mask);
    return _mm256_loadu_si256((const __m256i *)(const void *)v);
}
EMULATED void emulated_store_ps(void *p, uint32_t mask, __m512 v) {
    emulated_copy(p, &v, sizeof(float), 16, mask);
}
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps(mask, p) emulated_load_ps(mask, p)
#undef _mm256_maskz_loadu_ps
#define _mm256_maskz_loadu_ps(mask, p) _mm512_castps512_ps256(emulated_load_ps(mask, p))
#undef _mm256_maskz_loadu_epi16
#define _mm256_maskz_loadu_epi16(mask, p) emulated_load_epi16(mask, p)
#undef _mm_maskz_loadu_epi16
#define _mm_maskz_loadu_epi16(mask, p) _mm256_castsi256_si128(emulated_load_epi16(mask, p))
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps(p, mask, v) emulated_store_ps(p, mask, v)

/* ---- AMX: tiles of this thread ---- */

typedef struct emulated_tile {
    unsigned row_count, row_size; /* from the shapes; 0 before them: the instruction would fault */
    unsigned char rows[16][64];
} emulated_tile;

EMULATED emulated_tile *emulated_tiles(void) {
    static _Thread_local emulated_tile tiles[8];
    return tiles;
}
EMULATED emulated_tile *emulated_shaped(int t) {
    emulated_tile *tile = emulated_tiles() + t;
    if (t < 0 || t > 7 || tile->row_count == 0) abort();
    return tile;
}
EMULATED void emulated_tile_loadconfig(const void *shapes) {
    const unsigned char *p = shapes;
    if (p[0] != 1 || p[1] != 0) abort();
    for (int t = 0; t < 8; t++) {
        emulated_tile tile = {.row_count = p[48 + t], .row_size = p[16 + 2 * t]};
        if (tile.row_count > 16 || tile.row_size > 64 || p[17 + 2 * t] != 0) abort();
        emulated_tiles()[t] = tile;
    }
}
EMULATED void emulated_tile_release(void) {
    memset(emulated_tiles(), 0, 8 * sizeof(emulated_tile));
}
EMULATED void emulated_tile_loadd(int t, const void *from, size_t stride) {
    emulated_tile *tile = emulated_shaped(t);
    memset(tile->rows, 0, sizeof tile->rows);
    for (unsigned r = 0; r < tile->row_count; r++)
        memcpy(tile->rows[r], (const char *)from + r * stride, tile->row_size);
}
EMULATED void emulated_tile_stored(int t, void *to, size_t stride) {
    const emulated_tile *tile = emulated_shaped(t);
    for (unsigned r = 0; r < tile->row_count; r++)
        memcpy((char *)to + r * stride, tile->rows[r], tile->row_size);
}

/* Subnormal numbers are 0, in and out. */
EMULATED float emulated_flush(float v) {
    return v > -0x1p-126f && v < 0x1p-126f ? v * 0 : v;
}
EMULATED float emulated_from_bf16(const unsigned char *p) {
    const uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
    float v;
    memcpy(&v, &bits, sizeof v);
    return emulated_flush(v);
}
EMULATED void emulated_tile_dpbf16ps(int c, int a, int b) {
    emulated_tile *sums = emulated_shaped(c);
    const emulated_tile *left = emulated_shaped(a), *right = emulated_shaped(b);
    if (sums->row_count != left->row_count || sums->row_size != right->row_size ||
        left->row_size / 4 != right->row_count || c == a || c == b || a == b)
        abort();
    for (unsigned m = 0; m < sums->row_count; m++)
        for (unsigned n = 0; n < sums->row_size / 4; n++) {
            float parts[2] = {0, 0}, sum;
            for (unsigned k = 0; k < right->row_count; k++)
                for (unsigned i = 0; i < 2; i++)
                    parts[i] = emulated_flush(
                        fmaf(emulated_from_bf16(left->rows[m] + 4 * k + 2 * i),
                             emulated_from_bf16(right->rows[k] + 4 * n + 2 * i), parts[i]));
            memcpy(&sum, sums->rows[m] + 4 * n, sizeof sum);
            sum = emulated_flush(emulated_flush(sum) + emulated_flush(parts[0] + parts[1]));
            memcpy(sums->rows[m] + 4 * n, &sum, sizeof sum);
        }
}
/* ---- AVX-512 with BF16: pairs as a tile has them, each sum rounded ---- */

EMULATED __m512 emulated_dpbf16(__m512 sums, __m512i a, __m512i b) {
    float s[16];
    unsigned char x[64], y[64];
    memcpy(s, &sums, sizeof s), memcpy(x, &a, sizeof x), memcpy(y, &b, sizeof y);
    for (int l = 0; l < 16; l++)
        for (int i = 2; i >= 0; i -= 2) /* the odd column first */
            s[l] = emulated_flush(fmaf(emulated_from_bf16(x + 4 * l + i),
                                       emulated_from_bf16(y + 4 * l + i), emulated_flush(s[l])));
    return simde_mm512_loadu_ps(s);
}
#undef _mm512_dpbf16_ps
#define _mm512_dpbf16_ps(s, a, b) emulated_dpbf16(s, (__m512i)(a), (__m512i)(b))

#undef _tile_loadconfig
#define _tile_loadconfig(shapes) emulated_tile_loadconfig(shapes)
#undef _tile_release
#define _tile_release() emulated_tile_release()
#undef _tile_loadd
#define _tile_loadd(t, from, stride) emulated_tile_loadd(t, from, stride)
#undef _tile_stored
#define _tile_stored(t, to, stride) emulated_tile_stored(t, to, stride)
#undef _tile_dpbf16ps
#define _tile_dpbf16ps(c, a, b) emulated_tile_dpbf16ps(c, a, b)

#endif
