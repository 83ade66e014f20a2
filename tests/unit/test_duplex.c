/* The duplex over a device that the test drives: rates, lockstep, cut, duck, lateness, overflow,
 * and two clocks that drift and jump. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audio/duplex.h"
#include "audio/gain.h"
#include "tests/support/driver.h"

static const double pi = 3.14159265358979323846;

/* A tone both ways through a device of any rates. */
static void test_rates(void **state) {
    (void)state;
    const int rates[][2] = {{8000, 8000},   {16000, 24000},  {11025, 22050},  {44100, 44100},
                            {48000, 48000}, {192000, 44100}, {96000, 192000}, {16000, 16000}};
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        duplex *d = NULL;
        driver *v = open_driver(rates[r][0], rates[r][1], true, &d);
        duplex_block block;
        int64_t pushed = 0, heard = 0;
        float tone[480];
        for (int k = 0; k < 100; k++) {
            while (pushed < DUPLEX_RATE_SPEAKER / 2 && duplex_room(d) >= 480) {
                size_t taken;
                for (int i = 0; i < 480; i++)
                    tone[i] = (float)(0.5 * sin(2.0 * pi * 500.0 * (double)(pushed + i) /
                                                DUPLEX_RATE_SPEAKER));
                duplex_push(d, tone, 480, &taken);
                assert_int_equal(taken, 480);
                pushed += 480;
                if (pushed == DUPLEX_RATE_SPEAKER / 2) duplex_end(d);
            }
            period(v, 440.0, 0.5);
            while (duplex_pull(d, &block) == RNL_OK) {
                assert_int_equal(block.sample_index, heard);
                assert_int_equal(block.lost_count, 0);
                assert_int_equal(block.adc_us, heard * 1000 / 16);
                for (int i = 0; i < DUPLEX_BLOCK; i++, heard++) {
                    const double wanted = 0.5 * sin(2.0 * pi * 440.0 * (double)heard / 16000.0);
                    if (heard > 160 && fabs((double)block.mic[i] - wanted) > 2e-3)
                        fail_msg("%d Hz: sample %lld is %g, not %g", rates[r][0], (long long)heard,
                                 (double)block.mic[i], wanted);
                }
            }
        }
        assert_in_range(heard, 16000 - 320, 16000);
        /* The loudspeaker: the whole tone from its first callback on, then silence. */
        const size_t half = (size_t)rates[r][1] / 2;
        for (size_t i = (size_t)rates[r][1] / 50; i < v->said_count; i++) {
            const double wanted =
                i < half ? 0.5 * sin(2.0 * pi * 500.0 * (double)i / rates[r][1]) : 0.0;
            if ((i + 200 < half || i > half + 2000) && fabs((double)v->said[i] - wanted) > 2e-3)
                fail_msg("%d Hz: loudspeaker sample %zu is %g, not %g", rates[r][1], i,
                         (double)v->said[i], wanted);
        }
        duplex_counts c;
        duplex_get_counts(d, &c);
        assert_int_equal(c.pushed_count, DUPLEX_RATE_SPEAKER / 2);
        assert_int_equal(c.played_count, c.pushed_count);
        assert_int_equal(c.late_count, 0);
        assert_int_equal(c.cut_count, 0);
        int64_t us;
        assert_int_equal(duplex_dac_us(d, 0, &us), RNL_OK);
        assert_int_equal(us, 2 * PERIOD_US);
        assert_int_equal(duplex_dac_us(d, 11999, &us), RNL_OK);
        assert_in_range(us, 2 * PERIOD_US + 499870, 2 * PERIOD_US + 500000);
        assert_int_equal(duplex_dac_us(d, 12000, &us), RNL_AGAIN);
        close_it(d);
    }
}

