#include "tests/support/same_state.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "stack/kind.h"

static void assert_same_keys(const rnl_session *a, const rnl_session *b, int layer) {
    const stack_state *x = &a->live->backbone, *y = &b->live->backbone;
    const stack_layer_config *l = &a->model->backbone.stack.config.layers[layer];
    const unsigned char *mine = stack_appended(x, layer, STACK_OPERATOR);
    const unsigned char *other = stack_appended(y, layer, STACK_OPERATOR);
    const size_t line = kernels_cache_row_size(x->cache, l->head_width);
    for (int h = 0; h < l->kv_head_count; h++) {
        const size_t row = (size_t)h * (size_t)x->position_cap * line;
        assert_memory_equal(mine + row, other + row, (size_t)x->position * line);
    }
}

void assert_same_state(rnl_session *a, rnl_session *b) {
    while (rnl_session_step(a, NULL) != RNL_DONE) continue;
    while (rnl_session_step(b, NULL) != RNL_DONE) continue;
    const session_live *x = a->live, *y = b->live;
    const stack_config *c = &a->model->backbone.stack.config;
    assert_int_equal(x->position_count, y->position_count);
    assert_int_equal(x->backbone.position, y->backbone.position);
    assert_int_equal(x->emitted_count, y->emitted_count);
    assert_memory_equal(&x->random, &y->random, sizeof x->random);
    assert_memory_equal(a->embeddings, b->embeddings,
                        (size_t)x->position_count * (size_t)c->width * sizeof(float));
    assert_memory_equal(x->backbone.fixed, y->backbone.fixed, x->backbone.fixed_size);
    for (int i = 0; i < c->layer_count; i++)
        if (c->layers[i].kinds[STACK_OPERATOR] == &stack_attention) assert_same_keys(a, b, i);
}
