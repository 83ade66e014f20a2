/* Replies of a random model that are held to something: answers under random schemas, calls of
 * random tools, random limits, spoken and typed; and the history that tools leave behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <runnel/runnel_chat.h>

#include "engine/session.h"
#include "core/json.h"
#include "tests/support/rig.h"
#include "tests/support/schemas.h"

static rnl_model *model;

static int setup(void **state) {
    (void)state;
    model = rig_model_fast("tiny");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rnl_model_close(&model);
    return 0;
}

/* What a reply gave. */
typedef struct outcome {
    chat_text text, calls; /* a call a line */
    int call_count;
    rnl_finish finish;
} outcome;

static void free_outcome(outcome *o) {
    chat_text_free(&o->text);
    chat_text_free(&o->calls);
}

static outcome run(rnl_session *s) {
    outcome o = {.call_count = 0};
    static char line[RNL_CALL_SIZE_MAX];
    float samples[512];
    size_t got;
    rnl_status status;
    do {
        rnl_error error = {0};
        status = rnl_session_step(s, &error);
        if (status < 0) fail_msg("%s", error.text);
        while (rnl_session_pull_text(s, line, sizeof line, &got) == RNL_OK)
            chat_put(&o.text, line, got);
        while (rnl_session_pull_samples(s, samples, 512, &got) == RNL_OK) continue;
        while (rnl_session_pull_call(s, line, sizeof line, &got) == RNL_OK) {
            chat_put(&o.calls, line, got);
            chat_puts(&o.calls, "\n");
            o.call_count++;
        }
    } while (status != RNL_DONE);
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    o.finish = reply.finish;
    return o;
}

static rnl_turn_config turn_of(random_state *r, rnl_mode mode) {
    rnl_turn_config t = rnl_turn_config_default(model, mode);
    t.text = rnl_sampling_plain(random_u64(r) % 4 == 0 ? 0.0f : 1.5f, INT32_MAX);
    t.text.repeat_penalty = random_u64(r) % 2 == 0 ? 1.0f : 1.2f;
    return t;
}

static rnl_session *session(uint64_t seed, int context) {
    rnl_session_config c = rnl_session_config_default();
    rnl_session *s = NULL;
    c.seed = seed;
    c.context_cap = context;
    c.thread_count = 1;
    c.clip_seconds_max = 1;
    assert_int_equal(rnl_session_create(model, &c, &s, NULL), RNL_OK);
    return s;
}

static void answer_once(random_state *r, rnl_constraint *c, const json *schema, const char *given) {
    const int least = rnl_constraint_token_min(c);
    rnl_session *s = session(random_u64(r), least + 64 + (int)(random_u64(r) % 100));
    rnl_turn_config t = turn_of(r, RNL_MODE_TEXT);
    t.answer = c;
    rig_text(s, RNL_ROLE_USER, "Yes.");
    rnl_error error = {0};
    if (least > 1) {
        t.step_max = least - 1;
        assert_int_equal(rnl_session_begin(s, &t, &error), RNL_ERR_ARGUMENT);
        assert_non_null(strstr(error.text, "the shortest answer"));
    }
    t.step_max = least + (int)(random_u64(r) % 70); /* or the context is the limit */
    if (rnl_session_begin(s, &t, &error) != RNL_OK) fail_msg("%s", error.text);
    outcome o = run(s);
    if (!schema_accepts_text(schema, o.text.data, o.text.size))
        fail_msg("%s\nwithin %d tokens (least %d): %s", given, t.step_max, least, o.text.data);
    free_outcome(&o);
    rnl_session_destroy(&s);
}

/* RUNNEL_TEST_SCHEMAS=500 for a long look; unit/test_mask.c has 500 without a model each time. */
static int schema_rounds(int count) {
    const char *wanted = getenv("RUNNEL_TEST_SCHEMAS");
    return wanted != NULL ? atoi(wanted) : rig_rounds(count);
}

