/* Calls of tools in a spoken conversation: told when the turn is sure to be over, waited for, and
 * the reply goes on in the same turn with the bits of a session that does the same by itself. In a
 * simulated world, with a random model that is made to call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/live.h"
#include "tests/support/rig.h"
#include "tests/support/world.h"

static const char tools_text[] =
    "[{\"name\":\"lamp\",\"parameters\":{\"type\":\"object\",\"properties\":{\"on\":{\"type\":"
    "\"boolean\"}},\"required\":[\"on\"]}}]";
static const char result_text[] = "The lamp is on.";

static rnl_model *model;
static rnl_constraint *tools, *own_tools; /* of the loop, of a session beside it */

static int setup(void **state) {
    (void)state;
    rnl_error error = {0};
    model = rig_model_fast("tiny");
    if (rnl_tools_create(model, tools_text, strlen(tools_text), NULL, &tools, &error) != RNL_OK ||
        rnl_tools_create(model, tools_text, strlen(tools_text), NULL, &own_tools, &error) != RNL_OK)
        fail_msg("%s", error.text);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rnl_constraint_destroy(&tools);
    rnl_constraint_destroy(&own_tools);
    rnl_model_close(&model);
    return 0;
}

static rnl_live_config plain(void) {
    rnl_live_config c = rnl_live_config_default(model);
    c.session.thread_count = 2;
    c.session.context_cap = 1024;
    c.session.drop_oldest_turns = false;
    c.system = "Help.";
    c.turn.tools = tools;
    c.turn.call_required = true;
    c.turn.step_max = 60;
    c.turn_network = false;
    c.lead_in_trim = false;
    c.echo_cancel = false;
    return c;
}

static script question(double rest_s) {
    script s = {0};
    script_silence(&s, 1);
    script_say(&s, "light");
    script_silence(&s, rest_s);
    script_noise(&s, 0.0005f, 3);
    return s;
}

/* Of a world: the calls it has made, and the clip it has heard. */
typedef struct told {
    char calls[512]; /* one line each */
    int count, told_at;
    float *clip;
    size_t clip_count;
} told;

static void on_event(world *w, const rnl_live_event *e) {
    enum { CLIP_CAP = 10 * RNL_RATE_IN };
    static char line[RNL_CALL_SIZE_MAX];
    told *t = w->context;
    size_t size;
    if (e->kind == RNL_LIVE_THINKING) {
        free(t->clip);
        t->clip = malloc(CLIP_CAP * sizeof *t->clip);
        assert_non_null(t->clip);
        rnl_live_clip(w->live, t->clip, CLIP_CAP, &t->clip_count);
    }
    if (e->kind != RNL_LIVE_CALL) return;
    assert_int_equal(rnl_live_pull_call(w->live, line, 3, &size), RNL_ERR_ARGUMENT);
    while (rnl_live_pull_call(w->live, line, sizeof line, &size) == RNL_OK) {
        const size_t at = strlen(t->calls);
        assert_true(at + size + 2 < sizeof t->calls);
        memcpy(t->calls + at, line, size);
        t->calls[at + size] = '\n';
        t->count++;
    }
}

static world *open(const rnl_live_config *c, const script *s, told *t) {
    world *w = world_new(model, c, s);
    *t = (told){.count = 0};
    w->on_event = on_event;
    w->context = t;
    return w;
}

/* Gives the results as soon as they are taken. */
static void answer_all(world *w, told *t) {
    rnl_status status = RNL_AGAIN;
    for (int i = 0; i < t->count; i++) {
        while ((status = rnl_live_add_result(w->live, result_text, strlen(result_text), NULL)) ==
               RNL_AGAIN)
            world_run_until(w, w->now_us + 20000);
        assert_int_equal(status, RNL_OK);
    }
    rnl_error error = {0};
    assert_int_equal(rnl_live_add_result(w->live, "x", 1, &error), RNL_ERR_STATE);
}

/* ---- The same by a session ---- */

