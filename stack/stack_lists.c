#include "stack/stack_lists.h"

#include <string.h>

#include "stack/kind.h"

const char *const stack_type_names[STACK_TYPE_COUNT] = {
    "conv", "full_attention", "sliding_attention", "linear_attention", "ssd"};

stack_type stack_type_find(const char *name, size_t size) {
    int type = 0;
    while (type < STACK_TYPE_COUNT && (strlen(stack_type_names[type]) != size ||
                                       memcmp(stack_type_names[type], name, size) != 0))
        type++;
    return (stack_type)type;
}

stack_type stack_type_of(const stack_layer_config *l) {
    const stack_kind *kind = l->kinds[STACK_OPERATOR];
    if (kind == &stack_linear_attention) return STACK_TYPE_LINEAR_ATTENTION;
    if (kind == &stack_state_space) return STACK_TYPE_STATE_SPACE;
    if (kind == &stack_convolution) return STACK_TYPE_CONVOLUTION;
    return l->window > 0 ? STACK_TYPE_SLIDING_ATTENTION : STACK_TYPE_FULL_ATTENTION;
}

void stack_type_set(stack_config *c, int layer, stack_type type, const stack_layer_config *all) {
    stack_layer_config *l = &c->layers[layer];
    *l = *all;
    l->kinds[STACK_OPERATOR] = type == STACK_TYPE_CONVOLUTION        ? &stack_convolution
                               : type == STACK_TYPE_LINEAR_ATTENTION ? &stack_linear_attention
                               : type == STACK_TYPE_STATE_SPACE      ? &stack_state_space
                                                                     : &stack_attention;
    l->window = 0;
    if (type == STACK_TYPE_STATE_SPACE) l->taps = STACK_SPACE_TAPS;
}

/* ---- The fields ---- */

#define FIELD(name, field)                                                                         \
    static bool set_##name(stack_config *c, int layer, int value) {                                \
        c->layers[layer].field = value;                                                            \
        return true;                                                                               \
    }                                                                                              \
    static int get_##name(const stack_config *c, int layer) {                                      \
        return (int)c->layers[layer].field;                                                        \
    }
FIELD(taps, taps)
FIELD(kv_heads, kv_head_count)
FIELD(window, window)
FIELD(state, state_width)
#undef FIELD

/* What shares has the width of what it shares. */
static bool set_ff(stack_config *c, int layer, int value) {
    const int above = c->layers[layer].ff_above;
    c->layers[layer].ff_width = above > 0 ? c->layers[layer - above].ff_width : value;
    return true;
}
static int get_ff(const stack_config *c, int layer) {
    return (int)c->layers[layer].ff_width;
}

static bool set_linear(stack_config *c, int layer, int value) {
    c->layers[layer].linear = (stack_linear)value;
    return true;
}
static int get_linear(const stack_config *c, int layer) {
    return (int)c->layers[layer].linear;
}

/* Heads that fill the width between them. */
static bool set_heads(stack_config *c, int layer, int value) {
    c->layers[layer].head_count = value;
    c->layers[layer].head_width = c->width / value;
    return c->width % value == 0;
}
static int get_heads(const stack_config *c, int layer) {
    return c->layers[layer].head_count;
}

/* -1, or the number of a layer above. */
static bool set_above(int *above, int layer, int value) {
    *above = value < 0 ? 0 : layer - value;
    return value < layer;
}
static bool set_ff_above(stack_config *c, int layer, int value) {
    return set_above(&c->layers[layer].ff_above, layer, value);
}
static int get_ff_above(const stack_config *c, int layer) {
    return c->layers[layer].ff_above > 0 ? layer - c->layers[layer].ff_above : -1;
}
static bool set_kv_above(stack_config *c, int layer, int value) {
    return set_above(&c->layers[layer].kv_above, layer, value);
}
static int get_kv_above(const stack_config *c, int layer) {
    return c->layers[layer].kv_above > 0 ? layer - c->layers[layer].kv_above : -1;
}

