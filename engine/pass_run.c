/* Running a pass: what each item may do in it, the rows of all through the backbone, then the
 * decisions of those whose history has gone through whole. */
#include <assert.h>
#include <string.h>

#include "core/status.h"
#include "engine/session.h"

static size_t width_of(const pass *p) {
    return (size_t)backbone_width(&p->model->backbone);
}

/* ---- Encoder ---- */

/* A piece of work at a clip or a picture. Either is encoded whole, all of it in one way, so it may
 * be rounded to BF16. */
static rnl_status encode(pass *p, rnl_session *s) {
    compute c = session_compute(s);
    c.bf16 = true;
    if (p->encoding != NULL && p->encoding != s) return RNL_AGAIN;
    const bool begins = p->encoding == NULL;
    p->encoding = s;
    const rnl_status status = s->percept->step(p, s, &c, begins);
    if (status == RNL_AGAIN) p->encoding = NULL;
    if (status == RNL_DONE) session_drop_encoding(s);
    return RNL_OK;
}

/* ---- Which rows ---- */

/* A position that is replayed after an interruption goes through as it did before. */
static bool is_decision(const rnl_session *s, int64_t position) {
    const session_live *live = s->live;
    if (position < live->replay_end) return s->decided[position] != 0;
    return live->generating && live->step_count > 0;
}

/* Of the next positions those that go through together, at most `most`: with levels that round what
 * is prefilled only those of a kind. */
static int row_count_of(const pass *p, const rnl_session *s, int most) {
    const int64_t at = s->live->backbone.position;
    const int waiting = session_waiting(s);
    const int count = session_rows_to_place(s, waiting < most ? waiting : most);
    if (!p->config.rounds || !compute_rounds(&p->compute)) return count;
    int alike = 1;
    while (alike < count && is_decision(s, at + alike) == is_decision(s, at)) alike++;
    return alike;
}

static bool is_twice(const pass *p, const rnl_session *s, int entry_count) {
    for (int i = 0; i < entry_count; i++)
        if (p->entries[i].item->session == s) return true;
    return false;
}

static rnl_status check_item(const pass *p, rnl_batch_item *item, int entry_count) {
    const rnl_session *s = item->session;
    if (s->pass != p || is_twice(p, s, entry_count))
        return status_fail(&item->error, RNL_ERR_ARGUMENT,
                           "a session is not of this batch, or twice in one pass");
    if (item->stage == RNL_STAGE_PREFILL && item->position_count < 1)
        return status_fail(&item->error, RNL_ERR_ARGUMENT,
                           "position_count %d of a prefill is below 1", item->position_count);
    if (s->failed)
        return status_fail(&item->error, RNL_ERR_STATE,
                           "the session failed earlier; only reset or destroy it");
    if (item->stage != rnl_session_stage(s))
        return status_fail(&item->error, RNL_ERR_STATE,
                           "this is not what the session does next; ask rnl_session_stage");
    return RNL_OK;
}

/* RNL_OK with *entry filled; anything else is the item's status. */
static rnl_status admit(const pass *p, rnl_batch_item *item, int rows_left, int decisions_left,
                        pass_entry *entry) {
    rnl_session *s = item->session;
    const session_live *live = s->live;
    if (live->generating && !session_output_has_room(s)) return RNL_AGAIN;
    if (item->stage == RNL_STAGE_ENCODE) return RNL_OK;
    const int waiting = session_waiting(s);
    if (waiting == 0) return RNL_DONE;
    const int wanted = item->stage == RNL_STAGE_PREFILL ? item->position_count : rows_left;
    *entry = (pass_entry){.item = item};
    entry->count = row_count_of(p, s, wanted < rows_left ? wanted : rows_left);
    entry->decides = live->generating && entry->count == waiting;
    if (entry->decides && decisions_left == 0) entry->count--; /* the last one next time */
    if (entry->count == 0) return RNL_AGAIN;
    entry->decides = entry->decides && decisions_left > 0;
    entry->frame = entry->decides && generate_wants_frame(session_loop(s));
    return RNL_OK;
}