static void answers_are_valid_every_time(void **state) {
    (void)state;
    int possible = 0;
    const int count = schema_rounds(40);
    for (int seed = 0; seed < count; seed++) {
        random_state r;
        random_seed(&r, 300000 + (uint64_t)seed);
        chat_text given = {0};
        json *schema = NULL;
        rnl_constraint *c = NULL;
        schema_random(&r, &given);
        assert_int_equal(json_parse(given.data, given.size, "schema", &schema, NULL), RNL_OK);
        if (rnl_schema_create(model, given.data, given.size, NULL, &c, NULL) == RNL_OK) {
            answer_once(&r, c, schema, given.data);
            possible++;
        }
        rnl_constraint_destroy(&c);
        json_destroy(&schema);
        chat_text_free(&given);
    }
    assert_true(possible > 0);
}

static void check_calls(const json *tools, const outcome *o, const char *given) {
    for (const char *line = o->calls.data; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        json *call = NULL;
        if (json_parse(line, (size_t)(end - line), "call", &call, NULL) != RNL_OK ||
            !tools_accept(tools, call))
            fail_msg("%s\n%.*s", given, (int)(end - line), line);
        json_destroy(&call);
        line = end + 1;
    }
}

static void call_once(random_state *r, rnl_constraint *c, const json *tools, const char *given) {
    const rnl_mode mode = random_u64(r) % 2 == 0 ? RNL_MODE_TEXT : RNL_MODE_INTERLEAVED;
    const int least = rnl_constraint_token_min(c);
    rnl_session *s = session(random_u64(r), 2048);
    rnl_turn_config t = turn_of(r, mode);
    rnl_error error = {0};
    t.tools = c;
    t.call_required = true;
    t.step_max = mode == RNL_MODE_TEXT ? least + (int)(random_u64(r) % 60)
                                       : 3 * least + 36 + (int)(random_u64(r) % 60);
    rig_text(s, RNL_ROLE_USER, "Yes.");
    if (rnl_session_begin(s, &t, &error) != RNL_OK) fail_msg("%s", error.text);
    outcome o = run(s);
    if (o.call_count == 0)
        fail_msg("%s\nwas not called within %d: %s", given, t.step_max, o.text.data);
    check_calls(tools, &o, given);
    free_outcome(&o);
    rnl_session_destroy(&s);
}

static void calls_are_valid_every_time(void **state) {
    (void)state;
    const int count = schema_rounds(25);
    for (int seed = 0; seed < count; seed++) {
        random_state r;
        random_seed(&r, 400000 + (uint64_t)seed);
        chat_text given = {0};
        json *tools = NULL;
        rnl_constraint *c = NULL;
        tools_random(&r, &given);
        assert_int_equal(json_parse(given.data, given.size, "tools", &tools, NULL), RNL_OK);
        if (rnl_tools_create(model, given.data, given.size, NULL, &c, NULL) == RNL_OK)
            call_once(&r, c, tools, given.data);
        rnl_constraint_destroy(&c);
        json_destroy(&tools);
        chat_text_free(&given);
    }
}

static const char tools_text[] =
    "[{\"name\": \"now\", \"parameters\": {}}, {\"name\": \"add\", \"parameters\": {\"type\": "
    "\"object\", \"properties\": {\"a\": {\"type\": \"integer\"}}, \"required\": [\"a\"]}}]";

/* Lets a reply say what the test wants: tokens, through the same door as those of the sampler. */
static void say(rnl_session *s, const char *text) {
    int32_t ids[256];
    size_t count;
    assert_int_equal(bpe_encode(model->source.text, &s->pass->bpe, text, strlen(text), true, ids,
                                256, &count, NULL),
                     RNL_OK);
    for (size_t i = 0; i < count; i++) session_put_token(s, ids[i]);
}

static void check_said(const char *said, bool ends, const char *text, const char *calls) {
    rnl_constraint *c = NULL;
    rnl_session *s = session(1, 256);
    char line[1024];
    chat_text got_text = {0}, got_calls = {0};
    size_t got;
    assert_int_equal(rnl_tools_create(model, tools_text, strlen(tools_text), NULL, &c, NULL),
                     RNL_OK);
    rnl_turn_config t = rnl_turn_config_default(model, RNL_MODE_TEXT);
    t.tools = c;
    t.calls_free = true;
    rig_text(s, RNL_ROLE_USER, "Yes.");
    assert_int_equal(rnl_session_begin(s, &t, NULL), RNL_OK);
    say(s, said);
    if (ends) rnl_session_stop(s);
    for (int i = 0; i < 3; i++) {
        while (rnl_session_pull_text(s, line, sizeof line, &got) == RNL_OK)
            chat_put(&got_text, line, got);
        while (rnl_session_pull_call(s, line, sizeof line, &got) == RNL_OK) {
            chat_put(&got_calls, line, got);
            chat_puts(&got_calls, ";");
        }
    }
    assert_string_equal(got_text.data != NULL ? got_text.data : "", text);
    assert_string_equal(got_calls.data != NULL ? got_calls.data : "", calls);
    assert_false(session_guide_waits(s));
    chat_text_free(&got_text);
    chat_text_free(&got_calls);
    rnl_session_destroy(&s);
    rnl_constraint_destroy(&c);
}

