/* What this machine can do. A level needs three yeses: the CPU has the instructions (CPUID), the
 * system saves the registers they use when it switches threads (XCR0), and for the tiles of AMX,
 * 8 KiB a thread, it also wants to be asked once per process, which only kernels_allowed does.
 * And how large its caches are. */
#define _DEFAULT_SOURCE /* syscall */
#include "kernels/levels.h"

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bits that must all be set, Intel's manual volume 2, CPUID, and volume 1, 13.3. */
enum {
    LEAF1_C = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29, /* FMA, OSXSAVE, AVX, F16C */
    AVX2_B = 1u << 5,
    AVX512_B = 1u << 16 | 1u << 17 | 1u << 30, /* F, DQ, BW */
    VL_SHIFT = 31,                             /* VL: an enum holds no bit 31 */
    VNNI_C = 1u << 11,
    AMX_D = 1u << 22 | 1u << 24, /* BF16, TILE */
    AVXVNNI_A1 = 1u << 4,
    BF16_A1 = 1u << 5,
    SAVES_YMM = 0x6,
    SAVES_ZMM = 0xe6,
    SAVES_TILES = 0x600e6,
    REQUEST_PERMISSION = 0x1023, /* ARCH_REQ_XCOMP_PERM of asm/prctl.h */
    TILE_DATA = 18
};

static bool has(uint64_t word, uint64_t bits) {
    return (word & bits) == bits;
}

unsigned kernels_cpu_decode(const kernels_cpu_words *w) {
    unsigned features = 0;
    if (!has(w->leaf1_c, LEAF1_C) || !has(w->leaf7_b, AVX2_B) || !has(w->xcr0, SAVES_YMM)) return 0;
    features |= KERNELS_CPU_AVX2;
    if (has(w->leaf7_1_a, AVXVNNI_A1)) features |= KERNELS_CPU_AVXVNNI;
    if (!has(w->leaf7_b, AVX512_B) || w->leaf7_b >> VL_SHIFT == 0 || !has(w->leaf7_c, VNNI_C) ||
        !has(w->xcr0, SAVES_ZMM))
        return features;
    features |= KERNELS_CPU_AVX512;
    if (!has(w->leaf7_1_a, BF16_A1)) return features;
    features |= KERNELS_CPU_BF16;
    if (has(w->leaf7_d, AMX_D) && has(w->xcr0, SAVES_TILES)) features |= KERNELS_CPU_AMX;
    return features;
}

static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void read_words(kernels_cpu_words *w) {
    unsigned a, b, c, d;
    if (__get_cpuid(1, &a, &b, &c, &d) != 0) w->leaf1_c = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
        w->leaf7_b = b, w->leaf7_c = c, w->leaf7_d = d;
        if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) w->leaf7_1_a = a;
    }
    if (has(w->leaf1_c, LEAF1_C)) w->xcr0 = read_xcr0(); /* faults without OSXSAVE */
}

unsigned kernels_cpu_features(void) {
    kernels_cpu_words w = {0};
    read_words(&w);
    return kernels_cpu_decode(&w);
}

/* Intel's manual volume 2, CPUID, leaf 4; AMD's volume 3, Fn8000_001D, has the same
 * words. */
bool kernels_caches_decode(kernels_caches *c, uint32_t a, uint32_t b, uint32_t sets_less_one) {
    enum { NONE, DATA, INSTRUCTIONS };
    const uint32_t kind = a & 31, level = a >> 5 & 7;
    if (kind == NONE) return false;
    const size_t ways = (b >> 22) + 1, lines = (b >> 12 & 1023) + 1, line = (b & 4095) + 1;
    const size_t size = ways * lines * line * ((size_t)sets_less_one + 1);
    if (kind != INSTRUCTIONS && level == 1) c->l1 = size;
    if (kind != INSTRUCTIONS && level == 2) c->l2 = size;
    return true;
}

