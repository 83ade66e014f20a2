/* What was said into a held reply, as the model itself hears it: the interruption is transcribed on
 * a session beside the conversation's, which shares its pass. It never speaks at the same time: the
 * reply waits. */
#include "engine/live.h"

#include <string.h>

#include "core/status.h"

enum {
    HEAR_ROWS = 8,      /* decisions; who says more than that says more than "okay, right" */
    HEAR_HEADERS = 64,  /* positions of the layout around prompt, clip and reply */
    HEAR_PRE_ROLL = 300 /* ms of a clip before its speech (vad/endpoint) */
};

static int64_t samples_of(int ms) {
    return (int64_t)ms * (RNL_RATE_IN / 1000);
}

static int64_t longest_clip(const rnl_live *l) {
    return samples_of(HEAR_PRE_ROLL + l->backchannel_ms + LIVE_HOLD_SILENCE_MS);
}

rnl_status live_hear_create(rnl_live *l, rnl_error *error) {
    const rnl_session_config *main = &l->session->config;
    const char *prompt = rnl_model_system_prompt(l->model, RNL_MODE_TRANSCRIBE);
    rnl_session_config c = *main;
    c.clip_seconds_max = (double)longest_clip(l) / RNL_RATE_IN + 0.1;
    c.snapshot_cap = 0;
    c.image_views_max = 0;
    c.drop_oldest_turns = false;
    /* The prompt has at most a token for each byte. */
    c.context_cap = HEAR_HEADERS + (prompt != NULL ? (int)strlen(prompt) : 0) +
                    session_clip_positions(longest_clip(l)) + SESSION_CLOSE_CAP + HEAR_ROWS;
    if (c.context_cap > main->context_cap) c.context_cap = main->context_cap;
    if (main->memory_size_max != SIZE_MAX) c.memory_size_max -= l->session->planned_size;
    l->session->pass->session_cap = 1;
    const rnl_status status = session_create_in(l->model, l->session->pass, &c, &l->scratch, error);
    if (status != RNL_ERR_BUDGET) return status;
    return status_fail(error, status,
                       "memory_size_max: the %zu MiB allowed have no room for the session that "
                       "hears backchannels; allow more, or set backchannel_ms to 0",
                       main->memory_size_max >> 20);
}

/* The interruption with the sound before it, as a turn of the user would have it. */
static rnl_status give_clip(rnl_live *l) {
    const live_hold *h = &l->hold;
    int64_t at = h->begin.clip_begin;
    const int64_t speech_end = h->ended ? h->end.speech_end : l->turns.speech_end;
    int64_t end = speech_end + samples_of(LIVE_HOLD_SILENCE_MS);
    if (end > l->turns.position) end = l->turns.position;
    while (at < end) {
        const int64_t begin = at % l->heard_cap, room = l->heard_cap - begin;
        const int64_t count = end - at < room ? end - at : room;
        const rnl_status status =
            rnl_session_push_audio(l->scratch, l->heard + begin, (size_t)count, RNL_RATE_IN, NULL);
        if (status != RNL_OK) return status;
        at += count;
    }
    return RNL_OK;
}

static rnl_status begin(rnl_live *l) {
    const char *prompt = rnl_model_system_prompt(l->model, RNL_MODE_TRANSCRIBE);
    rnl_turn_config turn = rnl_turn_config_default(l->model, RNL_MODE_TRANSCRIBE);
    rnl_status status = RNL_OK;
    turn.step_max = HEAR_ROWS;
    rnl_session_reset(l->scratch);
    l->hearing = true;
    if (prompt != NULL)
        status = rnl_session_add_text(l->scratch, RNL_ROLE_SYSTEM, prompt, strlen(prompt), NULL);
    if (status == RNL_OK) status = give_clip(l);
    return status == RNL_OK ? rnl_session_begin(l->scratch, &turn, NULL) : status;
}

rnl_status live_hear_by_model(rnl_live *l, char *text, size_t cap, size_t *size) {
    rnl_status status = RNL_OK;
    bool whole = false;
    *size = 0;
    l->part_count++;
    if (!l->hearing) {
        status = begin(l);
    } else {
        status = session_step_part(l->scratch, &whole, NULL);
        l->work_count += whole;
    }
    if (status == RNL_OK) return RNL_OK;
    l->hearing = false;
    if (status != RNL_DONE) return status < 0 ? status : RNL_ERR_STATE;
    rnl_reply reply;
    rnl_session_get_reply(l->scratch, &reply);
    if (reply.finish != RNL_FINISH_END) return RNL_ERR_CONTEXT_FULL; /* there was more */
    for (size_t got; cap - *size >= UTF8_PENDING_CAP &&
                     rnl_session_pull_text(l->scratch, text + *size, cap - *size, &got) == RNL_OK;)
        *size += got;
    return RNL_DONE;
}
