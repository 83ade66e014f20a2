/* The pieces of all transcripts of a batch, moved on together. Whoever has nothing else to do
 * leads: under the lock he looks which pieces can go on, without it he makes a pass over those that
 * prefill or decode and encodes the clip whose turn it is, and under the lock again he says what
 * became of them. Meanwhile the others push, cut and pull, and lead other lanes. */
#include <stdlib.h>

#include "core/clock.h"
#include "engine/transcript.h"

/* ---- Whose turn it is; with the lock ---- */

static slot *at(const rnl_transcript *t, int64_t index) {
    return &t->slots[index % t->slot_count];
}

/* The oldest clip of the lane, of the transcript that has the fewest pieces under way. */
static slot *next_clip(const rnl_batch *b, const rnl_batch *lane) {
    slot *best = NULL;
    int64_t best_count = 0;
    for (rnl_transcript *t = b->transcripts; t != NULL; t = t->next) {
        if (t->failure != RNL_OK) continue;
        int64_t i = t->head, under_way = 0;
        for (; i < t->tail_index && (at(t, i)->state != SLOT_CLIP || at(t, i)->lane != lane); i++)
            under_way += at(t, i)->state != SLOT_DONE;
        if (i == t->tail_index || (best != NULL && under_way >= best_count)) continue;
        best = at(t, i);
        best_count = under_way;
    }
    return best;
}

/* What goes on in a lane: all that decode, and one that is encoded. */
static size_t gather(const rnl_batch *b, rnl_batch *lane) {
    size_t count = 0;
    bool encoding = false;
    for (rnl_transcript *t = b->transcripts; t != NULL; t = t->next) {
        for (int64_t i = t->head; i < t->tail_index && t->failure == RNL_OK; i++) {
            slot *s = at(t, i);
            if (s->lane != lane) continue;
            if (s->state == SLOT_ENCODED) s->state = SLOT_DECODING;
            encoding = encoding || s->state == SLOT_ENCODING;
            if (s->state == SLOT_ENCODING || s->state == SLOT_DECODING) lane->working[count++] = s;
        }
    }
    slot *s = encoding ? NULL : next_clip(b, lane);
    if (s == NULL) return count;
    s->state = SLOT_ENCODING;
    s->phase = PHASE_NEW;
    s->begun = clock_seconds();
    lane->working[count++] = s;
    return count;
}

/* What became of them. */
static void settle(rnl_batch *b, size_t count) {
    const double now = clock_seconds();
    for (size_t i = 0; i < count; i++) {
        slot *s = b->working[i];
        rnl_transcript *t = s->owner;
        t->stats.encode += s->encode_seconds;
        t->stats.decode += s->decode_seconds;
        if (s->error.status < 0 && t->failure == RNL_OK) {
            t->failure = s->error.status;
            t->failure_error = s->error;
        } else if (s->state == SLOT_ENCODING && s->phase == PHASE_WAIT) {
            s->state = SLOT_ENCODED;
            s->encoded = now;
        } else if (s->state == SLOT_DECODING && s->phase == PHASE_ENDED) {
            s->state = SLOT_DONE;
            s->decoded = now;
            t->stats.again_count += s->again;
        }
    }
}

/* ---- The work; without it ---- */

static void note(slot *s, rnl_status status, const rnl_error *error) {
    if (status >= 0) return;
    s->error = *error;
    s->error.status = status;
}

/* What needs no pass. */
static void prepare(slot *s) {
    rnl_error error = {0};
    rnl_status status = RNL_OK;
    s->error.status = RNL_OK;
    s->encode_seconds = s->decode_seconds = 0;
    if (s->phase == PHASE_NEW) {
        status = transcript_begin(s, &error);
        if (status == RNL_OK) status = transcript_go_on(s, RNL_OK, &error);
    } else if (s->phase == PHASE_WAIT) {
        status = transcript_begin_reply(s, &error);
    }
    note(s, status, &error);
}

