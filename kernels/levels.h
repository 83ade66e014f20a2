/* The levels, for select.c only. Each replaces entries of a complete table. */
#ifndef KERNELS_LEVELS_H
#define KERNELS_LEVELS_H

#include "kernels/kernels.h"

/* Blocks of inputs whose largest magnitude is below this are 0: 127 / largest must stay finite. */
#define KERNELS_TINY 1e-30f

void kernels_fill_scalar_packed(kernels *k);
#if defined(__x86_64__)
/* Need KERNELS_CPU_AVX2. */
void kernels_fill_avx2(kernels *k);
void kernels_fill_avx2_functions(kernels *k);
void kernels_fill_avx2_packed(kernels *k);
void kernels_fill_avx2_round(kernels *k);
void kernels_fill_avx2_attention(kernels *k);
void kernels_fill_avx2_back(kernels *k);
/* Needs KERNELS_CPU_AVXVNNI, over avx2. */
void kernels_fill_avxvnni_packed(kernels *k);
/* Need KERNELS_CPU_AVX512, over avx2. */
void kernels_fill_avx512(kernels *k);
void kernels_fill_avx512_packed(kernels *k);
void kernels_fill_avx512_attention(kernels *k);
void kernels_fill_avx512_functions(kernels *k);
void kernels_fill_avx512_back(kernels *k);
void kernels_fill_avx512_many(kernels *k);
/* Need KERNELS_CPU_BF16, over avx512. */
void kernels_fill_avx512_bf16(kernels *k);
void kernels_fill_avx512_bf16_back(kernels *k);
/* Need KERNELS_CPU_AMX, over avx512. */
void kernels_fill_amx_packed(kernels *k);
void kernels_fill_amx_bf16(kernels *k);
void kernels_fill_amx_bf16_back(kernels *k);

/* What CPUID and XCR0 say, and what follows from it; apart from asking, for tests. */
typedef struct kernels_cpu_words {
    uint32_t leaf1_c;                   /* leaf 1, ECX */
    uint32_t leaf7_b, leaf7_c, leaf7_d; /* leaf 7.0, EBX, ECX, EDX */
    uint32_t leaf7_1_a;                 /* leaf 7.1, EAX */
    uint64_t xcr0;                      /* registers that the system saves */
} kernels_cpu_words;
unsigned kernels_cpu_decode(const kernels_cpu_words *w);
/* Takes one cache into account, as a sub-leaf of CPUID 4 or 0x8000001d describes it. False: this
 * was the end of the list. */
bool kernels_caches_decode(kernels_caches *c, uint32_t a, uint32_t b, uint32_t sets_less_one);
#endif
/* The caches that a folder like /sys/devices/system/cpu/cpu0/cache tells of. */
kernels_caches kernels_caches_read(const char *folder);
#if defined(__aarch64__)
/* Need KERNELS_CPU_NEON; the last two also KERNELS_CPU_DOTPROD, KERNELS_CPU_I8MM. */
void kernels_fill_neon(kernels *k);
void kernels_fill_neon_packed(kernels *k);
void kernels_fill_neon_attention(kernels *k);
void kernels_fill_neon_dotprod(kernels *k);
void kernels_fill_neon_i8mm(kernels *k);
#endif

#endif
