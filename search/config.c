#include "search/config.h"

#include <stdlib.h>
#include <string.h>

static const char *const type_names[SEARCH_OPERATOR_COUNT] = {
    [SEARCH_CONVOLUTION] = "conv",
    [SEARCH_FULL] = "full_attention",
    [SEARCH_SLIDING] = "sliding_attention",
    [SEARCH_LINEAR] = "linear_attention",
    [SEARCH_SSD] = "ssd",
};

bool search_config_is_plain(const search_candidate *c) {
    int taps = 0, key_heads = 0, quarters = 0;
    for (int i = 0; i < c->genome.count; i++) {
        const search_block b = search_block_of(&c->genome.genes[i]);
        int *alike = b.op == SEARCH_CONVOLUTION ? &taps : &key_heads;
        if (b.op != SEARCH_CONVOLUTION && b.op != SEARCH_FULL) return false;
        if (b.share != SEARCH_OWN) return false;
        if ((*alike != 0 && *alike != b.p1) || (quarters != 0 && quarters != b.quarters))
            return false;
        *alike = b.p1;
        quarters = b.quarters;
    }
    return true;
}

/* What a list says of a layer. Layers that it does not concern have 0. */
typedef struct facts {
    int taps, key_heads, window, linear_heads, state, state_heads;
    const char *linear; /* NULL: none */
    int ff, ff_of, keys_of;
} facts;

static facts facts_of(const search_space *s, const search_candidate *c, int layer) {
    const search_block b = search_block_of(&c->genome.genes[layer]);
    const int quarter = s->heads / 4;
    facts f = {.ff = search_ff_width(s, b.quarters, c->factor), .ff_of = -1, .keys_of = -1};
    const bool attends = b.op == SEARCH_FULL || b.op == SEARCH_SLIDING;
    if (b.op == SEARCH_CONVOLUTION) f.taps = b.p1;
    if (attends) f.key_heads = quarter * b.p1;
    if (b.op == SEARCH_SLIDING) f.window = search_window(s, b.p2);
    if (b.op == SEARCH_LINEAR) f.linear_heads = quarter * b.p2;
    if (b.op == SEARCH_LINEAR) f.linear = b.p1 == 0 ? "sum" : "decay";
    if (b.op == SEARCH_SSD) f.state = b.p1, f.state_heads = quarter * b.p2;
    for (int i = layer - 1; i >= 0 && b.share != SEARCH_OWN; i--) {
        const search_block above = search_block_of(&c->genome.genes[i]);
        if (b.share == SEARCH_SHARE_FF && f.ff_of < 0 && above.share != SEARCH_SHARE_FF) {
            f.ff_of = i;
            f.ff = search_ff_width(s, above.quarters, c->factor);
        }
        if (b.share == SEARCH_SHARE_KEYS && f.keys_of < 0 && above.op == SEARCH_FULL &&
            above.share != SEARCH_SHARE_KEYS)
            f.keys_of = i;
    }
    return f;
}

static json_draft *text(const char *value) {
    return json_new_string(value, strlen(value));
}

static void set_types(json_draft *root, const search_candidate *c) {
    json_draft *types = json_new_array();
    for (int i = 0; i < c->genome.count; i++)
        json_append(types, text(type_names[search_block_of(&c->genome.genes[i]).op]));
    json_set(root, "layer_types", types);
}

/* Of a plain one: a number for all. */
static void set_numbers(json_draft *root, const search_space *s, const search_candidate *c) {
    int taps = 3, key_heads = s->heads; /* any number where there is no such layer */
    for (int i = 0; i < c->genome.count; i++) {
        const facts f = facts_of(s, c, i);
        if (f.taps > 0) taps = f.taps;
        if (f.key_heads > 0) key_heads = f.key_heads;
    }
    json_set(root, "num_key_value_heads", json_new_int(key_heads));
    json_set(root, "conv_L_cache", json_new_int(taps));
    json_set(root, "conv_bias", json_new_bool(false));
    json_set(root, "intermediate_size", json_new_int(facts_of(s, c, 0).ff));
    json_set(root, "block_auto_adjust_ff_dim", json_new_bool(false));
}

static void set_lists(json_draft *root, const search_space *s, const search_candidate *c) {
    static const char *const names[] = {
        "conv_L_cache", "num_key_value_heads", "sliding_window", "linear_heads", "ssm_state",
        "ssm_heads",    "intermediate_size",   "share_ffn",      "share_kv"};
    enum { LISTS = sizeof names / sizeof *names };
    json_draft *lists[LISTS], *kinds = json_new_array();
    for (int k = 0; k < LISTS; k++) lists[k] = json_new_array();
    for (int i = 0; i < c->genome.count; i++) {
        const facts f = facts_of(s, c, i);
        const int values[LISTS] = {f.taps,        f.key_heads, f.window, f.linear_heads, f.state,
                                   f.state_heads, f.ff,        f.ff_of,  f.keys_of};
        for (int k = 0; k < LISTS; k++) json_append(lists[k], json_new_int(values[k]));
        json_append(kinds, f.linear != NULL ? text(f.linear) : json_new_int(0));
    }
    for (int k = 0; k < LISTS; k++) json_set(root, names[k], lists[k]);
    json_set(root, "linear_kind", kinds);
}

char *search_config_text(const search_space *s, const search_candidate *c) {
    const bool plain = search_config_is_plain(c);
    json_draft *root = json_new_object(), *names = json_new_array();
    json_set(root, "model_type", text(plain ? "lfm2" : "runnel_stack"));
    json_append(names, text("Lfm2ForCausalLM"));
    if (plain)
        json_set(root, "architectures", names);
    else
        json_drop(&names);
    json_set(root, "hidden_size", json_new_int(s->d));
    json_set(root, "num_hidden_layers", json_new_int(c->genome.count));
    json_set(root, "num_attention_heads", json_new_int(s->heads));
    json_set(root, "norm_eps", json_new_number(1e-5));
    json_set(root, "rope_theta", json_new_number(1e6));
    json_set(root, "vocab_size", json_new_int(s->vocab));
    json_set(root, "tie_word_embeddings", json_new_bool(true));
    json_set(root, "max_position_embeddings", json_new_int(128000));
    set_types(root, c);
    if (plain)
        set_numbers(root, s, c);
    else
        set_lists(root, s, c);
    char *out = json_text(root);
    json_drop(&root);
    return out;
}
