/* Spoken turns: what the voice activity network hears becomes events, a clip, an item, a response;
 * interruptions; idle timeouts. The voices are those of samples/questions. */
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

static int number(const char *type, const char *path) {
    return atoi(rig_value(&r, type, path));
}

static const char *answered(const char *path) {
    char whole[128];
    (void)snprintf(whole, sizeof whole, "response.%s", path);
    return rig_value(&r, "response.done", whole);
}

#define TURN_TYPES                                                                                 \
    "input_audio_buffer.speech_started input_audio_buffer.speech_stopped "                         \
    "input_audio_buffer.committed conversation.item.added conversation.item.done"

static void a_spoken_turn(void **state) {
    (void)state;
    r.config.speculates = true;
    rig_open(&r, NULL);
    rig_send(&r, "{'type':'session.update','session':{'audio':{'input':{'transcription':"
                 "{'model':'any'}}}}}");
    (void)rig_types(&r);
    rig_silence(&r, 1);
    assert_string_equal(rig_asked(&r), "");
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    assert_string_equal(rig_types(&r), TURN_TYPES " response.created");
    const int from = number("input_audio_buffer.speech_started", "audio_start_ms");
    const int to = number("input_audio_buffer.speech_stopped", "audio_end_ms");
    script s = {0};
    (void)script_say(&s, "light");
    const int said = (int)(s.count / 16);
    script_free(&s);
    assert_in_range(from, 600, 1300);
    assert_in_range(to, 1000 + said / 2, 1000 + said + 150);
    const char *id = rig_value(&r, "input_audio_buffer.speech_started", "item_id");
    assert_string_equal(rig_value(&r, "input_audio_buffer.speech_stopped", "item_id"), id);
    assert_string_equal(rig_value(&r, "input_audio_buffer.committed", "item_id"), id);
    assert_string_equal(rig_value(&r, "conversation.item.added", "item.content.0.transcript"),
                        "null");
    /* The model heard the clip while it was spoken, and begins at the guess. */
    char want[256];
    const char *asked = rig_asked(&r);
    int pushed, transcribed;
    assert_int_equal(sscanf(asked,
                            "restart interleaved; push %d; guess #1; end #2; transcribe #2 %d; "
                            "respond #1 interleaved",
                            &pushed, &transcribed),
                     2);
    (void)snprintf(want, sizeof want,
                   "restart interleaved; push %d; guess #1; end #2; transcribe #2 %d; "
                   "respond #1 interleaved",
                   pushed, pushed);
    assert_string_equal(asked, want);
    assert_in_range(pushed, (to - from - 1) * 16, (to - from + 1) * 16);
    rig_answer(&r, "It is on.", 0.4);
    assert_string_equal(answered("status"), "completed");
}

static void the_clip_is_what_was_said(void **state) {
    (void)state;
    r.rate = 16000;
    rig_open(&r, "{\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":16000},"
                 "\"turn_detection\":{\"type\":\"server_vad\",\"create_response\":false}}}}");
    rig_silence(&r, 1);
    rig_ask(&r, "light");
    script s = {0};
    script_silence(&s, 1);
    (void)script_say(&s, "light");
    float *copy = malloc(200000 * sizeof *copy);
    assert_non_null(copy);
    /* All of it but the end, which is silent, before the turn is over. */
    const size_t count = r.clip_count;
    assert_true(count > 10000 && count < 200000);
    memcpy(copy, r.clip, count * sizeof *copy);
    const size_t at = (size_t)number("input_audio_buffer.speech_started", "audio_start_ms") * 16;
    for (size_t i = 0; i < count; i++)
        if (fabsf(copy[i] - s.samples[at + i]) > 0.002f) fail_msg("sample %zu", i);
    rig_silence(&r, 1);
    free(copy);
    script_free(&s);
    /* What came is given back as it came. */
    rig_send(&r, "{'type':'conversation.item.retrieve','item_id':'%s'}",
             rig_value(&r, "input_audio_buffer.committed", "item_id"));
    json *e = rig_last(&r, "conversation.item.retrieved");
    size_t size;
    (void)json_chars(json_get(json_at(json_get(json_get(e, "item"), "content"), 0), "audio"),
                     &size);
    const int ms = number("input_audio_buffer.speech_stopped", "audio_end_ms") -
                   number("input_audio_buffer.speech_started", "audio_start_ms");
    assert_in_range(size * 3 / 4 / 32, ms - 1, ms + 1);
    json_destroy(&e);
}

