/* The live loop from outside, in a simulated world, with minnow and spoken questions. */
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
    c.lead_in_trim = false;
    c.history_turns = 0;
    c.turn_network = false; /* the fixed rule; the other: test_live_turns.c */
    return c;
}

static void show(const world *w) {
    for (int i = 0; i < w->event_count; i++)
        printf("%8.3f s  mic %7.3f  %s\n", (double)w->events[i].now_us / 1e6,
               (double)w->events[i].mic_sample / 16000.0, rnl_live_kind_name(w->events[i].kind));
    for (int n = 0; world_find(w, RNL_LIVE_TURN, n) != NULL; n++) {
        const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, n)->turn;
        printf("turn %d:", t->index);
        for (int i = 0; i < RNL_LIVE_MARK_COUNT; i++) printf(" %.3f", (double)t->mark_us[i] / 1e6);
        printf(
            "\n clip %.3f-%.3f frames %d text %d sound %lld played %lld slack %lld underruns %d\n",
            (double)t->clip_begin / 16000, (double)t->clip_end / 16000, t->frame_count,
            t->text_count, (long long)t->sound_count, (long long)t->played_count,
            (long long)t->slack_us, t->underrun_count);
    }
    printf("said:\n%sheard:\n%s", w->said, w->heard);
}

static void a_question_gets_its_answer(void **state) {
    (void)state;
    script s = {0};
    script_silence(&s, 1);
    script_say(&s, "light");
    script_silence(&s, 4);
    script_noise(&s, 0.0005f, 1);
    const rnl_live_config c = plain();
    world *w = world_new(model, &c, &s);
    world_run(w);
    show(w);
    assert_string_equal(w->said, "The kitchen light is on.\n");
    world_drop(w);
    script_free(&s);
}

/* Of the silence that minnow begins with 10 ms are played; the rest of the sound is the same. */
static void the_silence_in_front_is_left_out(void **state) {
    (void)state;
    script s = {0};
    script_silence(&s, 1);
    script_say(&s, "light");
    script_silence(&s, 4);
    script_noise(&s, 0.0005f, 1);
    rnl_live_config c = plain();
    for (int i = 0; i < rig_rounds(2); i++) {
        c.speculation = i == 0;
        c.lead_in_trim = false;
        world *whole = world_new(model, &c, &s);
        world_run(whole);
        c.lead_in_trim = true;
        world *cut = world_new(model, &c, &s);
        world_run(cut);
        const rnl_live_turn *a = &world_find(whole, RNL_LIVE_TURN, 0)->turn;
        const rnl_live_turn *b = &world_find(cut, RNL_LIVE_TURN, 0)->turn;
        assert_int_equal(a->trimmed_count, 0);
        assert_int_equal(a->sound_audible - a->sound_begin, b->trimmed_count + 240);
        assert_int_equal(b->sound_audible - b->sound_begin, 240);
        assert_int_equal(a->sound_count, b->sound_count + b->trimmed_count);
        assert_true(b->trimmed_count > 240);
        assert_memory_equal(whole->reply + b->trimmed_count, cut->reply,
                            cut->reply_count * sizeof *cut->reply);
        assert_string_equal(whole->heard, cut->heard);
        world_drop(whole);
        world_drop(cut);
    }
    script_free(&s);
}

/* ---- Speculation, cuts, repetition ---- */

/* Three turns, with pauses inside sentences, a hesitation and a click. */
static script conversation(void) {
    script s = {0};
    script_silence(&s, 1);
    script_say(&s, "light");
    if (rig_rounds(2) > 1) script_silence(&s, 5); /* else the turn goes on */
    script_say(&s, "sum");
    script_silence(&s, 0.3); /* a guess that is withdrawn */
    script_say(&s, "window");
    script_silence(&s, 6);
    if (rig_rounds(2) > 1) {
        script_say(&s, "who");
        script_silence(&s, 6);
    }
    script_noise(&s, 0.0005f, 2);
    return s;
}

static void assert_same_replies(const world *a, const world *b) {
    assert_string_equal(a->said, b->said);
    assert_int_equal(a->text_size, b->text_size);
    assert_memory_equal(a->text, b->text, a->text_size);
    assert_int_equal(a->reply_count, b->reply_count);
    assert_memory_equal(a->reply, b->reply, a->reply_count * sizeof *a->reply);
}

