/* What memory and arithmetic of this machine allow, measured beside the work.
 *
 * Memory: the same number of bytes that the work reads is read from a large buffer by all threads,
 * in the same order of passes: a part that is read again (the depthformer, eight times a frame)
 * is read again here too and finds in the caches what they can hold. Arithmetic: the peak of the
 * instruction in use (kernels/limit.h). */
#include "apps/bench_report.h"
#include "apps/ending.h"
#include "core/clock.h"
#include "kernels/limit.h"
#include "stack/kind.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMORY_SIZE = 256 << 20,
    LINE = 64,
    CHOOSE_ROUNDS = 5, /* alternately */
    PEAK_MS = 8        /* of one sample */
};

bool bench_limit_create(bench *b) {
    b->memory_size = MEMORY_SIZE;
    b->memory = aligned_alloc(LINE, b->memory_size);
    if (b->memory == NULL) return false;
    memset(b->memory, 1, b->memory_size);
    return true;
}

void bench_limit_destroy(bench *b) {
    free(b->memory);
    b->memory = NULL;
}

static pool *pool_of(const bench *b) {
    return b->s != NULL ? b->s->pass->pool : b->pool;
}

/* ---- Memory ---- */

static double read_region(bench *b, size_t begin, size_t size, kernels_fetch fetch) {
    return bench_bandwidth(pool_of(b), b->features, b->memory + begin, size, fetch, &b->sink);
}

/* From the cursor on, wrapping at the end of the buffer. */
static void read_once(bench *b, size_t begin, size_t size) {
    while (size >= LINE) {
        const size_t left = b->memory_size - begin, part = size < left ? size / LINE * LINE : left;
        (void)read_region(b, begin, part, b->fetch);
        begin = (begin + part) % b->memory_size;
        size -= part;
    }
    b->cursor = begin;
}

double bench_read(bench *b, const bench_pass *passes, int count) {
    const double start = clock_seconds();
    b->cursor = 0; /* a model that fits into the caches is read from the same place each time */
    for (int i = 0; i < count; i++) {
        const size_t begin = b->cursor;
        for (int t = 0; t < passes[i].times; t++) read_once(b, begin, (size_t)passes[i].size);
    }
    return clock_seconds() - start;
}

static double bandwidth_of(bench *b, kernels_fetch fetch) {
    return read_region(b, 0, b->memory_size, fetch);
}

void bench_limit_choose(bench *b) {
    double best[KERNELS_FETCH_COUNT] = {0}; /* what others take only makes it less */
    for (int i = 0; i < CHOOSE_ROUNDS; i++)
        for (int f = 0; f < KERNELS_FETCH_COUNT; f++)
            best[f] = fmax(best[f], bandwidth_of(b, (kernels_fetch)f));
    b->fetch = KERNELS_FETCH_NONE;
    for (int f = 0; f < KERNELS_FETCH_COUNT; f++)
        if (best[f] > best[b->fetch]) b->fetch = (kernels_fetch)f;
}

/* ---- Repetitions ---- */

static bench_state state_of(bench *b) {
    enum { SIZE = 64 << 20 };
    return (bench_state){.round_trip = bench_round_trip(pool_of(b)),
                         .bandwidth = 1e-9 * read_region(b, b->memory_size - SIZE, SIZE, b->fetch)};
}

void bench_start(bench *b) {
    b->count = b->tried = 0;
    memset(b->of_state, 0, sizeof b->of_state);
    b->before = b->after = state_of(b);
}

bool bench_more(bench *b) {
    if (b->count == 0) bench_start(b);
    return b->of_state[BENCH_NEAR] < b->repeat && b->of_state[BENCH_FAR] < b->repeat &&
           b->count < BENCH_TRIES * b->repeat && !interrupted();
}

void bench_add(bench *b, double value, double limit) {
    const double before = b->after.round_trip;
    b->after = state_of(b);
    const bench_nearness state = bench_nearness_of(before, b->after.round_trip);
    b->of_state[state]++;
    b->values[b->count] = value;
    b->limits[b->count] = limit;
    b->reached[b->count] = 0;
    b->states[b->count++] = state;
}

void bench_add_pass(bench *b, double value, const bench_longer *limit) {
    bench_add(b, value, limit->by_peak);
    b->reached[b->count - 1] = limit->by_rate;
}

