/* Who takes part in a pass: rules one by one, and a simulated world in which many talk, whose sound
 * must not run out, whatever the others want. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "engine/schedule.h"

static schedule_config speech(void) {
    return (schedule_config){
        .row_cap = 128, .decision_cap = 32, .frame_us = 80000, .text_run = 6, .audio_run = 12};
}

/* ---- Times ---- */

static schedule known(const int (*times)[3], int count) {
    schedule s;
    const schedule_config c = speech();
    schedule_init(&s, &c);
    for (int i = 0; i < count; i++)
        schedule_know(&s, times[i][0], 1000.0 * times[i][1], 1000.0 * times[i][2]);
    return s;
}

static void how_many_can_speak(void **state) {
    (void)state;
    const int fits[][3] = {{1, 32, 48}}, late[][3] = {{1, 33, 48}};
    schedule s = known(fits, 1);
    assert_int_equal(schedule_speaking_max(&s), 1); /* 12 * 48 + 6 * 32 = 768 of 960 ms */
    s = known(late, 1);
    assert_int_equal(schedule_speaking_max(&s), 0);
    /* 180, 360 and 1,800 ms: 768 lies 0.28 of the way from 4 to 14 rows. */
    const int three[][3] = {{14, 100, 100}, {1, 10, 10}, {4, 20, 20}};
    s = known(three, 3);
    assert_int_equal(schedule_speaking_max(&s), 6);
    /* Beyond what is known, in proportion at most: 24 rows take 24 / 16 of 492 ms. */
    const int beyond[][3] = {{16, 16, 33}};
    s = known(beyond, 1);
    assert_int_equal(schedule_speaking_max(&s), 24);
    const schedule_pass one = {.texts = 1, .frames = 1};
    assert_true(schedule_foresee(&s, &one) > 16000 + 16000 && schedule_foresee(&s, &one) < 34000);
}

static void measured_times_are_learned(void **state) {
    (void)state;
    schedule s;
    const schedule_config config = speech();
    schedule_init(&s, &config);
    int order[2];
    schedule_client c[2] = {{.want = SCHEDULE_TEXT}, {.want = SCHEDULE_FRAME}};
    for (int i = 0; i < 200; i++) {
        assert_int_equal(schedule_plan(&s, c, order, 2, i * 5000), 2);
        schedule_learn(&s, 5000);
    }
    assert_true(s.planned.us > 4900 && s.planned.us < 5100);
    schedule_learn(&s, 10000); /* slower: half of it at once */
    assert_int_equal(schedule_plan(&s, c, order, 2, 1000000), 2);
    assert_true(s.planned.us > 7400 && s.planned.us < 7600);
    schedule_learn(&s, 1e9); /* the machine slept: four times as long is believed at most */
    assert_int_equal(schedule_plan(&s, c, order, 2, 1000000), 2);
    assert_true(s.planned.us < 4 * 7600);
}

/* Four rows were slow in a bad minute; now one is fast, so four are worth trying again. */
static void what_is_not_tried_follows(void **state) {
    (void)state;
    const int times[][3] = {{1, 40, 60}, {4, 80, 120}};
    schedule s = known(times, 2);
    int order[1];
    schedule_client c = {.want = SCHEDULE_TEXT};
    for (int i = 0; i < 200; i++) {
        assert_int_equal(schedule_plan(&s, &c, order, 1, i * 10000), 1);
        schedule_learn(&s, 10000);
    }
    assert_true(schedule_text_us(&s, 1) < 10100);
    assert_true(schedule_text_us(&s, 4) > 39000 && schedule_text_us(&s, 4) < 41000);
}

