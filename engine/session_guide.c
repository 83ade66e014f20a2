/* What a reply is held to while it is generated, and the calls in it.
 *
 *     logits -> session_guide_mask: what cannot be is minus infinity -> sampler -> a token
 *        -> session_guide_take: outside of calls text as ever; between the call tokens it is kept
 *           until the calls are whole, then given as calls, or as text where they are none */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/status.h"
#include "engine/session.h"

static const rnl_constraint *calls_of(const rnl_session *s) {
    return s->live->turn.tools;
}

rnl_status session_guide_check(const rnl_session *s, const rnl_turn_config *t, rnl_error *error) {
    const rnl_constraint *const all[] = {t->tools, t->answer};
    for (int i = 0; i < 2; i++)
        if (all[i] != NULL && (all[i]->model != s->model || all[i]->tools != (i == 0)))
            return status_fail(error, RNL_ERR_ARGUMENT,
                               "%s of the turn is a constraint of another kind or model",
                               i == 0 ? "tools" : "answer");
    if (t->answer != NULL && t->mode != RNL_MODE_TEXT)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "an answer of a given form is text; choose mode text");
    if (t->call_required && t->tools == NULL)
        return status_fail(error, RNL_ERR_ARGUMENT, "a call is required, but there are no tools");
    const rnl_constraint *held = t->call_required ? t->tools : t->answer;
    if (held == NULL || rnl_constraint_token_min(held) <= t->step_max) return RNL_OK;
    return status_fail(error, RNL_ERR_ARGUMENT,
                       "the shortest answer that fits takes %d tokens, more than the %d allowed; "
                       "allow more",
                       rnl_constraint_token_min(held), t->step_max);
}

size_t session_guide_room(const rnl_turn_config *t) {
    const rnl_constraint *held = t->call_required ? t->tools : t->answer;
    return held != NULL ? (size_t)rnl_constraint_token_min(held) + 1 : 1;
}

void session_guide_reset(session_live *live) {
    live->guide.phase = GUIDE_FREE;
    live->guide.called = false;
    live->guide.held_size = 0;
    live->guide.held = HELD_NOTHING;
}

void session_guide_begin(rnl_session *s) {
    session_live *live = s->live;
    session_guide_reset(live);
    if (live->turn.answer == NULL) return;
    live->guide.phase = GUIDE_ANSWER;
    mask_begin(live->turn.answer->m, &live->guide.text);
}

/* ---- Which tokens ---- */

/* Tokens of text that may still come, the next one included. */
static int tokens_left(const rnl_session *s) {
    const session_live *live = s->live;
    const int room = s->config.context_cap - SESSION_CLOSE_CAP - live->position_count;
    const int steps = live->turn.step_max - live->step_count;
    return generate_text_left(&live->loop, room < steps ? room : steps);
}

/* Takes away what has no bit; ids behind the bits too. */
static void keep_bits(float *logits, int count, const unsigned char *bits) {
    for (int i = 0; i < count; i += 8) {
        const int end = i + 8 < count ? 8 : count - i;
        if (bits[i / 8] == 0xFF) continue;
        for (int k = 0; k < end; k++)
            if ((bits[i / 8] >> k & 1) == 0) logits[i + k] = -INFINITY;
    }
}

static void keep_only(float *logits, int count, int32_t id) {
    const float kept = logits[id];
    for (int i = 0; i < count; i++) logits[i] = -INFINITY;
    logits[id] = kept;
}

/* Holds to a grammar, and at its end to the token that says so. left: tokens of its text. */
static void hold(const rnl_constraint *c, session_guide *guide, float *logits, int count, int left,
                 int32_t end) {
    const bool may_end = mask_may_end(c->m, &guide->text);
    const float kept = logits[end];
    if (may_end && (left < 1 || guide->text.state.threads[0].depth == 0)) {
        keep_only(logits, count, end);
        return;
    }
    keep_bits(logits, count, mask_tokens(c->m, &guide->text, left));
    if (may_end) logits[end] = kept;
}

bool session_guide_masks(const rnl_session *s) {
    const session_live *live = s->live;
    return live->turn.tools != NULL || live->turn.answer != NULL;
}