static uint32_t random_u32(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* The reference is what the loudspeaker was given, sample for sample, whatever happens to it. */
static void test_lockstep(void **state) {
    (void)state;
    duplex *d = NULL;
    driver *v = open_driver(16000, 16000, true, &d);
    uint64_t seed = 3;
    duplex_block block;
    float noise[2400];
    size_t at = 0, taken;
    for (int k = 0; k < 2000; k++) {
        for (int i = 0; i < 2400; i++) noise[i] = (float)random_u32(&seed) * 0x1p-31f - 0.5f;
        const uint32_t dice = random_u32(&seed) % 40;
        if (dice < 8) duplex_push(d, noise, random_u32(&seed) % 2400, &taken);
        if (dice == 10) duplex_end(d);
        if (dice == 11) duplex_cut(d);
        if (dice == 12) duplex_duck(d, random_u32(&seed) % 2 == 0);
        if (dice == 13 || dice == 14) duplex_hold(d, dice == 13);
        if (v->said_count + 2000 > OUT_CAP) break;
        period(v, 0.0, 0.001 * k);
        if (k % 700 > 600) continue; /* the loop stalls for a second */
        while (duplex_pull(d, &block) == RNL_OK) {
            assert_memory_equal(block.reference, v->said + at, sizeof block.reference);
            assert_true(block.mic[0] == (float)(0.001 * (double)(at / DUPLEX_BLOCK)));
            at += DUPLEX_BLOCK;
        }
    }
    assert_in_range(at, 10000, v->said_count);
    duplex_counts c;
    duplex_get_counts(d, &c);
    assert_int_equal(c.dropped_count, 0);
    assert_int_equal(c.pushed_count, c.played_count + c.cut_count + (int64_t)duplex_queued(d));
    close_it(d);
}

static void test_cut(void **state) {
    (void)state;
    const int rates[] = {16000, 24000, 44100, 48000};
    for (int r = 0; r < 4; r++) {
        duplex *d = NULL;
        driver *v = open_driver(rates[r], rates[r], true, &d);
        float level[12000];
        size_t taken;
        int64_t dropped, us;
        for (int i = 0; i < 12000; i++) level[i] = 0.5f;
        duplex_set_lead_ms(d, 900.0);
        duplex_push(d, level, 12000, &taken);
        assert_int_equal(taken, 12000);
        for (int k = 0; k < 20; k++) period(v, 0.0, 0.0);
        const size_t before = v->said_count;
        duplex_duck(d, true);
        duplex_cut(d);
        assert_int_equal(duplex_queued(d), 0);
        assert_int_equal(duplex_cut_done(d, &dropped), RNL_AGAIN);
        for (int k = 0; k < 3; k++) period(v, 0.0, 0.0);
        assert_int_equal(duplex_cut_done(d, &dropped), RNL_OK);
        /* Down within 5 ms, no step larger than the line, then nothing. */
        const size_t fade = (size_t)(GAIN_FADE_MS * rates[r] / 1000);
        for (size_t i = before; i < v->said_count; i++) {
            const float step = v->said[i - 1] - v->said[i];
            assert_true(step >= -1e-6f && step < 0.6f / (float)fade);
            if (i > before + fade + 1) assert_true(v->said[i] == 0.0f);
        }
        /* Played: 200 ms and the fade. */
        assert_in_range(dropped, 12000 - 4800 - 124, 12000 - 4800 - 110);
        duplex_counts c;
        duplex_get_counts(d, &c);
        assert_int_equal(c.cut_count, dropped);
        assert_int_equal(c.played_count + dropped, 12000);
        assert_int_equal(c.late_count, 0);
        assert_int_equal(duplex_dac_us(d, 12000 - dropped - 1, &us), RNL_OK);
        assert_int_equal(duplex_dac_us(d, 12000 - dropped + 1, &us), RNL_DONE);
        /* The next reply is at full volume at once. */
        duplex_push(d, level, 2400, &taken);
        duplex_end(d);
        const size_t next = v->said_count;
        for (int k = 0; k < 12; k++) period(v, 0.0, 0.0);
        for (size_t i = next + (size_t)rates[r] / 100; i < next + (size_t)rates[r] / 11; i++)
            assert_true(fabsf(v->said[i] - 0.5f) < 0.01f);
        assert_int_equal(duplex_dac_us(d, 12000, &us), RNL_OK);
        assert_int_equal(us, 25 * PERIOD_US);
        duplex_get_counts(d, &c);
        assert_int_equal(c.played_count + dropped, 14400);
        /* A cut of nothing is done at once. */
        duplex_cut(d);
        assert_int_equal(duplex_cut_done(d, &dropped), RNL_OK);
        assert_int_equal(dropped, 0);
        close_it(d);
    }
}

static void test_duck(void **state) {
    (void)state;
    duplex *d = NULL;
    driver *v = open_driver(24000, 24000, true, &d);
    float level[21600];
    size_t taken;
    for (int i = 0; i < 21600; i++) level[i] = 0.5f;
    duplex_set_lead_ms(d, 900.0);
    duplex_push(d, level, 21600, &taken);
    for (int k = 0; k < 20; k++) period(v, 0.0, 0.0);
    duplex_duck(d, true);
    for (int k = 0; k < 20; k++) period(v, 0.0, 0.0);
    duplex_duck(d, false);
    for (int k = 0; k < 20; k++) period(v, 0.0, 0.0);
    assert_true(v->said[4799] == 0.5f);
    assert_true(fabsf(v->said[4800 + 480 + 1] - 0.5f * 0.251189f) < 1e-5f);
    assert_true(fabsf(v->said[9599] - 0.5f * 0.251189f) < 1e-5f);
    assert_true(v->said[9600 + 1441] == 0.5f);
    for (size_t i = 4801; i < 14400; i++) assert_true(fabsf(v->said[i] - v->said[i - 1]) < 0.001f);
    close_it(d);
}

/* Late in mid-reply: counted, and without a click; after the end silence is meant. */
static void test_late(void **state) {
    (void)state;
    duplex *d = NULL;
    driver *v = open_driver(48000, 48000, true, &d);
    float level[480];
    size_t taken;
    duplex_counts c;
    for (int i = 0; i < 480; i++) level[i] = 0.5f;
    for (int round = 0; round < 3; round++) {
        duplex_push(d, level, 480, &taken); /* 20 ms, then 30 ms late */
        for (int k = 0; k < 5; k++) period(v, 0.0, 0.0);
    }
    duplex_get_counts(d, &c);
    assert_in_range(c.late_count, 3 * 1440, 3 * 1440 + 100); /* and what the filter holds back */
    duplex_push(d, level, 480, &taken);
    duplex_end(d);
    for (int k = 0; k < 10; k++) period(v, 0.0, 0.0);
    const int64_t late = c.late_count;
    duplex_get_counts(d, &c);
    assert_int_equal(c.late_count, late);
    assert_int_equal(c.played_count, 4 * 480);
    for (size_t i = 500; i < 17 * 480 - 100; i++) /* the tone itself ends with a step */
        if (fabsf(v->said[i] - v->said[i - 1]) > 0.02f)
            fail_msg("a step of %g at sample %zu", (double)(v->said[i] - v->said[i - 1]), i);
    close_it(d);
}

static void test_overflow(void **state) {
    (void)state;
    duplex *d = NULL;
    driver *v = open_driver(16000, 16000, true, &d);
    duplex_block block;
    duplex_counts c;
    for (int k = 0; k < 600; k++) period(v, 0.0, 0.001 * k); /* 6 s, room for 4.096 */
    duplex_get_counts(d, &c);
    assert_int_equal(c.dropped_count, 96000 - 65440);
    int64_t lost = 0, count = 0;
    while (duplex_pull(d, &block) == RNL_OK) {
        lost += block.lost_count;
        count++;
    }
    assert_int_equal(count, 409);
    assert_int_equal(lost, 0);
    period(v, 0.0, 0.7);
    assert_int_equal(duplex_pull(d, &block), RNL_OK);
    assert_int_equal(block.lost_count, 96000 - 65440);
    assert_true(block.mic[0] == 0.7f);
    assert_int_equal(block.adc_us, 600 * PERIOD_US);
    assert_int_equal(block.sample_index, 65440);
    close_it(d);
}

/* What is missing after a loss begins at the last callback: when it is noticed, a second later or
 * five, and by what, is another matter. */
static void test_loss(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        const int periods = k % 2 == 0 ? 50 : 600; /* young streams are given longer */
        duplex *d = NULL;
        driver *v = open_driver(16000, 16000, true, &d);
        duplex_block block;
        for (int i = 0; i < periods; i++) {
            period(v, 0.0, 0.5);
            while (duplex_pull(d, &block) == RNL_OK) continue;
            assert_int_equal(duplex_wait(d, NULL), RNL_OK);
            v->now_us = (i + 1) * PERIOD_US;
        }
        v->now_us += 250000;
        v->fails = k >= 2;
        while (duplex_wait(d, NULL) == RNL_OK) continue;
        assert_int_equal(duplex_reopen(d), RNL_OK);
        const int64_t back_us = v->now_us;
        v->fails = false;
        period(v, 0.0, 0.7);
        assert_int_equal(duplex_pull(d, &block), RNL_OK);
        const int64_t gone_us = back_us - periods * PERIOD_US;
        /* A callback is noticed by the wait behind it, 10 ms later. */
        assert_in_range(block.lost_count, (gone_us - 10000) * 16 / 1000, gone_us * 16 / 1000);
        close_it(d);
    }
}