/* A hiccup makes the next passes look longer; how many can speak at once it does not change. */
static void one_slow_pass_is_no_measure(void **state) {
    (void)state;
    const int times[][3] = {{1, 20, 30}, {8, 32, 40}}; /* 12 * 40 + 6 * 32 = 672 */
    schedule s = known(times, 2);
    int order[1];
    schedule_client c = {.want = SCHEDULE_TEXT};
    const int before = schedule_speaking_max(&s);
    assert_true(before >= 8);
    assert_int_equal(schedule_plan(&s, &c, order, 1, 0), 1);
    schedule_learn(&s, 40000);
    assert_int_equal(schedule_plan(&s, &c, order, 1, 0), 1);
    assert_true(s.planned.us > 29000);
    assert_true(schedule_speaking_max(&s) >= before - 1);
}

/* ---- Rules ---- */

static void the_earliest_go_first(void **state) {
    (void)state;
    schedule_config config = speech();
    config.decision_cap = config.row_cap = 2;
    schedule s;
    schedule_init(&s, &config);
    int order[3];
    schedule_client c[3] = {{.want = SCHEDULE_TEXT, .due_us = 3000000},
                            {.want = SCHEDULE_TEXT, .due_us = 1000000},
                            {.want = SCHEDULE_FRAME, .due_us = 2000000}};
    assert_int_equal(schedule_plan(&s, c, order, 3, 0), 2);
    assert_int_equal(c[0].granted, 0);
    assert_int_equal(c[1].granted, 1);
    assert_int_equal(c[2].granted, 1);
    c[0].texts_before = 200; /* much is to be done before its sound can go on */
    assert_int_equal(schedule_plan(&s, c, order, 3, 0), 2);
    assert_int_equal(c[0].granted, 1);
}

/* Somebody plays with a reserve of 100 ms; of a long prefill there is only so much as fits. */
static void chunks_fit_into_the_reserve(void **state) {
    (void)state;
    const int times[][3] = {{1, 10, 20}, {32, 10, 20}};
    schedule s = known(times, 2);
    s.position_us = 1000;
    int order[3];
    schedule_client c[3] = {{.want = SCHEDULE_FRAME,
                             .frames_before = INT_MAX,
                             .playing = true,
                             .reply = true,
                             .placed = true,
                             .due_us = 100000},
                            {.want = SCHEDULE_PREFILL, .size = 500, .due_us = 0},
                            {.want = SCHEDULE_ENCODE, .size = 1000, .due_us = 0}};
    s.encode_us = 10;
    /* 100 - 20 - 0.25 * 20 = 75 ms; 20 for the frame: 55 positions, and no block. */
    assert_int_equal(schedule_plan(&s, c, order, 3, 0), 2);
    assert_int_equal(c[0].granted, 1);
    assert_int_equal(c[1].granted, 55);
    c[0].due_us = 50000; /* 5 ms are no chunk */
    assert_int_equal(schedule_plan(&s, c, order, 3, 0), 1);
    c[0].due_us = 5000000;
    assert_int_equal(schedule_plan(&s, c, order, 3, 0), 3);
    assert_int_equal(c[1].granted, SCHEDULE_CHUNK_MAX - 1); /* the pass has 128 rows */
    c[0].want = SCHEDULE_NOTHING;                           /* its last sound is made */
    c[0].due_us = 50000;
    assert_int_equal(schedule_plan(&s, c, order, 3, 0), 2);
    assert_int_equal(c[1].granted, SCHEDULE_CHUNK_MAX);
    assert_int_equal(c[2].granted, SCHEDULE_BLOCK_MAX);
}

/* Two play, each with less than a pass of both and one of its own: to leave one out would only make
 * it later. With sound for both, the pass ends in time for the first. */
static void who_cannot_wait_goes_too(void **state) {
    (void)state;
    const int times[][3] = {{1, 30, 40}, {2, 32, 44}};
    schedule s = known(times, 2);
    int order[2];
    schedule_client c[2] = {{.want = SCHEDULE_FRAME,
                             .frames_before = INT_MAX,
                             .playing = true,
                             .reply = true,
                             .placed = true,
                             .due_us = 72000},
                            {.want = SCHEDULE_FRAME,
                             .frames_before = INT_MAX,
                             .playing = true,
                             .reply = true,
                             .placed = true,
                             .due_us = 90000}};
    /* 72 - 20 - 0.25 * 44 = 41 ms: 40 for one, 44 for two. */
    assert_int_equal(schedule_plan(&s, c, order, 2, 0), 2);
    c[1].due_us = 900000;
    assert_int_equal(schedule_plan(&s, c, order, 2, 0), 1);
    assert_int_equal(c[0].granted, 1);
}

