/* Checkpoints with experts: what their configuration may say, and how their experts may lie in the
 * files. Made of tests/data/moe, with a change each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/model.h"
#include "stack/kind.h"
#include "tests/support/folder.h"
#include "tests/support/rig.h"

static const char *find_bytes(const char *bytes, size_t size, const char *what) {
    const size_t length = strlen(what);
    for (size_t i = 0; i + length <= size; i++)
        if (memcmp(bytes + i, what, length) == 0) return bytes + i;
    return NULL;
}

/* The bytes with the first `from` replaced; free() them. */
static char *changed(const char *bytes, size_t size, const char *from, const char *to,
                     size_t *out_size) {
    char *out = malloc(size + strlen(to) + 1);
    const char *at = find_bytes(bytes, size, from);
    assert_non_null(out);
    if (at == NULL) fail_msg("there is no %s", from);
    const size_t before = (size_t)(at - bytes), rest = size - before - strlen(from);
    memcpy(out, bytes, before);
    memcpy(out + before, to, strlen(to));
    memcpy(out + before + strlen(to), at + strlen(from), rest);
    *out_size = before + strlen(to) + rest;
    return out;
}

/* A file of the model with a change, into the folder; of a safetensors file in its header. */
static void copy_changed(const folder *f, const char *model, const char *file, const char *from,
                         const char *to) {
    char path[PATH_CAP];
    size_t size, head_size;
    (void)snprintf(path, sizeof path, "%s/moe/%s/%s", TEST_DATA, model, file);
    unsigned char *bytes = read_whole(path, &size);
    uint64_t header = 0;
    const bool inner = strstr(file, "safetensors") != NULL;
    if (inner) memcpy(&header, bytes, sizeof header);
    const size_t begin = inner ? sizeof header : 0, end = inner ? begin + header : size;
    char *head = changed((const char *)bytes + begin, end - begin, from, to, &head_size);
    unsigned char *out = malloc(begin + head_size + size - end);
    assert_non_null(out);
    header = head_size;
    if (inner) memcpy(out, &header, sizeof header);
    memcpy(out + begin, head, head_size);
    memcpy(out + begin + head_size, bytes + end, size - end);
    name_in(f, file, path);
    write_file(path, out, begin + head_size + size - end);
    free(bytes), free(head), free(out);
}

static rnl_status open_with(const folder *f, const char *model, const char *file, const char *from,
                            const char *to, rnl_error *error) {
    const bool inner = strstr(file, "safetensors") != NULL;
    copy_changed(f, model, "config.json", inner ? "" : from, inner ? "" : to);
    copy_changed(f, model, "model.safetensors", inner ? from : "", inner ? to : "");
    rnl_model *opened = NULL;
    const rnl_status status = rnl_model_open(f->path, NULL, &opened, error);
    rnl_model_close(&opened);
    return status;
}

static void the_configuration_is_read(void **state) {
    (void)state;
    rnl_model *model = rig_model("moe/scaled");
    rnl_model_info info;
    rnl_model_get_info(model, &info);
    assert_int_equal(info.layer_count, 4);
    rnl_model_close(&model);
    static model_config c;
    rnl_error error = {0};
    assert_int_equal(source_hf_config(&c, TEST_DATA "/moe/scaled", &error), RNL_OK);
    const stack_layer_config *l = &c.backbone.layers[2];
    assert_ptr_equal(c.backbone.layers[1].kinds[STACK_FEED_FORWARD], &stack_dense);
    assert_ptr_equal(l->kinds[STACK_FEED_FORWARD], &stack_experts);
    assert_int_equal(l->expert_count, 8);
    assert_int_equal(l->expert_used, 3);
    assert_int_equal(l->ff_width, 48);
    assert_true(l->expert_norm && l->expert_scale == 1.5f);
    assert_true(c.tied);
    assert_string_equal(config_architecture(&c.backbone), "lfm2moe");
    memset(&c, 0, sizeof c);
    assert_int_equal(source_hf_config(&c, TEST_DATA "/moe/plain", &error), RNL_OK);
    assert_false(c.backbone.layers[2].expert_norm);
}

