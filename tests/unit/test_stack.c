/* The stack of layers by itself, on small random weights: what its header promises of positions,
 * sequences and the fields of layers. Its numbers against the reference: tests/golden. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/layers.h"

enum { WIDTH = LAYERS_WIDTH, POSITIONS = LAYERS_POSITIONS, BATCH = LAYERS_BATCH };

/* 'c' convolution, digits: attention of so many key/value heads. */
static stack_layer_config layer_of(char kind, int window) {
    const bool attends = kind != 'c';
    stack_layer_config l =
        layers_config(attends ? &stack_attention : &stack_convolution, attends ? kind - '0' : 0);
    l.window = window;
    return l;
}

/* A stack with a window is a stream. */
static void open_kinds(layers *r, const char *kinds, int window) {
    stack_layer_config config[4];
    const int count = (int)strlen(kinds);
    for (int i = 0; i < count; i++) config[i] = layer_of(kinds[i], window);
    layers_open(r, config, count, window > 0 ? 0 : POSITIONS, false);
}

static layers r;
static float in[POSITIONS * WIDTH], a[POSITIONS * WIDTH], b[POSITIONS * WIDTH];

static void check_laws(void) {
    layers_check_cuts(&r);
    layers_check_together(&r);
    layers_check_return(&r);
    layers_close(&r);
}

static void kinds_keep_the_laws(void **state) {
    (void)state;
    const struct {
        const char *kinds;
        int window;
    } stacks[] = {{"c2", 0}, {"41", 0}, {"cc", 0}, {"22", 7}, {"c4", 7}};
    for (size_t i = 0; i < sizeof stacks / sizeof *stacks; i++) {
        open_kinds(&r, stacks[i].kinds, stacks[i].window);
        check_laws();
    }
}

/* Windows, rotary tables, taps and pairings of a layer's own, and all that is optional. */
static void layers_that_differ_keep_the_laws(void **state) {
    (void)state;
    stack_layer_config config[] = {layer_of('2', 7), layer_of('c', 0), layer_of('4', 0)};
    config[0].rotary = (stack_rotary){.base = 100, .pair_count = LAYERS_HEAD_WIDTH / 2};
    config[1].taps = 5;
    config[2].head_width = 16;
    config[2].rotary = (stack_rotary){.base = 1e6, .pair_count = 3, .adjacent = true};
    layers_open(&r, config, 3, POSITIONS, true);
    assert_int_equal(r.w.rotary_count, 2);
    assert_true(r.w.has_post_norms);
    check_laws();
}

static stack_layer_config experts_of(char kind, int count, int used) {
    stack_layer_config l = layer_of(kind, 0);
    l.kinds[STACK_FEED_FORWARD] = &stack_experts;
    l.expert_count = count;
    l.expert_used = used;
    l.expert_norm = true;
    l.expert_scale = 1.5f;
    return l;
}

/* Behind dense layers; all of a layer's, and one of one. */
static void experts_keep_the_laws(void **state) {
    (void)state;
    const stack_layer_config config[] = {layer_of('c', 0), experts_of('2', 7, 3),
                                         experts_of('c', 4, 4), experts_of('c', 1, 1)};
    for (int optional = 0; optional < 2; optional++) {
        layers_open(&r, config, 4, POSITIONS, optional == 1);
        check_laws();
    }
}

static void a_pass_of_experts_reads_what_it_chooses(void **state) {
    (void)state;
    const stack_layer_config config[] = {experts_of('c', 8, 2)};
    layers_open(&r, config, 1, POSITIONS, false);
    const double own = 3 * WIDTH * LAYERS_FF, router = 8 * WIDTH;
    const double rest = 4 * WIDTH * WIDTH; /* the operator's matrices */
    const stack_cost one = stack_cost_of(&r.w, r.w.cache, 0, 1);
    assert_true(one.byte_count == 4 * (rest + router + 2 * own));
    assert_true(one.op_count == 2 * (rest + router + 2 * own));
    const stack_cost two = stack_cost_of(&r.w, r.w.cache, 0, 2);
    assert_true(two.byte_count == 4 * (rest + router + 3.5 * own)); /* 8 (1 - 0.75^2) */
    assert_true(two.op_count == one.op_count);
    layers_close(&r);
}

