/* The live loop where things get tight: slow machines, long silence, long talk, odd rates, a muted
 * microphone, a key to talk, models and settings it must refuse. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/rig.h"
#include "tests/support/world.h"

static rnl_model *model;
static rnl_error error;

static int setup(void **state) {
    (void)state;
    model = rig_model(SOURCE_DIR "/samples/minnow/minnow.gguf");
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
    c.session.context_cap = 1024;
    c.history_turns = 0;
    c.turn_network = false; /* the fixed rule; the other: test_live_turns.c */
    return c;
}

static script question(const char *name, double silence_after) {
    script s = {0};
    script_silence(&s, 1);
    script_say(&s, name);
    script_silence(&s, silence_after);
    script_noise(&s, 0.0005f, 1);
    return s;
}

static void says(const char *part) {
    if (strstr(error.text, part) == NULL) fail_msg("'%s' lacks '%s'", error.text, part);
}

/* ---- The burst law ---- */

/* How much longer the reply sounded than it is, in ms. */
static double stutter_ms(const world *w) {
    const world_event *e = world_find(w, RNL_LIVE_TURN, 0);
    assert_non_null(e);
    return (double)(e->now_us - e->turn.mark_us[RNL_LIVE_T9]) / 1e3 -
           (double)e->turn.sound_count / 24.0;
}

static world *answer_at(double text_ms, double frame_ms, bool trim) {
    script s = question("heating", 20);
    rnl_live_config c = plain();
    c.speculation = false; /* the reply is made while it plays */
    c.lead_in_trim = trim;
    world *w = world_new(model, &c, &s);
    w->text_cost_us = (int64_t)(text_ms * 1e3);
    w->frame_cost_us = (int64_t)(frame_ms * 1e3);
    world_run(w);
    script_free(&s);
    return w;
}

static void a_machine_that_is_fast_enough_never_runs_out(void **state) {
    (void)state;
    /* 12 frames gain 12 x (80 - frame), the burst costs 6 x text. */
    const double costs[7][2] = {{20, 40}, {1, 2}, {10, 20}, {30, 55}, {60, 40}, {5, 70}, {50, 53}};
    for (size_t i = 0; i < (size_t)rig_rounds(7); i++) {
        const bool trim = i % 2 == 1; /* little is left of the first frame */
        world *w = answer_at(costs[i][0], costs[i][1], trim);
        const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, 0)->turn;
        assert_int_equal(t->trimmed_count > 0, trim);
        assert_int_equal(t->underrun_count, 0);
        assert_true(t->slack_us >= 0);
        assert_true(stutter_ms(w) < 25);
        assert_int_equal(world_count(w, RNL_LIVE_SLOW), 0);
        assert_true(fabs((double)t->text_us_max - 1e3 * costs[i][0]) < 1);
        /* Held back no longer than the law asks: where the run gains enough the first frame goes
         * out at the next callback, not behind one step more. */
        const double held = (double)(t->mark_us[RNL_LIVE_T9] - t->mark_us[RNL_LIVE_T8]) / 1e3;
        const double gain = 11 * (80 - costs[i][1]) + 60, burst = 1.25 * 6 * costs[i][0];
        if (!trim && gain > burst + 2 * costs[i][1]) assert_true(held <= 10);
        world_drop(w);
    }
}

/* The answer of a right guess waits for the end to be sure, and for nothing else. */
static void a_guess_sounds_when_the_end_is_sure(void **state) {
    (void)state;
    script s = question("heating", 20);
    const rnl_live_config c = plain();
    const double costs[3][2] = {{5, 10}, {20, 40}, {20, 60}};
    for (size_t i = 0; i < (size_t)rig_rounds(3); i++) {
        world *w = world_new(model, &c, &s);
        w->text_cost_us = (int64_t)(costs[i][0] * 1e3);
        w->frame_cost_us = (int64_t)(costs[i][1] * 1e3);
        world_run(w);
        const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, 0)->turn;
        assert_true(t->speculated && t->mark_us[RNL_LIVE_T8] < t->mark_us[RNL_LIVE_T3]);
        assert_true(t->mark_us[RNL_LIVE_T9] >= t->mark_us[RNL_LIVE_T3]);
        assert_true(t->mark_us[RNL_LIVE_T9] - t->mark_us[RNL_LIVE_T3] <= 10000);
        world_drop(w);
    }
    script_free(&s);
}

