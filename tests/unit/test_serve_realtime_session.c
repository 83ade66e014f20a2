/* The session object: what it begins with, what updates make of it, what they refuse; both
 * dialects; what messages of any kind do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/realtime_rig.h"

static realtime_rig r;

static const char *session(const char *type, const char *path) {
    char whole[128];
    (void)snprintf(whole, sizeof whole, "session.%s", path);
    return rig_value(&r, type, whole);
}

static const char *updated(const char *path) {
    return session("session.updated", path);
}

/* The code of the error that the last event is; "": it is none. */
static const char *error_code(void) {
    const char *last = r.events[r.event_count - 1];
    return strncmp(last, "{\"type\":\"error\"", 15) == 0 ? rig_value(&r, "error", "error.code")
                                                         : "";
}

static void defaults(void **state) {
    (void)state;
    rig_open(&r, NULL);
    assert_string_equal(rig_types(&r), "session.created");
    static const char *const rows[][2] = {
        {"type", "realtime"},
        {"object", "realtime.session"},
        {"model", "minnow"},
        {"output_modalities.0", "audio"},
        {"instructions", "Respond with interleaved text and audio."},
        {"tool_choice", "auto"},
        {"max_output_tokens", "inf"},
        {"tracing", "null"},
        {"truncation", "auto"},
        {"prompt", "null"},
        {"expires_at", "1.796e+09"},
        {"include", "null"},
        {"audio.input.format.type", "audio/pcm"},
        {"audio.input.format.rate", "24000"},
        {"audio.input.transcription", "null"},
        {"audio.input.noise_reduction", "null"},
        {"audio.input.turn_detection.type", "server_vad"},
        {"audio.input.turn_detection.threshold", "0.5"},
        {"audio.input.turn_detection.prefix_padding_ms", "300"},
        {"audio.input.turn_detection.silence_duration_ms", "500"},
        {"audio.input.turn_detection.idle_timeout_ms", "null"},
        {"audio.output.format.rate", "24000"},
        {"audio.output.voice", "default"},
        {"audio.output.speed", "1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(session("session.created", rows[i][0]), rows[i][1]);
    assert_int_equal(strlen(session("session.created", "id")), 5 + 21);
}

static void updates_merge(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_send(&r, "{'type':'session.update','session':{'type':'realtime','instructions':'Be brief.',"
                 "'audio':{'input':{'transcription':{'model':'whisper-1'},'turn_detection':{'type':"
                 "'server_vad','silence_duration_ms':700}}},'unknown':{'a':[1,2]}}}");
    assert_string_equal(updated("instructions"), "Be brief.");
    assert_string_equal(updated("audio.input.transcription.model"), "whisper-1");
    assert_string_equal(updated("audio.input.turn_detection.silence_duration_ms"), "700");
    rig_send(&r, "{'type':'session.update','session':{'audio':{'input':{'transcription':"
                 "{'language':'en'}}}}}");
    assert_string_equal(updated("instructions"), "Be brief.");
    assert_string_equal(updated("audio.input.transcription.model"), "whisper-1");
    assert_string_equal(updated("audio.input.transcription.language"), "en");
    /* turn_detection is replaced as a whole. */
    rig_send(&r,
             "{'type':'session.update','session':{'instructions':'','audio':{'input':"
             "{'transcription':null,'turn_detection':{'type':'server_vad','threshold':0.7}}}}}");
    assert_string_equal(updated("instructions"), "Respond with interleaved text and audio.");
    assert_string_equal(updated("audio.input.transcription"), "null");
    assert_string_equal(updated("audio.input.turn_detection.threshold"), "0.7");
    assert_string_equal(updated("audio.input.turn_detection.silence_duration_ms"), "500");
    /* null where nothing can be cleared changes nothing. */
    rig_send(&r, "{'type':'session.update','session':{'audio':{'input':{'format':null,"
                 "'turn_detection':null},'output':{'voice':null}},'max_output_tokens':null,"
                 "'tools':null,'tool_choice':null}}");
    assert_string_equal(updated("audio.input.turn_detection"), "null");
    assert_string_equal(updated("audio.input.format.rate"), "24000");
    rig_send(&r, "{'type':'session.update','session':{'audio':{'input':{'turn_detection':"
                 "{'type':'semantic_vad','eagerness':'high','interrupt_response':false}}}}}");
    assert_string_equal(updated("audio.input.turn_detection.type"), "semantic_vad");
    assert_string_equal(updated("audio.input.turn_detection.eagerness"), "high");
    assert_string_equal(error_code(), "");
}

/* Whichever comes first, and whichever goes. */
static void a_named_function_is_one_of_the_tools(void **state) {
    (void)state;
    static const char *const refused[] = {
        "{'tool_choice':{'type':'function','name':'f'}}",
        "{'tools':[{'type':'function','name':'g'}],'tool_choice':{'type':'function','name':'f'}}"};
    r.config.calls = true;
    rig_open(&r, NULL);
    for (int i = 0; i < 2; i++) {
        rig_send(&r, "{'type':'session.update','session':%s}", refused[i]);
        assert_string_equal(error_code(), "invalid_value");
        assert_string_equal(rig_value(&r, "error", "error.param"), "session.tool_choice");
    }
    rig_send(&r, "{'type':'session.update','session':{'tool_choice':{'type':'function','name':"
                 "'f'},'tools':[{'type':'function','name':'f'},{'type':'function','name':'g'}]}}");
    assert_string_equal(rig_value(&r, "session.updated", "session.tool_choice.name"), "f");
    rig_send(&r, "{'type':'session.update','session':{'tools':[]}}");
    assert_string_equal(error_code(), "invalid_value");
    rig_send(&r, "{'type':'response.create','response':{'tool_choice':{'type':'function','name':"
                 "'h'}}}");
    assert_string_equal(rig_value(&r, "error", "error.param"), "response.tool_choice");
}

static void everything_is_kept(void **state) {
    (void)state;
    r.config.calls = true;
    rig_open(&r, NULL);
    rig_send(&r, "{'type':'session.update','session':{'output_modalities':['text'],"
                 "'tools':[{'type':'function','name':'f','parameters':{}}],"
                 "'tool_choice':{'type':'function','name':'f'},'parallel_tool_calls':false,"
                 "'max_output_tokens':12,'temperature':0.5,'tracing':'auto',"
                 "'truncation':{'type':'retention_ratio','retention_ratio':0.8},"
                 "'prompt':{'id':'p'},'reasoning':{'effort':'low'},"
                 "'include':['item.input_audio_transcription.logprobs'],"
                 "'audio':{'input':{'format':{'type':'audio/pcmu'},"
                 "'noise_reduction':{'type':'near_field','strength':0.25}},"
                 "'output':{'format':{'type':'audio/pcm','rate':48000},'voice':{'id':'us-male'},"
                 "'speed':1.25}}}}");
    static const char *const rows[][2] = {
        {"output_modalities.0", "text"},
        {"tools.0.name", "f"},
        {"tool_choice.name", "f"},
        {"max_output_tokens", "12"},
        {"temperature", "0.5"},
        {"tracing", "auto"},
        {"truncation.retention_ratio", "0.8"},
        {"prompt.id", "p"},
        {"reasoning.effort", "low"},
        {"include.0", "item.input_audio_transcription.logprobs"},
        {"audio.input.format.type", "audio/pcmu"},
        {"audio.input.noise_reduction.strength", "0.25"},
        {"audio.output.format.rate", "48000"},
        {"audio.output.voice", "us-male"},
        {"audio.output.speed", "1.25"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(updated(rows[i][0]), rows[i][1]);
    rig_send(&r, "{'type':'session.update','session':{'audio':{'input':{'noise_reduction':"
                 "{'strength':0.5}},'output':{'voice':'marin'}}}}");
    assert_string_equal(updated("audio.input.noise_reduction.type"), "near_field");
    assert_string_equal(updated("audio.input.noise_reduction.strength"), "0.5");
    assert_string_equal(updated("audio.output.voice"), "default");
}

static const char *const wrong_sessions[][3] = {
    /* session, code, param */
    {"[]", "invalid_value", "session"},
    {"{'type':'transcription'}", "invalid_value", "session.type"},
    {"{'type':7}", "invalid_value", "session.type"},
    {"{'instructions':7}", "invalid_value", "session.instructions"},
    {"{'output_modalities':[]}", "invalid_value", "session.output_modalities"},
    {"{'output_modalities':['video']}", "invalid_value", "session.output_modalities"},
    {"{'max_output_tokens':0}", "invalid_value", "session.max_output_tokens"},
    {"{'max_output_tokens':4097}", "invalid_value", "session.max_output_tokens"},
    {"{'max_output_tokens':'infinite'}", "invalid_value", "session.max_output_tokens"},
    {"{'temperature':2.1}", "invalid_value", "session.temperature"},
    {"{'temperature':-1}", "invalid_value", "session.temperature"},
    {"{'truncation':'never'}", "invalid_value", "session.truncation"},
    {"{'truncation':{'type':'some'}}", "invalid_value", "session.truncation"},
    {"{'truncation':{'type':'retention_ratio'}}", "invalid_value",
     "session.truncation.retention_ratio"},
    {"{'truncation':{'type':'retention_ratio','retention_ratio':1.5}}", "invalid_value",
     "session.truncation.retention_ratio"},
    {"{'truncation':{'type':'retention_ratio','retention_ratio':1,'token_limits':7}}",
     "invalid_value", "session.truncation.token_limits"},
    {"{'truncation':{'type':'retention_ratio','retention_ratio':1,"
     "'token_limits':{'post_instructions':0}}}",
     "invalid_value", "session.truncation.token_limits.post_instructions"},
    {"{'include':7}", "invalid_value", "session.include"},
    {"{'tools':{}}", "invalid_value", "session.tools"},
    {"{'tools':[{'type':'function'}]}", "invalid_value", "session.tools"},
    {"{'tools':[{'type':'mcp','server_label':'x'}]}", "unsupported_parameter", "session.tools"},
    {"{'tool_choice':'required'}", "unsupported_parameter", "session.tool_choice"},
    {"{'tool_choice':'sometimes'}", "invalid_value", "session.tool_choice"},
    {"{'audio':7}", "invalid_value", "session.audio"},
    {"{'audio':{'input':{'format':{'type':'audio/mp3'}}}}", "invalid_value",
     "session.audio.input.format"},
    {"{'audio':{'input':{'format':{'type':'audio/pcm','rate':44100}}}}", "invalid_value",
     "session.audio.input.format.rate"},
    {"{'audio':{'input':{'format':{'type':'audio/pcmu','rate':16000}}}}", "invalid_value",
     "session.audio.input.format.rate"},
    {"{'audio':{'input':{'transcription':'yes'}}}", "invalid_value",
     "session.audio.input.transcription"},
    {"{'audio':{'input':{'noise_reduction':{'type':'loud'}}}}", "invalid_value",
     "session.audio.input.noise_reduction"},
    {"{'audio':{'input':{'turn_detection':true}}}", "invalid_value",
     "session.audio.input.turn_detection"},
    {"{'audio':{'input':{'turn_detection':{'type':'magic'}}}}", "invalid_value",
     "session.audio.input.turn_detection"},
    {"{'audio':{'input':{'turn_detection':{'type':'server_vad','threshold':1.5}}}}",
     "invalid_value", "session.audio.input.turn_detection.threshold"},
    {"{'audio':{'input':{'turn_detection':{'type':'server_vad','silence_duration_ms':99}}}}",
     "invalid_value", "session.audio.input.turn_detection.silence_duration_ms"},
    {"{'audio':{'input':{'turn_detection':{'type':'server_vad','prefix_padding_ms':2001}}}}",
     "invalid_value", "session.audio.input.turn_detection.prefix_padding_ms"},
    {"{'audio':{'input':{'turn_detection':{'type':'server_vad','idle_timeout_ms':999}}}}",
     "invalid_value", "session.audio.input.turn_detection.idle_timeout_ms"},
    {"{'audio':{'input':{'turn_detection':{'type':'server_vad','create_response':1}}}}",
     "invalid_value", "session.audio.input.turn_detection.create_response"},
    {"{'audio':{'input':{'turn_detection':{'type':'semantic_vad','eagerness':'huge'}}}}",
     "invalid_value", "session.audio.input.turn_detection.eagerness"},
    {"{'audio':{'output':{'voice':'nobody'}}}", "invalid_value", "session.audio.output.voice"},
    {"{'audio':{'output':{'speed':2}}}", "invalid_value", "session.audio.output.speed"},
};

/* What is out of its range is refused with the field's name, and nothing changes. */
static void wrong_updates(void **state) {
    (void)state;
    r.config.error_max = 1000;
    rig_open(&r, NULL);
    for (size_t i = 0; i < sizeof wrong_sessions / sizeof *wrong_sessions; i++) {
        rig_send(&r, "{'type':'session.update','event_id':'e%zu','session':{'speed':1}}", i);
        char *before = strdup(strstr(r.events[r.event_count - 1], "\"session\""));
        rig_send(&r, "{'type':'session.update','event_id':'e%zu','session':%s}", i,
                 wrong_sessions[i][0]);
        if (strcmp(error_code(), wrong_sessions[i][1]) != 0)
            fail_msg("%s: '%s'", wrong_sessions[i][0], error_code());
        assert_string_equal(rig_value(&r, "error", "error.param"), wrong_sessions[i][2]);
        assert_string_equal(rig_value(&r, "error", "error.type"), "invalid_request_error");
        assert_int_equal(atoi(rig_value(&r, "error", "error.event_id") + 1), i);
        rig_send(&r, "{'type':'session.update','session':{}}");
        assert_string_equal(strstr(r.events[r.event_count - 1], "\"session\""), before);
        free(before);
    }
}

static void wrong_messages(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"", "invalid_json"},
        {"{", "invalid_json"},
        {"{}}", "invalid_json"},
        {"{'type':'a','type':'b'}", "invalid_json"},
        {"{'type':1e999}", "invalid_json"},
        {"{'type':'\\ud800'}", "invalid_json"},
        {"[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "invalid_json"},
        {"[]", "invalid_json"},
        {"7", "invalid_json"},
        {"{}", "missing_required_parameter"},
        {"{'type':7}", "invalid_value"},
        {"{'type':'response.cre\\u0000ate'}", "invalid_value"},
        {"{'type':'nothing.known'}", "invalid_value"},
        {"{'type':'output_audio_buffer.clear'}", "invalid_value"},
        {"{'type':'session.update','event_id':7,'session':{}}", "invalid_event_id"},
        {"{'type':'session.update'}", "missing_required_parameter"},
        {"{'type':'transcription_session.update','session':{}}", "invalid_value"},
        {"{'type':'input_audio_buffer.append'}", "missing_required_parameter"},
        {"{'type':'input_audio_buffer.append','audio':7}", "invalid_value"},
        {"{'type':'input_audio_buffer.append','audio':'A A='}", "invalid_value"},
        {"{'type':'input_audio_buffer.commit'}", "input_audio_buffer_commit_empty"},
        {"{'type':'conversation.item.create'}", "missing_required_parameter"},
        {"{'type':'conversation.item.delete'}", "missing_required_parameter"},
        {"{'type':'conversation.item.retrieve','item_id':'x'}", "item_not_found"},
        {"{'type':'conversation.item.truncate','item_id':'x'}", "item_not_found"},
        {"{'type':'response.cancel'}", "response_cancel_not_active"},
        {"{'type':'response.create','response':{'conversation':'some'}}", "invalid_value"},
        {"{'type':'response.create','response':{'input':7}}", "invalid_value"},
        {"{'type':'response.create','response':{'metadata':{'a':7}}}", "invalid_value"},
    };
    r.config.error_max = 1000;
    rig_open(&r, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int before = r.event_count;
        rig_send(&r, "%s%s", rows[i][0], rows[i][0][0] == 0 ? " " : "");
        if (strcmp(error_code(), rows[i][1]) != 0) fail_msg("%s: '%s'", rows[i][0], error_code());
        assert_int_equal(r.event_count, before + 1);
    }
    char *deep = malloc(100001);
    assert_non_null(deep);
    memset(deep, '[', 100000);
    rig_send_raw(&r, deep, 100000);
    assert_string_equal(error_code(), "invalid_json");
    free(deep);
    assert_int_equal(r.close_code, 0);
    rig_send(&r, "{'type':'input_audio_buffer.clear'}");
    assert_string_equal(error_code(), "");
}

static void too_many_errors_close(void **state) {
    (void)state;
    rig_open(&r, NULL);
    for (int i = 0; i < 30; i++) {
        rig_send(&r, "{'type':'response.cancel'}");
        r.now_us += 600000; /* 18 of them in 10 s: nobody minds */
    }
    assert_int_equal(r.close_code, 0);
    for (int i = 0; i < 3; i++) rig_send(&r, "{'type':'response.cancel'}");
    assert_int_equal(r.close_code, 0);
    for (int i = 0; i < 3; i++) rig_send(&r, "{'type':'response.cancel'}");
    assert_int_equal(r.close_code, 1008);
}

static void a_flood_closes(void **state) {
    (void)state;
    rig_open(&r, NULL);
    for (int i = 0; i < 3000; i++) {
        rig_send(&r, "{'type':'session.update','session':{}}");
        r.now_us += 5100;
    }
    assert_int_equal(r.close_code, 0);
    for (int i = 0; i < 1002; i++) rig_send(&r, "{'type':'session.update','session':{}}");
    assert_int_equal(r.close_code, 1008);
    assert_string_equal(rig_value(&r, "error", "error.type"), "rate_limit_error");
}

static void a_session_ends(void **state) {
    (void)state;
    r.config.session_seconds = 60;
    rig_open(&r, NULL);
    rig_wait(&r, 59.9);
    assert_int_equal(r.close_code, 0);
    rig_wait(&r, 0.2);
    assert_int_equal(r.close_code, 1008);
    assert_string_equal(error_code(), "session_expired");
    assert_true(realtime_is_over(r.rt));
}

/* Who speaks is waited for, like an answer. */
static void a_turn_is_talk(void **state) {
    (void)state;
    rig_open(&r, NULL);
    assert_false(realtime_is_talking(r.rt, r.now_us));
    rig_ask(&r, "light");
    assert_int_equal(rig_count(&r, "input_audio_buffer.speech_stopped"), 0);
    assert_true(realtime_is_talking(r.rt, r.now_us));
    rig_silence(&r, 1);
    rig_answer(&r, "It is.", 1);
    assert_true(realtime_is_talking(r.rt, r.now_us));
    rig_wait(&r, 2);
    assert_false(realtime_is_talking(r.rt, r.now_us));
}

/* Gone in mid-answer, with half a turn said: what was heard counts, and all is told again. */
static void a_client_that_comes_back(void **state) {
    (void)state;
    rig_open(&r, NULL);
    char id[64];
    (void)snprintf(id, sizeof id, "%s", realtime_id(r.rt));
    rig_ask(&r, "light");
    rig_silence(&r, 1);
    rig_begun(&r);
    rig_words(&r, "The light is on and the door is shut and all is well.");
    rig_sound(&r, 4);
    rig_send(&r, "{'type':'response.create','response':{'conversation':'none'}}");
    const uint32_t beside = r.reply;
    rig_wait(&r, 1.08);
    (void)rig_types(&r);
    (void)rig_asked(&r);
    realtime_leave(r.rt, r.now_us);
    assert_string_equal(rig_types(&r), "");
    /* A second of the four was played. */
    assert_string_equal(rig_asked(&r), "cancel #2; truncate #2 24000; cancel #3");
    rig_sound(&r, 1); /* on its way */
    rig_done(&r, RNL_FINISH_STOPPED);
    realtime_tick(r.rt, r.now_us);
    assert_true(beside != 0 && !realtime_is_talking(r.rt, r.now_us + 10000000));
    realtime_order_free(&r.order);
    memset(&r.order, 0, sizeof r.order);
    realtime_resume(r.rt, r.now_us);
    assert_string_equal(rig_types(&r), "session.created conversation.item.added "
                                       "conversation.item.done conversation.item.added "
                                       "conversation.item.done");
    assert_string_equal(session("session.created", "id"), id);
    assert_string_equal(rig_value(&r, "conversation.item.done", "item.status"), "incomplete");
    assert_string_equal(rig_value(&r, "conversation.item.done", "item.content.0.transcript"),
                        "The light is on");
    rig_silence(&r, 1);
    rig_ask(&r, "weather");
    rig_silence(&r, 1);
    assert_non_null(strstr(rig_types(&r), "input_audio_buffer.committed"));
    assert_null(strstr(rig_asked(&r), "restart"));
    rig_answer(&r, "Rain.", 0.4);
}

static void the_older_dialect(void **state) {
    (void)state;
    r.config.beta = true;
    rig_open(&r, NULL);
    assert_string_equal(rig_types(&r), "session.created conversation.created");
    assert_string_equal(session("session.created", "modalities.0"), "audio");
    assert_string_equal(session("session.created", "modalities.1"), "text");
    assert_string_equal(session("session.created", "input_audio_format"), "pcm16");
    assert_string_equal(session("session.created", "temperature"), "0.8");
    assert_string_equal(session("session.created", "type"), "");
    rig_send(&r, "{'type':'session.update','session':{'modalities':['text'],"
                 "'input_audio_format':'g711_ulaw','output_audio_format':'g711_alaw',"
                 "'input_audio_transcription':{'model':'whisper-1'},'turn_detection':null,"
                 "'voice':'alloy','max_response_output_tokens':7,'temperature':0.6}}");
    assert_string_equal(updated("modalities.0"), "text");
    assert_string_equal(updated("input_audio_format"), "g711_ulaw");
    assert_string_equal(updated("output_audio_format"), "g711_alaw");
    assert_string_equal(updated("input_audio_transcription.model"), "whisper-1");
    assert_string_equal(updated("turn_detection"), "null");
    assert_string_equal(updated("max_response_output_tokens"), "7");
    rig_send(&r, "{'type':'session.update','session':{'modalities':['text','audio']}}");
    (void)rig_types(&r);
    rig_send(&r, "{'type':'conversation.item.create','item':{'type':'message','role':'user',"
                 "'content':[{'type':'input_text','text':'Hello'}]}}");
    assert_string_equal(rig_types(&r), "conversation.item.created");
    assert_string_equal(rig_value(&r, "conversation.item.created", "item.object"), "realtime.item");
    rig_send(&r, "{'type':'response.create','response':{'modalities':['audio','text']}}");
    rig_answer(&r, "Hi.", 0.08);
    assert_string_equal(
        rig_types(&r),
        "response.created response.output_item.added conversation.item.created "
        "response.content_part.added response.audio_transcript.delta response.audio.delta "
        "response.audio.delta response.audio.done response.audio_transcript.done "
        "response.content_part.done "
        "response.output_item.done response.done rate_limits.updated");
    assert_string_equal(rig_value(&r, "response.done", "response.output_audio_format"),
                        "g711_alaw");
    assert_string_equal(rig_value(&r, "response.done", "response.output.0.content.0.type"),
                        "audio");
    rig_send(&r, "{'type':'response.create','response':{'modalities':['text']}}");
    (void)rig_types(&r);
    rig_words(&r, "Hi.");
    rig_done(&r, RNL_FINISH_END);
    assert_string_equal(rig_types(&r),
                        "response.output_item.added conversation.item.created "
                        "response.content_part.added response.text.delta response.text.done "
                        "response.content_part.done response.output_item.done response.done "
                        "rate_limits.updated");
}

static void a_start_config(void **state) {
    (void)state;
    realtime *rt;
    rnl_error error;
    const realtime_ops none = {0};
    const char *wrong = "{\"audio\":{\"output\":{\"voice\":\"nobody\"}}}";
    assert_int_equal(realtime_create(&r.config, &none, wrong, strlen(wrong), &rt, &error),
                     RNL_ERR_DATA);
    assert_non_null(strstr(error.text, "session.audio.output.voice"));
    assert_null(rt);
    rig_open(&r, "{\"type\":\"realtime\",\"instructions\":\"Be kind.\"}");
    assert_string_equal(session("session.created", "instructions"), "Be kind.");
}

static void a_model_without_a_voice(void **state) {
    (void)state;
    r.config.gives_audio = false;
    rig_open(&r, NULL);
    assert_string_equal(session("session.created", "output_modalities.0"), "text");
    rig_send(&r, "{'type':'session.update','session':{'output_modalities':['audio']}}");
    assert_string_equal(error_code(), "unsupported_parameter");
}

int main(void) {
#define WITH_RIG(test)                                                                             \
    cmocka_unit_test_prestate_setup_teardown(test, realtime_rig_begin, realtime_rig_end, &r)
    const struct CMUnitTest tests[] = {
        WITH_RIG(defaults),
        WITH_RIG(updates_merge),
        WITH_RIG(a_named_function_is_one_of_the_tools),
        WITH_RIG(everything_is_kept),
        WITH_RIG(wrong_updates),
        WITH_RIG(wrong_messages),
        WITH_RIG(too_many_errors_close),
        WITH_RIG(a_flood_closes),
        WITH_RIG(a_session_ends),
        WITH_RIG(a_turn_is_talk),
        WITH_RIG(a_client_that_comes_back),
        WITH_RIG(the_older_dialect),
        WITH_RIG(a_start_config),
        WITH_RIG(a_model_without_a_voice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