/* ---- Two clocks ---- */

typedef struct world {
    driver *v;
    duplex *d;
    double in_ppm, out_ppm;   /* clocks against true time */
    double in_next, out_next; /* true time of the next callbacks, seconds */
    int64_t in_frames, out_frames;
    double out_skip;     /* seconds by which the loudspeaker's clock has jumped */
    double clicks[1000]; /* true times at which a click is at the loudspeaker */
    int click_count;
    uint64_t seed;
} world;

static double jitter(world *w) {
    return (double)random_u32(&w->seed) * 0x1p-31 * 0.004;
}

static void in_callback(world *w) {
    driver *v = w->v;
    const int rate = v->head.facts.rate_in;
    const double period = 0.01 / (1.0 + w->in_ppm * 1e-6), begin = w->in_next - period;
    memset(v->in, 0, sizeof v->in);
    for (int k = w->click_count - 1; k >= 0 && k > w->click_count - 4; k--) {
        /* The click reaches the microphone 20 ms after the loudspeaker. */
        const double at = (w->clicks[k] + 0.020 - begin) / period * (rate / 100);
        for (int i = 0; i < rate / 100; i++)
            if (fabs(i - at) < 24.0) v->in[i] += (float)(0.5 + 0.5 * cos(pi * (i - at) / 24.0));
    }
    const device_block b = {.in = v->in,
                            .in_count = (size_t)rate / 100,
                            .adc_us = (int64_t)(1e6 * (begin + jitter(w)))};
    v->now_us = (int64_t)(1e6 * w->in_next);
    v->fn(v->context, &b);
    w->in_next += period;
}