static void an_interruption(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    rig_begun(&r);
    rig_words(&r, "The light is on and the door is shut and all is well.");
    rig_sound(&r, 8); /* faster than it plays */
    rig_silence(&r, 0.5);
    (void)rig_types(&r);
    (void)rig_asked(&r);
    const uint32_t reply = r.reply;
    script s = {0};
    (void)script_say(&s, "weather");
    rig_speak(&r, s.samples, s.count / 2);
    /* First what stops the loudspeaker, then the end of the response. */
    assert_string_equal(
        rig_types(&r),
        "input_audio_buffer.speech_started response.output_audio.done "
        "response.output_audio_transcript.done response.content_part.done conversation.item.done "
        "response.output_item.done response.done rate_limits.updated");
    assert_string_equal(answered("status"), "cancelled");
    assert_string_equal(answered("status_details.reason"), "turn_detected");
    assert_string_equal(answered("output.0.status"), "incomplete");
    r.reply = reply;
    rig_sound(&r, 0.16); /* on the way when it was cancelled */
    rig_done(&r, RNL_FINISH_STOPPED);
    /* Until the cut is settled nothing of the clip goes to the model; then all of it does. */
    const char *asked = rig_asked(&r);
    int samples, pushed;
    assert_int_equal(sscanf(asked, "cancel #2; truncate #2 %d; push %d", &samples, &pushed), 2);
    assert_in_range(samples, 0.5 * 24000, 2.5 * 24000);
    assert_in_range(pushed, 4000, s.count);
    rig_speak(&r, s.samples + s.count / 2, s.count - s.count / 2);
    rig_silence(&r, 1);
    assert_string_equal(rig_types(&r),
                        "input_audio_buffer.speech_stopped input_audio_buffer.committed "
                        "conversation.item.added conversation.item.done response.created");
    asked = rig_asked(&r);
    assert_int_equal(sscanf(asked, "push %d; end #3; respond #4", &pushed), 1);
    script_free(&s);
    rig_answer(&r, "Rain.", 0.4);
}

/* The same with the client's word, while the reply was made long ago and still plays. */
static void an_interruption_while_it_plays(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    rig_answer(&r, "The light is on and the door is shut and all is well.", 8);
    rig_silence(&r, 0.5);
    (void)rig_types(&r);
    (void)rig_asked(&r);
    script s = {0};
    (void)script_say(&s, "weather");
    size_t at = 0;
    for (; rig_count(&r, "input_audio_buffer.speech_started") < 2; at += 320)
        rig_speak(&r, s.samples + at, 320);
    assert_string_equal(rig_types(&r), "input_audio_buffer.speech_started");
    rig_send(&r,
             "{'type':'conversation.item.truncate','item_id':'%s','content_index':0,"
             "'audio_end_ms':900}",
             rig_value(&r, "response.output_item.added", "item.id"));
    int pushed;
    assert_int_equal(sscanf(rig_asked(&r), "truncate #2 21600; push %d", &pushed), 1);
    rig_speak(&r, s.samples + at, s.count - at);
    rig_silence(&r, 1);
    script_free(&s);
    assert_int_equal(rig_count(&r, "response.created"), 2);
    rig_answer(&r, "Rain.", 0.4);
}

static void replies_that_are_not_interrupted(void **state) {
    (void)state;
    rig_open(&r, "{\"audio\":{\"input\":{\"turn_detection\":{\"type\":\"server_vad\","
                 "\"interrupt_response\":false}}}}");
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    rig_begun(&r);
    rig_words(&r, "The light");
    rig_sound(&r, 8);
    (void)rig_types(&r);
    (void)rig_asked(&r);
    rig_ask(&r, "weather");
    rig_silence(&r, 1);
    assert_string_equal(rig_types(&r), TURN_TYPES); /* heard, and not answered */
    assert_string_equal(rig_asked(&r), "");
    rig_words(&r, " is on.");
    rig_done(&r, RNL_FINISH_END);
    rig_send(&r, "{'type':'response.create'}");
    /* The item of the reply was opened before the user spoke. */
    int count;
    assert_int_equal(sscanf(rig_asked(&r), "append #3 user %d; respond #4", &count), 1);
    assert_in_range(count, 8000, 100000);
    rig_done(&r, RNL_FINISH_END);
}

