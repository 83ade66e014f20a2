/* The caller's side of a transcript: memory, pushing and cutting, pulling in order. */
#include "engine/transcript.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"

#define WHOLE_SECONDS_MAX 60.0

/* Bytes of weights that stay in the caches of a processor of today: passes over such a model gain
 * less from sharing it than their threads lose by waiting for each other at each product. */
#define SMALL_MODEL ((size_t)32 << 20)

/* ---- Memory ---- */

static void layout_slot(const rnl_transcript *t, slot *s, arena *a) {
    s->clip = arena_take(a, (size_t)t->clip_cap, sizeof *s->clip);
    s->text = arena_take(a, t->text_cap + 1, 1);
    s->tokens = arena_take(a, t->token_cap, sizeof *s->tokens);
    s->confidences = arena_take(a, t->token_cap, sizeof *s->confidences);
    s->token_ends = arena_take(a, t->token_cap, sizeof *s->token_ends);
    s->token_seen = arena_take(a, t->token_cap, sizeof *s->token_seen);
    s->emitted = arena_take(a, t->emitted_cap, sizeof *s->emitted);
    s->words = arena_take(a, t->word_cap, sizeof *s->words);
    s->segments = arena_take(a, t->word_cap, sizeof *s->segments);
    const int frames = t->config.whole || !t->config.word_times
                           ? 0
                           : (int)(t->config.piece_max * CUT_RATE / CUT_FRAME) + 1;
    text_times_layout(&s->times, frames, frames > 0 ? (int)t->token_cap : 0, a);
}

static void layout(rnl_transcript *t, arena *a) {
    vad_layout(&t->vad, a);
    cutter_layout(&t->cutter, t->config.piece_min, t->config.piece_max, a);
    t->staging = arena_take(a, TRANSCRIPT_STAGING, sizeof *t->staging);
    t->block = arena_take(a, CUT_BLOCK, sizeof *t->block);
    t->tail_text = arena_take(a, t->text_cap + 1, 1);
    for (int i = 0; i < t->slot_count; i++) layout_slot(t, &t->slots[i], a);
}

static void measure(rnl_transcript *t) {
    t->turn = rnl_turn_config_default(t->model, RNL_MODE_TRANSCRIBE);
    t->turn.text = t->config.text;
    if (t->config.step_max > 0) t->turn.step_max = t->config.step_max;
    const double seconds = t->config.whole ? WHOLE_SECONDS_MAX : t->config.piece_max;
    /* The clip has half a second more: what is heard before and behind the speech. */
    t->clip_cap = (int64_t)((seconds + 0.5) * CUT_RATE);
    t->token_cap = (size_t)(seconds * TRANSCRIPT_TOKENS_SECOND) + 8 * TRANSCRIPT_TOKENS_MORE;
    if ((t->config.step_max > 0 || t->config.whole) && t->token_cap < (size_t)t->turn.step_max)
        t->token_cap = (size_t)t->turn.step_max;
    t->emitted_cap = t->token_cap + TRANSCRIPT_TOKENS_MORE; /* each part ends with a special one */
    t->text_cap = 16 * t->token_cap + 3 * ((size_t)t->model->token_size_max + 16);
    t->word_cap = t->token_cap + t->text_cap / 2 + 1;
    t->slot_count = t->config.whole ? 1 : t->config.piece_cap;
}

static rnl_session_config session_config(const rnl_transcript *t) {
    rnl_session_config c = rnl_session_config_default();
    const char *system = t->system;
    if (system == NULL) system = rnl_model_system_prompt(t->model, RNL_MODE_TRANSCRIBE);
    c.clip_seconds_max = (double)t->clip_cap / CUT_RATE;
    c.snapshot_cap = 1;
    c.seed = t->config.seed;
    c.adapter = t->config.adapter;
    c.adapter_scale = t->config.adapter_scale;
    /* The prompt has at most a token for each byte. */
    c.context_cap = 64 + (system != NULL ? (int)strlen(system) : 0) +
                    session_clip_positions(t->clip_cap) + SESSION_CLOSE_CAP + (int)t->token_cap;
    return c;
}

