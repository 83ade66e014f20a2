/* What the engine thread does beside replies: looks at clips, and what a full context does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audio/file.h"
#include "core/clock.h"
#include "engine/batch.h"
#include "serve/metrics.h"
#include "tests/support/work_rig.h"

#define MINNOW SOURCE_DIR "/samples/minnow/minnow.gguf"

static rnl_model *model;
static work *engine;
static sound question;

/* A conversation and what was told of it. */
typedef struct talk {
    conversation *c;
    int ended, refused;
    api_error error; /* of the last end or refusal */
    size_t text_size, sample_count;
    uint64_t sum; /* of all bits of the sound */
} talk;

static void take(void *context) {
    talk *t = context;
    event e;
    while (conversation_next(t->c, &e)) {
        if (e.kind == EVENT_ENDED || e.kind == EVENT_REFUSED) t->error = e.error;
        t->ended += e.kind == EVENT_ENDED;
        t->refused += e.kind == EVENT_REFUSED;
        t->text_size += e.size;
        t->sample_count += e.count;
        for (size_t i = 0; i < e.count; i++) {
            uint32_t bits;
            memcpy(&bits, &e.samples[i], sizeof bits);
            t->sum = (t->sum ^ bits) * UINT64_C(0x100000001b3);
        }
    }
}

static void open_in(work *w, talk *t, work_class class, bool beside) {
    api_error e;
    const conversation_config c = {.class = class, .beside = beside, .ready = take, .context = t};
    *t = (talk){0};
    t->c = conversation_open(w, &c, &e);
    if (t->c == NULL) fail_msg("%s", e.message);
}

static void open_talk(talk *t) {
    open_in(engine, t, WORK_TALK, false);
}

static float *copy_of(const float *samples, size_t count) {
    float *copy = malloc(count * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, samples, count * sizeof *copy);
    return copy;
}

static void ask(talk *t, command what) {
    assert_true(conversation_ask(t->c, &what));
}

static void ask_clip(talk *t) {
    ask(t, (command){.kind = COMMAND_CLIP,
                     .count = question.count,
                     .rate = question.rate,
                     .samples = copy_of(question.samples, question.count)});
}

static void ask_reply(talk *t, int64_t tag, rnl_mode mode) {
    command begin = {
        .kind = COMMAND_BEGIN, .tag = tag, .turn = rnl_turn_config_default(model, mode)};
    begin.spoken = mode == RNL_MODE_INTERLEAVED;
    if (mode == RNL_MODE_TEXT) begin.turn.step_max = 4;
    ask(t, begin);
}

/* ---- How finished it sounds ---- */

enum { LOOKS = 4, UNWANTED = 1 };

typedef struct looker {
    work_look *look;
    float probability;
    int place; /* among the answers; -1: none */
} looker;

static int answers;

static void note_answer(void *context) {
    looker *l = context;
    assert_true(work_look_answer(l->look, &l->probability));
    l->place = answers++;
}

/* The last one at half of the question. */
static size_t look_count(int i) {
    return i < LOOKS - 1 ? question.count : question.count / 2;
}

static void open_looks(looker *those) {
    for (int i = 0; i < LOOKS; i++) {
        const size_t count = look_count(i);
        those[i] = (looker){.place = -1};
        those[i].look =
            work_look_open(engine, copy_of(question.samples, count), count, note_answer, &those[i]);
        assert_non_null(those[i].look);
    }
}

static float look_alone(size_t count) {
    rnl_batch_config config = rnl_batch_config_default();
    rnl_batch *b;
    float probability = -1;
    config.thread_count = 1;
    assert_int_equal(rnl_batch_create(model, &config, &b, NULL), RNL_OK);
    assert_int_equal(batch_look_begin(b, &config, question.samples, count), RNL_OK);
    assert_int_equal(batch_look_begin(b, &question, question.samples, count), RNL_AGAIN);
    while (batch_look_step(b, &config, &probability) == RNL_OK) continue;
    rnl_batch_destroy(&b);
    return probability;
}

