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
#endif

#endif
