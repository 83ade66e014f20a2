/* A stack as a graph of ONNX: computed by the operators' own documents (support/onnx_run.h), every
 * pass gives what the CPU gives, whatever the layers have, however a sequence is cut into passes,
 * and whoever takes which of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/onnx_feed.h"
#include "devices/onnx_set.h"
#include "tests/support/folder.h"
#include "tests/support/layers.h"
#include "tests/support/onnx_run.h"
#include "tests/support/rig.h"

enum { WIDTH = LAYERS_WIDTH, POSITIONS = LAYERS_POSITIONS, PAST = POSITIONS + 3, ROWS = 8 };

/* A stack, its graphs of 1 and ROWS rows, and what they are computed with. */
typedef struct rig {
    layers l;
    onnx_set set;
    onnx_feed feeds[2];
    onnx_read reads[2];
    onnx_run *runs[2];
    onnx_mirror mirror;
    float hidden[LAYERS_BATCH * WIDTH];
    unsigned char *stored; /* of matrices that were rounded */
} rig;

static void open_graphs(rig *r, const folder *f, bool half) {
    rnl_error error = {0};
    if (onnx_stack_check(&r->l.w, "layers", &error) != RNL_OK) fail_msg("%s", error.text);
    r->set = onnx_set_of_stack(&r->l.w, 2, PAST, half);
    assert_int_equal(r->set.count, 2);
    assert_int_equal(r->set.sizes[0], 1);
    r->set.sizes[1] = ROWS; /* of 32 */
    onnx_set_files files;
    if (onnx_set_stage(&r->set, f->path, "stack", false, NULL, NULL, &files, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_int_equal(onnx_set_commit(&files, &error), RNL_OK);
    assert_int_equal(entry_count(f), 3);
    for (int i = 0; i < 2; i++) {
        char graph[ONNX_PATH_CAP], data[ONNX_PATH_CAP];
        assert_int_equal(onnx_set_path(f->path, "stack", r->set.sizes[i], ".onnx", graph, NULL),
                         RNL_OK);
        assert_int_equal(onnx_set_path(f->path, "stack", 0, ".weights", data, NULL), RNL_OK);
        onnx_read_open(graph, data, &r->reads[i]);
        r->runs[i] = onnx_run_open(&r->reads[i]);
        const onnx_stack_config c = onnx_set_config(&r->set, r->set.sizes[i]);
        assert_int_equal(onnx_feed_create(&r->l.w, &c, &r->feeds[i]), RNL_OK);
    }
    assert_int_equal(onnx_mirror_create(&r->l.w, PAST, half, &r->mirror), RNL_OK);
}

static void close_rig(rig *r) {
    onnx_mirror_free(&r->mirror);
    for (int i = 0; i < 2; i++) {
        onnx_feed_free(&r->feeds[i]);
        onnx_run_close(&r->runs[i]);
        onnx_read_close(&r->reads[i]);
    }
    layers_close(&r->l);
    free(r->stored);
}

/* Keys and values as floats. */
static void set_kept(const rig *r, onnx_run *run, const onnx_port *p) {
    const unsigned char *all =
        p->role == ONNX_KEYS ? r->mirror.keys[p->layer] : r->mirror.values[p->layer];
    const size_t count = p->size / (r->mirror.half ? sizeof(uint16_t) : sizeof(float));
    float *numbers = malloc(count * sizeof *numbers);
    assert_non_null(numbers);
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, all + i * sizeof half, sizeof half);
        if (r->mirror.half) numbers[i] = quant_f16_to_f32(half);
    }
    if (!r->mirror.half) memcpy(numbers, all, p->size);
    onnx_run_set(run, p->name, numbers, count);
    free(numbers);
}

/* Some rows through the graph i, as a device does it. */
static void run_rows(rig *r, int i, const stack_pass *p, const onnx_run_rows *rows) {
    onnx_feed *f = &r->feeds[i];
    onnx_feed_fill(f, p, &r->mirror, rows);
    for (int n = 0; n < f->ports.input_count; n++)
        if (f->inputs[n] != NULL)
            onnx_run_set(r->runs[i], f->ports.inputs[n].name, f->inputs[n],
                         f->ports.inputs[n].size / sizeof(float));
        else
            set_kept(r, r->runs[i], &f->ports.inputs[n]);
    onnx_run_all(r->runs[i]);
    for (int n = 0; n < f->ports.output_count; n++)
        memcpy(f->outputs[n],
               onnx_run_get(r->runs[i], f->ports.outputs[n].name,
                            f->ports.outputs[n].size / sizeof(float)),
               f->ports.outputs[n].size);
    onnx_feed_keep(f, &r->mirror, rows, r->hidden + (size_t)rows->first * WIDTH);
}

