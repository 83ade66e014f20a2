/* The stack of layers by itself, on small random weights: what its header promises of positions,
 * sequences, windows, taps and rotary pairs. Its numbers against the reference: tests/golden. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "stack/kind.h"
#include "tests/support/stage.h"

enum {
    WIDTH = 32,
    HEADS = 4,
    HEAD_WIDTH = 8,
    FF = 48,
    TAPS = 3,
    POSITIONS = 40,
    BATCH = 16,
    STATES = 5
};

typedef struct rig {
    stage s;
    stack_config config;
    stack_weights w;
    stack_state states[STATES];
    stack_work work;
    void *memory[STATES];
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

/* kv_heads 0: a convolution. */
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

static void fill_numbers(void) {
    random_state random;
    random_seed(&random, 4);
    for (size_t i = 0; i < sizeof pool_of_numbers / sizeof *pool_of_numbers; i++)
        pool_of_numbers[i] = (float)(random_unit(&random) - 0.5);
    numbers_used = 0;
}

/* Loads what was added, and places the states. */
static void rig_load(rig *r, int position_cap) {
    add(r, "token_embd_norm.weight", WIDTH, 1);
    if (stack_check(&r->config, "rig", &r->s.error) != RNL_OK) fail_msg("%s", r->s.error.text);
    stack_load(&r->s.l, &r->config, &r->w);
    stage_check(&r->s);
    for (int i = 0; i < STATES; i++) {
        arena kept = {0}, appended = {0};
        stack_state_layout(&r->states[i], &r->w, r->w.cache, position_cap, BATCH, &kept, &appended);
        const size_t size = kept.size_used + appended.size_used;
        r->memory[i] = aligned_alloc(ARENA_ALIGN, size);
        assert_non_null(r->memory[i]);
        memset(r->memory[i], 0xff, size); /* NaN: nothing is right by luck */
        arena a = {.base = r->memory[i], .size_cap = kept.size_used};
        arena b = {.base = (unsigned char *)r->memory[i] + kept.size_used,
                   .size_cap = appended.size_used};
        stack_state_layout(&r->states[i], &r->w, r->w.cache, position_cap, BATCH, &a, &b);
        stack_reset(&r->states[i]);
    }
    stack_work_layout(&r->work, &r->w, STATES * BATCH, position_cap, 2, &r->s.scratch);
}

static stack_layer_config layer_of(int kv_heads, int window, bool adjacent) {
    return (stack_layer_config){
        .kinds = {kv_heads > 0 ? &stack_attention : &stack_convolution, &stack_dense},
        .head_count = HEADS,
        .kv_head_count = kv_heads,
        .head_width = HEAD_WIDTH,
        .window = window,
        .rotary = {.base = 1e4, .pair_count = HEAD_WIDTH / 2, .adjacent = adjacent},
        .taps = TAPS};
}

static void rig_begin(rig *r, int layer_count) {
    fill_numbers();
    memset(r, 0, sizeof *r);
    stage_open(&r->s, 2, FF);
    r->config = (stack_config){.width = WIDTH, .layer_count = layer_count, .eps = 1e-5f};
}

/* Two layers, of the kinds told by their key/value heads; a stack with a window is a stream. */
static void rig_open(rig *r, int first, int second, int window, bool adjacent) {
    rig_begin(r, 2);
    r->config.layers[0] = layer_of(first, window, adjacent);
    r->config.layers[1] = layer_of(second, window, adjacent);
    add_layer(r, 0, first);
    add_layer(r, 1, second);
    rig_load(r, window > 0 ? 0 : POSITIONS);
}

static void rig_close(rig *r) {
    stage_close(&r->s);
    for (int i = 0; i < STATES; i++) free(r->memory[i]);
}

static void fill(float *x, size_t count, uint64_t seed) {
    random_state random;
    random_seed(&random, seed);
    for (size_t i = 0; i < count; i++) x[i] = (float)(random_unit(&random) - 0.5);
}

static void forward(rig *r, stack_state *state, float *x, int count) {
    const stack_piece piece = {.state = state, .count = count};
    stack_forward(&r->work, &r->s.c, &piece, 1, x);
}

/* All positions from fresh, in passes of at most `batch`. */
static void run(rig *r, const float *in, float *out, int count, int batch) {
    stack_state *state = &r->states[0];
    stack_reset(state);
    memcpy(out, in, (size_t)count * WIDTH * sizeof *out);
    for (int at = 0; at < count; at += batch)
        forward(r, state, out + (size_t)at * WIDTH, count - at < batch ? count - at : batch);
    assert_int_equal(state->position, count);
}

static float in[POSITIONS * WIDTH], a[POSITIONS * WIDTH], b[POSITIONS * WIDTH];

