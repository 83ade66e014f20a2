/* AVX2 + AVX-VNNI: products with packed weights, eight rows a register, so that a slab's line
 * is two (x86_vnni.h), which share the input that is spread for them (x86_vnni_pair.h):
 *
 *     line    | r0 r1 ... r7 | r8 r9 ... r15 |   four columns (bytes) of each row
 *
 * All else is avx2. */
#include "kernels/levels.h"

#if defined(__x86_64__)

#include "kernels/x86_vnni_pair.h"

#define MULTIPLY(name, type)                                                                       \
    static void multiply_##name(float *y, const unsigned char *slab, const kernels_input *x,       \
                                int64_t x_count, unsigned char *scratch) {                         \
        float *const both[PAIR] = {y, y};                                                          \
        const pair rows = {{slab, slab}, {0, LANES}, true};                                        \
        (void)scratch;                                                                             \
        multiply_two(packed_infos[type], both, &rows, x, x_count);                                 \
    }
PACKED_EACH(MULTIPLY)
#undef MULTIPLY

void kernels_fill_avxvnni_packed(kernels *k) {
    k->name = "avxvnni";
    PACKED_EACH(PACKED_FILL)
}

#endif
