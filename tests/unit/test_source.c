/* Where a model comes from: names of Hugging Face tensors, configurations with one lie each,
 * shards, kinds of model that are known and refused. All of it is made of tests/data/tiny. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/safetensors.h"
#include "engine/source.h"
#include "stack/kind.h"

static char folder[] = "/tmp/runnel-source-XXXXXX";

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

static void names_become_canonical(void **state) {
    (void)state;
    const struct {
        hf_part part;
        const char *from, *to; /* to NULL: not used */
    } rows[] = {
        {HF_MAIN, "lfm.embed_tokens.weight", "token_embd.weight"},
        {HF_MAIN, "model.embed_tokens.weight", "token_embd.weight"},
        {HF_MAIN, "lm_head.weight", "output.weight"},
        {HF_MAIN, "lfm.layers.12.conv.in_proj.bias", "blk.12.shortconv.in_proj.bias"},
        {HF_MAIN, "model.layers.0.self_attn.q_layernorm.weight", "blk.0.attn_q_norm.weight"},
        {HF_MAIN, "lfm.layers.3.feed_forward.w2.weight", "blk.3.ffn_down.weight"},
        {HF_MAIN, "model.layers.3.self_attn.norm.weight", "blk.3.attn_sub_norm.weight"},
        {HF_MAIN, "model.layers.3.ssm.A_log", "blk.3.ssm_a_log"},
        {HF_MAIN, "model.layers.3.feed_forward.gate.weight", "blk.3.ffn_gate_inp.weight"},
        {HF_MAIN, "model.layers.3.feed_forward.expert_bias", "blk.3.exp_probs_b.bias"},
        {HF_MAIN, "model.layers.3.feed_forward.experts.7.w1.weight", "experts.3.7.w1.weight"},
        {HF_MAIN, "conformer.layers.16.self_attn.linear_pos.weight", "a.blk.16.linear_pos.weight"},
        {HF_MAIN, "conformer.layers.1.conv.batch_norm.running_var",
         "raw.blk.1.batch_norm.running_var"},
        {HF_MAIN, "depthformer.layers.5.operator.bounded_attention.q_layernorm.weight",
         "depthformer.layers.5.operator.attention.q_layernorm.weight"},
        {HF_MAIN, "audio_adapter.model.0.weight", "mm.a.mlp.0.weight"},
        {HF_MAIN, "lfm.layers.x.ffn_norm.weight", NULL},
        {HF_MAIN, "lfm.layers.123456.ffn_norm.weight", NULL}, /* six digits */
        {HF_MAIN, "lfm.layers.-1.ffn_norm.weight", NULL},
        {HF_MAIN, "lfm.layers.1.ffn_norm.weight.more", NULL},
        {HF_MAIN, "lfm.layers.1.ffn_norm", NULL},
        {HF_MAIN, "vision_tower.patch.weight", NULL},
        {HF_MAIN, "model.vision_tower.vision_model.encoder.layers.3.mlp.fc1.bias",
         "v.blk.3.ffn_up.bias"},
        {HF_MAIN, "vision_tower.encoder.layers.0.self_attn.out_proj.weight",
         "v.blk.0.attn_out.weight"},
        {HF_MAIN, "model.vision_tower.vision_model.embeddings.patch_embedding.weight",
         "raw.v.patch_embd.weight"},
        {HF_MAIN, "model.vision_tower.vision_model.head.probe", NULL},
        {HF_MAIN, "multi_modal_projector.linear_1.bias", "mm.1.bias"},
        {HF_MAIN, "model.multi_modal_projector.layer_norm.weight", "mm.input_norm.weight"},
        {HF_MAIN, "model.language_model.layers.1.ffn_norm.weight", "blk.1.ffn_norm.weight"},
        {HF_MAIN, "language_model.model.embed_tokens.weight", "token_embd.weight"},
        {HF_MAIN, "language_model.lm_head.weight", "output.weight"},
        {HF_DETOKENIZER, "model.language_model.layers.1.ffn_norm.weight", NULL},
        {HF_MAIN, "", NULL},
        {HF_DETOKENIZER, "lfm.embed_tokens.weight", NULL},
        {HF_DETOKENIZER, "lfm.layers.1.ffn_norm.weight", "detok.blk.1.ffn_norm.weight"},
        {HF_DETOKENIZER, "model.layers.1.ffn_norm.weight", NULL},
        {HF_DETOKENIZER, "lin.bias", "detok.dense_2.bias"},
        {HF_DETOKENIZER, "emb.emb.weight", "emb.emb.weight"},
        {HF_MIMI, "decoder.model.0.conv.weight", "mimi.decoder.model.0.conv.weight"},
        {HF_MIMI, "q.layers.0._codebook.embed_sum", "mimi.q.layers.0._codebook.embedding_sum"},
        {HF_MIMI, "t.0.self_attn.in_projs.0.weight", "mimi.t.0.self_attn.in_proj_weight"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[128] = "";
        const bool used = source_hf_name(rows[i].part, rows[i].from, name, sizeof name);
        if (used != (rows[i].to != NULL)) fail_msg("'%s': used %d", rows[i].from, used);
        if (used) assert_string_equal(name, rows[i].to);
    }
}

