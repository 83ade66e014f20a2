/* Conversations of the engine thread: commands in, events out, without a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audio/file.h"
#include "core/clock.h"
#include "serve/realtime_commands.h"
#include "tests/support/rig.h"
#include "tests/support/work_rig.h"

#define MINNOW SOURCE_DIR "/samples/minnow/minnow.gguf"

static rnl_model *model;
static sound question;

static work *start(int sessions) {
    work_config c = work_config_default();
    c.thread_count = 2;
    c.context_cap = 512;
    c.session_cap = sessions;
    c.oversubscribe = 100; /* however slow the machine is */
    return work_rig_start(model, &c);
}

/* A conversation and all that it said. */
typedef struct talk {
    conversation *c;
    char text[4096];
    size_t size;
    float *samples;
    size_t count;
    int begun, ended, refused, lost, cuts, pieces;
    rnl_finish finish;
    work_usage usage;
    api_error error;
    sound_faults faults; /* of the last end, as is */
    int64_t tag;         /* this */
    int64_t only;        /* the reply whose text and sound are kept; 0: all */
} talk;

static void take(void *context) {
    talk *t = context;
    event e;
    while (conversation_next(t->c, &e)) {
        if ((e.kind == EVENT_TEXT || e.kind == EVENT_SOUND) && t->only > 0 && t->only != e.tag)
            continue;
        switch (e.kind) {
        case EVENT_BEGUN:
            t->begun++;
            break;
        case EVENT_TEXT:
        case EVENT_CALL:
            assert_true(t->size + e.size < sizeof t->text);
            memcpy(t->text + t->size, e.text, e.size);
            t->size += e.size;
            break;
        case EVENT_SOUND:
            t->samples = realloc(t->samples, (t->count + e.count) * sizeof *t->samples);
            memcpy(t->samples + t->count, e.samples, e.count * sizeof *e.samples);
            t->count += e.count;
            break;
        case EVENT_ENDED:
            t->ended++;
            t->finish = e.finish;
            t->usage = e.usage;
            t->error = e.error;
            t->tag = e.tag;
            if (e.faults != NULL) t->faults = *e.faults;
            break;
        case EVENT_PIECE:
            t->pieces++;
            assert_true(t->size + e.piece->text_size < sizeof t->text);
            memcpy(t->text + t->size, e.piece->text, e.piece->text_size);
            t->size += e.piece->text_size;
            break;
        case EVENT_CUT:
            t->cuts++;
            break;
        case EVENT_REFUSED:
            t->refused++;
            t->error = e.error;
            break;
        case EVENT_LOST:
            t->lost++;
            break;
        case EVENT_TOKENS:
            break;
        }
    }
}

static void open_talk(work *w, talk *t, work_class class) {
    *t = (talk){0};
    api_error e;
    const conversation_config c = {.class = class, .ready = take, .context = t};
    t->c = conversation_open(w, &c, &e);
    if (t->c == NULL) fail_msg("%s", e.message);
}

static void close_talk(talk *t) {
    conversation_close(&t->c);
    free(t->samples);
    t->samples = NULL;
}

static void ask_clip(talk *t) {
    command what = {.kind = COMMAND_CLIP, .count = question.count, .rate = question.rate};
    what.samples = malloc(question.count * sizeof *what.samples);
    memcpy(what.samples, question.samples, question.count * sizeof *what.samples);
    assert_true(conversation_ask(t->c, &what));
}

static command begin_of(int64_t tag, rnl_mode mode) {
    return (command){
        .kind = COMMAND_BEGIN, .tag = tag, .turn = rnl_turn_config_default(model, mode)};
}

/* The same of a session alone. */
static void answer_alone(talk *t) {
    rnl_session_config config = rnl_session_config_for(model);
    rnl_session *s;
    *t = (talk){0};
    config.context_cap = 512;
    config.thread_count = 2;
    assert_int_equal(rnl_session_create(model, &config, &s, NULL), RNL_OK);
    assert_int_equal(
        rnl_session_add_audio(s, question.samples, question.count, question.rate, NULL), RNL_OK);
    const rnl_turn_config turn = rnl_turn_config_default(model, RNL_MODE_INTERLEAVED);
    assert_int_equal(rnl_session_begin(s, &turn, NULL), RNL_OK);
    for (rnl_status status = RNL_OK; status != RNL_DONE;) {
        status = rnl_session_step(s, NULL);
        assert_true(status >= 0);
        size_t got;
        while (rnl_session_pull_text(s, t->text + t->size, sizeof t->text - t->size, &got) ==
               RNL_OK)
            t->size += got;
        t->samples = realloc(t->samples, (t->count + 48000) * sizeof *t->samples);
        while (rnl_session_pull_samples(s, t->samples + t->count, 48000, &got) == RNL_OK) {
            t->count += got;
            t->samples = realloc(t->samples, (t->count + 48000) * sizeof *t->samples);
        }
    }
    rnl_session_destroy(&s);
}

