/* Live loops in a batch: each answers as it does alone, to the bit, whatever passes they share; who
 * finds no place is told and waits; sessions beside them get theirs. Time is simulated. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <runnel/runnel_batch.h>

#include "engine/batch.h"
#include "tests/support/rig.h"

enum {
    LOOPS = 3,
    TICK_US = 10000,
    MIC = RNL_RATE_IN / 100,
    OUT = RNL_RATE_OUT / 100,
    SOUND_CAP = 40 * RNL_RATE_OUT,
    TEXT_CAP = 8192,
    QUESTION = 40000
};

static rnl_error error;
static float *question;

static int setup(void **state) {
    (void)state;
    question = rig_wav("audio/question.wav", 0, QUESTION);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(question);
    return 0;
}

/* Somebody who asks twice, and hears what is answered. */
typedef struct asker {
    rnl_live *live;
    int64_t first, again; /* samples of the microphone at which a question begins; again: set when
                           * the first answer is over */
    int64_t at;
    float *sound; /* [SOUND_CAP] */
    size_t sound_count;
    char text[TEXT_CAP];
    size_t text_size;
    int turns, busy, underruns;
    int64_t clip_size[8];
} asker;

static void open_asker(asker *a, rnl_model *model, rnl_batch *b, int n) {
    rnl_live_config c = rnl_live_config_default(model);
    c.session.context_cap = 512;
    c.session.thread_count = 1;
    c.session.seed = (uint64_t)n;
    c.turn.text = c.turn.audio =
        (rnl_sampling){.temperature = 0.9f, .top_k = 20, .top_p = 1, .repeat_penalty = 1};
    c.turn.step_max = 60 + 10 * n;
    c.turn_seconds_max = 4;
    c.echo_cancel = c.barge_in = false;
    *a = (asker){.first = 1600 + 2500 * n, .again = INT64_MAX};
    a->sound = malloc(SOUND_CAP * sizeof *a->sound);
    assert_non_null(a->sound);
    const rnl_status status = b != NULL ? rnl_live_create_in(b, &c, &a->live, &error)
                                        : rnl_live_create(model, &c, &a->live, &error);
    if (status != RNL_OK) fail_msg("%s", error.text);
}

static void close_asker(asker *a) {
    rnl_live_destroy(&a->live);
    free(a->sound);
}

static float heard_at(const asker *a, int64_t at) {
    if (at >= a->first && at < a->first + QUESTION) return question[at - a->first];
    if (at >= a->again && at < a->again + QUESTION) return question[at - a->again];
    return 0;
}

