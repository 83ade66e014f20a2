/* Responses: their events in order, cancelled, failed, out of band; what was heard of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/base64.h"
#include "serve/g711.h"
#include "tests/support/realtime_rig.h"

static realtime_rig r;

static void say(const char *text) {
    rig_send(&r,
             "{'type':'conversation.item.create','item':{'type':'message','role':'user',"
             "'content':[{'type':'input_text','text':'%s'}]}}",
             text);
}

static const char *done(const char *path) {
    char whole[128];
    (void)snprintf(whole, sizeof whole, "response.%s", path);
    return rig_value(&r, "response.done", whole);
}

/* The id of the last item that a response opened. */
static const char *item_id(void) {
    return rig_value(&r, "response.output_item.added", "item.id");
}

static void truncate_at(const char *id, int ms) {
    rig_send(&r,
             "{'type':'conversation.item.truncate','item_id':'%s','content_index':0,"
             "'audio_end_ms':%d}",
             id, ms);
}

static const char *transcript_of(const char *id) {
    rig_send(&r, "{'type':'conversation.item.retrieve','item_id':'%s'}", id);
    return rig_value(&r, "conversation.item.retrieved", "item.content.0.transcript");
}

static void a_spoken_answer(void **state) {
    (void)state;
    rig_open(&r, NULL);
    say("Hello");
    (void)rig_types(&r);
    rig_send(&r, "{'type':'response.create','response':{'metadata':{'client_event_id':'x1'}}}");
    assert_string_equal(rig_types(&r), "response.created");
    assert_string_equal(rig_value(&r, "response.created", "response.usage"), "null");
    assert_string_equal(rig_value(&r, "response.created", "response.metadata.client_event_id"),
                        "x1");
    rig_answer(&r, "Good day.", 0.16);
    assert_string_equal(
        rig_types(&r),
        "response.output_item.added conversation.item.added response.content_part.added "
        "response.output_audio_transcript.delta response.output_audio.delta "
        "response.output_audio.delta response.output_audio.done "
        "response.output_audio_transcript.done response.content_part.done "
        "conversation.item.done response.output_item.done response.done rate_limits.updated");
    assert_string_equal(done("status"), "completed");
    assert_string_equal(done("status_details"), "null");
    assert_string_equal(done("metadata.client_event_id"), "x1");
    assert_string_equal(done("output.0.content.0.transcript"), "Good day.");
    assert_string_equal(done("output.0.status"), "completed");
    assert_string_equal(done("usage.input_tokens"), "40");
    assert_string_equal(done("usage.total_tokens"), "49");
    assert_string_equal(done("usage.input_token_details.cached_tokens"), "15");
    assert_string_equal(done("conversation_id"),
                        rig_value(&r, "response.created", "response.conversation_id"));
    assert_string_equal(rig_value(&r, "rate_limits.updated", "rate_limits.0.remaining"), "59966");
    json *e = rig_last(&r, "response.output_audio.delta");
    size_t size;
    (void)json_chars(json_get(e, "delta"), &size);
    assert_int_equal(size, 5120);
    json_destroy(&e);
}

static void a_written_answer(void **state) {
    (void)state;
    rig_open(&r, NULL);
    say("Hello");
    rig_send(&r, "{'type':'response.create','response':{'output_modalities':['text'],"
                 "'instructions':'Be kind.','max_output_tokens':5}}");
    assert_string_equal(rig_asked(&r), "restart interleaved; append #1 user \"Hello\"; "
                                       "restart text \"Be kind.\"; append #1 user \"Hello\"; "
                                       "respond #2 text");
    (void)rig_types(&r);
    rig_begun(&r);
    rig_words(&r, "Good ");
    rig_words(&r, "day.");
    rig_done(&r, RNL_FINISH_LIMIT);
    assert_string_equal(
        rig_types(&r),
        "response.output_item.added conversation.item.added response.content_part.added "
        "response.output_text.delta response.output_text.delta response.output_text.done "
        "response.content_part.done conversation.item.done response.output_item.done "
        "response.done rate_limits.updated");
    assert_string_equal(rig_value(&r, "response.output_text.done", "text"), "Good day.");
    assert_string_equal(rig_value(&r, "response.content_part.done", "part.type"), "text");
    assert_string_equal(done("status"), "incomplete");
    assert_string_equal(done("status_details.reason"), "max_output_tokens");
    assert_string_equal(done("max_output_tokens"), "5");
    assert_string_equal(done("output.0.content.0.type"), "output_text");
    assert_string_equal(done("output.0.status"), "incomplete");
}

