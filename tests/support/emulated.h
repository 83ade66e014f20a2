/* The levels that this machine need not have, as tests run them: the very files of kernels/, compiled
 * once more with emulate_x86.h. */
#ifndef TESTS_SUPPORT_EMULATED_H
#define TESTS_SUPPORT_EMULATED_H

#include "kernels/kernels.h"

#if defined(__x86_64__)
void emulated_fill_avxvnni_packed(kernels *k);
void emulated_fill_avx512(kernels *k);
void emulated_fill_avx512_packed(kernels *k);
void emulated_fill_avx512_attention(kernels *k);
void emulated_fill_amx_packed(kernels *k);
#endif

#endif