/* One is at its tokens, another three frames before them: they go on together from there, if the
 * first has sound for so long, and no longer than until the other is there. */
static void who_has_sound_waits_for_who_comes(void **state) {
    (void)state;
    const int times[][3] = {{1, 30, 40}, {2, 32, 44}};
    schedule s = known(times, 2);
    int order[2];
    schedule_client c[2] = {{.want = SCHEDULE_TEXT,
                             .texts_before = 6,
                             .playing = true,
                             .reply = true,
                             .placed = true,
                             .due_us = 1000000},
                            {.want = SCHEDULE_FRAME,
                             .frames_before = 3,
                             .playing = true,
                             .reply = true,
                             .placed = true,
                             .due_us = 1000000}};
    assert_int_equal(schedule_plan(&s, c, order, 2, 0), 1);
    assert_int_equal(c[1].granted, 1);
    c[1].frames_before = 10; /* nearer the other way round: that one will wait for this */
    assert_int_equal(schedule_plan(&s, c, order, 2, 0), 2);
    c[1].frames_before = 3;
    c[0].texts_before = 5; /* in the midst of its tokens */
    assert_int_equal(schedule_plan(&s, c, order, 2, 0), 2);
    c[0].texts_before = 6;
    c[0].due_us = 500000; /* 5 * 43 + 44 + 31 ms for its tokens, 87 for two passes, 200 to keep */
    assert_int_equal(schedule_plan(&s, c, order, 2, 0), 2);
    c[0].due_us = 1000000;
    c[1].want = SCHEDULE_TEXT;
    c[1].texts_before = 6;
    assert_int_equal(schedule_plan(&s, c, order, 2, 0), 2);
}

static void who_comes_late_waits(void **state) {
    (void)state;
    const int times[][3] = {{1, 32, 48}, {32, 3200, 4800}}; /* one can speak */
    schedule s = known(times, 2);
    int order[2];
    schedule_client c[2] = {{.want = SCHEDULE_TEXT, .reply = true, .due_us = 300000},
                            {.want = SCHEDULE_PREFILL, .size = 9, .reply = true, .due_us = 310000}};
    assert_int_equal(schedule_plan(&s, c, order, 2, 0), 1);
    assert_true(c[0].placed && !c[1].placed && c[1].granted == 0 && !c[1].overdue);
    assert_int_equal(schedule_plan(&s, c, order, 2, 2310000), 1);
    assert_true(c[1].overdue);
    c[0].want = SCHEDULE_NOTHING;
    c[0].placed = false;
    assert_int_equal(schedule_plan(&s, c, order, 2, 2400000), 1);
    assert_true(c[1].placed && c[1].granted == 9 && !c[1].overdue);
}

static void load_shortens_the_way_ahead(void **state) {
    (void)state;
    const int times[][3] = {{1, 32, 48}};
    schedule s = known(times, 1);
    int order[2];
    schedule_client c[2] = {
        {.want = SCHEDULE_FRAME, .reply = true, .placed = true, .playing = true},
        {.want = SCHEDULE_PREFILL, .size = 9, .guess = true}};
    assert_int_equal(schedule_ahead_us(&s), 10000000);
    assert_true(schedule_admits(&s, 1, 2.0) && !schedule_admits(&s, 2, 2.0));
    int64_t now = 0;
    for (; now < 60000000; now += 50000) {
        c[0].due_us = now + 400000;
        (void)schedule_plan(&s, c, order, 2, now);
        schedule_learn(&s, s.planned.us);
    }
    assert_true(s.load > 0.95);
    assert_int_equal(schedule_ahead_us(&s), 1500000);
    assert_false(schedule_admits(&s, 1, 2.0));
    assert_int_equal(c[1].granted, 0); /* guesses are not worth it now */
    c[0].due_us = now + 1600000;
    assert_int_equal(schedule_plan(&s, c, order, 2, now), 0);
    c[1].guess = false;
    assert_int_equal(schedule_plan(&s, c, order, 2, now), 1);
}