static void failed_answers(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_send(&r, "{'type':'response.create'}");
    rig_fail(&r, API_SERVER_OVERLOADED, "too many speak");
    assert_string_equal(done("status"), "failed");
    assert_string_equal(done("status_details.error.code"), "server_overloaded");
    assert_string_equal(done("status_details.error.type"), "server_error");
    assert_string_equal(done("status_details.error.message"), "too many speak");
    (void)rig_asked(&r);
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r), "respond #2 interleaved");
    rig_words(&r, "Well");
    rig_fail(&r, API_ENGINE_FAILURE, "the weights give values that are not numbers");
    assert_string_equal(done("output.0.status"), "incomplete");
    /* Nobody knows what the model has: all is told again. */
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r), "restart interleaved; append #2 assistant \"Well\"; "
                                       "respond #3 interleaved");
    rig_done(&r, RNL_FINISH_END);
    assert_string_equal(done("status"), "completed");
}

static void one_at_a_time(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_send(&r, "{'type':'response.create'}");
    rig_send(&r, "{'type':'response.create','event_id':'mine'}");
    assert_string_equal(rig_value(&r, "error", "error.code"),
                        "conversation_already_has_active_response");
    assert_string_equal(rig_value(&r, "error", "error.event_id"), "mine");
    say("Meanwhile"); /* waits for the end */
    assert_string_equal(rig_asked(&r), "restart interleaved; respond #1 interleaved");
    rig_answer(&r, "Hm.", 0.08);
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r), "restart interleaved; append #2 user \"Meanwhile\"; "
                                       "append #1 assistant \"Hm.\"; respond #3 interleaved");
    rig_done(&r, RNL_FINISH_END);
}

static void cancelled_by_the_client(void **state) {
    (void)state;
    rig_open(&r, NULL);
    say("Hello");
    rig_send(&r, "{'type':'response.create'}");
    rig_begun(&r);
    rig_words(&r, "One two three four five six seven");
    rig_sound(&r, 1.6);
    (void)rig_types(&r);
    (void)rig_asked(&r);
    r.now_us += 480000;
    rig_send(&r, "{'type':'response.cancel'}");
    assert_string_equal(rig_types(&r),
                        "response.output_audio.done response.output_audio_transcript.done "
                        "response.content_part.done conversation.item.done "
                        "response.output_item.done response.done rate_limits.updated");
    assert_string_equal(done("status"), "cancelled");
    assert_string_equal(done("status_details.reason"), "client_cancelled");
    assert_string_equal(done("output.0.status"), "incomplete");
    assert_string_equal(done("usage.input_tokens"), "40");
    assert_string_equal(done("usage.output_token_details.audio_tokens"), "20");
    rig_sound(&r, 0.16); /* the model was not told yet */
    rig_done(&r, RNL_FINISH_STOPPED);
    assert_string_equal(rig_types(&r), "");
    assert_string_equal(rig_asked(&r), "cancel #2");
    /* No word of the client: 400 ms were heard, 480 less what is on the way. */
    rig_wait(&r, 0.299);
    assert_string_equal(rig_asked(&r), "");
    rig_wait(&r, 0.002);
    assert_string_equal(rig_asked(&r), "truncate #2 9600");
    assert_string_equal(transcript_of(item_id()), "One two");
    rig_send(&r, "{'type':'response.cancel'}");
    assert_string_equal(rig_value(&r, "error", "error.code"), "response_cancel_not_active");
}

static void the_clients_word_counts(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_send(&r, "{'type':'response.create'}");
    rig_begun(&r);
    rig_words(&r, "One two three four five six seven");
    rig_sound(&r, 1.6);
    rig_send(&r, "{'type':'response.cancel'}");
    (void)rig_types(&r);
    (void)rig_asked(&r);
    truncate_at(item_id(), 1000);
    assert_string_equal(rig_types(&r), "conversation.item.truncated");
    assert_string_equal(rig_value(&r, "conversation.item.truncated", "audio_end_ms"), "1000");
    assert_string_equal(rig_asked(&r), "truncate #1 24000");
    assert_string_equal(transcript_of(item_id()), "One two three four");
    json *e = rig_last(&r, "conversation.item.retrieved");
    size_t size;
    (void)json_chars(json_get(json_at(json_get(json_get(e, "item"), "content"), 0), "audio"),
                     &size);
    assert_int_equal(size, 64000); /* a second */
    json_destroy(&e);
    rig_wait(&r, 1);
    assert_string_equal(rig_asked(&r), "");
    /* Later words change what is shown, not what the model has. */
    truncate_at(item_id(), 500);
    assert_string_equal(rig_asked(&r), "");
    assert_string_equal(transcript_of(item_id()), "One two");
    truncate_at(item_id(), 601);
    assert_string_equal(rig_value(&r, "error", "error.message"),
                        "Audio content of 500ms is already shorter than 601ms");
    truncate_at(item_id(), 600);
    assert_string_equal(rig_value(&r, "conversation.item.truncated", "audio_end_ms"), "600");
}

