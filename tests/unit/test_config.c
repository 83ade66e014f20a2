/* The defaults of each task, where they come from, and the LFM2 keys of a GGUF file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/config.h"
#include "stack/kind.h"
#include "stack/stack_json.h"

static model_config *fresh(codec_kind codec, int audio_run, const char *name) {
    static model_config c;
    c = (model_config){.codec = codec, .audio_run = audio_run, .text_run = 6};
    c.japanese = config_says_japanese(name, strlen(name));
    c.has_encoder = codec != CODEC_NONE;
    c.codebook_count = codec != CODEC_NONE ? 8 : 0;
    (void)snprintf(c.name, sizeof c.name, "%s", name);
    config_defaults(&c);
    return &c;
}

static void defaults_are_those_of_the_model(void **state) {
    (void)state;
    const struct {
        codec_kind codec;
        int audio_run;
        const char *name, *transcribe, *speak;
    } rows[] = {
        {CODEC_LFM, 12, "LFM2.5-Audio-1.5B", "Perform ASR.",
         "Perform TTS. Use the US female voice."},
        {CODEC_MIMI, 12, "LFM2-Audio-1.5B", "Perform ASR.", "Perform TTS."},
        {CODEC_LFM, 9, "some folder", "Perform ASR in japanese.", "Perform TTS in japanese."},
        {CODEC_LFM, 12, "LFM2.5-Audio-1.5B-JP", "Perform ASR in japanese.",
         "Perform TTS in japanese."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const model_config *c = fresh(rows[i].codec, rows[i].audio_run, rows[i].name);
        assert_string_equal(c->modes[RNL_MODE_TRANSCRIBE].prompt, rows[i].transcribe);
        assert_string_equal(c->modes[RNL_MODE_SPEAK].prompt, rows[i].speak);
        assert_string_equal(c->modes[RNL_MODE_INTERLEAVED].prompt,
                            "Respond with interleaved text and audio.");
        assert_false(c->modes[RNL_MODE_TEXT].has_prompt);
        assert_int_equal(c->modes[RNL_MODE_INTERLEAVED].step_max, 1024);
        assert_int_equal(c->modes[RNL_MODE_TRANSCRIBE].step_max, 512);
        assert_int_equal(c->modes[RNL_MODE_SPEAK].step_max, 512);
        assert_true(c->modes[RNL_MODE_SPEAK].audio.temperature == 0.8f);
        assert_int_equal(c->modes[RNL_MODE_SPEAK].audio.top_k, 64);
        assert_true(c->modes[RNL_MODE_INTERLEAVED].audio.temperature == 1.0f);
        assert_int_equal(c->modes[RNL_MODE_INTERLEAVED].audio.top_k, 4);
        for (int m = 0; m < RNL_MODE_COUNT; m++) /* text is greedy everywhere */
            assert_true(c->modes[m].text.temperature == 0 && c->modes[m].text.top_k == 1);
    }
    const model_config *text = fresh(CODEC_NONE, 0, "LFM2-1.2B");
    for (int m = 0; m < RNL_MODE_COUNT; m++) assert_false(text->modes[m].has_prompt);
}

