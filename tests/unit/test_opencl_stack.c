/* Stacks on a GPU keep the laws of stacks, and are near the CPU; what a pass costs in launches. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/opencl.h"
#include "devices/opencl_driver.h"
#include "tests/support/golden.h"
#include "tests/support/gpu.h"
#include "tests/support/layers.h"

enum { WIDTH = LAYERS_WIDTH, POSITIONS = LAYERS_POSITIONS, BATCH = LAYERS_BATCH, LAYERS = 4 };

static layers r;
static float in[POSITIONS * WIDTH], want[POSITIONS * WIDTH], got[POSITIONS * WIDTH];

/* Windows, pairings, taps and shared feed-forward weights, as far as a GPU has them. */
static void open_layers(void) {
    stack_layer_config config[LAYERS] = {
        layers_config(&stack_convolution, 0), layers_config(&stack_attention, 2),
        layers_config(&stack_attention, 4), layers_config(&stack_convolution, 0)};
    config[0].taps = 5;
    config[1].window = 7;
    config[2].rotary = (stack_rotary){.base = 100, .pair_count = 3, .adjacent = true};
    config[2].ff_above = 1;
    config[3].taps = 1;
    layers_open(&r, config, LAYERS, POSITIONS, false);
    layers_fill(in, POSITIONS, 9);
}

typedef struct rig {
    stack_device *device;
    stack_placed *placed;
    rnl_error error;
} rig;

static rnl_status load(rig *g, kernels_cache cache) {
    const stack_device_room room = {.row_cap = LAYERS_STATES * BATCH,
                                    .position_cap = POSITIONS,
                                    .cache = cache,
                                    .exact = r.s.c.exact};
    return stack_device_load(g->device, &r.w, &room, &g->placed, &g->error);
}

static void open_device(rig *g) {
    const rnl_device_config config = gpu_config();
    memset(g, 0, sizeof *g);
    if (stack_device_open(&opencl_ops, &config, NULL, NULL, NULL, &g->device, &g->error) != RNL_OK)
        fail_msg("%s", g->error.text);
}

static void attach(rig *g) {
    for (int i = 0; i < LAYERS_STATES; i++)
        if (stack_placed_attach(g->placed, &r.states[i], &g->error) != RNL_OK)
            fail_msg("%s", g->error.text);
    r.work.on = g->placed;
}

static void close_device(rig *g) {
    assert_true(stack_device_usable(g->device));
    for (int i = 0; i < LAYERS_STATES; i++) stack_placed_detach(&r.states[i]);
    stack_device_unload(&g->placed);
    stack_device_close(&g->device);
    r.work.on = NULL;
}

static void stacks_keep_the_laws(void **state) {
    rig g;
    (void)state;
    gpu_begin();
    open_layers();
    layers_run(&r, in, want, POSITIONS, BATCH);
    open_device(&g);
    if (load(&g, r.w.cache) != RNL_OK) fail_msg("%s", g.error.text);
    attach(&g);
    layers_run(&r, in, got, POSITIONS, BATCH);
    assert_int_equal(stack_placed_count(g.placed), (POSITIONS + BATCH - 1) / BATCH);
    assert_true(golden_off(got, want, POSITIONS * WIDTH) < 1e-6);
    if (getenv("RUNNEL_TEST_SHORT") != NULL) { /* Oclgrind interprets every work-item */
        layers_run(&r, in, want, 7, 3);
        assert_memory_equal(want, got, sizeof *got * 7 * WIDTH);
    } else {
        layers_check_cuts(&r);
        layers_check_together(&r);
        layers_check_return(&r);
    }
    close_device(&g);
    layers_close(&r);
}

/* What the device appends is what the CPU reads on, and the other way round. */
static void the_cpu_goes_on_where_the_device_was(void **state) {
    rig g;
    (void)state;
    gpu_begin();
    open_layers();
    layers_run(&r, in, want, POSITIONS, BATCH);
    open_device(&g);
    if (load(&g, r.w.cache) != RNL_OK) fail_msg("%s", g.error.text);
    attach(&g);
    stack_reset(&r.states[0]);
    memcpy(got, in, sizeof got);
    for (int at = 0, count = 1; at < POSITIONS; at += count, count = at % 3 + 1) {
        if (count > POSITIONS - at) count = POSITIONS - at;
        r.work.on = count == 2 ? NULL : g.placed;
        layers_forward(&r, &r.states[0], got + at * WIDTH, count);
    }
    assert_true(golden_off(got, want, POSITIONS * WIDTH) < 1e-6);
    close_device(&g);
    layers_close(&r);
}

/* ---- Caches ---- */

enum { HEAD = 32, KEPT = 12 };

/* Two attention layers of one head each, a multiple of the cache's blocks wide. */
static void open_heads(void) {
    stack_layer_config config = layers_config(&stack_attention, 1);
    config.head_count = config.kv_head_count = 1;
    config.head_width = HEAD;
    config.rotary.pair_count = HEAD / 2;
    const stack_layer_config both[] = {config, config};
    layers_open(&r, both, 2, POSITIONS, false);
    layers_fill(in, POSITIONS, 9);
}