static void each_lie_of_a_configuration_is_refused(void **state) {
    const folder *f = *state;
    const struct {
        const char *from, *to, *part;
    } lies[] = {
        {"\"num_experts\": 8", "\"num_experts\": 0", "num_experts"},
        {"\"num_experts\": 8", "\"num_experts\": 5000", "num_experts"},
        {"\"num_experts\": 8", "\"num_experts\": 2", "experts used"},
        {"\"num_experts\": 8", "\"experts\": 8", "num_experts"},
        {"\"num_experts_per_tok\": 3", "\"num_experts_per_tok\": 65", "num_experts_per_tok"},
        {"\"num_experts_per_tok\": 3", "\"num_experts_per_tok\": 9", "experts used"},
        {"\"moe_intermediate_size\": 48", "\"moe_intermediate_size\": -1", "moe_intermediate"},
        {"\"num_dense_layers\": 2", "\"num_dense_layers\": 5", "num_dense_layers"},
        {"\"routed_scaling_factor\": 1.5", "\"routed_scaling_factor\": \"1\"", "routed_scaling"},
        {"\"norm_topk_prob\": true", "\"norm_topk_prob\": 1", "norm_topk_prob"},
        {"\"layer_types\"", "\"layers\"", "layer_types"},
        /* What the files do not have. */
        {"\"num_experts\": 8", "\"num_experts\": 9", "experts.8.w1.weight' is missing"},
        {"\"num_experts\": 8", "\"num_experts\": 7", "experts.7"},
        {"\"moe_intermediate_size\": 48", "\"moe_intermediate_size\": 64", "shape"},
        {"\"num_dense_layers\": 2", "\"num_dense_layers\": 1", "is missing"},
        {"\"num_dense_layers\": 2", "\"num_dense_layers\": 3", "without experts"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        rnl_error error = {0};
        if (open_with(f, "scaled", "config.json", lies[i].from, lies[i].to, &error) !=
            RNL_ERR_FORMAT)
            fail_msg("%s was taken, or %s", lies[i].to, error.text);
        if (strstr(error.text, f->path) == NULL || strstr(error.text, lies[i].part) == NULL)
            fail_msg("%s: '%s' lacks the path or '%s'", lies[i].to, error.text, lies[i].part);
    }
}

static void either_name_and_all_or_no_dense_layers_are_taken(void **state) {
    const folder *f = *state;
    rnl_error error = {0};
    const char *const from = "\"num_experts\"", *const to = "\"num_local_experts\"";
    if (open_with(f, "scaled", "config.json", from, to, &error) != RNL_OK)
        fail_msg("%s", error.text);
    static model_config c;
    copy_changed(f, "scaled", "config.json", "\"num_dense_layers\": 2", "\"num_dense_layers\": 4");
    assert_int_equal(source_hf_config(&c, f->path, &error), RNL_OK);
    assert_int_equal(stack_layers_of(&c.backbone, &stack_experts), 0);
    memset(&c, 0, sizeof c);
    copy_changed(f, "scaled", "config.json", "\"num_dense_layers\": 2", "\"num_dense_layers\": 0");
    assert_int_equal(source_hf_config(&c, f->path, &error), RNL_OK);
    assert_int_equal(stack_layers_of(&c.backbone, &stack_experts), 4);
}

static void experts_that_do_not_fit_are_named(void **state) {
    const folder *f = *state;
    const struct {
        const char *model, *from, *to, *part;
    } lies[] = {
        {"scaled", "layers.2.feed_forward.experts.5.w2", "layers.2.feed_forward.expert.5.w2",
         "layers.2.feed_forward.experts.5.w2.weight' is missing"},
        {"scaled", "layers.2.feed_forward.experts.5.w2", "layers.2.feed_forward.experts.9.w2",
         "has not"},
        {"scaled", "layers.2.feed_forward.experts.5.w2", "layers.2.feed_forward.experts.5.w4",
         "no part"},
        {"scaled", "layers.2.feed_forward.experts.5.w2", "layers.9.feed_forward.experts.5.w2",
         "without experts"},
        {"scaled", "layers.2.feed_forward.experts.5.w2.weight",
         "layers.2.feed_forward.experts.down_proj", "another way"},
        {"scaled", "layers.2.feed_forward.experts.5.w2", "layers.2.feed_forward.experts.05.w1",
         "shape"},
        {"scaled", "layers.2.feed_forward.experts.5.w3", "layers.2.feed_forward.experts.05.w1",
         "another tensor holds"},
        {"fused", "experts.down_proj", "experts.down_prop", "no part"},
        {"fused", "feed_forward.experts.down_proj", "feed_forward.expert.down_proj",
         "down_proj' is missing"},
        {"fused", "[8,96,64]", "[8,64,96]", "shape"},
        {"fused", "layers.1.feed_forward.gate.weight", "layers.1.feed_forward.gait.weight",
         "ffn_gate_inp.weight' is missing"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        rnl_error error = {0};
        if (open_with(f, lies[i].model, "model.safetensors", lies[i].from, lies[i].to, &error) !=
            RNL_ERR_FORMAT)
            fail_msg("lie %zu was taken, or '%s'", i, error.text);
        if (strstr(error.text, lies[i].part) == NULL)
            fail_msg("lie %zu: '%s' lacks '%s'", i, error.text, lies[i].part);
    }
}

/* A head of its own beside a checkpoint that says that it is tied (family.md 1.4): here one of a
 * wrong shape, which shows where it is looked at. */
static void a_head_beside_a_tied_embedding_is_ignored(void **state) {
    const folder *f = *state;
    rnl_error error = {0};
    rnl_model *model = NULL;
    char path[PATH_CAP], head[192];
    size_t size;
    unsigned char *bytes = read_whole(TEST_DATA "/moe/plain/model.safetensors", &size);
    uint64_t header;
    memcpy(&header, bytes, sizeof header);
    free(bytes);
    const size_t data = size - sizeof header - (size_t)header;
    (void)snprintf(head, sizeof head,
                   "]},\"lm_head.weight\":{\"dtype\":\"BF16\",\"shape\":[1],"
                   "\"data_offsets\":[%zu,%zu]}}",
                   data, data + 2);
    copy_changed(f, "plain", "config.json", "", "");
    copy_changed(f, "plain", "model.safetensors", "]}}", head);
    name_in(f, "model.safetensors", path);
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_int_equal(fwrite("\0", 1, 2, file), 2);
    assert_int_equal(fclose(file), 0);
    if (rnl_model_open(f->path, NULL, &model, &error) != RNL_OK) fail_msg("%s", error.text);
    rnl_model_close(&model);
    copy_changed(f, "plain", "config.json", "\"tie_word_embeddings\": true",
                 "\"tie_word_embeddings\": false");
    assert_int_equal(rnl_model_open(f->path, NULL, &model, &error), RNL_ERR_FORMAT);
    assert_non_null(strstr(error.text, "output.weight"));
}

/* ---- Gates above their ups, as converters of other architectures write them ---- */

static bool is_layer_tensor(const char *name, const char *what) {
    return strncmp(name, "blk.", 4) == 0 && strstr(name, what) != NULL;
}

static void write_both(gguf_writer *w, const tensor *gate, const tensor *up) {
    rnl_error error = {0};
    const size_t size = gate->size / (size_t)gate->shape[0];
    for (int64_t e = 0; e < gate->shape[0]; e++)
        for (int half = 0; half < 2; half++)
            assert_int_equal(
                gguf_writer_data(w, tensor_member(half == 0 ? gate : up, e), size, &error), RNL_OK);
}

/* The model as a GGUF file, its keys and tensors, gates and ups in one. */
static void write_fused(const rnl_model *m, const char *path) {
    gguf_writer *w = NULL;
    rnl_error error = {0};
    assert_int_equal(gguf_writer_create(path, &w, &error), RNL_OK);
    gguf_put_string(w, "general.architecture", "lfm2moe", 7);
    config_write_lfm2(&m->source.config.backbone, w, "", 160, 256, 128000);
    const weights *all = m->source.w;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < weights_count(all); i++) {
            const tensor *t = weights_at(all, i);
            if (is_layer_tensor(t->name, "ffn_up_exps")) continue;
            const bool both = is_layer_tensor(t->name, "ffn_gate_exps");
            char name[64];
            (void)snprintf(name, sizeof name, "%s", t->name);
            if (both) memcpy(strstr(name, "gate_exps"), "gate_up_exps.weight", 20);
            int64_t shape[] = {t->shape[0], t->shape[1], t->shape[2]};
            if (both) shape[1] *= 2;
            if (round == 0) {
                gguf_put_tensor(w, name, t->type, t->rank, shape);
                continue;
            }
            if (both) {
                memcpy(strstr(name, "gate_up_exps"), "up_exps.weight", 15);
                write_both(w, t, weights_find(all, name));
                continue;
            }
            assert_int_equal(gguf_writer_data(w, t->data, t->size, &error), RNL_OK);
        }
        if (round == 0) assert_int_equal(gguf_writer_begin_data(w, &error), RNL_OK);
    }
    if (gguf_writer_finish(&w, &error) != RNL_OK) fail_msg("%s", error.text);
}

