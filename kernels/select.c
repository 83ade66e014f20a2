/* One table for this run, filled from the lowest level upward. */
#include "kernels/levels.h"

#include <string.h>

/* What each level needs, lowest first. AVX-VNNI is a branch of its own: Zen 4 has AVX-512 without
 * it, Alder Lake the reverse. */
enum {
    NEEDS_AVX2 = KERNELS_CPU_AVX2,
    NEEDS_AVXVNNI = NEEDS_AVX2 | KERNELS_CPU_AVXVNNI,
    NEEDS_AVX512 = NEEDS_AVX2 | KERNELS_CPU_AVX512,
    NEEDS_BF16 = NEEDS_AVX512 | KERNELS_CPU_BF16,
    NEEDS_AMX = NEEDS_AVX512 | KERNELS_CPU_AMX,
    NEEDS_NEON = KERNELS_CPU_NEON,
    NEEDS_DOTPROD = NEEDS_NEON | KERNELS_CPU_DOTPROD,
    NEEDS_I8MM = NEEDS_DOTPROD | KERNELS_CPU_I8MM
};
static const unsigned needs[] = {0,         NEEDS_AVX2, NEEDS_AVXVNNI, NEEDS_AVX512, NEEDS_BF16,
                                 NEEDS_AMX, NEEDS_NEON, NEEDS_DOTPROD, NEEDS_I8MM};

const char *const kernels_level_names[] = {"scalar",      "avx2", "avxvnni", "avx512",
                                           "avx512_bf16", "amx",  "neon",    "neon_dotprod",
                                           "neon_i8mm",   NULL};

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
        kernels_fill_avx2_functions(k);
        kernels_fill_avx2_packed(k);
        kernels_fill_avx2_round(k);
        kernels_fill_avx2_attention(k);
        kernels_fill_avx2_back(k);
    }
    if (has(features, NEEDS_AVXVNNI)) kernels_fill_avxvnni_packed(k);
    if (has(features, NEEDS_AVX512)) {
        kernels_fill_avx512(k);
        kernels_fill_avx512_packed(k);
        kernels_fill_avx512_attention(k);
        kernels_fill_avx512_functions(k);
        kernels_fill_avx512_back(k);
        kernels_fill_avx512_many(k);
    }
    if (has(features, NEEDS_BF16)) {
        kernels_fill_avx512_bf16(k);
        kernels_fill_avx512_bf16_back(k);
    }
    if (has(features, NEEDS_AMX)) {
        kernels_fill_amx_packed(k);
        kernels_fill_amx_bf16(k);
        kernels_fill_amx_bf16_back(k);
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