bench_nearness bench_keep(bench *b) {
    const int near_count = b->of_state[BENCH_NEAR], far_count = b->of_state[BENCH_FAR];
    const bench_nearness kept = near_count + far_count == 0 ? BENCH_CHANGED
                                : far_count > near_count    ? BENCH_FAR
                                                            : BENCH_NEAR;
    if (b->tried > 0) return kept;
    b->tried = b->count;
    b->count = 0;
    for (int i = 0; i < b->tried; i++) {
        if (b->states[i] != kept) continue;
        b->values[b->count] = b->values[i];
        b->reached[b->count] = b->reached[i];
        b->limits[b->count++] = b->limits[i];
    }
    return kept;
}

void bench_bandwidth_rows(bench *b) {
    static const char *const names[KERNELS_FETCH_COUNT] = {"plain", "to L1", "to L2"};
    for (int f = 0; f < KERNELS_FETCH_COUNT; f++) {
        while (bench_more(b)) bench_add(b, 1e-9 * bandwidth_of(b, (kernels_fetch)f), 0);
        bench_report(
            b, &(bench_row){.work = "bandwidth", .unit = "GB/s", .type = names[f], .tokens = 0});
    }
}

/* ---- Bytes ---- */

static double bytes_of(const matrix *m) {
    return (double)m->row_size * (double)m->row_count;
}

static double elements_of(const matrix *m) {
    return (double)m->col_count * (double)m->row_count;
}

/* The weights that every position multiplies by. */
static double stack_bytes(const stack_weights *w) {
    return stack_cost_of(w, w->cache, 0, 1).byte_count;
}

int bench_decode_passes(const bench *b, int depth, int rows, bench_pass *passes) {
    const backbone_weights *w = &b->model->backbone;
    const stack_cost cost = stack_cost_of(&w->stack, b->s->live->backbone.cache, depth, rows);
    passes[0] = (bench_pass){cost.byte_count + rows * cost.kept_size + bytes_of(&w->head), 1};
    return 1;
}

int bench_detokenizer_passes(const bench *b, bench_pass *passes) {
    const codec_weights *c = &b->model->codec;
    if (c->kind != CODEC_LFM) return 0;
    passes[0] = (bench_pass){stack_bytes(&c->lfm.stack) + bytes_of(&c->lfm.out), 1};
    return 1;
}

int bench_frame_passes(const bench *b, bench_pass *passes) {
    const depth_weights *d = &b->model->depth;
    double once = bytes_of(&d->split); /* the steps share the stack, each has its own head */
    for (int k = 0; k < d->codebook_count; k++) once += bytes_of(&d->head[k]);
    passes[0] = (bench_pass){stack_bytes(&b->model->backbone.stack), 1};
    passes[1] = (bench_pass){once, 1};
    passes[2] = (bench_pass){stack_bytes(&d->stack), d->codebook_count};
    return 3 + bench_detokenizer_passes(b, passes + 3);
}

/* ---- Arithmetic ---- */

typedef struct probing {
    const limit_probe *probe;
    int64_t round_count;
    float results[RNL_THREAD_CAP];
} probing;

static void probe_part(void *context, int64_t begin, int64_t end, int thread_index) {
    probing *p = context;
    for (int64_t i = begin; i < end; i++) p->results[thread_index] += p->probe->run(p->round_count);
}

/* Operations a second of all threads, in a sample of PEAK_MS or more. */
static double peak_of(bench *b, const limit_probe *probe) {
    const int64_t items =
        4 * (int64_t)b->s->config.thread_count; /* two for each part of the pool */
    probing p = {.probe = probe, .round_count = 1000};
    for (;;) {
        const double start = clock_seconds();
        pool_run(b->s->pass->pool, items, 1, probe_part, &p);
        const double seconds = clock_seconds() - start;
        b->sink += p.results[0] > 0;
        if (seconds * 1e3 >= PEAK_MS)
            return (double)items * (double)p.round_count * probe->op_count / seconds;
        p.round_count *= 2;
    }
}

/* Packed matrices meet integers, others floats; inputs in BF16 where the level has them. */
double bench_peak(bench *b, const matrix *w, bool bf16) {
    const kernels *k = &b->model->kernels;
    const bool packed = w->packed != NULL && !b->model->exact;
    const bool rounds =
        bf16 && (packed ? k->multiply_tiles[w->type] != NULL : k->multiply_bf16[w->type] != NULL);
    const char *integers = kernels_is_wide(w->type) ? "I16" : "I8";
    const char *type = rounds ? "BF16" : packed ? integers : "F32";
    /* All else such a level has from avx512. */
    const char *level = k->quantise_bf16 != NULL && !rounds ? "avx512" : k->name;
    const limit_probe *probe, *best = NULL;
    for (size_t i = 0; (probe = limit_probe_at(i)) != NULL; i++) {
        if (strcmp(probe->level, level) != 0) continue;
        if (best == NULL || strcmp(probe->type, type) == 0) best = probe;
    }
    return best != NULL ? peak_of(b, best) : 0;
}

