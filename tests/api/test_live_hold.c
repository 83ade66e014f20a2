/* A word into the answer: the loop holds it, hears what was said and goes on or gives way. What was
 * heard is given by the test. In a simulated world, with minnow and spoken questions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/live.h"
#include "tests/support/rig.h"
#include "tests/support/world.h"

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

/* What the loop hears, and in how many pieces of work. */
static struct {
    const char *text;
    int piece_count, done, asked_count;
    int64_t begin, end; /* of what it was asked about last */
} ear;

static rnl_status hear(rnl_live *l, char *text, size_t cap, size_t *size) {
    ear.begin = l->hold.begin.speech_begin;
    ear.end = l->hold.ended ? l->hold.end.speech_end : l->turns.speech_end;
    l->part_count++;
    if (++ear.done < ear.piece_count) return RNL_OK;
    ear.done = 0;
    ear.asked_count++;
    *size = strlen(ear.text);
    assert_true(*size <= cap);
    memcpy(text, ear.text, *size);
    return RNL_DONE;
}

static rnl_live_config plain(void) {
    rnl_live_config c = rnl_live_config_default(model);
    c.session.thread_count = 2;
    c.session.context_cap = 512;
    c.history_turns = 0;
    c.turn_network = false;
    return c;
}

/* A question with a long answer, and `ms` of a voice 1.2 s after the question's end. */
static script word_into_answer(int ms, double rest_s) {
    script s = {0}, voice = {0};
    script_silence(&s, 1);
    script_say(&s, "heating");
    script_silence(&s, 1.6);
    if (ms > 0) {
        script_say(&voice, "who");
        for (size_t i = 0; i < voice.count; i++) voice.samples[i] *= 0.9f;
        const size_t at = s.count, count = (size_t)ms * 16;
        script_silence(&s, ms / 1e3);
        memcpy(s.samples + at, voice.samples + 3200, count * sizeof(float));
        script_free(&voice);
    } else {
        script_silence(&s, 0.4);
    }
    script_silence(&s, rest_s);
    script_noise(&s, 0.0005f, 3);
    return s;
}

static world *open(const rnl_live_config *c, const script *in, int backchannel_ms,
                   const char *heard, int piece_count) {
    world *w = world_new(model, c, in);
    w->live->backchannel_ms = backchannel_ms;
    w->live->hear = hear;
    ear.text = heard;
    ear.piece_count = piece_count;
    ear.done = ear.asked_count = 0;
    return w;
}

static const rnl_live_turn *turn_of(const world *w, int n) {
    const world_event *e = world_find(w, RNL_LIVE_TURN, n);
    assert_non_null(e);
    return &e->turn;
}

static int positions_of(const world *w) {
    rnl_live_facts facts;
    rnl_live_get_facts(w->live, &facts);
    return facts.position_count;
}

/* "Mhm": 5 ms down to silence, then the same sound from there on, rising for 20 ms. The
 * conversation is the one of a quiet room. */
static void after_a_backchannel_the_answer_goes_on(void **state) {
    (void)state;
    script s = word_into_answer(350, 6), quiet = word_into_answer(0, 6);
    const rnl_live_config c = plain();
    world *w = open(&c, &s, 600, "Mhm.", 3), *alone = open(&c, &quiet, 600, "", 1);
    w->keep_sound = true;
    world_run(w);
    assert_int_equal(ear.asked_count, 1);
    assert_true(ear.end - ear.begin > 100 * 16 && ear.end - ear.begin <= 600 * 16);
    world_run(alone);
    assert_int_equal(world_count(w, RNL_LIVE_HOLD), 1);
    assert_int_equal(world_count(w, RNL_LIVE_RESUME), 1);
    assert_int_equal(world_count(w, RNL_LIVE_CUT), 0);
    assert_int_equal(world_count(w, RNL_LIVE_UNDUCK), 0);
    assert_int_equal(world_count(w, RNL_LIVE_TURN), 1);
    const world_event *hold = world_find(w, RNL_LIVE_HOLD, 0);
    const world_event *resume = world_find(w, RNL_LIVE_RESUME, 0);
    const int64_t silence = resume->mic_sample + 10 * 16 - ear.end;
    assert_true(silence >= 300 * 16 && silence < 300 * 16 + 512 + 160);
    for (int64_t i = hold->played + 16 * 24; i < resume->played; i++)
        assert_true(w->sound[i] == 0.0f);
    assert_string_equal(w->said, alone->said);
    assert_string_equal(w->heard, w->said);
    assert_int_equal(positions_of(w), positions_of(alone));
    assert_int_equal(w->reply_count, alone->reply_count);
    size_t lower = 0, last = 0;
    for (size_t i = 0; i < w->reply_count; i++) {
        if (w->reply[i] == alone->reply[i]) continue;
        assert_true(fabsf(w->reply[i]) <= fabsf(alone->reply[i]) + 1e-6f);
        last = i;
        lower++;
    }
    assert_true(lower > 0 && last + 24000 / 4 < w->reply_count);
    const rnl_live_turn *x = turn_of(w, 0), *y = turn_of(alone, 0);
    assert_false(x->barged_in);
    assert_int_equal(x->hold_count, 1);
    assert_int_equal(x->underrun_count, 0);
    assert_int_equal(x->played_count, y->played_count);
    for (int mark = RNL_LIVE_T0; mark <= RNL_LIVE_T3; mark++)
        assert_int_equal(x->mark_us[mark], y->mark_us[mark]);
    world_drop(w);
    world_drop(alone);
    script_free(&s);
    script_free(&quiet);
}

