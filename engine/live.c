/* A live conversation's life, and what can be seen of it. */
#include "engine/batch.h"

#include <stdlib.h>
#include <string.h>

#include "core/range.h"
#include "core/status.h"

rnl_live_config rnl_live_config_default(const rnl_model *model) {
    rnl_live_config c = {.session = rnl_session_config_default(),
                         .turn = rnl_turn_config_default(model, RNL_MODE_INTERLEAVED),
                         .rate_in = RNL_RATE_IN,
                         .rate_out = RNL_RATE_OUT,
                         .speculation = true,
                         .barge_in = true,
                         .echo_cancel = true,
                         .echo_delay_ms = -1,
                         .volume_inside = true,
                         .lead_in_trim = true,
                         .history_turns = model->source.config.history_turns,
                         .backchannel_ms = rnl_model_can(model, RNL_MODE_TRANSCRIBE)
                                               ? model->source.config.backchannel_ms
                                               : 0,
                         .guess_ms = 100,
                         .end_ms_min = 350,
                         .end_ms = 500,
                         .end_ms_max = 900,
                         .turn_network = turn_network_is_built(),
                         .turn_seconds_max = 30};
    c.session.drop_oldest_turns = true;
    return c;
}

/* endpoint_config.interrupt_odds where a reply is held first, so that nothing is lost before what
 * was said is heard: a lone "no" often has no third sure block. More than one sure block and than a
 * second of breath; below it, hardly more is found (docs/LATENCY.md, "Backchannels"). */
static const float hold_odds = 3.0f;

static endpoint_config turns_of(const rnl_live_config *c) {
    endpoint_config t = endpoint_config_default();
    t.guess_ms = c->guess_ms;
    t.asks = c->turn_network && !c->push_to_talk;
    t.end_ms_min = c->end_ms_min;
    t.end_ms = c->end_ms;
    t.end_ms_max = c->end_ms_max;
    t.turn_ms_max = (int)(c->turn_seconds_max * 1000);
    t.barge_in = c->barge_in;
    t.push_to_talk = c->push_to_talk;
    return t;
}

/* A silence that ends a turn comes behind the one at which a held reply is decided about. */
static int least_end_ms(const rnl_live_config *c) {
    const int block_ms = VAD_BLOCK * 1000 / RNL_RATE_IN;
    const bool holds = c->backchannel_ms > 0 && !c->push_to_talk;
    return holds ? LIVE_HOLD_SILENCE_MS + block_ms : 0;
}

static rnl_status check(const rnl_model *model, const rnl_live_config *c, rnl_error *error) {
    const int least = least_end_ms(c), asked = c->turn_network ? c->end_ms_min : least;
    const range ranges[] = {
        {"rate_in", c->rate_in, 4000, 768000},
        {"rate_out", c->rate_out, 4000, 768000},
        {"echo_delay_ms", c->echo_delay_ms, -1, 500},
        {"guess_ms", c->guess_ms, 32, 1000},
        {"backchannel_ms", c->backchannel_ms, 0, CONFIG_BACKCHANNEL_MAX},
        {"end_ms", c->end_ms, c->guess_ms > least ? c->guess_ms : least, 5000},
        {"end_ms_max", c->end_ms_max, c->end_ms, 5000},
        {"turn_seconds_max", c->turn_seconds_max, 2, 600},
        {"history_turns", c->history_turns, 0, CONFIG_HISTORY_MAX},
        {"end_ms_min", least > 0 ? asked : 0, least, 5000},
    };
    const rnl_status status = range_check(ranges, sizeof ranges / sizeof *ranges, error);
    if (status != RNL_OK) return status;
    if (!rnl_model_can(model, RNL_MODE_INTERLEAVED) || !model->source.config.has_encoder)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: a spoken conversation needs a model that takes and gives audio; "
                           "this one %s audio and %s it",
                           model->path,
                           model->source.config.has_encoder ? "takes" : "does not take",
                           rnl_model_can(model, RNL_MODE_SPEAK) ? "gives" : "does not give");
    if (c->backchannel_ms > 0 && !rnl_model_can(model, RNL_MODE_TRANSCRIBE))
        return status_fail(
            error, RNL_ERR_UNSUPPORTED,
            "backchannel_ms: %s does not write down what it hears, so that it cannot "
            "tell \"mhm\" from \"stop\"; set it to 0",
            model->path);
    if (c->turn.mode != RNL_MODE_INTERLEAVED)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "turn.mode of a live conversation must be RNL_MODE_INTERLEAVED");
    return RNL_OK;
}

static rnl_status no_memory(rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "memory for the conversation is exhausted");
}

