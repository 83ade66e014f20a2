#include "learn/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash_table.h"
#include "core/range.h"
#include "core/status.h"

enum { EPOCH_CAP = 100000 };

static rnl_status no_memory(rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "memory for training is exhausted");
}

static rnl_status check_plan(const learn_plan *p, rnl_error *error) {
    const learn_hyper *h = &p->hyper;
    const range ranges[] = {
        {"the rate", h->rate, 1e-12, 1e3},
        {"beta1", h->beta1, 0, 0.999999999},
        {"beta2", h->beta2, 0, 0.999999999},
        {"eps", h->eps, 1e-30, 1},
        {"the decay", h->decay, 0, 1e3},
        {"the clipping norm", h->clip, 0, 1e30},
        {"the warm-up", (double)h->warmup, -1, 1e15},
        {"the number of steps", (double)h->steps, 0, 1e15},
        {"the floor of the rate", h->floor, 0, 1},
        {"the number of epochs", p->epochs, h->steps > 0 ? 0 : 1, EPOCH_CAP},
        {"the length of a row", p->length, 2, 1 << 20},
        {"the rows of a step", p->batch, 1, 1 << 20},
    };
    return range_check(ranges, sizeof ranges / sizeof *ranges, error);
}

static int64_t steps_of(const learn_epoch *e, int batch) {
    return ((int64_t)e->row_count + batch - 1) / batch;
}

/* As many steps as the epochs have, each by its own order. */
static rnl_status count_steps(learn_trainer *t, rnl_error *error) {
    learn_hyper *h = &t->plan.hyper;
    for (int i = 0, epochs = h->steps > 0 ? 0 : t->plan.epochs; i < epochs; i++) {
        learn_epoch e;
        if (!learn_epoch_make(t->data, t->plan.length, true, t->plan.seed + (uint64_t)i, &e))
            return no_memory(error);
        h->steps += steps_of(&e, t->plan.batch);
        learn_epoch_free(&e);
    }
    if (h->warmup < 0) h->warmup = (3 * h->steps + 50) / 100;
    return RNL_OK;
}

rnl_status learn_trainer_seek(learn_trainer *t, int epoch, int row, rnl_error *error) {
    learn_epoch_free(&t->epoch);
    if (!learn_epoch_make(t->data, t->plan.length, true, t->plan.seed + (uint64_t)epoch, &t->epoch))
        return no_memory(error);
    t->epoch_index = epoch;
    t->row_at = row < t->epoch.row_count ? row : t->epoch.row_count;
    return RNL_OK;
}

rnl_status learn_trainer_create(learn_network *n, const learn_dataset *data,
                                const learn_dataset *held, const learn_plan *plan,
                                learn_trainer **out, rnl_error *error) {
    *out = NULL;
    rnl_status status = check_plan(plan, error);
    if (status != RNL_OK) return status;
    if (data->count == 0)
        return status_fail(error, RNL_ERR_DATA,
                           "there is nothing to learn from: no line has an answer that is learnt");
    learn_trainer *t = calloc(1, sizeof *t);
    if (t == NULL) return no_memory(error);
    t->n = n;
    t->data = data;
    t->held = held != NULL && held->count > 0 ? held : NULL;
    t->plan = *plan;
    t->held_first = t->held_last = t->held_best = NAN;
    status = learn_gathered_make(&t->gathered, plan->length) ? RNL_OK : no_memory(error);
    if (status == RNL_OK) status = count_steps(t, error);
    if (status == RNL_OK) status = learn_trainer_seek(t, 0, 0, error);
    if (status == RNL_OK)
        *out = t;
    else
        learn_trainer_destroy(&t);
    return status;
}

void learn_trainer_destroy(learn_trainer **t) {
    if (*t == NULL) return;
    learn_gathered_free(&(*t)->gathered);
    learn_epoch_free(&(*t)->epoch);
    free(*t);
    *t = NULL;
}

static bool gather(learn_trainer *t, const learn_dataset *d, const learn_epoch *e, int row) {
    const rnl_model *m = t->n->model;
    const int width = t->n->has_adapter ? (int)m->adapter.up.col_count : 0;
    return learn_gather(&t->gathered, d, e, row, width, m->backbone.codebook_count);
}

/* What is foreseen in rows [begin, end) of an epoch. */
static int count_labels(const learn_dataset *d, const learn_epoch *e, int begin, int end,
                        int *positions) {
    int labels = 0;
    *positions = 0;
    for (int i = e->begin[begin]; i < e->begin[end]; i++) {
        const learn_sample *s = &d->samples[e->order[i]];
        labels += s->text_count + s->label_frame_count;
        *positions += s->count;
    }
    return labels;
}