/* A lane for each of the threads that lead, of a small model, as far as there is memory for it. */
static void choose_lanes(const rnl_model *model, int leader_count, rnl_batch_config *c) {
    rnl_memory_plan plan;
    if (model->weight_size > SMALL_MODEL) return;
    c->lane_count = leader_count < c->thread_count ? leader_count : c->thread_count;
    while (c->lane_count > 1 &&
           (rnl_batch_plan(model, c, &plan, NULL) != RNL_OK || plan.total > c->memory_size_max / 2))
        c->lane_count /= 2;
}

static rnl_batch_config batch_config(const rnl_transcript *t, int transcript_count) {
    const rnl_session_config s = session_config(t);
    rnl_batch_config c = rnl_batch_config_default();
    c.row_cap = TRANSCRIPT_ROW_CAP;
    c.session_cap = t->slot_count * transcript_count;
    c.decision_cap = c.session_cap < PASS_DECISION_CAP ? c.session_cap : PASS_DECISION_CAP;
    c.thread_count = t->config.thread_count;
    c.context_cap = s.context_cap;
    c.clip_seconds_max = s.clip_seconds_max;
    c.memory_size_max = t->config.memory_size_max;
    return c;
}

rnl_batch_config rnl_transcript_batch_config(const rnl_model *model,
                                             const rnl_transcript_config *config,
                                             int transcript_count) {
    rnl_transcript t = {.model = (rnl_model *)model,
                        .config = config != NULL ? *config : rnl_transcript_config_default(model)};
    t.system = (char *)t.config.system;
    measure(&t);
    rnl_batch_config c = batch_config(&t, transcript_count);
    choose_lanes(model, transcript_count, &c);
    return c;
}

/* Of its own, where helpers lead as well. */
static rnl_status create_batch(rnl_transcript *t, size_t *size, rnl_error *error) {
    rnl_batch_config c = batch_config(t, 1);
    choose_lanes(t->model, t->slot_count, &c);
    rnl_memory_plan plan;
    rnl_status status = rnl_batch_plan(t->model, &c, &plan, error);
    if (status != RNL_OK) return status;
    *size = plan.total;
    t->owns_batch = true;
    return rnl_batch_create(t->model, &c, &t->batch, error);
}

/* The lane with the fewest sessions. */
static rnl_batch *choose_lane(const rnl_batch *b) {
    rnl_batch *best = b->lanes[0];
    for (int i = 1; i < b->config.lane_count; i++)
        if (b->lanes[i]->pass->session_count < best->pass->session_count) best = b->lanes[i];
    return best;
}

static rnl_status create_sessions(rnl_transcript *t, rnl_error *error) {
    const rnl_session_config config = session_config(t);
    rnl_memory_plan plan;
    size_t shared = 0;
    rnl_status status = t->batch == NULL ? create_batch(t, &shared, error) : RNL_OK;
    if (status == RNL_OK) status = rnl_session_plan_in(t->batch, &config, &plan, error);
    if (status != RNL_OK) return status;
    const size_t total = shared + plan.total * (size_t)t->slot_count + t->memory_size;
    if (total > t->config.memory_size_max)
        return status_fail(error, RNL_ERR_BUDGET,
                           "transcribing needs %zu MiB, more than the %zu MiB allowed; choose "
                           "fewer pieces in hand",
                           total >> 20, t->config.memory_size_max >> 20);
    t->memory_size = total;
    for (int i = 0; i < t->slot_count && status == RNL_OK; i++) {
        slot *s = &t->slots[i];
        s->owner = t;
        s->lane = choose_lane(t->batch);
        status = rnl_session_create_in(s->lane, &config, &s->session, error);
        if (status == RNL_OK) rnl_batch_want(s->session, RNL_WANT_NOTHING, 0);
    }
    return status;
}

