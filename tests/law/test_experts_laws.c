/* The laws of experts in quantised models as people open them, packed: any cut of a prompt, any
 * threads, any neighbours in a pass, and the same from a packed bundle: never another bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "engine/convert.h"
#include "engine/session.h"
#include "tests/support/folder.h"
#include "tests/support/rig.h"

enum { POSITIONS = 120, WIDTH_CAP = 256, STATES = 3 };

static const char *const models[] = {"moe/moe-Q4_0.gguf", "moe/moe-Q4_K.gguf"};

static float x[POSITIONS * WIDTH_CAP], want[POSITIONS * WIDTH_CAP], got[POSITIONS * WIDTH_CAP];

/* Embeddings of made-up ids. */
static void fill(const rnl_session *s, float *out, int count, uint64_t seed) {
    random_state random;
    random_seed(&random, seed);
    const backbone_weights *w = &s->model->backbone;
    for (int t = 0; t < count; t++)
        backbone_embed_text(w, &s->pass->compute,
                            (int32_t)(random_unit(&random) * backbone_vocab_count(w)),
                            out + t * backbone_width(w));
}

/* From fresh, in passes of at most `step` rows. */
static void run(rnl_session *s, const float *in, float *out, int count, int step) {
    const int width = backbone_width(&s->model->backbone);
    stack_state *state = &s->live->backbone;
    stack_reset(state);
    memcpy(out, in, sizeof *out * (size_t)(count * width));
    for (int at = 0; at < count; at += step) {
        const stack_piece piece = {state, count - at < step ? count - at : step};
        stack_forward(&s->pass->backbone, &s->pass->compute, &piece, 1, out + at * width);
    }
}

static size_t size_of(const rnl_session *s) {
    return sizeof(float) * POSITIONS * (size_t)backbone_width(&s->model->backbone);
}

static void any_cut_and_any_threads_give_the_same_bits(void **state) {
    (void)state;
    static const int steps[] = {1, 2, 3, 5, 17, 64, 120};
    for (int m = 0; m < 2; m++) {
        rnl_model *model = rig_model_fast(models[m]);
        for (int threads = 1; threads <= 3; threads++) {
            rnl_session *s = rig_session(model, threads);
            fill(s, x, POSITIONS, 1);
            if (threads == 1) run(s, x, want, POSITIONS, 128);
            for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
                run(s, x, got, POSITIONS, steps[i]);
                if (memcmp(got, want, size_of(s)) != 0)
                    fail_msg("%s, %d threads: passes of %d differ", models[m], threads, steps[i]);
            }
            rnl_session_destroy(&s);
        }
        rnl_model_close(&model);
    }
}

/* Rows of several states in one pass. */
static void neighbours_change_no_bit(void **state) {
    (void)state;
    enum { ROWS = 30 };
    for (int m = 0; m < 2; m++) {
        rnl_model *model = rig_model_fast(models[m]);
        const int width = backbone_width(&model->backbone);
        rnl_session *s[STATES];
        stack_piece pieces[STATES];
        for (int i = 0; i < STATES; i++) {
            s[i] = rig_session(model, 2);
            fill(s[i], x + i * ROWS * width, ROWS, 10 + (uint64_t)i);
            run(s[i], x + i * ROWS * width, want + i * ROWS * width, ROWS, ROWS);
            stack_reset(&s[i]->live->backbone);
            pieces[i] = (stack_piece){&s[i]->live->backbone, ROWS};
        }
        stack_forward(&s[0]->pass->backbone, &s[0]->pass->compute, pieces, STATES, x);
        assert_memory_equal(x, want, sizeof *x * (size_t)(STATES * ROWS * width));
        for (int i = 0; i < STATES; i++) rnl_session_destroy(&s[i]);
        rnl_model_close(&model);
    }
}

static rnl_model *through_file(const char *from, const char *path, bool packs, bool as_set,
                               bool fast) {
    rnl_model *model = rig_model(from);
    const convert_config config = {
        .path = path, .packs = packs, .as_set = as_set, .thread_count = 2};
    rnl_error error = {0};
    if (convert_model(model, &config, &error) != RNL_OK) fail_msg("%s", error.text);
    rnl_model_close(&model);
    return fast ? rig_model_fast(path) : rig_model(path);
}

static void assert_same_rows(rnl_model *a, rnl_model *b, const char *what) {
    rnl_model *const both[] = {a, b};
    for (int i = 0; i < 2; i++) {
        rnl_session *s = rig_session(both[i], 2);
        fill(s, x, POSITIONS, 1);
        run(s, x, i == 0 ? want : got, POSITIONS, 64);
        if (i == 1 && memcmp(got, want, size_of(s)) != 0) fail_msg("%s: other bits", what);
        rnl_session_destroy(&s);
    }
    rnl_model_close(&a);
    rnl_model_close(&b);
}

