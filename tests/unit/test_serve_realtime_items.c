/* Items: created, retrieved, deleted, in their order; what the model is told of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/json_out.h"
#include "tests/support/realtime_rig.h"

static realtime_rig r;

static void add(const char *id, const char *role, const char *text, const char *previous) {
    char before[128] = "";
    if (previous != NULL)
        (void)snprintf(before, sizeof before, "'previous_item_id':'%s',", previous);
    rig_send(&r,
             "{'type':'conversation.item.create',%s'item':{'id':'%s','type':'message',"
             "'role':'%s','content':[{'type':'%s','text':'%s'}]}}",
             before, id, role, strcmp(role, "assistant") == 0 ? "output_text" : "input_text", text);
}

static const char *added(const char *path) {
    return rig_value(&r, "conversation.item.added", path);
}

static void items_stand_where_they_are_put(void **state) {
    (void)state;
    rig_open(&r, NULL);
    (void)rig_types(&r);
    add("a", "user", "One", NULL);
    assert_string_equal(rig_types(&r), "conversation.item.added conversation.item.done");
    assert_string_equal(added("previous_item_id"), "null");
    assert_string_equal(added("item.status"), "completed");
    assert_string_equal(added("item.content.0.text"), "One");
    add("b", "assistant", "Two", NULL);
    assert_string_equal(added("previous_item_id"), "a");
    assert_string_equal(added("item.content.0.type"), "output_text");
    assert_string_equal(rig_asked(&r),
                        "restart interleaved; append #1 user \"One\"; append #2 assistant \"Two\"");
    add("c", "system", "First", "root");
    assert_string_equal(added("previous_item_id"), "null");
    add("d", "user", "Between", "a");
    assert_string_equal(added("previous_item_id"), "a");
    /* Not at the end: read again, but not before it is wanted. */
    assert_string_equal(rig_asked(&r), "");
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r),
                        "restart interleaved; append #3 system \"First\"; append #1 user \"One\"; "
                        "append #4 user \"Between\"; append #2 assistant \"Two\"; "
                        "respond #5 interleaved");
    rig_answer(&r, "Well.", 0.16);
    assert_string_equal(added("previous_item_id"), "b");
    add("e", "user", "Three", NULL);
    assert_string_equal(rig_asked(&r), "append #6 user \"Three\"");
}

/* What a full context does is told with the prompt, and all is read again under a new rule. */
static void what_a_full_context_keeps(void **state) {
    (void)state;
    rig_open(&r, "{\"truncation\":\"disabled\"}");
    add("a", "user", "One", NULL);
    assert_string_equal(rig_asked(&r), "restart interleaved keeps 1/0; append #1 user \"One\"");
    rig_send(&r, "{'type':'response.create'}");
    rig_fail(&r, API_CONTEXT_LENGTH_EXCEEDED, "It does not fit.");
    assert_string_equal(rig_value(&r, "response.done", "response.status"), "failed");
    assert_string_equal(rig_value(&r, "response.done", "response.status_details.error.code"),
                        "context_length_exceeded");
    rig_send(&r, "{'type':'session.update','session':{'truncation':{'type':'retention_ratio',"
                 "'retention_ratio':0.8,'token_limits':{'post_instructions':500}}}}");
    assert_string_equal(
        rig_value(&r, "session.updated", "session.truncation.token_limits.post_instructions"),
        "500");
    (void)rig_asked(&r);
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r), "restart interleaved keeps 0.8/500; append #1 user \"One\"; "
                                       "respond #3 interleaved");
    rig_answer(&r, "Well.", 0.16);
    rig_send(&r, "{'type':'session.update','session':{'truncation':'auto'}}");
    rig_send(&r, "{'type':'response.create'}");
    assert_non_null(strstr(rig_asked(&r), "restart interleaved; append #1"));
    rig_answer(&r, "Well.", 0.16);
}

/* An item with a picture and a question. */
static void show(const char *type, const char *address, const char *more) {
    rig_send(&r,
             "{'type':'conversation.item.create','item':{'id':'shown','type':'message',"
             "'role':'user','content':[{'type':'%s','image_url':'%s'%s},"
             "{'type':'input_text','text':'What is it?'}]}}",
             type, address, more);
}

