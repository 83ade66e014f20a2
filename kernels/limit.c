/* Probes of arithmetic and memory: loops that do one thing as fast as the machine lets them.
 *
 *     arithmetic   CHAINS independent chains of one instruction, enough to cover its latency on
 *                  every port; no loads in the loop
 *     memory       one load for each 32 bytes, added into four sums
 *
 * Probes of a level are compiled for its instructions by an attribute, not by flags of the file, so
 * that all of them stand beside each other. */
#include "kernels/limit.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))

enum { CHAINS = 12, LINE = 64 };

/* What portable C gives: a product and a sum, in whatever vectors the compiler's default allows. */
static float run_scalar(int64_t round_count) {
    float sums[CHAINS][4];
    for (int c = 0; c < CHAINS; c++)
        for (int i = 0; i < 4; i++) sums[c][i] = (float)(c + i);
    for (int64_t r = 0; r < round_count; r++)
        for (int c = 0; c < CHAINS; c++)
            for (int i = 0; i < 4; i++) sums[c][i] = sums[c][i] * 0.9999f + 0.5f;
    float total = 0;
    for (int c = 0; c < CHAINS; c++)
        for (int i = 0; i < 4; i++) total += sums[c][i];
    return total;
}

/* The readers are compiled for each hint. */
INLINE uint64_t read_scalar(const unsigned char *p, size_t size, kernels_fetch fetch) {
    uint64_t sums[4] = {0};
    for (size_t at = 0; at < size; at += LINE) {
        const uint64_t *q = (const uint64_t *)(const void *)(p + at);
        kernels_fetch_line(p + at + LIMIT_AHEAD, fetch);
        for (int i = 0; i < 8; i++) sums[i % 4] += q[i];
    }
    return sums[0] + sums[1] + sums[2] + sums[3];
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))

AVX2 static float run_avx2_f32(int64_t round_count) {
    __m256 sums[CHAINS];
    const __m256 a = _mm256_set1_ps(0.9999f), b = _mm256_set1_ps(0.5f);
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm256_set1_ps((float)c);
    for (int64_t r = 0; r < round_count; r++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm256_fmadd_ps(sums[c], a, b);
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm256_add_ps(sums[0], sums[c]);
    return _mm256_cvtss_f32(sums[0]);
}

/* CHAINS times one step on integers: sums, and operands that are new to the compiler. */
#define RUN_256(name, target_list, step)                                                           \
    __attribute__((target(target_list))) static float name(int64_t round_count) {                  \
        __m256i sums[CHAINS];                                                                      \
        __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);                                  \
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm256_set1_epi32(c);                           \
        for (int64_t r = 0; r < round_count; r++) {                                                \
            _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++) {                            \
                __asm__("" : "+x"(a), "+x"(b));                                                    \
                sums[c] = step;                                                                    \
            }                                                                                      \
        }                                                                                          \
        for (int c = 1; c < CHAINS; c++) sums[0] = _mm256_add_epi32(sums[0], sums[c]);             \
        return (float)_mm_cvtsi128_si32(_mm256_castsi256_si128(sums[0]));                          \
    }
/* 32 products of bytes to 8 sums, as x86_avx2_packed.c has them, and as x86_vnni.h has them; then
 * 16 products of 16 bits, what Q8_0 is multiplied with. */
RUN_256(run_avx2_i8, "avx2",
        _mm256_add_epi32(sums[c],
                         _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1))))
RUN_256(run_avx2_i16, "avx2", _mm256_add_epi32(sums[c], _mm256_madd_epi16(a, b)))
RUN_256(run_avxvnni_i8, "avx2,avxvnni", _mm256_dpbusd_avx_epi32(sums[c], a, b))
RUN_256(run_avxvnni_i16, "avx2,avxvnni", _mm256_dpwssd_avx_epi32(sums[c], a, b))
#undef RUN_256

#define AVX512 __attribute__((target("avx512f,avx512vnni")))

/* The same with registers of 512 bits. */
#define RUN_512(name, step)                                                                        \
    AVX512 static float name(int64_t round_count) {                                                \
        __m512i sums[CHAINS];                                                                      \
        __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);                                  \
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_epi32(c);                           \
        for (int64_t r = 0; r < round_count; r++) {                                                \
            _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++) {                            \
                __asm__("" : "+v"(a), "+v"(b));                                                    \
                sums[c] = step;                                                                    \
            }                                                                                      \
        }                                                                                          \
        for (int c = 1; c < CHAINS; c++) sums[0] = _mm512_add_epi32(sums[0], sums[c]);             \
        return (float)_mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0]));                          \
    }
