/* The live loop asks in each pause whether the turn sounds finished: where it ends depends on the
 * sound alone. In a simulated world, with minnow, spoken questions and a person. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/rig.h"
#include "tests/support/world.h"
#include "vad/turn_network.h"

static rnl_model *model;

static int setup(void **state) {
    (void)state;
    model = rig_model_fast(SOURCE_DIR "/samples/minnow/minnow.gguf");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rnl_model_close(&model);
    return 0;
}

static rnl_live_config plain(void) {
    rnl_live_config c = rnl_live_config_default(model);
    c.session.thread_count = 2;
    c.session.context_cap = 512;
    c.turn.step_max = 40; /* what is said to a person's question matters to nobody */
    return c;
}

static world *run(const rnl_live_config *config, const script *in, int64_t cost_us,
                  uint64_t cut_seed) {
    world *w = world_new(model, config, in);
    w->text_cost_us = w->frame_cost_us = cost_us;
    w->cut_seed = cut_seed;
    w->cut_cap = 700;
    world_run(w);
    return w;
}

/* A person's question, whole or broken off. */
static script person(double begin_s, double end_s) {
    script s = {0};
    script_silence(&s, 0.6);
    script_wav(&s, "audio/question.wav", (size_t)(begin_s * 16000), (size_t)(end_s * 16000));
    script_silence(&s, 3);
    script_noise(&s, 0.0005f, 7);
    return s;
}

static const rnl_live_turn *turn_of(const world *w, int n) {
    const world_event *e = world_find(w, RNL_LIVE_TURN, n);
    assert_non_null(e);
    return &e->turn;
}

static double wait_ms(const rnl_live_turn *t) {
    return (double)(t->mark_us[RNL_LIVE_T3] - t->mark_us[RNL_LIVE_T1]) / 1e3;
}

/* T1 to T3 is the silence of the rule, whole blocks of 32 ms, and 10 ms of the canceller. */
static void the_wait_follows_the_answer(void **state) {
    (void)state;
    if (!turn_network_is_built()) skip();
    static const struct {
        double begin_s, end_s;
        rnl_live_end_rule rule;
        double p_min, p_max, ms_min, ms_max;
    } rows[] = {
        {0.3, 4.6, RNL_LIVE_END_SURE, 0.8, 1, 352, 384},
        {0.3, 2.4, RNL_LIVE_END_LONG, 0, 0.6, 928, 960},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        script s = person(rows[i].begin_s, rows[i].end_s);
        const rnl_live_config c = plain();
        world *w = run(&c, &s, 0, 0);
        const rnl_live_turn *t = turn_of(w, 0);
        printf("%.1f s: p %.3f, %s, %.0f ms\n", rows[i].end_s, t->end_probability,
               rnl_live_end_rule_name(t->end_rule), wait_ms(t));
        assert_int_equal(t->end_rule, rows[i].rule);
        assert_true(t->end_probability >= rows[i].p_min && t->end_probability <= rows[i].p_max);
        assert_true(wait_ms(t) >= rows[i].ms_min && wait_ms(t) <= rows[i].ms_max);
        world_drop(w);
        script_free(&s);
    }
}

static void without_it_the_rule_is_fixed(void **state) {
    (void)state;
    script s = person(0.3, 4.6);
    rnl_live_config c = plain();
    c.turn_network = false;
    world *w = run(&c, &s, 0, 0);
    assert_int_equal(turn_of(w, 0)->end_rule, RNL_LIVE_END_MIDDLE);
    assert_true(turn_of(w, 0)->end_probability == -1);
    assert_true(wait_ms(turn_of(w, 0)) >= 512 && wait_ms(turn_of(w, 0)) <= 544);
    world_drop(w);
    script_free(&s);
}

/* A person who stops in the middle of a sentence for 600 ms and goes on. */
static script hesitation(void) {
    script s = {0};
    script_silence(&s, 0.6);
    script_wav(&s, "audio/question.wav", 4800, 38400);
    script_silence(&s, 0.6);
    script_wav(&s, "audio/question.wav", 38400, 73600);
    script_silence(&s, 3);
    script_noise(&s, 0.0005f, 2);
    return s;
}

/* Whether the microphone alone decides it. */
static bool is_heard(rnl_live_kind kind) {
    return kind == RNL_LIVE_SUSPECTED || kind == RNL_LIVE_FALSE_ALARM || kind == RNL_LIVE_HEARING ||
           kind == RNL_LIVE_END_GUESSED || kind == RNL_LIVE_GUESS_WITHDRAWN ||
           kind == RNL_LIVE_THINKING;
}

static int next_heard(const world *w, int i) {
    while (i < w->event_count && !is_heard(w->events[i].kind)) i++;
    return i;
}

static void assert_same_turns(const world *a, const world *b) {
    int i = 0, j = 0;
    for (;; i++, j++) {
        i = next_heard(a, i);
        j = next_heard(b, j);
        if (i == a->event_count || j == b->event_count) break;
        assert_int_equal(a->events[i].kind, b->events[j].kind);
        assert_int_equal(a->events[i].mic_sample, b->events[j].mic_sample);
    }
    assert_true(i == a->event_count && j == b->event_count);
    const int turns = world_count(a, RNL_LIVE_TURN);
    assert_int_equal(turns, world_count(b, RNL_LIVE_TURN));
    for (int n = 0; n < turns; n++) {
        const rnl_live_turn *x = turn_of(a, n), *y = turn_of(b, n);
        assert_int_equal(x->clip_begin, y->clip_begin);
        assert_int_equal(x->clip_end, y->clip_end);
        assert_int_equal(x->end_rule, y->end_rule);
        assert_memory_equal(&x->end_probability, &y->end_probability, sizeof x->end_probability);
    }
    assert_string_equal(a->said, b->said);
    assert_int_equal(a->reply_count, b->reply_count);
    assert_memory_equal(a->reply, b->reply, a->reply_count * sizeof *a->reply);
}

