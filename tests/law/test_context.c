/* The law of a full context that may drop its oldest turns: what fits a conversation that has just
 * begun never says RNL_ERR_CONTEXT_FULL, and what stays is a conversation. Random contexts, random
 * call orders; a second session that is told only what must stay says what fits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "engine/session.h"
#include "tests/support/rig.h"

enum { CALL_CAP = 64, CLIP_CAP = 16000 };

static rnl_model *model;
static float clip[CLIP_CAP];

static int setup(void **state) {
    (void)state;
    model = rig_model("tiny");
    for (int i = 0; i < CLIP_CAP; i++) clip[i] = 0.1f * sinf(0.05f * (float)i);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rnl_model_close(&model);
    return 0;
}

/* One call that adds something, or reserves room for it. */
typedef enum call_kind { CALL_USER, CALL_ASSISTANT, CALL_CLIP, CALL_BEGIN, CALL_RESERVE } call_kind;

typedef struct call {
    call_kind kind;
    size_t size; /* bytes, samples or positions */
} call;

/* What must stay: the system prompt and the exchange under way. */
typedef struct told {
    const char *system; /* or NULL */
    call calls[CALL_CAP];
    int count;
} told;

static size_t below(random_state *r, size_t n) {
    return (size_t)(random_unit(r) * (double)n);
}

static rnl_session *open_session(int context_cap, bool drop) {
    rnl_session_config c = rnl_session_config_default();
    c.context_cap = context_cap;
    c.thread_count = 1;
    c.clip_seconds_max = 2;
    c.drop_oldest_turns = drop;
    rnl_session *s = NULL;
    assert_int_equal(rnl_session_create(model, &c, &s, NULL), RNL_OK);
    return s;
}

static rnl_status make(rnl_session *s, call c, rnl_error *error) {
    char text[512];
    memset(text, 'a', sizeof text);
    for (size_t i = 3; i < sizeof text; i += 4) text[i] = ' ';
    rnl_turn_config turn = rnl_turn_config_default(model, RNL_MODE_TEXT);
    turn.step_max = 1 + (int)c.size % 12;
    rnl_status status;
    switch (c.kind) {
    case CALL_USER:
        return rnl_session_add_text(s, RNL_ROLE_USER, text, c.size, error);
    case CALL_ASSISTANT:
        return rnl_session_add_text(s, RNL_ROLE_ASSISTANT, text, c.size, error);
    case CALL_CLIP:
        while ((status = rnl_session_add_audio(s, clip, c.size, 16000, error)) == RNL_AGAIN)
            assert_int_equal(rnl_session_step(s, NULL), RNL_OK);
        return status;
    case CALL_BEGIN:
        return rnl_session_begin(s, &turn, error);
    case CALL_RESERVE:
        return rnl_session_reserve(s, (int)c.size, error);
    }
    return RNL_ERR_ARGUMENT;
}

static bool add_system(rnl_session *s, const char *system) {
    return system == NULL ||
           rnl_session_add_text(s, RNL_ROLE_SYSTEM, system, strlen(system), NULL) == RNL_OK;
}

/* What a conversation that has just begun says to the last of the calls. */
static rnl_status say_fresh(rnl_session *fresh, const told *t, call last) {
    rnl_session_reset(fresh);
    if (!add_system(fresh, t->system)) return RNL_ERR_CONTEXT_FULL;
    for (int i = 0; i < t->count; i++) assert_int_equal(make(fresh, t->calls[i], NULL), RNL_OK);
    return make(fresh, last, NULL);
}

static bool is_token(rnl_session *s, int position, int32_t id) {
    const size_t width = (size_t)backbone_width(&model->backbone);
    float row[1024];
    assert_true(width <= sizeof row / sizeof *row);
    if (position < 0 || position >= s->live->position_count) return false;
    backbone_embed_text(&model->backbone, &s->pass->compute, id, row);
    return memcmp(row, s->embeddings + (size_t)position * width, width * sizeof *row) == 0;
}

