#include "measure/rounds.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

const char *const measure_metric_names[MEASURE_METRIC_COUNT] = {"prefill_1k", "prefill_4k",
                                                                "decode_1k", "decode_4k"};

int measure_metric_positions(measure_metric m) {
    return m == MEASURE_PREFILL_1K || m == MEASURE_DECODE_1K ? 1024 : 4096;
}

bool measure_metric_is_prefill(measure_metric m) {
    return m == MEASURE_PREFILL_1K || m == MEASURE_PREFILL_4K;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double measure_median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- Rounds ---- */

/* The long prefill in the first and the fourth of five. */
static bool has_metric(measure_metric m, int round) {
    return m != MEASURE_PREFILL_4K || round % 3 == 0;
}

int measure_rounds_of(measure_metric m, int round_count) {
    int count = 0;
    for (int i = 0; i < round_count; i++) count += has_metric(m, i);
    return count;
}

static bool agree(double before, double after) {
    return fabs(after - before) <= 0.05 * (before + after) / 2;
}

/* One ratio, and *before moves on to the reference behind it. */
static bool run_between(const measure_runner *r, int model, measure_metric m, int again_max,
                        double *before, measure_times *t) {
    measure_round *round = &t->rounds[t->round_count];
    for (int try = 0; try <= again_max; try++) {
        measure_sample behind;
        round->before = *before;
        if (!r->run(r->context, model, m, &round->own)) return false;
        if (!r->run(r->context, MEASURE_REFERENCE, m, &behind)) return false;
        *before = round->after = behind.ms;
        t->again_count += try > 0;
        if (agree(round->before, round->after)) break;
    }
    t->round_count++;
    return true;
}

void measure_ratios(measure_times *t) {
    double ratios[MEASURE_ROUND_CAP], slow[MEASURE_ROUND_CAP];
    t->flagged_count = 0;
    if (t->round_count == 0) return;
    for (int i = 0; i < t->round_count; i++) {
        const measure_round *r = &t->rounds[i];
        const double reference = (r->before + r->after) / 2;
        ratios[i] = r->own.ms / reference;
        slow[i] = r->own.p95 / reference;
        t->flagged_count += !agree(r->before, r->after);
    }
    t->ratio = measure_median(ratios, t->round_count);
    t->ratio_min = ratios[0];
    t->ratio_max = ratios[t->round_count - 1];
    t->ratio_p95 = measure_median(slow, t->round_count);
}

bool measure_rounds(const measure_runner *r, int model_count, int round_count, int again_max,
                    measure_times *times) {
    assert(model_count >= 1 && model_count <= MEASURE_MODEL_CAP);
    assert(round_count >= 1 && round_count <= MEASURE_ROUND_CAP);
    assert(again_max >= 0 && again_max <= MEASURE_AGAIN);
    for (int i = 0; i < model_count * MEASURE_METRIC_COUNT; i++) times[i] = (measure_times){0};
    for (int round = 0; round < round_count; round++)
        for (int m = 0; m < MEASURE_METRIC_COUNT; m++) {
            measure_sample first;
            if (!has_metric(m, round)) continue;
            if (!r->run(r->context, MEASURE_REFERENCE, m, &first)) return false;
            double before = first.ms;
            for (int i = 0; i < model_count; i++)
                if (!run_between(r, i, m, again_max, &before, &times[i * MEASURE_METRIC_COUNT + m]))
                    return false;
        }
    for (int i = 0; i < model_count * MEASURE_METRIC_COUNT; i++) measure_ratios(&times[i]);
    return true;
}

int measure_reference_of(const measure_times *t, double *values) {
    for (int i = 0; i < t->round_count; i++) {
        values[2 * i] = t->rounds[i].before;
        values[2 * i + 1] = t->rounds[i].after;
    }
    return 2 * t->round_count;
}

void measure_settle(measure_times *t, double reference_ms) {
    t->ms = t->ratio * reference_ms;
    t->p95 = t->ratio_p95 * reference_ms;
}
