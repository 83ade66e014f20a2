/* Guessed ends and interruptions, on the tiny checkpoint: a clip that goes on after a guess, and a
 * reply that is cut back to what was heard, leave no trace in any bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "engine/session.h"
#include "tests/support/levels.h"
#include "tests/support/rig.h"
#include "tests/support/same_state.h"

enum { STEPS = 80, FRAME = 1920, CLIP = 32000 };

static rnl_model *model;
static float *clip;
static rnl_error error;

static int setup(void **state) {
    (void)state;
    model = rig_model("tiny");
    clip = rig_wav("audio/question.wav", 0, CLIP);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(clip);
    rnl_model_close(&model);
    return 0;
}

static void begin(rnl_session *s, bool greedy, int step_max) {
    const rnl_turn_config turn = {
        .mode = RNL_MODE_INTERLEAVED,
        .text = {.temperature = greedy ? 0 : 0.9f, .top_k = 20, .top_p = 1, .repeat_penalty = 1.3f},
        .audio = {.temperature = 1.0f, .top_k = 4, .top_p = 1, .repeat_penalty = 1},
        .step_max = step_max,
        .text_run = 6,
        .audio_run = 12};
    if (rnl_session_begin(s, &turn, &error) != RNL_OK) fail_msg("%s", error.text);
}

static void assert_same(const rig_result *a, const rig_result *b) {
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->sample_count, b->sample_count);
    assert_memory_equal(a->samples, b->samples, a->sample_count * sizeof *a->samples);
}

/* ---- A clip that goes on ---- */

static rig_result answer_whole(rnl_session *s, size_t count) {
    rnl_session_reset(s);
    assert_int_equal(rnl_session_push_audio(s, clip, count, RNL_RATE_IN, NULL), RNL_OK);
    begin(s, false, STEPS);
    return rig_run(s);
}

/* Guesses the end at random moments, works on for a while, takes it back. */
static void push_with_guesses(rnl_session *s, random_state *r, size_t count) {
    for (size_t at = 0; at < count;) {
        size_t piece = (size_t)(random_unit(r) * 6000);
        if (piece > count - at) piece = count - at;
        assert_int_equal(rnl_session_push_audio(s, clip + at, piece, RNL_RATE_IN, NULL), RNL_OK);
        at += piece;
        if (at < 400 || random_unit(r) < 0.3) continue;
        assert_int_equal(rnl_session_snapshot(s, 0, NULL), RNL_OK);
        begin(s, false, STEPS);
        for (int i = (int)(random_unit(r) * 50); i > 0; i--)
            assert_true(rnl_session_step(s, NULL) >= 0);
        assert_int_equal(rnl_session_restore(s, 0, NULL), RNL_OK);
    }
}

static void a_clip_goes_on_after_a_guess(void **state) {
    (void)state;
    rnl_session *s = rig_session(model, 1);
    for (uint64_t seed = 0; seed < (uint64_t)rig_rounds(12); seed++) {
        random_state r;
        random_seed(&r, seed);
        const size_t count = 2000 + (size_t)(random_unit(&r) * (CLIP - 2000));
        rig_result whole = answer_whole(s, count);
        rnl_session_reset(s);
        push_with_guesses(s, &r, count);
        begin(s, false, STEPS);
        rig_result guessed = rig_run(s);
        assert_same(&whole, &guessed);
        rig_free(&whole);
        rig_free(&guessed);
    }
    rnl_session_destroy(&s);
}