static void layout(rnl_live *l, arena *a) {
    l->mic = arena_take(a, LIVE_INPUT_CAP, sizeof(float));
    l->reference = arena_take(a, LIVE_INPUT_CAP, sizeof(float));
    l->adc_us = arena_take(a, (size_t)l->stamp_cap, sizeof *l->adc_us);
    l->push_us = arena_take(a, (size_t)l->stamp_cap, sizeof *l->push_us);
    l->heard = arena_take(a, (size_t)l->heard_cap, sizeof(float));
    l->play = arena_take(a, LIVE_PLAY_CAP, sizeof(float));
    l->fade = arena_take(a, l->fade_cap, sizeof(float));
    l->said = arena_take(a, LIVE_SAID_CAP, 1);
    l->heard_text = arena_take(a, LIVE_SAID_CAP, 1);
    vad_layout(&l->vad, a);
    vad_layout(&l->raw_vad, a);
}

static rnl_status create_resampler(resampler **out, int rate, int from, int to) {
    if (from == to) return RNL_OK;
    const rnl_status status = resampler_create(out);
    if (status != RNL_OK) return status;
    const size_t block = (size_t)rate / 200; /* 5 ms */
    resampler_set_block(*out, block < 1024 ? block : 1024);
    resampler_begin(*out, from, to);
    return RNL_OK;
}

static rnl_status create_input(rnl_live *l, rnl_error *error) {
    const rnl_live_config *c = &l->config;
    if (create_resampler(&l->in_mic, c->rate_in, c->rate_in, RNL_RATE_IN) != RNL_OK ||
        create_resampler(&l->in_reference, c->rate_in, c->rate_in, RNL_RATE_IN) != RNL_OK ||
        create_resampler(&l->out, RNL_RATE_OUT, RNL_RATE_OUT, c->rate_out) != RNL_OK)
        return no_memory(error);
    if (!c->echo_cancel) return RNL_OK;
    echo_config e = echo_config_default();
    e.delay_ms = c->echo_delay_ms;
    l->input_delay = ECHO_DELAY;
    return echo_create(&e, &l->echo) == RNL_OK ? RNL_OK : no_memory(error);
}

static rnl_status create_session(rnl_live *l, rnl_error *error) {
    rnl_session_config *c = &l->config.session;
    c->clip_seconds_max = l->config.turn_seconds_max + 0.5;
    if (c->clip_seconds_max > 600) c->clip_seconds_max = 600;
    c->snapshot_cap = LIVE_SLOT + 1;
    if (c->step_positions > LIVE_STEP_POSITIONS) c->step_positions = LIVE_STEP_POSITIONS;
    const turn_network *turn = NULL;
    rnl_status status = RNL_OK;
    if (l->config.turn_network && l->batch == NULL)
        status = model_turn_network(l->model, &turn, error);
    if (status != RNL_OK) return status;
    status = l->batch != NULL ? rnl_session_create_in(l->batch, c, &l->session, error)
                              : session_create_looking(l->model, turn, c, &l->session, error);
    if (status != RNL_OK) return status;
    l->session->loop = l;
    const char *system = l->config.system;
    if (system == NULL) system = rnl_model_system_prompt(l->model, RNL_MODE_INTERLEAVED);
    l->config.system = NULL; /* the caller's; not looked at again */
    const size_t size = system != NULL ? strlen(system) : 0;
    const rnl_constraint *tools = l->config.turn.tools;
    status = session_guide_check(l->session, &l->config.turn, error);
    if (status != RNL_OK) return status;
    if (tools != NULL) return rnl_session_add_tools(l->session, system, size, tools, error);
    if (system == NULL) return RNL_OK;
    return rnl_session_add_text(l->session, RNL_ROLE_SYSTEM, system, size, error);
}

static rnl_status create(rnl_live *l, rnl_error *error) {
    arena a = {0};
    l->heard_cap = (int64_t)(l->config.turn_seconds_max * RNL_RATE_IN) + LIVE_INPUT_CAP;
    l->stamp_cap = (l->heard_cap + LIVE_INPUT_CAP) / LIVE_FRAME;
    l->fade_cap = (size_t)l->config.rate_out * GAIN_FADE_MS / 1000 + 1;
    layout(l, &a);
    l->memory = aligned_alloc(ARENA_ALIGN, a.size_used);
    if (l->memory == NULL) return no_memory(error);
    a = (arena){.base = l->memory, .size_cap = a.size_used};
    layout(l, &a);
    endpoint_config turns = turns_of(&l->config);
    rnl_status status = endpoint_config_check(&turns, error);
    if (status == RNL_OK) status = create_input(l, error);
    if (status == RNL_OK) status = create_session(l, error);
    if (l->batch == NULL && !l->config.push_to_talk) l->backchannel_ms = l->config.backchannel_ms;
    l->hear = live_hear_by_model;
    if (status == RNL_OK && l->backchannel_ms > 0) status = live_hear_create(l, error);
    if (status != RNL_OK) return status;
    vad_reset(&l->vad);
    vad_reset(&l->raw_vad);
    energy_reset(&l->energy);
    if (l->backchannel_ms > 0) turns.interrupt_odds = hold_odds;
    turns.asks = turns.asks && l->session->pass->config.turn != NULL; /* a batch may have none */
    endpoint_reset(&l->turns, &turns);
    l->pace.caution = 1;
    l->measure = (echo_measure){.mic_db = -100, .out_db = -100, .reference_db = -100};
    live_output_reset(l);
    live_hold_reset(l);
    (void)live_tell(l, RNL_LIVE_LISTENING);
    return RNL_OK;
}

