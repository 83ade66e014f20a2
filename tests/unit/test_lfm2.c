/* The layer stack by itself, on small random weights: what its header promises of positions,
 * windows, taps and rotary pairs. Its numbers against the reference: tests/golden. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/lfm2.h"
#include "core/random.h"
#include "tests/support/stage.h"

enum { WIDTH = 32, HEADS = 4, HEAD_WIDTH = 8, FF = 48, TAPS = 3, POSITIONS = 40, BATCH = 16 };

typedef struct rig {
    stage s;
    lfm2_config config;
    lfm2_weights w;
    lfm2_state state;
    arena cache;
    void *cache_memory;
} rig;

static float pool_of_numbers[1 << 16];
static size_t numbers_used;

static void add(rig *r, const char *name, int64_t rows, int64_t cols) {
    const size_t count = (size_t)(rows * cols);
    assert_true(numbers_used + count <= sizeof pool_of_numbers / sizeof *pool_of_numbers);
    const tensor t = {.name = name,
                      .data = (const unsigned char *)(pool_of_numbers + numbers_used),
                      .type = QUANT_F32,
                      .rank = cols > 1 ? 2 : 1,
                      .shape = {rows, cols, 1, 1},
                      .size = count * sizeof(float)};
    numbers_used += count;
    if (weights_add(r->s.w, &t, "rig", &r->s.error) != RNL_OK) fail_msg("%s", r->s.error.text);
}

static void add_layer(rig *r, int i, int kv_heads) {
    const struct {
        const char *name;
        int64_t rows, cols;
        int where; /* 0 both, 1 attention, 2 convolution */
    } parts[] = {
        {"attn_norm.weight", WIDTH, 1, 0},
        {"ffn_norm.weight", WIDTH, 1, 0},
        {"ffn_gate.weight", FF, WIDTH, 0},
        {"ffn_up.weight", FF, WIDTH, 0},
        {"ffn_down.weight", WIDTH, FF, 0},
        {"attn_q.weight", HEADS * HEAD_WIDTH, WIDTH, 1},
        {"attn_k.weight", (int64_t)kv_heads * HEAD_WIDTH, WIDTH, 1},
        {"attn_v.weight", (int64_t)kv_heads * HEAD_WIDTH, WIDTH, 1},
        {"attn_output.weight", WIDTH, HEADS * HEAD_WIDTH, 1},
        {"attn_q_norm.weight", HEAD_WIDTH, 1, 1},
        {"attn_k_norm.weight", HEAD_WIDTH, 1, 1},
        {"shortconv.in_proj.weight", (int64_t)3 * WIDTH, WIDTH, 2},
        {"shortconv.out_proj.weight", WIDTH, WIDTH, 2},
        {"shortconv.conv.weight", WIDTH, TAPS, 2},
    };
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        char name[64];
        if (parts[p].where == (kv_heads > 0 ? 2 : 1)) continue;
        (void)snprintf(name, sizeof name, "blk.%d.%s", i, parts[p].name);
        add(r, name, parts[p].rows, parts[p].cols);
    }
}

