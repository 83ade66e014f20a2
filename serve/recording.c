/* A sound file, or sound as it comes, through a transcript: in bounded pieces of work, of the
 * engine thread, when nobody waits for more urgent ones. */
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "serve/limits.h"
#include "serve/work_inner.h"

enum {
    BLOCK = 8192,
    BLOCKS = 16 /* of a step at most: silence is passed over quickly, and still it takes time */
};

static void end_with(conversation *c, const api_error *error, sound_faults *faults) {
    recording *r = &c->recording;
    if (r->ended) return;
    r->ended = true;
    work_count_heard(c->work, (int64_t)(r->stats.sound * 1e6));
    queued_event e = {.kind = EVENT_ENDED,
                      .tag = r->tag,
                      .finish = error == NULL ? RNL_FINISH_END : RNL_FINISH_STOPPED,
                      .seconds = r->stats.sound,
                      .usage = r->usage,
                      .owned = faults,
                      .faults = faults};
    if (error != NULL && (e.owned = malloc(sizeof *error)) != NULL) {
        e.error = e.owned;
        *e.error = *error;
    }
    conversation_tell(c, &e);
}

static void end(conversation *c, const api_error *error) {
    end_with(c, error, NULL);
}

static void fail(conversation *c, const rnl_error *e, bool heard) {
    api_error error;
    (void)api_fail_library(&error, e, heard ? "file" : NULL, heard);
    end(c, &error);
}

static void fail_memory(conversation *c) {
    fail(c, &(rnl_error){.status = RNL_ERR_MEMORY, .text = "memory is exhausted"}, false);
}

/* It is written down to the end, and what is missing in it is told. */
static void complete(conversation *c) {
    const recording *r = &c->recording;
    const sound_faults *found = r->reader != NULL ? sound_reader_faults(r->reader) : NULL;
    if (found == NULL || (found->place_count == 0 && !found->out_of_phase)) {
        end(c, NULL);
        return;
    }
    sound_faults *copy = malloc(sizeof *copy);
    if (copy == NULL) {
        fail_memory(c);
        return;
    }
    *copy = *found;
    end_with(c, NULL, copy);
}

void recording_close(conversation *c) {
    recording *r = &c->recording;
    sound_reader_close(&r->reader);
    sound_kept_close(&r->kept);
    rnl_transcript_destroy(&r->transcript);
    free(r->block);
    r->block = NULL;
}

/* ---- Commands ---- */

static bool make(conversation *c, int rate) {
    recording *r = &c->recording;
    rnl_error e = {0};
    c->transcript.rate = rate;
    c->transcript.thread_count = c->work->config.thread_count;
    r->rate = rate;
    if (r->block == NULL) r->block = malloc(BLOCK * sizeof *r->block);
    if (r->block == NULL) {
        e = (rnl_error){.status = RNL_ERR_MEMORY, .text = "memory is exhausted"};
    } else if (rnl_transcript_create_in(c->work->batch, &c->transcript, &r->transcript, &e) ==
               RNL_OK) {
        return true;
    }
    fail(c, &e, false);
    return false;
}

static void open_file(conversation *c, const command *what) {
    recording *r = &c->recording;
    rnl_error e = {0};
    sound_config config = sound_config_default();
    config.no_ffmpeg = !c->work->config.ffmpeg;
    r->begun = true;
    rnl_status status = sound_keep_bytes("the file", what->bytes, what->size, &r->kept, &e);
    if (status == RNL_OK) status = sound_reader_open_kept(r->kept, &config, &r->reader, &e);
    if (status != RNL_OK) {
        fail(c, &e, true);
        return;
    }
    (void)make(c, sound_reader_info(r->reader)->rate);
}

void recording_attend(conversation *c) {
    recording *r = &c->recording;
    if (!r->ended && r->tag > 0 && r->tag <= atomic_load(&c->cancelled)) end(c, NULL);
    while (conversation_takes(c, EVENTS_KEPT) && conversation_look(c)) {
        const command *what = &c->head.what;
        if (what->kind == COMMAND_END_CLIP && !r->begun && ring_count(c->audio) == 0) {
            r->begun = true; /* nothing was said */
            end(c, NULL);
        } else if (what->kind == COMMAND_END_CLIP) {
            if (!r->ended && ring_taken(c->audio) < c->head.audio_at) return;
            r->finished = true;
        }
        r->tag = what->tag;
        if (what->kind == COMMAND_FILE && !r->begun) open_file(c, what);
        command_free(&c->head.what);
        c->has_head = false;
    }
}

/* ---- Work ---- */

