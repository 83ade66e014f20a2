/* What callers of the live loop rely on, however they call it: the end of a reply is told by pull
 * for any size of pulls, a turn's first marks stay true however long the key is held, and what is
 * counted as pulled was pulled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/rig.h"
#include "tests/support/world.h"

enum { TICK_US = 10000, TICK = RNL_RATE_IN / 100, PULL_CAP = 24000 };

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

/* A caller that pushes and pulls once every 10 ms and plays at once what it gets. */
typedef struct caller {
    rnl_live *live;
    size_t pull_cap;
    int64_t now_us;
    int replies, done_count;
    int64_t sample_count; /* pulled */
    bool late;            /* a sample came between the end of a reply and its RNL_DONE */
    bool stalls, stalled; /* does not pull any more from the first cut on */
    int cut_count;        /* replies cut, whether they sounded or not */
    rnl_live_turn turn;   /* the last one */
} caller;

static void pull_once(caller *c) {
    static float out[PULL_CAP];
    size_t got = 0;
    const int owed = c->replies - c->done_count;
    const rnl_status status = rnl_live_pull(c->live, out, c->pull_cap, c->now_us, c->now_us, &got);
    assert_int_equal(got > 0, status == RNL_OK);
    if (status == RNL_OK && owed > 0) c->late = true;
    c->done_count += status == RNL_DONE;
    c->sample_count += (int64_t)got;
}

static void tick(caller *c, const float mic[TICK]) {
    const rnl_live_sound sound = {.mic = mic, .count = TICK, .adc_us = c->now_us - TICK_US};
    rnl_live_event e;
    size_t taken;
    rnl_status status;
    assert_int_equal(rnl_live_push(c->live, &sound, c->now_us, &taken, NULL), RNL_OK);
    assert_int_equal(taken, TICK);
    do {
        status = rnl_live_step(c->live, c->now_us, NULL);
        assert_true(status >= 0);
        while (rnl_live_next_event(c->live, &e) == RNL_OK) {
            c->stalled = c->stalled || (c->stalls && e.kind == RNL_LIVE_CUT);
            if (e.kind != RNL_LIVE_TURN) continue;
            c->cut_count += e.turn.barged_in;
            c->replies += !e.turn.barged_in;
            c->turn = e.turn;
        }
    } while (status == RNL_OK);
    if (!c->stalled) pull_once(c);
    c->now_us += TICK_US;
}

/* Plays what the script holds, then silence until the loop is idle. */
static void listen(caller *c, const script *in) {
    rnl_live_facts facts;
    for (size_t at = 0;; at += TICK) {
        float mic[TICK] = {0};
        const size_t left = at < in->count ? in->count - at : 0;
        if (left > 0) memcpy(mic, in->samples + at, (left < TICK ? left : TICK) * sizeof *mic);
        tick(c, mic);
        rnl_live_get_facts(c->live, &facts);
        if (left == 0 && facts.idle) return;
    }
}

static void each_reply_is_told_to_be_over_once(void **state) {
    (void)state;
    const struct {
        size_t pull_cap;
        int rate_out;
    } ways[] = {{240, 24000}, {2400, 24000}, {PULL_CAP, 24000}, {160, 16000}, {16000, 16000}};
    script in = {0};
    script_silence(&in, 0.5);
    script_say(&in, "light");
    script_silence(&in, 5);
    script_say(&in, "sum");
    script_silence(&in, 1);
    script_noise(&in, 0.0005f, 1);
    const size_t most = rig_rounds(2) == 1 ? 2 : sizeof ways / sizeof *ways;
    for (size_t i = 0; i < most; i++) {
        rnl_live_config config = rnl_live_config_default(model);
        config.session.thread_count = 2;
        config.session.context_cap = 1024;
        config.rate_out = ways[i].rate_out;
        caller c = {.pull_cap = ways[i].pull_cap};
        assert_int_equal(rnl_live_create(model, &config, &c.live, NULL), RNL_OK);
        listen(&c, &in);
        pull_once(&c); /* what the last step has left to tell */
        assert_int_equal(c.replies, 2);
        assert_true(c.sample_count > 10000);
        assert_int_equal(c.done_count, 2);
        assert_false(c.late);
        rnl_live_destroy(&c.live);
    }
    script_free(&in);
}