static void gates_above_their_ups_are_two_stacks(void **state) {
    const folder *f = *state;
    char path[PATH_CAP];
    name_in(f, "fused.gguf", path);
    rnl_model *m = rig_model("moe/moe-Q4_0.gguf");
    write_fused(m, path);
    rnl_model *fused = rig_model(path);
    static const char *const names[] = {"blk.1.ffn_gate_exps.weight", "blk.2.ffn_up_exps.weight"};
    for (int i = 0; i < 2; i++) {
        const tensor *a = weights_find(m->source.w, names[i]);
        const tensor *b = weights_find(fused->source.w, names[i]);
        assert_non_null(b);
        assert_int_equal(a->size, b->size);
        const size_t size = a->size / (size_t)a->shape[0];
        for (int64_t e = 0; e < a->shape[0]; e++)
            assert_memory_equal(tensor_member(a, e), tensor_member(b, e), size);
    }
    rnl_model_close(&m);
    rnl_model_close(&fused);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_configuration_is_read),
        IN_FOLDER(each_lie_of_a_configuration_is_refused),
        IN_FOLDER(either_name_and_all_or_no_dense_layers_are_taken),
        IN_FOLDER(experts_that_do_not_fit_are_named),
        IN_FOLDER(gates_above_their_ups_are_two_stacks),
        IN_FOLDER(a_head_beside_a_tied_embedding_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
