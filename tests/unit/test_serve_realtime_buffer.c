/* The input audio buffer: bytes however they are cut, codings, turns that a client makes, ends or
 * forgets, sessions that only transcribe. The voices are those of samples/questions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "tests/support/realtime_rig.h"
#include "tests/support/world.h"

static realtime_rig r;

#define TURN_TYPES                                                                                 \
    "input_audio_buffer.speech_started input_audio_buffer.speech_stopped "                         \
    "input_audio_buffer.committed conversation.item.added conversation.item.done"

static void a_manual_turn(void **state) {
    (void)state;
    rig_open(&r, "{\"audio\":{\"input\":{\"turn_detection\":null}}}");
    (void)rig_types(&r);
    rig_send(&r, "{'type':'input_audio_buffer.commit'}");
    assert_string_equal(rig_value(&r, "error", "error.code"), "input_audio_buffer_commit_empty");
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    (void)rig_types(&r);
    rig_send(&r, "{'type':'session.update','session':{'audio':{'input':{'format':"
                 "{'type':'audio/pcmu'}}}}}");
    assert_string_equal(rig_value(&r, "error", "error.param"), "session.audio.input.format");
    (void)rig_types(&r);
    rig_send(&r, "{'type':'input_audio_buffer.commit'}");
    assert_string_equal(rig_types(&r), "input_audio_buffer.committed conversation.item.added "
                                       "conversation.item.done");
    int count;
    assert_int_equal(sscanf(rig_asked(&r), "restart interleaved; append #1 user %d", &count), 1);
    script s = {0};
    (void)script_say(&s, "light");
    assert_in_range(count, s.count + 16000 - 200, s.count + 16000 + 1);
    script_free(&s);
    rig_send(&r, "{'type':'input_audio_buffer.commit'}");
    assert_string_equal(rig_value(&r, "error", "error.code"), "input_audio_buffer_commit_empty");
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r), "respond #2 interleaved");
    rig_answer(&r, "It is on.", 0.4);
    rig_silence(&r, 0.5);
    rig_send(&r, "{'type':'input_audio_buffer.clear'}");
    rig_send(&r, "{'type':'input_audio_buffer.commit'}");
    assert_string_equal(rig_value(&r, "error", "error.code"), "input_audio_buffer_commit_empty");
}

/* The silence that was heard before the client took over is no part of its first turn. */
static void from_heard_to_manual(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_silence(&r, 3);
    rig_send(&r, "{'type':'session.update','session':{'audio':{'input':{'turn_detection':null}}}}");
    rig_ask(&r, "light");
    rig_send(&r, "{'type':'input_audio_buffer.commit'}");
    int count;
    assert_int_equal(sscanf(rig_asked(&r), "restart interleaved; append #1 user %d", &count), 1);
    script s = {0};
    (void)script_say(&s, "light");
    assert_in_range(count, s.count - 512, s.count + 512);
    script_free(&s);
}

static void a_manual_turn_is_bounded(void **state) {
    (void)state;
    static int16_t second[24000];
    r.config.clip_seconds_max = 3;
    rig_open(&r, "{\"audio\":{\"input\":{\"turn_detection\":null}}}");
    for (int i = 0; i < 3; i++) rig_append(&r, second, sizeof second);
    assert_int_equal(rig_count(&r, "error"), 0);
    rig_append(&r, second, sizeof second);
    assert_string_equal(rig_value(&r, "error", "error.code"), "input_audio_buffer_full");
    rig_send(&r, "{'type':'input_audio_buffer.commit'}");
    int count;
    assert_int_equal(sscanf(rig_asked(&r), "restart interleaved; append #1 user %d", &count), 1);
    assert_in_range(count, 3 * 16000 - 200, 3 * 16000);
    rig_append(&r, second, sizeof second);
    assert_int_equal(rig_count(&r, "error"), 1);
}

/* Samples may be cut anywhere, also within one. */
static void halves_of_samples(void **state) {
    (void)state;
    unsigned char bytes[4801] = {0};
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i / 2 % 50);
    rig_open(&r, "{\"audio\":{\"input\":{\"turn_detection\":null}}}");
    rig_append(&r, bytes, 1);
    rig_append(&r, bytes + 1, 3000);
    rig_append(&r, bytes + 3001, 1798);
    rig_send(&r, "{'type':'input_audio_buffer.commit'}"); /* half a sample is missing */
    assert_string_equal(rig_value(&r, "error", "error.code"), "input_audio_buffer_commit_empty");
    rig_append(&r, bytes + 4799, 1);
    rig_send(&r, "{'type':'input_audio_buffer.commit'}");
    rig_send(&r, "{'type':'conversation.item.retrieve','item_id':'%s'}",
             rig_value(&r, "input_audio_buffer.committed", "item_id"));
    json *e = rig_last(&r, "conversation.item.retrieved");
    size_t size;
    const char *audio =
        json_chars(json_get(json_at(json_get(json_get(e, "item"), "content"), 0), "audio"), &size);
    assert_int_equal(size, 6400);
    assert_memory_equal(audio, "AAABAQICAwME", 12);
    json_destroy(&e);
}

