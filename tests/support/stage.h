/* A stage by itself: its weights under canonical names, two regions of memory, something to compute
 * with. */
#ifndef TESTS_SUPPORT_STAGE_H
#define TESTS_SUPPORT_STAGE_H

#include "core/linear.h"
#include "core/weights.h"

typedef struct stage {
    weights *w;
    loader l;
    rnl_error error;
    kernels k;
    pool *pool;
    compute c;
    arena kept, scratch;
    void *memory[3];
} stage;

enum { STAGE_SIZE = 64 << 20 };

/* An empty set of weights and a pool; col_cap: widest matrix. */
void stage_open(stage *s, int thread_count, int64_t col_cap);
/* All tensors of a safetensors file (relative to tests/data) with a prefix before their names. */
void stage_add(stage *s, const char *path, const char *prefix);
/* Fails the test with the loader's sentence when loading failed. */
void stage_check(stage *s);
/* The arenas are empty again, for another layout. */
void stage_clear(stage *s);
void stage_close(stage *s);

#endif
