/* What the caller adds -> positions of the history. The layout of a conversation is audio.md 7.2:
 * each piece is tokenised on its own; a clip stands as rows of the encoder, without markers. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/range.h"
#include "core/status.h"
#include "engine/session.h"

rnl_status session_check_content(const rnl_session *s, rnl_error *error) {
    if (s->failed)
        return status_fail(error, RNL_ERR_STATE,
                           "the session failed earlier; only reset or destroy it");
    if (s->live->generating)
        return status_fail(error, RNL_ERR_STATE,
                           "a reply is being generated; step until RNL_DONE or stop it first");
    if (s->model->source.text == NULL)
        return status_fail(
            error, RNL_ERR_UNSUPPORTED,
            "%s: the model has no vocabulary (tokenizer.json), so no conversation can "
            "be laid out",
            s->model->path);
    return RNL_OK;
}

rnl_status rnl_session_reserve(rnl_session *s, int position_count, rnl_error *error) {
    const rnl_status status = session_check_content(s, error);
    if (status != RNL_OK) return status;
    if (position_count < 0)
        return status_fail(error, RNL_ERR_ARGUMENT, "position_count %d of reserve is negative",
                           position_count);
    session_draft d = session_draft_begin(s, error);
    return session_ensure_room(&d, (size_t)position_count, error);
}

static rnl_status add_text(rnl_session *s, rnl_role role, const char *text, size_t size,
                           rnl_error *error) {
    session_draft d = session_draft_begin(s, error);
    session_draft_turn(&d, role);
    session_draft_text(&d, text, size);
    if (d.status != RNL_OK) return d.status;
    const rnl_status status = session_ensure_room(&d, 0, error);
    if (status == RNL_OK) session_accept(&d);
    return status;
}

rnl_status rnl_session_add_text(rnl_session *s, rnl_role role, const char *text, size_t size,
                                rnl_error *error) {
    rnl_status status = session_check_content(s, error);
    if (status != RNL_OK) return status;
    if ((int)role < RNL_ROLE_SYSTEM || (int)role > RNL_ROLE_TOOL || (text == NULL && size > 0))
        return status_fail(error, RNL_ERR_ARGUMENT, "role or text of add_text is not valid");
    if (role == RNL_ROLE_SYSTEM && s->live->begun && s->live->open_role != RNL_ROLE_SYSTEM)
        return status_fail(error, RNL_ERR_STATE,
                           "a system text must come first; reset the session to give another one");
    if (!utf8_is_valid(text, size))
        return status_fail(error, RNL_ERR_DATA,
                           "the text is not valid UTF-8; convert it to UTF-8 first");
    if (s->clip_open) {
        status = rnl_session_end_audio(s, error);
        if (status != RNL_OK) return status;
    }
    if (role == RNL_ROLE_TOOL) return session_add_result(s, text, size, error);
    if (size == 0) return RNL_OK;
    if (role == RNL_ROLE_USER) session_forget_thinking(s);
    return add_text(s, role, text, size, error);
}

/* ---- Clips ---- */

static rnl_status check_samples(const rnl_session *s, const float *samples, size_t count, int rate,
                                rnl_error *error) {
    if (!s->model->source.config.has_encoder)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: the model has no audio encoder; give it text", s->model->path);
    if (rate < 4000 || rate > 768000)
        return status_fail(
            error, RNL_ERR_DATA,
            "a sampling rate of %d Hz is outside 4000 to 768000 Hz; resample the sound", rate);
    if (samples == NULL && count > 0)
        return status_fail(error, RNL_ERR_ARGUMENT, "samples of the clip are NULL");
    if (s->clip_open && rate != s->clip_rate)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "the clip began at %d Hz and goes on at %d Hz; end it first",
                           s->clip_rate, rate);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(samples[i]))
            return status_fail(error, RNL_ERR_DATA,
                               "sample %zu of the clip is not a number; the sound is damaged", i);
    return RNL_OK;
}

static rnl_status too_long(const rnl_session *s, rnl_error *error) {
    return status_fail(
        error, RNL_ERR_TOO_LONG,
        "the clip is longer than %g s, the most that this session takes in one turn; "
        "cut it, or use `runnel transcribe` for long recordings",
        s->config.clip_seconds_max);
}

rnl_status rnl_session_push_audio(rnl_session *s, const float *samples, size_t count, int rate,
                                  rnl_error *error) {
    rnl_status status = session_check_content(s, error);
    if (status == RNL_OK) status = check_samples(s, samples, count, rate, error);
    if (status != RNL_OK) return status;
    const size_t before = s->clip_open ? s->clip_count : 0;
    const double seconds = ((double)before + (double)count) / rate;
    if (seconds > s->config.clip_seconds_max) return too_long(s, error);
    if (!s->clip_open) {
        resampler_begin(s->resampler, rate, RNL_RATE_IN);
        mel_reset(&s->mel);
        for (int i = 0; i < s->config.snapshot_cap; i++)
            if (s->slots[i].clip_open) s->slots[i].valid = false;
        s->clip_open = true;
        s->clip_rate = rate;
    }
    s->clip_count = before + count;
    while (count > 0) {
        size_t taken, made;
        resampler_push(s->resampler, samples, count, &taken, s->pass->resampled, PASS_BLOCK, &made);
        status = mel_push(&s->mel, s->pass->resampled, made);
        if (status != RNL_OK) return too_long(s, error);
        samples += taken;
        count -= taken;
    }
    return RNL_OK;
}