static void a_turn_is_forgotten(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_ask(&r, "light");
    assert_int_equal(rig_count(&r, "input_audio_buffer.speech_started"), 1);
    (void)rig_types(&r);
    (void)rig_asked(&r);
    rig_send(&r, "{'type':'input_audio_buffer.clear'}");
    assert_string_equal(rig_types(&r), "input_audio_buffer.cleared");
    assert_string_equal(rig_asked(&r), "drop");
    rig_silence(&r, 1);
    assert_string_equal(rig_types(&r), "");
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    assert_string_equal(rig_types(&r), TURN_TYPES " response.created");
    rig_answer(&r, "It is on.", 0.4);
}

/* commit in mid-turn, and another turn detection in mid-turn, end the turn there. */
static void a_turn_ends_early(void **state) {
    (void)state;
    script s = {0};
    (void)script_say(&s, "weather");
    rig_open(&r, NULL);
    rig_speak(&r, s.samples, s.count / 2);
    (void)rig_types(&r);
    rig_send(&r, "{'type':'input_audio_buffer.commit'}");
    assert_string_equal(rig_types(&r),
                        "input_audio_buffer.speech_stopped input_audio_buffer.committed "
                        "conversation.item.added conversation.item.done");
    rig_silence(&r, 1);
    assert_string_equal(rig_types(&r), "");
    rig_speak(&r, s.samples, s.count / 2);
    (void)rig_types(&r);
    rig_send(&r, "{'type':'session.update','session':{'instructions':'Be brief.'}}");
    assert_string_equal(rig_types(&r), "session.updated"); /* that ends nothing */
    rig_send(&r, "{'type':'session.update','session':{'audio':{'input':{'turn_detection':null}}}}");
    assert_string_equal(rig_types(&r),
                        "input_audio_buffer.speech_stopped input_audio_buffer.committed "
                        "conversation.item.added conversation.item.done session.updated");
    script_free(&s);
}

static void only_transcripts(void **state) {
    (void)state;
    r.config.transcribes_only = true;
    rig_open(&r, NULL);
    assert_string_equal(rig_value(&r, "session.created", "session.object"),
                        "realtime.transcription_session");
    assert_string_equal(rig_value(&r, "session.created", "session.instructions"), "");
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    (void)rig_types(&r);
    int count;
    assert_int_equal(sscanf(rig_asked(&r), "transcribe #1 %d", &count), 1);
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_value(&r, "error", "error.code"), "invalid_value");
    (void)rig_types(&r);
    realtime_news_item news = {
        .kind = REALTIME_HEARD, .key = r.transcript, .text = "Turn on", .size = 7};
    realtime_news(r.rt, &news, r.now_us);
    news = (realtime_news_item){.kind = REALTIME_HEARD_ALL,
                                .key = r.transcript,
                                .text = "Turn on the light.",
                                .size = 18,
                                .seconds = 1.25};
    realtime_news(r.rt, &news, r.now_us);
    assert_string_equal(rig_types(&r), "conversation.item.input_audio_transcription.delta "
                                       "conversation.item.input_audio_transcription.completed");
    assert_string_equal(
        rig_value(&r, "conversation.item.input_audio_transcription.completed", "usage.seconds"),
        "1.25");
    news.kind = REALTIME_UNHEARD;
    news.code = API_ENGINE_FAILURE;
    realtime_news(r.rt, &news, r.now_us);
    assert_string_equal(rig_types(&r), "conversation.item.input_audio_transcription.failed");
    news.key = 12345; /* of an item that is gone */
    realtime_news(r.rt, &news, r.now_us);
    assert_string_equal(rig_types(&r), "");
}

