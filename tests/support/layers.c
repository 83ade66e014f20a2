#include "tests/support/layers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"

enum { WIDTH = LAYERS_WIDTH, POSITIONS = LAYERS_POSITIONS, BATCH = LAYERS_BATCH };

static float numbers[1 << 17];
static size_t numbers_used;

static void fill_numbers(void) {
    random_state random;
    random_seed(&random, 4);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        numbers[i] = (float)(random_unit(&random) - 0.5);
    numbers_used = 0;
}

/* members 0: one matrix, or a vector. */
static void add(layers *r, const char *name, int64_t members, int64_t rows, int64_t cols) {
    const size_t count = (size_t)((members > 0 ? members : 1) * rows * cols);
    assert_true(numbers_used + count <= sizeof numbers / sizeof *numbers);
    tensor t = {.name = name,
                .data = (const unsigned char *)(numbers + numbers_used),
                .type = QUANT_F32,
                .rank = members > 0 ? 3
                        : cols > 1  ? 2
                                    : 1,
                .shape = {rows, cols, 1, 1},
                .size = count * sizeof(float)};
    if (members > 0) t.shape[0] = members, t.shape[1] = rows, t.shape[2] = cols;
    numbers_used += count;
    if (weights_add(r->s.w, &t, "layers", &r->s.error) != RNL_OK) fail_msg("%s", r->s.error.text);
}

static void add_layer(layers *r, int i, bool optional) {
    const stack_weights w = {.config = r->config};
    const char *const norms[] = {"attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm"};
    char name[64];
    for (int n = 0; n < (optional ? 4 : 2); n++) {
        (void)snprintf(name, sizeof name, "blk.%d.%s.weight", i, norms[n]);
        add(r, name, 0, WIDTH, 1);
    }
    for (int place = 0; place < STACK_PLACE_COUNT; place++) {
        const stack_kind *kind = r->config.layers[i].kinds[place];
        for (int n = 0; n < kind->tensor_count; n++) {
            const stack_tensor *t = &kind->tensors[n];
            if (!stack_has_tensor(&r->config.layers[i], (stack_place)place, t)) continue;
            if (!optional && (t->form == STACK_MATRIX_IF || t->form == STACK_VECTOR_IF)) continue;
            (void)snprintf(name, sizeof name, "blk.%d.%s", i, t->name);
            add(r, name, t->form == STACK_MATRICES ? r->config.layers[i].expert_count : 0,
                t->rows(&w, i), t->cols(&w, i));
        }
    }
}

/* Memory begins as NaN, so that nothing is right by luck. */
static void place_state(layers *r, int i, int position_cap) {
    arena kept = {0}, appended = {0};
    stack_state *s = &r->states[i];
    stack_state_layout(s, &r->w, r->w.cache, position_cap, BATCH, &kept, &appended);
    const size_t size = kept.size_used + appended.size_used;
    r->memory[i] = aligned_alloc(ARENA_ALIGN, size);
    assert_non_null(r->memory[i]);
    memset(r->memory[i], 0xff, size);
    arena a = {.base = r->memory[i], .size_cap = kept.size_used};
    arena b = {.base = (unsigned char *)r->memory[i] + kept.size_used,
               .size_cap = appended.size_used};
    stack_state_layout(s, &r->w, r->w.cache, position_cap, BATCH, &a, &b);
    stack_reset(s);
}

stack_layer_config layers_config(const stack_kind *kind, int kv_heads) {
    return (stack_layer_config){.kinds = {kind, &stack_dense},
                                .head_count = LAYERS_HEADS,
                                .kv_head_count = kv_heads > 0 ? kv_heads : LAYERS_HEADS,
                                .head_width = LAYERS_HEAD_WIDTH,
                                .rotary = {.base = 1e4, .pair_count = LAYERS_HEAD_WIDTH / 2},
                                .taps = LAYERS_TAPS,
                                .ff_width = LAYERS_FF};
}

void layers_open(layers *r, const stack_layer_config *config, int count, int position_cap,
                 bool optional) {
    fill_numbers();
    memset(r, 0, sizeof *r);
    stage_open(&r->s, 2, 4 * WIDTH);
    r->config = (stack_config){.width = WIDTH, .layer_count = count, .eps = 1e-5f};
    for (int i = 0; i < count; i++) {
        r->config.layers[i] = config[i];
        add_layer(r, i, optional);
    }
    add(r, "token_embd_norm.weight", 0, WIDTH, 1);
    if (stack_check(&r->config, "layers", &r->s.error) != RNL_OK) fail_msg("%s", r->s.error.text);
    stack_load(&r->s.l, &r->config, &r->w);
    stage_check(&r->s);
    for (int i = 0; i < LAYERS_STATES; i++) place_state(r, i, position_cap);
    stack_work_layout(&r->work, &r->w, LAYERS_STATES * BATCH, position_cap, 2, &r->s.scratch);
}

void layers_close(layers *r) {
    stage_close(&r->s);
    for (int i = 0; i < LAYERS_STATES; i++) free(r->memory[i]);
}

void layers_fill(float *x, int count, uint64_t seed) {
    random_state random;
    random_seed(&random, seed);
    for (int i = 0; i < count * WIDTH; i++) x[i] = (float)(random_unit(&random) - 0.5);
}