static void deaf_while_it_plays(void **state) {
    (void)state;
    r.config.half_duplex = true;
    rig_open(&r, NULL);
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    rig_answer(&r, "The light is on.", 8);
    rig_ask(&r, "weather");
    assert_int_equal(rig_count(&r, "input_audio_buffer.speech_started"), 1);
    rig_silence(&r, 7);
    rig_ask(&r, "weather");
    assert_int_equal(rig_count(&r, "input_audio_buffer.speech_started"), 2);
    rig_silence(&r, 1);
    rig_answer(&r, "Rain.", 0.4);
}

/* What stands between must not be lost: an item that is made while somebody speaks. */
static void an_item_in_mid_turn(void **state) {
    (void)state;
    r.config.speculates = true;
    script s = {0};
    (void)script_say(&s, "weather");
    rig_open(&r, NULL);
    rig_speak(&r, s.samples, s.count / 2);
    rig_send(&r, "{'type':'conversation.item.create','item':{'type':'message','role':'system',"
                 "'content':[{'type':'input_text','text':'Noon.'}]}}");
    rig_speak(&r, s.samples + s.count / 2, s.count - s.count / 2);
    rig_silence(&r, 1);
    const char *asked = rig_asked(&r);
    int first, second;
    if (sscanf(asked, "restart interleaved; push %d; drop; append #1 system \"Noon.\"; push %d",
               &first, &second) != 2)
        fail_msg("%s", asked);
    assert_true(second > first);
    assert_non_null(strstr(asked, "respond #"));
    script_free(&s);
    rig_answer(&r, "Rain.", 0.4);
}

/* The model's ring is full: the clip goes with its item. */
static void a_clip_that_is_not_taken(void **state) {
    (void)state;
    rig_open(&r, NULL);
    r.push_room = 8000;
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    int count;
    const char *asked = rig_asked(&r);
    if (sscanf(asked, "restart interleaved; push 8000; drop; append #1 user %d; respond #2",
               &count) != 1)
        fail_msg("%s", asked);
    assert_true(count > 8000);
    rig_answer(&r, "It is on.", 0.4);
}

static void a_long_turn_is_cut(void **state) {
    (void)state;
    r.config.clip_seconds_max = 4;
    rig_open(&r, NULL);
    script s = {0};
    for (int i = 0; i < 4; i++) (void)script_say(&s, "weather");
    rig_speak(&r, s.samples, s.count);
    rig_silence(&r, 1);
    script_free(&s);
    const int turns = rig_count(&r, "input_audio_buffer.committed");
    assert_true(turns >= 2);
    assert_int_equal(rig_count(&r, "input_audio_buffer.speech_started"), turns);
    /* A cut in a pause is answered, in case that it was the end; who goes on interrupts that. */
    assert_in_range(rig_count(&r, "response.created"), 1, turns);
    rig_answer(&r, "Rain.", 0.4);
}

static void by_how_finished_it_sounds(void **state) {
    (void)state;
    r.asks = true;
    rig_open(&r, "{\"audio\":{\"input\":{\"turn_detection\":{\"type\":\"semantic_vad\","
                 "\"eagerness\":\"high\"}}}}");
    rig_ask(&r, "light");
    script s = {0};
    script_silence(&s, 2);
    size_t at = 0;
    while (r.question == 0 && at < s.count) {
        rig_speak(&r, s.samples + at, 320);
        at += 320;
    }
    assert_true(r.question != 0);
    /* No answer: nothing is heard any more, and no message comes. */
    while (!realtime_is_busy(r.rt) && at < s.count) {
        rig_speak(&r, s.samples + at, 320);
        at += 320;
    }
    assert_true(realtime_is_busy(r.rt));
    (void)rig_types(&r);
    realtime_news_item news = {.kind = REALTIME_FINISHED, .key = r.question, .probability = 0.95f};
    realtime_news(r.rt, &news, r.now_us);
    assert_false(realtime_is_busy(r.rt));
    rig_speak(&r, s.samples, 3200);
    assert_string_equal(rig_types(&r),
                        "input_audio_buffer.speech_stopped input_audio_buffer.committed "
                        "conversation.item.added conversation.item.done response.created");
    script_free(&s);
    rig_answer(&r, "It is on.", 0.4);
}

