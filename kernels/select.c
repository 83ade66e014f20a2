/* One table for this run, filled from the lowest level upward. */
#include "kernels/levels.h"

#include <string.h>

/* What each level needs, lowest first; of one family a level includes those before it. */
static const struct {
    const char *name;
    unsigned features;
} levels[] = {
    {"scalar", 0},
    {"avx2", KERNELS_CPU_AVX2},
    {"neon", KERNELS_CPU_NEON},
    {"neon_dotprod", KERNELS_CPU_NEON | KERNELS_CPU_DOTPROD},
    {"neon_i8mm", KERNELS_CPU_NEON | KERNELS_CPU_DOTPROD | KERNELS_CPU_I8MM},
};
enum { LEVEL_COUNT = sizeof levels / sizeof *levels };

const char *const kernels_level_names[] = {"scalar",       "avx2",      "neon",
                                           "neon_dotprod", "neon_i8mm", NULL};

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
        kernels_fill_avx2_attention(k);
    }
#endif
#if defined(__aarch64__)
    if (features & KERNELS_CPU_NEON) {
        kernels_fill_neon(k);
        kernels_fill_neon_packed(k);
        kernels_fill_neon_attention(k);
        if (features & KERNELS_CPU_DOTPROD) kernels_fill_neon_dotprod(k);
        if (features & KERNELS_CPU_I8MM) kernels_fill_neon_i8mm(k);
    }
#endif
    (void)features; /* of an unknown family */
}
