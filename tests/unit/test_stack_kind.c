/* A kind of layer that nobody else knows: a decaying sum. It goes through the laws of the stack,
 * and as a layer of a whole model through snapshots, rewinds and turns of a session, with no line
 * for it outside this file. Experts go the same way, in the place of dense parts, and linear
 * attention and state spaces in the place of convolutions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "engine/session.h"
#include "tests/support/layers.h"
#include "tests/support/rig.h"

/* ---- The kind ---- */

typedef struct decay_weights {
    matrix in, out; /* [width, width] */
} decay_weights;

static const stack_tensor tensors[] = {
    {"decay_in.weight", STACK_MATRIX, STACK_PLAIN, offsetof(decay_weights, in), stack_width,
     stack_width},
    {"decay_out.weight", STACK_MATRIX, STACK_PLAIN, offsetof(decay_weights, out), stack_width,
     stack_width},
};

static size_t fixed_size(const stack_state *s, int layer) {
    (void)layer;
    return (size_t)s->w->config.width * sizeof(float);
}

static void layout(const stack_work *k, int layer, arena *scratch) {
    (void)layer;
    (void)arena_take(scratch, (size_t)k->row_cap * (size_t)k->w->config.width, sizeof(float));
}

/* sum <- 0.75 sum + in(normed); x += out(sum) */
static void forward(const stack_pass *p, int layer, float *x) {
    const stack_part *part = stack_part_at(p->work->w, layer, STACK_OPERATOR);
    const decay_weights *own = part->weights;
    const size_t width = (size_t)p->work->w->config.width;
    float *row = (float *)(void *)p->work->scratch;
    linear(p->c, &own->in, NULL, p->work->normed, width, row, width, p->row_count);
    for (int i = 0; i < p->piece_count; i++) {
        float *sum = (float *)(void *)stack_fixed(p->pieces[i].state, layer, STACK_OPERATOR);
        for (int t = 0; t < p->pieces[i].count; t++, row += width)
            for (size_t c = 0; c < width; c++) row[c] = sum[c] = 0.75f * sum[c] + row[c];
    }
    stack_put(p, part, &own->out, NULL, (float *)(void *)p->work->scratch, width, x);
}

static const stack_kind decay = {.name = "decaying sum",
                                 .place = STACK_OPERATOR,
                                 .weights_size = sizeof(decay_weights),
                                 .tensors = tensors,
                                 .tensor_count = 2,
                                 .fixed_size = fixed_size,
                                 .layout = layout,
                                 .forward = forward};

/* ---- In a stack ---- */

static void it_keeps_the_laws_of_the_stack(void **state) {
    (void)state;
    static layers r;
    const stack_layer_config config[] = {
        layers_config(&decay, 0), layers_config(&stack_attention, 2), layers_config(&decay, 0)};
    for (int optional = 0; optional < 2; optional++) {
        layers_open(&r, config, 3, LAYERS_POSITIONS, optional == 1);
        layers_check_cuts(&r);
        layers_check_together(&r);
        layers_check_return(&r);
        layers_close(&r);
    }
}

static void tensors_and_costs_are_those_of_its_row(void **state) {
    (void)state;
    static layers r;
    const stack_layer_config config[] = {layers_config(&decay, 0)};
    layers_open(&r, config, 1, LAYERS_POSITIONS, false);
    const double elements = 2 * LAYERS_WIDTH * LAYERS_WIDTH + 3 * LAYERS_WIDTH * LAYERS_FF;
    const stack_cost cost = stack_cost_of(&r.w, r.w.cache, 10, 1);
    assert_true(cost.byte_count == 4 * elements && cost.op_count == 2 * elements);
    assert_true(cost.kept_size == 0);
    int layer = -1;
    assert_ptr_equal(stack_find_tensor(&r.config, "blk.0.decay_out.weight", &layer), &tensors[1]);
    assert_int_equal(layer, 0);
    assert_null(stack_find_tensor(&r.config, "blk.0.attn_q.weight", &layer));
    assert_null(stack_find_tensor(&r.config, "blk.1.decay_out.weight", &layer));
    assert_int_equal(stack_layers_of(&r.config, &decay), 1);
    layers_close(&r);
}