static bool is_header(rnl_session *s, int position, const char *role) {
    int32_t ids[16];
    size_t count = 0;
    assert_int_equal(bpe_encode(model->source.text, &s->pass->bpe, role, strlen(role), true, ids,
                                16, &count, NULL),
                     RNL_OK);
    for (size_t i = 0; i < count; i++)
        if (!is_token(s, position + (int)i, ids[i])) return false;
    return true;
}

/* <|startoftext|>, then messages, each closed before the next begins; no answer stands where its
 * question was. */
static void assert_well_formed(rnl_session *s, const char *system) {
    const chat_ids *ids = &model->ids;
    if (s->live->position_count == 0) return;
    assert_true(is_token(s, 0, ids->begin));
    int headers = 0;
    for (int i = 1; i < s->live->position_count; i++) {
        const bool is_row = s->encoding && i >= s->encode_at && i < s->encode_at + s->encode_count;
        if (is_row || !is_token(s, i, ids->message_start)) continue; /* rows to be filled yet */
        if (headers++ > 0) assert_true(is_token(s, i - 2, ids->message_end));
        if (headers == 1 && system != NULL) assert_true(is_header(s, i, "<|im_start|>system\n"));
        if (headers == 1 + (system != NULL) && s->live->exchange_count > 0)
            assert_int_equal(s->exchanges[0], i);
    }
}

static void run_reply(rnl_session *s, random_state *r) {
    char text[256];
    size_t got;
    const size_t most = below(r, 20);
    rnl_status status = RNL_OK;
    for (size_t i = 0; status != RNL_DONE; i++) {
        status = rnl_session_step(s, NULL);
        assert_true(status >= 0);
        while (rnl_session_pull_text(s, text, sizeof text, &got) == RNL_OK) continue;
        if (i == most) rnl_session_stop(s);
    }
}

static call random_call(random_state *r) {
    switch (below(r, 8)) {
    case 0:
        return (call){CALL_ASSISTANT, 1 + below(r, 200)};
    case 1:
        return (call){CALL_RESERVE, below(r, 150)};
    case 2:
    case 3:
        return (call){CALL_CLIP, 2000 + below(r, CLIP_CAP - 2000)};
    case 4:
    case 5:
        return (call){CALL_BEGIN, below(r, 100)};
    default:
        return (call){CALL_USER, 1 + below(r, 200)};
    }
}

/* One conversation. Returns how often something was dropped. */
static int converse(uint64_t seed) {
    random_state r;
    random_seed(&r, seed);
    const int context_cap = 80 + (int)below(&r, 200);
    rnl_session *s = open_session(context_cap, true), *fresh = open_session(context_cap, false);
    told t = {.system = below(&r, 3) > 0 ? "You are a kiosk." : NULL};
    assert_true(add_system(s, t.system));
    int drops = 0;
    for (int k = 0; k < 60; k++) {
        const call c = random_call(&r);
        const bool asks = c.kind == CALL_USER || c.kind == CALL_CLIP;
        told stays = t;
        if (asks && t.count > 0 && t.calls[t.count - 1].kind == CALL_ASSISTANT) stays.count = 0;
        const int before = rnl_session_position_count(s);
        const rnl_status expected = say_fresh(fresh, &stays, c);
        rnl_error error = {0};
        const rnl_status status = make(s, c, &error);
        if (status != expected && (expected == RNL_OK || t.system != NULL))
            fail_msg("seed %llu call %d: kind %d size %zu: %s, fresh %s; %s",
                     (unsigned long long)seed, k, (int)c.kind, c.size, rnl_status_name(status),
                     rnl_status_name(expected), error.text);
        drops += rnl_session_position_count(s) < before;
        assert_well_formed(s, t.system);
        if (status != RNL_OK) {
            assert_int_equal(status, RNL_ERR_CONTEXT_FULL);
            assert_int_equal(rnl_session_position_count(s), before);
            if (below(&r, 2) == 0) continue;
            rnl_session_reset(s); /* what a caller would do */
            t.count = 0;
            assert_true(add_system(s, t.system));
        } else if (c.kind == CALL_BEGIN) {
            run_reply(s, &r);
            t.count = 0;
        } else if (c.kind != CALL_RESERVE) {
            assert_true(stays.count < CALL_CAP);
            t = stays;
            t.calls[t.count++] = c;
        }
        if (below(&r, 3) == 0 && rnl_session_stage(s) != RNL_STAGE_IDLE)
            assert_true(rnl_session_step(s, NULL) >= 0);
    }
    rnl_session_destroy(&s);
    rnl_session_destroy(&fresh);
    return drops;
}