/* Somebody listens between the layers of a step: on a machine that takes 20 ms for each, the end is
 * sure when the rule says so, not a step later. */
static void ends_are_heard_while_the_model_works(void **state) {
    (void)state;
    script s = question("heating", 20);
    rnl_live_config c = plain();
    rnl_model_info info;
    rnl_model_get_info(model, &info);
    for (int speculation = 0; speculation < 2; speculation++) {
        c.speculation = speculation == 1;
        world *w = world_new(model, &c, &s);
        w->part_cost_us = w->text_cost_us = w->frame_cost_us = 20000;
        world_run(w);
        const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, 0)->turn;
        const int64_t wait_us = t->mark_us[RNL_LIVE_T3] - t->mark_us[RNL_LIVE_T1];
        assert_true(wait_us >= 512000 && wait_us <= 512000 + 10000 + 20000 + 10000);
        /* A decision is a part for each layer, and one or two more. */
        rnl_live_facts facts;
        rnl_live_get_facts(w->live, &facts);
        const int64_t decisions = t->text_count + t->frame_count;
        assert_true(decisions > 20 && facts.part_count >= decisions * info.layer_count);
        world_drop(w);
    }
    script_free(&s);
}

static void a_machine_that_is_too_slow_says_so_and_waits(void **state) {
    (void)state;
    const double costs[3][2] = {{60, 60}, {20, 90}, {200, 60}};
    for (size_t i = 0; i < (size_t)rig_rounds(3); i++) {
        world *w = answer_at(costs[i][0], costs[i][1], true);
        const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, 0)->turn;
        assert_int_equal(world_count(w, RNL_LIVE_SLOW), 1);
        assert_true(t->underrun_count <= 2); /* a pause or two, no stutter */
        assert_string_equal(w->said, w->heard);
        world_drop(w);
    }
}

/* ---- Silence, zeros, long talk ---- */

static void a_silent_user_hears_nothing(void **state) {
    (void)state;
    script s = {0};
    script_silence(&s, rig_rounds(2) == 1 ? 10 : 300); /* an hour: tests/long/long_live.c */
    script_noise(&s, 0.001f, 5);
    const rnl_live_config c = plain();
    world *w = world_new(model, &c, &s);
    world_run(w);
    assert_int_equal(w->event_count, 1);
    assert_int_equal(w->events[0].kind, RNL_LIVE_LISTENING);
    assert_int_equal(w->reply_count, 0);
    world_drop(w);
    script_free(&s);
}

static void a_muted_microphone_is_told(void **state) {
    (void)state;
    script s = {0}, voice = {0};
    script_silence(&s, 12);
    script_say(&voice, "who");
    script_silence(&s, 1);
    memcpy(s.samples + 16000 * 11, voice.samples, voice.count < 16000 ? voice.count * 4 : 64000);
    const rnl_live_config c = plain();
    world *w = world_new(model, &c, &s);
    world_run(w);
    const world_event *muted = world_find(w, RNL_LIVE_MUTED, 0);
    assert_non_null(muted);
    assert_true(muted->now_us >= 5000000 && muted->now_us <= 5100000);
    assert_int_equal(world_count(w, RNL_LIVE_UNMUTED), 1);
    world_drop(w);
    script_free(&s);
    script_free(&voice);
}

