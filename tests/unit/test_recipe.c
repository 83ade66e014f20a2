/* Recipes against the rules and the tables of backbone.md 6.6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/recipe.h"
#include "stack/kind.h"

static stack_config config_of(int layer_count, const int *attention, int attention_count) {
    const stack_layer_config all = {.kinds = {&stack_convolution, &stack_dense}};
    stack_config c = {.layer_count = layer_count};
    stack_config_fill(&c, &all);
    for (int i = 0; i < attention_count; i++)
        c.layers[attention[i]].kinds[STACK_OPERATOR] = &stack_attention;
    return c;
}

static stack_config config_1_2b(void) {
    return config_of(16, (const int[]){2, 5, 8, 10, 12, 14}, 6);
}

static quant_type type_in(const char *recipe_name, const stack_config *c, int block,
                          const char *kind) {
    const recipe *r = recipe_find(recipe_name);
    char name[64];
    assert_non_null(r);
    (void)snprintf(name, sizeof name, "blk.%d.%s.weight", block, kind);
    return recipe_type(r, c, false, name, 2048);
}

/* The blocks of ffn_down and attn_v that are Q6_K under both _m mixtures. */
static void check_more(const stack_config *c, const int *down, int down_count, const int *value,
                       int value_count) {
    const char *const names[] = {"q4_k_m", "q5_k_m"};
    const quant_type bases[] = {QUANT_Q4_K, QUANT_Q5_K};
    for (int n = 0; n < 2; n++) {
        for (int i = 0, d = 0, v = 0; i < c->layer_count; i++) {
            const bool is_down = d < down_count && down[d] == i;
            const bool is_value = v < value_count && value[v] == i;
            assert_int_equal(type_in(names[n], c, i, "ffn_down"), is_down ? QUANT_Q6_K : bases[n]);
            if (c->layers[i].kinds[STACK_OPERATOR] == &stack_attention)
                assert_int_equal(type_in(names[n], c, i, "attn_v"),
                                 is_value ? QUANT_Q6_K : bases[n]);
            d += is_down;
            v += is_value;
            assert_int_equal(type_in(names[n], c, i, "attn_output"), bases[n]);
            assert_int_equal(type_in(names[n], c, i, "ffn_gate"), bases[n]);
        }
    }
}

static void medium_mixtures_have_the_positions_of_the_table(void **state) {
    (void)state;
    stack_config c = config_1_2b();
    check_more(&c, (const int[]){0, 1, 4, 7, 10, 13, 14, 15}, 8, (const int[]){8, 14}, 2);
    c = config_of(14, (const int[]){2, 4, 6, 8, 10, 12}, 6);
    check_more(&c, (const int[]){0, 3, 6, 9, 12, 13}, 6, (const int[]){6, 12}, 2);
    c = config_of(30, (const int[]){2, 5, 9, 13, 17, 21, 24, 27}, 8);
    check_more(&c, (const int[]){0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 26, 27, 28, 29}, 14,
               (const int[]){2, 13, 24, 27}, 4);
}

static void other_mixtures_follow_their_rules(void **state) {
    (void)state;
    const stack_config c = config_1_2b();
    const int attention[] = {2, 5, 8, 10, 12, 14};
    for (int i = 0; i < 6; i++) {
        const int at = attention[i];
        assert_int_equal(type_in("q4_k_s", &c, at, "attn_v"), i < 4 ? QUANT_Q5_K : QUANT_Q4_K);
        assert_int_equal(type_in("q3_k_m", &c, at, "attn_v"), i < 2 ? QUANT_Q5_K : QUANT_Q4_K);
        assert_int_equal(type_in("q3_k_l", &c, at, "attn_v"), QUANT_Q5_K);
        assert_int_equal(type_in("q2_k", &c, at, "attn_v"), QUANT_Q3_K);
        assert_int_equal(type_in("iq4_nl", &c, at, "attn_v"), QUANT_IQ4_NL);
        assert_int_equal(type_in("q3_k_m", &c, at, "attn_output"), QUANT_Q4_K);
        assert_int_equal(type_in("q3_k_l", &c, at, "attn_output"), QUANT_Q5_K);
        assert_int_equal(type_in("q2_k", &c, at, "attn_output"), QUANT_Q3_K);
        assert_int_equal(type_in("q4_k_s", &c, at, "attn_output"), QUANT_Q4_K);
    }
    for (int i = 0; i < 16; i++) {
        assert_int_equal(type_in("q4_k_s", &c, i, "ffn_down"), i < 2 ? QUANT_Q5_K : QUANT_Q4_K);
        assert_int_equal(type_in("q3_k_m", &c, i, "ffn_down"), i < 1 ? QUANT_Q5_K : QUANT_Q4_K);
        assert_int_equal(type_in("q3_k_l", &c, i, "ffn_down"), QUANT_Q5_K);
        assert_int_equal(type_in("q2_k", &c, i, "ffn_down"), QUANT_Q3_K);
        assert_int_equal(type_in("iq4_nl", &c, i, "ffn_down"), i < 2 ? QUANT_Q5_K : QUANT_IQ4_NL);
        assert_int_equal(type_in("q4_k", &c, i, "ffn_down"), QUANT_Q4_K);
    }
}

