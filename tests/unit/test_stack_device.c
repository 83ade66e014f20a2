/* Passes on a device that fails in the ways of drivers (support/fake_device.h): whatever it does,
 * the states and outputs are those of the CPU, bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/device_count.h"
#include "tests/support/fake_device.h"
#include "tests/support/layers.h"

enum { WIDTH = LAYERS_WIDTH, POSITIONS = LAYERS_POSITIONS, BATCH = LAYERS_BATCH };

static layers r;
static float in[POSITIONS * WIDTH], other[POSITIONS * WIDTH];
static float alone[POSITIONS * WIDTH], out[POSITIONS * WIDTH];

typedef struct told {
    int count;
    char text[RNL_ERROR_TEXT_CAP];
} told;

static void tell(void *context, const rnl_error *why) {
    told *t = context;
    t->count++;
    memcpy(t->text, why->text, sizeof t->text);
}

typedef struct rig {
    stack_device *device;
    stack_placed *placed;
    told told;
    rnl_error error;
} rig;

static void open_layers(void) {
    stack_layer_config config[] = {layers_config(&stack_convolution, 0),
                                   layers_config(&stack_attention, 2),
                                   layers_config(&stack_convolution, 0)};
    layers_open(&r, config, 3, POSITIONS, false);
    layers_fill(in, POSITIONS, 9);
    layers_run(&r, in, alone, POSITIONS, BATCH);
}

static rnl_status open_device(rig *g, const fake_plan *plan, int deadline_ms) {
    rnl_device_config config = {.device = "npu", .context_cap = 4096, .deadline_ms = deadline_ms};
    memset(g, 0, sizeof *g);
    fake_begin(plan);
    return stack_device_open(fake_row.ops, &config, "fake", tell, &g->told, &g->device, &g->error);
}

static rnl_status load(rig *g) {
    const stack_device_room room = {.row_cap = LAYERS_STATES * BATCH,
                                    .position_cap = POSITIONS,
                                    .cache = r.w.cache,
                                    .exact = r.s.c.exact};
    return stack_device_load(g->device, &r.w, &room, &g->placed, &g->error);
}

/* Layers whose passes go to the device. */
static void begin(rig *g, const fake_plan *plan, int deadline_ms) {
    open_layers();
    if (open_device(g, plan, deadline_ms) != RNL_OK || load(g) != RNL_OK)
        fail_msg("%s", g->error.text);
    for (int i = 0; i < LAYERS_STATES; i++)
        if (stack_placed_attach(g->placed, &r.states[i], &g->error) != RNL_OK)
            fail_msg("%s", g->error.text);
    r.work.on = g->placed;
}

static void end(rig *g) {
    const bool hangs = stack_device_hangs(g->device);
    for (int i = 0; i < LAYERS_STATES; i++) stack_placed_detach(&r.states[i]);
    stack_device_unload(&g->placed);
    stack_device_close(&g->device);
    assert_null(g->device);
    if (!hangs) layers_close(&r); /* else the device may be reading them */
    if (!hangs) assert_int_equal(fake_open(), 0);
}

static void a_device_has_the_bits_of_the_cpu(void **state) {
    rig g;
    (void)state;
    begin(&g, &(fake_plan){0}, 10000);
    layers_run(&r, in, out, POSITIONS, 1);
    assert_memory_equal(out, alone, sizeof out);
    assert_int_equal(fake_passes(), POSITIONS);
    assert_int_equal(stack_placed_count(g.placed), POSITIONS);
    layers_check_cuts(&r);
    layers_check_together(&r);
    layers_check_return(&r);
    assert_int_equal(g.told.count, 0);
    end(&g);
}

/* Passes of a state by turns, as a seed has them: the copy that the device keeps is brought up to
 * date behind the CPU's, after a return from another way to an earlier position, too. */
static void device_and_cpu_take_turns(void **state) {
    rig g;
    (void)state;
    begin(&g, &(fake_plan){0}, 10000);
    stack_state *s = &r.states[0];
    layers_fill(other, POSITIONS, 10);
    for (uint32_t seed = 1; seed < 64; seed++) {
        uint32_t bits = seed * 2654435761u;
        unsigned char *fixed = malloc(s->fixed_size);
        int64_t kept = -1;
        assert_non_null(fixed);
        stack_reset(s);
        memcpy(out, in, sizeof out);
        while (s->position < POSITIONS) {
            const int left = POSITIONS - (int)s->position;
            const int count = 1 + (int)(bits >> 8) % 5 % left;
            float *x = out + s->position * WIDTH;
            const float *from = (kept > 0 ? other : in) + s->position * WIDTH;
            memcpy(x, from, sizeof *x * (size_t)(count * WIDTH));
            r.work.on = bits % 2 == 0 ? g.placed : NULL;
            layers_forward(&r, s, x, count);
            bits = bits * 1664525u + 1013904223u;
            if (kept < 0 && s->position > 11) {
                kept = s->position;
                memcpy(fixed, s->fixed, s->fixed_size);
            } else if (kept > 0 && s->position > 29) {
                s->position = kept;
                memcpy(s->fixed, fixed, s->fixed_size);
                kept = 0;
            }
        }
        free(fixed);
        if (memcmp(out, alone, sizeof out) != 0) fail_msg("seed %u differs", seed);
    }
    assert_true(fake_passes() > POSITIONS);
    end(&g);
}