/* How sure the model was, where that is asked for. */
static void transcripts_with_logprobs(void **state) {
    (void)state;
    static const char completed[] = "conversation.item.input_audio_transcription.completed",
                      delta[] = "conversation.item.input_audio_transcription.delta";
    static const realtime_token tokens[] = {{"Yes", 3, -0.25f}, {"\xc3", 1, -INFINITY}};
    rig_open(&r, "{\"include\":[\"item.input_audio_transcription.logprobs\"],\"audio\":{\"input\":"
                 "{\"transcription\":{\"model\":\"any\"}}}}");
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    assert_non_null(strstr(rig_asked(&r), " logprobs"));
    realtime_news_item news = {.kind = REALTIME_HEARD,
                               .key = r.transcript,
                               .text = "Yes",
                               .size = 3,
                               .tokens = tokens,
                               .token_count = 1};
    realtime_news(r.rt, &news, r.now_us);
    assert_string_equal(rig_value(&r, delta, "logprobs.0.token"), "Yes");
    assert_string_equal(rig_value(&r, delta, "logprobs.0.bytes.2"), "115");
    assert_string_equal(rig_value(&r, delta, "logprobs.0.logprob"), "-0.25");
    assert_string_equal(rig_value(&r, delta, "logprobs.1.token"), "");
    news.kind = REALTIME_HEARD_ALL;
    news.token_count = 2;
    realtime_news(r.rt, &news, r.now_us);
    assert_string_equal(rig_value(&r, completed, "logprobs.1.bytes.0"), "195");
    assert_string_equal(rig_value(&r, completed, "logprobs.1.logprob"), "-9999");
    rig_send(&r, "{'type':'session.update','session':{'include':null}}");
    rig_done(&r, RNL_FINISH_END);
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    assert_null(strstr(rig_asked(&r), " logprobs"));
    news = (realtime_news_item){.kind = REALTIME_HEARD_ALL, .key = r.transcript, .text = ""};
    realtime_news(r.rt, &news, r.now_us);
    json *e = rig_last(&r, completed);
    assert_null(json_get(e, "logprobs"));
    json_destroy(&e);
    rig_done(&r, RNL_FINISH_END);
}

static void by_telephone(void **state) {
    (void)state;
    rig_open(&r, "{\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcmu\"}}}}");
    script s = {0};
    script_silence(&s, 0.5);
    (void)script_say(&s, "light");
    script_silence(&s, 1);
    script_noise(&s, 0.0005f, 7);
    unsigned char codes[160];
    for (size_t at = 0; at + 320 <= s.count; at += 320) {
        for (size_t i = 0; i < 160; i++) {
            /* mu-law by its formula, coarsely: nobody hears the difference. */
            const float x = fabsf(s.samples[at + 2 * i]);
            const int bits = (int)(127.0f * log1pf(255.0f * fminf(x, 1)) / log1pf(255.0f));
            codes[i] = (unsigned char)(~(bits | (s.samples[at + 2 * i] < 0 ? 0x80 : 0)));
        }
        r.now_us += 20000;
        rig_append(&r, codes, sizeof codes);
    }
    script_free(&s);
    assert_int_equal(rig_count(&r, "input_audio_buffer.committed"), 1);
    rig_answer(&r, "It is on.", 0.4);
}

/* However the bytes are cut, within samples too: the same clip, bit for bit, and the same times. */
static void any_cut_gives_the_same_clip(void **state) {
    (void)state;
    script s = {0};
    script_silence(&s, 0.5);
    (void)script_say(&s, "light");
    script_silence(&s, 1);
    script_noise(&s, 0.0005f, 7);
    int16_t *samples = malloc(s.count * sizeof *samples);
    float *first = NULL;
    assert_non_null(samples);
    for (size_t i = 0; i < s.count; i++) samples[i] = (int16_t)(s.samples[i] * 32767);
    size_t first_count = 0;
    for (uint64_t seed = 0; seed < 4; seed++) {
        random_state random;
        random_seed(&random, seed);
        if (seed > 0) rig_init(&r);
        rig_open(&r, NULL); /* as if it were 24 kHz: a slow voice */
        for (size_t at = 0; at < 2 * s.count;) {
            const size_t left = 2 * s.count - at;
            size_t size = seed == 0 ? 960 : 1 + random_u64(&random) % 5000;
            if (size > left) size = left;
            rig_append(&r, (const char *)samples + at, size);
            at += size;
            r.now_us += (int64_t)size * 1000000 / 48000;
        }
        assert_int_equal(rig_count(&r, "input_audio_buffer.committed"), 1);
        if (seed == 0) {
            first_count = r.ended_count;
            first = malloc(first_count * sizeof *first);
            assert_non_null(first);
            memcpy(first, r.clip, first_count * sizeof *first);
        }
        assert_true(first_count > 8000);
        assert_int_equal(r.ended_count, first_count);
        assert_memory_equal(r.clip, first, first_count * sizeof *first);
        rig_done(&r, RNL_FINISH_END);
        if (seed < 3) rig_close(&r);
    }
    free(first);
    free(samples);
    script_free(&s);
}

int main(void) {
#define WITH_RIG(test)                                                                             \
    cmocka_unit_test_prestate_setup_teardown(test, realtime_rig_begin, realtime_rig_end, &r)
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_manual_turn),
        WITH_RIG(from_heard_to_manual),
        WITH_RIG(a_manual_turn_is_bounded),
        WITH_RIG(halves_of_samples),
        WITH_RIG(a_turn_is_forgotten),
        WITH_RIG(a_turn_ends_early),
        WITH_RIG(only_transcripts),
        WITH_RIG(transcripts_with_logprobs),
        WITH_RIG(by_telephone),
        WITH_RIG(any_cut_gives_the_same_clip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
