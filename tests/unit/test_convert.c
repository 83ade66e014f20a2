/* Converting: which type each tensor gets, what the files are called, that nothing is lost on the
 * way and nothing stays when it is stopped. Tokens after converting: tests/api/cli.sh, goldens. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/convert.h"
#include "tests/support/rig.h"

static char folder[64], path[96];

static int setup(void **state) {
    (void)state;
    (void)strcpy(folder, "/tmp/runnel-convert-XXXXXX");
    if (mkdtemp(folder) == NULL) return 1;
    (void)snprintf(path, sizeof path, "%s/x.gguf", folder);
    return 0;
}

/* Removes everything; returns how many files there were. */
static int empty_folder(void) {
    int count = 0;
    char name[512];
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') continue;
        (void)snprintf(name, sizeof name, "%s/%s", folder, e->d_name);
        assert_int_equal(unlink(name), 0);
        count++;
    }
    closedir(d);
    return count;
}

static int teardown(void **state) {
    (void)state;
    (void)empty_folder();
    return rmdir(folder);
}

/* name NULL: every matrix as it is stored. */
static rnl_model *convert(const rnl_model *m, const char *name, bool as_set) {
    const convert_config config = {.path = path,
                                   .recipe = name != NULL ? recipe_find(name) : NULL,
                                   .as_set = as_set,
                                   .thread_count = 2};
    assert_true(name == NULL || config.recipe != NULL);
    rnl_error error = {0};
    if (convert_model(m, &config, &error) != RNL_OK) fail_msg("%s", error.text);
    return rig_model(path);
}

/* Kept as stored, every matrix of bundle and set has the bytes of the source. */
static void keeping_loses_nothing(void **state) {
    (void)state;
    rnl_model *m = rig_model("gguf/tiny-Q4_0.gguf");
    for (int as_set = 0; as_set < 2; as_set++) {
        rnl_model *copy = convert(m, NULL, as_set == 1);
        size_t compared = 0;
        for (size_t i = 0; i < weights_count(m->source.w); i++) {
            const tensor *a = weights_at(m->source.w, i),
                         *b = weights_find(copy->source.w, a->name);
            /* Tied heads are copies of the embeddings, which are there. */
            if (b == NULL && strstr(a->name, "to_logits") != NULL) continue;
            assert_non_null(b);
            if (a->type != b->type) continue; /* a vector in float32 now */
            assert_int_equal(a->size, b->size);
            assert_memory_equal(a->data, b->data, a->size);
            compared++;
        }
        assert_true(compared > 150);
        rnl_model_close(&copy);
        assert_int_equal(empty_folder(), as_set == 1 ? 4 : 1);
    }
    rnl_model_close(&m);
}

static quant_type type_of(const rnl_model *m, const char *name) {
    const tensor *t = weights_find(m->source.w, name);
    if (t == NULL) fail_msg("no tensor %s", name);
    return t->type;
}

/* The matrices take the type, everything that is no matrix of weights stays float32, the head is at
 * least of 8 bits where rows are shorter than a block of 256 (they are, in tiny). */
static void every_type_opens_again(void **state) {
    (void)state;
    const char *const vectors[] = {"blk.0.attn_norm.weight",
                                   "blk.0.shortconv.conv.weight",
                                   "a.blk.0.conv_dw.weight",
                                   "a.blk.0.pos_bias_u",
                                   "a.blk.0.attn_q.bias",
                                   "a.conv1d.0.weight",
                                   "depth_embeddings.0.embedding_norm.weight"};
    const char *const matrices[] = {"blk.0.ffn_up.weight",   "blk.0.shortconv.in_proj.weight",
                                    "a.blk.0.attn_q.weight", "mm.a.mlp.1.weight",
                                    "depth_linear.weight",   "detok.blk.0.ffn_up.weight"};
    const struct {
        const char *name;
        quant_type base, head;
    } rows[] = {{"f32", QUANT_F32, QUANT_F32},
                {"f16", QUANT_F16, QUANT_F16},
                {"bf16", QUANT_BF16, QUANT_BF16},
                {"q8_0", QUANT_Q8_0, QUANT_Q8_0},
                {"q4_0", QUANT_Q4_0, QUANT_Q8_0}};
    rnl_model *m = rig_model("tiny");
    size_t before = SIZE_MAX;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rnl_model *copy = convert(m, rows[i].name, false);
        for (size_t k = 0; k < sizeof vectors / sizeof *vectors; k++)
            assert_int_equal(type_of(copy, vectors[k]), QUANT_F32);
        for (size_t k = 0; k < sizeof matrices / sizeof *matrices; k++)
            assert_int_equal(type_of(copy, matrices[k]), rows[i].base);
        assert_int_equal(type_of(copy, "token_embd.weight"), rows[i].head);
        assert_true(copy->weight_size <= before);
        before = copy->weight_size;
        for (int mode = 0; mode < RNL_MODE_COUNT; mode++)
            assert_true(rnl_model_can(copy, (rnl_mode)mode));
        rnl_model_close(&copy);
        assert_int_equal(empty_folder(), 1);
    }
    rnl_model_close(&m);
}

typedef struct watcher {
    int begun, calls, stop_at;
    size_t done, total;
} watcher;

static void on_opened(void *context, const char *temporary) {
    watcher *w = context;
    assert_int_equal(access(temporary, F_OK), 0);
    w->begun++;
}

static bool on_progress(void *context, size_t done, size_t total) {
    watcher *w = context;
    assert_true(done >= w->done && done <= total);
    w->done = done;
    w->total = total;
    return ++w->calls != w->stop_at;
}

static void progress_grows_and_may_stop(void **state) {
    (void)state;
    rnl_model *m = rig_model("gguf/tiny-F16.gguf");
    watcher w = {0};
    const convert_config config = {.path = path,
                                   .as_set = true,
                                   .recipe = recipe_find("q8_0"),
                                   .thread_count = 1,
                                   .progress = on_progress,
                                   .opened = on_opened,
                                   .progress_context = &w};
    rnl_error error = {0};
    assert_int_equal(convert_model(m, &config, &error), RNL_OK);
    assert_int_equal(w.begun, 4);
    assert_int_equal(w.done, w.total);
    assert_int_equal(empty_folder(), 4);
    const int calls = w.calls;
    for (int at = 1; at <= calls; at += calls / 7) {
        w = (watcher){.stop_at = at};
        assert_int_equal(convert_model(m, &config, &error), RNL_ERR_STATE);
        assert_int_equal(w.calls, at);
        assert_int_equal(empty_folder(), 0);
    }
    rnl_model_close(&m);
}

static void a_target_without_folder_is_told(void **state) {
    (void)state;
    rnl_model *m = rig_model("gguf/tiny-F16.gguf");
    const convert_config config = {.path = "/nowhere/at/all.gguf", .thread_count = 1};
    rnl_error error = {0};
    assert_int_equal(convert_model(m, &config, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "/nowhere/at/all.gguf"));
    rnl_model_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeping_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(every_type_opens_again, setup, teardown),
        cmocka_unit_test_setup_teardown(progress_grows_and_may_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(a_target_without_folder_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
