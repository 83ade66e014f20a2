/* What is left of a conversation serves the next one of the same caller that begins alike, and
 * nobody else; no answer tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "serve/limits.h"
#include "tests/support/work_rig.h"

#define MINNOW SOURCE_DIR "/samples/minnow/minnow.gguf"
#define SYSTEM "Answer in as few words as there can be, and never say more than that."
#define QUESTION "How is the weather in Vienna today, and how will it be tomorrow?"

enum { COMMANDS_CAP = 6 };

static rnl_model *model;

static work *start(int sessions) {
    work_config c = work_config_default();
    c.thread_count = 2;
    c.context_cap = 512;
    c.session_cap = sessions;
    c.oversubscribe = 100;               /* however slow the machine is */
    c.memory_size_max = (size_t)4 << 30; /* and however much of its memory others have */
    return work_rig_start(model, &c);
}

/* A request and its answer. */
typedef struct request {
    conversation *c;
    char text[4096];
    size_t size;
    int begun, ended;
    work_usage usage;
} request;

static void take(void *context) {
    request *r = context;
    event e;
    while (conversation_next(r->c, &e)) {
        assert_int_equal(e.error.code, API_OK);
        if (e.kind == EVENT_TEXT) {
            assert_true(r->size + e.size < sizeof r->text);
            memcpy(r->text + r->size, e.text, e.size);
            r->size += e.size;
        }
        r->begun += e.kind == EVENT_BEGUN;
        r->ended += e.kind == EVENT_ENDED;
        if (e.kind == EVENT_ENDED) r->usage = e.usage;
    }
}

/* Words of the system, a question, its answer, a question ...; NULL ends them. */
static void ask(work *w, request *r, uint64_t caller, const char *const *texts) {
    static const rnl_role roles[] = {RNL_ROLE_SYSTEM, RNL_ROLE_USER, RNL_ROLE_ASSISTANT};
    command commands[COMMANDS_CAP];
    uint64_t steps[COMMANDS_CAP], sum = 0;
    api_error e;
    int count = 0;
    *r = (request){0};
    for (; texts[count] != NULL; count++) {
        const size_t size = strlen(texts[count]);
        commands[count] = (command){.kind = COMMAND_TEXT,
                                    .role = count == 0 ? roles[0] : roles[2 - count % 2],
                                    .text = command_text(texts[count], size),
                                    .text_size = size};
        steps[count] = sum = command_sum(sum, &commands[count]);
    }
    const conversation_config c = {.class = WORK_REQUEST,
                                   .caller = caller,
                                   .steps = steps,
                                   .step_count = count,
                                   .ready = take,
                                   .context = r};
    r->c = conversation_open(w, &c, &e);
    if (r->c == NULL) fail_msg("%s", e.message);
    for (int i = 0; i < count; i++) assert_true(conversation_ask(r->c, &commands[i]));
    command begin = {
        .kind = COMMAND_BEGIN, .tag = 1, .turn = rnl_turn_config_default(model, RNL_MODE_TEXT)};
    begin.turn.step_max = 24;
    assert_true(conversation_ask(r->c, &begin));
}

static int cached(const request *r) {
    return r->usage.cached_text + r->usage.cached_audio;
}

/* The whole of a request; returns how much of it was there before. */
static int answer(work *w, request *r, uint64_t caller, const char *const *texts) {
    ask(w, r, caller, texts);
    work_rig_wait(w, &r->ended, 1);
    conversation_close(&r->c);
    return cached(r);
}

static const char *const first[] = {SYSTEM, QUESTION, NULL};

static void wait_until_kept(work *w, int wanted) {
    const double end = clock_seconds() + 60;
    work_facts f;
    do {
        work_get_facts(w, &f);
        assert_true(clock_seconds() < end);
    } while (f.kept != wanted);
}

/* ---- */

