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
void kernels_fill_avx2_packed(kernels *k);
void kernels_fill_avx2_attention(kernels *k);
#endif
#if defined(__aarch64__)
/* Need KERNELS_CPU_NEON; the last two also KERNELS_CPU_DOTPROD, KERNELS_CPU_I8MM. */
void kernels_fill_neon(kernels *k);
void kernels_fill_neon_packed(kernels *k);
void kernels_fill_neon_attention(kernels *k);
void kernels_fill_neon_dotprod(kernels *k);
void kernels_fill_neon_i8mm(kernels *k);
#endif

#endif
