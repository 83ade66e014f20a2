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
    d->status = bpe_encode(s->model->source.text, &s->pass->bpe, text, size, parse_special,
                           s->pass->ids + d->count, cap, &count, NULL);
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

const char *const session_role_headers[4] = {"<|im_start|>system\n", "<|im_start|>user\n",
                                             "<|im_start|>assistant\n", "<|im_start|>tool\n"};
const char session_message_end[] = "<|im_end|>\n";

session_draft session_draft_begin(rnl_session *s, rnl_error *error) {
    return (session_draft){.s = s,
                           .role = s->live->open_role,
                           .begun = s->live->begun,
                           .header_at = -1,
                           .error = error};
}

void session_draft_turn(session_draft *d, rnl_role role) {
    if (!d->begun) draft_layout(d, "<|startoftext|>");
    d->begun = true;
    if (d->role == (int)role && role != RNL_ROLE_TOOL && !d->apart) return;
    if (d->role >= 0) {
        const bool first = d->count == 0;
        draft_layout(d, session_message_end);
        if (first) d->closing_count = d->count;
    }
    d->role = (int)role;
    d->header_at = (int)d->count;
    draft_layout(d, session_role_headers[role]);
}

void session_draft_layout(session_draft *d, const char *text, size_t size) {
    draft_piece(d, text, size, true);
}

void session_draft_text(session_draft *d, const char *text, size_t size) {
    draft_piece(d, text, size, false);
}

float *session_append_row(rnl_session *s, int32_t id, uint64_t sum) {
    session_live *live = s->live;
    assert(live->position_count < s->config.context_cap);
    session_compare(s, live->position_count, id, sum);
    s->ids[live->position_count] = id;
    s->sums[live->position_count] = sum;
    const size_t width = (size_t)backbone_width(&s->model->backbone);
    return s->embeddings + (size_t)live->position_count++ * width;
}

float *session_append(rnl_session *s, int32_t id) {
    const session_live *live = s->live;
    const uint64_t sum = id >= 0 ? SESSION_SUM_TOKEN : SESSION_SUM_NONE;
    const bool named = live->generating && live->reply_sum != 0;
    return session_append_row(s, id, named ? live->reply_sum : sum);
}

static void append_ids(rnl_session *s, const int32_t *ids, size_t count) {
    for (size_t i = 0; i < count; i++)
        backbone_embed_text(&s->model->backbone, &s->pass->compute, ids[i],
                            session_append(s, ids[i]));
}

/* Where the history that stays may begin, from the least loss to the greatest: at a later question;
 * behind the last complete reply, when something follows it without a question; behind everything,
 * when the draft is a new question. 0 where there is no such place. */
static int place_to_cut(const session_draft *d, int index) {
    const session_live *live = d->s->live;
    if (index < live->exchange_count) return d->s->exchanges[index];
    if (index == live->exchange_count) return live->answered_at;
    const bool asks = d->header_at >= 0 && d->role == RNL_ROLE_USER;
    return asks ? live->position_count : 0;
}

/* The clip being encoded moves with its rows, or goes with them. */
static void move_clip(rnl_session *s, int begin, int end) {
    if (!s->encoding || s->encode_at < begin) return;
    if (s->encode_at < end)
        session_drop_encoding(s);
    else
        s->encode_at -= end - begin;
}

static void move_exchanges(rnl_session *s, int begin, int end) {
    session_live *live = s->live;
    int gone = 0;
    while (gone < live->exchange_count && s->exchanges[gone] < end) gone++;
    live->exchange_count -= gone;
    for (int i = 0; i < live->exchange_count; i++)
        s->exchanges[i] = s->exchanges[i + gone] - (end - begin);
    /* What stays of an exchange is one, without its question. */
    if (live->exchange_count == 0 && end < live->position_count)
        s->exchanges[live->exchange_count++] = begin;
}

/* Takes positions [begin, end) out. What remains is prefilled anew: positions move, and fixed
 * bytes cannot be rewound. */
static void cut_out(rnl_session *s, int begin, int end) {
    session_live *live = s->live;
    const size_t width = (size_t)backbone_width(&s->model->backbone);
    memmove(s->embeddings + (size_t)begin * width, s->embeddings + (size_t)end * width,
            (size_t)(live->position_count - end) * width * sizeof *s->embeddings);
    memmove(s->ids + begin, s->ids + end, (size_t)(live->position_count - end) * sizeof *s->ids);
    memmove(s->sums + begin, s->sums + end, (size_t)(live->position_count - end) * sizeof *s->sums);
    session_part(s, begin);
    move_clip(s, begin, end);
    move_exchanges(s, begin, end);
    if (end == live->position_count) live->open_role = -1;
    live->position_count -= end - begin;
    live->answered_at = live->answered_at > end ? live->answered_at - (end - begin) : 0;
    live->replay_end = 0;
    stack_reset(&live->backbone);
    /* No reply is running: its record may go, which keeps the emitted arrays bounded. */
    live->emitted_count = live->text_count = live->frame_count = 0;
    live->reply_emitted = live->reply_text = live->reply_frame = 0;
    for (int i = 0; i < s->config.snapshot_cap; i++) s->slots[i].valid = false;
    session_forget_marks(s, -1);
    live->reply_end = -1;
}

