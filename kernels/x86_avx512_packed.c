/* AVX-512 with VNNI: products with packed weights, sixteen rows at a time; x86_vnni.h. A line of a
 * slab is one register. Of the 32, eight hold the block's lines and eight each the sums and the
 * minima of eight inputs, so a byte of codes is read once for eight inputs:
 *
 *     z0 .. z7     lines of the block, codes unsigned
 *     z8 .. z15    products of inputs 0 .. 7       z16 .. z23   their minima
 *     z24 ..       sums under way, broadcast by the instruction itself from memory
 */
#include "kernels/levels.h"

#if defined(__x86_64__)

#define VNNI_512
#include "kernels/x86_vnni.h"

PACKED_EACH(VNNI_MULTIPLY)

void kernels_fill_avx512_packed(kernels *k) {
    PACKED_EACH(PACKED_FILL)
}

#endif