static void speculation_changes_no_bit(void **state) {
    (void)state;
    script s = conversation();
    rnl_live_config c = plain();
    world *with = world_new(model, &c, &s);
    world_run(with);
    const int turns = rig_rounds(2) > 1 ? 3 : 1;
    assert_int_equal(world_count(with, RNL_LIVE_TURN), turns);
    assert_true(world_count(with, RNL_LIVE_GUESS_WITHDRAWN) >= 1);
    c.speculation = false;
    world *without = world_new(model, &c, &s);
    world_run(without);
    assert_same_replies(with, without);
    for (int n = 0; n < turns; n++) {
        const rnl_live_turn *x = &world_find(with, RNL_LIVE_TURN, n)->turn;
        const rnl_live_turn *y = &world_find(without, RNL_LIVE_TURN, n)->turn;
        assert_true(x->speculated && !y->speculated);
        assert_int_equal(x->clip_begin, y->clip_begin);
        assert_int_equal(x->clip_end, y->clip_end);
        assert_true(x->mark_us[RNL_LIVE_T8] < x->mark_us[RNL_LIVE_T3]); /* it was there */
        assert_true(y->mark_us[RNL_LIVE_T8] >= y->mark_us[RNL_LIVE_T3]);
    }
    world_drop(with);
    world_drop(without);
    script_free(&s);
}

static rnl_session *open_session(const rnl_live_config *c) {
    rnl_session *session = NULL;
    assert_int_equal(rnl_session_create(model, &c->session, &session, NULL), RNL_OK);
    rig_text(session, RNL_ROLE_SYSTEM, rnl_model_system_prompt(model, RNL_MODE_INTERLEAVED));
    return session;
}

/* The session, fed the clips that the loop cut out, says the same. */
static void the_loop_adds_nothing_to_the_session(void **state) {
    (void)state;
    script s = {0};
    script_silence(&s, 1);
    script_say(&s, "light");
    script_silence(&s, 5);
    rnl_live_config c = plain();
    c.echo_cancel = false;
    world *w = world_new(model, &c, &s);
    world_run(w);
    const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, 0)->turn;
    rnl_session *session = open_session(&c);
    assert_int_equal(rnl_session_add_audio(session, s.samples + t->clip_begin,
                                           (size_t)(t->clip_end - t->clip_begin), 16000, NULL),
                     RNL_OK);
    assert_int_equal(rnl_session_begin(session, &c.turn, NULL), RNL_OK);
    rig_result r = rig_run(session);
    assert_int_equal(r.sample_count, w->reply_count);
    assert_memory_equal(r.samples, w->reply, r.sample_count * sizeof *r.samples);
    assert_int_equal(strncmp(w->said, r.text, strlen(r.text)), 0);
    rig_free(&r);
    rnl_session_destroy(&session);
    world_drop(w);
    script_free(&s);
}

static void assert_same_log(const world *a, const world *b) {
    assert_same_replies(a, b);
    assert_int_equal(a->event_count, b->event_count);
    for (int i = 0; i < a->event_count; i++)
        assert_memory_equal(&a->events[i], &b->events[i], sizeof a->events[i]);
}

static void the_same_world_gives_the_same_log(void **state) {
    (void)state;
    script s = conversation();
    const rnl_live_config c = plain();
    world *w[2];
    for (int i = 0; i < 2; i++) {
        w[i] = world_new(model, &c, &s);
        w[i]->text_cost_us = 12345;
        w[i]->frame_cost_us = 23456;
        world_run(w[i]);
    }
    assert_same_log(w[0], w[1]);
    world_drop(w[0]);
    world_drop(w[1]);
    script_free(&s);
}

/* Events that the microphone alone decides, in their order, with their places. */
static int next_heard_event(const world *w, int i) {
    while (i < w->event_count &&
           (w->events[i].kind == RNL_LIVE_TEXT || w->events[i].kind == RNL_LIVE_SPEAKING ||
            w->events[i].kind == RNL_LIVE_TURN || w->events[i].kind == RNL_LIVE_LISTENING))
        i++;
    return i;
}