static void pictures_are_shown(void **state) {
    (void)state;
    char address[4096] = "data:image/png;base64,";
    FILE *f = fopen(TEST_DATA "/vl/images/grey-64x40.png", "rb");
    assert_non_null(f);
    unsigned char bytes[2048];
    const size_t size = fread(bytes, 1, sizeof bytes, f), head = strlen(address);
    (void)fclose(f);
    json_out o;
    json_out_begin(&o, address + head, sizeof address - head);
    json_out_base64(&o, NULL, bytes, size);
    /* The quotes of JSON are left out. */
    memmove(address + head, address + head + 1, o.size - 2);
    address[head + o.size - 2] = 0;
    r.config.sees = true;
    r.config.error_max = 1000;
    rig_open(&r, NULL);
    (void)rig_types(&r);
    show("input_image", address, ",'detail':'low'");
    assert_string_equal(rig_types(&r), "conversation.item.added conversation.item.done");
    assert_string_equal(added("item.content.0.type"), "input_image");
    assert_string_equal(added("item.content.0.detail"), "low");
    assert_string_equal(added("item.content.0.image_url"), "");
    assert_string_equal(rig_asked(&r),
                        "restart interleaved; append #1 user 64x40 low \"What is it?\"");
    /* It is there as it came, and for whoever asks about it. */
    rig_send(&r, "{'type':'conversation.item.retrieve','item_id':'shown'}");
    json *e = rig_last(&r, "conversation.item.retrieved");
    const json *part = json_at(json_get(json_get(e, "item"), "content"), 0);
    assert_string_equal(json_chars(json_get(part, "image_url"), NULL), address);
    json_destroy(&e);
    rig_send(&r, "{'type':'response.create','response':{'conversation':'none'}}");
    assert_non_null(strstr(rig_asked(&r), "with #1 user 64x40 low \"What is it?\""));
    rig_answer(&r, "A field.", 0.16);
    rig_send(&r, "{'type':'conversation.item.delete','item_id':'shown'}");
    static const char *const wrong[] = {"https://example.org/a.png", "file:///etc/passwd", "",
                                        "data:image/png;base64,AAAA", "data:image/png;base64,A A"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        show("input_image", wrong[i], "");
        assert_string_equal(rig_value(&r, "error", "error.code"), "invalid_value");
        assert_string_equal(rig_value(&r, "error", "error.param"), "item.content[0].image_url");
    }
    show("input_image", address, ",'detail':'some'");
    assert_string_equal(rig_value(&r, "error", "error.code"), "invalid_value");
    show("input_image", address, "");
    assert_string_equal(added("item.content.0.detail"), "auto");
}

static void a_model_that_does_not_see(void **state) {
    (void)state;
    rig_open(&r, NULL);
    show("input_image", "data:image/png;base64,AAAA", "");
    assert_string_equal(rig_value(&r, "error", "error.code"), "invalid_value");
    assert_string_equal(rig_value(&r, "error", "error.param"), "item.content[0]");
    assert_string_equal(rig_value(&r, "error", "error.type"), "invalid_request_error");
    assert_int_equal(rig_count(&r, "conversation.item.added"), 0);
}

static void deleted_items_are_gone(void **state) {
    (void)state;
    rig_open(&r, NULL);
    add("a", "user", "One", NULL);
    add("b", "user", "Two", NULL);
    add("c", "user", "Three", NULL);
    (void)rig_types(&r);
    (void)rig_asked(&r);
    rig_send(&r, "{'type':'conversation.item.delete','item_id':'b'}");
    assert_string_equal(rig_types(&r), "conversation.item.deleted");
    rig_send(&r, "{'type':'conversation.item.delete','item_id':'b'}");
    assert_string_equal(rig_value(&r, "error", "error.code"), "item_not_found");
    add("d", "user", "Four", "b");
    assert_string_equal(rig_value(&r, "error", "error.code"), "item_not_found");
    add("b", "user", "Five", NULL); /* the name is free again */
    assert_string_equal(added("previous_item_id"), "c");
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r),
                        "restart interleaved; append #1 user \"One\"; append #3 user \"Three\"; "
                        "append #4 user \"Five\"; respond #5 interleaved");
    rig_words(&r, "Yes");
    json *e = rig_last(&r, "response.output_item.added");
    rig_send(&r, "{'type':'conversation.item.delete','item_id':'%s'}",
             json_chars(json_get(json_get(e, "item"), "id"), NULL));
    json_destroy(&e);
    assert_string_equal(rig_value(&r, "error", "error.code"), "invalid_value");
    rig_done(&r, RNL_FINISH_END);
}