static void a_reply_that_nobody_interrupted(void **state) {
    (void)state;
    rig_open(&r, NULL);
    say("Hello");
    rig_send(&r, "{'type':'response.create'}");
    rig_answer(&r, "One two three four", 1.6);
    (void)rig_asked(&r);
    truncate_at(item_id(), 1600); /* played to its end: nothing happens */
    assert_string_equal(rig_asked(&r), "");
    truncate_at(item_id(), 800);
    assert_string_equal(rig_asked(&r), "truncate #2 19200");
    assert_string_equal(transcript_of(item_id()), "One two");
    say("More");
    rig_send(&r, "{'type':'response.create'}");
    rig_answer(&r, "Five six seven eight", 1.6);
    say("And then?");
    (void)rig_asked(&r);
    truncate_at(item_id(), 800); /* something stands behind it */
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r),
                        "restart interleaved; append #1 user \"Hello\"; "
                        "append #2 assistant \"One two\"; append #3 user \"More\"; "
                        "append #6 assistant \"Five six\"; append #5 user \"And then?\"; "
                        "respond #7 interleaved");
    rig_done(&r, RNL_FINISH_END);
}

static void nothing_was_heard(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_send(&r, "{'type':'response.create'}");
    rig_begun(&r);
    (void)rig_asked(&r);
    (void)rig_types(&r);
    rig_send(&r, "{'type':'response.cancel'}");
    assert_string_equal(rig_types(&r), "response.done rate_limits.updated");
    assert_string_equal(rig_asked(&r), "cancel #1; truncate #1 0");
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r), "respond #2 interleaved");
    rig_words(&r, "Hm");
    rig_sound(&r, 0.08);
    truncate_at(item_id(), 0); /* while it is made: it is cancelled by that */
    assert_string_equal(done("status"), "cancelled");
    assert_string_equal(rig_asked(&r), "cancel #2; truncate #2 0");
    assert_string_equal(transcript_of(item_id()), "");
}

static void out_of_band(void **state) {
    (void)state;
    rig_open(&r, NULL);
    say("Hello");
    rig_send(&r, "{'type':'response.create'}");
    const uint32_t first = r.reply;
    (void)rig_types(&r);
    (void)rig_asked(&r);
    rig_send(&r, "{'type':'response.create','response':{'conversation':'none',"
                 "'output_modalities':['text'],'metadata':{'topic':'a'}}}");
    assert_string_equal(rig_asked(&r), "alone #3 text 1; with #1 user \"Hello\"");
    rig_send(&r,
             "{'type':'response.create','response':{'conversation':'none','input':["
             "{'type':'message','role':'user','content':[{'type':'input_text','text':'Sum?'}]},"
             "{'type':'item_reference','id':'%s'}]}}",
             rig_value(&r, "conversation.item.added", "item.id"));
    assert_string_equal(rig_asked(&r), "alone #4 interleaved 2; with #5 user \"Sum?\"; "
                                       "with #1 user \"Hello\"");
    assert_string_equal(rig_value(&r, "response.created", "response.conversation_id"), "null");
    (void)rig_types(&r);
    rig_answer(&r, "Four.", 0.08);
    assert_string_equal(
        rig_types(&r),
        "response.output_item.added response.content_part.added "
        "response.output_audio_transcript.delta response.output_audio.delta "
        "response.output_audio.done response.output_audio_transcript.done "
        "response.content_part.done response.output_item.done response.done rate_limits.updated");
    for (int i = 0; i < 3; i++)
        rig_send(&r, "{'type':'response.create','response':{'conversation':'none','input':[]}}");
    assert_int_equal(rig_count(&r, "error"), 0);
    rig_send(&r, "{'type':'response.create','response':{'conversation':'none','input':[]}}");
    assert_string_equal(rig_value(&r, "error", "error.code"), "rate_limit_exceeded");
    /* One by its name, then the others to their ends. */
    rig_send(&r, "{'type':'response.cancel','response_id':'%s'}",
             rig_value(&r, "response.created", "response.id"));
    assert_string_equal(done("status"), "cancelled");
    assert_string_equal(done("id"), rig_value(&r, "response.created", "response.id"));
    for (int i = 0; i < r.key_count; i++) {
        r.reply = r.keys[i];
        if (r.reply != first) rig_done(&r, RNL_FINISH_END);
    }
    r.reply = first;
    rig_answer(&r, "Good day.", 0.08);
    assert_int_equal(rig_count(&r, "response.done"), rig_count(&r, "response.created"));
}