/* Linear attention of both kinds, state spaces, taps of a layer's own. */
static void scans_keep_the_laws(void **state) {
    (void)state;
    stack_layer_config config[] = {layers_config(&stack_linear_attention, 0),
                                   layers_config(&stack_state_space, 0),
                                   layers_config(&stack_linear_attention, 0), layer_of('c', 0)};
    config[0].linear = STACK_LINEAR_SUM;
    config[1].state_width = 6;
    config[1].taps = 4;
    config[2].linear = STACK_LINEAR_DECAY;
    config[2].head_count = 2;
    config[2].head_width = LAYERS_WIDTH / 2;
    config[3].taps = 7;
    for (int optional = 0; optional < 2; optional++) {
        layers_open(&r, config, 4, POSITIONS, optional == 1);
        check_laws();
    }
}

/* Feed-forward weights and keys of a layer above, also across layers that have their own. */
static void shared_parts_keep_the_laws(void **state) {
    (void)state;
    stack_layer_config config[] = {layer_of('2', 0), layer_of('c', 0), layer_of('2', 0),
                                   layer_of('2', 0)};
    config[1].ff_above = 1;
    config[2].kv_above = 2;
    config[2].ff_above = 2;
    config[3].kv_above = 3;
    layers_open(&r, config, 4, POSITIONS, true);
    const stack_cost cost = stack_cost_of(&r.w, r.w.cache, 10, 1);
    const double own = (double)kernels_cache_row_size(r.w.cache, LAYERS_HEAD_WIDTH);
    assert_true(cost.kept_size == 3 * 2.0 * 10 * 2 * own); /* read once by each layer */
    int layer;
    assert_null(stack_find_tensor(&r.config, "blk.2.attn_k.weight", &layer));
    assert_null(stack_find_tensor(&r.config, "blk.2.ffn_up.weight", &layer));
    assert_non_null(stack_find_tensor(&r.config, "blk.3.ffn_up.weight", &layer));
    check_laws();
}

/* Position t of the output depends on input s: by changing s and looking. */
static bool depends_on(int t, int s, int count) {
    layers_fill(in, POSITIONS, 9);
    layers_run(&r, in, a, count, BATCH);
    for (int i = 0; i < WIDTH; i++) in[s * WIDTH + i] += 0.25f;
    layers_run(&r, in, b, count, BATCH);
    return memcmp(a + t * WIDTH, b + t * WIDTH, WIDTH * sizeof *a) != 0;
}

static bool depends(int t, int s) {
    return depends_on(t, s, t + 1);
}

static void a_position_sees_what_it_may_see(void **state) {
    (void)state;
    open_kinds(&r, "cc", 0); /* two convolutions of 3 taps: 4 positions back */
    assert_true(depends(20, 20) && depends(20, 16));
    assert_false(depends(20, 15) || depends(20, 0));
    layers_close(&r);
    open_kinds(&r, "22", 0); /* attention sees everything before */
    assert_true(depends(39, 0) && depends(39, 39));
    layers_close(&r);
    open_kinds(&r, "22", 7); /* 7 keys, itself included: twice 6 back */
    assert_true(depends(30, 18) && depends(30, 30));
    assert_false(depends(30, 17) || depends(30, 0));
    layers_close(&r);
    open_kinds(&r, "c2", 7); /* 6 and 2 back */
    assert_true(depends(39, 31));
    assert_false(depends(39, 30));
    layers_close(&r);
}

/* Of two layers the one has a window, in a state that keeps all positions. */
static void a_window_is_the_layers_own(void **state) {
    (void)state;
    const stack_layer_config config[] = {layer_of('2', 7), layer_of('c', 0)};
    layers_open(&r, config, 2, POSITIONS, false);
    assert_true(depends(39, 31));
    assert_false(depends(39, 30));
    layers_close(&r);
}