static const char *const linear_names[] = {"sum", "decay", NULL};

#define BIT(type) (1u << STACK_TYPE_##type)
enum { EVERY = (1u << STACK_TYPE_COUNT) - 1 };
const stack_list stack_lists[STACK_LIST_COUNT] = {
    {"share_ffn", -1, STACK_LAYER_CAP - 1, true, NULL, EVERY, set_ff_above, get_ff_above},
    {"share_kv", -1, STACK_LAYER_CAP - 1, true, NULL, BIT(FULL_ATTENTION), set_kv_above,
     get_kv_above},
    {"conv_L_cache", 1, 64, false, NULL, BIT(CONVOLUTION), set_taps, get_taps},
    {"num_key_value_heads", 1, 4096, false, NULL, BIT(FULL_ATTENTION) | BIT(SLIDING_ATTENTION),
     set_kv_heads, get_kv_heads},
    {"sliding_window", 1, 1 << 20, false, NULL, BIT(SLIDING_ATTENTION), set_window, get_window},
    {"linear_kind", 0, 1, false, linear_names, BIT(LINEAR_ATTENTION), set_linear, get_linear},
    {"linear_heads", 1, 4096, false, NULL, BIT(LINEAR_ATTENTION), set_heads, get_heads},
    {"ssm_state", 1, 4096, false, NULL, BIT(STATE_SPACE), set_state, get_state},
    {"ssm_heads", 1, 4096, false, NULL, BIT(STATE_SPACE), set_heads, get_heads},
    {"intermediate_size", 1, 1 << 20, false, NULL, EVERY, set_ff, get_ff},
};
#undef BIT

int stack_list_entry(const stack_list *list, const stack_config *c, int layer) {
    if (stack_list_concerns(list, stack_type_of(&c->layers[layer]))) return list->get(c, layer);
    return list->has_default ? -1 : 0;
}

/* ---- A stack as a whole ---- */

const stack_layer_config *stack_attention_layer(const stack_config *c) {
    const stack_layer_config *best = &c->layers[0];
    for (int i = c->layer_count - 1; i >= 0; i--) { /* layers of LFM2 all know it */
        const stack_kind *kind = c->layers[i].kinds[STACK_OPERATOR];
        if (kind == &stack_attention) return &c->layers[i];
        if (kind == &stack_convolution) best = &c->layers[i];
    }
    return best;
}

/* The first layer with a part of that kind, or NULL. */
static const stack_layer_config *first_of(const stack_config *c, const stack_kind *kind) {
    for (int i = 0; i < c->layer_count; i++)
        if (c->layers[i].kinds[kind->place] == kind) return &c->layers[i];
    return NULL;
}

int stack_taps(const stack_config *c) {
    const stack_layer_config *convolution = first_of(c, &stack_convolution);
    if (convolution != NULL) return convolution->taps;
    return c->layers[0].taps > 0 ? c->layers[0].taps : 3;
}

bool stack_lists_needed(const stack_config *c) {
    const stack_layer_config *attention = first_of(c, &stack_attention);
    const stack_layer_config *convolution = first_of(c, &stack_convolution);
    const stack_layer_config *dense = first_of(c, &stack_dense);
    for (int i = 0; i < c->layer_count; i++) {
        const stack_layer_config *l = &c->layers[i];
        const stack_kind *kind = l->kinds[STACK_OPERATOR];
        if (kind == &stack_linear_attention || kind == &stack_state_space) return true;
        if (l->kv_above > 0 || l->ff_above > 0) return true;
        if (kind == &stack_attention && l->window != attention->window) return true;
        if (kind == &stack_convolution && l->taps != convolution->taps) return true;
        if (l->kinds[STACK_FEED_FORWARD] == &stack_dense && l->ff_width != dense->ff_width)
            return true;
    }
    return false;
}
