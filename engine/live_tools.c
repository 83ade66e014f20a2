/* Calls of tools in a spoken reply.
 *
 *     part of the reply ─ calls: told, taken ─ results ─► history ─► the next part, of one turn
 *
 * A call that was made at a guess waits until the turn is known to be over. Sound of a part goes on
 * playing while results are waited for; what comes behind them is played right behind it. An
 * interruption ends the waiting: what was called stays called, and results that come then are
 * refused. */
#include "engine/live.h"

#include "core/status.h"

bool live_calls_wait(const rnl_live *l) {
    return l->session->live->guide.held == HELD_CALLS;
}

bool live_calls_are_open(const rnl_live *l) {
    return live_calls_wait(l) || l->calls.taken > 0;
}

void live_calls_tell(rnl_live *l) {
    if (l->calls.told || !live_calls_wait(l)) return;
    l->calls.told = true;
    (void)live_tell(l, RNL_LIVE_CALL);
}

rnl_status live_calls_work(rnl_live *l, rnl_error *error) {
    live_calls_tell(l);
    if (!l->reply.complete || live_calls_wait(l)) return RNL_AGAIN;
    if (l->calls.taken == 0 || l->calls.answered < l->calls.taken) return RNL_AGAIN;
    rnl_turn_config turn = l->config.turn;
    turn.call_required = false; /* there was one */
    live_output_collect(l);
    live_count_reply(l);
    rnl_reply reply;
    rnl_session_get_reply(l->session, &reply);
    const rnl_status status = rnl_session_begin(l->session, &turn, error);
    if (status != RNL_OK) return status;
    l->reply.text_before += (int)reply.text_count;
    l->reply.frame_before += (int)reply.frame_count;
    l->calls = (live_calls){.told = false};
    live_output_go_on(l);
    return RNL_OK;
}

rnl_status rnl_live_pull_call(rnl_live *l, char *line, size_t cap, size_t *size) {
    *size = 0;
    if (l->phase != LIVE_REPLY || !live_calls_wait(l)) return RNL_AGAIN;
    const rnl_status status = rnl_session_pull_call(l->session, line, cap, size);
    if (status != RNL_OK) return status;
    l->calls.taken++;
    l->turn.call_count++;
    l->calls.told = live_calls_wait(l);
    return RNL_OK;
}

rnl_status rnl_live_add_result(rnl_live *l, const char *text, size_t size, rnl_error *error) {
    const bool held = l->phase == LIVE_HELD;
    if ((l->phase != LIVE_REPLY && !held) || l->calls.answered == l->calls.taken)
        return status_fail(error, RNL_ERR_STATE,
                           "no call waits for a result; the user may have spoken in between");
    if (held || !l->reply.complete || live_calls_wait(l)) return RNL_AGAIN;
    const rnl_status status = rnl_session_add_text(l->session, RNL_ROLE_TOOL, text, size, error);
    l->calls.answered += status == RNL_OK;
    return status;
}