/* ---- In a session ---- */

enum { STEPS = 60, FRAME = 1920, EXPERTS = 5, USED = 2 };

static rnl_model *model;
static float *numbers;
static decay_weights own;
static stack_expert_weights experts;
static matrix members[3 * EXPERTS];

static void make_numbers(size_t count) {
    random_state random;
    random_seed(&random, 11);
    numbers = malloc(count * sizeof *numbers);
    assert_non_null(numbers);
    for (size_t i = 0; i < count; i++) numbers[i] = (float)(0.2 * (random_unit(&random) - 0.5));
}

/* The dense parts of the tiny checkpoint become experts. */
static int setup_experts(void **state) {
    (void)state;
    model = rig_model("tiny");
    stack_weights *w = &model->backbone.stack;
    const int64_t width = w->config.width, ff = w->config.layers[0].ff_width;
    const size_t cells = (size_t)(width * ff);
    make_numbers(3 * EXPERTS * cells + EXPERTS * (size_t)width);
    for (int i = 0; i < 3 * EXPERTS; i++) {
        const bool down = i >= 2 * EXPERTS;
        members[i] = (matrix){.data = (const unsigned char *)(numbers + (size_t)i * cells),
                              .type = QUANT_F32,
                              .row_count = down ? width : ff,
                              .col_count = down ? ff : width,
                              .row_size = (size_t)(down ? ff : width) * sizeof(float)};
    }
    experts = (stack_expert_weights){
        .gate = members, .up = members + EXPERTS, .down = members + 2 * EXPERTS};
    experts.router = numbers + 3 * EXPERTS * cells;
    experts.scores = (matrix){.data = (const unsigned char *)experts.router,
                              .type = QUANT_F32,
                              .row_count = EXPERTS,
                              .col_count = width,
                              .row_size = (size_t)width * sizeof(float)};
    for (int i = 0; i < w->config.layer_count; i++) {
        stack_layer_config *l = &w->config.layers[i];
        l->kinds[STACK_FEED_FORWARD] = &stack_experts;
        l->expert_count = EXPERTS;
        l->expert_used = USED;
        l->expert_norm = true;
        l->expert_scale = 1;
        w->layers[i].parts[STACK_FEED_FORWARD].kind = &stack_experts;
        w->layers[i].parts[STACK_FEED_FORWARD].weights = &experts;
    }
    return 0;
}

/* Its convolutions become decaying sums. */
static int setup_decay(void **state) {
    (void)state;
    model = rig_model("tiny");
    stack_weights *w = &model->backbone.stack;
    const int64_t width = w->config.width;
    const size_t cells = (size_t)(width * width);
    make_numbers(2 * cells);
    own.in = (matrix){.data = (const unsigned char *)numbers,
                      .type = QUANT_F32,
                      .row_count = width,
                      .col_count = width,
                      .row_size = (size_t)width * sizeof(float)};
    own.out = own.in;
    own.out.data = (const unsigned char *)(numbers + cells);
    for (int i = 0; i < w->config.layer_count; i++) {
        if (w->config.layers[i].kinds[STACK_OPERATOR] != &stack_convolution) continue;
        w->config.layers[i].kinds[STACK_OPERATOR] = &decay;
        w->layers[i].parts[STACK_OPERATOR].kind = &decay;
        w->layers[i].parts[STACK_OPERATOR].weights = &own;
    }
    return 0;
}

static stack_linear_attention_weights linear_weights;
static stack_state_space_weights space_weights;

/* Numbers of the pool behind the others, as a matrix. */
static matrix cut(size_t *used, int64_t rows, int64_t cols) {
    const matrix m = {.data = (const unsigned char *)(numbers + *used),
                      .type = QUANT_F32,
                      .row_count = rows,
                      .col_count = cols,
                      .row_size = (size_t)cols * sizeof(float)};
    *used += (size_t)(rows * cols);
    return m;
}