static void push(asker *a, int64_t now) {
    float mic[MIC];
    size_t got;
    for (int i = 0; i < MIC; i++) mic[i] = heard_at(a, a->at + i);
    const rnl_live_sound x = {.mic = mic, .count = MIC, .adc_us = now - TICK_US};
    if (rnl_live_push(a->live, &x, now, &got, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_int_equal(got, MIC);
    a->at += MIC;
}

static void pull(asker *a, int64_t now) {
    float out[OUT];
    size_t got;
    if (rnl_live_pull(a->live, out, OUT, now, now, &got) != RNL_OK) return;
    assert_true(a->sound_count + got <= SOUND_CAP);
    memcpy(a->sound + a->sound_count, out, got * sizeof *out);
    a->sound_count += got;
}

static void look(asker *a) {
    rnl_live_event e;
    while (rnl_live_next_event(a->live, &e) == RNL_OK) {
        a->busy += e.kind == RNL_LIVE_BUSY;
        if (e.kind == RNL_LIVE_TEXT && a->text_size + e.text_size <= TEXT_CAP) {
            memcpy(a->text + a->text_size, e.text, e.text_size);
            a->text_size += e.text_size;
        }
        if (e.kind != RNL_LIVE_TURN) continue;
        a->clip_size[a->turns++] = e.turn.clip_end - e.turn.clip_begin;
        a->underruns += e.turn.underrun_count;
        if (a->turns == 1) a->again = a->at + 4000;
    }
}

static void run_alone(asker *a) {
    for (int64_t now = TICK_US; a->turns < 2; now += TICK_US) {
        rnl_status status;
        assert_true(now < 60000000);
        push(a, now);
        do {
            status = rnl_live_step(a->live, now, &error);
            look(a);
        } while (status == RNL_OK);
        if (status < 0) fail_msg("%s", error.text);
        pull(a, now);
    }
}

/* All of them, with passes that take pass_us; *extra: a session beside them, or NULL. */
static void run_together(rnl_batch *b, asker *askers, int count, int64_t pass_us) {
    int64_t now = 0, tick = TICK_US;
    for (int left = count; left > 0;) {
        assert_true(now < 120000000);
        left = 0;
        for (; tick <= now + pass_us; tick += TICK_US) {
            for (int i = 0; i < count; i++) push(&askers[i], tick);
            for (int i = 0; i < count; i++) pull(&askers[i], tick);
        }
        for (int i = 0; i < count; i++) {
            const rnl_status status = rnl_live_listen(askers[i].live, now, &error);
            if (status < 0) fail_msg("%s", error.text);
            look(&askers[i]);
            left += askers[i].turns < 2;
        }
        (void)!rnl_batch_step(b, now);
        now += pass_us;
    }
}

static rnl_batch *open_batch(rnl_model *model, int row_cap) {
    rnl_batch_config c = rnl_batch_config_default();
    rnl_batch *b = NULL;
    c.row_cap = row_cap;
    c.decision_cap = 4;
    c.context_cap = 512;
    c.clip_seconds_max = 5;
    c.thread_count = 2;
    c.session_cap = LOOPS + 1;
    if (rnl_batch_create(model, &c, &b, &error) != RNL_OK) fail_msg("%s", error.text);
    return b;
}

static void assert_same(const asker *a, const asker *b) {
    assert_int_equal(a->turns, b->turns);
    assert_memory_equal(a->clip_size, b->clip_size, sizeof a->clip_size);
    assert_int_equal(a->text_size, b->text_size);
    assert_memory_equal(a->text, b->text, a->text_size);
    assert_int_equal(a->sound_count, b->sound_count);
    assert_memory_equal(a->sound, b->sound, a->sound_count * sizeof *a->sound);
}

static void a_loop_answers_as_it_does_alone(void **state) {
    (void)state;
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    asker alone[LOOPS], here[LOOPS];
    for (int i = 0; i < LOOPS; i++) {
        open_asker(&alone[i], model, NULL, i);
        run_alone(&alone[i]);
        assert_true(alone[i].text_size > 0 && alone[i].sound_count > 0);
    }
    const int row_caps[] = {1, 128}, pass_us[] = {2000, 9000};
    for (int round = 0; round < rig_rounds(2); round++) {
        rnl_batch *b = open_batch(model, row_caps[round]);
        rnl_batch_facts facts;
        rnl_batch_set_times(b, 1, 2000, 3000);
        rnl_batch_set_times(b, b->schedule.config.decision_cap, 2000, 3000);
        for (int i = 0; i < LOOPS; i++) open_asker(&here[i], model, b, i);
        run_together(b, here, LOOPS, pass_us[round]);
        rnl_batch_get_facts(b, &facts);
        assert_int_equal(facts.session_count, LOOPS);
        assert_true(facts.pass_count > 0 && facts.decision_count >= facts.pass_count / 2);
        for (int i = 0; i < LOOPS; i++) {
            assert_same(&here[i], &alone[i]);
            close_asker(&here[i]);
        }
        rnl_batch_destroy(&b);
    }
    for (int i = 0; i < LOOPS; i++) close_asker(&alone[i]);
    rnl_model_close(&model);
}

/* One place: the others are told that they wait, and have their answers in the end. */
static void who_finds_no_place_is_told(void **state) {
    (void)state;
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    rnl_batch *b = open_batch(model, 128);
    asker askers[2];
    rnl_batch_set_times(b, 1, 40000, 60000);
    rnl_batch_set_times(b, 4, 160000, 240000);
    assert_true(rnl_batch_admits(b)); /* none can speak without a pause, but one is served */
    for (int i = 0; i < 2; i++) {
        open_asker(&askers[i], model, b, i);
        askers[i].first = 1600;
    }
    assert_false(rnl_batch_admits(b));
    run_together(b, askers, 2, 90000);
    assert_true(askers[0].busy + askers[1].busy > 0);
    assert_true(askers[0].turns >= 2 && askers[1].turns >= 2);
    for (int i = 0; i < 2; i++) close_asker(&askers[i]);
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
}

/* ---- Sessions ---- */

static rnl_session *join(rnl_batch *b, uint64_t seed) {
    rnl_session_config c = rnl_session_config_default();
    rnl_session *s = NULL;
    c.context_cap = 512;
    c.clip_seconds_max = 2;
    c.seed = seed;
    if (rnl_session_create_in(b, &c, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    return s;
}

static void ask(rnl_session *s) {
    const rnl_turn_config turn = {
        .mode = RNL_MODE_INTERLEAVED,
        .text = {.temperature = 0.9f, .top_k = 20, .top_p = 1, .repeat_penalty = 1},
        .audio = {.temperature = 1.0f, .top_k = 4, .top_p = 1, .repeat_penalty = 1},
        .step_max = 30,
        .text_run = 3,
        .audio_run = 4};
    assert_int_equal(rnl_session_add_audio(s, question, 9600, 16000, &error), RNL_OK);
    if (rnl_session_begin(s, &turn, &error) != RNL_OK) fail_msg("%s", error.text);
}

typedef struct said {
    char text[TEXT_CAP];
    float sound[60000];
    size_t size, count;
} said;

static bool hear(rnl_session *s, said *x) {
    size_t got;
    rnl_status status;
    while (rnl_session_pull_text(s, x->text + x->size, TEXT_CAP - x->size, &got) == RNL_OK)
        x->size += got;
    while ((status = rnl_session_pull_samples(s, x->sound + x->count, 60000 - x->count, &got)) ==
           RNL_OK)
        x->count += got;
    return status == RNL_DONE;
}

static void sessions_get_what_they_want(void **state) {
    (void)state;
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    rnl_batch *b = open_batch(model, 64);
    rnl_session *s[3];
    said *x = calloc(4, sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < 3; i++) ask(s[i] = join(b, 7));
    rnl_batch_want(s[1], RNL_WANT_SPEECH, 300000);
    rnl_batch_want(s[2], RNL_WANT_NOTHING, 0);
    int64_t now = 0;
    for (int left = 2; left > 0; now += 1000) {
        assert_true(now < 10000000);
        assert_int_equal(rnl_batch_step(b, now), RNL_OK);
        left = 2;
        for (int i = 0; i < 2; i++) left -= hear(s[i], &x[i]);
    }
    while (rnl_batch_step(b, now += 1000) == RNL_OK) continue; /* the ends of both turns */
    assert_int_equal(rnl_session_stage(s[0]), RNL_STAGE_IDLE);
    assert_int_equal(rnl_session_stage(s[2]), RNL_STAGE_ENCODE); /* nobody wanted it */
    assert_int_equal(s[2]->live->step_count, 0);
    rnl_batch_want(s[2], RNL_WANT_RESULT, now);
    while (rnl_batch_step(b, now += 1000) == RNL_OK) (void)hear(s[2], &x[2]);
    rnl_session *alone = rig_session(model, 1);
    rnl_session_destroy(&alone);
    rnl_session_config c = rnl_session_config_default();
    c.context_cap = 512;
    c.seed = 7;
    c.thread_count = 1;
    assert_int_equal(rnl_session_create(model, &c, &alone, &error), RNL_OK);
    ask(alone);
    while (rnl_session_step(alone, &error) != RNL_DONE) (void)hear(alone, &x[3]);
    (void)hear(alone, &x[3]);
    assert_true(x[3].count > 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rnl_batch_status(s[i], &error), RNL_OK);
        assert_int_equal(x[i].size, x[3].size);
        assert_memory_equal(x[i].text, x[3].text, x[3].size);
        assert_int_equal(x[i].count, x[3].count);
        assert_memory_equal(x[i].sound, x[3].sound, x[3].count * sizeof *x[3].sound);
        rnl_session_destroy(&s[i]);
    }
    rnl_session_destroy(&alone);
    free(x);
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
}

/* ---- Trouble ---- */

static void what_cannot_be_is_said(void **state) {
    (void)state;
    rnl_model *model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    rnl_batch *b = open_batch(model, 64);
    asker inside, outside;
    open_asker(&inside, model, b, 0);
    open_asker(&outside, model, NULL, 0);
    look(&inside);
    assert_int_equal(rnl_live_step(inside.live, 0, &error), RNL_ERR_STATE);
    assert_non_null(strstr(error.text, "rnl_batch_step"));
    assert_int_equal(rnl_live_listen(outside.live, 0, &error), RNL_ERR_STATE);
    assert_non_null(strstr(error.text, "rnl_live_step"));
    assert_int_equal(rnl_live_listen(inside.live, 0, &error), RNL_OK); /* nothing was lost */
    assert_int_equal(rnl_batch_step(b, 0), RNL_OK);                    /* the system prompt */
    rnl_session *s[LOOPS + 1] = {NULL};
    for (int i = 0; i < LOOPS; i++) s[i] = join(b, 1);
    rnl_session_config c = rnl_session_config_default();
    c.context_cap = 512;
    c.clip_seconds_max = 2;
    assert_int_equal(rnl_session_create_in(b, &c, &s[LOOPS], &error), RNL_ERR_BUDGET);
    assert_non_null(strstr(error.text, "session_cap"));
    assert_false(rnl_batch_admits(b));
    rnl_live *l = NULL;
    assert_int_equal(rnl_live_create_in(NULL, NULL, &l, &error), RNL_ERR_ARGUMENT);
    rnl_live_config config = rnl_live_config_default(model);
    config.turn_seconds_max = 5; /* and half a second */
    config.session.context_cap = 512;
    rnl_session_destroy(&s[0]);
    assert_int_equal(rnl_live_create_in(b, &config, &l, &error), RNL_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "clip_seconds_max"));
    assert_null(l);
    /* One that fails is lost, and the loop beside it goes on. */
    rig_text(s[1], RNL_ROLE_USER, "one two three");
    rig_begin(s[1], RNL_MODE_TEXT, 30);
    s[1]->embeddings[(size_t)(s[1]->live->position_count - 1) *
                     (size_t)backbone_width(&model->backbone)] = NAN;
    int64_t now = 0;
    while (rnl_batch_step(b, now += 1000) == RNL_OK) continue;
    assert_int_equal(rnl_batch_status(s[1], &error), RNL_ERR_FORMAT);
    assert_non_null(strstr(error.text, "not numbers"));
    rnl_session_reset(s[1]);
    assert_int_equal(rnl_batch_status(s[1], &error), RNL_OK);
    for (int i = 1; i < LOOPS; i++) rnl_session_destroy(&s[i]);
    close_asker(&inside);
    close_asker(&outside);
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_answers_as_it_does_alone),
        cmocka_unit_test(who_finds_no_place_is_told),
        cmocka_unit_test(sessions_get_what_they_want),
        cmocka_unit_test(what_cannot_be_is_said),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
