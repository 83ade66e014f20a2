/* As many conversations as the formula says speak at once, on this machine, from one batch: nobody
 * may run out of sound; and what one more conversation costs in memory.
 *
 *     RUNNEL_SPEAKING_MODEL    minnow        the model
 *     RUNNEL_SPEAKING_COUNT    4             conversations
 *     RUNNEL_SPEAKING_SECONDS  20            for so long
 *     RUNNEL_SPEAKING_THREADS  2
 *     RUNNEL_SPEAKING_TEST     *             a pattern of their names
 *     RUNNEL_SPEAKING_TIMES                  what passes take, as `runnel bench --work batch` told:
 *                                            ROWS:TEXT:FRAME ... in ms
 *     RUNNEL_SPEAKING_CLOCK    wall          or cpu: time is what this thread computes, so that a
 *                                            busy machine tells what a quiet one would do
 *
 * tests/long/batch.sh asks it of a model of full size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <runnel/runnel_batch.h>

#include "tests/support/rig.h"

enum { SPEAKER_CAP = 64, STEP_MAX = 900, CONTEXT = 1024 };

static int64_t idle_us; /* of the clock that only moves with work */

static const char *setting(const char *name, const char *usual) {
    const char *value = getenv(name);
    return value != NULL ? value : usual;
}