static const float *cut_vector(size_t *used, int64_t count) {
    return (const float *)(const void *)cut(used, 1, count).data;
}

/* Its convolutions become linear attention of both kinds and state spaces in turn. */
static int setup_scans(void **state) {
    (void)state;
    enum { HEADS = 4, STATE = 8, TAPS = 4 };
    model = rig_model("tiny");
    stack_weights *w = &model->backbone.stack;
    const int64_t width = w->config.width, mixed = width + 2 * STATE;
    size_t used = 0;
    make_numbers((size_t)(10 * width * width + 1000 * width));
    linear_weights.q = cut(&used, width, width);
    linear_weights.k = cut(&used, width, width);
    linear_weights.v = cut(&used, width, width);
    linear_weights.out = cut(&used, width, width);
    linear_weights.norm = cut_vector(&used, width / HEADS);
    space_weights.in = cut(&used, width + mixed + HEADS, width);
    space_weights.out = cut(&used, width, width);
    space_weights.taps = cut_vector(&used, TAPS * mixed);
    space_weights.dt_bias = cut_vector(&used, HEADS);
    space_weights.a_log = cut_vector(&used, HEADS);
    space_weights.d = cut_vector(&used, HEADS);
    space_weights.norm = cut_vector(&used, width);
    int turn = 0;
    for (int i = 0; i < w->config.layer_count; i++) {
        stack_layer_config *l = &w->config.layers[i];
        stack_part *part = &w->layers[i].parts[STACK_OPERATOR];
        if (l->kinds[STACK_OPERATOR] != &stack_convolution) continue;
        const bool scans = turn % 3 != 2;
        l->linear = turn % 3 == 0 ? STACK_LINEAR_SUM : STACK_LINEAR_DECAY;
        l->head_count = HEADS;
        l->head_width = (int)width / HEADS;
        l->state_width = STATE;
        l->taps = TAPS;
        l->kinds[STACK_OPERATOR] = scans ? &stack_linear_attention : &stack_state_space;
        part->kind = l->kinds[STACK_OPERATOR];
        part->weights = scans ? (void *)&linear_weights : (void *)&space_weights;
        turn++;
    }
    assert_true(turn >= 3);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(numbers);
    rnl_model_close(&model);
    return 0;
}

static void begin(rnl_session *s, int step_max) {
    rnl_error error = {0};
    const rnl_turn_config turn = {
        .mode = RNL_MODE_INTERLEAVED,
        .text = {.temperature = 0.9f, .top_k = 20, .top_p = 1, .repeat_penalty = 1},
        .audio = {.temperature = 1.0f, .top_k = 4, .top_p = 1, .repeat_penalty = 1},
        .step_max = step_max,
        .text_run = 6,
        .audio_run = 12};
    if (rnl_session_begin(s, &turn, &error) != RNL_OK) fail_msg("%s", error.text);
}

static void ask(rnl_session *s) {
    rnl_session_reset(s);
    rig_text(s, RNL_ROLE_USER, "one two three");
    begin(s, STEPS);
}

static void steps(rnl_session *s, int count) {
    char text[256];
    float samples[FRAME];
    size_t got;
    for (int i = 0; i < count; i++) {
        assert_true(rnl_session_step(s, NULL) >= 0);
        while (rnl_session_pull_text(s, text, sizeof text, &got) == RNL_OK) continue;
        while (rnl_session_pull_samples(s, samples, FRAME, &got) == RNL_OK) continue;
    }
}

