/* engine/lora*.c: adapters of strangers, as PEFT folders and GGUF files. What is read, what each is
 * refused for, and that writing loses nothing. engine/adapters.c: whether one fits a model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/adapters.h"
#include "engine/model.h"
#include "tests/support/adapter.h"
#include "tests/support/folder.h"
#include "tests/support/rig.h"

#define GOLDEN_FOLDER TEST_DATA "/lora/adapter"
#define GOLDEN_FILE TEST_DATA "/lora/adapter.gguf"

static rnl_error error;

static void read_it(const char *path, lora *out) {
    if (lora_read(path, out, &error) != RNL_OK) fail_msg("%s", error.text);
}

static const lora_tensor *find(const lora *l, const char *name) {
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->tensors[i].name, name) == 0) return &l->tensors[i];
    fail_msg("no %s", name);
    return NULL;
}

static void assert_same_half(const tensor *a, const tensor *b) {
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->rank, b->rank);
    assert_memory_equal(a->shape, b->shape, 2 * sizeof *a->shape);
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->data, b->data, a->size);
}

/* The same tensors bit for bit, and scales. */
static void assert_same(const lora *a, const lora *b) {
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const lora_tensor *t = &a->tensors[i], *other = find(b, t->name);
        assert_same_half(&t->down, &other->down);
        assert_same_half(&t->up, &other->up);
        assert_true(lora_scale(a, t) == lora_scale(b, other));
    }
}

/* ---- Both layouts ---- */

static void both_layouts_of_the_golden_are_one(void **state) {
    (void)state;
    lora peft, file;
    read_it(GOLDEN_FOLDER, &peft);
    read_it(GOLDEN_FILE, &file);
    assert_int_equal(peft.count, 24);
    assert_same(&peft, &file);
    assert_true(lora_scale(&peft, &peft.tensors[0]) == 2);
    assert_string_equal(peft.base, "../text");
    assert_string_equal(file.architecture, "lfm2");
    assert_int_equal(lora_rank(find(&peft, "blk.1.attn_k.weight")), 4);
    assert_true(lora_is_one(GOLDEN_FOLDER) && lora_is_one(GOLDEN_FILE));
    assert_false(lora_is_one(TEST_DATA "/quality/base"));
    assert_false(lora_is_one(TEST_DATA "/gguf/tiny-Q4_0.gguf"));
    assert_false(lora_is_one("/nowhere"));
    lora_free(&peft);
    lora_free(&file);
}

static void the_way_there_and_back_changes_no_bit(void **state) {
    char path[PATH_CAP];
    lora peft, file, back;
    name_in(*state, "adapter.gguf", path);
    read_it(GOLDEN_FOLDER, &peft);
    if (lora_write_gguf(&peft, path, "lfm2", &error) != RNL_OK) fail_msg("%s", error.text);
    read_it(path, &file);
    assert_same(&peft, &file);
    if (lora_write_folder(&file, ((folder *)*state)->path, &error) != RNL_OK)
        fail_msg("%s", error.text);
    read_it(((folder *)*state)->path, &back);
    assert_same(&peft, &back);
    /* The names, too, are PEFT's. */
    for (size_t i = 0; i < peft.count; i++)
        assert_string_equal(peft.tensors[i].down.name,
                            find(&back, peft.tensors[i].name)->down.name);
    assert_string_equal(back.base, "../text");
    lora_free(&peft);
    lora_free(&file);
    lora_free(&back);
}

