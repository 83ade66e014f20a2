/* Any order of the calls of runnel.h on one session of the tiny checkpoint. Held true of each:
 *
 *     a refused call says why and has changed nothing, bar what its header says
 *     with drop_oldest_turns what fits a conversation that has just begun is never refused
 *     a reply that was begun comes to an end, by its steps or by being stopped
 *     the same calls after a reset give the same bits
 *
 * A byte chooses the session, every further three make a call: which, how much, of what. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/runnel.h>

#include "core/hash_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALL_CAP = 48, CLIP_CAP = 6400, WAY_COUNT = 6, SLOT_COUNT = 2, STEP_CAP = 4000 };

typedef struct call {
    uint8_t what, much, how;
} call;

typedef struct talk {
    rnl_session *s;
    bool drops;
    uint64_t bits; /* hash of all that came out */
    bool clip_open;
    /* The exchange under way: what a conversation that has just begun would be told. */
    bool has_system;
    bool has_content, prompted; /* prompted: begin has given it the prompt of a mode */
    call told[CALL_CAP];
    int told_count;
    bool told_all;   /* the list holds all that must stay */
    bool last_asked; /* the open turn is the user's */
    struct {
        bool valid;
        int position_count;
        bool clip_open;
    } slots[SLOT_COUNT];
} talk;

static rnl_model *model;
static rnl_session *sessions[WAY_COUNT], *fresh[WAY_COUNT];
static float clip[CLIP_CAP];
static const int caps[WAY_COUNT] = {64, 90, 128, 90, 128, 200};
static const char *const system_text = "Be kind.";

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) fail(__LINE__, #x);                                                              \
    } while (0)

static void fail(int line, const char *what) {
    (void)fprintf(stderr, "fuzz_session.c:%d: not so: %s\n", line, what);
    abort();
}

static rnl_session *open_session(int way) {
    rnl_session_config c = rnl_session_config_default();
    c.context_cap = caps[way];
    c.drop_oldest_turns = way >= 2;
    c.thread_count = 1;
    c.clip_seconds_max = 1;
    c.snapshot_cap = SLOT_COUNT;
    c.step_positions = way % 2 == 0 ? 128 : 7;
    rnl_session *s = NULL;
    CHECK(rnl_session_create(model, &c, &s, NULL) == RNL_OK);
    return s;
}

static void open_all(void) {
    rnl_model_config c = rnl_model_config_default();
    c.thread_count = 1;
    CHECK(rnl_model_open(TEST_DATA "/tiny", &c, &model, NULL) == RNL_OK);
    for (int i = 0; i < WAY_COUNT; i++) {
        sessions[i] = open_session(i);
        fresh[i] = open_session(i);
    }
    for (int i = 0; i < CLIP_CAP; i++) clip[i] = 0.2f * sinf(0.01f * (float)(i % 800) * (float)i);
}

static void note(talk *t, const void *bytes, size_t size) {
    t->bits = hash_bytes(t->bits, bytes, size);
}

static int rate_of(call c) {
    static const int rates[] = {16000, 16000, 16000, 8000, 44100};
    return rates[c.how % 5];
}

static size_t samples_of(call c) {
    return (size_t)c.much * 25;
}

static rnl_status add_text(rnl_session *s, rnl_role role, call c, rnl_error *error) {
    char text[128];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)("the light is on "[i % 16]);
    return rnl_session_add_text(s, role, text, c.much % 120u, error);
}

static rnl_status begin(rnl_session *s, call c, rnl_error *error) {
    rnl_turn_config turn = rnl_turn_config_default(model, (rnl_mode)(c.how % RNL_MODE_COUNT));
    turn.step_max = 1 + c.much % 14;
    turn.text_run = 1 + c.how % 5;
    turn.audio_run = 1 + c.how % 3;
    turn.text.temperature = c.how & 64 ? 0.8f : 0.0f;
    return rnl_session_begin(s, &turn, error);
}

/* The call of one that adds or makes room, on this session. */
static rnl_status add(rnl_session *s, call c, rnl_error *error) {
    switch (c.what) {
    case 'u':
        return add_text(s, RNL_ROLE_USER, c, error);
    case 'a':
        return add_text(s, RNL_ROLE_ASSISTANT, c, error);
    case 'c':
        return rnl_session_add_audio(s, clip, samples_of(c), rate_of(c), error);
    case 'r':
        return rnl_session_reserve(s, c.much, error);
    default:
        return begin(s, c, error);
    }
}

static rnl_status add_patiently(rnl_session *s, call c) {
    rnl_status status;
    while ((status = add(s, c, NULL)) == RNL_AGAIN) CHECK(rnl_session_step(s, NULL) == RNL_OK);
    return status;
}