static void what_a_caller_had_before_is_not_read_again(void **state) {
    (void)state;
    work *w = start(4);
    request a, b;
    assert_int_equal(answer(w, &a, 7, first), 0);
    assert_true(a.size > 0);
    const int input = a.usage.input_text;
    const int again = answer(w, &b, 7, first);
    assert_true(again > input / 2 && again < input);
    assert_int_equal(b.usage.input_text, input);
    assert_int_equal(b.size, a.size);
    assert_memory_equal(b.text, a.text, a.size);

    char said[sizeof a.text];
    (void)snprintf(said, sizeof said, "%.*s", (int)a.size, a.text);
    const char *const next[] = {SYSTEM, QUESTION, said, "And who are you?", NULL};
    request fresh, more;
    assert_true(answer(w, &more, 7, next) >= input);
    assert_int_equal(answer(w, &fresh, 8, next), 0);
    assert_int_equal(more.usage.input_text, fresh.usage.input_text);
    assert_int_equal(more.size, fresh.size);
    assert_memory_equal(more.text, fresh.text, fresh.size);

    const char *const other[] = {SYSTEM, "Who are you?", NULL};
    assert_int_equal(answer(w, &b, 9, first), 0);
    assert_true(answer(w, &b, 9, other) > 0);     /* the words of the system */
    assert_int_equal(answer(w, &b, 7, other), 0); /* a longer one is left to who goes on with it */
    work_destroy(&w);
}

static void nothing_of_one_caller_reaches_another(void **state) {
    (void)state;
    work *w = start(4);
    request r;
    for (uint64_t caller = 0; caller < 3; caller++)
        assert_int_equal(answer(w, &r, caller, first), 0);
    assert_int_equal(answer(w, &r, 0, first), 0); /* of nobody nothing is kept */
    assert_true(answer(w, &r, 1, first) > 0);
    work_destroy(&w);
}

static void what_is_forgotten_is_gone(void **state) {
    (void)state;
    work *w = start(4);
    request r, open;
    (void)answer(w, &r, 1, first);
    (void)answer(w, &r, 2, first);
    wait_until_kept(w, 2);
    work_forget(w, 1);
    wait_until_kept(w, 1);
    assert_int_equal(answer(w, &r, 1, first), 0);
    assert_true(answer(w, &r, 2, first) > 0);
    ask(w, &open, 2, (const char *const[]){"Say nothing.", QUESTION, NULL});
    work_rig_wait(w, &open.ended, 1);
    work_forget_all(w);
    conversation_close(&open.c); /* it began before, so it is not kept either */
    wait_until_kept(w, 0);
    assert_int_equal(answer(w, &r, 2, first), 0);
    work_destroy(&w);
}

static void whoever_left_is_forgotten_with_what_he_asked(void **state) {
    (void)state;
    work *w = start(4);
    request r;
    ask(w, &r, 3, first);
    work_rig_wait(w, &r.begun, 1); /* in the midst of the answer */
    conversation_close(&r.c);
    work_forget(w, 3);
    assert_int_equal(answer(w, &r, 3, first), 0);
    ask(w, &r, 3, (const char *const[]){SYSTEM, "Who are you?", NULL});
    work_rig_wait(w, &r.begun, 1);
    conversation_close(&r.c);
    request other;
    assert_true(answer(w, &r, 3, first) > 0);
    assert_int_equal(answer(w, &other, 4, first), 0);
    assert_int_equal(r.size, other.size);
    assert_memory_equal(r.text, other.text, r.size);
    work_destroy(&w);
}

static void what_is_kept_makes_room(void **state) {
    (void)state;
    work *w = start(2);
    request a, b;
    for (uint64_t caller = 1; caller < 5; caller++) (void)answer(w, &a, caller, first);
    wait_until_kept(w, 2);
    ask(w, &a, 5, first);
    ask(w, &b, 6, first);
    work_rig_wait(w, &a.ended, 1);
    work_rig_wait(w, &b.ended, 1);
    wait_until_kept(w, 0);
    conversation_close(&a.c);
    conversation_close(&b.c);
    wait_until_kept(w, 2);
    work_destroy(&w);
}

