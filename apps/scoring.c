#include "apps/scoring.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "core/checked.h"
#include "engine/session.h"

enum { HEAD_ROWS = 32, CONTEXT_MIN = 64 };

int scorer_open(scorer *s, const options *o, rnl_model *model, int row_cap) {
    rnl_session_config config = rnl_session_config_for(model);
    rnl_error error = {0};
    *s = (scorer){.model = model,
                  .row_cap = row_cap,
                  .vocab_count = backbone_vocab_count(&model->backbone),
                  .begin_id = model->ids.begin};
    options with_context = *o;
    with_context.context = row_cap > CONTEXT_MIN ? row_cap : CONTEXT_MIN;
    if (!session_options(&with_context, &config)) return EXIT_USAGE;
    config.snapshot_cap = 0;
    config.clip_seconds_max = 0.1; /* nothing is heard or seen */
    config.image_views_max = 0;
    if (rnl_session_create(model, &config, &s->session, &error) != RNL_OK)
        return complain(exit_code(&error), "%s", error.text);
    size_t hidden_size, logits_size;
    if (checked_mul((size_t)row_cap, (size_t)backbone_width(&model->backbone) * sizeof(float),
                    &hidden_size) &&
        checked_mul(HEAD_ROWS, (size_t)s->vocab_count * sizeof(float), &logits_size)) {
        s->hidden = malloc(hidden_size);
        s->logits = malloc(logits_size);
    }
    s->mark = malloc(s->session->live->backbone.fixed_size + 1);
    if (s->hidden != NULL && s->logits != NULL && s->mark != NULL) return EXIT_OK;
    return complain(EXIT_FAILED, "memory is exhausted");
}

void scorer_close(scorer *s) {
    rnl_session_destroy(&s->session);
    free(s->hidden);
    free(s->logits);
    free(s->mark);
    *s = (scorer){0};
}

int scorer_run(scorer *s, const int32_t *ids, int count) {
    stack_reset(&s->session->live->backbone);
    s->run_count = 0;
    s->mark_count = -1;
    return scorer_go_on(s, ids, count);
}

int scorer_go_on(scorer *s, const int32_t *ids, int count) {
    const backbone_weights *w = &s->model->backbone;
    const size_t width = (size_t)backbone_width(w);
    pass *p = s->session->pass;
    assert(count >= 1 && count <= s->row_cap - s->run_count);
    s->block_begin = s->block_end = 0;
    for (int at = 0, rows; at < count; at += rows) {
        if (interrupted()) return EXIT_STOPPED;
        const int step = s->session->config.step_positions;
        rows = count - at < step ? count - at : step;
        float *x = s->hidden + (size_t)s->run_count * width;
        for (int t = 0; t < rows; t++)
            backbone_embed_text(w, &p->compute, ids[at + t], x + (size_t)t * width);
        const compute c = session_compute(s->session);
        pass_forward(p, &c, &s->session->live->backbone, rows, false, x);
        s->run_count += rows;
    }
    return EXIT_OK;
}

void scorer_mark(scorer *s) {
    const stack_state *state = &s->session->live->backbone;
    s->mark_count = s->run_count;
    if (state->fixed_size > 0) memcpy(s->mark, state->fixed, state->fixed_size);
}

void scorer_rewind(scorer *s) {
    stack_state *state = &s->session->live->backbone;
    assert(s->mark_count >= 0);
    if (state->fixed_size > 0) memcpy(state->fixed, s->mark, state->fixed_size);
    state->position = s->run_count = s->mark_count;
    s->block_begin = s->block_end = 0;
}

const float *scorer_logits(scorer *s, int row) {
    const backbone_weights *w = &s->model->backbone;
    assert(row >= 0 && row < s->run_count);
    if (row < s->block_begin || row >= s->block_end) {
        const int left = s->run_count - row;
        s->block_begin = row;
        s->block_end = row + (left < HEAD_ROWS ? left : HEAD_ROWS);
        const compute c = session_compute(s->session);
        backbone_logits(w, &c, s->hidden + (size_t)row * (size_t)backbone_width(w), s->logits,
                        s->block_end - row);
    }
    return s->logits + (size_t)(row - s->block_begin) * (size_t)s->vocab_count;
}

int scoring_check(const scorer *s, const char *name, const int32_t *ids, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= s->vocab_count)
            return complain(EXIT_INPUT, "%s: number %zu is no id of this model, which has 0 to %d",
                            name, i, s->vocab_count - 1);
    return EXIT_OK;
}

double scoring_normaliser(const float *logits, int count) {
    double sum = 0, most = -INFINITY;
    for (int i = 0; i < count; i++)
        if (logits[i] > most) most = logits[i];
    for (int i = 0; i < count; i++) sum += exp(logits[i] - most);
    return most + log(sum);
}

int32_t scoring_best(const float *logits, int count) {
    int32_t at = 0;
    for (int32_t i = 1; i < count; i++)
        if (logits[i] > logits[at]) at = i;
    return at;
}