/* A long dialogue: the context overflows many times, counters stay exact. */
static void a_long_dialogue(void **state) {
    (void)state;
    const int turns = rig_rounds(2) == 1 ? 2 : 16;
    static const char *const names[] = {"light", "sum", "who", "timer", "weather", "hours"};
    script s = {0};
    script_silence(&s, 1);
    for (int i = 0; i < turns; i++) {
        script_say(&s, names[i % 6]);
        script_silence(&s, 8);
    }
    script_noise(&s, 0.0005f, 8);
    rnl_live_config c = plain();
    c.session.context_cap = 512;
    world *w = world_new(model, &c, &s);
    world_run(w);
    rnl_live_facts facts;
    rnl_live_get_facts(w->live, &facts);
    assert_int_equal(facts.turn_count, turns);
    assert_int_equal(world_count(w, RNL_LIVE_TURN), turns);
    assert_int_equal(facts.sample_count, facts.frame_count * 1920);
    assert_int_equal(facts.pulled_count, w->reply_count);
    assert_true(facts.position_count <= 512);
    assert_true(facts.mic_count >= (int64_t)s.count - 160);
    int64_t sum = 0, trimmed = 0;
    for (int i = 0; i < turns; i++) {
        const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, i)->turn;
        assert_int_equal(t->index, i + 1);
        assert_int_equal(t->sound_begin, sum);
        assert_int_equal(t->played_count, t->sound_count);
        sum += t->sound_count;
        trimmed += t->trimmed_count;
    }
    assert_int_equal(sum, facts.pulled_count);
    assert_int_equal(sum + trimmed, facts.sample_count);
    world_drop(w);
    script_free(&s);
}

/* A speaker who does not stop is answered when the longest turn is over, and nothing is lost. */
static void a_turn_has_a_longest_length(void **state) {
    (void)state;
    script s = {0};
    script_silence(&s, 1);
    for (int i = 0; i < 6; i++) script_say(&s, i % 2 ? "weather" : "sum");
    script_silence(&s, 6);
    script_noise(&s, 0.0005f, 4);
    rnl_live_config c = plain();
    c.turn_seconds_max = 4;
    world *w = world_new(model, &c, &s);
    world_run(w);
    assert_true(world_count(w, RNL_LIVE_THINKING) >= 3);
    assert_true(world_count(w, RNL_LIVE_TURN) >= 1);
    for (int i = 0; world_find(w, RNL_LIVE_TURN, i) != NULL; i++) {
        const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, i)->turn;
        assert_true(t->clip_end - t->clip_begin <= 4 * 16000);
    }
    world_drop(w);
    script_free(&s);
}

/* ---- Rates ---- */

/* The microphone at another rate by linear interpolation: good enough to be understood. */
static float *at_rate(const script *s, int rate, size_t *count) {
    *count = (size_t)((double)s->count * rate / 16000);
    float *out = malloc(*count * sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < *count; i++) {
        const double at = (double)i * 16000 / rate;
        const size_t k = (size_t)at;
        const float part = (float)(at - (double)k);
        const float next = k + 1 < s->count ? s->samples[k + 1] : 0;
        out[i] = s->samples[k] * (1 - part) + next * part;
    }
    return out;
}

static void any_rate_is_taken_and_given(void **state) {
    (void)state;
    const int rates[4][2] = {{48000, 48000}, {8000, 8000}, {44100, 16000}, {192000, 192000}};
    script s = question("light", 5);
    for (size_t i = 0; i < (size_t)rig_rounds(4); i++) {
        const int in = rates[i][0], out = rates[i][1];
        size_t count, played = 0;
        float *mic = at_rate(&s, in, &count), sound[2000];
        static const float silence[1920];
        rnl_live_config c = plain();
        c.rate_in = in;
        c.rate_out = out;
        rnl_live *live = NULL;
        assert_int_equal(rnl_live_create(model, &c, &live, &error), RNL_OK);
        rnl_live_turn turn = {0};
        char said[256] = "";
        for (size_t at = 0; at < count;) {
            const size_t piece = (size_t)(in / 100) < count - at ? (size_t)(in / 100) : count - at;
            const int64_t now = (int64_t)(at + piece) * 1000000 / in;
            const rnl_live_sound x = {.mic = mic + at,
                                      .reference = silence,
                                      .count = piece,
                                      .adc_us = (int64_t)at * 1000000 / in};
            size_t taken, got;
            assert_int_equal(rnl_live_push(live, &x, now, &taken, &error), RNL_OK);
            at += taken;
            rnl_live_event e;
            do
                while (rnl_live_next_event(live, &e) == RNL_OK) {
                    if (e.kind == RNL_LIVE_TEXT) strncat(said, e.text, e.text_size);
                    if (e.kind == RNL_LIVE_TURN) turn = e.turn;
                }
            while (rnl_live_step(live, now, &error) == RNL_OK);
            if (rnl_live_pull(live, sound, (size_t)out / 100, now, now, &got) == RNL_OK)
                played += got;
        }
        rnl_live_facts facts;
        rnl_live_get_facts(live, &facts);
        if (facts.turn_count == 1) {
            /* The reply's length at that rate, to the sample. */
            const int64_t made = facts.sample_count - turn.trimmed_count;
            assert_int_equal(turn.sound_count, (made * out + 23999) / 24000);
            assert_int_equal(played, turn.sound_count);
            const int64_t spoken = turn.mark_us[RNL_LIVE_T0];
            assert_true(spoken > 2300000 && spoken < 2600000);
        } else if (in != 8000) { /* half of the band is missing there */
            fail_msg("%d Hz: %lld turns", in, (long long)facts.turn_count);
        }
        rnl_live_destroy(&live);
        free(mic);
    }
    script_free(&s);
}