/* Two layers, of the kinds told by their key/value heads. */
static void rig_open(rig *r, int first, int second, int window, bool adjacent) {
    random_state random;
    random_seed(&random, 4);
    for (size_t i = 0; i < sizeof pool_of_numbers / sizeof *pool_of_numbers; i++)
        pool_of_numbers[i] = (float)(random_unit(&random) - 0.5);
    numbers_used = 0;
    memset(r, 0, sizeof *r);
    stage_open(&r->s, 2, FF);
    r->config = (lfm2_config){.width = WIDTH,
                              .layer_count = 2,
                              .head_count = HEADS,
                              .head_width = HEAD_WIDTH,
                              .kv_head_count = {first, second},
                              .conv_taps = TAPS,
                              .window = window,
                              .eps = 1e-5f,
                              .rope_base = 1e4,
                              .rope_adjacent = adjacent};
    add_layer(r, 0, first);
    add_layer(r, 1, second);
    add(r, "token_embd_norm.weight", WIDTH, 1);
    lfm2_load(&r->s.l, &r->config, &r->w);
    stage_check(&r->s);
    arena measure = {0}, a = {0}, b = {0};
    lfm2_state none;
    lfm2_layout(&none, &r->w, r->w.cache, POSITIONS, BATCH, 2, &a, &measure, &b);
    r->cache_memory = aligned_alloc(ARENA_ALIGN, measure.size_used + ARENA_ALIGN);
    assert_non_null(r->cache_memory);
    r->cache = (arena){.base = r->cache_memory, .size_cap = measure.size_used + ARENA_ALIGN};
    lfm2_layout(&r->state, &r->w, r->w.cache, POSITIONS, BATCH, 2, &r->s.kept, &r->cache,
                &r->s.scratch);
    lfm2_reset(&r->state);
}

static void rig_close(rig *r) {
    stage_close(&r->s);
    free(r->cache_memory);
}

static void fill(float *x, size_t count, uint64_t seed) {
    random_state random;
    random_seed(&random, seed);
    for (size_t i = 0; i < count; i++) x[i] = (float)(random_unit(&random) - 0.5);
}

/* All positions from fresh, in batches of at most `batch`. */
static void run(rig *r, const float *in, float *out, int count, int batch) {
    lfm2_reset(&r->state);
    memcpy(out, in, (size_t)count * WIDTH * sizeof *out);
    for (int at = 0; at < count; at += batch)
        lfm2_forward(&r->state, &r->s.c, out + (size_t)at * WIDTH,
                     count - at < batch ? count - at : batch);
    assert_int_equal(r->state.position, count);
}

static float in[POSITIONS * WIDTH], a[POSITIONS * WIDTH], b[POSITIONS * WIDTH];

static void any_batch_gives_the_same_bits(void **state) {
    (void)state;
    const int kinds[][3] = {{0, 2, 0}, {4, 1, 0}, {0, 0, 0}, {2, 2, 7}, {0, 4, 7}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        rig r;
        rig_open(&r, kinds[k][0], kinds[k][1], kinds[k][2], false);
        fill(in, POSITIONS * WIDTH, 9);
        run(&r, in, a, POSITIONS, 1);
        for (int batch = 2; batch <= BATCH; batch++) {
            run(&r, in, b, POSITIONS, batch);
            if (memcmp(a, b, sizeof a) != 0) fail_msg("kind %zu, batches of %d differ", k, batch);
        }
        rig_close(&r);
    }
}

/* Position t of the output depends on input s: by changing s and looking. */
static bool depends(rig *r, int t, int s) {
    fill(in, POSITIONS * WIDTH, 9);
    run(r, in, a, t + 1, BATCH);
    for (int i = 0; i < WIDTH; i++) in[s * WIDTH + i] += 0.25f;
    run(r, in, b, t + 1, BATCH);
    return memcmp(a + (size_t)t * WIDTH, b + (size_t)t * WIDTH, WIDTH * sizeof *a) != 0;
}

static void a_position_sees_what_it_may_see(void **state) {
    (void)state;
    rig r;
    rig_open(&r, 0, 0, 0, false); /* two convolutions of 3 taps: 4 positions back */
    assert_true(depends(&r, 20, 20) && depends(&r, 20, 16));
    assert_false(depends(&r, 20, 15) || depends(&r, 20, 0));
    rig_close(&r);
    rig_open(&r, 2, 2, 0, false); /* attention sees everything before */
    assert_true(depends(&r, 39, 0) && depends(&r, 39, 39));
    rig_close(&r);
    rig_open(&r, 2, 2, 7, false); /* 7 keys, itself included: twice 6 back */
    assert_true(depends(&r, 30, 18) && depends(&r, 30, 30));
    assert_false(depends(&r, 30, 17) || depends(&r, 30, 0));
    rig_close(&r);
    rig_open(&r, 0, 2, 7, false); /* 6 and 2 back */
    assert_true(depends(&r, 39, 31));
    assert_false(depends(&r, 39, 30));
    rig_close(&r);
}