/* While somebody speaks: each look is what it is alone, and so is the reply. */
static void looks_and_replies_leave_each_other_as_they_are(void **state) {
    (void)state;
    looker those[LOOKS];
    talk alone, t;
    if (!work_takes_looks(engine)) skip();
    for (int i = 0; i < 2; i++) {
        open_talk(&t);
        ask_clip(&t);
        ask_reply(&t, 1, RNL_MODE_INTERLEAVED);
        if (i == 1) {
            answers = 0;
            open_looks(those);
            work_look_close(&those[UNWANTED].look);
            work_rig_wait(engine, &answers, LOOKS - 1);
        }
        work_rig_wait(engine, &t.ended, 1);
        conversation_close(&t.c);
        if (i == 0) alone = t;
    }
    assert_true(t.sample_count > 0);
    assert_int_equal(t.sample_count, alone.sample_count);
    assert_true(t.sum == alone.sum);
    assert_int_equal(t.text_size, alone.text_size);
    const float whole = look_alone(question.count), half = look_alone(question.count / 2);
    assert_true(whole != half && whole >= 0 && half >= 0);
    for (int i = 0; i < LOOKS; i++) {
        const int place = i < UNWANTED ? i : i == UNWANTED ? -1 : i - 1;
        if (i != UNWANTED)
            assert_memory_equal(&those[i].probability, i < LOOKS - 1 ? &whole : &half,
                                sizeof whole);
        assert_int_equal(those[i].place, place);
        work_look_close(&those[i].look);
    }
}

/* ---- A full context ---- */

/* About two positions for each word. */
static void ask_words(talk *t, rnl_role role, int words) {
    const size_t size = 4 * (size_t)words;
    char *text = malloc(size);
    assert_non_null(text);
    for (size_t i = 0; i < size; i++) text[i] = "red "[i % 4];
    ask(t, (command){.kind = COMMAND_TEXT, .role = role, .text = text, .text_size = size});
}

static void a_reply_is_not_made_without_what_did_not_fit(void **state) {
    (void)state;
    talk t;
    open_talk(&t);
    ask(&t, (command){.kind = COMMAND_RETAIN, .retention = {.keeps_all = true}});
    ask_words(&t, RNL_ROLE_USER, 20);
    ask_reply(&t, 1, RNL_MODE_TEXT);
    work_rig_wait(engine, &t.ended, 1);
    assert_int_equal(t.error.code, API_OK);
    ask(&t, (command){.kind = COMMAND_MARK});
    ask_words(&t, RNL_ROLE_USER, 1000);
    ask_reply(&t, 2, RNL_MODE_TEXT);
    work_rig_wait(engine, &t.ended, 2);
    assert_int_equal(t.refused, 1);
    assert_int_equal(t.error.code, API_CONTEXT_LENGTH_EXCEEDED);
    ask_reply(&t, 3, RNL_MODE_TEXT); /* it stays so, */
    work_rig_wait(engine, &t.ended, 3);
    assert_int_equal(t.error.code, API_CONTEXT_LENGTH_EXCEEDED);
    ask(&t, (command){.kind = COMMAND_RETURN}); /* until that is taken back, */
    ask_words(&t, RNL_ROLE_USER, 5);
    ask_reply(&t, 4, RNL_MODE_TEXT);
    work_rig_wait(engine, &t.ended, 4);
    assert_int_equal(t.error.code, API_OK);
    for (int64_t tag = 5; tag < 12; tag++) { /* or all is forgotten; bit by bit it is full, too */
        ask_words(&t, RNL_ROLE_USER, 40);
        ask_reply(&t, tag, RNL_MODE_TEXT);
    }
    work_rig_wait(engine, &t.ended, 11);
    assert_int_equal(t.error.code, API_CONTEXT_LENGTH_EXCEEDED);
    ask(&t, (command){.kind = COMMAND_RESET});
    /* Where the oldest go, nothing is refused. */
    t.refused = 0;
    ask(&t, (command){.kind = COMMAND_RETAIN, .retention = {.ratio = 0.5}});
    for (int64_t tag = 12; tag < 20; tag++) {
        ask_words(&t, RNL_ROLE_USER, 40);
        ask_reply(&t, tag, RNL_MODE_TEXT);
    }
    work_rig_wait(engine, &t.ended, 19);
    assert_int_equal(t.error.code, API_OK);
    assert_int_equal(t.refused, 0);
    conversation_close(&t.c);
}

/* The last test. Those that are under way or wait when it ends are closed, and that is all. */
/* ---- Conversations beside others ---- */

static int page_value(metrics *m, const char *name) {
    static char page[65536];
    const size_t size = metrics_write(m, page, sizeof page - 1);
    assert_true(size < sizeof page);
    page[size] = 0;
    const char *at = strstr(page, name);
    assert_non_null(at);
    return atoi(at + strlen(name));
}

static int kept_times(void *context, rnl_batch *batch) {
    (void)context;
    rnl_batch_set_times(batch, 1, 1000, 10000);
    return 1;
}