/* Of a model with an audio half, other ranks and alphas here and there. */
static void an_adapter_of_all_parts_comes_back(void **state) {
    const char *path = ((folder *)*state)->path;
    char file[PATH_CAP];
    lora back;
    made_adapter a;
    rnl_model *model = rig_model("tiny");
    adapter_make(model, true, 3, 1, &a);
    find(&a.lora, "depth_linear.weight");
    find(&a.lora, "mm.a.mlp.3.weight");
    find(&a.lora, "output.weight");
    find(&a.lora, "depthformer.layers.0.operator.qkv_proj.weight");
    a.lora.tensors[1].alpha = 5.5;
    a.lora.tensors[2].down.shape[0] = a.lora.tensors[2].up.shape[1] = 1; /* of what is there */
    a.lora.tensors[2].down.size /= 3;
    a.lora.tensors[2].up.size /= 3;
    for (int rslora = 0; rslora < 2; rslora++) {
        a.lora.rslora = rslora == 1;
        if (lora_write_folder(&a.lora, path, &error) != RNL_OK) fail_msg("%s", error.text);
        read_it(path, &back);
        assert_same(&a.lora, &back);
        assert_int_equal(back.rslora, a.lora.rslora);
        assert_int_equal(back.names, LORA_AUDIO);
        assert_non_null(strstr(find(&back, "blk.0.ffn_up.weight")->down.name, ".lfm.layers.0."));
        assert_int_equal(adapters_check_fit(model, &back, &error), RNL_OK);
        lora_free(&back);
    }
    /* One alpha is all that the other layout says. */
    name_in(*state, "adapter.gguf", file);
    assert_int_equal(lora_write_gguf(&a.lora, file, "lfm2", &error), RNL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "alpha"));
    assert_int_equal(entry_count(*state), 2);
    a.lora.tensors[1].alpha = a.lora.tensors[0].alpha;
    a.lora.tensors[2].alpha *= sqrt(3);
    if (lora_write_gguf(&a.lora, file, "lfm2", &error) != RNL_OK) fail_msg("%s", error.text);
    read_it(file, &back);
    assert_same(&a.lora, &back);
    assert_int_equal(back.names, LORA_AUDIO);
    lora_free(&back);
    adapter_free(&a);
    rnl_model_close(&model);
}

/* ---- Folders of strangers ---- */

typedef struct part {
    const char *name; /* "" ends them */
    quant_type type;
    int64_t rows, cols;
    float value; /* the first of its numbers, and of none of the others */
} part;

#define MODULE "base_model.model.model.layers.0.conv.in_proj"
static const part plain[] = {{MODULE ".lora_A.weight", QUANT_F32, 2, 32, 1},
                             {MODULE ".lora_B.weight", QUANT_F32, 96, 2, 1},
                             {.name = ""}};

static void write_tensors(const folder *f, const part *parts) {
    char path[PATH_CAP];
    safetensors_writer *w = NULL;
    name_in(f, "adapter_model.safetensors", path);
    assert_int_equal(safetensors_writer_create(path, &w, &error), RNL_OK);
    for (const part *p = parts; p->name[0] != '\0'; p++)
        safetensors_put_tensor(w, p->name, p->type, 2, (const int64_t[]){p->rows, p->cols});
    assert_int_equal(safetensors_writer_begin_data(w, &error), RNL_OK);
    for (const part *p = parts; p->name[0] != '\0'; p++) {
        float values[4096] = {p->value};
        const size_t size = p->type == QUANT_F32 || p->type == QUANT_I32 ? 4 : 2;
        assert_int_equal(
            safetensors_writer_data(w, values, (size_t)(p->rows * p->cols) * size, &error), RNL_OK);
    }
    if (safetensors_writer_finish(&w, &error) != RNL_OK) fail_msg("%s", error.text);
}

static void write_config(const folder *f, const char *text) {
    char path[PATH_CAP];
    name_in(f, "adapter_config.json", path);
    write_file(path, text, strlen(text));
}

#define CONFIG(more) "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4" more "}"

/* Reads the folder; it must be refused so, in a sentence that names what is wrong. */
static void assert_refused(const folder *f, rnl_status want, const char *phrase) {
    lora l;
    error.text[0] = '\0';
    const rnl_status got = lora_read(f->path, &l, &error);
    if (got == RNL_OK) fail_msg("not refused for %s", phrase);
    if (got != want || strstr(error.text, phrase) == NULL)
        fail_msg("%s: status %d, but %d and '%s' are expected", error.text, got, want, phrase);
    assert_non_null(strstr(error.text, f->path)); /* the file */
}

