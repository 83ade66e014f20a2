/* ARM with matrix products of bytes (ARMv8.6; Cortex-A510, A710, Neoverse N2, V1 and later):
 * several inputs by smmla, thirty-two multiplications in one instruction. Text: arm_products.h. */
#include "kernels/levels.h"

#if defined(__aarch64__)

#define ARM_STEP 2
#include "kernels/arm_products.h"

void kernels_fill_neon_i8mm(kernels *k) {
    k->name = "neon_i8mm";
    fill_products(k);
}

#endif
