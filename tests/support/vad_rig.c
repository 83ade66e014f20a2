#include "tests/support/vad_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

vad_rig vad_rig_open(void) {
    vad_rig r = {0};
    arena a = {0};
    vad_layout(&r.s, &a);
    assert_false(a.overflowed);
    r.memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    assert_non_null(r.memory);
    memset(r.memory, 0xff, a.size_used); /* NaN wherever reset forgets something */
    a = (arena){.base = r.memory, .size_cap = a.size_used};
    vad_layout(&r.s, &a);
    vad_reset(&r.s);
    return r;
}

void vad_rig_close(vad_rig *r) {
    free(r->memory);
    *r = (vad_rig){0};
}

void vad_rig_run(vad_rig *r, const kernels *k, const float *samples, size_t block_count,
                 float *probabilities) {
    for (size_t i = 0; i < block_count; i++)
        probabilities[i] = vad_block(&r->s, k, samples + i * VAD_BLOCK);
}
