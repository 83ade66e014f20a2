/* One bounded piece of work: a block of the encoder, a batch of prefill, or one decision of the
 * reply with its sound. Order: the encoder fills its rows, then every waiting position goes
 * through the backbone, then the reply is continued from the last hidden state. pass_run.c does it,
 * for one session or for many. */
#include "engine/session.h"

void session_finish_reply(rnl_session *s) {
    session_flush_output(s);
    session_close_reply(s);
    if (s->live->finish == RNL_FINISH_END) session_learn_pace(s);
}

void session_drop_encoding(rnl_session *s) {
    s->encoding = false;
    if (s->pass->encoding == s) s->pass->encoding = NULL;
}

rnl_status session_step_part(rnl_session *s, bool *whole, rnl_error *error) {
    if (!s->stepping) {
        s->item = (rnl_batch_item){.session = s,
                                   .stage = rnl_session_stage(s),
                                   .position_count = s->config.step_positions};
        pass_begin(s->pass, &s->item, 1);
        s->stepping = s->pass->entry_count > 0;
        while (s->stepping && !s->owns_pass) s->stepping = pass_step(s->pass) == RNL_OK;
    } else {
        s->stepping = pass_step(s->pass) == RNL_OK;
    }
    *whole = !s->stepping;
    if (s->stepping) return RNL_OK;
    if (s->item.status < 0 && error != NULL) *error = s->item.error;
    return s->item.status;
}

rnl_status rnl_session_step(rnl_session *s, rnl_error *error) {
    rnl_status status;
    bool whole;
    do status = session_step_part(s, &whole, error);
    while (!whole);
    return status;
}

int session_waiting(const rnl_session *s) {
    const session_live *live = s->live;
    const bool held = !live->generating && live->open_role == RNL_ROLE_ASSISTANT;
    const int count = live->position_count - (int)live->backbone.position - held;
    return count > 0 ? count : 0;
}

const generate *session_loop(const rnl_session *s) {
    return &s->live->loop;
}

rnl_stage rnl_session_stage(const rnl_session *s) {
    const session_live *live = s->live;
    if (s->encoding) return RNL_STAGE_ENCODE;
    if (live->generating && (session_waiting(s) <= 1 || live->step_count > 0))
        return RNL_STAGE_GENERATE;
    return session_waiting(s) > 0 ? RNL_STAGE_PREFILL : RNL_STAGE_IDLE;
}

void rnl_session_stop(rnl_session *s) {
    if (!s->live->generating || s->failed) return;
    s->live->finish = RNL_FINISH_STOPPED;
    session_finish_reply(s);
}