static const struct {
    const char *config;
    rnl_status status;
    const char *phrase;
} bad_configs[] = {
    {"[]", RNL_ERR_UNSUPPORTED, "peft_type"},
    {"{\"r\": 2, \"lora_alpha\": 4}", RNL_ERR_UNSUPPORTED, "peft_type"},
    {"{\"peft_type\": \"IA3\"}", RNL_ERR_UNSUPPORTED, "peft_type"},
    {"{\"peft_type\": \"LORA\", \"lora_alpha\": 4}", RNL_ERR_FORMAT, "r is no whole number"},
    {"{\"peft_type\": \"LORA\", \"r\": 0, \"lora_alpha\": 4}", RNL_ERR_FORMAT, "r is no whole"},
    {"{\"peft_type\": \"LORA\", \"r\": 2.5, \"lora_alpha\": 4}", RNL_ERR_FORMAT, "r is no whole"},
    {"{\"peft_type\": \"LORA\", \"r\": 2}", RNL_ERR_FORMAT, "lora_alpha"},
    {"{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 0}", RNL_ERR_FORMAT, "lora_alpha"},
    {"{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 4}", RNL_ERR_FORMAT, "has rank 2"},
    {CONFIG(", \"use_dora\": true"), RNL_ERR_UNSUPPORTED, "use_dora"},
    {CONFIG(", \"bias\": \"all\""), RNL_ERR_UNSUPPORTED, "bias"},
    {CONFIG(", \"lora_bias\": true"), RNL_ERR_UNSUPPORTED, "lora_bias"},
    {CONFIG(", \"fan_in_fan_out\": true"), RNL_ERR_UNSUPPORTED, "fan_in_fan_out"},
    {CONFIG(", \"modules_to_save\": [\"embed_tokens\"]"), RNL_ERR_UNSUPPORTED, "modules_to_save"},
    {CONFIG(", \"layer_replication\": [[0, 2]]"), RNL_ERR_UNSUPPORTED, "layer_replication"},
    {CONFIG(", \"alora_invocation_tokens\": [1]"), RNL_ERR_UNSUPPORTED, "alora"},
    {CONFIG(", \"init_lora_weights\": \"pissa\""), RNL_ERR_UNSUPPORTED, "init_lora_weights"},
    {CONFIG(", \"use_rslora\": 1"), RNL_ERR_FORMAT, "use_rslora"},
    {CONFIG(", \"target_modules\": [\"q_proj\"]"), RNL_ERR_FORMAT, "target_modules"},
    {CONFIG(", \"target_modules\": [\"n_proj\"]"), RNL_ERR_FORMAT, "target_modules"},
    {CONFIG(", \"rank_pattern\": {\"in_proj\": 3}"), RNL_ERR_FORMAT, "has rank 2"},
    {CONFIG(", \"rank_pattern\": {\"in_proj\": \"x\"}"), RNL_ERR_FORMAT, "rank_pattern"},
    {CONFIG(", \"alpha_pattern\": {\"in_proj\": -1}"), RNL_ERR_FORMAT, "alpha_pattern"},
    {"{", RNL_ERR_FORMAT, "adapter_config.json"},
};

static void folders_are_refused_for_what_they_ask(void **state) {
    const folder *f = *state;
    write_tensors(f, plain);
    for (size_t i = 0; i < sizeof bad_configs / sizeof *bad_configs; i++) {
        write_config(f, bad_configs[i].config);
        assert_refused(f, bad_configs[i].status, bad_configs[i].phrase);
    }
}

static const struct {
    const char *config;
    double scale;
} good_configs[] = {
    {CONFIG(""), 2},
    {CONFIG(", \"bias\": \"none\", \"use_dora\": null, \"fan_in_fan_out\": false, "
            "\"modules_to_save\": [], \"init_lora_weights\": true, \"unknown\": 7"),
     2},
    {CONFIG(", \"target_modules\": [\"w1\", \"conv.in_proj\"]"), 2},
    {CONFIG(", \"target_modules\": \".*_proj\""), 2},
    {CONFIG(", \"init_lora_weights\": \"gaussian\", \"alpha_pattern\": {\"in_proj\": 8}"), 4},
    {CONFIG(", \"alpha_pattern\": {\"n_proj\": 8, \"layers.0.conv.in_proj\": 6}"), 3},
    {"{\"peft_type\": \"LORA\", \"r\": 9, \"lora_alpha\": 4, \"rank_pattern\": {\"in_proj\": 2}}",
     2},
};

