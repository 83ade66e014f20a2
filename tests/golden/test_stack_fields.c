/* Layers with everything that a layer may have, against the reference: windows and rotary tables of
 * a layer's own, of which some pairs turn, norms behind the parts, gates of heads, other numbers of
 * taps, biases. The checkpoints are small LFM3 ones, which no reader of the engine takes: the stack
 * is put together by hand. `tied` has norms, gates and 7 taps, `plain` BF16 and biases of
 * convolutions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/safetensors.h"
#include "stack/kind.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/stage.h"

enum { WIDTH = 64, HEADS = 4, KV_HEADS = 2, HEAD_WIDTH = 32, FF = 96, WINDOW = 12, POSITIONS = 67 };

static const char *const names[][2] = {
    {"operator_norm.weight", "attn_norm.weight"},
    {"post_operator_norm.weight", "post_attention_norm.weight"},
    {"ffn_norm.weight", "ffn_norm.weight"},
    {"post_ffn_norm.weight", "post_ffw_norm.weight"},
    {"feed_forward.w1.weight", "ffn_gate.weight"},
    {"feed_forward.w3.weight", "ffn_up.weight"},
    {"feed_forward.w2.weight", "ffn_down.weight"},
    {"conv.in_proj.weight", "shortconv.in_proj.weight"},
    {"conv.in_proj.bias", "shortconv.in_proj.bias"},
    {"conv.conv.weight", "shortconv.conv.weight"},
    {"conv.conv.bias", "shortconv.conv.bias"},
    {"conv.out_proj.weight", "shortconv.out_proj.weight"},
    {"conv.out_proj.bias", "shortconv.out_proj.bias"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.out_proj.weight", "attn_output.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"self_attn.q_layernorm.weight", "attn_q_norm.weight"},
    {"self_attn.k_layernorm.weight", "attn_k_norm.weight"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"self_attn.gate_proj.weight", "attn_gate.weight"},
};

/* "model.layers.3.X" -> "blk.3.Y"; other names are taken as they are. */
static void canonical(const char *name, char *out, size_t cap) {
    int layer, at = 0;
    (void)snprintf(out, cap, "%s", name);
    if (strcmp(name, "model.embedding_norm.weight") == 0)
        (void)snprintf(out, cap, "output_norm.weight");
    if (sscanf(name, "model.layers.%d.%n", &layer, &at) != 1 || at == 0) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name + at, names[i][0]) == 0) {
            (void)snprintf(out, cap, "blk.%d.%s", layer, names[i][1]);
            return;
        }
    fail_msg("%s: no name for it", name);
}

static void close_file(void *file) {
    safetensors *f = file;
    safetensors_close(&f);
}

static void add_file(stage *s, const char *checkpoint) {
    char path[512], name[128];
    safetensors *file = NULL;
    (void)snprintf(path, sizeof path, "%s/layers/%s/model.safetensors", TEST_DATA, checkpoint);
    if (safetensors_open(path, &file, &s->error) != RNL_OK) fail_msg("%s", s->error.text);
    assert_int_equal(weights_own(s->w, file, close_file), RNL_OK);
    for (size_t i = 0; i < safetensors_tensor_count(file); i++) {
        tensor t = *safetensors_tensor(file, i);
        canonical(t.name, name, sizeof name);
        t.name = name;
        if (weights_add(s->w, &t, path, &s->error) != RNL_OK) fail_msg("%s", s->error.text);
    }
}

/* 'c' convolution, 's' sliding, 'f' full attention, of which half the pairs turn. */
static void make_config(stack_config *c, const char *pattern, int taps) {
    *c = (stack_config){.width = WIDTH, .layer_count = (int)strlen(pattern), .eps = 1e-5f};
    for (int i = 0; i < c->layer_count; i++) {
        const bool full = pattern[i] == 'f';
        c->layers[i] = (stack_layer_config){
            .kinds = {pattern[i] == 'c' ? &stack_convolution : &stack_attention, &stack_dense},
            .head_count = HEADS,
            .kv_head_count = KV_HEADS,
            .head_width = HEAD_WIDTH,
            .window = full ? 0 : WINDOW,
            .rotary = {.base = full ? 1e6 : 1e4, .pair_count = HEAD_WIDTH / (full ? 4 : 2)},
            .taps = taps,
            .ff_width = FF};
    }
}

static void run(stage *s, const stack_weights *w, const float *in, int batch, float *out) {
    stack_state state;
    stack_work work;
    stage_clear(s);
    stack_state_layout(&state, w, w->cache, POSITIONS, batch, &s->kept, &s->kept);
    stack_work_layout(&work, w, batch, POSITIONS, 2, &s->scratch);
    stack_reset(&state);
    memcpy(out, in, sizeof *out * POSITIONS * WIDTH);
    for (int at = 0; at < POSITIONS; at += batch) {
        const stack_piece piece = {.state = &state,
                                   .count = POSITIONS - at < batch ? POSITIONS - at : batch};
        stack_forward(&work, &s->c, &piece, 1, out + at * WIDTH);
    }
}

static void check(const char *checkpoint, const char *pattern, int taps, double tolerance) {
    static float in[POSITIONS * WIDTH], out[POSITIONS * WIDTH], other[POSITIONS * WIDTH];
    static stack_config config;
    static stack_weights w;
    static stage s;
    char path[128];
    stage_open(&s, 2, 4 * WIDTH);
    add_file(&s, checkpoint);
    make_config(&config, pattern, taps);
    assert_int_equal(stack_check(&config, checkpoint, &s.error), RNL_OK);
    stack_load(&s.l, &config, &w);
    const matrix table = load_table(&s.l, 0, WIDTH, "model.embed_tokens.weight");
    stage_check(&s);
    (void)snprintf(path, sizeof path, "layers/%s/prompt67-ids.npy", checkpoint);
    npy ids = npy_read(path);
    assert_int_equal(ids.count, POSITIONS);
    for (int t = 0; t < POSITIONS; t++) matrix_row(&s.c, &table, ids.i[t], in + t * WIDTH);
    npy_free(&ids);
    run(&s, &w, in, POSITIONS, out);
    (void)snprintf(path, sizeof path, "layers/%s/prompt67-hidden.npy", checkpoint);
    npy want = npy_read(path);
    golden_compare(path, want.f, out, POSITIONS * WIDTH, tolerance, tolerance / 5);
    npy_free(&want);
    run(&s, &w, in, 1, other);
    assert_memory_equal(other, out, sizeof out);
    stage_close(&s);
}

static void layers_with_all_fields_meet_the_reference(void **state) {
    (void)state;
    /* Tolerances: eight times what float32 was off from float64 when the arrays were made. */
    check("tied", "ccfcscfcsc", 7, 9.3e-5);
    check("plain", "scfcsf", 3, 7.8e-5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_with_all_fields_meet_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
