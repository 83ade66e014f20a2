/* A piece under way, as a machine that the crew (transcript_crew.c) moves from pass to pass:
 *
 *     PROMPT ─► ENCODE ─► WAIT ─► REPLY ─┬─ sane ────► the next part, or ENDED
 *                 ▲                      └─ in a loop ─► its two halves
 *                 └──────────────────────── a half ◄──┘
 *
 * One session belongs to each slot, so a piece's bits do not depend on who does what when. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/status.h"
#include "engine/transcript.h"

enum { PART_MIN = CUT_RATE };

/* ---- The clip ---- */

static const slot_part *part_of(const slot *s) {
    return &s->parts[s->part_count - 1];
}

static rnl_status open_part(slot *s, rnl_error *error) {
    const slot_part *p = part_of(s);
    s->phase = PHASE_ENCODE;
    return rnl_session_add_audio(s->session, s->clip + p->begin, (size_t)(p->end - p->begin),
                                 CUT_RATE, error);
}

/* The session as it is behind the system prompt, with the part's sound. */
static rnl_status begin_part(slot *s, rnl_error *error) {
    rnl_status status = RNL_OK;
    if (s->prepared) {
        status = rnl_session_restore(s->session, 0, error);
        return status == RNL_OK ? open_part(s, error) : status;
    }
    const rnl_transcript *t = s->owner;
    const char *system = t->system;
    if (system == NULL) system = rnl_model_system_prompt(t->model, RNL_MODE_TRANSCRIBE);
    s->phase = PHASE_PROMPT;
    if (system != NULL)
        status = rnl_session_add_text(s->session, RNL_ROLE_SYSTEM, system, strlen(system), error);
    return status;
}

rnl_status transcript_begin(slot *s, rnl_error *error) {
    s->parts[0] = (slot_part){.end = s->clip_count};
    s->part_count = 1;
    s->token_count = s->text_size = s->word_count = s->segment_count = s->emitted_count = 0;
    s->first_text = 0;
    s->again = false;
    s->finish = RNL_FINISH_END;
    utf8_decoder_reset(&s->decoder);
    return begin_part(s, error);
}

/* ---- The reply ---- */

rnl_status transcript_begin_reply(slot *s, rnl_error *error) {
    const rnl_transcript *t = s->owner;
    const slot_part *p = part_of(s);
    rnl_turn_config turn = t->turn;
    const double seconds = (double)(p->end - p->begin) / CUT_RATE;
    const int most = (int)(seconds * TRANSCRIPT_TOKENS_SECOND) + TRANSCRIPT_TOKENS_MORE;
    if (t->config.step_max == 0 && !t->config.whole && most < turn.step_max) turn.step_max = most;
    s->phase = PHASE_REPLY;
    s->before = (slot_said){s->token_count, s->text_size, s->emitted_count};
    s->seen = 0;
    return rnl_session_begin(s->session, &turn, error);
}

/* Takes over the tokens that are new; false: there is no more room. Only text counts: a reply that
 * turns to sound is stopped by the caller. */
static bool take_tokens(slot *s) {
    const rnl_transcript *t = s->owner;
    char dropped[512];
    size_t size;
    while (rnl_session_pull_text(s->session, dropped, sizeof dropped, &size) == RNL_OK) continue;
    rnl_reply reply;
    rnl_session_get_reply(s->session, &reply);
    for (; s->seen < reply.text_count; ++s->seen) {
        const char *bytes;
        bool special;
        const int32_t id = reply.text_ids[s->seen];
        if (s->emitted_count == t->emitted_cap) return false;
        if (s->first_text == 0) s->first_text = clock_seconds();
        s->emitted[s->emitted_count++] = id;
        if (!bpe_token_bytes(t->model->source.text, id, &bytes, &size, &special) || special)
            continue;
        const size_t room = 3 * (size + UTF8_PENDING_CAP) + 3 * UTF8_PENDING_CAP;
        if (s->token_count == t->token_cap || s->text_size + room > t->text_cap) return false;
        s->text_size += utf8_decoder_push(&s->decoder, bytes, size, s->text + s->text_size,
                                          t->text_cap - s->text_size);
        s->tokens[s->token_count] = id;
        s->confidences[s->token_count] = reply.text_confidences[s->seen];
        s->token_seen[s->token_count] = (uint32_t)s->emitted_count;
        s->token_ends[s->token_count++] = (uint32_t)s->text_size;
    }
    return true;
}