static void folders_are_read_as_they_mean_it(void **state) {
    const folder *f = *state;
    lora l;
    write_tensors(f, plain);
    for (size_t i = 0; i < sizeof good_configs / sizeof *good_configs; i++) {
        write_config(f, good_configs[i].config);
        read_it(f->path, &l);
        assert_int_equal(l.count, 1);
        assert_string_equal(l.tensors[0].name, "blk.0.shortconv.in_proj.weight");
        assert_true(lora_scale(&l, &l.tensors[0]) == good_configs[i].scale);
        lora_free(&l);
    }
    write_config(f, CONFIG(", \"use_rslora\": true"));
    read_it(f->path, &l);
    assert_true(fabs(lora_scale(&l, &l.tensors[0]) - 4 / sqrt(2)) < 1e-6);
    lora_free(&l);
}

#define A_OF(module) "base_model.model." module ".lora_A.weight"
#define B_OF(module) "base_model.model." module ".lora_B.weight"

static const struct {
    part parts[5];
    rnl_status status;
    const char *phrase;
} bad_tensors[] = {
    {{{.name = ""}}, RNL_ERR_FORMAT, "changes no matrix"},
    {{{MODULE ".lora_A.weight", QUANT_F32, 2, 32, 1}, {.name = ""}},
     RNL_ERR_FORMAT,
     "no other half"},
    {{{MODULE ".lora_B.weight", QUANT_F32, 96, 2, 1}, {.name = ""}},
     RNL_ERR_FORMAT,
     "no other half"},
    {{{MODULE ".lora_A.weight", QUANT_F32, 2, 32, NAN},
      {MODULE ".lora_B.weight", QUANT_F32, 96, 2, 1},
      {.name = ""}},
     RNL_ERR_FORMAT,
     "not numbers"},
    {{{MODULE ".lora_A.weight", QUANT_F32, 2, 32, 1},
      {MODULE ".lora_B.weight", QUANT_F32, 96, 2, INFINITY},
      {.name = ""}},
     RNL_ERR_FORMAT,
     "not numbers"},
    {{{MODULE ".lora_A.weight", QUANT_F32, 2, 32, 1},
      {MODULE ".lora_A.default.weight", QUANT_F32, 2, 32, 1},
      {MODULE ".lora_B.weight", QUANT_F32, 96, 2, 1},
      {.name = ""}},
     RNL_ERR_FORMAT,
     "the same half"},
    {{{MODULE ".lora_A.weight", QUANT_I32, 2, 32, 0},
      {MODULE ".lora_B.weight", QUANT_F32, 96, 2, 1},
      {.name = ""}},
     RNL_ERR_UNSUPPORTED,
     "I32"},
    {{{MODULE ".lora_magnitude_vector", QUANT_F32, 1, 96, 1}, {.name = ""}},
     RNL_ERR_UNSUPPORTED,
     "lora_magnitude_vector"},
    {{{"base_model.model.model.embed_tokens.weight", QUANT_F32, 4, 32, 1}, {.name = ""}},
     RNL_ERR_UNSUPPORTED,
     "embed_tokens"},
    {{{A_OF("model.layers.0.mlp.gate_proj"), QUANT_F32, 2, 32, 1},
      {B_OF("model.layers.0.mlp.gate_proj"), QUANT_F32, 96, 2, 1},
      {.name = ""}},
     RNL_ERR_UNSUPPORTED,
     "mlp.gate_proj"},
};

static void folders_are_refused_for_their_tensors(void **state) {
    const folder *f = *state;
    write_config(f, CONFIG(""));
    for (size_t i = 0; i < sizeof bad_tensors / sizeof *bad_tensors; i++) {
        write_tensors(f, bad_tensors[i].parts);
        assert_refused(f, bad_tensors[i].status, bad_tensors[i].phrase);
    }
    char path[PATH_CAP];
    name_in(f, "adapter_model.safetensors", path);
    assert_int_equal(remove(path), 0);
    assert_refused(f, RNL_ERR_IO, "adapter_model.safetensors");
    name_in(f, "adapter_model.bin", path);
    write_file(path, "pickle", 6);
    assert_refused(f, RNL_ERR_UNSUPPORTED, "save the adapter as safetensors");
}

/* ---- GGUF files of strangers ---- */

typedef struct key_case {
    const char *architecture, *type, *adapter;
    float alpha;
    const char *tensor; /* a further one */
    rnl_status status;
    const char *phrase;
} key_case;