/* Takes what there is room for; returns the number of entries. */
static int take(pass *p, rnl_batch_item *items, size_t item_count) {
    int count = 0, rows = 0, decisions = 0;
    for (size_t i = 0; i < item_count; i++) {
        rnl_batch_item *item = &items[i];
        pass_entry *entry = &p->entries[count];
        item->status = check_item(p, item, count);
        if (item->status != RNL_OK) continue;
        const int left = p->config.row_cap - rows;
        item->status = left == 0 && item->stage != RNL_STAGE_ENCODE
                           ? RNL_AGAIN
                           : admit(p, item, left, p->config.decision_cap - decisions, entry);
        if (item->status != RNL_OK) continue;
        if (item->stage == RNL_STAGE_ENCODE) {
            item->status = encode(p, item->session);
            continue;
        }
        rows += entry->count;
        decisions += entry->decides;
        count++;
    }
    return count;
}

/* ---- Adapters ---- */

/* The rows of one more session; of those that have the same added one span. */
static void add_span(pass *p, const rnl_session *s, int count) {
    if (p->spans == NULL) return;
    linear_span *last = p->span_count > 0 ? &p->spans[p->span_count - 1] : NULL;
    if (last != NULL && last->adapter == s->span.adapter && last->scale == s->span.scale) {
        last->count += count;
        return;
    }
    p->spans[p->span_count] = s->span;
    p->spans[p->span_count++].count = count;
}

/* For the rows of the spans. */
static compute compute_of(const pass *p) {
    compute c = p->compute;
    c.spans = p->spans;
    c.span_count = p->span_count;
    return c;
}

/* ---- Backbone ---- */

/* Before a pass over the backbone; decides: all its rows are decisions. */
static void choose_place(pass *p, bool decides) {
    p->backbone.on = placement_of(p->model, decides);
    p->elsewhere = p->elsewhere || p->backbone.on != NULL;
}

void pass_forward(pass *p, const compute *c, stack_state *state, int count, bool decides,
                  float *x) {
    const stack_piece piece = {.state = state, .count = count};
    choose_place(p, decides);
    stack_forward(&p->backbone, c, &piece, 1, x);
}

static void begin_forward(pass *p) {
    const size_t width = width_of(p);
    float *x = p->x;
    bool decides = true;
    p->span_count = 0;
    for (int i = 0; i < p->entry_count; i++) {
        pass_entry *e = &p->entries[i];
        const rnl_session *s = e->item->session;
        const int64_t at = s->live->backbone.position;
        decides = decides && is_decision(s, at);
        memcpy(x, s->embeddings + (size_t)at * width, (size_t)e->count * width * sizeof *x);
        p->pieces[i] = (stack_piece){.state = &s->live->backbone, .count = e->count};
        add_span(p, s, e->count);
        e->hidden = x + (size_t)(e->count - 1) * width;
        for (int t = 0; t < e->count; t++) s->decided[at + t] = is_decision(s, at + t);
        x += (size_t)e->count * width;
    }
    p->bf16 = p->config.rounds && !decides;
    choose_place(p, decides);
    stack_forward_begin(&p->backbone, p->pieces, p->entry_count);
}

/* The hidden states of the entries that decide a token, or a frame, side by side. */
static int gather(pass *p, int entry_count, bool frame) {
    const size_t width = width_of(p);
    int count = 0;
    for (int i = 0; i < entry_count; i++)
        if (p->entries[i].decides && p->entries[i].frame == frame)
            memcpy(p->hidden + (size_t)count++ * width, p->entries[i].hidden,
                   width * sizeof *p->hidden);
    return count;
}

/* ---- Decisions ---- */

static void emit(rnl_session *s, char kind) {
    s->modality[s->live->emitted_count++] = kind;
}

/* A weight file with NaN or infinity in it shows here at the latest. */
static void not_finite(pass_entry *e) {
    rnl_batch_item *item = e->item;
    item->status = status_fail(&item->error, RNL_ERR_FORMAT,
                               "%s: the model computes values that are not numbers; the file is "
                               "damaged, download it again",
                               item->session->model->path);
}

