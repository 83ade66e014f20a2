/* A step of a batch: what its sessions and loops want is put before the schedule, what that grants
 * is made in one pass, and each gets what came of it. */
#include <limits.h>

#include "engine/batch.h"

enum { RESULT_US = 5000000 }; /* for a result of which nobody said when it is wanted */

void batch_stamp(rnl_batch *b, int64_t now_us) {
    if (now_us > b->now_us) b->now_us = now_us;
    if (b->running) schedule_learn(&b->schedule, (double)(b->now_us - b->begun_us));
    b->running = false;
}

/* ---- What a session wants ---- */

static void set_run(schedule_client *c, const generate *loop) {
    const bool texts = !loop->in_audio && !loop->text_done;
    c->frames_before = INT_MAX;
    if (!loop->config.interleaved)
        c->texts_before = texts;
    else if (texts)
        c->texts_before = loop->left > 1 ? loop->left : 1;
    else if (!loop->text_done && loop->left > 0)
        c->frames_before = loop->left;
}

/* The next piece of work, whoever wants it. */
static schedule_client work_of(const rnl_session *s) {
    schedule_client c = {.placed = s->placed};
    if (s->failed) return c;
    switch (rnl_session_stage(s)) {
    case RNL_STAGE_IDLE:
        break;
    case RNL_STAGE_ENCODE:
        c.want = SCHEDULE_ENCODE;
        c.size = s->encode_frame_count;
        c.in_encoder = s->pass->encoding == s;
        break;
    case RNL_STAGE_PREFILL:
        c.want = SCHEDULE_PREFILL;
        c.size = session_waiting(s);
        break;
    case RNL_STAGE_GENERATE:
        c.want = generate_wants_frame(session_loop(s)) ? SCHEDULE_FRAME : SCHEDULE_TEXT;
        break;
    }
    if (s->live->generating) {
        set_run(&c, session_loop(s));
        if (!session_output_has_room(s)) c.want = SCHEDULE_NOTHING;
    }
    return c;
}

static schedule_client session_client(rnl_session *s, int64_t now_us) {
    schedule_client c = work_of(s);
    const bool idle = c.want == SCHEDULE_NOTHING;
    if (!s->due_said) {
        if (idle)
            s->due_us = INT64_MIN;
        else if (s->due_us == INT64_MIN)
            s->due_us = now_us + RESULT_US;
    }
    if (s->want == RNL_WANT_NOTHING && !c.in_encoder) c.want = SCHEDULE_NOTHING;
    c.due_us = s->due_us == INT64_MIN ? now_us : s->due_us;
    c.reply = s->live->generating && (s->want == RNL_WANT_SPEECH || s->want == RNL_WANT_PLAYING);
    c.playing = s->live->generating && s->want == RNL_WANT_PLAYING;
    return c;
}

/* The encoder has one clip at a time: one that is in it goes on, whatever its owner does. */
static schedule_client loop_client(const rnl_live *l, int64_t now_us) {
    schedule_client c = work_of(l->session);
    if (!c.in_encoder && (l->failed || l->event_count > 0 || !live_wants_step(l)))
        c.want = SCHEDULE_NOTHING;
    live_deadline(l, now_us, &c);
    return c;
}

static int collect(rnl_batch *b, int64_t now_us) {
    int count = 0;
    for (rnl_session *s = b->pass->sessions; s != NULL; s = s->next, count++) {
        if (s->loop != NULL) live_stamp(s->loop, now_us);
        schedule_client *c = &b->clients[count];
        *c = s->loop != NULL ? loop_client(s->loop, now_us) : session_client(s, now_us);
        c->placed = c->placed && c->reply;
        b->members[count] = s;
    }
    return count;
}

/* ---- The pass ---- */

/* The items in the order of the schedule, so that the first get the room there is; order[i] becomes
 * the client of item i. */
static size_t fill(rnl_batch *b, int count) {
    size_t item_count = 0;
    for (int i = 0; i < count; i++) {
        const int client = b->order[i];
        const schedule_client *c = &b->clients[client];
        rnl_session *s = b->members[client];
        s->placed = c->placed;
        s->overdue = c->overdue;
        if (c->granted == 0) continue;
        if (s->loop != NULL) b->before[item_count] = live_step_begin(s->loop);
        b->order[item_count] = client;
        b->items[item_count++] = (rnl_batch_item){
            .session = s, .stage = rnl_session_stage(s), .position_count = c->granted};
    }
    return item_count;
}

/* More blocks of the clip that is in the encoder. Returns how many were done, that of the pass
 * included. */
static int encode_on(rnl_batch *b, rnl_batch_item *item) {
    int done = 1;
    while (done < item->position_count && item->status == RNL_OK &&
           rnl_session_stage(item->session) == RNL_STAGE_ENCODE) {
        pass_run(b->pass, item, 1);
        done++;
    }
    return done;
}

/* Makes the pass. Returns what was done in the end, where an item found no room. */
static schedule_pass run(rnl_batch *b, size_t count) {
    schedule_pass p = {0};
    pass_run(b->pass, b->items, count);
    for (size_t i = 0; i < count; i++) {
        rnl_batch_item *item = &b->items[i];
        const schedule_client *c = &b->clients[b->order[i]];
        if (item->status == RNL_AGAIN) continue;
        if (c->want == SCHEDULE_ENCODE) p.encode_size += c->size * encode_on(b, item);
        if (c->want == SCHEDULE_PREFILL) p.positions += c->granted;
        p.texts += c->want == SCHEDULE_TEXT;
        p.frames += c->want == SCHEDULE_FRAME;
    }
    p.us = schedule_foresee(&b->schedule, &p);
    return p;
}

static void hand_out(rnl_batch *b, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const rnl_batch_item *item = &b->items[i];
        rnl_session *s = item->session;
        if (item->status == RNL_AGAIN) continue;
        if (item->status < 0)
            s->failure = item->error;
        else if (s->loop != NULL)
            live_step_end(s->loop, &b->before[i], item->status);
    }
}

rnl_status rnl_batch_step(rnl_batch *b, int64_t now_us) {
    batch_stamp(b, now_us);
    const int count = collect(b, b->now_us);
    (void)schedule_plan(&b->schedule, b->clients, b->order, count, b->now_us);
    const size_t item_count = fill(b, count);
    if (item_count == 0) return RNL_AGAIN;
    const schedule_pass done = b->schedule.planned = run(b, item_count);
    hand_out(b, item_count);
    if (done.us == 0) return RNL_AGAIN;
    b->begun_us = b->now_us;
    b->running = true;
    b->pass_count++;
    b->rows += done.texts + done.frames + done.positions;
    b->decision_count += done.texts + done.frames;
    return RNL_OK;
}

/* ---- What was said of a session ---- */

void rnl_batch_want(rnl_session *s, rnl_want want, int64_t due_us) {
    const int64_t most = INT64_MAX / 4; /* times are added to it and taken from it */
    s->want = want;
    s->due_us = due_us > most ? most : due_us < -most ? -most : due_us;
    s->due_said = true;
}

rnl_status rnl_batch_status(const rnl_session *s, rnl_error *error) {
    if (s->failure.status < 0) {
        if (error != NULL) *error = s->failure;
        return s->failure.status;
    }
    return s->overdue ? RNL_AGAIN : RNL_OK;
}
