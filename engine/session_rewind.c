/* The reply cut back to what was heard, for a listener who interrupts; and an estimate of the words
 * of it.
 *
 *     samples played -> frames begun -> emitted positions kept -> history, and the end of the turn
 *
 * What was appended for positions that stay is still there; the fixed bytes are not. Marks hold
 * them, one at the reply's beginning and one every 12 decisions; from a mark on, the positions that
 * stay are prefilled again by the next steps. Without a mark that fits, the whole history is. */
#include <assert.h>
#include <string.h>

#include "core/status.h"
#include "core/utf8.h"
#include "engine/session.h"

static int mark_count(const rnl_session *s) {
    return SESSION_MARK_CAP + s->config.kept_places;
}

void session_layout_marks(rnl_session *s, arena *a) {
    for (int i = 0; i < mark_count(s); i++)
        s->marks[i] = (session_mark){.position = -1, .fixed = arena_take(a, s->fixed_size, 1)};
}

void session_forget_marks(rnl_session *s, int position_count) {
    for (int i = 0; i < mark_count(s); i++)
        if (s->marks[i].position > position_count) s->marks[i].position = -1;
}

void session_mark_decision(rnl_session *s) {
    const session_live *live = s->live;
    if (!live->generating || live->step_count % SESSION_MARK_STRIDE != 0) return;
    const int index = live->step_count / SESSION_MARK_STRIDE;
    session_mark *mark = &s->marks[index == 0 ? 0 : 1 + (index - 1) % (SESSION_MARK_CAP - 1)];
    mark->position = (int)live->backbone.position;
    if (s->fixed_size > 0) memcpy(mark->fixed, live->backbone.fixed, s->fixed_size);
}

/* Brings the backbone to the latest state it can have at or before the end of what goes through
 * again as it did: where nothing is rounded, the end of the history. */
static void return_to_mark(rnl_session *s) {
    const session_live *live = s->live;
    session_return_to(s,
                      compute_rounds(&s->pass->compute) ? live->replay_end : live->position_count);
}

const session_mark *session_mark_before(const rnl_session *s, int position) {
    const session_mark *best = NULL;
    for (int i = 0; i < mark_count(s); i++) {
        const session_mark *mark = &s->marks[i];
        if (mark->position >= 0 && mark->position <= position &&
            (best == NULL || mark->position > best->position))
            best = mark;
    }
    return best;
}

void session_stand_at(rnl_session *s, const session_mark *mark) {
    session_live *live = s->live;
    live->backbone.position = mark->position;
    if (s->fixed_size > 0) memcpy(live->backbone.fixed, mark->fixed, s->fixed_size);
}

void session_return_to(rnl_session *s, int end) {
    session_live *live = s->live;
    if (live->backbone.position <= end) return;
    const session_mark *best = session_mark_before(s, end);
    stack_reset(&live->backbone);
    if (best != NULL) session_stand_at(s, best);
}

/* Positions of the reply, by kind. */
typedef struct extent {
    int emitted, text, frame;
    int audible; /* frames that have a sound */
} extent;

static bool is_audible(const rnl_session *s, int frame) {
    const int books = s->model->backbone.codebook_count;
    const int32_t *codes = s->frames + (size_t)frame * (size_t)books;
    for (int k = 0; k < books; k++)
        if (codes[k] >= codec_code_count(&s->model->codec)) return false;
    return true;
}

/* The reply up to its frame_cap-th audible frame; INT_MAX: all of it. */
static extent measure(const rnl_session *s, int frame_cap) {
    const session_live *live = s->live;
    extent e = {0}, kept = {0};
    while (kept.audible < frame_cap && live->reply_emitted + e.emitted < live->emitted_count) {
        const char kind = s->modality[live->reply_emitted + e.emitted++];
        if (kind == 't')
            e.text++;
        else
            e.audible += is_audible(s, live->reply_frame + e.frame++);
        if (e.audible > kept.audible || frame_cap == INT32_MAX) kept = e;
    }
    return kept;
}

/* The generator as it stood after the decisions that are kept, so that what comes next does not
 * depend on how far the machine had run ahead. */
static void rewind_random(rnl_session *s, const extent *kept) {
    session_live *live = s->live;
    const int books = s->model->backbone.codebook_count;
    const int64_t draws = (int64_t)kept->text * sample_draw_count(live->turn.text) +
                          (int64_t)kept->frame * books * sample_draw_count(live->turn.audio);
    live->random = live->random_begin;
    for (int64_t i = 0; i < draws; i++) (void)random_u64(&live->random);
}

static rnl_status check(const rnl_session *s, rnl_error *error) {
    const session_live *live = s->live;
    if (s->failed)
        return status_fail(error, RNL_ERR_STATE,
                           "the session failed earlier; only reset or destroy it");
    const bool last = live->reply_end == live->position_count && !s->clip_open;
    if (!live->generating && !last)
        return status_fail(error, RNL_ERR_STATE,
                           "there is no reply at the end of the conversation to rewind; rewind "
                           "before anything else is added");
    return RNL_OK;
}