/* One has a place of its own, and nobody who asks is refused for it. */
static void a_conversation_beside_another_takes_no_place(void **state) {
    (void)state;
    static const char *const paths[] = {"other"};
    const metrics_config mc = {.kernels = "", .model = "", .paths = paths, .path_count = 1};
    const conversation_config beside = {.class = WORK_IDLE, .beside = true},
                              another = {.class = WORK_TALK};
    work_config config = work_config_default();
    metrics *m;
    talk talking, listening;
    api_error e;
    work_facts f;
    assert_int_equal(metrics_create(&mc, &m), RNL_OK);
    config.thread_count = 2;
    config.context_cap = 512;
    config.session_cap = 1;
    config.give_times = kept_times;
    config.metrics = m;
    work *w = work_rig_start(model, &config);
    open_in(w, &listening, WORK_IDLE, true);
    open_in(w, &talking, WORK_TALK, false);
    assert_null(conversation_open(w, &beside, &e)); /* one for up to four */
    assert_int_equal(e.code, API_SERVER_OVERLOADED);
    assert_null(conversation_open(w, &another, &e));
    work_get_facts(w, &f);
    assert_int_equal(f.conversations, 1);
    assert_int_equal(f.beside, 1);
    assert_int_equal(f.beside_max, 1);
    assert_int_equal(page_value(m, "\nrunnel_sessions_admitted_total "), 1);
    assert_int_equal(page_value(m, "\nrunnel_sessions_refused_total{reason=\"load\"} "), 1);
    work_drain(w); /* beside one that is open there still may be one */
    conversation_close(&listening.c);
    open_in(w, &listening, WORK_IDLE, true);
    ask_clip(&listening);
    ask_reply(&listening, 1, RNL_MODE_TRANSCRIBE);
    work_rig_wait(w, &listening.ended, 1);
    assert_int_equal(listening.error.code, API_OK);
    assert_true(listening.text_size > 0);
    assert_true(conversation_worked_us(listening.c) > 0);
    assert_int_equal(conversation_worked_us(talking.c), 0);
    conversation_close(&listening.c);
    conversation_close(&talking.c);
    work_destroy(&w);
    metrics_destroy(&m);
}

/* Room for one conversation and none beside it: memory is why there are no more. */
static void what_memory_refuses_is_told_apart(void **state) {
    (void)state;
    static const char *const paths[] = {"other"};
    const metrics_config mc = {.kernels = "", .model = "", .paths = paths, .path_count = 1};
    const conversation_config one = {.class = WORK_TALK}, beside = {.beside = true};
    work_config config = work_config_default();
    metrics *m;
    api_error e;
    work_facts f;
    assert_int_equal(metrics_create(&mc, &m), RNL_OK);
    config.thread_count = 2;
    config.context_cap = 256;
    config.session_cap = 4;
    config.give_times = kept_times;
    config.oversubscribe = 100;
    config.metrics = m;
    work *w = work_rig_start(model, &config);
    work_get_facts(w, &f);
    assert_int_equal(f.session_max, 4);
    assert_false(f.memory_binds);
    work_destroy(&w);
    config.memory_size_max = f.batch_size + f.session_size + f.session_size / 2;
    w = work_rig_start(model, &config);
    work_get_facts(w, &f);
    assert_int_equal(f.session_max, 1);
    assert_int_equal(f.beside_max, 0);
    assert_true(f.memory_binds);
    conversation *c = conversation_open(w, &one, &e);
    assert_non_null(c);
    assert_null(conversation_open(w, &one, &e));
    assert_null(conversation_open(w, &beside, &e));
    assert_int_equal(page_value(m, "\nrunnel_sessions_refused_total{reason=\"memory\"} "), 1);
    conversation_close(&c);
    work_destroy(&w);
    metrics_destroy(&m);
}

static void looks_are_closed_at_any_time(void **state) {
    (void)state;
    looker those[LOOKS];
    if (!work_takes_looks(engine)) skip();
    open_looks(those);
    work_stop(engine);
    for (int i = 0; i < LOOKS; i++) work_look_close(&those[i].look);
}

static int set_up(void **state) {
    (void)state;
    rnl_error e = {0};
    work_config c = work_config_default();
    c.thread_count = 2;
    c.context_cap = 256;
    c.session_cap = 1;
    c.give_times = kept_times;
    if (rnl_model_open(MINNOW, NULL, &model, &e) != RNL_OK ||
        sound_read(SOURCE_DIR "/samples/questions/light.wav", 30, NULL, &question, &e) != RNL_OK)
        return -1;
    engine = work_rig_start(model, &c);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    work_destroy(&engine);
    rnl_model_close(&model);
    sound_free(&question);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_and_replies_leave_each_other_as_they_are),
        cmocka_unit_test(a_reply_is_not_made_without_what_did_not_fit),
        cmocka_unit_test(a_conversation_beside_another_takes_no_place),
        cmocka_unit_test(what_memory_refuses_is_told_apart),
        cmocka_unit_test(looks_are_closed_at_any_time),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