/* However sound is cut into pushes, however slow the machine, with or without speculation: a look
 * that takes 400 ms is later than the earliest end, which then waits for it. */
static void ends_depend_on_the_sound_alone(void **state) {
    (void)state;
    if (!turn_network_is_built()) skip();
    script s = hesitation();
    rnl_live_config c = plain();
    world *whole = run(&c, &s, 0, 0);
    assert_true(world_count(whole, RNL_LIVE_GUESS_WITHDRAWN) >= 1);
    assert_int_equal(world_count(whole, RNL_LIVE_TURN), 1);
    assert_int_equal(turn_of(whole, 0)->end_rule, RNL_LIVE_END_SURE);
    for (int i = 0; i < rig_rounds(4); i++) {
        c.speculation = i != 2;
        c.session.thread_count = i == 3 ? 1 : 2;
        world *w = run(&c, &s, i == 0 ? 400000 : i == 1 ? 30000 : 0, i % 2 == 1 ? 77 : 0);
        assert_same_turns(whole, w);
        world_drop(w);
    }
    world_drop(whole);
    script_free(&s);
}

/* The same question three times, answered in ten positions each: how many the conversation has
 * after each. */
static void count_positions(int history_turns, int counts[3]) {
    script s = {0};
    script_silence(&s, 1);
    for (int i = 0; i < 3; i++) {
        script_say(&s, "who");
        script_silence(&s, 3);
    }
    script_noise(&s, 0.0005f, 2);
    rnl_live_config c = plain();
    c.turn_network = false;
    c.history_turns = history_turns;
    c.turn.step_max = 10;
    world w = {0};
    world_open(&w, model, &c, &s);
    for (int n = 0; n < 3; n++) {
        rnl_live_facts facts;
        while (world_count(&w, RNL_LIVE_TURN) <= n) world_run_until(&w, w.now_us + 10000);
        rnl_live_get_facts(w.live, &facts);
        counts[n] = facts.position_count;
    }
    world_close(&w);
    script_free(&s);
}

/* As many turns stay as were asked for; a clip may be a position longer or shorter. */
static void older_turns_are_forgotten(void **state) {
    (void)state;
    int all[3], one[3], two[3];
    count_positions(0, all);
    count_positions(1, one);
    count_positions(2, two);
    const int turn = all[1] - all[0];
    assert_true(turn > 20);
    assert_in_range(all[2] - all[1], turn - 2, turn + 2);
    assert_in_range(all[0] - one[0], turn - 2, turn + 2); /* nothing but the system prompt */
    assert_true(one[0] > 0 && one[1] == one[0] && one[2] == one[0]);
    assert_in_range(two[0], one[0] + turn - 2, one[0] + turn + 2);
    assert_true(two[1] >= two[0] - 2 && two[1] <= two[0] + 2);
    assert_true(two[2] >= two[0] - 2 && two[2] <= two[0] + 2);
}

/* A turn of a loop that keeps none before it is answered as the first of a fresh loop. */
static void a_turn_without_history_is_a_first_turn(void **state) {
    (void)state;
    script both = {0}, alone = {0};
    script_silence(&both, 2.048);
    script_say(&both, "light");
    script_silence(&both, 5);
    script_silence(&both, (double)(16384 - both.count % 512) / 16000); /* on the grid of blocks */
    script_say(&both, "sum");
    script_silence(&both, 4);
    script_silence(&alone, 2.048);
    script_say(&alone, "sum");
    script_silence(&alone, 4);
    rnl_live_config c = plain();
    c.turn_network = c.echo_cancel = false;
    c.turn.text.temperature = c.turn.audio.temperature = 0;
    c.history_turns = 1;
    world *x = run(&c, &both, 0, 0), *y = run(&c, &alone, 0, 0);
    const rnl_live_turn *second = turn_of(x, 1), *first = turn_of(y, 0);
    assert_int_equal(second->clip_end - second->clip_begin, first->clip_end - first->clip_begin);
    assert_int_equal(second->sound_count, first->sound_count);
    assert_memory_equal(x->reply + x->reply_count - second->sound_count, y->reply,
                        (size_t)first->sound_count * sizeof *y->reply);
    assert_non_null(strstr(x->said, y->said));
    world_drop(x);
    world_drop(y);
    script_free(&both);
    script_free(&alone);
}

static void says(rnl_live_config *c, const char *want) {
    rnl_live *live = NULL;
    rnl_error error = {0};
    assert_int_equal(rnl_live_create(model, c, &live, &error), RNL_ERR_ARGUMENT);
    assert_null(live);
    assert_string_equal(error.text, want);
}

static void bad_settings_are_named(void **state) {
    (void)state;
    rnl_live_config c = plain();
    c.end_ms_max = 499;
    says(&c, "end_ms_max is 499, outside 500 to 5000");
    c = plain();
    c.end_ms_min = 163;
    if (turn_network_is_built()) says(&c, "end_ms_min is 163, outside 164 to 500");
    c = plain();
    c.history_turns = -1;
    says(&c, "history_turns is -1, outside 0 to 100000");
    c = plain();
    c.end_ms = 300;
    if (turn_network_is_built()) says(&c, "end_ms_min is 350, outside 164 to 300");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wait_follows_the_answer),
        cmocka_unit_test(without_it_the_rule_is_fixed),
        cmocka_unit_test(ends_depend_on_the_sound_alone),
        cmocka_unit_test(older_turns_are_forgotten),
        cmocka_unit_test(a_turn_without_history_is_a_first_turn),
        cmocka_unit_test(bad_settings_are_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
