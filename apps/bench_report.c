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

static void json_row(const bench *b, const bench_row *row, double median, double limit) {
    json_draft *o = json_new_object();
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
    json_set(o, "limit", json_new_number(limit > 0 ? limit : NAN));
    json_set(o, "memory", json_new_int(bench_high_water(b)));
    char *line = json_text(o);
    json_drop(&o);
    if (line != NULL) puts(line);
    free(line);
    (void)fflush(stdout);
}

void bench_report(bench *b, const bench_row *row) {
    if (b->count > 0) {
        bench_row r = *row;
        if (r.type == NULL) r.type = bench_type(b->model);
        if (r.level == NULL) r.level = b->model->kernels.name;
        const double limit = bench_median(b->limits, b->count);
        const double median = bench_median(b->values, b->count);
        if (b->take != NULL) {
            b->take(b->take_context, &r, median);
        } else if (b->o->json) {
            json_row(b, &r, median, limit);
        } else {
            char name[32];
            (void)snprintf(name, sizeof name, "%s%s%s", r.work, r.kind != NULL ? " " : "",
                           r.kind != NULL ? r.kind : "");
            printf("%-11s %-8s %-11s %6d %6d %10.2f %-6s %10.2f %10.2f", name, r.type, r.level,
                   r.tokens, r.depth, median, r.unit, b->values[0], b->values[b->count - 1]);
            /* Times are best when small, rates when large: either way 100 % is the limit. */
            if (limit > 0)
                printf(" %10.2f %4.0f %%", limit,
                       100 * (strcmp(r.unit, "ms") == 0 ? limit / median : median / limit));
            printf("\n");
            (void)fflush(stdout);
        }
    }
    b->count = 0;
}
