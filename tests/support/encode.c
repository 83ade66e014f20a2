#include "tests/support/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"

static void layout(encode_rig *u, const rnl_model *m, int frame_cap, arena *a) {
    u->c.exact = true;
    u->c.k = &m->kernels;
    compute_layout(&u->c, 1, m->col_max, a);
    encoder_layout(&u->encoder, &m->encoder, frame_cap, 1, a);
}

void encode_open(encode_rig *u, const rnl_model *m, int frame_cap) {
    arena a = {0};
    memset(u, 0, sizeof *u);
    layout(u, m, frame_cap, &a);
    u->memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    assert_non_null(u->memory);
    a = (arena){.base = u->memory, .size_cap = a.size_used};
    layout(u, m, frame_cap, &a);
    assert_int_equal(pool_create(1, &u->c.pool), RNL_OK);
}

void encode_close(encode_rig *u) {
    pool_destroy(&u->c.pool);
    free(u->memory);
}

const float *encode_clip(encode_rig *u, const float *mel, int frame_count) {
    encoder_begin(&u->encoder, mel, frame_count);
    while (encoder_step(&u->encoder, &u->c) == RNL_OK) continue;
    return encoder_output(&u->encoder);
}

float *encode_mel(const rnl_model *m, int frame_count, uint64_t seed) {
    const size_t cells = (size_t)frame_count * (size_t)m->encoder.subsampling.band_count;
    float *mel = malloc(cells * sizeof *mel);
    random_state random;
    assert_non_null(mel);
    random_seed(&random, seed);
    for (size_t i = 0; i < cells; i++) mel[i] = (float)(4 * random_unit(&random) - 2);
    return mel;
}