static const key_case key_cases[] = {
    {"lfm2", "adapter", "lora", 4, NULL, RNL_OK, ""},
    {"lfm2", "adapter", "lora", 4, "blk.0.attn_norm.weight", RNL_OK, ""},
    {NULL, "adapter", "lora", 4, NULL, RNL_ERR_FORMAT, "general.architecture"},
    {"lfm2", "model", "lora", 4, NULL, RNL_ERR_FORMAT, "general.type"},
    {"lfm2", NULL, "lora", 4, NULL, RNL_ERR_FORMAT, "general.type"},
    {"lfm2", "adapter", "control_vector", 4, NULL, RNL_ERR_UNSUPPORTED, "adapter.type"},
    {"lfm2", "adapter", "lora", -1, NULL, RNL_ERR_FORMAT, "adapter.lora.alpha"},
    {"lfm2", "adapter", "lora", NAN, NULL, RNL_ERR_FORMAT, "adapter.lora.alpha"},
    {"lfm2", "adapter", "lora", 4, "blk.0.ffn_up.weight", RNL_ERR_UNSUPPORTED, "neither lora_a"},
    {"lfm2", "adapter", "lora", 4, "blk.0.ffn_up.weight.lora_a", RNL_ERR_FORMAT, "no other half"},
};

static void put_text(gguf_writer *w, const char *key, const char *text) {
    if (text != NULL) gguf_put_string(w, key, text, strlen(text));
}

static void write_gguf(const char *path, const key_case *c) {
    static const float values[96 * 2];
    gguf_writer *w = NULL;
    assert_int_equal(gguf_writer_create(path, &w, &error), RNL_OK);
    put_text(w, "general.architecture", c->architecture);
    put_text(w, "general.type", c->type);
    put_text(w, "adapter.type", c->adapter);
    gguf_put_f32(w, "adapter.lora.alpha", c->alpha);
    const char *name = "blk.0.shortconv.in_proj.weight";
    char half[64];
    (void)snprintf(half, sizeof half, "%s.lora_a", name);
    gguf_put_tensor(w, half, QUANT_F32, 2, (const int64_t[]){2, 32});
    (void)snprintf(half, sizeof half, "%s.lora_b", name);
    gguf_put_tensor(w, half, QUANT_F32, 2, (const int64_t[]){96, 2});
    if (c->tensor != NULL) gguf_put_tensor(w, c->tensor, QUANT_F32, 1, (const int64_t[]){32});
    assert_int_equal(gguf_writer_begin_data(w, &error), RNL_OK);
    assert_int_equal(gguf_writer_data(w, values, 2 * 32 * sizeof(float), &error), RNL_OK);
    assert_int_equal(gguf_writer_data(w, values, 96 * 2 * sizeof(float), &error), RNL_OK);
    if (c->tensor != NULL)
        assert_int_equal(gguf_writer_data(w, values, 32 * sizeof(float), &error), RNL_OK);
    if (gguf_writer_finish(&w, &error) != RNL_OK) fail_msg("%s", error.text);
}

static void files_are_refused_for_their_keys(void **state) {
    char path[PATH_CAP];
    lora l;
    name_in(*state, "x.gguf", path);
    for (size_t i = 0; i < sizeof key_cases / sizeof *key_cases; i++) {
        const key_case *c = &key_cases[i];
        write_gguf(path, c);
        error.text[0] = '\0';
        const rnl_status status = lora_read(path, &l, &error);
        if (status != c->status || (status != RNL_OK && strstr(error.text, c->phrase) == NULL))
            fail_msg("case %zu: status %d, %s", i, status, error.text);
        if (status != RNL_OK) continue;
        assert_int_equal(l.passed_over_count, c->tensor != NULL);
        lora_free(&l);
    }
    /* No alpha: the scale of whoever uses it is all. */
    write_gguf(path, &(key_case){"lfm2", "adapter", "lora", 0, NULL, RNL_OK, ""});
    read_it(path, &l);
    assert_true(lora_scale(&l, &l.tensors[0]) == 1);
    lora_free(&l);
}

/* ---- Another model ---- */

static void open_refused(const char *model, const char *adapter, rnl_status want,
                         const char *phrase) {
    char path[512];
    rnl_model *m = NULL;
    rnl_model_config c = rnl_model_config_default();
    const rnl_adapter_config one = {"x", adapter, 1};
    c.adapters = &one;
    c.adapter_count = 1;
    (void)snprintf(path, sizeof path, "%s/%s", TEST_DATA, model);
    const rnl_status status = rnl_model_open(path, &c, &m, &error);
    if (status != want || strstr(error.text, phrase) == NULL)
        fail_msg("status %d, %s", status, error.text);
    assert_null(m);
}