static void assert_same(const talk *a, const talk *b) {
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->text, b->text, a->size);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->samples, b->samples, a->count * sizeof *a->samples);
}

/* ---- */

static void every_conversation_says_what_it_says_alone(void **state) {
    (void)state;
    enum { COUNT = 4 };
    work *w = start(COUNT);
    talk alone, talks[COUNT];
    answer_alone(&alone);
    assert_true(alone.size > 0 && alone.count > 0);
    for (int i = 0; i < COUNT; i++) {
        open_talk(w, &talks[i], i % 2 == 0 ? WORK_TALK : WORK_REQUEST);
        if (i == 1) { /* in pieces, as it is spoken */
            for (size_t at = 0; at < question.count;) {
                const size_t left = question.count - at, some = left < 700 ? left : 700;
                at += conversation_push(talks[i].c, question.samples + at, some, question.rate);
            }
            const command end = {.kind = COMMAND_END_CLIP};
            assert_true(conversation_ask(talks[i].c, &end));
        } else {
            ask_clip(&talks[i]);
        }
        command begin = begin_of(1, RNL_MODE_INTERLEAVED);
        begin.spoken = i % 2 == 0;
        begin.due_us = clock_us() + 300000;
        assert_true(conversation_ask(talks[i].c, &begin));
    }
    for (int i = 0; i < COUNT; i++) {
        work_rig_wait(w, &talks[i].ended, 1);
        assert_int_equal(talks[i].error.code, API_OK);
        assert_int_equal(talks[i].finish, RNL_FINISH_END);
        assert_same(&talks[i], &alone);
        assert_true(talks[i].usage.input_audio > 0 && talks[i].usage.input_text > 0);
        assert_int_equal(talks[i].usage.cached_audio + talks[i].usage.cached_text, 0);
        assert_true(talks[i].usage.output_audio > 0 && talks[i].usage.output_text > 0);
        close_talk(&talks[i]);
    }
    free(alone.samples);
    work_destroy(&w);
}

static int kept_times(void *context, rnl_batch *batch) {
    rnl_batch_set_times(batch, 1, 1000, *(const double *)context);
    return 1;
}

/* A frame is 80 ms of sound: one that takes 30 ms lets one speak, and 200 ms none. */
static void times_that_are_kept_are_not_measured(void **state) {
    (void)state;
    double frame_us = 30000;
    for (int i = 0; i < 2; i++, frame_us = 200000) {
        work_config c = work_config_default();
        c.thread_count = 1;
        c.context_cap = 256;
        c.give_times = kept_times;
        c.times_context = &frame_us;
        work *w = work_rig_start(model, &c);
        work_facts f;
        work_get_facts(w, &f);
        assert_true(f.measured_seconds == 0);
        assert_int_equal(f.speaking_max > 0, i == 0);
        assert_int_equal(f.session_max >= 2 * f.speaking_max, 1);
        assert_int_equal(f.session_max > 1, i == 0);
        assert_true(f.admits);
        work_destroy(&w);
    }
}

static void one_more_than_there_may_be_is_told_when_to_come(void **state) {
    (void)state;
    work *w = start(2);
    talk a, b;
    api_error e;
    open_talk(w, &a, WORK_REQUEST);
    open_talk(w, &b, WORK_REQUEST);
    const conversation_config c = {.class = WORK_REQUEST, .ready = take};
    assert_null(conversation_open(w, &c, &e));
    assert_int_equal(e.code, API_SERVER_OVERLOADED);
    assert_true(e.retry_after > 0);
    close_talk(&a);
    open_talk(w, &a, WORK_REQUEST);
    work_drain(w);
    close_talk(&b);
    assert_null(conversation_open(w, &c, &e));
    assert_int_equal(e.code, API_DRAINING);
    close_talk(&a);
    work_destroy(&w);
}