/* The logits that a token is drawn from: those of the model, or a changed copy of them, in draw. */
static const float *shape_logits(const pass *p, rnl_session *s, const float *logits, float *draw,
                                 unsigned char *seen) {
    const int vocab = backbone_vocab_count(&p->model->backbone);
    const float penalty = s->live->turn.text.repeat_penalty;
    if (penalty == 1.0f && !session_guide_masks(s)) return logits;
    memcpy(draw, logits, (size_t)vocab * sizeof *logits);
    if (penalty != 1.0f)
        sample_penalise(draw, vocab, s->ids, (size_t)s->live->position_count, penalty, seen);
    if (session_guide_masks(s)) session_guide_mask(s, draw, vocab);
    return draw;
}

/* Of the token that is about to be counted. */
static void note_alternatives(rnl_session *s, const float *logits, int vocab) {
    const int count = s->live->turn.alternatives;
    const size_t at = (size_t)s->live->text_count * (size_t)s->config.alternatives_max;
    if (count > 0)
        sample_alternatives(logits, vocab, count, s->alternatives + at,
                            s->alternative_confidences + at);
}

/* Touches nothing of the pass but what belongs to this decider. */
static void decide_token(const pass *p, pass_entry *e, int decider) {
    rnl_session *s = e->item->session;
    session_live *live = s->live;
    const int vocab = backbone_vocab_count(&p->model->backbone);
    float *draw = p->draw + (size_t)decider * 3 * (size_t)vocab;
    unsigned char *seen = p->seen + (size_t)decider * p->seen_size;
    const int id = sample_index(shape_logits(p, s, e->logits, draw, seen), vocab, live->turn.text,
                                &live->random, draw + vocab);
    if (id < 0) {
        not_finite(e);
        return;
    }
    const generate_result result = generate_text(&live->loop, id);
    e->stop = result.stop;
    if (result.stop) live->finish = RNL_FINISH_END;
    if (!result.emit) return;
    emit(s, 't');
    s->text_confidences[live->text_count] = sample_confidence(e->logits, vocab, id);
    note_alternatives(s, e->logits, vocab);
    s->text_ids[live->text_count++] = id;
    backbone_embed_text(&p->model->backbone, &p->compute, id, session_append(s, id));
    live->end_fed = result.stop;
    session_put_token(s, id);
}

static void decide_part(void *context, int64_t begin, int64_t end, int thread_index) {
    const pass *p = context;
    for (int64_t i = begin; i < end; i++)
        if (p->entries[i].logits != NULL) decide_token(p, &p->entries[i], thread_index);
}

/* A vocabulary is long: drawing from one costs about as much as a layer's norms and convolutions,
 * so the sessions are shared out. */
static void decide_tokens(pass *p, int entry_count) {
    const size_t vocab = (size_t)backbone_vocab_count(&p->model->backbone);
    const int count = gather(p, entry_count, false);
    const float *logits = p->logits;
    if (count == 0) return;
    p->span_count = 0;
    for (int i = 0; i < entry_count; i++)
        if (p->entries[i].decides && !p->entries[i].frame)
            add_span(p, p->entries[i].item->session, 1);
    const compute c = compute_of(p);
    backbone_logits(&p->model->backbone, &c, p->hidden, p->logits, count);
    for (int i = 0; i < entry_count; i++) {
        pass_entry *e = &p->entries[i];
        e->logits = e->decides && !e->frame ? logits : NULL;
        if (e->logits != NULL) logits += vocab;
    }
    if (p->decider_count > 1)
        pool_run(p->compute.pool, entry_count, 1, decide_part, p);
    else
        decide_part(p, 0, entry_count, 0);
}

static int32_t *next_codes(const pass *p, const rnl_session *s) {
    return s->frames + (size_t)s->live->frame_count * (size_t)p->model->backbone.codebook_count;
}