static void out_callback(world *w) {
    driver *v = w->v;
    const int rate = v->head.facts.rate_out;
    const double period = 0.01 / (1.0 + w->out_ppm * 1e-6), dac = w->out_next + 0.03;
    const device_block b = {.out = v->out,
                            .out_count = (size_t)rate / 100,
                            .dac_us = (int64_t)(1e6 * (dac + jitter(w)))};
    v->fn(v->context, &b);
    for (int i = 1; i + 1 < rate / 100; i++)
        if (v->out[i] > 0.5f && v->out[i] >= v->out[i - 1] && v->out[i] > v->out[i + 1])
            w->clicks[w->click_count++] = dac + period * i / (rate / 100);
    w->out_next += period;
}

/* Position of the largest sample of the last second, in samples since the beginning. */
static int64_t loudest(const float *line, int64_t end) {
    int64_t best = end - 16000;
    for (int64_t i = end - 16000; i < end; i++)
        if (line[i] > line[best]) best = i;
    return best;
}

static void run_world(world *w, int seconds, int settle, double *drift_ppm) {
    float *mic = calloc((size_t)seconds * 16000 + 32000, sizeof *mic);
    float *reference = calloc((size_t)seconds * 16000 + 32000, sizeof *reference);
    assert_non_null(mic);
    assert_non_null(reference);
    int64_t got = 0, last_us = 0, second = 1;
    duplex_block block;
    float click[24000] = {0};
    for (int i = -12; i <= 12; i++) click[12100 + i] = (float)(0.45 + 0.45 * cos(pi * i / 12.0));
    while (second <= seconds) {
        size_t taken;
        if (duplex_queued(w->d) < 2400) duplex_push(w->d, click, 24000, &taken);
        if (w->in_next < w->out_next)
            in_callback(w);
        else
            out_callback(w);
        while (duplex_pull(w->d, &block) == RNL_OK) {
            memcpy(mic + got, block.mic, sizeof block.mic);
            memcpy(reference + got, block.reference, sizeof block.reference);
            got += DUPLEX_BLOCK;
            assert_true(block.adc_us >= last_us);
            last_us = block.adc_us;
        }
        if (got < second * 16000 + 8000) continue;
        second++;
        const int64_t a = loudest(mic, got), b = loudest(reference, got - 480);
        if (second <= settle || reference[b] < 0.3f) continue;
        /* 20 ms of air and the 10 ms that the reference is early. */
        int64_t lag = a - b;
        while (lag > 8000) lag -= 16000;
        while (lag < -8000) lag += 16000;
        if (llabs(lag - 480) > 48)
            fail_msg("second %lld: the reference is off by %lld samples", (long long)second,
                     (long long)(lag - 480));
    }
    duplex_counts c;
    duplex_get_counts(w->d, &c);
    *drift_ppm = c.drift_ppm;
    free(mic);
    free(reference);
}

