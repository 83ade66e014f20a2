/* Ids through the backbone, as they stand in a file: a text stack compared from outside, even of a
 * model without a vocabulary.
 *
 *     ids -> embeddings -> backbone (layers, experts) -> hidden -> logits -> best token -> ... */
#include <stdio.h>
#include <stdlib.h>

#include "apps/dump.h"
#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "engine/session.h"

enum { CONTEXT_MIN = 64, CONTEXT_MAX = 1 << 20, COUNT_DEFAULT = 20 };

typedef struct id_run {
    dump *d;
    rnl_session *s;
} id_run;

static void on_layer(void *context, int layer, const float *x, int count) {
    const id_run *r = context;
    if (dump_wants(r->d, "backbone", layer))
        dump_keep(r->d, x, false, (size_t)count, (size_t)backbone_width(&r->s->model->backbone));
}

static void on_experts(void *context, int layer, const int32_t *experts, const float *gains,
                       int count, int used) {
    const id_run *r = context;
    (void)gains;
    if (dump_wants(r->d, "experts", layer))
        dump_keep(r->d, experts, true, (size_t)count, (size_t)used);
}

static const float *logits_of(const id_run *r, int row) {
    const backbone_weights *w = &r->s->model->backbone;
    const compute c = session_compute(r->s);
    backbone_logits(w, &c, r->s->pass->x + (size_t)row * (size_t)backbone_width(w),
                    r->s->pass->logits, 1);
    return r->s->pass->logits;
}

/* Up to step_positions ids behind what has gone through; the rows stay in pass->x. */
static void forward(const id_run *r, const int32_t *ids, int count) {
    const backbone_weights *w = &r->s->model->backbone;
    pass *p = r->s->pass;
    const size_t width = (size_t)backbone_width(w);
    for (int t = 0; t < count; t++)
        backbone_embed_text(w, &p->compute, ids[t], p->x + (size_t)t * width);
    const compute c = session_compute(r->s);
    pass_forward(p, &c, &r->s->live->backbone, count, false, p->x);
    if (dump_wants(r->d, "hidden", -1)) dump_keep(r->d, p->x, false, (size_t)count, width);
    for (int t = 0; t < count && dump_wants(r->d, "logits", -1); t++)
        dump_keep(r->d, logits_of(r, t), false, 1, (size_t)backbone_vocab_count(w));
}

/* Of equal ones the lowest. */
static int32_t best(const float *logits, int count) {
    int at = 0;
    for (int i = 1; i < count; i++)
        if (logits[i] > logits[at]) at = i;
    return at;
}

static int run(id_run *r, const int32_t *ids, size_t count, int greedy_count) {
    const size_t step = (size_t)r->s->config.step_positions;
    int rows = 0;
    r->s->pass->backbone.tap = on_layer;
    r->s->pass->backbone.tap_experts = on_experts;
    r->s->pass->backbone.tap_context = r;
    for (size_t at = 0; at < count; at += (size_t)rows) {
        if (interrupted()) return EXIT_STOPPED;
        rows = (int)(count - at < step ? count - at : step);
        forward(r, ids + at, rows);
    }
    for (int i = 0; i < greedy_count; i++) {
        if (interrupted()) return EXIT_STOPPED;
        const int32_t id =
            best(logits_of(r, rows - 1), backbone_vocab_count(&r->s->model->backbone));
        dump_keep(r->d, &id, true, 1, 1);
        rows = 1;
        if (i + 1 < greedy_count) forward(r, &id, rows);
    }
    if (greedy_count > 0) r->d->kept.cols = 0; /* a list */
    return EXIT_OK;
}

static int check_ids(const options *o, const rnl_model *model, const int32_t *ids, size_t count) {
    const int vocab = backbone_vocab_count(&model->backbone);
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= vocab)
            return complain(EXIT_INPUT, "%s: number %zu is no id of this model, which has 0 to %d",
                            o->ids, i, vocab - 1);
    return EXIT_OK;
}

int dump_ids(const options *o, rnl_model *model, dump *d) {
    rnl_error error = {0};
    int32_t *ids;
    size_t count;
    if (!npy_read_ints(o->ids, &ids, &count, &error))
        return complain(error.status == RNL_ERR_MEMORY ? EXIT_FAILED : EXIT_INPUT, "%s",
                        error.text);
    const bool greedy = dump_wants(d, "greedy", -1);
    const int more = !greedy ? 0 : o->count > 0 ? o->count : COUNT_DEFAULT;
    options with_context = *o;
    const size_t needed = count + (size_t)more;
    int code = check_ids(o, model, ids, count);
    if (code == EXIT_OK && needed > CONTEXT_MAX)
        code = complain(EXIT_USAGE, "dump: %zu positions are more than the %d that fit", needed,
                        CONTEXT_MAX);
    if (code == EXIT_OK) {
        with_context.context = needed > CONTEXT_MIN ? (int)needed : CONTEXT_MIN;
        id_run r = {.d = d, .s = open_session(&with_context, model, &code)};
        if (r.s != NULL) code = run(&r, ids, count, more);
        rnl_session_destroy(&r.s);
    }
    free(ids);
    return code;
}