rnl_status rnl_session_rewind(rnl_session *s, size_t sample_count, rnl_error *error) {
    const rnl_status status = check(s, error);
    if (status != RNL_OK) return status;
    session_live *live = s->live;
    const size_t frame_size = (size_t)codec_frame_size(&s->model->codec);
    const extent all = measure(s, INT32_MAX);
    if (!live->generating && sample_count >= (size_t)all.audible * frame_size) return RNL_OK;
    const size_t begun = sample_count / (frame_size > 0 ? frame_size : 1) +
                         (frame_size > 0 && sample_count % frame_size > 0);
    const extent kept = measure(s, begun < (size_t)all.audible ? (int)begun : all.audible);
    live->emitted_count = live->reply_emitted + kept.emitted;
    live->text_count = live->reply_text + kept.text;
    live->frame_count = live->reply_frame + kept.frame;
    live->step_count = kept.emitted;
    live->position_count = live->reply_begin + kept.emitted;
    for (int i = 0; i < s->config.snapshot_cap; i++)
        if (s->slots[i].position_count > live->position_count) s->slots[i].valid = false;
    /* What is kept goes through again as it did, but for the last position: had the reply stopped
     * there, it would wait for what comes next. */
    const int64_t known =
        live->backbone.position > live->replay_end ? live->backbone.position : live->replay_end;
    const int kept_end = kept.emitted > 0 ? live->position_count - 1 : live->position_count;
    live->replay_end = known < kept_end ? (int)known : kept_end;
    return_to_mark(s);
    session_forget_marks(s, live->position_count);
    rewind_random(s, &kept);
    session_output_reset(live);
    live->finish = RNL_FINISH_STOPPED;
    live->end_fed = false;
    live->flushed = true;
    session_close_reply(s);
    return RNL_OK;
}

/* ---- Which words were heard ---- */

/* Samples of speech for a byte of text, before a reply of this session has shown its own pace.
 * Measured with minnow over the replies to samples/questions (docs/LATENCY.md). */
static const double pace_start = 1500.0;

/* The text of token i of the reply; false: it has none that is spoken. in_call: whether the tokens
 * before it stand in a call, which nobody speaks; false before the first. */
static bool spoken_text(const rnl_session *s, int i, bool *in_call, const char **bytes,
                        size_t *size) {
    const chat_ids *ids = &s->model->ids;
    const int32_t id = s->text_ids[i];
    bool special;
    if (s->live->turn.tools != NULL && (id == ids->call_begin || id == ids->call_end)) {
        *in_call = id == ids->call_begin;
        return false;
    }
    return !*in_call && bpe_token_bytes(s->model->source.text, id, bytes, size, &special) &&
           !special;
}

/* Bytes of the reply's text; tokens without text count nothing. */
static int64_t text_size(const rnl_session *s) {
    const session_live *live = s->live;
    int64_t total = 0;
    bool in_call = false;
    for (int i = live->reply_text; i < live->text_count; i++) {
        const char *bytes;
        size_t size;
        if (spoken_text(s, i, &in_call, &bytes, &size)) total += (int64_t)size;
    }
    return total;
}

void session_learn_pace(rnl_session *s) {
    session_live *live = s->live;
    const int audible = measure(s, INT32_MAX).audible;
    const int64_t size = text_size(s);
    if (audible == 0 || size == 0) return;
    live->said_size += size;
    live->said_samples += (int64_t)audible * codec_frame_size(&s->model->codec);
}

/* Bytes of the reply's text that sample_count samples speak. */
static double heard_size(const rnl_session *s, size_t sample_count) {
    const session_live *live = s->live;
    const extent all = measure(s, INT32_MAX);
    const double samples = (double)all.audible * codec_frame_size(&s->model->codec);
    const bool end_frame =
        all.frame > 0 && live->loop.text_done && !is_audible(s, live->reply_frame + all.frame - 1);
    double pace =
        live->said_size > 0 ? (double)live->said_samples / (double)live->said_size : pace_start;
    const double size = (double)text_size(s);
    if ((end_frame || live->finish == RNL_FINISH_END) && size > 0 && samples > 0)
        pace = samples / size;
    return (double)sample_count / pace;
}

rnl_status rnl_session_heard_text(const rnl_session *s, size_t sample_count, char *text, size_t cap,
                                  size_t *size) {
    const session_live *live = s->live;
    utf8_decoder decoder;
    utf8_decoder_reset(&decoder);
    size_t made = 0;
    bool in_call = false;
    for (int i = live->reply_text; i < live->text_count; i++) {
        const char *bytes;
        size_t count;
        if (!spoken_text(s, i, &in_call, &bytes, &count)) continue;
        if (3 * (count + UTF8_PENDING_CAP) > cap - made) break;
        made += utf8_decoder_push(&decoder, bytes, count, text + made, cap - made);
    }
    *size = utf8_words_before(text, made, heard_size(s, sample_count));
    return *size > 0 ? RNL_OK : RNL_AGAIN;
}