static void nobody_says_anything(void **state) {
    (void)state;
    rig_open(&r, "{\"audio\":{\"input\":{\"turn_detection\":{\"type\":\"server_vad\","
                 "\"idle_timeout_ms\":2000}}}}");
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    rig_answer(&r, "It is on.", 1.6);
    (void)rig_types(&r);
    (void)rig_asked(&r);
    rig_silence(&r, 3.5);
    assert_string_equal(rig_types(&r), "");
    rig_silence(&r, 0.2);
    assert_string_equal(rig_types(&r),
                        "input_audio_buffer.timeout_triggered "
                        "conversation.item.added conversation.item.done "
                        "input_audio_buffer.committed "
                        "conversation.item.added conversation.item.done response.created");
    assert_string_equal(rig_value(&r, "conversation.item.added", "item.role"), "user");
    assert_string_equal(rig_value(&r, "conversation.item.added", "item.content.0.transcript"), "");
    assert_non_null(strstr(rig_asked(&r), "append #3 system "));
    rig_answer(&r, "Are you there?", 0.8);
    (void)rig_types(&r);
    /* Whoever speaks disarms it. */
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    assert_string_equal(rig_types(&r), TURN_TYPES " response.created");
    rig_wait(&r, 10);
    assert_string_equal(rig_types(&r), "");
    rig_answer(&r, "It is on.", 0.8);
}

/* ---- What is counted ---- */

/* The value of a line of /metrics. */
static double counted(const metrics *m, const char *name) {
    static char page[65536];
    const size_t size = metrics_write(m, page, sizeof page - 1);
    assert_true(size < sizeof page);
    page[size] = 0;
    char line[128];
    (void)snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(page, line);
    return at != NULL ? atof(at + strlen(line)) : -1;
}

static void turns_and_interruptions_are_counted(void **state) {
    (void)state;
    metrics *m;
    const metrics_config config = {.kernels = "", .model = ""};
    assert_int_equal(metrics_create(&config, &m), RNL_OK);
    r.config.metrics = m;
    rig_open(&r, NULL);
    assert_int_equal(realtime_state(r.rt, r.now_us), METRIC_LISTENING);
    script s = {0};
    (void)script_say(&s, "weather");
    rig_speak(&r, s.samples, s.count / 2);
    assert_int_equal(realtime_state(r.rt, r.now_us), METRIC_HEARING);
    rig_speak(&r, s.samples + s.count / 2, s.count - s.count / 2);
    for (int i = 0; r.reply == 0 && i < 50; i++) rig_silence(&r, 0.02);
    assert_int_equal(realtime_state(r.rt, r.now_us), METRIC_THINKING);
    rig_begun(&r);
    rig_words(&r, "It snows.");
    rig_wait(&r, 0.3);
    rig_sound(&r, 4);
    rig_sound(&r, 4);
    assert_int_equal(realtime_state(r.rt, r.now_us), METRIC_SPEAKING);
    assert_true(counted(m, "runnel_first_audio_seconds_count") == 1);
    const double first = counted(m, "runnel_first_audio_seconds_sum");
    assert_true(first > 0.299 && first < 0.32);
    assert_true(counted(m, "runnel_barge_in_stop_seconds_count") == 0);
    rig_done(&r, RNL_FINISH_END);
    assert_int_equal(realtime_state(r.rt, r.now_us), METRIC_SPEAKING); /* it plays on */
    rig_silence(&r, 0.5);
    rig_speak(&r, s.samples, s.count);
    script_free(&s);
    assert_true(counted(m, "runnel_barge_in_stop_seconds_count") == 1);
    const double stop = counted(m, "runnel_barge_in_stop_seconds_sum");
    assert_true(stop > 0.09 && stop < 0.5);
    rig_send(&r, "{'type':'nothing'}");
    assert_true(counted(m, "runnel_event_errors_total{code=\"invalid_value\"}") == 1);
    assert_true(counted(m, "runnel_events_out_total") == r.event_count);
    assert_true(counted(m, "runnel_events_in_total") > 50);
    rig_silence(&r, 1);
    rig_answer(&r, "Rain.", 0.4);
    rig_close(&r);
    metrics_destroy(&m);
}

int main(void) {
#define WITH_RIG(test)                                                                             \
    cmocka_unit_test_prestate_setup_teardown(test, realtime_rig_begin, realtime_rig_end, &r)
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_spoken_turn),
        WITH_RIG(the_clip_is_what_was_said),
        WITH_RIG(an_interruption),
        WITH_RIG(an_interruption_while_it_plays),
        WITH_RIG(replies_that_are_not_interrupted),
        WITH_RIG(deaf_while_it_plays),
        WITH_RIG(an_item_in_mid_turn),
        WITH_RIG(a_clip_that_is_not_taken),
        WITH_RIG(a_long_turn_is_cut),
        WITH_RIG(by_how_finished_it_sounds),
        WITH_RIG(nobody_says_anything),
        WITH_RIG(turns_and_interruptions_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
