/* Operators of searched stacks against the reference, as the engine runs them: linear attention of
 * both kinds and state spaces, on every level of kernels and with any cut of the rows. Windows:
 * test_stack_fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/convert.h"
#include "engine/source.h"
#include "stack/kind.h"
#include "stack/stack_lists.h"
#include "tests/support/folder.h"
#include "tests/support/golden.h"
#include "tests/support/npy.h"
#include "tests/support/operators.h"
#include "tests/support/prompt.h"
#include "tests/support/rig.h"
#include "tests/support/stage.h"

enum { FF = 8 };

static const float zeros[64 * 64];

static void add(stage *s, const char *name, const float *data, int rank, const int64_t *shape) {
    size_t count = 1;
    tensor t = {.name = name, .data = (const unsigned char *)data, .type = QUANT_F32, .rank = rank};
    for (int i = 0; i < TENSOR_RANK_CAP; i++) t.shape[i] = i < rank ? shape[i] : 1;
    for (int i = 0; i < rank; i++) count *= (size_t)shape[i];
    t.size = count * sizeof *data;
    if (weights_add(s->w, &t, "golden", &s->error) != RNL_OK) fail_msg("%s", s->error.text);
}

/* The golden's weights under canonical names, by way of the names of Hugging Face files, and a
 * feed-forward part that adds nothing. */
static void add_weights(stage *s, const operator_golden *o, const char *module, int64_t width) {
    for (size_t i = 0; i < safetensors_tensor_count(o->in); i++) {
        tensor t = *safetensors_tensor(o->in, i);
        char file[128], name[128];
        if (strncmp(t.name, "w.", 2) != 0) continue;
        (void)snprintf(file, sizeof file, "model.layers.0.%s.%s", module, t.name + 2);
        assert_true(source_hf_name(HF_MAIN, file, name, sizeof name));
        t.name = name;
        if (weights_add(s->w, &t, "golden", &s->error) != RNL_OK) fail_msg("%s", s->error.text);
    }
    assert_true(width <= 64);
    add(s, "blk.0.attn_norm.weight", zeros, 1, &width);
    add(s, "blk.0.ffn_norm.weight", zeros, 1, &width);
    add(s, "output_norm.weight", zeros, 1, &width);
    add(s, "blk.0.ffn_gate.weight", zeros, 2, (const int64_t[]){FF, width});
    add(s, "blk.0.ffn_up.weight", zeros, 2, (const int64_t[]){FF, width});
    add(s, "blk.0.ffn_down.weight", zeros, 2, (const int64_t[]){width, FF});
}

/* The operator alone: its input is what a norm would have given it. */
static void run(stage *s, const stack_weights *w, const float *in, int count, int batch,
                float *out) {
    const size_t width = (size_t)w->config.width;
    stack_state state;
    stack_work work;
    stage_clear(s);
    stack_state_layout(&state, w, w->cache, count, batch, &s->kept, &s->kept);
    stack_work_layout(&work, w, batch, count, 2, &s->scratch);
    stack_reset(&state);
    memset(out, 0, (size_t)count * width * sizeof *out);
    for (int at = 0; at < count; at += batch) {
        const stack_piece piece = {.state = &state,
                                   .count = count - at < batch ? count - at : batch};
        const stack_pass p = {.work = &work,
                              .c = &s->c,
                              .pieces = &piece,
                              .piece_count = 1,
                              .row_count = piece.count};
        stack_forward_begin(&work, &piece, 1);
        memcpy(work.normed, in + (size_t)at * width, (size_t)piece.count * width * sizeof *in);
        w->layers[0].parts[STACK_OPERATOR].kind->forward(&p, 0, out + (size_t)at * width);
        state.position += piece.count;
    }
}

static void check(const char *name, const stack_layer_config *layer, const char *module) {
    static stack_config config;
    static stack_weights w;
    operator_golden o = operator_open(name);
    int64_t shape[TENSOR_RANK_CAP];
    const float *in = operator_in(&o, "x", shape);
    const size_t cells = (size_t)shape[0] * (size_t)shape[1];
    float *y = malloc(cells * sizeof *y), *cut = malloc(cells * sizeof *cut);
    stage s;
    stage_open(&s, 2, 256);
    config = (stack_config){.width = (int)shape[1], .layer_count = 1, .eps = 1e-5f};
    config.layers[0] = *layer;
    config.layers[0].head_width = config.width / layer->head_count;
    add_weights(&s, &o, module, shape[1]);
    if (stack_check(&config, name, &s.error) != RNL_OK) fail_msg("%s", s.error.text);
    stack_load(&s.l, &config, &w);
    stage_check(&s);
    for (int level = 0; kernels_level_names[level] != NULL; level++) {
        unsigned features;
        if (!kernels_level(kernels_level_names[level], kernels_cpu_features(), &features)) continue;
        if ((features & KERNELS_CPU_ROUNDS) != 0) continue;
        kernels_select(&s.k, features);
        printf("%s: ", s.k.name);
        run(&s, &w, in, o.count, o.count, y);
        operator_check(&o, "y", y, cells);
        for (int batch = 1; batch < o.count; batch = 2 * batch + 3) {
            run(&s, &w, in, o.count, batch, cut);
            assert_memory_equal(cut, y, cells * sizeof *y);
        }
    }
    stage_close(&s);
    operator_close(&o);
    free(y);
    free(cut);
}

