/* Sessions with one decision to make, which is taken back before the next pass: all passes do the
 * same, tokens or frames, whatever the model would say. */
#include "serve/pass_times.h"

#include "core/clock.h"
#include "engine/session.h"

enum { ROWS_MAX = 32, PASSES = 3 };

typedef struct crowd {
    rnl_batch *batch;
    rnl_session *sessions[ROWS_MAX];
    rnl_batch_item items[ROWS_MAX];
    int count;
} crowd;

/* Everything but the last position through the model. */
static bool prefill(crowd *c, rnl_session *s) {
    for (int left; (left = session_waiting(s) - 1) > 0;) {
        rnl_batch_item *item = &c->items[0];
        *item = (rnl_batch_item){.session = s, .stage = RNL_STAGE_PREFILL, .position_count = left};
        rnl_batch_pass(c->batch, item, 1);
        if (item->status != RNL_OK) return false;
    }
    return true;
}

static bool open_one(crowd *c, const rnl_model *model, rnl_session **s) {
    rnl_session_config config = rnl_session_config_for(model);
    config.context_cap = 256;
    config.clip_seconds_max = 0.1;
    config.snapshot_cap = 1;
    const rnl_turn_config turn = rnl_turn_config_default(model, RNL_MODE_INTERLEAVED);
    return rnl_session_create_in(c->batch, &config, s, NULL) == RNL_OK &&
           rnl_session_add_text(*s, RNL_ROLE_USER, "Hello.", 6, NULL) == RNL_OK &&
           rnl_session_begin(*s, &turn, NULL) == RNL_OK && prefill(c, *s) &&
           rnl_session_snapshot(*s, 0, NULL) == RNL_OK;
}

static bool rewind_to(rnl_session *s, bool frame) {
    if (rnl_session_restore(s, 0, NULL) != RNL_OK) return false;
    generate *loop = &s->live->loop;
    if (frame) {
        loop->in_audio = true;
        loop->left = loop->config.audio_run;
    }
    return true;
}

/* us of a pass in which all decide; 0: it cannot be. */
static double pass_us(crowd *c, bool frame) {
    double least = 0;
    for (int n = 0; n < PASSES; n++) {
        for (int i = 0; i < c->count; i++) {
            if (!rewind_to(c->sessions[i], frame)) return 0;
            c->items[i] = (rnl_batch_item){.session = c->sessions[i], .stage = RNL_STAGE_GENERATE};
        }
        const double begin = clock_seconds();
        rnl_batch_pass(c->batch, c->items, (size_t)c->count);
        const double us = 1e6 * (clock_seconds() - begin);
        for (int i = 0; i < c->count; i++)
            if (c->items[i].status != RNL_OK && c->items[i].status != RNL_DONE) return 0;
        if (least == 0 || us < least) least = us;
    }
    return least;
}

void pass_times_measure(rnl_batch *batch, const rnl_model *model, int decision_cap,
                        double seconds) {
    if (!rnl_model_can(model, RNL_MODE_INTERLEAVED)) return;
    const double end = clock_seconds() + seconds;
    const int most = decision_cap < ROWS_MAX ? decision_cap : ROWS_MAX;
    crowd c = {.batch = batch};
    for (int rows = 1; rows <= most && clock_seconds() < end; rows *= 2) {
        while (c.count < rows && open_one(&c, model, &c.sessions[c.count])) c.count++;
        if (c.count < rows) break;
        const double text_us = pass_us(&c, false), frame_us = pass_us(&c, true);
        if (text_us > 0 && frame_us > 0) rnl_batch_set_times(batch, rows, text_us, frame_us);
    }
    for (int i = 0; i < ROWS_MAX; i++) rnl_session_destroy(&c.sessions[i]);
}