static int64_t now_us(void) {
    struct timespec t;
    const bool cpu = strcmp(setting("RUNNEL_SPEAKING_CLOCK", "wall"), "cpu") == 0;
    (void)clock_gettime(cpu ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000 + idle_us;
}

static void wait_a_little(void) {
    if (strcmp(setting("RUNNEL_SPEAKING_CLOCK", "wall"), "cpu") == 0)
        idle_us += 1000;
    else
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static rnl_model *open_speaker(void) {
    return rig_model_fast(
        setting("RUNNEL_SPEAKING_MODEL", SOURCE_DIR "/samples/minnow/minnow.gguf"));
}

typedef struct speaker {
    rnl_session *s;
    bool open, started;
    int64_t asked, begun, made, ask_at; /* made: samples */
} speaker;

typedef struct hall {
    const rnl_model *model;
    rnl_batch *batch;
    speaker speakers[SPEAKER_CAP];
    int count;
    int64_t replies, underruns, least_us, longest_wait_us, sound;
} hall;

static void ask(const rnl_model *model, speaker *x, int64_t now) {
    rnl_turn_config turn = rnl_turn_config_default(model, RNL_MODE_INTERLEAVED);
    turn.step_max = STEP_MAX;
    rnl_error error = {0};
    rnl_session_reset(x->s);
    rig_text(x->s, RNL_ROLE_USER, "Tell me something about the river, as long as you can.");
    if (rnl_session_begin(x->s, &turn, &error) != RNL_OK) fail_msg("%s", error.text);
    *x = (speaker){.s = x->s, .open = true, .asked = now};
    rnl_batch_want(x->s, RNL_WANT_SPEECH, now + 300000);
}

/* The client plays at once what it gets. */
static void hear(hall *h, speaker *x, int64_t now) {
    float sound[1920];
    char text[256];
    size_t got;
    rnl_status status;
    while (rnl_session_pull_text(x->s, text, sizeof text, &got) == RNL_OK) continue;
    while ((status = rnl_session_pull_samples(x->s, sound, 1920, &got)) == RNL_OK) {
        if (!x->started) {
            x->begun = now;
            if (now - x->asked > h->longest_wait_us) h->longest_wait_us = now - x->asked;
        }
        const int64_t reserve = x->begun + x->made * 1000 / 24 - now;
        if (x->started && reserve < h->least_us) h->least_us = reserve;
        if (x->started && reserve < 0) {
            h->underruns++;
            x->begun -= reserve;
        }
        x->started = true;
        x->made += (int64_t)got;
        h->sound += (int64_t)got;
    }
    const int64_t end = x->begun + x->made * 1000 / 24;
    if (x->started) rnl_batch_want(x->s, RNL_WANT_PLAYING, end);
    if (status != RNL_DONE) return;
    h->replies++;
    x->open = false;
    x->ask_at = x->started && end > now ? end : now;
}

static void speak(hall *h, int64_t until) {
    for (int64_t now = now_us(); now < until; now = now_us()) {
        for (int i = 0; i < h->count; i++) {
            speaker *x = &h->speakers[i];
            if (!x->open && now >= x->ask_at) ask(h->model, x, now);
        }
        if (rnl_batch_step(h->batch, now) == RNL_AGAIN) wait_a_little();
        now = now_us();
        for (int i = 0; i < h->count; i++)
            if (h->speakers[i].open) hear(h, &h->speakers[i], now);
    }
}

static rnl_batch *open_batch(rnl_model *model, int count, int context) {
    rnl_batch_config c = rnl_batch_config_default();
    rnl_batch *b = NULL;
    rnl_error error = {0};
    c.decision_cap = count < 16 ? 16 : count;
    c.session_cap = count;
    c.context_cap = context;
    c.clip_seconds_max = 30;
    c.thread_count = atoi(setting("RUNNEL_SPEAKING_THREADS", "2"));
    if (rnl_batch_create(model, &c, &b, &error) != RNL_OK) fail_msg("%s", error.text);
    return b;
}

/* As a server does with what a calibration kept. */
static void tell_times(rnl_batch *b) {
    const char *text = setting("RUNNEL_SPEAKING_TIMES", "");
    int rows, used;
    double text_ms, frame_ms;
    for (; sscanf(text, "%d:%lf:%lf%n", &rows, &text_ms, &frame_ms, &used) == 3; text += used)
        rnl_batch_set_times(b, rows, 1000 * text_ms, 1000 * frame_ms);
    if (*text != '\0') fail_msg("RUNNEL_SPEAKING_TIMES: not ROWS:TEXT:FRAME: %s", text);
}

static void nobody_runs_out_of_sound(void **state) {
    (void)state;
    rnl_model *model = open_speaker();
    hall *h = calloc(1, sizeof *h);
    assert_non_null(h);
    h->count = atoi(setting("RUNNEL_SPEAKING_COUNT", "4"));
    h->model = model;
    h->least_us = INT64_MAX;
    assert_in_range(h->count, 1, SPEAKER_CAP);
    h->batch = open_batch(model, h->count, CONTEXT);
    tell_times(h->batch);
    rnl_session_config c = rnl_session_config_default();
    rnl_error error = {0};
    c.context_cap = CONTEXT;
    c.clip_seconds_max = 1;
    for (int i = 0; i < h->count; i++) {
        c.seed = (uint64_t)i;
        if (rnl_session_create_in(h->batch, &c, &h->speakers[i].s, &error) != RNL_OK)
            fail_msg("%s", error.text);
    }
    speak(h, now_us() + 5000000); /* times of passes are learned */
    h->underruns = h->sound = 0;
    h->least_us = INT64_MAX;
    const int seconds = atoi(setting("RUNNEL_SPEAKING_SECONDS", "20"));
    speak(h, now_us() + seconds * INT64_C(1000000));
    rnl_batch_facts f;
    rnl_batch_get_facts(h->batch, &f);
    printf("%d conversations for %d s: %lld underruns, least reserve %.0f ms, %.1f s of sound, "
           "%lld replies, first sound after %.0f ms at most\n",
           h->count, seconds, (long long)h->underruns, (double)h->least_us / 1e3,
           (double)h->sound / 24000, (long long)h->replies, (double)h->longest_wait_us / 1e3);
    printf("the batch: %d can speak at once, text %.1f ms, frame %.1f ms, load %.2f, %.1f rows a "
           "pass\n",
           f.speaking_max, f.text_us / 1e3, f.frame_us / 1e3, f.load,
           (double)f.rows / (double)f.pass_count);
    assert_int_equal(h->underruns, 0);
    for (int i = 0; i < h->count; i++) rnl_session_destroy(&h->speakers[i].s);
    rnl_batch_destroy(&h->batch);
    free(h);
    rnl_model_close(&model);
}

/* ---- One alone ---- */

enum { PAIRS = 15, DECISIONS = 120 };

static double thread_us(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void drop(rnl_session *s) {
    float sound[1920];
    char text[256];
    size_t got;
    while (rnl_session_pull_text(s, text, sizeof text, &got) == RNL_OK) continue;
    while (rnl_session_pull_samples(s, sound, 1920, &got) == RNL_OK) continue;
}

/* Time of the same reply, by its own steps or by those of the batch (NULL: its own). */
static double one_reply(const rnl_model *model, rnl_batch *b, rnl_session *s) {
    speaker x = {.s = s};
    rnl_error error;
    ask(model, &x, 0);
    const double begin = thread_us();
    for (int i = 0; i < DECISIONS; i++) {
        const rnl_status status =
            b != NULL ? rnl_batch_step(b, i * 1000) : rnl_session_step(s, &error);
        assert_true(status >= 0);
        drop(s);
    }
    return thread_us() - begin;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void a_batch_of_one_is_as_fast(void **state) {
    (void)state;
    rnl_model *model = open_speaker();
    rnl_batch *b = open_batch(model, 1, CONTEXT);
    rnl_session_config c = rnl_session_config_default();
    rnl_session *alone = NULL, *here = NULL;
    rnl_error error = {0};
    double ratios[PAIRS];
    c.context_cap = CONTEXT;
    c.clip_seconds_max = 1;
    c.thread_count = atoi(setting("RUNNEL_SPEAKING_THREADS", "2"));
    assert_int_equal(rnl_session_create(model, &c, &alone, &error), RNL_OK);
    assert_int_equal(rnl_session_create_in(b, &c, &here, &error), RNL_OK);
    for (int i = 0; i < PAIRS; i++) {
        const double first = one_reply(model, NULL, alone), second = one_reply(model, b, here);
        ratios[i] = second / first;
    }
    qsort(ratios, PAIRS, sizeof *ratios, by_size);
    printf("a batch of one: %.3f of the time of a session alone (%.3f to %.3f)\n",
           ratios[PAIRS / 2], ratios[PAIRS / 4], ratios[3 * PAIRS / 4]);
    assert_true(ratios[PAIRS / 2] <= 1.03);
    rnl_session_destroy(&alone);
    rnl_session_destroy(&here);
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
}

/* ---- Memory ---- */

static double resident_mb(void) {
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0, shared = 0, all;
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld %ld", &all, &pages, &shared), 3);
    (void)fclose(f);
    return (double)(pages - shared) * 4096 / 1e6; /* without the model's file */
}

/* Context 4,096 and clips of 30 s, filled with text to the last position. */
static void one_more(rnl_batch *b, rnl_kv_cache kv, double most_mb) {
    rnl_session_config c = rnl_session_config_default();
    rnl_session *s = NULL;
    rnl_memory_plan plan;
    rnl_error error = {0};
    c.context_cap = 4096;
    c.clip_seconds_max = 30;
    c.kv_cache = kv;
    const double before = resident_mb();
    if (rnl_session_plan_in(b, &c, &plan, &error) != RNL_OK) fail_msg("%s", error.text);
    if (rnl_session_create_in(b, &c, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    const int fill = atoi(setting("RUNNEL_SPEAKING_FILL", "3900"));
    while (rnl_session_position_count(s) < fill) {
        rig_text(s, RNL_ROLE_USER, "one two three four five six seven eight nine ten ");
        rnl_status status;
        while ((status = rnl_session_step(s, &error)) == RNL_OK) continue;
        assert_int_equal(status, RNL_DONE);
    }
    float clip[1600];
    for (int i = 0; i < 1600; i++) clip[i] = (float)(i % 100) / 100.0f - 0.5f;
    for (int i = 0; i < 299; i++)
        assert_int_equal(rnl_session_push_audio(s, clip, 1600, 16000, &error), RNL_OK);
    const double grown = resident_mb() - before, planned = (double)plan.total / 1e6;
    printf("one more with %s: planned %.1f MB (keys and values %.1f, history %.1f, clip %.1f), "
           "resident %.1f MB with %d positions\n",
           kv == RNL_KV_Q8_0 ? "Q8_0" : "F16", planned, (double)plan.kv_cache / 1e6,
           (double)plan.history / 1e6, (double)plan.tokenizer / 1e6, grown,
           rnl_session_position_count(s));
    assert_true(planned <= most_mb);
    assert_true(grown <= planned + 2);
    rnl_session_destroy(&s);
}

static void one_more_conversation_is_small(void **state) {
    (void)state;
    rnl_model *model = open_speaker();
    rnl_batch *b = open_batch(model, 2, 4096);
    one_more(b, RNL_KV_F16, 110);
    rnl_model_info info;
    rnl_model_get_info(model, &info);
    if (info.width == 2048) one_more(b, RNL_KV_Q8_0, 75); /* minnow's heads are too small for it */
    rnl_batch_destroy(&b);
    rnl_model_close(&model);
}

int main(void) {
    cmocka_set_test_filter(setting("RUNNEL_SPEAKING_TEST", "*"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_more_conversation_is_small),
        cmocka_unit_test(a_batch_of_one_is_as_fast),
        cmocka_unit_test(nobody_runs_out_of_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
