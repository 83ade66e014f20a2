/* The older converter of the vocoder wrote the whole detokenizer into it, under PyTorch's names,
 * and none of its keys: the stack is told by its tensors, the rest by literals. audio.md 10.3. */
#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "engine/source.h"
#include "stack/kind.h"

/* Elements along the first dimension, and in each of them; 0, 0 when there is no such tensor. */
typedef struct extent {
    int64_t rows, cols;
} extent;

static extent extent_of(const weights *w, int layer, const char *name) {
    char full[96];
    (void)snprintf(full, sizeof full, "detok.blk.%d.%s.weight", layer, name);
    const tensor *t = weights_find(w, full);
    extent e = {0};
    if (t == NULL) return e;
    e = (extent){.rows = t->shape[0], .cols = 1};
    for (int i = 1; i < t->rank; i++) e.cols *= t->shape[i];
    return e;
}

/* A number of a file's shapes, for stack_check to refuse when it is none of a stack. */
static int number(int64_t value) {
    return value >= 0 && value <= 1 << 20 ? (int)value : 0;
}

static void read_layer(stack_layer_config *l, const weights *w, int layer) {
    const int64_t head_width = extent_of(w, layer, "attn_q_norm").rows;
    if (head_width == 0) {
        l->kinds[STACK_OPERATOR] = &stack_convolution;
        l->taps = number(extent_of(w, layer, "shortconv.conv").cols);
        return;
    }
    l->kinds[STACK_OPERATOR] = &stack_attention;
    l->head_width = number(head_width);
    l->head_count = number(extent_of(w, layer, "attn_q").rows / head_width);
    l->kv_head_count = number(extent_of(w, layer, "attn_k").rows / head_width);
    l->rotary.pair_count = l->head_width / 2;
}

/* By the highest number, so that a layer that is missing is missed when it is loaded. */
static int count_layers(const weights *w) {
    int count = 0, layer;
    for (size_t i = 0; i < weights_count(w); i++)
        if (sscanf(weights_at(w, i)->name, "detok.blk.%5d.", &layer) == 1 && layer >= count)
            count = layer + 1;
    return count;
}

rnl_status source_merged_config(stack_config *c, const weights *w, const char *file,
                                rnl_error *error) {
    /* audio.md 2.2 */
    const stack_layer_config literals = {
        .kinds = {NULL, &stack_dense}, .window = 30, .rotary = {.base = 1e6}};
    memset(c, 0, sizeof *c);
    c->eps = 1e-5f;
    c->width = number(extent_of(w, 0, "attn_norm").rows);
    c->layer_count = count_layers(w);
    for (int i = 0; i < c->layer_count && i < STACK_LAYER_CAP; i++) {
        c->layers[i] = literals;
        read_layer(&c->layers[i], w, i);
    }
    return stack_check(c, file, error);
}