void bench_peak_rows(bench *b) {
    const limit_probe *probe;
    for (size_t i = 0; (probe = limit_probe_at(i)) != NULL; i++) {
        if ((probe->needs & ~b->features) != 0) continue;
        while (bench_more(b)) bench_add(b, 1e-9 * peak_of(b, probe), 0);
        bench_report(
            b, &(bench_row){
                   .work = "peak", .unit = "Gop/s", .type = probe->type, .level = probe->level});
    }
}

double bench_prefill_ops(const bench *b, int tokens) {
    const backbone_weights *w = &b->model->backbone;
    return stack_cost_of(&w->stack, w->stack.cache, 0, 1).op_count * tokens +
           2 * elements_of(&w->head);
}

double bench_encoder_ops(const bench *b, int positions) {
    const encoder_weights *e = &b->model->encoder;
    double sum = elements_of(&b->model->adapter.up) + elements_of(&b->model->adapter.out);
    for (int i = 0; i < e->layer_count; i++) {
        const encoder_layer *l = &e->layers[i];
        sum += elements_of(&l->ff1.up) + elements_of(&l->ff1.down) + elements_of(&l->ff2.up) +
               elements_of(&l->ff2.down) + elements_of(&l->q) + elements_of(&l->k) +
               elements_of(&l->v) + elements_of(&l->out) + elements_of(&l->point1) +
               elements_of(&l->point2);
        sum += 2 * elements_of(&l->position); /* 2 * positions - 1 distances */
    }
    return 2 * sum * positions;
}

/* ---- A pass of many rows ---- */

static double frame_ops(const bench *b) {
    const stack_weights *stack = &b->model->backbone.stack;
    const depth_weights *d = &b->model->depth;
    const codec_weights *c = &b->model->codec;
    double sum = stack_cost_of(stack, stack->cache, 0, 1).op_count + 2 * elements_of(&d->split) +
                 stack_cost_of(&d->stack, d->stack.cache, 0, 1).op_count * d->codebook_count;
    for (int k = 0; k < d->codebook_count; k++) sum += 2 * elements_of(&d->head[k]);
    if (c->kind == CODEC_LFM)
        sum += LFM_POSITIONS * (stack_cost_of(&c->lfm.stack, c->lfm.stack.cache, 0, 1).op_count +
                                2 * elements_of(&c->lfm.out));
    return sum;
}

static bench_longer longer_of(bench *b, const bench_pass *passes, int count, double op_count,
                              double rate) {
    (void)bench_read(b, passes, count); /* a small model finds its copy in the caches */
    const double seconds = bench_read(b, passes, count);
    const double peak = bench_peak(b, stack_first_matrix(&b->model->backbone.stack), false);
    return (bench_longer){.by_peak = peak > 0 ? 1e3 * fmax(seconds, op_count / peak) : 0,
                          .by_rate = rate > 0 ? 1e3 * fmax(seconds, op_count / rate) : 0};
}

bench_longer bench_texts_limit(bench *b, int rows, int depth, double rate) {
    bench_pass passes[BENCH_PASS_CAP];
    const int count = bench_decode_passes(b, depth, rows, passes);
    return longer_of(b, passes, count, rows * bench_prefill_ops(b, 1), rate);
}

bench_longer bench_frames_limit(bench *b, int rows, int depth, double rate) {
    bench_pass passes[BENCH_PASS_CAP];
    const int count = bench_frame_passes(b, passes);
    const stack_weights *stack = &b->model->backbone.stack;
    passes[0].size +=
        rows * stack_cost_of(stack, b->s->live->backbone.cache, depth, rows).kept_size;
    return longer_of(b, passes, count, rows * frame_ops(b), rate);
}

double bench_experts_limit(bench *b, int rows) {
    const stack_weights *w = &b->model->backbone.stack;
    stack_cost sum = {0};
    for (int i = 0; i < w->config.layer_count; i++)
        if (w->config.layers[i].kinds[STACK_FEED_FORWARD] == &stack_experts)
            stack_experts.cost(w, i, w->cache, 0, rows, &sum);
    const bench_pass once = {sum.byte_count, 1};
    return longer_of(b, &once, 1, rows * sum.op_count, 0).by_peak;
}