/* ---- A simulated world ---- */

enum { CROWD = 64, BLOCKS = 17 };

typedef struct talker {
    int stage; /* 0: the user speaks until `at`; 1: encoder; 2: prefill; 3: reply; 4: played */
    int64_t at, end_of_turn, due;
    double clip;
    int blocks, positions, frames, frame_count, run;
    bool text, placed, started;
    int64_t waited;
} talker;

typedef struct place {
    schedule s;
    random_state random;
    talker talkers[CROWD];
    schedule_client clients[CROWD];
    int order[CROWD];
    int count;
    double text_byte, text_row, frame_byte, frame_row, both, position; /* ms */
    double text_share; /* of a reply's frames: behind them its text is over */
    int64_t now;
    int64_t underruns, replies, least, longest_wait;
    int64_t passes, mixed; /* of decisions; with both kinds */
    int speaking_most, places_most;
} place;

static double unit(place *p) {
    return (double)random_unit(&p->random);
}

static double most(double a, double b) {
    return a > b ? a : b;
}

/* Milliseconds, without noise. */
static double takes(const place *p, const schedule_pass *x) {
    const int rows = x->texts + x->frames;
    double ms = rows + x->positions > 0
                    ? most(p->text_byte, p->text_row * rows + p->position * x->positions)
                    : 0;
    if (x->frames > 0) ms += most(p->frame_byte, p->frame_row * x->frames);
    if (x->frames > 0 && x->texts > 0) ms += p->both;
    return ms + 0.05 / BLOCKS * x->encode_size;
}

static void user_speaks(place *p, talker *t) {
    *t = (talker){.clip = 1 + 4 * unit(p)};
    t->at = p->now + (int64_t)(1e6 * (t->clip + 1 + 2 * unit(p)));
}

static void user_ended(place *p, talker *t) {
    t->stage = 1;
    t->end_of_turn = p->now;
    t->due = p->now + 300000;
    t->blocks = BLOCKS;
    t->positions = 20 + (int)(12.5 * t->clip);
    t->frame_count = 10 + (int)(240 * unit(p));
    t->text = true;
    t->run = 6;
}

/* Whether more tokens come behind this run of frames. */
static bool has_text(const place *p, const talker *t) {
    return t->frames < p->text_share * t->frame_count;
}

static schedule_client wants(const place *p, const talker *t) {
    schedule_client c = {.placed = t->placed, .due_us = t->due, .reply = true};
    if (t->stage == 1) {
        c.want = SCHEDULE_ENCODE;
        c.size = (int)(100 * t->clip);
        c.in_encoder = t->blocks < BLOCKS;
        c.texts_before = 6;
    } else if (t->stage == 2) {
        c.want = SCHEDULE_PREFILL;
        c.size = t->positions;
        c.texts_before = 6;
    } else if (t->stage == 3) {
        c.want = t->text ? SCHEDULE_TEXT : SCHEDULE_FRAME;
        c.texts_before = t->text ? t->run : 0;
        c.playing = t->started;
        c.frames_before = t->text ? 0 : has_text(p, t) ? t->run : INT_MAX;
    }
    return c;
}

static void decided(place *p, talker *t) {
    if (!t->text) {
        if (!t->started) {
            t->started = true;
            t->due = p->now;
            if (p->now - t->end_of_turn > p->longest_wait)
                p->longest_wait = p->now - t->end_of_turn;
        }
        t->due += 80000;
        if (++t->frames == t->frame_count) {
            t->stage = 4;
            t->placed = false;
            t->at = t->due;
            p->replies++;
            return;
        }
    }
    if (--t->run > 0) return;
    t->text = !t->text && has_text(p, t);
    t->run = t->text ? 6 : 12;
}