static void *place_state(stack_state *s, kernels_cache cache) {
    arena kept = {0}, appended = {0};
    stack_state_layout(s, &r.w, cache, POSITIONS, BATCH, &kept, &appended);
    unsigned char *memory = aligned_alloc(ARENA_ALIGN, kept.size_used + appended.size_used);
    assert_non_null(memory);
    memset(memory, 0, kept.size_used + appended.size_used); /* what lies between rows */
    arena a = {.base = memory, .size_cap = kept.size_used};
    arena b = {.base = memory + kept.size_used, .size_cap = appended.size_used};
    stack_state_layout(s, &r.w, cache, POSITIONS, BATCH, &a, &b);
    stack_reset(s);
    return memory;
}

/* Rows of the cache are rounded as the CPU rounds them: few differ, where a key does in its last
 * bit. */
static void every_cache_is_kept_as_the_cpu_keeps_it(void **state) {
    static const kernels_cache caches[] = {KERNELS_CACHE_F32, KERNELS_CACHE_F16,
                                           KERNELS_CACHE_Q8_0};
    static const double allowed[] = {1e-6, 1e-3, 1e-2};
    (void)state;
    gpu_begin();
    for (size_t c = 0; c < sizeof caches / sizeof *caches; c++) {
        rig g;
        stack_state s, copy;
        open_heads();
        void *const memory = place_state(&s, caches[c]);
        memcpy(want, in, sizeof want);
        layers_forward(&r, &s, want, KEPT);
        for (int at = KEPT; at < POSITIONS; at++) layers_forward(&r, &s, want + at * WIDTH, 1);
        void *const other = place_state(&copy, caches[c]);
        open_device(&g);
        if (load(&g, caches[c]) != RNL_OK ||
            stack_placed_attach(g.placed, &copy, &g.error) != RNL_OK)
            fail_msg("%s", g.error.text);
        r.work.on = g.placed;
        memcpy(got, in, sizeof got);
        layers_forward(&r, &copy, got, KEPT);
        for (int at = KEPT; at < POSITIONS; at++) layers_forward(&r, &copy, got + at * WIDTH, 1);
        assert_int_equal(stack_placed_count(g.placed), 1 + POSITIONS - KEPT);
        const double found = golden_off(got, want, POSITIONS * WIDTH);
        if (!(found < allowed[c])) fail_msg("cache %zu: off by %g", c, found);
        size_t differ = 0;
        for (size_t i = 0; i < s.appended_size; i++)
            differ += s.appended_base[i] != copy.appended_base[i] && caches[c] != KERNELS_CACHE_F32;
        assert_true(differ * 50 < s.appended_size);
        stack_placed_detach(&copy);
        close_device(&g);
        layers_close(&r);
        free(memory), free(other);
    }
}

/* ---- What a pass costs ---- */

typedef struct counts {
    int64_t launches, waits;
} counts;

static rnl_status count_calls(void *device, void *context, rnl_error *error) {
    counts *c = context;
    (void)error;
    *c = (counts){gpu_launch_count(device), gpu_wait_count(device)};
    return RNL_OK;
}

static counts count(rig *g) {
    static counts c; /* the device's thread writes it */
    assert_int_equal(stack_device_call(g->device, count_calls, &c, 1, &g->error), RNL_OK);
    return c;
}

static void a_row_is_seven_launches_a_layer_and_one_wait(void **state) {
    enum { LAUNCHES = 7 };
    rig g;
    (void)state;
    gpu_begin();
    open_layers();
    open_device(&g);
    if (load(&g, r.w.cache) != RNL_OK) fail_msg("%s", g.error.text);
    attach(&g);
    for (int rows = 1; rows <= BATCH; rows += BATCH - 1) {
        const counts before = count(&g);
        layers_run(&r, in, got, rows, rows);
        const counts after = count(&g);
        /* The last norm; and rows that attend to each other are kept first. */
        assert_true(after.launches - before.launches <= LAUNCHES * LAYERS + 1 + (rows > 1 ? 2 : 0));
        assert_true(after.launches - before.launches >= LAYERS);
        assert_int_equal(after.waits - before.waits, 1);
    }
    close_device(&g);
    layers_close(&r);
}

