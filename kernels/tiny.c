#include "kernels/tiny.h"

#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>

bool kernels_flush_tiny(bool on) {
    /* Intel's manual, volume 1, 10.2.3: results that are tiny become 0, and tiny inputs are 0. */
    const unsigned bits = 1u << 15 | 1u << 6, was = _mm_getcsr();
    _mm_setcsr(on ? was | bits : was & ~bits);
    return (was & bits) == bits;
}
#elif defined(__aarch64__)
bool kernels_flush_tiny(bool on) {
    const uint64_t bit = UINT64_C(1) << 24; /* FZ of FPCR, Arm's manual, C5.2.8 */
    uint64_t was;
    __asm__ volatile("mrs %0, fpcr" : "=r"(was));
    const uint64_t wanted = on ? was | bit : was & ~bit;
    __asm__ volatile("msr fpcr, %0" : : "r"(wanted));
    return (was & bit) != 0;
}
#else
bool kernels_flush_tiny(bool on) {
    (void)on;
    return false;
}
#endif
