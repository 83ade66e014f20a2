/* The history: tokens become positions, the oldest make room, a reply is closed. Below everything
 * that adds to a conversation or takes from it. */
#include <assert.h>
#include <string.h>

#include "core/status.h"
#include "engine/session.h"

static void draft_piece(session_draft *d, const char *text, size_t size, bool parse_special) {
    if (d->status != RNL_OK) return;
    rnl_session *s = d->s;
    const size_t cap = (size_t)s->config.context_cap - d->count;
    size_t count = 0;
    d->status = bpe_encode(s->model->source.text, &s->bpe, text, size, parse_special,
                           s->ids + d->count, cap, &count, NULL);
    if (d->status == RNL_OK)
        d->count += count;
    else if (d->status == RNL_ERR_CONTEXT_FULL)
        (void)status_fail(
            d->error, d->status,
            "the text is longer than the context of %d positions; shorten it or give the "
            "session a larger context",
            s->config.context_cap);
    else
        (void)status_fail(d->error, d->status, "the text cannot be tokenised");
}

static void draft_layout(session_draft *d, const char *piece) {
    draft_piece(d, piece, strlen(piece), true);
}

static const char *const role_headers[] = {"<|im_start|>system\n", "<|im_start|>user\n",
                                           "<|im_start|>assistant\n"};
static const char *const message_end = "<|im_end|>\n";

static void draft_begin(session_draft *d) {
    if (!d->s->live->begun) draft_layout(d, "<|startoftext|>");
}

void session_draft_turn(session_draft *d, rnl_role role) {
    draft_begin(d);
    if (d->s->live->open_role == (int)role) return;
    if (d->s->live->open_role >= 0) draft_layout(d, message_end);
    draft_layout(d, role_headers[role]);
}

void session_draft_text(session_draft *d, const char *text, size_t size) {
    draft_piece(d, text, size, false);
}

float *session_append(rnl_session *s) {
    session_live *live = s->live;
    assert(live->position_count < s->config.context_cap);
    const size_t width = (size_t)backbone_width(&s->model->backbone);
    return s->embeddings + (size_t)live->position_count++ * width;
}

static void append_ids(rnl_session *s, const int32_t *ids, size_t count) {
    for (size_t i = 0; i < count; i++)
        backbone_embed_text(&s->model->backbone, &s->compute, ids[i], session_append(s));
}

/* Drops the oldest messages after the system prompt until count more positions fit. What remains is
 * prefilled anew: positions move, and fixed bytes cannot be rewound. */
static bool drop_oldest(rnl_session *s, size_t count) {
    session_live *live = s->live;
    const size_t cap = (size_t)s->config.context_cap;
    const size_t width = (size_t)backbone_width(&s->model->backbone);
    /* Message 0 is kept: the system prompt, or the first turn when there is none. */
    int keep_from = 1;
    const size_t kept = live->message_count > 1 ? (size_t)s->messages[1] : cap;
    while (keep_from < live->message_count) {
        const size_t begin = (size_t)s->messages[keep_from];
        if (keep_from > 1 && kept + (size_t)live->position_count - begin + count <= cap) break;
        keep_from++;
    }
    if (keep_from >= live->message_count) return false;
    const size_t begin = (size_t)s->messages[keep_from];
    const size_t rest = (size_t)live->position_count - begin;
    memmove(s->embeddings + kept * width, s->embeddings + begin * width,
            rest * width * sizeof *s->embeddings);
    for (int i = keep_from; i < live->message_count; i++)
        s->messages[1 + i - keep_from] = s->messages[i] - (int32_t)(begin - kept);
    live->message_count -= keep_from - 1;
    live->position_count = (int)(kept + rest);
    stack_reset(&live->backbone);
    /* No reply is running: its record may go, which keeps the emitted arrays bounded. */
    live->emitted_count = live->text_count = live->frame_count = 0;
    live->reply_emitted = live->reply_text = live->reply_frame = 0;
    for (int i = 0; i < s->config.snapshot_cap; i++) s->slots[i].valid = false;
    session_forget_marks(s, -1);
    live->reply_end = -1;
    return true;
}

rnl_status session_ensure_room(rnl_session *s, size_t count, rnl_error *error) {
    const size_t cap = (size_t)s->config.context_cap - SESSION_CLOSE_CAP;
    const size_t used = (size_t)s->live->position_count;
    if (used + count <= cap) return RNL_OK;
    if (s->config.drop_oldest_turns && !s->encoding && drop_oldest(s, count + SESSION_CLOSE_CAP))
        return RNL_OK;
    return status_fail(
        error, RNL_ERR_CONTEXT_FULL,
        "%zu more positions do not fit: %zu of the context's %d are used; start a new "
        "conversation, or give the session a larger context_cap",
        count, used, s->config.context_cap);
}

void session_accept(rnl_session *s, int role, const session_draft *d) {
    session_live *live = s->live;
    if (live->open_role != role && live->message_count < s->config.context_cap)
        s->messages[live->message_count++] = live->position_count;
    live->begun = true;
    live->open_role = role;
    append_ids(s, s->ids, d->count);
}

void session_close_reply(rnl_session *s) {
    session_live *live = s->live;
    session_draft d = {.s = s};
    /* The sequential loop has emitted <|im_end|> itself (audio.md 7.7). */
    draft_layout(&d, live->end_fed ? "\n" : message_end);
    assert(d.status == RNL_OK && d.count <= SESSION_CLOSE_CAP);
    append_ids(s, s->ids, d.count);
    live->open_role = -1;
    live->generating = false;
    live->reply_end = live->position_count;
}