typedef struct said {
    char text[4096];
    size_t size;
    float *samples;
    size_t count;
    int calls;
} said;

static void run_session(rnl_session *s, said *out) {
    static char line[RNL_CALL_SIZE_MAX];
    rnl_status status = RNL_OK;
    size_t got;
    while (status != RNL_DONE) {
        rnl_error error = {0};
        status = rnl_session_step(s, &error);
        if (status < 0) fail_msg("%s", error.text);
        while (rnl_session_pull_call(s, line, sizeof line, &got) == RNL_OK) out->calls++;
        while (rnl_session_pull_text(s, out->text + out->size, sizeof out->text - out->size,
                                     &got) == RNL_OK)
            out->size += got;
        do {
            out->samples = realloc(out->samples, (out->count + 4096) * sizeof *out->samples);
            assert_non_null(out->samples);
            got = 0;
            (void)!rnl_session_pull_samples(s, out->samples + out->count, 4096, &got);
            out->count += got;
        } while (got > 0);
    }
}

static said alone(const rnl_live_config *c, const told *t, int *position_count) {
    rnl_session_config config = c->session;
    rnl_session *s = NULL;
    rnl_turn_config turn = c->turn;
    said out = {.size = 0};
    config.clip_seconds_max = 30;
    turn.tools = own_tools;
    assert_int_equal(rnl_session_create(model, &config, &s, NULL), RNL_OK);
    assert_int_equal(rnl_session_add_tools(s, c->system, strlen(c->system), own_tools, NULL),
                     RNL_OK);
    assert_int_equal(rnl_session_add_audio(s, t->clip, t->clip_count, RNL_RATE_IN, NULL), RNL_OK);
    assert_int_equal(rnl_session_begin(s, &turn, NULL), RNL_OK);
    run_session(s, &out);
    assert_int_equal(out.calls, t->count);
    for (int i = 0; i < t->count; i++)
        assert_int_equal(
            rnl_session_add_text(s, RNL_ROLE_TOOL, result_text, strlen(result_text), NULL), RNL_OK);
    turn.call_required = false;
    assert_int_equal(rnl_session_begin(s, &turn, NULL), RNL_OK);
    run_session(s, &out);
    *position_count = rnl_session_position_count(s);
    rnl_session_destroy(&s);
    return out;
}

static int positions_of(const world *w) {
    rnl_live_facts facts;
    rnl_live_get_facts(w->live, &facts);
    return facts.position_count;
}

/* ---- Tests ---- */

static void check_talk(const rnl_live_config *c, int64_t cost_us) {
    script s = question(4);
    told t;
    world *w = open(c, &s, &t);
    w->text_cost_us = w->frame_cost_us = cost_us;
    world_run_until(w, 9000000);
    assert_true(t.count >= 1);
    assert_memory_equal(t.calls, "{\"tool\":\"lamp\",\"arguments\":{\"on\":", 32);
    /* Not at a guess; and without results nothing ends. */
    assert_true(world_find(w, RNL_LIVE_CALL, 0)->now_us >=
                world_find(w, RNL_LIVE_THINKING, 0)->now_us);
    assert_int_equal(world_count(w, RNL_LIVE_TURN), 0);
    assert_int_equal(rnl_live_add_result(w->live, "\xff", 1, NULL), RNL_ERR_DATA);
    const size_t first = w->reply_count;
    answer_all(w, &t);
    world_run(w);
    assert_int_equal(world_count(w, RNL_LIVE_TURN), 1);
    const rnl_live_turn *turn = &world_find(w, RNL_LIVE_TURN, 0)->turn;
    int position_count;
    said own = alone(c, &t, &position_count);
    own.text[own.size] = '\n'; /* as a world ends a turn */
    own.text[own.size + 1] = '\0';
    assert_string_equal(w->said, own.text);
    assert_string_equal(w->heard, own.text);
    assert_int_equal(positions_of(w), position_count);
    assert_int_equal(w->reply_count, own.count);
    assert_memory_equal(w->reply, own.samples, own.count * sizeof *own.samples);
    assert_true(first < own.count); /* there was something behind the result */
    assert_int_equal(turn->call_count, t.count);
    assert_int_equal(turn->sound_count, (int64_t)own.count);
    assert_int_equal(turn->played_count, (int64_t)own.count);
    assert_int_equal(turn->underrun_count, 0); /* waiting is none */
    assert_false(turn->barged_in);
    free(own.samples);
    free(t.clip);
    world_drop(w);
    script_free(&s);
}