/* ---- Push-to-talk ---- */

static void a_key_decides_where_a_turn_ends(void **state) {
    (void)state;
    script s = {0};
    script_silence(&s, 1);
    script_say(&s, "light");
    script_silence(&s, 1.5); /* longer than any silence that would end a turn */
    const size_t second = s.count;
    script_say(&s, "window");
    const size_t end = s.count;
    script_silence(&s, 5);
    script_noise(&s, 0.0005f, 1);
    rnl_live_config c = plain();
    c.push_to_talk = true;
    world *w = world_new(model, &c, &s);
    world_run_until(w, 500000);
    rnl_live_hold(w->live, true);
    world_run_until(w, (int64_t)end * 1000000 / 16000);
    assert_int_equal(world_count(w, RNL_LIVE_THINKING), 0);
    rnl_live_hold(w->live, false);
    world_run(w);
    assert_int_equal(world_count(w, RNL_LIVE_TURN), 1);
    const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, 0)->turn;
    assert_true(t->clip_end > (int64_t)second && t->clip_begin < (int64_t)second);
    const world_event *thinking = world_find(w, RNL_LIVE_THINKING, 0);
    assert_true(thinking->now_us - (int64_t)end * 1000000 / 16000 < 60000);
    world_drop(w);
    script_free(&s);
}

static void a_key_without_a_word_is_no_turn(void **state) {
    (void)state;
    script s = {0};
    script_silence(&s, 8);
    script_noise(&s, 0.0005f, 1);
    rnl_live_config c = plain();
    c.push_to_talk = true;
    world *w = world_new(model, &c, &s);
    world_run_until(w, 500000);
    rnl_live_hold(w->live, true);
    world_run_until(w, 3000000);
    rnl_live_hold(w->live, false);
    world_run(w);
    assert_int_equal(world_count(w, RNL_LIVE_FALSE_ALARM), 1);
    assert_int_equal(world_count(w, RNL_LIVE_THINKING), 0);
    rnl_live_facts facts;
    rnl_live_get_facts(w->live, &facts);
    assert_int_equal(facts.state, RNL_LIVE_LISTENING);
    world_drop(w);
    script_free(&s);
}

/* ---- A queue of the caller ---- */

typedef struct queue {
    int64_t queued;
    int64_t dropped;
    int turns;
} queue;

static void on_cut(world *w, const rnl_live_event *e) {
    queue *q = w->context;
    if (e->kind != RNL_LIVE_CUT) return;
    /* 100 ms of what was pulled had not been played. */
    q->dropped = 2400;
    rnl_live_cut_done(w->live, (size_t)q->dropped);
    rnl_live_cut_done(w->live, 0); /* once is enough */
}

static void what_a_queue_dropped_was_not_heard(void **state) {
    (void)state;
    script s = {0};
    script_silence(&s, 1);
    script_say(&s, "heating");
    script_silence(&s, 1.6);
    script_say(&s, "who");
    script_silence(&s, 6);
    script_noise(&s, 0.0005f, 3);
    rnl_live_config c = plain();
    c.volume_inside = false;
    queue q = {0};
    world *w = world_new(model, &c, &s);
    w->on_event = on_cut;
    w->context = &q;
    world_run(w);
    const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, 0)->turn;
    assert_true(t->barged_in);
    assert_int_equal(t->sound_count - t->played_count, 2400);
    world_drop(w);
    script_free(&s);
}