/* Of a row of a step, for dropout: the same however the run was cut. */
static uint64_t key_of(const learn_trainer *t, int row) {
    const uint64_t parts[] = {t->plan.seed, (uint64_t)t->step, (uint64_t)row};
    return hash_bytes(HASH_START, parts, sizeof parts);
}

/* The step's gradients; RNL_ERR_MEMORY. */
static rnl_status learn_rows_of_step(learn_trainer *t, int end, learn_report *r, rnl_error *error) {
    double text = 0, frames = 0;
    int text_count = 0, frame_count = 0;
    r->label_count = count_labels(t->data, &t->epoch, t->row_at, end, &r->position_count);
    learn_tensors_clear(&t->n->tensors);
    for (int row = t->row_at; row < end; row++) {
        if (!gather(t, t->data, &t->epoch, row)) return no_memory(error);
        learn_batch *b = &t->gathered.b;
        b->text_weight = b->frame_weight = 1.0 / r->label_count;
        t->n->dropout.key = key_of(t, row);
        const learn_result result = learn_network_run(t->n, b, true);
        text += result.text_nll;
        frames += result.frame_loss;
        text_count += b->text_count;
        frame_count += b->label_frame_count;
    }
    r->loss = (text + frames) / r->label_count;
    r->text_loss = text_count > 0 ? text / text_count : NAN;
    r->frame_loss = frame_count > 0 ? frames / frame_count : NAN;
    return RNL_OK;
}

rnl_status learn_trainer_step(learn_trainer *t, learn_report *report, rnl_error *error) {
    const learn_hyper *h = &t->plan.hyper;
    *report = (learn_report){0};
    if (t->step >= h->steps) return RNL_DONE;
    if (t->row_at == t->epoch.row_count) {
        const rnl_status status = learn_trainer_seek(t, t->epoch_index + 1, 0, error);
        if (status != RNL_OK) return status;
    }
    const int left = t->epoch.row_count - t->row_at;
    const int end = t->row_at + (left < t->plan.batch ? left : t->plan.batch);
    const rnl_status status = learn_rows_of_step(t, end, report, error);
    if (status != RNL_OK) return status;
    const double factor = learn_schedule(h, t->step);
    report->norm = learn_gradient_norm(&t->n->tensors);
    report->rate = h->rate * factor;
    report->skipped = !isfinite(report->norm) || !isfinite(report->loss);
    if (!report->skipped)
        learn_step(&t->n->tensors, &t->n->compute, h, t->taken++, factor, report->norm);
    t->row_at = end;
    t->step++;
    t->position_count += report->position_count;
    t->skipped_count += report->skipped;
    t->skipped_run = report->skipped ? t->skipped_run + 1 : 0;
    if (t->skipped_run < LEARN_SKIPPED_MAX) return RNL_OK;
    return status_fail(error, RNL_ERR_DATA,
                       "the losses of %d steps in a row are no numbers: the rate is too high, or "
                       "the model's file is damaged",
                       t->skipped_run);
}

rnl_status learn_trainer_evaluate(learn_trainer *t, bool *is_best, rnl_error *error) {
    learn_epoch e;
    double sum = 0;
    int64_t labels = 0;
    if (t->held == NULL) return status_fail(error, RNL_ERR_STATE, "nothing is held out");
    if (!learn_epoch_make(t->held, t->plan.length, false, 0, &e)) return no_memory(error);
    bool fits = true;
    for (int row = 0; row < e.row_count && fits; row++) {
        fits = gather(t, t->held, &e, row);
        if (!fits) break;
        const learn_result r = learn_network_run(t->n, &t->gathered.b, false);
        sum += r.text_nll + r.frame_loss;
        labels += t->gathered.b.text_count + t->gathered.b.label_frame_count;
    }
    learn_epoch_free(&e);
    if (!fits) return no_memory(error);
    const double loss = sum / (double)labels;
    t->held_worse_run = loss > t->held_last ? t->held_worse_run + 1 : 0;
    t->held_last = loss;
    if (isnan(t->held_first)) t->held_first = loss;
    *is_best = isnan(t->held_best) || loss < t->held_best;
    if (*is_best) {
        t->held_best = loss;
        t->held_best_step = t->step;
    }
    return RNL_OK;
}
