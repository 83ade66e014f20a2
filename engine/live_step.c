/* A step of a live conversation: it listens, does its own work, and where that leaves nothing, the
 * model has its turn with one step of the session. */
#include "core/status.h"
#include "engine/live.h"

void live_stamp(rnl_live *l, int64_t now_us) {
    if (now_us < l->now_us) now_us = l->now_us;
    for (int i = 0; i < RNL_LIVE_MARK_COUNT; i++)
        if (l->unstamped & 1u << i) l->turn.mark_us[i] = now_us;
    l->unstamped = 0;
    live_output_learn(l, l->work, now_us - l->work_begin_us);
    l->work = WORK_NONE;
    l->now_us = now_us;
}

/* ---- The session's turn ---- */

bool live_wants_step(const rnl_live *l) {
    if (l->phase == LIVE_CUTTING) return false;
    if (l->reply.begun) return !l->reply.complete && live_output_has_room(l);
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
    l->work_count++;
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

static rnl_status step_session(rnl_live *l, rnl_error *error) {
    const live_before before = live_step_begin(l);
    const rnl_status status = rnl_session_step(l->session, error);
    if (status < 0) return status;
    live_step_end(l, &before, status);
    return RNL_OK;
}

/* ---- A loop of its own ---- */

rnl_status rnl_live_step(rnl_live *l, int64_t now_us, rnl_error *error) {
    if (l->failed)
        return status_fail(error, RNL_ERR_STATE, "the conversation failed earlier; destroy it");
    live_stamp(l, now_us);
    if (l->event_count > 0) return RNL_AGAIN;
    live_output_tick(l);
    live_listen(l);
    rnl_status status = live_work_once(l, error);
    if (status == RNL_AGAIN && live_wants_step(l)) status = step_session(l, error);
    l->failed = status < 0;
    return status == RNL_AGAIN && live_hears(l) && l->phase != LIVE_CUTTING ? RNL_OK : status;
}