static void linear_attention_of_sums(void **state) {
    (void)state;
    const stack_layer_config l = {.kinds = {&stack_linear_attention, &stack_dense},
                                  .head_count = 3,
                                  .linear = STACK_LINEAR_SUM};
    check("linattn-sum", &l, "self_attn");
}

static void linear_attention_that_forgets(void **state) {
    (void)state;
    const stack_layer_config l = {.kinds = {&stack_linear_attention, &stack_dense},
                                  .head_count = 3,
                                  .linear = STACK_LINEAR_DECAY};
    check("linattn-decay", &l, "self_attn");
}

static void state_space(void **state) {
    (void)state;
    const stack_layer_config l = {.kinds = {&stack_state_space, &stack_dense},
                                  .head_count = 3,
                                  .state_width = 8,
                                  .taps = STACK_SPACE_TAPS};
    check("ssd", &l, "ssm");
}

/* ---- All of them in one model ---- */

enum { VOCAB = 96 };

static float *logits_of(const char *path, bool exact, int step) {
    npy ids = npy_read("stack/all/ids.npy");
    rnl_model *model = exact ? rig_model(path) : rig_model_fast(path);
    rnl_session *s = rig_session(model, 2);
    float *logits = malloc(ids.count * VOCAB * sizeof *logits);
    assert_int_equal(backbone_vocab_count(&model->backbone), VOCAB);
    prompt_run(s, ids.i, (int)ids.count, step, logits);
    rnl_session_destroy(&s);
    rnl_model_close(&model);
    npy_free(&ids);
    return logits;
}

static void a_stack_of_all_is_the_reference(void **state) {
    (void)state;
    npy want = npy_read("stack/all/logits.npy");
    float *got = logits_of("stack/all", true, 64);
    golden_compare("stack/all", want.f, got, want.count, 1e-4, 1e-5);
    for (int step = 1; step < 20; step = 2 * step + 1) { /* of a prefill, of a decision */
        float *cut = logits_of("stack/all", true, step);
        assert_memory_equal(cut, got, want.count * sizeof *got);
        free(cut);
    }
    free(got);
    npy_free(&want);
}

/* A bundle and a set have its keys and its bits; what is quantised is near. */
static void converted_it_is_the_same(void **state) {
    const folder *f = *state;
    char path[PATH_CAP];
    rnl_error error = {0};
    npy want = npy_read("stack/all/logits.npy");
    float *first = logits_of("stack/all", true, 64);
    for (int as_set = 0; as_set < 2; as_set++) {
        rnl_model *model = rig_model("stack/all");
        name_in(f, as_set == 1 ? "set.gguf" : "bundle.gguf", path);
        const convert_config config = {.path = path, .thread_count = 2, .as_set = as_set == 1};
        if (convert_model(model, &config, &error) != RNL_OK) fail_msg("%s", error.text);
        rnl_model_close(&model);
        float *got = logits_of(path, true, 64);
        assert_memory_equal(got, first, want.count * sizeof *got);
        free(got);
    }
    rnl_model *model = rig_model("stack/all");
    name_in(f, "q8.gguf", path);
    const convert_config config = {
        .path = path, .thread_count = 2, .recipe = recipe_find("q8_0"), .packs = true};
    if (convert_model(model, &config, &error) != RNL_OK) fail_msg("%s", error.text);
    rnl_model_close(&model);
    float *got = logits_of(path, false, 64), *one = logits_of(path, false, 1);
    golden_compare("stack/all, Q8_0", want.f, got, want.count, 1, 0.1);
    assert_memory_equal(one, got, want.count * sizeof *got);
    free(got);
    free(one);
    free(first);
    npy_free(&want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_attention_of_sums),
        cmocka_unit_test(linear_attention_that_forgets),
        cmocka_unit_test(state_space),
        cmocka_unit_test(a_stack_of_all_is_the_reference),
        IN_FOLDER(converted_it_is_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