static const int kinds[][3] = {{0, 2, 0}, {4, 1, 0}, {0, 0, 0}, {2, 2, 7}, {0, 4, 7}};
enum { KIND_COUNT = sizeof kinds / sizeof *kinds };

static void any_cut_gives_the_same_bits(void **state) {
    (void)state;
    for (size_t k = 0; k < KIND_COUNT; k++) {
        static rig r;
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

/* Sequences of one pass do not see each other: STATES of them, each POSITIONS long, go through in
 * passes of some of them with some rows each; every row must be that of a run alone. */
static void check_together(rig *r, uint64_t seed) {
    static float alone[STATES][POSITIONS * WIDTH], x[STATES * BATCH * WIDTH];
    random_state random;
    random_seed(&random, seed);
    int at[STATES] = {0}, done = 0;
    for (int i = 0; i < STATES; i++) {
        fill(in, POSITIONS * WIDTH, 100 + (uint64_t)i);
        run(r, in, alone[i], POSITIONS, BATCH);
    }
    for (int i = 0; i < STATES; i++) stack_reset(&r->states[i]);
    while (done < STATES) {
        stack_piece pieces[STATES];
        int owners[STATES], count = 0, rows = 0;
        for (int i = STATES - 1; i >= 0; i--) {
            const int left = POSITIONS - at[i];
            if (left == 0 || random_unit(&random) < 0.3) continue;
            const int most = random_unit(&random) < 0.5 ? 1 : left < BATCH ? left : BATCH;
            owners[count] = i;
            pieces[count] = (stack_piece){.state = &r->states[i],
                                          .count = 1 + (int)(random_unit(&random) * most)};
            if (pieces[count].count > left) pieces[count].count = left;
            fill(in, POSITIONS * WIDTH, 100 + (uint64_t)i);
            memcpy(x + rows * WIDTH, in + at[i] * WIDTH,
                   (size_t)pieces[count].count * WIDTH * sizeof *x);
            rows += pieces[count++].count;
        }
        if (count == 0) continue;
        stack_forward(&r->work, &r->s.c, pieces, count, x);
        rows = 0;
        for (int p = 0; p < count; p++) {
            const int i = owners[p], n = pieces[p].count;
            if (memcmp(x + rows * WIDTH, alone[i] + at[i] * WIDTH, (size_t)n * WIDTH * sizeof *x) !=
                0)
                fail_msg("seed %llu: sequence %d differs at %d", (unsigned long long)seed, i,
                         at[i]);
            rows += n;
            at[i] += n;
            done += at[i] == POSITIONS;
        }
    }
}

static void sequences_of_one_pass_get_the_bits_they_get_alone(void **state) {
    (void)state;
    for (size_t k = 0; k < KIND_COUNT; k++) {
        static rig r;
        rig_open(&r, kinds[k][0], kinds[k][1], kinds[k][2], false);
        for (uint64_t seed = 1; seed <= 6; seed++) check_together(&r, seed);
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
    static rig r;
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
        static rig r;
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
    static rig r;
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
    static rig r;
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
    static rig r;
    rig_open(&r, 0, 2, 0, false);
    fill(in, POSITIONS * WIDTH, 9);
    run(&r, in, a, 5, 5);
    taps_seen = 0;
    r.work.tap = on_layer;
    run(&r, in, b, 5, 5);
    assert_int_equal(taps_seen, 2);
    assert_memory_equal(a, b, 5 * WIDTH * sizeof *a); /* looking changes nothing */
    rig_close(&r);
}

static void missing_and_wrong_tensors_are_named(void **state) {
    (void)state;
    static rig r;
    rig_open(&r, 0, 2, 0, false);
    static stack_weights w;
    r.config.layer_count = 3;
    r.config.layers[2] = layer_of(2, 0, false);
    stack_load(&r.s.l, &r.config, &w);
    assert_int_equal(r.s.l.status, RNL_ERR_FORMAT);
    assert_non_null(strstr(r.s.error.text, "blk.2.attn_norm.weight"));
    r.s.l.status = RNL_OK;
    r.config.layer_count = 2;
    r.config.layers[1].kv_head_count = 4; /* the file has 2 */
    stack_load(&r.s.l, &r.config, &w);
    assert_int_equal(r.s.l.status, RNL_ERR_FORMAT);
    assert_non_null(strstr(r.s.error.text, "blk.1.attn_k.weight"));
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_gives_the_same_bits),
        cmocka_unit_test(sequences_of_one_pass_get_the_bits_they_get_alone),
        cmocka_unit_test(a_position_sees_what_it_may_see),
        cmocka_unit_test(only_distances_matter),
        cmocka_unit_test(rotary_pairings_differ),
        cmocka_unit_test(reset_equals_fresh),
        cmocka_unit_test(the_tap_sees_each_layer),
        cmocka_unit_test(missing_and_wrong_tensors_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