/* "Stop" ends the answer where it was held; the word is the user's turn, with its beginning. */
static void a_demand_cuts_what_was_held(void **state) {
    (void)state;
    script s = word_into_answer(350, 4);
    const rnl_live_config c = plain();
    world *w = open(&c, &s, 600, "Stop.", 2);
    world_run(w);
    assert_int_equal(ear.asked_count, 1);
    assert_int_equal(world_count(w, RNL_LIVE_HOLD), 1);
    assert_int_equal(world_count(w, RNL_LIVE_RESUME), 0);
    assert_int_equal(world_count(w, RNL_LIVE_CUT), 1);
    assert_int_equal(world_count(w, RNL_LIVE_TURN), 2);
    const world_event *hold = world_find(w, RNL_LIVE_HOLD, 0);
    const rnl_live_turn *cut = turn_of(w, 0), *next = turn_of(w, 1);
    assert_true(cut->barged_in && !next->barged_in);
    /* As heard at the hold: what had been played, and the fade. */
    const int64_t at_hold = hold->played - w->events[0].played - cut->sound_begin;
    assert_true(cut->played_count > 0 && cut->played_count == cut->sound_count);
    assert_true(cut->played_count <= at_hold + 24 * 16);
    assert_true(next->clip_begin + 160 <= ear.begin &&
                next->clip_begin >= ear.begin - 300 * 16 - 160);
    assert_int_equal(next->clip_end + 160, ear.end + 100 * 16);
    assert_true(next->mark_us[RNL_LIVE_T2] > hold->now_us);
    assert_true(next->mark_us[RNL_LIVE_T2] <= next->mark_us[RNL_LIVE_T3] - 400000);
    /* The same turn as without a hold. */
    world *today = open(&c, &s, 0, "", 1);
    world_run(today);
    assert_int_equal(world_count(today, RNL_LIVE_HOLD), 0);
    assert_int_equal(world_count(today, RNL_LIVE_END_GUESSED), 2);
    assert_int_equal(world_count(w, RNL_LIVE_END_GUESSED), 2);
    assert_int_equal(turn_of(today, 1)->clip_begin, next->clip_begin);
    assert_int_equal(turn_of(today, 1)->clip_end, next->clip_end);
    assert_int_equal(turn_of(today, 1)->mark_us[RNL_LIVE_T3], next->mark_us[RNL_LIVE_T3]);
    world_drop(today);
    world_drop(w);
    script_free(&s);
}

/* Who says more than that wants the word: nobody waits for the end of it. */
static void a_long_interruption_is_not_heard_first(void **state) {
    (void)state;
    script s = word_into_answer(900, 4);
    const rnl_live_config c = plain();
    world *w = open(&c, &s, 500, "Yes.", 1);
    world_run(w);
    assert_int_equal(ear.asked_count, 0);
    const world_event *hold = world_find(w, RNL_LIVE_HOLD, 0);
    const world_event *cut = world_find(w, RNL_LIVE_CUT, 0);
    assert_true(hold != NULL && cut != NULL);
    assert_true(cut->now_us - cut->speech_us <= 500000 + 80000);
    assert_true(turn_of(w, 0)->barged_in);
    assert_int_equal(world_count(w, RNL_LIVE_TURN), 2);
    world_drop(w);
    script_free(&s);
}