/* Would a conversation that has just begun take the call? It is told what must stay only. */
static bool fits_fresh(const talk *t, rnl_session *other, call c) {
    const bool asks = c.what == 'u' || c.what == 'c';
    rnl_session_reset(other);
    if (t->has_system && rnl_session_add_text(other, RNL_ROLE_SYSTEM, system_text,
                                              strlen(system_text), NULL) != RNL_OK)
        return false;
    const bool begins = asks && !t->last_asked;
    for (int i = 0; i < t->told_count && !begins; i++)
        if (add_patiently(other, t->told[i]) != RNL_OK) return false;
    return add_patiently(other, c) == RNL_OK;
}

static void remember(talk *t, call c) {
    const bool asks = c.what == 'u' || c.what == 'c';
    if (c.what == 'r') return;
    if (!t->has_content && c.what == 'b') t->prompted = true;
    t->has_content = true;
    if (c.what == 'b') { /* with its answer the exchange is complete */
        t->told_count = 0;
        t->told_all = true;
        t->last_asked = false;
        return;
    }
    if (asks && !t->last_asked) {
        t->told_count = 0;
        t->told_all = true;
    }
    t->last_asked = asks;
    if (t->told_count < CALL_CAP)
        t->told[t->told_count++] = c;
    else
        t->told_all = false;
}

static void forget(talk *t) {
    t->told_count = 0;
    t->told_all = true;
    t->last_asked = t->clip_open = t->has_system = t->has_content = t->prompted = false;
    for (int i = 0; i < SLOT_COUNT; i++) t->slots[i].valid = false;
}

static bool is_generating(const talk *t) {
    rnl_reply r;
    char text[8];
    size_t got;
    rnl_session_get_reply(t->s, &r);
    return rnl_session_pull_text(t->s, text, 0, &got) == RNL_AGAIN;
}

static void pull(talk *t, size_t cap) {
    char text[64];
    float samples[3000];
    size_t got;
    while (rnl_session_pull_text(t->s, text, 4 + cap % 60, &got) == RNL_OK) note(t, text, got);
    while (rnl_session_pull_samples(t->s, samples, 1 + cap % 3000, &got) == RNL_OK)
        note(t, samples, got * sizeof *samples);
}

static void check_reply(talk *t) {
    rnl_reply r;
    rnl_session_get_reply(t->s, &r);
    CHECK(r.position_count == r.text_count + r.frame_count);
    note(t, r.text_ids, r.text_count * sizeof *r.text_ids);
    note(t, r.frames, r.frame_count * (size_t)r.codebook_count * sizeof *r.frames);
}

static void step(talk *t, int count) {
    rnl_error error = {0};
    for (int i = 0; i < count; i++) {
        const bool generating = is_generating(t);
        const rnl_status status = rnl_session_step(t->s, &error);
        CHECK(status >= 0);
        CHECK(status != RNL_AGAIN || generating);
        if (status != RNL_DONE) continue;
        rnl_reply r;
        rnl_session_get_reply(t->s, &r);
        CHECK(!is_generating(t));
        if (generating) CHECK(r.finish != RNL_FINISH_NONE);
        return;
    }
}

static void finish_reply(talk *t) {
    for (int i = 0; is_generating(t); i++) {
        CHECK(i < STEP_CAP);
        step(t, 1);
        pull(t, 2999);
    }
    check_reply(t);
}

/* What is refused, or has to wait, has changed nothing; a clip that is open is ended first. */
static void make_addition(talk *t, rnl_session *other, call c) {
    const bool generating = is_generating(t);
    const int before = rnl_session_position_count(t->s);
    rnl_error error = {0};
    const bool ended = t->clip_open && c.what != 'c' && c.what != 'r' && !generating;
    const rnl_status status = add(t->s, c, &error);
    if (ended && status != RNL_AGAIN) { /* the user's clip, which the list does not hold */
        t->clip_open = t->told_all = false;
        t->last_asked = t->has_content = true;
    }
    if (status == RNL_OK) {
        const bool is_text = c.what == 'u' || c.what == 'a';
        if (!is_text || c.much % 120u > 0) remember(t, c);
        return;
    }
    if (ended && status != RNL_AGAIN) return;
    CHECK(rnl_session_position_count(t->s) == before);
    if (status == RNL_AGAIN) CHECK(rnl_session_stage(t->s) == RNL_STAGE_ENCODE);
    if (status < 0) CHECK(error.status == status && error.text[0] != '\0');
    if (generating) CHECK(status == RNL_ERR_STATE);
    if (status == RNL_ERR_CONTEXT_FULL && t->drops && t->told_all && !t->prompted)
        CHECK(!fits_fresh(t, other, c));
}