static void a_guess_belongs_to_its_clip(void **state) {
    (void)state;
    rnl_session *s = rig_session(model, 1);
    assert_int_equal(rnl_session_push_audio(s, clip, 4000, RNL_RATE_IN, NULL), RNL_OK);
    assert_int_equal(rnl_session_snapshot(s, 0, NULL), RNL_OK);
    assert_int_equal(rnl_session_push_audio(s, clip, 4000, RNL_RATE_IN, NULL), RNL_OK);
    assert_int_equal(rnl_session_snapshot(s, 1, NULL), RNL_OK);
    assert_int_equal(rnl_session_restore(s, 0, NULL), RNL_OK);
    assert_int_equal(rnl_session_restore(s, 1, &error), RNL_ERR_STATE); /* a later state */
    rnl_session_cancel_audio(s);
    assert_int_equal(rnl_session_restore(s, 0, NULL), RNL_OK); /* the clip still lies there */
    rnl_session_cancel_audio(s);
    assert_int_equal(rnl_session_push_audio(s, clip, 400, 8000, NULL), RNL_OK);
    assert_int_equal(rnl_session_restore(s, 0, &error), RNL_ERR_STATE); /* another clip */
    assert_int_equal(rnl_session_snapshot(s, 0, &error), RNL_ERR_STATE);
    assert_non_null(strstr(error.text, "8000"));
    rnl_session_destroy(&s);
}

/* ---- An interruption ---- */

static void ask(rnl_session *s, bool greedy) {
    rnl_session_reset(s);
    rig_text(s, RNL_ROLE_SYSTEM, "Respond with interleaved text and audio.");
    assert_int_equal(rnl_session_add_audio(s, clip, 16000, RNL_RATE_IN, NULL), RNL_OK);
    begin(s, greedy, STEPS);
}

static void drain(rnl_session *s) {
    char text[256];
    float samples[FRAME];
    size_t got;
    while (rnl_session_pull_text(s, text, sizeof text, &got) == RNL_OK) continue;
    while (rnl_session_pull_samples(s, samples, FRAME, &got) == RNL_OK) continue;
}

static int audible_frames(const rnl_session *s) {
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    int count = 0;
    for (size_t i = 0; i < reply.frame_count; i++) {
        bool whole = true;
        for (int k = 0; k < 8; k++) whole = whole && reply.frames[8 * i + (size_t)k] < 2048;
        count += whole;
    }
    return count;
}

/* What the reply must have become: the same conversation, stopped right after that frame. */
static void stop_after(rnl_session *s, bool greedy, int frames) {
    ask(s, greedy);
    if (frames > 0) do {
            assert_int_equal(rnl_session_step(s, NULL), RNL_OK);
            drain(s);
        } while (audible_frames(s) < frames);
    rnl_session_stop(s);
    drain(s);
}

static void check_rewind(rnl_session *s, rnl_session *other, bool greedy, int steps,
                         size_t played) {
    ask(s, greedy);
    rnl_status status = RNL_OK;
    for (int i = 0; i < steps && status != RNL_DONE; i++) {
        status = rnl_session_step(s, NULL);
        assert_true(status >= 0);
        drain(s);
    }
    const int made = audible_frames(s);
    if (played > (size_t)made * FRAME) played = (size_t)made * FRAME;
    const int frames = (int)((played + FRAME - 1) / FRAME);
    if (status == RNL_DONE && played == (size_t)made * FRAME) return; /* played to its end */
    assert_int_equal(rnl_session_rewind(s, played, &error), RNL_OK);
    stop_after(other, greedy, frames);
    rnl_reply a, b;
    rnl_session_get_reply(s, &a);
    rnl_session_get_reply(other, &b);
    assert_int_equal(a.finish, RNL_FINISH_STOPPED);
    assert_int_equal(a.position_count, b.position_count);
    assert_memory_equal(a.modality, b.modality, a.position_count);
    assert_memory_equal(a.text_ids, b.text_ids, a.text_count * sizeof *a.text_ids);
    assert_memory_equal(a.frames, b.frames, a.frame_count * 8 * sizeof *a.frames);
    assert_same_state(s, other);
    rig_text(s, RNL_ROLE_USER, "one two three");
    rig_text(other, RNL_ROLE_USER, "one two three");
    begin(s, greedy, 30);
    begin(other, greedy, 30);
    rig_result x = rig_run(s), y = rig_run(other);
    assert_same(&x, &y);
    rig_free(&x);
    rig_free(&y);
}

