/* What this machine can do: the CPU's bits and, for wide registers, whether the system saves them
 * (the compiler's builtin checks both). */
#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* Asked by hand, because clang 14 does not know the builtin's name for it. */
static bool has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

#if defined(__aarch64__)
#include <sys/auxv.h>

/* Bits that the kernel sets for a process: arch/arm64/include/uapi/asm/hwcap.h. i8mm is only taken
 * with dot products, which its level uses too. */
enum { HWCAP_DOT_PRODUCT = 1 << 20, HWCAP2_MATRIX_PRODUCT = 1 << 13 };

static unsigned arm_features(void) {
    unsigned features = KERNELS_CPU_NEON;
    if ((getauxval(AT_HWCAP) & HWCAP_DOT_PRODUCT) == 0) return features;
    features |= KERNELS_CPU_DOTPROD;
    if ((getauxval(AT_HWCAP2) & HWCAP2_MATRIX_PRODUCT) != 0) features |= KERNELS_CPU_I8MM;
    return features;
}
#endif

unsigned kernels_cpu_features(void) {
    unsigned features = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
        features |= KERNELS_CPU_AVX2;
#endif
#if defined(__aarch64__)
    features = arm_features();
#endif
    return features;
}