/* Cuts the slot's text back to its first tokens. */
static void keep_tokens(slot *s, slot_said said) {
    s->token_count = said.token_count;
    s->emitted_count = said.emitted_count;
    s->text_size = said.text_size;
    utf8_decoder_reset(&s->decoder);
}

static void flush_text(slot *s) {
    s->text_size +=
        utf8_decoder_flush(&s->decoder, s->text + s->text_size, s->owner->text_cap - s->text_size);
    if (s->token_count > 0) s->token_ends[s->token_count - 1] = (uint32_t)s->text_size;
}

static bool turned_to_sound(const rnl_session *session) {
    rnl_reply reply;
    rnl_session_get_reply(session, &reply);
    return reply.frame_count > 0;
}

/* ---- The end ---- */

static void set_times(slot *s) {
    const rnl_transcript *t = s->owner;
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

static void end_piece(slot *s) {
    s->phase = PHASE_ENDED;
    s->text[s->text_size] = '\0';
    s->word_count =
        text_words(s->text, s->text_size, s->token_ends, s->confidences, s->token_count, s->words);
    set_times(s);
    s->segment_count = text_segments(s->text, s->words, s->word_count, s->confidences,
                                     s->token_count, s->segments);
}

/* The reply to a part was not sane: it is forgotten, and the halves are tried. */
static void split(slot *s) {
    const slot_part p = s->parts[--s->part_count];
    const int64_t middle = p.begin + cut_middle(s->clip + p.begin, p.end - p.begin);
    keep_tokens(s, s->before);
    s->again = true;
    s->parts[s->part_count++] = (slot_part){.begin = middle, .end = p.end, .depth = p.depth + 1};
    s->parts[s->part_count++] = (slot_part){.begin = p.begin, .end = middle, .depth = p.depth + 1};
}

/* The part has its text, or its halves get another try; then the next one. */
static rnl_status end_part(slot *s, bool sane, rnl_error *error) {
    const slot_part *p = part_of(s);
    if (sane || p->depth == TRANSCRIPT_DEPTH_CAP || p->end - p->begin < 2 * PART_MIN) {
        rnl_reply reply;
        rnl_session_get_reply(s->session, &reply);
        /* Of several parts the first that stopped early is told. */
        if (s->finish == RNL_FINISH_END) s->finish = reply.finish;
        if (--s->part_count == 0) {
            end_piece(s);
            return RNL_OK;
        }
        if (s->text_size > 0 && s->text_size < s->owner->text_cap) s->text[s->text_size++] = ' ';
    } else {
        split(s);
    }
    return begin_part(s, error);
}

/* What a pass has added to the reply: its tokens are taken, and it ends by itself, by a loop, of
 * which what stands before it is kept, or because there is no more room. */
static rnl_status go_on(slot *s, bool done, rnl_error *error) {
    const bool whole = s->owner->config.whole;
    const size_t first = s->before.token_count;
    const bool full = !take_tokens(s) || turned_to_sound(s->session);
    const size_t kept = whole ? 0 : text_loop(s->tokens + first, s->token_count - first);
    if (!done && !full && kept == 0) return RNL_OK;
    if (full || kept > 0) rnl_session_stop(s->session);
    const size_t last = first + kept - 1;
    if (kept > 0) keep_tokens(s, (slot_said){last + 1, s->token_ends[last], s->token_seen[last]});
    flush_text(s);
    rnl_reply reply;
    rnl_session_get_reply(s->session, &reply);
    return end_part(s, whole || reply.finish == RNL_FINISH_END, error);
}

rnl_status transcript_go_on(slot *s, rnl_status stepped, rnl_error *error) {
    const rnl_stage stage = rnl_session_stage(s->session);
    switch (s->phase) {
    case PHASE_PROMPT: {
        if (stage != RNL_STAGE_IDLE) return RNL_OK;
        const rnl_status status = rnl_session_snapshot(s->session, 0, error);
        if (status != RNL_OK) return status;
        s->prepared = true;
        return open_part(s, error);
    }
    case PHASE_ENCODE:
        if (stage == RNL_STAGE_ENCODE) return RNL_OK;
        s->phase = PHASE_WAIT;
        /* Halves are not looked at by anybody: they go on at once. */
        return part_of(s)->depth > 0 ? transcript_begin_reply(s, error) : RNL_OK;
    case PHASE_REPLY:
        return go_on(s, stepped == RNL_DONE, error);
    case PHASE_NEW:
    case PHASE_WAIT:
    case PHASE_ENDED:
        break;
    }
    return RNL_OK;
}
