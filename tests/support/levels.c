#include "tests/support/levels.h"

#include <stddef.h>
#include <stdio.h>

kernels levels[LEVELS_CAP];
int level_count;

static int find_all(kernels out[LEVELS_CAP]) {
    const unsigned here = kernels_allowed(kernels_cpu_features());
    int count = 0;
    for (int i = 0; kernels_level_names[i] != NULL; i++) {
        unsigned features;
        if (kernels_level(kernels_level_names[i], here, &features))
            kernels_select(&out[count++], features);
    }
#if defined(EMULATED_LEVELS)
    if ((here & KERNELS_CPU_AVX2) == 0) return count; /* the emulation is built on it */
    kernels *vnni = &out[count++], *wide = &out[count++], *bf16 = &out[count++];
    kernels *amx = &out[count++];
    kernels_select(vnni, KERNELS_CPU_AVX2);
    *wide = *vnni;
    emulated_fill_avxvnni_packed(vnni);
    vnni->name = "avxvnni (emulated)";
    emulated_fill_avx512(wide);
    emulated_fill_avx512_packed(wide);
    emulated_fill_avx512_attention(wide);
    emulated_fill_avx512_functions(wide);
    emulated_fill_avx512_back(wide);
    emulated_fill_avx512_many(wide);
    *bf16 = *amx = *wide;
    wide->name = "avx512 (emulated)";
    emulated_fill_avx512_bf16(bf16);
    emulated_fill_avx512_bf16_back(bf16);
    bf16->name = "avx512_bf16 (emulated)";
    emulated_fill_amx_packed(amx);
    emulated_fill_amx_bf16(amx);
    emulated_fill_amx_bf16_back(amx);
    amx->name = "amx (emulated)";
#endif
    return count;
}

int find_levels(void **state) {
    (void)state;
    level_count = find_all(levels);
    return 0;
}

int find_bf16_levels(void **state) {
    (void)state;
    const int count = find_all(levels);
    level_count = 0;
    for (int i = 0; i < count; i++)
        if (levels[i].quantise_bf16 != NULL) levels[level_count++] = levels[i];
    if (level_count == 0) printf("nothing to see: no level with BF16, and no AVX2 to emulate it\n");
    return 0;
}