/* Without earlier positions in reach, the output is that of a fresh stack: rotary angles count from
 * anywhere, only differences matter (up to rounding). */
static void only_distances_matter(void **state) {
    (void)state;
    for (int adjacent = 0; adjacent < 2; adjacent++) {
        rig r;
        rig_open(&r, 2, 2, 7, adjacent == 1);
        fill(in, POSITIONS * WIDTH, 9);
        run(&r, in, a, 36, BATCH);
        run(&r, in + (size_t)16 * WIDTH, b, 20, BATCH); /* positions 12 and on see nothing before */
        for (int t = 12; t < 20; t++)
            for (int i = 0; i < WIDTH; i++) {
                const float x = a[(t + 16) * WIDTH + i], y = b[t * WIDTH + i];
                if (fabsf(x - y) > 1e-4f) fail_msg("position %d: %g and %g", t, x, y);
            }
        rig_close(&r);
    }
}

static void rotary_pairings_differ(void **state) {
    (void)state;
    rig r;
    fill(in, POSITIONS * WIDTH, 9);
    rig_open(&r, 2, 2, 0, false);
    run(&r, in, a, 8, 8);
    rig_close(&r);
    rig_open(&r, 2, 2, 0, true);
    run(&r, in, b, 8, 8);
    assert_memory_equal(a, b, WIDTH * sizeof *a); /* position 0 is not turned */
    assert_memory_not_equal(a + WIDTH, b + WIDTH, WIDTH * sizeof *a);
    rig_close(&r);
}

static void reset_equals_fresh(void **state) {
    (void)state;
    rig r;
    rig_open(&r, 0, 2, 7, false);
    fill(in, POSITIONS * WIDTH, 9);
    run(&r, in, a, POSITIONS, BATCH);
    fill(in, POSITIONS * WIDTH, 10);
    run(&r, in, b, 33, BATCH); /* something else in between */
    fill(in, POSITIONS * WIDTH, 9);
    run(&r, in, b, POSITIONS, BATCH);
    assert_memory_equal(a, b, sizeof a);
    rig_close(&r);
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
    rig r;
    rig_open(&r, 0, 2, 0, false);
    fill(in, POSITIONS * WIDTH, 9);
    run(&r, in, a, 5, 5);
    taps_seen = 0;
    r.state.tap = on_layer;
    run(&r, in, b, 5, 5);
    assert_int_equal(taps_seen, 2);
    assert_memory_equal(a, b, 5 * WIDTH * sizeof *a); /* looking changes nothing */
    rig_close(&r);
}

static void missing_and_wrong_tensors_are_named(void **state) {
    (void)state;
    rig r;
    rig_open(&r, 0, 2, 0, false);
    lfm2_weights w;
    r.config.layer_count = 3;
    lfm2_load(&r.s.l, &r.config, &w);
    assert_int_equal(r.s.l.status, RNL_ERR_FORMAT);
    assert_non_null(strstr(r.s.error.text, "blk.2.attn_norm.weight"));
    r.s.l.status = RNL_OK;
    r.config.layer_count = 2;
    r.config.kv_head_count[1] = 4; /* the file has 2 */
    lfm2_load(&r.s.l, &r.config, &w);
    assert_int_equal(r.s.l.status, RNL_ERR_FORMAT);
    assert_non_null(strstr(r.s.error.text, "blk.1.attn_k.weight"));
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_batch_gives_the_same_bits),
        cmocka_unit_test(a_position_sees_what_it_may_see),
        cmocka_unit_test(only_distances_matter),
        cmocka_unit_test(rotary_pairings_differ),
        cmocka_unit_test(reset_equals_fresh),
        cmocka_unit_test(the_tap_sees_each_layer),
        cmocka_unit_test(missing_and_wrong_tensors_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