static void push_audio(talk *t, call c) {
    const bool generating = is_generating(t);
    const int before = rnl_session_position_count(t->s);
    const rnl_status status = rnl_session_push_audio(t->s, clip, samples_of(c), rate_of(c), NULL);
    CHECK(status != RNL_AGAIN);
    CHECK(rnl_session_position_count(t->s) == before);
    if (generating) CHECK(status == RNL_ERR_STATE);
    if (status == RNL_OK) t->clip_open = true;
}

static void end_audio(talk *t) {
    const int before = rnl_session_position_count(t->s);
    const bool generating = is_generating(t);
    const rnl_status status = rnl_session_end_audio(t->s, NULL);
    if (generating) CHECK(rnl_session_position_count(t->s) == before);
    if (status == RNL_AGAIN) return;
    if (status == RNL_OK && t->clip_open) {
        t->told_all = false;
        t->last_asked = t->has_content = true;
    }
    if (status < 0) CHECK(rnl_session_position_count(t->s) == before);
    t->clip_open = false;
}

static void snapshot(talk *t, int slot) {
    if (rnl_session_snapshot(t->s, slot, NULL) != RNL_OK) return;
    t->slots[slot].valid = true;
    t->slots[slot].position_count = rnl_session_position_count(t->s);
    t->slots[slot].clip_open = t->clip_open;
}

static void restore(talk *t, int slot) {
    const int before = rnl_session_position_count(t->s);
    if (rnl_session_restore(t->s, slot, NULL) != RNL_OK) {
        CHECK(rnl_session_position_count(t->s) == before);
        return;
    }
    CHECK(t->slots[slot].valid);
    CHECK(rnl_session_position_count(t->s) == t->slots[slot].position_count);
    t->told_count = 0;
    t->told_all = false; /* until the next reply */
    t->last_asked = t->has_content = true;
    t->clip_open = t->slots[slot].clip_open;
}

static void make(talk *t, rnl_session *other, call c) {
    static const char kinds[] = "uuacccrbbbbssssssssffppeekSRRxhwzw";
    char text[64];
    size_t got;
    c.what = (uint8_t)kinds[c.what % (sizeof kinds - 1)];
    switch (c.what) {
    case 's':
        step(t, 1 + c.much % 16);
        break;
    case 'f':
        finish_reply(t);
        break;
    case 'p':
        push_audio(t, c);
        break;
    case 'e':
        end_audio(t);
        break;
    case 'k':
        rnl_session_cancel_audio(t->s);
        t->clip_open = false;
        break;
    case 'S':
        snapshot(t, c.much % SLOT_COUNT);
        break;
    case 'R':
        restore(t, c.much % SLOT_COUNT);
        break;
    case 'x':
        rnl_session_stop(t->s);
        check_reply(t);
        break;
    case 'h':
        if (rnl_session_heard_text(t->s, (size_t)c.much * 100, text, sizeof text, &got) == RNL_OK)
            note(t, text, got);
        break;
    case 'w':
        if (rnl_session_rewind(t->s, (size_t)c.much * 100, NULL) == RNL_OK)
            CHECK(!is_generating(t));
        break;
    case 'z':
        rnl_session_reset(t->s);
        forget(t);
        break;
    default:
        make_addition(t, other, c);
    }
    pull(t, c.how);
    CHECK(rnl_session_position_count(t->s) >= 0);
    CHECK(rnl_session_position_count(t->s) <= 200);
}

static uint64_t run(const uint8_t *data, size_t size) {
    const int way = data[0] % WAY_COUNT;
    talk t = {.s = sessions[way], .drops = way >= 2, .bits = HASH_START};
    rnl_session_reset(t.s);
    forget(&t);
    t.has_system = (data[0] & 64) != 0;
    if (t.has_system)
        CHECK(rnl_session_add_text(t.s, RNL_ROLE_SYSTEM, system_text, strlen(system_text), NULL) ==
              RNL_OK);
    for (size_t i = 1; i + 3 <= size && i < 3 * CALL_CAP; i += 3)
        make(&t, fresh[way], (call){data[i], data[i + 1], data[i + 2]});
    finish_reply(&t);
    const int positions = rnl_session_position_count(t.s);
    note(&t, &positions, sizeof positions);
    return t.bits;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (model == NULL) open_all();
    if (size < 4) return 0;
    const uint64_t bits = run(data, size);
    if (data[0] & 128) CHECK(run(data, size) == bits);
    return 0;
}
