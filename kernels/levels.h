/* The faster levels, for select.c only. Each replaces the entries of a complete table. */
#ifndef KERNELS_LEVELS_H
#define KERNELS_LEVELS_H

#include "kernels/kernels.h"

#if defined(__x86_64__)
/* Needs KERNELS_CPU_AVX2. */
void kernels_fill_avx2(kernels *k);
#endif

#endif
