/* Models that are strangers' input (hostile.md): cut at 200 places and changed in 2,000 bytes, each
 * must open and run, or be refused with a sentence. Nothing may crash; the sanitizers watch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/gguf_inner.h"
#include "core/random.h"
#include "tests/support/prompt.h"
#include "tests/support/rig.h"

static char folder[] = "/tmp/runnel-hostile-XXXXXX";

/* Damage is looked for by the address sanitizer: it gets all of it. */
#if defined(__SANITIZE_ADDRESS__)
enum { ALL_ALWAYS = 1 };
#else
enum { ALL_ALWAYS = 0 };
#endif

static int rounds(int all, int few) {
    return ALL_ALWAYS || rig_rounds(all) == all ? all : few;
}

typedef struct blob {
    unsigned char *data;
    size_t size;
} blob;

static int setup(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int teardown(void **state) {
    (void)state;
    char command[256];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static blob read_blob(const char *path) {
    char full[1024];
    (void)snprintf(full, sizeof full, "%s/%s", TEST_DATA, path);
    FILE *f = fopen(full, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    blob b = {.size = (size_t)ftell(f)};
    rewind(f);
    b.data = malloc(b.size);
    assert_non_null(b.data);
    assert_int_equal(fread(b.data, 1, b.size, f), b.size);
    fclose(f);
    return b;
}

static void write_blob(const char *path, const unsigned char *data, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* A few steps of every kind of work that the model claims to do. Errors are fine. */
static void exercise(rnl_model *model) {
    rnl_session_config config = rnl_session_config_default();
    config.context_cap = 128;
    config.clip_seconds_max = 1;
    config.thread_count = 1;
    config.memory_size_max = (size_t)256 << 20;
    rnl_session *s = NULL;
    rnl_error error = {0};
    if (rnl_session_create(model, &config, &s, &error) != RNL_OK) {
        assert_true(error.text[0] != '\0');
        return;
    }
    const int32_t ids[] = {0, 1, 2};
    float logits[3 * 256];
    if (backbone_vocab_count(&model->backbone) <= 256) prompt_run(s, ids, 3, 2, logits);
    rnl_session_reset(s);
    static const float tone[4000] = {0.1f, -0.1f, 0.2f};
    rnl_turn_config turn = rnl_turn_config_default(
        model, rnl_model_can(model, RNL_MODE_INTERLEAVED) ? RNL_MODE_INTERLEAVED : RNL_MODE_TEXT);
    turn.step_max = 8;
    (void)!rnl_session_add_text(s, RNL_ROLE_USER, "hello", 5, &error);
    (void)!rnl_session_add_audio(s, tone, 4000, 16000, &error);
    if (rnl_session_begin(s, &turn, &error) == RNL_OK)
        for (int i = 0; i < 20; i++)
            if (rnl_session_step(s, &error) < 0) break;
    rnl_session_destroy(&s);
}

/* Opens what lies at path; true when it was taken. */
static bool try_model(const char *path, const char *what) {
    rnl_model *model = NULL;
    rnl_error error = {0};
    const rnl_status status = rnl_model_open(path, NULL, &model, &error);
    if (status == RNL_OK) {
        exercise(model);
        rnl_model_close(&model);
        return true;
    }
    assert_null(model);
    if (error.text[0] == '\0' || strstr(error.text, folder) == NULL)
        fail_msg("%s: the sentence '%s' names no file", what, error.text);
    return false;
}

static void cut(const char *path, const char *model, const blob *b) {
    const int count = rounds(200, 20);
    int taken = 0;
    for (int i = 0; i < count; i++) {
        char what[64];
        /* Half of the cuts within the header, where the lies are. */
        const size_t span = i % 2 == 0 && b->size > 40000 ? 40000 : b->size;
        const size_t size = span * (size_t)i / (size_t)count;
        (void)snprintf(what, sizeof what, "cut at %zu", size);
        write_blob(path, b->data, size);
        taken += try_model(model, what);
    }
    printf("%s: %d cuts, %d taken\n", path + strlen(folder) + 1, count, taken);
    assert_int_equal(taken, 0);
}

static void flip(const char *path, const char *model, blob *b, size_t header, int long_count) {
    const int count = rounds(long_count, 60);
    int taken = 0;
    random_state r;
    random_seed(&r, 20261124);
    for (int i = 0; i < count; i++) {
        char what[64];
        const size_t span = i % 2 == 0 && header < b->size ? header : b->size;
        const size_t at = (size_t)(random_unit(&r) * (double)span);
        const unsigned char before = b->data[at];
        b->data[at] ^= (unsigned char)(1 + random_u64(&r) % 255);
        (void)snprintf(what, sizeof what, "seed 20261124, flip %d at %zu", i, at);
        write_blob(path, b->data, b->size);
        taken += try_model(model, what);
        b->data[at] = before;
    }
    write_blob(path, b->data, b->size);
    printf("%s: %d flips, %d taken\n", path + strlen(folder) + 1, count, taken);
}

static void damaged_gguf_files(void **state) {
    (void)state;
    char path[512];
    blob b = read_blob("gguf/tiny-Q4_0.gguf"); /* alone: a text model */
    (void)snprintf(path, sizeof path, "%s/model.gguf", folder);
    cut(path, path, &b);
    flip(path, path, &b, 60000, 1000);
    free(b.data);
}

static void damaged_parts_of_a_set(void **state) {
    (void)state;
    const char *const parts[] = {"mmproj-", "tokenizer-"}, *const whole[] = {"vocoder-", ""};
    char path[512], main_path[512], from[128];
    blob b;
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(from, sizeof from, "gguf/%stiny-Q4_0.gguf", whole[i]);
        b = read_blob(from);
        (void)snprintf(main_path, sizeof main_path, "%s/%sset.gguf", folder, whole[i]);
        write_blob(main_path, b.data, b.size);
        free(b.data);
    }
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(from, sizeof from, "gguf/%stiny-Q4_0.gguf", parts[i]);
        b = read_blob(from);
        (void)snprintf(path, sizeof path, "%s/%sset.gguf", folder, parts[i]);
        if (i == 1) { /* without a detokenizer the encoder alone was tried */
            write_blob(path, b.data, b.size);
            assert_true(try_model(main_path, "the whole set"));
        }
        flip(path, main_path, &b, 12000, 250);
        free(b.data);
    }
}

static void damaged_folders(void **state) {
    (void)state;
    const char *const names[] = {"config.json", "model.safetensors", "tokenizer.json"};
    char path[512];
    blob b[3];
    for (size_t i = 0; i < 3; i++) {
        char from[128];
        (void)snprintf(from, sizeof from, i == 2 ? "tiny/%s" : "dense/tied/%s", names[i]);
        b[i] = read_blob(from);
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (i < 2) write_blob(path, b[i].data, b[i].size);
    }
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        flip(path, folder, &b[i], i == 0 ? b[i].size : 6000, 400);
        cut(path, folder, &b[i]);
        write_blob(path, b[i].data, b[i].size);
    }
    for (size_t i = 0; i < 3; i++) free(b[i].data);
}

static void damaged_experts(void **state) {
    (void)state;
    char path[512], config[512];
    blob b = read_blob("moe/moe-Q4_0.gguf"), c = read_blob("moe/fused/config.json");
    (void)snprintf(path, sizeof path, "%s/experts.gguf", folder);
    cut(path, path, &b);
    flip(path, path, &b, 8000, 200);
    free(b.data);
    b = read_blob("moe/fused/model.safetensors");
    (void)snprintf(config, sizeof config, "%s/config.json", folder);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    write_blob(path, b.data, b.size);
    flip(config, folder, &c, c.size, 100);
    flip(path, folder, &b, 4000, 100);
    free(b.data);
    free(c.data);
}

/* The same damage that no header shows: the file opens, and is refused when it computes. */
static void weights_that_are_not_numbers(void **state) {
    (void)state;
    const char *const norms[] = {"token_embd_norm.weight", "blk.2.attn_norm.weight",
                                 "blk.0.shortconv.conv.weight"};
    char path[512];
    (void)snprintf(path, sizeof path, "%s/nan.gguf", folder);
    blob b = read_blob("gguf/tiny-F16.gguf");
    gguf *g = NULL;
    assert_int_equal(gguf_open(TEST_DATA "/gguf/tiny-F16.gguf", &g, NULL), RNL_OK);
    for (size_t i = 0; i < 3; i++) {
        const tensor *t = NULL;
        for (size_t k = 0; k < gguf_tensor_count(g) && t == NULL; k++)
            if (strcmp(gguf_tensor(g, k)->name, norms[i]) == 0) t = gguf_tensor(g, k);
        assert_non_null(t);
        const size_t at = (size_t)(t->data - g->file.data);
        memset(b.data + at, 0xff, t->size); /* NaN */
        write_blob(path, b.data, b.size);
        memcpy(b.data + at, t->data, t->size);
        rnl_model *model = rig_model(path);
        rnl_session *s = rig_session(model, 1);
        rnl_error error = {0};
        rig_text(s, RNL_ROLE_USER, "hello");
        rig_begin(s, RNL_MODE_TEXT, 8);
        rnl_status status;
        do status = rnl_session_step(s, &error);
        while (status == RNL_OK);
        assert_int_equal(status, RNL_ERR_FORMAT);
        assert_non_null(strstr(error.text, path));
        assert_non_null(strstr(error.text, "not numbers"));
        assert_int_equal(rnl_session_step(s, &error), RNL_ERR_STATE);
        rnl_session_destroy(&s);
        rnl_model_close(&model);
    }
    gguf_close(&g);
    free(b.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_gguf_files),
        cmocka_unit_test(damaged_parts_of_a_set),
        cmocka_unit_test(damaged_folders),
        cmocka_unit_test(damaged_experts),
        cmocka_unit_test(weights_that_are_not_numbers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