static void without_a_mask_all_rows_of_a_pass_are_seen(void **state) {
    (void)state;
    stack_layer_config config[] = {layer_of('2', 0)};
    config[0].mask = STACK_UNMASKED;
    layers_open(&r, config, 1, POSITIONS, false);
    assert_true(depends_on(3, 11, 12) && depends_on(3, 0, 12) && depends_on(11, 3, 12));
    /* Sequences beside each other still do not see each other. */
    static float x[3 * 12 * WIDTH];
    stack_piece pieces[3];
    for (int i = 0; i < 3; i++) {
        stack_reset(&r.states[i]);
        pieces[i] = (stack_piece){.state = &r.states[i], .count = 12};
        layers_fill(x + i * 12 * WIDTH, 12, 50 + (uint64_t)i);
    }
    stack_forward(&r.work, &r.s.c, pieces, 3, x);
    for (int i = 0; i < 3; i++) {
        layers_fill(in, 12, 50 + (uint64_t)i);
        layers_run(&r, in, a, 12, 12);
        assert_memory_equal(a, x + i * 12 * WIDTH, 12 * WIDTH * sizeof *a);
    }
    layers_close(&r);
}

/* Without earlier positions in reach, the output is that of a fresh stack: rotary angles count from
 * anywhere, only differences matter (up to rounding). */
static void only_distances_matter(void **state) {
    (void)state;
    for (int adjacent = 0; adjacent < 2; adjacent++) {
        stack_layer_config config[] = {layer_of('2', 7), layer_of('2', 7)};
        config[0].rotary.adjacent = config[1].rotary.adjacent = adjacent == 1;
        layers_open(&r, config, 2, 0, false);
        layers_fill(in, POSITIONS, 9);
        layers_run(&r, in, a, 36, BATCH);
        layers_run(&r, in + 16 * WIDTH, b, 20, BATCH); /* 12 and on see nothing before */
        for (int t = 12; t < 20; t++)
            for (int i = 0; i < WIDTH; i++) {
                const float x = a[(t + 16) * WIDTH + i], y = b[t * WIDTH + i];
                if (fabsf(x - y) > 1e-4f) fail_msg("position %d: %g and %g", t, x, y);
            }
        layers_close(&r);
    }
}

static void run_turned(stack_rotary rotary, float *out) {
    stack_layer_config config[] = {layer_of('2', 0)};
    config[0].rotary = rotary;
    layers_open(&r, config, 1, POSITIONS, false);
    layers_fill(in, POSITIONS, 9);
    layers_run(&r, in, out, 8, 8);
    layers_close(&r);
}

static void rotary_fields_count(void **state) {
    (void)state;
    const stack_rotary others[] = {{.base = 1e4, .pair_count = 4, .adjacent = true},
                                   {.base = 1e4, .pair_count = 3},
                                   {.base = 1e3, .pair_count = 4}};
    run_turned((stack_rotary){.base = 1e4, .pair_count = 4}, a);
    for (int i = 0; i < 3; i++) {
        run_turned(others[i], b);
        assert_memory_equal(a, b, WIDTH * sizeof *a); /* position 0 is not turned */
        assert_memory_not_equal(a + WIDTH, b + WIDTH, WIDTH * sizeof *a);
    }
}

static int taps_seen;

static void on_layer(void *context, int layer, const float *x, int count) {
    (void)context;
    assert_int_equal(layer, taps_seen % 2);
    assert_int_equal(count, 5);
    assert_true(isfinite(x[0]));
    taps_seen++;
}

static void the_tap_sees_each_layer(void **state) {
    (void)state;
    open_kinds(&r, "c2", 0);
    layers_fill(in, POSITIONS, 9);
    layers_run(&r, in, a, 5, 5);
    taps_seen = 0;
    r.work.tap = on_layer;
    layers_run(&r, in, b, 5, 5);
    assert_int_equal(taps_seen, 2);
    assert_memory_equal(a, b, 5 * WIDTH * sizeof *a); /* looking changes nothing */
    layers_close(&r);
}