static void any_cut_of_the_microphone_gives_the_same(void **state) {
    (void)state;
    script s = conversation();
    const rnl_live_config c = plain();
    world *whole = world_new(model, &c, &s);
    world_run(whole);
    const size_t caps[4] = {2, 100, 700, 6000};
    for (size_t k = 0; k < (size_t)rig_rounds(4); k++) {
        world *cut = world_new(model, &c, &s);
        cut->cut_seed = 77 + k;
        cut->cut_cap = caps[k];
        world_run(cut);
        assert_same_replies(whole, cut);
        int i = 0, j = 0;
        for (;; i++, j++) {
            i = next_heard_event(whole, i);
            j = next_heard_event(cut, j);
            if (i == whole->event_count || j == cut->event_count) break;
            assert_int_equal(whole->events[i].kind, cut->events[j].kind);
            assert_int_equal(whole->events[i].mic_sample, cut->events[j].mic_sample);
        }
        assert_true(i == whole->event_count && j == cut->event_count);
        world_drop(cut);
    }
    world_drop(whole);
    script_free(&s);
}

/* ---- Interruptions ---- */

static script interruption(double seconds_later) {
    script s = {0};
    script_silence(&s, 1);
    script_say(&s, "heating"); /* a long answer */
    script_silence(&s, 0.7 + seconds_later);
    script_say(&s, "who");
    script_silence(&s, 6);
    script_noise(&s, 0.0005f, 3);
    return s;
}

/* What the history must be: the same session fed the same clips, the first reply rewound. */
static void assert_history(const world *w, const rnl_live_config *c, const float *clips[2],
                           const size_t counts[2]) {
    const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, 0)->turn;
    rnl_session *session = open_session(c);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rnl_session_add_audio(session, clips[i], counts[i], 16000, NULL), RNL_OK);
        assert_int_equal(rnl_session_begin(session, &c->turn, NULL), RNL_OK);
        rig_result r = rig_run(session);
        if (i == 0) {
            assert_int_equal(
                rnl_session_rewind(session, (size_t)(t->played_count + t->trimmed_count), NULL),
                RNL_OK);
        } else {
            const rnl_live_turn *second = &world_find(w, RNL_LIVE_TURN, 1)->turn;
            const size_t left_out = (size_t)second->trimmed_count;
            assert_int_equal(left_out > 0, c->lead_in_trim);
            assert_int_equal(r.sample_count - left_out, second->sound_count);
            assert_memory_equal(r.samples + left_out,
                                w->reply + w->reply_count + left_out - r.sample_count,
                                (r.sample_count - left_out) * sizeof *r.samples);
        }
        rig_free(&r);
    }
    rnl_session_destroy(&session);
}

typedef struct clips {
    float samples[2][160000];
    size_t counts[2];
    int count;
} clips;

static void keep_clip(world *w, const rnl_live_event *e) {
    clips *k = w->context;
    if (e->kind != RNL_LIVE_THINKING || k->count == 2) return;
    rnl_live_clip(w->live, k->samples[k->count], 160000, &k->counts[k->count]);
    k->count++;
}

static void an_interruption_leaves_what_was_heard(void **state) {
    (void)state;
    const double later[3] = {0.4, 0.9, 1.2};
    for (size_t i = 0; i < (size_t)rig_rounds(3); i++) {
        script s = interruption(later[i]);
        rnl_live_config c = plain();
        c.lead_in_trim = i != 1;
        clips *kept = calloc(1, sizeof *kept);
        assert_non_null(kept);
        world *w = world_new(model, &c, &s);
        w->on_event = keep_clip;
        w->context = kept;
        w->keep_sound = true;
        world_run(w);
        assert_int_equal(world_count(w, RNL_LIVE_TURN), 2);
        assert_int_equal(world_count(w, RNL_LIVE_CUT), 1);
        const world_event *turn = world_find(w, RNL_LIVE_TURN, 0);
        const world_event *cut = world_find(w, RNL_LIVE_CUT, 0);
        const world_event *duck = world_find(w, RNL_LIVE_DUCK, 0);
        assert_true(turn->turn.barged_in && !world_find(w, RNL_LIVE_TURN, 1)->turn.barged_in);
        assert_true(turn->turn.played_count > 0);
        assert_int_equal(turn->turn.finish, RNL_FINISH_STOPPED);
        assert_true(strlen(w->heard) < strlen(w->said));
        /* Ducked within 120 ms of the onset, confirmed within 400, silent 40 ms later. */
        assert_true(duck->now_us - duck->speech_us <= 120000);
        assert_true(cut->now_us - cut->speech_us <= 400000);
        const size_t silent = (size_t)cut->played + 40 * 24;
        for (size_t n = silent; n < silent + 24000; n++) assert_true(w->sound[n] == 0.0f);
        const float *both[2] = {kept->samples[0], kept->samples[1]};
        assert_history(w, &c, both, kept->counts);
        free(kept);
        world_drop(w);
        script_free(&s);
    }
}

