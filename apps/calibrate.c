/* runnel bench --calibrate: which of the choices that change no bit are the fastest here. Products
 * of the engine itself are timed, with weights of 4 bits larger than any cache, the variants in
 * turn because shared machines change within seconds. A choice other than the default must win
 * clearly. */
#include "apps/calibrate.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/ending.h"
#include "apps/messages.h"
#include "core/clock.h"
#include "core/linear.h"
#include "core/mapped.h"
#include "engine/model.h"

enum {
    WEIGHT_SIZE = 160 << 20, /* bytes of slabs */
    ROWS = 2048,             /* of a matrix */
    COLS_MAX = 8192,         /* as the feed-forward part of a backbone of 1.2B has */
    BATCH = 128,
    ROUNDS = 7,
    TRIES = 3, /* times as many rounds at most, until enough are of one state */
    VARIANT_CAP = 4,
    SETTLED = 0x2b /* byte that makes a sane half of two of its kind */
};
static const double clearly = 0.97; /* of the default's time */

/* What is measured with: some matrices one after the other, in pages of either kind. */
typedef struct ground {
    pool *pool;
    kernels k;
    mapped memory;
    float *x, *y; /* [BATCH, COLS_MAX], [BATCH, ROWS] */
} ground;

static bool prepare_weights(ground *g, bool huge_pages) {
    mapped_close(&g->memory);
    if (mapped_memory(WEIGHT_SIZE, huge_pages, &g->memory) != RNL_OK) return false;
    memset((void *)g->memory.data, SETTLED, g->memory.size);
    return true;
}

static bool prepare(ground *g, unsigned features, int threads) {
    kernels_select(&g->k, features);
    g->x = calloc((size_t)BATCH * COLS_MAX, sizeof *g->x);
    g->y = calloc((size_t)BATCH * ROWS, sizeof *g->y);
    if (g->x == NULL || g->y == NULL || pool_create(threads, &g->pool) != RNL_OK) return false;
    for (size_t i = 0; i < (size_t)BATCH * COLS_MAX; i++) g->x[i] = (float)(i % 251) / 251 - 0.5f;
    return true;
}

static void discard(ground *g) {
    pool_destroy(&g->pool);
    mapped_close(&g->memory);
    free(g->x);
    free(g->y);
}

/* Variants of one choice, the default first. */
typedef struct choice {
    const char *name, *work;
    const char *names[VARIANT_CAP];
    rnl_tuning variants[VARIANT_CAP];
    int count;
    bool pages;       /* the weights are laid out anew for each */
    int inputs, cols; /* of a product */
    int matrices;     /* multiplied by in one measurement */
} choice;

/* NAN: no memory. */
static double seconds_of(const ground *g, const choice *o, const rnl_tuning *t) {
    const packed_rows rows = {.slabs = g->memory.data,
                              .slab_size = packed_slab_size(QUANT_Q4_0, o->cols)};
    compute c = {.pool = g->pool,
                 .k = &g->k,
                 .fetch = (kernels_fetch)t->prefetch,
                 .block_size = (size_t)t->block_kib * 1024};
    arena measured = {0};
    compute_layout(&c, pool_thread_count(g->pool), COLS_MAX, &measured);
    void *scratch = aligned_alloc(ARENA_ALIGN, measured.size_used);
    if (scratch == NULL) return NAN;
    arena a = {.base = scratch, .size_cap = measured.size_used};
    compute_layout(&c, pool_thread_count(g->pool), COLS_MAX, &a);
    const double begin = clock_seconds();
    for (int i = 0; i < o->matrices; i++) {
        const matrix w = {.type = QUANT_Q4_0,
                          .row_count = ROWS,
                          .col_count = o->cols,
                          .packed = &rows,
                          .slab = (int64_t)i * (ROWS / PACKED_ROWS)};
        linear(&c, &w, NULL, g->x, COLS_MAX, g->y, ROWS, o->inputs);
    }
    const double seconds = clock_seconds() - begin;
    free(scratch);
    return seconds;
}

/* Rounds of one choice that were near, far, or neither. */
typedef struct rounds {
    double seconds[BENCH_NEARNESS_COUNT][VARIANT_CAP][TRIES * ROUNDS];
    int count[BENCH_NEARNESS_COUNT];
    bench_state before, after; /* all of them */
} rounds;