static int next_heard(const world *w, int i) {
    while (i < w->event_count &&
           (w->events[i].kind == RNL_LIVE_TEXT || w->events[i].kind == RNL_LIVE_SPEAKING))
        i++;
    return i;
}

static void assert_same_events(const world *a, const world *b) {
    int i = next_heard(a, 0), j = next_heard(b, 0);
    for (; i < a->event_count && j < b->event_count;
         i = next_heard(a, i + 1), j = next_heard(b, j + 1)) {
        assert_int_equal(a->events[i].kind, b->events[j].kind);
        if (a->events[i].kind == RNL_LIVE_TURN || a->events[i].kind == RNL_LIVE_LISTENING) continue;
        if (a->events[i].mic_sample != b->events[j].mic_sample)
            fail_msg("%s at sample %lld, and at %lld", rnl_live_kind_name(a->events[i].kind),
                     (long long)a->events[i].mic_sample, (long long)b->events[j].mic_sample);
    }
    assert_true(i == a->event_count && j == b->event_count);
    assert_string_equal(a->said, b->said);
}

static void slow_while_held(world *w, const rnl_live_event *e) {
    if (e->kind == RNL_LIVE_HOLD) w->part_cost_us = 30000;
    if (e->kind == RNL_LIVE_RESUME || e->kind == RNL_LIVE_CUT) w->part_cost_us = 0;
}

/* However sound is cut into pushes, and however long the hearing takes. */
static void holds_depend_on_the_sound_alone(void **state) {
    (void)state;
    static const char *const words[] = {"Okay.", "Wait."};
    script s = word_into_answer(350, 6);
    const rnl_live_config c = plain();
    for (int k = 0; k < 2; k++) {
        world *whole = open(&c, &s, 600, words[k], 1);
        world_run(whole);
        assert_int_equal(world_count(whole, RNL_LIVE_HOLD), 1);
        assert_int_equal(world_count(whole, RNL_LIVE_RESUME), k == 0);
        for (int i = 0; i < rig_rounds(4); i++) {
            world *w = open(&c, &s, 600, words[k], 1 + 9 * i);
            if (i == 1) w->on_event = slow_while_held;
            w->cut_seed = i >= 2 ? 77 + (uint64_t)i : 0;
            w->cut_cap = 700;
            world_run(w);
            assert_same_events(whole, w);
            world_drop(w);
        }
        world_drop(whole);
    }
    script_free(&s);
}

/* ---- A slow machine ---- */

typedef struct made {
    int64_t at_hold, at_end;
    bool complete;
} made;

static void note_made(world *w, const rnl_live_event *e) {
    made *m = w->context;
    const live_reply *r = &w->live->reply;
    if (e->kind == RNL_LIVE_HOLD) {
        m->at_hold = r->made;
        m->complete = r->complete;
    }
    if (e->kind == RNL_LIVE_RESUME) m->at_end = r->made;
}

/* While it is held, nothing of the answer is made but what a step under way makes; then it is made
 * as it would have been. */
static void a_held_answer_is_not_made(void **state) {
    (void)state;
    script s = word_into_answer(350, 9), quiet = word_into_answer(0, 9);
    const rnl_live_config c = plain();
    made m = {0};
    world *w = open(&c, &s, 600, "Mhm.", 1), *alone = open(&c, &quiet, 600, "", 1);
    w->text_cost_us = alone->text_cost_us = 20000;
    w->frame_cost_us = alone->frame_cost_us = 70000;
    w->on_event = note_made;
    w->context = &m;
    world_run(w);
    world_run(alone);
    assert_false(m.complete);
    assert_true(m.at_hold > 0 && m.at_end - m.at_hold <= 1920);
    assert_int_equal(world_count(w, RNL_LIVE_RESUME), 1);
    assert_string_equal(w->said, alone->said);
    assert_int_equal(w->reply_count, alone->reply_count);
    world_drop(w);
    world_drop(alone);
    script_free(&s);
    script_free(&quiet);
}

/* ---- A queue of the caller ---- */

typedef struct queue {
    int64_t pulled_at_hold, pulled_at_end;
} queue;

