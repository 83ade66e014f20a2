#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "tests/support/guarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static const float canary = -7777.25f;

uint64_t next_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

float random_float(uint64_t *seed) {
    return (float)((int64_t)next_random(seed) - (1 << 30)) / (float)(1 << 30);
}

guarded guarded_make(size_t size) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (size + page - 1) / page * page;
    guarded g = {.size = room + page};
    void *map = mmap(NULL, g.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    g.map = map;
    g.end = g.map + room;
    assert_int_equal(mprotect(g.end, page, PROT_NONE), 0);
    return g;
}

void guarded_drop(guarded *g) {
    assert_int_equal(munmap(g->map, g->size), 0);
}

float *place(const guarded *g, size_t count, uint64_t seed) {
    float *x = (float *)(void *)(g->end - count * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = random_float(&seed);
    return x;
}

void cover(float *y, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] = canary;
}

void assert_covered(const float *y, size_t count) {
    for (size_t i = 0; i < count; i++) assert_true(y[i] == canary);
}

void *take(size_t size) {
    void *p; /* aligned_alloc would round the size up, and hide what is written behind it */
    assert_int_equal(posix_memalign(&p, 64, size), 0);
    return p;
}
