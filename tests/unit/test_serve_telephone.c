/* A telephone call from Asterisk's bytes to what the model is asked, and back, without a telephone
 * and in made-up time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/limits.h"
#include "serve/telephone.h"
#include "tests/support/realtime_rig.h"
#include "tests/support/world.h"

enum { STEP_US = 20000, STEP = RNL_RATE_IN / 50, OUT_CAP = 1 << 22 };

typedef struct line {
    realtime_rig rig; /* its model and its settings */
    telephone *t;
    int kind, rate;
    int64_t now_us;
    unsigned char out[OUT_CAP];
    size_t out_size;
} line;

static line l;

static void on_write(void *context, const char *bytes, size_t size) {
    line *of = context;
    assert_true(of->out_size + size <= OUT_CAP);
    memcpy(of->out + of->out_size, bytes, size);
    of->out_size += size;
}

static void message(int kind, const unsigned char *payload, size_t size) {
    char bytes[4096];
    bytes[0] = (char)kind;
    bytes[1] = (char)(size >> 8);
    bytes[2] = (char)(size & 0xff);
    memcpy(bytes + 3, payload, size);
    telephone_push(l.t, bytes, size + 3, l.now_us);
}

static void call_begin(int kind, int rate) {
    static const unsigned char uuid[16] = "0123456789abcdef";
    realtime_ops ops = {.wire = NULL};
    rnl_error error;
    memset(&l, 0, sizeof l);
    rig_init(&l.rig);
    rig_model_ops(&l.rig, &ops);
    l.rig.config.speculates = false;
    l.kind = kind;
    l.rate = rate;
    l.now_us = l.rig.now_us;
    const telephone_config config = {
        .realtime = &l.rig.config, .model = &ops, .write = on_write, .context = &l};
    assert_int_equal(telephone_create(&config, l.now_us, &l.t, &error), RNL_OK);
    message(0x01, uuid, sizeof uuid);
}

static void call_end(void) {
    telephone_destroy(&l.t);
    l.rig.close_code = 1; /* it had no machine whose order would have an end */
    rig_close(&l.rig);
}

/* 20 ms of the caller, then their time. A sample of 16 kHz is held, or the mean of two taken. */
static void step(const float *samples) {
    unsigned char payload[2 * 960];
    const int count = l.rate / 50;
    for (int i = 0; i < count; i++) {
        const int at = i * STEP / count, more = l.rate < RNL_RATE_IN ? at + 1 : at;
        const float mean = samples != NULL ? (samples[at] + samples[more]) / 2 : 0;
        const uint16_t value = (uint16_t)(int16_t)(mean * 32767);
        payload[2 * i] = (unsigned char)(value & 0xff);
        payload[2 * i + 1] = (unsigned char)(value >> 8);
    }
    message(l.kind, payload, 2 * (size_t)count);
    l.now_us += STEP_US;
    (void)telephone_tick(l.t, l.now_us);
}

static void speak(const char *name, double silence) {
    script s = {0};
    (void)script_say(&s, name);
    script_noise(&s, 0.0005f, 7);
    for (size_t at = 0; at + STEP <= s.count; at += STEP) step(s.samples + at);
    script_free(&s);
    for (int i = 0; i < (int)(silence * 50); i++) step(NULL);
}

static void tell(const realtime_news_item *news) {
    telephone_news(l.t, news, l.now_us);
}

/* The model begins to say so much. */
static void begin_answer(double seconds) {
    float frame[1920];
    for (int i = 0; i < 1920; i++) frame[i] = 0.25f;
    tell(&(realtime_news_item){.kind = REALTIME_BEGUN, .key = l.rig.reply});
    tell(&(realtime_news_item){
        .kind = REALTIME_TEXT, .key = l.rig.reply, .text = "Yes.", .size = 4, .position_count = 1});
    for (int i = 0; i < (int)(seconds / 0.08 + 0.5); i++)
        tell(&(realtime_news_item){.kind = REALTIME_SOUND,
                                   .key = l.rig.reply,
                                   .samples = frame,
                                   .count = 1920,
                                   .position_count = 1});
}

static void end_answer(void) {
    tell(&(realtime_news_item){
        .kind = REALTIME_ENDED, .key = l.rig.reply, .finish = RNL_FINISH_END});
}

/* Messages since `from`: each of 20 ms at the call's rate. Returns their number, and how many of
 * their samples are sound. */
static int look_at(size_t from, int *sounding) {
    const size_t size = 3 + 2 * (size_t)l.rate / 50;
    int count = 0;
    *sounding = 0;
    for (size_t at = from; at < l.out_size; at += size, count++) {
        assert_true(at + size <= l.out_size);
        assert_int_equal(l.out[at], l.kind);
        assert_int_equal(l.out[at + 1] << 8 | l.out[at + 2], size - 3);
        for (size_t i = at + 3; i < at + size; i += 2)
            *sounding += (int16_t)(uint16_t)(l.out[i] | l.out[i + 1] << 8) > 1000;
    }
    return count;
}