static void one_caller_has_his_share(void **state) {
    (void)state;
    work *w = start(8);
    request r;
    char system[32];
    for (int i = 0; i < LIMIT_PREFIXES_OF_CALLER + 2; i++) {
        (void)snprintf(system, sizeof system, "%d is the number.", i);
        (void)answer(w, &r, 1, (const char *const[]){system, QUESTION, NULL});
        wait_until_kept(w, i < LIMIT_PREFIXES_OF_CALLER ? i + 1 : LIMIT_PREFIXES_OF_CALLER);
    }
    assert_true(answer(w, &r, 1, (const char *const[]){system, QUESTION, NULL}) > 0);
    /* The oldest went. */
    assert_int_equal(answer(w, &r, 1, (const char *const[]){"0 is the number.", QUESTION, NULL}),
                     0);
    work_destroy(&w);
}

/* ---- A conversation that is told anew ---- */

static void tell(request *r, rnl_role role, const char *text, bool spare) {
    const size_t size = strlen(text);
    const command c = {.kind = COMMAND_TEXT,
                       .role = role,
                       .spare = spare,
                       .text = command_text(text, size),
                       .text_size = size};
    assert_true(conversation_ask(r->c, &c));
}

static void speak(work *w, request *r, int64_t tag) {
    const command begin = {.kind = COMMAND_BEGIN,
                           .tag = tag,
                           .turn = rnl_turn_config_default(model, RNL_MODE_INTERLEAVED)};
    assert_true(conversation_ask(r->c, &begin));
    r->ended = 0;
    work_rig_wait(w, &r->ended, 1);
}

/* The words of the system change: what was said aloud stays what it was, once, and what it is no
 * more is told by its words. */
static void a_spoken_reply_stays_in_a_history_that_is_told_anew(void **state) {
    (void)state;
    work *w = start(1);
    request r = {0};
    api_error e;
    const conversation_config c = {.class = WORK_TALK, .ready = take, .context = &r};
    r.c = conversation_open(w, &c, &e);
    assert_non_null(r.c);
    tell(&r, RNL_ROLE_USER, "Turn on the kitchen light.", false);
    speak(w, &r, 5);
    const int frames = r.usage.output_audio;
    assert_true(frames > 0);
    for (int round = 0; round < 2; round++) {
        const command reset = {.kind = COMMAND_RESET},
                      again = {.kind = COMMAND_AGAIN, .tag = round == 0 ? 5 : 6};
        assert_true(conversation_ask(r.c, &reset));
        tell(&r, RNL_ROLE_SYSTEM, "Respond with interleaved text and audio.", false);
        tell(&r, RNL_ROLE_USER, "Turn on the kitchen light.", false);
        assert_true(conversation_ask(r.c, &again));
        tell(&r, RNL_ROLE_ASSISTANT, "The kitchen light is on.", true);
        assert_true(conversation_ask(r.c, &again)); /* of another item of it */
        tell(&r, RNL_ROLE_ASSISTANT, "The kitchen light is on.", true);
        tell(&r, RNL_ROLE_USER, "What is twenty minus fifteen?", false);
        speak(w, &r, 10 + round);
        assert_int_equal(r.usage.input_audio, round == 0 ? frames : 0);
        assert_true(round == 0 || cached(&r) > 0); /* up to the reply it is the same */
    }
    conversation_close(&r.c);
    work_destroy(&w);
}

static int set_up(void **state) {
    (void)state;
    rnl_error e = {0};
    return rnl_model_open(MINNOW, NULL, &model, &e) == RNL_OK ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    rnl_model_close(&model);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_caller_had_before_is_not_read_again),
        cmocka_unit_test(nothing_of_one_caller_reaches_another),
        cmocka_unit_test(what_is_forgotten_is_gone),
        cmocka_unit_test(whoever_left_is_forgotten_with_what_he_asked),
        cmocka_unit_test(what_is_kept_makes_room),
        cmocka_unit_test(one_caller_has_his_share),
        cmocka_unit_test(a_spoken_reply_stays_in_a_history_that_is_told_anew),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