static rnl_status place(rnl_transcript *t, rnl_error *error) {
    t->slots = calloc((size_t)t->slot_count, sizeof *t->slots);
    if (t->slots == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    arena a = {0};
    layout(t, &a);
    t->memory_size = (a.size_used + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    t->memory = aligned_alloc(ARENA_ALIGN, t->memory_size);
    if (t->memory == NULL || resampler_create(&t->resampler) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "memory for the pieces is exhausted");
    a = (arena){.base = t->memory, .size_cap = t->memory_size};
    layout(t, &a);
    return create_sessions(t, error);
}

/* Among the others of the batch; with threads to spare others lead while the caller cuts: one for
 * each lane but the caller's, and one at least. */
static rnl_status join(rnl_transcript *t, rnl_error *error) {
    (void)pthread_mutex_lock(&t->batch->lock);
    t->next = t->batch->transcripts;
    t->batch->transcripts = t;
    t->listed = true;
    (void)pthread_mutex_unlock(&t->batch->lock);
    if (!t->owns_batch || t->config.thread_count == 1 || t->config.whole) return RNL_OK;
    const int lanes = t->batch->config.lane_count, wanted = lanes > 1 ? lanes - 1 : 1;
    for (; t->helper_count < wanted; t->helper_count++)
        if (pthread_create(&t->helpers[t->helper_count], NULL, transcript_help, t) != 0)
            return status_fail(error, RNL_ERR_MEMORY, "%d threads cannot be started",
                               t->config.thread_count);
    return RNL_OK;
}

static void leave(rnl_transcript *t) {
    rnl_batch *b = t->batch;
    crew_pause(b);
    t->stopping = true;
    rnl_transcript **at = &b->transcripts;
    while (*at != t) at = &(*at)->next;
    *at = t->next;
    for (int i = 0; i < t->slot_count; i++) rnl_session_destroy(&t->slots[i].session);
    crew_go_on(b);
    for (int i = 0; i < t->helper_count; i++) (void)pthread_join(t->helpers[i], NULL);
}

static rnl_status create(rnl_transcript *t, rnl_error *error) {
    rnl_status status = transcript_check_config(t->model, &t->config, error);
    if (status != RNL_OK) return status;
    if (t->config.system != NULL) {
        t->system = strdup(t->config.system);
        if (t->system == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    }
    measure(t);
    status = place(t, error);
    if (status == RNL_OK) status = join(t, error);
    if (status == RNL_OK) rnl_transcript_reset(t, t->config.rate);
    return status;
}

static rnl_status create_on(rnl_model *model, rnl_batch *batch, const rnl_transcript_config *config,
                            rnl_transcript **transcript, rnl_error *error) {
    rnl_transcript *t = calloc(1, sizeof *t);
    *transcript = t;
    if (t == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    t->model = model;
    t->batch = batch;
    t->config = config != NULL ? *config : rnl_transcript_config_default(model);
    const rnl_status status = create(t, error);
    if (status != RNL_OK) rnl_transcript_destroy(transcript);
    return status;
}

rnl_status rnl_transcript_create(rnl_model *model, const rnl_transcript_config *config,
                                 rnl_transcript **transcript, rnl_error *error) {
    if (model == NULL || transcript == NULL)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "rnl_transcript_create: model or transcript is NULL");
    return create_on(model, NULL, config, transcript, error);
}

rnl_status rnl_transcript_create_in(rnl_batch *batch, const rnl_transcript_config *config,
                                    rnl_transcript **transcript, rnl_error *error) {
    if (batch == NULL || transcript == NULL)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "rnl_transcript_create_in: batch or transcript is NULL");
    return create_on(batch->model, batch, config, transcript, error);
}

void rnl_transcript_destroy(rnl_transcript **transcript) {
    if (transcript == NULL || *transcript == NULL) return;
    rnl_transcript *t = *transcript;
    if (t->listed) leave(t);
    for (int i = 0; t->slots != NULL && i < t->slot_count; i++)
        rnl_session_destroy(&t->slots[i].session);
    if (t->owns_batch) rnl_batch_destroy(&t->batch);
    resampler_destroy(&t->resampler);
    free(t->slots);
    free(t->memory);
    free(t->system);
    free(t);
    *transcript = NULL;
}

size_t rnl_transcript_memory_size(const rnl_transcript *t) {
    return t->memory_size;
}

void rnl_transcript_reset(rnl_transcript *t, int rate) {
    assert(rate >= 4000 && rate <= 768000);
    /* What runs is waited for; nothing new is begun, not even the decoding of what is encoded. */
    crew_pause(t->batch);
    for (int i = 0; i < t->slot_count; i++) {
        slot *s = &t->slots[i];
        s->state = SLOT_FREE;
        s->clip_count = 0;
        if (t->failure == RNL_OK && s->prepared) continue;
        rnl_session_reset(s->session);
        rnl_batch_want(s->session, RNL_WANT_NOTHING, 0);
        s->prepared = false;
    }
    t->head = t->tail_index = 0;
    t->failure = RNL_OK;
    t->stats = (rnl_transcript_stats){0};
    crew_go_on(t->batch);
    t->config.rate = rate;
    resampler_begin(t->resampler, rate, CUT_RATE);
    vad_reset(&t->vad);
    cutter_reset(&t->cutter);
    t->staging_at = t->staging_count = 0;
    t->block_count = 0;
    t->finishing = t->resampled_all = t->cut_all = false;
    t->pushed = t->given_count = 0;
    t->given = false;
    t->tail_count = 0;
}

/* ---- Sound in ---- */

/* Gives back the slot that the last pull has shown. */
static void release(rnl_transcript *t) {
    if (!t->given) return;
    t->given = false;
    (void)pthread_mutex_lock(&t->batch->lock);
    t->slots[t->head++ % t->slot_count].state = SLOT_FREE;
    (void)pthread_mutex_unlock(&t->batch->lock);
}

/* The slot to fill next, NULL when all are in use. Only the caller moves head and tail, so no lock
 * is needed to look. */
static slot *free_slot(const rnl_transcript *t) {
    if (t->tail_index - t->head == t->slot_count) return NULL;
    return &t->slots[t->tail_index % t->slot_count];
}

static void hand_over(rnl_transcript *t, slot *s) {
    (void)pthread_mutex_lock(&t->batch->lock);
    s->state = SLOT_CLIP;
    t->tail_index++;
    t->stats.piece_count++;
    t->stats.joined_count += s->piece.joined;
    t->stats.speech += (double)(s->piece.end - s->piece.begin) / CUT_RATE;
    (void)pthread_cond_broadcast(&t->batch->moved);
    (void)pthread_mutex_unlock(&t->batch->lock);
}

static void take_piece(rnl_transcript *t, const cut_piece *piece) {
    if (!piece->is_speech) {
        (void)pthread_mutex_lock(&t->batch->lock);
        t->stats.skipped_count++;
        (void)pthread_mutex_unlock(&t->batch->lock);
        return;
    }
    slot *s = free_slot(t);
    s->piece = *piece;
    s->clip_count = piece->clip_end - piece->clip_begin;
    assert(s->clip_count <= t->clip_cap);
    s->settled = (double)cutter_settled(&t->cutter) / CUT_RATE;
    memcpy(s->clip, cutter_samples(&t->cutter, piece), (size_t)s->clip_count * sizeof *s->clip);
    hand_over(t, s);
}

static void take_block(rnl_transcript *t) {
    const float probability = vad_block(&t->vad, &t->model->kernels, t->block);
    cut_piece piece;
    if (cutter_push(&t->cutter, t->block, probability, &piece)) take_piece(t, &piece);
    t->block_count = 0;
}

/* Moves staged samples on; false: a slot is needed first. */
static bool take_staged(rnl_transcript *t) {
    while (t->staging_at < t->staging_count) {
        slot *s = free_slot(t);
        if (s == NULL) return false;
        const size_t left = t->staging_count - t->staging_at;
        const float *from = t->staging + t->staging_at;
        size_t count = t->config.whole ? (size_t)(t->clip_cap - s->clip_count)
                                       : (size_t)(CUT_BLOCK - t->block_count);
        if (count > left) count = left;
        float *to = t->config.whole ? s->clip + s->clip_count : t->block + t->block_count;
        memcpy(to, from, count * sizeof *to);
        t->staging_at += count;
        if (t->config.whole) {
            /* push refused what is longer than a clip; rounding may leave a sample over. */
            if (count == 0) t->staging_at = t->staging_count;
            s->clip_count += (int64_t)count;
            continue;
        }
        t->block_count += (int)count;
        if (t->block_count == CUT_BLOCK) take_block(t);
    }
    return true;
}

/* The last piece. */
static void cut_rest(rnl_transcript *t) {
    cut_piece piece;
    if (!t->config.whole) {
        if (cutter_finish(&t->cutter, &piece)) take_piece(t, &piece);
        return;
    }
    slot *s = free_slot(t);
    if (s->clip_count < CUT_RATE / 50) return; /* what a session would refuse */
    s->piece = (cut_piece){
        .end = s->clip_count, .clip_end = s->clip_count, .speech = 1, .is_speech = true};
    s->settled = (double)s->clip_count / CUT_RATE;
    hand_over(t, s);
}

/* Does what can be done without the caller: cuts what is staged, and after finish the rest. */
static void advance(rnl_transcript *t) {
    for (;;) {
        if (!take_staged(t) || !t->finishing || t->cut_all || free_slot(t) == NULL) return;
        if (!t->resampled_all) {
            t->staging_at = 0;
            resampler_finish(t->resampler, t->staging, TRANSCRIPT_STAGING, &t->staging_count);
            t->resampled_all = t->staging_count == 0;
        } else if (t->block_count > 0) {
            memset(t->block + t->block_count, 0,
                   (size_t)(CUT_BLOCK - t->block_count) * sizeof *t->block);
            take_block(t);
        } else {
            cut_rest(t);
            t->cut_all = true;
        }
    }
}

rnl_status rnl_transcript_push(rnl_transcript *t, const float *samples, size_t count, size_t *taken,
                               rnl_error *error) {
    *taken = 0;
    if (t->finishing)
        return status_fail(error, RNL_ERR_STATE,
                           "the recording is finished; reset before the next one");
    if (samples == NULL && count > 0)
        return status_fail(error, RNL_ERR_ARGUMENT, "samples are NULL");
    for (size_t i = 0; i < count; i++)
        if (!isfinite(samples[i]))
            return status_fail(error, RNL_ERR_DATA,
                               "sample %lld is not a number; the sound is damaged",
                               (long long)t->pushed + (long long)i);
    if (t->config.whole && (double)t->pushed + (double)count > WHOLE_SECONDS_MAX * t->config.rate)
        return status_fail(error, RNL_ERR_TOO_LONG,
                           "the sound is longer than the %g s that are taken as a whole; let it be "
                           "cut",
                           WHOLE_SECONDS_MAX);
    release(t);
    for (;;) {
        advance(t);
        if (t->staging_at < t->staging_count || *taken == count) break;
        size_t used;
        t->staging_at = 0;
        resampler_push(t->resampler, samples + *taken, count - *taken, &used, t->staging,
                       TRANSCRIPT_STAGING, &t->staging_count);
        *taken += used;
    }
    t->pushed += (int64_t)*taken;
    return RNL_OK;
}

void rnl_transcript_finish(rnl_transcript *t) {
    t->finishing = true;
    release(t);
    advance(t);
}

/* ---- Work ---- */

static rnl_status step(rnl_transcript *t, rnl_error *error) {
    if (t->failure != RNL_OK) {
        if (error != NULL) *error = t->failure_error;
        return t->failure;
    }
    const bool more = t->finishing && t->cut_all;
    if (more && t->head == t->tail_index) return RNL_DONE; /* whatever others still have to do */
    if (transcript_work(t->batch)) return RNL_OK;
    if (t->failure != RNL_OK) return step(t, error);
    if (t->head == t->tail_index) return RNL_AGAIN;
    if (t->slots[t->head % t->slot_count].state == SLOT_DONE) return RNL_AGAIN;
    if (!more && t->tail_index - t->head < t->slot_count) return RNL_AGAIN;
    /* Others lead. */
    (void)pthread_cond_wait(&t->batch->moved, &t->batch->lock);
    return RNL_OK;
}

rnl_status rnl_transcript_step(rnl_transcript *t, rnl_error *error) {
    release(t);
    advance(t);
    (void)pthread_mutex_lock(&t->batch->lock);
    const rnl_status status = step(t, error);
    (void)pthread_mutex_unlock(&t->batch->lock);
    return status;
}

/* ---- Text out ---- */

/* Of a piece that overlaps the one before: how many of its first words were given already. The
 * longest end of the old words that begins the new ones; without one, the words that were spoken in
 * the first half of the second both have. */
static size_t repeated_words(const rnl_transcript *t, const slot *s) {
    const size_t most = t->tail_count < s->word_count ? t->tail_count : s->word_count;
    for (size_t n = most; n > 0; n--) {
        size_t same = 0;
        for (; same < n; same++) {
            const rnl_word *a = &t->tail[t->tail_count - n + same], *b = &s->words[same];
            if (!text_same_word(t->tail_text + a->text_at, a->text_size, s->text + b->text_at,
                                b->text_size))
                break;
        }
        if (same == n) return n;
    }
    size_t n = 0;
    const double middle = (double)s->piece.begin / CUT_RATE + 0.5;
    while (n < s->word_count && s->words[n].begin < middle) n++;
    return n;
}

/* Leaves the first words out; what remains counts from 0 again. */
static void drop_words(slot *s, size_t count) {
    const bool all = count == s->word_count;
    const size_t text = all ? s->text_size : s->words[count].text_at;
    const size_t token = all ? s->token_count : s->words[count].token_at;
    memmove(s->text, s->text + text, s->text_size - text + 1);
    memmove(s->tokens, s->tokens + token, (s->token_count - token) * sizeof *s->tokens);
    memmove(s->confidences, s->confidences + token,
            (s->token_count - token) * sizeof *s->confidences);
    memmove(s->words, s->words + count, (s->word_count - count) * sizeof *s->words);
    s->text_size -= text;
    s->token_count -= token;
    s->word_count -= count;
    for (size_t i = 0; i < s->word_count; i++) {
        s->words[i].text_at -= text;
        s->words[i].token_at -= token;
    }
    s->segment_count = text_segments(s->text, s->words, s->word_count, s->confidences,
                                     s->token_count, s->segments);
}

static void keep_tail(rnl_transcript *t, const slot *s) {
    t->tail_count = s->word_count < TRANSCRIPT_TAIL_CAP ? s->word_count : TRANSCRIPT_TAIL_CAP;
    memcpy(t->tail, s->words + s->word_count - t->tail_count, t->tail_count * sizeof *t->tail);
    memcpy(t->tail_text, s->text, s->text_size + 1);
}

static void show(const rnl_transcript *t, const slot *s, rnl_piece *piece) {
    const bool words = s->word_count > 0 && t->config.word_times;
    *piece = (rnl_piece){
        .index = t->given_count,
        .begin = words ? s->words[0].begin : (double)s->piece.begin / CUT_RATE,
        .end = (double)s->piece.end / CUT_RATE,
        .done = s->settled,
        .joined = s->piece.joined,
        .again = s->again,
        .finish = s->finish,
        .confidence = text_mean(s->confidences, s->token_count),
        .speech = s->piece.speech,
        .text = s->text,
        .text_size = s->text_size,
        .emitted = s->emitted,
        .emitted_count = s->emitted_count,
        .encode_seconds = s->encoded - s->begun,
        .first_text_seconds = s->first_text - s->begun,
        .total_seconds = s->decoded - s->begun,
        .tokens = s->tokens,
        .token_confidences = s->confidences,
        .token_count = s->token_count,
        .words = s->words,
        .word_count = s->word_count,
        .segments = s->segments,
        .segment_count = s->segment_count,
    };
}

rnl_status rnl_transcript_pull(rnl_transcript *t, rnl_piece *piece) {
    for (;;) {
        release(t);
        advance(t);
        (void)pthread_mutex_lock(&t->batch->lock);
        const bool any = t->head < t->tail_index;
        slot *s = &t->slots[t->head % t->slot_count];
        const bool done = any && s->state == SLOT_DONE && t->failure == RNL_OK;
        (void)pthread_mutex_unlock(&t->batch->lock);
        if (!any && t->cut_all) return RNL_DONE;
        if (!done) return RNL_AGAIN;
        t->given = true;
        if (s->piece.joined) drop_words(s, repeated_words(t, s));
        if (s->word_count == 0) continue;
        keep_tail(t, s);
        show(t, s, piece);
        t->given_count++;
        return RNL_OK;
    }
}

void rnl_transcript_get_stats(const rnl_transcript *transcript, rnl_transcript_stats *stats) {
    rnl_transcript *t = (rnl_transcript *)transcript;
    (void)pthread_mutex_lock(&t->batch->lock);
    *stats = t->stats;
    (void)pthread_mutex_unlock(&t->batch->lock);
    stats->sound = (double)t->pushed / t->config.rate;
}
