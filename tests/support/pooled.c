#include "tests/support/pooled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static pooled make(compute c, int threads, int64_t col_cap) {
    pooled p = {.c = c};
    arena a = {0};
    compute_layout(&p.c, threads, col_cap, &a);
    p.memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    assert_non_null(p.memory);
    arena b = {.base = p.memory, .size_cap = a.size_used};
    compute_layout(&p.c, threads, col_cap, &b);
    assert_int_equal(pool_create(threads, &p.c.pool), RNL_OK);
    return p;
}

pooled pooled_make(const kernels *k, int threads, int64_t col_cap, bool bf16) {
    return make((compute){.k = k, .bf16 = bf16, .many = true}, threads, col_cap);
}

pooled pooled_make_any(const kernels *k, int threads, int64_t col_cap) {
    return make((compute){.k = k, .bf16 = true, .bf16_any = true}, threads, col_cap);
}

void pooled_drop(pooled *p) {
    pool_destroy(&p->c.pool);
    free(p->memory);
}