static void what_fits_an_empty_session_always_fits(void **state) {
    (void)state;
    int drops = 0;
    const uint64_t rounds = (uint64_t)rig_rounds(40);
    for (uint64_t seed = 1; seed <= rounds; seed++) drops += converse(seed);
    assert_true(drops > (int)rounds);
}

/* begin right behind a clip, while the clip is still to be encoded, over contexts that leave room
 * for the clip and not for the header of the answer. */
static void a_reply_may_begin_before_its_clip_is_encoded(void **state) {
    (void)state;
    random_state r;
    random_seed(&r, 1);
    int drops = 0;
    for (int cap = 100; cap < 130; cap++) {
        rnl_session *s = open_session(cap, true);
        assert_true(add_system(s, "You are a kiosk."));
        for (int k = 0; k < 12; k++) {
            const int before = rnl_session_position_count(s);
            const call question = {CALL_CLIP, 8000 + 1000 * (size_t)(k % 7)};
            rnl_error error = {0};
            if (make(s, question, &error) != RNL_OK) fail_msg("clip: %s", error.text);
            if (make(s, (call){CALL_BEGIN, 11}, &error) != RNL_OK)
                fail_msg("context %d, turn %d: %s", cap, k, error.text);
            drops += rnl_session_position_count(s) < before + 5;
            run_reply(s, &r);
            assert_well_formed(s, "You are a kiosk.");
        }
        rnl_session_destroy(&s);
    }
    assert_true(drops > 0);
}

/* The rows of a clip that moves while it is encoded are those it has where it was told first. */
static void a_clip_that_moves_has_the_same_rows(void **state) {
    (void)state;
    const size_t width = (size_t)backbone_width(&model->backbone) * sizeof(float);
    const call question = {CALL_CLIP, 12000};
    int cap = 512, moved = 0;
    rnl_session *s = NULL, *fresh = open_session(512, false);
    for (int k = 0; k < 2; k++) { /* first to see where the clip ends, then with a cap there */
        rnl_session_destroy(&s);
        s = open_session(cap, true);
        assert_int_equal(make(s, (call){CALL_USER, 40}, NULL), RNL_OK);
        assert_int_equal(make(s, (call){CALL_BEGIN, 11}, NULL), RNL_OK);
        while (rnl_session_step(s, NULL) != RNL_DONE) continue;
        assert_int_equal(make(s, question, NULL), RNL_OK);
        cap = rnl_session_position_count(s) + SESSION_CLOSE_CAP;
    }
    assert_int_equal(make(fresh, question, NULL), RNL_OK);
    for (rnl_session *at = s; at != NULL; at = at == s ? fresh : NULL) {
        assert_int_equal(rnl_session_step(at, NULL), RNL_OK);
        assert_int_equal(rnl_session_stage(at), RNL_STAGE_ENCODE);
        const int before = rnl_session_position_count(at);
        assert_int_equal(make(at, (call){CALL_BEGIN, 0}, NULL), RNL_OK);
        moved += rnl_session_position_count(at) < before;
        while (rnl_session_stage(at) == RNL_STAGE_ENCODE)
            assert_int_equal(rnl_session_step(at, NULL), RNL_OK);
    }
    assert_int_equal(moved, 1);
    assert_int_equal(rnl_session_position_count(s), rnl_session_position_count(fresh));
    assert_memory_equal(s->embeddings, fresh->embeddings,
                        (size_t)rnl_session_position_count(s) * width);
    rnl_session_destroy(&s);
    rnl_session_destroy(&fresh);
}