void layers_forward(layers *r, stack_state *state, float *x, int count) {
    const stack_piece piece = {.state = state, .count = count};
    stack_forward(&r->work, &r->s.c, &piece, 1, x);
}

void layers_run(layers *r, const float *in, float *out, int count, int batch) {
    stack_state *state = &r->states[0];
    stack_reset(state);
    memmove(out, in, (size_t)count * WIDTH * sizeof *out);
    for (int at = 0; at < count; at += batch)
        layers_forward(r, state, out + at * WIDTH, count - at < batch ? count - at : batch);
    assert_int_equal(state->position, count);
}

static float in[POSITIONS * WIDTH], a[POSITIONS * WIDTH], b[POSITIONS * WIDTH];

void layers_check_cuts(layers *r) {
    layers_fill(in, POSITIONS, 9);
    layers_run(r, in, a, POSITIONS, 1);
    for (int batch = 2; batch <= BATCH; batch++) {
        layers_run(r, in, b, POSITIONS, batch);
        if (memcmp(a, b, sizeof a) != 0) fail_msg("passes of %d differ", batch);
        layers_fill(b, POSITIONS, 10);
        layers_run(r, b, b, POSITIONS - 7, BATCH); /* something else in between */
    }
}

/* Rows of some sequences, from the last one to the first. Returns the number of pieces. */
static int choose(layers *r, random_state *random, const int *at, stack_piece *pieces,
                  int *owners) {
    int count = 0;
    for (int i = LAYERS_STATES - 1; i >= 0; i--) {
        const int left = POSITIONS - at[i];
        if (left == 0 || random_unit(random) < 0.3) continue;
        const int most = random_unit(random) < 0.5 ? 1 : left < BATCH ? left : BATCH;
        owners[count] = i;
        pieces[count++] = (stack_piece){.state = &r->states[i],
                                        .count = 1 + (int)(random_unit(random) * (most - 1))};
    }
    return count;
}

/* One schedule; alone [LAYERS_STATES][POSITIONS, WIDTH]. */
static void check_schedule(layers *r, float (*alone)[POSITIONS * WIDTH], uint64_t seed) {
    static float x[LAYERS_STATES * BATCH * WIDTH];
    random_state random;
    random_seed(&random, seed);
    int at[LAYERS_STATES] = {0}, owners[LAYERS_STATES], done = 0;
    stack_piece pieces[LAYERS_STATES];
    for (int i = 0; i < LAYERS_STATES; i++) stack_reset(&r->states[i]);
    while (done < LAYERS_STATES) {
        const int count = choose(r, &random, at, pieces, owners);
        if (count == 0) continue;
        float *to = x, *from = x;
        for (int p = 0; p < count; p++) {
            layers_fill(in, POSITIONS, 100 + (uint64_t)owners[p]);
            memcpy(to, in + at[owners[p]] * WIDTH, sizeof *x * (size_t)(pieces[p].count * WIDTH));
            to += pieces[p].count * WIDTH;
        }
        stack_forward(&r->work, &r->s.c, pieces, count, x);
        for (int p = 0; p < count; p++) {
            const int i = owners[p], cells = pieces[p].count * WIDTH;
            if (memcmp(from, alone[i] + at[i] * WIDTH, sizeof *x * (size_t)cells) != 0)
                fail_msg("schedule %d: sequence %d differs at %d", (int)seed, i, at[i]);
            from += cells;
            at[i] += pieces[p].count;
            done += at[i] == POSITIONS;
        }
    }
}

void layers_check_together(layers *r) {
    static float alone[LAYERS_STATES][POSITIONS * WIDTH];
    for (int i = 0; i < LAYERS_STATES; i++) {
        layers_fill(in, POSITIONS, 100 + (uint64_t)i);
        layers_run(r, in, alone[i], POSITIONS, BATCH);
    }
    for (uint64_t seed = 1; seed <= 6; seed++) check_schedule(r, alone, seed);
}

void layers_check_return(layers *r) {
    enum { KEPT = 13 };
    stack_state *s = &r->states[0];
    unsigned char *fixed = malloc(s->fixed_size + 1);
    assert_non_null(fixed);
    layers_fill(in, POSITIONS, 9);
    layers_run(r, in, a, POSITIONS, BATCH);
    layers_run(r, in, b, KEPT, BATCH);
    if (s->fixed_size > 0) memcpy(fixed, s->fixed, s->fixed_size); /* attention alone has none */
    layers_fill(b, POSITIONS, 10);                                 /* run ahead, on another way */
    layers_forward(r, s, b, BATCH);
    if (s->fixed_size > 0) memcpy(s->fixed, fixed, s->fixed_size);
    s->position = KEPT;
    memcpy(b, in + KEPT * WIDTH, sizeof *b * (POSITIONS - KEPT) * WIDTH);
    for (int at = KEPT; at < POSITIONS; at++) layers_forward(r, s, b + (at - KEPT) * WIDTH, 1);
    assert_memory_equal(b, a + KEPT * WIDTH, sizeof *b * (POSITIONS - KEPT) * WIDTH);
    free(fixed);
}