static void check_goes_on(const fake_plan *plan, int deadline_ms, int passes, const char *why) {
    rig g;
    begin(&g, plan, deadline_ms);
    layers_run(&r, in, out, POSITIONS, 3);
    assert_memory_equal(out, alone, sizeof out);
    assert_int_equal(fake_passes(), passes);
    assert_int_equal(g.told.count, 1);
    assert_non_null(strstr(g.told.text, why));
    assert_false(stack_device_usable(g.device));
    layers_run(&r, in, out, POSITIONS, 3); /* never asked again, and nothing more is told */
    assert_memory_equal(out, alone, sizeof out);
    assert_int_equal(fake_passes(), passes);
    assert_int_equal(g.told.count, 1);
    end(&g);
}

static void a_lost_device_is_followed_by_the_cpu(void **state) {
    (void)state;
    check_goes_on(&(fake_plan){.lost_at = 1}, 10000, 1, "the fake is lost");
    check_goes_on(&(fake_plan){.lost_at = 5}, 10000, 5, "the fake is lost");
    check_goes_on(&(fake_plan){.lost_at = 5, .torn = true}, 10000, 5, "lost halfway");
}

static void a_device_that_hangs_is_given_up(void **state) {
    (void)state;
    check_goes_on(&(fake_plan){.hangs_at = 4}, 2000, 4, "did not answer within 2 s");
}

static void what_looks_into_layers_stays_on_the_cpu(void **state) {
    rig g;
    (void)state;
    begin(&g, &(fake_plan){0}, 10000);
    linear_adapter none = {0};
    const linear_span span = {.adapter = &none, .scale = 0, .count = INT64_MAX};
    linear_pair *pairs[64] = {0};
    none.pairs = pairs;
    r.s.c.spans = &span;
    r.s.c.span_count = 1;
    layers_run(&r, in, out, POSITIONS, BATCH);
    r.s.c.spans = NULL;
    assert_int_equal(fake_passes(), 0);
    assert_memory_equal(out, alone, sizeof out);
    stack_placed_detach(&r.states[0]); /* as one that the device has no room for */
    layers_run(&r, in, out, POSITIONS, BATCH);
    assert_int_equal(fake_passes(), 0);
    end(&g);
}

static rnl_status check(const fake_plan *plan, rig *g) {
    open_layers();
    assert_int_equal(open_device(g, plan, 10000), RNL_OK);
    const rnl_status status = stack_device_check(g->device, &r.s.c, &r.w, &g->error);
    end(g);
    return status;
}

static void a_device_is_checked_by_the_models_matrices(void **state) {
    rig g;
    (void)state;
    assert_int_equal(check(&(fake_plan){0}, &g), RNL_OK);
    assert_int_equal(check(&(fake_plan){.wrong_row = 7}, &g), RNL_ERR_DATA);
    assert_non_null(strstr(g.error.text, "row 6 of blk.1."));
    assert_int_equal(check(&(fake_plan){.noise = 1e-6f}, &g), RNL_ERR_DATA);
    assert_int_equal(check(&(fake_plan){.noise = 0.01f, .bound = 0.02f}, &g), RNL_OK);
    assert_int_equal(check(&(fake_plan){.noise = 0.03f, .bound = 0.02f}, &g), RNL_ERR_DATA);
    assert_non_null(strstr(g.error.text, "off by 0.03"));
    assert_int_equal(check(&(fake_plan){.noise = 0.01f, .bound = 0.02f, .wrong_row = 1}, &g),
                     RNL_ERR_DATA);
    assert_non_null(strstr(g.error.text, "row 0 of blk.1."));
    assert_int_equal(check(&(fake_plan){.bound = -1}, &g), RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(g.error.text, "(F32, "));
}

static void what_a_device_refuses_is_said(void **state) {
    rig g;
    (void)state;
    open_layers();
    assert_int_equal(open_device(&g, &(fake_plan){.no_library = "no such library"}, 1000),
                     RNL_ERR_IO);
    assert_string_equal(g.error.text, "no such library");
    assert_null(g.device);
    assert_int_equal(open_device(&g, &(fake_plan){.no_memory = "too little memory"}, 1000), RNL_OK);
    assert_int_equal(load(&g), RNL_ERR_MEMORY);
    assert_string_equal(g.error.text, "too little memory");
    end(&g);
    open_layers();
    assert_int_equal(open_device(&g, &(fake_plan){.hangs_opening = true}, 10), RNL_ERR_IO);
    assert_non_null(strstr(g.error.text, "did not answer within 0.06 s"));
    assert_null(g.device);
    layers_close(&r);
}

static void names_are_found_in_any_case(void **state) {
    const stack_device_facts facts = {.name = "Adreno (TM) 740", .driver = "OpenCL 3.0 QUALCOMM"};
    (void)state;
    assert_true(stack_device_named(&facts, NULL));
    assert_true(stack_device_named(&facts, "adreno"));
    assert_true(stack_device_named(&facts, "Qualcomm"));
    assert_false(stack_device_named(&facts, "Mali"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_has_the_bits_of_the_cpu),
        cmocka_unit_test(device_and_cpu_take_turns),
        cmocka_unit_test(a_lost_device_is_followed_by_the_cpu),
        cmocka_unit_test(what_looks_into_layers_stays_on_the_cpu),
        cmocka_unit_test(a_device_is_checked_by_the_models_matrices),
        cmocka_unit_test(what_a_device_refuses_is_said),
        cmocka_unit_test(names_are_found_in_any_case),
        cmocka_unit_test(a_device_that_hangs_is_given_up), /* last: its layers stay */
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed == 0)
        device_count_ran("fake", "test_stack_device", (int)(sizeof tests / sizeof *tests));
    return failed;
}
