/* Going on from what an earlier conversation of the session has left: as far as the new one is the
 * same, position by position, its embeddings, keys and values stand in the history still.
 *
 *     renew          all that went through the backbone is familiar, until a position differs
 *     content added  the backbone goes on from the last place before the end of what is the same
 *     where it parts what comes behind it is set aside: clips, pictures and replies in it that are
 *                    added again elsewhere go through the backbone anew, but keep their embeddings
 *
 * What the backbone appends for a position can be gone back to, its fixed bytes cannot: they are
 * kept at places, as the marks of a reply keep them (session_rewind.c). A position is the same when
 * its token is; one of a clip or a picture has, besides, a sum of what all of it was made of, so
 * that it need not be encoded to be known again (nor in another session, which may borrow its
 * rows), and one of a reply that has a name a sum of that.
 * Frames of other replies are never the same: nobody can add them. */
#include <assert.h>
#include <string.h>

#include "engine/session.h"

enum {
    PLACE_GAP = 32,  /* positions between two places, */
    PARTING_GAP = 8, /* and where conversations are likely to part: there a prefill is cut, which
                      * costs a pass over all weights, as much as some 10 positions of it */
    SUM_WORD = 8     /* bytes summed at a time */
};

/* ---- What is the same ---- */

/* What only stands here goes to the end of the memory, until the conversation gets there. */
static void set_aside(rnl_session *s, int begin, int end) {
    const int cap = s->config.context_cap, to = cap - (end - begin);
    const size_t width = (size_t)backbone_width(&s->model->backbone), count = (size_t)(end - begin);
    int at = begin;
    while (at < end && (s->sums[at] == SESSION_SUM_TOKEN || s->sums[at] == SESSION_SUM_NONE)) at++;
    if (at == end || s->old_at < cap || to < s->live->position_count) return;
    memmove(s->embeddings + (size_t)to * width, s->embeddings + (size_t)begin * width,
            count * width * sizeof *s->embeddings);
    memmove(s->ids + to, s->ids + begin, count * sizeof *s->ids);
    memmove(s->sums + to, s->sums + begin, count * sizeof *s->sums);
    s->old_at = to;
}

/* From the position on nothing is. */
void session_part(rnl_session *s, int position) {
    if (position >= s->remembered_count) return;
    set_aside(s, position, s->remembered_count);
    s->remembered_count = position;
    if (s->familiar_count > position) s->familiar_count = position;
    session_forget_marks(s, position);
}

void session_compare(rnl_session *s, int position, int32_t id, uint64_t sum) {
    const bool same = position < s->remembered_count && id == s->ids[position] &&
                      sum == s->sums[position] && sum != SESSION_SUM_NONE;
    if (!same) session_part(s, position);
    if (s->old_at <= position) s->old_at = position + 1; /* it is written over */
}

static uint64_t mixed(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 32;
}

void session_sum_add(session_sum *sum, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i += SUM_WORD) {
        uint64_t word = 0;
        memcpy(&word, at + i, size - i < SUM_WORD ? size - i : SUM_WORD);
        sum->halves[0] = mixed(sum->halves[0], word);
        sum->halves[1] = mixed(sum->halves[1], (word << 29 | word >> 35) + i);
    }
    for (int k = 0; k < 2; k++) sum->halves[k] = mixed(sum->halves[k], size);
}

uint64_t session_sum_at(const session_sum *sum, int row) {
    const uint64_t half = sum->halves[row & 1];
    return half == SESSION_SUM_TOKEN || half == SESSION_SUM_NONE ? UINT64_C(1) << 63 : half;
}

/* ---- What is brought back ---- */

/* Where positions of the sum lie in [begin, end), `count` of them; -1: nowhere. */
static int find(const rnl_session *s, const session_sum *sum, int count, int begin, int end) {
    for (int at = begin; at + count <= end; at++) {
        int alike = 0;
        while (alike < count && s->sums[at + alike] == session_sum_at(sum, alike)) alike++;
        if (alike == count) return at;
    }
    return -1;
}