/* 64 bytes are an id, 65 are none. */
static void the_longest_id(void **state) {
    (void)state;
    char id[66];
    memset(id, 'a', sizeof id);
    id[64] = 0;
    rig_open(&r, NULL);
    add(id, "user", "Hello", NULL);
    assert_int_equal(rig_count(&r, "error"), 0);
    assert_string_equal(added("item.id"), id);
    id[64] = 'a';
    id[65] = 0;
    add(id, "user", "Hello", NULL);
    assert_string_equal(rig_value(&r, "error", "error.param"), "item.id");
}

static void wrong_items(void **state) {
    (void)state;
    static const char *const rows[][3] = {
        {"7", "invalid_value", "item"},
        {"{}", "missing_required_parameter", "item.type"},
        {"{'type':'song'}", "invalid_value", "item.type"},
        {"{'type':'message','role':'cat','content':[]}", "invalid_value", "item.role"},
        {"{'type':'message','role':'user'}", "invalid_value", "item.content"},
        {"{'type':'message','role':'user','content':[{}]}", "missing_required_parameter",
         "item.content[0].type"},
        {"{'type':'message','role':'user','content':[{'type':'input_image'}]}", "invalid_value",
         "item.content[0]"},
        {"{'type':'message','role':'system','content':[{'type':'input_audio','audio':''}]}",
         "invalid_value", "item.content[0]"},
        {"{'type':'message','role':'user','content':[{'type':'input_text','text':7}]}",
         "invalid_value", "item.content[0]"},
        {"{'type':'message','role':'user','content':[{'type':'input_audio','audio':'?'}]}",
         "invalid_value", "item.content[0]"},
        {"{'type':'message','role':'user','content':[{'type':'input_audio','audio':'AAAA'}]}",
         "invalid_value", "item.content[0]"},
        {"{'id':'a b','type':'message','role':'user','content':[]}", "invalid_value", "item.id"},
        {"{'id':'','type':'message','role':'user','content':[]}", "invalid_value", "item.id"},
        {"{'id':'there','type':'message','role':'user','content':[]}", "item_already_exists",
         "item.id"},
        {"{'type':'function_call','arguments':'{}'}", "missing_required_parameter", "item.name"},
        {"{'type':'function_call','name':'f'}", "invalid_value", "item.arguments"},
        {"{'type':'function_call_output','output':'x'}", "missing_required_parameter",
         "item.call_id"},
    };
    r.config.error_max = 1000;
    rig_open(&r, NULL);
    add("there", "user", "Hello", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        (void)rig_types(&r);
        rig_send(&r, "{'type':'conversation.item.create','item':%s}", rows[i][0]);
        assert_string_equal(rig_types(&r), "error");
        if (strcmp(rig_value(&r, "error", "error.code"), rows[i][1]) != 0)
            fail_msg("%s: '%s'", rows[i][0], rig_value(&r, "error", "error.code"));
        assert_string_equal(rig_value(&r, "error", "error.param"), rows[i][2]);
    }
}

/* 0.2 s of 24 kHz as base64 of zeros. */
static const char *zeros(void) {
    static char text[12801];
    memset(text, 'A', 12800);
    return text;
}

