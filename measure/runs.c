/* One block of memory for each backbone, cut once: state, work, scratch. The rows that are decoded
 * stand behind a cache that is filled with N(0, 1) and not by running the positions before. */
#include "measure/runs.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/clock.h"
#include "core/random.h"
#include "core/status.h"
#include "stack/kind.h"

typedef enum region { KEPT, APPENDED, SCRATCH, REGION_COUNT } region;

/* Where a layout stands, and how it is computed. */
typedef struct plan {
    const backbone_weights *w;
    const kernels *k;
    int thread_count, position_cap;
    bool exact;
} plan;

static int64_t widest(const backbone_weights *w) {
    const stack_config *c = &w->stack.config;
    int64_t most = c->width;
    for (int i = 0; i < c->layer_count; i++)
        for (int p = 0; p < STACK_PLACE_COUNT; p++) {
            const stack_kind *kind = c->layers[i].kinds[p];
            for (int t = 0; t < kind->tensor_count; t++) {
                const int64_t cols = kind->tensors[t].cols(&w->stack, i);
                if (cols > most) most = cols;
            }
        }
    return most;
}

static void layout(measure_runs *r, const plan *p, arena *regions) {
    const size_t width = (size_t)backbone_width(p->w);
    arena *scratch = &regions[SCRATCH];
    r->w = p->w;
    r->compute =
        (compute){.k = p->k, .exact = p->exact, .fetch = kernels_fetch_for(kernels_cpu_caches())};
    compute_layout(&r->compute, p->thread_count, widest(p->w), scratch);
    stack_work_layout(&r->work, &p->w->stack, MEASURE_PIECE, p->position_cap, p->thread_count,
                      scratch);
    r->x = arena_take(scratch, MEASURE_PIECE * width, sizeof *r->x);
    r->logits = arena_take(scratch, (size_t)backbone_vocab_count(p->w), sizeof *r->logits);
    stack_state_layout(&r->state, &p->w->stack, p->w->stack.cache, p->position_cap, MEASURE_PIECE,
                       &regions[KEPT], &regions[APPENDED]);
}

static rnl_status too_large(rnl_error *error) {
    return status_fail(error, RNL_ERR_BUDGET,
                       "what the model keeps and needs is more than can be addressed");
}

static rnl_status measure(const plan *p, arena *regions, size_t *total, rnl_error *error) {
    measure_runs none = {0};
    memset(regions, 0, REGION_COUNT * sizeof *regions);
    layout(&none, p, regions);
    *total = 0;
    for (int i = 0; i < REGION_COUNT; i++)
        if (regions[i].overflowed || !checked_add(*total, regions[i].size_used, total))
            return too_large(error);
    return RNL_OK;
}

/* ---- Sizes ---- */

/* What the kinds say that they keep, part by part; false: more than can be addressed. */
static bool kept_by_arithmetic(const stack_state *s, size_t *sum) {
    *sum = 0;
    for (int i = 0; i < s->w->config.layer_count; i++)
        for (int p = 0; p < STACK_PLACE_COUNT; p++) {
            const stack_kind *kind = s->w->config.layers[i].kinds[p];
            size_t fixed = kind->fixed_size != NULL ? kind->fixed_size(s, i) : 0;
            size_t appended = kind->appended_size != NULL ? kind->appended_size(s, i) : 0;
            if (!checked_align(fixed, ARENA_ALIGN, &fixed) ||
                !checked_align(appended, ARENA_ALIGN, &appended) ||
                !checked_add(*sum, fixed, sum) || !checked_add(*sum, appended, sum))
                return false;
        }
    return true;
}

rnl_status measure_sizes_of(const backbone_weights *w, const kernels *k, int thread_count,
                            bool exact, measure_sizes *out, rnl_error *error) {
    const plan p = {w, k, thread_count, MEASURE_POSITIONS, exact};
    arena regions[REGION_COUNT];
    size_t total, kept;
    const rnl_status status = measure(&p, regions, &total, error);
    if (status != RNL_OK) return status;
    arena none[2] = {0};
    stack_state s;
    stack_state_layout(&s, &w->stack, w->stack.cache, MEASURE_POSITIONS, MEASURE_PIECE, &none[0],
                       &none[1]);
    if (!kept_by_arithmetic(&s, &kept)) return too_large(error);
    out->cache = s.fixed_size + regions[APPENDED].size_used;
    out->activation = regions[SCRATCH].size_used;
    if (out->cache == kept) return RNL_OK;
    return status_fail(error, RNL_ERR_STATE,
                       "the layers keep %zu bytes, and the layout has %zu; please report this",
                       kept, out->cache);
}