static void missing_and_wrong_tensors_are_named(void **state) {
    (void)state;
    static stack_weights w;
    open_kinds(&r, "c2", 0);
    r.config.layer_count = 3;
    r.config.layers[2] = layer_of('2', 0);
    stack_load(&r.s.l, &r.config, &w);
    assert_int_equal(r.s.l.status, RNL_ERR_FORMAT);
    assert_non_null(strstr(r.s.error.text, "blk.2.attn_norm.weight"));
    r.s.l.status = RNL_OK;
    r.config.layer_count = 2;
    r.config.layers[1].kv_head_count = 4; /* the file has 2 */
    stack_load(&r.s.l, &r.config, &w);
    assert_int_equal(r.s.l.status, RNL_ERR_FORMAT);
    assert_non_null(strstr(r.s.error.text, "blk.1.attn_k.weight"));
    layers_close(&r);
}

static void the_width_of_a_feed_forward_part_may_be_the_files(void **state) {
    (void)state;
    static stack_weights w;
    open_kinds(&r, "c2", 0);
    r.config.layers[0].ff_width = r.config.layers[1].ff_width = 0;
    stack_load(&r.s.l, &r.config, &w);
    stage_check(&r.s);
    assert_int_equal(stack_ff_width_max(&w.config, &stack_dense), LAYERS_FF);
    layers_close(&r);
}

static void fields_out_of_range_are_named(void **state) {
    (void)state;
    static stack_config good, bad;
    good = (stack_config){.width = WIDTH, .layer_count = 2, .eps = 1e-5f};
    good.layers[0] = layer_of('c', 0);
    good.layers[1] = layer_of('2', 0);
    rnl_error error = {0};
    assert_int_equal(stack_check(&good, "f", &error), RNL_OK);
    const struct {
        int layer;
        stack_layer_config change;
        const char *named;
    } lies[] = {
        {0, {.taps = 0}, "taps"},
        {1, {.head_count = 0}, "number of heads"},
        {1, {.head_count = 4, .head_width = 3, .rotary = {.base = 10}}, "odd"},
        {1, {.head_count = 4, .head_width = 4, .rotary = {.base = 0.5}}, "base"},
        {1, {.head_count = 4, .head_width = 4, .rotary = {10, 3, false}}, "pairs"},
        {1, {.head_count = 4, .head_width = 4, .window = -1, .rotary = {.base = 10}}, "window"},
        {1,
         {.head_count = 4,
          .head_width = 4,
          .window = 3,
          .mask = STACK_UNMASKED,
          .rotary = {.base = 10}},
         "window"},
        {1,
         {.head_count = 4, .kv_head_count = 3, .head_width = 4, .rotary = {.base = 10}},
         "key/value"}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        bad = good;
        bad.layers[lies[i].layer] = lies[i].change;
        memcpy(bad.layers[lies[i].layer].kinds, good.layers[lies[i].layer].kinds,
               sizeof good.layers[0].kinds);
        if (stack_check(&bad, "f", &error) != RNL_ERR_FORMAT) fail_msg("lie %zu taken", i);
        if (strstr(error.text, lies[i].named) == NULL) fail_msg("lie %zu: %s", i, error.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_keep_the_laws),
        cmocka_unit_test(layers_that_differ_keep_the_laws),
        cmocka_unit_test(experts_keep_the_laws),
        cmocka_unit_test(scans_keep_the_laws),
        cmocka_unit_test(shared_parts_keep_the_laws),
        cmocka_unit_test(a_pass_of_experts_reads_what_it_chooses),
        cmocka_unit_test(a_position_sees_what_it_may_see),
        cmocka_unit_test(a_window_is_the_layers_own),
        cmocka_unit_test(without_a_mask_all_rows_of_a_pass_are_seen),
        cmocka_unit_test(only_distances_matter),
        cmocka_unit_test(rotary_fields_count),
        cmocka_unit_test(the_tap_sees_each_layer),
        cmocka_unit_test(missing_and_wrong_tensors_are_named),
        cmocka_unit_test(the_width_of_a_feed_forward_part_may_be_the_files),
        cmocka_unit_test(fields_out_of_range_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