/* The message that the draft was to close is gone. */
static void leave_closing_out(session_draft *d) {
    int32_t *ids = d->s->pass->ids;
    d->count -= d->closing_count;
    d->header_at -= (int)d->closing_count;
    memmove(ids, ids + d->closing_count, d->count * sizeof *ids);
    d->closing_count = 0;
}

/* What would be left of the history and the draft if everything up to `end` went. */
static size_t left_without(const session_draft *d, size_t more, int begin, int end) {
    const session_live *live = d->s->live;
    const bool closes = end == live->position_count && live->open_role >= 0;
    const size_t wanted = d->count + more - (closes ? d->closing_count : 0);
    return (size_t)(live->position_count - (end - begin)) + wanted;
}

static void drop_until(session_draft *d, int begin, int end) {
    const session_live *live = d->s->live;
    const bool closes_what_goes = end == live->position_count && live->open_role >= 0;
    cut_out(d->s, begin, end);
    if (closes_what_goes) leave_closing_out(d);
}

/* Positions of a conversation that is full at `most`, after it dropped. */
static size_t kept_of(const session_dropping *c, size_t most, size_t prompt) {
    if (most <= prompt) return most;
    return prompt + (size_t)((double)(most - prompt) * c->retention);
}

/* Drops what is oldest behind the system prompt: until so much is left as is to be kept, else as
 * much as can go. False: what is wanted would not fit the context, nothing is dropped. */
static bool drop_oldest(session_draft *d, size_t more, size_t most, size_t cap) {
    rnl_session *s = d->s;
    const int count = s->live->exchange_count;
    if (count == 0) return false;
    const int begin = s->exchanges[0];
    const size_t kept = kept_of(&s->dropping, most, (size_t)begin);
    int best = 0;
    for (int i = 1; i <= count + 1; i++) {
        const int end = place_to_cut(d, i);
        if (end <= begin || left_without(d, more, begin, end) > cap) continue;
        best = end;
        if (left_without(d, more, begin, end) <= kept) break;
    }
    if (best > 0) drop_until(d, begin, best);
    return best > 0;
}

void session_set_dropping(rnl_session *s, const session_dropping *dropping) {
    s->dropping = *dropping;
}

/* Positions that the conversation may have before it is full. */
static size_t most_of(const rnl_session *s, size_t cap) {
    const session_live *live = s->live;
    const int prompt = live->exchange_count > 0 ? s->exchanges[0] : live->position_count;
    const size_t most = (size_t)prompt + (size_t)s->dropping.position_max;
    return s->dropping.position_max > 0 && most < cap ? most : cap;
}

rnl_status session_ensure_room(session_draft *d, size_t more, rnl_error *error) {
    const rnl_session *s = d->s;
    const size_t wanted = d->count + more, used = (size_t)s->live->position_count;
    const size_t cap = (size_t)s->config.context_cap - SESSION_CLOSE_CAP, most = most_of(s, cap);
    if (used + wanted <= most) return RNL_OK;
    if (s->dropping.drops && drop_oldest(d, more, most, cap)) return RNL_OK;
    /* A question may be longer than what is to stand behind the prompt, if nothing else does. */
    if (s->dropping.drops && used + wanted <= cap) return RNL_OK;
    return status_fail(
        error, RNL_ERR_CONTEXT_FULL,
        "%zu more positions do not fit: %zu of the context's %d are used; start a new "
        "conversation, or give the session a larger context_cap",
        wanted, used, s->config.context_cap);
}

void session_accept(const session_draft *d) {
    rnl_session *s = d->s;
    session_live *live = s->live;
    /* A question begins an exchange, and whatever comes first behind the system prompt. */
    if (d->header_at >= 0 && d->role != RNL_ROLE_SYSTEM &&
        (d->role == RNL_ROLE_USER || live->exchange_count == 0))
        s->exchanges[live->exchange_count++] = live->position_count + d->header_at;
    live->begun = d->begun;
    live->open_role = d->role;
    append_ids(s, s->pass->ids, d->count);
    session_go_on(s);
}

void session_keep_exchanges(rnl_session *s, int count) {
    const session_live *live = s->live;
    assert(!live->generating && !s->clip_open && !s->encoding);
    if (live->exchange_count <= count) return;
    cut_out(s, s->exchanges[0],
            count > 0 ? s->exchanges[live->exchange_count - count] : live->position_count);
}

void session_close_reply(rnl_session *s) {
    session_live *live = s->live;
    session_draft d = session_draft_begin(s, NULL);
    /* The sequential loop has emitted <|im_end|> itself (audio.md 7.7). */
    draft_layout(&d, live->end_fed ? "\n" : session_message_end);
    assert(d.status == RNL_OK && d.count <= SESSION_CLOSE_CAP);
    live->generating = false;
    append_ids(s, s->pass->ids, d.count);
    live->open_role = -1;
    live->reply_end = live->answered_at = live->position_count;
}