static bench_state state_of(const ground *g, kernels_fetch fetch) {
    enum { SIZE = 64 << 20 };
    uint64_t sink = 0;
    return (bench_state){.round_trip = bench_round_trip(g->pool),
                         .bandwidth = 1e-9 * bench_bandwidth(g->pool, kernels_cpu_features(),
                                                             g->memory.data, SIZE, fetch, &sink)};
}

static int best_of(const choice *c, rounds *r, bool shown) {
    int best = 0;
    double medians[VARIANT_CAP] = {0};
    bench_nearness kept = r->count[BENCH_FAR] > r->count[BENCH_NEAR] ? BENCH_FAR : BENCH_NEAR;
    if (r->count[kept] == 0) kept = BENCH_CHANGED;
    const int count = r->count[kept];
    for (int v = 0; v < c->count; v++) {
        medians[v] = bench_median(r->seconds[kept][v], count);
        if (medians[v] < medians[best]) best = v;
    }
    if (!(medians[best] < clearly * medians[0])) best = 0;
    for (int v = 0; v < c->count && shown; v++)
        printf("%-11s %-10s %-13s %8.2f ms  %5.2f to %5.2f%s\n", c->name, c->names[v], c->work,
               1e3 * medians[v], 1e3 * r->seconds[kept][v][0], 1e3 * r->seconds[kept][v][count - 1],
               v == best ? "  taken" : "");
    if (shown)
        printf("%-11s %s, %d rounds; round trip %.0f, %.0f ns; %.1f, %.1f GB/s\n", "",
               bench_nearness_names[kept], count, r->before.round_trip, r->after.round_trip,
               r->before.bandwidth, r->after.bandwidth);
    (void)fflush(stdout);
    return best;
}

/* Every variant once, the state before and after. False after Ctrl-C, or without memory. */
static bool one_round(ground *g, const choice *c, rounds *r, bool counts) {
    double seconds[VARIANT_CAP];
    const double before = r->after.round_trip;
    for (int v = 0; v < c->count; v++) {
        const rnl_tuning *t = &c->variants[v];
        if (c->pages && !prepare_weights(g, t->huge_pages)) return false;
        seconds[v] = seconds_of(g, c, t);
        if (isnan(seconds[v]) || interrupted()) return false;
    }
    r->after = state_of(g, (kernels_fetch)c->variants[0].prefetch);
    const bench_nearness state = bench_nearness_of(before, r->after.round_trip);
    for (int v = 0; counts && v < c->count; v++) r->seconds[state][v][r->count[state]] = seconds[v];
    r->count[state] += counts;
    return true;
}

/* Tries them all and takes the best. False after Ctrl-C, or without memory. */
static bool choose(ground *g, const choice *c, bool shown, rnl_tuning *out) {
    rounds r = {.count = {0}};
    if (!one_round(g, c, &r, false)) return false; /* only warms up */
    r.before = r.after;
    for (int n = 0;
         n < TRIES * ROUNDS && r.count[BENCH_NEAR] < ROUNDS && r.count[BENCH_FAR] < ROUNDS; n++)
        if (!one_round(g, c, &r, true)) return false;
    *out = c->variants[best_of(c, &r, shown)];
    return true;
}

static bool choose_all(ground *g, bool shown, rnl_tuning *t) {
    const int cols = 2048; /* the narrower side, where a slab ends soonest */
    const int all = (int)(WEIGHT_SIZE / (packed_slab_size(QUANT_Q4_0, cols) * ROWS / PACKED_ROWS));
    choice pages = {"huge_pages", "decode", {"on", "off"}, {*t, *t}, 2, true, 1, cols, all};
    pages.variants[1].huge_pages = false;
    if (!choose(g, &pages, shown, t) || !prepare_weights(g, t->huge_pages)) return false;
    choice fetch = {.name = "prefetch",
                    .work = "decode",
                    .variants = {*t, *t, *t},
                    .count = RNL_PREFETCH_COUNT,
                    .inputs = 1,
                    .cols = cols,
                    .matrices = all};
    for (int v = 0; v < fetch.count; v++) { /* the default is the first */
        rnl_prefetch *to = &fetch.variants[v].prefetch;
        *to = (rnl_prefetch)((t->prefetch + (unsigned)v) % RNL_PREFETCH_COUNT);
        fetch.names[v] = tuning_prefetch_names[*to];
    }
    if (!choose(g, &fetch, shown, t)) return false;
    choice block = {.name = "block_kib",
                    .work = "prefill of 128",
                    .names = {"256", "128", "512", "1024"},
                    .variants = {*t, *t, *t, *t},
                    .count = VARIANT_CAP,
                    .inputs = BATCH,
                    .cols = COLS_MAX,
                    .matrices = 4};
    for (int v = 0; v < VARIANT_CAP; v++) block.variants[v].block_kib = atoi(block.names[v]);
    return choose(g, &block, shown, t);
}