static void worked(place *p, talker *t, int count) {
    if (t->stage == 1) {
        t->blocks -= count;
        if (t->blocks <= 0) t->stage = 2;
    } else if (t->stage == 2) {
        t->positions -= count;
        if (t->positions == 0) t->stage = 3;
    } else {
        decided(p, t);
    }
}

static void once(place *p) {
    int speaking = 0;
    for (int i = 0; i < p->count; i++) {
        talker *t = &p->talkers[i];
        if (t->stage == 4 && p->now >= t->at) user_speaks(p, t);
        if (t->stage == 0 && p->now >= t->at) user_ended(p, t);
        p->clients[i] = wants(p, t);
        speaking += t->placed;
    }
    if (speaking > p->speaking_most) p->speaking_most = speaking;
    if (schedule_speaking_max(&p->s) > p->places_most)
        p->places_most = schedule_speaking_max(&p->s);
    const int granted = schedule_plan(&p->s, p->clients, p->order, p->count, p->now);
    const double ms = takes(p, &p->s.planned) * (0.9 + 0.3 * unit(p));
    p->passes += p->s.planned.texts + p->s.planned.frames > 0;
    p->mixed += p->s.planned.texts > 0 && p->s.planned.frames > 0;
    p->now += granted > 0 ? (int64_t)(1000 * ms) : 2000;
    if (granted > 0) schedule_learn(&p->s, 1000 * ms);
    for (int i = 0; i < p->count; i++) {
        talker *t = &p->talkers[i];
        t->placed = p->clients[i].placed;
        if (t->stage == 3 && t->started && t->due - p->now < p->least) p->least = t->due - p->now;
        if (t->stage == 3 && t->started && t->due < p->now) {
            p->underruns++;
            t->due = p->now;
        }
        if (p->clients[i].granted > 0) worked(p, t, p->clients[i].granted);
    }
}

/* The machine C of docs/SPEED.md with 1.2B Q4_0, or the like; and one that is half as fast. */
static const place fast = {.text_byte = 15.9,
                           .text_row = 1.86,
                           .frame_byte = 3.5,
                           .frame_row = 0.97,
                           .position = 1.6,
                           .text_share = 0.5};
static const place slow = {.text_byte = 28,
                           .text_row = 4,
                           .frame_byte = 8,
                           .frame_row = 2,
                           .both = 4,
                           .position = 3.5,
                           .text_share = 1};

/* calibrated: times were measured before. */
static void talk(place *p, const place *machine, int count, int seconds, bool calibrated,
                 uint64_t seed) {
    const schedule_config config = speech();
    *p = *machine;
    p->count = count;
    p->least = INT64_MAX;
    random_seed(&p->random, seed);
    schedule_init(&p->s, &config);
    for (int rows = 1; calibrated && rows <= config.decision_cap; rows *= 2) {
        const schedule_pass texts = {.texts = rows}, frames = {.frames = rows};
        schedule_know(&p->s, rows, 1000 * takes(p, &texts), 1000 * takes(p, &frames));
    }
    if (calibrated) p->s.position_us = 1000 * p->position;
    for (int i = 0; i < count; i++) user_speaks(p, &p->talkers[i]);
    while (p->now < seconds * INT64_C(1000000)) once(p);
}

static void nobody_runs_out_of_sound(void **state) {
    (void)state;
    place *p = malloc(sizeof *p);
    assert_non_null(p);
    const int counts[] = {1, 4, 12, 20, 32, 48, 64};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        talk(p, &fast, counts[i], 300, true, 1 + i);
        print_message("%d talk: %d replies, %d speak at once, least reserve %d ms, first sound "
                      "%d ms at most, %d run out\n",
                      counts[i], (int)p->replies, p->speaking_most, (int)(p->least / 1000),
                      (int)(p->longest_wait / 1000), (int)p->underruns);
        assert_int_equal(p->underruns, 0);
        assert_true(p->replies > counts[i]);
        assert_true(p->speaking_most <= p->places_most);
    }
    free(p);
}