static void the_reply_goes_on_behind_the_results(void **state) {
    (void)state;
    rnl_live_config c = plain();
    check_talk(&c, 0);
    c.speculation = false;
    c.session.seed = 9;
    check_talk(&c, 10000);
}

/* Somebody speaks while a result is waited for: it is not wanted any more, the new turn is. */
static void an_interruption_ends_the_waiting(void **state) {
    (void)state;
    script s = question(6);
    script_say(&s, "who");
    script_silence(&s, 3);
    told t;
    const rnl_live_config c = plain();
    world *w = open(&c, &s, &t);
    world_run_until(w, 7000000);
    const int count = t.count;
    assert_true(count >= 1);
    world_run_until(w, 12500000);
    const world_event *turn = world_find(w, RNL_LIVE_TURN, 0);
    assert_non_null(turn);
    assert_true(turn->turn.barged_in && turn->turn.call_count == count);
    assert_true(t.count > count); /* of the second turn */
    t.count -= count;
    answer_all(w, &t);
    world_run(w);
    assert_int_equal(world_count(w, RNL_LIVE_TURN), 2);
    assert_false(world_find(w, RNL_LIVE_TURN, 1)->turn.barged_in);
    free(t.clip);
    world_drop(w);
    script_free(&s);
}

/* The same when one of the results was given: nothing can be taken off the reply then. */
static void an_interruption_between_results_and_reply(void **state) {
    (void)state;
    script s = question(6);
    const int64_t speaks_us = (int64_t)s.count * 1000000 / RNL_RATE_IN;
    script_say(&s, "who");
    script_silence(&s, 3);
    told t;
    const rnl_live_config c = plain();
    world *w = open(&c, &s, &t);
    w->frame_cost_us = w->text_cost_us = 30000; /* the reply behind the results takes its time */
    world_run_until(w, speaks_us + 100000);
    const int count = t.count;
    answer_all(w, &t);
    world_run_until(w, speaks_us + 9000000);
    assert_true(world_find(w, RNL_LIVE_TURN, 0)->turn.barged_in);
    assert_true(t.count > count);
    t.count -= count;
    answer_all(w, &t);
    world_run(w);
    assert_int_equal(world_count(w, RNL_LIVE_TURN), 2);
    free(t.clip);
    world_drop(w);
    script_free(&s);
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    rnl_live_config c = plain();
    rnl_live *l = NULL;
    rnl_error error = {0};
    rnl_model *other = rig_model_fast("gguf/tiny-Q4_0.gguf");
    assert_int_equal(rnl_live_create(other, &c, &l, &error), RNL_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "tools"));
    rnl_model_close(&other);
    c.turn.tools = NULL; /* and a call is required */
    assert_int_equal(rnl_live_create(model, &c, &l, &error), RNL_ERR_ARGUMENT);
    c = plain();
    assert_int_equal(rnl_live_create(model, &c, &l, &error), RNL_OK);
    char line[64];
    size_t size;
    assert_int_equal(rnl_live_pull_call(l, line, sizeof line, &size), RNL_AGAIN);
    assert_int_equal(rnl_live_add_result(l, "x", 1, &error), RNL_ERR_STATE);
    rnl_live_destroy(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reply_goes_on_behind_the_results),
        cmocka_unit_test(an_interruption_ends_the_waiting),
        cmocka_unit_test(an_interruption_between_results_and_reply),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