/* A pass of count rows of a state, x in place. */
static void pass(rig *r, stack_state *s, float *x, int count) {
    const stack_piece piece = {.state = s, .count = count};
    const stack_pass p = {
        .work = &r->l.work, .c = &r->l.s.c, .pieces = &piece, .piece_count = 1, .row_count = count};
    stack_forward_begin(&r->l.work, &piece, 1);
    onnx_mirror_begin(&r->mirror, s);
    for (int at = 0; at < count;) {
        const int i = count - at > 1, take = count - at < ROWS ? count - at : ROWS;
        const onnx_run_rows rows = {.x = x + at * WIDTH,
                                    .first = at,
                                    .count = i == 0 ? 1 : take,
                                    .position = s->position + at};
        run_rows(r, i, &p, &rows);
        at += rows.count;
    }
    memcpy(x, r->hidden, (size_t)count * WIDTH * sizeof *x);
    onnx_mirror_take(&r->mirror, s, &r->l.s.k, count);
    s->position += count;
}

static float in[POSITIONS * WIDTH], want[POSITIONS * WIDTH], got[POSITIONS * WIDTH];

static double difference(void) {
    double largest = 0;
    for (int i = 0; i < POSITIONS * WIDTH; i++) {
        assert_true(isfinite(got[i]));
        largest = fmax(largest, fabs(got[i] - want[i]));
    }
    return largest;
}

/* The whole sequence against the CPU; every second pass is the CPU's when asked for. */
static double compare(rig *r, int batch, bool in_turn) {
    stack_state *s = &r->l.states[1];
    layers_fill(in, POSITIONS, 5);
    layers_run(&r->l, in, want, POSITIONS, LAYERS_BATCH);
    stack_reset(s);
    s->unseen = 0;
    memcpy(got, in, sizeof got);
    for (int at = 0, n = 0; at < POSITIONS; n++) {
        const int count = POSITIONS - at < batch ? POSITIONS - at : batch;
        if (in_turn && n % 2 == 1) {
            layers_forward(&r->l, s, got + at * WIDTH, count);
        } else {
            pass(r, s, got + at * WIDTH, count);
            s->unseen = s->position;
        }
        at += count;
    }
    return difference();
}

static stack_layer_config attention(int kv_heads, int window, int pairs, bool adjacent) {
    stack_layer_config c = layers_config(&stack_attention, kv_heads);
    c.window = window;
    c.rotary.pair_count = pairs;
    c.rotary.adjacent = adjacent;
    return c;
}

static stack_layer_config convolution(int taps) {
    stack_layer_config c = layers_config(&stack_convolution, 0);
    c.taps = taps;
    return c;
}

static const double float_bound = 2e-5;

static void graphs_compute_what_the_cpu_does(void **state) {
    stack_layer_config shared = attention(2, 0, LAYERS_HEAD_WIDTH / 2, false);
    shared.kv_above = 1;
    shared.ff_above = 1;
    const stack_layer_config c[] = {
        convolution(3),
        attention(2, 0, LAYERS_HEAD_WIDTH / 2, false),
        shared,
        convolution(5),
        attention(1, 7, LAYERS_HEAD_WIDTH / 2, true),
        convolution(1),
        attention(4, 0, LAYERS_HEAD_WIDTH / 4, false),
    };
    for (int optional = 0; optional < 2; optional++) { /* biases, gates, norms behind parts */
        rig *r = calloc(1, sizeof *r);
        assert_non_null(r);
        layers_open(&r->l, c, sizeof c / sizeof *c, POSITIONS, optional == 1);
        open_graphs(r, *state, false);
        static const int batches[] = {13, 1, 5, 8, LAYERS_BATCH};
        for (int i = 0; i < rig_rounds(sizeof batches / sizeof *batches); i++)
            for (int in_turn = 0; in_turn < 2; in_turn++) {
                const double off = compare(r, batches[i], in_turn == 1);
                if (off > float_bound)
                    fail_msg("passes of %d, %s optional parts%s: %g off", batches[i],
                             optional == 1 ? "with" : "without",
                             in_turn == 1 ? ", every second the CPU's" : "", off);
            }
        close_rig(r);
        free(r);
    }
}