static void bring_row(rnl_session *s, int from) {
    const size_t width = (size_t)backbone_width(&s->model->backbone);
    const float *old = s->embeddings + (size_t)from * width;
    float *now = session_append_row(s, s->ids[from], s->sums[from]);
    if (now != old) memmove(now, old, width * sizeof *now);
}

int session_bring_back(rnl_session *s, const session_sum *sum, int count) {
    const session_live *live = s->live;
    const int least = count > 0 ? count : 1;
    int end = s->remembered_count, at = find(s, sum, least, live->position_count, end);
    if (at > live->position_count) session_part(s, live->position_count); /* they move */
    if (at != live->position_count) {
        end = s->config.context_cap;
        at = find(s, sum, least, s->old_at, end);
    }
    if (at < 0) return 0;
    if (count == 0)
        while (at + count < end && s->sums[at + count] == session_sum_at(sum, count)) count++;
    for (int i = 0; i < count; i++) bring_row(s, at + i);
    return count;
}

/* ---- What another has ---- */

static bool fits(const rnl_session *s, const rnl_session *lender) {
    return lender != NULL && lender->model == s->model && lender->span.adapter == s->span.adapter &&
           lender->span.scale == s->span.scale;
}

bool session_borrow(rnl_session *s, const session_sum *sum, int count) {
    const rnl_session *l = s->lender;
    const size_t width = (size_t)backbone_width(&s->model->backbone);
    if (!fits(s, l)) return false;
    const int now = l->live->position_count, end = l->encoding ? l->encode_at
                                                   : now > l->remembered_count
                                                       ? now
                                                       : l->remembered_count;
    int at = find(l, sum, count, 0, end);
    if (at < 0) at = find(l, sum, count, l->old_at, l->config.context_cap);
    for (int i = 0; i < count && at >= 0; i++)
        memcpy(session_append_row(s, l->ids[at + i], session_sum_at(sum, i)),
               l->embeddings + (size_t)(at + i) * width, width * sizeof *s->embeddings);
    return at >= 0;
}

/* ---- Replies that have a name ---- */

static session_sum sum_of_name(int64_t name) {
    session_sum sum = {{0}};
    session_sum_add(&sum, &name, sizeof name);
    sum.halves[1] = sum.halves[0]; /* the same in all its positions, however many it gets */
    return sum;
}

void session_name_reply(rnl_session *s, int64_t name) {
    const session_sum sum = sum_of_name(name);
    assert(s->live->generating && s->live->step_count == 0);
    s->live->reply_sum = session_sum_at(&sum, 0);
}

/* Positions of it that are still there. */
static int count_again(const rnl_session *s, const session_sum *sum) {
    const uint64_t wanted = session_sum_at(sum, 0);
    int count = 0;
    for (int i = s->live->position_count; i < s->remembered_count; i++)
        count += s->sums[i] == wanted;
    for (int i = s->old_at; i < s->config.context_cap; i++) count += s->sums[i] == wanted;
    return count;
}

rnl_status session_add_again(rnl_session *s, int64_t name, bool *found, int *audio_count,
                             rnl_error *error) {
    *found = false;
    *audio_count = 0;
    rnl_status status = session_check_content(s, error);
    if (status == RNL_OK && s->clip_open) status = rnl_session_end_audio(s, error);
    const session_sum sum = sum_of_name(name);
    const int count = status == RNL_OK ? count_again(s, &sum) : 0;
    if (count == 0) return status;
    session_draft d = session_draft_begin(s, error);
    d.apart = true;
    session_draft_turn(&d, RNL_ROLE_ASSISTANT);
    if (d.status != RNL_OK) return d.status;
    status = session_ensure_room(&d, (size_t)count, error);
    if (status != RNL_OK) return status;
    session_accept(&d);
    const int begin = s->live->position_count;
    *found = session_bring_back(s, &sum, 0) > 0; /* else the caller's words follow the header */
    for (int i = begin; i < s->live->position_count; i++) *audio_count += s->ids[i] < 0;
    session_go_on(s);
    return RNL_OK;
}

/* ---- Places ---- */

/* The highest that is not behind the position; 0: there is none. */
static int place_below(const rnl_session *s, int position) {
    int below = 0;
    for (int i = 0; i < s->config.kept_places; i++) {
        const int at = s->marks[SESSION_MARK_CAP + i].position;
        if (at <= position && at > below) below = at;
    }
    return below;
}

