#include "search/config.h"

#include <stdlib.h>

#include "stack/kind.h"
#include "stack/stack_json.h"
#include "stack/stack_lists.h"

static const stack_type types[SEARCH_OPERATOR_COUNT] = {
    [SEARCH_CONVOLUTION] = STACK_TYPE_CONVOLUTION,   [SEARCH_FULL] = STACK_TYPE_FULL_ATTENTION,
    [SEARCH_SLIDING] = STACK_TYPE_SLIDING_ATTENTION, [SEARCH_LINEAR] = STACK_TYPE_LINEAR_ATTENTION,
    [SEARCH_SSD] = STACK_TYPE_STATE_SPACE,
};

/* How far above a layer what it shares stands. */
static int distance(const search_genome *g, int layer, search_share share) {
    for (int i = layer - 1; i >= 0; i--) {
        const search_block b = search_block_of(&g->genes[i]);
        const bool has_keys = b.op == SEARCH_FULL && b.share != SEARCH_SHARE_KEYS;
        if (share == SEARCH_SHARE_FF ? b.share != SEARCH_SHARE_FF : has_keys) return layer - i;
    }
    return 0;
}

static void set_operator(stack_layer_config *l, const search_space *s, const search_block *b) {
    const int quarter = s->heads / 4;
    const bool scans = b->op == SEARCH_LINEAR || b->op == SEARCH_SSD;
    if (b->op == SEARCH_CONVOLUTION) l->taps = b->p1;
    if (b->op == SEARCH_FULL || b->op == SEARCH_SLIDING) l->kv_head_count = quarter * b->p1;
    if (b->op == SEARCH_SLIDING) l->window = search_window(s, b->p2);
    if (b->op == SEARCH_LINEAR) l->linear = b->p1 == 0 ? STACK_LINEAR_SUM : STACK_LINEAR_DECAY;
    if (b->op == SEARCH_SSD) l->state_width = b->p1;
    if (scans) l->head_count = quarter * b->p2;
    if (scans) l->head_width = s->d / l->head_count;
}

static void set_layers(stack_config *c, const search_space *s, const search_candidate *own) {
    const search_genome *g = &own->genome;
    const stack_layer_config all = {
        .kinds = {NULL, &stack_dense},
        .head_count = s->heads,
        .kv_head_count = s->heads,
        .head_width = s->d / s->heads,
        .rotary = {.base = 1e6, .pair_count = s->d / s->heads / 2},
        .taps = 3,
    };
    c->width = s->d;
    c->layer_count = g->count;
    c->eps = 1e-5f;
    for (int i = 0; i < g->count; i++) {
        const search_block b = search_block_of(&g->genes[i]);
        stack_layer_config *l = &c->layers[i];
        stack_type_set(c, i, types[b.op], &all);
        set_operator(l, s, &b);
        l->ff_width = search_ff_width(s, b.quarters, own->factor);
        if (b.share == SEARCH_SHARE_KEYS) l->kv_above = distance(g, i, b.share);
        if (b.share == SEARCH_SHARE_FF) l->ff_above = distance(g, i, b.share);
        if (l->ff_above > 0) l->ff_width = l[-l->ff_above].ff_width;
    }
}

char *search_config_text(const search_space *s, const search_candidate *c) {
    stack_config *stack = calloc(1, sizeof *stack); /* too large for a stack */
    if (stack == NULL) return NULL;
    json_draft *root = json_new_object();
    set_layers(stack, s, c);
    stack_json_write(root, stack);
    json_set(root, "vocab_size", json_new_int(s->vocab));
    json_set(root, "tie_word_embeddings", json_new_bool(true));
    json_set(root, "max_position_embeddings", json_new_int(128000));
    char *out = json_text(root);
    json_drop(&root);
    free(stack);
    return out;
}
