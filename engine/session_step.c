/* One bounded piece of work: a block of the encoder, a batch of prefill, or one decision of the
 * reply with its sound. Order: the encoder fills its rows, then every waiting position goes
 * through the backbone, then the reply is continued from the last hidden state. */
#include <assert.h>
#include <string.h>

#include "core/status.h"
#include "engine/session.h"

static size_t width_of(const rnl_session *s) {
    return (size_t)backbone_width(&s->model->backbone);
}

/* A clip is encoded whole, all of it in one way, so it may be rounded to BF16. */
static void step_encoder(rnl_session *s) {
    compute c = s->compute;
    c.brains = true;
    if (encoder_step(&s->encoder, &c) == RNL_OK) return;
    adapter_forward(&s->adapter, &c, encoder_output(&s->encoder), s->encode_count,
                    s->embeddings + (size_t)s->encode_at * width_of(s));
    s->encoding = false;
}

void session_forward(rnl_session *s, float *x, int count, bool decides) {
    compute c = s->compute;
    c.brains = !decides;
    const stack_piece piece = {.state = &s->live->backbone, .count = count};
    stack_forward(&s->backbone, &c, &piece, 1, x);
}

/* Positions that can go through the backbone now. The last one of an answer that the caller writes
 * waits until the next call: when that is begin, the reply goes on from its hidden state. */
static int waiting(const rnl_session *s) {
    const session_live *live = s->live;
    const bool held = !live->generating && live->open_role == RNL_ROLE_ASSISTANT;
    const int count = live->position_count - (int)live->backbone.position - held;
    return count > 0 ? count : 0;
}

/* A position that is replayed after an interruption goes through as it did before. */
static bool is_decision(const rnl_session *s, int64_t position) {
    const session_live *live = s->live;
    if (position < live->replay_end) return s->decided[position] != 0;
    return live->generating && live->step_count > 0;
}

/* Of the next positions those that go through together. */
static int batch_count(const rnl_session *s) {
    const session_live *live = s->live;
    const int64_t at = live->backbone.position;
    const int most = s->config.step_positions;
    const int count = waiting(s) < most ? waiting(s) : most;
    if (!compute_rounds(&s->compute)) return count;
    int alike = 1;
    while (alike < count && is_decision(s, at + alike) == is_decision(s, at)) alike++;
    return alike;
}

/* Runs one batch; returns the hidden state of its last position. */
static const float *step_prefill(rnl_session *s) {
    session_live *live = s->live;
    const size_t width = width_of(s), at = (size_t)live->backbone.position;
    const int count = batch_count(s);
    memcpy(s->x, s->embeddings + at * width, (size_t)count * width * sizeof *s->x);
    const bool decides = is_decision(s, live->backbone.position);
    session_forward(s, s->x, count, decides);
    memset(s->decided + at, decides, (size_t)count);
    return s->x + (size_t)(count - 1) * width;
}

static void emit(session_live *live, char *modality, char kind) {
    modality[live->emitted_count++] = kind;
}

/* A weight file with NaN or infinity in it shows here at the latest. */
static rnl_status not_finite(const rnl_session *s, rnl_error *error) {
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: the model computes values that are not numbers; the file is damaged, "
                       "download it again",
                       s->model->path);
}

static rnl_status decide_text(rnl_session *s, const float *hidden, bool *stop, rnl_error *error) {
    session_live *live = s->live;
    const int vocab = backbone_vocab_count(&s->model->backbone);
    backbone_logits(&s->model->backbone, &s->compute, hidden, s->logits, 1);
    const int id = sample_index(s->logits, vocab, live->turn.text, &live->random, s->draw);
    if (id < 0) return not_finite(s, error);
    const generate_result result = generate_text(&live->loop, id);
    *stop = result.stop;
    if (result.stop) live->finish = RNL_FINISH_END;
    if (!result.emit) return RNL_OK;
    emit(live, s->modality, 't');
    s->text_confidences[live->text_count] = sample_confidence(s->logits, vocab, id);
    s->text_ids[live->text_count++] = id;
    backbone_embed_text(&s->model->backbone, &s->compute, id, session_append(s));
    live->end_fed = result.stop;
    session_put_token(s, id);
    return RNL_OK;
}

static rnl_status decide_frame(rnl_session *s, const float *hidden, rnl_error *error) {
    session_live *live = s->live;
    const size_t books = (size_t)s->model->backbone.codebook_count;
    int32_t *codes = s->frames + (size_t)live->frame_count * books;
    depth_row row = {.how = live->turn.audio, .random = &live->random, .codes = codes};
    depth_frames(&s->depth, &s->compute, hidden, &row, 1);
    if (row.failed) return not_finite(s, error);
    generate_frame(&live->loop, codes);
    emit(live, s->modality, 'a');
    live->frame_count++;
    backbone_embed_frame(&s->model->backbone, &s->compute, codes, session_append(s), s->row);
    const rnl_status status = session_put_frame(s, codes);
    return status == RNL_OK ? RNL_OK : status_fail(error, status, "the codec refused a frame");
}

static void finish_reply(rnl_session *s) {
    session_flush_output(s);
    session_close_reply(s);
    if (s->live->finish == RNL_FINISH_END) session_learn_pace(s);
}

/* One decision from the hidden state of the last position. */
static rnl_status decide(rnl_session *s, const float *hidden, rnl_error *error) {
    session_live *live = s->live;
    bool stop = false;
    const rnl_status status = generate_wants_frame(&live->loop)
                                  ? decide_frame(s, hidden, error)
                                  : decide_text(s, hidden, &stop, error);
    if (status != RNL_OK) {
        s->failed = true;
        return status;
    }
    live->step_count++;
    if (!stop && live->step_count == live->turn.step_max)
        live->finish = RNL_FINISH_LIMIT;
    else if (!stop && live->position_count + 1 + SESSION_CLOSE_CAP > s->config.context_cap)
        live->finish = RNL_FINISH_CONTEXT;
    if (live->finish == RNL_FINISH_NONE) return RNL_OK;
    finish_reply(s);
    return RNL_DONE;
}

rnl_status rnl_session_step(rnl_session *s, rnl_error *error) {
    session_live *live = s->live;
    if (s->failed)
        return status_fail(error, RNL_ERR_STATE,
                           "the session failed earlier; only reset or destroy it");
    if (live->generating && !session_output_has_room(s)) return RNL_AGAIN;
    /* What stands before a clip can be prefilled while nothing else is to do; the clip comes first
     * because the caller waits for it. */
    if (s->encoding) {
        step_encoder(s);
        return RNL_OK;
    }
    if (waiting(s) == 0) return RNL_DONE;
    const float *hidden = step_prefill(s);
    if (live->backbone.position < live->position_count) return RNL_OK;
    session_mark_decision(s);
    return live->generating ? decide(s, hidden, error) : RNL_OK;
}

const generate *session_loop(const rnl_session *s) {
    return &s->live->loop;
}

rnl_stage rnl_session_stage(const rnl_session *s) {
    const session_live *live = s->live;
    if (s->encoding) return RNL_STAGE_ENCODE;
    if (live->generating && (waiting(s) <= 1 || live->step_count > 0)) return RNL_STAGE_GENERATE;
    return waiting(s) > 0 ? RNL_STAGE_PREFILL : RNL_STAGE_IDLE;
}

void rnl_session_stop(rnl_session *s) {
    if (!s->live->generating || s->failed) return;
    s->live->finish = RNL_FINISH_STOPPED;
    finish_reply(s);
}
