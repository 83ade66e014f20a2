/* Attention over more keys than one piece has: against plain sums in double, and with the same bits
 * for any threads (whether pieces are shared out or not) and any batch, also when the ring of a
 * window wraps. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stack/kind.h"
#include "tests/support/guarded.h"

enum {
    HEADS = 4,
    HEAD_WIDTH = 8,
    WIDTH = HEADS * HEAD_WIDTH, /* so that the output's projection can be the identity */
    BATCH = 4,
    CAP = 2600,
    FIRST = 2290, /* positions that are there already: two whole pieces and a part */
    COUNT = 6
};

typedef struct rig {
    stack_weights w;
    stack_state s;
    stack_work work;
    stack_layer layer;
    stack_attention_weights own;
    compute c;
    kernels k;
    arena arenas[4]; /* kept, appended, scratch, compute */
    void *memory[4];
    float weights[4][WIDTH * WIDTH], ones[HEAD_WIDTH];
} rig;

static matrix matrix_of(const float *values, int64_t rows) {
    return (matrix){.data = (const unsigned char *)values,
                    .type = QUANT_F32,
                    .row_count = rows,
                    .col_count = WIDTH,
                    .row_size = WIDTH * sizeof(float)};
}

/* A stack with a window is a stream. */
static void layout(rig *r, int threads) {
    arena *a = r->arenas;
    const int cap = r->w.config.layers[0].window > 0 ? 0 : CAP;
    stack_state_layout(&r->s, &r->w, KERNELS_CACHE_F32, cap, BATCH, &a[0], &a[1]);
    stack_work_layout(&r->work, &r->w, BATCH, cap, threads, &a[2]);
    compute_layout(&r->c, threads, WIDTH, &a[3]);
}

static int rows_of(const rig *r) {
    const int window = r->w.config.layers[0].window;
    return window > 0 ? window - 1 + BATCH : CAP;
}

static float *keys_of(const rig *r) {
    unsigned char *at = r->w.config.layers[0].window > 0 ? stack_fixed(&r->s, 0, STACK_OPERATOR)
                                                         : stack_appended(&r->s, 0, STACK_OPERATOR);
    return (float *)(void *)at;
}

/* They begin at a cache line behind the keys. */
static float *values_of(const rig *r) {
    const int line = ARENA_ALIGN / (int)sizeof(float);
    const int keys = r->w.config.layers[0].kv_head_count * rows_of(r) * HEAD_WIDTH;
    return keys_of(r) + (keys + line - 1) / line * line;
}

/* Keys and values of FIRST positions are random numbers, nothing is turned. */
static void rig_open(rig *r, int kv_heads, int window, int threads) {
    memset(r, 0, sizeof *r);
    r->w.config = (stack_config){.width = WIDTH, .layer_count = 1, .eps = 1e-5f};
    r->w.config.layers[0] = (stack_layer_config){.kinds = {&stack_attention, &stack_dense},
                                                 .head_count = HEADS,
                                                 .head_width = HEAD_WIDTH,
                                                 .kv_head_count = kv_heads,
                                                 .window = window,
                                                 .rotary = {.base = 1e4}};
    uint64_t seed = 1;
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < WIDTH * WIDTH; i++) r->weights[m][i] = random_float(&seed);
    for (int i = 0; i < WIDTH; i++) r->weights[3][i * WIDTH + i] = 1;
    for (int i = 0; i < HEAD_WIDTH; i++) r->ones[i] = 2; /* sharpens the softmax */
    r->own =
        (stack_attention_weights){.q = matrix_of(r->weights[0], WIDTH),
                                  .k = matrix_of(r->weights[1], (int64_t)kv_heads * HEAD_WIDTH),
                                  .v = matrix_of(r->weights[2], (int64_t)kv_heads * HEAD_WIDTH),
                                  .out = matrix_of(r->weights[3], WIDTH),
                                  .q_norm = r->ones,
                                  .k_norm = r->ones};
    r->layer.parts[STACK_OPERATOR] = (stack_part){.kind = &stack_attention, .weights = &r->own};
    r->layer.parts[STACK_FEED_FORWARD] = (stack_part){.kind = &stack_dense};
    r->w.layers = &r->layer;
    r->w.rotary_count = 1;
    kernels_select(&r->k, kernels_cpu_features() & ~(unsigned)KERNELS_CPU_ROUNDS);
    r->c.k = &r->k;
    layout(r, threads);
    for (int i = 0; i < 4; i++) {
        r->memory[i] = aligned_alloc(ARENA_ALIGN, r->arenas[i].size_used + ARENA_ALIGN);
        assert_non_null(r->memory[i]);
        r->arenas[i] = (arena){.base = r->memory[i], .size_cap = r->arenas[i].size_used};
    }
    layout(r, threads);
    assert_int_equal(pool_create(threads, &r->c.pool), RNL_OK);
    for (int i = 0; i < kv_heads * rows_of(r) * HEAD_WIDTH; i++) {
        keys_of(r)[i] = 3 * random_float(&seed);
        values_of(r)[i] = random_float(&seed);
    }
    r->s.position = FIRST;
}