static const struct {
    int kind, rate;
} calls[] = {{0x10, 8000}, {0x12, 16000}, {0x13, 24000}, {0x16, 48000}};

static void a_call_is_answered_at_its_rate(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        int sounding;
        call_begin(calls[i].kind, calls[i].rate);
        const int64_t begun_us = l.now_us;
        speak("light", 1);
        const char *asked = rig_asked(&l.rig);
        if (strstr(asked, "restart interleaved") == NULL || strstr(asked, "respond") == NULL)
            fail_msg("%d Hz: %s", l.rate, asked);
        /* Silence meanwhile, one message each 20 ms. */
        assert_int_equal(look_at(0, &sounding), (l.now_us - begun_us) / STEP_US + 1);
        assert_int_equal(sounding, 0);
        begin_answer(0.8);
        end_answer();
        assert_true(telephone_is_talking(l.t, l.now_us));
        for (int k = 0; k < 75; k++) step(NULL);
        assert_int_equal(look_at(0, &sounding), (l.now_us - begun_us) / STEP_US + 1);
        assert_in_range(sounding, l.rate * 0.79, l.rate * 0.81);
        assert_false(telephone_is_talking(l.t, l.now_us));
        call_end();
    }
}

static void what_was_heard_is_known(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        int sounding, key, samples;
        call_begin(calls[i].kind, calls[i].rate);
        speak("light", 1);
        begin_answer(4);
        if (i % 2 == 0) end_answer();
        for (int k = 0; k < 25; k++) step(NULL);
        (void)rig_asked(&l.rig);
        speak("weather", 0.2);
        const char *asked = rig_asked(&l.rig), *cut = strstr(asked, "truncate #");
        if (cut == NULL) fail_msg("%d Hz: %s", l.rate, asked);
        assert_int_equal(sscanf(cut, "truncate #%d %d", &key, &samples), 2);
        /* All that was written, but for the message on its way, to a millisecond. */
        (void)look_at(0, &sounding);
        assert_in_range(sounding, l.rate / 2, 3 * l.rate);
        const int heard = sounding - l.rate / 50;
        assert_in_range(samples, heard * (RNL_RATE_OUT / 1000) / (l.rate / 1000) - 48,
                        heard * (RNL_RATE_OUT / 1000) / (l.rate / 1000) + 48);
        /* Nothing of it comes any more. */
        const size_t from = l.out_size;
        for (int k = 0; k < 25; k++) step(NULL);
        (void)look_at(from, &sounding);
        assert_int_equal(sounding, 0);
        call_end();
    }
}

static void a_key_ends_a_turn(void **state) {
    (void)state;
    call_begin(0x12, 16000);
    message(0x03, (const unsigned char *)"#", 1); /* there is none */
    step(NULL);
    speak("light", 0);
    message(0x03, (const unsigned char *)"5", 1);
    step(NULL);
    assert_null(strstr(rig_asked(&l.rig), "respond"));
    message(0x03, (const unsigned char *)"#", 1);
    step(NULL);
    assert_non_null(strstr(rig_asked(&l.rig), "respond"));
    call_end();
}

static void calls_end(void **state) {
    (void)state;
    call_begin(0x10, 8000); /* the caller hangs up */
    step(NULL);
    assert_false(telephone_is_over(l.t));
    message(0x00, (const unsigned char *)"", 0);
    assert_true(telephone_is_over(l.t));
    assert_int_equal(telephone_tick(l.t, l.now_us), INT64_MAX);
    call_end();
    call_begin(0x10, 8000); /* we do */
    step(NULL);
    telephone_hang_up(l.t);
    assert_memory_equal(l.out + l.out_size - 3, "\0\0\0", 3);
    assert_true(telephone_is_over(l.t));
    call_end();
    call_begin(0x10, 8000); /* its time is over */
    for (int i = 0; i < 50; i++) step(NULL);
    assert_false(telephone_is_over(l.t));
    l.now_us += (int64_t)LIMIT_SESSION_SECONDS * 1000000;
    (void)telephone_tick(l.t, l.now_us);
    assert_true(telephone_is_over(l.t));
    call_end();
    call_begin(0x10, 8000); /* the engine failed */
    telephone_fail(l.t, "it is broken");
    assert_true(telephone_is_over(l.t));
    call_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_answered_at_its_rate),
        cmocka_unit_test(what_was_heard_is_known),
        cmocka_unit_test(a_key_ends_a_turn),
        cmocka_unit_test(calls_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
