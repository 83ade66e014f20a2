/* What products over a pool need, without a session: a compute with its scratch and its threads. */
#ifndef TESTS_SUPPORT_POOLED_H
#define TESTS_SUPPORT_POOLED_H

#include "core/linear.h"

typedef struct pooled {
    compute c;
    void *memory;
} pooled;
/* k outlives it; col_cap: the widest matrix. */
pooled pooled_make(const kernels *k, int threads, int64_t col_cap, bool bf16);
/* With BF16 for any stored type. */
pooled pooled_make_any(const kernels *k, int threads, int64_t col_cap);
void pooled_drop(pooled *p);

#endif