static void on_hold(world *w, const rnl_live_event *e) {
    queue *q = w->context;
    if (e->kind == RNL_LIVE_HOLD) q->pulled_at_hold = (int64_t)w->reply_count;
    if (e->kind != RNL_LIVE_CUT && e->kind != RNL_LIVE_RESUME) return;
    q->pulled_at_end = (int64_t)w->reply_count;
    if (e->kind == RNL_LIVE_CUT) rnl_live_cut_done(w->live, 2400); /* 100 ms were kept */
}

static void a_queue_of_the_caller_waits_as_well(void **state) {
    (void)state;
    script s = word_into_answer(350, 6);
    rnl_live_config c = plain();
    c.volume_inside = false;
    for (int k = 0; k < 2; k++) {
        queue q = {0};
        world *w = open(&c, &s, 600, k == 0 ? "Right." : "No.", 1);
        w->on_event = on_hold;
        w->context = &q;
        world_run(w);
        assert_true(q.pulled_at_hold > 0);
        assert_int_equal(q.pulled_at_end, q.pulled_at_hold);
        const rnl_live_turn *t = turn_of(w, 0);
        assert_int_equal(t->barged_in, k == 1);
        assert_int_equal(t->sound_count - t->played_count, k == 1 ? 2400 : 0);
        if (k == 1) assert_int_equal(t->sound_count, q.pulled_at_hold);
        world_drop(w);
    }
    script_free(&s);
}

/* A caller that is late does not pull from the hold on: what is counted as pulled waits for it. */
static void a_fade_waits_for_its_caller(void **state) {
    (void)state;
    enum { TICK = RNL_RATE_IN / 100 };
    static float out[48000];
    script s = word_into_answer(350, 4);
    const rnl_live_config c = plain();
    for (int k = 0; k < 2; k++) {
        world *w = open(&c, &s, 600, k == 0 ? "Yes." : "Stop.", 1);
        bool stalls = false, over = false;
        int64_t pulled = 0, now_us = 0;
        for (size_t at = 0; at + TICK <= s.count; at += TICK, now_us += 10000) {
            const rnl_live_sound sound = {
                .mic = s.samples + at, .count = TICK, .adc_us = now_us - 10000};
            rnl_live_event e;
            size_t got;
            assert_int_equal(rnl_live_push(w->live, &sound, now_us, &got, NULL), RNL_OK);
            for (rnl_status status = RNL_OK; status == RNL_OK;) {
                status = rnl_live_step(w->live, now_us, NULL);
                while (rnl_live_next_event(w->live, &e) == RNL_OK) {
                    stalls = stalls || e.kind == RNL_LIVE_HOLD;
                    over = over || e.kind == RNL_LIVE_RESUME || e.kind == RNL_LIVE_CUT;
                }
            }
            if (stalls && !over) continue;
            if (rnl_live_pull(w->live, out, 240, now_us, now_us, &got) == RNL_OK)
                pulled += (int64_t)got;
        }
        rnl_live_facts facts;
        rnl_live_get_facts(w->live, &facts);
        assert_true(over);
        assert_int_equal(facts.pulled_count, pulled);
        world_drop(w);
    }
    script_free(&s);
}

/* The input is over while the answer is held: it is heard all the same. */
static void the_end_of_the_input_decides(void **state) {
    (void)state;
    script s = word_into_answer(350, 0.1);
    const rnl_live_config c = plain();
    for (int k = 0; k < 2; k++) {
        world *w = open(&c, &s, 600, k == 0 ? "Yeah." : "Stop.", 1);
        world_run(w);
        assert_int_equal(ear.asked_count, 1);
        assert_int_equal(world_count(w, RNL_LIVE_RESUME), k == 0);
        assert_int_equal(world_count(w, RNL_LIVE_TURN), 1 + k);
        if (k == 1) assert_int_equal(turn_of(w, 1)->end_rule, RNL_LIVE_END_FINISH);
        world_drop(w);
    }
    script_free(&s);
}

/* ---- The model's own hearing ---- */

static struct {
    char text[LIVE_HOLD_TEXT_CAP];
    size_t size;
    rnl_status status;
    const char *instead; /* what the rule gets; NULL: what was heard */
    float clip[32000];
    size_t count;
} own;

static rnl_status hear_and_note(rnl_live *l, char *text, size_t cap, size_t *size) {
    const rnl_status status = live_hear_by_model(l, text, cap, size);
    if (status == RNL_OK) return RNL_OK;
    ear.asked_count++;
    own.status = status;
    own.size = *size;
    memcpy(own.text, text, *size);
    const int64_t begin = l->hold.begin.clip_begin, end = l->turns.speech_end + 300 * 16;
    own.count = 0;
    for (int64_t at = begin; at < end; at++) own.clip[own.count++] = l->heard[at % l->heard_cap];
    if (own.instead == NULL) return status;
    *size = strlen(own.instead);
    memcpy(text, own.instead, *size);
    return RNL_DONE;
}