static rnl_status create_on(rnl_model *model, rnl_batch *batch, const rnl_live_config *config,
                            rnl_live **live, rnl_error *error) {
    *live = NULL;
    const rnl_live_config c = config != NULL ? *config : rnl_live_config_default(model);
    rnl_status status = check(model, &c, error);
    if (status != RNL_OK) return status;
    rnl_live *l = calloc(1, sizeof *l);
    if (l == NULL) return no_memory(error);
    l->model = model;
    l->batch = batch;
    l->config = c;
    status = create(l, error);
    if (status != RNL_OK) rnl_live_destroy(&l);
    *live = l;
    return status;
}

rnl_status rnl_live_create(rnl_model *model, const rnl_live_config *config, rnl_live **live,
                           rnl_error *error) {
    if (model == NULL || live == NULL)
        return status_fail(error, RNL_ERR_ARGUMENT, "rnl_live_create: model or live is NULL");
    return create_on(model, NULL, config, live, error);
}

rnl_status rnl_live_create_in(rnl_batch *batch, const rnl_live_config *config, rnl_live **live,
                              rnl_error *error) {
    if (batch == NULL || live == NULL)
        return status_fail(error, RNL_ERR_ARGUMENT, "rnl_live_create_in: batch or live is NULL");
    return create_on(batch->model, batch, config, live, error);
}

void rnl_live_destroy(rnl_live **live) {
    if (live == NULL || *live == NULL) return;
    rnl_live *l = *live;
    live_look_drop(l);
    rnl_session_destroy(&l->scratch); /* before whose pass it shares */
    rnl_session_destroy(&l->session);
    echo_destroy(&l->echo);
    resampler_destroy(&l->in_mic);
    resampler_destroy(&l->in_reference);
    resampler_destroy(&l->out);
    free(l->memory);
    free(l);
    *live = NULL;
}

/* ---- Looking around ---- */

void rnl_live_said(const rnl_live *l, const char **text, size_t *size) {
    *text = l->said;
    *size = l->said_size;
}

void rnl_live_heard(rnl_live *l, const char **text, size_t *size) {
    if (l->phase == LIVE_REPLY || l->phase == LIVE_HELD) live_output_note_heard(l);
    *text = l->heard_text;
    *size = l->heard_size;
}

void rnl_live_clip(const rnl_live *l, float *samples, size_t cap, size_t *count) {
    const int64_t length = l->clip.ended ? l->clip.end - l->clip.begin : 0;
    *count = (size_t)length < cap ? (size_t)length : cap;
    if (l->position - l->clip.begin > l->heard_cap) *count = 0; /* overwritten */
    for (size_t i = 0; i < *count; i++)
        samples[i] = l->heard[(l->clip.begin + (int64_t)i) % l->heard_cap];
}

static rnl_live_kind state_of(const rnl_live *l) {
    switch (l->phase) {
    case LIVE_LISTEN:
        return RNL_LIVE_LISTENING;
    case LIVE_CLIP:
        return l->clip.ended ? RNL_LIVE_THINKING : RNL_LIVE_HEARING;
    case LIVE_REPLY:
    case LIVE_HELD:
    case LIVE_CUTTING:
        return l->reply.started ? RNL_LIVE_SPEAKING : RNL_LIVE_THINKING;
    }
    return RNL_LIVE_LISTENING;
}

void rnl_live_get_facts(const rnl_live *l, rnl_live_facts *facts) {
    const bool in_turn = l->phase == LIVE_CLIP && !l->clip.ended;
    *facts = (rnl_live_facts){
        .state = state_of(l),
        .idle = l->phase == LIVE_LISTEN && !l->suspected && l->event_count == 0 && !live_hears(l) &&
                rnl_session_stage(l->session) == RNL_STAGE_IDLE,
        .turn_seconds = in_turn ? (double)(l->turns.position - l->clip.begin) / RNL_RATE_IN : 0.0,
        .buffered_seconds = (double)(l->play_in - l->play_out) / RNL_RATE_OUT,
        .mic_db = l->measure.mic_db,
        .clean_db = l->measure.out_db,
        .speaker_db = l->measure.reference_db,
        .speech = l->speech,
        .mic_count = l->taken,
        .pulled_count = l->pulled,
        .frame_count = l->frame_count,
        .sample_count = l->sample_count,
        .work_count = l->work_count,
        .part_count = l->part_count,
        .turn_count = l->turn_count,
        .position_count = rnl_session_position_count(l->session),
    };
}