/* The codes of a frame are there: into the history, and on to the codec when they have a sound. */
static void accept_frame(pass *p, pass_entry *e, const depth_row *row, int *sound_count) {
    rnl_session *s = e->item->session;
    session_live *live = s->live;
    int32_t *codes = next_codes(p, s);
    if (row->failed) {
        not_finite(e);
        return;
    }
    generate_frame(&live->loop, codes);
    emit(s, 'a');
    live->frame_count++;
    backbone_embed_frame(&p->model->backbone, &p->compute, codes, session_append(s, -1), p->row);
    if (!session_has_sound(s, codes)) return;
    p->frame_owners[*sound_count] = e;
    p->frames[(*sound_count)++] = (codec_frame){
        .state = &live->codec, .codes = codes, .out = live->samples + live->sample_count};
}

static void make_sound(pass *p, int count) {
    if (count == 0) return;
    codec_push(&p->codec, &p->compute, p->frames, count);
    for (int i = 0; i < count; i++) {
        rnl_batch_item *item = p->frame_owners[i]->item;
        item->session->live->sample_count += (size_t)p->frames[i].count;
        if (p->frames[i].status != RNL_OK)
            item->status =
                status_fail(&item->error, p->frames[i].status, "the codec refused a frame");
    }
}

static void decide_frames(pass *p, int entry_count) {
    const int count = gather(p, entry_count, true);
    int row = 0, sound_count = 0;
    if (count == 0) return;
    p->span_count = 0;
    for (int i = 0; i < entry_count; i++) {
        const rnl_session *s = p->entries[i].item->session;
        if (!p->entries[i].frame) continue;
        add_span(p, s, 1);
        p->depth_rows[row++] = (depth_row){
            .how = s->live->turn.audio, .random = &s->live->random, .codes = next_codes(p, s)};
    }
    const compute c = compute_of(p);
    depth_frames(&p->depth, &c, p->hidden, p->depth_rows, count);
    row = 0;
    for (int i = 0; i < entry_count; i++)
        if (p->entries[i].frame)
            accept_frame(p, &p->entries[i], &p->depth_rows[row++], &sound_count);
    make_sound(p, sound_count);
}

/* What a decision means for the reply. */
static void conclude(pass_entry *e) {
    rnl_session *s = e->item->session;
    session_live *live = s->live;
    if (e->item->status < 0) {
        s->failed = true;
        return;
    }
    live->step_count++;
    if (!e->stop && live->step_count == live->turn.step_max)
        live->finish = RNL_FINISH_LIMIT;
    else if (!e->stop && live->position_count + 1 + SESSION_CLOSE_CAP > s->config.context_cap)
        live->finish = RNL_FINISH_CONTEXT;
    if (live->finish == RNL_FINISH_NONE) return;
    session_finish_reply(s);
    e->item->status = RNL_DONE;
}

static void decide(pass *p) {
    for (int i = 0; i < p->entry_count; i++) {
        rnl_session *s = p->entries[i].item->session;
        if (s->live->backbone.position == s->live->position_count) session_mark_decision(s);
        session_keep_place(s);
    }
    decide_tokens(p, p->entry_count);
    decide_frames(p, p->entry_count);
    for (int i = 0; i < p->entry_count; i++)
        if (p->entries[i].decides) conclude(&p->entries[i]);
    p->entry_count = 0;
}

void pass_begin(pass *p, rnl_batch_item *items, size_t count) {
    assert(p->entry_count == 0);
    p->entry_count = take(p, items, count);
    if (p->entry_count > 0) begin_forward(p);
}

rnl_status pass_step(pass *p) {
    if (p->entry_count == 0) return RNL_DONE;
    if (p->backbone.layer == p->model->backbone.stack.config.layer_count) {
        decide(p);
        return RNL_DONE;
    }
    compute c = compute_of(p);
    c.bf16 = p->bf16;
    (void)stack_forward_step(&p->backbone, &c, p->pieces, p->entry_count, p->x);
    return RNL_OK;
}

void pass_run(pass *p, rnl_batch_item *items, size_t count) {
    pass_begin(p, items, count);
    while (pass_step(p) == RNL_OK) continue;
}