/* Without a system prompt the first question can go, and no answer stays without its question. */
static void the_first_question_goes_with_its_answer(void **state) {
    (void)state;
    rnl_session *s = open_session(128, true);
    random_state r;
    random_seed(&r, 1);
    for (int k = 0; k < 20; k++) {
        assert_int_equal(make(s, (call){CALL_USER, 30}, NULL), RNL_OK);
        assert_int_equal(make(s, (call){CALL_BEGIN, 11}, NULL), RNL_OK);
        run_reply(s, &r);
        assert_true(is_token(s, 0, model->ids.begin));
        assert_true(is_header(s, 1, "<|im_start|>user\n"));
        for (int i = 0; i < s->live->exchange_count; i++)
            assert_true(is_header(s, s->exchanges[i], "<|im_start|>user\n"));
    }
    /* A question that needs all the room there is: nothing of the old talk stays. */
    size_t size = 500;
    while (make(s, (call){CALL_USER, size}, NULL) == RNL_ERR_CONTEXT_FULL) size--;
    assert_true(size > 50);
    assert_int_equal(s->live->exchange_count, 1);
    assert_true(is_header(s, 1, "<|im_start|>user\n"));
    rnl_session_destroy(&s);
}

/* Positions behind the system prompt after questions and answers, the fewest since it was first
 * full, and how often something went. */
static int fewest(session_dropping dropping, int turns, int *drops, int *most) {
    rnl_session *s = open_session(400, true);
    random_state r;
    random_seed(&r, 7);
    int least = 1000;
    session_set_dropping(s, &dropping);
    assert_true(add_system(s, "You are a kiosk."));
    *drops = *most = 0;
    for (int k = 0; k < turns; k++) {
        const int before = rnl_session_position_count(s);
        assert_int_equal(make(s, (call){CALL_USER, 40}, NULL), RNL_OK);
        assert_well_formed(s, "You are a kiosk.");
        const int behind = rnl_session_position_count(s) - s->exchanges[0];
        if (behind > *most) *most = behind;
        if (rnl_session_position_count(s) < before) {
            (*drops)++;
            if (behind < least) least = behind;
        }
        assert_int_equal(make(s, (call){CALL_BEGIN, 11}, NULL), RNL_OK);
        run_reply(s, &r);
    }
    rnl_session_destroy(&s);
    return least;
}

static void so_much_stays_as_is_to_be_kept(void **state) {
    (void)state;
    int often, seldom, most, some;
    const int all = fewest((session_dropping){.drops = true, .retention = 1}, 40, &often, &most);
    const int half =
        fewest((session_dropping){.drops = true, .retention = 0.5}, 40, &seldom, &some);
    assert_true(often > 2 * seldom && seldom > 0); /* more at a time, so less often */
    assert_true(all > 300 && all <= 400 && most > 300);
    assert_in_range(half, 400 * 5 / 10 - 90, 400 * 5 / 10);
    /* It is full before the context is. */
    const session_dropping early = {.drops = true, .retention = 0.5, .position_max = 160};
    const int less = fewest(early, 20, &often, &most);
    assert_true(most <= 160 && often > 0);
    assert_in_range(less, 10, 80);
    /* Nothing of old talk. */
    assert_in_range(fewest((session_dropping){.drops = true}, 40, &often, &most), 10, 60);
    /* A question longer than that is taken all the same, alone; of what goes nothing is refused. */
    rnl_session *s = open_session(400, true);
    session_set_dropping(s, &early);
    assert_int_equal(make(s, (call){CALL_USER, 300}, NULL), RNL_OK);
    assert_true(rnl_session_position_count(s) > 160);
    const session_dropping none = {.drops = false, .retention = 1};
    session_set_dropping(s, &none);
    const int count = rnl_session_position_count(s);
    for (int k = 0; k < 20; k++) (void)make(s, (call){CALL_USER, 100}, NULL);
    assert_int_equal(make(s, (call){CALL_USER, 500}, NULL), RNL_ERR_CONTEXT_FULL);
    assert_true(rnl_session_position_count(s) > count);
    rnl_session_destroy(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_an_empty_session_always_fits),
        cmocka_unit_test(a_reply_may_begin_before_its_clip_is_encoded),
        cmocka_unit_test(a_clip_that_moves_has_the_same_rows),
        cmocka_unit_test(the_first_question_goes_with_its_answer),
        cmocka_unit_test(so_much_stays_as_is_to_be_kept),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
