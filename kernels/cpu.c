/* What this machine can do: the CPU's bits and, for wide registers, whether the system saves them
 * (the compiler's builtin checks both). */
#include "kernels/kernels.h"

unsigned kernels_cpu_features(void) {
    unsigned features = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("f16c"))
        features |= KERNELS_CPU_AVX2;
#endif
    return features;
}