static void another_context(void **state) {
    (void)state;
    rig_open(&r, NULL);
    say("Hello");
    (void)rig_asked(&r);
    rig_send(&r, "{'type':'response.create','response':{'input':[{'type':'message','role':'user',"
                 "'content':[{'type':'input_text','text':'Sum?'}]}]}}");
    assert_string_equal(rig_asked(&r), "alone #2 interleaved 1; with #3 user \"Sum?\"");
    rig_answer(&r, "Four.", 0.08);
    assert_string_equal(rig_value(&r, "conversation.item.added", "previous_item_id"),
                        rig_value(&r, "conversation.item.done", "previous_item_id"));
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r), "append #4 assistant \"Four.\"; respond #5 interleaved");
    rig_done(&r, RNL_FINISH_END);
}

static void formats_of_sound(void **state) {
    (void)state;
    static const struct {
        const char *format;
        int rate, size;
    } rows[] = {{"{'type':'audio/pcmu'}", 8000, 1},
                {"{'type':'audio/pcma'}", 8000, 1},
                {"{'type':'audio/pcm','rate':8000}", 8000, 2},
                {"{'type':'audio/pcm','rate':16000}", 16000, 2},
                {"{'type':'audio/pcm','rate':48000}", 48000, 2}};
    rig_open(&r, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig_send(&r, "{'type':'session.update','session':{'audio':{'output':{'format':%s}}}}",
                 rows[i].format);
        rig_send(&r, "{'type':'response.create'}");
        const int from = r.event_count;
        rig_answer(&r, "Hm.", 0.8);
        size_t bytes = 0;
        for (int k = from; k < r.event_count; k++) {
            json *e = NULL;
            size_t size, made;
            assert_int_equal(json_parse(r.events[k], strlen(r.events[k]), "e", &e, NULL), RNL_OK);
            if (strcmp(json_chars(json_get(e, "type"), NULL), "response.output_audio.delta") == 0) {
                unsigned char out[32768];
                const char *delta = json_chars(json_get(e, "delta"), &size);
                assert_true(base64_decode(delta, size, out, &made));
                bytes += made;
            }
            json_destroy(&e);
        }
        assert_int_equal(bytes, rows[i].rate * 8 / 10 * rows[i].size);
    }
}

static void the_voice_stays(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_send(&r, "{'type':'session.update','session':{'audio':{'output':{'voice':'us-male'}}}}");
    rig_send(&r, "{'type':'response.create'}");
    rig_answer(&r, "Hm.", 0.08);
    rig_send(&r, "{'type':'session.update','session':{'audio':{'output':{'voice':'us-male'}}}}");
    assert_int_equal(rig_count(&r, "error"), 0);
    rig_send(&r, "{'type':'session.update','session':{'audio':{'output':{'voice':'alloy'}}}}");
    assert_string_equal(rig_value(&r, "error", "error.code"), "cannot_update_voice");
    rig_send(&r,
             "{'type':'response.create','response':{'audio':{'output':{'voice':'us-female'}}}}");
    assert_string_equal(rig_value(&r, "error", "error.param"), "response.audio.output.voice");
}

int main(void) {
#define WITH_RIG(test)                                                                             \
    cmocka_unit_test_prestate_setup_teardown(test, realtime_rig_begin, realtime_rig_end, &r)
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_spoken_answer),
        WITH_RIG(a_written_answer),
        WITH_RIG(failed_answers),
        WITH_RIG(one_at_a_time),
        WITH_RIG(cancelled_by_the_client),
        WITH_RIG(the_clients_word_counts),
        WITH_RIG(a_reply_that_nobody_interrupted),
        WITH_RIG(nothing_was_heard),
        WITH_RIG(out_of_band),
        WITH_RIG(another_context),
        WITH_RIG(formats_of_sound),
        WITH_RIG(the_voice_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