/* A pass that has gone through, but was not taken, has changed nothing of the host's. */
static void nothing_changes_before_it_is_taken(void **state) {
    (void)state;
    gpu_begin();
    open_layers();
    const rnl_device_config config = gpu_config();
    const stack_device_room room = {
        .row_cap = BATCH, .position_cap = POSITIONS, .cache = r.w.cache, .exact = r.s.c.exact};
    stack_state *s = &r.states[0];
    void *device, *stack, *mirror;
    stack_device_facts facts;
    rnl_error error;
    layers_run(&r, in, want, 2 * BATCH, BATCH);
    unsigned char *fixed = malloc(s->fixed_size), *appended = malloc(s->appended_size);
    assert_true(fixed != NULL && appended != NULL);
    s->position = BATCH; /* the second pass again: the tails are others, so is what comes out */
    memcpy(fixed, s->fixed, s->fixed_size);
    memcpy(appended, s->appended_base, s->appended_size);
    if (opencl_ops.open(&config, NULL, &device, &facts, &error) != RNL_OK ||
        opencl_ops.load(device, &r.w, &room, &stack, &error) != RNL_OK ||
        opencl_ops.attach(stack, s, &mirror, &error) != RNL_OK)
        fail_msg("%s", error.text);
    s->mirror = mirror;
    const stack_piece piece = {.state = s, .count = BATCH};
    stack_forward_begin(&r.work, &piece, 1);
    const stack_pass pass = {
        .work = &r.work, .c = &r.s.c, .pieces = &piece, .piece_count = 1, .row_count = BATCH};
    memcpy(got, in, sizeof got);
    assert_int_equal(opencl_ops.forward(stack, &pass, got, &error), RNL_DONE);
    assert_memory_equal(got, in, sizeof got);
    assert_memory_equal(s->fixed, fixed, s->fixed_size);
    assert_memory_equal(s->appended_base, appended, s->appended_size);
    opencl_ops.take(stack, &pass, got);
    assert_memory_not_equal(got, in, sizeof *got * BATCH * WIDTH);
    assert_memory_not_equal(s->fixed, fixed, s->fixed_size);
    assert_int_equal(s->position, BATCH);
    const size_t size = opencl_ops.memory(stack);
    opencl_ops.detach(stack, mirror);
    assert_true(opencl_ops.memory(stack) < size);
    opencl_ops.unload(stack);
    opencl_ops.close(device);
    free(fixed), free(appended);
    layers_close(&r);
}

/* ---- What it does not compute ---- */

static void check_refused(const stack_layer_config *config, int position_cap, bool optional,
                          const char *why) {
    rig g;
    const stack_layer_config both[] = {layers_config(&stack_attention, 0), *config};
    layers_open(&r, both, 2, position_cap, optional);
    open_device(&g);
    const stack_device_room room = {
        .row_cap = BATCH, .position_cap = position_cap, .cache = r.w.cache};
    assert_int_equal(stack_device_load(g.device, &r.w, &room, &g.placed, &g.error),
                     RNL_ERR_UNSUPPORTED);
    if (strstr(g.error.text, why) == NULL) fail_msg("%s", g.error.text);
    stack_device_close(&g.device);
    layers_close(&r);
}

static void other_layers_are_refused(void **state) {
    (void)state;
    gpu_begin();
    stack_layer_config l = layers_config(&stack_linear_attention, 0);
    check_refused(&l, POSITIONS, false, "layer 1 has another operator");
    l = layers_config(&stack_attention, 0);
    l.kv_above = 1;
    check_refused(&l, POSITIONS, false, "layer 1 shares its keys");
    check_refused(&l, POSITIONS, true, "layer 0 has norms behind its parts");
    l = layers_config(&stack_convolution, 0);
    l.kinds[STACK_FEED_FORWARD] = &stack_experts;
    l.expert_count = 4;
    l.expert_used = 2;
    l.expert_scale = 1;
    check_refused(&l, POSITIONS, false, "layer 1 has another feed-forward part");
}

/* ---- Opening ---- */

static void what_is_not_there_is_refused(void **state) {
    (void)state;
    gpu_begin();
    rnl_device_config config = gpu_config();
    stack_device_entry entries[8];
    stack_device_facts facts;
    rnl_error error;
    void *device;
    const int found = opencl_ops.list(&config, entries, 8);
    assert_true(found >= 1 && entries[0].refusal.status == RNL_OK);
    assert_true(entries[0].facts.name[0] != '\0' && entries[0].facts.driver[0] != '\0');
    assert_int_equal(opencl_ops.open(&config, "no such GPU", &device, &facts, &error),
                     RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "no such GPU"));
    config.opencl_path = "/nowhere/libOpenCL.so";
    assert_int_equal(opencl_ops.list(&config, entries, 8), 1);
    assert_string_equal(entries[0].facts.name, "");
    assert_non_null(strstr(entries[0].refusal.text, "/nowhere/libOpenCL.so"));
    assert_true(opencl_ops.open(&config, NULL, &device, &facts, &error) < 0);
    assert_null(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks_keep_the_laws),
        cmocka_unit_test(the_cpu_goes_on_where_the_device_was),
        cmocka_unit_test(every_cache_is_kept_as_the_cpu_keeps_it),
        cmocka_unit_test(a_row_is_seven_launches_a_layer_and_one_wait),
        cmocka_unit_test(nothing_changes_before_it_is_taken),
        cmocka_unit_test(other_layers_are_refused),
        cmocka_unit_test(what_is_not_there_is_refused),
    };
    return gpu_run("test_opencl_stack", tests, sizeof tests / sizeof *tests);
}
