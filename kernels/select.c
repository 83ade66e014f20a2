/* One table for this run, filled from the lowest level upward. */
#include "kernels/levels.h"

void kernels_select(kernels *k, unsigned features) {
    *k = kernels_scalar; /* complete; later lines only replace */
    kernels_fill_scalar_packed(k);
#if defined(__x86_64__)
    if (features & KERNELS_CPU_AVX2) {
        kernels_fill_avx2(k);
        kernels_fill_avx2_packed(k);
    }
#else
    (void)features;
#endif
}
