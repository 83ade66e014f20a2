/* The levels of kernels that a test can run here: those of the machine, and those above it by
 * emulation. An emulated level is the very file of kernels/, compiled once more with emulate_x86.h.
 */
#ifndef TESTS_SUPPORT_LEVELS_H
#define TESTS_SUPPORT_LEVELS_H

#include "kernels/kernels.h"

enum { LEVELS_CAP = 12 };

/* Filled by find_levels, a setup of cmocka_run_group_tests; scalar is the first. Emulated ones are
 * called "avx512 (emulated)" and so on. */
extern kernels levels[LEVELS_CAP];
extern int level_count;
int find_levels(void **state);
/* Only those with BF16; says so when there is none. */
int find_bf16_levels(void **state);
#define FOR_LEVELS(k) for (const kernels *k = levels; k < levels + level_count; k++)

#if defined(__x86_64__) /* where they are built: EMULATED_LEVELS */
void emulated_fill_avxvnni_packed(kernels *k);
void emulated_fill_avx512(kernels *k);
void emulated_fill_avx512_packed(kernels *k);
void emulated_fill_avx512_attention(kernels *k);
void emulated_fill_avx512_functions(kernels *k);
void emulated_fill_avx512_back(kernels *k);
void emulated_fill_avx512_many(kernels *k);
void emulated_fill_avx512_bf16(kernels *k);
void emulated_fill_avx512_bf16_back(kernels *k);
void emulated_fill_amx_packed(kernels *k);
void emulated_fill_amx_bf16(kernels *k);
void emulated_fill_amx_bf16_back(kernels *k);
#endif

#endif