static void what_is_converted_gives_the_same_bits(void **state) {
    const folder *f = *state;
    static const struct {
        const char *model;
        bool packs, as_set, fast;
    } ways[] = {{"moe/moe-Q4_0.gguf", true, false, true},  {"moe/moe-Q4_K.gguf", true, false, true},
                {"moe/moe-Q4_K.gguf", true, false, false}, {"moe/moe-Q4_K.gguf", false, true, true},
                {"moe/fused", false, true, false},         {"moe/scaled", false, false, false},
                {"moe/plain", false, true, false}};
    char path[PATH_CAP];
    name_in(f, "m.gguf", path);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        rnl_model *model =
            through_file(ways[i].model, path, ways[i].packs, ways[i].as_set, ways[i].fast);
        assert_same_rows(ways[i].fast ? rig_model_fast(ways[i].model) : rig_model(ways[i].model),
                         model, ways[i].model);
    }
}

static void a_session_prefills_512_positions_in_a_step(void **state) {
    (void)state;
    rnl_model *experts = rig_model_fast(models[0]), *dense = rig_model("dense/tied");
    assert_int_equal(rnl_session_config_for(experts).step_positions, 512);
    assert_int_equal(rnl_session_config_for(dense).step_positions,
                     rnl_session_config_default().step_positions);
    rnl_session *s = NULL;
    assert_int_equal(rnl_session_create(experts, NULL, &s, NULL), RNL_OK);
    assert_int_equal(s->config.step_positions, 512);
    rnl_session_destroy(&s);
    rnl_model_close(&experts);
    rnl_model_close(&dense);
}

typedef struct told {
    size_t done, total;
    int count;
} told;

static void on_progress(void *context, size_t done, size_t total) {
    told *t = context;
    assert_true(done > t->done && done <= total && (t->count == 0 || total == t->total));
    *t = (told){done, total, t->count + 1};
}

/* Each packed tensor is told, the last one as the whole; what is mapped packed tells nothing. */
static void packing_tells_how_far_it_is(void **state) {
    const folder *f = *state;
    told t = {0};
    rnl_model_config config = rnl_model_config_default();
    config.progress = on_progress;
    config.progress_context = &t;
    rnl_model *model = NULL;
    assert_int_equal(rnl_model_open(TEST_DATA "/moe/moe-Q4_0.gguf", &config, &model, NULL), RNL_OK);
    assert_true(t.count > 6 && t.done == t.total);
    rnl_model_close(&model);
    char path[PATH_CAP];
    name_in(f, "m.gguf", path);
    model = through_file(models[0], path, true, false, true);
    rnl_model_close(&model);
    t = (told){0};
    assert_int_equal(rnl_model_open(path, &config, &model, NULL), RNL_OK);
    assert_int_equal(t.count, 0);
    rnl_model_close(&model);
}

static bool has_text(const gguf *g, const char *key, const char *text) {
    const char *value;
    size_t size;
    return gguf_string(g, key, &value, &size) && size == strlen(text) &&
           memcmp(value, text, size) == 0;
}

/* Keys and types of a set's main file are those that it was made from, so that llama.cpp, which
 * loads the one, loads the other. */
static void a_set_has_the_keys_of_its_source(void **state) {
    const folder *f = *state;
    static const char *const numbers[] = {
        "block_count",        "embedding_length",     "feed_forward_length",
        "expert_count",       "expert_used_count",    "expert_feed_forward_length",
        "expert_gating_func", "attention.head_count", "leading_dense_block_count",
        "shortconv.l_cache"};
    char path[PATH_CAP], key[64];
    name_in(f, "m.gguf", path);
    rnl_model *model = through_file(models[0], path, false, true, false);
    rnl_model_close(&model);
    gguf *from = NULL, *to = NULL;
    assert_int_equal(gguf_open(TEST_DATA "/moe/moe-Q4_0.gguf", &from, NULL), RNL_OK);
    assert_int_equal(gguf_open(path, &to, NULL), RNL_OK);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int64_t a, b;
        (void)snprintf(key, sizeof key, "lfm2moe.%s", numbers[i]);
        assert_true(gguf_int(from, key, 0, INT32_MAX, &a) && gguf_int(to, key, 0, INT32_MAX, &b));
        assert_int_equal(a, b);
    }
    assert_true(has_text(to, "general.architecture", "lfm2moe"));
    assert_true(has_text(to, "tokenizer.ggml.model", "none"));
    assert_int_equal(gguf_tensor_count(from), gguf_tensor_count(to));
    for (size_t i = 0; i < gguf_tensor_count(from); i++) {
        const tensor *a = gguf_tensor(from, i), *b = NULL;
        for (size_t k = 0; k < gguf_tensor_count(to) && b == NULL; k++)
            if (strcmp(gguf_tensor(to, k)->name, a->name) == 0) b = gguf_tensor(to, k);
        assert_non_null(b);
        assert_int_equal(a->type, b->type);
        assert_int_equal(a->rank, b->rank);
        assert_memory_equal(a->shape, b->shape, sizeof a->shape);
        assert_memory_equal(a->data, b->data, a->size);
    }
    gguf_close(&from);
    gguf_close(&to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_and_any_threads_give_the_same_bits),
        cmocka_unit_test(neighbours_change_no_bit),
        IN_FOLDER(what_is_converted_gives_the_same_bits),
        IN_FOLDER(a_set_has_the_keys_of_its_source),
        cmocka_unit_test(a_session_prefills_512_positions_in_a_step),
        IN_FOLDER(packing_tells_how_far_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