static void a_reply_ends_when_it_is_cancelled_and_once(void **state) {
    (void)state;
    work *w = start(2);
    talk t;
    open_talk(w, &t, WORK_REQUEST);
    ask_clip(&t);
    for (int64_t tag = 1; tag <= 3; tag++) {
        const command begin = begin_of(tag, RNL_MODE_INTERLEAVED);
        assert_true(conversation_ask(t.c, &begin));
    }
    work_rig_wait(w, &t.begun, 1);
    conversation_cancel(t.c, 2); /* the first, and the second that was not begun */
    work_rig_wait(w, &t.ended, 3);
    assert_int_equal(t.ended, 3);
    assert_int_equal(t.tag, 3);
    assert_int_equal(t.begun, 2);
    assert_int_equal(t.refused + t.lost, 0);
    close_talk(&t);
    work_destroy(&w);
}

static void what_cannot_be_done_is_refused_and_the_rest_goes_on(void **state) {
    (void)state;
    work *w = start(1);
    talk t;
    open_talk(w, &t, WORK_REQUEST);
    command clip = {.kind = COMMAND_CLIP, .count = 10, .rate = 16000};
    clip.samples = calloc(10, sizeof *clip.samples);
    assert_true(conversation_ask(t.c, &clip));
    work_rig_wait(w, &t.refused, 1);
    assert_int_equal(t.error.code, API_INVALID_AUDIO);
    const command file = {.kind = COMMAND_FILE};
    assert_true(conversation_ask(t.c, &file));
    work_rig_wait(w, &t.refused, 2);
    ask_clip(&t);
    command begin = begin_of(1, RNL_MODE_INTERLEAVED);
    assert_true(conversation_ask(t.c, &begin));
    work_rig_wait(w, &t.ended, 1);
    assert_int_equal(t.finish, RNL_FINISH_END);
    /* What is cached of the second turn: the first. */
    const int first =
        t.usage.input_text + t.usage.input_audio + t.usage.output_text + t.usage.output_audio;
    ask_clip(&t);
    begin = begin_of(2, RNL_MODE_TEXT);
    assert_true(conversation_ask(t.c, &begin));
    work_rig_wait(w, &t.ended, 2);
    assert_true(t.usage.cached_text + t.usage.cached_audio >= first);
    assert_true(t.usage.cached_audio > 0);
    close_talk(&t);
    work_destroy(&w);
}

/* As many commands as a long history has, more than fit. */
typedef struct asker {
    talk t;
    int left;
} asker;

static void ask_more(void *context) {
    asker *a = context;
    for (; a->left > 0; a->left--) {
        command what = {.kind = COMMAND_TEXT, .role = RNL_ROLE_USER, .text_size = 2};
        what.text = malloc(2);
        memcpy(what.text, "a ", 2);
        if (!conversation_ask(a->t.c, &what)) {
            free(what.text);
            break;
        }
    }
    take(&a->t);
}

static void commands_that_do_not_fit_are_asked_later(void **state) {
    (void)state;
    work *w = start(1);
    asker a = {.left = 4 * COMMAND_CAP};
    api_error e;
    const conversation_config c = {
        .class = WORK_REQUEST, .drop_oldest_turns = true, .ready = ask_more, .context = &a};
    a.t.c = conversation_open(w, &c, &e);
    assert_non_null(a.t.c);
    ask_more(&a);
    assert_true(a.left > 0);
    const double end = clock_seconds() + 60;
    while (a.left > 0 && clock_seconds() < end) {
        struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
        work_dispatch(w);
    }
    assert_int_equal(a.left, 0);
    close_talk(&a.t);
    work_destroy(&w);
}

static void a_guess_that_is_taken_back_leaves_nothing(void **state) {
    (void)state;
    work *w = start(1);
    talk alone, t;
    answer_alone(&alone);
    open_talk(w, &t, WORK_TALK);
    t.only = 2;
    const size_t half = question.count / 2;
    const command mark = {.kind = COMMAND_MARK}, back = {.kind = COMMAND_RETURN},
                  end = {.kind = COMMAND_END_CLIP};
    command begin = begin_of(1, RNL_MODE_INTERLEAVED);
    begin.spoken = begin.guess = true;
    for (size_t at = 0; at < half;)
        at += conversation_push(t.c, question.samples + at, half - at, question.rate);
    assert_true(conversation_ask(t.c, &mark) && conversation_ask(t.c, &end) &&
                conversation_ask(t.c, &begin));
    work_rig_wait(w, &t.begun, 1);
    conversation_cancel(t.c, 1);
    assert_true(conversation_ask(t.c, &back));
    for (size_t at = half; at < question.count;)
        at += conversation_push(t.c, question.samples + at, question.count - at, question.rate);
    begin.tag = 2;
    assert_true(conversation_ask(t.c, &end) && conversation_ask(t.c, &begin));
    const command confirm = {.kind = COMMAND_CONFIRM, .tag = 2};
    assert_true(conversation_ask(t.c, &confirm));
    work_rig_wait(w, &t.ended, 2);
    assert_int_equal(t.refused, 0);
    assert_same(&t, &alone);
    free(alone.samples);
    close_talk(&t);
    work_destroy(&w);
}