static void a_name_without_room_is_left_out(void **state) {
    (void)state;
    char name[32], longer[2000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    memcpy(longer, "audio_adapter.model.", 20);
    for (size_t cap = 1; cap < sizeof name; cap++) {
        memset(name, 0x55, sizeof name);
        assert_false(source_hf_name(HF_MAIN, longer, name, cap));
        for (size_t i = cap; i < sizeof name; i++) assert_int_equal(name[i], 0x55);
    }
    assert_false(source_hf_name(HF_MIMI, longer, name, sizeof name));
}

/* ---- config.json ---- */

static char *read_text(const char *path) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 1 << 16);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return text;
}

static void write_text(const char *name, const char *text) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    (void)fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* The config of tiny with the first `from` replaced. */
static rnl_status with_change(const char *from, const char *to, model_config *c, rnl_error *error) {
    char *text = read_text(TEST_DATA "/tiny/config.json");
    char *changed = calloc(1, 1 << 17);
    assert_non_null(changed);
    const char *at = strstr(text, from);
    if (at == NULL) fail_msg("the config has no %s", from);
    (void)snprintf(changed, 1 << 17, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    write_text("config.json", changed);
    free(text);
    free(changed);
    memset(c, 0, sizeof *c);
    return source_hf_config(c, folder, error);
}

/* 'a' attention, 'c' convolution. */
static void assert_pattern(const stack_config *c, const char *pattern) {
    for (int i = 0; i < c->layer_count; i++)
        assert_ptr_equal(c->layers[i].kinds[STACK_OPERATOR],
                         pattern[i] == 'a' ? &stack_attention : &stack_convolution);
}

static void the_config_is_read(void **state) {
    (void)state;
    static model_config c;
    rnl_error error = {0};
    if (with_change("\"codebooks\"", "\"codebooks\"", &c, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_int_equal(c.backbone.layer_count, 6);
    assert_int_equal(c.backbone.width, 64);
    assert_int_equal(c.backbone.layers[0].head_width, 16);
    assert_pattern(&c.backbone, "ccacac");
    assert_int_equal(c.vocab_count, 1216);
    assert_int_equal(c.text_run, 6);
    assert_int_equal(c.audio_run, 12);
    assert_int_equal(c.depth_layer_count, 2);
    assert_true(c.has_encoder && c.depth_tied);
    assert_int_equal(
        with_change("\"interleaved_n_audio\": 12", "\"interleaved_n_audio\": 9", &c, &error),
        RNL_OK);
    assert_int_equal(c.audio_run, 9);
    /* Older files name the attention layers by number. */
    assert_int_equal(
        with_change("\"layer_types\": [", "\"full_attn_idxs\": [1, 5], \"old\": [", &c, &error),
        RNL_OK);
    assert_pattern(&c.backbone, "caccca");
    const char *const named_twice[] = {
        "\"full_attn_idxs\": [1, 5], \"layer_types\": null, \"old\": [",
        "\"full_attn_idxs\": [1.0, 5.0], \"old\": ["};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(with_change("\"layer_types\": [", named_twice[i], &c, &error), RNL_OK);
        assert_pattern(&c.backbone, "caccca");
    }
    const char *const none[] = {"\"layer_types\": null, \"full_attn_idxs\": null, \"old\": [",
                                "\"old\": ["};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(with_change("\"layer_types\": [", none[i], &c, &error), RNL_OK);
        assert_pattern(&c.backbone, "aaaaaa");
    }
}

static void whole_numbers_may_have_a_point(void **state) {
    (void)state;
    static model_config c;
    rnl_error error = {0};
    const struct {
        const char *from, *to;
    } rows[] = {{"\"hidden_size\": 64", "\"hidden_size\": 64.0"},
                {"\"num_hidden_layers\": 6", "\"num_hidden_layers\": 6e0"},
                {"\"n_layers\": 3", "\"n_layers\": 3.0"},
                {"\"vocab_size\": 1216", "\"vocab_size\": 1.216e3"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (with_change(rows[i].from, rows[i].to, &c, &error) != RNL_OK) fail_msg("%s", error.text);
        assert_int_equal(c.backbone.width, 64);
        assert_int_equal(c.backbone.layer_count, 6);
        assert_int_equal(c.encoder_layer_count, 3);
        assert_int_equal(c.vocab_count, 1216);
    }
}

/* The encoder as transformers' own class writes it, without a preprocessor. */
static void other_spellings_of_the_encoder_are_read(void **state) {
    (void)state;
    static model_config c;
    rnl_error error = {0};
    const struct {
        const char *from, *to;
    } renamed[] = {{"\"n_layers\": 3", "\"num_hidden_layers\": 3, \"num_mel_bins\": 80"},
                   {"\"n_heads\": 4", "\"num_attention_heads\": 4"},
                   {"\"xscaling\": false", "\"scale_input\": false"},
                   {"\"preprocessor\"", "\"ignored\""}};
    char *text = read_text(TEST_DATA "/tiny/config.json");
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++) {
        char *changed = calloc(1, 1 << 17);
        assert_non_null(changed);
        const char *at = strstr(text, renamed[i].from);
        if (at == NULL) fail_msg("the config has no %s", renamed[i].from);
        (void)snprintf(changed, 1 << 17, "%.*s%s%s", (int)(at - text), text, renamed[i].to,
                       at + strlen(renamed[i].from));
        free(text);
        text = changed;
    }
    write_text("config.json", text);
    memset(&c, 0, sizeof c);
    if (source_hf_config(&c, folder, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_int_equal(c.encoder_layer_count, 3);
    assert_int_equal(c.encoder_head_count, 4);
    assert_int_equal(c.feature_count, 80);
    char *at = strstr(text, "\"scale_input\": false");
    memcpy(at, "\"scale_input\": true ", 20);
    write_text("config.json", text);
    assert_int_equal(source_hf_config(&c, folder, &error), RNL_ERR_FORMAT);
    assert_non_null(strstr(error.text, "xscaling"));
    free(text);
}

static void each_lie_of_a_config_is_refused(void **state) {
    (void)state;
    const struct {
        const char *from, *to, *part;
    } lies[] = {
        {"\"hidden_size\": 64", "\"hidden_size\": -64", "hidden_size"},
        {"\"hidden_size\": 64", "\"hidden_size\": 64.5", "hidden_size"},
        {"\"hidden_size\": 64", "\"hidden_size\": \"64\"", "hidden_size"},
        {"\"hidden_size\": 64", "\"hidden_size\": 64.0000001", "hidden_size"},
        {"\"hidden_size\": 64", "\"hidden_size\": 1e300", "hidden_size"},
        {"\"hidden_size\": 64", "\"hidden_size\": 4294967360", "hidden_size"}, /* 2^32 + 64 */
        {"\"hidden_size\": 64", "\"hidden\": 64", "hidden_size"},
        {"\"num_hidden_layers\": 6", "\"num_hidden_layers\": 0", "num_hidden_layers"},
        {"\"num_hidden_layers\": 6", "\"num_hidden_layers\": 100000", "num_hidden_layers"},
        {"\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7", "layer_types"},
        {"\"num_attention_heads\": 4", "\"num_attention_heads\": 0", "num_attention_heads"},
        {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "key/value heads"},
        {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 8", "key/value heads"},
        {"\"conv_L_cache\": 3", "\"conv_L_cache\": 1000", "conv_L_cache"},
        {"\"conv_dim\": 64", "\"conv_dim\": 128", "conv_dim"},
        {"\"norm_eps\": 1e-05", "\"norm_eps\": 0", "norm_eps"},
        {"\"norm_eps\": 1e-05", "\"norm_eps\": \"small\"", "norm_eps"},
        {"\"vocab_size\": 1216", "\"vocab_size\": -1", "vocab_size"},
        {"\"full_attention\"", "\"linear_attention\"", "layer_types"},
        {"\"codebooks\": 8", "\"codebooks\": 0", "codebooks"},
        {"\"codebooks\": 8", "\"codebooks\": 33", "codebooks"},
        {"\"interleaved_n_text\": 6", "\"interleaved_n_text\": 0", "interleaved_n_text"},
        {"\"n_layers\": 3", "\"n_layers\": 5000", "encoder.n_layers"},
        {"\"n_heads\": 4", "\"n_heads\": null", "encoder.n_heads"},
        {"\"subsampling_factor\": 8", "\"subsampling_factor\": 4", "subsampling_factor"},
        {"\"xscaling\": false", "\"xscaling\": true", "xscaling"},
        {"\"xscaling\": false", "\"xscaling\": 0", "xscaling"},
        {"\"sample_rate\": 16000", "\"sample_rate\": 8000", "sample_rate"},
        {"\"n_fft\": 512", "\"n_fft\": 1024", "n_fft"},
        {"\"features\": 128", "\"features\": 0", "features"},
        {"\"layers\": 2", "\"layers\": -2", "depthformer.layers"},
        {"\"tie\": true", "\"tie\": \"yes\"", "depthformer.tie"},
    };
    static model_config c;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        rnl_error error = {0};
        if (with_change(lies[i].from, lies[i].to, &c, &error) != RNL_ERR_FORMAT)
            fail_msg("%s was taken", lies[i].to);
        if (strstr(error.text, folder) == NULL || strstr(error.text, lies[i].part) == NULL)
            fail_msg("%s: '%s' lacks the path or '%s'", lies[i].to, error.text, lies[i].part);
    }
}

static void other_kinds_of_model_are_named(void **state) {
    (void)state;
    const struct {
        const char *text, *part;
    } kinds[] = {
        {"{\"architectures\":[\"Lfm3VlForConditionalGeneration\"],\"vision_config\":{}}",
         "Lfm3VlForConditionalGeneration"},
        {"{\"vision_config\":{},\"text_config\":{\"model_type\":\"lfm2_moe\"}}",
         "vision model on a mixture"},
        {"{\"architectures\":[\"LlamaForCausalLM\"]}", "LlamaForCausalLM"},
    };
    static model_config c;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        rnl_error error = {0};
        write_text("config.json", kinds[i].text);
        assert_int_equal(source_hf_config(&c, folder, &error), RNL_ERR_UNSUPPORTED);
        if (strstr(error.text, kinds[i].part) == NULL)
            fail_msg("'%s' lacks '%s'", error.text, kinds[i].part);
    }
    rnl_error error = {0};
    write_text("config.json", "[]");
    assert_int_equal(source_hf_config(&c, folder, &error), RNL_ERR_FORMAT);
}

/* ---- Shards: tiny's tensors in two files ---- */

static void write_shard(const char *name, const safetensors *all, size_t begin, size_t end) {
    char path[256], *header = calloc(1, 1 << 20);
    assert_non_null(header);
    size_t used = 0, at = 0;
    for (size_t i = begin; i < end; i++) {
        const tensor *t = safetensors_tensor(all, i);
        used += (size_t)sprintf(header + used, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                                i > begin ? "," : "{", t->name, quant_describe(t->type)->name);
        for (int d = 0; d < t->rank; d++)
            used +=
                (size_t)sprintf(header + used, "%s%lld", d > 0 ? "," : "", (long long)t->shape[d]);
        used += (size_t)sprintf(header + used, "],\"data_offsets\":[%zu,%zu]}", at, at + t->size);
        at += t->size;
    }
    header[used++] = '}';
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    const uint64_t size = used;
    assert_int_equal(fwrite(&size, 8, 1, f), 1);
    assert_int_equal(fwrite(header, 1, used, f), used);
    for (size_t i = begin; i < end; i++) {
        const tensor *t = safetensors_tensor(all, i);
        assert_int_equal(fwrite(t->data, 1, t->size, f), t->size);
    }
    assert_int_equal(fclose(f), 0);
    free(header);
}

static void link_to(const char *name) {
    char from[512], to[512];
    (void)snprintf(from, sizeof from, "%s/tiny/%s", TEST_DATA, name);
    (void)snprintf(to, sizeof to, "%s/%s", folder, name);
    (void)unlink(to);
    assert_int_equal(symlink(from, to), 0);
}

static void two_shards_are_one_model(void **state) {
    (void)state;
    safetensors *all = NULL;
    assert_int_equal(safetensors_open(TEST_DATA "/tiny/model.safetensors", &all, NULL), RNL_OK);
    const size_t count = safetensors_tensor_count(all);
    write_shard("model-1-of-2.safetensors", all, 0, count / 2);
    write_shard("model-2-of-2.safetensors", all, count / 2, count);
    char *index = calloc(1, 1 << 20);
    assert_non_null(index);
    size_t used = (size_t)sprintf(index, "{\"weight_map\":");
    for (size_t i = 0; i < count; i++)
        used += (size_t)sprintf(index + used, "%s\"%s\":\"model-%d-of-2.safetensors\"",
                                i > 0 ? "," : "{", safetensors_tensor(all, i)->name,
                                i < count / 2 ? 1 : 2);
    (void)strcpy(index + used, "}}");
    write_text("model.safetensors.index.json", index);
    free(index);
    link_to("config.json");
    link_to("tokenizer.json");
    link_to("audio_detokenizer");
    rnl_model *sharded = NULL, *whole = NULL;
    rnl_error error = {0};
    if (rnl_model_open(folder, NULL, &sharded, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_int_equal(rnl_model_open(TEST_DATA "/tiny", NULL, &whole, &error), RNL_OK);
    rnl_model_info a, b;
    rnl_model_get_info(sharded, &a);
    rnl_model_get_info(whole, &b);
    assert_int_equal(a.weight_size, b.weight_size);
    assert_int_equal(a.vocab_count, b.vocab_count);
    rnl_model_close(&sharded);
    rnl_model_close(&whole);
    safetensors_close(&all);
    /* A shard that is missing is named. */
    char path[256];
    (void)snprintf(path, sizeof path, "%s/model-2-of-2.safetensors", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rnl_model_open(folder, NULL, &sharded, &error), RNL_ERR_IO);
    assert_non_null(strstr(error.text, "model-2-of-2.safetensors"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_become_canonical),
        cmocka_unit_test(a_name_without_room_is_left_out),
        cmocka_unit_test(the_config_is_read),
        cmocka_unit_test(whole_numbers_may_have_a_point),
        cmocka_unit_test(other_spellings_of_the_encoder_are_read),
        cmocka_unit_test(each_lie_of_a_config_is_refused),
        cmocka_unit_test(other_kinds_of_model_are_named),
        cmocka_unit_test(two_shards_are_one_model),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