/* ---- Creation ---- */

static double normal(random_state *r) {
    const double u = 1 - random_unit(r), angle = 6.283185307179586477 * random_unit(r);
    return sqrt(-2 * log(u)) * cos(angle);
}

/* Rows of N(0, 1), whatever parts they belong to: a stack keeps them as floats of either size
 * unless somebody asks for something else. */
static void fill_cache(unsigned char *at, size_t size, kernels_cache cache) {
    enum { PATTERN = 4096 };
    float values[PATTERN];
    unsigned char pattern[PATTERN * sizeof(float)];
    random_state r;
    random_seed(&r, 2);
    const size_t unit = kernels_cache_row_size(cache, PATTERN);
    assert(cache != KERNELS_CACHE_Q8_0);
    for (int i = 0; i < PATTERN; i++) values[i] = (float)normal(&r);
    kernels_scalar.store[cache](pattern, values, PATTERN);
    for (size_t done = 0; done < size; done += unit)
        memcpy(at + done, pattern, size - done < unit ? size - done : unit);
}

rnl_status measure_runs_create(measure_runs *r, const backbone_weights *w, const kernels *k,
                               int thread_count, bool exact, rnl_error *error) {
    const plan p = {w, k, thread_count, MEASURE_POSITIONS + MEASURE_STEPS, exact};
    arena regions[REGION_COUNT];
    size_t total;
    *r = (measure_runs){0};
    const rnl_status status = measure(&p, regions, &total, error);
    if (status != RNL_OK) return status;
    r->memory = aligned_alloc(ARENA_ALIGN, total);
    if (r->memory == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "memory for what the model needs is exhausted");
    unsigned char *at = r->memory;
    for (int i = 0; i < REGION_COUNT; i++) {
        regions[i] = (arena){.base = at, .size_cap = regions[i].size_used};
        at += regions[i].size_cap;
    }
    layout(r, &p, regions);
    stack_reset(&r->state);
    memset(regions[SCRATCH].base, 0, regions[SCRATCH].size_cap);
    fill_cache(regions[APPENDED].base, regions[APPENDED].size_cap, r->state.cache);
    return RNL_OK;
}

void measure_runs_destroy(measure_runs *r) {
    free(r->memory);
    *r = (measure_runs){0};
}

/* ---- Runs ---- */

/* count positions from where the state stands. */
static void forward(measure_runs *r, int count, bool decides) {
    compute c = r->compute;
    c.bf16 = !decides;
    const int64_t width = backbone_width(r->w), vocab = backbone_vocab_count(r->w);
    for (int t = 0; t < count; t++)
        backbone_embed_text(r->w, &c, (int32_t)((r->state.position + t) % vocab), r->x + t * width);
    const stack_piece piece = {.state = &r->state, .count = count};
    stack_forward(&r->work, &c, &piece, 1, r->x);
}

static void logits(measure_runs *r, int row) {
    backbone_logits(r->w, &r->compute, r->x + (int64_t)row * backbone_width(r->w), r->logits, 1);
}

static bool prefill(measure_runs *r, int positions, bool (*stop)(void), measure_sample *out) {
    const double begin = clock_seconds();
    for (int at = 0; at < positions; at += MEASURE_PIECE) {
        if (stop != NULL && stop()) return false;
        forward(r, MEASURE_PIECE, false);
    }
    logits(r, MEASURE_PIECE - 1);
    out->ms = out->p95 = 1e3 * (clock_seconds() - begin);
    return true;
}

static bool decode(measure_runs *r, int depth, bool (*stop)(void), measure_sample *out) {
    double ms[MEASURE_STEPS];
    r->state.position = depth;
    for (int i = 0; i < MEASURE_STEPS; i++) {
        const double begin = clock_seconds();
        if (stop != NULL && stop()) return false;
        forward(r, 1, true);
        logits(r, 0);
        ms[i] = 1e3 * (clock_seconds() - begin);
    }
    out->ms = measure_median(ms, MEASURE_STEPS);
    out->p95 = ms[(95 * MEASURE_STEPS + 99) / 100 - 1];
    return true;
}

bool measure_run(measure_runs *r, pool *p, measure_metric m, bool (*stop)(void),
                 measure_sample *out) {
    const int positions = measure_metric_positions(m);
    r->compute.pool = p;
    stack_reset(&r->state);
    return measure_metric_is_prefill(m) ? prefill(r, positions, stop, out)
                                        : decode(r, positions, stop, out);
}
