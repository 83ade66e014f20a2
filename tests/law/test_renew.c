/* A conversation that begins as the one before goes on from what that left, and no bit of it tells:
 * random conversations, each of which shares a beginning with the one before, against a session
 * that begins each of them with nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "tests/support/levels.h"
#include "tests/support/rig.h"
#include "tests/support/same_state.h"

enum { CLIP = 32000, ACT_CAP = 12, WORDS_CAP = 4096 };

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

/* ---- Conversations ---- */

typedef struct act {
    enum { SAY, CLIP_ADDED, ANSWER, ANSWERED, TAKE_BACK, CUT_SHORT, KIND_COUNT } kind;
    int which; /* of the texts, clips, seeds */
} act;

typedef struct script {
    act acts[ACT_CAP];
    int count;
} script;

static int below(random_state *r, int count) {
    return (int)(random_unit(r) * count);
}

static void grow(script *s, random_state *r, int count) {
    while (s->count < count)
        s->acts[s->count++] = (act){.kind = (int)below(r, KIND_COUNT), .which = below(r, 3)};
}

static void say(rnl_session *s, int which) {
    static const char *const texts[] = {
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen",
        "one two three four five six seven eight and something else",
        "what is this?",
    };
    rig_text(s, RNL_ROLE_USER, texts[which]);
}

static void add_clip(rnl_session *s, int which) {
    static const size_t sizes[] = {8000, 12000, 12000};
    rnl_status status;
    do {
        status = rnl_session_add_audio(s, clip + (which == 2 ? 4000 : 0), sizes[which], RNL_RATE_IN,
                                       &error);
        if (status == RNL_AGAIN) assert_true(rnl_session_step(s, NULL) >= 0);
    } while (status == RNL_AGAIN);
    if (status != RNL_OK) fail_msg("%s", error.text);
}

static void begin(rnl_session *s, int which) {
    const rnl_turn_config turn = {
        .mode = which == 0 ? RNL_MODE_TEXT : RNL_MODE_INTERLEAVED,
        .text = {.temperature = which == 1 ? 0 : 0.9f,
                 .top_k = 20,
                 .top_p = 1,
                 .repeat_penalty = 1.3f},
        .audio = {.temperature = 1.0f, .top_k = 4, .top_p = 1, .repeat_penalty = 1},
        .step_max = 24,
        .text_run = 6,
        .audio_run = 12};
    if (rnl_session_begin(s, &turn, &error) != RNL_OK) fail_msg("%s", error.text);
}

/* What the last answer said, as another client would have it: a text. */
typedef struct words {
    char text[WORDS_CAP];
} words;

static void run_act(rnl_session *s, const act *a, words *said) {
    rig_result r = {0};
    switch (a->kind) {
    case SAY:
        say(s, a->which);
        break;
    case CLIP_ADDED:
        add_clip(s, a->which);
        break;
    case ANSWER:
    case CUT_SHORT:
        begin(s, a->which);
        r = rig_run(s);
        (void)snprintf(said->text, sizeof said->text, "%.4000s", r.text);
        if (a->kind == CUT_SHORT)
            assert_int_equal(rnl_session_rewind(s, r.sample_count / 2, NULL), RNL_OK);
        break;
    case ANSWERED:
        if (said->text[0] != '\0') rig_text(s, RNL_ROLE_ASSISTANT, said->text);
        break;
    case TAKE_BACK: { /* a guess: the conversation goes on as if it had not been */
        while (rnl_session_stage(s) == RNL_STAGE_ENCODE)
            assert_true(rnl_session_step(s, NULL) >= 0);
        assert_int_equal(rnl_session_snapshot(s, 0, NULL), RNL_OK);
        say(s, a->which);
        begin(s, a->which);
        for (int i = 0; i < 9; i++) assert_true(rnl_session_step(s, NULL) >= 0);
        assert_int_equal(rnl_session_restore(s, 0, NULL), RNL_OK);
        break;
    }
    default:
        break;
    }
    rig_free(&r);
}

