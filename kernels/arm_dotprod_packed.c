/* ARM with dot products (ARMv8.2, optional; Cortex-A55, A75, Neoverse N1 and later): packed
 * products by sdot, sixteen multiplications of bytes in one instruction. Text: arm_products.h. */
#include "kernels/levels.h"

#if defined(__aarch64__)

#define ARM_STEP 1
#include "kernels/arm_products.h"

void kernels_fill_neon_dotprod(kernels *k) {
    k->name = "neon_dotprod";
    fill_products(k);
}

#endif
