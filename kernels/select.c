/* One table for this run, filled from the lowest level upward. */
#include "kernels/levels.h"

#include <string.h>

/* What each level needs, lowest first; a level includes those before it. */
static const struct {
    const char *name;
    unsigned features;
} levels[] = {
    {"scalar", 0},
    {"avx2", KERNELS_CPU_AVX2},
};
enum { LEVEL_COUNT = sizeof levels / sizeof *levels };

const char *const kernels_level_names[] = {"scalar", "avx2", NULL};

bool kernels_level(const char *name, unsigned available, unsigned *features) {
    for (int i = 0; i < LEVEL_COUNT; i++) {
        if (strcmp(levels[i].name, name) != 0) continue;
        *features = levels[i].features;
        return (available & levels[i].features) == levels[i].features;
    }
    return false;
}

void kernels_select(kernels *k, unsigned features) {
    *k = kernels_scalar; /* complete; later lines only replace */
    kernels_fill_scalar_packed(k);
#if defined(__x86_64__)
    if (features & KERNELS_CPU_AVX2) {
        kernels_fill_avx2(k);
        kernels_fill_avx2_packed(k);
        kernels_fill_avx2_round(k);
        kernels_fill_avx2_attention(k);
    }
#else
    (void)features;
#endif
}