void session_guide_mask(rnl_session *s, float *logits, int count) {
    session_live *live = s->live;
    session_guide *guide = &live->guide;
    const rnl_constraint *tools = calls_of(s), *answer = live->turn.answer;
    const chat_ids *ids = &s->model->ids;
    const int left = tokens_left(s);
    const bool first = live->text_count == live->reply_text;
    switch (guide->phase) {
    case GUIDE_CALL:
        if (!live->turn.calls_free) hold(tools, guide, logits, count, left - 1, ids->call_end);
        return;
    case GUIDE_ANSWER: {
        const float call = tools != NULL ? logits[ids->call_begin] : -INFINITY;
        hold(answer, guide, logits, count, left, ids->message_end);
        /* An answer may be a call instead. */
        if (tools != NULL && first && left >= tools->token_min + 2) logits[ids->call_begin] = call;
        break;
    }
    case GUIDE_FREE:
        if (tools != NULL && left < tools->token_min + 2) logits[ids->call_begin] = -INFINITY;
        break;
    case GUIDE_ENDED:
        keep_only(logits, count, ids->message_end);
        return;
    }
    if (live->turn.call_required && !guide->called) keep_only(logits, count, ids->call_begin);
}

/* ---- What became of a token ---- */

static void release(session_guide *guide) {
    if (guide->held_size > 0) guide->held = HELD_TEXT;
    guide->held_at = 0;
    guide->phase = GUIDE_FREE;
}

static bool is_known(const void *context, const char *name, size_t size) {
    return grammar_has_call(context, name, size);
}

static void end_call(rnl_session *s) {
    session_live *live = s->live;
    session_guide *guide = &live->guide;
    const int count = calls_count(s->held, (size_t)guide->held_size, is_known, &calls_of(s)->g);
    guide->called = true;
    release(guide);
    if (live->turn.answer != NULL) guide->phase = GUIDE_ENDED;
    if (count < 0) return;
    guide->held = HELD_CALLS;
    guide->call_count = count;
}

static void begin_call(rnl_session *s) {
    session_guide *guide = &s->live->guide;
    guide->phase = GUIDE_CALL;
    guide->held_size = 0;
    mask_begin(calls_of(s)->m, &guide->text);
}

/* A token between the call tokens. No call is longer than the cap: then it is text. */
static void gather(rnl_session *s, const char *bytes, size_t size) {
    session_guide *guide = &s->live->guide;
    if (!s->live->turn.calls_free) (void)mask_advance(calls_of(s)->m, &guide->text, bytes, size);
    memcpy(s->held + guide->held_size, bytes, size);
    guide->held_size += (int)size;
    if (guide->held_size > CALLS_SIZE_CAP) release(guide);
}

bool session_guide_take(rnl_session *s, int32_t id) {
    session_live *live = s->live;
    session_guide *guide = &live->guide;
    const chat_ids *ids = &s->model->ids;
    const char *bytes;
    size_t size;
    bool special;
    const bool text = bpe_token_bytes(s->model->source.text, id, &bytes, &size, &special);
    if (live->turn.tools == NULL || guide->phase == GUIDE_ENDED) {
        if (guide->phase == GUIDE_ANSWER && text && !special)
            (void)mask_advance(live->turn.answer->m, &guide->text, bytes, size);
        return false;
    }
    if (guide->phase == GUIDE_CALL) {
        if (id == ids->call_end)
            end_call(s);
        else if (text && !special)
            gather(s, bytes, size);
        else
            release(guide);
        return true;
    }
    if (id == ids->call_begin) {
        begin_call(s);
        return true;
    }
    if (guide->phase == GUIDE_ANSWER && text && !special)
        (void)mask_advance(live->turn.answer->m, &guide->text, bytes, size);
    return false;
}

void session_guide_end(rnl_session *s) {
    session_guide *guide = &s->live->guide;
    if (guide->phase == GUIDE_CALL) release(guide);
}

bool session_guide_waits(const rnl_session *s) {
    return s->live->guide.held != HELD_NOTHING;
}

size_t session_guide_text(rnl_session *s, size_t cap, const char **bytes) {
    session_guide *guide = &s->live->guide;
    if (guide->held != HELD_TEXT) return 0;
    const size_t left = (size_t)(guide->held_size - guide->held_at);
    const size_t size = left < cap ? left : cap;
    *bytes = s->held + guide->held_at;
    guide->held_at += (int)size;
    if (guide->held_at == guide->held_size) guide->held = HELD_NOTHING;
    return size;
}

rnl_status rnl_session_pull_call(rnl_session *s, char *out, size_t cap, size_t *size) {
    session_guide *guide = &s->live->guide;
    *size = 0;
    if (guide->held != HELD_CALLS) return s->live->generating ? RNL_AGAIN : RNL_DONE;
    *size = calls_write(s->held, (size_t)guide->held_size, guide->held_at, out, cap);
    if (*size > cap) return RNL_ERR_ARGUMENT;
    if (++guide->held_at == guide->call_count) guide->held = HELD_NOTHING;
    return RNL_OK;
}