/* A free one, or that which is nearest behind another: the least is lost without it. */
static session_mark *place_to_give(rnl_session *s) {
    session_mark *nearest = NULL;
    int least = INT32_MAX;
    for (int i = 0; i < s->config.kept_places; i++) {
        session_mark *mark = &s->marks[SESSION_MARK_CAP + i];
        if (mark->position < 0) return mark;
        const int gap = mark->position - place_below(s, mark->position - 1);
        if (gap >= least) continue;
        least = gap;
        nearest = mark;
    }
    return nearest;
}

static void keep_place(rnl_session *s) {
    const session_live *live = s->live;
    session_mark *mark = place_to_give(s);
    mark->position = (int)live->backbone.position;
    if (s->fixed_size > 0) memcpy(mark->fixed, live->backbone.fixed, s->fixed_size);
}

/* Before the first decision of a reply, or between replies. */
static bool takes_in(const rnl_session *s) {
    return s->config.kept_places > 0 && !(s->live->generating && s->live->step_count > 0);
}

/* Where other conversations may part from this one: behind the system prompt, and before the
 * header of the answer, where the same question is asked again. */
static bool is_parting(const rnl_session *s, int position) {
    const session_live *live = s->live;
    return (live->exchange_count > 0 && position == s->exchanges[0]) || position == live->answer_at;
}

int session_rows_to_place(const rnl_session *s, int count) {
    const int at = (int)s->live->backbone.position;
    if (!takes_in(s)) return count;
    const int below = place_below(s, at);
    for (int i = 1; i < count; i++)
        if (at + i - below >= PARTING_GAP && is_parting(s, at + i)) return i;
    return count;
}

void session_keep_place(rnl_session *s) {
    const int at = (int)s->live->backbone.position;
    if (!takes_in(s)) return;
    const int gap = is_parting(s, at) ? PARTING_GAP : PLACE_GAP;
    if (at - place_below(s, at) >= gap) keep_place(s);
}

/* ---- Going on ---- */

void session_go_on(rnl_session *s) {
    session_live *live = s->live;
    /* The last position waits: what comes next is decided from its hidden state. */
    const int last = live->position_count - 1;
    const int end = s->familiar_count < last ? s->familiar_count : last;
    const session_mark *best = session_mark_before(s, end);
    if (best == NULL || best->position <= live->backbone.position) return;
    for (int i = (int)live->backbone.position; i < best->position; i++)
        s->reused_audio += s->ids[i] < 0;
    s->reused_count += best->position - (int)live->backbone.position;
    session_stand_at(s, best);
}

/* Positions that have what they will have in the new conversation, too. Where what is prefilled is
 * rounded, a decision that is added as content goes through otherwise than it did. */
static int familiar_count(const rnl_session *s) {
    const int count = (int)s->live->backbone.position;
    if (!s->pass->config.rounds || !compute_rounds(&s->pass->compute)) return count;
    for (int i = 0; i < count; i++)
        if (s->decided[i] != 0) return i;
    return count;
}

void rnl_session_renew(rnl_session *s, uint64_t seed) {
    s->config.seed = seed;
    if (s->config.kept_places == 0 || s->failed) {
        rnl_session_reset(s);
        return;
    }
    /* What is the same up to here, and went on longer before, is still there. */
    const int count = s->encoding ? s->encode_at : s->live->position_count;
    const int remembered = count > s->remembered_count ? count : s->remembered_count;
    int familiar = familiar_count(s);
    if (familiar < s->familiar_count) familiar = s->familiar_count;
    assert(familiar <= remembered);
    const int64_t at = s->live->backbone.position;
    if (at > 0 && at <= familiar && place_below(s, (int)at) < at) keep_place(s);
    session_forget_marks(s, familiar);
    session_begin_anew(s);
    s->familiar_count = familiar;
    s->remembered_count = remembered;
}

int rnl_session_reused_count(const rnl_session *s, int *audio_count) {
    if (audio_count != NULL) *audio_count = s->reused_audio;
    return s->reused_count;
}
