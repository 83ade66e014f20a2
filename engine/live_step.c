/* A step of a live conversation: it listens, does its own work, and where that leaves nothing, the
 * model has its turn with a part of a step of the session: a layer or so. */
#include "core/status.h"
#include "engine/batch.h"

void live_stamp(rnl_live *l, int64_t now_us) {
    if (now_us < l->now_us) now_us = l->now_us;
    if (l->batch != NULL) batch_stamp(l->batch, now_us);
    for (int i = 0; i < RNL_LIVE_MARK_COUNT; i++)
        if (l->unstamped & 1u << i) l->turn.mark_us[i] = now_us;
    l->unstamped = 0;
    if (l->worked) l->work_us += now_us - l->work_begin_us;
    if (!l->session->stepping) {
        live_output_learn(l, l->work, l->work_us);
        l->work = WORK_NONE;
        l->work_us = 0;
    }
    l->worked = false;
    l->now_us = now_us;
}

/* ---- The session's turn ---- */

bool live_wants_step(const rnl_live *l) {
    if (l->session->stepping) return true; /* what was begun goes on */
    if (l->phase == LIVE_CUTTING || l->phase == LIVE_HELD) return false;
    if (l->reply.begun) return !l->reply.complete && !live_calls_wait(l) && live_output_has_room(l);
    return rnl_session_stage(l->session) != RNL_STAGE_IDLE;
}

live_before live_step_begin(const rnl_live *l) {
    rnl_reply reply;
    rnl_session_get_reply(l->session, &reply);
    return (live_before){.stage = rnl_session_stage(l->session),
                         .position_count = reply.position_count,
                         .frame_count = reply.frame_count};
}

void live_step_end(rnl_live *l, const live_before *before, rnl_status status) {
    l->work = WORK_OTHER;
    l->work_begin_us = l->now_us;
    l->worked = true;
    l->work_count++;
    l->part_count++;
    if (!l->reply.begun) return;
    if (before->stage == RNL_STAGE_ENCODE && rnl_session_stage(l->session) != RNL_STAGE_ENCODE)
        live_mark(l, RNL_LIVE_T4);
    rnl_reply reply;
    rnl_session_get_reply(l->session, &reply);
    if (reply.position_count > before->position_count) {
        const bool frame = reply.frame_count > before->frame_count;
        /* The first decision came with the last batch of the prefill: its time says nothing. */
        if (before->stage == RNL_STAGE_GENERATE) l->work = frame ? WORK_FRAME : WORK_TEXT;
        live_mark(l, RNL_LIVE_T5);
        live_mark(l, frame ? RNL_LIVE_T7 : RNL_LIVE_T6);
    }
    l->reply.complete = status == RNL_DONE;
    live_output_collect(l);
}

/* A part of a step, so that somebody listens in between. */
static rnl_status step_session(rnl_live *l, rnl_error *error) {
    bool whole;
    if (!l->session->stepping) l->before = live_step_begin(l);
    const rnl_status status = session_step_part(l->session, &whole, error);
    if (status < 0) return status;
    if (whole) {
        live_step_end(l, &l->before, status);
        return RNL_OK;
    }
    l->work_begin_us = l->now_us;
    l->worked = true;
    l->part_count++;
    return RNL_OK;
}

static rnl_status failed_earlier(rnl_error *error) {
    return status_fail(error, RNL_ERR_STATE, "the conversation failed earlier; destroy it");
}

/* ---- A loop of its own ---- */

rnl_status rnl_live_step(rnl_live *l, int64_t now_us, rnl_error *error) {
    if (l->batch != NULL)
        return status_fail(error, RNL_ERR_STATE,
                           "the loop is in a batch: call rnl_live_listen and rnl_batch_step");
    if (l->failed) return failed_earlier(error);
    live_stamp(l, now_us);
    if (l->event_count > 0) return RNL_AGAIN;
    live_output_tick(l);
    live_listen(l);
    rnl_status status = live_work_once(l, error);
    if (status == RNL_AGAIN && live_wants_step(l)) status = step_session(l, error);
    l->failed = status < 0;
    return status == RNL_AGAIN && live_hears(l) && l->phase != LIVE_CUTTING ? RNL_OK : status;
}

/* ---- In a batch ---- */

void live_deadline(const rnl_live *l, int64_t now_us, schedule_client *c) {
    enum { FIRST_SOUND_US = 300000, READ_AGAIN_US = 5000000 };
    c->reply = l->reply.begun && !l->reply.complete;
    c->guess = c->reply && l->phase == LIVE_CLIP && !l->clip.ended;
    c->playing = live_output_is_playing(l);
    if (c->playing)
        c->due_us = live_output_end_us(l);
    else if (c->reply)
        c->due_us = live_push_us(l, l->clip.speech_end - 1) + (int64_t)l->config.end_ms * 1000 +
                    FIRST_SOUND_US;
    else
        c->due_us = now_us + READ_AGAIN_US; /* old turns went; nobody waits */
}

static void tell_busy(rnl_live *l) {
    if (l->phase != LIVE_REPLY || !l->session->overdue || l->reply.told_busy) return;
    l->reply.told_busy = true;
    (void)live_tell(l, RNL_LIVE_BUSY);
}

rnl_status rnl_live_listen(rnl_live *l, int64_t now_us, rnl_error *error) {
    if (l->batch == NULL)
        return status_fail(error, RNL_ERR_STATE,
                           "the loop is in no batch: call rnl_live_step instead");
    if (l->failed) return failed_earlier(error);
    rnl_status status = rnl_batch_status(l->session, error);
    l->failed = status < 0;
    if (l->failed) return status;
    live_stamp(l, now_us);
    if (l->event_count > 0) return RNL_AGAIN;
    const schedule_pace pace = schedule_pace_of(&l->batch->schedule);
    live_output_pace(l, &pace, 1 / l->batch->schedule.caution);
    live_output_tick(l);
    tell_busy(l);
    do {
        live_listen(l);
        status = live_work_once(l, error);
    } while (status == RNL_OK && l->event_count == 0);
    l->failed = status < 0;
    if (status != RNL_AGAIN) return status;
    return live_wants_step(l) || (live_hears(l) && l->phase != LIVE_CUTTING) ? RNL_OK : RNL_AGAIN;
}