static void a_rewound_reply_equals_one_that_stopped_there(void **state) {
    (void)state;
    rnl_session *s = rig_session(model, 2), *other = rig_session(model, 1);
    random_state r;
    random_seed(&r, 7);
    for (int round = 0; round < rig_rounds(40); round++) {
        const int steps = (int)(random_unit(&r) * (STEPS + 20));
        const size_t played = (size_t)(random_unit(&r) * random_unit(&r) * 50 * FRAME);
        check_rewind(s, other, round % 3 == 0, steps, played);
    }
    check_rewind(s, other, false, 0, 0);          /* not yet encoded */
    check_rewind(s, other, false, STEPS + 20, 0); /* all done, nothing heard */
    check_rewind(s, other, false, STEPS, FRAME);  /* exactly one frame: the second not begun */
    check_rewind(s, other, false, STEPS, FRAME + 1);
    rnl_session_destroy(&s);
    rnl_session_destroy(&other);
}

/* Nor does it matter on levels that round what is prefilled, in steps of any length. */
static void a_level_that_rounds_keeps_the_law(void **state) {
    (void)state;
    const kernels *tiles = NULL;
    (void)find_levels(NULL);
    FOR_LEVELS(k) if (k->multiply_tiles[QUANT_Q4_0] != NULL) tiles = k;
    if (tiles == NULL) {
        printf("skipped: no tiles and no AVX2 to emulate them\n");
        skip();
    }
    rnl_model *exact = model;
    model = rig_model_fast("gguf/tiny-Q4_0.gguf");
    model->kernels = *tiles;
    rnl_session *s = rig_session(model, 2), *other = rig_session(model, 1);
    other->config.step_positions = 7;
    random_state r;
    random_seed(&r, 8);
    for (int round = 0; round < rig_rounds(8); round++) {
        const int steps = (int)(random_unit(&r) * (STEPS + 20));
        const size_t played = (size_t)(random_unit(&r) * random_unit(&r) * 50 * FRAME);
        check_rewind(s, other, round % 3 == 0, steps, played);
    }
    rnl_session_destroy(&s);
    rnl_session_destroy(&other);
    rnl_model_close(&model);
    model = exact;
}

static void without_marks_the_history_is_read_again(void **state) {
    (void)state;
    rnl_session *s = rig_session(model, 1), *other = rig_session(model, 1);
    ask(s, false);
    for (int i = 0; i < 60; i++) {
        assert_true(rnl_session_step(s, NULL) >= 0);
        drain(s);
    }
    session_forget_marks(s, -1);
    assert_int_equal(rnl_session_rewind(s, 3 * FRAME, NULL), RNL_OK);
    assert_int_equal(s->live->backbone.position, 0);
    stop_after(other, false, 3);
    assert_same_state(s, other);
    rnl_session_destroy(&s);
    rnl_session_destroy(&other);
}

static void a_replay_is_short(void **state) {
    (void)state;
    rnl_session *s = rig_session(model, 1);
    ask(s, false);
    while (audible_frames(s) < 40) {
        assert_int_equal(rnl_session_step(s, NULL), RNL_OK);
        drain(s);
    }
    assert_int_equal(rnl_session_rewind(s, 30 * FRAME, NULL), RNL_OK);
    const int waiting = s->live->position_count - (int)s->live->backbone.position;
    assert_true(waiting <= SESSION_MARK_STRIDE + SESSION_CLOSE_CAP);
    rnl_session_destroy(&s);
}

static void only_the_last_reply_is_rewound(void **state) {
    (void)state;
    rnl_session *s = rig_session(model, 1);
    assert_int_equal(rnl_session_rewind(s, 0, &error), RNL_ERR_STATE);
    ask(s, true);
    rig_result r = rig_run(s);
    const int before = rnl_session_position_count(s);
    assert_int_equal(rnl_session_rewind(s, r.sample_count, NULL), RNL_OK);
    assert_int_equal(rnl_session_position_count(s), before); /* heard to its end */
    assert_int_equal(rnl_session_rewind(s, r.sample_count / 2, NULL), RNL_OK);
    assert_true(rnl_session_position_count(s) < before);
    rig_text(s, RNL_ROLE_USER, "more");
    assert_int_equal(rnl_session_rewind(s, 0, &error), RNL_ERR_STATE);
    assert_non_null(strstr(error.text, "before anything else"));
    rig_free(&r);
    rnl_session_destroy(&s);
}

