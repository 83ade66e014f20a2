/* config.json of a stack: what is read is what was written, `lfm2` where others can read it, and
 * what does not fit is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stack/kind.h"
#include "stack/stack_json.h"
#include "stack/stack_lists.h"

static stack_config config, again;
static rnl_error error;

static rnl_status parse(const char *text, stack_config *c) {
    json *root = NULL;
    assert_int_equal(json_parse(text, strlen(text), "config.json", &root, &error), RNL_OK);
    json_fields f = {.object = root, .path = "config.json", .section = "", .error = &error};
    stack_json_read(&f, c, false);
    json_destroy(&root);
    return f.status;
}

static char *text_of(const stack_config *c) {
    json_draft *object = json_new_object();
    stack_json_write(object, c);
    char *text = json_text(object);
    assert_non_null(text);
    json_drop(&object);
    return text;
}

static void assert_same(const stack_config *a, const stack_config *b) {
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->layer_count, b->layer_count);
    assert_true(a->eps == b->eps);
    for (int i = 0; i < a->layer_count; i++) {
        const stack_layer_config *x = &a->layers[i], *y = &b->layers[i];
        assert_ptr_equal(x->kinds[STACK_OPERATOR], y->kinds[STACK_OPERATOR]);
        assert_ptr_equal(x->kinds[STACK_FEED_FORWARD], y->kinds[STACK_FEED_FORWARD]);
        for (int n = 0; n < STACK_LIST_COUNT; n++)
            if (stack_list_entry(&stack_lists[n], a, i) != stack_list_entry(&stack_lists[n], b, i))
                fail_msg("layer %d: %s", i, stack_lists[n].name);
        assert_int_equal(x->head_width, y->head_width);
        assert_true(x->rotary.base == y->rotary.base);
    }
}

static const char all_kinds[] =
    "{\"model_type\":\"runnel_stack\",\"hidden_size\":64,\"num_hidden_layers\":7,"
    "\"num_attention_heads\":8,\"norm_eps\":1e-05,\"rope_theta\":10000,\"vocab_size\":512,"
    "\"layer_types\":[\"conv\",\"full_attention\",\"sliding_attention\",\"linear_attention\","
    "\"linear_attention\",\"ssd\",\"full_attention\"],"
    "\"conv_L_cache\":[7,0,0,0,0,0,0],\"num_key_value_heads\":[0,4,2,0,0,0,4],"
    "\"sliding_window\":[0,0,16,0,0,0,0],\"linear_kind\":[0,0,0,\"sum\",1,0,0],"
    "\"linear_heads\":[0,0,0,4,2,0,0],\"ssm_state\":[0,0,0,0,0,32,0],"
    "\"ssm_heads\":[0,0,0,0,0,2,0],\"intermediate_size\":[96,128,128,96,80,64,128],"
    "\"share_ffn\":[-1,-1,1,-1,3,-1,-1],\"share_kv\":[-1,-1,-1,-1,-1,-1,1]}";

static void lists_are_read(void **state) {
    (void)state;
    if (parse(all_kinds, &config) != RNL_OK) fail_msg("%s", error.text);
    const stack_layer_config *l = config.layers;
    assert_int_equal(config.layer_count, 7);
    assert_int_equal(l[0].taps, 7);
    assert_true(l[1].kv_head_count == 4 && l[1].window == 0 && l[1].head_count == 8);
    assert_true(l[2].kv_head_count == 2 && l[2].window == 16 && l[2].ff_above == 1);
    assert_true(l[3].linear == STACK_LINEAR_SUM && l[3].head_count == 4 && l[3].head_width == 16);
    assert_true(l[4].linear == STACK_LINEAR_DECAY && l[4].head_width == 32 && l[4].ff_above == 1);
    assert_true(l[5].state_width == 32 && l[5].head_count == 2 && l[5].head_width == 32);
    assert_int_equal(l[5].taps, 4);
    assert_true(l[6].kv_above == 5 && l[6].ff_above == 0);
    assert_int_equal(l[4].ff_width, 96); /* that of what it shares */
    assert_true(l[5].ff_width == 64 && l[6].ff_width == 128);
    assert_true(l[1].rotary.base == 1e4 && config.eps == 1e-5f);
    assert_true(stack_lists_needed(&config));
}

