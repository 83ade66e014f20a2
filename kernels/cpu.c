/* What this machine can do. A level needs three yeses: the CPU has the instructions (CPUID), the
 * system saves the registers they use when it switches threads (XCR0), and for the tiles of AMX,
 * 8 KiB a thread, it also wants to be asked once per process, which only kernels_allowed does. */
#define _DEFAULT_SOURCE /* syscall */
#include "kernels/levels.h"

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

unsigned kernels_allowed(unsigned features) {
#if defined(__x86_64__)
    /* Holds for all threads, those to come too; asking again changes nothing. */
    if ((features & KERNELS_CPU_AMX) != 0 &&
        syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) != 0)
        return features & ~(unsigned)KERNELS_CPU_AMX;
#endif
    return features;
}