/* Every matrix rounded to a type, in memory of the rig's. */
static void round_matrices(rig *r, quant_type type) {
    enum { ROOM = 1 << 20 };
    const quant_info *info = quant_describe((uint32_t)type);
    size_t used = 0;
    assert_non_null(r->stored = malloc(ROOM));
    for (int i = 0; i < r->l.config.layer_count; i++)
        for (int place = 0; place < STACK_PLACE_COUNT; place++) {
            const stack_part *part = stack_part_at(&r->l.w, i, (stack_place)place);
            for (int n = 0; n < part->kind->tensor_count; n++) {
                const stack_tensor *t = &part->kind->tensors[n];
                matrix *m = (matrix *)(void *)((unsigned char *)part->weights + t->at);
                if (t->form != STACK_MATRIX) continue;
                unsigned char *rows = r->stored + used;
                const size_t size = (size_t)m->col_count / info->block_len * info->block_size;
                assert_true(used + size * (size_t)m->row_count <= ROOM);
                for (int64_t j = 0; j < m->row_count; j++)
                    assert_true(quant_quantise(
                        type, (const float *)(const void *)(m->data + (size_t)j * m->row_size),
                        rows + (size_t)j * size, m->col_count));
                used += size * (size_t)m->row_count;
                m->data = rows, m->type = type, m->row_size = size;
            }
        }
}

static void quantised_stacks_compute_what_the_cpu_does(void **state) {
    static const quant_type types[] = {QUANT_Q4_0, QUANT_Q8_0};
    stack_layer_config c[] = {convolution(3), attention(2, 0, LAYERS_HEAD_WIDTH / 2, false)};
    c[0].ff_width = c[1].ff_width = 64; /* whole blocks of 32 */
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        rig *r = calloc(1, sizeof *r);
        assert_non_null(r);
        layers_open(&r->l, c, 2, POSITIONS, false);
        round_matrices(r, types[i]);
        open_graphs(r, *state, false);
        int blocks = 0;
        for (int n = 0; n < r->reads[0].node_count; n++)
            blocks += strcmp(r->reads[0].nodes[n].op, "MatMulNBits") == 0;
        assert_int_equal(blocks, 12); /* every product, none of them turned into floats */
        const double off = compare(r, 5, true);
        if (off > float_bound) fail_msg("%s: %g off", quant_describe(types[i])->name, off);
        close_rig(r);
        free(r);
    }
}

/* As a session keeps keys when weights are packed. The mirror rounds as the state does. */
static void keys_may_be_halves(void **state) {
    const stack_layer_config c[] = {convolution(3), attention(2, 0, LAYERS_HEAD_WIDTH / 2, false)};
    rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    layers_open(&r->l, c, 2, POSITIONS, false);
    for (int i = 0; i < 2; i++) r->l.states[i].cache = KERNELS_CACHE_F16; /* half the room */
    open_graphs(r, *state, true);
    for (int in_turn = 0; in_turn < 2; in_turn++) {
        const double off = compare(r, 5, in_turn == 1);
        /* Some keys stand between two halves, and go to the other one. */
        if (off > 1e-3) fail_msg("%g off", off);
    }
    close_rig(r);
    free(r);
}

static void other_layers_are_refused(void **state) {
    (void)state;
    rnl_error error = {0};
    stack_layer_config c[] = {convolution(3), layers_config(&stack_linear_attention, 0)};
    layers *l = calloc(1, sizeof *l);
    assert_non_null(l);
    layers_open(l, c, 2, POSITIONS, false);
    assert_int_equal(onnx_stack_check(&l->w, "a.gguf", &error), RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "a.gguf: layer 1 is linear attention"));
    layers_close(l);
    c[1] = convolution(3);
    c[1].kinds[STACK_FEED_FORWARD] = &stack_experts;
    c[1].expert_count = 4, c[1].expert_used = 2, c[1].expert_scale = 1;
    layers_open(l, c, 2, POSITIONS, false);
    assert_int_equal(onnx_stack_check(&l->w, "a.gguf", &error), RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "a.gguf: the feed-forward part of layer 1 is experts"));
    layers_close(l);
    free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(graphs_compute_what_the_cpu_does),
        IN_FOLDER(quantised_stacks_compute_what_the_cpu_does),
        IN_FOLDER(keys_may_be_halves),
        cmocka_unit_test(other_layers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