/* All that a piece points to, in one block behind it. */
static rnl_piece *copy_piece(const rnl_piece *p) {
    const size_t words = p->word_count * sizeof *p->words,
                 segments = p->segment_count * sizeof *p->segments,
                 tokens = p->token_count * sizeof *p->tokens,
                 confidences = p->token_count * sizeof *p->token_confidences,
                 emitted = p->emitted_count * sizeof *p->emitted;
    rnl_piece *copy =
        malloc(sizeof *copy + words + segments + tokens + confidences + emitted + p->text_size + 1);
    if (copy == NULL) return NULL;
    *copy = *p;
    char *at = (char *)(copy + 1);
    const struct {
        const void *from;
        const void **to;
        size_t size;
    } parts[] = {{p->words, (const void **)&copy->words, words},
                 {p->segments, (const void **)&copy->segments, segments},
                 {p->tokens, (const void **)&copy->tokens, tokens},
                 {p->token_confidences, (const void **)&copy->token_confidences, confidences},
                 {p->emitted, (const void **)&copy->emitted, emitted},
                 {p->text, (const void **)&copy->text, p->text_size + 1}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].size > 0) memcpy(at, parts[i].from, parts[i].size);
        *parts[i].to = at;
        at += parts[i].size;
    }
    return copy;
}

/* False: nothing more comes, or the piece cannot be told now. */
static bool tell_pieces(conversation *c, bool *moved) {
    recording *r = &c->recording;
    rnl_piece piece;
    while (conversation_takes(c, EVENTS_KEPT)) {
        const rnl_status status = rnl_transcript_pull(r->transcript, &piece);
        if (status == RNL_DONE) {
            rnl_transcript_get_stats(r->transcript, &r->stats);
            complete(c);
            return false;
        }
        if (status != RNL_OK) return true;
        *moved = true;
        r->usage.output_text += (int)piece.emitted_count;
        rnl_piece *copy = copy_piece(&piece);
        if (copy == NULL) {
            fail_memory(c);
            return false;
        }
        conversation_tell(c, &(queued_event){.kind = EVENT_PIECE, .tag = r->tag, .owned = copy});
    }
    return false;
}

/* A block of the file, or of what was pushed. RNL_OK: there is one; RNL_DONE: none comes any more;
 * RNL_AGAIN: none yet; negative: told. */
static rnl_status next_block(conversation *c) {
    recording *r = &c->recording;
    rnl_error e = {0};
    if (r->block_at < r->block_count) return RNL_OK;
    r->block_at = r->block_count = 0;
    if (r->reader == NULL) {
        r->block_count = ring_read(c->audio, r->block, BLOCK);
        return r->block_count > 0 ? RNL_OK : r->finished ? RNL_DONE : RNL_AGAIN;
    }
    if (sound_reader_seconds(r->reader) > LIMIT_UPLOAD_SECONDS) {
        fail(c,
             &(rnl_error){.status = RNL_ERR_TOO_LONG,
                          .text = "the file holds more than 2 hours of sound; cut it"},
             true);
        return RNL_ERR_TOO_LONG;
    }
    const rnl_status status = sound_reader_read(r->reader, r->block, BLOCK, &r->block_count, &e);
    if (status < 0) fail(c, &e, true);
    return status;
}

static bool feed(conversation *c, bool *moved) {
    recording *r = &c->recording;
    rnl_error e = {0};
    for (int i = 0; i < BLOCKS; i++) {
        const rnl_status status = next_block(c);
        if (status < 0) return false;
        if (status == RNL_DONE) rnl_transcript_finish(r->transcript);
        if (status != RNL_OK) return true;
        size_t taken = 0;
        if (rnl_transcript_push(r->transcript, r->block + r->block_at, r->block_count - r->block_at,
                                &taken, &e) < 0) {
            fail(c, &e, true);
            return false;
        }
        r->block_at += taken;
        *moved = *moved || taken > 0;
        if (r->block_at < r->block_count) return true;
    }
    return true;
}

bool recording_step(conversation *c) {
    recording *r = &c->recording;
    bool moved = false;
    if (r->ended) return false;
    if (!r->begun && ring_count(c->audio) > 0) {
        r->begun = true;
        if (!make(c, atomic_load(&c->audio_rate))) return true;
    }
    if (r->transcript == NULL || !tell_pieces(c, &moved)) return moved;
    if (!feed(c, &moved)) return true;
    rnl_error e = {0};
    const rnl_status status = rnl_transcript_step(r->transcript, &e);
    if (status < 0) fail(c, &e, false);
    return moved || status == RNL_OK;
}