/* Who speak go through their runs of tokens together, so that few passes read the weights of both
 * kinds; and nobody runs out for it. */
static void they_come_into_step(void **state) {
    (void)state;
    place *p = malloc(sizeof *p);
    assert_non_null(p);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        talk(p, &slow, 5, 600, true, seed);
        print_message("%d replies, %d of %d passes have both kinds, %d run out\n", (int)p->replies,
                      (int)p->mixed, (int)p->passes, (int)p->underruns);
        assert_int_equal(p->underruns, 0);
        assert_true(p->mixed * 4 < p->passes);
    }
    free(p);
}

/* A machine on which two rows would be too slow, if they took twice as long as one: more are tried
 * all the same, because rows are known to cost less. */
static void more_are_tried_than_are_known(void **state) {
    (void)state;
    const int times[][3] = {{1, 28, 36}};
    schedule s = known(times, 1);
    assert_int_equal(schedule_speaking_max(&s), 2); /* 12 * (31 + 11) + 6 * 31 = 690 */
    s.position_us = 100000;                         /* where a row costs a whole pass */
    assert_int_equal(schedule_speaking_max(&s), 1);
}

/* One alone takes more of the time than speech may; beside it speak those who hardly make a pass
 * longer, as long as all speak in real time. */
static void who_costs_little_speaks_beside_one(void **state) {
    (void)state;
    static const struct {
        int times[2][3], places;
    } cases[] = {
        {{{1, 40, 51}, {4, 41, 54}}, 4}, /* 852 and 894 of 960 ms */
        {{{1, 40, 51}, {4, 60, 64}}, 1}, /* 1,128: four would be late */
        {{{1, 44, 58}, {4, 44, 58}}, 1}, /* 960: too slow for one as it is */
        {{{1, 20, 40}, {4, 40, 60}}, 2}, /* 600, 960: two take 720 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        schedule s = known(cases[i].times, 2);
        schedule_client c[4];
        int order[4], placed = 0;
        for (int n = 0; n < 4; n++)
            c[n] = (schedule_client){.want = SCHEDULE_FRAME, .reply = true, .due_us = 10000000};
        (void)schedule_plan(&s, c, order, 4, 0);
        for (int n = 0; n < 4; n++) placed += c[n].placed;
        if (placed != cases[i].places)
            fail_msg("case %zu: %d places instead of %d", i, placed, cases[i].places);
    }
}

/* Nothing is known at the start, and little is dared. */
static void so_it_is_where_nothing_was_measured(void **state) {
    (void)state;
    place *p = malloc(sizeof *p);
    assert_non_null(p);
    talk(p, &fast, 16, 300, false, 99);
    print_message("%d replies, %d speak at once of %d, %d run out\n", (int)p->replies,
                  p->speaking_most, schedule_speaking_max(&p->s), (int)p->underruns);
    assert_int_equal(p->underruns, 0);
    assert_true(p->speaking_most > 4);
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_many_can_speak),
        cmocka_unit_test(measured_times_are_learned),
        cmocka_unit_test(what_is_not_tried_follows),
        cmocka_unit_test(one_slow_pass_is_no_measure),
        cmocka_unit_test(the_earliest_go_first),
        cmocka_unit_test(chunks_fit_into_the_reserve),
        cmocka_unit_test(who_cannot_wait_goes_too),
        cmocka_unit_test(who_has_sound_waits_for_who_comes),
        cmocka_unit_test(who_comes_late_waits),
        cmocka_unit_test(load_shortens_the_way_ahead),
        cmocka_unit_test(nobody_runs_out_of_sound),
        cmocka_unit_test(they_come_into_step),
        cmocka_unit_test(more_are_tried_than_are_known),
        cmocka_unit_test(who_costs_little_speaks_beside_one),
        cmocka_unit_test(so_it_is_where_nothing_was_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