static void an_adapter_of_another_model_is_refused(void **state) {
    char path[PATH_CAP];
    open_refused("dense/tied", GOLDEN_FOLDER, RNL_ERR_FORMAT, "of another model");
    open_refused("gguf/tiny-Q4_0.gguf", GOLDEN_FILE, RNL_ERR_FORMAT, "of another model");
    open_refused("quality/base", TEST_DATA "/quality/base", RNL_ERR_IO, "adapter_config.json");
    open_refused("quality/base", TEST_DATA "/gguf/tiny-Q4_0.gguf", RNL_ERR_FORMAT, "no adapter");
    open_refused("quality/base", "/nowhere", RNL_ERR_IO, "/nowhere");
    lora l;
    read_it(GOLDEN_FOLDER, &l);
    name_in(*state, "x.gguf", path);
    assert_int_equal(lora_write_gguf(&l, path, "llama", &error), RNL_OK);
    open_refused("quality/base", path, RNL_ERR_FORMAT, "'llama'");
    /* Matrices that adapters leave alone, or that are not there. */
    static const char *const names[] = {"token_embd.weight", "blk.9.ffn_up.weight",
                                        "blk.0.attn_norm.weight", "depth_linear.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(l.tensors[0].name, sizeof l.tensors[0].name, "%s", names[i]);
        assert_int_equal(lora_write_gguf(&l, path, "lfm2", &error), RNL_OK);
        open_refused("quality/base", path, RNL_ERR_FORMAT, names[i]);
    }
    lora_free(&l);
}

static void configs_are_checked(void **state) {
    (void)state;
    static const char name64[] = "0123456789012345678901234567890123456789012345678901234567890123";
    const rnl_adapter_config bad[] = {{"", GOLDEN_FOLDER, 1},     {NULL, GOLDEN_FOLDER, 1},
                                      {name64, GOLDEN_FOLDER, 1}, {"x", NULL, 1},
                                      {"x", GOLDEN_FOLDER, NAN},  {"x", GOLDEN_FOLDER, 1001}};
    rnl_model *m = NULL;
    rnl_model_config c = rnl_model_config_default();
    c.adapter_count = 1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        c.adapters = &bad[i];
        assert_int_equal(rnl_model_open(TEST_DATA "/quality/base", &c, &m, &error),
                         RNL_ERR_ARGUMENT);
        assert_non_null(strstr(error.text, "adapters[0]"));
    }
    c.adapters = NULL;
    assert_int_equal(rnl_model_open(TEST_DATA "/quality/base", &c, &m, &error), RNL_ERR_ARGUMENT);
    const rnl_adapter_config good = {"x", GOLDEN_FOLDER, 1};
    c.adapters = &good;
    c.adapter_count = RNL_ADAPTER_CAP + 1;
    assert_int_equal(rnl_model_open(TEST_DATA "/quality/base", &c, &m, &error), RNL_ERR_ARGUMENT);
    c.adapter_count = 1;
    assert_int_equal(rnl_model_open(TEST_DATA "/quality/base", &c, &m, &error), RNL_OK);
    rnl_session *s = NULL;
    rnl_session_config own = rnl_session_config_default();
    own.adapter = "y";
    assert_int_equal(rnl_session_create(m, &own, &s, &error), RNL_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "'y'"));
    own.adapter = "x";
    own.adapter_scale = NAN;
    assert_int_equal(rnl_session_create(m, &own, &s, &error), RNL_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "adapter_scale"));
    rnl_model_close(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_layouts_of_the_golden_are_one),
        IN_FOLDER(the_way_there_and_back_changes_no_bit),
        IN_FOLDER(an_adapter_of_all_parts_comes_back),
        IN_FOLDER(folders_are_refused_for_what_they_ask),
        IN_FOLDER(folders_are_read_as_they_mean_it),
        IN_FOLDER(folders_are_refused_for_their_tensors),
        IN_FOLDER(files_are_refused_for_their_keys),
        IN_FOLDER(an_adapter_of_another_model_is_refused),
        cmocka_unit_test(configs_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
