/* A day of realtime conversations by a clock that is made up: four at a time, for an hour each, who
 * ask, hear an answer, speak into some of them, and are followed by the next four. What the
 * machines hold does not grow, neither within an hour nor from hour to hour, and each conversation
 * says what it says alone. RUNNEL_SERVE_HOURS (24) of it. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audio/stream.h"
#include "core/hash_table.h"
#include "kernels/kernels.h"
#include "serve/json_out.h"
#include "serve/realtime.h"
#include "tests/support/rig.h"

enum { TALKS = 4, BLOCK = 1600 /* samples of an append: 100 ms */, FRAMES = 25 };
/* What glibc may count as held though it was freed: its cache of small blocks, in all of a day. */
enum { CACHED = 64 << 10 };

/* A conversation, and its model, which answers at once. */
typedef struct talk {
    realtime *rt;
    realtime_config config;
    int64_t now_us;
    uint32_t reply;  /* that is being made; 0: none */
    int frame_count; /* of it */
    uint32_t heard;  /* a transcript that is wanted, of a clip of so many samples; 0: none */
    size_t heard_count;
    uint64_t sum;      /* of all events, but for what is random in them */
    int answers, cuts; /* responses that ended, and those that were cut off */
    int turn;          /* of its questions */
    size_t at;         /* samples of the turn that were sent */
} talk;

static float *question;
static size_t question_count;
static kernels fastest;

/* ---- What is told ---- */

static void on_send(void *context, const char *text, size_t size) {
    talk *t = context;
    const char *type = text + sizeof "{\"type\":\"" - 1;
    const size_t length = strcspn(type, "\"");
    t->sum = hash_bytes(t->sum, type, length);
    t->sum = hash_bytes(t->sum, &size, sizeof size);
    if (length == 13 && memcmp(type, "response.done", 13) == 0) {
        t->answers++;
        t->cuts += strstr(text, "turn_detected") != NULL;
    }
    assert_false(length == 5 && memcmp(type, "error", 5) == 0);
}

static void on_close(void *context, int code, const char *reason) {
    (void)context;
    fail_msg("closed with %d: %s", code, reason);
}

static void on_nothing(void *context) {
    (void)context;
}

static void on_restart(void *context, const realtime_prompt *prompt) {
    (void)context;
    (void)prompt;
}

static void on_append(void *context, const realtime_entry *entry) {
    (void)context;
    for (int i = 0; i < entry->piece_count; i++) free(entry->pieces[i].samples);
}

static size_t on_push(void *context, const float *samples, size_t count) {
    (void)context;
    (void)samples;
    return count;
}

static void on_guess(void *context, uint32_t key, const realtime_wish *wish) {
    (void)context;
    (void)key;
    (void)wish;
}

static void on_key(void *context, uint32_t key) {
    (void)context;
    (void)key;
}

static void on_respond(void *context, uint32_t key, const realtime_wish *wish) {
    talk *t = context;
    (void)wish;
    t->reply = key;
    t->frame_count = 0;
}

static void on_cancel(void *context, uint32_t key) {
    talk *t = context;
    if (t->reply == key) t->reply = 0;
}

static void on_truncate(void *context, uint32_t key, size_t count) {
    (void)context;
    (void)key;
    (void)count;
}

static void on_transcribe(void *context, uint32_t key, float *samples, size_t count,
                          const char *language, bool logprobs) {
    talk *t = context;
    (void)language;
    (void)logprobs;
    free(samples);
    t->heard = key;
    t->heard_count = count;
}

static void open_talk(talk *t) {
    static const char start[] =
        "{\"type\":\"realtime\",\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":"
        "16000},\"transcription\":{\"model\":\"any\"}}}}";
    const realtime_ops ops = {.wire = t,
                              .send = on_send,
                              .close = on_close,
                              .model = t,
                              .restart = on_restart,
                              .append = on_append,
                              .clip_push = on_push,
                              .clip_drop = on_nothing,
                              .clip_guess = on_guess,
                              .clip_withdraw = on_nothing,
                              .clip_end = on_key,
                              .respond = on_respond,
                              .cancel = on_cancel,
                              .truncate = on_truncate,
                              .transcribe = on_transcribe};
    rnl_error error;
    *t = (talk){.now_us = 1000000};
    t->config = realtime_config_default();
    t->config.kernels = &fastest;
    t->config.gives_audio = true;
    t->config.speculates = true;
    t->config.session_seconds = 7200;
    if (realtime_create(&t->config, &ops, start, sizeof start - 1, &t->rt, &error) != RNL_OK)
        fail_msg("%s", error.text);
    realtime_open(t->rt, t->now_us);
}

/* ---- What happens ---- */

