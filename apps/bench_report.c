#include "apps/bench_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/json.h"

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double bench_median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    return count % 2 != 0 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

double bench_median_kept(const double *values, int count) {
    double sorted[BENCH_TRIES * BENCH_REPEAT_CAP];
    memcpy(sorted, values, (size_t)count * sizeof *values);
    return bench_median(sorted, count);
}

int64_t bench_high_water(const bench *b) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (int64_t)usage.ru_maxrss * 1024 - (int64_t)b->memory_size;
}

const char *bench_type(const rnl_model *m) {
    return quant_describe((uint32_t)stack_first_matrix(&m->backbone.stack)->type)->name;
}

static void set_text(json_draft *o, const char *key, const char *text) {
    json_set(o, key, json_new_string(text, strlen(text)));
}

/* Of a limit, of each repetition: times are best when small, rates when large; either way 1 is the
 * limit. */
typedef struct share {
    double limit, median, min, max; /* 0: no limit is known */
} share;

/* The limits become ratios. */
static share share_of(bench *b, double *limits, const bench_row *row) {
    if (limits[0] <= 0) return (share){0};
    const double limit = bench_median_kept(limits, b->count);
    for (int i = 0; i < b->count; i++) limits[i] /= b->values[i];
    const double median = bench_median(limits, b->count);
    const double min = limits[0], max = limits[b->count - 1];
    if (strcmp(row->unit, "ms") == 0) return (share){limit, median, min, max};
    return (share){limit, 1 / median, 1 / max, 1 / min};
}

static void json_share(json_draft *o, const share *s) {
    json_set(o, "share", json_new_number(s->median > 0 ? s->median : NAN));
    json_set(o, "share_min", json_new_number(s->min > 0 ? s->min : NAN));
    json_set(o, "share_max", json_new_number(s->max > 0 ? s->max : NAN));
}

/* Around the row, and which repetitions of those that were tried count. */
static void json_state(const bench *b, json_draft *o, bench_nearness kept) {
    const bool known = b->tried > 0;
    set_text(o, "state", known ? bench_nearness_names[kept] : "unknown");
    json_set(o, "tried", json_new_int(known ? b->tried : b->count));
    json_set(o, "round_trip", json_new_number(known ? b->before.round_trip : NAN));
    json_set(o, "round_trip_after", json_new_number(known ? b->after.round_trip : NAN));
    json_set(o, "bandwidth", json_new_number(known ? b->before.bandwidth : NAN));
    json_set(o, "bandwidth_after", json_new_number(known ? b->after.bandwidth : NAN));
}

static void json_row(const bench *b, const bench_row *row, double median, const share *s,
                     const share *by_prefill, bench_nearness kept) {
    json_draft *o = json_new_object();
    if (b->device != NULL) set_text(o, "device", b->device);
    set_text(o, "work", row->work);
    if (row->kind != NULL) {
        set_text(o, "kind", row->kind);
        json_set(o, "rows", json_new_int(row->tokens));
    }
    set_text(o, "type", row->type);
    set_text(o, "level", row->level);
    json_set(o, "threads", json_new_int(b->s->config.thread_count));
    json_set(o, "tokens", json_new_int(row->tokens));
    json_set(o, "depth", json_new_int(row->depth));
    set_text(o, "unit", row->unit);
    json_set(o, "median", json_new_number(median));
    json_set(o, "min", json_new_number(b->values[0]));
    json_set(o, "max", json_new_number(b->values[b->count - 1]));
    json_set(o, "n", json_new_int(b->count));
    json_set(o, "limit", json_new_number(s->limit > 0 ? s->limit : NAN));
    json_share(o, s);
    if (by_prefill->limit > 0) {
        json_set(o, "limit_by_prefill", json_new_number(by_prefill->limit));
        json_set(o, "share_by_prefill", json_new_number(by_prefill->median));
    }
    json_state(b, o, kept);
    json_set(o, "memory", json_new_int(bench_high_water(b)));
    if (b->device != NULL)
        json_set(o, "device_memory", json_new_int((int64_t)placement_size(b->model)));
    char *line = json_text(o);
    json_drop(&o);
    if (line != NULL) puts(line);
    free(line);
    (void)fflush(stdout);
}

static void print_row(const bench *b, const bench_row *r, double median, const share *s,
                      const share *by_prefill, bench_nearness kept) {
    char name[32];
    (void)snprintf(name, sizeof name, "%s%s%s", r->work, r->kind != NULL ? " " : "",
                   r->kind != NULL ? r->kind : "");
    printf("%-11s %-8s %-11s %6d %6d %10.2f %-6s %10.2f %10.2f", name, r->type, r->level, r->tokens,
           r->depth, median, r->unit, b->values[0], b->values[b->count - 1]);
    if (s->median > 0)
        printf(" %10.2f %5.0f %% (%.0f to %.0f)", s->limit, 100 * s->median, 100 * s->min,
               100 * s->max);
    if (by_prefill->limit > 0)
        printf("  by prefill %.2f, %.0f %%", by_prefill->limit, 100 * by_prefill->median);
    if (b->tried > 0)
        printf("  %s, %d of %d; %.0f, %.0f ns; %.1f, %.1f GB/s", bench_nearness_names[kept],
               b->count, b->tried, b->before.round_trip, b->after.round_trip, b->before.bandwidth,
               b->after.bandwidth);
    printf("\n");
    (void)fflush(stdout);
}

void bench_report(bench *b, const bench_row *row) {
    bench_nearness kept = BENCH_CHANGED;
    for (int i = 0; i < BENCH_NEARNESS_COUNT; i++)
        if (b->of_state[i] > 0) {
            kept = bench_keep(b);
            break;
        }
    if (b->count > 0 && !bench_lost(b)) {
        bench_row r = *row;
        if (r.type == NULL) r.type = bench_type(b->model);
        if (r.level == NULL) r.level = b->model->kernels.name;
        const share s = share_of(b, b->limits, &r), by_prefill = share_of(b, b->reached, &r);
        const double median = bench_median(b->values, b->count);
        if (b->take != NULL) b->take(b->take_context, &r, median);
        if (b->take == NULL && b->o->json)
            json_row(b, &r, median, &s, &by_prefill, kept);
        else if (b->take == NULL || b->shows)
            print_row(b, &r, median, &s, &by_prefill, kept);
    }
    b->count = b->tried = 0;
    memset(b->of_state, 0, sizeof b->of_state);
}