static void a_reply_is_cut_to_what_was_heard(void **state) {
    (void)state;
    work *w = start(1);
    talk t;
    open_talk(w, &t, WORK_TALK);
    ask_clip(&t);
    command begin = begin_of(1, RNL_MODE_INTERLEAVED);
    begin.spoken = true;
    assert_true(conversation_ask(t.c, &begin));
    work_rig_wait(w, &t.ended, 1);
    command cut = {.kind = COMMAND_CUT, .tag = 1, .sample_count = t.count / 2};
    assert_true(conversation_ask(t.c, &cut));
    work_rig_wait(w, &t.cuts, 1);
    ask_clip(&t);
    cut.tag = 7;
    assert_true(conversation_ask(t.c, &cut));
    work_rig_wait(w, &t.refused, 1);
    close_talk(&t);
    work_destroy(&w);
}

/* What stands behind a cut was not there before: it is no part of what is cached. */
static void what_was_cut_off_is_not_cached(void **state) {
    (void)state;
    work *w = start(1);
    talk t;
    open_talk(w, &t, WORK_TALK);
    ask_clip(&t);
    command begin = begin_of(1, RNL_MODE_INTERLEAVED);
    begin.spoken = true;
    assert_true(conversation_ask(t.c, &begin));
    work_rig_wait(w, &t.ended, 1);
    const int asked = t.usage.input_text + t.usage.input_audio;
    const command cut = {.kind = COMMAND_CUT, .tag = 1};
    assert_true(conversation_ask(t.c, &cut));
    work_rig_wait(w, &t.cuts, 1);
    ask_clip(&t);
    begin = begin_of(2, RNL_MODE_TEXT);
    assert_true(conversation_ask(t.c, &begin));
    work_rig_wait(w, &t.ended, 2);
    const int cached = t.usage.cached_text + t.usage.cached_audio;
    assert_true(cached >= asked && cached < asked + 8); /* and how a turn is closed */
    assert_true(t.usage.input_text + t.usage.input_audio > cached + 8);
    close_talk(&t);
    work_destroy(&w);
}

/* size 0: all of it. */
static void ask_file(talk *t, const char *path, size_t size) {
    static unsigned char bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t all = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    command file = {.kind = COMMAND_FILE, .tag = 5, .size = size > 0 ? size : all};
    file.bytes = malloc(file.size);
    memcpy(file.bytes, bytes, file.size);
    assert_true(conversation_ask(t->c, &file));
}

/* Whole, cut within its head, and with a hole in its midst, which is told. */
static void a_file_is_written_down(void **state) {
    (void)state;
    static const struct {
        const char *path;
        size_t size;
        api_code code;
        int place_count;
    } rows[] = {{SOURCE_DIR "/samples/questions/light.wav", 0, API_OK, 0},
                {SOURCE_DIR "/samples/questions/light.wav", 20, API_INVALID_AUDIO, 0},
                {TEST_DATA "/audio-cases/hole.mp3", 0, API_OK, 1}};
    work *w = start(1);
    for (int i = 0; i < 3; i++) {
        talk t = {0};
        api_error e;
        const conversation_config c = {.ready = take, .context = &t};
        const rnl_transcript_config transcript = rnl_transcript_config_default(model);
        t.c = conversation_open_transcript(w, &c, &transcript, &e);
        assert_non_null(t.c);
        ask_file(&t, rows[i].path, rows[i].size);
        work_rig_wait(w, &t.ended, 1);
        assert_int_equal(t.tag, 5);
        assert_int_equal(t.error.code, rows[i].code);
        assert_int_equal(t.size > 0, rows[i].code == API_OK);
        assert_int_equal(t.faults.place_count, rows[i].place_count);
        close_talk(&t);
    }
    work_destroy(&w);
}