void rnl_session_cancel_audio(rnl_session *s) {
    s->clip_open = false;
}

static rnl_status drain_resampler(rnl_session *s, rnl_error *error) {
    size_t made;
    do {
        resampler_finish(s->resampler, s->pass->resampled, PASS_BLOCK, &made);
        if (mel_push(&s->mel, s->pass->resampled, made) != RNL_OK) return too_long(s, error);
    } while (made > 0);
    return RNL_OK;
}

int session_clip_positions(int64_t sample_count) {
    return encoder_position_count((int)(sample_count / MEL_HOP) + 1);
}

/* What is known again is not encoded again. */
static void append_clip(rnl_session *s, int rows) {
    const bool kept = s->config.kept_places > 0;
    const size_t size =
        (size_t)mel_frame_count(&s->mel) * (size_t)s->mel.w->band_count * sizeof(float);
    session_sum sum = {{0}};
    if (kept) session_sum_add(&sum, mel_frames(&s->mel), size);
    s->encoding =
        !kept || (session_bring_back(s, &sum, rows) == 0 && !session_borrow(s, &sum, rows));
    for (int i = 0; s->encoding && i < rows; i++)
        (void)session_append_row(s, -1, kept ? session_sum_at(&sum, i) : SESSION_SUM_NONE);
    session_go_on(s);
}

rnl_status rnl_session_end_audio(rnl_session *s, rnl_error *error) {
    if (!s->clip_open) return RNL_OK;
    if (s->encoding) return RNL_AGAIN; /* the encoder holds one clip at a time */
    s->clip_open = false;
    rnl_status status = drain_resampler(s, error);
    if (status != RNL_OK) return status;
    /* audio.md 3.4: the stage takes any length, the session nothing shorter than two hops. */
    if (mel_sample_count(&s->mel) < 2 * RNL_RATE_IN / 100)
        return status_fail(error, RNL_ERR_DATA,
                           "the clip is shorter than 20 ms; record something longer");
    session_forget_thinking(s);
    session_draft d = session_draft_begin(s, error);
    session_draft_turn(&d, RNL_ROLE_USER);
    if (d.status != RNL_OK) return d.status;
    mel_finish(&s->mel);
    const int rows = encoder_position_count(mel_frame_count(&s->mel));
    status = session_ensure_room(&d, (size_t)rows, error);
    if (status != RNL_OK) return status;
    session_accept(&d);
    s->percept = &percept_clip;
    s->encode_at = s->live->position_count;
    s->encode_count = rows;
    s->encode_frame_count = mel_frame_count(&s->mel);
    append_clip(s, rows); /* the encoder fills them */
    return RNL_OK;
}

/* Where a device has the encoder, it takes the clip whole. */
static bool encode_elsewhere(pass *p, rnl_session *s, int frame_count) {
    encoder_placed *device = p->model->placement.encoder;
    if (device == NULL) return false;
    p->elsewhere = s->elsewhere = true;
    return encoder_device_run(device, mel_frames(&s->mel), frame_count,
                              encoder_give(&p->encoder, frame_count));
}

void session_encode_begin(rnl_session *s, int frame_count) {
    if (!encode_elsewhere(s->pass, s, frame_count))
        encoder_begin(&s->pass->encoder, mel_frames(&s->mel), frame_count);
}

/* A block of the encoder. */
static rnl_status step_clip(pass *p, rnl_session *s, const compute *c, bool begins) {
    if (begins) session_encode_begin(s, s->encode_frame_count);
    if (encoder_step(&p->encoder, c) == RNL_OK) return RNL_OK;
    const size_t width = (size_t)backbone_width(&p->model->backbone);
    adapter_forward(&p->adapter, c, encoder_output(&p->encoder), s->encode_count,
                    s->embeddings + (size_t)s->encode_at * width);
    return RNL_DONE;
}

const percept_kind percept_clip = {.name = "clip", .step = step_clip};

rnl_status rnl_session_add_audio(rnl_session *s, const float *samples, size_t count, int rate,
                                 rnl_error *error) {
    if (s->clip_open)
        return status_fail(error, RNL_ERR_STATE,
                           "a clip is open; end or cancel it before adding another");
    rnl_status status = session_check_content(s, error);
    if (status == RNL_OK) status = check_samples(s, samples, count, rate, error);
    if (status == RNL_OK && s->encoding) return RNL_AGAIN;
    if (status == RNL_OK) status = rnl_session_push_audio(s, samples, count, rate, error);
    if (status != RNL_OK) {
        s->clip_open = false;
        return status;
    }
    return rnl_session_end_audio(s, error);
}