static world *run_own(const rnl_live_config *c, const script *in, uint64_t cut_seed,
                      const char *instead) {
    world *w = open(c, in, c->backchannel_ms, "", 1);
    w->live->hear = hear_and_note;
    w->cut_seed = cut_seed;
    w->cut_cap = 700;
    own.instead = instead;
    own.size = own.count = 0;
    world_run(w);
    return w;
}

/* What a session of its own makes of the clip, in at most eight decisions. */
static rnl_finish transcribe(char *text, size_t cap, size_t *size) {
    rnl_session *s = NULL;
    rnl_session_config config = rnl_session_config_default();
    config.thread_count = 2;
    config.context_cap = 512;
    config.step_positions = 32;
    assert_int_equal(rnl_session_create(model, &config, &s, NULL), RNL_OK);
    const char *prompt = rnl_model_system_prompt(model, RNL_MODE_TRANSCRIBE);
    if (prompt != NULL)
        assert_int_equal(rnl_session_add_text(s, RNL_ROLE_SYSTEM, prompt, strlen(prompt), NULL),
                         RNL_OK);
    assert_int_equal(rnl_session_add_audio(s, own.clip, own.count, RNL_RATE_IN, NULL), RNL_OK);
    rnl_turn_config turn = rnl_turn_config_default(model, RNL_MODE_TRANSCRIBE);
    turn.step_max = 8;
    assert_int_equal(rnl_session_begin(s, &turn, NULL), RNL_OK);
    while (rnl_session_step(s, NULL) == RNL_OK) continue;
    *size = 0;
    for (size_t got; rnl_session_pull_text(s, text + *size, cap - *size, &got) == RNL_OK;)
        *size += got;
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    const rnl_finish finish = reply.finish;
    rnl_session_destroy(&s);
    return finish;
}

/* As a session alone hears it, whatever the conversation has been; and any cut gives the same. */
static void the_model_hears_the_clip_alone(void **state) {
    (void)state;
    script s = word_into_answer(350, 4);
    rnl_live_config c = plain();
    c.backchannel_ms = 600;
    for (int i = 0; i < rig_rounds(2); i++) {
        world *w = run_own(&c, &s, i == 0 ? 0 : 77, NULL);
        assert_int_equal(ear.asked_count, 1);
        char text[LIVE_HOLD_TEXT_CAP];
        size_t size;
        const rnl_finish finish = transcribe(text, sizeof text, &size);
        printf("%zu samples: \"%.*s\", finish %d\n", own.count, (int)size, text, (int)finish);
        assert_int_equal(own.status == RNL_DONE, finish == RNL_FINISH_END);
        if (own.status == RNL_DONE) {
            assert_int_equal(own.size, size);
            assert_memory_equal(own.text, text, size);
        }
        assert_int_equal(world_count(w, RNL_LIVE_CUT), 1); /* minnow knows no such word */
        world_drop(w);
    }
    script_free(&s);
}

/* The second word is heard as if there had been no first. */
static void each_word_is_heard_afresh(void **state) {
    (void)state;
    script s = word_into_answer(350, 0.7);
    const size_t word = 350 * 16, at = s.count, from = s.count - 700 * 16 - word;
    script_silence(&s, 0.35);
    for (size_t i = 0; i < word; i++) s.samples[at + i] = s.samples[from + i];
    script_silence(&s, 4);
    script_noise(&s, 0.0005f, 5);
    rnl_live_config c = plain();
    c.backchannel_ms = 600;
    world *w = run_own(&c, &s, 0, "Yeah.");
    char text[LIVE_HOLD_TEXT_CAP];
    size_t size;
    assert_int_equal(ear.asked_count, 2);
    assert_int_equal(transcribe(text, sizeof text, &size), RNL_FINISH_END);
    assert_int_equal(own.status, RNL_DONE);
    assert_int_equal(own.size, size);
    assert_memory_equal(own.text, text, size);
    assert_int_equal(turn_of(w, 0)->hold_count, 2);
    world_drop(w);
    script_free(&s);
}