static void japanese_is_a_word_of_the_name(void **state) {
    (void)state;
    const struct {
        const char *name;
        bool japanese;
    } rows[] = {
        {"LFM2.5-Audio-1.5B-JP", true},
        {"LFM2.5 Audio 1.5B JP", true},
        {"LFM2.5_Audio_1.5B_JP", true},
        {"LFM2.5-Audio-1.5B-JP-Q4_0.gguf", true},
        {"LFM2.5-Audio-1.5B-JP.gguf", true},
        {"lfm2.5-audio-1.5b-jp-q4_0.gguf", true},
        {"1.5b-JP", true},
        {"JP", true},
        {"JP tuned", true},
        {"x-JPEG", false},
        {"x-JPG-JPX", false},
        {"XJP", false},
        {"J P", false},
        {"J", false},
        {"", false},
        {"LFM2.5-Audio-1.5B", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (config_says_japanese(rows[i].name, strlen(rows[i].name)) != rows[i].japanese)
            fail_msg("'%s' was taken otherwise", rows[i].name);
    assert_false(config_says_japanese("JPEG", 1)); /* the size is believed, not a zero byte */
    assert_true(config_says_japanese("JPEG", 2));
}

static void single_defaults_are_set_by_key(void **state) {
    (void)state;
    model_config *c = fresh(CODEC_LFM, 12, "x");
    assert_true(config_set_default(c, "runnel.default.text.system", "Be brief."));
    assert_string_equal(c->modes[RNL_MODE_TEXT].prompt, "Be brief.");
    assert_true(c->modes[RNL_MODE_TEXT].has_prompt);
    assert_true(config_set_default(c, "runnel.default.speak.audio_temperature", "0"));
    assert_true(c->modes[RNL_MODE_SPEAK].audio.temperature == 0);
    assert_true(config_set_default(c, "runnel.default.interleaved.text_temperature", "1.25"));
    assert_true(c->modes[RNL_MODE_INTERLEAVED].text.temperature == 1.25f);
    assert_true(config_set_default(c, "runnel.default.interleaved.text_top_k", "2147483647"));
    assert_int_equal(c->modes[RNL_MODE_INTERLEAVED].text.top_k, INT32_MAX);
    assert_true(config_set_default(c, "runnel.default.text.text_min_p", "0.15"));
    assert_true(config_set_default(c, "runnel.default.text.text_top_p", "0.5"));
    assert_true(config_set_default(c, "runnel.default.text.text_repeat_penalty", "1.05"));
    assert_true(c->modes[RNL_MODE_TEXT].text.min_p == 0.15f);
    assert_true(c->modes[RNL_MODE_TEXT].text.top_p == 0.5f);
    assert_true(c->modes[RNL_MODE_TEXT].text.repeat_penalty == 1.05f);
    assert_true(config_set_default(c, "runnel.default.transcribe.step_max", "7"));
    assert_int_equal(c->modes[RNL_MODE_TRANSCRIBE].step_max, 7);
    assert_int_equal(c->history_turns, 0);
    assert_true(config_set_default(c, "runnel.default.history_turns", "100000"));
    assert_int_equal(c->history_turns, 100000);
    assert_true(config_set_default(c, "runnel.default.history_turns", "0"));
    assert_true(config_set_default(c, "runnel.default.backchannel_ms", "1000"));
    assert_int_equal(c->backchannel_ms, 1000);
    char longest[CONFIG_PROMPT_CAP + 1];
    memset(longest, 'x', sizeof longest - 1);
    longest[CONFIG_PROMPT_CAP] = '\0';
    const char *const bad[][2] = {{"runnel.default.text.system", longest},
                                  {"runnel.default.text.step_max", "0"},
                                  {"runnel.default.text.step_max", "1048577"},
                                  {"runnel.default.text.step_max", "seven"},
                                  {"runnel.default.text.step_max", ""},
                                  {"runnel.default.text.step_max", "7x"},
                                  {"runnel.default.text.step_max", "1.5"},
                                  {"runnel.default.text.text_top_k", "0"},
                                  {"runnel.default.text.text_temperature", "-0.1"},
                                  {"runnel.default.text.text_temperature", "2.1"},
                                  {"runnel.default.text.text_top_p", "0"},
                                  {"runnel.default.text.text_min_p", "1.1"},
                                  {"runnel.default.text.text_repeat_penalty", "0"},
                                  {"runnel.default.text.text_temperature", "nan"},
                                  {"runnel.default.text.text_temperature", "0x1"},
                                  {"runnel.default.history_turns", "100001"},
                                  {"runnel.default.history_turns", "1.5"},
                                  {"runnel.default.history_turns", "-1"},
                                  {"runnel.default.history_turns", ""},
                                  {"runnel.default.backchannel_ms", "1001"},
                                  {"runnel.default.backchannel_ms", "0.5"},
                                  {"runnel.default.song.step_max", "7"},
                                  {"runnel.default.text", "7"},
                                  {"runnel.default.textstep_max", "7"},
                                  {"general.name", "x"},
                                  {"runnel.default.text.", "7"},
                                  {"", ""}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (config_set_default(c, bad[i][0], bad[i][1]))
            fail_msg("%s = %s was taken", bad[i][0], bad[i][1]);
}

/* ---- Keys of a GGUF file ---- */

static char path[] = "/tmp/runnel-config-XXXXXX";

static int setup(void **state) {
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 ? 1 : close(fd);
}

static int teardown(void **state) {
    (void)state;
    return unlink(path);
}

static gguf *finish(gguf_writer *w) {
    rnl_error error = {0};
    gguf *g = NULL;
    if (gguf_writer_begin_data(w, &error) != RNL_OK || gguf_writer_finish(&w, &error) != RNL_OK ||
        gguf_open(path, &g, &error) != RNL_OK)
        fail_msg("%s", error.text);
    return g;
}

static void written_defaults_read_back(void **state) {
    (void)state;
    model_config a = *fresh(CODEC_LFM, 12, "x");
    assert_true(config_set_default(&a, "runnel.default.text.system", "Be brief."));
    assert_true(config_set_default(&a, "runnel.default.speak.audio_top_k", "3"));
    assert_true(config_set_default(&a, "runnel.default.speak.text_temperature", "0.5"));
    assert_true(config_set_default(&a, "runnel.default.interleaved.step_max", "9"));
    assert_true(config_set_default(&a, "runnel.default.text.text_min_p", "0.25"));
    assert_true(config_set_default(&a, "runnel.default.text.text_repeat_penalty", "1.5"));
    assert_true(config_set_default(&a, "runnel.default.history_turns", "3"));
    assert_true(config_set_default(&a, "runnel.default.backchannel_ms", "600"));
    gguf_writer *w = NULL;
    assert_int_equal(gguf_writer_create(path, &w, NULL), RNL_OK);
    config_write_defaults(&a, w);
    gguf *g = finish(w);
    model_config b = *fresh(CODEC_LFM, 12, "x");
    config_read_defaults(&b, g);
    assert_int_equal(b.history_turns, 3);
    assert_int_equal(b.backchannel_ms, 600);
    for (int m = 0; m < RNL_MODE_COUNT; m++) {
        assert_int_equal(a.modes[m].has_prompt, b.modes[m].has_prompt);
        assert_string_equal(a.modes[m].prompt, b.modes[m].prompt);
        assert_memory_equal(&a.modes[m].text, &b.modes[m].text, sizeof a.modes[m].text);
        assert_memory_equal(&a.modes[m].audio, &b.modes[m].audio, sizeof a.modes[m].audio);
        assert_int_equal(a.modes[m].step_max, b.modes[m].step_max);
    }
    gguf_close(&g);
}

/* What a bundle says out of range is not taken; the defaults stay. */
static void wild_defaults_are_left_out(void **state) {
    (void)state;
    gguf_writer *w = NULL;
    assert_int_equal(gguf_writer_create(path, &w, NULL), RNL_OK);
    gguf_put_u32(w, "runnel.default.history_turns", 100001);
    gguf_put_u32(w, "runnel.default.backchannel_ms", 1001);
    gguf_put_f32(w, "runnel.default.text.text_temperature", -1.0f);
    gguf_put_u32(w, "runnel.default.text.text_top_k", 0);
    gguf_put_u32(w, "runnel.default.text.step_max", UINT32_MAX);
    gguf_put_string(w, "runnel.default.speak.audio_temperature", "1", 1);
    char huge[2 * CONFIG_PROMPT_CAP];
    memset(huge, 'x', sizeof huge);
    gguf_put_string(w, "runnel.default.speak.system", huge, sizeof huge);
    gguf *g = finish(w);
    const model_config before = *fresh(CODEC_LFM, 12, "x");
    model_config after = before;
    config_read_defaults(&after, g);
    assert_memory_equal(&before, &after, sizeof before);
    gguf_close(&g);
}

/* Three layers: a convolution, attention, attention with as many KV heads as heads. */
static void make_stack(stack_config *c) {
    const stack_layer_config all = {.kinds = {&stack_attention, &stack_dense},
                                    .head_count = 4,
                                    .kv_head_count = 2,
                                    .head_width = 32, /* not width / heads */
                                    .window = 30,
                                    .rotary = {.base = 5e5, .pair_count = 16},
                                    .taps = 5};
    memset(c, 0, sizeof *c);
    c->width = 64;
    c->layer_count = 3;
    c->eps = 1e-6f;
    stack_config_fill(c, &all);
    c->layers[0].kinds[STACK_OPERATOR] = &stack_convolution;
    c->layers[0].kv_head_count = 0;
    c->layers[2].kv_head_count = 4;
}

static rnl_status through_a_file(const stack_config *in, stack_config *out, rnl_error *error) {
    gguf_writer *w = NULL;
    assert_int_equal(gguf_writer_create(path, &w, NULL), RNL_OK);
    config_write_lfm2(in, w, "detok.", 128, 100, 4096);
    gguf *g = finish(w);
    const rnl_status status = config_read_lfm2(out, g, "detok.", error);
    gguf_close(&g);
    return status;
}

static void written_stacks_read_back(void **state) {
    (void)state;
    static stack_config in, out;
    make_stack(&in);
    rnl_error error = {0};
    if (through_a_file(&in, &out, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_memory_equal(&out, &in, sizeof out);
}

/* Lists, as config.json has them; and a lie in each. */
static void written_lists_read_back(void **state) {
    (void)state;
    static stack_config in, out, bad[8];
    stack_json_model model;
    rnl_error error = {0};
    if (stack_json_load(TEST_DATA "/stack/all/config.json", &in, &model, &error) != RNL_OK)
        fail_msg("%s", error.text);
    assert_true(model.tied && model.vocab_count == 96);
    assert_string_equal(config_architecture(&in), "runnel");
    if (through_a_file(&in, &out, &error) != RNL_OK) fail_msg("%s", error.text);
    assert_memory_equal(&out, &in, sizeof out);
    for (int i = 0; i < 8; i++) bad[i] = in;
    bad[0].layers[0].taps = 65;
    bad[1].layers[1].kv_head_count = 3;
    bad[2].layers[2].window = (1 << 20) + 1;
    bad[3].layers[3].head_count = 5; /* does not divide the width */
    bad[4].layers[4].state_width = 0;
    bad[5].layers[7].ff_width = 0;
    bad[6].layers[6].ff_above = 2; /* which has none of its own */
    bad[7].layers[9].kv_above = 1; /* of other heads */
    for (int i = 0; i < 8; i++) {
        if (through_a_file(&bad[i], &out, &error) != RNL_ERR_FORMAT) fail_msg("lie %d taken", i);
        if (strstr(error.text, path) == NULL) fail_msg("lie %d: '%s'", i, error.text);
    }
}

/* The same with experts in the last two. */
static void make_experts(stack_config *c) {
    const stack_layer_config all = {.ff_width = 48,
                                    .expert_count = 8,
                                    .expert_used = 3,
                                    .expert_norm = true,
                                    .expert_scale = 1};
    make_stack(c);
    for (int i = 1; i < 3; i++) config_set_experts(&c->layers[i], &all);
}

static void written_experts_read_back(void **state) {
    (void)state;
    static stack_config in, out;
    rnl_error error = {0};
    for (int way = 0; way < 2; way++) { /* what llama.cpp takes for granted, and not */
        make_experts(&in);
        for (int i = 1; i < 3 && way == 1; i++) {
            in.layers[i].expert_norm = false;
            in.layers[i].expert_scale = 1.5f;
        }
        if (through_a_file(&in, &out, &error) != RNL_OK) fail_msg("%s", error.text);
        assert_memory_equal(&out, &in, sizeof out);
    }
}

/* A file of the architecture with a key changed, or added. */
static rnl_status with_key(const char *key, int64_t value, rnl_error *error) {
    static const struct {
        const char *name;
        uint32_t value;
    } keys[] = {{"block_count", 3},
                {"embedding_length", 64},
                {"attention.head_count", 4},
                {"shortconv.l_cache", 3},
                {"expert_count", 8},
                {"expert_used_count", 3},
                {"expert_feed_forward_length", 48},
                {"expert_gating_func", 2},
                {"leading_dense_block_count", 1}};
    static const int32_t heads[] = {0, 2, 0};
    static stack_config out;
    gguf_writer *w = NULL;
    char name[96];
    assert_int_equal(gguf_writer_create(path, &w, NULL), RNL_OK);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const bool changes = strcmp(keys[i].name, key) == 0;
        (void)snprintf(name, sizeof name, "lfm2moe.%s", keys[i].name);
        if (!changes || value >= 0)
            gguf_put_u32(w, name, changes ? (uint32_t)value : keys[i].value);
    }
    gguf_put_i32_array(w, "lfm2moe.attention.head_count_kv", heads, 3);
    gguf *g = finish(w);
    const rnl_status status = config_read_lfm2(&out, g, "", error);
    gguf_close(&g);
    return status;
}

static void each_lie_of_experts_is_refused(void **state) {
    (void)state;
    const struct {
        const char *key;
        int64_t value; /* -1: the key is missing */
        rnl_status status;
    } rows[] = {{"none", 0, RNL_OK},
                {"leading_dense_block_count", -1, RNL_OK},
                {"leading_dense_block_count", 3, RNL_OK},
                {"leading_dense_block_count", 4, RNL_ERR_FORMAT},
                {"expert_count", 0, RNL_ERR_FORMAT},
                {"expert_count", 2, RNL_ERR_FORMAT},
                {"expert_count", 4097, RNL_ERR_FORMAT},
                {"expert_count", -1, RNL_ERR_FORMAT},
                {"expert_used_count", 0, RNL_ERR_FORMAT},
                {"expert_used_count", 9, RNL_ERR_FORMAT},
                {"expert_used_count", 65, RNL_ERR_FORMAT},
                {"expert_feed_forward_length", 0, RNL_ERR_FORMAT},
                {"expert_feed_forward_length", (1 << 20) + 1, RNL_ERR_FORMAT},
                {"expert_gating_func", -1, RNL_ERR_FORMAT},
                {"expert_gating_func", 1, RNL_ERR_UNSUPPORTED},
                {"expert_gating_func", 3, RNL_ERR_UNSUPPORTED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rnl_error error = {0};
        const rnl_status status = with_key(rows[i].key, rows[i].value, &error);
        if (status != rows[i].status)
            fail_msg("%s = %d: %s %s", rows[i].key, (int)rows[i].value, rnl_status_name(status),
                     error.text);
        if (status != RNL_OK && strstr(error.text, path) == NULL) fail_msg("'%s'", error.text);
    }
}

static void each_lie_of_a_stack_is_refused(void **state) {
    (void)state;
    static stack_config bad[8], out;
    for (int i = 0; i < 8; i++) make_stack(&bad[i]);
    bad[0].layer_count = 0;
    bad[1].width = 1 << 21;
    for (int i = 0; i < 3; i++) bad[2].layers[i].head_count = 0;
    bad[3].layers[1].kv_head_count = 3; /* does not divide 4 */
    bad[4].layers[1].kv_head_count = -2;
    bad[5].layers[1].kv_head_count = 5;
    bad[6].layers[0].taps = 65;
    for (int i = 0; i < 3; i++) bad[7].layers[i].head_width = 31; /* odd: no rotary pairs */
    for (int i = 0; i < 8; i++) {
        rnl_error error = {0};
        if (through_a_file(&bad[i], &out, &error) != RNL_ERR_FORMAT) fail_msg("lie %d taken", i);
        if (strstr(error.text, path) == NULL) fail_msg("lie %d: '%s'", i, error.text);
    }
    gguf_writer *w = NULL; /* no keys at all */
    assert_int_equal(gguf_writer_create(path, &w, NULL), RNL_OK);
    gguf *g = finish(w);
    rnl_error error = {0};
    assert_int_equal(config_read_lfm2(&out, g, "", &error), RNL_ERR_FORMAT);
    assert_non_null(strstr(error.text, "lfm2.block_count"));
    gguf_close(&g);
}

/* family.md 3.3, by names as folders and converters write them. */
static void text_models_sample_as_their_cards_say(void **state) {
    (void)state;
    static const struct {
        const char *name;
        rnl_sampling how;
    } rows[] = {
        {"LFM2-350M", {0.3f, INT32_MAX, 1, 0.15f, 1.05f}},
        {"LFM2 8B A1B", {0.3f, INT32_MAX, 1, 0.15f, 1.05f}},
        {"Lfm2_2.6B", {0.3f, INT32_MAX, 1, 0.15f, 1.05f}},
        {"LFM2.5-1.2B-Instruct", {0.1f, 50, 1, 0, 1.05f}},
        {"LFM2.5 1.2B Thinking", {0.05f, 50, 1, 0, 1.05f}},
        {"LFM2.5-2.6B-GGUF", {0.1f, 50, 1, 0, 1.1f}},
        {"LFM2-VL-450M", {0.1f, INT32_MAX, 1, 0.15f, 1.05f}},
        {"LFM2-1.2B-Extract", {0, 1, 1, 0, 1}},
        {"LFM2-350M-ENJP-MT", {0, 1, 1, 0, 1}},
        {"my own model", {0, 1, 1, 0, 1}},
        {"", {0, 1, 1, 0, 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static model_config c;
        memset(&c, 0, sizeof c);
        strcpy(c.name, rows[i].name);
        config_defaults(&c);
        if (memcmp(&c.modes[RNL_MODE_TEXT].text, &rows[i].how, sizeof rows[i].how) != 0)
            fail_msg("%s: %g, %d, %g", rows[i].name,
                     (double)c.modes[RNL_MODE_TEXT].text.temperature,
                     c.modes[RNL_MODE_TEXT].text.top_k,
                     (double)c.modes[RNL_MODE_TEXT].text.repeat_penalty);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_model),
        cmocka_unit_test(japanese_is_a_word_of_the_name),
        cmocka_unit_test(text_models_sample_as_their_cards_say),
        cmocka_unit_test(single_defaults_are_set_by_key),
        cmocka_unit_test(written_defaults_read_back),
        cmocka_unit_test(wild_defaults_are_left_out),
        cmocka_unit_test(written_stacks_read_back),
        cmocka_unit_test(written_lists_read_back),
        cmocka_unit_test(written_experts_read_back),
        cmocka_unit_test(each_lie_of_experts_is_refused),
        cmocka_unit_test(each_lie_of_a_stack_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