static world open_world(double in_ppm, double out_ppm) {
    world w = {.in_ppm = in_ppm, .out_ppm = out_ppm, .in_next = 0.01, .out_next = 0.003, .seed = 5};
    w.v = open_driver(48000, 44100, false, &w.d);
    duplex_set_lead_ms(w.d, 900.0);
    return w;
}

static void test_drift(void **state) {
    (void)state;
    const int seconds = getenv("RUNNEL_TEST_SHORT") != NULL ? 80 : 130;
    world w = open_world(120.0, -90.0);
    double ppm;
    run_world(&w, seconds, 5, &ppm);
    if (fabs(ppm + 210.0) > 30.0) fail_msg("drift of %g ppm, not -210", ppm);
    duplex_counts c;
    duplex_get_counts(w.d, &c);
    assert_int_equal(c.realign_count, 0);
    close_it(w.d);
}

static void test_jump(void **state) {
    (void)state;
    world w = open_world(0.0, 0.0);
    double ppm;
    run_world(&w, 12, 5, &ppm);
    w.out_next += 0.2; /* the loudspeaker's device has hung for a moment */
    run_world(&w, 12, 9, &ppm);
    duplex_counts c;
    duplex_get_counts(w.d, &c);
    assert_int_equal(c.realign_count, 1);
    close_it(w.d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates), cmocka_unit_test(test_lockstep),
        cmocka_unit_test(test_cut),   cmocka_unit_test(test_duck),
        cmocka_unit_test(test_late),  cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_loss),  cmocka_unit_test(test_drift),
        cmocka_unit_test(test_jump),
    };
    return cmocka_run_group_tests_name("duplex", tests, NULL, NULL);
}