kernels_caches kernels_cpu_caches(void) {
    enum { INTEL = 4, AMD = 0x1d, EXTENDED = 1, TOPOLOGY_C = 1u << 22, CACHE_CAP = 16 };
    static const uint32_t amd = 0x80000000u; /* an enum holds no bit 31 */
    kernels_caches caches = {0};
    unsigned a, b, c, d;
    const bool asks_amd = __get_cpuid(amd + EXTENDED, &a, &b, &c, &d) != 0 && has(c, TOPOLOGY_C);
    const uint32_t leaf = asks_amd ? amd + AMD : INTEL;
    for (unsigned i = 0; i < CACHE_CAP; i++)
        if (__get_cpuid_count(leaf, i, &a, &b, &c, &d) == 0 ||
            !kernels_caches_decode(&caches, a, b, c))
            break;
    return caches;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

/* Bits that the kernel sets for a process: arch/arm64/include/uapi/asm/hwcap.h. i8mm is only taken
 * with dot products, which its level uses too. */
enum { HWCAP_DOT_PRODUCT = 1 << 20, HWCAP2_MATRIX_PRODUCT = 1 << 13 };

unsigned kernels_cpu_features(void) {
    unsigned features = KERNELS_CPU_NEON;
    if ((getauxval(AT_HWCAP) & HWCAP_DOT_PRODUCT) == 0) return features;
    features |= KERNELS_CPU_DOTPROD;
    if ((getauxval(AT_HWCAP2) & HWCAP2_MATRIX_PRODUCT) != 0) features |= KERNELS_CPU_I8MM;
    return features;
}
#else
unsigned kernels_cpu_features(void) {
    return 0;
}
#endif

#if !defined(__x86_64__)
kernels_caches kernels_cpu_caches(void) {
    return kernels_caches_read("/sys/devices/system/cpu/cpu0/cache");
}
#endif

/* The first line of folder/indexN/name; "" when there is none. */
static void read_line(const char *folder, int index, const char *name, char line[32]) {
    char path[512];
    line[0] = '\0';
    const int size = snprintf(path, sizeof path, "%s/index%d/%s", folder, index, name);
    if (size < 0 || (size_t)size >= sizeof path) return;
    FILE *f = fopen(path, "re");
    if (f == NULL) return;
    if (fgets(line, 32, f) == NULL) line[0] = '\0';
    (void)fclose(f);
}

kernels_caches kernels_caches_read(const char *folder) {
    enum { CACHE_CAP = 16 };
    kernels_caches caches = {0};
    for (int i = 0; i < CACHE_CAP; i++) {
        char level[32], kind[32], size[32];
        unsigned kib = 0;
        read_line(folder, i, "level", level);
        read_line(folder, i, "type", kind);
        read_line(folder, i, "size", size);
        if (level[0] == '\0') break;
        if (strncmp(kind, "Instruction", 11) == 0 || sscanf(size, "%6uK", &kib) != 1) continue;
        if (level[0] == '1') caches.l1 = (size_t)kib * 1024;
        if (level[0] == '2') caches.l2 = (size_t)kib * 1024;
    }
    return caches;
}

kernels_fetch kernels_fetch_for(kernels_caches caches) {
    /* What counts is how many lines a core can wait for at either cache, which no processor tells;
     * of those measured (docs/SPEED.md) sizes separate one with L1 (48 KiB, 1 MiB) from those with
     * L2 (32 KiB, 1 MiB; 48 KiB, 2 MiB). In doubt L2: a slab, 9 to 148 KiB, fits there anywhere. */
    enum { L1_KIB_MIN = 48, L2_KIB_MAX = 1024 };
    const bool known = caches.l1 > 0 && caches.l2 > 0;
    return known && caches.l1 / 1024 >= L1_KIB_MIN && caches.l2 / 1024 <= L2_KIB_MAX
               ? KERNELS_FETCH_L1
               : KERNELS_FETCH_L2;
}

unsigned kernels_allowed(unsigned features) {
#if defined(__x86_64__)
    /* Holds for all threads, those to come too; asking again changes nothing. */
    if ((features & KERNELS_CPU_AMX) != 0 &&
        syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) != 0)
        return features & ~(unsigned)KERNELS_CPU_AMX;
#endif
    return features;
}