/* ---- Tools ---- */

static const char tools[] =
    "[{\"type\":\"function\",\"name\":\"now\",\"parameters\":{}},{\"type\":\"function\",\"name\":"
    "\"add\",\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"boolean\"}},"
    "\"required\":[\"a\"]}}]";

/* What a model of random weights calls when it has to: its calls, behind each other. */
static void call_once(work *w, uint64_t seed, const char *function, talk *t) {
    const realtime_wish wish = {.mode = RNL_MODE_TEXT,
                                .position_max = 64,
                                .temperature = 1.5,
                                .choice = function != NULL ? REALTIME_CHOICE_FUNCTION
                                                           : REALTIME_CHOICE_REQUIRED,
                                .function = function};
    command list = {.kind = COMMAND_TOOLS,
                    .json = command_text(tools, sizeof tools - 1),
                    .json_size = sizeof tools - 1};
    command begin;
    api_error e;
    *t = (talk){0};
    const conversation_config c = {.seed = seed, .ready = take, .context = t};
    t->c = conversation_open(w, &c, &e);
    assert_non_null(t->c);
    assert_true(realtime_begin_command(model, 1, &wish, tools, &begin));
    begin.turn.text.top_k = INT32_MAX;
    assert_true(conversation_ask(t->c, &list));
    assert_true(conversation_ask(t->c, &begin));
    work_rig_wait(w, &t->ended, 1);
    assert_int_equal(t->error.code, API_OK);
    close_talk(t);
}

static void only_what_may_be_called_is(void **state) {
    (void)state;
    static const char *const functions[] = {NULL, "now", "add"};
    rnl_model *const minnow = model;
    model = rig_model_fast("tiny");
    work *w = start(1);
    for (int i = 0; i < 3; i++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            talk t;
            call_once(w, seed, functions[i], &t);
            const bool now = strstr(t.text, "\"tool\":\"now\"") != NULL,
                       add = strstr(t.text, "\"tool\":\"add\"") != NULL;
            assert_true(now || add);
            if (functions[i] != NULL) assert_int_equal(now, i == 1);
            if (functions[i] != NULL) assert_int_equal(add, i == 2);
        }
    work_destroy(&w);
    rnl_model_close(&model);
    model = minnow;
}

/* Whatever is under way, closing it is enough. */
static void conversations_are_closed_at_any_time(void **state) {
    (void)state;
    work *w = start(8);
    for (int i = 0; i < 40; i++) {
        talk t;
        open_talk(w, &t, i % 2 == 0 ? WORK_TALK : WORK_IDLE);
        ask_clip(&t);
        command begin = begin_of(1, RNL_MODE_INTERLEAVED);
        begin.spoken = i % 4 == 0;
        assert_true(conversation_ask(t.c, &begin));
        if (i % 3 == 0) work_rig_wait(w, &t.begun, 1);
        if (i % 5 == 0) conversation_cancel(t.c, 1);
        if (i == 39) work_stop(w);
        close_talk(&t);
    }
    work_destroy(&w);
}

static int set_up(void **state) {
    (void)state;
    rnl_error e = {0};
    if (rnl_model_open(MINNOW, NULL, &model, &e) != RNL_OK) return -1;
    if (sound_read(SOURCE_DIR "/samples/questions/light.wav", 30, NULL, &question, &e) != RNL_OK)
        return -1;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    rnl_model_close(&model);
    sound_free(&question);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_conversation_says_what_it_says_alone),
        cmocka_unit_test(times_that_are_kept_are_not_measured),
        cmocka_unit_test(one_more_than_there_may_be_is_told_when_to_come),
        cmocka_unit_test(a_reply_ends_when_it_is_cancelled_and_once),
        cmocka_unit_test(what_cannot_be_done_is_refused_and_the_rest_goes_on),
        cmocka_unit_test(commands_that_do_not_fit_are_asked_later),
        cmocka_unit_test(a_guess_that_is_taken_back_leaves_nothing),
        cmocka_unit_test(a_reply_is_cut_to_what_was_heard),
        cmocka_unit_test(what_was_cut_off_is_not_cached),
        cmocka_unit_test(a_file_is_written_down),
        cmocka_unit_test(only_what_may_be_called_is),
        cmocka_unit_test(conversations_are_closed_at_any_time),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