/* Push-to-talk, the key held on in silence: the last speech is where it was. */
static void marks_stay_however_long_the_key_is_held(void **state) {
    (void)state;
    const int held_seconds[] = {1, 14, 25};
    int64_t first = 0;
    for (int i = 0; i < 3; i++) {
        script in = {0};
        script_silence(&in, 0.5);
        script_say(&in, "sum");
        const int64_t end_us = (int64_t)in.count * 1000000 / RNL_RATE_IN;
        const int64_t release_us = end_us + held_seconds[i] * (int64_t)1000000;
        script_silence(&in, held_seconds[i] + 0.5);
        rnl_live_config config = rnl_live_config_default(model);
        config.session.thread_count = 1;
        config.session.context_cap = 1024;
        config.push_to_talk = true;
        config.turn_seconds_max = 60;
        config.echo_cancel = false;
        caller c = {.pull_cap = 240};
        assert_int_equal(rnl_live_create(model, &config, &c.live, NULL), RNL_OK);
        for (size_t at = 0; at + TICK <= in.count; at += TICK) {
            rnl_live_hold(c.live, c.now_us >= 300000 && c.now_us < release_us);
            tick(&c, in.samples + at);
        }
        const script rest = {0};
        rnl_live_hold(c.live, false);
        listen(&c, &rest);
        assert_int_equal(c.replies, 1);
        const int64_t *mark = c.turn.mark_us;
        if (i == 0) first = mark[RNL_LIVE_T0];
        assert_true(mark[RNL_LIVE_T0] > end_us - 1000000 && mark[RNL_LIVE_T0] < end_us);
        assert_int_equal(mark[RNL_LIVE_T0], first);
        assert_true(mark[RNL_LIVE_T1] > mark[RNL_LIVE_T0] &&
                    mark[RNL_LIVE_T1] <= mark[RNL_LIVE_T0] + 2 * TICK_US);
        assert_true(mark[RNL_LIVE_T3] >= release_us);
        rnl_live_destroy(&c.live);
        script_free(&in);
    }
}

/* The fade of a cut waits for a caller that is late, also while the next reply is cut before it has
 * begun to sound: what the loop counts as pulled is what was pulled. */
static void a_fade_survives_the_next_cut(void **state) {
    (void)state;
    script in = {0};
    script_silence(&in, 0.5);
    script_say(&in, "light");
    script_silence(&in, 0.9);
    script_say(&in, "sum"); /* into the answer */
    script_silence(&in, 1.5);
    script_say(&in, "who"); /* into one that nobody has pulled */
    script_silence(&in, 0.3);
    script_noise(&in, 0.0005f, 1);
    rnl_live_config config = rnl_live_config_default(model);
    config.session.thread_count = 2;
    config.session.context_cap = 1024;
    config.echo_cancel = false;
    caller c = {.pull_cap = 240, .stalls = true};
    assert_int_equal(rnl_live_create(model, &config, &c.live, NULL), RNL_OK);
    for (size_t at = 0; at + TICK <= in.count; at += TICK) tick(&c, in.samples + at);
    assert_true(c.stalled);
    assert_int_equal(c.cut_count, 2);
    c.stalls = c.stalled = false;
    const script rest = {0};
    listen(&c, &rest);
    while (c.sample_count > 0) { /* what is left, the fade among it */
        const int64_t before = c.sample_count;
        pull_once(&c);
        if (c.sample_count == before) break;
    }
    rnl_live_facts facts;
    rnl_live_get_facts(c.live, &facts);
    assert_int_equal(facts.pulled_count, c.sample_count);
    rnl_live_destroy(&c.live);
    script_free(&in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reply_is_told_to_be_over_once),
        cmocka_unit_test(marks_stay_however_long_the_key_is_held),
        cmocka_unit_test(a_fade_survives_the_next_cut),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