#define BEGIN "<|tool_call_start|>"
#define END "<|tool_call_end|>"

static void calls_and_text_are_told_apart(void **state) {
    (void)state;
    check_said("Yes. " BEGIN "[add(a=1), now()]" END, false, "Yes. ",
               "{\"tool\":\"add\",\"arguments\":{\"a\":1}};{\"tool\":\"now\",\"arguments\":{}};");
    check_said(BEGIN "[add(a='it\\'s', b=[True, None, {\"k\": 1.}])]" END, false, "",
               "{\"tool\":\"add\",\"arguments\":{\"a\":\"it's\",\"b\":[true,null,{\"k\":1.0}]}};");
    /* No tool of the list, no call, no end: text. */
    check_said(BEGIN "[sub(a=1)]" END, false, "[sub(a=1)]", "");
    check_said(BEGIN "[add(a=1), sub()]" END, false, "[add(a=1), sub()]", "");
    check_said(BEGIN "[add(a=)]" END, false, "[add(a=)]", "");
    check_said(BEGIN "[add(1)]" END, false, "[add(1)]", "");
    check_said(BEGIN "[add(a=1, a=2)]" END, false, "[add(a=1, a=2)]", "");
    check_said(BEGIN "[add(a=1)", true, "[add(a=1)", "");
    check_said(BEGIN END, false, "", "");
}

static void check_history(rnl_session *s, const char *want) {
    int32_t ids[512];
    size_t count;
    assert_int_equal(bpe_encode(model->source.text, &s->pass->bpe, want, strlen(want), true, ids,
                                512, &count, NULL),
                     RNL_OK);
    assert_int_equal(count, s->live->position_count);
    assert_memory_equal(ids, s->ids, count * sizeof *ids);
}

/* tiny has no template, but the tokens of lists: that of the first models. */
static void tools_and_results_are_laid_out(void **state) {
    (void)state;
    rnl_constraint *c = NULL;
    rnl_session *s = session(1, 1024);
    const char *message = "{\"role\": \"assistant\", \"content\": \"Let me.\"}";
    assert_string_equal(rnl_model_chat_template(model), "A");
    assert_int_equal(rnl_tools_create(model, tools_text, strlen(tools_text), NULL, &c, NULL),
                     RNL_OK);
    assert_int_equal(rnl_session_add_tools(s, NULL, 0, c, NULL), RNL_OK);
    rig_text(s, RNL_ROLE_USER, "Yes.");
    assert_int_equal(rnl_session_add_message(s, message, strlen(message), true, NULL), RNL_OK);
    rig_text(s, RNL_ROLE_TOOL, "1");
    rig_text(s, RNL_ROLE_TOOL, "2");
    check_history(
        s,
        "<|startoftext|><|im_start|>system\nList of tools: <|tool_list_start|>[{\"name\": \"now\", "
        "\"parameters\": {}}, {\"name\": \"add\", \"parameters\": {\"type\": \"object\", "
        "\"properties\": {\"a\": {\"type\": \"integer\"}}, \"required\": [\"a\"]}}]"
        "<|tool_list_end|><|im_end|>\n<|im_start|>user\nYes.<|im_end|>\n<|im_start|>assistant\n"
        "Let me.<|im_end|>\n<|im_start|>tool\n<|tool_response_start|>1<|tool_response_end|>"
        "<|im_end|>\n<|im_start|>tool\n<|tool_response_start|>2<|tool_response_end|>");
    rnl_error error = {0};
    assert_int_equal(rnl_session_add_tools(s, NULL, 0, c, &error), RNL_ERR_STATE);
    assert_int_equal(rnl_session_add_message(s, "{\"role\": \"x\"}", 13, false, &error),
                     RNL_ERR_DATA);
    assert_non_null(strstr(error.text, "role"));
    rnl_session_destroy(&s);
    rnl_constraint_destroy(&c);
}