static void converse(rnl_session *s, const script *what, words *said) {
    rig_text(s, RNL_ROLE_SYSTEM,
             "Respond with interleaved text and audio. Say as little as there is to say, and then "
             "say nothing more.");
    for (int i = 0; i < what->count; i++) run_act(s, &what->acts[i], said);
    begin(s, 2);
}

static rnl_session *keeping(int places) {
    rnl_session_config c = rnl_session_config_default();
    rnl_session *s = NULL;
    c.context_cap = 1024;
    c.clip_seconds_max = 2;
    c.thread_count = 1;
    c.kept_places = places;
    if (rnl_session_create(model, &c, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    return s;
}

/* Returns how many positions were saved. */
static int run_conversations(rnl_session *s, rnl_session *fresh, uint64_t seed, int count) {
    random_state r;
    script what = {0};
    words mine = {{0}}, other = {{0}};
    int saved = 0;
    random_seed(&r, seed);
    for (int i = 0; i < count; i++) {
        what.count = below(&r, what.count + 1);
        grow(&what, &r, 1 + below(&r, 5));
        rnl_session_renew(s, seed + (uint64_t)i);
        rnl_session_renew(fresh, seed + (uint64_t)i);
        converse(s, &what, &mine);
        converse(fresh, &what, &other);
        assert_string_equal(mine.text, other.text);
        rig_result a = rig_run(s), b = rig_run(fresh);
        assert_string_equal(a.text, b.text);
        assert_int_equal(a.sample_count, b.sample_count);
        assert_memory_equal(a.samples, b.samples, a.sample_count * sizeof *a.samples);
        assert_same_state(s, fresh);
        int audio = -1;
        saved += rnl_session_reused_count(s, &audio);
        assert_true(audio >= 0 && audio <= rnl_session_reused_count(s, NULL));
        assert_int_equal(rnl_session_reused_count(fresh, NULL), 0);
        rig_free(&a);
        rig_free(&b);
    }
    return saved;
}

static void no_bit_tells_what_was_before(void **state) {
    (void)state;
    int saved = 0;
    for (int places = 1; places <= 6; places += 5) {
        rnl_session *s = keeping(places), *fresh = keeping(0);
        for (uint64_t seed = 0; seed < (uint64_t)rig_rounds(3); seed++)
            saved += run_conversations(s, fresh, 100 * seed, 7);
        rnl_session_destroy(&s);
        rnl_session_destroy(&fresh);
    }
    assert_true(saved > 500 || getenv("RUNNEL_TEST_SHORT") != NULL);
}

/* There a decision that is told again as content goes through otherwise than it did. */
static void nor_on_a_level_that_rounds(void **state) {
    (void)state;
    const kernels *rounds = NULL;
    (void)find_levels(NULL);
    FOR_LEVELS(k) if (k->quantise_bf16 != NULL && strstr(k->name, "emulated") == NULL) rounds = k;
    if (rounds == NULL) {
        printf("skipped: this machine has no level that rounds\n");
        skip();
    }
    rnl_model *exact = model;
    model = rig_model_fast("gguf/tiny-F16.gguf");
    model->kernels = *rounds;
    rnl_session *s = keeping(6), *fresh = keeping(0);
    fresh->config.step_positions = 7;
    int saved = 0;
    for (uint64_t seed = 0; seed < (uint64_t)rig_rounds(2); seed++)
        saved += run_conversations(s, fresh, 1000 + seed, 8);
    assert_true(saved > 0);
    rnl_session_destroy(&s);
    rnl_session_destroy(&fresh);
    rnl_model_close(&model);
    model = exact;
}

/* ---- What is saved ---- */

/* Steps until the answer begins; returns how many of them encoded. */
static int encode_all(rnl_session *s) {
    int steps = 0;
    while (rnl_session_stage(s) == RNL_STAGE_ENCODE) {
        assert_true(rnl_session_step(s, NULL) >= 0);
        steps++;
    }
    return steps;
}

static void a_clip_that_is_known_is_not_encoded_again(void **state) {
    (void)state;
    rnl_session *s = keeping(4);
    for (int round = 0; round < 3; round++) {
        rnl_session_renew(s, 0);
        say(s, 0);
        add_clip(s, round == 2 ? 2 : 1); /* of the same length, and another */
        assert_int_equal(encode_all(s) > 0, round != 1);
        begin(s, 0);
        rig_result r = rig_run(s);
        rig_free(&r);
        int audio;
        const int saved = rnl_session_reused_count(s, &audio);
        assert_int_equal(audio > 0, round == 1);
        assert_int_equal(saved > audio, round == 1);
    }
    rnl_session_destroy(&s);
}

/* A clip of another session: false where it was encoded here. */
static bool borrow_clip(rnl_session *s, const rnl_session *lender, int which) {
    bool lent = false;
    rnl_session_reset(s);
    if (session_add_audio_of(s, lender, clip + (which == 2 ? 4000 : 0), 12000, RNL_RATE_IN, &lent,
                             &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_int_equal(encode_all(s) > 0, !lent);
    return lent;
}

static void a_clip_is_borrowed_from_a_session_that_has_it(void **state) {
    (void)state;
    rnl_session *lender = keeping(4), *s = keeping(4), *fresh = keeping(4);
    say(lender, 0);
    add_clip(lender, 1);
    assert_false(borrow_clip(s, lender, 1)); /* it is being encoded there */
    assert_true(encode_all(lender) > 0);
    assert_false(borrow_clip(s, lender, 2)); /* another, of the same length */
    begin(lender, 1);
    rig_result r = rig_run(lender);
    rig_free(&r);
    for (int round = 0; round < 2; round++) {
        assert_true(borrow_clip(s, lender, 1));
        rnl_session_reset(fresh);
        add_clip(fresh, 1);
        begin(s, 2);
        begin(fresh, 2);
        rig_result a = rig_run(s), b = rig_run(fresh);
        assert_string_equal(a.text, b.text);
        assert_int_equal(a.sample_count, b.sample_count);
        assert_memory_equal(a.samples, b.samples, a.sample_count * sizeof *a.samples);
        assert_same_state(s, fresh);
        rig_free(&a);
        rig_free(&b);
        rnl_session_renew(lender, 0); /* what it had is set aside */
        say(lender, 1);
    }
    rnl_session_reset(lender);
    assert_false(borrow_clip(s, lender, 1));
    rnl_session_destroy(&lender);
    rnl_session_destroy(&s);
    rnl_session_destroy(&fresh);
}

static void the_same_question_goes_through_but_for_its_end(void **state) {
    (void)state;
    rnl_session *s = keeping(4);
    int count = 0;
    for (int round = 0; round < 2; round++) {
        rnl_session_renew(s, (uint64_t)round);
        say(s, 0);
        begin(s, 0);
        count = rnl_session_position_count(s);
        if (round == 1) {
            assert_true(count - rnl_session_reused_count(s, NULL) <= 8);
            assert_int_equal(s->live->backbone.position, rnl_session_reused_count(s, NULL));
        }
        rig_result r = rig_run(s);
        rig_free(&r);
    }
    rnl_session_reset(s); /* remembers nothing */
    say(s, 0);
    begin(s, 0);
    assert_int_equal(rnl_session_reused_count(s, NULL), 0);
    assert_int_equal(s->live->backbone.position, 0);
    rnl_session_destroy(&s);
}

/* Only the beginning that is kept is the same, however many came between. */
static void the_system_prompt_is_kept(void **state) {
    (void)state;
    rnl_session *s = keeping(4);
    for (int round = 0; round < 4; round++) {
        rnl_session_renew(s, 0);
        rig_text(s, RNL_ROLE_SYSTEM, "one two three four five six seven eight nine ten eleven");
        const int system = rnl_session_position_count(s);
        say(s, round % 3);
        begin(s, 0);
        rig_result r = rig_run(s);
        rig_free(&r);
        if (round > 0) assert_true(rnl_session_reused_count(s, NULL) >= system);
    }
    rnl_session_destroy(&s);
}

/* ---- What comes again elsewhere ---- */

static void answer_as(rnl_session *s, int64_t name) {
    begin(s, 2);
    session_name_reply(s, name);
    rig_result r = rig_run(s);
    rig_free(&r);
}

static int add_again(rnl_session *s, int64_t name, bool wanted) {
    bool found;
    int audio;
    assert_int_equal(session_add_again(s, name, &found, &audio, &error), RNL_OK);
    assert_int_equal(found, wanted);
    return audio;
}

static void a_reply_that_is_added_again_stands_as_it_stood(void **state) {
    (void)state;
    rnl_session *s = keeping(4), *other = keeping(0);
    for (int i = 0; i < 2; i++) {
        rnl_session *one = i == 0 ? s : other;
        say(one, 0);
        answer_as(one, 5);
        say(one, 1);
        answer_as(one, 6);
        say(one, 2);
    }
    assert_same_state(s, other);
    const int count = rnl_session_position_count(s);
    rnl_session_renew(s, 0);
    say(s, 0);
    assert_true(add_again(s, 5, true) > 0);
    say(s, 1);
    assert_true(add_again(s, 6, true) > 0);
    say(s, 2);
    assert_int_equal(rnl_session_position_count(s), count);
    assert_true(rnl_session_reused_count(s, NULL) > count / 2);
    other->live->random = s->live->random; /* of the sampler, which began anew */
    other->live->emitted_count = s->live->emitted_count;
    assert_same_state(s, other);
    rnl_session_destroy(&s);
    rnl_session_destroy(&other);
}

/* The words of the system are others, and longer; and a turn is gone. */
static void a_reply_moves_with_what_it_stands_in(void **state) {
    (void)state;
    rnl_session *s = keeping(4);
    say(s, 0);
    answer_as(s, 5);
    add_clip(s, 1);
    answer_as(s, 6);
    rnl_reply reply;
    rnl_session_get_reply(s, &reply);
    const size_t width = (size_t)model->backbone.stack.config.width;
    const size_t count = reply.position_count;
    float *kept = malloc(count * width * sizeof *kept);
    const size_t first = (size_t)s->live->reply_begin;
    memcpy(kept, s->embeddings + first * width, count * width * sizeof *kept);
    for (int round = 0; round < 3; round++) {
        rnl_session_renew(s, 0);
        if (round != 1)
            rig_text(s, RNL_ROLE_SYSTEM, "one two three four five six seven eight nine ten");
        if (round == 2) say(s, 2);
        add_clip(s, 1);
        assert_int_equal(rnl_session_stage(s) == RNL_STAGE_ENCODE, false);
        (void)add_again(s, 7, false); /* there is none of that name */
        assert_int_equal(add_again(s, 6, true), reply.frame_count);
        const size_t end = (size_t)rnl_session_position_count(s);
        assert_memory_equal(kept, s->embeddings + (end - count) * width,
                            count * width * sizeof *kept);
        if (round == 0) (void)add_again(s, 5, true); /* whatever its place */
        say(s, 1);
        begin(s, 2);
        rig_result r = rig_run(s);
        rig_free(&r);
    }
    (void)add_again(s, 5, false); /* it was not in the conversation before this */
    free(kept);
    rnl_session_destroy(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_bit_tells_what_was_before),
        cmocka_unit_test(nor_on_a_level_that_rounds),
        cmocka_unit_test(a_clip_that_is_known_is_not_encoded_again),
        cmocka_unit_test(a_clip_is_borrowed_from_a_session_that_has_it),
        cmocka_unit_test(the_same_question_goes_through_but_for_its_end),
        cmocka_unit_test(the_system_prompt_is_kept),
        cmocka_unit_test(a_reply_that_is_added_again_stands_as_it_stood),
        cmocka_unit_test(a_reply_moves_with_what_it_stands_in),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
