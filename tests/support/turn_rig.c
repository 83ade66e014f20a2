#include "tests/support/turn_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void *place(size_t size) {
    void *p = aligned_alloc(ARENA_ALIGN, size);
    assert_non_null(p);
    memset(p, 0xff, size); /* NaN wherever nobody has written */
    return p;
}

void turn_rig_open(turn_rig *r, const kernels *k, bool exact, int thread_count) {
    if (!turn_network_is_built()) skip();
    *r = (turn_rig){0};
    kernels_select(&r->k, kernels_cpu_features());
    if (k != NULL) r->k = *k;
    r->c = (compute){.k = &r->k, .exact = exact};
    assert_int_equal(pool_create(thread_count, &r->c.pool), RNL_OK);
    rnl_error error;
    if (turn_network_create(exact, r->c.pool, &r->n, &error) != RNL_OK) fail_msg("%s", error.text);
    arena measured[2] = {{0}, {0}};
    compute_layout(&r->c, thread_count, TURN_NETWORK_COL_CAP, &measured[0]);
    turn_look_layout(&r->s, r->n, thread_count, &measured[1]);
    arena placed[2];
    for (int i = 0; i < 2; i++) {
        r->memory[i] = place(measured[i].size_used);
        placed[i] = (arena){.base = r->memory[i], .size_cap = measured[i].size_used};
    }
    compute_layout(&r->c, thread_count, TURN_NETWORK_COL_CAP, &placed[0]);
    turn_look_layout(&r->s, r->n, thread_count, &placed[1]);
    turn_look_reset(&r->s);
}

void turn_rig_close(turn_rig *r) {
    turn_network_destroy(&r->n);
    assert_null(r->n);
    pool_destroy(&r->c.pool);
    for (int i = 0; i < 2; i++) free(r->memory[i]);
}

float turn_rig_look(turn_rig *r) {
    turn_look_begin(&r->s);
    while (turn_look_step(&r->s, &r->c) == RNL_OK) continue;
    return turn_look_probability(&r->s);
}

float turn_rig_hear(turn_rig *r, const float *samples, size_t count) {
    turn_look_reset(&r->s);
    turn_look_push(&r->s, samples, count);
    return turn_rig_look(r);
}