static void sound_in_items(void **state) {
    (void)state;
    char *text = malloc(20000);
    assert_non_null(text);
    rig_open(&r, NULL);
    const int size = snprintf(text, 20000,
                              "{\"type\":\"conversation.item.create\",\"item\":{\"id\":\"s\","
                              "\"type\":\"message\",\"role\":\"user\",\"content\":["
                              "{\"type\":\"input_audio\",\"audio\":\"%s\",\"transcript\":\"mm\"},"
                              "{\"type\":\"input_text\",\"text\":\"What?\"}]}}",
                              zeros());
    rig_send_raw(&r, text, (size_t)size);
    free(text);
    assert_string_equal(added("item.content.0.transcript"), "mm");
    assert_string_equal(added("item.content.0.audio"), "");
    assert_string_equal(rig_asked(&r), "restart interleaved; append #1 user 3200 \"What?\"");
    rig_send(&r, "{'type':'conversation.item.retrieve','item_id':'s'}");
    json *e = rig_last(&r, "conversation.item.retrieved");
    size_t kept;
    const char *audio =
        json_chars(json_get(json_at(json_get(json_get(e, "item"), "content"), 0), "audio"), &kept);
    assert_non_null(audio);
    assert_int_equal(kept, 12800);
    assert_memory_equal(audio, zeros(), kept);
    json_destroy(&e);
}

static void an_assistants_voice_cannot_be_made(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_send(&r, "{'type':'conversation.item.create','item':{'type':'message','role':'assistant',"
                 "'content':[{'type':'output_audio','transcript':'Well said.'}]}}");
    assert_string_equal(added("item.content.0.type"), "output_text");
    assert_string_equal(added("item.content.0.text"), "Well said.");
    rig_send(&r,
             "{'type':'conversation.item.truncate','item_id':'%s','content_index':0,"
             "'audio_end_ms':0}",
             added("item.id"));
    assert_string_equal(rig_value(&r, "error", "error.code"), "invalid_value");
}

static void a_round_of_tools(void **state) {
    (void)state;
    r.config.calls = true;
    rig_open(&r, NULL);
    rig_send(&r, "{'type':'session.update','session':{'tools':[{'type':'function','name':'light',"
                 "'parameters':{'type':'object'}}]}}");
    add("q", "user", "Light!", NULL);
    assert_string_equal(rig_asked(&r), "restart interleaved tools; append #1 user \"Light!\"");
    rig_send(&r, "{'type':'response.create'}");
    (void)rig_types(&r);
    rig_begun(&r);
    rig_words(&r, "One moment.");
    rig_sound(&r, 0.08);
    rig_call(&r, "light", "{\"on\":true}");
    rig_call(&r, "light", "{\"on\":false}");
    rig_done(&r, RNL_FINISH_END);
    assert_string_equal(
        rig_types(&r),
        "response.output_item.added conversation.item.added response.content_part.added "
        "response.output_audio_transcript.delta response.output_audio.delta "
        "response.output_audio.done response.output_audio_transcript.done "
        "response.content_part.done conversation.item.done response.output_item.done "
        "response.output_item.added conversation.item.added "
        "response.function_call_arguments.delta response.function_call_arguments.done "
        "conversation.item.done response.output_item.done "
        "response.output_item.added conversation.item.added "
        "response.function_call_arguments.delta response.function_call_arguments.done "
        "conversation.item.done response.output_item.done response.done rate_limits.updated");
    assert_string_equal(rig_value(&r, "response.done", "response.output.2.arguments"),
                        "{\"on\":false}");
    assert_string_equal(rig_value(&r, "response.output_item.added", "item.arguments"), "");
    assert_string_equal(rig_value(&r, "response.output_item.added", "output_index"), "2");
    const char *call = rig_value(&r, "response.function_call_arguments.done", "call_id");
    assert_int_equal(strncmp(call, "call_", 5), 0);
    assert_string_equal(rig_value(&r, "response.function_call_arguments.done", "name"), "light");
    (void)rig_asked(&r);
    rig_send(&r,
             "{'type':'conversation.item.create','item':{'type':'function_call_output',"
             "'call_id':'%s','output':'done'}}",
             call);
    assert_string_equal(added("item.call_id"), call);
    rig_send(&r, "{'type':'response.create'}");
    /* What the model itself wrote is not told to it again. */
    assert_string_equal(rig_asked(&r), "append #3 result \"done\"; respond #4 interleaved");
    rig_answer(&r, "Done.", 0.08);
    /* Without the call, what was said with it is no longer what the model has. */
    rig_send(&r, "{'type':'conversation.item.delete','item_id':'%s'}",
             rig_value(&r, "response.done", "response.output.0.id"));
    add("z", "user", "Bye", NULL);
    rig_send(&r, "{'type':'response.create','response':{'tool_choice':'none'}}");
    assert_non_null(strstr(rig_asked(&r), "restart interleaved; append #1 user \"Light!\"; "
                                          "append #2 assistant \"One moment.\"; append #2 call"));
    rig_done(&r, RNL_FINISH_END);
}