static void room_is_made_ahead(void **state) {
    (void)state;
    rnl_session_config c = rnl_session_config_default();
    c.context_cap = 128;
    c.thread_count = 1;
    c.clip_seconds_max = 2;
    for (int drop = 0; drop < 2; drop++) {
        rnl_session *s = NULL;
        c.drop_oldest_turns = drop;
        assert_int_equal(rnl_session_create(model, &c, &s, &error), RNL_OK);
        for (int turn = 0; turn < 3; turn++) {
            rig_text(s, RNL_ROLE_USER, "one two three four");
            rig_begin(s, RNL_MODE_TEXT, 10);
            rig_result r = rig_run(s);
            rig_free(&r);
        }
        const int before = rnl_session_position_count(s);
        assert_int_equal(rnl_session_reserve(s, 0, NULL), RNL_OK);
        assert_int_equal(rnl_session_position_count(s), before);
        const rnl_status status = rnl_session_reserve(s, 128 - before + 8, &error);
        assert_int_equal(status, drop ? RNL_OK : RNL_ERR_CONTEXT_FULL);
        assert_true((rnl_session_position_count(s) < before) == (drop == 1));
        assert_int_equal(rnl_session_reserve(s, -1, &error), RNL_ERR_ARGUMENT);
        rnl_session_destroy(&s);
    }
}

/* ---- Which words ---- */

static void heard_words_grow_with_the_sound(void **state) {
    (void)state;
    rnl_model *minnow = rig_model(SOURCE_DIR "/samples/minnow/minnow.gguf");
    rnl_session *s = rig_session(minnow, 2);
    const char *path = SOURCE_DIR "/samples/questions/light.wav";
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    int16_t pcm[24000];
    assert_int_equal(fseek(f, 44, SEEK_SET), 0);
    const size_t count = fread(pcm, 2, 24000, f);
    fclose(f);
    float samples[24000];
    for (size_t i = 0; i < count; i++) samples[i] = (float)pcm[i] / 32768.0f;
    assert_int_equal(rnl_session_add_audio(s, samples, count, 16000, NULL), RNL_OK);
    rig_begin(s, RNL_MODE_INTERLEAVED, 200);
    rig_result r = rig_run(s);
    assert_string_equal(r.text, "The kitchen light is on.");
    char text[64];
    size_t size, last = 0;
    assert_int_equal(rnl_session_heard_text(s, 0, text, sizeof text, &size), RNL_AGAIN);
    for (size_t played = 0; played <= r.sample_count; played += 480) {
        const rnl_status status = rnl_session_heard_text(s, played, text, sizeof text, &size);
        assert_int_equal(status == RNL_OK, size > 0);
        assert_true(size >= last && memcmp(text, r.text, size) == 0);
        assert_true(size == 0 || r.text[size] == ' ' || r.text[size] == '\0');
        last = size;
    }
    assert_int_equal(last, strlen(r.text));
    /* Half of the sound is about half of the words. */
    assert_int_equal(rnl_session_heard_text(s, r.sample_count / 2, text, 64, &size), RNL_OK);
    assert_true(size == strlen("The kitchen") || size == strlen("The kitchen light"));
    rig_free(&r);
    rnl_session_destroy(&s);
    rnl_model_close(&minnow);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clip_goes_on_after_a_guess),
        cmocka_unit_test(a_guess_belongs_to_its_clip),
        cmocka_unit_test(a_rewound_reply_equals_one_that_stopped_there),
        cmocka_unit_test(a_level_that_rounds_keeps_the_law),
        cmocka_unit_test(without_marks_the_history_is_read_again),
        cmocka_unit_test(a_replay_is_short),
        cmocka_unit_test(only_the_last_reply_is_rewound),
        cmocka_unit_test(room_is_made_ahead),
        cmocka_unit_test(heard_words_grow_with_the_sound),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