static void head_and_audio_parts_have_their_types(void **state) {
    (void)state;
    const stack_config c = config_1_2b();
    const recipe *r = recipe_find("q4_k_m");
    assert_int_equal(recipe_type(r, &c, false, "token_embd.weight", 2048), QUANT_Q6_K);
    assert_int_equal(recipe_type(r, &c, true, "token_embd.weight", 2048), QUANT_Q4_K);
    assert_int_equal(recipe_type(r, &c, true, "output.weight", 2048), QUANT_Q6_K);
    assert_int_equal(recipe_type(r, &c, false, "a.blk.0.ffn_down.weight", 2048), QUANT_Q4_K);
    assert_int_equal(recipe_type(r, &c, false, "detok.blk.0.ffn_down.weight", 2304), QUANT_Q4_K);
    assert_int_equal(recipe_type(r, &c, false, "blk.16.ffn_down.weight", 2048), QUANT_Q4_K);
    assert_int_equal(recipe_type(recipe_find("q8_0"), &c, false, "token_embd.weight", 2048),
                     QUANT_Q8_0);
    assert_int_equal(recipe_type(recipe_find("f32"), &c, false, "token_embd.weight", 2048),
                     QUANT_F32);
    assert_int_equal(recipe_type(recipe_find("q4_0"), &c, false, "token_embd.weight", 2048),
                     QUANT_Q6_K);
}

/* Stacks of experts have the types of dense matrices in their place: LFM2-8B-A1B. */
static void experts_follow_the_rules_of_dense_parts(void **state) {
    (void)state;
    stack_config c = config_of(24, (const int[]){2, 6, 10, 14, 18, 21}, 6);
    const stack_config dense = c;
    for (int i = 2; i < 24; i++) c.layers[i].kinds[STACK_FEED_FORWARD] = &stack_experts;
    const char *const names[] = {"q4_0", "q8_0", "q4_k_m", "q4_k_s", "q2_k"};
    for (int n = 0; n < 5; n++)
        for (int i = 2; i < 24; i++) {
            assert_int_equal(type_in(names[n], &c, i, "ffn_down_exps"),
                             type_in(names[n], &dense, i, "ffn_down"));
            assert_int_equal(type_in(names[n], &c, i, "ffn_gate_exps"),
                             type_in(names[n], &dense, i, "ffn_gate"));
            assert_int_equal(type_in(names[n], &c, i, "ffn_up_exps"),
                             type_in(names[n], &dense, i, "ffn_up"));
        }
    assert_int_equal(type_in("q4_k_m", &c, 2, "ffn_down_exps"), QUANT_Q6_K);
    assert_int_equal(type_in("q4_k_m", &c, 3, "ffn_down_exps"), QUANT_Q4_K);
}

/* The encoder rows of minnow have 160 elements. */
static void short_rows_fall_back(void **state) {
    (void)state;
    static const struct {
        const char *recipe;
        quant_type at_160, at_48;
    } rows[] = {
        {"q2_k", QUANT_Q4_0, QUANT_F16},     {"q3_k_m", QUANT_Q4_0, QUANT_F16},
        {"q4_k_m", QUANT_Q5_0, QUANT_F16},   {"q5_k_m", QUANT_Q5_1, QUANT_F16},
        {"q6_k", QUANT_Q8_0, QUANT_F16},     {"q4_0", QUANT_Q4_0, QUANT_F16},
        {"iq4_nl", QUANT_IQ4_NL, QUANT_F16}, {"bf16", QUANT_BF16, QUANT_BF16},
    };
    const stack_config c = config_1_2b();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const recipe *r = recipe_find(rows[i].recipe);
        assert_non_null(r);
        assert_int_equal(recipe_type(r, &c, false, "a.blk.0.attn_q.weight", 160), rows[i].at_160);
        assert_int_equal(recipe_type(r, &c, false, "a.blk.0.attn_q.weight", 48), rows[i].at_48);
    }
}

/* Every name of the list is a recipe, whose types can all be written. */
static void names_are_found(void **state) {
    (void)state;
    char names[256];
    int count = 0;
    const stack_config c = config_1_2b();
    (void)snprintf(names, sizeof names, "%s", recipe_names());
    for (char *at = names, *name; (name = strtok_r(at, ", ", &at)) != NULL; count++) {
        const recipe *r = recipe_find(name);
        if (r == NULL) fail_msg("%s: no recipe", name);
        for (int i = 0; i < 16; i++) {
            assert_true(quant_is_written(type_in(name, &c, i, "ffn_down")));
            assert_true(quant_is_written(type_in(name, &c, i, "attn_v")));
        }
        assert_true(quant_is_written(r->head) && quant_is_written(r->base));
        assert_non_null(recipe_of_type(r->base));
    }
    assert_int_equal(count, 18);
    assert_ptr_equal(recipe_find("Q4_K_M"), recipe_find("q4_k_m"));
    assert_null(recipe_find("q4_k_"));
    assert_null(recipe_find("q4_k_mm"));
    assert_null(recipe_find(""));
    assert_int_equal(recipe_of_type(QUANT_Q4_K)->base, QUANT_Q4_K);
    assert_null(recipe_of_type(QUANT_IQ4_XS));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(medium_mixtures_have_the_positions_of_the_table),
        cmocka_unit_test(other_mixtures_follow_their_rules),
        cmocka_unit_test(head_and_audio_parts_have_their_types),
        cmocka_unit_test(experts_follow_the_rules_of_dense_parts),
        cmocka_unit_test(short_rows_fall_back),
        cmocka_unit_test(names_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