static void append(talk *t, const float *samples) {
    uint8_t bytes[2 * BLOCK];
    json_out o;
    char text[4 * BLOCK];
    sound_to_s16le(samples, BLOCK, bytes);
    json_out_begin(&o, text, sizeof text);
    json_out_object(&o, NULL);
    json_out_word(&o, "type", "input_audio_buffer.append");
    json_out_base64(&o, "audio", bytes, sizeof bytes);
    json_out_end(&o);
    assert_true(json_out_whole(&o));
    realtime_message(t->rt, o.text, o.size, t->now_us);
}

/* 80 ms more of the reply. */
static void answer(talk *t) {
    static float frame[RNL_RATE_OUT * 8 / 100];
    const uint32_t key = t->reply;
    realtime_news_item news = {.kind = REALTIME_BEGUN, .key = key, .usage = {.input_text = 9}};
    if (t->frame_count == 0) realtime_news(t->rt, &news, t->now_us);
    news = (realtime_news_item){
        .kind = REALTIME_TEXT, .key = key, .text = "word ", .size = 5, .position_count = 1};
    if (t->frame_count % 3 == 0) realtime_news(t->rt, &news, t->now_us);
    news = (realtime_news_item){.kind = REALTIME_SOUND,
                                .key = key,
                                .samples = frame,
                                .count = sizeof frame / sizeof *frame,
                                .position_count = 1};
    realtime_news(t->rt, &news, t->now_us);
    if (++t->frame_count < FRAMES) return;
    t->reply = 0;
    news = (realtime_news_item){.kind = REALTIME_ENDED, .key = key, .finish = RNL_FINISH_END};
    realtime_news(t->rt, &news, t->now_us);
}

static void tell_heard(talk *t) {
    const realtime_news_item news = {.kind = REALTIME_HEARD_ALL,
                                     .key = t->heard,
                                     .text = "Turn on the light.",
                                     .size = 18,
                                     .seconds = (double)t->heard_count / RNL_RATE_IN};
    t->heard = 0;
    realtime_news(t->rt, &news, t->now_us);
}

/* 100 ms of a conversation: a question, silence while it is answered, the next one; every third
 * comes into the answer before it. */
static void live_on(talk *t) {
    static const float silence[BLOCK];
    const size_t pause = t->turn % 3 == 2 ? 16000 : 64000;
    const bool speaks = t->at + BLOCK <= question_count;
    t->now_us += 100000;
    append(t, speaks ? question + t->at : silence);
    if (t->reply != 0) answer(t);
    if (t->heard != 0) tell_heard(t);
    realtime_tick(t->rt, t->now_us);
    t->at += BLOCK;
    if (t->at < question_count + pause) return;
    t->at = 0;
    t->turn++;
}

static size_t held(void) {
    const struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* An hour of so many; returns what they said, all alike. *most: bytes held at its most. */
static uint64_t live_an_hour(int count, size_t *most, talk *last) {
    talk talks[TALKS];
    const size_t before = held();
    size_t early = 0;
    *most = 0;
    for (int i = 0; i < count; i++) open_talk(&talks[i]);
    for (int step = 0; step < 36000; step++) {
        for (int i = 0; i < count; i++) live_on(&talks[(i + step) % count]);
        if (step % 100 != 0) continue;
        const size_t now = held() - before;
        if (now > *most) *most = now;
        if (step == 24000) early = *most; /* items and sound that are kept have their fill */
    }
    if (*most > early + early / 50) fail_msg("%zu bytes became %zu", early, *most);
    const uint64_t sum = talks[0].sum;
    *last = talks[0];
    for (int i = 0; i < count; i++) {
        assert_true(talks[i].sum == sum);
        realtime_destroy(&talks[i].rt);
    }
    return sum;
}

static void a_day_leaves_nothing(void **state) {
    (void)state;
    const char *wanted = getenv("RUNNEL_SERVE_HOURS");
    const int hours = wanted != NULL ? atoi(wanted) : 24;
    size_t most, first_most, first_held = 0;
    talk last;
    const uint64_t alone = live_an_hour(1, &most, &last);
    printf("an hour: %d answers, %d of them cut off; %zu KiB held\n", last.answers, last.cuts,
           most >> 10);
    assert_true(last.answers > 300 && last.cuts > 50);
    for (int hour = 0; hour < hours; hour++) {
        assert_true(live_an_hour(TALKS, &most, &last) == alone);
        if (hour == 0) {
            first_most = most;
            first_held = held();
        }
        if (held() > first_held + CACHED || most > first_most + first_most / 50)
            fail_msg("hour %d: %zu bytes are held, %zu at most; at first %zu and %zu", hour, held(),
                     most, first_held, first_most);
    }
    printf("%d hours of %d: %zu KiB held at most\n", hours, TALKS, most >> 10);
}

static int set_up(void **state) {
    (void)state;
    static const char path[] = SOURCE_DIR "/samples/questions/light.wav";
    question_count = rig_wav_count(path) / BLOCK * BLOCK;
    question = rig_wav(path, 0, question_count);
    kernels_select(&fastest, kernels_cpu_features());
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    free(question);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_day_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