RUN_512(run_avx512_i8, _mm512_dpbusd_epi32(sums[c], a, b))
RUN_512(run_avx512_i16, _mm512_dpwssd_epi32(sums[c], a, b))
#undef RUN_512

AVX512 static float run_avx512_f32(int64_t round_count) {
    __m512 sums[CHAINS];
    const __m512 a = _mm512_set1_ps(0.9999f), b = _mm512_set1_ps(0.5f);
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_ps((float)c);
    for (int64_t r = 0; r < round_count; r++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_fmadd_ps(sums[c], a, b);
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm512_add_ps(sums[0], sums[c]);
    return _mm512_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f,avx512bf16"))) static float run_avx512_bf16(int64_t round_count) {
    __m512 sums[CHAINS];
    __m512i a = _mm512_set1_epi32(0x3f803f80), b = a; /* ones */
    for (int c = 0; c < CHAINS; c++) sums[c] = _mm512_set1_ps((float)c);
    for (int64_t r = 0; r < round_count; r++) {
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++) {
            __asm__("" : "+v"(a), "+v"(b));
            sums[c] = _mm512_dpbf16_ps(sums[c], (__m512bh)a, (__m512bh)b);
        }
    }
    for (int c = 1; c < CHAINS; c++) sums[0] = _mm512_add_ps(sums[0], sums[c]);
    return _mm512_cvtss_f32(sums[0]);
}

/* Four tiles of sums, two of inputs and two of weights, as in x86_amx_packed.c; a product of tiles
 * is 16 x 16 sums of 32 products. What they do not say to the compiler, the asm does. */
__attribute__((target("amx-tile,amx-bf16"))) static float run_amx_bf16(int64_t round_count) {
    static const struct {
        uint8_t palette, start_row, none[14];
        uint16_t row_size[16];
        uint8_t row_count[16];
    } shapes = {.palette = 1,
                .row_size = {64, 64, 64, 64, 64, 64, 64, 64},
                .row_count = {16, 16, 16, 16, 16, 16, 16, 16}};
    uint16_t ones[512];
    float sums[256];
    for (int i = 0; i < 512; i++) ones[i] = 0x3f80;
    _tile_loadconfig(&shapes);
    __asm__ volatile("" ::: "memory");
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, ones, 64);
    _tile_loadd(5, ones, 64);
    _tile_loadd(6, ones, 64);
    _tile_loadd(7, ones, 64);
    for (int64_t r = 0; r < round_count; r++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, 64);
    __asm__ volatile("" ::: "memory");
    _tile_release();
    return sums[0];
}

AVX2 INLINE uint64_t read_avx2(const unsigned char *p, size_t size, kernels_fetch fetch) {
    __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                       _mm256_setzero_si256()};
    for (size_t at = 0; at + 2 * LINE <= size; at += 2 * LINE) {
        const __m256i *q = (const __m256i *)(const void *)(p + at);
        kernels_fetch_line(p + at + LIMIT_AHEAD, fetch);
        kernels_fetch_line(p + at + LIMIT_AHEAD + LINE, fetch);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) sums[i] = _mm256_add_epi64(sums[i], _mm256_load_si256(q + i));
    }
    if (size % (2 * LINE) != 0) {
        const __m256i *q = (const __m256i *)(const void *)(p + size - LINE);
        sums[0] = _mm256_add_epi64(sums[0], _mm256_load_si256(q));
        sums[1] = _mm256_add_epi64(sums[1], _mm256_load_si256(q + 1));
    }
    sums[0] =
        _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
    return (uint64_t)_mm256_extract_epi64(sums[0], 0) + (uint64_t)_mm256_extract_epi64(sums[0], 1) +
           (uint64_t)_mm256_extract_epi64(sums[0], 2) + (uint64_t)_mm256_extract_epi64(sums[0], 3);
}
#endif

