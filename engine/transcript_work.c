/* Encoding and decoding of pieces, by any thread. One session belongs to each slot, so a piece's
 * bits do not depend on who does what when. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/status.h"
#include "engine/transcript.h"

enum { PART_MIN = CUT_RATE, DEPTH_CAP = 2 };

void transcript_count(rnl_transcript *t) {
    const double moment = clock_seconds(), seconds = moment - t->counted;
    t->stats.encode += seconds * t->encoding_count;
    t->stats.decode += seconds * t->decoding_count;
    if (t->encoding_count > 0 && t->decoding_count > 0) t->stats.overlap += seconds;
    t->counted = moment;
}

/* The session as it is after the system prompt. */
static rnl_status prepare(const rnl_transcript *t, slot *s, rnl_error *error) {
    if (s->prepared) return rnl_session_restore(s->session, 0, error);
    const char *system = t->system;
    if (system == NULL) system = rnl_model_system_prompt(t->model, RNL_MODE_TRANSCRIBE);
    rnl_status status = RNL_OK;
    if (system != NULL)
        status = rnl_session_add_text(s->session, RNL_ROLE_SYSTEM, system, strlen(system), error);
    while (status == RNL_OK) status = rnl_session_step(s->session, error);
    if (status == RNL_DONE) status = rnl_session_snapshot(s->session, 0, error);
    s->prepared = status == RNL_OK;
    return status;
}

static rnl_status encode(const rnl_transcript *t, slot *s, int64_t begin, int64_t end,
                         rnl_error *error) {
    rnl_status status = prepare(t, s, error);
    if (status == RNL_OK)
        status = rnl_session_add_audio(s->session, s->clip + begin, (size_t)(end - begin), CUT_RATE,
                                       error);
    while (status == RNL_OK && rnl_session_stage(s->session) == RNL_STAGE_ENCODE)
        status = rnl_session_step(s->session, error);
    return status;
}

/* Takes over the tokens that are new; false: there is no more room. Only text counts: a reply that
 * turns to sound is stopped by the caller. */
static bool take_tokens(const rnl_transcript *t, slot *s, size_t *seen) {
    char dropped[512];
    size_t size;
    while (rnl_session_pull_text(s->session, dropped, sizeof dropped, &size) == RNL_OK) continue;
    rnl_reply reply;
    rnl_session_get_reply(s->session, &reply);
    for (; *seen < reply.text_count; ++*seen) {
        const char *bytes;
        bool special;
        if (s->emitted_count == t->emitted_cap) return false;
        if (s->first_text == 0) s->first_text = clock_seconds();
        s->emitted[s->emitted_count++] = reply.text_ids[*seen];
        if (!bpe_token_bytes(t->model->source.text, reply.text_ids[*seen], &bytes, &size,
                             &special) ||
            special)
            continue;
        const size_t room = 3 * (size + UTF8_PENDING_CAP) + 3 * UTF8_PENDING_CAP;
        if (s->token_count == t->token_cap || s->text_size + room > t->text_cap) return false;
        s->text_size += utf8_decoder_push(&s->decoder, bytes, size, s->text + s->text_size,
                                          t->text_cap - s->text_size);
        s->tokens[s->token_count] = reply.text_ids[*seen];
        s->confidences[s->token_count] = reply.text_confidences[*seen];
        s->token_seen[s->token_count] = (uint32_t)s->emitted_count;
        s->token_ends[s->token_count++] = (uint32_t)s->text_size;
    }
    return true;
}

/* Cuts the slot's text back to its first tokens. */
static void keep_tokens(slot *s, size_t token_count, size_t text_size, size_t emitted_count) {
    s->token_count = token_count;
    s->emitted_count = emitted_count;
    s->text_size = text_size;
    utf8_decoder_reset(&s->decoder);
}

static void flush_text(const rnl_transcript *t, slot *s) {
    s->text_size +=
        utf8_decoder_flush(&s->decoder, s->text + s->text_size, t->text_cap - s->text_size);
    if (s->token_count > 0) s->token_ends[s->token_count - 1] = (uint32_t)s->text_size;
}

static bool turned_to_sound(const rnl_session *session) {
    rnl_reply reply;
    rnl_session_get_reply(session, &reply);
    return reply.frame_count > 0;
}

/* Generates the reply to what is encoded. *sane: it ended by itself, without a loop; what stands
 * before a loop is kept. */
static rnl_status write_down(const rnl_transcript *t, slot *s, double seconds, bool *sane,
                             rnl_error *error) {
    rnl_turn_config turn = t->turn;
    const int most = (int)(seconds * TRANSCRIPT_TOKENS_SECOND) + TRANSCRIPT_TOKENS_MORE;
    if (t->config.step_max == 0 && !t->config.whole && most < turn.step_max) turn.step_max = most;
    rnl_status status = rnl_session_begin(s->session, &turn, error);
    const size_t first = s->token_count;
    size_t seen = 0, kept = 0;
    while (status == RNL_OK || status == RNL_AGAIN) {
        status = rnl_session_step(s->session, error);
        if (status < 0) return status;
        const bool full = !take_tokens(t, s, &seen) || turned_to_sound(s->session);
        kept = t->config.whole ? 0 : text_loop(s->tokens + first, s->token_count - first);
        if (full || kept > 0) {
            rnl_session_stop(s->session);
            break;
        }
    }
    if (status < 0) return status;
    const size_t last = first + kept - 1;
    if (kept > 0) keep_tokens(s, last + 1, s->token_ends[last], s->token_seen[last]);
    flush_text(t, s);
    rnl_reply reply;
    rnl_session_get_reply(s->session, &reply);
    s->finish = reply.finish;
    *sane = t->config.whole || reply.finish == RNL_FINISH_END;
    return RNL_OK;
}

