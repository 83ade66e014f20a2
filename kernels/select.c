/* One table for this run, filled from the lowest level upward. */
#include "kernels/levels.h"

#include <string.h>

/* What each level needs, lowest first. AVX-VNNI is a branch of its own: Zen 4 has AVX-512 without
 * it, Alder Lake the reverse. */
enum {
    NEEDS_AVX2 = KERNELS_CPU_AVX2,
    NEEDS_AVXVNNI = NEEDS_AVX2 | KERNELS_CPU_AVXVNNI,
    NEEDS_AVX512 = NEEDS_AVX2 | KERNELS_CPU_AVX512,
    NEEDS_AMX = NEEDS_AVX512 | KERNELS_CPU_AMX
};
static const unsigned needs[] = {0, NEEDS_AVX2, NEEDS_AVXVNNI, NEEDS_AVX512, NEEDS_AMX};

const char *const kernels_level_names[] = {"scalar", "avx2", "avxvnni", "avx512", "amx", NULL};

_Static_assert(sizeof needs / sizeof *needs + 1 ==
                   sizeof kernels_level_names / sizeof *kernels_level_names,
               "a name for each level");

static bool has(unsigned features, unsigned bits) {
    return (features & bits) == bits;
}

bool kernels_level(const char *name, unsigned available, unsigned *features) {
    for (int i = 0; kernels_level_names[i] != NULL; i++) {
        if (strcmp(kernels_level_names[i], name) != 0) continue;
        *features = needs[i];
        return has(available, needs[i]);
    }
    return false;
}

void kernels_select(kernels *k, unsigned features) {
    *k = kernels_scalar; /* complete; later lines only replace */
    kernels_fill_scalar_packed(k);
#if defined(__x86_64__)
    if (has(features, NEEDS_AVX2)) {
        kernels_fill_avx2(k);
        kernels_fill_avx2_packed(k);
        kernels_fill_avx2_round(k);
        kernels_fill_avx2_attention(k);
    }
    if (has(features, NEEDS_AVXVNNI)) kernels_fill_avxvnni_packed(k);
    if (has(features, NEEDS_AVX512)) {
        kernels_fill_avx512(k);
        kernels_fill_avx512_packed(k);
        kernels_fill_avx512_attention(k);
    }
    if (has(features, NEEDS_AMX)) kernels_fill_amx_packed(k);
#else
    (void)features;
#endif
}
