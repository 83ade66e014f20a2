/* What files say of a vision model: the released constants, where Hugging Face directories have
 * theirs, one lie at a time, and the keys of a set written and read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/vision_config.h"
#include "tests/support/folder.h"

static folder *place;

static int setup(void **state) {
    const int status = make_folder(state);
    place = *state;
    return status;
}

static char *read_text(const char *path) {
    size_t size;
    char *text = (char *)read_whole(path, &size);
    text[size] = '\0';
    return text;
}

/* NULL: no such file. */
static void put_text(const char *name, const char *text) {
    char path[PATH_CAP];
    name_in(place, name, path);
    (void)unlink(path);
    if (text != NULL) write_file(path, text, strlen(text));
}

static rnl_status read_config(const char *config, const char *flat, const char *processor,
                              model_config *c, rnl_error *error) {
    json *root = NULL;
    put_text("preprocessor_config.json", flat);
    put_text("processor_config.json", processor);
    assert_int_equal(json_parse(config, strlen(config), "config", &root, NULL), RNL_OK);
    memset(c, 0, sizeof *c);
    const rnl_status status = vision_read_hf(c, root, place->path, error);
    json_destroy(&root);
    return status;
}

/* text with its first `from` as `to`; free() it. */
static char *changed(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (at == NULL) fail_msg("there is no %s", from);
    char *out = calloc(1, 1 << 17);
    assert_non_null(out);
    (void)snprintf(out, 1 << 17, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static model_config c;
static const char *const bare = "{\"vision_config\":{}}";

static void without_files_the_constants_are_the_released_ones(void **state) {
    (void)state;
    rnl_error error = {0};
    assert_int_equal(read_config(bare, NULL, NULL, &c, &error), RNL_OK);
    const views_config want = views_config_default();
    assert_true(c.has_tower);
    assert_int_equal(c.tower_layer_count, 12);
    assert_int_equal(c.tower_head_count, 12);
    assert_int_equal(c.views.token_max, 256);
    assert_int_equal(c.views.tile, want.tile);
    assert_true(c.views.thumbnail && c.views.splits && c.views.tolerance == 2.0);
}

static void the_preprocessor_wins_then_what_is_nested(void **state) {
    (void)state;
    rnl_error error = {0};
    const char *processor = "{\"tile_size\":96,\"min_tiles\":3,\"max_tiles\":7,"
                            "\"image_processor\":{\"tile_size\":128,\"min_tiles\":4.0}}";
    assert_int_equal(read_config(bare, "{\"tile_size\":64}", processor, &c, &error), RNL_OK);
    assert_int_equal(c.views.tile, 64);
    assert_int_equal(c.views.tile_min, 4);
    assert_int_equal(c.views.tile_max, 7);
}

static void another_feature_layer_drops_the_last_ones(void **state) {
    (void)state;
    rnl_error error = {0};
    const char *config = "{\"vision_config\":{},\"vision_feature_layer\":-2}";
    assert_int_equal(read_config(config, NULL, NULL, &c, &error), RNL_OK);
    assert_int_equal(c.tower_layer_count, 11);
    config = "{\"vision_config\":{},\"vision_feature_layer\":3}";
    assert_int_equal(read_config(config, NULL, NULL, &c, &error), RNL_ERR_FORMAT);
}

static void each_lie_is_refused(void **state) {
    (void)state;
    const struct {
        bool config;
        const char *from, *to, *part;
    } lies[] = {
        {true, "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 129", "num_hidden_layers"},
        {true, "\"num_attention_heads\": 4,\n  \"num_patches\"",
         "\"num_attention_heads\": 0,\n"
         "  \"num_patches\"",
         "num_attention_heads"},
        {true, "\"patch_size\": 16", "\"patch_size\": 14", "patch_size"},
        {true, "\"num_channels\": 3", "\"num_channels\": 4", "num_channels"},
        {true, "gelu_pytorch_tanh", "quick_gelu", "hidden_act"},
        {true, "\"downsample_factor\": 2", "\"downsample_factor\": 4", "downsample_factor"},
        {true, "\"layer_norm_eps\": 1e-06", "\"layer_norm_eps\": -1", "layer_norm_eps"},
        {false, "\"tile_size\": 64", "\"tile_size\": 80", "tile_size"},
        {false, "\"tile_size\": 64", "\"tile_size\": 4096", "tile_size"},
        {false, "\"min_tiles\": 2", "\"min_tiles\": 7", "min_tiles"},
        {false, "\"max_tiles\": 6", "\"max_tiles\": 101", "max_tiles"},
        {false, "\"min_image_tokens\": 4", "\"min_image_tokens\": 17", "min_image_tokens"},
        {false, "\"max_image_tokens\": 16", "\"max_image_tokens\": 4097", "max_image_tokens"},
        {false, "\"max_pixels_tolerance\": 2.0", "\"max_pixels_tolerance\": 0", "tolerance"},
        {false, "\"resample\": 2", "\"resample\": 1", "resample"},
        {false, "\"use_thumbnail\": true", "\"use_thumbnail\": 1", "use_thumbnail"},
        {false, "\"image_std\": [\n  0.5", "\"image_std\": [\n  0", "image_std"},
        {false, "\"image_mean\": [\n  0.5", "\"image_mean\": [\n  \"x\"", "image_mean"},
        {false, "\"encoder_patch_size\": 16", "\"encoder_patch_size\": 14", "encoder_patch_size"},
    };
    char *config = read_text(TEST_DATA "/vl/tiny/config.json");
    char *flat = read_text(TEST_DATA "/vl/tiny/preprocessor_config.json");
    rnl_error error = {0};
    assert_int_equal(read_config(config, flat, NULL, &c, &error), RNL_OK);
    assert_int_equal(c.views.token_max, 16);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        char *lie = changed(lies[i].config ? config : flat, lies[i].from, lies[i].to);
        const rnl_status status = read_config(lies[i].config ? lie : config,
                                              lies[i].config ? flat : lie, NULL, &c, &error);
        if (status != RNL_ERR_FORMAT) fail_msg("%s was taken", lies[i].to);
        if (strstr(error.text, place->path) == NULL || strstr(error.text, lies[i].part) == NULL)
            fail_msg("%s: '%s' lacks the path or '%s'", lies[i].to, error.text, lies[i].part);
        free(lie);
    }
    free(config);
    free(flat);
}

static void keys_are_written_and_read_again(void **state) {
    (void)state;
    char path[PATH_CAP];
    name_in(place, "keys.gguf", path);
    char *config = read_text(TEST_DATA "/vl/tiny/config.json");
    char *flat = read_text(TEST_DATA "/vl/tiny/preprocessor_config.json");
    static model_config got;
    rnl_error error = {0};
    assert_int_equal(read_config(config, flat, NULL, &c, &error), RNL_OK);
    c.views.mean[1] = 0.25f;
    c.views.filter = VIEWS_BICUBIC;
    gguf_writer *w = NULL;
    assert_int_equal(gguf_writer_create(path, &w, &error), RNL_OK);
    vision_write_gguf(&c, w, 96, 160);
    assert_int_equal(gguf_writer_begin_data(w, &error), RNL_OK);
    assert_int_equal(gguf_writer_finish(&w, &error), RNL_OK);
    gguf *g = NULL;
    assert_int_equal(gguf_open(path, &g, &error), RNL_OK);
    assert_true(vision_is_in_gguf(g));
    if (vision_read_gguf(&got, g, &error) != RNL_OK) fail_msg("%s", error.text);
    const views_config *a = &got.views, *b = &c.views;
    assert_int_equal(a->token_min, b->token_min);
    assert_int_equal(a->token_max, b->token_max);
    assert_int_equal(a->tile, b->tile);
    assert_int_equal(a->tile_min, b->tile_min);
    assert_int_equal(a->tile_max, b->tile_max);
    assert_int_equal(a->filter, b->filter);
    assert_true(a->splits == b->splits && a->thumbnail == b->thumbnail);
    assert_true(a->tolerance == b->tolerance);
    assert_memory_equal(a->mean, b->mean, sizeof a->mean);
    assert_memory_equal(a->deviation, b->deviation, sizeof a->deviation);
    assert_int_equal(got.tower_layer_count, c.tower_layer_count);
    assert_int_equal(got.tower_head_count, c.tower_head_count);
    assert_true(got.tower_eps == c.tower_eps);
    gguf_close(&g);
    free(config);
    free(flat);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_files_the_constants_are_the_released_ones),
        cmocka_unit_test(the_preprocessor_wins_then_what_is_nested),
        cmocka_unit_test(another_feature_layer_drops_the_last_ones),
        cmocka_unit_test(each_lie_is_refused),
        cmocka_unit_test(keys_are_written_and_read_again),
    };
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