/* The rest of the reply of both, and a turn more, is the same. */
static void assert_same_way_on(rnl_session *s, rnl_session *other, bool again) {
    for (int turn = 0; turn < (again ? 2 : 1); turn++) {
        if (turn == 1) {
            rig_text(s, RNL_ROLE_USER, "and four");
            rig_text(other, RNL_ROLE_USER, "and four");
            begin(s, 25);
            begin(other, 25);
        }
        rig_result a = rig_run(s), b = rig_run(other);
        assert_string_equal(a.text, b.text);
        assert_int_equal(a.sample_count, b.sample_count);
        assert_memory_equal(a.samples, b.samples, a.sample_count * sizeof *a.samples);
        rig_free(&a);
        rig_free(&b);
    }
    assert_int_equal(s->fixed_size, other->fixed_size);
    assert_memory_equal(s->live->backbone.fixed, other->live->backbone.fixed, s->fixed_size);
}

static void a_snapshot_holds_it(void **state) {
    (void)state;
    rnl_session *s = rig_session(model, 2), *other = rig_session(model, 1);
    ask(s);
    ask(other);
    steps(s, 20);
    assert_int_equal(rnl_session_snapshot(s, 0, NULL), RNL_OK);
    steps(s, 25);
    assert_int_equal(rnl_session_restore(s, 0, NULL), RNL_OK);
    steps(other, 20);
    assert_same_way_on(s, other, true);
    rnl_session_destroy(&s);
    rnl_session_destroy(&other);
}

static void a_rewind_brings_it_back(void **state) {
    (void)state;
    rnl_session *s = rig_session(model, 2), *other = rig_session(model, 1);
    for (int heard = 0; heard < 12; heard += 3) {
        ask(s);
        ask(other);
        steps(s, 50);
        steps(other, 24); /* nearer to what was heard: the way back is another one */
        assert_int_equal(rnl_session_rewind(s, (size_t)heard * FRAME, NULL), RNL_OK);
        assert_int_equal(rnl_session_rewind(other, (size_t)heard * FRAME, NULL), RNL_OK);
        rig_text(s, RNL_ROLE_USER, "and four");
        rig_text(other, RNL_ROLE_USER, "and four");
        begin(s, 25);
        begin(other, 25);
        assert_same_way_on(s, other, false);
    }
    rnl_session_destroy(&s);
    rnl_session_destroy(&other);
}

static size_t frame_count(const rnl_session *s) {
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    return reply.frame_count;
}

static void a_rewound_session_is_one_that_stopped_there(void **state) {
    (void)state;
    enum { HEARD = 5 };
    rnl_session *s = rig_session(model, 2), *other = rig_session(model, 1);
    ask(s);
    steps(s, 50);
    assert_int_equal(rnl_session_rewind(s, (size_t)HEARD * FRAME, NULL), RNL_OK);
    ask(other);
    while (frame_count(other) < HEARD) steps(other, 1);
    rnl_session_stop(other);
    assert_int_equal(s->live->position_count, other->live->position_count);
    while (rnl_session_step(s, NULL) != RNL_DONE) continue;
    while (rnl_session_step(other, NULL) != RNL_DONE) continue;
    assert_memory_equal(s->live->backbone.fixed, other->live->backbone.fixed, s->fixed_size);
    rnl_session_destroy(&s);
    rnl_session_destroy(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_keeps_the_laws_of_the_stack),
        cmocka_unit_test(tensors_and_costs_are_those_of_its_row),
        cmocka_unit_test(a_snapshot_holds_it),
        cmocka_unit_test(a_rewind_brings_it_back),
        cmocka_unit_test(a_rewound_session_is_one_that_stopped_there),
    };
    const struct CMUnitTest in_a_session[] = {
        cmocka_unit_test(a_snapshot_holds_it),
        cmocka_unit_test(a_rewind_brings_it_back),
        cmocka_unit_test(a_rewound_session_is_one_that_stopped_there),
    };
    return cmocka_run_group_tests_name("a kind of one's own", tests, setup_decay, teardown) +
           cmocka_run_group_tests_name("experts", in_a_session, setup_experts, teardown) +
           cmocka_run_group_tests_name("scans", in_a_session, setup_scans, teardown);
}