#if defined(__aarch64__)
static float run_neon_f32(int64_t round_count) {
    float32x4_t sums[CHAINS];
    for (int c = 0; c < CHAINS; c++) sums[c] = vdupq_n_f32((float)c);
    for (int64_t r = 0; r < round_count; r++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            sums[c] = vfmaq_f32(vdupq_n_f32(0.5f), sums[c], vdupq_n_f32(0.9999f));
    for (int c = 1; c < CHAINS; c++) sums[0] = vaddq_f32(sums[0], sums[c]);
    return vaddvq_f32(sums[0]);
}

/* Products of bytes, added up to four sums by one step of each level. */
#define RUN_I8(name, features, step)                                                               \
    __attribute__((target("arch=" features))) static float name(int64_t round_count) {             \
        int32x4_t sums[CHAINS];                                                                    \
        int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);                                            \
        for (int c = 0; c < CHAINS; c++) sums[c] = vdupq_n_s32(c);                                 \
        for (int64_t r = 0; r < round_count; r++)                                                  \
            for (int c = 0; c < CHAINS; c++) {                                                     \
                __asm__("" : "+w"(a), "+w"(b)); /* new operands as far as the compiler knows */    \
                sums[c] = step;                                                                    \
            }                                                                                      \
        for (int c = 1; c < CHAINS; c++) sums[0] = vaddq_s32(sums[0], sums[c]);                    \
        return (float)vaddvq_s32(sums[0]);                                                         \
    }
RUN_I8(run_neon_i8, "armv8-a",
       vpadalq_s16(sums[c],
                   vpaddq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)), vmull_high_s8(a, b))))
RUN_I8(run_dotprod_i8, "armv8.2-a+dotprod", vdotq_s32(sums[c], a, b))
RUN_I8(run_i8mm_i8, "armv8.2-a+dotprod+i8mm", vmmlaq_s32(sums[c], a, b))
#undef RUN_I8
#endif

static const limit_probe probes[] = {
    {"scalar", "F32", 0, 2.0 * CHAINS * 4, run_scalar},
#if defined(__x86_64__)
    {"avx2", "F32", KERNELS_CPU_AVX2, 2.0 * CHAINS * 8, run_avx2_f32},
    {"avx2", "I8", KERNELS_CPU_AVX2, 2.0 * CHAINS * 32, run_avx2_i8},
    {"avx2", "I16", KERNELS_CPU_AVX2, 2.0 * CHAINS * 16, run_avx2_i16},
    {"avxvnni", "I8", KERNELS_CPU_AVXVNNI, 2.0 * CHAINS * 32, run_avxvnni_i8},
    {"avxvnni", "I16", KERNELS_CPU_AVXVNNI, 2.0 * CHAINS * 16, run_avxvnni_i16},
    {"avx512", "I8", KERNELS_CPU_AVX512, 2.0 * CHAINS * 64, run_avx512_i8},
    {"avx512", "I16", KERNELS_CPU_AVX512, 2.0 * CHAINS * 32, run_avx512_i16},
    {"avx512", "F32", KERNELS_CPU_AVX512, 2.0 * CHAINS * 16, run_avx512_f32},
    {"avx512_bf16", "BF16", KERNELS_CPU_BF16, 2.0 * CHAINS * 32, run_avx512_bf16},
    {"amx", "BF16", KERNELS_CPU_AMX, 2.0 * 4 * 16 * 16 * 32, run_amx_bf16},
#elif defined(__aarch64__)
    {"neon", "F32", KERNELS_CPU_NEON, 2.0 * CHAINS * 4, run_neon_f32},
    {"neon", "I8", KERNELS_CPU_NEON, 2.0 * CHAINS * 16, run_neon_i8},
    {"neon_dotprod", "I8", KERNELS_CPU_DOTPROD, 2.0 * CHAINS * 16, run_dotprod_i8},
    {"neon_i8mm", "I8", KERNELS_CPU_I8MM, 2.0 * CHAINS * 32, run_i8mm_i8},
#endif
};

const limit_probe *limit_probe_at(size_t index) {
    return index < sizeof probes / sizeof probes[0] ? &probes[index] : NULL;
}

#if defined(__x86_64__)
AVX2 static uint64_t read_widely(const unsigned char *p, size_t size, kernels_fetch fetch) {
    if (fetch == KERNELS_FETCH_L1) return read_avx2(p, size, KERNELS_FETCH_L1);
    if (fetch == KERNELS_FETCH_L2) return read_avx2(p, size, KERNELS_FETCH_L2);
    return read_avx2(p, size, KERNELS_FETCH_NONE);
}
#endif

uint64_t limit_read(unsigned features, const void *data, size_t size, kernels_fetch fetch) {
#if defined(__x86_64__)
    if (features & KERNELS_CPU_AVX2) return read_widely(data, size, fetch);
#endif
    (void)features;
    if (fetch == KERNELS_FETCH_L1) return read_scalar(data, size, KERNELS_FETCH_L1);
    if (fetch == KERNELS_FETCH_L2) return read_scalar(data, size, KERNELS_FETCH_L2);
    return read_scalar(data, size, KERNELS_FETCH_NONE);
}