static void go_on(slot *s, const rnl_batch_item *item) {
    rnl_error error = item->error;
    rnl_status status = item->status;
    if (status == RNL_AGAIN) return; /* no room in this pass */
    if (status >= 0) status = transcript_go_on(s, status, &error);
    note(s, status, &error);
}

/* Those that are in this stage become items; slots[i] is whose item i is. */
static size_t list(rnl_batch *b, size_t count, rnl_stage stage, size_t item_count) {
    for (size_t i = 0; i < count; i++) {
        slot *s = b->working[i];
        if (s->error.status < 0 || rnl_session_stage(s->session) != stage) continue;
        b->item_slots[item_count] = s;
        b->items[item_count++] = (rnl_batch_item){
            .session = s->session, .stage = stage, .position_count = b->config.row_cap};
    }
    return item_count;
}

/* Decisions first: prefills take the room that is left. */
static void decode(rnl_batch *b, size_t count) {
    size_t item_count = list(b, count, RNL_STAGE_GENERATE, 0);
    item_count = list(b, count, RNL_STAGE_PREFILL, item_count);
    if (item_count == 0) return;
    const double begin = clock_seconds();
    pass_run(b->pass, b->items, item_count);
    for (size_t i = 0; i < item_count; i++) go_on(b->item_slots[i], &b->items[i]);
    const double each = (clock_seconds() - begin) / (double)item_count;
    for (size_t i = 0; i < item_count; i++) b->item_slots[i]->decode_seconds = each;
}

/* A clip is encoded to its end; another, of a half, may be in the encoder. */
static void encode(rnl_batch *b, size_t count) {
    const size_t item_count = list(b, count, RNL_STAGE_ENCODE, 0);
    for (size_t i = 0; i < item_count; i++) {
        slot *s = b->item_slots[i];
        const double begin = clock_seconds();
        do pass_run(b->pass, &b->items[i], 1);
        while (b->items[i].status == RNL_OK && rnl_session_stage(s->session) == RNL_STAGE_ENCODE);
        go_on(s, &b->items[i]);
        s->encode_seconds = clock_seconds() - begin;
    }
}

static void lead(rnl_batch *b, rnl_batch *lane, size_t count) {
    lane->leading = true;
    (void)pthread_mutex_unlock(&b->lock);
    for (size_t i = 0; i < count; i++) prepare(lane->working[i]);
    decode(lane, count);
    encode(lane, count);
    (void)pthread_mutex_lock(&b->lock);
    settle(lane, count);
    lane->leading = false;
    (void)pthread_cond_broadcast(&b->moved);
}

bool transcript_work(rnl_batch *b) {
    for (int i = 0; i < b->config.lane_count && b->pause_count == 0; i++) {
        rnl_batch *lane = b->lanes[i];
        const size_t count = lane->leading ? 0 : gather(b, lane);
        if (count == 0) continue;
        lead(b, lane, count);
        return true;
    }
    return false;
}

static bool is_led(const rnl_batch *b) {
    for (int i = 0; i < b->config.lane_count; i++)
        if (b->lanes[i]->leading) return true;
    return false;
}

void crew_pause(rnl_batch *b) {
    (void)pthread_mutex_lock(&b->lock);
    b->pause_count++;
    while (is_led(b)) (void)pthread_cond_wait(&b->moved, &b->lock);
}

void crew_go_on(rnl_batch *b) {
    b->pause_count--;
    (void)pthread_cond_broadcast(&b->moved);
    (void)pthread_mutex_unlock(&b->lock);
}

void *transcript_help(void *context) {
    rnl_transcript *t = context;
    rnl_batch *b = t->batch;
    (void)pthread_mutex_lock(&b->lock);
    while (!t->stopping)
        if (!transcript_work(b)) (void)pthread_cond_wait(&b->moved, &b->lock);
    (void)pthread_mutex_unlock(&b->lock);
    return NULL;
}