rnl_status session_add_audio_of(rnl_session *s, const rnl_session *lender, const float *samples,
                                size_t count, int rate, bool *lent, rnl_error *error) {
    s->lender = lender;
    const rnl_status status = rnl_session_add_audio(s, samples, count, rate, error);
    s->lender = NULL;
    *lent = status == RNL_OK && !s->encoding;
    return status;
}

/* ---- The reply's frame ---- */

static rnl_status check_turn(const rnl_session *s, const rnl_turn_config *t, rnl_error *error) {
    if (!rnl_model_can(s->model, t->mode))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: the model cannot do this: it %s audio and %s audio", s->model->path,
                           s->model->source.config.has_encoder ? "takes" : "does not take",
                           s->model->source.config.codec != CODEC_NONE ? "makes" : "does not make");
    const range ranges[] = {
        {"text temperature", t->text.temperature, 0, 2},
        {"audio temperature", t->audio.temperature, 0, 2},
        {"text top_k", t->text.top_k, 1, INT32_MAX},
        {"audio top_k", t->audio.top_k, 1, INT32_MAX},
        {"text top_p", t->text.top_p, 1e-6, 1},
        {"audio top_p", t->audio.top_p, 1e-6, 1},
        {"text min_p", t->text.min_p, 0, 1},
        {"audio min_p", t->audio.min_p, 0, 1},
        {"text repeat_penalty", t->text.repeat_penalty, 0.0999, 10},
        {"audio repeat_penalty", t->audio.repeat_penalty, 1, 1},
        {"step_max", t->step_max, 1, 1 << 20},
        {"alternatives", t->alternatives, 0, s->config.alternatives_max},
        {"text_run", t->text_run, 1, 64},
        {"audio_run", t->audio_run, 1, 256},
    };
    const rnl_status status = range_check(ranges, sizeof ranges / sizeof *ranges, error);
    return status == RNL_OK ? session_guide_check(s, t, error) : status;
}

static void start_reply(rnl_session *s, const rnl_turn_config *turn) {
    session_live *live = s->live;
    const chat_ids *ids = &s->model->ids;
    generate_config config = {.interleaved = turn->mode == RNL_MODE_INTERLEAVED,
                              .text_run = turn->text_run,
                              .audio_run = turn->audio_run,
                              .end_id = ids->message_end,
                              .audio_start_id =
                                  s->model->backbone.codebook_count > 0 ? ids->audio_start : -1,
                              .text_end_id = ids->text_end,
                              .end_code = s->model->backbone.code_count - 1,
                              .codebook_count = s->model->backbone.codebook_count};
    config.stop_count = s->model->stop_count;
    memcpy(config.stop_ids, s->model->stop_ids, sizeof s->model->stop_ids);
    generate_begin(&live->loop, &config);
    live->turn = *turn;
    live->generating = true;
    live->flushed = false;
    live->end_fed = false;
    live->reply_sum = 0;
    live->finish = RNL_FINISH_NONE;
    live->step_count = 0;
    live->reply_begin = live->position_count;
    live->reply_end = live->answer_at = -1;
    live->random_begin = live->random;
    live->reply_emitted = live->emitted_count;
    live->reply_text = live->text_count;
    live->reply_frame = live->frame_count;
    session_output_reset(live);
    session_guide_begin(s);
    if (s->model->codec.kind != CODEC_NONE) codec_reset(&live->codec);
}

/* Where answers begin with thinking, an answer of a given form has none: it is over at once. */
static void draft_thinking(session_draft *d, const rnl_turn_config *turn) {
    if (turn->mode != RNL_MODE_TEXT || !rnl_model_begins_thinking(d->s->model)) return;
    session_draft_text(d, "<think>", 7);
    if (turn->answer != NULL || turn->call_required) session_draft_text(d, "</think>", 8);
}

rnl_status rnl_session_begin(rnl_session *s, const rnl_turn_config *turn, rnl_error *error) {
    rnl_status status = session_check_content(s, error);
    if (status == RNL_OK) status = check_turn(s, turn, error);
    if (status == RNL_OK && s->clip_open) status = rnl_session_end_audio(s, error);
    if (status != RNL_OK) return status;
    const char *prompt = rnl_model_system_prompt(s->model, turn->mode);
    session_draft d = session_draft_begin(s, error);
    if (!s->live->begun && prompt != NULL) {
        session_draft_turn(&d, RNL_ROLE_SYSTEM);
        session_draft_text(&d, prompt, strlen(prompt));
    }
    session_draft_turn(&d, RNL_ROLE_ASSISTANT);
    draft_thinking(&d, turn);
    if (d.status != RNL_OK) return d.status;
    status = session_ensure_room(&d, session_guide_room(turn), error);
    if (status != RNL_OK) return status;
    session_accept(&d);
    start_reply(s, turn);
    if (turn->mode == RNL_MODE_TEXT) /* what is spoken is waited for: no pass more for it */
        s->live->answer_at = s->live->position_count - (int)d.count;
    return RNL_OK;
}