/* The fade is a straight line down from the volume that was: no click. */
static void a_cut_fades(void **state) {
    (void)state;
    script s = interruption(0.9);
    rnl_live_config c = plain();
    world *w = world_new(model, &c, &s);
    world_run(w);
    c.barge_in = false;
    world *plainly = world_new(model, &c, &s);
    world_run(plainly);
    const rnl_live_turn *t = &world_find(w, RNL_LIVE_TURN, 0)->turn;
    const size_t end = (size_t)t->played_count, begin = end - 5 * 24 - 1;
    for (size_t i = 0; i < end; i++) {
        const float x = w->reply[i], y = plainly->reply[i];
        const float most = i < begin ? 1.0f : (float)(end - i) / (5 * 24);
        if (fabsf(x) > most * fabsf(y) + 1e-6f)
            fail_msg("sample %zu of %zu: %g of %g", i, end, (double)x, (double)y);
    }
    assert_int_equal(world_count(plainly, RNL_LIVE_CUT), 0);
    world_drop(w);
    world_drop(plainly);
    script_free(&s);
}

/* 60 ms of a voice while the loop speaks: the volume goes down and comes back. */
static void a_false_alarm_restores_the_volume(void **state) {
    (void)state;
    script s = {0}, quiet = {0};
    script_silence(&quiet, 1);
    script_say(&quiet, "heating");
    script_silence(&quiet, 6);
    script_silence(&s, 1);
    script_say(&s, "heating");
    script_silence(&s, 6);
    script voice = {0};
    script_say(&voice, "who");
    const size_t at = s.count - 16000 * 5;
    memcpy(s.samples + at, voice.samples + 3200, 1600 * sizeof(float));
    script_noise(&s, 0.0005f, 3);
    script_noise(&quiet, 0.0005f, 3);
    const rnl_live_config c = plain();
    world *w = world_new(model, &c, &s), *plainly = world_new(model, &c, &quiet);
    world_run(w);
    world_run(plainly);
    assert_int_equal(world_count(w, RNL_LIVE_DUCK), 1);
    assert_int_equal(world_count(w, RNL_LIVE_UNDUCK), 1);
    assert_int_equal(world_count(w, RNL_LIVE_CUT), 0);
    assert_int_equal(world_count(w, RNL_LIVE_TURN), 1);
    assert_string_equal(w->said, plainly->said);
    assert_string_equal(w->heard, w->said);
    const rnl_live_turn *x = &world_find(w, RNL_LIVE_TURN, 0)->turn;
    const rnl_live_turn *y = &world_find(plainly, RNL_LIVE_TURN, 0)->turn;
    for (int mark = RNL_LIVE_T0; mark <= RNL_LIVE_T3; mark++)
        assert_int_equal(x->mark_us[mark], y->mark_us[mark]);
    assert_int_equal(w->reply_count, plainly->reply_count);
    size_t lower = 0, last = 0;
    for (size_t i = 0; i < w->reply_count; i++) {
        if (w->reply[i] == plainly->reply[i]) continue;
        lower++;
        last = i;
        assert_true(fabsf(w->reply[i]) <= fabsf(plainly->reply[i]));
    }
    assert_true(lower > 24000 / 10 && last + 24000 / 2 < w->reply_count);
    world_drop(w);
    world_drop(plainly);
    script_free(&s);
    script_free(&quiet);
    script_free(&voice);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_gets_its_answer),
        cmocka_unit_test(the_silence_in_front_is_left_out),
        cmocka_unit_test(speculation_changes_no_bit),
        cmocka_unit_test(the_loop_adds_nothing_to_the_session),
        cmocka_unit_test(the_same_world_gives_the_same_log),
        cmocka_unit_test(any_cut_of_the_microphone_gives_the_same),
        cmocka_unit_test(an_interruption_leaves_what_was_heard),
        cmocka_unit_test(a_cut_fades),
        cmocka_unit_test(a_false_alarm_restores_the_volume),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
