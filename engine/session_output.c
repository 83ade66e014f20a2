/* What the reply has produced and the caller has not taken yet. The queues have room for one more
 * decision whenever a step runs; otherwise the step says RNL_AGAIN. */
#include <assert.h>
#include <string.h>

#include "engine/session.h"

const char *rnl_finish_name(rnl_finish finish) {
    switch (finish) {
    case RNL_FINISH_NONE:
        return "none";
    case RNL_FINISH_END:
        return "end";
    case RNL_FINISH_LIMIT:
        return "limit";
    case RNL_FINISH_CONTEXT:
        return "context";
    case RNL_FINISH_STOPPED:
        return "stopped";
    }
    return "?";
}

void session_output_reset(session_live *live) {
    utf8_decoder_reset(&live->decoder);
    live->text_size = 0;
    live->sample_count = 0;
    session_guide_reset(live);
}

bool session_output_has_room(const rnl_session *s) {
    const session_live *live = s->live;
    /* Every byte of a token may become a replacement character of three, and so may what waits in
     * the decoder. */
    const size_t text = 3 * ((size_t)s->model->token_size_max + UTF8_PENDING_CAP);
    const size_t sound = 2 * (size_t)codec_frame_size(&s->model->codec); /* a frame and the end */
    return !session_guide_waits(s) && live->text_cap - live->text_size >= text &&
           live->sample_cap - live->sample_count >= sound;
}

void session_put_token(rnl_session *s, int32_t id) {
    session_live *live = s->live;
    const char *bytes;
    size_t size;
    bool special;
    if (session_guide_take(s, id)) return;
    if (!bpe_token_bytes(s->model->source.text, id, &bytes, &size, &special) || special) return;
    live->text_size += utf8_decoder_push(&live->decoder, bytes, size, live->text + live->text_size,
                                         live->text_cap - live->text_size);
}

bool session_has_sound(const rnl_session *s, const int32_t *codes) {
    if (s->model->codec.kind == CODEC_NONE) return false;
    /* The end frame, and any frame with the end code in a later book, is history but no sound
     * (audio.md 6.6). */
    const int code_count = codec_code_count(&s->model->codec);
    for (int k = 0; k < s->model->backbone.codebook_count; k++)
        if (codes[k] >= code_count) return false;
    return true;
}

static void flush_decoder(session_live *live) {
    live->text_size += utf8_decoder_flush(&live->decoder, live->text + live->text_size,
                                          live->text_cap - live->text_size);
}

void session_flush_output(rnl_session *s) {
    session_live *live = s->live;
    session_guide_end(s);
    if (live->guide.held != HELD_TEXT) flush_decoder(live); /* else behind it */
    if (s->model->codec.kind != CODEC_NONE) {
        int count = 0;
        codec_finish(&live->codec, live->samples + live->sample_count, &count);
        live->sample_count += (size_t)count;
    }
    live->flushed = true;
}

/* Whole characters only: a cut inside one moves back to its first byte. */
static size_t whole_characters(const char *text, size_t size, size_t cap) {
    if (size <= cap) return size;
    size_t cut = cap;
    while (cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80) cut--;
    return cut;
}

/* Text that was held back goes on, as far as there is room. */
static void release_text(rnl_session *s) {
    session_live *live = s->live;
    const char *bytes;
    for (;;) {
        const size_t room = (live->text_cap - live->text_size) / 3;
        if (room <= 2 * UTF8_PENDING_CAP) return;
        const size_t size = session_guide_text(s, room - 2 * UTF8_PENDING_CAP, &bytes);
        if (size == 0) return;
        live->text_size +=
            utf8_decoder_push(&live->decoder, bytes, size, live->text + live->text_size,
                              live->text_cap - live->text_size);
        if (live->flushed && !session_guide_waits(s)) flush_decoder(live);
    }
}

rnl_status rnl_session_pull_text(rnl_session *s, char *text, size_t cap, size_t *size) {
    session_live *live = s->live;
    release_text(s);
    *size = whole_characters(live->text, live->text_size, cap);
    if (*size == 0) return live->generating ? RNL_AGAIN : RNL_DONE;
    memcpy(text, live->text, *size);
    live->text_size -= *size;
    memmove(live->text, live->text + *size, live->text_size);
    return RNL_OK;
}

rnl_status rnl_session_pull_samples(rnl_session *s, float *samples, size_t cap, size_t *count) {
    session_live *live = s->live;
    *count = live->sample_count < cap ? live->sample_count : cap;
    if (*count == 0) return live->generating ? RNL_AGAIN : RNL_DONE;
    memcpy(samples, live->samples, *count * sizeof *samples);
    live->sample_count -= *count;
    memmove(live->samples, live->samples + *count, live->sample_count * sizeof *samples);
    return RNL_OK;
}

void rnl_session_get_reply(const rnl_session *s, rnl_reply *reply) {
    const session_live *live = s->live;
    const int books = s->model->backbone.codebook_count;
    const size_t frame_begin = (size_t)live->reply_frame * (size_t)books;
    const size_t others = (size_t)live->reply_text * (size_t)s->config.alternatives_max;
    *reply = (rnl_reply){
        .mode = live->turn.mode,
        .finish = live->finish,
        .position_count = (size_t)(live->emitted_count - live->reply_emitted),
        .modality = s->modality + live->reply_emitted,
        .text_count = (size_t)(live->text_count - live->reply_text),
        .text_ids = s->text_ids + live->reply_text,
        .text_confidences = s->text_confidences + live->reply_text,
        .alternative_count = live->turn.alternatives,
        .alternatives = others > 0 ? s->alternatives + others : s->alternatives,
        .alternative_confidences =
            others > 0 ? s->alternative_confidences + others : s->alternative_confidences,
        .frame_count = (size_t)(live->frame_count - live->reply_frame),
        .frames = frame_begin > 0 ? s->frames + frame_begin : s->frames,
        .codebook_count = books,
    };
}