static void talk(rnl_session *s, const char *user, const char *answer) {
    char message[256];
    rig_text(s, RNL_ROLE_USER, user);
    (void)snprintf(message, sizeof message, "{\"role\": \"assistant\", \"content\": \"%s\"}",
                   answer);
    assert_int_equal(rnl_session_add_message(s, message, strlen(message), false, NULL), RNL_OK);
}

/* The backbone's state after a history whose thinking went is that of one that never had it. */
static void check_thinking(chat_kind kind, const char *first, const char *second) {
    rnl_session *s = session(1, 512), *fresh = session(1, 512);
    const chat_template kept = model->chat;
    model->chat = chat_template_of(kind);
    talk(s, "1+1?", "<think>One and</think>one.</think>\\n 2 ");
    while (rnl_session_step(s, NULL) == RNL_OK) continue;
    talk(s, "2+2?", "<think>Two and two.</think> 4");
    while (rnl_session_step(s, NULL) == RNL_OK) continue;
    rig_text(s, RNL_ROLE_USER, "And?");
    talk(fresh, "1+1?", first);
    model->chat.kind = CHAT_A; /* leaves everything as it is */
    talk(fresh, "2+2?", second);
    rig_text(fresh, RNL_ROLE_USER, "And?");
    model->chat = kept;
    assert_int_equal(s->live->position_count, fresh->live->position_count);
    assert_memory_equal(s->ids, fresh->ids, (size_t)s->live->position_count * sizeof *s->ids);
    rig_begin(s, RNL_MODE_TEXT, 12);
    rig_begin(fresh, RNL_MODE_TEXT, 12);
    outcome a = run(s), b = run(fresh);
    assert_string_equal(a.text.data, b.text.data);
    free_outcome(&a);
    free_outcome(&b);
    rnl_session_destroy(&s);
    rnl_session_destroy(&fresh);
}

static void thinking_goes_as_the_template_says(void **state) {
    (void)state;
    check_thinking(CHAT_B, "2", "<think>Two and two.</think> 4");
    check_thinking(CHAT_C3, "2", "4");
    check_thinking(CHAT_A, "<think>One and</think>one.</think>\\n 2 ",
                   "<think>Two and two.</think> 4");
}

static void a_turn_that_cannot_be_held_is_refused(void **state) {
    (void)state;
    rnl_constraint *tools = NULL, *schema = NULL;
    rnl_session *s = session(1, 256);
    rnl_turn_config t = rnl_turn_config_default(model, RNL_MODE_TEXT);
    assert_int_equal(rnl_tools_create(model, tools_text, strlen(tools_text), NULL, &tools, NULL),
                     RNL_OK);
    assert_int_equal(rnl_schema_create(model, "{}", 2, NULL, &schema, NULL), RNL_OK);
    rig_text(s, RNL_ROLE_USER, "Yes.");
    t.call_required = true;
    assert_int_equal(rnl_session_begin(s, &t, NULL), RNL_ERR_ARGUMENT);
    t.tools = schema;
    assert_int_equal(rnl_session_begin(s, &t, NULL), RNL_ERR_ARGUMENT);
    t = rnl_turn_config_default(model, RNL_MODE_INTERLEAVED);
    t.answer = schema;
    assert_int_equal(rnl_session_begin(s, &t, NULL), RNL_ERR_ARGUMENT);
    rnl_constraint_destroy(&schema);
    rnl_error error = {0};
    assert_int_equal(rnl_schema_create(model, "{", 1, NULL, &schema, &error), RNL_ERR_FORMAT);
    assert_null(schema);
    rnl_session_destroy(&s);
    rnl_constraint_destroy(&tools);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_and_text_are_told_apart),
        cmocka_unit_test(tools_and_results_are_laid_out),
        cmocka_unit_test(thinking_goes_as_the_template_says),
        cmocka_unit_test(a_turn_that_cannot_be_held_is_refused),
        cmocka_unit_test(answers_are_valid_every_time),
        cmocka_unit_test(calls_are_valid_every_time),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