/* Hearing leaves no trace in the conversation. */
static void hearing_changes_nothing_of_the_answer(void **state) {
    (void)state;
    script s = word_into_answer(350, 6);
    rnl_live_config c = plain();
    c.backchannel_ms = 600;
    world *given = open(&c, &s, 600, "Mhm.", 1);
    world_run(given);
    world *w = run_own(&c, &s, 0, "Mhm.");
    assert_int_equal(ear.asked_count, 1);
    assert_int_equal(world_count(w, RNL_LIVE_RESUME), 1);
    assert_string_equal(w->said, given->said);
    assert_int_equal(w->reply_count, given->reply_count);
    assert_memory_equal(w->reply, given->reply, w->reply_count * sizeof *w->reply);
    assert_int_equal(positions_of(w), positions_of(given));
    world_drop(w);
    world_drop(given);
    script_free(&s);
}

/* So short a word interrupts nothing by itself; where it can be heard, it holds the answer, and
 * what it is decides. */
static void a_short_word_is_heard(void **state) {
    (void)state;
    static const char *const words[] = {"Stop.", "Mhm."};
    script s = word_into_answer(210, 4);
    rnl_live_config c = plain();
    world *w = open(&c, &s, 0, "", 1);
    world_run(w);
    assert_int_equal(world_count(w, RNL_LIVE_FALSE_ALARM), 1);
    assert_int_equal(world_count(w, RNL_LIVE_CUT), 0);
    world_drop(w);
    c.backchannel_ms = 600;
    for (int k = 0; k < 2; k++) {
        w = run_own(&c, &s, 0, words[k]);
        assert_int_equal(ear.asked_count, 1);
        assert_int_equal(world_count(w, RNL_LIVE_HOLD), 1);
        assert_int_equal(world_count(w, RNL_LIVE_RESUME), k);
        assert_int_equal(world_count(w, RNL_LIVE_CUT), 1 - k);
        assert_int_equal(world_count(w, RNL_LIVE_TURN), 2 - k);
        world_drop(w);
    }
    script_free(&s);
}

static void says(rnl_live_config *c, rnl_status status, const char *want) {
    rnl_live *live = NULL;
    rnl_error error = {0};
    assert_int_equal(rnl_live_create(model, c, &live, &error), status);
    assert_null(live);
    if (strstr(error.text, want) == NULL) fail_msg("%s", error.text);
}

static void settings(void **state) {
    (void)state;
    rnl_live_config c = plain();
    assert_int_equal(c.backchannel_ms, 0); /* minnow's */
    c.backchannel_ms = 1001;
    says(&c, RNL_ERR_ARGUMENT, "backchannel_ms is 1001, outside 0 to 1000");
    c.backchannel_ms = 600;
    c.end_ms = 331;
    says(&c, RNL_ERR_ARGUMENT, "end_ms is 331, outside 332 to 5000");
    c = plain();
    c.backchannel_ms = 600;
    c.turn_network = true;
    c.end_ms_min = 331;
    says(&c, RNL_ERR_ARGUMENT, "end_ms_min is 331, outside 332 to 5000");
    /* The second session counts. */
    rnl_live *live = NULL;
    c = plain();
    assert_int_equal(rnl_live_create(model, &c, &live, NULL), RNL_OK);
    c.session.memory_size_max = live->session->planned_size;
    rnl_live_destroy(&live);
    assert_int_equal(rnl_live_create(model, &c, &live, NULL), RNL_OK);
    rnl_live_destroy(&live);
    c.backchannel_ms = 600;
    says(&c, RNL_ERR_BUDGET, "set backchannel_ms to 0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_backchannel_the_answer_goes_on),
        cmocka_unit_test(a_demand_cuts_what_was_held),
        cmocka_unit_test(a_long_interruption_is_not_heard_first),
        cmocka_unit_test(holds_depend_on_the_sound_alone),
        cmocka_unit_test(a_held_answer_is_not_made),
        cmocka_unit_test(a_queue_of_the_caller_waits_as_well),
        cmocka_unit_test(a_fade_waits_for_its_caller),
        cmocka_unit_test(the_end_of_the_input_decides),
        cmocka_unit_test(the_model_hears_the_clip_alone),
        cmocka_unit_test(each_word_is_heard_afresh),
        cmocka_unit_test(hearing_changes_nothing_of_the_answer),
        cmocka_unit_test(a_short_word_is_heard),
        cmocka_unit_test(settings),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