static void history_is_seeded(void **state) {
    (void)state;
    rig_open(&r, NULL);
    rig_send(&r, "{'type':'conversation.item.create','item':{'type':'function_call','name':'f',"
                 "'call_id':'c1','arguments':'{}'}}");
    assert_string_equal(added("item.name"), "f");
    rig_send(&r, "{'type':'conversation.item.create','item':{'type':'function_call_output',"
                 "'call_id':'c1','output':''}}");
    assert_string_equal(rig_asked(&r), "restart interleaved; append #1 call \"{}\"; "
                                       "append #2 result \"\"");
    rig_send(&r, "{'type':'session.update','session':{'instructions':'Be brief.'}}");
    add("a", "user", "Hm", NULL);
    assert_string_equal(rig_asked(&r), "");
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r),
                        "restart interleaved \"Be brief.\"; append #1 call \"{}\"; "
                        "append #2 result \"\"; append #3 user \"Hm\"; respond #4 interleaved");
    rig_done(&r, RNL_FINISH_END);
}

static void the_oldest_are_forgotten(void **state) {
    (void)state;
    rig_open(&r, NULL);
    for (int i = 0; i < 300; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "i%d", i);
        r.now_us += 10000;
        add(id, "user", "x", NULL);
        assert_int_equal(rig_count(&r, "error"), 0);
    }
    rig_send(&r, "{'type':'conversation.item.retrieve','item_id':'i43'}");
    assert_string_equal(rig_value(&r, "error", "error.code"), "item_not_found");
    rig_send(&r, "{'type':'conversation.item.retrieve','item_id':'i44'}");
    assert_string_equal(rig_value(&r, "conversation.item.retrieved", "item.id"), "i44");
    (void)rig_asked(&r);
    rig_send(&r, "{'type':'response.create'}");
    assert_string_equal(rig_asked(&r), "respond #301 interleaved"); /* and nothing is read again */
    rig_done(&r, RNL_FINISH_END);
}

/* Sound that is too much to keep goes, the oldest first. */
static void kept_sound_is_bounded(void **state) {
    (void)state;
    r.config.sound_size_max = 3 * 9600;
    rig_open(&r, NULL);
    for (int i = 0; i < 5; i++) {
        char *text = malloc(20000);
        assert_non_null(text);
        const int size = snprintf(text, 20000,
                                  "{\"type\":\"conversation.item.create\",\"item\":{\"id\":\"s%d\","
                                  "\"type\":\"message\",\"role\":\"user\",\"content\":["
                                  "{\"type\":\"input_audio\",\"audio\":\"%s\"}]}}",
                                  i, zeros());
        rig_send_raw(&r, text, (size_t)size);
        free(text);
    }
    for (int i = 0; i < 5; i++) {
        rig_send(&r, "{'type':'conversation.item.retrieve','item_id':'s%d'}", i);
        json *e = rig_last(&r, "conversation.item.retrieved");
        const json *part = json_at(json_get(json_get(e, "item"), "content"), 0);
        assert_int_equal(json_get(part, "audio") != NULL, i >= 2);
        json_destroy(&e);
    }
}

int main(void) {
#define WITH_RIG(test)                                                                             \
    cmocka_unit_test_prestate_setup_teardown(test, realtime_rig_begin, realtime_rig_end, &r)
    const struct CMUnitTest tests[] = {
        WITH_RIG(items_stand_where_they_are_put),
        WITH_RIG(what_a_full_context_keeps),
        WITH_RIG(pictures_are_shown),
        WITH_RIG(a_model_that_does_not_see),
        WITH_RIG(deleted_items_are_gone),
        WITH_RIG(the_longest_id),
        WITH_RIG(wrong_items),
        WITH_RIG(sound_in_items),
        WITH_RIG(an_assistants_voice_cannot_be_made),
        WITH_RIG(a_round_of_tools),
        WITH_RIG(history_is_seeded),
        WITH_RIG(the_oldest_are_forgotten),
        WITH_RIG(kept_sound_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
