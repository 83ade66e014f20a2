/* The table of recipes and the rules that it is read by: backbone.md 6.6. */
#include "engine/recipe.h"

#include <string.h>

#include "stack/kind.h"

/* One type for all matrices, but the head. */
#define PLAIN(label, number, type, head_type)                                                      \
    {                                                                                              \
        .name = (label), .file_type = (number), .base = (type), .head = (head_type),               \
        .attention_out = (type), .value_rest = (type), .down_rest = (type)                         \
    }

static const recipe recipes[] = {
    PLAIN("f32", 0, QUANT_F32, QUANT_F32),
    PLAIN("f16", 1, QUANT_F16, QUANT_F16),
    PLAIN("bf16", 32, QUANT_BF16, QUANT_BF16),
    PLAIN("q8_0", 7, QUANT_Q8_0, QUANT_Q8_0),
    PLAIN("q6_k", 18, QUANT_Q6_K, QUANT_Q6_K),
    PLAIN("q5_k_s", 16, QUANT_Q5_K, QUANT_Q6_K),
    PLAIN("q5_1", 9, QUANT_Q5_1, QUANT_Q6_K),
    PLAIN("q5_0", 8, QUANT_Q5_0, QUANT_Q6_K),
    PLAIN("q4_1", 3, QUANT_Q4_1, QUANT_Q6_K),
    PLAIN("q4_0", 2, QUANT_Q4_0, QUANT_Q6_K),
    /* llama-quantize takes this name for Q4_K_M; here it is what it says. */
    PLAIN("q4_k", 14, QUANT_Q4_K, QUANT_Q6_K),
    {.name = "q5_k_m",
     .file_type = 17,
     .base = QUANT_Q5_K,
     .head = QUANT_Q6_K,
     .attention_out = QUANT_Q5_K,
     .value_share = SHARE_MORE,
     .value = QUANT_Q6_K,
     .value_rest = QUANT_Q5_K,
     .down_share = SHARE_MORE,
     .down = QUANT_Q6_K,
     .down_rest = QUANT_Q5_K},
    {.name = "q4_k_m",
     .file_type = 15,
     .base = QUANT_Q4_K,
     .head = QUANT_Q6_K,
     .attention_out = QUANT_Q4_K,
     .value_share = SHARE_MORE,
     .value = QUANT_Q6_K,
     .value_rest = QUANT_Q4_K,
     .down_share = SHARE_MORE,
     .down = QUANT_Q6_K,
     .down_rest = QUANT_Q4_K},
    {.name = "q4_k_s",
     .file_type = 14,
     .base = QUANT_Q4_K,
     .head = QUANT_Q6_K,
     .attention_out = QUANT_Q4_K,
     .value_share = SHARE_FIRST_4,
     .value = QUANT_Q5_K,
     .value_rest = QUANT_Q4_K,
     .down_share = SHARE_FIRST_EIGHTH,
     .down = QUANT_Q5_K,
     .down_rest = QUANT_Q4_K},
    {.name = "iq4_nl",
     .file_type = 25,
     .base = QUANT_IQ4_NL,
     .head = QUANT_Q6_K,
     .attention_out = QUANT_IQ4_NL,
     .value_share = SHARE_NONE,
     .value = QUANT_IQ4_NL,
     .value_rest = QUANT_IQ4_NL,
     .down_share = SHARE_FIRST_EIGHTH,
     .down = QUANT_Q5_K,
     .down_rest = QUANT_IQ4_NL},
    {.name = "q3_k_l",
     .file_type = 13,
     .base = QUANT_Q3_K,
     .head = QUANT_Q6_K,
     .attention_out = QUANT_Q5_K,
     .value_share = SHARE_ALL,
     .value = QUANT_Q5_K,
     .value_rest = QUANT_Q5_K,
     .down_share = SHARE_ALL,
     .down = QUANT_Q5_K,
     .down_rest = QUANT_Q5_K},
    {.name = "q3_k_m",
     .file_type = 12,
     .base = QUANT_Q3_K,
     .head = QUANT_Q6_K,
     .attention_out = QUANT_Q4_K,
     .value_share = SHARE_FIRST_2,
     .value = QUANT_Q5_K,
     .value_rest = QUANT_Q4_K,
     .down_share = SHARE_FIRST_SIXTEENTH,
     .down = QUANT_Q5_K,
     .down_rest = QUANT_Q4_K},
    {.name = "q2_k",
     .file_type = 10,
     .base = QUANT_Q2_K,
     .head = QUANT_Q6_K,
     .attention_out = QUANT_Q3_K,
     .value_share = SHARE_ALL,
     .value = QUANT_Q3_K,
     .value_rest = QUANT_Q3_K,
     .down_share = SHARE_ALL,
     .down = QUANT_Q3_K,
     .down_rest = QUANT_Q3_K},
};
enum { RECIPE_COUNT = sizeof recipes / sizeof *recipes };

