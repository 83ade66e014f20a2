/* AVX2 + AVX-VNNI: products with packed weights, eight rows at a time; x86_vnni.h. A slab's line
 * is two registers, of which one pass reads the first and another the second:
 *
 *     line    | r0 r1 ... r7 | r8 r9 ... r15 |   four columns (bytes) of each row
 *               pass 0         pass 1
 *
 * so that the eight lines of a block stay in eight of sixteen registers. All else is avx2. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include "kernels/x86_vnni.h"

PACKED_EACH(VNNI_MULTIPLY)

void kernels_fill_avxvnni_packed(kernels *k) {
    k->name = "avxvnni";
    PACKED_EACH(PACKED_FILL)
}

#endif