int calibrate_choices(const options *o, calibration *c) {
    ground g = {0};
    rnl_tuning t = rnl_tuning_default();
    const unsigned available = kernels_cpu_features();
    unsigned features = available & ~(unsigned)KERNELS_CPU_ROUNDS; /* as a model is opened */
    if (o->cpu != NULL &&
        (!kernels_level(o->cpu, available, &features) || kernels_allowed(features) != features))
        return complain(EXIT_USAGE, "--cpu: this machine has no level '%s'", o->cpu);
    const int code = tuning_prepare(c->path);
    if (code != EXIT_OK) return code;
    const bool shown = !o->json && !o->quiet;
    const int threads = o->threads > 0 ? o->threads : rnl_thread_count_default();
    const bool done = prepare(&g, features, threads) && choose_all(&g, shown, &t);
    discard(&g);
    if (!done && interrupted()) return EXIT_STOPPED;
    if (!done) return complain(EXIT_FAILED, "memory is exhausted");
    (void)tuning_read(&c->kept, true);
    c->kept.choices = t;
    return tuning_write(c->path, &c->kept);
}

/* ---- Passes of a batch ---- */

static int row_of(tuning_passes *p, int rows) {
    int i = 0;
    while (i < p->count && p->rows[i] != rows) i++;
    if (i == p->count) {
        assert(p->count < TUNING_ROWS_CAP);
        p->rows[p->count++] = rows;
    }
    return i;
}

void calibrate_take(void *context, const bench_row *row, double median) {
    calibration *c = context;
    if (row->kind == NULL) return;
    const int i = row_of(&c->passes, row->tokens);
    double *times = strcmp(row->kind, "frame") == 0 ? c->passes.frame_us : c->passes.text_us;
    times[i] = round(1e3 * median);
    if (times[i] < 1) times[i] = 1;
}

int calibrate_keep_passes(calibration *c, const rnl_model *model, int thread_count) {
    fingerprint_shapes(model, c->passes.model);
    (void)snprintf(c->passes.level, sizeof c->passes.level, "%s", model->kernels.name);
    c->passes.threads = thread_count;
    tuning_add_passes(&c->kept, &c->passes);
    return tuning_write(c->path, &c->kept);
}

int calibrate_keep_device(calibration *c, const rnl_model *model, int thread_count,
                          const char *device, unsigned stages) {
    tuning_device kept = {.threads = thread_count, .stages = stages};
    fingerprint_shapes(model, kept.model);
    (void)snprintf(kept.level, sizeof kept.level, "%s", model->kernels.name);
    (void)snprintf(kept.device, sizeof kept.device, "%s", device);
    tuning_add_device(&c->kept, &kept);
    return tuning_write(c->path, &c->kept);
}

static void print_passes(const tuning_passes *p) {
    for (int i = 0; i < p->count; i++) {
        printf("%-11s %2d %-7s %8.2f ms of tokens", "passes", p->rows[i],
               p->rows[i] == 1 ? "row" : "rows", 1e-3 * p->text_us[i]);
        if (p->frame_us[i] > 0) printf(", %.2f ms of frames", 1e-3 * p->frame_us[i]);
        printf("\n");
    }
}

int calibrate_report(const options *o, const calibration *c) {
    if (o->json) {
        const int code = print_json(tuning_json(&c->kept));
        if (code != EXIT_OK) return code;
    } else if (!o->quiet) {
        print_passes(&c->passes);
        printf("\nkept in %s\n", c->path);
    }
    return flush_output();
}
