/* What the engine does, in the book's metrics. Without any nothing is counted. */
#include "serve/metrics.h"
#include "serve/work_inner.h"

static metric_reason reason_of(const work *w, api_code refused) {
    work_facts f;
    if (refused == API_DRAINING) return METRIC_FOR_DRAINING;
    if (refused == API_RATE_LIMIT_EXCEEDED) return METRIC_FOR_LIMIT;
    work_get_facts(w, &f);
    return f.memory_binds && f.conversations >= f.session_max ? METRIC_FOR_MEMORY : METRIC_FOR_LOAD;
}

void work_count_opened(work *w, api_code refused) {
    metrics *m = w->config.metrics;
    if (m == NULL) return;
    if (refused == API_OK)
        metrics_count(m, METRIC_SESSIONS_ADMITTED, 0, 1);
    else
        metrics_count(m, METRIC_SESSIONS_REFUSED, (int)reason_of(w, refused), 1);
}

void work_count_heard(work *w, int64_t us) {
    if (w->config.metrics != NULL) metrics_count(w->config.metrics, METRIC_ENCODED_SECONDS, 0, us);
}

void work_count_pass(work *w, int64_t us) {
    metrics *m = w->config.metrics;
    rnl_batch_facts f;
    if (m == NULL) return;
    rnl_batch_get_facts(w->batch, &f);
    if (f.rows == w->facts.rows) return; /* a block of an encoder */
    metrics_observe(m, METRIC_PASS_SECONDS, us);
    metrics_observe(m, METRIC_BATCH_ROWS, f.rows - w->facts.rows);
}

void work_count_sound(work *w, talk_reply *r, int64_t now_us) {
    if (!r->spoken || r->first_sound_us == 0) return;
    const int64_t played_us = r->sample_count * 1000000 / RNL_RATE_OUT;
    const int64_t slack_us = r->first_sound_us + r->late_us + played_us - now_us;
    if (slack_us < r->slack_us) r->slack_us = slack_us;
    if (slack_us >= 0) return;
    r->late_us -= slack_us; /* whoever plays it has waited */
    if (w->config.metrics != NULL) metrics_count(w->config.metrics, METRIC_UNDERRUNS, 0, 1);
}

void work_count_reply(work *w, const talk_reply *r) {
    metrics *m = w->config.metrics;
    if (m == NULL) return;
    const work_usage *u = &r->usage;
    const int read = work_usage_input(u) - work_usage_cached(u);
    metrics_count(m, METRIC_PREFILL_POSITIONS, 0, read);
    metrics_count(m, METRIC_TEXT_POSITIONS, 0, u->output_text);
    metrics_count(m, METRIC_FRAMES, 0, u->output_audio);
    if (r->slack_us != INT64_MAX) metrics_observe(m, METRIC_SLACK, r->slack_us);
}