/* ASCII only, so that no locale decides what a recipe is called. */
static bool same_name(const char *a, const char *b) {
    for (; *a != '\0'; a++, b++) {
        const char c = *b >= 'A' && *b <= 'Z' ? (char)(*b - 'A' + 'a') : *b;
        if (*a != c) return false;
    }
    return *b == '\0';
}

const recipe *recipe_find(const char *name) {
    for (int i = 0; i < RECIPE_COUNT; i++)
        if (same_name(recipes[i].name, name)) return &recipes[i];
    return NULL;
}

const recipe *recipe_of_type(quant_type base) {
    for (int i = 0; i < RECIPE_COUNT; i++)
        if (recipes[i].base == base) return &recipes[i];
    return NULL;
}

const char *recipe_names(void) {
    return "f32, f16, bf16, q8_0, q6_k, q5_k_m, q5_k_s, q5_1, q5_0, q4_k_m, q4_k_s, q4_k, q4_1, "
           "q4_0, iq4_nl, q3_k_l, q3_k_m, q2_k";
}

/* i-th of n matrices of a kind. */
static bool has_share(recipe_share share, int i, int n) {
    switch (share) {
    case SHARE_NONE:
        return false;
    case SHARE_ALL:
        return true;
    case SHARE_FIRST_2:
        return i < 2;
    case SHARE_FIRST_4:
        return i < 4;
    case SHARE_FIRST_EIGHTH:
        return i < n / 8;
    case SHARE_FIRST_SIXTEENTH:
        return i < n / 16;
    case SHARE_MORE:
        return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    }
    return false;
}

/* The first type of the chain that divides the row. */
static quant_type that_fits(quant_type type, int64_t col_count) {
    while (col_count % quant_describe((uint32_t)type)->block_len != 0) {
        switch (type) {
        case QUANT_Q2_K:
        case QUANT_Q3_K:
            type = QUANT_Q4_0;
            break;
        case QUANT_Q4_K:
            type = QUANT_Q5_0;
            break;
        case QUANT_Q5_K:
            type = QUANT_Q5_1;
            break;
        case QUANT_Q6_K:
            type = QUANT_Q8_0;
            break;
        default:
            type = QUANT_F16;
            break;
        }
    }
    return type;
}

/* Of the values of a layer: its place among the layers of its kind counts. */
static quant_type type_of_value(const recipe *r, const stack_config *c, int layer) {
    const stack_kind *kind = c->layers[layer].kinds[STACK_OPERATOR];
    int before = 0;
    for (int i = 0; i < layer; i++) before += c->layers[i].kinds[STACK_OPERATOR] == kind;
    return has_share(r->value_share, before, stack_layers_of(c, kind)) ? r->value : r->value_rest;
}

static quant_type type_of_layer(const recipe *r, const stack_config *c, stack_use use, int layer) {
    switch (use) {
    case STACK_OUTPUT:
        return r->attention_out;
    case STACK_DOWN:
        return has_share(r->down_share, layer, c->layer_count) ? r->down : r->down_rest;
    case STACK_VALUE:
        return type_of_value(r, c, layer);
    case STACK_PLAIN:
        break;
    }
    return r->base;
}

quant_type recipe_type(const recipe *r, const stack_config *c, bool has_head, const char *name,
                       int64_t col_count) {
    int layer;
    const stack_tensor *t = stack_find_tensor(c, name, &layer);
    quant_type type = r->base;
    if (strcmp(name, has_head ? "output.weight" : "token_embd.weight") == 0)
        type = r->head;
    else if (t != NULL)
        type = type_of_layer(r, c, t->use, layer);
    return that_fits(type, col_count);
}