/* Decodes [begin, end) of the clip; at depth 0 it is encoded already. A reply that is not sane is
 * forgotten and the halves are tried, unless they would be too short. */
static rnl_status decode(const rnl_transcript *t, slot *s, int64_t begin, int64_t end, int depth,
                         rnl_error *error) {
    rnl_status status = depth > 0 ? encode(t, s, begin, end, error) : RNL_OK;
    const size_t token_count = s->token_count, text_size = s->text_size;
    const size_t emitted_count = s->emitted_count;
    bool sane = true;
    if (status == RNL_OK) status = write_down(t, s, (double)(end - begin) / CUT_RATE, &sane, error);
    if (status != RNL_OK || sane || depth == DEPTH_CAP || end - begin < 2 * PART_MIN) return status;
    keep_tokens(s, token_count, text_size, emitted_count);
    s->again = true;
    const int64_t middle = begin + cut_middle(s->clip + begin, end - begin);
    status = decode(t, s, begin, middle, depth + 1, error);
    const rnl_finish finish = s->finish;
    if (status == RNL_OK && s->text_size > 0 && s->text_size < t->text_cap)
        s->text[s->text_size++] = ' ';
    if (status == RNL_OK) status = decode(t, s, middle, end, depth + 1, error);
    if (finish != RNL_FINISH_END) s->finish = finish;
    return status;
}

static void set_times(const rnl_transcript *t, slot *s) {
    const double begin = (double)s->piece.begin / CUT_RATE;
    const int64_t offset = s->piece.begin - s->piece.clip_begin;
    const int frames = (int)((s->piece.end - s->piece.begin) / CUT_FRAME);
    const double frame = (double)CUT_FRAME / CUT_RATE;
    if (!t->config.word_times || frames < 1 || frames > s->times.frame_cap) {
        for (size_t i = 0; i < s->word_count; i++) {
            s->words[i].begin = begin;
            s->words[i].end = (double)s->piece.end / CUT_RATE;
        }
        return;
    }
    for (int i = 0; i < frames; i++)
        s->times.levels[i] = cut_level(s->clip + offset + (int64_t)i * CUT_FRAME, CUT_FRAME);
    text_times_fill(&s->times, s->text, s->words, s->word_count, frames, begin, frame);
}

static rnl_status decode_piece(const rnl_transcript *t, slot *s, rnl_error *error) {
    s->token_count = s->text_size = s->word_count = s->segment_count = s->emitted_count = 0;
    s->first_text = 0;
    s->again = false;
    utf8_decoder_reset(&s->decoder);
    const rnl_status status = decode(t, s, 0, s->clip_count, 0, error);
    if (status != RNL_OK) return status;
    s->text[s->text_size] = '\0';
    s->word_count =
        text_words(s->text, s->text_size, s->token_ends, s->confidences, s->token_count, s->words);
    set_times(t, s);
    s->segment_count = text_segments(s->text, s->words, s->word_count, s->confidences,
                                     s->token_count, s->segments);
    return RNL_OK;
}

static slot *oldest(const rnl_transcript *t, slot_state state) {
    for (int64_t i = t->head; i < t->tail_index; i++) {
        slot *s = &t->slots[i % t->slot_count];
        if (s->state == state) return s;
    }
    return NULL;
}

/* What comes next: the kind of work that nobody does now, so that encoding of later pieces runs
 * beside decoding of earlier ones; decoding first where only one can run, since it frees slots. */
static slot *choose(const rnl_transcript *t) {
    slot *decode = oldest(t, SLOT_ENCODED), *encode = oldest(t, SLOT_CLIP);
    if (decode == NULL || encode == NULL) return decode != NULL ? decode : encode;
    return t->encoding_count == 0 && t->decoding_count > 0 ? encode : decode;
}

bool transcript_work(rnl_transcript *t) {
    if (t->failure != RNL_OK || t->resetting) return false;
    slot *s = choose(t);
    if (s == NULL) return false;
    const bool is_encode = s->state == SLOT_CLIP;
    int *const running = is_encode ? &t->encoding_count : &t->decoding_count;
    transcript_count(t);
    ++*running;
    s->state = is_encode ? SLOT_ENCODING : SLOT_DECODING;
    if (is_encode) s->begun = t->counted;
    (void)pthread_mutex_unlock(&t->lock);
    rnl_error error = {0};
    const rnl_status status =
        is_encode ? encode(t, s, 0, s->clip_count, &error) : decode_piece(t, s, &error);
    (void)pthread_mutex_lock(&t->lock);
    transcript_count(t);
    if (is_encode)
        s->encoded = t->counted;
    else
        s->decoded = t->counted;
    --*running;
    s->state = is_encode ? SLOT_ENCODED : SLOT_DONE;
    if (!is_encode) t->stats.again_count += s->again;
    if (status != RNL_OK && t->failure == RNL_OK) {
        t->failure = status < 0 ? status : RNL_ERR_STATE;
        t->failure_error = error;
    }
    (void)pthread_cond_broadcast(&t->moved);
    return true;
}

void *transcript_help(void *context) {
    rnl_transcript *t = context;
    (void)pthread_mutex_lock(&t->lock);
    while (!t->stopping)
        if (!transcript_work(t)) (void)pthread_cond_wait(&t->moved, &t->lock);
    (void)pthread_mutex_unlock(&t->lock);
    return NULL;
}