static void what_is_written_is_read(void **state) {
    (void)state;
    assert_int_equal(parse(all_kinds, &config), RNL_OK);
    char *text = text_of(&config);
    if (parse(text, &again) != RNL_OK) fail_msg("%s", error.text);
    assert_same(&config, &again);
    assert_non_null(strstr(text, "runnel_stack"));
    assert_null(strstr(text, "9.99")); /* the decimal that was meant, not that of the float */
    free(text);
}

/* Number in place of lists, all alike: LFM2's own words, and the words of a list otherwise. */
static void a_stack_of_lfm2_is_written_as_one(void **state) {
    (void)state;
    static const char plain[] =
        "{\"model_type\":\"runnel_stack\",\"hidden_size\":64,\"num_hidden_layers\":3,"
        "\"num_attention_heads\":8,\"layer_types\":[\"conv\",\"full_attention\",\"conv\"],"
        "\"conv_L_cache\":5,\"num_key_value_heads\":2,\"intermediate_size\":[96,96,96]}";
    if (parse(plain, &config) != RNL_OK) fail_msg("%s", error.text);
    assert_true(stack_json_is_plain(&config));
    assert_false(stack_lists_needed(&config));
    char *text = text_of(&config);
    assert_non_null(strstr(text, "Lfm2ForCausalLM"));
    assert_null(strstr(text, "runnel_stack"));
    if (parse(text, &again) != RNL_OK) fail_msg("%s", error.text);
    for (int i = 0; i < 3; i++) again.layers[i].ff_width = 96; /* which tensors would have told */
    assert_same(&config, &again);
    free(text);
    config.layers[2].taps = 3;
    assert_false(stack_json_is_plain(&config));
    config.layers[2].taps = 5;
    config.layers[2].ff_width = 64;
    assert_false(stack_json_is_plain(&config));
    config.layers[2].ff_width = 96;
    config.layers[1].window = 4;
    assert_false(stack_json_is_plain(&config));
    config.layers[1].window = 0;
    config.layers[2].ff_above = 1;
    assert_false(stack_json_is_plain(&config));
}

/* Of the text above, with one piece changed. */
static void assert_refused(const char *from, const char *to, const char *named) {
    char text[sizeof all_kinds + 64];
    const char *at = strstr(all_kinds, from);
    assert_non_null(at);
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - all_kinds), all_kinds, to,
                   at + strlen(from));
    error.text[0] = '\0';
    if (parse(text, &config) != RNL_ERR_FORMAT) fail_msg("%s -> %s: taken", from, to);
    if (strstr(error.text, named) == NULL) fail_msg("%s -> %s: %s", from, to, error.text);
}

static void what_does_not_fit_is_named(void **state) {
    (void)state;
    assert_refused("\"conv\"", "\"convolution\"", "layer_types");
    assert_refused("\"conv\",", "", "layer_types");
    assert_refused("[7,0", "[0,0", "conv_L_cache");
    assert_refused("[7,0", "[65,0", "conv_L_cache");
    assert_refused("[7,0", "[0", "conv_L_cache");
    assert_refused("\"conv_L_cache\"", "\"taps\"", "conv_L_cache");
    assert_refused("[0,4,2", "[0,3,2", "key/value");
    assert_refused("0,16,0", "0,0,0", "sliding_window");
    assert_refused("\"sum\"", "\"product\"", "linear_kind");
    assert_refused("[0,0,0,4,2", "[0,0,0,5,2", "linear_heads");
    assert_refused("0,32,0", "0,0,0", "ssm_state");
    assert_refused("0,2,0]", "0,3,0]", "ssm_heads");
    assert_refused("[96,128", "[0,128", "intermediate_size");
    assert_refused("[-1,-1,1,", "[-1,-1,2,", "share_ffn"); /* itself */
    assert_refused(",1,-1,3,", ",1,-1,2,", "share_ffn");   /* which has none of its own */
    assert_refused("-1,-1,1]", "-1,-1,2]", "share_kv");    /* a window's */
    assert_refused("-1,-1,1]", "-1,-1,0]", "share_kv");    /* a convolution's */
    assert_refused("-1,-1,1]", "-1,-1,-2]", "share_kv");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_stack_of_lfm2_is_written_as_one),
        cmocka_unit_test(what_does_not_fit_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