/* ---- Refusals ---- */

static void what_cannot_talk_is_refused(void **state) {
    (void)state;
    rnl_model *text = rig_model("dense/tied");
    const rnl_live_config c = rnl_live_config_default(text);
    rnl_live *live = NULL;
    assert_int_equal(rnl_live_create(text, &c, &live, &error), RNL_ERR_UNSUPPORTED);
    says("takes and gives audio");
    assert_null(live);
    rnl_model_close(&text);
}

static void settings_out_of_range_are_refused(void **state) {
    (void)state;
    rnl_live *live = NULL;
    rnl_live_config c = plain();
    c.rate_in = 3999;
    assert_int_equal(rnl_live_create(model, &c, &live, &error), RNL_ERR_ARGUMENT);
    says("rate_in");
    c = plain();
    c.end_ms = 99;
    assert_int_equal(rnl_live_create(model, &c, &live, &error), RNL_ERR_ARGUMENT);
    says("end_ms");
    c = plain();
    c.turn_seconds_max = NAN;
    assert_int_equal(rnl_live_create(model, &c, &live, &error), RNL_ERR_ARGUMENT);
    c = plain();
    c.turn.mode = RNL_MODE_TEXT;
    assert_int_equal(rnl_live_create(model, &c, &live, &error), RNL_ERR_ARGUMENT);
    says("INTERLEAVED");
    c = plain();
    c.system = "\xff";
    assert_int_equal(rnl_live_create(model, &c, &live, &error), RNL_ERR_DATA);
    c = plain();
    c.session.context_cap = 1;
    assert_int_equal(rnl_live_create(model, &c, &live, &error), RNL_ERR_ARGUMENT);
    says("context_cap");
    assert_int_equal(rnl_live_create(NULL, &c, &live, &error), RNL_ERR_ARGUMENT);
    assert_null(live);
    rnl_live_destroy(&live);
}

static void a_damaged_sample_is_refused(void **state) {
    (void)state;
    const rnl_live_config c = plain();
    rnl_live *live = NULL;
    assert_int_equal(rnl_live_create(model, &c, &live, &error), RNL_OK);
    float x[2000] = {0};
    size_t taken;
    rnl_live_sound sound = {.mic = x, .count = 2000};
    x[7] = NAN;
    assert_int_equal(rnl_live_push(live, &sound, 0, &taken, &error), RNL_ERR_DATA);
    says("sample 7");
    assert_int_equal(taken, 0);
    x[7] = 0;
    size_t total = 0;
    do { /* nobody steps: 4 s fit */
        assert_int_equal(rnl_live_push(live, &sound, 0, &taken, &error), RNL_OK);
        total += taken;
    } while (taken == 2000);
    assert_true(total > 63000 && total <= 64000);
    rnl_live_destroy(&live);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_that_is_fast_enough_never_runs_out),
        cmocka_unit_test(a_guess_sounds_when_the_end_is_sure),
        cmocka_unit_test(ends_are_heard_while_the_model_works),
        cmocka_unit_test(a_machine_that_is_too_slow_says_so_and_waits),
        cmocka_unit_test(a_silent_user_hears_nothing),
        cmocka_unit_test(a_muted_microphone_is_told),
        cmocka_unit_test(a_long_dialogue),
        cmocka_unit_test(a_turn_has_a_longest_length),
        cmocka_unit_test(any_rate_is_taken_and_given),
        cmocka_unit_test(a_key_decides_where_a_turn_ends),
        cmocka_unit_test(a_key_without_a_word_is_no_turn),
        cmocka_unit_test(what_a_queue_dropped_was_not_heard),
        cmocka_unit_test(what_cannot_talk_is_refused),
        cmocka_unit_test(settings_out_of_range_are_refused),
        cmocka_unit_test(a_damaged_sample_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