static void rig_close(rig *r) {
    pool_destroy(&r->c.pool);
    for (int i = 0; i < 4; i++) free(r->memory[i]);
}

static float in[COUNT * WIDTH];

static void run(rig *r, float *out, int batch) {
    memset(out, 0, sizeof in);
    for (int t = 0; t < COUNT; t += batch) {
        const int count = COUNT - t < batch ? COUNT - t : batch;
        const stack_piece piece = {.state = &r->s, .count = count};
        const stack_pass p = {
            .work = &r->work, .c = &r->c, .pieces = &piece, .piece_count = 1, .row_count = count};
        memcpy(r->work.normed, in + t * WIDTH, sizeof(float) * (size_t)(count * WIDTH));
        for (int i = 0; i < count; i++)
            r->work.rows[i] = (stack_row){.state = &r->s, .position = r->s.position + i};
        stack_attention.forward(&p, 0, out + t * WIDTH);
        r->s.position += count;
    }
}

/* One query head at the last position, from the rows of the cache. */
static void check_head(const rig *r, int head, const float *out) {
    const int kv_heads = r->w.config.layers[0].kv_head_count, kv = head / (HEADS / kv_heads);
    const int64_t cap = rows_of(r), last = FIRST + COUNT - 1;
    const int window = r->w.config.layers[0].window;
    const float *x = in + (COUNT - 1) * WIDTH;
    double q[HEAD_WIDTH], squares = 0, sum = 0, want[HEAD_WIDTH] = {0}, *scores;
    for (int i = 0; i < HEAD_WIDTH; i++) {
        q[i] = 0;
        for (int c = 0; c < WIDTH; c++)
            q[i] += (double)r->weights[0][(head * HEAD_WIDTH + i) * WIDTH + c] * (double)x[c];
        squares += q[i] * q[i];
    }
    scores = take(sizeof *scores * (size_t)(last + 1));
    const int64_t first = window > 0 ? last - window + 1 : 0;
    double max = -INFINITY;
    for (int64_t j = first; j <= last; j++) {
        const float *key = keys_of(r) + (kv * cap + j % cap) * HEAD_WIDTH;
        scores[j] = 0;
        for (int i = 0; i < HEAD_WIDTH; i++)
            scores[j] += q[i] * 2 / sqrt(squares / HEAD_WIDTH + 1e-5) * (double)key[i];
        scores[j] /= sqrt(HEAD_WIDTH);
        max = fmax(max, scores[j]);
    }
    for (int64_t j = first; j <= last; j++) {
        const float *value = values_of(r) + (kv * cap + j % cap) * HEAD_WIDTH;
        const double e = exp(scores[j] - max);
        sum += e;
        for (int i = 0; i < HEAD_WIDTH; i++) want[i] += e * (double)value[i];
    }
    for (int i = 0; i < HEAD_WIDTH; i++)
        assert_true(fabs((double)out[head * HEAD_WIDTH + i] - want[i] / sum) <= 2e-6);
    free(scores);
}

static void pieces_are_joined_rightly_by_any_threads(void **state) {
    (void)state;
    static const int kinds[][2] = {{1, 0}, {2, 0}, {4, 0}, {1, 1500}, {2, 1023}, {2, 1024}};
    static rig r;
    static float want[COUNT * WIDTH], got[COUNT * WIDTH];
    uint64_t seed = 5;
    for (int i = 0; i < COUNT * WIDTH; i++) in[i] = random_float(&seed);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int threads = 1; threads <= 9; threads += 2)
            for (int batch = 1; batch <= BATCH; batch++) {
                const bool first = threads == 1 && batch == 1;
                rig_open(&r, kinds[k][0], kinds[k][1], threads);
                run(&r, first ? want : got, batch);
                for (int head = 0; first && head < HEADS; head++)
                    check_head(&r, head, want + (COUNT - 1) * WIDTH);
                if (!first) assert_memory_equal(got, want, sizeof want);
                rig_close(&r);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_joined_rightly_by_any_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
